"""What the bend network sees of a sheet's grid, and what it answers: how far each cell really is from a flat page.

A field that is smooth everywhere cuts folds and creases short, and one that is not follows every letter and stain that
covers a line. The network has seen many sheets whose bends are known. It sees each 1 mm line, as far off as a smooth
field has it, and what the cells of 5 mm say, and answers a correction of that field.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.lattice.bends import Bends
from ecglift.lattice.cells import CELL_MM, blurred

Floats = NDArray[np.float64]
Real = NDArray[np.floating[Any]]

LINES: Final = 8
"""Channels in each square millimetre: real and imaginary part of the waves across, the waves down, the ink across and
the ink down."""

EACH: Final = round(CELL_MM)
"""Square millimetres along a cell's side."""

CELLS: Final = 13
"""Channels in each cell: of lines across and down in turn what is left, its trust, its strength and the base's
curvature across, along and between; then what part of the cell is seen."""

CHANNELS: Final = LINES * EACH**2 + CELLS

_MOST: Final = 3.0
_LEFT_MM: Final = 0.05
_LEFT_MOST_MM: Final = 0.4
UNIT_MM: Final = 0.1
_MOST_MM: Final = 0.5
"""The network's unit of millimetres, and the largest correction: a larger one would be another line."""

_AROUND_CELLS: Final = 1.5
_SEEN: Final = 0.05
"""Where so little of the grid is seen so many cells around, the base is left as it is."""


def line_features(bends: Bends) -> NDArray[np.float32]:
    """(LINES, 5·rows, 5·columns) the single lines, of unit size where they are seen; up to three."""
    out = np.empty((LINES, *bends.lines.shape[1:]), np.float32)
    for k, z in enumerate(bends.lines):
        size = np.abs(z)
        weight = np.repeat(np.repeat(bends.trust[k % 2], EACH, axis=0), EACH, axis=1)
        scale = float(np.sqrt((weight * np.square(size)).sum() / max(float(weight.sum()), 1e-6))) + 1e-6
        out[2 * k], out[2 * k + 1] = z.real / scale, z.imag / scale
    return np.clip(out, -_MOST, _MOST)


def cell_features(base: Real, left: Real, trust: Real, strength: Real, coverage: Real) -> NDArray[np.float32]:
    """(CELLS, rows, columns) what the cells say, as in :class:`ecglift.lattice.bends.Bends`."""
    out = np.zeros((CELLS, *coverage.shape), np.float32)
    for k in (0, 1):
        first, field = 6 * k, base[..., k]
        out[first] = np.clip(left[..., k], -_LEFT_MOST_MM, _LEFT_MOST_MM) / _LEFT_MM
        out[first + 1], out[first + 2] = np.clip(trust[k], 0, 2), np.clip(strength[k], 0, 1.5)
        along = np.zeros((3, *field.shape))
        along[0, :, 1:-1] = field[:, 2:] - 2 * field[:, 1:-1] + field[:, :-2]
        along[1, 1:-1] = field[2:] - 2 * field[1:-1] + field[:-2]
        along[2, 1:-1, 1:-1] = (field[2:, 2:] - field[2:, :-2] - field[:-2, 2:] + field[:-2, :-2]) / 4
        # Across and along the lines that are measured, so that both directions look alike.
        out[first + 3], out[first + 4], out[first + 5] = np.clip(along[[k, 1 - k, 2]] / _LEFT_MM, -_MOST, _MOST)
    out[12] = coverage
    return out


def joined(lines: NDArray[np.float32], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """(CHANNELS, rows, columns) all that the network sees: line features, (LINES, 5·rows, 5·columns), by cells, then
    those of cells, (CELLS, rows, columns)."""
    rows, columns = cells.shape[1:]
    by_cell = lines.reshape(LINES, rows, EACH, columns, EACH).transpose(0, 2, 4, 1, 3)
    return np.concatenate([by_cell.reshape(-1, rows, columns), cells])


Features = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of lines and of cells."""


def features(bends: Bends) -> Features:
    """What ``bends`` are to the network."""
    return line_features(bends), cell_features(bends.base, bends.left, bends.trust, bends.strength, bends.coverage)


def mirrored(seen: Features) -> Features:
    """The features of the same sheet mirrored left to right: what was off to the right is off to the left."""
    lines, cells = (values[..., ::-1].copy() for values in seen)
    lines[[1, 5]] *= -1
    cells[[0, 3, 4, 11]] *= -1
    return lines, cells


def transposed(seen: Features) -> Features:
    """The features of the same sheet with across for down."""
    lines, cells = (values.swapaxes(-2, -1) for values in seen)
    return lines[[2, 3, 0, 1, 6, 7, 4, 5]], cells[[6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12]]


def mirrored_answer(answer: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What is answered or wanted, (2 or 4, rows, columns), of a mirrored sheet, for the sheet itself."""
    out = answer[..., ::-1].copy()
    out[0] *= -1
    return out


def transposed_answer(answer: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What is answered or wanted, (2 or 4, rows, columns), of a transposed sheet, for the sheet itself."""
    return answer.swapaxes(-2, -1)[[1, 0, 3, 2][: len(answer)]]


def known(trust: Floats) -> NDArray[np.bool_]:
    """(rows, columns) where enough of the grid is seen around for a correction; ``trust``: (2, rows, columns)."""
    return np.asarray(blurred(trust.min(axis=0), _AROUND_CELLS) > _SEEN)


def followed(model: Any, bends: Bends) -> tuple[Floats, Floats]:
    """How far the cells are from a flat page as the network ``model`` says, and the deviation under which an error of
    that is as likely as it says: (rows, columns, 2) mm each.

    The mean of what it says of the sheet as it is, mirrored, transposed and both: 5 % less error for 0.08 s.
    """
    seen = features(bends)
    as_is, across = _answers(model, seen), _answers(model, transposed(seen))
    answer = (as_is + transposed_answer(across)).astype(float) / 2
    correction = np.clip(UNIT_MM * answer[:2], -_MOST_MM, _MOST_MM)
    scale = UNIT_MM * np.exp(np.clip(answer[2:], -6, 2))
    field = bends.base + np.where(known(bends.trust)[..., None], np.moveaxis(correction, 0, -1), 0.0)
    return field, np.sqrt(2) * np.moveaxis(scale, 0, -1)


def _answers(model: Any, seen: Features) -> NDArray[np.floating[Any]]:
    """(4, rows, columns) the mean of the answers to a sheet and to its mirror image."""
    one, other = model.run({"seen": np.stack([joined(*seen), joined(*mirrored(seen))])})["bend"]
    return np.asarray((one + mirrored_answer(other)) / 2)
