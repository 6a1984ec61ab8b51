"""FHIR R4 Observation: one component a lead, each a SampledData in mV with "E" for a missing sample.

All components start at the left edge of the print, so that a lead of the third column begins with "E"s. Codes of ISO
11073-10102 (urn:oid:2.16.840.1.113883.6.24) as in the ECG example of the specification, hl7.org/fhir/R4/observation.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ecglift.formats.columns import MISSING, microvolts
from ecglift.formats.metadata import metadata_json, software, summary
from ecglift.leads import LEAD_INDEX
from ecglift.recording import Recording

SYSTEM: Final = "urn:oid:2.16.840.1.113883.6.24"
ECG_CODE: Final = "131328"
LEAD_CODES: Final[dict[str, str]] = {
    "I": "131329",
    "II": "131330",
    "III": "131389",
    "aVR": "131390",
    "aVL": "131391",
    "aVF": "131392",
    **{f"V{k}": str(131330 + k) for k in range(1, 7)},
}
UCUM: Final = "http://unitsofmeasure.org"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``. ValueError for a recording without samples."""
    return {name: (json.dumps(observation(recording), indent=1, allow_nan=False) + "\n").encode()}


def observation(recording: Recording) -> dict[str, Any]:
    """The Observation as plain JSON values. It names no subject and no time: neither is known from the signal."""
    if not recording.leads:
        raise ValueError("recording holds no sample; there is nothing to save as FHIR")
    told = "; ".join(f"{key}: {text}" for key, text in summary(recording).items())
    return {
        "resourceType": "Observation",
        "status": "preliminary" if recording.status == "partial" else "final",
        "category": [{"coding": [{"system": _CATEGORY, "code": "procedure", "display": "Procedure"}]}],
        "code": {"coding": [{"system": SYSTEM, "code": ECG_CODE, "display": "MDC_ECG_ELEC_POTL"}]},
        "device": {"display": software()},
        "method": {"text": "ECG digitized from print"},
        "derivedFrom": [{"display": told}],
        "note": [{"text": metadata_json(recording)}],
        "component": [_component(recording, lead) for lead in recording.leads],
    }


def _component(recording: Recording, lead: str) -> dict[str, Any]:
    samples = microvolts(recording.mv[LEAD_INDEX[lead]]).tolist()
    return {
        "code": {
            "coding": [{"system": SYSTEM, "code": LEAD_CODES[lead], "display": f"MDC_ECG_ELEC_POTL_{lead.upper()}"}],
            "text": lead,
        },
        "valueSampledData": {
            "origin": {"value": 0, "unit": "mV", "system": UCUM, "code": "mV"},
            "period": round(1000 / recording.fs_hz, 9),
            "factor": 0.001,
            "dimensions": 1,
            "data": " ".join("E" if value == MISSING else str(value) for value in samples),
        },
    }
