"""The paper speed once more, from the lines themselves, where nothing on the sheet says it for certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.runtime import load
from ecglift.models.tempo import features
from ecglift.paper import SPEEDS_MM_S, Layout
from ecglift.problem import Problem
from ecglift.sheet import Trace

STAGE: Final = "tempo"
_USUAL: Final = (-3.0, -0.14, -2.5)
"""Log chance of each of SPEEDS_MM_S where nothing else is known."""
_CONTRADICTS: Final = 6.0
"""Nats by which the lines must prefer another speed than the one that is used for this to be said."""
_MOST: Final = 8.0
"""What the lines can say at the most, in nats: as much as print that is read without doubt."""
_MARGIN: Final = 0.5
"""Nats by which another speed must be likelier than the one that the sheet was read with."""
_MANY: Final = 2
"""A single line says half of what it seems to: on its own an unusual heart is all there is."""


@dataclass(frozen=True)
class Tempo:
    """The layout at its final speed. ``log_p``: (3,) log chance of each of SPEEDS_MM_S by the lines, () without any."""

    layout: Layout
    log_p: tuple[float, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_tempo(layout: Layout, traces: tuple[Trace, ...], log_odds: tuple[float, ...] = ()) -> Tempo:
    """``layout`` with another speed where that is likelier by the lines and all that was read; a speed that was told
    stays.

    ``log_odds``: what print, pulses and columns say for each of SPEEDS_MM_S, in nats; () when nothing is known of it:
    then a printed speed stays as well.
    """
    if layout.speed_how == "given" or layout.speed_mm_s not in SPEEDS_MM_S:
        return Tempo(layout)
    by_row = {trace.row: trace for trace in traces if len(trace.x_mm) > 1}
    lines = []
    for panel in layout.panels:
        if (trace := by_row.get(panel.row)) is not None:
            lines.append(_heights(trace, panel.x0_mm, panel.x1_mm))
    if not lines:
        return Tempo(layout)
    step_mm = float(np.median([np.diff(trace.x_mm).mean() for trace in by_row.values()]))
    seen = features(lines, _runs(layout, by_row), step_mm)
    if seen is None:
        return Tempo(layout)
    log_p = load("tempo").run({"features": seen[None]})["speed"][0].astype(float)
    said = tuple(round(float(v), 3) for v in log_p)
    now = SPEEDS_MM_S.index(layout.speed_mm_s)
    lines_say = np.maximum(log_p - log_p.max(), -_MOST) / max(1.0, _MANY / len(lines))
    together = lines_say + np.array(log_odds or _USUAL)
    best = int(together.argmax())
    if (log_odds or layout.speed_how != "printed") and together[best] - together[now] > _MARGIN:
        speed = SPEEDS_MM_S[best]
        text = f"{speed:g} mm/s fits the shape of the lines and what was read better than {layout.speed_mm_s:g};"
        return Tempo(at_speed(layout, speed), said, (Problem("speed-guessed", STAGE, f"{text} check with --speed"),))
    likely = int(log_p.argmax())
    if lines_say[likely] - lines_say[now] > _CONTRADICTS:
        text = f"{layout.speed_mm_s:g} mm/s is used, but the lines have the shape of {SPEEDS_MM_S[likely]:g} mm/s;"
        return Tempo(layout, said, (Problem("speed-conflict", STAGE, f"{text} check with --speed"),))
    return Tempo(layout, said)


def _heights(trace: Trace, x0_mm: float, x1_mm: float) -> NDArray[np.float64]:
    """The line's heights between two places, both included."""
    return trace.y_mm[(trace.x_mm >= x0_mm) & (trace.x_mm <= x1_mm)]


def _runs(layout: Layout, by_row: Mapping[int, Trace]) -> list[NDArray[np.float64]]:
    """Heights of the rows' lines as far as they go on in time: columns recorded together are lines of their own."""
    runs = []
    for row in layout.rows():
        if (trace := by_row.get(row[0].row)) is None:
            continue
        breaks = [k for k in range(1, len(row)) if row[k].start_s <= row[k - 1].start_s]
        runs += [_heights(trace, row[a].x0_mm, row[b - 1].x1_mm) for a, b in pairwise([0, *breaks, len(row)])]
    return runs


def at_speed(layout: Layout, speed_mm_s: float) -> Layout:
    """``layout`` as if its paper had run at ``speed_mm_s``, which is assumed: every panel's time is another."""
    panels = tuple(replace(p, start_s=p.start_s * layout.speed_mm_s / speed_mm_s) for p in layout.panels)
    return replace(layout, panels=panels, speed_mm_s=speed_mm_s, speed_how="assumed")
