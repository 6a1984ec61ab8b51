"""Processes that print pages and keep what was seen of each in a file, until their time is over."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecglift.training.signals import Signals, load_signals

Make = Callable[[np.random.Generator, Signals], Mapping[str, NDArray[Any]] | None]
"""One page's arrays by name, None where it is of no use; a function that other processes can import, or a partial of
one."""


def collect(make: Make, minutes: float, seed: int, folder_of_signals: Path | None, folder: Path, workers: int) -> int:
    """Pages that ``workers`` processes made within ``minutes``, a .npz file each in ``folder``; signals are those to
    train on in ``folder_of_signals``, none where all patients are simulated."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(number, make, minutes, seed, folder_of_signals, folder) for number in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.map(_work, jobs))


def held_out(path: Path, every: int) -> bool:
    """Whether the page in ``path`` is the one of ``every`` that is not trained on: the same ones whenever more are
    added."""
    return int(path.stem.split("-")[-1]) % every == 0


def _work(job: tuple[int, Make, float, int, Path | None, Path]) -> int:
    number, make, minutes, seed, folder_of_signals, folder = job
    import cv2

    cv2.setNumThreads(1)
    signals = load_signals(folder_of_signals, "train")
    rng = np.random.default_rng([seed, number, time.time_ns() % 2**32])
    begun, written = time.monotonic(), 0
    while (time.monotonic() - begun) / 60 < minutes:
        arrays = make(rng, signals)
        if arrays is not None:
            np.savez(folder / f"{number}-{time.time_ns()}.npz", **arrays)  # type: ignore[arg-type]
            written += 1
    return written
