"""What simultaneous leads say of each other where their strokes cross.

Twelve leads are views of one heart: within a QRS complex a chest lead is known from the others to a third of its size,
before anything else is known of the patient, and to a tenth from complexes whose leads have been told apart. So among
strokes that run through each other those are the likely ones that go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ecglift.leads import CHEST_LEADS, LEAD_INDEX, LIMB_BASIS

Floats = NDArray[np.float64]
Chances = NDArray[np.float32]

_INDEPENDENT: Final = np.array(
    [
        [0.62, 0.35, -0.52, -0.26, 0.20, 0.61, 0.73, 0.63],
        [0.35, 0.56, -0.40, -0.28, 0.27, 0.71, 0.76, 0.63],
        [-0.52, -0.40, 0.92, 1.03, 0.43, -0.28, -0.62, -0.64],
        [-0.26, -0.28, 1.03, 1.93, 1.34, 0.40, -0.21, -0.43],
        [0.20, 0.27, 0.43, 1.34, 1.83, 1.33, 0.71, 0.29],
        [0.61, 0.71, -0.28, 0.40, 1.33, 1.86, 1.49, 1.00],
        [0.73, 0.76, -0.62, -0.21, 0.71, 1.49, 1.56, 1.18],
        [0.63, 0.63, -0.64, -0.43, 0.29, 1.00, 1.18, 1.02],
    ]
)
"""Mean products of I, II and V1 to V6 within QRS complexes, of patients whose twelve leads have a mean square of one:
``python -m ecglift.training.interlead`` on the 1817 records of the training split (0.01 less or more, now that the
fastest lead does not count)."""

ZERO_S: Final = 0.35
"""A complex is measured from the running median of its line over that time: more than twice as long as it lasts."""

_SMOOTHED_S: Final = 0.05
_LEAST_SMOOTHED: Final = 3
_STEEP: Final = 0.35
_STEEPEST: Final = 98
"""Where all leads together but the fastest move by that part of what they do at their steepest, a percentile, there is
a complex. One alone is no complex: it is a line that leaps."""

_OWN: Final = 0.04
"""Of its square a lead has that part for itself: what is printed twice or derived from others is read anew."""

_PATIENT: Final = 100
"""So many columns of a page's complexes say as much of its patient as all patients do."""

_PULL: Final = 0.01
"""A complex of another size than the page's is as likely to that part."""

_UNLIKELY: Final = 0.04
"""Chance, beside a Gaussian's peak of one, that a lead does not go with the others. One column in a hundred is farther
than 3.5 deviations from what they say. Where what they say was all that told rows apart, 24 pages whose complexes cross
gained 1.5 dB with 0.003, 1.3 with 0.04, and 24 others lost 0.2 with the first and gained 0.3 with the second."""

_LEAST_MV: Final = 0.03
_BROAD_MV: Final = 0.2
"""What a complex is measured to, and what others tell of it at best: they choose among strokes, the ink says where."""

_ROUNDS: Final = 2
_PASSES: Final = 4
_DAMPING: Final = 0.6


def complexes(mv: Floats, per_s: float) -> NDArray[np.bool_]:
    """(n,) columns, ``per_s`` a second, in which simultaneous leads ``mv`` (leads, n), measured from their running
    medians, have a QRS complex."""
    moves = uniform_filter1d(np.abs(np.gradient(mv, axis=1)), max(_LEAST_SMOOTHED, round(_SMOOTHED_S * per_s)))
    moves = moves.sum(axis=0) - moves.max(axis=0)
    return np.asarray(moves > _STEEP * np.percentile(moves, _STEEPEST))


def covariance(leads: Sequence[str]) -> Floats:
    """(n, n) mean products of ``leads`` within the complexes of an unknown patient; positive definite."""
    basis = np.zeros((12, 8))
    basis[: len(LIMB_BASIS), :2] = LIMB_BASIS
    basis[[LEAD_INDEX[name] for name in CHEST_LEADS], np.arange(2, 8)] = 1.0
    of = basis[[LEAD_INDEX[name] for name in leads]]
    mean = of @ _INDEPENDENT @ of.T
    return np.asarray(mean + _OWN * np.diag(np.diag(mean)))


def expected(chances: Sequence[Chances], mv: Sequence[Chances], among: Floats) -> tuple[Floats, Floats]:
    """(mean, variance), each (leads, n), in mV, of every lead by what the others say in each of n columns.

    ``chances``: (rows, n) of each lead's heights, whose values are ``mv`` (rows, n), 0 where the lead has its zero
    line; ``among``: :func:`covariance` of these leads. The heights in a column are taken for Gaussian with that
    covariance, or the page's own, times the size of the complex there; what is seen of a lead may have several peaks.
    Expectation propagation (Minka 2001) finds what goes together.
    """
    data = [_moments(p, y) for p, y in zip(chances, mv, strict=True)]
    mean, spread = np.array([m for m, _ in data]), np.array([v for _, v in data])
    leads, n = mean.shape
    square = ((mean**2 + spread) / np.diag(among)[:, None]).mean(axis=0)
    size = np.maximum(square, _PULL * max(float(np.median(square)), _LEAST_MV**2))
    seen, noise = mean.copy(), spread.copy()
    own = among
    said, doubt = mean.copy(), spread.copy()
    for _ in range(_ROUNDS):
        inverse = np.linalg.inv(own)[None] / size[:, None, None]
        for _ in range(_PASSES):
            joint = np.linalg.inv(inverse + np.eye(leads) / noise.T[:, None, :])
            middle = np.einsum("nab,bn->an", joint, seen / noise)
            variance = np.einsum("naa->an", joint)
            doubt = 1 / np.maximum(1 / variance - 1 / noise, 1e-6)
            said = doubt * (middle / variance - seen / noise)
            for k in range(leads):
                p = chances[k] * fit(mv[k], said[k], doubt[k] + _LEAST_MV**2)
                mean[k], spread[k] = _moments(p, mv[k])
            told = 1 / np.clip(1 / spread - 1 / doubt, 1e-4, None)
            weight = (1 - _DAMPING) / noise + _DAMPING / told
            seen = ((1 - _DAMPING) * seen / noise + _DAMPING * (mean / spread - said / doubt)) / weight
            noise = 1 / weight
        pairs = np.einsum("an,bn,n->ab", middle, middle, 1 / size) + np.einsum("nab,n->ab", joint, 1 / size)
        patient = (_PATIENT * among + pairs) / (_PATIENT + n)
        own = patient * (np.trace(among) / np.trace(patient)) + 0.25 * _OWN * np.diag(np.diag(among))
    return said, doubt + _BROAD_MV**2


def fit(mv: Chances, mean_mv: Floats, variance: Floats) -> Chances:
    """How well heights ``mv`` (rows, n) go with what the other leads say, (n,) each: a Gaussian of height one over a
    floor."""
    off = mv - mean_mv.astype(np.float32)
    return np.asarray(np.exp(-0.5 * off**2 / variance.astype(np.float32)) + np.float32(_UNLIKELY), np.float32)


def _moments(p: Chances, mv: Chances) -> tuple[Floats, Floats]:
    total = np.maximum(p.sum(axis=0), 1e-12)
    mean = (p * mv).sum(axis=0) / total
    variance = (p * (mv - mean) ** 2).sum(axis=0) / total
    return mean.astype(float), np.maximum(variance, _LEAST_MV**2).astype(float)
