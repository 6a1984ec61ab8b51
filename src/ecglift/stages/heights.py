"""What contradicts a gain: how tall the lines are."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.paper import GAINS_MM_MV, Layout
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
_CONTRADICTS: Final = 4.5
_DOUBTED: Final = 2.5
"""Nats by which the heights must prefer another gain for a person to be told: than one that is said, the first, and
than the usual one that is assumed, the second. A heart of low voltage reaches 3.8 at the sheet's true gain, a gain that
is wrong by a factor of four 5. One heart in forty is as tall or as flat as another gain would make it, and sheets that
are printed at another one and do not say so are fewer: so the heights change nothing."""
_LEAST_COLUMNS: Final = 160


def doubts(layout: Layout, traces: tuple[Trace, ...]) -> tuple[Problem, ...]:
    """What a person should be told about the gain of ``layout`` where the lines are too tall or too flat for it."""
    if layout.gain_how == "given" or layout.gain_mm_mv not in GAINS_MM_MV:
        return ()
    off = _taller(layout, traces)
    if not len(off):
        return ()
    gains = np.array(GAINS_MM_MV)
    spread = float(np.hypot(_PATIENTS, _LEADS / np.sqrt(len(off))))
    away = float(np.median(off)) + np.log(layout.gain_mm_mv / gains)
    log_p = np.log((1 - _STRANGE) * _normal(away, spread) + _STRANGE * _normal(away, _STRANGE_SPREAD))
    now, likely = GAINS_MM_MV.index(layout.gain_mm_mv), int(log_p.argmax())
    assumed = layout.gain_how == "assumed"
    if log_p[likely] - log_p[now] <= (_DOUBTED if assumed else _CONTRADICTS):
        return ()
    size = "flat" if gains[likely] < layout.gain_mm_mv else "tall"
    text = f"{layout.gain_mm_mv:g} mm/mV is {'assumed' if assumed else 'used'}, but the lines are as {size} as at"
    code = "gain-doubtful" if assumed else "gain-conflict"
    return (Problem(code, STAGE, f"{text} {gains[likely]:g} mm/mV; check with --gain"),)


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
