"""The gain told by how tall the lines are."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.paper import How, Layout, Panel
from ecglift.sheet import Trace
from ecglift.stages.heights import by_heights

_MV = {"I": 0.9, "II": 0.95, "III": 0.8, "V1": 1.1, "V2": 1.8, "V3": 1.8}
"""Heights that are usual for each lead."""


def _sheet(mm_mv: float, said_mm_mv: float, how: How, size: float = 1.0) -> tuple[Layout, tuple[Trace, ...]]:
    x = np.arange(0, 100, 1 / 16)
    beat = np.exp(-(((x % 20) - 10) ** 2) / 2)
    panels = tuple(Panel(lead, k, 0, 0.0, 100.0, 20.0 * k, 0.0, said_mm_mv) for k, lead in enumerate(_MV))
    traces = tuple(
        Trace(k, x, 20.0 * k - mm_mv * size * mv * beat, np.full(len(x), 0.05), np.ones(len(x)))
        for k, mv in enumerate(_MV.values())
    )
    return Layout("6x1", panels, 25.0, said_mm_mv, "assumed", how), traces


@pytest.mark.parametrize("mm_mv", [5.0, 10.0, 20.0])
def test_usual_heights_tell_the_gain_that_nothing_says(mm_mv: float) -> None:
    layout, problems = by_heights(*_sheet(mm_mv, 10.0, "assumed", 0.9 if mm_mv == 5 else 1.15))
    assert layout.gain_mm_mv == mm_mv
    assert {panel.gain_mm_mv for panel in layout.panels} == {mm_mv}
    assert [p.code for p in problems] == ([] if mm_mv == 10 else ["gain-guessed"])


@pytest.mark.parametrize("size", [0.6, 1.7])
def test_hearts_that_are_a_little_unusual_stay_at_the_usual_gain(size: float) -> None:
    layout, problems = by_heights(*_sheet(10.0, 10.0, "assumed", size))
    assert layout.gain_mm_mv == 10.0
    assert not problems


def test_a_gain_that_is_said_stays_but_is_contradicted() -> None:
    layout, problems = by_heights(*_sheet(10.0, 2.5, "pulse"))
    assert layout.gain_mm_mv == 2.5
    assert [p.code for p in problems] == ["gain-conflict"]
    told, problems = by_heights(*_sheet(10.0, 2.5, "given"))
    assert told.gain_mm_mv == 2.5
    assert not problems


@pytest.mark.parametrize("size", [0.4, 0.5, 2.0, 2.5])
def test_hearts_of_low_or_high_voltage_do_not_contradict_a_pulse(size: float) -> None:
    assert by_heights(*_sheet(10.0, 10.0, "pulse", size))[1] == ()


def test_without_lines_nothing_is_said() -> None:
    layout, _ = _sheet(5.0, 10.0, "assumed")
    assert by_heights(layout, ()) == (layout, ())
