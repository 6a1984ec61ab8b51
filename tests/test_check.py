"""The relations between leads find what is wrong, and mend only noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf

from ecglift.leads import LEAD_INDEX, LIMB_BASIS, LIMB_LEADS, LIMB_RELATIONS, limb_leads_from
from ecglift.paper import Layout, Panel
from ecglift.recording import Recording
from ecglift.stages.check import RELATIONS, check, correct, residual, shifted, sigma_mv

FS_HZ = 500.0
T = np.arange(5000) / FS_HZ
LAYOUT = Layout("12x1", (Panel("II", 0, 0, 0, 250, 50),))


def heart(seed: int = 1) -> np.ndarray:
    """(12, 5000) mV of smooth beats whose limb leads obey their relations."""
    rng = np.random.default_rng(seed)
    phase = T % 0.83
    shapes = ((0.2, 0.02), (0.36, 0.011), (0.385, 0.011), (0.6, 0.04))
    waves = np.array([np.exp(-0.5 * ((phase - m) / s) ** 2) for m, s in shapes])
    heights = np.array([[0.1, 0.9, -0.2, 0.25], [0.15, 1.3, 0.1, 0.35]])
    return np.concatenate([limb_leads_from(*(heights @ waves)), rng.uniform(-1, 1, (6, 4)) @ waves])


def printed(mv: np.ndarray, sigma: float = 0.005, layout: str = "3x4+1") -> Recording:
    seen = np.ones((12, 5000), bool)
    if layout == "3x4+1":
        seen = np.arange(12)[:, None] // 3 == np.arange(5000)[None] // 1250
        seen[1] = True
    confidence = np.where(seen, erf(0.02 / (np.sqrt(2) * sigma)), 0)
    return Recording(FS_HZ, np.where(seen, mv, np.nan), confidence)


def error(truth: np.ndarray, rec: Recording) -> float:
    """Root mean square error in mV over the limb leads, zero lines aside."""
    out = []
    for k in range(6):
        seen = np.isfinite(rec.mv[k])
        e = rec.mv[k][seen] - truth[k][seen]
        out.append(e - e.mean())
    return float(np.sqrt(np.mean(np.concatenate(out) ** 2)))


def test_every_relation_holds_for_every_heart() -> None:
    for relation in RELATIONS:
        np.testing.assert_allclose(np.array(relation.weights) @ LIMB_BASIS, 0, atol=1e-12)
        assert len(relation.rows) == 3
    np.testing.assert_allclose(LIMB_RELATIONS @ LIMB_BASIS, 0, atol=1e-12)


def test_a_clean_recording_passes_everything_it_can() -> None:
    checks = check(printed(heart()), LAYOUT, pulse_height_mm=10.1)
    verdicts = {c.name: c.verdict for c in checks.checks}
    assert verdicts["einthoven"] == verdicts["goldberger"] == verdicts["strip"] == "passed"
    assert verdicts["names"] == verdicts["amplitude"] == verdicts["pulse"] == "passed"
    assert verdicts["avr"] == "not possible"
    assert checks["einthoven"].value < -60
    assert checks.problems == ()
    with pytest.raises(KeyError):
        checks["colour"]


def test_rows_that_start_apart_are_aligned_first() -> None:
    mv = heart()
    moved = mv.copy()
    moved[2] = np.interp(T + 0.004, T, mv[2])
    found = residual(printed(moved).mv.astype(float), FS_HZ, RELATIONS[0])
    assert found is not None
    assert found.aligned_db < found.db - 15
    relative = found.lags_s - found.lags_s[0]
    assert abs(relative[2] + 0.004) < 0.001  # III was drawn 4 ms early and has to be read as much earlier


@pytest.mark.parametrize(("a", "b"), [("I", "II"), ("II", "III")])
def test_exchanged_names_are_suspected(a: str, b: str) -> None:
    mv = heart()
    i, j = LEAD_INDEX[a], LEAD_INDEX[b]
    mv[[i, j]] = mv[[j, i]]
    checks = check(printed(mv, layout="12x1"), LAYOUT)
    assert checks["einthoven"].verdict == checks["names"].verdict == "failed"
    assert f"{b} named {a}" in checks["names"].words
    assert {p.code for p in checks.problems} >= {"check-einthoven", "check-names"}


def test_an_inverted_avr_is_suspected() -> None:
    mv = heart()
    mv[3] *= -1
    checks = check(printed(mv), LAYOUT)
    assert checks["goldberger"].verdict == "failed"
    assert "aVR turned upside down" in checks["names"].words


def test_noise_that_the_confidence_knows_is_no_fault() -> None:
    mv = heart() + 0.06 * np.random.default_rng(0).standard_normal((12, 5000))
    known, unknown = check(printed(mv, 0.06), LAYOUT), check(printed(mv, 0.003), LAYOUT)
    assert known["einthoven"].verdict != "failed"
    assert "expect" in known["einthoven"].words
    assert "expect" not in unknown["einthoven"].words


def test_a_wrong_gain_a_wrong_pulse_and_a_flat_line_are_seen() -> None:
    assert check(printed(heart() * 20), LAYOUT)["amplitude"].verdict == "failed"
    assert check(printed(heart()), LAYOUT, pulse_height_mm=5)["pulse"].verdict == "failed"
    flat = heart()
    flat[8] = 0
    assert "V3: flat" in check(printed(flat), LAYOUT)["amplitude"].words


def test_doubled_leads_are_judged_by_what_the_signal_stage_measured() -> None:
    rec = printed(heart())
    quality = {"double_lag_ms_II": 1.0, "double_correlation_II": 0.99, "double_gain_II": 1.01}
    assert check(replace(rec, quality=quality), LAYOUT)["double-II"].verdict == "passed"
    assert check(replace(rec, quality=quality | {"double_gain_II": 2.0}), LAYOUT)["double-II"].verdict == "doubtful"
    other = check(replace(rec, quality=quality | {"double_correlation_II": 0.3}), LAYOUT)["double-II"]
    assert other.verdict == "doubtful"
    assert "another lead" in other.words


@pytest.mark.parametrize("layout", ["3x4+1", "12x1"])
@pytest.mark.parametrize("sigma", [0.005, 0.02])
def test_correction_takes_noise_out(layout: str, sigma: float) -> None:
    truth = heart()
    rec = printed(truth + sigma * np.random.default_rng(4).standard_normal((12, 5000)), sigma, layout)
    out = correct(rec, check(rec, LAYOUT))
    assert error(truth, out) < 0.85 * error(truth, rec)
    np.testing.assert_array_equal(out.mv[6:], rec.mv[6:])
    np.testing.assert_array_equal(np.isnan(out.mv), np.isnan(rec.mv))
    assert (out.confidence >= rec.confidence - 1e-6).all()


def test_correction_leaves_faults_alone() -> None:
    """A stain on one lead must not be spread over the two others, and failed relations stop everything."""
    truth = heart()
    stained = truth + 0.004 * np.random.default_rng(4).standard_normal((12, 5000))
    stained[0, 600:640] += 0.4
    rec = printed(stained, 0.005)
    out = correct(rec, check(rec, LAYOUT))
    np.testing.assert_allclose(out.mv[2, 610:630], rec.mv[2, 610:630], atol=1e-3)
    wrong = printed(np.concatenate([truth[[1, 0, 2, 3, 4, 5]], truth[6:]]))
    assert correct(wrong, check(wrong, LAYOUT)) is wrong


@pytest.mark.parametrize(("lead", "moment"), [(2, 600), (1, 1700), (4, 2300)])
def test_a_complex_read_from_another_row_is_mended_by_its_fellows(lead: int, moment: int) -> None:
    """50 ms that strayed by millivolts, and whose confidence says so, must neither stay nor stop the correction."""
    truth = heart()
    strayed = truth + 0.004 * np.random.default_rng(4).standard_normal((12, 5000))
    strayed[lead, moment : moment + 25] += 4.0
    rec = printed(strayed, 0.005)
    doubted = rec.confidence.copy()
    doubted[lead, moment : moment + 25] = 0.02
    rec = replace(rec, confidence=doubted)
    checks = check(rec, LAYOUT)
    assert not checks.problems
    out = correct(rec, checks)
    left = out.mv[lead, moment : moment + 25] - truth[lead, moment : moment + 25]
    assert np.abs(left - left.mean()).max() < 0.05
    assert error(truth, out) < 0.01
    assert out.confidence[lead, moment + 10] > 0.5


@pytest.mark.parametrize("lead", range(6))
def test_of_six_limb_leads_one_that_strayed_is_found_however_sure_it_was(lead: int) -> None:
    """120 ms off by millivolts, with full confidence: a relation fails, but for a few moments only, and five others say
    which lead it is; of three nobody can."""
    truth = heart()
    strayed = truth + 0.004 * np.random.default_rng(4).standard_normal((12, 5000))
    strayed[lead, 600:660] += 3.0
    rec = printed(strayed, 0.005, layout="12x1")
    checks = check(rec, LAYOUT)
    assert checks.problems
    assert {f"check-{name}" for name in checks.local} == {problem.code for problem in checks.problems}
    out = correct(rec, checks)
    inside = slice(615, 645)
    others = [k for k in range(6) if k != lead]
    assert np.abs(out.mv[lead, inside] - truth[lead, inside]).max() < 0.1
    np.testing.assert_allclose(out.mv[others, inside], truth[others, inside], atol=0.05)
    three = printed(strayed, 0.005)  # the second column has other leads
    np.testing.assert_allclose(correct(three, check(three, LAYOUT)).mv[:3, inside], three.mv[:3, inside], atol=0.02)


def test_shifting_back_and_forth_returns_the_signal() -> None:
    row = heart()[1]
    row[:100] = np.nan
    back = shifted(shifted(row, T, 0.0031), T, -0.0031)
    inside = np.isfinite(back)
    assert inside.sum() > 4850
    np.testing.assert_allclose(back[inside], row[inside], atol=1e-3)


def test_sigma_and_confidence_are_inverse() -> None:
    sigma = np.array([0.005, 0.02, 0.1])
    np.testing.assert_allclose(sigma_mv(erf(0.02 / (np.sqrt(2) * sigma))), sigma, rtol=1e-3)
    assert sigma_mv(np.array([0.0, 1.0])).tolist() == [1.0, pytest.approx(0.0033, abs=1e-3)]


def test_the_limb_leads_come_first() -> None:
    assert tuple(LEAD_INDEX[lead] for lead in LIMB_LEADS) == tuple(range(6))
