"""DICOM: 12-Lead ECG Waveform Storage, or General ECG where that cannot hold the sheet.

Each printed column is one multiplex group with its time offset and the rhythm strip one more, so that no sample is
invented. A sheet with more than one rhythm strip, more than five groups or more than 16,384 samples goes into one group
of a General ECG object, with the padding value wherever a lead is not printed. DICOM PS3.3 A.34.3, A.34.4 and C.10.9;
lead codes: PS3.16 CID 3001, scheme MDC (ISO 11073-10102). Needs the extra ``[dicom]``.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

import ecglift
from ecglift.formats.columns import MISSING, Column, is_rhythm, microvolts, printed_columns
from ecglift.formats.metadata import metadata_json, summary
from ecglift.leads import LEAD_INDEX
from ecglift.recording import Recording

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TWELVE_LEAD: Final = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL: Final = "1.2.840.10008.5.1.4.1.1.9.1.2"
LEAD_CODES: Final[dict[str, str]] = {
    "I": "2:1",
    "II": "2:2",
    "III": "2:61",
    "aVR": "2:62",
    "aVL": "2:63",
    "aVF": "2:64",
    **{f"V{k}": f"2:{k + 2}" for k in range(1, 7)},
}
FS_RANGE_HZ: Final = (200.0, 1000.0)
MAX_SAMPLES: Final = 16_384
MAX_GROUPS: Final = 5
PRIVATE_GROUP: Final = 0x0099
PRIVATE_CREATOR: Final = "ECGLIFT"


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``. ValueError for a recording without samples or a sampling rate outside 200 to 1000 Hz."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian, generate_uid

    low, high = FS_RANGE_HZ
    if not low <= recording.fs_hz <= high:
        raise ValueError(f"fs_hz must be {low:g} to {high:g} for a DICOM ECG, got {recording.fs_hz:g}")
    columns = printed_columns(recording)
    rhythms = sum(len(c.leads) for c in columns if is_rhythm(c, columns))
    general = rhythms > 1 or len(columns) > MAX_GROUPS or max(c.stop - c.start for c in columns) > MAX_SAMPLES
    groups = (Column(recording.leads, 0, len(recording)),) if general else columns

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = GENERAL if general else TWELVE_LEAD
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    ds = FileDataset(None, Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _empty_patient_and_study(ds)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.Modality = "ECG"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.SeriesDescription = "ECG digitized from print"
    ds.Manufacturer, ds.SoftwareVersions = "ecglift", ecglift.__version__
    now = datetime.now(UTC)
    ds.TimezoneOffsetFromUTC = "+0000"
    ds.ContentDate, ds.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    # Type 1, so it cannot stay empty; the moment at which the paper was printed is not known, this one is.
    ds.AcquisitionDateTime = now.strftime("%Y%m%d%H%M%S")
    ds.AcquisitionContextSequence = []
    ds.WaveformSequence = [_group(recording, column) for column in groups]
    _provenance(ds, recording)

    out = io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return {name: out.getvalue()}


def _empty_patient_and_study(ds: Dataset) -> None:
    """Type 2: present, and empty because a page says nothing that may be taken for a fact about a person."""
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    ):
        setattr(ds, keyword, "")


def _group(recording: Recording, column: Column) -> Dataset:
    from pydicom.dataset import Dataset

    rows = [LEAD_INDEX[lead] for lead in column.leads]
    samples = microvolts(recording.mv[rows, column.start : column.stop])
    group = Dataset()
    # Milliseconds from the left edge of the print; Acquisition DateTime stands for that edge (PS3.3 C.10.9.1.1).
    group.MultiplexGroupTimeOffset = _decimal(1000 * column.start / recording.fs_hz)
    group.WaveformOriginality = "DERIVED"
    group.NumberOfWaveformChannels = len(rows)
    group.NumberOfWaveformSamples = samples.shape[1]
    group.SamplingFrequency = _decimal(recording.fs_hz)
    group.MultiplexGroupLabel = " ".join(column.leads)[:16].strip()
    group.ChannelDefinitionSequence = [_channel(lead) for lead in column.leads]
    group.WaveformBitsAllocated = 16
    group.WaveformSampleInterpretation = "SS"
    if (samples == MISSING).any():
        group.WaveformPaddingValue = _words(np.array([MISSING], np.int16))
    group.WaveformData = _words(samples.T)
    return group


def _channel(lead: str) -> Dataset:
    from pydicom.dataset import Dataset

    channel = Dataset()
    channel.ChannelLabel = lead
    channel.ChannelSourceSequence = [_code(LEAD_CODES[lead], "MDC", f"Lead {lead}")]
    channel.ChannelSensitivity = "1"
    channel.ChannelSensitivityUnitsSequence = [_code("uV", "UCUM", "microvolt")]
    channel.ChannelSensitivityCorrectionFactor = "1"
    channel.ChannelBaseline = "0"
    channel.ChannelTimeSkew = "0"
    channel.WaveformBitsStored = 16
    return channel


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    from pydicom.dataset import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _provenance(ds: Dataset, recording: Recording) -> None:
    """Who made this and from what: in words as contributing equipment, in full as JSON in a private element."""
    from pydicom.dataset import Dataset

    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [_code("109103", "DCM", "Modifying Equipment")]
    equipment.Manufacturer = "ecglift"
    equipment.SoftwareVersions = ecglift.__version__
    told = "; ".join(f"{key}: {text}" for key, text in summary(recording).items())
    equipment.ContributionDescription = f"Digitized from print. {told}"[:1024]
    ds.ContributingEquipmentSequence = [equipment]
    block: Any = ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(0x01, "UT", metadata_json(recording))


def _decimal(value: float) -> str:
    """At most 16 characters, as a decimal string must be."""
    return f"{value:.10g}"


def _words(samples: NDArray[np.int16]) -> bytes:
    return np.ascontiguousarray(samples).astype("<i2").tobytes()
