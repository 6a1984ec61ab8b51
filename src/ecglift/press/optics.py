"""Light, lens, sensor and codec: what happens to the values of a picture after its geometry is settled.

Nothing here moves anything: every filter is symmetric about its pixel, so the map of a capture stays the truth.
Pictures are (h, w, 3) uint8 RGB unless said otherwise; light fields are coarse float32 arrays that are stretched over
the picture.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]

FIELD_STEP_PX: Final = 16
"""Pixels a node of a light field stands for."""


def field_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the light field of a picture of ``shape`` (height, width)."""
    return max(-(-shape[0] // FIELD_STEP_PX), 2), max(-(-shape[1] // FIELD_STEP_PX), 2)


def cloud(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 3) -> Field:
    """Smooth noise (h, w) float32 with mean 0 and unit spread, about ``cells`` hills along the longer side, finer
    ones weaker."""
    out = np.zeros(shape, np.float32)
    for octave in range(octaves):
        n = cells * 2**octave
        size = [max(int(np.ceil(n * k / max(shape))) + 3, 4) for k in shape]
        noise = rng.standard_normal((size[0], size[1]), np.float32)
        out += cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) * np.float32(0.55**octave)
    return np.asarray((out - out.mean()) / (out.std() + 1e-6), np.float32)


def ambient(rng: np.random.Generator, shape: tuple[int, int], unevenness: float) -> Field:
    """Light over the picture, (rows, columns, 3) float32, 1 where it is brightest: gradient, lamp, vignette, two
    colours of light."""
    rows, columns = field_shape(shape)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    x, y = x / (columns - 1) * 2 - 1, y / (rows - 1) * 2 - 1
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + unevenness * rng.uniform(0, 0.5) * (np.cos(angle) * x + np.sin(angle) * y)
    lamp = rng.uniform(-1.4, 1.4, 2)
    light *= 1 - unevenness * rng.uniform(0, 0.22) * ((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2)
    light *= 1 - rng.uniform(0, 0.16) * unevenness * (x**2 + y**2)
    light *= 1 + unevenness * rng.uniform(0, 0.06) * cloud(rng, (rows, columns), 3)
    light = np.clip(light, 0.25, None)
    light /= np.percentile(light, 98)
    warm = rng.normal(0, 0.05 * unevenness) * (np.cos(angle + 1) * x + np.sin(angle + 1) * y)
    return np.asarray(np.stack([light * (1 + warm), light, light * (1 - warm)], axis=-1), np.float32)


def shadow(rng: np.random.Generator, shape: tuple[int, int], depth: float) -> Field:
    """A shadow of a hand, a head, a phone or a window bar, (rows, columns) float32: 1 in the light, 1 − depth in the
    dark."""
    rows, columns = field_shape(shape)
    dark = np.zeros((rows, columns), np.uint8)
    size = max(rows, columns)
    kind = rng.integers(3)
    edge = rng.uniform(0, 2 * np.pi)
    centre = np.array([columns / 2 + np.cos(edge) * columns * 0.55, rows / 2 + np.sin(edge) * rows * 0.55])
    if kind == 0:  # an arm with a hand or a phone at its end
        inward = np.array([columns / 2, rows / 2]) + rng.uniform(-0.3, 0.3, 2) * size - centre
        tip = centre + inward * rng.uniform(0.3, 0.9)
        width = max(int(size * rng.uniform(0.05, 0.16)), 1)
        start = centre - inward
        cv2.line(dark, (int(start[0]), int(start[1])), (int(tip[0]), int(tip[1])), 255, width)
        box = (
            (float(tip[0]), float(tip[1])),
            (size * rng.uniform(0.1, 0.25), size * rng.uniform(0.1, 0.35)),
            float(rng.uniform(0, 180)),
        )
        cv2.fillPoly(dark, [cv2.boxPoints(box).astype(np.int32)], 255)
    elif kind == 1:  # a head and shoulders
        cv2.ellipse(
            dark,
            (int(centre[0]), int(centre[1])),
            (int(size * rng.uniform(0.2, 0.6)), int(size * rng.uniform(0.15, 0.5))),
            float(rng.uniform(0, 180)),
            0,
            360,
            255,
            -1,
        )
    else:  # half a plane or a bar: the edge of a shelf, a window frame
        angle, at = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4) * size
        y, x = np.mgrid[0:rows, 0:columns]
        d = (x - columns / 2) * np.cos(angle) + (y - rows / 2) * np.sin(angle) - at
        dark[(d > 0) & (d < size * rng.choice([0.1, 0.3, 2.0]))] = 255
    sigma = max(size * np.exp(rng.uniform(np.log(0.006), np.log(0.1))), 0.8)
    soft = cv2.GaussianBlur(dark, (0, 0), sigma).astype(np.float32) / 255
    return np.asarray(1 - np.float32(depth) * soft, np.float32)


def glare(rng: np.random.Generator, shape: tuple[int, int], strength: float) -> Field:
    """A reflection of a lamp or a window on glossy paper or glass, (rows, columns) float32, 0 to ``strength``."""
    rows, columns = field_shape(shape)
    size = max(rows, columns)
    bright = np.zeros((rows, columns), np.uint8)
    for _ in range(rng.integers(1, 4)):
        at = (float(rng.uniform(0, columns)), float(rng.uniform(0, rows)))
        axes = (size * rng.uniform(0.02, 0.25), size * rng.uniform(0.02, 0.12))
        box = (at, axes, float(rng.uniform(0, 180)))
        if rng.random() < 0.4:
            cv2.fillPoly(bright, [cv2.boxPoints(box).astype(np.int32)], 255)
        else:
            cv2.ellipse(bright, box, 255, -1)
    soft = cv2.GaussianBlur(bright, (0, 0), max(size * np.exp(rng.uniform(np.log(0.01), np.log(0.08))), 0.8)).astype(
        np.float32
    )
    return np.asarray(soft * np.float32(strength / max(float(soft.max()), 1.0)), np.float32)


def lit(image: Image, light: Field, haze: Field | None = None) -> Image:
    """The picture under a light field (rows, columns, 3) and an additive haze (rows, columns).

    Values are display values, so light enters with the exponent 1/2.2.
    """
    height, width = image.shape[:2]
    full = cv2.resize(
        np.power(np.maximum(light, 1e-3), np.float32(1 / 2.2)), (width, height), interpolation=cv2.INTER_LINEAR
    )
    out = cv2.multiply(image, full, dtype=cv2.CV_32F)
    if haze is not None:
        veil = cv2.resize(haze, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        out += (255 - out) * veil
    return np.asarray(cv2.convertScaleAbs(out), np.uint8)


def disc_kernel(radius_px: float) -> Field:
    """A symmetric disc of ``radius_px`` with soft rim, sum 1: the blur of a lens out of focus."""
    n = int(np.ceil(radius_px + 0.5))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    k = np.clip(radius_px + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(k / k.sum(), np.float32)


def motion_kernel(length_px: float, angle_rad: float) -> Field:
    """A symmetric straight smear of ``length_px``, sum 1."""
    n = int(np.ceil(length_px / 2)) + 1
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    along, across = x * np.cos(angle_rad) + y * np.sin(angle_rad), -x * np.sin(angle_rad) + y * np.cos(angle_rad)
    k = np.clip(length_px / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(k / k.sum(), np.float32)


def blurred(image: Image, rng: np.random.Generator, sigma_px: float) -> Image:
    """The picture through a lens: Gaussian, defocus disc or hand shake of about the same spread ``sigma_px``."""
    if sigma_px < 0.2:
        return image
    kind = rng.random()
    if kind < 0.6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)
    if kind < 0.8:
        return np.asarray(cv2.filter2D(image, -1, disc_kernel(2 * sigma_px)), np.uint8)
    smeared = cv2.filter2D(image, -1, motion_kernel(sigma_px * 3, rng.uniform(0, np.pi)))
    return np.asarray(cv2.GaussianBlur(smeared, (0, 0), max(sigma_px * 0.4, 0.3)), np.uint8)


def coloured_fringes(image: Image, shift: float) -> Image:
    """Lateral chromatic aberration: red grows and blue shrinks by the fraction ``shift`` about the middle; green, the
    truth, stays."""
    height, width = image.shape[:2]
    out = image.copy()
    for channel, factor in ((0, 1 + shift), (2, 1 - shift)):
        cx, cy = (width - 1) / 2, (height - 1) / 2
        matrix = np.array([[factor, 0, cx * (1 - factor)], [0, factor, cy * (1 - factor)]])
        out[..., channel] = cv2.warpAffine(
            image[..., channel], matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return out


def _noise(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """White noise (h, w) float32, unit spread; large pictures repeat a tile of 1024 rows, which nobody can see."""
    tile = rng.standard_normal((min(shape[0], 1024), shape[1]), np.float32)
    return np.asarray(np.resize(tile, shape), np.float32)


def sensed(image: Image, rng: np.random.Generator, noise: float, bayer: bool = True) -> Image:
    """The picture after a colour-filter sensor: noise of about ``noise`` grey levels (more in the light), then
    demosaiced."""
    height, width = image.shape[:2]
    gain = np.sqrt(0.35 + 0.65 * np.linspace(0, 1, 256)).astype(np.float32) * np.float32(noise)
    if not bayer or height < 4 or width < 4:
        grey = _noise(rng, (height, width))[..., None] * np.float32(noise)
        return np.asarray(np.clip(image + grey + 0.5, 0, 255), np.uint8)
    raw = np.empty((height, width), np.uint8)
    raw[0::2, 0::2] = image[0::2, 0::2, 0]
    raw[0::2, 1::2] = image[0::2, 1::2, 1]
    raw[1::2, 0::2] = image[1::2, 0::2, 1]
    raw[1::2, 1::2] = image[1::2, 1::2, 2]
    noisy = _noise(rng, (height, width)) * gain[raw] + raw + np.float32(0.5)
    raw = np.clip(noisy, 0, 255).astype(np.uint8)
    # OpenCV names a pattern by its second row and column: red at (0, 0) is "BG".
    code = cv2.COLOR_BayerBG2RGB_EA if rng.random() < 0.7 else cv2.COLOR_BayerBG2RGB
    return np.asarray(cv2.cvtColor(raw, code), np.uint8)


def finished(
    image: Image, rng: np.random.Generator, denoise: float, sharpen: float, radius_px: float, clarity: float = 0.0
) -> Image:
    """A phone's processing: noise reduction that swallows fine detail (0 to 1), chroma smoothing, local contrast
    (``clarity``) and sharpening with halos."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    y, cr, cb = (np.ascontiguousarray(ycc[..., k]) for k in range(3))
    if denoise > 0:
        soft = cv2.GaussianBlur(y, (0, 0), 1.0)
        detail = np.arange(-255, 256, dtype=np.float32)
        keep = 1 - denoise * np.exp(-((detail / rng.uniform(4, 12)) ** 2))
        table = np.rint(detail * keep).astype(np.int16)
        kept = table[np.subtract(y, soft, dtype=np.int16) + 255]
        y = np.clip(soft + kept, 0, 255).astype(np.uint8)
        size = 2 * int(rng.integers(1, 4)) + 1
        cr, cb = cv2.blur(cr, (size, size)), cv2.blur(cb, (size, size))
    if clarity > 0:
        height, width = y.shape
        small = cv2.resize(y, (max(width // 8, 2), max(height // 8, 2)), interpolation=cv2.INTER_AREA)
        wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.0), (width, height), interpolation=cv2.INTER_LINEAR)
        y = cv2.addWeighted(y, 1 + clarity, wide, -clarity, 0)
    if sharpen > 0:
        y = cv2.addWeighted(y, 1 + sharpen, cv2.GaussianBlur(y, (0, 0), radius_px), -sharpen, 0)
    return np.asarray(cv2.cvtColor(cv2.merge([y, cr, cb]), cv2.COLOR_YCrCb2RGB), np.uint8)


def toned(
    image: Image,
    exposure: float,
    balance: tuple[float, float, float],
    contrast: float,
    gamma: float,
    pivot: float = 1.0,
) -> Image:
    """The picture after exposure, white balance, gamma and an S-curve (``contrast`` 0: none, 1: strong).

    ``pivot``: the brightness, 0 to 1, that ``gamma`` leaves alone: that of the paper, so that only its grid darkens.
    """
    v = np.arange(256, dtype=np.float32) / 255
    tables = []
    for k in range(3):
        t = np.clip(pivot * np.power(np.clip(v * exposure * balance[k], 0, 1) / pivot, gamma), 0, 1)
        tables.append(t + contrast * 0.5 * (t * t * (3 - 2 * t) - t))
    table = np.clip(np.stack(tables, axis=-1) * 255 + 0.5, 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(image, table), np.uint8)


def balance(rng: np.random.Generator, spread: float) -> tuple[float, float, float]:
    """A white balance: warm to cool (mostly) and green to magenta, green-most channel at 1."""
    warm, tint = rng.normal(0, spread), rng.normal(0, spread / 3)
    gains = np.array([1 + warm, 1 + tint, 1 - warm])
    r, g, b = gains / gains.max()
    return float(r), float(g), float(b)


def whitened(image: Image, rng: np.random.Generator) -> Image:
    """What a phone's document filter leaves: the page divided by its own blurred brightness, contrast raised."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(width // 8, 4), max(height // 8, 4)), interpolation=cv2.INTER_AREA)
    ground = cv2.GaussianBlur(
        cv2.dilate(small, np.ones((5, 5), np.uint8)), (0, 0), max(small.shape[0] / rng.uniform(8, 25), 2)
    )
    ground = cv2.resize(ground, (width, height), interpolation=cv2.INTER_LINEAR)
    flat = cv2.divide(image, np.maximum(ground, 20), scale=255)
    return toned(
        flat, float(rng.uniform(0.98, 1.06)), (1, 1, 1), float(rng.uniform(0, 1)), float(rng.uniform(0.9, 1.5))
    )


def jpeg(image: Image, quality: int, chroma_halved: bool = True) -> Image:
    """The picture after a JPEG file of ``quality`` 1 to 100."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if chroma_halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(
        ".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(quality), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    )
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def resized(image: Image, width: int, height: int) -> Image:
    """The picture with other numbers of pixels; shrinking averages areas, so nothing aliases."""
    shrinks = width < image.shape[1] or height < image.shape[0]
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


def halftoned(image: Image, px_per_mm: float, cell_mm: float, angle_rad: float, hardness: float) -> Image:
    """The page as a printer screens it: dots of ink on a lattice of ``cell_mm``, one angle per ink (C, M, Y), edges
    kept soft by ``hardness``.

    Solid ink and bare paper stay: only tints break into dots.
    """
    height, width = image.shape[:2]
    y, x = np.ogrid[0:height, 0:width]
    out = np.empty_like(image)
    for k, turn in enumerate((np.pi / 12, -np.pi / 12, 0.0)):
        a = angle_rad + turn
        f = 2 * np.pi / (cell_mm * px_per_mm)
        u = (x * np.cos(a) + y * np.sin(a)).astype(np.float32) * np.float32(f)
        v = (-x * np.sin(a) + y * np.cos(a)).astype(np.float32) * np.float32(f)
        screen = (np.cos(u) + np.cos(v)) * np.float32(0.25) + np.float32(0.5)
        tint = image[..., k].astype(np.float32) * np.float32(1 / 255)
        # The threshold spans 0.02 … 0.98 so that black and white are never screened.
        ink = (tint - (0.02 + 0.96 * screen)) * np.float32(hardness) + np.float32(0.5)
        np.clip(ink, 0, 1, out=ink)
        out[..., k] = cv2.convertScaleAbs(ink, alpha=255.0)
    return out


_BAYER8: Final = np.array(
    [
        [0, 32, 8, 40, 2, 34, 10, 42],
        [48, 16, 56, 24, 50, 18, 58, 26],
        [12, 44, 4, 36, 14, 46, 6, 38],
        [60, 28, 52, 20, 62, 30, 54, 22],
        [3, 35, 11, 43, 1, 33, 9, 41],
        [51, 19, 59, 27, 49, 17, 57, 25],
        [15, 47, 7, 39, 13, 45, 5, 37],
        [63, 31, 55, 23, 61, 29, 53, 21],
    ],
    np.float32,
)
"""Bayer's ordered dither matrix of order 8."""


def bilevel(grey: Image, rng: np.random.Generator, threshold: float, how: str) -> Image:
    """A grey picture (h, w) in pure black and white: by a "threshold", an "ordered" dither or "diffused" errors
    (Floyd and Steinberg)."""
    if how == "ordered":
        height, width = grey.shape
        tile = np.tile((_BAYER8 + 0.5) / 64 * 200 + threshold - 100, (-(-height // 8), -(-width // 8)))[:height, :width]
        return np.where(grey > tile, np.uint8(255), np.uint8(0))
    if how == "diffused":
        from PIL import Image as Pillow

        shifted = cv2.convertScaleAbs(grey, alpha=127.0 / max(threshold, 1.0)) if threshold < 127 else grey
        return np.asarray(Pillow.fromarray(shifted).convert("1"), np.uint8) * np.uint8(255)
    noise = _noise(rng, (grey.shape[0], grey.shape[1])) * np.float32(rng.uniform(0, 6))
    return np.where(grey + noise > threshold, np.uint8(255), np.uint8(0))


def as_rgb(grey: Image) -> Image:
    """A grey picture (h, w) as (h, w, 3)."""
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def as_grey(image: Image) -> Image:
    """The brightness (h, w) of a picture."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def line_errors(image: Image, rng: np.random.Generator, count: int) -> Image:
    """A fax with lost lines: runs of black or white, and lines that repeat the one before (nothing below them
    moves)."""
    out = image.copy()
    height, width = out.shape[:2]
    for _ in range(count):
        row = int(rng.integers(1, height - 1))
        a = int(rng.integers(0, width))
        b = min(a + int(rng.integers(width // 20 + 1, width + 1)), width)
        kind = rng.integers(4)
        if kind == 0:
            out[row : row + rng.integers(1, 3), a:b] = 255
        elif kind == 1:
            out[row, a:b] = 0
        else:
            out[row] = out[row - 1]
    return out


def specks(image: Image, rng: np.random.Generator, count: int, px_per_mm: float) -> Image:
    """Dust and fibres on a scanner's glass: small dark or light dots and hairs."""
    out = image.copy()
    height, width = out.shape[:2]
    for _ in range(count):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        tone = int(rng.integers(20, 120)) if rng.random() < 0.75 else 255
        if rng.random() < 0.85:
            cv2.circle(out, (x, y), max(int(rng.exponential(0.12) * px_per_mm), 0), (tone,) * 3, -1, cv2.LINE_AA)
        else:
            n = 6
            path = np.cumsum(rng.normal(0, 0.35 * px_per_mm, (n, 2)), axis=0) + (x, y)
            cv2.polylines(out, [path.astype(np.int32)], False, (tone,) * 3, 1, cv2.LINE_AA)
    return out


def streaks(image: Image, rng: np.random.Generator, count: int) -> Image:
    """Streaks along the feed of a scanner with a dirty or badly calibrated line of sensors."""
    width = image.shape[1]
    column = np.ones((1, width, 3), np.float32)
    for _ in range(count):
        x = int(rng.integers(width))
        column[:, x : x + int(rng.integers(1, 4))] *= rng.uniform(0.8, 1.1, 3).astype(np.float32)
    column += cv2.GaussianBlur(rng.standard_normal((1, width, 1), np.float32), (0, 0), 2)[..., None] * np.float32(
        rng.uniform(0, 0.01)
    )
    return np.asarray(cv2.convertScaleAbs(image * column), np.uint8)


def pixel_grid(image: Image, u: Field, v: Field, across: float, down: float) -> Image:
    """The picture of a display whose pixels show: stripes of red, green and blue along ``u`` and dark gaps along ``v``.

    ``u``, ``v``: (h, w) display coordinates in display pixels (edges whole); ``across``, ``down``: contrast left
    after the lens, 0 to 1. Sampled at the camera's pixels the stripes beat with them: that is the moiré.
    """
    turn = np.float32(2 * np.pi)
    phase = u * turn
    c, n = np.cos(phase), np.sin(phase)
    rows = 1 - np.float32(down) * np.cos(v * turn)
    out = np.empty_like(image)
    for k in range(3):
        # Stripe k is centred (k + ½)/3 of the way through its pixel.
        shift = np.float32(2 * np.pi * (k + 0.5) / 3)
        stripe = 1 + np.float32(across) * (c * np.cos(shift) + n * np.sin(shift))
        stripe *= rows
        stripe *= image[..., k]
        out[..., k] = cv2.convertScaleAbs(stripe)
    return out
