"""What a person may tell the digitizer: one set of values for Python, the command line and the review page."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
    ``flip``: read every row mirrored as well and average: slower and a little more accurate.
    ``limb_correction``: let Einthoven's and Goldberger's relations correct the limb leads, as far as confidence allows.
    ``baseline_hz``, ``mains_hz``, ``smooth_hz``: filters, off when None, as in :class:`ecglift.filters.FilterSettings`.
    ``deidentify``: black out everything but grid, traces and lead names in pictures, and leave file names out of what
    is written inside the files.
    """

    fs_hz: float = 500.0
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    layout: str | None = None
    px_per_mm: float | None = None
    flip: bool = False
    limb_correction: bool = True
    baseline_hz: float | None = None
    mains_hz: float | None = None
    smooth_hz: float | None = None
    deidentify: bool = False

    def __post_init__(self) -> None:
        _within("fs_hz", self.fs_hz, 50, 4000, "Hz")
        _within("speed_mm_s", self.speed_mm_s, SPEEDS_MM_S[0] / 2, SPEEDS_MM_S[-1] * 2, "mm/s")
        _within("gain_mm_mv", self.gain_mm_mv, GAINS_MM_MV[0] / 2, GAINS_MM_MV[-1] * 2, "mm/mV")
        _within("px_per_mm", self.px_per_mm, 0.5, 200, "px/mm")
        _within("baseline_hz", self.baseline_hz, 0.05, 2, "Hz")
        _within("mains_hz", self.mains_hz, 45, 65, "Hz")
        _within("smooth_hz", self.smooth_hz, 15, 150, "Hz")
        if self.layout is not None and self.layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {self.layout!r}")

    def to_dict(self) -> dict[str, Any]:
        """The rate and every value that is not the default, for provenance."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default or f.name == "fs_hz"}
