"""Rows decoded once more where complexes cross, with what simultaneous leads say of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, median_filter, uniform_filter1d

from ecglift.interlead import covariance, expected, fit
from ecglift.models.strip import RowRead, line_of, lobe, pieces_around
from ecglift.paper import Layout, Panel

Floats = NDArray[np.float64]

_ZERO_S: Final = 0.35
"""A complex is measured from the median of its line over that time: more than twice as long as it lasts."""
_THINNED: Final = 4
_SMOOTHED_S: Final = 0.05
_STEEP: Final = 0.35
_STEEPEST: Final = 98
"""Where all lines together move by that part of what they do at their steepest, a percentile, there is a complex."""

_DOUBTED: Final = 0.3
_AROUND: Final = 8
"""A column is in doubt, and so are that many beside it, where a row may be elsewhere with that chance."""


def told_apart(reads: Sequence[RowRead], layout: Layout) -> list[RowRead]:
    """The rows' ``reads`` with their chances in crossing complexes weighed by the leads that were seen there at the
    same time, and their lines decoded anew; the others as they are."""
    rows = layout.rows()
    log_p: dict[int, NDArray[np.float32]] = {}
    changed = {k: np.zeros(len(read.x_mm), np.bool_) for k, read in enumerate(reads)}
    for x0_mm, x1_mm, panels in _stretches(rows):
        columns = _columns(reads, panels, x0_mm, x1_mm)
        if columns is None:
            continue
        for row, where, log_fit in _weighed(reads, panels, columns, layout.speed_mm_s):
            log_p.setdefault(row, reads[row].log_p.copy())[:, where] += log_fit
            changed[row][where] = True
    return [_decoded(read, log_p[k], changed[k]) if k in log_p else read for k, read in enumerate(reads)]


def _stretches(rows: tuple[tuple[Panel, ...], ...]) -> Iterator[tuple[float, float, list[tuple[int, Panel]]]]:
    """(x0, x1, panels by row) of every piece of the sheet over which the same simultaneous leads stand, where there
    are two or more."""
    columns = [panel for row in rows if len(row) > 1 for panel in row]
    # Columns that show the same seconds: a strip below goes on while they begin anew.
    repeated = bool(columns) and len({panel.start_s for panel in columns}) == 1
    ends = sorted({x for row in rows for panel in row for x in (panel.x0_mm, panel.x1_mm)})
    for x0, x1 in pairwise(ends):
        there = [
            (k, panel)
            for k, row in enumerate(rows)
            for panel in row
            if panel.x0_mm <= x0 and x1 <= panel.x1_mm and not (repeated and len(row) == 1)
        ]
        if len(there) > 1:
            yield x0, x1, there


def _columns(
    reads: Sequence[RowRead], panels: list[tuple[int, Panel]], x0_mm: float, x1_mm: float
) -> list[slice] | None:
    """The columns of each panel's strip between x0 and x1, the same places on all; None for less than a complex."""
    first = [int(np.searchsorted(reads[row].x_mm, x0_mm - 1e-6)) for row, _ in panels]
    last = [int(np.searchsorted(reads[row].x_mm, x1_mm + 1e-6)) for row, _ in panels]
    n = min(b - a for a, b in zip(first, last, strict=True))
    return [slice(a, a + n) for a in first] if n > 4 * _AROUND else None


def _weighed(
    reads: Sequence[RowRead], panels: list[tuple[int, Panel]], columns: list[slice], speed_mm_s: float
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Of each panel whose complexes are in doubt: its row, columns of the row's strip, and the logarithms (rows,
    columns) of how its heights there go with the other leads."""
    per_s = speed_mm_s / float(np.diff(reads[panels[0][0]].x_mm[:2])[0])
    y_mm = np.array([reads[row].y_mm[where] for (row, _), where in zip(panels, columns, strict=True)])
    zero_mm = np.array([_slow(y, round(_ZERO_S * per_s)) for y in y_mm])
    per_mv = np.array([-panel.gain_mm_mv * panel.polarity for _, panel in panels])
    moves = np.abs(np.gradient((y_mm - zero_mm) / per_mv[:, None], axis=1)).sum(axis=0)
    moves = uniform_filter1d(moves, max(3, round(_SMOOTHED_S * per_s)))
    complexes = moves > _STEEP * np.percentile(moves, _STEEPEST)
    doubts = [_doubted(reads[row], where, complexes) for (row, _), where in zip(panels, columns, strict=True)]
    doubted = binary_dilation(np.any(doubts, axis=0), iterations=_AROUND)
    used = np.flatnonzero(complexes | doubted)
    if not doubted.any():
        return
    chances, mv = [], []
    for k, ((row, _), where) in enumerate(zip(panels, columns, strict=True)):
        read = reads[row]
        heights = read.strip.rows_mm(np.arange(len(read.log_p), dtype=float))
        chances.append(np.exp(read.log_p[:, where][:, used]))
        mv.append(((heights[:, None] - zero_mm[k, used]) / per_mv[k]).astype(np.float32))
    mean, variance = expected(chances, mv, covariance([panel.lead for _, panel in panels]))
    at = doubted[used]
    for k, ((row, _), where) in enumerate(zip(panels, columns, strict=True)):
        yield row, where.start + used[at], np.log(fit(mv[k][:, at], mean[k, at], variance[k, at]))


def _slow(y: Floats, width: int) -> Floats:
    """(n,) running median of y over about ``width`` places."""
    thin = median_filter(y[::_THINNED], width // _THINNED | 1, mode="nearest")
    return np.asarray(np.interp(np.arange(len(y)), np.arange(0, len(y), _THINNED), thin))


def _doubted(read: RowRead, where: slice, complexes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Columns of the complexes in which the row may be elsewhere than in the piece of chances that its line runs
    through: a steep stroke's is tall."""
    at = where.start + np.flatnonzero(complexes)
    p = np.exp(read.log_p[:, at])
    middle = np.round((read.y_mm[at] - read.strip.top_mm) * read.strip.px_per_mm).astype(np.int64)
    top, bottom = lobe(p, np.clip(middle, 0, len(p) - 1))
    row = np.arange(len(p))[:, None]
    doubted = np.zeros(complexes.shape, np.bool_)
    doubted[complexes] = (p * ((row >= top) & (row < bottom))).sum(axis=0) < 1 - _DOUBTED
    return doubted


def _decoded(read: RowRead, log_p: NDArray[np.float32], changed: NDArray[np.bool_]) -> RowRead:
    log_p[:, changed] -= np.log(np.exp(log_p[:, changed]).sum(axis=0))
    y_mm, sigma_mm = read.y_mm.copy(), read.sigma_mm.copy()
    for columns in pieces_around(changed):
        y_px, sigma_px = line_of(log_p[:, columns])
        y_mm[columns], sigma_mm[columns] = read.strip.rows_mm(y_px), sigma_px / read.strip.px_per_mm
    return replace(read, y_mm=y_mm, sigma_mm=sigma_mm, log_p=log_p)
