"""How a page looks: everything about a sheet that is neither the patient nor the capture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from ecglift.leads import LEADS
from ecglift.paper import TEMPLATES, Template
from ecglift.press.fonts import BUNDLED_FONTS, system_fonts
from ecglift.press.page import Colour, GridKind

LabelPlace = Literal["above", "below", "on", "left", "none"]
SeparatorKind = Literal["none", "bar", "tick", "long", "dashed", "double", "jump"]
PulsePlace = Literal["left", "right", "between", "none", "joined"]


@dataclass(frozen=True)
class Style:
    """The choices that make a sheet. Lengths in mm, times in s, colours 0 to 1.

    ``column_s``: seconds shown by one column; ``row_mm``: distance of the rows; ``first_row_mm``: the first row's
    zero line;
    ``rhythm_leads``: the leads of the rhythm strips; ``chest_gain``: factor on the gain of V1 to V6; ``dots_mm`` and
    ``wear``: of the traces, see :class:`~ecglift.press.page.Stroke`. ``frozen``: without what the press has
    learned to print since the frozen benchmark was made: header lines that keep clear of each other, tables of
    measurements, logos and binders' holes.
    """

    template: Template
    rhythm_leads: tuple[str, ...]
    speed_mm_s: float
    gain_mm_mv: float
    chest_gain: float
    column_s: float
    simultaneous: bool
    width_mm: float
    height_mm: float
    left_mm: float
    rows_mm: tuple[float, ...]
    column_gap_mm: float
    paper: Colour
    grid_kind: GridKind
    grid_box_mm: tuple[float, float, float, float]
    minor: Colour
    major: Colour
    minor_width_mm: float
    major_width_mm: float
    ground: Colour | None
    ink: Colour
    pen_mm: float
    label_place: LabelPlace
    label_offset_mm: tuple[float, float]
    label_font: str
    label_mm: float
    label_form: str
    label_ink: Colour
    separator: SeparatorKind
    separator_mm: tuple[float, float]
    separator_ink: Colour
    pulse: PulsePlace
    pulse_mm: float
    print_hz: float
    header: float
    clutter: float
    fonts: tuple[str, ...]
    dots_mm: float = 0.0
    wear: float = 0.0
    frozen: bool = False


_GRID_HUES: Final[tuple[tuple[float, Colour], ...]] = (
    (0.36, (0.95, 0.45, 0.50)),  # red to pink
    (0.10, (0.98, 0.60, 0.75)),
    (0.13, (0.97, 0.62, 0.35)),  # orange
    (0.05, (0.45, 0.72, 0.45)),  # green
    (0.05, (0.45, 0.60, 0.90)),  # blue
    (0.18, (0.60, 0.60, 0.60)),  # grey
    (0.05, (0.30, 0.30, 0.30)),  # near black
    (0.08, (0.72, 0.58, 0.50)),  # brown
)

_TEMPLATE_WEIGHTS: Final[dict[str, float]] = {
    "3x4": 9, "3x4+1": 30, "3x4+2": 5, "3x4+3": 8, "3x4-cabrera": 2, "3x4-cabrera+1": 3,
    "6x2": 9, "6x2+1": 5, "6x2-cabrera": 3, "6x2-cabrera+1": 2, "12x1": 10, "12x1-cabrera": 3,
    "6x1-limb": 3, "6x1-chest": 3, "3x1": 2, "2x1": 1.5, "1x1": 1.5,
}  # fmt: skip


def _colour(rng: np.random.Generator, base: Colour, spread: float) -> Colour:
    r, g, b = np.clip(np.array(base) + rng.normal(0, spread, 3), 0, 1)
    return float(r), float(g), float(b)


def _mix(a: Colour, b: Colour, t: float) -> Colour:
    r, g, v = (float(x + t * (y - x)) for x, y in zip(a, b, strict=True))
    return r, g, v


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    p = np.array(list(weights.values()), float)
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def competition_style(rng: np.random.Generator | None = None) -> Style:
    """The sheet of "PhysioNet – Digitization of ECG Images": 2200×1700 px at 200 dpi, 3×4 and a 10 s lead II, to 0.1
    px.

    With ``rng`` the colours, pen and header vary as they do between that data set's pages; the geometry stays.
    """
    rng = rng or np.random.default_rng(0)
    mm = 25.4 / 200
    grid = [(0.96, 0.62, 0.66), (0.97, 0.66, 0.60), (0.62, 0.72, 0.94), (0.70, 0.70, 0.70), (0.93, 0.60, 0.78)]
    major = grid[int(rng.integers(len(grid)))] if rng.random() < 0.5 else grid[0]
    return Style(
        template=TEMPLATES["3x4+1"],
        rhythm_leads=("II",),
        speed_mm_s=25.0,
        gain_mm_mv=10.0,
        chest_gain=1.0,
        column_s=2.5,
        simultaneous=False,
        width_mm=2200 * mm,
        height_mm=1700 * mm,
        left_mm=(117.6 + 0.5) * mm,
        rows_mm=tuple((y + 0.5) * mm for y in (707.8, 991.2, 1274.5, 1534.2)),
        column_gap_mm=0.0,
        paper=(1.0, 1.0, 1.0),
        grid_kind="lines",
        grid_box_mm=(0.0, 1700 * mm - 215.0, 280.0, 1700 * mm),
        minor=_mix(major, (1.0, 1.0, 1.0), 0.55),
        major=major,
        minor_width_mm=0.09,
        major_width_mm=0.14,
        ground=None,
        ink=(0.05, 0.05, 0.05) if rng.random() < 0.8 else (0.0, 0.0, 0.3),
        pen_mm=float(rng.uniform(0.2, 0.32)),
        label_place="below",
        label_offset_mm=(1.0, 6.0),
        label_font="default",
        label_mm=2.6,
        label_form="standard",
        label_ink=(0.0, 0.0, 0.0),
        separator="bar",
        separator_mm=(3.0, 0.3),
        separator_ink=(0.25, 0.25, 0.25),
        pulse="left",
        pulse_mm=5.0,
        print_hz=500.0,
        header=float(rng.random() < 0.5),
        clutter=0.0,
        fonts=BUNDLED_FONTS,
    )


_PULSE_MM: Final = (5.0, 2.5, 4.0)
"""Widths of calibration pulses in mm at 25 mm/s."""


def random_style(
    rng: np.random.Generator,
    *,
    bundled_fonts_only: bool = False,
    template: str | None = None,
    pulses_between: float = 0.1,
    worn_share: float = 0.3,
) -> Style:
    """A sheet as some device somewhere might print it; every choice is wider than any one vendor's.

    ``pulses_between``: share of the sheets of several columns on which every column has a pulse; ``worn_share``: of
    those that are :func:`worn`. Nothing is drawn for either where it is 0, as for the frozen benchmark, whose pages
    are older than both.
    """
    layout = TEMPLATES[template or _pick(rng, _TEMPLATE_WEIGHTS)]
    fonts = BUNDLED_FONTS if bundled_fonts_only or not system_fonts() else (*BUNDLED_FONTS, *system_fonts())
    columns, n_rows = layout.n_columns, layout.n_rows
    speed = float(rng.choice([25.0, 50.0, 12.5], p=[0.82, 0.11, 0.07]))
    gain = float(rng.choice([10.0, 5.0, 20.0], p=[0.82, 0.1, 0.08]))
    column_s = {4: 2.5, 2: 5.0, 1: 10.0}[columns]
    if columns == 4 and rng.random() < 0.2:
        column_s = float(rng.choice([2.0, 2.4, 2.45, 2.48]))
    if columns == 2 and (speed == 50 or rng.random() < 0.2):
        column_s = float(rng.choice([2.5, 3.0, 4.0, 4.8]))
    if columns == 1:
        column_s = float(rng.choice([10.0, 9.8, 9.0, 8.0, 6.0, 5.0, 3.0], p=[0.5, 0.1, 0.08, 0.08, 0.08, 0.1, 0.06]))
        if speed == 50:
            column_s = min(column_s, 5.0)
    gap = float(rng.choice([0.0, 1.0, 2.0, 4.0, 12.0], p=[0.7, 0.1, 0.08, 0.07, 0.05]))
    pulse: PulsePlace = rng.choice(np.array(["left", "joined", "right", "none"]), p=[0.45, 0.12, 0.1, 0.33])
    if columns > 1 and pulses_between > 0 and rng.random() < pulses_between:
        pulse, gap = "between", 1.6 * _PULSE_MM[0] * speed / 25 + float(rng.uniform(2, 6))
    left = float(rng.uniform(6, 22) + (6 if pulse in ("left", "joined", "between") else 0))
    right = float(rng.uniform(1, 18) + (8 if pulse == "right" else 0))
    length = columns * column_s * speed + (columns - 1) * gap
    if layout.rhythm_strips:
        length = max(length, columns * column_s * speed)
    tight = {12: (11, 19), 6: (14, 30), 7: (14, 27), 4: (20, 38), 3: (22, 40), 5: (17, 32)}.get(n_rows, (20, 45))
    row_mm = float(rng.uniform(*tight))
    header = float(rng.random() < 0.6) * float(rng.uniform(0.3, 1.0))
    top = float(rng.uniform(12, 22) + header * rng.uniform(15, 50))
    wobble = rng.normal(0, 0.03 if rng.random() < 0.5 else 0.0, n_rows) * row_mm
    rows = tuple(float(v) for v in top + row_mm * (0.6 + np.arange(n_rows)) + wobble)
    width, height = left + length + right, rows[-1] + row_mm * 0.6 + float(rng.uniform(4, 16))
    for page_w, page_h in ((297.0, 210.0), (279.4, 215.9), (210.0, 297.0)):
        if rng.random() < 0.6 and page_w - 40 < width <= page_w and height <= page_h:
            width, height = page_w, page_h
    if rng.random() < 0.35:  # grid over the whole page
        box = (-float(rng.uniform(0, 5)), -float(rng.uniform(0, 5)), width + 5, height + 5)
    else:
        gx0, gy0 = max(left - float(rng.uniform(2, 16)), 0.5), max(rows[0] - row_mm * float(rng.uniform(0.5, 0.9)), 0.5)
        nx, ny = np.floor((width - gx0 - rng.uniform(0.5, 4)) / 5), np.floor((height - gy0 - rng.uniform(0.5, 4)) / 5)
        box = (gx0, gy0, gx0 + 5 * max(nx, 4), gy0 + 5 * max(ny, 4))
    hue = _GRID_HUES[int(rng.choice(len(_GRID_HUES), p=[w for w, _ in _GRID_HUES]))][1]
    hue = _colour(rng, hue, 0.06)
    white: Colour = (1.0, 1.0, 1.0)
    tint = float(rng.beta(1.2, 3.0)) * 0.35
    ground = _mix(white, hue, tint) if rng.random() < 0.6 else None
    paper = _mix(white, _colour(rng, (0.95, 0.93, 0.88), 0.04), float(rng.random())) if rng.random() < 0.5 else white
    strength = float(rng.uniform(0.25, 1.0))
    base = ground or paper
    grid_kind: GridKind = rng.choice(np.array(["lines", "dots", "major", "none"]), p=[0.82, 0.11, 0.05, 0.02])
    major = _mix(base, hue, strength)
    minor = _mix(base, hue, strength * float(rng.uniform(0.3, 1.0)))
    if grid_kind == "dots":
        minor = _mix(base, hue, min(1.0, strength + 0.4))
    ink = _colour(rng, (0.08, 0.08, 0.08), 0.05)
    if (u := rng.random()) < 0.12:
        ink = _colour(rng, (0.08, 0.1, 0.4), 0.06)
    elif u < 0.2:
        ink = _colour(rng, (0.35, 0.35, 0.38), 0.06)
    elif u < 0.23:
        ink = _colour(rng, (0.45, 0.05, 0.1), 0.05)
    pen = float(np.clip(rng.lognormal(np.log(0.27), 0.35), 0.13, 0.75))
    separator: SeparatorKind = rng.choice(
        np.array(["none", "bar", "tick", "long", "dashed", "double", "jump"]), p=[0.3, 0.2, 0.12, 0.1, 0.1, 0.05, 0.13]
    )
    place: LabelPlace = rng.choice(np.array(["above", "below", "on", "left", "none"]), p=[0.42, 0.25, 0.15, 0.15, 0.03])
    rhythm = tuple(str(v) for v in rng.permutation(["II", "V1", "V5"])[: layout.rhythm_strips])
    if layout.rhythm_strips and rng.random() < 0.65:
        rhythm = ("II", *(n for n in rhythm if n != "II"))[: layout.rhythm_strips]
    elif layout.rhythm_strips and rng.random() < 0.3:
        rhythm = tuple(str(v) for v in rng.permutation(np.array(LEADS))[: layout.rhythm_strips])
    grey = float(rng.uniform(0, 0.5))
    style = Style(
        template=layout,
        rhythm_leads=rhythm,
        speed_mm_s=speed,
        gain_mm_mv=gain,
        chest_gain=0.5 if gain >= 10 and rng.random() < 0.05 else 1.0,
        column_s=column_s,
        simultaneous=columns == 2 and rng.random() < 0.5,
        width_mm=width,
        height_mm=height,
        left_mm=left,
        rows_mm=rows,
        column_gap_mm=gap,
        paper=paper,
        grid_kind=grid_kind,
        grid_box_mm=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        minor=minor,
        major=major,
        minor_width_mm=float(rng.uniform(0.06, 0.18)),
        major_width_mm=float(rng.uniform(0.1, 0.35)),
        ground=ground,
        ink=ink,
        pen_mm=pen,
        label_place=place,
        label_offset_mm=(float(rng.uniform(-1, 5)), float(rng.uniform(1.0, 9.0))),
        label_font=str(rng.choice(np.array(fonts))),
        label_mm=float(rng.uniform(1.7, 4.2)),
        label_form=str(rng.choice(np.array(["standard", "upper", "spaced", "C"]), p=[0.8, 0.12, 0.05, 0.03])),
        label_ink=ink if rng.random() < 0.6 else (0.0, 0.0, 0.0),
        separator=separator,
        separator_mm=(float(rng.uniform(1.5, 5)), float(rng.uniform(0.15, 0.8))),
        separator_ink=(grey, grey, grey),
        pulse=pulse,
        pulse_mm=float(rng.choice(_PULSE_MM)),
        print_hz=float(rng.choice([500.0, 250.0, 1000.0], p=[0.7, 0.15, 0.15])),
        header=header,
        clutter=float(rng.beta(1, 2.5)),
        fonts=tuple(str(v) for v in rng.choice(np.array(fonts), 3)),
    )
    return worn(rng, style) if worn_share > 0 and rng.random() < worn_share else style


_HEADS_MM: Final = (0.125, 0.125, 0.085, 0.167, 0.25, 0.35)
"""Pitch of printing heads' dots: thermal recorders have 8 or 12 to the mm across the paper, fax machines and old
needle printers fewer."""


def worn(rng: np.random.Generator, style: Style) -> Style:
    """The sheet from a printing head whose dots show, or with lines that are paler in places, or both."""
    dots = float(rng.choice(_HEADS_MM)) if rng.random() < 0.6 else 0.0
    wear = float(rng.uniform(0.1, 0.8)) if dots == 0 or rng.random() < 0.5 else 0.0
    return replace(style, dots_mm=dots, wear=wear)
