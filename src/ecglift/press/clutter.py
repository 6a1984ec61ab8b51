"""What else stands on a page: logos, codes, stamps, handwriting, annotations, redactions, binders' holes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ecglift.press.header import some_words
from ecglift.press.page import Colour, Page, Patch, Stroke, Text
from ecglift.press.style import Style


def _logo(rng: np.random.Generator) -> NDArray[np.float32]:
    """A maker's or a hospital's sign (64, 64): a ring, a disc or a frame with a cross, a wave or bars in it."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    away = np.hypot(x, y) if rng.random() < 0.6 else np.maximum(np.abs(x), np.abs(y))
    width = float(rng.uniform(0.08, 0.25))
    filled = rng.random() < 0.5
    body = away < 0.95 if filled else np.abs(away - 0.85) < width / 2
    inner = (
        (np.minimum(np.abs(x), np.abs(y)) < width) & (np.maximum(np.abs(x), np.abs(y)) < 0.6),
        (np.abs(y - 0.35 * np.sin(3 * np.pi * x)) < width) & (np.abs(x) < 0.65),
        (np.sin(np.pi * x * float(rng.integers(2, 5))) > 0.2) & (np.abs(y) < 0.5) & (np.abs(x) < 0.6),
    )[int(rng.integers(3))]
    return np.asarray(body ^ inner if filled else body | inner, np.float32)


_HOLE_MM: Final = 6.0
_HOLE_IN_MM: Final = 12.0
"""Diameter of a binder's hole and how far its middle lies from the edge (ISO 838)."""


def _holes(rng: np.random.Generator, page: Page) -> list[Patch]:
    """Two, three or four holes for a binder along one edge; what lies under the sheet shows through them."""
    apart, n = ((80.0, 2), (108.0, 3), (80.0, 4))[int(rng.choice(3, p=[0.6, 0.25, 0.15]))]
    side = int(rng.choice(4, p=[0.4, 0.4, 0.1, 0.1]))  # left, top, right, bottom
    length, depth = (page.height_mm, page.width_mm) if side % 2 == 0 else (page.width_mm, page.height_mm)
    if apart * (n - 1) + 2 * _HOLE_MM > length:
        return []
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    disc = np.clip((1 - np.hypot(x, y)) * 24, 0, 1).astype(np.float32)
    shade = float(rng.choice([0.03, 0.2, 0.45, 0.7, 0.95], p=[0.35, 0.2, 0.2, 0.15, 0.1]))
    away = _HOLE_IN_MM + float(rng.normal(0, 1.5))
    start = 0.5 * (length - apart * (n - 1)) + float(rng.normal(0, 4))
    out = []
    for k in range(n):
        along, across = start + k * apart, away if side < 2 else depth - away
        cx, cy = (across, along) if side % 2 == 0 else (along, across)
        half = _HOLE_MM / 2
        out.append(Patch(disc, (cx - half, cy - half, cx + half, cy + half), (shade, shade, shade)))
    return out


def _scribble(rng: np.random.Generator, x: float, y: float, size: float) -> NDArray[np.float64]:
    """A hand's smooth line (n, 2) mm around a point."""
    n = int(rng.integers(4, 12))
    knots = np.cumsum(rng.normal(0, 1, (n, 2)), axis=0)
    knots[:, 0] += np.linspace(0, n * 0.6, n)
    t = np.linspace(0, n - 1, n * 12)
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.arange(n), knots)(t)
    return np.asarray((curve - curve.mean(axis=0)) / max(np.ptp(curve), 1e-6) * size + (x, y))


def _code(rng: np.random.Generator) -> NDArray[np.float32]:
    """A square matrix code, or a bar code."""
    if rng.random() < 0.5:
        return rng.integers(0, 2, (25, 25)).astype(np.float32)
    return np.repeat(rng.integers(0, 2, (1, 60)), 12, axis=0).astype(np.float32)


def clutter(
    rng: np.random.Generator, page: Page, style: Style
) -> tuple[tuple[Stroke, ...], tuple[Text, ...], tuple[Patch, ...]]:
    """Handwriting, stamps, codes, logos, holes, redactions and annotations; more of it the larger ``style.clutter``
    (0 to 1)."""
    strokes: list[Stroke] = []
    texts: list[Text] = []
    patches: list[Patch] = []
    much = style.clutter
    if much <= 0.02:
        return (), (), ()
    pens: tuple[Colour, ...] = ((0.1, 0.15, 0.55), (0.05, 0.05, 0.05), (0.6, 0.1, 0.1), (0.15, 0.4, 0.2))

    def anywhere() -> tuple[float, float]:
        return float(rng.uniform(5, page.width_mm - 5)), float(rng.uniform(5, page.height_mm - 5))

    for _ in range(rng.poisson(1.5 * much)):
        pen = pens[int(rng.integers(len(pens)))]
        points = _scribble(rng, *anywhere(), float(rng.uniform(5, 30)))
        strokes.append(Stroke("scribble", points, float(rng.uniform(0.25, 0.7)), pen))
    for _ in range(rng.poisson(1.0 * much)):  # a ruler line or an arrow across the page
        x, y = anywhere()
        angle, length = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(5, 40))
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        strokes.append(
            Stroke("scribble", np.array([(x, y), end]), float(rng.uniform(0.2, 0.6)), pens[int(rng.integers(4))])
        )
    for _ in range(rng.poisson(4 * much)):  # words and numbers near the rows
        panel = page.layout.panels[int(rng.integers(len(page.layout.panels)))]
        word = some_words(rng) if rng.random() < 0.4 else f"{rng.normal(0, 1):.2f}"
        x, y = (
            float(rng.uniform(panel.x0_mm, max(panel.x1_mm - 8, panel.x0_mm + 1))),
            panel.baseline_mm + float(rng.normal(0, 7)),
        )
        texts.append(Text("text", word, x, y, float(rng.uniform(1.2, 3)), style.fonts[1]))
    for _ in range(rng.poisson(0.4 * much)):
        x, y = anywhere()
        size = float(rng.uniform(6, 18))
        patches.append(Patch(_code(rng), (x, min(y, 25.0), x + size, min(y, 25.0) + size), (0.05, 0.05, 0.05)))
    for _ in range(rng.poisson(0.6 * much)):  # redaction: mostly in the header
        x, y = (
            float(rng.uniform(2, page.width_mm * 0.8)),
            float(rng.uniform(1, 30) if rng.random() < 0.8 else anywhere()[1]),
        )
        shade = 0.02 if rng.random() < 0.7 else 0.9
        patches.append(
            Patch(
                np.ones((2, 2), np.float32),
                (x, y, x + float(rng.uniform(10, 60)), y + float(rng.uniform(3, 9))),
                (shade, shade, shade),
            )
        )
    if rng.random() < 0.4 * much:  # a round stamp
        x, y = anywhere()
        r = float(rng.uniform(8, 16))
        a = np.linspace(0, 2 * np.pi, 80)
        pen = pens[int(rng.integers(len(pens)))]
        for radius in (r, r * 0.8):
            strokes.append(Stroke("scribble", np.stack([x + radius * np.cos(a), y + radius * np.sin(a)], 1), 0.4, pen))
        texts.append(Text("text", some_words(rng)[:12], x - r * 0.6, y, r * 0.18, style.fonts[2], pen))
    if rng.random() < 0.5 * much:  # crosses and calliper ticks on the trace
        panel = page.layout.panels[int(rng.integers(len(page.layout.panels)))]
        for x in rng.uniform(panel.x0_mm, panel.x1_mm, int(rng.integers(2, 6))):
            y = panel.baseline_mm - float(rng.uniform(2, 10))
            strokes.append(Stroke("scribble", np.array([(x, y), (x, y - 4)]), 0.3, pens[int(rng.integers(4))]))
    if not style.frozen:
        if rng.random() < 0.15:
            patches += _holes(rng, page)
        if style.header > 0 and rng.random() < 0.2:
            size = float(rng.uniform(5, 14))
            x, y = float(rng.uniform(2, page.width_mm - size)), float(rng.uniform(1, 8))
            patches.append(Patch(_logo(rng), (x, y, x + size, y + size), pens[int(rng.integers(len(pens)))]))
    return tuple(strokes), tuple(texts), tuple(patches)
