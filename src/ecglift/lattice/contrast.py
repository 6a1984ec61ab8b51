"""The grid's ink as one picture: dark on any paper, whatever its colour, with the trace held down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.pixels import darkest

WORKING_PIXELS: Final = 2_200_000
"""Size of the reduced copy: a page of 280 mm keeps about 6 px/mm, enough for the second harmonic of the 1 mm lines."""

CLIP: Final = 2.0
"""The trace is many times darker than the grid; beyond this many local deviations it counts no more than a line."""


@dataclass(frozen=True)
class Contrast:
    """A reduced picture of the ink: ``ink`` (h, w) float32, 0 on paper, about 1 on grid lines, never above
    :data:`CLIP`.

    ``to_work``: 3×3, pixels of the original image to pixels of ``ink`` (pixel centres at whole numbers in both).
    """

    ink: NDArray[np.float32]
    to_work: NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """The grid's lines as pictures (h, w) float32, about 1 on a line: ``across`` those that follow each other from
    left to right, ``down`` from top to bottom. The ink of a page is both at once. ``noise``: amplitude of waves in
    them that say nothing; ``ink``: what else may be asked about the lines' places, all that is dark on the page."""

    across: NDArray[np.float32]
    down: NDArray[np.float32]
    noise: float = 0.0
    ink: NDArray[np.float32] | None = None

    @classmethod
    def of_ink(cls, ink: NDArray[np.float32]) -> Lines:
        return cls(ink, ink)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)"""
        return self.across.shape[0], self.across.shape[1]

    @property
    def both(self) -> NDArray[np.float32]:
        """One picture of all lines."""
        return self.across if self.across is self.down else self.across + self.down


def reduced(image: NDArray[np.uint8], pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A copy of ``image`` (h, w, 3) with at most ``pixels`` pixels, averaged over area, and the 3×3 map from its
    pixels to the copy's."""
    height, width = image.shape[:2]
    factor = min(1.0, float(np.sqrt(pixels / (height * width))))
    if factor < 1.0:
        # Averaging over whole pixels makes no moiré and is several times as fast; up to a fifth more pixels are worth
        # it.
        whole = max(int(np.floor(1.1 / factor)), 1)
        factor = 1.0 / whole if whole > 1 and (height * width) / whole**2 <= 1.25 * pixels else factor
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small = image if size == (width, height) else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    sx, sy = size[0] / width, size[1] / height
    return small.astype(np.uint8, copy=False), np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1.0]])


def ink_contrast(rgb: NDArray[np.uint8], window_px: int = 61) -> NDArray[np.float32]:
    """Darkness of lines (h, w) float32 relative to the paper around, in local deviations, clipped to ±:data:`CLIP`.

    Of the three channels the darkest is taken."""
    least = darkest(rgb).astype(np.float32)
    window = (window_px, window_px)
    ink = cv2.blur(least, window, borderType=cv2.BORDER_REFLECT_101) - least
    for _ in range(3):
        # Clipping and measuring again: a few dark strokes must not set the scale for thousands of faint lines.
        # Running sums can end a hair below zero.
        spread = np.sqrt(np.maximum(cv2.blur(ink * ink, window, borderType=cv2.BORDER_REFLECT_101), 0.0))
        floor = max(0.3 * float(np.median(spread[::8, ::8])), 0.25)
        ink = np.clip(ink, -CLIP * (spread + floor), CLIP * (spread + floor))
    return np.asarray(ink / (spread + floor), np.float32)


def find_contrast(image: NDArray[np.uint8], pixels: int = WORKING_PIXELS) -> Contrast:
    """The ink of ``image`` (h, w, 3) uint8 on a reduced copy of at most about ``pixels`` pixels."""
    small, to_work = reduced(image, pixels)
    return Contrast(ink_contrast(small), to_work)
