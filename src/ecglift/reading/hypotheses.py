"""Arrangements weighed against what was seen: every usual template row by row, and what the printed names alone say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ecglift.leads import LEADS
from ecglift.models.sheetmap import LABELS
from ecglift.paper import TEMPLATES, Template
from ecglift.reading.marks import Edge, Label, Row

CUSTOM: Final = "custom"

_PRIOR: Final[dict[str, float]] = {
    "3x4": -0.3,
    "3x4+1": 0.0,
    "3x4+2": -1.5,
    "3x4+3": -0.7,
    "3x4-cabrera": -2.5,
    "3x4-cabrera+1": -2.5,
    "6x2": -0.5,
    "6x2+1": -0.7,
    "6x2-cabrera": -2.2,
    "6x2-cabrera+1": -2.7,
    "12x1": 0.0,
    "12x1-cabrera": -2.2,
    "6x1-limb": -0.5,
    "6x1-chest": -1.0,
    "3x1": -1.0,
    "2x1": -2.0,
    "1x1": -0.5,
}
"""Log-odds of templates with the same number of rows, before anything is seen; how common they are in practice."""
_RHYTHM_PRIOR: Final[dict[str, float]] = {"II": 0.0, "V1": -1.2, "V5": -1.6}
_RARE_RHYTHM: Final = -2.5

_ROW_LOST: Final = -5.0
"""A row of the template that is not on the sheet (cropped or unseen)."""
_ROW_SPARE: Final = -6.0
"""A seen row that the template does not have, when it is as long as the others; shorter ones cost less."""
_ROW_SHORT: Final = -6.0
_SHORT: Final = 0.5
"""A row of the template that is seen over next to none of the longest row's length; from this share on it costs
nothing. Spots of mould and scribbles make short rows, rows of a sheet are of one length."""
_NAME_LOST: Final = -0.8
_NAME_SPARE: Final = -3.0
_NETWORK: Final = 0.4
"""Weight of the sheet network's own guess of the template."""
_CUSTOM_COST: Final = -7.0
_CUSTOM_NAME_COST: Final = -0.6
_FEW: Final = 3


@dataclass(frozen=True)
class RowView:
    """A row with all that was seen on it: starts and ends of panels, names."""

    row: Row
    starts: tuple[Edge, ...]
    ends: tuple[Edge, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Cell:
    """One panel of a hypothesis: seen row, column of ``n_columns``, printed name ("-aVR": inverted), rhythm strip, its
    label if seen.
    """

    row: int
    column: int
    n_columns: int
    name: str
    rhythm: bool
    label: Label | None


@dataclass(frozen=True)
class Hypothesis:
    """An arrangement and its log-score. ``dropped``: seen rows that it does not explain; ``lost``: rows of the
    template not seen.
    """

    name: str
    cells: tuple[Cell, ...]
    log_score: float
    dropped: tuple[int, ...] = ()
    lost: int = 0


def label_way(
    hypothesis: Hypothesis, views: Sequence[RowView], extent: tuple[float, float]
) -> tuple[float, float] | None:
    """From a panel's start and zero line to its label's middle, mm: the usual way on this sheet; None with too few
    labels.
    """
    ways = []
    for cell in hypothesis.cells:
        if cell.label is not None and cell.label.chance > 0.5:
            x, y = panel_start(cell, views, extent)
            ways.append((cell.label.x_mm - x, cell.label.y_mm - y))
    if len(ways) < _FEW:
        return None
    middle = np.median(ways, axis=0)
    # Names of other lengths have their middle elsewhere, their row's height is the same.
    agree = np.abs(np.array(ways) - middle).max(axis=1) < 4.0
    return (float(middle[0]), float(middle[1])) if agree.mean() > 0.6 else None


def panel_start(cell: Cell, views: Sequence[RowView], extent: tuple[float, float]) -> tuple[float, float]:
    """About where a cell's panel begins: x mm and its zero line y mm."""
    x0, x1 = extent
    return x0 + cell.column * (x1 - x0) / cell.n_columns, views[cell.row].row.y_mm


Side = Literal["seen", "below", "above"]
"""Which row a label belongs to: the one the network sees, the next below it, the next above it."""


def assign_labels(rows: Sequence[Row], labels: Sequence[Label], side: Side = "seen") -> list[list[Label]]:
    """The labels of each row; of overlapping ones the surest."""
    out: list[list[Label]] = [[] for _ in rows]
    if not rows:
        return out
    y = np.array([row.y_mm for row in rows])
    pitch = float(min(np.diff(y), default=30.0))
    for label in labels:
        away = y - (label.panel_y_mm if side == "seen" else label.y_mm)
        if side == "seen":
            away = np.where(np.abs(away) > max(0.5 * pitch, 6.0), np.inf, np.abs(away))
        else:
            away = away if side == "below" else -away
            # A name may stand on its row's line.
            away = np.where((away < -1.5) | (away > max(1.2 * pitch, 15.0)), np.inf, np.abs(away))
        k = int(np.argmin(away))
        if not np.isfinite(away[k]):
            continue
        if any(abs(other.x_mm - label.x_mm) < 5 and abs(other.y_mm - label.y_mm) < 4 for other in out[k]):
            continue
        out[k].append(label)
    return out


def _log_p(label: Label, name: str) -> float:
    """Evidence of a label for a name against chance level, −6 at least, scaled with the chance that it is a label."""
    return label.chance * max(float(label.log_p[LABELS.index(name)]) + math.log(len(LABELS)), -6.0)


def _columns_evidence(view: RowView, extent: tuple[float, float], n_columns: int) -> float:
    """How well the panel starts seen inside a row fit ``n_columns`` equal columns over ``extent``."""
    x0, x1 = extent
    width = (x1 - x0) / n_columns
    inner = [x0 + k * width for k in range(1, n_columns)]
    tolerance = min(0.12 * (x1 - x0), 8.0 + 0.04 * (x1 - x0)) / 2
    score, used = 0.0, set()
    for x in inner:
        near = [(e.chance, k) for k, e in enumerate(view.starts) if abs(e.x_mm - x) < tolerance]
        best = max(near, default=(0.0, -1))
        used.add(best[1])
        score += float(np.log((best[0] + 0.15) / 0.5))
    for k, e in enumerate(view.starts):
        if k not in used and min(abs(e.x_mm - x0), abs(e.x_mm - x1)) > 8.0 and e.chance > 0.4:
            score -= 1.5 * e.chance
    return score


def _place_labels(view: RowView, extent: tuple[float, float], n_columns: int) -> tuple[dict[int, Label], float]:
    """The label of each column, and the chances of those that fit none together."""
    x0, x1 = extent
    width = (x1 - x0) / n_columns
    out: dict[int, Label] = {}
    spare = 0.0
    for label in sorted(view.labels, key=lambda one: -one.chance):
        # The network's guess of the panel's start is best near; the label's own place bounds it.
        column = round((label.panel_x_mm - x0) / width)
        if not 0 <= column < n_columns or abs(label.panel_x_mm - x0 - column * width) > 0.42 * width or column in out:
            spare += label.chance
            continue
        out[column] = label
    return out, spare


def _row_score(
    view: RowView,
    names: tuple[str, ...] | None,
    extent: tuple[float, float],
    any_labels: bool,
    told: Mapping[int, str],
    k: int,
) -> tuple[float, tuple[tuple[str, Label | None], ...]]:
    """Log-score of a row as ``names`` (None: a rhythm strip of the best-fitting lead) and the name and label of each
    column.
    """
    n_columns = len(names) if names else 1
    placed, spare = _place_labels(view, extent, n_columns)
    score = _columns_evidence(view, extent, n_columns) + _NAME_SPARE * spare
    if names is None:
        label = placed.get(0)

        def fit(lead: str) -> float:
            return _RHYTHM_PRIOR.get(lead, _RARE_RHYTHM) + (_log_p(label, lead) if label else 0.0)

        best = told.get(k) or max(LEADS, key=fit)
        return score + fit(best) + (_NAME_LOST if any_labels and not label else 0.0), ((best, label),)
    for column, name in enumerate(names):
        if column in placed:
            score += _log_p(placed[column], name)
        elif any_labels:
            score += _NAME_LOST
    return score, tuple((name, placed.get(column)) for column, name in enumerate(names))


def weigh_template(
    template: Template,
    views: Sequence[RowView],
    extent: tuple[float, float],
    log_prior: float,
    rhythm_leads: Sequence[str] = (),
) -> Hypothesis:
    """The best way to see ``template`` in the rows: in order, rows of either may be left over at a cost (dynamic
    programming).
    """
    wanted: list[tuple[str, ...] | None] = [*template.rows, *([None] * template.rhythm_strips)]
    told = dict(enumerate(rhythm_leads))
    any_labels = any(view.labels for view in views)
    n, m = len(views), len(wanted)
    longest = max(view.row.weight_mm for view in views)
    best = np.full((n + 1, m + 1), -np.inf)
    best[0, 0] = 0.0
    came: dict[tuple[int, int], str] = {}
    cells: dict[tuple[int, int], tuple[tuple[str, Label | None], ...]] = {}
    for i in range(n + 1):
        for j in range(m + 1):
            options: list[tuple[float, str]] = []
            if i and j:
                strip = j - 1 - len(template.rows)
                score, cells[i, j] = _row_score(views[i - 1], wanted[j - 1], extent, any_labels, told, strip)
                score += _ROW_SHORT * max(0.0, 1 - views[i - 1].row.weight_mm / (_SHORT * longest))
                options.append((best[i - 1, j - 1] + score, "both"))
            if i:
                spare = _ROW_SPARE * views[i - 1].row.life * min(
                    1.0, views[i - 1].row.weight_mm / longest
                ) + _NAME_SPARE * sum(one.chance for one in views[i - 1].labels)
                options.append((best[i - 1, j] + spare, "seen"))
            if j:
                options.append((best[i, j - 1] + _ROW_LOST, "wanted"))
            if options:
                best[i, j], came[i, j] = max(options)
    i, j, chosen, dropped, lost = n, m, [], [], 0
    while i or j:
        step = came[i, j]
        if step == "both":
            rhythm = wanted[j - 1] is None
            row_cells = cells[i, j]
            chosen += [Cell(i - 1, c, len(row_cells), name, rhythm, label) for c, (name, label) in enumerate(row_cells)]
        elif step == "seen":
            dropped.append(i - 1)
        else:
            lost += 1
        i, j = i - (step != "wanted"), j - (step != "seen")
    chosen.sort(key=lambda cell: (cell.row, cell.column))
    return Hypothesis(template.name, tuple(chosen), float(best[n, m]) + log_prior, tuple(sorted(dropped)), lost)


def weigh_custom(views: Sequence[RowView], extent: tuple[float, float]) -> Hypothesis:
    """The arrangement that the printed names alone say: each row as many columns as fit its names best."""
    score, cells = _CUSTOM_COST, []
    for k, view in enumerate(views):
        options = []
        for n_columns in (1, 2, 3, 4, 6):
            placed, spare = _place_labels(view, extent, n_columns)
            found = {c: LABELS[int(np.argmax(label.log_p))] for c, label in placed.items()}
            value = _columns_evidence(view, extent, n_columns) + _NAME_SPARE * spare
            value += sum(_log_p(placed[c], name) + _CUSTOM_NAME_COST for c, name in found.items())
            value -= 1.5 * (n_columns - len(found))
            options.append((value, -n_columns, placed, found))
        value, columns, placed, found = max(options, key=lambda option: option[:2])
        score += value
        for c, name in sorted(found.items()):
            cells.append(Cell(k, c, -columns, name, columns == -1 and len(views) > 1, placed[c]))
    named = [cell.name for cell in cells]
    score -= 3.0 * (len(named) - len(set(named)))  # a lead is seldom printed twice
    dropped = tuple(k for k in range(len(views)) if all(cell.row != k for cell in cells))
    # Rows of one panel are rhythm strips only beside rows of several.
    several = any(cell.n_columns > 1 for cell in cells)
    cells = [
        cell if several or not cell.rhythm else Cell(cell.row, 0, 1, cell.name, False, cell.label) for cell in cells
    ]
    return Hypothesis(CUSTOM, tuple(cells), score + _ROW_SPARE * len(dropped) * 0.5, dropped)


def weigh_all(
    views: Sequence[RowView],
    extent: tuple[float, float],
    network: Mapping[str, float],
    only: str | None = None,
    rhythm_leads: Sequence[str] = (),
) -> tuple[Hypothesis, ...]:
    """All hypotheses, best first. ``network``: probability of each template by the sheet network; ``only``: the layout
    that was told.
    """
    out = []
    for name, template in TEMPLATES.items():
        if only in (None, name):
            log_prior = _PRIOR[name] + _NETWORK * float(np.log(max(network.get(name, 0.0), 1e-2)))
            out.append(weigh_template(template, views, extent, log_prior, rhythm_leads))
    if only is None:
        out.append(weigh_custom(views, extent))
    return tuple(sorted(out, key=lambda h: -h.log_score))
