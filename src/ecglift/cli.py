"""The command line: thin, one library call per command. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter

from ecglift import __version__

if TYPE_CHECKING:
    from ecglift.batch import PageResult
    from ecglift.kaggle import Answer
    from ecglift.settings import Settings

T = TypeVar("T")

Flag = Annotated[bool, Parameter(negative=(), show_default=False)]

READ, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="ecglift",
    help="Reads 12-lead ECGs off paper: scans, photos, faxes, screenshots and PDFs become calibrated millivolts.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)


class WrongUsage(Exception):
    """What was asked for cannot be done as it was asked; the message says what to change."""


def main(tokens: Sequence[str] | None = None) -> None:
    """The ``ecglift`` command; always ends by SystemExit with 0, 1 (something could not be read), 2 or 130."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # pages are spread over processes; threads within one only get in the way
    try:
        code = app(sys.argv[1:] if tokens is None else tokens, exit_on_error=False)
    except CycloptsError:  # already told
        code = WRONG_USAGE
    except WrongUsage as error:
        _tell(f"ecglift: {error}")
        code = WRONG_USAGE
    except KeyboardInterrupt:
        _tell("ecglift: interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READ
    sys.exit(code or READ)


@app.command
def digitize(
    *sources: Annotated[str, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    to: Annotated[list[str] | None, Parameter(negative=())] = None,
    fs: float = 500.0,
    speed: float | None = None,
    gain: float | None = None,
    layout: str | None = None,
    px_per_mm: float | None = None,
    flip: Flag = False,
    limb_correction: bool = True,
    baseline_hz: float | None = None,
    mains_hz: float | None = None,
    smooth_hz: float | None = None,
    overlay: Flag = False,
    report: Flag = False,
    report_png: Flag = False,
    as_json: Annotated[Flag, Parameter(name="--json")] = False,
    deidentify: Flag = False,
    jobs: Annotated[int, Parameter(name=["--jobs", "-j"])] = 1,
) -> int:
    """Read pages: an image or PDF in, twelve leads in millivolts out.

    Exit code 0 when every page was read, 1 when some failed (each is named), 2 for wrong usage.

    Parameters
    ----------
    sources
        Images, PDFs, folders of them, patterns; "-" is stdin.
    output
        Folder for what is written. Without it, the CSV of one file goes to stdout.
    to
        Format to write: csv, npz, wfdb, dicom, aecg, fhir, edf; may be given several times. Default csv.
    fs
        Samples per second.
    speed
        Paper speed in mm/s, instead of what the page says.
    gain
        Gain in mm/mV, instead of what the page says.
    layout
        Printed arrangement, instead of what is found: 3x4+1, 6x2, 12x1, …
    px_per_mm
        Scale of the image, for pages without a grid.
    flip
        Read every row twice, once mirrored: slower, a little more accurate.
    limb_correction
        Let Einthoven's and Goldberger's relations correct the limb leads.
    baseline_hz
        Take out baseline wander slower than this; usual: 0.5.
    mains_hz
        Take out mains hum: 50 or 60.
    smooth_hz
        Take out noise faster than this between the QRS complexes; usual: 40.
    overlay
        Also write STEM.overlay.png: what was read, drawn over the page.
    report
        Also write STEM.report.html: page, redrawn ECG, checks, problems; and an index.html of several pages.
    report_png
        Also write STEM.report.png: the report's pictures, the page over the redrawn ECG.
    as_json
        Print one JSON object a page instead of the names of the files written.
    deidentify
        Black out everything but grid, traces and lead names in pictures.
    jobs
        Pages read at the same time; 0: one per core.
    """
    from ecglift.batch import Output, digitize_files, expand, plan, write_index

    for source in sources:  # "-" made the parser take whatever begins with one
        if source.startswith("-") and source != "-":
            raise WrongUsage(f"there is no option {source}; for a file of that name write ./{source}")
    settings = _settings(
        fs_hz=fs,
        speed_mm_s=speed,
        gain_mm_mv=gain,
        layout=layout,
        px_per_mm=px_per_mm,
        flip=flip,
        limb_correction=limb_correction,
        baseline_hz=baseline_hz,
        mains_hz=mains_hz,
        smooth_hz=smooth_hz,
        deidentify=deidentify,
    )
    formats = _formats(to)
    files = expand(sources)
    if not files:
        raise WrongUsage("no images to read" + (f" in {', '.join(sources)}" if sources else "; name files or folders"))
    if files.count("-") and sys.stdin.isatty():
        raise WrongUsage("'-' reads an image from stdin, but nothing is piped in")
    if (overlay or report or report_png or to) and output is None:
        raise WrongUsage("give a folder for what is to be written: -o DIR")
    to_stdout = output is None and not as_json
    if to_stdout and len(files) > 1:
        raise WrongUsage("for several files give a folder for the results (-o DIR), or --json")

    planned = plan(files, sys.stdin.buffer.read() if "-" in files else None)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if to_stdout else output
        target = None if folder is None else Output(folder, formats, overlay, report, report_png)
        failed = False
        entries = []
        results = digitize_files(planned, settings, target, _processes(jobs))
        for pages in _progress(results, len(planned), _told_pages):
            failed |= any(page.status == "failed" and not page.skipped for page in pages)
            _print_pages(pages, as_json, to_stdout)
            entries += [page.entry for page in pages if page.entry]
        if output is not None and len(entries) > 1:
            index = write_index(output, entries)
            if not as_json:
                print(index)
    return SOME_FAILED if failed else READ


def _print_pages(pages: Sequence[PageResult], as_json: bool, to_stdout: bool) -> None:
    for page in pages:
        if as_json:
            print(_json(page.summary | {"written": [str(path) for path in page.written]}))
        elif not to_stdout:
            for path in page.written:
                print(path)
    if to_stdout:
        written = [path for page in pages for path in page.written]
        for path in written[:1]:
            sys.stdout.write(path.read_text(encoding="utf-8"))
        if written[1:]:
            _tell(f"ecglift: {len(written)} pages hold an ECG, only the first is printed; give -o DIR for all")
    sys.stdout.flush()


@app.command
def score(predicted: Path, truth: Path, *, as_json: Annotated[Flag, Parameter(name="--json")] = False) -> int:
    """Compare digitized recordings with the truth: the competition's score and the errors behind it.

    Exit code 1 when something of the truth has no prediction.

    Parameters
    ----------
    predicted
        A recording (.csv, .npz, .hea), a folder of them, or a competition file (id,value as .csv or .parquet).
    truth
        The same kind; files of a folder are paired by their stems.
    as_json
        Print one JSON object instead of the table.
    """
    from ecglift.scoring import score_files

    try:
        table = score_files(predicted, truth)
    except (OSError, ValueError) as error:
        raise WrongUsage(str(error)) from error
    print(_json(table.to_dict()) if as_json else table)
    for name in table.missing:
        _tell(f"ecglift: {name}: there is no prediction; it scores as zeros")
    return SOME_FAILED if table.missing else READ


@app.command
def kaggle(
    test_csv: Path,
    image_dir: Path,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    layout: str | None = None,
    jobs: Annotated[int, Parameter(name=["--jobs", "-j"])] = 1,
) -> int:
    """Write the file that the PhysioNet competition on digitization takes.

    Every row of TEST_CSV gets its value. An image that cannot be read gets zeros, a warning, and exit code 1.

    Parameters
    ----------
    test_csv
        The competition's list: id, lead, fs, number_of_rows.
    image_dir
        Folder with one image per id.
    output
        submission.csv or submission.parquet.
    layout
        Printed arrangement, instead of what is found.
    jobs
        Images read at the same time; 0: one per core.
    """
    from ecglift.kaggle import answers, n_images, read_list, write_submission

    try:
        lines = read_list(test_csv)
        found = answers(lines, image_dir, _settings(layout=layout), _processes(jobs))
        unread = write_submission(output, lines, _progress(found, n_images(lines), _told_answer))
    except (OSError, ValueError, ImportError) as error:
        raise WrongUsage(str(error)) from error
    for answer in unread:
        _tell(f"ecglift: {answer.id}: could not be read, its rows are zero: {answer.message}")
    print(output)
    return SOME_FAILED if unread else READ


@app.command
def press(
    folder: Path,
    *,
    benchmark: Flag = False,
    pages: Annotated[int, Parameter(name=["--pages", "-n"])] = 100,
    seed: int = 0,
    kind: Annotated[list[str] | None, Parameter(negative=())] = None,
    layout: str = "mixed",
    masks: Flag = False,
    wfdb: Flag = False,
    jobs: Annotated[int, Parameter(name=["--jobs", "-j"])] = 1,
) -> int:
    """Make ECG pages with their whole truth: simulated patients, printed and captured.

    Parameters
    ----------
    folder
        Where pictures, truth and manifest.jsonl go.
    benchmark
        Make the frozen benchmark instead: always the same pages.
    pages
        How many pages.
    seed
        Same seed, same pages.
    kind
        Only captures of this kind (clean, colour_scan, photo, screen, …); may be given several times.
    layout
        competition, random, mixed, or a layout's name: 3x4+1, 6x2, …
    masks
        Also write masks of grid, traces, text and labels.
    wfdb
        Also write the signals as WFDB records.
    jobs
        Processes; 0: one per core.
    """
    from ecglift.press.benchmark import find_shared, make_benchmark
    from ecglift.press.capture import KINDS
    from ecglift.press.sets import SetPlan, make_set
    from ecglift.press.truth import LAYERS

    try:
        if benchmark:
            manifest = make_benchmark(folder, shared=find_shared(), workers=_processes(jobs), progress=True)
        else:
            plan = SetPlan(seed, tuple(kind or KINDS), layout)
            layers = LAYERS if masks else ()
            manifest = make_set(folder, pages, plan, layers=layers, wfdb=wfdb, workers=_processes(jobs), progress=True)
    except (OSError, ValueError) as error:
        raise WrongUsage(str(error)) from error
    print(manifest)
    return READ


@app.command
def benchmark(
    folder: Path,
    *,
    oracle: Flag = False,
    type: Annotated[list[str] | None, Parameter(negative=())] = None,
    per_type: int | None = None,
    resume: Flag = False,
    document: Path | None = None,
    jobs: Annotated[int, Parameter(name=["--jobs", "-j"])] = 1,
) -> int:
    """Digitize the benchmark's pages; print and store the table of scores.

    Parameters
    ----------
    folder
        What "ecglift press FOLDER --benchmark" made; results.jsonl and results.md go there, too.
    oracle
        Tell the pipeline the true geometry and layout and measure the rest.
    type
        Only pages of this type (clean, colour_scan, photo, other, …); may be given several times.
    per_type
        Only the first pages of each type.
    resume
        Go on where an earlier run was cut off: pages in results.jsonl are not read again.
    document
        Put the tables into this Markdown file as well, between its lines "<!-- benchmark -->" and "<!-- /benchmark -->"
        (benchmark-clinical, benchmark-oracle).
    jobs
        Processes; 0: one per core.
    """
    from ecglift.press.benchmark import TYPES, clinical_table, readers, run_benchmark, table, write_into

    try:
        scores = run_benchmark(
            folder,
            oracle=oracle,
            types=tuple(type or TYPES),
            per_type=per_type,
            resume=resume,
            workers=_processes(jobs),
            progress=True,
        )
    except (OSError, ValueError) as error:
        raise WrongUsage(str(error)) from error
    results, clinical = table(scores) + readers(), clinical_table(scores)
    print(f"{results}\n{clinical}", end="")
    if document is not None:
        write_into(document, results, "benchmark-oracle" if oracle else "benchmark")
        if not oracle:
            write_into(document, clinical, "benchmark-clinical")
    return READ


def _settings(**told: Any) -> Settings:
    from ecglift.settings import Settings

    try:
        return Settings(**told)
    except ValueError as error:
        raise WrongUsage(str(error)) from error


def _formats(to: list[str] | None) -> tuple[str, ...]:
    from ecglift.formats import formats

    known = {key: f.name for f in formats().values() for key in (f.name, *(s.lstrip(".") for s in f.suffixes))}
    wanted = [word.lower().lstrip(".") for item in to or ["csv"] for word in item.split(",")]
    if unknown := [word for word in wanted if word not in known]:
        raise WrongUsage(f"--to {unknown[0]} is not known; formats are {', '.join(formats())}")
    return tuple(dict.fromkeys(known[word] for word in wanted))


def _processes(jobs: int) -> int:
    if jobs < 0:
        raise WrongUsage(f"--jobs must be 0 (one per core) or more, got {jobs}")
    return jobs or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else jobs or os.cpu_count() or 1


def _told_pages(pages: Sequence[PageResult]) -> list[str]:
    """What a person should know about a source's pages, one line each."""
    lines = []
    for page in pages:
        place = page.source + (f", page {page.summary['page']}" if len(pages) > 1 else "")
        word = "skipped" if page.skipped else page.status
        lines.append(": ".join((place, word)) + "".join(f"\n  {problem}" for problem in page.problems))
    return lines


def _told_answer(answer: Answer) -> list[str]:
    return [f"{answer.id}: {answer.message or 'ok'}"]


def _json(values: dict[str, Any]) -> str:
    """One line of JSON; JSON has no NaN and no infinity, null says that there is no number."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(values), allow_nan=False)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(results: Iterable[T], total: int, told: Callable[[T], list[str]]) -> Iterator[T]:
    """``results`` as they come, what is told about each on stderr and, on a terminal, a bar with the time left."""
    if total < 2 or not sys.stderr.isatty():
        for number, result in enumerate(results, start=1):
            for line in told(result):
                _tell(f"[{number}/{total}] {line}" if total > 1 else line)
            yield result
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("time left"), TimeRemainingColumn())
    # stdout may be a file or a pipe that wants the results; only on a terminal do both share the screen.
    bar = Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty())
    with bar:
        task = bar.add_task("", total=total)
        for result in results:
            for line in told(result):
                bar.console.print(line, markup=False, highlight=False)
            bar.advance(task)
            yield result
