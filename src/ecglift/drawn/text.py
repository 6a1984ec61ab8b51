"""What a drawn page says in letters: speed, gain, and which lead each trace is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ecglift.drawn.lines import Scale, Word
from ecglift.leads import polarity

_NUMBER: Final = r"(\d{1,3}(?:[.,]\d{1,2})?)"
_SPEED: Final = re.compile(_NUMBER + r"\s*mm\s*/\s*s", re.IGNORECASE)
_GAIN: Final = re.compile(r"(?:" + _NUMBER + r"\s*/\s*)?" + _NUMBER + r"\s*mm\s*/\s*mV", re.IGNORECASE)
_OTHER_LEAD: Final = re.compile(r"V[3-9]R|V[789]|X|Y|Z|(Nehb\s*)?[DAJ]", re.IGNORECASE)
"""Leads that are printed beside the twelve: right and back of the chest, Frank, Nehb."""

_LEFT_OF_TRACE_MM: Final = 18.0
_INTO_TRACE_MM: Final = 12.0


@dataclass(frozen=True)
class Label:
    """A lead's name on the page: ``lead`` (None: none of the twelve), ``polarity``, left end and baseline in mm."""

    text: str
    lead: str | None
    polarity: int
    x: float
    y: float


@dataclass(frozen=True)
class Place:
    """Where a trace stands, in mm: its ends and the height of its zero line and of its first point."""

    x0: float
    x1: float
    zero: float
    start: float


def printed_speed(text: str) -> float | None:
    """The paper speed in mm/s that the text states most often, None when it states none between 5 and 200."""
    found = Counter(v for v in (_value(m) for m in _SPEED.findall(_spaced(text))) if 5 <= v <= 200)
    return max(found, key=lambda v: found[v]) if found else None


def printed_gains(text: str) -> tuple[float, float] | None:
    """(limb leads, chest leads) in mm/mV as the text states, None when it states nothing between 1 and 80.

    "10 mm/mV" counts for all leads, of "10/5 mm/mV", or two statements, the second is for the chest.
    """
    found: list[float] = []
    for first, second in _GAIN.findall(_spaced(text)):
        found += [v for v in (_value(part) for part in (first, second) if part) if 1 <= v <= 80 and v not in found]
    if not found:
        return None
    return (found[0], found[1]) if len(found) == 2 else (found[0], found[0])


def _spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _value(digits: str) -> float:
    return float(digits.replace(",", "."))


def find_labels(words: Sequence[Word], places: Sequence[Place], scale: Scale, reach_mm: float) -> list[list[Label]]:
    """The labels of each place, left to right: one, several when a line shows several leads, none when unlabelled.

    A page puts all its labels at the same height over or under their traces (over the zero line, or over the first
    point), so the height that suits most traces is the one; names elsewhere on the page do not agree with it.
    ``reach_mm``: how far a label may be from that height, less than half the distance of two rows.
    """
    labels = _labels(words, scale)
    best: tuple[tuple[int, float], list[list[Label]]] = ((0, 0.0), [[] for _ in places])
    for reference in ("zero", "start"):
        pairs = [
            (k, label, label.y - getattr(place, reference))
            for k, place in enumerate(places)
            for label in labels
            if place.x0 - _LEFT_OF_TRACE_MM <= label.x <= place.x1
        ]
        for height in {round(dy, 2) for _, _, dy in pairs if abs(dy) <= 30}:
            chosen = _chosen(pairs, height, places, reach_mm)
            named = sum(bool(found) for found, _ in chosen)
            score = (named, -sum(off for _, off in chosen))
            if score > best[0]:
                best = (score, [found for found, _ in chosen])
    return best[1]


def _chosen(
    pairs: list[tuple[int, Label, float]], height: float, places: Sequence[Place], reach_mm: float
) -> list[tuple[list[Label], float]]:
    """Each place's labels near ``height`` and how far they are off; a label belongs to one place only."""
    owner: dict[Label, tuple[float, int]] = {}
    for k, label, dy in pairs:
        # Of two places at the same height the label belongs to the one that starts beside it.
        begins = abs(label.x - places[k].x0) if label.x < places[k].x0 + _INTO_TRACE_MM else _LEFT_OF_TRACE_MM
        cost = abs(dy - height) + 0.02 * begins
        if abs(dy - height) <= reach_mm and (label not in owner or cost < owner[label][0]):
            owner[label] = (cost, k)
    out: list[tuple[list[Label], float]] = []
    for k, place in enumerate(places):
        mine = sorted((label for label, (_, j) in owner.items() if j == k), key=lambda label: label.x)
        off = sum(owner[label][0] for label in mine)
        # The first name stands where the trace begins; without it the others are writing that happens to be there.
        begins = bool(mine) and mine[0].x <= place.x0 + _INTO_TRACE_MM
        out.append((mine, off) if begins else ([], 0.0))
    return out


def _labels(words: Sequence[Word], scale: Scale) -> list[Label]:
    """Every lead name among the words; letters of a name that is written with spaces are put together first."""
    out: list[Label] = []
    k = 0
    while k < len(words):
        for count in (4, 3, 2, 1):  # - a V R
            run = words[k : k + count]
            if len(run) == count and _side_by_side(run):
                label = _label("".join(word.text for word in run), run[0], scale)
                if label is not None:
                    out.append(label)
                    break
        else:
            count = 1
        k += count
    return out


def _side_by_side(run: Sequence[Word]) -> bool:
    height = max(word.height for word in run)  # a minus sign has next to none
    return all(
        abs(b.baseline - a.baseline) < 0.3 * height and -0.2 * height < b.x0 - a.x1 < 0.9 * height
        for a, b in pairwise(run)
    )


def _label(text: str, word: Word, scale: Scale) -> Label | None:
    if not re.search("[A-Za-z]", text):
        return None  # "1." is no lead I: a sheet that names its leads by numbers alone cannot be told from a table
    lead, sign = polarity(text)
    if lead is None and not _OTHER_LEAD.fullmatch(text):
        return None
    x = (word.x0 - scale.origin[0]) / scale.pt_per_mm[0]
    return Label(text, lead, sign, x, (word.baseline - scale.origin[1]) / scale.pt_per_mm[1])
