"""Quarter turns: the sheet, its points and its map turn together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.geometry import PageMap
from ecglift.reading.turn import turn_bounds, turn_map, turn_points, turn_sheet
from ecglift.sheet import Sheet


def _sheet(height: int = 24, width: int = 40) -> Sheet:
    rgb = np.random.default_rng(1).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return Sheet(rgb, rgb[..., 0] > 20, (-3.0, 5.0), 8.0)


@pytest.mark.parametrize("k", range(-3, 5))
def test_a_point_keeps_its_pixel(k: int) -> None:
    sheet = _sheet()
    turned = turn_sheet(sheet, k)
    row, column = 7, 11
    mm = np.array([sheet.origin_mm[0] + column / 8, sheet.origin_mm[1] + row / 8])
    x, y = turn_points(mm, k)
    at = round(float(turned.y_px(y))), round(float(turned.x_px(x)))
    np.testing.assert_array_equal(turned.rgb[at], sheet.rgb[row, column])
    assert turned.seen[at] == sheet.seen[row, column]


def test_one_turn_is_clockwise() -> None:
    sheet = _sheet()
    np.testing.assert_array_equal(turn_sheet(sheet, 1).rgb[0, -1], sheet.rgb[0, 0])


@given(k=st.integers(0, 3), x=st.floats(-50, 300), y=st.floats(-50, 300))
@settings(max_examples=25, deadline=None)
def test_the_map_turns_with_the_sheet(k: int, x: float, y: float) -> None:
    homography = np.array([[7.9, 0.2, 30], [-0.1, 8.1, 12], [1e-5, -2e-5, 1.0]])
    residual = np.random.default_rng(0).normal(0, 0.5, (6, 9, 2))
    page_map = PageMap(homography, (10.0, 20.0), 5.0, residual)
    p = np.array([x, y])
    np.testing.assert_allclose(turn_map(page_map, k).to_px(turn_points(p, k)), page_map.to_px(p), atol=1e-6)


@pytest.mark.parametrize("k", range(4))
def test_four_turns_are_none(k: int) -> None:
    sheet = _sheet()
    back = turn_sheet(turn_sheet(sheet, k), 4 - k)
    np.testing.assert_array_equal(back.rgb, sheet.rgb)
    np.testing.assert_allclose(back.origin_mm, sheet.origin_mm)


def test_bounds_stay_ordered() -> None:
    assert turn_bounds((1.0, 2.0, 30.0, 20.0), 1) == (-20.0, 1.0, -2.0, 30.0)
