"""The trace stage beside the network: peaks that leave the strip, and what is written where no line was seen."""

from __future__ import annotations

import numpy as np

from ecglift.models.strip import STRIP_PX, Strip
from ecglift.stages.trace import RowRead, _with_tall


def _read(y_mm: np.ndarray, px_per_mm: float) -> RowRead:
    n = len(y_mm)
    strip = Strip(np.zeros((STRIP_PX, n // 2, 3), np.uint8), 0.0, -STRIP_PX / px_per_mm / 2, px_per_mm)
    return RowRead(strip, strip.columns_mm(), y_mm, np.full(n, 0.1), np.ones(n), np.zeros((STRIP_PX, n), np.float32))


def _peak(x_mm: np.ndarray, height_mm: float, at_mm: float = 20.0) -> np.ndarray:
    return -height_mm * np.exp(-0.5 * ((x_mm - at_mm) / 0.8) ** 2)


def test_a_peak_beyond_the_strip_is_taken_from_the_taller_one() -> None:
    fine_mm, coarse_mm = (np.arange(n) / n * 40 for n in (640, 320))
    fine, coarse = _read(np.maximum(_peak(fine_mm, 45.0), -31.5), 8.0), _read(_peak(coarse_mm, 45.0), 4.0)
    mixed, taken = _with_tall(fine, coarse, 0.0)
    assert mixed.y_mm.min() < -43.0
    assert 0 < taken.sum() < 60
    np.testing.assert_array_equal(mixed.y_mm[~taken], fine.y_mm[~taken])


def test_another_row_that_the_taller_strip_follows_is_not_taken() -> None:
    fine_mm, coarse_mm = (np.arange(n) / n * 40 for n in (640, 320))
    fine = _read(_peak(fine_mm, 12.0), 8.0)
    coarse = _read(np.full(len(coarse_mm), -36.0), 4.0)
    mixed, taken = _with_tall(fine, coarse, 0.0)
    assert not taken.any()
    np.testing.assert_array_equal(mixed.y_mm, fine.y_mm)
