"""What else stands on a page: headers, measurements, footers, logos, codes, stamps, handwriting, redactions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

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
    texts: list[Text] = []
    first = min(p.baseline_mm for p in page.layout.panels)
    bottom = first - max(8.0, style.gain_mm_mv * 1.2)
    size = float(rng.uniform(1.6, 3.0))
    font = style.fonts[0]
    x_positions = np.sort(rng.uniform(3, page.width_mm * 0.8, int(rng.integers(1, 4))))
    for x in x_positions:
        y = float(rng.uniform(4, 8))
        for _ in range(int(rng.integers(1, 8) * style.header) + 1):
            y += size * 1.7
            if y > bottom:
                break
            texts.append(Text("text", _text(rng), float(x), y, size, font))
    low = page.height_mm - float(rng.uniform(2, 5))
    high = max(4.0, bottom - 2)
    line = scale_text(rng, style)
    where = (float(rng.uniform(3, page.width_mm * 0.5)), low if rng.random() < 0.75 else high)
    texts.append(Text("text", line, *where, float(rng.uniform(1.8, 2.8)), font, (0.0, 0.0, 0.0), "scale"))
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
    return tuple(strokes), tuple(texts), tuple(patches)
