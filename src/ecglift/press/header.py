"""The print above and below the rows: patient, interpretation, measurements, speed and gain."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from ecglift.press.fonts import text_box, text_width
from ecglift.press.page import Page, Stroke, Text
from ecglift.press.style import Style

_WORDS: Final = (
    "Normal sinus rhythm", "Borderline ECG", "Abnormal ECG", "Left axis deviation", "Nonspecific T wave abnormality",
    "Sinus bradycardia", "Unconfirmed diagnosis", "Atrial fibrillation", "ST elevation, consider anterior injury",
    "Incomplete right bundle branch block", "Referred by:", "Confirmed by:", "Technician:", "Room:", "Loc:", "ID:",
    "Name:", "Patient:", "Sex: M", "Sex: F", "Age: 63 yr", "Height: 172 cm", "Weight: 78 kg", "Medication:",
    "Indication:", "Test ind:", "Vent. rate 72 bpm", "PR interval 164 ms", "QRS duration 92 ms", "QT/QTc 392/417 ms",
    "P-R-T axes 54 23 41", "HR 81 bpm", "RR 740 ms", "P 108 ms", "Sokolow 2.3 mV", "EKG", "ECG REPORT", "Cardiology",
    "General Hospital", "12-lead ECG", "Page 1 of 1", "2019-04-17 08:13:55", "03-NOV-2011 14:22", "11/08/2024 09:41",
    "V2.31", "SN 00412765", "Rhythm strip", "Auswertung", "Station 3B",
)  # fmt: skip


def some_words(rng: np.random.Generator) -> str:
    """What a device may print anywhere."""
    return str(_WORDS[int(rng.integers(len(_WORDS)))])


def scale_text(rng: np.random.Generator, style: Style) -> str:
    """The line that tells speed and gain, in one of the usual spellings."""
    speed, gain = f"{style.speed_mm_s:g}", f"{style.gain_mm_mv:g}"
    if style.speed_mm_s != 12.5 and rng.random() < 0.15:
        speed, gain = f"{style.speed_mm_s:.1f}", f"{style.gain_mm_mv:.1f}"
    space = str(rng.choice(np.array(["", " "])))
    second = str(rng.choice(np.array(["s", "sec"])))
    gap = str(rng.choice(np.array(["   ", "  ", " ", ", "])))
    chest = f"{gap}Chest: {float(gain) * style.chest_gain:g}{space}mm/mV" if style.chest_gain != 1 else ""
    limb = "Limb: " if chest else ""
    band = str(
        rng.choice(np.array(["", f"{gap}0.05-150 Hz", f"{gap}~ 0.15 - 100 Hz", f"{gap}50 Hz", f"{gap}F 60~ 0.5-40 Hz"]))
    )
    return f"{speed}{space}mm/{second}{gap}{limb}{gain}{space}mm/mV{chest}{band}"


def header(rng: np.random.Generator, page: Page, style: Style) -> tuple[tuple[Text, ...], tuple[Stroke, ...]]:
    """Header and footer text, the scale line among it; empty for a style without."""
    if style.header <= 0:
        return (), ()
    columns: list[list[Text]] = []
    first = min(p.baseline_mm for p in page.layout.panels)
    bottom = first - max(8.0, style.gain_mm_mv * 1.2)
    size = float(rng.uniform(1.6, 3.0))
    font = style.fonts[0]
    x_positions = np.sort(rng.uniform(3, page.width_mm * 0.8, int(rng.integers(1, 4))))
    for x in x_positions:
        y = float(rng.uniform(4, 8))
        columns.append([])
        for _ in range(int(rng.integers(1, 8) * style.header) + 1):
            y += size * 1.7
            if y > bottom:
                break
            columns[-1].append(Text("text", some_words(rng), float(x), y, size, font))
    low = page.height_mm - float(rng.uniform(2, 5))
    high = max(4.0, bottom - 2)
    line = scale_text(rng, style)
    where = (float(rng.uniform(3, page.width_mm * 0.5)), low if rng.random() < 0.75 else high)
    scale = Text("text", line, *where, float(rng.uniform(1.8, 2.8)), font, (0.0, 0.0, 0.0), "scale")
    if not style.frozen:
        if rng.random() < 0.3:
            columns.append(_measurements(rng, float(rng.uniform(3, page.width_mm * 0.6)), 5.0, bottom, size, font))
        columns = _set_apart(columns, page.width_mm)
        if any(_collide(scale, text, room_mm=size) for column in columns for text in column):
            scale = replace(scale, y_mm=low)
    texts = [text for column in columns for text in column] + [scale]
    strokes: list[Stroke] = []
    if rng.random() < 0.3 and style.grid_kind != "none":
        x0, y0, x1, y1 = style.grid_box_mm
        ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)
        strokes.append(
            Stroke("frame", ring, float(rng.uniform(0.15, 0.5)), style.major if rng.random() < 0.5 else (0.2, 0.2, 0.2))
        )
    if rng.random() < 0.2:
        y = bottom + 1
        strokes.append(Stroke("frame", np.array([(3.0, y), (page.width_mm - 3, y)]), 0.3, (0.1, 0.1, 0.1)))
    return tuple(texts), tuple(strokes)


_GAP_HEIGHTS: Final = 1.5
"""Between two columns of a header at the least, in heights of capitals."""


def _set_apart(columns: list[list[Text]], width_mm: float) -> list[list[Text]]:
    """The columns of a header from left to right, each moved right of the one before; without empty ones and those for
    which a page ``width_mm`` wide then has no room. A column's first text stands at its left."""
    out: list[list[Text]] = []
    free = 0.0
    for column in sorted(filter(None, columns), key=lambda column: column[0].x_mm):
        later = max(free - column[0].x_mm, 0.0)
        moved = [replace(text, x_mm=text.x_mm + later) for text in column]
        right = max(text_box(text)[2] for text in moved)
        if out and right > width_mm:
            break
        out.append(moved)
        free = right + _GAP_HEIGHTS * column[0].height_mm
    return out


def _collide(a: Text, b: Text, room_mm: float) -> bool:
    """Whether one text stands over, or by less than ``room_mm`` above or below, the other."""
    (a0, _, a1, _), (b0, _, b1, _) = text_box(a), text_box(b)
    return a0 < b1 and b0 < a1 and abs(a.y_mm - b.y_mm) < a.height_mm + room_mm


_MEASURED: Final = (
    ("Vent. rate", "bpm", 40, 160), ("PR interval", "ms", 110, 240), ("QRS duration", "ms", 70, 160),
    ("QT", "ms", 320, 460), ("QTc", "ms", 370, 490), ("P axis", "deg", -20, 90), ("QRS axis", "deg", -60, 110),
    ("T axis", "deg", -40, 120), ("RV5", "uV", 300, 2800), ("SV1", "uV", 200, 2200),
)  # fmt: skip


def _measurements(rng: np.random.Generator, x: float, y: float, bottom: float, size: float, font: str) -> list[Text]:
    """A device's table of what it measured from (x, y) mm down to ``bottom``: names, values and units in columns."""
    first = int(rng.integers(len(_MEASURED)))
    chosen = [_MEASURED[(first + k) % len(_MEASURED)] for k in range(int(rng.integers(3, len(_MEASURED) + 1)))]
    value_x = x + size * (max(text_width(name, font) for name, *_ in chosen) + 1.0)
    unit_x = value_x + size * (text_width("0000", font) + 0.6)
    out: list[Text] = []
    for name, unit, low, high in chosen:
        y += size * 1.7
        if y > bottom:
            break
        value = f"{int(rng.integers(low, high)):d}"
        out += [Text("text", words, at, y, size, font) for words, at in ((name, x), (value, value_x), (unit, unit_x))]
    return out
