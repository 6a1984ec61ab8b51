"""The height of calibration pulses, measured on the sheet's ink where the network has found them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
"""What of the paper below the feet is looked at: the sides end there."""
_CLEAR: Final = 0.4
_LEAD: Final = 0.15
"""Fit of a height, of 1, below which nothing is said, and by how much it must be better than the next."""


def measured(sheet: Sheet, pulses: Sequence[Pulse]) -> tuple[Pulse, ...]:
    """``pulses`` with the usual height (1 mV at a usual gain) that fits each one's ink clearly best, else as they were.

    A pulse is a bar on two sides that end at its feet: ink along both and along the top, little between them and little
    below. Upright sheet; heights and places in mm.
    """
    return tuple(_measured(sheet, pulse) for pulse in pulses)


def _measured(sheet: Sheet, pulse: Pulse) -> Pulse:
    # The network's width first, then those of pulses at the usual speeds, which it may have mistaken.
    for width in (pulse.width_mm, *(PULSE_S * speed for speed in SPEEDS_MM_S)):
        fit = _fit(sheet, replace(pulse, width_mm=width))
        if fit is None:
            continue
        next_best, best = np.sort(fit)[-2:]
        height = GAINS_MM_MV[int(fit.argmax())]
        if best > _CLEAR and best - next_best > _LEAD:
            # What the network measured near it is finer: a pulse of 9.6 mm says that the scale is off.
            near = abs(np.log(pulse.height_mm / height)) < 0.2
            return replace(pulse, height_mm=pulse.height_mm if near else height, inked=True)
    return pulse


def _fit(sheet: Sheet, pulse: Pulse) -> Floats | None:
    """(4,) how well pulses of the usual heights fit the ink around ``pulse``; None where the sheet does not show it."""
    scale = sheet.px_per_mm
    tallest = max(GAINS_MM_MV)
    x, y = float(sheet.x_px(pulse.x_mm)), float(sheet.y_px(pulse.y_mm))
    half, about = pulse.width_mm / 2 * scale, _ABOUT_MM * scale
    left, right = round(x - half - about), round(x + half + about) + 1
    about_top = _ABOUT_TOP_MM * scale
    top, bottom = round(y - about_top), round(y + about_top + (tallest + _BELOW_MM) * scale) + 1
    over, top = max(-top, 0), max(top, 0)
    height, width = sheet.seen.shape
    if left < 0 or right > width or bottom > height + 14 * scale or pulse.width_mm < 1:
        return None
    dark = _ink(sheet.rgb[top : min(bottom, height), left:right])
    dark = np.pad(dark, ((over, max(bottom - height, 0)), (0, 0)))
    sums = np.concatenate([np.zeros((1, dark.shape[1]), np.float32), np.cumsum(dark, axis=0)])
    rows = np.arange(round(2 * about_top) + 1)
    side, middle = round(about), dark.shape[1] // 2
    inner = slice(max(side + round(0.25 * half), 1), max(dark.shape[1] - side - round(0.25 * half), 2))
    out = np.zeros(len(GAINS_MM_MV), np.float32)
    for k, gain in enumerate(GAINS_MM_MV):
        tall, under = round(gain * scale), round(0.6 * scale)
        foot, end = rows + tall, rows + tall + under + round(_BELOW_MM * scale)
        end = np.minimum(end, dark.shape[0])
        sides = (sums[foot] - sums[rows]) / tall
        below = (sums[end] - sums[foot + under]) / np.maximum(end - foot - under, 1)[:, None]
        edge = sides - np.maximum(below, 0)
        both = np.minimum(edge[:, : middle + 1].max(axis=1), edge[:, middle:].max(axis=1))
        bar = dark[rows][:, inner].mean(axis=1)
        within = (sums[foot - under] - sums[rows + under])[:, inner].mean(axis=1) / max(tall - 2 * under, 1)
        out[k] = float((np.minimum(both, bar) - within).max())
    return out


def _ink(rgb: NDArray[np.uint8]) -> Floats:
    """(h, w) how much a pixel looks like ink, 0 paper to 1, spread by a pen's width."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    paper, ink = np.percentile(grey, [60, 0.5])
    spread = cv2.erode(grey, np.ones((3, 3), np.uint8))
    return np.asarray(np.clip((0.7 * paper + 0.3 * ink - spread) / max(0.5 * (paper - ink), 8.0), 0, 1), np.float32)
