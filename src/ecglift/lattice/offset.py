"""How far a map is off the printed lines as a whole, to a thousandth of a millimetre.

A network's waves stand where it learnt that lines are, on a copy of its own scale, and may be a few hundredths of a
pixel off, all over the page alike. Nothing that compares cells with each other sees that. Starts are read against the
lines, and a quarter of a millisecond is seen in a signal of 30 dB: so what the page shows at its own resolution has the
last word.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.lattice.cells import CELL_MM, HARMONICS, Array, Box, light_shift
from ecglift.pixels import darkest

_FINE: Final = 50
_COARSE: Final = 10
"""Samples of a cell from line to line, enough that a thin line's higher harmonics do not fold down, and along them."""

_CLEAR: Final = 0.5
"""Part of the cells' amplitude at the 1 mm lines' harmonic that they must have in common for the place to be known."""

_MOST_MM: Final = 0.02
"""A larger offset is none of waves: a moiré, or a page that is not locked."""

_FEW_CELLS: Final = 100


def line_offset(image: NDArray[np.uint8], page_map: PageMap, grid_mm: Box) -> tuple[float, float]:
    """(x, y) mm by which the lines inside ``grid_mm`` stand beyond where ``page_map`` has them, 0 where that is not
    clear. ``image``: (h, w, 3) uint8, at its own resolution."""
    low, high = np.ceil(np.array(grid_mm).reshape(2, 2) / CELL_MM * [[1], [-1]]) * [[1], [-1]]
    columns, rows = (high - low).astype(int)
    if min(columns, rows) < 1 or columns * rows < _FEW_CELLS:
        return 0.0, 0.0
    ink = 255 - darkest(image)

    def shift(across: bool) -> float:
        samples = (_FINE, _COARSE) if across else (_COARSE, _FINE)
        x_mm, y_mm = (
            CELL_MM * (start + np.arange(cells * n) / n)
            for start, cells, n in zip(low, (columns, rows), samples, strict=True)
        )
        px = page_map.raster(x_mm, y_mm, every=_COARSE)
        flat = cv2.remap(ink, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blocks = flat.reshape(rows, samples[1], columns, samples[0])
        # A trace, a word or a stain takes less than half of most cells' lines.
        profiles = np.median(blocks, axis=1) if across else np.median(blocks, axis=3).swapaxes(1, 2)
        return _shift(profiles.reshape(-1, _FINE))

    return shift(True), shift(False)


def _shift(profiles: Array) -> float:
    """How far (mm) behind its cells' edges the lines of ``profiles`` (cells, _FINE) stand."""
    harmonics = np.fft.rfft(profiles, axis=-1)[:, 1 : HARMONICS + 1]
    lines = harmonics[:, round(CELL_MM) - 1]
    size = np.abs(lines)
    if float(np.abs(lines.sum())) <= _CLEAR * float(size.sum()):
        return 0.0
    seen = size > 0.5 * float(np.median(size))
    shift = float(np.median(light_shift(harmonics[seen])))
    return shift if abs(shift) < _MOST_MM else 0.0
