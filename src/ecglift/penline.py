"""The decoded line of a row, made as smooth as a pen's path between columns that the network was sure of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecglift.sheet import Trace

Floats = NDArray[np.float64]

_BLUR_MM = 0.15
"""Spread that the network gives to a line it is sure of: that of its training target."""

_FLOOR_MM = 0.02
"""Error of a column that the network is sure of."""

_SPIKE_MM = 0.25
"""A column that stands out from its neighbours by more than this is doubted, however sure the network is."""


@dataclass(frozen=True)
class RefineSettings:
    """``bend_mm``: change of slope between columns (mm per column) that is usual on a level line; ``bend_share``: what
    is added to it per mm of slope around the column; ``first_bend_mm``: the same everywhere, before slopes are known;
    ``tail``: degrees of freedom of the columns' errors, few for many outliers; ``rounds``: reweightings. Measured on
    captured validation pages: worth 2 to 3 dB.
    """

    bend_mm: float = 0.1
    bend_share: float = 0.8
    first_bend_mm: float = 1.5
    tail: float = 1.0
    rounds: int = 3

    def __post_init__(self) -> None:
        if min(self.bend_mm, self.bend_share, self.first_bend_mm, self.tail) <= 0 or self.rounds < 1:
            raise ValueError(f"the numbers of RefineSettings must be positive, got {self}")


def refine(trace: Trace, joints_mm: tuple[float, ...] = (), settings: RefineSettings | None = None) -> Trace:
    """``trace`` as the most likely path: columns weigh by their ``sigma_mm``, with Student's errors, and slopes change
    little from column to column except where the line is steep. At ``joints_mm``, where one lead follows another, the
    line may jump, and the column on a joint, which shows both, is unseen.

    Columns without a line stay without one. The new ``sigma_mm`` is that of the path.
    """
    settings = settings or RefineSettings()
    y = trace.y_mm.astype(float)
    step = float(np.median(np.diff(trace.x_mm))) if len(y) > 1 else 0.0
    joint = np.zeros(len(y), bool)
    for x in joints_mm:
        joint |= np.abs(trace.x_mm - x) < 0.75 * step
    seen = np.isfinite(y) & ~joint
    if seen.sum() < 16:
        return trace
    y = np.interp(trace.x_mm, trace.x_mm[seen], y[seen])
    doubt = np.sqrt(np.maximum(trace.sigma_mm**2 - _BLUR_MM**2, 0))
    # A bend's weight is naught across a joint: nothing is told from one lead to the next.
    free = joint[:-2] | joint[1:-1] | joint[2:]

    fit = _student((_beyond(y) / _SPIKE_MM) ** 2, 1.0) / 2
    known = np.where(seen, fit / ((0.5 * doubt) ** 2 + _FLOOR_MM**2), 1e-6)
    stiff = np.where(free, 1e-6, settings.first_bend_mm**-2)
    path, weight = y, known
    for _ in range(settings.rounds):
        path = smoothed(y, weight, stiff)
        weight = known * _student((y - path) ** 2 * known, 1.0)

    known = np.where(seen, fit / (doubt**2 + _FLOOR_MM**2), 1e-6)
    bend = np.full(len(y), settings.bend_mm)
    for _ in range(settings.rounds):
        weight = known * _student((y - path) ** 2 * known, settings.tail)
        bend = settings.bend_mm + settings.bend_share * _steepness(path)
        path = smoothed(y, weight, np.where(free, 1e-6, bend[1:-1] ** -2))
    sigma = np.sqrt(_FLOOR_MM**2 + 1 / (1 / np.maximum(doubt, 1e-3) ** 2 + bend**-2) + 0.25 * (path - y) ** 2)
    return replace(trace, y_mm=np.where(seen, path, np.nan), sigma_mm=np.where(seen, sigma, np.inf))


def _student(square: Floats, tail: float) -> Floats:
    """Weight of a column whose squared error is ``square`` times the expected one: Student's t, ``tail`` degrees."""
    return (tail + 1) / (tail + square)


def _beyond(y: Floats) -> Floats:
    """How far (mm) each column lies beyond its two neighbours on either side: a pen is wider than that."""
    padded = np.pad(y, 2, mode="reflect")
    fellows = np.stack([padded[k : k + len(y)] for k in (0, 1, 3, 4)])
    return np.asarray(np.maximum(np.maximum(y - fellows.max(axis=0), fellows.min(axis=0) - y), 0.0))


def _steepness(path: Floats) -> Floats:
    """Steepest slope (mm per column) around each column."""
    import cv2

    slope = np.abs(np.gradient(path)).astype(np.float32)[None, :]
    wide = cv2.dilate(slope, np.ones((1, 7), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), 7 / 3, sigmaY=1e-3)[0], float)


def smoothed(y: Floats, weight: Floats, stiff: Floats) -> Floats:
    """The path p, (n,), that minimises Σ weight·(y − p)² + Σ stiff·(p[k−1] − 2p[k] + p[k+1])²; ``stiff``: (n − 2,)."""
    from scipy.linalg import solveh_banded

    bands = np.zeros((3, len(y)))
    bands[2] = weight
    bands[2, :-2] += stiff
    bands[2, 1:-1] += 4 * stiff
    bands[2, 2:] += stiff
    bands[1, 1:-1] -= 2 * stiff
    bands[1, 2:] -= 2 * stiff
    bands[0, 2:] = stiff
    return np.asarray(solveh_banded(bands, weight * y, check_finite=False))
