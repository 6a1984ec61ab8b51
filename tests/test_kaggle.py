"""The competition's file: every row that the list asks for, in its order, finite, whatever the images are like."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from ecglift import Recording, Segment, Settings
from ecglift.cli import main
from ecglift.kaggle import Answer, Wanted, answers, n_images, read_list, window, write_submission
from ecglift.leads import LEADS

HEAD = "id,lead,fs,number_of_rows\n"


def _list(path: Path, *lines: str) -> Path:
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _recording(fs_hz: float = 100.0) -> Recording:
    """3×4 with a strip of II: each sample of a lead is its own time in seconds."""
    n, quarter = round(10 * fs_hz), round(2.5 * fs_hz)
    mv = np.full((12, n), np.nan, np.float32)
    segments = []
    for k, lead in enumerate(LEADS):
        a = (k // 3) * quarter
        segments.append(Segment(lead, a, a + quarter, k % 3, k // 3))
        mv[k, a : a + quarter] = np.arange(a, a + quarter) / fs_hz
    mv[1] = np.arange(n) / fs_hz
    segments.append(Segment("II", 0, n, 3, 0, True))
    return Recording(fs_hz, mv, np.isfinite(mv).astype(np.float32), tuple(segments))


def test_list_is_read_line_by_line(tmp_path: Path) -> None:
    lines = read_list(_list(tmp_path / "test.csv", "7,I,250,625", "7,II,250,2500", "9,aVR,1025,2562"))
    assert lines == (Wanted("7", "I", 250, 625), Wanted("7", "II", 250, 2500), Wanted("9", "aVR", 1025, 2562))
    assert n_images(lines) == 2


@pytest.mark.parametrize("line", ["7,I,fast,625", "7,X9,250,625", "7,I,0,625", ",I,250,625", "7,I,250,-1"])
def test_line_that_cannot_be_understood_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        read_list(_list(tmp_path / "test.csv", "7,I,250,625", line))


def test_list_without_its_columns_says_which(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("id,lead\n7,I\n")
    with pytest.raises(ValueError, match="no column fs, number_of_rows"):
        read_list(path)


def test_short_lead_is_its_own_quarter() -> None:
    values = window(_recording(), Wanted("7", "V1", 100, 250))
    np.testing.assert_allclose(values, 5.0 + np.arange(250) / 100, atol=1e-6)


def test_number_of_rows_tells_strip_from_quarter() -> None:
    recording = _recording()
    np.testing.assert_allclose(window(recording, Wanted("7", "II", 100, 1000)), np.arange(1000) / 100, atol=1e-6)
    np.testing.assert_allclose(window(recording, Wanted("7", "II", 100, 250)), np.arange(250) / 100, atol=1e-6)


def test_other_rate_keeps_the_time() -> None:
    values = window(_recording(500), Wanted("7", "V4", 250, 625))
    np.testing.assert_allclose(values, 7.5 + np.arange(625) / 250, atol=1e-6)


def test_gaps_are_interpolated_and_unseen_leads_zero() -> None:
    recording = _recording()
    mv = recording.mv.copy()
    mv[0, 100:120] = np.nan
    mv[2] = np.nan
    holed = Recording(100, mv, np.isfinite(mv).astype(np.float32), recording.segments)
    np.testing.assert_allclose(window(holed, Wanted("7", "I", 100, 250)), np.arange(250) / 100, atol=1e-6)
    assert not window(holed, Wanted("7", "III", 100, 250)).any()
    assert not window(Recording.empty(), Wanted("7", "I", 100, 250)).any()


def test_more_rows_than_printed_are_held_not_missing() -> None:
    values = window(_recording(), Wanted("7", "I", 100, 260))
    assert values[-1] == pytest.approx(2.49)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_stand_in_the_order_of_the_list(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    lines = (Wanted("9", "II", 100, 2), Wanted("7", "I", 100, 3), Wanted("9", "I", 100, 1))
    given = [
        Answer("7", {lines[1]: np.array([0.1, 0.2, 0.3])}, True),
        Answer("9", {lines[0]: np.zeros(2), lines[2]: np.zeros(1)}, False, "is a cat"),
    ]
    path = tmp_path / f"submission{suffix}"
    unread = write_submission(path, lines, given)
    assert [answer.message for answer in unread] == ["is a cat"]
    if suffix == ".csv":
        with path.open(newline="") as file:
            head, *rows = csv.reader(file)
        assert head == ["id", "value"]
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        assert table.column_names == ["id", "value"]
        rows = list(zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert [row[0] for row in rows] == ["9_0_II", "9_1_II", "7_0_I", "7_1_I", "7_2_I", "9_0_I"]
    np.testing.assert_allclose([float(row[1]) for row in rows], [0, 0, 0.1, 0.2, 0.3, 0], atol=1e-6)


def test_other_suffix_is_a_bad_call(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        write_submission(tmp_path / "submission.xlsx", (), ())


def test_unreadable_and_missing_images_still_have_their_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "7.png").write_text("no picture")
    listed = _list(tmp_path / "test.csv", "7,I,250,5", "8,II,250,6")
    found = list(answers(read_list(listed), tmp_path, Settings()))
    assert [(answer.id, answer.read) for answer in found] == [("7", False), ("8", False)]
    out = tmp_path / "new" / "submission.csv"
    with pytest.raises(SystemExit) as end:
        main(["kaggle", str(listed), str(tmp_path), "-o", str(out)])
    assert end.value.code == 1
    shown = capsys.readouterr()
    assert shown.out.strip() == str(out)
    assert "7: could not be read, its rows are zero" in shown.err
    assert "there is no image 8.*" in shown.err
    rows = out.read_text().splitlines()[1:]
    assert len(rows) == 11
    assert all(math.isfinite(float(row.rsplit(",", 1)[1])) for row in rows)
