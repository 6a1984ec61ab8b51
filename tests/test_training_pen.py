"""Training the pen network: rows with their truth, what is learned, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.pen import CHANNELS, LINE  # noqa: E402
from ecglift.training.pen import PenNetwork, Recipe, export, page_rows, pen_loss, piece, stored, train, widened  # noqa: E402
from ecglift.training.signals import Signals  # noqa: E402

pytestmark = pytest.mark.train


def _rows(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows whose error is a part of their bend: what a pen rounds off."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(n):
        x = rng.normal(0, 0.3, (CHANNELS, 600))
        x[LINE.index("bend")] = rng.normal(0, 1, 600)
        off = 0.2 * x[LINE.index("bend")] + rng.laplace(0, 0.01, 600)
        off[100:120] = np.nan
        rows.append((x.astype(np.float16), off.astype(np.float32)))
    return rows


def test_pieces_are_of_one_length_whatever_the_rows() -> None:
    rng = np.random.default_rng(1)
    for n in (100, 512, 3000):
        x, y = piece(rng, (np.zeros((CHANNELS, n), np.float16), np.zeros(n, np.float32)))
        assert x.shape == (CHANNELS, 512)
        assert np.isfinite(y).sum() == min(n, 512)


def test_loss_is_smallest_at_the_truth_and_its_scale() -> None:
    off = torch.from_numpy(np.random.default_rng(2).laplace(0, 0.1, (1, 4000)).astype(np.float32))

    def loss(correction: float, scale: float) -> tuple[float, float]:
        answer = torch.stack([torch.full((1, 4000), correction), torch.full((1, 4000), float(np.log(scale)))], dim=1)
        a, b = pen_loss(answer, off, 0.15)
        return float(a), float(b)

    assert loss(0.0, 0.1)[0] < loss(0.1, 0.1)[0]
    assert loss(0.0, 0.1)[1] < min(loss(0.0, 0.05)[1], loss(0.0, 0.2)[1])


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_learns_what_the_pen_rounds_off(tmp_path: Path) -> None:
    scores = train([[row] for row in _rows(24)], tmp_path, Recipe(minutes=0.1, batch=8, least_steps=60))
    assert scores["rms_after_mm"] < 0.6 * scores["rms_before_mm"]
    assert (tmp_path / "model.onnx").stat().st_size > 100_000


@pytest.mark.filterwarnings("ignore")
def test_exported_file_answers_as_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = PenNetwork()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    example = np.random.default_rng(3).normal(0, 1, (1, CHANNELS, 96)).astype(np.float32)
    assert export(model.eval(), example, tmp_path / "model.onnx") < 1e-3


def test_a_wider_network_answers_as_the_one_it_starts_from() -> None:
    torch.manual_seed(0)
    narrow, wide = PenNetwork(8), PenNetwork(12)
    with torch.no_grad():
        for weight in narrow.parameters():
            weight += 0.05 * torch.randn_like(weight)
    widened(narrow.state_dict(), wide)
    x = torch.randn(2, CHANNELS, 64)
    assert torch.allclose(narrow(x), wide(x), atol=1e-5)
    with pytest.raises(ValueError, match="has the shape"):
        widened(wide.state_dict(), narrow)


def test_rows_of_a_page_lie_near_their_truth() -> None:
    none = Signals(np.zeros((0, 12, 0), np.float32))
    rows = page_rows(np.random.default_rng(4), none, Recipe(competition=1.0, overprinted=0.0))
    assert rows
    for x, off in rows:
        assert x.shape == (CHANNELS, off.size)
        assert np.nanmedian(np.abs(off)) < 0.3


def test_stored_rows_come_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "0-1.npz", x0=np.ones((CHANNELS, 8), np.float16), y0=np.zeros(8, np.float32))
    assert [[x.shape for x, _ in page] for page in stored(tmp_path)] == [[(CHANNELS, 8)]]
