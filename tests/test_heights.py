"""Gains that how tall the lines are contradicts."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.paper import How, Layout, Panel
from ecglift.sheet import Trace
from ecglift.stages.heights import doubts

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


@pytest.mark.parametrize(("mm_mv", "said"), [(5.0, "flat as at 5"), (20.0, "tall as at 20")])
def test_unusual_heights_cast_doubt_on_an_assumed_gain(mm_mv: float, said: str) -> None:
    (problem,) = doubts(*_sheet(mm_mv, 10.0, "assumed", 0.9 if mm_mv == 5 else 1.15))
    assert problem.code == "gain-doubtful"
    assert said in problem.message


@pytest.mark.parametrize("size", [0.6, 1.0, 1.7])
def test_hearts_that_are_a_little_unusual_are_not_doubted(size: float) -> None:
    assert doubts(*_sheet(10.0, 10.0, "assumed", size)) == ()


def test_a_gain_that_is_said_is_contradicted_and_one_that_is_given_is_not() -> None:
    assert [p.code for p in doubts(*_sheet(10.0, 2.5, "pulse"))] == ["gain-conflict"]
    assert doubts(*_sheet(10.0, 2.5, "given")) == ()


@pytest.mark.parametrize("size", [0.4, 0.5, 2.0, 2.5])
def test_hearts_of_low_or_high_voltage_do_not_contradict_a_pulse(size: float) -> None:
    assert doubts(*_sheet(10.0, 10.0, "pulse", size)) == ()


def test_without_lines_nothing_is_said() -> None:
    layout, _ = _sheet(5.0, 10.0, "assumed")
    assert doubts(layout, ()) == ()
