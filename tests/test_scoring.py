"""Scores of files: the competition's own numbers from its own kind of file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecglift.cli import main
from ecglift.scoring import score_files

METRIC = Path(__file__).resolve().parents[2] / "shared" / "data" / "metric"


def _competition_file(path: Path, images: dict[str, dict[str, np.ndarray]]) -> Path:
    signals = [(image, lead, x) for image, leads in images.items() for lead, x in leads.items()]
    rows = [f"{image}_{k}_{lead},{value!r}" for image, lead, x in signals for k, value in enumerate(x.tolist())]
    path.write_text("id,value\n" + "\n".join(rows) + "\n")
    return path


def _signal(n: int, seed: int) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=n)) / 10


def test_golden_cases_of_the_competition(tmp_path: Path) -> None:
    if not METRIC.is_dir():
        pytest.skip("shared data not there")
    expected = json.loads((METRIC / "expected.json").read_text())
    cases = np.load(METRIC / "cases.npz")
    sides: dict[str, dict[str, dict[str, np.ndarray]]] = {"truth": {}, "prediction": {}}
    for key in cases:
        image, lead, side = key.split("/")
        sides[side].setdefault(image, {})[lead] = cases[key]
    truth, predicted = (_competition_file(tmp_path / f"{side}.csv", sides[side]) for side in ("truth", "prediction"))
    table = score_files(predicted, truth)
    for image in table.images:
        assert image.snr_db == pytest.approx(expected["images"][image.name]["score_db"], abs=1e-5)
    assert table.score.official_db == pytest.approx(expected["all_images_score_db"], abs=1e-5)


def test_image_without_prediction_scores_as_zeros_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leads = {"I": _signal(250, 1), "II": _signal(1000, 2)}
    truth = _competition_file(tmp_path / "truth.csv", {"a": leads, "b": leads})
    predicted = _competition_file(tmp_path / "predicted.csv", {"a": leads})
    with pytest.raises(SystemExit) as end:
        main(["score", str(predicted), str(truth), "--json"])
    assert end.value.code == 1
    shown = capsys.readouterr()
    table = json.loads(shown.out)
    assert table["missing"] == ["b"]
    assert [round(image["snr_db"], 6) for image in table["images"]] == [60.0, 0.0]
    assert "b: there is no prediction" in shown.err


def test_table_says_what_the_official_number_hides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leads = {"II": _signal(1000, 3)}
    truth = _competition_file(tmp_path / "truth.csv", {"a": leads, "b": leads})
    with pytest.raises(SystemExit) as end:
        main(["score", str(truth), str(truth)])
    assert end.value.code == 0
    assert "2 images: official score 60.00 dB" in capsys.readouterr().out


def test_row_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,value\n7_0_I,0.5\nnonsense,1\n")
    with pytest.raises(ValueError, match="'nonsense'"):
        score_files(path, path)


def test_folder_against_file_is_a_bad_call(tmp_path: Path) -> None:
    path = _competition_file(tmp_path / "x.csv", {"a": {"II": _signal(100, 4)}})
    with pytest.raises(ValueError, match="both are folders, or both are files"):
        score_files(tmp_path, path)
