"""The lock onto the grid's lines: a map that is nearly right is made exact.

The ink is laid flat with the map so far and cut into cells of 5 mm. Summed along the lines, every cell gives one
period of the grid across and one down; the phases of their harmonics say by how much the map is off there. The shifts
are smoothed over the page (robustly: text, traces and stains are outliers), the map is corrected, and again."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, apply_homography, fit_homography
from ecglift.lattice.bends import Bends, Follow, bends_of, followed
from ecglift.lattice.cells import (
    CELL_MM,
    HARMONICS,
    ORDER,
    Array,
    Box,
    Cells,
    Spectrum,
    blurred,
    cut_cells,
    heavy_place,
    heavy_shift,
    light_shift,
)
from ecglift.lattice.contrast import Lines
from ecglift.lattice.fields import smooth_field
from ecglift.lattice.flat import find_flat

_STIFFNESSES: Final = (0.3, 1.0, 10.0, 100.0, 1e4, 1e6)
"""Candidates for the smoothness of a page that looks flat, from crumpled to rigid; held-out cells choose."""

_ALIGNED: Final = 0.97
"""Part of the heavy lines that are where the map has them, above which nothing has slipped."""

_ROUNDS: Final = 8
"""After so many a grid has grown over the largest page, or does not grow."""

_INK: Final = 0.3
"""Weight of the ink beside the waves that were seen in it."""

_RIGID: Final = 1.02
"""By how much a rigid flat page may miss the cells more than a field of half of them misses the others."""


@dataclass(frozen=True)
class Lock:
    """A map locked onto the grid, with what it rests on.

    ``page_map``: mm ↔ px of the lines' pictures; whole mm are lines and multiples of 5 the heavy ones. ``strength``:
    (rows, columns) how much of the grid is seen in the cell, 1 as on the rest of the page; ``error_mm``, ``spread_mm``:
    (rows, columns, 2) what is left there, and how far the map may be off; ``aligned``: (rows, columns) weight, 0 to 1,
    of the heavy lines being where the map has them; ``coverage``, ``x_mm``, ``y_mm``: of the cells. ``clear``: by how
    much the heavy lines beat the next 1 mm lines; ``heavy``, ``light``: (across, down) part of the energy of the heavy
    lines' and of the 1 mm lines' harmonics that is the same in all cells, 0 to 1; ``bends``, ``plane``: of a sheet that
    is not flat, what was seen of its bends, and the homography (mm → px) from which they are measured."""

    page_map: PageMap
    strength: Array
    error_mm: Array
    spread_mm: Array
    aligned: Array
    coverage: Array
    x_mm: Array
    y_mm: Array
    clear: float
    heavy: tuple[float, float]
    light: tuple[float, float]
    bends: Bends | None = None
    plane: Array | None = None

    @property
    def alignment(self) -> float:
        """Part of the grid, 0 to 1, on which the heavy lines are where the map has them."""
        seen = ((self.coverage > 0.6) & (self.strength > 0.3)).astype(np.uint8)
        # Where a map has slipped the grid seems weak: such patches amid the grid count.
        inside = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) * (self.coverage > 0.6) > 0
        return float(self.aligned[inside].mean()) if inside.any() else 0.0

    @property
    def merit(self) -> float:
        """For choosing between maps of one page: 1 mm lines blur when a map has slipped by other than whole squares
        anywhere."""
        return sum(self.light) + 0.5 * self.alignment


def _grown(
    shift: Array, quality: Array, period: float, least: float, reach: int | None = None, step_share: float = 0.32
) -> tuple[Array, Array]:
    """Shifts (rows, columns) known modulo ``period`` made continuous, and their weights.

    From the best cell outward, best first; a cell of less than the ``least`` quality, or that disagrees with those
    already taken around it by more than ``step_share`` of the period, is carried over but weighs nothing, and so do
    all that are more than ``reach`` cells behind such."""
    rows, columns = shift.shape
    wide = columns + 2
    # A border of cells that are taken and weigh nothing, and plain lists: the loop runs over every cell of the page.
    s, q = (np.pad(values, 1).ravel().tolist() for values in (shift, quality))
    weight = np.pad(np.full((rows, columns), -1.0), 1).ravel().tolist()
    out, total, sums = ([0.0] * len(weight) for _ in range(3))
    beside, around = (-wide, wide, -1, 1), (-wide - 1, -wide, 1 - wide, -1, 1, wide - 1, wide, wide + 1)
    r, c = divmod(int(np.argmax(blurred(quality, 2.0) * (quality >= least))), columns)
    first = (r + 1) * wide + c + 1
    queue: list[tuple[float, int, float, int]] = [(0.0, first, s[first], 0)]
    half, most = period / 2, step_share * period
    while queue:
        _, k, near, gap = heapq.heappop(queue)
        if weight[k] >= 0:
            continue
        if total[k] > 0:
            near = sums[k] / total[k]
        step = (s[k] - near + half) % period - half
        good = q[k] >= least and abs(step) < most and (reach is None or gap <= reach)
        out[k], weight[k] = (near + step, q[k]) if good else (near, 0.0)
        if good:
            w = q[k]
            for j in around:
                total[k + j] += w
                sums[k + j] += w * out[k]
        for j in beside:
            if weight[k + j] < 0:
                heapq.heappush(queue, (-q[k + j], k + j, out[k], 0 if good else gap + 1))
    inner = np.s_[1:-1, 1:-1]
    return np.array(out).reshape(-1, wide)[inner], np.array(weight).reshape(-1, wide)[inner]


def _spread_out(lines: Lines, page_map: PageMap, region_px: Box) -> PageMap:
    """The first lock, grown from the clearest part of the page: what is locked says how the paper goes on, and the next
    round reaches a little further. No square is jumped where a fold or a bend leads away from the map so far."""
    share = 0.0
    for _ in range(_ROUNDS):
        cells = cut_cells(lines, page_map, region_px)
        covered = blurred(cells.coverage, 0.7) > 0.5
        fields, taken = [], np.ones(cells.coverage.shape, bool)
        for harmonics in cells.axes:
            shift, clear = heavy_shift(blurred(harmonics, 0.7))
            shift, weight = _grown(shift, np.clip((clear - 0.45) / 0.4, 0, 1) * covered, CELL_MM, 0.3, 2, 0.22)
            fields.append(smooth_field(shift, np.where(weight > 0, np.square(weight), 0.02), 0.1))
            taken &= weight > 0
        page_map = _corrected(page_map, cells, fields[0], fields[1])
        before, share = share, float(taken.mean())
        if share < 1.02 * before + 1e-3:
            break
    return page_map


def _corrected(page_map: PageMap, cells: Cells, dx: Array, dy: Array) -> PageMap:
    """The map after shifting every cell by (dx, dy) mm: what the map had at c is at c − d(c)."""
    from scipy.ndimage import map_coordinates

    centres = cells.centres()
    at = centres
    for _ in range(3):
        index = [(at[..., 1] - cells.y_mm[0]) / CELL_MM, (at[..., 0] - cells.x_mm[0]) / CELL_MM]
        at = centres + np.stack([map_coordinates(d, index, order=1, mode="nearest") for d in (dx, dy)], -1)
    px = page_map.to_px(at)
    homography = fit_homography(centres.reshape(-1, 2), px.reshape(-1, 2), np.clip(cells.coverage.ravel(), 1e-3, 1))
    return PageMap(
        homography, (float(cells.x_mm[0]), float(cells.y_mm[0])), CELL_MM, px - apply_homography(homography, centres)
    )


def _acquired(lines: Lines, page_map: PageMap, region_px: Box, heavy: bool, sigma: float, stiffness: float) -> PageMap:
    """The first lock, from anywhere within the period: by the heavy lines, or by the 1 mm lines alone."""
    cells = cut_cells(lines, page_map, region_px)
    covered = blurred(cells.coverage, sigma) > 0.5
    fields = []
    for harmonics, energy in zip(cells.axes, cells.energy, strict=True):
        smooth = blurred(harmonics, sigma)
        if heavy:
            shift, clear = heavy_shift(smooth)
            period, quality = CELL_MM, np.clip((clear - 0.45) / 0.4, 0, 1) * covered
        else:
            shift, period = light_shift(smooth), 1.0
            quality = np.abs(smooth[..., 4]) / np.sqrt(blurred(energy, sigma) + 1e-6) * covered
            quality = np.clip(quality / (np.percentile(quality, 90) + 1e-9), 0, 1)
        shift, weight = _grown(shift, quality, period, 0.3)
        fields.append(smooth_field(shift, np.square(weight), stiffness, robust=True))
    return _corrected(page_map, cells, fields[0], fields[1])


def _by_heavy(lines: Lines, page_map: PageMap, region_px: Box) -> PageMap:
    return _acquired(lines, page_map, region_px, True, 1.2, 1.0)


def _by_heavy_twice(lines: Lines, page_map: PageMap, region_px: Box) -> PageMap:
    return _acquired(lines, _by_heavy(lines, page_map, region_px), region_px, True, 0.8, 0.1)


def _by_light_twice(lines: Lines, page_map: PageMap, region_px: Box) -> PageMap:
    once = _acquired(lines, page_map, region_px, False, 1.2, 1.0)
    return _acquired(lines, once, region_px, False, 0.8, 0.1)


def _settled(page_map: PageMap, centres: Array, trust: Array) -> PageMap:
    """The map with its homography fitted to the trusted cells, to which it returns where no grid is seen.

    ``centres``: (rows, columns, 2) mm of the cells; ``trust``: (rows, columns), 0 to 1.
    """
    px = page_map.to_px(centres)
    weight = np.square(np.clip(trust, 0, 1))
    if np.count_nonzero(weight > 0.1) < 9:
        return page_map
    homography = fit_homography(centres.reshape(-1, 2), px.reshape(-1, 2), weight.ravel())
    residual = px - apply_homography(homography, centres)
    # From the grid's edge on the residual fades over some 30 mm: the fourth root of the ratio of stiffness to pull, in
    # cells.
    fields = [
        smooth_field(np.where(weight > 0.1, residual[..., k], 0.0), np.where(weight > 0.1, weight, 1e-5), 0.01)
        for k in (0, 1)
    ]
    origin = (float(centres[0, 0, 0]), float(centres[0, 0, 1]))
    return PageMap(homography, origin, CELL_MM, np.stack(fields, -1))


@dataclass(frozen=True)
class _Shifts:
    """Shift (mm) of each cell against the page's mean profile, the grid's strength there, and the profile's
    harmonics."""

    shift: Array
    strength: Array
    template: Spectrum


def _shifts(harmonics: Spectrum, trust: Array, highest: int) -> _Shifts:
    """One Newton step on the matched filter of all harmonics up to ``highest``. ``trust`` (rows, columns): weights for
    the mean profile."""
    total = trust.sum() + 1e-12
    order = np.tile(ORDER, harmonics.shape[-1] // HARMONICS)
    template = np.einsum("rc,rck->k", trust, harmonics) / total
    # The grid is symmetric about its lines and dark: its harmonics are real and positive when the map is right.
    amplitude = np.clip(template.real, 0.0, None)
    noise = np.einsum("rc,rck->k", trust, np.abs(harmonics - template) ** 2) / total + 1e-9
    gain = (highest >= order) * amplitude / noise
    # What the ink says over and above the waves is alike where it is wrong: traces, stains, moiré.
    gain[HARMONICS:] *= _INK
    match = harmonics * gain
    slope = float(np.sum(order**2 * amplitude * gain)) + 1e-12
    strength = np.clip(np.sum(order**2 * match.real, -1) / slope, 0.0, None)
    angle = -np.sum(order * match.imag, -1) / slope / np.maximum(strength, 0.2)
    return _Shifts(np.clip(angle * CELL_MM / (2 * np.pi), -0.6, 0.6), strength, template)


def _trust(strength: Array, coverage: Array) -> Array:
    return np.clip(strength, 0.0, 1.5) * (coverage > 0.6)


def _measured(cells: Cells, highest: int, sigma: float) -> tuple[_Shifts, _Shifts]:
    """Shifts of all cells across and down, from harmonics blurred over ``sigma`` cells."""
    covered = (cells.coverage > 0.6).astype(float)
    found = []
    for harmonics in cells.axes:
        smooth = blurred(harmonics, sigma)
        first = _shifts(smooth, covered, highest)
        found.append(_shifts(smooth, _trust(first.strength, cells.coverage), highest))
    return found[0], found[1]


def _refined(
    lines: Lines, page_map: PageMap, region_px: Box, highest: int, sigma: float, stiffness: float
) -> tuple[PageMap, float]:
    """The map corrected once and its origin put on a heavy crossing; how clearly that is one."""
    cells = cut_cells(lines, page_map, region_px)
    found = _measured(cells, highest, sigma)
    fields = [
        smooth_field(f.shift, np.square(_trust(f.strength, cells.coverage)), stiffness, robust=True) for f in found
    ]
    (sx, mx), (sy, my) = (heavy_place(f.template) for f in found)
    return _corrected(page_map, cells, fields[0], fields[1]).moved(sx, sy), min(mx, my)


def _halves(shape: tuple[int, ...], axis: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Every other stripe of two cells along the lines that are measured: 0, lines across; 1, lines down.

    A line's error (of sampling, of a printer's or a scanner's threshold) is the same all along it, and cells of one
    stripe would confirm each other in it.
    """
    black = np.indices(shape)[1 - axis] // 2 % 2 == 0
    return black, ~black


def _trusted(shift: Array, weight: Array) -> Array:
    """The cells' weights, 1 in the mean of those that have one, without what strays from its neighbours."""
    first = smooth_field(shift, weight, 10.0, robust=True, rounds=3)
    left = np.abs(shift - first)
    scale = 1.4826 * float(np.median(left[weight > 0])) + 1e-6 if (weight > 0).any() else 1.0
    trusted = weight * np.square(np.clip(1 - np.square(left / (6 * scale)), 0, None))
    return np.asarray(trusted / (float(np.mean(trusted[trusted > 0])) if (trusted > 0).any() else 1.0))


def _held_out(bend: Array, trusted: Array, axis: int) -> tuple[float, Array]:
    """By how much a smooth field of either half of the cells misses the other half, weighted sum of squares, at the
    stiffness at which that is least; and half the difference of the two fields, (rows, columns).

    ``bend``: (rows, columns) the cells' distances from a flat page; ``trusted``: their weights.
    """
    black, white = _halves(bend.shape, axis)
    tried: list[tuple[float, Array]] = []
    for stiffness in reversed(_STIFFNESSES):
        a, b = smooth_field(bend, trusted * black, stiffness), smooth_field(bend, trusted * white, stiffness)
        missed = bend - np.where(black, b, a)
        tried.append((float(np.sum(trusted * np.square(missed))), np.abs(a - b) / 2))
        if len(tried) > 1 and tried[-2][0] < tried[-1][0]:
            break  # ever softer fields follow ever more of the noise
    return min(tried, key=lambda one: one[0])


def _coherence(harmonics: Spectrum, trust: Array) -> tuple[float, float]:
    """Part of the energy of the heavy lines' and of the 1 mm lines' harmonics that is the same in all cells."""
    mean = np.abs(np.einsum("rc,rck->k", trust, harmonics) / (trust.sum() + 1e-12)) ** 2
    all_ = np.einsum("rc,rck->k", trust, np.abs(harmonics) ** 2) / (trust.sum() + 1e-12)
    return (
        float(mean[[0, 1, 2, 3]].sum() / (all_[[0, 1, 2, 3]].sum() + 1e-12)),
        float(mean[4] / (all_[4] + 1e-12)),
    )


def _finished(lines: Lines, page_map: PageMap, region_px: Box, heavy: float, follow: Follow) -> Lock:
    """The last correction, cell by cell, with what is known about its errors."""
    cells = cut_cells(lines, page_map, region_px, finely=True)
    found = _measured(cells, len(ORDER), 0.0)
    weights = [np.square(_trust(f.strength, cells.coverage)) for f in found]
    # What is made smooth is the way from a flat page to here, not the last step: the steps before were less stiff.
    centres, off = cells.centres(), np.stack([f.shift for f in found], -1)
    px, trusted = page_map.to_px(centres), np.stack([_trusted(f.shift, w) for f, w in zip(found, weights, strict=True)])
    plane = fit_homography((centres - off).reshape(-1, 2), px.reshape(-1, 2), trusted.min(0).ravel() + 1e-6)
    back = np.asarray(np.linalg.inv(plane), np.float64)
    bend = apply_homography(back, px) - centres + off
    flat = find_flat(centres - off, px, plane, trusted, lines.shape)
    bends, bent = None, None
    if flat is not None:
        bend = bend - flat.lines
        losses, spreads = zip(*(_held_out(bend[..., k], trusted[k], k) for k in (0, 1)), strict=True)
        rigid = apply_homography(back, flat.camera.to_px(centres)) - centres
        loss = float(np.sum(trusted * np.square(np.moveaxis(bend - rigid, -1, 0))))
        # A sheet that is not quite flat is better followed cell by cell, unless the cells' own lines are off.
        if flat.rastered or loss < _RIGID * sum(losses):
            bent, spread = rigid, np.stack(spreads, -1)
    if bent is None:
        bends = bends_of(cells, bend, off, trusted, np.stack([f.strength for f in found]))
        bent, spread = follow(bends)
    smooth = PageMap(
        plane,
        (float(cells.x_mm[0]), float(cells.y_mm[0])),
        CELL_MM,
        apply_homography(plane, centres + bent) - apply_homography(plane, centres),
    )
    aligned = np.ones(cells.coverage.shape)
    for harmonics in cells.axes:
        shift, clear = heavy_shift(blurred(harmonics[..., :HARMONICS], 1.5))
        aligned = np.minimum(aligned, np.where(np.abs(shift) < 0.5, np.clip((clear - 0.3) / 0.4, 0, 1), 0.0))
    across, down = (_coherence(h, _trust(f.strength, cells.coverage)) for h, f in zip(cells.axes, found, strict=True))
    strength = np.sqrt(found[0].strength * found[1].strength)
    error = bend - bent
    trust = _trust(strength, cells.coverage) * (np.abs(error).max(-1) < 0.3) * (strength > 0.3)
    return Lock(
        _settled(smooth, centres, trust),
        strength,
        error,
        spread,
        aligned,
        cells.coverage,
        cells.x_mm,
        cells.y_mm,
        heavy,
        (across[0], down[0]),
        (across[1], down[1]),
        bends,
        plane,
    )


def lock(lines: Lines, page_map: PageMap, region_px: Box, follow: Follow = followed) -> Lock:
    """The exact map of the grid of ``lines`` from one that is right to a few per cent in scale and unknown in
    place.

    ``region_px``: x0, y0, x1, y1 of the part in which the grid's comb was seen; ``follow``: says how a sheet that is
    not flat is bent.
    """
    best: Lock | None = None
    # Grown from its clearest part, which follows folds; else by the heavy lines and once more from there, where the
    # first map was too far off to be followed; the two other ways are for hard pages.
    for way in (_spread_out, _by_heavy_twice, _by_light_twice, _by_heavy):
        found = _from(lines, way(lines, page_map, region_px), region_px, follow)
        if best is None or found.merit > best.merit:
            best = found
        # Photos and screens with fainter lines lock no better the other ways; what has slipped aligns far worse.
        if min(best.light) > 0.45 and best.alignment > 0.75:
            break
    assert best is not None
    for _ in range(2):
        if best.alignment > _ALIGNED:
            break
        # Where heavy lines are not where the map has them, it has slipped: forget it there and go on from the rest.
        trust = np.clip(best.strength, 0, 1) * (best.coverage > 0.6) * (blurred(best.aligned, 0.8) > 0.3)
        centres = np.stack(np.meshgrid(best.x_mm, best.y_mm), -1)
        found = _from(
            lines,
            _acquired(lines, _settled(best.page_map, centres, trust), region_px, True, 0.8, 0.1),
            region_px,
            follow,
        )
        if found.merit <= best.merit:
            break
        best = found
    return best


def _from(lines: Lines, page_map: PageMap, region_px: Box, follow: Follow) -> Lock:
    """The lock from a map that is right to half a millimetre."""
    page_map, clear = _refined(lines, page_map, region_px, 5, 1.2, 1.0)
    page_map, again = _refined(lines, page_map, region_px, 10, 1.0, 0.3)
    return _finished(lines, page_map, region_px, max(clear, again), follow)
