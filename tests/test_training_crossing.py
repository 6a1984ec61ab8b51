"""Training the crossing network: pieces with their truth, what is learned, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.crossing import CHANNELS, ROWS  # noqa: E402
from ecglift.press.compose import compose  # noqa: E402
from ecglift.press.patients import simulate  # noqa: E402
from ecglift.press.style import random_style  # noqa: E402
from ecglift.training.crops import crowded  # noqa: E402
from ecglift.training.crossing import (  # noqa: E402
    _ARRAYS,
    CrossingNetwork,
    Recipe,
    Store,
    crossed,
    doubt,
    example,
    export,
    line_loss,
    page_pieces,
    train,
)
from ecglift.training.signals import Signals  # noqa: E402

pytestmark = pytest.mark.train

WIDTH = 64


def _piece(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two rows of which each may be at the other's stroke, too; only the ink beyond their ends says whose is whose."""
    chances = np.zeros((2, ROWS, WIDTH))
    true = rng.integers(100, 150, (2, 1)) + np.zeros((2, 2 * WIDTH))
    for k in (0, 1):
        for j in (0, 1):
            rows = np.arange(ROWS)[:, None] - true[j, ::2] - 20 * (j - k)
            chances[k] += 0.25 * np.exp(-0.5 * (rows / 0.8) ** 2)
    ink = np.zeros((2, ROWS, WIDTH), np.int8)
    for k in (0, 1):
        ink[k, true[k, 0].astype(int) - 2 : true[k, 0].astype(int) + 3] = 100
    packed = np.round(255 * (np.log10(chances + 1e-4) / 4 + 1)).clip(0, 255).astype(np.uint8)
    line = np.full((2, WIDTH), 30.0, np.float32)
    return {
        "chances": packed,
        "top": np.array([0, 20], np.int32),
        "asked": np.array([0, 1], np.int32),
        "ink": ink,
        "zero": line,
        "y": np.full((2, WIDTH), np.nan, np.float32),
        "sigma": np.full((2, WIDTH), np.nan, np.float32),
        "true": true.astype(np.float32),
    }


def _stored(folder: Path, pages: int) -> None:
    rng = np.random.default_rng(0)
    for k in range(pages):
        arrays = {f"{n}_{name}": value for n in range(3) for name, value in _piece(rng).items()}
        np.savez(folder / f"0-{k}.npz", **arrays, **{f"{n}_doubt": np.float32(0.5) for n in range(3)})


def test_pages_whose_rows_stand_apart_are_not_crossed() -> None:
    rng = np.random.default_rng(0)
    mv = simulate(rng, fs_hz=500.0).mv
    style = random_style(rng, template="12x1")
    apart = compose(rng, 0.05 * mv, 500.0, style)
    near = compose(rng, 3 * mv, 500.0, crowded(rng, style))
    assert crossed(apart) < 0.01 < crossed(near)


def test_doubt_is_what_stands_elsewhere() -> None:
    chances = np.zeros((ROWS, 4), np.float32)
    chances[50:52] = 0.5
    assert doubt(chances) == pytest.approx(0.0, abs=1e-6)
    chances[50:52, :2] = 0.3
    chances[90, :2] = 0.4
    assert doubt(chances) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_piece_and_its_truth_turn_together(seed: int) -> None:
    one = example(_piece(np.random.default_rng(3)), np.random.default_rng(seed))
    for j, true in zip(one.asked, one.true, strict=True):
        rows = one.parts[j].ink[:, 5]
        assert float((rows * np.arange(ROWS)).sum() / rows.sum()) == pytest.approx(true[10], abs=0.01)


def test_loss_is_smallest_at_the_truth() -> None:
    true = torch.full((1, 8), 100.0)
    true[0, 4:] = torch.nan
    row = torch.arange(ROWS)[None, :, None]

    def loss(at: float) -> tuple[float, float]:
        logits = -0.5 * ((row - at) / 0.8) ** 2 + torch.zeros(1, 1, 8)
        entropy, mm = line_loss(logits, true, 0.8)
        return float(entropy), float(mm)

    assert loss(100.0)[0] < loss(101.0)[0]
    assert loss(104.0)[1] == pytest.approx(1.0, abs=1e-3)
    assert loss(100.0)[1] == pytest.approx(0.0, abs=1e-3)


def test_the_same_pages_are_held_out_when_more_are_added(tmp_path: Path) -> None:
    _stored(tmp_path, 14)
    held, store = Store(tmp_path, True), Store(tmp_path, False)
    assert {path.stem for path, _ in held.at} == {"0-0", "0-12"}
    assert len(store) == 36
    assert store.chances.sum() == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_learns_to_go_by_the_ink(tmp_path: Path) -> None:
    _stored(tmp_path, 14)
    recipe = Recipe(minutes=0.4, batch=8, rate=3e-3, average=0.9)
    scores = train(Store(tmp_path, False), Store(tmp_path, True), tmp_path, recipe)
    assert scores["mm"] < 0.5 * scores["mm_before"]
    assert (tmp_path / "model.onnx").stat().st_size > 100_000


@pytest.mark.filterwarnings("ignore")
def test_exported_file_answers_as_torch_does_for_pieces_of_any_width(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shown = np.random.default_rng(3).uniform(-1, 1, (2, CHANNELS, ROWS, 48)).astype(np.float32)
    assert export(CrossingNetwork((8, 8, 16, 16)).eval(), shown, tmp_path / "model.onnx") < 1e-3


def test_a_captured_page_is_seen_with_its_truth() -> None:
    signals = Signals(np.zeros((0, 12, 0), np.float32))
    found = (page_pieces(np.random.default_rng(seed), signals, Recipe(crowded=1.0)) for seed in range(1, 40))
    arrays = next(page for page in found if page is not None)
    off: list[float] = []
    for number in sorted({name.split("_")[0] for name in arrays}):
        assert arrays[f"{number}_doubt"] >= 0
        one = example({name: arrays[f"{number}_{name}"] for name in _ARRAYS})
        assert one.true.shape == (len(one.asked), 2 * WIDTH)
        for j, y in zip(one.asked, one.true, strict=True):
            sure = one.parts[j].chances.max(axis=0) > 0.25
            off += list((one.parts[j].chances.argmax(axis=0) - y[::2])[sure])
    assert len(off) > 50
    assert np.nanmedian(np.abs(off)) < 1.0
    assert abs(np.nanmedian(off)) < 0.3
