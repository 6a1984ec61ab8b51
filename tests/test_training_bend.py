"""Training the bend network: sheets with their truth, what is learned, and the file that comes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models import bend  # noqa: E402
from ecglift.models.bend import CELLS, CHANNELS, EACH, LINES, UNIT_MM  # noqa: E402
from ecglift.training.bend import (  # noqa: E402
    BendNetwork,
    Recipe,
    Sheet,
    bend_loss,
    export,
    page_sheet,
    piece,
    stored,
    train,
)
from ecglift.training.signals import Signals  # noqa: E402

pytestmark = pytest.mark.train


def _sheet(seed: int, rows: int = 36, columns: int = 40) -> Sheet:
    """A sheet with a fold that its lines show and its smooth field does not know."""
    rng = np.random.default_rng(seed)
    x = np.arange(columns * EACH) / EACH
    off = np.zeros((2, rows * EACH, columns * EACH))
    off[0] = 0.1 * np.exp(-np.square((x - rng.uniform(8, columns - 8)) / 1.5))
    lines = np.zeros((LINES, rows * EACH, columns * EACH))
    for k in range(4):
        lines[2 * k], lines[2 * k + 1] = np.cos(2 * np.pi * off[k % 2]), -np.sin(2 * np.pi * off[k % 2])
    lines = np.clip(40 * (lines + rng.normal(0, 0.5, lines.shape)), -120, 120)
    true = off.reshape(2, rows, EACH, columns, EACH).mean((2, 4)).transpose(1, 2, 0)
    true[:3] = np.nan
    ones = np.ones((2, rows, columns), np.float32)
    left = np.nan_to_num(true + rng.normal(0, 0.02, true.shape))
    return Sheet(
        lines=lines.astype(np.int8),
        base=np.zeros((rows, columns, 2), np.float32),
        left=left.astype(np.float32),
        trust=ones,
        strength=ones,
        coverage=np.ones((rows, columns), np.float32),
        true=true.astype(np.float32),
    )


@pytest.mark.parametrize("ways", [("mirrored",), ("transposed",), ("mirrored", "transposed")])
def test_lines_and_truth_turn_together(ways: tuple[str, ...]) -> None:
    # Where a line stands beyond its place, the phase says so: also once the sheet has been turned.
    sheet = _sheet(1)
    features, wanted = sheet.features(), sheet.wanted()
    for way in ways:
        features, wanted = getattr(bend, way)(features), getattr(bend, f"{way}_answer")(wanted)
    rows, columns = wanted.shape[1:]
    for k in (0, 1):
        line = features[0][2 * k].astype(float) + 1j * features[0][2 * k + 1]
        by_cell = line.reshape(rows, EACH, columns, EACH).mean((1, 3))
        known = np.isfinite(wanted[k])
        assert -np.angle(by_cell)[known] / (2 * np.pi) == pytest.approx(UNIT_MM * wanted[k][known], abs=0.12)
        assert 0.05 * features[1][6 * k][known] == pytest.approx(UNIT_MM * wanted[k][known], abs=0.12)


def test_pieces_are_of_one_size_whatever_the_sheet() -> None:
    rng = np.random.default_rng(1)
    for rows, columns in ((20, 60), (36, 40)):
        seen, wanted = piece(rng, _sheet(2, rows, columns))
        assert seen.shape == (CHANNELS, 32, 32)
        assert wanted.shape == (2, 32, 32)
        assert np.isfinite(wanted).any()


def test_loss_is_smallest_at_the_truth_and_its_scale() -> None:
    wanted = torch.from_numpy(np.random.default_rng(2).laplace(0, 0.5, (1, 2, 40, 40)).astype(np.float32))
    wanted[:, :, :4] = torch.nan

    def loss(correction: float, scale: float) -> tuple[float, float]:
        off, log_scale = torch.full_like(wanted, correction), torch.full_like(wanted, float(np.log(scale)))
        a, b = bend_loss(torch.cat([off, log_scale], dim=1), wanted, 0.3)
        return float(a), float(b)

    assert loss(0.0, 0.5)[0] < loss(0.4, 0.5)[0]
    assert loss(0.0, 0.5)[1] < min(loss(0.0, 0.25)[1], loss(0.0, 1.0)[1])


def test_the_same_sheets_are_held_out_when_more_are_added(tmp_path: Path) -> None:
    for name in ("0-24", "0-25", "1-36", "1-47"):
        np.savez(tmp_path / f"{name}.npz", **vars(_sheet(int(name[2:]))))
    sheets, held = stored(tmp_path)
    assert (len(sheets), len(held)) == (2, 2)
    np.savez(tmp_path / "0-23.npz", **vars(_sheet(23)))
    assert [np.array_equal(a.left, b.left) for a, b in zip(stored(tmp_path)[1], held, strict=True)] == [True, True]


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_little_training_learns_folds(tmp_path: Path) -> None:
    recipe = Recipe(minutes=0.25, batch=4, width=32, least_steps=50)
    scores = train([_sheet(seed) for seed in range(12)], [_sheet(20), _sheet(21)], tmp_path, recipe)
    assert scores["after_mm"] < 0.8 * scores["before_mm"]
    assert (tmp_path / "model.onnx").stat().st_size > 50_000


@pytest.mark.filterwarnings("ignore")
def test_exported_file_answers_as_torch_does_for_sheets_of_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BendNetwork(16)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    example = np.random.default_rng(3).normal(0, 1, (1, CHANNELS, 21, 33)).astype(np.float32)
    assert export(model.eval(), example, tmp_path / "model.onnx") < 1e-3


def test_a_captured_page_is_seen_with_its_truth() -> None:
    signals = Signals(np.zeros((0, 12, 0), np.float32))
    sheets = [page_sheet(np.random.default_rng(seed), signals, Recipe()) for seed in range(4)]
    bent = [sheet for sheet in sheets if sheet is not None]
    assert bent
    for sheet in bent:
        off = sheet.wanted() * UNIT_MM
        assert np.isfinite(off).mean() > 0.2
        assert float(np.sqrt(np.nanmean(np.square(off)))) < 0.2
        assert bend.joined(*sheet.features()).shape[0] == LINES * EACH**2 + CELLS
