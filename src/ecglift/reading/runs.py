"""Where a row's line is seen, and whether it runs through from one place to another."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import RowRead

_RUN_SHARE: Final = 0.85
"""A line runs through where more than so much of it is seen."""

_KNOWN_MM: Final = 0.6

_RUN_MM: Final = 3.0
_RUN_KNOWN: Final = 0.5
"""A line begins where it is likely from there on in nearly all of so many millimetres and seen in half of them: a
complex is steep."""
_BEYOND_MM: Final = 0.5
"""So much of the paper beyond its end must be shown for an end to be one."""


def seen_in(read: RowRead) -> NDArray[np.bool_]:
    """(n,) columns with a line: on blank paper the network may say that there is one, but not at which height."""
    return np.asarray((read.presence > 0.5) & (read.sigma_mm < _KNOWN_MM), np.bool_)


def runs_through(read: RowRead, x0_mm: float, x1_mm: float) -> bool:
    """Whether the row's line is seen all the way between two places."""
    between = (read.x_mm > x0_mm) & (read.x_mm < x1_mm)
    return bool(np.mean(seen_in(read)[between]) > _RUN_SHARE) if between.any() else False


def line_span(read: RowRead) -> tuple[float | None, float | None]:
    """Where the row's line is first and last seen, mm; None where no piece of 3 mm of it is, or where it goes on to
    where the picture ends."""
    seen = seen_in(read)
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
