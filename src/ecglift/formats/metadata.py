"""What every format tells about a recording beside its samples."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

import ecglift
from ecglift.leads import LEADS
from ecglift.problem import Problem
from ecglift.recording import Recording, Segment


def metadata(recording: Recording) -> dict[str, Any]:
    """Plain JSON values: software, status, problems, quality, segments, provenance, mean confidence per lead.

    Numbers that are not finite become None.
    """
    confidence = {
        lead: round(float(row[np.isfinite(mv)].mean()), 4)
        for lead, row, mv in zip(LEADS, recording.confidence, recording.mv, strict=True)
        if np.isfinite(mv).any()
    }
    values = {
        "software": software(),
        "fs_hz": recording.fs_hz,
        "status": recording.status,
        "problems": [p.to_dict() for p in recording.problems],
        "quality": recording.quality,
        "confidence": confidence,
        "segments": [asdict(s) for s in recording.segments],
        "provenance": recording.provenance,
    }
    plain: dict[str, Any] = _plain(values)
    return plain


def metadata_json(recording: Recording) -> str:
    """:func:`metadata` as one line of ASCII."""
    return json.dumps(metadata(recording), separators=(",", ":"), allow_nan=False)


def described_by(values: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of :class:`Recording` that ``values`` from :func:`metadata` stand for."""
    return {
        "segments": tuple(Segment(**s) for s in values.get("segments", ())),
        "status": values.get("status", "ok"),
        "problems": tuple(Problem(**p) for p in values.get("problems", ())),
        "quality": {k: math.nan if v is None else float(v) for k, v in values.get("quality", {}).items()},
        "provenance": dict(values.get("provenance", {})),
    }


def software() -> str:
    """Name and version of this package."""
    return f"ecglift {ecglift.__version__}"


def summary(recording: Recording) -> dict[str, str]:
    """The few lines that a person wants to see: software, source, page, hash, status, problems; none of them empty."""
    provenance = recording.provenance
    lines = {
        "software": software(),
        "source": str(provenance.get("source", "")),
        "page": str(provenance.get("page", "")),
        "sha256": str(provenance.get("sha256", "")),
        "status": recording.status,
        "problems": ", ".join(p.code for p in recording.problems),
    }
    return {key: text for key, text in lines.items() if text}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
