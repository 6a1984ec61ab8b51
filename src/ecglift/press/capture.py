"""From a printed page to what a scanner, a camera or a screen makes of it, with the exact map between paper and picture.

Each kind of capture is one function of a page, a random generator and settings. Geometry comes first and becomes one
:class:`~ecglift.geometry.PageMap`; the page is rendered once and resampled once through that map; everything after only changes values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import cv2
import numpy as np

from ecglift.geometry import Matrix, PageMap, Points
from ecglift.press import damage, optics, scene, warp
from ecglift.press.optics import Field, Image
from ecglift.press.page import Page
from ecglift.press.render import render

KINDS: Final[tuple[str, ...]] = (
    "clean",
    "colour_scan",
    "bw_scan",
    "fax",
    "print_scan",
    "photo",
    "photo_crop",
    "photo_folded",
    "screen",
    "stained",
    "damaged",
    "mould_colour",
    "mould_bw",
)
"""The kinds of capture."""

COMPETITION_KINDS: Final[dict[str, str]] = {
    "0001": "clean",
    "0003": "colour_scan",
    "0004": "bw_scan",
    "0005": "photo",
    "0006": "screen",
    "0009": "stained",
    "0010": "damaged",
    "0011": "mould_colour",
    "0012": "mould_bw",
}
"""The competition's image types by number and the kind that imitates each."""

_OVERSAMPLING: Final = 1.25
_RASTER_PX_PER_MM: Final = (3.5, 14.0)


@dataclass(frozen=True)
class CaptureSettings:
    """What a caller may fix; None draws it as the kind usually has it.

    ``px_per_mm``: scale of the finished picture (2 to 24); ``rotation_deg``: anticlockwise turn of the page in the picture;
    ``quarter_turns``: 0 to 3 further anticlockwise quarter turns (None draws any); ``severity``: 0 (mild) to 1 (as bad as the press goes);
    ``max_megapixels``: no picture gets larger; ``plain``: a clean raster stays exactly that (no crop, turn, resize or JPEG).
    """

    px_per_mm: float | None = None
    rotation_deg: float | None = None
    quarter_turns: int | None = 0
    severity: float = 1.0
    max_megapixels: float = 12.0
    plain: bool = False

    def __post_init__(self) -> None:
        if self.px_per_mm is not None and not 2.0 <= self.px_per_mm <= 24.0:
            raise ValueError(f"px_per_mm must be 2 to 24, got {self.px_per_mm}")
        if self.quarter_turns not in (None, 0, 1, 2, 3):
            raise ValueError(f"quarter_turns must be 0 to 3 or None, got {self.quarter_turns}")
        if not 0.0 <= self.severity <= 1.0:
            raise ValueError(f"severity must be 0 to 1, got {self.severity}")
        if not self.max_megapixels >= 0.1:
            raise ValueError(f"max_megapixels must be at least 0.1, got {self.max_megapixels}")


@dataclass(frozen=True)
class Capture:
    """A picture of a page and where each point of the page is in it.

    ``image``: (h, w, 3) uint8 RGB; ``map``: page mm → image px; ``meta``: what was drawn for this capture, plain JSON values,
    with "seed", the generator's own seed as far as it knows it.
    """

    image: Image
    map: PageMap
    kind: str
    page: Page
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in px."""
        return self.image.shape[0], self.image.shape[1]


_Drawn = tuple[Image, PageMap, dict[str, Any]]


def capture(page: Page, kind: str, rng: np.random.Generator, settings: CaptureSettings | None = None) -> Capture:
    """A capture of the page, one of :data:`KINDS`; the same generator state gives the same bytes.

    ValueError for an unknown kind.
    """
    if kind not in _MAKERS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    seed = getattr(rng.bit_generator.seed_seq, "entropy", None)
    spawn_key = getattr(rng.bit_generator.seed_seq, "spawn_key", ())
    image, page_map, meta = _MAKERS[kind](page, rng, settings or CaptureSettings())
    image = np.ascontiguousarray(image)
    image.setflags(write=False)
    return Capture(image, page_map, kind, page, {**meta, "seed": [str(seed), *(int(k) for k in spawn_key)]})


# Geometry


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive bounds, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _scale(page: Page, rng: np.random.Generator, s: CaptureSettings, low: float, high: float, room: float) -> float:
    """Pixels per millimetre of the finished picture, which covers ``room`` times the page's area."""
    drawn = _between(rng, low, high) if s.px_per_mm is None else s.px_per_mm
    limit = math.sqrt(s.max_megapixels * 1e6 / (page.width_mm * page.height_mm * room))
    return min(drawn, limit)


def _turn(rng: np.random.Generator, s: CaptureSettings, spread_deg: float) -> tuple[float, int]:
    """(small rotation in degrees, quarter turns)."""
    rotation = float(np.clip(rng.normal(0, spread_deg), -3 * spread_deg, 3 * spread_deg)) if s.rotation_deg is None else s.rotation_deg
    turns = int(rng.integers(4)) if s.quarter_turns is None else s.quarter_turns
    return rotation, turns


def _turned_size(width: float, height: float, degrees: float) -> tuple[float, float]:
    a = math.radians(degrees)
    c, n = abs(math.cos(a)), abs(math.sin(a))
    return width * c + height * n, width * n + height * c


def _rendered(
    page: Page, page_map: PageMap, coarse: Points, shape: tuple[int, int], wear: damage.Wear | None, printer: Callable[[Image, float], Image] | None
) -> tuple[Image, Image | None]:
    """The flat page as the map shows it, (h, w, 3), and where it is, alpha (h, w) or None when it fills the picture."""
    box = warp.seen_box_mm(coarse, page.width_mm, page.height_mm)
    inside = coarse[1:-2, 1:-2].reshape(-1, 2)
    inside = inside[((inside >= 0) & (inside <= [page.width_mm, page.height_mm])).all(axis=1)]
    finest = float(np.quantile(page_map.px_per_mm(inside[:: max(len(inside) // 500, 1)]), 0.98)) if len(inside) else 8.0
    px_per_mm = float(np.clip(finest * _OVERSAMPLING, *_RASTER_PX_PER_MM))
    if printer is not None:
        px_per_mm = max(px_per_mm, 11.0)
    raster = render(page, px_per_mm, box)
    if printer is not None:
        raster = printer(raster, px_per_mm)
    cut = None
    if wear is not None:
        raster, cut = wear.applied(raster, px_per_mm, box)
    filled = coarse[1:-2, 1:-2]
    whole = bool((filled >= 0).all() and (filled <= [page.width_mm, page.height_mm]).all())
    if whole and cut is None:
        return warp.warped(raster, px_per_mm, box[:2], coarse, shape), None
    alpha = np.full(raster.shape[:2], 255, np.uint8) if cut is None else cut
    if cut is not None:
        raster = cv2.multiply(raster, cv2.merge([cut] * 3), scale=1 / 255)
    four = warp.warped(cv2.merge([*cv2.split(raster), alpha]), px_per_mm, box[:2], coarse, shape)
    return np.ascontiguousarray(four[..., :3]), np.ascontiguousarray(four[..., 3])


def _laid_on(image: Image, alpha: Image, ground: Image) -> Image:
    """The page (premultiplied with its alpha) over a background."""
    return np.asarray(cv2.add(image, cv2.multiply(ground, 255 - cv2.merge([alpha] * 3), scale=1 / 255)), np.uint8)


def _resized(image: Image, page_map: PageMap, factor: float) -> tuple[Image, PageMap]:
    """Picture and map with ``factor`` times the pixels along each side."""
    height, width = image.shape[:2]
    w, h = max(round(width * factor), 16), max(round(height * factor), 16)
    if (w, h) == (width, height):
        return image, page_map
    fx, fy = w / width, h / height
    matrix: Matrix = np.array([[fx, 0, 0.5 * fx - 0.5], [0, fy, 0.5 * fy - 0.5], [0, 0, 1]])
    return optics.resized(image, w, h), page_map.after(matrix)


# Clean rasters


def _clean(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    """A raster straight from the page: an export, or a screenshot of one."""
    px_per_mm = _scale(page, rng, s, 72 / 25.4, 300 / 25.4, 1.0)
    meta: dict[str, Any] = {"px_per_mm": px_per_mm}
    rotation, turns = _turn(rng, s, 1.5) if s.rotation_deg is not None else _turn(rng, s, 0.0)
    if s.plain:
        rotation, turns = s.rotation_deg or 0.0, s.quarter_turns or 0
    if rotation == 0.0 and turns == 0:
        box = (0.0, 0.0, page.width_mm, page.height_mm)
        if not s.plain and rng.random() < 0.3:
            inner = _subject(page)
            keep = rng.uniform(0, 1, 4)
            box = tuple(a + (b - a) * float(k) for a, b, k in zip(box, inner, keep, strict=True))  # type: ignore[assignment]
        image = render(page, px_per_mm, box)
        page_map = PageMap.scale(px_per_mm, (-0.5 - box[0] * px_per_mm, -0.5 - box[1] * px_per_mm))
    else:
        total = rotation + 90 * turns
        width_mm, height_mm = _turned_size(page.width_mm, page.height_mm, total)
        frame = max(round(width_mm * px_per_mm), 16), max(round(height_mm * px_per_mm), 16)
        page_map = warp.affine_map(page.width_mm, page.height_mm, (px_per_mm, px_per_mm), total, frame)
        shape = frame[1], frame[0]
        image, alpha = _rendered(page, page_map, warp.coarse_mm(page_map, shape), shape, None, None)
        if alpha is not None:
            image = _laid_on(image, alpha, np.full_like(image, 255))
    if not s.plain:
        if rng.random() < 0.25:
            image, page_map = _resized(image, page_map, max(float(rng.uniform(0.6, 1.0)), 2.6 / px_per_mm) if px_per_mm > 2.7 else 1.0)
        if rng.random() < 0.4:
            meta["jpeg"] = int(rng.integers(30, 99))
            image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.6))
    return image, replace(page_map, residual_mm=0.0), meta


def _subject(page: Page) -> warp.Box:
    """The part of the page that holds the traces, x0, y0, x1, y1 mm, within the page."""
    panels = page.layout.panels
    if not panels:
        return 0.0, 0.0, page.width_mm, page.height_mm
    x0, x1 = min(p.x0_mm for p in panels) - 8, max(p.x1_mm for p in panels) + 4
    y0, y1 = min(p.baseline_mm for p in panels) - 14, max(p.baseline_mm for p in panels) + 12
    return max(x0, 0.0), max(y0, 0.0), min(x1, page.width_mm), min(y1, page.height_mm)


# Scans


def _scan_map(page: Page, rng: np.random.Generator, s: CaptureSettings, px_per_mm: tuple[float, float]) -> tuple[PageMap, tuple[int, int]]:
    """Map and (height, width) of a page on a scanner: a little crooked, cropped or with the lid around it, fed unevenly."""
    rotation, turns = _turn(rng, s, 0.9 if rng.random() < 0.8 else 3.0)
    total = rotation + 90 * turns
    width_mm, height_mm = _turned_size(page.width_mm, page.height_mm, total)
    if rng.random() < 0.6:
        width_mm, height_mm = (v + rng.uniform(-5, 12) for v in (width_mm, height_mm))
    frame = max(round(width_mm * px_per_mm[0]), 16), max(round(height_mm * px_per_mm[1]), 16)
    quarter = turns % 2 == 1
    page_map = warp.affine_map(page.width_mm, page.height_mm, px_per_mm, 0.0, frame)
    turn = warp.affine_map(0.0, 0.0, (1.0, 1.0), total, (1, 1)).homography
    # The turn happens on the glass, before the scanner's unequal scales: mm about the page's middle → turned mm → px.
    centre = np.array([[1, 0, -page.width_mm / 2], [0, 1, -page.height_mm / 2], [0, 0, 1.0]])
    stretch = np.array([[px_per_mm[0], 0, (frame[0] - 1) / 2], [0, px_per_mm[1], (frame[1] - 1) / 2], [0, 0, 1.0]])
    shift = np.array([[1, 0, rng.normal(0, 1.0)], [0, 1, rng.normal(0, 1.0)], [0, 0, 1.0]])
    homography = stretch @ shift @ turn @ centre
    page_map = PageMap(homography, residual_mm=0.0)
    if rng.random() < 0.5:
        shape = warp.flat_shape(page.width_mm, page.height_mm, 5.0)
        nodes = shape.nodes_mm()
        along = nodes[..., 0 if quarter else 1]
        error_mm = sum(
            rng.normal(0, 0.08) * np.sin(2 * np.pi * along / rng.uniform(60, 500) + rng.uniform(0, 6.3)) * s.severity for _ in range(3)
        )
        residual = np.zeros((*along.shape, 2))
        residual[..., 1] = np.asarray(error_mm) * px_per_mm[1]
        page_map = PageMap(homography, shape.origin_mm, shape.step_mm, residual, 0.0)
    return page_map, (frame[1], frame[0])


def _scanned(
    page: Page,
    rng: np.random.Generator,
    s: CaptureSettings,
    tone: Literal["colour", "grey", "bilevel"],
    wear: damage.Wear | None = None,
    printer: Callable[[Image, float], Image] | None = None,
) -> _Drawn:
    px_per_mm = _scale(page, rng, s, 2.8, 12.0, 1.05)
    stretch = 1 + rng.normal(0, 0.004) * s.severity
    page_map, shape = _scan_map(page, rng, s, (px_per_mm * stretch, px_per_mm / stretch))
    coarse = warp.coarse_mm(page_map, shape)
    image, alpha = _rendered(page, page_map, coarse, shape, wear, printer)
    if alpha is not None:
        lid = np.full_like(image, 0)
        lid[:] = np.clip((rng.choice([252, 235, 120, 12]) if rng.random() < 0.8 else rng.uniform(0, 255)) + rng.normal(0, 4, 3), 0, 255)
        fall = optics.cloud(rng, optics.field_shape(shape), 2, 1) * np.float32(0.03) + np.float32(0.97)
        image = _laid_on(image, alpha, optics.lit(lid, np.repeat(fall[..., None], 3, axis=2)))
        if rng.random() < 0.6:  # the sheet's edge lifts off the glass and throws a shadow
            image = _edge_shadow(image, alpha, rng, px_per_mm)
    image = optics.blurred(image, rng, min(rng.uniform(0.2, 1.0), 0.16 * px_per_mm))
    if rng.random() < 0.5:
        light = optics.ambient(rng, shape, rng.uniform(0, 0.25) * s.severity)
        image = optics.lit(image, light)
    if rng.random() < 0.4:
        image = optics.streaks(image, rng, int(rng.poisson(2)))
    if rng.random() < 0.5:
        image = optics.specks(image, rng, int(rng.poisson(12 * s.severity)), px_per_mm)
    # Scanners often clip paper to white, which thins or loses a pale grid; a trace must survive.
    exposure = rng.uniform(0.9, 1.12)
    image = optics.toned(image, exposure, optics.balance(rng, 0.02), rng.uniform(0, 0.7), rng.uniform(0.75, 1.5))
    image = optics.sensed(image, rng, rng.uniform(0.3, 5) * s.severity, bayer=False)
    if rng.random() < 0.5:
        image = optics.finished(image, rng, 0.0, float(rng.uniform(0, 1.5)), float(rng.uniform(0.7, 1.5)))
    meta: dict[str, Any] = {"px_per_mm": px_per_mm, "tone": tone}
    if tone == "grey":
        image = optics.as_rgb(optics.as_grey(image))
    elif tone == "bilevel":
        grey = optics.as_grey(image)
        ink, paper = (float(np.percentile(grey, q)) for q in (0.5, 80))
        how = str(rng.choice(["threshold", "ordered", "diffused"], p=[0.7, 0.1, 0.2]))
        image = optics.as_rgb(optics.bilevel(grey, rng, ink + (paper - ink) * rng.uniform(0.5, 0.85), how))
        meta["dither"] = how
    if rng.random() < 0.2 and px_per_mm > 4:
        image, page_map = _resized(image, page_map, float(rng.uniform(max(0.5, 2.8 / px_per_mm), 1.0)))
    if rng.random() < (0.25 if tone == "bilevel" else 0.75):
        meta["jpeg"] = int(rng.integers(35, 98))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.7))
    return image, replace(page_map, residual_mm=0.0), meta


def _edge_shadow(image: Image, alpha: Image, rng: np.random.Generator, px_per_mm: float) -> Image:
    height, width = alpha.shape
    k = 4
    small = cv2.resize(alpha, (max(width // k, 2), max(height // k, 2)), interpolation=cv2.INTER_AREA)
    near = cv2.GaussianBlur(small, (0, 0), max(rng.uniform(0.4, 2.0) * px_per_mm / k, 0.5)).astype(np.float32) / 255
    dark = np.float32(rng.uniform(0.1, 0.7)) * near * (1 - small.astype(np.float32) / 255)
    return optics.lit(image, np.repeat((1 - dark)[..., None], 3, axis=2))


def _colour_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _scanned(page, rng, s, "colour")


def _bw_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _scanned(page, rng, s, "grey" if rng.random() < 0.6 else "bilevel")


def _printer(rng: np.random.Generator) -> Callable[[Image, float], Image]:
    """A printer that shows tints as dots: laser screens, ink-jet scatter, toner noise."""
    cell_mm, angle, hardness = rng.uniform(0.16, 0.36), rng.uniform(0, np.pi / 2), rng.uniform(1.5, 5)
    grey = bool(rng.random() < 0.4)
    strength = rng.uniform(0.4, 1.0)
    grain = rng.uniform(0, 0.25)
    grain_rng = np.random.default_rng(rng.integers(2**62))

    def printed(raster: Image, px_per_mm: float) -> Image:
        source = optics.as_rgb(optics.as_grey(raster)) if grey else raster
        screened = optics.halftoned(source, px_per_mm, cell_mm, angle, hardness)
        out = cv2.addWeighted(source, 1 - strength, screened, strength, 0)
        if grain > 0.05:
            tile = grain_rng.standard_normal((min(out.shape[0], 700), out.shape[1]), np.float32)
            speckle = np.resize(tile, out.shape[:2]) * np.float32(grain) * (255 - optics.as_grey(out))
            out = cv2.add(out, cv2.merge([speckle] * 3), dtype=cv2.CV_8U)
        return np.asarray(out, np.uint8)

    return printed


def _print_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    printer = _printer(rng)
    return _scanned(page, rng, s, str(rng.choice(["colour", "grey", "bilevel"], p=[0.6, 0.3, 0.1])), printer=printer)  # type: ignore[arg-type]


def _fax(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    """ITU-T T.4: 204 dpi across, 98 (standard) or 196 (fine) lines an inch down, bilevel, with the line's faults."""
    across = 204 / 25.4
    fine = bool(rng.random() < 0.7)
    page_map, shape = _scan_map(page, rng, replace(s, px_per_mm=None), (across, 196 / 25.4))
    coarse = warp.coarse_mm(page_map, shape)
    image, alpha = _rendered(page, page_map, coarse, shape, None, None)
    if alpha is not None:
        image = _laid_on(image, alpha, np.full_like(image, 255))
    grey = cv2.GaussianBlur(optics.as_grey(image), (0, 0), rng.uniform(0.3, 0.7))
    rows, columns = grey.shape
    if not fine:
        grey = cv2.resize(grey, (columns, max(rows // 2, 8)), interpolation=cv2.INTER_AREA)
    ink, paper = (float(np.percentile(grey, q)) for q in (0.5, 80))
    how = "threshold" if rng.random() < 0.75 else "diffused"
    black = optics.bilevel(grey, rng, ink + (paper - ink) * rng.uniform(0.5, 0.85), how)
    black = optics.line_errors(black, rng, int(rng.poisson(6 * s.severity)))
    if rng.random() < 0.4:
        salt = rng.random(black.shape, np.float32)
        black[salt < rng.uniform(0, 0.002)] = 0
    meta = {"fine": fine, "dither": how, "px_per_mm": across}
    fy = black.shape[0] / rows
    # Programs that show a fax make its pixels square again, by repeating lines or by averaging; some keep the file as it is.
    if fine and rng.random() < 0.5:
        target = (columns, black.shape[0])
    else:
        target = (columns, round(rows * 204 / 196)) if rng.random() < 0.8 else (columns, black.shape[0])
    nearest = cv2.resize(black, target, interpolation=cv2.INTER_NEAREST_EXACT if rng.random() < 0.5 else cv2.INTER_LINEAR)
    sy = target[1] / black.shape[0] * fy
    image = optics.as_rgb(np.asarray(nearest, np.uint8))
    page_map = page_map.after(np.array([[1, 0, 0], [0, sy, 0.5 * sy - 0.5], [0, 0, 1.0]]))
    factor = min(1.0, (s.px_per_mm or across) / across, math.sqrt(s.max_megapixels * 1e6 / (image.shape[0] * image.shape[1])))
    if factor < 1 or rng.random() < 0.3:
        image, page_map = _resized(image, page_map, factor if factor < 1 else float(rng.uniform(0.5, 1)))
    return image, replace(page_map, residual_mm=0.0), meta


# Photos


@dataclass(frozen=True)
class _PhotoStyle:
    """How bad a photo may get: bends in degrees of slope, chances, tilts in degrees."""

    crop: bool = False
    wave_deg: float = 7.0
    curl_deg: float = 25.0
    fold: float = 0.25
    crumple_mm: float = 0.25
    tilt_deg: float = 11.0


def _paper_shape(page: Page, rng: np.random.Generator, style: _PhotoStyle, severity: float) -> tuple[warp.Shape, list[damage.Crease]]:
    """The sheet in space and its creases."""
    shape = warp.flat_shape(page.width_mm, page.height_mm, 4.0 if style.fold == 0 and style.crumple_mm == 0 else 2.5)
    if rng.random() < 0.85:
        shape = warp.waved(shape, rng, abs(rng.normal(0, style.wave_deg)) * severity)
    for _ in range(rng.binomial(2, 0.4)):
        shape = warp.curled(shape, rng, rng.uniform(3, style.curl_deg) * severity)
    creases: list[damage.Crease] = []
    if rng.random() < style.fold:
        creases = damage.creases(rng, page.width_mm, page.height_mm, heavy=style.fold >= 1)
        for crease in creases:
            shape = warp.folded(
                shape, crease.angle_rad, crease.at_mm, crease.fold_deg * severity, rng.uniform(1.5, 5), rng.uniform(10, 60)
            )
    if style.crumple_mm > 0 and rng.random() < (0.3 if style.fold < 1 else 0.8):
        shape = warp.crumpled(shape, rng, rng.uniform(0.1, 1) * style.crumple_mm * severity)
    return warp.relaxed(shape), creases


def _relief(shape: warp.Shape, coarse: Points, rng: np.random.Generator, depth: float) -> Field:
    """Light on the bent sheet relative to a flat one, at the coarse pixels, float32."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 80))
    lamp = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    facing = np.clip((shape.normals() @ lamp) / lamp[2], 0.2, 1.8).astype(np.float32)
    at = ((coarse - shape.origin_mm) / shape.step_mm).astype(np.float32)
    seen = cv2.remap(facing, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(1 + np.float32(depth) * (seen - 1), np.float32)


def _on_field(values: Field, coarse_shape: tuple[int, int]) -> Field:
    """A light field stretched to the coarse pixels' grid."""
    return np.asarray(cv2.resize(values, (coarse_shape[1], coarse_shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _framed(
    page: Page, rng: np.random.Generator, shape: warp.Shape, pose: warp.Pose, subject: warp.Box, crop: bool, px_per_mm: float
) -> tuple[PageMap, tuple[int, int]]:
    """Map and (height, width) of a photo in which the subject fills the frame but for margins; a crop may cut into it."""
    size = np.array(_turned_size(subject[2] - subject[0], subject[3] - subject[1], -pose.roll_deg)) * px_per_mm
    margins = rng.uniform(-0.02, 0.06, 4) if crop else rng.uniform(-0.01, 0.14, 4)
    if not crop and rng.random() < 0.2:
        margins = margins + rng.uniform(0, 0.2)
    lead = margins[:2] * size.max()
    frame = size + lead + margins[2:] * size.max()
    frame_px = max(int(frame[0]), 48), max(int(frame[1]), 48)
    box_px = (float(lead[0]), float(lead[1]), float(lead[0] + size[0]), float(lead[1] + size[1]))
    # A crop made after the shot leaves the optical axis anywhere near the middle.
    off = rng.normal(0.5, 0.1 if crop else 0.01, 2)
    principal = frame_px[0] * float(off[0]), frame_px[1] * float(off[1])
    page_map = warp.photographed(shape, pose, subject, frame_px, box_px, principal_px=principal)
    return page_map, (frame_px[1], frame_px[0])


def _photographed(page: Page, rng: np.random.Generator, s: CaptureSettings, style: _PhotoStyle, wear: damage.Wear | None = None) -> _Drawn:
    px_per_mm = _scale(page, rng, s, 3.0, 10.0, 1.7 if not style.crop else 1.0)
    before = _between(rng, 1.0, 2.0) if rng.random() < 0.5 and px_per_mm < 6 else 1.0
    before = min(before, 9.0 / px_per_mm) if px_per_mm < 9 else 1.0
    before = max(before, 1.0)
    sensor_scale = px_per_mm * before
    rotation, turns = _turn(rng, s, 2.5)
    tilt = style.tilt_deg * (0.3 + 0.7 * s.severity)
    pose = warp.Pose(
        float(np.clip(rng.normal(0, tilt), -38, 38)),
        float(np.clip(rng.normal(0, tilt), -38, 38)),
        -(rotation + 90 * turns),
        float(rng.uniform(0.65, 1.6)),
        float(rng.normal(0, 0.05)) * s.severity,
        float(rng.normal(0, 0.02)) * s.severity,
    )
    shape, creases = _paper_shape(page, rng, style, s.severity)
    subject = _subject(page) if style.crop else (0.0, 0.0, page.width_mm, page.height_mm)
    page_map, pixels = _framed(page, rng, shape, pose, subject, style.crop, sensor_scale)
    coarse = warp.coarse_mm(page_map, pixels)
    if creases:
        wear = (wear or damage.Wear.none(page.width_mm, page.height_mm)).creased(rng, creases)
    image, alpha = _rendered(page, page_map, coarse, pixels, wear, _printer(rng) if rng.random() < 0.08 else None)
    if alpha is not None:
        ground = scene.background(rng, pixels)
        inner = alpha[:: optics.FIELD_STEP_PX, :: optics.FIELD_STEP_PX].astype(np.float32) / 255
        away = rng.normal(0, 0.006, 2) * max(inner.shape)
        moved = cv2.warpAffine(inner, np.array([[1, 0, away[0]], [0, 1, away[1]]]), (inner.shape[1], inner.shape[0]))
        drop = 1 - np.float32(rng.uniform(0, 0.7)) * cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.4, 3))
        image = _laid_on(image, alpha, optics.lit(ground, np.repeat(np.asarray(drop, np.float32)[..., None], 3, axis=2)))
        for _ in range(rng.binomial(2, 0.06)):
            image = _held(image, page, page_map, rng, sensor_scale)
    image, meta = _exposed(image, rng, s, shape, coarse, sensor_scale)
    if before > 1:
        image, page_map = _resized(image, page_map, 1 / before)
    for _ in range(1 + rng.binomial(2, 0.3)):
        meta["jpeg"] = int(rng.integers(32, 97))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.8))
    meta.update(px_per_mm=px_per_mm, tilt_deg=[pose.tilt_x_deg, pose.tilt_y_deg], rotation_deg=rotation, quarter_turns=turns, creases=len(creases))
    return image, replace(page_map, residual_mm=0.0), meta


def _held(image: Image, page: Page, page_map: PageMap, rng: np.random.Generator, px_per_mm: float) -> Image:
    """A finger over one edge of the sheet."""
    side, at = rng.integers(4), rng.uniform(0.05, 0.95)
    w, h = page.width_mm, page.height_mm
    edge = np.array([(at * w, 0.0), (w, at * h), (at * w, h), (0.0, at * h)][side])
    inner = edge + np.array([(0, 5.0), (-5.0, 0), (0, -5.0), (5.0, 0)][side])
    start, stop = page_map.to_px(edge), page_map.to_px(inner)
    return scene.fingers(image, rng, start, stop - start, px_per_mm)


def _exposed(
    image: Image,
    rng: np.random.Generator,
    s: CaptureSettings,
    shape: warp.Shape,
    coarse: Points,
    px_per_mm: float,
) -> tuple[Image, dict[str, Any]]:
    """Light on a sheet of paper, then all that the phone does."""
    pixels = image.shape[0], image.shape[1]
    grid = coarse.shape[0], coarse.shape[1]
    hard = 0.35 + 0.65 * s.severity
    light = _on_field(optics.ambient(rng, pixels, rng.uniform(0.1, 1.2) * hard), grid)
    light *= np.clip(_relief(shape, coarse, rng, rng.uniform(0.3, 1.0)), 0.45, 1.5)[..., None]
    light *= (1 + np.float32(rng.uniform(0, 0.012)) * optics.cloud(rng, grid, 60, 2))[..., None]
    if rng.random() < 0.45:
        dark = _on_field(optics.shadow(rng, pixels, rng.uniform(0.1, 0.65) * hard), grid)
        tint = 1 + (1 - dark)[..., None] * rng.normal(0, 0.08, 3).astype(np.float32)
        light *= dark[..., None] * tint
    haze = None
    if rng.random() < 0.15:
        haze = _on_field(optics.glare(rng, pixels, rng.uniform(0.1, 0.6) * hard), grid)
    if rng.random() < 0.3:
        veil = np.full(grid, rng.uniform(0, 0.12), np.float32)
        haze = veil if haze is None else np.maximum(haze, veil)
    return _developed(optics.lit(image, light, haze), rng, s, px_per_mm)


def _developed(image: Image, rng: np.random.Generator, s: CaptureSettings, px_per_mm: float) -> tuple[Image, dict[str, Any]]:
    """Lens, exposure, sensor and the phone's processing."""
    hard = 0.35 + 0.65 * s.severity
    if rng.random() < 0.3:
        image = optics.coloured_fringes(image, float(rng.normal(0, 0.0004)))
    image = optics.blurred(image, rng, min(_between(rng, 0.35, 1.6), 0.17 * px_per_mm))
    middle = image[image.shape[0] // 4 : -image.shape[0] // 4 : 8, image.shape[1] // 4 : -image.shape[1] // 4 : 8]
    bright = max(float(np.percentile(middle, 70)) / 255, 0.1)
    wanted = rng.uniform(0.6, 1.02) if rng.random() < 0.88 else rng.uniform(0.35, 0.6)
    contrast = float(rng.uniform(0, 0.9))
    image = optics.toned(image, wanted / bright, optics.balance(rng, 0.07), contrast, float(rng.uniform(0.85, 1.3)))
    noise = _between(rng, 0.5, 7.0) * hard
    image = optics.sensed(image, rng, min(noise, 60 * wanted * 0.2), bayer=bool(rng.random() < 0.8))
    image = optics.finished(image, rng, float(rng.uniform(0, 0.9)), float(rng.choice([0.0, rng.uniform(0.2, 2.2)], p=[0.2, 0.8])), float(rng.uniform(0.6, 1.8)))
    meta: dict[str, Any] = {"exposure": round(float(wanted), 3), "noise": round(float(noise), 2)}
    if rng.random() < 0.1:
        image = optics.whitened(image, rng)
        meta["whitened"] = True
    return image, meta


def _photo(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _photographed(page, rng, s, _PhotoStyle())


def _photo_crop(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _photographed(page, rng, s, _PhotoStyle(crop=True))


def _photo_folded(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _photographed(page, rng, s, _PhotoStyle(crop=bool(rng.random() < 0.5), fold=1.0, crumple_mm=0.4))


def _stained(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    wear = damage.stained(rng, page.width_mm, page.height_mm, s.severity)
    if rng.random() < 0.2:
        return _scanned(page, rng, s, "colour", wear)
    return _photographed(page, rng, s, _PhotoStyle(crop=bool(rng.random() < 0.4), wave_deg=9.0, crumple_mm=0.5), wear)


def _damaged(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    wear = damage.damaged(rng, page.width_mm, page.height_mm, s.severity)
    style = _PhotoStyle(crop=bool(rng.random() < 0.35), wave_deg=9.0, curl_deg=32.0, fold=1.0, crumple_mm=0.9)
    return _photographed(page, rng, s, style, wear)


def _mould_colour(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    return _scanned(page, rng, s, "colour", damage.mouldy(rng, page.width_mm, page.height_mm, s.severity))


def _mould_bw(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    # Where mould is as dark as ink a fixed threshold would swallow the trace, so these stay grey.
    return _scanned(page, rng, s, "grey", damage.mouldy(rng, page.width_mm, page.height_mm, s.severity))


# Screens


def _screen(page: Page, rng: np.random.Generator, s: CaptureSettings) -> _Drawn:
    """A photo of a laptop's or a monitor's screen that shows the page in a viewer."""
    crop = bool(rng.random() < 0.45)
    px_per_mm = _scale(page, rng, s, 3.2, 9.0, 1.0 if crop else 1.7)
    shown_px_per_mm = _between(rng, 2.8, 6.5)
    camera_px = px_per_mm / shown_px_per_mm  # camera pixels per screen pixel
    before = 1.0
    if camera_px < 1.3:  # phones have more pixels than this; what is sent on is shrunk afterwards
        before = min(rng.uniform(1.3, 2.2) / camera_px, math.sqrt(max(9e6 / (page.width_mm * page.height_mm * px_per_mm**2 * 1.6), 1.0)))
    sensor_scale = px_per_mm * before
    rotation, turns = _turn(rng, s, 2.0)
    pose = warp.Pose(
        float(np.clip(rng.normal(0, 9), -30, 30)),
        float(np.clip(rng.normal(0, 9), -30, 30)),
        -(rotation + 90 * turns),
        float(rng.uniform(0.65, 1.4)),
        float(rng.normal(0, 0.05)) * s.severity,
        float(rng.normal(0, 0.02)) * s.severity,
    )
    subject = _subject(page) if crop else (0.0, 0.0, page.width_mm, page.height_mm)
    page_map, pixels = _framed(page, rng, warp.flat_shape(page.width_mm, page.height_mm, 10.0), pose, subject, crop, sensor_scale)
    coarse = warp.coarse_mm(page_map, pixels)
    display, origin_mm = scene.viewer(render(page, shown_px_per_mm), rng, shown_px_per_mm)
    if rng.random() < 0.3:
        display[..., :3] = optics.jpeg(np.ascontiguousarray(display[..., :3]), int(rng.integers(40, 95)))
    four = warp.warped(display, shown_px_per_mm, origin_mm, coarse, pixels)
    image, alpha = np.ascontiguousarray(four[..., :3]), np.ascontiguousarray(four[..., 3])
    u = warp.upsampled((coarse[..., 0] - origin_mm[0]) * shown_px_per_mm, warp.INVERSE_STEP_PX, pixels)
    v = warp.upsampled((coarse[..., 1] - origin_mm[1]) * shown_px_per_mm, warp.INVERSE_STEP_PX, pixels)
    sigma = rng.uniform(0.28, 0.55)
    attenuation = math.exp(-2 * (math.pi * sigma / max(camera_px * before, 0.3)) ** 2)
    image = optics.pixel_grid(image, u, v, rng.uniform(0.2, 0.95) * attenuation * (0.3 + 0.7 * s.severity), rng.uniform(0.1, 0.6) * attenuation)
    if int(alpha.min()) < 255:
        room = optics.toned(scene.background(rng, pixels), rng.uniform(0.15, 0.8), (1, 1, 1), 0, 1)
        image = _laid_on(image, alpha, room)
    grid = coarse.shape[0], coarse.shape[1]
    light = _on_field(optics.ambient(rng, pixels, rng.uniform(0.1, 0.9)), grid)
    if rng.random() < 0.3:  # the shutter catches the display's refresh
        rows = np.arange(grid[0], dtype=np.float32)[:, None, None]
        light *= 1 + np.float32(rng.uniform(0.01, 0.1)) * np.sin(rows * np.float32(rng.uniform(2, 14) * np.pi / grid[0]) + np.float32(rng.uniform(0, 6)))
    haze = np.full(grid, rng.uniform(0, 0.15), np.float32)
    if rng.random() < 0.5:
        haze = np.maximum(haze, _on_field(optics.glare(rng, pixels, rng.uniform(0.05, 0.5) * s.severity), grid))
    image = optics.lit(image, light, haze)
    image, meta = _developed(image, rng, s, sensor_scale)
    if before > 1:
        image, page_map = _resized(image, page_map, 1 / before)
    for _ in range(1 + rng.binomial(2, 0.3)):
        meta["jpeg"] = int(rng.integers(35, 97))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.8))
    meta.update(px_per_mm=px_per_mm, shown_px_per_mm=shown_px_per_mm, rotation_deg=rotation, quarter_turns=turns)
    return image, replace(page_map, residual_mm=0.0), meta


_MAKERS: Final[dict[str, Callable[[Page, np.random.Generator, CaptureSettings], _Drawn]]] = {
    "clean": _clean,
    "colour_scan": _colour_scan,
    "bw_scan": _bw_scan,
    "fax": _fax,
    "print_scan": _print_scan,
    "photo": _photo,
    "photo_crop": _photo_crop,
    "photo_folded": _photo_folded,
    "screen": _screen,
    "stained": _stained,
    "damaged": _damaged,
    "mould_colour": _mould_colour,
    "mould_bw": _mould_bw,
}
