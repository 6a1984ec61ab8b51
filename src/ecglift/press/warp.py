"""Where the camera sees the paper: the shape of a sheet, the camera's pose, and one resampling of the page through
both.

Everything geometric about a capture ends up in one :class:`~ecglift.geometry.PageMap`; the picture is made *from*
that map, so the map is the truth to the precision of the resampling and not a fit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from ecglift.geometry import Matrix, PageMap, Points, apply_homography, fit_homography

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

INVERSE_STEP_PX: Final = 8
"""Distance of the pixels at which a map is inverted exactly; between them a cubic spline is evaluated."""

_MARGIN_MM: Final = 6.0


@dataclass(frozen=True)
class Shape:
    """A sheet in space: node (r, c) of the paper, at ``origin_mm + step_mm·(c, r)``, stands at ``xyz_mm[r, c]`` (z
    towards the viewer)."""

    origin_mm: tuple[float, float]
    step_mm: float
    xyz_mm: Floats

    def nodes_mm(self) -> Points:
        """The nodes on the flat sheet, (rows, columns, 2) mm."""
        rows, columns = self.xyz_mm.shape[:2]
        c, r = np.meshgrid(np.arange(columns), np.arange(rows))
        return np.stack([self.origin_mm[0] + self.step_mm * c, self.origin_mm[1] + self.step_mm * r], axis=-1).astype(
            float
        )

    def normals(self) -> Floats:
        """Unit normals (rows, columns, 3), z towards the viewer."""
        along_y, along_x = np.gradient(self.xyz_mm, self.step_mm, axis=(0, 1))
        normal = np.cross(along_x, along_y)
        return np.asarray(normal / np.linalg.norm(normal, axis=-1, keepdims=True))


def flat_shape(width_mm: float, height_mm: float, step_mm: float = 4.0) -> Shape:
    """A flat sheet whose nodes cover the page and a small margin."""
    columns = int(np.ceil((width_mm + 2 * _MARGIN_MM) / step_mm)) + 1
    rows = int(np.ceil((height_mm + 2 * _MARGIN_MM) / step_mm)) + 1
    shape = Shape((-_MARGIN_MM, -_MARGIN_MM), step_mm, np.zeros((rows, columns, 3)))
    shape.xyz_mm[..., :2] = shape.nodes_mm()
    return shape


def rolled(shape: Shape, angle_rad: float, s_mm: Floats, slope_rad: Floats) -> Shape:
    """The sheet bent about parallel lines: along the direction ``angle_rad`` its slope at distance ``s_mm`` is
    ``slope_rad``.

    Paper does not stretch, so a slope θ shortens the way along the table by cos θ and lifts by sin θ; several bends
    add up, which is exact for one and good to second order for more.
    """
    direction = np.array([np.cos(angle_rad), np.sin(angle_rad)])
    steps = np.diff(s_mm)
    mean = (slope_rad[1:] + slope_rad[:-1]) / 2
    along = np.concatenate([[0.0], np.cumsum((np.cos(mean) - 1) * steps)])
    up = np.concatenate([[0.0], np.cumsum(np.sin(mean) * steps)])
    s = shape.nodes_mm() @ direction
    xyz = shape.xyz_mm.copy()
    xyz[..., :2] += np.interp(s, s_mm, along)[..., None] * direction
    xyz[..., 2] += np.interp(s, s_mm, up)
    return Shape(shape.origin_mm, shape.step_mm, xyz)


def _span(shape: Shape, angle_rad: float) -> Floats:
    """Distances along a direction that cover all nodes, 0.5 mm apart."""
    s = shape.nodes_mm() @ np.array([np.cos(angle_rad), np.sin(angle_rad)])
    return np.arange(s.min() - 1.0, s.max() + 1.0, 0.5)


def waved(shape: Shape, rng: np.random.Generator, slope_deg: float) -> Shape:
    """Gentle waves of a sheet that lies loosely, with slopes of about ``slope_deg``."""
    angle = rng.uniform(0, np.pi)
    s = _span(shape, angle)
    slope = sum(
        np.sin(2 * np.pi * s / rng.uniform(70, 400) + rng.uniform(0, 2 * np.pi))
        * np.radians(slope_deg)
        * rng.uniform(0.2, 0.8)
        for _ in range(3)
    )
    return rolled(shape, angle, s, np.asarray(slope))


def curled(shape: Shape, rng: np.random.Generator, slope_deg: float) -> Shape:
    """One edge or corner that rises from the table, steepest (``slope_deg``) at its end."""
    angle = rng.choice(4) * np.pi / 2 + (rng.normal(0, 0.1) if rng.random() < 0.6 else rng.uniform(0.4, 1.1))
    s = _span(shape, angle)
    reach = rng.uniform(15, 90)
    slope = np.radians(slope_deg) * np.exp((s - s[-1]) / reach * 1.5)
    return rolled(shape, angle, s, slope * rng.choice([1.0, 1.0, 1.0, -1.0]))


def folded(shape: Shape, angle_rad: float, s0_mm: float, fold_deg: float, radius_mm: float, reach_mm: float) -> Shape:
    """A crease across the sheet where it was folded: a ridge (positive) or a valley whose flanks flatten within
    ``reach_mm``."""
    s = _span(shape, angle_rad)
    d = s - s0_mm
    return rolled(shape, angle_rad, s, -np.radians(fold_deg) * np.tanh(d / radius_mm) * np.exp(-np.abs(d) / reach_mm))


def crumpled(shape: Shape, rng: np.random.Generator, height_mm: float) -> Shape:
    """A sheet that was crushed and smoothed again: ridges between facets in several sizes, ``height_mm`` high."""
    rows, columns = shape.xyz_mm.shape[:2]
    z = np.zeros((rows, columns))
    for size_mm, weight in ((60.0, 1.0), (28.0, 0.45), (14.0, 0.16)):
        cells = max(int(columns * shape.step_mm / size_mm), 2) + 3, max(int(rows * shape.step_mm / size_mm), 2) + 3
        noise = cv2.resize(
            rng.normal(0, 1, (cells[1], cells[0])).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC
        )
        z += weight * (np.abs(noise) - 0.8)  # the absolute value has creases where the noise changes its sign
    xyz = shape.xyz_mm.copy()
    xyz[..., 2] += z * height_mm
    dy, dx = np.gradient(z * height_mm, shape.step_mm)
    # A slope uses up paper: the facets draw together by half the square of the slope.
    xyz[..., 0] -= np.cumsum(dx**2 - np.mean(dx**2), axis=1) * shape.step_mm / 2
    xyz[..., 1] -= np.cumsum(dy**2 - np.mean(dy**2), axis=0) * shape.step_mm / 2
    return Shape(shape.origin_mm, shape.step_mm, xyz)


def relaxed(shape: Shape, keep: float = 1.0) -> Shape:
    """The sheet with its mean height taken out and its height scaled by ``keep``."""
    xyz = shape.xyz_mm.copy()
    xyz[..., 2] = (xyz[..., 2] - xyz[..., 2].mean()) * keep
    return Shape(shape.origin_mm, shape.step_mm, xyz)


@dataclass(frozen=True)
class Pose:
    """How the camera looks at the sheet: tilts and roll in degrees, focal length in units of the frame's longer side,
    radial distortion."""

    tilt_x_deg: float = 0.0
    tilt_y_deg: float = 0.0
    roll_deg: float = 0.0
    focal: float = 0.9
    k1: float = 0.0
    k2: float = 0.0


def _rotation(pose: Pose) -> Floats:
    ax, ay, az = np.radians([pose.tilt_x_deg, pose.tilt_y_deg, pose.roll_deg])
    rx = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    ry = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    rz = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx)


def photographed(
    shape: Shape,
    pose: Pose,
    subject_mm: Box,
    frame_px: tuple[int, int],
    box_px: Box,
    *,
    principal_px: tuple[float, float] | None = None,
) -> PageMap:
    """The map of a sheet seen by a pinhole camera so that the flat ``subject_mm`` just fits into ``box_px`` of the
    frame (width, height).

    Radial distortion after Brown: x_d = x·(1 + k1·r² + k2·r⁴).
    """
    width, height = frame_px
    centre = np.array(principal_px if principal_px is not None else ((width - 1) / 2, (height - 1) / 2))
    focal = pose.focal * max(width, height)
    rotation = _rotation(pose)
    x0, y0, x1, y1 = subject_mm
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2, 0.0])
    t = np.linspace(0, 1, 9)
    ring = np.concatenate(
        [np.stack([x0 + (x1 - x0) * t, np.full(9, y)], 1) for y in (y0, y1)]
        + [np.stack([np.full(9, x), y0 + (y1 - y0) * t], 1) for x in (x0, x1)]
    )

    def project(xyz: Floats, translation: Floats) -> Points:
        p = (xyz * np.array([1.0, 1.0, -1.0]) - middle) @ rotation.T + translation
        n = p[..., :2] / p[..., 2:3]
        r2 = np.sum(n**2, axis=-1, keepdims=True)
        return np.asarray(n * (1 + pose.k1 * r2 + pose.k2 * r2**2) * focal + centre)

    wanted = np.array([box_px[2] - box_px[0], box_px[3] - box_px[1]], float)
    wanted_centre = np.array([box_px[0] + box_px[2], box_px[1] + box_px[3]]) / 2
    size = max(x1 - x0, y1 - y0)
    translation = np.array([0.0, 0.0, 1.5 * size])
    flat_ring = np.concatenate([ring, np.zeros((len(ring), 1))], axis=1)
    for _ in range(12):
        px = project(flat_ring, translation)
        low, high = px.min(axis=0), px.max(axis=0)
        ratio = float(np.max((high - low) / wanted))
        translation[2] = np.clip(translation[2] * ratio, 0.55 * size, 40 * size)
        px = project(flat_ring, translation)
        offset = wanted_centre - (px.min(axis=0) + px.max(axis=0)) / 2
        translation[:2] += offset / focal * translation[2]
    nodes = shape.nodes_mm()
    px = project(shape.xyz_mm, translation)
    homography = fit_homography(nodes.reshape(-1, 2), px.reshape(-1, 2))
    return PageMap(homography, shape.origin_mm, shape.step_mm, px - apply_homography(homography, nodes), 0.0)


def affine_map(
    width_mm: float, height_mm: float, px_per_mm: tuple[float, float], rotation_deg: float, frame_px: tuple[int, int]
) -> PageMap:
    """A flat page whose middle lies in the middle of the frame (width, height), turned anticlockwise by
    ``rotation_deg``."""
    a = np.radians(rotation_deg)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) @ np.diag(px_per_mm)
    centre = np.array([(frame_px[0] - 1) / 2, (frame_px[1] - 1) / 2])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = centre - turn @ np.array([width_mm / 2, height_mm / 2])
    return PageMap(matrix, residual_mm=0.0)


def _basis(n: int, step: int) -> tuple[NDArray[np.intp], Float32s]:
    """First coefficient and the four cubic B-spline weights for pixels 0 … n−1 of an axis with coefficients every
    ``step`` px."""
    k, f = np.divmod(np.arange(n), step)
    t = f / step
    w = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    return k, w.astype(np.float32)


def upsampled(coarse: Floats, step: int, shape: tuple[int, int]) -> Float32s:
    """(h, w) float32: the cubic spline through ``coarse``, whose node (r, c) stands at pixel (step·(c − 1), step·(r −
    1)).

    A ring of one node around the picture is needed. OpenCV's bicubic resize is not used: its kernel (a = −0.75) does
    not even reproduce a straight line between the nodes.
    """
    height, width = shape
    # Continued through its border by point reflection: the filter's own mirror would bend every slope flat there.
    ring = 6
    padded = spline_filter(np.pad(coarse, ring, mode="reflect", reflect_type="odd"), order=3, mode="mirror")
    coefficients = np.asarray(padded[ring:-ring, ring:-ring], np.float32)
    k, w = _basis(width, step)
    across = sum(coefficients[:, k + j] * w[:, j] for j in range(4))
    k, w = _basis(height, step)
    across = np.asarray(across, np.float32)
    # All pixel rows of a cell share four coefficient rows, so a cell is one small matrix product.
    cells = -(-height // step)
    out = np.empty((cells * step, width), np.float32)
    for cell in range(cells):
        np.matmul(w[:step], across[cell : cell + 4], out=out[cell * step : (cell + 1) * step])
    return out[:height]


@dataclass(frozen=True)
class Inverse:
    """Where the pixels of a picture lie on the paper: exact millimetres at every ``step_px``-th pixel, a spline
    between.

    ``mm``: (rows, columns, 2), node (r, c) at pixel (step_px·(c − 1), step_px·(r − 1)); ``shape``: the picture's
    (height, width).
    """

    mm: Points
    step_px: int
    shape: tuple[int, int]

    @property
    def inner(self) -> Points:
        """The nodes (n, 2) within the picture or at most one step outside."""
        return np.asarray(self.mm[1:-2, 1:-2].reshape(-1, 2))

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the nodes."""
        return self.mm.shape[0], self.mm.shape[1]

    def dense(self, axis: int, scale: float = 1.0, offset: float = 0.0) -> Float32s:
        """scale · mm + offset at every pixel, (h, w) float32, along one axis of the paper (0: x, 1: y)."""
        return upsampled(self.mm[..., axis] * scale + offset, self.step_px, self.shape)


def _pixels(shape: tuple[int, int], step: int) -> Points:
    height, width = shape
    rows, columns = -(-height // step) + 4, -(-width // step) + 4
    c, r = np.meshgrid((np.arange(columns) - 1) * step, (np.arange(rows) - 1) * step)
    return np.stack([c, r], axis=-1).astype(float)


def inverse(page_map: PageMap, shape: tuple[int, int], step_px: int | None = None) -> Inverse:
    """The inverse of a map over a picture of ``shape`` (height, width), exact to 1e-4 px at its nodes.

    ``step_px``: by default 8, or 4 where the map's own lattice is so fine in the picture that 8 could not follow it.
    """
    bends = bool(page_map.residual_px.size)
    if step_px is None:
        middle = page_map.to_mm(np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2]))
        node_px = page_map.step_mm * float(np.min(page_map.px_per_mm(middle)))
        step_px = INVERSE_STEP_PX // 2 if bends and node_px < 2.5 * INVERSE_STEP_PX else INVERSE_STEP_PX
    px = _pixels(shape, step_px)
    if not bends:
        return Inverse(page_map.to_mm(px), step_px, shape)
    # Most of the work is done on a wide lattice; from its answer two or three rounds are enough.
    wide = 32
    start = _pixels(shape, wide)
    back: Matrix = np.linalg.inv(page_map.homography).astype(np.float64)
    bend = (page_map.to_mm(start, iterations=25) - apply_homography(back, start)).astype(np.float32)
    at = (px / wide + 1).astype(np.float32)
    mm: Points = apply_homography(back, px) + cv2.remap(
        bend, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    for _ in range(12):
        error = page_map.to_px(mm) - px
        if np.abs(error).max() < 1e-4:
            break
        mm = apply_homography(back, apply_homography(page_map.homography, mm) - error)
    return Inverse(mm, step_px, shape)


def dense_mm(page_map: PageMap, shape: tuple[int, int]) -> Float32s:
    """(h, w, 2) float32: the paper millimetre seen by every pixel of an image of ``shape`` (height, width)."""
    back = inverse(page_map, shape)
    return np.stack([back.dense(0), back.dense(1)], axis=-1)


def warped(
    raster: NDArray[np.uint8], px_per_mm: float, origin_mm: tuple[float, float], back: Inverse
) -> NDArray[np.uint8]:
    """The raster (rendered at ``px_per_mm`` from ``origin_mm``) as the camera sees it: (h, w, channels) uint8, zero
    beside it."""
    # Half a pixel: a raster's first pixel has its centre half a pixel inside the region it shows.
    x = back.dense(0, px_per_mm, -origin_mm[0] * px_per_mm - 0.5)
    y = back.dense(1, px_per_mm, -origin_mm[1] * px_per_mm - 0.5)
    return np.asarray(
        cv2.remap(raster, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0)), np.uint8
    )


def seen_box_mm(back: Inverse, width_mm: float, height_mm: float, margin_mm: float = 1.0) -> Box:
    """The part of the page (x0, y0, x1, y1 mm) that the picture can show; at least 1 mm wide."""
    nodes = back.mm.reshape(-1, 2)
    x0, y0 = np.clip(nodes.min(axis=0) - margin_mm, 0, [width_mm - 1, height_mm - 1])
    x1, y1 = np.clip(nodes.max(axis=0) + margin_mm, [x0 + 1, y0 + 1], [width_mm, height_mm])
    return float(x0), float(y0), float(x1), float(y1)
