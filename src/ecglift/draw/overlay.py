"""What was read, drawn over the page: grid, panels with their lead names, traces coloured by confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from ecglift.doubt import TOLERANCE_MV
from ecglift.draw.canvas import BLUE, INK, Canvas, Colour, confidence_colours
from ecglift.geometry import PageMap, Points
from ecglift.paper import Layout, Panel
from ecglift.sheet import Trace

Bounds = tuple[float, float, float, float]

_GRID_COLOUR: Final[Colour] = (20, 150, 120)
_BOX_COLOUR: Final[Colour] = (110, 60, 160)


@dataclass(frozen=True)
class Overlay:
    """A page as it is shown, upright and reduced, and what is laid over it.

    ``page``: (h, w, 3) uint8 RGB; ``layer``: (h, w, 4) uint8 RGBA.
    """

    page: NDArray[np.uint8]
    layer: NDArray[np.uint8]

    @property
    def picture(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB: both together."""
        alpha = self.layer[..., 3:].astype(np.float32) / 255
        return np.round(self.page * (1 - alpha) + self.layer[..., :3] * alpha).astype(np.uint8)


def draw_overlay(
    image: NDArray[np.uint8],
    page_map: PageMap | None = None,
    layout: Layout | None = None,
    traces: tuple[Trace, ...] = (),
    *,
    grid_mm: Bounds | None = None,
    max_px: int = 2400,
    deidentify: bool = False,
) -> Overlay:
    """The overlay of a page ``image`` (h, w, 3) uint8, as far as the page could be read.

    ``page_map``, ``layout`` and ``traces`` share one upright sheet in mm; ``grid_mm``: where its grid is (x0, y0, x1,
    y1).
    ``max_px``: the longer side of the picture. ``deidentify``: what is not trace, grid or lead label is blacked out.
    """
    page, page_map = _upright(image, page_map)
    factor = min(1.0, max_px / max(page.shape[:2]))
    if factor < 1:
        size = max(1, round(page.shape[1] * factor)), max(1, round(page.shape[0] * factor))
        scale = np.diag([size[0] / page.shape[1], size[1] / page.shape[0], 1.0])
        # Pixel centres stand at whole numbers: the picture shrinks about its corner, half a pixel off the first centre.
        scale[:2, 2] = (scale.diagonal()[:2] - 1) / 2
        page = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA), np.uint8)
        page_map = page_map.after(scale) if page_map else None
    page = np.ascontiguousarray(page)
    canvas = Canvas(*page.shape[:2])
    if page_map is None:
        return Overlay(_blacked_out(page, None, ()) if deidentify else page, canvas.straight())
    panels = layout.panels if layout else ()
    boxes = [panel_box(panel, layout, grid_mm) for panel in panels] if layout else []
    if deidentify:
        page = _blacked_out(page, page_map, boxes)
    # As thick as it needs to be on this picture, whatever its size.
    unit = max(1.0, max(page.shape[:2]) / 1400)
    if grid_mm is not None:
        _draw_grid(canvas, page_map, grid_mm, unit)
    for panel, box in zip(panels, boxes, strict=True):
        canvas.line(page_map.to_px(_outline(box)), _BOX_COLOUR, unit, 0.75)
        base = np.stack([np.linspace(panel.x0_mm, panel.x1_mm, 24), np.full(24, panel.baseline_mm)], axis=1)
        canvas.line(page_map.to_px(base), _BOX_COLOUR, 1.0, 0.35)
    for trace in traces:
        _draw_trace(canvas, page_map, trace, layout, unit)
    for panel, box in zip(panels, boxes, strict=True):
        _draw_name(canvas, page_map, panel, box, unit)
    return Overlay(page, canvas.straight())


def panel_box(panel: Panel, layout: Layout, grid_mm: Bounds | None = None) -> Bounds:
    """x0, y0, x1, y1 in mm of the part of the sheet that belongs to a panel: half-way to the rows above and below."""
    heights = sorted({p.baseline_mm for p in layout.panels if p.x0_mm < panel.x1_mm and p.x1_mm > panel.x0_mm})
    above = [h for h in heights if h < panel.baseline_mm - 1]
    below = [h for h in heights if h > panel.baseline_mm + 1]
    up = (panel.baseline_mm - above[-1]) / 2 if above else None
    down = (below[0] - panel.baseline_mm) / 2 if below else None
    usual = 15.0
    top = panel.baseline_mm - (up if up is not None else max(down or usual, 10.0))
    bottom = panel.baseline_mm + (down if down is not None else max(up or usual, 8.0))
    if grid_mm is not None:
        top, bottom = max(top, grid_mm[1]), min(bottom, grid_mm[3])
    return panel.x0_mm, top, panel.x1_mm, bottom


def trace_confidence(trace: Trace, gain_mm_mv: float) -> NDArray[np.float64]:
    """(n,) chance that a column of the trace is right to 20 µV."""
    tolerance_mm = TOLERANCE_MV * gain_mm_mv
    return np.asarray(np.nan_to_num(trace.presence * erf(tolerance_mm / np.maximum(trace.sigma_mm, 1e-6) / np.sqrt(2))))


def _upright(image: NDArray[np.uint8], page_map: PageMap | None) -> tuple[NDArray[np.uint8], PageMap | None]:
    """Image and map turned by quarters so that the sheet's rows run from left to right."""
    if page_map is None:
        return image, None
    middle = np.array([image.shape[1] / 2, image.shape[0] / 2])
    mm = page_map.to_mm(middle)
    along = page_map.to_px(mm + [1.0, 0.0]) - page_map.to_px(mm)
    turns = round(float(np.degrees(np.arctan2(along[1], along[0]))) / 90) % 4
    height, width = image.shape[:2]
    # Turning the picture anticlockwise by a quarter brings a sheet upright whose rows run down.
    move = {
        0: np.eye(3),
        1: np.array([[0, 1, 0], [-1, 0, width - 1], [0, 0, 1.0]]),
        2: np.array([[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1.0]]),
        3: np.array([[0, -1, height - 1], [1, 0, 0], [0, 0, 1.0]]),
    }[turns]
    return (np.rot90(image, turns), page_map.after(move)) if turns else (image, page_map)


def _outline(box: Bounds) -> Points:
    """The box's edge in steps of a few millimetres, so that it bends with the paper."""
    x0, y0, x1, y1 = box
    x, y = np.linspace(x0, x1, 40), np.linspace(y0, y1, 12)
    return np.concatenate(
        [
            np.stack([x, np.full_like(x, y0)], 1),
            np.stack([np.full_like(y, x1), y], 1),
            np.stack([x[::-1], np.full_like(x, y1)], 1),
            np.stack([np.full_like(y, x0), y[::-1]], 1),
        ]
    )


def _draw_grid(canvas: Canvas, page_map: PageMap, grid_mm: Bounds, unit: float) -> None:
    x0, y0, x1, y1 = grid_mm
    step = 5.0
    # Every 5 mm line when there is room for it, the 25 mm lines (one second) stronger.
    px = float(np.min(page_map.px_per_mm(np.array([(x0 + x1) / 2, (y0 + y1) / 2]))))
    if px * step < 9:
        step = 25.0
    along_x, along_y = np.arange(x0, x1 + 2, 2.0), np.arange(y0, y1 + 2, 2.0)
    lines = [(x, np.stack([np.full_like(along_y, x), along_y], 1)) for x in _multiples(x0, x1, step)]
    lines += [(y, np.stack([along_x, np.full_like(along_x, y)], 1)) for y in _multiples(y0, y1, step)]
    for at, points in lines:
        second = abs(at % 25.0) < 1e-6
        canvas.line(page_map.to_px(points), _GRID_COLOUR, unit if second else 1.0, 0.7 if second else 0.38)


def _multiples(low: float, high: float, step: float) -> NDArray[np.float64]:
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _draw_trace(canvas: Canvas, page_map: PageMap, trace: Trace, layout: Layout | None, unit: float) -> None:
    gain = layout.gain_mm_mv if layout else 10.0
    for panel in layout.panels if layout else ():
        if panel.row == trace.row:
            gain = panel.gain_mm_mv
    points = page_map.to_px(np.stack([trace.x_mm, np.nan_to_num(trace.y_mm)], axis=1))
    points[~np.isfinite(trace.y_mm)] = np.nan
    canvas.coloured_line(points, confidence_colours(trace_confidence(trace, gain)), unit)


def _draw_name(canvas: Canvas, page_map: PageMap, panel: Panel, box: Bounds, unit: float) -> None:
    name = ("-" if panel.polarity < 0 else "") + panel.lead
    if panel.confidence < 0.5:
        name += "?"
    at = page_map.to_px(np.array([box[0] + 0.8, box[1] + 0.8]))
    size = 13 * unit
    canvas.text(float(at[0]) + 2 * unit, float(at[1]) + size, name, size, (255, 255, 255), _BOX_COLOUR)


def _blacked_out(
    page: NDArray[np.uint8], page_map: PageMap | None, boxes: list[Bounds] | tuple[()]
) -> NDArray[np.uint8]:
    """The page with everything outside the panels black; what lies among the traces can hold no more than lead
    labels.
    """
    keep = np.zeros(page.shape[:2], np.uint8)
    for box in boxes:
        if page_map is not None:
            outline = page_map.to_px(_outline((box[0] - 2, box[1], box[2] + 2, box[3])))
            cv2.fillPoly(keep, [np.round(outline).astype(np.int32)], 1)
    return page * keep[..., None]


def legend(width_px: int, unit: float = 1.0) -> NDArray[np.uint8]:
    """(h, width, 3) uint8: a strip that says what the colours of an overlay mean."""
    height = round(26 * unit)
    canvas = Canvas(height, width_px)
    size, base = 13 * unit, height - 8 * unit
    x = 8 * unit
    x += canvas.text(x, base, "confidence (chance to be right to 0.02 mV):  0 %", size, INK) + 8 * unit
    span = np.linspace(0, 1, 120)
    bar = np.stack([x + span * 160 * unit, np.full(120, height / 2)], axis=1)
    canvas.coloured_line(bar, confidence_colours(span), 8 * unit)
    x += 168 * unit
    x += canvas.text(x, base, "100 %", size, BLUE) + 26 * unit
    for colour, words in ((_GRID_COLOUR, "grid, 5 mm"), (_BOX_COLOUR, "panel and lead")):
        canvas.line(np.array([[x, height / 2], [x + 26 * unit, height / 2]]), colour, 3 * unit)
        x += 34 * unit
        x += canvas.text(x, base, words, size, INK) + 26 * unit
    return canvas.over(np.full((height, width_px, 3), 255, np.uint8))


def overlay_png(overlay: Overlay) -> bytes:
    """A PNG file of the overlay with its legend below."""
    from ecglift.draw.canvas import to_png

    picture = overlay.picture
    return to_png(np.concatenate([picture, legend(picture.shape[1], max(1.0, picture.shape[1] / 1400))]))
