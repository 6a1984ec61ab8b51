"""The ink of a line tells where it begins and ends to some hundredths of a millimetre; its columns are moved there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.strip import RowRead, Strip
from ecglift.paper import Layout, Panel
from ecglift.reading.inkends import ink_ends, pen_width_mm
from ecglift.reading.marks import Pulse
from ecglift.stages.alignment import aligned

PX_PER_MM = 8.0
PEN_MM = 0.3
FS_HZ = 500.0
SAMPLE_MM = 25.0 / FS_HZ
SPEED_MM_S = 25.0
OFF = ((-0.15, 0.05), (0.1, -0.1), (0.0, 0.1), (0.15, -0.05), (-0.1, 0.0), (0.05, 0.15))
"""By how much the ink of six rows begins and ends beside where it should."""


def _drawn(pieces: list[tuple[float, float]], joined_mm: float = 0.0, grid_dark: float = 40.0) -> RowRead:
    """A row as the trace network sees it, on paper with a grid, whose pen goes over the pieces (first, last sample)."""
    scale = 8  # finer than the pixels, then averaged
    x = (np.arange(round(310 * PX_PER_MM) * scale) + 0.5) / (PX_PER_MM * scale) - 10.0
    y = (np.arange(96 * scale) + 0.5) / (PX_PER_MM * scale) - 6.0
    line = 0.5 * np.sin(x / 3.0)
    ink = np.zeros((len(y), len(x)), np.float32)
    for first, last in [*pieces, *([(pieces[0][0] - joined_mm, pieces[0][0])] if joined_mm else [])]:
        near = np.clip(x, first, last)
        rise = y[:, None] - np.interp(near, x, line)
        ink = np.maximum(ink, (np.hypot(rise, x - near) < PEN_MM / 2).astype(np.float32))
    ink = ink.reshape(96, scale, -1, scale).mean((1, 3))
    columns = np.arange(ink.shape[1]) / PX_PER_MM - 10.0
    grid = np.where(np.abs(columns - np.round(columns)) < 0.07, grid_dark, 0.0)[None, :]
    grey = 240.0 - np.maximum(grid, 200.0 * ink)
    # Centres of pixels: the first one's is half a pixel to the right of the picture's edge.
    half = 0.5 / PX_PER_MM
    strip = Strip(np.repeat(grey.astype(np.uint8)[..., None], 3, -1), -10.0 + half, -6.0 + half, PX_PER_MM)
    at = strip.columns_mm()
    reach = [(a - (0.0 if k else joined_mm), b) for k, (a, b) in enumerate(pieces)]
    seen = np.any([(at > a - 0.1) & (at < b + 0.1) for a, b in reach], axis=0)
    height = np.where(seen, np.interp(at, x, line), 3.0)
    return RowRead(
        strip, at, height, np.where(seen, 0.1, 9.0), np.where(seen, 0.98, 0.03), np.zeros((1, len(at)), np.float32)
    )


def _layout(x0_mm: float, length_mm: float, pitch_mm: float = 0.0, rows: int = 2, columns: int = 4) -> Layout:
    pitch = pitch_mm or length_mm
    panels = tuple(
        Panel("I", r, c, x0_mm + c * pitch, x0_mm + c * pitch + length_mm, 30.0 * r, c * pitch / SPEED_MM_S, 10.0)
        for r in range(rows)
        for c in range(columns)
    )
    return Layout("3x4", panels, SPEED_MM_S, 10.0)


def _spans(result: Layout) -> list[tuple[float, float]]:
    return [(p.x0_mm, p.x1_mm) for p in result.rows()[0]]


@pytest.fixture(scope="module")
def whole() -> RowRead:
    return _drawn([(3.317, 253.317 - SAMPLE_MM)])


def test_both_ends_reach_out_by_the_same_part_of_the_pens_width(whole: RowRead) -> None:
    [(start, end)] = ink_ends(whole, (3.5, 253.2))
    assert start is not None
    assert end is not None
    assert (start + end) / 2 == pytest.approx(128.317 - SAMPLE_MM / 2, abs=0.01)
    assert 3.317 - start == pytest.approx(0.4 * PEN_MM, abs=0.05)
    assert pen_width_mm([whole]) == pytest.approx(PEN_MM, abs=0.08)


def test_a_dark_line_of_the_grid_beside_an_end_is_not_ink() -> None:
    """The line at 3 mm is darker than half the stroke, whose round end comes near to it."""
    (pale, _), (dark, _) = (ink_ends(_drawn([(3.3, 253.2)], grid_dark=g), (3.3, 253.2))[0] for g in (40.0, 210.0))
    assert dark == pytest.approx(pale, abs=0.08)


def test_an_end_is_none_where_the_stroke_goes_on_or_the_picture_ends(whole: RowRead) -> None:
    assert ink_ends(_drawn([(3.3, 253.3)], joined_mm=4.0), (3.3, 253.3))[0][0] is None
    assert ink_ends(whole, (3.5, 120.0))[0][1] is None
    shown = replace(whole, presence=np.where(whole.x_mm < 253.4, whole.presence, 0.0))
    assert ink_ends(shown, (3.5, 253.2))[0][1] is None


@pytest.mark.parametrize("off_mm", [-0.28, 0.11, 0.45])
def test_columns_are_moved_to_the_ink(whole: RowRead, off_mm: float) -> None:
    result = aligned(_layout(3.317 + off_mm, 62.5), [whole] * 2, FS_HZ)
    assert np.array(_spans(result)) == pytest.approx(
        3.317 + 62.5 * np.array([[0, 1], [1, 2], [2, 3], [3, 4]]), abs=0.012
    )


def test_a_start_on_a_line_of_the_grid_stays_there() -> None:
    read = _drawn([(5.03, 255.03 - SAMPLE_MM)])
    thought = _layout(5.0, 62.5)
    assert _spans(aligned(thought, [read] * 2, FS_HZ)) == _spans(thought)
    # And one that was thought to be elsewhere comes to it.
    assert _spans(aligned(_layout(5.3, 62.5), [read] * 2, FS_HZ))[0][0] == 5.0


def test_a_pulse_that_is_joined_leaves_the_end_to_tell() -> None:
    read = _drawn([(3.317, 253.317 - SAMPLE_MM)], joined_mm=1.0)
    pulse = Pulse(-0.5, -5.0, 5.0, 10.0, 0.99)
    result = aligned(_layout(3.1, 62.5), [read] * 2, FS_HZ, [pulse])
    assert _spans(result)[0][0] == pytest.approx(3.317, abs=0.05)


def test_a_pulse_that_is_joined_to_the_end_tells_nothing() -> None:
    read, thought = _drawn([(3.317, 253.95)]), _layout(3.317, 62.5)
    pulse = Pulse(257.0, -5.0, 5.0, 10.0, 0.99)
    assert np.array(_spans(aligned(thought, [read] * 2, FS_HZ, [pulse]))) == pytest.approx(
        np.array(_spans(thought)), abs=0.05
    )
    assert np.abs(np.array(_spans(aligned(thought, [read] * 2, FS_HZ))) - np.array(_spans(thought))).max() > 0.1


def test_one_ragged_end_mends_most_of_what_a_start_is_off() -> None:
    """Torn off or joined to a pulse on the other side, and different on every row, it is still better than a guess."""
    reads = [_drawn([(3.317 + off, 253.317 - SAMPLE_MM)], joined_mm=4.0) for off, _ in OFF]
    pulse = Pulse(-0.5, -5.0, 5.0, 10.0, 0.99)
    result = aligned(_layout(3.517, 62.5, rows=len(OFF)), reads, FS_HZ, [pulse])
    assert _spans(result)[0][0] == pytest.approx(3.317, abs=0.09)


def test_columns_of_whole_seconds_stay_so_where_their_beginnings_are_faint() -> None:
    """Three lines that began 0.2 to 0.45 mm late had made ten seconds shorter, and begin 0.29 mm late."""
    reads = [_drawn([(3.317 + late, 253.317 - SAMPLE_MM)]) for late in (0.2, 0.2, 0.45)]
    first, last = _spans(aligned(_layout(3.2, 250.0, rows=3, columns=1), reads, FS_HZ))[0]
    assert last - first == pytest.approx(250.0, abs=0.01)
    assert first == pytest.approx(3.317, abs=0.15)


def test_rows_whose_ends_differ_begin_where_they_do_in_the_middle() -> None:
    reads = [_drawn([(3.317 + off, 253.317 - SAMPLE_MM + other)]) for off, other in OFF]
    result = aligned(_layout(3.1, 62.5, rows=len(OFF)), reads, FS_HZ)
    assert {p.x0_mm for p in result.panels if p.column == 0} == {_spans(result)[0][0]}
    assert _spans(result)[0][0] == pytest.approx(3.317, abs=0.05)


def test_rows_that_were_thought_to_begin_apart_begin_together(whole: RowRead) -> None:
    thought = _layout(3.317, 62.5, rows=3)
    ragged = tuple(replace(p, x0_mm=p.x0_mm + 0.6 * (p.row == 1 and p.column == 0)) for p in thought.panels)
    result = aligned(replace(thought, panels=ragged), [whole] * 3, FS_HZ)
    assert [row[0].x0_mm for row in result.rows()] == pytest.approx([3.317] * 3, abs=0.012)


def test_columns_of_no_round_length_are_as_long_as_the_ink() -> None:
    read = _drawn([(3.317, 259.85 - SAMPLE_MM)])
    result = aligned(_layout(3.1, 64.0), [read] * 2, FS_HZ)
    assert (_spans(result)[0][0], _spans(result)[-1][1]) == pytest.approx((3.317, 259.85), abs=0.06)


def test_gaps_between_columns_are_seen() -> None:
    """Columns that were thought to touch, 1.2 mm apart: each began up to 0.2 mm off."""
    pieces = [(3.3 + 63.7 * k, 3.3 + 63.7 * k + 62.5 - SAMPLE_MM) for k in range(4)]
    result = aligned(_layout(3.2, 63.4), [_drawn(pieces)] * 2, FS_HZ)
    assert np.array(_spans(result)) == pytest.approx(np.array([(a, a + 62.5) for a, _ in pieces]), abs=0.015)
    assert [p.start_s for p in result.rows()[0]] == pytest.approx([0.0, 2.5, 5.0, 7.5], abs=0.05)


def test_columns_with_gaps_are_known_by_their_ends_where_the_next_ones_begin_variously() -> None:
    """Names beside the second column's beginnings hid these: columns of 5 s had stayed 0.3 mm too long."""
    reads = [_drawn([(3.3, 128.3 - SAMPLE_MM), (132.3 + off, 257.3 - SAMPLE_MM)]) for off in (0.0, 0.4, -0.4)]
    result = aligned(_layout(3.1, 125.33, 129.04, rows=3, columns=2), reads, FS_HZ)
    assert np.array(_spans(result)) == pytest.approx(np.array([(3.3, 128.3), (132.3, 257.3)]), abs=0.03)


def test_a_pulses_foot_is_no_beginning_of_columns_with_gaps() -> None:
    """A real scan's columns, each behind a pulse of its own, had begun with the pulses, 1.5 mm early."""
    reads = [
        _drawn([(3.3, 103.3 - SAMPLE_MM), (112.8 + off, 212.8 - SAMPLE_MM)], joined_mm=1.5) for off in (0.0, 0.4, -0.4)
    ]
    thought = _layout(3.4, 100.0, 109.5, rows=3, columns=2)
    pulse = Pulse(-0.9, -5.0, 5.0, 10.0, 0.99)
    assert _spans(aligned(thought, reads, FS_HZ, [pulse]))[0][0] == pytest.approx(3.3, abs=0.12)


def test_a_pulse_that_is_joined_does_not_widen_columns_with_gaps() -> None:
    """Two columns of 5 s had become 5.08 s, and begun 1.5 mm early: 4 dB."""
    first, second = (13.1, 138.1), (143.3, 268.3)
    reads = [_drawn([(a, b - SAMPLE_MM) for a, b in (first, second)], joined_mm=1.5)] * 3
    thought = _layout(13.0, 125.6, 129.9, rows=3, columns=2)
    pulse = Pulse(9.1, -5.0, 5.0, 10.0, 0.99)
    result = aligned(thought, reads, FS_HZ, [pulse])
    assert np.array(_spans(result)) == pytest.approx(np.array([first, second]), abs=0.03)


def test_a_gap_that_would_make_columns_overlap_is_none() -> None:
    """Bars before one joint and letters after another: a colour scan of 30 dB began 0.4 mm late and read 23."""
    pieces = [(3.3, 128.6), (129.2, 253.3)]
    result = aligned(_layout(3.0, 125.0, columns=2), [_drawn(pieces)] * 2, FS_HZ)
    assert np.array(_spans(result)) == pytest.approx(np.array([(3.3, 128.3), (128.3, 253.3)]), abs=0.03)


def test_a_strip_that_ends_before_columns_with_gaps_begins_with_them() -> None:
    """It had kept a start half a millimetre off, and its lead lost 20 dB."""
    pieces = [(3.3 + 63.7 * k, 3.3 + 63.7 * k + 62.5 - SAMPLE_MM) for k in range(4)]
    columns = _layout(3.0, 63.4)
    strip = Panel("II", 2, 0, 3.0, 256.6, 60.0, 0.0, 10.0)
    thought = replace(columns, panels=(*columns.panels, strip))
    result = aligned(thought, [_drawn(pieces, joined_mm=6.0)] * 2 + [_drawn([(3.3, 240.0)], joined_mm=6.0)], FS_HZ)
    moved = result.panels[-1]
    assert moved.x0_mm == pytest.approx(_spans(result)[0][0])
    assert moved.x0_mm == pytest.approx(3.3, abs=0.02)


def test_a_low_rate_that_is_asked_for_is_not_what_was_printed(whole: RowRead) -> None:
    result = aligned(_layout(3.5, 62.5), [whole] * 2, 50.0)
    assert _spans(result)[0][0] == pytest.approx(3.317, abs=0.04)


def test_a_row_that_ends_early_moves_nothing(whole: RowRead) -> None:
    torn = _drawn([(3.317, 251.9)])
    thought = _layout(3.317, 62.5)
    assert aligned(thought, [torn] * 2, FS_HZ) == thought
    assert aligned(thought, [replace(whole, presence=0.0 * whole.presence)] * 2, FS_HZ) == thought


def test_rows_that_all_begin_sharply_at_one_place_begin_there_however_far_off() -> None:
    """A clean page of columns of 2.4 s was thought to begin 1.9 mm late, at its names: 14.5 dB became 10.5."""
    read = _drawn([(3.317, 243.317 - SAMPLE_MM)])
    result = aligned(_layout(5.2, 59.45, rows=3), [read] * 3, FS_HZ)
    assert (_spans(result)[0][0], _spans(result)[-1][1]) == pytest.approx((3.317, 243.317), abs=0.06)
    # A pulse that is joined to every line begins sharply, too.
    pulse = Pulse(2.5, -5.0, 5.0, 10.0, 0.99)
    thought = _layout(5.2, 59.45, rows=3)
    assert _spans(aligned(thought, [read] * 3, FS_HZ, [pulse])) == _spans(thought)


def test_a_sharp_start_makes_a_row_last_whole_seconds_whose_end_is_not_seen() -> None:
    """A scan whose rows leave the picture, thought to last 9.96 s from half a millimetre late on: 34 dB became 17."""
    shown = _drawn([(3.317, 270.0)])
    cut = replace(shown, presence=np.where(shown.x_mm < 256, shown.presence, 0.0))
    result = aligned(_layout(3.85, 248.95, rows=3, columns=1), [cut] * 3, FS_HZ)
    assert _spans(result)[0] == pytest.approx((3.317, 253.317), abs=0.08)
