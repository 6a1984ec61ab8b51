"""What lies around the paper in a photo: painted over where it is so busy that it would be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from ecglift.sheet import Sheet

_BUSY: Final = 3.0
"""Times the usual local deviation of the sheet's quieter part, and the least, in grey levels, of a busy pixel."""
_LEAST: Final = 16.0

_BLANK: Final = 0.5
"""Mean local deviation, in grey levels, that no scan or photo of paper falls below."""

_SHARE: Final = 0.45
"""Part of the pixels around that must be busy. Traces, however bold, leave most of the paper between them blank; a
texture leaves nothing."""

_BEYOND_MM: Final = 15.0
_BOLD: Final = 0.2
_TEXTURED: Final = 0.6
"""The grid network sees a grid go on for so far beyond the paper's edge: where less than that share of what lies
further inside is busy, and more than that share of the rim belongs to the texture around, the rim is no paper."""

_AROUND_MM: Final = 8.0
_THICK_MM: Final = 16.0
_SPOT_MM: Final = 5.0
_PX_PER_MM: Final = 2.0
"""At this scale the 1 mm grid is gone."""


def without_surroundings(sheet: Sheet, grid_mm: tuple[float, float, float, float] | None = None) -> Sheet:
    """``sheet`` with textures that reach its edge (a carpet, gravel, a moiré) in paper colour; the sheet itself,
    unchanged, where there are none. ``grid_mm``: x0, y0, x1, y1 of what is paper whatever it looks like: a bold grid in
    bright light is a texture, too."""
    size = tuple(max(round(n * _PX_PER_MM / sheet.px_per_mm), 1) for n in sheet.seen.shape[::-1])
    grey = cv2.resize(cv2.cvtColor(sheet.rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    seen = cv2.resize(sheet.seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    if not seen.any():
        return sheet
    around = round(_AROUND_MM * _PX_PER_MM) | 1
    covered = np.maximum(cv2.blur(seen.astype(np.float32), (around, around)), 0.05)
    deviation = np.abs(grey - cv2.blur(grey, (11, 11))) * seen
    # The quieter part of a sheet is paper, also where the photo shows more table than paper. Margins that a computer
    # has drawn are no measure: beside their blank white any grid is busy.
    local = (cv2.blur(deviation, (around, around)) / covered)[seen > 0]
    drawn = local[local > _BLANK]
    usual = float(np.percentile(drawn, 20)) if drawn.size else 0.0
    loud = (deviation > max(_BUSY * usual, _LEAST)).astype(np.float32)
    busy = (cv2.blur(loud, (around, around)) / covered > _SHARE) | (seen == 0)
    thick = np.ones((round(_THICK_MM * _PX_PER_MM) | 1,) * 2, np.uint8)
    spot = np.ones((round(_SPOT_MM * _PX_PER_MM) | 1,) * 2, np.uint8)
    # What the picture does not show counts as edge, alone it is nothing to paint over.
    framed = cv2.copyMakeBorder(busy.astype(np.uint8), *(2 * len(thick),) * 4, cv2.BORDER_CONSTANT, value=1)
    # Calm spots within a texture belong to it, thin busy bands are none.
    closed = cv2.morphologyEx(framed, cv2.MORPH_CLOSE, spot)
    _, pieces = cv2.connectedComponents(cv2.morphologyEx(closed, cv2.MORPH_OPEN, thick))
    inner = slice(2 * len(thick), -2 * len(thick))
    outside = (pieces == pieces[0, 0])[inner, inner].astype(np.uint8)
    paper = np.zeros_like(outside)
    if grid_mm is not None:
        whole, inside = _window(sheet, grid_mm), _window(sheet, grid_mm, _BEYOND_MM)
        rim = np.zeros_like(outside)
        rim[whole], rim[inside] = 1, 0
        rim &= seen
        # A strip that is all rim has nothing inside to be calm: it stays.
        calm = busy[inside].size > 0 and busy[inside].mean() <= _BOLD
        textured = (outside & rim).sum() > _TEXTURED * max(int(rim.sum()), 1)
        paper[inside if textured and calm else whole] = 1
    if (outside & seen & (1 - paper)).mean() < 0.01:
        return sheet
    # Near the paper's edge half of the window is calm: the texture reaches a little further than that.
    outside = cv2.dilate(outside, np.ones((around // 2, around // 2), np.uint8)) & (1 - paper)
    mask = cv2.resize(outside, sheet.seen.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    rgb = sheet.rgb.copy()
    rgb[mask] = np.median(rgb[::8, ::8][~mask[::8, ::8]], axis=0).astype(np.uint8)
    return replace(sheet, rgb=rgb)


def _window(sheet: Sheet, box_mm: tuple[float, float, float, float], less_mm: float = 0.0) -> tuple[slice, slice]:
    """(rows, columns) of the reduced sheet within a box that is ``less_mm`` smaller on every side."""
    x0, y0 = (round((v + less_mm - o) * _PX_PER_MM) for v, o in zip(box_mm[:2], sheet.origin_mm, strict=True))
    x1, y1 = (round((v - less_mm - o) * _PX_PER_MM) for v, o in zip(box_mm[2:], sheet.origin_mm, strict=True))
    return slice(max(y0, 0), max(y1, 0)), slice(max(x0, 0), max(x1, 0))
