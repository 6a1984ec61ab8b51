"""The mean of late weights, which is better than any of them."""

from __future__ import annotations

import torch
from torch import Tensor

_SOON = 10
"""Steps until a step keeps half of the mean: the first weights are like none of the last."""


class Average:
    """``weights`` by name: a running mean of a model's, of which a step keeps the share ``most``, less at first."""

    def __init__(self, model: torch.nn.Module, most: float) -> None:
        self.weights: dict[str, Tensor] = {name: v.detach().clone() for name, v in model.state_dict().items()}
        self._most, self._steps = most, 0

    def take(self, model: torch.nn.Module) -> None:
        """Add the model's weights after another step."""
        self._steps += 1
        keep = min(self._most, self._steps / (self._steps + _SOON))
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value, 1 - keep)
