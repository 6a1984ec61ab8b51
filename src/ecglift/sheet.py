"""The flat sheet: the page's pixels resampled onto paper millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SHEET_PX_PER_MM: Final = 8.0
"""Resolution of the flat sheet that the networks are trained on (203 dpi)."""


@dataclass(frozen=True)
class Sheet:
    """A flat picture of the paper: pixel (column c, row r) shows the point ``origin_mm + (c, r) / px_per_mm``.

    ``rgb``: (height, width, 3) uint8. ``seen``: (height, width) bool, False where the source image does not reach.
    """

    rgb: NDArray[np.uint8]
    seen: NDArray[np.bool_]
    origin_mm: tuple[float, float] = (0.0, 0.0)
    px_per_mm: float = SHEET_PX_PER_MM

    @property
    def width_mm(self) -> float:
        return float(self.rgb.shape[1] / self.px_per_mm)

    @property
    def height_mm(self) -> float:
        return float(self.rgb.shape[0] / self.px_per_mm)

    def x_px(self, x_mm: NDArray[np.float64] | float) -> NDArray[np.float64] | float:
        return (x_mm - self.origin_mm[0]) * self.px_per_mm

    def y_px(self, y_mm: NDArray[np.float64] | float) -> NDArray[np.float64] | float:
        return (y_mm - self.origin_mm[1]) * self.px_per_mm

    def shows(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the source image reaches to the points (x_mm, y_mm), two arrays of one shape."""
        height, width = self.seen.shape
        column, row = (np.rint(at).astype(np.int64) for at in (self.x_px(x_mm), self.y_px(y_mm)))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.asarray(inside & self.seen[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], np.bool_)

    def halved(self) -> Sheet:
        """The same sheet at half its scale, every pixel the mean of four."""
        height, width = (n // 2 for n in self.seen.shape)
        rgb = cv2.resize(self.rgb[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        seen = self.seen[: 2 * height, : 2 * width].reshape(height, 2, width, 2).all(axis=(1, 3))
        half_px_mm = 0.5 / self.px_per_mm
        origin = self.origin_mm[0] + half_px_mm, self.origin_mm[1] + half_px_mm
        return Sheet(np.asarray(rgb, np.uint8), np.asarray(seen, np.bool_), origin, self.px_per_mm / 2)


@dataclass(frozen=True)
class Trace:
    """A row's line on the sheet, column by column.

    ``x_mm``, ``y_mm``: (n,) centre of the line, NaN in ``y_mm`` where there is none; ``sigma_mm``: (n,) one standard
    deviation of ``y_mm``; ``presence``: (n,) chance that there is a line, 0 to 1.
    """

    row: int
    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    sigma_mm: NDArray[np.float64]
    presence: NDArray[np.float64]
