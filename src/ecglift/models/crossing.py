"""What the crossing network sees of rows whose lines run through each other, and what it answers: which line is whose.

The trace network sees one row at a time. Where complexes of several rows cross, each stroke may be any of theirs, and
what tells them apart stands in the other rows: what they say is theirs, what is left of the ink then, and what leads
that are seen at the same time make likely. The network reads one row with all that beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX, STRIP_PX
from ecglift.pixels import darkest

Map = NDArray[np.float32]

POOLED_PX: Final = 2
ROWS: Final = STRIP_PX // POOLED_PX
"""Rows of the strip that are taken together, and how many are left: four a millimetre."""

CHANNELS: Final = 6
"""The row's chances as the trace network has them; what the rows above and below say is theirs; ink; how well a height
goes with the other leads; and how far it is from the row's zero line."""

WIDTH_MULTIPLE: Final = 16
"""Columns of a piece, eight a millimetre, are padded to this: the network halves them four times."""

_LEAST: Final = 1e-4
_FAR_MM: Final = 16.0
_UNLIKELY: Final = -4.0
_BLOCK_PX: Final = 32
_PAPER_PERCENT: Final = 75
_INK_PERCENT: Final = 99
_LEAST_INK: Final = 8.0


@dataclass(frozen=True)
class Part:
    """A row's part of a piece of the sheet, (ROWS, w) each, w columns eight a millimetre.

    ``chances``: that the line runs there, as the trace network says, naught beyond the row's ends; ``ink``: 0 on paper
    to 1 under lines; ``fit``: 0 where a height goes with what the other leads say, to −1; ``away``: how far it is from
    the row's zero line, in 16 mm; ``top``: number of the first row on the sheet, four a millimetre.
    """

    chances: Map
    ink: Map
    fit: Map
    away: Map
    top: int


def pooled(chances: Map) -> Map:
    """Chances (STRIP_PX, 2·w) of a strip's heights on the network's lattice, (ROWS, w): rows add up, columns are
    averaged."""
    rows, columns = chances.shape
    pairs = chances.reshape(rows // POOLED_PX, POOLED_PX, columns // COLUMNS_PER_PX, COLUMNS_PER_PX)
    return np.asarray(pairs.sum(axis=1).mean(axis=2), np.float32)


def ink_of(rgb: NDArray[np.uint8]) -> Map:
    """(STRIP_PX/2, w) how dark a strip (STRIP_PX, w, 3) is: 0 as the paper around, 1 as its darkest lines."""
    least = darkest(rgb)
    height, width = least.shape
    blocks = least[:, : width - width % _BLOCK_PX].reshape(height // _BLOCK_PX, _BLOCK_PX, -1, _BLOCK_PX)
    paper = np.percentile(blocks[:, ::4, :, ::4], _PAPER_PERCENT, axis=(1, 3)).astype(np.float32)
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    dark = paper - least
    dark /= max(float(np.percentile(dark[::2, ::2], _INK_PERCENT)), _LEAST_INK)
    return np.asarray(np.clip(dark, -0.2, 1.2).reshape(height // POOLED_PX, POOLED_PX, width).mean(axis=1), np.float32)


def fit_of(heights_mm: NDArray[np.float64], said_mm: NDArray[np.float64], sigma_mm: NDArray[np.float64]) -> Map:
    """(rows, w) of heights (rows,): 0 where one is what was said, (w,), give or take ``sigma_mm``, to −1; naught where
    nothing was, NaN."""
    off = (heights_mm[:, None] - said_mm) / sigma_mm
    fit = np.maximum(-0.5 * off**2, _UNLIKELY) / -_UNLIKELY
    return np.nan_to_num(fit).astype(np.float32)


def away_of(heights_mm: NDArray[np.float64], zero_mm: NDArray[np.float64]) -> Map:
    """(rows, w) of heights (rows,) from zero lines (w,)."""
    return np.clip((heights_mm[:, None] - zero_mm) / _FAR_MM, -2.0, 2.0).astype(np.float32)


def seen(parts: Sequence[Part], asked: Sequence[int]) -> Map:
    """(asked, CHANNELS, ROWS, w) what the network sees of the rows ``asked`` among ``parts``, from top to bottom."""
    first = min(part.top for part in parts)
    last = max(part.top for part in parts) + ROWS
    shape = parts[0].chances.shape
    sums = np.zeros((len(parts) + 1, last - first, shape[1]), np.float32)
    for k, part in enumerate(parts):
        sums[k + 1] = sums[k]
        sums[k + 1, part.top - first : part.top - first + ROWS] += part.chances
    out = np.empty((len(asked), CHANNELS, *shape), np.float32)
    for channels, k in zip(out, asked, strict=True):
        part = parts[k]
        there = slice(part.top - first, part.top - first + ROWS)
        above, below = sums[k, there], sums[-1, there] - sums[k + 1, there]
        for channel, chances in zip(channels, (part.chances, above, below), strict=False):
            channel[:] = _scaled(chances)
        channels[3], channels[4], channels[5] = part.ink, part.fit, part.away
    return out


def _scaled(chances: Map) -> Map:
    return np.asarray(0.5 * np.log10(np.maximum(chances, 0) + _LEAST) + 1, np.float32)


def told(model: Any, parts: Sequence[Part], asked: Sequence[int]) -> Map:
    """(asked, ROWS, 2·w) chances of each row ``asked``, in every of the strip's columns, by the network ``model``."""
    width = parts[0].chances.shape[1]
    pad = -width % WIDTH_MULTIPLE
    shown = np.pad(seen(parts, asked), ((0, 0), (0, 0), (0, 0), (0, pad)), mode="edge")
    logits = model.run({"seen": shown})["line"][:, :, : COLUMNS_PER_PX * width]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float32)
