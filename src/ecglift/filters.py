"""Filters that a person may ask for: baseline wander, mains hum, noise. Off by default: what is printed leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.recording import Recording

Floats = NDArray[np.float64]

_SHORTEST_S: Final = 0.5
"""Stretches shorter than this are left alone: a filter would say more about their ends than about the heart."""


@dataclass(frozen=True)
class FilterSettings:
    """Which filters run, in this order; None switches one off. ValueError names the field and its range.

    ``baseline_hz``: what is slower than this is taken out (usual: 0.5). ``mains_hz``: hum of this frequency is taken
    out (50 or 60). ``smooth_hz``: noise faster than this is taken out between the QRS complexes (usual: 40).
    """

    baseline_hz: float | None = None
    mains_hz: float | None = None
    smooth_hz: float | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("baseline_hz", 0.05, 2.0), ("mains_hz", 45.0, 65.0), ("smooth_hz", 15.0, 150.0)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g} Hz, got {value!r}")


def filtered(recording: Recording, settings: FilterSettings) -> Recording:
    """The recording with the chosen filters applied to every stretch of every lead; NaN stays NaN.

    All filters are zero-phase: no wave moves. QRS amplitudes change by less than 1 % (measured on real signals in the
    tests). ``provenance["filters"]`` says what was done.
    """
    chosen = {name: value for name, value in vars(settings).items() if value is not None}
    if not chosen:
        return recording
    out = recording.mv.astype(float)
    for row in out:
        for start, stop in stretches(np.isfinite(row)):
            if stop - start < _SHORTEST_S * recording.fs_hz:
                continue
            y = row[start:stop]
            if settings.baseline_hz is not None:
                y = without_baseline(y, recording.fs_hz, settings.baseline_hz)
            if settings.mains_hz is not None:
                y = without_mains(y, recording.fs_hz, settings.mains_hz)
            if settings.smooth_hz is not None:
                y = smoothed(y, recording.fs_hz, settings.smooth_hz)
            row[start:stop] = y
    return replace(recording, mv=out.astype(np.float32), provenance=recording.provenance | {"filters": chosen})


def stretches(there: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(k, 2) start and stop of each run of True in (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def without_baseline(y: Floats, fs_hz: float, cutoff_hz: float) -> Floats:
    """``y`` (n,) without what is slower than ``cutoff_hz``; its median stays where it was."""
    slow = _slow(y, fs_hz, cutoff_hz)
    out: Floats = y - slow + np.median(slow)
    return out


def without_mains(y: Floats, fs_hz: float, mains_hz: float) -> Floats:
    """``y`` (n,) without the hum of ``mains_hz``, whose height and phase may drift within about a second.

    The hum is found by demodulation of what a smoother leaves, clipped at three times its usual size so that a QRS
    complex, which holds that frequency too, does not count as hum.
    """
    if mains_hz >= 0.45 * fs_hz:
        return y
    fast = y - _slow(y, fs_hz, 0.5 * mains_hz)
    limit = 3 * 1.4826 * float(np.median(np.abs(fast))) + 1e-9
    carrier = np.exp(2j * np.pi * mains_hz * np.arange(len(y)) / fs_hz)
    base = np.clip(fast, -limit, limit) * carrier.conj()
    envelope = _slow(base.real, fs_hz, 0.7) + 1j * _slow(base.imag, fs_hz, 0.7)
    # The smoother above lets a share of the hum pass; what it kept of a pure hum is known, so the rest follows.
    kept = 1 - 1 / (1 + (mains_hz / (0.5 * mains_hz)) ** 4)
    out: Floats = y - 2 * np.real(envelope * carrier) / kept
    return out


def smoothed(y: Floats, fs_hz: float, cutoff_hz: float) -> Floats:
    """``y`` (n,) low-passed at ``cutoff_hz`` where it is slow, untouched within the QRS complexes."""
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    calm = gaussian_filter1d(y, 0.004 * fs_hz)
    slope = np.abs(np.gradient(calm))
    level = maximum_filter1d(slope, max(round(0.06 * fs_hz), 1))
    threshold = 0.15 * float(np.percentile(slope, 99.5)) + 1e-9
    share = gaussian_filter1d(np.clip(2 - 2 * level / threshold, 0.0, 1.0), 0.005 * fs_hz)
    out: Floats = y + share * (_slow(y, fs_hz, cutoff_hz) - y)
    return out


def _slow(y: Floats, fs_hz: float, cutoff_hz: float) -> Floats:
    """The part of ``y`` (n,) that is slower than ``cutoff_hz``: half the amplitude passes there, zero phase.

    Whittaker's smoother, min Σ(y − z)² + λ Σ(Δ²z)², whose gain is 1 / (1 + λ (2 sin(ω/2))⁴); its natural boundary
    keeps the ends quiet where a recursive filter rings.
    """
    from scipy.linalg import solveh_banded

    n = len(y)
    weight = (2 * np.sin(np.pi * min(cutoff_hz / fs_hz, 0.5))) ** -4
    bands = np.zeros((3, n))
    difference = np.array([1.0, -2.0, 1.0])
    for k in range(3):
        for a in range(3 - k):
            bands[k, a : n - 2 + a] += weight * difference[a] * difference[a + k]
    bands[0] += 1.0
    return np.asarray(solveh_banded(bands, y, lower=True))
