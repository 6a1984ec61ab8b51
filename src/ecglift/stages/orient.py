"""orient: by how much the grid is turned in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecglift.lattice.comb import find_combs, tile_spectra
from ecglift.lattice.contrast import find_contrast
from ecglift.lattice.orientation import Orientation

__all__ = ["OrientSettings", "Orientation", "find_orientation"]


@dataclass(frozen=True)
class OrientSettings:
    """``max_pixels``: size of the reduced copy that is looked at."""

    max_pixels: int = 700_000


def find_orientation(image: NDArray[np.uint8], settings: OrientSettings = OrientSettings()) -> Orientation:
    """The turn of the printed grid in ``image`` (h, w, 3) uint8, to about half a degree; confidence 0 when no comb of
    lines is seen."""
    combs = find_combs(tile_spectra(find_contrast(image, settings.max_pixels).ink))
    if not combs:
        return Orientation(0.0, 0.0)
    best = combs[0][0]
    # Pages without a grid score up to about 12 here, clean grids above 20.
    return Orientation(best.rotation_deg, float(np.clip((best.score - 8.0) / 12.0, 0.0, 1.0)))
