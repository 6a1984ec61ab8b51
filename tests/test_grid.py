"""The grid stage against pictures whose map is known, and against pictures without a grid."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.problem import StageError
from ecglift.stages.grid import GridSettings, find_grid
from grids import BLACK, RED, draw, errors, turned

SHAPE = (420, 640)
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real-images"


@pytest.mark.parametrize(
    ("kind", "colour", "px_per_mm", "degrees", "stretch"),
    [
        ("lines", RED, 6.0, 0.0, 1.0),
        ("lines", RED, 3.2, 1.3, 1.0),
        ("lines", (0.6, 0.85, 0.6), 5.0, -7.0, 1.03),
        ("dots", BLACK, 7.0, 3.0, 1.0),
        ("major", BLACK, 6.0, 12.0, 0.97),
        ("lines", (0.8, 0.8, 0.8), 9.0, 40.0, 1.0),
    ],
)
def test_flat_pages(
    kind: str, colour: tuple[float, float, float], px_per_mm: float, degrees: float, stretch: float
) -> None:
    true = turned(px_per_mm, degrees, SHAPE, stretch)
    grid = find_grid(draw(true, SHAPE, kind, colour))
    distance, heavy = errors(grid.map, true, SHAPE)
    assert np.median(distance) < 0.05
    assert np.percentile(distance, 95) < 0.1
    assert heavy
    assert grid.how == "grid"
    assert grid.confidence > 0.5
    assert np.sort(grid.px_per_mm) == pytest.approx(np.sort([px_per_mm, px_per_mm * stretch]), rel=0.003)


def test_perspective_and_bend() -> None:
    c, r = np.meshgrid(np.linspace(-1, 1, 25), np.linspace(-1, 1, 17))
    bend = np.stack([4 * c**2 * r, 7 * np.cos(2.5 * c)], -1)
    homography = np.array([[5.5, 0.5, 320.0], [-0.3, 5.9, 210.0], [6e-4, 4e-4, 1.0]])
    true = PageMap(homography, (-60.0, -40.0), 5.0, bend)
    grid = find_grid(draw(true, SHAPE))
    distance, heavy = errors(grid.map, true, SHAPE)
    assert np.percentile(distance, 95) < 0.12
    assert heavy


def test_a_sharp_fold_is_followed_square_by_square() -> None:
    """Beyond the fold the squares look a fifth narrower: by the page's mean they are off by several of them."""
    shape = (420, 900)
    x_mm = np.arange(-70.0, 75.0, 5.0)
    bend = np.zeros((25, len(x_mm), 2))
    bend[..., 0] = np.where(x_mm > 0, -1.3 * x_mm, 0.0)
    true = PageMap(np.array([[6.2, 0.0, 440.0], [0.0, 6.0, 210.0], [0, 0, 1.0]]), (-70.0, -60.0), 5.0, bend)
    distance, heavy = errors(find_grid(draw(true, shape)).map, true, shape)
    assert np.median(distance) < 0.05
    assert np.percentile(distance, 75) < 0.2
    assert heavy


def test_grey_jpeg_with_shadow_and_stain() -> None:
    true = turned(5.0, 2.0, SHAPE)
    image = draw(true, SHAPE, "lines", (0.75, 0.75, 0.75)).astype(float)
    y, x = np.indices(SHAPE)
    image *= (0.5 + 0.5 / (1 + np.exp((x - 250) / 60)))[..., None]
    image[np.hypot(x - 420, y - 200) < 60] *= (0.8, 0.7, 0.5)
    grey = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2GRAY)
    packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    grid = find_grid(cv2.cvtColor(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), cv2.COLOR_GRAY2RGB))
    distance, heavy = errors(grid.map, true, SHAPE)
    assert np.percentile(distance, 95) < 0.15
    assert heavy


def test_bounds_leave_the_table_out() -> None:
    shape = (520, 760)
    true = turned(5.0, 0.0, shape)
    image = draw(true, shape)
    y, x = np.indices(shape)
    image[(np.abs(x - 380) > 250) | (np.abs(y - 260) > 170)] = (90, 60, 40)
    grid = find_grid(image)
    assert grid.grid_mm[2] - grid.grid_mm[0] == pytest.approx(100, abs=15)
    assert grid.grid_mm[3] - grid.grid_mm[1] == pytest.approx(68, abs=15)
    assert grid.bounds_mm[0] <= grid.grid_mm[0]
    assert grid.bounds_mm[3] - grid.bounds_mm[1] <= shape[0] / 5 + 1


def without_grid(name: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.indices((400, 600))
    if name == "photo":
        image = cv2.GaussianBlur(rng.normal(120, 90, (400, 600, 3)), (0, 0), 9) * 4 - 360
    elif name == "text":
        image = np.full((400, 600, 3), 250, np.uint8)
        for row in range(20, 380, 22):
            cv2.putText(image, "The quick brown fox jumps over it", (20, row), 0, 0.6, (20, 20, 20), 1)
    elif name == "monitor":
        image = np.zeros((400, 600, 3))
        for row in range(60, 400, 80):
            image[np.abs(y - row - 20 * np.exp(-np.square((x % 90 - 45) / 4.0))) < 1.2] = (30, 240, 60)
    else:
        image = np.full((400, 600, 3), 255.0)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "code"),
    [("photo", None), ("text", "grid-not-found"), ("monitor", "not-paper"), ("blank", "grid-not-found")],
)
def test_pictures_without_a_grid_are_refused(name: str, code: str | None) -> None:
    with pytest.raises(StageError) as caught:
        find_grid(without_grid(name))
    assert caught.value.problem.stage == "grid"
    assert code is None or caught.value.problem.code == code


def test_a_blank_sheet_on_a_colourful_table_is_no_monitor() -> None:
    image = np.full((400, 600, 3), (30, 140, 110), np.uint8)
    image[120:300, 160:460] = 240
    with pytest.raises(StageError) as caught:
        find_grid(image)
    assert caught.value.problem.code == "grid-not-found"


def test_a_small_sheet_on_a_dark_table_is_looked_at_closely() -> None:
    sheet = (780, 1100)
    image = np.full((3200, 4200, 3), (75, 58, 35), np.uint8)
    part = (slice(1700, 1700 + sheet[0]), slice(900, 900 + sheet[1]))
    true = turned(4.6, 1.5, sheet)
    image[part] = draw(true, sheet)
    grid = find_grid(image)
    there = PageMap(np.array([[1.0, 0, 900], [0, 1.0, 1700], [0, 0, 1.0]]) @ true.homography)
    mm = np.random.default_rng(0).uniform((-90, -60), (90, 60), (200, 2))
    found = grid.map.to_mm(there.to_px(mm))
    off = found - mm
    assert np.abs(off - np.round(np.median(off, axis=0) / 5) * 5).max() < 0.15
    assert grid.px_per_mm == pytest.approx((4.6, 4.6), rel=0.003)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (40, 40)])
def test_tiny_pictures_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(StageError):
        find_grid(np.full((*size, 3), 200, np.uint8))


def test_given_scale_needs_no_grid() -> None:
    grid = find_grid(without_grid("blank"), GridSettings(px_per_mm=8.0))
    assert grid.how == "given"
    assert grid.kind == "none"
    assert grid.bounds_mm == pytest.approx((0, 0, 75, 50))
    assert grid.map.to_px(np.zeros(2)) == pytest.approx([-0.5, -0.5])
    with pytest.raises(ValueError, match="px_per_mm"):
        find_grid(without_grid("blank"), GridSettings(px_per_mm=0.0))


def test_dpi_is_believed_only_for_a_sheet_of_paper() -> None:
    grid = find_grid(without_grid("text"), GridSettings(dpi=75.0))
    assert grid.how == "page"
    assert [p.code for p in grid.problems] == ["scale-from-page"]
    assert grid.px_per_mm == pytest.approx((75 / 25.4,) * 2)
    for name, dpi in (("monitor", 75.0), ("text", 600.0)):
        with pytest.raises(StageError):
            find_grid(without_grid(name), GridSettings(dpi=dpi))


def test_monitor_screenshot_is_refused() -> None:
    path = REAL / "scans" / "not-paper-monitor.jpg"
    if not path.exists():
        pytest.skip("shared data not there")
    with pytest.raises(StageError, match="monitor"):
        find_grid(cv2.imread(str(path))[..., ::-1].copy(), GridSettings(dpi=96.0))


def test_real_photo_is_read() -> None:
    path = REAL / "photos" / "ecg00013.jpg"
    if not path.exists():
        pytest.skip("shared data not there")
    grid = find_grid(cv2.imread(str(path))[..., ::-1].copy())
    assert grid.px_per_mm == pytest.approx((3.79, 3.78), rel=0.01)
    assert grid.confidence > 0.9
