"""Training the grid network: crops with their waves, and an ONNX file that is also the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.press.capture import Capture, CaptureSettings, capture  # noqa: E402
from ecglift.press.compose import compose  # noqa: E402
from ecglift.press.noise import Noise  # noqa: E402
from ecglift.press.patients import simulate  # noqa: E402
from ecglift.press.style import competition_style  # noqa: E402
from ecglift.training.export import load_weights  # noqa: E402
from ecglift.training.grid_crops import (  # noqa: E402
    CROP_PX,
    GridCrop,
    captured_grid_crops,
    drawn_grid_crop,
    varied_grid,
)
from ecglift.training.gridlines import GridNetwork, export, prepared, validate, wave_loss  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def taken() -> Capture:
    rng = np.random.default_rng(3)
    patient = simulate(rng, rhythm="sinus", rate_bpm=70.0, noise=Noise())
    page = compose(rng, patient.mv, 500.0, competition_style())
    return capture(page, "clean", rng, CaptureSettings(px_per_mm=6.0, plain=True))


def _darker_on_lines(crop: GridCrop) -> float:
    """By how much the picture is darker (grey levels) where the waves are high than where they are low."""
    _, waves = prepared(crop)
    grey = crop.rgb.astype(float).min(-1)
    high, low = waves[0] > 90, (waves[0] < -90) & (waves[2] < -90)
    return float(np.mean(grey[low]) - np.mean(grey[high]))


def test_waves_of_crops_lie_on_the_grid(taken: Capture) -> None:
    crops = captured_grid_crops(np.random.default_rng(4), taken, 8)
    inside = [crop for crop in crops if np.mean(crop.waves.any(0)) > 0.8]
    assert len(inside) >= 3
    assert min(_darker_on_lines(crop) for crop in inside) > 2
    assert all(crop.rgb.shape == (CROP_PX, CROP_PX, 3) for crop in crops)


def test_drawn_crops_are_the_generators(taken: Capture) -> None:
    a, b = (drawn_grid_crop(np.random.default_rng(5), taken.page) for _ in range(2))
    assert (a.rgb == b.rgb).all()
    assert (a.waves == b.waves).all()


def test_variation_keeps_waves_and_picture_together(taken: Capture) -> None:
    crop = max(captured_grid_crops(np.random.default_rng(6), taken, 6), key=_darker_on_lines)
    for seed in range(8):
        assert _darker_on_lines(varied_grid(np.random.default_rng(seed), crop)) > 1


@pytest.mark.filterwarnings("ignore")  # the exporter's own deprecations
def test_a_few_steps_learn_and_the_exported_file_is_the_checkpoint(taken: Capture, tmp_path: Path) -> None:
    torch.manual_seed(0)
    crops = captured_grid_crops(np.random.default_rng(7), taken, 4)
    model = GridNetwork((8, 8, 8, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    inputs, waves = (torch.from_numpy(np.stack(a)) for a in zip(*(prepared(c) for c in crops), strict=True))
    losses = []
    for _ in range(80):
        loss = wave_loss(model(inputs), waves.float() / 127)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert validate(model, crops, "cpu")["heavy_told"] > 0.1
    assert export(model, crops, tmp_path / "model.onnx") < 1e-3
    again = GridNetwork((8, 8, 8, 8))
    load_weights(again, tmp_path / "model.onnx")
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(inputs), model.eval()(inputs))
