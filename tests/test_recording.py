"""A recording: what it holds, what it refuses to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecglift import Recording
from ecglift.formats import load


def _recording() -> Recording:
    mv = np.full((12, 250), np.nan, np.float32)
    mv[1] = np.linspace(-1, 1, 250)
    return Recording(500, mv, np.isfinite(mv).astype(np.float32))


def test_leads_by_any_usual_spelling() -> None:
    recording = _recording()
    np.testing.assert_array_equal(recording["II"], recording["lead ii"])
    assert np.isnan(recording["V1"]).all()
    assert recording.leads == ("II",)
    with pytest.raises(KeyError, match="'V7' is no lead"):
        recording["V7"]


def test_time_begins_at_the_left_edge() -> None:
    recording = _recording()
    assert (len(recording), recording.duration_s) == (250, 0.5)
    np.testing.assert_allclose(recording.time_s[:3], [0, 0.002, 0.004])


def test_samples_cannot_be_changed_by_accident() -> None:
    mv = np.zeros((12, 3), np.float32)
    recording = Recording(500, mv, mv)
    mv[0] = 1
    assert not recording.mv.any()
    with pytest.raises(ValueError, match="read-only"):
        recording.mv[0, 0] = 1


@pytest.mark.parametrize(
    ("fs_hz", "mv_shape", "confidence_shape", "message"),
    [
        (0, (12, 3), (12, 3), "fs_hz must be positive"),
        (500, (11, 3), (11, 3), r"mv must be \(12, n\)"),
        (500, (12, 3), (12, 4), "differ in shape"),
    ],
)
def test_what_is_no_recording_is_a_bad_call(
    fs_hz: float, mv_shape: tuple[int, int], confidence_shape: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Recording(fs_hz, np.zeros(mv_shape, np.float32), np.zeros(confidence_shape, np.float32))


def test_save_goes_by_the_suffix(tmp_path: Path) -> None:
    recording = _recording()
    path = recording.save(tmp_path / "out.csv")
    np.testing.assert_allclose(load(path)["II"], recording["II"], atol=1e-4)


def test_text_and_notebook_say_the_same() -> None:
    recording = _recording()
    assert "1 lead, 0.50 s at 500 Hz" in repr(recording)
    assert "1 lead, 0.50 s at 500 Hz" in recording._repr_html_()
    assert "<svg" in recording._repr_html_()


def test_plot_is_a_drawing_to_scale(tmp_path: Path) -> None:
    path = _recording().plot("12x1", speed_mm_s=50).save(tmp_path / "plot.svg")
    assert "50 mm/s" in path.read_text()


def test_empty_is_the_answer_for_a_page_that_could_not_be_read() -> None:
    empty = Recording.empty(250)
    assert (len(empty), empty.status, empty.leads, empty.fs_hz) == (0, "failed", (), 250)
