"""Rows decoded once more where complexes cross, with what simultaneous leads say of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, median_filter

from ecglift.interlead import ZERO_S, complexes, covariance, expected, fit
from ecglift.models.strip import RowRead, decoded_anew, lobe
from ecglift.paper import Layout, Panel

Floats = NDArray[np.float64]

_THINNED: Final = 4
_DOUBTED: Final = 0.3
_AROUND: Final = 8
"""A column is in doubt, and so are that many beside it, where a row may be elsewhere with that chance."""
_BESIDE_S: Final = 0.05
"""So near to a lead's ends stand pulses and separators."""
_SHORT: Final = 32
"""Columns, 2 mm: less than a complex."""
_EDGE_MM: Final = 1.5
"""A line that runs that near to its strip's edge may have left it."""


@dataclass(frozen=True)
class _View:
    """A lead where others are seen at the same time: the columns ``where`` of its row's strip."""

    row: int
    panel: Panel
    read: RowRead
    where: slice

    def line_mm(self) -> Floats:
        return self.read.y_mm[self.where]

    def mv(self, zero_mm: Floats) -> NDArray[np.float32]:
        """(rows, n) what the strip's heights are in mV, from zero lines (n,)."""
        heights = self.read.strip.rows_mm(np.arange(len(self.read.log_p), dtype=float))
        return np.asarray((heights[:, None] - zero_mm) / self.per_mv, np.float32)

    @property
    def per_mv(self) -> float:
        """Millimetres downwards for a millivolt."""
        return -self.panel.gain_mm_mv * self.panel.polarity


def told_apart(reads: Sequence[RowRead], layout: Layout) -> list[RowRead]:
    """The rows' ``reads`` with their chances in crossing complexes weighed by the leads that were seen there at the
    same time, and their lines decoded anew; the others as they are."""
    log_p: dict[int, NDArray[np.float32]] = {}
    changed = {k: np.zeros(len(read.x_mm), np.bool_) for k, read in enumerate(reads)}
    for views in _together(reads, layout.rows()):
        for view, columns, log_fit in _weighed(views, layout.speed_mm_s):
            log_p.setdefault(view.row, view.read.log_p.copy())[:, columns] += log_fit
            changed[view.row][columns] = True
    for k, weighed in log_p.items():
        weighed[:, changed[k]] -= np.log(np.exp(weighed[:, changed[k]]).sum(axis=0))
    return [decoded_anew(read, log_p[k], changed[k]) if k in log_p else read for k, read in enumerate(reads)]


def _together(reads: Sequence[RowRead], rows: tuple[tuple[Panel, ...], ...]) -> Iterator[list[_View]]:
    """The leads, two or more, of every piece of the sheet over which the same ones are seen at the same time."""
    columns = [panel for row in rows if len(row) > 1 for panel in row]
    # Columns that show the same seconds: a strip below goes on while they begin anew.
    repeated = bool(columns) and len({panel.start_s for panel in columns}) == 1
    ends = sorted({x for row in rows for panel in row for x in (panel.x0_mm, panel.x1_mm)})
    for x0, x1 in pairwise(ends):
        there = [
            _View(k, panel, reads[k], slice(*np.searchsorted(reads[k].x_mm, (x0 - 1e-6, x1 + 1e-6))))
            for k, row in enumerate(rows)
            for panel in row
            if panel.x0_mm <= x0 and x1 <= panel.x1_mm and not (repeated and len(row) == 1)
        ]
        n = min((view.where.stop - view.where.start for view in there), default=0)
        if len(there) > 1 and n > _SHORT:
            yield [replace(view, where=slice(view.where.start, view.where.start + n)) for view in there]


def _weighed(views: list[_View], speed_mm_s: float) -> Iterator[tuple[_View, NDArray[np.int64], NDArray[np.float32]]]:
    """Where complexes are in doubt, of each lead: the columns of its strip and the logarithms (rows, columns) of how
    its heights there go with the other leads."""
    per_s = speed_mm_s / float(np.diff(views[0].read.x_mm[:2])[0])
    zero_mm = [_slow(view.line_mm(), round(ZERO_S * per_s)) for view in views]
    line_mv = [(view.line_mm() - zero) / view.per_mv for view, zero in zip(views, zero_mm, strict=True)]
    within = complexes(np.array(line_mv), per_s)
    beside = round(_BESIDE_S * per_s)
    within[:beside], within[-beside:] = False, False
    if not within.any():
        return
    doubted = np.any([_doubted(view.read, view.where, within) for view in views], axis=0)
    if not doubted.any():
        return
    doubted = binary_dilation(doubted, iterations=_AROUND)
    used = np.flatnonzero(within | doubted)
    chances = [np.exp(view.read.log_p[:, view.where][:, used]) for view in views]
    left = [_leaves(view.read, view.where.start + used) for view in views]
    chances = [np.where(gone, np.float32(1 / len(p)), p) for p, gone in zip(chances, left, strict=True)]
    mv = [view.mv(zero[used]) for view, zero in zip(views, zero_mm, strict=True)]
    mean, variance = expected(chances, mv, covariance([view.panel.lead for view in views]))
    at = doubted[used]
    for k, view in enumerate(views):
        mine = at & ~left[k]
        yield view, view.where.start + used[mine], np.log(fit(mv[k][:, mine], mean[k, mine], variance[k, mine]))


def _leaves(read: RowRead, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether the line runs along its strip's edge in the columns ``at``: it may go on beyond, and then no height
    in the strip is right."""
    y_px = read.strip.rows_px(read.y_mm[at])
    edge = _EDGE_MM * read.strip.px_per_mm
    return np.asarray((y_px < edge) | (y_px > len(read.log_p) - edge))


def _slow(y: Floats, width: int) -> Floats:
    """(n,) running median of y over about ``width`` places."""
    thin = median_filter(y[::_THINNED], width // _THINNED | 1, mode="nearest")
    return np.asarray(np.interp(np.arange(len(y)), np.arange(0, len(y), _THINNED), thin))


def _doubted(read: RowRead, where: slice, within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Columns ``within`` complexes in which the row may be elsewhere than in the piece of chances that its line runs
    through: a steep stroke's is tall."""
    at = where.start + np.flatnonzero(within)
    p = np.exp(read.log_p[:, at])
    middle = np.round(read.strip.rows_px(read.y_mm[at])).astype(np.int64)
    top, bottom = lobe(p, np.clip(middle, 0, len(p) - 1))
    row = np.arange(len(p))[:, None]
    doubted = np.zeros(within.shape, np.bool_)
    doubted[within] = (p * ((row >= top) & (row < bottom))).sum(axis=0) < 1 - _DOUBTED
    return doubted
