"""Train the crossing network: pages whose lines cross, read row by row, then one loop.

    python -m ecglift.training.crossing --signals ../shared/data --out runs/crossing --pages-minutes 45 --minutes 40 \\
        --workers 2

Pages are read by the shipped trace network: this network learns the errors of that one. What was seen of them is kept
in ``--out`` and used again by the next call. ``--start`` goes on from the shipped ``model.onnx``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.crossings import Piece, claimed, lattice_corner, pieces_in_doubt, what_others_say
from ecglift.models.crossing import (
    CHANNELS,
    POOLED_PX,
    ROWS,
    Part,
    away_of,
    fit_of,
    ink_of,
    seen,
)
from ecglift.models.strip import COLUMNS_PER_PX
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.style import competition_style, random_style
from ecglift.sheet import SHEET_PX_PER_MM
from ecglift.training.average import Average
from ecglift.training.collecting import collect, held_out
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of
from ecglift.training.crops import crowded, row_curve
from ecglift.training.export import has_bfloat16, load_weights, write_checked
from ecglift.training.signals import Signals

_WIDTH = 64
"""Columns of a training piece, 8 mm."""

_PIECES = 20
"""At most, of a page."""

_CROSSED = 0.004
"""Share of a page's columns in which lines must be as near to each other as a pen is wide."""

_PEN_MM = 0.5
_ABSENT_MM = -1000.0
_NEAR = 4  # samples, a quarter of a millimetre each
_TINY = 1e-4
_AT_LEAST = 0.05
"""Pieces are drawn by their doubt and that much more."""

_ARRAYS = ("chances", "top", "asked", "ink", "zero", "y", "sigma", "true")
"""What is kept of a piece: packed chances and top of every row, then of the rows in doubt their numbers, ink, zero
line, what other leads say and the true rows."""

_HELD = 12
"""One page in so many is held out."""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``competition``: share of pages in the competition's layout; ``crowded``: share of pages with rows
    closer together; ``captured``: share of pages that are captured in any way, others are clean; ``sigma``: of the
    target, in rows of a quarter of a millimetre; ``decoded``: weight of the middle's error; ``unsaid``: share of pieces
    of which other leads say nothing."""

    pages_minutes: float = 45.0
    minutes: float = 40.0
    batch: int = 24
    rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup: float = 0.02
    competition: float = 0.15
    crowded: float = 0.4
    sigma: float = 0.8
    decoded: float = 0.1
    unsaid: float = 0.2
    average: float = 0.995
    seed: int = 0


class CrossingNetwork(nn.Module):  # type: ignore[misc]
    """What is seen (n, CHANNELS, ROWS, w) → logits (n, ROWS, 2·w) over rows; w a multiple of 16."""

    def __init__(self, widths: tuple[int, ...] = (32, 48, 64, 96)) -> None:
        super().__init__()
        self.widths = widths
        first = widths[0]
        self.stem = nn.Conv2d(CHANNELS * 8, first, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[max(k - 1, 0)], w, 3, padding=1), nn.ReLU(), nn.Conv2d(w, w, 3, padding=1), nn.ReLU()
            )
            for k, w in enumerate(widths)
        )
        self.tall = nn.Sequential(nn.Conv2d(widths[-1], widths[-1], (7, 1), padding=(3, 0)), nn.ReLU())
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[k] + widths[k + 1], widths[k], 3, padding=1), nn.ReLU(),
                nn.Conv2d(widths[k], widths[k], 3, padding=1), nn.ReLU(),
            )
            for k in range(len(widths) - 1)
        )  # fmt: skip
        self.last = nn.Conv2d(first, 16, 3, padding=1)

    def forward(self, shown: Tensor) -> Tensor:
        n, channels, rows, width = shown.shape
        # Four rows and two columns in one: 1 mm by 0.25 mm.
        x = shown.reshape(n, channels, rows // 4, 4, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
        x = F.relu(self.stem(x.reshape(n, channels * 8, rows // 4, width // 2)))
        skips = []
        for k, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        x = x + self.tall(x)
        for k in range(len(self.up) - 1, -1, -1):
            x = self.up[k](torch.cat([skips[k], F.interpolate(x, scale_factor=2.0, mode="nearest")], dim=1))
        out = self.last(x).reshape(n, 4, 4, rows // 4, width // 2).permute(0, 3, 1, 4, 2)
        logits = out.reshape(n, rows, 2 * width)
        # From what is known already, on: a scaled logarithm of the row's chances.
        return logits + (4.6 * (shown[:, 0] - 1)).repeat_interleave(COLUMNS_PER_PX, dim=2)


def crossed(page: Page) -> float:
    """Share of the page's columns in which lines of two rows come as near to each other as a pen is wide."""
    x_mm = np.arange(0, page.width_mm, 0.25 / _NEAR)
    y_mm = np.array([row_curve(page, row[0].row, x_mm) for row in page.layout.rows()])
    # Rows that do not reach there are far above, one beyond the other.
    absent = _ABSENT_MM * np.arange(1, len(y_mm) + 1)[:, None]
    y_mm = np.where(np.isfinite(y_mm), y_mm, absent)
    low = minimum_filter1d(y_mm, 2 * _NEAR + 1, axis=1) - _PEN_MM
    high = maximum_filter1d(y_mm, 2 * _NEAR + 1, axis=1) + _PEN_MM
    order = np.argsort(low, axis=0)
    low, high = (np.take_along_axis(edge, order, axis=0) for edge in (low, high))
    meets = (low[1:] < np.maximum.accumulate(high, axis=0)[:-1]) & (low[:-1] > _ABSENT_MM / 2)
    return float(meets.any(axis=0).mean())


def page_pieces(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> dict[str, NDArray[Any]] | None:
    """What is seen of the pieces of one captured page in which rows are in doubt; None where there are none."""
    from ecglift.stages.rectify import rectify
    from ecglift.stages.trace import TraceSettings, read_rows

    style = competition_style(rng) if rng.random() < recipe.competition else random_style(rng)
    style = crowded(rng, style) if rng.random() < recipe.crowded else style
    page = compose(rng, signals.draw(rng), signals.fs_hz, style)
    if crossed(page) < _CROSSED:
        return None
    taken = capture(page, str(rng.choice(np.array(KINDS))), rng, CaptureSettings.usual(max_megapixels=4.0))
    layout = page.layout
    off_mm = rng.normal(0, 0.7, 1 + max(p.row for p in layout.panels))
    layout = replace(
        layout,
        panels=tuple(replace(p, baseline_mm=p.baseline_mm + float(off_mm[p.row])) for p in layout.panels),
    )
    sheet = rectify(taken.image, taken.map, (0.0, 0.0, page.width_mm, page.height_mm))
    if sheet.seen.mean() < 0.5:
        return None
    reads = read_rows(sheet, layout, TraceSettings())
    chances = claimed(reads, layout)
    pieces = [cut for piece in pieces_in_doubt(reads, chances) for cut in _cut(rng, piece, reads)]
    if not pieces:
        return None
    said = what_others_say(reads, layout)
    ink = {}
    out: dict[str, NDArray[Any]] = {}
    for number, at in enumerate(rng.permutation(len(pieces))[:_PIECES]):
        piece = pieces[at]
        arrays: dict[str, list[Any]] = {name: [] for name in _ARRAYS}
        for j, (k, where) in enumerate(zip(piece.rows, piece.where, strict=True)):
            read = reads[k]
            arrays["chances"].append(_packed(chances[k][:, where]))
            arrays["top"].append(np.int32(lattice_corner(read)[1]))
            if j not in piece.asked:
                continue
            if k not in ink:
                ink[k] = ink_of(read.strip.rgb)
            fine = slice(COLUMNS_PER_PX * where.start, COLUMNS_PER_PX * where.stop)
            arrays["asked"].append(np.int32(j))
            arrays["ink"].append(np.round(100 * ink[k][:, where]).astype(np.int8))
            top_mm, every = read.strip.top_mm, slice(fine.start, fine.stop, COLUMNS_PER_PX)
            arrays["zero"].append((said[k].zero_mm[every] - top_mm).astype(np.float32))
            arrays["y"].append((said[k].y_mm[every] - top_mm).astype(np.float32))
            arrays["sigma"].append(said[k].sigma_mm[every].astype(np.float32))
            x_mm = read.x_mm[fine]
            y_mm = row_curve(page, layout.rows()[k][0].row, x_mm)
            y_mm[~sheet.shows(x_mm, np.nan_to_num(y_mm))] = np.nan
            arrays["true"].append(((y_mm - top_mm) * read.strip.px_per_mm / POOLED_PX - 0.25).astype(np.float32))
        for name, values in arrays.items():
            out[f"{number}_{name}"] = np.array(values)
        asked = [chances[piece.rows[j]][:, piece.where[j]] for j in piece.asked]
        out[f"{number}_doubt"] = np.array(np.mean([doubt(claim) for claim in asked]), np.float32)
    return out


def doubt(chances: NDArray[np.float32]) -> float:
    """How much of the chances (ROWS, w) stands elsewhere than in each column's likeliest millimetre, in the mean."""
    millimetre = uniform_filter1d(chances, 4, axis=0, mode="constant") * 4
    there = chances.sum(axis=0)
    return float(np.mean(np.where(there > 0, there - np.minimum(millimetre.max(axis=0), there), 0.0)))


def _cut(rng: np.random.Generator, piece: Piece, reads: Sequence[Any]) -> list[Piece]:
    """The piece in parts of ``_WIDTH`` columns, or as one that is so wide around it; rows that do not reach over it are
    left out."""
    width = piece.where[0].stop - piece.where[0].start
    offsets = range(0, width, _WIDTH) if width > _WIDTH else [int(rng.integers(width - _WIDTH, 1))]
    out = []
    for offset in offsets:
        kept = [
            j for j, (k, where) in enumerate(zip(piece.rows, piece.where, strict=True))
            if where.start + offset >= 0 and COLUMNS_PER_PX * (where.start + offset + _WIDTH) <= len(reads[k].x_mm)
        ]  # fmt: skip
        asked = tuple(m for m, j in enumerate(kept) if j in piece.asked)
        if len(kept) > 1 and asked:
            where = tuple(slice(piece.where[j].start + offset, piece.where[j].start + offset + _WIDTH) for j in kept)
            out.append(Piece(tuple(piece.rows[j] for j in kept), where, asked))
    return out


def _packed(chances: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(255 * (np.log10(np.maximum(chances, 0) + _TINY) / 4 + 1)).clip(0, 255).astype(np.uint8)


def _unpacked(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    table = 10 ** ((np.arange(256) / 255 - 1) * 4) - _TINY
    table[0] = 0
    return table.astype(np.float32)[packed]


@dataclass(frozen=True)
class Example:
    """``parts`` of a piece, which of them are ``asked``, and their ``true`` rows (asked, 2·w), NaN without a line."""

    parts: list[Part]
    asked: list[int]
    true: NDArray[np.float32]


def example(arrays: dict[str, NDArray[Any]], rng: np.random.Generator | None = None, unsaid: float = 0.0) -> Example:
    """The example that :func:`page_pieces` stored; mirrored and upside down at random if ``rng`` is given."""
    chances = _unpacked(arrays["chances"])
    tops, asked = arrays["top"].tolist(), arrays["asked"].tolist()
    heights = np.asarray((np.arange(ROWS) + 0.25) * POOLED_PX / SHEET_PX_PER_MM, np.float64)
    nothing = np.zeros(chances.shape[1:], np.float32)
    quiet = rng is not None and rng.random() < unsaid
    parts = []
    for j, (top, claim) in enumerate(zip(tops, chances, strict=True)):
        if j not in asked:
            parts.append(Part(claim, nothing, nothing, nothing, top))
            continue
        at = asked.index(j)
        fit = nothing if quiet else fit_of(heights, arrays["y"][at], arrays["sigma"][at])
        parts.append(
            Part(claim, arrays["ink"][at].astype(np.float32) / 100, fit, away_of(heights, arrays["zero"][at]), top)
        )
    true = arrays["true"]
    if rng is None:
        return Example(parts, asked, true)
    if rng.random() < 0.5:
        parts = [_turned(part, np.s_[:, ::-1], part.top, 1) for part in parts]
        true = true[:, ::-1]
    if rng.random() < 0.5:
        n = len(parts)
        parts = [_turned(part, np.s_[::-1], -part.top, -1) for part in parts][::-1]
        asked, true = [n - 1 - j for j in asked][::-1], (ROWS - 1 - true)[::-1]
    return Example(parts, asked, true)


def _turned(part: Part, how: Any, top: int, sign: int) -> Part:
    return Part(part.chances[how], part.ink[how], part.fit[how], sign * part.away[how], top)


def line_loss(logits: Tensor, true: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """(cross-entropy, mean error of the distribution's middle in millimetres) of logits (n, ROWS, columns) to rows
    (n, columns), NaN where there is no line."""
    inside = torch.isfinite(true) & (true > 0) & (true < ROWS - 1)
    y = torch.where(inside, true, torch.zeros_like(true))
    log_p = F.log_softmax(logits, dim=1)
    row = torch.arange(ROWS, dtype=logits.dtype)[None, :, None]
    weight = torch.exp(-0.5 * ((row - y[:, None]) / sigma) ** 2)
    weight = weight / weight.sum(dim=1, keepdim=True)
    entropy = -(weight * log_p).sum(dim=1)
    middle = (log_p.exp() * row).sum(dim=1)
    error = (middle - y).abs() / 4
    n = inside.sum().clamp(min=1)
    return (entropy * inside).sum() / n, (error * inside).sum() / n


def answers(model: nn.Module, examples: Sequence[Example], autocast: Any) -> tuple[Tensor, Tensor]:
    """Logits (rows, ROWS, 2·w) of all asked rows in turn, and the true rows."""
    shown = torch.from_numpy(np.concatenate([seen(one.parts, one.asked) for one in examples]))
    with autocast():
        logits = model(shown.to(memory_format=torch.channels_last)).float()
    return logits, torch.from_numpy(np.concatenate([one.true for one in examples]).astype(np.float32))


class Store:
    """The pieces in ``folder``, of pages to train on or held out: the same ones whenever more have been added."""

    def __init__(self, folder: Path, held: bool) -> None:
        paths = [path for path in sorted(folder.glob("*.npz")) if held_out(path, _HELD) == held]
        self.at: list[tuple[Path, int]] = []
        doubts = []
        for path in paths:
            with np.load(path) as arrays:
                names = [name for name in arrays.files if name.endswith("_doubt")]
                self.at += [(path, int(name.split("_")[0])) for name in names]
                doubts += [float(arrays[name]) for name in names]
        # What is in no doubt has little to teach.
        weight = _AT_LEAST + np.array(doubts)
        self.chances = weight / weight.sum()

    def __len__(self) -> int:
        return len(self.at)

    def arrays(self, index: int) -> dict[str, NDArray[Any]]:
        path, number = self.at[index]
        with np.load(path) as stored:
            return {name: stored[f"{number}_{name}"] for name in _ARRAYS}


def train(store: Store, held: Store, out: Path, recipe: Recipe, start: Path | None = None) -> dict[str, float]:
    """Train within ``recipe.minutes``, from the network in ``start`` on if there is one, export ``out``/model.onnx and
    check it; errors on the pieces held out."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng([recipe.seed, time.time_ns() % 2**32])
    model = CrossingNetwork().to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    else:
        nn.init.zeros_(model.last.weight)
        nn.init.zeros_(model.last.bias)
    average = Average(model, recipe.average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=has_bfloat16("cpu"))
    begun, step = time.monotonic(), 0
    while (done := (time.monotonic() - begun) / 60 / recipe.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe.rate, recipe.warmup)
        examples: list[Example] = []
        while sum(len(one.asked) for one in examples) < recipe.batch:
            examples.append(example(store.arrays(int(rng.choice(len(store), p=store.chances))), rng, recipe.unsaid))
        entropy, error = line_loss(*answers(model, examples, autocast), recipe.sigma)
        loss = entropy + recipe.decoded * error
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        size = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(size):
            optimizer.step()
        step += 1
        average.take(model)
        if step % 300 == 0:
            torch.save(average.weights, out / "checkpoint.pt")
        if step % 25 == 0:
            values = {"entropy": round(entropy.item(), 3), "mm": round(error.item(), 3)}
            print(json.dumps({"step": step, "minutes": round(done * recipe.minutes, 1), **values}), flush=True)
    model.load_state_dict(average.weights)
    model.eval()
    scores = {"steps": float(step), "pieces": float(len(store)), **validate(model, held, recipe)}
    torch.save(model.state_dict(), out / "checkpoint.pt")
    shown = seen((one := example(held.arrays(0))).parts, one.asked)
    export(model, shown, out / "model.onnx")
    summary = {"recipe": asdict(recipe), "validation": scores}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)
    return scores


def validate(model: nn.Module, held: Store, recipe: Recipe, most: int = 400) -> dict[str, float]:
    """Over pieces held out: root mean square, mm, of the distribution's middle by the trace network and by this one,
    and the cross-entropies."""
    sums, n = np.zeros((2, 2)), 0
    with torch.no_grad():
        for k in np.linspace(0, len(held) - 1, min(most, len(held))).astype(int):
            one = example(held.arrays(int(k)))
            after, true = answers(model, [one], partial(torch.autocast, "cpu", enabled=False))
            before = torch.log(torch.from_numpy(np.stack([one.parts[j].chances for j in one.asked])) + 1e-6)
            inside = torch.isfinite(true) & (true > 0) & (true < ROWS - 1)
            count = int(inside.sum())
            for values, logits in zip(sums, (before.repeat_interleave(2, dim=2), after), strict=True):
                entropy, _ = line_loss(logits, true, recipe.sigma)
                middle = (logits.softmax(1) * torch.arange(ROWS)[None, :, None]).sum(1)
                values += [entropy.item() * count, float((((middle - true) / 4)[inside] ** 2).sum())]
            n += count
    (e0, s0), (e1, s1) = sums / max(n, 1)
    return {"entropy_before": e0, "entropy": e1, "mm_before": s0**0.5, "mm": s1**0.5}


def export(model: nn.Module, example: NDArray[np.float32], path: Path) -> float:
    """Write ``path`` and return the largest difference between it and torch on ``example`` (n, CHANNELS, ROWS, w)."""
    axes = {"seen": {0: "n", 3: "columns"}, "line": {0: "n", 2: "twice"}}
    return write_checked(model, torch.from_numpy(example), path, "line", axes, "seen")


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    if recipe.pages_minutes > 0:
        make, folder = partial(page_pieces, recipe=recipe), args.out / "pages"
        made = collect(make, recipe.pages_minutes, recipe.seed, args.signals, folder, args.workers)
        print(json.dumps({"pages": made}), flush=True)
    if recipe.minutes > 0:
        train(Store(args.out / "pages", False), Store(args.out / "pages", True), args.out, recipe, args.start)


if __name__ == "__main__":
    main()
