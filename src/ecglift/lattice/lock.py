"""The lock onto the grid's lines: a map that is nearly right is made exact.

The ink is laid flat with the map so far and cut into cells of 5 mm. Summed along the lines, every cell gives one period of the
grid across and one down; the phases of their harmonics say by how much the map is off there. The shifts are smoothed over the page
(robustly: text, traces and stains are outliers), the map is corrected, and again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, fit_page_map
from ecglift.lattice.fields import smooth_field

CELL_MM: Final = 5.0
SAMPLES: Final = 25
"""Samples per cell: 5 per mm, so that the second harmonic of the 1 mm lines is still held."""
HARMONICS: Final = 12
MAX_CELLS: Final = 120
"""Cells per side that are looked at: 600 mm of paper."""

Box = tuple[float, float, float, float]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Harmonics of the ink in cells of 5 mm of the flattened page.

    ``across``, ``down``: (rows, columns, 12) complex, the 1st to 12th harmonic of the vertical and of the horizontal lines,
    phase 0 where a line stands on the cell's edge; ``coverage``: (rows, columns), part of the cell inside the image;
    ``energy``: (rows, columns) mean square of the ink; ``x_mm``, ``y_mm``: centres.
    """

    across: NDArray[np.complex128]
    down: NDArray[np.complex128]
    coverage: Array
    energy: Array
    x_mm: Array
    y_mm: Array


def _footprint(page_map: PageMap, shape: tuple[int, int]) -> Box:
    """Whole cells (x0, y0, x1, y1 mm) that the image can hold."""
    height, width = shape
    x, y = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
    mm = page_map.to_mm(np.stack([x, y], -1))
    low, high = np.floor(mm.min((0, 1)) / CELL_MM) * CELL_MM, np.ceil(mm.max((0, 1)) / CELL_MM) * CELL_MM
    middle = np.round(page_map.to_mm(np.array([width / 2, height / 2])) / CELL_MM) * CELL_MM
    half = MAX_CELLS * CELL_MM / 2
    low, high = np.maximum(low, middle - half), np.minimum(high, middle + half)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def cut_cells(ink: NDArray[np.float32], page_map: PageMap, box_mm: Box | None = None) -> Cells:
    """The cells of ``ink`` (h, w) under ``page_map`` within ``box_mm`` (whole multiples of 5 mm), or all that the image holds."""
    x0, y0, x1, y1 = box_mm or _footprint(page_map, (ink.shape[0], ink.shape[1]))
    columns, rows = round((x1 - x0) / CELL_MM), round((y1 - y0) / CELL_MM)
    step = CELL_MM / SAMPLES
    px = page_map.raster(x0 + step * np.arange(columns * SAMPLES), y0 + step * np.arange(rows * SAMPLES), every=5)
    flat = cv2.remap(ink, px[..., 0], px[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)
    inside = (px[..., 0] > 0) & (px[..., 0] < ink.shape[1] - 1) & (px[..., 1] > 0) & (px[..., 1] < ink.shape[0] - 1)
    shape = (rows, SAMPLES, columns, SAMPLES)
    flat = flat.reshape(shape)
    coverage = inside.reshape(shape).mean((1, 3), dtype=np.float64)

    def harmonics(profile: NDArray[np.float32]) -> NDArray[np.complex128]:
        return np.asarray(np.fft.rfft(profile, axis=-1)[..., 1 : HARMONICS + 1] / SAMPLES)

    return Cells(
        harmonics(flat.mean(1)),
        harmonics(flat.mean(3).transpose(0, 2, 1)),
        coverage,
        np.asarray(np.square(flat).mean((1, 3)), float),
        x0 + CELL_MM * (np.arange(columns) + 0.5),
        y0 + CELL_MM * (np.arange(rows) + 0.5),
    )


def _blur(values: NDArray, sigma: float) -> NDArray:
    """Gaussian over the cells (first two axes), zeros outside."""
    if sigma <= 0:
        return values
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    flat = values.reshape(*values.shape[:2], -1)
    parts = np.concatenate([flat.real, flat.imag], -1) if np.iscomplexobj(flat) else flat
    planes = [
        cv2.GaussianBlur(np.ascontiguousarray(parts[..., k]), (size, size), sigma, borderType=cv2.BORDER_CONSTANT) for k in range(parts.shape[-1])
    ]
    out = np.stack(planes, -1)
    if np.iscomplexobj(flat):
        half = out.shape[-1] // 2
        out = out[..., :half] + 1j * out[..., half:]
    return np.asarray(out.reshape(values.shape))


def _unwrap(shift: Array, quality: Array, period: float) -> Array:
    """Shifts (rows, columns) known modulo ``period``, made continuous from the best cell outward, best neighbours first."""
    rows, columns = shift.shape
    out = np.full(shift.shape, np.nan)
    start = np.unravel_index(int(np.argmax(quality)), shift.shape)
    queue: list[tuple[float, int, int, float]] = [(0.0, int(start[0]), int(start[1]), float(shift[start]))]
    q = quality.tolist()
    s = shift.tolist()
    done = np.zeros(shift.shape, bool).tolist()
    while queue:
        _, r, c, near = heapq.heappop(queue)
        if done[r][c]:
            continue
        done[r][c] = True
        here = near + (s[r][c] - near + period / 2) % period - period / 2
        out[r, c] = here
        for i, j in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if 0 <= i < rows and 0 <= j < columns and not done[i][j]:
                heapq.heappush(queue, (-q[i][j], i, j, here))
    return out


HEAVY: Final = np.array([1.0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0])
"""Harmonics that only the 5 mm lines have."""


def _heavy_shift(harmonics: NDArray[np.complex128]) -> tuple[Array, Array]:
    """Where in (−2.5, 2.5] mm the heavy line stands (rows, columns), and how much it stands out (0 to 1), from its own harmonics."""
    steps = 50
    k = np.arange(1, HARMONICS + 1)
    turn = np.exp(2j * np.pi * np.outer(k, np.arange(steps)) / steps) * (HEAVY * np.exp(-0.5 * (k / 5) ** 2))[:, None]
    match = (harmonics @ turn).real
    best = match.argmax(-1)
    peak = np.take_along_axis(match, best[..., None], -1)[..., 0]
    before = np.take_along_axis(match, (best[..., None] - 1) % steps, -1)[..., 0]
    after = np.take_along_axis(match, (best[..., None] + 1) % steps, -1)[..., 0]
    bend = np.minimum(before - 2 * peak + after, -1e-9)
    at = best + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    shift = ((at / steps + 0.5) % 1.0 - 0.5) * CELL_MM
    whole = np.sqrt(np.sum(np.abs(harmonics * HEAVY) ** 2, -1)) * np.sqrt(np.sum((HEAVY * np.exp(-0.5 * (k / 5) ** 2)) ** 2)) + 1e-9
    return shift, np.clip(peak / whole, 0, 1)


def _light_shift(harmonics: NDArray[np.complex128]) -> Array:
    """Where in (−0.5, 0.5] mm a 1 mm line stands (rows, columns)."""
    return np.asarray(-np.angle(harmonics[..., 4]) / (2 * np.pi))


def _corrected(page_map: PageMap, cells: Cells, dx: Array, dy: Array, stiffness: float = 0.003) -> PageMap:
    """The map after shifting every cell by (dx, dy) mm."""
    x, y = np.meshgrid(cells.x_mm, cells.y_mm)
    centres = np.stack([x, y], -1)
    true = centres - np.stack([dx, dy], -1)
    # Half a cell more on every side, so that the lattice covers the cells' outer edges too.
    box = (
        float(np.floor(true[..., 0].min() / CELL_MM) * CELL_MM),
        float(np.floor(true[..., 1].min() / CELL_MM) * CELL_MM),
        float(np.ceil(true[..., 0].max() / CELL_MM) * CELL_MM),
        float(np.ceil(true[..., 1].max() / CELL_MM) * CELL_MM),
    )
    return fit_page_map(true.reshape(-1, 2), page_map.to_px(centres).reshape(-1, 2), box, CELL_MM, stiffness)


def _acquire(ink: NDArray[np.float32], page_map: PageMap, heavy: bool) -> PageMap:
    """The first lock, from anywhere within the period: by the heavy lines, or by the 1 mm lines alone."""
    cells = cut_cells(ink, page_map)
    fields = []
    for harmonics in (cells.across, cells.down):
        smooth = _blur(harmonics, 1.2)
        if heavy:
            shift, quality = _heavy_shift(smooth)
            period = CELL_MM
        else:
            shift, period = _light_shift(smooth), 1.0
            quality = np.abs(smooth[..., 4]) / np.sqrt(_blur(cells.energy, 1.2) + 1e-6)
        quality = quality * (_blur(cells.coverage, 1.2) > 0.5)
        weight = np.square(quality)
        fields.append(smooth_field(_unwrap(shift, quality, period), weight, 1.0 * float(np.median(weight[weight > 0])), robust=True))
    return _corrected(page_map, cells, fields[0], fields[1])


@dataclass(frozen=True)
class Lock:
    """A map locked onto the grid, with what it rests on.

    ``page_map``: mm ↔ px of the ink; whole mm are lines and multiples of 5 heavy lines where ``heavy`` says so. ``across``, ``down``: (12,) complex,
    the page's mean harmonics. ``strength``: (rows, columns) how much of the grid is seen in the cell, 1 as on the rest of the page;
    ``error_mm``: (rows, columns, 2) what is left in each cell; ``x_mm``, ``y_mm``: the cells' centres.
    ``heavy``: how clearly the 5 mm lines are told from the 1 mm ones (0 none, 1 very).
    """

    page_map: PageMap
    across: NDArray[np.complex128]
    down: NDArray[np.complex128]
    strength: Array
    error_mm: Array
    coverage: Array
    x_mm: Array
    y_mm: Array
    heavy: float


@dataclass(frozen=True)
class _Shifts:
    shift: Array
    strength: Array
    template: NDArray[np.complex128]


def _shifts(harmonics: NDArray[np.complex128], trust: Array, highest: int) -> _Shifts:
    """Shift (mm) of each cell against the page's mean profile: one Newton step on the matched filter of all harmonics.

    ``trust`` (rows, columns): weights for the mean. ``strength``: amplitude in the cell over the page's.
    """
    k = np.arange(1, HARMONICS + 1)
    total = trust.sum() + 1e-12
    template = np.einsum("rc,rck->k", trust, harmonics) / total
    # The grid is symmetric about its lines and dark: its harmonics are real and positive when the map is right.
    amplitude = np.clip(template.real, 0.0, None)
    noise = np.einsum("rc,rck->k", trust, np.abs(harmonics - template) ** 2) / total + 1e-9
    use = (k <= highest) * amplitude
    gain = use / noise
    match = harmonics * gain
    slope = float(np.sum(k * k * amplitude * gain)) + 1e-12
    strength = np.clip(np.sum(k * k * match.real, -1) / slope, 0.0, None)
    angle = -np.sum(k * match.imag, -1) / slope / np.maximum(strength, 0.2)
    return _Shifts(np.clip(angle * CELL_MM / (2 * np.pi), -0.6, 0.6), strength, template)


def _trust(strength: Array, coverage: Array) -> Array:
    return np.clip(strength, 0.0, 1.5) * (coverage > 0.6)


def _refined(ink: NDArray[np.float32], page_map: PageMap, rounds: tuple[tuple[int, float, float], ...]) -> Lock:
    """The map after some rounds of (highest harmonic, blur in cells, stiffness)."""
    trust: Array | None = None
    for highest, sigma, stiffness in rounds:
        cells = cut_cells(ink, page_map)
        start = (cells.coverage > 0.6).astype(float) if trust is None or trust.shape != cells.coverage.shape else trust
        found = []
        for harmonics in (cells.across, cells.down):
            smooth = _blur(harmonics, sigma)
            first = _shifts(smooth, start, highest)
            found.append(_shifts(smooth, _trust(first.strength, cells.coverage), highest))
        fields = [
            smooth_field(f.shift, np.square(_trust(f.strength, cells.coverage)), stiffness, robust=True) for f in found
        ]
        trust = np.sqrt(_trust(found[0].strength, cells.coverage) * _trust(found[1].strength, cells.coverage))
        page_map = _corrected(page_map, cells, fields[0], fields[1])
        error = np.stack([found[0].shift - fields[0], found[1].shift - fields[1]], -1)
        strength = np.sqrt(found[0].strength * found[1].strength)
    return Lock(page_map, found[0].template, found[1].template, strength, error, cells.coverage, cells.x_mm, cells.y_mm, 0.0)


def lock(ink: NDArray[np.float32], page_map: PageMap) -> Lock:
    """The exact map of the grid in ``ink`` (h, w) from one that is right to a few per cent in scale and unknown in place."""
    best: Lock | None = None
    for heavy in (True, False):
        acquired = _acquire(ink, page_map, heavy)
        here = _refined(ink, acquired, ((5, 1.2, 1.0), (10, 1.0, 0.3), (12, 0.0, 0.3)))
        if best is None or coherence(here) > coherence(best):
            best = here
    assert best is not None
    return best


def coherence(lock: Lock) -> float:
    """Part of the covered cells in which the grid is seen where the map says, 0 to 1."""
    inside = lock.coverage > 0.6
    good = (lock.strength > 0.4) & (np.abs(lock.error_mm).max(-1) < 0.25)
    return float(good[inside].mean()) if inside.any() else 0.0
