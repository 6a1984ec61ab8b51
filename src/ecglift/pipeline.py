"""The driver: a page goes down the line of stages, and every stage's result stays to be looked at."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ecglift import __version__
from ecglift.leads import LEADS
from ecglift.paper import TEMPLATES
from ecglift.problem import Problem, Severity, StageError, Status, status_of
from ecglift.recording import Recording
from ecglift.settings import Settings

if TYPE_CHECKING:
    from ecglift.geometry import PageMap
    from ecglift.paper import Layout
    from ecglift.sheet import Sheet, Trace
    from ecglift.source import Source, SourcePage
    from ecglift.stages.check import Checks
    from ecglift.stages.grid import Grid
    from ecglift.stages.layout import SheetReading
    from ecglift.stages.names import Names
    from ecglift.stages.orient import Orientation
    from ecglift.stages.tempo import Tempo

Road = Literal["raster", "vector"]

_STAYS_UNREAD: Final = frozenset({"leads-not-standard"})
"""What the paths of a vector page say for certain, so that its picture would only be misread."""

_CONTRADICTED: Final = 3
"""So many of the limb leads' relations must fail for an arrangement to be read as another one."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What every stage found on one page, as far as the page could be read; None where the line did not come.

    ``source``: the name of what was opened. ``placed``: the reading's layout, its columns where the traces' lines begin
    and end. ``road``: from the page's pixels, or from the paths of a vector PDF.
    ``notes``: problems that belong to no result: a failure, a road not taken. ``timings_s``: seconds per stage.
    :attr:`recording` is the answer and is always there.
    """

    source: str
    settings: Settings
    page: SourcePage | None = None
    road: Road = "raster"
    orientation: Orientation | None = None
    grid: Grid | None = None
    sheet: Sheet | None = None
    reading: SheetReading | None = None
    placed: Layout | None = None
    traces: tuple[Trace, ...] | None = None
    names: Names | None = None
    tempo: Tempo | None = None
    signal: Recording | None = None
    checks: Checks | None = None
    corrected: Recording | None = None
    notes: tuple[Problem, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def layout(self) -> Layout | None:
        """What is printed where and at what scales, as the last stage that has a say in it says."""
        if (latest := self.tempo or self.names) is not None:
            return latest.layout
        return self.placed or (self.reading.layout if self.reading else None)

    @property
    def page_map(self) -> PageMap | None:
        """The map to the page's pixels from the upright sheet's millimetres, in which layout and traces stand."""
        from ecglift.reading.turn import turn_map

        if self.grid is None:
            return None
        return turn_map(self.grid.map, self.reading.quarter_turns if self.reading else 0)

    @property
    def grid_mm(self) -> tuple[float, float, float, float] | None:
        """Where the grid was seen on the upright sheet: x0, y0, x1, y1."""
        from ecglift.reading.turn import turn_bounds

        if self.grid is None:
            return None
        return turn_bounds(self.grid.grid_mm, self.reading.quarter_turns if self.reading else 0)

    @property
    def rotation_deg(self) -> float | None:
        """How far the upright sheet is turned in the picture, clockwise as seen, −180 to 180; None without a grid."""
        page_map, grid = self.page_map, self.grid
        if page_map is None or grid is None:
            return None
        # The middle of the picture's sheet turns with the sheet; where exactly matters little for an angle.
        middle = page_map.to_mm(grid.map.to_px(np.array(grid.bounds_mm).reshape(2, 2).mean(axis=0)))
        x, y = page_map.to_px(middle + [1.0, 0.0]) - page_map.to_px(middle)
        return float(np.degrees(np.arctan2(y, x)))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every stage's problems in the order of the line, each once, then the notes."""
        results = (getattr(self, f.name) for f in fields(self))
        found = (problem for result in results for problem in getattr(result, "problems", ()))
        return tuple(dict.fromkeys((*found, *self.notes)))

    @property
    def status(self) -> Status:
        return "failed" if self.signal is None else status_of(self.problems)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the recording comes from, in plain JSON values."""
        from ecglift.models.runtime import versions

        out: dict[str, Any] = {"ecglift": __version__, "models": versions(), "settings": self.settings.to_dict()}
        if not self.settings.deidentify:
            out["source"] = Path(self.source).name
        if self.page is not None:
            out |= {"sha256": self.page.sha256, "page": self.page.index + 1, "road": self.road}
        if (layout := self.layout) is not None:
            out |= {
                "layout": layout.name,
                "speed_mm_s": layout.speed_mm_s,
                "speed_how": layout.speed_how,
                "gain_mm_mv": layout.gain_mm_mv,
                "gain_how": layout.gain_how,
            }
        return out

    @cached_property
    def recording(self) -> Recording:
        """Twelve leads with this run's status, problems and provenance; empty when the page could not be read."""
        found = (self.corrected, self.signal, Recording.empty(self.settings.fs_hz))
        best = next(recording for recording in found if recording is not None)
        provenance = best.provenance | self.provenance
        return replace(best, status=self.status, problems=self.problems, provenance=provenance)

    def failed(self, problem: Problem) -> Run:
        """This run, stopped by ``problem``."""
        return replace(self, notes=(*self.notes, problem))

    def to_dict(self) -> dict[str, Any]:
        """The page's answer without its samples, in plain JSON values."""
        layout, grid, recording, rotation_deg = self.layout, self.grid, self.recording, self.rotation_deg
        confidence = {
            name: round(float(row[row > 0].mean()), 4)
            for name, row in zip(LEADS, recording.confidence, strict=True)
            if np.any(row > 0)
        }
        return {
            "source": self.source,
            "page": self.page.index + 1 if self.page else None,
            "status": self.status,
            "problems": [problem.to_dict() for problem in self.problems],
            "layout": layout.name if layout else None,
            "leads": list(recording.leads),
            "fs_hz": recording.fs_hz,
            "duration_s": round(recording.duration_s, 4),
            "speed_mm_s": layout.speed_mm_s if layout else None,
            "speed_how": layout.speed_how if layout else None,
            "gain_mm_mv": layout.gain_mm_mv if layout else None,
            "gain_how": layout.gain_how if layout else None,
            "px_per_mm": [round(float(value), 4) for value in grid.px_per_mm] if grid else None,
            "scale_how": grid.how if grid else None,
            "rotation_deg": None if rotation_deg is None else round(rotation_deg, 3),
            "confidence": confidence,
            "quality": recording.quality,
            "timings_s": {stage: round(seconds, 4) for stage, seconds in self.timings_s.items()},
            "models": recording.provenance["models"],
            "ecglift": __version__,
        }


class Step(NamedTuple):
    """One place on the line: the stage's name, its work, the fields of a run that it takes and those that it fills.

    A step that fills several gives them as a tuple.
    """

    stage: str
    work: Callable[..., Any]
    takes: tuple[str, ...]
    fills: tuple[str, ...]

    def results(self, run: Run) -> dict[str, Any]:
        """What the work gives for ``run``, by field."""
        result = self.work(run.settings, *(getattr(run, name) for name in self.takes))
        return dict(zip(self.fills, result if len(self.fills) > 1 else (result,), strict=True))


def _orient(settings: Settings, page: SourcePage) -> Orientation:
    from ecglift.stages.orient import find_orientation

    return find_orientation(page.image)


def _grid(settings: Settings, page: SourcePage, orientation: Orientation) -> Grid:
    from ecglift.stages.grid import GridSettings, find_grid

    try:
        seen = find_grid(page.image, GridSettings(settings.px_per_mm, page.dpi), orientation)
    except StageError as error:
        if error.problem.code != "grid-not-found":
            raise
        told = _grid_from_print(settings, page)
        if told is None:
            raise
        return told
    if seen.how != "grid" or seen.confidence >= _CLEAR_GRID:
        return seen
    # Specks that a threshold has left of a grid may look like another one: the print must not contradict it.
    told = _grid_from_print(settings, page)
    if told is None or told.confidence < _SURE_PRINT:
        return seen
    return told if np.abs(np.log(np.divide(told.px_per_mm, seen.px_per_mm))).max() > _OTHER_SCALE else seen


_CLEAR_GRID: Final = 0.75
_SURE_PRINT: Final = 0.45
_OTHER_SCALE: Final = 0.05
"""A grid that is less clear than the first gives way to a scale of the print that is as sure as the second, which it is
where nearly all names are read and pulses agree, if it is another by more than the third, in e-folds."""


def _grid_from_print(settings: Settings, page: SourcePage) -> Grid | None:
    """The grid that is not to be seen, where lead names, columns and pulses say how large it was, else None."""
    from ecglift.reading.straight import RowSeen, rows_seen, widened
    from ecglift.reading.turn import turn_sheet
    from ecglift.stages.grid import Grid
    from ecglift.stages.gridless import Box, Marks, find_scale
    from ecglift.stages.layout import LayoutSettings, find_layout
    from ecglift.stages.rectify import rectify
    from ecglift.stages.trace import TraceSettings, read_rows

    told = LayoutSettings(settings.layout, settings.speed_mm_s, settings.gain_mm_mv, as_measured=True)

    def read(page_map: PageMap, bounds: Box) -> Marks:
        sheet = rectify(page.image, page_map, bounds)
        reading = find_layout(sheet, told)
        layout, turns = reading.layout, reading.quarter_turns
        named = sum(p.confidence > 0.5 for p in layout.panels) / len(layout.panels)
        unread = "leads-unread" in {p.code for p in reading.problems}

        @cache
        def rows() -> tuple[RowSeen, ...]:
            return rows_seen(layout, read_rows(turn_sheet(sheet, turns), widened(layout), TraceSettings()))

        return Marks(layout, reading.pulses, 0.0 if unread else named, reading.bars, rows, turns)

    try:
        printed = find_scale(page.image, read)
    except StageError:
        return None
    across, down = (float(v) for v in printed.map.px_per_mm(np.array([0.0, 0.0])))
    off, remedy = ("a per cent", "set px_per_mm if you know it")
    if printed.aside:
        off, remedy = ("several per cent", "the sheet is seen from the side: take the photo from above, or scan it")
    message = (
        f"No grid was found; columns and pulses say {across:.2f} px/mm. Times and amplitudes may be off by {off}; "
        f"{remedy}."
    )
    problem = Problem("scale-from-layout", "grid", message)
    confidence = 0.5 * printed.merit
    return Grid(printed.map, "none", (across, down), printed.bounds, printed.bounds, "layout", confidence, (problem,))


def _rectify(settings: Settings, page: SourcePage, grid: Grid) -> Sheet:
    from ecglift.stages.rectify import rectify

    return rectify(page.image, grid.map, grid.bounds_mm)


def _layout(settings: Settings, grid: Grid, sheet: Sheet) -> SheetReading:
    from ecglift.reading.surroundings import without_surroundings
    from ecglift.reading.turn import turn_sheet
    from ecglift.stages.direction import upright_log_odds
    from ecglift.stages.layout import LayoutSettings, find_layout
    from ecglift.stages.trace import TraceSettings, read_rows

    clean = without_surroundings(sheet, grid.grid_mm if grid.how == "grid" else None)
    told = LayoutSettings(settings.layout, settings.speed_mm_s, settings.gain_mm_mv)
    reading = find_layout(clean, told)
    if reading.upright_log_odds is None:
        return reading
    # No names say which side is up; the lines do.
    reads = read_rows(turn_sheet(sheet, reading.quarter_turns), reading.layout, TraceSettings())
    if reading.upright_log_odds + upright_log_odds(reading.layout, reads) >= 0:
        return reading
    try:
        return find_layout(clean, replace(told, quarter_turns=(reading.quarter_turns + 2) % 4))
    except StageError:
        return reading


def _trace(settings: Settings, sheet: Sheet, reading: SheetReading) -> tuple[Layout, tuple[Trace, ...]]:
    from ecglift.reading.joints import at_bars
    from ecglift.reading.turn import turn_sheet
    from ecglift.stages.alignment import aligned
    from ecglift.stages.ends import placed
    from ecglift.stages.trace import TraceSettings, read_rows, trace_rows

    upright, told = turn_sheet(sheet, reading.quarter_turns), TraceSettings(flip=settings.flip)
    reads = read_rows(upright, reading.layout, told)
    layout = reading.layout
    if not reading.told:
        layout = aligned(placed(layout, reads, reading.pulses), reads, settings.fs_hz, reading.pulses)
        layout = at_bars(layout, reading.bars, reads)
    return layout, trace_rows(upright, layout, told, reads)


def _names(settings: Settings, reading: SheetReading, layout: Layout, traces: tuple[Trace, ...]) -> Names:
    from ecglift.stages.names import Names, find_names
    from ecglift.stages.starts import find_starts

    if reading.told:
        return Names(layout)
    problems: tuple[Problem, ...] = ()
    if reading.together_log_odds is not None:
        layout, problems = find_starts(layout, traces, reading.together_log_odds)
    names = find_names(layout, traces, keep_order=settings.layout is not None)
    return replace(names, problems=(*problems, *names.problems))


def _tempo(settings: Settings, reading: SheetReading, names: Names, traces: tuple[Trace, ...]) -> Tempo:
    from ecglift.stages.heights import doubts
    from ecglift.stages.tempo import find_tempo

    tempo = find_tempo(names.layout, traces, reading.speed_log_odds)
    return replace(tempo, problems=(*tempo.problems, *doubts(tempo.layout, traces)))


def _signal(settings: Settings, tempo: Tempo, traces: tuple[Trace, ...]) -> Recording:
    from ecglift.stages.signal import to_recording

    return to_recording(tempo.layout, traces, settings.fs_hz)


def _check(settings: Settings, tempo: Tempo, signal: Recording) -> Checks:
    from ecglift.stages.check import check

    return check(signal, tempo.layout)


def _correct(settings: Settings, signal: Recording, checks: Checks) -> Recording:
    from ecglift.filters import FilterSettings, filtered
    from ecglift.stages.check import correct

    agreed = correct(signal, checks) if settings.limb_correction else signal
    return filtered(agreed, FilterSettings(settings.baseline_hz, settings.mains_hz, settings.smooth_hz))


def _vector(settings: Settings, page: SourcePage) -> tuple[Grid, SheetReading, Layout, tuple[Trace, ...]]:
    from ecglift.stages.grid import Grid
    from ecglift.stages.layout import SheetReading
    from ecglift.stages.vector import VectorSettings, read_vector

    if page.pdf is None or page.dpi is None:
        raise ValueError("a vector page must hold its PDF and the dpi of its rendering")
    told = VectorSettings(page.dpi, settings.speed_mm_s, settings.gain_mm_mv, settings.layout)
    drawn = read_vector(page.pdf, page.index, told)
    px_per_mm = drawn.map.px_per_mm(np.array(drawn.bounds_mm[:2]))
    scale = float(px_per_mm[0]), float(px_per_mm[1])
    grid = Grid(
        drawn.map, "lines", scale, drawn.bounds_mm, drawn.bounds_mm, "grid" if drawn.how == "grid" else "page", 1.0
    )
    return grid, SheetReading(drawn.layout, 0, drawn.problems), drawn.layout, drawn.traces


_TO_MILLIVOLTS: Final = (
    Step("names", _names, ("reading", "placed", "traces"), ("names",)),
    Step("tempo", _tempo, ("reading", "names", "traces"), ("tempo",)),
    Step("signal", _signal, ("tempo", "traces"), ("signal",)),
    Step("check", _check, ("tempo", "signal"), ("checks",)),
    Step("correct", _correct, ("signal", "checks"), ("corrected",)),
)

LINES: Final[Mapping[Road, tuple[Step, ...]]] = {
    "raster": (
        Step("orient", _orient, ("page",), ("orientation",)),
        Step("grid", _grid, ("page", "orientation"), ("grid",)),
        Step("rectify", _rectify, ("page", "grid"), ("sheet",)),
        Step("layout", _layout, ("grid", "sheet"), ("reading",)),
        Step("trace", _trace, ("sheet", "reading"), ("placed", "traces")),
        *_TO_MILLIVOLTS,
    ),
    "vector": (
        Step("vector", _vector, ("page",), ("grid", "reading", "placed", "traces")),
        *_TO_MILLIVOLTS,
    ),
}
"""The house, line by line; what a step takes also says what must be done again when a person corrects a result."""


@dataclass(frozen=True)
class Digitizer:
    """Reads pages with the same settings. ``lines``: the steps that a page goes down, for those who replace one."""

    settings: Settings = field(default_factory=Settings)
    lines: Mapping[Road, tuple[Step, ...]] = field(default_factory=lambda: LINES)

    def pages(self, source: Source) -> Iterator[Run]:
        """One run for every page of ``source``: a path, bytes, a binary file, or an image array (h, w) or (h, w, 3).

        Whatever is wrong with the source or a page is in its run; TypeError or ValueError when it is none of the above.
        """
        from ecglift.source import open_pages

        name = str(source) if isinstance(source, str | os.PathLike) else f"<{type(source).__name__}>"
        try:
            for page in open_pages(source):
                yield self.read(page)
        except StageError as error:
            yield Run(name, self.settings).failed(error.problem)

    def read(self, page: SourcePage) -> Run:
        """The run of one page; when the paths of a vector page are no ECG, its picture is read, and the run says so."""
        run = Run(page.name, self.settings, page, page.kind)
        done = self.go_on(run)
        if page.kind == "raster":
            return self._reconsidered(done)
        if done.signal is not None or any(p.code in _STAYS_UNREAD for p in done.notes):
            return done
        why = "; ".join(problem.message for problem in done.notes)
        note = Problem("vector-unread", "vector", f"the picture of this PDF page was read, not its paths: {why}")
        return self._reconsidered(self.go_on(replace(run, road="raster", notes=(note,))))

    def _reconsidered(self, run: Run) -> Run:
        """``run``, or its page read as one of the arrangements that were less likely, where the limb leads contradict
        the first and hold together in the other."""
        grid, sheet, reading, checks = run.grid, run.sheet, run.reading, run.checks
        if grid is None or sheet is None or reading is None or checks is None or self.settings.layout is not None:
            return run
        if checks.relations("failed") < _CONTRADICTED:
            return run
        for name, _ in reading.hypotheses[1:]:
            if name not in TEMPLATES:
                continue
            try:
                other = _layout(replace(self.settings, layout=name), grid, sheet)
            except StageError:
                continue
            words = f"the limb leads contradict {reading.layout.name}, as {name} they agree; check the layout"
            doubt = Problem("layout-reconsidered", "layout", words)
            again = self.again(run, reading=replace(other, problems=(*other.problems, doubt)))
            if again.checks is None or again.checks.relations("failed"):
                continue
            if again.checks.relations("passed") > checks.relations("passed"):
                return again
        return run

    def go_on(self, run: Run) -> Run:
        """``run`` with every step done that has no result yet; an error ends it and is one of its problems."""
        for step in self.lines[run.road]:
            if all(getattr(run, name) is not None for name in step.fills):
                continue
            began = perf_counter()
            try:
                results = step.results(run)
            except StageError as error:
                return run.failed(error.problem)
            except Exception as error:  # a fault of ours must not take the other pages of a batch with it
                _log.debug("stage %s failed on %s", step.stage, run.source, exc_info=True)
                return run.failed(_internal_error(step.stage, error, "error" if run.signal is None else "warning"))
            run = replace(run, **results, timings_s=run.timings_s | {step.stage: perf_counter() - began})
        return run

    def again(self, run: Run, **corrected: Any) -> Run:
        """``run`` with results ``corrected`` by a person (``grid=…``, ``reading=…``) and all that follows done again.

        ValueError when a name is no result of the line.
        """
        results = {name for step in self.lines[run.road] for name in step.fills}
        if unknown := set(corrected) - results:
            names = ", ".join(sorted(results))
            raise ValueError(f"no result is called {', '.join(sorted(unknown))}; results are {names}")
        stale = set(corrected)
        for step in self.lines[run.road]:
            if stale & set(step.takes):
                stale.update(step.fills)
        kept = tuple(note for note in run.notes if note.severity == "warning")
        changes: dict[str, Any] = dict.fromkeys(stale) | corrected
        return self.go_on(replace(run, **changes, notes=kept))


def _internal_error(stage: str, error: Exception, severity: Severity) -> Problem:
    text = f"{type(error).__name__}: {error}"
    message = f"the {stage} stage broke on this page ({text}); please report it with the page if you can"
    return Problem("internal-error", stage, message, severity)


def digitize_all(source: Source, **options: Any) -> list[Recording]:
    """A recording for every page of ``source``; ``options`` are the fields of :class:`ecglift.settings.Settings`."""
    return [run.recording for run in Digitizer(Settings(**options)).pages(source)]


def digitize(source: Source, **options: Any) -> Recording:
    """The recording of the first page of ``source`` that holds an ECG; ``options`` are the fields of
    :class:`ecglift.settings.Settings`.

    When no page could be read the recording is empty, its status is "failed" and its problems say why.
    ValueError or TypeError when an argument is wrong.
    """
    first: Recording | None = None
    for run in Digitizer(Settings(**options)).pages(source):
        if run.status != "failed":
            return run.recording
        first = run.recording if first is None else first
    return Recording.empty() if first is None else first
