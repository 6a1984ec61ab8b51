"""Physics closes the loop: leads that share a time must obey their relations; where they do not, the answer says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, erfinv

from ecglift.doubt import SURE_MV, TOLERANCE_MV, stray_mv
from ecglift.leads import LEADS, LIMB_BASIS, LIMB_LEADS
from ecglift.paper import Layout
from ecglift.problem import Problem
from ecglift.recording import Recording

Floats = NDArray[np.float64]

STAGE: Final = "check"
Verdict = Literal["passed", "doubtful", "failed", "not possible"]

_GOOD_DB: Final = -14.0
_BAD_DB: Final = -6.0
_SMALL_MV: Final = 0.03
"""A relation holds when its residual is below −14 dB of its leads (20 %) or below 30 µV rms, the width of a pen line,
or as small as the confidence of its leads promises; above −6 dB (half their height) it says nothing any more."""

_FEW: Final = 0.1
"""A relation that holds but for that part of its moments is not wrong: a piece of one lead strayed."""

_ALONE: Final = 3.0
"""One lead has strayed where the others agree without it, and that many times worse without any other."""

_LARGEST_MV: Final = 8.0
_SMALLEST_MV: Final = 0.05
"""Peak to peak. Of 2,640 real leads 99.95 % lie between 0.25 and 7.4 mV; what is flatter has no heart in it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: ``value`` in ``unit`` (NaN when not possible), the verdict and plain words."""

    name: str
    verdict: Verdict
    value: float
    unit: str
    words: str


@dataclass(frozen=True)
class Checks:
    """All checks of a recording. ``lags_s``: (lead, delay against its fellows) of limb leads that needed a shift;
    ``local``: names of relations that failed, but in few moments only."""

    checks: tuple[Check, ...] = ()
    problems: tuple[Problem, ...] = ()
    lags_s: tuple[tuple[str, float], ...] = ()
    local: tuple[str, ...] = ()

    def relations(self, verdict: Verdict) -> int:
        """How many of the limb leads' relations got that verdict."""
        names = {relation.name for relation in RELATIONS}
        return sum(check.name in names and check.verdict == verdict for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """The check of that name; KeyError when there is none."""
        for c in self.checks:
            if c.name == name:
                return c
        raise KeyError(name)


@dataclass(frozen=True)
class Relation:
    """``weights`` (6,) times the limb leads is zero at every moment."""

    name: str
    words: str
    weights: tuple[float, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(k for k, w in enumerate(self.weights) if w)


RELATIONS: Final = (
    Relation("einthoven", "I + III = II", (1.0, -1.0, 1.0, 0.0, 0.0, 0.0)),
    Relation("goldberger", "aVR + aVL + aVF = 0", (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)),
    Relation("avr", "aVR = −(I + II)/2", (0.5, 0.5, 0.0, 1.0, 0.0, 0.0)),
    Relation("avl", "aVL = I − II/2", (-1.0, 0.5, 0.0, 0.0, 1.0, 0.0)),
    Relation("avf", "aVF = II − I/2", (0.5, -1.0, 0.0, 0.0, 0.0, 1.0)),
    Relation("strip", "aVF − aVR = 3/2 II", (0.0, 1.5, 0.0, 1.0, 0.0, -1.0)),
)
"""The relations of three limb leads each; "strip" is for a rhythm strip of II under the column of aVR, aVL, aVF."""


@dataclass(frozen=True)
class Residual:
    """What a relation leaves: ``db`` of its power over the mean power of its leads, ``rms_mv``, over ``n`` moments.

    ``lags_s``: (3,) the shifts of the relation's leads that make it smallest; ``aligned_db``, ``aligned_mv``: with
    them. ``expected_mv``: what the leads' confidence lets one expect, NaN when there was none. ``usual_db``: aligned,
    without the moments that fit least.
    """

    relation: Relation
    n: int
    db: float
    rms_mv: float
    aligned_db: float
    aligned_mv: float
    lags_s: Floats
    expected_mv: float
    usual_db: float


def residual(
    mv: Floats, fs_hz: float, relation: Relation, sigma: Floats | None = None, max_lag_s: float = 0.02
) -> Residual | None:
    """The residual of ``relation`` in (12, n) or (6, n) mV with NaN; None when its leads share less than half a second.

    Means are taken out first: where a zero line is drawn is no property of the heart. The leads may be moved against
    each other by ``max_lag_s`` at most: rows of a sheet start a fraction of a millimetre apart. Shifts come from
    Gauss–Newton steps on the derivatives; their common part, which changes nothing, is left at zero. ``sigma``: the
    standard deviation of every sample in mV, for what may be expected.
    """
    rows = np.asarray(mv, float)[list(relation.rows)]
    weights = np.array([relation.weights[k] for k in relation.rows])
    together = np.isfinite(rows).all(axis=0)
    n = int(together.sum())
    if n < 0.5 * fs_hz:
        return None
    time = np.arange(rows.shape[1]) / fs_hz
    centred = rows - rows[:, together].mean(axis=1, keepdims=True)
    power = float((centred[:, together] ** 2).mean())
    if power == 0:
        return None

    def left(lags_s: Floats) -> tuple[Floats, Floats]:
        moved = np.stack([shifted(row, time, lag) for row, lag in zip(centred, lags_s, strict=True)])
        return moved, weights @ moved

    lags = np.zeros(len(rows))
    moved, plain = left(lags)
    best = plain
    for _ in range(4):
        slopes = np.gradient(moved, 1 / fs_hz, axis=1)
        good = np.isfinite(slopes).all(axis=0) & np.isfinite(best)
        columns = np.concatenate([(weights[:, None] * slopes[:, good]).T, np.ones((int(good.sum()), 1))], axis=1)
        # A little ridge keeps flat leads still: their shift cannot be seen.
        scale = np.sqrt((columns**2).mean(axis=0)) + 1e-9
        normal = (columns / scale).T @ (columns / scale) / len(columns) + 1e-3 * np.eye(len(scale))
        step = np.linalg.solve(normal, (columns / scale).T @ -best[good] / len(columns)) / scale
        trial = np.clip(lags + step[:-1] - step[:-1].mean(), -max_lag_s, max_lag_s)
        trial_moved, trial_left = left(trial)
        if np.nanvar(trial_left) >= np.nanvar(best):
            break
        lags, moved, best = trial, trial_moved, trial_left

    def measure(r: Floats) -> tuple[float, float]:
        variance = float(np.nanvar(r))
        return 10 * float(np.log10(max(variance / power, 1e-12))), float(np.sqrt(variance))

    expected_mv = float("nan")
    if sigma is not None:
        noise = sigma[list(relation.rows)][:, together] ** 2
        expected_mv = float(np.sqrt((weights[:, None] ** 2 * noise).sum(axis=0).mean()))
    there = np.isfinite(best)
    off = np.abs(best[there] - np.median(best[there]))
    usual = off <= np.quantile(off, 1 - _FEW)
    share = best[there][usual].var() / max(float((moved[:, there][:, usual] ** 2).mean()), 1e-12)
    usual_db = 10 * float(np.log10(max(share, 1e-12)))
    return Residual(relation, n, *measure(plain), *measure(best), lags, expected_mv, usual_db)


def shifted(row: Floats, time_s: Floats, lag_s: float) -> Floats:
    """``row`` (n,) read ``lag_s`` later: out(t) = row(t + lag), NaN where that is not known. Cubic between samples."""
    if lag_s == 0:
        return row
    from scipy.interpolate import CubicSpline

    known = np.isfinite(row)
    if known.sum() < 4:
        return row
    out: Floats = CubicSpline(time_s[known], row[known], extrapolate=False)(time_s + lag_s)
    # Half a sample of slack at the ends and gaps: those moments are seen, only not in the middle of a sample.
    near = np.interp(time_s + lag_s, time_s, known.astype(float), left=0, right=0) > 0.49
    return np.where(near, out, np.nan)


def check(recording: Recording, layout: Layout, pulse_height_mm: float | None = None) -> Checks:
    """What the recording's own relations say about it: every check with a verdict and plain words.

    ``pulse_height_mm``: measured height of the 1 mV calibration pulse, if there is one.
    """
    mv = recording.mv.astype(float)
    sigma = sigma_mv(recording.confidence.astype(float))
    trusted = _trusted(mv, sigma)
    found = [residual(trusted, recording.fs_hz, relation, sigma) for relation in RELATIONS]
    checks = [_relation_check(relation, r) for relation, r in zip(RELATIONS, found, strict=True)]
    checks += [_double_check(lead, recording.quality) for lead in LEADS if f"double_lag_ms_{lead}" in recording.quality]
    if pulse_height_mm is not None:
        checks.append(_pulse_check(pulse_height_mm, layout))
    checks.append(_amplitude_check(recording))
    checks.append(_names_check(trusted, recording.fs_hz))
    problems = tuple(Problem(f"check-{c.name}", STAGE, c.words) for c in checks if c.verdict == "failed")
    lags: dict[str, list[float]] = {}
    for r in found:
        if r is not None and r.aligned_db < min(r.db - 1, _GOOD_DB):
            for k, lag in zip(r.relation.rows, r.lags_s, strict=True):
                lags.setdefault(LIMB_LEADS[k], []).append(float(lag))
    failed = {c.name for c in checks if c.verdict == "failed"}
    local = tuple(r.relation.name for r in found if r and r.relation.name in failed and r.usual_db <= _GOOD_DB)
    return Checks(tuple(checks), problems, tuple((lead, float(np.median(v))) for lead, v in lags.items()), local)


def _trusted(mv: Floats, sigma: Floats) -> Floats:
    """``mv`` (leads, n) with NaN for doubtful samples, in leads that are mostly sure."""
    sure = sigma < SURE_MV
    seen = np.isfinite(mv)
    mostly = (seen & sure).sum(axis=1, keepdims=True) >= 0.5 * seen.sum(axis=1, keepdims=True)
    return np.where(sure | ~mostly, mv, np.nan)


def _relation_check(relation: Relation, r: Residual | None) -> Check:
    if r is None:
        words = f"{relation.words}: the three leads are not printed at the same time"
        return Check(relation.name, "not possible", float("nan"), "dB", words)
    expected = r.aligned_mv <= 1.5 * r.expected_mv
    good = r.aligned_db <= _GOOD_DB or r.aligned_mv <= _SMALL_MV or (expected and r.aligned_db <= _BAD_DB)
    verdict: Verdict = "passed" if good else "failed" if r.aligned_db > _BAD_DB and not expected else "doubtful"
    words = f"{relation.words}: what is left over is {r.aligned_mv * 1e3:.0f} µV ({r.aligned_db:.1f} dB)"
    if r.aligned_db < r.db - 1:
        words += f" after moving the leads by up to {1e3 * np.abs(r.lags_s).max():.1f} ms; {r.db:.1f} dB before"
    if expected:
        words += "; no more than the leads' confidence lets one expect"
    if verdict == "failed":
        words += "; one of these leads is misread or misnamed, look at the overlay"
    return Check(relation.name, verdict, r.aligned_db, "dB", words)


def _double_check(lead: str, quality: dict[str, float]) -> Check:
    name, correlation = f"double-{lead}", quality[f"double_correlation_{lead}"]
    gain, lag_ms = quality.get(f"double_gain_{lead}", float("nan")), quality[f"double_lag_ms_{lead}"]
    words = f"lead {lead} is printed twice: correlation {correlation:.3f} at {lag_ms:.1f} ms"
    if correlation < 0.8:
        words += "; the rhythm strip shows another time or another lead"
        return Check(name, "doubtful", correlation, "", words)
    good = correlation >= 0.95 and not abs(gain - 1) > 0.1
    return Check(name, "passed" if good else "doubtful", correlation, "", words + f", height ratio {gain:.3f}")


def _pulse_check(height_mm: float, layout: Layout) -> Check:
    ratio = height_mm / layout.gain_mm_mv
    words = f"the calibration pulse is {height_mm:.1f} mm tall; 1 mV was read as {layout.gain_mm_mv:g} mm"
    verdict: Verdict = "passed" if abs(ratio - 1) <= 0.05 else "doubtful" if abs(ratio - 1) <= 0.15 else "failed"
    if verdict == "failed":
        words += "; give the gain that the print states"
    return Check("pulse", verdict, ratio, "", words)


def _amplitude_check(recording: Recording) -> Check:
    heights = {lead: float(np.ptp(recording[lead][np.isfinite(recording[lead])])) for lead in recording.leads}
    if not heights:
        return Check("amplitude", "not possible", float("nan"), "mV", "no lead was read")
    tall = [lead for lead, h in heights.items() if h > _LARGEST_MV]
    flat = [lead for lead, h in heights.items() if h < _SMALLEST_MV]
    middle = float(np.median(list(heights.values())))
    words = f"leads are {min(heights.values()):.2f} to {max(heights.values()):.2f} mV tall, half above {middle:.2f} mV"
    if tall:
        words += f"; {', '.join(tall)}: taller than a heart makes, is the gain right?"
    if flat:
        words += f"; {', '.join(flat)}: flat"
    half = len(heights) / 2
    wrong = len(tall) > half or len(flat) > half
    return Check("amplitude", "failed" if wrong else "doubtful" if tall or flat else "passed", middle, "mV", words)


def _names_check(mv: Floats, fs_hz: float) -> Check:
    """Whether another naming of the limb leads would satisfy the relations much better."""
    name, asked = "names", "exchanged or inverted limb leads"
    limb = mv[:6]
    seen = np.isfinite(limb)
    patterns, count = np.unique(seen, axis=1, return_counts=True)
    suspects: list[tuple[float, str]] = []
    tried = False
    for pattern, n in zip(patterns.T, count, strict=True):
        rows = np.flatnonzero(pattern)
        if n < 0.5 * fs_hz or len(rows) < 3:
            continue
        x = limb[np.ix_(rows, (seen == pattern[:, None]).all(axis=0))]
        gram = np.cov(x)
        if np.trace(gram) <= 0:
            continue
        tried = True
        here, best, change = _best_naming(gram, rows)
        if here > _GOOD_DB and best < here - 8:
            suspects.append((here - best, change))
    if not tried:
        return Check(name, "not possible", float("nan"), "dB", f"{asked}: too few limb leads share a time")
    if not suspects:
        return Check(name, "passed", 0.0, "dB", f"{asked}: no other naming fits better")
    gain, change = max(suspects)
    words = f"the limb leads fit each other {gain:.0f} dB better with {change}: check the names on the sheet"
    return Check(name, "failed", gain, "dB", words)


def _best_naming(gram: Floats, rows: NDArray[np.intp]) -> tuple[float, float, str]:
    """(dB as named, dB of the best other naming, that naming in words) from the leads' covariance (m, m)."""
    basis = LIMB_BASIS[rows]
    outside = np.eye(len(rows)) - basis @ np.linalg.pinv(basis)
    total = float(np.trace(gram))

    def db(order: tuple[int, ...], signs: Floats) -> float:
        g = gram[np.ix_(order, order)] * np.outer(signs, signs)
        return 10 * float(np.log10(max(float((outside * g).sum()) / total, 1e-9)))

    names = [LIMB_LEADS[k] for k in rows]
    identity, upright = tuple(range(len(rows))), np.ones(len(rows))
    here = db(identity, upright)
    others: list[tuple[float, int, str]] = []
    for k, lead in enumerate(names):
        signs = upright.copy()
        signs[k] = -1
        others.append((db(identity, signs), 1, f"{lead} turned upside down"))
    for order in permutations(identity):
        moved = [k for k in identity if order[k] != k]
        if moved:
            change = ", ".join(f"{names[order[k]]} named {names[k]}" for k in moved)
            others.append((db(order, upright), len(moved), change))
    best = min(value for value, _, _ in others)
    # Several namings may fit alike (I and III are interchangeable to Einthoven); the smallest change is the likeliest.
    value, _, change = min((o for o in others if o[0] < best + 1), key=lambda o: o[1])
    return here, value, change


def correct(recording: Recording, checks: Checks, max_chi: float = 3.0) -> Recording:
    """The recording with its limb leads moved onto their relations by confidence-weighted least squares.

    At each moment the leads that are seen together are replaced by the nearest values that obey the relations, each
    weighed by 1/σ² where σ follows from its confidence; one that strayed into another line, and whose confidence says
    so, is thus put right by its fellows. Leads are aligned by ``checks.lags_s`` first and keep their own time and zero
    line. Nothing is changed when a relation failed in more than a few moments, nor at moments where the residual
    exceeds ``max_chi`` times what the confidence allows: there something is wrong that an average would spread.
    """
    mv = recording.mv.astype(float)
    judged = {c.name: c.verdict for c in checks.checks}
    relations = {"doubtful" if r.name in checks.local else judged.get(r.name) for r in RELATIONS}
    if "failed" in relations | {judged.get("names")} or not relations & {"passed", "doubtful"}:
        return recording
    time = np.arange(mv.shape[1]) / recording.fs_hz
    lags = dict(checks.lags_s)
    limb = np.stack([shifted(mv[k], time, lags.get(lead, 0.0)) for k, lead in enumerate(LIMB_LEADS)])
    sigma = sigma_mv(recording.confidence[:6].astype(float))
    seen = np.isfinite(limb)
    change, spread = np.zeros_like(limb), sigma.copy()
    for pattern in np.unique(seen, axis=1).T:
        rows, moments = np.flatnonzero(pattern), np.flatnonzero((seen == pattern[:, None]).all(axis=0))
        if len(rows) < 3 or len(moments) < 0.2 * recording.fs_hz:
            continue
        x, deviation = limb[np.ix_(rows, moments)], sigma[np.ix_(rows, moments)]
        sure = np.flatnonzero((deviation < SURE_MV).all(axis=0))
        level = x[:, sure] if len(sure) > 0.2 * recording.fs_hz else x
        x = x - level.mean(axis=1, keepdims=True)
        moved, s = _onto_relations(x, stray_mv(deviation), LIMB_BASIS[rows], max_chi, recording.fs_hz)
        change[np.ix_(rows, moments)], spread[np.ix_(rows, moments)] = moved, s
    out, confidence = mv.copy(), recording.confidence.astype(float)
    for k, lead in enumerate(LIMB_LEADS):
        back = np.nan_to_num(shifted(change[k], time, -lags.get(lead, 0.0)))
        out[k] += back
        better = spread[k] < sigma[k]
        chance = erf(TOLERANCE_MV / (np.sqrt(2) * spread[k, better]))
        confidence[k, better] = np.maximum(confidence[k, better], chance)
    confidence = np.where(np.isfinite(out), confidence, 0.0)
    quality = recording.quality | {"limb_correction_uv": 1e3 * float(np.sqrt((change**2).mean()))}
    return replace(recording, mv=out.astype(np.float32), confidence=confidence.astype(np.float32), quality=quality)


def sigma_mv(confidence: Floats) -> Floats:
    """Standard deviation in mV that gives ``confidence`` as the chance of ±20 µV: 2 µV at least, 1 mV at most."""
    out: Floats = TOLERANCE_MV / (np.sqrt(2) * erfinv(np.clip(confidence, 1e-3, 1 - 1e-9)))
    return np.clip(out, 2e-3, 1.0)


def _onto_relations(x: Floats, sigma: Floats, basis: Floats, max_chi: float, fs_hz: float) -> tuple[Floats, Floats]:
    """(change (m, n) that brings x onto ``basis``·(I, II), standard deviation (m, n) after it); 0 where not allowed.

    Of four leads or more one may have strayed, however sure it is, where the others agree without it and only so.
    """
    weight, spare = 1 / sigma**2, len(x) - 2
    change, after, level = _fitted(x, weight, basis, spare, fs_hz)
    least = max_chi / 2
    if spare > 1 and (level > least).any():
        others = [np.where(np.arange(len(x))[:, None] == k, 0.0, weight) for k in range(len(x))]
        without = [_fitted(x, weights, basis, spare - 1, fs_hz) for weights in others]
        levels = np.array([left for _, _, left in without])
        strayed, (best, second) = levels.argmin(axis=0), np.sort(levels, axis=0)[:2]
        one_alone = (level > least) & (best < least) & (second > np.maximum(least, _ALONE * best))
        for k in np.unique(strayed[one_alone]):
            at = one_alone & (strayed == k)
            for own, better in zip((change, after, level), without[k], strict=True):
                own[..., at] = better[..., at]
    share = np.clip(2 - 2 * level / max_chi, 0.0, 1.0)
    return change * share, np.where(share > 0.5, after, sigma)


def _fitted(x: Floats, weight: Floats, basis: Floats, spare: int, fs_hz: float) -> tuple[Floats, Floats, Floats]:
    """(change (m, n) onto the relations, deviation (m, n) after it, (n,) what is left over 40 ms, in deviations)."""
    normal = np.einsum("ja,jn,jb->nab", basis, weight, basis)
    inverse = np.linalg.inv(normal)
    change = basis @ np.einsum("nab,jb,jn,jn->an", inverse, basis, weight, x) - x
    after = np.sqrt(np.einsum("ja,nab,jb->jn", basis, inverse, basis))
    chi = np.sqrt((change**2 * weight).sum(axis=0) / spare)
    # One moment's residual is noise; 40 ms of it is a fault.
    span = max(round(0.04 * fs_hz), 1)
    level = np.sqrt(np.convolve(np.pad(chi**2, span // 2, mode="edge"), np.ones(span) / span, "same"))
    return change, after, level[span // 2 : span // 2 + len(chi)]
