"""What a person may tell the digitizer: one set of values for Python, the command line and the review page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S, TEMPLATES


def _within(name: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g} {unit}, got {value!r}")


@dataclass(frozen=True)
class Settings:
    """How pages are read; None means "find it on the page". ValueError names the field and its range.

    ``fs_hz``: samples per second of the recording. ``speed_mm_s``, ``gain_mm_mv``: what the page was printed with.
    ``layout``: name of the printed arrangement, as in :data:`ecglift.paper.TEMPLATES` ("3x4+1").
    ``px_per_mm``: scale of the image, for pages without a grid.
    ``deidentify``: black out everything but grid, traces and lead names in pictures, and leave file names out of what
    is written inside the files.
    """

    fs_hz: float = 500.0
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    layout: str | None = None
    px_per_mm: float | None = None
    deidentify: bool = False

    def __post_init__(self) -> None:
        _within("fs_hz", self.fs_hz, 50, 4000, "Hz")
        _within("speed_mm_s", self.speed_mm_s, SPEEDS_MM_S[0] / 2, SPEEDS_MM_S[-1] * 2, "mm/s")
        _within("gain_mm_mv", self.gain_mm_mv, GAINS_MM_MV[0] / 2, GAINS_MM_MV[-1] * 2, "mm/mV")
        _within("px_per_mm", self.px_per_mm, 0.5, 200, "px/mm")
        if self.layout is not None and self.layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {self.layout!r}")

    def to_dict(self) -> dict[str, Any]:
        """The values that were told, for provenance: what was left to be found is left out."""
        told = {name: value for name, value in vars(self).items() if value is not None}
        return told if self.deidentify else {name: value for name, value in told.items() if name != "deidentify"}
