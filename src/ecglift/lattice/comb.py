"""The grid's frequencies over the page, from windowed spectra: coarse, but without any starting point.

A grid of lines with periods of 1 and 5 mm puts peaks at whole multiples k of the 5 mm frequency along two directions;
k = 5 and 10 belong to both families. Every tile of the page votes with the sum of its whitened log power at those
places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, fit_homography, fit_page_map
from ecglift.lattice.fields import smooth_field

TILE_PX: Final = 256
STRIDE_PX: Final = 128

HARMONIC_WEIGHTS: Final = np.array([1.0, 1.0, 0.8, 0.8, 2.0, 0.5, 0.5, 0.5, 0.5, 1.2])
"""Weight of the k-th multiple of the 5 mm frequency: the fifth and tenth are shared by both families of lines."""

_LOG_STEP: Final = 0.015
_ANGLES: Final = 240
_MAX_EVIDENCE: Final = 5.0


@dataclass(frozen=True)
class Tiles:
    """Whitened spectra of overlapping tiles.

    ``evidence``: (rows, columns, 256, 129) float32, log power above its ring's mean, 0 to 5, frequency 0 at row 128
    and column 0; ``x_px``, ``y_px``: centres of the tiles' columns and rows."""

    evidence: NDArray[np.float32]
    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]


@dataclass(frozen=True)
class Comb:
    """Two frequencies of the 5 mm comb, cycles/px as (x, y) vectors: ``u`` of the steps to the right, ``v`` of the
    steps down. ``score``: both."""

    u: NDArray[np.float64]
    v: NDArray[np.float64]
    score: float

    @property
    def rotation_deg(self) -> float:
        """Turn of the grid in the image, clockwise as seen, −45 to 45."""
        angle = 0.5 * (np.arctan2(self.u[1], self.u[0]) + np.arctan2(-self.v[0], self.v[1]))
        return float((np.degrees(angle) + 45.0) % 90.0 - 45.0)


def _starts(length: int) -> NDArray[np.int64]:
    if length <= TILE_PX:
        return np.zeros(1, np.int64)
    return np.round(np.linspace(0, length - TILE_PX, int(np.ceil((length - TILE_PX) / STRIDE_PX)) + 1)).astype(np.int64)


def tile_spectra(ink: NDArray[np.float32], noise: float = 0.0) -> Tiles:
    """The spectra of ``ink`` (h, w) float32 in overlapping tiles of 256 px; smaller pictures are padded with zeros.

    ``noise``: amplitude of waves that count for nothing."""
    height, width = ink.shape
    from scipy.fft import rfft2

    padded = np.pad(ink, ((0, max(TILE_PX - height, 0)), (0, max(TILE_PX - width, 0))))
    ys, xs = _starts(height), _starts(width)
    hann = np.hanning(TILE_PX + 1)[:-1].astype(np.float32)
    window = hann[:, None] * hann
    floor = 1e-3 + (0.5 * noise * float(window.sum())) ** 2
    ky = np.fft.fftfreq(TILE_PX, 1 / TILE_PX)[:, None]
    kx = np.arange(TILE_PX // 2 + 1)[None, :]
    radius = np.hypot(ky, kx)
    rings = np.minimum((radius / 6).astype(int), 20).ravel()
    ring_size = np.bincount(rings)
    evidence = np.empty((len(ys), len(xs), TILE_PX, TILE_PX // 2 + 1), np.float32)
    for r, y in enumerate(ys):
        stack = np.stack([padded[y : y + TILE_PX, x : x + TILE_PX] for x in xs])
        spectra = rfft2((stack - stack.mean((1, 2), keepdims=True)) * window)
        power = spectra.real**2 + spectra.imag**2
        # The window's side lobes lie 40 dB and more below a line's peak: what is weaker than that is no evidence.
        log_power = np.log(power + 1e-4 * power.max((1, 2), keepdims=True) + floor)
        for c in range(len(xs)):
            flat = log_power[c].ravel()
            level = (np.bincount(rings, weights=flat) / ring_size)[rings]
            tile = np.clip(flat - level - 1.0, 0.0, _MAX_EVIDENCE).reshape(TILE_PX, -1)
            tile[radius < 2.5] = 0.0
            evidence[r, c] = np.fft.fftshift(tile, axes=0)
    return Tiles(evidence, xs + (min(width, TILE_PX) - 1) / 2, ys + (min(height, TILE_PX) - 1) / 2)


def _sample(evidence: NDArray[np.float32], fx: NDArray[np.float64], fy: NDArray[np.float64]) -> NDArray[np.float32]:
    """Evidence at frequencies (cycles/px, any shape), 0 beyond the Nyquist frequency."""
    column, row = _places(fx, fy)
    return _seen_at(evidence, column, row).reshape(fx.shape)


def _places(fx: NDArray[np.float64], fy: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Columns and rows of the evidence, each (n, m), of frequencies (n, ...): half of the plane says all."""
    flip = np.where(fx < 0, -1.0, 1.0)
    column = (fx * flip * TILE_PX).astype(np.float32)
    row = (fy * flip * TILE_PX + TILE_PX // 2).astype(np.float32)
    return column.reshape(len(fx), -1), row.reshape(len(fx), -1)


def _seen_at(
    evidence: NDArray[np.float32], column: NDArray[np.float32], row: NDArray[np.float32]
) -> NDArray[np.float32]:
    seen = cv2.remap(evidence, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)
    return np.asarray(seen, np.float32)


def comb_score(evidence: NDArray[np.float32], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum (...) of the evidence (256, 129) at ten multiples of each 5 mm frequency (..., 2) in cycles/px."""
    k = np.arange(1, len(HARMONIC_WEIGHTS) + 1)
    points = frequency[..., None, :] * k[:, None]
    return np.asarray(_sample(evidence, points[..., 0], points[..., 1]) @ HARMONIC_WEIGHTS)


_TEETH: Final = np.concatenate([np.arange(1, len(HARMONIC_WEIGHTS) + 1), np.arange(0, len(HARMONIC_WEIGHTS) + 1) + 0.5])
_TEETH_WEIGHTS: Final = np.concatenate(
    [HARMONIC_WEIGHTS, -0.5 * (np.append(HARMONIC_WEIGHTS, 0.0) + np.insert(HARMONIC_WEIGHTS, 0, 0.0))]
).astype(np.float32)
"""A comb's teeth in multiples of its frequency, and the places half-way between them, where a true comb has nothing.
Their difference tells a comb from broadband ink, and the 5 mm frequency from its half and its double."""


@lru_cache(maxsize=1)
def _polar_places() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Angles (n,) rad and periods (m,) px that are searched, and where the teeth of each lie in the evidence, each
    (n, m · teeth)."""
    theta = np.arange(_ANGLES) * np.pi / _ANGLES
    periods = np.exp(np.arange(np.log(8.0), np.log(110.0), _LOG_STEP))
    teeth = _TEETH / periods[:, None]
    column, row = _places(*(part[:, None, None] * teeth for part in (np.cos(theta), np.sin(theta))))
    return theta, periods, column, row


def _polar_search(evidence: NDArray[np.float32], angle_deg: tuple[float, float] | None) -> list[Comb]:
    """Combs that stand out in one spectrum, best first."""
    theta, periods, column, row = _polar_places()
    seen = _seen_at(cv2.GaussianBlur(evidence, (3, 3), 0.8), column, row)
    score = seen.reshape(len(theta), len(periods), len(_TEETH)) @ _TEETH_WEIGHTS
    # A comb must stand out from the other angles of its own period: broadband ink reaches all of them.
    score -= np.median(score, axis=0)
    half = _ANGLES // 2
    wrapped = np.concatenate([score, score, score])
    skew, ratio = round(14 / (180 / _ANGLES)), round(0.3 / _LOG_STEP)
    best = cv2.dilate(wrapped, np.ones((2 * skew + 1, 2 * ratio + 1), np.uint8))[_ANGLES : 2 * _ANGLES]
    partner = np.roll(best, -half, axis=0)
    pair = np.sqrt(np.clip(score, 0, None) * np.clip(partner, 0, None))
    if angle_deg is not None:
        away = np.abs((np.degrees(theta) - angle_deg[0] + 45) % 90 - 45)
        pair[away > angle_deg[1]] = 0
    combs: list[Comb] = []
    for _ in range(3):
        t, p = divmod(int(np.argmax(pair)), pair.shape[1])
        if pair[t, p] <= 0:
            break
        rows = np.arange(t + half - skew, t + half + skew + 1) % _ANGLES
        columns = np.arange(max(p - ratio, 0), min(p + ratio + 1, len(periods)))
        block = score[np.ix_(rows, columns)]
        i, j = np.unravel_index(int(np.argmax(block)), block.shape)
        a, b = (
            np.array([np.cos(theta[angle]), np.sin(theta[angle])]) / periods[period]
            for angle, period in ((t, p), (rows[i], columns[j]))
        )
        combs.append(_upright(a, b, float(pair[t, p])))
        pair[:, max(p - 6, 0) : p + 7] = 0
    return combs


def _upright(a: NDArray[np.float64], b: NDArray[np.float64], score: float) -> Comb:
    """The comb whose u points most to the right and whose v points down."""
    u, v = (a, b) if abs(a[0]) * np.linalg.norm(b) >= abs(b[0]) * np.linalg.norm(a) else (b, a)
    return Comb(u * np.copysign(1.0, u[0]), v * np.copysign(1.0, v[1]), score)


def find_combs(tiles: Tiles, angle_deg: tuple[float, float] | None = None) -> list[tuple[Comb, int, int]]:
    """Candidates for the page's comb with the tile (row, column) at whose centre they were seen, best first.

    Neighbouring tiles are averaged: nine regions for a large page. ``angle_deg``: (rotation modulo 90, tolerance) when
    it is known."""
    rows, columns = tiles.evidence.shape[:2]
    found: list[tuple[Comb, int, int]] = []
    for r0, r1 in _regions(rows):
        for c0, c1 in _regions(columns):
            mean = tiles.evidence[r0:r1, c0:c1].mean((0, 1))
            found += [(comb, (r0 + r1) // 2, (c0 + c1) // 2) for comb in _polar_search(mean, angle_deg)]
    return sorted(found, key=lambda f: -f[0].score)


def _regions(n: int) -> list[tuple[int, int]]:
    size = max(min(n, 3), n // 3)
    starts = sorted({0, (n - size) // 2, n - size})
    return [(s, s + size) for s in starts]


@dataclass(frozen=True)
class TileCombs:
    """Frequencies of the 5 mm comb in every tile: ``u``, ``v`` (rows, columns, 2) cycles/px, ``u_score``, ``v_score``
    (rows, columns).

    NaN where no comb was followed to.
    """

    u: NDArray[np.float64]
    v: NDArray[np.float64]
    u_score: NDArray[np.float64]
    v_score: NDArray[np.float64]

    def region_px(self, tiles: Tiles) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all tiles to which the comb was followed."""
        seen, half = np.isfinite(self.u_score), TILE_PX / 2
        x, y = tiles.x_px[seen.any(0)], tiles.y_px[seen.any(1)]
        return float(x[0] - half), float(y[0] - half), float(x[-1] + half), float(y[-1] + half)


def _best_near(
    evidence: NDArray[np.float32],
    guess: NDArray[np.float64],
    reach: tuple[float, float],
    step: float,
    reluctance: float = 0.0,
) -> tuple[NDArray[np.float64], float]:
    """The frequency near ``guess`` with the best comb score, and by how much it beats the neighbourhood's mean.

    ``reach``: largest relative change of length and turn in radians, in steps of ``step``; ``reluctance``: score lost
    at a change of 0.15."""
    n, m = round(reach[0] / step), round(reach[1] / step)
    longer, turned = np.arange(-n, n + 1) * step, np.arange(-m, m + 1) * step
    normal = np.array([-guess[1], guess[0]])
    candidates = guess + guess * longer[:, None, None] + normal * turned[None, :, None]
    score = cv2.GaussianBlur(comb_score(evidence, candidates).astype(np.float32), (3, 3), 0.8)
    mean = float(score.mean())
    score -= (reluctance / 0.15**2) * (longer[:, None] ** 2 + turned[None, :] ** 2).astype(np.float32)
    i, j = np.unravel_index(int(np.argmax(score)), score.shape)

    def offset(line: NDArray[np.float32], k: int) -> float:
        if not 0 < k < len(line) - 1:
            return 0.0
        before, here, after = (float(line[t]) for t in (k - 1, k, k + 1))
        bend = before - 2 * here + after
        return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0

    di, dj = offset(score[:, j], int(i)), offset(score[i], int(j))
    return guess * (1 + (i - n + di) * step) + normal * ((j - m + dj) * step), float(score[i, j]) - mean


def _refined(evidence: NDArray[np.float32], guess: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The tile's own frequency near ``guess``: first far enough for a fold in the paper, then finely."""
    rough, score = _best_near(evidence, guess, (0.24, 0.1), 0.012, 4.0)
    return _best_near(evidence, rough, (0.024, 0.024), 0.006)[0], score


def follow(tiles: Tiles, comb: Comb, row: int, column: int) -> TileCombs:
    """The comb followed from tile (row, column) over the page, best neighbour first, as far as it is seen."""
    import heapq

    rows, columns = tiles.evidence.shape[:2]
    u = np.full((rows, columns, 2), np.nan)
    v = np.full((rows, columns, 2), np.nan)
    us, vs = np.full((rows, columns), np.nan), np.full((rows, columns), np.nan)
    queue: list[tuple[float, int, int]] = [(-np.inf, row, column)]
    waiting = {(row, column)}
    while queue:
        _, r, c = heapq.heappop(queue)
        near = [
            (i, j)
            for i in range(max(r - 1, 0), min(r + 2, rows))
            for j in range(max(c - 1, 0), min(c + 2, columns))
            if np.isfinite(us[i, j])
        ]
        if near:
            w = np.array([us[p] + vs[p] for p in near])
            gu = np.average([u[p] for p in near], axis=0, weights=w)
            gv = np.average([v[p] for p in near], axis=0, weights=w)
        else:
            gu, gv = comb.u, comb.v
        fu, su = _refined(tiles.evidence[r, c], gu)
        fv, sv = _refined(tiles.evidence[r, c], gv)
        if near and min(su, sv) < 2.0:
            continue
        u[r, c], v[r, c], us[r, c], vs[r, c] = fu, fv, max(su, 0.1), max(sv, 0.1)
        for i, j in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if 0 <= i < rows and 0 <= j < columns and (i, j) not in waiting:
                waiting.add((i, j))
                heapq.heappush(queue, (-(us[r, c] + vs[r, c]), i, j))
    return TileCombs(u, v, us, vs)


def integrate(tiles: Tiles, combs: TileCombs) -> PageMap:
    """The map (mm ↔ px of the tiled picture) whose grid has the followed frequencies; its origin is arbitrary."""
    rows, columns = combs.u_score.shape
    fields = []
    for frequency, score in ((combs.u, combs.u_score), (combs.v, combs.v_score)):
        clear = np.square(np.nan_to_num(score))
        agreed = clear * _agrees(frequency, score)
        # Of two tiles that differ neither need be like the other.
        weight = agreed if agreed.any() else clear
        gradient = np.stack(
            [smooth_field(np.nan_to_num(frequency[..., k]), weight, 0.1 * weight.max()) for k in (0, 1)], -1
        )
        fields.append(_potential(gradient, tiles.x_px, tiles.y_px) * 5.0)
    seen = np.isfinite(combs.u_score)
    x, y = np.meshgrid(tiles.x_px, tiles.y_px)
    px, mm = np.stack([x, y], -1), np.stack(fields, -1)
    if rows < 2 or columns < 2:
        return _affine(px, mm, combs, seen)
    px, mm = _dense(px, 4), _dense(mm, 4)
    inside = cv2.dilate(seen.astype(np.uint8), np.ones((3, 3), np.uint8))
    keep = cv2.resize(inside, (mm.shape[1], mm.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    mm, px = mm[keep], px[keep]
    bounds = (*mm.min(0), *mm.max(0))
    return fit_page_map(
        mm, px, (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])), step_mm=15.0, smoothness=0.01
    )


def _agrees(frequency: NDArray[np.float64], score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tiles (rows, columns) whose frequency is like that of most tiles around, or that are clearer than those."""
    agrees = np.isfinite(score)
    for r, c in zip(*np.nonzero(agrees), strict=True):
        block = np.s_[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
        usual = np.nanmedian(frequency[block].reshape(-1, 2), axis=0)
        far = np.linalg.norm(frequency[r, c] - usual) > 0.06 * np.linalg.norm(usual)
        agrees[r, c] = not (far and score[r, c] < 1.2 * np.nanmedian(score[block]))
    return agrees


def _affine(px: NDArray[np.float64], mm: NDArray[np.float64], combs: TileCombs, seen: NDArray[np.bool_]) -> PageMap:
    """A flat map for a picture of one tile's height or width."""
    jacobian = 5.0 * np.stack([np.nanmedian(combs.u[seen], axis=0), np.nanmedian(combs.v[seen], axis=0)])
    corners = np.array([[-100.0, -100], [100, -100], [100, 100], [-100, 100]])
    return PageMap(fit_homography(mm[0, 0] + corners @ jacobian.T, px[0, 0] + corners))


def _dense(nodes: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Nodes (rows, columns, 2) with ``factor`` − 1 more between each two, by cubic spline."""
    from scipy.ndimage import map_coordinates

    rows, columns = nodes.shape[:2]
    r, c = np.meshgrid(
        np.linspace(0, rows - 1, (rows - 1) * factor + 1),
        np.linspace(0, columns - 1, (columns - 1) * factor + 1),
        indexing="ij",
    )
    order = min(3, rows - 1, columns - 1)
    return np.stack(
        [map_coordinates(nodes[..., k], [r, c], order=order, mode="mirror") for k in range(nodes.shape[2])], -1
    )


def _potential(gradient: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The field (rows, columns) whose steps between neighbours fit the mean gradient there, least squares; first node
    near 0."""
    rows, columns = gradient.shape[:2]
    node = np.arange(rows * columns).reshape(rows, columns)
    a, b = (
        np.concatenate([node[:, :-1].ravel(), node[:-1].ravel()]),
        np.concatenate([node[:, 1:].ravel(), node[1:].ravel()]),
    )
    step = np.concatenate(
        [
            (0.5 * (gradient[:, 1:, 0] + gradient[:, :-1, 0]) * np.diff(x)).ravel(),
            (0.5 * (gradient[1:, :, 1] + gradient[:-1, :, 1]) * np.diff(y)[:, None]).ravel(),
        ]
    )
    normal = np.zeros((rows * columns, rows * columns))
    right = np.zeros(rows * columns)
    np.add.at(normal, (a, a), 1.0)
    np.add.at(normal, (b, b), 1.0)
    np.add.at(normal, (a, b), -1.0)
    np.add.at(normal, (b, a), -1.0)
    np.add.at(right, b, step)
    np.add.at(right, a, -step)
    normal[0, 0] += 1.0
    return np.asarray(np.linalg.solve(normal, right)).reshape(rows, columns)
