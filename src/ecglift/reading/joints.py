"""Columns where bars part them: where a sheet has some, they say to a hundredth of a millimetre where each one begins.

Ink that ends is known to a few hundredths, and of columns with narrow gaps between them only the first and the last
end may be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import RowRead
from ecglift.paper import LARGE_SQUARE_MM, Layout, Panel
from ecglift.reading.bars import Bar, bar_at
from ecglift.reading.columns import MOST_ROWS
from ecglift.reading.runs import runs_through

_NEAR_MM: Final = 1.5
"""A bar parts columns that are thought to meet so near to it."""

_LEAST_BARS: Final = 3
_LEAST_SHARE: Final = 0.5
_AGREE_MM: Final = 0.05
_MOST_AGREE: Final = 0.6
"""There must be so many bars, and that share of the joints of columns; so many of them, and the last share, must stand
where evenly spaced columns begin, to a twentieth of a millimetre: complexes and letters pass for bars, too."""

_SEVERAL: Final = 2
_FEW_COLUMNS: Final = 3
"""So many bars of a column may tell how far it is from another, and of a row where this begins beside other rows. That
columns of whole steps are not as long takes as many columns as the second."""

_BETTER: Final = 0.5
_PITCH_MM: Final = 0.02
_WHOLE_PITCH_MM: Final = 0.03
_SKEW_MM: Final = 0.1
"""Columns are as far apart as they were thought to be, and begin one under the other, unless bars are off by that part
only with another pitch or a lean: one that differs by the second, or by the third from one of whole steps, and one by
which the uppermost bar stands so far beside the lowest."""

_STEP_S: Final = 0.25
_WHOLE_MM: Final = 0.05
_GAP_MM: Final = 3.0
_SCALE_MM: Final = 0.5
"""Columns last whole multiples of the first, seldom more than the second off; with a pitch of no such length they have
gaps of up to the third between them, or last as long. A length that differs by less than the fourth is the same."""

_ON_LINE_MM: Final = 0.03
_STEADY_MM: Final = 0.03
_HELD_MM: Final = 0.15
"""Columns that begin this near to a heavy line of the grid begin on it, or, where bars of different columns are off by
amounts that differ by more than the second, this near: a display's pixels put each bar where there is one of them."""

_OWN_MM: Final = 0.1
"""A row begins beside the others where its own bars say that it does by so much, steadily."""

Joint = tuple[int, float, float]
"""The number of a column, and where the bar stands at which it begins, mm: x and y."""


@dataclass(frozen=True)
class _Columns:
    """Where the first of evenly spaced columns begins at the top of the sheet, how far they are apart, and how long
    they are, mm; ``lean``: by how much more to the right they begin a millimetre further down."""

    start_mm: float
    pitch_mm: float
    length_mm: float
    lean: float = 0.0

    def begins_mm(self, k: int, y_mm: float) -> float:
        """Where the column number ``k`` begins at the height ``y_mm``."""
        return self.start_mm + k * self.pitch_mm + self.lean * y_mm

    def panel(self, panel: Panel, k: int, speed_mm_s: float) -> Panel:
        """``panel`` as the column number ``k``. It is the sheet's scale that is a little off where it lasted whole
        steps: then it still begins when it did, but for the half of what it is shorter now; else it begins as much
        later as columns are longer."""
        x0, before = self.begins_mm(k, panel.baseline_mm), panel.x1_mm - panel.x0_mm
        if panel.start_s and _is_whole(before, _STEP_S * speed_mm_s) and abs(self.length_mm - before) < _SCALE_MM:
            start_s = panel.start_s + (before - self.length_mm) / 2 / speed_mm_s
        else:
            start_s = panel.start_s * self.length_mm / before
        return replace(panel, x0_mm=x0, x1_mm=x0 + self.length_mm, start_s=start_s)


def at_bars(layout: Layout, bars: Sequence[Bar], reads: Sequence[RowRead] = ()) -> Layout:
    """``layout`` with its columns moved, and made longer or shorter together, to where ``bars`` part them; as it was
    where too few do, or do not agree. Each row begins where its own bars say, if it has several: a sheet may be skew
    or wavy. Rows of one panel follow the columns that they begin and end with. ``reads``: of the rows; where their
    lines run through there are no gaps between columns, however long these are."""
    changed: dict[Panel, Panel] = {}
    rows = layout.rows()
    for n in {len(row) for row in rows if len(row) > 1}:
        alike = [row for row in rows if len(row) == n]
        joints = [_joints(row, bars) for row in alike]
        columns = _parted(alike, sorted(set().union(*joints)), _STEP_S * layout.speed_mm_s)
        if columns is None:
            continue
        seen = [(row, read) for row, read in zip(rows, reads, strict=False) if len(row) == n]
        if columns.length_mm < columns.pitch_mm - _WHOLE_MM and _run_through(seen, columns):
            columns = replace(columns, length_mm=columns.pitch_mm)
        for row, own in zip(alike, joints, strict=True):
            placed = _of_row(columns, own)
            changed |= {panel: placed.panel(panel, k, layout.speed_mm_s) for k, panel in enumerate(row)}
        for row in rows:
            if len(row) == 1 and abs(row[0].x0_mm - alike[-1][0].x0_mm) < _NEAR_MM:
                changed[row[0]] = _below(row[0], alike[-1], columns, layout.speed_mm_s)
    return replace(layout, panels=tuple(changed.get(panel, panel) for panel in layout.panels))


def _run_through(rows: Sequence[tuple[tuple[Panel, ...], RowRead]], columns: _Columns) -> bool:
    """Whether most lines are seen all the way between the end of a column and the start of the next one."""
    seen = []
    for row, read in rows:
        for k, panel in enumerate(row[:-1]):
            end = columns.begins_mm(k, panel.baseline_mm) + columns.length_mm
            seen.append(runs_through(read, end, columns.begins_mm(k + 1, panel.baseline_mm)))
    return bool(seen) and float(np.mean(seen)) >= MOST_ROWS


def _below(strip: Panel, row: tuple[Panel, ...], columns: _Columns, speed_mm_s: float) -> Panel:
    """``strip``, which begins where ``row`` did, moved as that is to ``columns``; it ends with them if it did."""
    level = [replace(panel, baseline_mm=strip.baseline_mm) for panel in row]
    x0 = strip.x0_mm + columns.panel(level[0], 0, speed_mm_s).x0_mm - row[0].x0_mm
    if abs(strip.x1_mm - row[-1].x1_mm) < _NEAR_MM:
        return replace(strip, x0_mm=x0, x1_mm=columns.panel(level[-1], len(row) - 1, speed_mm_s).x1_mm)
    return replace(strip, x0_mm=x0, x1_mm=strip.x1_mm + x0 - strip.x0_mm)


def by_bars(layout: Layout, bars: Sequence[Bar]) -> tuple[float, float] | None:
    """How far apart, mm, the columns of the longest rows begin by ``bars``, and by how much more to the right a
    millimetre further down; None where too few bars tell, or they do not agree."""
    most = max(len(row) for row in layout.rows())
    if most < _SEVERAL:
        return None
    rows = [row for row in layout.rows() if len(row) == most]
    joints = set().union(*(_joints(row, bars) for row in rows))
    columns = _parted(rows, sorted(joints), _STEP_S * layout.speed_mm_s, upright=False)
    return None if columns is None else (columns.pitch_mm, columns.lean)


def _joints(row: tuple[Panel, ...], bars: Sequence[Bar]) -> set[Joint]:
    """The row's columns that begin at bars."""
    near = (
        (k, bar)
        for k, panel in enumerate(row)
        if (bar := bar_at(bars, panel.x0_mm, panel.baseline_mm, _NEAR_MM)) is not None
    )
    return {(k, bar.x_mm, (bar.top_mm + bar.bottom_mm) / 2) for k, bar in near}


def _of_row(columns: _Columns, joints: set[Joint]) -> _Columns:
    """``columns`` as they stand on a row with ``joints`` of its own."""
    off = np.array([x - columns.begins_mm(k, y) for k, x, y in joints])
    if len(off) < _SEVERAL or np.ptp(off) > _STEADY_MM or abs(off.mean()) < _OWN_MM:
        return columns
    return replace(columns, start_mm=columns.start_mm + float(off.mean()))


def _parted(
    rows: Sequence[tuple[Panel, ...]], joints: Sequence[Joint], step_mm: float, upright: bool = True
) -> _Columns | None:
    """The columns of ``rows``, which have the same number and begin at ``joints``; None where these do not tell.
    ``upright``: unless it is plain that they do not, they begin one under the other and as far apart as was thought."""
    if len(joints) < max(_LEAST_BARS, _LEAST_SHARE * len(rows) * (len(rows[0]) - 1)):
        return None
    column, x, y = (np.array(values, float) for values in zip(*joints, strict=True))
    starts = np.median([[panel.x0_mm for panel in row] for row in rows], axis=0)
    lengths = np.median([[panel.x1_mm - panel.x0_mm for panel in row] for row in rows], axis=0)
    start, pitch, length = float(starts[0]), float(np.median(np.diff(starts))), float(np.median(lengths))
    touching, whole = abs(pitch - length) < _WHOLE_MM, _is_whole(pitch, step_mm)
    off = x - start - pitch * column
    several = np.array([(column == k).sum() >= _SEVERAL for k in column], np.bool_)
    lean = _slope(y, off, column)
    known = set(column[several].tolist())
    slope = _slope(column[several], (off - lean * y)[several])
    if upright:
        least, enough = (_WHOLE_PITCH_MM, _FEW_COLUMNS) if whole else (_PITCH_MM, 1)
        lean = lean if abs(lean) * float(np.ptp(y)) > _SKEW_MM else 0.0
        slope = slope if abs(slope) > least and len(known) >= enough else 0.0
    straight = off - lean * y - slope * column
    if not upright or _spread(straight) < _BETTER * _spread(off):
        pitch, off = pitch + slope, straight
    elif touching and not whole and len(set(column)) == 1:
        # Only one joint is seen: the columns before it begin where they were thought to.
        lean, slope = 0.0, float(np.median(off)) / max(int(column[0]), 1)
        pitch, off = pitch + slope, off - slope * column
    else:
        lean = 0.0
    agree = np.abs(off - np.median(off)) < _AGREE_MM
    if agree.sum() < max(_LEAST_BARS, _MOST_AGREE * len(x)):
        return None
    start += float(off[agree].mean())
    middles = [float(np.median(off[column == k])) for k in set(column.tolist())]
    held_mm = _ON_LINE_MM if np.ptp(middles) < _STEADY_MM else _HELD_MM
    line = LARGE_SQUARE_MM * round(start / LARGE_SQUARE_MM)
    if touching:
        shorter = step_mm * np.floor(pitch / step_mm)
        length = float(shorter) if not _is_whole(pitch, step_mm) and pitch - shorter < _GAP_MM else pitch
    return _Columns(line if not lean and abs(start - line) < held_mm else start, pitch, length, lean)


def _spread(off: NDArray[np.float64]) -> float:
    return float(np.abs(off - np.median(off)).mean())


def _is_whole(length_mm: float, step_mm: float) -> bool:
    return abs(length_mm - step_mm * round(length_mm / step_mm)) < _WHOLE_MM


def _slope(x: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.float64] | None = None) -> float:
    """The median of the slopes between all points, or those of the same ``group``, with different x; 0 without any."""
    apart = x[:, None] - x
    pairs = apart > 0 if group is None else (apart > 0) & (group[:, None] == group)
    slopes = (y[:, None] - y)[pairs] / apart[pairs]
    return float(np.median(slopes)) if len(slopes) else 0.0
