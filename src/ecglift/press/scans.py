"""Captures without a camera: clean rasters, scanners, printers, fax machines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import cv2
import numpy as np

from ecglift.geometry import PageMap
from ecglift.press import damage, optics, warp
from ecglift.press.frame import (
    CaptureSettings,
    Drawn,
    between_boxes,
    cropped,
    drawn_turn,
    laid_on,
    rendered,
    resized,
    scale,
    turned_size,
)
from ecglift.press.optics import Image
from ecglift.press.page import Page
from ecglift.press.render import render

Tone = Literal["colour", "grey", "bilevel"]


def clean(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A raster straight from the page: an export, or a screenshot of one."""
    px_per_mm = scale(page, rng, s, 72 / 25.4, 300 / 25.4, 1.0)
    meta: dict[str, Any] = {"px_per_mm": px_per_mm}
    rotation, turns = drawn_turn(rng, s, 0.0)
    if rotation == 0.0 and turns == 0:
        box: warp.Box = (0.0, 0.0, page.width_mm, page.height_mm)
        if not s.plain and rng.random() < 0.3:
            box = between_boxes(box, page, rng)
        image = render(page, px_per_mm, box)
        page_map = PageMap.scale(px_per_mm, (-0.5 - box[0] * px_per_mm, -0.5 - box[1] * px_per_mm))
    else:
        width_mm, height_mm = turned_size(page.width_mm, page.height_mm, rotation + 90 * turns)
        frame = max(round(width_mm * px_per_mm), 16), max(round(height_mm * px_per_mm), 16)
        scales = px_per_mm, px_per_mm
        page_map = warp.affine_map(page.width_mm, page.height_mm, scales, rotation + 90 * turns, frame)
        shape = frame[1], frame[0]
        image, alpha = rendered(page, page_map, warp.inverse(page_map, shape), None, None)
        if alpha is not None:
            image = laid_on(image, alpha, np.full_like(image, 255))
    if not s.plain:
        if rng.random() < 0.25:
            image, page_map = resized(image, page_map, max(float(rng.uniform(0.6, 1.0)), min(2.6 / px_per_mm, 1.0)))
        if rng.random() < 0.4:
            meta["jpeg"] = int(rng.integers(30, 99))
            image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.6))
    return image, replace(page_map, residual_mm=0.0), meta


def _scan_map(
    page: Page, rng: np.random.Generator, s: CaptureSettings, px_per_mm: tuple[float, float]
) -> tuple[PageMap, tuple[int, int]]:
    """Map and (height, width) of a page on a scanner: a little crooked, cropped or with the lid around it, fed
    unevenly."""
    rotation, turns = drawn_turn(rng, s, 0.9 if rng.random() < 0.8 else 3.0)
    total = rotation + 90 * turns
    width_mm, height_mm = turned_size(page.width_mm, page.height_mm, total)
    if rng.random() < 0.6:
        width_mm, height_mm = (v + rng.uniform(-5, 12) for v in (width_mm, height_mm))
    frame = max(round(width_mm * px_per_mm[0]), 16), max(round(height_mm * px_per_mm[1]), 16)
    turn = warp.affine_map(0.0, 0.0, (1.0, 1.0), total, (1, 1)).homography
    # The turn happens on the glass, before the scanner's unequal scales: mm about the page's middle → turned mm → px.
    centre = np.array([[1, 0, -page.width_mm / 2], [0, 1, -page.height_mm / 2], [0, 0, 1.0]])
    stretch = np.array([[px_per_mm[0], 0, (frame[0] - 1) / 2], [0, px_per_mm[1], (frame[1] - 1) / 2], [0, 0, 1.0]])
    shift = np.array([[1, 0, rng.normal(0, 1.0)], [0, 1, rng.normal(0, 1.0)], [0, 0, 1.0]])
    homography = stretch @ shift @ turn @ centre
    page_map = PageMap(homography)
    if rng.random() < 0.5:
        shape = warp.flat_shape(page.width_mm, page.height_mm, 5.0)
        nodes = shape.nodes_mm()
        along = nodes[..., turns % 2 - 1]  # the page's axis that lies along the feed
        error_mm = sum(
            rng.normal(0, 0.08) * np.sin(2 * np.pi * along / rng.uniform(60, 500) + rng.uniform(0, 6.3)) * s.severity
            for _ in range(3)
        )
        residual = np.zeros((*along.shape, 2))
        residual[..., 1] = np.asarray(error_mm) * px_per_mm[1]
        page_map = PageMap(homography, shape.origin_mm, shape.step_mm, residual, 0.0)
    return page_map, (frame[1], frame[0])


def scanned(
    page: Page,
    rng: np.random.Generator,
    s: CaptureSettings,
    tone: Tone,
    wear: damage.Wear | None = None,
    printer: Callable[[Image, float], Image] | None = None,
) -> Drawn:
    """A page with some ``wear``, perhaps from a ``printer``, on a scanner: lid, dust, streaks, gamma, noise,
    threshold, JPEG."""
    px_per_mm = scale(page, rng, s, 2.8, 12.0, 1.05)
    stretch = 1 + rng.normal(0, 0.004) * s.severity
    page_map, shape = _scan_map(page, rng, s, (px_per_mm * stretch, px_per_mm / stretch))
    back = warp.inverse(page_map, shape)
    image, alpha = rendered(page, page_map, back, wear, printer)
    if alpha is not None:
        lid = np.full_like(image, 0)
        lid[:] = np.clip(
            (rng.choice([252, 235, 120, 12]) if rng.random() < 0.8 else rng.uniform(0, 255)) + rng.normal(0, 4, 3),
            0,
            255,
        )
        fall = optics.cloud(rng, optics.field_shape(shape), 2, 1) * np.float32(0.03) + np.float32(0.97)
        image = laid_on(image, alpha, optics.lit(lid, np.repeat(fall[..., None], 3, axis=2)))
        if rng.random() < 0.6:  # the sheet's edge lifts off the glass and throws a shadow
            image = _edge_shadow(image, alpha, rng, px_per_mm)
    image = optics.blurred(image, rng, min(rng.uniform(0.2, 1.0), 0.16 * px_per_mm))
    if rng.random() < 0.5:
        light = optics.ambient(rng, shape, rng.uniform(0, 0.25) * s.severity)
        image = optics.lit(image, light)
    if rng.random() < 0.4:
        image = optics.streaks(image, rng, int(rng.poisson(2)))
    if rng.random() < 0.5:
        image = optics.specks(image, rng, int(rng.poisson(12 * s.severity)), px_per_mm)
    # Scanners often clip paper to white, which thins or loses a pale grid; a trace must survive.
    exposure = rng.uniform(0.9, 1.12)
    image = optics.toned(image, exposure, optics.balance(rng, 0.02), rng.uniform(0, 0.7), rng.uniform(0.75, 1.5))
    image = optics.sensed(image, rng, rng.uniform(0.3, 5) * s.severity, bayer=False)
    if rng.random() < 0.5:
        image = optics.finished(image, rng, 0.0, float(rng.uniform(0, 1.5)), float(rng.uniform(0.7, 1.5)))
    meta: dict[str, Any] = {"px_per_mm": px_per_mm, "tone": tone}
    if tone == "grey":
        image = optics.as_rgb(optics.as_grey(image))
    elif tone == "bilevel":
        grey = optics.as_grey(image)
        ink, paper = (float(np.percentile(grey, q)) for q in (0.5, 80))
        how = str(rng.choice(["threshold", "ordered", "diffused"], p=[0.7, 0.1, 0.2]))
        image = optics.as_rgb(optics.bilevel(grey, rng, ink + (paper - ink) * rng.uniform(0.5, 0.85), how))
        meta["dither"] = how
    if rng.random() < 0.15:
        image, page_map = cropped(image, page_map, between_boxes((0, 0, page.width_mm, page.height_mm), page, rng))
    if rng.random() < 0.2 and px_per_mm > 4:
        image, page_map = resized(image, page_map, float(rng.uniform(max(0.5, 2.8 / px_per_mm), 1.0)))
    if rng.random() < (0.25 if tone == "bilevel" else 0.75):
        meta["jpeg"] = int(rng.integers(35, 98))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.7))
    return image, replace(page_map, residual_mm=0.0), meta


def _edge_shadow(image: Image, alpha: Image, rng: np.random.Generator, px_per_mm: float) -> Image:
    """The lid darkened beside the sheet's edge."""
    height, width = alpha.shape
    k = 4
    small = cv2.resize(alpha, (max(width // k, 2), max(height // k, 2)), interpolation=cv2.INTER_AREA)
    near = cv2.GaussianBlur(small, (0, 0), max(rng.uniform(0.4, 2.0) * px_per_mm / k, 0.5)).astype(np.float32) / 255
    dark = np.float32(rng.uniform(0.1, 0.7)) * near * (1 - small.astype(np.float32) / 255)
    return optics.lit(image, np.repeat((1 - dark)[..., None], 3, axis=2))


def colour_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A flatbed scan in colour."""
    return scanned(page, rng, s, "colour")


def bw_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A flatbed scan in grey or in black and white."""
    return scanned(page, rng, s, "grey" if rng.random() < 0.6 else "bilevel")


def printer(rng: np.random.Generator) -> Callable[[Image, float], Image]:
    """A printer that shows tints as dots: laser screens, ink-jet scatter, toner noise."""
    cell_mm, angle, hardness = rng.uniform(0.16, 0.36), rng.uniform(0, np.pi / 2), rng.uniform(1.5, 5)
    grey = bool(rng.random() < 0.4)
    strength = rng.uniform(0.4, 1.0)
    grain = rng.uniform(0, 0.25)
    grain_rng = np.random.default_rng(rng.integers(2**62))

    def printed(raster: Image, px_per_mm: float) -> Image:
        source = optics.as_rgb(optics.as_grey(raster)) if grey else raster
        screened = optics.halftoned(source, px_per_mm, cell_mm, angle, hardness)
        out = cv2.addWeighted(source, 1 - strength, screened, strength, 0)
        if grain > 0.05:
            tile = grain_rng.standard_normal((min(out.shape[0], 700), out.shape[1]), np.float32)
            speckle = np.resize(tile, out.shape[:2]) * np.float32(grain) * (255 - optics.as_grey(out))
            out = cv2.add(out, cv2.merge([speckle] * 3), dtype=cv2.CV_8U)
        return np.asarray(out, np.uint8)

    return printed


def print_scan(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A print-out, its tints broken into dots, and a scan of it."""
    screened = printer(rng)
    tone: Tone = rng.choice(np.array(["colour", "grey", "bilevel"]), p=[0.6, 0.3, 0.1])
    return scanned(page, rng, s, tone, printer=screened)


def fax(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """ITU-T T.4: 204 dpi across, 98 (standard) or 196 (fine) lines an inch down, bilevel, with the line's faults."""
    across = 204 / 25.4
    fine = bool(rng.random() < 0.7)
    page_map, shape = _scan_map(page, rng, replace(s, px_per_mm=None), (across, 196 / 25.4))
    back = warp.inverse(page_map, shape)
    image, alpha = rendered(page, page_map, back, None, None)
    if alpha is not None:
        image = laid_on(image, alpha, np.full_like(image, 255))
    grey = cv2.GaussianBlur(optics.as_grey(image), (0, 0), rng.uniform(0.3, 0.7))
    rows, columns = grey.shape
    if not fine:
        grey = cv2.resize(grey, (columns, max(rows // 2, 8)), interpolation=cv2.INTER_AREA)
    ink, paper = (float(np.percentile(grey, q)) for q in (0.5, 80))
    how = "threshold" if rng.random() < 0.75 else "diffused"
    black = optics.bilevel(grey, rng, ink + (paper - ink) * rng.uniform(0.5, 0.85), how)
    black = optics.line_errors(black, rng, int(rng.poisson(6 * s.severity)))
    if rng.random() < 0.4:
        salt = rng.random(black.shape, np.float32)
        black[salt < rng.uniform(0, 0.002)] = 0
    meta = {"fine": fine, "dither": how, "px_per_mm": across}
    fy = black.shape[0] / rows
    # Programs that show a fax make its pixels square again, by repeating lines or by averaging; some keep the file as
    # it is.
    if fine and rng.random() < 0.5:
        target = (columns, black.shape[0])
    else:
        target = (columns, round(rows * 204 / 196)) if rng.random() < 0.8 else (columns, black.shape[0])
    nearest = cv2.resize(
        black, target, interpolation=cv2.INTER_NEAREST_EXACT if rng.random() < 0.5 else cv2.INTER_LINEAR
    )
    sy = target[1] / black.shape[0] * fy
    image = optics.as_rgb(np.asarray(nearest, np.uint8))
    page_map = page_map.after(np.array([[1, 0, 0], [0, sy, 0.5 * sy - 0.5], [0, 0, 1.0]]))
    factor = min(
        1.0, (s.px_per_mm or across) / across, math.sqrt(s.max_megapixels * 1e6 / (image.shape[0] * image.shape[1]))
    )
    if factor < 1 or rng.random() < 0.3:
        image, page_map = resized(image, page_map, factor if factor < 1 else float(rng.uniform(0.5, 1)))
    return image, replace(page_map, residual_mm=0.0), meta


def mould_colour(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A mouldy page scanned in colour."""
    return scanned(page, rng, s, "colour", damage.mouldy(rng, page.width_mm, page.height_mm, s.severity))


def mould_bw(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A mouldy page scanned in grey."""
    # Where mould is as dark as ink a fixed threshold would swallow the trace, so these stay grey.
    return scanned(page, rng, s, "grey", damage.mouldy(rng, page.width_mm, page.height_mm, s.severity))
