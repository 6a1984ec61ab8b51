"""An ECG drawn on paper again: any layout, as SVG text or as pixels, and as what a notebook shows."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEAD_INDEX, LEADS, polarity
from ecglift.paper import DEFAULT_GAIN_MM_MV, DEFAULT_SPEED_MM_S, TEMPLATES, Template
from ecglift.recording import Recording

if TYPE_CHECKING:
    from ecglift.draw.canvas import Colour

Points = NDArray[np.float64]

_MARGIN_MM: Final = 5.0
_PULSE_MM: Final = 5.0
_LEFT_MM: Final = _MARGIN_MM + 2.0 + _PULSE_MM + 3.0
_ROW_MM: Final[dict[int, float]] = {1: 40.0, 2: 35.0, 3: 32.5, 4: 30.0, 5: 27.5, 6: 25.0, 7: 22.5}
"""How far apart rows stand, by their number; more rows stand 17.5 mm apart."""
_LINE_MM: Final = 0.28
_MINOR: Final[Colour] = (250, 218, 214)
_MAJOR: Final[Colour] = (240, 165, 158)
_GROUND: Final[Colour] = (255, 251, 250)
_BINS: Final = 8
"""Confidence is drawn in so many steps, so that a trace stays a few lines and not one a sample."""


@dataclass(frozen=True)
class Curve:
    """One panel: ``points_mm`` (n, 2), NaN in gaps, and ``confidence`` (n,); ``name`` stands at ``x_mm``,
    ``baseline_mm``.
    """

    name: str
    row: int
    x_mm: float
    baseline_mm: float
    points_mm: Points
    confidence: NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """An ECG on paper in mm: curves, pulses (polylines), separators and words; ``svg`` and ``pixels`` show it."""

    width_mm: float
    height_mm: float
    curves: tuple[Curve, ...]
    pulses_mm: tuple[Points, ...]
    separators_mm: tuple[Points, ...]
    title: str
    footer: str
    by_confidence: bool = False

    def svg(self) -> str:
        """The drawing as SVG text, in true millimetres: it prints to scale."""
        from ecglift.draw.canvas import INK, confidence_colours

        w, h = self.width_mm, self.height_mm
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:g}mm" height="{h:g}mm" viewBox="0 0 {w:g} {h:g}" '
            f'font-family="Helvetica, Arial, sans-serif" role="img"><title>{escape(self.title or "ECG")}</title>',
            f'<rect width="{w:g}" height="{h:g}" fill="{_hex(_GROUND)}"/>',
            f'<path d="{_grid_path(w, h, 1.0)}" stroke="{_hex(_MINOR)}" stroke-width="0.09" fill="none"/>',
            f'<path d="{_grid_path(w, h, 5.0)}" stroke="{_hex(_MAJOR)}" stroke-width="0.16" fill="none"/>',
        ]
        line = f'fill="none" stroke-linejoin="round" stroke-linecap="round" stroke-width="{_LINE_MM}"'
        for points in self.pulses_mm:
            parts.append(f'<path d="{_path(points)}" stroke="{_hex(INK)}" {line}/>')
        for points in self.separators_mm:
            parts.append(f'<path d="{_path(points)}" stroke="#888" {line}/>')
        # Names first: no letter hides a trace.
        for curve in self.curves:
            x, y = curve.x_mm + 1, curve.baseline_mm - 8
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="3.6" font-weight="bold">{escape(curve.name)}</text>'
            )
        colours = confidence_colours((np.arange(_BINS) + 0.5) / _BINS, INK)
        for curve in self.curves:
            for k, points in self._pieces(curve):
                colour: Colour = INK if k == _BINS - 1 else (int(colours[k, 0]), int(colours[k, 1]), int(colours[k, 2]))
                parts.append(f'<path d="{_path(points)}" stroke="{_hex(colour)}" {line}/>')
        if self.title:
            parts.append(f'<text x="{_MARGIN_MM}" y="{_MARGIN_MM + 1.5}" font-size="4">{escape(self.title)}</text>')
        parts.append(f'<text x="{_MARGIN_MM}" y="{h - 2:.1f}" font-size="3">{escape(self.footer)}</text></svg>')
        return "\n".join(parts)

    def pixels(self, px_per_mm: float = 8.0) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB of the drawing."""
        from ecglift.draw.canvas import INK, Canvas, confidence_colours

        if not 1 <= px_per_mm <= 40:
            raise ValueError(f"px_per_mm must be 1 to 40, got {px_per_mm}")
        height, width = round(self.height_mm * px_per_mm), round(self.width_mm * px_per_mm)
        image = np.empty((height, width, 3), np.uint8)
        image[:] = _GROUND
        for step, colour, thick in ((1.0, _MINOR, 0.09), (5.0, _MAJOR, 0.16)):
            if step * px_per_mm < 3:
                continue
            across = max(1, round(thick * px_per_mm))
            for at in np.arange(0, self.width_mm + 0.5, step):
                a = max(round(at * px_per_mm - across / 2), 0)
                image[:, a : a + across] = colour
            for at in np.arange(0, self.height_mm + 0.5, step):
                a = max(round(at * px_per_mm - across / 2), 0)
                image[a : a + across] = colour
        canvas = Canvas(height, width)
        # The centre of the first pixel stands half a pixel into the paper. OpenCV draws a pixel wider than asked.
        thick = max(_LINE_MM * px_per_mm - 1.0, 1.0)

        def px(points: Points) -> Points:
            return points * px_per_mm - 0.5

        for points in self.pulses_mm:
            canvas.line(px(points), INK, thick)
        for points in self.separators_mm:
            canvas.line(px(points), (136, 136, 136), thick)
        for curve in self.curves:
            at = px(np.array([curve.x_mm + 1, curve.baseline_mm - 8]))
            canvas.text(float(at[0]), float(at[1]), curve.name, 4.4 * px_per_mm)
        for curve in self.curves:
            if self.by_confidence:
                steps = (np.floor(np.clip(curve.confidence, 0, 0.999) * _BINS) + 0.5) / _BINS
                steps[steps > 1 - 1 / _BINS] = 1.0
                canvas.coloured_line(px(curve.points_mm), confidence_colours(steps, INK), thick)
            else:
                canvas.line(px(curve.points_mm), INK, thick)
        if self.title:
            canvas.text(_MARGIN_MM * px_per_mm, (_MARGIN_MM + 1.5) * px_per_mm, self.title, 4.4 * px_per_mm)
        canvas.text(_MARGIN_MM * px_per_mm, (self.height_mm - 2) * px_per_mm, self.footer, 3.4 * px_per_mm)
        return canvas.over(image)

    def save(self, path: str | Path, px_per_mm: float = 12.0) -> Path:
        """The file written: SVG or PNG, by its suffix; ValueError for another one."""
        from ecglift.draw.canvas import to_png

        path = Path(path)
        if path.suffix.lower() == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        elif path.suffix.lower() == ".png":
            path.write_bytes(to_png(self.pixels(px_per_mm)))
        else:
            raise ValueError(f"a drawing is saved as .svg or .png, got {path.name!r}")
        return path

    def _repr_svg_(self) -> str:
        return self.svg()

    def _pieces(self, curve: Curve) -> list[tuple[int, Points]]:
        """(step of confidence, points) of the curve's pieces; each piece ends where the next begins."""
        finite = np.isfinite(curve.points_mm[:, 1])
        if not finite.any():
            return []
        step = np.full(len(finite), _BINS - 1)
        if self.by_confidence:
            step = np.floor(np.clip(curve.confidence, 0, 0.999) * _BINS).astype(int)
        key = np.where(finite, step, -1)
        edges = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), len(key)]
        out = []
        for a, b in pairwise(edges):
            if key[a] >= 0:
                end = b + 1 if b < len(key) and key[b] >= 0 else b
                out.append((int(key[a]), curve.points_mm[a:end]))
        return out


def draw_ecg(
    recording: Recording,
    layout: str | Template | None = None,
    *,
    speed_mm_s: float = DEFAULT_SPEED_MM_S,
    gain_mm_mv: float = DEFAULT_GAIN_MM_MV,
    title: str = "",
    by_confidence: bool = False,
) -> Drawing:
    """``recording`` on paper in ``layout``: a name of :data:`ecglift.paper.TEMPLATES`, a template, or None: as it was
    printed.

    ``by_confidence`` colours what is not sure. A lead that is missing leaves its place empty; one that was printed at
    another time than the layout's column shows what there is of it. ValueError for an unknown layout or a scale that
    is not positive.
    """
    if not speed_mm_s > 0 or not gain_mm_mv > 0:
        raise ValueError(f"speed_mm_s and gain_mm_mv must be positive, got {speed_mm_s} and {gain_mm_mv}")
    if isinstance(layout, str):
        if layout not in TEMPLATES:
            raise ValueError(f"layout must be one of {', '.join(TEMPLATES)}; got {layout!r}")
        layout = TEMPLATES[layout]
    windows = _as_printed(recording) if layout is None else _by_template(recording, layout)
    duration_s = max(recording.duration_s, 1.0)
    n_rows = max((w.row for w in windows), default=0) + 1
    pitch = _ROW_MM.get(n_rows, 17.5)
    over, under = (
        _reach_mm(recording, windows, 0, gain_mm_mv)[0],
        _reach_mm(recording, windows, n_rows - 1, gain_mm_mv)[1],
    )
    top = _MARGIN_MM + (6.0 if title else 0.0) + max(pitch * 0.55, 13.0, over)
    height = np.ceil((top + (n_rows - 1) * pitch + max(pitch * 0.5, 11.0, under) + 6.0) / 5) * 5
    width = np.ceil((_LEFT_MM + duration_s * speed_mm_s + _MARGIN_MM) / 5) * 5
    curves, separators = [], []
    for w in windows:
        x0, base = _LEFT_MM + w.at_s * speed_mm_s, top + w.row * pitch
        lead = LEAD_INDEX[w.lead]
        y = recording.mv[lead, w.start : w.stop].astype(float) * w.polarity
        x = x0 + np.arange(len(y)) / recording.fs_hz * speed_mm_s
        points = np.stack([x, base - y * gain_mm_mv], axis=1)
        name = ("-" if w.polarity < 0 else "") + w.lead
        curves.append(Curve(name, w.row, x0, base, points, recording.confidence[lead, w.start : w.stop].astype(float)))
        if w.at_s > 0:
            separators.append(np.array([[x0, base - 3.0], [x0, base + 3.0]]))
    one_mv = np.array(
        [[0, 0], [1, 0], [1, -gain_mm_mv], [1 + _PULSE_MM, -gain_mm_mv], [1 + _PULSE_MM, 0], [2 + _PULSE_MM, 0]]
    )
    pulses = tuple(one_mv + [_MARGIN_MM, top + row * pitch] for row in sorted({w.row for w in windows}))
    footer = f"{speed_mm_s:g} mm/s   {gain_mm_mv:g} mm/mV   {recording.fs_hz:g} Hz   {recording.duration_s:.1f} s"
    return Drawing(float(width), float(height), tuple(curves), pulses, tuple(separators), title, footer, by_confidence)


@dataclass(frozen=True)
class _Window:
    """Samples ``start`` to ``stop`` of a lead, drawn in ``row`` from ``at_s`` on."""

    lead: str
    row: int
    at_s: float
    start: int
    stop: int
    polarity: int = 1


def _reach_mm(recording: Recording, windows: list[_Window], row: int, gain_mm_mv: float) -> tuple[float, float]:
    """How far the curves of a row go above and below its baseline, at most 60 mm."""
    above = below = 0.0
    for w in windows:
        y = recording.mv[LEAD_INDEX[w.lead], w.start : w.stop] * w.polarity
        y = y[np.isfinite(y)]
        if w.row == row and len(y):
            above, below = max(above, float(y.max())), max(below, -float(y.min()))
    return min(above * gain_mm_mv + 2, 60.0), min(below * gain_mm_mv + 2, 60.0)


def _as_printed(recording: Recording) -> list[_Window]:
    """The windows that the page itself had; without segments three rows of four columns and lead II."""
    if not recording.segments:
        return _by_template(recording, TEMPLATES["3x4+1"])
    rows = {row: k for k, row in enumerate(sorted({s.row for s in recording.segments}))}
    windows = []
    for row in rows:
        inside = sorted((s for s in recording.segments if s.row == row), key=lambda s: s.column)
        at_s = 0.0
        for s in inside:
            windows.append(_Window(s.lead, rows[row], at_s, s.start, s.stop))
            at_s += (s.stop - s.start) / recording.fs_hz
    return windows


def _by_template(recording: Recording, template: Template) -> list[_Window]:
    n, columns = len(recording), template.n_columns
    windows = []
    for row, names in enumerate(template.rows):
        for column, printed in enumerate(names):
            lead, sign = polarity(printed)
            assert lead is not None  # templates hold lead names only
            start, stop = n * column // columns, n * (column + 1) // columns
            windows.append(_where_it_is(recording, _Window(lead, row, start / recording.fs_hz, start, stop, sign)))
    strips = _strip_leads(recording, template.rhythm_strips)
    rows = len(template.rows)
    return windows + [_Window(lead, rows + k, 0.0, 0, n) for k, lead in enumerate(strips)]


def _where_it_is(recording: Recording, window: _Window) -> _Window:
    """The window, moved to where the lead was printed when the layout's own time shows less than half of what it
    could.
    """
    there = np.isfinite(recording.mv[LEAD_INDEX[window.lead]])
    length = window.stop - window.start
    known = np.flatnonzero(there)
    if not len(known) or there[window.start : window.stop].sum() >= min(length, len(known)) / 2:
        return window
    start = int(min(known[0], max(len(there) - length, 0)))
    return _Window(window.lead, window.row, window.at_s, start, start + length, window.polarity)


def _strip_leads(recording: Recording, how_many: int) -> list[str]:
    """Leads for rhythm strips: those that run longest, the usual ones first among equals."""
    usual = ("II", "V1", "V5", *LEADS)
    length = {name: int(np.isfinite(recording.mv[LEAD_INDEX[name]]).sum()) for name in LEADS}
    order = sorted(dict.fromkeys(usual), key=lambda name: -length[name])
    return order[:how_many]


def _grid_path(width_mm: float, height_mm: float, step_mm: float) -> str:
    across = "".join(f"M{x:g} 0V{height_mm:g}" for x in np.arange(0, width_mm + 0.01, step_mm))
    return across + "".join(f"M0 {y:g}H{width_mm:g}" for y in np.arange(0, height_mm + 0.01, step_mm))


def _path(points: Points) -> str:
    """Path data of a polyline, to 10 µm, in relative steps: half the length of absolute ones."""
    fixed = np.round(points * 100).astype(int)
    steps = np.diff(fixed, axis=0)
    moves = " ".join(f"{_short(dx)} {_short(dy)}" for dx, dy in steps.tolist())
    return f"M{fixed[0, 0] / 100:g} {fixed[0, 1] / 100:g}" + (f"l{moves}" if moves else "")


def _short(hundredths: int) -> str:
    text = f"{hundredths / 100:g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{v:02x}" for v in colour)
