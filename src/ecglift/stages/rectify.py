"""rectify: the original pixels laid flat onto paper millimetres, in one resampling."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.sheet import SHEET_PX_PER_MM, Sheet

MAX_SHEET_PIXELS: Final = 64_000_000
"""A sheet of one square metre: nothing larger was ever an ECG."""


def rectify(
    image: NDArray[np.uint8],
    page_map: PageMap,
    bounds_mm: tuple[float, float, float, float],
    px_per_mm: float = SHEET_PX_PER_MM,
) -> Sheet:
    """The flat sheet of ``bounds_mm`` (x0, y0, x1, y1) at ``px_per_mm``, from ``image`` (h, w, 3) uint8 under its
    ``page_map``.

    One Lanczos interpolation of the original pixels (8×8); where the image is finer than the sheet it is low-passed
    first, so that nothing folds, and a cubic one (4×4) loses no more. Pixels that the image does not reach are white
    and not ``seen``."""
    x0, y0, x1, y1 = bounds_mm
    width, height = round((x1 - x0) * px_per_mm), round((y1 - y0) * px_per_mm)
    if width < 1 or height < 1:
        raise ValueError(f"bounds_mm must be x0 < x1 and y0 < y1, got {bounds_mm}")
    if width * height > MAX_SHEET_PIXELS:
        raise ValueError(f"bounds_mm at {px_per_mm} px/mm make {width}×{height} pixels, more than {MAX_SHEET_PIXELS}")
    px = page_map.raster(x0 + np.arange(width) / px_per_mm, y0 + np.arange(height) / px_per_mm)
    seen = (
        (px[..., 0] >= -0.5)
        & (px[..., 0] <= image.shape[1] - 0.5)
        & (px[..., 1] >= -0.5)
        & (px[..., 1] <= image.shape[0] - 0.5)
    )
    middle = page_map.px_per_mm(np.array([(x0 + x1) / 2, (y0 + y1) / 2]))
    source = _low_passed(image, float(np.min(middle)) / px_per_mm)
    how = cv2.INTER_LANCZOS4 if source is image else cv2.INTER_CUBIC
    rgb = cv2.remap(source, px, None, how, borderMode=cv2.BORDER_REPLICATE)
    rgb[~seen] = 255
    return Sheet(rgb, seen, (x0, y0), px_per_mm)


def _low_passed(image: NDArray[np.uint8], finer: float) -> NDArray[np.uint8]:
    """The image without the detail that a sampling ``finer`` times as coarse cannot hold."""
    if finer <= 1.2:
        return image
    # A Gaussian of 0.45 output pixels, of which the source pixel's own aperture is already a part.
    sigma = 0.45 * float(np.sqrt(finer**2 - 1.0))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
