"""A map that is off all lines alike by a few hundredths of a pixel is told by how much, where the lines can tell."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.lattice.offset import line_offset
from grids import draw, turned

SHAPE = (700, 1100)
GRID_MM = (-60.0, -35.0, 60.0, 35.0)


@pytest.fixture(scope="module")
def true() -> PageMap:
    # Turned so far that the pixels' own steps are not the same along any line.
    return turned(7.87, 1.3, SHAPE)


@pytest.fixture(scope="module")
def picture(true: PageMap) -> np.ndarray:
    return draw(true, SHAPE)


@pytest.mark.parametrize("off_mm", [(0.0, 0.0), (0.006, -0.003), (-0.012, 0.01)])
def test_an_offset_of_the_whole_page_is_measured(
    true: PageMap, picture: np.ndarray, off_mm: tuple[float, float]
) -> None:
    # The sheet's origin moved to (dx, dy): the lines stand that much before whole millimetres.
    found = line_offset(picture, true.moved(*off_mm), GRID_MM)
    assert np.array(found) == pytest.approx(-np.array(off_mm), abs=0.0008)


def test_a_map_that_is_corrected_by_it_is_right(true: PageMap, picture: np.ndarray) -> None:
    off = true.moved(0.008, 0.005)
    corrected = off.moved(*line_offset(picture, off, GRID_MM))
    point = np.array([12.3, -4.5])
    assert corrected.to_mm(true.to_px(point)) == pytest.approx(point, abs=0.0008)


def test_stains_and_noise_hardly_move_it(true: PageMap, picture: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    dirty = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
    dirty[200:420, 300:700] = 40
    found = line_offset(dirty, true.moved(0.006, 0.0), GRID_MM)
    assert found == pytest.approx((-0.006, 0.0), abs=0.002)


def test_nothing_is_said_without_lines_or_of_a_map_that_is_not_locked(true: PageMap, picture: np.ndarray) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    assert line_offset(noise, true, GRID_MM) == (0.0, 0.0)
    assert line_offset(np.full((*SHAPE, 3), 255, np.uint8), true, GRID_MM) == (0.0, 0.0)
    assert line_offset(picture, true.moved(0.2, 0.3), GRID_MM) == (0.0, 0.0)
    assert line_offset(picture, true, (0.0, 0.0, 20.0, 20.0)) == (0.0, 0.0)
