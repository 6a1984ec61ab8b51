"""What the tempo network sees of a sheet's lines: how their steepness is spread over frequencies, and how it returns.

A QRS complex lasts as long in every heart, give or take; printed at 50 mm/s it is twice as wide on paper. The spectrum
of the line's derivative tells that. Beats per minute alone cannot (50 and 100 are both usual), but they tell the broad
complexes of a slow heart from narrow ones on fast paper.
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

LAGS_MM: Final = 2.0 ** np.arange(2.6, 7.01, 0.2)
"""Distances on paper at which steepness may return, 6 to 128 mm: a beat's at any usual rate and speed."""

FEATURES: Final = BANDS + len(LAGS_MM)

_ENVELOPE_MM: Final = 0.5
_SMOOTH: Final = 7
"""Columns of the steepness that the beats are looked for in, and how many it is smoothed over."""

_LEAST_MM: Final = 20.0
_FFT_MM: Final = 400.0
_FLOOR: Final = 1e-4


def features(lines: Iterable[Floats], runs: Iterable[Floats], step_mm: float) -> NDArray[np.float32] | None:
    """(FEATURES,) what the network sees: the spectrum of ``lines`` and the beats of ``runs``; None without a line.

    ``lines``: heights (n,) of one lead each at columns ``step_mm`` apart, in any unit, NaN where not seen; ``runs``:
    heights (n,) of lines that go on in time, be it in another lead.
    """
    spectrum = _spectrum(lines, step_mm)
    return None if spectrum is None else np.concatenate([spectrum, _beats(runs, step_mm)])


def _spectrum(lines: Iterable[Floats], step_mm: float) -> NDArray[np.float32] | None:
    """(BANDS,) logarithm of each band's share of the derivative's power, the median over ``lines``; None without one.

    Of each line the longest piece without a gap counts, if it is at least 20 mm long and not flat.
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


def _beats(runs: Iterable[Floats], step_mm: float) -> NDArray[np.float32]:
    """(LAGS_MM,) autocorrelation of the steepness over ``runs``, those that show more of a distance weighing more; 0 at
    distances that none shows."""
    total, weight = np.zeros(len(LAGS_MM)), np.zeros(len(LAGS_MM))
    window = np.hanning(_SMOOTH + 2)[1:-1]
    block = max(round(_ENVELOPE_MM / step_mm), 1)
    lags = LAGS_MM / (block * step_mm)
    for run in runs:
        steep = np.nan_to_num(np.abs(np.diff(np.asarray(run, float))))
        n = len(steep) // block
        if n * block * step_mm < _LEAST_MM:
            continue
        envelope = np.convolve(steep[: n * block].reshape(n, block).mean(1), window / window.sum(), "same")
        envelope -= envelope.mean()
        pairs = np.arange(n, 0, -1)
        product = np.fft.irfft(np.abs(np.fft.rfft(envelope, 2 * n)) ** 2, 2 * n)[:n] / pairs
        shown = lags < 0.75 * n
        if product[0] > 0:
            counted = pairs[lags[shown].astype(int)]
            total[shown] += counted * np.interp(lags[shown], np.arange(n), product / product[0])
            weight[shown] += counted
    return (total / np.maximum(weight, 1.0)).astype(np.float32)


def _longest(line: Floats) -> Floats:
    """The longest piece of ``line`` without NaN."""
    seen = np.isfinite(line).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], seen, [0]]))).reshape(-1, 2)
    if not len(edges):
        return line[:0]
    first, last = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    return line[first:last]
