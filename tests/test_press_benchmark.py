"""The frozen benchmark: what it holds, how it is scored, and the table."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecglift.geometry import PageMap
from ecglift.leads import LEADS
from ecglift.press import benchmark
from ecglift.press.benchmark import Item, PageScore
from ecglift.press.capture import COMPETITION_KINDS
from ecglift.press.compose import compose
from ecglift.press.style import competition_style
from ecglift.recording import Recording


def test_the_pages_are_those_that_were_promised() -> None:
    pages = benchmark.items()
    counts = Counter((page.group, page.type) for page in pages)
    for group in ("simulated", "signals"):
        assert all(counts[group, kind] == 20 for kind in COMPETITION_KINDS.values())
        assert counts[group, "other"] == 100
    assert len({page.id for page in pages}) == len(pages) == 560


def test_a_page_depends_on_its_name_alone() -> None:
    first, second = (benchmark.make_item(Item("simulated", "clean", 3)) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.image.shape == (1700, 2200, 3)
    assert benchmark.make_item(Item("simulated", "clean", 4)).page.fs_hz != first.page.fs_hz


def test_real_signals_must_be_given() -> None:
    with pytest.raises(ValueError, match="signal_mv"):
        benchmark.make_item(Item("signals", "clean", 0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("benchmark")
    benchmark.make_benchmark(made, per_kind=0, others=2)
    return made


def perfect(path: Path, fs_hz: float) -> Recording:
    """A reader that looks the answer up."""
    with np.load(path.with_suffix(".npz")) as arrays:
        mv = arrays["mv"]
    return Recording(fs_hz, mv, np.isfinite(mv).astype(np.float32))


def blind(path: Path, fs_hz: float) -> Recording:
    """A reader that reads nothing."""
    return Recording.empty(fs_hz)


def test_a_perfect_reader_reaches_the_cap_and_a_blind_one_zero(folder: Path) -> None:
    assert [s.snr_db for s in benchmark.run_benchmark(folder, digitize=perfect)] == [60.0, 60.0]
    scores = benchmark.run_benchmark(folder, digitize=blind, per_type=1)
    assert [(s.snr_db, s.status) for s in scores] == [(0.0, "failed")]
    assert benchmark.read_scores(folder / "results.jsonl") == scores
    assert "| simulated: other | 1 | 0.00 |" in (folder / "results.md").read_text()


def test_a_run_that_was_cut_off_goes_on(folder: Path) -> None:
    benchmark.run_benchmark(folder, digitize=blind)
    stored = folder / "results.jsonl"
    first, second = stored.read_text().splitlines(keepends=True)
    stored.write_text(first + second[:20])
    scores = benchmark.run_benchmark(folder, digitize=perfect, resume=True)
    assert [s.snr_db for s in scores] == [0.0, 60.0]
    assert benchmark.read_scores(stored) == scores


def test_the_manifest_knows_the_pixels(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["simulated-other-000", "simulated-other-001"]
    assert all(len(row["pixels_sha256"]) == 64 for row in rows)
    truth = benchmark.read_truth(folder, rows[0]["files"])
    assert truth.mv.shape[0] == len(LEADS)
    assert np.isfinite(truth.mv).any()


def test_an_unknown_type_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="polaroid"):
        benchmark.run_benchmark(folder, digitize=blind, types=("polaroid",))


def test_oracle_is_for_the_own_pipeline(folder: Path) -> None:
    with pytest.raises(ValueError, match="oracle"):
        benchmark.run_benchmark(folder, digitize=blind, oracle=True)


def test_place_error_forgives_the_origin_and_quarter_turns_only() -> None:
    mm = np.random.default_rng(0).uniform(0, 200, (500, 2))
    truth = PageMap.scale(6.0)
    turned = PageMap(np.array([[0.0, 6.0, 30.0], [-6.0, 0.0, 900.0], [0.0, 0.0, 1.0]]))
    # Whoever found `turned` would call these pixels a sheet lying on its side.
    px = truth.to_px(mm)
    error = benchmark.place_error(turned, px, mm)
    assert error["place_mm"] == pytest.approx((0.0, 0.0), abs=1e-6)
    assert error["scale_error"] == pytest.approx(0.0, abs=1e-9)
    error = benchmark.place_error(PageMap.scale(6.06), px, mm)
    assert error["scale_error"] == pytest.approx(-0.0099, abs=1e-4)
    assert error["place_mm"] is not None
    assert error["place_mm"][0] > 0.3


def a_score(type_: str, snr_db: float, status: str = "ok") -> PageScore:
    return PageScore(
        f"simulated-{type_}-0",
        "simulated",
        type_,
        type_,
        snr_db,
        status,
        layout="3x4+1",
        layout_found="3x4+1",
        layout_right=True,
        names_right=True,
        speed_mm_s=(25.0, 25.0),
        gain_mm_mv=(10.0, 20.0),
        starts_right=True,
        told=True,
        place_mm=(0.02, 0.1),
        scale_error=0.0,
        problems=(),
        seconds=1.5,
    )


def test_a_table_says_who_has_read() -> None:
    from ecglift.models.runtime import versions

    assert f"trace {versions()['trace']}" in benchmark.readers()


def test_the_table_says_what_the_pages_say() -> None:
    text = benchmark.table([a_score("clean", 30.0), a_score("clean", 20.0), a_score("photo", 0.0, "failed")])
    rows = {line.split("|")[1].strip(): [c.strip() for c in line.split("|")[2:-1]] for line in text.splitlines()[2:]}
    # Mean, median, worst, share below 10 dB, failed; official: 10·log10((1000 + 100)/2).
    assert rows["simulated: clean"][:7] == ["2", "25.00", "25.00", "20.00", "0%", "0", "27.40"]
    assert rows["simulated: photo"][:6] == ["1", "0.00", "0.00", "0.00", "100%", "1"]
    assert rows["**simulated: competition's layout**"][0] == "3"
    assert rows["simulated: clean"][8:12] == ["100%", "100%", "100%, 0%", "100%"]


def test_a_verdict_on_a_layout_looks_at_every_name_and_start() -> None:
    page = compose(
        np.random.default_rng(3), np.zeros((12, 5000), np.float32), 500.0, competition_style(np.random.default_rng(3))
    )
    true = page.layout
    verdict = benchmark.layout_verdict(true, true)
    assert verdict["names_right"]
    assert verdict["starts_right"]
    late = replace(true, panels=tuple(replace(p, start_s=p.start_s + 0.2) for p in true.panels))
    assert benchmark.layout_verdict(late, true)["starts_right"] is False
    first, second, *others = true.panels
    swapped = replace(true, panels=(replace(first, lead=second.lead), replace(second, lead=first.lead), *others))
    verdict = benchmark.layout_verdict(swapped, true)
    assert verdict["layout_right"]
    assert not verdict["names_right"]
    assert verdict["starts_right"] is None
    assert benchmark.layout_verdict(None, true)["layout_found"] is None


def test_a_table_is_put_between_its_markers(tmp_path: Path) -> None:
    document = tmp_path / "benchmark.md"
    document.write_text("# Head\n\n<!-- results -->\nold\n<!-- /results -->\n\ntail\n")
    benchmark.write_into(document, "new | table\n", "results")
    assert document.read_text() == "# Head\n\n<!-- results -->\nnew | table\n<!-- /results -->\n\ntail\n"
    benchmark.write_into(document, "other", "oracle")
    assert document.read_text().endswith("tail\n\n<!-- oracle -->\nother\n<!-- /oracle -->\n")


def test_shared_signals_are_found() -> None:
    shared = Path(__file__).resolve().parents[2] / "shared"
    if not (shared / "data" / "signals.py").exists():
        pytest.skip("shared data not there")
    assert benchmark.find_shared() is not None
