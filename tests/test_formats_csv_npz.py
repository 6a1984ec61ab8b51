import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.formats import load, save
from ecglift.formats.csv import encode
from ecglift.leads import LEADS
from ecglift.recording import Recording
from format_samples import sheet


def test_csv_read_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    recording = sheet()
    table = pandas.read_csv(save(recording, tmp_path / "page.csv"))
    assert list(table.columns) == ["time_s", *LEADS]
    np.testing.assert_allclose(table["time_s"], np.arange(5000) / 500, atol=5.1e-7)
    for lead in LEADS:
        np.testing.assert_array_equal(np.isfinite(table[lead]), np.isfinite(recording[lead]))
        np.testing.assert_allclose(table[lead], recording[lead], atol=0.5e-4 + 1e-7)


def test_csv_to_the_letter() -> None:
    mv = np.full((12, 3), np.nan)
    mv[0] = [1.23456, -0.00001, 0.5]
    mv[11, 1] = -2
    text = encode(Recording(500, mv, np.zeros((12, 3))), "a.csv")["a.csv"].decode()
    assert text == (
        "time_s,I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6\n"
        "0.000000,1.2346,,,,,,,,,,,\n"
        "0.002000,0.0000,,,,,,,,,,,-2.0000\n"
        "0.004000,0.5000,,,,,,,,,,,\n"
    )


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 256.0, 500.0, 512.0, 1000.0, 1025.0, 333.5])
def test_csv_round_trip(fs_hz: float, tmp_path: Path) -> None:
    recording = sheet(fs_hz)
    again = load(save(recording, tmp_path / "page.csv"))
    assert again.fs_hz == fs_hz
    np.testing.assert_allclose(again.mv, recording.mv, atol=0.5e-4 + 1e-6)
    np.testing.assert_array_equal(np.isnan(again.confidence), np.isfinite(recording.mv))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.sampled_from([100.0, 500.0, 1025.0]), st.integers(0, 2**32 - 1))
def test_csv_keeps_every_gap(n: int, fs_hz: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mv = np.where(rng.random((12, n)) < 0.4, np.nan, rng.normal(size=(12, n)))
    recording = Recording(fs_hz, mv, np.zeros((12, n)))
    path = Path("page.csv")
    table = encode(recording, path.name)[path.name].decode().splitlines()
    cells = [[float(c) if c else np.nan for c in line.split(",")] for line in table[1:]]
    np.testing.assert_allclose(np.array(cells)[:, 1:].T, mv, atol=0.5e-4 + 1e-6)


def test_csv_of_a_page_that_could_not_be_read(tmp_path: Path) -> None:
    again = load(save(Recording.empty(), tmp_path / "page.csv"))
    assert again.mv.shape == (12, 0)
    assert again.fs_hz == 500


def test_csv_with_leads_missing_and_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "page.csv"
    path.write_text("time_s,V1,I\n0.000,1.5,\n0.004,,2\n")
    again = load(path)
    assert again.fs_hz == 250
    np.testing.assert_array_equal(again["V1"], [1.5, np.nan])
    np.testing.assert_array_equal(again["I"], [np.nan, 2])
    assert again.leads == ("I", "V1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line"),
        ("a,b\n1,2\n", "first line"),
        ("time_s,I,I\n", "first line"),
        ("time_s,I\n0,1,2\n", "2 cells"),
        ("time_s,I\n0,one\n", "could not convert"),
        ("time_s,I\n0,1\n0,2\n", "must grow"),
        ("time_s,I\n0,1\n0.002,2\n0.02,3\n", "uniform"),
    ],
)
def test_files_that_are_no_csv_of_ours(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "page.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_npz_read_by_numpy(tmp_path: Path) -> None:
    recording = sheet()
    with np.load(save(recording, tmp_path / "page.npz"), allow_pickle=False) as archive:
        assert set(archive.files) == {"time_s", "mv", "confidence", "leads", "fs_hz", "metadata"}
        np.testing.assert_array_equal(archive["mv"], recording.mv)
        np.testing.assert_array_equal(archive["confidence"], recording.confidence)
        np.testing.assert_array_equal(archive["time_s"], recording.time_s)
        assert archive["leads"].tolist() == list(LEADS)
        assert json.loads(str(archive["metadata"]))["provenance"]["sha256"] == "ab" * 32


def test_npz_holds_everything(tmp_path: Path) -> None:
    recording = sheet(256.0)
    again = load(save(recording, tmp_path / "page.npz"))
    assert (again.fs_hz, again.status, again.problems, again.segments) == (
        *(recording.fs_hz, recording.status, recording.problems, recording.segments),
    )
    assert again.provenance == recording.provenance
    np.testing.assert_equal(again.quality, recording.quality)
    np.testing.assert_array_equal(again.mv, recording.mv)
    np.testing.assert_array_equal(again.confidence, recording.confidence)


def test_files_that_are_no_npz_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "page.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not an NPZ"):
        load(path)
    np.savez(path, mv=np.zeros((12, 3)))
    with pytest.raises(ValueError, match="not an NPZ"):
        load(path)
    np.savez(path, mv=np.array([{}], dtype=object), confidence=1, leads=LEADS, fs_hz=1, metadata="{}")
    with pytest.raises(ValueError, match="not an NPZ"):
        load(path)
    np.savez(path, mv=np.zeros((12, 3)), confidence=np.zeros((12, 3)), leads=LEADS[::-1], fs_hz=1, metadata="{}")
    with pytest.raises(ValueError, match="leads must be"):
        load(path)
