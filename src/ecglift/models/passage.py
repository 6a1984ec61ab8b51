"""Where a line runs, given what is seen of it in all columns: forward and backward sums over its ways.

The best path (:func:`ecglift.models.strip.follow`) is one way; among strokes that cross many are nearly as good, and
what is least wrong on average lies between them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Chances = NDArray[np.float32]

_WEIGHT: Final = 0.7
"""Neighbouring columns are seen by one network in one picture: a column counts as that part of an independent one."""

_STEP_COST: Final = 0.02
"""Nats for a row that the line moves by between neighbouring columns. 25 hard pages of other layouts read 16.4 dB with
these two, 16.3 with 0.03, 16.1 with 0.06 and a weight of a half, 15.9 by the best path alone."""

_LEAST: Final = 1e-3
_FLOOR: Final = 1e-6
_TINY: Final = 1e-12
"""Smaller chances are the network's noise, which adds up over the rows; a line may be anywhere with the second. The
third keeps a divisor from naught."""


def posterior(p: Chances) -> Chances:
    """``p`` (rows, columns), each column's chances, given those of its neighbours; of pairs of rows and columns, with
    the detail of ``p`` inside them. ``rows`` is even."""
    rows, columns = p.shape
    even = np.pad(p, ((0, 0), (0, columns % 2)), mode="edge")
    pairs = even.reshape(rows // 2, 2, -1, 2).sum(axis=1).mean(axis=2)
    seen = (np.where(pairs > _LEAST, pairs, 0) ** _WEIGHT + _FLOOR).T.astype(np.float32)
    height = 2.0 * np.arange(rows // 2, dtype=np.float32)
    moves = np.exp(-_WEIGHT * _STEP_COST * np.abs(height[:, None] - height))
    n = len(seen)
    before, after = np.empty_like(seen), np.empty_like(seen)
    before[0], after[-1] = 1.0, 1.0
    for k in range(1, n):
        step = moves @ (before[k - 1] * seen[k - 1])
        before[k] = step / step.max()
    for k in range(n - 2, -1, -1):
        step = moves @ (after[k + 1] * seen[k + 1])
        after[k] = step / step.max()
    change = (before * seen * after).T / (pairs + _TINY)
    out = even * change.repeat(2, axis=0).repeat(2, axis=1)
    return np.asarray((out / np.maximum(out.sum(axis=0), 1e-30))[:, :columns], np.float32)
