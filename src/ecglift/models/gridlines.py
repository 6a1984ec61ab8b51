"""What the grid network sees of a picture and what it answers: the printed grid alone, as waves.

Its input is the reduced picture that the grid is searched on, at 2.5 to 12 px/mm and turned by up to 45°; its answer
the grid without traces, print, stains, moiré or a scanner's threshold. It is trained on the mean square error, so that
a wave is as high as the network is sure of it, and nothing where it cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
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

LOOKS_PX: Final = (0, 1)
"""Shifts, to the right and down alike, at which a picture is looked at. Pixels that differ by an odd number in their
place are answered by other weights, and err by up to 0.1 px in other directions: on a clean page that was 3 dB."""


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


def find_waves(
    rgb: NDArray[np.uint8], ink: NDArray[np.float32], model: Any, looks_px: Sequence[int] = LOOKS_PX
) -> NDArray[np.float32]:
    """(4, h, w) float32, :data:`CHANNELS`, for a picture (h, w, 3) uint8 and its ink (h, w): the mean of ``looks_px``.

    ``model``: an :class:`ecglift.models.runtime.Model`."""
    height, width = ink.shape
    total = np.zeros((len(CHANNELS), height, width), np.float32)
    for shift in looks_px:
        edges = shift, -(height + shift) % MULTIPLE, shift, -(width + shift) % MULTIPLE  # above, below, left, right
        wider = (cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE)[None] for part in (rgb, ink))
        answer = model.run({"picture": network_input(*wider)})["waves"][0]
        total += answer[:, shift : shift + height, shift : shift + width]
    total /= np.float32(len(looks_px))
    return total
