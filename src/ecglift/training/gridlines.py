"""Train the grid network: one loop, from printing pages to a checked ONNX file.

    python -m ecglift.training.gridlines --signals ../shared/data --out runs/grid --minutes 60 --workers 1

Crops are made on the fly by worker processes; the learning rate follows the time budget, so any budget ends at zero.
``--start`` takes a checkpoint (.pt) or the shipped ``model.onnx``: its initializers are the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from ecglift.lattice.contrast import ink_contrast
from ecglift.models.gridlines import CHANNELS, network_input
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.style import competition_style, random_style
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of, signals_of, worker_rng
from ecglift.training.export import has_bfloat16, load_weights, write_checked
from ecglift.training.grid_crops import GridCrop, captured_grid_crops, drawn_grid_crop, varied_grid
from ecglift.training.network import UNet
from ecglift.training.signals import Signals

_SHELF = 1200
"""Crops kept by a worker for replay: 0.6 GB."""

_WEIGHTS = (1.0, 4.0, 1.0, 4.0)
"""Of the channels: a bump's mean square is a sixth of a cosine's."""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``captured``: share of crops from captured pages; ``replays``: how often each of these is shown;
    ``competition``: share of pages in the competition's layout."""

    minutes: float = 60.0
    batch: int = 12
    rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.02
    captured: float = 0.75
    crops_per_capture: int = 24
    replays: float = 5.0
    competition: float = 0.2
    average: float = 0.995
    seed: int = 0


class GridNetwork(nn.Module):  # type: ignore[misc]
    """Pictures (n, 4, h, w) as :func:`ecglift.models.gridlines.network_input` makes them → waves (n, 4, h, w)."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96)) -> None:
        super().__init__()
        self.body = UNet(4, widths)
        self.head = nn.Conv2d(widths[0], len(CHANNELS) * 16, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        x, _ = self.body(picture)
        return F.pixel_shuffle(self.head(x), 4)


class Crops(IterableDataset[tuple[NDArray[np.float32], NDArray[np.int8]]]):  # type: ignore[misc]
    """An endless stream of (input, waves); each worker prints its own pages."""

    def __init__(self, signals: Signals, recipe: Recipe) -> None:
        self.signals, self.recipe = signals, recipe

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int8]]]:
        rng = worker_rng(self.recipe.seed)
        captured: list[GridCrop] = []
        drawn: list[GridCrop] = []
        while True:
            if len(captured) < 96 or rng.random() < 1 / self.recipe.replays:
                captured = (captured + captured_crops(rng, self.signals, self.recipe))[-_SHELF:]
            if len(drawn) < 48 or rng.random() < 0.5:
                page = draw_page(rng, self.signals, self.recipe)
                drawn = (drawn + [drawn_grid_crop(rng, page) for _ in range(4)])[-_SHELF // 2 :]
            for _ in range(self.recipe.crops_per_capture):
                shelf = captured if rng.random() < self.recipe.captured else drawn
                yield prepared(varied_grid(rng, shelf[int(rng.integers(len(shelf)))]))


def draw_page(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> Page:
    style = competition_style(rng) if rng.random() < recipe.competition else random_style(rng)
    return compose(rng, signals.draw(rng), signals.fs_hz, style)


def captured_crops(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> list[GridCrop]:
    """Crops of one new page in one kind of capture."""
    settings = CaptureSettings.usual(max_megapixels=4.0)
    taken = capture(draw_page(rng, signals, recipe), str(rng.choice(np.array(KINDS))), rng, settings)
    return captured_grid_crops(rng, taken, recipe.crops_per_capture)


def prepared(crop: GridCrop) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """The network's input (4, h, w) and its target (4, h, w), 127 for 1."""
    return network_input(crop.rgb[None], ink_contrast(crop.rgb)[None])[0], crop.waves


def wave_loss(answer: Tensor, target: Tensor) -> Tensor:
    """Mean square error, the channels weighed."""
    weights = torch.tensor(_WEIGHTS, device=answer.device)[None, :, None, None]
    return (weights * (answer - target).square()).mean()


def validate(model: nn.Module, crops: list[GridCrop], device: str) -> dict[str, float]:
    """``told``: share of each kind of wave's mean square that the answers explain; ``energy``: the answers' mean
    square where there is no grid."""
    model.eval()
    left, whole, beyond, count = np.zeros(4), np.zeros(4), 0.0, 0
    with torch.no_grad():
        for crop in crops:
            inputs, waves = prepared(crop)
            answer = model(torch.from_numpy(inputs[None]).to(device))[0].float().cpu().numpy()
            target = waves.astype(np.float32) / 127
            left += np.square(answer - target).sum((1, 2))
            whole += np.square(target).sum((1, 2))
            nothing = ~target.any(0)
            beyond, count = beyond + float(np.square(answer[:, nothing]).sum()), count + int(nothing.sum())
    model.train()
    told = 1 - left / whole
    return {
        "light_told": float(told[[0, 2]].mean()),
        "heavy_told": float(told[[1, 3]].mean()),
        "energy": beyond / max(count, 1),
    }


def train(signals: Signals, held_out: Signals, out: Path, recipe: Recipe, workers: int, start: Path | None) -> None:
    """Train within ``recipe.minutes``, export ``out``/model.onnx now and then and at the end, checked against
    torch."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = GridNetwork().to(device).to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    loader: DataLoader[Any] = DataLoader(
        Crops(signals, recipe),
        batch_size=recipe.batch,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    rng = np.random.default_rng(80)
    held = [crop for _ in range(13) for crop in captured_crops(rng, held_out, recipe)[:8]]
    quick = has_bfloat16(device)
    begun, step, last_check = time.monotonic(), 0, 0.0
    log = (out / "log.jsonl").open("a")
    for picture, waves in loader:
        minutes = (time.monotonic() - begun) / 60
        done = minutes / recipe.minutes
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe.rate, recipe.warmup)
        picture = picture.to(device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=quick):
            answer = model(picture)
        loss = wave_loss(answer.float(), waves.to(device).float() / 127)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(model)
        step += 1
        if step % 50 == 0:
            rate = round(step * recipe.batch / (minutes * 60), 1)
            line = {"step": step, "minutes": round(minutes, 2), "crops_s": rate, "loss": round(loss.item(), 4)}
            print(json.dumps(line), flush=True)
        if minutes - last_check > max(2.0, recipe.minutes / 12):
            last_check = minutes
            scores = {"step": step, "minutes": round(minutes, 2), **validate(average.module, held, device)}
            print(json.dumps(scores), flush=True)
            log.write(json.dumps(scores) + "\n")
            log.flush()
            torch.save(average.module.state_dict(), out / "checkpoint.pt")
            export(average.module, held[:2], out / "model.onnx")
            average.module.to(device).train()
    torch.save(average.module.state_dict(), out / "checkpoint.pt")
    scores = validate(average.module, held, device)
    export(average.module, held[:2], out / "model.onnx")
    summary = {"recipe": asdict(recipe), "steps": step, "crops": step * recipe.batch, "validation": scores}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)


def export(model: nn.Module, crops: list[GridCrop], path: Path) -> float:
    """Write ``path``; the largest difference between it and torch on ``crops``."""
    model = model.to("cpu").float().eval()
    inputs = torch.from_numpy(np.stack([prepared(crop)[0] for crop in crops]))
    axes = {name: {0: "n", 2: "h", 3: "w"} for name in ("picture", "waves")}
    return write_checked(model, inputs, path, "waves", axes, "picture", most=1e-2)


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    signals, held_out = signals_of(args)
    train(signals, held_out, args.out, recipe, args.workers, args.start)


if __name__ == "__main__":
    main()
