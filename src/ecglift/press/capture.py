"""From a printed page to what a scanner, a camera or a screen makes of it, with the exact map between paper and
picture.

Each kind of capture is one function of a page, a random generator and settings. Geometry comes first and becomes one
:class:`~ecglift.geometry.PageMap`; the page is rendered once and resampled once through that map; everything after
only changes values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.press import optics, photos, scans, screens
from ecglift.press.frame import CaptureSettings, Drawn, part, resized
from ecglift.press.optics import Image
from ecglift.press.page import Page

__all__ = ["COMPETITION_KINDS", "KINDS", "Capture", "CaptureSettings", "capture"]

KINDS: Final[tuple[str, ...]] = (
    "clean",
    "colour_scan",
    "bw_scan",
    "fax",
    "print_scan",
    "photo",
    "photo_crop",
    "photo_folded",
    "screen",
    "stained",
    "damaged",
    "mould_colour",
    "mould_bw",
)
"""The kinds of capture."""

COMPETITION_KINDS: Final[dict[str, str]] = {
    "0001": "clean",
    "0003": "colour_scan",
    "0004": "bw_scan",
    "0005": "photo",
    "0006": "screen",
    "0009": "stained",
    "0010": "damaged",
    "0011": "mould_colour",
    "0012": "mould_bw",
}
"""The competition's image types by number and the kind that imitates each."""


@dataclass(frozen=True)
class Capture:
    """A picture of a page and where each point of the page is in it.

    ``image``: (h, w, 3) uint8 RGB; ``map``: page mm → image px; ``meta``: what was drawn for this capture, plain JSON
    values, with "seed", the generator's own seed as far as it knows it.
    """

    image: Image
    map: PageMap
    kind: str
    page: Page
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in px."""
        return self.image.shape[0], self.image.shape[1]


def capture(page: Page, kind: str, rng: np.random.Generator, settings: CaptureSettings | None = None) -> Capture:
    """A capture of the page, one of :data:`KINDS`; the same generator state gives the same bytes.

    ValueError for an unknown kind.
    """
    if kind not in _MAKERS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    seed = getattr(rng.bit_generator.seed_seq, "entropy", None)
    spawn_key = getattr(rng.bit_generator.seed_seq, "spawn_key", ())
    settings = settings or CaptureSettings()
    image, page_map, meta = _MAKERS[kind](page, rng, settings)
    if settings.cut > 0 and kind in _PHOTOS and rng.random() < settings.cut:
        image, page_map, meta = _cut(image, page_map, meta, rng)
    if settings.messaged > 0 and rng.random() < settings.messaged:
        image, page_map, meta = _messaged(image, page_map, meta, rng)
    image = np.ascontiguousarray(image)
    image.setflags(write=False)
    return Capture(image, page_map, kind, page, {**meta, "seed": [str(seed), *(int(k) for k in spawn_key)]})


_PHOTOS: Final = frozenset({"photo", "photo_crop", "photo_folded", "screen", "stained", "damaged"})
_CUT_MOST: Final = 0.16
"""Part of a picture's side that is cut off at the most: a column of four is a quarter of its row."""


def _cut(image: Image, page_map: PageMap, meta: dict[str, Any], rng: np.random.Generator) -> Drawn:
    """The picture without a strip along one of its sides or two: whoever took it stood too near. The sheet is seldom
    straight in it, so that every row is cut at another place."""
    height, width = image.shape[:2]
    left, top, right, bottom = (
        int(share * side) for share, side in zip(_shares(rng), (width, height, width, height), strict=True)
    )
    rest, page_map = part(image, page_map, left, top, width - right, height - bottom)
    return rest, page_map, {**meta, "cut_px": [left, top, right, bottom]}


def _shares(rng: np.random.Generator) -> NDArray[np.float64]:
    """(4,) parts cut off at the left, top, right and bottom, of which at most two are not zero; sides oftener than top
    and bottom."""
    shares = np.zeros(4)
    sides = rng.choice(4, int(rng.integers(1, 3)), replace=False, p=[0.35, 0.15, 0.35, 0.15])
    shares[sides] = rng.uniform(0.01, _CUT_MOST, len(sides))
    return shares


_LONG_SIDES_PX: Final = (800, 1024, 1280, 1280, 1600, 1600, 2048)
"""To which messaging apps reduce a picture's longer side; larger ones only."""


def _messaged(image: Image, page_map: PageMap, meta: dict[str, Any], rng: np.random.Generator) -> Drawn:
    """The picture after one or two messaging apps, each of which makes it smaller and a JPEG of its own."""
    for _ in range(int(rng.integers(1, 3))):
        factor = min(float(rng.choice(_LONG_SIDES_PX)) / max(image.shape), 1.0)
        image, page_map = resized(np.ascontiguousarray(image), page_map, factor)
        meta = {**meta, "jpeg": int(rng.integers(45, 86)), "messaged": [*meta.get("messaged", []), image.shape[1]]}
        image = optics.jpeg(image, meta["jpeg"])
    return image, page_map, meta


_MAKERS: Final[dict[str, Callable[[Page, np.random.Generator, CaptureSettings], Drawn]]] = {
    "clean": scans.clean,
    "colour_scan": scans.colour_scan,
    "bw_scan": scans.bw_scan,
    "fax": scans.fax,
    "print_scan": scans.print_scan,
    "photo": photos.photo,
    "photo_crop": photos.photo_crop,
    "photo_folded": photos.photo_folded,
    "screen": screens.screen,
    "stained": photos.stained,
    "damaged": photos.damaged,
    "mould_colour": scans.mould_colour,
    "mould_bw": scans.mould_bw,
}
