"""The line of every row of a flat sheet, column by column, by the trace network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecglift.models.runtime import load
from ecglift.models.strip import cut_strip, decode, network_input
from ecglift.paper import Layout, Panel
from ecglift.penline import refine
from ecglift.sheet import Sheet, Trace

_MARGIN_MM: Final = 3.0
"""Beyond the row's ends, so that the network sees what stands beside the line."""

_TALL_MM: Final = 1e9
"""A row whose line leaves its zero line by this much is looked at once more, in a strip twice as tall: where a peak
leaves the strip the network sees two bare strokes, and makes something of them that is lower."""

_BEYOND_MM: Final = 28.0
"""What is this far from the zero line is read in the tall strip: the other one ends at 32 mm."""

_WAY_MM: Final = 6.0


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
    coarse: Sheet | None = None
    traces = []
    for row in layout.rows():
        fine = _read(sheet, row, settings)
        baseline = _baseline_mm(row)
        if float(np.abs(fine.y_mm - baseline).max(initial=0.0)) > _TALL_MM:
            coarse = coarse or sheet.halved()
            fine = _with_tall(fine, _read(coarse, row, settings), baseline)
        joints = tuple(sorted({x for p in row for x in (p.x0_mm, p.x1_mm)}))
        inside = (fine.x_mm >= joints[0]) & (fine.x_mm <= joints[-1])
        y_mm = np.where(fine.presence < settings.presence, np.nan, fine.y_mm)
        found = Trace(fine.row, fine.x_mm[inside], y_mm[inside], fine.sigma_mm[inside], fine.presence[inside])
        traces.append(refine(found, joints))
    return tuple(traces)


def _baseline_mm(panels: tuple[Panel, ...]) -> float:
    return float(np.median([p.baseline_mm for p in panels]))


def _read(sheet: Sheet, panels: tuple[Panel, ...], settings: TraceSettings) -> Trace:
    """The row's line as the network sees it on ``sheet``, a little beyond both of its ends."""
    x0, x1 = min(p.x0_mm for p in panels), max(p.x1_mm for p in panels)
    strip = cut_strip(sheet, _baseline_mm(panels), x0 - _MARGIN_MM, x1 + _MARGIN_MM)
    model = load("trace")
    answer = model.run({"rgb": network_input(strip.rgb[None])})
    line, presence_logit = answer["line"][0], answer["presence"][0]
    if settings.flip:
        mirrored = model.run({"rgb": network_input(strip.rgb[None, :, ::-1])})
        line = (line + mirrored["line"][0, :, ::-1]) / 2
        presence_logit = (presence_logit + mirrored["presence"][0, ::-1]) / 2
    y_px, sigma_px, presence = decode(line, presence_logit)
    return Trace(panels[0].row, strip.columns_mm(), strip.rows_mm(y_px), sigma_px / strip.px_per_mm, presence)


def _with_tall(fine: Trace, coarse: Trace, baseline_mm: float) -> Trace:
    """``fine`` with ``coarse``'s line wherever that goes beyond the fine strip and on its way there and back."""
    y, sigma, presence = (
        np.interp(fine.x_mm, coarse.x_mm, values) for values in (coarse.y_mm, coarse.sigma_mm, coarse.presence)
    )
    away = np.abs(y - baseline_mm)
    beyond = (away > _BEYOND_MM) & (presence > 0.5)
    # A way is the run of columns around a peak in which the line is well off its zero line.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (away > _WAY_MM).astype(np.int8), [0]])))
    taken = np.zeros(len(y), bool)
    for start, stop in edges.reshape(-1, 2):
        taken[start:stop] = beyond[start:stop].any()
    return Trace(
        fine.row,
        fine.x_mm,
        np.where(taken, y, fine.y_mm),
        np.where(taken, sigma, fine.sigma_mm),
        np.where(taken, presence, fine.presence),
    )
