"""Columns that show the same seconds, and columns that show one after the other."""

from dataclasses import replace

import numpy as np
import pytest

from ecglift.leads import LEADS
from ecglift.paper import TEMPLATES, Layout, Panel
from ecglift.press.patients import simulate
from ecglift.sheet import Trace
from ecglift.stages.starts import find_starts

FS = 500.0
COLUMN_MM = 120.0


def printed(
    together: bool, strip: bool, seed: int = 1, template: str = "6x2", column_mm: float = COLUMN_MM
) -> tuple[Layout, tuple[Trace, ...]]:
    """A sheet at 25 mm/s and 10 mm/mV, whose columns are read as beginning one after the other."""
    mv = simulate(np.random.default_rng(seed), FS).mv
    rows = TEMPLATES[template].rows
    end_mm = len(rows[0]) * column_mm
    x = np.arange(0.0, end_mm, 1 / 16)
    panels, traces = [], []

    def at(lead: str, seconds: np.ndarray) -> np.ndarray:
        return np.interp(seconds, np.arange(mv.shape[1]) / FS, mv[LEADS.index(lead)])

    for r, names in enumerate(rows):
        y = np.empty(len(x))
        for c, name in enumerate(names):
            mine = (x >= c * column_mm) & (x < (c + 1) * column_mm)
            seconds = (x[mine] - (c * column_mm if together else 0.0)) / 25.0
            y[mine] = 20.0 * r - 10.0 * at(name, seconds)
            ends = c * column_mm, (c + 1) * column_mm
            panels.append(Panel(name, r, c, *ends, 20.0 * r, c * column_mm / 25.0))
        traces.append(Trace(r, x, y, np.full(len(x), 0.02), np.ones(len(x))))
    if strip:
        r, y_mm = len(rows), 20.0 * len(rows)
        panels.append(Panel("II", r, 0, 0.0, end_mm, y_mm, 0.0, rhythm=True))
        traces.append(Trace(r, x, y_mm - 10.0 * at("II", x / 25.0), np.full(len(x), 0.02), np.ones(len(x))))
    return Layout(f"{template}+1" if strip else template, tuple(panels), 25.0), tuple(traces)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("together", [False, True])
def test_four_columns_start_together_if_the_strip_says_so(together: bool, seed: int) -> None:
    layout, traces = printed(together, True, seed, "3x4", 62.5)
    starts = {round(p.start_s, 3) for p in find_starts(layout, traces)[0].panels if not p.rhythm}
    assert starts == ({0.0} if together else {0.0, 2.5, 5.0, 7.5})
    # Without a strip two or three beats tell nothing.
    layout, traces = printed(together, False, seed, "3x4", 62.5)
    assert find_starts(layout, traces) == (layout, ())


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_columns_that_show_the_same_beats_start_together(together: bool, strip: bool) -> None:
    layout, traces = printed(together, strip)
    # Whatever was believed before, the lines are clearer.
    for before in (-2.0, 2.0):
        starts = {round(p.start_s, 3) for p in find_starts(layout, traces, before)[0].panels if not p.rhythm}
        assert starts == ({0.0} if together else {0.0, COLUMN_MM / 25.0})


def test_without_lines_what_was_seen_before_decides() -> None:
    layout, _ = printed(together=False, strip=False)
    assert find_starts(layout, (), 2.0) == (layout, ())
    flat = tuple(
        Trace(r, np.arange(0.0, 240.0, 0.1), np.full(2400, np.nan), np.ones(2400), np.zeros(2400)) for r in range(6)
    )
    assert find_starts(layout, flat, -2.0) == (layout, ())
    assert [p.code for p in find_starts(layout, flat, -1.0)[1]] == ["starts-uncertain"]
    assert {p.start_s for p in find_starts(layout, flat, 2.0)[0].panels} == {0.0}


def test_a_column_that_was_read_as_beginning_at_once_is_moved_behind_the_first() -> None:
    layout, traces = printed(together=False, strip=True)
    early = replace(layout, panels=tuple(replace(p, start_s=0.0) for p in layout.panels))
    late = [p.start_s for p in find_starts(early, traces)[0].panels if p.column == 1]
    assert late == pytest.approx([COLUMN_MM / 25.0] * 6)


@pytest.mark.parametrize(("jitter_mm", "spike_mm", "together"), [(0.0, 0.0, True), (0.3, 0.0, False), (0.0, 0.4, True)])
def test_beats_that_return_evenly_are_the_same_only_if_they_stand_equally_far_apart(
    jitter_mm: float, spike_mm: float, together: bool
) -> None:
    """A column of 120 mm and beats 20 mm apart: the second one's stand where the first one's do, but for what a heart
    varies by. A pacemaker's spikes, every second peak, may stand elsewhere."""
    x = np.arange(0.0, 2 * COLUMN_MM, 1 / 16)
    off = spike_mm * (np.arange(6) % 2) + jitter_mm * np.array([1.0, 0.8, -0.9, -0.8, 0.9, -1.0])
    beats = np.concatenate([20.0 * np.arange(6) + 8, COLUMN_MM + 20.0 * np.arange(6) + 8.2 + off])
    bump = np.exp(-0.5 * ((x[:, None] - beats) / 0.6) ** 2).sum(axis=1)
    layout, _ = printed(together=False, strip=False)
    traces = tuple(Trace(r, x, 20.0 * r - (4.0 + r) * bump, np.full(len(x), 0.02), np.ones(len(x))) for r in range(6))
    found = find_starts(layout, traces, -4.0)[0]
    assert ({p.start_s for p in found.panels} == {0.0}) == together
