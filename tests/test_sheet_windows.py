"""Windows for the sheet network: through captures as through the stand-in, truth and picture lie on each other."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.sheetmap import DENSE
from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style
from ecglift.training.sheet_windows import draw_window

pytestmark = pytest.mark.train


@pytest.mark.parametrize("captured", [0.0, 1.0])
def test_traces_are_dark_where_the_truth_has_them(captured: float) -> None:
    rng = np.random.default_rng(8)
    page = compose(rng, simulate(rng, rhythm="sinus", rate_bpm=70.0).mv, 500.0, competition_style())
    darker = []
    for _ in range(8):
        window = draw_window(rng, page, 304, 208, captured)
        trace = window.dense[DENSE["trace"].start] > 0.5
        if not window.known or not trace.any():
            continue
        assert window.rgb.shape == (4 * 208, 4 * 304, 3)
        cells = window.rgb.min(-1).reshape(208, 4, 304, 4).min((1, 3)).astype(float)
        # Beside a trace, up or down by 6 mm, the paper is lighter.
        beside = np.roll(trace, 6, 0) & ~trace
        darker.append(float(np.mean(cells[beside]) - np.mean(cells[trace])))
    assert len(darker) >= 3
    assert np.median(darker) > 15
