"""Columns stand where their rows' lines begin and end, as far as that is seen alike on most rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.strip import RowRead, Strip
from ecglift.paper import Layout, Panel
from ecglift.reading.marks import Pulse
from ecglift.reading.runs import line_span
from ecglift.stages.ends import placed

STEP_MM = 1 / 16


def read(x0_mm: float, x1_mm: float, shown_to_mm: float = 400.0) -> RowRead:
    """A row whose line is seen from x0 to x1, with a guess of one on blank paper beyond, whose height is not known."""
    x = np.arange(-20.0, 300.0, STEP_MM) + STEP_MM / 2
    line = (x > x0_mm) & (x < x1_mm)
    presence = np.where(line, 0.98, np.where(x > x1_mm + 2, 0.7, 0.05)) * (x < shown_to_mm)
    sigma = np.where(line, 0.15, 9.0)
    strip = Strip(np.zeros((1, len(x) // 2, 3), np.uint8), float(x[0]), 0.0)
    return RowRead(strip, x, np.zeros(len(x)), sigma, presence, np.zeros((1, len(x)), np.float32))


def layout(x0_mm: float, width_mm: float, rows: int = 3, columns: int = 4) -> Layout:
    panels = tuple(
        Panel("I", r, c, x0_mm + c * width_mm, x0_mm + (c + 1) * width_mm, 30.0 * r, c * width_mm / 25.0, 10.0)
        for r in range(rows)
        for c in range(columns)
    )
    return Layout("3x4", panels, 25.0, 10.0)


def ends(result: Layout) -> tuple[float, float]:
    return min(p.x0_mm for p in result.panels), max(p.x1_mm for p in result.panels)


def test_a_line_is_where_its_height_is_known() -> None:
    assert line_span(read(10.0, 260.0)) == pytest.approx((10.0, 260.0), abs=0.1)
    # Where the picture ends, the line may go on.
    assert line_span(read(10.0, 260.0, shown_to_mm=259.9)) == (pytest.approx(10.0, abs=0.1), None)


@pytest.mark.parametrize("shift_mm", [-0.97, 0.9])
def test_columns_are_moved_to_the_lines(shift_mm: float) -> None:
    thought = layout(10.0 + shift_mm, 62.5)
    assert ends(placed(thought, [read(10.0, 260.0)] * 3)) == pytest.approx((10.0, 260.0), abs=0.15)


def test_what_is_nearly_right_stays() -> None:
    thought = layout(10.2, 62.5)
    assert placed(thought, [read(10.0, 260.0)] * 3) is thought


def test_columns_last_as_long_as_the_lines() -> None:
    result = placed(layout(10.0, 62.0), [read(10.2, 255.0)] * 3)
    assert ends(result) == pytest.approx((10.0, 255.0), abs=0.15)
    assert sorted({p.start_s for p in result.panels}) == pytest.approx([0.0, 2.45, 4.9, 7.35], abs=0.01)


def test_columns_of_whole_seconds_that_are_cut_off_stay() -> None:
    """A scanner's edge over the last two millimetres of every row: 29 dB became 5."""
    thought = layout(10.0, 62.5)
    assert placed(thought, [read(10.2, 257.5)] * 3) is thought


def test_a_last_column_that_is_shorter_does_not_squeeze_the_others() -> None:
    """A real sheet whose lines begin 0.9 mm late and end after 9.8 s, with columns of 2.5 s."""
    result = placed(layout(0.0, 62.5), [read(0.9, 245.5)] * 3)
    assert [p.x0_mm for p in result.panels[:4]] == pytest.approx([0.9, 63.4, 125.9, 188.4], abs=0.15)


def test_rows_that_begin_late_each_in_its_own_way_move_nothing() -> None:
    """A stain over the beginnings: a page of 30 dB became 20."""
    thought = layout(5.0, 62.5)
    assert placed(thought, [read(5.3, 254.6), read(6.4, 254.6), read(6.5, 254.5)]) is thought


def test_a_sheet_that_the_picture_cuts_short_on_both_sides_keeps_its_whole_seconds() -> None:
    """A scan whose six rows were seen from 0.6 mm after their start to 1.7 mm before their end: 12 dB fell to 4."""
    thought = layout(5.0, 125.0, rows=6, columns=2)
    reads = [read(x0, 253.3) for x0 in (5.6, 5.6, 5.6, 6.4, 5.7, 5.7)]
    assert placed(thought, reads) is thought


def test_a_glare_over_most_rows_ends_none() -> None:
    thought = layout(10.0, 62.5)
    assert placed(thought, [read(10.1, 257.0), read(10.1, 257.0), read(10.1, 260.0)]) is thought


def test_a_pulse_before_the_line_does_not_make_the_columns_longer() -> None:
    result = placed(layout(9.0, 62.5), [read(8.3, 260.0)] * 3)
    assert ends(result) == pytest.approx((10.0, 260.0), abs=0.15)


def test_a_row_that_reaches_out_to_its_label_begins_with_the_others() -> None:
    thought = layout(10.0, 250.0, columns=1)
    panels = (replace(thought.panels[0], x0_mm=5.5), *thought.panels[1:])
    result = placed(replace(thought, panels=panels), [read(10.1, 260.0)] * 3)
    assert [p.x0_mm for p in result.panels] == pytest.approx([10.0, 10.0, 10.0], abs=0.01)


def test_columns_touch_where_lines_run_through_their_gaps() -> None:
    apart = layout(10.0, 62.5)
    panels = tuple(replace(p, x1_mm=p.x1_mm - (1.6 if p.column < 3 else 0.0)) for p in apart.panels)
    result = placed(replace(apart, panels=panels), [read(10.0, 260.0)] * 3)
    assert [p.x1_mm for p in result.panels[:4]] == pytest.approx([72.5, 135.0, 197.5, 260.0], abs=0.01)
    assert [p.start_s for p in result.panels[:4]] == pytest.approx([0.0, 2.5, 5.0, 7.5], abs=0.01)


def test_gaps_that_are_blank_stay() -> None:
    apart = layout(10.0, 62.5)
    panels = tuple(replace(p, x1_mm=p.x1_mm - 1.6) for p in apart.panels)
    whole = read(10.0, 258.4)
    gap = np.zeros(len(whole.x_mm), bool)
    for x in (72.5, 135.0, 197.5):
        gap |= (whole.x_mm > x - 1.6) & (whole.x_mm < x)
    broken = replace(whole, presence=np.where(gap, 0.1, whole.presence))
    thought = replace(apart, panels=panels)
    assert placed(thought, [broken] * 3) is thought


def test_columns_that_begin_at_their_labels_begin_at_the_lines() -> None:
    result = placed(layout(10.0, 62.5), [read(15.0, 261.0)] * 3)
    assert ends(result) == pytest.approx((15.0, 261.0), abs=0.15)
    assert sorted({p.start_s for p in result.panels}) == pytest.approx([0.0, 2.46, 4.92, 7.38], abs=0.01)


def test_half_of_the_rows_will_do_where_they_last_whole_seconds() -> None:
    """Three of seven rows began at their labels, and the layout there, too: 8 dB instead of 16."""
    thought = layout(4.7, 127.7, rows=7, columns=2)
    plain, named = read(10.0, 259.9), read(2.3, 259.9)
    assert ends(placed(thought, [plain] * 4 + [named] * 3)) == pytest.approx((10.0, 260.0), abs=0.15)
    # Where they last no whole seconds, half is not enough.
    assert ends(placed(thought, [read(14.0, 259.9)] * 4 + [named] * 3)) == pytest.approx((4.7, 260.1), abs=0.01)


def test_some_rows_tell_where_the_others_end_in_a_stain() -> None:
    """Three of seven rows ended where they should, the layout 9 mm behind: 12 dB instead of 21."""
    thought = layout(3.3, 129.5, rows=7, columns=2)
    stained = (265.2, 252.7, 257.0, 268.2, 252.8, 252.9, 263.6)
    reads = [read(x0, x1) for x0, x1 in zip((4.6, 4.2, 4.1, 3.7, 3.5, 3.3, 3.1), stained, strict=True)]
    assert ends(placed(thought, reads)) == pytest.approx((3.3, 253.3), abs=0.1)


def test_a_row_begins_behind_the_pulse_that_it_was_thought_to_begin_with() -> None:
    """Pulses of 20 mm/mV that hung together were taken for the rows' start, 5 mm before it."""
    thought, reads = layout(22.7, 130.0, rows=6, columns=1), [read(22.7, 152.7)] * 6
    pulse = Pulse(24.0, 27.0, 3.7, 10.0, 0.6)
    assert ends(placed(thought, reads, [pulse])) == pytest.approx((27.7, 152.7), abs=0.1)
    assert placed(thought, reads) is thought
    # Rows of whole half seconds last as long as they seem to.
    whole, reads = layout(22.7, 125.0, rows=6, columns=1), [read(22.7, 147.7)] * 6
    assert placed(whole, reads, [pulse]) is whole


@pytest.mark.parametrize("bump_mm", [0.0, 2.0])
def test_columns_begin_behind_the_level_line_of_a_pulse(bump_mm: float) -> None:
    """Ten seconds at 12.5 mm/s behind 4 mm of foot; where that is not level, it is the lead's own line."""
    rows = [read(6.0, 135.0)] * 3
    rows = [replace(r, y_mm=np.where((r.x_mm > 7) & (r.x_mm < 8), bump_mm, r.y_mm)) for r in rows]
    thought = replace(layout(6.0, 64.5, columns=2), speed_mm_s=12.5)
    pulses = tuple(Pulse(4.7, 30.0 * r - 10.0, 2.5, 10.0, 0.9) for r in range(3))
    result = placed(thought, rows, pulses)
    if bump_mm:
        assert ends(result) == pytest.approx((6.0, 135.0), abs=0.2)
    else:
        assert [(p.x0_mm, p.x1_mm) for p in result.panels[:2]] == [
            pytest.approx((10.0, 72.5), abs=0.2),
            pytest.approx((72.5, 135.0), abs=0.2),
        ]
        assert result.panels[1].start_s == pytest.approx(5.0, abs=0.02)


def test_columns_begin_behind_a_pulse_and_its_level_line() -> None:
    """A photo of a screen: the row was thought to begin within its pulse, which 4 mm of foot followed: -1 dB."""
    thought = replace(layout(4.0, 64.9, columns=2), speed_mm_s=12.5)
    pulses = [Pulse(4.7, 30.0 * r - 10.0, 2.5, 10.0, 0.9) for r in range(3)]
    result = placed(thought, [read(4.0, 134.9)] * 3, pulses)
    assert ends(result) == pytest.approx((10.0, 135.0), abs=0.2)
    assert result.panels[1].start_s == pytest.approx(5.0, abs=0.02)


def test_gaps_are_no_line_behind_a_pulse() -> None:
    """Three gaps of 1.9 mm had passed for 6 mm of a pulse's foot, and four columns of 2.5 s become shorter: 0 dB."""
    columns = replace(_gapped(4.8, 64.5, 62.5), speed_mm_s=25.0)
    lines = [(4.8 + 64.5 * k, 67.3 + 64.5 * k) for k in range(4)]
    pulses = tuple(Pulse(2.3, 30.0 * r - 10.0, 5.0, 10.0, 0.9) for r in range(3))
    rows = [replace(r, y_mm=np.zeros(len(r.x_mm))) for r in [_pieces(*lines)] * 3]
    assert [p.x0_mm for p in placed(columns, rows, pulses).panels[:4]] == pytest.approx([a for a, _ in lines], abs=0.2)


def test_names_before_the_lines_are_not_their_beginning() -> None:
    """Names that stood in front of every line moved the second column by 5 mm: −1 dB instead of 25."""
    thought = layout(7.5, 129.8, rows=6, columns=2)
    assert ends(placed(thought, [read(15.2, 267.0)] * 6)) == pytest.approx((15.2, 267.1), abs=0.1)
    # One line that begins where it was thought to is enough.
    assert placed(thought, [read(15.2, 267.0)] * 5 + [read(7.6, 267.0)]) is thought


def test_lines_that_reach_out_on_both_sides_make_the_columns_longer() -> None:
    thought = layout(41.7, 123.9, rows=7, columns=2)
    assert ends(placed(thought, [read(41.25, 290.0)] * 7)) == pytest.approx((41.25, 290.1), abs=0.1)


def _gapped(x0_mm: float, pitch_mm: float, width_mm: float, columns: int = 4) -> Layout:
    panels = tuple(
        replace(p, x0_mm=x0_mm + p.column * pitch_mm, x1_mm=x0_mm + p.column * pitch_mm + width_mm)
        for p in layout(x0_mm, width_mm, columns=columns).panels
    )
    return Layout("3x4", panels, 25.0, 10.0)


def _pieces(*ends_mm: tuple[float, float]) -> RowRead:
    """A row whose line is seen between each two places."""
    whole = read(-19.0, 299.0)
    line = np.any([(whole.x_mm > a) & (whole.x_mm < b) for a, b in ends_mm], axis=0)
    return replace(whole, presence=np.where(line, 0.98, 0.05), sigma_mm=np.where(line, 0.15, 9.0))


def test_columns_that_stand_far_apart_are_put_where_their_own_lines_are() -> None:
    """Separators in wide gaps had stretched the columns by 3 mm and moved the last one by 5: −4 dB."""
    lines = [(10.0 + 73.2 * k, 71.3 + 73.2 * k) for k in range(4)]
    result = placed(_gapped(7.9, 72.1, 64.4), [_pieces(*lines)] * 3)
    assert [(p.x0_mm, p.x1_mm) for p in result.panels[:4]] == [pytest.approx(one, abs=0.2) for one in lines]
    assert result.panels[3].start_s == pytest.approx(3 * 61.3 / 25, abs=0.02)
    # What is nearly right is left to the ink.
    thought = _gapped(10.4, 73.2, 61.0)
    assert placed(thought, [_pieces(*lines)] * 3).panels[0].x0_mm == pytest.approx(10.4, abs=0.05)


def test_columns_that_were_thought_to_touch_are_put_where_their_own_lines_are() -> None:
    """Gaps of 8 mm between columns of 31 mm had not been seen, nor that the strip below ended before them: −3 dB."""
    lines = [(10.0 + 39.25 * k, 41.2 + 39.25 * k) for k in range(4)]
    thought = layout(10.0, 39.3)
    strip = Panel("II", 3, 0, 10.0, 167.0, 90.0, 0.0, 10.0, rhythm=True)
    thought = replace(thought, panels=(*thought.panels, strip), speed_mm_s=12.5)
    result = placed(thought, [*([_pieces(*lines)] * 3), read(10.0, 134.9)])
    assert [(p.x0_mm, p.x1_mm) for p in result.panels[:4]] == [pytest.approx(one, abs=0.2) for one in lines]
    assert result.panels[3].start_s == pytest.approx(7.5, abs=0.05)
    assert (result.panels[-1].x0_mm, result.panels[-1].x1_mm) == pytest.approx((10.0, 135.0), abs=0.2)


@pytest.mark.parametrize("begins_mm", [10.0, 3.0])
def test_strips_that_end_before_columns_with_gaps_last_their_own_seconds(begins_mm: float) -> None:
    """Ten seconds below columns of 2.5 s with gaps had been stretched to the columns' end, and the columns to both:
    −1 dB. A name in front of the strip may pass for its beginning."""
    lines = [(10.0 + 70.5 * k, 72.5 + 70.5 * k) for k in range(4)]
    columns = _gapped(10.0, 70.5, 62.5)
    strips = tuple(Panel("II", 3 + k, 0, 10.0, 284.0, 90.0 + 30.0 * k, 0.0, 10.0, rhythm=True) for k in range(2))
    thought = replace(columns, panels=(*columns.panels, *strips))
    result = placed(thought, [*([_pieces(*lines)] * 3), read(begins_mm, 259.9), read(10.0, 259.9)])
    assert [(p.x0_mm, p.x1_mm) for p in result.panels[-2:]] == [pytest.approx((10.0, 260.0), abs=0.2)] * 2
    assert result.panels[:-2] == columns.panels


def test_lines_that_all_begin_at_one_place_begin_there_wherever_the_picture_cuts_them_off() -> None:
    thought = layout(7.0, 243.0, columns=1)
    result = placed(thought, [read(10.0, 300.0, shown_to_mm=x) for x in (246.0, 248.0, 250.0)])
    assert ends(result) == pytest.approx((10.0, 250.0), abs=0.15)


def test_columns_of_whole_seconds_stay_where_some_lines_are_not_seen_to_their_ends() -> None:
    """Noise hid the first millimetres of most rows, a complex those of the second column: 15 dB became 6."""
    thought = _gapped(18.6, 126.7, 125.1, columns=2)
    first = (18.5, 21.2, 24.0)
    rows = [_pieces((x, 143.7), (148.4, 270.6)) for x in first]
    assert placed(thought, rows).panels[1].x0_mm == pytest.approx(145.3, abs=0.4)


def test_strips_begin_with_the_columns_behind_their_pulses() -> None:
    """A strip began with the pulse's foot, a quarter of a second early."""
    columns = layout(30.0, 31.25)
    strip = Panel("V1", 3, 0, 26.9, 155.0, 90.0, 0.0, 10.0, rhythm=True)
    thought = replace(columns, panels=(*columns.panels, strip), speed_mm_s=12.5)
    reads = [*[read(30.0, 155.0)] * 3, read(26.9, 155.0)]
    pulses = [Pulse(23.7, 20.0 + 30.0 * k, 2.6, 5.0, 0.6) for k in range(3)]
    assert placed(thought, reads, pulses).panels[-1].x0_mm == pytest.approx(30.0, abs=0.1)
    assert placed(thought, reads).panels[-1].x0_mm == pytest.approx(26.9, abs=0.1)
