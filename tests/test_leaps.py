"""Lines stay on their ink: a leap over blank paper is undone, a tall complex is not."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.leaps import without_leaps
from ecglift.models.strip import COLUMNS_PER_PX, line_of

ROWS, WIDTH = 512, 256
FLAT, FAR = 256, 100
AWAY = slice(240, 264)
"""Columns in which the network gives a fifth to the flat line and the rest to a far one."""


def _strip(inked: bool = True) -> NDArray[np.uint8]:
    """A flat line and, far above it, the tip of a neighbour's complex."""
    rgb = np.full((ROWS, WIDTH, 3), 245, np.uint8)
    if inked:
        cv2.line(rgb, (0, FLAT), (WIDTH, FLAT), (30, 30, 30), 3)
        cv2.line(rgb, (AWAY.start // 2, FAR), (AWAY.stop // 2, FAR), (30, 30, 30), 3)
    return rgb


def _chances() -> NDArray[np.float32]:
    p = np.full((ROWS, WIDTH * COLUMNS_PER_PX), 1e-6)
    p[FLAT] = 1.0
    p[FAR, AWAY], p[FLAT, AWAY] = 0.99, 0.01
    return np.log(p / p.sum(axis=0)).astype(np.float32)


def _read(rgb: NDArray[np.uint8], log_p: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, sigma = line_of(log_p)
    return y, without_leaps(rgb, log_p, y, sigma, np.ones(len(y), np.bool_))[0]


def test_a_leap_over_blank_paper_is_undone() -> None:
    before, after = _read(_strip(), _chances())
    assert np.abs(before[AWAY] - FAR).max() < 1
    assert np.abs(after - FLAT).max() < 1


def test_a_complex_drawn_up_there_stays() -> None:
    rgb = _strip()
    for column in (AWAY.start // 2, AWAY.stop // 2):
        cv2.line(rgb, (column, FLAT), (column, FAR), (30, 30, 30), 3)
    before, after = _read(rgb, _chances())
    assert np.array_equal(before, after)


def test_where_the_ink_cannot_be_seen_nothing_is_changed() -> None:
    before, after = _read(_strip(inked=False), _chances())
    assert np.array_equal(before, after)
