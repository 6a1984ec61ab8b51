"""What time, water, fungi and hands do to a sheet, drawn on the flat page before it is captured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from ecglift.press.optics import Field, Image, cloud

WEAR_PX_PER_MM: Final = 3.0
"""Resolution of the layers of wear."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Crease:
    """A straight fold: the line at distance ``at_mm`` along ``angle_rad``; ``fold_deg``: how far each flank is bent; ``worn``: 0 to 1."""

    angle_rad: float
    at_mm: float
    fold_deg: float
    worn: float


def creases(rng: np.random.Generator, width_mm: float, height_mm: float, heavy: bool) -> list[Crease]:
    """Folds as people make them: in half, in quarters, in thirds, or anywhere."""
    worst = 22.0 if heavy else 14.0
    out = []

    def fold(angle: float, at: float) -> Crease:
        sign = 1 if rng.random() < 0.5 else -1
        return Crease(angle + rng.normal(0, 0.02), at, sign * rng.uniform(3, worst), float(rng.uniform(0, 1)))

    kind = rng.integers(4)
    if kind == 0:
        out = [fold(0.0, width_mm * rng.uniform(0.45, 0.55))]
    elif kind == 1:
        out = [fold(0.0, width_mm * rng.uniform(0.45, 0.55)), fold(np.pi / 2, height_mm * rng.uniform(0.45, 0.55))]
    elif kind == 2:
        out = [fold(0.0, width_mm * k / 3 + rng.normal(0, 3)) for k in (1, 2)]
    for _ in range(rng.integers(1, 4) if kind == 3 else rng.binomial(2, 0.4 if heavy else 0.15)):
        angle = rng.uniform(0, np.pi)
        at = width_mm * rng.uniform(0.1, 0.9) * np.cos(angle) + height_mm * rng.uniform(0.1, 0.9) * np.sin(angle)
        out.append(fold(angle, at))
    return out


@dataclass(frozen=True)
class Wear:
    """Layers over the whole page at :data:`WEAR_PX_PER_MM`.

    ``tint`` (h, w, 3): factor on the paper's colour (stains, mould, yellowing); ``fade`` (h, w): 0 to 1, how far ink has turned to paper;
    ``wet`` (h, w): 0 to 1, where ink has run; ``gone`` (h, w): 1 where paper is missing, or None.
    """

    tint: Field
    fade: Field
    wet: Field | None = None
    gone: Field | None = None

    @classmethod
    def none(cls, width_mm: float, height_mm: float) -> Wear:
        """No wear at all."""
        shape = max(round(height_mm * WEAR_PX_PER_MM), 2), max(round(width_mm * WEAR_PX_PER_MM), 2)
        return cls(np.ones((*shape, 3), np.float32), np.zeros(shape, np.float32))

    def creased(self, rng: np.random.Generator, lines: list[Crease]) -> Wear:
        """The same with the ink rubbed off and dirt rubbed in along folds."""
        tint, fade = self.tint.copy(), self.fade.copy()
        rows, columns = fade.shape
        y, x = (np.mgrid[0:rows, 0:columns].astype(np.float32) + np.float32(0.5)) / np.float32(WEAR_PX_PER_MM)
        for line in lines:
            wobble = cloud(rng, (1, rows + columns), 30, 2)[0] * np.float32(0.25)
            d = x * np.cos(line.angle_rad) + y * np.sin(line.angle_rad) - line.at_mm
            along = (np.arange(rows)[:, None] + np.arange(columns)[None, :]) % (rows + columns)
            d = np.abs(d + wobble[along])
            rub = np.exp(-((d / np.float32(rng.uniform(0.25, 0.6))) ** 2))
            fade = np.maximum(fade, rub * np.float32(0.6 * line.worn) * (0.6 + 0.4 * np.clip(wobble[along] * 4, -1, 1)))
            tint *= (1 - np.float32(rng.uniform(-0.12, 0.25) * line.worn) * rub)[..., None]
        return replace(self, tint=tint.astype(np.float32), fade=np.clip(fade, 0, 1).astype(np.float32))

    def applied(self, raster: Image, px_per_mm: float, box: Box) -> tuple[Image, Image | None]:
        """A rendered region of the page (``box``: x0, y0, x1, y1 mm) with this wear, and its alpha (h, w) uint8 when paper is missing."""
        height, width = raster.shape[:2]
        scale = WEAR_PX_PER_MM / px_per_mm
        # Pixel centres to pixel centres, as everywhere.
        matrix = np.array(
            [[scale, 0, box[0] * WEAR_PX_PER_MM + scale / 2 - 0.5], [0, scale, box[1] * WEAR_PX_PER_MM + scale / 2 - 0.5]], np.float64
        )

        def over(layer: Field) -> Field:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return np.asarray(cv2.warpAffine(layer, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)

        out = raster
        if self.wet is not None and float(self.wet.max()) > 0:
            run = cv2.GaussianBlur(out, (0, 0), 0.35 * px_per_mm)
            share = over(self.wet)[..., None]
            out = cv2.convertScaleAbs(out + (run.astype(np.float32) - out) * share)
        if float(self.fade.max()) > 0:
            paper = np.percentile(out.reshape(-1, 3)[:: max(out.size // 30000, 1)], 90, axis=0).astype(np.float32)
            out = cv2.convertScaleAbs(out + (paper - out) * over(self.fade)[..., None])
        out = np.asarray(cv2.multiply(out, over(self.tint), dtype=cv2.CV_8U), np.uint8)
        if self.gone is None:
            return out, None
        kept = np.clip((0.5 - over(self.gone)) * np.float32(2 * px_per_mm / WEAR_PX_PER_MM) + 0.5, 0, 1)
        return out, np.asarray(cv2.convertScaleAbs(kept, alpha=255.0), np.uint8)
