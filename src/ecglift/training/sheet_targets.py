"""The truth of a page on the sheet network's lattice: what it shall answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, LABELS, PANEL_UNIT_MM
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S
from ecglift.press.fonts import text_box
from ecglift.press.page import Page
from ecglift.press.render import stroke_mask

_HEAT_MM: Final = 1.0
_ROW_MM: Final = 0.8
_EDGE_MM: Final = 0.8
_REACH_MM: Final = 6.0


@dataclass(frozen=True)
class _Lattice:
    """Where cells are on the page: cell (r, c) has its centre at ``x0_mm + (c + ½)·cell_mm`` and so on."""

    dense: NDArray[np.float32]
    x0_mm: float
    y0_mm: float
    cell_mm: float

    def at(self, x_mm: float, y_mm: float) -> tuple[float, float]:
        """(column, row) of a point, whole numbers at cells' centres."""
        return (x_mm - self.x0_mm) / self.cell_mm - 0.5, (y_mm - self.y0_mm) / self.cell_mm - 0.5

    def around(
        self, column: float, row: float, wide: float, high: float
    ) -> tuple[slice, slice, NDArray[np.float32], NDArray[np.float32]]:
        """Cells within ``wide`` and ``high`` of a point: slices of rows and columns, and the way from each to the
        point (dx, dy).
        """
        rows, columns = self.dense.shape[1:]
        a, b = max(int(np.ceil(row - high)), 0), min(int(np.floor(row + high)) + 1, rows)
        c, d = max(int(np.ceil(column - wide)), 0), min(int(np.floor(column + wide)) + 1, columns)
        b, d = max(a, b), max(c, d)
        dy, dx = np.meshgrid(row - np.arange(a, b), column - np.arange(c, d), indexing="ij")
        return slice(a, b), slice(c, d), dx.astype(np.float32), dy.astype(np.float32)

    def heat(self, name: str, where: tuple[slice, slice], value: NDArray[np.float32]) -> None:
        channel = self.dense[DENSE[name].start]
        channel[where] = np.maximum(channel[where], value)

    def put(
        self, name: str, where: tuple[slice, slice], mask: NDArray[np.bool_], *values: NDArray[np.float32] | float
    ) -> None:
        for k, value in enumerate(values):
            channel = self.dense[DENSE[name].start + k][where]
            channel[mask] = np.broadcast_to(np.asarray(value, np.float32), mask.shape)[mask]


def _labels(lattice: _Lattice, page: Page) -> None:
    for text in page.texts:
        if text.kind != "label":
            continue
        x0, y0, x1, y1 = text_box(text)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        rows, columns, dx, dy = lattice.around(*lattice.at(x, y), 3.0, 3.0)
        far = dx**2 + dy**2
        where = rows, columns
        lattice.heat("label_heat", where, np.exp(-far / (2 * _HEAT_MM**2)))
        near = far <= 1.6**2
        own = (p for p in page.layout.panels if p.lead == text.lead and p.row == text.row)
        panel = min(own, key=lambda p: abs(p.x0_mm - text.x_mm), default=None)
        inverted = panel.polarity < 0 if panel else text.text.startswith("-")
        name = f"-{text.lead}" if inverted and f"-{text.lead}" in LABELS else text.lead
        lattice.put("label_class", where, near, float(LABELS.index(name)))
        lattice.put("label_offset", where, near, dx, dy)
        to_x = (panel.x0_mm - x) / lattice.cell_mm if panel else np.nan
        to_y = (panel.baseline_mm - y) / lattice.cell_mm if panel else np.nan
        lattice.put("label_panel", where, near, (to_x + dx) / PANEL_UNIT_MM, (to_y + dy) / PANEL_UNIT_MM)


def _rows(lattice: _Lattice, page: Page) -> None:
    baselines = sorted({p.baseline_mm for p in page.layout.panels})
    pitch = float(min(np.diff(baselines), default=30.0)) / lattice.cell_mm
    for panel in page.layout.panels:
        x0, y = lattice.at(panel.x0_mm, panel.baseline_mm)
        x1 = lattice.at(panel.x1_mm, panel.baseline_mm)[0]
        rows, columns, _, dy = lattice.around((x0 + x1) / 2, y, (x1 - x0) / 2, 3.0)
        lattice.heat("row_heat", (rows, columns), np.exp(-(dy**2) / (2 * _ROW_MM**2)))
        lattice.put("row_offset", (rows, columns), np.abs(dy) <= 1.5, dy)
        for name, x in (("start", x0), ("end", x1)):
            rows, columns, dx, dy = lattice.around(x, y, 3.0, min(_REACH_MM, pitch * 0.5))
            lattice.heat(f"{name}_heat", (rows, columns), np.exp(-(dx**2) / (2 * _EDGE_MM**2)))
            lattice.put(f"{name}_offset", (rows, columns), np.abs(dx) <= 1.6, dx)


def _pulses(lattice: _Lattice, page: Page) -> None:
    for stroke in page.strokes:
        if stroke.kind != "pulse" or len(stroke.points_mm) < 6:
            continue
        (ax, ay), (bx, _) = stroke.points_mm[2], stroke.points_mm[3]
        foot = stroke.points_mm[0, 1]
        (c0, r0), (c1, r1) = lattice.at(float(ax), float(ay)), lattice.at(float(bx), float(foot))
        rows, columns, dx, _ = lattice.around((c0 + c1) / 2, (r0 + r1) / 2, (c1 - c0) / 2 + 1, (r1 - r0) / 2 + 1)
        inside = np.ones(dx.shape, bool)
        unit = lattice.cell_mm * PANEL_UNIT_MM
        lattice.put("pulse", (rows, columns), inside, 1.0)
        lattice.put("pulse_size", (rows, columns), inside, float(bx - ax) / unit, float(foot - ay) / unit)


SPEED_TEXT: Final = re.compile(r"([\d.,]+)\s?mm/s(?:ec)?", re.IGNORECASE)
GAIN_TEXT: Final = re.compile(r"([\d.,]+)\s?mm/mV", re.IGNORECASE)


def _scales(lattice: _Lattice, page: Page) -> None:
    for text in page.texts:
        if text.kind != "text" or "mm/" not in text.text:
            continue
        for name, pattern, usual in (("speed", SPEED_TEXT, SPEEDS_MM_S), ("gain", GAIN_TEXT, GAINS_MM_MV)):
            for found in pattern.finditer(text.text):
                value = float(found.group(1).replace(",", "."))
                if value not in usual:
                    continue
                x0, y0, x1, y1 = text_box(text, found.span())
                rows, columns, dx, dy = lattice.around(*lattice.at((x0 + x1) / 2, (y0 + y1) / 2), 4.0, 3.0)
                far = (dx / 1.5) ** 2 + dy**2
                lattice.heat(f"{name}_heat", (rows, columns), np.exp(-far / (2 * _HEAT_MM**2)))
                near = far <= 1.6**2
                lattice.put(f"{name}_class", (rows, columns), near, float(usual.index(value)))
                if name == "gain":
                    before = text.text[: found.start()].lower().rstrip(" :")
                    lattice.put(
                        "gain_chest", (rows, columns), near, float(before.endswith(("chest", "v", "precordial")))
                    )


def targets(page: Page, x0_mm: float, y0_mm: float, cell_mm: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(DENSE_CHANNELS, rows, columns) truth of a window whose first cell's corner is at x0, y0 on the page; classes −1
    where none.
    """
    dense = np.zeros((DENSE_CHANNELS, *shape), np.float32)
    for name in ("label_class", "speed_class", "gain_class"):
        dense[DENSE[name].start] = -1
    lattice = _Lattice(dense, x0_mm, y0_mm, cell_mm)
    _rows(lattice, page)
    _labels(lattice, page)
    _pulses(lattice, page)
    _scales(lattice, page)
    box = (x0_mm, y0_mm, x0_mm + shape[1] * cell_mm, y0_mm + shape[0] * cell_mm)
    for name in ("trace", "separator"):
        mask = stroke_mask(page, 2 / cell_mm, (name,), box)
        mask = cv2.resize(mask, (shape[1] * 2, shape[0] * 2)).reshape(shape[0], 2, shape[1], 2).max(axis=(1, 3))
        dense[DENSE[name].start] = mask > 0.08
    for text in page.texts:
        if text.kind != "label":
            x0, y0, x1, y1 = text_box(text)
            (c0, r0), (c1, r1) = lattice.at(x0, y0), lattice.at(x1, y1)
            rows, columns, _, _ = lattice.around((c0 + c1) / 2, (r0 + r1) / 2, (c1 - c0) / 2, max((r1 - r0) / 2, 0.6))
            dense[DENSE["text"].start][rows, columns] = 1
    return dense
