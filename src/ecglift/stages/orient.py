"""orient: by how much the grid is turned in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecglift.lattice.comb import find_combs, tile_spectra
from ecglift.lattice.contrast import find_contrast


@dataclass(frozen=True)
class OrientSettings:
    """``max_pixels``: size of the reduced copy that is looked at."""

    max_pixels: int = 700_000


@dataclass(frozen=True)
class Orientation:
    """``rotation_deg``: turn of the grid in the image, clockwise as seen, −45 to 45 (quarter turns are decided on the flat sheet).

    ``confidence``: that there is a grid at this angle, 0 to 1.
    """

    rotation_deg: float
    confidence: float


def find_orientation(image: NDArray[np.uint8], settings: OrientSettings = OrientSettings()) -> Orientation:
    """The turn of the printed grid in ``image`` (h, w, 3) uint8, to about half a degree; confidence 0 when no comb of lines is seen."""
    combs = find_combs(tile_spectra(find_contrast(image, settings.max_pixels).ink))
    if not combs:
        return Orientation(0.0, 0.0)
    best = combs[0][0]
    # Pages without a grid score up to about 12 here, clean grids above 20.
    return Orientation(best.rotation_deg, float(np.clip((best.score - 8.0) / 12.0, 0.0, 1.0)))
