"""How a sheet is bent: what its cells say, and what is asked about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.lattice.cells import CELL_MM, Array, Cells
from ecglift.lattice.fields import smooth_field

_STIFFNESS: Final = 1.0
"""Of the field from which what is left is asked: soft enough to follow a curl, too stiff for a fold."""


@dataclass(frozen=True)
class Bends:
    """What is seen of a bent sheet, in cells of 5 mm and line by line.

    ``base``: (rows, columns, 2) mm, a smooth field of how far the cells are from a flat page; ``left``: (rows, columns,
    2) mm by which each cell itself misses that; ``trust``, ``strength``: (2, rows, columns), weight of the cell's lines
    across and down in the field, and how clearly they are seen, 1 as on the rest of the page; ``coverage``: (rows,
    columns), part of the cell inside the image; ``lines``: (4, 5·rows, 5·columns) complex, amplitude and phase of the 1
    mm lines in each square millimetre, phase 0 where they are as ``base`` has them: across and down in the waves, then
    in the ink.
    """

    base: Array
    left: Array
    trust: Array
    strength: Array
    coverage: Array
    lines: NDArray[np.complex64]


Follow = Callable[[Bends], tuple[Array, Array]]
"""From what is seen of a sheet to how far its cells are from a flat page, and how far that may be off: (rows, columns,
2) mm each."""


def bends_of(cells: Cells, bend: Array, shift: Array, trust: Array, strength: Array) -> Bends:
    """What ``cells``, cut finely, show of a sheet.

    ``bend``: (rows, columns, 2) mm from a flat page to where each cell's lines are, of which ``shift`` is what the map
    under which they were cut does not know; ``trust``, ``strength``: as in :class:`Bends`.
    """
    if cells.lines is None:
        raise ValueError("the cells were not cut finely")
    base = np.stack([smooth_field(bend[..., k], trust[k], _STIFFNESS) for k in (0, 1)], -1)
    known = bend - shift - base
    turned = [
        lines * np.exp(-2j * np.pi * _at_each_mm(known[..., k % 2])).astype(np.complex64)
        for k, lines in enumerate(cells.lines)
    ]
    return Bends(base, bend - base, trust, strength, cells.coverage, np.stack(turned))


def _at_each_mm(field: Array) -> NDArray[np.float32]:
    """A field of cells (rows, columns) at the middle of each square millimetre."""
    rows, columns = field.shape
    each = round(CELL_MM)
    size = (columns * each, rows * each)
    return np.asarray(cv2.resize(field.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32)


def followed(bends: Bends) -> tuple[Array, Array]:
    """The smooth field itself, and how far its cells miss it: for lines of which no network knows how they err."""
    return bends.base, np.abs(bends.left)
