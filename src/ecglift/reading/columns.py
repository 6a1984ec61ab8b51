"""Where the panels stand along the time axis: one pitch and width for all rows, fitted to the edges that were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.paper import LARGE_SQUARE_MM
from ecglift.reading.hypotheses import RowView

_CONTIGUOUS_MM: Final = 0.8
"""Panels whose pitch and width differ by less touch each other."""

_TOUCH_MM: Final = 1.0
"""How near to a place an edge must be to stand for it."""

_NOMINAL_S: Final = 0.5
_NOMINAL_MM: Final = 0.5
"""Columns last whole multiples of the first, in seconds, when they are that near to one. Three makers' printouts and
every generator known to us have 2.5, 5 or 10 s; a column's length is found to 0.1 mm, seldom worse than 0.4.
"""

_HEAVY_MM: Final = 0.3
"""Columns that begin this near to a line of the 5 mm grid begin on it. A start is found to 0.1 mm, seldom worse than
0.28; one page in three or more is laid out on its grid, and one in eight comes this near by chance."""

_CUT_NOMINAL_MM: Final = 1.5
"""Columns of which the first or the last is cut off are known by the others' edges: they may be that far off."""

_CUT_MM: Final = 5.0
_AT_MM: Final = 1.5
"""What names say is tried when it differs that much from the rows' length; an edge so near to a column's is its own."""

MOST_ROWS: Final = 0.6
"""What that share of a sheet's rows show is so for all."""

_SAME_LENGTH: Final = 0.03
"""Relative difference up to which columns are as long together as a row of one panel that lasts whole seconds."""


_TIE: Final = 0.05
_LOOSE: Final = 1e-4
"""Weights of what was guessed beside an edge's chance."""


@dataclass(frozen=True)
class Columns:
    """Equal columns: number k begins at ``x0_mm + k·pitch_mm`` and is ``width_mm`` wide; ``support``: how many edges
    were fitted; ``cut``: whether no row shows where the first begins, and where the last ends.
    """

    n: int
    x0_mm: float
    pitch_mm: float
    width_mm: float
    support: int = 0
    cut: tuple[bool, bool] = (False, False)

    def start_mm(self, column: int) -> float:
        return self.x0_mm + column * self.pitch_mm

    def end_mm(self, column: int) -> float:
        return self.start_mm(column) + self.width_mm


def extents(views: Sequence[RowView]) -> tuple[tuple[float, float], ...]:
    """Left and right end of the rows together, mm: of most of those that are nearly as long as the longest, and, where
    that is longer, from the first to the last of them: a torn page cuts some rows short."""
    first, last = _reaches(views)
    common, widest = (float(np.median(first)), float(np.median(last))), (min(first), max(last))
    return (common, widest) if widest[1] - widest[0] > common[1] - common[0] + _CUT_MM else (common,)


def within_rows(extent: tuple[float, float], views: Sequence[RowView]) -> tuple[float, float]:
    """``extent``, mm, of several rows no farther than the first and the last of ``views`` that are nearly as long as
    the longest: others, the edge of a grid among them, have no say."""
    first, last = _reaches(views)
    x0 = min(first) if min(first) > extent[0] + _CUT_MM else extent[0]
    x1 = max(last) if max(last) < extent[1] - _CUT_MM else extent[1]
    return (x0, x1) if x0 < x1 else extent


def _reaches(views: Sequence[RowView]) -> tuple[list[float], list[float]]:
    """Where the rows begin that are nearly as long as the longest, and where they end, mm."""
    long = [v.row for v in views if v.row.weight_mm > 0.6 * max(w.row.weight_mm for w in views)]
    first, last = [], []
    for view in views:
        if view.row in long:
            starts = [e.x_mm for e in view.starts if abs(e.x_mm - view.row.x0_mm) < 4 and e.chance > 0.4]
            ends = [e.x_mm for e in view.ends if abs(e.x_mm - view.row.x1_mm) < 4 and e.chance > 0.4]
            first.append(starts[0] if starts else view.row.x0_mm)
            last.append(ends[-1] if ends else view.row.x1_mm)
    return first, last


def fit_columns(
    views: Sequence[RowView],
    rows: Sequence[int],
    n: int,
    extent: tuple[float, float],
    named: Sequence[tuple[int, float, float]] = (),
) -> Columns:
    """The columns of the given rows, from the edges near where ``n`` equal columns over ``extent`` would have them, or
    near where the names say that they are: on a cropped page the last one is not whole.

    ``named``: (column, start in mm by its name, chance) of every name that was read.
    """
    fits = [_fitted(views, rows, n, extent, extent)]
    if n > 1 and len({column for column, _, _ in named}) == n:
        column, start, chance = (np.array(values, float) for values in zip(*named, strict=True))
        pitch, x0 = np.polyfit(column, start, 1, w=np.sqrt(chance))
        if abs(n * pitch - (extent[1] - extent[0])) > _CUT_MM:
            fits.append(_fitted(views, rows, n, (float(x0), float(x0 + n * pitch)), extent))
    return max(fits, key=lambda fit: _seen(views, rows, fit))


def _seen(views: Sequence[RowView], rows: Sequence[int], columns: Columns) -> float:
    """Chances of the edges, over all rows, that stand where ``columns`` begin and end, less the farther off."""
    places = {columns.start_mm(k) for k in range(columns.n)} | {columns.end_mm(k) for k in range(columns.n)}
    edges = [edge for k in rows for edge in (*views[k].starts, *views[k].ends)]
    return sum(edge.chance * max(1 - min(abs(edge.x_mm - x) for x in places) / _AT_MM, 0.0) for edge in edges)


def _touch(views: Sequence[RowView], rows: Sequence[int], columns: Columns) -> bool:
    """Whether columns end where the next ones start rather than where their fitted width says: the last one's end, on
    a torn page the same in all rows, may have pulled it."""

    def ends_at(x_mm: float, k: int) -> float:
        return max((edge.chance for edge in views[k].ends if abs(edge.x_mm - x_mm) < _TOUCH_MM), default=0.0)

    inner = [(k, column) for k in rows for column in range(columns.n - 1)]
    touching = sum(ends_at(columns.start_mm(column + 1), k) for k, column in inner)
    return touching > sum(ends_at(columns.end_mm(column), k) for k, column in inner)


def _fitted(
    views: Sequence[RowView], rows: Sequence[int], n: int, guess_mm: tuple[float, float], extent: tuple[float, float]
) -> Columns:
    """Weighted least squares over the edges of all rows; three times, with what agrees ever better.

    ``guess_mm``: from where to where the columns are thought to be; ``extent``: as far as the rows are seen. Where they
    are cut off no column begins or ends.
    """
    x0, x1 = guess_mm
    cut = x0 < extent[0] - _CUT_MM, x1 > extent[1] + _CUT_MM
    pitch, width = (x1 - x0) / n, (x1 - x0) / n
    reach = 0.2 * pitch
    support = 0
    for reach in (min(0.2 * pitch, 9.0), 2.0, 1.0):
        a, b, w = [], [], []
        for k in rows:
            for edges, is_end in ((views[k].starts, 0.0), (views[k].ends, 1.0)):
                for column in range(n):
                    if (cut[0] and column == 0 and not is_end) or (cut[1] and column == n - 1 and is_end):
                        continue
                    expected = x0 + column * pitch + is_end * width
                    near = [e for e in edges if abs(e.x_mm - expected) < reach]
                    if near:
                        edge = max(near, key=lambda e: e.chance - 0.1 * abs(e.x_mm - expected))
                        a.append((1.0, float(column), is_end))
                        b.append(edge.x_mm)
                        w.append(edge.chance)
        support = len(a)
        seen = {(column, is_end) for _, column, is_end in a}
        unseen = (0.0, 0.0) not in seen, (n - 1.0, 1.0) not in seen
        # Weak ties to the first guess keep the fit determined where few edges are seen. An end that no row shows is
        # where the others say.
        ties = [_LOOSE if cut_off and support > len(rows) else _TIE for cut_off in unseen]
        guess = ((1.0, 0.0, 0.0), x0, ties[0]), ((1.0, n - 1.0, 1.0), x1, ties[1]), ((0.0, 1.0, -1.0), 0.0, _TIE)
        for row, value, tie in guess:
            a.append(row)
            b.append(value)
            w.append(tie)
        weight = np.sqrt(np.array(w))
        solution = np.linalg.lstsq(np.array(a) * weight[:, None], np.array(b) * weight, rcond=None)[0]
        x0, pitch, width = (float(v) for v in solution)
    if n == 1 or abs(pitch - width) < _CONTIGUOUS_MM or _touch(views, rows, Columns(n, x0, pitch, width)):
        if n > 1 and any(unseen):
            # What was a small gap would all be put at the end that is seen.
            touching = np.array([(one[0], one[1] + one[2]) for one in a])
            x0, pitch = (float(v) for v in np.linalg.lstsq(touching * weight[:, None], b * weight, rcond=None)[0])
        width = pitch if n > 1 else width
    return Columns(n, x0, pitch, width, support, unseen)


def nominal(columns: Columns, speed_mm_s: float) -> Columns:
    """``columns`` as the device meant them: whole half seconds long, begun on a line of the 5 mm grid if near one.

    A start is found to a pen's width; at 25 mm/s half of that is already 5 ms.
    """
    cut = columns.n > 1 and any(columns.cut) and not all(columns.cut)
    off_mm = _CUT_NOMINAL_MM if cut else _NOMINAL_MM
    pitch = nominal_mm(columns.pitch_mm if columns.n > 1 else columns.width_mm, speed_mm_s, off_mm=off_mm)
    if pitch is None:
        return columns
    width = pitch if columns.width_mm == columns.pitch_mm or columns.n == 1 else columns.width_mm
    # What is known is the middle of all edges that are seen: it stays where it was found.
    first, last = (columns.cut[0], columns.n - 1 - columns.cut[1]) if cut else (0, columns.n - 1)
    middle = (columns.start_mm(first) + columns.end_mm(last)) / 2
    x0 = middle - ((first + last) * pitch + width) / 2
    line = round(x0 / LARGE_SQUARE_MM) * LARGE_SQUARE_MM
    return replace(columns, x0_mm=line if abs(x0 - line) < _HEAVY_MM else x0, pitch_mm=pitch, width_mm=width)


def together(columns: dict[int, Columns], speed_mm_s: float) -> dict[int, Columns]:
    """The nominal columns of rows with 1, 2, … panels. A row of one panel has the clearest ends: where it lasts whole
    half seconds, the columns of the other rows fill it."""
    out = {n: nominal(some, speed_mm_s) for n, some in columns.items()}
    if 1 not in out or nominal_mm(out[1].width_mm, speed_mm_s) is None:
        return out
    for n, some in out.items():
        pitch = out[1].width_mm / n
        if n > 1 and some.width_mm < some.pitch_mm and abs(some.width_mm - pitch) < _NOMINAL_MM:
            # As long together as the row of one panel, with gaps between them.
            out[n] = replace(some, width_mm=pitch)
            continue
        if 0 < abs(some.pitch_mm / pitch - 1) < _SAME_LENGTH and nominal_mm(some.pitch_mm, speed_mm_s) is None:
            width = pitch if some.width_mm == some.pitch_mm else some.width_mm
            out[n] = replace(some, x0_mm=out[1].x0_mm, pitch_mm=pitch, width_mm=width)
    return out


def common_place(places: Sequence[float], rows: int, within_mm: float, share: float = MOST_ROWS) -> float | None:
    """The place (mm) that most of ``rows``, ``share`` of them, agree on to ``within_mm``, None without one."""
    if not places:
        return None
    seen: NDArray[np.float64] = np.array(places)
    alike = np.abs(seen[:, None] - seen) < within_mm
    # Around the place in the middle, or, where fewer than half of all may do, around that with most others near it.
    middle = np.abs(seen - np.median(seen)) < within_mm
    near = seen[max(middle, alike[int(alike.sum(axis=0).argmax())], key=np.count_nonzero)]
    return float(near.mean()) if len(near) >= max(share * rows, 1) else None


def even_columns(known: Sequence[tuple[int, int, float]]) -> tuple[float, float, float, NDArray[np.float64]] | None:
    """(start, pitch, width) mm of columns that are as long and as far apart as each other, and how far off each place
    (n,) is, from ``known``: column, 0 for its start or 1 for its end, and place in mm. None where these do not tell."""
    terms = np.array([(1.0, column, end) for column, end, _ in known])
    if len(known) < 3 or np.linalg.matrix_rank(terms) < 3:
        return None
    places = np.array([place for _, _, place in known])
    fit = np.linalg.lstsq(terms, places, rcond=None)[0]
    return float(fit[0]), float(fit[1]), float(fit[2]), np.abs(places - terms @ fit)


def nominal_mm(
    length_mm: float, speed_mm_s: float, step_s: float = _NOMINAL_S, off_mm: float = _NOMINAL_MM
) -> float | None:
    """The whole multiple of ``step_s`` that a length nearly is, mm, None where it is none."""
    step = step_s * speed_mm_s
    whole = round(length_mm / step) * step
    return whole if whole > 0 and abs(length_mm - whole) < off_mm else None
