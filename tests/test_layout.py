"""What the network sees becomes a layout: from the lattice's truth every arrangement is read, and doubts are said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ecglift.models.sheetmap import DENSE, PANEL_UNIT_MM, WHOLE, WHOLE_NUMBERS, SheetMap
from ecglift.models.words import WORDS
from ecglift.paper import TEMPLATES, Layout
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.style import Style, random_style
from ecglift.problem import StageError
from ecglift.reading.marks import PrintedScale, Pulse, WordReader, find_beside, find_rows
from ecglift.reading.scales import hung_together
from ecglift.sheet import Sheet
from ecglift.stages.layout import LayoutSettings, SheetReading, _in_grey, interpret


def _style(template: str, seed: int = 3) -> Style:
    style = random_style(np.random.default_rng([seed, 1]), bundled_fonts_only=True, template=template)
    columns = style.template.n_columns
    return replace(
        style,
        label_place="above",
        pulse="left",
        separator="bar",
        speed_mm_s=25.0,
        gain_mm_mv=10.0,
        chest_gain=1.0,
        column_s={4: 2.5, 2: 5.0, 1: 10.0}[columns],
        column_gap_mm=0.0,
        simultaneous=False,
        width_mm=style.left_mm + 270,
        clutter=0.0,
    )


def _page(style: Style, seed: int = 0) -> Page:
    rng = np.random.default_rng([seed, 2])
    t = np.arange(5000) / 500
    beat = np.exp(-(((t % 0.77) - 0.3) ** 2) / 2e-4)
    mv = beat * rng.uniform(-1, 1.5, (12, 1)) + 0.02 * rng.normal(size=(12, 5000))
    return compose(rng, mv.astype(np.float32), 500.0, style)


def _seen(page: Page, **whole: float) -> SheetMap:
    """The answer of a network that sees everything; ``whole``: log-odds of "paper" or "simultaneous"."""
    from ecglift.training.sheet_targets import targets

    truth = targets(page, 0.0, 0.0, 1.0, (int(page.height_mm), int(page.width_mm)))
    dense = truth.copy()
    for name, part in DENSE.items():
        if name.endswith("heat") or name in {"trace", "pulse", "separator", "text", "gain_chest"}:
            p = np.clip(truth[part], 0.01, 0.99)
            dense[part] = np.log(p / (1 - p))
        elif name.endswith("class"):
            classes = np.arange(part.stop - part.start)[:, None, None]
            dense[part] = 8.0 * (classes == truth[part.start])
    numbers = np.zeros(WHOLE_NUMBERS, np.float32)
    numbers[WHOLE["paper"]] = whole.get("paper", 5.0)
    numbers[WHOLE["simultaneous"]] = whole.get("simultaneous", 0.0)
    return SheetMap(dense, numbers, 0.5, 0.5)


def _words(page: Page) -> WordReader:
    """A reader who reads everything right."""
    from ecglift.training.word_crops import words_of

    printed = words_of(page)

    def read(places: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
        out = np.full((len(places), len(WORDS)), 1e-3)
        for p, (x, y) in zip(out, places, strict=True):
            near = [w.name for w in printed if abs(w.x_mm - x) < 2 and abs(w.y_mm - y) < 2]
            p[WORDS.index(near[0]) if near else 0] = 1.0
        return out

    return read


def _read(page: Page, settings: LayoutSettings | None = None) -> SheetReading:
    return interpret(_seen(page), _words(page), settings or LayoutSettings())


def _names(layout: Layout) -> list[list[tuple[str, int]]]:
    return [[(p.lead, p.polarity) for p in row] for row in layout.rows()]


def _codes(reading: SheetReading) -> set[str]:
    return {p.code for p in reading.problems}


def _without_labels(page: Page) -> Page:
    return replace(page, texts=tuple(t for t in page.texts if t.kind != "label"))


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_every_arrangement_is_read(template: str) -> None:
    page = _page(_style(template))
    reading = _read(page)
    assert reading.layout.name == template
    assert _names(reading.layout) == _names(page.layout)
    for found, truth in zip(reading.layout.rows(), page.layout.rows(), strict=True):
        for a, b in zip(found, truth, strict=True):
            assert a.x0_mm == pytest.approx(b.x0_mm, abs=0.3)
            assert a.x1_mm == pytest.approx(b.x1_mm, abs=0.3)
            assert a.baseline_mm == pytest.approx(b.baseline_mm, abs=0.1)
            assert a.start_s == pytest.approx(b.start_s, abs=0.02)
            assert a.confidence > 0.9
    assert not reading.problems
    assert reading.layout.margin > 0.5


def test_gaps_between_columns_are_kept() -> None:
    page = _page(replace(_style("3x4+1"), column_gap_mm=6.0, width_mm=320.0))
    panels = _read(page).layout.rows()[0]
    assert panels[1].x0_mm - panels[0].x1_mm == pytest.approx(6.0, abs=0.3)
    assert panels[2].start_s == pytest.approx(5.0, abs=0.02)


def test_unlabelled_sheet_is_read_and_said_to_be_assumed() -> None:
    reading = _read(_without_labels(_page(_style("3x4+1"))))
    assert reading.layout.name == "3x4+1"
    assert "leads-unread" in _codes(reading)
    assert max(p.confidence for p in reading.layout.panels) < 0.95


def test_told_layout_wins_over_what_is_seen() -> None:
    page = _without_labels(_page(_style("6x2")))
    reading = _read(page, LayoutSettings(layout="6x2-cabrera"))
    assert reading.layout.name == "6x2-cabrera"
    assert reading.layout.panels[0].lead == "aVL"
    assert reading.layout.rows()[2][0].polarity == -1


def test_told_names_replace_the_arrangement() -> None:
    page = _without_labels(_page(_style("3x1")))
    reading = _read(page, LayoutSettings(names=(("V1",), ("V3",), ("V6",))))
    assert [p.lead for p in reading.layout.panels] == ["V1", "V3", "V6"]


@pytest.mark.parametrize(
    ("template", "names", "unusual"),
    [
        ("3x1", ("V2", "aVF", "V5"), False),
        ("2x1", ("III", "II"), False),
        ("1x1", ("I",), False),
        ("6x1-limb", ("V2", "aVF", "V5", "I", "II", "V1"), True),
    ],
)
def test_rows_of_other_leads_are_read_from_their_labels(template: str, names: tuple[str, ...], unusual: bool) -> None:
    page = _page(_style(template))
    swap = {p.lead: name for p, name in zip(page.layout.panels, names, strict=True)}
    page = replace(page, texts=tuple(replace(t, lead=swap[t.lead]) if t.kind == "label" else t for t in page.texts))
    page = replace(
        page,
        layout=replace(page.layout, panels=tuple(replace(p, lead=swap[p.lead]) for p in page.layout.panels)),
        strokes=tuple(
            replace(s, lead=f"{swap[s.lead[:-2]]}{s.lead[-2:]}") if s.kind == "trace" else s for s in page.strokes
        ),
    )
    reading = _read(page)
    assert [p.lead for p in reading.layout.panels] == list(names)
    assert ("layout-unusual" in _codes(reading)) == unusual


def test_cropped_sheet_says_what_is_missing() -> None:
    page = _page(_style("12x1"))
    answer = _seen(page)
    below = round(page.layout.panels[9].baseline_mm + 4)
    reading = interpret(SheetMap(answer.dense[:, :below], answer.whole, 0.5, 0.5), _words(page), LayoutSettings())
    assert [p.lead for p in reading.layout.panels][:10] == [p.lead for p in page.layout.panels][:10]
    assert reading.problems


def test_pulse_tells_the_gain_and_print_the_speed() -> None:
    style = replace(_style("3x4"), gain_mm_mv=5.0, speed_mm_s=50.0, column_s=1.2, header=1.0)
    reading = _read(_page(style))
    assert (reading.layout.gain_mm_mv, reading.layout.gain_how) == (5.0, "pulse")
    assert (reading.layout.speed_mm_s, reading.layout.speed_how) == (50.0, "printed")
    assert reading.pulses


def test_assumed_scales_are_said_to_be() -> None:
    layout = _read(_page(replace(_style("3x4"), pulse="none", header=0.0))).layout
    assert (layout.speed_how, layout.gain_how) == ("assumed", "assumed")
    assert (layout.speed_mm_s, layout.gain_mm_mv) == (25.0, 10.0)


def test_given_scales_win() -> None:
    layout = _read(_page(_style("3x4")), LayoutSettings(speed_mm_s=12.5, gain_mm_mv=20.0)).layout
    assert (layout.speed_mm_s, layout.gain_mm_mv, layout.speed_how, layout.gain_how) == (12.5, 20.0, "given", "given")


def test_half_gain_of_chest_leads_is_read_from_their_rows_pulses() -> None:
    layout = _read(_page(replace(_style("12x1"), chest_gain=0.5))).layout
    assert {p.gain_mm_mv for p in layout.panels if p.lead.startswith("V")} == {5.0}
    assert {p.gain_mm_mv for p in layout.panels if not p.lead.startswith("V")} == {10.0}


def test_the_line_of_a_speed_is_read_on_for_its_gain() -> None:
    """A clear "20 mm/mV" beside "50 mm/s" was overlooked: 1 dB instead of 25."""
    speed = PrintedScale(40.0, 10.0, np.log([0.01, 0.01, 0.98]), 0.95)

    def read(places: Sequence[tuple[float, float]], width_mm: float = 2.0) -> NDArray[np.float64]:
        chances = np.zeros((len(places), len(WORDS)))
        near = np.array([abs(x - 62.0) < width_mm and y == 10.0 for x, y in places])
        chances[near, WORDS.index("20 mm/mV")] = 0.99
        return chances

    [gain] = find_beside([speed], [], "gain", read)
    assert gain.x_mm == pytest.approx(62.0, abs=2.0)
    assert int(gain.log_p.argmax()) == 3
    assert gain.chance == pytest.approx(0.7)  # a pulse knows better
    # What is read at one place only is a spot, and where there is a gain none is looked for.
    assert find_beside([speed], [], "gain", lambda places: read(places, 0.7)) == ()
    assert find_beside([speed], [gain], "gain", read) == (gain,)
    assert find_beside([replace(speed, chance=0.6)], [], "gain", read) == ()


def test_pulses_that_hang_together_are_as_high_as_the_uppermost() -> None:
    """Pulses of 20 mm/mV on rows 16 mm apart were taken for 10 mm each: 4 dB instead of 23."""
    stacked = [Pulse(-17.0, y, 4.6, 10.0, 0.7) for y in (8.0, 35.0, 52.0, 67.0)]
    tallest = hung_together(stacked, 28.4)
    assert tallest is not None
    assert tallest.height_mm == pytest.approx(20.4)
    assert hung_together(stacked, 23.0) is None  # 15 mm is no usual height
    assert hung_together([replace(pulse, inked=True) for pulse in stacked], 28.4) is None
    assert hung_together([*stacked, Pulse(60.0, 35.0, 4.6, 10.0, 0.7)], 28.4) is None


def test_other_pictures_are_refused() -> None:
    page = _page(_style("3x4"))
    with pytest.raises(StageError, match="not-an-ecg"):
        interpret(_seen(page, paper=-5.0), _words(page), LayoutSettings())


def test_sheet_without_rows_is_refused() -> None:
    page = _page(_style("3x4"))
    answer = _seen(page)
    answer.dense[DENSE["row_heat"]] = -6.0
    with pytest.raises(StageError, match="no-traces"):
        interpret(answer, _words(page), LayoutSettings())


@pytest.mark.parametrize(
    "wrong", [{"layout": "5x5"}, {"rhythm_leads": ("V9",)}, {"names": (("I", "X"),)}, {"speed_mm_s": -1.0}]
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LayoutSettings(**wrong)  # type: ignore[arg-type]


def test_a_sheet_in_grey_has_bright_paper_and_keeps_its_ink() -> None:
    rgb = np.full((160, 160, 3), (90, 120, 145), np.uint8)
    rgb[76:84] = (20, 25, 30)
    grey = _in_grey(Sheet(rgb, np.ones((160, 160), bool)))
    assert np.ptp(grey.rgb, axis=2).max() == 0
    assert grey.rgb[10, 10, 0] == pytest.approx(225, abs=2)
    assert grey.rgb[80, 10, 0] < 60
    unseen = Sheet(rgb, np.zeros((160, 160), bool))
    assert _in_grey(unseen).rgb.shape == rgb.shape


def _flat_row(layout_row: int, pulse: str) -> SheetMap:
    """A sheet of 12x1 on which one row's line is flat."""
    style = replace(_style("12x1"), pulse=pulse)
    rng = np.random.default_rng(2)
    t = np.arange(5000) / 500
    beat = np.exp(-(((t % 0.77) - 0.3) ** 2) / 2e-4)
    mv = 0.3 * beat * np.ones((12, 1))
    mv[layout_row] = 0.0
    return _seen(compose(rng, mv.astype(np.float32), 500.0, style))


def test_a_flat_line_behind_a_pulse_is_as_good_a_row_as_any() -> None:
    """It was taken for a ruled line, and twelve leads were shared out among eleven rows."""
    with_pulse, without = (find_rows(_flat_row(1, pulse)) for pulse in ("left", "none"))
    assert len(with_pulse) == len(without) == 12
    assert without[1].life < 0.5
    assert with_pulse[1].life == 1.0


def test_the_next_rows_complexes_do_not_make_a_ruled_line_alive() -> None:
    """The grid's upper edge, 8 mm above a strip's line and drawn like one: a sheet of one lead had been read as two."""
    seen = _seen(_page(_style("1x1")))
    dense = seen.dense.copy()
    heat, trace = DENSE["row_heat"].start, DENSE["trace"].start
    row = int(dense[heat].max(axis=1).argmax())
    columns = np.flatnonzero(dense[heat, row - 1 : row + 2].max(axis=0) > 0)
    dense[trace, row - 12 : row - 5, :] = -5.0
    dense[trace, row - 5 : row - 1, columns[5:-5:40]] = 5.0  # complexes of the strip
    for channel in (heat, trace):
        dense[channel, row - 10, columns[0] : columns[-1]] = 5.0
    frame, strip = find_rows(replace(seen, dense=dense))
    assert frame.y_mm < strip.y_mm
    assert frame.life < 0.2
    assert strip.life == 1.0


def test_the_grids_edge_does_not_draw_names_away_from_their_row() -> None:
    """Names 16 mm above their row went to the grid's upper edge, and every row was named as the one below it."""
    style = replace(_style("3x4+1"), pulse="none")
    page = _page(style)
    seen = _seen(page)
    dense = seen.dense.copy()
    heat, trace = DENSE["row_heat"].start, DENSE["trace"].start
    pitch = page.layout.rows()[1][0].baseline_mm - page.layout.rows()[0][0].baseline_mm
    first = page.layout.rows()[0]
    edge = round(first[0].baseline_mm - 0.55 * pitch - seen.top_mm)
    columns = slice(round(first[0].x0_mm - seen.left_mm), round(first[-1].x1_mm - seen.left_mm))
    dense[trace, edge - 9 : edge + 5, columns] = -5.0
    for channel in (heat, trace):
        dense[channel, edge, columns] = 5.0
    panel = DENSE["label_panel"]
    for p in first:  # the names of the first row are seen to belong to the edge
        box = next(t for t in page.texts if t.kind == "label" and t.lead == p.lead and t.row == p.row)
        r, c = round(box.y_mm - seen.top_mm), round(box.x_mm - seen.left_mm)
        at = np.s_[max(r - 5, 0) : r + 3, max(c - 2, 0) : c + 12]
        rows = np.arange(dense.shape[1])[at[0], None]
        dense[panel.start + 1][at] = (edge - rows) / PANEL_UNIT_MM
    reading = interpret(replace(seen, dense=dense), _words(page), LayoutSettings())
    assert reading.layout.name == "3x4+1"
    assert _names(reading.layout) == page.layout.names()


def test_a_bent_line_seen_at_two_heights_is_one_row() -> None:
    seen = _seen(_page(_style("1x1")))
    heat = DENSE["row_heat"].start
    trace = DENSE["trace"].start
    dense = seen.dense.copy()
    row = int(dense[heat].max(axis=1).argmax())
    # The right half of the line lies 5 mm lower, and around the middle both are thought to be the zero line.
    middle = dense.shape[2] // 2
    for channel in (heat, trace):
        dense[channel, row + 3 : row + 8, middle - 40 :] = seen.dense[channel, row - 2 : row + 3, middle - 40 :]
        dense[channel, row - 2 : row + 3, middle + 40 :] = -5.0
    (one,) = find_rows(replace(seen, dense=dense))
    assert one.x1_mm - one.x0_mm > 200
