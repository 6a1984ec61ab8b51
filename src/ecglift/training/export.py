"""From a trained network to an ONNX file that is checked at once, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ecglift.models.strip import network_input
from ecglift.training.network import TraceNetwork

_INPUT, _OUTPUTS = "rgb", ["line", "presence"]


def export(model: TraceNetwork, example: NDArray[np.uint8], path: Path) -> float:
    """Write ``path`` and return the largest difference in probability between it and torch on ``example`` (n, STRIP_PX, w, 3).

    Batch normalisation is kept as it is (ONNX Runtime folds it on loading), so that the file can be trained on from.
    """
    import onnxruntime

    model = model.to("cpu").float().eval()
    inputs = torch.from_numpy(network_input(example))
    torch.onnx.export(
        model, (inputs,), str(path), input_names=[_INPUT], output_names=_OUTPUTS, dynamo=False, opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
        dynamic_axes={_INPUT: {0: "n", 3: "w"}, "line": {0: "n", 2: "columns"}, "presence": {0: "n", 1: "columns"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    line, presence = session.run(None, {_INPUT: inputs.numpy()})
    with torch.no_grad():
        want_line, want_presence = model(inputs)
    p = torch.from_numpy(line).softmax(1)
    worst = float(max((p - want_line.softmax(1)).abs().max(), (torch.from_numpy(presence) - want_presence).sigmoid().sub(0.5).abs().max()))
    if worst > 1e-2:
        raise RuntimeError(f"{path}: ONNX Runtime and torch differ by {worst:.2g} in probability")
    return worst


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Fill ``model`` from a torch checkpoint or from the initializers of an exported ONNX file."""
    if path.suffix != ".onnx":
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return
    import onnx
    from onnx import numpy_helper

    stored = {t.name: numpy_helper.to_array(t).copy() for t in onnx.load(str(path)).graph.initializer}
    state = model.state_dict()
    missing = [name for name in state if name not in stored and not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path} lacks the weights {', '.join(missing[:5])}")
    model.load_state_dict({name: torch.from_numpy(stored[name]) if name in stored else state[name] for name in state})
