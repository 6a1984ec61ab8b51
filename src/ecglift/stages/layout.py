"""What is printed where: rows, columns, lead names, speed and gain of a flat sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import cv2
import numpy as np

from ecglift.leads import CHEST_LEADS, polarity
from ecglift.models.runtime import load
from ecglift.models.sheetmap import LABELS, TEMPLATE_NAMES, SheetMap, read
from ecglift.models.words import NAMES, read_words
from ecglift.paper import TEMPLATES, Layout, Panel, Template
from ecglift.problem import Problem, fail
from ecglift.reading.bars import Bar, find_bars
from ecglift.reading.columns import Columns, extents, fit_columns, together, within_rows
from ecglift.reading.hypotheses import (
    CUSTOM,
    Hypothesis,
    RowView,
    Side,
    assign_labels,
    believed,
    label_evidence,
    label_way,
    named,
    panel_start,
    row_spare,
    weigh_all,
    weigh_template,
)
from ecglift.reading.marks import (
    Label,
    PrintedScale,
    Pulse,
    Row,
    WordReader,
    find_beside,
    find_edges,
    find_labels,
    find_level,
    find_pulses,
    find_rows,
    find_scales,
    paired,
)
from ecglift.reading.pulseheight import measured
from ecglift.reading.scales import Scale, find_gain, find_speed, hung_together, pulse_gain
from ecglift.reading.turn import turn_sheet
from ecglift.sheet import Sheet

STAGE: Final = "layout"

_MIRRORED: Final = 4
_DOUBTS: Final = frozenset({"leads-unread", "leads-assumed", "layout-unusual", "layout-uncertain", "rows-missing"})
_AS_WELL: Final = 3.0
_BETTER: Final = 8.0
"""Where a reading is in doubt the sheet is mirrored. It is a mirror image if the network says so and it reads as well
then, or hardly worse, or if most names read then and it reads so much better, in nats."""
_LEAST_LIE: Final = 1e-3
_FEW_NAMES: Final = 3
_NAMED: Final = 1.0
"""The network says how a sheet lies, and at its surest it is wrong once in a hundred. It is believed where there are at
least three names and their log-evidence is one a panel; else the sheet is turned every way."""
_LENGTH_TELLS: Final = 3.0
_ROWLESS: Final = 20.0
_FEW_PULSES: Final = 3
_FLAT: Final = 0.4
"""Weight of the logarithm of the longest row's length in how a sheet stands, and what it costs to have no row: across
the traces there are but spots and letters to make one of. A pulse that stands on its feet counts one, up to three. A
row with less life than the last may be the edge of the grid."""
_OTHER_ROW: Final = 0.7
"""Evidence of the network's seeing a name on its row rather than on the next."""
_SURE: Final = 0.8
"""Posterior of a hypothesis below which a person is told to look."""
_OWN_LEVEL_MM: Final = 0.7
_OUTSIDE_MM: Final = 1.5
"""A row with one panel that reaches this far beyond the others has ends of its own."""
_LEAST_TOGETHER: Final = 0.1
"""Least chance of either answer that the network is believed about columns of the same seconds; the lines say more."""
_PAPER_GREY: Final = 225.0
"""Grey level of paper in a sheet that is looked at without its colours."""
_SPEED_ALONE: Final = 0.4
_GAIN_ALONE: Final = 0.7
"""What the chance of a printed speed or gain is worth without the other one on its line. More is read as a speed: names
and times hold "25" and "50"."""
_TEMPERATURE: Final = 1.5
"""Log-scores of hypotheses are divided by this: their parts are not independent."""


@dataclass(frozen=True)
class LayoutSettings:
    """What a person may tell; None or empty: find it.

    ``layout``: a name of :data:`ecglift.paper.TEMPLATES`. ``names``: lead names row by row instead, top to bottom and
    left to right.
    ``rhythm_leads``: leads of the rhythm strips, top to bottom. ``speed_mm_s``, ``gain_mm_mv``: the scales.
    ``as_measured``: columns stay as long as they were found, also where they nearly have a usual length.
    ``quarter_turns``: how often the sheet has to be turned clockwise to stand upright.
    """

    layout: str | None = None
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    rhythm_leads: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    as_measured: bool = False
    quarter_turns: int | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {self.layout!r}")
        for name in (*self.rhythm_leads, *(n for row in self.names for n in row)):
            if polarity(name)[0] is None:
                raise ValueError(f"names and rhythm_leads must hold lead names as in ecglift.leads.LEADS; got {name!r}")
        for field, value in (("speed_mm_s", self.speed_mm_s), ("gain_mm_mv", self.gain_mm_mv)):
            if value is not None and not value > 0:
                raise ValueError(f"{field} must be positive, got {value!r}")


@dataclass(frozen=True)
class SheetReading:
    """What is printed on a sheet.

    ``layout``: in the millimetres of the upright sheet. ``quarter_turns``: 0 to 3, how often the sheet had to be
    turned clockwise to stand upright (:func:`ecglift.reading.turn.turn_sheet` does it, and ``turn_map`` the same with
    its map).
    ``pulses``: the calibration pulses seen; ``bars``: those between columns. ``hypotheses``: name and probability of
    the best arrangements. ``told``: a person has set the names, and nothing that the lines show changes them any more.
    ``speed_log_odds``: as in :class:`ecglift.reading.scales.Scale`. ``together_log_odds``: of two columns showing the
    same seconds, by the sheet network; None where the starts are known. ``upright_log_odds``: of its standing upright
    as it was turned against its standing on its head then, None where the names were read.
    """

    layout: Layout
    quarter_turns: int = 0
    problems: tuple[Problem, ...] = ()
    pulses: tuple[Pulse, ...] = ()
    bars: tuple[Bar, ...] = ()
    hypotheses: tuple[tuple[str, float], ...] = ()
    told: bool = False
    speed_log_odds: tuple[float, ...] = ()
    together_log_odds: float | None = None
    upright_log_odds: float | None = None


def find_layout(sheet: Sheet, settings: LayoutSettings | None = None) -> SheetReading:
    """The reading of a flat sheet. StageError when it is no ECG on paper, mirrored, or without rows of traces."""
    settings = settings or LayoutSettings()
    look = _upright(sheet, settings)
    if _custom(look, settings):
        # Colours mislead: rows under a screen's moiré, on dark blue, are seen in grey.
        other = _upright(_in_grey(sheet), settings)
        if not _custom(other, settings) and _score(other) > _score(look):
            look = other
    upright = turn_sheet(sheet, look.turns)
    pulses = measured(upright, find_pulses(look.answer))
    reading = interpret(look.answer, look.words, settings, pulses, look.arranged)
    doubted = _DOUBTS & {problem.code for problem in reading.problems}
    # While a scale is only tried, doubts are the scale's.
    if doubted and not settings.as_measured and _mirrored(sheet, look, settings):
        raise fail("mirrored", STAGE, "the picture is a mirror image; mirror it back and try again")
    bars = find_bars(look.answer, upright, pulses)
    return replace(reading, quarter_turns=look.turns, bars=bars, upright_log_odds=look.upright_log_odds)


@dataclass(frozen=True)
class _Arranged:
    """All that was seen on each row, the rows' common extent (mm), and the hypotheses about it, best first."""

    views: list[RowView]
    extent: tuple[float, float]
    hypotheses: tuple[Hypothesis, ...]


@dataclass(frozen=True)
class _Look:
    """A sheet turned clockwise ``turns`` times: the network's answer, a reader of its print, and what that makes of it,
    None without rows. ``upright_log_odds``: as in :class:`SheetReading`."""

    turns: int
    answer: SheetMap
    words: WordReader
    arranged: _Arranged | None
    upright_log_odds: float | None = None


def _custom(look: _Look, settings: LayoutSettings) -> bool:
    """Whether no usual arrangement fits what was seen, though none was given."""
    return look.arranged is not None and not settings.names and look.arranged.hypotheses[0].name == CUSTOM


def _score(look: _Look) -> float:
    """Log-evidence for the best arrangement."""
    return look.arranged.hypotheses[0].log_score if look.arranged is not None else -np.inf


def _mirrored(sheet: Sheet, look: _Look, settings: LayoutSettings) -> bool:
    """Whether a sheet that was looked at in vain is a mirror image."""
    mirror = replace(sheet, rgb=np.ascontiguousarray(sheet.rgb[:, ::-1]), seen=sheet.seen[:, ::-1])
    back = _upright(mirror, settings)
    better = _score(back) - _score(look)
    if float(look.answer.weights("turn")[_MIRRORED]) > 0.8 and better > -_AS_WELL:
        return True
    return better > _BETTER and _standing(turn_sheet(mirror, back.turns), back, settings)[1]


def _in_grey(sheet: Sheet) -> Sheet:
    """``sheet`` without its colours, its paper bright."""
    grey = cv2.cvtColor(sheet.rgb, cv2.COLOR_RGB2GRAY)
    small = grey[::8, ::8][sheet.seen[::8, ::8]]
    gain = float(np.clip(_PAPER_GREY / max(float(np.median(small)), 1.0), 1.0, 2.5)) if small.size else 1.0
    return replace(sheet, rgb=np.asarray(cv2.merge([cv2.convertScaleAbs(grey, alpha=gain)] * 3), np.uint8))


def interpret(
    answer: SheetMap,
    words: WordReader,
    settings: LayoutSettings,
    pulses: tuple[Pulse, ...] | None = None,
    arranged: _Arranged | None = None,
) -> SheetReading:
    """What the network's ``answer`` about an upright sheet means, with ``words`` to read what is printed there and
    ``pulses`` as they were measured there; None: as the network sees them. ``arranged``: what is known of that already.
    StageError as in :func:`find_layout`.
    """
    if float(answer.weights("paper")[0]) < 0.2:
        raise fail("not-an-ecg", STAGE, "this does not look like an ECG on paper (a screen, a text, another picture?)")
    rows = find_rows(answer)
    if not rows:
        raise fail("no-traces", STAGE, "no row of an ECG was found on the sheet; is the picture an ECG on paper?")
    pitch = float(min(np.diff([row.y_mm for row in rows]), default=30.0))
    arranged = arranged or _arrange(answer, rows, words, settings)
    views, extent, hypotheses = arranged.views, arranged.extent, arranged.hypotheses
    chances = _posterior(hypotheses)
    best = hypotheses[0]
    if not best.cells:
        raise fail(
            "layout-unknown", STAGE, "rows were found, but no arrangement of leads fits them; name it with --layout"
        )
    columns = _columns(best, views, extent)
    widest = columns[max(columns)]
    pulses = find_pulses(answer) if pulses is None else pulses
    speeds, gains = find_scales(answer, "speed", words), find_scales(answer, "gain", words)
    speeds, gains = find_beside(gains, speeds, "speed", words), find_beside(speeds, gains, "gain", words)
    speed = find_speed(
        paired(speeds, gains, _SPEED_ALONE),
        pulses,
        answer.weights("speed"),
        widest.n,
        widest.width_mm,
        settings.speed_mm_s,
    )
    if not settings.as_measured:
        columns = together(columns, speed.value)
    widest = columns[max(columns)]
    gain = _gain(answer, paired(gains, speeds, _GAIN_ALONE), pulses, best, views, settings)
    p = float(np.clip(answer.weights("simultaneous")[0], _LEAST_TOGETHER, 1 - _LEAST_TOGETHER))
    together_log_odds = float(np.log(p / (1 - p)))
    simultaneous = widest.n == 2 and together_log_odds > 0
    panels = _panels(best, views, columns, speed, gain, simultaneous, chances[0])
    panels = tuple(_levelled(answer, panel, min(0.4 * pitch, 6.0)) for panel in panels)
    names = tuple((h.name, round(float(c), 4)) for h, c in zip(hypotheses[:3], chances[:3], strict=True))
    second = names[1] if len(names) > 1 else ("", 0.0)
    layout = Layout(
        best.name,
        panels,
        speed.value,
        gain.value,
        speed.how,
        gain.how,
        float(chances[0]),
        second[0],
        float(chances[0] - second[1]),
    )
    problems = (*_doubts(best, views, chances, settings), *speed.problems, *gain.problems)
    return SheetReading(
        layout,
        0,
        problems,
        pulses,
        hypotheses=names,
        speed_log_odds=speed.log_odds,
        together_log_odds=together_log_odds,
    )


def _upright(sheet: Sheet, settings: LayoutSettings) -> _Look:
    """The sheet as it stands upright. Unless its names read the way the network finds likeliest, it is turned every
    way: rows are long, pulses have their feet below and names find their places when it stands upright."""
    first = read(sheet, load("sheet"))
    lies = first.weights("turn")[:_MIRRORED]
    tried: dict[int, tuple[float, _Look]] = {}
    for k in (int(k) for k in np.argsort(-lies)):
        if settings.quarter_turns not in (None, k):
            continue
        turned = turn_sheet(sheet, k)
        answer = first if k == 0 else read(turned, load("sheet"))
        words = partial(read_words, turned, model=load("words"))
        rows = find_rows(answer)
        look = _Look(k, answer, words, _arrange(answer, rows, words, settings) if rows else None)
        stands, reads = _standing(turned, look, settings)
        tried[k] = stands + float(np.log(max(lies[k], _LEAST_LIE))), look
        if reads and lies[k] == lies.max():
            break
    best = max(tried, key=lambda k: tried[k][0])
    score, look = tried[best]
    if len(tried) < _MIRRORED:
        return look
    return replace(look, upright_log_odds=score - tried[(best + 2) % _MIRRORED][0])


def _standing(turned: Sheet, look: _Look, settings: LayoutSettings) -> tuple[float, bool]:
    """Log-evidence that a sheet stands upright: how long its rows are, how many pulses stand on their feet, and how
    well the names at their places read; and whether most names do, so that no other way needs to be tried."""
    if look.arranged is None:
        return -_ROWLESS, False
    # An arrangement that takes every name as it comes fits on any sheet, however it lies.
    usual = [one for one in look.arranged.hypotheses if one.name != CUSTOM or settings.names]
    cells = usual[0].cells
    names = [label_evidence(cell.label, cell.name) for cell in cells if cell.label is not None]
    reads = len(names) >= _FEW_NAMES and float(np.sum(names)) > _NAMED * len(cells)
    longest = max(view.row.weight_mm for view in look.arranged.views)
    evidence = float(np.sum(names)) + _LENGTH_TELLS * float(np.log(longest))
    if not reads:
        evidence += min(sum(pulse.inked for pulse in measured(turned, find_pulses(look.answer))), _FEW_PULSES)
    return evidence, reads


def _arrange(answer: SheetMap, rows: tuple[Row, ...], words: WordReader, settings: LayoutSettings) -> _Arranged:
    """The rows of a sheet, at least one, with all that was seen on them, weighed as every arrangement: with the flat
    ones among them, and without, if that is likelier. The edge of a grid is one, and draws the names below to it."""
    every = _arranged(answer, rows, words, settings)
    lively = tuple(row for row in rows if row.life > _FLAT)
    if not lively or len(lively) == len(rows):
        return every
    others = _arranged(answer, lively, words, settings)
    kept = {(label.x_mm, label.y_mm) for view in others.views for label in view.labels}
    left_out = (
        replace(view, labels=tuple(label for label in view.labels if (label.x_mm, label.y_mm) not in kept))
        for view in every.views
        if view.row.life <= _FLAT
    )
    spared = sum(row_spare(view) for view in left_out)
    fewer = tuple(replace(one, log_score=one.log_score + spared) for one in others.hypotheses)
    return replace(others, hypotheses=fewer) if fewer[0].log_score > every.hypotheses[0].log_score else every


def _arranged(answer: SheetMap, rows: tuple[Row, ...], words: WordReader, settings: LayoutSettings) -> _Arranged:
    """The given rows with all that was seen on them, weighed as every arrangement."""
    pitch = float(min(np.diff([row.y_mm for row in rows]), default=30.0))
    reach = min(5.0, pitch / 2)
    bare = [
        RowView(row, find_edges(answer, row.y_mm, "start", reach), find_edges(answer, row.y_mm, "end", reach), ())
        for row in rows
    ]
    labels = find_labels(answer, words)
    best: _Arranged | None = None
    sides: tuple[Side, ...] = ("seen", "below", "above")
    for extent in extents(bare):
        known = believed(labels, rows, extent, float(answer.dense[0].size))
        for side in sides:
            by_row = assign_labels(rows, known, side)
            views = [
                replace(named(view.row, own), starts=view.starts, ends=view.ends)
                for view, own in zip(bare, by_row, strict=True)
            ]
            hypotheses = _weigh(views, extent, answer, settings)
            looked = _second_look(hypotheses[0], views, extent, words)
            if looked is not views:
                views, hypotheses = looked, _weigh(looked, extent, answer, settings)
            if side != "seen":
                # The network has seen each name belong to a row; it errs, but seldom with all of them.
                doubt = _OTHER_ROW * sum(label.chance for own in by_row for label in own)
                hypotheses = tuple(replace(one, log_score=one.log_score - doubt) for one in hypotheses)
            if best is None or hypotheses[0].log_score > best.hypotheses[0].log_score + 1.0:
                best = _Arranged(views, extent, hypotheses)
            # The other sides are for sheets where the network takes names for those of a neighbouring row.
            if side == "seen" and hypotheses[0].name != CUSTOM and not _contradicted(hypotheses[0], views):
                break
    assert best is not None  # there is always an extent and a first side
    return best


def _contradicted(hypothesis: Hypothesis, views: list[RowView]) -> bool:
    """Whether a name that was read well is another one than the hypothesis has there, or rows do not fit it."""
    whole = [views[k].row.chance > 0.5 and views[k].row.life > 0.5 for k in hypothesis.dropped]
    return (
        any(whole)
        or hypothesis.lost > 0
        or any(
            cell.label is not None
            and cell.label.chance > 0.5
            and cell.label.log_p.max() - cell.label.log_p[LABELS.index(cell.name)] > 2.0
            for cell in hypothesis.cells
        )
    )


def _weigh(
    views: list[RowView], extent: tuple[float, float], answer: SheetMap, settings: LayoutSettings
) -> tuple[Hypothesis, ...]:
    if settings.names:
        given = Template(CUSTOM, settings.names)
        return (weigh_template(given, views, extent, 0.0),)
    network = dict(zip(TEMPLATE_NAMES, (float(v) for v in answer.weights("template")), strict=True))
    return weigh_all(views, extent, network, settings.layout, settings.rhythm_leads)


def _second_look(
    best: Hypothesis, views: list[RowView], extent: tuple[float, float], words: WordReader
) -> list[RowView]:
    """The rows with the names that were overlooked, read where the sheet's other names stand to their panels."""
    way = label_way(best, views, extent)
    bare = [cell for cell in best.cells if cell.label is None]
    if way is None or not bare:
        return views
    starts = [panel_start(cell, views, extent) for cell in bare]
    steps = (0.0, -1.5, 1.5)
    chances = words([(x + way[0] + step, y + way[1]) for x, y in starts for step in steps])
    out = list(views)
    for k, (cell, (x, y)) in enumerate(zip(bare, starts, strict=True)):
        tries = chances[k * len(steps) : (k + 1) * len(steps), NAMES]
        best_try = int(tries.max(axis=1).argmax())
        there = float(tries[best_try].sum())
        if there > 0.6:
            p = np.log(np.maximum(tries[best_try] / there, 1e-6))
            label = Label(x + way[0] + steps[best_try], y + way[1], x, y, p, 0.7 * there)
            out[cell.row] = replace(out[cell.row], labels=(*out[cell.row].labels, label))
    return out


def _posterior(hypotheses: tuple[Hypothesis, ...]) -> list[float]:
    score = np.array([h.log_score for h in hypotheses]) / _TEMPERATURE
    weight = np.exp(score - score.max())
    return [float(v) for v in weight / weight.sum()]


def _columns(best: Hypothesis, views: list[RowView], extent: tuple[float, float]) -> dict[int, Columns]:
    """The columns of the rows with 1, 2, … panels."""
    out = {}
    extent = within_rows(extent, [views[k] for k in sorted({cell.row for cell in best.cells})])
    for n in sorted({cell.n_columns for cell in best.cells}):
        rows = sorted({cell.row for cell in best.cells if cell.n_columns == n})
        named = [
            (cell.column, cell.label.panel_x_mm, cell.label.chance)
            for cell in best.cells
            if cell.n_columns == n and cell.label is not None and cell.label.chance > 0.3
        ]
        out[n] = fit_columns(views, rows, n, extent, named)
    return out


def _row_extent(view: RowView, columns: Columns, widest: Columns) -> tuple[float, float]:
    """Left and right end of a row with one panel: those of all rows, its own edges where they lie further out.

    A row that seems shorter is as a rule one that was seen in part; where it ends early there is no line to be traced.
    """
    left, right = widest.start_mm(0), widest.end_mm(widest.n - 1)
    if columns.n == widest.n:
        left, right = columns.start_mm(0), columns.end_mm(0)
    own = [e for e in view.starts if abs(e.x_mm - view.row.x0_mm) < 4 and e.chance > 0.4]
    x0 = own[0].x_mm if own else view.row.x0_mm
    own = [e for e in view.ends if abs(e.x_mm - view.row.x1_mm) < 4 and e.chance > 0.4]
    x1 = own[-1].x_mm if own else view.row.x1_mm
    return left if x0 > left - _OUTSIDE_MM else x0, right if x1 < right + _OUTSIDE_MM else x1


def _panels(
    best: Hypothesis,
    views: list[RowView],
    columns: dict[int, Columns],
    speed: Scale,
    gain: Scale,
    simultaneous: bool,
    chance: float,
) -> tuple[Panel, ...]:
    widest = columns[max(columns)]
    order = {row: k for k, row in enumerate(sorted({cell.row for cell in best.cells}))}
    out = []
    for cell in best.cells:
        lead, sign = polarity(cell.name)
        assert lead is not None  # hypotheses hold lead names only
        grid = columns[cell.n_columns]
        if cell.n_columns == 1:
            x0, x1 = _row_extent(views[cell.row], grid, widest)
        else:
            x0, x1 = grid.start_mm(cell.column), grid.end_mm(cell.column)
        start_s = 0.0 if simultaneous else cell.column * grid.width_mm / speed.value
        value = gain.chest if gain.chest is not None and lead in CHEST_LEADS else gain.value
        seen = float(np.exp(cell.label.log_p[LABELS.index(cell.name)])) * cell.label.chance if cell.label else 0.0
        confidence = 1 - (1 - 0.9 * chance) * (1 - seen)
        if cell.label is None and cell.rhythm:
            confidence = min(confidence, 0.6)
        panel = Panel(
            lead,
            order[cell.row],
            cell.column,
            x0,
            x1,
            views[cell.row].row.y_mm,
            start_s,
            value,
            sign,
            cell.rhythm,
            confidence,
        )
        out.append(panel)
    return tuple(out)


def _levelled(answer: SheetMap, panel: Panel, reach_mm: float) -> Panel:
    """The panel on a zero line of its own where that is clearly not its row's: some devices set columns apart."""
    level = find_level(answer, panel.baseline_mm, panel.x0_mm, panel.x1_mm, reach_mm)
    own = level is not None and abs(level - panel.baseline_mm) > _OWN_LEVEL_MM
    return replace(panel, baseline_mm=level) if own and level is not None else panel


def _gain(
    answer: SheetMap,
    printed: Sequence[PrintedScale],
    pulses: tuple[Pulse, ...],
    best: Hypothesis,
    views: list[RowView],
    settings: LayoutSettings,
) -> Scale:
    """The gain; chest leads have one of their own when that is printed or their rows' pulses say so."""
    first = {cell.row: polarity(cell.name)[0] for cell in best.cells if cell.column == 0}
    last = {cell.row: polarity(cell.name)[0] for cell in best.cells if cell.column == cell.n_columns - 1}
    limb, chest = [], []
    for pulse in pulses:
        foot = pulse.y_mm + pulse.height_mm
        row = min(range(len(views)), key=lambda k: abs(views[k].row.y_mm - foot))
        if first.get(row) in CHEST_LEADS and last.get(row) in CHEST_LEADS:
            chest.append(pulse)
        else:
            limb.append(pulse)
    # A height that the ink confirms is worth more than whose it is.
    asked = chest if not limb or (not any(p.inked for p in limb) and any(p.inked for p in chest)) else limb
    if (tallest := hung_together(asked, views[min(first)].row.y_mm)) is not None:
        asked = limb = [tallest]
    gain = find_gain(printed, asked, settings.gain_mm_mv)
    if gain.how != "given" and asked is limb and len(chest) >= 2:
        own = pulse_gain(chest)
        if own and own[0] != gain.value and 0.8 < own[1] / own[0] < 1.25:
            gain = replace(gain, chest=own[0])
    return gain


def _doubts(
    best: Hypothesis, views: list[RowView], chances: list[float], settings: LayoutSettings
) -> tuple[Problem, ...]:
    """What a person should look at."""
    out = []

    def doubt(code: str, message: str) -> None:
        out.append(Problem(code, STAGE, message))

    told = settings.layout is not None or bool(settings.names)
    read_labels = [cell for cell in best.cells if cell.label is not None and cell.label.chance > 0.35]
    if not told and not read_labels:
        doubt("leads-unread", f"no lead name could be read; {best.name} in its usual order is assumed")
    elif not told and len(read_labels) < 0.5 * len(best.cells):
        doubt(
            "leads-assumed",
            f"only {len(read_labels)} of {len(best.cells)} lead names could be read; {best.name} is assumed",
        )
    if not told and chances[0] < _SURE:
        doubt("layout-uncertain", f"the arrangement {best.name} is uncertain ({chances[0]:.0%}); name it with --layout")
    if not told and best.name == CUSTOM:
        doubt("layout-unusual", "the arrangement is none of the usual ones; leads are named as they are printed")
    for cell in read_labels:
        assert cell.label is not None
        p = cell.label.log_p
        printed = LABELS[int(p.argmax())]
        if printed != cell.name and p.max() - p[LABELS.index(cell.name)] > 2.0 and cell.label.chance > 0.5:
            doubt(
                "lead-name-conflict",
                f"{printed} seems to be printed where {best.name} has {cell.name}; check the names",
            )
    strips = [cell for cell in best.cells if cell.rhythm and cell.label is None]
    if strips and read_labels and not settings.rhythm_leads and not settings.names:
        doubt(
            "rhythm-lead-assumed",
            f"the rhythm strip's name could not be read; {', '.join(c.name for c in strips)} is assumed",
        )
    longest = max(view.row.weight_mm for view in views)
    if any(views[k].row.weight_mm > 0.5 * longest and views[k].row.life > 0.5 for k in best.dropped):
        doubt(
            "row-unexplained", "a row of the sheet has no place in the arrangement and was left out; check the layout"
        )
    if best.lost:
        doubt("rows-missing", f"{best.lost} of the rows of {best.name} are not on the sheet")
    return tuple(out)
