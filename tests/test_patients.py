"""Simulated and read patients."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from ecglift.leads import LEADS, LIMB_RELATIONS
from ecglift.press.noise import Noise
from ecglift.press.patients import CONDITIONS, Patient, simulate
from ecglift.press.rhythms import RHYTHMS, draw_timeline
from ecglift.press.signals import patient_from_array, patients_from_folder, read_wfdb
from ecglift.press.torso import STANDARD_ELECTRODES_CM, Torso, leads_from_electrodes

LOUD = Noise(wander_mv=0.2, hum_mv=0.05, muscle_mv=0.05, contact_mv=0.02, jerks=2)


def rms(mv: np.ndarray) -> np.ndarray:
    return np.sqrt((mv**2).mean(axis=0))


@pytest.mark.parametrize("rhythm", RHYTHMS)
def test_every_rhythm_keeps_the_limb_relations_with_noise_and_all(rhythm: str) -> None:
    patient = simulate(np.random.default_rng(1), rhythm=rhythm, noise=LOUD)
    assert patient.mv.shape == (12, 5000)
    assert np.isfinite(patient.mv).all()
    assert np.abs(LIMB_RELATIONS @ patient.mv[:6].astype(float)).max() < 1e-6
    assert 0.1 < np.abs(patient.mv).max() < 15


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_can_be_drawn_and_changes_the_signal(condition: str) -> None:
    how = {"rhythm": "sinus", "rate_bpm": 70.0, "noise": Noise(), "lowpass_hz": 0.0}
    plain = simulate(np.random.default_rng(2), conditions=(), **how)
    ill = simulate(np.random.default_rng(2), conditions=(condition,), **how)
    assert ill.meta["conditions"] == [condition]
    assert np.abs(plain.mv - ill.mv).max() > 0.05


def test_the_same_seed_gives_the_same_patient_and_another_seed_another() -> None:
    a, b, c = (simulate(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(a.mv, b.mv)
    assert a.beats == b.beats
    assert a.meta == b.meta
    assert not np.array_equal(a.mv, c.mv)


def test_truth_of_qrs_stands_where_the_qrs_is_drawn() -> None:
    for seed in range(12):
        patient = simulate(
            np.random.default_rng(seed),
            1000.0,
            rhythm="sinus",
            conditions=(),
            rate_bpm=65,
            noise=Noise(),
            lowpass_hz=0.0,
        )
        size = np.abs(patient.mv).max(axis=0)
        for beat in patient.beats[1:-1]:
            onset, r, end = (round(t * 1000) for t in (beat.qrs_onset_s, beat.r_s, beat.qrs_end_s))
            assert rms(patient.mv)[r - 1 : r + 2].max() > 0.97 * rms(patient.mv)[onset - 20 : end].max()
            # Between P and QRS the line is quiet, within a few milliseconds after the onset it is not.
            assert size[onset - 6] < 0.12 * size[onset:end].max()
            assert size[onset + 12 : end - 6].max() > 0.9 * size[onset - 30 : end + 30].max()
            assert (
                beat.p_onset_s
                < beat.p_end_s
                < beat.qrs_onset_s + 0.01
                < beat.r_s
                < beat.qrs_end_s
                < beat.t_peak_s
                < beat.t_end_s
            )


def test_heart_rate_and_intervals_are_those_asked_for() -> None:
    for rate in (40.0, 75.0, 150.0):
        patient = simulate(np.random.default_rng(3), duration_s=20.0, rhythm="sinus", rate_bpm=rate)
        rr = np.diff([b.qrs_onset_s for b in patient.beats])
        assert 60 / rr.mean() == pytest.approx(rate, rel=0.05)
    block = simulate(np.random.default_rng(3), rhythm="av-block-1", rate_bpm=60)
    assert all(0.2 < b.qrs_onset_s - b.p_onset_s < 0.4 for b in block.beats if np.isfinite(b.p_onset_s))
    long = simulate(np.random.default_rng(3), rhythm="sinus", rate_bpm=60, conditions=("long-qt",))
    assert np.median([b.t_end_s - b.qrs_onset_s for b in long.beats]) > 0.46

    def qrs_s(conditions: tuple[str, ...]) -> float:
        beats = (simulate(np.random.default_rng(k), rhythm="sinus", conditions=conditions).beats[0] for k in range(20))
        return float(np.median([b.qrs_end_s - b.qrs_onset_s for b in beats]))

    narrow, wide = qrs_s(()), qrs_s(("lbbb",))
    assert 0.07 < narrow < 0.11
    assert 0.12 < wide < 0.18


def test_rhythms_differ_as_they_should() -> None:
    def rr(rhythm: str) -> np.ndarray:
        events = draw_timeline(np.random.default_rng(4), rhythm, 80, 60.0).events
        return np.diff([e.qrs_s for e in events])

    assert rr("af").std() / rr("af").mean() > 0.15
    assert rr("sinus").std() / rr("sinus").mean() < 0.08
    assert rr("av-block-3").mean() > 1.1
    wenckebach = draw_timeline(np.random.default_rng(4), "av-block-2-wenckebach", 80, 60.0)
    assert len(wenckebach.free_p_s) >= 5
    paced = simulate(np.random.default_rng(4), rhythm="paced-both")
    assert len(paced.spikes_s) >= 2 * len(paced.beats) - 2
    ectopic = simulate(np.random.default_rng(4), rhythm="pvc", duration_s=30.0)
    assert {b.kind for b in ectopic.beats} == {"normal", "pvc"}


def test_a_clean_recording_has_no_noise_and_noise_has_the_asked_size() -> None:
    how = {"rhythm": "sinus", "conditions": (), "rate_bpm": 60.0, "lowpass_hz": 0.0}
    clean = simulate(np.random.default_rng(7), noise=Noise(), **how).mv
    hum = simulate(np.random.default_rng(7), noise=Noise(hum_mv=0.05, mains_hz=50.0), **how).mv
    spectrum = np.abs(np.fft.rfft((hum - clean)[6].astype(float))) / 2500
    assert np.argmax(spectrum) == 500
    assert 0.01 < spectrum[500] < 0.3


def test_wrong_calls_name_the_argument() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="rhythm"):
        simulate(rng, rhythm="waltz")
    with pytest.raises(ValueError, match="conditions"):
        simulate(rng, conditions=("hiccups",))
    with pytest.raises(ValueError, match="rate_bpm"):
        simulate(rng, rate_bpm=400)
    with pytest.raises(ValueError, match="duration_s"):
        simulate(rng, duration_s=0)
    with pytest.raises(ValueError, match="mv"):
        Patient(np.zeros((3, 5), np.float32), 500.0)


def test_a_central_dipole_shows_dowers_leads() -> None:
    torso = Torso(STANDARD_ELECTRODES_CM, np.eye(3))
    leads = leads_from_electrodes(torso.sees(np.eye(3), np.zeros((3, 3))))
    # Dower's own numbers for I, aVF (from I and II) and V2.
    assert leads[0] == pytest.approx([0.632, -0.235, -0.059], abs=1e-4)
    assert leads[5] == pytest.approx([0.235 - 0.316, 1.066 + 0.1175, 0.132 + 0.0295], abs=1e-4)
    assert leads[7] == pytest.approx([0.044, 0.164, 1.387], abs=1e-4)


def test_arrays_become_patients_and_missing_limb_leads_are_computed() -> None:
    full = simulate(np.random.default_rng(8)).mv.astype(float)
    patient = patient_from_array(full[[0, 1, 6]], 500.0, ("DI", "Lead II", "C1"))
    assert np.allclose(patient.mv[:7], full[:7], atol=1e-6)
    assert np.isnan(patient.mv[7:]).all()
    with pytest.raises(ValueError, match="leads"):
        patient_from_array(full[:2], 500.0, ("I", "EEG"))


@pytest.mark.parametrize("wfdb_format", ["16", "24", "32", "80", "212"])
def test_wfdb_folders_are_read_as_the_wfdb_package_writes_them(tmp_path: Path, wfdb_format: str) -> None:
    wfdb = pytest.importorskip("wfdb")
    mv = simulate(np.random.default_rng(9), duration_s=1.0, noise=Noise()).mv.astype(float).clip(-2, 2)
    gain = 50 if wfdb_format == "80" else 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own use of pandas
        wfdb.wrsamp(
            "r",
            500,
            ["mV"] * 12,
            list(LEADS),
            mv.T,
            fmt=[wfdb_format] * 12,
            adc_gain=[gain] * 12,
            baseline=[0] * 12,
            write_dir=str(tmp_path),
        )
    patients = list(patients_from_folder(tmp_path))
    assert len(patients) == 1
    assert patients[0].fs_hz == 500
    assert np.abs(patients[0].mv - mv).max() <= 0.51 / gain
    (tmp_path / "r.dat").write_bytes((tmp_path / "r.dat").read_bytes()[:100])
    with pytest.raises(ValueError, match="incomplete"):
        read_wfdb(tmp_path / "r.hea")
