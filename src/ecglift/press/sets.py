"""Sets of captures: one sample at a time for training, or files with a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np

from ecglift.paper import TEMPLATES
from ecglift.press.capture import KINDS, Capture, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.patients import Patient, simulate
from ecglift.press.style import competition_style, random_style
from ecglift.press.truth import LAYERS, export

MANIFEST: Final = "manifest.jsonl"


@dataclass(frozen=True)
class SetPlan:
    """What a set is made of.

    ``seed``: sample k depends on (seed, k) only, so sets can be made in parts and in parallel. ``kinds``: captures,
    all equally often. ``layout``: "competition", "random", "mixed" (half and half), or a name of
    :data:`ecglift.paper.TEMPLATES`. ``patients``: signals to print, drawn at random; simulated ones when empty.
    ``bundled_fonts_only``: the same on every machine.
    """

    seed: int = 0
    kinds: tuple[str, ...] = KINDS
    layout: str = "mixed"
    patients: tuple[Patient, ...] = ()
    settings: CaptureSettings = field(default_factory=CaptureSettings.usual)
    bundled_fonts_only: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - set(KINDS)
        if unknown or not self.kinds:
            raise ValueError(f"kinds must be among {', '.join(KINDS)}, got {', '.join(sorted(unknown)) or 'none'}")
        if self.layout not in {"competition", "random", "mixed", *TEMPLATES}:
            raise ValueError(f"layout must be competition, random, mixed or a template's name, got {self.layout!r}")


def sample(plan: SetPlan, index: int) -> Capture:
    """Sample ``index`` of a plan: the same on every call and every machine with the same fonts."""
    rng = np.random.default_rng([plan.seed, index])
    patient = plan.patients[int(rng.integers(len(plan.patients)))] if plan.patients else simulate(rng)
    competition = plan.layout == "competition" or (plan.layout == "mixed" and rng.random() < 0.5)
    if competition:
        style = competition_style(rng)
    else:
        template = plan.layout if plan.layout in TEMPLATES else None
        style = random_style(rng, bundled_fonts_only=plan.bundled_fonts_only, template=template)
    page = compose(rng, patient.mv, patient.fs_hz, style)
    return capture(page, plan.kinds[index % len(plan.kinds)], rng, plan.settings)


def samples(plan: SetPlan, start: int = 0, step: int = 1) -> Iterator[Capture]:
    """Samples ``start``, ``start + step``, … without end: worker k of n takes (k, n)."""
    index = start
    while True:
        yield sample(plan, index)
        index += step


def _written(job: tuple[SetPlan, int, Path, tuple[str, ...], bool, str]) -> dict[str, Any]:
    plan, index, directory, layers, wfdb, image_format = job
    import cv2

    cv2.setNumThreads(1)
    made = sample(plan, index)
    stem = f"{index:06d}-{made.kind}"
    row: dict[str, Any] = {"id": stem, "kind": made.kind, "layout": made.page.layout.name, "fs_hz": made.page.fs_hz}
    row["files"] = export(made, directory, stem, image_format=image_format, layers=layers)
    if wfdb:
        row["files"]["wfdb"] = _write_wfdb(made, directory, stem)
    return row


def _write_wfdb(made: Capture, directory: Path, stem: str) -> str:
    from ecglift.formats import save
    from ecglift.recording import Recording

    mv = made.page.printed_mv()
    seen = np.isfinite(mv).astype(np.float32)
    save(Recording(made.page.fs_hz, mv, seen), directory / f"{stem}.hea")
    return f"{stem}.hea"


def make_set(
    directory: str | Path,
    n: int,
    plan: SetPlan | None = None,
    *,
    layers: Sequence[str] = (),
    wfdb: bool = False,
    image_format: str = "auto",
    workers: int = 1,
    progress: bool = False,
) -> Path:
    """The manifest of ``n`` captures written to ``directory``: pictures, truth, masks of ``layers``, WFDB records if
    asked for.

    One JSON object a line: id, kind, layout, fs_hz and the files' names. ``workers``: processes. ``progress``: a bar
    on stderr.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if set(layers) - set(LAYERS):
        raise ValueError(f"layers must be among {', '.join(LAYERS)}")
    plan = plan or SetPlan()
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(plan, index, folder, tuple(layers), wfdb, image_format) for index in range(n)]
    manifest = folder / MANIFEST
    with manifest.open("w", encoding="utf-8") as lines:
        for row in tracked(in_order(_written, jobs, workers), n, "pages", progress):
            lines.write(json.dumps(row) + "\n")
    return manifest


def in_order(work: Any, jobs: Sequence[Any], workers: int) -> Iterator[Any]:
    """Results of ``work`` on every job in their order, here or in ``workers`` processes."""
    if workers <= 1:
        yield from map(work, jobs)
        return
    # "spawn": OpenCV's and ONNX's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, jobs)


def tracked(results: Iterator[Any], total: int, what: str, progress: bool) -> Iterator[Any]:
    """The same results with a progress bar and the time left on stderr when ``progress`` and stderr is a terminal."""
    if not progress:
        yield from results
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(results, what, total, console=Console(stderr=True))


def read_manifest(directory: str | Path) -> list[dict[str, Any]]:
    """The rows of a set's manifest."""
    text = (Path(directory) / MANIFEST).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]
