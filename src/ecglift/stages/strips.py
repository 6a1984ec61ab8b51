"""Rhythm strips named by what they show: each repeats a lead that stands, shorter, above it at the same moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.paper import Layout, Panel
from ecglift.problem import Problem
from ecglift.sheet import Trace

Floats = NDArray[np.float64]

STAGE: Final = "strips"
_SAME: Final = 0.97
_TIMES: Final = 3.0
_OTHER: Final = 0.02
"""Correlation from which on two lines are one lead; and what the named lead must lack of 1: that many times what the
best one lacks, and this. Two prints of a lead reach 0.97 to 0.999, II and aVF or V5 and V6 often 0.9 to 0.98."""
_MAX_LAG_MM: Final = 0.5
_LEAST_MM: Final = 20.0
_SURE_MM: Final = 1.0


@dataclass(frozen=True)
class Strips:
    """The layout with its rhythm strips' final names."""

    layout: Layout
    problems: tuple[Problem, ...] = ()


def find_strips(layout: Layout, traces: tuple[Trace, ...]) -> Strips:
    """``layout`` with a rhythm strip renamed where its line is clearly another lead's than the one it was named.

    A strip is compared with the short leads above it over the same piece of paper, which is the same time; on sheets
    whose columns all show one time it is compared with none.
    """
    by_row = {trace.row: trace for trace in traces if len(trace.x_mm) > 1}
    short = [p for p in layout.panels if not p.rhythm and p.row in by_row]
    if len({round(p.start_s, 2) for p in short}) < len({p.column for p in short}):
        return Strips(layout)
    panels, problems = [], []
    for panel in layout.panels:
        name = _shown(panel, short, by_row) if panel.rhythm and panel.row in by_row else None
        if name is not None:
            text = f"a rhythm strip was read as {panel.lead}, but its line is that of {name.lead}; it is named so"
            problems.append(Problem("strip-renamed", STAGE, text))
            panel = replace(panel, lead=name.lead, polarity=name.polarity, gain_mm_mv=name.gain_mm_mv)
        panels.append(panel)
    return Strips(replace(layout, panels=tuple(panels)), tuple(problems)) if problems else Strips(layout)


def _shown(strip: Panel, short: list[Panel], by_row: dict[int, Trace]) -> Panel | None:
    """The short lead that the strip shows, if it is clearly not the one it is named."""
    alike = {p: _correlation(by_row[strip.row], by_row[p.row], p) for p in short if p.row != strip.row}
    alike = {p: c for p, c in alike.items() if np.isfinite(c)}
    named = [c for p, c in alike.items() if p.lead == strip.lead]
    if not named:
        return None
    best = max(alike, key=lambda p: alike[p])
    clearly = 1 - max(named) > _TIMES * (1 - alike[best]) + _OTHER
    return best if alike[best] > _SAME and clearly else None


def _correlation(strip: Trace, lead: Trace, panel: Panel) -> float:
    """Correlation of two rows' lines over ``panel``'s piece of the paper, at the best small shift; NaN where too little
    of both is sure."""
    inside = (lead.x_mm >= panel.x0_mm) & (lead.x_mm <= panel.x1_mm)
    x, y = lead.x_mm[inside], lead.y_mm[inside]
    y = np.where(lead.sigma_mm[inside] < _SURE_MM, y, np.nan)
    known = np.isfinite(strip.y_mm) & (strip.sigma_mm < _SURE_MM)
    if known.sum() < 2 or len(x) < 2:
        return float("nan")
    step = float(np.diff(x).mean())
    near = np.interp(x, strip.x_mm, known.astype(float)) > 0.5
    best = float("nan")
    for lag_mm in np.arange(-_MAX_LAG_MM, _MAX_LAG_MM + step, step):
        other = np.interp(x + lag_mm, strip.x_mm[known], strip.y_mm[known])
        both = np.isfinite(y) & near
        if both.sum() * step < _LEAST_MM or np.ptp(y[both]) == 0 or np.ptp(other[both]) == 0:
            return float("nan")
        best = float(np.fmax(best, np.corrcoef(y[both], other[both])[0, 1]))
    return best
