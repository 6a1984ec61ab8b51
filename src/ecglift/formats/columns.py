"""The printed columns of a recording: which leads share which stretch of time, and samples as whole microvolts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEADS
from ecglift.recording import Recording

MISSING: Final = -32768
"""Stands for a sample that was not printed or not seen, in every format with 16-bit samples that allows one."""

_SAME_COLUMN_S: Final = 0.2


@dataclass(frozen=True)
class Column:
    """Leads printed side by side in time: samples ``start`` (inclusive) to ``stop`` (exclusive) of the recording."""

    leads: tuple[str, ...]
    start: int
    stop: int


def printed_columns(recording: Recording) -> tuple[Column, ...]:
    """The columns by start, a rhythm strip (which goes on while others change) last. Each lead stands in one of them.

    Leads whose first and last samples lie within 0.2 s of each other are one column; it reaches from their first
    sample to their last. ValueError when nothing was printed.
    """
    near = _SAME_COLUMN_S * recording.fs_hz
    found: list[Column] = []
    for lead, row in zip(LEADS, recording.mv, strict=True):
        seen = np.flatnonzero(np.isfinite(row))
        if not len(seen):
            continue
        start, stop = int(seen[0]), int(seen[-1]) + 1
        for k, column in enumerate(found):
            if abs(column.start - start) <= near and abs(column.stop - stop) <= near:
                found[k] = Column((*column.leads, lead), min(column.start, start), max(column.stop, stop))
                break
        else:
            found.append(Column((lead,), start, stop))
    if not found:
        raise ValueError("recording holds no sample; there is nothing to save in this format")
    return tuple(sorted(found, key=lambda c: (is_rhythm(c, found), c.start, LEADS.index(c.leads[0]))))


def is_rhythm(column: Column, columns: tuple[Column, ...] | list[Column]) -> bool:
    """Whether ``column`` goes on while at least two others follow each other."""
    inside = [c for c in columns if c is not column and min(c.stop, column.stop) - max(c.start, column.start) > 0]
    return any(a.stop <= b.start + (a.stop - a.start) // 2 for a in inside for b in inside if a is not b)


def runs(row: NDArray[np.floating]) -> list[tuple[int, int]]:
    """(start, stop) of each unbroken stretch of finite samples of (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.isfinite(row), [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def microvolts(mv: NDArray[np.floating]) -> NDArray[np.int16]:
    """Whole µV of any shape, :data:`MISSING` where not finite. ValueError beyond ±32.767 mV, which no heart makes."""
    finite = np.isfinite(mv)
    values = np.round(np.where(finite, mv, 0.0).astype(np.float64) * 1000)
    if np.abs(values).max(initial=0.0) > 32767:
        raise ValueError(f"mv reaches {np.abs(values).max() / 1000:.1f} mV; 16-bit formats end at ±32.767 mV")
    return np.where(finite, values, MISSING).astype(np.int16)
