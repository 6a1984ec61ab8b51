"""Traces to millivolts: scale, time, gaps, confidence, doubles."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecglift.leads import LEAD_INDEX, LEADS, limb_leads_from
from ecglift.paper import TEMPLATES, Layout, Panel
from ecglift.sheet import Trace
from ecglift.stages.signal import SignalSettings, sample_windows, to_recording

FS_HZ = 500.0
SHARED = Path(__file__).resolve().parents[2] / "shared"


def heart_mv(seconds: float = 10.0, fs_hz: float = FS_HZ) -> np.ndarray:
    """(12, n) smooth beats: Gaussian P, QRS and T waves, another mixture in every lead; limb leads obey Einthoven."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    phase = (t + 0.3) % 0.83
    shapes = ((0.1, 0.2, 0.02), (1.0, 0.36, 0.011), (0.3, 0.6, 0.04))
    waves = [a * np.exp(-0.5 * ((phase - m) / s) ** 2) for a, m, s in shapes]
    waves.append(np.exp(-0.5 * ((phase - 0.385) / 0.009) ** 2))
    rng = np.random.default_rng(5)
    two = rng.uniform(0.3, 1, (2, 4)) @ np.array(waves)
    chest = rng.uniform(-0.8, 1, (6, 4)) @ np.array(waves)
    return np.concatenate([limb_leads_from(two[0], two[1]), chest])


def layout_3x4(rhythm: str | None = "II", speed_mm_s: float = 25.0, jitter_s: float = 0.0) -> Layout:
    panels = []
    width = 2.5 * speed_mm_s
    for r, names in enumerate(TEMPLATES["3x4"].rows):
        for c, name in enumerate(names):
            end = 20 + (c + 1) * width - (jitter_s * speed_mm_s if c == 3 else 0)
            panels.append(Panel(name, r, c, 20 + c * width, end, 40 + 30.0 * r, start_s=2.5 * c))
    if rhythm:
        panels.append(Panel(rhythm, 3, 0, 20, 20 + 4 * width, 130, rhythm=True))
    return Layout("3x4+1", tuple(panels), speed_mm_s=speed_mm_s)


def draw(
    layout: Layout, mv: np.ndarray, columns_per_mm: float = 16.0, sigma_mm: float = 0.02, fs_hz: float = FS_HZ
) -> tuple[Trace, ...]:
    """The perfect trace of each row, read at the middle of each column from the line through the samples."""
    traces = []
    t = np.arange(mv.shape[1]) / fs_hz
    for row in layout.rows():
        x = np.arange(np.floor(row[0].x0_mm - 2), np.ceil(row[-1].x1_mm + 2), 1 / columns_per_mm) + 0.5 / columns_per_mm
        y = np.full(len(x), np.nan)
        for p in row:
            inside = (x >= p.x0_mm) & (x < p.x1_mm)
            value = np.interp(p.start_s + (x[inside] - p.x0_mm) / layout.speed_mm_s, t, mv[LEAD_INDEX[p.lead]])
            y[inside] = p.baseline_mm - p.polarity * p.gain_mm_mv * value
        traces.append(Trace(row[0].row, x, y, np.full(len(x), sigma_mm), np.isfinite(y).astype(float)))
    return tuple(traces)


def blurred(traces: tuple[Trace, ...], sigma_mm: float, rng: np.random.Generator) -> tuple[Trace, ...]:
    return tuple(
        Trace(t.row, t.x_mm, t.y_mm + sigma_mm * rng.standard_normal(len(t.x_mm)), 0 * t.x_mm + sigma_mm, t.presence)
        for t in traces
    )


def db(truth: np.ndarray, read: np.ndarray) -> float:
    good = np.isfinite(truth) & np.isfinite(read)
    return float(10 * np.log10((truth[good] ** 2).sum() / ((truth - read)[good] ** 2).sum()))


def test_a_page_comes_back_with_its_times_leads_and_millivolts() -> None:
    mv, layout = heart_mv(), layout_3x4()
    rec = to_recording(layout, draw(layout, mv))
    assert rec.mv.shape == (12, 5000)
    assert rec.leads == LEADS
    assert rec.status == "ok"
    for p in layout.panels:
        a, b = (0, 5000) if p.lead == "II" else (round(p.start_s * 500), round(p.start_s * 500) + 1250)
        finite = np.flatnonzero(np.isfinite(rec[p.lead]))
        assert (finite[0], finite[-1] + 1, len(finite)) == (a, b, b - a)
        assert db(mv[LEAD_INDEX[p.lead], a:b], rec[p.lead][a:b]) > 45
    assert len(rec.segments) == 13
    assert {(s.start, s.stop) for s in rec.segments if s.rhythm} == {(0, 5000)}
    assert rec.quality["seen"] == 1


@settings(max_examples=12, deadline=None)
@given(
    gain=st.sampled_from([2.5, 5.0, 10.0, 20.0]),
    speed=st.sampled_from([12.5, 25.0, 50.0]),
    polarity=st.sampled_from([-1, 1]),
    fs_hz=st.sampled_from([250.0, 500.0, 512.0, 1000.0]),
    baseline_mm=st.floats(10, 200),
    start_s=st.sampled_from([0.0, 2.5]),
)
def test_scales_are_undone(
    gain: float, speed: float, polarity: int, fs_hz: float, baseline_mm: float, start_s: float
) -> None:
    """A slow wave is the same at every gain, speed, polarity, rate and place."""
    panel = Panel("aVR", 0, 0, 13.3, 13.3 + 2.5 * speed, baseline_mm, start_s, gain, polarity)
    layout = Layout("custom", (panel,), speed_mm_s=speed)
    t = np.arange(round(5 * fs_hz)) / fs_hz
    mv = np.zeros((12, len(t)))
    mv[LEAD_INDEX["aVR"]] = np.sin(2 * np.pi * 1.5 * t) + 0.2
    rec = to_recording(layout, draw(layout, mv, fs_hz=fs_hz), fs_hz)
    start, stop = round(start_s * fs_hz), round((start_s + 2.5) * fs_hz)
    assert len(rec) == stop
    assert np.isnan(rec.mv[:, :start]).all()
    error = np.abs(rec["aVR"][start:stop] - mv[LEAD_INDEX["aVR"], start:stop])
    assert error[2:-2].max() < 4e-3
    assert error.max() < 0.02  # the first and last sample lie outside the middles of the columns


def test_total_length_and_columns_snap_to_nominal() -> None:
    layout = layout_3x4(jitter_s=0.03)
    windows, n = sample_windows(layout, 1025.0, SignalSettings())
    assert n == 10250
    assert [(a, b) for p, a, b in windows if p.row == 0] == [(0, 2562), (2562, 5125), (5125, 7687), (7687, 10250)]
    odd = Layout("custom", (Panel("II", 0, 0, 20, 20 + 9.8 * 25, 50),))
    assert sample_windows(odd, 500.0, SignalSettings())[1] == 4900


def test_simultaneous_columns_share_their_time() -> None:
    panels = tuple(
        Panel(name, r, c, 20 + 125 * c, 20 + 125 * (c + 1), 30 + 20 * r)
        for r, row in enumerate(TEMPLATES["6x2"].rows)
        for c, name in enumerate(row)
    )
    layout, mv = Layout("6x2", panels), heart_mv(5.0)
    rec = to_recording(layout, draw(layout, mv))
    assert rec.mv.shape == (12, 2500)
    assert db(mv, rec.mv) > 45


def test_short_gaps_are_filled_and_doubted_long_ones_stay_empty() -> None:
    mv, layout = heart_mv(), layout_3x4(rhythm=None)
    traces = draw(layout, mv)
    y, presence = traces[0].y_mm.copy(), traces[0].presence.copy()
    short = (traces[0].x_mm > 50) & (traces[0].x_mm < 50.8)
    long = (traces[0].x_mm > 60) & (traces[0].x_mm < 66)
    y[short] = np.nan
    presence[long] = 0.1
    rec = to_recording(layout, (Trace(0, traces[0].x_mm, y, traces[0].sigma_mm, presence), *traces[1:]))
    one, sure = rec["I"], rec.confidence[0]
    middle = round((50.4 - 20) / 25 * 500)
    assert np.isfinite(one[middle])
    assert sure[middle] < 0.7 < 0.99 < sure[middle - 40]
    inside = slice(round(40.2 / 25 * 500), round(45.8 / 25 * 500))
    assert np.isnan(one[inside]).all()
    assert (sure[inside] == 0).all()
    assert np.isfinite(one[: inside.start - 10]).all()
    assert rec.quality["interpolated"] > 0
    assert abs(one[780:798] - mv[0, 780:798]).max() < 0.005


def test_confidence_is_the_chance_of_twenty_microvolts() -> None:
    """Noise of a known spread: as many samples are right as are said to be."""
    rng = np.random.default_rng(1)
    mv, layout = heart_mv() * 0, layout_3x4()
    for sigma_mm in (0.1, 0.3):
        noisy = blurred(draw(layout, mv), sigma_mm, rng)
        rec = to_recording(layout, noisy, settings=SignalSettings(merge_doubles=False))
        printed = np.isfinite(rec.mv)
        right = float((np.abs(rec.mv[printed]) <= 0.02).mean())
        assert abs(right - float(rec.confidence[printed].mean())) < 0.06


def test_nothing_rings_at_the_ends_or_between_neighbours() -> None:
    """Lead aVR starts 2 mV away from where lead I ends: neither feels the other."""
    layout = layout_3x4(rhythm=None)
    mv = np.zeros((12, 5000))
    mv[LEAD_INDEX["aVR"]] = 2.0
    rec = to_recording(layout, draw(layout, mv))
    assert np.nanmax(np.abs(rec["I"])) < 1e-6
    assert np.nanmax(np.abs(rec["aVR"] - 2)) < 1e-6


def test_two_prints_of_a_lead_are_averaged_only_where_they_agree() -> None:
    rng = np.random.default_rng(2)
    mv, layout = heart_mv(), layout_3x4()
    sigma_mm = 0.15
    traces = blurred(draw(layout, mv), sigma_mm, rng)
    with_both = to_recording(layout, traces)
    alone = to_recording(layout, traces, settings=SignalSettings(merge_doubles=False))
    window = slice(20, 1230)
    assert db(mv[1, window], with_both["II"][window]) > db(mv[1, window], alone["II"][window]) + 1.5
    assert with_both.quality["double_correlation_II"] > 0.95
    np.testing.assert_array_equal(with_both["II"][1300:], alone["II"][1300:])

    other = mv.copy()
    other[1] = np.roll(mv[1], 350)  # the strip was recorded at another time
    strip = draw(layout, other)[3]
    apart = to_recording(layout, (*traces[:3], strip))
    strip_only = to_recording(layout, (*traces[:3], strip), settings=SignalSettings(merge_doubles=False))
    np.testing.assert_allclose(apart["II"], strip_only["II"])


def test_a_second_print_mends_what_strayed_into_another_row() -> None:
    mv, layout = heart_mv(), layout_3x4()
    *rest, strip = draw(layout, mv)
    astray = (strip.x_mm > 40) & (strip.x_mm < 42)
    lost = Trace(3, strip.x_mm, strip.y_mm - 25.0 * astray, np.where(astray, 8.0, strip.sigma_mm), strip.presence)
    assert db(mv[1], to_recording(layout, (*rest, lost), settings=SignalSettings(merge_doubles=False))["II"]) < 10
    assert db(mv[1], to_recording(layout, (*rest, lost))["II"]) > 20  # the jump into the other row rings


def test_a_second_print_fills_the_gaps_of_the_first() -> None:
    mv, layout = heart_mv(), layout_3x4()
    *rest, strip = draw(layout, mv)
    y = np.where((strip.x_mm > 40) & (strip.x_mm < 48), np.nan, strip.y_mm)
    rec = to_recording(layout, (*rest, Trace(3, strip.x_mm, y, strip.sigma_mm, strip.presence)))
    assert np.isfinite(rec["II"]).all()
    assert db(mv[1], rec["II"]) > 40


def test_a_row_without_a_trace_is_reported() -> None:
    mv, layout = heart_mv(), layout_3x4()
    rec = to_recording(layout, draw(layout, mv)[1:])
    assert rec.status == "partial"
    assert {p.code for p in rec.problems} == {"lead-not-traced"}
    assert "I" not in rec.leads
    assert "V3" in rec.leads


def test_wrong_calls_are_named() -> None:
    layout = layout_3x4()
    with pytest.raises(ValueError, match="fs_hz"):
        to_recording(layout, (), 0.0)
    with pytest.raises(ValueError, match="panels"):
        to_recording(Layout("custom", ()), ())
    x = np.array([20.0, 21, 25, 100])
    with pytest.raises(ValueError, match="x_mm"):
        to_recording(layout, (Trace(0, x, x, x, x),))


def test_real_signals_lose_nothing_that_matters() -> None:
    records = SHARED / "data" / "signals" / "ptbxl_ptb_8lead_500hz.xz"
    if not records.exists():
        pytest.skip("shared data not there")
    n = 4
    with lzma.open(records) as f:  # the first records only: each is 8 leads of 5000 differences in µV
        steps = np.frombuffer(f.read(n * 8 * 5000 * 2), np.int16).reshape(n, 8, 5000)
    leads = np.cumsum(steps, axis=2, dtype=np.int16) / 1000
    panels = tuple(Panel(name, r, 0, 20, 270, 30 + 20 * r) for r, name in enumerate(LEADS))
    layout = Layout("12x1", panels)
    scores = []
    for record in leads:
        mv = np.concatenate([limb_leads_from(record[0], record[1]), record[2:]])
        scores.append(db(mv, to_recording(layout, draw(layout, mv)).mv))
    assert np.mean(scores) > 38  # linear interpolation from the same columns: 5 dB less
