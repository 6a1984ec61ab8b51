"""From a picture to a map that is nearly right: the comb at a scale at which it is well seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.lattice.comb import Comb, find_combs, follow, integrate, tile_spectra
from ecglift.lattice.contrast import Lines, ink_contrast, reduced

Box = tuple[float, float, float, float]

IDEAL_PX_PER_MM: Final = 6.0
"""A tile of 256 px is then 43 mm wide: eight heavy lines, and small against a fold or a bend."""

MAX_PIXELS: Final = 4_000_000

CLEAR: Final = 5.0
"""Score of a comb that is certainly a grid's."""

_WORTHWHILE: Final = 1.3
_LARGEST: Final = 3.0
"""A sheet is looked at alone when that shows it so much larger, and enlarged so much at the most."""

_PICTURE_MM: Final = 450.0
_DOUBT: Final = 1.5
"""Longest side of a picture that is filled by its sheet, and the power with which combs count less beyond it."""


_AROUND_PX: Final = 64
_CLEAR_POWER: Final = 0.04
"""Where the mean square of the network's waves over 64 px is above this there is a grid; 0.6 where it is sure."""


@dataclass(frozen=True)
class Found:
    """``lines``: on the copy that was looked at; ``to_work``: 3×3, px of the image to px of the copy;
    ``page_map``: mm ↔ px of the copy, nearly right; ``region_px``: x0, y0, x1, y1 of the copy in which the comb was
    seen; ``score``: by how much the comb stands out where it is clearest: above 5 on pages with a grid, below 2.5 on
    others."""

    lines: Lines
    to_work: NDArray[np.float64]
    page_map: PageMap
    region_px: Box
    score: float


See = Callable[[NDArray[np.uint8], tuple[int, int]], Lines]
"""The lines of a picture (h, w, 3) uint8 on a copy of (width, height) pixels."""


def resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A copy of (width, height) pixels: averaged where it is smaller, interpolated where larger."""
    if picture.shape[1::-1] == size:
        return picture
    how = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def by_ink(picture: NDArray[np.uint8], size: tuple[int, int]) -> Lines:
    """All that is darker than the paper around it."""
    scale = size[0] / picture.shape[1]
    if scale <= 1:
        return Lines.of_ink(ink_contrast(resized(picture, size)))
    # Finer than the image: its ink is measured on its own pixels and only then interpolated.
    ink = cv2.resize(ink_contrast(picture, 2 * int(30 / scale) + 1), size, interpolation=cv2.INTER_CUBIC)
    return Lines.of_ink(np.asarray(ink, np.float32))


def find_lattice(
    image: NDArray[np.uint8], pixels: int, angle_deg: tuple[float, float] | None = None, see: See = by_ink
) -> Found | None:
    """The grid's coarse map in ``image`` (h, w, 3) uint8, searched on a copy of about ``pixels`` pixels and followed
    on one of the ideal scale; None when no comb is seen. ``angle_deg``: (rotation modulo 90, tolerance) when it is
    known; ``see``: how lines are told from the rest."""
    small, to_work = reduced(image, pixels)
    lines = see(small, (small.shape[1], small.shape[0]))
    tiles = tile_spectra(lines.both, lines.noise)
    combs = _plausible(find_combs(tiles, angle_deg), lines.shape)
    if not combs or combs[0][0].score < CLEAR:
        # A sheet that is small in its picture: once more on the sheet alone, larger.
        seen = waves_box(lines)
        back = 1 / to_work[0, 0], 1 / to_work[1, 1]
        x0, y0, x1, y1 = _joined(paper_box(image), seen and tuple(v * back[k % 2] for k, v in enumerate(seen)))
        factor = float(np.sqrt(pixels / max((x1 - x0) * (y1 - y0), 1.0)))
        if factor / to_work[0, 0] > _WORTHWHILE:
            larger, to_larger = _rescaled(image, np.eye(3), (x0, y0, x1, y1), min(factor, _LARGEST), see)
            again = tile_spectra(larger.both, larger.noise)
            found = _plausible(find_combs(again, angle_deg), larger.shape)
            if found and (not combs or found[0][0].score > combs[0][0].score):
                lines, to_work, tiles, combs = larger, to_larger, again, found
    if not combs:
        return None
    comb, row, column = combs[0]
    followed = follow(tiles, comb, row, column)
    scale = _scale(comb)
    region = _joined(followed.region_px(tiles), waves_box(lines))
    if 0.8 * IDEAL_PX_PER_MM < scale < 1.5 * IDEAL_PX_PER_MM:
        return Found(lines, to_work, integrate(tiles, followed), region, comb.score)
    factor = IDEAL_PX_PER_MM / scale
    area = (region[2] - region[0]) * (region[3] - region[1])
    factor = min(factor, float(np.sqrt(MAX_PIXELS / area)))
    lines, to_work = _rescaled(image, to_work, region, factor, see)
    tiles = tile_spectra(lines.both, lines.noise)
    combs = find_combs(tiles, (comb.rotation_deg, 8.0))
    # The same comb, where it is clearest: the page has not changed its scale by a third.
    alike = [c for c in combs if 0.7 < np.linalg.norm(c[0].u) * factor / np.linalg.norm(comb.u) < 1.4]
    if not alike:
        return None
    first = comb.score
    comb, row, column = alike[0]
    followed = follow(tiles, comb, row, column)
    region = _joined(followed.region_px(tiles), waves_box(lines))
    return Found(lines, to_work, integrate(tiles, followed), region, min(first, comb.score))


def waves_box(lines: Lines) -> Box | None:
    """x0, y0, x1, y1 px of all that holds clear waves, where ``lines`` are waves; None where there are none."""
    if lines.noise <= 0:
        return None
    power = [cv2.blur(np.square(waves), (_AROUND_PX, _AROUND_PX)) for waves in (lines.across, lines.down)]
    seen = np.minimum(*power) > _CLEAR_POWER
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return (float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])) if len(rows) else None


def _joined(a: Box, b: Box | None) -> Box:
    return a if b is None else (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def _scale(comb: Comb) -> float:
    """Pixels per mm of the picture in which the comb was seen."""
    return 0.2 / float(np.sqrt(np.linalg.norm(comb.u) * np.linalg.norm(comb.v)))


def _plausible(combs: list[tuple[Comb, int, int]], shape: tuple[int, ...]) -> list[tuple[Comb, int, int]]:
    """The combs by how likely they are a grid's: one by which the picture (h, w) shows far more than a sheet of paper
    is a screen's pixels, a weave or moiré."""
    weighed = []
    for comb, row, column in combs:
        beyond = max(float(np.log(max(shape) / _scale(comb) / _PICTURE_MM)), 0.0)
        weighed.append((replace(comb, score=comb.score * float(np.exp(-_DOUBT * beyond))), row, column))
    return sorted(weighed, key=lambda c: -c[0].score)


def paper_box(image: NDArray[np.uint8]) -> Box:
    """x0, y0, x1, y1 px of the largest bright piece of the picture."""
    height, width = image.shape[:2]
    bright, factor = _paper(image)
    if not bright.any():
        return 0.0, 0.0, width - 1.0, height - 1.0
    x, y, w, h = (v / factor for v in cv2.boundingRect(bright))
    return float(x), float(y), min(float(x + w), width - 1.0), min(float(y + h), height - 1.0)


def paper_px(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 2) px: points all over the largest bright piece of the picture, none where nothing is bright."""
    bright, factor = _paper(image)
    return np.asarray((np.argwhere(bright)[:, ::-1] + 0.5) / factor - 0.5, np.float64)


def _paper(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The largest bright piece of the picture, 1, on a copy whose longer side is 200 px, and the copy's scale."""
    height, width = image.shape[:2]
    factor = 200 / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    bright = cv2.morphologyEx((grey > 0.6 * np.percentile(grey, 90)).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    n, pieces, stats, _ = cv2.connectedComponentsWithStats(bright)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if n > 1 else 1
    return np.asarray(pieces == largest, np.uint8), factor


def _rescaled(
    image: NDArray[np.uint8], to_work: NDArray[np.float64], region: Box, factor: float, see: See
) -> tuple[Lines, NDArray[np.float64]]:
    """The lines of a part of the first copy (``region``, px) at ``factor`` times its scale, from the image's own
    pixels."""
    back = np.linalg.inv(to_work)
    x0, y0 = np.floor(back[:2, :2] @ np.array(region[:2]) + back[:2, 2]).astype(int)
    x1, y1 = np.ceil(back[:2, :2] @ np.array(region[2:]) + back[:2, 2]).astype(int) + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0])
    part = image[y0:y1, x0:x1]
    scale = to_work[0, 0] * factor
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    sx, sy = size[0] / part.shape[1], size[1] / part.shape[0]
    crop = np.array([[sx, 0, 0.5 * sx - 0.5 - sx * x0], [0, sy, 0.5 * sy - 0.5 - sy * y0], [0, 0, 1.0]])
    return see(part, size), crop
