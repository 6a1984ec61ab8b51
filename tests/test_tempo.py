"""The paper speed from the lines themselves: when it overrules, when it only warns, when it is silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.tempo import BANDS, EDGES_PER_MM, FEATURES, LAGS_MM, features
from ecglift.paper import Layout, Panel
from ecglift.press.patients import simulate
from ecglift.sheet import Trace
from ecglift.stages.tempo import _runs, at_speed, find_tempo

STEP_MM = 1 / 16


def printed(speed_mm_s: float, said_mm_s: float = 25.0, seed: int = 0) -> tuple[Layout, tuple[Trace, ...]]:
    """A sheet of 12x1 at ``speed_mm_s`` that is taken for one at ``said_mm_s``, and its traces."""
    mv = simulate(np.random.default_rng(seed), fs_hz=500.0).mv
    x_mm = np.arange(int(min(9.9 * speed_mm_s, 240.0) / STEP_MM)) * STEP_MM
    panels, traces = [], []
    for row in range(12):
        panels.append(Panel("V1", row, 0, 0.0, float(x_mm[-1]), 20.0 * row))
        y = 20.0 * row - 10 * np.interp(x_mm / speed_mm_s * 500, np.arange(mv.shape[1]), mv[row])
        traces.append(Trace(row, x_mm, y, np.full(len(y), 0.1), np.ones(len(y))))
    return Layout("12x1", tuple(panels), said_mm_s), tuple(traces)


@pytest.mark.parametrize("speed_mm_s", [12.5, 25.0, 50.0])
def test_speeds_are_mostly_told_from_the_lines(speed_mm_s: float) -> None:
    found = [find_tempo(*printed(speed_mm_s, seed=seed)) for seed in range(12)]
    right = sum((12.5, 25.0, 50.0)[int(np.argmax(tempo.log_p))] == speed_mm_s for tempo in found)
    assert right >= 9
    if speed_mm_s == 25.0:
        assert all(tempo.layout.speed_mm_s == 25.0 for tempo in found)
        assert not any(tempo.problems for tempo in found)
    else:
        assert sum(tempo.layout.speed_mm_s == speed_mm_s for tempo in found) >= 6


def test_another_speed_moves_the_columns_in_time_and_is_said() -> None:
    layout, traces = next(
        sheet for sheet in (printed(50.0, seed=seed) for seed in range(12)) if find_tempo(*sheet).problems
    )
    late = replace(layout, panels=(*layout.panels[:-1], replace(layout.panels[-1], start_s=2.5)))
    tempo = find_tempo(late, traces)
    assert [problem.code for problem in tempo.problems] == ["speed-guessed"]
    assert (tempo.layout.speed_mm_s, tempo.layout.speed_how) == (50.0, "assumed")
    assert tempo.layout.panels[-1].start_s == 1.25
    printed_speed = find_tempo(replace(late, speed_how="printed"), traces)
    assert printed_speed.layout.speed_mm_s == 25.0
    assert {problem.code for problem in printed_speed.problems} <= {"speed-conflict"}
    # Print that may be misread gives way to clear lines, clear print does not.
    unclear, clear = (-12.0, -4.0, 0.0), (-12.0, 0.0, -12.0)
    fast = replace(layout, speed_mm_s=50.0, speed_how="printed")
    assert find_tempo(replace(late, speed_how="printed"), traces, clear).layout.speed_mm_s == 25.0
    assert find_tempo(fast, traces, unclear).layout.speed_mm_s == 50.0
    slow = replace(layout, speed_mm_s=25.0, speed_how="printed")
    assert find_tempo(slow, traces, (-12.0, 1.0, 0.0)).layout.speed_mm_s == 50.0
    told = find_tempo(replace(late, speed_how="given"), traces)
    assert (told.layout.speed_mm_s, told.log_p, told.problems) == (25.0, (), ())


def test_speed_there_and_back_is_the_same() -> None:
    layout, _ = printed(25.0)
    assert at_speed(at_speed(layout, 50.0), 25.0) == layout


def test_features_know_no_gain_and_no_place_and_no_step() -> None:
    x_mm = np.arange(0, 100, STEP_MM)
    line = np.sin(2 * np.pi * x_mm / 3.3) + 0.2 * np.sin(2 * np.pi * x_mm / 0.9)
    one, two = features([line], [line], STEP_MM), features([5 - 3 * line], [5 - 3 * line], STEP_MM)
    assert one is not None
    assert two is not None
    assert one.shape == (FEATURES,)
    np.testing.assert_allclose(one, two, atol=1e-5)
    # Most of the steepness of 0.2 mm at 0.9 mm and of 1 mm at 3.3 mm is in these two bands.
    top = np.argsort(one[:BANDS])[-2:]
    assert set(top) == {int(np.searchsorted(EDGES_PER_MM, 1 / wave)) - 1 for wave in (3.3, 0.9)}
    coarse = features([line[::2]], [line[::2]], 2 * STEP_MM)
    assert coarse is not None
    np.testing.assert_allclose(np.sort(coarse[:BANDS])[-2:], np.sort(one[:BANDS])[-2:], atol=0.1)


def test_beats_return_after_as_many_mm_as_they_are_apart() -> None:
    x_mm = np.arange(0, 250, STEP_MM)
    beats = 8 * np.exp(-0.5 * np.square(((x_mm % 24.0) - 9) / 0.4))
    beats[:700] = np.nan
    seen = features([beats], [beats, beats[:900]], STEP_MM)
    assert seen is not None
    returns = seen[BANDS:]
    beat, half = (returns[np.argmin(np.abs(LAGS_MM - lag))] for lag in (24, 16))
    assert beat > half + 0.4
    # As far as no line reaches, nothing is said.
    short = features([beats[700:1500]], [beats[700:1500]], STEP_MM)
    assert short is not None
    assert (short[BANDS:][LAGS_MM > 50] == 0).all()


def test_columns_recorded_together_are_lines_of_their_own() -> None:
    layout, traces = printed(25.0)
    panel, half = layout.panels[0], traces[0].x_mm[-1] / 2
    first = replace(panel, x1_mm=half)
    ways = {}
    for start_s in (0.0, half / 25.0):
        after = replace(panel, column=1, x0_mm=half, start_s=start_s)
        ways[start_s] = _runs(replace(layout, panels=(first, after)), {0: traces[0]})
    assert [len(runs) for runs in ways.values()] == [2, 1]
    assert len(ways[half / 25.0][0]) == len(traces[0].x_mm)


def test_too_little_of_a_line_says_nothing() -> None:
    line = np.sin(np.arange(1000) / 7.0)
    line[::200] = np.nan
    assert features([line], [line], STEP_MM) is None
    assert features([np.zeros(1000)], [np.zeros(1000)], STEP_MM) is None
    assert features([], [], STEP_MM) is None
    layout, _ = printed(25.0)
    assert find_tempo(layout, ()).log_p == ()
