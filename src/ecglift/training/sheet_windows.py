"""Windows for the sheet network: a piece of a printed sheet as a capture shows it, and what is where on its 1 mm
lattice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.models.sheetmap import DENSE, DENSE_CHANNELS, LABELS, PX_PER_MM, TEMPLATE_NAMES, network_image
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S, Panel
from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose, spelled
from ecglift.press.page import Colour, Page, Text
from ecglift.press.render import render
from ecglift.press.style import Style, competition_style, random_style
from ecglift.sheet import SHEET_PX_PER_MM
from ecglift.training.crops import photograph
from ecglift.training.sheet_targets import targets
from ecglift.training.signals import Signals

Box = tuple[float, float, float, float]
Seen = tuple[NDArray[np.uint8], NDArray[np.bool_]]
"""A picture (4h, 4w, 3) and which of its cells (h, w) show anything."""

SHAPES_MM: Final[tuple[tuple[int, int, int], ...]] = (
    (304, 208, 1),
    (208, 304, 1),
    (304, 112, 2),
    (160, 208, 2),
    (400, 160, 1),
)
"""Width, height and number of windows of a batch: each costs about the same."""

MIRRORED: Final = 4
_TURN_SHARES: Final = (0.76, 0.065, 0.065, 0.065, 0.045)
"""How often windows are upright, turned once, twice, three times anticlockwise, mirrored."""
_NO_ECG: Final = 0.06
_STREWN: Final = 0.35


@dataclass(frozen=True)
class Window:
    """What the network is shown and what it shall answer.

    ``rgb``: (4h, 4w, 3) uint8; ``dense``: (DENSE_CHANNELS, h, w) float32, of each group of classes only the first
    channel is used and holds the class; ``known``: the dense truth counts; ``turn``: class; ``paper``: an ECG on
    paper; ``template``, ``speed``,
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
        return np.array(
            [self.known, self.turn, self.paper, self.template, self.simultaneous, self.speed, self.gain], np.int64
        )


_SCALE_FORMS: Final = (
    "{s}mm/s {g}mm/mV",
    "{s} mm/s {g} mm/mV",
    "{s}mm/s   {g}mm/mV   100Hz 9.0.3 12SL 241",
    "{g} mm/mV  {s} mm/s",
    "Speed: {s} mm/sec  Limb: {g} mm/mV  Chest: {c} mm/mV",
    "{s} mm/s, {g} mm/mV, 0.05-150 Hz",
    "Speed:{s}mm/s Gain:{g}mm/mV",
    "{s} mm/sec {g} mm/mV",
    "{g}mm/mV {s}mm/s F 0.5-35Hz",
    "{s} mm/s",
    "{g} mm/mV",
    "[{s} mm/s] [{g} mm/mV]",
    "Limbs {g} mm/mV  V {c} mm/mV",
)


_SENTENCES: Final = (
    "ST elevation in II, III, aVF",
    "Q in V1-V3",
    "T inversion V4 V5 V6",
    "RV5/SV1 1.85/0.92 mV",
    "RV5+SV1 2.77 mV",
    "II III aVF",
    "Lead I",
    "R in aVL > 1.1 mV",
    "Axis I: 0.5",
    "LVH (V6)",
    "Class II",
    "12SL 241 v1",
    "I  0.12  -0.04  0.31",
    "V1 0.05 0.32 -1.20",
    "ICD II",
)


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
            g=size.format(style.gain_mm_mv),
            c=size.format(style.gain_mm_mv * style.chest_gain),
        )
        height = float(rng.uniform(1.6, 3.0))
        low = max(p.baseline_mm for p in page.layout.panels) + rng.uniform(6, 20)
        high = min(p.baseline_mm for p in page.layout.panels) - rng.uniform(12, 30)
        y = min(low, page.height_mm - 1.5) if rng.random() < 0.65 else max(high, 4.0)
        x = float(rng.uniform(2, max(page.width_mm - 60, 4)))
        texts.append(
            Text("text", words, x, float(y), height, style.fonts[int(rng.integers(3))], (0.0, 0.0, 0.0), "scale")
        )
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
        page = replace(
            page, texts=tuple(replace(t, colour=(0.5, 0.5, 0.55)) if t.kind == "label" else t for t in page.texts)
        )
    if rng.random() < 0.2:  # lead names in sentences are no labels
        words = rng.choice(np.array(_SENTENCES), int(rng.integers(1, 5)))
        places = rng.uniform(0, 1, (len(words), 2)) * (page.width_mm * 0.8, page.height_mm)
        size, font = float(rng.uniform(1.6, 3.2)), style.fonts[0]
        more = (Text("text", str(w), float(x), float(y), size, font) for w, (x, y) in zip(words, places, strict=True))
        page = replace(page, texts=(*page.texts, *more))
    if rng.random() < _STREWN:
        page = strewn(rng, page, style)
    return page


def _surroundings(
    rng: np.random.Generator, image: NDArray[np.uint8], page: Page, x0: float, y0: float, scale: float
) -> None:
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


_PROSE: Final = (
    "the patient was seen",
    "Discharge summary",
    "mmol/l 5.2",
    "left ventricle",
    "12.04.2021",
    "Diagnosis and history",
    "II.",
    "V. cava",
    "1 2 3 4 5",
    "I am",
)


def _tone(rng: np.random.Generator, low: float, high: float) -> Colour:
    r, g, b = (float(v) for v in rng.uniform(low, high, 3))
    return r, g, b


def _monitor(rng: np.random.Generator, page: Page) -> Page:
    """A monitor's screen: bright lines on dark, seldom with a grid."""
    dark, dim = _tone(rng, 0, 0.15), _tone(rng, 0.2, 0.35)
    strokes = tuple(
        replace(s, colour=_tone(rng, 0, 1), width_mm=float(rng.uniform(0.3, 0.8)))
        for s in page.strokes
        if s.kind == "trace" and rng.random() < 0.8
    )
    texts = tuple(
        replace(t, colour=_tone(rng, 0.4, 1), height_mm=t.height_mm * float(rng.uniform(1, 3))) for t in page.texts
    )
    grid = replace(page.grid, ground=dark, major_colour=dim, minor_colour=dim)
    if rng.random() < 0.8:
        grid = replace(grid, kind="none")
    return replace(page, paper=dark, grid=grid, strokes=strokes, texts=texts, patches=())


def _prose(rng: np.random.Generator, page: Page, width_mm: int, height_mm: int) -> Page:
    """A page of text, or bare squared paper."""
    font = page.texts[0].font if page.texts else "default"
    texts = []
    if rng.random() < 0.8:
        for y in np.arange(10, height_mm, rng.uniform(4, 9)):
            for x in rng.uniform(5, width_mm * 0.8, int(rng.integers(0, 4))):
                words = _PROSE[int(rng.integers(len(_PROSE)))]
                texts.append(Text("text", words, float(x), float(y), float(rng.uniform(1.8, 3.5)), font))
    grid = page.grid if rng.random() < 0.4 else replace(page.grid, kind="none")
    return replace(page, strokes=(), texts=tuple(texts), grid=grid)


def _shapes(rng: np.random.Generator, width_mm: int, height_mm: int) -> NDArray[np.uint8]:
    """Coloured clouds and ellipses: any other picture."""
    size = round(width_mm * PX_PER_MM), round(height_mm * PX_PER_MM)
    cells = int(rng.integers(3, 40))
    noise = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    image = np.asarray(np.clip(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), 0, 255), np.uint8)
    for _ in range(int(rng.integers(0, 30))):
        x, y = (int(v) for v in rng.uniform(0, 1, 2) * size)
        axes = int(rng.uniform(4, 200)), int(rng.uniform(4, 200))
        colour = tuple(int(v) for v in rng.uniform(0, 255, 3))
        cv2.ellipse(image, (x, y), axes, float(rng.uniform(0, 360)), 0, 360, colour, int(rng.choice([-1, 2, 5])))
    return image


def _no_ecg(rng: np.random.Generator, page: Page, width_mm: int, height_mm: int) -> NDArray[np.uint8]:
    """A picture that is no ECG on paper: a monitor, print, bare paper, shapes."""
    box = (0.0, 0.0, float(width_mm), float(height_mm))
    kind = rng.random()
    if kind < 0.4:
        return render(_monitor(rng, page), PX_PER_MM, box)
    if kind < 0.65:
        return render(_prose(rng, page, width_mm, height_mm), PX_PER_MM, box)
    return _shapes(rng, width_mm, height_mm)


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


def strewn(rng: np.random.Generator, page: Page, style: Style) -> Page:
    """The page with lead names and scales all over it: a page has a dozen labels, reading is learnt from thousands."""
    texts = list(page.texts)
    ink = style.label_ink if rng.random() < 0.7 else _tone(rng, 0, 0.5)
    same_font, font = rng.random() < 0.5, style.label_font
    across, down = float(rng.uniform(13, 22)), float(rng.uniform(7, 13))
    for y in np.arange(down, page.height_mm, down):
        for x in np.arange(1.0, page.width_mm - 12, across):
            if rng.random() < 0.35:
                continue
            place = float(x + rng.uniform(0, across - 11)), float(y + rng.normal(0, 1.0))
            font = font if same_font else style.fonts[int(rng.integers(len(style.fonts)))]
            height = float(style.label_mm * np.exp(rng.normal(0, 0.12)))
            if rng.random() < 0.12:
                texts.append(Text("text", _scale_words(rng), *place, min(height, 3.0), font, ink, "scale"))
                continue
            name = LABELS[int(rng.integers(len(LABELS)))]
            lead = name.lstrip("-")
            form = str(rng.choice(np.array(["standard", "upper", "spaced", "C"]), p=[0.82, 0.1, 0.03, 0.05]))
            panel = Panel(lead, -1, 0, 0.0, 0.0, 0.0, polarity=-1 if name.startswith("-") else 1)
            texts.append(Text("label", spelled(panel, form), *place, height, font, ink, lead))
    return replace(page, texts=tuple(texts), meta={**page.meta, "strewn": True})


def _scale_words(rng: np.random.Generator) -> str:
    """A short speed or gain in print."""
    space = " " * int(rng.integers(2))
    if rng.random() < 0.5:
        return f"{SPEEDS_MM_S[int(rng.integers(len(SPEEDS_MM_S)))]:g}{space}mm/s{'ec' * int(rng.integers(2))}"
    return f"{GAINS_MM_MV[int(rng.integers(len(GAINS_MM_MV)))]:g}{space}mm/mV"


def draw_fitting(rng: np.random.Generator, signals: Signals, width_mm: int, height_mm: int) -> Page:
    """A page that fills a window of that size well; of a few, when none does, the last."""
    page = draw_page(rng, signals)
    for _ in range(3):
        share = page.width_mm * page.height_mm / (width_mm * height_mm)
        if page.width_mm < width_mm + 6 and page.height_mm < height_mm + 6 and share > 0.35:
            break
        page = draw_page(rng, signals)
    return page


def _stood_in(rng: np.random.Generator, page: Page, box: Box, size_mm: tuple[int, int]) -> Seen:
    """The part ``box`` (x0, y0, x1, y1 mm) of the page as ``size_mm`` cells across and down, through a quick stand-in
    for a capture."""
    # Source resolutions whose pixels tile the window exactly.
    per_cell = max(round(float(np.clip(np.exp(rng.normal(np.log(5.0), 0.3)), 2.8, 8.0)) * 16) / 16, 2.8125)
    scale = per_cell * size_mm[0] / (box[2] - box[0])
    image = render(page, scale, box)
    if rng.random() < 0.7:
        _surroundings(rng, image, page, box[0], box[1], scale)
    image = photograph(rng, image, scale)
    size = (size_mm[0] * 4, size_mm[1] * 4)
    if image.shape[1::-1] != size:
        how = cv2.INTER_AREA if scale > PX_PER_MM else cv2.INTER_CUBIC
        image = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    return image, np.ones(size_mm[::-1], bool)


def _captured(rng: np.random.Generator, page: Page, box: Box, size_mm: tuple[int, int]) -> Seen:
    """The same through one of the press's captures, laid flat by its true map and cleared as the layout stage does."""
    from ecglift.reading.surroundings import without_surroundings
    from ecglift.stages.rectify import rectify

    taken = capture(page, str(rng.choice(np.array(KINDS))), rng, CaptureSettings.usual(max_megapixels=4.0))
    per_mm = SHEET_PX_PER_MM * size_mm[0] / (box[2] - box[0])
    half = 0.5 / per_mm
    flat = rectify(taken.image, taken.map, (box[0] + half, box[1] + half, box[2] + half, box[3] + half), per_mm)
    wider = per_mm / SHEET_PX_PER_MM
    left, top = flat.origin_mm
    paper = (
        left - wider * left,
        top - wider * top,
        left + wider * (page.width_mm - left),
        top + wider * (page.height_mm - top),
    )
    sheet = without_surroundings(replace(flat, px_per_mm=SHEET_PX_PER_MM), paper)
    image = network_image(sheet)[: size_mm[1] * 4, : size_mm[0] * 4]
    return image, cv2.resize(sheet.seen.astype(np.uint8), size_mm, interpolation=cv2.INTER_AREA) > 0


def draw_window(rng: np.random.Generator, page: Page, width_mm: int, height_mm: int, captured: float = 0.0) -> Window:
    """A window of ``width_mm`` × ``height_mm`` cells on the page, turned, seen through a quick stand-in for a capture
    or, in a share of ``captured``, through one of the press's.
    """
    turn = int(rng.choice(len(_TURN_SHARES), p=_TURN_SHARES))
    shape = (height_mm, width_mm)
    if rng.random() < _NO_ECG:
        image = photograph(rng, _no_ecg(rng, page, width_mm, height_mm), PX_PER_MM)
        return Window(image, np.zeros((DENSE_CHANNELS, *shape), np.float32), False, -1, False)
    across, down = (height_mm, width_mm) if turn in (1, 3) else (width_mm, height_mm)
    cell = float(np.exp(rng.normal(0, 0.004)))
    x0, y0 = _region(rng, page, across * cell, down * cell)
    box = (x0, y0, x0 + across * cell, y0 + down * cell)
    see = _captured if captured > 0 and rng.random() < captured else _stood_in
    image, seen = see(rng, page, box, (across, down))
    if turn == MIRRORED:
        image = np.rot90(image[:, ::-1], 2 * int(rng.integers(2)))
    elif turn:
        image = np.rot90(image, turn)
    layout = page.layout
    upright = turn == 0
    dense = targets(page, x0, y0, cell, shape) if upright else np.zeros((DENSE_CHANNELS, *shape), np.float32)
    whole, odd = _sees_all(page, box), "strewn" in page.meta
    if upright and not seen.all():
        rows = dense[DENSE["row_heat"].start] > 0.5
        whole &= bool(rows.any()) and float(seen[rows].mean()) > 0.9
        # What the picture does not show is not to be guessed: nothing stands there.
        dense[:, ~seen] = 0.0
        for name in ("label_class", "speed_class", "gain_class"):
            dense[DENSE[name].start, ~seen] = -1
    return Window(
        np.ascontiguousarray(image),
        dense,
        upright,
        turn,
        True,
        TEMPLATE_NAMES.index(layout.name) if upright and whole else -1,
        int(page.meta["simultaneous"]) if upright and whole else -1,
        SPEEDS_MM_S.index(layout.speed_mm_s) if upright and not odd else -1,
        GAINS_MM_MV.index(layout.gain_mm_mv) if upright and not odd and layout.gain_mm_mv in GAINS_MM_MV else -1,
    )


def _sees_all(page: Page, box: Box) -> bool:
    """Whether a window shows all panels, so that the arrangement can be told from it."""
    panels = page.layout.panels
    return (
        box[0] <= min(p.x0_mm for p in panels) + 3
        and box[2] >= max(p.x1_mm for p in panels) - 3
        and box[1] <= min(p.baseline_mm for p in panels) - 4
        and box[3] >= max(p.baseline_mm for p in panels) + 4
    )
