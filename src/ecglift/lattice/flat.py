"""Flat pages: one camera sees them, whatever single grid lines say.

What paper does when it bends moves lines of both directions together, each cell of a line in its own way. A page from
whose lines a homography and a lens leave nothing of the kind is flat: a scan, a screen, a sheet on a table.

What is left on it of whole lines, in both directions alike, is the doing of pixels. Drawn at 3 pixels a millimetre, as
displays and coarse prints do, a line is up to a sixth of a millimetre off, all along it, and the next ones are off in
step with the beat between millimetres and pixels: waves of 20 to 200 mm that no smoothing removes. Whole lines of one
direction only are moved by a scanner's or a printer's feed, and that is true: such a page is not flat here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from ecglift.geometry import apply_homography
from ecglift.lattice.camera import Camera, fit_camera, whole_lines
from ecglift.lattice.cells import Array

_FLAT_MM: Final = 0.04
"""What may be left on a flat page beside whole lines, root mean square. Bent paper leaves 0.06 and more."""

_LEAST_MM: Final = 0.012
_MOST_MM: Final = 0.15
"""Whole lines' displacement, root mean square in the worse direction: what tells of pixels at all, and half a pixel of
the coarsest display on which a grid is seen."""

_ALIKE: Final = 0.35
"""Least ratio of the two directions' displacements: pixels are square, a feed has one direction."""

_SHARED: Final = 0.5
"""How much what whole lines have in common tells of the camera, beside what their cells differ by: less, since a line's
error is one, however many cells show it, but it alone knows of the scales."""

_STRAY_MM: Final = 0.3
_NEXT_MM: Final = 1.0
_PIECE_CELLS: Final = 12
_SEEN: Final = 0.2
"""Cells that stray by more than the first and somewhere by more than the second, by which none strays from the next, so
many together, are a corner that is curled: the page is not flat, however well the rest is. Their grid must be seen with
a weight of the fourth: beyond the paper all cells stray."""

_ROUNDS: Final = 4
_FEW_CELLS: Final = 40
"""From fewer cells nobody can tell."""


@dataclass(frozen=True)
class Flat:
    """A flat page: the ``camera`` that sees it, and how far pixels moved its ``lines``, (rows, columns, 2) mm, zeros
    where they stand well."""

    camera: Camera
    lines: Array

    @property
    def rastered(self) -> bool:
        """Whether its lines stand on pixels."""
        return bool(self.lines.any())


def _terms(x: Array, y: Array) -> Array:
    """(2, …, 12): small changes of a homography, and of a lens (radial of third and fifth order, off its middle)."""
    one, none, r = np.ones_like(x), np.zeros_like(x), x * x + y * y
    across = (one, none, x, y, none, none, x * x, x * y, x * r, 3 * x * x + y * y, 2 * x * y, x * r * r)
    down = (none, one, none, none, x, y, x * y, y * y, y * r, 2 * x * y, x * x + 3 * y * y, y * r * r)
    return np.stack([np.stack(across, -1), np.stack(down, -1)])


def _rms(values: Array, weight: Array) -> Array:
    """(2,) root mean squares of (2, rows, columns)."""
    mean: Array = (np.square(values) * weight).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-9)
    return np.asarray(np.sqrt(mean))


def _agreed(left: Array, trust: Array) -> Array:
    """The weights without what strays from zero."""
    scale = 1.4826 * float(np.median(np.abs(left[trust > 0]))) + 1e-6
    return np.asarray(trust * np.square(np.clip(1 - np.square(left / (5 * scale)), 0, None)))


def _curled(left: Array, trust: Array) -> bool:
    """Whether cells that are ``left`` (rows, columns) mm beside a flat page are a piece of paper that bends away."""
    strays = (np.abs(left) > _STRAY_MM) & (trust > _SEEN)
    padded = np.pad(np.where(strays, left, np.nan), 1, constant_values=np.nan)
    beside = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    goes_on = (np.abs(beside - left) < _NEXT_MM).sum(axis=0) >= 2
    bent = strays & goes_on
    _, piece, stats, _ = cv2.connectedComponentsWithStats(bent.astype(np.uint8), connectivity=4)
    far = np.unique(piece[bent & (np.abs(left) > _NEXT_MM)])
    return bool((stats[far, cv2.CC_STAT_AREA] >= _PIECE_CELLS).any())


def _looks_flat(bend: Array, trust: Array) -> bool:
    """Whether the cells' distances ``bend`` (2, rows, columns) mm from a plane are those of a flat page."""
    rows, columns = bend.shape[1:]
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    terms = _terms(2 * x / max(rows, columns), 2 * y / max(rows, columns))
    weight, lines, left = trust, np.zeros_like(bend), bend
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        matrix = (terms * root[..., None]).reshape(-1, terms.shape[-1])
        smooth = terms @ np.linalg.lstsq(matrix, ((bend - lines) * root).ravel(), rcond=None)[0]
        lines = whole_lines(bend - smooth, weight)
        left = bend - smooth - lines
        weight = _agreed(left, trust)
    rest, common = _rms(left, weight).max(), _rms(lines, weight)
    alike = common.max() < _LEAST_MM or common.min() > _ALIKE * common.max()
    curled = any(_curled(left[k], trust[k]) for k in (0, 1))
    return bool(rest < _FLAT_MM and common.max() < _MOST_MM and alike and not curled)


def find_flat(mm: Array, px: Array, plane: Array, trust: Array, shape: tuple[int, int]) -> Flat | None:
    """The page as a flat one, None where it is bent.

    ``mm``, ``px``: (rows, columns, 2) where the cells' lines belong on the page and where they are in the picture of
    ``shape``; ``plane``: (3, 3) mm → px roughly; ``trust``: (2, rows, columns) weights of the lines across and down.
    """
    back = np.asarray(np.linalg.inv(plane), np.float64)
    seen = apply_homography(back, px)
    if np.count_nonzero(trust.min(0) > 0) < _FEW_CELLS or not np.isfinite(seen).all():
        return None
    if not _looks_flat(np.moveaxis(seen - mm, -1, 0), trust):
        return None
    camera, weight, lines = fit_camera(mm, px, trust, plane, shape, _SHARED), trust, np.zeros_like(trust)
    for _ in range(2):
        off = np.moveaxis(seen - apply_homography(back, camera.to_px(mm)), -1, 0)
        lines = whole_lines(off, weight)
        weight = _agreed(off - lines, trust)
        camera = fit_camera(mm, px, weight, plane, shape, _SHARED)
    if _rms(lines, weight).max() < _LEAST_MM:
        lines = np.zeros_like(lines)
    return Flat(camera, np.moveaxis(lines, 0, -1))
