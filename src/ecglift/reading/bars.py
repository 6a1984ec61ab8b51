"""Bars between columns: where the strokes that part a row's leads stand, to a hundredth of a millimetre.

The sheet network sees them to a few tenths, and the ink there has a middle at every height. Lines of the grid, which
most bars stand on, are seen 5 mm beside them, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from ecglift.models.sheetmap import CELL_MM, SheetMap
from ecglift.paper import LARGE_SQUARE_MM
from ecglift.pixels import darkest
from ecglift.reading.marks import Pulse
from ecglift.sheet import Sheet

_CHANCE: Final = 0.4
_LEAST_MM: Final = 2.0
_WIDEST_MM: Final = 3.0
"""A bar is where the network sees one with the first chance, at least as tall and at most as wide as is said."""

_PART_MM: Final = 12.0
"""One that goes down through several rows is looked at in parts so tall."""

_ABOVE_MM: Final = 12.0
_BELOW_MM: Final = 3.0
"""A bar may stand so far above the line of its row, or below it: what is seen of one that the line crosses."""

_SIDE_MM: Final = 1.0
"""A stroke that near to a pulse's side, and that far down at the most, is its side."""

_STEP_MM: Final = 1 / 32
_DOWN_MM: Final = 1 / 8
_REACH_MM: Final = 1.8
_TRIMMED_MM: Final = 0.5
"""The ink is looked at so far to both sides of where the network sees a bar, and not at its ends."""

_CONTRAST: Final = 20.0
_EDGE: Final = 0.3
_BROAD_MM: Final = 1.4
"""Its stroke is so much darker, of 255, than paper and grid, from edge to edge at that part of its peak, and not
broader."""

_TWIN: Final = 0.6
"""A second stroke with that part of the first's contrast may be the bar as well."""

_BESIDE_MM: Final = 0.3
_INKED: Final = 0.5
_LEAST_LINES: Final = 8
_STRAIGHT_MM: Final = 0.06
"""Every height has a middle of its own, of the ink that is so near to the stroke and has at least that part of its
contrast; the bar's is theirs in the middle if there are so many and they lie within the last of it: a complex that
crosses a bar leans."""


@dataclass(frozen=True)
class Bar:
    """A stroke between two columns, or a part of a tall one: its middle ``x_mm``, and from where to where the network
    sees it, ``top_mm`` to ``bottom_mm``."""

    x_mm: float
    top_mm: float
    bottom_mm: float


def bar_at(bars: Sequence[Bar], x_mm: float, y_mm: float, near_mm: float) -> Bar | None:
    """The bar nearest to ``x_mm``, within ``near_mm``, of those that stand on a row at the height ``y_mm``, up to 12 mm
    above or 3 mm below it."""
    near = [
        bar
        for bar in bars
        if abs(bar.x_mm - x_mm) < near_mm and bar.top_mm - _BELOW_MM < y_mm < bar.bottom_mm + _ABOVE_MM
    ]
    return min(near, key=lambda bar: abs(bar.x_mm - x_mm), default=None)


def find_bars(answer: SheetMap, sheet: Sheet, pulses: Sequence[Pulse] = ()) -> tuple[Bar, ...]:
    """The bars of an upright sheet, as far as their ink shows where they stand; ``answer``: the network's about it.
    What stands at a side of one of its ``pulses`` is none."""
    chance = answer.chance("separator")
    pieces, _ = label(chance > _CHANCE, np.ones((3, 3)))
    out = []
    for k, (rows, columns) in enumerate(find_objects(pieces), 1):
        height, width = (CELL_MM * (part.stop - part.start) for part in (rows, columns))
        if height < _LEAST_MM or width > _WIDEST_MM:
            continue
        weight = np.where(pieces[rows, columns] == k, chance[rows, columns], 0).sum(axis=0)
        x_mm = answer.left_mm + float(np.average(np.arange(columns.start, columns.stop), weights=weight))
        top, bottom = answer.top_mm + rows.start - CELL_MM / 2, answer.top_mm + rows.stop - CELL_MM / 2
        parts = np.linspace(top, bottom, max(int(height / _PART_MM), 1) + 1)
        for upper, lower in pairwise(parts.tolist()):
            middle = _middle(sheet, x_mm, upper + _TRIMMED_MM, lower - _TRIMMED_MM)
            if middle is not None and not any(_is_side(middle, lower, pulse) for pulse in pulses):
                out.append(Bar(middle, upper, lower))
    return tuple(out)


def _is_side(x_mm: float, bottom_mm: float, pulse: Pulse) -> bool:
    """Whether a stroke down to ``bottom_mm`` is a side of the pulse."""
    feet_mm = pulse.y_mm + pulse.height_mm
    beside = abs(abs(x_mm - pulse.x_mm) - pulse.width_mm / 2) < _SIDE_MM
    return beside and pulse.y_mm < bottom_mm < feet_mm + _SIDE_MM


def _middle(sheet: Sheet, x_mm: float, top_mm: float, bottom_mm: float) -> float | None:
    """Where the stroke near ``x_mm`` that reaches down from ``top_mm`` to ``bottom_mm`` has its middle; None where none
    stands out, or not one alone."""
    off = np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM)
    down = np.arange(top_mm, bottom_mm, _DOWN_MM)

    wide = LARGE_SQUARE_MM + _REACH_MM
    left, right = (round(float(sheet.x_px(x_mm + way * wide))) + 2 * way for way in (-1, 1))
    above, below = (round(float(sheet.y_px(y))) for y in (top_mm, bottom_mm))
    left, above = max(left, 0), max(above - 2, 0)
    ink = 255 - darkest(sheet.rgb[above : below + 2, left : max(right, left + 1)]).astype(np.float32)

    def seen(beside_mm: float) -> NDArray[np.float64]:
        x, y = np.meshgrid(sheet.x_px(x_mm + beside_mm + off) - left, sheet.y_px(down) - above)
        at = x.astype(np.float32), y.astype(np.float32)
        return np.asarray(cv2.remap(ink, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), float)

    here, beside = seen(0.0), [np.median(seen(way * LARGE_SQUARE_MM), axis=0) for way in (-1, 1)]
    # Ink covers a line of the grid rather than add to it: what is darker than any of them is the bar's.
    ground = float(np.minimum(*beside).max())
    quarter = len(down) // 4
    # Without the darkest and the palest quarter, the line itself and gaps among them.
    profile = np.maximum(np.sort(here, axis=0)[quarter : len(down) - quarter].mean(axis=0) - ground, 0)
    contrast = float(profile.max())
    if contrast < _CONTRAST:
        return None
    strokes, _ = label(profile > _EDGE * contrast)
    own = strokes == strokes[int(profile.argmax())]
    if own[0] or own[-1] or own.sum() * _STEP_MM > _BROAD_MM or profile[~own].max() > _TWIN * contrast:
        return None
    near = binary_dilation(own, iterations=round(_BESIDE_MM / _STEP_MM))
    dark = np.clip((here - ground)[:, near] - _EDGE * contrast, 0, None)
    inked = dark.max(axis=1) > (_INKED - _EDGE) * contrast
    if inked.sum() < _LEAST_LINES:
        return None
    middles = (dark[inked] * off[near]).sum(axis=1) / dark[inked].sum(axis=1)
    middle = float(np.median(middles))
    return x_mm + middle if np.median(np.abs(middles - middle)) < _STRAIGHT_MM else None
