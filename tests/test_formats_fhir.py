import json

import numpy as np
import pytest

from ecglift.formats.fhir import encode
from ecglift.leads import LEADS
from ecglift.recording import Recording
from format_samples import sheet

CODES = {
    "131329": "I",
    "131330": "II",
    "131389": "III",
    "131390": "aVR",
    "131391": "aVL",
    "131392": "aVF",
    **{str(131330 + k): f"V{k}" for k in range(1, 7)},
}


def read(recording: Recording) -> dict:
    return json.loads(encode(recording, "page.json")["page.json"])


def put_back(observation: dict) -> tuple[np.ndarray, float]:
    """(12, n) mV and the rate, as the specification says: origin + factor · value, period in ms."""
    rows, period = {}, 0.0
    for component in observation["component"]:
        sampled = component["valueSampledData"]
        values = [np.nan if v == "E" else float(v) for v in sampled["data"].split(" ")]
        assert sampled["origin"]["code"] == "mV"
        rows[CODES[component["code"]["coding"][0]["code"]]] = (
            sampled["origin"]["value"] + np.array(values) * sampled["factor"]
        )
        period = sampled["period"]
    n = len(next(iter(rows.values())))
    return np.stack([rows.get(lead, np.full(n, np.nan)) for lead in LEADS]), 1000 / period


def test_it_is_a_valid_r4_observation() -> None:
    pytest.importorskip("fhir.resources")
    from fhir.resources.R4B.observation import Observation

    checked = Observation.model_validate_json(encode(sheet(), "page.json")["page.json"])
    assert len(checked.component) == 12
    assert checked.code.coding[0].code == "131328"


def test_codes_are_those_of_the_specifications_example() -> None:
    observation = read(sheet())
    system = "urn:oid:2.16.840.1.113883.6.24"
    coding = [{"system": system, "code": "131328", "display": "MDC_ECG_ELEC_POTL"}]
    assert observation["code"]["coding"] == coding
    found = [component["code"]["coding"][0] for component in observation["component"]]
    assert {c["system"] for c in found} == {system}
    assert [CODES[c["code"]] for c in found] == list(LEADS)
    assert found[3]["display"] == "MDC_ECG_ELEC_POTL_AVR"


def test_sampled_data() -> None:
    for component in read(sheet())["component"]:
        sampled = component["valueSampledData"]
        assert sampled["dimensions"] == 1
        assert sampled["period"] == 2
        assert sampled["factor"] == 0.001
        assert sampled["origin"]["system"] == "http://unitsofmeasure.org"
        assert len(sampled["data"].split(" ")) == 5000


@pytest.mark.parametrize("fs_hz", [256.0, 500.0, 1025.0])
def test_round_trip_invents_nothing(fs_hz: float) -> None:
    recording = sheet(fs_hz)
    mv, read_fs_hz = put_back(read(recording))
    assert read_fs_hz == pytest.approx(fs_hz, rel=1e-8)
    np.testing.assert_array_equal(np.isnan(mv), np.isnan(recording.mv))
    np.testing.assert_allclose(mv, recording.mv, atol=0.5e-3 + 1e-6)


def test_a_lead_that_is_not_printed_has_no_component() -> None:
    mv = np.full((12, 10), np.nan)
    mv[1] = 0
    (component,) = read(Recording(500, mv, np.zeros((12, 10))))["component"]
    assert component["code"]["text"] == "II"


def test_nobody_is_named_and_no_hour_is_made_up() -> None:
    assert not {"subject", "effectiveDateTime", "issued", "performer"} & set(read(sheet()))


def test_status_and_provenance() -> None:
    observation = read(sheet())
    assert observation["status"] == "preliminary"  # the sample's gain was assumed
    assert observation["device"]["display"].startswith("ecglift ")
    assert "Prüfung 1.png" in observation["derivedFrom"][0]["display"]
    assert json.loads(observation["note"][0]["text"])["provenance"]["sha256"] == "ab" * 32
    assert read(Recording(500, np.zeros((12, 9)), np.ones((12, 9))))["status"] == "final"
