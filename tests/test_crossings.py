"""Rows whose complexes cross are decoded with what simultaneous leads say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecglift.crossings import told_apart
from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX, RowRead, Strip, line_of
from ecglift.paper import Layout, Panel
from ecglift.sheet import SHEET_PX_PER_MM

LEADS = ("I", "II", "III")
PITCH_MM = 20.0
WIDTH_PX = 512
BEATS_MM = (8.0, 24.0, 40.0, 56.0)


def lines_mm(x_mm: np.ndarray) -> dict[str, np.ndarray]:
    """Heights over the zero line, mm, of leads that obey Einthoven: complexes of I and II at the beats."""
    bump = sum(np.exp(-0.5 * ((x_mm - at) / 0.7) ** 2) for at in BEATS_MM)
    one, two = 6 * bump, 18 * bump
    return {"I": one, "II": two, "III": two - one}


def read_of(k: int, others: float) -> RowRead:
    """Row k's strip with its own line and, with the chance ``others`` in two of the complexes, a line 8 mm lower."""
    top_mm = k * PITCH_MM - STRIP_PX / SHEET_PX_PER_MM / 2
    strip = Strip(np.full((STRIP_PX, WIDTH_PX, 3), 255, np.uint8), 0.0, top_mm)
    x_mm = strip.columns_mm()
    own = (k * PITCH_MM - lines_mm(x_mm)[LEADS[k]] - top_mm) * SHEET_PX_PER_MM
    rows = np.arange(STRIP_PX)[:, None]
    p = np.exp(-0.5 * ((rows - own) / 1.5) ** 2)
    crossing = others * np.clip(sum(np.abs(x_mm - at) < 1.2 for at in BEATS_MM[:2]), 0, 1)
    p = (1 - crossing) * p + crossing * np.exp(-0.5 * ((rows - own - 8 * SHEET_PX_PER_MM) / 1.5) ** 2) + 1e-9
    log_p = np.log(p / p.sum(axis=0)).astype(np.float32)
    y_px, sigma_px = line_of(log_p)
    n = WIDTH_PX * COLUMNS_PER_PX
    return RowRead(strip, x_mm, strip.rows_mm(y_px), sigma_px / SHEET_PX_PER_MM, np.ones(n), log_p)


def layout(names: tuple[str, ...] = LEADS) -> Layout:
    return Layout("3x1", tuple(Panel(name, k, 0, 0.5, 63.0, k * PITCH_MM) for k, name in enumerate(names)))


def errors_mm(read: RowRead, k: int) -> np.ndarray:
    return np.abs(k * PITCH_MM - lines_mm(read.x_mm)[LEADS[k]] - read.y_mm)


def test_a_complex_that_is_rather_anothers_is_told_by_the_other_leads() -> None:
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.7)]
    told = told_apart(reads, layout())
    before, after = errors_mm(reads[2], 2), errors_mm(told[2], 2)
    assert (before > 5).sum() > 60
    assert after.max() < 3
    assert after.sum() < before.sum() / 6
    for k in (0, 1):
        np.testing.assert_allclose(told[k].y_mm, reads[k].y_mm, atol=0.02)


def test_what_is_not_in_doubt_stays_as_it_is() -> None:
    reads = [read_of(k, 0.0) for k in range(3)]
    assert all(a is b for a, b in zip(told_apart(reads, layout()), reads, strict=True))


def test_one_lead_alone_is_told_by_nobody() -> None:
    reads = [read_of(2, 0.7)]
    alone = replace(layout(), panels=(Panel("III", 0, 0, 0.5, 63.0, 2 * PITCH_MM),))
    assert told_apart(reads, alone)[0] is reads[0]


def test_a_strip_below_columns_of_the_same_seconds_does_not_speak() -> None:
    reads = [read_of(0, 0.7), read_of(1, 0.0)]
    panels = (
        Panel("I", 0, 0, 0.5, 30.0, 0.0),
        Panel("V1", 0, 1, 30.0, 63.0, 0.0),
        Panel("II", 1, 0, 0.5, 63.0, PITCH_MM, rhythm=True),
    )
    assert all(a is b for a, b in zip(told_apart(reads, Layout("custom", panels)), reads, strict=True))


def test_a_piece_too_short_for_a_complex_is_left_alone() -> None:
    reads = [read_of(0, 0.7), read_of(1, 0.0)]
    panels = (Panel("I", 0, 0, 7.2, 9.0, 0.0), Panel("II", 1, 0, 7.2, 9.0, PITCH_MM))
    assert all(a is b for a, b in zip(told_apart(reads, Layout("custom", panels)), reads, strict=True))


def test_a_line_that_may_have_left_its_strip_is_left_alone() -> None:
    """Beyond the strip the network puts it at the edge; what the others expect inside is another row's stroke."""
    reads = [read_of(0, 0.0), read_of(1, 0.0), read_of(2, 0.7)]
    gone = np.any([np.abs(reads[2].x_mm - at) < 1.2 for at in BEATS_MM[:2]], axis=0)
    p = np.exp(reads[2].log_p)
    p[:, gone] *= 0.5
    p[3, gone] += 0.5
    y_mm = np.where(gone, reads[2].strip.rows_mm(np.full(len(gone), 3.0)), reads[2].y_mm)
    leaving = replace(reads[2], log_p=np.log(p).astype(np.float32), y_mm=y_mm)
    told = told_apart([*reads[:2], leaving], layout())[2]
    np.testing.assert_array_equal(told.log_p[:, gone], leaving.log_p[:, gone])
