"""What the beats of a lead say of each other."""

from __future__ import annotations

import numpy as np

from ecglift.interbeat import find_beats, told_by_others
from ecglift.interlead import complexes

PER_S = 400.0
PX_PER_MM = 8.0
ROWS = 512
TIMES_S = (0.5, 1.2, 2.0, 2.9, 3.5)
N = 1600


def lines_mm(strange: int | None = None) -> np.ndarray:
    """(2, n) heights of two leads over their zero lines; the ``strange`` beat is another one."""
    t = np.arange(N) / PER_S
    out = np.zeros((2, N))
    for k, at in enumerate(TIMES_S):
        sign = -1 if k == strange else 1
        out += sign * np.array([[6.0], [12.0]]) * np.exp(-0.5 * ((t - at) / 0.015) ** 2)
    return out


def beats_of(lines: np.ndarray):
    return find_beats(lines, complexes(lines / 10, PER_S), PER_S)


def chances(height_mm: np.ndarray, other_mm: float, beat: int, doubt: float) -> np.ndarray:
    """(rows, n) chances of a line, and with the chance ``doubt`` around a beat of one ``other_mm`` above it."""
    rows = np.arange(ROWS)[:, None]
    there = np.abs(np.arange(N) / PER_S - TIMES_S[beat]) < 0.05
    middle = ROWS / 2 - height_mm * PX_PER_MM
    p = sum(
        chance * np.exp(-0.5 * ((rows - middle + off * PX_PER_MM) / 2) ** 2)
        for chance, off in ((1 - doubt * there, 0.0), (doubt * there, other_mm))
    )
    return np.asarray(p / p.sum(axis=0), np.float32)


def test_a_beat_that_another_line_runs_through_is_as_the_others() -> None:
    lines = lines_mm()
    beats = beats_of(lines)
    assert np.allclose(np.array(beats.middles) / PER_S, TIMES_S, atol=0.01)
    p = chances(lines[1], 9.0, 2, 0.8)
    there = beats.around(2)
    assert abs(p[:, beats.middles[2]].argmax() - (ROWS / 2 - 21 * PX_PER_MM)) < 2
    others = told_by_others(p, np.full(N, ROWS / 2), beats, 2, PX_PER_MM)
    assert others is not None
    mended = (p[:, there] * others).argmax(axis=0)
    assert np.abs(mended - (ROWS / 2 - lines[1, there] * PX_PER_MM)).max() < 4


def test_heights_are_measured_from_zero_lines_that_wander() -> None:
    lines = lines_mm()
    wander = np.linspace(-5, 5, N)
    p = chances(lines[1] + wander, 9.0, 3, 0.8)
    others = told_by_others(p, ROWS / 2 - wander * PX_PER_MM, beats_of(lines), 3, PX_PER_MM)
    assert others is not None
    there = beats_of(lines).around(3)
    mended = (p[:, there] * others).argmax(axis=0)
    assert np.abs(mended - (ROWS / 2 - (lines[1] + wander)[there] * PX_PER_MM)).max() < 6


def test_a_beat_unlike_all_others_is_not_told_by_them() -> None:
    lines = lines_mm(strange=2)
    beats = beats_of(lines)
    assert told_by_others(chances(lines[1], 0.0, 2, 0.0), np.full(N, ROWS / 2), beats, 2, PX_PER_MM) is None
    assert told_by_others(chances(lines[1], 0.0, 1, 0.0), np.full(N, ROWS / 2), beats, 1, PX_PER_MM) is not None


def test_lines_without_complexes_have_no_beats() -> None:
    beats = find_beats(np.zeros((3, N)), np.zeros(N, np.bool_), PER_S)
    assert beats.middles == ()
    assert beats.weights.shape == (0, 0)
