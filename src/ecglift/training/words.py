"""Train the word network: one loop, from printing small pieces of pages to a checked ONNX file.

    python -m ecglift.training.words --signals ../shared/data --out runs/words --minutes 15 --workers 1

Pieces are drawn on the fly by worker processes; the learning rate follows the time budget.
``--start`` takes a checkpoint (.pt) or the shipped ``weights.onnx``; ``model.onnx``, which reads pages, is the same in
8-bit integers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from ecglift.models.words import HEIGHT_PX, WIDTH_PX, WORDS
from ecglift.pixels import planes
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of, signals_of, worker_rng
from ecglift.training.export import has_bfloat16, load_weights, write_onnx
from ecglift.training.network import conv
from ecglift.training.quantize import finish
from ecglift.training.sheet_windows import draw_page
from ecglift.training.signals import Signals
from ecglift.training.word_crops import draw_word, places, revalued, with_numbers

_CALIBRATING = 6  # batches

Piece = tuple[NDArray[np.uint8], int]


@dataclass(frozen=True)
class Recipe:
    """How to train. ``pieces``: taken of each page; ``smoothing``: of the labels, so that chances stay honest."""

    minutes: float = 15.0
    batch: int = 48
    rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup: float = 0.02
    pieces: int = 24
    smoothing: float = 0.02
    average: float = 0.995
    seed: int = 0


class WordNetwork(nn.Module):  # type: ignore[misc]
    """Pieces (n, 3, HEIGHT_PX, WIDTH_PX), 0 to 255 → logits (n, len(WORDS))."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 80, 128)) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        before = 24
        for width in widths:
            steps += [conv(before, width), conv(width, width), nn.MaxPool2d(2)]
            before = width
        # The first convolutions see a picture of a quarter of the pixels: strokes are 2 px wide or more.
        self.body = nn.Sequential(nn.PixelUnshuffle(2), conv(12, 24), *steps[:-1])
        cells = (HEIGHT_PX // 16) * (WIDTH_PX // 16)
        self.head = nn.Sequential(
            nn.Conv2d(before, 24, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(24 * cells, len(WORDS)),
        )

    def forward(self, rgb: Tensor) -> Tensor:
        # Light and paper are taken out: what counts is the contrast within the piece.
        mean = rgb.mean(dim=(1, 2, 3), keepdim=True)
        spread = (rgb - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return self.head(self.body((rgb - mean) / (spread + 8.0)))


class Pieces(IterableDataset[Piece]):  # type: ignore[misc]
    """An endless stream of pieces; each worker prints its own pages."""

    def __init__(self, signals: Signals, recipe: Recipe) -> None:
        self.signals, self.recipe = signals, recipe

    def __iter__(self) -> Iterator[Piece]:
        rng = worker_rng(self.recipe.seed)
        while True:
            yield from draw_pieces(rng, self.signals, self.recipe.pieces)


def draw_pieces(rng: np.random.Generator, signals: Signals, n: int) -> list[Piece]:
    """``n`` pieces of one new page."""
    page = with_numbers(rng, revalued(rng, draw_page(rng, signals)))
    return [draw_word(rng, page, word) for word in places(rng, page, n)]


def validate(model: nn.Module, pieces: list[Piece], device: str) -> dict[str, float]:
    """Shares of names and of scales read right, of other places taken for a word, and the mean chance of the truth."""
    model.eval()
    truth = np.array([word for _, word in pieces])
    chances = []
    with torch.no_grad():
        for k in range(0, len(pieces), 64):
            rgb = np.stack([image for image, _ in pieces[k : k + 64]])
            chances.append(model(torch.from_numpy(planes(rgb)).to(device)).float().softmax(1).cpu().numpy())
    p = np.concatenate(chances)
    right = p.argmax(1) == truth
    name, scale = (truth > 0) & (truth <= 13), truth > 13
    return {
        "names": float(right[name].mean()),
        "scales": float(right[scale].mean()),
        "false": float(1 - right[truth == 0].mean()),
        "chance": float(p[np.arange(len(truth)), truth].mean()),
    }


def train(signals: Signals, held_out: Signals, out: Path, recipe: Recipe, workers: int, start: Path | None) -> None:
    """Train within ``recipe.minutes``, export ``out``/weights.onnx, checked against torch, and ``out``/model.onnx, the
    same in 8 bits, checked against that."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = WordNetwork().to(device).to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    loader: DataLoader[Any] = DataLoader(
        Pieces(signals, recipe),
        batch_size=recipe.batch,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    rng = np.random.default_rng(80)
    held = [piece for _ in range(40) for piece in draw_pieces(rng, held_out, 16)]
    begun, step, last_check = time.monotonic(), 0, 0.0
    stream = iter(loader)
    for rgb, truth in stream:
        minutes = (time.monotonic() - begun) / 60
        done = minutes / recipe.minutes
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe.rate, recipe.warmup)
        image = rgb.to(device).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
            logits = model(image)
        loss = F.cross_entropy(logits.float(), truth.to(device), label_smoothing=recipe.smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        average.update_parameters(model)
        step += 1
        if step % 50 == 0:
            rate = step * recipe.batch / (minutes * 60)
            print(
                json.dumps(
                    {
                        "step": step,
                        "minutes": round(minutes, 2),
                        "pieces_s": round(rate, 1),
                        "loss": round(loss.item(), 3),
                    }
                ),
                flush=True,
            )
        if minutes - last_check > max(1.5, recipe.minutes / 8):
            last_check = minutes
            print(
                json.dumps({"step": step, "minutes": round(minutes, 2), **validate(average.module, held, device)}),
                flush=True,
            )
            torch.save(average.module.state_dict(), out / "checkpoint.pt")
    torch.save(average.module.state_dict(), out / "checkpoint.pt")
    scores = validate(average.module, held, device)
    export(average.module, np.stack([image for image, _ in held[:8]]), out / "weights.onnx")
    moved = finish("words", out, (image for rgb, _ in islice(stream, _CALIBRATING) for image in rgb.numpy()))
    summary = {
        "recipe": asdict(recipe),
        "steps": step,
        "pieces": step * recipe.batch,
        "validation": scores,
        "moved_by_8_bits": round(moved, 4),
    }
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)


def export(model: nn.Module, example: NDArray[np.uint8], path: Path) -> float:
    """Write ``path``; the largest difference in probability between it and torch on ``example`` (n, h, w, 3)."""
    model = model.to("cpu").float().eval()
    inputs = torch.from_numpy(planes(example))
    want, got = write_onnx(model, inputs, path, ["word"], {"rgb": {0: "n"}, "word": {0: "n"}})
    worst = float((got[0].softmax(1) - want[0].softmax(1)).abs().max())
    if worst > 1e-2:
        raise RuntimeError(f"{path}: ONNX Runtime and torch differ by {worst:.2g} in probability")
    return worst


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
