"""Signals to print while training: real records where there are some, simulated patients, and everything done to
both."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Signals:
    """``mv``: (n, 12, samples) float32 at ``fs_hz``; n may be 0, then every patient is simulated. ``simulated``:
    share of simulated patients."""

    mv: NDArray[np.float32]
    fs_hz: float = 500.0
    simulated: float = 0.3

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """(12, samples) mV: a record or a simulated patient, varied."""
        if not len(self.mv) or rng.random() < self.simulated:
            from ecglift.press.patients import simulate

            mv = simulate(rng, fs_hz=self.fs_hz).mv
        else:
            mv = self.mv[int(rng.integers(len(self.mv)))]
        return vary(rng, mv, self.fs_hz)


def load_signals(folder: Path | None, split: str) -> Signals:
    """The records of ``split`` that ``folder``/signals.py loads (``load(split)`` gives (n, 12, samples) mV at 500 Hz
    first); without a folder none, so that every patient is simulated."""
    if folder is None:
        return Signals(np.zeros((0, 12, 0), np.float32))
    spec = importlib.util.spec_from_file_location("signals_of_folder", folder / "signals.py")
    if spec is None or spec.loader is None or not (folder / "signals.py").exists():
        raise FileNotFoundError(f"{folder / 'signals.py'} is not there: point --signals at the folder that holds it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Signals(np.asarray(module.load(split)[0], np.float32))


def vary(rng: np.random.Generator, mv: NDArray[np.float32], fs_hz: float) -> NDArray[np.float32]:
    """The signal at another amplitude, time and heart, with wander, hum or noise: (12, samples) mV.

    The trace network reads lines, not hearts: what is drawn may be unlikely, but must be as sharp as anything real.
    """
    n = mv.shape[1]
    out = mv * np.float32(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.3:
        out = out[:, ::-1]
    if rng.random() < 0.3:
        out = -out
    if rng.random() < 0.5:
        out = np.roll(out, int(rng.integers(n)), axis=1)
    if rng.random() < 0.2:  # single leads taller than their neighbours
        out = out * np.exp(rng.normal(0, 0.4, (12, 1))).astype(np.float32)
    t = np.arange(n) / fs_hz
    if rng.random() < 0.35:
        phase = rng.uniform(0, 2 * np.pi, (12, 1))
        out = out + rng.exponential(0.12) * np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * t + phase).astype(np.float32)
    if rng.random() < 0.12:
        out = out + rng.exponential(0.03) * np.sin(2 * np.pi * float(rng.choice([50.0, 60.0])) * t).astype(np.float32)
    if rng.random() < 0.2:
        gate = (rng.random((12, 1)) < 0.5) * np.float32(rng.exponential(0.03))
        out = out + gate * rng.normal(0, 1, out.shape).astype(np.float32)
    if rng.random() < 0.15:
        out = out + pacing_spikes(rng, n, fs_hz)
    return np.ascontiguousarray(out, np.float32)


def pacing_spikes(rng: np.random.Generator, n: int, fs_hz: float) -> NDArray[np.float32]:
    """(12, n) mV of a pacemaker's spikes as recorders draw them, one or two samples wide and in each lead of another
    height: a network that has seen few takes them for separators."""
    out = np.zeros((12, n), np.float32)
    height = rng.normal(0, 1.2, (12, 1)).astype(np.float32)
    every, width = round(rng.uniform(0.5, 1.2) * fs_hz), max(1, round(rng.choice([0.002, 0.004]) * fs_hz))
    second = round(rng.uniform(0.1, 0.22) * fs_hz) if rng.random() < 0.4 else 0  # of both chambers
    for at in range(int(rng.integers(every)), n, every):
        for spike in {at, at + second}:
            out[:, spike : spike + width] = height * np.float32(rng.normal(1, 0.1))
    return out
