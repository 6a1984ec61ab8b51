"""The vector road: a PDF page that holds its traces as paths is read exactly, without a picture of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.beats import activity, likeness
from ecglift.drawn.curves import Curve, Pulse, as_pulse, split_pulse, to_curve
from ecglift.drawn.lines import Chain, Scale, find_chains, find_scale, words
from ecglift.drawn.text import Label, Place, find_labels, printed_gains, printed_speed
from ecglift.geometry import PageMap
from ecglift.leads import CHEST_LEADS, polarity
from ecglift.paper import DEFAULT_GAIN_MM_MV, DEFAULT_SPEED_MM_S, GAINS_MM_MV, TEMPLATES, How, Layout, Panel
from ecglift.pdfpaths import read_paths
from ecglift.problem import Problem, fail
from ecglift.sheet import Trace

Floats = NDArray[np.float64]

STAGE: Final = "vector"
_SHORTEST_MM: Final = 25.0
_LEAST_POINTS: Final = 40
_SAME_COLUMN_MM: Final = 3.0
_GAP_MM: Final = 1.5
_REST_MM: Final = 1.0
_ROUND_S: Final = 0.02
_SAMPLE_S: Final = 0.0025
"""A column that is within a sample of a multiple of the first lasts that."""
_ALIKE: Final = 0.55
"""Likeness of two columns of six leads from which on they show the same seconds, as in :mod:`ecglift.stages.starts`."""
_SPARSE_MM: Final = 0.13
"""Columns farther apart than at 200 Hz and 25 mm/s are points joined by lines, not a band-limited signal."""
_FINE_MM: Final = 0.05


@dataclass(frozen=True)
class VectorSettings:
    """``dpi``: of the page's picture that the map leads to. ``speed_mm_s``, ``gain_mm_mv``, ``layout``: as told."""

    dpi: float = 300.0
    speed_mm_s: float | None = None
    gain_mm_mv: float | None = None
    layout: str | None = None

    def __post_init__(self) -> None:
        if not self.dpi > 0:
            raise ValueError(f"dpi must be positive, got {self.dpi}")
        if self.layout is not None and self.layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {self.layout!r}")


@dataclass(frozen=True)
class VectorReading:
    """What a vector page shows, in printed millimetres: whole ones are grid lines, multiples of 5 the heavy ones.

    ``traces``: one per row, on even columns. ``map``: from millimetres to pixels of the page at the settings' dpi.
    ``bounds_mm``: what the grid covers; ``how``: the scale comes from the "grid" or, without one, from the "page".
    ``pulse_height_mm``: of the calibration pulses, None without any.
    """

    layout: Layout
    traces: tuple[Trace, ...]
    map: PageMap
    bounds_mm: tuple[float, float, float, float]
    how: How
    pulse_height_mm: float | None = None
    problems: tuple[Problem, ...] = ()


def read_vector(pdf: bytes, page_index: int, settings: VectorSettings | None = None) -> VectorReading:
    """The reading of one page of a PDF.

    StageError "vector-unreadable" when the page's paths make no ECG (take its picture instead), "leads-not-standard"
    when it shows other leads than the twelve, "pdf-encrypted" or "pdf-broken"; ValueError when there is no such page.
    """
    settings = settings or VectorSettings()
    paths = read_paths(pdf, page_index)
    scale = find_scale(paths)
    chains = [Chain(scale.to_mm(chain.points), chain.gaps) for chain in find_chains(paths, scale.lines)]
    pulses, lines = _told_apart(chains)
    if not lines:
        what = "is a picture" if paths.image_share > 0.5 else "holds no line that runs like a trace"
        raise fail("vector-unreadable", STAGE, f"this PDF page {what}; its rendering can be read instead")
    problems: list[Problem] = []
    speed_mm_s, speed_how = _speed(paths.letters, settings, problems)
    gains_mm_mv, gain_how = _gains(paths.letters, pulses, settings, problems)
    drawn = [_Drawn(curve, _rest_level(curve.y)) for curve in (to_curve(line, speed_mm_s) for line in lines)]
    rows = _zeroed(_in_rows(drawn), pulses)
    heights = [float(np.mean([d.zero for d in row])) for row in rows]
    reach_mm = 0.4 * float(np.median(np.diff(heights))) if len(heights) > 1 else 8.0
    labels = find_labels(words(paths), [d.place for row in rows for d in row], scale, reach_mm)
    named = _named(rows, labels, settings, problems)
    traces = tuple(_trace(k, [d.curve for d in row]) for k, row in enumerate(rows))
    panels = _panels(named, traces, speed_mm_s, gains_mm_mv, 4 if speed_how == "assumed" else 2)
    layout = Layout(_template_name(panels), panels, speed_mm_s, gains_mm_mv[0], speed_how, gain_how)
    if sum(len(line.gaps) for line in lines) > 20:
        message = "the traces are drawn in dashes: between them it is interpolated, rows that overlap may be mixed up"
        problems.append(Problem("traces-dashed", STAGE, message))
    if scale.how == "page":
        message = "the page has no grid that could be read: millimetres are those of the page's own size"
        problems.append(Problem("scale-from-page", STAGE, message))
    x0, y0, x1, y1 = scale.to_mm(np.array(scale.box).reshape(2, 2)).reshape(4).tolist()
    return VectorReading(
        layout,
        traces,
        _page_map(scale, (paths.width, paths.height), settings.dpi),
        (x0, y0, x1, y1),
        scale.how,
        float(np.median([p.height for p in pulses])) if pulses else None,
        tuple(problems),
    )


def _page_map(scale: Scale, page_pt: tuple[float, float], dpi: float) -> PageMap:
    # PDFium stretches a page over whole pixels, rounded up; a picture's first pixel is centred half a pixel inside it.
    px_per_pt = [np.ceil(size * dpi / 72) / size for size in page_pt]
    sx, sy = (pitch * px for pitch, px in zip(scale.pt_per_mm, px_per_pt, strict=True))
    x, y = (origin * px - 0.5 for origin, px in zip(scale.origin, px_per_pt, strict=True))
    return PageMap(np.array([[sx, 0, x], [0, sy, y], [0, 0, 1.0]]), residual_mm=0.0)


@dataclass(frozen=True)
class _Drawn:
    """A trace as it stands on the page: its curve in mm and the height of its zero line."""

    curve: Curve
    zero: float

    @property
    def x0(self) -> float:
        return self.curve.x0

    @property
    def x1(self) -> float:
        """End of the last sample: a sample lasts one step."""
        return self.curve.x0 + self.curve.step * len(self.curve.y)

    @property
    def place(self) -> Place:
        return Place(self.x0, self.x1, self.zero, float(self.curve.y[0]))


@dataclass(frozen=True)
class _Named:
    """A piece of a row and the lead that it shows."""

    row: int
    x0: float
    x1: float
    zero: float
    lead: str
    polarity: int
    confidence: float


def _rest_level(y: Floats) -> float:
    """The height in mm at which the line is most often: a heart rests longer than it beats."""
    y = y[np.isfinite(y)]
    bin_mm = 0.1
    counts = np.bincount(np.round((y - y.min()) / bin_mm).astype(int)).astype(float)
    smooth = np.convolve(counts, np.hanning(9), "same") if len(counts) > 9 else counts
    near = np.abs(y - y.min() - bin_mm * int(np.argmax(smooth))) <= 3 * bin_mm
    middle, rest = float(np.median(y)), float(y[near].mean())
    # A line that wanders has no rest: its middle is the better guess.
    return rest if abs(rest - middle) <= _REST_MM else middle


def _told_apart(chains: list[Chain]) -> tuple[list[Pulse], list[Chain]]:
    """(calibration pulses, traces, each left to right): a trace is long, has many points and never runs back."""
    pulses: list[Pulse] = []
    traces: list[Chain] = []
    for chain in chains:
        pulse = as_pulse(chain)
        if pulse is not None:
            pulses.append(pulse)
            continue
        steps = np.diff(chain.points[:, 0])
        if chain.size[0] < _SHORTEST_MM or len(chain.points) < _LEAST_POINTS:
            continue
        if (steps <= 0.01).mean() > 0.99:
            chain, steps = chain.reversed(), -steps[::-1]
        if (steps >= -0.01).mean() < 0.995 or steps.min() < -0.5:
            continue
        pulse, chain = split_pulse(chain)
        if pulse is not None:
            pulses.append(pulse)
        if chain.size[0] >= _SHORTEST_MM:
            traces.append(chain)
    return pulses, traces


def _speed(text: str, settings: VectorSettings, problems: list[Problem]) -> tuple[float, How]:
    if settings.speed_mm_s is not None:
        return settings.speed_mm_s, "given"
    printed = printed_speed(text)
    if printed is not None:
        return printed, "printed"
    message = f"the page does not state its speed: {DEFAULT_SPEED_MM_S:g} mm/s is assumed; give it if it is another"
    problems.append(Problem("speed-assumed", STAGE, message))
    return DEFAULT_SPEED_MM_S, "assumed"


def _gains(
    text: str, pulses: list[Pulse], settings: VectorSettings, problems: list[Problem]
) -> tuple[tuple[float, float], How]:
    """((limb leads, chest leads) in mm/mV, how they are known)."""
    pulse = float(np.median([p.height for p in pulses])) if pulses else None
    printed = printed_gains(text)
    if settings.gain_mm_mv is not None:
        return (settings.gain_mm_mv, settings.gain_mm_mv), "given"
    if printed is not None:
        if pulse is not None and min(abs(pulse / gain - 1) for gain in printed) > 0.05:
            stated = " and ".join(f"{gain:g}" for gain in dict.fromkeys(printed))
            message = f"the page states {stated} mm/mV but its 1 mV pulse is {pulse:.1f} mm tall: check the gain"
            problems.append(Problem("gain-conflict", STAGE, message))
        return printed, "printed"
    if pulse is not None:
        nearest = min(GAINS_MM_MV, key=lambda gain: abs(np.log(pulse / gain)))
        gain = nearest if abs(pulse / nearest - 1) < 0.05 else pulse
        return (gain, gain), "pulse"
    message = f"the page has neither gain nor pulse: {DEFAULT_GAIN_MM_MV:g} mm/mV is assumed; give it if it is another"
    problems.append(Problem("gain-assumed", STAGE, message))
    return (DEFAULT_GAIN_MM_MV, DEFAULT_GAIN_MM_MV), "assumed"


def _in_rows(drawn: list[_Drawn]) -> list[list[_Drawn]]:
    """The traces by row, top to bottom, each row left to right: what stands beside another at its height is one row."""
    rows: list[list[_Drawn]] = []
    first = min(d.x0 for d in drawn)
    column = sorted(d.zero for d in drawn if d.x0 - first <= _SAME_COLUMN_MM)
    reach = 0.45 * float(np.median(np.diff(column))) if len(column) > 1 else 20.0
    for d in sorted(drawn, key=lambda d: (d.x0 - first > _SAME_COLUMN_MM, d.x0)):
        beside = [
            (abs(float(np.mean([other.zero for other in row])) - d.zero), row)
            for row in rows
            if all(d.x0 >= other.x1 - 2 or d.x1 <= other.x0 + 2 for other in row)
        ]
        off, row = min(beside, key=lambda item: item[0], default=(np.inf, []))
        if off <= reach:
            row.append(d)
        else:
            rows.append([d])
    return [sorted(row, key=lambda d: d.x0) for row in sorted(rows, key=lambda row: np.mean([d.zero for d in row]))]


def _zeroed(rows: list[list[_Drawn]], pulses: list[Pulse]) -> list[list[_Drawn]]:
    """The rows with 0 mV at the foot of the pulse beside each, when every row has one; else at the trace's median."""
    feet: list[float] = []
    for row in rows:
        zero = float(np.mean([d.zero for d in row]))
        near = [p.foot for p in pulses if abs(p.foot - zero) <= 8 and (p.x1 <= row[0].x0 + 2 or p.x0 >= row[-1].x1 - 2)]
        if not near:
            return rows
        feet.append(min(near, key=lambda foot: abs(foot - zero)))
    if len(set(feet)) < len(rows):
        return rows
    return [[replace(d, zero=foot) for d in row] for row, foot in zip(rows, feet, strict=True)]


def _named(
    rows: list[list[_Drawn]], labels: list[list[Label]], settings: VectorSettings, problems: list[Problem]
) -> list[_Named]:
    """The pieces of the rows with their leads: a line that carries several labels is cut into as many equal parts."""
    out: list[_Named] = []
    unnamed: list[tuple[int, _Drawn]] = []
    others: list[str] = []
    queue = iter(labels)
    for k, row in enumerate(rows):
        for d in row:
            mine = _parts(d, next(queue))
            cuts = np.linspace(d.x0, d.x1, len(mine) + 1)
            for label, x0, x1 in zip(mine, cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
                if label.lead is None:
                    others.append(label.text)
                else:
                    out.append(_Named(k, x0, x1, d.zero, label.lead, label.polarity, 1.0))
            if not mine:
                unnamed.append((k, d))
    if settings.layout is not None or (unnamed and not out):
        if others and not out and settings.layout is None:
            unnamed = []
        else:
            return _by_template(rows, settings.layout, problems)
    if not out:
        names = ", ".join(others)
        message = f"the page shows {names}, none of the twelve standard leads; there is nothing to read from it"
        raise fail("leads-not-standard", STAGE, message)
    if others or unnamed:
        what = ", ".join(others + ["without a name"] * bool(unnamed))
        message = f"traces that are none of the twelve leads are left out: {what}"
        problems.append(Problem("lead-left-out", STAGE, message))
    return out


def _parts(d: _Drawn, labels: list[Label]) -> list[Label]:
    """The labels that cut a trace into equal parts: each stands where its part begins, and the leads differ."""
    width = (d.x1 - d.x0) / max(len(labels), 1)
    fits = all(-0.3 * width <= label.x - d.x0 - k * width <= 0.5 * width for k, label in enumerate(labels))
    if len({label.text for label in labels}) == len(labels) and fits:
        return labels
    return labels[:1]


def _by_template(rows: list[list[_Drawn]], told: str | None, problems: list[Problem]) -> list[_Named]:
    """Names by the usual order, for a page without readable ones or when the layout is told."""
    counts = [len(row) for row in rows]
    names = [told] if told else [name for name in TEMPLATES if "cabrera" not in name]
    for name in names:
        template = TEMPLATES[name]
        rhythm = [("II",)] * template.rhythm_strips
        wanted = [*template.rows, *rhythm]
        one_line = [1] * len(wanted)
        if counts == [len(leads) for leads in wanted] or (told and counts == one_line):
            break
    else:
        if told:
            message = f"layout {told} does not fit the {len(rows)} rows that the page draws"
            raise fail("layout-mismatch", STAGE, message)
        raise fail("vector-unreadable", STAGE, "the traces of this PDF page carry no lead names; try its rendering")
    if not told:
        message = f"the traces carry no names: those of the usual {name} sheet are assumed; check them"
        problems.append(Problem("names-assumed", STAGE, message))
    out = []
    for k, (row, leads) in enumerate(zip(rows, wanted, strict=True)):
        ends = [(d.x0, d.x1) for d in row]
        if len(row) < len(leads):
            cuts = np.linspace(row[0].x0, row[-1].x1, len(leads) + 1).tolist()
            ends = list(pairwise(cuts))
        for (x0, x1), text in zip(ends, leads, strict=True):
            lead, sign = polarity(text)
            assert lead is not None  # templates hold lead names only
            out.append(_Named(k, x0, x1, row[0].zero, lead, sign, 1.0 if told else 0.5))
    return out


def _trace(row: int, curves: list[Curve]) -> Trace:
    """The row's curves on one set of even columns: their own samples when these fit together, finer ones when not."""
    first = curves[0]
    step = first.step
    apart = [(c.x0 - first.x0) / step for c in curves]
    alike = all(abs(c.step / step - 1) < 2e-4 for c in curves) and all(abs(a - round(a)) < 0.05 for a in apart)
    # Sparse samples are joined by straight lines on the page; nothing finer than those lines was printed.
    if not (alike and step <= _SPARSE_MM):
        step = min(_FINE_MM, *(c.step for c in curves)) / 2 if not alike else step / np.ceil(step / _FINE_MM)
    n = round((curves[-1].x0 - first.x0 + curves[-1].step * len(curves[-1].y)) / step)
    x = np.asarray(first.x0 + step * np.arange(n), float)
    y, sigma = np.full(n, np.nan), np.full(n, np.nan)
    for c in curves:
        start = round((c.x0 - first.x0) / step)
        stop = min(round((c.x[-1] - first.x0) / step) + 1, n)
        same = alike and step == c.step and stop - start == len(c.y)
        at = x[start:stop]
        y[start:stop] = c.y if same else np.interp(at, c.x, c.y)
        sigma[start:stop] = c.sigma if same else np.interp(at, c.x, c.sigma)
    return Trace(row, x, y, np.nan_to_num(sigma, nan=1.0), np.isfinite(y).astype(float))


def _panels(
    named: list[_Named],
    traces: tuple[Trace, ...],
    speed_mm_s: float,
    gains_mm_mv: tuple[float, float],
    parts: int,
) -> tuple[Panel, ...]:
    """The panels with their times: by place along the page where columns go on in time, else by their count.

    ``parts``: of a second that a column lasts a whole number of; four, where the speed may turn out to be half as high.
    """
    rows: dict[int, list[_Named]] = {}
    for piece in sorted(named, key=lambda p: (p.row, p.x0)):
        rows.setdefault(piece.row, []).append(piece)
    most = max(len(row) for row in rows.values())
    left = min(p.x0 for p in named)
    columns = [row for row in rows.values() if len(row) == most]
    usual = float(np.median([p.x1 - p.x0 for row in columns for p in row]))
    strips = [row[0] for row in rows.values() if most > 1 and len(row) == 1 and row[0].x1 - row[0].x0 > 1.5 * usual]
    together = most > 1 and _same_time(columns, strips, traces, speed_mm_s)
    panels: list[Panel] = []
    for row in rows.values():
        column_s = _column_s(row, speed_mm_s, parts)
        for k, p in enumerate(row):
            start_s = (p.x0 - left) / speed_mm_s
            if together and len(row) == most:
                start_s = (p.x0 - min(other[k].x0 for other in columns)) / speed_mm_s
            elif column_s is not None:
                start_s = (row[0].x0 - left) / speed_mm_s + k * column_s
            gain = gains_mm_mv[1] if p.lead in CHEST_LEADS else gains_mm_mv[0]
            panels.append(
                Panel(p.lead, p.row, k, p.x0, p.x1, p.zero, start_s, gain, p.polarity, p in strips, p.confidence)
            )
    return tuple(panels)


def _column_s(row: list[_Named], speed_mm_s: float, parts: int) -> float | None:
    """Seconds from one column to the next where a gap on the paper parts them; None where place along the page is time.

    What is a multiple of a second over ``parts`` tells: the distance of the columns (some devices leave out the last
    samples of each), or their length (others print a gap between them). Without either a gap counts when it is wide.
    """
    if len(row) < 2:
        return None
    distance = float(np.median([b.x0 - a.x0 for a, b in pairwise(row)])) / speed_mm_s
    length = float(np.median([p.x1 - p.x0 for p in row[:-1]])) / speed_mm_s
    nominal = round(parts * length) / parts
    off_distance, off_length = abs(distance - round(parts * distance) / parts), abs(length - nominal)
    if (distance - length) * speed_mm_s <= 0.2 or off_distance <= min(off_length, 0.012):
        return None
    if off_length <= 0.012:
        return nominal
    if (distance - length) * speed_mm_s <= _GAP_MM:
        return None
    # A line of n points may stand for n samples or, with both of its ends drawn, for n - 1: the rounder time it is.
    round_s = round(length / _ROUND_S) * _ROUND_S
    return round_s if abs(length - round_s) <= _SAMPLE_S else length


def _same_time(columns: list[list[_Named]], strips: list[_Named], traces: tuple[Trace, ...], speed_mm_s: float) -> bool:
    """Whether all columns show the same seconds: then the beats of every column stand at the same places in it.

    A rhythm strip tells it best: the beats of a column stand over those of the strip below it, or over those of the
    strip's beginning. Without a strip the columns are compared. Chest and limb leads have their steepest moment up to
    25 ms apart, and by chance the beats of a regular rhythm agree so well once in twenty pages: in two columns of six,
    which are printed both ways, that is worth it; elsewhere they must agree to 6 ms.
    """
    by_row = {t.row: t for t in traces}
    step = 0.002 * speed_mm_s
    width = min(p.x1 - p.x0 for row in columns for p in row)
    place = np.arange(0, width - step, step)

    def beats(pieces: list[tuple[int, float]]) -> Floats:
        return activity(by_row, pieces, place, 13)

    by_column = [beats([(row[k].row, row[k].x0) for row in columns]) for k in range(len(columns[0]))]
    reach, least = (12, _ALIKE) if strips or (len(columns), len(columns[0])) == (6, 2) else (3, 0.6)

    if strips:
        first = columns[0][0].x0
        # Where gaps part the columns, the strip below them has none: it runs on by the columns' length.
        length = float(np.median([p.x1 - p.x0 for row in columns for p in row]))
        here = [
            max(likeness(a, beats([(p.row, x) for p in strips]), reach) for x in (columns[0][k].x0, first + k * length))
            for k, a in enumerate(by_column[1:], 1)
        ]
        begin = [likeness(a, beats([(p.row, first) for p in strips]), reach) for a in by_column[1:]]
        return float(np.mean(begin)) > float(np.mean(here)) + 0.1
    for other in by_column[1:]:
        everywhere = np.correlate(by_column[0], other, "full")
        if likeness(by_column[0], other, reach) < max(least, float(everywhere.max()) - 1e-9):
            return False
    return True


def _template_name(panels: tuple[Panel, ...]) -> str:
    """The usual layout that these panels are, or "custom"."""
    rows: dict[int, list[Panel]] = {}
    for p in panels:
        rows.setdefault(p.row, []).append(p)
    names = tuple(
        tuple(f"-{p.lead}" if p.polarity < 0 else p.lead for p in row) for row in rows.values() if not row[0].rhythm
    )
    strips = sum(row[0].rhythm for row in rows.values())
    for template in TEMPLATES.values():
        if template.rows == names and template.rhythm_strips == strips:
            return template.name
    return "custom"
