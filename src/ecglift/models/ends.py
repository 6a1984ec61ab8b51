"""What the network of ends sees of the place where a line begins or ends, and what it answers: where its first or last
sample stands.

The ink reaches beyond a line's samples by as much as the pen is wide, blurred by the camera, joined to a pulse or
behind a letter: the network has learned how each looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX, RowRead
from ecglift.sheet import SHEET_PX_PER_MM

SIDE_PX: Final = 64
"""Height and width of what is seen, eight pixels a millimetre."""
OUTSIDE_PX: Final = 24
"""Columns of it, on the left, that are beyond the place where the end is thought to be."""
CHANNELS: Final = 6
"""How dark it is in red, green and blue; the chance that the row's line runs there; whether it is an end or a start,
and whether the row goes on beside it."""
BINS: Final = 2 * SIDE_PX
"""Places answered for, sixteen a millimetre."""

_DARK: Final = 96.0
"""Of 255: what is so much darker than the paper around is shown as 1."""
_KNOWN_MM: Final = 0.4
_INSIDE_MM: Final = 0.4
_NEAR_MM: Final = 2.0
"""The line must be known to the first somewhere within the third; it is looked at in the height that it has the second
inside the end."""
_NEAR_BINS: Final = 5
_LEAST_CHANCE: Final = 0.5
"""An end is told where its likeliest place, and so many to both sides, have that chance."""
_TARGET_BINS: Final = 0.7
_SURE_BINS: Final = 0.2
"""Deviation of the answers that the network was trained to give, and the least that is believed."""


@dataclass(frozen=True)
class Place:
    """Where an end of a row's line is thought to be, ``x_mm``; ``outward``: −1 at a start, 1 at an end; ``inner``:
    whether the row goes on beyond it."""

    x_mm: float
    outward: int
    inner: bool


@dataclass(frozen=True)
class End:
    """``x_mm``, of a line's first or last sample; ``sigma_mm``: how far it may be off."""

    x_mm: float
    sigma_mm: float


@dataclass(frozen=True)
class Look:
    """What is seen of a place: ``shown`` (CHANNELS, SIDE_PX, SIDE_PX) float32; its column c, mirrored for ends, is at
    ``x_mm`` + ``outward`` · (OUTSIDE_PX − c) / SHEET_PX_PER_MM."""

    shown: NDArray[np.float32]
    x_mm: float
    outward: int

    def column(self, x_mm: float) -> float:
        """The column at which the sheet's ``x_mm`` is seen."""
        return OUTSIDE_PX - self.outward * (x_mm - self.x_mm) * SHEET_PX_PER_MM


def look_at(read: RowRead, place: Place) -> Look | None:
    """What is seen there of the row's strip; None where its line is not known near the place."""
    away = place.outward * (read.x_mm - place.x_mm)
    known = np.flatnonzero((np.abs(away) < _NEAR_MM) & (read.presence > 0.5) & (read.sigma_mm < _KNOWN_MM))
    if not len(known):
        return None
    strip = read.strip
    y_mm = float(read.y_mm[known[np.abs(away[known] + _INSIDE_MM).argmin()]])
    size = round(SIDE_PX * strip.px_per_mm / SHEET_PX_PER_MM)
    beyond = OUTSIDE_PX if place.outward < 0 else SIDE_PX - 1 - OUTSIDE_PX
    scale = strip.px_per_mm / SHEET_PX_PER_MM
    left = round((place.x_mm - strip.left_mm) * strip.px_per_mm - beyond * scale)
    top = round(float(strip.rows_px(np.array(y_mm))) - size / 2)
    rows, columns = _within(top, size, len(strip.rgb)), _within(left, size, strip.rgb.shape[1])
    rgb = strip.rgb[rows[:, None], columns]
    fine = COLUMNS_PER_PX * columns[:, None] + np.arange(COLUMNS_PER_PX)
    chance = (np.exp(read.log_p[rows[:, None, None], fine]) * read.presence[fine].astype(np.float32)).mean(axis=2)
    shown = np.zeros((CHANNELS, SIDE_PX, SIDE_PX), np.float32)
    dark = np.median(rgb.reshape(-1, 3), axis=0).astype(np.float32) - rgb.astype(np.float32)
    shown[:3] = np.moveaxis(_full(dark) / np.float32(_DARK), -1, 0)
    shown[3] = np.sqrt(_full(chance))
    shown[4], shown[5] = place.outward > 0, place.inner
    if place.outward > 0:
        shown = shown[..., ::-1]
    # A coarse strip's pixels are twice as wide: their middles stand half a fine pixel further on.
    x_mm = strip.left_mm + (left + beyond * scale + (scale - 1) / 2) / strip.px_per_mm
    return Look(np.ascontiguousarray(shown), float(x_mm), place.outward)


def _within(first: int, size: int, most: int) -> NDArray[np.int64]:
    """``size`` numbers from ``first`` on, those beyond 0 and ``most`` as the last before."""
    return np.clip(np.arange(first, first + size), 0, most - 1)


def _full(values: NDArray[Any]) -> NDArray[np.float32]:
    values = values.astype(np.float32)
    if len(values) == SIDE_PX:
        return np.asarray(values)
    return np.asarray(cv2.resize(values, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR), np.float32)


def decoded(logits: NDArray[np.float32]) -> tuple[float, float] | None:
    """Column of the end, of what is seen, and its deviation, by an answer (BINS,); None where it is as likely to be
    elsewhere."""
    p = np.exp(logits.astype(float) - float(logits.max()))
    p /= p.sum()
    k = int(p.argmax())
    near = slice(max(k - _NEAR_BINS, 0), k + _NEAR_BINS + 1)
    chance = float(p[near].sum())
    if chance < _LEAST_CHANCE:
        return None
    place = np.arange(BINS)[near]
    middle = float((p[near] * place).sum() / chance)
    variance = float((p[near] * (place - middle) ** 2).sum() / chance) - _TARGET_BINS**2
    step = SIDE_PX / BINS
    return (middle + 0.5) * step - 0.5, step * float(np.sqrt(max(variance, 0.0) + _SURE_BINS**2))


def find_ends(model: Any, looks: Sequence[Look | None]) -> list[End | None]:
    """Where the network ``model`` sees the end in each of ``looks``; None where it sees none."""
    asked = [look for look in looks if look is not None]
    if not asked:
        return [None] * len(looks)
    answers = iter(model.run({"seen": np.stack([look.shown for look in asked])})["place"])
    out: list[End | None] = []
    for look in looks:
        told = decoded(next(answers)) if look is not None else None
        if look is None or told is None:
            out.append(None)
            continue
        column, sigma = told
        out.append(End(look.x_mm + look.outward * (OUTSIDE_PX - column) / SHEET_PX_PER_MM, sigma / SHEET_PX_PER_MM))
    return out
