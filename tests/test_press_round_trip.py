"""What the press draws, read back by the signal stage, is what it was given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecglift.kaggle import without_gaps
from ecglift.metrics import image_snr_db
from ecglift.paper import TEMPLATES
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.patients import simulate
from ecglift.press.style import random_style
from ecglift.sheet import Trace
from ecglift.stages.signal import to_recording

COLUMN_MM = 0.0125
"""Fine enough that samples which lie between two columns, as after a gap on the paper, are not cut off."""


def drawn(page: Page) -> tuple[Trace, ...]:
    traces = []
    for row in page.layout.rows():
        lines = [s.points_mm for s in page.strokes if s.kind == "trace" and s.row == row[0].row]
        x = np.arange(min(p[0, 0] for p in lines), max(p[-1, 0] for p in lines), COLUMN_MM)
        y = np.full(len(x), np.nan)
        for points in lines:
            inside = (x >= points[0, 0] - 1e-9) & (x <= points[-1, 0] + 1e-9)
            y[inside] = np.interp(x[inside], points[:, 0], points[:, 1])
        traces.append(Trace(row[0].row, x, y, np.full(len(x), 0.002), np.isfinite(y).astype(float)))
    return tuple(traces)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_the_polylines_hold_the_signal(template: str) -> None:
    rng = np.random.default_rng([1, sorted(TEMPLATES).index(template)])
    fs_hz = float(rng.choice([250.0, 500.0, 1000.0]))
    # Some devices print fewer samples than they take; what they leave out is on no page.
    style = replace(random_style(rng, bundled_fonts_only=True, template=template), print_hz=fs_hz)
    page = compose(rng, simulate(rng, fs_hz).mv, fs_hz, style)
    recording = to_recording(page.layout, drawn(page), fs_hz)
    assert image_snr_db(page.printed_mv(), without_gaps(recording), fs_hz) > 45
