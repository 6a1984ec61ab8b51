"""What leaves: twelve leads in millivolts, with a confidence for every sample."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEAD_INDEX, LEADS, lead_name
from ecglift.problem import Problem, Status

if TYPE_CHECKING:
    from ecglift.draw.ecg_paper import Drawing


@dataclass(frozen=True)
class Segment:
    """One printed piece of a lead: samples ``start`` to ``stop`` (exclusive); ``rhythm``: a rhythm strip."""

    lead: str
    start: int
    stop: int
    row: int = 0
    column: int = 0
    rhythm: bool = False


@dataclass(frozen=True)
class Recording:
    """A 12-lead ECG as it was printed.

    ``mv``: (12, n) float32, millivolts, leads in the order of :data:`ecglift.leads.LEADS`, NaN where a lead is not
    printed or was not seen. ``confidence``: (12, n) float32, 0 to 1: chance that the sample is right to ±20 µV; 0 where
    ``mv`` is NaN. Time 0 is the left edge of the printed signal. ``provenance``: source file, hash, page, versions,
    settings; plain JSON values.
    """

    fs_hz: float
    mv: NDArray[np.float32]
    confidence: NDArray[np.float32]
    segments: tuple[Segment, ...] = ()
    status: Status = "ok"
    problems: tuple[Problem, ...] = ()
    quality: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.fs_hz > 0:
            raise ValueError(f"fs_hz must be positive, got {self.fs_hz}")
        for name in ("mv", "confidence"):
            array = np.array(getattr(self, name), np.float32)
            if array.ndim != 2 or array.shape[0] != len(LEADS):
                raise ValueError(f"{name} must be (12, n), got {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.mv.shape != self.confidence.shape:
            raise ValueError(f"mv {self.mv.shape} and confidence {self.confidence.shape} differ in shape")

    @classmethod
    def empty(
        cls, fs_hz: float = 500.0, problems: tuple[Problem, ...] = (), provenance: dict[str, Any] | None = None
    ) -> Recording:
        """The answer for a page that could not be read: no samples, status "failed"."""
        none = np.zeros((len(LEADS), 0), np.float32)
        return cls(fs_hz, none, none, (), "failed", problems, {}, provenance or {})

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads that hold at least one sample."""
        return tuple(name for name, row in zip(LEADS, self.mv, strict=True) if np.isfinite(row).any())

    @property
    def time_s(self) -> NDArray[np.float64]:
        """(n,) seconds from the left edge of the printed signal."""
        return np.arange(self.mv.shape[1]) / self.fs_hz

    @property
    def duration_s(self) -> float:
        return len(self) / self.fs_hz

    def save(self, path: str | Path, format: str | None = None) -> Path:
        """The file written: the format is told by the suffix or named, see :func:`ecglift.formats.save`."""
        from ecglift.formats import save

        return save(self, path, format)

    def plot(self, layout: str | None = None, **how: Any) -> Drawing:
        """The ECG on paper, which a notebook shows and ``.save("ecg.svg")`` writes.

        ``layout`` and ``how`` as in :func:`ecglift.draw.ecg_paper.draw_ecg`.
        """
        from ecglift.draw.ecg_paper import draw_ecg

        return draw_ecg(self, layout, **how)

    def __repr__(self) -> str:
        from ecglift.draw.words import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from ecglift.draw.words import as_html

        return as_html(self)

    def __len__(self) -> int:
        return int(self.mv.shape[1])

    def __getitem__(self, lead: str) -> NDArray[np.float32]:
        """(n,) mV of one lead; any usual spelling. KeyError when it is no lead."""
        name = lead_name(lead)
        if name is None:
            raise KeyError(f"{lead!r} is no lead; leads are {', '.join(LEADS)}")
        row: NDArray[np.float32] = self.mv[LEAD_INDEX[name]]
        return row
