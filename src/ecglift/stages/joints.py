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

from ecglift.paper import LARGE_SQUARE_MM, Layout, Panel
from ecglift.reading.bars import Bar

_NEAR_MM: Final = 1.5
_BESIDE_MM: Final = 12.0
"""A bar parts columns that are thought to meet so near to it, on rows that are so near to where it stands or above."""

_SEVERAL: Final = 2
_LEAST_BARS: Final = 3
_AGREE_MM: Final = 0.05
_MOST_AGREE: Final = 0.6
"""A column begins at the first number of bars or more; the second, and that share of all, must stand where evenly
spaced columns begin, to so many mm."""

_BETTER: Final = 0.5
_PITCH_MM: Final = 0.02
_WHOLE_PITCH_MM: Final = 0.1
"""Columns are as far apart as they were thought to be unless bars are off by that part only with another pitch, which
differs by the second, or by the third from one of whole steps."""

_STEP_S: Final = 0.25
_WHOLE_MM: Final = 0.05
_GAP_MM: Final = 3.0
"""Columns last whole multiples of the first, seldom more than the second off; with a pitch of no such length they have
gaps of up to the third between them, or last as long."""

_ON_LINE_MM: Final = 0.03
"""Columns that begin this near to a heavy line of the grid begin on it."""


@dataclass(frozen=True)
class _Columns:
    """Where the first of evenly spaced columns begins, how far they are apart, and how long they are, mm."""

    start_mm: float
    pitch_mm: float
    length_mm: float

    def panel(self, panel: Panel, k: int) -> Panel:
        """``panel`` as the column number ``k``; what it shows begins as much later as columns are longer."""
        x0 = self.start_mm + k * self.pitch_mm
        start_s = panel.start_s * self.length_mm / (panel.x1_mm - panel.x0_mm)
        return replace(panel, x0_mm=x0, x1_mm=x0 + self.length_mm, start_s=start_s)


def at_bars(layout: Layout, bars: Sequence[Bar]) -> Layout:
    """``layout`` with its columns moved, and made longer or shorter together, to where ``bars`` part them; as it was
    where too few do, or do not agree. Rows of one panel follow the columns that they begin and end with."""
    changed: dict[Panel, Panel] = {}
    rows = layout.rows()
    for n in {len(row) for row in rows if len(row) > 1}:
        alike = [row for row in rows if len(row) == n]
        columns = _parted(alike, bars, _STEP_S * layout.speed_mm_s)
        if columns is None:
            continue
        for row in alike:
            changed |= {panel: columns.panel(panel, k) for k, panel in enumerate(row)}
        before = alike[0]
        for (strip,) in (row for row in rows if len(row) == 1):
            begins, ends = (
                abs(a - b) < _NEAR_MM for a, b in ((strip.x0_mm, before[0].x0_mm), (strip.x1_mm, before[-1].x1_mm))
            )
            if begins:
                x0 = strip.x0_mm + columns.start_mm - before[0].x0_mm
                x1 = changed[before[-1]].x1_mm if ends else strip.x1_mm + x0 - strip.x0_mm
                changed[strip] = replace(strip, x0_mm=x0, x1_mm=x1)
    return replace(layout, panels=tuple(changed.get(panel, panel) for panel in layout.panels))


def _parted(rows: Sequence[tuple[Panel, ...]], bars: Sequence[Bar], step_mm: float) -> _Columns | None:
    """The columns of ``rows``, which have the same number, as ``bars`` part them; None where these do not tell."""
    near = {(k, bar) for row in rows for k, panel in enumerate(row) if (bar := _bar_at(panel, bars)) is not None}
    column, x = np.array([k for k, _ in near], int), np.array([bar.x_mm for _, bar in near], float)
    enough = np.array([(column == k).sum() >= _SEVERAL for k in column], np.bool_)
    column, x = column[enough], x[enough]
    if len(x) < _LEAST_BARS:
        return None
    starts = np.median([[panel.x0_mm for panel in row] for row in rows], axis=0)
    lengths = np.median([[panel.x1_mm - panel.x0_mm for panel in row] for row in rows], axis=0)
    start, pitch, length = float(starts[0]), float(np.median(np.diff(starts))), float(np.median(lengths))
    touching = abs(pitch - length) < _WHOLE_MM
    off = x - start - pitch * column
    slope = _slope(column, off)
    spread, straight = (float(np.abs(rest - np.median(rest)).mean()) for rest in (off, off - slope * column))
    whole = _is_whole(pitch, step_mm)
    if abs(slope) > (_WHOLE_PITCH_MM if whole else _PITCH_MM) and straight < _BETTER * spread:
        pitch, off = pitch + slope, off - slope * column
    elif touching and not whole and len(set(column)) == 1:
        # Only one joint is seen: the columns before it begin where they were thought to.
        pitch += float(np.median(off)) / max(int(column[0]), 1)
        off = x - start - pitch * column
    agree: NDArray[np.bool_] = np.abs(off - np.median(off)) < _AGREE_MM
    if agree.sum() < max(_LEAST_BARS, _MOST_AGREE * len(x)):
        return None
    start += float(off[agree].mean())
    line = LARGE_SQUARE_MM * round(start / LARGE_SQUARE_MM)
    if touching:
        shorter = step_mm * np.floor(pitch / step_mm)
        length = float(shorter) if not _is_whole(pitch, step_mm) and pitch - shorter < _GAP_MM else pitch
    return _Columns(line if abs(start - line) < _ON_LINE_MM else start, pitch, length)


def _bar_at(panel: Panel, bars: Sequence[Bar]) -> Bar | None:
    """The bar at which the panel begins."""
    near = [
        bar
        for bar in bars
        if abs(bar.x_mm - panel.x0_mm) < _NEAR_MM and bar.top_mm < panel.baseline_mm < bar.bottom_mm + _BESIDE_MM
    ]
    return min(near, key=lambda bar: abs(bar.x_mm - panel.x0_mm), default=None)


def _is_whole(length_mm: float, step_mm: float) -> bool:
    return abs(length_mm - step_mm * round(length_mm / step_mm)) < _WHOLE_MM


def _slope(column: NDArray[np.int64], off: NDArray[np.float64]) -> float:
    """The median of all slopes between places of different columns, 0 without any."""
    apart = column[:, None] - column
    slopes = (off[:, None] - off)[apart > 0] / apart[apart > 0]
    return float(np.median(slopes)) if len(slopes) else 0.0
