"""The orient stage: the turn of the grid modulo a quarter turn."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.stages.orient import find_orientation
from grids import draw, turned

SHAPE = (360, 480)


@pytest.mark.parametrize("degrees", [-41.0, -10.0, -1.5, 0.0, 4.0, 33.0])
def test_turn_of_the_grid(degrees: float) -> None:
    found = find_orientation(draw(turned(5.0, degrees, SHAPE), SHAPE))
    assert found.rotation_deg == pytest.approx(degrees, abs=1.0)
    assert found.confidence > 0.8


def test_a_quarter_turn_does_not_show() -> None:
    image = draw(turned(5.0, 7.0, SHAPE), SHAPE)
    assert find_orientation(np.rot90(image).copy()).rotation_deg == pytest.approx(7.0, abs=1.0)


def test_no_grid_no_confidence() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
    assert find_orientation(noise).confidence < 0.2
    assert find_orientation(np.full((30, 30, 3), 255, np.uint8)).confidence < 0.2
