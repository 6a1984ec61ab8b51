"""Train the pen network: rows of captured pages through the trace network, then one small loop.

    python -m ecglift.training.pen --signals ../shared/data --out runs/pen --rows-minutes 10 --minutes 5 --workers 2

The rows are read by the shipped trace network, or by the one in ``--trace``: this network learns the errors of that
one, and must be trained anew with it. Rows are kept in ``--out`` and used again by the next call. ``--start`` goes on
from the shipped ``model.onnx``, into as many channels as ``--width`` says.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.models.pen import CHANNELS, mirrored, upside_down
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.style import competition_style, random_style
from ecglift.training.collecting import collect
from ecglift.training.command import add_start, add_workers, parser_for, recipe_of
from ecglift.training.crops import overprinted, row_curve
from ecglift.training.export import has_bfloat16, stored_weights, write_checked
from ecglift.training.signals import Signals

_LENGTH = 512
"""Columns of a training piece: 32 mm."""
_LOST_MM = 3.0
"""What is further off than this is another line or a letter, which no correction finds."""
_LEAST_COLUMNS = 32
_LEAST_LOSS = 1e-5
_OVERALL = 2.5
"""Pieces with fewer columns of a line do not count; errors far below 2 µm, which gives the second, do not either. The
third weighs the mean error over all columns against the mean of the pieces' logarithms."""

_RENDERED = CaptureSettings(px_per_mm=200 / 25.4, plain=True)
_RENDERED_SHARE = 0.3
"""That share of the clean pages are as programs draw them at 200 dpi, pixel by pixel."""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``tiny_mm``: errors below it count squared, above it linear; ``clean``: share of pages that are
    clean renders, where this network gains most; ``width``: channels, at least those of the file it starts from;
    ``least_steps``: to make, however long they take."""

    rows_minutes: float = 10.0
    minutes: float = 5.0
    width: int = 64
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-2
    tiny_mm: float = 0.15
    competition: float = 0.5
    clean: float = 0.3
    overprinted: float = 0.15
    least_steps: int = 1
    seed: int = 0


class PenNetwork(nn.Module):  # type: ignore[misc]
    """Features (n, CHANNELS, columns) → (n, 2, columns): correction in mm, log of the remaining error's scale in mm."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHANNELS, width, 7, padding=3)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, 5, padding=2 * step, dilation=step) for step in (1, 2, 4, 8, 2, 1)
        )
        self.last = nn.Conv1d(width, 2, 1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([0.0, -2.5]))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = x + F.relu(block(x))
        return self.last(x)


def widened(state: dict[str, Tensor], model: PenNetwork) -> None:
    """Fill ``model`` with the weights ``state`` of a network that is as wide or narrower: it answers as that does, and
    its new channels, which see but are not listened to yet, have what they were drawn with."""
    own = model.state_dict()
    for name, weight in state.items():
        target = own[name]
        if any(a > b for a, b in zip(weight.shape, target.shape, strict=True)):
            raise ValueError(f"{name} has the shape {tuple(weight.shape)}, more than {tuple(target.shape)}: widen more")
        if weight.ndim == 3 and name != "first.weight":
            target[: weight.shape[0], weight.shape[1] :] = 0
        target[tuple(slice(size) for size in weight.shape)] = weight
    model.load_state_dict(own)


Row = tuple[NDArray[np.float16], NDArray[np.float32]]
"""Features (CHANNELS, n) and what the line is off by (n,) in mm, NaN where there is no line."""


def page_rows(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> list[Row]:
    """The rows of one captured page, laid flat by its true map and read by the trace network."""
    from ecglift.press.warp import inverse, seen_box_mm
    from ecglift.stages.rectify import rectify
    from ecglift.stages.trace import TraceSettings, read_row, row_features, row_path

    style = competition_style(rng) if rng.random() < recipe.competition else random_style(rng)
    page = compose(rng, signals.draw(rng), signals.fs_hz, style)
    if rng.random() < recipe.overprinted:
        page = overprinted(rng, page)
    kind = "clean" if rng.random() < recipe.clean else str(rng.choice(np.array(KINDS)))
    rendered = kind == "clean" and rng.random() < _RENDERED_SHARE
    taken = capture(page, kind, rng, _RENDERED if rendered else CaptureSettings.usual(max_megapixels=6.0))
    bounds = seen_box_mm(inverse(taken.map, taken.image.shape[:2], 32), page.width_mm, page.height_mm, margin_mm=0.0)
    sheet = rectify(taken.image, taken.map, bounds)
    out = []
    for panels in page.layout.rows():
        read = read_row(sheet, panels, TraceSettings())
        path = row_path(read, panels, TraceSettings())
        seen = row_features(read, path)
        inside = (read.x_mm >= min(p.x0_mm for p in panels)) & (read.x_mm <= max(p.x1_mm for p in panels))
        off = row_curve(page, panels[0].row, read.x_mm) - path.y_mm
        if np.isfinite(off[inside]).mean() > 0.3:
            out.append((seen[:, inside].astype(np.float16), off[inside].astype(np.float32)))
    return out


def _read(
    rng: np.random.Generator, signals: Signals, recipe: Recipe, trace: Path | None
) -> dict[str, NDArray[Any]] | None:
    """The rows of one page, numbered, as the network in the folder ``trace`` reads them, else the shipped one."""
    if trace is not None:
        _use_trace(trace)
    rows = page_rows(rng, signals, recipe)
    return (
        {f"x{k}": seen for k, (seen, _) in enumerate(rows)} | {f"y{k}": off for k, (_, off) in enumerate(rows)}
    ) or None


@cache
def _use_trace(folder: Path) -> None:
    """Let the trace stage read with the network in ``folder`` instead of the shipped one."""
    from ecglift.models import runtime
    from ecglift.stages import trace

    model, shipped = runtime.open_model(folder), runtime.load

    def load(name: str) -> runtime.Model:
        return model if name == "trace" else shipped(name)

    vars(trace)["load"] = load


def stored(folder: Path) -> list[list[Row]]:
    """The rows of every page in ``folder``."""
    pages = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            pages.append([(arrays[f"x{k}"], arrays[f"y{k}"]) for k in range(len(arrays.files) // 2)])
    return pages


def piece(rng: np.random.Generator, row: Row) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A piece of a row, perhaps mirrored or upside down: features (CHANNELS, 512) and errors (512,)."""
    start = int(rng.integers(max(row[1].size - _LENGTH, 0) + 1))
    x, y = row[0][:, start : start + _LENGTH].astype(np.float32), row[1][start : start + _LENGTH]
    if y.size < _LENGTH:
        x, y = np.pad(x, ((0, 0), (0, _LENGTH - y.size))), np.pad(y, (0, _LENGTH - y.size), constant_values=np.nan)
    if rng.random() < 0.5:
        x, y = upside_down(x), -y
    if rng.random() < 0.5:
        x, y = mirrored(x), y[::-1].copy()
    return x, y


def pen_loss(answer: Tensor, off: Tensor, tiny_mm: float) -> tuple[Tensor, Tensor]:
    """(loss of the correction, negative log-likelihood of the scale), of answers (n, 2, columns) to errors (n, columns)
    in mm, NaN where there is no line.

    The correction's is the mean logarithm of each piece's error, since a score in dB gains as much by a clean piece
    made a tenth better as by a soiled one, and the mean error over all, lest whole complexes of soiled pieces be given
    up.
    """
    there = torch.isfinite(off) & (off.abs() < _LOST_MM)
    left = torch.where(there, answer[:, 0] - torch.nan_to_num(off), torch.zeros_like(off))
    size_of_piece = F.smooth_l1_loss(left, torch.zeros_like(left), beta=tiny_mm, reduction="none").sum(dim=1)
    columns = there.sum(dim=1)
    enough = columns >= _LEAST_COLUMNS
    correction = 0.1 * torch.log(size_of_piece[enough] / columns[enough] + _LEAST_LOSS).mean()
    correction = correction + _OVERALL * size_of_piece.sum() / columns.sum().clamp(min=1)
    # The scale must know of lost lines as well, and must not move the correction.
    known = torch.isfinite(off)
    log_scale = answer[:, 1][known].clamp(-6, 3)
    size = (answer[:, 0][known].detach() - off[known]).abs()
    return correction, (log_scale + size * torch.exp(-log_scale)).mean()


def train(pages: list[list[Row]], out: Path, recipe: Recipe, start: Path | None = None) -> dict[str, float]:
    """Train within ``recipe.minutes``, from the network in ``start`` on if there is one, export ``out``/model.onnx and
    check it; errors of the rows of held-out pages before and after."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    # Whole pages are held out: rows of one page share its pen and its blur.
    held = [row for page in pages[::12] for row in page]
    rows = [row for k, page in enumerate(pages) if k % 12 for row in page]
    model = PenNetwork(recipe.width)
    if start is not None:
        widened(stored_weights(start), model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    quick = has_bfloat16("cpu")
    begun, step = time.monotonic(), 0
    while (done := min((time.monotonic() - begun) / 60 / recipe.minutes, step / recipe.least_steps)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, step / 100 + 0.05) * 0.5 * (1 + math.cos(math.pi * done))
        pieces = [piece(rng, rows[int(k)]) for k in rng.integers(len(rows), size=recipe.batch)]
        x, y = (torch.from_numpy(np.stack(part)) for part in zip(*pieces, strict=True))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=quick):
            answer = model(x)
        correction, likelihood = pen_loss(answer.float(), y, recipe.tiny_mm)
        optimizer.zero_grad(set_to_none=True)
        (correction + 0.02 * likelihood).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 1000 == 0:
            torch.save(model.state_dict(), out / "checkpoint.pt")
        if step % 200 == 0:
            print(json.dumps({"step": step, "correction": correction.item(), "scale": likelihood.item()}), flush=True)
    model.eval()
    scores = {"steps": float(step), "rows": float(len(rows)), **validate(model, held)}
    torch.save(model.state_dict(), out / "checkpoint.pt")
    export(model, rows[0][0][None, :, :_LENGTH].astype(np.float32), out / "model.onnx")
    summary = {"recipe": asdict(recipe), "validation": scores}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)
    return scores


def validate(model: PenNetwork, rows: list[Row]) -> dict[str, float]:
    """Root mean square error (mm) before and after, by how many dB a row's error falls in the mean, and the share of
    columns within ±0.2 mm against what was said."""
    before, after, said, right, fallen = [], [], [], [], []
    with torch.no_grad():
        for x, y in rows:
            answer = model(torch.from_numpy(x[None].astype(np.float32)))[0].numpy()
            there = np.isfinite(y) & (np.abs(y) < _LOST_MM)
            before.append(y[there])
            after.append((y - answer[0])[there])
            if there.sum() >= _LEAST_COLUMNS:
                fallen.append(20 * np.log10(max(before[-1].std(), 1e-4) / max(after[-1].std(), 1e-4)))
            known = np.isfinite(y)
            said.append(1 - np.exp(-0.2 / np.exp(answer[1][known])))
            right.append(np.abs(y - answer[0])[known] < 0.2)
    a, b = (np.sqrt(np.mean(np.square(np.concatenate(v)))) for v in (before, after))
    chance, good = np.concatenate(said), np.concatenate(right)
    sure = chance > 0.85
    return {
        "rms_before_mm": float(a),
        "rms_after_mm": float(b),
        "fallen_db": float(np.mean(fallen)) if fallen else 0.0,
        "said": float(chance.mean()),
        "right": float(good.mean()),
        "sure_said": float(chance[sure].mean()),
        "sure_right": float(good[sure].mean()),
    }


def export(model: PenNetwork, example: NDArray[np.float32], path: Path) -> float:
    """Write ``path`` and return the largest difference between it and torch on ``example`` (n, CHANNELS, columns)."""
    axes = {"features": {0: "n", 2: "columns"}, "correction": {0: "n", 2: "columns"}}
    return write_checked(model, torch.from_numpy(example), path, "correction", axes, "features")


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    parser.add_argument("--trace", type=Path, help="folder of the trace network to read with, instead of the shipped")
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    if recipe.rows_minutes > 0:
        make, folder = partial(_read, recipe=recipe, trace=args.trace), args.out / "rows"
        made = collect(make, recipe.rows_minutes, recipe.seed, args.signals, folder, args.workers)
        print(json.dumps({"pages": made}), flush=True)
    train(stored(args.out / "rows"), args.out, recipe, args.start)


if __name__ == "__main__":
    main()
