"""Where a row's lines have their first and last samples, as the network of ends sees them."""

from __future__ import annotations

from collections.abc import Sequence

from ecglift.models.ends import End, Place, find_ends, look_at
from ecglift.models.runtime import load
from ecglift.models.strip import RowRead


def row_ends(read: RowRead, spans_mm: Sequence[tuple[float, float]]) -> list[tuple[End | None, End | None]]:
    """Where the row's lines, which are thought to reach over ``spans_mm``, have their first and last samples, None
    where that is not seen."""
    places = [
        Place(x_mm, outward, 0 <= k + outward < len(spans_mm))
        for k, span in enumerate(spans_mm)
        for x_mm, outward in zip(span, (-1, 1), strict=True)
    ]
    found = find_ends(load("ends"), [look_at(read, place) for place in places])
    return list(zip(found[::2], found[1::2], strict=True))
