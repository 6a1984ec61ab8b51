"""From a trained network to an ONNX file that is checked at once, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ecglift.pixels import planes
from ecglift.training.network import TraceNetwork

_INPUT, _OUTPUTS = "rgb", ["line", "presence"]


def write_onnx(
    model: torch.nn.Module,
    inputs: torch.Tensor,
    path: Path,
    outputs: Sequence[str],
    dynamic_axes: dict[str, dict[int, str]],
    input_name: str = _INPUT,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Write ``path``; (answers of torch, answers of ONNX Runtime) to ``inputs``, to be compared by whoever knows what
    they mean.

    Batch normalisation is kept as it is (ONNX Runtime folds it on loading), so that the file can be trained on from.
    """
    import onnxruntime

    torch.onnx.export(
        model, (inputs,), str(path), input_names=[input_name], output_names=list(outputs), opset_version=17,
        dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False, dynamic_axes=dynamic_axes,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = [torch.from_numpy(a) for a in session.run(None, {input_name: inputs.numpy()})]
    with torch.no_grad():
        answer = model(inputs)
    want = [answer] if isinstance(answer, torch.Tensor) else list(answer)
    return want, got


def write_checked(
    model: torch.nn.Module,
    inputs: torch.Tensor,
    path: Path,
    output: str,
    dynamic_axes: dict[str, dict[int, str]],
    input_name: str,
    most: float = 1e-3,
) -> float:
    """Write ``path`` with one ``output`` and return the largest difference between it and torch on ``inputs``;
    RuntimeError where that is more than ``most``."""
    want, got = write_onnx(model, inputs, path, [output], dynamic_axes, input_name)
    worst = float((want[0] - got[0]).abs().max())
    if worst > most:
        raise RuntimeError(f"{path}: ONNX Runtime and torch differ by {worst:.2g}")
    return worst


def export(model: TraceNetwork, example: NDArray[np.uint8], path: Path) -> float:
    """Write ``path`` and return the largest difference in probability between it and torch on ``example`` (n,
    STRIP_PX, w, 3)."""
    model = model.to("cpu").float().eval()
    axes = {_INPUT: {0: "n", 3: "w"}, "line": {0: "n", 2: "columns"}, "presence": {0: "n", 1: "columns"}}
    want, got = write_onnx(model, torch.from_numpy(planes(example)), path, _OUTPUTS, axes)
    worst = float(
        max((got[0].softmax(1) - want[0].softmax(1)).abs().max(), (got[1] - want[1]).sigmoid().sub(0.5).abs().max())
    )
    if worst > 1e-2:
        raise RuntimeError(f"{path}: ONNX Runtime and torch differ by {worst:.2g} in probability")
    return worst


def has_bfloat16(device: str) -> bool:
    """Whether ``device`` multiplies in bfloat16 by itself; where it does not, the emulation is ten times slower than
    float32."""
    cpu = torch.cpu
    return device != "cpu" or bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def stored_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights by name in a torch checkpoint or in the initializers of an exported ONNX file."""
    if path.suffix != ".onnx":
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    import onnx
    from onnx import numpy_helper

    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}
    return {
        name: torch.from_numpy(a.astype(np.float32 if a.dtype == np.float16 else a.dtype)) for name, a in stored.items()
    }


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Fill ``model`` from a torch checkpoint or from the initializers of an exported ONNX file."""
    state, stored = model.state_dict(), stored_weights(path)
    missing = [name for name in state if name not in stored and not name.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path} lacks the weights {', '.join(missing[:5])}")
    model.load_state_dict({name: stored.get(name, state[name]) for name in state})
