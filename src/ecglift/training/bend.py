"""Train the bend network: captured pages through the lock onto their grid, then one loop.

    python -m ecglift.training.bend --signals ../shared/data --out runs/bend --pages-minutes 30 --minutes 15 --workers 2

Pages are found by the shipped grid network: this network learns the errors of that one. What was seen of them is kept
in ``--out`` and used again by the next call. ``--start`` goes on from the shipped ``model.onnx``.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ecglift.geometry import apply_homography
from ecglift.models.bend import (
    CELLS,
    EACH,
    LINES,
    UNIT_MM,
    Features,
    cell_features,
    joined,
    known,
    line_features,
    mirrored,
    mirrored_answer,
    transposed,
    transposed_answer,
)
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.style import competition_style, random_style
from ecglift.training.average import Average
from ecglift.training.collecting import collect, held_out
from ecglift.training.command import add_start, add_workers, parser_for, rate_at, recipe_of
from ecglift.training.export import has_bfloat16, load_weights, write_checked
from ecglift.training.signals import Signals

_KINDS = {"photo": 12.0, "damaged": 12.0, "stained": 8.0}
"""How often a kind of capture is taken, others once: those on which sheets are bent."""

_WRONG_MM = 0.5
_LEAST_RIGHT = 0.8
"""A cell that is further off than the first was locked on another line; a page with fewer others is left out."""

_PER_UNIT = 40
"""Of line features in a byte, which holds up to three units."""

_CROP = 32
"""Cells of a training piece, 160 mm."""

_LEAST_CELLS = 64
_LEAST_LOSS = 1e-4
"""Pieces with fewer answers do not count; errors far below a micrometre, which gives the second, do not either."""

_HELD = 12
"""One sheet in so many is held out."""


@dataclass(frozen=True)
class Recipe:
    """How to train. ``competition``: share of pages in the competition's layout; ``tiny``: errors below it, in
    tenths of a millimetre, count squared, above it linear; ``width``: channels, a multiple of 32; ``least_steps``: to
    make, however long they take."""

    pages_minutes: float = 30.0
    minutes: float = 15.0
    width: int = 64
    batch: int = 12
    rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup: float = 0.02
    tiny: float = 0.3
    competition: float = 0.5
    average: float = 0.998
    least_steps: int = 1
    seed: int = 0


class BendNetwork(nn.Module):  # type: ignore[misc]
    """What is seen (n, CHANNELS, rows, columns) → (n, 4, rows, columns): corrections across and down in tenths of a
    millimetre, then the logarithms of the scales of what error is left."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.lines = nn.Conv2d(LINES, 32, 3, padding=1)
        self.by_cell = nn.Conv2d(32, width, EACH, stride=EACH)
        self.cells = nn.Conv2d(CELLS, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=step, dilation=step) for step in (1, 1, 2, 4, 2, 1, 1, 1)
        )
        self.last = nn.Conv2d(width, 4, 1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(torch.tensor([0.0, 0.0, -2.0, -2.0]))

    def forward(self, seen: Tensor) -> Tensor:
        lines = F.relu(self.lines(F.pixel_shuffle(seen[:, : LINES * EACH**2], EACH)))
        x = F.relu(self.by_cell(lines) + self.cells(seen[:, LINES * EACH**2 :]))
        for block in self.blocks:
            x = x + F.relu(block(x))
        return self.last(x)


@dataclass(frozen=True)
class Sheet:
    """What was seen of one sheet, as in :class:`ecglift.lattice.bends.Bends` but with line features in bytes, and the
    truth: ``true``, (rows, columns, 2) mm how far its cells are from the flat page, NaN where they are on another
    line or nothing is seen."""

    lines: NDArray[np.int8]
    base: NDArray[np.float32]
    left: NDArray[np.float32]
    trust: NDArray[np.float32]
    strength: NDArray[np.float32]
    coverage: NDArray[np.float32]
    true: NDArray[np.float32]

    def crop(self, row: int, column: int, size: int) -> Sheet:
        """``size`` cells of it from ``row`` and ``column`` on."""
        rows, columns = slice(row, row + size), slice(column, column + size)
        mm = np.s_[:, EACH * row : EACH * (row + size), EACH * column : EACH * (column + size)]
        return Sheet(
            lines=self.lines[mm],
            base=self.base[rows, columns],
            left=self.left[rows, columns],
            trust=self.trust[:, rows, columns],
            strength=self.strength[:, rows, columns],
            coverage=self.coverage[rows, columns],
            true=self.true[rows, columns],
        )

    def features(self) -> Features:
        """What the network is shown, of lines and of cells."""
        cells = cell_features(self.base, self.left, self.trust, self.strength, self.coverage)
        return self.lines.astype(np.float32) / np.float32(_PER_UNIT), cells

    def wanted(self) -> NDArray[np.float32]:
        """(2, rows, columns) the corrections it should answer, in its own unit, NaN where nobody can tell."""
        return np.asarray(np.moveaxis(self.true - self.base, -1, 0) / UNIT_MM, np.float32)


def page_sheet(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> Sheet | None:
    """What is seen of one captured page; None where its grid is not found, or it is flat."""
    from ecglift.lattice.contrast import WORKING_PIXELS
    from ecglift.lattice.lock import lock
    from ecglift.lattice.search import find_lattice
    from ecglift.stages.grid import by_network

    style = competition_style(rng) if rng.random() < recipe.competition else random_style(rng)
    page = compose(rng, signals.draw(rng), signals.fs_hz, style)
    chances = np.array([_KINDS.get(kind, 1.0) for kind in KINDS])
    taken = capture(
        page, str(rng.choice(np.array(KINDS), p=chances / chances.sum())), rng,
        CaptureSettings.usual(max_megapixels=4.0),
    )  # fmt: skip
    found = find_lattice(taken.image, WORKING_PIXELS, None, by_network)
    if found is None:
        return None
    locked = lock(found.lines, found.page_map, found.region_px)
    if locked.bends is None or locked.plane is None:
        return None
    bends, centres = locked.bends, np.stack(np.meshgrid(locked.x_mm, locked.y_mm), -1)
    seen = known(bends.trust)
    # Which way the sheet was found lying, and on which lines: quarter turns and whole squares are not its bends.
    to_image = np.asarray(np.linalg.inv(found.to_work), np.float64)
    there = centres[seen]
    if len(there) < _CROP:
        return None
    truth_mm = taken.map.to_mm(apply_homography(to_image, locked.page_map.to_px(there)))
    linear, *_ = np.linalg.lstsq(np.c_[there, np.ones(len(there))], truth_mm, rcond=None)
    turn = np.round(linear[:2])
    offset = np.median(truth_mm - there @ turn, axis=0)
    if abs(round(float(np.linalg.det(turn)))) != 1:
        return None
    px = apply_homography(found.to_work, taken.map.to_px(centres @ turn + offset))
    true = apply_homography(np.asarray(np.linalg.inv(locked.plane), np.float64), px) - centres
    wrong = np.asarray((np.abs(true - bends.base) > _WRONG_MM).any(-1), np.bool_)
    if np.mean(wrong[seen]) > 1 - _LEAST_RIGHT:
        return None
    true[wrong | ~seen] = np.nan
    return Sheet(
        lines=np.round(_PER_UNIT * line_features(bends)).astype(np.int8),
        base=np.asarray(bends.base, np.float32),
        left=np.asarray(bends.left, np.float32),
        trust=np.asarray(bends.trust, np.float32),
        strength=np.asarray(bends.strength, np.float32),
        coverage=np.asarray(bends.coverage, np.float32),
        true=np.asarray(true, np.float32),
    )


def _seen(rng: np.random.Generator, signals: Signals, recipe: Recipe) -> dict[str, NDArray[Any]] | None:
    sheet = page_sheet(rng, signals, recipe)
    return None if sheet is None else vars(sheet)


def stored(folder: Path) -> tuple[list[Sheet], list[Sheet]]:
    """The sheets in ``folder``, to train on and held out: the same ones whenever more have been added."""
    parts: tuple[list[Sheet], list[Sheet]] = ([], [])
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            sheet = Sheet(**{name: arrays[name] for name in arrays.files})
        parts[held_out(path, _HELD)].append(sheet)
    return parts


def piece(rng: np.random.Generator, sheet: Sheet) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network is shown, (CHANNELS, 32, 32), and should answer, (2, 32, 32), of a part of a sheet, perhaps
    mirrored, upside down or on its side."""
    rows, columns = sheet.coverage.shape
    there = np.argwhere(np.isfinite(sheet.true[..., 0]))
    # About a cell that is known: much of what surrounds a sheet is none.
    middle = there[int(rng.integers(len(there)))]
    row, column = (
        int(np.clip(middle[k] - rng.integers(_CROP), 0, max(size - _CROP, 0))) for k, size in enumerate((rows, columns))
    )
    part = sheet.crop(row, column, _CROP)
    features, wanted = part.features(), part.wanted()
    for turn, answer in ((mirrored, mirrored_answer), (transposed, transposed_answer), (mirrored, mirrored_answer)):
        if rng.random() < 0.5:
            features, wanted = turn(features), answer(wanted)
    seen = joined(*features)
    pad = [(0, 0), *((0, _CROP - size) for size in seen.shape[1:])]
    return np.pad(seen, pad), np.pad(wanted, pad, constant_values=np.nan)


def bend_loss(answer: Tensor, wanted: Tensor, tiny: float) -> tuple[Tensor, Tensor]:
    """(loss of the corrections, negative log-likelihood of the scales) of answers (n, 4, rows, columns) to corrections
    (n, 2, rows, columns), NaN where nobody can tell.

    The corrections' is the mean logarithm of each piece's error, since a clean sheet's tenth is worth as much as a
    crumpled one's, and the mean over all, lest folds be given up.
    """
    there = torch.isfinite(wanted)
    left = torch.where(there, answer[:, :2] - torch.nan_to_num(wanted), torch.zeros_like(wanted))
    size = F.smooth_l1_loss(left, torch.zeros_like(left), beta=tiny, reduction="none").sum(dim=(1, 2, 3))
    cells = there.sum(dim=(1, 2, 3))
    enough = cells >= _LEAST_CELLS
    correction = 0.1 * torch.log(size[enough] / cells[enough] + _LEAST_LOSS).mean()
    correction = correction + size.sum() / cells.sum().clamp(min=1)
    # The scale must not move the correction.
    log_scale = answer[:, 2:][there].clamp(-6, 2)
    return correction, (log_scale + left.detach()[there].abs() * torch.exp(-log_scale)).mean()


def train(
    sheets: list[Sheet], held: list[Sheet], out: Path, recipe: Recipe, start: Path | None = None
) -> dict[str, float]:
    """Train on ``sheets`` within ``recipe.minutes``, from the network in ``start`` on if there is one, export
    ``out``/model.onnx and check it; errors on the ``held`` out sheets before and after."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = BendNetwork(recipe.width).to(memory_format=torch.channels_last)
    if start is not None:
        load_weights(model, start)
    average = Average(model, recipe.average)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    quick = has_bfloat16("cpu")
    begun, step = time.monotonic(), 0
    while (done := min((time.monotonic() - begun) / 60 / recipe.minutes, step / recipe.least_steps)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(done, recipe.rate, recipe.warmup)
        pieces = [piece(rng, sheets[int(k)]) for k in rng.integers(len(sheets), size=recipe.batch)]
        seen, wanted = (torch.from_numpy(np.stack(part)) for part in zip(*pieces, strict=True))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=quick):
            answer = model(seen.to(memory_format=torch.channels_last))
        correction, likelihood = bend_loss(answer.float(), wanted, recipe.tiny)
        optimizer.zero_grad(set_to_none=True)
        (correction + 0.02 * likelihood).backward()
        size = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(size):  # bfloat16 convolutions of some widths answer what is no number
            optimizer.step()
        step += 1
        average.take(model)
        if step % 500 == 0:
            torch.save(average.weights, out / "checkpoint.pt")
        if step % 100 == 0:
            print(json.dumps({"step": step, "correction": correction.item(), "scale": likelihood.item()}), flush=True)
    model.load_state_dict(average.weights)
    model.eval()
    scores = {"steps": float(step), "sheets": float(len(sheets)), **validate(model, held)}
    torch.save(model.state_dict(), out / "checkpoint.pt")
    export(model, joined(*sheets[0].features())[None], out / "model.onnx")
    summary = {"recipe": asdict(recipe), "validation": scores}
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary), flush=True)
    return scores


def validate(model: nn.Module, sheets: list[Sheet]) -> dict[str, float]:
    """Mean over the sheets of the error's root mean square, mm, of the smooth field and of the network, by how many dB
    it falls in the mean, and what the network says that it is."""
    before, after, said = [], [], []
    with torch.no_grad():
        for sheet in sheets:
            wanted = sheet.wanted()
            answer = model(torch.from_numpy(joined(*sheet.features())[None]))[0].float().numpy()
            there = np.isfinite(wanted)
            before.append(float(np.sqrt(np.mean(np.square(wanted[there])))) * UNIT_MM)
            after.append(float(np.sqrt(np.mean(np.square((answer[:2] - wanted)[there])))) * UNIT_MM)
            said.append(float(np.sqrt(np.mean(2 * np.exp(2 * answer[2:][there])))) * UNIT_MM)
    return {
        "before_mm": float(np.mean(before)),
        "after_mm": float(np.mean(after)),
        "fallen_db": float(np.mean(20 * np.log10(np.array(before) / np.array(after)))),
        "said_mm": float(np.mean(said)),
    }


def export(model: nn.Module, example: NDArray[np.float32], path: Path) -> float:
    """Write ``path`` and return the largest difference between it and torch on ``example`` (n, CHANNELS, rows,
    columns)."""
    axes = {name: {0: "n", 2: "rows", 3: "columns"} for name in ("seen", "bend")}
    return write_checked(model, torch.from_numpy(example), path, "bend", axes, "seen")


def main() -> None:
    parser = parser_for(__doc__, Recipe())
    add_workers(parser)
    add_start(parser)
    args = parser.parse_args()
    recipe = recipe_of(Recipe, args)
    args.out.mkdir(parents=True, exist_ok=True)
    if recipe.pages_minutes > 0:
        make, folder = partial(_seen, recipe=recipe), args.out / "sheets"
        made = collect(make, recipe.pages_minutes, recipe.seed, args.signals, folder, args.workers)
        print(json.dumps({"sheets": made}), flush=True)
    train(*stored(args.out / "sheets"), args.out, recipe, args.start)


if __name__ == "__main__":
    main()
