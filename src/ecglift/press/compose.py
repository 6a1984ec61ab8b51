"""From a patient's signal and a style to a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.leads import CHEST_LEADS, LEAD_INDEX, polarity
from ecglift.paper import Layout, Panel
from ecglift.press.clutter import clutter
from ecglift.press.header import header
from ecglift.press.page import Grid, Page, Stroke, StrokeKind, Text
from ecglift.press.style import Style

_LIMB_PREFIX: Final = {"aVR", "aVL", "aVF"}


def compose(rng: np.random.Generator, mv: NDArray[np.floating], fs_hz: float, style: Style) -> Page:
    """The page that shows ``mv`` (12, n) millivolts at ``fs_hz`` in the given style; ``rng`` places labels, text and
    clutter.

    Where the signal is shorter than the page would show, the row ends with it.
    """
    mv = np.asarray(mv, np.float32)
    panels = _panels(style, mv.shape[1] / fs_hz)
    strokes: list[Stroke] = []
    texts: list[Text] = []
    for panel in panels:
        points = _curve(panel, style, mv, fs_hz)
        lead = f"{panel.lead}@{panel.column}"
        strokes.append(
            Stroke(
                "trace",
                points,
                style.pen_mm,
                style.ink,
                panel.row,
                lead,
                dots_mm=style.dots_mm,
                wear=style.wear,
            )
        )
        strokes += _separators(rng, panel, panels, style, points, strokes)
        texts += _label(rng, panel, panels, style)
    strokes += _pulses(panels, style, strokes)
    layout = Layout(
        style.template.name,
        tuple(panels),
        style.speed_mm_s,
        style.gain_mm_mv,
        "printed" if style.header else "assumed",
        "pulse" if style.pulse != "none" else "printed" if style.header else "assumed",
    )
    grid = Grid(
        style.grid_kind,
        style.grid_box_mm,
        style.minor,
        style.major,
        style.minor_width_mm,
        style.major_width_mm,
        style.ground,
    )
    meta: dict[str, object] = {
        "template": style.template.name,
        "pen_mm": style.pen_mm,
        "pulse": style.pulse,
        "label_place": style.label_place,
        "speed_printed": style.header > 0,
        "simultaneous": style.simultaneous,
    }
    bare = Page(
        style.width_mm, style.height_mm, style.paper, grid, tuple(strokes), tuple(texts), (), layout, fs_hz, mv, meta
    )
    more_strokes, more_texts, patches = clutter(rng, bare, style)
    header_texts, header_strokes = header(rng, bare, style)
    return replace(
        bare,
        strokes=(*bare.strokes, *header_strokes, *more_strokes),
        texts=(*header_texts, *bare.texts, *more_texts),
        patches=patches,
    )


def _panels(style: Style, duration_s: float) -> list[Panel]:
    panels = []
    step_mm = style.column_s * style.speed_mm_s
    for row, names in enumerate(style.template.rows):
        for column, name in enumerate(names):
            lead, sign = polarity(name)
            assert lead is not None  # templates hold lead names only
            start = 0.0 if style.simultaneous else column * style.column_s
            length = min(step_mm, (duration_s - start) * style.speed_mm_s)
            x0 = style.left_mm + column * (step_mm + style.column_gap_mm)
            gain = style.gain_mm_mv * (style.chest_gain if lead in CHEST_LEADS else 1.0)
            panels.append(Panel(lead, row, column, x0, x0 + length, style.rows_mm[row], start, gain, sign))
    n_columns = style.template.n_columns
    for k, lead in enumerate(style.rhythm_leads):
        row = len(style.template.rows) + k
        length = min(step_mm * n_columns + style.column_gap_mm * (n_columns - 1), duration_s * style.speed_mm_s)
        gain = style.gain_mm_mv * (style.chest_gain if lead in CHEST_LEADS else 1.0)
        panels.append(
            Panel(lead, row, 0, style.left_mm, style.left_mm + length, style.rows_mm[row], 0.0, gain, 1, True)
        )
    return panels


def _curve(panel: Panel, style: Style, mv: NDArray[np.float32], fs_hz: float) -> NDArray[np.float64]:
    """The polyline (n, 2) mm that the pen follows."""
    a = round(panel.start_s * fs_hz)
    b = min(a + int((panel.x1_mm - panel.x0_mm) / style.speed_mm_s * fs_hz + 1e-6) + 1, mv.shape[1])
    step = max(1, round(fs_hz / style.print_hz))
    n = np.arange(a, b, step)
    x = panel.x0_mm + (n / fs_hz - panel.start_s) * style.speed_mm_s
    y = panel.baseline_mm - panel.polarity * panel.gain_mm_mv * mv[LEAD_INDEX[panel.lead], n].astype(float)
    return np.stack([x, np.where(np.isfinite(y), y, panel.baseline_mm)], axis=1)


def _line(
    kind: StrokeKind,
    points: list[tuple[float, float]],
    width: float,
    colour: tuple[float, float, float],
    row: int,
    dash: tuple[float, float] | None = None,
) -> Stroke:
    return Stroke(kind, np.array(points, float), width, colour, row, "", dash)


def _separators(
    rng: np.random.Generator,
    panel: Panel,
    panels: list[Panel],
    style: Style,
    points: NDArray[np.float64],
    drawn: list[Stroke],
) -> list[Stroke]:
    half, width = style.separator_mm
    x, y, row, ink = panel.x0_mm, panel.baseline_mm, panel.row, style.separator_ink
    first = panel.column == 0
    if style.separator == "none" or (first and (style.separator not in ("bar", "tick") or panel.rhythm)):
        return []
    if style.separator == "bar":
        return (
            []
            if first and style.pulse == "left"
            else [_line("separator", [(x, y - half), (x, y + half)], width, ink, row)]
        )
    if style.separator == "tick":
        top = y - half * 2
        return [_line("separator", [(x, top), (x, top + half)], width, ink, row)]
    if style.separator == "double":
        return [_line("separator", [(x + dx, y - half - 3), (x + dx, y - 3)], width, ink, row) for dx in (-0.5, 0.5)]
    if style.separator in ("long", "dashed"):
        pitch = abs(style.rows_mm[1] - style.rows_mm[0]) if len(style.rows_mm) > 1 else 30.0
        dash = (1.0, 1.0) if style.separator == "dashed" else None
        return [_line("separator", [(x, y - pitch / 2), (x, y + pitch / 2)], max(width * 0.5, 0.15), ink, row, dash)]
    before = [s for s in drawn[:-1] if s.kind == "trace" and s.row == row]
    if not before or style.column_gap_mm > 1.5:
        return []
    end = before[-1].points_mm[-1]
    return [_line("separator", [(end[0], end[1]), (points[0, 0], points[0, 1])], style.pen_mm, style.ink, row)]


def _label(rng: np.random.Generator, panel: Panel, panels: list[Panel], style: Style) -> list[Text]:
    if style.label_place == "none":
        return []
    dx, dy = style.label_offset_mm
    x = panel.x0_mm + dx + float(rng.normal(0, 0.15))
    y = {
        "above": panel.baseline_mm - dy,
        "below": panel.baseline_mm + dy + style.label_mm,
        "on": panel.baseline_mm + style.label_mm * float(rng.uniform(0.2, 0.9)),
        "left": panel.baseline_mm + style.label_mm * 0.4,
    }[style.label_place]
    if style.label_place == "left" and panel.column == 0:
        reach = style.label_mm * 0.85 * len(panel.lead) + (8 if style.pulse in ("left", "joined", "between") else 1.5)
        x = max(panel.x0_mm - reach, 0.5)
    return [
        Text(
            "label",
            spelled(panel, style.label_form),
            x,
            y,
            style.label_mm,
            style.label_font,
            style.label_ink,
            panel.lead,
            panel.row,
        )
    ]


def spelled(panel: Panel, form: str) -> str:
    """The lead's name as a device with this habit prints it."""
    name = panel.lead
    if form == "upper":
        name = name.upper()
    elif form == "spaced":
        name = " ".join(name)
    elif form == "C" and name.startswith("V"):
        name = f"C{name[1:]}"
    return f"-{name}" if panel.polarity < 0 else name


def _pulses(panels: list[Panel], style: Style, drawn: list[Stroke]) -> list[Stroke]:
    """The 1 mV calibration pulse of each row, or of each column in it, 200 ms wide unless the style says otherwise."""
    if style.pulse == "none":
        return []
    out = []
    width = style.pulse_mm * style.speed_mm_s / 25.0
    foot = 0.3 * width
    for row in sorted({p.row for p in panels}):
        in_row = [p for p in panels if p.row == row]
        if style.pulse == "right":
            starts = [max(p.x1_mm for p in in_row) + 1.0]
        else:
            apart = 0.0 if style.pulse == "joined" else 1.5
            beside = in_row if style.pulse == "between" else [min(in_row, key=lambda p: p.x0_mm)]
            starts = [p.x0_mm - apart - 2 * foot - width for p in beside]
        for x, panel in zip(starts, in_row, strict=False):
            y, top = panel.baseline_mm, panel.baseline_mm - panel.gain_mm_mv
            up, down = x + foot, x + foot + width
            points = [(x, y), (up, y), (up, top), (down, top), (down, y), (down + foot, y)]
            if style.pulse == "joined":
                first = min((s for s in drawn if s.kind == "trace" and s.row == row), key=lambda s: s.points_mm[0, 0])
                points.append((float(first.points_mm[0, 0]), float(first.points_mm[0, 1])))
            pulse = _line("pulse", points, style.pen_mm, style.ink, row)
            out.append(replace(pulse, dots_mm=style.dots_mm, wear=style.wear))
    return out
