"""Crops for the trace network, drawn without rendering a whole page: a piece of a strip and the line in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX
from ecglift.press.page import Page
from ecglift.press.render import render
from ecglift.sheet import SHEET_PX_PER_MM

CROP_PX: Final = 256


@dataclass(frozen=True)
class Crop:
    """``rgb``: (STRIP_PX, CROP_PX, 3) uint8; ``y_px``: (CROP_PX·COLUMNS_PER_PX,) float32 row of the line, NaN where there is none."""

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


def target(y_mm: NDArray[np.float64], top_mm: float) -> NDArray[np.float32]:
    """Rows of the strip, (n,) float32 px, NaN where the line leaves the strip; ``top_mm``: centre of its first row."""
    y = (y_mm - top_mm) * SHEET_PX_PER_MM
    return np.where((y > 0) & (y < STRIP_PX - 1), y, np.nan).astype(np.float32)


def draw_crop(rng: np.random.Generator, page: Page) -> Crop:
    """A crop of one row of the page, seen through a quick stand-in for a scanner or a camera."""
    rows = page.layout.rows()
    row = rows[int(rng.integers(len(rows)))]
    width_mm, height_mm = CROP_PX / SHEET_PX_PER_MM, STRIP_PX / SHEET_PX_PER_MM
    baselines = sorted({p.baseline_mm for p in page.layout.panels})
    pitch = min(np.diff(baselines), default=40.0)
    centre = row[0].baseline_mm + float(rng.normal(0, min(0.3 + 0.05 * pitch, 1.5)))
    x0 = float(rng.uniform(row[0].x0_mm - 10, max(row[-1].x1_mm - width_mm + 10, row[0].x0_mm - 9)))
    y0 = centre - height_mm / 2
    # Source resolutions whose pixels tile the crop exactly, 2.5 to 14 px/mm.
    per_mm = round(float(np.clip(np.exp(rng.normal(np.log(6.5), 0.4)), 2.75, 14)) * width_mm) / width_mm
    image = render(page, per_mm, (x0, y0, x0 + width_mm, y0 + height_mm))
    image = photograph(rng, image, per_mm)
    if image.shape[:2] != (STRIP_PX, CROP_PX):
        shrink = per_mm > SHEET_PX_PER_MM
        how = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LANCZOS4
        image = cv2.resize(image, (CROP_PX, STRIP_PX), interpolation=how)
    x_mm = x0 + (np.arange(CROP_PX * COLUMNS_PER_PX) + 0.5) / (SHEET_PX_PER_MM * COLUMNS_PER_PX)
    y_px = target(row_curve(page, row[0].row, x_mm), y0 + 0.5 / SHEET_PX_PER_MM)
    if rng.random() < 0.5:
        image, y_px = image[:, ::-1], y_px[::-1]
    return Crop(np.ascontiguousarray(image), np.ascontiguousarray(y_px))


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """A smooth random field (h, w), about −1 to 1, with ``cells`` bumps along its longer side."""
    small = rng.normal(0, 1, (cells + 2, max(2, round(cells * shape[1] / shape[0])) + 2)).astype(np.float32)
    return cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def photograph(rng: np.random.Generator, rgb: NDArray[np.uint8], px_per_mm: float) -> NDArray[np.uint8]:
    """The crop after light, lens, sensor and file: same size, every effect drawn anew."""
    image = rgb.astype(np.float32) / 255
    shape = image.shape[:2]
    if rng.random() < 0.35:  # stains and fading under or over the ink
        field = np.clip(_smooth_field(rng, (shape[0], shape[1]), int(rng.integers(3, 10))) - rng.uniform(0.2, 1.2), 0, 1.5)
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
        out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return np.asarray(out, np.uint8)
