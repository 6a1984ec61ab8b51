"""A drawn trace back to evenly spaced columns: the samples that the device joined by lines, where they can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from ecglift.drawn.lines import Chain

Floats = NDArray[np.float64]

RATES_HZ: Final = tuple(
    map(float, (60, 75, 100, 120, 125, 128, 150, 200, 240, 250, 256, 300, 400, 500, 512, 600, 800, 1000, 1024, 2000))
)
"""Rates at which devices draw, tried when the points were rounded too coarsely to tell their spacing by themselves."""

_THINNED_S: Final = 0.005
_THINNED_SIGMA_MM: Final = 0.04
"""A device that draws fewer points than one in the first thins each lead by itself: a real one's limb leads, drawn at
71 Hz and rounded to 1 µV, miss Einthoven's law by 5 µV at rest and by 150 µV within a QRS."""

_FINE_MM: Final = 0.05
"""Columns for a trace whose points are not evenly spaced: 500 Hz at 25 mm/s."""


@dataclass(frozen=True)
class Curve:
    """A trace in printed millimetres on even columns ``x0 + step·k``: ``y`` (n,), NaN where the pen was lifted.

    ``sigma``: (n,) standard deviation of y from the rounding of the drawing. ``samples``: the columns are the device's
    own samples; else they are read off the line between its points.
    """

    x0: float
    step: float
    y: Floats
    sigma: Floats
    samples: bool

    @property
    def x(self) -> Floats:
        return np.asarray(self.x0 + self.step * np.arange(len(self.y)), float)


@dataclass(frozen=True)
class Pulse:
    """A calibration pulse in mm: left and right end, height of its foot (y), height and width of its top."""

    x0: float
    x1: float
    foot: float
    height: float
    width: float


def as_pulse(chain: Chain) -> Pulse | None:
    """The pulse that a chain in mm (y down) draws: up, along, down and nothing else; None when it is none."""
    points = chain.points
    (width, height), n = chain.size, len(points)
    if not (4 <= n <= 2000 and 2 <= height <= 45 and 0.8 <= width <= 30):
        return None
    foot, top = float(points[:, 1].max()), float(points[:, 1].min())
    dx, middle = np.abs(np.diff(points[:, 0])), (points[1:, 1] + points[:-1, 1]) / 2
    on_top = float(dx[middle < top + 0.05 * height].sum())
    on_foot = float(dx[middle > foot - 0.05 * height].sum())
    if on_top < 0.8 or on_foot < 0.4 or on_top + on_foot < 0.85 * width:
        return None
    # Some devices draw an edge twice; what counts is that there is one way up and one way down.
    up_or_down = np.sort(points[:-1, 0][np.diff((points[:, 1] < (foot + top) / 2).astype(int)) != 0])
    if 1 + int((np.diff(up_or_down) > 0.5).sum()) != 2:
        return None
    return Pulse(float(points[:, 0].min()), float(points[:, 0].max()), foot, height, on_top)


def split_pulse(chain: Chain, reach_mm: float = 20.0) -> tuple[Pulse | None, Chain]:
    """(pulse, rest) of a chain in mm that begins with a pulse and goes on as a trace; (None, chain) without one."""
    points = chain.points
    stop = int(np.searchsorted(points[:, 0], points[0, 0] + reach_mm))
    steep = [
        k for k in range(min(stop, len(points) - 1))
        if abs(points[k + 1, 1] - points[k, 1]) >= 2 and points[k + 1, 0] - points[k, 0] <= 0.3
    ]  # fmt: skip
    for up in steep:
        for down in steep:
            climb, fall = points[up, 1] - points[up + 1, 1], points[down + 1, 1] - points[down, 1]
            top = points[up + 1 : down + 1]
            if down <= up or climb < 2 or abs(climb - fall) > 0.1 * climb:
                continue
            if not 1.5 <= np.ptp(top[:, 0]) <= 15 or np.ptp(top[:, 1]) > 0.1 or np.ptp(points[: up + 1, 1]) > 0.1:
                continue
            ends, width = (float(points[0, 0]), float(points[down + 1, 0])), float(np.ptp(top[:, 0]))
            # The pulse's foot may lead to the trace: its points are far apart, those of a trace are not.
            usual = float(np.median(np.diff(points[:, 0])))
            first = down + 1
            while first < down + 4 and points[first + 1, 0] - points[first, 0] > 4 * usual:
                first += 1
            return Pulse(*ends, float(points[up, 1]), float(climb), width), chain.part(first, len(points))
    return None, chain


def to_curve(chain: Chain, speed_mm_s: float) -> Curve:
    """The curve of a chain in mm that runs from left to right.

    Points that stand on an even lattice are the device's samples; a point that is missing lay on the line between
    its neighbours. Else the columns are 0.05 mm apart and read off the line.
    """
    x, y = chain.points[:, 0], chain.points[:, 1]
    lattice = _lattice(x, speed_mm_s)
    if lattice is not None:
        x0, step = lattice
        index = np.round((x - x0) / step).astype(int)
        # Where one lead ends in the place in which the next begins the later point counts.
        index, last = np.unique(index[::-1], return_index=True)
        x0 += step * index[0]
        index -= index[0]
        values = np.interp(np.arange(index[-1] + 1), index, y[::-1][last])
    else:
        step, x0 = _FINE_MM, float(x[0])
        climbing = np.maximum.accumulate(x) + 1e-9 * np.arange(len(x))  # several points in one column keep their order
        values = np.interp(x0 + step * np.arange(int((x[-1] - x0) / step + 1e-6) + 1), climbing, y)
    columns = x0 + step * np.arange(len(values))
    for k in chain.gaps:
        values[(columns > x[k] + 1e-6) & (columns < x[k + 1] - 1e-6)] = np.nan
    thinned = step / speed_mm_s > _THINNED_S
    return Curve(x0, step, values, _sigma(values, x, y, step, lattice is not None, thinned), lattice is not None)


def _lattice(x: Floats, speed_mm_s: float) -> tuple[float, float] | None:
    """(x of the first point, spacing) when the points stand evenly, but for the rounding of the device."""
    steps = np.diff(x)
    rising = steps[steps > 1e-6]
    if len(x) < 20 or (steps < -1e-6).any() or not len(rising):
        return None
    usual = float(np.median(rising))
    quantum = _quantum(x)
    even = _fitted_lattice(x, usual, 0.06 * usual)
    if even is not None or quantum == 0:
        return even
    # Rounding spreads the points by half a quantum to each side; the widest spacing that explains them all is right,
    # since any finer one can be rounded to them as well.
    for rate in RATES_HZ:
        pitch = speed_mm_s / rate
        if 1.3 * quantum < pitch < 3 * usual:
            rounded = _fitted_lattice(x, pitch, 0.56 * quantum)
            if rounded is not None:
                return rounded
    return None


def _fitted_lattice(x: Floats, pitch: float, most_off: float) -> tuple[float, float] | None:
    """(start, spacing near ``pitch``) when 99 % of ``x`` lie within ``most_off`` of it and hardly two share a place."""
    start, fitted = float(x[0]), pitch
    index = np.round((x - start) / fitted)
    for _ in range(6):
        if np.unique(index).size < 0.9 * len(x):
            return None
        fitted, start = (float(v) for v in np.polyfit(index, x, 1))
        again = np.round((x - start) / fitted)
        if (again == index).all():
            break
        index = again
    if abs(fitted / pitch - 1) > 0.01 or np.quantile(np.abs(x - start - fitted * index), 0.99) > most_off:
        return None
    return start, fitted


def _quantum(values: Floats) -> float:
    """The step to which ``values`` were rounded, 0 when none can be told."""
    steps = np.diff(np.unique(np.round(values, 4)))
    steps = steps[steps > 5e-4]
    if len(steps) < 10:
        return 0.0
    least = float(np.quantile(steps, 0.02))
    for part in (1, 2, 3):
        ratio = part * steps / least
        if (np.abs(ratio - np.round(ratio)) < 0.1).mean() > 0.95:
            return least / part
    return 0.0


def _sigma(values: Floats, x: Floats, y: Floats, step: float, samples: bool, thinned: bool) -> Floats:
    """(n,) mm: rounding of the heights, and of the places where the line is steep; of ``thinned`` samples also what
    straight lines between them leave out, an eighth of the second difference."""
    known = np.nan_to_num(values, nan=float(np.nanmean(values)))
    sigma = np.full(len(values), max(_quantum(y) / np.sqrt(12), 0.002))
    if not samples:
        slope = np.abs(np.gradient(known)) / step
        return np.asarray(np.hypot(sigma, (_quantum(x) / np.sqrt(12)) * slope), float)
    if not thinned:
        return sigma
    # A stroke that leaves or enters the bend shares its doubt.
    bend = maximum_filter1d(np.abs(np.diff(np.pad(known, 1, mode="edge"), 2)), 3)
    return np.asarray(np.hypot(sigma, _THINNED_SIGMA_MM + bend / 8), float)
