"""Where a row's line is seen, and whether it runs through from one place to another."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import RowRead

RUN_SHARE: Final = 0.85
"""A line runs through where more than so much of it is seen."""

_KNOWN_MM: Final = 0.6


def seen_in(read: RowRead) -> NDArray[np.bool_]:
    """(n,) columns with a line: on blank paper the network may say that there is one, but not at which height."""
    return np.asarray((read.presence > 0.5) & (read.sigma_mm < _KNOWN_MM), np.bool_)


def runs_through(read: RowRead, x0_mm: float, x1_mm: float) -> bool:
    """Whether the row's line is seen all the way between two places."""
    between = (read.x_mm > x0_mm) & (read.x_mm < x1_mm)
    return bool(np.mean(seen_in(read)[between]) > RUN_SHARE) if between.any() else False
