"""Where rows begin and end, to a tenth of a millimetre: where their lines are first and last seen.

The layout knows its columns by what a coarse look at the sheet shows of them. The trace network sees a line end to 0.1
mm; a beginning as well, unless a pulse is joined to it. All rows of a sheet begin and end together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.ndimage import find_objects, label

from ecglift.models.strip import RowRead
from ecglift.paper import PULSE_S, Layout, Panel
from ecglift.reading.columns import MOST_ROWS, common_place, even_columns, nominal_mm
from ecglift.reading.marks import Pulse
from ecglift.reading.runs import line_span, runs_through, seen_in

_DRAWN_MM: Final = 0.08
"""By how much the last sample of a line lies before its panel's end: half a sample, and what the network misses."""
_NEAR_MM: Final = 0.3
"""A layout whose end is as near as this stays as it is: its columns stand on grid lines and last whole seconds."""
_SHIFT_MM: Final = 1.5
_LENGTH_MM: Final = 0.5
_LENGTH_SHARE: Final = 0.0025
"""How far a layout is moved at the most, and by how much its length and the lines' may differ to be the same: so many
mm, or that share of a long row."""
_FAR_OFF_MM: Final = 3.0
_ABOUT_MM: Final = 1.0
"""Lines that are longer or shorter by the first than a layout of no whole seconds last whole seconds if they are as
near to them as the second."""
_EXACT_MM: Final = 0.15
"""Rows that all begin within so much of each other begin there."""
_SHORTER_MM: Final = 8.0
"""By how much rows may be shorter or longer than the layout says."""
_ALIKE_MM: Final = 0.5
_SOME: Final = 0.4
_APART_MM: Final = 1.5
"""Most rows must end within so much of the place where most of them do; the second share will do where the rest fits.
Columns with a gap of the third between them are looked at one by one."""
_GAP_AT: Final = 0.35
_GAP_STEP_MM: Final = 0.1
_HARDLY: Final = 0.25
"""A gap is looked for up to the first, of a pitch, to either side of where it is thought to be; in it no more than the
third of the rows are seen."""
_FOOT_MM: Final = 8.0
_FEW: Final = 2
_LEVEL_MM: Final = 0.3
"""The line behind a pulse is shorter than the first, and level to the third; so many pulses are no accident."""
_ROUND_S: Final = 2.5
"""Rows last whole multiples of that as a rule."""


def placed(layout: Layout, reads: Sequence[RowRead], pulses: Sequence[Pulse] = ()) -> Layout:
    """``layout`` with its columns moved, or made longer or shorter together, to where the lines of its rows, ``reads``
    in their order, begin and end. What is right to 0.3 mm, or is not seen alike on most rows, stays as it was.
    ``pulses``: the sheet's, to which the lines may be joined."""
    seen = [line_span(read) for read in reads]
    layout = _strips_alone(_touching(_in_line(layout, seen, reads, pulses), reads), seen)
    if (behind := _behind_pulse(layout, pulses) or _behind_foot(layout, pulses, reads, seen)) is not None:
        return behind
    if (apart := _apart(layout, reads)) is not None:
        return _strips_alone(apart, seen)
    rows = layout.rows()
    widest = _widest(rows)
    x0, x1 = _extent(widest)
    thought = _whole_mm(x1 - x0, layout.speed_mm_s)

    def whole_mm(start: float, end: float) -> float | None:
        far_off = thought is None and abs(end - start - (x1 - x0)) > _FAR_OFF_MM
        return _whole_mm(end - start, layout.speed_mm_s, _ABOUT_MM if far_off else _LENGTH_MM)

    together = _reaching(rows, x0, x1, _SHORTER_MM)
    spans = [span for span, one in zip(seen, together, strict=True) if one]
    starts, ends = ([x for span in spans if (x := span[k]) is not None] for k in (0, 1))
    start, end = (common_place(places, len(spans), _ALIKE_MM) for places in (starts, ends))
    if start is None or end is None:
        # Some rows will do where they last whole seconds: the others begin at their labels, or end in a stain.
        some = [common_place(places, len(spans), _ALIKE_MM, _SOME) for places in (starts, ends)]
        if some[0] is not None and some[1] is not None and whole_mm(some[0], some[1]) is not None:
            start, end = some
    if end is None and len(widest[0]) == 1 and len(starts) == len(spans) > 1 and np.ptp(starts) < _EXACT_MM:
        # The picture's edge cuts them off, each elsewhere.
        begin = float(np.mean(starts))
        return _moved(layout, together, begin - x0, x0, (x1 - begin) / (x1 - x0)) if begin < x1 else layout
    if end is None:
        return layout
    end += _DRAWN_MM
    later = end - x1
    whole = whole_mm(start, end) if start is not None else None
    rounder = whole is not None and thought is None
    if abs(later) <= _NEAR_MM and not rounder:
        # Names in front of the lines, at their height, pass for their beginning.
        alike = len(starts) == len(spans) and np.ptp(starts) < _ALIKE_MM
        if start is None or start - x0 <= _SHIFT_MM or not alike:
            return layout
        return _moved(layout, together, start - x0, x0, (end - start) / (x1 - x0))
    if start is not None and whole is not None:
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
        # Devices print the last column shorter: those before it last as long as they do. Lines that begin late each in
        # its own way are stained or faint there, or at the picture's edge.
        alike = max(starts) - min(starts) < _ALIKE_MM
        return _moved(layout, together, start - x0, x0, 1.0) if alike else layout
    if start is not None and start > x0 and min(starts) > start - _ALIKE_MM:
        # The layout begins at the labels.
        return _moved(layout, together, start - x0, x0, (end - start) / (x1 - x0))
    if start is not None and thought is None and -_SHIFT_MM < start - x0 < 0 < later < _SHIFT_MM:
        return _moved(layout, together, start - x0, x0, (end - start) / (x1 - x0))
    # A pulse joined to the line makes it begin early; where it ends says how far the columns are off.
    return _moved(layout, together, later, x0, 1.0) if 0 < later < _SHIFT_MM else layout


def _gapped(row: tuple[Panel, ...]) -> bool:
    """Whether a row was thought to have gaps between its columns."""
    return any(b.x0_mm - a.x1_mm > _LENGTH_MM for a, b in pairwise(row))


def _widest(rows: Sequence[tuple[Panel, ...]]) -> list[tuple[Panel, ...]]:
    """The rows with the most columns."""
    most = max(len(row) for row in rows)
    return [row for row in rows if len(row) == most]


def _extent(rows: Sequence[tuple[Panel, ...]]) -> tuple[float, float]:
    """From where to where most rows were thought to reach, mm."""
    return float(np.median([row[0].x0_mm for row in rows])), float(np.median([row[-1].x1_mm for row in rows]))


def _reaching(rows: Sequence[tuple[Panel, ...]], x0_mm: float, x1_mm: float, near_mm: float) -> list[bool]:
    """Which rows were thought to begin within ``near_mm`` of one place and to end about at the other."""
    return [abs(row[0].x0_mm - x0_mm) < near_mm and abs(row[-1].x1_mm - x1_mm) < _SHORTER_MM for row in rows]


def _exchanged(layout: Layout, changed: Mapping[Panel, Panel]) -> Layout:
    """``layout`` with what some of its panels became."""
    return replace(layout, panels=tuple(changed.get(panel, panel) for panel in layout.panels))


def _behind_pulse(layout: Layout, pulses: Sequence[Pulse]) -> Layout | None:
    """``layout`` beginning behind the pulse with which it was thought to begin; None where it does not. Pulses of rows
    that stand close hang together, and their feet pass for lines."""
    rows, speed = layout.rows(), layout.speed_mm_s
    x0, x1 = _extent(rows)
    pulse_mm, length = PULSE_S * speed, x1 - x0
    inside = any(-_SHIFT_MM < pulse.x_mm - x0 < pulse_mm for pulse in pulses)
    if not inside or nominal_mm(length, speed) is not None or nominal_mm(length - pulse_mm, speed, _ROUND_S) is None:
        return None
    together = _reaching(rows, x0, x1, _ALIKE_MM)
    return _moved(layout, together, pulse_mm, x0, 1 - pulse_mm / length)


def _behind_foot(
    layout: Layout,
    pulses: Sequence[Pulse],
    reads: Sequence[RowRead],
    seen: Sequence[tuple[float | None, float | None]],
) -> Layout | None:
    """``layout`` beginning whole seconds before its end, where what it was thought to begin with is the level line
    behind a pulse, or such a pulse and that line; None where it is not. ``seen``: of every row's line, see
    :func:`line_span`."""
    rows, speed = layout.rows(), layout.speed_mm_s
    if any(_gapped(row) for row in rows):
        return None  # the gaps, not a pulse, make the rows no whole seconds long
    x0, x1 = _extent(rows)
    if nominal_mm(x1 - x0, speed) is not None:
        return None
    joined = [pulse.x_mm + pulse.width_mm / 2 for pulse in pulses if abs(pulse.x_mm - x0) < _SHIFT_MM]
    # A layout that begins within a pulse was found by its looks, and may end as far off.
    end = common_place([x for _, x in seen if x is not None], len(rows), _ALIKE_MM) if joined else None
    length = (end + _DRAWN_MM if end is not None and abs(end - x1) < _FAR_OFF_MM else x1) - x0
    rest = length % (_ROUND_S * speed)
    behind = joined or any(_stands_before(pulse, x0, _FAR_OFF_MM) for pulse in pulses)
    if not behind or not _SHIFT_MM < rest < _FOOT_MM or rest == length:
        return None
    foot = float(np.median(joined)) if joined else x0
    if np.mean([_level(read, foot + _ALIKE_MM, x0 + rest - _ALIKE_MM) for read in reads]) < MOST_ROWS:
        return None
    together = _reaching(rows, x0, x1, _ALIKE_MM)
    changed: dict[Panel, Panel] = {}
    for row in (row for row, one in zip(rows, together, strict=True) if one):
        width = (length - rest) / len(row)
        changed |= _evenly(row, speed, x0 + rest, width, width)
    return _exchanged(layout, changed)


def _stands_before(pulse: Pulse, x_mm: float, within_mm: float = _FOOT_MM) -> bool:
    """Whether a pulse stands in front of a place, ``within_mm`` of it."""
    return -_SHIFT_MM < x_mm - pulse.x_mm - pulse.width_mm / 2 < within_mm


def _level(read: RowRead, x0_mm: float, x1_mm: float) -> bool:
    """Whether what is seen of the row's line between two places is level."""
    between = (read.x_mm > x0_mm) & (read.x_mm < x1_mm) & seen_in(read)
    return not between.any() or float(np.ptp(read.y_mm[between])) < _LEVEL_MM


def _whole_mm(length_mm: float, speed_mm_s: float, off_mm: float = _LENGTH_MM) -> float | None:
    """The length of the whole seconds that a row lasts, None where it lasts others."""
    whole = round(length_mm / speed_mm_s) * speed_mm_s
    return whole if whole > 0 and abs(length_mm - whole) < max(off_mm, _LENGTH_SHARE * whole) else None


def _in_line(
    layout: Layout,
    spans: Sequence[tuple[float | None, float | None]],
    reads: Sequence[RowRead],
    pulses: Sequence[Pulse],
) -> Layout:
    """``layout`` without a row that reaches out alone, to a label or a pulse, where its line begins and ends with the
    others' or is not seen all the way to there, or where pulses stand in front of the columns. ``spans``: of every
    row's line, see :func:`line_span`."""
    rows = layout.rows()
    widest = _widest(rows)
    x0, x1 = _extent(widest)
    pulsed = len(widest[0]) > 1 and sum(_stands_before(pulse, x0) for pulse in pulses) >= _FEW
    changed: dict[Panel, Panel] = {}
    for row, (start, end), read in zip(rows, spans, reads, strict=True):
        first, last = row[0], row[-1]
        begins = start is not None and abs(start - x0) < 2 * _NEAR_MM
        if x0 - first.x0_mm > _NEAR_MM and (begins or pulsed or not runs_through(read, first.x0_mm, x0)):
            changed[first] = replace(first, x0_mm=x0)
        last = changed.get(last, last)
        if end is not None and last.x1_mm - x1 > _NEAR_MM and abs(end - x1) < 2 * _NEAR_MM:
            changed[row[-1]] = replace(last, x1_mm=x1)
    return _exchanged(layout, changed) if changed else layout


def _touching(layout: Layout, reads: Sequence[RowRead]) -> Layout:
    """``layout`` with columns that touch where it has gaps between them that most rows' lines run through."""
    rows = layout.rows()
    gaps = [
        (read, a.x1_mm, b.x0_mm)
        for row, read in zip(rows, reads, strict=True)
        for a, b in pairwise(row)
        if b.x0_mm - a.x1_mm > _LENGTH_MM
    ]
    seen = [runs_through(*gap) for gap in gaps]
    if not seen or np.mean(seen) < MOST_ROWS:
        return layout
    changed: dict[Panel, Panel] = {}
    for row in rows:
        width = (row[-1].x1_mm - row[0].x0_mm) / len(row)
        changed |= _evenly(row, layout.speed_mm_s, row[0].x0_mm, width, width)
    return _exchanged(layout, changed)


def _apart(layout: Layout, reads: Sequence[RowRead]) -> Layout | None:
    """``layout`` with columns that stand apart, though perhaps they were not thought to, put where the lines of their
    own rows begin and end, as long and as far apart as each other; None where they do not stand so, or most rows do
    not show it alike, or they are not far off."""
    rows = layout.rows()
    n = max(len(row) for row in rows)
    several = [(row, read) for row, read in zip(rows, reads, strict=True) if len(row) == n]
    first = several[0][0]
    if n < 2:
        return None
    between = [_unseen_mm([read for _, read in several], a, b) for a, b in pairwise(first)]
    middles = [-np.inf, *between, np.inf]
    known = []
    for k, (left, right) in enumerate(pairwise(middles)):
        spans = [line_span(_between(read, left, right)) for _, read in several]
        for end in (0, 1):
            place = common_place([x for span in spans if (x := span[end]) is not None], len(spans), _ALIKE_MM)
            if place is not None:
                known.append((k, end, place))
    fit = even_columns(known)
    thought_so = min(b.x0_mm - a.x1_mm for a, b in pairwise(first)) >= _APART_MM
    if fit is None or len(known) <= (n if thought_so else 2 * n - 2):
        return None
    x0, pitch, width, off = fit
    if off.max() > 2 * _ALIKE_MM or pitch - width < (_LENGTH_MM if thought_so else _APART_MM):
        return None
    changed: dict[Panel, Panel] = {}
    for row, _ in several:
        changed |= _evenly(row, layout.speed_mm_s, x0, pitch, width + _DRAWN_MM)
    thought = first[0].x1_mm - first[0].x0_mm
    if nominal_mm(thought, layout.speed_mm_s) is not None and nominal_mm(width + _DRAWN_MM, layout.speed_mm_s) is None:
        return None  # columns of whole half seconds, of which some lines are not seen to their ends
    off_mm = max(max(abs(new.x0_mm - old.x0_mm), abs(new.x1_mm - old.x1_mm)) for old, new in changed.items())
    return _exchanged(layout, changed) if off_mm > _SHIFT_MM else None


def _unseen_mm(reads: Sequence[RowRead], before: Panel, after: Panel) -> float:
    """The middle of the longest piece of the sheet, about where ``after`` was thought to follow ``before``, in which
    hardly a row's line is seen; of what was thought to lie between them where there is none as long as a gap."""
    middle, reach = 0.5 * (before.x1_mm + after.x0_mm), _GAP_AT * (after.x0_mm - before.x0_mm)
    x_mm = np.arange(middle - reach, middle + reach, _GAP_STEP_MM)
    seen = np.mean([np.interp(x_mm, read.x_mm, seen_in(read).astype(float)) for read in reads], axis=0)
    pieces, n = label(seen < _HARDLY)
    longest = max((piece for (piece,) in find_objects(pieces, n)), key=lambda one: one.stop - one.start, default=None)
    if longest is None or (longest.stop - longest.start) * _GAP_STEP_MM < _APART_MM:
        return middle
    return float(x_mm[longest].mean())


def _strips_alone(layout: Layout, seen: Sequence[tuple[float | None, float | None]]) -> Layout:
    """``layout`` with rhythm strips that end before columns with gaps between them do, as long as the whole seconds
    that they last from where they or the columns begin, or the columns' lines. ``seen``: of every row's line, see
    :func:`line_span`."""
    rows = layout.rows()
    gapped = [row for row in rows if _gapped(row)]
    firsts = [x for row, (x, _) in zip(rows, seen, strict=True) if x is not None and _gapped(row)]
    strips = [(row[0], span) for row, span in zip(rows, seen, strict=True) if row[0].rhythm]
    if not gapped or not strips:
        return layout
    begin, last = _extent(gapped)
    line = common_place(firsts, len(gapped), _ALIKE_MM)
    starts, ends = ([x for _, span in strips if (x := span[k]) is not None] for k in (0, 1))
    start, end = (common_place(places, len(strips), _ALIKE_MM) for places in (starts, ends))
    if end is None or end > last - _FAR_OFF_MM:
        return layout
    fits = [
        (abs(whole - (end + _DRAWN_MM - x)), x, whole)
        for x, off_mm in ((begin, _LENGTH_MM), (start, _LENGTH_MM), (line, _ABOUT_MM))
        if x is not None and (whole := _whole_mm(end + _DRAWN_MM - x, layout.speed_mm_s, off_mm)) is not None
    ]
    if not fits:
        return layout
    _, x0, whole = min(fits)
    changed = {strip: replace(strip, x0_mm=x0, x1_mm=x0 + whole) for strip, _ in strips}
    return _exchanged(layout, changed)


def _evenly(
    row: tuple[Panel, ...], speed_mm_s: float, x0_mm: float, pitch_mm: float, width_mm: float
) -> dict[Panel, Panel]:
    """The panels of a row, and what they are in columns that begin at ``x0_mm`` and are as far apart and as wide as is
    said. One that begins later goes on where the one before it ended."""
    return {
        panel: replace(
            panel,
            x0_mm=x0_mm + k * pitch_mm,
            x1_mm=x0_mm + k * pitch_mm + width_mm,
            start_s=k * width_mm / speed_mm_s if panel.start_s > 0 else panel.start_s,
        )
        for k, panel in enumerate(row)
    }


def _between(read: RowRead, x0_mm: float, x1_mm: float) -> RowRead:
    """The columns of a row's reading between two places; its strip stays whole."""
    inside = (read.x_mm > x0_mm) & (read.x_mm < x1_mm)
    return replace(
        read,
        x_mm=read.x_mm[inside],
        y_mm=read.y_mm[inside],
        sigma_mm=read.sigma_mm[inside],
        presence=read.presence[inside],
        log_p=read.log_p[:, inside],
    )


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
