"""The file that the competition "PhysioNet – Digitization of ECG Images" takes: a value for every row of its list."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.batch import SUFFIXES, in_order
from ecglift.leads import LEAD_INDEX, lead_name
from ecglift.pipeline import digitize
from ecglift.recording import Recording
from ecglift.settings import Settings

COLUMNS: Final = ("id", "lead", "fs", "number_of_rows")
_LINES_PER_GROUP: Final = 240


@dataclass(frozen=True)
class Wanted:
    """A line of the list: ``n`` samples of ``lead`` (as the list spells it) of the image ``id`` at ``fs_hz``."""

    id: str
    lead: str
    fs_hz: float
    n: int


@dataclass(frozen=True)
class Answer:
    """What one image gave: a signal (n,) mV without gaps for every line, and what is wrong with it, "" when nothing is.

    ``read``: False when the image could not be read and all its values are zero.
    """

    id: str
    signals: Mapping[Wanted, NDArray[np.float64]]
    read: bool
    message: str = ""


def read_list(path: Path) -> tuple[Wanted, ...]:
    """The lines of the competition's ``test.csv`` in order. ValueError names the line that cannot be understood."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}; it must have {', '.join(COLUMNS)}")
        lines = [_wanted(path, number, row) for number, row in enumerate(rows, start=2)]
    if not lines:
        raise ValueError(f"{path} asks for nothing: there is no line below its head")
    return tuple(lines)


def _wanted(path: Path, number: int, row: Mapping[str, str | None]) -> Wanted:
    values = [(row[name] or "").strip() for name in COLUMNS]
    try:
        wanted = Wanted(values[0], values[1], float(values[2]), int(float(values[3])))
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from error
    if not wanted.id or lead_name(wanted.lead) is None or not wanted.fs_hz > 0 or wanted.n < 0:
        raise ValueError(f"{path}, line {number}: not an id, a lead, a sampling rate and a number of rows: {values}")
    return wanted


def answers(lines: Sequence[Wanted], folder: Path, settings: Settings, processes: int = 1) -> Iterator[Answer]:
    """One answer for every image that ``lines`` name, as they come, each image read once.

    ``folder`` holds an image for every id, of any kind: ``<id>.png``. Its absence is an unread image.
    """
    by_id = sorted(lines, key=lambda line: line.id)
    images = [tuple(group) for _, group in groupby(by_id, key=lambda line: line.id)]
    files = {path.stem: path for path in sorted(folder.iterdir(), reverse=True) if path.suffix.lower() in SUFFIXES}
    jobs = [(image, files.get(image[0].id)) for image in images]
    return in_order(partial(_answer, settings=settings), jobs, processes, _lost)


def n_images(lines: Iterable[Wanted]) -> int:
    """How many images the lines name."""
    return len({line.id for line in lines})


def _answer(job: tuple[tuple[Wanted, ...], Path | None], settings: Settings) -> Answer:
    image, path = job
    if path is None:
        return _zeros(image, f"there is no image {image[0].id}.* in the folder")
    # Read at the wanted rate, the samples need no second resampling.
    recording = digitize(path, **vars(replace(settings, fs_hz=max(line.fs_hz for line in image))))
    if recording.status == "failed":
        return _zeros(image, "; ".join(str(problem) for problem in recording.problems))
    unseen = sorted({line.lead for line in image if lead_name(line.lead) not in recording.leads})
    message = f"leads {', '.join(unseen)} were not found" if unseen else ""
    return Answer(image[0].id, {line: window(recording, line) for line in image}, True, message)


def _lost(job: tuple[tuple[Wanted, ...], Path | None], reason: str) -> Answer:
    return _zeros(job[0], reason)


def _zeros(image: tuple[Wanted, ...], message: str) -> Answer:
    return Answer(image[0].id, {line: np.zeros(line.n) for line in image}, False, message)


def window(recording: Recording, line: Wanted) -> NDArray[np.float64]:
    """(n,) mV, no NaN: the printed piece of the lead whose length fits the line best, from its start.

    A lead printed short and as a rhythm strip has two pieces; the number of rows says which is meant. Gaps are
    interpolated; a lead that was not seen is zero.
    """
    name = lead_name(line.lead)
    pieces = [segment for segment in recording.segments if segment.lead == name]
    if name is None or not pieces or not line.n:
        return np.zeros(line.n)
    duration_s = line.n / line.fs_hz
    piece = min(pieces, key=lambda p: abs((p.stop - p.start) / recording.fs_hz - duration_s))
    values = recording.mv[LEAD_INDEX[name], piece.start : piece.stop].astype(float)
    if not np.isfinite(values).any():
        return np.zeros(line.n)
    return _interpolated(values, np.arange(line.n, dtype=float) * (recording.fs_hz / line.fs_hz))


def _interpolated(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values`` (n,), of which at least one was seen, at fractional samples ``at``: gaps bridged, ends held."""
    seen = np.flatnonzero(np.isfinite(values))
    return np.asarray(np.interp(at, seen, values[seen]))


def without_gaps(recording: Recording) -> NDArray[np.float64]:
    """(12, n) mV as they are submitted: in every printed piece, what was not seen is interpolated, its ends held.

    NaN stays where nothing is printed, and in leads of which nothing was seen.
    """
    mv = recording.mv.astype(float)
    for piece in recording.segments:
        values = mv[LEAD_INDEX[piece.lead], piece.start : piece.stop]
        if np.isfinite(values).any():
            values[:] = _interpolated(values, np.arange(len(values), dtype=float))
    return mv


def write_submission(path: Path, lines: Sequence[Wanted], given: Iterable[Answer]) -> tuple[Answer, ...]:
    """The answers of images that were not read. Every line's rows are written, in the list's order.

    ``path`` ends in .csv or .parquet; the latter needs pyarrow (``pip install ecglift[parquet]``).
    """
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise ValueError(f"a submission is a .csv or .parquet file, got {path.name!r}")
    if path.suffix.lower() == ".parquet":
        _require_pyarrow()
    signals: dict[Wanted, NDArray[np.float32]] = {}
    unread = []
    for answer in given:
        signals |= {line: signal.astype(np.float32) for line, signal in answer.signals.items()}
        if not answer.read:
            unread.append(answer)
    path.parent.mkdir(parents=True, exist_ok=True)
    (_write_csv if path.suffix.lower() == ".csv" else _write_parquet)(path, lines, signals)
    return tuple(unread)


def _write_csv(path: Path, lines: Sequence[Wanted], signals: Mapping[Wanted, NDArray[np.float32]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,value\n")
        for line in lines:
            rows = enumerate(signals[line].tolist())
            file.writelines(f"{line.id}_{sample}_{line.lead},{value:.5f}\n" for sample, value in rows)


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError("a Parquet file needs pyarrow: pip install 'ecglift[parquet]', or write a .csv") from error


def _write_parquet(path: Path, lines: Sequence[Wanted], signals: Mapping[Wanted, NDArray[np.float32]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("value", pa.float64())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, len(lines), _LINES_PER_GROUP):
            group = lines[first : first + _LINES_PER_GROUP]
            ids = [f"{line.id}_{sample}_{line.lead}" for line in group for sample in range(line.n)]
            values = np.concatenate([signals[line] for line in group]).astype(np.float64)
            writer.write_table(pa.table({"id": ids, "value": values}, schema))
