"""Leads of a sheet that are seen at the same time: the pieces of their rows' strips over which they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ecglift.interlead import ZERO_S
from ecglift.models.strip import RowRead
from ecglift.paper import Layout, Panel

Floats = NDArray[np.float64]
Map = NDArray[np.float32]

_THINNED: Final = 4
_SHORT: Final = 32
"""Columns, 2 mm: less than a complex."""


@dataclass(frozen=True)
class View:
    """A lead where others are seen at the same time: the columns ``where`` of its row's strip."""

    row: int
    panel: Panel
    read: RowRead
    where: slice

    def line_mm(self) -> Floats:
        return self.read.y_mm[self.where]

    def zero_mm(self, per_s: float) -> Floats:
        """(n,) where its zero line is, ``per_s`` columns a second."""
        return zero_line(self.line_mm(), per_s)

    def mv(self, zero_mm: Floats) -> Map:
        """(rows, n) what the strip's heights are in mV, from zero lines (n,)."""
        heights = self.read.strip.rows_mm(np.arange(len(self.read.log_p), dtype=float))
        return np.asarray((heights[:, None] - zero_mm) / self.per_mv, np.float32)

    @property
    def per_mv(self) -> float:
        """Millimetres downwards for a millivolt."""
        return -self.panel.gain_mm_mv * self.panel.polarity


def columns_a_second(reads: Sequence[RowRead], layout: Layout) -> float:
    """Columns of a strip, all as far apart, in a second."""
    return layout.speed_mm_s / float(np.diff(reads[0].x_mm[:2])[0])


def together(reads: Sequence[RowRead], rows: tuple[tuple[Panel, ...], ...]) -> Iterator[list[View]]:
    """The leads, two or more, of every piece of the sheet over which the same ones are seen at the same time."""
    columns = [panel for row in rows if len(row) > 1 for panel in row]
    # Columns that show the same seconds: a strip below goes on while they begin anew.
    repeated = bool(columns) and len({panel.start_s for panel in columns}) == 1
    ends = sorted({x for row in rows for panel in row for x in (panel.x0_mm, panel.x1_mm)})
    for x0, x1 in pairwise(ends):
        there = [
            View(k, panel, reads[k], slice(*np.searchsorted(reads[k].x_mm, (x0 - 1e-6, x1 + 1e-6))))
            for k, row in enumerate(rows)
            for panel in row
            if panel.x0_mm <= x0 and x1 <= panel.x1_mm and not (repeated and len(row) == 1)
        ]
        n = min((view.where.stop - view.where.start for view in there), default=0)
        if len(there) > 1 and n > _SHORT:
            yield [replace(view, where=slice(view.where.start, view.where.start + n)) for view in there]


def zero_line(y_mm: Floats, per_s: float) -> Floats:
    """(n,) mm the running median of a line, which its complexes are measured from."""
    width = round(ZERO_S * per_s)
    thin = median_filter(y_mm[::_THINNED], width // _THINNED | 1, mode="nearest")
    return np.asarray(np.interp(np.arange(len(y_mm)), np.arange(0, len(y_mm), _THINNED), thin))
