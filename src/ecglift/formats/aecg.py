"""HL7 annotated ECG (aECG) XML, one series for each printed column.

A series holds sequence sets; each is one time sequence (GLIST_PQ: head and increment in s, from the left edge of the
print, as the hour of the recording is not known) and one SLIST_PQ a lead (origin 0, scale 1 µV, digits). A list of
digits cannot leave a sample out, so a lead whose line was lost for a while gives one sequence set per unbroken stretch.
HL7 v3 Annotated ECG, R1; codes of the leads: ISO 11073-10102, system 2.16.840.1.113883.6.24.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Final
from xml.etree import ElementTree as ET

from ecglift.formats.columns import Column, microvolts, printed_columns, runs
from ecglift.formats.metadata import metadata_json, software, summary
from ecglift.leads import LEAD_INDEX
from ecglift.recording import Recording

NAMESPACE: Final = "urn:hl7-org:v3"
MDC: Final = "2.16.840.1.113883.6.24"
ACT_CODE: Final = "2.16.840.1.113883.5.4"
CPT_4: Final = "2.16.840.1.113883.6.12"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``. ValueError for a recording without samples."""
    columns = printed_columns(recording)
    root = ET.Element("AnnotatedECG", {"xmlns": NAMESPACE, "xmlns:xsi": _XSI, "type": "Observation"})
    ET.SubElement(root, "id", root=_identifier())
    ET.SubElement(root, "code", code="93000", codeSystem=CPT_4, codeSystemName="CPT-4")
    told = "; ".join(f"{key}: {text}" for key, text in summary(recording).items())
    ET.SubElement(root, "text").text = f"ECG digitized from print. {told}"
    ET.SubElement(root, "effectiveTime", nullFlavor="UNK")
    _nobody(root)
    root.append(ET.Comment(_comment(metadata_json(recording))))
    for column in columns:
        component = ET.SubElement(root, "component")
        component.append(_series(recording, column))
    ET.indent(root)
    return {name: ET.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"}


def _nobody(root: ET.Element) -> None:
    """The subject and the trial that the schema asks for, unknown."""
    timepoint = ET.SubElement(ET.SubElement(root, "componentOf"), "timepointEvent")
    assignment = ET.SubElement(ET.SubElement(timepoint, "componentOf"), "subjectAssignment")
    trial_subject = ET.SubElement(ET.SubElement(assignment, "subject"), "trialSubject")
    ET.SubElement(trial_subject, "id", nullFlavor="UNK")
    trial = ET.SubElement(ET.SubElement(assignment, "componentOf"), "clinicalTrial")
    ET.SubElement(trial, "id", nullFlavor="UNK")


def _series(recording: Recording, column: Column) -> ET.Element:
    series = ET.Element("series")
    ET.SubElement(series, "id", root=_identifier())
    ET.SubElement(series, "code", code="RHYTHM", codeSystem=ACT_CODE, codeSystemName="ActCode")
    ET.SubElement(series, "effectiveTime", nullFlavor="UNK")
    author = ET.SubElement(ET.SubElement(series, "author"), "seriesAuthor")
    device = ET.SubElement(author, "manufacturedSeriesDevice")
    ET.SubElement(device, "manufacturerModelName").text = "ecglift"
    ET.SubElement(device, "softwareName").text = software()
    stretches: dict[tuple[int, int], list[str]] = defaultdict(list)
    for lead in column.leads:
        for run in runs(recording[lead]):
            stretches[run].append(lead)
    for (start, stop), leads in sorted(stretches.items()):
        sequences = ET.SubElement(ET.SubElement(series, "component"), "sequenceSet")
        value = _sequence(sequences, "TIME_RELATIVE", ACT_CODE, "ActCode", "GLIST_PQ")
        ET.SubElement(value, "head", value=_number(start / recording.fs_hz), unit="s")
        ET.SubElement(value, "increment", value=_number(1 / recording.fs_hz), unit="s")
        for lead in leads:
            value = _sequence(sequences, f"MDC_ECG_LEAD_{lead.upper()}", MDC, "MDC", "SLIST_PQ")
            ET.SubElement(value, "origin", value="0", unit="uV")
            ET.SubElement(value, "scale", value="1", unit="uV")
            samples = microvolts(recording.mv[LEAD_INDEX[lead], start:stop])
            ET.SubElement(value, "digits").text = " ".join(map(str, samples.tolist()))
    return series


def _sequence(sequences: ET.Element, code: str, system: str, system_name: str, kind: str) -> ET.Element:
    """The empty value of a new sequence."""
    sequence = ET.SubElement(ET.SubElement(sequences, "component"), "sequence")
    ET.SubElement(sequence, "code", code=code, codeSystem=system, codeSystemName=system_name)
    return ET.SubElement(sequence, "value", {"xsi:type": kind})


def _identifier() -> str:
    return str(uuid.uuid4())


def _number(value: float) -> str:
    return f"{value:.12g}"


def _comment(text: str) -> str:
    """``text`` as a comment may hold it: XML forbids two hyphens in a row there, JSON knows an escape for one."""
    return " ecglift " + text.replace("--", "-\\u002d") + " "
