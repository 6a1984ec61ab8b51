"""Windows for the sheet network: a piece of a printed sheet as a capture shows it, and what is where on its 1 mm lattice."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, LABELS, PANEL_UNIT_MM, PX_PER_MM, TEMPLATE_NAMES
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S
from ecglift.press.compose import compose
from ecglift.press.fonts import text_mask
from ecglift.press.page import Page, Text
from ecglift.press.render import render, stroke_mask
from ecglift.press.style import Style, competition_style, random_style
from ecglift.training.crops import photograph
from ecglift.training.signals import Signals

SHAPES_MM: Final[tuple[tuple[int, int, int], ...]] = ((304, 208, 2), (208, 304, 2), (304, 112, 4), (160, 208, 4), (400, 160, 2))
"""Width, height and number of windows of a batch: each costs about the same."""

MIRRORED: Final = 4
_HEAT_MM: Final = 1.0
_ROW_MM: Final = 0.8
_EDGE_MM: Final = 0.8
_REACH_MM: Final = 6.0


@dataclass(frozen=True)
class Window:
    """What the network is shown and what it shall answer.

    ``rgb``: (4h, 4w, 3) uint8; ``dense``: (DENSE_CHANNELS, h, w) float32, of each group of classes only the first channel is used and
    holds the class; ``known``: the dense truth counts; ``turn``: class; ``paper``: an ECG on paper; ``template``, ``speed``,
    ``gain``: class or −1; ``simultaneous``: 0, 1 or −1.
    """

    rgb: NDArray[np.uint8]
    dense: NDArray[np.float32]
    known: bool
    turn: int
    paper: bool
    template: int = -1
    simultaneous: int = -1
    speed: int = -1
    gain: int = -1

    @property
    def whole(self) -> NDArray[np.int64]:
        """known, turn, paper, template, simultaneous, speed, gain."""
        return np.array([self.known, self.turn, self.paper, self.template, self.simultaneous, self.speed, self.gain], np.int64)


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
        """Cells within ``wide`` and ``high`` of a point: slices of rows and columns, and the way from each to the point (dx, dy)."""
        rows, columns = self.dense.shape[1:]
        a, b = max(int(np.ceil(row - high)), 0), min(int(np.floor(row + high)) + 1, rows)
        c, d = max(int(np.ceil(column - wide)), 0), min(int(np.floor(column + wide)) + 1, columns)
        b, d = max(a, b), max(c, d)
        dy, dx = np.meshgrid(row - np.arange(a, b), column - np.arange(c, d), indexing="ij")
        return slice(a, b), slice(c, d), dx.astype(np.float32), dy.astype(np.float32)

    def heat(self, name: str, where: tuple[slice, slice], value: NDArray[np.float32]) -> None:
        channel = self.dense[DENSE[name].start]
        channel[where] = np.maximum(channel[where], value)

    def put(self, name: str, where: tuple[slice, slice], mask: NDArray[np.bool_], *values: NDArray[np.float32] | float) -> None:
        for k, value in enumerate(values):
            channel = self.dense[DENSE[name].start + k][where]
            channel[mask] = np.broadcast_to(np.asarray(value, np.float32), mask.shape)[mask]


def text_box(text: Text, part: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 mm of a printed text, or of its characters from ``part[0]`` to ``part[1]``."""
    scale = text.height_mm / 40

    def width(s: str) -> float:
        return text_mask(s, text.font, 40)[0].shape[1] * scale if s else 0.0

    a, b = part or (0, len(text.text))
    left = width(text.text[:a])
    return text.x_mm + left, text.y_mm - text.height_mm, text.x_mm + left + width(text.text[a:b]), text.y_mm


def _labels(lattice: _Lattice, page: Page) -> None:
    for text in page.texts:
        if text.kind != "label":
            continue
        panel = min(
            (p for p in page.layout.panels if p.lead == text.lead and p.row == text.row), key=lambda p: abs(p.x0_mm - text.x_mm), default=None
        )
        if panel is None:
            continue
        x0, y0, x1, y1 = text_box(text)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        rows, columns, dx, dy = lattice.around(*lattice.at(x, y), 3.0, 3.0)
        far = dx**2 + dy**2
        where = rows, columns
        lattice.heat("label_heat", where, np.exp(-far / (2 * _HEAT_MM**2)))
        near = far <= 1.6**2
        name = f"-{text.lead}" if panel.polarity < 0 else text.lead
        lattice.put("label_class", where, near, float(LABELS.index(name) if name in LABELS else LABELS.index(text.lead)))
        lattice.put("label_offset", where, near, dx, dy)
        to_x, to_y = (panel.x0_mm - x) / lattice.cell_mm, (panel.baseline_mm - y) / lattice.cell_mm
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
        rows, columns, dx, dy = lattice.around((c0 + c1) / 2, (r0 + r1) / 2, (c1 - c0) / 2 + 1, (r1 - r0) / 2 + 1)
        inside = np.ones(dx.shape, bool)
        unit = lattice.cell_mm * PANEL_UNIT_MM
        lattice.put("pulse", (rows, columns), inside, 1.0)
        lattice.put("pulse_size", (rows, columns), inside, float(bx - ax) / unit, float(foot - ay) / unit)


_SPEED_TEXT: Final = re.compile(r"([\d.,]+)\s?mm/s(?:ec)?", re.IGNORECASE)
_GAIN_TEXT: Final = re.compile(r"([\d.,]+)\s?mm/mV", re.IGNORECASE)


def _scales(lattice: _Lattice, page: Page) -> None:
    for text in page.texts:
        if text.kind != "text" or "mm/" not in text.text:
            continue
        for name, pattern, usual in (("speed", _SPEED_TEXT, SPEEDS_MM_S), ("gain", _GAIN_TEXT, GAINS_MM_MV)):
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
                    lattice.put("gain_chest", (rows, columns), near, float(before.endswith(("chest", "v", "precordial"))))


def targets(page: Page, x0_mm: float, y0_mm: float, cell_mm: float, shape: tuple[int, int]) -> NDArray[np.float32]:
    """(DENSE_CHANNELS, rows, columns) truth of a window whose first cell's corner is at x0, y0 on the page; classes −1 where none."""
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


_SCALE_FORMS: Final = (
    "{s}mm/s {g}mm/mV", "{s} mm/s {g} mm/mV", "{s}mm/s   {g}mm/mV   100Hz 9.0.3 12SL 241", "{g} mm/mV  {s} mm/s",
    "Speed: {s} mm/sec  Limb: {g} mm/mV  Chest: {c} mm/mV", "{s} mm/s, {g} mm/mV, 0.05-150 Hz", "Speed:{s}mm/s Gain:{g}mm/mV",
    "{s} mm/sec {g} mm/mV", "{g}mm/mV {s}mm/s F 0.5-35Hz", "{s} mm/s", "{g} mm/mV", "[{s} mm/s] [{g} mm/mV]", "Limbs {g} mm/mV  V {c} mm/mV",
)  # fmt: skip


_SENTENCES: Final = (
    "ST elevation in II, III, aVF", "Q in V1-V3", "T inversion V4 V5 V6", "RV5/SV1 1.85/0.92 mV", "RV5+SV1 2.77 mV", "II III aVF", "Lead I",
    "R in aVL > 1.1 mV", "Axis I: 0.5", "LVH (V6)", "Class II", "12SL 241 v1", "I  0.12  -0.04  0.31", "V1 0.05 0.32 -1.20", "ICD II",
)  # fmt: skip


def _printed_scales(rng: np.random.Generator, page: Page, style: Style) -> Page:
    """The page with its scales printed another way, in another place or twice; never a contradiction."""
    texts = [t for t in page.texts if t.lead != "scale"]
    size = "{:.1f}" if rng.random() < 0.15 else "{:g}"
    for _ in range(int(rng.integers(1, 3))):
        form = str(rng.choice(np.array(_SCALE_FORMS)))
        if style.chest_gain != 1 and "{c}" not in form and "{g}" in form:
            form = "Limb: {g} mm/mV Chest: {c} mm/mV {s} mm/s"
        words = form.format(
            s=f"{style.speed_mm_s:g}" if style.speed_mm_s == 12.5 else size.format(style.speed_mm_s),
            g=size.format(style.gain_mm_mv), c=size.format(style.gain_mm_mv * style.chest_gain),
        )  # fmt: skip
        height = float(rng.uniform(1.6, 3.0))
        low = max(p.baseline_mm for p in page.layout.panels) + rng.uniform(6, 20)
        high = min(p.baseline_mm for p in page.layout.panels) - rng.uniform(12, 30)
        y = min(low, page.height_mm - 1.5) if rng.random() < 0.65 else max(high, 4.0)
        x = float(rng.uniform(2, max(page.width_mm - 60, 4)))
        texts.append(Text("text", words, x, float(y), height, style.fonts[int(rng.integers(3))], (0.0, 0.0, 0.0), "scale"))
    return replace(page, texts=tuple(texts))


def draw_page(rng: np.random.Generator, signals: Signals) -> Page:
    """A page for the sheet network: any style; labels may be lacking; "scale" printed in many ways."""
    style = competition_style(rng) if rng.random() < 0.08 else random_style(rng)
    if rng.random() < 0.06:
        style = replace(style, label_place="none")
    if style.label_place != "none" and rng.random() < 0.25:
        style = replace(style, label_place=str(rng.choice(np.array(["above", "below", "on", "left"]))))  # type: ignore[arg-type]
    mv = signals.draw(rng)
    page = compose(rng, mv, signals.fs_hz, style)
    if rng.random() < (0.6 if style.header else 0.3):
        page = _printed_scales(rng, page, style)
    if (u := rng.random()) < 0.06:  # some labels lacking
        keep = rng.random()
        page = replace(page, texts=tuple(t for t in page.texts if t.kind != "label" or rng.random() < keep))
    elif u < 0.1:  # one label smudged over, or wrong ink
        page = replace(page, texts=tuple(replace(t, colour=(0.5, 0.5, 0.55)) if t.kind == "label" else t for t in page.texts))
    if rng.random() < 0.2:  # lead names in sentences are no labels
        words = rng.choice(np.array(_SENTENCES), int(rng.integers(1, 5)))
        places = rng.uniform(0, 1, (len(words), 2)) * (page.width_mm * 0.8, page.height_mm)
        size, font = float(rng.uniform(1.6, 3.2)), style.fonts[0]
        more = (Text("text", str(w), float(x), float(y), size, font) for w, (x, y) in zip(words, places, strict=True))
        page = replace(page, texts=(*page.texts, *more))
    return page


def _surroundings(rng: np.random.Generator, image: NDArray[np.uint8], page: Page, x0: float, y0: float, scale: float) -> None:
    """Paint what lies beyond the page's edges: a table, a lid, darkness."""
    height, width = image.shape[:2]
    left, top = -x0 * scale, -y0 * scale
    right, bottom = (page.width_mm - x0) * scale, (page.height_mm - y0) * scale
    outside = np.ones((height, width), bool)
    outside[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)] = False
    if outside.any():
        base = rng.uniform(20, 250) + rng.normal(0, 25 if rng.random() < 0.6 else 70, 3)
        small = base + rng.normal(0, rng.uniform(0, 25), (6, 8, 1)) + rng.normal(0, 1, (6, 8, 3))
        ground = cv2.resize(np.clip(small, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        image[outside] = ground[outside]


def _no_ecg(rng: np.random.Generator, page: Page, width_mm: int, height_mm: int) -> NDArray[np.uint8]:
    """A picture that is no ECG on paper: a monitor, print, bare paper, shapes."""
    box = (0.0, 0.0, float(width_mm), float(height_mm))
    u = rng.random()
    if u < 0.4:  # a monitor's screen: bright lines on dark, no grid
        strokes = tuple(
            replace(s, colour=tuple(1 - rng.uniform(0, 1, 3)), width_mm=float(rng.uniform(0.3, 0.8)))  # type: ignore[arg-type]
            for s in page.strokes if s.kind == "trace" and rng.random() < 0.8
        )  # fmt: skip
        dark = tuple(float(v) for v in rng.uniform(0, 0.15, 3))
        texts = tuple(replace(t, colour=tuple(1 - rng.uniform(0, 0.6, 3)), height_mm=t.height_mm * float(rng.uniform(1, 3))) for t in page.texts)  # type: ignore[arg-type]
        grid = page.grid if rng.random() < 0.2 else replace(page.grid, kind="none")
        if grid.kind != "none":
            grid = replace(grid, ground=dark, major_colour=(0.3, 0.3, 0.3), minor_colour=(0.2, 0.2, 0.2))  # type: ignore[arg-type]
        return render(replace(page, paper=dark, grid=grid, strokes=strokes, texts=texts), PX_PER_MM, box)  # type: ignore[arg-type]
    if u < 0.65:  # a page of text, or bare squared paper
        texts = tuple(
            Text("text", str(rng.choice(np.array(["the patient was seen", "Discharge summary", "mmol/l 5.2", "left ventricle", "12.04.2021",
                 "Diagnosis and history", "II.", "V. cava", "1 2 3 4 5", "I am"]))), float(x), float(y), float(rng.uniform(1.8, 3.5)), page.texts[0].font if page.texts else "default")
            for y in np.arange(10, height_mm, rng.uniform(4, 9)) for x in rng.uniform(5, width_mm * 0.8, int(rng.integers(0, 4)))
        )  # fmt: skip
        grid = page.grid if rng.random() < 0.4 else replace(page.grid, kind="none")
        return render(replace(page, strokes=(), texts=texts if rng.random() < 0.8 else (), grid=grid), PX_PER_MM, box)
    image = np.empty((height_mm * 4, width_mm * 4, 3), np.uint8)
    cells = int(rng.integers(3, 40))
    noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    image[:] = np.clip(cv2.resize(noise, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC), 0, 255)
    for _ in range(int(rng.integers(0, 30))):
        centre = tuple(int(v) for v in rng.uniform(0, 1, 2) * image.shape[1::-1])
        colour = tuple(int(v) for v in rng.uniform(0, 255, 3))
        axes = tuple(int(v) for v in rng.uniform(4, 200, 2))
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 360)), 0, 360, colour, int(rng.choice([-1, 2, 5])))
    return image


def _region(rng: np.random.Generator, page: Page, width: float, height: float) -> tuple[float, float]:
    """Corner on the page of a window: all of the page where it fits, most often, else any part with traces."""

    def along(size: float, window: float, first: float, last: float) -> float:
        if size <= window and rng.random() < 0.8:
            return float(rng.uniform(size - window, 0.0))
        low, high = first - 0.5 * window, last - 0.5 * window
        return float(np.clip(rng.uniform(low, high), -0.3 * window, max(size - 0.7 * window, 0.0)))

    panels = page.layout.panels
    return (
        along(page.width_mm, width, min(p.x0_mm for p in panels), max(p.x1_mm for p in panels)),
        along(page.height_mm, height, min(p.baseline_mm for p in panels) - 10, max(p.baseline_mm for p in panels) + 10),
    )


def draw_fitting(rng: np.random.Generator, signals: Signals, width_mm: int, height_mm: int) -> Page:
    """A page that fills a window of that size well; of a few, when none does, the last."""
    page = draw_page(rng, signals)
    for _ in range(3):
        share = page.width_mm * page.height_mm / (width_mm * height_mm)
        if page.width_mm < width_mm + 6 and page.height_mm < height_mm + 6 and share > 0.35:
            break
        page = draw_page(rng, signals)
    return page


def draw_window(rng: np.random.Generator, page: Page, width_mm: int, height_mm: int) -> Window:
    """A window of ``width_mm`` × ``height_mm`` cells on the page, turned, seen through a quick stand-in for a capture."""
    turn = int(rng.choice(TURN_CLASSES, p=TURN_SHARES))
    shape = (height_mm, width_mm)
    if rng.random() < 0.06:
        image = photograph(rng, _no_ecg(rng, page, width_mm, height_mm), PX_PER_MM)
        return Window(image, np.zeros((DENSE_CHANNELS, *shape), np.float32), False, -1, False)
    across, down = (height_mm, width_mm) if turn in (1, 3) else (width_mm, height_mm)
    cell = float(np.exp(rng.normal(0, 0.004)))
    x0, y0 = _region(rng, page, across * cell, down * cell)
    # Source resolutions whose pixels tile the window exactly.
    scale = max(round(float(np.clip(np.exp(rng.normal(np.log(5.0), 0.3)), 2.8, 8.0)) * 16) / 16, 2.8125) / cell
    box = (x0, y0, x0 + across * cell, y0 + down * cell)
    image = render(page, scale, box)
    if rng.random() < 0.7:
        _surroundings(rng, image, page, x0, y0, scale)
    image = photograph(rng, image, scale)
    size = (across * 4, down * 4)
    if image.shape[1::-1] != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale > PX_PER_MM else cv2.INTER_CUBIC), np.uint8)
    if turn == MIRRORED:
        image = np.rot90(image[:, ::-1], 2 * int(rng.integers(2)))
    elif turn:
        image = np.rot90(image, turn)
    layout = page.layout
    upright = turn == 0
    dense = targets(page, x0, y0, cell, shape) if upright else np.zeros((DENSE_CHANNELS, *shape), np.float32)
    whole = _sees_all(page, box)
    return Window(
        np.ascontiguousarray(image), dense, upright, turn, True,
        TEMPLATE_NAMES.index(layout.name) if upright and whole else -1, int(page.meta["simultaneous"]) if upright and whole else -1,
        SPEEDS_MM_S.index(layout.speed_mm_s) if upright else -1,
        GAINS_MM_MV.index(layout.gain_mm_mv) if upright and layout.gain_mm_mv in GAINS_MM_MV else -1,
    )  # fmt: skip


TURN_CLASSES: Final = np.arange(5)
TURN_SHARES: Final = np.array([0.76, 0.065, 0.065, 0.065, 0.045])


def _sees_all(page: Page, box: tuple[float, float, float, float]) -> bool:
    """Whether a window shows all panels, so that the arrangement can be told from it."""
    panels = page.layout.panels
    return (
        box[0] <= min(p.x0_mm for p in panels) + 3 and box[2] >= max(p.x1_mm for p in panels) - 3
        and box[1] <= min(p.baseline_mm for p in panels) - 4 and box[3] >= max(p.baseline_mm for p in panels) + 4
    )  # fmt: skip
