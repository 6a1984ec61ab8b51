"""How good an answer is: the competition's score, PhysioNet 2024's, and errors in units that a person can judge.

Pure functions on plain arrays. Wherever *signals* are asked for, either a (12, n) array in mV in the order of
:data:`ecglift.leads.LEADS`, NaN where a lead is not printed, or a mapping from lead name (any usual spelling) to an
array (n,) in mV, whose leads may differ in length. Truth says which leads and which samples count. A prediction
that is shorter than the truth is taken as empty beyond its end, a longer one is cut.

The SNR of an image and the official score follow the competition "PhysioNet – Digitization of ECG Images" (2025/26).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecglift.leads import LEADS, lead_name

Signal = NDArray[np.float64]
Signals = Mapping[str, ArrayLike] | NDArray[np.floating]

MAX_SHIFT_S: Final = 0.2
"""How far the competition lets a lead be moved in time."""
SNR_CAP: Final = 1e6
"""The competition's linear ratio for a perfect image (60 dB)."""
SCORE_FLOOR_DB: Final = -384.0
"""The competition's lowest score."""
PHYSIONET_2024_SHIFT_S: Final = 0.5
PHYSIONET_2024_OFFSET_MV: Final = 1.0

_TIE: Final = 1e-12
_R_PEAK_MATCH_S: Final = 0.075
_TIME_SCALE_RANGE: Final = 0.05


def by_lead(signals: Signals, name: str = "signals") -> dict[str, Signal]:
    """The leads of ``signals`` by standard name, each (n,) float64 mV; a lead without any finite sample is left out.

    ValueError, naming the argument ``name``, for a wrong shape, an unknown lead or a lead that is there twice.
    """
    if isinstance(signals, Mapping):
        out: dict[str, Signal] = {}
        for key, values in signals.items():
            lead = lead_name(key)
            if lead is None:
                raise ValueError(f"{name}: {key!r} is no lead; leads are {', '.join(LEADS)}")
            if lead in out:
                raise ValueError(f"{name}: lead {lead} is given twice")
            out[lead] = _signal(values, f"{name}[{key!r}]")
    else:
        array = np.asarray(signals, float)
        if array.ndim != 2 or array.shape[0] != len(LEADS):
            raise ValueError(f"{name} must be (12, n) or a mapping from lead to (n,), got shape {array.shape}")
        out = {lead: _signal(row, name) for lead, row in zip(LEADS, array, strict=True)}
    return {lead: out[lead] for lead in LEADS if lead in out and np.isfinite(out[lead]).any()}


def pairs(truth: Signals, prediction: Signals) -> dict[str, tuple[Signal, Signal]]:
    """(truth, prediction) of every lead of the truth, both cut to the truth's first to last finite sample.

    The prediction is NaN where it says nothing. ValueError when the truth holds no lead at all.
    """
    true, predicted = by_lead(truth, "truth"), by_lead(prediction, "prediction")
    if not true:
        raise ValueError("truth holds no finite sample")
    out = {}
    for lead, y in true.items():
        finite = np.flatnonzero(np.isfinite(y))
        p = np.full(len(y), np.nan)
        given = predicted.get(lead, p)[: len(y)]
        p[: len(given)] = given
        window = slice(int(finite[0]), int(finite[-1]) + 1)
        out[lead] = y[window], p[window]
    return out


def best_lag(truth: ArrayLike, prediction: ArrayLike, max_lag: int) -> int:
    """Samples by which ``prediction`` (n,) has to move right to lie best on ``truth`` (n,): −max_lag to max_lag.

    The lag maximises the cross-correlation of the mean-removed signals; of equally good lags the one nearest to 0 wins,
    of two equally near the negative one. Missing samples stand at the mean. 0 when either signal is flat.
    """
    y, p = _signal(truth, "truth"), _signal(prediction, "prediction")
    if len(y) != len(p):
        raise ValueError(f"truth and prediction must have the same length, got {len(y)} and {len(p)}")
    if max_lag < 0:
        raise ValueError(f"max_lag must be 0 or more, got {max_lag}")
    y, p = _centred(y), _centred(p)
    limit = min(max_lag, len(y) - 1)
    size = float(np.sqrt((y @ y) * (p @ p)))
    if limit <= 0 or size == 0:
        return 0
    n_fft = 1 << int(np.ceil(np.log2(len(y) + limit)))
    circular = np.fft.irfft(np.fft.rfft(y, n_fft) * np.conj(np.fft.rfft(p, n_fft)), n_fft)
    lags = np.arange(-limit, limit + 1)
    correlation = circular[lags]
    # The transform rounds, so whatever comes near its maximum is summed directly before equals are told apart.
    near = lags[correlation >= correlation.max() - 1e-9 * size]
    exact = np.array([_overlap_product(y, p, int(lag)) for lag in near])
    tied = near[exact >= exact.max() - _TIE * size]
    return int(min(tied, key=lambda lag: (abs(lag), lag)))


def align(truth: ArrayLike, prediction: ArrayLike, max_lag: int) -> Signal:
    """``prediction`` (n,) moved by :func:`best_lag` and by the mean difference over the overlap; NaN elsewhere."""
    y, p = _signal(truth, "truth"), _signal(prediction, "prediction")
    moved = shift(p, best_lag(y, p, max_lag))
    both = np.isfinite(y) & np.isfinite(moved)
    return moved + np.mean(y[both] - moved[both]) if both.any() else moved


def shift(signal: ArrayLike, lag: int) -> Signal:
    """``signal`` (n,) moved right by ``lag`` samples (left when negative), NaN where it came from outside."""
    x = _signal(signal, "signal")
    out = np.full(len(x), np.nan)
    if abs(lag) < len(x):
        out[max(lag, 0) : len(x) + min(lag, 0)] = x[max(-lag, 0) : len(x) - max(lag, 0)]
    return out


def image_snr(truth: Signals, prediction: Signals, fs_hz: float) -> float:
    """The competition's linear signal-to-noise ratio of one image, 0 to 1e6.

    (sum over leads of Σ y²) / (sum over leads of Σ (y − p)²), each lead's prediction p aligned within int(0.2·fs)
    samples and by its mean; samples that the shift left empty, or that the prediction does not hold, count as p = 0.
    """
    _check_fs(fs_hz)
    signal = noise = 0.0
    for y, p in pairs(truth, prediction).values():
        aligned = np.nan_to_num(align(y, p, int(MAX_SHIFT_S * fs_hz)), nan=0.0)
        counted = np.isfinite(y)
        signal += float(np.sum(y[counted] ** 2))
        noise += float(np.sum((y[counted] - aligned[counted]) ** 2))
    return min(signal / noise, SNR_CAP) if noise > 0 else SNR_CAP


def image_snr_db(truth: Signals, prediction: Signals, fs_hz: float) -> float:
    """:func:`image_snr` in dB, −384 to 60."""
    return to_db(image_snr(truth, prediction, fs_hz))


def to_db(ratio: float) -> float:
    """10·log10 of a power ratio, not below the competition's floor of −384."""
    if not ratio >= 0:
        raise ValueError(f"ratio must be 0 or more, got {ratio}")
    return max(10 * float(np.log10(ratio)), SCORE_FLOOR_DB) if ratio > 0 else SCORE_FLOOR_DB


@dataclass(frozen=True)
class Score:
    """The competition's score over images, and what the mean of ratios hides.

    ``official_db``: dB of the mean linear ratio (easy images dominate it); ``mean_db``, ``median_db``, ``worst_db``:
    of the images' own dB; ``images_db``: (n,) each image's dB in the order given.
    """

    official_db: float
    mean_db: float
    median_db: float
    worst_db: float
    images_db: tuple[float, ...]


def score(image_snrs: Iterable[float]) -> Score:
    """The score over images whose linear ratios come from :func:`image_snr`. ValueError when there is none."""
    ratios = [float(r) for r in image_snrs]
    if not ratios:
        raise ValueError("image_snrs is empty: there is nothing to score")
    images_db = tuple(to_db(r) for r in ratios)
    return Score(
        to_db(float(np.mean(ratios))), float(np.mean(images_db)), float(np.median(images_db)), min(images_db), images_db
    )


def physionet_2024_db(truth: Signals, prediction: Signals, fs_hz: float) -> dict[str, float]:
    """The PhysioNet Challenge 2024 score of each lead of the truth in dB; their mean is the record's score.

    Each lead is aligned within 0.5 s (cross-correlation) and 1 mV, then 10·log10(mean y² / mean (y − p)²) over samples
    finite in both, times the fraction of the truth's samples that are. A lead that the prediction does not hold gets 0,
    one without any error infinity.
    """
    _check_fs(fs_hz)
    out = {}
    for lead, (y, p) in pairs(truth, prediction).items():
        moved = shift(p, best_lag(y, p, int(PHYSIONET_2024_SHIFT_S * fs_hz)))
        both = np.isfinite(y) & np.isfinite(moved)
        if not both.any():
            out[lead] = 0.0
            continue
        error = y[both] - moved[both]
        error = error - np.clip(error.mean(), -PHYSIONET_2024_OFFSET_MV, PHYSIONET_2024_OFFSET_MV)
        signal, noise = float(np.mean(y[both] ** 2)), float(np.mean(error**2))
        covered = float(both.sum() / np.isfinite(y).sum())
        out[lead] = float("inf") if noise == 0 else covered * to_db(signal / noise)
    return out


@dataclass(frozen=True)
class LeadErrors:
    """How one lead differs from its truth, after the competition's alignment in time (± 0.2 s) and height.

    ``correlation``: Pearson's; ``rmse_uv``: root mean square error; ``gain_error``: 0.02 when drawn 2 % too tall;
    ``time_scale_error``: 0.01 when the lead takes 1 % too long; ``delay_ms``: positive when it comes late;
    ``r_peak_ms``: error of each R peak found in both, after the delay is taken out; ``r_peaks_missed``,
    ``r_peaks_extra``: found in one only; ``covered``: fraction of the truth's samples that the prediction holds.
    NaN where it cannot be told.
    """

    correlation: float
    rmse_uv: float
    gain_error: float
    time_scale_error: float
    delay_ms: float
    r_peak_ms: tuple[float, ...]
    r_peaks_missed: int
    r_peaks_extra: int
    covered: float


def lead_errors(truth: Signals, prediction: Signals, fs_hz: float) -> dict[str, LeadErrors]:
    """:class:`LeadErrors` of each lead of the truth, both at ``fs_hz``."""
    _check_fs(fs_hz)
    return {lead: _lead_errors(y, p, fs_hz) for lead, (y, p) in pairs(truth, prediction).items()}


def _lead_errors(y: Signal, p: Signal, fs_hz: float) -> LeadErrors:
    lag = best_lag(y, p, int(MAX_SHIFT_S * fs_hz))
    aligned = shift(p, lag)
    both = np.isfinite(y) & np.isfinite(aligned)
    covered = float((np.isfinite(p) & np.isfinite(y)).sum() / np.isfinite(y).sum())
    nan = float("nan")
    if both.sum() < 3:
        peaks = len(r_peaks(y, fs_hz))
        return LeadErrors(nan, nan, nan, nan, nan, (), peaks, 0, covered)
    a, b = y[both] - y[both].mean(), aligned[both] - aligned[both].mean()
    energy = float(np.sqrt((a @ a) * (b @ b)))
    fit = fit_lead(y, p, fs_hz)
    times = r_peak_errors(y, aligned, fs_hz)
    return LeadErrors(
        float(a @ b) / energy if energy > 0 else nan,
        1000 * float(np.sqrt(np.mean((a - b) ** 2))),
        fit.gain - 1,
        fit.time_scale - 1,
        1000 * fit.delay_s,
        times.errors_ms,
        times.missed,
        times.extra,
        covered,
    )


@dataclass(frozen=True)
class LeadFit:
    """prediction(t) ≈ gain · truth((t − delay_s) / time_scale) + offset_mv, t = 0 in the middle of the lead.

    NaN when it cannot be told.
    """

    gain: float
    offset_mv: float
    delay_s: float
    time_scale: float


def fit_lead(truth: ArrayLike, prediction: ArrayLike, fs_hz: float) -> LeadFit:
    """Gain, offset, delay and time scale of ``prediction`` (n,) against ``truth`` (n,): least squares, below a sample.

    A search over time scales within ±5 %, each at its best lag within 0.2 s, then Gauss–Newton on all four.
    """
    y, p = _signal(truth, "truth"), _signal(prediction, "prediction")
    _check_fs(fs_hz)
    nothing = LeadFit(*[float("nan")] * 4)
    held = np.isfinite(p)
    if np.isfinite(y).sum() < 8 or held.sum() < 8:
        return nothing
    t = (np.arange(len(y)) - (len(y) - 1) / 2) / fs_hz
    filled = _filled(y)
    if np.ptp(filled) == 0 or np.ptp(p[held]) == 0:
        return nothing

    def drawn(scale: float, delay_s: float) -> tuple[Signal, NDArray[np.bool_]]:
        at = (t - delay_s) / scale
        return np.interp(at, t, filled), held & (at >= t[0]) & (at <= t[-1])

    # The end of the lead moves by less than a quarter of a QRS complex (20 ms) between two trial scales.
    step = min(0.02 / max(t[-1], 1e-9), _TIME_SCALE_RANGE)
    half = int(np.ceil(_TIME_SCALE_RANGE / step))
    best = (-np.inf, 1.0, 0.0)
    for scale in 1 + _TIME_SCALE_RANGE * np.arange(-half, half + 1) / half:
        model, _ = drawn(scale, 0.0)
        delay_s = best_lag(p, model, int(MAX_SHIFT_S * fs_hz)) / fs_hz
        model, seen = drawn(scale, delay_s)
        a, b = p[seen] - p[seen].mean(), model[seen] - model[seen].mean()
        energy = float(np.sqrt((a @ a) * (b @ b)))
        match = float(a @ b) / energy if energy > 0 else -np.inf
        if match > best[0] + 1e-12:
            best = (match, float(scale), delay_s)
    _, scale, delay_s = best
    gain, offset = 1.0, 0.0
    for _ in range(20):
        model, seen = drawn(scale, delay_s)
        slope = np.interp((t - delay_s) / scale, t, np.gradient(filled, t))
        columns = np.stack([model, np.ones_like(t), -slope / scale, -slope * (t - delay_s) / scale**2], axis=1)[seen]
        # Linear in gain and offset; the products gain·Δdelay and gain·Δscale are divided by the gain afterwards.
        answer = np.linalg.lstsq(columns, p[seen], rcond=None)[0]
        gain, offset = float(answer[0]), float(answer[1])
        if gain == 0:
            return nothing
        move, stretch = float(answer[2]) / gain, float(answer[3]) / gain
        limit = min(1.0, 0.02 / max(abs(move), 1e-12), 0.01 / max(abs(stretch), 1e-12))
        delay_s, scale = delay_s + limit * move, scale + limit * stretch
        if abs(move) < 1e-8 and abs(stretch) < 1e-9:
            break
    if not 1 - 2 * _TIME_SCALE_RANGE < scale < 1 + 2 * _TIME_SCALE_RANGE:
        return nothing
    return LeadFit(gain, offset, delay_s, scale)


def r_peaks(signal: ArrayLike, fs_hz: float, polarity: int = 0) -> Signal:
    """Seconds (k,) of the R peaks of one lead (n,) mV, from its first sample, below a sample by a parabola.

    QRS complexes are maxima of the smoothed energy between about 7 and 25 Hz, at least 0.2 s apart and above 0.4 of a
    typical one. In each the tallest deflection counts: upward (``polarity`` 1), downward (−1), or (0) the way in which
    most of this lead's complexes are taller. Missing samples are bridged; peaks in them are not reported.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    x = _signal(signal, "signal")
    _check_fs(fs_hz)
    if polarity not in (-1, 0, 1):
        raise ValueError(f"polarity must be -1, 0 or 1, got {polarity}")
    finite = np.isfinite(x)
    if finite.sum() < 0.1 * fs_hz or len(x) < 3:
        return np.zeros(0)
    filled = _filled(x)
    band = gaussian_filter1d(filled, 0.006 * fs_hz) - gaussian_filter1d(filled, 0.02 * fs_hz)
    energy = np.sqrt(gaussian_filter1d(band**2, 0.03 * fs_hz))
    if energy.max() <= 1e-9:
        return np.zeros(0)
    candidates = find_peaks(energy, distance=max(round(0.2 * fs_hz), 1))[0]
    # A single artefact must not set the level: it is the median of the tallest of each second and a half.
    typical = np.median([energy[part].max() for part in _parts(len(x), int(1.5 * fs_hz))])
    candidates = candidates[energy[candidates] >= 0.4 * typical]
    centred = filled - gaussian_filter1d(filled, 0.2 * fs_hz)
    half, summit = round(0.06 * fs_hz), max(round(0.005 * fs_hz), 1)
    windows = [slice(max(c - half, 0), min(c + half + 1, len(x))) for c in candidates]
    if polarity == 0 and windows:
        polarity = 1 if np.median([centred[w].max() + centred[w].min() for w in windows]) >= 0 else -1
    out = []
    for window in windows:
        top = window.start + int(np.argmax(polarity * centred[window]))
        if finite[top]:
            out.append((top + _summit(polarity * filled, top, summit)) / fs_hz)
    return np.array(out)


@dataclass(frozen=True)
class RPeakErrors:
    """``errors_ms``: prediction minus truth of each R peak found in both; ``missed``, ``extra``: in one only."""

    errors_ms: tuple[float, ...]
    missed: int
    extra: int


def r_peak_errors(truth: ArrayLike, prediction: ArrayLike, fs_hz: float) -> RPeakErrors:
    """How the R peaks of ``prediction`` (n,) lie against those of ``truth`` (n,); partners lie within 75 ms."""
    y, p = _signal(truth, "truth"), _signal(prediction, "prediction")
    true = r_peaks(y, fs_hz)
    polarity = 1
    if len(true):
        at = np.clip(np.round(true * fs_hz).astype(int), 0, len(y) - 1)
        polarity = 1 if np.median(y[at] - np.nanmedian(y)) >= 0 else -1
    found = r_peaks(p, fs_hz, polarity)
    # A truth peak where the prediction says nothing is missed all the same: that is what "missed" is for.
    errors, used = [], set()
    for peak in true:
        k = int(np.argmin(np.abs(found - peak))) if len(found) else -1
        if k >= 0 and k not in used and abs(found[k] - peak) <= _R_PEAK_MATCH_S:
            used.add(k)
            errors.append(1000 * float(found[k] - peak))
    return RPeakErrors(tuple(errors), len(true) - len(errors), len(found) - len(errors))


@dataclass(frozen=True)
class LimbResiduals:
    """How well the limb leads obey physics, in dB of their own power: −40 is 1 % in amplitude.

    ``einthoven_db``: I − II + III; ``goldberger_db``: aVR + aVL + aVF; NaN when its leads were not measured together;
    ``n_samples``: moments at which the first and the second could be told.
    """

    einthoven_db: float
    goldberger_db: float
    n_samples: tuple[int, int]


def limb_residuals(mv: NDArray[np.floating], min_samples: int = 50) -> LimbResiduals:
    """Power of Einthoven's and Goldberger's sums over the mean power of their three leads, from (12, n) mV with NaN.

    Each stretch in which all three leads are there is freed of its means first: where a zero line is drawn is no
    property of the heart. Fewer than ``min_samples`` common moments tell nothing.
    """
    array = np.asarray(mv, float)
    if array.ndim != 2 or array.shape[0] != len(LEADS):
        raise ValueError(f"mv must be (12, n), got shape {array.shape}")

    def residual(rows: NDArray[np.float64], signs: tuple[int, int, int]) -> tuple[float, int]:
        together = np.isfinite(rows).all(axis=0)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], together, [False]]).astype(int)))
        stretches = [rows[:, a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)]
        pieces = [stretch - stretch.mean(axis=1, keepdims=True) for stretch in stretches]
        n = int(together.sum())
        power = sum(float(np.sum(piece**2)) for piece in pieces) / 3
        if n < min_samples or power == 0:
            return float("nan"), n
        return to_db(sum(float(np.sum((np.array(signs) @ piece) ** 2)) for piece in pieces) / power), n

    einthoven, n_einthoven = residual(array[0:3], (1, -1, 1))
    goldberger, n_goldberger = residual(array[3:6], (1, 1, 1))
    return LimbResiduals(einthoven, goldberger, (n_einthoven, n_goldberger))


def _signal(values: ArrayLike, name: str) -> Signal:
    out = np.asarray(values, float)
    if out.ndim != 1:
        raise ValueError(f"{name} must be (n,), got shape {out.shape}")
    if np.isinf(out).any():
        raise ValueError(f"{name} holds infinite samples; a missing sample is NaN")
    return out


def _check_fs(fs_hz: float) -> None:
    if not (np.isfinite(fs_hz) and fs_hz > 0):
        raise ValueError(f"fs_hz must be positive, got {fs_hz}")


def _centred(x: Signal) -> Signal:
    """Mean removed, missing samples 0; exactly zero where only rounding is left."""
    finite = np.isfinite(x)
    if not finite.any() or np.ptp(x[finite]) == 0:
        return np.zeros(len(x))
    return np.where(finite, x - x[finite].mean(), 0.0)


def _overlap_product(y: Signal, p: Signal, lag: int) -> float:
    n = len(y)
    return float(y[max(lag, 0) : n + min(lag, 0)] @ p[max(-lag, 0) : n - max(lag, 0)])


def _filled(x: Signal) -> Signal:
    finite = np.isfinite(x)
    if finite.all():
        return x
    return np.interp(np.arange(len(x)), np.flatnonzero(finite), x[finite])


def _summit(x: Signal, top: int, reach: int) -> float:
    """Samples from ``top`` to the summit of the parabola through the ``reach`` samples to either side, −reach to reach.

    Several samples rather than three: at a high rate the three highest say more of the noise than of the peak.
    """
    a, b = max(top - reach, 0), min(top + reach + 1, len(x))
    if b - a < 3:
        return 0.0
    bend, slope, _ = np.polyfit(np.arange(a, b) - top, x[a:b], 2)
    return float(np.clip(-slope / (2 * bend), -reach, reach)) if bend < 0 else 0.0


def _parts(n: int, size: int) -> list[slice]:
    count = max(n // max(size, 1), 1)
    edges = np.linspace(0, n, count + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
