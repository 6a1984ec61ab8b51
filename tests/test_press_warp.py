"""Sheets in space, cameras, and the one resampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.geometry import PageMap
from ecglift.press import warp

WIDTH_MM, HEIGHT_MM = 120.0, 80.0
FRAME = (520, 360)


def a_photo(seed: int, step_mm: float = 2.5) -> PageMap:
    """A bent, folded, tilted sheet in a small frame."""
    rng = np.random.default_rng(seed)
    shape = warp.flat_shape(WIDTH_MM, HEIGHT_MM, step_mm)
    shape = warp.curled(warp.waved(shape, rng, 6.0), rng, 20.0)
    shape = warp.folded(shape, 0.1, 60.0, 12.0, 2.0, 25.0)
    shape = warp.relaxed(warp.crumpled(shape, rng, 0.3))
    pose = warp.Pose(*rng.uniform(-25, 25, 2), rng.uniform(-180, 180), rng.uniform(0.7, 1.5), rng.normal(0, 0.05))
    return warp.photographed(shape, pose, (0, 0, WIDTH_MM, HEIGHT_MM), FRAME, (20, 20, 500, 340))


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000))
def test_dense_millimetres_are_the_inverse_of_the_map(seed: int) -> None:
    page_map = a_photo(seed)
    mm = warp.dense_mm(page_map, (FRAME[1], FRAME[0])).astype(float)
    back = page_map.to_px(mm)
    y, x = np.mgrid[0 : FRAME[1], 0 : FRAME[0]]
    inside = ((mm > 0) & (mm < [WIDTH_MM, HEIGHT_MM])).all(axis=-1)
    assert inside.mean() > 0.2
    error = np.abs(back - np.stack([x, y], axis=-1))[inside]
    assert error.max() < 0.05
    assert np.quantile(error, 0.999) < 0.02


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10_000))
def test_the_map_inverts_itself(seed: int) -> None:
    page_map = a_photo(seed)
    mm = np.random.default_rng(seed).uniform([0, 0], [WIDTH_MM, HEIGHT_MM], (200, 2))
    assert np.abs(page_map.to_mm(page_map.to_px(mm)) - mm).max() < 1e-3


def test_upsampling_gives_back_a_cubic() -> None:
    def f(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 3.0 + 0.5 * x - 0.25 * y + 0.002 * x**2 - 0.001 * x * y + 1e-5 * y**3

    step, shape = 8, (90, 130)
    y, x = np.mgrid[-step * 4 : shape[0] + 6 * step : step, -step * 4 : shape[1] + 6 * step : step].astype(float)
    fine_y, fine_x = np.mgrid[0 : shape[0], 0 : shape[1]]
    # Nodes well around the picture: how the spline ends at its border is not under test.
    coarse = f(x, y)
    wide = warp.upsampled(coarse, step, (shape[0] + 6 * step, shape[1] + 6 * step))
    got = wide[3 * step : 3 * step + shape[0], 3 * step : 3 * step + shape[1]]
    assert np.abs(got - f(fine_x, fine_y)).max() < 2e-3


def test_upsampling_does_not_ripple_on_a_plane() -> None:
    y, x = np.mgrid[-1:12, -1:14] * 8.0
    got = warp.upsampled(2 * x + y, 8, (60, 70))
    fine_y, fine_x = np.mgrid[0:60, 0:70]
    assert np.abs(got - 2 * fine_x - fine_y)[16:-16, 16:-16].max() < 0.02


def test_paper_does_not_stretch_when_it_bends() -> None:
    rng = np.random.default_rng(3)
    shape = warp.curled(warp.flat_shape(200, 100, 2.0), rng, 30.0)
    for axis in (0, 1):
        length = np.linalg.norm(np.diff(shape.xyz_mm, axis=axis), axis=-1)
        assert np.abs(length / 2.0 - 1).max() < 0.004


def test_a_flat_sheet_seen_from_above_is_a_scale() -> None:
    shape = warp.flat_shape(WIDTH_MM, HEIGHT_MM)
    page_map = warp.photographed(shape, warp.Pose(), (0, 0, WIDTH_MM, HEIGHT_MM), FRAME, (20, 20, 500, 340))
    assert page_map.to_px(np.array([0.0, 0.0])) == pytest.approx([20, 20], abs=1e-3)
    assert page_map.px_per_mm(np.array([60.0, 40.0])) == pytest.approx([4, 4], abs=1e-6)


def test_positive_rotation_is_anticlockwise() -> None:
    page_map = warp.affine_map(100, 50, (4, 4), 90.0, (201, 401))
    assert page_map.to_px(np.array([50.0, 25.0])) == pytest.approx([100, 200])
    # The page's right edge points up.
    assert page_map.to_px(np.array([100.0, 25.0])) == pytest.approx([100, 0])


def test_warped_dots_stand_where_the_map_says() -> None:
    page_map = a_photo(11)
    px_per_mm = 6.0
    dots = np.stack(np.meshgrid(np.arange(10.0, 120, 10), np.arange(10.0, 80, 10)), axis=-1).reshape(-1, 2)
    y, x = (np.mgrid[0:480, 0:720] + 0.5) / px_per_mm
    raster = np.zeros((480, 720))
    for cx, cy in dots:
        raster += 240 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 0.5**2))
    back = warp.inverse(page_map, (FRAME[1], FRAME[0]))
    picture = warp.warped(raster.astype(np.uint8), px_per_mm, (0.0, 0.0), back).astype(float)
    errors = []
    for at in page_map.to_px(dots):
        col, row = np.rint(at).astype(int)
        window = picture[row - 7 : row + 8, col - 7 : col + 8]
        wy, wx = np.mgrid[row - 7 : row + 8, col - 7 : col + 8]
        errors.append([(window * wx).sum() / window.sum() - at[0], (window * wy).sum() / window.sum() - at[1]])
    assert np.abs(np.median(errors, axis=0)).max() < 0.01
    assert np.abs(errors).max() < 0.05


def test_beside_the_page_there_is_nothing() -> None:
    page_map = PageMap.scale(4.0, (40.0, 30.0))
    back = warp.inverse(page_map, (120, 160))
    picture = warp.warped(np.full((40, 60, 4), 255, np.uint8), 2.0, (0.0, 0.0), back)
    assert (picture[:25] == 0).all()
    assert (picture[:, :35] == 0).all()
    assert (picture[35:105, 45:155] == 255).all()


def test_seen_box_is_clipped_to_the_page() -> None:
    back = warp.inverse(PageMap.scale(4.0, (40.0, 30.0)), (120, 160))
    assert warp.seen_box_mm(back, 20.0, 100.0, 0.0)[:3] == (0.0, 0.0, 20.0)
