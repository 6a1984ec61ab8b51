"""How a bent sheet is followed: what is seen of its lines, and what the network makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.lattice.bends import Bends, bends_of, followed
from ecglift.lattice.cells import Cells, cut_cells
from ecglift.lattice.contrast import Lines
from ecglift.models import bend
from ecglift.models.runtime import load

SHAPE = (420, 720)
PX_PER_MM = 6.0


def waves(off_mm: float) -> Lines:
    """Lines (cosines) that stand ``off_mm`` beyond whole millimetres, across and down."""
    y, x = (values / PX_PER_MM - off_mm for values in np.indices(SHAPE).astype(float))
    across, down = (np.cos(2 * np.pi * values).astype(np.float32) for values in (x, y))
    return Lines(across, down, ink=across + down)


def cells_of(lines: Lines) -> Cells:
    return cut_cells(lines, PageMap.scale(PX_PER_MM), (0, 0, SHAPE[1], SHAPE[0]), finely=True)


def inside(values: np.ndarray) -> np.ndarray:
    """Without the outermost cells, which the picture does not fill."""
    return values[..., 10:-10, 10:-10]


@pytest.mark.parametrize("off_mm", [0.0, 0.12, -0.2])
def test_single_lines_are_seen_where_they_are(off_mm: float) -> None:
    lines = cells_of(waves(off_mm)).lines
    assert lines is not None
    assert lines.shape[0] == 4
    assert inside(np.angle(lines)) == pytest.approx(-2 * np.pi * off_mm, abs=0.05)


def test_what_the_smooth_field_knows_is_taken_off() -> None:
    cells = cells_of(waves(0.15))
    shape = cells.coverage.shape
    bent, ones = np.full((*shape, 2), 0.15), np.ones((2, *shape))
    bends = bends_of(cells, bent, bent, ones, ones)
    assert np.abs(inside(np.angle(bends.lines))).max() < 0.05
    assert bends.base == pytest.approx(0.15)
    assert np.abs(bends.left).max() < 1e-6
    assert followed(bends)[0] is bends.base


def test_cells_that_were_not_cut_finely_are_refused() -> None:
    cells = cut_cells(waves(0.0), PageMap.scale(PX_PER_MM), (0, 0, SHAPE[1], SHAPE[0]))
    none = np.zeros((*cells.coverage.shape, 2))
    with pytest.raises(ValueError, match="finely"):
        bends_of(cells, none, none, np.ones((2, *cells.coverage.shape)), np.ones((2, *cells.coverage.shape)))


def folded(size: int = 24, noise: float = 0.0) -> tuple[Bends, np.ndarray]:
    """What is seen of a sheet with a fold across it, and how far its cells are from a flat one: the smooth field cuts
    the fold short, each line shows it."""
    x = np.arange(size * bend.EACH) / bend.EACH + 0.1
    fold = 0.12 * np.maximum(0, 1 - np.abs(x - size / 2) / 1.5)
    rng = np.random.default_rng(0)
    lines = np.zeros((4, x.size, x.size), np.complex64)
    for k, off in enumerate((fold[None, :] + 0 * x[:, None], 0 * x[None, :] + 0 * x[:, None]) * 2):
        lines[k] = 0.5 * np.exp(-2j * np.pi * off) + noise * (
            rng.normal(size=off.shape) + 1j * rng.normal(size=off.shape)
        )
    cells = fold.reshape(size, bend.EACH).mean(1)
    left = np.zeros((size, size, 2))
    left[..., 0] = cells
    ones = np.ones((2, size, size))
    true = np.zeros((size, size, 2))
    true[..., 0] = np.interp(np.arange(size) + 0.5, x, fold)
    return Bends(np.zeros((size, size, 2)), left, ones, ones, np.ones((size, size)), lines), true


def random_bends(rows: int, columns: int, seed: int) -> Bends:
    rng = np.random.default_rng(seed)
    lines = rng.normal(size=(4, rows * bend.EACH, columns * bend.EACH, 2)).astype(np.float32) @ np.array(
        [1, 1j], np.complex64
    )
    field, left = rng.normal(0, 0.03, (2, rows, columns, 2))
    trust, strength = rng.uniform(0.2, 1.4, (2, 2, rows, columns))
    return Bends(field, left, trust, strength, rng.uniform(size=(rows, columns)), lines)


def test_a_mirrored_sheet_is_seen_as_such() -> None:
    one = random_bends(9, 13, 0)
    sign = np.array([-1.0, 1.0])
    lines = one.lines[..., ::-1].copy()
    lines[[0, 2]] = lines[[0, 2]].conj()
    other = Bends(
        one.base[:, ::-1] * sign,
        one.left[:, ::-1] * sign,
        one.trust[..., ::-1],
        one.strength[..., ::-1],
        one.coverage[:, ::-1],
        lines,
    )
    for got, want in zip(bend.mirrored(bend.features(one)), bend.features(other), strict=True):
        assert got == pytest.approx(want, abs=1e-5)


def test_a_transposed_sheet_is_seen_as_such() -> None:
    one = random_bends(9, 13, 1)
    other = Bends(
        one.base.swapaxes(0, 1)[..., ::-1],
        one.left.swapaxes(0, 1)[..., ::-1],
        one.trust.swapaxes(1, 2)[::-1],
        one.strength.swapaxes(1, 2)[::-1],
        one.coverage.T,
        one.lines.swapaxes(1, 2)[[1, 0, 3, 2]],
    )
    for got, want in zip(bend.transposed(bend.features(one)), bend.features(other), strict=True):
        assert got == pytest.approx(want, abs=1e-5)


def test_answers_turn_back() -> None:
    answer = np.random.default_rng(2).normal(size=(4, 5, 7))
    assert np.array_equal(bend.mirrored_answer(bend.mirrored_answer(answer)), answer)
    assert np.array_equal(bend.transposed_answer(bend.transposed_answer(answer)), answer)
    assert np.array_equal(bend.transposed_answer(answer[:2])[0], answer[1].T)


def test_a_fold_is_followed() -> None:
    bends, true = folded(noise=0.1)
    field, spread = bend.followed(load("bend"), bends)
    error = field - true
    middle = np.s_[4:-4, 4:-4]
    assert np.sqrt(np.mean(np.square(error[middle]))) < 0.6 * np.sqrt(np.mean(np.square(true[middle])))
    assert spread.shape == true.shape
    assert (spread > 0).all()


def test_where_no_grid_is_seen_the_smooth_field_stays() -> None:
    bends, _ = folded()
    trust = bends.trust.copy()
    trust[:, :, 12:] = 0
    field, _ = bend.followed(load("bend"), Bends(bends.base, bends.left, trust, trust, bends.coverage, bends.lines))
    assert np.array_equal(field[:, 18:], bends.base[:, 18:])
    assert not np.array_equal(field[:, :10], bends.base[:, :10])


def test_channels_are_of_unit_size_and_have_their_place() -> None:
    bends, _ = folded()
    lines, cells = bend.features(bends)
    assert lines.shape == (bend.LINES, 120, 120)
    assert np.sqrt(np.mean(np.square(lines[0]) + np.square(lines[1]))) == pytest.approx(1.0, abs=0.01)
    seen = bend.joined(lines, cells)
    assert seen.shape == (bend.CHANNELS, 24, 24)
    # The square millimetre in row 2 and column 3 of the cell in row 5 and column 7.
    assert seen[bend.EACH * 2 + 3, 5, 7] == lines[0, 5 * bend.EACH + 2, 7 * bend.EACH + 3]
    assert np.array_equal(seen[-bend.CELLS :], cells)
