"""Rows of lines tell how a sheet without a grid lies: turned, seen from the side, and how long it is."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ecglift import Digitizer
from ecglift.geometry import PageMap, apply_homography
from ecglift.paper import Panel
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.noise import Noise
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.reading.straight import RowSeen, by_ends, panel_mm, straightened


def rows(seen_as: NDArray[np.float64], x0: float = -125.0, x1: float = 125.0) -> list[RowSeen]:
    """Six rows of one panel each, as a sheet looks whose millimetres ``seen_as`` (3, 3) has moved."""
    out = []
    for k in range(6):
        y = -60.0 + 24 * k
        x = np.linspace(x0, x1, 13)
        level = y + 0.4 * np.sin(x / 30 + k)
        levels = apply_homography(seen_as, np.stack([x, level], axis=1))
        start, end = (float(levels[n, 0]) for n in (0, -1))
        panel = Panel("II", k, 0, start, end, float(np.median(levels[:, 1])), 0.0, 10.0, 1, False)
        out.append(RowSeen((panel,), levels, ((start, end),)))
    return out


def test_rows_seen_from_the_side_are_made_straight() -> None:
    aside = np.array([[1.0, 0.01, 0.0], [-0.02, 1.0, 0.0], [-0.0006, 0.0009, 1.0]])
    seen = rows(aside)
    straight = straightened(seen, ())
    assert straight is not None
    for k in (0, -1):
        ends = np.array([apply_homography(straight, one.levels[k]) for one in seen])
        assert np.ptp(ends[:, 0]) < 0.1
    for one in seen:
        levels = apply_homography(straight, one.levels)[:, 1]
        assert abs(np.polyfit(one.levels[:, 0], levels, 1)[0]) < 0.003


def test_a_sheet_that_only_lies_turned_is_not_seen_from_the_side() -> None:
    turn = np.radians(0.4)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    assert straightened(rows(turned), ()) is None


def test_ends_tell_lean_and_length_though_some_rows_begin_at_a_label() -> None:
    lean = np.array([[1.0, 0.002, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    seen = rows(lean)
    for k, off in ((1, 1.3), (4, 0.7)):
        ((start, end),) = seen[k].panels_mm
        assert start is not None
        seen[k] = replace(seen[k], panels_mm=((start + off, end),))
    told, length = by_ends(seen)
    assert told == pytest.approx(0.002, abs=1e-5)
    assert length == pytest.approx(250.0, abs=0.02)


def test_starts_and_ends_that_lean_apart_tell_nothing() -> None:
    assert by_ends(rows(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0.0002, 1.0]]))) == (None, None)


def test_panels_with_gaps_tell_their_length() -> None:
    def row(k: int, off: float) -> RowSeen:
        panels = tuple(
            Panel("II", k, n, 66.0 * n, 66.0 * n + 62.0, 24.0 * k, 2.5 * n, 10.0, 1, False) for n in range(4)
        )
        return RowSeen(panels, np.zeros((0, 2)), tuple((p.x0_mm, p.x0_mm + 62.5 + off) for p in panels))

    assert panel_mm([row(0, 0.03), row(1, -0.03), row(2, 0.0)]) == pytest.approx(62.5, abs=0.01)
    assert panel_mm([row(0, 2.0), row(1, -3.0), row(2, 5.0)]) is None


def test_a_photo_from_the_side_of_a_page_without_a_grid_is_laid_flat() -> None:
    """Rows had converged by 10 mm, and times were off by a tenth of a second."""
    rng = np.random.default_rng(5)
    style = replace(competition_style(), grid_kind="none")
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise()).mv, 500.0, style)
    flat = capture(page, "clean", rng, CaptureSettings(px_per_mm=8.0, plain=True)).image
    height, width = flat.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    there = np.array([[150, 60], [width - 60, 0], [width, height], [0, height - 90]], np.float32)
    aside = cv2.getPerspectiveTransform(corners, there)
    image = cv2.warpPerspective(flat, aside, (width, height), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    run = next(iter(Digitizer().pages(np.asarray(image, np.uint8))))
    assert run.grid is not None
    assert run.grid.how == "layout"
    assert run.layout is not None
    assert run.layout.name == "3x4+1"
    assert any("from the side" in problem.message for problem in run.problems)
    x, y = np.meshgrid(np.linspace(20, 250, 8), np.linspace(60, 180, 5))
    paper = np.stack([x, y], axis=-1).reshape(-1, 2)
    found = run.grid.map.to_mm(apply_homography(aside, PageMap.scale(8.0, (-0.5, -0.5)).to_px(paper)))
    terms = np.concatenate([paper, np.ones((len(paper), 1))], axis=1)
    fit = np.linalg.lstsq(terms, found, rcond=None)[0]
    assert np.abs(found - terms @ fit).max() < 0.8
    np.testing.assert_allclose(fit[:2], np.eye(2), atol=0.012)
