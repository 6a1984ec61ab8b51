"""Photos of a screen that shows the page."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ecglift.press import optics, scene, warp
from ecglift.press.frame import (
    CaptureSettings,
    Drawn,
    between,
    drawn_turn,
    framed,
    laid_on,
    on_field,
    resized,
    scale,
    subject_mm,
)
from ecglift.press.page import Page
from ecglift.press.photos import developed
from ecglift.press.render import render


def screen(page: Page, rng: np.random.Generator, s: CaptureSettings) -> Drawn:
    """A photo of a laptop's or a monitor's screen that shows the page in a viewer."""
    crop = bool(rng.random() < 0.45)
    px_per_mm = scale(page, rng, s, 3.2, 9.0, 1.0 if crop else 1.7)
    shown_px_per_mm = between(rng, 2.8, 6.5)
    camera_px = px_per_mm / shown_px_per_mm  # camera pixels per screen pixel
    before = 1.0
    if camera_px < 1.3:  # phones have more pixels than this; what is sent on is shrunk afterwards
        before = min(
            rng.uniform(1.3, 2.2) / camera_px,
            math.sqrt(max(9e6 / (page.width_mm * page.height_mm * px_per_mm**2 * 1.6), 1.0)),
        )
    sensor_scale = px_per_mm * before
    rotation, turns = drawn_turn(rng, s, 2.0)
    pose = warp.Pose(
        float(np.clip(rng.normal(0, 9), -30, 30)),
        float(np.clip(rng.normal(0, 9), -30, 30)),
        -(rotation + 90 * turns),
        float(rng.uniform(0.65, 1.4)),
        float(rng.normal(0, 0.05)) * s.severity,
        float(rng.normal(0, 0.02)) * s.severity,
    )
    subject = subject_mm(page) if crop else (0.0, 0.0, page.width_mm, page.height_mm)
    page_map, pixels = framed(
        page, rng, warp.flat_shape(page.width_mm, page.height_mm, 10.0), pose, subject, crop, sensor_scale
    )
    back = warp.inverse(page_map, pixels)
    display, origin_mm = scene.viewer(render(page, shown_px_per_mm), rng, shown_px_per_mm)
    if rng.random() < 0.3:
        display[..., :3] = optics.jpeg(np.ascontiguousarray(display[..., :3]), int(rng.integers(40, 95)))
    four = warp.warped(display, shown_px_per_mm, origin_mm, back)
    image, alpha = np.ascontiguousarray(four[..., :3]), np.ascontiguousarray(four[..., 3])
    u = back.dense(0, shown_px_per_mm, -origin_mm[0] * shown_px_per_mm)
    v = back.dense(1, shown_px_per_mm, -origin_mm[1] * shown_px_per_mm)
    sigma = rng.uniform(0.28, 0.55)
    attenuation = math.exp(-2 * (math.pi * sigma / max(camera_px * before, 0.3)) ** 2)
    image = optics.pixel_grid(
        image,
        u,
        v,
        rng.uniform(0.2, 0.95) * attenuation * (0.3 + 0.7 * s.severity),
        rng.uniform(0.1, 0.6) * attenuation,
    )
    if int(alpha.min()) < 255:
        room = optics.toned(scene.background(rng, pixels), rng.uniform(0.15, 0.8), (1, 1, 1), 0, 1)
        image = laid_on(image, alpha, room)
    grid = back.grid
    light = on_field(optics.ambient(rng, pixels, rng.uniform(0.1, 0.9)), grid)
    if rng.random() < 0.3:  # the shutter catches the display's refresh
        rows = np.arange(grid[0], dtype=np.float32)[:, None, None]
        light *= 1 + np.float32(rng.uniform(0.01, 0.1)) * np.sin(
            rows * np.float32(rng.uniform(2, 14) * np.pi / grid[0]) + np.float32(rng.uniform(0, 6))
        )
    haze = np.full(grid, rng.uniform(0, 0.15), np.float32)
    if rng.random() < 0.5:
        haze = np.maximum(haze, on_field(optics.glare(rng, pixels, rng.uniform(0.05, 0.5) * s.severity), grid))
    image = optics.lit(image, light, haze)
    image, meta = developed(image, rng, s, sensor_scale)
    if before > 1:
        image, page_map = resized(image, page_map, 1 / before)
    for _ in range(1 + rng.binomial(2, 0.3)):
        meta["jpeg"] = int(rng.integers(35, 97))
        image = optics.jpeg(image, meta["jpeg"], bool(rng.random() < 0.8))
    meta.update(px_per_mm=px_per_mm, shown_px_per_mm=shown_px_per_mm, rotation_deg=rotation, quarter_turns=turns)
    return image, replace(page_map, residual_mm=0.0), meta
