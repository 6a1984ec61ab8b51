"""gridless: the map of a page whose grid a scanner, a fax or a photocopier has lost, from what is printed on it.

Columns last a known time, calibration pulses are 1 mV high: where both are read at a guessed scale, they tell the true
one. The page is laid flat at a few likely scales, read, measured, and the reading that agrees with itself is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap, apply_homography
from ecglift.lattice.outline import as_rectangle, sheet_outline
from ecglift.lattice.search import paper_box
from ecglift.paper import GAINS_MM_MV, TEMPLATES, Layout
from ecglift.problem import StageError, fail
from ecglift.reading.bars import Bar
from ecglift.reading.joints import by_bars
from ecglift.reading.marks import Pulse
from ecglift.reading.straight import RowSeen, by_ends, panel_mm, straightened
from ecglift.reading.turn import turn_map

STAGE: Final = "grid"

_LONG_SIDES_MM: Final = (285.0, 240.0, 205.0, 345.0)
"""Lengths of what is printed on, longest side: A4 and Letter, a cropped sheet, a strip, a wide roll."""

_FAX_PX_PER_MM: Final = ((8.04, 3.85), (8.04, 7.7))
_COLOURED: Final = 60.0
"""Across and down, as ITU-T T.4 has them: faxes are where grids get lost. A picture whose most colourful hundredth has
channels so far apart, of 255, is none."""

_TOTALS_S: Final[dict[int, tuple[float, ...]]] = {4: (10.0,), 2: (10.0, 5.0), 1: (10.0,)}
_WIDE_MM_S: Final = 50.0
"""Seconds that all columns last, by their number; or half of them from that speed on, at which no sheet is wide enough
for more."""

_NEAR: Final = 0.16
"""How far, in e-folds, a guessed scale may be from what the columns say."""

_AGREE: Final = 0.1
_EVEN: Final = 0.02
"""How far, in e-folds, scales from columns and from pulses may differ: from pulses that a network has measured, and
from those measured on their ink, where columns that differ more last another time."""

_WHOLE: Final = 0.006
_STANDARD_MERIT: Final = 0.75
"""A fax's own scale is also kept where columns without a pulse last whole seconds to the first; that weighs less than
columns of the usual length."""

_UNUSUAL_MERIT: Final = 0.6
"""What it weighs where names fit no usual arrangement: any names fit that, at any scale."""

_LEAST_S: Final = 3
"""Seconds from which on whole ones are far enough apart."""

_STANDARD: Final = 0.03
_STANDARD_OFF: Final = 0.015
_SEVERAL: Final = 3
"""A fax's own scale is kept where so many pulses say that it is right to that many e-folds; where print and pulses say
that it is off by more than the second it is no fax."""

_ROUNDS: Final = 3
_SURE: Final = 0.8
"""How often a guess is corrected, and the merit of one that is as good as any."""

_VIEW_ROUNDS: Final = 3
_LINE_ROUNDS: Final = 2
_STEP_S: Final = 0.5
_STRETCH: Final = 0.006
_TOUCHING_MM: Final = 0.5
"""How often the view and then the turn and the scale are corrected. Bars of several columns, and rows or, where more
than the last parts these, panels that are a whole number of such steps long, to so many e-folds, are so exactly."""

_SAMPLE_S: Final = 0.001
"""How long before its end a line's last sample stands: none to two milliseconds, as a rule."""

_ASIDE_MM: Final = 5.0
_AGAIN_MM: Final = 0.8
"""A sheet is seen from the side where straight rows and columns want its corners moved by more than the first beyond a
turn; what is less may be the lines' own wander. One that is known to be is straightened again to the second."""

_TAPERS: Final = 0.003
_OUTLINED: Final = 0.5
"""A sheet whose outline is off a rectangle by more than the first, in parts of its longest side, is seen from the side:
it is looked at as the outline has it, and if that reads as well as the second, in no other way."""

Box = tuple[float, float, float, float]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """What a reader saw on the sheet that a guessed map made, once that was turned upright by ``quarter_turns``: its
    layout with columns as measured, pulses, how many of the names were read, 0 to 1, bars between columns, and the
    rows' lines, which are looked at when asked for."""

    layout: Layout
    pulses: tuple[Pulse, ...]
    named: float
    bars: tuple[Bar, ...]
    rows: Callable[[], tuple[RowSeen, ...]]
    quarter_turns: int = 0

    @property
    def clear(self) -> float:
        """How surely the names were read, 0 to 1: squashed letters are read less well."""
        return self.named * float(np.mean([panel.confidence for panel in self.layout.panels]))


Reader = Callable[[PageMap, Box], Marks]
"""Lays the picture flat within bounds (x0, y0, x1, y1 mm) of a map and reads it; StageError when there is nothing."""


@dataclass(frozen=True)
class FoundScale:
    """The map that the print tells, the ``bounds`` of the paper in its millimetres, and how surely the names are read
    with it, four fifths of that where no pulse says the same: ``merit``, 0 to 1; ``aside``: whether the sheet is
    seen from the side."""

    map: PageMap
    bounds: Box
    merit: float
    aside: bool = False


def find_scale(image: NDArray[np.uint8], read: Reader) -> FoundScale:
    """The scale of a page without a grid, (h, w, 3) uint8; StageError "grid-not-found" when no ECG is read at any
    likely one."""
    box = paper_box(image)
    best = _outlined(image, read, box)
    if best is None or best[0] < _OUTLINED:
        best = _better(best, _lying_flat(image, read, box))
    if best is None:
        raise fail(
            "grid-not-found",
            STAGE,
            "No ECG paper grid was found, nor lead names and columns to tell the scale by. If the page is an ECG, "
            "give its scale with px_per_mm (dots per inch / 25.4).",
        )
    read = _once(read)
    found, aside = _straight(read, box, best[1])
    page_map = PageMap(_by_lines(read, box, found))
    return FoundScale(page_map, _bounds(page_map, box), best[0], aside)


def _better(one: tuple[float, Matrix] | None, other: tuple[float, Matrix] | None) -> tuple[float, Matrix] | None:
    """Of two maps with their merits the one with the greater, the first where they are alike."""
    if one is None or other is None:
        return one or other
    return other if other[0] > one[0] else one


def _outlined(image: NDArray[np.uint8], read: Reader, box: Box) -> tuple[float, Matrix] | None:
    """(merit, mm → px) of a sheet that is seen from the side, as its outline has it; None where there is none such."""
    corners = sheet_outline(image)
    if corners is None:
        return None
    plane, (width, height) = as_rectangle(corners)
    longest = max(width, height)
    if _off_flat(plane, (-width / 2, -height / 2, width / 2, height / 2)) < _TAPERS * longest:
        return None
    best: tuple[float, Matrix] | None = None
    for mm in _LONG_SIDES_MM:
        scale = longest / mm
        for one in _measured(read, box, plane @ np.diag([scale, scale, 1.0]), aside=True):
            best = _better(best, one)
        if best is not None and best[0] > _SURE:
            break
    return best


def _lying_flat(image: NDArray[np.uint8], read: Reader, box: Box) -> tuple[float, Matrix] | None:
    """(merit, mm → px) of a sheet that lies flat under the camera or scanner; None where nothing is read at any likely
    scale."""
    angles: dict[float, float] = {}
    best: tuple[float, Matrix] | None = None
    longest = max(box[2] - box[0], box[3] - box[1])
    scales = [(longest / mm, longest / mm) for mm in _LONG_SIDES_MM]
    if not _coloured(image):
        scales += _FAX_PX_PER_MM
    for scale in scales:
        aspect = scale[1] / scale[0]
        if aspect not in angles:
            angles[aspect] = turn_deg(image, box, aspect)
        guess = _flat(box, angles[aspect], *scale)
        for one in _measured(read, box, guess, standard=scale in _FAX_PX_PER_MM):
            best = _better(best, one)
        if best is not None and best[0] > _SURE:
            break
    return best


def _coloured(image: NDArray[np.uint8]) -> bool:
    """Whether a picture (h, w, 3) has more colour than a fax."""
    small = image[:: max(image.shape[0] // 256, 1), :: max(image.shape[1] // 256, 1)]
    return float(np.percentile(np.ptp(small.astype(np.int16), axis=2), 99)) > _COLOURED


def _measured(
    read: Reader, box: Box, guess: Matrix, standard: bool = False, aside: bool = False
) -> Iterator[tuple[float, Matrix]]:
    """(merit, mm → px) of a ``guess``, turned upright, and corrected by what was read with it; nothing when that makes
    no sense. ``standard``: whether it is a fax's own scale; ``aside``: whether the sheet is seen from the side, so that
    its proportions are not known."""
    across = down = 1.0  # what the guess is multiplied with
    marks: Marks | None = None
    for _ in range(_ROUNDS):
        page_map = PageMap(guess @ np.diag([across, down, 1.0]))
        try:
            seen = read(page_map, _bounds(page_map, box))
        except StageError:
            return
        if seen.named < 0.4:
            # Names that were read a per cent away, and hardly so, are there.
            if marks is None:
                return
            break
        marks = seen
        if marks.quarter_turns:
            guess = turn_map(PageMap(guess), marks.quarter_turns).homography
            across, down = (down, across) if marks.quarter_turns % 2 else (across, down)
        tall, exact = _by_pulses(marks)
        several = exact or len(marks.pulses) >= _SEVERAL
        if standard and several and tall is not None and abs(np.log(tall)) < _STANDARD:
            break
        if aside:
            ratio = _by_columns(marks.layout)
            if ratio is None:
                return
            across, down = across * ratio, down * (ratio if tall is None else tall)
            continue
        if exact:
            assert tall is not None
            down *= tall
            even = down / across
            across *= _by_whole_seconds(marks.layout, even) or even
            continue
        ratio = _by_columns(marks.layout)
        if ratio is None and standard and tall is None and _lasts_whole_seconds(marks.layout):
            yield _STANDARD_MERIT * marks.clear, guess @ np.diag([across, down, 1.0])
            return
        if ratio is None:
            return
        across *= ratio
        # The print's own proportions are as guessed, or the guess is wrong: a pulse is measured to some per cent only.
        if tall is not None and abs(np.log(tall * down / across)) > _AGREE:
            return
        down = across
    assert marks is not None
    if standard and max(abs(np.log(across)), abs(np.log(down))) > _STANDARD_OFF:
        return
    # Squashed letters may still be read, but less clearly.
    merit = marks.clear * (1.0 if tall is not None else 0.8)
    if marks.layout.name not in TEMPLATES:
        merit *= _UNUSUAL_MERIT
    yield merit, guess @ np.diag([across, down, 1.0])


def _once(read: Reader) -> Reader:
    """``read``, which does not read the same map twice in a row."""
    last: dict[bytes, Marks] = {}

    def read_once(page_map: PageMap, bounds: Box) -> Marks:
        key = page_map.homography.tobytes()
        if key not in last:
            marks = read(page_map, bounds)
            last.clear()
            last[key] = marks
        return last[key]

    return read_once


def _straight(read: Reader, box: Box, found: Matrix) -> tuple[Matrix, bool]:
    """The map ``found`` (mm → px) as of a sheet that is seen from the side, and whether it is."""
    aside = False
    for _ in range(_VIEW_ROUNDS):
        page_map = PageMap(found)
        bounds = _bounds(page_map, box)
        try:
            marks = read(page_map, bounds)
        except StageError:
            break
        straight = straightened(marks.rows(), marks.bars)
        if straight is None or _off_flat(straight, bounds) < (_AGAIN_MM if aside else _ASIDE_MM):
            break
        aside, found = True, found @ np.linalg.inv(straight)
        found = next((better for _, better in _measured(read, box, found, aside=True)), found)
    return found, aside


def _by_lines(read: Reader, box: Box, found: Matrix) -> Matrix:
    """The map ``found`` (mm → px), a little turned and stretched so that the rows begin and end one under the other
    and last whole steps, and that the bars between columns stand upright: a long strip is off by ten milliseconds
    otherwise. As it was where they do not tell."""
    for _ in range(_LINE_ROUNDS):
        page_map = PageMap(found)
        try:
            marks = read(page_map, _bounds(page_map, box))
        except StageError:
            break
        lean, ratio = _lean_and_stretch(marks)
        if lean is None and ratio is None:
            break
        turn, stretch = np.arctan(lean or 0.0), ratio or 1.0
        c, s = np.cos(turn), np.sin(turn)
        # Pulses that were measured on their ink know the height better.
        tall = 1.0 if _by_pulses(marks)[1] else stretch
        found = found @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1.0]]) @ np.diag([stretch, tall, 1.0])
    return found


def _lean_and_stretch(marks: Marks) -> tuple[float | None, float | None]:
    """By how much more to the right columns begin a millimetre further down, and what the scale across must be
    multiplied with; None where neither bars nor the ends of rows tell."""
    step = _STEP_S * marks.layout.speed_mm_s
    fit = by_bars(marks.layout, marks.bars)
    lean = ratio = None
    if fit is not None:
        pitch, lean = fit
        if _columns_mm(marks.layout)[0] >= _SEVERAL:
            ratio = pitch / (step * max(round(pitch / step), 1))
    if ratio is None:
        rows = marks.rows()
        by_rows, length = by_ends(rows)
        lean = by_rows if lean is None else lean
        _, total_mm, inked_mm = _columns_mm(marks.layout)
        if total_mm - inked_mm > _TOUCHING_MM:
            length = panel_mm(rows)
        if length is not None:
            length += _SAMPLE_S * marks.layout.speed_mm_s
            ratio = length / (step * max(round(length / step), 1))
    return lean, ratio if ratio is not None and abs(np.log(ratio)) < _STRETCH else None


def _off_flat(straight: Matrix, bounds: Box) -> float:
    """By how much more than a turn ``straight`` moves the corners of the sheet, mm."""
    x0, y0, x1, y1 = bounds
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    moved = apply_homography(straight, corners)
    a, b = corners - corners.mean(axis=0), moved - moved.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    return float(np.abs(a @ (u @ v) - b).max())


def _columns_mm(layout: Layout) -> tuple[int, float, float]:
    """How many columns there are, how long all of them are together with what lies between them, and without it."""
    panels = [p for p in layout.panels if not p.rhythm] or list(layout.panels)
    n = max(p.column for p in panels) + 1
    total_mm = max(p.x1_mm for p in panels) - min(p.x0_mm for p in panels)
    return n, total_mm, n * float(np.median([p.x1_mm - p.x0_mm for p in panels]))


def _by_columns(layout: Layout) -> float | None:
    """What a scale must be multiplied with so that the columns last as long as they usually do."""
    n, _, inked_mm = _columns_mm(layout)
    usual = _TOTALS_S.get(n, ())
    if layout.speed_mm_s >= _WIDE_MM_S:
        usual += tuple(seconds / 2 for seconds in usual)
    ratios = [inked_mm / (seconds * layout.speed_mm_s) for seconds in usual]
    near = [ratio for ratio in ratios if abs(np.log(ratio)) < _NEAR]
    return min(near, key=lambda ratio: abs(np.log(ratio)), default=None)


def _by_whole_seconds(layout: Layout, near: float) -> float | None:
    """What a scale must be multiplied with, about ``near``, so that the columns last whole seconds: without what lies
    between them, or, where that is far from any, with it; None where neither is near."""
    _, total_mm, inked_mm = _columns_mm(layout)
    for length_mm in (inked_mm, total_mm):
        seconds = length_mm / layout.speed_mm_s
        whole = round(seconds / near)
        if whole >= _LEAST_S and abs(np.log(seconds / whole / near)) < _EVEN:
            return seconds / whole
    return None


def _lasts_whole_seconds(layout: Layout) -> bool:
    """Whether the columns last whole seconds as they were measured, to a standard's own accuracy."""
    ratio = _by_whole_seconds(layout, 1.0)
    return ratio is not None and abs(np.log(ratio)) < _WHOLE


def _by_pulses(marks: Marks) -> tuple[float | None, bool]:
    """What a scale must be multiplied with so that the pulses are 1 mV high, None without any; whether they were
    measured on the ink, to half a per cent."""
    exact = [p.height_mm for p in marks.pulses if p.exact]
    # The usual height that ink fits best was not measured: at a wrong scale it is another's.
    heights = exact or [p.height_mm for p in marks.pulses if not (p.inked and p.height_mm in GAINS_MM_MV)]
    return (float(np.median(heights)) / marks.layout.gain_mm_mv if heights else None), bool(exact)


def _flat(box: Box, angle: float, across: float, down: float) -> Matrix:
    """mm → px of a sheet that lay turned by ``angle`` degrees under a scanner of ``across`` and ``down`` pixels to the
    millimetre; the origin is the middle of ``box`` (px)."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return np.array([[across * c, -across * s, x], [down * s, down * c, y], [0, 0, 1.0]])


def _bounds(page_map: PageMap, box: Box) -> Box:
    corners = page_map.to_mm(np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def turn_deg(image: NDArray[np.uint8], box: Box, aspect: float = 1.0) -> float:
    """The small turn of the sheet, clockwise as seen, at which rows of ink are sharpest; ``aspect``: how many pixels
    down are as long as one across."""
    x0, y0, x1, y1 = (round(v) for v in box)
    grey = cv2.cvtColor(image[y0 : y1 + 1, x0 : x1 + 1], cv2.COLOR_RGB2GRAY)
    factor = min(1.0, 900 / max(grey.shape))
    how = cv2.INTER_AREA if factor / aspect <= 1 else cv2.INTER_LINEAR
    small = cv2.resize(grey, None, fx=factor, fy=factor / aspect, interpolation=how).astype(np.float32)
    # Smooth, or a turn of naught, which interpolates nothing, is the sharpest.
    ink = cv2.GaussianBlur(np.clip(cv2.blur(small, (31, 31)) - small, 0, None), (0, 0), 1.5)
    inner = ink[ink.shape[0] // 20 : -(ink.shape[0] // 20) or None, ink.shape[1] // 20 : -(ink.shape[1] // 20) or None]
    height, width = inner.shape

    def sharpness(degrees: float) -> float:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        rows = cv2.warpAffine(inner, turn, (width, height), flags=cv2.INTER_LINEAR).sum(axis=1)
        columns = cv2.warpAffine(inner, turn, (width, height), flags=cv2.INTER_LINEAR).sum(axis=0)
        return float(max(np.square(np.diff(rows)).sum() / height, np.square(np.diff(columns)).sum() / width))

    coarse = np.arange(-8, 8.01, 0.5)
    start = coarse[int(np.argmax([sharpness(v) for v in coarse]))]
    fine = start + np.arange(-0.5, 0.51, 0.05)
    return float(fine[int(np.argmax([sharpness(v) for v in fine]))])
