"""The mean of late weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="tests of training need torch")

from ecglift.training.average import Average  # noqa: E402

pytestmark = pytest.mark.train


def test_the_first_weights_are_forgotten_and_late_ones_averaged() -> None:
    model = torch.nn.Linear(1, 1, bias=False)

    def step(value: float) -> float:
        with torch.no_grad():
            model.weight.fill_(value)
        average.take(model)
        return float(average.weights["weight"])

    with torch.no_grad():
        model.weight.fill_(100.0)
    average = Average(model, 0.9)
    assert step(0.0) == pytest.approx(100 / 11)
    for _ in range(200):
        last = step(0.0)
    assert last < 1e-6
    assert step(1.0) == pytest.approx(0.1, abs=1e-6)
    assert step(1.0) == pytest.approx(0.19, abs=1e-6)
    assert model.weight.item() == 1.0
