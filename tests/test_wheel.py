"""The contracts of the command line, through the installed wheel in an environment that holds nothing else."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "scan.jpg"


def _run(command: list[str], stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONWARNINGS"}
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(command, capture_output=True, check=False, env=env, input=stdin, cwd=cwd)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built with this environment's hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    done = _run([*pip, "--wheel-dir", str(folder), str(ROOT)])
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("ecglift-*.whl")
    return path


@pytest.fixture(scope="module")
def ecglift(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command of an empty environment into which the wheel was installed.

    The packages that it depends on are borrowed from this environment by path, so that the test needs neither minutes
    nor a network. The project's own editable installation is not borrowed: it is a .pth file, and those of borrowed
    folders are not followed.
    """
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(home / "bin" / "python")]
    done = _run([*pip, "install", "--no-deps", "--no-index", str(wheel)])
    assert done.returncode == 0, done.stderr
    (site,) = (home / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(f"{Path(np.__file__).parents[1]}\n")
    where = _run([str(home / "bin" / "python"), "-c", "import ecglift; print(ecglift.__file__)"], cwd=home)
    assert where.stdout.startswith(str(home)), where
    return str(home / "bin" / "ecglift")


def test_wheel_holds_the_models_and_little_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "ecglift/py.typed" in names
    source = ROOT / "src" / "ecglift"
    for path in (source / "models").glob("*/*"):
        assert f"ecglift/{path.relative_to(source).as_posix()}" in names
    assert not [name for name in names if name.startswith(("tests", "examples"))]
    assert wheel.stat().st_size < 60_000_000


def test_version_and_help(ecglift: str) -> None:
    done = _run([ecglift, "--version"])
    assert (done.returncode, done.stdout) == (0, "0.1.0\n")
    began = time.perf_counter()
    done = _run([ecglift, "--help"])
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("digitize", "score", "kaggle"))
    assert time.perf_counter() - began < 5  # half a second is the aim; a busy machine must not fail the test


def test_page_becomes_csv(ecglift: str, tmp_path: Path) -> None:
    done = _run([ecglift, "digitize", str(EXAMPLE), "-o", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'scan.csv'}\n"
    with (tmp_path / "scan.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["time_s", *LEADS]
    np.testing.assert_allclose([float(row[0]) for row in rows], np.arange(len(rows)) / 500, atol=1e-9)
    assert len(rows) == pytest.approx(5000, abs=25)


def test_json_is_one_object_a_page(ecglift: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    done = _run([ecglift, "digitize", str(EXAMPLE), str(bad), "--json"])
    assert done.returncode == 1
    good, failed = (json.loads(line) for line in done.stdout.splitlines())
    assert (good["source"], failed["source"]) == (str(EXAMPLE), str(bad))
    assert good["status"] in {"ok", "partial"}
    assert failed["status"] == "failed"
    keys = {"status", "problems", "layout", "speed_mm_s", "gain_mm_mv", "px_per_mm", "rotation_deg"}
    assert keys | {"confidence", "timings_s", "models"} <= set(good)
    assert (good["speed_mm_s"], good["gain_mm_mv"]) == (25.0, 10.0)


def test_stdin_gives_csv_on_stdout(ecglift: str) -> None:
    done = _run([ecglift, "digitize", "-"], stdin=EXAMPLE.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("time_s,I,II,III,")


def test_bad_input_is_told_and_the_others_are_done(ecglift: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = tmp_path / "pages"
    pages.mkdir()
    whole = EXAMPLE.read_bytes()
    (pages / "cut.jpg").write_bytes(whole[: len(whole) // 3])
    (pages / "empty.png").write_bytes(b"")
    (pages / "letter.png").write_text("Dear colleague, thank you for sending this patient.\n" * 40)
    Image.fromarray(rng.integers(0, 255, (1, 1, 3), np.uint8)).save(pages / "dot.png")
    Image.new("1", (30_000, 30_000)).save(pages / "huge.png")
    blob = rng.normal(size=(12, 16, 3)).cumsum(axis=0).cumsum(axis=1)
    blob = (255 * (blob - blob.min()) / np.ptp(blob)).astype(np.uint8)
    Image.fromarray(blob).resize((1600, 1200), Image.Resampling.BICUBIC).save(pages / "cat.jpg")
    (pages / "zz-good.jpg").write_bytes(whole)
    done = _run([ecglift, "digitize", str(pages), "-o", str(tmp_path / "out"), "-j", "2"])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["zz-good.csv"]
    for name in ("cut.jpg", "empty.png", "letter.png", "dot.png", "huge.png", "cat.jpg"):
        assert f"{name}: failed" in done.stderr
    assert "internal-error" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["digitize"],
        ["digitize", "--no-such-option"],
        ["digitize", "x.png", "-o", "out", "--fs", "0"],
        ["digitize", "x.png", "-o", "out", "--layout", "4x3"],
        ["digitize", "x.png", "-o", "out", "--to", "docx"],
        ["digitize", "a.png", "b.png"],
        ["kaggle", "test.csv"],
        ["kaggle", "missing.csv", ".", "-o", "submission.csv"],
        ["score", "missing.csv", "missing.csv"],
        ["paint"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(ecglift: str, arguments: list[str], tmp_path: Path) -> None:
    done = _run([ecglift, *arguments], cwd=tmp_path)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
