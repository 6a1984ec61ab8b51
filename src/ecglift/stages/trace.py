"""The line of every row of a flat sheet, column by column, by the trace network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, find_objects, label

from ecglift.crossings import told_apart
from ecglift.inkshare import Claim, divided
from ecglift.leaps import without_leaps
from ecglift.models.pen import correction, features
from ecglift.models.pen import sigma_mm as laplace_sigma_mm
from ecglift.models.runtime import load, names
from ecglift.models.strip import COLUMNS_PER_PX, RowRead, cut_strip, decoded_anew, line_of, log_softmax, pieces_around
from ecglift.paper import Layout, Panel
from ecglift.penline import refine
from ecglift.pixels import planes
from ecglift.sheet import Sheet, Trace

Floats = NDArray[np.float64]

_MARGIN_MM: Final = 3.0
"""Beyond the row's ends, so that the network sees what stands beside the line."""

_TALL_MM: Final = 30.0
"""A row whose line comes this near to its strip's edge, at 32 mm, is looked at once more in a strip twice as tall."""

_BEYOND_MM: Final = 28.0
_LEAVING_MM: Final = 24.0
"""The tall strip's line is taken where it lies beyond the first, and the other strip's line beyond the second."""

_EDGE_MM: Final = 1.5
_AT_EDGE: Final = 0.3
_AT_EDGE_COLUMNS: Final = 2
"""Or one with that chance, in so many columns, of a line that near to the strip's edge."""

_SURELY: Final = 0.9
_HARDLY: Final = 0.75
_APART_MM: Final = 2.0
"""Where the tall strip is that sure of a line beyond the other, which is that unsure of its own but has seen one at its
edge, the tall one is believed as far as it is so much further out."""

_DISPUTED: Final = 0.01
"""A column is decoded again where another row takes more than this from a chance."""

_SHARP_MM: Final = 0.6
_BRIDGED_MM: Final = 3.0
_LIKELY_SHARE: Final = 0.2
"""The chance of a line fades over a millimetre on both sides of an end, and after a tall complex that looks like a
separator it may stay away; the spread of its height leaps within 0.05 mm of where the line really ends. On captured
pages 98 % of the columns of a panel whose chance is below one half but whose spread is below the first lie within
0.4 mm of the line, and even wider ones within 1.5 mm. So a row that is seen in more than a fifth of its columns goes
on where its height is known, and across what lies between, up to the second."""

_GONE: Final = 0.5
_MEETS_MM: Final = 1.5
_MEETS_COLUMNS: Final = 8
"""Where the chance of a line is below the first, and within so many columns on both sides the line comes as near as the
second to the edge of what the picture shows, it has gone out there and come back."""

_END_MM: Final = 1.2
_STRAY_MM: Final = 3.0
_STRAY_SIGMA_MM: Final = 2.5
_STRAY_PRESENCE: Final = 0.7
_LOST_SIGMA_MM: Final = 3.7
_FAR_STRAY_MM: Final = 10.0
"""A panel's line that nobody saw, that far from its neighbourhood in its first or last millimetre, is left out."""

_PEN_MM: Final = 1.5
"""Corrections are small; a larger one would be another line."""


@dataclass(frozen=True)
class TraceSettings:
    """``flip``: also read the mirrored strip and average, slower and a little more accurate; ``presence``: least
    chance of a line, 0 to 1."""

    flip: bool = False
    presence: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.presence < 1:
            raise ValueError(f"presence must be between 0 and 1, got {self.presence}")


def read_rows(sheet: Sheet, layout: Layout, settings: TraceSettings) -> list[RowRead]:
    """Every row of the layout as the trace network sees it."""
    return [read_row(sheet, row, settings) for row in layout.rows()]


def trace_rows(
    sheet: Sheet,
    layout: Layout,
    settings: TraceSettings | None = None,
    reads: Sequence[RowRead] | None = None,
) -> tuple[Trace, ...]:
    """One :class:`Trace` per row of the layout, 16 columns a millimetre, NaN where no line was seen. ``reads``: the
    rows, where they have been read."""
    settings = settings or TraceSettings()
    rows = layout.rows()
    reads = told_apart(reads or read_rows(sheet, layout, settings), layout)
    claims = [_claim(read, row, sheet, settings) for read, row in zip(reads, rows, strict=True)]
    coarse: Sheet | None = None
    traces = []
    for k, row in enumerate(rows):
        others, baseline, taken = claims[:k] + claims[k + 1 :], _baseline_mm(row), None
        read = _without_leaps(_without_rivals(reads[k], claims[k], others), settings)
        if _leaves(read, baseline):
            coarse = coarse or sheet.halved()
            tall = read_row(coarse, row, settings)
            tall = _without_rivals(tall, _claim(tall, row, coarse, settings), [other.pooled() for other in others])
            read, taken = _with_tall(read, tall, baseline)
        traces.append(_finished(read, row, settings, taken))
    return tuple(traces)


def _claim(read: RowRead, panels: tuple[Panel, ...], sheet: Sheet, settings: TraceSettings) -> Claim:
    """The ink that the row says is its own: its chances between its ends, as far as a line is seen."""
    joints = _joints_mm(panels)
    inside = (read.x_mm >= joints[0]) & (read.x_mm <= joints[-1]) & _seen(read, settings.presence)
    top, left = round(float(sheet.y_px(read.strip.top_mm))), round(float(sheet.x_px(read.strip.left_mm)))
    return Claim(np.exp(read.log_p) * inside.astype(np.float32), top, left * COLUMNS_PER_PX)


def _without_rivals(read: RowRead, own: Claim, others: list[Claim]) -> RowRead:
    """The row decoded once more, where that was disputed, without the ink that is rather another row's."""
    left = divided(own, others)
    if left is None:
        return read
    there = np.asarray(own.chances.any(axis=0))
    disputed = there & (np.abs(left - own.chances).max(axis=0) > _DISPUTED)
    log_p = read.log_p.copy()
    for piece in pieces_around(disputed):
        log_p[:, piece] = np.where(there[piece], np.log(np.maximum(left[:, piece], 1e-7)), log_p[:, piece])
    return decoded_anew(read, log_p, disputed)


def _without_leaps(read: RowRead, settings: TraceSettings) -> RowRead:
    scale, line_px = read.strip.px_per_mm, read.strip.rows_px(read.y_mm)
    seen = read.presence >= settings.presence
    y_px, sigma_px = without_leaps(read.strip.rgb, read.log_p, line_px, read.sigma_mm * scale, seen)
    return replace(read, y_mm=read.strip.rows_mm(y_px), sigma_mm=sigma_px / scale)


def read_row(sheet: Sheet, panels: tuple[Panel, ...], settings: TraceSettings) -> RowRead:
    """The row's line as the trace network sees it on ``sheet``, a little beyond both of its ends."""
    x0, x1 = min(p.x0_mm for p in panels), max(p.x1_mm for p in panels)
    strip = cut_strip(sheet, _baseline_mm(panels), x0 - _MARGIN_MM, x1 + _MARGIN_MM)
    model = load("trace")
    answer = model.run({"rgb": planes(strip.rgb[None])})
    line, presence_logit = answer["line"][0], answer["presence"][0]
    if settings.flip:
        other = model.run({"rgb": planes(strip.rgb[None, :, ::-1])})
        line = (line + other["line"][0, :, ::-1]) / 2
        presence_logit = (presence_logit + other["presence"][0, ::-1]) / 2
    log_p = log_softmax(line)
    y_px, sigma_px = line_of(log_p)
    x_mm, y_mm = strip.columns_mm(), strip.rows_mm(y_px)
    # Beyond the picture the strip is blank, and the network may guess how the line goes on.
    presence = np.where(sheet.shows(x_mm, y_mm), 1 / (1 + np.exp(-presence_logit.astype(float))), 0.0)
    presence[_outside(sheet, x_mm, y_mm, presence)] = 0.0
    return RowRead(strip, x_mm, y_mm, sigma_px / strip.px_per_mm, presence, log_p)


def _outside(sheet: Sheet, x_mm: Floats, y_mm: Floats, presence: Floats) -> NDArray[np.bool_]:
    """(n,) columns between two in which the line meets the same edge of what the picture shows, and rather no line."""
    shown, out = sheet.shows(x_mm, y_mm), np.zeros(len(x_mm), np.bool_)
    gone = find_objects(label(presence < _GONE)[0])
    for outward_mm in (-_MEETS_MM, _MEETS_MM):
        meets = shown & ~sheet.shows(x_mm, y_mm + outward_mm)
        for (run,) in gone:
            first = max(run.start - _MEETS_COLUMNS, 0)
            before = np.flatnonzero(meets[first : run.start])
            after = np.flatnonzero(meets[run.stop : run.stop + _MEETS_COLUMNS])
            if len(before) and len(after):
                out[first + before[-1] + 1 : run.stop + after[0]] = True
    return out


def row_path(read: RowRead, panels: tuple[Panel, ...], settings: TraceSettings) -> Trace:
    """The decoded line made smooth, as long as the strip, NaN beyond the row's ends and where no line was seen."""
    joints = _joints_mm(panels)
    inside = (read.x_mm >= joints[0]) & (read.x_mm <= joints[-1])
    seen = _seen(read, settings.presence)
    y_mm = np.where(inside & seen, read.y_mm, np.nan)
    presence = np.where(seen, np.maximum(read.presence, settings.presence), read.presence)
    return refine(Trace(panels[0].row, read.x_mm, y_mm, read.sigma_mm, presence), joints)


def _seen(read: RowRead, presence: float) -> NDArray[np.bool_]:
    """(n,) columns with a line: by their chance, or by a height that is known."""
    likely = read.presence >= presence
    if likely.mean() < _LIKELY_SHARE:
        return likely
    reach = round(0.5 * _BRIDGED_MM / float(np.diff(read.x_mm).mean()))
    known = np.pad((likely | (read.sigma_mm < _SHARP_MM)) & (read.presence > 0), reach)
    return np.asarray(binary_closing(known, iterations=reach)[reach:-reach] & (read.presence > 0), np.bool_)


def row_features(read: RowRead, path: Trace) -> NDArray[np.float32]:
    """What the pen network sees of a row whose smoothed line is ``path``: (CHANNELS, n)."""
    strip, scale = read.strip, read.strip.px_per_mm
    decoded_mm = np.where(np.isfinite(path.y_mm), read.y_mm, np.nan)
    rows = strip.rows_px(path.y_mm), strip.rows_px(decoded_mm)
    return features(*rows, read.sigma_mm * scale, read.presence, read.log_p, strip.rgb)


def _joints_mm(panels: tuple[Panel, ...]) -> tuple[float, ...]:
    return tuple(sorted({x for p in panels for x in (p.x0_mm, p.x1_mm)}))


def _finished(
    read: RowRead,
    panels: tuple[Panel, ...],
    settings: TraceSettings,
    taken: NDArray[np.bool_] | None,
) -> Trace:
    """The row's line made a pen's path between its ends; columns in ``taken`` are from another strip than the read."""
    path = row_path(read, panels, settings)
    y_mm, sigma = path.y_mm, path.sigma_mm
    if "pen" in names():
        shift_mm, scale_mm = correction(load("pen"), row_features(read, path))
        known = np.isfinite(y_mm) if taken is None else np.isfinite(y_mm) & ~taken
        y_mm = np.where(known, y_mm + np.clip(shift_mm, -_PEN_MM, _PEN_MM), y_mm)
        sigma = np.where(known, laplace_sigma_mm(scale_mm), sigma)
    joints = _joints_mm(panels)
    y_mm = np.where(_strays(read.x_mm, y_mm, sigma, path.presence, panels), np.nan, y_mm)
    inside = (read.x_mm >= joints[0]) & (read.x_mm <= joints[-1])
    return Trace(panels[0].row, read.x_mm[inside], y_mm[inside], sigma[inside], path.presence[inside])


def _strays(
    x_mm: Floats, y_mm: Floats, sigma_mm: Floats, presence: Floats, panels: tuple[Panel, ...]
) -> NDArray[np.bool_]:
    """(n,) columns beside a panel's ends in which the line leaves for a separator or another row: far from where the
    panel's line comes from, and neither the height nor that there is a line was seen, or very far and the height was
    not seen at all."""
    unseen = (sigma_mm > _STRAY_SIGMA_MM) & (presence < _STRAY_PRESENCE)
    lost = sigma_mm > _LOST_SIGMA_MM
    out = np.zeros(len(x_mm), np.bool_)
    for panel in panels:
        for inward in (x_mm - panel.x0_mm, panel.x1_mm - x_mm):
            beside, before = (inward >= 0) & (inward < _END_MM), (inward >= _END_MM) & (inward < 2 * _END_MM)
            known = before & np.isfinite(y_mm)
            if known.any():
                away_mm = np.abs(y_mm - np.median(y_mm[known]))
                out |= beside & ((unseen & (away_mm > _STRAY_MM)) | (lost & (away_mm > _FAR_STRAY_MM)))
    return out


def _leaves(read: RowRead, baseline_mm: float) -> bool:
    """Whether the row's line comes near its strip's edge, or may have gone beyond it."""
    near = float(np.abs(read.y_mm - baseline_mm).max(initial=0.0)) > _TALL_MM
    return near or int(_at_edge(read).sum()) >= _AT_EDGE_COLUMNS


def _at_edge(read: RowRead) -> NDArray[np.bool_]:
    """(n,) columns in which the line may be near the strip's edge."""
    edge = round(_EDGE_MM * read.strip.px_per_mm)
    chance = np.exp(np.concatenate([read.log_p[:edge], read.log_p[-edge:]])).sum(axis=0)
    return np.asarray(chance > _AT_EDGE, np.bool_)


def _baseline_mm(panels: tuple[Panel, ...]) -> float:
    return float(np.median([p.baseline_mm for p in panels]))


def _with_tall(fine: RowRead, coarse: RowRead, baseline_mm: float) -> tuple[RowRead, NDArray[np.bool_]]:
    """``fine`` with ``coarse``'s line where both say that it leaves the fine strip, and where that is, (n,)."""
    y, sigma, presence = (
        np.interp(fine.x_mm, coarse.x_mm, values) for values in (coarse.y_mm, coarse.sigma_mm, coarse.presence)
    )
    away, before = y - baseline_mm, fine.y_mm - baseline_mm
    leaving = (np.abs(before) > _LEAVING_MM) & (away * before > 0)
    taken = (np.abs(away) > _BEYOND_MM) & leaving & (presence > 0.5)
    # Where the line is beyond the strip, the fine one may have found another, as a frame's, and all the way up to it.
    gone = (np.abs(away) > _BEYOND_MM) & (presence > _SURELY) & (fine.presence < _HARDLY)
    apart = (np.abs(away) - np.abs(before) > _APART_MM) & (presence > _SURELY) & (fine.presence < _SURELY)
    runs, _ = label(gone | apart)
    left = np.intersect1d(runs[gone], runs[_at_edge(fine)])
    taken |= np.isin(runs, left) & (runs > 0)
    mixed = replace(
        fine,
        y_mm=np.where(taken, y, fine.y_mm),
        sigma_mm=np.where(taken, sigma, fine.sigma_mm),
        presence=np.where(taken, presence, fine.presence),
    )
    return mixed, taken
