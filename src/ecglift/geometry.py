"""Maps between pixels of an image and millimetres of paper.

Convention, everywhere in this package: pixel coordinates are (x, y) with the *centre* of the first pixel at (0, 0);
millimetres are (x, y) on the flat sheet, y downwards. Points are arrays (..., 2), float64.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]


def apply_homography(matrix: Matrix, points: Points) -> Points:
    """Points (..., 2) through a 3×3 homography."""
    p = np.asarray(points, float)
    w = p[..., 0] * matrix[2, 0] + p[..., 1] * matrix[2, 1] + matrix[2, 2]
    x = p[..., 0] * matrix[0, 0] + p[..., 1] * matrix[0, 1] + matrix[0, 2]
    y = p[..., 0] * matrix[1, 0] + p[..., 1] * matrix[1, 1] + matrix[1, 2]
    return np.stack([x / w, y / w], axis=-1)


def fit_homography(source: Points, target: Points, weights: NDArray[np.float64] | None = None) -> Matrix:
    """The 3×3 homography that maps source (n, 2) onto target (n, 2), n ≥ 4, least squares (normalised DLT).

    Hartley & Zisserman, Multiple View Geometry, algorithm 4.2.
    """
    if len(source) < 4:
        raise ValueError(f"a homography needs at least 4 points, got {len(source)}")

    def normaliser(p: Points) -> Matrix:
        centre, spread = p.mean(axis=0), max(float(p.std()), 1e-12)
        return np.array([[1 / spread, 0, -centre[0] / spread], [0, 1 / spread, -centre[1] / spread], [0, 0, 1.0]])

    ns, nt = normaliser(np.asarray(source, float)), normaliser(np.asarray(target, float))
    s, t = apply_homography(ns, source), apply_homography(nt, target)
    one, zero = np.ones(len(s)), np.zeros(len(s))
    ax = np.stack([s[:, 0], s[:, 1], one, zero, zero, zero, -t[:, 0] * s[:, 0], -t[:, 0] * s[:, 1], -t[:, 0]], 1)
    ay = np.stack([zero, zero, zero, s[:, 0], s[:, 1], one, -t[:, 1] * s[:, 0], -t[:, 1] * s[:, 1], -t[:, 1]], 1)
    a = np.concatenate([ax, ay])
    if weights is not None:
        a = a * np.sqrt(np.concatenate([weights, weights]))[:, None]
    h = np.linalg.svd(a.T @ a)[2][-1].reshape(3, 3)
    h = np.linalg.inv(nt) @ h @ ns
    return np.asarray(h / h[2, 2])


def _every(values: NDArray[np.float64], every: int) -> NDArray[np.float64]:
    """Every ``every``-th of evenly spaced values, and one or two beyond the last."""
    step = (values[-1] - values[0]) / (len(values) - 1) if len(values) > 1 else 1.0
    return np.asarray(values[0] + step * every * np.arange((len(values) - 1) // every + 2))


@dataclass(frozen=True)
class PageMap:
    """A smooth map between the millimetres of a sheet and the pixels of an image of it, both ways.

    ``to_px(mm) = homography(mm) + residual(mm)``; the residual is a cubic spline through control points on a regular
    lattice in mm, constant beyond its edge. ``residual_px``: (rows, columns, 2), the node (r, c) stands at ``origin_mm
    + step_mm·(c, r)``; an empty lattice (0, 0, 2) is a pure homography. ``residual_mm``: how well what was measured
    fits (rms, NaN when not measured); ``confidence``: 0 to 1."""

    homography: Matrix
    origin_mm: tuple[float, float] = (0.0, 0.0)
    step_mm: float = 5.0
    residual_px: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 2)))
    residual_mm: float = float("nan")
    confidence: float = 1.0

    def __post_init__(self) -> None:
        for name in ("homography", "residual_px"):
            array = np.array(getattr(self, name), float)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.homography.shape != (3, 3):
            raise ValueError(f"homography must be 3×3, got {self.homography.shape}")
        if self.residual_px.ndim != 3 or self.residual_px.shape[2] != 2:
            raise ValueError(f"residual_px must be (rows, columns, 2), got {self.residual_px.shape}")
        object.__setattr__(self, "_inverse", np.linalg.inv(self.homography))
        coefficients = [
            spline_filter(self.residual_px[..., k], order=3, mode="nearest") if self.residual_px.size else None
            for k in (0, 1)
        ]
        object.__setattr__(self, "_coefficients", coefficients)

    @classmethod
    def scale(cls, px_per_mm: float, origin_px: tuple[float, float] = (0.0, 0.0)) -> PageMap:
        """A flat, upright page: px = origin_px + px_per_mm · mm."""
        return cls(np.array([[px_per_mm, 0, origin_px[0]], [0, px_per_mm, origin_px[1]], [0, 0, 1.0]]))

    def _residual(self, mm: Points) -> Points:
        rows, columns = self.residual_px.shape[:2]
        c = np.clip((mm[..., 0] - self.origin_mm[0]) / self.step_mm, 0, columns - 1)
        r = np.clip((mm[..., 1] - self.origin_mm[1]) / self.step_mm, 0, rows - 1)
        out: list[NDArray[np.float64]] = [
            map_coordinates(k, [r, c], order=3, mode="nearest", prefilter=False)
            for k in self._coefficients  # type: ignore[attr-defined]
        ]
        return np.stack(out, axis=-1)

    def to_px(self, mm: Points) -> Points:
        """Pixels (..., 2) of the image where the sheet's points ``mm`` (..., 2) are seen."""
        mm = np.asarray(mm, float)
        px = apply_homography(self.homography, mm)
        return px + self._residual(mm.reshape(-1, 2)).reshape(mm.shape) if self.residual_px.size else px

    def to_mm(self, px: Points, iterations: int = 12) -> Points:
        """Millimetres (..., 2) on the sheet that are seen at the image's pixels ``px`` (..., 2): fixed point, to 1e-6
        px."""
        px = np.asarray(px, float)
        inverse: Matrix = self._inverse  # type: ignore[attr-defined]
        mm = apply_homography(inverse, px)
        if not self.residual_px.size:
            return mm
        for _ in range(iterations):
            # Newton with the homography's Jacobian: the residual is small and smooth, so this contracts quickly.
            error = self.to_px(mm) - px
            if np.abs(error).max(initial=0.0) < 1e-6:
                break
            mm = apply_homography(inverse, apply_homography(self.homography, mm) - error)
        return mm

    def px_per_mm(self, mm: Points) -> NDArray[np.float64]:
        """Local scale (..., 2) at ``mm``: pixels per millimetre along the sheet's x and along its y."""
        mm = np.asarray(mm, float)
        ex, ey = np.array([0.5, 0.0]), np.array([0.0, 0.5])
        dx = self.to_px(mm + ex) - self.to_px(mm - ex)
        dy = self.to_px(mm + ey) - self.to_px(mm - ey)
        return np.stack([np.hypot(dx[..., 0], dx[..., 1]), np.hypot(dy[..., 0], dy[..., 1])], axis=-1)

    def raster(self, x_mm: NDArray[np.float64], y_mm: NDArray[np.float64], every: int = 8) -> NDArray[np.float32]:
        """Pixels (rows, columns, 2) float32 of the lattice with evenly spaced columns ``x_mm`` and rows ``y_mm``, for
        resampling.

        Computed at every ``every``-th point and bilinear in between: for points 1/8 mm apart that is exact to about
        0.01 px."""
        nodes = self.to_px(np.stack(np.meshgrid(_every(x_mm, every), _every(y_mm, every)), axis=-1)).astype(np.float32)
        part = (np.arange(every, dtype=np.float32) / every)[:, None]
        rows, columns = nodes.shape[:2]
        wide = nodes[:, :-1, None] + part * (nodes[:, 1:] - nodes[:, :-1])[:, :, None]
        wide = wide.reshape(rows, (columns - 1) * every, 2)[:, : len(x_mm)]
        tall = wide[:-1, None] + part[..., None] * (wide[1:] - wide[:-1])[:, None]
        return np.ascontiguousarray(tall.reshape((rows - 1) * every, len(x_mm), 2)[: len(y_mm)])

    def after(self, px_to_px: Matrix) -> PageMap:
        """The same sheet seen in an image that was transformed by a 3×3 pixel-to-pixel homography (crop, turn, resize).

        The residual is refitted at its nodes, so this is exact there for affine transforms.
        """
        homography = px_to_px @ self.homography
        residual = self.residual_px
        if residual.size:
            nodes = self.nodes_mm()
            residual = apply_homography(px_to_px, self.to_px(nodes)) - apply_homography(homography, nodes)
        return PageMap(homography, self.origin_mm, self.step_mm, residual, self.residual_mm, self.confidence)

    def moved(self, dx_mm: float, dy_mm: float) -> PageMap:
        """The same map with the sheet's origin moved to (dx_mm, dy_mm): what was there is now (0, 0)."""
        shift = np.array([[1.0, 0, dx_mm], [0, 1, dy_mm], [0, 0, 1]])
        origin = (self.origin_mm[0] - dx_mm, self.origin_mm[1] - dy_mm)
        return replace(self, homography=self.homography @ shift, origin_mm=origin)

    def nodes_mm(self) -> Points:
        """Control points of the residual on the sheet, (rows, columns, 2) mm."""
        rows, columns = self.residual_px.shape[:2]
        c, r = np.meshgrid(np.arange(columns), np.arange(rows))
        return np.stack([self.origin_mm[0] + self.step_mm * c, self.origin_mm[1] + self.step_mm * r], axis=-1).astype(
            float
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` reads them back exactly."""
        return {
            "homography": self.homography.tolist(),
            "origin_mm": list(self.origin_mm),
            "step_mm": self.step_mm,
            "residual_px": self.residual_px.tolist(),
            "residual_shape": list(self.residual_px.shape),
            "residual_mm": None if np.isnan(self.residual_mm) else self.residual_mm,
            "confidence": self.confidence,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PageMap:
        residual_mm = values.get("residual_mm")
        return cls(
            np.array(values["homography"], float),
            (float(values["origin_mm"][0]), float(values["origin_mm"][1])),
            float(values["step_mm"]),
            np.array(values["residual_px"], float).reshape(values["residual_shape"]),
            float("nan") if residual_mm is None else float(residual_mm),
            float(values.get("confidence", 1.0)),
        )

    def to_json(self) -> str:
        return json.dumps(self.to_dict())


def fit_page_map(
    mm: Points, px: Points, bounds_mm: tuple[float, float, float, float], step_mm: float = 5.0, smoothness: float = 1.0
) -> PageMap:
    """The smooth map through measured pairs mm (n, 2) ↔ px (n, 2): homography plus a penalised lattice residual.

    ``bounds_mm``: x0, y0, x1, y1 that the lattice shall cover; ``smoothness`` weighs the second differences of the
    residual. The lattice is bilinear in the fit, cubic in use: at 5 mm the difference is far below what is measured.
    """
    from scipy.sparse import coo_matrix, identity, kron, vstack
    from scipy.sparse.linalg import splu

    homography = fit_homography(mm, px)
    residual = px - apply_homography(homography, mm)
    x0, y0, x1, y1 = bounds_mm
    columns, rows = int(np.ceil((x1 - x0) / step_mm)) + 1, int(np.ceil((y1 - y0) / step_mm)) + 1
    c = np.clip((mm[:, 0] - x0) / step_mm, 0, columns - 1.000001)
    r = np.clip((mm[:, 1] - y0) / step_mm, 0, rows - 1.000001)
    ci, ri = c.astype(int), r.astype(int)
    fc, fr = c - ci, r - ri
    n = np.arange(len(mm))
    index = np.concatenate(
        [ri * columns + ci, ri * columns + ci + 1, (ri + 1) * columns + ci, (ri + 1) * columns + ci + 1]
    )
    weight = np.concatenate([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc])
    a = coo_matrix((weight, (np.concatenate([n] * 4), index)), shape=(len(mm), rows * columns)).tocsr()

    def second_difference(k: int) -> Any:
        d = coo_matrix((max(k - 2, 0), k)).tolil()
        for j in range(k - 2):
            d[j, j], d[j, j + 1], d[j, j + 2] = 1.0, -2.0, 1.0
        return d.tocsr()

    bending = vstack(
        [kron(identity(rows), second_difference(columns)), kron(second_difference(rows), identity(columns))]
    ).tocsr()
    density = max(len(mm) / (rows * columns), 1e-3)
    normal = (
        a.T @ a + smoothness * density * (bending.T @ bending) + 1e-4 * density * identity(rows * columns)
    ).tocsc()
    solve = splu(normal)
    nodes = np.stack([solve.solve(a.T @ residual[:, k]) for k in (0, 1)], axis=-1).reshape(rows, columns, 2)
    fitted = PageMap(homography, (x0, y0), step_mm, nodes)
    left = fitted.to_px(mm) - px
    scale = float(np.median(fitted.px_per_mm(mm)))
    return PageMap(homography, (x0, y0), step_mm, nodes, float(np.sqrt(np.mean(np.sum(left**2, axis=1)))) / scale)
