"""The line of every row of a flat sheet, column by column, by the trace network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecglift.models.runtime import load
from ecglift.models.strip import cut_strip, decode, network_input
from ecglift.paper import Layout, Panel
from ecglift.sheet import SHEET_PX_PER_MM, Sheet, Trace
from ecglift.stages.refine import refine

_MARGIN_MM = 3.0  # beyond the row's ends, so that the network sees what stands beside the line


@dataclass(frozen=True)
class TraceSettings:
    """``flip``: also read the mirrored strip and average, slower and a little more accurate; ``presence``: least
    chance of a line, 0 to 1."""

    flip: bool = False
    presence: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.presence < 1:
            raise ValueError(f"presence must be between 0 and 1, got {self.presence}")


def trace_rows(sheet: Sheet, layout: Layout, settings: TraceSettings | None = None) -> tuple[Trace, ...]:
    """One :class:`Trace` per row of the layout, 16 columns a millimetre, NaN where no line was seen."""
    settings = settings or TraceSettings()
    return tuple(_trace_row(sheet, row, settings) for row in layout.rows())


def _trace_row(sheet: Sheet, panels: tuple[Panel, ...], settings: TraceSettings) -> Trace:
    baseline = float(np.median([p.baseline_mm for p in panels]))
    x0, x1 = min(p.x0_mm for p in panels), max(p.x1_mm for p in panels)
    strip = cut_strip(sheet, baseline, x0 - _MARGIN_MM, x1 + _MARGIN_MM)
    model = load("trace")
    answer = model.run({"rgb": network_input(strip.rgb[None])})
    line, presence_logit = answer["line"][0], answer["presence"][0]
    if settings.flip:
        mirrored = model.run({"rgb": network_input(strip.rgb[None, :, ::-1])})
        line = (line + mirrored["line"][0, :, ::-1]) / 2
        presence_logit = (presence_logit + mirrored["presence"][0, ::-1]) / 2
    y_px, sigma_px, presence = decode(line, presence_logit)
    x_mm = strip.columns_mm()
    y_mm = strip.top_mm + y_px / SHEET_PX_PER_MM
    keep = (x_mm >= x0) & (x_mm <= x1)
    gone = presence < settings.presence
    found = Trace(
        panels[0].row,
        x_mm[keep],
        np.where(gone, np.nan, y_mm)[keep],
        (sigma_px / SHEET_PX_PER_MM)[keep],
        presence[keep],
    )
    return refine(found, tuple(sorted({x for p in panels for x in (p.x0_mm, p.x1_mm)})))
