"""Pictures' channels."""

from __future__ import annotations

import numpy as np

from ecglift.pixels import darkest, planes


def test_planes_are_channels_first() -> None:
    rgb = np.zeros((2, 512, 64, 3), np.uint8)
    rgb[1, 5, 6, 2] = 7
    x = planes(rgb)
    assert x.shape == (2, 3, 512, 64)
    assert x.dtype == np.float32
    assert x[1, 2, 5, 6] == 7.0
    assert x.sum() == 7.0


def test_the_darkest_channel_counts() -> None:
    rgb = np.array([[[250, 20, 30], [200, 210, 190]]], np.uint8)
    assert darkest(rgb).tolist() == [[20, 190]]
