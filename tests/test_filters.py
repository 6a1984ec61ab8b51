"""Filters take out what they name and leave the QRS complexes alone."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.filters import FilterSettings, filtered, smoothed, stretches, without_baseline, without_mains
from ecglift.recording import Recording

FS_HZ = 500.0
T = np.arange(5000) / FS_HZ


def beats(width_s: float = 0.012) -> np.ndarray:
    phase = T % 0.8
    return (
        0.12 * np.exp(-0.5 * ((phase - 0.2) / 0.02) ** 2)
        + 1.2 * np.exp(-0.5 * ((phase - 0.36) / width_s) ** 2)
        - 0.35 * np.exp(-0.5 * ((phase - 0.39) / width_s) ** 2)
        + 0.3 * np.exp(-0.5 * ((phase - 0.6) / 0.04) ** 2)
    )


def qrs_height(y: np.ndarray) -> np.ndarray:
    return np.array([np.ptp(y[round((b * 0.8 + 0.28) * 500) : round((b * 0.8 + 0.45) * 500)]) for b in range(12)])


@pytest.mark.parametrize("length", [5000, 1250])
def test_baseline_wander_goes_and_beats_stay(length: int) -> None:
    clean, wander = beats()[:length], 0.4 * np.sin(2 * np.pi * 0.12 * T[:length])
    out = without_baseline(clean + wander, FS_HZ, 0.5)
    slow_error = np.convolve(out - clean - np.mean(out - clean), np.ones(250) / 250, "valid")
    assert slow_error.std() < 0.1 * wander.std()
    if length == 5000:
        np.testing.assert_allclose(qrs_height(out), qrs_height(clean), rtol=0.01)


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_hum_goes_and_beats_stay(mains_hz: float) -> None:
    clean = beats()
    hum = 0.05 * (1 + 0.2 * np.sin(0.5 * T)) * np.sin(2 * np.pi * mains_hz * T + 0.7)
    out = without_mains(clean + hum, FS_HZ, mains_hz)
    assert (out - clean)[250:-250].std() < 0.2 * hum.std()
    np.testing.assert_allclose(qrs_height(out), qrs_height(clean), rtol=0.01)


def test_smoothing_calms_the_line_but_not_the_qrs() -> None:
    clean = beats()
    noise = 0.02 * np.random.default_rng(3).standard_normal(len(T))
    out = smoothed(clean + noise, FS_HZ, 40)
    between = (T % 0.8 > 0.68) | (T % 0.8 < 0.1)
    assert (out - clean)[between].std() < 0.6 * noise[between].std()
    np.testing.assert_allclose(qrs_height(smoothed(clean, FS_HZ, 40)), qrs_height(clean), rtol=0.01)
    np.testing.assert_allclose(qrs_height(out), qrs_height(clean + noise), rtol=0.01)


def test_a_recording_keeps_its_gaps_and_says_what_was_done() -> None:
    mv = np.full((12, 5000), np.nan)
    mv[1] = beats() + 0.5 * np.sin(2 * np.pi * 0.1 * T)
    mv[1, 2000:2600] = np.nan
    mv[0, 100:150] = 1.0
    rec = Recording(FS_HZ, mv, np.isfinite(mv).astype(float))
    assert filtered(rec, FilterSettings()) is rec
    out = filtered(rec, FilterSettings(baseline_hz=0.5, mains_hz=50, smooth_hz=40))
    np.testing.assert_array_equal(np.isnan(out.mv), np.isnan(mv))
    np.testing.assert_array_equal(out.mv[0, 100:150], 1)  # too short to say anything about
    assert out["II"][2600:].std() < rec["II"][2600:].std()
    assert out.provenance["filters"] == {"baseline_hz": 0.5, "mains_hz": 50, "smooth_hz": 40}


def test_wrong_frequencies_are_named() -> None:
    with pytest.raises(ValueError, match="mains_hz"):
        FilterSettings(mains_hz=500)


def test_stretches_are_the_runs_of_true() -> None:
    assert stretches(np.array([1, 1, 0, 1, 0, 0, 1], bool)).tolist() == [[0, 2], [3, 4], [6, 7]]
    assert stretches(np.zeros(3, bool)).tolist() == []
