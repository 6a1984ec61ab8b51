"""Arrangements weighed against rows: what is not a row must not become one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ecglift.models.sheetmap import LABELS
from ecglift.reading.hypotheses import Clarity, RowView, assign_labels, believed, label_evidence, named, weigh_all
from ecglift.reading.marks import Edge, Label, Row, weighed


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
    known = weighed(tuple(view.row for view in views))
    return [replace(view, row=row) for view, row in zip(views, known, strict=True)]


def _label(name: str, x_mm: float, y_mm: float, chance: float = 0.9, panel_y_mm: float | None = None) -> Label:
    p = np.full(len(LABELS), 0.002)
    p[LABELS.index(name)] = 1 - p.sum() + 0.002
    return Label(x_mm, y_mm, x_mm, y_mm if panel_y_mm is None else panel_y_mm, np.log(p), chance)


def _chances(**named: float) -> NDArray[np.float64]:
    p = np.full(len(LABELS), 0.002)
    for name, chance in named.items():
        p[LABELS.index(name)] = chance
    return np.asarray(p / p.sum(), np.float64)


@pytest.mark.parametrize("spot", [(87.0, 20.0), (155.0, 30.0), (159.0, 46.0)])
def test_a_spot_of_mould_is_no_rhythm_strip(spot: tuple[float, float]) -> None:
    """Benchmark pages of mouldy scans were read as 3x4+2: a spot between two rows became a strip of lead II."""
    rows = sorted([(69.0, 250.0), (105.0, 250.0), (141.0, 250.0), (174.0, 250.0), spot])
    assert weigh_all(_views(rows), (0.0, 250.0), {})[0].name == "3x4+1"


def test_two_long_strips_stay_two() -> None:
    rows = [(50.0, 250.0), (85.0, 250.0), (120.0, 250.0), (150.0, 250.0), (180.0, 250.0)]
    assert weigh_all(_views(rows), (0.0, 250.0), {})[0].name == "3x4+2"


def test_rows_are_as_long_as_their_fellows_and_keep_their_beat() -> None:
    lengths = {40.0: 250.0, 65.0: 240.0, 90.0: 200.0, 115.0: 130.0, 103.0: 130.0, 150.0: 40.0}
    chance = {row.y_mm: row.chance for row in weighed(tuple(Row(y, 0.0, n, n) for y, n in sorted(lengths.items())))}
    assert min(chance[40.0], chance[65.0], chance[90.0]) > 0.98
    assert 0.3 < chance[115.0] < 0.98  # half hidden, but where a row would stand
    assert max(chance[103.0], chance[150.0]) < 0.05


def test_a_row_that_fills_a_hole_may_stand_beside_its_place() -> None:
    """A lead whose line wandered by 5 mm was left out of twelve, with all chest leads named one off."""
    heights = [20.0, 36.0, 52.0, 68.0, 100.0, 116.0]
    rows = sorted([*((y, 250.0) for y in heights), (89.0, 140.0)])
    chance = {row.y_mm: row.chance for row in weighed(tuple(Row(y, 0.0, n, n) for y, n in rows))}
    assert chance[89.0] > 0.2
    # Where no row is lacking it is a spot.
    chance = {r.y_mm: r.chance for r in weighed(tuple(Row(y, 0.0, n, n) for y, n in sorted([*rows, (84.0, 250.0)])))}
    assert chance[89.0] < 0.05


def test_a_doubtful_name_says_little_against_an_arrangement() -> None:
    sure, doubtful = _label("V3", 10.0, 40.0, 1.0), _label("V3", 10.0, 40.0, 0.5)
    assert label_evidence(sure, "V3") > 2.0
    assert label_evidence(sure, "I") < -3.0
    assert 0 > label_evidence(doubtful, "I") > -1.0


def test_names_read_all_over_a_sheet_are_spots() -> None:
    rows = tuple(Row(y, 0.0, 250.0, 250.0) for y in (40.0, 65.0, 90.0))
    named = [_label(name, 0.0, y) for name, y in (("I", 40.0), ("II", 65.0), ("III", 90.0))]
    rng = np.random.default_rng(0)
    spots = [_label("V3", float(x), float(y), 0.6) for x, y in rng.uniform((10, 0), (250, 200), (60, 2))]
    clean = believed(named, rows, (0.0, 250.0), 280.0 * 210.0)
    mouldy = believed([*named, *spots], rows, (0.0, 250.0), 280.0 * 210.0)
    assert [one.chance for one in clean] == pytest.approx([0.9] * 3)
    assert min(one.chance for one in mouldy[:3]) > 0.6
    assert max(one.chance for one in mouldy[3:]) < 0.4


def test_names_above_their_rows_keep_one_distance() -> None:
    """Names 9.5 mm above rows that are 12 mm apart, give or take one: nearest to the row before."""
    y = [70.7, 84.0, 94.6, 107.0, 119.6, 130.6]
    rows = [Row(one, 0.0, 125.0, 125.0) for one in y]
    names = ("I", "II", "III", "aVR", "aVL", "aVF")
    labels = [_label(name, 26.0, one - 9.5) for name, one in zip(names, y, strict=True)]
    found = assign_labels(rows, labels, "below")
    assert [[LABELS[int(label.log_p.argmax())] for label in own] for own in found] == [[name] for name in names]


def test_what_a_sheet_never_shows_is_not_missed() -> None:
    rows = _views([(50.0, 250.0), (85.0, 250.0), (120.0, 250.0)])
    bare = [replace(view, starts=()) for view in rows]
    assert Clarity.of(rows, (0.0, 250.0)).starts == pytest.approx(0.9)
    assert Clarity.of(bare, (0.0, 250.0)).starts < 0.5
    assert Clarity.of(bare, (0.0, 250.0)).name_lost == 0.0


def test_a_piece_of_a_row_with_clear_names_is_a_row() -> None:
    piece = Row(40.0, 50.0, 136.0, 86.0, 1.0, chance=0.05)
    labels = [_label(name, x, 35.0, 0.99) for name, x in (("I", 11.0), ("aVR", 77.0), ("V1", 138.0))]
    assert named(piece, labels).row.chance > 0.7
    assert named(piece, labels[:1]).row.chance < 0.3
    assert named(piece, ()).row.chance == pytest.approx(0.05)


def test_columns_too_narrow_for_a_beat_are_unlikely() -> None:
    """Six rows 75 mm long whose names were not read were taken for 3x4+3, of columns of 0.75 s."""
    views = _views([(20.0 * k, 75.0) for k in range(6)])
    narrow, wide = ({h.name: h.log_score for h in weigh_all(views, (0.0, mm), {})} for mm in (75.0, 150.0))
    assert narrow["3x4+3"] < wide["3x4+3"] - 2
    assert narrow["6x1-limb"] == wide["6x1-limb"]


def _sheet_of(rows: list[tuple[Label, ...]]) -> list[RowView]:
    """Rows of one panel, 250 mm long and 30 mm apart, with their names."""
    views = _views([(30.0 * k, 250.0) for k in range(len(rows))])
    return [named(replace(view, starts=()).row, labels) for view, labels in zip(views, rows, strict=True)]


def test_a_spot_far_from_where_a_row_begins_does_not_name_it() -> None:
    """A spot of damage in the middle of a row was read a little more surely than the row's own name."""
    views = _sheet_of([(_label("V3", 47.0, 0.0, 0.44), _label("II", 1.0, 0.0, 0.37)), (_label("V1", 2.0, 30.0, 0.99),)])
    best = weigh_all(views, (0.0, 250.0), {})[0]
    assert (best.name, [cell.name for cell in best.cells]) == ("2x1", ["II", "V1"])


def test_no_lead_is_twice_on_a_sheet_of_few_rows() -> None:
    """The second row's name was hardly seen: it was called II as usual, though the first one says that it is."""
    views = _sheet_of(
        [(_label("II", 1.0, 0.0, 0.99),), (_label("I", 2.0, 30.0, 0.3),), (_label("V1", 1.0, 60.0, 0.99),)]
    )
    best = weigh_all(views, (0.0, 250.0), {})[0]
    assert (best.name, [cell.name for cell in best.cells]) == ("3x1", ["II", "I", "V1"])


def test_strips_of_other_leads_are_what_their_labels_say() -> None:
    """Beside a strip of V1 one that read as II with five parts in six was named III, as usual below it: 5 dB."""
    doubtful = replace(_label("II", 12.0, 110.0), log_p=np.log(_chances(II=0.84, III=0.13)))
    views = _sheet_of([(_label("I", 12.0, 30.0),), (_label("V1", 12.0, 70.0),), (doubtful,)])
    best = weigh_all(views, (10.0, 260.0), {})[0]
    assert (best.name, [cell.name for cell in best.cells]) == ("3x1", ["I", "V1", "II"])
    # Below I and II it is III after all.
    views = _sheet_of([(_label("I", 12.0, 30.0),), (_label("II", 12.0, 70.0),), (doubtful,)])
    assert [cell.name for cell in weigh_all(views, (10.0, 260.0), {})[0].cells] == ["I", "II", "III"]
