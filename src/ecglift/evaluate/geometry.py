"""How far off the grid stage's millimetres are on captures whose true map is known.

``python -m ecglift.evaluate.geometry --pages 5`` prints a table, one line for each kind of capture.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecglift.geometry import PageMap
from ecglift.press.capture import KINDS, Capture, capture
from ecglift.press.compose import compose
from ecglift.press.page import Page
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style, random_style
from ecglift.problem import StageError


@dataclass(frozen=True)
class GeometryError:
    """One capture's answer. ``refused``: the problem's code, or "" when a grid was found.

    ``error_mm``: (n,) distance from the truth along the traces, after the best shift by whole squares and turn by
    quarters; ``scale_error``: largest relative error of the x and y scales; ``heavy``: the 5 mm lines are at multiples
    of 5."""

    kind: str
    refused: str
    error_mm: NDArray[np.float64]
    scale_error: float
    heavy: bool
    confidence: float
    residual_mm: float
    seconds: float

    @property
    def failed(self) -> bool:
        """Refused, or visibly wrong somewhere: a tenth of the traces off by more than a millimetre."""
        return bool(self.refused) or float(np.percentile(self.error_mm, 90)) > 1.0


def page_for(rng: np.random.Generator, competition: bool) -> Page:
    """A page of a simulated patient: the competition's sheet, or any sheet that has a grid."""
    style = competition_style(rng) if competition else random_style(rng)
    while style.grid_kind == "none":
        style = random_style(rng)
    patient = simulate(rng)
    return compose(rng, patient.mv, patient.fs_hz, style)


def compare(
    found: PageMap, true: PageMap, page: Page, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], float, bool]:
    """Errors (n,) in mm along the page's traces that lie in the picture (h, w), scale error, and whether the heavy
    lines are right."""
    points = np.concatenate([s.points_mm[::20] for s in page.strokes if s.kind == "trace"])
    px = true.to_px(points)
    inside = (px[:, 0] >= 0) & (px[:, 0] < shape[1]) & (px[:, 1] >= 0) & (px[:, 1] < shape[0])
    points, px = points[inside] - np.array(page.grid.box_mm[:2]), px[inside]
    mm = found.to_mm(px)
    fit = np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), mm, rcond=None)[0]
    turn = np.round(fit[:2])
    if abs(abs(np.linalg.det(turn)) - 1) > 1e-9:
        return np.full(len(points), 99.0), 1.0, False
    difference = mm - points @ turn
    shift = np.round(np.median(difference, axis=0))
    scale_error = float(np.abs(np.linalg.svd(fit[:2])[1] - 1).max())
    return np.linalg.norm(difference - shift, axis=1), scale_error, bool(np.all(np.mod(shift, 5) == 0))


def measure(shot: Capture) -> GeometryError:
    """The grid stage's errors on one capture."""
    from ecglift.stages.grid import find_grid
    from ecglift.stages.orient import find_orientation
    from ecglift.stages.rectify import rectify

    start = time.process_time()
    try:
        grid = find_grid(shot.image, orientation=find_orientation(shot.image))
        rectify(shot.image, grid.map, grid.bounds_mm)
    except StageError as error:
        seconds = time.process_time() - start
        return GeometryError(shot.kind, error.problem.code, np.empty(0), np.nan, False, 0.0, np.nan, seconds)
    seconds = time.process_time() - start
    distance, scale, heavy = compare(grid.map, shot.map, shot.page, shot.shape)
    return GeometryError(shot.kind, "", distance, scale, heavy, grid.confidence, grid.map.residual_mm, seconds)


def evaluate(
    kinds: tuple[str, ...], pages: int, seed: int = 0, competition: bool | None = None
) -> dict[str, list[GeometryError]]:
    """Errors by kind of capture for ``pages`` captures each. ``competition``: only (or none) of that layout; None
    alternates."""
    out: dict[str, list[GeometryError]] = {}
    for kind in kinds:
        for k in range(pages):
            rng = np.random.default_rng([seed, k, sum(map(ord, kind))])
            page = page_for(rng, k % 2 == 0 if competition is None else competition)
            found = measure(capture(page, kind, rng))
            out.setdefault(kind, []).append(found)
    return out


def table(results: dict[str, list[GeometryError]]) -> str:
    """The results as text, one line for each kind of capture."""
    lines = ["kind             n failed refused median_mm  95%_mm scale>0.2% heavy confidence     s"]
    for kind, found in results.items():
        good = [f for f in found if not f.failed]
        errors = np.concatenate([f.error_mm for f in good]) if good else np.array([np.nan])
        wrong, refused = sum(f.failed and not f.refused for f in found), sum(bool(f.refused) for f in found)
        stretched, heavy = sum(f.scale_error > 0.002 for f in good), sum(f.heavy for f in good)
        middle, high = np.percentile(errors, [50, 95])
        confidence, seconds = np.mean([f.confidence for f in found]), np.mean([f.seconds for f in found])
        lines.append(
            f"{kind:14}{len(found):4}{wrong:7}{refused:8}{middle:10.3f}{high:8.3f}{stretched:11}{heavy:6}"
            f"{confidence:11.2f}{seconds:6.2f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Errors of the grid stage on captures made by the press.")
    parser.add_argument("--pages", type=int, default=4, help="captures of each kind")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", action="store_true", help="one line a capture as well")
    options = parser.parse_args(argv)
    results: dict[str, list[GeometryError]] = {}
    for kind in options.kinds:
        here = evaluate((kind,), options.pages, options.seed)
        results |= here
        if options.each:
            for k, f in enumerate(here[kind]):
                middle, high = np.percentile(f.error_mm, [50, 95]) if len(f.error_mm) else (np.nan, np.nan)
                print(
                    f"{kind} {k}: {f.refused or 'read'} median {middle:.3f} 95% {high:.3f} scale {f.scale_error:.4f} "
                    f"heavy {f.heavy} confidence {f.confidence:.2f} residual {f.residual_mm:.3f} {f.seconds:.2f} s",
                    flush=True,
                )
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
