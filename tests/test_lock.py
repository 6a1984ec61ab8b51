"""What tells a flat page from a bent one: how well its cells predict each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ecglift.lattice.lock import _RIGID, _held_out

Array = NDArray[np.float64]
NOISE_MM = 0.02
X, Y = np.meshgrid(5.0 * np.arange(56), 5.0 * np.arange(40))
TRUSTED = np.ones(X.shape)


def curled(bend_mm: float) -> Array:
    """How far the cells of a curled sheet lie from a flat one's."""
    return bend_mm * np.sin((X + 0.1 * Y) / 40.0)


def seen(field: Array, seed: int) -> Array:
    return field + np.random.default_rng(seed).normal(0, NOISE_MM, field.shape)


@pytest.mark.parametrize("seed", range(3))
def test_cells_of_a_flat_page_predict_each_other_no_better_than_the_plane_does(seed: int) -> None:
    cells = seen(np.zeros(X.shape), seed)
    loss, spread = _held_out(cells, TRUSTED, 0)
    assert float(np.square(cells).sum()) < _RIGID * loss
    assert float(spread.mean()) < 0.1 * NOISE_MM


@pytest.mark.parametrize("axis", [0, 1])
def test_cells_of_a_curled_page_predict_each_other_better(axis: int) -> None:
    cells = seen(curled(0.1), 0)
    loss, spread = _held_out(cells, TRUSTED, axis)
    assert loss < 1.3 * cells.size * NOISE_MM**2
    assert float(np.square(cells).sum()) > 2 * loss
    assert float(spread.mean()) < NOISE_MM


def test_what_is_not_trusted_does_not_count() -> None:
    cells, trusted = seen(np.zeros(X.shape), 1), TRUSTED.copy()
    trusted[10:20, 10:20] = 0
    before, _ = _held_out(cells, trusted, 0)
    cells[10:20, 10:20] += 1.0
    after, _ = _held_out(cells, trusted, 0)
    assert after == pytest.approx(before, rel=1e-6)
