"""What lies around the paper: painted over where it is busy, left alone where it is not."""

from __future__ import annotations

import numpy as np

from ecglift.reading.surroundings import without_surroundings
from ecglift.sheet import Sheet


def _sheet(around: np.ndarray) -> Sheet:
    rgb = around.copy()
    rgb[160:640, 160:960] = 235
    rgb[160:640:8, 160:960] = 200
    rgb[160:640, 160:960:8] = 200
    rgb[398:402, 200:900] = 20
    return Sheet(rgb, np.ones(rgb.shape[:2], bool))


def test_gravel_is_painted_over_and_the_paper_stays() -> None:
    rng = np.random.default_rng(0)
    gravel = np.repeat(np.repeat(rng.integers(0, 2, (100, 140, 1)) * 255, 8, 0), 8, 1).astype(np.uint8)
    sheet = _sheet(np.repeat(gravel, 3, axis=2))
    cleared = without_surroundings(sheet)
    assert cleared.rgb[:100].std() < 20
    np.testing.assert_array_equal(cleared.rgb[220:580, 220:900], sheet.rgb[220:580, 220:900])


def test_bold_traces_that_reach_the_edge_stay() -> None:
    """Sharpened photos with heavy traces lost them: rows of beats run into the dark around the paper."""
    sheet = _sheet(np.full((800, 1120, 3), 30, np.uint8))
    rgb = sheet.rgb.copy()
    x = np.arange(1120)
    for y in range(230, 620, 60):
        beat = (y - 50 * np.exp(-0.5 * (((x % 90) - 45) / 4.0) ** 2)).astype(int)
        for k in range(-3, 4):
            rgb[np.clip(beat + k, 0, 799), x] = 0
    bold = Sheet(rgb, sheet.seen)
    cleared = without_surroundings(bold)
    np.testing.assert_array_equal(cleared.rgb[170:630, 170:950], bold.rgb[170:630, 170:950])


def test_a_plain_table_is_left_alone() -> None:
    sheet = _sheet(np.full((800, 1120, 3), 90, np.uint8))
    assert without_surroundings(sheet) is sheet


def test_a_dark_grid_between_blank_margins_stays() -> None:
    """A page printed to a file: pure white around a dotted grid with heavy lines, which once was painted over whole."""
    rgb = np.full((800, 1120, 3), 255, np.uint8)
    paper = rgb[100:700, :]
    for k in range(4):
        for j in range(4):
            paper[k::8, j::8] = (200, 100, 20)
        paper[k::40] = paper[:, k::40] = (200, 100, 20)
    sheet = Sheet(rgb, np.ones(rgb.shape[:2], bool))
    assert without_surroundings(sheet) is sheet


def test_where_the_grid_is_found_is_paper() -> None:
    """A photo lit from one side lost the three leads in the light: there the bold grid passed for a texture."""
    rng = np.random.default_rng(0)
    gravel = np.repeat(np.repeat(rng.integers(0, 2, (100, 140, 1)) * 255, 8, 0), 8, 1).astype(np.uint8)
    sheet = _sheet(np.repeat(gravel, 3, axis=2))
    cleared = without_surroundings(sheet, (0.0, 0.0, 120.0, 80.0))
    np.testing.assert_array_equal(cleared.rgb[:640, :960], sheet.rgb[:640, :960])
    assert cleared.rgb[660:, 40:].std() < 20
    assert without_surroundings(sheet, (0.0, 0.0, 140.0, 100.0)) is sheet


def test_a_texture_under_the_rim_of_the_grid_s_box_is_painted_over() -> None:
    """The grid network sees a grid go on beyond a torn edge, and a table's texture there was read as a second strip."""
    rng = np.random.default_rng(1)
    gravel = np.repeat(np.repeat(rng.integers(0, 2, (100, 140, 1)) * 255, 8, 0), 8, 1).astype(np.uint8)
    sheet = _sheet(np.repeat(gravel, 3, axis=2))
    cleared = without_surroundings(sheet, grid_mm=(8.0, 8.0, 132.0, 92.0))
    assert cleared.rgb[72:120, 100:-100].std() < 20
    np.testing.assert_array_equal(cleared.rgb[220:580, 220:900], sheet.rgb[220:580, 220:900])


def test_a_narrow_strip_of_bold_grid_stays() -> None:
    """All of it lies within 15 mm of its edge, so nothing says that its grid is not as busy as it looks."""
    rng = np.random.default_rng(2)
    gravel = np.repeat(np.repeat(rng.integers(0, 2, (100, 140, 1)) * 255, 8, 0), 8, 1).astype(np.uint8)
    sheet = _sheet(np.repeat(gravel, 3, axis=2))
    cleared = without_surroundings(sheet, grid_mm=(20.0, 1.0, 120.0, 19.0))
    np.testing.assert_array_equal(cleared.rgb[8:152, 160:960], sheet.rgb[8:152, 160:960])
    assert cleared.rgb[700:, 100:-100].std() < 20
