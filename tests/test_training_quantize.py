"""The trace network in 8 bits: near to what it was made from, whatever processor reads pages with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")
onnx = pytest.importorskip("onnx")

from ecglift.models.strip import STRIP_PX  # noqa: E402
from ecglift.pixels import planes  # noqa: E402
from ecglift.training.export import export, load_weights  # noqa: E402
from ecglift.training.network import TraceNetwork  # noqa: E402
from ecglift.training.quantize import quantize_checked, store_halved  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]  # the exporter's own deprecations


@pytest.fixture(scope="module")
def network() -> TraceNetwork:
    torch.manual_seed(0)
    model = TraceNetwork((16, 16, 16, 16, 16))
    with torch.no_grad():
        for weight in model.parameters():  # the exporter stores equal tensors, such as fresh normalisations, only once
            weight += 0.05 * torch.randn_like(weight)
        model.train()(torch.from_numpy(planes(_strips(1))))
    return model.eval()


@pytest.fixture(scope="module")
def weights(network: TraceNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "weights.onnx"
    export(network, _strips(1), path)
    return path


def _strips(n: int) -> np.ndarray:
    """Light paper with a dark line on it, (n, STRIP_PX, 64, 3)."""
    rng = np.random.default_rng(1)
    strips = rng.integers(180, 255, (n, STRIP_PX, 64, 3), np.uint8)
    for strip, row in zip(strips, rng.integers(100, 400, n), strict=True):
        strip[row : row + 4] = rng.integers(0, 90)
    return strips


def test_half_precision_takes_less_place_and_goes_on_from_there(network, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(weights.read_bytes())
    store_halved(path)
    assert path.stat().st_size < 0.8 * weights.stat().st_size
    again = TraceNetwork((16, 16, 16, 16, 16))
    load_weights(again, path)
    inputs = torch.from_numpy(planes(_strips(2)))
    with torch.no_grad():
        moved = (again.eval()(inputs)[0].softmax(1) - network(inputs)[0].softmax(1)).abs().sum(1) / 2
    assert float(moved.mean()) < 1e-3


def test_eight_bits_move_little_and_saturate_nowhere(weights: Path, tmp_path: Path) -> None:
    moved = quantize_checked("trace", weights, _strips(24), tmp_path / "model.onnx")
    assert 0 < moved < 0.05
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(tmp_path / "model.onnx")).graph.initializer}
    eights = [a for a in stored.values() if a.dtype == np.int8 and a.ndim == 4]
    assert len(eights) == 18
    assert max(int(np.abs(a.astype(int)).max()) for a in eights) <= 64


def test_too_few_strips_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 16 pictures"):
        quantize_checked("trace", weights, _strips(12), tmp_path / "model.onnx")
