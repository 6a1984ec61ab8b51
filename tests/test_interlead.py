"""Simultaneous leads choose among strokes that cross."""

from __future__ import annotations

import numpy as np

from ecglift.interlead import covariance, expected, fit
from ecglift.leads import CHEST_LEADS, LEADS
from ecglift.press.patients import simulate
from ecglift.training.interlead import measure, within_complexes
from ecglift.training.signals import Signals

MV = np.linspace(-4, 4, 401, dtype=np.float32)


def seen(*peaks: tuple[np.ndarray, float]) -> np.ndarray:
    """(rows, n) chances of a lead whose heights may be any of ``peaks``, values (n,) mV with a chance each."""
    return sum(
        chance * np.exp(-0.5 * ((MV[:, None] - at) / 0.05) ** 2).astype(np.float32) for at, chance in peaks
    ) / np.float32(12.5)


def test_any_leads_have_a_covariance_that_can_be_inverted() -> None:
    for leads in (LEADS, LEADS + ("II", "V1"), ("II", "II"), ("aVR",)):
        among = covariance(leads)
        assert among.shape == (len(leads), len(leads))
        np.testing.assert_allclose(among, among.T)
        assert np.linalg.eigvalsh(among).min() > 1e-3


def test_limb_leads_are_what_einthoven_says() -> None:
    rng = np.random.default_rng(0)
    one, two = 0.8 + 0.3 * rng.standard_normal(60), 1.2 + 0.3 * rng.standard_normal(60)
    wrong = two - one + 1.5
    chances = [seen((one, 1.0)), seen((two, 1.0)), seen((two - one, 0.3), (wrong, 0.7))]
    mean, variance = expected(chances, [np.repeat(MV[:, None], 60, 1)] * 3, covariance(("I", "II", "III")))
    chosen = chances[2] * fit(np.repeat(MV[:, None], 60, 1), mean[2], variance[2])
    assert np.abs(MV[chosen.argmax(axis=0)] - (two - one)).max() < 0.05


def test_a_chest_leads_stroke_is_the_one_that_goes_with_its_neighbours() -> None:
    mv = within_complexes(np.asarray(simulate(np.random.default_rng(3), fs_hz=250.0).mv[:, :2000], float), 250.0)[
        6:, :80
    ]
    among, heights = covariance(CHEST_LEADS), [np.repeat(MV[:, None], mv.shape[1], 1)] * 6
    other = np.where(mv[3] > 0, -1.2, 1.2)  # a neighbour's stroke, far from the lead's own
    chances = [seen((lead, 1.0)) for lead in mv]
    chances[3] = seen((mv[3], 0.3), (other, 0.7))
    mean, variance = expected(chances, heights, among)
    before, after = (
        np.abs(MV[p.argmax(axis=0)] - mv[3]) for p in (chances[3], chances[3] * fit(heights[3], mean[3], variance[3]))
    )
    assert (before > 0.5).mean() > 0.9
    assert (after > 0.5).mean() < 0.35
    # What the lead's own ink says surely is not overruled.
    chances[3] = seen((other, 1.0))
    mean, variance = expected(chances, heights, among)
    overruled = chances[3] * fit(heights[3], mean[3], variance[3])
    assert np.abs(MV[overruled.argmax(axis=0)] - other).max() < 0.3


def test_what_the_leads_say_of_each_other_is_measured_on_records() -> None:
    rng = np.random.default_rng(1)
    records = np.stack([simulate(rng, fs_hz=500.0).mv[:, :4000] for _ in range(3)])
    measured = measure(Signals(records))
    assert measured.shape == (8, 8)
    assert np.linalg.eigvalsh(measured).min() > -1e-9
    assert measured[0, 0] > 0
