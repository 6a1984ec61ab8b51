"""Simulated patients: a 12-lead ECG with the truth of every beat."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEADS
from ecglift.press.noise import Noise, draw_noise, electrode_noise
from ecglift.press.rhythms import RHYTHMS, Timeline, draw_timeline
from ecglift.press.torso import draw_torso, leads_from_electrodes
from ecglift.press.waves import QT_UNIT_S, Heart, Wave, draw_heart

CONDITIONS: Final[dict[str, float]] = {
    "lbbb": 0.05,
    "rbbb": 0.06,
    "lvh": 0.08,
    "low-voltage": 0.05,
    "st-elevation-anterior": 0.03,
    "st-elevation-inferior": 0.03,
    "st-elevation-lateral": 0.02,
    "st-depression": 0.05,
    "t-inversion": 0.09,
    "t-flat": 0.08,
    "t-peaked": 0.05,
    "biphasic-t": 0.03,
    "long-qt": 0.05,
    "old-infarct": 0.07,
    "fragmented": 0.08,
    "large-p": 0.04,
    "u-wave": 0.03,
}
"""What a simulated heart may have, and how often it has it."""

_EXCLUSIVE: Final = (("lbbb", "rbbb"), ("t-flat", "t-peaked", "biphasic-t"), ("lvh", "low-voltage"))


@dataclass(frozen=True)
class Beat:
    """The truth of one beat in seconds from the recording's start; nan where the wave is absent.

    ``kind``: as in :class:`ecglift.press.rhythms.Event`. Bounds are of the noise-free wave, over all leads together;
    ``r_s`` is where the QRS is largest over all leads together.
    """

    kind: str
    p_onset_s: float
    p_end_s: float
    qrs_onset_s: float
    r_s: float
    qrs_end_s: float
    t_peak_s: float
    t_end_s: float


@dataclass(frozen=True)
class Patient:
    """A 12-lead ECG and what is known of it.

    ``mv``: (12, n) float32, leads in the order of :data:`ecglift.leads.LEADS`; ``beats``: those whose QRS lies within
    the recording;
    ``free_p_s``: (onset, end) of P waves that no QRS follows; ``spikes_s``: pacing spikes. ``meta``: plain JSON values.
    """

    mv: NDArray[np.float32]
    fs_hz: float
    beats: tuple[Beat, ...] = ()
    rhythm: str = "unknown"
    free_p_s: tuple[tuple[float, float], ...] = ()
    spikes_s: tuple[float, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.fs_hz > 0:
            raise ValueError(f"fs_hz must be positive, got {self.fs_hz}")
        array = np.array(self.mv, np.float32)
        if array.ndim != 2 or array.shape[0] != len(LEADS):
            raise ValueError(f"mv must be (12, n), got {array.shape}")
        array.setflags(write=False)
        object.__setattr__(self, "mv", array)

    @property
    def duration_s(self) -> float:
        return float(self.mv.shape[1] / self.fs_hz)


def simulate(
    rng: np.random.Generator,
    fs_hz: float = 500.0,
    duration_s: float = 10.0,
    rhythm: str | None = None,
    *,
    conditions: tuple[str, ...] | None = None,
    rate_bpm: float | None = None,
    noise: Noise | None = None,
    lowpass_hz: float | None = None,
) -> Patient:
    """A patient with the given ``rhythm``, ``conditions``, ``rate_bpm`` and ``noise``; each is drawn at random when
    None.

    Dipoles in the ventricles and atria switch on and off in turn and are seen by nine electrodes on a torso; leads are
    differences
    of electrodes, so Einthoven and Goldberger hold exactly, with the noise as well. The same ``rng`` state gives the
    same patient.
    ``lowpass_hz``: the recorder's upper cut-off (0: none). ``Noise()`` is a clean recording.
    ValueError for an unknown rhythm or condition, and for a rate outside 20 to 250 bpm.
    """
    if rhythm is not None and rhythm not in RHYTHMS:
        raise ValueError(f"rhythm must be one of {', '.join(RHYTHMS)}, got {rhythm!r}")
    unknown = set(conditions or ()) - set(CONDITIONS)
    if unknown:
        raise ValueError(f"conditions must be among {', '.join(CONDITIONS)}, got {', '.join(sorted(unknown))}")
    if rate_bpm is not None and not 20 <= rate_bpm <= 250:
        raise ValueError(f"rate_bpm must be 20 to 250, got {rate_bpm}")
    if not duration_s > 0 or not fs_hz > 0:
        raise ValueError(f"duration_s and fs_hz must be positive, got {duration_s} and {fs_hz}")

    if rhythm is None:
        chances = np.array([r[0] for r in RHYTHMS.values()])
        rhythm = str(rng.choice(list(RHYTHMS), p=chances / chances.sum()))
    conditions = _draw_conditions(rng) if conditions is None else tuple(conditions)
    rate_bpm = _draw_rate(rng, rhythm) if rate_bpm is None else float(rate_bpm)
    noise = draw_noise(rng) if noise is None else noise
    if lowpass_hz is None:
        lowpass_hz = float(rng.choice([40.0, 100.0, 150.0, 0.0], p=[0.15, 0.25, 0.5, 0.1]))

    voltage = float(rng.uniform(0.25, 0.45) if "low-voltage" in conditions else rng.lognormal(0.0, 0.2))
    torso = draw_torso(rng)
    heart = draw_heart(rng, torso, conditions, voltage, escape_wide=bool(rng.random() < 0.6))
    timeline = draw_timeline(rng, rhythm, rate_bpm, duration_s)
    qtc_s = float(rng.uniform(0.48, 0.58) if "long-qt" in conditions else np.clip(rng.normal(0.41, 0.018), 0.36, 0.455))

    n = round(duration_s * fs_hz)
    potential, beats, free_p = _draw_beats(rng, heart, timeline, qtc_s, n, fs_hz)
    potential += _atrial_activity(rng, heart, timeline, n, fs_hz)
    potential += electrode_noise(rng, noise, n, fs_hz)
    if lowpass_hz:
        potential = _lowpassed(potential, fs_hz, lowpass_hz)
    spikes = tuple(t for t in timeline.spikes_s if 0 <= t < duration_s)
    for t in spikes:
        # A spike lasts half a millisecond; recorders draw it as one or two samples.
        at = int(t * fs_hz)
        potential[:, at : at + max(1, round(fs_hz * 0.002))] += heart.spike_mv[:, None]
    meta = {
        "source": "simulated",
        "rhythm": rhythm,
        "rate_bpm": rate_bpm,
        "conditions": list(conditions),
        "qtc_s": qtc_s,
        "noise": asdict(noise),
        "lowpass_hz": lowpass_hz,
    }
    return Patient(leads_from_electrodes(potential), fs_hz, beats, rhythm, free_p, spikes, meta)


def _draw_conditions(rng: np.random.Generator) -> tuple[str, ...]:
    chosen = [name for name, chance in CONDITIONS.items() if rng.random() < chance]
    for group in _EXCLUSIVE:
        for extra in [name for name in chosen if name in group][1:]:
            chosen.remove(extra)
    return tuple(chosen)


def _draw_rate(rng: np.random.Generator, rhythm: str) -> float:
    low, high = RHYTHMS[rhythm][1]
    middle = float(np.clip(rng.normal(74, 17), low, high))
    return float(rng.uniform(low, high)) if rng.random() < 0.25 or not low < middle < high else middle


def _qt_s(qtc_s: float, rr_s: float) -> float:
    """Fridericia, Acta Med Scand 53:469 (1920)."""
    return float(qtc_s * np.clip(rr_s, 0.3, 1.8) ** (1 / 3))


def _draw_beats(
    rng: np.random.Generator, heart: Heart, timeline: Timeline, qtc_s: float, n: int, fs_hz: float
) -> tuple[NDArray[np.float64], tuple[Beat, ...], tuple[tuple[float, float], ...]]:
    """(9, n) mV of all P, QRS and T waves, and their truth."""
    out = np.zeros((9, n))
    duration_s = n / fs_hz
    breath = 2 * np.pi * rng.uniform(0.18, 0.32)
    depth, phase = rng.uniform(0.0, 0.06), rng.uniform(0, 2 * np.pi)

    def add(wave: Wave, zero_s: float, factor: float, stretch: float = 1.0) -> None:
        first = int(np.ceil((zero_s + stretch * float(np.min(wave.centre_s - 5 * wave.rise_s))) * fs_hz))
        last = int((zero_s + stretch * float(np.max(wave.centre_s + 5 * wave.fall_s))) * fs_hz) + 1
        first, last = max(first, 0), min(last, n)
        if first < last:
            out[:, first:last] += factor * wave.at((np.arange(first, last) / fs_hz - zero_s) / stretch)

    beats = []
    rr_memory = timeline.events[0].rr_s
    for event in timeline.events:
        kind = heart.beats[event.kind]
        # QT follows the rate of the last few beats, not of the last one alone.
        rr_memory += 0.35 * (event.rr_s - rr_memory)
        factor = 1 + depth * np.sin(breath * event.qrs_s + phase) + rng.normal(0, 0.008)
        widening = max(0.0, kind.qrs_bounds_s[2] - 0.11) if event.kind in ("pvc", "paced", "escape") else 0.0
        stretch = (_qt_s(qtc_s, rr_memory) + widening) / QT_UNIT_S
        has_p = not np.isnan(event.p_s)
        if has_p:
            add(kind.p, event.p_s, 1 + rng.normal(0, 0.04))
        add(kind.qrs, event.qrs_s, factor)
        add(kind.t, event.qrs_s, factor * (1 + rng.normal(0, 0.015)), stretch)
        if 0 <= event.qrs_s + kind.qrs_bounds_s[1] < duration_s:
            p_onset, _, p_end = (event.p_s + np.array(kind.p_bounds_s)) if has_p else (np.nan,) * 3
            onset, r, end = event.qrs_s + np.array(kind.qrs_bounds_s)
            _, t_peak, t_end = event.qrs_s + stretch * np.array(kind.t_bounds_s)
            beats.append(Beat(event.kind, *map(float, (p_onset, p_end, onset, r, end, t_peak, t_end))))
    normal = heart.beats["normal"]
    free = []
    for onset in timeline.free_p_s:
        add(normal.p, onset, 1.0)
        if 0 <= onset < duration_s:
            free.append((float(onset + normal.p_bounds_s[0]), float(onset + normal.p_bounds_s[2])))
    return out, tuple(beats), tuple(free)


def _atrial_activity(
    rng: np.random.Generator, heart: Heart, timeline: Timeline, n: int, fs_hz: float
) -> NDArray[np.float64]:
    """(9, n) mV of flutter or fibrillation waves."""
    if timeline.atrial == "waves":
        return np.zeros((9, n))
    t = np.arange(n) / fs_hz
    size = rng.lognormal(np.log(0.6), 0.5)
    if timeline.atrial == "flutter":
        phase = (timeline.atrial_hz * t + rng.random()) % 1.0
        saw = np.where(phase < 0.7, phase / 0.7, (1 - phase) / 0.3) - 0.5
        courses = np.stack(
            [2.2 * saw, 1.2 * np.roll(saw, int(0.1 * fs_hz / timeline.atrial_hz)), 1.5 * np.cos(2 * np.pi * phase)]
        )
    else:
        courses = np.empty((3, n))
        for k in range(3):
            drift = np.interp(t, np.arange(int(t[-1]) + 3), rng.normal(0, 0.14, int(t[-1]) + 3))
            phase = 2 * np.pi * (np.cumsum(timeline.atrial_hz * (1 + drift)) / fs_hz + rng.random())
            swell = np.interp(t, np.arange(int(t[-1]) + 3), rng.uniform(0.2, 1.0, int(t[-1]) + 3))
            courses[k] = swell * (np.sin(phase) + 0.35 * np.sin(2 * phase + rng.uniform(0, 6.28)))
    return np.asarray(size * heart.atrium.seen_mv @ courses)


def _lowpassed(potential: NDArray[np.float64], fs_hz: float, cutoff_hz: float) -> NDArray[np.float64]:
    """The recorder's filter: second-order Butterworth magnitude without phase, so that the truth of times stays."""
    n = potential.shape[1]
    pad = min(n - 1, int(fs_hz / 2))
    padded = np.pad(potential, ((0, 0), (pad, pad)), mode="reflect", reflect_type="odd") if pad else potential
    spectrum = np.fft.rfft(padded)
    f = np.fft.rfftfreq(padded.shape[1], 1 / fs_hz)
    spectrum /= np.sqrt(1 + (f / cutoff_hz) ** 4)
    return np.fft.irfft(spectrum, padded.shape[1])[:, pad : pad + n]
