"""The turn of the grid in a picture, as one stage tells it to the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Orientation:
    """``rotation_deg``: turn of the grid in the image, clockwise as seen, −45 to 45 (quarter turns are decided on the
    flat sheet).

    ``confidence``: that there is a grid at this angle, 0 to 1.
    """

    rotation_deg: float
    confidence: float
