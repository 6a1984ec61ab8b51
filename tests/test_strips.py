"""Rhythm strips are named by what they show, and only when that is clear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.leads import LEADS
from ecglift.paper import Layout, Panel
from ecglift.press.patients import simulate
from ecglift.sheet import Trace
from ecglift.stages.strips import find_strips

STEP_MM = 1 / 16
MV = simulate(np.random.default_rng(3), fs_hz=500.0).mv


def printed(strip: str, named: str, noise_mm: float = 0.1) -> tuple[Layout, tuple[Trace, ...]]:
    """3x4+1 at 25 mm/s whose strip shows ``strip`` and is named ``named``."""
    rng = np.random.default_rng(1)
    x = 10 + np.arange(4000) * STEP_MM
    panels, traces = [], []
    for row in range(4):
        leads = [LEADS[3 * column + row] for column in range(4)] if row < 3 else [strip]
        y = np.zeros(len(x))
        for column, lead in enumerate(leads):
            width = 250 / len(leads)
            x0 = 10 + column * width
            name = named if row == 3 else lead
            panels.append(Panel(name, row, column, x0, x0 + width, 25.0 * row, x0 / 25 - 0.4, rhythm=row == 3))
            inside = (x >= x0) & (x <= x0 + width)
            y[inside] = np.interp((x[inside] - 10) / 25 * 500, np.arange(MV.shape[1]), MV[LEADS.index(lead)])
        y = 25.0 * row - 10 * y + rng.normal(0, noise_mm, len(x))
        traces.append(Trace(row, x, y, np.full(len(x), 0.15), np.ones(len(x))))
    return Layout("3x4+1", tuple(panels)), tuple(traces)


@pytest.mark.parametrize(("strip", "named"), [("V1", "II"), ("V2", "V3"), ("V5", "V1"), ("II", "V1")])
def test_a_misread_strip_is_renamed_and_said(strip: str, named: str) -> None:
    found = find_strips(*printed(strip, named))
    assert found.layout.panels[-1].lead == strip
    assert [problem.code for problem in found.problems] == ["strip-renamed"]
    assert [p.lead for p in found.layout.panels[:-1]] == [p.lead for p in printed(strip, named)[0].panels[:-1]]


@pytest.mark.parametrize("lead", LEADS)
def test_a_strip_that_was_read_well_keeps_its_name(lead: str) -> None:
    layout, traces = printed(lead, lead)
    assert find_strips(layout, traces).layout is layout


def test_where_nothing_can_be_compared_nothing_is_renamed() -> None:
    layout, traces = printed("V1", "II")
    assert find_strips(layout, traces[3:]).layout is layout
    unsure = tuple(replace(t, sigma_mm=np.full(len(t.x_mm), 3.0)) for t in traces)
    assert find_strips(layout, unsure).layout is layout
    together = replace(layout, panels=tuple(replace(p, start_s=0.0) for p in layout.panels))
    assert find_strips(together, traces).layout is together
