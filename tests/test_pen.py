"""The pen network's view of a line: where its channels look, and what turning the page does to them."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.models.pen import (
    CHANNELS,
    LINE,
    OFFSETS_PX,
    correction,
    features,
    mirrored,
    sigma_mm,
    upside_down,
)
from ecglift.models.runtime import load
from ecglift.models.strip import STRIP_PX

N = 128


def _line(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows of a line, log-probabilities around it, picture of it)."""
    y = 250 + 40 * np.sin(np.arange(N) / 9.0) + rng.normal(0, 0.2, N)
    rows = np.arange(STRIP_PX, dtype=np.float32)[:, None]
    log_p = (-0.5 * ((rows - y[None]) / 1.5) ** 2).astype(np.float32)
    ink = 220 - 200 * np.exp(-0.5 * ((rows - y[None, ::2]) / 1.2) ** 2)
    return y, log_p, np.repeat(ink[..., None], 3, axis=2).astype(np.uint8)


def _features(y: np.ndarray, log_p: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    return features(y, y + 0.3, np.full(N, 1.0), np.ones(N), log_p, rgb)


def test_channels_peak_on_the_line() -> None:
    got = _features(*_line(np.random.default_rng(0)))
    assert got.shape == (CHANNELS, N)
    assert got.dtype == np.float32
    first, middle = len(LINE), OFFSETS_PX.index(0)
    assert (got[first : first + len(OFFSETS_PX)].argmax(axis=0) == middle).all()
    assert np.abs(np.median(got[first + len(OFFSETS_PX) :].argmax(axis=0)) - middle) <= 1


def test_a_page_turned_upside_down() -> None:
    y, log_p, rgb = _line(np.random.default_rng(1))
    turned = features(
        STRIP_PX - 1 - y, STRIP_PX - 1 - y - 0.3, np.full(N, 1.0), np.ones(N), log_p[::-1].copy(), rgb[::-1].copy()
    )
    np.testing.assert_allclose(upside_down(_features(y, log_p, rgb)), turned, atol=2e-3)


def test_a_mirrored_page() -> None:
    y, log_p, rgb = _line(np.random.default_rng(2))
    other = features(
        y[::-1].copy(), y[::-1] + 0.3, np.full(N, 1.0), np.ones(N), log_p[:, ::-1].copy(), rgb[:, ::-1].copy()
    )
    np.testing.assert_allclose(mirrored(_features(y, log_p, rgb)), other, atol=2e-3)


def test_the_correction_turns_with_the_page() -> None:
    seen, model = _features(*_line(np.random.default_rng(5))), load("pen")
    shift, scale = correction(model, seen)
    assert shift.shape == scale.shape == (N,)
    assert np.abs(shift).max() > 1e-3
    for turned, expected_shift, expected_scale in (
        (upside_down(seen), -shift, scale),
        (mirrored(seen), shift[::-1], scale[::-1]),
    ):
        got_shift, got_scale = correction(model, turned)
        np.testing.assert_allclose(got_shift, expected_shift, atol=1e-5)
        np.testing.assert_allclose(got_scale, expected_scale, rtol=1e-4)


def test_gaps_are_told() -> None:
    y, log_p, rgb = _line(np.random.default_rng(3))
    y[40:50] = np.nan
    got = _features(y, log_p, rgb)
    assert np.isfinite(got).all()
    assert (got[LINE.index("seen")] == 0).sum() == 10


def test_confidence_is_the_laplace_one_at_the_tolerance() -> None:
    from scipy.special import erf

    scale = np.array([0.02, 0.1, 0.5, 2.0])
    got = erf(0.2 / (np.sqrt(2) * sigma_mm(scale)))
    assert got == pytest.approx(1 - np.exp(-0.2 / scale))
