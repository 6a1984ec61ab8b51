"""The height of calibration pulses, measured on the sheet's ink where the network has found them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.paper import GAINS_MM_MV, PULSE_S, SPEEDS_MM_S
from ecglift.reading.marks import Pulse
from ecglift.sheet import Sheet

Floats = NDArray[np.float32]

_ABOUT_MM: Final = 2.0
_ABOUT_TOP_MM: Final = 8.0
"""The network finds a pulse's sides to the first, its top to the second: where rows are near, its pulse may hang
together with the next one."""
_BELOW_MM: Final = 3.0
"""What of the paper below the feet and above the top is looked at: the sides end there, grid lines and the sides of a
taller pulse do not."""
_CLEAR: Final = 0.35
_LEAD: Final = 0.1
"""Fit of a height, of 1, below which nothing is said, and by how much it must be better than the next: of 361 pulses on
captured pages 316 are measured, and none to a wrong gain."""
_FAINT: Final = 0.3
_SIDES: Final = 0.04
_USUAL: Final = 0.2
"""Sides fainter than the first, of the darkest ink, are not measured; by how much of the height two sides may differ,
and by how many e-folds both from the usual height."""


def measured(sheet: Sheet, pulses: Sequence[Pulse]) -> tuple[Pulse, ...]:
    """``pulses`` with the usual height (1 mV at a usual gain) that fits each one's ink clearly best, else as they were.

    A pulse is a bar on two sides that end at its feet: ink along both and along the top, little between them, below and
    above. Upright sheet; heights and places in mm.
    """
    return tuple(_measured(sheet, pulse) for pulse in pulses)


@dataclass(frozen=True)
class _Piece:
    """The ink (h, w), 0 paper to 1, around a pulse; ``rows``: at how many its top may be, ``half``: of its width,
    ``side``: columns from the piece's edge to where a side is expected."""

    ink: Floats
    rows: int
    half: float
    side: int


@dataclass(frozen=True)
class _Fit:
    """How well a pulse of one usual height fits, 1 at best, and where: row of its top, columns of its sides."""

    fit: float
    row: int
    left: int
    right: int


def _measured(sheet: Sheet, pulse: Pulse) -> Pulse:
    # The network's width first, then those of pulses at the usual speeds, which it may have mistaken.
    for width in (pulse.width_mm, *(PULSE_S * speed for speed in SPEEDS_MM_S)):
        piece = _piece(sheet, replace(pulse, width_mm=width))
        if piece is None:
            continue
        fits = _fits(piece, sheet.px_per_mm)
        next_best, best = sorted(fits, key=lambda f: f.fit)[-2:]
        height = GAINS_MM_MV[fits.index(best)]
        if best.fit > _CLEAR and best.fit - next_best.fit > _LEAD:
            # What is measured near it is finer: a pulse of 9.6 mm says that the scale is off.
            fine = _height_px(piece, best, height * sheet.px_per_mm)
            if fine is not None:
                return replace(pulse, height_mm=fine / sheet.px_per_mm, inked=True, exact=True)
            near = abs(np.log(pulse.height_mm / height)) < 0.2
            return replace(pulse, height_mm=pulse.height_mm if near else height, inked=True)
    return pulse


def _piece(sheet: Sheet, pulse: Pulse) -> _Piece | None:
    """The ink around ``pulse``; None where the sheet does not show it."""
    scale = sheet.px_per_mm
    x, y = float(sheet.x_px(pulse.x_mm)), float(sheet.y_px(pulse.y_mm))
    half, about = pulse.width_mm / 2 * scale, _ABOUT_MM * scale
    left, right = round(x - half - about), round(x + half + about) + 1
    about_top = _ABOUT_TOP_MM * scale
    top, bottom = round(y - about_top), round(y + about_top + (max(GAINS_MM_MV) + _BELOW_MM) * scale) + 1
    over, top = max(-top, 0), max(top, 0)
    height, width = sheet.seen.shape
    if left < 0 or right > width or bottom > height + 14 * scale or pulse.width_mm < 1:
        return None
    ink = _ink(sheet.rgb[top : min(bottom, height), left:right])
    ink = np.pad(ink, ((over, max(bottom - height, 0)), (0, 0)))
    return _Piece(ink, round(2 * about_top) + 1, half, round(about))


def _fits(piece: _Piece, scale: float) -> list[_Fit]:
    """How well pulses of the usual heights fit the ink."""
    dark = np.clip((cv2.dilate(piece.ink, np.ones((3, 3), np.uint8)) - 0.3) / 0.5, 0, 1)
    sums = np.concatenate([np.zeros((1, dark.shape[1]), np.float32), np.cumsum(dark, axis=0)])
    rows = np.arange(piece.rows)
    side, half, middle = piece.side, piece.half, dark.shape[1] // 2
    inner = slice(max(side + round(0.25 * half), 1), max(dark.shape[1] - side - round(0.25 * half), 2))
    out = []
    for gain in GAINS_MM_MV:
        tall, under = round(gain * scale), round(0.6 * scale)
        beyond = np.maximum(rows - under - round(_BELOW_MM * scale), 0)
        foot, end = rows + tall, rows + tall + under + round(_BELOW_MM * scale)
        end = np.minimum(end, dark.shape[0])
        sides = (sums[foot] - sums[rows]) / tall
        below = (sums[end] - sums[foot + under]) / np.maximum(end - foot - under, 1)[:, None]
        above = (sums[np.maximum(rows - under, 0)] - sums[beyond]) / np.maximum(rows - under - beyond, 1)[:, None]
        edge = sides - np.maximum(below, 0) - np.maximum(above, 0)
        both = np.minimum(edge[:, : middle + 1].max(axis=1), edge[:, middle:].max(axis=1))
        bar = dark[rows][:, inner].mean(axis=1)
        within = (sums[foot - under] - sums[rows + under])[:, inner].mean(axis=1) / max(tall - 2 * under, 1)
        fit = np.minimum(both, bar) - within
        row = int(fit.argmax())
        left, right = int(edge[row, : middle + 1].argmax()), middle + int(edge[row, middle:].argmax())
        out.append(_Fit(float(fit[row]), row, left, right))
    return out


def _height_px(piece: _Piece, at: _Fit, usual_px: float) -> float | None:
    """From the middle of the top's line to the middle of the feet's, by the ends of both sides; None where they do not
    agree."""
    about = max(round(0.12 * usual_px), 4)
    first, last = max(at.row - about, 0), min(at.row + round(usual_px) + 2 * about + 1, piece.ink.shape[0])
    inner = piece.ink[first : at.row + about, at.left + 4 : at.right - 3]
    if inner.shape[1] < 3 or last - first < usual_px:
        return None
    bar = inner.mean(axis=1)
    peak = int(bar.argmax())
    under, over = _edge(bar[peak:], 0.5 * bar[peak]), _edge(bar[peak::-1], 0.5 * bar[peak])
    if under is None or over is None:
        return None
    pen, top = under + over, peak + 0.5 * (under - over)
    heights = []
    for column in (at.left, at.right):
        line = piece.ink[first:last, max(column - 2, 0) : column + 3].max(axis=1)
        middle = round(peak + 0.6 * usual_px)
        level = float(np.median(line[peak + about : middle]))
        end = _edge(line[middle:], 0.5 * level)
        if end is None or level < _FAINT:
            return None
        heights.append(middle + end - 0.5 * pen - top)
    mean = 0.5 * sum(heights)
    alike = abs(heights[0] - heights[1]) < _SIDES * usual_px
    return mean if alike and abs(np.log(mean / usual_px)) < _USUAL else None


def _edge(line: Floats, level: float) -> float | None:
    """How far along ``line`` it first falls below ``level``, between samples; None where it does not."""
    below = np.flatnonzero(line < level)
    if not len(below) or below[0] == 0:
        return None
    k = int(below[0])
    return float(k - 1 + (line[k - 1] - level) / max(float(line[k - 1] - line[k]), 1e-6))


def _ink(rgb: NDArray[np.uint8]) -> Floats:
    """(h, w) how much a pixel looks like ink, 0 paper to 1."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    paper, ink = np.percentile(grey, [60, 0.5])
    return np.asarray((paper - grey) / max(paper - ink, 16.0), np.float32)
