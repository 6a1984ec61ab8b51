"""Training the tempo network: pieces on paper, what is learned, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.training.signals import Signals  # noqa: E402
from ecglift.training.tempo import STEP_MM, Recipe, on_paper, train  # noqa: E402

pytestmark = pytest.mark.train


def test_twice_the_speed_is_twice_the_paper() -> None:
    mv = np.zeros((12, 1000), np.float32)
    longest = {
        speed: max(len(run) for seed in range(20) for run in on_paper(np.random.default_rng(seed), mv, 500.0, speed)[1])
        for speed in (12.5, 50.0)
    }
    assert longest == {12.5: int(2 * 12.5 / STEP_MM), 50.0: int(2 * 50 / STEP_MM)}


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_tells_most_speeds(tmp_path: Path) -> None:
    none = Signals(np.zeros((0, 12, 0), np.float32))
    scores = train(none, none, tmp_path, Recipe(pieces=60, held_out=30, steps=300))
    assert scores["right"] > 0.7
    assert (tmp_path / "model.onnx").stat().st_size > 5_000
