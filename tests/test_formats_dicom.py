import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecglift.formats import save
from ecglift.formats.dicom import encode
from ecglift.leads import LEADS
from ecglift.recording import Recording
from format_samples import sheet

pydicom = pytest.importorskip("pydicom")

CODES = {"2:1": "I", "2:2": "II", "2:61": "III", "2:62": "aVR", "2:63": "aVL", "2:64": "aVF"} | {
    f"2:{k + 2}": f"V{k}" for k in range(1, 7)
}


def read(recording: Recording):
    return pydicom.dcmread(io.BytesIO(encode(recording, "page.dcm")["page.dcm"]))


def leads_of(group) -> list[str]:
    return [CODES[c.ChannelSourceSequence[0].CodeValue] for c in group.ChannelDefinitionSequence]


def put_back(ds, recording: Recording) -> np.ndarray:
    """(12, n) mV from the file alone, each group where its time offset says."""
    mv = np.full(recording.mv.shape, np.nan)
    for index, group in enumerate(ds.WaveformSequence):
        start = round(float(group.MultiplexGroupTimeOffset) / 1000 * float(group.SamplingFrequency))
        samples = ds.waveform_array(index)  # µV: sensitivity and correction are applied
        if "WaveformPaddingValue" in group:
            samples[samples == np.frombuffer(group.WaveformPaddingValue, "<i2")[0]] = np.nan
        for lead, row in zip(leads_of(group), samples.T, strict=True):
            mv[LEADS.index(lead), start : start + len(row)] = row / 1000
    return mv


def test_it_is_a_twelve_lead_ecg() -> None:
    ds = read(sheet())
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.9.1.1"
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
    assert ds.Modality == "ECG"
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_each_printed_column_is_a_group_at_its_offset_and_the_rhythm_strip_one_more() -> None:
    groups = read(sheet()).WaveformSequence
    assert [leads_of(g) for g in groups] == [
        ["I", "III"],
        ["aVR", "aVL", "aVF"],
        ["V1", "V2", "V3"],
        ["V4", "V5", "V6"],
        ["II"],
    ]
    assert [float(g.MultiplexGroupTimeOffset) for g in groups] == [0, 2500, 5000, 7500, 0]
    assert [g.NumberOfWaveformSamples for g in groups] == [1250] * 4 + [5000]


def test_the_limits_of_the_object_are_kept() -> None:
    for fs_hz in (200.0, 500.0, 1000.0):
        groups = read(sheet(fs_hz)).WaveformSequence
        assert 1 <= len(groups) <= 5
        assert sum(g.NumberOfWaveformChannels for g in groups) <= 13
        assert all(g.NumberOfWaveformSamples <= 16384 for g in groups)
        assert all(200 <= float(g.SamplingFrequency) <= 1000 for g in groups)


@pytest.mark.parametrize("fs_hz", [100.0, 1025.0])
def test_a_rate_that_dicom_does_not_allow(fs_hz: float) -> None:
    with pytest.raises(ValueError, match="fs_hz must be 200 to 1000"):
        encode(sheet(fs_hz), "page.dcm")


def test_samples_are_16_bit_signed_with_1_uv_each() -> None:
    for group in read(sheet()).WaveformSequence:
        assert (group.WaveformBitsAllocated, group.WaveformSampleInterpretation) == (16, "SS")
        assert group.WaveformOriginality == "DERIVED"
        assert len(group.WaveformData) == 2 * group.NumberOfWaveformChannels * group.NumberOfWaveformSamples
        for channel in group.ChannelDefinitionSequence:
            assert (channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor) == (1, 1)
            unit = channel.ChannelSensitivityUnitsSequence[0]
            assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("uV", "UCUM")
            assert (channel.ChannelBaseline, channel.ChannelTimeSkew, channel.WaveformBitsStored) == (0, 0, 16)


def test_leads_are_coded_in_mdc() -> None:
    for group in read(sheet()).WaveformSequence:
        for channel in group.ChannelDefinitionSequence:
            code = channel.ChannelSourceSequence[0]
            assert code.CodingSchemeDesignator == "MDC"
            assert code.CodeMeaning == f"Lead {CODES[code.CodeValue]}"


@pytest.mark.parametrize("fs_hz", [250.0, 333.5, 500.0, 1000.0])
@pytest.mark.parametrize("rhythms", [(), ("II",), ("II", "V1", "V5")])
def test_round_trip_invents_nothing(fs_hz: float, rhythms: tuple[str, ...]) -> None:
    recording = sheet(fs_hz, rhythms=rhythms)
    again = put_back(read(recording), recording)
    np.testing.assert_array_equal(np.isnan(again), np.isnan(recording.mv))
    np.testing.assert_allclose(again, recording.mv, atol=0.5e-3 + 1e-6)


def test_a_lost_stretch_is_padding_and_only_its_group_says_so() -> None:
    groups = read(sheet()).WaveformSequence
    assert ["WaveformPaddingValue" in g for g in groups] == [False, False, True, False, False]
    assert np.frombuffer(groups[2].WaveformPaddingValue, "<i2").tolist() == [-32768]


def test_more_than_one_rhythm_strip_is_a_general_ecg_with_padding() -> None:
    ds = read(sheet(rhythms=("II", "V1")))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.9.1.2"
    assert len(ds.WaveformSequence) == 1
    assert leads_of(ds.WaveformSequence[0]) == list(LEADS)
    assert np.frombuffer(ds.WaveformSequence[0].WaveformPaddingValue, "<i2").tolist() == [-32768]


def test_more_samples_than_the_twelve_lead_object_holds() -> None:
    everything = Recording(500, np.zeros((12, 20_000)), np.ones((12, 20_000)))
    assert read(everything).SOPClassUID == "1.2.840.10008.5.1.4.1.1.9.1.2"


def test_nothing_is_said_of_the_patient() -> None:
    ds = read(sheet())
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        assert keyword in ds
        assert not getattr(ds, keyword)


def test_required_attributes_are_there() -> None:
    ds = read(sheet())
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "AcquisitionDateTime", "ContentDate", "InstanceNumber"):
        assert getattr(ds, keyword)
    assert "AcquisitionContextSequence" in ds
    assert read(sheet()).SOPInstanceUID != ds.SOPInstanceUID


def test_provenance() -> None:
    ds = read(sheet())
    (equipment,) = ds.ContributingEquipmentSequence
    assert equipment.Manufacturer == "ecglift"
    assert "Prüfung 1.png" in equipment.ContributionDescription
    values = json.loads(ds.private_block(0x0099, "ECGLIFT")[0x01].value)
    assert values["provenance"]["sha256"] == "ab" * 32
    assert values["confidence"]["V1"] == 0.9


@pytest.mark.parametrize("rhythms", [(), ("II",), ("II", "V1", "V5")])
def test_the_iod_validator_finds_no_error(rhythms: tuple[str, ...], tmp_path: Path) -> None:
    validator = shutil.which("dciodvfy") or shutil.which("dciodvfy", path=str(Path(sys.executable).parent))
    if validator is None:
        pytest.skip("dciodvfy (dicom3tools) not there")
    path = save(sheet(rhythms=rhythms), tmp_path / "page.dcm")
    report = subprocess.run([validator, str(path)], capture_output=True, text=True, check=False).stderr
    errors = [line for line in report.splitlines() if line.startswith("Error")]
    # PS3.3 table C.10-9 lets the offset be present in any case; this validator only knows when it is required.
    assert [e for e in errors if "MultiplexGroupTimeOffset" not in e] == []
    assert ("GeneralECG" if len(rhythms) > 1 else "TwelveLeadECG") in report
