"""Many files: what to read, in which processes, and what to write for each page."""

from __future__ import annotations

import glob
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ecglift.pipeline import Digitizer, Run
from ecglift.problem import Problem, Status
from ecglift.settings import Settings

if TYPE_CHECKING:
    from ecglift.draw.report import IndexEntry

SUFFIXES: Final[frozenset[str]] = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pdf", ".heic", ".heif"}
)
"""File names with these endings are taken from a folder; a file named by itself is tried whatever its name."""

NO_ECG: Final[frozenset[str]] = frozenset({"not-an-ecg", "grid-not-found", "no-traces", "leads-not-standard"})
"""Problems that say that a page of a report shows something else than the twelve leads."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Job:
    """One source to read and the stem of what is written for it; ``data``: its bytes when it is not a file."""

    source: str
    stem: str
    data: bytes | None = None


@dataclass(frozen=True)
class Output:
    """What is written for each page: recordings in ``formats`` ("csv", "npz", …), and the pictures, into ``folder``."""

    folder: Path
    formats: tuple[str, ...] = ("csv",)
    overlay: bool = False
    report: bool = False
    report_png: bool = False


@dataclass(frozen=True)
class PageResult:
    """How one page went: ``summary`` as :meth:`ecglift.pipeline.Run.to_dict`, ``written`` the files that hold it.

    ``skipped``: a page without an ECG in a source that has one on another page. ``entry``: of the page's report in the
    folder's index.
    """

    source: str
    status: Status
    problems: tuple[Problem, ...]
    summary: dict[str, Any]
    written: tuple[Path, ...] = ()
    skipped: bool = False
    entry: IndexEntry | None = None


def expand(sources: Iterable[str]) -> list[str]:
    """The files that ``sources`` name: a file is itself, a folder all images in it and below, a pattern its matches.

    Sorted within a folder or pattern, each file once. A name that does not exist stays, for its failure to be told.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            found += sorted(str(p) for p in inside if not p.name.startswith("."))
        elif not path.exists() and glob.has_magic(source):
            found += sorted(match for match in glob.glob(source, recursive=True) if Path(match).is_file()) or [source]
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def plan(sources: Iterable[str], stdin: bytes | None = None) -> list[Job]:
    """One job for every source, each with a stem of its own: of files with equal stems, later ones get a number.

    "-" stands for ``stdin``.
    """
    jobs: list[Job] = []
    taken: set[str] = set()
    for source in sources:
        stem = first = "stdin" if source == "-" else Path(source).stem
        number = 1
        while stem.lower() in taken:  # two names that differ in case only are one file on some disks
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem.lower())
        jobs.append(Job(source, stem, stdin if source == "-" else None))
    return jobs


def digitize_job(job: Job, settings: Settings, output: Output | None) -> tuple[PageResult, ...]:
    """One result for every page of a source; the recordings of the pages that could be read are written.

    The first page with an ECG gets the job's stem, so does the only page of a source; each other page has "-page" and
    its number after the stem.
    """
    results: list[PageResult] = []
    named = False
    for run, number, is_only in _numbered(Digitizer(settings).pages(job.source if job.data is None else job.data)):
        first_read = run.status != "failed" and not named
        named |= first_read
        stem = job.stem if first_read or is_only else f"{job.stem}-page{number}"
        results.append(_result(job, run) if output is None else _written(job, run, stem, output))
    if not named:
        return tuple(results)
    elsewhere = (r.status == "failed" and any(p.code in NO_ECG for p in r.problems) for r in results)
    return tuple(replace(r, skipped=skipped) for r, skipped in zip(results, elsewhere, strict=True))


def _numbered(runs: Iterable[Run]) -> Iterator[tuple[Run, int, bool]]:
    """Each run, its number from 1, and whether it is the only one: the first waits for the second."""
    waiting: Run | None = None
    for number, run in enumerate(runs):
        if waiting is not None:
            yield waiting, number, False
        waiting = run
    if waiting is not None:
        last = number + 1
        yield waiting, last, last == 1


def _result(job: Job, run: Run, written: tuple[Path, ...] = ()) -> PageResult:
    return PageResult(job.source, run.status, run.problems, run.to_dict() | {"source": job.source}, written)


def _written(job: Job, run: Run, stem: str, output: Output) -> PageResult:
    """The result of a page with its files: recordings only of a page that was read, pictures of whatever was found."""
    written: list[Path] = []
    problems: list[Problem] = []
    for what, write in _writers(run, output.folder / stem, output):
        try:
            output.folder.mkdir(parents=True, exist_ok=True)
            written.append(write())
        except (OSError, ValueError, ImportError) as error:  # no room, not in this format, an extra is missing
            problems.append(Problem("cannot-write", "output", f"{what} could not be written: {error}", "error"))
    for problem in problems:
        run = run.failed(problem)
    result = _result(job, run, tuple(written))
    if not output.report:
        return result
    from ecglift.draw.report import index_entry, story_of

    entry = index_entry(story_of(run, run.settings.deidentify), f"{stem}.report.html")
    return replace(result, entry=entry)


def _writers(run: Run, base: Path, output: Output) -> Iterator[tuple[str, Callable[[], Path]]]:
    """What is to be written for a page, each with the function that writes it and gives its path."""
    if run.status != "failed":
        from ecglift.formats import format_of, save

        for name in output.formats:
            path = base.with_name(base.name + format_of("", name).suffixes[0])
            yield path.name, partial(save, run.recording, path, name)
    if output.overlay and run.page is not None:
        path = base.with_name(f"{base.name}.overlay.png")
        yield path.name, partial(_save_overlay, run, path)
    if output.report:
        path = base.with_name(f"{base.name}.report.html")
        yield path.name, partial(_save_report, run, path)
    if output.report_png:
        path = base.with_name(f"{base.name}.report.png")
        yield path.name, partial(_save_report_png, run, path)


def _save_overlay(run: Run, path: Path) -> Path:
    from ecglift.draw.overlay import draw_overlay, overlay_png

    assert run.page is not None  # asked for only then
    drawn = draw_overlay(
        run.page.image,
        run.page_map,
        run.layout,
        run.traces or (),
        grid_mm=run.grid_mm,
        deidentify=run.settings.deidentify,
    )
    path.write_bytes(overlay_png(drawn))
    return path


def _save_report(run: Run, path: Path) -> Path:
    from ecglift.draw.report import page_report, story_of

    path.write_text(page_report(story_of(run, run.settings.deidentify)), encoding="utf-8")
    return path


def _save_report_png(run: Run, path: Path) -> Path:
    from ecglift.draw.report import report_png, story_of

    path.write_bytes(report_png(story_of(run, run.settings.deidentify)))
    return path


def write_index(folder: Path, entries: Iterable[IndexEntry]) -> Path:
    """The file ``folder``/index.html, which leads to every page's report, the worst first."""
    from ecglift.draw.report import index_report

    path = folder / "index.html"
    path.write_text(index_report(tuple(entries)), encoding="utf-8")
    return path


def digitize_files(
    jobs: Sequence[Job], settings: Settings, output: Output | None = None, processes: int = 1
) -> Iterator[tuple[PageResult, ...]]:
    """The results of every job, in order, as they come; whatever goes wrong with one file is that file's result."""
    work = partial(digitize_job, settings=settings, output=output)
    return in_order(work, jobs, processes, partial(_lost, settings=settings))


def _lost(job: Job, reason: str, settings: Settings) -> tuple[PageResult, ...]:
    problem = Problem("internal-error", "batch", f"reading this file ended with a fault: {reason}", "error")
    return (_result(job, Run(job.source, settings).failed(problem)),)


def in_order(work: Callable[[T], R], items: Sequence[T], processes: int, lost: Callable[[T, str], R]) -> Iterator[R]:
    """``work(item)`` for every item, in order, from ``processes`` processes.

    An item whose work raises, or ends its process, gives ``lost(item, reason)``; the others are done all the same.
    One item alone is done in this process. ``work`` must be importable by name.
    """
    if len(items) == 1:
        try:
            yield work(items[0])
        except Exception as error:
            yield lost(items[0], _text(error))
        return
    done = 0
    while done < len(items):
        with _pool(min(processes, len(items) - done)) as pool:
            try:
                futures: list[Future[R]] = [pool.submit(work, item) for item in items[done:]]
                for item, future in zip(items[done:], futures, strict=True):
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        break
                    except Exception as error:
                        result = lost(item, _text(error))
                    done += 1
                    yield result
            except BaseException:  # Ctrl-C, or nobody wants the rest: what has not begun is not begun any more
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if done < len(items):
            # Some process died. Which item did it cannot be known, so the first one without a result is tried alone.
            with _pool(1) as pool:
                try:
                    result = pool.submit(work, items[done]).result()
                except Exception as error:
                    reason = "its process died" if isinstance(error, BrokenProcessPool) else _text(error)
                    result = lost(items[done], reason)
            done += 1
            yield result


def _pool(processes: int) -> ProcessPoolExecutor:
    """Fresh processes ("spawn": the networks' threads do not survive a fork), each on one thread."""
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin_worker)


def _begin_worker() -> None:
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker at once and in silence; the parent tells
    cv2.setNumThreads(1)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
