"""The network of ends says where lines' first and last samples stand."""

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
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.reading.lineends import row_ends
from ecglift.stages.rectify import rectify
from ecglift.stages.trace import TraceSettings, read_rows

FS_HZ = 500.0


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


@pytest.mark.parametrize(("kind", "most_mm"), [("clean", 0.02), ("photo", 0.04)])
def test_ends_of_a_page_are_seen_where_its_samples_stand(kind: str, most_mm: float) -> None:
    rng = np.random.default_rng(5)
    page = compose(rng, simulate(rng, fs_hz=FS_HZ).mv, FS_HZ, competition_style(rng))
    taken = capture(page, kind, rng, CaptureSettings.usual(max_megapixels=4.0))
    sheet = rectify(taken.image, taken.map, (0.0, 0.0, page.width_mm, page.height_mm))
    reads = read_rows(sheet, page.layout, TraceSettings())
    for thought_mm in (-0.13, 0.0, 0.21):
        off = [
            end.x_mm - panel.x0_mm
            for row, read in zip(page.layout.rows(), reads, strict=True)
            for panel, (end, _) in zip(
                row, row_ends(read, [(p.x0_mm + thought_mm, p.x1_mm + thought_mm) for p in row]), strict=True
            )
            if end is not None
        ]
        assert len(off) > 8
        assert np.median(off) == pytest.approx(0.0, abs=most_mm)


def test_a_row_that_shows_no_line_has_no_ends() -> None:
    row = _row(8.0)
    assert row_ends(replace(row, presence=np.zeros_like(row.presence)), [(20.0, 80.0)]) == [(None, None)]
