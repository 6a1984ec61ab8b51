"""A page as a vector PDF, the way devices write their reports: lines as paths, letters as text, nothing as pixels."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ecglift.press.page import Colour, Grid, Page, Patch, Stroke, Text

_PT_PER_MM: Final = 72 / 25.4
_CAPITAL: Final = 0.718
"""Height of a capital letter of Helvetica for a font of size 1."""
_FONTS: Final = ("Helvetica", "Helvetica-Bold", "Helvetica-Oblique")

Pieces = Literal["whole", "pieces", "segments", "dashes"]


@dataclass(frozen=True)
class PdfStyle:
    """How a device writes its PDF.

    ``pieces``: a trace is one path, a path for every 50 points, one for each segment, or dashes of 1.6 mm with gaps
    of 0.4 mm drawn one by one. ``form``: everything stands in a form XObject with a matrix of its own. ``rotate``: the
    page is stored turned by 0, 90, 180 or 270 degrees and shown upright. ``decimals``: of coordinates in millimetres.
    ``text``: letters are written; else they are left out. ``compressed``: streams are deflated.
    """

    pieces: Pieces = "whole"
    form: bool = False
    rotate: int = 0
    decimals: int = 4
    text: bool = True
    compressed: bool = True

    def __post_init__(self) -> None:
        if self.rotate not in (0, 90, 180, 270):
            raise ValueError(f"rotate must be 0, 90, 180 or 270, got {self.rotate}")
        if not 0 <= self.decimals <= 6:
            raise ValueError(f"decimals must lie between 0 and 6, got {self.decimals}")


def to_pdf(pages: Page | Sequence[Page], style: PdfStyle | None = None) -> bytes:
    """The PDF (version 1.4) that shows the pages at their true size, without any font or library of others.

    Letters are set in Helvetica, which every reader has; those outside Latin-1 become "?".
    """
    style = style or PdfStyle()
    sheets = [pages] if isinstance(pages, Page) else list(pages)
    if not sheets:
        raise ValueError("pages is empty: a PDF has one page at least")
    file = _File(style.compressed)
    catalogue, tree = file.reserve(), file.reserve()
    fonts = {f"F{k}": file.add(_FONT.format(name=name)) for k, name in enumerate(_FONTS)}
    kids = [_add_page(file, page, style, tree, fonts) for page in sheets]
    file.put(catalogue, f"<< /Type /Catalog /Pages {tree} 0 R >>")
    file.put(tree, f"<< /Type /Pages /Kids [{' '.join(f'{k} 0 R' for k in kids)}] /Count {len(kids)} >>")
    return file.to_bytes(catalogue)


def write_pdf(path: str | Path, pages: Page | Sequence[Page], style: PdfStyle | None = None) -> None:
    """Writes :func:`to_pdf`'s bytes to ``path``."""
    Path(path).write_bytes(to_pdf(pages, style))


_FONT: Final = "<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>"


class _File:
    """The numbered objects of a PDF and its cross-reference table (ISO 32000-1, 7.5)."""

    def __init__(self, compressed: bool) -> None:
        self._bodies: list[bytes] = []
        self._compressed = compressed

    def reserve(self) -> int:
        self._bodies.append(b"null")
        return len(self._bodies)

    def put(self, number: int, body: str | bytes) -> None:
        self._bodies[number - 1] = body.encode("latin-1") if isinstance(body, str) else body

    def add(self, body: str | bytes) -> int:
        number = self.reserve()
        self.put(number, body)
        return number

    def add_stream(self, data: bytes, entries: str = "") -> int:
        if self._compressed:
            data, entries = zlib.compress(data), f"{entries} /Filter /FlateDecode"
        head = f"<< /Length {len(data)} {entries} >>\nstream\n".encode("latin-1")
        return self.add(head + data + b"\nendstream")

    def to_bytes(self, root: int) -> bytes:
        out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        places = []
        for number, body in enumerate(self._bodies, 1):
            places.append(len(out))
            out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
        start = len(out)
        out += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
        out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
        out += f"trailer\n<< /Size {len(places) + 1} /Root {root} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
        return bytes(out)


def _add_page(file: _File, page: Page, style: PdfStyle, tree: int, fonts: dict[str, int]) -> int:
    images = {f"P{k}": _add_patch(file, patch) for k, patch in enumerate(page.patches)}
    drawing = _drawing(page, style).encode("latin-1", "replace")
    resources = "/Font << " + " ".join(f"/{name} {number} 0 R" for name, number in fonts.items()) + " >>"
    resources += " /XObject << " + " ".join(f"/{name} {number} 0 R" for name, number in images.items()) + " >>"
    placed = "{} {} {} {} {} {} cm\n".format(*(f"{v:.6f}" for v in _upright(page, style.rotate)))
    if style.form:
        # Half of the placement stands in the form's own matrix, so that a reader has to multiply the two.
        box = f"/BBox [0 0 {2 * page.width_mm:.4f} {2 * page.height_mm:.4f}] /Matrix [0.5 0 0 0.5 0 0]"
        entries = f"/Type /XObject /Subtype /Form {box} /Resources << {resources} >>"
        form = file.add_stream(b"2 0 0 2 0 0 cm\n" + drawing, entries)
        resources, drawing = f"/XObject << /Form {form} 0 R >>", b"/Form Do\n"
    content = file.add_stream(b"q\n" + placed.encode() + drawing + b"Q\n")
    width, height = page.width_mm * _PT_PER_MM, page.height_mm * _PT_PER_MM
    if style.rotate in (90, 270):
        width, height = height, width
    return file.add(
        f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {width:.4f} {height:.4f}] /Rotate {style.rotate} "
        f"/Contents {content} 0 R /Resources << {resources} >> >>"
    )


def _upright(page: Page, rotate: int) -> tuple[float, ...]:
    """The matrix from millimetres (y down) to the stored page's points (y up), which are shown turned by ``rotate``."""
    s, w, h = _PT_PER_MM, page.width_mm * _PT_PER_MM, page.height_mm * _PT_PER_MM
    return {
        0: (s, 0.0, 0.0, -s, 0.0, h),
        90: (0.0, s, s, 0.0, 0.0, 0.0),
        180: (-s, 0.0, 0.0, s, w, 0.0),
        270: (0.0, -s, -s, 0.0, h, w),
    }[rotate]


def _drawing(page: Page, style: PdfStyle) -> str:
    """The page's operators in millimetres."""
    out = [f"{_rgb(page.paper)} rg 0 0 {page.width_mm:.4f} {page.height_mm:.4f} re f", *_grid(page.grid)]
    out += [_placed_patch(f"P{k}", patch) for k, patch in enumerate(page.patches)]
    for stroke in page.strokes:
        out += _stroke(stroke, style)
    if style.text:
        out += [_text(text) for text in page.texts if text.text]
    return "\n".join(out) + "\n"


def _rgb(colour: Colour) -> str:
    return " ".join(f"{v:.4f}" for v in colour)


def _grid(grid: Grid) -> list[str]:
    if grid.kind == "none":
        return []
    x0, y0, x1, y1 = grid.box_mm
    out = []
    if grid.ground is not None:
        out.append(f"{_rgb(grid.ground)} rg {x0:.4f} {y0:.4f} {x1 - x0:.4f} {y1 - y0:.4f} re f")
    families = [(5.0, grid.major_width_mm, grid.major_colour)]
    if grid.kind != "major":
        families.insert(0, (1.0, grid.minor_width_mm, grid.minor_colour))
    for period, width, colour in families:
        across = np.arange(x0, x1 + 1e-6, period)
        down = np.arange(y0, y1 + 1e-6, period)
        out.append(f"{_rgb(colour)} RG {width:.4f} w")
        if period == 1.0 and grid.kind == "dots":
            # A dot is a dash of no length with a round end.
            out.append("1 J [0 1] 0 d")
            out += [f"{x0:.4f} {y:.4f} m {x1:.4f} {y:.4f} l" for y in down]
            out.append("S 0 J [] 0 d")
            continue
        out += [f"{x:.4f} {y0:.4f} m {x:.4f} {y1:.4f} l" for x in across]
        out += [f"{x0:.4f} {y:.4f} m {x1:.4f} {y:.4f} l" for y in down]
        out.append("S")
    return out


def _stroke(stroke: Stroke, style: PdfStyle) -> list[str]:
    points = np.asarray(stroke.points_mm, float)
    dash = "[] 0 d" if stroke.dash_mm is None else f"[{stroke.dash_mm[0]:.4f} {stroke.dash_mm[1]:.4f}] 0 d"
    out = [f"{_rgb(stroke.colour)} RG {stroke.width_mm:.4f} w 1 j {dash}"]
    pieces = [points]
    if stroke.kind == "trace" and style.pieces == "pieces":
        pieces = [points[k : k + 51] for k in range(0, len(points) - 1, 50)]
    elif stroke.kind == "trace" and style.pieces == "segments":
        pieces = [points[k : k + 2] for k in range(len(points) - 1)]
    elif stroke.kind == "trace" and style.pieces == "dashes":
        pieces = _dashed(points, 1.6, 0.4)
    for piece in pieces:
        numbers = [f"{x:.{style.decimals}f} {y:.{style.decimals}f}" for x, y in piece]
        out.append(f"{numbers[0]} m " + " ".join(f"{n} l" for n in numbers[1:]) + " S")
    return out


def _dashed(points: NDArray[np.float64], on_mm: float, off_mm: float) -> list[NDArray[np.float64]]:
    """The points of a polyline without those that a dashed pen, measured along x, leaves out."""
    phase = (points[:, 0] - points[0, 0]) % (on_mm + off_mm)
    drawn = phase <= on_mm
    edges = np.flatnonzero(np.diff(np.concatenate([[False], drawn, [False]]).astype(int)))
    return [points[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _text(text: Text) -> str:
    font = {"label": "F0", "text": "F0", "handwriting": "F2"}[text.kind]
    if "bold" in text.font.lower():
        font = "F1"
    letters = text.text.encode("cp1252", "replace").decode("latin-1")
    for mark in ("\\", "(", ")"):
        letters = letters.replace(mark, "\\" + mark)
    size = text.height_mm / _CAPITAL
    place = f"1 0 0 -1 {text.x_mm:.4f} {text.y_mm:.4f} Tm"
    return f"BT {_rgb(text.colour)} rg /{font} {size:.4f} Tf {place} ({letters}) Tj ET"


def _add_patch(file: _File, patch: Patch) -> int:
    """A one-colour picture whose opacity is the patch's alpha."""
    alpha = np.round(np.clip(patch.alpha, 0, 1) * 255).astype(np.uint8)
    height, width = alpha.shape
    shape = f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /BitsPerComponent 8"
    mask = file.add_stream(alpha.tobytes(), f"{shape} /ColorSpace /DeviceGray")
    pixel = bytes(round(255 * float(np.clip(v, 0, 1))) for v in patch.colour)
    return file.add_stream(pixel * (width * height), f"{shape} /ColorSpace /DeviceRGB /SMask {mask} 0 R")


def _placed_patch(name: str, patch: Patch) -> str:
    x0, y0, x1, y1 = patch.box_mm
    return f"q {x1 - x0:.4f} 0 0 {y0 - y1:.4f} {x0:.4f} {y1:.4f} cm /{name} Do Q"
