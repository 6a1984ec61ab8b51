"""Arrangements weighed against rows: what is not a row must not become one."""

from __future__ import annotations

import pytest

from ecglift.reading.hypotheses import RowView, weigh_all
from ecglift.reading.marks import Edge, Row


def _views(rows: list[tuple[float, float]]) -> list[RowView]:
    """Rows at (y, length) mm with the inner edges of four columns on the first three long ones."""
    views, long = [], 0
    for y, length in rows:
        starts: tuple[Edge, ...] = ()
        if length > 200:
            inner = (62.5, 125.0, 187.5) if long < 3 else ()
            starts = tuple(Edge(x, 0.9) for x in (0.0, *inner))
            long += 1
        views.append(RowView(Row(y, 0.0, length, length, 1.0), starts, (), ()))
    return views


@pytest.mark.parametrize("spot", [(87.0, 20.0), (155.0, 30.0), (159.0, 46.0)])
def test_a_spot_of_mould_is_no_rhythm_strip(spot: tuple[float, float]) -> None:
    """Benchmark pages of mouldy scans were read as 3x4+2: a spot between two rows became a strip of lead II."""
    rows = sorted([(69.0, 250.0), (105.0, 250.0), (141.0, 250.0), (174.0, 250.0), spot])
    assert weigh_all(_views(rows), (0.0, 250.0), {})[0].name == "3x4+1"


def test_two_long_strips_stay_two() -> None:
    rows = [(50.0, 250.0), (85.0, 250.0), (120.0, 250.0), (150.0, 250.0), (180.0, 250.0)]
    assert weigh_all(_views(rows), (0.0, 250.0), {})[0].name == "3x4+2"
