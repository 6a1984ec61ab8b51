"""What the pen network sees of a decoded line and what it answers: how far, column by column, the pen really went.

The trace network's line, smoothed, is right but for what a pen and pixels round off. Around that line the network sees
the trace network's distribution and the ink itself, and answers a correction and the scale of what error is left.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.models.strip import COLUMNS_PER_PX
from ecglift.pixels import darkest

Floats = NDArray[np.float64]

OFFSETS_PX: Final = (-16, -12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12, 16)
"""Rows of the strip around the line at which distribution and ink are seen."""

LINE: Final = ("slope", "bend", "jerk", "apart", "apart_slope", "sigma", "presence", "seen")
"""Channels about the line itself; then the distribution's and the ink's at every offset."""

CHANNELS: Final = len(LINE) + 2 * len(OFFSETS_PX)

ODD_DOWN: Final = tuple(LINE.index(name) for name in ("slope", "bend", "jerk", "apart", "apart_slope"))
"""Channels that change sign when the page is turned upside down."""

ODD_ACROSS: Final = tuple(LINE.index(name) for name in ("slope", "jerk", "apart_slope"))
"""Channels that change sign when the page is mirrored left to right."""

_TOLERANCE_MM: Final = 0.2
_LEAST_MM: Final = 0.005
_MOST_MM: Final = 5.0


def features(
    path_px: Floats,
    decoded_px: Floats,
    sigma_px: Floats,
    presence: Floats,
    log_p: NDArray[np.float32],
    rgb: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """(CHANNELS, n) for the n output columns of a strip.

    ``path_px``, ``decoded_px``: (n,) rows of the smoothed and of the decoded line, NaN where there is none;
    ``sigma_px``, ``presence``: (n,) of the decoded line; ``log_p``: (rows, n); ``rgb``: (rows, n / COLUMNS_PER_PX, 3).
    """
    seen = np.isfinite(path_px) & np.isfinite(decoded_px)
    n = len(path_px)
    out = np.zeros((CHANNELS, n), np.float32)
    if seen.sum() < 2:
        return out
    k = np.arange(n)
    path, decoded = (np.interp(k, k[seen], y[seen]) for y in (path_px, decoded_px))
    slope = np.gradient(path)
    bend = np.gradient(slope)
    out[0], out[1], out[2] = slope / 3, bend * 0.75, np.gradient(bend)
    out[3], out[4] = np.clip(decoded - path, -24, 24) / 3, np.clip(np.gradient(decoded), -24, 24) / 4
    out[5] = np.log(np.clip(sigma_px, 0.1, 24.0))
    out[6], out[7] = presence, seen
    least = darkest(rgb)
    ink = np.repeat((np.float32(np.median(least)) - least) / np.float32(64), COLUMNS_PER_PX, axis=1)
    rows = path[None, :] + np.array(OFFSETS_PX, float)[:, None]
    first = len(LINE)
    out[first : first + len(OFFSETS_PX)] = np.maximum(_at(log_p, rows), -9.0) / 3 + 1
    out[first + len(OFFSETS_PX) :] = np.clip(_at(ink, rows), -1, 4)
    return out


def _at(values: NDArray[np.float32], rows: Floats) -> NDArray[np.float32]:
    """Values (h, n) at fractional ``rows`` (m, n) of their own columns, linearly between rows."""
    rows = np.clip(rows, 0, values.shape[0] - 1.001)
    low = rows.astype(np.int64)
    part = (rows - low).astype(np.float32)
    below, above = np.take_along_axis(values, low, axis=0), np.take_along_axis(values, low + 1, axis=0)
    return np.asarray(below + part * (above - below), np.float32)


def upside_down(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features (…, CHANNELS, n) of the same line on a page turned upside down, but not mirrored."""
    out = batch.copy()
    for channel in ODD_DOWN:
        out[..., channel, :] *= -1
    first, many = len(LINE), len(OFFSETS_PX)
    for start in (first, first + many):
        out[..., start : start + many, :] = batch[..., start : start + many, :][..., ::-1, :]
    return out


def mirrored(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features (…, CHANNELS, n) of the same line on a page mirrored left to right."""
    out = batch[..., ::-1].copy()
    for channel in ODD_ACROSS:
        out[..., channel, :] *= -1
    return out


def correction(model: Any, seen: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """What the network ``model`` answers to features (CHANNELS, n): the correction (n,) mm and the scale (n,) mm of the
    error that is left.

    The mean of what it says of the line as it is, mirrored, upside down and both: 0.3 dB on clean pages for some
    hundredths of a second a row.
    """
    turned = upside_down(seen)
    answer = model.run({"features": np.stack([seen, mirrored(seen), turned, mirrored(turned)])})["correction"]
    shift, log_scale = answer[:, 0].astype(float), answer[:, 1].astype(float)
    one = (shift[0] + shift[1, ::-1] - shift[2] - shift[3, ::-1]) / 4
    return one, np.exp((log_scale[0] + log_scale[1, ::-1] + log_scale[2] + log_scale[3, ::-1]) / 4)


def sigma_mm(scale_mm: Floats) -> Floats:
    """The Gaussian deviation (mm) under which an error stays within 0.2 mm with the same chance as under a Laplace
    distribution of ``scale_mm``: long tails are many small errors and few large ones."""
    from scipy.special import erfinv

    scale = np.clip(scale_mm, _LEAST_MM, _MOST_MM)
    within = np.clip(-np.expm1(-_TOLERANCE_MM / scale), 1e-6, 1 - 1e-9)
    return np.asarray(_TOLERANCE_MM / (np.sqrt(2) * erfinv(within)))
