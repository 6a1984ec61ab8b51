"""The flattened page in cells of 5 mm: what the ink's harmonics say about the lines in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.lattice.contrast import Lines

CELL_MM: Final = 5.0
SAMPLES: Final = 25
"""Samples per cell: 5 per mm, so that the second harmonic of the 1 mm lines is still held."""

HARMONICS: Final = 12
ORDER: Final = np.arange(1, HARMONICS + 1)

HEAVY: Final = np.where(ORDER % 5 == 0, 0.0, np.exp(-0.5 * (ORDER / 5) ** 2))
"""Weights of the harmonics that only the 5 mm lines have; those of a line half a millimetre wide."""

MAX_CELLS: Final = 120
"""Cells per side that are looked at: 600 mm of paper."""

Array = NDArray[np.float64]
Spectrum = NDArray[np.complex128]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Cells:
    """Harmonics of the ink in cells of 5 mm of the flattened page.

    ``across``, ``down``: (rows, columns, 12) complex, the 1st to 12th harmonic of the vertical and of the horizontal
    lines, phase 0 where a line stands on the cell's edge; ``coverage``: (rows, columns), part of the cell inside the
    image; ``energy``: of either axis (rows, columns) the mean square of its lines; ``x_mm``, ``y_mm``: centres;
    ``lines``: (4, 5·rows, 5·columns) complex, the 1 mm lines in each square millimetre, phase 0 where one stands on its
    edge: across and down in the waves, then in the ink; None where nobody looked so closely."""

    across: Spectrum
    down: Spectrum
    coverage: Array
    energy: tuple[Array, Array]
    x_mm: Array
    y_mm: Array
    lines: NDArray[np.complex64] | None = None

    @property
    def axes(self) -> tuple[Spectrum, Spectrum]:
        return self.across, self.down

    def centres(self) -> Array:
        """(rows, columns, 2) mm."""
        return np.stack(np.meshgrid(self.x_mm, self.y_mm), -1)


def _footprint(page_map: PageMap, region_px: Box) -> Box:
    """Whole cells (x0, y0, x1, y1 mm) that cover the part ``region_px`` (x0, y0, x1, y1) of the image."""
    x, y = np.meshgrid(np.linspace(region_px[0], region_px[2], 9), np.linspace(region_px[1], region_px[3], 9))
    mm = page_map.to_mm(np.stack([x, y], -1))
    low, high = np.floor(mm.min((0, 1)) / CELL_MM) * CELL_MM, np.ceil(mm.max((0, 1)) / CELL_MM) * CELL_MM
    middle = np.round(mm[4, 4] / CELL_MM) * CELL_MM
    half = MAX_CELLS * CELL_MM / 2
    low, high = np.maximum(low, middle - half), np.minimum(high, middle + half)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def cut_cells(lines: Lines, page_map: PageMap, region_px: Box, finely: bool = False) -> Cells:
    """The cells of ``lines`` under ``page_map`` that cover the part ``region_px`` (x0, y0, x1, y1) of it;
    ``finely``: the ink's harmonics, where there is one, follow the lines' own, and each square millimetre is looked
    at."""
    x0, y0, x1, y1 = _footprint(page_map, region_px)
    columns, rows = round((x1 - x0) / CELL_MM), round((y1 - y0) / CELL_MM)
    step = CELL_MM / SAMPLES
    x_mm: Array = x0 + step * np.arange(columns * SAMPLES, dtype=np.float64)
    y_mm: Array = y0 + step * np.arange(rows * SAMPLES, dtype=np.float64)
    px = page_map.raster(x_mm, y_mm, every=5)

    def blocks_of(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = cv2.remap(picture, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0)
        return np.asarray(flat, np.float32).reshape(rows, SAMPLES, columns, SAMPLES)

    across = blocks_of(lines.across)
    down = across if lines.down is lines.across else blocks_of(lines.down)
    # Each 25th point is enough to know what part of a cell the image covers.
    coarse = px[2::5, 2::5]
    inside = (coarse > 0).all(-1) & (coarse[..., 0] < lines.shape[1] - 1) & (coarse[..., 1] < lines.shape[0] - 1)

    def harmonics(profile: NDArray[np.float32]) -> Spectrum:
        return np.asarray(np.fft.rfft(profile, axis=-1)[..., 1 : HARMONICS + 1] / SAMPLES, np.complex128)

    def energy(blocks: NDArray[np.float32]) -> Array:
        return np.asarray(np.square(blocks).mean((1, 3)), np.float64)

    spectra = [harmonics(across.mean(1))], [harmonics(down.mean(3).transpose(0, 2, 1))]
    each_mm = None
    if finely:
        ink = np.zeros_like(across) if lines.ink is None else blocks_of(lines.ink)
        each_mm = np.stack([_each_mm(across, 0), _each_mm(down, 1), _each_mm(ink, 0), _each_mm(ink, 1)])
    if finely and lines.ink is not None:
        spectra[0].append(harmonics(ink.mean(1)))
        spectra[1].append(harmonics(ink.mean(3).transpose(0, 2, 1)))
    return Cells(
        np.concatenate(spectra[0], -1),
        np.concatenate(spectra[1], -1),
        inside.reshape(rows, 5, columns, 5).mean((1, 3), dtype=np.float64),
        (energy(across), energy(down)),
        np.asarray(x0 + CELL_MM * (np.arange(columns) + 0.5), np.float64),
        np.asarray(y0 + CELL_MM * (np.arange(rows) + 0.5), np.float64),
        each_mm,
    )


def _each_mm(blocks: NDArray[np.float32], axis: int) -> NDArray[np.complex64]:
    """(5·rows, 5·columns) the harmonic of 1 mm lines across (``axis`` 0) or down (1) in each square millimetre of
    ``blocks`` (rows, SAMPLES, columns, SAMPLES)."""
    rows, columns = blocks.shape[0], blocks.shape[2]
    per_mm = round(SAMPLES / CELL_MM)
    each = blocks.reshape(rows * SAMPLES // per_mm, per_mm, columns * SAMPLES // per_mm, per_mm)
    turn = (np.exp(-2j * np.pi * np.arange(per_mm) / per_mm) / per_mm).astype(np.complex64)
    return np.asarray(each.mean(1) @ turn if axis == 0 else np.einsum("rjc,j->rc", each.mean(3), turn), np.complex64)


def blurred(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Gaussian over the cells (first two axes), zeros outside."""
    if sigma <= 0:
        return values
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    flat = np.ascontiguousarray(values.reshape(*values.shape[:2], -1))
    planes = flat.view(np.float64) if np.iscomplexobj(flat) else flat
    out = np.empty_like(planes)
    for k in range(planes.shape[-1]):
        out[..., k] = cv2.GaussianBlur(
            np.ascontiguousarray(planes[..., k]), (size, size), sigma, borderType=cv2.BORDER_CONSTANT
        )
    return np.asarray((out.view(np.complex128) if np.iscomplexobj(flat) else out).reshape(values.shape))


def heavy_shift(harmonics: Spectrum) -> tuple[Array, Array]:
    """Where in (−2.5, 2.5] mm the heavy line stands (rows, columns), and how much it stands out (0 to 1), from its own
    harmonics."""
    steps = 50
    turn = np.exp(2j * np.pi * np.outer(ORDER, np.arange(steps)) / steps) * HEAVY[:, None]
    match = (harmonics @ turn).real
    best = match.argmax(-1)[..., None]

    def at(index: NDArray[np.int64]) -> Array:
        return np.take_along_axis(match, index % steps, -1)[..., 0]

    peak, before, after = at(best), at(best - 1), at(best + 1)
    bend = np.minimum(before - 2 * peak + after, -1e-9)
    place = best[..., 0] + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    whole = np.sqrt(np.sum(np.abs(harmonics) ** 2 * (HEAVY > 0), -1) * np.sum(HEAVY**2)) + 1e-9
    return ((place / steps + 0.5) % 1.0 - 0.5) * CELL_MM, np.clip(peak / whole, 0, 1)


def light_shift(harmonics: Spectrum) -> Array:
    """Where in (−0.5, 0.5] mm a 1 mm line stands (rows, columns)."""
    return np.asarray(-np.angle(harmonics[..., 4]) / (2 * np.pi))


def heavy_place(template: Spectrum) -> tuple[int, float]:
    """On which of the five 1 mm lines the heavy line lies (0 to 4), and by how much it beats the next best, 0 to 1."""
    match = (np.exp(2j * np.pi * np.outer(np.arange(5), ORDER) / 5) @ (template * HEAVY)).real
    order = np.argsort(-match)
    return int(order[0]), float((match[order[0]] - match[order[1]]) / (np.sum(np.abs(template) * HEAVY) + 1e-9))
