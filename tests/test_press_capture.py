"""Captures: the same seed gives the same bytes, and the map says where everything is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.leads import LEADS
from ecglift.paper import Layout, Panel
from ecglift.press import frame, scans, scene, screens, truth
from ecglift.press.capture import COMPETITION_KINDS, KINDS, Capture, CaptureSettings, capture
from ecglift.press.page import Grid, Page, Stroke, Text
from ecglift.press.render import render
from ecglift.press.sets import SetPlan, make_set, read_manifest, sample

WIDTH_MM, HEIGHT_MM = 90.0, 60.0
SMALL = CaptureSettings(px_per_mm=5.0)


def a_page() -> Page:
    """A strip of lead II: a slow wave of 4 mm, on a pink grid."""
    x = np.linspace(15, 85, 701)
    points = np.stack([x, 35 - 4 * np.sin((x - 15) / 5)], axis=1)
    mv = np.full((12, 1400), np.nan, np.float32)
    mv[1] = 0.4 * np.sin(np.arange(1400) / 500 * 25 / 5)
    panel = Panel("II", 0, 0, 15.0, 85.0, 35.0)
    strokes = (Stroke("trace", points, 0.4, (0.05, 0.05, 0.05), 0, "II@0"),)
    texts = (Text("label", "II", 16.0, 20.0, 3.0, "default", lead="II", row=0),)
    grid = Grid("lines", (5.0, 5.0, 85.0, 55.0), (1.0, 0.85, 0.85), (0.95, 0.7, 0.7), 0.1, 0.15)
    return Page(WIDTH_MM, HEIGHT_MM, (1.0, 1.0, 1.0), grid, strokes, texts, (), Layout("1x1", (panel,)), 500.0, mv)


DOTS_MM = np.stack(np.meshgrid(np.arange(10.0, 85, 10), np.arange(10.0, 55, 10)), axis=-1).reshape(-1, 2)


def dots(page: Page, px_per_mm: float, region_mm: Any = None, **_: Any) -> np.ndarray:
    """A page of soft dots, 10 mm apart, instead of an ECG."""
    x0, y0, x1, y1 = region_mm or (0.0, 0.0, page.width_mm, page.height_mm)
    shape = round((y1 - y0) * px_per_mm), round((x1 - x0) * px_per_mm)
    x, y = x0 + (np.arange(shape[1]) + 0.5) / px_per_mm, y0 + (np.arange(shape[0]) + 0.5) / px_per_mm
    across, down = (np.exp(-(((v - 5) % 10 - 5) ** 2) / (2 * 0.45**2)) for v in (x, y))
    return np.repeat((255 - 225 * across[None] * down[:, None])[..., None], 3, axis=2).astype(np.uint8)


def centroid(grey: np.ndarray, at: np.ndarray, reach: int) -> np.ndarray | None:
    """The middle of the dark spot near ``at``, None at the border."""
    col, row = np.rint(at).astype(int)
    if not (reach <= col < grey.shape[1] - reach and reach <= row < grey.shape[0] - reach):
        return None
    window = grey[row - reach : row + reach + 1, col - reach : col + reach + 1].astype(float)
    y, x = np.mgrid[row - reach : row + reach + 1, col - reach : col + reach + 1]
    ground = np.median(np.concatenate([window[0], window[-1], window[:, 0], window[:, -1]]))
    middle = at.astype(float)
    for _ in range(6):
        near = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * (0.6 * reach) ** 2))
        dark = np.clip(0.92 * ground - window, 0, None) * near
        middle = np.array([(dark * x).sum(), (dark * y).sum()]) / max(dark.sum(), 1e-9)
    return middle


@pytest.mark.parametrize("kind", ["clean", "colour_scan", "photo", "photo_folded", "screen"])
def test_fiducial_dots_stand_where_the_map_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (frame, scans, screens):
        monkeypatch.setattr(module, "render", dots)
    errors = []
    for seed in range(3):
        made = capture(a_page(), kind, np.random.default_rng([seed, 5]), CaptureSettings(px_per_mm=6.0, severity=0.5))
        grey = made.image.mean(axis=-1)
        for at in made.map.to_px(DOTS_MM):
            found = centroid(grey, at, 9)
            if found is not None:
                errors.append(found - at)
    # The noise of a single dot is the camera's; what they have in common would be a wrong map.
    assert len(errors) > 30
    assert np.abs(np.median(errors, axis=0)).max() < 0.03
    assert np.median(np.abs(errors)) < 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes(kind: str) -> None:
    first, second, other = (capture(a_page(), kind, np.random.default_rng([k, 1]), SMALL) for k in (7, 7, 8))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.map.to_json() == second.map.to_json()
    assert first.meta == second.meta
    assert other.image.tobytes() != first.image.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_trace_is_darker_than_the_paper_around_it(kind: str) -> None:
    made = capture(a_page(), kind, np.random.default_rng([3, 2]), SMALL)
    assert made.image.dtype == np.uint8
    assert made.image.shape[2] == 3
    grey = made.image.mean(axis=-1)
    line = truth.polylines(made)[0].mm[10:-10:3]
    on, off = (np.rint(made.map.to_px(line + [0, shift])).astype(int) for shift in (0.0, 1.5))
    height, width = made.shape
    seen = ((on >= 1) & (on < [width - 1, height - 1]) & (off >= 1) & (off < [width - 1, height - 1])).all(axis=1)
    assert seen.mean() > 0.5
    on, off = on[seen], off[seen]
    # The darkest of three rows: a thin line may fall between two pixels.
    ink = np.min([grey[on[:, 1] + k, on[:, 0]] for k in (-1, 0, 1)], axis=0)
    assert np.median(grey[off[:, 1], off[:, 0]] - ink) > 12
    assert np.mean(ink < grey[off[:, 1], off[:, 0]]) > 0.75


def test_a_plain_clean_raster_is_the_page_itself() -> None:
    settings = CaptureSettings(px_per_mm=7.874, plain=True)
    made = capture(a_page(), "clean", np.random.default_rng(0), settings)
    assert np.array_equal(made.image, render(a_page(), 7.874))
    assert made.map.to_px(np.array([10.0, 20.0])) == pytest.approx([10 * 7.874 - 0.5, 20 * 7.874 - 0.5])


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("kind", ["clean", "colour_scan", "photo"])
def test_quarter_turns_are_anticlockwise(kind: str, turns: int) -> None:
    settings = CaptureSettings(px_per_mm=4.0, quarter_turns=turns, rotation_deg=0.0, severity=0.0)
    made = capture(a_page(), kind, np.random.default_rng(4), settings)
    along = np.diff(made.map.to_px(np.array([[40.0, 30.0], [50.0, 30.0]])), axis=0)[0]
    angle = np.degrees(np.arctan2(-along[1], along[0]))
    assert (angle - 90 * turns + 180) % 360 - 180 == pytest.approx(0, abs=12)


def test_scale_and_size_are_kept() -> None:
    for kind in ("colour_scan", "photo", "screen"):
        made = capture(a_page(), kind, np.random.default_rng(2), CaptureSettings(px_per_mm=4.0, severity=0.2))
        assert float(np.mean(made.map.px_per_mm(np.array([45.0, 30.0])))) == pytest.approx(4.0, rel=0.3)
    tiny = capture(a_page(), "photo", np.random.default_rng(2), CaptureSettings(px_per_mm=20.0, max_megapixels=0.3))
    assert tiny.image.shape[0] * tiny.image.shape[1] < 0.5e6


def test_black_and_white_scans_have_no_colour() -> None:
    for seed in range(4):
        image = capture(a_page(), "bw_scan", np.random.default_rng(seed), SMALL).image
        assert np.array_equal(image[..., 0], image[..., 1])
        assert np.array_equal(image[..., 1], image[..., 2])


def test_the_picture_cannot_be_written_to() -> None:
    made = capture(a_page(), "clean", np.random.default_rng(0), SMALL)
    with pytest.raises(ValueError, match="read-only"):
        made.image[0, 0] = 0


def test_a_messaging_app_makes_the_picture_smaller_and_the_map_follows() -> None:
    settings = CaptureSettings(px_per_mm=16.0)
    made, sent = (
        capture(a_page(), "photo", np.random.default_rng(4), replace(settings, messaged=share)) for share in (0.0, 1.0)
    )
    assert max(sent.image.shape) < max(made.image.shape)
    factor = np.array(sent.image.shape[1::-1]) / np.array(made.image.shape[1::-1])
    mm = np.array([[40.0, 30.0], [150.0, 90.0]])
    np.testing.assert_allclose(sent.map.to_px(mm) + 0.5, (made.map.to_px(mm) + 0.5) * factor, atol=0.02)


def test_muted_surroundings_are_duller_and_the_page_is_not_touched() -> None:
    rng = np.random.default_rng(2)
    table = rng.integers(0, 256, (40, 60, 3)).astype(np.uint8)
    dull = scene.muted(table, 0.3)
    assert np.ptp(dull.astype(int), axis=2).mean() < 0.4 * np.ptp(table.astype(int), axis=2).mean()
    np.testing.assert_array_equal(scene.muted(table, 1.0), table)
    vivid, muted = (
        capture(a_page(), "photo", np.random.default_rng(4), CaptureSettings(px_per_mm=4.0, muted=share))
        for share in (0.0, 1.0)
    )
    assert not np.array_equal(vivid.image, muted.image)
    np.testing.assert_array_equal(vivid.map.to_px(np.array([[50.0, 50.0]])), muted.map.to_px(np.array([[50.0, 50.0]])))


def test_wrong_calls_name_the_argument() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        capture(a_page(), "polaroid", np.random.default_rng(0))
    for wrong in (
        {"px_per_mm": 1.0},
        {"quarter_turns": 4},
        {"severity": 1.5},
        {"max_megapixels": 0.0},
        {"messaged": 2.0},
        {"muted": -0.1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CaptureSettings(**wrong)  # type: ignore[arg-type]


def test_every_competition_type_has_a_kind() -> None:
    assert len(COMPETITION_KINDS) == 9
    assert set(COMPETITION_KINDS.values()) <= set(KINDS)


@pytest.fixture(scope="module")
def photo() -> Capture:
    return capture(a_page(), "photo", np.random.default_rng([1, 1]), SMALL)


def test_masks_cover_what_is_printed(photo: Capture) -> None:
    masks = truth.masks(photo, ("trace", "label", "grid", "paper"))
    height, width = photo.shape
    assert all(mask.shape == (height, width) and mask.dtype == np.uint8 for mask in masks.values())
    px = np.rint(truth.polylines(photo)[0].px[5:-5]).astype(int)
    inside = ((px >= 0) & (px < [width, height])).all(axis=1)
    assert (masks["trace"][px[inside, 1], px[inside, 0]] > 60).mean() > 0.95
    assert (masks["trace"] > 128).mean() < 0.05
    corners = truth.text_boxes(photo)[0].corners_px
    outside = masks["label"].astype(float)
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    outside[top : bottom + 1, left : right + 1] = 0
    assert masks["label"].max() > 120
    assert outside.max() < 20
    with pytest.raises(ValueError, match="layers"):
        truth.masks(photo, ("ghosts",))


def test_paper_mm_is_the_map_turned_round(photo: Capture) -> None:
    mm = truth.paper_mm(photo)
    row, col = photo.shape[0] // 2, photo.shape[1] // 3
    assert photo.map.to_px(mm[row, col].astype(float)) == pytest.approx([col, row], abs=0.02)


def test_crossings_and_lines_agree(photo: Capture) -> None:
    found = truth.crossings(photo, 1.0)
    assert len(found.mm) == 81 * 51
    assert found.major.sum() == 17 * 11
    lines = truth.grid_lines(photo)
    assert len(lines) == 81 + 51
    assert sum(line.major for line in lines) == 17 + 11
    vertical = next(line for line in lines if line.axis == 0 and line.at_mm == 25.0)
    assert photo.map.to_mm(vertical.px)[:, 0] == pytest.approx(np.full(len(vertical.px), 25.0), abs=1e-3)


def test_what_is_exported_reads_back(photo: Capture, tmp_path: Any) -> None:
    names = truth.export(photo, tmp_path, "one", layers=("trace",))
    back = truth.read_truth(tmp_path, names)
    assert back.layout == photo.page.layout
    assert back.fs_hz == 500.0
    assert np.array_equal(np.isfinite(back.mv), np.isfinite(photo.page.printed_mv()))
    mm = np.array([[20.0, 30.0], [70.0, 50.0]])
    assert np.abs(back.map.to_px(mm) - photo.map.to_px(mm)).max() < 1e-3
    assert (tmp_path / names["image"]).stat().st_size > 1000
    assert (tmp_path / names["trace"]).exists()


def test_layouts_survive_json() -> None:
    layout = a_page().layout
    assert truth.layout_from_dict(truth.layout_to_dict(layout)) == layout


def test_a_set_is_the_same_whoever_makes_it(tmp_path: Any) -> None:
    plan = SetPlan(5, ("clean",), "1x1", settings=CaptureSettings(px_per_mm=3.0), bundled_fonts_only=True)
    manifest = make_set(tmp_path, 2, plan, wfdb=True)
    rows = read_manifest(tmp_path)
    assert manifest.exists()
    assert [row["kind"] for row in rows] == ["clean", "clean"]
    assert all((tmp_path / name).exists() for row in rows for name in row["files"].values())
    assert sample(plan, 1).image.tobytes() == sample(plan, 1).image.tobytes()
    record = truth.read_truth(tmp_path, rows[1]["files"])
    assert record.mv.shape[0] == len(LEADS)
    assert isinstance(record.map, PageMap)


def test_wrong_plans_name_the_argument() -> None:
    with pytest.raises(ValueError, match="kinds"):
        SetPlan(kinds=("polaroid",))
    with pytest.raises(ValueError, match="layout"):
        SetPlan(layout="4x5")
    with pytest.raises(ValueError, match="n must"):
        make_set("unused", 0)


def test_a_photo_that_ends_within_the_sheet_keeps_its_map() -> None:
    whole = capture(a_page(), "photo", np.random.default_rng(3), replace(SMALL, cut=0.0))
    cut = capture(a_page(), "photo", np.random.default_rng(3), replace(SMALL, cut=1.0))
    left, top, right, bottom = cut.meta["cut_px"]
    assert 0 < sum(side > 0 for side in (left, top, right, bottom)) <= 2
    height, width = whole.shape
    assert np.array_equal(cut.image, whole.image[top : height - bottom, left : width - right])
    np.testing.assert_allclose(cut.map.to_px(DOTS_MM) + [left, top], whole.map.to_px(DOTS_MM), atol=1e-6)
    assert "cut_px" not in capture(a_page(), "fax", np.random.default_rng(3), replace(SMALL, cut=1.0)).meta
