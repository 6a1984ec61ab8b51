"""What the trace network sees and what its answer means: used by training, export and inference alike.

A strip is ``STRIP_PX`` rows of the flat sheet, centred on one row's zero line. The network answers, for each of
``COLUMNS_PER_PX``
output columns per sheet column, a distribution over the strip's rows and the log-odds that there is a line at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from ecglift.models.passage import posterior
from ecglift.sheet import SHEET_PX_PER_MM, Sheet

STRIP_PX: Final = 512
"""Rows of a strip: 64 mm at 8 px/mm, so that ±3 mV at 10 mm/mV stay inside."""

COLUMNS_PER_PX: Final = 2
"""Output columns per sheet column: 16 a millimetre."""

SCALES_PX_PER_MM: Final = (SHEET_PX_PER_MM, SHEET_PX_PER_MM / 2)
"""Scales of a sheet that the network was trained on; the coarse one is for leads taller than a strip."""

WIDTH_MULTIPLE_PX: Final = 64
"""The network halves its input six times; widths are padded to this."""

_WINDOW_PX: Final = 6
"""Least half-width of the window around the followed path over which the expectation is taken."""

_LOBE_LEAST: Final = 1e-3
_LOBE_GAP_PX: Final = 3
"""The window reaches as far as the probability of a row stays above the first, rows below it bridged up to twice the
second."""

_DOUBTED: Final = 0.99
_KNOWN: Final = 0.8
"""Where the piece of the distribution that the path runs through holds less than the first of it, all columns are asked
together; and where it holds less than the second of what they say, the answer moves to the middle of that, to which it
has come at half as much."""

_SPREAD_PX: Final = 3
"""Rows over which chances are added up for choosing the path."""

_AROUND_COLUMNS: Final = 160

_STEP_COST: Final = 0.015
"""Cost in nats of moving the path by one pixel between neighbouring output columns."""


@dataclass(frozen=True)
class Strip:
    """``rgb``: (STRIP_PX, w, 3) uint8; its first pixel's centre stands at ``left_mm``, ``top_mm`` on the sheet."""

    rgb: NDArray[np.uint8]
    left_mm: float
    top_mm: float
    px_per_mm: float = SHEET_PX_PER_MM

    def columns_mm(self) -> NDArray[np.float64]:
        """(w·COLUMNS_PER_PX,) mm: where the output columns stand on the sheet."""
        k = np.arange(self.rgb.shape[1] * COLUMNS_PER_PX)
        return self.left_mm + ((k + 0.5) / COLUMNS_PER_PX - 0.5) / self.px_per_mm

    def rows_mm(self, y_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Heights on the sheet, mm, of rows ``y_px`` of the strip."""
        return self.top_mm + y_px / self.px_per_mm

    def rows_px(self, y_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows of the strip, px, at heights ``y_mm`` on the sheet."""
        return (y_mm - self.top_mm) * self.px_per_mm


@dataclass(frozen=True)
class RowRead:
    """A strip of one row and what the trace network made of it.

    ``x_mm``, ``y_mm``, ``sigma_mm``, ``presence``: (n,) the decoded line as in :class:`ecglift.sheet.Trace`, without
    gaps; ``log_p``: (rows, n) log-probability of the line's height.
    """

    strip: Strip
    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    sigma_mm: NDArray[np.float64]
    presence: NDArray[np.float64]
    log_p: NDArray[np.float32]


def cut_strip(sheet: Sheet, baseline_mm: float, x0_mm: float, x1_mm: float) -> Strip:
    """The strip around the zero line ``baseline_mm`` that reaches from x0 to x1; whole pixels are taken, nothing is
    resampled. At the sheet's scale it is 64 mm tall, on a sheet of half the scale 128 mm.

    What the sheet does not show is filled with the strip's paper colour.
    """
    if sheet.px_per_mm not in SCALES_PX_PER_MM:
        scales = " or ".join(f"{scale:g}" for scale in SCALES_PX_PER_MM)
        raise ValueError(f"the trace network reads sheets of {scales} px/mm, got {sheet.px_per_mm:g}")
    left = int(np.floor(sheet.x_px(x0_mm)))
    width = int(np.ceil(sheet.x_px(x1_mm))) - left + 1
    width = -(-width // WIDTH_MULTIPLE_PX) * WIDTH_MULTIPLE_PX
    top = round(float(sheet.y_px(baseline_mm))) - STRIP_PX // 2
    height, full = sheet.seen.shape
    a, b, c, d = max(top, 0), min(top + STRIP_PX, height), max(left, 0), min(left + width, full)
    rgb = np.full((STRIP_PX, width, 3), 255, np.uint8)
    if a < b and c < d:
        seen = sheet.seen[a:b, c:d]
        piece = sheet.rgb[a:b, c:d]
        paper = np.median(piece[::4, ::4][seen[::4, ::4]], axis=0) if seen[::4, ::4].any() else np.full(3, 255)
        rgb[:] = paper.astype(np.uint8)
        inside = rgb[a - top : b - top, c - left : d - left]
        if seen.all():
            inside[:] = piece
        else:
            np.copyto(inside, piece, where=seen[..., None])
    return Strip(
        rgb, sheet.origin_mm[0] + left / sheet.px_per_mm, sheet.origin_mm[1] + top / sheet.px_per_mm, sheet.px_per_mm
    )


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities over axis 0."""
    top = logits.max(axis=0)
    shifted = logits - top
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=0)), np.float32)


def follow(log_p: NDArray[np.float32], step_cost: float | NDArray[np.float32] = _STEP_COST) -> NDArray[np.int64]:
    """The row, (columns,), of the best path: maximal sum of log-probability minus the cost of its vertical movement.

    ``step_cost``: of a pixel, or (rows, columns) of passing each pixel. Exact dynamic programming; the L1 distance
    transform is two running minima (Felzenszwalb & Huttenlocher 2012).
    """
    rows, columns = log_p.shape
    costs = np.broadcast_to(np.asarray(step_cost, np.float32), (rows, columns) if np.ndim(step_cost) else (rows, 1))
    climb = np.cumsum(costs, axis=0, dtype=np.float32).T  # (columns or 1, rows)
    climb = np.broadcast_to(climb, (columns, rows))
    cost = np.maximum(-log_p.T, 0).astype(np.float32)  # (columns, rows)
    cost = np.minimum(cost, 12.0)
    total = np.empty((columns, rows), np.float32)
    total[0] = cost[0]
    for k in range(1, columns):
        before, height = total[k - 1], climb[k]
        down = np.minimum.accumulate(before - height) + height
        up = np.minimum.accumulate((before + height)[::-1])[::-1] - height
        total[k] = np.minimum(down, up) + cost[k]
    path = np.empty(columns, np.int64)
    path[-1] = int(total[-1].argmin())
    for k in range(columns - 2, -1, -1):
        height = climb[k + 1]
        path[k] = int((total[k] + np.abs(height - height[path[k + 1]])).argmin())
    return path


def _followed(log_p: NDArray[np.float32], step_cost: float | NDArray[np.float32]) -> NDArray[np.int64]:
    """The path at full resolution, found on pairs of rows and columns (a quarter of the work), then moved to the
    nearest maximum."""
    rows, columns = log_p.shape
    even = columns - columns % 2
    # A steep line's chances are spread over many rows: each is small, and a path by single rows prefers another line.
    spread = cv2.GaussianBlur(np.exp(log_p), (1, 4 * _SPREAD_PX + 1), sigmaX=0.1, sigmaY=_SPREAD_PX)
    pairs = np.log(spread[:, :even] + 1e-6).reshape(rows // 2, 2, even // 2, 2).mean(axis=(1, 3))
    if isinstance(step_cost, np.ndarray):
        step_cost = step_cost[:, :even].reshape(rows // 2, 2, even // 2, 2).mean(axis=(1, 3))
    coarse = follow(pairs, 2 * step_cost)
    path = np.repeat(2 * coarse, 2)
    path = np.concatenate([path, path[-1:]])[:columns] if columns % 2 else path
    near = np.clip(path[None, :] + np.arange(-2, 4)[:, None], 0, rows - 1)
    best = np.take_along_axis(log_p, near, axis=0).argmax(axis=0)
    return np.asarray(near[best, np.arange(columns)])


def lobe(p: NDArray[np.float32], path: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and one past the last, each (columns,), of the piece of the distribution that holds the path.

    A steep line leaves a tall stroke in a column and a tall piece of distribution: its middle is the answer, however
    tall it is,
    while another line's piece, across rows of next to no probability, is not.
    """
    rows = p.shape[0]
    held = cv2.dilate((p > _LOBE_LEAST).astype(np.uint8), np.ones((2 * _LOBE_GAP_PX + 1, 1), np.uint8)).astype(bool)
    index = np.arange(rows, dtype=np.int16)[:, None]
    before = np.maximum.accumulate(np.where(held, np.int16(-1), index), axis=0)
    after = np.minimum.accumulate(np.where(held, np.int16(rows), index)[::-1], axis=0)[::-1]
    at = path[None, :]
    top = np.take_along_axis(before, at, axis=0)[0] + 1
    bottom = np.take_along_axis(after, at, axis=0)[0]
    return np.minimum(top, np.maximum(path - _WINDOW_PX, 0)), np.maximum(
        bottom, np.minimum(path + _WINDOW_PX + 1, rows)
    )


def pieces_around(columns: NDArray[np.bool_]) -> list[slice]:
    """The runs of columns to decode once more for the marked ones, (columns,): those and 10 mm on both sides."""
    pieces, n = label(binary_dilation(columns, iterations=_AROUND_COLUMNS))
    return [piece for (piece,) in find_objects(pieces, n)]


def decode(
    logits: NDArray[np.float32], presence_logit: NDArray[np.float32], step_cost: float = _STEP_COST
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(y, sigma, presence), each (columns,): rows of the strip in px, one standard deviation in px, chance of a line.

    ``logits``: (STRIP_PX, columns); ``presence_logit``: (columns,). The path is followed through all columns; the
    answer is the expectation over the piece of each column's distribution that the path runs through, or, where that is
    in doubt, over all of it.
    """
    y, sigma = line_of(log_softmax(logits), step_cost)
    return y, sigma, 1 / (1 + np.exp(-presence_logit.astype(float)))


def line_of(
    log_p: NDArray[np.float32], step_cost: float = _STEP_COST
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(y, sigma), each (columns,) px, of log-probabilities (STRIP_PX, columns): see :func:`decode`."""
    y, sigma, mass, inside = _along(log_p, step_cost)
    row = np.arange(log_p.shape[0], dtype=np.float32)[:, None]
    for piece in pieces_around(mass < _DOUBTED):
        p = posterior(np.exp(log_p[:, piece]))
        held = (p * inside[:, piece]).sum(axis=0)
        y[piece] += np.clip(2 - 2 * held / _KNOWN, 0, 1) * ((p * row).sum(axis=0) - y[piece])
    return y.astype(float), sigma


def decoded_anew(read: RowRead, log_p: NDArray[np.float32], columns: NDArray[np.bool_]) -> RowRead:
    """``read`` with the log-probabilities ``log_p`` (rows, n) and the line by them around the marked ``columns``,
    (n,)."""
    y_mm, sigma_mm = read.y_mm.copy(), read.sigma_mm.copy()
    for piece in pieces_around(columns):
        y_px, sigma_px = line_of(log_p[:, piece])
        y_mm[piece], sigma_mm[piece] = read.strip.rows_mm(y_px), sigma_px / read.strip.px_per_mm
    return replace(read, y_mm=y_mm, sigma_mm=sigma_mm, log_p=log_p)


def line_along(
    log_p: NDArray[np.float32], step_cost: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same on the best path alone: one that keeps to the ink, by what a step costs at each place (STRIP_PX,
    columns), knows more than the columns together."""
    y, sigma, _, _ = _along(log_p, step_cost)
    return y.astype(float), sigma


def _along(
    log_p: NDArray[np.float32], step_cost: float | NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_]]:
    """(y, sigma, mass, inside) of the piece of each column's distribution that the best path runs through: its middle,
    its spread and what it holds, each (columns,), and where it is, (STRIP_PX, columns)."""
    p = np.exp(log_p)
    top, bottom = lobe(p, _followed(log_p, step_cost))
    row = np.arange(log_p.shape[0], dtype=np.float32)[:, None]
    inside = (row >= top) & (row < bottom)
    p *= inside
    mass = p.sum(axis=0)
    y = (p * row).sum(axis=0) / np.maximum(mass, 1e-12)
    sigma = np.sqrt(np.maximum((p * (row - y) ** 2).sum(axis=0) / np.maximum(mass, 1e-12), 0))
    # Mass outside the window is doubt about which line is meant: it widens sigma as a second, distant answer would.
    return y, (sigma + 20.0 * np.clip(1 - mass, 0, 1)).astype(float), mass, inside
