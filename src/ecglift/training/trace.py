"""Train the trace network: one loop, from printing crops to a checked ONNX file.

    python -m ecglift.training.trace --signals ../shared/data --out runs/trace --minutes 60 --workers 1

Crops are drawn on the fly by worker processes; the learning rate follows the time budget, so any budget ends at zero.
``--start`` takes a checkpoint (.pt) or the shipped ``weights.onnx``; ``model.onnx``, which reads pages, is the same in
8-bit integers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX
from ecglift.pixels import planes
from ecglift.press.capture import KINDS, Capture, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.style import competition_style, random_style, worn
from ecglift.sheet import SHEET_PX_PER_MM
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of, signals_of, worker_rng
from ecglift.training.crops import CROP_PX, Crop, captured_crops, crowded, draw_crop, overprinted, varied
from ecglift.training.export import export, has_bfloat16, load_weights
from ecglift.training.network import TraceNetwork
from ecglift.training.quantize import finish
from ecglift.training.signals import Signals

_NEAR = torch.arange(-4, 6)
_WINDOW = torch.arange(-40, 41)
_SETTLING = 30  # batches
_SHELF = 1500  # crops kept by a worker for replay: 0.6 GB


@dataclass(frozen=True)
class Recipe:
    """How to train. ``sigma_px``: of the target; ``decoded_weight``: of the loss on the decoded line;
    ``captured``: share of crops from captured pages; ``competition``: share of pages in the competition's layout;
    ``overprinted``: share of pages with more lead names on their traces; ``crowded``: share of pages with rows closer
    together; ``worn``: share of the competition's pages from a head whose dots show, or with worn lines; ``coarse``:
    share of crops at half the scale, as leads taller than a strip are read; ``low``: share of batches that show only
    the middle half of the strip, at half the cost, as low rows are read."""

    minutes: float = 60.0
    batch: int = 16
    rate: float = 2e-3
    sigma_px: float = 1.2
    decoded_weight: float = 0.6
    presence_weight: float = 0.5
    crops_per_page: int = 6
    captured: float = 0.6
    crops_per_capture: int = 18
    replays: float = 8.0
    competition: float = 0.3
    overprinted: float = 0.5
    crowded: float = 0.3
    worn: float = 0.1
    coarse: float = 0.12
    low: float = 0.6
    weight_decay: float = 1e-4
    warmup: float = 0.02
    seed: int = 0


class Crops(IterableDataset[tuple[NDArray[np.uint8], NDArray[np.float32]]]):  # type: ignore[misc]
    """An endless stream of crops; each worker prints its own pages.

    A captured page is dear, so its crops are shown ``recipe.replays`` times in all, mixed with others and varied each
    time.
    """

    def __init__(self, signals: Signals, recipe: Recipe) -> None:
        self.signals, self.recipe = signals, recipe

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        rng = worker_rng(self.recipe.seed)
        shelf: list[Crop] = []
        while True:
            for _ in range(4):
                if rng.random() < self.recipe.captured:
                    if len(shelf) < 100 or rng.random() < 1 / self.recipe.replays:
                        shelf += captured_crops(
                            rng, self._captured(rng), self.recipe.crops_per_capture, self._px_per_mm(rng)
                        )
                        shelf = shelf[-_SHELF:]
                    crops = [
                        varied(rng, shelf[int(k)]) for k in rng.integers(len(shelf), size=self.recipe.crops_per_page)
                    ]
                else:
                    page = self._page(rng)
                    crops = [draw_crop(rng, page, self._px_per_mm(rng)) for _ in range(self.recipe.crops_per_page)]
                for crop in crops:
                    yield crop.rgb, crop.y_px

    def _page(self, rng: np.random.Generator) -> Page:
        if rng.random() < self.recipe.competition:
            style = competition_style(rng)
            style = worn(rng, style) if rng.random() < self.recipe.worn else style
        else:
            style = random_style(rng)
        style = crowded(rng, style) if rng.random() < self.recipe.crowded else style
        page = compose(rng, self.signals.draw(rng), self.signals.fs_hz, style)
        return overprinted(rng, page) if rng.random() < self.recipe.overprinted else page

    def _px_per_mm(self, rng: np.random.Generator) -> float:
        return SHEET_PX_PER_MM / 2 if rng.random() < self.recipe.coarse else SHEET_PX_PER_MM

    def _captured(self, rng: np.random.Generator) -> Capture:
        settings = CaptureSettings.usual(max_megapixels=4.0)
        return capture(self._page(rng), str(rng.choice(np.array(KINDS))), rng, settings)


def line_loss(logits: Tensor, y: Tensor, sigma_px: float) -> tuple[Tensor, Tensor]:
    """(cross-entropy to a Gaussian at the truth, error of the decoded line), means over columns that have a line.

    logits (n, rows, columns) float32, y (n, columns) px with NaN where there is no line. Steep columns, few but with
    most of the
    squared error, weigh more in the cross-entropy.
    """
    there = torch.isfinite(y)
    slope = F.pad((y[:, 2:] - y[:, :-2]).abs() / 2, (1, 1)).nan_to_num(0.0).clamp(max=20.0)[there]
    log_p = F.log_softmax(logits, dim=1).permute(0, 2, 1)[there]  # (columns with a line, rows)
    y = y[there]
    base = y.floor().long()
    at = (base[:, None] + _NEAR.to(y.device)[None]).clamp(0, logits.shape[1] - 1)
    weight = torch.exp(-0.5 * ((at - y[:, None]) / sigma_px) ** 2)
    weight = weight / weight.sum(dim=1, keepdim=True)
    importance = 1 + 0.3 * slope
    entropy = -((weight * log_p.gather(1, at)).sum(dim=1) * importance).sum() / importance.sum().clamp_min(1.0)
    near = (base[:, None] + _WINDOW.to(y.device)[None]).clamp(0, logits.shape[1] - 1)
    p = log_p.gather(1, near).exp()
    decoded = (p * near).sum(dim=1) / p.sum(dim=1).clamp_min(1e-6)
    error = F.smooth_l1_loss(decoded, y, beta=4.0, reduction="sum") / max(len(y), 1)
    return entropy, error


def middle_half(rgb: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The middle half of the strips (n, STRIP_PX, w, 3) and the line's rows in it (n, columns), NaN outside."""
    first = STRIP_PX // 4
    y = y - first
    return rgb[:, first : first + STRIP_PX // 2], torch.where((y > 0) & (y < STRIP_PX // 2 - 1), y, torch.nan)


def crop_db(y: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """10·log10 of Σ(truth − mean)² over Σ(error − mean)² for one crop, columns with a line only; NaN without."""
    there = np.isfinite(truth)
    if there.sum() < 32:
        return float("nan")
    t, e = truth[there], (y - truth)[there]
    return float(10 * np.log10(np.sum((t - t.mean()) ** 2) / max(float(np.sum((e - e.mean()) ** 2)), 1e-9)))


def validate(model: TraceNetwork, crops: list[Crop], device: str) -> dict[str, float]:
    """Median dB, mean dB, median position error (px) and presence accuracy over fixed crops, decoded as in use."""
    from ecglift.models.strip import decode

    model.eval()
    db, errors, right, total = [], [], 0, 0
    with torch.no_grad():
        for crop in crops:
            logits, presence = model(torch.from_numpy(planes(crop.rgb[None])).to(device))
            y, _, chance = decode(logits[0].float().cpu().numpy(), presence[0].float().cpu().numpy())
            there = np.isfinite(crop.y_px)
            right, total = right + int(((chance > 0.5) == there).sum()), total + there.size
            db.append(crop_db(y.astype(np.float32), crop.y_px))
            errors.append(np.abs(y - crop.y_px)[there])
    model.train()
    good = np.array([v for v in db if np.isfinite(v)])
    return {
        "median_db": float(np.median(good)), "mean_db": float(good.mean()), "worst10_db": float(np.percentile(good,
        10)),
        "position_px": float(np.median(np.concatenate(errors))), "presence": right / max(total, 1),
    }  # fmt: skip


def validation_crops(signals: Signals, n: int) -> list[Crop]:
    """Always the same crops, from signals that training never sees."""
    crops = []
    for seed in range(n):
        rng = np.random.default_rng([seed, 77])
        style = competition_style(rng) if seed % 4 == 0 else random_style(rng, bundled_fonts_only=True)
        mv = signals.mv[seed % len(signals.mv)] if len(signals.mv) else signals.draw(rng)
        crops.append(draw_crop(rng, compose(rng, mv, signals.fs_hz, style)))
    return crops


def settle(model: TraceNetwork, strips: Iterable[Tensor]) -> None:
    """Measure the normalisations anew on ``strips`` (n, STRIP_PX, w, 3) uint8, each as good as the others.

    While training they remember the last few batches only, most of them of half strips. Settled on whole ones, a
    network was better by 0.9 dB in the mean of the validation crops.
    """
    norms = [part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all
    model.train()
    device = next(model.parameters()).device
    with torch.no_grad():
        for strip in strips:
            model(strip.to(device).permute(0, 3, 1, 2).float())
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def train(
    signals: Signals,
    held_out: Signals,
    out: Path,
    recipe: Recipe,
    workers: int,
    start: Path | None,
    compiled: bool = False,
) -> None:
    """Train within ``recipe.minutes``, checkpoint every few minutes, export ``out``/weights.onnx, checked against
    torch, and ``out``/model.onnx, the same in 8 bits, checked against that.

    ``compiled``: a quarter quicker after some minutes of compiling; wants a C++ compiler."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = TraceNetwork().to(device).to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    loader: DataLoader[Any] = DataLoader(
        Crops(signals, recipe),
        batch_size=recipe.batch,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        # A forked worker inherits the locks of OpenCV's and torch's thread pools and may wait for ever.
        multiprocessing_context="spawn" if workers else None,
    )
    run = torch.compile(model) if compiled else model
    quick = has_bfloat16(device)
    rng = np.random.default_rng(recipe.seed)
    crops = validation_crops(held_out, 64)
    log = (out / "log.jsonl").open("a")
    begun, step, last_check, last_save = time.monotonic(), 0, 0.0, 0.0
    stream = iter(loader)
    for rgb, y in stream:
        minutes = (time.monotonic() - begun) / 60
        done = minutes / recipe.minutes
        if done >= 1:
            break
        rate = rate_at(done, recipe.rate, recipe.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if rng.random() < recipe.low:
            rgb, y = middle_half(rgb, y)
        image = rgb.to(device).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        y = y.to(device)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=quick):
            logits, presence = run(image)
        entropy, decoded = line_loss(logits.float(), y, recipe.sigma_px)
        chance = F.binary_cross_entropy_with_logits(presence.float(), torch.isfinite(y).float())
        loss = entropy + recipe.decoded_weight * decoded + recipe.presence_weight * chance
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        step += 1
        if step % 50 == 0:
            line = {
                "step": step,
                "minutes": round(minutes, 2),
                "crops_s": round(step * recipe.batch / (minutes * 60), 1),
                "entropy": round(entropy.item(), 4),
                "decoded": round(decoded.item(), 4),
                "presence": round(chance.item(), 4),
            }
            print(json.dumps(line), flush=True)
        if minutes - last_check > max(3.0, recipe.minutes / 12):
            last_check = minutes
            scores = {"step": step, "minutes": round(minutes, 2), **validate(model, crops, device)}
            print(json.dumps(scores), flush=True)
            log.write(json.dumps(scores) + "\n")
            log.flush()
        if minutes - last_save > 5:
            last_save = minutes
            torch.save(model.state_dict(), out / "checkpoint.pt")
    strips = [rgb for rgb, _ in islice(stream, _SETTLING)]
    settle(model, strips)
    torch.save(model.state_dict(), out / "checkpoint.pt")
    scores = validate(model, crops, device)
    example = np.stack([c.rgb for c in crops[:2]])
    export(model, example, out / "weights.onnx")
    moved = finish("trace", out, (strip for rgb in strips for strip in rgb.numpy()))
    summary = {
        "recipe": asdict(recipe),
        "steps": step,
        "crops": step * recipe.batch,
        "validation": scores,
        "moved_by_8_bits": round(moved, 4),
        "strip_px": STRIP_PX,
        "columns_per_px": COLUMNS_PER_PX,
        "px_per_mm": SHEET_PX_PER_MM,
        "crop_px": CROP_PX,
    }
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    parser.add_argument("--compiled", action="store_true", help="compile the network first (needs a C++ compiler)")
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    signals, held_out = signals_of(args)
    train(signals, held_out, args.out, recipe, args.workers, args.start, args.compiled)


if __name__ == "__main__":
    main()
