"""Rows whose lines run through each other, told apart by all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, label

from ecglift.interbeat import find_beats, told_by_others
from ecglift.interlead import complexes, covariance, expected
from ecglift.models.crossing import POOLED_PX, ROWS, Part, away_of, fit_of, ink_of, pooled, told
from ecglift.models.runtime import load
from ecglift.models.strip import COLUMNS_PER_PX, RowRead, decoded_anew, lobe
from ecglift.paper import Layout
from ecglift.simultaneous import View, columns_a_second, together, zero_line

Floats = NDArray[np.float64]
Map = NDArray[np.float32]
Flags = NDArray[np.bool_]

_DOUBTED: Final = 0.1
"""A column is in doubt where a row may be elsewhere than in the piece of chances that its line runs through, or where
others say that it is theirs, with that chance."""
_UNSURE_MM: Final = 0.2
"""No column is that is known to this."""
_AROUND_PX: Final = 8
"""Columns of the sheet beside those in doubt that are told apart with them."""
_BESIDE_PX: Final = 16
"""Columns on both sides of those, for the network to see."""
_REACH: Final = 3
"""Rows of a quarter of a millimetre within which two rows' chances are of the same ink."""
_BESIDE_S: Final = 0.05
"""So near to a lead's ends stand pulses and separators."""
_EDGE_MM: Final = 1.5
"""A line that runs that near to its strip's edge may have left it."""
_LEAST: Final = 1e-7
"""The least chance of a row of the strip."""
_DETAIL_PX: Final = 25
_DETAIL: Final = 8e-4
"""Rows of the strip, 3 mm, in which a row's own chances keep their proportions, and the mean chance there below which
they do not tell: a sharp stroke is sharper in them than in what the network answers."""


@dataclass(frozen=True)
class Said:
    """What the others say of a row, (n,) in every column of its strip: ``zero_mm``, where its zero line is; ``y_mm``
    and ``sigma_mm``, where leads seen at the same time have it, NaN where they do not say."""

    zero_mm: Floats
    y_mm: Floats
    sigma_mm: Floats


@dataclass(frozen=True)
class Piece:
    """Columns of the sheet, eight a millimetre, in which rows are told apart.

    ``rows``: their numbers from top to bottom; ``where``: the piece's columns in each one's strip; ``asked``: which of
    ``rows`` are in doubt.
    """

    rows: tuple[int, ...]
    where: tuple[slice, ...]
    asked: tuple[int, ...]


def told_apart(reads: Sequence[RowRead], layout: Layout, model: Any = None) -> list[RowRead]:
    """The rows' ``reads`` with their chances where lines cross as the crossing network has them and their other beats
    say, and their lines decoded anew; the others as they are. ``model``: the network, the package's own if none is
    given."""
    if len(reads) < 2:
        return list(reads)
    chances = claimed(reads, layout)
    pieces = pieces_in_doubt(reads, chances)
    if not pieces:
        return list(reads)
    model = model or load("crossing")
    said = what_others_say(reads, layout)
    ink = {k: ink_of(reads[k].strip.rgb) for k in sorted({piece.rows[j] for piece in pieces for j in piece.asked})}
    log_p: dict[int, Map] = {}
    changed = {k: np.zeros(len(read.x_mm), np.bool_) for k, read in enumerate(reads)}
    for piece in pieces:
        parts = _parts(piece, reads, chances, said, ink)
        answers = told(model, parts, piece.asked)
        for k, answer in zip(piece.asked, answers, strict=True):
            row, where = piece.rows[k], piece.where[k]
            inner = slice(COLUMNS_PER_PX * _BESIDE_PX, COLUMNS_PER_PX * (where.stop - where.start - _BESIDE_PX))
            columns = slice(COLUMNS_PER_PX * where.start + inner.start, COLUMNS_PER_PX * where.start + inner.stop)
            if row not in log_p:
                log_p[row] = reads[row].log_p.copy()
            fine = log_p[row]
            there = np.repeat(parts[k].chances.any(axis=0), COLUMNS_PER_PX)[inner]
            fine[:, columns] = np.where(there, _detailed(answer[:, inner], fine[:, columns]), fine[:, columns])
            changed[row][columns] = there
    return _beat_by_beat(_decoded(reads, log_p, changed), changed, layout)


def _decoded(reads: Sequence[RowRead], log_p: Mapping[int, Map], changed: Mapping[int, Flags]) -> list[RowRead]:
    """The rows' ``reads``, those with new ``log_p`` decoded anew in the columns, (n,), that were ``changed``."""
    return [decoded_anew(read, log_p[k], changed[k]) if k in log_p else read for k, read in enumerate(reads)]


def _beat_by_beat(reads: Sequence[RowRead], disputed: Mapping[int, Flags], layout: Layout) -> list[RowRead]:
    """The rows' ``reads`` with the chances of their complexes, in columns that were ``disputed`` (n,) alone, as likely
    as the same leads' other complexes make them."""
    per_s = columns_a_second(reads, layout)
    changed = {k: np.zeros(len(read.x_mm), np.bool_) for k, read in enumerate(reads)}
    log_p: dict[int, Map] = {}
    for views in together(reads, layout.rows()):
        if not any(disputed[view.row][view.where].any() for view in views):
            continue
        zero_mm = [view.zero_mm(per_s) for view in views]
        off_mm = np.array([view.line_mm() - zero for view, zero in zip(views, zero_mm, strict=True)])
        beats = find_beats(off_mm, complexes(off_mm / np.array([[view.per_mv] for view in views]), per_s), per_s)
        for view, zero in zip(views, zero_mm, strict=True):
            strip, open_ = view.read.strip, disputed[view.row][view.where]
            asked = [k for k in range(len(beats.middles)) if open_[beats.around(k)].any()]
            if not asked:
                continue
            chances = np.exp(view.read.log_p[:, view.where])
            for k in asked:
                around = beats.around(k)
                others = told_by_others(chances, strip.rows_px(zero), beats, k, strip.px_per_mm)
                if others is None:
                    continue
                if view.row not in log_p:
                    log_p[view.row] = view.read.log_p.copy()
                p = chances[:, around] * others
                there = np.flatnonzero(open_[around])
                columns = view.where.start + around.start + there
                log_p[view.row][:, columns] = np.log(np.maximum((p / p.sum(axis=0))[:, there], _LEAST))
                changed[view.row][columns] = True
    return _decoded(reads, log_p, changed)


def _detailed(answer: Map, log_p: Map) -> Map:
    """The chances ``answer`` (ROWS, n) as log-probabilities (POOLED_PX·ROWS, n): those of ``log_p``, as much of them in
    all within some millimetres as the answer has there; where ``log_p`` has next to none, the answer itself."""
    own, answered = np.exp(log_p), np.repeat(answer / POOLED_PX, POOLED_PX, axis=0)
    there, wanted = (cv2.blur(p, (1, _DETAIL_PX), borderType=cv2.BORDER_CONSTANT) for p in (own, answered))
    fine = (own * wanted + answered * np.float32(_DETAIL)) / (there + np.float32(_DETAIL))
    return np.asarray(np.log(np.maximum(fine / fine.sum(axis=0), _LEAST)), np.float32)


def claimed(reads: Sequence[RowRead], layout: Layout) -> list[Map]:
    """(ROWS, w) each row's chances between its ends on the network's lattice."""
    out = []
    for read, panels in zip(reads, layout.rows(), strict=True):
        inside = (read.x_mm >= min(p.x0_mm for p in panels)) & (read.x_mm <= max(p.x1_mm for p in panels))
        out.append(pooled(np.exp(read.log_p) * inside.astype(np.float32)))
    return out


def lattice_corner(read: RowRead) -> tuple[int, int]:
    """Column and row of the network's lattice, counted from the sheet's millimetre 0, at which the strip begins."""
    # All strips of a sheet begin at the same fraction of a pixel.
    corner = np.floor(np.array([read.strip.left_mm, read.strip.top_mm]) * read.strip.px_per_mm + 1e-3)
    return int(corner[0]), int(corner[1]) // POOLED_PX


def pieces_in_doubt(reads: Sequence[RowRead], chances: Sequence[Map]) -> list[Piece]:
    """The pieces of the sheet in which rows with these ``chances`` on the network's lattice are to be told apart."""
    corners = [lattice_corner(read) for read in reads]
    first, top = (min(values) for values in zip(*corners, strict=True))
    there = [
        np.s_[y - top : y - top + ROWS, x - first : x - first + claim.shape[1]]
        for (x, y), claim in zip(corners, chances, strict=True)
    ]
    total = np.zeros((max(rows.stop for rows, _ in there), max(columns.stop for _, columns in there)), np.float32)
    for at, claim in zip(there, chances, strict=True):
        total[at] += claim
    in_doubt = np.zeros((len(reads), total.shape[1]), np.bool_)
    for k, (at, claim) in enumerate(zip(there, chances, strict=True)):
        rivals = total[at] - claim
        mine, theirs = (cv2.blur(p, (1, _REACH), borderType=cv2.BORDER_CONSTANT) for p in (claim, rivals))
        disputed = np.minimum(mine, theirs).sum(axis=0) > _DOUBTED
        in_doubt[k, at[1]] = claim.any(axis=0) & (disputed | _elsewhere(reads[k]))
    wide = binary_dilation(in_doubt.any(axis=0), iterations=_AROUND_PX + _BESIDE_PX)
    pieces = []
    for (run,) in find_objects(label(wide)[0]):
        reaching = [
            k for k, (_, columns) in enumerate(there) if columns.start <= run.start and run.stop <= columns.stop
        ]
        asked = tuple(j for j, k in enumerate(reaching) if in_doubt[k, run].any())
        if len(reaching) > 1 and asked:
            begins = [there[k][1].start for k in reaching]
            where = tuple(slice(run.start - begin, run.stop - begin) for begin in begins)
            pieces.append(Piece(tuple(reaching), where, asked))
    return pieces


def _elsewhere(read: RowRead) -> Flags:
    """(w,) columns of the sheet in which the row may be elsewhere than in the piece of chances that its line runs
    through: a steep stroke's is tall."""
    out = np.zeros(len(read.x_mm), np.bool_)
    at = np.flatnonzero(read.sigma_mm > _UNSURE_MM)
    if not len(at):
        return out[::COLUMNS_PER_PX]
    p = np.exp(read.log_p[:, at])
    middle = np.round(read.strip.rows_px(read.y_mm[at])).astype(np.int64)
    top, bottom = lobe(p, np.clip(middle, 0, len(p) - 1))
    row = np.arange(len(p))[:, None]
    out[at] = (p * ((row >= top) & (row < bottom))).sum(axis=0) < 1 - _DOUBTED
    return np.asarray(out.reshape(-1, COLUMNS_PER_PX).any(axis=1), np.bool_)


def _parts(
    piece: Piece, reads: Sequence[RowRead], chances: Sequence[Map], said: Sequence[Said], ink: Mapping[int, Map]
) -> list[Part]:
    """What the network is shown of each row of the piece."""
    out = []
    for j, (k, where) in enumerate(zip(piece.rows, piece.where, strict=True)):
        read, nothing = reads[k], np.zeros((ROWS, where.stop - where.start), np.float32)
        _, top = lattice_corner(read)
        if j not in piece.asked:
            out.append(Part(chances[k][:, where], nothing, nothing, nothing, top))
            continue
        heights = read.strip.rows_mm(np.asarray(POOLED_PX * (np.arange(ROWS) + 0.5) - 0.5, np.float64))
        zero, y, sigma = (
            values[COLUMNS_PER_PX * where.start : COLUMNS_PER_PX * where.stop : COLUMNS_PER_PX]
            for values in (said[k].zero_mm, said[k].y_mm, said[k].sigma_mm)
        )
        out.append(Part(chances[k][:, where], ink[k][:, where], fit_of(heights, y, sigma), away_of(heights, zero), top))
    return out


def what_others_say(reads: Sequence[RowRead], layout: Layout) -> list[Said]:
    """Of each row, what the leads that are seen at the same time say of its complexes."""
    per_s = columns_a_second(reads, layout)
    out = [
        Said(zero_line(read.y_mm, per_s), np.full(len(read.x_mm), np.nan), np.full(len(read.x_mm), np.nan))
        for read in reads
    ]
    for views in together(reads, layout.rows()):
        for view, columns, y_mm, sigma_mm in _expected(views, per_s):
            out[view.row].y_mm[columns], out[view.row].sigma_mm[columns] = y_mm, sigma_mm
    return out


def _expected(views: list[View], per_s: float) -> Iterator[tuple[View, NDArray[np.int64], Floats, Floats]]:
    """Of each lead, the columns of its strip that are in complexes, and where the other leads have it there, give or
    take a deviation: mm."""
    zero_mm = [view.zero_mm(per_s) for view in views]
    line_mv = [(view.line_mm() - zero) / view.per_mv for view, zero in zip(views, zero_mm, strict=True)]
    within = complexes(np.array(line_mv), per_s)
    beside = round(_BESIDE_S * per_s)
    within[:beside], within[-beside:] = False, False
    if not within.any():
        return
    used = np.flatnonzero(binary_dilation(within, iterations=_AROUND_PX))
    chances = [np.exp(view.read.log_p[:, view.where][:, used]) for view in views]
    left = [_leaves(view.read, view.where.start + used) for view in views]
    chances = [np.where(gone, np.float32(1 / len(p)), p) for p, gone in zip(chances, left, strict=True)]
    mv = [view.mv(zero[used]) for view, zero in zip(views, zero_mm, strict=True)]
    mean, variance = expected(chances, mv, covariance([view.panel.lead for view in views]))
    for k, view in enumerate(views):
        yield (
            view, view.where.start + used, zero_mm[k][used] + view.per_mv * mean[k],
            abs(view.per_mv) * np.sqrt(variance[k]),
        )  # fmt: skip


def _leaves(read: RowRead, at: NDArray[np.int64]) -> Flags:
    """(n,) whether the line runs along its strip's edge in the columns ``at``: it may go on beyond, and then no height
    in the strip is right."""
    y_px = read.strip.rows_px(read.y_mm[at])
    edge = _EDGE_MM * read.strip.px_per_mm
    return np.asarray((y_px < edge) | (y_px > len(read.log_p) - edge), np.bool_)
