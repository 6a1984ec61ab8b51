"""From a page's list of things to draw to pixels: any region, any resolution, antialiased."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.press.fonts import text_mask
from ecglift.press.page import Colour, Grid, Page, Patch, Stroke, Text

_SHIFT: Final = 4  # fractional bits of cv2's fixed-point coordinates
_CV2_EXTRA_PX: Final = 1.1  # cv2 draws a line that is t thick about t + 1.1 px wide (measured, 2 to 30 px)

Canvas = NDArray[np.float32]
Box = tuple[float, float, float, float]


def render(
    page: Page, px_per_mm: float, region_mm: Box | None = None, *, strokes: bool = True, grid: bool = True
) -> NDArray[np.uint8]:
    """The page as printed, (height, width, 3) uint8 RGB.

    The pixel (column c, row r) shows the square of paper around x0 + (c + ½)/px_per_mm, y0 + (r + ½)/px_per_mm.
    ``region_mm``: x0, y0, x1, y1, default the whole page; beyond the page there is more paper.
    """
    x0, y0, x1, y1 = region_mm or (0.0, 0.0, page.width_mm, page.height_mm)
    width, height = max(1, round((x1 - x0) * px_per_mm)), max(1, round((y1 - y0) * px_per_mm))
    canvas = np.empty((3, height, width), np.float32)
    canvas[:] = np.array(page.paper, np.float32)[:, None, None]
    if grid:
        _draw_grid(canvas, page.grid, x0, y0, px_per_mm)
    if strokes:
        for patch in page.patches:
            _draw_patch(canvas, patch, x0, y0, px_per_mm)
        for text in page.texts:
            _draw_text(canvas, text, x0, y0, px_per_mm)
        for stroke in page.strokes:
            _draw_stroke(canvas, stroke, x0, y0, px_per_mm)
    canvas *= 255
    return np.asarray(cv2.merge([cv2.convertScaleAbs(plane) for plane in canvas]))


def stroke_mask(
    page: Page, px_per_mm: float, kinds: tuple[str, ...], region_mm: Box | None = None
) -> NDArray[np.float32]:
    """Coverage 0 to 1, (height, width) float32, of the page's strokes of the given kinds; the same pixels as
    :func:`render`."""
    x0, y0, x1, y1 = region_mm or (0.0, 0.0, page.width_mm, page.height_mm)
    canvas = np.zeros((1, max(1, round((y1 - y0) * px_per_mm)), max(1, round((x1 - x0) * px_per_mm))), np.float32)
    for stroke in page.strokes:
        if stroke.kind in kinds:
            _draw_stroke(canvas, stroke, x0, y0, px_per_mm, ink=(1.0,))
    return np.asarray(canvas[0])


def _comb(
    n: int,
    start_mm: float,
    px_per_mm: float,
    origin_mm: float,
    period_mm: float,
    width_mm: float,
    low: float,
    high: float,
) -> NDArray[np.float32]:
    """Exact coverage, (n,), of pixels by lines of ``width_mm`` every ``period_mm`` through ``origin_mm``, between low
    and high."""
    edges = np.clip(start_mm + np.arange(n + 1) / px_per_mm, low - width_mm / 2, high + width_mm / 2)
    phase = edges - origin_mm + width_mm / 2
    covered = np.floor(phase / period_mm) * width_mm + np.minimum(phase % period_mm, width_mm)
    return (np.diff(covered) * px_per_mm).astype(np.float32)


def _blend(canvas: Canvas, alpha: NDArray[np.float32], colour: tuple[float, ...]) -> None:
    for plane, value in zip(canvas, colour, strict=True):
        plane += alpha * (np.float32(value) - plane)


def _draw_grid(canvas: Canvas, grid: Grid, x0: float, y0: float, px_per_mm: float) -> None:
    gx0, gy0, gx1, gy1 = grid.box_mm
    pad = grid.major_width_mm / 2
    height, width = canvas.shape[1:]
    left, right = (
        int(np.clip(f(v), 0, width))
        for f, v in ((np.floor, (gx0 - pad - x0) * px_per_mm), (np.ceil, (gx1 + pad - x0) * px_per_mm))
    )
    top, bottom = (
        int(np.clip(f(v), 0, height))
        for f, v in ((np.floor, (gy0 - pad - y0) * px_per_mm), (np.ceil, (gy1 + pad - y0) * px_per_mm))
    )
    if grid.kind == "none" or left >= right or top >= bottom:
        return
    window = canvas[:, top:bottom, left:right]
    start_x, start_y = x0 + left / px_per_mm, y0 + top / px_per_mm
    if grid.ground is not None:
        for plane, value in zip(window, grid.ground, strict=True):
            plane[:] = value
    for period, line_width, colour in (
        (1.0, grid.minor_width_mm, grid.minor_colour),
        (5.0, grid.major_width_mm, grid.major_colour),
    ):
        if period == 1.0 and grid.kind == "major":
            continue
        ax = _comb(right - left, start_x, px_per_mm, gx0, period, line_width, gx0, gx1)
        ay = _comb(bottom - top, start_y, px_per_mm, gy0, period, line_width, gy0, gy1)
        dots = grid.kind == "dots" and period == 1.0
        paper = 1 - np.outer(ay, ax) if dots else np.outer(1 - ay, 1 - ax)
        for plane, value in zip(window, colour, strict=True):
            plane -= np.float32(value)
            plane *= paper
            plane += np.float32(value)


def _dashes(points: NDArray[np.float64], on_mm: float, off_mm: float) -> list[NDArray[np.float64]]:
    """The pieces of a polyline that a dashed pen draws."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    pieces = []
    for start in np.arange(0.0, along[-1], on_mm + off_mm):
        stop = min(start + on_mm, along[-1])
        s = np.concatenate([[start], along[(along > start) & (along < stop)], [stop]])
        pieces.append(np.stack([np.interp(s, along, points[:, 0]), np.interp(s, along, points[:, 1])], axis=1))
    return pieces


def _draw_stroke(
    canvas: Canvas, stroke: Stroke, x0: float, y0: float, px_per_mm: float, ink: tuple[float, ...] | None = None
) -> None:
    points = stroke.points_mm
    height, width = canvas.shape[1:]
    pad = stroke.width_mm / 2 + 1 / px_per_mm
    px = (points - (x0, y0)) * px_per_mm  # in pixel edges: pixel c covers [c, c + 1]
    left = max(int(np.floor(px[:, 0].min() - pad * px_per_mm)), 0)
    right = min(int(np.ceil(px[:, 0].max() + pad * px_per_mm)), width)
    if right <= left:
        return
    if stroke.dash_mm is None and len(points) > 64 and (np.diff(points[:, 0]) >= 0).all():
        a, b = np.searchsorted(px[:, 0], [left - pad * px_per_mm, right + pad * px_per_mm])
        px = px[max(a - 1, 0) : b + 1]
        if len(px) < 2:
            return
    top = max(int(np.floor(px[:, 1].min() - pad * px_per_mm)), 0)
    bottom = min(int(np.ceil(px[:, 1].max() + pad * px_per_mm)), height)
    if bottom <= top:
        return
    area = (right - left, bottom - top)
    corner_mm = (x0 + left / px_per_mm, y0 + top / px_per_mm)
    if stroke.dots_mm:
        alpha = _dotted(stroke, corner_mm, area, px_per_mm)
    else:
        pieces = (
            [px]
            if stroke.dash_mm is None
            else [(piece - (x0, y0)) * px_per_mm for piece in _dashes(points, *stroke.dash_mm)]
        )
        k = 6 if px_per_mm < 10.5 else 4 if px_per_mm < 20 else 2
        alpha = _penned([(piece - (left, top)) * k for piece in pieces], stroke.width_mm * px_per_mm * k, area, k)
    if stroke.wear:
        alpha *= _worn(stroke, corner_mm, area, px_per_mm)
    _blend(canvas[:, top:bottom, left:right], alpha, stroke.colour if ink is None else ink)


def _penned(pieces: list[NDArray[np.float64]], width_px: float, area: tuple[int, int], k: int) -> NDArray[np.float32]:
    """Coverage of ``area`` (columns, rows) by a pen along ``pieces``, those and its width in k-th parts of a pixel."""
    mask = np.zeros((area[1] * k, area[0] * k), np.uint8)
    # Coordinates of pixel centres in the fine mask, in cv2's fixed point; beyond ±2^15 px cv2 overflows.
    fixed = [np.round(np.clip(piece - 0.5, -8000, 30000) * (1 << _SHIFT)).astype(np.int32) for piece in pieces]
    thickness = width_px - _CV2_EXTRA_PX
    whole = max(1, int(thickness))
    cv2.polylines(mask, fixed, False, 255, whole, cv2.LINE_8, _SHIFT)
    alpha = cv2.resize(mask, area, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if thickness > whole and thickness < 12:  # between two whole widths: mix, so that weights are continuous
        mask[:] = 0
        cv2.polylines(mask, fixed, False, 255, whole + 1, cv2.LINE_8, _SHIFT)
        wider = cv2.resize(mask, area, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        alpha += (thickness - whole) * (wider - alpha)
    elif thickness < 1:
        alpha *= max(thickness, 0.2)
    return np.asarray(alpha, np.float32)


def _dotted(
    stroke: Stroke, corner_mm: tuple[float, float], area: tuple[int, int], px_per_mm: float
) -> NDArray[np.float32]:
    """Coverage of ``area`` (columns, rows) by the dots that a head of ``stroke.dots_mm`` burns along the line: a dot is
    black or not, so that a slanted line climbs in steps."""
    pitch = stroke.dots_mm
    first = np.floor(np.array(corner_mm) / pitch) - 2
    count = np.ceil(np.array(area) / px_per_mm / pitch).astype(int) + 5
    dots = np.zeros((count[1], count[0]), np.uint8)
    at = np.clip(stroke.points_mm / pitch - first - 0.5, -1500, 30000)
    thick = max(1, round(stroke.width_mm / pitch - 0.5))
    cv2.polylines(dots, [np.round(at * (1 << _SHIFT)).astype(np.int32)], False, 255, thick, cv2.LINE_8, _SHIFT)
    k = int(np.clip(np.ceil(2.5 / (pitch * px_per_mm)), 1, 8))  # fine pixels to a pixel, so that a dot is round
    fine = 1 / (px_per_mm * k)
    shift = (np.array(corner_mm) + fine / 2) / pitch - first - 0.5
    to_dots = np.array([[fine / pitch, 0, shift[0]], [0, fine / pitch, shift[1]]])
    size = (area[0] * k, area[1] * k)
    burnt = cv2.warpAffine(dots, to_dots, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    burnt = cv2.GaussianBlur(burnt, (0, 0), max(0.22 * pitch / fine, 0.3))
    return np.asarray(cv2.resize(burnt, area, interpolation=cv2.INTER_AREA) / 255, np.float32)


def _worn(
    stroke: Stroke, corner_mm: tuple[float, float], area: tuple[int, int], px_per_mm: float
) -> NDArray[np.float32]:
    """How much of the ink is left, (rows, columns): paler in places of a few millimetres, the same wherever it is seen
    from."""
    x = corner_mm[0] + (np.arange(area[0], dtype=np.float32) + 0.5) / px_per_mm
    y = corner_mm[1] + (np.arange(area[1], dtype=np.float32)[:, None] + 0.5) / px_per_mm
    phase = float(stroke.points_mm[0].sum())
    field = np.sin(0.9 * x + 0.4 * y + phase) + np.sin(2.3 * x - 1.1 * y + 2 * phase) + np.sin(6.1 * x + 3 * phase)
    return np.asarray(1 - stroke.wear * np.clip(0.3 + field / 3, 0, 1), np.float32)


def _paste(canvas: Canvas, alpha: NDArray[np.float32], left: int, top: int, colour: Colour) -> None:
    height, width = canvas.shape[1:]
    a, b = max(top, 0), min(top + alpha.shape[0], height)
    c, d = max(left, 0), min(left + alpha.shape[1], width)
    if a < b and c < d:
        _blend(canvas[:, a:b, c:d], alpha[a - top : b - top, c - left : d - left], colour)


def _draw_text(canvas: Canvas, text: Text, x0: float, y0: float, px_per_mm: float) -> None:
    height, width = canvas.shape[1:]
    capital_px = text.height_mm * px_per_mm
    y_px = (text.y_mm - y0) * px_per_mm
    x_px = (text.x_mm - x0) * px_per_mm
    if not (-capital_px < y_px < height + 2 * capital_px) or x_px > width or not text.text:
        return
    k = 3 if capital_px < 40 else 1
    mask, baseline = text_mask(text.text, text.font, max(3, round(capital_px * k)))
    if x_px + mask.shape[1] / k < 0:
        return
    left, top = int(np.floor(x_px)), int(np.floor(y_px - baseline / k))
    shift_x, shift_y = round((x_px - left) * k), round((y_px - baseline / k - top) * k)
    padded = np.zeros((-(-(mask.shape[0] + shift_y) // k) * k, -(-(mask.shape[1] + shift_x) // k) * k), np.uint8)
    padded[shift_y : shift_y + mask.shape[0], shift_x : shift_x + mask.shape[1]] = mask
    alpha = cv2.resize(padded, (padded.shape[1] // k, padded.shape[0] // k), interpolation=cv2.INTER_AREA)
    _paste(canvas, alpha.astype(np.float32) / 255, left, top, text.colour)


def _draw_patch(canvas: Canvas, patch: Patch, x0: float, y0: float, px_per_mm: float) -> None:
    bx0, by0, bx1, by1 = patch.box_mm
    left, top = round((bx0 - x0) * px_per_mm), round((by0 - y0) * px_per_mm)
    size = max(1, round((bx1 - bx0) * px_per_mm)), max(1, round((by1 - by0) * px_per_mm))
    if left >= canvas.shape[2] or top >= canvas.shape[1] or left + size[0] <= 0 or top + size[1] <= 0:
        return
    alpha = cv2.resize(
        patch.alpha, size, interpolation=cv2.INTER_AREA if size[0] < patch.alpha.shape[1] else cv2.INTER_NEAREST
    )
    _paste(canvas, np.clip(alpha, 0, 1), left, top, patch.colour)
