"""What lies around the paper in a photo: painted over where it is so busy that it would be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ecglift.sheet import Sheet

_BUSY: Final = 3.0
"""Times the sheet's usual unrest, and the least, in grey levels: bold traces and print stay well below."""
_LEAST: Final = 28.0

_AROUND_MM: Final = 8.0
_PX_PER_MM: Final = 2.0
"""At this scale the 1 mm grid is gone."""


def without_surroundings(sheet: Sheet) -> Sheet:
    """``sheet`` with whatever is much busier than the rest of it and reaches its edge (a carpet, gravel, a moiré) in
    paper colour; the sheet itself, unchanged, where nothing is."""
    size = tuple(max(round(n * _PX_PER_MM / sheet.px_per_mm), 1) for n in sheet.seen.shape[::-1])
    grey = cv2.resize(cv2.cvtColor(sheet.rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    seen = cv2.resize(sheet.seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    around = round(_AROUND_MM * _PX_PER_MM) | 1
    unrest = cv2.blur(np.abs(grey - cv2.blur(grey, (11, 11))) * seen, (around, around))
    unrest /= np.maximum(cv2.blur(seen.astype(np.float32), (around, around)), 0.05)
    if not seen.any():
        return sheet
    # The quieter part of a sheet is paper, also where the photo shows more table than paper.
    limit = max(_BUSY * float(np.percentile(unrest[seen > 0], 20)), _LEAST)
    busy = ((unrest > limit) | (seen == 0)).astype(np.uint8)
    # What the picture does not show counts as edge, alone it is nothing to paint over.
    _, pieces = cv2.connectedComponents(cv2.copyMakeBorder(busy, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1))
    outside = ((pieces == pieces[0, 0])[1:-1, 1:-1] & (busy > 0)).astype(np.uint8)
    if not (outside & seen).any():
        return sheet
    # Near the paper's edge half of the window is calm: the carpet reaches a little further than the unrest.
    outside = cv2.dilate(outside, np.ones((around // 2, around // 2), np.uint8))
    mask = cv2.resize(outside, sheet.seen.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    rgb = sheet.rgb.copy()
    rgb[mask] = np.median(rgb[::8, ::8][~mask[::8, ::8]], axis=0).astype(np.uint8)
    return replace(sheet, rgb=rgb)
