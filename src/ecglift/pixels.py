"""Pictures' channels: the darkest of a pixel's, and all of them one after the other as networks want them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def darkest(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The least of the three channels, (h, w) of (h, w, 3): a red, orange, green or blue line absorbs in at least one,
    a black or grey one in all."""
    channels = cv2.split(rgb)
    return np.asarray(cv2.min(cv2.min(channels[0], channels[1]), channels[2]), np.uint8)


def planes(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 3, h, w) float32 from (n, h, w, 3), values as they are."""
    out = np.empty((rgb.shape[0], 3, *rgb.shape[1:3]), np.float32)
    for picture, channels in zip(rgb, out, strict=True):
        channels[:] = cv2.split(picture)  # several times as fast as a transposed copy
    return out
