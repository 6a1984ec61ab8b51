"""Marks on a sheet, from the network's lattice: names, row lines, panel edges, pulses, printed scales, each at its
place in mm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_propagation, gaussian_filter1d, label, maximum_filter

from ecglift.models.sheetmap import PANEL_UNIT_MM, SheetMap
from ecglift.models.words import GAINS, NAMES, SPEEDS

Map = NDArray[np.float32]
WordReader = Callable[[Sequence[tuple[float, float]]], NDArray[np.float64]]
"""From places (x, y) mm to probabilities (n, len(WORDS)) of what is printed there."""

_LABEL_CHANCE: Final = 0.12
"""Of the lattice; low, since the word network throws out what is none."""
_NAME_CHANCE: Final = 0.3
_GAIN_ODDS: Final = np.array([0.01, 0.25, 1.0, 0.25])
"""How much rarer a gain is printed than the word network has seen it, at least: it has seen all equally often."""
_NOISE_NAME: Final = 0.2
_CLEAR_NAME: Final = 0.8
_LEAST_TRUST: Final = 0.05
"""Chance of a name's likeliest reading that means nothing and that is clear, and how much the first still counts: on
mouldy sheets dozens of spots are found to be names, each of them one of several."""
_LINE_MM: Final = 2.5
_NEAR_MM: Final = 8.0
_FAR_MM: Final = 40.0
_PARTNER: Final = 0.5
"""A speed and a gain of one line stand that near to its height, that far apart, and the partner is that likely one."""
_CLEAR_SCALE: Final = 0.8
_STEP_MM: Final = 1.5
_READ_ON: Final = 0.7
"""From one that is that likely its line is read on for the other, in such steps; what is found so is believed no more
than the last, since the sheet network saw none there: a pulse knows better."""
_CUT_MM: Final = 2.0
"""An edge so near to the picture's is that."""
_EDGE_CHANCE: Final = 0.2
_EDGE_REACH: Final = 5
_TEXT_CHANCE: Final = 0.15
_BIN_MM: Final = 0.5
_LIFE_MM: Final = 9
_LEVEL_MM: Final = 4
_UPRIGHT: Final = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], np.bool_)
_FEET_MM: Final = 2.5
"""A pulse that ends that near to a row stands on it."""
_LONG: Final = 0.6
_PER_LENGTH: Final = 16.0
_HALF_LENGTH: Final = 0.5
_PER_BEAT: Final = 14.0
_PER_STEP: Final = 0.1
_SURELY_NOT: Final = 0.003
"""Log-odds of a row: by its length against the longest row's, and by how far, in pitches of the long rows, it stands
off their beat and away from them. Of 1,880 rows on 300 sheets of the press those with a chance below 0.02 are rows in
0.5 % of cases, those above 0.98 in 99.9 %."""
_BENT: Final = 0.2
_BENT_LENGTH: Final = 0.3
"""Two pieces of rows that are nearer to each other than that share of the pitch, and each that part of the longest row
long, are one whose line wanders."""
_HOLE: Final = 0.4
_FILLS: Final = 0.15
"""The only row within that many pitches of where one is lacking among evenly spaced ones is hardly more off their beat
than the second: a line that wanders is found beside its place."""
_DRAWN: Final = 0.5
"""A row has a trace in at least this share of its columns; frames, folds and page edges have not."""

_BESIDE_MM: Final = 4.0
"""From a pulse to a line that it stands beside."""


@dataclass(frozen=True)
class Label:
    """A lead's name in print: its middle, the panel start and zero line that the network sees it belong to, its
    chances.

    ``log_p``: (13,) log-probability of each of :data:`ecglift.models.sheetmap.LABELS`; ``chance``: that there is a
    label at all.
    """

    x_mm: float
    y_mm: float
    panel_x_mm: float
    panel_y_mm: float
    log_p: NDArray[np.float64]
    chance: float


@dataclass(frozen=True)
class Row:
    """A row of traces: its zero line and how far it reaches.

    ``weight_mm``: length of the line that was seen; ``life``: 0.1 for a flat line to 1 for one with beats; ``chance``:
    that it is a row of the sheet, 0 to 1, by its length and its place among the others.
    """

    y_mm: float
    x0_mm: float
    x1_mm: float
    weight_mm: float
    life: float = 1.0
    chance: float = 1.0


@dataclass(frozen=True)
class Edge:
    """A panel's start or end on a row; ``chance`` 0 to 1."""

    x_mm: float
    chance: float


@dataclass(frozen=True)
class Pulse:
    """A calibration pulse: middle of its top, width and height of 1 mV. ``inked``: the ink has that height, too;
    ``exact``: the height is the ink's, from line to line."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float
    chance: float
    inked: bool = False
    exact: bool = False


def pulse_at(pulses: Sequence[Pulse], x_mm: float, side: int) -> bool:
    """Whether a calibration pulse stands right beside ``x_mm``, to the left (``side`` -1) or to the right (1) of it."""
    return any(p.chance > 0.5 and abs(p.x_mm - side * p.width_mm / 2 - x_mm) < _BESIDE_MM for p in pulses)


@dataclass(frozen=True)
class PrintedScale:
    """A printed speed or gain: ``log_p`` over the usual values, ``chest``: chance that it is said of the chest leads
    only.
    """

    x_mm: float
    y_mm: float
    log_p: NDArray[np.float64]
    chance: float
    chest: float = 0.0

    @property
    def sure(self) -> float:
        """Chance that it is printed and reads as its likeliest value."""
        return self.chance * float(np.exp(self.log_p.max()))


def _peaks(heat: Map, reach: int, least: float) -> list[tuple[int, int]]:
    """(row, column) of local maxima, highest first."""
    there = (heat >= maximum_filter(heat, 2 * reach + 1)) & (heat >= least)
    places = np.argwhere(there)
    order = np.argsort(-heat[there])
    return [(int(r), int(c)) for r, c in places[order]]


def find_labels(answer: SheetMap, read: WordReader) -> tuple[Label, ...]:
    """The lead names on the sheet, surest first: where the lattice sees a label, as ``read`` spells it."""
    heat, offset = answer.chance("label_heat"), answer.channel("label_offset")
    panel = answer.channel("label_panel") * PANEL_UNIT_MM
    peaks = _peaks(heat, 2, _LABEL_CHANCE)
    corner = answer.left_mm, answer.top_mm
    places = [(corner[0] + c + float(offset[0, r, c]), corner[1] + r + float(offset[1, r, c])) for r, c in peaks]
    out = []
    for (r, c), place, p in zip(peaks, places, read(places)[:, NAMES], strict=True):
        there = float(p.sum())
        if there < _NAME_CHANCE:
            continue
        log_p = np.log(np.maximum(p / there, 1e-6))
        chance = there * min(1.0, 2 * float(heat[r, c])) * _legible(float(np.exp(log_p.max())))
        to_panel = corner[0] + c + float(panel[0, r, c]), corner[1] + r + float(panel[1, r, c])
        out.append(Label(*place, *to_panel, log_p, chance))
    return tuple(sorted(out, key=lambda one: -one.chance))


def _legible(p: float) -> float:
    """How far to trust a name whose likeliest reading has the chance ``p``: a spot of mould is half of everything."""
    return float(np.clip((p - _NOISE_NAME) / (_CLEAR_NAME - _NOISE_NAME), _LEAST_TRUST, 1.0))


def find_rows(answer: SheetMap, shortest_mm: float = 15.0, nearest_mm: float = 6.0) -> tuple[Row, ...]:
    """The rows of traces, top to bottom: ridges of the network's zero-line heat."""
    heat, trace = answer.chance("row_heat"), answer.chance("trace")
    offset = np.clip(answer.channel("row_offset"), -2, 2)
    at = np.arange(len(heat))[:, None] + offset
    n_bins = int(len(heat) / _BIN_MM)
    bins = np.clip(np.round(at / _BIN_MM).astype(int), 0, n_bins)
    # A clear ridge adds about 2 per mm (its width in cells); noise below 0.15 must not add up over an empty page.
    weight = np.where(heat > 0.15, heat, 0.0)
    profile = gaussian_filter1d(np.bincount(bins.ravel(), weight.ravel(), n_bins + 1), 1.5, mode="constant")
    rows: list[Row] = []
    for k in np.argsort(-profile):
        if profile[k] * 1.5 * 2.5 < shortest_mm:
            break
        y = float(k) * _BIN_MM
        if any(abs(y - (other.y_mm - answer.top_mm)) < nearest_mm for other in rows):
            continue
        row = _row(answer, heat, at, y)
        if row is not None and row.weight_mm >= shortest_mm and (row := _with_life(answer, trace, row)):
            rows.append(row)
    joined = _joined(sorted(rows, key=lambda row: row.y_mm), nearest_mm)
    return weighed(_pulsed(joined, [pulse for pulse in find_pulses(answer) if pulse.chance > 0.5]))


def _pulsed(rows: tuple[Row, ...], pulses: Sequence[Pulse]) -> tuple[Row, ...]:
    """The rows; however flat the line of one, it is a lead's if a pulse of its own stands on it."""

    def stands(row: Row) -> bool:
        return any(abs(pulse.y_mm + pulse.height_mm - row.y_mm) < _FEET_MM for pulse in pulses)

    return tuple(replace(row, life=1.0) if row.life < 1 and stands(row) else row for row in rows)


def _joined(rows: list[Row], nearest_mm: float) -> tuple[Row, ...]:
    """The rows, those beside each other at nearly the same height made one: columns that were set a little apart, and
    a line that is bent, seen as two that are nearer to each other than two can be."""
    if len(rows) < 2:
        return tuple(rows)
    longest = max(row.x1_mm - row.x0_mm for row in rows)
    pitch = float(np.percentile(np.diff([row.y_mm for row in rows]), 75))
    out = [rows[0]]
    for row in rows[1:]:
        last = out[-1]
        shared = min(row.x1_mm, last.x1_mm) - max(row.x0_mm, last.x0_mm)
        apart = row.y_mm - last.y_mm
        beside = apart < 0.4 * pitch and shared < 0.1 * longest
        less, more = sorted((last.weight_mm, row.weight_mm))
        if beside or (apart < max(nearest_mm, _BENT * pitch) and less > _BENT_LENGTH * longest):
            both = last.weight_mm + row.weight_mm
            y = (last.y_mm * last.weight_mm + row.y_mm * row.weight_mm) / both
            x0, x1 = min(last.x0_mm, row.x0_mm), max(last.x1_mm, row.x1_mm)
            # Two noises at nearly one height are still no row.
            weight = both if beside else more + 0.5 * less
            out[-1] = Row(y, x0, x1, weight, max(last.life, row.life))
        else:
            out.append(row)
    return tuple(out)


def weighed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows with their chances: a sheet's rows are of one length and stand at one pitch, as folds, spots of mould
    and the tips of tall complexes do not."""
    if not rows:
        return rows
    longest = max(row.weight_mm for row in rows)
    long = [row.y_mm for row in rows if row.weight_mm > _LONG * longest]
    pitch = float(np.median(np.diff(long))) if len(long) > 1 else None
    reach = _HOLE * pitch if pitch else 0.0
    holes = _holes(long, pitch) if pitch else []
    lacking = [hole for hole in holes if sum(abs(row.y_mm - hole) < reach for row in rows) == 1]

    def off_beat(row: Row) -> float:
        if row.y_mm not in long and any(abs(row.y_mm - hole) < reach for hole in lacking):
            return _FILLS
        steps = min((abs(row.y_mm - y) / pitch for y in long if y != row.y_mm), default=1.0) if pitch else 1.0
        whole = max(round(steps), 1)
        return abs(steps - whole) + _PER_STEP * (whole - 1)

    def chance(row: Row) -> float:
        odds = _PER_LENGTH * (row.weight_mm / longest - _HALF_LENGTH) - _PER_BEAT * off_beat(row)
        return float(np.clip(1 / (1 + np.exp(-odds)), _SURELY_NOT, 1 - _SURELY_NOT))

    return tuple(replace(row, chance=chance(row)) for row in rows)


def _holes(long: Sequence[float], pitch: float) -> list[float]:
    """Where rows are lacking between those at the heights ``long``, which are ``pitch`` mm apart."""
    out: list[float] = []
    for above, below in pairwise(long):
        n = round((below - above) / pitch)
        out += [above + k * (below - above) / n for k in range(1, n)]
    return out


def find_level(answer: SheetMap, y_mm: float, x0_mm: float, x1_mm: float, reach_mm: float) -> float | None:
    """The zero line, mm, between x0 and x1 within ``reach_mm`` of ``y_mm``; None when less than half of it is seen."""
    heat, offset = answer.chance("row_heat"), np.clip(answer.channel("row_offset"), -2, 2)
    r, reach = round(y_mm - answer.top_mm), max(round(reach_mm), 1)
    a, b = max(round(x0_mm - answer.left_mm), 0), round(x1_mm - answer.left_mm)
    top = max(r - reach, 0)
    near = heat[top : r + reach + 1, a:b]
    if not near.size or (near.max(axis=0) > 0.3).mean() < 0.5:
        return None
    at = top + np.arange(len(near))[:, None] + offset[top : r + reach + 1, a:b]
    return answer.top_mm + _weighted_median(at.ravel(), np.where(near > 0.3, near, 0.0).ravel())


def _row(answer: SheetMap, heat: Map, at: Map, y: float) -> Row | None:
    """The row whose line runs at about ``y`` cells."""
    band = slice(max(round(y) - 2, 0), round(y) + 3)
    near = heat[band] * (np.abs(at[band] - y) < 2.5)
    along = near.max(axis=0, initial=0.0)
    seen = gaussian_filter1d(along, 1.5) > 0.3
    pieces, n = label(seen)
    if n == 0:
        return None
    lengths = np.bincount(pieces.ravel())[1:]
    # Pieces far shorter than the row are crossings of other lines.
    kept = [k + 1 for k in range(n) if lengths[k] >= max(6.0, 0.05 * lengths.max())]
    if not kept:
        return None
    columns = np.flatnonzero(np.isin(pieces, kept))
    weight = near[:, columns]
    height = _weighted_median(at[band][:, columns].ravel(), weight.ravel())
    return Row(
        answer.top_mm + height,
        answer.left_mm + columns[0] - 0.5,
        answer.left_mm + columns[-1] + 0.5,
        float(len(columns)),
    )


def _with_life(answer: SheetMap, trace: Map, row: Row) -> Row | None:
    """The row with how lively its trace is; None when there is no trace along it: a frame, a fold, the page's edge."""
    r = round(row.y_mm - answer.top_mm)
    a, b = round(row.x0_mm - answer.left_mm + 0.5), round(row.x1_mm - answer.left_mm + 0.5)
    top = max(r - _LIFE_MM, 0)
    near = trace[top : r + _LIFE_MM + 1, max(a, 0) : b]
    if not near.size or float((near.max(axis=0) > 0.4).mean()) < _DRAWN:
        return None
    # A ruled line covers one or two cells of a column all along, heart beats stand out of it: its own, which hang
    # together with it, and not those of the next row.
    level = np.abs(top + np.arange(len(near)) - r) <= _LEVEL_MM
    drawn = near > 0.4
    own = binary_propagation(drawn & level[:, None], _UPRIGHT, drawn)
    tall = float(np.percentile(own.sum(axis=0), 98))
    return replace(row, life=float(np.clip((tall - 2) / 3, 0.1, 1.0)))


def _weighted_median(values: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def find_edges(answer: SheetMap, y_mm: float, name: str, reach_mm: float = _EDGE_REACH) -> tuple[Edge, ...]:
    """Where panels begin (``name`` "start") or end ("end") on the row at ``y_mm``, left to right. Where the picture's
    edge cuts the row off, none does."""
    heat, offset = answer.chance(f"{name}_heat"), answer.channel(f"{name}_offset")
    r, reach = round(y_mm - answer.top_mm), max(round(reach_mm), 1)
    band = slice(max(r - reach, 0), r + reach + 1)
    near, shift = heat[band], offset[band]
    if not near.size:
        return ()
    # The edge is a vertical mark: the better half of its cells tells, the rest may be covered by a trace.
    profile = np.sort(near, axis=0)[len(near) // 2 :].mean(axis=0)
    out = []
    for c in range(len(profile)):
        window = profile[max(c - 3, 0) : c + 4]
        if profile[c] < _EDGE_CHANCE or profile[c] < window.max() or (c and profile[c] == profile[c - 1]):
            continue
        cells = slice(max(c - 1, 0), c + 2)
        weight = near[:, cells] ** 2
        x = np.arange(len(profile))[cells] + shift[:, cells]
        x_mm = answer.left_mm + float((x * weight).sum() / weight.sum())
        if answer.shows(x_mm + (-_CUT_MM if name == "start" else _CUT_MM), y_mm):
            out.append(Edge(x_mm, float(profile[c])))
    return tuple(out)


def find_pulses(answer: SheetMap) -> tuple[Pulse, ...]:
    """Calibration pulses, left to right."""
    chance, size = answer.chance("pulse"), answer.channel("pulse_size") * PANEL_UNIT_MM
    pieces, n = label(chance > 0.5)
    out = []
    for k in range(1, n + 1):
        at = pieces == k
        if at.sum() < 12:
            continue
        rows, columns = np.nonzero(at)
        width, height = (float(np.median(size[j][at])) for j in (0, 1))
        # The piece reaches a cell beyond the pulse on every side, and may have holes. The network's own size is finer
        # but drawn towards the usual one: it gives way to a piece that is clearly taller, or surely smaller.
        tall = float(np.percentile(at.sum(axis=0)[np.unique(columns)], 75)) - 2
        wide = float(np.median(at.sum(axis=1)[np.unique(rows)])) - 2
        if wide > 14 or tall < 1.5:
            continue
        sure = float(chance[at].mean()) > 0.7
        if tall > 1.2 * height + 0.5 or (sure and tall < 0.65 * height):
            height = tall
        x, y = answer.left_mm + float(columns.mean()), answer.top_mm + float(rows.min()) + 1.0
        out.append(Pulse(x, y, width, height, float(chance[at].mean())))
    return tuple(sorted(out, key=lambda pulse: pulse.x_mm))


def find_scales(answer: SheetMap, name: str, read: WordReader) -> tuple[PrintedScale, ...]:
    """The printed speeds (``name`` "speed") or gains ("gain") on the sheet, surest first."""
    heat, chest = answer.chance(f"{name}_heat"), answer.chance("gain_chest")
    peaks = _peaks(heat, 3, _TEXT_CHANCE)
    places = [(answer.left_mm + c, answer.top_mm + r) for r, c in peaks]
    out = []
    for (r, c), place, p in zip(peaks, places, _scale_chances(read(places), name), strict=True):
        there = float(p.sum())
        if there > _NAME_CHANCE:
            only_chest = float(chest[r, c]) if name == "gain" else 0.0
            out.append(PrintedScale(*place, np.log(np.maximum(p / there, 1e-6)), there, only_chest))
    return tuple(sorted(out, key=lambda one: -one.chance))


def find_beside(
    known: Sequence[PrintedScale], others: Sequence[PrintedScale], name: str, read: WordReader
) -> tuple[PrintedScale, ...]:
    """``others``, printed speeds (``name`` "speed") or gains ("gain"), and one more where the surest of the ``known``
    scales of the other kind has none of them on its line: the sheet network overlooks some, and a line may be read
    piece by piece. The same must be read at two places side by side."""
    if not known or known[0].chance < _CLEAR_SCALE or _beside(known[0], others):
        return tuple(others)
    scale = known[0]
    best, surest = None, 0.0
    for side in (-1, 1):
        places = [(scale.x_mm + side * float(away), scale.y_mm) for away in np.arange(_NEAR_MM, _FAR_MM, _STEP_MM)]
        chances = _scale_chances(read(places), name)
        there, what = chances.sum(axis=1), chances.argmax(axis=1)
        twice = (what[1:] == what[:-1]) & (np.minimum(there[1:], there[:-1]) > _CLEAR_SCALE)
        for k in np.flatnonzero(twice) + (there[1:] > there[:-1])[twice]:
            if there[k] > surest:
                (x, y), surest = places[k], float(there[k])
                best = PrintedScale(x, y, np.log(np.maximum(chances[k] / surest, 1e-6)), min(surest, _READ_ON))
    return (*others, best) if best is not None else tuple(others)


def _scale_chances(words: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """(n, values) chances of the usual speeds (``name`` "speed") or gains ("gain") in those of ``words`` (n, WORDS)."""
    if name == "speed":
        return words[:, SPEEDS]
    odds = words[:, GAINS] * _GAIN_ODDS
    return np.asarray(odds / (1 + words[:, GAINS] @ (_GAIN_ODDS - 1))[:, None])


def paired(scales: Sequence[PrintedScale], others: Sequence[PrintedScale], alone: float) -> tuple[PrintedScale, ...]:
    """``scales``, surest first, the chances of those times ``alone`` that have none of ``others`` beside them.

    Speed and gain are printed on one line; what reads as a speed elsewhere is as a rule a rate, a filter or a spot.
    """

    known = (scale if _beside(scale, others) else replace(scale, chance=alone * scale.chance) for scale in scales)
    return tuple(sorted(known, key=lambda one: -one.chance))


def _beside(scale: PrintedScale, others: Sequence[PrintedScale]) -> bool:
    """Whether one of ``others`` stands on the line of ``scale``, beside it."""
    return any(
        abs(other.y_mm - scale.y_mm) < _LINE_MM and _NEAR_MM < abs(other.x_mm - scale.x_mm) < _FAR_MM
        for other in others
        if other.chance > _PARTNER
    )
