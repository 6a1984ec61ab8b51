"""Columns where the ink of their rows begins and ends, to some hundredths of a millimetre.

What the pen reaches beyond a line's samples is not known, nor how far the last sample stands before its panel's end,
but either is the same on all rows, the first on both sides, and columns last whole multiples of a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import RowRead
from ecglift.paper import LARGE_SQUARE_MM, Layout, Panel
from ecglift.reading.columns import common_place, even_columns
from ecglift.reading.inkends import CAP, ink_ends, pen_width_mm
from ecglift.reading.marks import Pulse, pulse_at

_ALIKE_MM: Final = 0.05
_ENOUGH_ROWS: Final = 0.4
_SPREAD_MM: Final = 0.1
"""Inside rows the ink must begin or end within the first on most of them. Where all begin or end it is enough that so
many rows show it, and that their middle is known to about the third: what single ones are off by cancels."""

_MOST_MM: Final = 1.6
_SHARP_MOST_MM: Final = 4.0
_TOGETHER_MM: Final = 1.0
"""Columns are moved by up to the first, or to the second where all rows begin sharply at one place; rows that were
thought to begin within the third of each other do so at one place."""

_LONGEST_S: Final = 1 / 250
"""No device prints fewer samples, whatever rate is asked for."""

_RECORD_S: Final = 9.9
_CUT_REST: Final = 0.5
"""A record lasts ten seconds, and a line that long ends with its last sample. A shorter one is cut from it: it may go
on to its panel's end, and the middle is wrong by half as much."""

_CAPS_MOST: Final = 1.25
"""How far the ink reaches beyond the first and last sample together at most, in parts of a line's width, with ends of
any shape."""

_ROUGH_MM: Final = 0.08
_ROUGH: Final = 0.3
_SHARP_MM: Final = 0.075
_SEVERAL: Final = 3
_NEARLY_ALL: Final = 0.7
"""One end alone may be a stain's, or faint, and the pen's reach is a guess; where so many rows or more, and that
part of them, end with no more than the third's spread, it mends what is off by more than the first, or that part of a
line's width."""

_RAGGED: Final = 0.7
_RAGGED_MM: Final = 0.35
"""Otherwise, and up to the second, it counts that much against what was thought: of 19 pages with one end starts were
0.139 mm off in the mean as they were thought, 0.086 by that end, 0.074 by both."""

_STEP_S: Final = 0.05
_LEAST_STEPS: Final = 2
_SLACK_MM: Final = 0.04
_OFF_SHARE: Final = 0.1
_OFF_MM: Final = 0.5
"""Columns last whole multiples of the first, a row without gaps of as many as it has columns, and two at least, if the
ink can be so long, to the third, or to that part of the multiple, the fifth at most; else they are as long as it is."""

_ROUND_STEPS: Final = 10
_ROUND_MM: Final = 0.7
_MEANT_MM: Final = 0.1
"""A length that is that near to so many steps was meant to last them; one that is as near as the last was thought
to."""

_JOINED_MM: Final = 0.25
"""Ink that begins so much too early, or ends too late, beside a pulse is the pulse's, which is joined to the line."""

_SHORT_MM: Final = 0.6
"""Ink that is so much shorter than the round time that columns were thought to last is torn off or faint."""

_GAP_MM: Final = 0.4
_ON_LINE_MM: Final = 0.01
_SNAP_MM: Final = 0.06
_HELD_MM: Final = 0.15
_NEAR_LINE_MM: Final = 0.2
"""A start this near to a heavy line of the grid stands on it, and one that stands on any line stays there: lines are
known better than the ink. One that stands on a heavy line, as most do, is held there to the second: on photographed
screens the ink of all rows may seem to end a tenth of a millimetre beside where it does. Where only one end is seen,
and raggedly, it must lie as near to a heavy line as the third for the columns to be moved there."""


Spans = list[tuple[float, float]]
"""From where to where each column of a row reaches, mm."""


def aligned(layout: Layout, reads: Sequence[RowRead], fs_hz: float, pulses: Sequence[Pulse] = ()) -> Layout:
    """``layout`` with its columns where the ink of its rows, ``reads``, begins and ends, to some hundredths of a
    millimetre: moved together, and as long and as far apart as the ink is, where most rows show it alike.

    ``fs_hz``: the last sample of a record stands one before its panel's end, and the rate that is asked for is the best
    guess of the one that was printed. A quarter of a millisecond is seen in a signal of 30 dB, and nothing later can
    tell it. ``pulses``: the sheet's, which may be joined to the lines.
    """
    width = pen_width_mm(reads)
    if width is None:
        return layout
    longest_s = max(sum(p.x1_mm - p.x0_mm for p in row) for row in layout.rows()) / layout.speed_mm_s
    rest = 1.0 if longest_s > _RECORD_S else _CUT_REST
    sample_mm = rest * layout.speed_mm_s * min(1 / fs_hz, _LONGEST_S)
    seen = [_Seen.of(row, read) for row, read in zip(layout.rows(), reads, strict=True)]
    groups: list[list[_Seen]] = []
    for one in seen:
        alike = next((group for group in groups if _alike_columns(one.row, group[0].row)), None)
        if alike is None:
            groups.append([one])
        else:
            alike.append(one)
    before: list[Spans] = []
    after: list[Spans | None] = []
    for rows in groups:
        old = [
            (float(np.median([one.row[k].x0_mm for one in rows])), float(np.median([one.row[k].x1_mm for one in rows])))
            for k in range(len(rows[0].row))
        ]
        ink = _Ink.of(rows, seen, width, sample_mm, (pulse_at(pulses, old[0][0], -1), pulse_at(pulses, old[-1][1], 1)))
        most = max(len(one.row) for one in seen if _end_together(one.row, rows[0].row))
        before.append(old)
        after.append(ink.columns(old, max(most, _LEAST_STEPS) * _STEP_S * layout.speed_mm_s))
    changed: dict[Panel, Panel] = {}
    for rows, old, new in zip(groups, before, after, strict=True):
        fitted = new or _with_others(old, before, after)
        for one in rows:
            for panel, (x0, x1) in zip(one.row, fitted, strict=True):
                start_s = panel.start_s * (x1 - x0) / (panel.x1_mm - panel.x0_mm)
                changed[panel] = replace(panel, x0_mm=x0, x1_mm=x1, start_s=start_s)
    return replace(layout, panels=tuple(changed.get(p, p) for p in layout.panels))


def _with_others(own: Spans, before: Sequence[Spans], after: Sequence[Spans | None]) -> Spans:
    """``own`` columns of rows whose ink says nothing; a single one moves with other rows' that began where it does: a
    strip under columns with gaps begins with the first of them, wherever it ends."""
    if len(own) > 1:
        return own
    ((x0, x1),) = own
    for old, new in zip(before, after, strict=True):
        if new is not None and abs(old[0][0] - x0) < _TOGETHER_MM:
            begin = new[0][0]
            together = abs(old[-1][1] - x1) < _TOGETHER_MM
            return [(begin, new[-1][1] if together else x1 + begin - x0)]
    return own


def _end_together(one: tuple[Panel, ...], other: tuple[Panel, ...]) -> bool:
    """Whether two rows begin and end at the same places, as far as was seen before."""
    ends = (one[0].x0_mm, other[0].x0_mm), (one[-1].x1_mm, other[-1].x1_mm)
    return all(abs(a - b) < _TOGETHER_MM for a, b in ends)


def _alike_columns(one: tuple[Panel, ...], other: tuple[Panel, ...]) -> bool:
    """Whether two rows have the same columns, as far as was seen before."""
    ends = [(a, b) for p, q in zip(one, other, strict=False) for a, b in ((p.x0_mm, q.x0_mm), (p.x1_mm, q.x1_mm))]
    return len(one) == len(other) and all(abs(a - b) < _TOGETHER_MM for a, b in ends)


@dataclass(frozen=True)
class _Seen:
    """Where the ink of one row begins and ends in each of its panels, mm, None where it is not seen to."""

    row: tuple[Panel, ...]
    starts: tuple[float | None, ...]
    ends: tuple[float | None, ...]

    @classmethod
    def of(cls, row: tuple[Panel, ...], read: RowRead) -> _Seen:
        starts, ends = zip(*ink_ends(read, *((p.x0_mm, p.x1_mm) for p in row)), strict=True)
        return cls(row, starts, ends)


@dataclass(frozen=True)
class _Ink:
    """Where the ink of rows with the same columns begins and ends in each of them, mm, None where it is not seen to.

    ``pen_mm``: its width; ``sample_mm``: from the last sample to its panel's end; ``sharp``: whether the first start
    and the last end are the same on all rows, and on several; ``pulsed``: whether a pulse stands where they begin, and
    where they end.
    """

    starts: tuple[float | None, ...]
    ends: tuple[float | None, ...]
    pen_mm: float
    sample_mm: float
    sharp: tuple[bool, bool] = (False, False)
    pulsed: tuple[bool, bool] = (False, False)

    @classmethod
    def of(
        cls,
        rows: Sequence[_Seen],
        all_rows: Sequence[_Seen],
        pen_mm: float,
        sample_mm: float,
        pulsed: tuple[bool, bool],
    ) -> _Ink:
        """What ``rows`` have in common; where they begin and end they have it with all that do so there."""
        old = rows[0].row
        first = [one.starts[0] for one in all_rows if abs(one.row[0].x0_mm - old[0].x0_mm) < _TOGETHER_MM]
        last = [one.ends[-1] for one in all_rows if abs(one.row[-1].x1_mm - old[-1].x1_mm) < _TOGETHER_MM]
        inner = range(1, len(old))
        starts = (_middle(first), *(_alike([one.starts[k] for one in rows]) for k in inner))
        ends = (*(_alike([one.ends[k - 1] for one in rows]) for k in inner), _middle(last))
        return cls(starts, ends, pen_mm, sample_mm, (_sharp(first), _sharp(last)), pulsed)

    def columns(self, old: Spans, step: float) -> Spans | None:
        """From where to where the columns reach, which were thought to be ``old``; None where the ink does not say.
        ``step``: mm of which a whole number makes a row."""
        n, (x0, x1) = len(old), (old[0][0], old[-1][1])
        gapped = self._gapped(old)
        if gapped is not None:
            start, inked, pitch = gapped
            span = self._span(start, start + inked, (start, start + inked), step / n)
        elif any(b[0] - a[1] > _ON_LINE_MM for a, b in pairwise(old)):
            return self._shifted(old)
        else:
            span = self._span(self.starts[0], self.ends[-1], (x0, x1), step)
        # Rows that all begin at one place begin there, however far the layout is off, unless that is a pulse's width.
        most_mm = _SHARP_MOST_MM if self.sharp[0] and not self.pulsed[0] and gapped is None else _MOST_MM
        if span is None or abs(span[0] - x0) > most_mm or (gapped is None and abs(span[1] - x1) > _MOST_MM):
            return None
        length = span[1] - span[0]
        if gapped is None:
            length = pitch = length / n
        begin = _on_line(span[0], x0)
        return [(begin + k * pitch, begin + k * pitch + length) for k in range(n)]

    def _shifted(self, old: Spans) -> Spans | None:
        """``old`` columns with gaps between them, moved to where the ink of the rows begins and ends."""
        if self.starts[0] is None or self.ends[-1] is None:
            return None
        early, late = self.starts[0] - old[0][0], self.ends[-1] + self.sample_mm - old[-1][1]
        if abs(late - early) > _CAPS_MOST * self.pen_mm + _SLACK_MM or abs(early + late) / 2 > _MOST_MM:
            return None
        begin = _on_line(old[0][0] + (early + late) / 2, old[0][0])
        return [(a + begin - old[0][0], b + begin - old[0][0]) for a, b in old]

    def _span(
        self, start: float | None, end: float | None, thought: tuple[float, float], step: float
    ) -> tuple[float, float] | None:
        """From where to where a line lasts whose ink reaches from ``start`` to ``end``: whole multiples of ``step``
        mm, or as long as it was ``thought`` to. None where that is not known better than it was."""
        (x0, x1), cap = thought, CAP * self.pen_mm
        whole = _whole(x1 - x0, step)
        begin = None if start is None else start + cap
        stop = None if end is None else end - cap + self.sample_mm
        if stop is not None and self.pulsed[1] and stop > x1 + _JOINED_MM:
            stop = None
        if begin is not None and stop is not None:
            most = _CAPS_MOST * self.pen_mm
            inked = stop - begin + 2 * cap - most / 2
            length = step * round(inked / step)
            if whole is not None and stop - begin < whole - _SHORT_MM:
                return None
            if whole is not None and self.pulsed[0] and inked > whole + _JOINED_MM:
                return stop - whole, stop
            if length > 0 and abs(inked - length) < max(most / 2 + _SLACK_MM, min(_OFF_SHARE * step, _OFF_MM)):
                # The pen reaches as far beyond the first sample as beyond the last, however far that is.
                return (begin + stop - length) / 2, (begin + stop + length) / 2
            if self.pulsed[0] and begin - x0 < -_JOINED_MM and abs(stop - x1) < _MOST_MM / 2:
                return stop - (x1 - x0), stop
            seconds = _ROUND_STEPS * step * round((x1 - x0) / (_ROUND_STEPS * step))
            if abs(x1 - x0 - seconds) < _MEANT_MM and abs(stop - begin - seconds) < _SHORT_MM:
                # Columns of whole seconds, of which either end is faint or has a name beside it.
                return (begin + stop - seconds) / 2, (begin + stop + seconds) / 2
            return begin, stop
        if whole is None and begin is not None and self.sharp[0] and not self.pulsed[0]:
            whole = _whole(x1 - begin, step)
        if whole is None:
            return None
        begin, sharp = (stop - whole, self.sharp[1]) if stop is not None else (begin, self.sharp[0])
        if begin is None:
            return None
        rough = max(_ROUGH_MM, _ROUGH * self.pen_mm)
        if sharp and abs(begin - x0) > rough:
            return begin, begin + whole
        # One ragged end may be a stain's, unless it lies at a heavy line and was thought to lie beside one.
        line = LARGE_SQUARE_MM * round(begin / LARGE_SQUARE_MM)
        if abs(begin - line) < _NEAR_LINE_MM <= abs(x0 - line):
            return line, line + whole
        if abs(begin - x0) > _RAGGED_MM:
            return None
        begin = x0 + _RAGGED * (begin - x0)
        return begin, begin + whole

    def _gapped(self, old: Spans) -> tuple[float, float, float] | None:
        """(start, length, pitch) mm of the ink of columns with gaps between them, which were thought to be ``old``;
        None without."""
        gaps = [b - a for a, b in zip(self.ends[:-1], self.starts[1:], strict=True) if a is not None and b is not None]
        if not gaps:
            # Rows that go on at various heights show where columns end, but not where the next ones begin.
            gaps = [b[0] - a[1] for a, b in pairwise(old)]
            begin, stop = self.starts[0], self.ends[-1]
            early = self.pulsed[0] and begin is not None and old[0][0] - begin > _SHORT_MM
            late = self.pulsed[1] and stop is not None and stop - old[-1][1] > _SHORT_MM
            if early or late:
                return None  # a pulse's foot, and nothing else says where it ends
        if not gaps or min(gaps) < _GAP_MM:
            return None
        known = [(k, 0, x) for k, x in enumerate(self.starts) if x is not None]
        known += [(k, 1, x) for k, x in enumerate(self.ends) if x is not None]
        # A pulse may be joined to the line there; three other ends say where it begins, or stops, and whether it is.
        last = len(self.ends) - 1
        others = [(k, end, x) for k, end, x in known if not (self.pulsed[end] and k == (0, last)[end])]
        if (fit := even_columns(others)) is not None:
            start, pitch, length, _ = fit
            known = [
                (k, end, x)
                for k, end, x in known
                if (k, end, x) in others or abs(start + k * pitch + end * length - x) < _JOINED_MM
            ]
        while (fit := even_columns(known)) is not None:
            start, pitch, length, off = fit
            if off.max() < _ALIKE_MM:
                # Bars and letters may look like a gap: then columns as long as the others would overlap.
                return (start, length, pitch) if pitch - length > min(gaps) / 2 else None
            known.pop(int(off.argmax()))
        return None


def _whole(length: float, step: float) -> float | None:
    """The multiple of ``step`` mm that a length was meant to be, None where it was none."""
    for unit, off in ((step, min(_OFF_SHARE * step, _OFF_MM)), (_ROUND_STEPS * step, _ROUND_MM)):
        if abs(length - unit * round(length / unit)) <= off:
            return unit * round(length / unit)
    return None


def _on_line(x0: float, before: float) -> float:
    """The start ``x0``, or rather the line of the grid on which it was ``before``, or a heavy one that is there."""
    heavy = abs(before - LARGE_SQUARE_MM * round(before / LARGE_SQUARE_MM)) < _ON_LINE_MM
    if abs(before - round(before)) < _ON_LINE_MM and abs(x0 - before) < (_HELD_MM if heavy else _SNAP_MM):
        return before
    line = LARGE_SQUARE_MM * round(x0 / LARGE_SQUARE_MM)
    return line if abs(x0 - line) < _SNAP_MM else x0


def _sharp(places: Sequence[float | None]) -> bool:
    """Whether nearly all rows, and several, have their ends at the same place."""
    seen = np.array([x for x in places if x is not None])
    if len(seen) < max(_SEVERAL, _NEARLY_ALL * len(places)):
        return False
    return _spread(seen) < _SHARP_MM


def _middle(places: Sequence[float | None]) -> float | None:
    """The place (mm) about which the ink of the rows ends, None where too few do or too far apart."""
    seen = np.array([x for x in places if x is not None])
    if not len(seen) or len(seen) < _ENOUGH_ROWS * len(places):
        return None
    middle = float(np.median(seen))
    spread = _spread(seen)
    if spread > _SPREAD_MM * np.sqrt(len(seen)):
        return None
    return float(seen[np.abs(seen - middle) <= 2 * max(spread, _ALIKE_MM / 2)].mean())


def _spread(values: NDArray[np.float64]) -> float:
    """Standard deviation of ``values`` (n,) by their median distance from their median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _alike(places: Sequence[float | None]) -> float | None:
    """The place (mm) at which the ink of most rows ends, None without one."""
    return common_place([x for x in places if x is not None], len(places), _ALIKE_MM)
