"""Fonts for the press: what every installation has, and what this machine has besides."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.press.page import Text

CAPITAL_HEIGHT_EM: Final = 0.71
"""Height of a capital letter in ems: Helvetica's and near everybody's."""

_HERSHEY: Final[dict[str, int]] = {
    "hershey:simplex": cv2.FONT_HERSHEY_SIMPLEX,
    "hershey:plain": cv2.FONT_HERSHEY_PLAIN,
    "hershey:duplex": cv2.FONT_HERSHEY_DUPLEX,
    "hershey:complex": cv2.FONT_HERSHEY_COMPLEX,
    "hershey:triplex": cv2.FONT_HERSHEY_TRIPLEX,
    "hershey:script": cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
}

BUNDLED_FONTS: Final[tuple[str, ...]] = (
    "default",
    "hershey:simplex",
    "hershey:duplex",
    "hershey:complex",
    "hershey:triplex",
)
"""Names that draw the same on every machine: Pillow's built-in font and OpenCV's Hershey fonts."""

_FOLDERS: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "C:/Windows/Fonts")
_NO_LATIN: Final = ("emoji", "symbol", "dingbat", "math", "d050000l", "icons", "cjk", "ornament", "standardsymbols")

_LETTERS: Final = "aVRLFIm/s0123456789"
_NOWHERE: Final = "\U0010fffd"
"""A character that no font has."""


@functools.cache
def system_fonts() -> tuple[str, ...]:
    """Paths of the Latin TrueType and OpenType fonts in this machine's usual folders, sorted; may be empty."""
    found = [p for folder in _FOLDERS for s in ("*.ttf", "*.otf", "*.t1") for p in Path(folder).rglob(s)]
    named = [str(p) for p in found if not any(w in p.name.lower() for w in _NO_LATIN)]
    return tuple(sorted(path for path in named if has_letters(path)))


def has_letters(path: str) -> bool:
    """Whether a font has all that lead names and headings are printed in; a box is drawn for what it lacks."""
    from PIL import ImageFont

    try:
        face = ImageFont.truetype(path, 24)
        box, letters = face.getmask(_NOWHERE), [face.getmask(letter) for letter in _LETTERS]
    except (OSError, ValueError):
        return False
    drawn = {(mask.size, bytes(mask)) for mask in letters}
    return (
        len(drawn) > len(_LETTERS) / 2
        and all(mask.getbbox() for mask in letters)
        and (box.size, bytes(box)) not in drawn
    )


@functools.lru_cache(maxsize=256)
def _font(name: str, size_px: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size_px) if name == "default" else ImageFont.truetype(name, size_px)


def _hershey_mask(text: str, font: int, capital_px: float) -> NDArray[np.uint8]:
    (_, cap), _ = cv2.getTextSize("H", font, 1.0, 1)
    scale = capital_px / cap
    thickness = max(1, round(capital_px * 0.11))
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    mask = np.zeros((height + below + 2 * thickness, width + 2 * thickness), np.uint8)
    cv2.putText(mask, text, (thickness, height + thickness), font, scale, 255, thickness, cv2.LINE_AA)
    return np.ascontiguousarray(mask[: height + thickness + below])


@functools.lru_cache(maxsize=512)
def text_mask(text: str, font: str, capital_px: int) -> tuple[NDArray[np.uint8], int]:
    """(coverage (h, w) uint8, rows from its top to the baseline) of a line of text with capitals ``capital_px``
    tall."""
    if font in _HERSHEY:
        mask = _hershey_mask(text, _HERSHEY[font], capital_px)
        (_, height), _ = cv2.getTextSize(text, _HERSHEY[font], 1.0, 1)
        thickness = max(1, round(capital_px * 0.11))
        (_, cap), _ = cv2.getTextSize("H", _HERSHEY[font], 1.0, 1)
        return mask, round(height * capital_px / cap) + thickness
    face = _font(font, max(3, round(capital_px / CAPITAL_HEIGHT_EM)))
    left, top, right, bottom = face.getbbox(text, anchor="ls")
    from PIL import Image, ImageDraw

    width, height = max(1, int(np.ceil(right - left)) + 2), max(1, int(np.ceil(bottom - top)) + 2)
    image = Image.new("L", (width, height), 0)
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=face, anchor="ls")
    return np.asarray(image), round(1 - top)


_MEASURED_PX: Final = 40


def text_width(text: str, font: str) -> float:
    """Width of a line of text in heights of its capitals."""
    return float(text_mask(text, font, _MEASURED_PX)[0].shape[1]) / _MEASURED_PX if text else 0.0


def text_box(text: Text, part: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 mm of a printed text, or of its characters from ``part[0]`` to ``part[1]``."""
    a, b = part or (0, len(text.text))
    left, width = (text.height_mm * text_width(s, text.font) for s in (text.text[:a], text.text[a:b]))
    return text.x_mm + left, text.y_mm - text.height_mm, text.x_mm + left + width, text.y_mm
