"""What the crossing network is shown."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.models.crossing import CHANNELS, ROWS, Part, away_of, fit_of, ink_of, pooled, seen
from ecglift.models.strip import STRIP_PX


def part(top: int, row: int, width: int = 16) -> Part:
    """A row of which all columns are sure of one height."""
    chances = np.zeros((ROWS, width), np.float32)
    chances[row] = 1.0
    nothing = np.zeros_like(chances)
    return Part(chances, nothing, nothing, nothing, top)


def test_rows_are_added_up_and_columns_averaged() -> None:
    p = np.zeros((STRIP_PX, 4), np.float32)
    p[10, :] = 0.5
    p[11, :2] = 0.5
    assert pooled(p).shape == (ROWS, 2)
    assert pooled(p)[5].tolist() == [1.0, 0.5]


def test_each_row_sees_what_is_claimed_above_and_below_it() -> None:
    parts = [part(0, 100), part(40, 100), part(80, 100)]
    shown = seen(parts, [1])
    assert shown.shape == (1, CHANNELS, ROWS, 16)
    assert [int(shown[0, k, :, 3].argmax()) for k in range(3)] == [100, 60, 140]
    assert shown[0, :3].max() == pytest.approx(1.0, abs=1e-3)
    assert shown[0, :3].min() == pytest.approx(-1.0)
    first = seen(parts, [0])[0]
    assert first[1].max() == pytest.approx(-1.0)
    assert sorted(np.flatnonzero(first[2, :, 0] > 0)) == [140, 180]


@pytest.mark.parametrize("paper", [255, 120])
def test_ink_is_one_whatever_the_light(paper: int) -> None:
    light = np.linspace(0.85, 1.0, 96)[None, :, None]
    rgb = np.full((STRIP_PX, 96, 3), float(paper))
    rgb[200:208] = 0.25 * paper
    ink = ink_of((rgb * light).astype(np.uint8))
    assert ink.shape == (ROWS, 96)
    assert ink[101:103, 8:-8].min() > 0.6
    assert np.abs(ink[20:80]).max() < 0.1


def test_heights_that_nothing_is_said_of_fit_as_well_as_any() -> None:
    heights = np.arange(ROWS) / 4.0
    said = np.array([20.0, np.nan])
    fit = fit_of(heights, said, np.array([1.0, np.nan]))
    assert fit[80, 0] == 0
    assert fit[0, 0] == -1
    assert (fit[:, 1] == 0).all()


def test_heights_are_measured_from_the_zero_line() -> None:
    away = away_of(np.array([0.0, 16.0, 100.0]), np.array([0.0, 16.0]))
    np.testing.assert_allclose(away, [[0, -1], [1, 0], [2, 2]])
