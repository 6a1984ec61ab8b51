"""Where the beats stand on the paper, and whether pieces of lines show the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ecglift.sheet import Trace

Floats = NDArray[np.float64]

_SURE_MM: Final = 1.0
_STEEP: Final = 4.0
_QUITE: Final = 90
"""Moves between two places count up to the first number times what that percentile of them is: one leap to another
line is no beat."""

_BEAT: Final = 0.35
_BEAT_SMOOTH: Final = 41
_BEAT_APART: Final = 120
"""A beat is a peak of activity, smoothed over the second number of places and the third away from the next, as high as
that part of the highest."""


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


def beat_offsets(a: Floats, b: Floats, half: int, reach: int) -> tuple[Floats, Floats]:
    """(offset, correlation), each (beats,), of every beat of ``a`` against what is most like it in ``b``, at most
    ``reach`` places away; ``half``: places on each side that are compared. Beats too near to an end are left out."""
    smooth = np.convolve(a, np.hanning(_BEAT_SMOOTH), "same")
    beats, _ = find_peaks(smooth, height=_BEAT * smooth.max(initial=0.0), distance=_BEAT_APART)
    found = []
    for k in beats:
        if k - half - reach >= 0 and k + half + reach < len(b):
            near = _even(
                np.lib.stride_tricks.sliding_window_view(b[k - half - reach : k + half + reach + 1], 2 * half + 1)
            )
            alike = near @ _even(a[k - half : k + half + 1])
            best = int(alike.argmax())
            found.append((best - reach, float(alike[best])))
    offset, correlation = np.array(found).reshape(-1, 2).T
    return offset, correlation


def _even(pieces: Floats) -> Floats:
    """``pieces`` (..., n) without their means and of unit norm."""
    even = pieces - pieces.mean(axis=-1, keepdims=True)
    return np.asarray(even / np.maximum(np.linalg.norm(even, axis=-1, keepdims=True), 1e-12))
