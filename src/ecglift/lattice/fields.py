"""Smooth fields on a regular lattice from scattered or doubtful values."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=16)
def _bending_bands(rows: int, columns: int) -> NDArray[np.float64]:
    """Upper bands (2·columns + 1, rows·columns) of the thin-plate energy ∫ f_xx² + 2 f_xy² + f_yy² on a lattice, as
    solveh_banded wants it."""
    band = 2 * columns
    ab = np.zeros((band + 1, rows * columns))

    def add(offsets: list[tuple[int, int]], values: list[float], height: int, width: int) -> None:
        if rows < height or columns < width:
            return
        r, c = np.meshgrid(np.arange(rows - height + 1), np.arange(columns - width + 1), indexing="ij")
        base = (r * columns + c).ravel()
        at = [base + dr * columns + dc for dr, dc in offsets]
        for i, vi in zip(at, values, strict=True):
            for j, vj in zip(at, values, strict=True):
                if j[0] >= i[0]:
                    np.add.at(ab, (band - (j - i), j), vi * vj)

    add([(0, 0), (0, 1), (0, 2)], [1.0, -2.0, 1.0], 1, 3)
    add([(0, 0), (1, 0), (2, 0)], [1.0, -2.0, 1.0], 3, 1)
    root = np.sqrt(2.0)
    add([(0, 0), (0, 1), (1, 0), (1, 1)], [root, -root, -root, root], 2, 2)
    ab.setflags(write=False)
    return ab


def smooth_field(
    values: NDArray[np.float64], weights: NDArray[np.float64], smoothness: float, robust: bool = False, rounds: int = 4
) -> NDArray[np.float64]:
    """The field (rows, columns) that minimises Σ w·(f − value)² + smoothness · bending energy (thin plate).

    Where ``weights`` is 0 the field goes on as straight as it can. ``robust``: Tukey's biweight on the residuals,
    ``rounds`` times."""
    from scipy.linalg import solveh_banded

    turned = values.shape[1] > values.shape[0]
    f, w = (values.T, weights.T) if turned else (values, weights)
    rows, columns = f.shape
    bands = smoothness * _bending_bands(rows, columns)
    # A trace of stiffness towards the weighted mean keeps the system solvable when almost nothing was measured.
    mean = float(np.sum(f * w) / max(np.sum(w), 1e-12))
    ridge = 1e-9 * max(float(w.max(initial=0.0)), smoothness, 1e-12)
    out = np.full(f.shape, mean)
    trust = np.ones(f.shape)
    for _ in range(rounds if robust else 1):
        ab = bands.copy()
        ab[-1] += (w * trust).ravel() + ridge
        right = (w * trust * (f - mean)).ravel()
        out = solveh_banded(ab, right, check_finite=False).reshape(rows, columns) + mean
        residual = np.abs(f - out)
        used = w > 0
        if not robust or not used.any():
            break
        scale = 1.4826 * float(np.median(residual[used])) + 1e-9
        trust = np.square(np.clip(1 - np.square(residual / (4.7 * scale)), 0, None))
    return np.asarray(out.T if turned else out)
