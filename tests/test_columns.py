"""Columns along the time axis: measured to a pen's width, set to what devices print."""

from __future__ import annotations

import pytest

from ecglift.reading.columns import Columns, common_place, extents, fit_columns, nominal, together, within_rows
from ecglift.reading.hypotheses import RowView
from ecglift.reading.marks import Edge, Row


def test_columns_that_nearly_last_two_and_a_half_seconds_do() -> None:
    found = nominal(Columns(4, 17.31, 62.46, 62.46), 25.0)
    assert (found.pitch_mm, found.width_mm) == (62.5, 62.5)
    # The middle of the four stays where it was measured.
    assert found.start_mm(0) + 125.0 == pytest.approx(17.31 + 2 * 62.46)


def test_columns_near_a_heavy_line_begin_on_it() -> None:
    assert nominal(Columns(4, 15.12, 62.5, 62.5), 25.0).x0_mm == 15.0
    assert nominal(Columns(4, 15.42, 62.5, 62.5), 25.0).x0_mm == pytest.approx(15.42)


def test_a_gap_between_columns_stays() -> None:
    found = nominal(Columns(4, 6.3, 62.45, 61.9), 25.0)
    assert found.pitch_mm == 62.5
    assert found.width_mm == 61.9


def test_other_lengths_are_left_as_measured() -> None:
    measured = Columns(2, 15.1, 118.0, 118.0)
    assert nominal(measured, 25.0) is measured


def test_speed_decides_what_is_usual() -> None:
    assert nominal(Columns(4, 21.0, 125.4, 125.4), 50.0).pitch_mm == 125.0


def test_a_page_cut_off_in_its_last_column_has_columns_where_its_names_say() -> None:
    seen = ((15.0, 0.6), (77.5, 0.6), (134.4, 0.4), (140.1, 0.6), (202.4, 0.6))
    starts = tuple(Edge(x, chance) for x, chance in seen)
    row = Row(40.0, 14.8, 250.0, 235.0, 1.0)
    views = [RowView(row, starts, (Edge(250.2, 0.7),), ())] * 3
    names = [(k, 14.0 + 62.3 * k, 0.9) for k in range(4)]
    found = fit_columns(views, [0, 1, 2], 4, (14.9, 250.2), names)
    assert [found.start_mm(k) for k in range(4)] == pytest.approx([15.0, 77.5, 140.0, 202.5], abs=0.3)


def test_columns_fill_a_row_of_one_panel_that_lasts_whole_seconds() -> None:
    found = together({4: Columns(4, 15.4, 61.8, 61.8), 1: Columns(1, 15.1, 250.1, 250.1)}, 25.0)
    assert found[4] == Columns(4, 15.0, 62.5, 62.5)
    # Columns of 2.2 s beside a strip of 10 s are not the strip's.
    assert together({4: Columns(4, 15.0, 55.0, 55.0), 1: Columns(1, 15.0, 250.0, 250.0)}, 25.0)[4].pitch_mm == 55.0


def test_columns_as_long_together_as_a_row_of_one_panel_keep_the_gaps_between_them() -> None:
    """They were pushed together: the last of four began 5 mm early, 6 dB instead of 20."""
    found = together({4: Columns(4, -3.99, 64.1, 62.56), 1: Columns(1, -3.5, 249.9, 249.9)}, 50.0)[4]
    assert found == Columns(4, -3.99, 64.1, 62.5)


def test_the_place_on_which_most_agree_may_be_beside_the_middle() -> None:
    ends = [252.7, 252.8, 252.9, 257.0, 263.6, 265.2, 268.2]
    assert common_place(ends, 7, 0.5, 0.4) == pytest.approx(252.8)
    assert common_place(ends, 7, 0.5) is None


def test_a_torn_page_has_two_extents_to_try() -> None:
    whole = [RowView(Row(y, 25.0, 186.0, 161.0), (), (), ()) for y in (33.0, 50.0)]
    torn = [RowView(Row(y, 25.0, 150.0, 125.0), (), (), ()) for y in (88.0, 105.0, 125.0)]
    assert extents([*whole, *torn]) == ((25.0, 150.0), (25.0, 186.0))
    assert extents(torn) == ((25.0, 150.0),)


def _cut_rows(lefts_mm: list[float]) -> list[RowView]:
    """Rows of two columns of 125 mm from -14 mm on, of which the picture shows only what is right of ``lefts_mm``."""
    starts, ends = (Edge(111.0, 0.5),), (Edge(111.0, 0.5), Edge(236.0, 0.7))
    return [RowView(Row(20.0 * k, x, 236.0, 236.0 - x, 1.0), starts, ends, ()) for k, x in enumerate(lefts_mm)]


def test_a_column_that_the_picture_cuts_off_is_as_long_as_the_other() -> None:
    """A slanted edge cut six rows at six places: both columns were 3.7 mm too short, and their seconds misread."""
    views = _cut_rows([-12.7, -9.8, -6.5, -3.4, 0.2, 3.5])
    found = fit_columns(views, range(6), 2, (-5.0, 236.0))
    assert found.cut == (True, False)
    exact = nominal(found, 25.0)
    assert [exact.start_mm(0), exact.start_mm(1), exact.end_mm(1)] == pytest.approx([-14.0, 111.0, 236.0], abs=0.05)


def test_a_row_that_no_arrangement_has_does_not_stretch_the_others() -> None:
    """The feet of pulses in front of six rows made a seventh, and all began with the pulses: -3 dB instead of 24."""
    row = RowView(Row(40.0, 24.0, 152.6, 128.0, 1.0), (Edge(23.5, 0.6),), (Edge(152.7, 0.8),), ())
    feet = RowView(Row(170.0, 10.4, 94.4, 84.0, 1.0), (), (), ())
    assert extents([row] * 6 + [feet])[1] == pytest.approx((10.4, 152.7))
    assert within_rows((10.4, 152.7), [row] * 6) == pytest.approx((23.5, 152.7))
    # What the rows themselves reach nearly is left as it was found.
    assert within_rows((22.0, 152.7), [row] * 6) == (22.0, 152.7)
