"""Lines on pixels are told from bent paper and from a scanner's feed."""

from __future__ import annotations

import numpy as np

from ecglift.lattice.raster import find_raster

ROWS, COLUMNS = 40, 52
ROW, COLUMN = np.indices((ROWS, COLUMNS)) - np.array([(ROWS - 1) / 2, (COLUMNS - 1) / 2])[:, None, None]


def _noise(sigma: float = 0.01) -> np.ndarray:
    return np.random.default_rng(0).normal(0, sigma, (ROWS, COLUMNS, 2))


def _off_pixels(px_per_mm: float) -> np.ndarray:
    """What the nearest pixel does to the lines of the cells, a cell's centre each: (rows, columns, 2) mm."""
    x, y = 5.0 * (COLUMN + 0.3), 5.0 * (ROW + 0.1)
    return np.stack([np.round(v * px_per_mm) / px_per_mm - v for v in (x, y)], -1)


def test_lines_on_a_displays_pixels_go_back_to_their_places() -> None:
    off = _off_pixels(2.983)
    radius = COLUMN**2 + ROW**2
    lens = 4e-6 * np.stack([COLUMN * radius, ROW * radius], -1)
    trust = np.ones((2, ROWS, COLUMNS))
    found = find_raster(lens + off + _noise(), trust)
    assert found is not None
    assert np.sqrt(np.mean((lens + off - found.lines - lens) ** 2)) < 0.25 * np.sqrt(np.mean(off**2))
    assert np.sqrt(np.mean((found.lens - lens) ** 2)) < 0.02


def test_bent_paper_is_left_as_it_is() -> None:
    height = np.sin(COLUMN / 6)  # a wave moves lines of both directions, the more the farther from the camera's foot
    bend = np.stack([0.006 * height * COLUMN, 0.006 * height * ROW], -1)
    assert find_raster(bend + _noise(), np.ones((2, ROWS, COLUMNS))) is None


def test_a_feed_moves_lines_of_one_direction_and_is_true() -> None:
    bend = np.stack([np.zeros((ROWS, COLUMNS)), 0.08 * np.sin(ROW / 4)], -1)
    assert find_raster(bend + _noise(), np.ones((2, ROWS, COLUMNS))) is None


def test_lines_that_stand_well_are_left() -> None:
    assert find_raster(_noise(), np.ones((2, ROWS, COLUMNS))) is None


def test_stains_do_not_hide_the_pixels() -> None:
    off = _off_pixels(4.419)
    bend, trust = off + _noise(), np.ones((2, ROWS, COLUMNS))
    bend[10:16, 20:30] += 0.4
    trust[:, :, :4] = 0.0
    found = find_raster(bend, trust)
    assert found is not None
    seen = np.s_[:, 4:, :]
    error = (off - off[seen].mean((0, 1)) - found.lines)[seen]
    assert np.sqrt(np.mean(error**2)) < 0.45 * np.sqrt(np.mean(off**2))  # the slowest part is the plane's
