"""A network in 8-bit integers, two to three times as fast on a laptop's processor.

    python -m ecglift.training.quantize trace --start models/trace/weights.onnx --signals ../shared/data --out runs/8

makes ``out``/model.onnx anew from the weights of the trace or the word network; their training does the same at its
end. Nothing is learned: the ranges of the activations are measured on training crops.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ecglift.pixels import planes
from ecglift.training.signals import load_signals

_OPERATORS: Final = ("Conv", "Relu", "MaxPool", "Resize", "Concat")
_HEADS: Final = {"trace": (("/line/", "/presence/"), "line"), "words": (("/head/",), "word")}
"""By network: the beginnings of the names of nodes that stay in single precision, since their answer is a sharp
distribution; and the output of its logits, whose classes or rows are along axis 1."""

_MOST_MOVED: Final = 0.03
"""The part of the probability that 8 bits may put elsewhere; it is 0.01 for trace 0.6.0, 0.005 for words 0.4.0."""

_HALF_FROM: Final = 4096
"""Weights of so many values are stored in half precision in the file to train on from."""

_PICTURES: Final = 240
_AT_ONCE: Final = 8


def store_halved(path: Path) -> None:
    """Rewrite the ONNX file with its large weights in half precision, each under its name and followed by a cast: it
    still computes in single precision, and takes half the place."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _HALF_FROM:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
        whole = f"{tensor.name}.float"
        for node in graph.node:
            for k, name in enumerate(node.input):
                if name == tensor.name:
                    node.input[k] = whole
        casts.append(helper.make_node("Cast", [tensor.name], [whole], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def quantize(weights: Path, inputs: Sequence[dict[str, NDArray[Any]]], out: Path, kept: Sequence[str]) -> None:
    """Write ``out``, the network of ``weights`` with convolutions in 8 bits, weights by channel.

    ``inputs``: what it is given in use, all of one size; ``kept``: beginnings of the names of nodes that stay in single
    precision. Weights have 7 bits: sums of two products then fit
    into 16 bits, without which processors that have no VNNI would saturate, and pages would read differently there.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(inputs)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.rest, None)

    with TemporaryDirectory() as folder:
        folded = str(Path(folder) / "folded.onnx")
        options = onnxruntime.SessionOptions()
        # Normalisations become part of the convolutions before them, which are then measured as they run.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = folded
        onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(folded).graph.node
        logging.disable(logging.WARNING)  # it advises a preparation that was just done
        try:
            static(
                folded,
                str(out),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(_OPERATORS),
                nodes_to_exclude=[node.name for node in nodes if node.name.startswith(tuple(kept))],
                # Ranges that leave out the farthest in a hundred thousand cost clean pages 0.1 dB.
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.disable(logging.NOTSET)


def quantize_checked(network: str, weights: Path, pictures: Iterable[NDArray[np.uint8]], out: Path) -> float:
    """Write ``out`` from the ``weights`` of the trace or word ``network`` as it reads ``pictures``, each (h, w, 3), all
    of one size; the part of the probability, 0 to 1, that lies elsewhere than by ``weights``, on the last of them."""
    kept, answer = _HEADS[network]
    whole = [planes(np.stack(batch)) for batch in _batches(pictures, _AT_ONCE)]
    if len(whole) < 2:
        raise ValueError(f"at least {2 * _AT_ONCE} pictures are needed to measure on some and to check on others")
    *measured, checked = ({"rgb": batch} for batch in whole)
    quantize(weights, measured, out, kept)
    before, after = (_chances(path, checked, answer) for path in (weights, out))
    return float(np.abs(after - before).sum(axis=1).mean() / 2)


def finish(network: str, folder: Path, pictures: Iterable[NDArray[np.uint8]]) -> float:
    """The end of a training: ``folder``/weights.onnx stored in half the place, and model.onnx made from it, see
    :func:`quantize_checked`. RuntimeError where 8 bits move too much."""
    weights, out = folder / "weights.onnx", folder / "model.onnx"
    store_halved(weights)
    moved = quantize_checked(network, weights, pictures, out)
    if moved > _MOST_MOVED:
        raise RuntimeError(f"{out}: 8 bits move {100 * moved:.1f} % of the probability")
    return moved


def _batches(pictures: Iterable[NDArray[np.uint8]], size: int) -> Iterator[list[NDArray[np.uint8]]]:
    rest = iter(pictures)
    while len(batch := list(islice(rest, size))) == size:
        yield batch


def _chances(path: Path, inputs: dict[str, NDArray[np.float32]], answer: str) -> NDArray[np.float64]:
    """Probabilities along axis 1 of the network in ``path``."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(softmax(session.run([answer], inputs)[0].astype(float), axis=1))


def main() -> None:
    from ecglift.training import trace, words

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=tuple(_HEADS))
    parser.add_argument("--start", type=Path, required=True, help="the network's weights.onnx")
    parser.add_argument("--signals", type=Path, required=True, help="folder with signals.py")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    signals, out = load_signals(args.signals, "train"), args.out / "model.onnx"
    drawn: Iterable[tuple[NDArray[np.uint8], Any]] = (
        trace.Crops(signals, trace.Recipe()) if args.network == "trace" else words.Pieces(signals, words.Recipe())
    )
    moved = quantize_checked(args.network, args.start, (rgb for rgb, _ in islice(drawn, _PICTURES)), out)
    print(f"{out}: {100 * moved:.2f} % of the probability lies elsewhere than by {args.start}")


if __name__ == "__main__":
    main()
