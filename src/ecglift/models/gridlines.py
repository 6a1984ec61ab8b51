"""What the grid network sees of a picture and what it answers: the printed grid alone, as waves.

Its input is the reduced picture that the grid is searched on, at 2.5 to 12 px/mm and turned by up to 45°; its answer
the grid without traces, print, stains, moiré or a scanner's threshold. It is trained on the mean square error, so that
a wave is as high as the network is sure of it, and nothing where it cannot tell.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.pixels import planes

CHANNELS: Final = ("light across", "heavy across", "light down", "heavy down")
"""Waves of the lines that follow each other from left to right, and from top to bottom: of the 1 mm lines a cosine, 1
on a line; of the 5 mm lines a bump on each, and as much below zero between them as makes their mean zero."""

SHARPNESS: Final = 8.0
"""Concentration of the von Mises bump on a 5 mm line: 0.67 mm wide at half its height."""

HEAVY_MEAN: Final = 0.14343
"""exp(−8)·I₀(8): the mean of such bumps of height 1."""

MULTIPLE: Final = 32
"""The network's pictures have sides of whole multiples of this."""


def network_input(rgb: NDArray[np.uint8], ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 4, h, w) float32 from pictures (n, h, w, 3) uint8 and their ink (n, h, w), −2 to 2."""
    colours = planes(rgb)
    colours -= 160.0
    colours /= 80.0
    return np.concatenate([colours, ink[:, None]], axis=1)


def waves_of(mm: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The waves (light, heavy), each like ``mm``, of lines at whole millimetres and at multiples of 5 mm."""
    turn = np.float32(2 * np.pi)
    bump = np.exp(SHARPNESS * (np.cos(turn / 5 * mm) - 1)) - HEAVY_MEAN
    return np.cos(turn * mm).astype(np.float32), bump.astype(np.float32)


def find_waves(rgb: NDArray[np.uint8], ink: NDArray[np.float32], model: Any) -> NDArray[np.float32]:
    """(4, h, w) float32, :data:`CHANNELS`, for a picture (h, w, 3) uint8 and its ink (h, w).

    Pixels that differ by an odd number in their place are answered by other weights, and the waves may stand some
    hundredths of a pixel beside the lines, alike all over a page: :mod:`ecglift.lattice.offset` mends that.
    ``model``: an :class:`ecglift.models.runtime.Model`."""
    height, width = ink.shape
    edges = 0, -height % MULTIPLE, 0, -width % MULTIPLE  # above, below, left, right
    wider = (cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE)[None] for part in (rgb, ink))
    answer = model.run({"picture": network_input(*wider)})["waves"][0]
    return np.asarray(answer[:, :height, :width], np.float32)
