"""Quarter turns of a flat sheet and of the map that belongs to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, Points
from ecglift.sheet import Sheet

Bounds = tuple[float, float, float, float]

_TURNS: Final[NDArray[np.float64]] = np.array(
    [[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]], float
)
"""(4, 2, 2): point of the sheet as it lies → point of the sheet turned clockwise 0 to 3 times, about the millimetres'
origin.

Turning about the origin keeps grid lines on whole millimetres and heavy lines on multiples of five.
"""


def turn_points(mm: Points, quarter_turns: int) -> Points:
    """Points (..., 2) mm of a sheet that is turned clockwise ``quarter_turns`` times (negative: anticlockwise)."""
    return np.asarray(np.asarray(mm, float) @ _TURNS[quarter_turns % 4].T)


def turn_bounds(bounds_mm: Bounds, quarter_turns: int) -> Bounds:
    """x0, y0, x1, y1 mm of a rectangle on the turned sheet."""
    a, b = turn_points(np.array([bounds_mm[:2], bounds_mm[2:]], float), quarter_turns)
    low, high = np.minimum(a, b), np.maximum(a, b)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def turn_sheet(sheet: Sheet, quarter_turns: int) -> Sheet:
    """The sheet turned clockwise ``quarter_turns`` times; its pixels are moved, not resampled."""
    k = quarter_turns % 4
    if k == 0:
        return sheet
    height, width = sheet.seen.shape
    x0, y0 = sheet.origin_mm
    corner = (x0 + (width - 1) / sheet.px_per_mm, y0 + (height - 1) / sheet.px_per_mm)
    left, top, _, _ = turn_bounds((x0, y0, *corner), k)
    rgb, seen = np.rot90(sheet.rgb, -k), np.rot90(sheet.seen, -k)
    return Sheet(np.ascontiguousarray(rgb), np.ascontiguousarray(seen), (left, top), sheet.px_per_mm)


def turn_map(page_map: PageMap, quarter_turns: int) -> PageMap:
    """The map from the turned sheet's millimetres to the same image: ``turn_map(m, k).to_px(turn_points(p, k)) =
    m.to_px(p)``.
    """
    k = quarter_turns % 4
    if k == 0:
        return page_map
    back = np.eye(3)
    back[:2, :2] = _TURNS[k].T
    origin, residual = page_map.origin_mm, page_map.residual_px
    if residual.size:
        rows, columns = residual.shape[:2]
        far = origin[0] + page_map.step_mm * (columns - 1), origin[1] + page_map.step_mm * (rows - 1)
        left, top, _, _ = turn_bounds((*origin, *far), k)
        origin, residual = (left, top), np.rot90(residual, -k)
    return replace(page_map, homography=page_map.homography @ back, origin_mm=origin, residual_px=residual)
