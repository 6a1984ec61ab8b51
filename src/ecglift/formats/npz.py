"""NPZ: ``time_s`` (n,), ``mv`` (12, n) with NaN, ``confidence`` (12, n), ``leads``, ``fs_hz``, ``metadata`` (JSON)."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from ecglift.formats.metadata import described_by, metadata_json
from ecglift.leads import LEADS
from ecglift.recording import Recording


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``; it holds everything that the recording does."""
    out = io.BytesIO()
    np.savez_compressed(
        out,
        time_s=recording.time_s,
        mv=recording.mv,
        confidence=recording.confidence,
        leads=np.array(LEADS),
        fs_hz=np.float64(recording.fs_hz),
        metadata=np.array(metadata_json(recording)),
    )
    return {name: out.getvalue()}


def read(path: Path) -> Recording:
    """The recording in ``path``. ValueError when the file is not of this form; nothing in it is ever run."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("mv", "confidence", "leads", "fs_hz", "metadata")}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: not an NPZ of this package ({error})") from error
    if arrays["leads"].tolist() != list(LEADS):
        raise ValueError(f"{path}: leads must be {', '.join(LEADS)}")
    values = json.loads(str(arrays["metadata"]))
    return Recording(float(arrays["fs_hz"]), arrays["mv"], arrays["confidence"], **described_by(values))
