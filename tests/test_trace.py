"""The trace stage beside the network: peaks that leave the strip, and what is written where no line was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecglift.models.strip import STRIP_PX, RowRead, Strip
from ecglift.paper import Layout, Panel
from ecglift.sheet import Sheet
from ecglift.stages.trace import _outside, _seen, _strays, _with_tall, trace_rows


def _read(y_mm: np.ndarray, px_per_mm: float) -> RowRead:
    n = len(y_mm)
    strip = Strip(np.zeros((STRIP_PX, n // 2, 3), np.uint8), 0.0, -STRIP_PX / px_per_mm / 2, px_per_mm)
    return RowRead(strip, strip.columns_mm(), y_mm, np.full(n, 0.1), np.ones(n), np.zeros((STRIP_PX, n), np.float32))


def _peak(x_mm: np.ndarray, height_mm: float, at_mm: float = 20.0) -> np.ndarray:
    return -height_mm * np.exp(-0.5 * ((x_mm - at_mm) / 0.8) ** 2)


def test_a_peak_beyond_the_strip_is_taken_from_the_taller_one() -> None:
    fine_mm, coarse_mm = (np.arange(n) / n * 40 for n in (640, 320))
    fine, coarse = _read(np.maximum(_peak(fine_mm, 45.0), -31.5), 8.0), _read(_peak(coarse_mm, 45.0), 4.0)
    mixed, taken = _with_tall(fine, coarse, 0.0)
    assert mixed.y_mm.min() < -43.0
    assert 0 < taken.sum() < 60
    np.testing.assert_array_equal(mixed.y_mm[~taken], fine.y_mm[~taken])


def test_another_row_that_the_taller_strip_follows_is_not_taken() -> None:
    fine_mm, coarse_mm = (np.arange(n) / n * 40 for n in (640, 320))
    fine = _read(_peak(fine_mm, 12.0), 8.0)
    coarse = _read(np.full(len(coarse_mm), -36.0), 4.0)
    mixed, taken = _with_tall(fine, coarse, 0.0)
    assert not taken.any()
    np.testing.assert_array_equal(mixed.y_mm, fine.y_mm)


def test_a_peak_beyond_the_strip_is_taken_though_the_fine_strip_found_a_frame_instead() -> None:
    """A rule of the form 11 mm above the line was followed where 3.6 mV had left the strip: 7 dB in V4."""
    fine_mm, coarse_mm = (np.arange(n) / n * 40 for n in (640, 320))
    true = _peak(fine_mm, 36.0)
    gone = true < -24.0
    fine = _read(np.where(gone, -11.0, true), 8.0)
    log_p = np.full((STRIP_PX, 640), -9.0, np.float32)
    edge = gone & (true > -31.5)
    log_p[2, edge] = np.log(0.5)
    fine = replace(fine, presence=np.where(gone, 0.2, 1.0), log_p=log_p)
    coarse = _read(_peak(coarse_mm, 36.0), 4.0)
    mixed, taken = _with_tall(fine, coarse, 0.0)
    assert np.abs(mixed.y_mm - true)[gone].max() < 2.5
    np.testing.assert_array_equal(mixed.y_mm[~taken], fine.y_mm[~taken])
    # Without a sign of it at the edge, the tall strip may follow another row.
    _, taken = _with_tall(replace(fine, log_p=np.full_like(log_p, -9.0)), coarse, 0.0)
    assert not taken.any()


def test_a_line_goes_on_to_where_it_is_lost_though_its_chance_fades() -> None:
    n = 640
    read = _read(np.zeros(n), 8.0)
    presence = np.interp(np.arange(n), [0, 100, 116, 540, 560, n], [0.0, 0.2, 0.9, 0.9, 0.1, 0.0])
    sigma = np.where((np.arange(n) >= 96) & (np.arange(n) < 552), 0.16, 4.0)
    sigma[300:310], presence[300:310] = 4.0, 0.1
    read = replace(read, presence=presence, sigma_mm=sigma)
    sigma[400:460], presence[400:460] = 4.0, 0.1
    read = replace(read, presence=presence, sigma_mm=sigma)
    seen = np.flatnonzero(_seen(read, 0.5))
    assert (seen[0], seen[-1]) == (96, 551)
    assert set(range(300, 310)) <= set(seen)
    assert not set(range(402, 458)) & set(seen)
    # Sure of a height, but never of a line: that is another row's, or a rule of the form.
    assert not _seen(replace(read, presence=np.full(n, 0.3), sigma_mm=np.full(n, 0.1)), 0.5).any()


def test_what_the_picture_does_not_show_is_not_read() -> None:
    rgb = np.full((640, 960, 3), 250, np.uint8)
    rgb[:, ::8], rgb[::8] = (255, 200, 205), (255, 200, 205)
    rgb[319:322] = 30
    seen = np.ones((640, 960), bool)
    seen[:, 560:] = False
    rgb[:, 560:] = 255
    layout = Layout("1x1", (Panel("II", 0, 0, 5.0, 115.0, 40.0),))
    trace = trace_rows(Sheet(rgb, seen), layout)[0]
    read = np.isfinite(trace.y_mm)
    assert read[trace.x_mm < 68.0].mean() > 0.95
    assert not read[trace.x_mm > 70.2].any()


def test_a_line_that_leaves_the_picture_and_comes_back_is_not_seen_between() -> None:
    sheet = Sheet(np.zeros((200, 320, 3), np.uint8), np.arange(200)[:, None] + np.zeros((1, 320)) < 160)
    x = np.arange(0.0, 39.0, 1 / 16)
    y, presence = np.full(len(x), 10.0), np.ones(len(x))
    dip, gap = np.abs(x - 10) < 1.0, np.abs(x - 30) < 0.5
    y[np.abs(x - 10) < 1.4], y[dip] = 19.5, 12.0  # the picture ends at 20 mm
    presence[dip | gap] = 0.1
    assert (_outside(sheet, x, y, presence) == dip).all()
    y[x > 10] = 10.0  # it meets the edge on one side only
    assert not _outside(sheet, x, y, presence).any()


def test_a_line_that_leaves_for_a_separator_is_left_out_and_a_complex_is_not() -> None:
    x = np.arange(0, 60, 1 / 16)
    panels = (Panel("I", 0, 0, 0.0, 30.0, 20.0), Panel("aVR", 0, 1, 30.0, 60.0, 20.0))
    y, sigma, presence = np.full(len(x), 20.0), np.full(len(x), 0.1), np.ones(len(x))
    spur, complex_, inner = np.abs(x - 30.4) < 0.3, np.abs(x - 29.5) < 0.4, np.abs(x - 15) < 0.3
    y[spur | complex_ | inner] = 5.0
    sigma[spur | inner], presence[spur | inner] = 4.1, 0.5
    assert (_strays(x, y, sigma, presence, panels) == spur).all()
    assert (_strays(x, y, sigma, np.ones(len(x)), panels) == spur).all()  # 15 mm away, and no height known
    y[spur] = 14.0
    assert not _strays(x, y, sigma, np.ones(len(x)), panels).any()
