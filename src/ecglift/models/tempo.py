"""What the tempo network sees of a sheet's lines: how their steepness is spread over frequencies, as if at 25 mm/s.

A QRS complex lasts as long in every heart, give or take; printed at 50 mm/s it is twice as wide on paper. What beats
per minute cannot tell (50 and 100 are both usual), the spectrum of the line's derivative can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EDGES_PER_MM: Final = 2.0 ** np.arange(-1, 6.01, 1 / 3) / 25.0
"""Edges of the third-octave bands, cycles per mm of paper: 0.5 to 64 Hz if the paper ran at 25 mm/s."""

BANDS: Final = len(EDGES_PER_MM) - 1

_LEAST_MM: Final = 20.0
_FFT_MM: Final = 400.0
_FLOOR: Final = 1e-4


def features(lines: Iterable[Floats], step_mm: float) -> NDArray[np.float32] | None:
    """(BANDS,) logarithm of each band's share of the derivative's power, the median over ``lines``; None without one.

    ``lines``: heights (n,) of one lead each at columns ``step_mm`` apart, in any unit, NaN where not seen. Of each the
    longest piece without a gap counts, if it is at least 20 mm long and not flat.
    """
    n_fft = int(2 ** np.ceil(np.log2(_FFT_MM / step_mm)))
    edge = np.searchsorted(np.fft.rfftfreq(n_fft, step_mm), EDGES_PER_MM)
    shares = []
    for line in lines:
        piece = _longest(np.asarray(line, float))
        if len(piece) * step_mm < _LEAST_MM:
            continue
        steepness = np.diff(piece)
        # A piece longer than the transform would be cut by it, and its window with it.
        steepness = steepness[:n_fft] * np.hanning(min(len(steepness), n_fft))
        power = np.concatenate([[0.0], np.cumsum(np.abs(np.fft.rfft(steepness, n_fft)) ** 2)])
        band = power[edge[1:]] - power[edge[:-1]]
        if band.sum() > 0:
            shares.append(np.log(band / band.sum() + _FLOOR))
    return np.median(shares, axis=0).astype(np.float32) if shares else None


def _longest(line: Floats) -> Floats:
    """The longest piece of ``line`` without NaN."""
    seen = np.isfinite(line).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen, [0]]))).reshape(-1, 2)
    if not len(edges):
        return line[:0]
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    return line[first:last]
