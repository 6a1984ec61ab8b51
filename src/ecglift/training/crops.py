"""Crops for the trace network, drawn without rendering a whole page: a piece of a strip and the line in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX
from ecglift.paper import Panel
from ecglift.press.capture import Capture
from ecglift.press.page import Page
from ecglift.press.render import render
from ecglift.press.style import Style
from ecglift.sheet import SHEET_PX_PER_MM

CROP_PX: Final = 256
_BEYOND: Final = 0.06  # share of crops beyond a row's ends


@dataclass(frozen=True)
class Crop:
    """``rgb``: (STRIP_PX, CROP_PX, 3) uint8; ``y_px``: (CROP_PX·COLUMNS_PER_PX,) float32 row of the line, NaN where
    there is none."""

    rgb: NDArray[np.uint8]
    y_px: NDArray[np.float32]


def row_curve(page: Page, row: int, x_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height (n,) mm of the row's line at ``x_mm``, NaN where none of its panels stands."""
    y = np.full(x_mm.shape, np.nan)
    for panel in page.layout.panels:
        if panel.row == row:
            inside = (x_mm >= panel.x0_mm) & (x_mm <= panel.x1_mm)
            if inside.any():
                y[inside] = page.panel_curve(panel, x_mm[inside])
    return y


def target(y_mm: NDArray[np.float64], top_mm: float, px_per_mm: float = SHEET_PX_PER_MM) -> NDArray[np.float32]:
    """Rows of the strip, (n,) float32 px, NaN where the line leaves the strip; ``top_mm``: centre of its first row."""
    y = (y_mm - top_mm) * px_per_mm
    return np.where((y > 0) & (y < STRIP_PX - 1), y, np.nan).astype(np.float32)


def overprinted(rng: np.random.Generator, page: Page) -> Page:
    """The page with more lead names, set where they hurt: on and beside the traces, by preference at their steepest.

    On a page a name stands on a QRS complex once in a while; a network that is sure of a letter then loses a beat.
    """
    labels = [text for text in page.texts if text.kind == "label"]
    if not labels:
        return page
    texts = list(page.texts)
    for stroke in page.strokes:
        if stroke.kind != "trace" or len(stroke.points_mm) < 9:
            continue
        points = stroke.points_mm
        steep = np.abs(np.gradient(points[:, 1]))
        for _ in range(int(rng.integers(0, 4))):
            like = labels[int(rng.integers(len(labels)))]
            chosen = rng.random() < 0.6
            at = int(rng.choice(len(points), p=steep / steep.sum())) if chosen and steep.sum() > 0 else None
            x, y = points[at if at is not None else int(rng.integers(len(points)))]
            place = float(x + rng.uniform(-4, 1)), float(y + rng.normal(0.5 * like.height_mm, 3.0))
            texts.append(replace(like, x_mm=place[0], y_mm=place[1]))
    return replace(page, texts=tuple(texts))


def crowded(rng: np.random.Generator, style: Style) -> Style:
    """The sheet with its rows closer together, or its lines taller, than devices usually choose: what overlaps and
    what leaves the strip is where lines are lost."""
    nearer = float(rng.uniform(0.5, 0.9))
    rows = tuple(style.rows_mm[0] + nearer * (y - style.rows_mm[0]) for y in style.rows_mm)
    taller = float(rng.choice([1.0, 1.5, 2.0], p=[0.6, 0.2, 0.2]))
    return replace(style, rows_mm=rows, gain_mm_mv=style.gain_mm_mv * taller)


def _crop_start(rng: np.random.Generator, row: Sequence[Panel], width_mm: float) -> float:
    """Where a crop of the row begins, mm: mostly within it or across one of its ends; sometimes it shows hardly a line,
    or none, since a strip reaches on over blank paper, and there the network has to say so."""
    x0, x1 = row[0].x0_mm, row[-1].x1_mm
    if rng.random() < _BEYOND:
        out = float(rng.uniform(-8, 0.8 * width_mm))
        return x0 - width_mm - out if rng.random() < 0.5 else x1 + out
    return float(rng.uniform(x0 - 10, max(x1 - width_mm + 10, x0 - 9)))


def draw_crop(rng: np.random.Generator, page: Page, px_per_mm: float = SHEET_PX_PER_MM) -> Crop:
    """A crop of one row of the page, seen through a quick stand-in for a scanner or a camera; ``px_per_mm``: of the
    strip."""
    rows = page.layout.rows()
    row = rows[int(rng.integers(len(rows)))]
    width_mm, height_mm = CROP_PX / px_per_mm, STRIP_PX / px_per_mm
    baselines = sorted({p.baseline_mm for p in page.layout.panels})
    pitch = min(np.diff(baselines), default=40.0)
    centre = row[0].baseline_mm + float(rng.normal(0, min(0.3 + 0.05 * pitch, 1.5)))
    x0 = _crop_start(rng, row, width_mm)
    y0 = centre - height_mm / 2
    # Source resolutions whose pixels tile the crop exactly, 2.5 to 14 px/mm.
    per_mm = round(float(np.clip(np.exp(rng.normal(np.log(6.5), 0.4)), 2.75, 14)) * width_mm) / width_mm
    image = render(page, per_mm, (x0, y0, x0 + width_mm, y0 + height_mm))
    image = photograph(rng, image, per_mm)
    if image.shape[:2] != (STRIP_PX, CROP_PX):
        shrink = per_mm > px_per_mm
        how = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LANCZOS4
        image = cv2.resize(image, (CROP_PX, STRIP_PX), interpolation=how)
    x_mm = np.asarray(x0 + (np.arange(CROP_PX * COLUMNS_PER_PX) + 0.5) / (px_per_mm * COLUMNS_PER_PX), float)
    y_px = target(row_curve(page, row[0].row, x_mm), y0 + 0.5 / px_per_mm, px_per_mm)
    if rng.random() < 0.5:
        image, y_px = image[:, ::-1], y_px[::-1]
    return Crop(np.ascontiguousarray(image), np.ascontiguousarray(y_px))


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """A smooth random field (h, w), about −1 to 1, with ``cells`` bumps along its longer side."""
    small = rng.normal(0, 1, (cells + 2, max(2, round(cells * shape[1] / shape[0])) + 2)).astype(np.float32)
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC))


def photograph(rng: np.random.Generator, rgb: NDArray[np.uint8], px_per_mm: float) -> NDArray[np.uint8]:
    """The crop after light, lens, sensor and file: same size, every effect drawn anew."""
    image = rgb.astype(np.float32) / 255
    shape = image.shape[:2]
    if rng.random() < 0.35:  # stains and fading under or over the ink
        field = np.clip(
            _smooth_field(rng, (shape[0], shape[1]), int(rng.integers(3, 10))) - rng.uniform(0.2, 1.2), 0, 1.5
        )
        colour = rng.uniform(0.35, 1.0, 3).astype(np.float32)
        image *= 1 - field[..., None] * (1 - colour) * np.float32(rng.uniform(0.2, 0.8))
    if rng.random() < 0.15:
        field = np.clip(_smooth_field(rng, (shape[0], shape[1]), int(rng.integers(2, 8))), 0, 1)[..., None]
        image += field * np.float32(rng.uniform(0.2, 0.75)) * (1 - image)  # faded or glaring
    if rng.random() < 0.12:  # creases
        for _ in range(int(rng.integers(1, 4))):
            a, b = rng.uniform(-0.2, 1.2, 2) * shape[1], rng.uniform(-0.2, 1.2, 2) * shape[0]
            mask = np.zeros(shape, np.float32)
            cv2.line(mask, (int(a[0]), int(b[0])), (int(a[1]), int(b[1])), 1.0, int(rng.integers(1, 4)), cv2.LINE_AA)
            mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 3)))
            image *= 1 + mask[..., None] * np.float32(rng.uniform(-0.5, 0.3))
    kind = rng.random()
    if kind < 0.22:
        image = np.repeat(image @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
    if rng.random() < 0.75:
        sigma = float(rng.gamma(2.0, 0.3))
        if sigma > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), min(sigma, 1.6 if px_per_mm < 5 else 2.4))
    if rng.random() < 0.1:
        length = int(rng.integers(2, 5))
        kernel = np.zeros((length * 2 + 1, length * 2 + 1), np.float32)
        angle = float(rng.uniform(0, np.pi))
        tip = (int(length + length * np.cos(angle)), int(length + length * np.sin(angle)))
        cv2.line(kernel, (2 * length - tip[0], 2 * length - tip[1]), tip, 1.0, 1)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    if rng.random() < 0.6:
        light = 1 + np.float32(rng.uniform(0, 0.3)) * _smooth_field(rng, (shape[0], shape[1]), int(rng.integers(1, 4)))
        image *= np.clip(light, 0.25, 1.6)[..., None]
    if rng.random() < 0.7:
        image *= np.float32(rng.uniform(0.45, 1.1)) * rng.uniform(0.85, 1.12, 3).astype(np.float32)
        image = np.power(np.clip(image, 1e-4, 1), np.float32(np.exp(rng.normal(0, 0.35))))
        low = np.float32(rng.uniform(0, 0.25)) * np.float32(rng.random() < 0.5)
        image = low + image * (1 - low)
    if rng.random() < 0.6:
        noise = np.float32(rng.exponential(0.02))
        if rng.random() < 0.5:
            image += noise * rng.standard_normal(image.shape, np.float32)
        else:
            image += noise * rng.standard_normal((*shape, 1), np.float32)
    if rng.random() < 0.35:
        soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 1.8)))
        image += np.float32(rng.uniform(0.2, 1.5)) * (image - soft)
    if 0.12 < kind < 0.18:  # bilevel: threshold, perhaps against the local mean
        grey = image.mean(axis=2)
        level = cv2.GaussianBlur(grey, (0, 0), 6 * px_per_mm) - np.float32(rng.uniform(0.05, 0.25))
        image = np.repeat((grey > level).astype(np.float32)[..., None], 3, axis=2)
    if rng.random() < 0.05:  # printer's screen
        cell = rng.uniform(2.5, 5)
        yy, xx = np.indices(shape, np.float32)
        a = rng.uniform(0, np.pi / 2)
        u, v = (xx * np.cos(a) + yy * np.sin(a)) / cell, (yy * np.cos(a) - xx * np.sin(a)) / cell
        screen = (np.cos(2 * np.pi * u) * np.cos(2 * np.pi * v)).astype(np.float32)[..., None]
        image += np.float32(rng.uniform(0.05, 0.5)) * screen * (1 - np.abs(2 * np.clip(image, 0, 1) - 1))
    out = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(25, 96))
        file = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)
    return out


def captured_crops(rng: np.random.Generator, taken: Capture, n: int, px_per_mm: float = SHEET_PX_PER_MM) -> list[Crop]:
    """``n`` crops of a captured page, flattened by its true map but for a small error such as a grid finder leaves;
    ``px_per_mm``: of the strips.

    The line's truth follows the error: the network reads where the line is in the strip, not where it ought to be.
    """
    page = taken.page
    rows = page.layout.rows()
    baselines = sorted({p.baseline_mm for p in page.layout.panels})
    pitch = min(np.diff(baselines), default=40.0)
    width_mm, height_mm = CROP_PX / px_per_mm, STRIP_PX / px_per_mm
    crops: list[Crop] = []
    for _ in range(4 * n):
        if len(crops) == n:
            break
        row = rows[int(rng.integers(len(rows)))]
        centre_y = row[0].baseline_mm + float(rng.normal(0, min(0.3 + 0.05 * pitch, 1.5)))
        x0 = _crop_start(rng, row, width_mm)
        corner, middle = np.array([x0, centre_y - height_mm / 2]), np.array([x0 + width_mm / 2, centre_y])
        error = np.eye(2) + rng.normal(0, 0.004, (2, 2))
        edges = np.array(
            [(c, r) for c in (0, CROP_PX / 2, CROP_PX) for r in (0.3, 0.5, 0.7) * np.array(STRIP_PX)], float
        )
        px = taken.map.to_px((corner + edges / px_per_mm - middle) @ error.T + middle)
        if ((px < 0) | (px > np.array(taken.image.shape[1::-1]) - 1)).any(axis=1).mean() > 0.35:
            continue  # mostly outside the picture
        rgb = _flattened(taken, corner, middle, error, px_per_mm)
        x_mm = x0 + (np.arange(CROP_PX * COLUMNS_PER_PX) + 0.5) / (px_per_mm * COLUMNS_PER_PX)
        fine = np.arange(x0 - 2, x0 + width_mm + 2, 0.025)
        line = np.stack([fine, row_curve(page, row[0].row, fine)], axis=1)
        seen = (line - middle) @ np.linalg.inv(error).T + middle
        y_px = target(np.interp(x_mm, seen[:, 0], seen[:, 1]), corner[1] + 0.5 / px_per_mm, px_per_mm)
        y_mm = np.where(np.isfinite(y_px), y_px / px_per_mm + corner[1], middle[1])
        out = taken.map.to_px((np.stack([x_mm, y_mm], axis=1) - middle) @ error.T + middle)
        beyond = ((out < -0.5) | (out > np.array(taken.image.shape[1::-1]) - 0.5)).any(axis=1)
        y_px[beyond] = np.nan
        if rng.random() < 0.5:
            rgb, y_px = rgb[:, ::-1], y_px[::-1]
        crops.append(Crop(np.ascontiguousarray(rgb), np.ascontiguousarray(y_px)))
    return crops


def _flattened(
    taken: Capture,
    corner: NDArray[np.float64],
    middle: NDArray[np.float64],
    error: NDArray[np.float64],
    px_per_mm: float,
) -> NDArray[np.uint8]:
    """The crop's pixels, (STRIP_PX, CROP_PX, 3), in one resampling; outside the picture its paper colour."""
    coarse = 8
    c, r = np.meshgrid(
        np.arange(-coarse, CROP_PX + 2 * coarse, coarse), np.arange(-coarse, STRIP_PX + 2 * coarse, coarse)
    )
    mm = corner + np.stack([c + 0.5, r + 0.5], axis=-1) / px_per_mm
    px = taken.map.to_px((mm - middle) @ error.T + middle).astype(np.float32)
    # Node k of the coarse grid is the fine pixel coarse·(k − 1): an affine warp with cubic weights fills in between.
    to_coarse = np.array([[1 / coarse, 0, 1], [0, 1 / coarse, 1]], np.float32)
    fine = cv2.warpAffine(px, to_coarse, (CROP_PX, STRIP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    image = np.asarray(taken.image)
    x0, y0 = np.clip(np.floor(fine.reshape(-1, 2).min(axis=0)).astype(int) - 8, 0, None)
    x1, y1 = np.ceil(fine.reshape(-1, 2).max(axis=0)).astype(int) + 9
    piece = image[y0:y1, x0:x1]
    if not piece.size:
        return np.full((STRIP_PX, CROP_PX, 3), 255, np.uint8)
    scale = float(np.hypot(*(px[10, 11] - px[10, 10]))) / coarse
    if scale > 1.15:  # finer than the strip: low-pass first, as the rectify stage does
        piece = cv2.GaussianBlur(piece, (0, 0), 0.4 * float(np.sqrt(scale**2 - 1)) + 0.05)
    paper = tuple(float(v) for v in np.median(piece[::5, ::5].reshape(-1, 3), axis=0))
    return np.asarray(
        cv2.remap(
            piece,
            fine - np.array([x0, y0], np.float32),
            None,
            cv2.INTER_LANCZOS4 if scale < 1.6 else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=paper,
        )
    )


def varied(rng: np.random.Generator, crop: Crop) -> Crop:
    """The crop in other light, perhaps mirrored or upside down, perhaps shifted: for showing it once more."""
    table = np.arange(256, dtype=np.float32) / 255
    gains = np.float32(rng.uniform(0.7, 1.1)) * rng.uniform(0.93, 1.07, 3).astype(np.float32)
    curves = np.power(np.clip(table[:, None] * gains, 0, 1), np.float32(np.exp(rng.normal(0, 0.2))))
    rgb = cv2.LUT(crop.rgb, (curves * 255 + 0.5).astype(np.uint8)[:, None, :])
    y = crop.y_px
    if rng.random() < 0.5:
        rgb, y = rgb[:, ::-1], y[::-1]
    if rng.random() < 0.3:
        rgb, y = rgb[::-1], STRIP_PX - 1 - y
    return Crop(np.ascontiguousarray(rgb), np.ascontiguousarray(y))
