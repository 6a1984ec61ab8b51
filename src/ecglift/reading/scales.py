"""Speed and gain of a sheet, from print, pulses and what hearts do; and what contradicts the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.paper import DEFAULT_GAIN_MM_MV, DEFAULT_SPEED_MM_S, GAINS_MM_MV, PULSE_S, SPEEDS_MM_S, How
from ecglift.problem import Problem
from ecglift.reading.marks import PrintedScale, Pulse

STAGE: Final = "layout"
_PRINT: Final = 2.0
"""Weight of what is printed against the weak signs together."""
_MISREAD: Final = 0.02
_LEGIBLE: Final = 0.5
"""Chance below which a print is not believed to be one."""
_CLEAR: Final = 0.75
"""Chance from which on a printed gain counts more than a measured pulse."""
_CERTAIN: Final = 0.95
_SEVERAL: Final = 3
_ALIKE: Final = 0.1
"""The same against several pulses whose heights are a usual gain's to this, in e-folds."""
_STACKED: Final = 3
_USUAL_HEIGHT: Final = 0.1
_ASIDE_MM: Final = 2.0
"""So many pulses, no farther beside each other than the third, hang together; the first is as high as it is above its
row's line if that is a usual height to the second, in e-folds."""
_LINE_MM: Final = 2.5
_BESIDE_MM: Final = 60.0
"""Two gains are printed on one line that close to each other."""
_COLUMN_S: Final[dict[int, tuple[float, ...]]] = {4: (2.5,), 2: (5.0, 2.5, 4.0), 1: (10.0, 5.0)}
_WIDE_MM_S: Final = 50.0
_HALF_ODDS: Final = 3.5
"""Seconds that a column usually shows, by the number of columns; or half of them from that speed on, at which a sheet
is too narrow for more, which costs the second, in nats: only print that is hardly misread outweighs it."""
_COLUMN_ODDS: Final[dict[int, tuple[float, float]]] = {4: (8.0, 5.0), 2: (5.0, 3.5), 1: (4.0, 1.5)}
"""What an unusual length costs in nats per e-fold of length, and at the most: nobody prints four columns of 5 s, while
a single row may have any length."""


@dataclass(frozen=True)
class Scale:
    """A speed or gain, how it is known, and what a person should be told.

    ``log_odds``: of a speed, what all signs together say for each of SPEEDS_MM_S, in nats; () when it was told.
    """

    value: float
    how: How
    problems: tuple[Problem, ...] = ()
    chest: float | None = field(default=None)
    log_odds: tuple[float, ...] = ()


def _printed(scales: Sequence[PrintedScale], usual: tuple[float, ...]) -> tuple[float, float] | None:
    """(value, chance) that is printed, or None."""
    sure = [s for s in scales if s.chest < 0.5 and s.sure > _LEGIBLE]
    if not sure:
        return None
    best = max(sure, key=lambda s: s.sure)
    return usual[int(best.log_p.argmax())], best.sure


def find_speed(
    printed: Sequence[PrintedScale],
    pulses: Sequence[Pulse],
    network: NDArray[np.float32],
    n_columns: int,
    column_mm: float,
    given: float | None = None,
) -> Scale:
    """The paper speed. ``network``: its chances (3,) by the sheet network; ``column_mm``: width of a column."""
    if given is not None:
        return Scale(given, "given")
    speeds = np.array(SPEEDS_MM_S)
    # The network finds nearly every sheet to be one at 25 mm/s.
    weak = 0.3 * np.log(np.maximum(network.astype(float), 0.1)) + np.log([0.05, 0.87, 0.08])
    if n_columns in _COLUMN_S and column_mm > 20:
        seconds = column_mm / speeds
        usual = np.array(_COLUMN_S[n_columns])
        fit = np.abs(np.log(seconds[:, None] / usual)).min(axis=1)
        steepness, most = _COLUMN_ODDS[n_columns]
        cost = np.minimum(steepness * fit, most)
        halves = steepness * np.abs(np.log(seconds[:, None] / (usual / 2))).min(axis=1) + _HALF_ODDS
        weak += -np.where(speeds >= _WIDE_MM_S, np.minimum(cost, halves), cost)
    if pulses:
        width = float(np.median([p.width_mm for p in pulses]))
        # Not every device prints its pulse at the paper's speed.
        weak += -np.minimum(3.0 * np.abs(np.log(width / (PULSE_S * speeds))), 0.7)
    likely = float(speeds[int(weak.argmax())])
    margin = float(np.sort(weak)[-1] - weak[list(speeds).index(DEFAULT_SPEED_MM_S)])
    sure = [one for one in printed if float(np.exp(one.log_p.max())) > 0.6]
    if sure:
        # What is read may be misread: print weighs much, not all.
        read = max(sure, key=lambda one: one.sure)
        # Where it is no speed after all, it says nothing: all are as likely.
        p = read.chance * np.maximum(np.exp(read.log_p), _MISREAD) + (1 - read.chance) / len(speeds)
        together = weak + _PRINT * np.log(p)
        value, said = float(speeds[int(together.argmax())]), float(speeds[int(read.log_p.argmax())])
        problems: tuple[Problem, ...] = ()
        odds = tuple(float(v) for v in together)
        legible = read.sure > _LEGIBLE
        if legible and (value != said or weak.max() - weak[int(read.log_p.argmax())] > 4.0):
            text = f"{said:g} mm/s seems to be printed, the columns and beats look like {likely:g} mm/s;"
            problems = (Problem("speed-conflict", STAGE, f"{text} {value:g} mm/s is used, check with --speed"),)
        return Scale(value, "printed" if value == said else "assumed", problems, log_odds=odds)
    odds = tuple(float(v) for v in weak)
    if likely != DEFAULT_SPEED_MM_S and margin > 1.0:
        text = f"no paper speed is printed; {likely:g} mm/s fits the columns and beats best; check with --speed"
        return Scale(likely, "pulse" if pulses else "assumed", (Problem("speed-guessed", STAGE, text),), log_odds=odds)
    return Scale(DEFAULT_SPEED_MM_S, "assumed", log_odds=odds)


def pulse_gain(pulses: Sequence[Pulse]) -> tuple[float, float] | None:
    """(usual gain nearest to the pulses' usual height in ratio, that height), or None without pulses. Those whose
    height was measured on the ink, or else those whose height it confirms, are asked alone, if there are any."""
    if not pulses:
        return None
    height = float(np.percentile([pulse.height_mm for pulse in _best(pulses)], 75))
    gains = np.array(GAINS_MM_MV)
    return float(gains[np.abs(np.log(gains / max(height, 0.1))).argmin()]), height


def hung_together(pulses: Sequence[Pulse], y_mm: float) -> Pulse | None:
    """The uppermost of several ``pulses`` one under the other, as high as it stands above its row's line ``y_mm``; None
    where their ink was measured, or that is no usual height. Tall ones on near rows hang together, and how high the
    lower ones are nobody sees."""
    if len(pulses) < _STACKED or any(pulse.inked for pulse in pulses):
        return None
    top = min(pulses, key=lambda pulse: pulse.y_mm)
    height = y_mm - top.y_mm
    aside = max(abs(pulse.x_mm - top.x_mm) for pulse in pulses)
    usual = height > 0 and min(abs(np.log(height / gain)) for gain in GAINS_MM_MV) < _USUAL_HEIGHT
    return replace(top, height_mm=height, inked=True) if usual and aside < _ASIDE_MM else None


def _best(pulses: Sequence[Pulse]) -> Sequence[Pulse]:
    exact = [pulse for pulse in pulses if pulse.exact]
    return exact or [pulse for pulse in pulses if pulse.inked] or pulses


def _with_second(printed: Sequence[PrintedScale]) -> Sequence[PrintedScale]:
    """The printed gains, and of two clear ones on one line, the second half of the first, that one as said of the chest
    leads: "10 mm/mV … 5 mm/mV", whatever words stand before them."""

    def read(scale: PrintedScale) -> float:
        return GAINS_MM_MV[int(scale.log_p.argmax())]

    clear = [s for s in printed if s.sure > _CLEAR]
    seconds = {
        id(second)
        for first in clear
        for second in clear
        if abs(second.y_mm - first.y_mm) < _LINE_MM
        and 0 < second.x_mm - first.x_mm < _BESIDE_MM
        and read(second) == 0.5 * read(first)
    }
    return [replace(s, chest=1.0) if id(s) in seconds else s for s in printed]


def find_gain(printed: Sequence[PrintedScale], pulses: Sequence[Pulse], given: float | None = None) -> Scale:
    """The gain; of the chest leads another one when that is printed. Where neither print nor pulse says it, it is the
    usual one: what lines look like tells too little (:mod:`ecglift.stages.heights`)."""
    printed = _with_second(printed)
    chest_marks = [s for s in printed if s.chest > 0.6 and float(np.exp(s.log_p.max())) > 0.6]
    chest = GAINS_MM_MV[int(chest_marks[0].log_p.argmax())] if chest_marks else None
    if given is not None:
        return Scale(given, "given")
    said, measured = _printed(printed, GAINS_MM_MV), pulse_gain(pulses)
    if measured and not 0.8 < measured[1] / measured[0] < 1.25:
        text = f"the calibration pulse is {measured[1]:.1f} mm high, which is no usual gain; check with --gain"
        return Scale(
            said[0] if said else measured[0],
            "printed" if said else "pulse",
            (Problem("gain-unusual", STAGE, text),),
            chest,
        )
    if said and measured:
        if said[0] == measured[0] or (chest is not None and chest == measured[0]):
            return Scale(said[0], "pulse" if said[0] == measured[0] else "printed", (), chest)
        # Clear print is seldom wrong; a pulse may be half hidden, but not several of them to the same height, and one
        # that is measured on its ink is right.
        alike = sum(abs(np.log(p.height_mm / measured[0])) < _ALIKE for p in _best(pulses))
        on_ink = any(p.exact for p in pulses)
        clear = not on_ink and said[1] > (_CERTAIN if alike >= _SEVERAL else _CLEAR)
        value = said[0] if clear else measured[0]
        text = f"{said[0]:g} mm/mV is printed, but the calibration pulse is {measured[1]:.1f} mm high;"
        conflict = Problem("gain-conflict", STAGE, f"{text} {value:g} mm/mV is used, check with --gain")
        return Scale(value, "printed" if clear else "pulse", (conflict,), chest)
    if said:
        return Scale(said[0], "printed", (), chest)
    if measured:
        return Scale(measured[0], "pulse", (), chest)
    return Scale(DEFAULT_GAIN_MM_MV, "assumed")
