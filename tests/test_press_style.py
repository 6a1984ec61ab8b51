"""Styles of sheets and what compose makes of them."""

from __future__ import annotations

import numpy as np

from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import random_style


def test_every_column_may_have_its_pulse() -> None:
    rng = np.random.default_rng(3)
    style = random_style(rng, bundled_fonts_only=True, template="6x2", pulses_between=1.0)
    page = compose(rng, simulate(rng, 500.0).mv, 500.0, style)
    pulses = [s.points_mm for s in page.strokes if s.kind == "pulse"]
    assert len(pulses) == len(page.layout.panels) == 12
    for pulse in pulses:
        x0, x1, level = pulse[0, 0], pulse[-1, 0], pulse[0, 1]
        assert np.ptp(pulse[:, 1]) == style.gain_mm_mv
        # It stands on its panel's zero line, just before it and in nobody else's columns.
        (panel,) = (p for p in page.layout.panels if p.baseline_mm == level and 0 < p.x0_mm - x1 < 2)
        assert all(p is panel or p.baseline_mm != level or p.x1_mm < x0 or p.x0_mm > x1 for p in page.layout.panels)


def test_without_pulses_between_the_choices_are_those_of_the_frozen_pages() -> None:
    one, two = (np.random.default_rng(5) for _ in range(2))
    styles = [random_style(rng, bundled_fonts_only=True, template="12x1") for rng in (one, two)]
    assert styles[0] == styles[1]
    none = random_style(np.random.default_rng(5), bundled_fonts_only=True, template="12x1", pulses_between=0.0)
    assert none == styles[0]  # a single column draws no lot
