"""When atria and ventricles beat: the timing of sinus rhythm and of the usual arrhythmias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

BeatKind = Literal["normal", "ectopic-p", "pvc", "paced", "escape"]


@dataclass(frozen=True)
class Event:
    """One ventricular beat: QRS onset at ``qrs_s``; its own P begins at ``p_s`` (nan without one); ``rr_s`` since the
    beat before.
    """

    kind: BeatKind
    qrs_s: float
    p_s: float = float("nan")
    rr_s: float = float("nan")


@dataclass(frozen=True)
class Timeline:
    """All events of a rhythm, in time order.

    ``free_p_s``: onsets of P waves that no QRS follows; ``spikes_s``: pacing spikes; ``atrial_hz``: rate of flutter or
    fibrillation, 0 without.
    """

    events: tuple[Event, ...]
    free_p_s: tuple[float, ...] = ()
    spikes_s: tuple[float, ...] = ()
    atrial: Literal["waves", "flutter", "fibrillation"] = "waves"
    atrial_hz: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)


def _intervals(
    rng: np.random.Generator, mean_s: float, n: int, breathing: float = 0.03, random: float = 0.012
) -> NDArray[np.float64]:
    """(n,) s of sinus intervals: breathing at 0.15 to 0.3 Hz and slow drift about the mean."""
    noise = rng.normal(0, random, n)
    for k in range(1, n):
        noise[k] += 0.7 * noise[k - 1]
    t = np.arange(n) * mean_s
    wave = np.sin(2 * np.pi * rng.uniform(0.15, 0.3) * t + rng.uniform(0, 2 * np.pi))
    return np.asarray(mean_s * (1 + breathing * wave + noise))


def _onsets(
    rng: np.random.Generator, start_s: float, stop_s: float, mean_s: float, **how: float
) -> NDArray[np.float64]:
    n = int((stop_s - start_s) / mean_s * 1.5) + 4
    t = start_s + rng.uniform(0, mean_s) + np.cumsum(_intervals(rng, mean_s, n, **how))
    return np.asarray(t[t < stop_s])


def _pr_s(rng: np.random.Generator, mean_s: float) -> float:
    """PR shortens a little with the rate."""
    return float(np.clip(rng.normal(0.155, 0.018) + 0.02 * (mean_s - 0.8), 0.115, min(0.21, 0.55 * mean_s)))


def _conducted(p_s: NDArray[np.float64], pr_s: float | NDArray[np.float64], kind: BeatKind = "normal") -> list[Event]:
    return [Event(kind, float(p + pr), float(p)) for p, pr in zip(p_s, np.broadcast_to(pr_s, p_s.shape), strict=True)]


Span = tuple[float, float]


def _sinus(rng: np.random.Generator, span: Span, rr_s: float, arrhythmia: float = 0.0) -> Timeline:
    breathing = rng.uniform(0.08, 0.16) if arrhythmia else rng.uniform(0.005, 0.045)
    p = _onsets(rng, *span, rr_s, breathing=breathing)
    return Timeline(tuple(_conducted(p, _pr_s(rng, rr_s))))


def _sinus_arrhythmia(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    return _sinus(rng, span, rr_s, arrhythmia=1.0)


def _fibrillation(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    n = int((span[1] - span[0]) / rr_s * 2) + 6
    rr = np.maximum(rng.gamma(1 / 0.22**2, rr_s * 0.22**2, n), 0.29)
    qrs = span[0] + np.cumsum(rr)
    return Timeline(
        tuple(Event("normal", float(q)) for q in qrs[qrs < span[1]]),
        atrial="fibrillation",
        atrial_hz=rng.uniform(5.0, 8.5),
    )


def _flutter(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    cycle = 60 / rng.uniform(240, 330)
    ratio = max(2, round(rr_s / cycle))
    f = np.arange(span[0] + rng.uniform(0, cycle), span[1], cycle)
    if rng.random() < 0.3:
        steps = rng.choice([ratio, ratio + 1, max(2, ratio - 1), ratio], size=len(f))
        index = np.cumsum(steps)
        qrs = f[index[index < len(f)]]
    else:
        qrs = f[:: int(ratio)]
    qrs = qrs + rng.normal(0, 0.004, len(qrs))
    return Timeline(tuple(Event("normal", float(q)) for q in qrs), atrial="flutter", atrial_hz=1 / cycle)


def _premature_atrial(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    pr, chance = _pr_s(rng, rr_s), rng.uniform(0.1, 0.35)
    t, events, since = span[0], list[Event](), 9
    while t < span[1]:
        early = since > 1 and rng.random() < chance
        t += rr_s * (rng.uniform(0.55, 0.78) if early else float(1 + rng.normal(0, 0.02)))
        events.append(Event("ectopic-p" if early else "normal", t + pr * (1.1 if early else 1.0), t))
        since = 0 if early else since + 1
    return Timeline(tuple(events))


def _premature_ventricular(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    pr, every = _pr_s(rng, rr_s), int(rng.choice([2, 3, 0, 0, 0]))
    chance, couplets = rng.uniform(0.1, 0.35), rng.random() < 0.15
    p = _onsets(rng, *span, rr_s)
    events, free, silent_until = list[Event](), list[float](), -np.inf
    beats = 0
    for onset in p:
        if onset + pr < silent_until:
            # The sinus node goes on; its P meets a ventricle that cannot answer: the compensatory pause.
            free.append(float(onset))
            continue
        events.append(Event("normal", float(onset + pr), float(onset)))
        beats += 1
        if (every and beats % (every - 1 or 1) == 0) or (not every and rng.random() < chance):
            coupling = max(rr_s * rng.uniform(0.5, 0.7), 0.3)
            early = float(onset + pr + coupling)
            events.append(Event("pvc", early))
            last = early
            if couplets and rng.random() < 0.5:
                last = early + max(0.32, rr_s * 0.5)
                events.append(Event("pvc", last))
            silent_until = last + min(0.42, 0.6 * rr_s)
    return Timeline(tuple(events), tuple(free))


def _block_first(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    p = _onsets(rng, *span, rr_s)
    return Timeline(tuple(_conducted(p, min(rng.uniform(0.21, 0.36), 0.6 * rr_s))))


def _block_wenckebach(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    cycle, pr0, step = int(rng.integers(3, 6)), rng.uniform(0.16, 0.22), rng.uniform(0.05, 0.1)
    p = _onsets(rng, *span, rr_s, breathing=0.01)
    phase = (np.arange(len(p)) + rng.integers(cycle)) % cycle
    through = phase < cycle - 1
    # The gain in PR shrinks from beat to beat, so that RR shortens before the pause.
    pr = pr0 + step * phase.astype(float) ** 0.7
    return Timeline(tuple(_conducted(p[through], pr[through])), tuple(map(float, p[~through])))


def _block_mobitz(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    p = _onsets(rng, *span, rr_s, breathing=0.01)
    every = int(rng.integers(2, 5))
    through = (np.arange(len(p)) + rng.integers(every)) % every != 0
    return Timeline(tuple(_conducted(p[through], _pr_s(rng, rr_s))), tuple(map(float, p[~through])))


def _block_third(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    p = _onsets(rng, *span, min(rr_s, 0.9))
    qrs = _onsets(rng, *span, 60 / rng.uniform(30, 50), breathing=0.003, random=0.004)
    return Timeline(tuple(Event("escape", float(q)) for q in qrs), tuple(map(float, p)))


def _junctional(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    qrs = _onsets(rng, *span, max(rr_s, 0.85), breathing=0.004, random=0.005)
    return Timeline(tuple(Event("normal", float(q)) for q in qrs))


def _supraventricular(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    del rr_s
    qrs = _onsets(rng, *span, 60 / rng.uniform(145, 200), breathing=0.002, random=0.003)
    return Timeline(tuple(Event("normal", float(q)) for q in qrs))


def _ventricular(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    del rr_s
    qrs = _onsets(rng, *span, 60 / rng.uniform(120, 190), breathing=0.002, random=0.004)
    return Timeline(tuple(Event("pvc", float(q)) for q in qrs))


def _paced(rng: np.random.Generator, span: Span, rr_s: float, atrium: bool, ventricle: bool) -> Timeline:
    rr = float(np.clip(rr_s, 0.6, 1.0))
    p = np.arange(span[0] + rng.uniform(0, rr), span[1], rr)
    delay = rng.uniform(0.14, 0.2)
    spikes: list[float] = []
    if atrium:
        spikes += [float(t) - 0.012 for t in p]
    if ventricle:
        spikes += [float(t) + delay - 0.008 for t in p]
    if not atrium:
        # VVI: the atrium beats on its own, or fibrillates.
        return Timeline(
            tuple(Event("paced", float(t) + delay) for t in p),
            tuple(map(float, _onsets(rng, *span, 0.8))),
            tuple(spikes),
        )
    return Timeline(tuple(_conducted(p, delay, "paced" if ventricle else "normal")), spikes_s=tuple(spikes))


def _paced_atrium(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    return _paced(rng, span, rr_s, True, False)


def _paced_ventricle(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    return _paced(rng, span, rr_s, False, True)


def _paced_both(rng: np.random.Generator, span: Span, rr_s: float) -> Timeline:
    return _paced(rng, span, rr_s, True, True)


RHYTHMS: Final[dict[str, tuple[float, tuple[float, float], Callable[[np.random.Generator, Span, float], Timeline]]]] = {
    "sinus": (0.50, (35, 180), _sinus),
    "sinus-arrhythmia": (0.05, (45, 90), _sinus_arrhythmia),
    "af": (0.09, (50, 160), _fibrillation),
    "flutter": (0.04, (60, 160), _flutter),
    "pac": (0.05, (50, 110), _premature_atrial),
    "pvc": (0.07, (50, 110), _premature_ventricular),
    "av-block-1": (0.04, (45, 100), _block_first),
    "av-block-2-wenckebach": (0.02, (55, 100), _block_wenckebach),
    "av-block-2-mobitz": (0.02, (60, 100), _block_mobitz),
    "av-block-3": (0.02, (60, 100), _block_third),
    "junctional": (0.02, (35, 70), _junctional),
    "svt": (0.02, (140, 200), _supraventricular),
    "vt": (0.01, (120, 190), _ventricular),
    "paced-atrium": (0.01, (60, 100), _paced_atrium),
    "paced-ventricle": (0.02, (60, 90), _paced_ventricle),
    "paced-both": (0.02, (60, 100), _paced_both),
}
"""By name: how often it is drawn, usual rates in bpm (of the atria, in blocks), and what makes its timeline."""


def draw_timeline(rng: np.random.Generator, rhythm: str, rate_bpm: float, duration_s: float) -> Timeline:
    """The events of ``rhythm`` from 2 s before to 2 s after the recording, so that its edges cut through beats as real
    ones do.
    """
    raw = RHYTHMS[rhythm][2](rng, (-2.0, duration_s + 2.0), 60 / rate_bpm)
    events = sorted(raw.events, key=lambda e: e.qrs_s)
    rr = np.diff([e.qrs_s for e in events], prepend=events[0].qrs_s - 60 / rate_bpm)
    timed = tuple(replace(e, rr_s=float(r)) for e, r in zip(events, rr, strict=True))
    return replace(raw, events=timed)
