"""What else stands on a page: headers, measurements, footers, logos, codes, stamps, handwriting, redactions."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.press.fonts import text_width
from ecglift.press.page import Colour, Page, Patch, Stroke, Text
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


def _text(rng: np.random.Generator) -> str:
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
            columns[-1].append(Text("text", _text(rng), float(x), y, size, font))
    low = page.height_mm - float(rng.uniform(2, 5))
    high = max(4.0, bottom - 2)
    line = scale_text(rng, style)
    where = (float(rng.uniform(3, page.width_mm * 0.5)), low if rng.random() < 0.75 else high)
    scale = Text("text", line, *where, float(rng.uniform(1.8, 2.8)), font, (0.0, 0.0, 0.0), "scale")
    if not style.frozen:
        if rng.random() < 0.3:
            columns.append(_measurements(rng, float(rng.uniform(3, page.width_mm * 0.6)), 5.0, bottom, size, font))
            columns.sort(key=lambda column: min((text.x_mm for text in column), default=0.0))
        columns = _set_apart(columns, page.width_mm)
        beside = [
            t.y_mm for column in columns for t in column if t.x_mm < _right_mm(scale) and scale.x_mm < _right_mm(t)
        ]
        if any(abs(y - scale.y_mm) < scale.height_mm + size for y in beside):
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


def _right_mm(text: Text) -> float:
    return text.x_mm + text_width(text.text, text.font) * text.height_mm


def _set_apart(columns: list[list[Text]], width_mm: float) -> list[list[Text]]:
    """The columns of a header, left to right, each moved right of the one before; without those for which a page
    ``width_mm`` wide then has no room."""
    out: list[list[Text]] = []
    free = 0.0
    for column in columns:
        if not column:
            continue
        later = max(free - min(text.x_mm for text in column), 0.0)
        moved = [replace(text, x_mm=text.x_mm + later) for text in column]
        right = max(_right_mm(text) for text in moved)
        if out and right > width_mm:
            break
        out.append(moved)
        free = right + _GAP_HEIGHTS * column[0].height_mm
    return out


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


def _logo(rng: np.random.Generator) -> NDArray[np.float32]:
    """A maker's or a hospital's sign (64, 64): a ring, a disc or a frame with a cross, a wave or bars in it."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    away = np.hypot(x, y) if rng.random() < 0.6 else np.maximum(np.abs(x), np.abs(y))
    width = float(rng.uniform(0.08, 0.25))
    filled = rng.random() < 0.5
    body = away < 0.95 if filled else np.abs(away - 0.85) < width / 2
    inner = (
        (np.minimum(np.abs(x), np.abs(y)) < width) & (np.maximum(np.abs(x), np.abs(y)) < 0.6),
        (np.abs(y - 0.35 * np.sin(3 * np.pi * x)) < width) & (np.abs(x) < 0.65),
        (np.sin(np.pi * x * float(rng.integers(2, 5))) > 0.2) & (np.abs(y) < 0.5) & (np.abs(x) < 0.6),
    )[int(rng.integers(3))]
    return np.asarray(body ^ inner if filled else body | inner, np.float32)


_HOLE_MM: Final = 6.0
_HOLE_IN_MM: Final = 12.0
"""Diameter of a binder's hole and how far its middle lies from the edge (ISO 838)."""


def _holes(rng: np.random.Generator, page: Page) -> list[Patch]:
    """Two, three or four holes for a binder along one edge; what lies under the sheet shows through them."""
    apart, n = ((80.0, 2), (108.0, 3), (80.0, 4))[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    side = int(rng.choice(4, p=[0.4, 0.4, 0.1, 0.1]))  # left, top, right, bottom
    length, depth = (page.height_mm, page.width_mm) if side % 2 == 0 else (page.width_mm, page.height_mm)
    if apart * (n - 1) + 2 * _HOLE_MM > length:
        return []
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    disc = np.clip((1 - np.hypot(x, y)) * 24, 0, 1).astype(np.float32)
    shade = float(rng.choice([0.03, 0.2, 0.45, 0.7, 0.95], p=[0.35, 0.2, 0.2, 0.15, 0.1]))
    away = _HOLE_IN_MM + float(rng.normal(0, 1.5))
    start = 0.5 * (length - apart * (n - 1)) + float(rng.normal(0, 4))
    out = []
    for k in range(n):
        along, across = start + k * apart, away if side < 2 else depth - away
        cx, cy = (across, along) if side % 2 == 0 else (along, across)
        half = _HOLE_MM / 2
        out.append(Patch(disc, (cx - half, cy - half, cx + half, cy + half), (shade, shade, shade)))
    return out


def _scribble(rng: np.random.Generator, x: float, y: float, size: float) -> NDArray[np.float64]:
    """A hand's smooth line (n, 2) mm around a point."""
    n = int(rng.integers(4, 12))
    knots = np.cumsum(rng.normal(0, 1, (n, 2)), axis=0)
    knots[:, 0] += np.linspace(0, n * 0.6, n)
    t = np.linspace(0, n - 1, n * 12)
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.arange(n), knots)(t)
    return np.asarray((curve - curve.mean(axis=0)) / max(np.ptp(curve), 1e-6) * size + (x, y))


def _code(rng: np.random.Generator) -> NDArray[np.float32]:
    """A square matrix code, or a bar code."""
    if rng.random() < 0.5:
        return rng.integers(0, 2, (25, 25)).astype(np.float32)
    return np.repeat(rng.integers(0, 2, (1, 60)), 12, axis=0).astype(np.float32)


def clutter(
    rng: np.random.Generator, page: Page, style: Style
) -> tuple[tuple[Stroke, ...], tuple[Text, ...], tuple[Patch, ...]]:
    """Handwriting, stamps, codes, redactions and annotations; more of it the larger ``style.clutter`` (0 to 1)."""
    strokes: list[Stroke] = []
    texts: list[Text] = []
    patches: list[Patch] = []
    much = style.clutter
    if much <= 0.02:
        return (), (), ()
    pens: tuple[Colour, ...] = ((0.1, 0.15, 0.55), (0.05, 0.05, 0.05), (0.6, 0.1, 0.1), (0.15, 0.4, 0.2))

    def anywhere() -> tuple[float, float]:
        return float(rng.uniform(5, page.width_mm - 5)), float(rng.uniform(5, page.height_mm - 5))

    for _ in range(rng.poisson(1.5 * much)):
        pen = pens[int(rng.integers(len(pens)))]
        points = _scribble(rng, *anywhere(), float(rng.uniform(5, 30)))
        strokes.append(Stroke("scribble", points, float(rng.uniform(0.25, 0.7)), pen))
    for _ in range(rng.poisson(1.0 * much)):  # a ruler line or an arrow across the page
        x, y = anywhere()
        angle, length = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(5, 40))
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        strokes.append(
            Stroke("scribble", np.array([(x, y), end]), float(rng.uniform(0.2, 0.6)), pens[int(rng.integers(4))])
        )
    for _ in range(rng.poisson(4 * much)):  # words and numbers near the rows
        panel = page.layout.panels[int(rng.integers(len(page.layout.panels)))]
        word = _text(rng) if rng.random() < 0.4 else f"{rng.normal(0, 1):.2f}"
        x, y = (
            float(rng.uniform(panel.x0_mm, max(panel.x1_mm - 8, panel.x0_mm + 1))),
            panel.baseline_mm + float(rng.normal(0, 7)),
        )
        texts.append(Text("text", word, x, y, float(rng.uniform(1.2, 3)), style.fonts[1]))
    for _ in range(rng.poisson(0.4 * much)):
        x, y = anywhere()
        size = float(rng.uniform(6, 18))
        patches.append(Patch(_code(rng), (x, min(y, 25.0), x + size, min(y, 25.0) + size), (0.05, 0.05, 0.05)))
    for _ in range(rng.poisson(0.6 * much)):  # redaction: mostly in the header
        x, y = (
            float(rng.uniform(2, page.width_mm * 0.8)),
            float(rng.uniform(1, 30) if rng.random() < 0.8 else anywhere()[1]),
        )
        shade = 0.02 if rng.random() < 0.7 else 0.9
        patches.append(
            Patch(
                np.ones((2, 2), np.float32),
                (x, y, x + float(rng.uniform(10, 60)), y + float(rng.uniform(3, 9))),
                (shade, shade, shade),
            )
        )
    if rng.random() < 0.4 * much:  # a round stamp
        x, y = anywhere()
        r = float(rng.uniform(8, 16))
        a = np.linspace(0, 2 * np.pi, 80)
        pen = pens[int(rng.integers(len(pens)))]
        for radius in (r, r * 0.8):
            strokes.append(Stroke("scribble", np.stack([x + radius * np.cos(a), y + radius * np.sin(a)], 1), 0.4, pen))
        texts.append(Text("text", _text(rng)[:12], x - r * 0.6, y, r * 0.18, style.fonts[2], pen))
    if rng.random() < 0.5 * much:  # crosses and calliper ticks on the trace
        panel = page.layout.panels[int(rng.integers(len(page.layout.panels)))]
        for x in rng.uniform(panel.x0_mm, panel.x1_mm, int(rng.integers(2, 6))):
            y = panel.baseline_mm - float(rng.uniform(2, 10))
            strokes.append(Stroke("scribble", np.array([(x, y), (x, y - 4)]), 0.3, pens[int(rng.integers(4))]))
    if not style.frozen:
        if rng.random() < 0.15:
            patches += _holes(rng, page)
        if style.header > 0 and rng.random() < 0.2:
            size = float(rng.uniform(5, 14))
            x, y = float(rng.uniform(2, page.width_mm - size)), float(rng.uniform(1, 8))
            patches.append(Patch(_logo(rng), (x, y, x + size, y + size), pens[int(rng.integers(len(pens)))]))
    return tuple(strokes), tuple(texts), tuple(patches)
