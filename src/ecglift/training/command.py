"""What the training commands share: their options, their signals, their workers' random numbers."""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecglift.training.signals import Signals, load_signals


def parser_for(description: str | None, recipe: Any) -> argparse.ArgumentParser:
    """Options for where signals lie and results go, and one for every field of ``recipe``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=Path, help="folder with signals.py; without it all patients are simulated")
    parser.add_argument("--out", type=Path, required=True)
    for name, value in asdict(recipe).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    return parser


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Options for how many processes print pages and how many threads train."""
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="torch threads, 0: torch's choice")


def add_start(parser: argparse.ArgumentParser) -> None:
    """The option to go on from an earlier training."""
    parser.add_argument("--start", type=Path, help="checkpoint.pt or the shipped ONNX file to go on from")


def recipe_of(kind: type[Any], args: argparse.Namespace) -> Any:
    """The recipe of class ``kind`` that was asked for; torch is given as many threads as were."""
    if getattr(args, "threads", 0):
        torch.set_num_threads(args.threads)
    return kind(**{name: getattr(args, name) for name in asdict(kind())})


def signals_of(args: argparse.Namespace) -> tuple[Signals, Signals]:
    """Signals to train on and signals held out; none where all patients are simulated."""
    return load_signals(args.signals, "train"), load_signals(args.signals, "val")


def worker_rng(seed: int) -> np.random.Generator:
    """Random numbers of a loader's worker, which it shares with no other and no earlier one; the process is kept to
    one thread."""
    import cv2

    info = torch.utils.data.get_worker_info()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return np.random.default_rng([seed, info.id if info else 0, time.time_ns() % 2**32])


def rate_at(done: float, rate: float, warmup: float) -> float:
    """The learning rate when ``done`` (0 to 1) of the time is over: a short rise, then a cosine to zero."""
    return rate * min(1.0, done / warmup + 0.05) * 0.5 * (1 + math.cos(math.pi * done))
