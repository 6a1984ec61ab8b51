"""What is printed where: rows, columns, lead names, speed and gain of a flat sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.leads import polarity
from ecglift.paper import DEFAULT_GAIN_MM_MV, DEFAULT_SPEED_MM_S, TEMPLATES, Layout, Panel
from ecglift.problem import Problem, fail
from ecglift.sheet import Sheet

STAGE: Final = "layout"
_BY_ROWS: Final = {1: "1x1", 2: "2x1", 3: "3x4", 4: "3x4+1", 5: "3x4+2", 6: "6x2", 7: "6x2+1", 12: "12x1"}


@dataclass(frozen=True)
class LayoutSettings:
    """What a person may tell: ``layout`` a name of :data:`ecglift.paper.TEMPLATES`, ``speed_mm_s``, ``gain_mm_mv``; None: find it."""

    layout: str | None = None
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {self.layout!r}")


@dataclass(frozen=True)
class SheetReading:
    """What is printed on a sheet.

    ``layout``: in the millimetres of the upright sheet. ``quarter_turns``: 0 to 3, how often the sheet had to be turned clockwise to
    stand upright: see :func:`ecglift.reading.turn.turn_sheet`.
    """

    layout: Layout
    quarter_turns: int = 0
    problems: tuple[Problem, ...] = ()


def find_layout(sheet: Sheet, settings: LayoutSettings = LayoutSettings()) -> SheetReading:  # noqa: B008
    """The reading of a flat sheet. StageError when no rows of traces are there."""
    ink = _ink(sheet)
    rows_px = _rows(ink)
    if not rows_px:
        raise fail("no-traces", STAGE, "no row of an ECG was found on the sheet; is the picture an ECG on paper?")
    name = settings.layout or _BY_ROWS.get(len(rows_px))
    if name is None:
        raise fail("layout-unknown", STAGE, f"{len(rows_px)} rows were found, which is no usual layout; name it with --layout")
    template = TEMPLATES[name]
    if template.n_rows != len(rows_px):
        raise fail("layout-mismatch", STAGE, f"layout {name} has {template.n_rows} rows, {len(rows_px)} were found")
    columns = np.flatnonzero((ink[rows_px[0] - 10 : rows_px[-1] + 10] > 0.5).any(axis=0))
    x0, x1 = (float(v) / 2 + sheet.origin_mm[0] for v in np.percentile(columns, [0.5, 99.5]))
    speed, gain = settings.speed_mm_s or DEFAULT_SPEED_MM_S, settings.gain_mm_mv or DEFAULT_GAIN_MM_MV
    baselines = [sheet.origin_mm[1] + r / 2 for r in rows_px]
    width = (x1 - x0) / template.n_columns
    panels = []
    for row, names in enumerate(template.rows):
        for column, printed in enumerate(names):
            lead, sign = polarity(printed)
            assert lead is not None  # templates hold lead names only
            left = x0 + column * width
            panels.append(Panel(lead, row, column, left, left + width, baselines[row], column * width / speed, gain, sign, False, 0.5))
    for k in range(template.rhythm_strips):
        row = len(template.rows) + k
        panels.append(Panel(("II", "V1", "V5")[k], row, 0, x0, x1, baselines[row], 0.0, gain, 1, True, 0.5))
    how = ("given" if settings.speed_mm_s else "assumed", "given" if settings.gain_mm_mv else "assumed")
    layout = Layout(name, tuple(panels), speed, gain, how[0], how[1], 0.5)  # type: ignore[arg-type]
    note = Problem("leads-unread", STAGE, "lead names were assumed from the number of rows; check them")
    return SheetReading(layout, 0, (note,))


def _ink(sheet: Sheet) -> NDArray[np.float32]:
    """Share of dark ink, (h, w) float32 at 2 px/mm."""
    value = cv2.erode(sheet.rgb.max(axis=2), np.ones((2, 2), np.uint8))
    step = max(round(sheet.px_per_mm / 2), 1)
    paper = cv2.GaussianBlur(cv2.resize(value, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA), (0, 0), 4)
    paper = cv2.resize(paper, (value.shape[1], value.shape[0]))
    dark = np.where(sheet.seen, paper.astype(np.float32) - value, 0)
    level = 0.5 * float(np.percentile(dark[::2, ::2], 99.5))
    mask = cv2.dilate((dark > level).astype(np.uint8), np.ones((step, step), np.uint8))
    return np.asarray(mask[::step, ::step], np.float32)


def _rows(ink: NDArray[np.float32]) -> list[int]:
    """Rows of :func:`_ink` where a trace's zero line runs, top to bottom: peaks of the ink's profile."""
    # A row's line is there in nearly every column, print is not.
    there = cv2.dilate(ink, np.ones((7, 7), np.uint8)) * 0.7 + ink * 0.3
    profile = cv2.GaussianBlur(there.sum(axis=1)[:, None], (1, 15), 0, sigmaY=2.5).ravel()
    best = float(profile.max(initial=0.0))
    rows: list[int] = []
    for r in np.argsort(profile)[::-1]:
        if profile[r] < max(0.5 * best, 30.0):
            break
        if all(abs(int(r) - other) > 22 for other in rows):
            rows.append(int(r))
    return sorted(rows)
