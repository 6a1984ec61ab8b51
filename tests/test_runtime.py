"""A network is a folder; the runtime opens it once, on the threads it may have, and says clearly what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecglift.models import runtime
from ecglift.models.runtime import ModelError, load, names, open_model, versions
from ecglift.models.strip import STRIP_PX, line_of, log_softmax
from ecglift.pixels import planes


@pytest.fixture
def doubler(tmp_path: Path) -> Path:
    """A network's folder whose answer is twice its input."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    folder = tmp_path / "doubler"
    folder.mkdir()
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubler", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "model.json").write_text(json.dumps({"version": "7", "scale": 2}))
    return folder


def test_runs_by_name_and_keeps_its_card(doubler: Path) -> None:
    model = open_model(doubler)
    assert (model.name, model.version, model.card["scale"]) == ("doubler", "7", 2)
    out = model.run({"x": np.array([1, 2, 3], np.float32)[::-1]})
    np.testing.assert_array_equal(out["y"], [6, 4, 2])


@pytest.mark.parametrize(("allowed", "used"), [(1, 1), (2, 2), (16, 4)])
def test_session_uses_the_threads_that_opencv_may(doubler: Path, allowed: int, used: int) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(allowed)
    try:
        options = open_model(doubler)._session.get_session_options()
    finally:
        cv2.setNumThreads(before)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (used, 1)


def test_wrong_input_names_are_a_bad_call(doubler: Path) -> None:
    with pytest.raises(ValueError, match="takes inputs x; got z"):
        open_model(doubler).run({"z": np.zeros(1, np.float32)})


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_missing_file_is_named(doubler: Path, name: str) -> None:
    (doubler / name).unlink()
    with pytest.raises(ModelError, match=name):
        open_model(doubler)


@pytest.mark.parametrize("name", ["model.onnx", "model.json"])
def test_damaged_file_is_named(doubler: Path, name: str) -> None:
    (doubler / name).write_bytes(b"\x00 not a model")
    with pytest.raises(ModelError, match=name):
        open_model(doubler)


def test_load_opens_once_and_knows_what_is_installed(doubler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MODELS", doubler.parent)
    load.cache_clear()
    versions.cache_clear()
    try:
        assert names() == ("doubler",)
        assert versions() == {"doubler": "7"}
        assert load("doubler") is load("doubler")
        with pytest.raises(ModelError, match="no model 'tripler'; installed are: doubler"):
            load("tripler")
    finally:
        load.cache_clear()
        versions.cache_clear()


def test_every_model_of_the_package_is_whole() -> None:
    for name in names():
        model = load(name)
        assert model.version != "unknown", name
        folder = runtime.MODELS / name
        assert (folder / "README.md").is_file(), name
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 8_000_000, name


def test_trace_in_8_bits_reads_what_its_weights_read() -> None:
    import onnxruntime

    rng = np.random.default_rng(4)
    height = 250 + 60 * np.sin(np.linspace(0, 20, 256)) + rng.normal(0, 2, 256).cumsum() / 3
    dark = np.abs(np.arange(STRIP_PX)[:, None] - height) < 2
    strip = planes(np.where(dark[..., None], 40, 235).astype(np.uint8)[None].repeat(3, axis=-1))
    whole = onnxruntime.InferenceSession(str(runtime.MODELS / "trace" / "weights.onnx"))
    exact, line = whole.run(["line"], {"rgb": strip})[0][0], load("trace").run({"rgb": strip})["line"][0]
    (y, _), (read, _) = (line_of(log_softmax(logits)) for logits in (exact, line))
    assert np.abs(read - y).max() < 0.5
    assert np.abs(read[::2] - height)[4:-4].mean() < 1.0
