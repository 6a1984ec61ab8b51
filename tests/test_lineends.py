"""The network of ends says where lines' first and last samples stand, and layouts are moved there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.models.ends import (
    BINS,
    CHANNELS,
    OUTSIDE_PX,
    SIDE_PX,
    Place,
    decoded,
    look_at,
)
from ecglift.models.strip import RowRead, Strip
from ecglift.paper import Layout
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.reading.lineends import Offset, common_shift, end_offsets, on_samples
from ecglift.stages.rectify import rectify
from ecglift.stages.trace import TraceSettings, read_rows

FS_HZ = 500.0
START, END = Place(0.0, -1, inner=False), Place(0.0, 1, inner=False)


def _row(px_per_mm: float, start_mm: float = 20.03, end_mm: float = 80.06) -> RowRead:
    """A level line on white paper, from one sample to another, in a strip of any scale."""
    height, width = round(64 * px_per_mm), round(100 * px_per_mm)
    fine = 16
    x = (np.arange(width * fine) + 0.5) / (px_per_mm * fine)
    inside = ((x > start_mm) & (x < end_mm)).reshape(width, fine).mean(axis=1)
    middle = height // 2
    grey = np.full((height, width), 240.0)
    grey[middle - 1 : middle + 2] -= 200 * inside
    strip = Strip(np.repeat(grey.astype(np.uint8)[..., None], 3, -1), 0.5 / px_per_mm, 0.5 / px_per_mm, px_per_mm)
    at = strip.columns_mm()
    seen = (at > start_mm) & (at < end_mm)
    y_mm = np.full(len(at), float(strip.rows_mm(np.array(float(middle)))))
    p = np.full((height, len(at)), 1e-6, np.float32)
    p[middle, seen] = 1.0
    return RowRead(strip, at, y_mm, np.where(seen, 0.05, 9.0), np.where(seen, 0.99, 0.01), np.log(p))


@pytest.mark.parametrize("px_per_mm", [8.0, 4.0])
@pytest.mark.parametrize(("outward", "end_mm"), [(-1, 20.03), (1, 80.06)])
def test_starts_and_ends_are_seen_alike_at_any_scale(px_per_mm: float, outward: int, end_mm: float) -> None:
    look = look_at(_row(px_per_mm), Place(end_mm + 0.4 * outward, outward, inner=False))
    assert look is not None
    assert look.shown.shape == (CHANNELS, SIDE_PX, SIDE_PX)
    along = look.shown[0, SIDE_PX // 2 - 4 : SIDE_PX // 2 + 4].max(axis=0)
    half = along.max() / 2
    k = int(np.flatnonzero(along > half)[0])
    edge = k - (along[k] - half) / (along[k] - along[k - 1])
    assert edge == pytest.approx(look.column(end_mm), abs=0.35 * 8 / px_per_mm)
    assert look.column(end_mm) == pytest.approx(OUTSIDE_PX + 0.4 * 8, abs=1.1)
    assert look.shown[3, :, : int(edge) - 2].max() < 0.1 < look.shown[3, :, int(edge) + 4 :].max()
    assert (look.shown[4] == (outward > 0)).all()


def test_where_no_line_is_known_nothing_is_looked_at() -> None:
    assert look_at(_row(8.0), Place(10.0, -1, inner=False)) is None


def test_an_answer_is_read_to_a_part_of_a_place() -> None:
    places = np.arange(BINS)
    told = decoded((-0.5 * ((places - 50.3) / 0.7) ** 2).astype(np.float32))
    assert told is not None
    assert told[0] == pytest.approx((50.3 + 0.5) * SIDE_PX / BINS - 0.5, abs=0.02)
    vague = decoded((-0.5 * ((places - 50.3) / 2.0) ** 2).astype(np.float32))
    assert vague is not None
    assert vague[1] > 3 * told[1]
    assert decoded(np.zeros(BINS, np.float32)) is None


def test_strays_do_not_move_a_layout() -> None:
    true = [Offset(0.1 + off, 0.02, START) for off in (-0.01, 0.0, 0.01, 0.02, -0.02)]
    strays = [Offset(-0.3, 0.02, START), Offset(0.35, 0.02, START)]
    shift, sigma = common_shift([*true, *strays], 0.05)
    assert shift == pytest.approx(0.1, abs=0.01)
    assert sigma < 0.02


def test_a_last_sample_stands_on_its_panels_end_or_one_before_it() -> None:
    starts = [Offset(0.1, 0.02, START)] * 3
    for off in (0.1, 0.05):
        shift, _ = common_shift([*starts, *[Offset(off, 0.02, END)] * 3], 0.05)
        assert shift == pytest.approx(0.1, abs=0.01)


def test_what_is_known_of_a_layout_holds_it() -> None:
    starts = [Offset(0.1, 0.02, START)] * 3
    free, _ = common_shift(starts, 0.05)
    held, sigma = common_shift(starts, 0.05, 0.01)
    assert free == pytest.approx(0.1, abs=0.01)
    assert abs(held) < 0.05
    assert sigma < 0.02


def _moved(layout: Layout, by_mm: float) -> Layout:
    panels = (replace(p, x0_mm=p.x0_mm + by_mm, x1_mm=p.x1_mm + by_mm) for p in layout.panels)
    return replace(layout, panels=tuple(panels))


@pytest.mark.parametrize(("kind", "most_mm"), [("clean", 0.015), ("photo", 0.03)])
def test_columns_are_put_where_the_samples_stand(kind: str, most_mm: float) -> None:
    rng = np.random.default_rng(5)
    page = compose(rng, simulate(rng, fs_hz=FS_HZ).mv, FS_HZ, competition_style(rng))
    taken = capture(page, kind, rng, CaptureSettings.usual(max_megapixels=4.0))
    sheet = rectify(taken.image, taken.map, (0.0, 0.0, page.width_mm, page.height_mm))
    reads = read_rows(sheet, page.layout, TraceSettings())
    assert len(end_offsets(page.layout, reads)) > 10
    for by_mm in (-0.13, 0.0, 0.21):
        found = on_samples(_moved(page.layout, by_mm), reads, FS_HZ)
        off = [a.x0_mm - b.x0_mm for a, b in zip(found.panels, page.layout.panels, strict=True)]
        assert np.ptp(off) < 1e-9
        assert off[0] == pytest.approx(0.0, abs=most_mm)


def test_a_sheet_that_shows_no_ends_stays_as_it_is() -> None:
    rng = np.random.default_rng(6)
    page = compose(rng, simulate(rng, fs_hz=FS_HZ).mv, FS_HZ, competition_style(rng))
    row = _row(8.0)
    empty = replace(row, presence=np.zeros_like(row.presence))
    assert on_samples(page.layout, [empty] * len(page.layout.rows()), FS_HZ) == page.layout
