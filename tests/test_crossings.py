"""Rows whose lines cross are told apart by all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecglift.crossings import claimed, pieces_in_doubt, told_apart, what_others_say
from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX, RowRead, Strip, line_of
from ecglift.paper import Layout, Panel
from ecglift.sheet import SHEET_PX_PER_MM

LEADS = ("I", "II", "III")
PITCH_MM = 20.0
WIDTH_PX = 512
BEATS_MM = (8.0, 24.0, 40.0, 56.0)
WRONG_MM = 8.0


def lines_mm(x_mm: np.ndarray) -> dict[str, np.ndarray]:
    """Heights over the zero line, mm, of leads that obey Einthoven: complexes of I and II at the beats."""
    bump = sum(np.exp(-0.5 * ((x_mm - at) / 0.7) ** 2) for at in BEATS_MM)
    one, two = 6 * bump, 18 * bump
    return {"I": one, "II": two, "III": two - one}


def picture(top_mm: float) -> np.ndarray:
    """The strip's pixels: all lines in black on white."""
    rgb = np.full((STRIP_PX, WIDTH_PX, 3), 255, np.uint8)
    x_mm = np.arange(0, WIDTH_PX / SHEET_PX_PER_MM, 0.02)
    for k, name in enumerate(LEADS):
        y_mm = k * PITCH_MM - lines_mm(x_mm)[name] - top_mm
        points = np.round(np.stack([x_mm, y_mm], axis=1) * SHEET_PX_PER_MM * 16).astype(np.int32)
        cv2.polylines(rgb, [points], False, (0, 0, 0), 3, cv2.LINE_AA, 4)
    return rgb


def read_of(k: int, others: float) -> RowRead:
    """Row k's strip with its own line and, with the chance ``others`` in two of the complexes, a line 8 mm lower."""
    top_mm = k * PITCH_MM - STRIP_PX / SHEET_PX_PER_MM / 2
    strip = Strip(picture(top_mm), 0.0, top_mm)
    x_mm = strip.columns_mm()
    own = (k * PITCH_MM - lines_mm(x_mm)[LEADS[k]] - top_mm) * SHEET_PX_PER_MM
    rows = np.arange(STRIP_PX)[:, None]
    p = np.exp(-0.5 * ((rows - own) / 1.5) ** 2)
    crossing = others * np.clip(sum(np.abs(x_mm - at) < 1.2 for at in BEATS_MM[:2]), 0, 1)
    p = (1 - crossing) * p + crossing * np.exp(-0.5 * ((rows - own - WRONG_MM * SHEET_PX_PER_MM) / 1.5) ** 2) + 1e-9
    log_p = np.log(p / p.sum(axis=0)).astype(np.float32)
    y_px, sigma_px = line_of(log_p)
    n = WIDTH_PX * COLUMNS_PER_PX
    return RowRead(strip, x_mm, strip.rows_mm(y_px), sigma_px / SHEET_PX_PER_MM, np.ones(n), log_p)


def layout(names: tuple[str, ...] = LEADS) -> Layout:
    return Layout("3x1", tuple(Panel(name, k, 0, 0.5, 63.0, k * PITCH_MM) for k, name in enumerate(names)))


def errors_mm(read: RowRead, k: int) -> np.ndarray:
    return np.abs(k * PITCH_MM - lines_mm(read.x_mm)[LEADS[k]] - read.y_mm)


class Echo:
    """A network that answers what it is shown of the row's chances now."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        now = 2 * np.log(10) * (inputs["seen"][:, 0] - 1)
        return {"line": np.repeat(now, COLUMNS_PER_PX, axis=2)}


def test_a_complex_over_blank_paper_is_found_on_its_ink() -> None:
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.7)]
    told = told_apart(reads, layout())
    before, after = errors_mm(reads[2], 2), errors_mm(told[2], 2)
    assert (before > 5).sum() > 60
    assert after.max() < 3
    assert after.sum() < before.sum() / 6
    for k in (0, 1):
        np.testing.assert_allclose(told[k].y_mm, reads[k].y_mm, atol=0.1)


def test_chances_that_the_network_repeats_stay_where_they_were() -> None:
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.3)]
    told = told_apart(reads, layout(), Echo())
    assert told[2] is not reads[2]
    assert told[2].y_mm == pytest.approx(reads[2].y_mm, abs=0.4)
    np.testing.assert_allclose(np.exp(told[2].log_p).sum(axis=0), 1, atol=0.01)


def test_only_columns_in_doubt_are_touched() -> None:
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.7)]
    told = told_apart(reads, layout(), Echo())[2]
    far = np.min([np.abs(told.x_mm - at) for at in BEATS_MM[:2]], axis=0) > 4
    np.testing.assert_array_equal(told.log_p[:, far], reads[2].log_p[:, far])


def test_what_is_not_in_doubt_stays_as_it_is() -> None:
    reads = [read_of(k, 0.0) for k in range(3)]
    assert all(a is b for a, b in zip(told_apart(reads, layout(), Echo()), reads, strict=True))


def test_one_lead_alone_is_told_by_nobody() -> None:
    reads = [read_of(2, 0.7)]
    alone = replace(layout(), panels=(Panel("III", 0, 0, 0.5, 63.0, 2 * PITCH_MM),))
    assert told_apart(reads, alone, Echo())[0] is reads[0]


def test_a_piece_is_doubted_by_rows_that_claim_the_same_ink() -> None:
    """The row below takes the complex of the one above for its own, and each is sure of it."""
    reads = [read_of(0, 0.0), read_of(1, 0.0)]
    down = round(PITCH_MM * SHEET_PX_PER_MM)
    at = np.abs(reads[1].x_mm - BEATS_MM[1]) < 1.0
    log_p = reads[1].log_p.copy()
    log_p[:-down, at] = reads[0].log_p[down:, at]
    log_p[-down:, at] = -20
    y_px, sigma_px = line_of(log_p)
    taken = replace(
        reads[1], log_p=log_p, y_mm=reads[1].strip.rows_mm(y_px), sigma_mm=sigma_px / reads[1].strip.px_per_mm
    )
    two = Layout("2x1", layout().panels[:2])
    (piece,) = pieces_in_doubt([reads[0], taken], claimed([reads[0], taken], two))
    assert piece.asked == (0, 1)
    assert piece.where[0].start / SHEET_PX_PER_MM < BEATS_MM[1] < piece.where[0].stop / SHEET_PX_PER_MM


def test_simultaneous_leads_say_where_a_complex_is() -> None:
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.7)]
    said = what_others_say(reads, layout())[2]
    at = np.abs(reads[2].x_mm - BEATS_MM[0]) < 0.5
    true = 2 * PITCH_MM - lines_mm(reads[2].x_mm[at])["III"]
    assert np.abs(said.y_mm[at] - true).max() < 4
    assert (said.sigma_mm[at] >= 2).all()
    assert said.zero_mm == pytest.approx(2 * PITCH_MM, abs=0.5)


def test_a_strip_below_columns_of_the_same_seconds_does_not_speak() -> None:
    reads = [read_of(0, 0.7), read_of(1, 0.0)]
    panels = (
        Panel("I", 0, 0, 0.5, 30.0, 0.0),
        Panel("V1", 0, 1, 30.0, 63.0, 0.0),
        Panel("II", 1, 0, 0.5, 63.0, PITCH_MM, rhythm=True),
    )
    assert all(np.isnan(said.y_mm).all() for said in what_others_say(reads, Layout("custom", panels)))


def test_a_piece_too_short_for_a_complex_says_nothing() -> None:
    reads = [read_of(0, 0.7), read_of(1, 0.0)]
    panels = (Panel("I", 0, 0, 7.2, 9.0, 0.0), Panel("II", 1, 0, 7.2, 9.0, PITCH_MM))
    assert all(np.isnan(said.y_mm).all() for said in what_others_say(reads, Layout("custom", panels)))
