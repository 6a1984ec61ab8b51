"""Pieces of pages for the word network."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from ecglift.models.words import WORDS
from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import random_style
from ecglift.training.word_crops import (
    draw_word,
    header_line,
    places,
    revalued,
    spotted,
    with_numbers,
    words_of,
)


def test_every_usual_scale_is_printed_about_equally_often() -> None:
    rng = np.random.default_rng(2)
    mv = simulate(rng, 10.0, 250.0).mv
    pages = [revalued(rng, compose(rng, mv, 250.0, random_style(rng))) for _ in range(150)]
    scales = Counter(word.name for page in pages for word in words_of(page) if "mm/" in word.name)
    assert set(scales) == {word for word in WORDS if "mm/" in word}
    speeds, gains = ([n for name, n in scales.items() if name.endswith(unit)] for unit in ("mm/s", "mm/mV"))
    assert max(speeds) < 2 * min(speeds)
    assert max(gains) < 2 * min(gains)
    page = next(page for page in pages if any("mm/" in word.name for word in words_of(page)))
    drawn = [word for _ in range(20) for word in places(rng, page, 10)]
    assert 0.2 < np.mean(["mm/" in word.name for word in drawn]) < 0.8
    image, index = draw_word(rng, page, drawn[0])
    assert image.shape == (64, 192, 3)
    assert WORDS[index] == drawn[0].name


def test_numbers_that_are_no_scale_are_looked_at() -> None:
    """ "QT 390/412 ms" was read as 5 mm/mV, on a page that tells no gain."""
    rng = np.random.default_rng(3)
    lines = [header_line(rng) for _ in range(300)]
    assert not any("mm/" in line for line in lines)
    assert np.mean([any(c.isdigit() for c in line) for line in lines]) > 0.9
    page = compose(rng, simulate(rng, 10.0, 250.0).mv, 250.0, replace(random_style(rng), header=1.0))
    told = with_numbers(rng, page)
    assert words_of(told) == words_of(page)
    assert {t.text for t in told.texts} != {t.text for t in page.texts}


def test_spots_darken_a_piece_in_places_only() -> None:
    paper = np.full((64, 192, 3), 230, np.uint8)
    dirty = spotted(np.random.default_rng(1), paper, 8.0)
    assert (dirty <= paper).all()
    assert 0.001 < np.mean(dirty[..., 0] < 200) < 0.8
