"""The outline of a sheet in a photo."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ecglift.geometry import apply_homography
from ecglift.lattice.outline import as_rectangle, sheet_outline

CORNERS = np.array([[310.0, 200.0], [1730.0, 260.0], [1860.0, 1290.0], [170.0, 1210.0]])


def photo(points: np.ndarray, sheet: int = 235) -> np.ndarray:
    """A bright sheet with dark lines and a dog-ear on a green table."""
    image = np.full((1500, 2000, 3), (40, 190, 60), np.uint8)
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], (sheet, sheet, sheet), cv2.LINE_AA, 4)
    for y in (500, 700, 900):
        cv2.line(image, (320, y), (1700, y + 20), (20, 20, 20), 4)
    return image


@pytest.mark.parametrize("sheet", [150, 235])
def test_corners_of_a_sheet_on_a_table(sheet: int) -> None:
    found = sheet_outline(photo(CORNERS, sheet))
    assert found is not None
    assert np.abs(found - CORNERS).max() < 3


def test_a_sheet_that_is_not_seen_whole_or_is_none_has_no_outline() -> None:
    assert sheet_outline(photo(CORNERS + np.array([0, -210.0]))) is None
    assert sheet_outline(np.full((400, 600, 3), 240, np.uint8)) is None
    angles = np.linspace(0, 2 * np.pi, 80)
    assert sheet_outline(photo(np.stack([1000 + 600 * np.cos(angles), 750 + 500 * np.sin(angles)], axis=1))) is None
    torn = np.insert(CORNERS, 2, [[1650.0, 700.0]], axis=0)
    assert sheet_outline(photo(torn)) is None


def test_a_rectangle_is_mapped_onto_the_corners() -> None:
    plane, (width, height) = as_rectangle(CORNERS)
    assert width == pytest.approx(1556, abs=5)
    assert height == pytest.approx(1028, abs=10)
    mapped = apply_homography(plane, np.array([[-width / 2, -height / 2], [width / 2, height / 2]]))
    np.testing.assert_allclose(mapped, CORNERS[[0, 2]], atol=1e-6)
