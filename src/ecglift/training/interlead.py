"""Measure what leads say of each other within QRS complexes: the numbers of :mod:`ecglift.interlead`.

    python -m ecglift.training.interlead --signals ../shared/data

It prints them, 8 by 8, for I, II and V1 to V6; a minute on one core, without torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ecglift.interlead import ZERO_S, complexes
from ecglift.leads import CHEST_LEADS, LEAD_INDEX
from ecglift.training.signals import Signals, load_signals

Floats = NDArray[np.float64]

_INDEPENDENT: Final = [LEAD_INDEX[name] for name in ("I", "II", *CHEST_LEADS)]
_RATE_HZ: Final = 250.0
_SECONDS: Final = 8.0


def within_complexes(mv: Floats, rate_hz: float) -> Floats:
    """(12, samples within QRS complexes) mV of a record ``mv`` (12, n), from the running median of each lead."""
    high = mv - median_filter(mv, (1, round(ZERO_S * rate_hz) | 1))
    return np.asarray(high[:, complexes(high, rate_hz)])


def measure(signals: Signals) -> Floats:
    """(8, 8): mean products over all records, of each record by its own mean square over the twelve leads."""
    step = round(signals.fs_hz / _RATE_HZ)
    total, n = np.zeros((8, 8)), 0
    for record in signals.mv:
        mv = np.asarray(record[:, : round(_SECONDS * signals.fs_hz) : step], float)
        within = within_complexes(mv, signals.fs_hz / step) if np.isfinite(mv).all() else np.zeros((12, 0))
        square = float((within**2).mean()) if within.size else 0.0
        if square > 0:
            chosen = within[_INDEPENDENT]
            total += chosen @ chosen.T / chosen.shape[1] / square
            n += 1
    return total / max(n, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=Path, required=True, help="folder with signals.py")
    for row in measure(load_signals(parser.parse_args().signals, "train")):
        print("[" + ", ".join(f"{value:.2f}" for value in row) + "],")


if __name__ == "__main__":
    main()
