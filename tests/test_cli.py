"""The command line: what is printed where, exit codes, and that a person is never shown a traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ecglift import Digitizer, Recording, Settings, __version__, batch
from ecglift.cli import main
from ecglift.paper import Layout, Panel
from ecglift.pipeline import Step
from ecglift.problem import fail
from ecglift.stages.layout import SheetReading

Ecglift = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ecglift(capsys: pytest.CaptureFixture[str]) -> Ecglift:
    """Runs the command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, shown.out, shown.err

    return run


@pytest.fixture
def tiny_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of tiny stages: a page whose first pixel is white holds lead II, any other is no ECG."""

    def read(settings: Settings, page: Any) -> SheetReading:
        if page.image[0, 0, 0] < 128:
            raise fail("grid-not-found", "grid", "no ECG paper grid was found")
        return SheetReading(Layout("1x1", (Panel("II", 0, 0, 10.0, 35.0, 50.0),)))

    def measure(settings: Settings, reading: SheetReading) -> Recording:
        mv = np.full((12, 4), np.nan, np.float32)
        mv[1] = [0.0, 0.25, -1.5, 0.0]
        quality = {"double_gain_II": float("nan")}
        return Recording(settings.fs_hz, mv, np.isfinite(mv).astype(np.float32), quality=quality)

    line = (Step("layout", read, ("page",), ("reading",)), Step("signal", measure, ("reading",), ("signal",)))
    monkeypatch.setattr(batch, "Digitizer", lambda settings: Digitizer(settings, {"raster": line}))


def _page(path: Path, *shades: int) -> Path:
    """An image file with one page per shade of grey."""
    pages = [Image.new("L", (80, 60), shade) for shade in shades]
    pages[0].save(path, save_all=len(pages) > 1, append_images=pages[1:]) if len(pages) > 1 else pages[0].save(path)
    return path


def test_version(ecglift: Ecglift) -> None:
    assert ecglift("--version") == (0, f"{__version__}\n", "")


@pytest.mark.usefixtures("tiny_line")
def test_page_becomes_csv_and_its_name_goes_to_stdout(ecglift: Ecglift, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    code, stdout, stderr = ecglift("digitize", _page(tmp_path / "a.png", 255), "-o", out)
    assert (code, stdout) == (0, f"{out / 'a.csv'}\n")
    assert stderr.strip() == f"{tmp_path / 'a.png'}: ok"
    lines = (out / "a.csv").read_text().splitlines()
    assert lines[0] == "time_s,I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    cells = lines[2].split(",")
    assert (float(cells[0]), cells[1], float(cells[2])) == (0.002, "", 0.25)
    assert len(lines) == 5


@pytest.mark.usefixtures("tiny_line")
def test_without_folder_one_file_goes_to_stdout(
    ecglift: Ecglift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = _page(tmp_path / "a.png", 255)
    code, from_file, _ = ecglift("digitize", page, "--fs", 250)
    assert code == 0
    assert from_file.splitlines()[2].startswith("0.004")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(page.read_bytes())))
    assert ecglift("digitize", "-", "--fs", 250)[:2] == (0, from_file)


@pytest.mark.usefixtures("tiny_line")
def test_several_formats_at_once(ecglift: Ecglift, tmp_path: Path) -> None:
    page = _page(tmp_path / "a.png", 255)
    code, stdout, _ = ecglift("digitize", page, "-o", tmp_path, "--to", "npz,hea", "--to", "csv")
    assert code == 0
    assert [Path(line).name for line in stdout.splitlines()] == ["a.npz", "a.hea", "a.csv"]
    assert (tmp_path / "a.dat").is_file()


@pytest.mark.usefixtures("tiny_line")
def test_format_that_cannot_hold_a_page_stops_no_other(
    ecglift: Ecglift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ecglift.formats import npz

    def refuse(recording: Recording, name: str) -> dict[str, bytes]:
        raise ValueError("too long for this format")

    monkeypatch.setattr(npz, "encode", refuse)
    code, stdout, stderr = ecglift("digitize", _page(tmp_path / "a.png", 255), "-o", tmp_path, "--to", "npz,csv")
    assert code == 1
    assert stdout == f"{tmp_path / 'a.csv'}\n"
    assert "a.npz could not be written: too long for this format" in stderr


@pytest.mark.usefixtures("tiny_line")
def test_json_without_folder_writes_nothing(ecglift: Ecglift, tmp_path: Path) -> None:
    code, stdout, _ = ecglift("digitize", _page(tmp_path / "a.png", 255), "--json")
    page = json.loads(stdout)
    assert (code, page["status"], page["written"], page["page"]) == (0, "ok", [], 1)
    assert page["quality"] == {"double_gain_II": None}
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.usefixtures("tiny_line")
@pytest.mark.parametrize("shade", [0, 255])
def test_overlay_is_written_also_of_a_page_that_failed(ecglift: Ecglift, tmp_path: Path, shade: int) -> None:
    out = tmp_path / "out"
    code, stdout, _ = ecglift("digitize", _page(tmp_path / "a.png", shade), "-o", out, "--overlay")
    assert code == (0 if shade else 1)
    assert stdout.splitlines()[-1] == str(out / "a.overlay.png")
    with Image.open(out / "a.overlay.png") as picture:
        assert picture.size[0] >= 80


@pytest.mark.usefixtures("tiny_line")
def test_reports_of_several_pages_have_an_index(ecglift: Ecglift, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, stdout, _ = ecglift("digitize", _page(tmp_path / "a.tif", 0, 255), "-o", out, "--report", "--report-png")
    assert code == 0
    names = [Path(line).name for line in stdout.splitlines()]
    page1 = ["a-page1.report.html", "a-page1.report.png"]
    assert names == [*page1, "a.csv", "a.report.html", "a.report.png", "index.html"]
    assert (out / "a.report.png").read_bytes().startswith(b"\x89PNG")
    assert all(name in (out / "index.html").read_text() for name in ("a.report.html", "a-page1.report.html"))
    assert "no ECG paper grid was found" in (out / "a-page1.report.html").read_text()


@pytest.mark.usefixtures("tiny_line")
def test_report_with_a_cover_letter(ecglift: Ecglift, tmp_path: Path) -> None:
    report = _page(tmp_path / "report.tif", 0, 255, 255, 0)
    code, stdout, stderr = ecglift("digitize", report, "-o", tmp_path / "out")
    assert code == 0
    assert [Path(line).name for line in stdout.splitlines()] == ["report.csv", "report-page3.csv"]
    assert f"{report}, page 1: skipped" in stderr
    assert f"{report}, page 4: skipped" in stderr


@pytest.mark.usefixtures("tiny_line")
def test_report_without_any_ecg_is_a_failure(ecglift: Ecglift, tmp_path: Path) -> None:
    code, stdout, stderr = ecglift("digitize", _page(tmp_path / "letter.tif", 0, 0), "-o", tmp_path / "out")
    assert (code, stdout) == (1, "")
    assert "page 2: failed" in stderr


@pytest.mark.usefixtures("tiny_line")
def test_missing_extra_is_told_with_its_name(ecglift: Ecglift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.delitem(sys.modules, "ecglift.formats.dicom", raising=False)
    code, _, stderr = ecglift("digitize", _page(tmp_path / "a.png", 255), "-o", tmp_path, "--to", "dicom")
    assert code == 1
    assert "ecglift[dicom]" in stderr


def test_each_failed_file_is_named_and_the_rest_goes_on(ecglift: Ecglift, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"no picture at all, only words")
    code, stdout, stderr = ecglift("digitize", tmp_path, tmp_path / "none.png", "-o", tmp_path / "out")
    assert (code, stdout) == (1, "")
    assert [line for line in stderr.splitlines() if line.startswith("[")] == [
        f"[1/3] {tmp_path / 'a.png'}: failed",
        f"[2/3] {tmp_path / 'b.png'}: failed",
        f"[3/3] {tmp_path / 'none.png'}: failed",
    ]
    assert "no such file" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitize"], "no images to read"),
        (["digitize", "x.png", "--fs", "nan", "-o", "out"], "fs_hz must"),
        (["digitize", "x.png", "--gain", "-1", "-o", "out"], "gain_mm_mv must"),
        (["digitize", "x.png", "--to", "docx", "-o", "out"], "docx is not known"),
        (["digitize", "x.png", "-j", "-2", "-o", "out"], "--jobs must be 0"),
        (["digitize", "x.png", "--overlay"], "-o DIR"),
        (["digitize", "x.png", "y.png"], "-o DIR"),
        (["digitize", "x.png", "--sharpen"], "there is no option --sharpen"),
        (["digitise", "x.png"], "digitise"),
    ],
)
def test_wrong_usage_says_what_to_change(ecglift: Ecglift, arguments: list[str], message: str) -> None:
    code, stdout, stderr = ecglift(*arguments)
    assert (code, stdout) == (2, "")
    assert message in stderr


def test_ctrl_c_is_exit_code_130_without_traceback(tmp_path: Path) -> None:
    for k in range(200):
        (tmp_path / f"{k}.png").write_bytes(b"")
    command = [sys.executable, "-c", "from ecglift.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "digitize", str(tmp_path), "-o", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite that a script runs in the background ignores the signal, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    began = time.monotonic()
    _, rest = process.communicate(timeout=30)
    assert first.startswith("[1/200]")
    assert process.returncode == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert time.monotonic() - began < 20
