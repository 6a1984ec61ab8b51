"""Strokes along which the trace network cannot tell where the line turns reach further than the middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX, RowRead, Strip
from ecglift.reach import stretch, stretched

_COLUMNS = 400
_AT = slice(190, 206)


def _read(top_mm: float, bottom_mm: float) -> RowRead:
    """A level line at 0 mm and, in 16 columns, a complex whose chances are alike from ``top_mm`` to ``bottom_mm``."""
    strip = Strip(np.full((STRIP_PX, _COLUMNS // COLUMNS_PER_PX, 3), 255, np.uint8), 0.0, -STRIP_PX / 16, 8.0)
    rows_mm = strip.rows_mm(np.arange(STRIP_PX, dtype=float))[:, None]
    p = np.where(np.abs(rows_mm) < 0.2, 1.0, 1e-7).repeat(_COLUMNS, axis=1)
    p[:, _AT] = np.where((rows_mm > top_mm) & (rows_mm < bottom_mm), 1.0, 1e-7)
    p /= p.sum(axis=0)
    y_mm = (p * rows_mm).sum(axis=0)
    sigma_mm = np.sqrt((p * (rows_mm - y_mm) ** 2).sum(axis=0))
    return RowRead(strip, strip.columns_mm(), y_mm, sigma_mm, np.ones(_COLUMNS), np.log(p).astype(np.float32))


def test_a_stroke_read_in_its_middle_reaches_further() -> None:
    """Chest leads of six rows that made one stroke were read at 0.4 of their height."""
    read = _read(-24.0, 0.4)
    everywhere = np.ones(_COLUMNS, np.bool_)
    line = stretched(read, read.y_mm, everywhere)
    before, after = -read.y_mm[_AT].min(), -line[_AT].min()
    assert before == pytest.approx(11.8, abs=0.2)
    assert 1.15 * before < after < 24.0
    outside = np.ones(_COLUMNS, np.bool_)
    outside[_AT] = False
    np.testing.assert_allclose(line[outside], read.y_mm[outside], atol=1e-9)
    # Only where it is asked to, and nothing that is sure.
    np.testing.assert_array_equal(stretched(read, read.y_mm, ~everywhere), read.y_mm)
    sure = replace(read, sigma_mm=np.full(_COLUMNS, 0.1))
    np.testing.assert_array_equal(stretched(sure, read.y_mm, everywhere), read.y_mm)


def test_a_stroke_on_both_sides_is_stretched_on_the_open_one() -> None:
    read = _read(-24.0, 6.0)
    y_mm = read.y_mm.copy()
    y_mm[198:206] = 5.4
    line = stretched(read, y_mm, np.ones(_COLUMNS, np.bool_))
    assert line.min() < y_mm.min() - 1
    assert line.max() == pytest.approx(5.4)


def test_unknown_stays_unknown() -> None:
    read = _read(-24.0, 0.4)
    gone = np.full(_COLUMNS, np.nan)
    np.testing.assert_array_equal(stretched(read, gone, np.ones(_COLUMNS, np.bool_)), gone)


def test_short_strokes_are_let_be() -> None:
    assert stretch(4.0, 3.0) == 0.0
    assert 0 < stretch(8.0, 10.0) < stretch(16.0, 10.0) < stretch(16.0, 20.0) <= 1
