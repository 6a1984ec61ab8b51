"""The driver keeps every result, also of a page that fails, and redoes only what a correction touches."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecglift import Digitizer, Recording, Settings, digitize, digitize_all
from ecglift.geometry import PageMap
from ecglift.paper import Layout, Panel
from ecglift.pipeline import LINES, Run, Step
from ecglift.problem import Problem, fail


@dataclass(frozen=True)
class Sheet:
    """A stage's result that remembers what it was made from."""

    made_of: Any
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Reading:
    layout: Layout
    quarter_turns: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class SourcePage:
    name: str = "page.png"
    index: int = 0
    sha256: str = "00ff"
    kind: str = "raster"


LAYOUT = Layout("1x1", (Panel("II", 0, 0, 10.0, 35.0, 50.0),))


class Line:
    """A line of tiny stages; ``calls`` lists what ran."""

    def __init__(self, **other: Any) -> None:
        self.calls: list[str] = []
        work = {
            "sheet": lambda settings, page: Sheet(page.name),
            "reading": lambda settings, sheet: Reading(LAYOUT),
            "signal": self.signal,
            "checks": lambda settings, reading, signal: Sheet("checked"),
        } | other
        takes = {"sheet": ("page",), "reading": ("sheet",), "signal": ("reading",), "checks": ("reading", "signal")}
        self.steps = tuple(Step(f"{name}-stage", self.noted(name, work[name]), takes[name], (name,)) for name in takes)

    def noted(self, name: str, function: Any) -> Any:
        def work(*args: Any) -> Any:
            self.calls.append(name)
            return function(*args)

        return work

    @staticmethod
    def signal(settings: Settings, reading: Reading) -> Recording:
        mv = np.full((12, 10), np.nan, np.float32)
        mv[1] = reading.layout.gain_mm_mv
        return Recording(settings.fs_hz, mv, np.isfinite(mv).astype(np.float32), provenance={"filter": "none"})

    def read(self, settings: Settings | None = None) -> Run:
        return Digitizer(settings or Settings(), {"raster": self.steps}).read(SourcePage())  # type: ignore[arg-type]


def test_every_result_and_its_time_stays() -> None:
    run = Line().read(Settings(fs_hz=250))
    assert run.sheet == Sheet("page.png")
    assert run.reading == Reading(LAYOUT)
    assert run.checks == Sheet("checked")
    assert list(run.timings_s) == ["sheet-stage", "reading-stage", "signal-stage", "checks-stage"]
    assert all(seconds >= 0 for seconds in run.timings_s.values())
    assert (run.status, run.recording.status, run.recording.fs_hz) == ("ok", "ok", 250)
    assert run.recording.leads == ("II",)


def test_provenance_says_where_the_samples_come_from() -> None:
    provenance = Line().read(Settings(speed_mm_s=50)).recording.provenance
    assert provenance["source"] == "page.png"
    assert provenance["sha256"] == "00ff"
    assert provenance["page"] == 1
    assert provenance["filter"] == "none"
    assert provenance["settings"] == {"fs_hz": 500.0, "speed_mm_s": 50}


def test_deidentified_recording_does_not_name_the_file() -> None:
    run = Line().read(Settings(deidentify=True))
    assert "page.png" not in json.dumps(run.recording.provenance)


def test_warnings_of_every_stage_make_it_partial() -> None:
    one, two = Problem("faint", "sheet", "is faint"), Problem("odd", "checks", "is odd")
    run = Line(
        sheet=lambda settings, page: Sheet("s", (one,)),
        checks=lambda settings, reading, signal: Sheet("c", (two, one)),
    ).read()
    assert run.recording.problems == (one, two)
    assert run.recording.status == "partial"


def test_stage_that_cannot_go_on_leaves_what_came_before() -> None:
    def refuse(settings: Settings, sheet: Sheet) -> Reading:
        raise fail("no-leads", "layout", "no lead names were found; give --layout")

    line = Line(reading=refuse)
    run = line.read()
    assert line.calls == ["sheet", "reading"]
    assert run.sheet == Sheet("page.png")
    assert run.status == run.recording.status == "failed"
    assert [p.code for p in run.recording.problems] == ["no-leads"]
    assert len(run.recording) == 0


def test_fault_in_a_stage_is_a_problem_that_names_it() -> None:
    run = Line(sheet=lambda settings, page: 1 / 0).read()
    (problem,) = run.problems
    assert (problem.code, problem.stage, problem.severity) == ("internal-error", "sheet-stage", "error")
    assert "ZeroDivisionError: division by zero" in problem.message


def test_fault_in_the_checks_does_not_lose_the_samples() -> None:
    run = Line(checks=lambda settings, reading, signal: 1 / 0).read()
    assert run.status == "partial"
    assert run.recording.leads == ("II",)
    assert [p.code for p in run.problems] == ["internal-error"]


def test_digitize_says_why_it_gave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.write_bytes(b"")
    recording = digitize(path)
    assert (recording.status, len(recording)) == ("failed", 0)
    assert [problem.code for problem in recording.problems] == ["empty-file"]
    assert [each.status for each in digitize_all(path)] == ["failed"]


def test_correction_redoes_only_what_follows() -> None:
    line = Line()
    digitizer = Digitizer(lines={"raster": line.steps})
    run = digitizer.read(SourcePage())  # type: ignore[arg-type]
    line.calls.clear()
    again = digitizer.again(run, reading=replace(run.reading, layout=replace(LAYOUT, gain_mm_mv=5.0)))
    assert line.calls == ["signal", "checks"]
    assert again.sheet is run.sheet
    assert again.recording["II"][0] == 5.0
    assert run.recording["II"][0] == 10.0


def test_correction_mends_a_failed_run() -> None:
    line = Line(reading=lambda settings, sheet: 1 / 0)
    digitizer = Digitizer(lines={"raster": line.steps})
    again = digitizer.again(line.read(), reading=Reading(LAYOUT))
    assert again.status == "ok"


def test_correction_of_no_result_is_a_bad_call() -> None:
    with pytest.raises(ValueError, match="no result is called colour; results are checks"):
        Digitizer(lines={"raster": Line().steps}).again(Run("x", Settings()), colour=1)


@pytest.mark.parametrize(("turn_deg", "quarter_turns", "expected"), [(3.0, 0, 3.0), (-2.0, 1, -92.0), (1.0, 2, -179.0)])
def test_rotation_is_that_of_the_upright_sheet_in_the_picture(
    turn_deg: float, quarter_turns: int, expected: float
) -> None:
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    page_map = PageMap(np.array([[8 * c, -8 * s, 40], [8 * s, 8 * c, 7], [0, 0, 1.0]]))
    grid = SimpleNamespace(map=page_map, bounds_mm=(0.0, 0.0, 200.0, 100.0))
    run = Run("x", Settings(), grid=grid, reading=Reading(LAYOUT, quarter_turns))  # type: ignore[arg-type]
    # A sheet that must be turned clockwise to stand upright lies anticlockwise in the picture.
    assert run.rotation_deg == pytest.approx(expected)


def test_summary_is_plain_json() -> None:
    summary = json.loads(json.dumps(Line().read().to_dict()))
    assert summary["status"] == "ok"
    assert summary["layout"] == "1x1"
    assert (summary["speed_mm_s"], summary["gain_mm_mv"]) == (25.0, 10.0)
    assert summary["confidence"] == {"II": 1.0}
    assert summary["leads"] == ["II"]


def test_summary_of_a_failed_run_says_so() -> None:
    summary = Run("x.png", Settings()).failed(Problem("empty", "source", "is empty", "error")).to_dict()
    assert summary["status"] == "failed"
    assert summary["layout"] is None
    assert summary["problems"][0]["code"] == "empty"


@pytest.mark.parametrize("road", ["raster", "vector"])
def test_each_step_of_the_house_takes_what_came_before(road: Any) -> None:
    known = {"page"}
    for step in LINES[road]:
        assert set(step.takes) <= known, step.stage
        known.update(step.fills)
    assert {"grid", "reading", "traces", "names", "tempo", "signal", "checks"} <= known


def _by_paths(settings: Settings, page: SourcePage) -> Any:
    return Sheet("paths"), Reading(LAYOUT)


def _on_two_roads(vector: Any) -> Run:
    line = Line()
    drawn = (Step("vector", vector, ("page",), ("sheet", "reading")), *line.steps[2:])
    digitizer = Digitizer(lines={"raster": line.steps, "vector": drawn})
    return digitizer.read(SourcePage(kind="vector"))  # type: ignore[arg-type]


def test_vector_page_goes_its_own_road() -> None:
    run = _on_two_roads(_by_paths)
    assert (run.status, run.sheet, run.recording.provenance["road"]) == ("ok", Sheet("paths"), "vector")
    assert list(run.timings_s) == ["vector", "signal-stage", "checks-stage"]


def test_paths_that_make_no_sense_fall_back_to_the_picture_and_say_so() -> None:
    def refuse(settings: Settings, page: SourcePage) -> Any:
        raise fail("vector-unreadable", "vector", "the paths are a logo")

    run = _on_two_roads(refuse)
    assert (run.status, run.sheet, run.recording.provenance["road"]) == ("partial", Sheet("page.png"), "raster")
    (problem,) = run.problems
    assert problem.code == "vector-unread"
    assert "the paths are a logo" in problem.message


def test_paths_that_show_other_leads_are_not_misread_from_the_picture() -> None:
    def refuse(settings: Settings, page: SourcePage) -> Any:
        raise fail("leads-not-standard", "vector", "these are Frank leads")

    run = _on_two_roads(refuse)
    assert (run.status, run.road, [p.code for p in run.problems]) == ("failed", "vector", ["leads-not-standard"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fs_hz", 0),
        ("fs_hz", float("nan")),
        ("speed_mm_s", -25),
        ("gain_mm_mv", 1000),
        ("px_per_mm", 0),
        ("layout", "4x3"),
    ],
)
def test_wrong_setting_is_named_with_its_range(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must"):
        Settings(**{name: value})
