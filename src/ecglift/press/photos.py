"""Photos of paper: a bent sheet on a table, light, and all that a phone does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from ecglift.geometry import PageMap
from ecglift.press import damage, optics, scene, warp
from ecglift.press.frame import (
    CaptureSettings,
    Drawn,
    between,
    drawn_turn,
    framed,
    laid_on,
    on_field,
    rendered,
    resized,
    scale,
    subject_mm,
)
from ecglift.press.optics import Field, Image
from ecglift.press.page import Page
from ecglift.press.scans import printer, scanned


@dataclass(frozen=True)
class PhotoStyle:
    """How bad a photo may get: bends in degrees of slope, chances, tilts in degrees."""

    crop: bool = False
    wave_deg: float = 7.0
    curl_deg: float = 25.0
    fold: float = 0.25
    crumple_mm: float = 0.25
    tilt_deg: float = 11.0


def _paper_shape(
    page: Page, rng: np.random.Generator, style: PhotoStyle, severity: float
) -> tuple[warp.Shape, list[damage.Crease]]:
    """The sheet in space and its creases."""
    shape = warp.flat_shape(page.width_mm, page.height_mm, 4.0 if style.fold == 0 and style.crumple_mm == 0 else 2.5)
    if rng.random() < 0.85:
        shape = warp.waved(shape, rng, abs(rng.normal(0, style.wave_deg)) * severity)
    for _ in range(rng.binomial(2, 0.4)):
        shape = warp.curled(shape, rng, rng.uniform(3, style.curl_deg) * severity)
    creases: list[damage.Crease] = []
    if rng.random() < style.fold:
        creases = damage.creases(rng, page.width_mm, page.height_mm, heavy=style.fold >= 1)
        for crease in creases:
            shape = warp.folded(
                shape,
                crease.angle_rad,
                crease.at_mm,
                crease.fold_deg * severity,
                rng.uniform(1.5, 5),
                rng.uniform(10, 60),
            )
    if style.crumple_mm > 0 and rng.random() < (0.3 if style.fold < 1 else 0.8):
        shape = warp.crumpled(shape, rng, rng.uniform(0.1, 1) * style.crumple_mm * severity)
    return warp.relaxed(shape), creases


def _relief(shape: warp.Shape, back: warp.Inverse, rng: np.random.Generator, depth: float) -> Field:
    """Light on the bent sheet relative to a flat one, at the nodes of the inverse, float32."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(25, 80))
    lamp = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
    facing = np.clip((shape.normals() @ lamp) / lamp[2], 0.2, 1.8).astype(np.float32)
    at = ((back.mm - shape.origin_mm) / shape.step_mm).astype(np.float32)
    seen = cv2.remap(facing, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(1 + np.float32(depth) * (seen - 1), np.float32)


def photographed(
    page: Page, rng: np.random.Generator, s: CaptureSettings, style: PhotoStyle, wear: damage.Wear | None = None
) -> Drawn:
    """A sheet with some ``wear`` on a table, as a phone sees it and sends it on."""
    px_per_mm = scale(page, rng, s, 3.0, 10.0, 1.7 if not style.crop else 1.0)
    # Pictures that were sent on are shrunk copies of larger ones.
    before = min(between(rng, 1.0, 2.6), 9.5 / px_per_mm) if px_per_mm < 7 and rng.random() < 0.75 else 1.0
    sensor_scale = px_per_mm * before
    rotation, turns = drawn_turn(rng, s, 2.5)
    tilt = style.tilt_deg * (0.3 + 0.7 * s.severity)
    pose = warp.Pose(
        float(np.clip(rng.normal(0, tilt), -38, 38)),
        float(np.clip(rng.normal(0, tilt), -38, 38)),
        -(rotation + 90 * turns),
        float(rng.uniform(0.65, 1.6)),
        float(rng.normal(0, 0.05)) * s.severity,
        float(rng.normal(0, 0.02)) * s.severity,
    )
    shape, creases = _paper_shape(page, rng, style, s.severity)
    subject = subject_mm(page) if style.crop else (0.0, 0.0, page.width_mm, page.height_mm)
    page_map, pixels = framed(page, rng, shape, pose, subject, style.crop, sensor_scale)
    back = warp.inverse(page_map, pixels)
    if creases:
        wear = (wear or damage.Wear.none(page.width_mm, page.height_mm)).creased(rng, creases)
    image, alpha = rendered(page, page_map, back, wear, printer(rng) if rng.random() < 0.08 else None)
    if alpha is not None:
        ground = scene.background(rng, pixels)
        if s.muted > 0 and rng.random() < s.muted:
            ground = scene.muted(ground, float(rng.beta(1.5, 3.0)))
        inner = alpha[:: optics.FIELD_STEP_PX, :: optics.FIELD_STEP_PX].astype(np.float32) / 255
        away = rng.normal(0, 0.006, 2) * max(inner.shape)
        moved = cv2.warpAffine(inner, np.array([[1, 0, away[0]], [0, 1, away[1]]]), (inner.shape[1], inner.shape[0]))
        drop = 1 - np.float32(rng.uniform(0, 0.7)) * cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.4, 3))
        image = laid_on(image, alpha, optics.lit(ground, np.repeat(np.asarray(drop, np.float32)[..., None], 3, axis=2)))
        for _ in range(rng.binomial(2, 0.06)):
            image = _held(image, page, page_map, rng, sensor_scale)
    image, meta = _exposed(image, rng, s, shape, back, sensor_scale)
    if before > 1:
        image, page_map = resized(image, page_map, 1 / before)
        if rng.random() < 0.4:  # programs that shrink a picture like to sharpen it
            image = optics.finished(image, rng, 0.0, float(rng.uniform(0.2, 1.2)), float(rng.uniform(0.5, 1.0)))
    for _ in range(1 + rng.binomial(2, 0.3)):
        meta["jpeg"] = int(rng.integers(32, 97))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.8))
    meta.update(
        px_per_mm=px_per_mm,
        tilt_deg=[pose.tilt_x_deg, pose.tilt_y_deg],
        rotation_deg=rotation,
        quarter_turns=turns,
        creases=len(creases),
    )
    return image, replace(page_map, residual_mm=0.0), meta


def _held(image: Image, page: Page, page_map: PageMap, rng: np.random.Generator, px_per_mm: float) -> Image:
    """A finger over one edge of the sheet."""
    side, at = rng.integers(4), rng.uniform(0.05, 0.95)
    w, h = page.width_mm, page.height_mm
    edge = np.array([(at * w, 0.0), (w, at * h), (at * w, h), (0.0, at * h)][side])
    inner = edge + np.array([(0, 5.0), (-5.0, 0), (0, -5.0), (5.0, 0)][side])
    start, stop = page_map.to_px(edge), page_map.to_px(inner)
    return scene.fingers(image, rng, start, stop - start, px_per_mm)


def _exposed(
    image: Image,
    rng: np.random.Generator,
    s: CaptureSettings,
    shape: warp.Shape,
    back: warp.Inverse,
    px_per_mm: float,
) -> tuple[Image, dict[str, Any]]:
    """Light on a sheet of paper, then all that the phone does."""
    pixels = image.shape[0], image.shape[1]
    grid = back.grid
    hard = 0.35 + 0.65 * s.severity
    light = on_field(optics.ambient(rng, pixels, (0.1 + 1.1 * rng.uniform() ** 2) * hard), grid)
    light *= np.clip(_relief(shape, back, rng, rng.uniform(0.3, 1.0)), 0.45, 1.5)[..., None]
    light *= (1 + np.float32(rng.uniform(0, 0.012)) * optics.cloud(rng, grid, 60, 2))[..., None]
    if rng.random() < 0.45:
        dark = on_field(optics.shadow(rng, pixels, rng.uniform(0.1, 0.65) * hard), grid)
        tint = 1 + (1 - dark)[..., None] * rng.normal(0, 0.08, 3).astype(np.float32)
        light *= dark[..., None] * tint
    haze = None
    if rng.random() < 0.22:
        haze = on_field(optics.glare(rng, pixels, rng.uniform(0.1, 0.6) * hard), grid)
    if rng.random() < 0.3:
        veil = np.full(grid, rng.uniform(0, 0.12), np.float32)
        haze = veil if haze is None else np.maximum(haze, veil)
    return developed(optics.lit(image, light, haze), rng, s, px_per_mm)


def developed(
    image: Image, rng: np.random.Generator, s: CaptureSettings, px_per_mm: float
) -> tuple[Image, dict[str, Any]]:
    """Lens, exposure, sensor and the phone's processing."""
    hard = 0.35 + 0.65 * s.severity
    if rng.random() < 0.3:
        image = optics.coloured_fringes(image, float(rng.normal(0, 0.0004)))
    image = optics.blurred(image, rng, min(between(rng, 0.3, 1.6), 0.16 * px_per_mm))
    middle = image[image.shape[0] // 4 : -image.shape[0] // 4 : 8, image.shape[1] // 4 : -image.shape[1] // 4 : 8]
    bright = max(float(np.percentile(middle, 70)) / 255, 0.1)
    wanted = rng.uniform(0.6, 1.02) if rng.random() < 0.88 else rng.uniform(0.35, 0.6)
    contrast = float(rng.uniform(0, 0.9))
    cast = optics.balance(rng, 0.025 if rng.random() < 0.6 else 0.08)
    image = optics.toned(image, wanted / bright, cast, contrast, float(rng.uniform(0.8, 2.0)), min(wanted, 1.0))
    noise = between(rng, 0.5, 7.0) * hard
    image = optics.sensed(image, rng, min(noise, 60 * wanted * 0.2), bayer=bool(rng.random() < 0.8))
    image = optics.finished(
        image,
        rng,
        float(rng.uniform(0, 0.9)),
        float(rng.choice([0.0, rng.uniform(0.2, 2.2)], p=[0.2, 0.8])),
        float(rng.uniform(0.6, 1.8)),
        float(rng.uniform(0.1, 0.8)) if rng.random() < 0.5 else 0.0,
    )
    meta: dict[str, Any] = {"exposure": round(float(wanted), 3), "noise": round(float(noise), 2)}
    if rng.random() < 0.1:
        image = optics.whitened(image, rng)
        meta["whitened"] = True
    return image, meta


def photo(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A photo of the whole page."""
    return photographed(page, rng, s, PhotoStyle())


def photo_crop(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A photo that shows little more than the traces, or not even all of them."""
    return photographed(page, rng, s, PhotoStyle(crop=True))


def photo_folded(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A photo of a page that was folded, and perhaps crumpled."""
    return photographed(page, rng, s, PhotoStyle(crop=bool(rng.random() < 0.5), fold=1.0, crumple_mm=0.4))


def stained(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A page that was spilled on, mostly in a photo."""
    wear = damage.stained(rng, page.width_mm, page.height_mm, s.severity)
    if rng.random() < 0.2:
        return scanned(page, rng, s, "colour", wear)
    return photographed(page, rng, s, PhotoStyle(crop=bool(rng.random() < 0.4), wave_deg=9.0, crumple_mm=0.5), wear)


def damaged(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A photo of a page that was torn, taped, folded, crumpled and bleached."""
    wear = damage.damaged(rng, page.width_mm, page.height_mm, s.severity)
    style = PhotoStyle(crop=bool(rng.random() < 0.35), wave_deg=9.0, curl_deg=32.0, fold=1.0, crumple_mm=0.9)
    return photographed(page, rng, s, style, wear)
