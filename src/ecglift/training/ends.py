"""Train the network of ends: pages whose lines begin and end somewhere, then one loop.

    python -m ecglift.training.ends --signals ../shared/data --out runs/ends --pages-minutes 45 --minutes 30 --workers 2

Pages are read by the shipped trace network, whose chances this one sees. What was seen of them is kept in ``--out`` and
used again by the next call. ``--start`` goes on from the shipped ``model.onnx``.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.models.ends import BINS, CHANNELS, SIDE_PX, Place, decoded, look_at
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.style import competition_style, random_style
from ecglift.sheet import SHEET_PX_PER_MM
from ecglift.training.average import Average
from ecglift.training.collecting import collect, held_out
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of
from ecglift.training.export import load_weights, write_checked
from ecglift.training.signals import Signals

_SCALE: Final = np.array([96, 96, 96, 255], np.float32)[:, None, None]
_PALE: Final = np.array([32, 32, 32, 0], np.float32)[:, None, None]
"""What is seen is kept in bytes: times the first, and the second more."""

_HELD: Final = 12
"""One page in so many is held out."""

_ASIDE_PX: Final = 6
"""By how much what is seen is moved to any side, at most."""

_DROPPED: Final = 0.2
"""Share of what is known at a place that is left out in training: there are few pages, and ends are much alike on each.
"""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``competition``: share of pages in the competition's layout; ``sigma``: of the target, in places of
    a sixteenth of a millimetre."""

    pages_minutes: float = 45.0
    minutes: float = 30.0
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 3e-2
    warmup: float = 0.02
    competition: float = 0.1
    sigma: float = 0.7
    average: float = 0.998
    seed: int = 0


class EndsNetwork(nn.Module):  # type: ignore[misc]
    """What is seen (n, CHANNELS, SIDE_PX, SIDE_PX) → logits (n, BINS) over places from left to right."""

    def __init__(self, widths: tuple[int, ...] = (24, 32, 48, 64), wide: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for k, width in enumerate(widths):
            before = CHANNELS if k == 0 else widths[k - 1]
            # Heights are halved each time, columns once: places are told to a fraction of a pixel.
            layers += [nn.Conv2d(before, width, 3, stride=(2, 2 if k == 2 else 1), padding=1), nn.ReLU()]
        self.look = nn.Sequential(*layers)
        rows = SIDE_PX >> len(widths)
        self.flat = nn.Conv1d(widths[-1] * rows, wide, 1)
        self.along = nn.ModuleList(nn.Conv1d(wide, wide, 5, padding=2 * d, dilation=d) for d in (1, 2, 4))
        self.drop = nn.Dropout(_DROPPED)
        self.last = nn.Conv1d(wide, 2 * BINS // SIDE_PX, 3, padding=1)

    def forward(self, shown: Tensor) -> Tensor:
        x = self.look(shown)
        x = self.drop(F.relu(self.flat(x.flatten(1, 2))))
        for layer in self.along:
            x = x + self.drop(F.relu(layer(x)))
        return self.last(x).transpose(1, 2).flatten(1)


def page_ends(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> dict[str, NDArray[Any]] | None:
    """What is seen of the ends of one captured page's lines, and in which column of it the end is."""
    from ecglift.stages.rectify import rectify
    from ecglift.stages.trace import TraceSettings, read_rows

    style = competition_style(rng) if rng.random() < recipe.competition else random_style(rng)
    page = compose(rng, signals.draw(rng), signals.fs_hz, style)
    taken = capture(page, str(rng.choice(np.array(KINDS))), rng, CaptureSettings.usual(max_megapixels=4.0))
    layout = page.layout
    off_mm = rng.normal(0, 0.7, 1 + max(p.row for p in layout.panels))
    panels = tuple(replace(p, baseline_mm=p.baseline_mm + float(off_mm[p.row])) for p in layout.panels)
    sheet = rectify(taken.image, taken.map, (0.0, 0.0, page.width_mm, page.height_mm))
    if sheet.seen.mean() < 0.5:
        return None
    reads = read_rows(sheet, replace(layout, panels=panels), TraceSettings())
    lines = {(s.row, s.lead): s.points_mm for s in page.strokes if s.kind == "trace"}
    arrays: dict[str, list[Any]] = {"seen": [], "true": [], "about": []}
    # A layout is off by much or by little, and about as much everywhere.
    off = rng.normal(0, 0.15) if rng.random() < 0.5 else rng.uniform(-1, 1)
    for row, read in zip(layout.rows(), reads, strict=True):
        for n, panel in enumerate(row):
            line = lines[panel.row, f"{panel.lead}@{panel.column}"]
            for outward, point, edge in ((-1, line[0], panel.x0_mm), (1, line[-1], panel.x1_mm)):
                inner = 0 <= n + outward < len(row)
                look = look_at(read, Place(edge + off + rng.normal(0, 0.05), outward, inner))
                if look is None or not sheet.shows(point[:1], point[1:]).all():
                    continue
                arrays["seen"].append(look.shown[:4] * _SCALE + _PALE)
                arrays["true"].append(look.column(float(point[0])))
                arrays["about"].append((outward > 0, inner))
    if not arrays["seen"]:
        return None
    seen = np.round(np.clip(np.array(arrays["seen"]), 0, 255)).astype(np.uint8)
    return {"seen": seen, "true": np.array(arrays["true"], np.float32), "about": np.array(arrays["about"], np.bool_)}


@dataclass(frozen=True)
class Store:
    """``seen`` (n, 4, SIDE_PX, SIDE_PX) bytes, ``true`` (n,) columns, ``about`` (n, 2): end, inner."""

    seen: NDArray[np.uint8]
    true: NDArray[np.float32]
    about: NDArray[np.bool_]

    @classmethod
    def of(cls, folder: Path, held: bool) -> Store:
        """The ends in ``folder``, of pages to train on or held out."""
        paths = [path for path in sorted(folder.glob("*.npz")) if held_out(path, _HELD) == held]
        pages = [np.load(path) for path in paths]
        seen, true, about = (np.concatenate([page[name] for page in pages]) for name in ("seen", "true", "about"))
        inside = (true > 1) & (true < SIDE_PX - 2)
        return cls(seen[inside], true[inside], about[inside])

    def __len__(self) -> int:
        return len(self.true)

    def batch(self, at: NDArray[np.int64], rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """(n, CHANNELS, SIDE_PX, SIDE_PX) and (n,) of the ends ``at``; changed at random if ``rng`` is given."""
        kept, true = (self.seen[at].astype(np.float32) - _PALE) / _SCALE, self.true[at].copy()
        if rng is not None:
            for k, one in enumerate(kept):
                kept[k], true[k] = _changed(one, float(true[k]), rng)
        shown = np.zeros((len(at), CHANNELS, SIDE_PX, SIDE_PX), np.float32)
        shown[:, :4] = kept
        shown[:, 4:] = self.about[at][:, :, None, None]
        return torch.from_numpy(shown), torch.from_numpy(true)


def _changed(one: NDArray[np.float32], true: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
    """What is seen (4, SIDE_PX, SIDE_PX) moved, upside down, paler or darker, blurred, noisier, with other colours or
    without the chances; and in which column the end is then."""
    across, down = (int(move) for move in rng.integers(-_ASIDE_PX, _ASIDE_PX + 1, 2))
    if not 2 < true - across < SIDE_PX - 3:
        across = 0
    rows, columns = (np.clip(np.arange(SIDE_PX) + move, 0, SIDE_PX - 1) for move in (down, across))
    if rng.random() < 0.5:
        rows = rows[::-1]
    one = one[:, rows[:, None], columns[None, :]]
    if rng.random() < 0.5:
        one[:3] = one[rng.permutation(3)]
    if rng.random() < 0.3:
        one[:3] = [cv2.GaussianBlur(colour, (0, 0), rng.uniform(0.3, 1.2)) for colour in one[:3]]
    if rng.random() < 0.2:
        one[3] = 0.0
    one[:3] *= np.float32(np.exp(rng.normal(0, 0.3)))
    one[:3] += rng.normal(0, 0.06 * rng.random() ** 2, one[:3].shape).astype(np.float32)
    return one, true - across


def place_loss(logits: Tensor, column: Tensor, sigma: float) -> Tensor:
    """Cross-entropy of logits (n, BINS) to the ``column`` (n,) that is right."""
    place = torch.arange(BINS, dtype=logits.dtype)[None]
    weight = torch.exp(-0.5 * ((place - ((column + 0.5) * BINS / SIDE_PX - 0.5)[:, None]) / sigma) ** 2)
    return -(weight / weight.sum(1, keepdim=True) * F.log_softmax(logits, dim=1)).sum(1).mean()


def train(store: Store, held: Store, out: Path, recipe: Recipe, start: Path | None = None) -> dict[str, float]:
    """Train within ``recipe.minutes``, from the network in ``start`` on if there is one, export ``out``/model.onnx and
    check it; errors on the ends held out."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, time.time_ns() % 2**32])
    model = EndsNetwork().to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    average = Average(model, recipe.average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    begun, step = time.monotonic(), 0
    while (done := (time.monotonic() - begun) / 60 / recipe.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe.rate, recipe.warmup)
        shown, true = store.batch(rng.integers(len(store), size=recipe.batch), rng)
        loss = place_loss(model(shown.to(memory_format=torch.channels_last)), true, recipe.sigma)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        size = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(size):
            optimizer.step()
        step += 1
        average.take(model)
        if step % 50 == 0:
            values = {"step": step, "minutes": round(done * recipe.minutes, 1), "entropy": round(loss.item(), 3)}
            print(json.dumps(values), flush=True)
        if step % 1000 == 0:
            torch.save(average.weights, out / "checkpoint.pt")
    model.load_state_dict(average.weights)
    model.eval()
    scores = {"steps": float(step), "ends": float(len(store)), **validate(model, held, recipe)}
    torch.save(model.state_dict(), out / "checkpoint.pt")
    export(model, held.batch(np.arange(2))[0], out / "model.onnx")
    summary = {"recipe": asdict(recipe), "validation": scores}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)
    return scores


def validate(model: nn.Module, held: Store, recipe: Recipe) -> dict[str, float]:
    """Over ends held out: cross-entropy, the share that is told, and of these the errors: median and 90th percentile,
    mm, and root mean square of error over deviation."""
    losses, found = [], []
    with torch.no_grad():
        for first in range(0, len(held), 256):
            shown, true = held.batch(np.arange(first, min(first + 256, len(held))))
            logits = model(shown)
            losses.append(place_loss(logits, true, recipe.sigma).item() * len(true))
            found += [
                ((told[0] - right) / SHEET_PX_PER_MM, told[1] / SHEET_PX_PER_MM)
                for answer, right in zip(logits.numpy(), true.numpy(), strict=True)
                if (told := decoded(answer)) is not None
            ]
    error, sigma = np.abs(np.array(found)).T
    middle, high = np.percentile(error, [50, 90])
    return {
        "entropy": sum(losses) / len(held), "told": len(found) / len(held), "median_mm": float(middle),
        "high_mm": float(high), "over_sigma": float(np.sqrt(np.mean(np.minimum(error / sigma, 5) ** 2))),
    }  # fmt: skip


def export(model: nn.Module, example: Tensor, path: Path) -> float:
    """Write ``path`` and return the largest difference between it and torch on ``example`` (n, CHANNELS, SIDE_PX,
    SIDE_PX)."""
    return write_checked(model, example, path, "place", {"seen": {0: "n"}, "place": {0: "n"}}, "seen")


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    if recipe.pages_minutes > 0:
        make, folder = partial(page_ends, recipe=recipe), args.out / "pages"
        made = collect(make, recipe.pages_minutes, recipe.seed, args.signals, folder, args.workers)
        print(json.dumps({"pages": made}), flush=True)
    if recipe.minutes > 0:
        folder = args.out / "pages"
        train(Store.of(folder, False), Store.of(folder, True), args.out, recipe, args.start)


if __name__ == "__main__":
    main()
