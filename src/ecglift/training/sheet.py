"""Train the sheet network: one loop, from printing windows of pages to a checked ONNX file.

    python -m ecglift.training.sheet --signals ../shared/data --out runs/sheet --minutes 40 --workers 1

Windows are drawn on the fly by worker processes; the learning rate follows the time budget, so any budget ends at zero.
``--start`` takes a checkpoint (.pt) or the shipped ``model.onnx``: its initializers are the weights.
"""

from __future__ import annotations

import json
import math
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

from ecglift.models.sheetmap import DENSE, PX_PER_MM, WHOLE, WHOLE_NUMBERS
from ecglift.pixels import planes
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of, signals_of, worker_rng
from ecglift.training.export import has_bfloat16, load_weights, write_onnx
from ecglift.training.sheet_network import SheetNetwork
from ecglift.training.sheet_windows import SHAPES_MM, Window, draw_fitting, draw_window
from ecglift.training.signals import Signals

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]

_HEATS = tuple(name for name in DENSE if name.endswith("heat"))
_AREAS = ("trace", "pulse", "separator", "text")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    ``captured``: share of windows that are seen through one of the press's captures, not the quick stand-in;
    ``replay``: how often a drawn batch is shown, light and noise drawn anew each time. ``settle``: share of the time in
    which the normalisations still take the windows' own statistics; there are one or two windows in a batch, and their
    own statistics wipe out what tells one sheet from another.
    """

    minutes: float = 40.0
    rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.02
    replay: int = 4
    settle: float = 0.25
    average: float = 0.99
    captured: float = 0.5
    whole_weight: float = 1.0
    whole_batches: int = 600
    seed: int = 0


class Windows(IterableDataset[Batch]):  # type: ignore[misc]
    """An endless stream of batches of equal windows; each worker prints its own pages."""

    def __init__(self, signals: Signals, recipe: Recipe) -> None:
        self.signals, self.recipe = signals, recipe

    def __iter__(self) -> Iterator[Batch]:
        rng = worker_rng(self.recipe.seed)
        held: list[Batch] = []
        while True:
            held.append(draw_batch(rng, self.signals, self.recipe.captured))
            yield held[-1]
            for _ in range(self.recipe.replay - 1):
                if len(held) > 12:
                    yield relit(rng, held.pop(int(rng.integers(len(held) - 1))))


def draw_batch(rng: np.random.Generator, signals: Signals, captured: float = 0.0) -> Batch:
    """rgb (n, 4h, 4w, 3) uint8, dense truth (n, DENSE_CHANNELS, h, w), truth about the whole (n, 7)."""
    width, height, n = SHAPES_MM[int(rng.integers(len(SHAPES_MM)))]
    pages = (draw_fitting(rng, signals, width, height) for _ in range(n))
    windows = [draw_window(rng, page, width, height, captured) for page in pages]
    return (
        np.stack([w.rgb for w in windows]),
        np.stack([w.dense for w in windows]),
        np.stack([w.whole for w in windows]),
    )


def relit(rng: np.random.Generator, batch: Batch) -> Batch:
    """The batch in another light with other noise, now and then turned."""
    rgb = batch[0].astype(np.float32) / 255
    shape = (len(rgb), 1, 1, 1)
    gamma, colour = np.exp(rng.normal(0, 0.3, shape)), rng.uniform(0.6, 1.1, (len(rgb), 1, 1, 3))
    rgb = np.power(rgb, gamma.astype(np.float32)) * colour.astype(np.float32)
    rgb += rng.exponential(0.015, shape).astype(np.float32) * rng.standard_normal((*rgb.shape[:3], 1), np.float32)
    light = (np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.12:
        return turned(light, batch, int(rng.integers(1, 4)))
    return light, batch[1], batch[2]


def turned(rgb: NDArray[np.uint8], batch: Batch, quarters: int) -> Batch:
    """The batch turned anticlockwise: nothing of it is known but how it lies and whether it is an ECG."""
    whole = np.full_like(batch[2], -1)
    whole[:, 0], whole[:, 2] = 0, batch[2][:, 2]
    before = batch[2][:, 1]
    whole[:, 1] = np.where((before >= 0) & (before < 4), (before + quarters) % 4, before)
    dense = np.zeros(
        (*batch[1].shape[:2], *(batch[1].shape[2:] if quarters == 2 else batch[1].shape[:1:-1])), np.float32
    )
    return np.ascontiguousarray(np.rot90(rgb, quarters, (1, 2))), dense, whole


def _focal(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy weighted with the squared error of the chance, per positive (quality focal loss, Li et al.
    2020).
    """
    error = (truth - logits.sigmoid()).abs().square()
    return (error * F.binary_cross_entropy_with_logits(logits, truth, reduction="none")).sum() / truth.sum().clamp_min(
        20.0
    )


def dense_loss(answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Losses by name of answers (n, DENSE_CHANNELS, h, w) float32 to windows whose truth is known."""
    losses = {name: _focal(answer[:, DENSE[name]], truth[:, DENSE[name]]) for name in (*_HEATS, *_AREAS)}
    for name in ("label_class", "speed_class", "gain_class"):
        wanted = truth[:, DENSE[name].start].long()
        if (wanted >= 0).any():
            losses[name] = F.cross_entropy(answer[:, DENSE[name]], wanted, ignore_index=-1)
    heat = {
        name: truth[:, DENSE[name].start]
        for name in ("row_heat", "start_heat", "end_heat", "pulse", "label_class", "gain_class")
    }
    places = {
        "label_offset": heat["label_class"] >= 0,
        "label_panel": torch.isfinite(truth[:, DENSE["label_panel"].start]) & (heat["label_class"] >= 0),
        "row_offset": heat["row_heat"] > 0.18,
        "start_offset": heat["start_heat"] > 0.14,
        "end_offset": heat["end_heat"] > 0.14,
        "pulse_size": heat["pulse"] > 0.5,
    }
    for name, place in places.items():
        if place.any():
            at = place[:, None].expand(-1, truth[:, DENSE[name]].shape[1], -1, -1)
            losses[name] = 2 * F.smooth_l1_loss(answer[:, DENSE[name]][at], truth[:, DENSE[name]][at], beta=0.2)
    if (place := heat["gain_class"] >= 0).any():
        losses["gain_chest"] = F.binary_cross_entropy_with_logits(
            answer[:, DENSE["gain_chest"].start][place], truth[:, DENSE["gain_chest"].start][place]
        )
    return losses


def whole_loss(answer: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Losses by name of answers (n, WHOLE_NUMBERS) float32 about whole windows."""
    losses = {"paper": F.binary_cross_entropy_with_logits(answer[:, WHOLE["paper"].start], truth[:, 2].float())}
    for name, column in (("turn", 1), ("template", 3), ("speed", 5), ("gain", 6)):
        if (truth[:, column] >= 0).any():
            losses[name] = F.cross_entropy(answer[:, WHOLE[name]], truth[:, column], ignore_index=-1)
    if (there := truth[:, 4] >= 0).any():
        losses["simultaneous"] = F.binary_cross_entropy_with_logits(
            answer[there, WHOLE["simultaneous"].start], truth[there, 4].float()
        )
    return losses


def validation_windows(signals: Signals, n: int) -> list[Window]:
    """Always the same windows, from signals that training never sees."""
    windows = []
    for seed in range(n):
        rng = np.random.default_rng([seed, 78])
        width, height, _ = SHAPES_MM[seed % len(SHAPES_MM)]
        windows.append(draw_window(rng, draw_fitting(rng, signals, width, height), width, height))
    return windows


def validate(model: SheetNetwork, windows: list[Window], device: str) -> dict[str, float]:
    """Shares of labels found and named, of false ones, of turns, papers and templates told; errors of rows and starts
    in mm.
    """
    model.eval()
    found, named, labels, false = 0, 0, 0, 0
    errors: dict[str, list[NDArray[np.float32]]] = {"row": [], "start": []}
    rights: dict[str, list[bool]] = {
        name: [] for name in ("turn", "paper", "template", "speed", "gain", "speed_text", "gain_text")
    }
    with torch.no_grad():
        for window in windows:
            out, whole = model(torch.from_numpy(planes(window.rgb[None])).to(device))
            dense, numbers = out[0].float().cpu(), whole[0].float().cpu()
            told = dict(
                zip(
                    ("turn", "template", "speed", "gain"),
                    (window.turn, window.template, window.speed, window.gain),
                    strict=True,
                )
            )
            for name, truth in told.items():
                if truth >= 0:
                    rights[name].append(int(numbers[WHOLE[name]].argmax()) == truth)
            rights["paper"].append((float(numbers[WHOLE["paper"]]) > 0) == window.paper)
            if not window.known:
                continue
            heat = dense[DENSE["label_heat"]].sigmoid()
            peaks = ((heat == F.max_pool2d(heat[None], 5, 1, 2)[0]) & (heat > 0.3))[0].numpy()
            truth_class = window.dense[DENSE["label_class"].start]
            centres = window.dense[DENSE["label_heat"].start] > 0.88
            answer_class = dense[DENSE["label_class"]].argmax(0).numpy()
            import cv2

            for k in range(1, (pieces := cv2.connectedComponents(centres.astype(np.uint8)))[0]):
                at = cv2.dilate((pieces[1] == k).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                labels += 1
                if (peaks & at).any():
                    r, c = np.argwhere(peaks & at)[0]
                    found, named = found + 1, named + int(answer_class[r, c] == truth_class[centres & at][0])
            false += int((peaks & (cv2.dilate(centres.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0)).sum())
            for name in errors:
                place = window.dense[DENSE[f"{name}_heat"].start] > 0.8
                channel = DENSE[f"{name}_offset"].start
                errors[name].append(np.abs(dense[channel].numpy() - window.dense[channel])[place])
            for name in ("speed", "gain"):
                at = (window.dense[DENSE[f"{name}_heat"].start] > 0.88) & (
                    window.dense[DENSE[f"{name}_class"].start] >= 0
                )
                if at.any():
                    answer = dense[DENSE[f"{name}_class"]].argmax(0).numpy()[at]
                    rights[f"{name}_text"].append(
                        bool((answer == window.dense[DENSE[f"{name}_class"].start][at]).mean() > 0.5)
                    )
    return {
        "labels": labels,
        "found": found / max(labels, 1),
        "named": named / max(labels, 1),
        "false": false / max(labels, 1),
        **{f"{name}_mm": float(np.median(np.concatenate(v))) for name, v in errors.items()},
        **{name: float(np.mean(v)) for name, v in rights.items() if v},
    }


def export(model: SheetNetwork, example: NDArray[np.uint8], path: Path) -> float:
    """Write ``path`` and return the largest difference in probability between it and torch on ``example`` (n, h, w,
    3).
    """
    model = model.to("cpu").float().eval()
    axes = {"rgb": {0: "n", 2: "h", 3: "w"}, "dense": {0: "n", 2: "rows", 3: "columns"}, "whole": {0: "n"}}
    want, got = write_onnx(model, torch.from_numpy(planes(example)), path, ["dense", "whole"], axes)
    worst = max(float((a.sigmoid() - b.sigmoid()).abs().max()) for a, b in zip(want, got, strict=True))
    if worst > 1e-2:
        raise RuntimeError(f"{path}: ONNX Runtime and torch differ by {worst:.2g} in probability")
    return worst


def fit_whole(model: SheetNetwork, batches: Iterator[Any], recipe: Recipe, device: str) -> dict[str, float]:
    """Fit the head for the whole sheet on a body that stays as it is; shares right on a held-out sixth of the windows.

    One or two windows a step are too few to learn from about whole sheets. The body's pooled features of some hundred
    windows, each as it is and turned, are collected once, and the head is fitted to all of them together.
    """
    model.eval()
    pooled, truths = [], []
    with torch.no_grad():
        for k, (rgb, dense, whole) in enumerate(batches):
            if k == recipe.whole_batches:
                break
            batch = rgb.numpy(), dense.numpy(), whole.numpy()
            for image, _, truth in (batch, turned(batch[0], batch, 1 + k % 3)):
                with torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
                    seen = model.seen(torch.from_numpy(planes(image)).to(device))[1]
                pooled.append(seen.float())
                truths.append(torch.from_numpy(truth).to(device))
    x, y = torch.cat(pooled), torch.cat(truths)
    held = len(x) // 6
    mean, spread = x[held:].mean(dim=0), x[held:].std(dim=0) + 1e-3
    head = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, WHOLE_NUMBERS)).to(
        device
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-2)
    z = (x - mean) / spread
    steps = 1500
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        at = torch.randint(held, len(x), (256,), device=device)
        loss = torch.stack(list(whole_loss(head(z[at]), y[at]).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    head.eval()
    with torch.no_grad():
        answer = head(z[:held])
        first, last = head[0], head[3]
        # Centring and scaling become part of the first layer.
        model.whole[0].weight.copy_(first.weight / spread)
        model.whole[0].bias.copy_(first.bias - first.weight @ (mean / spread))
        model.whole[2].weight.copy_(last.weight)
        model.whole[2].bias.copy_(last.bias)
    scores = {"paper": float(((answer[:, WHOLE["paper"].start] > 0) == (y[:held, 2] > 0)).float().mean())}
    for name, column in (("turn", 1), ("template", 3), ("speed", 5), ("gain", 6)):
        there = y[:held, column] >= 0
        scores[name] = float((answer[there][:, WHOLE[name]].argmax(1) == y[:held][there, column]).float().mean())
    return scores


def train(signals: Signals, held_out: Signals, out: Path, recipe: Recipe, workers: int, start: Path | None) -> None:
    """Train within ``recipe.minutes``, checkpoint every few minutes, export ``out``/model.onnx and check it against
    torch.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = SheetNetwork().to(device).to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    # The average of late weights is better than any of them, long before the learning rate has come down.
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    loader: DataLoader[Any] = DataLoader(
        Windows(signals, recipe),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    windows = validation_windows(held_out, 25)
    log = (out / "log.jsonl").open("a")
    begun, step, shown, last_check, last_save = time.monotonic(), 0, 0, 0.0, 0.0
    batches = iter(loader)
    for rgb, dense, whole in batches:
        minutes = (time.monotonic() - begun) / 60
        done = minutes / recipe.minutes if recipe.minutes else 1.0
        if done >= 1:
            break
        rate = rate_at(done, recipe.rate, recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if done >= recipe.settle:
            for layer in model.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eval()
        image = rgb.to(device).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        dense, whole = dense.to(device), whole.to(device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=has_bfloat16(device)):
            answer, numbers = model(image)
        known = whole[:, 0] > 0
        losses = whole_loss(numbers.float(), whole)
        loss = recipe.whole_weight * torch.stack(list(losses.values())).sum()
        if known.any():
            losses |= (places := dense_loss(answer[known].float(), dense[known]))
            loss = loss + torch.stack(list(places.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(model)
        step, shown = step + 1, shown + len(rgb)
        if step % 50 == 0:
            line = {
                "step": step,
                "minutes": round(minutes, 2),
                "windows_s": round(shown / (minutes * 60), 2),
                "loss": round(loss.item(), 3),
                **{name: round(value.item(), 3) for name, value in losses.items()},
            }
            print(json.dumps(line), flush=True)
        if minutes - last_check > max(4.0, recipe.minutes / 6):
            last_check = minutes
            scores = {"step": step, "minutes": round(minutes, 2), **validate(average.module, windows, device)}
            print(json.dumps(scores), flush=True)
            log.write(json.dumps(scores) + "\n")
            log.flush()
        if minutes - last_save > 5:
            last_save = minutes
            torch.save(average.module.state_dict(), out / "checkpoint.pt")
    torch.save(average.module.state_dict(), out / "checkpoint.pt")
    print(json.dumps({"whole": fit_whole(average.module, batches, recipe, device)}), flush=True)
    torch.save(average.module.state_dict(), out / "checkpoint.pt")
    scores = validate(average.module, windows, device)
    export(average.module, windows[0].rgb[None], out / "model.onnx")
    summary = {"recipe": asdict(recipe), "steps": step, "windows": shown, "validation": scores, "px_per_mm": PX_PER_MM}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)


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
