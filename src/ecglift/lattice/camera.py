"""A flat page in front of a lens: a homography, then a radial distortion about a point near the picture's middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ecglift.geometry import apply_homography
from ecglift.lattice.cells import Array

_MIDDLE: Final = 0.1
"""How far, root mean square in half diagonals, a lens's middle lies from the picture's: pictures are cropped."""


@dataclass(frozen=True)
class Camera:
    """``homography``: mm → px of a lens without distortion; ``middle_px``: its axis; ``radial``: parts by which a point
    ``unit_px`` off the axis lies farther out, of second and fourth order."""

    homography: Array
    middle_px: tuple[float, float]
    radial: tuple[float, float]
    unit_px: float

    def to_px(self, mm: Array) -> Array:
        """(…, 2) px of ``mm`` (…, 2)."""
        out = (apply_homography(self.homography, mm) - self.middle_px) / self.unit_px
        square = np.sum(np.square(out), -1, keepdims=True)
        return np.asarray(
            self.middle_px + self.unit_px * out * (1 + self.radial[0] * square + self.radial[1] * square**2)
        )


def whole_lines(values: Array, weight: Array) -> Array:
    """(2, rows, columns) weighted means of ``values`` along the lines: down the columns for those across."""
    means = np.zeros_like(values)
    for axis in (0, 1):
        seen = weight[axis].sum(axis, keepdims=True)
        mean = (values[axis] * weight[axis]).sum(axis, keepdims=True) / np.maximum(seen, 1e-9)
        means[axis] = np.where(seen > 0.15 * seen.max(), mean, 0.0)
    return means


def fit_camera(mm: Array, px: Array, weight: Array, plane: Array, shape: tuple[int, int], shared: float) -> Camera:
    """The camera that sees the lines of a page's cells, which belong at ``mm`` (rows, columns, 2), at ``px``.

    Least squares in the page's frame, with ``weight`` (2, rows, columns). What whole lines have in common counts
    ``shared``, 0 to 1, as much as the rest. ``plane``: (3, 3) mm → px to begin with; ``shape``: of the picture.
    """
    from scipy.optimize import least_squares

    unit, middle = float(np.hypot(*shape)) / 2, np.array(shape[::-1]) / 2
    origin, reach = mm.reshape(-1, 2).mean(0), float(mm.std())
    page = np.array([[1 / reach, 0, -origin[0] / reach], [0, 1 / reach, -origin[1] / reach], [0, 0, 1]])
    picture = np.array([[1 / unit, 0, -middle[0] / unit], [0, 1 / unit, -middle[1] / unit], [0, 0, 1]])
    start = picture @ plane @ np.linalg.inv(page)
    start /= start[2, 2]
    back = np.asarray(np.linalg.inv(start), np.float64)
    points, seen = apply_homography(page, mm), apply_homography(page @ np.linalg.inv(plane), px)
    root = np.sqrt(weight)

    def camera(parameters: Array) -> Camera:
        rows = np.append(parameters[:8], 1.0).reshape(3, 3)
        x, y, second, fourth = parameters[8:]
        return Camera(rows, (float(x), float(y)), (float(second), float(fourth)), 1.0)

    # Weak beside what is measured, but it keeps an axis from running away that nothing tells of.
    prior = 1e-4 * float(np.sqrt(weight.sum())) / _MIDDLE

    def misses(parameters: Array) -> Array:
        left = np.moveaxis(apply_homography(back, camera(parameters).to_px(points)) - seen, -1, 0)
        left = (left - (1 - shared) * whole_lines(left, weight)) * root
        return np.concatenate([left.ravel(), prior * parameters[8:10]])

    found = camera(np.asarray(least_squares(misses, np.append(start.ravel()[:8], np.zeros(4))).x, np.float64))
    return Camera(
        np.asarray(np.linalg.inv(picture) @ found.homography @ page),
        (float(middle[0] + unit * found.middle_px[0]), float(middle[1] + unit * found.middle_px[1])),
        found.radial,
        unit,
    )
