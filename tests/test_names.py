"""Rhythm strips are named by what they show, and only when that is clear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.leads import LEADS, polarity
from ecglift.paper import TEMPLATES, Layout, Panel
from ecglift.press.patients import simulate
from ecglift.sheet import Trace
from ecglift.stages.names import _alike, find_names

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
    found = find_names(*printed(strip, named))
    assert found.layout.panels[-1].lead == strip
    assert [problem.code for problem in found.problems] == ["strip-renamed"]
    assert [p.lead for p in found.layout.panels[:-1]] == [p.lead for p in printed(strip, named)[0].panels[:-1]]


@pytest.mark.parametrize("lead", LEADS)
def test_a_strip_that_was_read_well_keeps_its_name(lead: str) -> None:
    layout, traces = printed(lead, lead)
    assert find_names(layout, traces).layout is layout


def test_a_row_without_a_line_is_no_strip() -> None:
    layout, traces = printed("II", "II")
    strip = layout.panels[-1]
    second = replace(strip, row=4, baseline_mm=strip.baseline_mm + 25.0)
    y = np.where(np.arange(len(traces[3].x_mm)) % 5 == 0, traces[3].y_mm + 25.0, np.nan)
    two = replace(layout, name="3x4+2", panels=(*layout.panels, second))
    found = find_names(two, (*traces, replace(traces[3], row=4, y_mm=y)))
    assert found.layout.name == "3x4+1"
    assert found.layout.panels == layout.panels
    assert [problem.code for problem in found.problems] == ["strip-blank"]
    # Where no strip is seen, all may be covered.
    hidden = [replace(t, row=row, y_mm=y) for t in traces[3:] for row in (3, 4)]
    assert find_names(two, (*traces[:3], *hidden)).layout is two


def test_gaps_between_columns_are_no_time() -> None:
    """A strip runs on where its columns are 2 mm apart: by the paper it had resembled another lead."""
    layout, traces = printed("II", "II")
    lead = next(p for p in layout.panels if p.lead == "II")
    moved = replace(lead, x0_mm=lead.x0_mm + 2, x1_mm=lead.x1_mm + 2)
    apart = tuple(replace(t, x_mm=t.x_mm + 2 * (t.row < 3)) for t in traces)
    strip = layout.panels[-1]
    by_row = {trace.row: trace for trace in apart}
    assert _alike(strip, moved, by_row, 25.0) == pytest.approx(
        _alike(strip, lead, {t.row: t for t in traces}, 25.0), abs=0.01
    )


def test_where_nothing_can_be_compared_nothing_is_renamed() -> None:
    layout, traces = printed("V1", "II")
    assert find_names(layout, traces[3:]).layout is layout
    unsure = tuple(replace(t, sigma_mm=np.full(len(t.x_mm), 3.0)) for t in traces)
    assert find_names(layout, unsure).layout is layout
    together = replace(layout, panels=tuple(replace(p, start_s=0.0) for p in layout.panels))
    assert find_names(together, traces).layout is together


def in_columns(shown: str, named: str) -> tuple[Layout, tuple[Trace, ...]]:
    """A sheet that shows the template ``shown`` and was read as ``named``."""
    rng = np.random.default_rng(2)
    template, names = TEMPLATES[shown], TEMPLATES[named]
    width = 250 / template.n_columns
    x = 10 + np.arange(4000) * STEP_MM
    panels, traces = [], []
    for row, labels in enumerate(template.rows):
        y = np.zeros(len(x))
        for column, label in enumerate(labels):
            x0 = 10 + column * width
            lead, sign = polarity(label)
            said, said_sign = polarity(names.rows[row][column])
            assert lead is not None
            assert said is not None
            inside = (x >= x0) & (x <= x0 + width)
            y[inside] = sign * np.interp((x[inside] - 10) / 25 * 500, np.arange(MV.shape[1]), MV[LEADS.index(lead)])
            panels.append(Panel(said, row, column, x0, x0 + width, 20.0 * row, x0 / 25 - 0.4, polarity=said_sign))
        traces.append(
            Trace(row, x, 20.0 * row - 10 * y + rng.normal(0, 0.1, len(x)), np.full(4000, 0.15), np.ones(4000))
        )
    return Layout(named, tuple(panels)), tuple(traces)


@pytest.mark.parametrize("name", ["3x4", "6x2", "12x1"])
@pytest.mark.parametrize("shown_order", ["", "-cabrera"])
@pytest.mark.parametrize("named_order", ["", "-cabrera"])
def test_limb_leads_tell_the_order_that_they_are_printed_in(name: str, shown_order: str, named_order: str) -> None:
    found = find_names(*in_columns(name + shown_order, name + named_order))
    assert found.layout.name == name + shown_order
    right, _ = in_columns(name + shown_order, name + shown_order)
    assert [(p.lead, p.polarity) for p in found.layout.panels] == [(p.lead, p.polarity) for p in right.panels]
    assert [p.code for p in found.problems] == (["leads-reordered"] if shown_order != named_order else [])


def test_an_arrangement_that_was_told_stays() -> None:
    layout, traces = in_columns("6x2-cabrera", "6x2")
    assert find_names(layout, traces, keep_order=True).layout is layout
    assert find_names(layout, traces).layout is not layout


def unread(shown: str, guessed: str) -> tuple[Layout, tuple[Trace, ...]]:
    """A sheet that shows the template ``shown``, none of whose names was read, taken for ``guessed``."""
    layout, traces = in_columns(shown, shown)
    rows = TEMPLATES[guessed].rows
    panels = []
    for row, names in enumerate(rows):
        for column, label in enumerate(names):
            lead, sign = polarity(label)
            assert lead is not None
            x0, width = 10 + 250 / len(names) * column, 250 / len(names)
            panels.append(
                Panel(lead, row, column, x0, x0 + width, 20.0 * row, x0 / 25 - 0.4, polarity=sign, confidence=0.3)
            )
    return replace(layout, name=guessed, panels=tuple(panels)), traces


ROWS = {
    3: ("3x1", "3x4", "3x4-cabrera"),
    6: ("6x1-limb", "6x1-chest", "6x2", "6x2-cabrera"),
    12: ("12x1", "12x1-cabrera"),
}


@pytest.mark.parametrize(("shown", "guessed"), [(a, b) for names in ROWS.values() for a in names for b in names])
def test_an_arrangement_that_was_guessed_is_that_which_the_lines_obey(shown: str, guessed: str) -> None:
    if shown == "6x1-chest" and guessed != shown:
        pytest.skip("chest leads alone obey nothing: what was guessed stays")
    found = find_names(*unread(shown, guessed))
    right, _ = in_columns(shown, shown)
    assert found.layout.name == shown
    for got, want in zip(found.layout.panels, right.panels, strict=True):
        assert (got.lead, got.polarity, got.row, got.column) == (want.lead, want.polarity, want.row, want.column)
        assert (got.x0_mm, got.x1_mm, got.start_s) == pytest.approx((want.x0_mm, want.x1_mm, want.start_s))
    assert [p.code for p in found.problems] == ([] if shown == guessed else ["leads-rearranged"])


def test_names_that_were_read_outweigh_the_lines() -> None:
    layout, traces = unread("6x1-limb", "6x1-chest")
    read = replace(layout, panels=tuple(replace(p, confidence=0.9) for p in layout.panels))
    assert find_names(read, traces).layout is read


def test_rows_that_begin_at_other_places_are_compared_at_one_moment() -> None:
    layout, traces = unread("6x1-limb", "6x1-chest")
    ragged = tuple(replace(p, x0_mm=p.x0_mm + (p.row % 2) * 1.5) for p in layout.panels)
    assert find_names(replace(layout, panels=ragged), traces).layout.name == "6x1-limb"
