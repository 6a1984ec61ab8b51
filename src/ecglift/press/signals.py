"""Real signals for the press: arrays and WFDB folders become patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEAD_INDEX, LEADS, lead_name, limb_leads_from
from ecglift.press.patients import Patient


def patient_from_array(
    mv: NDArray[Any], fs_hz: float, leads: Sequence[str] = LEADS, *, meta: dict[str, Any] | None = None
) -> Patient:
    """A patient with the signals ``mv`` (k, n) mV of ``leads`` (k names in any usual spelling), at ``fs_hz``.

    Limb leads that are missing are computed when I and II are there, or I and III; what stays missing is NaN.
    ValueError when a name is no lead, stands twice, or when shapes do not fit.
    """
    mv = np.asarray(mv)
    if mv.ndim != 2 or len(mv) != len(leads):
        raise ValueError(f"mv must be ({len(leads)}, n) for {len(leads)} leads, got {mv.shape}")
    out = np.full((len(LEADS), mv.shape[1]), np.nan)
    seen = set[str]()
    for text, row in zip(leads, mv, strict=True):
        name = lead_name(text)
        if name is None or name in seen:
            raise ValueError(f"leads must be different names of {', '.join(LEADS)}; got {text!r}")
        seen.add(name)
        out[LEAD_INDEX[name]] = row
    if "II" not in seen and {"I", "III"} <= seen:
        out[1] = out[0] + out[2]
        seen.add("II")
    if {"I", "II"} <= seen:
        computed = limb_leads_from(out[0], out[1])
        for k, name in enumerate(LEADS[:6]):
            if name not in seen:
                out[k] = computed[k]
    return Patient(out.astype(np.float32), float(fs_hz), meta={"source": "array", **(meta or {})})


def patients_from_folder(folder: str | Path) -> Iterator[Patient]:
    """Every WFDB record with at least one ECG lead under ``folder``, in the order of their paths."""
    for header in sorted(Path(folder).rglob("*.hea")):
        patient = read_wfdb(header)
        if np.isfinite(patient.mv).any():
            yield patient


def read_wfdb(header: str | Path) -> Patient:
    """The patient of one WFDB record, given its header file (``.hea``, the suffix may be left out).

    Formats 16, 24, 32, 61, 80 and 212 (https://wfdb.io/spec/signal_files.html); channels that are no ECG lead are left
    out.
    ValueError, with the file's name, for other formats, several segments or samples that are cut short.
    """
    header = Path(header).with_suffix(".hea")
    lines = [line.strip() for line in header.read_text("utf-8", "replace").splitlines()]
    comments = [line[1:].strip() for line in lines if line.startswith("#")]
    lines = [line for line in lines if line and not line.startswith("#")]
    record = lines[0].split()
    if "/" in record[0]:
        raise ValueError(f"{header}: records of several segments are not read")
    n_channels = int(record[1])
    fs_hz = float(record[2].split("/")[0].split("(")[0]) if len(record) > 2 else 250.0
    n_samples = int(record[3]) if len(record) > 3 else 0
    channels = [_Channel(line) for line in lines[1 : 1 + n_channels]]

    rows: list[NDArray[np.float64]] = []
    names: list[str] = []
    for file in dict.fromkeys(c.file for c in channels):
        here = [c for c in channels if c.file == file]
        if len({c.format for c in here}) > 1:
            raise ValueError(f"{header}: {file} mixes formats")
        samples, missing = _samples(header.parent / file, here[0].format, here[0].skip_bytes)
        n = n_samples or len(samples) // len(here)
        if len(samples) < n * len(here):
            raise ValueError(
                f"{header}: {file} holds {len(samples) // len(here)} of {n} samples; the copy is incomplete"
            )
        for k, channel in enumerate(here):
            name = lead_name(channel.name)
            if name is None or name in names:
                continue
            digital = samples[k : n * len(here) : len(here)].astype(float)
            names.append(name)
            rows.append(np.where(digital == missing, np.nan, (digital - channel.baseline) / channel.per_mv))
    mv = np.stack(rows) if rows else np.zeros((0, n_samples))
    return patient_from_array(mv, fs_hz, names, meta={"source": str(header), "comments": comments})


class _Channel:
    """A signal line of a header: file, format, gain, baseline, name."""

    def __init__(self, line: str) -> None:
        fields = line.split(maxsplit=8)
        self.file = fields[0]
        head = fields[1].split("+")
        self.skip_bytes = int(head[1]) if len(head) > 1 else 0
        self.format = int(head[0].split("x")[0].split(":")[0])
        gain = fields[2] if len(fields) > 2 else "200"
        unit = gain.split("/")[1] if "/" in gain else "mV"
        gain = gain.split("/")[0]
        zero = int(fields[4]) if len(fields) > 4 else 0
        self.baseline = int(gain.split("(")[1].rstrip(")")) if "(" in gain else zero
        per_unit = float(gain.split("(")[0]) or 200.0
        self.per_mv = per_unit * {"uv": 1000.0, "nv": 1e6, "v": 1e-3}.get(unit.lower(), 1.0)
        self.name = fields[8].strip() if len(fields) > 8 else ""


def _samples(file: Path, wfdb_format: int, skip_bytes: int) -> tuple[NDArray[np.int64], int]:
    """(samples in the file's order, the value that means "missing")."""
    raw = np.frombuffer(file.read_bytes()[skip_bytes:], np.uint8)
    if wfdb_format in (16, 61):
        return raw[: len(raw) // 2 * 2].view("<i2" if wfdb_format == 16 else ">i2").astype(np.int64), -(2**15)
    if wfdb_format == 32:
        return raw[: len(raw) // 4 * 4].view("<i4").astype(np.int64), -(2**31)
    if wfdb_format == 80:
        return raw.astype(np.int64) - 128, -128
    if wfdb_format == 24:
        b = raw[: len(raw) // 3 * 3].reshape(-1, 3).astype(np.int64)
        return _signed(b[:, 0] | b[:, 1] << 8 | b[:, 2] << 16, 24), -(2**23)
    if wfdb_format == 212:
        b = np.pad(raw, (0, -len(raw) % 3)).reshape(-1, 3).astype(np.int64)
        pairs = np.stack([b[:, 0] | (b[:, 1] & 0x0F) << 8, b[:, 2] | (b[:, 1] & 0xF0) << 4], axis=1)
        return _signed(pairs.reshape(-1)[: len(raw) * 8 // 12], 12), -(2**11)
    raise ValueError(f"{file}: WFDB format {wfdb_format} is not read; convert the record to format 16")


def _signed(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    return values - ((values >> (bits - 1)) << bits)
