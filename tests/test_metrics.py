import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.leads import LEADS, limb_leads_from
from ecglift.metrics import (
    Score,
    align,
    best_lag,
    by_lead,
    fit_lead,
    image_snr,
    image_snr_db,
    lead_errors,
    limb_residuals,
    physionet_2024_db,
    r_peak_errors,
    r_peaks,
    score,
    shift,
    to_db,
)

METRIC = Path(__file__).resolve().parents[2] / "shared" / "data" / "metric"


def beats(n: int, fs_hz: float, times_s: np.ndarray, r_mv: float = 1.0) -> np.ndarray:
    """A lead with a narrow R, an S and a broad T wave at each time."""
    t = np.arange(n)[:, None] / fs_hz - times_s[None, :]
    wave = r_mv * np.exp(-0.5 * (t / 0.012) ** 2) - 0.25 * r_mv * np.exp(-0.5 * ((t - 0.035) / 0.012) ** 2)
    return (wave + 0.25 * np.exp(-0.5 * ((t - 0.28) / 0.05) ** 2)).sum(axis=1)


def brute_force_lag(y: np.ndarray, p: np.ndarray, limit: int) -> int:
    y, p = y - y.mean(), p - p.mean()
    sums = {}
    for lag in range(-limit, limit + 1):
        sums[lag] = sum(y[i] * p[i - lag] for i in range(len(y)) if 0 <= i - lag < len(p))
    top = max(sums.values())
    return min((lag for lag, s in sums.items() if s >= top - 1e-9), key=lambda lag: (abs(lag), lag))


def golden() -> tuple[dict, dict]:
    if not (METRIC / "expected.json").exists():
        pytest.skip("shared data not there")
    return json.loads((METRIC / "expected.json").read_text()), dict(np.load(METRIC / "cases.npz"))


def test_the_competitions_own_scores() -> None:
    expected, cases = golden()
    ratios = []
    for key, case in expected["images"].items():
        truth = {lead: cases[f"{key}/{lead}/truth"] for lead in LEADS}
        prediction = {lead: cases[f"{key}/{lead}/prediction"] for lead in LEADS}
        ratios.append(image_snr(truth, prediction, case["fs"]))
        assert to_db(ratios[-1]) == pytest.approx(case["score_db"], abs=1e-6), case["what"]
    assert score(ratios).official_db == pytest.approx(expected["all_images_score_db"], abs=1e-6)


def test_a_hand_computed_image() -> None:
    # Truth 1 −1 1 −1, prediction half of it: Σy² = 4, Σ(y − p)² = 4·0.25.
    truth = {"II": [1.0, -1.0, 1.0, -1.0]}
    assert image_snr(truth, {"II": [0.5, -0.5, 0.5, -0.5]}, 4) == pytest.approx(4.0)
    # Nothing said about a lead: the error is the lead itself.
    assert image_snr(truth, {}, 4) == pytest.approx(1.0)
    # Two leads, one exact (Σy² = 8), one missing (Σy² = 4): 12 / 4.
    truth["V1"] = [2.0, 0.0, 0.0, -2.0]
    assert image_snr(truth, {"V1": truth["V1"]}, 4) == pytest.approx(3.0)


def test_what_the_shift_empties_counts_as_zero() -> None:
    truth = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, -5.0])
    late = np.concatenate([[0.0, 0.0], truth[:-2]])
    assert best_lag(truth, late, 2) == -2
    aligned = align(truth, late, 2)
    np.testing.assert_allclose(aligned[:8], truth[:8])
    assert np.isnan(aligned[8:]).all()
    assert image_snr({"I": truth}, {"I": late}, 10) == pytest.approx((1 + 16 + 25) / 25)


def test_lag_is_limited_to_a_fifth_of_a_second() -> None:
    truth = beats(500, 100, np.array([1.0, 2.0, 3.0, 4.0]))
    assert best_lag(truth, shift(truth, 20), 20) == -20
    assert abs(best_lag(truth, shift(truth, 21), 20)) <= 20


def test_equally_good_lags_take_the_nearest_to_zero() -> None:
    truth = np.tile([1.0, -1.0], 50)
    truth[:20] = truth[-20:] = 0.0
    wide = np.zeros(100)
    assert best_lag(truth, wide, 20) == 0
    impulse, two = np.zeros(41), np.zeros(41)
    impulse[20] = 1.0
    two[[15, 25]] = 1.0  # lags +5 and −5 are exactly as good
    assert best_lag(impulse, two, 10) == -5
    two[22] = 1.0
    assert best_lag(impulse, two, 10) == -2


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_lag_equals_the_sum_by_hand(n: int, limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.integers(-3, 4, n).astype(float), rng.integers(-3, 4, n).astype(float)
    if np.ptp(y) == 0 or np.ptp(p) == 0:
        assert best_lag(y, p, limit) == 0
    else:
        assert best_lag(y, p, limit) == brute_force_lag(y, p, min(limit, n - 1))


@settings(max_examples=30, deadline=None)
@given(st.floats(-2, 2), st.integers(-15, 15))
def test_offset_and_shift_inside_the_limit_are_forgiven(offset: float, lag: int) -> None:
    truth = beats(400, 100, np.array([0.9, 1.7, 2.6, 3.3]))
    moved = np.roll(truth, lag) + offset
    aligned = align(truth, moved, 20)
    kept = np.isfinite(aligned)
    assert kept.sum() == 400 - abs(lag)
    np.testing.assert_allclose(aligned[kept], truth[kept], atol=1e-6)


def test_array_with_nan_equals_mapping_of_windows() -> None:
    rng = np.random.default_rng(5)
    truth, prediction = np.full((12, 400), np.nan), rng.normal(size=(12, 400))
    windows = {"I": slice(0, 100), "aVR": slice(100, 200), "II": slice(0, 400)}
    for lead, window in windows.items():
        truth[LEADS.index(lead), window] = rng.normal(size=window.stop - window.start)
    by_window = {lead: truth[LEADS.index(lead), w] for lead, w in windows.items()}
    said = {lead.lower(): prediction[LEADS.index(lead), w] for lead, w in windows.items()}
    assert image_snr(truth, prediction, 100) == pytest.approx(image_snr(by_window, said, 100), abs=1e-12)


def test_a_short_prediction_is_empty_beyond_its_end_and_a_long_one_is_cut() -> None:
    truth = {"I": np.array([1.0, -1.0, 1.0, -1.0, 0.0, 0.0])}
    assert image_snr(truth, {"I": truth["I"][:4]}, 1) == image_snr(truth, truth, 1) == 1e6
    assert image_snr(truth, {"I": np.append(truth["I"], 9.0)}, 1) == 1e6


def test_score_over_images() -> None:
    result = score([1e6, 1.0, 0.0])
    assert result == Score(10 * np.log10((1e6 + 1) / 3), (60 + 0 - 384) / 3, 0.0, -384.0, (60.0, 0.0, -384.0))
    assert score([0.0]).official_db == -384.0


def test_image_snr_is_capped() -> None:
    truth = {"I": np.array([1.0, -1.0, 0.5, -0.5])}
    almost = {"I": truth["I"] + np.array([1e-9, -1e-9, 0, 0])}
    assert image_snr_db(truth, almost, 1) == 60.0


def test_physionet_2024_by_hand() -> None:
    y = np.array([3.0, -1.0, 2.0, -4.0])
    p = np.array([3.1, -1.1, 2.1, -4.1])
    assert physionet_2024_db({"I": y}, {"I": p}, 1)["I"] == pytest.approx(10 * np.log10(7.5 / 0.01))
    # Half covered: 10·log10(5 / 0.01) of the two samples that are there, halved.
    half = np.array([3.1, -1.1, np.nan, np.nan])
    assert physionet_2024_db({"I": y}, {"I": half}, 1)["I"] == pytest.approx(0.5 * 10 * np.log10(5 / 0.01))
    assert physionet_2024_db({"I": y}, {}, 1)["I"] == 0.0
    assert physionet_2024_db({"I": y}, {"I": y}, 1)["I"] == float("inf")
    # An offset is forgiven up to 1 mV, no further.
    assert physionet_2024_db({"I": y}, {"I": y + 3}, 1)["I"] == pytest.approx(10 * np.log10(7.5 / 4.0))


def test_lead_errors_of_a_known_distortion() -> None:
    fs = 500.0
    times = np.array([0.5, 1.31, 2.15, 2.9, 3.82, 4.5])
    truth = {"II": beats(2500, fs, times)}
    prediction = {"II": 0.95 * beats(2500, fs, times + 0.030) + 0.4}
    got = lead_errors(truth, prediction, fs)["II"]
    assert got.correlation == pytest.approx(1.0, abs=1e-6)
    assert got.gain_error == pytest.approx(-0.05, abs=1e-4)
    assert got.time_scale_error == pytest.approx(0.0, abs=1e-6)
    assert got.delay_ms == pytest.approx(30.0, abs=0.05)
    y = truth["II"]
    assert got.rmse_uv == pytest.approx(1000 * 0.05 * np.std(y[: 2500 - 15]), rel=0.01)
    assert len(got.r_peak_ms) == 6
    assert got.r_peaks_missed == got.r_peaks_extra == 0
    assert np.abs(got.r_peak_ms).max() < 0.1
    assert got.covered == 1.0


def test_lead_errors_of_a_lead_that_is_not_there() -> None:
    got = lead_errors({"I": beats(1000, 500, np.array([0.5, 1.5]))}, {}, 500)["I"]
    assert np.isnan([got.correlation, got.rmse_uv, got.gain_error, got.time_scale_error, got.delay_ms]).all()
    assert (got.r_peaks_missed, got.r_peak_ms, got.covered) == (2, (), 0.0)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.97, 1.03), st.floats(-0.05, 0.05), st.floats(0.5, 2.0), st.floats(-1, 1))
def test_fit_finds_gain_offset_delay_and_time_scale(scale: float, delay_s: float, gain: float, offset: float) -> None:
    fs, n = 250.0, 1250
    times = np.array([0.45, 1.3, 2.05, 2.99, 3.7, 4.4])
    middle = (n - 1) / 2 / fs
    t = np.arange(n) / fs
    at = (t - middle - delay_s) / scale + middle
    stretched = gain * np.interp(at, np.arange(4 * n) / (4 * fs), beats(4 * n, 4 * fs, times)) + offset
    fit = fit_lead(beats(n, fs, times), stretched, fs)
    assert fit.time_scale == pytest.approx(scale, abs=2e-4)
    assert fit.delay_s == pytest.approx(delay_s, abs=5e-4)
    assert fit.gain == pytest.approx(gain, rel=0.02)
    assert fit.offset_mv == pytest.approx(offset, abs=0.01)


@pytest.mark.parametrize("r_mv", [1.2, -0.8, 0.15])
@pytest.mark.parametrize("fs_hz", [250.0, 500.0, 1000.0])
def test_r_peaks_between_samples(r_mv: float, fs_hz: float) -> None:
    times = np.array([0.4013, 1.2207, 2.0351, 2.7404, 3.4119, 4.5008])
    noise = 0.003 * np.random.default_rng(0).normal(size=int(5 * fs_hz))
    found = r_peaks(beats(int(5 * fs_hz), fs_hz, times, r_mv) + noise, fs_hz)
    assert len(found) == len(times)
    np.testing.assert_allclose(found, times, atol=0.002)


def test_r_peaks_survive_drift_a_gap_and_an_artefact() -> None:
    times = np.arange(0.5, 10, 0.75)
    x = beats(5000, 500, times) + 0.8 * np.sin(2 * np.pi * 0.2 * np.arange(5000) / 500)
    x[2000] += 15.0  # 4 s: between two beats (3.5 and 4.25 s)
    x[3300:3700] = np.nan  # hides the beat at 7.25 s
    found = r_peaks(x, 500)
    expected = times[np.abs(times - 7.25) > 0.01]
    nearest = np.abs(found[:, None] - expected[None, :]).min(axis=0)
    assert nearest.max() < 0.003
    assert len(found) <= len(expected) + 1


def test_no_r_peaks_where_there_is_nothing() -> None:
    assert len(r_peaks(np.zeros(1000), 500)) == 0
    assert len(r_peaks(np.full(1000, np.nan), 500)) == 0
    assert len(r_peaks(np.zeros(2), 500)) == 0


def test_r_peak_errors_count_the_missed_and_the_extra() -> None:
    times = np.array([0.5, 1.4, 2.3, 3.2, 4.1])
    truth = beats(2500, 500, times)
    moved = np.array([0.504, 1.404, 2.8, 3.204, 4.104])  # the third beat is elsewhere
    got = r_peak_errors(truth, beats(2500, 500, moved), 500)
    np.testing.assert_allclose(got.errors_ms, 4.0, atol=0.1)
    assert (len(got.errors_ms), got.missed, got.extra) == (4, 1, 1)


def test_limb_residuals() -> None:
    rng = np.random.default_rng(1)
    mv = np.full((12, 1000), np.nan)
    mv[:6] = limb_leads_from(rng.normal(size=1000), rng.normal(size=1000))
    exact = limb_residuals(mv)
    assert exact.einthoven_db < -250
    assert exact.goldberger_db < -250
    assert exact.n_samples == (1000, 1000)
    noisy = mv.copy()
    noisy[0] += 0.01 * np.resize([1.0, -1.0], 1000)
    power = np.mean([np.var(noisy[k]) for k in range(3)])
    assert limb_residuals(noisy).einthoven_db == pytest.approx(10 * np.log10(1e-4 / power), abs=1e-6)
    assert limb_residuals(noisy).goldberger_db < -250


def test_limb_residuals_do_not_care_about_zero_lines_of_each_piece() -> None:
    rng = np.random.default_rng(2)
    mv = np.full((12, 1000), np.nan)
    mv[:6] = limb_leads_from(rng.normal(size=1000), rng.normal(size=1000))
    mv[1, :400] += 0.3
    mv[1, 500:] -= 0.2
    mv[1, 400:500] = np.nan
    got = limb_residuals(mv)
    assert got.einthoven_db < -250
    assert got.n_samples == (900, 1000)


def test_limb_residuals_of_leads_that_never_meet_cannot_be_told() -> None:
    mv = np.full((12, 300), np.nan)
    mv[0, :100], mv[1, 100:200], mv[2, 200:] = 1.0, 2.0, 3.0
    got = limb_residuals(mv)
    assert np.isnan([got.einthoven_db, got.goldberger_db]).all()
    assert got.n_samples == (0, 0)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: by_lead(np.zeros((11, 5)), "truth"), "truth must be"),
        (lambda: by_lead({"V9": [0.0]}, "prediction"), "prediction: 'V9'"),
        (lambda: by_lead({"V1": [0.0], "C1": [0.0]}), "V1 is given twice"),
        (lambda: by_lead({"V1": [[0.0]]}), "must be \\(n,\\)"),
        (lambda: by_lead({"V1": [float("inf")]}), "infinite"),
        (lambda: image_snr({}, {}, 500), "truth holds no finite sample"),
        (lambda: image_snr({"I": [1.0, 2.0]}, {}, 0), "fs_hz must be positive"),
        (lambda: best_lag([1.0], [1.0, 2.0], 3), "same length"),
        (lambda: best_lag([1.0], [1.0], -1), "max_lag"),
        (lambda: score([]), "image_snrs is empty"),
        (lambda: to_db(float("nan")), "ratio must be"),
        (lambda: r_peaks([0.0], 500, 2), "polarity"),
        (lambda: limb_residuals(np.zeros((6, 10))), "mv must be"),
    ],
)
def test_bad_calls_name_the_argument(call, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        call()
