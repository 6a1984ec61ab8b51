import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecglift import formats
from ecglift.formats.columns import Column, microvolts, printed_columns, runs
from ecglift.formats.metadata import metadata
from ecglift.leads import LEADS
from ecglift.recording import Recording
from format_samples import sheet


def test_importing_the_registry_imports_no_writer_and_nothing_slow() -> None:
    slow = ("ecglift.formats.", "pydicom", "edfio", "scipy", "xml", "zipfile")
    code = f"import sys, ecglift.formats; print([m for m in sys.modules if m.startswith({slow})])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_every_format_by_name_and_suffix() -> None:
    assert set(formats.formats()) == {"csv", "npz", "wfdb", "dicom", "aecg", "fhir", "edf"}
    for suffix, found in formats.writers().items():
        assert formats.format_of(f"page.1{suffix}") is found
        assert formats.format_of(f"PAGE{suffix.upper()}") is found
    assert formats.format_of("a.bin", "WFDB").name == "wfdb"


@pytest.mark.parametrize("path", ["page.xyz", "page", "page.csv.gz"])
def test_an_unknown_suffix_names_those_that_are_known(path: str) -> None:
    with pytest.raises(ValueError, match=r"no format has the suffix.*wfdb \(\.hea\)"):
        formats.save(sheet(), path)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="format 'matlab' is unknown"):
        formats.save(sheet(), "page.csv", "matlab")


@pytest.mark.parametrize("name", ["csv", "npz", "wfdb", "dicom", "aecg", "fhir", "edf"])
def test_saving_gives_the_file_and_leaves_nothing_else(name: str, tmp_path: Path) -> None:
    for package, needed_by in (("pydicom", "dicom"), ("edfio", "edf")):
        if name == needed_by:
            pytest.importorskip(package)
    chosen = formats.formats()[name]
    path = tmp_path / f"page{chosen.suffixes[0]}"
    for _ in range(2):  # writing over an older file is no error
        assert formats.save(sheet(), path) == path
    assert {p.name for p in tmp_path.iterdir()} == ({"page.hea", "page.dat"} if name == "wfdb" else {path.name})


def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.csv"
    path.write_text("old")

    def no_space(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="no space left"):
        formats.save(sheet(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["page.csv"]
    assert path.read_text() == "old"


def test_a_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    path = formats.save(sheet(), tmp_path / "page.csv")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize(("name", "package", "extra"), [("dicom", "pydicom", "dicom"), ("edf", "edfio", "edf")])
def test_a_missing_extra_is_named(
    name: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'ecglift\[{extra}\]'"):
        formats.save(sheet(), tmp_path / "page", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["wfdb", "dicom", "aecg", "fhir", "edf"])
def test_a_recording_without_samples_is_refused_where_the_format_cannot_say_so(name: str, tmp_path: Path) -> None:
    for package, needed_by in (("pydicom", "dicom"), ("edfio", "edf")):
        if name == needed_by:
            pytest.importorskip(package)
    with pytest.raises(ValueError, match="holds no sample"):
        formats.save(Recording.empty(), tmp_path / "page", name)


@pytest.mark.parametrize("suffix", [".dcm", ".xml", ".json", ".edf"])
def test_formats_that_are_only_written(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written only; \.csv, \.npz, \.hea are read back"):
        formats.load(tmp_path / f"page{suffix}")


def test_metadata_is_plain_json() -> None:
    recording = sheet()
    values = json.loads(json.dumps(metadata(recording), allow_nan=False))
    assert values["software"].startswith("ecglift ")
    assert values["quality"] == {"einthoven_db": -31.5, "goldberger_db": None}
    assert values["provenance"] == recording.provenance
    assert values["confidence"] == dict.fromkeys(LEADS, 0.9)
    assert values["problems"][0]["code"] == "gain-assumed"
    assert len(values["segments"]) == len(recording.segments)
    odd = {"path": Path("a"), "n": np.int64(3), "t": (1, 2)}
    told = Recording(500, np.zeros((12, 1)), np.zeros((12, 1)), provenance=odd)
    assert metadata(told)["provenance"] == {"path": "a", "n": 3, "t": [1, 2]}


def test_printed_columns() -> None:
    n = 5000
    assert printed_columns(sheet()) == (
        Column(("I", "III"), 0, 1250),
        Column(("aVR", "aVL", "aVF"), 1250, 2500),
        Column(("V1", "V2", "V3"), 2500, 3750),
        Column(("V4", "V5", "V6"), 3750, 5000),
        Column(("II",), 0, n),
    )
    everything = Recording(500, np.zeros((12, n)), np.ones((12, n)))
    assert printed_columns(everything) == (Column(LEADS, 0, n),)


def test_leads_of_a_column_need_not_end_at_the_same_sample() -> None:
    mv = np.full((12, 5000), np.nan)
    mv[0, 5:2490], mv[1, 0:2500], mv[3, 2500:4990], mv[4, 2510:5000] = 0, 0, 0, 0
    columns = printed_columns(Recording(500, mv, np.zeros((12, 5000))))
    assert columns == (Column(("I", "II"), 0, 2500), Column(("aVR", "aVL"), 2500, 5000))


def test_runs() -> None:
    assert runs(np.array([np.nan, 1, 1, np.nan, 1])) == [(1, 3), (4, 5)]
    assert runs(np.full(3, np.nan)) == []


def test_microvolts_round_and_mark_what_is_missing() -> None:
    np.testing.assert_array_equal(microvolts(np.array([0.0014, -0.0016, np.nan, 32.767])), [1, -2, -32768, 32767])
    with pytest.raises(ValueError, match=r"mv reaches 32\.8 mV"):
        microvolts(np.array([-32.768]))
