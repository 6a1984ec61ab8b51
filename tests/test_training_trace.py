"""Training the trace network: crops with their truth, the loss, and an ONNX file that is also the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.models.strip import STRIP_PX  # noqa: E402
from ecglift.pixels import planes  # noqa: E402
from ecglift.press.capture import CaptureSettings, capture  # noqa: E402
from ecglift.press.compose import compose  # noqa: E402
from ecglift.press.noise import Noise  # noqa: E402
from ecglift.press.patients import simulate  # noqa: E402
from ecglift.press.style import competition_style  # noqa: E402
from ecglift.training.crops import (  # noqa: E402
    CROP_PX,
    captured_crops,
    crowded,
    draw_crop,
    overprinted,
    row_curve,
    varied,
)
from ecglift.training.export import export, load_weights  # noqa: E402
from ecglift.training.network import TraceNetwork  # noqa: E402
from ecglift.training.signals import pacing_spikes  # noqa: E402
from ecglift.training.trace import crop_db, line_loss, middle_half, settle  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def page():
    rng = np.random.default_rng(3)
    patient = simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise())
    return compose(rng, patient.mv, 500.0, competition_style())


def _ink_row(rgb: np.ndarray, column: int, near: float) -> float:
    """Centre of the dark ink near a row, px."""
    rows = np.arange(max(int(near) - 6, 0), min(int(near) + 7, STRIP_PX))
    dark = np.clip(150.0 - rgb[rows, column].max(axis=1), 0, None)
    return float((rows * dark).sum() / dark.sum()) if dark.sum() > 60 else float("nan")


def test_truth_of_a_captured_crop_lies_on_the_ink(page) -> None:
    rng = np.random.default_rng(4)
    taken = capture(page, "clean", rng, CaptureSettings(px_per_mm=8.0, plain=True))
    misses = []
    for crop in captured_crops(rng, taken, 6):
        y = crop.y_px[::2]
        for column in range(4, CROP_PX - 4):
            if np.isfinite(y[column - 2 : column + 3]).all() and np.ptp(y[column - 2 : column + 3]) < 1.0:
                misses.append(_ink_row(crop.rgb, column, y[column]) - y[column])
    assert len(misses) > 300
    assert abs(np.nanmedian(misses)) < 0.15
    assert np.nanmedian(np.abs(misses)) < 0.3


def test_crops_are_the_generators(page) -> None:
    a, b = (draw_crop(np.random.default_rng(5), page) for _ in range(2))
    assert (a.rgb == b.rgb).all()
    np.testing.assert_array_equal(a.y_px, b.y_px)
    assert a.rgb.shape == (STRIP_PX, CROP_PX, 3)


def test_some_crops_lie_beyond_the_rows_ends(page) -> None:
    crops = [draw_crop(np.random.default_rng([14, k]), page) for k in range(80)]
    empty = sum(not np.isfinite(crop.y_px).any() for crop in crops)
    assert 1 <= empty <= 12


def test_variation_keeps_truth_and_picture_together(page) -> None:
    crop = draw_crop(np.random.default_rng(6), page)
    for seed in range(8):
        other = varied(np.random.default_rng(seed), crop)
        assert np.isfinite(other.y_px).sum() == np.isfinite(crop.y_px).sum()
        straight = np.nansum(np.abs(np.sort(other.y_px - 255.5)))
        assert straight == pytest.approx(np.nansum(np.abs(crop.y_px - 255.5)), rel=1e-3)


def test_coarse_crops_show_twice_as_much_and_their_truth_lies_on_the_ink(page) -> None:
    crop = draw_crop(np.random.default_rng(11), page, 4.0)
    assert crop.rgb.shape == (STRIP_PX, CROP_PX, 3)
    y = crop.y_px[::2]
    flat = [c for c in range(4, CROP_PX - 4) if np.isfinite(y[c - 2 : c + 3]).all() and np.ptp(y[c - 2 : c + 3]) < 1.0]
    darkest = [
        int(crop.rgb[int(y[c]) - 8 : int(y[c]) + 9, c].mean(axis=1).argmin()) + int(y[c]) - 8 - y[c] for c in flat
    ]
    assert len(flat) > 100
    assert abs(np.median(darkest)) < 1.0


def test_strewn_names_leave_the_line_as_it_is(page) -> None:
    busy = overprinted(np.random.default_rng(9), page)
    assert len(busy.texts) > len(page.texts) + 5
    assert busy.strokes == page.strokes
    assert busy.layout == page.layout


def test_middle_half_keeps_line_and_picture_together(page) -> None:
    crop = draw_crop(np.random.default_rng(10), page)
    rgb, y = middle_half(torch.from_numpy(crop.rgb[None]), torch.from_numpy(crop.y_px[None]))
    assert rgb.shape == (1, STRIP_PX // 2, CROP_PX, 3)
    there = torch.isfinite(y[0])
    np.testing.assert_allclose(y[0][there].numpy() + STRIP_PX // 4, crop.y_px[there.numpy()])
    torch.testing.assert_close(rgb[0, 0], torch.from_numpy(crop.rgb[STRIP_PX // 4]))


def test_row_curve_is_the_signal(page) -> None:
    panel = page.layout.panels[0]
    x = np.linspace(panel.x0_mm + 1, panel.x1_mm - 1, 200)
    y = row_curve(page, panel.row, x)
    mv = np.interp((x - panel.x0_mm) / 25.0 * 500, np.arange(page.mv.shape[1]), page.mv[0])
    np.testing.assert_allclose((panel.baseline_mm - y) / 10, mv, atol=1e-3)


def test_loss_is_smallest_at_the_truth() -> None:
    y = torch.full((1, 40), 200.3)
    rows = torch.arange(STRIP_PX, dtype=torch.float32)[:, None]

    def loss(at: float) -> float:
        entropy, decoded = line_loss((-0.5 * ((rows - at) / 1.2) ** 2).expand(1, STRIP_PX, 40), y, 1.2)
        return float(entropy + decoded)

    assert loss(200.3) < loss(201.0) < loss(204.0)


def test_crop_db_knows_its_answer() -> None:
    truth = np.sin(np.linspace(0, 20, 512)).astype(np.float32)
    error = 0.1 * np.sign(np.sin(np.linspace(0.0, 300, 512)))
    expected = 10 * np.log10(np.var(truth) / np.var(error))
    assert crop_db((truth + error).astype(np.float32), truth) == pytest.approx(expected, abs=0.01)
    assert np.isnan(crop_db(truth, np.full(512, np.nan, np.float32)))


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_exported_file_is_the_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = TraceNetwork((8, 8, 8, 8, 8))
    with torch.no_grad():
        for weight in model.parameters():  # the exporter stores equal tensors, such as fresh normalisations, only once
            weight += 0.05 * torch.randn_like(weight)
    example = np.random.default_rng(0).integers(0, 255, (1, STRIP_PX, 64, 3), np.uint8)
    model.train()(torch.from_numpy(planes(example)))  # moves the running statistics away from their start
    assert export(model, example, tmp_path / "model.onnx") < 1e-3
    again = TraceNetwork((8, 8, 8, 8, 8))
    load_weights(again, tmp_path / "model.onnx")
    inputs = torch.from_numpy(planes(example))
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(inputs)[0], model.eval()(inputs)[0])
    with pytest.raises(ValueError, match="lacks the weights"):
        load_weights(TraceNetwork((8, 8, 8, 8, 8, 8)), tmp_path / "model.onnx")


def test_settled_normalisations_are_the_mean_of_all_batches() -> None:
    torch.manual_seed(0)
    model = TraceNetwork((8, 8, 8, 8, 8))
    strips = [torch.full((2, STRIP_PX, 64, 3), grey, dtype=torch.uint8) for grey in (40, 200)]
    means = []
    for strip in strips:
        settle(model, [strip])
        means.append(model.body.stem[1].running_mean.clone())
    settle(model, strips)
    torch.testing.assert_close(model.body.stem[1].running_mean, (means[0] + means[1]) / 2)
    assert model.body.stem[1].momentum == 0.1


def test_pacing_spikes_are_narrow_and_of_each_lead_s_height() -> None:
    spikes = pacing_spikes(np.random.default_rng(3), 5000, 500.0)
    at = np.flatnonzero(spikes[0])
    assert 8 <= len(at) <= 40
    assert len(np.unique(np.round(spikes[:, at[0]], 3))) == 12


def test_crowded_rows_stand_nearer() -> None:
    style = competition_style()
    nearer = crowded(np.random.default_rng(1), style)
    assert nearer.rows_mm[0] == style.rows_mm[0]
    assert 0.5 < (nearer.rows_mm[1] - nearer.rows_mm[0]) / (style.rows_mm[1] - style.rows_mm[0]) < 0.9


def test_a_few_steps_learn_one_crop(page) -> None:
    torch.manual_seed(0)
    crop = draw_crop(np.random.default_rng(12), page)
    model = TraceNetwork((8, 8, 8, 8, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    inputs, y = torch.from_numpy(planes(crop.rgb[None])), torch.from_numpy(crop.y_px[None])
    losses = []
    for _ in range(12):
        entropy, decoded = line_loss(model(inputs)[0], y, 1.2)
        optimizer.zero_grad()
        (entropy + decoded).backward()
        optimizer.step()
        losses.append(float(entropy.detach()))
    assert losses[-1] < losses[0] - 1.0
