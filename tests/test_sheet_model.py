"""The sheet network's eyes and words: what it is shown, where its cells stand, and that the shipped file reads a
sheet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ecglift.models import runtime, sheetmap
from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, WHOLE, WHOLE_NUMBERS, network_image, read
from ecglift.pixels import planes
from ecglift.press.compose import compose
from ecglift.press.render import render
from ecglift.press.style import competition_style
from ecglift.reading.turn import turn_sheet
from ecglift.sheet import Sheet
from ecglift.stages.layout import find_layout


class Brightness:
    """A network whose first channel is the mean of each cell's red."""

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        rgb = inputs["rgb"]
        n, _, h, w = rgb.shape
        dense = np.zeros((n, DENSE_CHANNELS, h // 4, w // 4), np.float32)
        dense[:, 0] = rgb[:, 0].reshape(n, h // 4, 4, w // 4, 4).mean(axis=(2, 4))
        return {"dense": dense, "whole": np.zeros((n, WHOLE_NUMBERS), np.float32)}


def test_channels_tile_the_answer() -> None:
    for parts, total in ((DENSE, DENSE_CHANNELS), (WHOLE, WHOLE_NUMBERS)):
        covered = [k for part in parts.values() for k in range(part.start, part.stop)]
        assert covered == list(range(total))


def test_image_is_padded_with_paper_and_hides_what_was_not_seen() -> None:
    rgb = np.full((100, 300, 3), 200, np.uint8)
    seen = np.ones((100, 300), bool)
    rgb[:, :40], seen[:, :40] = 0, False
    image = network_image(Sheet(rgb, seen))
    assert image.shape == (64, 192, 3)
    assert (image == 200).all()
    assert planes(image[None]).shape == (1, 3, 64, 192)


def test_cells_stand_where_the_sheet_says() -> None:
    rgb = np.zeros((160, 240, 3), np.uint8)
    rgb[8 * 7 : 8 * 8, 8 * 12 : 8 * 13] = 255  # the millimetre that begins 12 mm right of and 7 mm below the corner
    answer = read(Sheet(rgb, np.ones((160, 240), bool), (100.0, 50.0)), Brightness())
    row, column = np.unravel_index(int(answer.channel("label_heat").argmax()), answer.dense.shape[1:])
    assert answer.dense.shape[1:] == (20, 30)
    # A pixel's centre is at origin + c/8: the bright pixels are centred at 12 + 3.5/8 mm from the first one.
    assert answer.left_mm + column == pytest.approx(100 + 12 + 3.5 / 8)
    assert answer.top_mm + row == pytest.approx(50 + 7 + 3.5 / 8)


def test_chances_add_up() -> None:
    answer = read(Sheet(np.zeros((80, 80, 3), np.uint8), np.ones((80, 80), bool)), Brightness())
    assert answer.weights("turn").sum() == pytest.approx(1.0)
    assert answer.weights("paper").shape == (1,)
    assert 0 <= answer.chance("row_heat").min() <= answer.chance("row_heat").max() <= 1


needs_model = pytest.mark.skipif("sheet" not in runtime.names(), reason="the sheet network is not there")


def _flat_page() -> tuple[Any, Sheet]:
    rng = np.random.default_rng(8)
    t = np.arange(5000) / 500
    beat = np.exp(-(((t % 0.81) - 0.3) ** 2) / 3e-4) + 0.2 * np.exp(-(((t % 0.81) - 0.55) ** 2) / 2e-3)
    mv = (beat * np.linspace(-0.9, 1.2, 12)[:, None]).astype(np.float32)
    page = compose(rng, mv, 500.0, replace(competition_style(), header=0.0))
    rgb = render(page, 8.0)
    return page, Sheet(rgb, np.ones(rgb.shape[:2], bool), (1 / 16, 1 / 16))


@needs_model
@pytest.mark.parametrize("lies", [0, 2])
def test_shipped_network_reads_a_page_as_it_lies(lies: int) -> None:
    page, sheet = _flat_page()
    reading = find_layout(turn_sheet(sheet, -lies))
    assert reading.quarter_turns == lies
    assert reading.layout.name == "3x4+1"
    pairs = list(zip(reading.layout.panels, page.layout.panels, strict=True))
    assert [a.lead for a, _ in pairs] == [b.lead for _, b in pairs]
    assert max(abs(a.x0_mm - b.x0_mm) for a, b in pairs) < 1.0
    assert max(abs(a.baseline_mm - b.baseline_mm) for a, b in pairs) < 1.0
    assert (reading.layout.gain_mm_mv, reading.layout.gain_how) == (10.0, "pulse")


@needs_model
def test_card_says_what_the_code_expects() -> None:
    card = runtime.load("sheet").card
    assert card["px_per_mm"] == sheetmap.PX_PER_MM
    assert tuple(card["labels"]) == sheetmap.LABELS
    assert tuple(card["templates"]) == sheetmap.TEMPLATE_NAMES
