from pathlib import Path

import numpy as np
import pytest

from ecglift.formats import load, save
from ecglift.recording import Recording
from format_samples import sheet

wfdb = pytest.importorskip("wfdb")


def saved(tmp_path: Path, recording: Recording | None = None, name: str = "page.hea") -> Path:
    return save(recording or sheet(), tmp_path / name)


def test_read_by_wfdb(tmp_path: Path) -> None:
    recording = sheet()
    read = wfdb.rdrecord(str(saved(tmp_path).with_suffix("")))
    assert (read.record_name, read.fs, read.sig_len, read.n_sig) == ("page", 500, 5000, 12)
    assert tuple(read.sig_name) == recording.leads
    np.testing.assert_allclose(read.p_signal.T, recording.mv, atol=0.5e-3 + 1e-6)


def test_samples_are_format_16_at_1000_per_mv(tmp_path: Path) -> None:
    read = wfdb.rdheader(str(saved(tmp_path).with_suffix("")))
    assert read.fmt == ["16"] * 12
    assert read.adc_gain == [1000.0] * 12
    assert read.baseline == [0] * 12
    assert read.units == ["mV"] * 12
    assert read.adc_res == [16] * 12


def test_a_missing_sample_is_minus_32768_little_endian_and_interleaved(tmp_path: Path) -> None:
    recording = sheet()
    saved(tmp_path)
    samples = np.frombuffer((tmp_path / "page.dat").read_bytes(), "<i2").reshape(5000, 12)
    np.testing.assert_array_equal(samples.T == -32768, np.isnan(recording.mv))
    assert samples[100, 0] == round(1000 * float(recording["I"][100]))


def test_checksums_and_first_values_are_right(tmp_path: Path) -> None:
    header = wfdb.rdheader(str(saved(tmp_path).with_suffix("")))
    samples = np.frombuffer((tmp_path / "page.dat").read_bytes(), "<i2").reshape(5000, 12)
    assert header.checksum == [int(np.int64(column.sum(dtype=np.int64)).astype(np.int16)) for column in samples.T]
    assert header.init_value == samples[0].tolist()
    digital = wfdb.rdrecord(str(tmp_path / "page"), physical=False)
    assert [c % 65536 for c in digital.calc_checksum()] == [c % 65536 for c in header.checksum]


def test_comments_tell_source_and_quality_in_short_lines_of_ascii(tmp_path: Path) -> None:
    path = saved(tmp_path)
    comments = wfdb.rdheader(str(path.with_suffix(""))).comments
    assert "source: Pr?fung 1.png" in comments
    assert f"sha256: {'ab' * 32}" in comments
    assert "status: partial" in comments
    assert "problems: gain-assumed" in comments
    assert any(c.startswith("confidence: I=0.9 II=0.9") for c in comments)
    lines = path.read_bytes().split(b"\n")
    assert max(map(len, lines)) <= 255
    assert all(byte < 128 for line in lines for byte in line)


def test_only_printed_leads_are_written(tmp_path: Path) -> None:
    mv = np.full((12, 100), np.nan)
    mv[1], mv[7, 10:] = 0.5, -0.5
    read = wfdb.rdrecord(str(saved(tmp_path, Recording(360, mv, np.zeros((12, 100)))).with_suffix("")))
    assert read.sig_name == ["II", "V2"]
    assert np.isnan(read.p_signal[:10, 1]).all()


@pytest.mark.parametrize("fs_hz", [250.0, 333.5, 1025.0])
@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_round_trip(fs_hz: float, suffix: str, tmp_path: Path) -> None:
    recording = sheet(fs_hz)
    assert saved(tmp_path, recording, f"page{suffix}") == tmp_path / "page.hea"
    again = load(tmp_path / f"page{suffix}")
    assert (again.fs_hz, again.status, again.problems, again.segments) == (
        *(recording.fs_hz, recording.status, recording.problems, recording.segments),
    )
    assert again.provenance == recording.provenance
    np.testing.assert_allclose(again.mv, recording.mv, atol=0.5e-3 + 1e-6)
    np.testing.assert_allclose(again.confidence, recording.confidence, atol=1e-4)


def test_names_that_wfdb_does_not_know(tmp_path: Path) -> None:
    path = saved(tmp_path, name="page 1.2 (ü).hea")
    assert path.name == "page 1.2 (ü).hea"
    assert (tmp_path / "page_1_2____.dat").exists()
    np.testing.assert_allclose(wfdb.rdrecord(str(path)[:-4]).p_signal.T, sheet().mv, atol=0.5e-3 + 1e-6)
    np.testing.assert_allclose(load(path).mv, sheet().mv, atol=0.5e-3 + 1e-6)


@pytest.mark.filterwarnings("ignore")  # wfdb's writer uses pandas in a way that pandas no longer likes
def test_records_of_others_are_read(tmp_path: Path) -> None:
    signal = np.stack([np.linspace(-1, 1, 50), np.full(50, np.nan)], axis=1)
    wfdb.wrsamp(
        "other",
        360,
        ["mV", "uV"],
        ["II", "v5"],
        signal * [1, 1000],
        fmt=["16", "16"],
        adc_gain=[200.0, 0.5],
        baseline=[-10, 5],
        write_dir=str(tmp_path),
    )
    again = load(tmp_path / "other.hea")
    assert again.fs_hz == 360
    np.testing.assert_allclose(again["II"], signal[:, 0], atol=0.5 / 200 + 1e-6)
    assert again.leads == ("II",)
    assert np.isnan(again.confidence[1]).all()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("page", "not a WFDB header"),
        ("page 1 500 10\npage.dat 212 200 12 0 0 0 0 II", "format 16"),
        ("page 1 500 10\npage.dat 16 200/mmHg 12 0 0 0 0 II", "not a WFDB header"),
        ("page 1 500 10\npage.dat 16 200/mV 12 0 0 0 0 PLETH", "ECG leads"),
        ("page 1 500 10\npage.dat 16 200/mV 12 0 0 0 0 II", "shorter"),
    ],
)
def test_records_that_are_none_of_ours(header: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "page.hea").write_text(header + "\n")
    (tmp_path / "page.dat").write_bytes(b"12345678")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "page.hea")
