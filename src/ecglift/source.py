"""The door: a path, bytes, a stream or an array becomes pages of plain RGB pixels.

Whatever the file says about turning, palettes, transparency, inks and bit depths is dealt with here, so that every
later stage sees upright 8-bit RGB on white. Nothing is resampled, unless a PDF leaves no other way.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ecglift.problem import StageError, fail

Rgb = NDArray[np.uint8]
Source = str | Path | bytes | BinaryIO | NDArray[Any]
Kind = Literal["raster", "vector"]

MAX_PIXELS: Final = 150_000_000
"""Larger images are refused: a 600-dpi A3 scan has 70 million pixels, a decompression bomb billions."""
MAX_FILE_BYTES: Final = 1 << 30
MIN_SIDE_PX: Final = 50
"""Smaller images hold no page: at 50 pixels a millimetre of A4 is a quarter of a pixel."""
PDF_DPI: Final = 300.0
PDF_MAX_PIXELS: Final = 40_000_000
VECTOR_MIN_SEGMENTS: Final = 300
"""A page with fewer path segments than this holds frames and rules, no traces: one lead alone has hundreds."""

PDFIUM_LOCK: Final = threading.RLock()
"""PDFium is not safe in threads: whoever calls it in this process holds this lock."""

_PAGE_LONG_SIDE_MM: Final = (60.0, 600.0)
_FORMATS: Final = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "JPEG2000", "PPM", "AVIF", "PCX", "DCX")
"""Pillow's readers that are let near a stranger's file; the others run programs or read no pictures of pages."""
_HEIF_BRANDS: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_ORIENTATION_TAG, _EXIF_IFD, _EXPOSURE_TAGS = 0x0112, 0x8769, (0x829A, 0x829D, 0x920A)
_SUBFILE_TAG, _REDUCED_OR_MASK = 254, 0b101


@dataclass(frozen=True)
class SourcePage:
    """One page as it came in.

    ``image``: (height, width, 3) uint8 RGB, turned as the file's metadata says, transparency on white.
    ``name``: the file's path as given, or ``<bytes>``, ``<stream>``, ``<array>``; ``index``: page of the file, from 0.
    ``dpi``: pixels per inch of paper when the file states a believable one, else None. ``sha256``: of the file's bytes.
    ``kind``: "vector" when the page is drawn from paths; then ``pdf`` holds the PDF's bytes and ``image`` a rendering.
    ``pdf`` is also there for raster pages of a PDF.
    """

    image: Rgb
    name: str
    index: int = 0
    dpi: float | None = None
    sha256: str = ""
    kind: Kind = "raster"
    pdf: bytes | None = None


def open_pages(source: Source) -> Iterator[SourcePage]:
    """The pages of a path, of a file's bytes, of a binary stream, or of an array of pixels, one after the other.

    PNG, JPEG, TIFF (every page), PDF (every page), BMP, GIF and WebP (first frame), HEIC with the extra ``[heif]``.
    Arrays are (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA: uint8, uint16, bool, or float from 0 to 1.

    Raises :class:`ecglift.problem.StageError` (stage "source") for whatever is wrong with the file, also between pages;
    ValueError or TypeError for an argument that is none of the above.
    """
    if isinstance(source, np.ndarray):
        yield _array_page(source)
        return
    data, name = _read(source)
    sha256 = hashlib.sha256(data).hexdigest()
    if not data:
        raise fail("empty-file", "source", f"{name}: the file is empty; export or copy it again")
    if b"%PDF-" in data[:1024]:
        pages = _pdf_pages(data, name, sha256)
    elif data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and b"avif" not in data[8:32]:
        pages = _heif_pages(data, name, sha256)
    else:
        pages = _image_pages(data, name, sha256)
    yield from pages


def _read(source: str | Path | bytes | BinaryIO) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "<bytes>"
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise fail("file-not-found", "source", f"{path}: no such file; check the path")
        if path.is_dir():
            raise fail("not-a-file", "source", f"{path}: this is a folder; name the files in it")
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise fail("too-large", "source", f"{path}: larger than {MAX_FILE_BYTES >> 30} GiB; this is no page")
            return path.read_bytes(), str(path)
        except OSError as error:
            raise fail("unreadable-file", "source", f"{path}: cannot be read ({error.strerror}); check it") from error
    if not hasattr(source, "read"):
        raise TypeError(f"source must be a path, bytes, a binary stream or an array, got {type(source).__name__}")
    data = source.read(MAX_FILE_BYTES + 1)
    if not isinstance(data, bytes):
        raise TypeError("source is a text stream; open it in binary mode")
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) else "<stream>"
    if len(data) > MAX_FILE_BYTES:
        raise fail("too-large", "source", f"{name}: larger than {MAX_FILE_BYTES >> 30} GiB; this is no page")
    return data, name


# --- images ---------------------------------------------------------------------------------------------------------


@contextmanager
def _file_errors(name: str) -> Iterator[None]:
    """What Pillow raises on a file that is no good, as a problem that says so; its warnings say nothing to us."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except StageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        message = f"{name}: not an image or PDF that can be read; give PNG, JPEG, TIFF, BMP, WebP, HEIC or PDF"
        raise fail("not-an-image", "source", message) from error
    except Exception as error:  # Decoders meet a stranger's bytes here and raise nearly anything.
        message = f"{name}: the image is truncated or damaged ({str(error) or type(error).__name__}); copy it again"
        raise fail("truncated", "source", message) from error


def _too_large(name: str, size: tuple[int, int] | None = None) -> StageError:
    what = f"{size[0]}×{size[1]} pixels" if size else "the image"
    limit = f"more than {MAX_PIXELS // 1_000_000} million pixels"
    return fail("too-large", "source", f"{name}: {what}: {limit}; scale it down to 600 dpi or less")


def _check_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise _too_large(name, size)
    if min(size) < MIN_SIDE_PX:
        message = f"{name}: {size[0]}×{size[1]} pixels are too few for an ECG; give the page itself, not a thumbnail"
        raise fail("too-small", "source", message)


def _image_pages(data: bytes, name: str, sha256: str) -> Iterator[SourcePage]:
    Image.init()
    with _file_errors(name):
        image = Image.open(io.BytesIO(data), formats=[f for f in _FORMATS if f in Image.OPEN])
    with image:
        # Only a TIFF's frames are pages; a GIF's, WebP's or phone JPEG's are moments, previews or depth maps.
        n_frames = 1
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            with _file_errors(name):
                n_frames = image.n_frames
        for index in range(n_frames):
            with _file_errors(name):
                if index:
                    image.seek(index)
                if index and image.tag_v2.get(_SUBFILE_TAG, 0) & _REDUCED_OR_MASK:  # type: ignore[attr-defined]
                    continue
                _check_size(image.size, name)
                dpi = _stated_dpi(image)
                image.load()
                rgb = to_rgb(_upright(image))
            yield SourcePage(rgb, name, index, dpi, sha256)


def _heif_pages(data: bytes, name: str, sha256: str) -> Iterator[SourcePage]:
    try:
        import pillow_heif
    except ImportError as error:
        message = f"{name}: HEIC images need the extra: pip install 'ecglift[heif]'"
        raise fail("extra-missing", "source", message) from error
    with _file_errors(name):
        heif = pillow_heif.open_heif(io.BytesIO(data))
        _check_size(heif.size, name)
        # libheif turns the pixels itself and the orientation in EXIF is only a copy: it must not be applied again.
        rgb = to_rgb(heif.to_pillow())
    yield SourcePage(rgb, name, 0, None, sha256)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # A broken EXIF block is no reason to refuse good pixels.
        return image
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _stated_dpi(image: Image.Image) -> float | None:
    """The file's resolution if it can be that of paper: square pixels, no camera, neither stamp nor poster."""
    try:
        x, y = (float(v) for v in image.info["dpi"])
        exposure = image.getexif().get_ifd(_EXIF_IFD)
    except Exception:  # Missing, or nonsense such as 0/0: then nothing is stated.
        return None
    if any(tag in exposure for tag in _EXPOSURE_TAGS):
        return None
    return _believable_dpi(x, y, image.size)


def _believable_dpi(x: float, y: float, size_px: tuple[int, int]) -> float | None:
    if not (np.isfinite([x, y]).all() and min(x, y) > 1 and abs(x - y) <= 0.02 * max(x, y)):
        return None
    if min(abs(x - 72), abs(x - 96)) < 0.5:  # What software writes when it knows nothing.
        return None
    long_side_mm = max(size_px) / x * 25.4
    return (x + y) / 2 if _PAGE_LONG_SIDE_MM[0] <= long_side_mm <= _PAGE_LONG_SIDE_MM[1] else None


def to_rgb(image: Image.Image) -> Rgb:
    """(h, w, 3) uint8 of a loaded Pillow image of any mode: deep greys scaled to 8 bits, transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.array(image.convert("RGB"))


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Deeper greys as 8 bits. Full scale is 1 if nothing is above it, else the next of 2⁸, 2¹⁰, 2¹², 2¹⁴, 2¹⁶.

    Scanners store 10 or 12 bits in 16: divided by 2⁸ such a page would be black.
    """
    values = np.nan_to_num(np.asarray(values, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    full = next((2.0**bits - 1 for bits in (1, 8, 10, 12, 14, 16) if top <= 2**bits - 1), top)
    return np.clip(values * (255 / full) + 0.5, 0, 255).astype(np.uint8)


def _array_page(array: NDArray[Any]) -> SourcePage:
    name = "<array>"
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ValueError(f"source: an array must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got {array.shape}")
    if not (array.dtype in (np.bool_, np.uint8, np.uint16) or np.issubdtype(array.dtype, np.floating)):
        raise ValueError(f"source: an array must be bool, uint8, uint16 or float from 0 to 1, got {array.dtype}")
    if array.size == 0:
        raise ValueError(f"source: the array is empty, {array.shape}")
    _check_size((array.shape[1], array.shape[0]), name)
    sha256 = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype != np.uint8:
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("source: an array of floats must lie from 0 to 1")
        array = np.round(array * 255).astype(np.uint8)
    return SourcePage(to_rgb(Image.fromarray(np.ascontiguousarray(array))), name, 0, None, sha256)


# --- PDF ------------------------------------------------------------------------------------------------------------


def _pdf_pages(data: bytes, name: str, sha256: str) -> Iterator[SourcePage]:
    import pypdfium2 as pdfium

    with PDFIUM_LOCK:
        try:
            document = pdfium.PdfDocument(data)
            count = len(document)
        except pdfium.PdfiumError as error:
            if "password" in str(error).lower() or "security" in str(error).lower():
                message = f"{name}: the PDF is encrypted; save it without password"
                raise fail("pdf-encrypted", "source", message) from error
            raise fail("pdf-broken", "source", f"{name}: the PDF is broken ({error}); export it again") from error
    try:
        if count == 0:
            raise fail("pdf-broken", "source", f"{name}: the PDF has no pages; export it again")
        for index in range(count):
            with PDFIUM_LOCK:
                try:
                    page = document[index]
                    try:
                        image, dpi, kind = _pdf_page(page, name)
                    finally:
                        page.close()
                except (pdfium.PdfiumError, RuntimeError) as error:
                    message = f"{name}: page {index + 1} of the PDF is broken ({error}); export it again"
                    raise fail("pdf-broken", "source", message) from error
            yield SourcePage(image, name, index, dpi, sha256, kind, data)
    finally:
        with PDFIUM_LOCK:
            document.close()


def _pdf_page(page: Any, name: str) -> tuple[Rgb, float | None, Kind]:
    """(pixels, dpi, kind) of a PDFium page: its only image as it is stored, else a rendering that loses nothing."""
    import pypdfium2.raw as pdfium_c

    width_pt, height_pt = page.get_size()
    if min(width_pt, height_pt) < 1:
        raise fail("too-small", "source", f"{name}: a PDF page of {width_pt:.1f}×{height_pt:.1f} points holds no ECG")
    objects = list(page.get_objects(max_depth=15))
    images = [o for o in objects if o.type == pdfium_c.FPDF_PAGEOBJ_IMAGE]
    segments = sum(pdfium_c.FPDFPath_CountSegments(o.raw) for o in objects if o.type == pdfium_c.FPDF_PAGEOBJ_PATH)
    kind: Kind = "vector" if segments >= VECTOR_MIN_SEGMENTS else "raster"
    placed = [(image, _placement(image)) for image in images]
    for image, _ in placed:
        if (size := image.get_px_size())[0] * size[1] > MAX_PIXELS:
            raise _too_large(name, size)
    if kind == "raster" and len(placed) == 1 and (native := _native_image(page, *placed[0])) is not None:
        _check_size((native.shape[1], native.shape[0]), name)
        dpi = native.shape[1] / width_pt * 72, native.shape[0] / height_pt * 72
        return native, _believable_dpi(*dpi, (native.shape[1], native.shape[0])), kind
    scale = PDF_DPI / 72
    if kind == "raster":
        # Only images that fill a good part of the page count: a logo stored at 1200 dpi is no reason to render at 1200.
        large = [
            max(image.get_px_size()[0] / np.hypot(*m[0, :2]), image.get_px_size()[1] / np.hypot(*m[1, :2]))
            for image, m in placed
            if abs(np.linalg.det(m[:2, :2])) > 0.02 * width_pt * height_pt
        ]
        scale = max(large, default=scale)
    scale = min(scale, float(np.sqrt(PDF_MAX_PIXELS / (width_pt * height_pt))))
    rgb = _render(page, scale)
    _check_size((rgb.shape[1], rgb.shape[0]), name)
    return rgb, _believable_dpi(scale * 72, scale * 72, (rgb.shape[1], rgb.shape[0])), kind


def _placement(image: Any) -> NDArray[np.float64]:
    """3×3 that maps the image's unit square (row vectors) to the page in points, through the forms that hold it."""
    m, part = np.eye(3), image
    while part is not None:
        a, b, c, d, e, f = part.get_matrix().get()
        m, part = m @ np.array([[a, b, 0], [c, d, 0], [e, f, 1.0]]), part.container
    return m


def _render(page: Any, scale: float, **options: Any) -> Rgb:
    pixels = page.render(scale=scale, rev_byteorder=True, **options).to_numpy()
    return np.array(np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3)), np.uint8)


_TURNS: Final[dict[tuple[int, int, int, int], Callable[[Rgb], Rgb]]] = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): lambda x: x[:, ::-1],
    (1, 0, 0, -1): lambda x: x[::-1],
    (-1, 0, 0, -1): lambda x: x[::-1, ::-1],
    (0, 1, -1, 0): lambda x: np.rot90(x, 1),
    (0, -1, 1, 0): lambda x: np.rot90(x, -1),
    (0, 1, 1, 0): lambda x: np.rot90(x[:, ::-1], -1),
    (0, -1, -1, 0): lambda x: np.rot90(x[:, ::-1], 1),
}
"""What the signs of a placement matrix (a, b, c, d) do to the picture; in PDF y grows upwards."""


def _native_image(page: Any, image: Any, placement: NDArray[np.float64]) -> Rgb | None:
    """The stored pixels of the image that is the whole page, turned as the page shows them; None when not so simple."""
    linear = placement[:2, :2]
    size_pt = np.abs(linear).max(axis=1)
    signs = np.where(np.abs(linear) > 1e-3 * size_pt[:, None], np.sign(linear), 0).astype(int)
    turn = _TURNS.get((int(signs[0, 0]), int(signs[0, 1]), int(signs[1, 0]), int(signs[1, 1])))
    corners = np.array([[0, 0, 1], [1, 1, 1.0]]) @ placement
    shown = np.concatenate([corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)])
    slack_pt = 0.01 * max(page.get_size())
    if turn is None or np.abs(shown - np.array(page.get_bbox())).max() > slack_pt:
        return None
    stored = to_rgb(image.get_bitmap(render=False).to_pil())
    rgb = np.ascontiguousarray(np.rot90(turn(stored), -(page.get_rotation() // 90)))
    rgb = _square_pixels(rgb, page.get_size())
    # Stencils, soft masks and decode arrays change what is seen but not the stored pixels: the rendering decides.
    thumbnail = _render(page, 200 / max(page.get_size()), force_halftone=True)
    small = Image.fromarray(rgb).resize((thumbnail.shape[1], thumbnail.shape[0]), Image.Resampling.BOX)
    return rgb if np.abs(np.asarray(small, float) - thumbnail).mean() < 24 else None


def _square_pixels(rgb: Rgb, size_pt: tuple[float, float]) -> Rgb:
    """Faxes are stored with 204×98 dpi: the coarser direction is brought to the finer one's resolution."""
    x, y = rgb.shape[1] / size_pt[0], rgb.shape[0] / size_pt[1]
    if abs(x - y) <= 0.02 * max(x, y):
        return rgb
    finest = max(x, y)
    size = (max(round(size_pt[0] * finest), rgb.shape[1]), max(round(size_pt[1] * finest), rgb.shape[0]))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
