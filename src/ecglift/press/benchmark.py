"""The frozen benchmark: always the same pages with their truth, and the table of how well they are read.

The set "simulated" needs nothing but this package; the set "signals" prints the project's real test records, where
they are at hand.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, Points
from ecglift.kaggle import without_gaps
from ecglift.metrics import image_snr_db, score
from ecglift.paper import TEMPLATES, Layout
from ecglift.press.capture import COMPETITION_KINDS, KINDS, Capture, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.fidelity import Errors, clinical_errors, fidelity_table
from ecglift.press.patients import simulate
from ecglift.press.sets import MANIFEST, in_order, read_manifest, tracked
from ecglift.press.style import competition_style, random_style
from ecglift.press.truth import Truth, export, read_truth
from ecglift.recording import Recording

SEED: Final = 20251
VERSION: Final = 1
"""Raised whenever the pages change: numbers of different versions must not be compared."""

PAGES_PER_KIND: Final = 20
OTHER_PAGES: Final = 100
OTHER: Final = "other"
TYPES: Final[tuple[str, ...]] = (*COMPETITION_KINDS.values(), OTHER)
"""The types of page, in the table's order: the competition's layout in nine kinds of capture, then any layout in any
capture."""

Group = Literal["simulated", "signals"]
GROUPS: Final[tuple[Group, ...]] = ("simulated", "signals")

COMPETITION_FS_HZ: Final = (250.0, 256.0, 500.0, 512.0, 1000.0, 1025.0)

_DPI_200: Final = 200 / 25.4
_SCANS: Final = ("colour_scan", "bw_scan", "mould_colour", "mould_bw")
_POOR_DB: Final = 10.0
_START_S: Final = 0.1
"""A panel that begins this near to its true time is at its place."""


@dataclass(frozen=True)
class Item:
    """One page of the benchmark: number ``index`` of a type in a group."""

    group: Group
    type: str
    index: int

    @property
    def id(self) -> str:
        return f"{self.group}-{self.type}-{self.index:03d}"


def items(groups: Sequence[Group] = GROUPS, per_kind: int = PAGES_PER_KIND, others: int = OTHER_PAGES) -> list[Item]:
    """The pages of the benchmark in their order."""
    counts = dict.fromkeys(COMPETITION_KINDS.values(), per_kind) | {OTHER: others}
    return [Item(group, type_, k) for group in groups for type_, n in counts.items() for k in range(n)]


def make_item(item: Item, signal_mv: NDArray[np.float32] | None = None) -> Capture:
    """The capture of one page; ``signal_mv`` (12, n) mV at 500 Hz is printed for the group "signals"."""
    rng = np.random.default_rng([SEED, GROUPS.index(item.group), TYPES.index(item.type), item.index])
    if item.group == "signals":
        if signal_mv is None:
            raise ValueError("signal_mv must be given for pages of the group signals")
        mv, fs_hz = signal_mv, 500.0
    else:
        fs_hz = COMPETITION_FS_HZ[item.index % len(COMPETITION_FS_HZ)]
        mv = simulate(rng, fs_hz).mv
    if item.type != OTHER:
        page = compose(rng, mv, fs_hz, replace(competition_style(rng), print_hz=fs_hz, frozen=True))
        return capture(page, item.type, rng, _competition_settings(item.type, rng))
    names = list(TEMPLATES)
    # Coprime steps, so that layouts and captures meet in all combinations.
    name = names[item.index % len(names)]
    style = random_style(rng, bundled_fonts_only=True, template=name, pulses_between=0.0, worn_share=0.0)
    page = compose(rng, mv, fs_hz, replace(style, print_hz=fs_hz, frozen=True))
    kind = KINDS[(item.index * 5 + item.index // len(KINDS)) % len(KINDS)]
    turns = 0 if rng.random() < 0.8 else int(rng.integers(1, 4))
    return capture(page, kind, rng, CaptureSettings(quarter_turns=turns))


def _competition_settings(kind: str, rng: np.random.Generator) -> CaptureSettings:
    """Scales as the competition's pictures have them: 200 dpi renders, 150 to 300 dpi scans, photos of 2 to 12
    megapixels."""
    if kind == "clean":
        return CaptureSettings(px_per_mm=_DPI_200, plain=True)
    if kind in _SCANS:
        return CaptureSettings(px_per_mm=float(rng.uniform(5.9, 11.8)))
    return CaptureSettings(px_per_mm=float(rng.uniform(4.5, 9.5)))


def find_shared() -> Path | None:
    """The project's folder ``shared`` beside the working directory or the checkout, None when there is none."""
    for base in (Path.cwd(), Path(__file__).resolve().parents[3]):
        folder = base.parent / "shared"
        if (folder / "data" / "signals.py").is_file():
            return folder
    return None


def test_signals(shared: Path) -> NDArray[np.float32]:
    """The real test records, (n, 12, 5000) mV at 500 Hz."""
    spec = importlib.util.spec_from_file_location("shared_signals", shared / "data" / "signals.py")
    if spec is None or spec.loader is None:
        raise ValueError(f"shared must hold data/signals.py, got {shared}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return np.asarray(module.load("test")[0], np.float32)


def _written(job: tuple[Item, NDArray[np.float32] | None, Path]) -> dict[str, Any]:
    item, signal_mv, directory = job
    import cv2

    cv2.setNumThreads(1)
    made = make_item(item, signal_mv)
    row: dict[str, Any] = {
        "id": item.id,
        "group": item.group,
        "type": item.type,
        "kind": made.kind,
        "layout": made.page.layout.name,
        "fs_hz": made.page.fs_hz,
        "pixels_sha256": hashlib.sha256(made.image.tobytes()).hexdigest(),
    }
    row["files"] = export(made, directory, item.id)
    return row


def make_benchmark(
    directory: str | Path,
    *,
    shared: Path | None = None,
    per_kind: int = PAGES_PER_KIND,
    others: int = OTHER_PAGES,
    workers: int = 1,
    progress: bool = False,
) -> Path:
    """The manifest of the benchmark written to ``directory``: pictures and truth of every page.

    ``shared``: the folder with the real test records, for the second set; without it only simulated patients are
    printed. Fewer pages for a quick look: ``per_kind``, ``others`` (the first ones of the whole set).
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    real = test_signals(shared) if shared is not None else None
    chosen = items(GROUPS if real is not None else ("simulated",), per_kind, others)
    order = np.random.default_rng(SEED).permutation(len(real)) if real is not None else np.zeros(0, int)
    whole = {item: k for k, item in enumerate(items(("signals",)))}
    jobs = []
    for item in chosen:
        signal_mv = (
            real[order[whole.get(item, item.index) % len(order)]]
            if real is not None and item.group == "signals"
            else None
        )
        jobs.append((item, signal_mv, folder))
    manifest = folder / MANIFEST
    with manifest.open("w", encoding="utf-8") as lines:
        for row in tracked(in_order(_written, jobs, workers), len(jobs), "benchmark", progress):
            lines.write(json.dumps(row) + "\n")
            lines.flush()
    return manifest


@dataclass(frozen=True)
class PageScore:
    """How one page was read.

    ``snr_db``: the competition's score of the image (0 for a page that was not read); ``place_mm``: median and 95th
    percentile of the found map's error along the traces, but for a shift of the origin, None when no map was found;
    ``layout_right``: the layout's name and leads agree; ``names_right``: every panel's lead and polarity, too;
    ``speed_mm_s``, ``gain_mm_mv``: what is true and what was found, None where no layout was; ``starts_right``: every
    panel begins within 0.1 s of its true time, None where the names are wrong; ``told``: speed and gain are printed or
    pulsed. ``problems``: codes. ``seconds`` of wall time. ``clinical``: errors of what a physician measures, of a page
    whose names are right.
    """

    id: str
    group: str
    type: str
    kind: str
    snr_db: float
    status: str
    layout: str
    layout_found: str | None
    layout_right: bool
    names_right: bool
    speed_mm_s: tuple[float, float | None]
    gain_mm_mv: tuple[float, float | None]
    starts_right: bool | None
    told: bool
    place_mm: tuple[float, float] | None
    scale_error: float | None
    problems: tuple[str, ...]
    seconds: float
    clinical: Errors = field(default_factory=dict)


class _Place(TypedDict):
    place_mm: tuple[float, float] | None
    scale_error: float | None


def place_error(found: PageMap, px: Points, mm: Points) -> _Place:
    """How far a found map puts the pixels ``px`` (n, 2) from their true ``mm`` (n, 2), and its relative error of scale.

    The origin and quarter turns are the reader's choice, so the best of four turns and the median shift are taken out
    first.
    """
    got = found.to_mm(px)
    best: NDArray[np.float64] | None = None
    for _ in range(4):
        error = got - mm
        size = np.linalg.norm(error - np.median(error, axis=0), axis=1)
        if best is None or np.median(size) < np.median(best):
            best = size
        got = np.stack([-got[:, 1], got[:, 0]], axis=1)
    spread = [float(np.linalg.norm(p - p.mean(axis=0), axis=1).mean()) for p in (got, mm)]
    assert best is not None
    median, high = np.percentile(best, [50, 95])
    return {"place_mm": (float(median), float(high)), "scale_error": spread[0] / max(spread[1], 1e-9) - 1}


class _Verdict(TypedDict):
    layout: str
    layout_found: str | None
    layout_right: bool
    names_right: bool
    speed_mm_s: tuple[float, float | None]
    gain_mm_mv: tuple[float, float | None]
    starts_right: bool | None


def layout_verdict(found: Layout | None, true: Layout) -> _Verdict:
    """What is right of a layout that was found, as in :class:`PageScore`."""
    right = found is not None and found.names() == true.names()
    pairs = zip(found.panels if found and right else (), true.panels, strict=False)
    return {
        "layout": true.name,
        "layout_found": found.name if found else None,
        "layout_right": found is not None and found.name == true.name and found.leads == true.leads,
        "names_right": right,
        "speed_mm_s": (true.speed_mm_s, found.speed_mm_s if found else None),
        "gain_mm_mv": (true.gain_mm_mv, found.gain_mm_mv if found else None),
        "starts_right": all(abs(a.start_s - b.start_s) < _START_S for a, b in pairs) if right else None,
    }


Digitize = Callable[[Path, float], Recording]
"""A function of a picture's path and a sampling rate in Hz that reads the picture."""


@dataclass(frozen=True)
class _Read:
    recording: Recording
    layout: Layout | None = None
    map: PageMap | None = None


def _by_pipeline(path: Path, truth: Truth, oracle: bool) -> _Read:
    from ecglift.pipeline import Digitizer, Run
    from ecglift.settings import Settings
    from ecglift.source import open_pages

    digitizer = Digitizer(Settings(fs_hz=truth.fs_hz))
    page = next(iter(open_pages(path)))
    fresh = Run(page.name, digitizer.settings, page)
    run = digitizer.go_on(_given(fresh, truth)) if oracle else digitizer.read(page)
    return _Read(run.recording, run.layout, run.grid.map if run.grid else None)


def _given(run: Any, truth: Truth) -> Any:
    """A run to which the true map and layout were told."""
    from ecglift.press.warp import inverse, seen_box_mm
    from ecglift.stages.grid import Grid
    from ecglift.stages.layout import SheetReading
    from ecglift.stages.orient import Orientation

    height, width = run.page.image.shape[:2]
    page_width, page_height = truth.values["page_mm"]
    bounds = seen_box_mm(inverse(truth.map, (height, width), 32), page_width, page_height, margin_mm=0.0)
    x, y = truth.map.px_per_mm(np.array([(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2]))
    grid = Grid(truth.map, "lines", (float(x), float(y)), bounds, bounds, "given", 1.0)
    layout = replace(truth.layout, speed_how="given", gain_how="given")
    return replace(run, orientation=Orientation(0.0, 1.0), grid=grid, reading=SheetReading(layout, told=True))


def _scored(job: tuple[dict[str, Any], Path, Digitize | None, bool]) -> PageScore:
    row, directory, digitize, oracle = job
    import cv2

    cv2.setNumThreads(1)
    truth = read_truth(directory, row["files"])
    path = directory / row["files"]["image"]
    began = time.perf_counter()
    read = _by_pipeline(path, truth, oracle) if digitize is None else _Read(digitize(path, truth.fs_hz))
    seconds = time.perf_counter() - began
    recording = read.recording
    place: _Place = {"place_mm": None, "scale_error": None}
    if read.map is not None:
        with np.load(directory / row["files"]["signals"]) as arrays:
            px, mm = arrays["line_px"], arrays["line_mm"]
        inside = (px >= 0).all(axis=1) & (px <= [truth.values["width_px"] - 1, truth.values["height_px"] - 1]).all(
            axis=1
        )
        step = max(int(inside.sum()) // 2000, 1)
        if inside.any():
            place = place_error(read.map, px[inside][::step], mm[inside][::step])
    verdict = layout_verdict(read.layout, truth.layout)
    measured = len(recording) and (verdict["names_right"] or read.layout is None)
    return PageScore(
        row["id"],
        row["group"],
        row["type"],
        row["kind"],
        round(image_snr_db(truth.mv, without_gaps(recording), truth.fs_hz), 4) if len(recording) else 0.0,
        recording.status,
        **verdict,
        told=bool(truth.values["page"].get("speed_printed")) or truth.values["page"].get("pulse", "none") != "none",
        **place,
        problems=tuple(problem.code for problem in recording.problems),
        seconds=round(seconds, 3),
        clinical=clinical_errors(truth.mv, recording) if measured else {},
    )


def run_benchmark(
    directory: str | Path,
    *,
    digitize: Digitize | None = None,
    oracle: bool = False,
    types: Sequence[str] = TYPES,
    groups: Sequence[str] = GROUPS,
    per_type: int | None = None,
    resume: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> list[PageScore]:
    """The scores of the benchmark's pages in ``directory``, also written there: to ``results.jsonl`` page by page as
    they come, and the table to ``results.md`` at the end.

    ``digitize``: another reader than this package's pipeline (importable, when there are several ``workers``).
    ``oracle``: the pipeline is told the true map and layout and reads the rest; its files are ``results-oracle.*``.
    ``per_type``: only the first pages of each type. ``resume``: pages that ``results.jsonl`` has are not read again.
    """
    if oracle and digitize is not None:
        raise ValueError("oracle is for the package's own pipeline; leave digitize out")
    if unknown := sorted(set(types) - set(TYPES)):
        raise ValueError(f"type must be one of {', '.join(TYPES)}, got {unknown[0]}")
    folder = Path(directory)
    stem = "results-oracle" if oracle else "results"
    stored = folder / f"{stem}.jsonl"
    known = {s.id: s for s in read_scores(stored)} if resume and stored.exists() else {}
    seen: dict[tuple[str, str], int] = {}
    chosen, jobs = [], []
    for row in read_manifest(folder):
        key = row["group"], row["type"]
        seen[key] = seen.get(key, 0) + 1
        if row["type"] in types and row["group"] in groups and (per_type is None or seen[key] <= per_type):
            chosen.append(row["id"])
            if row["id"] not in known:
                jobs.append((row, folder, digitize, oracle))
    with stored.open("w", encoding="utf-8") as lines:
        for kept in known.values():
            lines.write(json.dumps(asdict(kept)) + "\n")
        for fresh in tracked(in_order(_scored, jobs, workers), len(jobs), "reading", progress):
            known[fresh.id] = fresh
            lines.write(json.dumps(asdict(fresh)) + "\n")
            lines.flush()
    scores = [known[id_] for id_ in chosen]
    (folder / f"{stem}.md").write_text(f"{table(scores)}\n{clinical_table(scores)}", encoding="utf-8")
    return scores


def read_scores(path: str | Path) -> list[PageScore]:
    """The scores that :func:`run_benchmark` stored; a last line that was cut off is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    for row in rows:
        row["problems"] = tuple(row["problems"])
        row["place_mm"] = None if row["place_mm"] is None else tuple(row["place_mm"])
        row["speed_mm_s"], row["gain_mm_mv"] = tuple(row["speed_mm_s"]), tuple(row["gain_mm_mv"])
        row["clinical"] = {name: tuple(errors) for name, errors in row.get("clinical", {}).items()}
    return [PageScore(**row) for row in rows]


_COLUMNS: Final = (
    "pages",
    "n",
    "mean dB",
    "median",
    "worst",
    "< 10 dB",
    "failed",
    "official",
    "place mm (median, 95 %)",
    "layout right",
    "names",
    "speed, gain",
    "starts",
    "s a page",
)
_HEAD: Final = f"| {' | '.join(_COLUMNS)} |\n|---|{'---:|' * (len(_COLUMNS) - 1)}\n"


def table(scores: Sequence[PageScore]) -> str:
    """The scores as a Markdown table: one row for each group and type, then each group's nine competition types
    together, then all."""
    return _HEAD + "".join(_row(name, pages) for name, pages in _by_type(scores).items())


def clinical_table(scores: Sequence[PageScore]) -> str:
    """What a physician would measure, in the rows of :func:`table`: see :mod:`ecglift.press.fidelity`."""
    return fidelity_table({name: [page.clinical for page in pages] for name, pages in _by_type(scores).items()})


def _by_type(scores: Sequence[PageScore]) -> dict[str, list[PageScore]]:
    rows: dict[str, list[PageScore]] = {}
    for group in [g for g in GROUPS if any(s.group == g for s in scores)]:
        mine = [s for s in scores if s.group == group]
        rows |= {f"{group}: {t}": [s for s in mine if s.type == t] for t in TYPES if any(s.type == t for s in mine)}
        competition = [s for s in mine if s.type != OTHER]
        if competition:
            rows[f"**{group}: competition's layout**"] = competition
    return rows


def readers() -> str:
    """The versions of the package and of its networks, a line of Markdown to stand under a table."""
    from ecglift import __version__
    from ecglift.models.runtime import versions

    networks = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"\nRead by ecglift {__version__} with the networks {networks}.\n"


def _row(name: str, scores: Sequence[PageScore]) -> str:
    summary = score(10 ** (s.snr_db / 10) for s in scores)
    poor = sum(s.snr_db < _POOR_DB for s in scores) / len(scores)
    failed = sum(s.status == "failed" for s in scores)
    places = np.array([s.place_mm for s in scores if s.place_mm is not None]).reshape(-1, 2)
    place = f"{np.median(places[:, 0]):.3f}, {np.percentile(places[:, 1], 95):.2f}" if len(places) else "–"
    read = [s for s in scores if s.layout_found]
    speeds = [s.speed_mm_s for s in read if s.told]
    gains = [s.gain_mm_mv for s in read if s.told]
    cells: Iterable[str] = (
        name,
        str(len(scores)),
        f"{summary.mean_db:.2f}",
        f"{summary.median_db:.2f}",
        f"{summary.worst_db:.2f}",
        f"{poor:.0%}",
        str(failed),
        f"{summary.official_db:.2f}",
        place,
        _share([s.layout_right for s in scores] if read else []),
        _share([s.names_right for s in scores] if read else []),
        f"{_share([a == b for a, b in speeds])}, {_share([a == b for a, b in gains])}",
        _share([bool(s.starts_right) for s in read if s.names_right]),
        f"{np.mean([s.seconds for s in scores]):.2f}",
    )
    return "| " + " | ".join(cells) + " |\n"


def _share(right: Sequence[bool]) -> str:
    return f"{sum(right) / len(right):.0%}" if right else "–"


def write_into(document: str | Path, markdown: str, marker: str) -> None:
    """Put ``markdown`` between the lines ``<!-- marker -->`` and ``<!-- /marker -->`` of a document, or at its end
    with such lines."""
    path = Path(document)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    start, stop = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    block = f"{start}\n{markdown.rstrip()}\n{stop}"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(stop), re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: block, text, count=1)
    else:
        text = (text.rstrip() + "\n\n" if text.strip() else "") + block + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
