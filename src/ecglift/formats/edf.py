"""EDF+: one signal a printed lead in µV, symmetric range, gaps as annotations.

EDF+ cannot hold a missing sample. Samples that were not printed or not seen stand as 0 µV, and an annotation "not
recorded: LEAD" covers each such stretch; so does the end of the last data record beyond the recording. The first
annotation holds the metadata as JSON. Kemp & Olivan, "European data format 'plus'", 2003. Needs the extra ``[edf]``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

import ecglift
from ecglift.formats.columns import MISSING, microvolts, runs
from ecglift.formats.metadata import metadata_json
from ecglift.leads import LEAD_INDEX
from ecglift.recording import Recording

RANGE_UV: Final = 32767
NOT_RECORDED: Final = "not recorded: "


def encode(recording: Recording, name: str) -> dict[str, bytes]:
    """The file ``name``. ValueError for a recording without samples or with a rate that no record of ≤ 100 s fits.

    A data record is the shortest whole number of seconds with a whole number of samples.
    """
    from edfio import Edf, EdfAnnotation, EdfSignal
    from edfio import Recording as EdfRecording

    leads = recording.leads
    if not leads:
        raise ValueError("recording holds no sample; there is nothing to save as EDF+")
    rate = Fraction(recording.fs_hz).limit_denominator(100)
    if float(rate) != recording.fs_hz:
        raise ValueError(f"fs_hz must be a multiple of 1/100 Hz or a like fraction for EDF+, got {recording.fs_hz!r}")
    per_record = rate.numerator
    padding = -len(recording) % per_record
    signals, annotations = [], [EdfAnnotation(0, None, metadata_json(recording))]
    for lead in leads:
        row = np.pad(recording.mv[LEAD_INDEX[lead]], (0, padding), constant_values=np.nan)
        samples = microvolts(row)
        samples[samples == MISSING] = 0
        signals.append(
            EdfSignal.from_digital(
                samples,
                float(rate),
                label=f"ECG {lead}",
                physical_dimension="uV",
                physical_range=(-RANGE_UV, RANGE_UV),
                digital_range=(-RANGE_UV, RANGE_UV),
            )
        )
        # The gaps of a row are the stretches in which "is a gap" is a number.
        for start, stop in runs(np.where(np.isfinite(row), np.nan, 0.0)):
            annotations.append(EdfAnnotation(start / float(rate), (stop - start) / float(rate), NOT_RECORDED + lead))
    edf = Edf(
        signals,
        recording=EdfRecording(equipment_code=f"ecglift_{ecglift.__version__}"),
        data_record_duration=float(rate.denominator),
        annotations=annotations,
    )
    return {name: edf.to_bytes()}
