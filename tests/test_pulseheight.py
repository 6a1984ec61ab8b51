"""Pulses as high as their ink: measured on the sheet, whatever the network took them for."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecglift.reading.marks import Pulse
from ecglift.reading.pulseheight import measured
from ecglift.sheet import Sheet

FOOT_MM = 40.0


def sheet(height_mm: float, grid: bool = True) -> Sheet:
    """A pulse 5 mm wide whose feet stand at x = 20 and 25, with the line that goes on from it, on pink paper."""
    rgb = np.full((480, 640, 3), (255, 240, 240), np.uint8)
    for k in range(0, 640, 8) if grid else ():
        heavy = k % 40 == 0
        cv2.line(rgb, (k, 0), (k, 479), (240, 150, 150) if heavy else (250, 205, 205), 2 if heavy else 1)
        cv2.line(rgb, (0, k), (639, k), (240, 150, 150) if heavy else (250, 205, 205), 2 if heavy else 1)
    top = FOOT_MM - height_mm
    points = np.array([(18, FOOT_MM), (20, FOOT_MM), (20, top), (25, top), (25, FOOT_MM), (70, FOOT_MM)]) * 8
    cv2.polylines(rgb, [points.astype(np.int32)], False, (25, 20, 30), 3, cv2.LINE_AA)
    return Sheet(rgb, np.ones((480, 640), np.bool_))


def seen(height_mm: float, said_mm: float) -> Pulse:
    return Pulse(22.3, FOOT_MM - height_mm + 0.6, 4.6, said_mm, 0.9)


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("height_mm", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("said_mm", [5.0, 10.0, 20.0, 84.0])
def test_ink_overrules_what_the_network_took_it_for(height_mm: float, said_mm: float, grid: bool) -> None:
    (pulse,) = measured(sheet(height_mm, grid), [seen(height_mm, said_mm)])
    assert pulse.exact
    assert pulse.height_mm == pytest.approx(height_mm, rel=0.01)


@pytest.mark.parametrize("height_mm", [9.2, 9.6, 10.5])
def test_a_height_near_a_usual_one_is_the_inks(height_mm: float) -> None:
    (pulse,) = measured(sheet(height_mm), [seen(height_mm, 10.0)])
    assert pulse.exact
    assert pulse.height_mm == pytest.approx(height_mm, abs=0.08)


def test_sides_of_two_heights_are_not_measured() -> None:
    """A name stands on a foot, or the line begins with a wave: the side seems to end elsewhere."""
    drawn = sheet(10.0)
    drawn.rgb[int(FOOT_MM * 8) : int(FOOT_MM * 8) + 12, 20 * 8 - 3 : 20 * 8 + 4] = 20
    (pulse,) = measured(drawn, [seen(10.0, 10.2)])
    assert not pulse.exact
    assert pulse.height_mm == 10.2


def test_where_there_is_no_pulse_nothing_is_changed() -> None:
    empty = replace(sheet(10.0), rgb=np.full((480, 640, 3), 240, np.uint8))
    beyond = replace(seen(10.0, 7.0), x_mm=-3.0)
    pulses = (seen(10.0, 7.0), beyond)
    assert measured(empty, pulses) == pulses
