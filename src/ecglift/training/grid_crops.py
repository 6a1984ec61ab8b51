"""Crops for the grid network: pieces of captured pages at any scale and turn, and the waves of the grid in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.gridlines import waves_of
from ecglift.press.capture import Capture
from ecglift.press.page import Page
from ecglift.press.render import render
from ecglift.press.warp import inverse
from ecglift.training.crops import photograph

CROP_PX: Final = 256
_LEAST_SCALE: Final = 2.5
_MOST_SCALE: Final = 12.0
_STEP: Final = 8


@dataclass(frozen=True)
class GridCrop:
    """``rgb``: (CROP_PX, CROP_PX, 3) uint8; ``waves``: (4, CROP_PX, CROP_PX) int8, 127 for 1."""

    rgb: NDArray[np.uint8]
    waves: NDArray[np.int8]


def _scale(rng: np.random.Generator) -> float:
    """Pixels per mm of a crop: most often about the scale at which the grid is locked."""
    return float(np.clip(np.exp(rng.normal(np.log(5.5), 0.35)), _LEAST_SCALE, _MOST_SCALE))


def _turn(rng: np.random.Generator) -> float:
    """Radians by which a crop is turned, beyond what its page is."""
    return float(np.radians(rng.uniform(-30, 30))) if rng.random() < 0.3 else float(rng.normal(0, np.radians(1.5)))


def _waves(page: Page, mm: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.int8]:
    """The target (4, h, w) for paper millimetres (h, w, 2); ``seen`` (h, w): within the picture."""
    grid = page.grid
    x0, y0, x1, y1 = grid.box_mm
    inside = (
        seen & (mm[..., 0] > x0 - 0.5) & (mm[..., 0] < x1 + 0.5) & (mm[..., 1] > y0 - 0.5) & (mm[..., 1] < y1 + 0.5)
    )
    inside &= grid.kind != "none"
    x, y = waves_of(mm[..., 0] - np.float32(x0)), waves_of(mm[..., 1] - np.float32(y0))
    middle = CROP_PX // 2
    du, dv = (np.abs(mm[middle, middle + 1, k] - mm[middle, middle - 1, k]) for k in (0, 1))
    order = (*x, *y) if du >= dv else (*y, *x)
    return np.round(127 * np.stack(order) * inside).astype(np.int8)


def captured_grid_crops(rng: np.random.Generator, taken: Capture, n: int) -> list[GridCrop]:
    """``n`` crops of a captured page, each at a scale and turn of its own."""
    height, width = taken.shape
    back = inverse(taken.map, taken.shape, _STEP)
    nodes = back.mm.astype(np.float32)
    x0, y0, x1, y1 = taken.page.grid.box_mm
    per_mm = float(np.mean(taken.map.px_per_mm(np.array([(x0 + x1) / 2, (y0 + y1) / 2]))))
    copies: dict[float, tuple[NDArray[np.uint8], float, float]] = {}
    out = []
    for _ in range(n):
        # Reduced as the grid stage does: by area first, the rest of the way by interpolation.
        shrink = float(rng.choice([1.0, 1.0, 0.75, 0.5]))
        target = _scale(rng)
        shrink = 1.0 if per_mm * shrink < target else shrink
        while per_mm * shrink > 1.5 * target:
            shrink /= 1.4
        shrink = round(shrink, 3)
        if shrink not in copies:
            size = max(round(width * shrink), 8), max(round(height * shrink), 8)
            small = taken.image if shrink == 1 else cv2.resize(taken.image, size, interpolation=cv2.INTER_AREA)
            copies[shrink] = np.asarray(small, np.uint8), size[0] / width, size[1] / height
        small, sx, sy = copies[shrink]
        keep = rng.random() < 0.35  # the copy's own pixels, neither turned nor interpolated
        factor, angle = (1.0, 0.0) if keep else (per_mm * shrink / target, _turn(rng))
        for _ in range(20):
            centre = rng.uniform((0, 0), (width, height))
            mm = taken.map.to_mm(centre[None])[0]
            if (x0 - 15 < mm[0] < x1 + 15 and y0 - 15 < mm[1] < y1 + 15) or rng.random() < 0.1:
                break
        middle = np.round(centre * (sx, sy))
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = middle - turn @ np.full(2, CROP_PX // 2)
        affine = np.concatenate([turn, shift[:, None]], 1)
        edge = float(small[0, 0].mean())
        rgb = cv2.warpAffine(
            small, affine, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(edge, edge, edge),
        )  # fmt: skip
        c, r = np.meshgrid(np.arange(CROP_PX), np.arange(CROP_PX))
        px = np.stack([c, r], -1) @ turn.T + shift
        full = ((px + 0.5) / (sx, sy) - 0.5).astype(np.float32)
        at = full / _STEP + 1
        mm_at = cv2.remap(nodes, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = ((full > -0.5) & (full < np.array([width, height]) - 0.5)).all(-1)
        out.append(GridCrop(np.asarray(rgb, np.uint8), _waves(taken.page, mm_at, seen)))
    return out


def drawn_grid_crop(rng: np.random.Generator, page: Page) -> GridCrop:
    """A crop printed by itself, through a quick stand-in for a camera or a scanner."""
    scale = _scale(rng)
    side = CROP_PX / scale
    x0, y0, x1, y1 = page.grid.box_mm
    middle = rng.uniform((x0, y0), (max(x1, x0 + 1), max(y1, y0 + 1)))
    # Corners of the crop on the paper: turned, and a little out of square.
    angle = _turn(rng)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    corners = middle + square @ turn.T + rng.normal(0, 0.012 * side, (4, 2))
    low, high = corners.min(0) - 1, corners.max(0) + 1
    per_mm = scale * float(rng.uniform(0.9, 1.5))
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    image = render(page, per_mm, box)
    ends = np.array([[-0.5, -0.5], [CROP_PX - 0.5, -0.5], [CROP_PX - 0.5, CROP_PX - 0.5], [-0.5, CROP_PX - 0.5]])
    to_mm = cv2.getPerspectiveTransform(ends.astype(np.float32), corners.astype(np.float32)).astype(float)
    sy, sx = image.shape[0] / (high[1] - low[1]), image.shape[1] / (high[0] - low[0])
    to_image = np.array([[sx, 0, -low[0] * sx - 0.5], [0, sy, -low[1] * sy - 0.5], [0, 0, 1.0]]) @ to_mm
    soft = cv2.GaussianBlur(image, (0, 0), 0.35 * per_mm / scale) if per_mm > 1.1 * scale else image
    rgb = cv2.warpPerspective(
        soft,
        to_image,
        (CROP_PX, CROP_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    c, r = np.meshgrid(np.arange(CROP_PX), np.arange(CROP_PX))
    p = np.stack([c, r, np.ones_like(c)], -1) @ to_mm.T
    mm = (p[..., :2] / p[..., 2:]).astype(np.float32)
    rgb = photograph(rng, np.asarray(rgb, np.uint8), scale)
    return GridCrop(rgb, _waves(page, mm, np.ones(mm.shape[:2], bool)))


def varied_grid(rng: np.random.Generator, crop: GridCrop) -> GridCrop:
    """The crop in other light, mirrored, transposed or in grey: the grid's waves go with it."""
    table = np.arange(256, dtype=np.float32) / 255
    gains = np.float32(rng.uniform(0.6, 1.15)) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    curves = np.power(np.clip(table[:, None] * gains, 0, 1), np.float32(np.exp(rng.normal(0, 0.3))))
    rgb = cv2.LUT(crop.rgb, (curves * 255 + 0.5).astype(np.uint8)[:, None, :])
    waves = crop.waves
    if rng.random() < 0.5:
        rgb, waves = rgb[:, ::-1], waves[:, :, ::-1]
    if rng.random() < 0.5:
        rgb, waves = rgb[::-1], waves[:, ::-1]
    if rng.random() < 0.5:
        rgb, waves = rgb.transpose(1, 0, 2), waves[[2, 3, 0, 1]].transpose(0, 2, 1)
    if rng.random() < 0.15:
        weights = rng.dirichlet([2.0, 2.0, 2.0]).astype(np.float32)
        rgb = np.repeat((rgb @ weights)[..., None], 3, 2).astype(np.uint8)
    if rng.random() < 0.2:
        noise = rng.normal(0, float(rng.exponential(6.0)), rgb.shape).astype(np.float32)
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
    return GridCrop(np.ascontiguousarray(rgb), np.ascontiguousarray(waves))
