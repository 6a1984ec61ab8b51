"""Leads named by what they show: limb leads obey their relations, a rhythm strip repeats a lead of the same moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import CABRERA_LIMB_LEADS, LIMB_BASIS, LIMB_LEADS, polarity
from ecglift.paper import TEMPLATES, Layout, Panel, Template
from ecglift.problem import Problem
from ecglift.sheet import Trace

Floats = NDArray[np.float64]

STAGE: Final = "names"
_SAME: Final = 0.97
_TIMES: Final = 3.0
_OTHER: Final = 0.02
"""Correlation from which on two lines are one lead; and what the named lead must lack of 1: that many times what the
best one lacks, and this. Two prints of a lead reach 0.97 to 0.999, II and aVF or V5 and V6 often 0.9 to 0.98."""
_POOR_DB: Final = -9.0
_GOOD_DB: Final = -12.0
_BETTER_DB: Final = 6.0
"""What the limb leads' relations leave of them: in an order that is doubted at least, in one that is believed at most,
and the difference between the two."""
_NAMED: Final = 0.6
"""Of a sheet whose panels' names are less sure in the mean, the arrangement is a guess."""
_MANY: Final = 6
_LIMBS: Final = frozenset((*LIMB_LEADS, *CABRERA_LIMB_LEADS))
_MAX_LAG_MM: Final = 0.5
_LEAST_MM: Final = 20.0
_JOINT_MM: Final = 1.0
"""So much of a column at either end may show the next one's line, or a separator."""
_SURE_MM: Final = 1.0
_BLANK: Final = 0.3
"""Of a rhythm strip that is none less than that is seen, while others are seen nearly whole."""


@dataclass(frozen=True)
class Names:
    """The layout with its leads' final names."""

    layout: Layout
    problems: tuple[Problem, ...] = ()


def find_names(layout: Layout, traces: tuple[Trace, ...], keep_order: bool = False) -> Names:
    """``layout`` with other names where the lines clearly contradict those that were read.

    Where few names were read, the arrangement is the one in whose columns the limb leads obey their relations and the
    chest leads do not. Standard and Cabrera order are told apart by the same. A rhythm strip is
    compared with the short leads over the same piece of paper, or the same time where gaps part the columns; on sheets
    whose columns all show one time it is compared with none. ``keep_order``: the arrangement was told, only strips are
    looked at.
    """
    by_row = {trace.row: trace for trace in traces if len(trace.x_mm) > 1}
    ordered, problems = (layout, ()) if keep_order else _without_blanks(layout, by_row)
    if not keep_order:
        ordered, said = _arranged(ordered, by_row)
        ordered, said = (ordered, said) if said else _ordered(ordered, by_row)
        problems = (*problems, *said)
    short = [p for p in ordered.panels if not p.rhythm and p.row in by_row]
    if len({round(p.start_s, 2) for p in short}) < len({p.column for p in short}):
        return Names(ordered, problems)
    panels = []
    for panel in ordered.panels:
        name = _shown(panel, short, by_row, ordered.speed_mm_s) if panel.rhythm and panel.row in by_row else None
        if name is not None:
            text = f"a rhythm strip was read as {panel.lead}, but its line is that of {name.lead}; it is named so"
            problems = (*problems, Problem("strip-renamed", STAGE, text))
            panel = replace(panel, lead=name.lead, polarity=name.polarity, gain_mm_mv=name.gain_mm_mv)
        panels.append(panel)
    return Names(replace(ordered, panels=tuple(panels)) if problems else layout, problems)


def _without_blanks(layout: Layout, by_row: dict[int, Trace]) -> tuple[Layout, tuple[Problem, ...]]:
    """``layout`` without the rhythm strips in which hardly a line is seen, where another is: an edge or a shadow below
    the sheet had been taken for a row."""
    seen = {panel: _seen_share(panel, by_row) for panel in layout.panels if panel.rhythm}
    blank = [panel for panel, share in seen.items() if share < _BLANK]
    name = layout.name.replace(f"+{len(seen)}", f"+{len(seen) - len(blank)}")
    if not blank or max(seen.values()) < 1 - _BLANK or name not in TEMPLATES:
        return layout, ()
    panels = tuple(panel for panel in layout.panels if panel not in blank)
    text = f"{len(blank)} of {len(seen)} rows taken for rhythm strips show hardly a line and were left out"
    return replace(layout, name=name, panels=panels, runner_up=layout.name), (Problem("strip-blank", STAGE, text),)


def _seen_share(panel: Panel, by_row: dict[int, Trace]) -> float:
    """What part of a panel's line is seen."""
    trace = by_row.get(panel.row)
    if trace is None:
        return 0.0
    inside = (trace.x_mm >= panel.x0_mm) & (trace.x_mm <= panel.x1_mm)
    return float(np.isfinite(trace.y_mm[inside]).mean()) if inside.any() else 0.0


def _arranged(layout: Layout, by_row: dict[int, Trace]) -> tuple[Layout, tuple[Problem, ...]]:
    """``layout``, of whose names few were read, in the arrangement of as many rows that the lines themselves obey, if
    they do not obey this one."""
    if layout.name not in TEMPLATES or np.mean([p.confidence for p in layout.panels]) > _NAMED:
        return layout, ()
    strips = TEMPLATES[layout.name].rhythm_strips
    rows = [row for row in layout.rows() if not row[0].rhythm]
    alike = [t for t in TEMPLATES.values() if len(t.rows) == len(rows) and t.rhythm_strips == strips]
    if not rows or len(layout.rows()) != len(rows) + strips:
        return layout, ()
    columns = {column for template in alike for column in zip(*template.rows, strict=True)}
    # The middle one of three chest leads is about the mean of the others, as aVF is; six obey by no chance.
    limbs = [column for column in columns if len(column) >= _MANY and _LIMBS.issuperset(column)]
    others = [_as(layout, rows, t) for t in alike if t.name != layout.name]
    fits = sorted((misfit, k) for k, one in enumerate(others) if np.isfinite(misfit := _misfit_db(one, by_row, limbs)))
    if not fits or not fits[0][0] < min(_GOOD_DB, _misfit_db(layout, by_row, limbs) - _BETTER_DB):
        return layout, ()
    if len(fits) > 1 and fits[1][0] < fits[0][0] + _BETTER_DB:
        return layout, ()
    best = others[fits[0][1]]
    text = (
        f"few lead names could be read; the lines are not those of {layout.name}, but obey the relations of {best.name}"
    )
    return best, (Problem("leads-rearranged", STAGE, text),)


def _misfit_db(layout: Layout, by_row: dict[int, Trace], limbs: list[tuple[str, ...]]) -> float:
    """What contradicts the arrangement, dB: of the limb leads, and all of a column of chest leads that obeys the limb
    leads' relations in the order of one of ``limbs``; NaN if not to be told."""
    left, power = _contradicts(layout, by_row)
    for number in {p.column for p in layout.panels if p.lead not in LIMB_LEADS and not p.rhythm}:
        chest = [p for p in layout.panels if p.column == number and not p.rhythm]
        whole = _obeying(chest, layout, by_row, limbs)
        left, power = left + whole, power + whole
    return _db(left, power)


def _obeying(chest: list[Panel], layout: Layout, by_row: dict[int, Trace], limbs: list[tuple[str, ...]]) -> float:
    """The power of a column of chest leads that obeys the limb leads' relations in one of their orders, else 0."""
    for names in limbs:
        if len(names) == len(chest):
            called = tuple(_called(p, name) for p, name in zip(chest, names, strict=True))
            left, whole = _contradicts(replace(layout, panels=called), by_row)
            if whole > 0 and _db(left, whole) < _GOOD_DB:
                return whole
    return 0.0


def _as(layout: Layout, rows: list[tuple[Panel, ...]], template: Template) -> Layout:
    """``layout`` with its short leads' ``rows`` in the columns of ``template``, one after the other."""
    panels = [p for p in layout.panels if p.rhythm]
    for row, names in zip(rows, template.rows, strict=True):
        x0, width = row[0].x0_mm, (row[-1].x1_mm - row[0].x0_mm) / len(names)
        for k, name in enumerate(names):
            if len(names) == len(row):
                panels.append(_called(row[k], name))
                continue
            ends, start_s = (x0 + k * width, x0 + (k + 1) * width), row[0].start_s + k * width / layout.speed_mm_s
            piece = replace(row[0], column=k, x0_mm=ends[0], x1_mm=ends[1], start_s=start_s)
            panels.append(_called(piece, name))
    panels.sort(key=lambda p: (p.row, p.column))
    return replace(layout, name=template.name, panels=tuple(panels), runner_up=layout.name)


def _called(panel: Panel, name: str) -> Panel:
    """The panel as the lead that a template calls ``name``."""
    lead, sign = polarity(name)
    assert lead is not None  # templates hold lead names only
    return replace(panel, lead=lead, polarity=sign)


def _ordered(layout: Layout, by_row: dict[int, Trace]) -> tuple[Layout, tuple[Problem, ...]]:
    """``layout`` in Cabrera order instead of the standard one, or the other way round, if that fits far better."""
    base, plus, strips = layout.name.partition("+")
    other = (base.removesuffix("-cabrera") if base.endswith("-cabrera") else f"{base}-cabrera") + plus + strips
    rows = sorted({p.row for p in layout.panels})
    if other not in TEMPLATES or len(rows) < len(TEMPLATES[other].rows):
        return layout, ()
    panels = []
    for p in layout.panels:
        k = rows.index(p.row)
        if not p.rhythm:
            if k >= len(TEMPLATES[other].rows) or p.column >= len(TEMPLATES[other].rows[k]):
                return layout, ()
            p = _called(p, TEMPLATES[other].rows[k][p.column])
        panels.append(p)
    changed = replace(layout, name=other, panels=tuple(panels), runner_up=layout.name)
    now, then = (_db(*_contradicts(one, by_row)) for one in (layout, changed))
    if not (now > _POOR_DB and then < _GOOD_DB and then < now - _BETTER_DB):
        return layout, ()
    text = f"the limb leads were read in the order of {layout.name}, but obey their relations in that of {other}"
    return changed, (Problem("leads-reordered", STAGE, text),)


def _db(left: float, power: float) -> float:
    return 10 * float(np.log10(max(left / power, 1e-9))) if power > 0 else float("nan")


def _contradicts(layout: Layout, by_row: dict[int, Trace]) -> tuple[float, float]:
    """What of the limb leads that share a column contradicts their relations, and their whole power; 0 and 0 where
    that is not to be told."""
    left = power = 0.0
    limb = [p for p in layout.panels if p.lead in LIMB_LEADS and not p.rhythm and p.row in by_row]
    for column in {p.column for p in limb}:
        together = [p for p in limb if p.column == column]
        if len(together) < 3:
            continue
        step = float(np.diff(by_row[together[0].row].x_mm).mean())
        # One moment stands at one place of the paper, wherever each row was seen to begin.
        x_mm = np.arange(max(p.x0_mm for p in together), min(p.x1_mm for p in together), step)
        lines = np.stack([_sure_mv(by_row[p.row], p, x_mm) for p in together])
        lines = lines[:, np.isfinite(lines).all(axis=0)]
        if lines.shape[1] * step < _LEAST_MM:
            continue
        lines = lines - np.median(lines, axis=1, keepdims=True)
        basis = LIMB_BASIS[[LIMB_LEADS.index(p.lead) for p in together]]
        left += float(np.sum((lines - basis @ np.linalg.lstsq(basis, lines, rcond=None)[0]) ** 2))
        power += float(np.sum(lines**2))
    return left, power


def _sure_mv(trace: Trace, panel: Panel, x_mm: Floats) -> Floats:
    """The panel's line in mV at ``x_mm``, NaN where it is not sure."""
    known = np.isfinite(trace.y_mm) & (trace.sigma_mm < _SURE_MM)
    if known.sum() < 2:
        return np.full(len(x_mm), np.nan)
    y = np.interp(x_mm, trace.x_mm[known], trace.y_mm[known])
    near = np.interp(x_mm, trace.x_mm, known.astype(float)) > 0.5
    return np.where(near, panel.polarity * (panel.baseline_mm - y) / panel.gain_mm_mv, np.nan)


def _shown(strip: Panel, short: list[Panel], by_row: dict[int, Trace], speed_mm_s: float) -> Panel | None:
    """The short lead that the strip shows, if it is clearly not the one it is named."""
    alike = {p: _alike(strip, p, by_row, speed_mm_s) for p in short if p.row != strip.row}
    alike = {p: c for p, c in alike.items() if np.isfinite(c)}
    named = [c for p, c in alike.items() if p.lead == strip.lead]
    if not named:
        return None
    best = max(alike, key=lambda p: alike[p])
    clearly = 1 - max(named) > _TIMES * (1 - alike[best]) + _OTHER
    return best if alike[best] > _SAME and clearly else None


def _alike(strip: Panel, lead: Panel, by_row: dict[int, Trace], speed_mm_s: float) -> float:
    """Correlation of a strip with a short lead; NaN where too little of both is sure."""
    same_time = strip.x0_mm + (lead.start_s - strip.start_s) * speed_mm_s - lead.x0_mm
    on_paper, in_time = (_correlation(by_row[strip.row], by_row[lead.row], lead, by_mm) for by_mm in (0.0, same_time))
    return float(np.fmax(on_paper, in_time))


def _correlation(strip: Trace, lead: Trace, panel: Panel, by_mm: float) -> float:
    """Correlation of ``panel``'s line with the strip's ``by_mm`` farther right, at the best small shift; NaN where too
    little of both is sure."""
    inside = (lead.x_mm >= panel.x0_mm + _JOINT_MM) & (lead.x_mm <= panel.x1_mm - _JOINT_MM)
    x, y = lead.x_mm[inside], lead.y_mm[inside]
    y = np.where(lead.sigma_mm[inside] < _SURE_MM, y, np.nan)
    known = np.isfinite(strip.y_mm) & (strip.sigma_mm < _SURE_MM)
    if known.sum() < 2 or len(x) < 2:
        return float("nan")
    step = float(np.diff(x).mean())
    near = np.interp(x, strip.x_mm, known.astype(float)) > 0.5
    best = float("nan")
    for lag_mm in by_mm + np.arange(-_MAX_LAG_MM, _MAX_LAG_MM + step, step):
        other = np.interp(x + lag_mm, strip.x_mm[known], strip.y_mm[known])
        both = np.isfinite(y) & near
        if both.sum() * step < _LEAST_MM or np.ptp(y[both]) == 0 or np.ptp(other[both]) == 0:
            return float("nan")
        best = float(np.fmax(best, np.corrcoef(y[both], other[both])[0, 1]))
    return best
