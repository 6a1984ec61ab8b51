"""What rows of lines tell of a sheet without a grid: how it lies turned, how it is seen from the side, how long it is.

All rows begin one under the other, and end so; bars between columns stand there, too; lines run level. On the sheet as
it was laid flat so far they do not quite, and the map that makes them do so is the better one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ecglift.geometry import apply_homography
from ecglift.models.strip import RowRead
from ecglift.paper import Layout, Panel
from ecglift.reading.bars import Bar, bar_at
from ecglift.reading.columns import common_place
from ecglift.reading.lineends import row_ends
from ecglift.reading.runs import line_span

Matrix = NDArray[np.float64]
Points = NDArray[np.float64]

_WIDER_MM: Final = 12.0
"""By how much further than they were thought to rows are looked at on either side."""

_WINDOWS: Final = 12
_SEEN: Final = 0.5
"""Pieces of a row in whose columns a line is seen, in that share of them, tell its level."""

_NEAR_MM: Final = 4.0
"""A bar stands where a column begins if it is so near to that along the row; rows that are as long to that are the
longest."""

_LEVEL_MM: Final = 0.6
_END_MM: Final = 0.1
_BAR_MM: Final = 0.05
_EVEN_MM: Final = 0.3
_ROWS_MM: Final = 1.5
_VIEW: Final = 0.15
"""How far lines wander about their level; ends, bars, the widths of columns and the distances of rows are off; and how
much nearer to the camera one place of a sheet is than another 100 mm away, in parts of the distance."""

_LEAST_ROWS: Final = 3
_STRAIGHT_MM: Final = 0.1
_MOST: Final = 0.6
_LEAST_SPREAD_MM: Final = 0.03
_TURN: Final = 0.0008
"""A lean is told by so many rows, that share of those whose ends are seen, that end within the second of one line. Ends
are off by the fourth at least, and the lean must be known to the last."""

_ALIKE: Final = 2.0
"""Starts and ends lean alike, or the sheet is seen from the side: to so many times what they are known to."""

_BLURS: Final = (30.0, 5.0, 1.0)
"""In how wide a sight the rows are looked at, one after the other, in parts of what they are usually off by."""

_EVIDENCE: Final = 5.0
"""A view from the side must explain the rows better than a turn alone by so much, in half squares of what they are off
by: on scans it is 3 at most, on photos more than 8."""

_UNIT_MM: Final = 100.0

_VAGUE_MM: Final = 0.2
"""Ends that are known no better do not tell."""


@dataclass(frozen=True)
class RowSeen:
    """The line of one row: ``levels`` (n, 2) mm, its middle height in pieces of it; ``panels_mm``: its first and last
    sample in every panel, None where the ink does not show them."""

    row: tuple[Panel, ...]
    levels: Points
    panels_mm: tuple[tuple[float | None, float | None], ...]

    @property
    def start_mm(self) -> float | None:
        return self.panels_mm[0][0]

    @property
    def end_mm(self) -> float | None:
        return self.panels_mm[-1][1]

    @property
    def baseline_mm(self) -> float:
        return float(np.median([panel.baseline_mm for panel in self.row]))


def widened(layout: Layout) -> Layout:
    """``layout`` with rows that reach further on both sides: seen from the side, some do."""
    ends = dict.fromkeys(layout.panels, (0.0, 0.0))
    for row in layout.rows():
        ends[row[0]] = (_WIDER_MM, ends[row[0]][1])
        ends[row[-1]] = (ends[row[-1]][0], _WIDER_MM)
    panels = (replace(p, x0_mm=p.x0_mm - ends[p][0], x1_mm=p.x1_mm + ends[p][1]) for p in layout.panels)
    return replace(layout, panels=tuple(panels))


def rows_seen(layout: Layout, reads: Sequence[RowRead]) -> tuple[RowSeen, ...]:
    """The rows of ``layout`` as their lines, ``reads`` in their order, show them."""
    out = []
    for row, read in zip(layout.rows(), reads, strict=True):
        x0, x1 = line_span(read)
        spans = [[panel.x0_mm, panel.x1_mm] for panel in row]
        spans[0][0], spans[-1][1] = (row[0].x0_mm if x0 is None else x0), (row[-1].x1_mm if x1 is None else x1)
        found = row_ends(read, [(a, b) for a, b in spans])
        ends = [[None if end is None or end.sigma_mm > _VAGUE_MM else end.x_mm for end in pair] for pair in found]
        ends[0][0], ends[-1][1] = (None if x0 is None else ends[0][0]), (None if x1 is None else ends[-1][1])
        levels = []
        for a, b in pairwise(np.linspace(spans[0][0], spans[-1][1], _WINDOWS + 1)):
            inside = (read.x_mm >= a) & (read.x_mm < b)
            seen = inside & (read.presence > _SEEN)
            if inside.any() and seen.sum() > _SEEN * inside.sum():
                levels.append(((a + b) / 2, float(np.median(read.y_mm[seen]))))
        out.append(RowSeen(row, np.array(levels).reshape(-1, 2), tuple((a, b) for a, b in ends)))
    return tuple(out)


def by_ends(seen: Sequence[RowSeen]) -> tuple[float | None, float | None]:
    """By how much more to the right rows begin and end a millimetre further down, and how long the longest are, mm;
    None where their ends do not tell, or not alike."""
    longest = max(one.row[-1].x1_mm - one.row[0].x0_mm for one in seen)
    long = [one for one in seen if one.row[-1].x1_mm - one.row[0].x0_mm > longest - _NEAR_MM]
    if len(long) == 1:
        start, end = long[0].start_mm, long[0].end_mm
        return None, None if start is None or end is None else end - start
    sides = [[(one.baseline_mm, x) for one in long if (x := one.panels_mm[k][k]) is not None] for k in (0, -1)]
    fits = [fit for side in sides if (fit := _line(np.array(side).reshape(-1, 2))) is not None]
    told = [fit for fit in fits if fit.known < _TURN]
    if not told or abs(told[0].lean - told[-1].lean) > _ALIKE * (told[0].known + told[-1].known):
        return None, None
    weight = np.array([fit.known**-2 for fit in told])
    lean = float(np.average([fit.lean for fit in told], weights=weight))
    middle = float(np.mean([one.baseline_mm for one in long]))
    places = [_at(side, lean, middle) for side in sides]
    return lean, None if places[0] is None or places[1] is None else places[1] - places[0]


@dataclass(frozen=True)
class _Line:
    """How much more to the right it goes a millimetre further down, and how well that is known."""

    lean: float
    known: float


def _line(places: Points) -> _Line | None:
    """The line that most of ``places`` (n, 2), y and x in mm, lie on; None where too few do."""
    n = len(places)
    if n < _LEAST_ROWS:
        return None
    y, x = places.T
    best: tuple[int, float, float] | None = None
    for i in range(n):
        for j in range(i + 1, n):
            lean = (x[j] - x[i]) / (y[j] - y[i])
            off = np.abs(x - x[i] - lean * (y - y[i]))
            key = int((off < _STRAIGHT_MM).sum()), -float(np.minimum(off, _STRAIGHT_MM).sum()), float(lean)
            if best is None or key > best:
                best = key
    assert best is not None
    off = x - best[2] * y
    on = np.abs(off - np.median(off)) < _STRAIGHT_MM
    if on.sum() < max(_LEAST_ROWS, _MOST * n):
        return None
    y, x = y[on] - y[on].mean(), x[on] - x[on].mean()
    lean = float((x @ y) / (y @ y))
    spread = max(float(np.sqrt(np.mean(np.square(x - lean * y)))), _LEAST_SPREAD_MM)
    return _Line(lean, spread / float(np.sqrt(y @ y)))


def _at(places: Sequence[tuple[float, float]], lean: float, middle_mm: float) -> float | None:
    """Where most of ``places`` (y and x in mm) lie at the height ``middle_mm``, None where they do not."""
    return common_place([x - lean * (y - middle_mm) for y, x in places], len(places), _STRAIGHT_MM)


def panel_mm(seen: Sequence[RowSeen]) -> float | None:
    """How long the panels of the rows with most of them are, by the ink of most of those; None where it does not
    tell."""
    n = max(len(one.row) for one in seen)
    ends = [both for one in seen if len(one.row) == n for both in one.panels_mm]
    lengths = [end - start for start, end in ends if start is not None and end is not None]
    return common_place(lengths, len(ends), _STRAIGHT_MM)


def straightened(seen: Sequence[RowSeen], bars: Sequence[Bar]) -> Matrix | None:
    """The homography (3, 3) from the sheet's millimetres so far to those in which rows begin and end one under the
    other, bars part columns of one width, and lines run level, with the scale as it is at the sheet's middle; None
    where too few rows tell, or a turn does nearly as well."""
    rows = [one for one in seen if len(one.levels) >= _LEAST_ROWS]
    if len(rows) < _LEAST_ROWS - 1:
        return None
    upright: list[tuple[float, float, int, float]] = []  # x, y, what stands under each other, how far off
    n = max(len(one.row) for one in rows)
    for one in rows:
        for k, x in ((0, one.start_mm), (n, one.end_mm)):
            if x is not None:
                upright.append((x, _level_at(one, x), k, _END_MM))
        if len(one.row) < n:
            continue
        for k, panel in enumerate(one.row):
            bar = bar_at(bars, panel.x0_mm, _level_at(one, panel.x0_mm), _NEAR_MM)
            if bar is not None:
                upright.append((bar.x_mm, (bar.top_mm + bar.bottom_mm) / 2, k, _BAR_MM))
    levels = np.concatenate([one.levels for one in rows])
    row_of = np.concatenate([np.full(len(one.levels), k) for k, one in enumerate(rows)])
    middle = (levels.min(axis=0) + levels.max(axis=0)) / 2
    points = np.array([(x, y) for x, y, _, _ in upright]).reshape(-1, 2)
    column = np.array([k for _, _, k, _ in upright], int)
    sure = np.array([off for _, _, _, off in upright])
    kinds = sorted(set(column.tolist()))
    at = np.searchsorted(kinds, column)

    def matrix(p: NDArray[np.float64]) -> Matrix:
        lean, slope, across, down = p[:4]
        bent = np.array([[1, lean, 0], [slope, 1, 0], [across / _UNIT_MM, down / _UNIT_MM, 1.0]])
        there = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]])
        return np.asarray(np.linalg.inv(there) @ bent @ there)

    def off(p: NDArray[np.float64]) -> NDArray[np.float64]:
        homography = matrix(p)
        heights, places = p[4 : 4 + len(rows)], p[4 + len(rows) :]
        level = (apply_homography(homography, levels)[:, 1] - heights[row_of]) / _LEVEL_MM
        stand = (apply_homography(homography, points)[:, 0] - places[at]) / sure
        even = (np.diff(places, 2) if len(kinds) == n + 1 else np.zeros(0)) / _EVEN_MM
        apart = np.diff(heights, 2) / _ROWS_MM
        return np.concatenate([level, stand, even, apart, p[2:4] / _VIEW])

    first = np.concatenate(
        [
            np.zeros(4),
            [float(np.median(one.levels[:, 1])) for one in rows],
            [float(np.median(points[at == k, 0])) for k in range(len(kinds))],
        ]
    )
    turned, aside = first[3:], None
    for blur in _BLURS:
        told = {"loss": "cauchy", "f_scale": blur, "x_scale": "jac"}
        turn = least_squares(lambda q: off(_turn(q)), turned, **told)
        turned = turn.x
        fit = least_squares(off, _turn(turned) if aside is None else aside, **told)
        aside = fit.x
    return matrix(fit.x) if turn.cost - fit.cost > _EVIDENCE else None


def _turn(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to fit for a sheet that only lies turned, by ``q[0]``."""
    return np.concatenate([[q[0], -q[0], 0.0, 0.0], q[1:]])


def _level_at(one: RowSeen, x_mm: float) -> float:
    return float(np.interp(x_mm, one.levels[:, 0], one.levels[:, 1]))
