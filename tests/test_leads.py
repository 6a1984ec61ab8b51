"""Names of leads as people and machines write them, and the relations that hold between the leads."""

from __future__ import annotations

import numpy as np
import pytest

from ecglift.leads import LEADS, LIMB_RELATIONS, lead_name, limb_leads_from, polarity


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("II", "II"),
        ("avr", "aVR"),
        ("a VL", "aVL"),
        ("AVF", "aVF"),
        ("VF", "aVF"),
        ("v1", "V1"),
        ("C4", "V4"),
        ("D II", "II"),
        ("Lead III", "III"),
        ("Abl. I", "I"),
        ("MDC_ECG_LEAD_V6", "V6"),
        ("2", "II"),
    ],
)
def test_usual_spellings(written: str, name: str) -> None:
    assert lead_name(written) == name


@pytest.mark.parametrize("written", ["", "V7", "V10", "IV", "X", "aVX", "25 mm/s", "-aVR"])
def test_what_is_no_lead_is_none(written: str) -> None:
    assert lead_name(written) is None


@pytest.mark.parametrize("sign", ["-", "−", "–"])
def test_cabrera_prints_avr_upside_down(sign: str) -> None:
    assert polarity(f"{sign}aVR") == ("aVR", -1)
    assert polarity("aVR") == ("aVR", 1)


def test_limb_leads_from_two_obey_every_relation() -> None:
    rng = np.random.default_rng(0)
    limb = limb_leads_from(*rng.normal(size=(2, 100)))
    np.testing.assert_allclose(LIMB_RELATIONS @ limb, 0, atol=1e-12)
    assert limb.shape == (6, 100)
    assert LEADS[:6] == ("I", "II", "III", "aVR", "aVL", "aVF")
