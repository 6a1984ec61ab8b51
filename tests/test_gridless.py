"""Pages whose grid was lost: their scale is read off columns and pulses, and what is no ECG stays refused."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecglift import Digitizer
from ecglift.paper import TEMPLATES
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.noise import Noise
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.stages.gridless import _coloured, turn_deg


@pytest.mark.parametrize("px_per_mm", [7.0, 10.5])
def test_scale_is_told_by_columns_and_pulses(px_per_mm: float) -> None:
    rng = np.random.default_rng(5)
    style = replace(competition_style(), grid_kind="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=px_per_mm, plain=True))
    run = next(iter(Digitizer().pages(taken.image)))
    assert run.grid is not None
    assert run.grid.how == "layout"
    assert run.status == "partial"
    assert "scale-from-layout" in [p.code for p in run.problems]
    np.testing.assert_allclose(run.grid.px_per_mm, px_per_mm, rtol=0.005)
    assert run.layout is not None
    assert run.layout.name == "3x4+1"


def test_columns_with_gaps_last_their_time_without_these() -> None:
    """Two columns of 5 s and a gap of 8 mm were taken to last 10 s together: 3 % off, −2 dB instead of 20."""
    rng = np.random.default_rng(8)
    style = replace(competition_style(), column_gap_mm=6.0, grid_kind="none", pulse="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=7.0, plain=True))
    run = next(iter(Digitizer().pages(taken.image)))
    assert run.grid is not None
    np.testing.assert_allclose(run.grid.px_per_mm, 7.0, rtol=0.005)


def test_pulses_tell_the_scale_where_columns_last_another_time() -> None:
    """Columns of 2.4 s, or with gaps between them, were taken for 2.5 s without."""
    rng = np.random.default_rng(6)
    for column_s, gap_mm in ((2.4, 0.0), (2.5, 4.0)):
        style = replace(competition_style(), grid_kind="none", column_s=column_s, column_gap_mm=gap_mm)
        page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
        taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=8.0, plain=True))
        run = next(iter(Digitizer().pages(taken.image)))
        assert run.grid is not None
        np.testing.assert_allclose(run.grid.px_per_mm, 8.0, rtol=0.006)


@pytest.mark.parametrize("degrees", [0.8, -1.7])
def test_a_small_turn_is_seen_on_a_page_of_two_shades(degrees: float) -> None:
    rng = np.random.default_rng(7)
    page = compose(rng, simulate(rng, noise=Noise()).mv, 500.0, replace(competition_style(), grid_kind="none"))
    flat = capture(page, "clean", rng, CaptureSettings(px_per_mm=4.0, plain=True)).image
    height, width = flat.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    turned = cv2.warpAffine(flat, turn, (width, height), borderValue=(255, 255, 255))
    bilevel = np.asarray(np.where(turned > 140, 255, 0), np.uint8)
    assert turn_deg(bilevel, (0.0, 0.0, width - 1.0, height - 1.0)) == pytest.approx(degrees, abs=0.1)


def test_a_table_of_numbers_is_refused() -> None:
    image = np.full((1200, 1600, 3), 255, np.uint8)
    for k in range(11):
        cv2.line(image, (100, 100 + 100 * k), (1500, 100 + 100 * k), (0, 0, 0), 2)
        cv2.putText(image, "12.4  II  7.1", (140, 160 + 100 * k), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    run = next(iter(Digitizer().pages(image)))
    assert run.status == "failed"
    assert run.problems[-1].code in {"grid-not-found", "not-an-ecg"}


def test_a_doubtful_grid_gives_way_to_a_print_that_says_another_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specks of a thresholded page were read as a grid of another scale, and times were wrong by 40 % in silence."""
    from ecglift.stages import grid

    rng = np.random.default_rng(5)
    style = replace(competition_style(), grid_kind="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=7.0, plain=True))
    wrong = grid.find_grid(taken.image, grid.GridSettings(px_per_mm=9.0))
    for confidence, scale in ((0.5, 7.0), (0.9, 9.0)):
        found = replace(wrong, how="grid", confidence=confidence)
        monkeypatch.setattr(grid, "find_grid", lambda *_, found=found: found)
        run = next(iter(Digitizer().pages(taken.image)))
        assert run.grid is not None
        np.testing.assert_allclose(run.grid.px_per_mm, scale, rtol=0.01)


def test_a_fax_without_pulses_is_at_its_own_scale_where_columns_last_whole_seconds() -> None:
    rng = np.random.default_rng(8)
    style = replace(
        competition_style(),
        template=TEMPLATES["12x1"],
        rhythm_leads=(),
        rows_mm=tuple(30.0 + 14.0 * k for k in range(12)),
        column_s=4.0,
        pulse="none",
        grid_kind="none",
    )
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    flat = capture(page, "clean", rng, CaptureSettings(px_per_mm=8.04, plain=True)).image
    fax = cv2.resize(flat, (flat.shape[1], round(flat.shape[0] * 7.7 / 8.04)), interpolation=cv2.INTER_AREA)
    run = next(iter(Digitizer().pages(np.asarray(np.where(fax > 140, 255, 0), np.uint8))))
    assert run.grid is not None
    assert run.grid.how == "layout"
    np.testing.assert_allclose(run.grid.px_per_mm, (8.04, 7.7), rtol=0.01)


def test_bars_tell_the_turn_and_the_scale_of_a_page_without_a_grid() -> None:
    """Ten seconds had been ten milliseconds too long, and each row began a tenth of a millimetre beside the next."""
    rng = np.random.default_rng(5)
    style = replace(competition_style(), grid_kind="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    flat = capture(page, "clean", rng, CaptureSettings(px_per_mm=8.0, plain=True)).image
    height, width = flat.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0.08, 1.0)
    image = cv2.warpAffine(flat, turn, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    run = next(iter(Digitizer().pages(np.asarray(image, np.uint8))))
    assert run.grid is not None
    assert run.grid.how == "layout"
    there = run.grid.map.to_px(np.array([[0.0, 0.0], [200.0, 0.0]]))
    across = there[1] - there[0]
    assert np.hypot(*across) / 200 == pytest.approx(8.0, rel=0.0002)
    assert np.degrees(np.arctan2(-across[1], across[0])) == pytest.approx(0.08, abs=0.01)


def test_a_coloured_picture_is_no_fax() -> None:
    """A photo whose grid was in doubt had been scaled as a fax of half resolution: −5 dB instead of 28."""
    grey = np.full((300, 400, 3), 230, np.uint8)
    grey[100:200, 50:350] = 40
    assert not _coloured(grey)
    table = grey.copy()
    table[:40] = (150, 40, 140)
    assert _coloured(table)


def test_a_sheet_without_a_grid_seen_from_the_side_is_as_its_outline_has_it() -> None:
    """Its map is right to a millimetre all over; without the outline it was two millimetres off at the rows' ends."""
    rng = np.random.default_rng(5)
    style = replace(competition_style(), grid_kind="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=7.0, plain=True))
    height, width = taken.image.shape[:2]
    outer = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = (outer + np.array([[24, 10], [-20, 0], [0, 0], [0, -6]]) + 120).astype(np.float32)
    view = cv2.getPerspectiveTransform(outer, seen)
    photo = cv2.warpPerspective(
        taken.image, view, (width + 240, height + 240), flags=cv2.INTER_CUBIC, borderValue=(60, 70, 50)
    )
    run = next(iter(Digitizer().pages(photo)))
    assert run.grid is not None
    assert run.grid.how == "layout"
    points = np.array([[p.x0_mm, p.baseline_mm] for p in page.layout.panels])
    px = cv2.perspectiveTransform(taken.map.to_px(points)[None].astype(np.float32), view)[0]
    found = run.grid.map.to_mm(px.astype(float))
    off = found - points
    assert np.abs(off - off.mean(axis=0)).max() < 1.0
