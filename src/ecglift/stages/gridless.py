"""gridless: the map of a page whose grid a scanner, a fax or a photocopier has lost, from what is printed on it.

Columns last a known time, calibration pulses are 1 mV high: where both are read at a guessed scale, they tell the true
one. The page is laid flat at a few likely scales, read, measured, and the reading that agrees with itself is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.lattice.search import paper_box
from ecglift.paper import Layout
from ecglift.problem import StageError, fail
from ecglift.reading.marks import Pulse

STAGE: Final = "grid"

_LONG_SIDES_MM: Final = (285.0, 240.0, 205.0, 345.0)
"""Lengths of what is printed on, longest side: A4 and Letter, a cropped sheet, a strip, a wide roll."""

_FAX_PX_PER_MM: Final = ((8.04, 3.85), (8.04, 7.7))
"""Across and down, as ITU-T T.4 has them: faxes are where grids get lost."""

_TOTALS_S: Final[dict[int, tuple[float, ...]]] = {4: (10.0,), 2: (10.0, 5.0), 1: (10.0,)}
"""Seconds from the first column's start to the last one's end, by the number of columns."""

_NEAR: Final = 0.16
"""How far, in e-folds, a guessed scale may be from what the columns say."""

_AGREE: Final = 0.1
"""How far, in e-folds, scales from columns and from pulses may differ."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Marks:
    """What a reader saw on the sheet that a guessed map made: its layout with columns as measured, pulses, and how many
    of the names were read, 0 to 1."""

    layout: Layout
    pulses: tuple[Pulse, ...]
    named: float


Reader = Callable[[PageMap, Box], Marks]
"""Lays the picture flat within bounds (x0, y0, x1, y1 mm) of a map and reads it; StageError when there is nothing."""


def find_scale(image: NDArray[np.uint8], read: Reader) -> tuple[PageMap, Box]:
    """The map of a page without a grid, (h, w, 3) uint8, and the bounds of its paper; StageError "grid-not-found" when
    no ECG is read at any likely scale."""
    box = paper_box(image)
    angle = _turn_deg(image, box)
    best: tuple[float, float, float] | None = None
    longest = max(box[2] - box[0], box[3] - box[1])
    for scale in (*((longest / mm, longest / mm) for mm in _LONG_SIDES_MM), *_FAX_PX_PER_MM):
        for found in _measured(image, read, box, angle, *scale):
            if best is None or found[0] > best[0]:
                best = found
        if best is not None and best[0] > 0.8:
            break
    if best is None:
        raise fail(
            "grid-not-found",
            STAGE,
            "No ECG paper grid was found, nor lead names and columns to tell the scale by. If the page is an ECG, "
            "give its scale with px_per_mm (dots per inch / 25.4).",
        )
    page_map = _map(box, angle, best[1], best[2])
    return page_map, _bounds(page_map, box)


def _measured(
    image: NDArray[np.uint8], read: Reader, box: Box, angle: float, across: float, down: float
) -> Iterator[tuple[float, float, float]]:
    """(merit, px/mm across, px/mm down) of a guessed scale, corrected by what was read with it; nothing when that
    makes no sense."""
    aspect = down / across
    for _ in range(2):
        page_map = _map(box, angle, across, down)
        try:
            marks = read(page_map, _bounds(page_map, box))
        except StageError:
            return
        factor = _by_columns(marks.layout)
        if marks.named < 0.4 or factor is None:
            return
        tall = _by_pulses(marks)
        across *= factor
        # The print's own proportions are as guessed, or the guess is wrong: a pulse is measured to some per cent only.
        if tall is not None and abs(np.log(tall * down / (aspect * across))) > _AGREE:
            return
        down = aspect * across
    merit = marks.named * (1.0 if tall is not None else 0.8)
    yield merit, across, down


def _by_columns(layout: Layout) -> float | None:
    """What a scale must be multiplied with so that the columns last as long as they do on paper."""
    panels = [p for p in layout.panels if not p.rhythm] or list(layout.panels)
    n = max(p.column for p in panels) + 1
    total_mm = max(p.x1_mm for p in panels) - min(p.x0_mm for p in panels)
    ratios = [total_mm / (seconds * layout.speed_mm_s) for seconds in _TOTALS_S.get(n, ())]
    near = [ratio for ratio in ratios if abs(np.log(ratio)) < _NEAR]
    return min(near, key=lambda ratio: abs(np.log(ratio)), default=None)


def _by_pulses(marks: Marks) -> float | None:
    """What a scale must be multiplied with so that the pulses are 1 mV high."""
    if len(marks.pulses) < 1:
        return None
    return float(np.median([p.height_mm for p in marks.pulses])) / marks.layout.gain_mm_mv


def _map(box: Box, angle: float, across: float, down: float) -> PageMap:
    """The flat map whose origin is the middle of ``box`` (px), turned by ``angle`` degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return PageMap(np.array([[across * c, -down * s, x], [across * s, down * c, y], [0, 0, 1.0]]))


def _bounds(page_map: PageMap, box: Box) -> Box:
    corners = page_map.to_mm(np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _turn_deg(image: NDArray[np.uint8], box: Box) -> float:
    """The small turn, clockwise as seen, at which rows of ink are sharpest."""
    x0, y0, x1, y1 = (round(v) for v in box)
    grey = cv2.cvtColor(image[y0 : y1 + 1, x0 : x1 + 1], cv2.COLOR_RGB2GRAY)
    factor = min(1.0, 900 / max(grey.shape))
    small = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.float32)
    ink = np.clip(cv2.blur(small, (31, 31)) - small, 0, None)
    inner = ink[ink.shape[0] // 20 : -(ink.shape[0] // 20) or None, ink.shape[1] // 20 : -(ink.shape[1] // 20) or None]
    height, width = inner.shape

    def sharpness(degrees: float) -> float:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        rows = cv2.warpAffine(inner, turn, (width, height), flags=cv2.INTER_LINEAR).sum(axis=1)
        columns = cv2.warpAffine(inner, turn, (width, height), flags=cv2.INTER_LINEAR).sum(axis=0)
        return float(max(np.square(np.diff(rows)).sum() / height, np.square(np.diff(columns)).sum() / width))

    coarse = np.arange(-8, 8.01, 0.5)
    start = coarse[int(np.argmax([sharpness(v) for v in coarse]))]
    fine = start + np.arange(-0.5, 0.51, 0.05)
    return float(fine[int(np.argmax([sharpness(v) for v in fine]))])
