"""Scores of files: predictions paired with the truth, image by image, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEADS
from ecglift.metrics import Score, image_snr, lead_errors, physionet_2024_db, score, to_db

RECORDING_SUFFIXES: Final = (".csv", ".npz", ".hea")
LONGEST_LEAD_S: Final = 10.0
"""A competition file holds no sampling rate; its longest lead, the rhythm strip, lasts ten seconds."""


@dataclass(frozen=True)
class ImageScore:
    """One image: the competition's and PhysioNet 2024's score in dB; over its leads mean correlation and RMSE in µV."""

    name: str
    snr: float
    snr_db: float
    physionet_2024_db: float
    correlation: float
    rmse_uv: float


@dataclass(frozen=True)
class ScoreTable:
    """The scores of all images, of their mean, and the names of those for which there is no prediction."""

    images: tuple[ImageScore, ...]
    score: Score
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        width = max(len("image"), *(len(image.name) for image in self.images))
        lines = [f"{'image':<{width}}  {'SNR dB':>7}  {'PhysioNet 2024 dB':>17}  {'correlation':>11}  {'RMSE µV':>8}"]
        lines += [
            f"{i.name:<{width}}  {i.snr_db:7.2f}  {i.physionet_2024_db:17.2f}  {i.correlation:11.4f}  {i.rmse_uv:8.1f}"
            for i in self.images
        ]
        s = self.score
        lines.append(
            f"{len(self.images)} images: official score {s.official_db:.2f} dB; of the images' own dB: "
            f"mean {s.mean_db:.2f}, median {s.median_db:.2f}, worst {s.worst_db:.2f}"
        )
        return "\n".join(lines)


def score_files(predicted: Path, truth: Path) -> ScoreTable:
    """The table of ``predicted`` against ``truth``: two recordings, two folders of them, or two competition files.

    ValueError when the two are not of the same kind or hold nothing to score. An image without a prediction scores as
    zeros, as it does in the competition.
    """
    if predicted.is_dir() != truth.is_dir():
        raise ValueError(f"{predicted} and {truth}: either both are folders, or both are files")
    truths = dict(_signals(truth))
    if not truths:
        raise ValueError(f"{truth} holds no recording to score against ({', '.join(RECORDING_SUFFIXES)})")
    predictions = dict(_signals(predicted))
    if set(truths) == {truth.stem} and set(predictions) == {predicted.stem}:  # a pair, whatever their names
        predictions = {truth.stem: predictions[predicted.stem]}
    images = tuple(_score(name, truths[name], predictions.get(name)) for name in sorted(truths))
    return ScoreTable(images, score(image.snr for image in images), tuple(sorted(set(truths) - set(predictions))))


Timed = tuple[dict[str, NDArray[np.float64]], float]
"""Leads (n,) mV by name, and their samples per second."""


def _signals(path: Path) -> Iterator[tuple[str, Timed]]:
    """Everything that a file or folder holds, by name."""
    if path.is_dir():
        for file in sorted(p for p in path.iterdir() if p.suffix.lower() in RECORDING_SUFFIXES):
            yield file.stem, _recording(file)
    elif path.suffix.lower() == ".parquet" or _is_competition_csv(path):
        yield from _competition_file(path)
    else:
        yield path.stem, _recording(path)


def _is_competition_csv(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix.lower() == ".csv" and file.readline().strip().replace(b'"', b"") == b"id,value"


def _recording(path: Path) -> Timed:
    from ecglift import formats

    recording = formats.load(path)
    return dict(zip(LEADS, recording.mv.astype(float), strict=True)), recording.fs_hz


def _competition_file(path: Path) -> Iterator[tuple[str, Timed]]:
    """The images of a competition file: rows ``{id}_{sample}_{lead},value`` in any order."""
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise ValueError("reading a Parquet file needs pyarrow: pip install 'ecglift[parquet]'") from error
        table = pq.read_table(path, columns=["id", "value"])
        rows: Iterable[tuple[str, Any]] = zip(table["id"].to_pylist(), table["value"].to_pylist(), strict=True)
    else:
        with path.open(encoding="utf-8") as file:
            lines = file.read().splitlines()[1:]
        cells = (line.rpartition(",") for line in lines if line)
        rows = ((key, value) for key, _, value in cells)
    leads: dict[str, dict[str, dict[int, float]]] = {}
    for key, value in rows:
        try:
            image, sample, lead = key.strip('"').rsplit("_", 2)
            leads.setdefault(image, {}).setdefault(lead, {})[int(sample)] = float(value)
        except ValueError as error:
            raise ValueError(f"{path}: {key!r}, {value!r} is no row of a competition file ({error})") from error
    for image, samples in leads.items():
        signals = {lead: _in_order(values) for lead, values in samples.items()}
        yield image, (signals, max(map(len, signals.values())) / LONGEST_LEAD_S)


def _in_order(values: dict[int, float]) -> NDArray[np.float64]:
    out = np.full(max(values) + 1, np.nan)
    out[list(values)] = list(values.values())
    return out


def _score(name: str, truth: Timed, prediction: Timed | None) -> ImageScore:
    y, fs_hz = truth
    p = _resampled(prediction, fs_hz) if prediction else {}
    p = {lead: p.get(lead, np.full(len(values), np.nan)) for lead, values in y.items()}
    snr = image_snr(y, p, fs_hz)
    physionet = physionet_2024_db(y, p, fs_hz)
    errors = lead_errors(y, p, fs_hz)
    return ImageScore(
        name,
        snr,
        to_db(snr),
        float(np.mean(list(physionet.values()))),
        float(np.mean([e.correlation for e in errors.values()])),
        float(np.mean([e.rmse_uv for e in errors.values()])),
    )


def _resampled(signals: Timed, fs_hz: float) -> dict[str, NDArray[np.float64]]:
    """The leads at ``fs_hz``; linear between samples, for predictions at another rate than the truth's."""
    leads, own_hz = signals
    if own_hz == fs_hz:
        return leads
    out = {}
    for lead, values in leads.items():
        time_s = np.arange(round(len(values) * fs_hz / own_hz)) / fs_hz
        out[lead] = np.interp(time_s, np.arange(len(values)) / own_hz, values)
    return out
