"""Pages that another program draws: what is read well must not be the press's own hand.

matplotlib sets its grid lines on whole pixels, half a pixel beside its curves, joins its strokes and writes its letters
in its own way; generators of training pages and plotting libraries for ECGs draw with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecglift.leads import LEADS
from ecglift.metrics import image_snr_db
from ecglift.pipeline import Digitizer, Run
from ecglift.press.patients import Noise, simulate
from ecglift.settings import Settings
from ecglift.source import SourcePage

FS_HZ = 500.0
Signals = NDArray[np.float64]
Draw = Callable[[Signals], tuple[NDArray[np.uint8], Signals]]


@pytest.fixture(autouse=True)
def _plain() -> Iterator[None]:
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        yield


def _paper(width_mm: float, height_mm: float, dpi: float, colour: str) -> tuple[Figure, mpl.axes.Axes]:
    """A sheet with a millimetre grid; its axes are in mm, downwards."""
    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width_mm), ylim=(height_mm, 0))
    axes.tick_params(length=0, which="both", labelbottom=False, labelleft=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(mpl.ticker.MultipleLocator(5.0))
        axis.set_minor_locator(mpl.ticker.MultipleLocator(1.0))
    axes.grid(which="major", color=colour, linewidth=0.6)
    axes.grid(which="minor", color=colour, linewidth=0.3, alpha=0.4)
    return figure, axes


def _picture(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _line(axes: mpl.axes.Axes, mv: Signals, x_mm: float, y_mm: float, speed_mm_s: float = 25.0) -> None:
    axes.plot(x_mm + np.arange(len(mv)) / FS_HZ * speed_mm_s, y_mm - 10.0 * mv, color="black", linewidth=0.8)


def _letter_page(mv: Signals) -> tuple[NDArray[np.uint8], Signals]:
    """3x4 and a strip of lead II on letter paper at 200 dpi, with pulses, names and scales."""
    figure, axes = _paper(279.4, 215.9, 200, "indianred")
    truth = np.full_like(mv, np.nan)
    for row, names in enumerate((("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))):
        for column, name in enumerate(names):
            piece = np.s_[1250 * column : 1250 * (column + 1)]
            lead = LEADS.index(name)
            _line(axes, mv[lead, piece], 20.0 + 62.5 * column, 50.0 + 32.0 * row)
            axes.text(21.0 + 62.5 * column, 43.0 + 32.0 * row, name, fontsize=10)
            truth[lead, piece] = mv[lead, piece]
    _line(axes, mv[1], 20.0, 146.0)
    axes.text(21.0, 139.0, "II", fontsize=10)
    truth[1] = mv[1]
    for y in (50.0, 82.0, 114.0, 146.0):
        axes.plot(np.array([10, 12.5, 12.5, 17.5, 17.5, 20]), y - np.array([0, 0, 10, 10, 0, 0]), "k", linewidth=0.8)
    axes.text(20.0, 205.0, "25 mm/s   10 mm/mV", fontsize=11)
    return _picture(figure), truth


def _two_columns(
    axes: mpl.axes.Axes,
    mv: Signals,
    first_mm: tuple[float, float],
    pitch_mm: float,
    name_mm: tuple[float, float],
    **text: object,
) -> Signals:
    """The truth of 6x2 of 5 s, drawn with the first line from ``first_mm`` (x, y) on and each name ``name_mm`` from the
    start of its own."""
    truth = np.full_like(mv, np.nan)
    for k, name in enumerate(LEADS):
        column, row = divmod(k, 6)
        piece = np.s_[2500 * column : 2500 * (column + 1)]
        x, y = first_mm[0] + 125.0 * column, first_mm[1] + pitch_mm * row
        _line(axes, mv[k, piece], x, y)
        axes.text(x + name_mm[0], y + name_mm[1], name, **text)
        truth[k, piece] = mv[k, piece]
    return truth


def _plain_page(mv: Signals) -> tuple[NDArray[np.uint8], Signals]:
    """6x2 of 5 s at 150 dpi as a plotting library draws it: no pulse, no scale, no strip."""
    figure, axes = _paper(266.0, 160.0, 150, "lightcoral")
    truth = _two_columns(axes, mv, (8.3, 15.0), 26.0, (1.7, -6.0), fontsize=9)
    return _picture(figure), truth


def _names_in_front_page(mv: Signals) -> tuple[NDArray[np.uint8], Signals]:
    """6x2 of 5 s at 150 dpi, each name in front of its line: the second column's stand on the first one's lines."""
    figure, axes = _paper(272.0, 160.0, 150, "slategray")
    in_front = {"fontsize": 8, "ha": "right", "va": "center", "color": "dimgray"}
    truth = _two_columns(axes, mv, (15.3, 18.0), 23.0, (-1.0, 0.0), **in_front)
    axes.text(30.0, 154.0, "25 mm/s   10 mm/mV", fontsize=9)
    return _picture(figure), truth


def _strips_page(mv: Signals) -> tuple[NDArray[np.uint8], Signals]:
    """Twelve rows of 10 s with their names left of them, at 150 dpi."""
    figure, axes = _paper(280.0, 300.0, 150, "steelblue")
    for k, name in enumerate(LEADS):
        _line(axes, mv[k], 20.3, 20.0 + 23.0 * k)
        axes.text(8.0, 20.0 + 23.0 * k, name, fontsize=10)
    axes.text(20.0, 296.0, "25 mm/s  10 mm/mV  0.05-150 Hz", fontsize=9)
    return _picture(figure), mv


def _read(image: NDArray[np.uint8]) -> Run:
    return Digitizer(Settings(fs_hz=FS_HZ)).read(SourcePage(image, "<array>"))


@pytest.mark.parametrize(
    ("draw", "layout", "seed", "least_db"),
    [
        (_letter_page, "3x4+1", 5, 20.0),
        (_plain_page, "6x2", 8, 25.0),
        (_names_in_front_page, "6x2", 8, 22.0),
        (_strips_page, "12x1", 11, 22.0),
    ],
)
def test_a_page_of_another_program_is_read(draw: Draw, layout: str, seed: int, least_db: float) -> None:
    rng = np.random.default_rng(seed)
    # An uneven rhythm tells that the second of two columns follows the first.
    patient = simulate(rng, FS_HZ, rhythm="sinus-arrhythmia", conditions=(), noise=Noise())
    mv = patient.mv.astype(float)
    image, truth = draw(mv)
    run = _read(image)
    assert run.layout is not None
    assert (run.layout.name, run.layout.speed_mm_s, run.layout.gain_mm_mv) == (layout, 25.0, 10.0)
    assert image_snr_db(truth, np.asarray(run.recording.mv, float), FS_HZ) > least_db


@pytest.mark.parametrize("draw", [_letter_page, _strips_page])
def test_a_mirror_image_is_refused_with_its_reason(draw: Draw) -> None:
    mv = simulate(np.random.default_rng(5), FS_HZ, rhythm="sinus", conditions=(), noise=Noise()).mv.astype(float)
    run = _read(np.ascontiguousarray(draw(mv)[0][:, ::-1]))
    assert run.status == "failed"
    assert [problem.code for problem in run.problems] == ["mirrored"]
