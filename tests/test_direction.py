"""Which side of a sheet is up, by its lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift import Digitizer
from ecglift.models.direction import LENGTH, pieces, together, upright_log_odds
from ecglift.models.runtime import load
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.noise import Noise
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.stages.layout import LayoutSettings

STEP_MM = 1 / 16


def _lines(seed: int) -> list[np.ndarray]:
    mv = simulate(np.random.default_rng(seed), rhythm="sinus", rate_bpm=60.0 + 5 * seed, noise=Noise()).mv
    x_mm = np.arange(0, 125, STEP_MM)
    return [10 * np.interp(x_mm / 25 * 500, np.arange(mv.shape[1]), lead) for lead in mv]


@pytest.mark.parametrize("seed", range(8))
def test_lines_tell_which_side_is_up(seed: int) -> None:
    lines = _lines(seed)
    model = load("direction")
    assert upright_log_odds(model, pieces(lines, STEP_MM)) > 2
    assert upright_log_odds(model, pieces([-line[::-1] for line in lines], STEP_MM)) < -2


def test_the_network_says_the_opposite_of_a_turned_piece() -> None:
    seen = pieces(_lines(0), STEP_MM)
    model = load("direction")
    up, down = (model.run({"pieces": one})["log_odds"] for one in (seen, -seen[:, ::-1]))
    np.testing.assert_allclose(up, -down, atol=1e-3)


def test_pieces_do_not_know_gain_level_or_step() -> None:
    line = _lines(1)[1]
    seen = pieces([line], STEP_MM)
    assert seen.shape == (2, LENGTH)
    np.testing.assert_allclose(seen, pieces([0.3 * line + 40], STEP_MM), atol=1e-4)
    coarse = np.interp(np.arange(0, 125, 0.1), np.arange(0, 125, STEP_MM), line)
    assert np.abs(pieces([coarse], 0.1) - seen).mean() < 0.05
    gap = line.copy()
    gap[100:110] = np.nan
    assert np.isfinite(pieces([gap], STEP_MM)).all()


def test_a_blank_sheet_says_nothing_and_a_sure_one_not_everything() -> None:
    assert upright_log_odds(load("direction"), pieces([np.full(4000, np.nan), np.zeros(20)], STEP_MM)) == 0.0
    assert together(np.full(50, 9.0)) == -together(np.full(50, -9.0)) <= 6


def test_a_sheet_without_names_that_stands_on_its_head_is_turned() -> None:
    rng = np.random.default_rng(3)
    style = replace(competition_style(), label_place="none", pulse="none", clutter=0.0)
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=64.0, noise=Noise()).mv, 500.0, style)
    image = capture(page, "clean", rng, CaptureSettings(px_per_mm=6.0, plain=True)).image
    for turns in (0, 2):
        run = next(iter(Digitizer().pages(np.ascontiguousarray(np.rot90(image, turns)))))
        assert run.reading is not None
        assert run.reading.quarter_turns == turns


def test_a_told_turn_is_kept() -> None:
    assert LayoutSettings(quarter_turns=2).quarter_turns == 2
