"""Training the direction network: what is learned of a little, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.direction import LENGTH  # noqa: E402
from ecglift.training.direction import DirectionNetwork, Recipe, train  # noqa: E402
from ecglift.training.signals import Signals  # noqa: E402

pytestmark = pytest.mark.train


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_tells_most_lines(tmp_path: Path) -> None:
    none = Signals(np.zeros((0, 12, 0), np.float32))
    scores = train(none, none, tmp_path, Recipe(sheets=150, held_out=60, steps=250))
    assert scores["pieces_right"] > 0.65
    assert (tmp_path / "model.onnx").stat().st_size > 20_000


def test_a_turned_piece_gets_the_opposite_answer() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, LENGTH)
    model = DirectionNetwork().eval()
    assert torch.allclose(model(x), -model(-x.flip(1)), atol=1e-5)
