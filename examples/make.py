"""Makes the example pages, a photo and a scan of two simulated patients, printed and captured by the press.

Run it in an environment with ecglift: ``python examples/make.py``. Pages change when the press changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ecglift import Recording
from ecglift.press.capture import CaptureSettings, capture
from ecglift.press.compose import compose
from ecglift.press.patients import simulate
from ecglift.press.style import competition_style, random_style

HERE = Path(__file__).parent
MILD = CaptureSettings(severity=0.4, px_per_mm=7.0, max_megapixels=6.0)


def make(name: str, kind: str, template: str | None, seed: int) -> None:
    """Writes ``name``.jpg and ``name``.truth.csv."""
    rng = np.random.default_rng(seed)
    patient = simulate(rng, rhythm="sinus", conditions=(), rate_bpm=72)
    style = random_style(rng, bundled_fonts_only=True, template=template) if template else competition_style(rng)
    page = compose(rng, patient.mv, patient.fs_hz, style)
    Image.fromarray(capture(page, kind, rng, MILD).image).save(HERE / f"{name}.jpg", quality=88)
    mv = page.printed_mv()
    Recording(page.fs_hz, mv, np.isfinite(mv).astype(np.float32)).save(HERE / f"{name}.truth.csv")


if __name__ == "__main__":
    make("photo", "photo", None, 4)
    make("scan", "colour_scan", "6x2+1", 22)
