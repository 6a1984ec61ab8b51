"""A page's report: one HTML file that opens offline, prints well and says in plain words what was read and how sure it
is.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift import __version__
from ecglift.draw.canvas import Canvas, confidence_colours, to_jpeg, to_png
from ecglift.draw.ecg_paper import draw_ecg
from ecglift.draw.overlay import Bounds, draw_overlay, legend
from ecglift.draw.words import headline
from ecglift.geometry import PageMap
from ecglift.intervals import Intervals, Measure, measure
from ecglift.leads import LEAD_INDEX, LEADS
from ecglift.paper import TEMPLATES, Layout
from ecglift.recording import Recording
from ecglift.sheet import Trace

if TYPE_CHECKING:
    from ecglift.stages.check import Checks

HOW: Final = {
    "printed": "read in print",
    "pulse": "from the calibration pulse",
    "given": "given by the user",
    "assumed": "assumed, nothing on the page says so",
    "grid": "from the grid",
    "page": "from the page's format or the file's dpi",
}
"""How a scale is known, in words."""


@dataclass(frozen=True)
class PageStory:
    """All that a report tells of one page; None for what the page did not yield.

    ``page_map``, ``layout``, ``traces`` and ``grid_mm`` share the upright sheet's mm, as in :func:`draw_overlay`.
    """

    name: str
    recording: Recording
    image: NDArray[np.uint8] | None = None
    page_map: PageMap | None = None
    layout: Layout | None = None
    traces: tuple[Trace, ...] = ()
    grid_mm: Bounds | None = None
    checks: Checks | None = None
    px_per_mm: tuple[float, float] | None = None
    scale_how: str = ""
    rotation_deg: float | None = None
    page_number: int = 1
    timings_s: dict[str, float] = field(default_factory=dict)
    deidentify: bool = False


class RunLike(Protocol):
    """What :func:`story_of` needs of a run; every part may be None but the recording."""

    @property
    def source(self) -> str: ...
    @property
    def recording(self) -> Recording: ...
    @property
    def page(self) -> Any: ...
    @property
    def page_map(self) -> PageMap | None: ...
    @property
    def layout(self) -> Layout | None: ...
    @property
    def traces(self) -> tuple[Trace, ...] | None: ...
    @property
    def grid_mm(self) -> Bounds | None: ...
    @property
    def grid(self) -> Any: ...
    @property
    def rotation_deg(self) -> float | None: ...
    @property
    def checks(self) -> Any: ...
    @property
    def timings_s(self) -> dict[str, float]: ...


def story_of(run: RunLike, deidentify: bool = False) -> PageStory:
    """The story of a run of the pipeline."""
    grid = run.grid
    return PageStory(
        run.source.replace("\\", "/").rsplit("/", 1)[-1],
        run.recording,
        run.page.image if run.page else None,
        run.page_map,
        run.layout,
        run.traces or (),
        run.grid_mm,
        run.checks,
        grid.px_per_mm if grid else None,
        grid.how if grid else "",
        run.rotation_deg,
        run.page.index + 1 if run.page else 1,
        dict(run.timings_s),
        deidentify,
    )


def page_report(story: PageStory) -> str:
    """The report of one page as one self-contained HTML text."""
    found = measure(story.recording.mv, story.recording.fs_hz) if len(story.recording) else None
    title = f"{story.name}, page {story.page_number}" if story.page_number > 1 else story.name
    body = [
        f"<header><h1>{escape(title)}</h1>{_badge(story.recording.status)}<p>{escape(headline(story.recording))}</p></header>",
        _problems(story),
        '<div class="pictures">',
        _page_picture(story),
        "<div>",
        _redrawn(story),
        '<div class="tables">',
        _interval_table(found) if found else "",
        _facts(story),
        "</div></div></div>",
        '<div class="tables">',
        _lead_table(story.recording, found),
        _check_table(story.checks),
        "</div>",
        _origin(story),
    ]
    return _document(f"ECG report: {title}", "\n".join(body))


def report_png(story: PageStory, width_px: int = 2000) -> bytes:
    """A PNG file of the report's pictures: the page with its overlay above the redrawn ECG and a line of findings."""
    parts = []
    if story.image is not None:
        picture = _overlay_of(story, width_px).picture
        parts += [_fitted(picture, width_px), legend(width_px, width_px / 1400)]
    if len(story.recording):
        drawing = draw_ecg(story.recording, by_confidence=True)
        parts.append(_fitted(drawing.pixels(min(max(width_px / drawing.width_mm, 1.0), 40.0)), width_px))
        found = measure(story.recording.mv, story.recording.fs_hz)
        words = ";   ".join(f"{name} {value}" for name, value, sd in _interval_rows(found) if value != "not measurable")
    else:
        words = "; ".join(problem.message for problem in story.recording.problems)
    unit = width_px / 1400
    strip = Canvas(round(30 * unit), width_px)
    strip.text(8 * unit, 20 * unit, f"{story.recording.status}.   {words}", 13 * unit)
    parts.append(strip.over(np.full((*strip.rgba.shape[:2], 3), 255, np.uint8)))
    return to_png(np.concatenate(parts))


@dataclass(frozen=True)
class IndexEntry:
    """One page in the report of a folder; ``href`` leads to its own report, ``thumbnail`` is a JPEG file or None."""

    name: str
    href: str
    status: str
    confidence: float
    problems: tuple[str, ...]
    thumbnail: bytes | None = None


def index_entry(story: PageStory, href: str) -> IndexEntry:
    """The entry of a page whose report stands at ``href``, relative to the index."""
    c = story.recording.confidence
    known = c[np.isfinite(story.recording.mv)]
    thumbnail = None
    if story.image is not None:
        thumbnail = to_jpeg(_overlay_of(story, 420).picture, 70)
    problems = tuple(problem.message for problem in story.recording.problems)
    confidence = float(known.mean()) if known.size else 0.0
    return IndexEntry(story.name, href, story.recording.status, confidence, problems, thumbnail)


_RANK: Final = {"failed": 0, "partial": 1, "ok": 2}


def index_report(entries: Sequence[IndexEntry], title: str = "ECG pages") -> str:
    """The report of a folder: every page with its thumbnail, the worst first, as one self-contained HTML text."""
    ordered = sorted(entries, key=lambda e: (_RANK.get(e.status, 0), e.confidence, e.name))
    counts = ", ".join(
        f"{sum(e.status == s for e in entries)} {s}" for s in _RANK if any(e.status == s for e in entries)
    )
    cards = []
    for e in ordered:
        picture = (
            f'<img src="{_data("jpeg", e.thumbnail)}" alt="">'
            if e.thumbnail
            else '<div class="nopage">no picture</div>'
        )
        words = "".join(f"<li>{escape(p)}</li>" for p in e.problems[:4])
        more = f"<li>and {len(e.problems) - 4} more</li>" if len(e.problems) > 4 else ""
        cards.append(
            f'<a class="card" href="{escape(e.href, quote=True)}">{picture}'
            f"<div><b>{escape(e.name)}</b> {_badge(e.status)}<br>mean confidence {e.confidence:.0%}"
            f"<ul>{words}{more}</ul></div></a>"
        )
    words = f"{len(entries)} pages: {counts or 'none'}. The worst come first."
    head = f"<header><h1>{escape(title)}</h1><p>{words}</p></header>"
    return _document(title, head + '<div class="cards">' + "\n".join(cards) + "</div>")


# --- parts of a page's report
# ------------------------------------------------------------------------------------------


def _overlay_of(story: PageStory, max_px: int) -> Any:
    assert story.image is not None
    return draw_overlay(
        story.image,
        story.page_map,
        story.layout,
        story.traces,
        grid_mm=story.grid_mm,
        max_px=max_px,
        deidentify=story.deidentify,
    )


def _page_picture(story: PageStory) -> str:
    if story.image is None:
        return "<figure><p>The file could not be opened as a picture.</p></figure>"
    overlay = _overlay_of(story, 1800)
    caption = "The page, with what was read drawn over it." if story.page_map else "The page; nothing was read on it."
    return (
        '<figure class="page"><input type="checkbox" id="layer" checked><label for="layer">show what was read</label>'
        f'<div class="stack"><img src="{_data("jpeg", to_jpeg(overlay.page, 82))}" alt="the page">'
        f'<img class="over" src="{_data("png", to_png(overlay.layer))}" alt="what was read"></div>'
        f'<img src="{_data("png", to_png(legend(1100)))}" alt="meaning of the colours">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _redrawn(story: PageStory) -> str:
    if not len(story.recording):
        return "<figure><p>No signal was read from this page.</p></figure>"
    layout = story.layout
    speed, gain = (layout.speed_mm_s, layout.gain_mm_mv) if layout else (25.0, 10.0)
    drawing = draw_ecg(story.recording, speed_mm_s=speed, gain_mm_mv=gain, by_confidence=True)
    size = f'width="{drawing.width_mm:g}mm" height="{drawing.height_mm:g}mm"'
    svg = drawing.svg().replace(size, 'width="100%"', 1)
    caption = "The digitized ECG, drawn again. Black is sure; amber and red are not; what was not seen is left out."
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _problems(story: PageStory) -> str:
    if not story.recording.problems:
        return '<section class="problems ok"><p>No problem was found on this page.</p></section>'
    rows = "".join(
        f'<li class="{p.severity}"><b>{"Failed" if p.severity == "error" else "Look at this"}</b> ({escape(p.stage)}): '
        f"{escape(p.message)} <code>{escape(p.code)}</code></li>"
        for p in story.recording.problems
    )
    return f'<section class="problems"><ul>{rows}</ul></section>'


def _layout_words(layout: Layout) -> str:
    template = TEMPLATES.get(layout.name)
    if template is None:
        return f"{len(layout.rows())} rows, {len(layout.panels)} panels"
    strips = (
        f" and {template.rhythm_strips} rhythm strip{'s' * (template.rhythm_strips > 1)}"
        if template.rhythm_strips
        else ""
    )
    return f"{layout.name}: {len(template.rows)} rows of {template.n_columns}{strips}"


def _facts(story: PageStory) -> str:
    rows: list[tuple[str, str, str]] = []
    layout = story.layout
    if layout:
        runner = f"; next best {layout.runner_up}, {layout.margin:.2f} behind" if layout.runner_up else ""
        rows.append(("Layout", _layout_words(layout), f"score {layout.score:.2f}{runner}"))
        rows.append(("Paper speed", f"{layout.speed_mm_s:g} mm/s", HOW.get(layout.speed_how, layout.speed_how)))
        rows.append(("Gain", f"{layout.gain_mm_mv:g} mm/mV", HOW.get(layout.gain_how, layout.gain_how)))
        gains = sorted({p.gain_mm_mv for p in layout.panels})
        if len(gains) > 1:
            rows.append(("", "some panels at " + ", ".join(f"{g:g}" for g in gains) + " mm/mV", ""))
        turned = [p.lead for p in layout.panels if p.polarity < 0]
        if turned:
            rows.append(("Printed inverted", ", ".join(dict.fromkeys(turned)), "turned back in the signal"))
    if story.px_per_mm:
        x, y = story.px_per_mm
        rows.append(("Scale", f"{x:.2f} × {y:.2f} px/mm", HOW.get(story.scale_how, story.scale_how)))
    if story.rotation_deg is not None:
        rows.append(("Rotation", f"{story.rotation_deg:.1f}°", ""))
    if story.page_map is not None and np.isfinite(story.page_map.residual_mm):
        rows.append(("Fit of the grid", f"{story.page_map.residual_mm:.3f} mm rms", ""))
    return _table("Paper", ("", "", "how it is known"), rows)


def _measure_words(m: Measure, factor: float, unit: str, digits: int = 0) -> tuple[str, str]:
    if not m.known:
        return "not measurable", ""
    least = 0.5 * 10.0**-digits
    sd = "too few beats to say"
    if np.isfinite(m.sd):
        sd = f"± {m.sd * factor:.{digits}f} {unit}" if m.sd * factor >= least else f"under {2 * least:g} {unit}"
    return f"{m.value * factor:.{digits}f} {unit}", sd


def _interval_rows(found: Intervals) -> list[tuple[str, str, str]]:
    return [
        ("Heart rate", *_measure_words(found.heart_rate_bpm, 1.0, "bpm", 1)),
        ("PR", *_measure_words(found.pr_s, 1e3, "ms")),
        ("QRS", *_measure_words(found.qrs_s, 1e3, "ms")),
        ("QT", *_measure_words(found.qt_s, 1e3, "ms")),
        ("QTc (Bazett)", *_measure_words(found.qtc_s, 1e3, "ms")),
    ]


def _interval_table(found: Intervals) -> str:
    n, usual = len(found.r_peaks_s), int(found.usual.sum())
    note = (
        f"{n} beats, {usual} of the prevailing shape. Measured by software, without a diagnosis."
        if n
        else "No beat was found."
    )
    rows = _interval_rows(found)
    return _table("Rate and intervals", ("", "", "uncertainty (1 sd)"), rows, note)


def _lead_table(recording: Recording, found: Intervals | None) -> str:
    rows = []
    for name in LEADS:
        k = LEAD_INDEX[name]
        known = np.flatnonzero(np.isfinite(recording.mv[k]))
        if not len(known):
            rows.append(f'<tr><td>{name}</td><td colspan="5" class="quiet">not printed or not seen</td></tr>')
            continue
        c = recording.confidence[k, known]
        mean = float(c.mean())
        r, g, b = (int(v) for v in confidence_colours(np.array([mean]))[0])
        bar = f'<span class="bar"><span style="width:{mean:.0%};background:rgb({r},{g},{b})"></span></span>{mean:.0%}'
        span = known[-1] + 1 - known[0]
        missing = f"{1 - len(known) / span:.1%}" if len(known) < span else "none"
        levels = []
        for levels_of in (found.r_mv, found.st_mv) if found else ({}, {}):
            m = levels_of.get(name)
            sd = f" ± {m.sd:.2f}" if m and np.isfinite(m.sd) else ""
            levels.append(f"{m.value:+.2f}{sd}" if m else "")
        window = f"{known[0] / recording.fs_hz:.2f} to {(known[-1] + 1) / recording.fs_hz:.2f} s"
        cells = (name, window, bar, missing, *levels)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{h}</th>" for h in ("lead", "printed", "mean confidence", "gaps", "R, mV", "ST, mV"))
    return f'<section class="wide"><h2>Leads</h2><table><tr>{head}</tr>{"".join(rows)}</table></section>'


def _check_table(checks: Checks | None) -> str:
    if checks is None or not checks.checks:
        return ""
    rows = []
    for check in checks.checks:
        value = f"{check.value:.3g} {check.unit}".strip() if np.isfinite(check.value) else ""
        mark = check.verdict.replace(" ", "-")
        rows.append(
            f'<tr><td>{escape(check.name)}</td><td class="{mark}">{escape(check.verdict)}</td>'
            f"<td>{escape(value)}</td><td>{escape(check.words)}</td></tr>"
        )
    return f'<section class="wide"><h2>Checks</h2><table>{"".join(rows)}</table></section>'


def _origin(story: PageStory) -> str:
    provenance = story.recording.provenance
    parts = [f"ecglift {__version__}"]
    if "sha256" in provenance:
        parts.append(f"file SHA-256 <code>{escape(str(provenance['sha256']))}</code>")
    models = provenance.get("models")
    if models:
        parts.append(
            "networks "
            + escape(", ".join(f"{k} {v}" for k, v in models.items()) if isinstance(models, dict) else str(models))
        )
    if story.timings_s:
        parts.append(f"read in {sum(story.timings_s.values()):.1f} s")
    return (
        f"<footer><p>{'; '.join(parts)}. Not a medical device: no diagnosis may rest on this page alone.</p></footer>"
    )


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str = "") -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = f'<p class="quiet">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>{below}</section>"


def _badge(status: str) -> str:
    return f'<span class="badge {escape(status, quote=True)}">{escape(status)}</span>'


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _fitted(image: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    if image.shape[1] == width_px:
        return image
    height = max(1, round(image.shape[0] * width_px / image.shape[1]))
    how = cv2.INTER_AREA if image.shape[1] > width_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width_px, height), interpolation=how), np.uint8)


_STYLE: Final = """
:root { color-scheme: light; font: 15px/1.45 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1c1e26; }
body { margin: 0 auto; max-width: 1700px; padding: 1rem 1.5rem; background: #fff; }
h1 { font-size: 1.35rem; display: inline-block; margin: 0 .6rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .3rem; }
header p { margin: .2rem 0 .6rem; color: #555; }
.badge { font-size: .8rem; font-weight: 600; padding: .1rem .55rem; border-radius: 1rem; vertical-align: .15rem; color:
#fff; }
.badge.ok { background: #1d7a46; } .badge.partial { background: #a86400; } .badge.failed { background: #b3202b; }
.problems { border-left: 4px solid #a86400; background: #fdf6ea; padding: .4rem .9rem; margin-bottom: .9rem; }
.problems.ok { border-color: #1d7a46; background: #eef7f1; } .problems ul { margin: 0; padding-left: 1.1rem; }
.problems p { margin: 0; } .problems .error b { color: #b3202b; }
code { font-size: .8em; color: #666; overflow-wrap: anywhere; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(620px, 100%), 1fr)); gap: 1.2rem;
align-items: start; }
figure { margin: 0; } figure svg, figure img { width: 100%; height: auto; display: block; border: 1px solid #ddd;
box-sizing: border-box; }
figcaption, .quiet, label { color: #666; font-size: .85rem; }
.stack { position: relative; } .stack .over { position: absolute; inset: 0; border-color: transparent; }
.page input:not(:checked) ~ .stack .over { visibility: hidden; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin-top: 1.1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .16rem .9rem .16rem 0; border-bottom: 1px solid #e6e6ea; vertical-align: top; }
th { font-weight: 500; color: #666; font-size: .85rem; }
.bar { display: inline-block; width: 7rem; height: .6rem; background: #ececf0; margin-right: .5rem; }
.bar span { display: block; height: 100%; }
.passed { color: #1d7a46; } .failed { color: #b3202b; } .doubtful { color: #a86400; } .not-possible { color: #777; }
.badge.failed { color: #fff; }
footer { margin-top: 1rem; color: #666; font-size: .8rem; border-top: 1px solid #ddd; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1rem; }
.card { display: block; color: inherit; text-decoration: none; border: 1px solid #ddd; border-radius: 6px; overflow:
hidden; }
.card:hover { border-color: #005cc8; } .card img { width: 100%; display: block; } .card div { padding: .5rem .7rem; }
.card ul { margin: .3rem 0 0; padding-left: 1.1rem; color: #555; font-size: .85rem; } .nopage { color: #888;
background: #f3f3f5; }
@page { size: A4 landscape; margin: 9mm; }
@media print {
  body { padding: 0; max-width: none; } :root { font-size: 10px; }
  .pictures { grid-template-columns: 1fr 1fr; gap: 5mm; }
  label, input { display: none; } section, figure, .card { break-inside: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""


def _document(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
