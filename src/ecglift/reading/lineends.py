"""By how much a layout's columns stand beside the first and last samples of their lines, to a hundredth of a
millimetre: what the network of ends sees of all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ecglift.models.ends import End, Place, find_ends, look_at
from ecglift.models.runtime import load
from ecglift.models.strip import RowRead
from ecglift.paper import LARGE_SQUARE_MM, Layout

_REACH_MM: Final = 0.4
_STEP_MM: Final = 0.002
"""Layouts are moved by up to the first, in steps of the second."""

_VAGUE_MM: Final = 0.12
"""What the network knows no better than that does not count."""
_OWN_MM: Final = 0.02
"""Deviation of single ends beside what the network says of them: how flat the sheet is there."""
_STRAY: Final = 0.1
"""Density, per mm, of ends that are anywhere."""
_LEAST: Final = 1e-9
_START_MM: Final = 0.006
_END_MM: Final = 0.01
"""What all starts of a sheet are off by together, and all ends: a pen or a blur that looks like another."""
_SURE_MM: Final = 0.06
"""Layouts are moved where the shift is known to this."""

_LINE_MM: Final = 0.01
"""Columns that are so near to a heavy line begin on it, and are known better than by their ends: moved a little, 180
pages in the competition's layout had lost 0.09 dB."""
BARRED_MM: Final = 0.02
"""How well columns are known that bars part."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Offset:
    """How far an end of a line is from where a layout has it: ``mm`` to the right, give or take ``sigma_mm``;
    ``place``: which of its samples stands there, and whether its row goes on beyond."""

    mm: float
    sigma_mm: float
    place: Place


def row_ends(read: RowRead, spans_mm: Sequence[tuple[float, float]]) -> list[tuple[End | None, End | None]]:
    """Where the row's lines, which are thought to reach over ``spans_mm``, have their first and last samples, None
    where that is not seen."""
    found = _seen_at(read, _places(spans_mm), None)
    return list(zip(found[::2], found[1::2], strict=True))


def end_offsets(layout: Layout, reads: Sequence[RowRead], model: Any = None) -> list[Offset]:
    """Of all ends of the lines of ``layout``, whose rows are ``reads``, that are seen. ``model``: the network, the
    package's own if none is given."""
    out = []
    for row, read in zip(layout.rows(), reads, strict=True):
        places = _places([(panel.x0_mm, panel.x1_mm) for panel in row])
        for place, end in zip(places, _seen_at(read, places, model), strict=True):
            if end is not None and end.sigma_mm < _VAGUE_MM:
                out.append(Offset(end.x_mm - place.x_mm, end.sigma_mm, place))
    return out


def _places(spans_mm: Sequence[tuple[float, float]]) -> list[Place]:
    """The starts and ends of a row's lines in turn."""
    return [
        Place(x_mm, outward, 0 <= k + outward < len(spans_mm))
        for k, span in enumerate(spans_mm)
        for x_mm, outward in zip(span, (-1, 1), strict=True)
    ]


def _seen_at(read: RowRead, places: Sequence[Place], model: Any) -> list[End | None]:
    return find_ends(model or load("ends"), [look_at(read, place) for place in places])


def common_shift(offsets: Sequence[Offset], sample_mm: float, known_mm: float = np.inf) -> tuple[float, float]:
    """By how much a layout must be moved to the right, and how far that may be off, mm, for its ends to stand where
    they are seen; ``sample_mm``: from one sample to the next; ``known_mm``: how far it may be off as it is.

    A last sample stands on its panel's end or one sample before it; which one is the same on all rows, but it may be
    another inside them, where the record goes on, than where it ends.
    """
    shift = np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM)
    log_p = -0.5 * (shift / known_mm) ** 2
    starts = [one for one in offsets if one.place.outward < 0]
    log_p += _together(starts, shift, _START_MM)
    for inner in (True, False):
        ends = [one for one in offsets if one.place.outward > 0 and one.place.inner == inner]
        rests = [_together(ends, shift - rest, _END_MM) for rest in (0.0, sample_mm)]
        log_p += np.logaddexp(*rests)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    middle = float((p * shift).sum())
    return middle, float(np.sqrt((p * (shift - middle) ** 2).sum()))


def _together(offsets: Sequence[Offset], shift: Floats, alike_mm: float) -> Floats:
    """Log-likelihood (n,) of each ``shift`` (n,) by ``offsets`` that may all be off alike by ``alike_mm``."""
    log_p = np.zeros_like(shift)
    for one in offsets:
        sigma = float(np.hypot(one.sigma_mm, _OWN_MM))
        log_p += np.log(np.exp(-0.5 * ((one.mm - shift) / sigma) ** 2) / sigma + _STRAY)
    most = float(log_p.max())
    return np.asarray(np.log(gaussian_filter1d(np.exp(log_p - most), alike_mm / _STEP_MM) + _LEAST) + most)


def on_samples(
    layout: Layout, reads: Sequence[RowRead], fs_hz: float, known_mm: float = np.inf, model: Any = None
) -> Layout:
    """``layout`` moved to where its lines' first and last samples are seen to stand; as it is where too little is
    seen, or columns begin on a heavy line. ``fs_hz``: the rate at which they were printed; ``known_mm``: how far it may
    be off as it is."""
    begin = min(panel.x0_mm for panel in layout.panels)
    if abs(begin - LARGE_SQUARE_MM * round(begin / LARGE_SQUARE_MM)) < _LINE_MM:
        return layout
    shift, sigma = common_shift(end_offsets(layout, reads, model), layout.speed_mm_s / fs_hz, known_mm)
    if sigma > _SURE_MM:
        return layout
    panels = (replace(p, x0_mm=p.x0_mm + shift, x1_mm=p.x1_mm + shift) for p in layout.panels)
    return replace(layout, panels=tuple(panels))
