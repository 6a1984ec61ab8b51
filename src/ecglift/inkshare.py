"""Ink that several rows might have drawn, divided among them.

Every row is read by itself, and where rows overlap the network may give two of them the same complex. A line is drawn
once: what one row is surer of, the other one has elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Chances = NDArray[np.float32]

_REACH_PX: Final = 7
"""Rows of the sheet, 0.9 mm, within which two rows' chances are of the same ink: a pen's width and its blur."""

_SHARPNESS: Final = 2.0
"""Power of a row's share: of what is another row's to nine parts in ten, it keeps a hundredth."""

_LEAST_LEFT: Final = 0.15
"""Chances are made whole again after the division, unless less than this is left: then the line is not known."""


@dataclass(frozen=True)
class Claim:
    """Chances (h, w) that one row's line runs through the points of a lattice, whose first row and column have the
    numbers ``top`` and ``left`` on the sheet."""

    chances: Chances
    top: int
    left: int

    def pooled(self) -> Claim:
        """The same on a lattice of half the scale: two rows' chances add up, two columns' are averaged."""
        below, right = self.top % 2, self.left % 2
        height, width = self.chances.shape
        padded = np.pad(self.chances, ((below, (height + below) % 2), (right, (width + right) % 2)))
        pairs = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
        return Claim(pairs.sum(axis=1).mean(axis=2), self.top // 2, self.left // 2)


def divided(own: Claim, others: Sequence[Claim]) -> Chances | None:
    """``own`` chances after the other rows have taken what is rather theirs; None where nobody disputes them."""
    height, width = own.chances.shape
    rivals = np.zeros((height, width), np.float32)
    for other in others:
        down, right = other.top - own.top, other.left - own.left
        a, b = max(down, 0), min(down + other.chances.shape[0], height)
        c, d = max(right, 0), min(right + other.chances.shape[1], width)
        if a < b and c < d:
            rivals[a:b, c:d] += other.chances[a - down : b - down, c - right : d - right]
    reach = (1, _REACH_PX)
    mine, theirs = (cv2.boxFilter(p, -1, reach, borderType=cv2.BORDER_CONSTANT) for p in (own.chances, rivals))
    share = (mine + 1e-6) / (mine + theirs + 1e-6)
    if float((own.chances * (1 - share)).sum(axis=0).max(initial=0.0)) < 0.05:
        return None
    left = own.chances * share**_SHARPNESS
    return np.asarray(left / np.maximum(left.sum(axis=0), _LEAST_LEFT), np.float32)
