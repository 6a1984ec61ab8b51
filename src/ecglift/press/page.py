"""A printed ECG page as a list of things to draw, in millimetres, with the truth of what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEAD_INDEX, LEADS
from ecglift.paper import Layout, Panel

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""

StrokeKind = Literal["trace", "pulse", "separator", "frame", "scribble"]
TextKind = Literal["label", "text", "handwriting"]
GridKind = Literal["lines", "dots", "major", "none"]


@dataclass(frozen=True)
class Grid:
    """The printed grid: 1 mm lines or dots and 5 mm lines within ``box_mm`` (x0, y0, x1, y1); line crossings stand at
    ``box_mm``'s corner."""

    kind: GridKind
    box_mm: tuple[float, float, float, float]
    minor_colour: Colour = (0.98, 0.8, 0.8)
    major_colour: Colour = (0.95, 0.55, 0.55)
    minor_width_mm: float = 0.1
    major_width_mm: float = 0.2
    ground: Colour | None = None


@dataclass(frozen=True)
class Stroke:
    """A pen line through ``points_mm`` (n, 2). ``row``, ``lead`` say which panel a trace belongs to; ``dash_mm``:
    (on, off) or None. ``dots_mm``: pitch of the printing head's dots, 0 for a pen; ``wear``: 0 to 1, how pale the line
    is where it is palest."""

    kind: StrokeKind
    points_mm: NDArray[np.float64]
    width_mm: float
    colour: Colour
    row: int = -1
    lead: str = ""
    dash_mm: tuple[float, float] | None = None
    dots_mm: float = 0.0
    wear: float = 0.0


@dataclass(frozen=True)
class Text:
    """A line of print whose box starts at ``x_mm`` and stands on the baseline ``y_mm``; ``height_mm`` is that of a
    capital letter."""

    kind: TextKind
    text: str
    x_mm: float
    y_mm: float
    height_mm: float
    font: str
    colour: Colour = (0.0, 0.0, 0.0)
    lead: str = ""
    row: int = -1


@dataclass(frozen=True)
class Patch:
    """A filled figure (logo, code, stamp, redaction): ``alpha`` (h, w) 0 to 1 over ``box_mm``, in one colour."""

    alpha: NDArray[np.float32]
    box_mm: tuple[float, float, float, float]
    colour: Colour


@dataclass(frozen=True)
class Page:
    """A page before it is printed: what stands where in mm (origin top left, y down), and what it means.

    ``layout`` is the truth of panels, speed and gain; ``mv`` (12, n) at ``fs_hz`` the signal that was drawn, NaN
    where a lead is not printed;
    ``meta``: everything else that is worth knowing (template, patient, seed).
    """

    width_mm: float
    height_mm: float
    paper: Colour
    grid: Grid
    strokes: tuple[Stroke, ...]
    texts: tuple[Text, ...]
    patches: tuple[Patch, ...]
    layout: Layout
    fs_hz: float
    mv: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)

    def panel_curve(self, panel: Panel, x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """The truth: height in mm of the panel's line at ``x_mm`` (any shape), NaN outside the panel."""
        stroke = next(
            s
            for s in self.strokes
            if s.kind == "trace" and s.row == panel.row and s.lead == f"{panel.lead}@{panel.column}"
        )
        return np.interp(x_mm, stroke.points_mm[:, 0], stroke.points_mm[:, 1], left=np.nan, right=np.nan)

    def printed_mv(self) -> NDArray[np.float32]:
        """(12, n) mV: the signal where it is printed, NaN elsewhere; a lead printed short and as a rhythm strip
        counts over the strip's length."""
        out = np.full((len(LEADS), self.mv.shape[1]), np.nan, np.float32)
        for p in self.layout.panels:
            a = round(p.start_s * self.fs_hz)
            b = min(a + round((p.x1_mm - p.x0_mm) / self.layout.speed_mm_s * self.fs_hz), self.mv.shape[1])
            k = LEAD_INDEX[p.lead]
            out[k, a:b] = self.mv[k, a:b]
        return out
