"""CSV: ``time_s``, then the twelve leads in mV, an empty cell where a lead is not printed.

Times have six decimals, millivolts four (0.1 µV). A CSV has no place for provenance that would not break its readers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from ecglift.leads import LEADS
from ecglift.recording import Recording

HEADER: Final = ("time_s", *LEADS)
_DEFAULT_FS_HZ: Final = 500.0


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``. A recording without samples gives the header alone."""
    # Adding zero turns the −0.0 of rounding into 0.0.
    mv = np.round(recording.mv.astype(np.float64), 4).T + 0.0
    lines = [",".join(HEADER)]
    for time_s, row in zip(recording.time_s.tolist(), mv.tolist(), strict=True):
        lines.append(",".join([f"{time_s:.6f}", *("" if v != v else f"{v:.4f}" for v in row)]))
    return {name: ("\n".join(lines) + "\n").encode("ascii")}


def read(path: Path) -> Recording:
    """The recording in ``path``. Its confidence is NaN: a CSV does not tell. ValueError when it is not of this form.

    The leads may stand in any order, and some may be missing. The sampling rate comes from the times; with fewer than
    two rows it is taken as 500 Hz.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = [name.strip() for name in lines[0].split(",")] if lines else []
    unknown = [name for name in names if name not in HEADER]
    if not names or names[0] != "time_s" or unknown or len(set(names)) != len(names):
        raise ValueError(f"{path}: the first line must be time_s and lead names, got {','.join(names)[:80]!r}")
    rows = [line.split(",") for line in lines[1:] if line.strip()]
    if any(len(row) != len(names) for row in rows):
        raise ValueError(f"{path}: every line must have {len(names)} cells")
    try:
        cells = np.array([[float(cell) if cell.strip() else np.nan for cell in row] for row in rows], float)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    table = cells.reshape(-1, len(names))
    mv = np.full((len(LEADS), len(table)), np.nan, np.float32)
    for k, name in enumerate(names[1:], 1):
        mv[LEADS.index(name)] = table[:, k]
    confidence = np.where(np.isfinite(mv), np.nan, 0.0).astype(np.float32)
    return Recording(_rate(table[:, 0], path), mv, confidence)


def _rate(time_s: np.ndarray, path: Path) -> float:
    """Samples per second of uniform times that were rounded to µs: the whole number, if one explains every time."""
    if len(time_s) < 2:
        return _DEFAULT_FS_HZ
    steps = np.arange(len(time_s))
    span_s = time_s[-1] - time_s[0]
    if not span_s > 0:
        raise ValueError(f"{path}: time_s must grow")
    fs_hz = (len(time_s) - 1) / span_s
    for candidate in (float(round(fs_hz)), round(fs_hz, 3), fs_hz):
        if candidate > 0 and np.abs(time_s - time_s[0] - steps / candidate).max() < 1.1e-6:
            return candidate
    if np.abs(time_s - time_s[0] - steps / fs_hz).max() > 0.1 / fs_hz:
        raise ValueError(f"{path}: time_s must be uniform")
    return float(fs_hz)
