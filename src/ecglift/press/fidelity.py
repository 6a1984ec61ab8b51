"""What a physician measures, on the printed truth and on what was read: the benchmark's second table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.intervals import compare_intervals, measure, summarized
from ecglift.metrics import lead_errors
from ecglift.recording import Recording

Errors = Mapping[str, tuple[float | None, ...]]
"""Digitized less truth by quantity, one value a page or one a lead or a beat; None: missed."""

QUANTITIES: Final[Mapping[str, tuple[str, str, int]]] = {
    "heart_rate_bpm": ("heart rate", "bpm", 1),
    "pr_ms": ("PR", "ms", 0),
    "qrs_ms": ("QRS", "ms", 0),
    "qt_ms": ("QT", "ms", 0),
    "st_uv": ("ST level", "µV", 0),
    "r_uv": ("R amplitude", "µV", 0),
    "r_peak_ms": ("R peak", "ms", 1),
    "gain_percent": ("gain", "%", 1),
}
"""Title, unit and decimals of each column. R peaks: after the competition's alignment of the lead; gain: of the whole
lead by least squares, to which its QRS complexes say most."""


def clinical_errors(truth_mv: NDArray[np.floating], recording: Recording) -> Errors:
    """The errors of ``recording`` against ``truth_mv`` (12, n) mV at the same rate, NaN where not printed."""
    fs_hz, read_mv = recording.fs_hz, recording.mv
    # The same delineator measures both, on the same samples: what was not read is missing from neither's beats alone.
    compared = compare_intervals(measure(truth_mv, fs_hz), measure(read_mv, fs_hz))
    errors = {name: _plain(compared[name]) for name in QUANTITIES if name in compared}
    leads = lead_errors(truth_mv, read_mv, fs_hz).values()
    peaks = [e for lead in leads for e in (*lead.r_peak_ms, *[np.nan] * lead.r_peaks_missed)]
    gains = [100 * lead.gain_error for lead in leads]
    return errors | {"r_peak_ms": _plain(peaks), "gain_percent": _plain(gains)}


def _plain(values: Sequence[float] | NDArray[np.floating]) -> tuple[float | None, ...]:
    return tuple(round(float(v), 3) if np.isfinite(v) else None for v in values)


def fidelity_table(pages: Mapping[str, Sequence[Errors]]) -> str:
    """Markdown: a row for each name of ``pages``; median and 95th percentile of each quantity's absolute error, then
    its median error with its sign, and the share that could be measured on the truth only."""
    heads = ["pages", *(f"{title} {unit}" for title, unit, _ in QUANTITIES.values())]
    rows = [f"| {' | '.join(heads)} |\n|---|{'---:|' * len(QUANTITIES)}\n"]
    for name, errors in pages.items():
        cells = [_cell([e for page in errors for e in page.get(key, ())], n) for key, (_, _, n) in QUANTITIES.items()]
        rows.append(f"| {name} | {' | '.join(cells)} |\n")
    return "".join(rows)


def _cell(values: Sequence[float | None], decimals: int) -> str:
    found = summarized(np.array([np.nan if v is None else v for v in values]))
    if not found.n:
        return "–"
    missed = found.missed / len(values)
    said = f"{found.median:.{decimals}f}, {found.p95:.{decimals}f} ({found.bias:+.{decimals}f})"
    return f"{said}, {missed:.0%} missed" if missed >= 0.005 else said
