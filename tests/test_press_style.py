"""Styles of sheets and what compose makes of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ecglift.press.compose import compose
from ecglift.press.fonts import has_letters, text_box
from ecglift.press.page import Page
from ecglift.press.patients import simulate
from ecglift.press.render import stroke_mask
from ecglift.press.style import competition_style, random_style, worn


def test_every_column_may_have_its_pulse() -> None:
    rng = np.random.default_rng(3)
    style = random_style(rng, bundled_fonts_only=True, template="6x2", pulses_between=1.0)
    page = compose(rng, simulate(rng, 500.0).mv, 500.0, style)
    pulses = [s.points_mm for s in page.strokes if s.kind == "pulse"]
    assert len(pulses) == len(page.layout.panels) == 12
    for pulse in pulses:
        x0, x1, level = pulse[0, 0], pulse[-1, 0], pulse[0, 1]
        assert np.ptp(pulse[:, 1]) == style.gain_mm_mv
        # It stands on its panel's zero line, just before it and in nobody else's columns.
        (panel,) = (p for p in page.layout.panels if p.baseline_mm == level and 0 < p.x0_mm - x1 < 2)
        assert all(p is panel or p.baseline_mm != level or p.x1_mm < x0 or p.x0_mm > x1 for p in page.layout.panels)


def test_without_pulses_between_the_choices_are_those_of_the_frozen_pages() -> None:
    one, two = (np.random.default_rng(5) for _ in range(2))
    styles = [random_style(rng, bundled_fonts_only=True, template="12x1") for rng in (one, two)]
    assert styles[0] == styles[1]
    none = random_style(np.random.default_rng(5), bundled_fonts_only=True, template="12x1", pulses_between=0.0)
    assert none == styles[0]  # a single column draws no lot


@pytest.mark.parametrize("dots_mm", [0.085, 0.125, 0.25])
def test_a_heads_dots_lie_on_the_line_on_average_and_off_it_by_less_than_one(dots_mm: float) -> None:
    mv = np.zeros((12, 5000), np.float32)
    mv += np.linspace(-0.4, 0.4, 5000, dtype=np.float32)
    rng = np.random.default_rng(0)
    page = compose(rng, mv, 500.0, replace(competition_style(rng), dots_mm=dots_mm))
    panel = next(p for p in page.layout.panels if p.rhythm)
    region = panel.x0_mm + 5, panel.baseline_mm - 6, panel.x1_mm - 5, panel.baseline_mm + 6
    ink = stroke_mask(page, 20.0, ("trace",), region)
    x = region[0] + (np.arange(ink.shape[1]) + 0.5) / 20
    y = region[1] + (np.arange(ink.shape[0])[:, None] + 0.5) / 20
    error = (ink * y).sum(axis=0) / ink.sum(axis=0) - page.panel_curve(panel, x)
    assert abs(error.mean()) < 0.02
    assert 0.2 * dots_mm < error.std() < 0.5 * dots_mm


def test_a_worn_line_is_paler_in_places_whichever_part_of_it_is_drawn() -> None:
    rng = np.random.default_rng(1)
    style = competition_style(rng)
    mv = np.zeros((12, 5000), np.float32)
    pale, full = (compose(rng, mv, 500.0, replace(style, wear=wear)) for wear in (0.6, 0.0))
    panel = next(p for p in pale.layout.panels if p.rhythm)
    box = panel.x0_mm + 10, panel.baseline_mm - 1, panel.x0_mm + 90, panel.baseline_mm + 1
    one, other = (stroke_mask(page, 10.0, ("trace",), box).max(axis=0) for page in (pale, full))
    left = one / other
    assert left.min() < 0.5
    assert left.max() > 0.95
    part = stroke_mask(pale, 10.0, ("trace",), (box[0] + 20, box[1], box[2], box[3])).max(axis=0)
    np.testing.assert_allclose(part[5:], one[205:], atol=0.02)


def test_worn_changes_the_lines_only() -> None:
    style = competition_style()
    for seed in range(20):
        new = worn(np.random.default_rng(seed), style)
        assert new.dots_mm or new.wear
        assert replace(new, dots_mm=0.0, wear=0.0) == style


def _boxes(page: Page) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom, mm, of the header's lines and the scale line."""
    return [text_box(text) for text in page.texts if text.kind == "text"]


def _overprints(page: Page) -> int:
    boxes = _boxes(page)
    return sum(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a, b in combinations(boxes, 2))


def test_the_lines_of_a_header_do_not_overprint_each_other() -> None:
    overprinted = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        style = replace(random_style(rng, bundled_fonts_only=True), header=1.0, clutter=0.0)
        mv = np.zeros((12, 5000), np.float32)
        tidy, old = (
            compose(np.random.default_rng(seed), mv, 500.0, replace(style, frozen=frozen)) for frozen in (False, True)
        )
        assert _overprints(tidy) == 0, seed
        assert max(box[2] for box in _boxes(tidy)) <= max(tidy.width_mm, *(box[2] for box in _boxes(old)))
        overprinted += _overprints(old) > 0
    assert overprinted > 10


def test_binders_holes_lie_within_the_page_at_their_distance() -> None:
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        style = replace(competition_style(rng), clutter=0.5, header=0.0)
        page = compose(rng, np.zeros((12, 5000), np.float32), 500.0, style)
        boxes = np.array([p.box_mm for p in page.patches if np.isclose(p.box_mm[2] - p.box_mm[0], 6.0)])
        if not len(boxes):
            continue
        seen += 1
        assert boxes.min() >= 0
        assert (boxes[:, 2:].max(axis=0) <= [page.width_mm, page.height_mm]).all()
        steps = np.linalg.norm(np.diff(boxes[:, :2], axis=0), axis=1)
        assert np.isclose(steps, 80.0).all() or np.isclose(steps, 108.0).all()
    assert seen > 3


def test_fonts_that_draw_boxes_for_letters_are_told(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="its fonts are looked at")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    assert has_letters(str(fonts / "DejaVuSans.ttf"))
    assert not has_letters(str(fonts / "STIXSizFourSymReg.ttf"))
    (tmp_path / "none.ttf").write_text("no font")
    assert not has_letters(str(tmp_path / "none.ttf"))
