"""The gain once more, from how tall the lines are, where nothing on the sheet says it; and what contradicts one that is
said."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.paper import DEFAULT_GAIN_MM_MV, GAINS_MM_MV, Layout
from ecglift.problem import Problem
from ecglift.sheet import Trace

STAGE: Final = "heights"

_USUAL_LOG_MV: Final[dict[str, float]] = {
    "I": -0.11,
    "II": -0.08,
    "III": -0.25,
    "aVR": -0.18,
    "aVL": -0.37,
    "aVF": -0.34,
    "V1": 0.08,
    "V2": 0.57,
    "V3": 0.60,
    "V4": 0.59,
    "V5": 0.47,
    "V6": 0.22,
}
"""Mean logarithm of a lead's height in mV, from its 0.5th to its 99.5th percentile, over the 1,817 records of PTB-XL
and PTB that networks are trained on."""
_PATIENTS: Final = 0.25
_LEADS: Final = 0.3
"""Spread, in e-folds, of the median over all leads, and of a single one around it: 0.26 for twelve leads, 0.39 for one,
as measured on those records."""
_STRANGE: Final = 0.1
_STRANGE_SPREAD: Final = 0.6
"""Share of hearts that are not like those, and their spread."""
_PRIOR: Final = (0.01, 0.06, 0.87, 0.06)
"""Chance of each of GAINS_MM_MV where nothing is known."""
_MARGIN: Final = 0.3
"""Nats by which another gain must be likelier than the usual one."""
_CONTRADICTS: Final = 4.5
"""Nats by which the heights must prefer another gain than the one that is said for a person to be told. A heart of low
voltage reaches 3.8 at the sheet's true gain, a gain that is wrong by a factor of four 5."""
_LEAST_COLUMNS: Final = 160


def by_heights(layout: Layout, traces: tuple[Trace, ...]) -> tuple[Layout, tuple[Problem, ...]]:
    """``layout`` with another gain where none was said and the lines are too tall or too flat for the usual one, and
    what a person should be told.

    Real records printed at 10 mm/mV are changed in 0.5 % of cases; of those at 5 or 20 mm/mV two in three are found.
    """
    if layout.gain_how == "given" or layout.gain_mm_mv not in GAINS_MM_MV:
        return layout, ()
    off = _taller(layout, traces)
    if not len(off):
        return layout, ()
    gains = np.array(GAINS_MM_MV)
    spread = float(np.hypot(_PATIENTS, _LEADS / np.sqrt(len(off))))
    away = float(np.median(off)) + np.log(layout.gain_mm_mv / gains)
    log_p = np.log((1 - _STRANGE) * _normal(away, spread) + _STRANGE * _normal(away, _STRANGE_SPREAD))
    now = GAINS_MM_MV.index(layout.gain_mm_mv)
    if layout.gain_how == "assumed" and layout.gain_mm_mv == DEFAULT_GAIN_MM_MV:
        together = log_p + np.log(_PRIOR)
        best = int(together.argmax())
        if together[best] - together[now] > _MARGIN:
            text = f"no gain is printed and no pulse was found; lines as tall as these fit {gains[best]:g} mm/mV better"
            message = f"{text} than {layout.gain_mm_mv:g}; check with --gain"
            return _at_gain(layout, float(gains[best])), (Problem("gain-guessed", STAGE, message),)
    likely = int(log_p.argmax())
    if log_p[likely] - log_p[now] > _CONTRADICTS:
        size = "flat" if gains[likely] < layout.gain_mm_mv else "tall"
        text = f"{layout.gain_mm_mv:g} mm/mV is used, but the lines are as {size} as at {gains[likely]:g} mm/mV"
        return layout, (Problem("gain-conflict", STAGE, f"{text}; check with --gain"),)
    return layout, ()


def _taller(layout: Layout, traces: tuple[Trace, ...]) -> NDArray[np.float64]:
    """(n,) by how much each lead is taller than usual at the layout's gain, in e-folds."""
    by_row = {trace.row: trace for trace in traces}
    out = []
    for panel in layout.panels:
        if (trace := by_row.get(panel.row)) is None:
            continue
        heights = trace.y_mm[(trace.x_mm >= panel.x0_mm) & (trace.x_mm <= panel.x1_mm)]
        heights = heights[np.isfinite(heights)]
        if len(heights) >= _LEAST_COLUMNS:
            low, high = np.percentile(heights, [0.5, 99.5])
            out.append(np.log(max(high - low, 0.05) / panel.gain_mm_mv) - _USUAL_LOG_MV[panel.lead])
    return np.array(out)


def _normal(away: NDArray[np.float64], spread: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * np.square(away / spread)) / spread)


def _at_gain(layout: Layout, gain_mm_mv: float) -> Layout:
    """``layout`` with all gains changed as much as that of the sheet is."""
    factor = gain_mm_mv / layout.gain_mm_mv
    panels = tuple(panel.with_gain(panel.gain_mm_mv * factor) for panel in layout.panels)
    return replace(layout, panels=panels, gain_mm_mv=gain_mm_mv)
