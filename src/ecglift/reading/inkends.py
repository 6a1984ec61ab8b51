"""Where the ink of a row's line begins and ends, to a few hundredths of a millimetre.

The trace network sees an end to a tenth; the stroke itself, followed along the line that the network reads, ends where
its darkness has fallen to half. From there to the first and last sample it is part of a pen's width, the same on all
rows of a sheet and the same, the other way round, at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ecglift.models.strip import RowRead
from ecglift.pixels import darkest

Floats = NDArray[np.float64]

CAP: Final = 0.3
"""How far the ink reaches beyond the first and last sample, in parts of a line's width, measured on 90 pages."""

_STEP_MM: Final = 1 / 32
_KNOWN_MM: Final = 0.4
"""Columns whose height the network knows so well show where the line is; beyond them it goes on level."""

_INSIDE_MM: Final = 3.0
_REACH_MM: Final = 1.2
"""How far inside and beyond the place where it is thought to be an end is searched."""

_APART_MM: Final = 0.6

_BAND_MM: Final = 0.6
_DARKEST: Final = 3
"""The darkness at a place along the line: of so many of the darkest samples so near to it, since lines are steep."""

_ASIDE_MM: Final = np.outer([-1.0, 1.0], np.arange(1.2, 3.2, 0.25)).reshape(-1, 1)
"""How far above and below the line the paper is looked at for lines of the grid that cross it."""

_DARK_LINE: Final = 0.55
"""Part of the stroke's own contrast from which on such a line passes for the stroke: a little more than the half by
which an end is told, since what is looked at aside is blurred."""

_BEYOND_MM: Final = 0.35
"""An end is one where the stroke does not go on within so much."""

_CONTRAST: Final = 25.0
"""Of 255: what a stroke must be darker than what is beyond its end, grid lines and all."""

_LEVEL_MM: Final = 0.05
_COLUMNS: Final = 60
_NARROW: Final = 0.35
"""The pen is as wide as that share of the level columns are at most: where a line trembles it looks wider."""


def ink_ends(read: RowRead, *spans_mm: tuple[float, float]) -> list[tuple[float | None, float | None]]:
    """Where the ink of the row's lines, which are thought to reach over ``spans_mm``, begins and ends, mm; None where
    it is not seen to, as at a pulse that is joined to it or at the picture's edge."""
    ink = _ink(read)
    return [(_end(ink, read, x0_mm, -1), _end(ink, read, x1_mm, 1)) for x0_mm, x1_mm in spans_mm]


def pen_width_mm(reads: Iterable[RowRead]) -> float | None:
    """The width of the lines, between the heights at which they are half as dark; None where too little of them is
    level."""
    off = np.arange(-1.0, 1.0 + _STEP_MM / 2, _STEP_MM)
    near, aside = np.abs(off) < 0.2, np.abs(off) > 0.6
    widths: list[float] = []
    for read in reads:
        y = read.y_mm
        level = np.zeros(len(y), np.bool_)
        level[4:-4] = np.abs(y[8:] - y[:-8]) < _LEVEL_MM
        k = np.flatnonzero(level & (read.presence > 0.9) & (read.sigma_mm < _KNOWN_MM))
        if len(k) < _COLUMNS:
            continue
        k = k[np.linspace(0, len(k) - 1, _COLUMNS).astype(int)]
        profiles = _sampled(_ink(read), read, read.x_mm[k], y[k] + off[:, None])
        peak, ground = profiles[near].max(0), np.median(profiles[aside], axis=0)
        dark = (profiles > (peak + ground) / 2) & (np.abs(off) < 0.8)[:, None]
        widths += list(dark.sum(0)[peak - ground > _CONTRAST] * _STEP_MM)
    return float(np.quantile(widths, _NARROW)) if len(widths) >= _COLUMNS else None


def _ink(read: RowRead) -> NDArray[np.float32]:
    return (255 - darkest(read.strip.rgb)).astype(np.float32)


def _sampled(ink: NDArray[np.float32], read: RowRead, x_mm: Floats, y_mm: Floats) -> NDArray[np.float32]:
    """The darkness at ``x_mm`` (n,) and heights ``y_mm`` (m, n)."""
    strip = read.strip
    rows, columns = strip.rows_px(y_mm), (x_mm - strip.left_mm) * strip.px_per_mm
    at = [rows, np.broadcast_to(columns, rows.shape)]
    return np.asarray(map_coordinates(ink, at, order=1, mode="nearest"), np.float32)


def _end(ink: NDArray[np.float32], read: RowRead, thought_mm: float, outward: int) -> float | None:
    """The end near ``thought_mm``; ``outward``: 1 to the right, -1 to the left."""
    away = outward * (read.x_mm - thought_mm)
    step = float(np.diff(read.x_mm).mean())
    near = (away > -_INSIDE_MM) & (away < _REACH_MM)
    known = near & (read.presence > 0.5) & (read.sigma_mm < _KNOWN_MM)
    places = np.sort(away[known])
    # The next panel's line, beyond a gap, is not this one's.
    apart = np.flatnonzero(np.diff(places) > _APART_MM)
    places = places[: apart[0] + 1] if len(apart) else places
    if len(places) < _INSIDE_MM / 2 / step:
        return None
    last = float(places[-1])
    u = np.arange(-_INSIDE_MM, _REACH_MM + 1.5, _STEP_MM)
    beyond, inside = (u > last + 0.5) & (u < last + 1.2), (u < last - 0.5) & (u > last - 2.5)
    x = thought_mm + outward * u
    if not beyond.any() or float(np.interp(x[beyond], read.x_mm, read.presence, 0.0, 0.0).min()) <= 0:
        # What the picture does not show has no chance at all.
        return None
    y = np.interp(thought_mm + outward * np.minimum(u, last), read.x_mm, read.y_mm)
    off = np.arange(-_BAND_MM, _BAND_MM + _STEP_MM / 2, _STEP_MM)
    dark = np.sort(_sampled(ink, read, x, y + off[:, None]), axis=0)[-_DARKEST:].mean(0)
    stroke, ground = float(np.median(dark[inside])), float(np.median(dark[beyond]))
    if stroke - ground < _CONTRAST:
        return None
    # A line of the grid that crosses the stroke is seen above and below it, too.
    crossing = np.median(_sampled(ink, read, x, y + _ASIDE_MM), axis=0)
    excess = np.maximum(crossing - np.median(crossing), 0)
    under = ground + np.where(excess > _DARK_LINE * (stroke - ground), excess, 0)
    clear = stroke - under >= _CONTRAST
    share = (dark - under) / np.maximum(stroke - under, _CONTRAST)
    share = np.interp(u, u[clear], share[clear])
    n = round(_BEYOND_MM / _STEP_MM)
    over = share >= 0.5
    for k in range(int(np.searchsorted(u, last - 1.0)), len(u) - n - 1):
        if over[k] and not over[k + 1 : k + 1 + n].any():
            part = (share[k] - 0.5) / (share[k] - share[k + 1])
            return float(x[k] + outward * part * _STEP_MM)
    return None
