"""What a capture shows, for every pixel and every line: maps, masks, lines, crossings, polylines, label boxes,
signals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, Points
from ecglift.leads import LEADS
from ecglift.paper import LARGE_SQUARE_MM, Layout, Panel
from ecglift.press.capture import Capture
from ecglift.press.fonts import text_mask
from ecglift.press.page import Grid, Page, Text
from ecglift.press.render import render
from ecglift.press.warp import dense_mm, inverse, seen_box_mm, warped

LAYERS: Final[tuple[str, ...]] = (
    "trace",
    "pulse",
    "separator",
    "frame",
    "scribble",
    "label",
    "text",
    "handwriting",
    "patch",
    "grid",
    "paper",
)
"""Layers of a page that :func:`masks` can tell apart."""

_STROKES: Final = ("trace", "pulse", "separator", "frame", "scribble")
_TEXTS: Final = ("label", "text", "handwriting")
_BLACK: Final = (0.0, 0.0, 0.0)
_WHITE: Final = (1.0, 1.0, 1.0)


def _only(page: Page, layer: str) -> Page:
    """The page with one layer alone, black on white."""
    nothing = Grid("none", page.grid.box_mm)
    grid = page.grid
    black = replace(grid, minor_colour=_BLACK, major_colour=_BLACK, ground=None)
    strokes = tuple(replace(s, colour=_BLACK) for s in page.strokes if s.kind == layer)
    texts = tuple(replace(t, colour=_BLACK) for t in page.texts if t.kind == layer)
    patches = tuple(replace(p, colour=_BLACK) for p in page.patches) if layer == "patch" else ()
    return replace(
        page, paper=_WHITE, grid=black if layer == "grid" else nothing, strokes=strokes, texts=texts, patches=patches
    )


def masks(capture: Capture, layers: Sequence[str] = LAYERS) -> dict[str, NDArray[np.uint8]]:
    """Coverage of every pixel by each layer, (h, w) uint8, 0 to 255, as sharp as the picture's pixels allow.

    "paper" is the sheet's rectangle. Layers are given whole even where another covers them. ValueError for an unknown
    layer.
    """
    unknown = set(layers) - set(LAYERS)
    if unknown:
        raise ValueError(f"layers must be among {', '.join(LAYERS)}; got {', '.join(sorted(unknown))}")
    page = capture.page
    back = inverse(capture.map, capture.shape)
    box = seen_box_mm(back, page.width_mm, page.height_mm)
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    px_per_mm = float(np.clip(1.5 * capture.map.px_per_mm(middle).max(), 4, 16))
    out = {}
    for layer in layers:
        if layer == "paper":
            size = round((box[2] - box[0]) * px_per_mm), round((box[3] - box[1]) * px_per_mm)
            coverage = np.full((size[1], size[0]), 255, np.uint8)
        else:
            coverage = 255 - np.ascontiguousarray(render(_only(page, layer), px_per_mm, box)[..., 0])
        out[layer] = warped(coverage, px_per_mm, box[:2], back)
    return out


def paper_mm(capture: Capture) -> NDArray[np.float32]:
    """The paper's millimetre that every pixel shows, (h, w, 2) float32 x and y; beyond the sheet it goes on outside 0
    … width, height."""
    return dense_mm(capture.map, capture.shape)


@dataclass(frozen=True)
class Crossings:
    """Crossings of the printed grid: ``mm`` (n, 2), ``px`` (n, 2), ``major`` (n,) both lines heavy, ``inside`` (n,)
    within the picture."""

    mm: Points
    px: Points
    major: NDArray[np.bool_]
    inside: NDArray[np.bool_]


def crossings(capture: Capture, period_mm: float = LARGE_SQUARE_MM) -> Crossings:
    """Every crossing of grid lines ``period_mm`` apart; empty for a page without a grid."""
    grid = capture.page.grid
    x0, y0, x1, y1 = grid.box_mm
    if grid.kind == "none":
        mm = np.zeros((0, 2))
    else:
        xs, ys = np.arange(x0, x1 + 1e-6, period_mm), np.arange(y0, y1 + 1e-6, period_mm)
        mm = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    px = capture.map.to_px(mm)
    height, width = capture.shape
    inside = ((px >= -0.5) & (px <= [width - 0.5, height - 0.5])).all(axis=1)
    turns = (mm - [x0, y0]) / LARGE_SQUARE_MM
    major = (np.abs(turns - np.rint(turns)) < 1e-6).all(axis=1)
    return Crossings(mm, px, np.asarray(major), np.asarray(inside))


@dataclass(frozen=True)
class Line:
    """One line of the grid: ``axis`` 0 for a vertical line at x = ``at_mm``, 1 for a horizontal one; ``px`` (n, 2)
    along it."""

    axis: int
    at_mm: float
    major: bool
    px: Points


def grid_lines(capture: Capture, period_mm: float = 1.0, every_mm: float = 2.0) -> list[Line]:
    """The grid's lines as polylines in the picture, a point ``every_mm``; empty for a page without a grid."""
    grid = capture.page.grid
    if grid.kind == "none":
        return []
    x0, y0, x1, y1 = grid.box_mm
    out = []
    for axis, (low, high, start, stop) in enumerate(((x0, x1, y0, y1), (y0, y1, x0, x1))):
        along = np.linspace(start, stop, max(round((stop - start) / every_mm), 1) + 1)
        for k in range(int(np.floor((high - low) / period_mm + 1e-6)) + 1):
            at = low + k * period_mm
            across = np.full_like(along, at)
            mm = np.stack([across, along] if axis == 0 else [along, across], axis=-1)
            fifth = (at - low) / LARGE_SQUARE_MM
            out.append(Line(axis, float(at), abs(fifth - round(fifth)) < 1e-6, capture.map.to_px(mm)))
    return out


@dataclass(frozen=True)
class Polyline:
    """The line of one panel as drawn: ``mm`` (n, 2) on the sheet, ``px`` (n, 2) in the picture."""

    panel: Panel
    mm: Points
    px: Points


def polylines(capture: Capture) -> list[Polyline]:
    """The traces of all panels, in the order of the layout."""
    out = []
    for panel in capture.page.layout.panels:
        for stroke in capture.page.strokes:
            if stroke.kind == "trace" and stroke.row == panel.row and stroke.lead == f"{panel.lead}@{panel.column}":
                mm = np.asarray(stroke.points_mm, float)
                out.append(Polyline(panel, mm, capture.map.to_px(mm)))
                break
    return out


@dataclass(frozen=True)
class TextBox:
    """A line of print in the picture: ``corners_px`` (4, 2) clockwise from its top left; ``lead`` for a lead's
    label."""

    kind: str
    text: str
    lead: str
    row: int
    corners_px: Points


def _box_mm(text: Text) -> tuple[float, float, float, float]:
    capital_px = 24
    mask, baseline = text_mask(text.text, text.font, capital_px)
    mm = text.height_mm / capital_px
    top = text.y_mm - baseline * mm
    return text.x_mm, top, text.x_mm + mask.shape[1] * mm, top + mask.shape[0] * mm


def text_boxes(capture: Capture, kinds: Sequence[str] = ("label",)) -> list[TextBox]:
    """Where the print of these kinds ("label", "text", "handwriting") stands in the picture."""
    out = []
    for text in capture.page.texts:
        if text.kind in kinds and text.text:
            x0, y0, x1, y1 = _box_mm(text)
            corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
            out.append(TextBox(text.kind, text.text, text.lead, text.row, capture.map.to_px(corners)))
    return out


def layout_to_dict(layout: Layout) -> dict[str, Any]:
    """The layout as plain JSON values."""
    return asdict(layout)


def layout_from_dict(values: dict[str, Any]) -> Layout:
    """The inverse of :func:`layout_to_dict`."""
    panels = tuple(Panel(**panel) for panel in values["panels"])
    return Layout(**{**values, "panels": panels})


def _rounded_map(page_map: PageMap) -> dict[str, Any]:
    """The map's JSON with its residual to 1e-4 px, a third of the size."""
    return PageMap(
        page_map.homography,
        page_map.origin_mm,
        page_map.step_mm,
        page_map.residual_px.round(4),
        page_map.residual_mm,
        page_map.confidence,
    ).to_dict()


def describe(capture: Capture) -> dict[str, Any]:
    """All that is known of a capture but its pixels and samples, as plain JSON values."""
    page = capture.page
    grid = page.grid
    return {
        "kind": capture.kind,
        "width_px": capture.shape[1],
        "height_px": capture.shape[0],
        "page_mm": [page.width_mm, page.height_mm],
        "grid": {"kind": grid.kind, "box_mm": list(grid.box_mm)},
        "map": _rounded_map(capture.map),
        "layout": layout_to_dict(page.layout),
        "labels": [
            {"text": b.text, "lead": b.lead, "row": b.row, "corners_px": b.corners_px.round(3).tolist()}
            for b in text_boxes(capture)
        ],
        "fs_hz": page.fs_hz,
        "page": page.meta,
        "capture": capture.meta,
    }


def write_image(path: Path, image: NDArray[np.uint8], quality: int = 95) -> None:
    """The picture (h, w, 3) RGB as PNG (lossless; grey and bilevel as such) or JPEG, by the suffix of ``path``."""
    pixels = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    if (
        path.suffix.lower() == ".png"
        and np.array_equal(image[..., 0], image[..., 1])
        and np.array_equal(image[..., 1], image[..., 2])
    ):
        pixels = np.ascontiguousarray(image[..., 0])
    options = (
        [cv2.IMWRITE_JPEG_QUALITY, quality]
        if path.suffix.lower() in {".jpg", ".jpeg"}
        else [cv2.IMWRITE_PNG_COMPRESSION, 4]
    )
    ok, data = cv2.imencode(path.suffix, pixels, options)
    if not ok:
        raise ValueError(f"path must end in .png or .jpg, got {path.name!r}")
    path.write_bytes(data.tobytes())


def export(
    capture: Capture, directory: Path, stem: str, *, image_format: str = "auto", layers: Sequence[str] = ()
) -> dict[str, str]:
    """Names of the files written to ``directory`` for one capture: the picture, its truth and, for ``layers``, its
    masks.

    ``stem.json``: :func:`describe`. ``stem.npz``: ``mv`` (12, n) mV with NaN where nothing is printed, ``fs_hz``,
    ``leads``, and the panels' polylines end to end (``line_mm``, ``line_px`` (m, 2), ``line_panel`` (m,)).
    ``image_format``: "png", "jpg", or "auto": JPEG at quality 95 for a picture that went through JPEG anyway, else
    PNG. Masks are PNGs.
    """
    if image_format not in {"auto", "png", "jpg"}:
        raise ValueError(f"image_format must be auto, png or jpg, got {image_format!r}")
    suffix = ("jpg" if "jpeg" in capture.meta else "png") if image_format == "auto" else image_format
    names = {"image": f"{stem}.{suffix}", "truth": f"{stem}.json", "signals": f"{stem}.npz"}
    write_image(directory / names["image"], capture.image)
    (directory / names["truth"]).write_text(json.dumps(describe(capture)), encoding="utf-8")
    lines = polylines(capture)
    np.savez_compressed(
        directory / names["signals"],
        mv=capture.page.printed_mv(),
        fs_hz=capture.page.fs_hz,
        leads=np.array(LEADS),
        line_mm=np.concatenate([line.mm for line in lines] or [np.zeros((0, 2))]),
        line_px=np.concatenate([line.px for line in lines] or [np.zeros((0, 2))]),
        line_panel=np.repeat(np.arange(len(lines)), [len(line.mm) for line in lines]),
    )
    for layer, mask in (masks(capture, layers) if layers else {}).items():
        names[layer] = f"{stem}.{layer}.png"
        write_image(directory / names[layer], np.repeat(mask[..., None], 3, axis=2))
    return names


@dataclass(frozen=True)
class Truth:
    """What :func:`export` wrote beside a picture: ``mv`` (12, n) mV with NaN, ``fs_hz``, ``map``, ``layout`` and the
    rest, ``values``."""

    mv: NDArray[np.float32]
    fs_hz: float
    map: PageMap
    layout: Layout
    values: dict[str, Any]


def read_truth(directory: Path, names: dict[str, str]) -> Truth:
    """The truth of one capture from the files that :func:`export` named."""
    values = json.loads((directory / names["truth"]).read_text(encoding="utf-8"))
    with np.load(directory / names["signals"]) as arrays:
        mv = np.asarray(arrays["mv"], np.float32)
    return Truth(
        mv, float(values["fs_hz"]), PageMap.from_dict(values["map"]), layout_from_dict(values["layout"]), values
    )
