"""Heart rate, PR, QRS, QT, ST level and R amplitude of a 12-lead ECG, with their uncertainty.

Made to be compared: the same few steps on a signal and on its digitized copy give the same errors of definition, so the
difference is what digitizing did. Leads may cover different seconds, as they do on paper; what is missing is NaN.

Beats are found on all leads together, the usual kind of beat is averaged lead by lead (median), and waves are bounded
once over all leads, as in the common standards (CSE Working Party, Eur Heart J 6:815, 1985). T ends where the tangent
to
its steepest fall meets the baseline (Lepeschkin & Surawicz, Circulation 6:378, 1952). QTc is Bazett's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEADS

Values = NDArray[np.float64]

FS_HZ: Final = 500.0
"""Everything is measured at this rate; other signals are brought to it first."""

_BEFORE: Final = round(0.36 * FS_HZ)
_AFTER: Final = round(0.64 * FS_HZ)
_QUIET_RUN: Final = round(0.014 * FS_HZ)
_REFRACTORY_S: Final = 0.2
_RESAMPLINGS: Final = 10
_FLOOR_S: Final = 0.002
_SCATTER_S: Final = 0.025


@dataclass(frozen=True)
class Measure:
    """A measured value, one standard deviation of its error (NaN when it could not be estimated), and from how many
    beats.
    """

    value: float = float("nan")
    sd: float = float("nan")
    beats: int = 0

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.value))


UNKNOWN: Final = Measure()


@dataclass(frozen=True)
class Intervals:
    """What a cardiologist reads first. Intervals in s, rate in bpm, levels in mV; unknown ones are NaN.

    ``r_peaks_s``: (k,) of all beats; ``usual``: (k,) bool, beats of the prevailing shape, from which all but the rate
    is measured.
    ``st_mv`` (60 ms after the QRS, against the level before it) and ``r_mv`` by lead, for leads that are there.
    """

    r_peaks_s: Values
    usual: NDArray[np.bool_]
    heart_rate_bpm: Measure = UNKNOWN
    pr_s: Measure = UNKNOWN
    p_s: Measure = UNKNOWN
    qrs_s: Measure = UNKNOWN
    qt_s: Measure = UNKNOWN
    qtc_s: Measure = UNKNOWN
    st_mv: Mapping[str, Measure] = field(default_factory=dict)
    r_mv: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class _Bounds:
    """Samples relative to the fiducial point of the beat; NaN when there is no such wave."""

    p_onset: float
    p_end: float
    qrs_onset: float
    qrs_end: float
    t_end: float


def measure(mv: NDArray[np.floating], fs_hz: float) -> Intervals:
    """The rate and intervals of ``mv`` (12, n) mV, NaN where a lead is not there, at ``fs_hz``.

    ValueError for another shape. A signal without beats gives an answer without values.
    """
    mv = np.asarray(mv, float)
    if mv.ndim != 2 or mv.shape[0] != len(LEADS):
        raise ValueError(f"mv must be (12, n), got {mv.shape}")
    if not fs_hz > 0:
        raise ValueError(f"fs_hz must be positive, got {fs_hz}")
    x = _without_spikes(_resampled(mv, fs_hz))
    peaks = _find_beats(x)
    if not len(peaks):
        return Intervals(np.zeros(0), np.zeros(0, bool))
    peaks, usual = _aligned(x, peaks)
    rate = _rate(peaks)
    rr = 60 * FS_HZ / rate.value if rate.known else 0.8 * FS_HZ
    chosen = peaks[usual]

    first = _bounds(_median_beat(_beats(x, chosen)), rr)
    if not np.isfinite(first.qrs_onset):
        return Intervals(peaks / FS_HZ, usual, rate)
    flat = _without_wander(x, peaks, round(first.qrs_onset))
    beats = _beats(flat, chosen)
    found = _bounds(_median_beat(beats), rr)
    spread = _resampled_bounds(beats, rr)

    def interval(start: str, end: str) -> Measure:
        value = (getattr(found, end) - getattr(found, start)) / FS_HZ
        others = np.array([(getattr(b, end) - getattr(b, start)) / FS_HZ for b in spread])
        others = others[np.isfinite(others)]
        if not np.isfinite(value) or (spread and len(others) < 0.7 * len(spread)):
            return UNKNOWN
        # Waves of fibrillation fall anywhere: no P that stays in place is no P.
        if start == "p_onset" and len(others) > 2 and others.std() > _SCATTER_S:
            return UNKNOWN
        sd = float(np.hypot(others.std(), _FLOOR_S)) if len(others) > 2 else float("nan")
        return Measure(float(value), sd, len(chosen))

    pr, qt = interval("p_onset", "qrs_onset"), interval("qrs_onset", "t_end")
    root = float(np.sqrt(rr / FS_HZ))
    qtc = Measure(qt.value / root, qt.sd / root, qt.beats) if qt.known and rate.known else UNKNOWN
    st, r = _levels(beats, found)
    return Intervals(
        peaks / FS_HZ, usual, rate, pr, interval("p_onset", "p_end"), interval("qrs_onset", "qrs_end"), qt, qtc, st, r
    )


def find_beats(mv: NDArray[np.floating], fs_hz: float) -> Values:
    """(k,) s: where QRS complexes peak in ``mv`` (12, n) mV at ``fs_hz``, over all leads that are there at the time."""
    return measure(mv, fs_hz).r_peaks_s


# --- from a recording to beats
# -----------------------------------------------------------------------------------------


def _resampled(mv: NDArray[np.floating], fs_hz: float) -> Values:
    """The signal at :data:`FS_HZ`, gaps of up to 40 ms closed by straight lines."""
    n = int(mv.shape[1] * FS_HZ / fs_hz)
    at, t = np.arange(n) / FS_HZ, np.arange(mv.shape[1]) / fs_hz
    out = np.full((len(mv), n), np.nan)
    for row, target in zip(mv, out, strict=True):
        known = np.flatnonzero(np.isfinite(row))
        if len(known) < 2:
            continue
        target[:] = np.interp(at, t[known], row[known], left=np.nan, right=np.nan)
        for k in np.flatnonzero(np.diff(known) > max(0.04 * fs_hz, 1)):
            target[(at > t[known[k]]) & (at < t[known[k + 1]])] = np.nan
    return out


def _without_spikes(x: Values) -> Values:
    """The signal less pacing spikes: deflections of a few milliseconds that come from nothing and go to nothing."""
    out = x.copy()
    bent = np.zeros_like(x)
    bent[:, 4:-4] = np.abs(2 * x[:, 4:-4] - x[:, :-8] - x[:, 8:])
    lead, at = np.nonzero(bent > 0.2)
    if not len(at):
        return out

    def median_around(reach: int) -> Values:
        places = np.clip(at[:, None] + np.arange(-reach, reach + 1), 0, x.shape[1] - 1)
        return np.asarray(np.median(x[lead[:, None], places], axis=1))

    # The tip of a narrow R wave stands less than a fifth of its height above its neighbours' median; a spike wholly.
    near, wide = median_around(4), median_around(20)
    spike = np.abs(x[lead, at] - near) > np.maximum(0.1, 0.6 * np.abs(x[lead, at] - wide))
    out[lead[spike], at[spike]] = near[spike]
    return out


def _band(x: Values, low_hz: float, high_hz: float) -> Values:
    """Band-passed copy of (k, n), NaN filled by straight lines before and put back after."""
    out = np.full_like(x, np.nan)
    n = x.shape[1]
    pad = min(n - 1, round(FS_HZ))
    f = np.fft.rfftfreq(n + 2 * pad, 1 / FS_HZ)
    gain = 1 / np.sqrt(1 + (f / high_hz) ** 4) * (f / low_hz) ** 2 / np.sqrt(1 + (f / low_hz) ** 4)
    for row, target in zip(x, out, strict=True):
        known = np.flatnonzero(np.isfinite(row))
        if len(known) < 8:
            continue
        filled = np.interp(np.arange(n), known, row[known])
        filled = np.pad(filled, pad, mode="reflect", reflect_type="odd")
        target[known] = np.fft.irfft(np.fft.rfft(filled) * gain, len(filled))[pad : pad + n][known]
    return out


def _nanmean(values: Values, axis: int) -> Values:
    """Mean over what is there, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.asarray(np.where(known, values, 0.0).sum(axis=axis) / np.where(count, count, np.nan))


def _smooth(x: Values, n: int) -> Values:
    return np.convolve(x, np.ones(n) / n, mode="same")


def _find_beats(x: Values) -> NDArray[np.int64]:
    """Samples at which QRS complexes stand, from the steepness of all leads together."""
    if x.shape[1] < 0.3 * FS_HZ:
        return np.zeros(0, np.int64)
    steep = np.gradient(_band(x, 8.0, 30.0), axis=1) ** 2
    window = round(0.07 * FS_HZ)
    known = np.isfinite(steep)
    burst = np.sqrt(np.stack([_smooth(row, window) for row in np.where(known, steep, 0.0)]))
    high, usual_level = np.full(len(x), np.nan), np.full(len(x), np.nan)
    for k, row in enumerate(known):
        if row.sum() > window:
            high[k], usual_level[k] = np.percentile(burst[k, row], [96, 35])
    if not np.nanmax(high, initial=0.0) > 0:
        return np.zeros(0, np.int64)
    # Each lead counts by its own QRS, so that a column of small leads finds its beats as well as one of large leads;
    # and by
    # how far QRS stand out in it, so that a noisy lead does not make beats of its noise.
    stands_out = np.clip(high / np.maximum(usual_level, 1e-9), 0, 12)
    weight = np.where(high > 0.03 * np.nanmax(high), np.nan_to_num(stands_out - 1) ** 2, 0.0)
    share = np.where(known, weight[:, None], 0.0)
    relative = np.nan_to_num((burst - usual_level[:, None]) / np.maximum(high - usual_level, 1e-9)[:, None])
    feature = (share * np.clip(relative, 0, 3)).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-9)
    feature = _smooth(feature, round(0.05 * FS_HZ))
    reach = round(_REFRACTORY_S * FS_HZ)
    tops = _local_maxima(feature, reach)
    # A usual QRS stands near 1 by construction; what is nearly flat would only blur what is usual.
    tops = tops[feature[tops] > 0.08]
    if not len(tops):
        return np.zeros(0, np.int64)
    heights = feature[tops]
    usual = float(np.median(np.sort(heights)[-max(3, len(heights) // 2) :]))
    return tops[heights > _threshold(heights / usual) * usual]


def _threshold(heights: Values) -> float:
    """Between the smallest QRS and the largest of what is none, for heights relative to the usual QRS: the widest
    gap.
    """
    low, high = 0.2, 0.5
    below = max(0.1, float(heights[heights <= low].max(initial=0.0)))
    steps = np.sort(np.concatenate([[below], heights[(heights > low) & (heights < high)], [high]]))
    ratio = steps[1:] / steps[:-1]
    k = int(np.argmax(ratio))
    return float(np.sqrt(steps[k] * steps[k + 1])) if ratio[k] > 1.25 else 0.32


def _local_maxima(x: Values, reach: int) -> NDArray[np.int64]:
    """Samples that are the largest within ``reach`` to both sides."""
    padded = np.pad(x, reach, constant_values=-np.inf)
    highest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return np.flatnonzero((x == highest) & (x > 0)).astype(np.int64)


def _aligned(x: Values, peaks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(fiducial samples, usual): beats moved onto each other, and which have the prevailing shape.

    A lead that runs through (a rhythm strip, or all twelve) gives the fiducial points, so that columns of short leads
    share one clock; without one all leads together give them.
    """
    shape = _band(x, 1.0, 40.0)
    coverage = np.isfinite(shape).mean(axis=1)
    through = coverage > 0.9 * np.isfinite(shape).any(axis=0).mean()
    guide = shape[through] if through.any() else shape
    size = np.sqrt(_nanmean(guide**2, axis=0))
    reach = round(0.07 * FS_HZ)
    moved = []
    for p in peaks:
        a = max(p - reach, 0)
        window = size[a : p + reach + 1]
        moved.append(a + int(np.nanargmax(window)) if np.isfinite(window).any() else int(p))
    peaks = np.unique(np.array(moved, np.int64))
    peaks = peaks[np.concatenate([[True], np.diff(peaks) > _REFRACTORY_S * FS_HZ / 2])]

    usual = np.ones(len(peaks), bool)
    half = round(0.08 * FS_HZ)
    for _ in range(3):
        cut = _beats(guide, peaks, half + 15, half + 15)
        template = _median_beat(cut[usual])
        scores = np.stack([_likeness(beat, template[:, 15:-15]) for beat in cut])
        shift, likeness = scores.argmax(axis=1) - 15, scores.max(axis=1)
        alike = likeness > 0.82
        if alike.sum() < max(1, len(peaks) / 3):
            break
        usual = alike
        peaks = np.clip(peaks + np.where(usual, shift, 0), 0, x.shape[1] - 1)
    return peaks, usual


def _likeness(beat: Values, template: Values) -> Values:
    """Cosine of the template (leads, m) with each piece of that length of the beat (leads, n): (n − m + 1,), 1 when
    alike.
    """
    template = np.nan_to_num(template)
    known = np.isfinite(beat)
    pieces = np.lib.stride_tricks.sliding_window_view(np.where(known, beat, 0.0), template.shape[1], axis=1)
    there = np.lib.stride_tricks.sliding_window_view(known.astype(float), template.shape[1], axis=1)
    product = np.einsum("lsm,lm->s", pieces, template)
    size = np.einsum("lsm,lsm->s", pieces, pieces) * np.einsum("lsm,lm->s", there, template**2)
    covered = there.mean(axis=(0, 2)) >= 0.4
    return np.asarray(np.where(covered, product / np.sqrt(np.maximum(size, 1e-12)), 0.0))


def _beats(x: Values, peaks: NDArray[np.int64], before: int = _BEFORE, after: int = _AFTER) -> Values:
    """(beats, leads, samples) around ``peaks``, NaN beyond the recording."""
    padded = np.pad(x, ((0, 0), (before, after)), constant_values=np.nan)
    return np.stack([padded[:, p : p + before + after + 1] for p in peaks])


def _median_beat(beats: Values) -> Values:
    """(leads, samples): the median over beats of what each lead shows, NaN where no beat shows it."""
    ordered = np.sort(beats, axis=0)
    count = np.isfinite(beats).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(beats) - 1)
    middle = np.take_along_axis(ordered, low[None], 0) + np.take_along_axis(ordered, high[None], 0)
    return np.asarray(middle[0] / 2)


def _rate(peaks: NDArray[np.int64]) -> Measure:
    if len(peaks) < 2:
        return UNKNOWN
    rr = np.diff(peaks) / FS_HZ
    # The mean rate over the strip: what counting beats gives, also in fibrillation. Two ends, each known to about 4 ms.
    return Measure(float(60 / rr.mean()), float(60 / rr.mean() * 0.006 / rr.sum()), len(peaks))


def _without_wander(x: Values, peaks: NDArray[np.int64], onset: int) -> Values:
    """The signal less straight lines through its level just before each QRS."""
    out = x.copy()
    at = np.arange(x.shape[1])
    for row, target in zip(x, out, strict=True):
        knots, levels = [], []
        for p in peaks:
            a, b = p + onset - 10, p + onset - 2
            window = row[max(a, 0) : max(b, 0)]
            if np.isfinite(window).sum() >= 4:
                knots.append((a + b - 1) / 2)
                levels.append(float(np.nanmean(window)))
        if knots:
            target -= np.interp(at, knots, levels)
        elif np.isfinite(row).any():
            target -= np.nanmedian(row)
    return out


# --- from beats to bounds
# ----------------------------------------------------------------------------------------------

_NO_BOUNDS: Final = _Bounds(*(float("nan"),) * 5)


def _bounds(beat: Values, rr: float) -> _Bounds:
    """Where the waves of a median beat (leads, samples) begin and end; ``rr`` in samples."""
    there = np.isfinite(beat).mean(axis=1) > 0.6
    if not there.any():
        return _NO_BOUNDS
    beat = np.stack(
        [np.interp(np.arange(beat.shape[1]), np.flatnonzero(np.isfinite(r)), r[np.isfinite(r)]) for r in beat[there]]
    )
    qrs = _qrs_bounds(beat)
    if qrs is None:
        return _NO_BOUNDS
    onset, end = qrs
    level = beat[:, max(onset - 10, 0) : max(onset - 1, 1)].mean(axis=1, keepdims=True)
    beat = beat - level
    t_end = _t_end(beat, end, rr)
    p_onset, p_end = _p_bounds(beat, onset, t_end - rr)
    return _Bounds(p_onset - _BEFORE, p_end - _BEFORE, onset - _BEFORE, end - _BEFORE, t_end - _BEFORE)


def _velocity(beat: Values) -> Values:
    """(samples,) mV a sample: the change of all leads together, over 8 ms, noisy leads counting less."""
    d = np.zeros_like(beat)
    d[:, 2:-2] = (2 * (beat[:, 4:] - beat[:, :-4]) + beat[:, 3:-1] - beat[:, 1:-3]) / 10
    noise = np.percentile(np.abs(d), 30, axis=1, keepdims=True)
    weight = 1 / (noise**2 + (0.02 * np.abs(d).max()) ** 2)
    return np.asarray(np.sqrt((weight * d**2).sum(axis=0) / weight.sum()))


def _qrs_bounds(beat: Values) -> tuple[int, int] | None:
    """(onset, end) samples of the QRS: where the change of all leads together falls quiet to both sides."""
    v = _velocity(beat)
    reach = round(0.1 * FS_HZ)
    near = v[_BEFORE - reach : _BEFORE + reach]
    top = _BEFORE - reach + int(np.argmax(near))
    peak = float(near.max())
    if peak < 1e-3:
        return None
    quiet = float(np.percentile(v[_BEFORE - round(0.16 * FS_HZ) : _BEFORE + round(0.22 * FS_HZ)], 25))
    # The T wave's own slopes are no QRS, however large the T; a slow QRS is, however small beside the R wave.
    t_slope = float(np.percentile(v[_BEFORE + round(0.14 * FS_HZ) : _BEFORE + round(0.34 * FS_HZ)], 80))
    before = max(0.035 * peak, 1.5 * quiet)
    after = max(min(1.3 * t_slope, 0.09 * peak), 0.028 * peak, 1.7 * quiet)

    def leaves(step: int, threshold: float, furthest: int) -> int:
        k, run = top, 0
        while 2 < k < len(v) - 3 and abs(k - top) < furthest:
            run = run + 1 if v[k] < threshold else 0
            if run >= _QUIET_RUN:
                return k - step * (run - 1)
            k += step
        return k

    # The change is taken over 4 ms to both sides, so it begins earlier and ends later than the wave.
    onset = leaves(-1, before, round(0.14 * FS_HZ)) + 2
    end = leaves(1, after, round(0.18 * FS_HZ)) - 2
    # A late slow wave (right bundle-branch block) may stand still at its turn; steeper than any T, it still belongs to
    # the QRS.
    later = np.flatnonzero(v[end + _QUIET_RUN : end + round(0.06 * FS_HZ)] > max(1.7 * after, 1.6 * t_slope))
    if len(later) and end - onset < 0.15 * FS_HZ:
        top = end + _QUIET_RUN + int(later[0])
        end = leaves(1, after, round(0.1 * FS_HZ)) - 2
    return onset, end


def _principal(beat: Values) -> Values:
    """The course that the leads share most, (samples,), in mV root mean square over leads; positive at its largest."""
    u, s, vt = np.linalg.svd(beat, full_matrices=False)
    course = vt[0] * s[0] / np.sqrt(len(u))
    return np.asarray(course if course[np.argmax(np.abs(course))] > 0 else -course)


def _t_end(beat: Values, qrs_end: int, rr: float) -> float:
    """Sample where T ends by the tangent rule; NaN without a T wave above the noise."""
    root = np.sqrt(rr / FS_HZ)
    start = qrs_end + round(0.05 * FS_HZ)
    stop = min(_BEFORE + round(min(0.56 * root * FS_HZ, rr - 0.1 * FS_HZ)), beat.shape[1] - 1)
    if stop - start < 0.08 * FS_HZ:
        return float("nan")
    course = _smooth(_principal(beat[:, start:stop]), 9)
    course[:4], course[-4:] = course[4], course[-5]
    peak = int(np.argmax(course[: max(round(0.9 * len(course)), 1)]))
    if course[peak] < 0.02:
        return float("nan")
    fall = np.gradient(course)
    last = min(len(course), peak + round(0.16 * FS_HZ))
    if last - peak < 0.02 * FS_HZ:
        return float("nan")
    steepest = peak + int(np.argmin(fall[peak:last]))
    if fall[steepest] >= -1e-4:
        return float("nan")
    end = steepest - course[steepest] / fall[steepest]
    return float(start + end) if end < len(course) + 0.06 * FS_HZ else float("nan")


def _p_bounds(beat: Values, qrs_onset: int, last_t_end: float) -> tuple[float, float]:
    """Samples of P onset and end; NaN without a P wave above what is left of the noise."""
    nothing = float("nan"), float("nan")
    # At high rates P stands on the T wave before; nobody can tell then where it begins, or whether it is there.
    earliest = _BEFORE - round(0.34 * FS_HZ)
    if np.isfinite(last_t_end):
        earliest = max(earliest, round(last_t_end) - round(0.02 * FS_HZ))
    start, stop = max(4, earliest), qrs_onset - 1
    last_start = min(start + round(0.08 * FS_HZ), stop - round(0.11 * FS_HZ))
    if start > _BEFORE - round(0.34 * FS_HZ) and last_start > start:
        # The foot of T outlasts its tangent: begin where the line has come to rest.
        start += int(np.argmin(_smooth(_velocity(beat), 13)[start:last_start]))
    if stop - start < 0.08 * FS_HZ:
        return nothing
    part = beat[:, start:stop]
    # A T wave that is still falling, or wander, would count as P: what is straight over the window goes first.
    ramp = np.linspace(0, 1, part.shape[1])
    ends = part[:, :6].mean(axis=1, keepdims=True), part[:, -6:].mean(axis=1, keepdims=True)
    course = _smooth(_principal(part - ends[0] * (1 - ramp) - ends[1] * ramp), 7)
    rough = float(np.std(np.diff(course, 2))) * 8
    tops = _local_maxima(course, round(0.03 * FS_HZ))
    tops = tops[(tops > 0.02 * FS_HZ) & (tops < len(course) - 0.015 * FS_HZ) & (course[tops] > 0.6 * course.max())]
    if not len(tops):
        return nothing
    peak = int(tops[-1])
    height = float(course[peak])
    if height < max(0.012, rough):
        return nothing

    def foot(step: int) -> float:
        k = peak
        while 0 < k < len(course) - 1 and course[k] > 0.1 * height:
            k += step
        return float(k)

    onset, end = foot(-1), foot(1)
    if not 0.035 * FS_HZ < end - onset < 0.2 * FS_HZ:
        return nothing
    return start + onset, start + end


def _resampled_bounds(beats: Values, rr: float) -> list[_Bounds]:
    """Bounds of median beats over other choices of the same beats (bootstrap): their scatter is the uncertainty."""
    if len(beats) < 3:
        return []
    rng = np.random.default_rng(len(beats))
    return [_bounds(_median_beat(beats[rng.integers(0, len(beats), len(beats))]), rr) for _ in range(_RESAMPLINGS)]


def _levels(beats: Values, bounds: _Bounds) -> tuple[dict[str, Measure], dict[str, Measure]]:
    """ST level and R amplitude by lead, each the median over beats."""
    onset, end = round(bounds.qrs_onset) + _BEFORE, round(bounds.qrs_end) + _BEFORE
    j60 = end + round(0.06 * FS_HZ)
    st: dict[str, Measure] = {}
    r: dict[str, Measure] = {}
    for k, name in enumerate(LEADS):
        lead = beats[:, k]
        level = _nanmean(lead[:, max(onset - 10, 0) : max(onset - 1, 1)], axis=1)
        st_each = _nanmean(lead[:, j60 - 3 : j60 + 4], axis=1) - level
        qrs = lead[:, onset : end + 1]
        whole = np.isfinite(qrs).all(axis=1)
        r_each = np.where(whole, np.where(np.isfinite(qrs), qrs, -np.inf).max(axis=1), np.nan) - level
        for each, into in ((st_each, st), (r_each, r)):
            good = each[np.isfinite(each)]
            if len(good):
                sd = float(1.25 * good.std(ddof=1) / np.sqrt(len(good))) if len(good) > 1 else float("nan")
                into[name] = Measure(float(np.median(good)), sd, len(good))
    return st, r


# --- truth against digitized
# -------------------------------------------------------------------------------------------

QUANTITIES: Final = ("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "st_uv", "r_uv")


def compare_intervals(truth: Intervals, digitized: Intervals) -> dict[str, Values]:
    """Errors, digitized less truth, by quantity of :data:`QUANTITIES`: arrays of one value, or of one a lead for ST
    and R.

    What the truth does not have is left out (an empty array); what only the digitized one lacks is NaN: missed.
    """

    def single(name: str, factor: float) -> Values:
        t, d = getattr(truth, name), getattr(digitized, name)
        return np.array([(d.value - t.value) * factor]) if t.known else np.zeros(0)

    def per_lead(name: str) -> Values:
        t, d = getattr(truth, name), getattr(digitized, name)
        return np.array([(d.get(lead, UNKNOWN).value - m.value) * 1e3 for lead, m in t.items() if m.known])

    return {
        "heart_rate_bpm": single("heart_rate_bpm", 1.0),
        "pr_ms": single("pr_s", 1e3),
        "qrs_ms": single("qrs_s", 1e3),
        "qt_ms": single("qt_s", 1e3),
        "qtc_ms": single("qtc_s", 1e3),
        "st_uv": per_lead("st_mv"),
        "r_uv": per_lead("r_mv"),
    }


@dataclass(frozen=True)
class Fidelity:
    """How far a quantity was off over many pages: median and 95th percentile of the absolute error, median error, how
    many, missed.
    """

    median: float
    p95: float
    bias: float
    n: int
    missed: int


def summarized(errors: Values) -> Fidelity:
    """:class:`Fidelity` of errors (n,), NaN where missed."""
    good = errors[np.isfinite(errors)]
    if not len(good):
        return Fidelity(*(float("nan"),) * 3, 0, len(errors))
    median, high = np.percentile(np.abs(good), [50, 95])
    return Fidelity(float(median), float(high), float(np.median(good)), len(good), len(errors) - len(good))


def fidelity(comparisons: Iterable[Mapping[str, Values]]) -> dict[str, Fidelity]:
    """The table of clinical fidelity over pages, by quantity, from the answers of :func:`compare_intervals`."""
    pages = list(comparisons)
    return {
        name: summarized(np.concatenate([np.zeros(0), *(page[name] for page in pages if name in page)]))
        for name in QUANTITIES
    }
