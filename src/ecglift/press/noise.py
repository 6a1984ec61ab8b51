"""What electrodes add to the heart's signal: wander, mains hum, muscle, contact noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Noise:
    """Sizes (rms per electrode, mV) of what disturbs a recording; every one is 0 in a clean one.

    ``wander_mv``: baseline wander below 0.6 Hz; ``hum_mv`` at ``mains_hz``; ``muscle_mv``: EMG of 20 to 150 Hz, in
    bursts;
    ``contact_mv``: white noise; ``jerks``: sudden steps of one electrode in the recording.
    """

    wander_mv: float = 0.0
    hum_mv: float = 0.0
    mains_hz: float = 50.0
    muscle_mv: float = 0.0
    contact_mv: float = 0.0
    jerks: int = 0


def draw_noise(rng: np.random.Generator) -> Noise:
    """Noise as on ordinary recordings: mostly little of it, now and then much."""

    def sometimes(chance: float, median: float, spread: float) -> float:
        return float(rng.lognormal(np.log(median), spread)) if rng.random() < chance else 0.0

    return Noise(
        wander_mv=min(sometimes(0.75, 0.03, 0.8), 0.4),
        hum_mv=min(sometimes(0.3, 0.005, 0.7), 0.04),
        mains_hz=float(rng.choice([50.0, 60.0])),
        muscle_mv=min(sometimes(0.65, 0.005, 0.8), 0.04),
        contact_mv=min(sometimes(0.95, 0.0035, 0.6), 0.02),
        jerks=int(rng.random() < 0.04),
    )


def electrode_noise(
    rng: np.random.Generator, noise: Noise, n: int, fs_hz: float, electrodes: int = 9
) -> NDArray[np.float64]:
    """(electrodes, n) mV of disturbance, each electrode with its own share."""
    t = np.arange(n) / fs_hz
    out = np.zeros((electrodes, n))
    if noise.wander_mv:
        breath = rng.uniform(0.15, 0.35)
        f = np.concatenate([[breath, 2 * breath], rng.uniform(0.03, 0.6, 4)])
        phase, size = (
            rng.uniform(0, 2 * np.pi, (electrodes, 6)),
            rng.normal(0, 1, (electrodes, 6)) * np.array([1, 0.3, 0.7, 0.7, 0.5, 0.4]),
        )
        # Breathing is common to all electrodes but for its size.
        phase[:, :2] = phase[:1, :2]
        waves = np.sin(2 * np.pi * f[:, None] * t)
        quarter = np.cos(2 * np.pi * f[:, None] * t)
        out += noise.wander_mv * ((size * np.cos(phase)) @ waves + (size * np.sin(phase)) @ quarter)
    if noise.hum_mv:
        size = noise.hum_mv * np.sqrt(2) * rng.lognormal(0, 0.6, electrodes)
        turn, harmonic = rng.uniform(0, 2 * np.pi, electrodes), rng.uniform(0, 0.3)
        for k, part in ((1, 1.0), (3, harmonic)):
            if k * noise.mains_hz < fs_hz / 2:
                w = 2 * np.pi * noise.mains_hz * k * t
                out += part * (
                    (size * np.cos(k * turn))[:, None] * np.sin(w) + (size * np.sin(k * turn))[:, None] * np.cos(w)
                )
    if noise.muscle_mv:
        spectrum = np.fft.rfft(rng.standard_normal((electrodes, n)))
        f = np.fft.rfftfreq(n, 1 / fs_hz)
        spectrum *= np.where(f < 20, f / 20, 1.0) / np.sqrt(1 + (f / 70) ** 4)
        muscle = np.fft.irfft(spectrum, n)
        nodes = rng.lognormal(0, 0.7, (electrodes, max(int(n / fs_hz), 1) + 2))
        burst = np.stack([np.interp(t, np.arange(nodes.shape[1]), row) for row in nodes])
        share = rng.lognormal(0, 0.5, (electrodes, 1)) * np.where(np.arange(electrodes) < 3, 1.2, 0.7)[:, None]
        out += noise.muscle_mv * share * burst * muscle / max(float(muscle.std()), 1e-9)
    if noise.contact_mv:
        out += noise.contact_mv * rng.standard_normal((electrodes, n))
    for _ in range(noise.jerks):
        at, electrode = rng.uniform(0, n / fs_hz), int(rng.integers(electrodes))
        height = rng.normal(0, 0.35)
        out[electrode] += (
            height
            * np.exp(-np.maximum(t - at, 0) / rng.uniform(0.3, 1.5))
            / (1 + np.exp(-np.clip((t - at) / 0.01, -60, 60)))
        )
    return out
