"""The grid network: what it answers, and that it sees a grid and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.lattice.contrast import ink_contrast
from ecglift.models.gridlines import find_waves, waves_of
from ecglift.models.runtime import load
from grids import RED, draw, turned

SHAPE = (230, 300)


def _mm(px_per_mm: float, degrees: float) -> np.ndarray:
    true = turned(px_per_mm, degrees, SHAPE)
    x, y = np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))
    return true.to_mm(np.stack([x, y], -1).astype(float)).astype(np.float32)


def test_waves_stand_on_the_lines_and_their_mean_is_zero() -> None:
    mm = np.arange(0, 100, 0.01, dtype=np.float32)
    light, heavy = waves_of(mm)
    assert light[mm.searchsorted(3.0)] == pytest.approx(1.0, abs=1e-4)
    assert light[mm.searchsorted(3.5)] == pytest.approx(-1.0, abs=1e-4)
    assert heavy[mm.searchsorted(15.0)] > 0.8
    assert heavy[mm.searchsorted(13.0)] < -0.1
    assert abs(light.mean()) < 1e-3
    assert abs(heavy.mean()) < 1e-3


@pytest.mark.parametrize(("px_per_mm", "degrees"), [(6.0, 0.0), (4.5, 7.0), (8.0, -20.0)])
def test_the_network_sees_the_lines_where_they_are(px_per_mm: float, degrees: float) -> None:
    rgb = draw(turned(px_per_mm, degrees, SHAPE), SHAPE, "lines", RED)
    waves = find_waves(rgb, ink_contrast(rgb), load("gridlines"))
    mm = _mm(px_per_mm, degrees)
    for k, truth in enumerate((*waves_of(mm[..., 0]), *waves_of(mm[..., 1]))):
        assert np.corrcoef(waves[k].ravel(), truth.ravel())[0, 1] > 0.85


def test_the_network_sees_no_grid_on_bare_paper_nor_in_writing() -> None:
    rng = np.random.default_rng(0)
    bare = (235 + rng.normal(0, 3, (*SHAPE, 3))).astype(np.uint8)
    written = bare.copy()
    for y in range(20, SHAPE[0], 18):
        for x in range(10, SHAPE[1] - 10, 9):
            if rng.random() < 0.8:
                written[y : y + 8, x + int(rng.integers(4)) : x + 6] = 40
    for rgb in (bare, written):
        assert np.sqrt(np.square(find_waves(rgb, ink_contrast(rgb), load("gridlines"))).mean()) < 0.15
