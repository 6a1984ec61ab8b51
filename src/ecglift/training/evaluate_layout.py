"""How well sheets are read: press pages with their truth, captured and flattened by the true map, through the layout
stage.

python -m ecglift.training.evaluate_layout --signals ../shared/data --pages 300 --out runs/layout.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ecglift.press.capture import KINDS, CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.style import competition_style, random_style
from ecglift.problem import StageError
from ecglift.reading.turn import turn_sheet
from ecglift.sheet import Sheet
from ecglift.stages.layout import SheetReading, find_layout
from ecglift.stages.rectify import rectify
from ecglift.training.signals import Signals, load_signals


@dataclass(frozen=True)
class Verdict:
    """One page: what was right. Errors in mm are the largest of the page's panels, NaN when leads are wrong."""

    seed: int
    kind: str
    truth: str
    seconds: float
    problems: tuple[str, ...]
    speed_known: bool
    gain_known: bool
    answer: str = "-"
    layout: bool = False
    leads: bool = False
    turn: bool = False
    speed: bool = False
    gain: bool = False
    timing: bool = False
    start_mm: float = float("nan")
    end_mm: float = float("nan")
    baseline_mm: float = float("nan")

    @property
    def right(self) -> bool:
        return self.layout and self.leads and self.turn

    @property
    def warned(self) -> bool:
        return bool(self.problems)


def draw(seed: int, signals: Signals) -> tuple[Page, str, Sheet, int]:
    """Page, kind of capture, flat sheet and the quarter turns it is lying in, always the same for a seed."""
    rng = np.random.default_rng([seed, 79])
    style = competition_style(rng) if seed % 10 == 0 else random_style(rng)
    mv = (
        signals.mv[seed % len(signals.mv)]
        if len(signals.mv) and rng.random() < 0.8
        else Signals(signals.mv[:0]).draw(rng)
    )
    page = compose(rng, mv, signals.fs_hz, style)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    turns = int(rng.integers(1, 4)) if rng.random() < 0.12 else 0
    taken = capture(page, kind, rng, CaptureSettings(max_megapixels=4.0))
    sheet = rectify(taken.image, taken.map, (0.0, 0.0, page.width_mm, page.height_mm))
    return page, kind, turn_sheet(sheet, -turns), turns


def judge(seed: int, page: Page, kind: str, turns: int, reading: SheetReading | StageError, seconds: float) -> Verdict:
    """The verdict on a reading of a page that lay turned ``turns`` times."""
    truth = page.layout
    printed, pulsed = bool(page.meta["speed_printed"]), page.meta["pulse"] != "none"
    problems = (reading.problem,) if isinstance(reading, StageError) else reading.problems
    verdict = Verdict(seed, kind, truth.name, seconds, tuple(p.code for p in problems), printed, printed or pulsed)
    if isinstance(reading, StageError):
        return verdict
    answer = reading.layout
    verdict = replace(
        verdict,
        answer=answer.name,
        layout=answer.name == truth.name,
        turn=reading.quarter_turns == turns,
        speed=answer.speed_mm_s == truth.speed_mm_s,
    )
    if answer.names() != truth.names():
        return verdict
    pairs = [(a, b) for ra, rb in zip(answer.rows(), truth.rows(), strict=True) for a, b in zip(ra, rb, strict=True)]
    return replace(
        verdict,
        leads=True,
        gain=all(a.gain_mm_mv == b.gain_mm_mv for a, b in pairs),
        timing=all(abs(a.start_s - b.start_s) < 0.1 for a, b in pairs),
        start_mm=max(abs(a.x0_mm - b.x0_mm) for a, b in pairs),
        end_mm=max(abs(a.x1_mm - b.x1_mm) for a, b in pairs),
        baseline_mm=max(abs(a.baseline_mm - b.baseline_mm) for a, b in pairs),
    )


def evaluate(signals: Signals, seeds: range) -> Iterator[Verdict]:
    """A verdict for every seed."""
    for seed in seeds:
        page, kind, sheet, turns = draw(seed, signals)
        began = time.perf_counter()
        try:
            reading: SheetReading | StageError = find_layout(sheet)
        except StageError as error:
            reading = error
        yield judge(seed, page, kind, turns, reading, time.perf_counter() - began)


def summary(verdicts: list[Verdict]) -> dict[str, Any]:
    """Shares and medians over all pages."""

    def share(values: list[bool]) -> float:
        return round(float(np.mean(values)), 4) if values else float("nan")

    def quantiles(values: list[float]) -> list[float]:
        return [round(float(v), 3) for v in np.nanpercentile(values, [50, 90, 98])]

    return {
        "pages": len(verdicts),
        "layout": share([v.layout for v in verdicts]),
        "leads": share([v.leads for v in verdicts]),
        "turn": share([v.turn for v in verdicts]),
        "timing": share([v.timing for v in verdicts if v.leads]),
        "speed_where_printed": share([v.speed for v in verdicts if v.speed_known]),
        "gain_where_known": share([v.gain for v in verdicts if v.gain_known and v.leads]),
        "speed_all": share([v.speed for v in verdicts]),
        "warned": share([v.warned for v in verdicts]),
        "wrong_without_warning": share([not v.right and not v.warned for v in verdicts]),
        "start_mm": quantiles([v.start_mm for v in verdicts]),
        "end_mm": quantiles([v.end_mm for v in verdicts]),
        "baseline_mm": quantiles([v.baseline_mm for v in verdicts]),
        "seconds": quantiles([v.seconds for v in verdicts]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=Path, help="folder with signals.py; without it all patients are simulated")
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, help="one JSON line a page")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    signals = load_signals(args.signals, "val")
    verdicts = []
    out = args.out.open("w") if args.out else None
    for verdict in evaluate(signals, range(args.first, args.first + args.pages)):
        verdicts.append(verdict)
        if out:
            out.write(json.dumps(asdict(verdict)) + "\n")
            out.flush()
    print(json.dumps(summary(verdicts), indent=2))


if __name__ == "__main__":
    main()
