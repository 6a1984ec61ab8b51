"""Which side of a sheet is up, from its lines, where no names say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ecglift.models.direction import pieces
from ecglift.models.direction import upright_log_odds as network_log_odds
from ecglift.models.runtime import load
from ecglift.models.strip import RowRead
from ecglift.paper import Layout

_SEEN: Final = 0.5


def upright_log_odds(layout: Layout, reads: Sequence[RowRead]) -> float:
    """Log-odds of the sheet's standing upright against its standing on its head, by the lines of its rows, ``reads`` in
    their order."""
    lines, steps_mm = [], []
    for row, read in zip(layout.rows(), reads, strict=True):
        heights_mm = np.where(read.presence > _SEEN, -read.y_mm, np.nan)
        steps_mm.append(float(np.diff(read.x_mm).mean()))
        lines += [heights_mm[(read.x_mm >= panel.x0_mm) & (read.x_mm <= panel.x1_mm)] for panel in row]
    return network_log_odds(load("direction"), pieces(lines, float(np.median(steps_mm)))) if lines else 0.0
