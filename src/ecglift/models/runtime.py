"""Networks at work: a model is a folder with its card, ONNX Runtime is the only engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MODELS: Final = Path(__file__).parent
"""Holds one folder per network: ``model.onnx``, ``model.json`` (the card's values), ``README.md`` (the card)."""

_MOST_THREADS: Final = 4
"""More add little to networks of this size."""


class ModelError(RuntimeError):
    """A network's folder is incomplete or unreadable: an installation gone wrong, never a matter of the page."""


@dataclass(frozen=True)
class Model:
    """A network ready to run.

    ``card``: the values of ``model.json``; every number that belongs to the network (input size, scale, classes,
    version) stands there.
    ``inputs``, ``outputs``: their names in the file's order.
    """

    name: str
    card: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    _session: Any = field(repr=False, compare=False)

    @property
    def version(self) -> str:
        return str(self.card.get("version", "unknown"))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name for ``inputs`` by name; ValueError when a name is missing or unknown."""
        if set(inputs) != set(self.inputs):
            wanted, given = ", ".join(self.inputs), ", ".join(inputs) or "none"
            raise ValueError(f"model {self.name!r} takes inputs {wanted}; got {given}")
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return dict(zip(self.outputs, self._session.run(None, feed), strict=True))


def open_model(folder: Path) -> Model:
    """The network in ``folder``, one session on as many threads as OpenCV may use, four at most: the processes over
    which a batch spreads its pages have one each, a page alone has them all."""
    for name in ("model.onnx", "model.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing: model {folder.name!r} is not installed; reinstall ecglift")
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{folder / 'model.json'} is not readable as JSON ({error}); reinstall ecglift") from error

    import cv2
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(cv2.getNumThreads(), _MOST_THREADS)
    options.inter_op_num_threads = 1
    # Threads that wait for the next network awake would take the cores from what runs in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # A plan of all buffers for each size of picture takes a third more memory, and no less time.
    options.enable_mem_pattern = False
    _share_buffers()
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class of its own for every way in which a file can be bad.
        raise ModelError(f"{folder / 'model.onnx'} cannot be loaded ({error}); reinstall ecglift") from error
    return Model(
        folder.name,
        card,
        tuple(node.name for node in session.get_inputs()),
        tuple(node.name for node in session.get_outputs()),
        session,
    )


@cache
def _share_buffers() -> None:
    """One arena for the networks of this process, who never run at once: else each keeps the most that it ever took."""
    import onnxruntime

    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, -1, -1, -1))


@cache
def load(name: str) -> Model:
    """The network ``name`` that comes with the package, opened once per process. ModelError when it is not there."""
    if name not in names():
        raise ModelError(f"there is no model {name!r}; installed are: {', '.join(names()) or 'none'}")
    return open_model(MODELS / name)


def names() -> tuple[str, ...]:
    """The networks that come with the package, by name."""
    return tuple(sorted(folder.parent.name for folder in MODELS.glob("*/model.json")))


@cache
def versions() -> dict[str, str]:
    """Version of every network that comes with the package, from its card, without opening the network."""
    cards = {name: json.loads((MODELS / name / "model.json").read_text(encoding="utf-8")) for name in names()}
    return {name: str(card.get("version", "unknown")) for name, card in cards.items()}
