"""Recordings that the formats' tests save: made of waves whose every sample is known."""

from __future__ import annotations

import numpy as np

from ecglift.leads import LEADS
from ecglift.problem import Problem
from ecglift.recording import Recording, Segment

COLUMNS = (("I", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))


def wave(lead: str, n: int, fs_hz: float) -> np.ndarray:
    """(n,) mV, different in every lead, with a tall stroke each second."""
    t = np.arange(n) / fs_hz
    k = LEADS.index(lead)
    stroke = np.exp(-0.5 * (((t + 0.05 * k) % 1 - 0.4) / 0.012) ** 2)
    return 0.3 * np.sin(2 * np.pi * (1 + 0.1 * k) * t) + (1.5 + 0.1 * k) * stroke


def sheet(fs_hz: float = 500.0, n: int | None = None, rhythms: tuple[str, ...] = ("II",)) -> Recording:
    """A 3×4 page: each column a quarter of the time, the ``rhythms`` all of it, a gap of 60 samples in V2."""
    n = int(10 * fs_hz) if n is None else n
    mv = np.full((12, n), np.nan)
    segments = []
    for column, leads in enumerate(COLUMNS):
        start, stop = n * column // 4, n * (column + 1) // 4
        for lead in leads:
            if lead not in rhythms:
                mv[LEADS.index(lead), start:stop] = wave(lead, n, fs_hz)[start:stop]
                segments.append(Segment(lead, start, stop, leads.index(lead), column))
    for row, lead in enumerate(rhythms):
        mv[LEADS.index(lead)] = wave(lead, n, fs_hz)
        segments.append(Segment(lead, 0, n, 3 + row, 0, True))
    gap = slice(5 * n // 8, 5 * n // 8 + 60)
    if "V2" not in rhythms:
        mv[LEADS.index("V2"), gap] = np.nan
    confidence = np.where(np.isfinite(mv), 0.9, 0.0)
    return Recording(
        fs_hz,
        mv,
        confidence,
        tuple(segments),
        "partial",
        (Problem("gain-assumed", "layout", "No gain is printed; 10 mm/mV -- the usual one -- is assumed."),),
        {"einthoven_db": -31.5, "goldberger_db": float("nan")},
        {"source": "Prüfung 1.png", "sha256": "ab" * 32, "page": 1, "settings": {"fs_hz": fs_hz}},
    )


def covered(recording: Recording, lead: str) -> tuple[int, int]:
    """First printed sample of ``lead`` and the one after its last."""
    seen = np.flatnonzero(np.isfinite(recording[lead]))
    return int(seen[0]), int(seen[-1]) + 1
