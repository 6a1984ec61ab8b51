"""The vector road: what a PDF draws is read exactly, however it is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecglift import pdfpaths
from ecglift.drawn.curves import as_pulse, to_curve
from ecglift.drawn.lines import Chain, fit_lattice
from ecglift.drawn.text import printed_gains, printed_speed
from ecglift.leads import CHEST_LEADS, LEAD_INDEX, LEADS, limb_leads_from
from ecglift.metrics import image_snr_db
from ecglift.paper import TEMPLATES, Layout, Panel
from ecglift.pdfpaths import read_paths
from ecglift.press.page import Grid, Page, Patch, Stroke, Text
from ecglift.press.pdf import PdfStyle, to_pdf
from ecglift.problem import StageError
from ecglift.recording import Recording
from ecglift.stages.check import check, correct
from ecglift.stages.signal import to_recording
from ecglift.stages.vector import VectorReading, VectorSettings, read_vector

FS_HZ = 500.0
PDFS = Path(__file__).resolve().parents[2] / "shared" / "data" / "real-images" / "pdf"


def heart(seconds: float = 10.0) -> np.ndarray:
    """(12, n) mV of irregular beats with P, QRS and T; limb leads obey Einthoven."""
    t = np.arange(round(seconds * FS_HZ)) / FS_HZ
    beats = 0.35 + np.cumsum([0.0, 0.81, 0.78, 0.86, 0.74, 0.83, 0.9, 0.77, 0.8, 0.84, 0.79, 0.82])
    shapes = ((-0.16, 0.02), (0.0, 0.011), (0.025, 0.01), (0.25, 0.04))
    waves = np.array([sum(np.exp(-0.5 * ((t - b - m) / s) ** 2) for b in beats) for m, s in shapes])
    rng = np.random.default_rng(5)
    two = np.array([[0.08, 0.7, -0.2, 0.2], [0.12, 1.0, -0.1, 0.3]]) @ waves
    chest = (rng.uniform(0.3, 1, (6, 4)) * np.array([0.1, 1.0, -0.9, 0.3])) @ waves
    return np.concatenate([limb_leads_from(two[0], two[1]), chest])


def make_page(
    template: str = "3x4+1",
    *,
    speed: float = 25.0,
    gain: float = 10.0,
    chest_gain: float | None = None,
    gap_mm: float = 0.0,
    simultaneous: bool = False,
    grid: str = "lines",
    scale_text: str | None = None,
    labels: dict[str, str] | None = None,
    pulse: str = "left",
    seconds: float = 10.0,
) -> Page:
    """A small ECG page of our own making."""
    t, mv = TEMPLATES[template], heart()
    column_s = seconds / t.n_columns / (2 if simultaneous else 1)
    width = column_s * speed
    row_mm, left, top = 26.0, 20.0, 45.0
    panels: list[Panel] = []
    for r, row in enumerate(t.rows):
        for c, name in enumerate(row):
            sign, lead = (-1, name[1:]) if name.startswith("-") else (1, name)
            x0 = left + c * (width + gap_mm)
            start = 0.0 if simultaneous else c * column_s
            own_gain = chest_gain if chest_gain and lead in CHEST_LEADS else gain
            panels.append(Panel(lead, r, c, x0, x0 + width, top + row_mm * r, start, own_gain, sign))
    end = left + t.n_columns * (width + gap_mm) - gap_mm
    for k in range(t.rhythm_strips):
        r = len(t.rows) + k
        panels.append(Panel(("II", "V1", "V5")[k], r, 0, left, end, top + row_mm * r, rhythm=True, gain_mm_mv=gain))
    strokes, texts = [], []
    for p in panels:
        n = np.arange(round(p.start_s * FS_HZ), min(round((p.start_s + (p.x1_mm - p.x0_mm) / speed) * FS_HZ), 5000))
        x = p.x0_mm + (n / FS_HZ - p.start_s) * speed
        y = p.baseline_mm - p.polarity * p.gain_mm_mv * mv[LEAD_INDEX[p.lead], n]
        strokes.append(Stroke("trace", np.stack([x, y], 1), 0.25, (0, 0, 0), p.row, f"{p.lead}@{p.column}"))
        name = (labels or {}).get(p.lead, p.lead) if labels is None or p.lead in labels or labels == {} else ""
        text = f"-{name}" if p.polarity < 0 else name
        texts.append(Text("label", text, p.x0_mm + 1, p.baseline_mm - 6, 2.5, "default", lead=p.lead, row=p.row))
        if p.column == 0 and pulse != "none":
            x0 = left if pulse == "joined" else left - 2
            corners = [(-8, 0), (-6.5, 0), (-6.5, gain), (-1.5, gain), (-1.5, 0), (0, 0)]
            shape = [(x0 + dx, p.baseline_mm - dy) for dx, dy in corners]
            if pulse == "joined":
                shape.append((float(x[0]), float(y[0])))
            strokes.append(Stroke("pulse", np.array(shape), 0.25, (0, 0, 0), p.row))
        if p.column:
            bar = np.array([(p.x0_mm, p.baseline_mm - 3), (p.x0_mm, p.baseline_mm + 3)])
            strokes.append(Stroke("separator", bar, 0.3, (0.4, 0.4, 0.4), p.row))
    said = f"{speed:g} mm/s  {gain:g} mm/mV  0.05-150 Hz" if scale_text is None else scale_text
    bottom = top + row_mm * t.n_rows
    texts.append(Text("text", "Name (X, \\Y)  I 48 II. Sinusrhythmus", 20, 12, 3, "default"))
    texts.append(Text("text", said, 20, bottom + 5, 2.5, "default"))
    width_mm, height_mm = 5 * np.ceil((end + 12) / 5), 5 * np.ceil((bottom + 12) / 5)
    paper_grid = Grid(grid, (5.0, 20.0, width_mm - 5, height_mm - 5))  # type: ignore[arg-type]
    layout = Layout(template, tuple(panels), speed, gain)
    size = float(width_mm), float(height_mm), (1.0, 1.0, 1.0)
    return Page(*size, paper_grid, tuple(strokes), tuple(texts), (), layout, FS_HZ, mv.astype(np.float32))


def digitized(page: Page, settings: VectorSettings | None = None, **style: object) -> tuple[VectorReading, Recording]:
    reading = read_vector(to_pdf(page, PdfStyle(**style)), 0, settings)  # type: ignore[arg-type]
    return reading, to_recording(reading.layout, reading.traces)


def score(page: Page, rec: Recording) -> float:
    return image_snr_db(page.printed_mv(), rec.mv.astype(float), FS_HZ)


def named(layout: Layout) -> list[tuple[int, int, str, int]]:
    return sorted((p.row, p.column, p.lead, p.polarity) for p in layout.panels)


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"pieces": "pieces"},
        {"pieces": "segments", "rotate": 90},
        {"form": True, "rotate": 180},
        {"form": True, "rotate": 270, "compressed": False},
        {"decimals": 3},
    ],
)
def test_a_page_is_read_the_same_however_it_is_written(style: dict[str, object]) -> None:
    page = make_page()
    reading, rec = digitized(page, **style)
    assert named(reading.layout) == named(page.layout)
    assert reading.layout.name == "3x4+1"
    assert (reading.layout.speed_mm_s, reading.layout.speed_how) == (25, "printed")
    assert (reading.layout.gain_mm_mv, reading.layout.gain_how) == (10, "printed")
    assert reading.how == "grid"
    assert reading.pulse_height_mm == pytest.approx(10, abs=0.01)
    assert reading.problems == ()
    assert [round(p.start_s, 3) for p in reading.layout.panels if p.row == 0] == [0, 2.5, 5, 7.5]
    assert len(rec) == 5000
    assert score(page, rec) > 50
    assert np.nanmax(np.abs(rec.mv - page.printed_mv())) < 0.005  # the zero line is the pulse's foot


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("12x1", {"pulse": "none"}),
        ("3x4+3", {"gain": 5.0}),
        ("3x4-cabrera+1", {}),
        ("6x1-limb", {"speed": 50.0, "seconds": 5.0}),
        ("6x2", {"simultaneous": True}),
        ("6x2+1", {"simultaneous": True}),
        ("6x2", {}),
        ("3x4", {"gap_mm": 4.0}),
        ("3x4+1", {"pulse": "joined"}),
        ("3x4+1", {"grid": "major"}),
        ("3x4+1", {"grid": "dots"}),
        ("3x4+1", {"chest_gain": 5.0, "scale_text": "25 mm/s 10/5 mm/mV"}),
        ("3x4+1", {"speed": 12.5}),
    ],
)
def test_layouts_scales_and_grids(template: str, options: dict[str, object]) -> None:
    page = make_page(template, **options)  # type: ignore[arg-type]
    reading, rec = digitized(page)
    assert named(reading.layout) == named(page.layout)
    assert reading.layout.name == template
    assert reading.how == "grid"
    assert {p.rhythm for p in reading.layout.panels} == {p.rhythm for p in page.layout.panels}
    assert score(page, rec) > 50


def test_a_page_fitted_to_smaller_paper_is_measured_by_its_grid() -> None:
    page = make_page()
    pdf = to_pdf(page, PdfStyle(compressed=False))
    full, fitted = b"2.834646 0.000000 0.000000 -2.834646", b"2.466142 0.000000 0.000000 -2.466142"
    assert pdf.count(full) == 1
    reading = read_vector(pdf.replace(full, fitted), 0)
    assert reading.how == "grid"
    np.testing.assert_allclose(np.diag(reading.map.homography)[:2], 2.466142 * 300 / 72, rtol=1e-3)
    assert score(page, to_recording(reading.layout, reading.traces)) > 50


def test_without_grid_the_page_says_the_size_and_this_is_told() -> None:
    page = make_page(grid="none")
    reading, rec = digitized(page)
    assert reading.how == "page"
    assert [p.code for p in reading.problems] == ["scale-from-page"]
    assert score(page, rec) > 50


def test_speed_and_gain_that_are_not_printed() -> None:
    reading, _ = digitized(make_page(scale_text="", gain=20.0))
    assert (reading.layout.gain_mm_mv, reading.layout.gain_how) == (20, "pulse")
    assert reading.layout.speed_how == "assumed"
    assert [p.code for p in reading.problems] == ["speed-assumed"]
    reading, _ = digitized(make_page(scale_text="", pulse="none"))
    assert {p.code for p in reading.problems} == {"speed-assumed", "gain-assumed"}
    reading, rec = digitized(make_page(scale_text="", speed=50.0), VectorSettings(speed_mm_s=50.0, gain_mm_mv=10.0))
    assert (reading.layout.speed_how, reading.layout.gain_how, reading.problems) == ("given", "given", ())
    assert len(rec) == 5000
    reading, _ = digitized(make_page(scale_text="25 mm/s 5 mm/mV"))
    assert [p.code for p in reading.problems] == ["gain-conflict"]


def test_dashes_are_joined_and_what_lies_between_is_doubted() -> None:
    page = make_page()
    reading, rec = digitized(page, pieces="dashes")
    assert named(reading.layout) == named(page.layout)
    assert [p.code for p in reading.problems] == ["traces-dashed"]
    assert rec.quality["interpolated"] > 0.1
    assert score(page, rec) > 20


def test_names_written_otherwise_and_names_missing() -> None:
    other = {lead: f"C{lead[1]}" if lead in CHEST_LEADS else " ".join(lead.upper()) for lead in LEADS}
    page = make_page(labels=other)
    assert named(digitized(page)[0].layout) == named(page.layout)
    reading, rec = digitized(page, text=False)
    assert named(reading.layout) == named(page.layout)
    assert "names-assumed" in {p.code for p in reading.problems}
    assert {p.confidence for p in reading.layout.panels} == {0.5}
    assert score(page, rec) > 50
    told, _ = digitized(page, VectorSettings(layout="3x4-cabrera+1"))
    assert told.layout.panels[0].lead == "aVL"
    with pytest.raises(StageError, match="layout-mismatch"):
        digitized(page, VectorSettings(layout="12x1"))


def test_leads_beyond_the_twelve_are_named_not_guessed() -> None:
    right = dict(zip(CHEST_LEADS, ("V3R", "V4R", "V7", "V8", "V9", "V5R"), strict=True))
    with pytest.raises(StageError, match="V3R") as caught:
        digitized(make_page("6x1-chest", labels=right))
    assert caught.value.problem.code == "leads-not-standard"
    one_other = dict(zip(CHEST_LEADS, (*CHEST_LEADS[:5], "V7"), strict=True))
    reading, rec = digitized(make_page("6x1-chest", labels=one_other))
    assert rec.leads == CHEST_LEADS[:5]
    assert [p.code for p in reading.problems] == ["lead-left-out"]


def test_a_row_drawn_in_one_go_is_cut_at_its_labels() -> None:
    page = make_page()
    rows = []
    for row in range(4):
        traces = [s for s in page.strokes if s.kind == "trace" and s.row == row]
        rows.append(replace(traces[0], points_mm=np.concatenate([s.points_mm for s in traces])))
    joined = replace(page, strokes=(*rows, *(s for s in page.strokes if s.kind != "trace")))
    reading, rec = digitized(joined)
    assert named(reading.layout) == named(page.layout)
    assert score(page, rec) > 50


def test_the_map_leads_to_the_pixels_of_the_page() -> None:
    import pypdfium2 as pdfium

    page, dpi = make_page(), 254.0
    pdf = to_pdf(page, PdfStyle(rotate=90))
    reading = read_vector(pdf, 0, VectorSettings(dpi=dpi))
    document = pdfium.PdfDocument(pdf)
    picture = np.array(document[0].render(scale=dpi / 72).to_pil().convert("L")).astype(float)
    document.close()
    trace = reading.traces[3]
    flat = np.abs(np.gradient(trace.y_mm, trace.x_mm)) < 0.3
    px = reading.map.to_px(np.stack([trace.x_mm, trace.y_mm], 1))[flat][50:-50:40]
    for x, y in px:
        column = 255 - picture[round(y) - 4 : round(y) + 5, round(x)]
        column = np.where(column > 120, column, 0)
        centre = round(y) - 4 + (column * np.arange(9)).sum() / column.sum()
        assert abs(centre - y) < 0.6
    heavy = reading.map.to_px(np.array([0.0, 0.0]))
    mm = (heavy + 0.5) / np.array(picture.shape[::-1]) * (page.width_mm, page.height_mm)
    np.testing.assert_allclose(mm % 5, 0, atol=0.02)


def test_pages_that_hold_no_traces_say_so() -> None:
    page = replace(make_page(), strokes=())
    with pytest.raises(StageError, match="holds no line") as caught:
        digitized(page)
    assert caught.value.problem.code == "vector-unreadable"
    picture = Patch(np.ones((4, 4), np.float32), (0, 0, page.width_mm, page.height_mm), (0.5, 0.5, 0.5))
    with pytest.raises(StageError, match="is a picture"):
        digitized(replace(page, patches=(picture,)))


def test_files_that_cannot_be_read_say_so_and_the_next_one_is_read() -> None:
    pdf = to_pdf([make_page("1x1"), make_page("3x1")])
    for data, code in (
        (b"%PDF-1.4\nrubbish", "pdf-broken"),
        (b"", "pdf-broken"),
        (locked(pdf), "pdf-encrypted"),
    ):
        with pytest.raises(StageError) as caught:
            read_paths(data, 0)
        assert caught.value.problem.code == code
    with pytest.raises(ValueError, match="page_index"):
        read_paths(pdf, 2)
    assert read_vector(pdf, 1).layout.name == "3x1"


def locked(pdf: bytes) -> bytes:
    """The PDF with the mark of a password that nobody knows."""
    key = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"11" * 32 + b"> /U <" + b"22" * 32 + b"> >>"
    return pdf.replace(b"trailer\n<< ", b"trailer\n<< " + key + b" /ID [<00> <00>] ")


def test_a_reader_that_died_is_started_again() -> None:
    pdf = to_pdf(make_page("1x1"))
    first = read_paths(pdf, 0)
    worker = pdfpaths._WORKER
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    again = read_paths(pdf, 0)
    np.testing.assert_array_equal(first.points, again.points)


def test_rounded_points_find_back_to_their_samples() -> None:
    """A device that rounds to 1/600 inch and leaves out points on flat stretches."""
    quantum = 25.4 / 600
    x = 20 + 0.1 * np.arange(2500)
    y = 50 - 8 * np.exp(-0.5 * (((x - 20) % 40 - 20) / 0.8) ** 2)
    drawn = np.stack([quantum * np.round(x / quantum), quantum * np.round(y / quantum)], 1)
    keep = np.concatenate([[True], (np.diff(drawn[:-1, 1]) != 0) | (np.diff(drawn[1:, 1]) != 0), [True]])
    curve = to_curve(Chain(drawn[keep]), 50.0)
    assert curve.samples
    assert curve.step == pytest.approx(0.1, rel=1e-4)
    assert len(curve.y) == 2500
    assert np.abs(curve.y - y).max() < 0.52 * quantum
    assert curve.sigma.max() == pytest.approx(quantum / np.sqrt(12), rel=0.1)


def test_uneven_points_are_read_off_their_line() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 60, 400))
    curve = to_curve(Chain(np.stack([x, np.sin(x)], 1)), 25.0)
    assert not curve.samples
    np.testing.assert_allclose(curve.y, np.interp(curve.x, x, np.sin(x)), atol=1e-6)


def test_pulses_are_told_from_beats() -> None:
    shape = np.array([(0, 50), (2, 50), (2, 40), (7, 40), (7, 50), (9, 50)], float)
    pulse = as_pulse(Chain(shape))
    assert pulse is not None
    assert (pulse.height, pulse.width, pulse.foot) == (10, 5, 50)
    x = np.linspace(0, 9, 90)
    assert as_pulse(Chain(np.stack([x, 50 - 10 * np.exp(-0.5 * ((x - 4) / 0.4) ** 2)], 1))) is None


def test_lattices_are_found_with_lines_missing_and_astray() -> None:
    positions = 7.3 + 2.835 * np.delete(np.arange(60), [5, 10, 15, 20])
    lattice = fit_lattice(np.concatenate([positions, [33.0]]))
    assert lattice is not None
    assert lattice.pitch == pytest.approx(2.835, abs=1e-4)
    assert lattice.share > 0.95
    assert fit_lattice(np.sort(np.random.default_rng(1).uniform(0, 200, 40))) is None


def test_names_written_with_spaces_keep_their_sign() -> None:
    page = make_page("6x2-cabrera", labels={lead: " ".join(lead) for lead in LEADS})
    reading, _ = digitized(page)
    assert named(reading.layout) == named(page.layout)


@pytest.mark.parametrize(
    ("text", "speed", "gains"),
    [
        ("25mm/s 10mm/mV 40Hz", 25, (10, 10)),
        ("50 mm/sec  10.0 mm / mV", 50, (10, 10)),
        ("12,5 mm/s 10/5 mm/mV", 12.5, (10, 5)),
        ("Limb: 20 mm/mV\nChest:\u00a010 mm/mV", None, (20, 10)),
        ("HF 63 /min, 2021", None, None),
    ],
)
def test_scales_in_print(text: str, speed: float | None, gains: tuple[float, float] | None) -> None:
    assert printed_speed(text) == speed
    assert printed_gains(text) == gains


@pytest.mark.parametrize(
    ("name", "page_index", "layout", "speed"),
    [
        ("muse", 0, "3x4+3", 25),
        ("cardiosoft", 0, "6x1-limb", 50),
        ("cardiosoft", 1, "6x1-chest", 50),
        ("schiller-at102", 0, "6x1-limb", 25),
        ("schiller-at102", 1, "6x1-chest", 25),
    ],
)
def test_real_devices(name: str, page_index: int, layout: str, speed: float) -> None:
    path = PDFS / f"{name}.pdf"
    if not path.exists():
        pytest.skip("shared data not there")
    reading = read_vector(path.read_bytes(), page_index)
    rec = to_recording(reading.layout, reading.traces)
    assert (reading.layout.name, reading.layout.speed_mm_s, reading.layout.gain_mm_mv) == (layout, speed, 10)
    assert reading.problems == ()
    assert reading.pulse_height_mm == pytest.approx(10, abs=0.02)
    assert len(rec) == round({25: 10, 50: 5}[speed] * 500)
    checks = check(rec, reading.layout, reading.pulse_height_mm)
    assert checks.problems == ()
    if layout != "6x1-chest":
        # The devices round each lead on its own: 5 µV steps, 1/600 inch, 14 ms; what is left is theirs.
        assert checks["einthoven"].verdict == checks["goldberger"].verdict == "passed"
        assert checks["einthoven"].value < -20
        assert check(correct(rec, checks), reading.layout)["einthoven"].value < -40


def test_a_real_page_of_other_leads_is_refused() -> None:
    path = PDFS / "cardiosoft.pdf"
    if not path.exists():
        pytest.skip("shared data not there")
    with pytest.raises(StageError, match="V3r, V4r, V7"):
        read_vector(path.read_bytes(), 2)
