"""The paper speed once more, from the lines themselves, where nothing on the sheet says it for certain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ecglift.models.runtime import load
from ecglift.models.tempo import features
from ecglift.paper import SPEEDS_MM_S, Layout
from ecglift.problem import Problem
from ecglift.sheet import Trace

STAGE: Final = "tempo"
_OVERRULES: Final = 4.0
"""Nats by which the lines must prefer another speed to one that was assumed. Of held-out pieces this finds 72 % of
those at 50 mm/s and 77 % of those at 12.5, and is wrong about 0.2 % of those at 25."""
_CONTRADICTS: Final = 6.0
"""The same for a speed that is printed: then it is only said."""
_MANY: Final = 6
"""Fewer lines than this must say so more clearly: a single lead of an unusual heart misled by 8 nats."""


@dataclass(frozen=True)
class Tempo:
    """The layout at its final speed. ``log_p``: (3,) log chance of each of SPEEDS_MM_S by the lines, () without any."""

    layout: Layout
    log_p: tuple[float, ...] = ()
    problems: tuple[Problem, ...] = ()


def find_tempo(layout: Layout, traces: tuple[Trace, ...]) -> Tempo:
    """``layout`` with another speed where the lines clearly contradict one that was not read in print or told."""
    if layout.speed_how == "given" or layout.speed_mm_s not in SPEEDS_MM_S:
        return Tempo(layout)
    by_row = {trace.row: trace for trace in traces if len(trace.x_mm) > 1}
    lines = []
    for panel in layout.panels:
        if (trace := by_row.get(panel.row)) is not None:
            lines.append(trace.y_mm[(trace.x_mm >= panel.x0_mm) & (trace.x_mm <= panel.x1_mm)])
    if not lines:
        return Tempo(layout)
    step_mm = float(np.median([np.diff(trace.x_mm).mean() for trace in by_row.values()]))
    seen = features(lines, step_mm)
    if seen is None:
        return Tempo(layout)
    log_p = load("tempo").run({"features": seen[None]})["speed"][0].astype(float)
    best = int(log_p.argmax())
    speed, now = SPEEDS_MM_S[best], layout.speed_mm_s
    odds = float(log_p[best] - log_p[SPEEDS_MM_S.index(now)])
    said = tuple(round(float(v), 3) for v in log_p)
    looks = f"the shape of the lines is that of {speed:g} mm/s"
    doubt = max(1.0, _MANY / len(lines))
    if layout.speed_how in ("assumed", "pulse") and odds > _OVERRULES * doubt:
        text = f"no paper speed is printed, and {looks}, not {now:g}, which would be usual; check with --speed"
        return Tempo(at_speed(layout, speed), said, (Problem("speed-guessed", STAGE, text),))
    if odds > _CONTRADICTS * doubt:
        text = f"{now:g} mm/s was read, but {looks}; {now:g} mm/s is used, check with --speed"
        return Tempo(layout, said, (Problem("speed-conflict", STAGE, text),))
    return Tempo(layout, said)


def at_speed(layout: Layout, speed_mm_s: float) -> Layout:
    """``layout`` as if its paper had run at ``speed_mm_s``, which is assumed: every panel's time is another."""
    panels = tuple(replace(p, start_s=p.start_s * layout.speed_mm_s / speed_mm_s) for p in layout.panels)
    return replace(layout, panels=panels, speed_mm_s=speed_mm_s, speed_how="assumed")
