"""The rectify stage: where the pixels of the sheet come from, and what is not seen."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.stages.rectify import rectify


def waves(page_map: PageMap, shape: tuple[int, int]) -> np.ndarray:
    """A picture whose brightness is a smooth function of the paper's millimetres."""
    y, x = np.indices(shape)
    return np.repeat(brightness(page_map.to_mm(np.stack([x, y], -1).astype(float)))[..., None], 3, -1).astype(np.uint8)


def brightness(mm: np.ndarray) -> np.ndarray:
    return 128 + 60 * np.sin(2 * mm[..., 0]) + 60 * np.cos(1.7 * mm[..., 1])


@pytest.mark.parametrize("px_per_mm", [4.0, 8.0, 19.0])
def test_sheet_shows_the_paper_at_its_own_scale(px_per_mm: float) -> None:
    shape = (round(40 * px_per_mm), round(60 * px_per_mm))
    tilt = np.array([[1.0, 0.05, -2.0], [-0.04, 1.0, 1.0], [1e-4, 2e-4, 1.0]])
    page_map = PageMap(np.diag([px_per_mm, px_per_mm, 1.0]) @ tilt)
    sheet = rectify(waves(page_map, shape), page_map, (5.0, 5.0, 50.0, 34.0))
    assert sheet.rgb.shape == (232, 360, 3)
    assert sheet.origin_mm == (5.0, 5.0)
    assert sheet.seen.all()
    columns, rows = np.meshgrid(5 + np.arange(360) / 8, 5 + np.arange(232) / 8)
    error = sheet.rgb[..., 0].astype(float) - brightness(np.stack([columns, rows], -1))
    # Truncation to whole grey levels costs half a level on average.
    assert np.abs(error + 0.5).max() < 6
    assert np.sqrt(np.mean(np.square(error + 0.5))) < 1.5


def test_what_the_picture_does_not_reach_is_white_and_unseen() -> None:
    image = np.full((80, 160, 3), 100, np.uint8)
    sheet = rectify(image, PageMap.scale(8.0, (-0.5, -0.5)), (-5.0, 0.0, 15.0, 10.0))
    assert not sheet.seen[:, :40].any()
    assert sheet.seen[:, 41:].all()
    assert (sheet.rgb[:, :39] == 255).all()
    assert (sheet.rgb[:, 42:] == 100).all()


def test_fine_detail_does_not_fold() -> None:
    _, x = np.indices((800, 800))
    stripes = np.repeat((((x // 2) % 2) * 255)[..., None], 3, -1).astype(np.uint8)
    sheet = rectify(stripes, PageMap.scale(40.0), (2.0, 2.0, 18.0, 18.0))
    assert np.abs(sheet.rgb.astype(float) - 127.5).max() < 12


def test_bad_bounds_are_named() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(ValueError, match="bounds_mm"):
        rectify(image, PageMap.scale(8.0), (10.0, 0.0, 5.0, 10.0))
    with pytest.raises(ValueError, match="pixels"):
        rectify(image, PageMap.scale(8.0), (0.0, 0.0, 5000.0, 5000.0))
