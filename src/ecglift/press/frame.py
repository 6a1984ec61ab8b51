"""What every kind of capture shares: its settings, its scale and turn, and the one resampling of the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from ecglift.geometry import Matrix, PageMap
from ecglift.press import damage, optics, warp
from ecglift.press.optics import Field, Image
from ecglift.press.page import Page
from ecglift.press.render import render

_OVERSAMPLING: Final = 1.25
_RASTER_PX_PER_MM: Final = (3.5, 14.0)


@dataclass(frozen=True)
class CaptureSettings:
    """What a caller may fix; None draws it as the kind usually has it.

    ``px_per_mm``: scale of the finished picture (2 to 24); ``rotation_deg``: anticlockwise turn of the page in the
    picture; ``quarter_turns``: 0 to 3 further anticlockwise quarter turns (None draws any); ``severity``: 0 (mild) to
    1 (as bad as the press goes); ``max_megapixels``: no picture gets larger; ``plain``: a clean raster stays exactly
    that (no crop, turn, resize or JPEG); ``messaged``: share of the pictures that a messaging app hands on, smaller
    and compressed again; ``muted``: share of the photos whose surroundings have the dull colours that most rooms have;
    ``cut``: share of the photos that end within the sheet on one side or two. Nothing is drawn for any of them where it
    is 0, as for the frozen benchmark, which is older.
    """

    px_per_mm: float | None = None
    rotation_deg: float | None = None
    quarter_turns: int | None = 0
    severity: float = 1.0
    max_megapixels: float = 12.0
    plain: bool = False
    messaged: float = 0.0
    muted: float = 0.0
    cut: float = 0.0

    def __post_init__(self) -> None:
        if self.px_per_mm is not None and not 2.0 <= self.px_per_mm <= 24.0:
            raise ValueError(f"px_per_mm must be 2 to 24, got {self.px_per_mm}")
        if self.quarter_turns not in (None, 0, 1, 2, 3):
            raise ValueError(f"quarter_turns must be 0 to 3 or None, got {self.quarter_turns}")
        if not 0.0 <= self.severity <= 1.0:
            raise ValueError(f"severity must be 0 to 1, got {self.severity}")
        for name in ("messaged", "muted", "cut"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be 0 to 1, got {getattr(self, name)}")
        if not self.max_megapixels >= 0.1:
            raise ValueError(f"max_megapixels must be at least 0.1, got {self.max_megapixels}")

    @classmethod
    def usual(cls, max_megapixels: float = 12.0) -> CaptureSettings:
        """As pictures come: one in ten through a messaging app, four photos in five from a dull room, one in seven not
        of the whole sheet."""
        return cls(max_megapixels=max_megapixels, messaged=0.1, muted=0.8, cut=0.15)


Drawn = tuple[Image, PageMap, dict[str, Any]]
"""A picture, the map of the page in it, and what was drawn for it."""


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive bounds, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def scale(page: Page, rng: np.random.Generator, s: CaptureSettings, low: float, high: float, room: float) -> float:
    """Pixels per millimetre of the finished picture, which covers ``room`` times the page's area."""
    drawn = between(rng, low, high) if s.px_per_mm is None else s.px_per_mm
    limit = math.sqrt(s.max_megapixels * 1e6 / (page.width_mm * page.height_mm * room))
    return min(drawn, limit)


def drawn_turn(rng: np.random.Generator, s: CaptureSettings, spread_deg: float) -> tuple[float, int]:
    """(small rotation in degrees, quarter turns)."""
    rotation = (
        float(np.clip(rng.normal(0, spread_deg), -3 * spread_deg, 3 * spread_deg))
        if s.rotation_deg is None
        else s.rotation_deg
    )
    turns = int(rng.integers(4)) if s.quarter_turns is None else s.quarter_turns
    return rotation, turns


def turned_size(width: float, height: float, degrees: float) -> tuple[float, float]:
    """(width, height) of the upright box around a turned rectangle."""
    a = math.radians(degrees)
    c, n = abs(math.cos(a)), abs(math.sin(a))
    return width * c + height * n, width * n + height * c


def rendered(
    page: Page,
    page_map: PageMap,
    back: warp.Inverse,
    wear: damage.Wear | None,
    printer: Callable[[Image, float], Image] | None,
) -> tuple[Image, Image | None]:
    """The flat page as the map shows it, (h, w, 3), and where it is, alpha (h, w) or None when it fills the picture."""
    box = warp.seen_box_mm(back, page.width_mm, page.height_mm)
    inside = back.inner
    inside = inside[((inside >= 0) & (inside <= [page.width_mm, page.height_mm])).all(axis=1)]
    finest = float(np.quantile(page_map.px_per_mm(inside[:: max(len(inside) // 500, 1)]), 0.98)) if len(inside) else 8.0
    px_per_mm = float(np.clip(finest * _OVERSAMPLING, *_RASTER_PX_PER_MM))
    if printer is not None:
        px_per_mm = max(px_per_mm, 11.0)
    raster = render(page, px_per_mm, box)
    if printer is not None:
        raster = printer(raster, px_per_mm)
        finer = px_per_mm / max(finest, 1.0)
        if finer > 1.5:  # the dots must not beat with the resampling; the capture's own pixels may beat with them
            raster = np.asarray(cv2.GaussianBlur(raster, (0, 0), 0.4 * math.sqrt(finer**2 - 1)), np.uint8)
    cut = None
    if wear is not None:
        raster, cut = wear.applied(raster, px_per_mm, box)
    filled = back.inner
    whole = bool((filled >= 0).all() and (filled <= [page.width_mm, page.height_mm]).all())
    if whole and cut is None:
        return warp.warped(raster, px_per_mm, box[:2], back), None
    alpha = np.full(raster.shape[:2], 255, np.uint8) if cut is None else cut
    if cut is not None:
        raster = cv2.multiply(raster, cv2.merge([cut] * 3), scale=1 / 255)
    four = warp.warped(cv2.merge([*cv2.split(raster), alpha]), px_per_mm, box[:2], back)
    return np.ascontiguousarray(four[..., :3]), np.ascontiguousarray(four[..., 3])


def laid_on(image: Image, alpha: Image, ground: Image) -> Image:
    """The page (premultiplied with its alpha) over a background."""
    return np.asarray(cv2.add(image, cv2.multiply(ground, 255 - cv2.merge([alpha] * 3), scale=1 / 255)), np.uint8)


def resized(image: Image, page_map: PageMap, factor: float) -> tuple[Image, PageMap]:
    """Picture and map with ``factor`` times the pixels along each side."""
    height, width = image.shape[:2]
    w, h = max(round(width * factor), 16), max(round(height * factor), 16)
    if (w, h) == (width, height):
        return image, page_map
    fx, fy = w / width, h / height
    matrix: Matrix = np.array([[fx, 0, 0.5 * fx - 0.5], [0, fy, 0.5 * fy - 0.5], [0, 0, 1]])
    return optics.resized(image, w, h), page_map.after(matrix)


def subject_mm(page: Page) -> warp.Box:
    """The part of the page that holds the traces, x0, y0, x1, y1 mm, within the page."""
    panels = page.layout.panels
    if not panels:
        return 0.0, 0.0, page.width_mm, page.height_mm
    x0, x1 = min(p.x0_mm for p in panels) - 8, max(p.x1_mm for p in panels) + 4
    y0, y1 = min(p.baseline_mm for p in panels) - 14, max(p.baseline_mm for p in panels) + 12
    return max(x0, 0.0), max(y0, 0.0), min(x1, page.width_mm), min(y1, page.height_mm)


def between_boxes(box: warp.Box, page: Page, rng: np.random.Generator) -> warp.Box:
    """A part of the page somewhere between ``box`` and the traces alone: what somebody cut out."""
    x0, y0, x1, y1 = (a + (b - a) * float(rng.random()) for a, b in zip(box, subject_mm(page), strict=True))
    return x0, y0, x1, y1


def cropped(image: Image, page_map: PageMap, box_mm: warp.Box) -> tuple[Image, PageMap]:
    """The upright part of a picture around ``box_mm`` of the page, and its map; the whole picture when that is not in
    it."""
    x0, y0, x1, y1 = box_mm
    corners = page_map.to_px(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
    height, width = image.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(corners.min(axis=0)), 0, [width, height]))
    right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(axis=0)) + 1, 0, [width, height]))
    if right - left < 16 or bottom - top < 16:
        return image, page_map
    return part(image, page_map, left, top, right, bottom)


def part(image: Image, page_map: PageMap, left: int, top: int, right: int, bottom: int) -> tuple[Image, PageMap]:
    """The pixels of a picture from ``left`` and ``top`` to before ``right`` and ``bottom``, and their map."""
    shift: Matrix = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    return np.ascontiguousarray(image[top:bottom, left:right]), page_map.after(shift)


def framed(
    page: Page,
    rng: np.random.Generator,
    shape: warp.Shape,
    pose: warp.Pose,
    subject: warp.Box,
    crop: bool,
    px_per_mm: float,
) -> tuple[PageMap, tuple[int, int]]:
    """Map and (height, width) of a photo in which the subject fills the frame but for margins; a crop may cut into
    it."""
    size = np.array(turned_size(subject[2] - subject[0], subject[3] - subject[1], -pose.roll_deg)) * px_per_mm
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


def on_field(values: Field, grid: tuple[int, int]) -> Field:
    """A light field stretched to (rows, columns) of another."""
    return np.asarray(cv2.resize(values, (grid[1], grid[0]), interpolation=cv2.INTER_LINEAR), np.float32)
