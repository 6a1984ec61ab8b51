"""The last field of the lock: as stiff as the page, and softer only where it is folded."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecglift.lattice.fields import smooth_field
from ecglift.lattice.lock import STIFFNESSES, _final_field

Array = NDArray[np.float64]
NOISE_MM = 0.02
X, Y = np.meshgrid(5.0 * np.arange(56), 5.0 * np.arange(40))


def curled(fold_mm: float) -> Array:
    """How far the cells of a curled sheet lie from a flat one's, with a slanting fold whose flanks flatten in 12 mm."""
    across = X + 0.1 * Y - 140.0
    return 0.8 * np.sin(X / 90.0) + fold_mm * np.tanh(across / 4.0) * np.exp(-np.abs(across) / 12.0)


def seen(field: Array, seed: int) -> Array:
    return field + np.random.default_rng(seed).normal(0, NOISE_MM, field.shape)


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("seed", range(3))
def test_a_fold_is_followed_and_the_rest_stays_smooth(seed: int) -> None:
    true = curled(0.2)
    cells, trusted = seen(true, seed), np.ones(X.shape)
    error = _final_field(cells, trusted, 0).field - true
    fold = np.abs(X + 0.1 * Y - 140.0) < 20
    for stiffness in STIFFNESSES:
        whole = smooth_field(cells, trusted, stiffness) - true
        assert rms(error) < rms(whole)
        # No one stiffness is as good at both.
        assert rms(error[fold]) < rms(whole[fold]) or rms(error[~fold]) < rms(whole[~fold])
    assert rms(error[~fold]) < 0.4 * NOISE_MM


@pytest.mark.parametrize("seed", range(3))
def test_a_page_without_folds_is_as_stiff_as_it_was(seed: int) -> None:
    true = curled(0.0)
    cells, trusted = seen(true, seed), np.ones(X.shape)
    assert rms(_final_field(cells, trusted, 0).field - true) < 0.2 * NOISE_MM
    rigid = _final_field(seen(np.zeros(X.shape), seed), trusted, 0)
    assert rms(rigid.field) < 0.1 * NOISE_MM
