"""Lines of a drawn page, told apart by their structure: the lattice of the grid, the words, what a pen drew in one go.

Everything is in the page's points (1/72 inch, y downwards); what a millimetre is comes out of here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ecglift.paper import How
from ecglift.pdfpaths import PagePaths

Floats = NDArray[np.float64]

PT_PER_MM: Final = 72 / 25.4
_LEAST_LINES: Final = 8
_LEAST_MARKS: Final = 200


@dataclass(frozen=True)
class Lattice:
    """Evenly spaced positions ``offset + pitch·k``. ``share``: part of the positions that lie on it."""

    pitch: float
    offset: float
    share: float


@dataclass(frozen=True)
class Scale:
    """Points per printed millimetre in x and y, where a heavy line crosses another, and how that is known.

    ``box``: x0, y0, x1, y1 that the grid covers, the whole page without one. ``lines``: numbers of the grid's lines.
    """

    pt_per_mm: tuple[float, float]
    origin: tuple[float, float]
    how: How
    box: tuple[float, float, float, float]
    lines: frozenset[int]

    def to_mm(self, points: Floats) -> Floats:
        return np.asarray((points - np.array(self.origin)) / np.array(self.pt_per_mm))


def fit_lattice(positions: Floats) -> Lattice | None:
    """The lattice through ``positions`` (n,), some of them missing, double or astray; None when there is none."""
    values = np.unique(np.round(positions, 3))
    if len(values) < 4:
        return None
    # Positions that a device rounded apart are one.
    values = values[np.concatenate([[True], np.diff(values) > 0.15])]
    steps = np.diff(values)
    if len(steps) < 3:
        return None
    usual = float(np.median(steps[steps <= 1.5 * np.percentile(steps, 25)]))
    offset, pitch = float(values[0]), usual
    index = np.round((values - offset) / pitch)
    for _ in range(4):
        near = np.abs(values - offset - pitch * index) <= 0.15 * pitch
        if near.sum() < 4:
            return None
        pitch, offset = (float(v) for v in np.polyfit(index[near], values[near], 1))
        index = np.round((values - offset) / pitch)
    close = np.abs(values - offset - pitch * index)
    close = close <= max(3 * float(np.median(close)), 0.01)
    pitch, offset = (float(v) for v in np.polyfit(index[close], values[close], 1))
    share = float((np.abs(values - offset - pitch * index) <= 0.08 * pitch).mean())
    return Lattice(pitch, offset, share) if share >= 0.9 else None


def find_scale(paths: PagePaths) -> Scale:
    """The page's scale: from the grid's lines, else from dots or letters on a lattice, else 72 points an inch.

    Grid lines are straight, long, parallel to the page's edges and evenly spaced, eight or more of one colour and
    width in each direction. Where two lattices of ratio 5 lie in each other the finer is 1 mm; one alone is 1 mm or
    5 mm, whichever is nearer to the page's own size.
    """
    by_lines = [_line_lattices(paths, axis) for axis in (0, 1)]
    x, y = (_millimetre(lattices) for lattices, _ in by_lines)
    used = by_lines[0][1] | by_lines[1][1]
    box = (0.0, 0.0, paths.width, paths.height)
    if x is not None and y is not None and 0.8 < x.pitch / y.pitch < 1.25:
        grid = np.concatenate([paths.line(k) for k in used])
        (x0, y0), (x1, y1) = grid.min(axis=0).tolist(), grid.max(axis=0).tolist()
        return Scale((x.pitch, y.pitch), (x.offset, y.offset), "grid", (x0, y0, x1, y1), used)
    marks = [fit_lattice(places) for places in _mark_positions(paths)]
    x, y = (_millimetre([lattice] if lattice else []) for lattice in marks)
    if x is not None and y is not None and 0.8 < x.pitch / y.pitch < 1.25:
        pitches = x.pitch, y.pitch
        if max(abs(p / PT_PER_MM - 1) for p in pitches) < 0.003:
            # Marks are set to whole device units, which bends their lattice more than a printer bends its page.
            pitches = PT_PER_MM, PT_PER_MM
        return Scale(pitches, (x.offset, y.offset), "grid", box, frozenset())
    return Scale((PT_PER_MM, PT_PER_MM), (0.0, 0.0), "page", box, frozenset())


def _line_lattices(paths: PagePaths, axis: int) -> tuple[list[Lattice], frozenset[int]]:
    """(lattices of the lines that stand at a fixed x (axis 0) or y (axis 1), finest first; numbers of those lines)."""
    spans = _spans(paths)
    few = np.diff(paths.starts) <= 6
    thin = (spans[:, axis] <= 0.02 + 0.5 * paths.filled) & (spans[:, 1 - axis] >= 4.5 * PT_PER_MM) & few
    styles: dict[tuple[int, ...], dict[float, float]] = defaultdict(lambda: defaultdict(float))
    members: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for k in np.flatnonzero(thin):
        line = paths.line(int(k))
        style = (*paths.colour[k].tolist(), round(100 * float(paths.line_width[k])))
        styles[style][round(float(line[:, axis].mean()), 2)] += float(spans[k, 1 - axis])
        members[style].append(int(k))
    families = [
        (style, np.array([p for p, length in positions.items() if length >= 20 * PT_PER_MM]))
        for style, positions in styles.items()
    ]
    families = [(style, positions) for style, positions in families if len(positions) >= _LEAST_LINES]
    lattices = [lattice for _, positions in families if (lattice := fit_lattice(positions)) is not None]
    if len(families) > 1:
        # The light lines often leave out the places of the heavy ones: only together are they a full lattice.
        together = fit_lattice(np.concatenate([positions for _, positions in families]))
        lattices += [together] if together is not None else []
    used = frozenset(k for style, _ in families for k in members[style]) if lattices else frozenset()
    return sorted(lattices, key=lambda lattice: lattice.pitch), used


def _spans(paths: PagePaths) -> Floats:
    """(k, 2) width and height of each line."""
    if not len(paths):
        return np.zeros((0, 2))
    starts = paths.starts[:-1]
    return np.asarray(np.maximum.reduceat(paths.points, starts) - np.minimum.reduceat(paths.points, starts))


def _mark_positions(paths: PagePaths) -> list[Floats]:
    """x and y of the page's commonest mark, a letter of one font or a dot of one style, that stands there 200 times."""
    groups: dict[tuple[object, ...], list[Floats]] = defaultdict(list)
    for letter, font, box in zip(paths.letters, paths.fonts, paths.boxes, strict=True):
        if box[2] > box[0] and not letter.isspace():
            groups[letter, int(font)].append((box[:2] + box[2:]) / 2)
    for k in np.flatnonzero(_spans(paths).max(axis=1, initial=0.0) <= 0.4 * PT_PER_MM):
        line = paths.line(int(k))
        groups["dot", *paths.colour[k].tolist()].append((line.min(axis=0) + line.max(axis=0)) / 2)
    marks = max(groups.values(), key=len, default=[])
    if len(marks) < _LEAST_MARKS:
        return [np.zeros(0), np.zeros(0)]
    places = np.array(marks)
    return [_repeated(places[:, axis]) for axis in (0, 1)]


def _repeated(positions: Floats) -> Floats:
    """The positions (to 0.1 points) where many marks stand."""
    _, index, count = np.unique(np.round(positions, 1), return_inverse=True, return_counts=True)
    often = count >= max(4, 0.2 * count.max())
    return np.array([positions[index == k].mean() for k in np.flatnonzero(often)])


def _millimetre(lattices: Iterable[Lattice]) -> Lattice | None:
    """The lattice of 1 mm with a heavy line at its offset, from the lattices found in one direction."""
    found = sorted(lattices, key=lambda lattice: lattice.pitch)
    if not found:
        return None
    fine = found[0]
    heavy = next((lattice for lattice in found if 4.9 < lattice.pitch / fine.pitch < 5.1), None)
    if heavy is not None:
        return Lattice(heavy.pitch / 5, heavy.offset, heavy.share)
    size_mm = fine.pitch / PT_PER_MM
    if 2.5 <= size_mm <= 10:
        return Lattice(fine.pitch / 5, fine.offset, fine.share)
    return fine if 0.4 <= size_mm < 2.5 else None


@dataclass(frozen=True)
class Word:
    """A run of letters without a space: its text, left and right end and baseline, height of its box."""

    text: str
    x0: float
    x1: float
    baseline: float
    height: float


def words(paths: PagePaths) -> tuple[Word, ...]:
    """The words of the page in the order in which they are written."""
    out: list[Word] = []
    start = 0
    letters = paths.letters
    for k in range(1, len(letters) + 1):
        ends = k == len(letters) or letters[k].isspace() or letters[k - 1].isspace()
        if not ends:
            height = max(float(paths.boxes[k - 1, 3] - paths.boxes[k - 1, 1]), 1.0)
            gap = float(paths.boxes[k, 0] - paths.boxes[k - 1, 2])
            ends = not -2 * height < gap < 0.8 * height
            ends = ends or abs(float(paths.origins[k, 1] - paths.origins[k - 1, 1])) > 0.5 * height
        if ends:
            text = letters[start:k].strip().replace("\u2011", "-").replace("\u2212", "-")
            box = paths.boxes[start:k]
            if text and text.isprintable():
                (x0, y0), (x1, y1) = box[:, :2].min(axis=0).tolist(), box[:, 2:].max(axis=0).tolist()
                out.append(Word(text, x0, x1, float(paths.origins[start, 1]), y1 - y0))
            start = k
    return tuple(out)


@dataclass(frozen=True)
class Chain:
    """What a pen drew in one go: ``points`` (n, 2); ``gaps``: index k where it was lifted between point k and k + 1."""

    points: Floats
    gaps: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of its box."""
        width, height = np.ptp(self.points, axis=0).tolist()
        return width, height

    def reversed(self) -> Chain:
        n = len(self.points)
        return Chain(self.points[::-1], tuple(sorted(n - 2 - k for k in self.gaps)))

    def part(self, start: int, stop: int) -> Chain:
        """Its points ``start`` to ``stop`` (exclusive)."""
        return Chain(self.points[start:stop], tuple(k - start for k in self.gaps if start <= k < stop - 1))


def find_chains(
    paths: PagePaths, without: frozenset[int], touch: float = 0.06, dash: float = 1.3 * PT_PER_MM
) -> list[Chain]:
    """The pen lines of the page but for the lines ``without``: pieces that touch are one, so are dashes in a row.

    ``touch``, ``dash``: how far apart such pieces may be, in points. Devices write a trace as one path, as a path for
    every few samples, as one for every segment, or as dashes of their own. Pieces are joined in the order in which they
    are drawn, only with pieces of the same colour and width.
    """
    pens: dict[tuple[int, ...], list[Floats]] = defaultdict(list)
    for k in range(len(paths)):
        line = paths.line(k)
        if k in without or paths.filled[k] or len(line) < 2:
            continue
        if paths.closed[k]:
            line = np.concatenate([line, line[:1]])
        pens[(*paths.colour[k].tolist(), round(100 * float(paths.line_width[k])))].append(line)
    chains: list[Chain] = []
    for pieces in pens.values():
        chains += _dashes_joined(_touching_joined(pieces, touch), dash)
    return chains


def _touching_joined(pieces: list[Floats], touch: float) -> list[Floats]:
    open_ends: dict[tuple[int, int], int] = {}
    joined: list[list[Floats]] = []

    def key(point: Floats) -> tuple[int, int]:
        return round(float(point[0]) / touch), round(float(point[1]) / touch)

    for piece in pieces:
        here = open_ends.pop(key(piece[0]), None)
        if here is None and joined and np.abs(joined[-1][-1][-1] - piece[0]).max() <= touch:
            here = len(joined) - 1
            open_ends.pop(key(joined[here][-1][-1]), None)
        if here is None:
            joined.append([piece])
            here = len(joined) - 1
        else:
            joined[here].append(piece[1:])
        open_ends[key(piece[-1])] = here
    return [np.concatenate(parts) for parts in joined]


def _dashes_joined(lines: list[Floats], dash: float) -> list[Chain]:
    """Short pieces that follow each other from left to right become one chain with gaps; the others stay."""
    short = [k for k, line in enumerate(lines) if np.ptp(line[:, 0]) <= 4 * PT_PER_MM and line[-1, 0] >= line[0, 0]]
    chains = [Chain(line) for k, line in enumerate(lines) if k not in set(short)]
    if len(short) < 20:
        return chains + [Chain(lines[k]) for k in short]
    rows: list[list[Floats]] = []
    pieces = sorted((lines[k] for k in short), key=lambda line: float(line[0, 0]))
    starts = np.array([piece[0, 0] for piece in pieces])
    # Rows of one device are dashed in step: all that start together are matched together, or an R wave that was
    # lifted over would take the piece of the row above.
    for together in np.split(np.arange(len(pieces)), np.flatnonzero(np.diff(starts) > 0.1) + 1):
        begins = np.array([pieces[k][0] for k in together])
        open_rows = [row for row in rows if -0.02 <= begins[0, 0] - row[-1][-1, 0] <= dash]
        ends = np.array([row[-1][-1, 1] for row in open_rows])
        usual = np.array([np.median([piece[0, 1] for piece in row]) for row in open_rows])
        # A line goes on where it was, and comes back to where it usually is; the root makes one long jump cheaper
        # than two middling ones.
        jump, stray = (np.abs(begins[:, None, 1] - heights[None, :]) for heights in (ends, usual))
        taken, given = linear_sum_assignment(np.sqrt(jump) + 2 * np.sqrt(stray))
        for k, r in zip(taken, given, strict=True):
            open_rows[r].append(pieces[together[k]])
        rows += [[pieces[k]] for k in np.delete(together, taken)]
    for row in rows:
        ends_at = np.cumsum([len(line) for line in row])[:-1] - 1
        chains.append(Chain(np.concatenate(row), tuple(int(k) for k in ends_at)))
    return chains
