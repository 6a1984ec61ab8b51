"""Grid lines that stand on the pixels of a display or of a coarse print, not where they belong.

Drawn at 3 pixels a millimetre, a line is up to a sixth of a millimetre off, all along it, and the next ones are off in
step with the beat between millimetres and pixels: slow waves of 20 to 200 mm, in either direction, that no smoothing
removes and that paper does not do. What paper does moves lines of both directions together. A flat page in front of a
lens is smooth in few terms; what is left on it of whole lines, in both directions alike, is the pixels' doing. In one
direction only it is a scanner's or a printer's feed, and true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FLAT_MM: Final = 0.04
"""What may be left on a flat page beside whole lines, root mean square. Bent paper leaves 0.06 and more."""

_LEAST_MM: Final = 0.012
_MOST_MM: Final = 0.15
"""Whole lines' displacement, root mean square in the worse direction: what is worth a correction, and half a pixel of
the coarsest display on which a grid is seen."""

_ALIKE: Final = 0.35
"""Least ratio of the two directions' displacements: pixels are square, a feed has one direction."""

_ROUNDS: Final = 4


@dataclass(frozen=True)
class Rastered:
    """A flat page whose lines stand on pixels: ``lens``: (rows, columns, 2) mm, the page's own smooth distance from
    the plane; ``lines``: (rows, columns, 2) mm, what its lines are off by."""

    lens: Array
    lines: Array


def _terms(x: Array, y: Array) -> Array:
    """(2, …, 11): small changes of a homography, and of a lens (radial of third order, off its middle)."""
    one, none, r = np.ones_like(x), np.zeros_like(x), x * x + y * y
    across = (one, none, x, y, none, none, x * x, x * y, x * r, 3 * x * x + y * y, 2 * x * y)
    down = (none, one, none, none, x, y, x * y, y * y, y * r, 2 * x * y, x * x + 3 * y * y)
    return np.stack([np.stack(across, -1), np.stack(down, -1)])


def _whole_lines(values: Array, weight: Array) -> Array:
    """(2, rows, columns) weighted means of ``values`` along the lines: down the columns for those across."""
    means = np.zeros_like(values)
    for axis in (0, 1):
        seen = weight[axis].sum(axis, keepdims=True)
        mean = (values[axis] * weight[axis]).sum(axis, keepdims=True) / np.maximum(seen, 1e-9)
        means[axis] = np.where(seen > 0.15 * seen.max(), mean, 0.0)
    return means


def _rms(values: Array, weight: Array) -> Array:
    """(2,) root mean squares of (2, rows, columns)."""
    mean: Array = (np.square(values) * weight).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-9)
    return np.asarray(np.sqrt(mean))


def find_raster(bend: Array, trust: Array) -> Rastered | None:
    """What pixels did to the lines of a flat page, from the cells' distances ``bend`` (rows, columns, 2) mm from a
    plane and their weights ``trust`` (2, rows, columns); None where the page is not flat or its lines stand well."""
    values = np.moveaxis(bend, -1, 0)
    rows, columns = bend.shape[:2]
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    terms = _terms(2 * x / max(rows, columns), 2 * y / max(rows, columns))
    weight, lines, lens = trust.copy(), np.zeros_like(values), np.zeros_like(values)
    left = values
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        matrix = (terms * root[..., None]).reshape(-1, terms.shape[-1])
        lens = terms @ np.linalg.lstsq(matrix, ((values - lines) * root).ravel(), rcond=None)[0]
        lines = _whole_lines(values - lens, weight)
        left = values - lens - lines
        scale = 1.4826 * float(np.median(np.abs(left[trust > 0]))) + 1e-6
        weight = trust * np.square(np.clip(1 - np.square(left / (5 * scale)), 0, None))
    rest, common = _rms(left, weight), _rms(lines, weight)
    if rest.max() > _FLAT_MM or not _LEAST_MM < common.max() < _MOST_MM or common.min() < _ALIKE * common.max():
        return None
    return Rastered(np.moveaxis(lens, 0, -1), np.moveaxis(lines, 0, -1))
