"""What time, water, fungi and hands do to a sheet, drawn on the flat page before it is captured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.press.optics import Field, Image, cloud

WEAR_PX_PER_MM: Final = 3.0
"""Resolution of the layers of wear."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Crease:
    """A straight fold: the line at distance ``at_mm`` along ``angle_rad``; ``fold_deg``: how far each flank is bent;
    ``worn``: 0 to 1."""

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

    ``tint`` (h, w, 3): factor on the paper's colour (stains, mould, yellowing); ``fade`` (h, w): 0 to 1, how far ink
    has turned to paper; ``wet`` (h, w): 0 to 1, where ink has run; ``gone`` (h, w): 1 where paper is missing, or
    None.
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
        """A rendered region of the page (``box``: x0, y0, x1, y1 mm) with this wear, and its alpha (h, w) uint8 when
        paper is missing."""
        height, width = raster.shape[:2]
        scale = WEAR_PX_PER_MM / px_per_mm
        # Pixel centres to pixel centres, as everywhere.
        matrix = np.array(
            [
                [scale, 0, box[0] * WEAR_PX_PER_MM + scale / 2 - 0.5],
                [0, scale, box[1] * WEAR_PX_PER_MM + scale / 2 - 0.5],
            ],
            np.float64,
        )

        def over(layer: Field) -> Field:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return np.asarray(
                cv2.warpAffine(layer, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
            )

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


def _mm_grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """x and y in mm at the pixels of a layer."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    return (x + np.float32(0.5)) / np.float32(WEAR_PX_PER_MM), (y + np.float32(0.5)) / np.float32(WEAR_PX_PER_MM)


def _stain(tint: Field, density: NDArray[np.floating], colour: tuple[float, float, float]) -> None:
    """Multiply a stain of this colour and ``density`` (h, w) 0 to 1 into a tint, in place."""
    tint *= 1 - density.astype(np.float32)[..., None] * (1 - np.array(colour, np.float32))


def _brown(rng: np.random.Generator) -> tuple[float, float, float]:
    """Coffee, tea, dirt or rust as a filter."""
    r = rng.uniform(0.45, 0.92)
    g = r * rng.uniform(0.68, 0.92)
    return r, g, g * rng.uniform(0.55, 0.9)


def _ring(rng: np.random.Generator, tint: Field, x: Field, y: Field) -> None:
    """The mark of a wet cup."""
    cx, cy = rng.uniform(0, x[-1, -1]), rng.uniform(0, y[-1, -1])
    wobble = cloud(rng, (x.shape[0], x.shape[1]), 6, 2) * np.float32(rng.uniform(0.1, 0.8))
    d = np.hypot(x - np.float32(cx), y - np.float32(cy)) - np.float32(rng.uniform(24, 46)) + wobble
    ring = np.exp(-((d / np.float32(rng.uniform(0.5, 1.8))) ** 2)) * np.clip(0.7 + 0.5 * wobble, 0, 1)
    inside = np.clip(-d / 2, 0, 1) * np.float32(rng.uniform(0, 0.35))
    _stain(tint, np.asarray(np.maximum(ring, inside), np.float32), _brown(rng))


def _blot(rng: np.random.Generator, tint: Field, wet: Field) -> None:
    """A dried spill: an uneven tint, dark tide lines where it stood for a while, ink that has run a little."""
    shape = tint.shape[0], tint.shape[1]
    hills = cloud(rng, shape, rng.uniform(1.2, 5), 3) + np.float32(rng.uniform(0.04, 0.16)) * cloud(rng, shape, 45, 3)
    level = float(np.quantile(hills, rng.uniform(0.7, 0.96)))
    inside = np.clip((hills - np.float32(level)) * np.float32(rng.uniform(3, 25)), 0, 1)
    uneven = np.clip(0.55 + 0.3 * cloud(rng, shape, 7, 4), 0.1, 1)
    density = inside * uneven * np.float32(rng.uniform(0.08, 0.6))
    for _ in range(rng.integers(1, 4)):
        line = (hills - np.float32(level)) / np.float32(rng.uniform(0.012, 0.06))
        # A tide line is sharp outside, where the water stopped, and washes out to the inside.
        tide = np.exp(-np.where(line < 0, line * line, line * np.float32(rng.uniform(0.2, 0.7))))
        density = np.maximum(density, tide * uneven * np.float32(rng.uniform(0.2, 0.95)))
        level += float(rng.uniform(0.05, 0.3))
    _stain(tint, np.clip(density, 0, 1), _brown(rng))
    np.maximum(wet, inside * np.float32(rng.uniform(0, 0.7)), out=wet)


def _splashes(rng: np.random.Generator, tint: Field, count: int) -> None:
    """Drops of coffee, blood, ink or contrast gel."""
    layer = np.zeros((tint.shape[0], tint.shape[1]), np.uint8)
    for _ in range(count):
        x, y = int(rng.integers(layer.shape[1])), int(rng.integers(layer.shape[0]))
        radius = rng.exponential(1.2) * WEAR_PX_PER_MM
        cv2.ellipse(
            layer,
            ((float(x), float(y)), (2 * radius + 1, 2 * radius * rng.uniform(0.5, 1) + 1), float(rng.uniform(0, 180))),
            255,
            -1,
        )
    soft = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.5, 2)).astype(np.float32) / 255
    colour = _brown(rng) if rng.random() < 0.6 else tuple(float(v) for v in rng.uniform(0.35, 0.95, 3))
    _stain(tint, np.asarray(soft * np.float32(rng.uniform(0.3, 0.95)), np.float32), colour)  # type: ignore[arg-type]


def stained(rng: np.random.Generator, width_mm: float, height_mm: float, severity: float) -> Wear:
    """Wear of a page that was spilled on, soaked and dried."""
    wear = Wear.none(width_mm, height_mm)
    tint, fade = wear.tint, wear.fade
    wet = np.zeros_like(fade)
    x, y = _mm_grid((fade.shape[0], fade.shape[1]))
    _stain(
        tint,
        np.clip(0.5 + 0.3 * cloud(rng, (fade.shape[0], fade.shape[1]), 2), 0, 1) * np.float32(rng.uniform(0, 0.5)),
        (0.93, 0.85, 0.66),
    )
    for _ in range(rng.integers(0, 4)):
        _ring(rng, tint, x, y)
    for _ in range(rng.integers(1, 4)):
        _blot(rng, tint, wet)
    if rng.random() < 0.7:
        _splashes(rng, tint, int(rng.integers(3, 60)))
    if rng.random() < 0.5:
        np.maximum(wet, np.clip(cloud(rng, (fade.shape[0], fade.shape[1]), 2) * 0.5, 0, 0.8), out=wet)
    tint = np.clip(1 - (1 - tint) * np.float32(0.35 + 0.65 * severity), 0.3, 1)
    return Wear(np.asarray(tint, np.float32), fade, np.asarray(wet * np.float32(severity), np.float32))


def mouldy(rng: np.random.Generator, width_mm: float, height_mm: float, severity: float) -> Wear:
    """Wear of a page from a damp cellar: colonies of dark specks, fuzzy halos, brown foxing, tide marks."""
    wear = Wear.none(width_mm, height_mm)
    tint, fade = wear.tint, wear.fade
    rows, columns = fade.shape
    wet = np.zeros_like(fade)
    for _ in range(rng.integers(0, 3)):
        _blot(rng, tint, wet)
    hues = (
        (0.25, 0.27, 0.22),
        (0.15, 0.15, 0.16),
        (0.35, 0.42, 0.3),
        (0.42, 0.3, 0.22),
        (0.5, 0.5, 0.52),
        (0.55, 0.4, 0.45),
    )
    for _ in range(rng.integers(3, 14)):
        specks = np.zeros((rows, columns), np.uint8)
        at = rng.uniform([0, 0], [columns, rows])
        spread = np.exp(rng.uniform(np.log(6), np.log(70))) * WEAR_PX_PER_MM
        count = int(rng.integers(20, 420))
        places = rng.normal(at, spread, (count, 2))
        radii = np.exp(rng.normal(np.log(0.35), 0.6, count)) * WEAR_PX_PER_MM
        for (cx, cy), radius in zip(places, np.minimum(radii, 3.2 * WEAR_PX_PER_MM), strict=True):
            if -20 < cx < columns + 20 and -20 < cy < rows + 20:
                cv2.circle(
                    specks,
                    (int(cx * 16), int(cy * 16)),
                    int(radius * 16),
                    int(rng.integers(90, 256)),
                    -1,
                    cv2.LINE_AA,
                    4,
                )
        soft = cv2.GaussianBlur(specks, (0, 0), rng.uniform(0.5, 1.6)).astype(np.float32) / 255
        halo = cv2.GaussianBlur(specks, (0, 0), rng.uniform(4, 14)).astype(np.float32) / 255
        density = soft * np.float32(rng.uniform(0.35, 0.95)) + np.clip(halo, 0, 0.6) * np.float32(rng.uniform(0, 0.6))
        hue = np.clip(np.array(hues[rng.integers(len(hues))]) * rng.uniform(0.8, 1.4), 0.05, 0.9)
        _stain(tint, np.asarray(np.clip(density, 0, 1), np.float32), (float(hue[0]), float(hue[1]), float(hue[2])))
    if rng.random() < 0.6:
        fuzz = np.clip(cloud(rng, (rows, columns), 8, 4) - np.float32(rng.uniform(0.5, 1.5)), 0, 1) * np.float32(
            rng.uniform(0.2, 0.7)
        )
        _stain(tint, np.asarray(fuzz, np.float32), (0.55, 0.58, 0.52))
    if rng.random() < 0.5:
        fade = np.asarray(np.clip(cloud(rng, (rows, columns), 3) * 0.3, 0, 0.5), np.float32)
    tint = np.clip(1 - (1 - tint) * np.float32(0.4 + 0.6 * severity), 0.12, 1)
    return Wear(np.asarray(tint, np.float32), fade * np.float32(severity), wet * np.float32(severity))


def _torn_edge(rng: np.random.Generator, gone: Field, depth_mm: float) -> None:
    """Tear along one side of the page, in place."""
    side = int(rng.integers(4))
    view = np.rot90(gone, side)
    rows, columns = view.shape
    bite = np.exp(
        -(((np.arange(columns) - rng.uniform(0, columns)) / (columns * rng.uniform(0.05, 0.5))) ** 2)
    ) * rng.uniform(0, 1)
    run = cloud(rng, (1, columns), rng.uniform(3, 14), 3)[0] * 0.3
    # Fibres: a tear is ragged by some tenths of a millimetre however deep it is.
    fibres = cloud(rng, (1, columns), columns / 6, 2)[0] * rng.uniform(0.1, 0.5) * WEAR_PX_PER_MM
    depth = np.clip((bite + 0.2 + run) * depth_mm * WEAR_PX_PER_MM, 0, rows * 0.4) + fibres
    view[np.arange(rows)[:, None] < depth[None, :]] = 1


def _rip(rng: np.random.Generator, wear_fade: Field, tint: Field) -> None:
    """A tear that runs into the page and lies closed again: a white core with a shadow along it."""
    rows, columns = wear_fade.shape
    start = rng.uniform(0, 1, 2) * (columns, rows)
    start[rng.integers(2)] *= 0.02
    heading = np.arctan2(rows / 2 - start[1], columns / 2 - start[0]) + rng.normal(0, 0.4)
    steps = rng.normal(0, 0.35, 40).cumsum() * 0.3 + heading
    path = (
        start
        + np.cumsum(np.stack([np.cos(steps), np.sin(steps)], axis=1), axis=0) * rng.uniform(1, 7) * WEAR_PX_PER_MM * 0.5
    )
    white, dark = np.zeros((rows, columns), np.uint8), np.zeros((rows, columns), np.uint8)
    cv2.polylines(
        white,
        [(path * 16).astype(np.int32)],
        False,
        255,
        max(int(rng.uniform(0.3, 1.0) * WEAR_PX_PER_MM), 1),
        cv2.LINE_AA,
        4,
    )
    cv2.polylines(dark, [((path + 1.2) * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    np.maximum(wear_fade, white.astype(np.float32) / 255, out=wear_fade)
    _stain(tint, cv2.GaussianBlur(dark, (0, 0), 0.8).astype(np.float32) / 255, (0.45, 0.45, 0.45))


def damaged(rng: np.random.Generator, width_mm: float, height_mm: float, severity: float) -> Wear:
    """Wear of a page that was torn, pierced, taped, scratched and bleached."""
    wear = Wear.none(width_mm, height_mm)
    tint, fade = wear.tint, wear.fade
    rows, columns = fade.shape
    gone = np.zeros_like(fade)
    if rng.random() < 0.7:
        layer = np.clip(cloud(rng, (rows, columns), rng.uniform(1, 6)) * 0.35 + rng.uniform(-0.1, 0.35), 0, 0.72)
        if rng.random() < 0.4:  # thermal paper bleaches in bands where it was folded or lay in the light
            layer = np.repeat(np.clip(cloud(rng, (1, columns), 6)[:1] * 0.35 + 0.2, 0, 0.72), rows, axis=0)
        np.maximum(fade, layer * np.float32(severity), out=fade)
    for _ in range(rng.integers(0, 4)):
        _torn_edge(rng, gone, rng.uniform(1, 16) * (0.3 + 0.7 * severity))
    for _ in range(rng.integers(0, 4)):  # holes
        at = (float(rng.uniform(0, columns)), float(rng.uniform(0, rows)))
        radius = rng.uniform(0.8, 4.5) * WEAR_PX_PER_MM
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        rough = cloud(rng, (rows, columns), 60, 2) * np.float32(radius * 0.2)
        gone[np.hypot(x - np.float32(at[0]), y - np.float32(at[1])) + rough < radius] = 1
    if gone.any():
        fibre = cv2.GaussianBlur(cv2.dilate(gone, np.ones((3, 3), np.uint8)), (0, 0), rng.uniform(0.6, 1.6))
        np.maximum(fade, np.clip(fibre * 1.6, 0, 1), out=fade)
    for _ in range(rng.integers(0, 4)):
        _rip(rng, fade, tint)
    for _ in range(rng.integers(0, 3)):  # adhesive tape
        layer8 = np.zeros((rows, columns), np.uint8)
        centre = (float(rng.uniform(0, columns)), float(rng.uniform(0, rows)))
        size = (rng.uniform(12, 25) * WEAR_PX_PER_MM, rng.uniform(40, 200) * WEAR_PX_PER_MM)
        cv2.fillPoly(
            layer8,
            [cv2.boxPoints((centre, size, float(rng.choice([0, 90]) + rng.normal(0, 8)))).astype(np.int32)],
            255,
            cv2.LINE_AA,
        )
        tape = layer8.astype(np.float32) / 255
        edge = np.abs(cv2.Laplacian(tape, cv2.CV_32F))
        _stain(tint, tape * np.float32(rng.uniform(0.2, 1)), (0.97, 0.93, float(rng.uniform(0.6, 0.9))))
        _stain(tint, np.clip(edge, 0, 1) * np.float32(0.5), (0.6, 0.6, 0.55))
        np.maximum(fade, tape * np.float32(rng.uniform(0, 0.25)), out=fade)
    for _ in range(rng.integers(0, 12)):  # scratches
        layer8 = np.zeros((rows, columns), np.uint8)
        a, b = rng.uniform([0, 0], [columns, rows], (2, 2))
        b = a + (b - a) * rng.uniform(0.05, 0.6)
        cv2.line(layer8, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), 255, 1, cv2.LINE_AA)
        scratch = layer8.astype(np.float32) / 255 * np.float32(rng.uniform(0.2, 0.8))
        if rng.random() < 0.6:
            np.maximum(fade, scratch, out=fade)
        else:
            _stain(tint, scratch, (0.4, 0.4, 0.42))
    wet = np.zeros_like(fade)
    if rng.random() < 0.5:
        _blot(rng, tint, wet)
    tint = np.clip(tint, 0.25, 1)
    return Wear(np.asarray(tint, np.float32), fade, wet, gone if gone.any() else None)
