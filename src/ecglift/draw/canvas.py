"""A see-through sheet of pixels on which lines, areas and words are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""
Points = NDArray[np.float64]

_SHIFT: Final = 4

RED: Final[Colour] = (204, 32, 44)
AMBER: Final[Colour] = (240, 140, 20)
TEAL: Final[Colour] = (0, 158, 138)
BLUE: Final[Colour] = (0, 92, 200)
INK: Final[Colour] = (18, 18, 28)


def confidence_colours(confidence: NDArray[np.floating], sure: Colour = BLUE) -> NDArray[np.uint8]:
    """(n, 3) from red (0) over amber (0.5) to ``sure`` (1), to blue by way of teal, which stands out from black ink."""
    stops = {0.0: RED, 0.5: AMBER, **({0.8: TEAL} if sure == BLUE else {}), 1.0: sure}
    at, colours = list(stops), np.array(list(stops.values()), float)
    c = np.clip(np.nan_to_num(np.asarray(confidence, float)), 0, 1)
    return np.stack([np.interp(c, at, colours[:, k]) for k in range(3)], axis=-1).round().astype(np.uint8)


@lru_cache(maxsize=16)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)


class Canvas:
    """(height, width) pixels, at first empty. Points are (n, 2) px, x then y, the centre of the first pixel at (0, 0).

    ``rgba`` holds colours multiplied by their opacity: OpenCV's antialiasing blends them rightly then.
    """

    def __init__(self, height: int, width: int) -> None:
        self.rgba = np.zeros((height, width, 4), np.uint8)

    def line(self, points: Points, colour: Colour, width_px: float = 1.0, alpha: float = 1.0) -> None:
        """An antialiased line through ``points``; pieces between points that are not finite are left out."""
        for piece in _finite_pieces(points):
            cv2.polylines(
                self.rgba, [_fixed(piece)], False, _paint(colour, alpha), max(1, round(width_px)), cv2.LINE_AA, _SHIFT
            )

    def coloured_line(self, points: Points, colours: NDArray[np.uint8], width_px: float = 1.0) -> None:
        """A line whose colour ``colours`` (n, 3) changes on the way."""
        key = colours.astype(int) // 12
        change = np.flatnonzero(np.any(np.diff(key, axis=0), axis=1)) + 1
        edges = [0, *change.tolist(), len(points)]
        for a, b in pairwise(edges):
            r, g, blue = (int(v) for v in colours[a])
            self.line(points[a : b + 1], (r, g, blue), width_px)

    def area(self, points: Points, colour: Colour, alpha: float = 1.0) -> None:
        """A filled polygon."""
        if np.isfinite(points).all():
            cv2.fillPoly(self.rgba, [_fixed(points)], _paint(colour, alpha), cv2.LINE_AA, _SHIFT)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size_px: float,
        colour: Colour = INK,
        ground: Colour | None = None,
        anchor: Literal["left", "middle", "right"] = "left",
    ) -> float:
        """The width in px of ``words``, drawn with the baseline at ``y``, on a box of colour ``ground`` when given."""
        size = max(8, round(size_px))
        font = _font(size)
        left, top, right, bottom = (round(v) for v in font.getbbox(words, anchor="ls") if True) if _is_free(font) else (
            0, -size, size * len(words) // 2, 0
        )  # fmt: skip
        width = right - left
        x0 = round(x - {"left": 0, "middle": width / 2, "right": width}[anchor])
        y0 = round(y)
        pad = max(2, size // 5)
        box = (x0 + left - pad, y0 + top - pad, x0 + right + pad, y0 + bottom + pad)
        if ground is not None:
            cv2.rectangle(self.rgba, box[:2], box[2:], _paint(ground, 0.92), -1)
        height_px, width_px = self.rgba.shape[:2]
        a, b, c, d = max(box[0], 0), max(box[1], 0), min(box[2] + 1, width_px), min(box[3] + 1, height_px)
        if a < c and b < d:
            mask = Image.new("L", (c - a, d - b), 0)
            ImageDraw.Draw(mask).text((x0 - a, y0 - b), words, 255, font, anchor="ls" if _is_free(font) else None)
            cover = np.asarray(mask, np.float32)[..., None] / 255
            window = self.rgba[b:d, a:c]
            window[:] = np.round(window * (1 - cover) + np.array([*colour, 255], np.float32) * cover)
        return float(width)

    def over(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3) uint8: the canvas laid on ``image`` of the same size."""
        alpha = self.rgba[..., 3:].astype(np.uint16)
        mixed = self.rgba[..., :3] + (image.astype(np.uint16) * (255 - alpha) + 127) // 255
        return np.minimum(mixed, 255).astype(np.uint8)

    def straight(self) -> NDArray[np.uint8]:
        """(height, width, 4) uint8 RGBA with plain colours, as PNG files want them."""
        alpha = self.rgba[..., 3:].astype(np.float32)
        plain = np.where(alpha > 0, self.rgba[..., :3] * 255.0 / np.maximum(alpha, 1), 0)
        return np.concatenate([np.minimum(plain, 255).round().astype(np.uint8), self.rgba[..., 3:]], axis=2)


def _is_free(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> bool:
    """Whether Pillow was built with FreeType; without it there is one small bitmap font, which knows no anchors."""
    return isinstance(font, ImageFont.FreeTypeFont)


def _paint(colour: Colour, alpha: float) -> Sequence[float]:
    return tuple(round(v * alpha) for v in colour) + (round(255 * alpha),)


def _fixed(points: Points) -> NDArray[np.int32]:
    limit = 2**26  # far outside any picture, and still far from overflow in OpenCV's fixed point
    return np.round(np.clip(points * (1 << _SHIFT), -limit, limit)).astype(np.int32).reshape(-1, 1, 2)


def _finite_pieces(points: Points) -> list[Points]:
    """The runs of finite points, each with two points or more."""
    finite = np.isfinite(points).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], finite.astype(int), [0]])))
    return [points[a:b] for a, b in edges.reshape(-1, 2) if b - a > 1]


def to_png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of (h, w, 3) RGB or (h, w, 4) RGBA uint8."""
    code = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, code))[1])


def to_jpeg(image: NDArray[np.uint8], quality: int = 85) -> bytes:
    """A JPEG file of (h, w, 3) uint8 RGB."""
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
