"""What the sheet network sees and what its answer means: used by training, export and inference alike.

The network looks at the whole flat sheet at ``PX_PER_MM`` and answers on a lattice of 1 mm cells: where lead names,
rows, panel starts and ends, pulses and the printed scales are; and for the sheet as a whole: how it is turned, whether
it is an ECG on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.leads import LEADS
from ecglift.paper import GAINS_MM_MV, SPEEDS_MM_S, TEMPLATES
from ecglift.pixels import planes
from ecglift.sheet import Sheet

PX_PER_MM: Final = 4.0
CELL_MM: Final = 1.0
CELL_PX: Final = 4
MULTIPLE_PX: Final = 64
"""The network halves its input six times; sheets are padded to this."""

LABELS: Final[tuple[str, ...]] = (*LEADS, "-aVR")
TURNS: Final = 5
"""Classes of how the sheet lies: 0 to 3 anticlockwise quarter turns, then mirrored."""
TEMPLATE_NAMES: Final[tuple[str, ...]] = tuple(TEMPLATES)


def _slices(**sizes: int) -> dict[str, slice]:
    """Where each of the named pieces stands when they are laid one after the other."""
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


DENSE: Final[dict[str, slice]] = _slices(
    label_heat=1,
    label_class=len(LABELS),
    label_offset=2,
    label_panel=2,
    row_heat=1,
    row_offset=1,
    start_heat=1,
    start_offset=1,
    end_heat=1,
    end_offset=1,
    trace=1,
    pulse=1,
    separator=1,
    text=1,
    pulse_size=2,
    speed_heat=1,
    speed_class=len(SPEEDS_MM_S),
    gain_heat=1,
    gain_class=len(GAINS_MM_MV),
    gain_chest=1,
)
"""Channels of the answer on the lattice, by name.

``*_heat`` and areas are log-odds, classes logits, offsets mm from the cell's centre.
"""
WHOLE: Final[dict[str, slice]] = _slices(
    turn=TURNS,
    paper=1,
    template=len(TEMPLATE_NAMES),
    simultaneous=1,
    speed=len(SPEEDS_MM_S),
    gain=len(GAINS_MM_MV),
)
"""Numbers of the answer about the whole sheet, by name: logits."""
DENSE_CHANNELS: Final = max(part.stop for part in DENSE.values())
WHOLE_NUMBERS: Final = max(part.stop for part in WHOLE.values())
PANEL_UNIT_MM: Final = 10.0
"""``label_panel`` (from a label to its panel's start and zero line) and ``pulse_size`` (width, height) are in this
unit.
"""


def network_image(sheet: Sheet) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 at ``PX_PER_MM``; h, w multiples of ``MULTIPLE_PX``; what the sheet does not show has its
    paper's colour.
    """
    rgb = sheet.rgb
    small = sheet.seen[::8, ::8]
    paper = np.median(rgb[::8, ::8][small], axis=0).astype(np.uint8) if small.any() else np.full(3, 255, np.uint8)
    if not sheet.seen.all():
        rgb = np.where(sheet.seen[..., None], rgb, paper)
    scale = PX_PER_MM / sheet.px_per_mm
    height, width = (max(int(n * scale), 1) for n in rgb.shape[:2])
    step = round(1 / scale)
    if step * scale == 1.0:
        # Whole blocks only: cv2 averages them exactly and the lattice stays at 1 mm to the last cell.
        rgb = rgb[: height * step, : width * step]
    rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    out = np.empty((-(-height // MULTIPLE_PX) * MULTIPLE_PX, -(-width // MULTIPLE_PX) * MULTIPLE_PX, 3), np.uint8)
    out[:] = paper
    out[:height, :width] = rgb
    return out


@dataclass(frozen=True)
class SheetMap:
    """The network's answer about a sheet: ``dense`` (DENSE_CHANNELS, rows, columns) and ``whole`` (WHOLE_NUMBERS,),
    raw float32.

    The centre of cell (r, c) stands at ``left_mm + c``, ``top_mm + r``. ``shown`` (rows, columns) bool: which cells the
    source image reaches, None: all.
    """

    dense: NDArray[np.float32]
    whole: NDArray[np.float32]
    left_mm: float
    top_mm: float
    shown: NDArray[np.bool_] | None = None

    def shows(self, x_mm: float, y_mm: float) -> bool:
        """Whether the source image reaches the cell at a point."""
        r, c = round(y_mm - self.top_mm), round(x_mm - self.left_mm)
        height, width = self.dense.shape[1:]
        return 0 <= r < height and 0 <= c < width and (self.shown is None or bool(self.shown[r, c]))

    def channel(self, name: str) -> NDArray[np.float32]:
        """(rows, columns) of a single channel, or (channels, rows, columns)."""
        part = self.dense[DENSE[name]]
        return part[0] if len(part) == 1 else part

    def chance(self, name: str) -> NDArray[np.float32]:
        """Probability 0 to 1 for a channel of log-odds."""
        return sigmoid(self.channel(name))

    def weights(self, name: str) -> NDArray[np.float32]:
        """Probabilities (k,) of the classes of one of :data:`WHOLE`; of a single number, its chance (1,)."""
        logits = self.whole[WHOLE[name]]
        return sigmoid(logits) if len(logits) == 1 else softmax(logits)


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), np.float32)


def softmax(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities over axis 0."""
    e = np.exp(x - x.max(axis=0))
    return np.asarray(e / e.sum(axis=0), np.float32)


def read(sheet: Sheet, model: Any) -> SheetMap:
    """The answer of ``model`` (an :class:`ecglift.models.runtime.Model`) about the sheet as it lies."""
    image = network_image(sheet)
    out = model.run({"rgb": planes(image[None])})
    # The first pixel's centre of the sheet is at origin_mm; the first cell covers 1 mm from half a pixel before it.
    half = 0.5 / sheet.px_per_mm
    cells = int(sheet.height_mm / CELL_MM), int(sheet.width_mm / CELL_MM)
    dense = out["dense"][0][:, : max(cells[0], 1), : max(cells[1], 1)]
    left, top = sheet.origin_mm[0] - half + 0.5, sheet.origin_mm[1] - half + 0.5
    y, x = np.mgrid[: dense.shape[1], : dense.shape[2]].astype(np.float64)
    return SheetMap(dense, out["whole"][0], left, top, sheet.shows(left + x, top + y))
