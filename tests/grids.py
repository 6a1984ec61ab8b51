"""Pictures of ECG paper with a known map, for the tests of geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap

RED = (0.95, 0.55, 0.55)
BLACK = (0.35, 0.35, 0.35)


def turned(px_per_mm: float, degrees: float, shape: tuple[int, int], stretch: float = 1.0) -> PageMap:
    """A flat page, (0, 0) mm in the middle of the picture, turned clockwise as seen; y stretched by ``stretch``."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a = px_per_mm * np.array([[c, -s * stretch], [s, c * stretch]])
    middle = (np.array([shape[1], shape[0]]) - 1) / 2
    return PageMap(np.array([[*a[0], middle[0]], [*a[1], middle[1]], [0, 0, 1.0]]))


def _darkness(mm: NDArray[np.float64], period: float, width: float, soft: float) -> NDArray[np.float64]:
    away = np.abs((mm / period + 0.5) % 1.0 - 0.5) * period
    return np.clip((width / 2 + soft / 2 - away) / soft, 0, 1) * min(1.0, width / soft)


def draw(
    page_map: PageMap,
    shape: tuple[int, int],
    kind: str = "lines",
    colour: tuple[float, float, float] = RED,
    paper: tuple[float, float, float] = (1.0, 0.97, 0.96),
    noise: float = 2.0,
    trace: bool = True,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """A picture (h, w, 3) of the grid under ``page_map``: "lines", "dots" (1 mm dots and 5 mm lines) or "major" (5 mm
    lines only)."""
    y, x = np.indices(shape)
    mm = page_map.to_mm(np.stack([x, y], -1).astype(float))
    soft = 1.0 / float(np.min(page_map.px_per_mm(np.zeros(2))))
    heavy = np.maximum(_darkness(mm[..., 0], 5, 0.25, soft), _darkness(mm[..., 1], 5, 0.25, soft))
    thin = [_darkness(mm[..., k], 1, 0.12 if kind == "lines" else 0.3, soft) for k in (0, 1)]
    light = {"lines": 0.6 * np.maximum(*thin), "dots": thin[0] * thin[1], "major": 0.0 * heavy}[kind]
    alpha = np.maximum(heavy, light)[..., None]
    image = np.array(paper) * (1 - alpha) + np.array(colour) * alpha
    if trace:
        height = 6 * np.exp(-np.square((mm[..., 0] % 20 - 10) / 0.8)) + np.sin(mm[..., 0])
        image[np.abs(mm[..., 1] + height - 3) < 0.35] = 0.05
        image[np.abs(mm[..., 1] + height + 17) < 0.35] = 0.05
    rng = np.random.default_rng(seed)
    return np.clip(255 * image + rng.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def errors(
    found: PageMap, true: PageMap, shape: tuple[int, int], part: float = 0.8
) -> tuple[NDArray[np.float64], bool]:
    """Distances (n,) in mm over the middle ``part`` of the picture after the best whole-square shift and quarter turn,
    and whether that shift is one of whole 5 mm squares."""
    h, w = shape
    x, y = np.meshgrid(
        np.linspace(0.5 - part / 2, 0.5 + part / 2, 15) * w, np.linspace(0.5 - part / 2, 0.5 + part / 2, 15) * h
    )
    px = np.stack([x, y], -1).reshape(-1, 2)
    a, b = true.to_mm(px), found.to_mm(px)
    fit = np.linalg.lstsq(np.column_stack([a, np.ones(len(a))]), b, rcond=None)[0]
    difference = b - a @ np.round(fit[:2])
    shift = np.round(np.median(difference, axis=0))
    return np.linalg.norm(difference - shift, axis=1), bool(np.all(shift % 5 == 0))
