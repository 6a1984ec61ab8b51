"""Pictures: the ECG on paper, the overlay on the page, a recording in words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from ecglift.draw.canvas import AMBER, BLUE, RED, Canvas, confidence_colours, to_jpeg, to_png
from ecglift.draw.ecg_paper import draw_ecg
from ecglift.draw.overlay import draw_overlay, legend, overlay_png, panel_box, trace_confidence
from ecglift.geometry import PageMap
from ecglift.leads import LEADS
from ecglift.paper import TEMPLATES, Layout, Panel
from ecglift.problem import Problem
from ecglift.recording import Recording, Segment
from ecglift.sheet import Trace


def decoded(png: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def printed(confidence: float = 1.0) -> Recording:
    """Three rows of four columns and lead II; every lead is a straight line at a height of its own."""
    mv = np.full((12, 1000), np.nan, np.float32)
    segments = []
    for k, name in enumerate(LEADS):
        a, b = k // 3 * 250, (k // 3 + 1) * 250
        mv[k, a:b] = k / 20
        segments.append(Segment(name, a, b, k % 3, k // 3))
    mv[1] = 1 / 20
    segments.append(Segment("II", 0, 1000, 3, 0, True))
    return Recording(100.0, mv, np.where(np.isfinite(mv), confidence, 0).astype(np.float32), tuple(segments))


# --- canvas
# ------------------------------------------------------------------------------------------------------------


def test_a_line_stands_where_it_was_asked_for() -> None:
    canvas = Canvas(20, 40)
    canvas.line(np.array([[5.0, 10.0], [30.0, 10.0]]), (255, 0, 0))
    drawn = canvas.over(np.full((20, 40, 3), 255, np.uint8))
    assert drawn[10, 15, 0] > 225
    assert drawn[10, 15, 1:].max() < 50
    assert tuple(drawn[14, 15]) == (255, 255, 255)
    assert (drawn[:, 35] == 255).all()


def test_gaps_are_not_bridged_and_far_points_do_no_harm() -> None:
    canvas = Canvas(20, 40)
    canvas.line(np.array([[2.0, 5.0], [10.0, 5.0], [np.nan, 5.0], [30.0, 5.0], [1e12, 5.0]]), (0, 0, 0))
    assert canvas.rgba[5, 6, 3] > 200
    assert canvas.rgba[5, 20, 3] == 0
    assert canvas.rgba[5, 38, 3] > 200


def test_an_empty_canvas_leaves_the_picture_alone_and_a_half_one_mixes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    canvas = Canvas(8, 9)
    assert np.array_equal(canvas.over(image), image)
    canvas.area(np.array([[0.0, 0], [8, 0], [8, 7], [0, 7]]), (200, 100, 0), 0.5)
    mixed = canvas.over(np.zeros((8, 9, 3), np.uint8))
    assert np.abs(mixed[4, 4].astype(int) - [100, 50, 0]).max() <= 1
    assert np.abs(canvas.straight()[4, 4].astype(int) - [200, 100, 0, 128]).max() <= 2


def test_words_leave_ink_also_at_the_edge() -> None:
    canvas = Canvas(30, 80)
    width = canvas.text(5, 20, "aVR", 14)
    assert 10 < width < 60
    assert canvas.rgba[8:22, 5:40, 3].max() == 255
    canvas.text(-500, -500, "far away", 14, ground=(0, 0, 0))


def test_colours_tell_confidence() -> None:
    assert confidence_colours(np.array([0.0, 0.5, 1.0, np.nan])).tolist() == [
        list(RED),
        list(AMBER),
        list(BLUE),
        list(RED),
    ]


def test_files_are_read_back_by_opencv() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(decoded(to_png(image)), image)
    assert decoded(to_jpeg(image)).shape == image.shape


# --- on paper
# ----------------------------------------------------------------------------------------------------------


def test_a_millivolt_is_ten_millimetres_high_and_a_second_twenty_five_long() -> None:
    drawing = draw_ecg(printed())
    first, strip = drawing.curves[0], drawing.curves[-1]
    assert [c.name for c in drawing.curves][:4] == ["I", "aVR", "V1", "V4"]
    v1 = next(c for c in drawing.curves if c.name == "V1")
    assert v1.baseline_mm - v1.points_mm[0, 1] == pytest.approx(6 / 20 * 10, abs=1e-6)
    assert strip.points_mm[-1, 0] - strip.points_mm[0, 0] == pytest.approx(9.99 * 25)
    assert v1.points_mm[0, 0] - first.points_mm[0, 0] == pytest.approx(5.0 * 25)
    faster = draw_ecg(printed(), speed_mm_s=50, gain_mm_mv=5).curves[-1]
    assert faster.points_mm[-1, 0] - faster.points_mm[0, 0] == pytest.approx(9.99 * 50)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_layout_shows_each_of_its_leads(name: str) -> None:
    rec = printed()
    drawing = draw_ecg(rec, name)
    template = TEMPLATES[name]
    wanted = [n for row in template.rows for n in row]
    assert [c.name for c in drawing.curves][: len(wanted)] == wanted
    assert len(drawing.curves) == len(wanted) + template.rhythm_strips
    for curve in drawing.curves:
        assert np.isfinite(curve.points_mm[:, 1]).any()
        sign = -1 if curve.name.startswith("-") else 1
        value = LEADS.index(curve.name.lstrip("-")) / 20 * sign
        height = curve.baseline_mm - np.nanmedian(curve.points_mm[:, 1])
        assert height == pytest.approx(10 * value, abs=1e-5)
        assert 0 < curve.x_mm < drawing.width_mm
        assert 0 < curve.baseline_mm < drawing.height_mm


def test_svg_is_xml_in_true_millimetres_and_breaks_at_gaps() -> None:
    rec = printed()
    mv = rec.mv.copy()
    mv[1, 400:450] = np.nan
    drawing = draw_ecg(replace(rec, mv=mv), title="<ward 3>")
    root = ElementTree.fromstring(drawing.svg())
    assert root.attrib["width"] == f"{drawing.width_mm:g}mm"
    assert root.attrib["viewBox"].split()[2:] == [f"{drawing.width_mm:g}", f"{drawing.height_mm:g}"]
    words = [e.text for e in root.iter() if e.tag.endswith("text")]
    assert "<ward 3>" in words
    assert words.count("II") == 2
    whole = len(re.findall("<path", draw_ecg(rec).svg()))
    # The strip is cut in two; the short piece of II is not touched.
    assert len(re.findall("<path", drawing.svg())) == whole + 1


def test_pixels_show_the_trace_where_the_millimetres_say() -> None:
    drawing = draw_ecg(printed(), "12x1")
    image = drawing.pixels(8.0)
    assert image.shape == (round(drawing.height_mm * 8), round(drawing.width_mm * 8), 3)
    curve = drawing.curves[6]
    x, y = curve.points_mm[np.flatnonzero(np.isfinite(curve.points_mm[:, 1]))[100]] * 8 - 0.5
    column = image[round(y) - 12 : round(y) + 13, round(x)].sum(axis=1).astype(int)
    assert abs(int(np.argmin(column)) - 12) <= 1
    with pytest.raises(ValueError, match="px_per_mm"):
        drawing.pixels(0.1)


def test_doubt_is_coloured_only_when_asked_for() -> None:
    doubtful = draw_ecg(printed(0.3), by_confidence=True)
    plain = draw_ecg(printed(0.3))
    sure = draw_ecg(printed(1.0), by_confidence=True)

    def colourful(image: np.ndarray) -> int:
        orange = (image[..., 0] > 180) & (image[..., 1] < 140) & (image[..., 2] < 70)
        return int(orange.sum())

    assert colourful(doubtful.pixels(12)) > 1000
    assert colourful(plain.pixels(12)) == colourful(sure.pixels(12)) == 0


def test_drawings_are_saved_by_suffix(tmp_path: Path) -> None:
    drawing = printed().plot("6x2")
    assert drawing.save(tmp_path / "a.svg").read_text("utf-8").startswith("<svg")
    assert decoded(drawing.save(tmp_path / "a.png").read_bytes()).shape[2] == 3
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        drawing.save(tmp_path / "a.bmp")
    with pytest.raises(ValueError, match="layout"):
        printed().plot("5x5")
    with pytest.raises(ValueError, match="gain_mm_mv"):
        printed().plot(gain_mm_mv=0)


def test_text_and_notebook_say_the_same() -> None:
    rec = replace(printed(0.9), status="partial", problems=(Problem("gain-assumed", "layout", "10 mm/mV <assumed>"),))
    text, html = repr(rec), rec._repr_html_()
    assert "12 leads, 10.00 s at 100 Hz, status partial" in text
    assert "12 leads, 10.00 s at 100 Hz, status partial" in html
    for name, window in (("V1", "5.00 to 7.50 s"), ("II", "0.00 to 10.00 s")):
        assert re.search(rf"{name} +{window}", text)
        assert f"<td>{name}</td><td>{window}</td>" in html
    assert "90%" in text
    assert "90%" in html
    assert "&lt;assumed&gt;" in html
    assert "<svg" in html
    assert "without leads" in repr(Recording.empty())
    assert "without leads" in Recording.empty()._repr_html_()
    assert draw_ecg(Recording.empty()).pixels().ndim == 3


# --- overlay
# -----------------------------------------------------------------------------------------------------------

PX_PER_MM = 5.0
LAYOUT = Layout(
    "2x1",
    (
        Panel("II", 0, 0, 10.0, 110.0, 20.0),
        Panel("V1", 1, 0, 10.0, 110.0, 50.0, polarity=-1),
    ),
)


def level(row: int, y_mm: float, sigma_mm: float = 0.02) -> Trace:
    x = np.arange(10.0, 110.0, 0.1)
    return Trace(row, x, np.full_like(x, y_mm), np.full_like(x, sigma_mm), np.ones_like(x))


def page(width_mm: float = 120.0, height_mm: float = 70.0) -> np.ndarray:
    return np.full((round(height_mm * PX_PER_MM), round(width_mm * PX_PER_MM), 3), 250, np.uint8)


def blue_rows(layer: np.ndarray) -> np.ndarray:
    blue = np.all(np.abs(layer[..., :3].astype(int) - BLUE) < 60, axis=2) & (layer[..., 3] > 128)
    return np.flatnonzero(blue.any(axis=1))


TURNED = {
    0: (lambda i: i, lambda w, h: np.eye(3)),
    1: (lambda i: np.rot90(i), lambda w, h: np.array([[0, 1, 0], [-1, 0, w - 1], [0, 0, 1.0]])),
    2: (lambda i: np.rot90(i, 2), lambda w, h: np.array([[-1, 0, w - 1], [0, -1, h - 1], [0, 0, 1.0]])),
    3: (lambda i: np.rot90(i, 3), lambda w, h: np.array([[0, -1, h - 1], [1, 0, 0], [0, 0, 1.0]])),
}


@pytest.mark.parametrize("turns", TURNED)
def test_the_overlay_stands_upright_and_on_the_trace(turns: int) -> None:
    image = page()
    image[round(25 * PX_PER_MM)] = 0  # the ink
    turn_image, move = TURNED[turns]
    page_map = PageMap.scale(PX_PER_MM).after(move(image.shape[1], image.shape[0]))
    overlay = draw_overlay(
        np.ascontiguousarray(turn_image(image)), page_map, LAYOUT, (level(0, 25.0),), grid_mm=(0, 0, 120, 70)
    )
    assert np.array_equal(overlay.page, image)
    assert abs(blue_rows(overlay.layer[:, 200:400]).mean() - 25 * PX_PER_MM) <= 1
    assert not np.array_equal(overlay.picture, image)


def test_a_reduced_overlay_still_lies_on_the_ink() -> None:
    image = page(480.0, 280.0)
    image[25 * 5 * 4 - 6 : 25 * 5 * 4 + 6] = 0
    overlay = draw_overlay(image, PageMap.scale(PX_PER_MM * 4), LAYOUT, (level(0, 25.0),), max_px=600)
    assert max(overlay.page.shape) == 600
    ink = np.flatnonzero(overlay.page[:, 300, 0] < 128).mean()
    assert abs(ink - blue_rows(overlay.layer[:, 300:301]).mean()) < 1


def test_unsure_traces_are_red_and_missing_ones_are_not_drawn() -> None:
    trace = level(0, 25.0)
    assert trace_confidence(trace, 10.0).min() > 0.99
    assert trace_confidence(level(0, 25.0, 2.0), 10.0).max() < 0.1
    gap = replace(trace, y_mm=np.where(trace.x_mm > 60, np.nan, trace.y_mm))
    assert trace_confidence(gap, 10.0)[-1] > 0.9  # presence alone decides; what is not there is not drawn
    layer = draw_overlay(page(), PageMap.scale(PX_PER_MM), None, (gap,)).layer
    assert layer[125, 200, 3] > 128
    assert layer[:, 400, 3].max() == 0


def test_panels_meet_half_way_and_show_their_names() -> None:
    upper, lower = (panel_box(p, LAYOUT) for p in LAYOUT.panels)
    assert upper[3] == lower[1] == 35.0
    assert upper[1] == 5.0
    assert panel_box(LAYOUT.panels[0], LAYOUT, (0, 12.0, 120, 70))[1] == 12.0
    plain = draw_overlay(page(), PageMap.scale(PX_PER_MM), LAYOUT).layer
    assert plain[(36 * 5) : (40 * 5), round(10.5 * 5) : (20 * 5), 3].max() > 200


def test_deidentified_pages_show_nothing_outside_the_panels() -> None:
    image = page()
    image[:20, :200] = 30  # a name printed at the top
    overlay = draw_overlay(image, PageMap.scale(PX_PER_MM), LAYOUT, deidentify=True)
    assert overlay.page[:20].max() == 0
    assert overlay.page[100, 300].min() == 250
    assert draw_overlay(image, deidentify=True).page.max() == 0


def test_a_page_that_was_not_read_is_shown_as_it_is() -> None:
    image = page()
    overlay = draw_overlay(image)
    assert np.array_equal(overlay.picture, image)
    png = decoded(overlay_png(overlay))
    assert png.shape == (image.shape[0] + legend(image.shape[1]).shape[0], image.shape[1], 3)
