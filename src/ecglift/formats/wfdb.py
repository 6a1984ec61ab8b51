"""WFDB: a header ``.hea`` and samples ``.dat`` in format 16.

Little-endian 16-bit samples, interleaved by lead, 1000 units per mV around 0, −32768 for a missing sample, a 16-bit
checksum per lead. Only printed leads are written. Source and quality stand in comments, all metadata as JSON in pieces.
Header: WFDB Applications Guide, header(5); samples: signal(5).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import numpy as np

from ecglift.formats.columns import MISSING, microvolts
from ecglift.formats.metadata import described_by, metadata, metadata_json, summary
from ecglift.leads import LEAD_INDEX, LEADS, lead_name
from ecglift.recording import Recording

_JSON_MARK: Final = "ecglift-json "
_JSON_PIECE: Final = 200
"""Characters: the C library reads header lines of at most 255."""


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The ``.dat`` and ``.hea`` files for ``name`` (either suffix or none). ValueError when there is no sample.

    WFDB names know letters, digits, "_" and "-" only: others become "_" in the record's name and the ``.dat``'s.
    """
    stem = Path(name).stem if Path(name).suffix.lower() in {".hea", ".dat"} else name
    record = re.sub(r"[^A-Za-z0-9_-]", "_", stem)
    leads = recording.leads
    if not leads:
        raise ValueError("recording holds no sample; there is nothing to save as WFDB")
    rows = [LEAD_INDEX[lead] for lead in leads]
    samples = microvolts(recording.mv[rows])
    lines = [f"{record} {len(leads)} {_number(recording.fs_hz)} {samples.shape[1]}"]
    for lead, row in zip(leads, samples, strict=True):
        checksum = int(np.array(row.sum(dtype=np.int64)).astype(np.int16))
        lines.append(f"{record}.dat 16 1000(0)/mV 16 0 {row[0]} {checksum} 0 {lead}")
    lines += [f"# {key}: {_printable(text)}" for key, text in summary(recording).items()]
    confidence = metadata(recording)["confidence"].items()
    lines.append("# confidence: " + " ".join(f"{lead}={mean}" for lead, mean in confidence if mean is not None))
    text = metadata_json(recording)
    lines += [f"#{_JSON_MARK}{text[k : k + _JSON_PIECE]}" for k in range(0, len(text), _JSON_PIECE)]
    # The header comes last: where it is, its samples are.
    return {
        f"{record}.dat": samples.T.astype("<i2").tobytes(),
        f"{stem}.hea": ("\n".join(lines) + "\n").encode("ascii"),
    }


def read(path: Path) -> Recording:
    """The recording whose header or samples ``path`` names: ECG leads in one file of format 16, any gain and baseline.

    ValueError for anything else. Confidence is the mean that the header states for the lead, else NaN.
    """
    header = path.with_suffix(".hea").read_text(encoding="latin-1").splitlines()
    comments = [line[1:] for line in header if line.startswith("#")]
    lines = [line.split() for line in header if line.strip() and not line.startswith("#")]
    try:
        n_leads, fs_hz, n = int(lines[0][1]), float(re.split(r"[/(]", lines[0][2])[0]), int(lines[0][3])
        fields = lines[1 : 1 + n_leads]
        names = [lead_name(" ".join(f[8:])) for f in fields]
        scales = [_gain(f[2]) for f in fields]
        files = {f[0] for f in fields}
        layouts = {f[1] for f in fields}
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: not a WFDB header that can be read ({error})") from error
    if len(fields) != n_leads or len(files) != 1 or layouts != {"16"} or None in names or len(set(names)) != n_leads:
        raise ValueError(f"{path}: only records of ECG leads in one file of format 16 are read")
    data = path.with_name(files.pop()).read_bytes()
    if len(data) < 2 * n * n_leads:
        raise ValueError(f"{path}: {n} samples of {n_leads} leads are announced, the .dat file is shorter")
    samples = np.frombuffer(data, "<i2", n * n_leads).reshape(n, n_leads).T
    text = "".join(c[len(_JSON_MARK) :] for c in comments if c.startswith(_JSON_MARK))
    values = json.loads(text) if text else {}
    mv, confidence = np.full((len(LEADS), n), np.nan, np.float32), np.zeros((len(LEADS), n), np.float32)
    for name, row, (gain, baseline) in zip(names, samples, scales, strict=True):
        assert name is not None
        k = LEAD_INDEX[name]
        mv[k] = np.where(row == MISSING, np.nan, (row.astype(float) - baseline) / gain)
        stated = values.get("confidence", {}).get(name)
        confidence[k] = np.where(row == MISSING, 0.0, np.nan if stated is None else stated)
    return Recording(fs_hz, mv, confidence, **described_by(values))


def _gain(field: str) -> tuple[float, float]:
    """(units per mV, units at 0 mV) of a header's gain field, as in ``1000(0)/mV``."""
    match = re.fullmatch(r"([\d.eE+-]+)(?:\((-?\d+)\))?(?:/(\S+))?", field)
    if match is None or (match[3] or "mV").lower() not in {"mv", "uv"} or float(match[1]) <= 0:
        raise ValueError(f"gain {field!r} is no gain in units per mV")
    per_mv = 1000.0 if (match[3] or "mV").lower() == "uv" else 1.0
    return float(match[1]) * per_mv, float(match[2] or 0)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _printable(text: str) -> str:
    return re.sub(r"[^ -~]", "?", text)[:_JSON_PIECE]
