"""Train the direction network: whether a line is that of a sheet that stands upright, or on its head.

    python -m ecglift.training.direction --signals ../shared/data --out runs/direction

Pieces of signals are laid on paper at every speed, with the errors that a trace has; no page is printed. Six minutes on
one core.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.models.direction import pieces, together
from ecglift.paper import SPEEDS_MM_S
from ecglift.press.patients import simulate
from ecglift.training.command import parser_for, recipe_of, signals_of
from ecglift.training.export import write_checked
from ecglift.training.signals import Signals
from ecglift.training.tempo import STEP_MM, on_paper


@dataclass(frozen=True)
class Recipe:
    """How to train. ``sheets``, ``held_out``: printed to train and to validate; ``simulated``: share of simulated
    patients."""

    sheets: int = 4000
    held_out: int = 1200
    simulated: float = 0.25
    steps: int = 5000
    batch: int = 128
    rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


class DirectionNetwork(nn.Module):  # type: ignore[misc]
    """Pieces (n, LENGTH) → log-odds (n,) of standing upright; of a piece turned by half a turn it says the
    opposite."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, width, 9, stride=2, padding=4),
            nn.ReLU(),
            nn.Conv1d(width, width, 9, stride=2, padding=4),
            nn.ReLU(),
            nn.Conv1d(width, 2 * width, 9, padding=4),
            nn.ReLU(),
            nn.Conv1d(2 * width, 2 * width, 9, stride=2, padding=4),
            nn.ReLU(),
            nn.Conv1d(2 * width, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None]
        return 8 * (self.layers(x).mean(dim=(1, 2)) - self.layers(-x.flip(2)).mean(dim=(1, 2)))


def examples(signals: Signals, sheets: int, simulated: float, seed: int) -> list[NDArray[np.float32]]:
    """Pieces (n, LENGTH) of each of ``sheets`` upright sheets, two thirds of them at 25 mm/s."""
    rng = np.random.default_rng(seed)
    out: list[NDArray[np.float32]] = []
    while len(out) < sheets:
        # As recorded: what is drawn from signals for the other networks may be turned in time or upside down.
        if len(signals.mv) and rng.random() >= simulated:
            mv = signals.mv[int(rng.integers(len(signals.mv)))]
        else:
            mv = simulate(rng, fs_hz=signals.fs_hz).mv
        speed = 25.0 if rng.random() < 0.5 else float(rng.choice(np.array(SPEEDS_MM_S)))
        seen = pieces(on_paper(rng, mv, signals.fs_hz, speed)[0], STEP_MM)
        if len(seen):
            out.append(seen)
    return out


def fit(sheets: list[NDArray[np.float32]], recipe: Recipe) -> DirectionNetwork:
    """The network that tells pieces of upright sheets from the same ones turned."""
    torch.manual_seed(recipe.seed)
    x = torch.from_numpy(np.concatenate(sheets))
    model = DirectionNetwork()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * (1 - step / recipe.steps)
        optimizer.zero_grad()
        # It says the opposite of a turned piece by the way it is made, so upright ones are all it needs.
        F.softplus(-model(x[torch.randint(len(x), (recipe.batch,))])).mean().backward()
        optimizer.step()
    model.eval()
    return model


def validate(model: DirectionNetwork, sheets: list[NDArray[np.float32]]) -> dict[str, float]:
    """Share of pieces and of sheets that are told right; of the sheets on which it is sure (3 nats and more), how many
    they are and how many of them are right."""
    with torch.no_grad():
        said = [model(torch.from_numpy(seen)).numpy().astype(float) for seen in sheets]
    whole = np.array([together(one) for one in said])
    sure = np.abs(whole) > 3
    return {
        "pieces_right": float((np.concatenate(said) > 0).mean()),
        "sheets_right": float((whole > 0).mean()),
        "sure": float(sure.mean()),
        "sure_right": float((whole[sure] > 0).mean()) if sure.any() else 0.0,
    }


def train(signals: Signals, held_out: Signals, out: Path, recipe: Recipe) -> dict[str, float]:
    """Fit, validate and export ``out``/model.onnx; the scores of validation."""
    out.mkdir(parents=True, exist_ok=True)
    model = fit(examples(signals, recipe.sheets, recipe.simulated, recipe.seed), recipe)
    held = examples(held_out, recipe.held_out, 0.0 if len(held_out.mv) else 1.0, recipe.seed + 1)
    scores = {name: round(value, 4) for name, value in validate(model, held).items()}
    export(model, held[0], out / "model.onnx")
    (out / "training.json").write_text(json.dumps({"recipe": asdict(recipe), "validation": scores}, indent=2) + "\n")
    return scores


def export(model: DirectionNetwork, example: NDArray[np.float32], path: Path) -> None:
    """Write ``path`` and compare it with torch on ``example`` (n, LENGTH)."""
    axes = {"pieces": {0: "n"}, "log_odds": {0: "n"}}
    write_checked(model, torch.from_numpy(example), path, "log_odds", axes, "pieces")


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    signals, held_out = signals_of(args)
    print(json.dumps(train(signals, held_out, args.out, recipe)))


if __name__ == "__main__":
    main()
