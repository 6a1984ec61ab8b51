"""The decoded line becomes a pen's path."""

import numpy as np
import pytest

from ecglift.penline import RefineSettings, refine, smoothed
from ecglift.sheet import Trace


def _trace(y_mm: np.ndarray, sigma_mm: np.ndarray | float = 0.15) -> Trace:
    n = len(y_mm)
    return Trace(
        0, (np.arange(n) + 0.5) / 16, y_mm, np.full(n, sigma_mm) if np.isscalar(sigma_mm) else sigma_mm, np.ones(n)
    )


def _beat(n: int = 800) -> np.ndarray:
    """A QRS-like stroke of 12 mm, 20 columns wide, on a level line."""
    k = np.arange(n)
    return 30 - 12 * np.exp(-0.5 * ((k - n / 2) / 8) ** 2)


def test_a_sure_line_stays() -> None:
    y = _beat()
    assert np.abs(refine(_trace(y)).y_mm - y).max() < 0.05


def test_an_unsure_column_follows_its_neighbours() -> None:
    y = _beat()
    rng = np.random.default_rng(0)
    steep = np.arange(372, 396, 3)  # on the upstroke, every third column
    bad, sigma = y.copy(), np.full(len(y), 0.15)
    bad[steep] += rng.normal(0, 3, len(steep))
    sigma[steep] = 3.0
    got = refine(_trace(bad, sigma)).y_mm
    assert np.abs(got - y).max() < 0.1 * np.abs(bad - y).max()


def test_one_column_far_away_does_no_harm_even_if_it_is_sure() -> None:
    y = _beat()
    bad = y.copy()
    bad[200] += 27.0
    assert np.abs(refine(_trace(bad)).y_mm - y).max() < 0.3


def test_the_column_on_a_joint_is_unseen_and_the_leads_stay_apart() -> None:
    y = np.where(np.arange(400) < 200, 30.0, 40.0)
    y[199] = 35.0
    trace = _trace(y)
    got = refine(trace, (float(trace.x_mm[199]),)).y_mm
    assert np.isnan(got[199])
    assert np.allclose(got[:199], 30.0, atol=0.01)
    assert np.allclose(got[200:], 40.0, atol=0.01)


def test_gaps_stay_and_bring_no_numbers() -> None:
    y = _beat()
    y[100:140] = np.nan
    got = refine(_trace(y))
    assert np.isnan(got.y_mm[100:140]).all()
    assert np.isfinite(np.delete(got.y_mm, np.arange(100, 140))).all()
    assert np.isinf(got.sigma_mm[100:140]).all()


def test_smoothed_minimises_what_it_says() -> None:
    rng = np.random.default_rng(1)
    y, weight, stiff = rng.normal(size=12), rng.uniform(0.5, 2, 12), rng.uniform(0.5, 2, 10)

    def cost(p: np.ndarray) -> float:
        return float((weight * (y - p) ** 2).sum() + (stiff * np.diff(p, 2) ** 2).sum())

    best = smoothed(y, weight, stiff)
    assert all(cost(best) < cost(best + 1e-3 * rng.normal(size=12)) for _ in range(50))


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="positive"):
        RefineSettings(bend_mm=0)
