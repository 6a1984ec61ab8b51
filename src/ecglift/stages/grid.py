"""grid: the map between the image's pixels and the paper's millimetres, from the printed grid itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.lattice.bends import Bends, Follow, followed
from ecglift.lattice.contrast import WORKING_PIXELS, Lines
from ecglift.lattice.lock import Lock, lock
from ecglift.lattice.offset import line_offset
from ecglift.lattice.orientation import Orientation
from ecglift.lattice.search import See, by_ink, find_lattice, paper_px, resized
from ecglift.pixels import darkest
from ecglift.problem import Problem, fail

GridKind = Literal["lines", "minor", "none"]
How = Literal["grid", "given", "page", "layout"]
Box = tuple[float, float, float, float]

DOUBTFUL: Final = 0.5
"""Confidence below which the page is marked."""

_HEAVY: Final = 0.02
"""Coherence of the 5 mm lines below which the page has none."""

_NOISE: Final = 0.02
"""Amplitude of the network's waves where it sees no grid."""

_MARGIN_MM: Final = 45.0
_PAPER_MM: Final = 120.0
_AROUND_MM: Final = 20.0
"""What is kept of the picture beyond the grid that was seen, for headers and footers; and of paper that clearly goes on
there, as where the grid is too faint to be seen in a part of it, with so much around it, where it may be in shadow."""


@dataclass(frozen=True)
class GridSettings:
    """``px_per_mm``: the scale, when the user knows it (no grid is needed then); ``dpi``: of the file, believed only
    when there is no grid."""

    px_per_mm: float | None = None
    dpi: float | None = None


@dataclass(frozen=True)
class Grid:
    """Where the paper's millimetres are in the image.

    ``map``: mm ↔ px of the original image; whole mm are grid lines, multiples of 5 mm the heavy ones. ``kind``: which
    lines were seen. ``px_per_mm``: (x, y), the grid's median. ``bounds_mm``: x0, y0, x1, y1 of the paper seen,
    ``grid_mm`` of the grid on it. ``how``: the scale is known from the grid, given, taken from the file's dpi, or from
    what is printed.
    ``confidence``: 0 to 1."""

    map: PageMap
    kind: GridKind
    px_per_mm: tuple[float, float]
    bounds_mm: Box
    grid_mm: Box
    how: How
    confidence: float
    problems: tuple[Problem, ...] = ()


def find_grid(
    image: NDArray[np.uint8],
    settings: GridSettings = GridSettings(),
    orientation: Orientation | None = None,
) -> Grid:
    """The grid of ``image`` (h, w, 3) uint8, estimated on a reduced copy to a few hundredths of a millimetre.

    Raises StageError "grid-not-found" when there is none and neither ``px_per_mm`` nor ``dpi`` is set.
    """
    if settings.px_per_mm is not None:
        return _flat(image, settings.px_per_mm, "given")
    angle = (orientation.rotation_deg, 4.0) if orientation is not None and orientation.confidence > 0.8 else None
    best: Grid | None = None
    for sight in _SIGHTS:
        grid = _seen_by(sight, image, angle)
        if grid is not None and (best is None or grid.confidence > best.confidence):
            best = grid
        if best is not None and best.confidence >= DOUBTFUL:
            break
    if (best is None or best.confidence <= DOUBTFUL) and (part := _sheet_in(image)) is not None:
        closer = _seen_by(_SIGHTS[0], image, angle, part)
        if closer is not None and (best is None or closer.confidence > best.confidence):
            best = closer
    return best or _without_grid(image, settings)


def _sheet_in(image: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """(rows, columns) of the picture that a bright sheet takes, where that is a small part of it: on the reduced copy
    of the whole picture the sheet's lines would be too fine, or pass for others."""
    height, width = image.shape[:2]
    small = _small_darkest(image)
    least, bright = cv2.threshold(cv2.GaussianBlur(small, (0, 0), 1.0), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    if count < 2 or least < _BRIGHT / 2:
        return None
    x, y, w, h, _ = (int(v) for v in stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()])
    if w * h > _SMALL_PART * _SMALL_PX**2 or min(w, h) < 8:
        return None
    a, b, c, d = y - 1, y + h + 1, x - 1, x + w + 1
    unit_y, unit_x = height / _SMALL_PX, width / _SMALL_PX
    return (
        slice(max(round(a * unit_y), 0), min(round(b * unit_y), height)),
        slice(max(round(c * unit_x), 0), min(round(d * unit_x), width)),
    )


def _small_darkest(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(_SMALL_PX, _SMALL_PX) the darkest channel of a small copy of the picture."""
    return darkest(np.asarray(cv2.resize(image, (_SMALL_PX, _SMALL_PX), interpolation=cv2.INTER_AREA), np.uint8))


def _seen_by(
    sight: _Sight,
    image: NDArray[np.uint8],
    angle: tuple[float, float] | None,
    part: tuple[slice, slice] | None = None,
) -> Grid | None:
    """The grid as one way of seeing its lines finds it, in ``part`` of the picture alone if that is given; None where
    it sees none or one that it cannot trust."""
    seen_px = image if part is None else image[part]
    found = find_lattice(seen_px, WORKING_PIXELS, angle, sight.see)
    if found is None or found.score < sight.score:
        return None
    locked = lock(found.lines, found.page_map, found.region_px, sight.follow)
    seen = _grid_cells(locked)
    confidence = _confidence(locked, sight)
    if seen.sum() < 12 or confidence < sight.confidence:
        return None
    to_image = np.linalg.inv(found.to_work).astype(np.float64)
    if part is not None:
        to_image = np.array([[1.0, 0, part[1].start], [0, 1.0, part[0].start], [0, 0, 1.0]]) @ to_image
    page_map = locked.page_map.after(to_image)
    grid_mm = _box_of(locked, seen)
    page_map = page_map.moved(*line_offset(image, page_map, grid_mm))
    residual_mm = float(np.sqrt(np.mean(np.sum(np.square(locked.spread_mm[seen]), -1))))
    if max(locked.heavy) < _HEAVY:
        # One family of lines only: a halftone screen looks like that. At this scale it cannot be told from a grid.
        if 0.5 * sum(page_map.px_per_mm(page_map.to_mm(np.array([image.shape[1] / 2, image.shape[0] / 2])))) < 6:
            return None
        confidence *= 0.5
    page_map = replace(page_map, residual_mm=residual_mm, confidence=confidence)
    x, y = np.meshgrid(np.linspace(grid_mm[0], grid_mm[2], 9), np.linspace(grid_mm[1], grid_mm[3], 9))
    scale = np.median(page_map.px_per_mm(np.stack([x, y], -1)), axis=(0, 1))
    problems: tuple[Problem, ...] = ()
    if confidence < DOUBTFUL:
        message = (
            "The grid is hard to see in parts of the page; compare the overlay with the page before using the numbers."
        )
        problems = (Problem("grid-uncertain", "grid", message),)
    bounds = _bounds(page_map, image, grid_mm)
    kind: GridKind = "lines" if max(locked.heavy) >= _HEAVY else "minor"
    return Grid(page_map, kind, (float(scale[0]), float(scale[1])), bounds, grid_mm, "grid", confidence, problems)


def by_network(picture: NDArray[np.uint8], size: tuple[int, int]) -> Lines:
    """The grid's lines alone, as the grid network sees them on a copy of (width, height) pixels."""
    from ecglift.models.gridlines import find_waves
    from ecglift.models.runtime import load

    copy = resized(picture, size)
    ink = by_ink(picture if size[0] > picture.shape[1] else copy, size).across
    waves = find_waves(copy, ink, load("gridlines"))
    return Lines(waves[0] + waves[1], waves[2] + waves[3], _NOISE, ink)


def bent_by_network(bends: Bends) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the cells of a sheet that is not flat are from a flat one, as the bend network says, and how far that may
    be off."""
    from ecglift.models import bend
    from ecglift.models.runtime import load

    return bend.followed(load("bend"), bends)


@dataclass(frozen=True)
class _Sight:
    """A way of seeing lines, and what its locks are worth. ``follow``: how what it sees of a bent sheet is followed;
    ``score``: comb contrast of the weakest grids that were read right; ``dim``, ``clear``: coherence of the 1 mm lines
    at which a lock is worthless and certain; ``confidence``: below which it is not used."""

    see: See
    follow: Follow
    score: float
    dim: float
    clear: float
    confidence: float


_SIGHTS: Final = (
    _Sight(by_network, bent_by_network, 0.4, 0.15, 0.5, 0.2),
    _Sight(by_ink, followed, 4.0, 0.3, 0.8, 0.5),
)
"""The network's waves, which stay below a score of 0.2 on pages without a grid; then all ink, for sheets that are
turned by nearly 45°, where the network does not know left to right from top to bottom. Of what ink finds on pages on
which the network has seen nothing, most is lines of text, a texture or moiré."""


def _confidence(locked: Lock, sight: _Sight) -> float:
    """That no part of the map is off by a square: sharp 1 mm lines in the page's mean, heavy lines where the map has
    them. Calibrated on the press."""
    sharp = np.clip((min(locked.light) - sight.dim) / (sight.clear - sight.dim), 0, 1)
    # Where no line is heavier than another, none can be in the wrong place.
    return float(sharp * (0.1 + 0.9 * locked.alignment if max(locked.heavy) >= _HEAVY else 1.0))


def _grid_cells(locked: Lock) -> NDArray[np.bool_]:
    """Cells (rows, columns) of the largest piece of the page in which the grid is seen where the map says."""
    good = (locked.strength > 0.35) & (np.abs(locked.error_mm).max(-1) < 0.3) & (locked.coverage > 0.3)
    closed = cv2.morphologyEx(good.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    closed = (
        cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), borderValue=0)
        if min(closed.shape) > 4
        else closed
    )
    n, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    if n < 2:
        return np.zeros(good.shape, bool)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _box_of(locked: Lock, seen: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    half = 2.5
    return (
        float(locked.x_mm[columns[0]] - half),
        float(locked.y_mm[rows[0]] - half),
        float(locked.x_mm[columns[-1]] + half),
        float(locked.y_mm[rows[-1]] + half),
    )


def _bounds(page_map: PageMap, image: NDArray[np.uint8], grid_mm: Box) -> Box:
    """The grid with a margin, or all of the paper where that is bright and goes on, as far as the image reaches."""
    height, width = image.shape[:2]
    inner, outer = np.array([grid_mm[:2], grid_mm[2:]]), np.array([[-1.0, -1.0], [1.0, 1.0]])
    wanted = inner + outer * _MARGIN_MM
    # All points of the paper, not the corners around it: in a picture taken from the side those lie far beyond.
    points = paper_px(image)
    paper = np.percentile(page_map.to_mm(points), [0.2, 99.8], axis=0) if len(points) else wanted
    paper = np.clip(paper + outer * _AROUND_MM, inner[0] - _PAPER_MM, inner[1] + _PAPER_MM)
    x, y = np.meshgrid(np.linspace(-0.5, width - 0.5, 33), np.linspace(-0.5, height - 0.5, 33))
    mm = page_map.to_mm(np.stack([x, y], -1))
    reach = np.stack([mm.min((0, 1)), mm.max((0, 1))])
    low = np.maximum(reach[0], np.minimum(wanted[0], paper[0]))
    high = np.minimum(reach[1], np.maximum(wanted[1], paper[1]))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


_SMALL_PX: Final = 96
_SMALL_PART: Final = 0.4
_BRIGHT: Final = 90
_LEAST_BRIGHT: Final = 0.08
"""Of a picture in which less than this share of the area is brighter, in every colour, than the first of 255, no sheet
is to be seen."""


def _flat(image: NDArray[np.uint8], px_per_mm: float, how: How, problems: tuple[Problem, ...] = ()) -> Grid:
    if not 0.5 <= px_per_mm <= 200:
        raise ValueError(f"px_per_mm must lie in 0.5 to 200, got {px_per_mm}")
    height, width = image.shape[:2]
    page_map = PageMap.scale(px_per_mm, (-0.5, -0.5))
    bounds = (0.0, 0.0, width / px_per_mm, height / px_per_mm)
    return Grid(page_map, "none", (px_per_mm, px_per_mm), bounds, bounds, how, 1.0 if how == "given" else 0.5, problems)


def _without_grid(image: NDArray[np.uint8], settings: GridSettings) -> Grid:
    """The scale from the file's dpi where that makes a sheet of paper; else the refusal, with its reason."""
    least = _small_darkest(image)
    # A sheet on a dark or colourful table is bright in a part of the picture; a monitor shows thin lines on black.
    if float(np.mean(least > _BRIGHT)) < _LEAST_BRIGHT:
        raise fail(
            "not-paper",
            "grid",
            "The picture is mostly dark and shows no ECG paper: a monitor? Give a scan or photo of the paper.",
        )
    if settings.dpi is not None:
        size_mm = np.array(image.shape[:2]) * 25.4 / settings.dpi
        white = float(np.mean(least > 0.8 * np.percentile(least, 90)))
        if 90 <= size_mm.max() <= 450 and size_mm.min() >= 20 and white > 0.6:
            message = f"No grid was found; the scale is from the file's {settings.dpi:g} dpi. Set px_per_mm if wrong."
            return _flat(image, settings.dpi / 25.4, "page", (Problem("scale-from-page", "grid", message),))
    raise fail(
        "grid-not-found",
        "grid",
        "No ECG paper grid was found. If the page has none, give its scale with px_per_mm (dots per inch / 25.4).",
    )
