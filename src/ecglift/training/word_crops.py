"""Pieces of pages for the word network: lead names, scales, and what looks a little like them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.sheetmap import LABELS
from ecglift.models.words import HEIGHT_PX, WIDTH_PX, WORDS
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S
from ecglift.press.fonts import text_box
from ecglift.press.page import Page
from ecglift.press.render import render
from ecglift.sheet import SHEET_PX_PER_MM
from ecglift.training.crops import photograph
from ecglift.training.sheet_targets import GAIN_TEXT, SPEED_TEXT

_SCALES: Final = 0.4
"""Share of the words that are scales, where a page has any: they are two of fifteen."""
_SPOTTED: Final = 0.2
"""Share of the words under spots; of the other places twice that."""
_TOLD: Final = 0.5
"""Share of a page's other lines that tell numbers instead: what a device prints of a patient reads like a scale."""
_NUMBER: Final = re.compile(r"\d[\d.,:/-]*\s?[A-Za-z/]*")
WIDTH_MM: Final = WIDTH_PX / SHEET_PX_PER_MM
HEIGHT_MM: Final = HEIGHT_PX / SHEET_PX_PER_MM


@dataclass(frozen=True)
class Word:
    """Something printed and the middle of it on the page; ``name`` one of :data:`ecglift.models.words.WORDS`."""

    name: str
    x_mm: float
    y_mm: float


def words_of(page: Page) -> list[Word]:
    """The lead names and scales that are printed on a page."""
    panels = {(p.lead, p.row): p.polarity for p in page.layout.panels}
    out = []
    for text in page.texts:
        if text.kind == "label":
            x0, y0, x1, y1 = text_box(text)
            inverted = panels.get((text.lead, text.row), -1 if text.text.startswith("-") else 1) < 0
            name = f"-{text.lead}" if inverted and f"-{text.lead}" in LABELS else text.lead
            out.append(Word(name, (x0 + x1) / 2, (y0 + y1) / 2))
        elif "mm/" in text.text:
            for pattern, usual, unit in ((SPEED_TEXT, SPEEDS_MM_S, "mm/s"), (GAIN_TEXT, GAINS_MM_MV, "mm/mV")):
                for found in pattern.finditer(text.text):
                    if float(found.group(1)) in usual:
                        x0, y0, x1, y1 = text_box(text, found.span())
                        out.append(Word(f"{float(found.group(1)):g} {unit}", (x0 + x1) / 2, (y0 + y1) / 2))
    return out


def revalued(rng: np.random.Generator, page: Page) -> Page:
    """``page`` with every usual speed and gain equally often in its scale line, in more spellings than one device has.

    On pages 25 mm/s and 10 mm/mV are nine of ten, and a network that has seen them so reads a clear 20 as a 10. A page
    that tells no scale does so here half of the time.
    """
    told = [k for k, text in enumerate(page.texts) if "mm/" in text.text]
    if not told and rng.random() < 0.5:
        told = [k for k, text in enumerate(page.texts) if text.kind != "label"][:1]
    texts = list(page.texts)
    for k in told:
        texts[k] = replace(texts[k], text=scale_line(rng))
    return replace(page, texts=tuple(texts))


def scale_line(rng: np.random.Generator) -> str:
    """A line that tells a speed and a gain, or one of them, every usual value as likely."""

    def one(values: tuple[str, ...]) -> str:
        return values[int(rng.integers(len(values)))]

    def number(value: float) -> str:
        return f"{value:.1f}" if rng.random() < 0.2 else f"{value:g}"

    space, gap = one(("", " ")), one(("   ", "  ", " ", ", ", " - ", "; "))
    speed = number(SPEEDS_MM_S[int(rng.integers(len(SPEEDS_MM_S)))]) + space + one(("mm/s", "mm/sec", "mm/s", "MM/S"))
    gain = number(GAINS_MM_MV[int(rng.integers(len(GAINS_MM_MV)))]) + space + one(("mm/mV", "mm/mV", "mm/mv"))
    if rng.random() < 0.15:
        chest = number(GAINS_MM_MV[int(rng.integers(len(GAINS_MM_MV)))])
        gain = f"Limb: {gain}{gap}Chest: {chest}{space}mm/mV"
    parts = [one(("", "", "", "Speed: ", "Speed ")) + speed, one(("", "", "", "Gain: ", "Gain ")) + gain]
    if rng.random() < 0.15:
        parts.reverse()
    if rng.random() < 0.1:
        parts.pop()
    band = (
        "",
        "",
        "0.05-150 Hz",
        "~ 0.15 - 100 Hz",
        "50 Hz",
        "F 60~ 0.5-40 Hz",
        "0.05-40Hz",
        "AC 50 Hz",
        "Filter: 35 Hz",
    )
    return gap.join(part for part in (*parts, one(band)) if part)


def header_line(rng: np.random.Generator) -> str:
    """A line of what a device prints of a patient and a recording: numbers with other units than those of a scale."""

    def one(*values: str) -> str:
        return values[int(rng.integers(len(values)))]

    def number(low: int, high: int) -> str:
        return str(int(rng.integers(low, high)))

    space, colon, unit = one("", " ", " "), one("", ":", " ="), one("ms", "ms", "msec", "")
    pr, qrs, qt, qtc = number(100, 240), number(60, 170), number(280, 500), number(340, 520)
    day, month, year = number(1, 29), number(1, 13), number(1988, 2027)
    time = f"{number(0, 24)}:{int(rng.integers(60)):02d}" + one("", f":{int(rng.integers(60)):02d}")
    told = (
        f"PR{colon} {pr}{space}{unit}  QRS{colon} {qrs}{space}{unit}  QT{colon} {qt}/{qtc}{space}{unit}",
        f"{one('PR', 'PR interval', 'PQ', 'P-R int')}{colon} {pr}{space}{unit}",
        f"{one('QRS', 'QRS duration', 'QRS dur')}{colon} {qrs}{space}{unit}",
        f"{one('QT/QTc', 'QT / QTcB', 'QT/QTc-Baz')}{colon} {qt}{one('/', ' / ')}{qtc}{space}{unit}",
        f"{one('HR', 'Vent. rate', 'Rate', 'VR', 'FC')}{colon} {number(30, 190)}{space}{one('bpm', '/min', 'BPM')}",
        f"{one('RR', 'PP', 'P', 'RR/PP')}{colon} {number(80, 1500)}{space}{one('ms', f'/ {number(400, 1500)} ms')}",
        f"{one('P-R-T axes', 'P/QRS/T', 'Axis')}{colon} {number(-30, 90)} {number(-90, 120)} {number(-30, 150)}"
        + one("", " deg", "°"),
        f"{one('RV5/SV1', 'RV5+SV1', 'Sokolow')}{colon} {number(0, 4)}.{number(0, 100)}{space}mV",
        f"{one('Age', 'Alter', '')}{colon} {number(1, 99)}{space}{one('yr', 'years', 'J.', 'Y')}",
        f"{one('Male', 'Female', 'M', 'F')} {number(1, 99)} {one('yr', 'years', 'Jahre')}",
        f"{number(140, 200)}{space}cm  {number(40, 130)}{space}kg",
        f"BP{colon} {number(90, 190)}/{number(50, 110)}{space}mmHg",
        f"{one('ID', 'MRN', 'Pat. ID', 'Nr.', 'SN', 'No')}{colon} {number(1, 99999)}-{number(1, 99)}",
        f"{day}{one('.', '/', '-')}{month}{one('.', '/', '-')}{year} {time}",
        f"{year}-{int(month):02d}-{int(day):02d} {time}",
        f"{one('Room', 'Bed', 'Page', 'Station', 'Loc')}{colon} {number(1, 40)}",
        f"{number(0, 2)}.{number(1, 60)}{one('-', ' - ', '~')}{one('25', '35', '40', '100', '150')}{space}Hz",
        f"{one('AC', 'Filter', 'Notch', 'F', 'EMG')}{colon} {one('25', '35', '50', '60')}{space}Hz",
        f"{one('2.5', '5', '10', '12', '25')}{space}{one('s', 'sec', 'mm', 'cm', 'mV', '%', 'mg')}",
    )
    return one("", "", "", f"{one('Normal', 'Abnormal', 'Report')} ") + one(*told)


def with_numbers(rng: np.random.Generator, page: Page) -> Page:
    """``page`` with half of its lines that are no label and tell no scale replaced by ones that tell numbers."""
    return replace(
        page,
        texts=tuple(
            replace(text, text=header_line(rng))
            if text.kind not in ("label", "handwriting") and "mm/" not in text.text and rng.random() < _TOLD
            else text
            for text in page.texts
        ),
    )


def places(rng: np.random.Generator, page: Page, n: int) -> list[Word]:
    """``n`` places to look at: mostly words, seen a little off their middle, and places without any."""
    words = words_of(page)
    scales = [word for word in words if "mm/" in word.name]
    out: list[Word] = []
    for _ in range(4 * n):
        if len(out) == n:
            break
        if words and rng.random() < 0.75:
            among = scales if scales and rng.random() < _SCALES else words
            word = among[int(rng.integers(len(among)))]
            dx, dy = np.clip(rng.normal(0, (0.8, 0.5)), -2.0, 2.0)
            out.append(Word(word.name, word.x_mm + float(dx), word.y_mm + float(dy)))
            continue
        if page.texts and rng.random() < 0.6:  # beside print, or on other print
            text = page.texts[int(rng.integers(len(page.texts)))]
            numbers = [found.span() for found in _NUMBER.finditer(text.text)]
            if numbers and rng.random() < 0.6:  # a number and its unit, looked at as a scale is
                x0, y0, x1, y1 = text_box(text, numbers[int(rng.integers(len(numbers)))])
                x, y = (float(v) for v in rng.normal(((x0 + x1) / 2, (y0 + y1) / 2), (0.8, 0.5)))
            else:
                x0, y0, x1, y1 = text_box(text)
                x, y = float(rng.uniform(x0 - 6, x1 + 6)), float(rng.uniform(y0 - 4, y1 + 4))
        elif rng.random() < 0.5:  # on a steep stroke of a trace, which looks like an "I"
            traces = [s.points_mm for s in page.strokes if s.kind in ("trace", "pulse") and len(s.points_mm) > 3]
            points = traces[int(rng.integers(len(traces)))]
            steep = np.argsort(-np.abs(np.diff(points[:, 1])))[: max(3, len(points) // 50)]
            x, y = (float(v + rng.normal(0, 0.8)) for v in points[int(rng.choice(steep))])
        else:
            panel = page.layout.panels[int(rng.integers(len(page.layout.panels)))]
            x = float(rng.uniform(panel.x0_mm - 12, panel.x1_mm + 5))
            y = float(panel.baseline_mm + rng.normal(0, 6))
        if all(abs(w.x_mm - x) > 4.5 or abs(w.y_mm - y) > 3.0 for w in words):
            out.append(Word("", x, y))
    return out


def spotted(rng: np.random.Generator, image: NDArray[np.uint8], px_per_mm: float) -> NDArray[np.uint8]:
    """The piece with spots of mould, ink or dirt on it, 0.3 to 4 mm wide."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.float32)
    usual = float(np.exp(rng.uniform(np.log(0.3), np.log(2.0))))
    for _ in range(int(rng.integers(1, 14))):
        axes = usual * np.exp(rng.normal(0, 0.4, 2)) / 2 * px_per_mm
        centre = int(rng.integers(width)), int(rng.integers(height))
        size = max(round(float(axes[0])), 1), max(round(float(axes[1])), 1)
        cv2.ellipse(mask, centre, size, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.3, 1.0)), -1)
    mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.05, 0.3)) * px_per_mm)
    colour = rng.uniform(0.0, 0.6) * np.ones(3) + rng.uniform(0, 0.2, 3)
    return np.asarray(np.clip(image * (1 - mask[..., None] * (1 - colour)), 0, 255), np.uint8)


def draw_word(rng: np.random.Generator, page: Page, word: Word) -> tuple[NDArray[np.uint8], int]:
    """(HEIGHT_PX, WIDTH_PX, 3) uint8 around a place as a capture shows it, and the index of its word."""
    stretch = float(np.exp(rng.normal(0, 0.01)))
    width, height = WIDTH_MM * stretch, HEIGHT_MM * stretch
    x0, y0 = word.x_mm - width / 2, word.y_mm - height / 2
    # Whole pixels of the source tile the piece.
    scale = max(round(float(np.clip(np.exp(rng.normal(np.log(6.0), 0.4)), 2.75, 14)) * HEIGHT_MM), 22) / height
    image = render(page, scale, (x0, y0, x0 + width, y0 + height))
    if rng.random() < (_SPOTTED if word.name else 2 * _SPOTTED):
        image = spotted(rng, image, scale)
    image = photograph(rng, image, scale)
    if image.shape[:2] != (HEIGHT_PX, WIDTH_PX):
        how = cv2.INTER_AREA if scale > SHEET_PX_PER_MM else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, (WIDTH_PX, HEIGHT_PX), interpolation=how), np.uint8)
    return image, WORDS.index(word.name)
