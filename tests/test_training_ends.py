"""Training the network of ends: places with their truth, what is learned, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.ends import BINS, CHANNELS, SIDE_PX  # noqa: E402
from ecglift.training.ends import (  # noqa: E402
    EndsNetwork,
    Recipe,
    Store,
    export,
    page_ends,
    place_loss,
    train,
)
from ecglift.training.signals import Signals  # noqa: E402

pytestmark = pytest.mark.train


def _stored(folder: Path, pages: int) -> None:
    """Lines in the middle that begin anywhere."""
    rng = np.random.default_rng(0)
    for k in range(pages):
        true = rng.uniform(12, 40, 24).astype(np.float32)
        seen = np.full((24, 4, SIDE_PX, SIDE_PX), 32, np.uint8)
        for one, at in zip(seen, true, strict=True):
            cover = np.clip(np.arange(SIDE_PX) + 0.5 - at, 0, 1)
            one[:3, SIDE_PX // 2] = np.round(32 + 120 * cover).astype(np.uint8)
            one[3] = 0
        np.savez(folder / f"0-{k}.npz", seen=seen, true=true, about=np.zeros((24, 2), np.bool_))


def test_the_same_pages_are_held_out_when_more_are_added(tmp_path: Path) -> None:
    _stored(tmp_path, 13)
    assert len(Store.of(tmp_path, True)) == 2 * 24
    assert len(Store.of(tmp_path, False)) == 11 * 24


def test_what_is_seen_and_its_truth_move_together(tmp_path: Path) -> None:
    _stored(tmp_path, 1)
    store = Store.of(tmp_path, True)
    shown, true = store.batch(np.arange(24), np.random.default_rng(1))
    assert shown.shape == (24, CHANNELS, SIDE_PX, SIDE_PX)
    assert not np.allclose(true, store.true, atol=1.0)
    for one, at in zip(shown.numpy(), true.numpy(), strict=True):
        along = one[:3, int(one[:3].sum(axis=(0, 2)).argmax())].mean(axis=0)
        half = along[48:56].mean() / 2
        k = int(np.flatnonzero(along < half)[-1]) + 1
        assert k - (along[k] - half) / (along[k] - along[k - 1]) == pytest.approx(float(at), abs=0.6)


def test_loss_is_smallest_at_the_truth() -> None:
    place = torch.arange(BINS, dtype=torch.float32)

    def loss(column: float) -> float:
        logits = -0.5 * ((place - ((column + 0.5) * BINS / SIDE_PX - 0.5)) / 0.7) ** 2
        return float(place_loss(logits[None], torch.tensor([20.3]), 0.7))

    assert loss(20.3) < loss(20.5) < loss(22.0)


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_learns_where_lines_begin(tmp_path: Path) -> None:
    _stored(tmp_path, 13)
    recipe = Recipe(minutes=0.4, batch=16, rate=2e-3, average=0.9)
    scores = train(Store.of(tmp_path, False), Store.of(tmp_path, True), tmp_path, recipe)
    assert scores["told"] > 0.9
    assert scores["median_mm"] < 0.1
    assert (tmp_path / "model.onnx").stat().st_size > 100_000


@pytest.mark.filterwarnings("ignore")
def test_exported_file_answers_as_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shown = torch.rand(3, CHANNELS, SIDE_PX, SIDE_PX)
    assert export(EndsNetwork((8, 8, 8, 8), 16).eval(), shown, tmp_path / "model.onnx") < 1e-3


def test_a_captured_page_is_seen_with_its_truth() -> None:
    signals = Signals(np.zeros((0, 12, 0), np.float32))
    found = (page_ends(np.random.default_rng(seed), signals, Recipe()) for seed in range(1, 9))
    arrays = next(page for page in found if page is not None)
    assert arrays["seen"].shape[1:] == (4, SIDE_PX, SIDE_PX)
    assert len(arrays["seen"]) == len(arrays["true"]) == len(arrays["about"])
    # The line is where the trace network sees it, on the inner side of its end.
    chance = arrays["seen"][:, 3].astype(float).max(axis=1)
    inside = [one[min(int(at) + 4, SIDE_PX - 9) :][:8].mean() for one, at in zip(chance, arrays["true"], strict=True)]
    assert np.median(inside) > 40
