"""What the beats of a lead say of each other where strokes cross.

A heart's complexes are much alike, and where other rows run through one of them they seldom run through all in the same
way. What is likely of a stroke is what was read in the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, find_objects, label

Floats = NDArray[np.float64]
Chances = NDArray[np.float32]

_HALF_S: Final = 0.09
"""A beat is compared, and told by others, so far to both sides of its middle."""
_CLOSED_S: Final = 0.06
_LEAST_S: Final = 0.015
"""Strokes that are no farther apart than the first are of one complex; what lasts less than the second is none."""
_LAG_S: Final = 0.03
_MOST_MM: Final = 3.0
"""Middles may be off by the first; lines that are farther apart than the second are of different rows there."""
_ALIKE: Final = 0.15
_ALIKE_MM: Final = 0.15
"""Beats that differ by that part of what their lines reach in the mean, or the second, weigh 1/e."""
_LEAST_WEIGHT: Final = 0.02
_LEAST_TOLD: Final = 0.3
_BROAD_MM: Final = 0.3
"""Deviation with which others tell a beat: heights differ from beat to beat."""
_FLOOR: Final = 0.1
"""Chance, beside a peak of one, that a beat is not as the others: 50 pages of other layouts gained 0.21 dB with 0.1,
and crowded ones as much with 0.03, and with half the deviation."""


@dataclass(frozen=True)
class Beats:
    """The beats of simultaneous leads: ``middles``, columns; ``lags`` (beats, beats), by how many columns more than its
    middle the second is shifted to lie on the first; ``weights`` (beats, beats), how alike they are, 0 to 1, none with
    itself; ``half``: columns to both sides of a middle that are looked at."""

    middles: tuple[int, ...]
    lags: NDArray[np.int64]
    weights: Floats
    half: int

    def around(self, beat: int, other: int | None = None) -> slice:
        """The columns of a ``beat``, or those of the ``other`` one that lie on them."""
        middle = self.middles[beat] if other is None else self.middles[other] + int(self.lags[beat, other])
        return slice(middle - self.half, middle + self.half + 1)


def find_beats(lines_mm: Floats, within: NDArray[np.bool_], per_s: float) -> Beats:
    """The beats of simultaneous leads whose lines are ``lines_mm`` (leads, n) from their zero lines, ``per_s`` columns
    a second, in complexes where ``within`` (n,). Those too near to the ends are left out."""
    n = lines_mm.shape[1]
    half, reach = round(_HALF_S * per_s), round(_LAG_S * per_s)
    moves = np.abs(np.gradient(lines_mm, axis=1))
    moves = moves.sum(axis=0) - moves.max(axis=0) + 1e-9
    whole = binary_closing(within, np.ones(round(_CLOSED_S * per_s)))
    runs = [run for (run,) in find_objects(label(whole)[0]) if run.stop - run.start >= _LEAST_S * per_s]
    centres = [round(float(np.average(np.arange(run.start, run.stop), weights=moves[run]))) for run in runs]
    middles = tuple(c for c in centres if half + reach <= c < n - half - reach)
    beats = len(middles)
    if not beats:
        return Beats((), np.zeros((0, 0), np.int64), np.zeros((0, 0)), half)
    shown = np.stack([lines_mm[:, c - half : c + half + 1] for c in middles])
    least, lags = np.full((beats, beats), np.inf), np.zeros((beats, beats), np.int64)
    for lag in range(-reach, reach + 1):
        shifted = np.stack([lines_mm[:, c + lag - half : c + lag + half + 1] for c in middles])
        for k, other in enumerate(shifted):
            off = np.minimum(np.abs(shown - other), _MOST_MM).mean(axis=(1, 2))
            lags[off < least[:, k], k] = lag
            least[:, k] = np.minimum(off, least[:, k])
    weights = np.exp(-least / max(_ALIKE * float(np.abs(shown).mean()), _ALIKE_MM))
    np.fill_diagonal(weights, 0.0)
    return Beats(middles, lags, np.where(weights < _LEAST_WEIGHT, 0.0, weights), half)


def told_by_others(chances: Chances, zero_px: Floats, beats: Beats, beat: int, px_per_mm: float) -> Chances | None:
    """(rows, 2·half + 1) how well heights in the columns of a ``beat`` go with what was read in the lead's others, 1
    for the likeliest, at the least a floor; None where too few are like it.

    ``chances``: (rows, n) that the lead's line runs there; ``zero_px``: (n,) row of its zero line.
    """
    weights = beats.weights[beat]
    if weights.sum() < _LEAST_TOLD:
        return None
    zero = zero_px[beats.around(beat)]
    told = np.zeros((len(chances), len(zero)), np.float32)
    for other in np.flatnonzero(weights):
        at = beats.around(beat, int(other))
        lower = round(float(np.median(zero - zero_px[at])))
        moved = chances[max(-lower, 0) : len(chances) - max(lower, 0), at]
        told[max(lower, 0) : max(lower, 0) + len(moved)] += np.float32(weights[other]) * moved
    deviation = _BROAD_MM * px_per_mm
    told = cv2.GaussianBlur(told, (1, 2 * round(2 * deviation) + 1), 0, None, deviation, cv2.BORDER_CONSTANT)
    return np.asarray(told / np.maximum(told.max(axis=0), 1e-9) + np.float32(_FLOOR), np.float32)
