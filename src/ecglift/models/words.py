"""What the word network sees and says: a small piece of the sheet around a place where something seems to be
printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.sheetmap import LABELS
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S
from ecglift.pixels import planes
from ecglift.sheet import SHEET_PX_PER_MM, Sheet

WIDTH_PX: Final = 192
HEIGHT_PX: Final = 64
"""24 mm × 8 mm: the longest scale ("12.5 mm/sec") and the largest lead names fit."""

WORDS: Final[tuple[str, ...]] = (
    "",
    *LABELS,
    *(f"{v:g} mm/s" for v in SPEEDS_MM_S),
    *(f"{v:g} mm/mV" for v in GAINS_MM_MV),
)
"""What can stand in the middle of a piece; the first: none of these."""
NAMES: Final = slice(1, 1 + len(LABELS))
SPEEDS: Final = slice(NAMES.stop, NAMES.stop + len(SPEEDS_MM_S))
GAINS: Final = slice(SPEEDS.stop, SPEEDS.stop + len(GAINS_MM_MV))


def cut_word(sheet: Sheet, x_mm: float, y_mm: float) -> NDArray[np.uint8]:
    """(HEIGHT_PX, WIDTH_PX, 3) uint8 of the sheet around a point; its own paper's colour where the sheet ends."""
    if sheet.px_per_mm != SHEET_PX_PER_MM:
        raise ValueError(f"the word network reads sheets of {SHEET_PX_PER_MM:g} px/mm, got {sheet.px_per_mm:g}")
    left = round(float(sheet.x_px(x_mm))) - WIDTH_PX // 2
    top = round(float(sheet.y_px(y_mm))) - HEIGHT_PX // 2
    rows = np.arange(top, top + HEIGHT_PX)
    columns = np.arange(left, left + WIDTH_PX)
    height, width = sheet.seen.shape
    at = np.ix_(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1))
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    known = inside & sheet.seen[at]
    piece = sheet.rgb[at].copy()
    if not known.all():
        piece[~known] = np.median(piece[known], axis=0).astype(np.uint8) if known.any() else 255
    return np.asarray(piece, np.uint8)


def read_words(sheet: Sheet, places_mm: Sequence[tuple[float, float]], model: Any) -> NDArray[np.float64]:
    """(n, len(WORDS)) probabilities of what is printed at each of the places (x, y) mm.

    ``model``: an :class:`ecglift.models.runtime.Model`.
    """
    if not places_mm:
        return np.zeros((0, len(WORDS)))
    pieces = np.stack([cut_word(sheet, x, y) for x, y in places_mm])
    logits = model.run({"rgb": planes(pieces)})["word"].astype(float)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
