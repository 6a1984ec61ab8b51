"""What the trace network's answer means: paths, expectations, strips."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ecglift.models.passage import posterior
from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX, cut_strip, decode, follow
from ecglift.sheet import Sheet


def _logits(y: np.ndarray, sigma: float = 1.2) -> np.ndarray:
    rows = np.arange(STRIP_PX)[:, None]
    return (-0.5 * ((rows - y[None, :]) / sigma) ** 2).astype(np.float32)


def test_follow_is_the_best_path() -> None:
    rng = np.random.default_rng(0)
    log_p = np.log(rng.dirichlet(np.ones(4), 5).T).astype(np.float32)

    def score(path: tuple[int, ...]) -> float:
        return sum(float(log_p[r, k]) for k, r in enumerate(path)) - 0.3 * sum(
            abs(a - b) for a, b in itertools.pairwise(path)
        )

    best = max(itertools.product(range(4), repeat=5), key=score)
    assert score(tuple(follow(log_p, 0.3))) == pytest.approx(score(best), abs=1e-5)


def test_decode_is_sub_pixel() -> None:
    y = 256 + 40 * np.sin(np.linspace(0, 6, 400))
    got, sigma, presence = decode(_logits(y), np.full(400, 4.0, np.float32))
    assert np.abs(got - y).max() < 0.02
    assert np.abs(sigma - 1.2).max() < 0.1
    assert (presence > 0.98).all()


def test_decode_keeps_to_its_line_when_another_is_brighter_for_a_moment() -> None:
    y = np.full(200, 256.0)
    logits = _logits(y)
    logits[100, 90:94] = 1.0  # a letter, 156 px away, that the network believes in a little more than in the line
    got, _, _ = decode(logits, np.zeros(200, np.float32))
    assert np.abs(got - 256).max() < 1.0


def test_among_strokes_of_which_any_may_be_meant_the_line_is_between_them() -> None:
    """For 12 columns two heights are as likely as each other, 80 px apart, and nothing beside them tells."""
    logits = _logits(np.full(200, 256.0))
    logits[:, 94:106] = np.logaddexp(_logits(np.full(12, 216.0)), _logits(np.full(12, 296.0)))
    got, sigma, _ = decode(logits, np.zeros(200, np.float32))
    assert np.abs(got[96:104] - 256).max() < 12.0
    assert (sigma[96:104] > 10).all()
    assert np.abs(np.delete(got, np.s_[90:110]) - 256).max() < 0.1


def test_neighbours_tell_which_of_two_strokes_is_meant() -> None:
    """What is likelier in a single column is not, given that the line was elsewhere before and after."""
    p = np.exp(_logits(np.full(80, 100.0)))
    p[:, 40] = 0.3 * p[:, 40] + 0.7 * np.exp(_logits(np.array([300.0])))[:, 0]
    p /= p.sum(axis=0)
    held = posterior(p)
    assert held.shape == p.shape
    assert held.sum(axis=0) == pytest.approx(1.0, abs=1e-4)
    assert held[280:320, 40].sum() < 0.2 < p[280:320, 40].sum()


def test_doubt_widens_sigma() -> None:
    y = np.full(100, 256.0)
    both = np.logaddexp(_logits(y), _logits(y + 60))
    sure, unsure = decode(_logits(y), np.zeros(100, np.float32))[1], decode(both, np.zeros(100, np.float32))[1]
    assert (unsure > sure + 5).all()


def test_strip_is_cut_without_resampling() -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (800, 400, 3), np.uint8)
    sheet = Sheet(rgb, np.ones(rgb.shape[:2], bool), (10.0, 20.0))
    strip = cut_strip(sheet, 20.0 + 400 / 8, 12.0, 40.0)
    assert strip.rgb.shape[0] == STRIP_PX
    assert strip.rgb.shape[1] % 64 == 0
    left, top = round((strip.left_mm - 10) * 8), round((strip.top_mm - 20) * 8)
    assert (strip.rgb[:, :200] == rgb[top : top + STRIP_PX, left : left + 200]).all()
    columns = strip.columns_mm()
    assert len(columns) == strip.rgb.shape[1] * COLUMNS_PER_PX
    assert (columns[0] + columns[1]) / 2 == pytest.approx(strip.left_mm)


def test_strip_beyond_the_sheet_is_paper() -> None:
    rgb = np.full((100, 200, 3), (200, 180, 170), np.uint8)
    strip = cut_strip(Sheet(rgb, np.ones((100, 200), bool)), 6.0, -20.0, 40.0)
    assert (strip.rgb == (200, 180, 170)).all()


def test_strip_of_another_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="px/mm"):
        cut_strip(Sheet(np.zeros((10, 10, 3), np.uint8), np.ones((10, 10), bool), px_per_mm=5.0), 0.0, 0.0, 1.0)


def test_halved_sheet_shows_the_same_places() -> None:
    rgb = np.full((80, 120, 3), 255, np.uint8)
    rgb[40:42, 60:62] = 0
    half = Sheet(rgb, np.ones((80, 120), bool), (3.0, 7.0), 8.0).halved()
    assert half.px_per_mm == 4.0
    r, c = np.argwhere(half.rgb[..., 0] < 128)[0]
    # The middle of the four black pixels.
    assert half.origin_mm[0] + c / 4 == pytest.approx(3.0 + 60.5 / 8)
    assert half.origin_mm[1] + r / 4 == pytest.approx(7.0 + 40.5 / 8)


def test_columns_of_a_coarse_strip_are_in_mm() -> None:
    sheet = Sheet(np.full((400, 600, 3), 200, np.uint8), np.ones((400, 600), bool), (0.0, 0.0), 4.0)
    strip = cut_strip(sheet, 50.0, 10.0, 60.0)
    x_mm = strip.columns_mm()
    assert np.diff(x_mm) == pytest.approx(1 / 8)
    assert strip.rows_mm(np.array([STRIP_PX / 2])) == pytest.approx(50.0, abs=0.2)
