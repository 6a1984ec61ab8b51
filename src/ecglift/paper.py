"""ECG paper: its units and the printed arrangements of leads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from ecglift.leads import CABRERA_LIMB_LEADS, CHEST_LEADS, LEADS, LIMB_LEADS

SMALL_SQUARE_MM: Final = 1.0
LARGE_SQUARE_MM: Final = 5.0
SPEEDS_MM_S: Final[tuple[float, ...]] = (12.5, 25.0, 50.0)
GAINS_MM_MV: Final[tuple[float, ...]] = (2.5, 5.0, 10.0, 20.0)
DEFAULT_SPEED_MM_S: Final = 25.0
DEFAULT_GAIN_MM_MV: Final = 10.0
PULSE_S: Final = 0.2
"""Usual width of a calibration pulse, which is 1 mV high."""

How = Literal["printed", "pulse", "given", "assumed", "grid", "page"]
"""How a speed or gain is known: read in print, from the calibration pulse, told, assumed, from the grid or the page."""


@dataclass(frozen=True)
class Panel:
    """One lead's piece of a row: where it stands on the flat sheet and what it means.

    ``x0_mm``, ``x1_mm``: left and right end of the trace; ``baseline_mm``: height of 0 mV (y grows downwards);
    ``row``: index from the top; ``start_s``: the time of ``x0_mm`` in the recording;
    ``polarity``: −1 where the print shows the lead upside down (Cabrera's −aVR); ``rhythm``: a rhythm strip.
    ``confidence``: that the name is right, 0 to 1.
    """

    lead: str
    row: int
    column: int
    x0_mm: float
    x1_mm: float
    baseline_mm: float
    start_s: float = 0.0
    gain_mm_mv: float = DEFAULT_GAIN_MM_MV
    polarity: int = 1
    rhythm: bool = False
    confidence: float = 1.0

    def with_gain(self, gain_mm_mv: float) -> Panel:
        return replace(self, gain_mm_mv=gain_mm_mv)


@dataclass(frozen=True)
class Layout:
    """What is printed where: the panels of a sheet and its scales.

    ``name`` as in :data:`TEMPLATES`, or "custom". ``score``: of the winning hypothesis, 0 to 1; ``runner_up`` and
    ``margin``: the second-best hypothesis and by how much it lost. ``speed_how``, ``gain_how``: how both are known.
    """

    name: str
    panels: tuple[Panel, ...]
    speed_mm_s: float = DEFAULT_SPEED_MM_S
    gain_mm_mv: float = DEFAULT_GAIN_MM_MV
    speed_how: How = "assumed"
    gain_how: How = "assumed"
    score: float = 1.0
    runner_up: str = ""
    margin: float = 1.0

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the leads that are printed, in standard order."""
        printed = {p.lead for p in self.panels}
        return tuple(name for name in LEADS if name in printed)

    def names(self) -> list[list[tuple[str, int]]]:
        """Lead and polarity of every panel by row and column."""
        return [[(p.lead, p.polarity) for p in row] for row in self.rows()]

    def rows(self) -> tuple[tuple[Panel, ...], ...]:
        """The panels by row, top to bottom, each row from left to right."""
        return tuple(
            tuple(sorted((p for p in self.panels if p.row == row), key=lambda p: p.x0_mm))
            for row in sorted({p.row for p in self.panels})
        )


@dataclass(frozen=True)
class Template:
    """A usual arrangement: names by row and column ("-aVR": printed inverted), then how many full-width rhythm strips.

    Columns follow each other in time or, on some devices, show the same seconds: a panel's ``start_s`` says which.
    ``any_leads``: its names are but the usual ones, as of a single strip.
    """

    name: str
    rows: tuple[tuple[str, ...], ...]
    rhythm_strips: int = 0
    any_leads: bool = False

    @property
    def n_columns(self) -> int:
        return max(len(row) for row in self.rows)

    @property
    def n_rows(self) -> int:
        return len(self.rows) + self.rhythm_strips


def _columns(names: tuple[str, ...], n_rows: int) -> tuple[tuple[str, ...], ...]:
    """Names that run down each column, as rows."""
    return tuple(names[r::n_rows] for r in range(n_rows))


_CABRERA: Final = (*CABRERA_LIMB_LEADS, *CHEST_LEADS)

TEMPLATES: Final[dict[str, Template]] = {
    t.name: t
    for t in (
        *(Template(f"3x4+{k}" if k else "3x4", _columns(LEADS, 3), k) for k in range(4)),
        *(Template(f"3x4-cabrera+{k}" if k else "3x4-cabrera", _columns(_CABRERA, 3), k) for k in range(2)),
        *(Template(f"6x2+{k}" if k else "6x2", _columns(LEADS, 6), k) for k in range(2)),
        *(Template(f"6x2-cabrera+{k}" if k else "6x2-cabrera", _columns(_CABRERA, 6), k) for k in range(2)),
        Template("12x1", tuple((n,) for n in LEADS)),
        Template("12x1-cabrera", tuple((n,) for n in _CABRERA)),
        Template("6x1-limb", tuple((n,) for n in LIMB_LEADS)),
        Template("6x1-chest", tuple((n,) for n in CHEST_LEADS)),
        Template("3x1", (("I",), ("II",), ("III",)), any_leads=True),
        Template("2x1", (("II",), ("V1",)), any_leads=True),
        Template("1x1", (("II",),), any_leads=True),
    )
}
"""The usual layouts by name: ``3x4+1`` is three rows of four columns and one rhythm strip."""
