"""Flat pages are told from bent ones, and lines on pixels from a scanner's feed."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.lattice.camera import Camera
from ecglift.lattice.flat import Flat, find_flat

SHAPE = (1400, 2000)
CENTRES = np.stack(np.meshgrid(5.0 * np.arange(52) + 2.5, 5.0 * np.arange(40) + 2.5), -1)
PLANE = np.array([[6.5, 0.15, 150.0], [-0.1, 6.4, 60.0], [1.5e-4, -8e-5, 1.0]])
LENS = Camera(PLANE, (980.0, 730.0), (-0.03, 0.008), float(np.hypot(*SHAPE)) / 2)


def _found(moved: np.ndarray, sigma: float = 0.01, trust: np.ndarray | None = None) -> Flat | None:
    """What is found of a page seen through LENS whose cells' lines are ``moved`` by so many mm (rows, columns, 2)."""
    noise = np.random.default_rng(0).normal(0, sigma, CENTRES.shape)
    px = LENS.to_px(CENTRES + moved + noise)
    return find_flat(CENTRES, px, PLANE, np.ones((2, *CENTRES.shape[:2])) if trust is None else trust, SHAPE)


def _miss_mm(flat: Flat, inner: tuple[slice, slice] = np.s_[:, :]) -> float:
    off = (flat.camera.to_px(CENTRES) - LENS.to_px(CENTRES)) / 6.0
    return float(np.sqrt(np.mean(np.square(off[inner]))))


def _off_pixels(px_per_mm: float) -> np.ndarray:
    """How far the nearest pixel lies from the cells' lines, (rows, columns, 2) mm."""
    return np.round((CENTRES + 0.3) * px_per_mm) / px_per_mm - CENTRES - 0.3


@pytest.mark.parametrize("px_per_mm", [2.983, 4.419])
def test_lines_on_a_displays_pixels_do_not_bend_the_page(px_per_mm: float) -> None:
    moved = _off_pixels(px_per_mm)
    flat = _found(moved)
    assert flat is not None
    assert flat.rastered
    assert np.sqrt(np.mean(moved**2)) > 0.06
    assert _miss_mm(flat) < 0.02


def test_a_scan_is_flat_and_its_lines_stand_well() -> None:
    flat = _found(np.zeros_like(CENTRES))
    assert flat is not None
    assert not flat.rastered
    assert _miss_mm(flat) < 0.002
    assert flat.camera.radial == pytest.approx(LENS.radial, abs=0.002)


def test_bent_paper_is_not_flat() -> None:
    # A wave moves lines of both directions, the more the farther from the camera's foot.
    height = np.sin(CENTRES[..., :1] / 30)
    assert _found(0.0015 * height * (CENTRES - 130)) is None


def test_a_feed_moves_lines_of_one_direction_and_is_true() -> None:
    assert _found(np.stack([np.zeros((40, 52)), 0.08 * np.sin(CENTRES[..., 1] / 20)], -1)) is None


def test_stains_and_what_is_hidden_do_not_matter() -> None:
    moved, trust = _off_pixels(4.419), np.ones((2, 40, 52))
    moved[10:16, 20:30] += 0.4
    trust[:, :, :4] = 0.0
    flat = _found(moved, trust=trust)
    assert flat is not None
    assert flat.rastered
    assert _miss_mm(flat, np.s_[:, 4:]) < 0.02


def test_from_a_few_cells_nothing_is_told() -> None:
    trust = np.zeros((2, 40, 52))
    trust[:, 10:14, 10:14] = 1.0
    assert _found(np.zeros_like(CENTRES), trust=trust) is None


def test_a_sheet_with_a_curled_corner_is_not_flat() -> None:
    """Its rest is: the corner was laid out with it, and the chest leads there were 3 dB instead of 20."""
    away = np.clip(CENTRES.sum(-1, keepdims=True) - 340.0, 0.0, None)
    moved = np.repeat(0.0004 * away**2, 2, axis=-1)
    assert moved.max() > 3.0
    assert _found(moved) is None
