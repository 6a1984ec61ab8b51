"""The report of a page and of a folder."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from ecglift.draw.report import IndexEntry, PageStory, index_entry, index_report, page_report, report_png
from ecglift.geometry import PageMap
from ecglift.leads import LEADS
from ecglift.paper import Layout, Panel
from ecglift.press.noise import Noise
from ecglift.press.patients import simulate
from ecglift.problem import Problem
from ecglift.recording import Recording
from ecglift.sheet import Trace
from ecglift.stages.check import Check, Checks

VOID = {"meta", "img", "input", "br", "rect", "path"}


class Reader(HTMLParser):
    """Keeps the words and what the file asks for; fails when tags do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.asked: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [v or "" for k, v in attrs if k in {"src", "href"} and tag != "a"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def story() -> PageStory:
    patient = simulate(
        np.random.default_rng(1), rhythm="sinus", rate_bpm=70, conditions=(), noise=Noise(contact_mv=0.002)
    )
    mv = patient.mv.copy()
    mv[11] = np.nan
    confidence = np.where(np.isfinite(mv), 0.9, 0.0).astype(np.float32)
    problems = (Problem("gain-assumed", "layout", "no pulse and no print: 10 mm/mV was <assumed>"),)
    rec = Recording(500.0, mv, confidence, (), "partial", problems, {}, {"sha256": "c0ffee", "models": {"trace": "3"}})
    panels = tuple(Panel(name, k, 0, 10.0, 260.0, 12.0 + 15 * k) for k, name in enumerate(LEADS))
    layout = Layout("12x1", panels, 25.0, 10.0, "printed", "assumed", 0.9, "6x2", 0.4)
    x = np.arange(10.0, 260.0, 0.5)
    traces = (Trace(0, x, np.full_like(x, 12.0), np.full_like(x, 0.05), np.ones_like(x)),)
    checks = Checks((Check("einthoven", "passed", -31.0, "dB", "I + III = II"),))
    image = np.full((600, 810, 3), 240, np.uint8)
    return PageStory(
        "ward & 3.jpg",
        rec,
        image,
        PageMap.scale(3.0),
        layout,
        traces,
        (0, 0, 270, 200),
        checks,
        (3.0, 3.01),
        "grid",
        1.5,
    )


def test_a_report_says_all_that_is_known_in_one_file(story: PageStory) -> None:
    read = Reader(page_report(story))
    assert read.asked
    assert all(a.startswith("data:image/") for a in read.asked)
    for words in (
        "ward & 3.jpg",
        "partial",
        "no pulse and no print: 10 mm/mV was <assumed>",
        "12x1: 12 rows of 1",
        "next best 6x2",
        "read in print",
        "assumed, nothing on the page says so",
        "3.00 × 3.01 px/mm",
        "from the grid",
        "1.5°",
        "Heart rate",
        "90%",
        "not printed or not seen",
        "einthoven passed -31 dB I + III = II",
        "c0ffee",
        "trace 3",
    ):
        assert words in read.text
    rate = re.search(r"Heart rate (\d+\.\d) bpm", read.text)
    assert rate is not None
    assert 65 < float(rate[1]) < 75
    for name in ("PR", "QRS", "QT", "QTc (Bazett)"):
        assert re.search(re.escape(name) + r" \d+ ms (±|under) \d+ ms", read.text)


def test_a_failed_page_has_a_report_too() -> None:
    problem = Problem("not-an-ecg", "grid", "this is a cat", "error")
    failed = PageStory("cat.png", Recording.empty(problems=(problem,)), np.zeros((40, 50, 3), np.uint8))
    text = Reader(page_report(failed)).text
    assert "this is a cat" in text
    assert "Failed" in text
    assert "No signal was read" in text
    nothing = Reader(page_report(replace(failed, image=None))).text
    assert "could not be opened" in nothing
    assert report_png(failed, 300)[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_report_without_patient_data_shows_none(story: PageStory) -> None:
    image = story.image
    assert image is not None
    image = image.copy()
    image[:, :25] = 0
    shown = report_png(replace(story, image=image, deidentify=True), 810)
    picture = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 810
    assert picture[590:600, 300:400].mean() < 60  # below the last panel all is black but the grid


def test_the_index_puts_the_worst_first_and_links_every_page(story: PageStory) -> None:
    good = replace(story, name="good.png", recording=replace(story.recording, status="ok", problems=()))
    bad = PageStory("bad.png", Recording.empty(problems=(Problem("no-grid", "grid", "no paper", "error"),)))
    entries = [index_entry(s, f"{s.name}.html") for s in (good, story, bad)]
    html = index_report(entries, "ward")
    assert [html.index(n) for n in ("bad.png", "ward &amp; 3.jpg", "good.png")] == sorted(
        html.index(n) for n in ("bad.png", "ward &amp; 3.jpg", "good.png")
    )
    text = Reader(html).text
    assert "3 pages: 1 failed, 1 partial, 1 ok" in text
    assert 'href="good.png.html"' in html
    assert html.count("data:image/jpeg") == 2
    assert entries[0].confidence == pytest.approx(0.9)
    assert Reader(index_report([])).text.count("0 pages")
    many = IndexEntry("m", "m.html", "partial", 0.5, tuple("abcdef"))
    assert "and 2 more" in Reader(index_report([many])).text
