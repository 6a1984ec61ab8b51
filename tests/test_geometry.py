"""Maps between pixels and millimetres: inverses, moves, JSON, fits and rasters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.geometry import PageMap, apply_homography, fit_homography, fit_page_map


def bent(seed: int, amplitude_px: float = 6.0) -> PageMap:
    """A tilted page with a smooth random bend, 100 × 60 mm."""
    rng = np.random.default_rng(seed)
    homography = np.array([[6.0, 0.3, 40.0], [-0.2, 5.8, 30.0], [2e-4, -1e-4, 1.0]])
    c, r = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 8))
    phase = rng.uniform(0, 6, 4)
    bend = np.stack(
        [np.sin(3 * c + phase[0]) * np.cos(2 * r + phase[1]), np.cos(4 * r + phase[2]) * np.sin(2 * c + phase[3])], -1
    )
    return PageMap(homography, (0.0, 0.0), 10.0, amplitude_px * bend)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0, 100), st.floats(0, 60))
def test_to_mm_undoes_to_px(seed: int, x: float, y: float) -> None:
    page_map = bent(seed)
    point = np.array([[x, y]])
    assert page_map.to_mm(page_map.to_px(point)) == pytest.approx(point, abs=1e-5)


def test_a_single_point_is_mapped_like_many() -> None:
    page_map = bent(3)
    assert page_map.to_px(np.array([20.0, 30.0])) == pytest.approx(page_map.to_px(np.array([[20.0, 30.0]]))[0])


def test_moved_puts_the_origin_where_it_is_told() -> None:
    page_map = bent(4)
    assert page_map.moved(3.0, -2.0).to_px(np.array([[0.0, 0.0], [10.0, 20.0]])) == pytest.approx(
        page_map.to_px(np.array([[3.0, -2.0], [13.0, 18.0]]))
    )


def test_after_follows_a_crop_and_resize_of_the_image() -> None:
    page_map = bent(5)
    resize = np.array([[0.5, 0, -10.0], [0, 0.4, 7.0], [0, 0, 1]])
    points = np.array([[10.0, 10.0], [63.0, 41.0], [99.0, 5.0]])
    assert page_map.after(resize).to_px(points) == pytest.approx(
        apply_homography(resize, page_map.to_px(points)), abs=1e-6
    )


def test_raster_is_to_px_on_a_lattice() -> None:
    page_map = bent(6)
    x, y = 5 + np.arange(301) / 8, 2 + np.arange(203) / 8
    exact = page_map.to_px(np.stack(np.meshgrid(x, y), -1))
    assert page_map.raster(x, y).shape == (203, 301, 2)
    assert np.abs(page_map.raster(x, y) - exact).max() < 0.02
    assert page_map.raster(x[:1], y[:1])[0, 0] == pytest.approx(exact[0, 0], abs=1e-3)


def test_json_gives_the_same_map() -> None:
    page_map = bent(7)
    again = PageMap.from_dict(page_map.to_dict())
    points = np.array([[1.0, 2.0], [50.0, 33.0]])
    assert again.to_px(points) == pytest.approx(page_map.to_px(points), abs=0)
    assert np.isnan(again.residual_mm)


def test_fitted_homography_is_the_one_that_made_the_points() -> None:
    true = bent(0).homography
    points = np.random.default_rng(0).uniform(0, 100, (30, 2))
    found = fit_homography(points, apply_homography(true, points))
    assert found == pytest.approx(true, rel=1e-6, abs=1e-9)
    with pytest.raises(ValueError, match="4 points"):
        fit_homography(points[:3], points[:3])


def test_fitted_map_goes_through_a_bend_to_a_tenth_of_a_pixel() -> None:
    true = bent(8)
    mm = np.stack(np.meshgrid(np.arange(0, 101, 2.5), np.arange(0, 61, 2.5)), -1).reshape(-1, 2)
    found = fit_page_map(mm, true.to_px(mm), (0, 0, 100, 60), step_mm=5.0, smoothness=0.01)
    assert np.abs(found.to_px(mm) - true.to_px(mm)).max() < 0.25
    assert found.residual_mm < 0.02


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="homography"):
        PageMap(np.eye(2))
    with pytest.raises(ValueError, match="residual_px"):
        PageMap(np.eye(3), residual_px=np.zeros((3, 3)))
