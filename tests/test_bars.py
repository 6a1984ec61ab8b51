"""Bars between columns are measured to a hundredth of a millimetre, and columns begin there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, WHOLE_NUMBERS, SheetMap
from ecglift.models.strip import RowRead, Strip
from ecglift.paper import Layout, Panel
from ecglift.reading.bars import Bar, find_bars
from ecglift.reading.joints import at_bars, by_bars
from ecglift.reading.marks import Pulse
from ecglift.sheet import Sheet

PX_PER_MM = 8.0
FINE = 8
"""Pages are drawn so much finer than their pixels, then averaged."""


def _page(bars: list[tuple[float, float]], trace_leans: float = 0.0, grid_dark: float = 60.0) -> tuple[SheetMap, Sheet]:
    """A sheet of 100 by 40 mm with a grid, a line at 20 mm whose complexes rise beside each bar, and bars (middle, half
    their height) on it; and the network's answer about it."""
    x = (np.arange(round(100 * PX_PER_MM) * FINE) + 0.5) / (PX_PER_MM * FINE)
    y = (np.arange(round(40 * PX_PER_MM) * FINE) + 0.5) / (PX_PER_MM * FINE)
    dark = np.where(np.abs(x / 5 - np.round(x / 5)) * 5 < 0.1, grid_dark, 0.0)[None, :].repeat(len(y), axis=0)
    dense = np.full((DENSE_CHANNELS, 40, 100), -6.0, np.float32)
    ink = (np.abs(y - 20) < 0.15)[:, None].repeat(len(x), axis=1)
    for middle, half in bars:
        near = np.abs(y - 20) < half
        ink[np.ix_(near, np.abs(x - middle) < 0.2)] = True
        dense[DENSE["separator"], round(20 - half) : round(20 + half), int(middle)] = 3.0
        if trace_leans:
            rise = (y > 16) & (y < 20)
            ink |= rise[:, None] & (np.abs(x - (middle + trace_leans * (20 - y)[:, None])) < 0.15)
    dark = np.where(ink, 200.0, dark).reshape(320, FINE, 800, FINE).mean((1, 3))
    rgb = np.repeat((240 - dark).astype(np.uint8)[..., None], 3, axis=2)
    origin = 0.5 / PX_PER_MM, 0.5 / PX_PER_MM
    sheet = Sheet(rgb, np.ones(rgb.shape[:2], np.bool_), origin, PX_PER_MM)
    return SheetMap(dense, np.zeros(WHOLE_NUMBERS, np.float32), 0.5, 0.5), sheet


@pytest.mark.parametrize("off_mm", [0.0, 0.13, 0.31, 0.5, 2.2])
def test_a_bar_is_measured_on_and_beside_lines_of_the_grid(off_mm: float) -> None:
    [bar] = find_bars(*_page([(40 + off_mm, 4.0)]))
    assert bar.x_mm == pytest.approx(40 + off_mm, abs=0.01)
    assert (bar.top_mm, bar.bottom_mm) == pytest.approx((16, 24), abs=1)


def test_a_complex_that_crosses_a_bar_does_not_move_it() -> None:
    [bar] = find_bars(*_page([(41.3, 4.0)], trace_leans=0.12))
    assert bar.x_mm == pytest.approx(41.3, abs=0.03)


def test_no_bar_is_one_whose_ink_is_not_seen() -> None:
    answer, sheet = _page([(41.3, 4.0)])
    blank = replace(sheet, rgb=np.full_like(sheet.rgb, 240))
    assert find_bars(answer, blank) == ()
    assert find_bars(*_page([(41.3, 4.0), (42.2, 4.0)])) == ()  # either may be it


def test_a_pulses_side_is_no_bar() -> None:
    answer, sheet = _page([(41.3, 4.0)])
    assert find_bars(answer, sheet, [Pulse(38.9, 14.0, 5.0, 10.0, 0.99)]) == ()
    assert find_bars(answer, sheet, [Pulse(30.0, 14.0, 5.0, 10.0, 0.99)])


def _layout(start: float, pitch: float, length: float, columns: int = 4) -> Layout:
    def panel(row: int, k: int) -> Panel:
        x0 = start + k * pitch
        return Panel("I", row, k, x0, x0 + length, 30.0 + 30 * row, k * length / 25.0, 10.0)

    panels = [panel(row, k) for row in range(3) for k in range(columns)]
    strip = Panel("II", 3, 0, start, start + (columns - 1) * pitch + length, 120.0, 0.0, 10.0, rhythm=True)
    return Layout("3x4+1", (*panels, strip), 25.0, 10.0)


def _bars(start: float, pitch: float, columns: tuple[int, ...] = (1, 2, 3), rows: int = 3) -> list[Bar]:
    return [Bar(start + pitch * k, 27.0 + 30 * row, 33.0 + 30 * row) for row in range(rows) for k in columns]


def _spans(layout: Layout, row: int = 0) -> list[tuple[float, float]]:
    return [(p.x0_mm, p.x1_mm) for p in layout.rows()[row]]


def test_columns_and_the_strip_below_move_to_the_bars() -> None:
    moved = at_bars(_layout(12.0, 62.5, 62.5), _bars(12.34, 62.5))
    assert np.array(_spans(moved)) == pytest.approx(np.array([(12.34 + 62.5 * k, 74.84 + 62.5 * k) for k in range(4)]))
    assert _spans(moved, 3) == [pytest.approx((12.34, 262.34))]


def test_an_odd_bar_and_too_few_move_nothing() -> None:
    thought = _layout(12.0, 62.5, 62.5)
    assert at_bars(thought, _bars(12.34, 62.5, (2,), rows=2)) == thought
    assert (
        at_bars(thought, [*_bars(12.3, 62.5, (1,), 1), *_bars(12.9, 62.5, (2,), 1), *_bars(11.8, 62.5, (3,), 1)])
        == thought
    )
    odd = [*_bars(12.34, 62.5), Bar(11.2, 27.0, 33.0)]
    assert _spans(at_bars(thought, odd))[0][0] == pytest.approx(12.34)


def test_bars_at_few_of_the_joints_move_nothing() -> None:
    """Letters and complexes pass for bars on sheets that have none."""
    thought = _layout(12.0, 62.5, 62.5)
    assert at_bars(thought, [*_bars(12.3, 62.5, (1,)), *_bars(12.3, 62.5, (2,), 1)]) == thought


def test_rows_of_one_panel_have_no_joints() -> None:
    single = _layout(12.0, 62.5, 62.5, columns=1)
    assert by_bars(single, _bars(12.3, 62.5, (0,))) is None
    assert at_bars(single, _bars(12.3, 62.5, (0,))) == single


def test_lines_that_run_through_leave_no_gap() -> None:
    """Columns of 63.5 mm were thought to end after 62.5, and a millimetre of each was lost."""
    x = np.arange(0.0, 300.0, 1 / 16)
    strip = Strip(np.zeros((1, 1, 3), np.uint8), 0.0, 0.0)
    for seen, length in ((1.0, 63.5), (0.0, 62.5)):
        presence = np.where((x - 12.34) % 63.5 < 62.5, 1.0, seen)
        read = RowRead(strip, x, np.zeros_like(x), np.full_like(x, 0.1), presence, np.zeros((1, len(x)), np.float32))
        moved = at_bars(_layout(11.6, 63.2, 63.2), _bars(12.34, 63.5), [read] * 4)
        assert _spans(moved)[1] == pytest.approx((12.34 + 63.5, 12.34 + 63.5 + length))


def test_bars_tell_gaps_that_nothing_else_showed() -> None:
    """Columns of 62.5 mm, 1 mm apart, that were thought to touch."""
    moved = at_bars(_layout(11.6, 63.2, 63.2), _bars(12.34, 63.5, (0, 1, 2, 3)))
    assert np.array(_spans(moved)) == pytest.approx(np.array([(12.34 + 63.5 * k, 74.84 + 63.5 * k) for k in range(4)]))
    assert [p.start_s for p in moved.rows()[0]] == pytest.approx([0.0, 2.5, 5.0, 7.5])


def test_a_start_on_a_heavy_line_of_the_grid_stays_there() -> None:
    thought = _layout(15.0, 62.5, 62.5)
    assert at_bars(thought, _bars(15.02, 62.5)) == thought
