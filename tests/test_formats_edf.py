import json
from pathlib import Path

import numpy as np
import pytest

from ecglift.formats import save
from ecglift.leads import LEADS
from ecglift.recording import Recording
from format_samples import sheet

edfio = pytest.importorskip("edfio")


def read(recording: Recording, tmp_path: Path):
    return edfio.read_edf(save(recording, tmp_path / "page.edf"))


def gaps(edf) -> list[tuple[float, float, str]]:
    return [(a.onset, a.duration, a.text.split(": ")[1]) for a in edf.annotations if a.text.startswith("not recorded")]


def put_back(edf, n: int) -> np.ndarray:
    """(12, n) mV: samples under an annotation of their lead are missing."""
    mv = np.full((12, n), np.nan)
    for signal in edf.signals:
        mv[LEADS.index(signal.label.removeprefix("ECG "))] = signal.data[:n] / 1000
    fs_hz = edf.signals[0].sampling_frequency
    for onset, duration, lead in gaps(edf):
        mv[LEADS.index(lead), round(onset * fs_hz) : round((onset + duration) * fs_hz)] = np.nan
    return mv


def test_it_is_a_continuous_edf_plus_file(tmp_path: Path) -> None:
    edf = read(sheet(), tmp_path)
    assert edf.reserved == "EDF+C"
    assert (edf.num_data_records, edf.data_record_duration, edf.duration) == (10, 1, 10)


def test_labels_unit_and_symmetric_range(tmp_path: Path) -> None:
    for signal, lead in zip(read(sheet(), tmp_path).signals, LEADS, strict=True):
        assert signal.label == f"ECG {lead}"
        assert signal.physical_dimension == "uV"
        assert signal.physical_min == -signal.physical_max == -32767
        assert signal.digital_min == -signal.digital_max == -32767


@pytest.mark.parametrize("fs_hz", [100.0, 256.0, 333.5, 500.0, 1025.0])
def test_round_trip_with_annotated_gaps(fs_hz: float, tmp_path: Path) -> None:
    recording = sheet(fs_hz)
    edf = read(recording, tmp_path)
    assert edf.signals[0].sampling_frequency == fs_hz
    mv = put_back(edf, len(recording))
    np.testing.assert_array_equal(np.isnan(mv), np.isnan(recording.mv))
    np.testing.assert_allclose(mv, recording.mv, atol=0.5e-3 + 1e-6)


def test_gaps_become_annotations(tmp_path: Path) -> None:
    found = gaps(read(sheet(), tmp_path))
    assert (2.5, 7.5, "I") in found
    assert (0, 5, "V2") in found
    assert (6.25, 0.12, "V2") in found
    assert "II" not in {lead for _, _, lead in found}


def test_the_last_record_beyond_the_recording_is_annotated(tmp_path: Path) -> None:
    recording = sheet(n=4713)
    edf = read(recording, tmp_path)
    assert edf.duration == 10
    assert (9.426, pytest.approx(0.574), "II") in gaps(edf)
    np.testing.assert_allclose(put_back(edf, 4713), recording.mv, atol=0.5e-3 + 1e-6)
    assert (edf.get_signal("ECG II").data[4713:] == 0).all()


def test_a_second_reader_agrees(tmp_path: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib")
    recording = sheet()
    with pyedflib.EdfReader(str(save(recording, tmp_path / "page.edf"))) as reader:
        assert reader.getSignalLabels() == [f"ECG {lead}" for lead in LEADS]
        np.testing.assert_allclose(reader.readSignal(1) / 1000, recording["II"], atol=0.5e-3 + 1e-6)
        onsets, _, texts = reader.readAnnotations()
    assert {float(o) for o, t in zip(onsets, texts, strict=True) if t == "not recorded: V4"} == {0.0}


def test_nobody_is_named(tmp_path: Path) -> None:
    edf = read(sheet(), tmp_path)
    assert edf.local_patient_identification == "X X X X"
    assert edf.local_recording_identification.startswith("Startdate X X X ecglift_")


def test_provenance_is_the_first_annotation(tmp_path: Path) -> None:
    first = read(sheet(), tmp_path).annotations[0]
    assert first.onset == 0
    assert json.loads(first.text)["provenance"]["sha256"] == "ab" * 32


def test_a_rate_without_whole_records(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fs_hz must be"):
        save(sheet(500.12345), tmp_path / "page.edf")
