"""Strokes of complexes made taller, towards where their ink ends.

In a tall stroke the trace network cannot tell which column holds the peak, nor, where complexes of several rows make
one stroke, whose it is: its chances are spread along it, their middle is right in the mean of each column, and all
middles together fall short of the peak. How far the line reached in the end, of what the chances leave open, was
measured where the truth is known.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from ecglift.models.strip import RowRead, lobe

Floats = NDArray[np.float64]

_UNSURE_MM: Final = 0.8
_TALL_MM: Final = 4.0
_AROUND: Final = 3
_LONGEST: Final = 60
"""Columns whose line is that unsure are looked at; those whose chances reach over the second are a stroke, with so many
beside it; more than the last, 4 mm, is no complex."""

_BESIDE: Final = 24
"""Columns on both sides of a stroke that say where its line comes from."""

_PEN_MM: Final = 0.4
"""From the end of the chances to the middle of the pen."""

_LEAST_MM: Final = 0.5
_OPEN_MM: Final = 3.0
_SHARE: Final = (-0.22, 0.0185, 0.023)
"""A stroke that goes at least by the first from the line beside it, and leaves more than the second open, is stretched
by a share of that: so much, so much for every open millimetre, and for every one that it goes already. Least squares
over 3000 ends of strokes, each weighed by its lead's error, which falls by a tenth; the row's place among others
and the chance at the end add nothing."""


def stretched(read: RowRead, y_mm: Floats, inside: NDArray[np.bool_]) -> Floats:
    """(n,) the line ``y_mm``, NaN where there is none, with its strokes reaching further where ``read``'s chances do;
    where ``inside`` (n,) says so, others stay as they are."""
    unsure = binary_dilation((read.sigma_mm > _UNSURE_MM) & inside, iterations=_AROUND)
    at = np.flatnonzero(unsure)
    if not len(at):
        return y_mm
    middle = np.round(read.strip.rows_px(read.y_mm[at])).astype(np.int64)
    first, behind = lobe(np.exp(read.log_p[:, at]), np.clip(middle, 0, len(read.log_p) - 1))
    top, bottom = (np.full(len(y_mm), np.nan) for _ in range(2))
    top[at], bottom[at] = (read.strip.rows_mm(np.asarray(edge, np.float64)) for edge in (first, behind - 1))
    with np.errstate(invalid="ignore"):
        strokes = binary_dilation(bottom - top > _TALL_MM, iterations=_AROUND) & unsure & inside
    out = y_mm.copy()
    for (run,) in find_objects(label(strokes)[0]):
        beside = np.r_[y_mm[max(run.start - _BESIDE, 0) : run.start], y_mm[run.stop : run.stop + _BESIDE]]
        if run.stop - run.start > _LONGEST or not np.isfinite(beside).any() or not np.isfinite(y_mm[run]).any():
            continue
        base = float(np.nanmedian(beside))
        for down, end in ((-1.0, np.nanmin(top[run])), (1.0, np.nanmax(bottom[run]))):
            goes = np.clip(down * (y_mm[run] - base), 0, None)
            furthest = float(np.nanmax(goes))
            rest = down * (float(end) - base) - _PEN_MM - furthest
            if furthest > _LEAST_MM and rest > _OPEN_MM:
                out[run] += down * goes * (rest / furthest) * stretch(rest, furthest)
    return out


def stretch(open_mm: float, goes_mm: float) -> float:
    """The share, 0 to 1, of the open millimetres by which a stroke is stretched that goes ``goes_mm`` far already."""
    constant, by_open, by_goes = _SHARE
    return float(np.clip(constant + by_open * open_mm + by_goes * goes_mm, 0, 1))
