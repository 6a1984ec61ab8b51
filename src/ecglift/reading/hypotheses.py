"""Arrangements weighed against what was seen: every usual template row by row, and what the printed names alone say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

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
_OTHER_LEADS: Final = -1.0
"""Log-odds that strips alone on a sheet are other leads than they usually are: then what one of them is says nothing
of the others."""

_ROW_LOST: Final = -5.0
"""A row of the template that is not on the sheet (cropped or unseen)."""
_PLACE_MM: Final = 5.0
_BESIDE_MM: Final = 15.0
_COLUMN_STARTS: Final = (0, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6)
_ON_LINE_MM: Final = 1.5
"""A name may stand on its row's line."""
_END_MM: Final = 8.0
_LEAST_CLEAR: Final = 0.3
_NAMED_ROW: Final = 1.5
_NAMED_MOST: Final = 4.5
"""Log-odds that a name adds to its row, and at most: three clear names weigh as a fourth of a row's length."""
_SURE_ROW: Final = 0.997
_SURE_LABEL: Final = 0.9975
_FOUND: Final = 0.9
"""Share of the names that are found on a sheet where they are clearest."""
_NAME_SPARE: Final = -3.0
_NETWORK: Final = 0.4
"""Weight of the sheet network's own guess of the template."""
_NARROWEST_MM: Final = 28.0
_NARROW: Final = 10.0
"""Columns narrower than the first are unlikely, by so much per e-fold."""
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
    if not rows or not labels:
        return out
    y = np.array([row.y_mm for row in rows])
    pitch = float(min(np.diff(y), default=30.0))
    usual = 0.0 if side == "seen" else _usual_offset(y, labels, side, max(1.2 * pitch, 15.0))
    for label in labels:
        away = np.abs((label.panel_y_mm if side == "seen" else label.y_mm) - usual - y)
        k = int(np.argmin(away))
        if away[k] > max(0.5 * pitch, 6.0):
            continue
        if any(abs(other.x_mm - label.x_mm) < 5 and abs(other.y_mm - label.y_mm) < 4 for other in out[k]):
            continue
        out[k].append(label)
    return out


def _usual_offset(y: NDArray[np.float64], labels: Sequence[Label], side: Side, reach_mm: float) -> float:
    """How far below its row (mm; negative: above it) most of a sheet's names stand on the given side of their rows.

    Rows are never quite at one pitch, so one offset fits all names better than the one to the next row does.
    """
    offsets = np.array([label.y_mm for label in labels])[:, None] - y[None]
    low, high = (-reach_mm, _ON_LINE_MM) if side == "below" else (-_ON_LINE_MM, reach_mm)
    usual = offsets[(offsets > low) & (offsets < high)]
    if not len(usual):
        return 0.0
    chances = np.array([label.chance for label in labels])[:, None]
    fit = [float((chances * np.exp(-((offsets - one) ** 2) / 2)).sum()) for one in usual]
    return float(usual[int(np.argmax(fit))])


def believed(
    labels: Sequence[Label], rows: Sequence[Row], extent: tuple[float, float], area_mm2: float
) -> tuple[Label, ...]:
    """``labels`` with the chances that they have on this sheet, ``area_mm2`` large: spots of mould are read as names
    all over it, names stand where a panel begins. As many as the other places lead to expect are spots here, too."""
    rows = [row for row in rows if row.chance > 0.5]
    x0, x1 = extent
    if not rows or not labels:
        return tuple(labels)
    pitch = float(min(np.diff([row.y_mm for row in rows]), default=30.0))
    reach = 0.4 * pitch
    places = np.array([x0 + share * (x1 - x0) for share in _COLUMN_STARTS])

    def in_place(label: Label) -> bool:
        off_row = min(abs(row.y_mm - label.panel_y_mm) for row in rows)
        return off_row < reach and float(np.abs(places - label.panel_x_mm).min()) < _PLACE_MM

    stands = np.array([in_place(label) for label in labels])
    chances = np.array([label.chance for label in labels])
    inside = 4 * reach * _PLACE_MM * len(rows) * len(places)
    spots = chances[~stands].sum() * inside / max(area_mm2 - inside, inside)
    trust = float(np.clip(1 - spots / max(chances[stands].sum(), 1e-3), 0.02, 1.0))
    odds = chances / np.maximum(1 - chances, 1e-3) * trust**2
    return tuple(replace(label, chance=float(o / (1 + o))) for label, o in zip(labels, odds, strict=True))


def named(row: Row, labels: Sequence[Label]) -> RowView:
    """The view of a row with its names, no edges yet: names at their places say that it is a row, however short the
    piece of it that is seen."""
    says = min(_NAMED_ROW * sum(label.chance for label in labels), _NAMED_MOST)
    odds = row.chance / max(1 - row.chance, 1e-3) * math.exp(says)
    chance = min(odds / (1 + odds), _SURE_ROW)
    return RowView(replace(row, chance=max(chance, row.chance)), (), (), tuple(labels))


def label_evidence(label: Label, name: str) -> float:
    """Evidence of a label for a name against chance level: it is a label, and reads so, or it is none and says
    nothing."""
    chance = min(label.chance, _SURE_LABEL)
    return math.log(1 - chance + chance * len(LABELS) * math.exp(label.log_p[LABELS.index(name)]))


def row_spare(view: RowView) -> float:
    """Cost of leaving the row and its names unexplained."""
    row = view.row
    return math.log(1 - min(row.chance * row.life, _SURE_ROW)) + _NAME_SPARE * row.chance * sum(
        one.chance for one in view.labels
    )


@dataclass(frozen=True)
class Clarity:
    """How far what is not seen on a sheet is missed, 0 to 1: ``names``, and ``starts`` of panels inside rows. One that
    shows none of them was printed or captured without, and that says little about their number."""

    names: float
    starts: float

    @classmethod
    def of(cls, views: Sequence[RowView], extent: tuple[float, float]) -> Clarity:
        few = min(_FEW, len(views))
        chances = sorted((label.chance for view in views for label in view.labels), reverse=True)
        inner = [e.chance for v in views for e in v.starts if extent[0] + _END_MM < e.x_mm < extent[1] - _END_MM]
        return cls(chances[few - 1] if len(chances) >= few else 0.0, max(max(inner, default=0.0), _LEAST_CLEAR))

    @property
    def name_lost(self) -> float:
        """Evidence that a panel is there whose name is not seen."""
        return math.log(1 - _FOUND * self.names)


def _columns_evidence(view: RowView, extent: tuple[float, float], n_columns: int, clear: float) -> float:
    """How well the panel starts seen inside a row fit ``n_columns`` equal columns over ``extent``; those not seen count
    ``clear`` times."""
    x0, x1 = extent
    width = (x1 - x0) / n_columns
    inner = [x0 + k * width for k in range(1, n_columns)]
    tolerance = min(0.12 * (x1 - x0), 8.0 + 0.04 * (x1 - x0)) / 2
    score, used = 0.0, set()
    for x in inner:
        near = [(e.chance, k) for k, e in enumerate(view.starts) if abs(e.x_mm - x) < tolerance]
        best = max(near, default=(0.0, -1))
        used.add(best[1])
        fit = float(np.log((best[0] + 0.15) / 0.5))
        score += fit if fit > 0 else clear * fit
    for k, e in enumerate(view.starts):
        if k not in used and min(abs(e.x_mm - x0), abs(e.x_mm - x1)) > _END_MM and e.chance > 0.4:
            score -= 1.5 * e.chance
    return score


def _near(away_mm: float) -> float:
    """How far a name is believed that stands so far from where its panel begins."""
    return math.exp(-0.5 * (away_mm / _BESIDE_MM) ** 2)


def _place_labels(view: RowView, extent: tuple[float, float], n_columns: int) -> tuple[dict[int, Label], float]:
    """The label of each column, and the chances of those that fit none together."""
    x0, x1 = extent
    width = (x1 - x0) / n_columns
    out: dict[int, Label] = {}
    spare = 0.0

    def place(label: Label) -> tuple[int, float]:
        # The network's guess of the panel's start is best near; the label's own place bounds it.
        column = round((label.panel_x_mm - x0) / width)
        return column, abs(label.panel_x_mm - x0 - column * width)

    # A spot somewhere in a long row outweighs no name where a panel begins.
    for label in sorted(view.labels, key=lambda one: -one.chance * _near(place(one)[1])):
        column, away_mm = place(label)
        if not 0 <= column < n_columns or away_mm > 0.42 * width or column in out:
            spare += label.chance
            continue
        out[column] = label
    return out, spare


def _strip_evidence(lead: str, label: Label | None) -> float:
    """Evidence that a strip shows ``lead``: how often it does, and what its label says."""
    return _RHYTHM_PRIOR.get(lead, _RARE_RHYTHM) + (label_evidence(label, lead) if label else 0.0)


def _row_score(
    view: RowView,
    names: tuple[str, ...] | None,
    extent: tuple[float, float],
    clear: Clarity,
    told: Mapping[int, str],
    k: int,
    any_lead: bool,
) -> tuple[float, tuple[tuple[str, Label | None], ...]]:
    """Log-score of a row as ``names`` (None: a rhythm strip of the best-fitting lead) and the name and label of each
    column. ``any_lead``: the row's panel shows whatever its label says.
    """
    n_columns = len(names) if names else 1
    placed, spare = _place_labels(view, extent, n_columns)
    score = _columns_evidence(view, extent, n_columns, clear.starts) + _NAME_SPARE * spare
    if names is None:
        label = placed.get(0)
        best = told.get(k) or max(LEADS, key=lambda lead: _strip_evidence(lead, label))
        return score + _strip_evidence(best, label) + (0.0 if label else clear.name_lost), ((best, label),)
    if any_lead and 0 in placed:
        label = placed[0]
        near = replace(label, chance=label.chance * _near(label.panel_x_mm - extent[0]))
        names = (max(LABELS, key=lambda lead: _strip_evidence(lead, near)),)
        return score + _strip_evidence(names[0], near), ((names[0], label),)
    for column, name in enumerate(names):
        if column in placed:
            score += label_evidence(placed[column], name)
        else:
            score += clear.name_lost
    return score, tuple((name, placed.get(column)) for column, name in enumerate(names))


def weigh_template(
    template: Template,
    views: Sequence[RowView],
    extent: tuple[float, float],
    log_prior: float,
    rhythm_leads: Sequence[str] = (),
) -> Hypothesis:
    """The best way to see ``template`` in the rows, with its usual leads or, where it may have others, with those that
    its labels say."""
    ways = [_weighed(template, views, extent, log_prior, rhythm_leads)]
    if template.any_leads:
        ways.append(_weighed(template, views, extent, log_prior + _OTHER_LEADS, rhythm_leads, any_leads=True))
    return max(ways, key=lambda way: way.log_score)


def _weighed(
    template: Template,
    views: Sequence[RowView],
    extent: tuple[float, float],
    log_prior: float,
    rhythm_leads: Sequence[str],
    any_leads: bool = False,
) -> Hypothesis:
    """The best way to see ``template`` in the rows: in order, rows of either may be left over at a cost (dynamic
    programming)."""
    wanted: list[tuple[str, ...] | None] = [*template.rows, *([None] * template.rhythm_strips)]
    told = dict(enumerate(rhythm_leads))
    clear = Clarity.of(views, extent)
    n, m = len(views), len(wanted)
    best = np.full((n + 1, m + 1), -np.inf)
    best[0, 0] = 0.0
    came: dict[tuple[int, int], str] = {}
    cells: dict[tuple[int, int], tuple[tuple[str, Label | None], ...]] = {}
    for i in range(n + 1):
        for j in range(m + 1):
            options: list[tuple[float, str]] = []
            if i and j:
                strip = j - 1 - len(template.rows)
                score, cells[i, j] = _row_score(views[i - 1], wanted[j - 1], extent, clear, told, strip, any_leads)
                score += math.log(views[i - 1].row.chance)
                options.append((best[i - 1, j - 1] + score, "both"))
            if i:
                options.append((best[i - 1, j] + row_spare(views[i - 1]), "seen"))
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
    if any_leads:
        chosen, less = _once_each(chosen, [name for names in template.rows for name in names])
        log_prior += less
    return Hypothesis(template.name, tuple(chosen), float(best[n, m]) + log_prior, tuple(sorted(dropped)), lost)


def _evidence(cell: Cell, name: str) -> float:
    """Evidence of what is printed at a cell for a name; none without a label."""
    return label_evidence(cell.label, name) if cell.label is not None else 0.0


def _once_each(cells: Sequence[Cell], usual: Sequence[str]) -> tuple[list[Cell], float]:
    """``cells``, of which no two show one lead: all but the best read of those that would show another, the likeliest
    that is left or the next of the ``usual`` ones; and the evidence that is lost so."""
    out, less, taken = list(cells), 0.0, set[str]()
    for k in sorted(range(len(out)), key=lambda k: -_evidence(out[k], out[k].name)):
        cell = out[k]
        if cell.name in taken:
            free = [name for name in (*usual, *LEADS) if name not in taken and name not in {c.name for c in out}]
            name = max(free, key=partial(_evidence, cell))
            less += _evidence(cell, name) - _evidence(cell, cell.name)
            out[k] = replace(cell, name=name)
        taken.add(out[k].name)
    return out, less


def weigh_custom(views: Sequence[RowView], extent: tuple[float, float]) -> Hypothesis:
    """The arrangement that the printed names alone say: each row as many columns as fit its names best."""
    score, cells, clear = _CUSTOM_COST, [], Clarity.of(views, extent).starts
    split = set()
    for k, view in enumerate(views):
        options = []
        for n_columns in (1, 2, 3, 4, 6):
            placed, spare = _place_labels(view, extent, n_columns)
            found = {c: LABELS[int(np.argmax(label.log_p))] for c, label in placed.items()}
            value = _columns_evidence(view, extent, n_columns, clear) + _NAME_SPARE * spare
            value += sum(label_evidence(placed[c], name) + _CUSTOM_NAME_COST for c, name in found.items())
            value -= 1.5 * (n_columns - len(found))
            options.append((value, -n_columns, placed, found))
        value, columns, placed, found = max(options, key=lambda option: option[:2])
        value += math.log(view.row.chance)
        spare = row_spare(view)
        if spare > value:
            found = {}
        score += max(value, spare)
        if found and columns < -1:
            split.add(columns)
        for c, name in sorted(found.items()):
            cells.append(Cell(k, c, -columns, name, columns == -1 and len(views) > 1, placed[c]))
    named = [cell.name for cell in cells]
    score -= 3.0 * (len(named) - len(set(named)))  # a lead is seldom printed twice
    score -= 3.0 * max(len(split) - 1, 0)  # nor are rows divided in several ways
    dropped = tuple(k for k in range(len(views)) if all(cell.row != k for cell in cells))
    # Rows of one panel are rhythm strips only beside rows of several.
    several = any(cell.n_columns > 1 for cell in cells)
    cells = [
        cell if several or not cell.rhythm else Cell(cell.row, 0, 1, cell.name, False, cell.label) for cell in cells
    ]
    return Hypothesis(CUSTOM, tuple(cells), score, dropped)


def _narrowness(n_columns: int, extent: tuple[float, float]) -> float:
    """Log-odds of that many columns over ``extent``, mm: two seconds at 12.5 mm/s are the narrowest that is printed."""
    width = (extent[1] - extent[0]) / n_columns
    return _NARROW * min(math.log(max(width, 1.0) / _NARROWEST_MM), 0.0) if n_columns > 1 else 0.0


def _names(hypothesis: Hypothesis) -> list[tuple[int, int, str]]:
    return [(cell.row, cell.column, cell.name) for cell in hypothesis.cells]


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
            log_prior += _narrowness(template.n_columns, extent)
            out.append(weigh_template(template, views, extent, log_prior, rhythm_leads))
    if only is None:
        custom = weigh_custom(views, extent)
        # What the names alone say may be a usual arrangement, and is no other one then.
        if all(_names(custom) != _names(one) for one in out):
            out.append(custom)
    return tuple(sorted(out, key=lambda h: -h.log_score))
