"""Beats, intervals and levels, against the simulator's truth."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from ecglift.intervals import (
    QUANTITIES,
    Intervals,
    Measure,
    compare_intervals,
    fidelity,
    find_beats,
    measure,
)
from ecglift.leads import LEADS
from ecglift.press.noise import Noise
from ecglift.press.patients import Patient, simulate

QUIET = Noise(wander_mv=0.03, hum_mv=0.003, muscle_mv=0.004, contact_mv=0.003)


@lru_cache
def patient(seed: int, rhythm: str = "sinus", rate_bpm: float = 70.0, conditions: tuple[str, ...] = ()) -> Patient:
    return simulate(np.random.default_rng(seed), rhythm=rhythm, rate_bpm=rate_bpm, conditions=conditions, noise=QUIET)


def as_printed(mv: np.ndarray) -> np.ndarray:
    """Three rows of four columns and lead II below."""
    out = np.full_like(mv, np.nan)
    for k in range(12):
        window = slice(k // 3 * 1250, (k // 3 + 1) * 1250)
        out[k, window] = mv[k, window]
    out[1] = mv[1]
    return out


@pytest.mark.parametrize("printed", [False, True], ids=["whole", "3x4+1"])
def test_intervals_are_the_simulators(printed: bool) -> None:
    errors = []
    for seed in range(10):
        p = patient(seed)
        found = measure(as_printed(p.mv) if printed else p.mv, p.fs_hz)
        beat = p.beats[3]
        errors.append(
            [
                (found.pr_s.value - (beat.qrs_onset_s - beat.p_onset_s)) * 1e3,
                (found.qrs_s.value - (beat.qrs_end_s - beat.qrs_onset_s)) * 1e3,
                (found.qt_s.value - (beat.t_end_s - beat.qrs_onset_s)) * 1e3,
            ]
        )
        assert found.heart_rate_bpm.value == pytest.approx(70, rel=0.06)
        assert (~found.usual).sum() <= 1
    pr, qrs, qt = np.abs(np.array(errors)).T
    assert np.nanmedian(pr) < 10
    assert np.nanmedian(qrs) < 6
    assert np.nanmedian(qt) < 10
    assert np.isfinite(qt).sum() >= 9


@pytest.mark.parametrize(
    ("rhythm", "rate_bpm"), [("sinus", 40.0), ("sinus", 170.0), ("af", 90.0), ("pvc", 80.0), ("paced-both", 70.0)]
)
def test_every_beat_is_found_once(rhythm: str, rate_bpm: float) -> None:
    for seed in range(4):
        p = patient(seed, rhythm, rate_bpm)
        found = find_beats(as_printed(p.mv), p.fs_hz)
        true = np.array([b.r_s for b in p.beats if 0.15 < b.r_s < p.duration_s - 0.15])
        assert np.abs(found[:, None] - true).min(axis=0).max() < 0.09
        inner = found[(found > 0.15) & (found < p.duration_s - 0.15)]
        assert abs(len(inner) - len(true)) <= 1


def test_ectopic_beats_are_not_averaged_with_the_others() -> None:
    p = patient(2, "pvc", 75.0)
    found = measure(p.mv, p.fs_hz)
    strange = [b.r_s for b in p.beats if b.kind == "pvc"]
    assert strange
    for r in strange:
        assert not found.usual[np.argmin(np.abs(found.r_peaks_s - r))]


def test_a_wide_qrs_is_wide_and_fibrillation_has_no_pr() -> None:
    assert measure(patient(3, conditions=("lbbb",)).mv, 500.0).qrs_s.value > 0.12
    assert measure(patient(3).mv, 500.0).qrs_s.value < 0.11
    known = [measure(patient(seed, "af", 80.0).mv, 500.0).pr_s.known for seed in range(6)]
    assert sum(known) <= 2


@pytest.mark.parametrize("fs_hz", [250.0, 512.0, 1000.0])
def test_the_sampling_rate_does_not_matter(fs_hz: float) -> None:
    p = patient(4)
    t = np.arange(int(p.duration_s * fs_hz)) / fs_hz
    other = np.stack([np.interp(t, np.arange(p.mv.shape[1]) / p.fs_hz, row) for row in p.mv])
    a, b = measure(p.mv, p.fs_hz), measure(other, fs_hz)
    assert b.heart_rate_bpm.value == pytest.approx(a.heart_rate_bpm.value, abs=0.1)
    assert b.qt_s.value == pytest.approx(a.qt_s.value, abs=0.008)
    assert b.qrs_s.value == pytest.approx(a.qrs_s.value, abs=0.006)


def test_st_level_and_r_amplitude_are_those_drawn() -> None:
    # One beat shape on a straight line: QRS of 1 mV in II, then 0.2 mV of ST.
    t = np.arange(5000) / 500
    phase = t % 0.8
    beat = np.exp(-0.5 * ((phase - 0.3) / 0.012) ** 2) + 0.2 / (1 + np.exp(-(phase - 0.345) / 0.003)) / (
        1 + np.exp((phase - 0.6) / 0.02)
    )
    mv = np.full((12, 5000), np.nan)
    mv[1] = beat + 0.3
    mv[7, :2500] = 2 * beat[:2500]
    found = measure(mv, 500.0)
    assert set(found.r_mv) == {"II", "V2"}
    assert found.r_mv["II"].value == pytest.approx(1.0, abs=0.02)
    assert found.st_mv["II"].value == pytest.approx(0.2, abs=0.02)
    assert found.r_mv["V2"].value == pytest.approx(2.0, abs=0.04)
    assert found.r_mv["V2"].beats < found.r_mv["II"].beats


def test_nothing_to_measure_gives_no_values_and_no_error() -> None:
    for mv in (np.full((12, 5000), np.nan), np.zeros((12, 5000)), np.zeros((12, 0)), np.zeros((12, 40))):
        found = measure(mv, 500.0)
        assert len(found.r_peaks_s) == 0
        assert not found.qt_s.known
    one = patient(5).mv[:, :300]
    assert not measure(one, 500.0).heart_rate_bpm.known
    with pytest.raises(ValueError, match="mv"):
        measure(np.zeros((3, 100)), 500.0)
    with pytest.raises(ValueError, match="fs_hz"):
        measure(np.zeros((12, 100)), 0.0)


def test_a_signal_has_no_error_against_itself_and_a_scaled_one_has_the_known_error() -> None:
    p = patient(6)
    truth = measure(as_printed(p.mv), p.fs_hz)
    same = compare_intervals(truth, truth)
    assert set(same) == set(QUANTITIES)
    assert all(np.all(v == 0) for v in same.values())
    low = compare_intervals(truth, measure(as_printed(p.mv) * np.float32(0.9), p.fs_hz))
    r = np.array([m.value for m in truth.r_mv.values()]) * 1e3
    assert low["r_uv"] == pytest.approx(-0.1 * r, abs=3)
    assert np.abs(low["qt_ms"]).max() <= 4
    lost = compare_intervals(truth, measure(np.full((12, 5000), np.nan), 500.0))
    assert np.isnan(lost["qt_ms"]).all()
    assert len(lost["st_uv"]) == len(LEADS)


def test_fidelity_is_the_table_over_pages() -> None:
    def page(qt_s: float) -> Intervals:
        return Intervals(np.zeros(1), np.ones(1, bool), qt_s=Measure(qt_s, 0.002, 5))

    truth = page(0.400)
    table = fidelity(compare_intervals(truth, page(v)) for v in (0.402, 0.396, 0.406, math.nan))
    assert table["qt_ms"].median == pytest.approx(4)
    assert table["qt_ms"].bias == pytest.approx(2)
    assert table["qt_ms"].n == 3
    assert table["qt_ms"].missed == 1
    assert table["pr_ms"].n == 0


def test_uncertainty_grows_with_the_noise() -> None:
    rng = np.random.default_rng(0)
    p = patient(7)
    noisy = p.mv + rng.normal(0, 0.05, p.mv.shape)
    quiet_st, noisy_st = (np.median([m.sd for m in measure(x, 500.0).st_mv.values()]) for x in (p.mv, noisy))
    assert noisy_st > 1.5 * quiet_st
