"""Where the beats stand on the paper, and whether pieces of lines show the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.sheet import Trace

Floats = NDArray[np.float64]

_SURE_MM: Final = 1.0
_STEEP: Final = 4.0
_QUITE: Final = 90
"""Moves between two places count up to the first number times what that percentile of them is: one leap to another
line is no beat."""


def activity(by_row: Mapping[int, Trace], pieces: Sequence[tuple[int, float]], along_mm: Floats, smooth: int) -> Floats:
    """(n − 1,) how much the lines move at the places ``along_mm`` (n,) from their starts, all pieces added up, without
    its mean and of unit norm.

    ``pieces``: row and start in mm of each. ``smooth``: places that are added up, by a Hann window.
    """
    total = np.zeros(len(along_mm) - 1)
    for row, start_mm in pieces:
        trace = by_row[row]
        known = np.isfinite(trace.y_mm) & (trace.sigma_mm < _SURE_MM)
        if known.any():
            moves = np.abs(np.diff(np.interp(start_mm + along_mm, trace.x_mm[known], trace.y_mm[known])))
            total += np.minimum(moves, _STEEP * np.percentile(moves, _QUITE))
    even = np.convolve(total, np.hanning(smooth), "same")
    even -= even.mean()
    return np.asarray(even / max(float(np.linalg.norm(even)), 1e-12))


def likeness(a: Floats, b: Floats, reach: int) -> float:
    """Correlation of two activities, −1 to 1, at the best shift of up to ``reach`` places."""
    middle = len(a) - 1
    return float(np.correlate(a, b, "full")[middle - reach : middle + reach + 1].max())
