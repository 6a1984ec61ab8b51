"""Columns were recorded together or one after the other: the beats of the lines tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.beats import activity, beat_offsets, likeness
from ecglift.paper import Layout, Panel
from ecglift.problem import Problem
from ecglift.sheet import Trace

Floats = NDArray[np.float64]

STAGE: Final = "starts"

_STEP_MM: Final = 0.05
_SMOOTH: Final = 21
_REACH: Final = 16
"""Places compared, how many are smoothed (1 mm) and how far they may be shifted (0.8 mm): a label or a pulse moves a
column's start, and the leads of a beat are not steepest at one moment."""
_EDGE_MM: Final = 1.0
_LEAST_MM: Final = 20.0

_ALIKE: Final = 0.55
_STEEPNESS: Final = 12.0
"""Likeness of both columns that says nothing, and nats per unit of it. Of 47 pages of two columns it was above 0.69 on
13 of 16 recorded together, and on 1 of 26 others."""
_FINE: Final = 9
_HALF: Final = 30
_OFFSET_REACH: Final = 24
"""Places of a finer look at single beats: smoothed over 0.45 mm, 3 mm of each compared, up to 1.2 mm to both sides."""
_LEAST_BEATS: Final = 4
_BEATS_ALIKE: Final = 0.6
_STEADY_MM: Final = 0.1
_PER_FOLD: Final = 2.2
_STEADY_LEAST: Final = -2.0
_STEADY_MOST: Final = 3.5
"""The same beats stand equally far apart, to 0.05 mm on 14 of 18 pages recorded together, while hearts vary: of 24
others none was below 0.11 mm. Nats per e-fold by which what is left of the offsets, without what grows along the
column, is smaller than the third number; of so many beats, or more, that are that much alike. A bent map spoils it, so
it is bounded."""
_HARDLY: Final = 1.5
"""Nats below which a person is told that it may be the other way round: of 53 pages of two columns six that are right
and both that are wrong."""
_STRIP: Final = 10.0
_STRIP_MOST: Final = 6.0
_CLEAR: Final = 0.5
"""Nats per unit by which a later column is liker to the beginning of the rhythm strip than to what is below it, at
the most, and the likeness from which on a strip counts."""
_MANY: Final = -4.0
"""Log-odds of more than two columns showing the same seconds, which few devices print. Their own beats, two or three,
do not tell."""


def find_starts(layout: Layout, traces: tuple[Trace, ...], log_odds: float = 0.0) -> tuple[Layout, tuple[Problem, ...]]:
    """``layout`` with all columns beginning at 0 s or each at the end of the one before it, and what a person should
    be told: where beats return as evenly as a column is long, both look alike.

    ``log_odds``: of two columns showing the same seconds, by what was seen before; it decides where the lines show
    too little.
    """
    by_row = {trace.row: trace for trace in traces if len(trace.x_mm) > 1}
    rows = [row for row in layout.rows() if len(row) > 1 and not row[0].rhythm and row[0].row in by_row]
    if not rows or len({len(row) for row in rows}) > 1:
        return layout, ()
    width_mm = min(p.x1_mm - p.x0_mm for row in rows for p in row)
    strips = [p.row for p in layout.panels if p.rhythm and p.row in by_row]
    if len(rows[0]) > 2:
        log_odds = _MANY
    if width_mm >= _LEAST_MM:
        along = np.arange(_EDGE_MM, width_mm - _EDGE_MM, _STEP_MM)
        log_odds += _strips_say(rows, strips, by_row, along)
        if len(rows[0]) == 2:
            log_odds += _lines_say(rows, by_row, along)
    together = log_odds > 0
    problems = (_doubt(together),) if abs(log_odds) < _HARDLY else ()
    length_s = _length_mm(rows) / layout.speed_mm_s
    starts = {p.start_s for row in rows for p in row}
    if together == (len(starts) == 1):
        return layout, problems
    return replace(layout, panels=tuple(_begun(p, together, length_s) for p in layout.panels)), problems


def _length_mm(rows: list[tuple[Panel, ...]]) -> float:
    """How long most columns are."""
    return float(np.median([p.x1_mm - p.x0_mm for row in rows for p in row]))


def _doubt(together: bool) -> Problem:
    taken = "show the same seconds" if together else "follow each other"
    text = f"the columns are taken to {taken}, which their beats hardly tell from the other; compare the page"
    return Problem("starts-uncertain", STAGE, f"{text}, or its other prints")


def _begun(panel: Panel, together: bool, length_s: float) -> Panel:
    if panel.rhythm or panel.column == 0:
        return panel
    return replace(panel, start_s=0.0 if together else panel.column * length_s)


def _lines_say(pairs: list[tuple[Panel, ...]], by_row: dict[int, Trace], along: Floats) -> float:
    """Log-odds of two columns showing the same seconds by the beats in them, at the places ``along`` from their
    starts."""
    first, second = (activity(by_row, [(row[k].row, row[k].x0_mm) for row in pairs], along, _SMOOTH) for k in (0, 1))
    if not first.any() or not second.any():
        return 0.0
    return _STEEPNESS * (likeness(first, second, _REACH) - _ALIKE) + _steadiness(pairs, by_row, along)


def _strips_say(rows: list[tuple[Panel, ...]], strips: list[int], by_row: dict[int, Trace], along: Floats) -> float:
    """Log-odds of all columns showing the same seconds by the beats in the later ones, which stand in the rhythm
    strips at their beginning or where the columns before them end."""
    if not strips:
        return 0.0

    def shown(columns: list[tuple[int, float]]) -> Floats:
        return activity(by_row, columns, along, _SMOOTH)

    begin_mm, length_mm = float(np.median([row[0].x0_mm for row in rows])), _length_mm(rows)
    first = shown([(row, begin_mm) for row in strips])
    said = 0.0
    for k in range(1, len(rows[0])):
        later, below = shown([(row[k].row, row[k].x0_mm) for row in rows]), begin_mm + k * length_mm
        begin, here = (likeness(later, one, _REACH) for one in (first, shown([(row, below) for row in strips])))
        if max(begin, here) > _CLEAR:
            said += float(np.clip(_STRIP * (begin - here), -_STRIP_MOST, _STRIP_MOST))
    return said


def _steadiness(pairs: list[tuple[Panel, ...]], by_row: dict[int, Trace], along_mm: Floats) -> float:
    """Log-odds of both columns showing the same seconds by how steadily the beats of one stand beside the other's."""
    first, second = (activity(by_row, [(row[k].row, row[k].x0_mm) for row in pairs], along_mm, _FINE) for k in (0, 1))
    offset, alike = beat_offsets(first, second, _HALF, _OFFSET_REACH)
    if len(offset) < _LEAST_BEATS or float(np.median(alike)) < _BEATS_ALIKE:
        return 0.0
    beat = np.arange(len(offset), dtype=float)
    ways = [np.stack([beat**0, beat])]
    if len(offset) > _LEAST_BEATS:
        # A pacemaker's spikes or tall T waves are every second peak, and leads have them at other distances.
        ways.append(np.stack([beat**0, beat, (-1) ** beat]))
    spread_mm = _STEP_MM * min(_spread(offset, way) for way in ways)
    return float(np.clip(_PER_FOLD * np.log(_STEADY_MM / max(spread_mm, 1e-3)), _STEADY_LEAST, _STEADY_MOST))


def _spread(values: Floats, ways: Floats) -> float:
    """Standard deviation of ``values`` (n,) about the best sum of ``ways`` (m, n)."""
    left = values - ways.T @ np.linalg.lstsq(ways.T, values, rcond=None)[0]
    return float(np.sqrt((left**2).sum() / (len(values) - len(ways))))
