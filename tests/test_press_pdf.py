"""Press pages as vector PDFs: an independent reader sees the same page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest

from ecglift.paper import Layout, Panel
from ecglift.press.page import Grid, Page, Patch, Stroke, Text
from ecglift.press.pdf import PdfStyle, to_pdf, write_pdf
from ecglift.press.render import render

PX_PER_MM = 6.0


def small_page(grid: str = "lines") -> Page:
    x = np.linspace(10, 90, 400)
    trace = Stroke("trace", np.stack([x, 30 + 8 * np.sin(x / 4)], 1), 0.4, (0, 0, 0), 0, "II@0")
    bar = Stroke("separator", np.array([(50.0, 20), (50, 40)]), 0.3, (0.2, 0.2, 0.6), 0, dash_mm=(1.0, 1.0))
    label = Text("label", "II (x\\1)", 12, 15, 3.0, "default", lead="II", row=0)
    patch = Patch(np.tile(np.linspace(0, 1, 8, dtype=np.float32), (8, 1)), (70, 42, 90, 52), (0.8, 0.1, 0.1))
    layout = Layout("1x1", (Panel("II", 0, 0, 10, 90, 30),))
    mv = np.full((12, 100), np.nan, np.float32)
    box = Grid(grid, (5, 5, 95, 55), ground=(1.0, 0.98, 0.95))  # type: ignore[arg-type]
    return Page(100, 60, (1, 1, 1), box, (trace, bar), (label,), (patch,), layout, 500, mv)


def shown(pdf: bytes, page_index: int = 0) -> np.ndarray:
    document = pdfium.PdfDocument(pdf)
    scale = PX_PER_MM * 25.4 / 72 * (1 - 1e-6)  # PDFium stretches a page over the next whole number of pixels
    picture = np.array(document[page_index].render(scale=scale).to_pil().convert("RGB"))
    document.close()
    return picture


@pytest.mark.parametrize("grid", ["lines", "major", "dots", "none"])
def test_pdfium_shows_what_the_press_draws(grid: str) -> None:
    page = small_page(grid)
    ours, theirs = render(page, PX_PER_MM).astype(float), shown(to_pdf(page)).astype(float)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 8
    heights = []
    for picture in (ours, theirs):
        ink = np.where((dark := 255 - picture[60:300, 330:530].max(axis=2)) > 128, dark, 0)
        heights.append((ink * np.arange(240)[:, None]).sum(axis=0) / ink.sum(axis=0))
    assert np.abs(heights[0] - heights[1]).max() < 0.5  # pixels: the black line stands where the press puts it


@pytest.mark.parametrize("style", [PdfStyle(form=True), *(PdfStyle(rotate=turn) for turn in (90, 180, 270))])
def test_every_way_of_writing_shows_the_same(style: PdfStyle) -> None:
    page = small_page()
    plain, other = (shown(to_pdf(page, s)).astype(float) for s in (PdfStyle(), style))
    assert plain.shape == other.shape
    assert np.abs(plain - other).mean() < 1


def test_the_letters_can_be_copied(tmp_path: Path) -> None:
    write_pdf(tmp_path / "two.pdf", [small_page(), small_page("none")], PdfStyle(compressed=False))
    document = pdfium.PdfDocument(tmp_path / "two.pdf")
    assert len(document) == 2
    text = document[1].get_textpage()
    assert text.get_text_range().strip() == "II (x\\1)"
    left, bottom, _, top = text.get_charbox(0)
    text.close()
    assert left / 72 * 25.4 == pytest.approx(12, abs=0.5)
    assert (top - bottom) / 72 * 25.4 == pytest.approx(3.0, abs=0.1)
    assert document[0].get_width() / 72 * 25.4 == pytest.approx(100, abs=0.01)
    document.close()


def test_the_same_page_gives_the_same_bytes() -> None:
    assert to_pdf(small_page()) == to_pdf(small_page())


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match="pages"):
        to_pdf([])
    with pytest.raises(ValueError, match="rotate"):
        PdfStyle(rotate=45)
    with pytest.raises(ValueError, match="decimals"):
        PdfStyle(decimals=9)
