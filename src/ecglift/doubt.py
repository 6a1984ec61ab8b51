"""How sure a sample is: what its confidence promises, and when it is too unsure to count."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

TOLERANCE_MV: Final = 0.02
"""A sample counts as right within ±20 µV: 0.2 mm at 10 mm/mV, half the width of a thin pen line."""

SURE_MV: Final = 0.1
"""Samples with a larger deviation tell nothing of how leads lie to each other: a complex that was followed into another
row for 50 ms outweighs ten seconds of agreement."""

_STRAY_MV: Final = 0.15


def stray_mv(sigma_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation to reckon with where samples are weighed against each other: from 0.15 mV on one may be another
    line's altogether, so that its error is no longer Gaussian, but any."""
    return sigma_mv * (1 + (sigma_mv / _STRAY_MV) ** 2)
