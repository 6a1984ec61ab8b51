"""What leaves: one small writer per format, and this registry from name or suffix to writer.

Every writer turns a recording into the bytes of its files, keeps samples that were not printed missing, and carries
where the recording comes from as far as its format allows. What each format may and must hold stands in its module.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ecglift.recording import Recording


@dataclass(frozen=True)
class Format:
    """A file format: its name, its suffixes (usual one first), what it is, the extra it needs, if it is read back."""

    name: str
    suffixes: tuple[str, ...]
    title: str
    extra: str = ""
    readable: bool = False

    def module(self) -> Any:
        """The writer: ``encode(recording, file_name)`` gives {name: bytes}, the main file last; some ``read(path)``."""
        return import_module(f"ecglift.formats.{self.name}")


_FORMATS: Final[dict[str, Format]] = {
    f.name: f
    for f in (
        Format("csv", (".csv",), "CSV: time_s and twelve leads in mV", readable=True),
        Format("npz", (".npz",), "NumPy archive with confidence and metadata", readable=True),
        Format("wfdb", (".hea", ".dat"), "WFDB record, format 16", readable=True),
        Format("dicom", (".dcm", ".dicom"), "DICOM ECG waveform", extra="dicom"),
        Format("aecg", (".xml",), "HL7 annotated ECG"),
        Format("fhir", (".json",), "FHIR R4 Observation"),
        Format("edf", (".edf",), "EDF+", extra="edf"),
    )
}


def formats() -> dict[str, Format]:
    """Every format by name."""
    return dict(_FORMATS)


def writers() -> dict[str, Format]:
    """Every format by its usual suffix: ".csv", ".npz", ".hea", …"""
    return {f.suffixes[0]: f for f in _FORMATS.values()}


def format_of(path: str | Path, name: str | None = None) -> Format:
    """The format called ``name`` or, without one, that ``path``'s suffix stands for. ValueError when there is none."""
    known = ", ".join(f"{f.name} ({f.suffixes[0]})" for f in _FORMATS.values())
    if name is not None:
        if name.lower() not in _FORMATS:
            raise ValueError(f"format {name!r} is unknown; formats are {known}")
        return _FORMATS[name.lower()]
    suffix = Path(path).suffix.lower()
    for candidate in _FORMATS.values():
        if suffix in candidate.suffixes:
            return candidate
    raise ValueError(f"path {str(path)!r}: no format has the suffix {suffix!r}; formats are {known}")


def save(recording: Recording, path: str | Path, format: str | None = None) -> Path:
    """The file to open: ``recording`` written to ``path``, in the format that the suffix, or ``format``, names.

    Each file appears whole or not at all. A WFDB record is two files side by side; either suffix may be given, and the
    header is the one to open.
    Raises ValueError for an unknown format or a recording that it cannot hold, ModuleNotFoundError, naming the extra to
    install, and OSError.
    """
    from ecglift.formats.atomic import write_whole

    path, chosen = Path(path), format_of(path, format)
    try:
        files: dict[str, bytes] = chosen.module().encode(recording, path.name)
    except ModuleNotFoundError as error:
        if not chosen.extra:
            raise
        message = f"{chosen.title} needs the package {error.name}: pip install 'ecglift[{chosen.extra}]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    for name, content in files.items():
        path = path.with_name(name)
        write_whole(path, content)
    return path


def load(path: str | Path) -> Recording:
    """The recording in a CSV, NPZ or WFDB file that this package wrote (WFDB: also others' with these leads).

    CSV says nothing of confidence: it is NaN where a sample is there. ValueError when the file is not in its format.
    """
    chosen = format_of(path)
    if not chosen.readable:
        readable = ", ".join(f.suffixes[0] for f in _FORMATS.values() if f.readable)
        raise ValueError(f"path {str(path)!r}: {chosen.title} is written only; {readable} are read back")
    recording: Recording = chosen.module().read(Path(path))
    return recording
