"""The outline of a sheet of paper in a photo: four straight sides, which tell from where it is seen."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import fit_homography
from ecglift.pixels import darkest

Array = NDArray[np.float64]

_SMALL_PX: Final = 800
_SMOOTH_PX: Final = 9
_AT_EDGE: Final = 0.006
"""A corner that near to the picture's edge, in parts of the copy, is the picture's, not the sheet's."""
_QUAD: Final = 0.96
"""A sheet fills that part of the quadrilateral around it at least, and the other way round."""
_LEAST_AREA: Final = 0.15
_INNER: Final = 0.08
"""Points so near to a side's ends, in parts of it, may be a dog-ear's."""
_STRAIGHT: Final = 0.004
"""Nine points in ten of a side lie as near to its line as that part of the length."""


def sheet_outline(image: NDArray[np.uint8]) -> Array | None:
    """(4, 2) px the corners of the bright sheet in a picture (h, w, 3), clockwise from the one at the top left; None
    where no sheet with four straight sides is seen whole."""
    height, width = image.shape[:2]
    factor = _SMALL_PX / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    least = darkest(np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8))
    _, bright = cv2.threshold(cv2.GaussianBlur(least, (0, 0), 1.0), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    brush = np.ones((_SMOOTH_PX, _SMOOTH_PX), np.uint8)
    bright = cv2.morphologyEx(cv2.morphologyEx(bright, cv2.MORPH_CLOSE, brush), cv2.MORPH_OPEN, brush)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    area = cv2.contourArea(contour)
    quad = _quadrilateral(contour)
    if quad is None or area < _LEAST_AREA * size[0] * size[1]:
        return None
    edge = _AT_EDGE * _SMALL_PX
    if (quad < edge).any() or (quad > np.array(size) - 1 - edge).any():
        return None
    around = cv2.contourArea(quad.astype(np.float32))
    if not _QUAD < area / around < 1 / _QUAD:
        return None
    sides = [_side(contour[:, 0].astype(float), a, b) for a, b in zip(quad, np.roll(quad, -1, axis=0), strict=True)]
    lines = [side for side in sides if side is not None]
    if len(lines) < 4:
        return None
    corners = np.array([_meet(lines[k - 1], lines[k]) for k in range(4)])
    return np.asarray((corners + 0.5) / factor - 0.5, np.float64)


def _quadrilateral(contour: NDArray[np.int32]) -> Array | None:
    """The four corners of the simplest shape around a contour, clockwise from the top left; None where it has more."""
    hull = cv2.convexHull(contour)
    length = cv2.arcLength(hull, True)
    for share in (0.005, 0.01, 0.015, 0.02):
        shape = cv2.approxPolyDP(hull, share * length, True)[:, 0].astype(float)
        if len(shape) == 4:
            around = shape - shape.mean(axis=0)
            shape = shape[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
            return np.asarray(np.roll(shape, -int(shape.sum(axis=1).argmin()), axis=0), np.float64)
    return None


def _side(points: Array, a: Array, b: Array) -> tuple[Array, Array] | None:
    """(point, direction) of the line along the contour's ``points`` between corners a and b; None where there is
    none."""
    along = b - a
    length = float(np.hypot(*along))
    along = along / length
    place = (points - a) @ along / length
    off = np.abs((points - a) @ np.array([-along[1], along[0]]))
    near = points[(place > _INNER) & (place < 1 - _INNER) & (off < 5 * _STRAIGHT * length)]
    if len(near) < 0.5 * length:
        return None
    vx, vy, x, y = (float(v) for v in cv2.fitLine(near.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel())
    left = np.abs((near - (x, y)) @ np.array([-vy, vx]))
    return (np.array([x, y]), np.array([vx, vy])) if np.percentile(left, 90) < _STRAIGHT * length else None


def _meet(one: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
    """Where two lines cross."""
    (p, u), (q, v) = one, other
    return np.asarray(p + u * np.linalg.solve(np.stack([u, -v], axis=1), q - p)[0])


def as_rectangle(corners: Array) -> tuple[Array, tuple[float, float]]:
    """(homography, (width, height)): from a rectangle around the origin, as wide and high as the opposite sides of the
    quadrilateral ``corners`` (4, 2) are in the mean, to it."""
    sides = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    width, height = float(sides[::2].mean()), float(sides[1::2].mean())
    rectangle = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    return np.asarray(fit_homography(rectangle, corners), np.float64), (width, height)
