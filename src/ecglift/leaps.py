"""A pen does not leap: a decoded line that goes up or down over blank paper is followed once more along the ink.

Where a line leaves the page or lies under a stain, the network may give its columns to a neighbour's complex, and the
path leaps there and back.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX, line_along, pieces_around
from ecglift.pixels import darkest

Floats = NDArray[np.float64]
Map = NDArray[np.float32]

_LEAP_PX: Final = 40.0
"""Blank paper between two columns of a line from which on it is a leap: 5 mm. Steep strokes that are faint in part
have up to 3 mm, leaps to a neighbour's complex 7 mm and more."""
_ON_INK: Final = 0.9
"""A line must stand on ink in that share of its columns; on a faded page there is no telling ink from blank paper."""
_INK_COST: Final = 0.005
_BLANK_COST: Final = 0.305
"""Cost in nats of moving by a pixel over ink and over blank paper."""
_PAPER_PX: Final = 31
_LEAST_DARK: Final = 2.0
_SURE: Final = 0.15
_LEAST_COLUMNS: Final = 100


def without_leaps(
    rgb: NDArray[np.uint8], log_p: Map, y_px: Floats, sigma_px: Floats, seen: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """(y, sigma), each (columns,) px, of a line without leaps over blank paper.

    ``rgb``: the strip (rows, columns / COLUMNS_PER_PX, 3); ``log_p``: (rows, columns); ``seen``: (columns,) where there
    is a line. What does not leap stays as it was.
    """
    rows = np.clip(np.round(y_px).astype(np.int64), 0, len(log_p) - 1)
    far = np.abs(np.diff(rows)) > _LEAP_PX
    if seen.sum() < _LEAST_COLUMNS or not (far & seen[1:] & seen[:-1]).any():
        return y_px, sigma_px
    blank = _blank(rgb, log_p)
    columns = np.arange(len(rows)) // COLUMNS_PER_PX
    if 1 - float(blank[rows, columns][seen].mean()) < _ON_INK:
        return y_px, sigma_px
    height = np.cumsum(blank, axis=0)
    leaps = np.abs(height[rows[1:], columns[1:]] - height[rows[:-1], columns[1:]]) > _LEAP_PX
    leaps = np.append(False, leaps & seen[1:] & seen[:-1])
    y_px, sigma_px = y_px.copy(), sigma_px.copy()
    for piece in pieces_around(leaps):
        cost = (_INK_COST + (_BLANK_COST - _INK_COST) * blank[:, columns[piece]]).astype(np.float32)
        y_px[piece], sigma_px[piece] = line_along(log_p[:, piece], cost)
    return y_px, sigma_px


def _blank(rgb: NDArray[np.uint8], log_p: Map) -> Map:
    """(rows, columns of the strip) 0 where there is ink as dark as under the line's sure columns, to 1 on paper."""
    least = darkest(rgb)
    dark = cv2.medianBlur(least, _PAPER_PX).astype(np.float32) - least
    dark = cv2.GaussianBlur(dark, (0, 0), 0.8)
    sure = np.flatnonzero(log_p.max(axis=0) > np.log(_SURE))
    if not len(sure):
        return np.zeros(dark.shape, np.float32)
    near = cv2.dilate(dark, np.ones((3, 3)))
    usual = max(float(np.percentile(near[log_p.argmax(axis=0)[sure], sure // COLUMNS_PER_PX], 30)), _LEAST_DARK)
    ink = np.clip((dark / usual - 0.15) / 0.45, 0, 1)
    return np.asarray(1 - cv2.dilate(ink, np.ones((5, 5))), np.float32)
