"""What stands around the page in a photo: tables, cloth, other papers, pens, fingers."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ecglift.press.optics import Field, Image, cloud

_REDUCED = 3
"""Backgrounds are drawn this many times smaller: they are out of focus or coarse, and nobody reads them."""


def _coloured(tone: Field, dark: NDArray[np.float64], bright: NDArray[np.float64]) -> Field:
    """A tone 0 … 1 (h, w) as a mixture of two colours (3,), (h, w, 3) float32 0 … 255."""
    t = np.clip(tone, 0, 1)[..., None]
    return np.asarray(dark.astype(np.float32) * (1 - t) + bright.astype(np.float32) * t, np.float32)


def wood(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A wooden table: grain along one direction, planks, a few knots."""
    height, width = shape
    size = max(height, width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(size)
    a = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.15)
    along, across = x * np.cos(a) + y * np.sin(a), -x * np.sin(a) + y * np.cos(a)
    wobble = cloud(rng, shape, 3) * np.float32(rng.uniform(0.005, 0.03))
    rings = np.sin((across + wobble + 0.1 * np.sin(along * 4)) * np.float32(2 * np.pi * rng.uniform(12, 50)))
    fine = cv2.resize(rng.standard_normal((height, max(width // 24, 2)), np.float32), (width, height))
    if abs(np.sin(a)) > 0.5:
        fine = cv2.resize(rng.standard_normal((max(height // 24, 2), width), np.float32), (width, height))
    tone = 0.5 + 0.18 * rings * rng.uniform(0.2, 1) + 0.1 * fine + 0.1 * cloud(rng, shape, 4)
    if rng.random() < 0.5:
        plank = rng.uniform(0.15, 0.4)
        tone -= np.where(np.abs((across / plank) % 1 - 0.5) > 0.495, 0.5, 0).astype(np.float32)
    hue = np.array([rng.uniform(90, 235), 0, 0])
    hue[1] = hue[0] * rng.uniform(0.6, 0.88)
    hue[2] = hue[1] * rng.uniform(0.45, 0.85)
    return _coloured(np.asarray(tone, np.float32), hue * rng.uniform(0.45, 0.75), hue)


def cloth(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A woven cloth or bed sheet: threads, sometimes stripes or checks, soft folds."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    a = rng.uniform(0, np.pi)
    u, v = x * np.cos(a) + y * np.sin(a), -x * np.sin(a) + y * np.cos(a)
    f = np.float32(rng.uniform(0.6, 2.2))
    tone = 0.6 + 0.08 * np.sin(u * f) * np.sin(v * f) + 0.16 * cloud(rng, shape, 3)
    if rng.random() < 0.5:
        period = np.float32(rng.uniform(15, 90))
        tone += 0.25 * ((u / period) % 1 < 0.4)
        if rng.random() < 0.5:
            tone += 0.25 * ((v / period) % 1 < 0.4)
    colour = rng.uniform(40, 250, 3)
    return _coloured(np.asarray(tone, np.float32), colour * rng.uniform(0.2, 0.7), colour)


def plain(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A painted, plastic or metal surface: nearly even, grey to any colour, with a little grain."""
    grey = rng.uniform(15, 245)
    colour = np.clip(grey * (1 + rng.normal(0, 0.2 if rng.random() < 0.5 else 0.02, 3)), 5, 250)
    tone = (
        0.7
        + rng.uniform(0, 0.12) * cloud(rng, shape, 2)
        + rng.uniform(0, 0.08) * rng.standard_normal(shape, np.float32)
    )
    return _coloured(np.asarray(tone, np.float32), colour * 0.4, colour)


def stone(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Granite, terrazzo or carpet: coarse speckles in a few colours."""
    tone = cloud(rng, shape, rng.uniform(40, 160), 2) * np.float32(rng.uniform(0.1, 0.35)) + np.float32(0.5)
    dark, bright = rng.uniform(20, 150, 3), rng.uniform(100, 240, 3)
    if rng.random() < 0.7:
        dark[:], bright[:] = dark.mean(), bright.mean()
    return _coloured(tone, dark, bright)


def papers(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """A desk with other sheets on it: edges, blocks of text, lines."""
    out = plain(rng, shape)
    height, width = shape
    for _ in range(rng.integers(1, 5)):
        w, h = rng.uniform(0.4, 1.1) * width, rng.uniform(0.4, 1.1) * height
        centre = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
        angle = float(rng.normal(0, 20))
        tone = rng.uniform(130, 250)
        corners = cv2.boxPoints((centre, (float(w), float(h)), angle))
        cv2.fillPoly(
            out,
            [corners.astype(np.int32)],
            tuple(float(v) for v in np.clip(tone + rng.normal(0, 8, 3), 0, 255)),
            cv2.LINE_AA,
        )
        a = np.radians(angle)
        right, down = np.array([np.cos(a), np.sin(a)]), np.array([-np.sin(a), np.cos(a)])
        for line in range(int(rng.integers(0, 30))):
            start = np.array(centre) - right * w * 0.42 + down * (line - 14) * h * 0.03
            stop = start + right * w * 0.84 * rng.uniform(0.3, 1)
            cv2.line(out, tuple(int(v) for v in start), tuple(int(v) for v in stop), (tone * 0.45,) * 3, 1, cv2.LINE_AA)
    return out


def _pen(canvas: Field, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    size = max(height, width)
    at, angle = rng.uniform([0, 0], [width, height]), rng.uniform(0, 2 * np.pi)
    end = at + size * rng.uniform(0.15, 0.4) * np.array([np.cos(angle), np.sin(angle)])
    colour, thick = rng.uniform(5, 235, 3), max(int(size * rng.uniform(0.008, 0.025)), 2)
    a, b = (int(at[0]), int(at[1])), (int(end[0]), int(end[1]))
    cv2.line(
        canvas,
        (a[0] + thick // 2, a[1] + thick // 2),
        (b[0] + thick // 2, b[1] + thick // 2),
        tuple(colour * 0.15),
        thick,
        cv2.LINE_AA,
    )
    for k, shade in ((1.0, 0.6), (0.6, 1.0), (0.2, 1.35)):
        cv2.line(
            canvas, a, b, tuple(float(v) for v in np.clip(colour * shade, 0, 255)), max(int(thick * k), 1), cv2.LINE_AA
        )


def _disc(canvas: Field, rng: np.random.Generator) -> None:
    """A cup, a coin, a roll of tape from above."""
    height, width = canvas.shape[:2]
    at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    radius = max(int(max(height, width) * rng.uniform(0.02, 0.12)), 3)
    colour = rng.uniform(20, 245, 3)
    for k, shade in ((1.0, 1.0), (0.86, 0.55), (0.8, 0.35 + rng.random())):
        cv2.circle(
            canvas, at, int(radius * k), tuple(float(v) for v in np.clip(colour * shade, 0, 255)), -1, cv2.LINE_AA
        )


def _slab(canvas: Field, rng: np.random.Generator) -> None:
    """A phone, a book, a keyboard, a stethoscope's box."""
    height, width = canvas.shape[:2]
    size = max(height, width)
    centre = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
    wide, high = float(size * rng.uniform(0.08, 0.3)), float(size * rng.uniform(0.08, 0.3))
    angle = float(rng.uniform(0, 180))
    colour = rng.uniform(5, 240, 3)
    for k, shade in ((1.0, 0.6), (0.94, 1.0)):
        box = cv2.boxPoints((centre, (wide * k, high * k), angle)).astype(np.int32)
        cv2.fillPoly(canvas, [box], tuple(float(v) for v in np.clip(colour * shade, 0, 255)), cv2.LINE_AA)


def background(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """A surface with objects, (h, w, 3) uint8, to lay a page on."""
    small = max(shape[0] // _REDUCED, 8), max(shape[1] // _REDUCED, 8)
    surface = (wood, cloth, plain, plain, stone, papers)[rng.integers(6)]
    canvas = np.ascontiguousarray(surface(rng, small), np.float32)
    for _ in range(rng.poisson(1.2)):
        (_pen, _disc, _slab)[rng.integers(3)](canvas, rng)
    if rng.random() < 0.4:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 3))
    return np.asarray(
        cv2.resize(cv2.convertScaleAbs(canvas), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def fingers(
    image: Image, rng: np.random.Generator, edge_px: NDArray[np.float64], inward: NDArray[np.float64], px_per_mm: float
) -> Image:
    """A finger or thumb that holds the sheet at ``edge_px`` (2,), reaching a few millimetres along ``inward`` (2,)
    over it."""
    out = image.copy()
    inward = inward / max(float(np.hypot(*inward)), 1e-9)
    inward = inward + rng.normal(0, 0.4, 2)
    width = rng.uniform(14, 20) * px_per_mm
    tip = edge_px + inward * rng.uniform(1, 7) * px_per_mm - inward * width / 2
    root = edge_px - inward * 90 * px_per_mm
    skin = np.array([rng.uniform(110, 235), 0, 0])
    skin[1] = skin[0] * rng.uniform(0.62, 0.82)
    skin[2] = skin[1] * rng.uniform(0.7, 0.9)
    for k, shade in ((1.0, 0.72), (0.85, 0.9), (0.55, 1.0)):
        colour = tuple(float(v) for v in np.clip(skin * shade, 0, 255))
        a, b = (int(root[0]), int(root[1])), (int(tip[0]), int(tip[1]))
        cv2.line(out, a, b, colour, max(min(int(width * k), 30000), 1), cv2.LINE_AA)
    if rng.random() < 0.6:
        nail = (
            (float(tip[0]), float(tip[1])),
            (float(width * 0.55), float(width * 0.65)),
            float(np.degrees(np.arctan2(inward[1], inward[0])) + 90),
        )
        cv2.ellipse(out, nail, tuple(float(v) for v in np.clip(skin * 1.12 + 8, 0, 255)), -1, cv2.LINE_AA)
    return out


def muted(image: Image, saturation: float) -> Image:
    """The picture (h, w, 3) with its colours mixed with their own grey; ``saturation`` 1 leaves them, 0 takes all."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.addWeighted(image, saturation, cv2.merge([grey] * 3), 1 - saturation, 0), np.uint8)


def viewer(shown: Image, rng: np.random.Generator, px_per_mm: float) -> tuple[Image, tuple[float, float]]:
    """A display that shows a page in a program's window: (h, w, 4) uint8 premultiplied RGBA at display pixels, and
    its corner in page mm.

    Around the page: the window's ground, bars with buttons, text or thumbnails, then the display's black bezel.
    """
    height, width = shown.shape[:2]
    left, right, top, bottom = (int(v) for v in rng.uniform(0, 0.18, 4) * max(width, height))
    bezel = int(rng.uniform(5, 25) * px_per_mm)
    ground = rng.choice([30, 60, 82, 128, 205, 240, 255]) + rng.normal(0, 3, 3)
    out = np.zeros((height + top + bottom + 2 * bezel, width + left + right + 2 * bezel, 4), np.uint8)
    out[..., 3] = 255
    out[..., :3] = np.uint8(rng.uniform(5, 45))
    inner = out[bezel : out.shape[0] - bezel, bezel : out.shape[1] - bezel]
    inner[..., :3] = np.clip(ground, 0, 255)
    for side, room in enumerate((top, bottom, left, right)):
        if room > 14 and rng.random() < 0.7:
            bar = (inner[: room // 2], inner[-(room // 2) :], inner[:, : room // 2], inner[:, -(room // 2) :])[side]
            _bar(bar, rng)
    inner[top : top + height, left : left + width, :3] = shown
    return out, (-(left + bezel) / px_per_mm, -(top + bezel) / px_per_mm)


def _bar(bar: Image, rng: np.random.Generator) -> None:
    """A tool bar, task bar or list, drawn in place."""
    tone = float(rng.uniform(20, 250))
    bar[..., :3] = np.uint8(tone)
    ink = (255 - tone,) * 3
    height, width = bar.shape[:2]
    layer = np.ascontiguousarray(bar[..., :3])
    for _ in range(int(rng.integers(2, 25))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        if rng.random() < 0.5:
            words = "".join(rng.choice(list("abcdefghiklmnoprstu  "), int(rng.integers(3, 16))))
            cv2.putText(layer, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)
        else:
            colour = tuple(float(c) for c in rng.uniform(0, 255, 3))
            cv2.rectangle(
                layer,
                (x, y),
                (x + int(rng.integers(6, 24)), y + int(rng.integers(6, 24))),
                colour,
                -1 if rng.random() < 0.6 else 1,
            )
    bar[..., :3] = layer
