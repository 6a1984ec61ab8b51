"""Where rows begin and end: where their lines are first and last seen.

The layout knows its columns by what a coarse look at the sheet shows of them. The trace network sees a line end to a
tenth of a millimetre; a beginning as well, unless a pulse is joined to it. The ink tells both to some hundredths. All
rows of a sheet begin and end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import RowRead
from ecglift.paper import Layout, Panel
from ecglift.reading.inkends import ink_ends, pen_width_mm

_RUN_MM: Final = 3.0
_RUN_SHARE: Final = 0.85
_RUN_KNOWN: Final = 0.5
_KNOWN_MM: Final = 0.6
"""A line begins where it is likely from there on in that share of so many millimetres and seen in half of them, its
height known so well: a complex is steep."""
_BEYOND_MM: Final = 0.5
"""So much of the paper beyond its end must be shown for an end to be one."""
_DRAWN_MM: Final = 0.08
"""By how much the last sample of a line lies before its panel's end: half a sample, and what the network misses."""
_NEAR_MM: Final = 0.3
"""A layout whose end is as near as this stays as it is: its columns stand on grid lines and last whole seconds."""
_SHIFT_MM: Final = 1.5
_LENGTH_MM: Final = 0.5
_LENGTH_SHARE: Final = 0.0025
"""How far a layout is moved at the most, and by how much its length and the lines' may differ to be the same: so many
mm, or that share of a long row."""
_EXACT_MM: Final = 0.15
"""Rows that all begin within so much of each other begin there."""
_SHORTER_MM: Final = 8.0
"""By how much rows may be shorter or longer than the layout says."""
_ALIKE_MM: Final = 0.5
_MOST_ROWS: Final = 0.6
"""That share of the rows must end within so much of the place where half of them do."""

_INK_ALIKE_MM: Final = 0.05
_INK_MOST_MM: Final = 0.6
"""Rows' ink begins and ends alike within the first; columns are moved by it up to the second."""

_CAP: Final = 0.4
_CAPS_MOST: Final = 1.25
"""How far the ink reaches beyond the first and last sample, in parts of a line's width, measured on round ends, and at
most, beyond both, with ends of any shape."""

_ROUGH_MM: Final = 0.12
_SHARP_MM: Final = 0.06
_SEVERAL: Final = 3
"""One end alone may be a stain's, or faint; where so many rows or more all end within the second of each other it mends
what is off by more than the first."""

_STEP_S: Final = 0.05
_SLACK_MM: Final = 0.04
_INK_LENGTH_MM: Final = 0.3
"""Columns, or a row of columns without gaps, last whole multiples of the first, if the ink can be so long, to the
second; else they last as long as they were thought to, to the third."""

_JOINED_MM: Final = 0.25
"""Ink that begins so much before the columns that end where it ends is a pulse that is joined to the line."""

_GAP_MM: Final = 0.4
_ON_LINE_MM: Final = 0.01
_LINE_MM: Final = 5.0
_SNAP_MM: Final = 0.06
"""A start this near to a heavy line of the grid stands on it, and one that stands on any line stays there: lines are
known better than the ink."""


def placed(layout: Layout, reads: Sequence[RowRead]) -> Layout:
    """``layout`` with its columns moved, or made longer or shorter together, to where the lines of its rows, ``reads``
    in their order, begin and end. What is right to 0.3 mm, or is not seen alike on most rows, stays as it was."""
    seen = [line_span(read) for read in reads]
    layout = _touching(_in_line(layout, seen, reads), reads)
    rows = layout.rows()
    widest = max(len(row) for row in rows)
    x0 = float(np.median([row[0].x0_mm for row in rows if len(row) == widest]))
    x1 = float(np.median([row[-1].x1_mm for row in rows if len(row) == widest]))
    together = [abs(row[0].x0_mm - x0) < _SHORTER_MM and abs(row[-1].x1_mm - x1) < _SHORTER_MM for row in rows]
    spans = [span for span, one in zip(seen, together, strict=True) if one]
    starts, ends = ([x for span in spans if (x := span[k]) is not None] for k in (0, 1))
    start, end = _common(starts, len(spans)), _common(ends, len(spans))
    if end is None:
        return layout
    end += _DRAWN_MM
    later = end - x1
    if abs(later) <= _NEAR_MM:
        return layout
    whole = round((end - start) / layout.speed_mm_s) * layout.speed_mm_s if start is not None else 0.0
    if start is not None and whole > 0 and abs(end - start - whole) < max(_LENGTH_MM, _LENGTH_SHARE * whole):
        # Tall lines seem to end half a millimetre early: where they begin as they should, only their length is another.
        exact = len(starts) == len(spans) > 1 and np.ptp(starts) < _EXACT_MM
        shift = 0.0 if abs(start - x0) < _NEAR_MM else (start if exact else 0.5 * (start + end - whole)) - x0
        return _moved(layout, together, shift, x0, whole / (x1 - x0))
    if start is not None and abs((end - start) - (x1 - x0)) < _NEAR_MM:
        # As long as it was thought to be, only elsewhere.
        return _moved(layout, together, later, x0, 1.0) if abs(later) < _SHIFT_MM else layout
    lasts = (x1 - x0) / layout.speed_mm_s
    cut = later < 0 and abs(lasts - round(lasts)) * layout.speed_mm_s < _DRAWN_MM
    if start is not None and -_NEAR_MM < start - x0 < 2 * _NEAR_MM:
        # An edge, a stain or a glare may end rows early: then one goes on, or it is not by much, or columns of whole
        # seconds that begin as they should are cut off.
        early = later < 0 and (max(ends) > end + _ALIKE_MM or later > -_SHIFT_MM or cut)
        return layout if early else _moved(layout, together, 0.0, x0, (end - x0) / (x1 - x0))
    if start is not None and cut and 0 < start - x0 < _SHIFT_MM:
        # Devices print the last column shorter: those before it last as long as they do.
        return _moved(layout, together, start - x0, x0, 1.0)
    if start is not None and start > x0 and min(starts) > start - _ALIKE_MM:
        # The layout begins at the labels.
        return _moved(layout, together, start - x0, x0, (end - start) / (x1 - x0))
    # A pulse joined to the line makes it begin early; where it ends says how far the columns are off.
    return _moved(layout, together, later, x0, 1.0) if 0 < later < _SHIFT_MM else layout


def aligned(layout: Layout, reads: Sequence[RowRead], fs_hz: float) -> Layout:
    """``layout`` with its columns where the ink of its rows, ``reads``, begins and ends, to some hundredths of a
    millimetre: moved together, and as long and as far apart as the ink is, where most rows show it alike.

    ``fs_hz``: the last sample of a line stands one before its panel's end, and the rate that is asked for is the best
    guess of the one that was printed. A quarter of a millisecond is seen in a signal of 30 dB, and nothing later can
    tell it.
    """
    width = pen_width_mm(reads)
    if width is None:
        return layout
    sample_mm = layout.speed_mm_s / fs_hz
    alike: dict[tuple[float, ...], list[_Seen]] = {}
    seen = [_Seen.of(row, read) for row, read in zip(layout.rows(), reads, strict=True)]
    for one in seen:
        alike.setdefault(tuple(round(x, 2) for p in one.row for x in (p.x0_mm, p.x1_mm)), []).append(one)
    changed: dict[Panel, Panel] = {}
    for rows in alike.values():
        fitted = _Ink.of(rows, seen, width, sample_mm).columns(rows[0].row, layout.speed_mm_s)
        if fitted is None:
            continue
        for one in rows:
            for panel, (x0, x1) in zip(one.row, fitted, strict=True):
                start_s = panel.start_s * (x1 - x0) / (panel.x1_mm - panel.x0_mm)
                changed[panel] = replace(panel, x0_mm=x0, x1_mm=x1, start_s=start_s)
    return replace(layout, panels=tuple(changed.get(p, p) for p in layout.panels)) if changed else layout


@dataclass(frozen=True)
class _Seen:
    """Where the ink of one row begins and ends in each of its panels, mm, None where it is not seen to."""

    row: tuple[Panel, ...]
    starts: tuple[float | None, ...]
    ends: tuple[float | None, ...]

    @classmethod
    def of(cls, row: tuple[Panel, ...], read: RowRead) -> _Seen:
        starts, ends = zip(*(ink_ends(read, p.x0_mm, p.x1_mm) for p in row), strict=True)
        return cls(row, starts, ends)


@dataclass(frozen=True)
class _Ink:
    """Where the ink of rows with the same columns begins and ends in each of them, mm, None where it is not seen to.

    ``pen_mm``: its width; ``sample_mm``: between two samples; ``sharp``: whether the first start and the last end are
    the same on all rows, and on several.
    """

    starts: tuple[float | None, ...]
    ends: tuple[float | None, ...]
    pen_mm: float
    sample_mm: float
    sharp: tuple[bool, bool] = (False, False)

    @classmethod
    def of(cls, rows: Sequence[_Seen], all_rows: Sequence[_Seen], pen_mm: float, sample_mm: float) -> _Ink:
        """What ``rows`` have in common; where they begin and end they have it with all that do so there."""
        old = rows[0].row
        first = [one.starts[0] for one in all_rows if abs(one.row[0].x0_mm - old[0].x0_mm) < _ON_LINE_MM]
        last = [one.ends[-1] for one in all_rows if abs(one.row[-1].x1_mm - old[-1].x1_mm) < _ON_LINE_MM]
        inner = range(1, len(old))
        starts = (_alike(first), *(_alike([one.starts[k] for one in rows]) for k in inner))
        ends = (*(_alike([one.ends[k - 1] for one in rows]) for k in inner), _alike(last))
        return cls(starts, ends, pen_mm, sample_mm, (_sharp(first), _sharp(last)))

    def columns(self, old: tuple[Panel, ...], speed_mm_s: float) -> list[tuple[float, float]] | None:
        """From where to where the columns reach, which were thought to be ``old``; None where the ink does not say."""
        n, step, thought = len(old), _STEP_S * speed_mm_s, (old[0].x0_mm, old[-1].x1_mm)
        if (gapped := self._gapped()) is not None:
            start, inked, pitch = gapped
            span = self._span(start, start + inked, (thought[0], thought[0] + pitch), step)
        elif any(b.x0_mm - a.x1_mm > _ON_LINE_MM for a, b in pairwise(old)):
            return None
        else:
            span, pitch = self._span(self.starts[0], self.ends[-1], thought, n * step), 0.0
            if span is not None and abs(span[1] - thought[1]) > _INK_MOST_MM:
                return None
        if span is None or abs(span[0] - thought[0]) > _INK_MOST_MM:
            return None
        x0, length = _on_line(span[0], thought[0]), (span[1] - span[0]) / (1 if pitch else n)
        return [(x0 + k * (pitch or length), x0 + k * (pitch or length) + length) for k in range(n)]

    def _span(
        self, start: float | None, end: float | None, thought: tuple[float, float], step: float
    ) -> tuple[float, float] | None:
        """From where to where a line lasts whose ink reaches from ``start`` to ``end``: whole multiples of ``step``
        mm, or as long as it was ``thought`` to. None where that is not known better than it was."""
        x0, whole, cap = thought[0], thought[1] - thought[0], _CAP * self.pen_mm
        begin = None if start is None else start + cap
        stop = None if end is None else end - cap + self.sample_mm
        if begin is not None and stop is not None:
            most = _CAPS_MOST * self.pen_mm
            inked = stop - begin + 2 * cap - most / 2
            length = step * round(inked / step)
            if abs(inked - length) < most / 2 + _SLACK_MM:
                # The pen reaches as far beyond the first sample as beyond the last, however far that is.
                return (begin + stop - length) / 2, (begin + stop + length) / 2
            if abs(stop - begin - whole) < _INK_LENGTH_MM:
                return begin, stop
        if abs(whole - step * round(whole / step)) > _ON_LINE_MM:
            return None
        if begin is not None and stop is not None:
            # A pulse that is joined to the line makes it begin early.
            return (stop - whole, stop) if begin - x0 < -_JOINED_MM else None
        if stop is not None and self.sharp[1]:
            begin = stop - whole
        elif not self.sharp[0]:
            return None
        return (begin, begin + whole) if begin is not None and abs(begin - x0) > _ROUGH_MM else None

    def _gapped(self) -> tuple[float, float, float] | None:
        """(start, length, pitch) mm of the ink of columns with gaps between them, None without."""
        gaps = [b - a for a, b in zip(self.ends[:-1], self.starts[1:], strict=True) if a is not None and b is not None]
        if not gaps or min(gaps) < _GAP_MM:
            return None
        known = [(k, 0.0, x) for k, x in enumerate(self.starts) if x is not None]
        known += [(k, 1.0, x) for k, x in enumerate(self.ends) if x is not None]
        while len(known) > 2:
            terms, places = np.array([(1.0, k, end) for k, end, _ in known]), np.array([x for _, _, x in known])
            if np.linalg.matrix_rank(terms) < 3:
                return None
            fit = np.linalg.lstsq(terms, places, rcond=None)[0]
            off = np.abs(places - terms @ fit)
            if off.max() < _INK_ALIKE_MM:
                return float(fit[0]), float(fit[2]), float(fit[1])
            known.pop(int(off.argmax()))
        return None


def _on_line(x0: float, before: float) -> float:
    """The start ``x0``, or rather the line of the grid on which it was ``before``, or a heavy one that is there."""
    if abs(before - round(before)) < _ON_LINE_MM and abs(x0 - before) < _SNAP_MM:
        return before
    line = _LINE_MM * round(x0 / _LINE_MM)
    return line if abs(x0 - line) < _SNAP_MM else x0


def _sharp(places: Sequence[float | None]) -> bool:
    """Whether all rows, and several, have their ends at the same place."""
    seen = [x for x in places if x is not None]
    return len(seen) == len(places) >= _SEVERAL and float(np.ptp(seen)) < _SHARP_MM


def _alike(places: Sequence[float | None]) -> float | None:
    """The place (mm) at which the ink of most rows ends, None without one."""
    seen = [x for x in places if x is not None]
    if not seen:
        return None
    middle = float(np.median(seen))
    near = [x for x in seen if abs(x - middle) < _INK_ALIKE_MM]
    return float(np.mean(near)) if len(near) >= max(_MOST_ROWS * len(places), 1) else None


def _in_line(layout: Layout, spans: Sequence[tuple[float | None, float | None]], reads: Sequence[RowRead]) -> Layout:
    """``layout`` without a row that reaches out alone, to a label or a pulse, where its line begins and ends with the
    others' or is not seen all the way to there. ``spans``: of every row's line, see :func:`line_span`."""
    rows = layout.rows()
    x0, x1 = float(np.median([row[0].x0_mm for row in rows])), float(np.median([row[-1].x1_mm for row in rows]))
    changed: dict[Panel, Panel] = {}
    for row, (start, end), read in zip(rows, spans, reads, strict=True):
        first, last = row[0], row[-1]
        begins = start is not None and abs(start - x0) < 2 * _NEAR_MM
        if x0 - first.x0_mm > _NEAR_MM and (begins or not _runs_through(read, first.x0_mm, x0)):
            changed[first] = replace(first, x0_mm=x0)
        last = changed.get(last, last)
        if end is not None and last.x1_mm - x1 > _NEAR_MM and abs(end - x1) < 2 * _NEAR_MM:
            changed[row[-1]] = replace(last, x1_mm=x1)
    return replace(layout, panels=tuple(changed.get(p, p) for p in layout.panels)) if changed else layout


def _touching(layout: Layout, reads: Sequence[RowRead]) -> Layout:
    """``layout`` with columns that touch where it has gaps between them that most rows' lines run through."""
    rows = layout.rows()
    gaps = [
        (read, a.x1_mm, b.x0_mm)
        for row, read in zip(rows, reads, strict=True)
        for a, b in pairwise(row)
        if b.x0_mm - a.x1_mm > _LENGTH_MM
    ]
    seen = [_runs_through(*gap) for gap in gaps]
    if not seen or np.mean(seen) < _MOST_ROWS:
        return layout
    changed: dict[Panel, Panel] = {}
    for row in rows:
        x0, width = row[0].x0_mm, (row[-1].x1_mm - row[0].x0_mm) / len(row)
        for k, panel in enumerate(row):
            start_s = k * width / layout.speed_mm_s if panel.start_s > 0 else panel.start_s
            changed[panel] = replace(panel, x0_mm=x0 + k * width, x1_mm=x0 + (k + 1) * width, start_s=start_s)
    return replace(layout, panels=tuple(changed[panel] for panel in layout.panels))


def _runs_through(read: RowRead, x0_mm: float, x1_mm: float) -> bool:
    """Whether the row's line is seen all the way between two places."""
    between = (read.x_mm > x0_mm) & (read.x_mm < x1_mm)
    return bool(np.mean(_seen(read)[between]) > _RUN_SHARE) if between.any() else False


def _seen(read: RowRead) -> NDArray[np.bool_]:
    """(n,) columns with a line: on blank paper the network may say that there is one, but not at which height."""
    return np.asarray((read.presence > 0.5) & (read.sigma_mm < _KNOWN_MM), np.bool_)


def line_span(read: RowRead) -> tuple[float | None, float | None]:
    """Where the row's line is first and last seen, mm; None where no piece of 3 mm of it is, or where it goes on to
    where the picture ends."""
    seen = _seen(read)
    step = float(np.diff(read.x_mm).mean())
    n = round(_RUN_MM / step)
    likely, known = (_share(columns, n) for columns in (read.presence > 0.5, seen))
    run = (likely > _RUN_SHARE) & (known > _RUN_KNOWN)
    first, last = np.flatnonzero(run & seen[: len(run)]), np.flatnonzero(run & seen[n - 1 :]) + n - 1
    if not len(first) or not len(last):
        return None, None
    a, b, beyond = int(first[0]), int(last[-1]), round(_BEYOND_MM / step)
    # What the picture does not show has no chance at all.
    begins, stops = (
        len(part) == beyond and bool((part > 0).all())
        for part in (read.presence[max(a - beyond, 0) : a], read.presence[b + 1 : b + 1 + beyond])
    )
    return (
        float(read.x_mm[a] - step / 2) if begins else None,
        float(read.x_mm[b] + step / 2) if stops else None,
    )


def _share(columns: NDArray[np.bool_], n: int) -> NDArray[np.float64]:
    """Share of the marked ones among ``n`` columns from each on."""
    count = np.concatenate([[0], np.cumsum(columns)])
    return np.asarray((count[n:] - count[:-n]) / n)


def _common(places: Sequence[float], rows: int) -> float | None:
    """The place (mm) that most of ``rows`` agree on, None without one."""
    if not places:
        return None
    middle = float(np.median(places))
    near: NDArray[np.float64] = np.array([x for x in places if abs(x - middle) < _ALIKE_MM])
    return float(near.mean()) if len(near) >= max(_MOST_ROWS * rows, 1) else None


def _moved(layout: Layout, together: Sequence[bool], shift: float, origin: float, stretch: float) -> Layout:
    """The layout with the panels of its rows that stand ``together`` moved by ``shift`` mm and stretched from
    ``origin`` on."""
    rows = {row[0].row for row, one in zip(layout.rows(), together, strict=True) if one}

    def moved(panel: Panel) -> Panel:
        if panel.row not in rows:
            return panel
        x0, x1 = (float(origin + shift + stretch * (x - origin)) for x in (panel.x0_mm, panel.x1_mm))
        return replace(panel, x0_mm=x0, x1_mm=x1, start_s=panel.start_s * stretch)

    return replace(layout, panels=tuple(moved(panel) for panel in layout.panels))
