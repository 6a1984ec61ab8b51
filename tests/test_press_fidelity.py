"""What a physician measures on the benchmark's pages."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.press.fidelity import QUANTITIES, clinical_errors, fidelity_table
from ecglift.press.patients import simulate
from ecglift.recording import Recording


def recording(mv: np.ndarray) -> Recording:
    return Recording(500.0, mv.astype(np.float32), np.isfinite(mv).astype(np.float32))


def test_the_truth_itself_has_no_errors() -> None:
    mv = simulate(np.random.default_rng(1), 500.0).mv
    errors = clinical_errors(mv, recording(mv))
    assert set(errors) == set(QUANTITIES)
    for name, values in errors.items():
        assert values, name
        assert all(v is not None and abs(v) < 0.01 for v in values), name


def test_a_lead_drawn_too_tall_shows_in_gain_and_r_amplitude() -> None:
    mv = simulate(np.random.default_rng(1), 500.0).mv
    errors = clinical_errors(mv, recording(1.1 * mv))
    assert errors["gain_percent"] == pytest.approx([10.0] * 12, abs=0.2)
    assert max(e for e in errors["r_uv"] if e is not None) > 50


def test_what_was_not_read_is_missed() -> None:
    mv = simulate(np.random.default_rng(1), 500.0).mv
    nothing = clinical_errors(mv, recording(np.full_like(mv, np.nan)))
    assert all(value is None for values in nothing.values() for value in values)
    table = fidelity_table({"clean": [clinical_errors(mv, recording(mv)), nothing]})
    cells = [cell.strip() for cell in table.splitlines()[2].split("|")[1:-1]]
    assert cells[:2] == ["clean", "0.0, 0.0 (+0.0), 50% missed"]
    assert len(cells) == 1 + len(QUANTITIES)
