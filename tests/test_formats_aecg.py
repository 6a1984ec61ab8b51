import uuid
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ecglift.formats import save
from ecglift.formats.aecg import encode
from ecglift.leads import LEADS, lead_name
from ecglift.recording import Recording
from format_samples import covered, sheet, wave

V3 = "{urn:hl7-org:v3}"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
MDC = "2.16.840.1.113883.6.24"


def read(recording: Recording) -> ET.Element:
    return ET.fromstring(encode(recording, "page.xml")["page.xml"])


def sequences(element: ET.Element) -> list[ET.Element]:
    return element.findall(f".//{V3}sequence")


def put_back(root: ET.Element, n: int) -> tuple[np.ndarray, float]:
    """(12, n) mV and the sampling rate, read as the standard says: head + k·increment, origin + scale·digit."""
    unit = {"uV": 1e-3, "mV": 1.0}
    mv, fs_hz = np.full((12, n), np.nan), 0.0
    for group in root.findall(f".//{V3}sequenceSet"):
        time, *leads = group.findall(f"{V3}component/{V3}sequence")
        value = time.find(f"{V3}value")
        assert value.get(TYPE) == "GLIST_PQ"
        fs_hz = 1 / float(value.find(f"{V3}increment").get("value"))
        start = round(float(value.find(f"{V3}head").get("value")) * fs_hz)
        for lead in leads:
            value = lead.find(f"{V3}value")
            assert value.get(TYPE) == "SLIST_PQ"
            origin, scale = value.find(f"{V3}origin"), value.find(f"{V3}scale")
            digits = np.array(value.find(f"{V3}digits").text.split(), float)
            row = float(origin.get("value")) * unit[origin.get("unit")]
            row = row + digits * float(scale.get("value")) * unit[scale.get("unit")]
            name = lead_name(lead.find(f"{V3}code").get("code"))
            mv[LEADS.index(name), start : start + len(row)] = row
    return mv, fs_hz


def test_root_and_its_order() -> None:
    root = read(sheet())
    assert root.tag == f"{V3}AnnotatedECG"
    names = [child.tag.removeprefix(V3) for child in root]
    assert names == ["id", "code", "text", "effectiveTime", "componentOf", *["component"] * 5]
    assert root.find(f"{V3}code").attrib == {
        "code": "93000",
        "codeSystem": "2.16.840.1.113883.6.12",
        "codeSystemName": "CPT-4",
    }
    uuid.UUID(root.find(f"{V3}id").get("root"))


def test_one_series_for_each_printed_column() -> None:
    series = read(sheet()).findall(f"{V3}component/{V3}series")
    leads = [sorted({s.find(f"{V3}code").get("code") for s in sequences(one)} - {"TIME_RELATIVE"}) for one in series]
    assert leads == [
        ["MDC_ECG_LEAD_I", "MDC_ECG_LEAD_III"],
        ["MDC_ECG_LEAD_AVF", "MDC_ECG_LEAD_AVL", "MDC_ECG_LEAD_AVR"],
        ["MDC_ECG_LEAD_V1", "MDC_ECG_LEAD_V2", "MDC_ECG_LEAD_V3"],
        ["MDC_ECG_LEAD_V4", "MDC_ECG_LEAD_V5", "MDC_ECG_LEAD_V6"],
        ["MDC_ECG_LEAD_II"],
    ]
    assert all(one.find(f"{V3}code").get("code") == "RHYTHM" for one in series)
    heads = [float(one.find(f".//{V3}head").get("value")) for one in series]
    assert heads == [0, 2.5, 5, 7.5, 0]


def test_time_in_seconds_and_leads_in_mdc() -> None:
    for group in read(sheet()).findall(f".//{V3}sequenceSet"):
        time, *leads = sequences(group)
        assert time.find(f"{V3}code").attrib["code"] == "TIME_RELATIVE"
        assert time.find(f"{V3}code").attrib["codeSystem"] == "2.16.840.1.113883.5.4"
        increment = time.find(f"{V3}value/{V3}increment")
        assert increment.attrib == {"value": "0.002", "unit": "s"}
        assert all(lead.find(f"{V3}code").attrib["codeSystem"] == MDC for lead in leads)
        lengths = {len(lead.find(f"{V3}value/{V3}digits").text.split()) for lead in leads}
        assert len(lengths) == 1


@pytest.mark.parametrize("fs_hz", [256.0, 500.0, 1025.0])
@pytest.mark.parametrize("rhythms", [(), ("II",), ("II", "V1", "V5")])
def test_round_trip_invents_nothing(fs_hz: float, rhythms: tuple[str, ...]) -> None:
    recording = sheet(fs_hz, rhythms=rhythms)
    mv, read_fs_hz = put_back(read(recording), len(recording))
    assert read_fs_hz == pytest.approx(fs_hz, rel=1e-9)
    np.testing.assert_array_equal(np.isnan(mv), np.isnan(recording.mv))
    np.testing.assert_allclose(mv, recording.mv, atol=0.5e-3 + 1e-6)


def test_a_lost_stretch_divides_the_lead() -> None:
    recording = sheet()
    start, stop = covered(recording, "V2")
    series = read(recording).findall(f"{V3}component/{V3}series")[2]
    pieces = [
        len(s.find(f"{V3}value/{V3}digits").text.split())
        for s in sequences(series)
        if s.find(f"{V3}code").get("code") == "MDC_ECG_LEAD_V2"
    ]
    assert len(pieces) == 2
    assert sum(pieces) == stop - start - 60


def test_nobody_is_named_and_no_hour_is_made_up() -> None:
    root = read(sheet())
    for path in ("trialSubject", "clinicalTrial"):
        assert root.find(f".//{V3}{path}/{V3}id").attrib == {"nullFlavor": "UNK"}
    assert all(t.attrib == {"nullFlavor": "UNK"} for t in root.iter(f"{V3}effectiveTime"))


def test_provenance() -> None:
    text = encode(sheet(), "page.xml")["page.xml"].decode()
    root = ET.fromstring(text)
    assert "Prüfung 1.png" in root.find(f"{V3}text").text
    assert root.find(f".//{V3}manufacturedSeriesDevice/{V3}softwareName").text.startswith("ecglift ")
    assert f'"sha256":"{"ab" * 32}"' in text


@pytest.mark.parametrize("fs_hz", [500.0, 1025.0])
def test_an_independent_reader_agrees(fs_hz: float, tmp_path: Path) -> None:
    """On a sheet whose leads share one column, as ecgdatakit reads the first series of a file only."""
    ecgdatakit = pytest.importorskip("ecgdatakit")
    n = round(10 * fs_hz)
    mv = np.stack([wave(lead, n, fs_hz) for lead in LEADS])
    path = save(Recording(fs_hz, mv, np.ones((12, n))), tmp_path / "page.xml")
    read = ecgdatakit.FileParser().parse(path)
    assert [lead.label for lead in read.leads] == list(LEADS)
    for lead, row in zip(read.leads, mv, strict=True):
        assert lead.sampling_rate == pytest.approx(fs_hz)
        assert lead.units == "mV"
        np.testing.assert_allclose(lead.samples, row, atol=0.5e-3 + 1e-6)
