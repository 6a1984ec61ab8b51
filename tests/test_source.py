import hashlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from ecglift.problem import StageError
from ecglift.source import MAX_PIXELS, SourcePage, open_pages

SHARED = Path(__file__).resolve().parents[2] / "shared"


def picture(height: int = 80, width: int = 120) -> np.ndarray:
    """A picture without any symmetry, smooth enough for lossy codecs."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * x / width, 255 * y / height, 255 * (x + 2 * y) / (width + 2 * height)], axis=-1)
    rgb[8:30, 10:24] = (255, 255, 255)
    return np.ascontiguousarray(rgb.astype(np.uint8))


def encoded(image: Image.Image | np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, **options)
    return out.getvalue()


def one(source: object) -> SourcePage:
    (page,) = open_pages(source)
    return page


def problem_of(source: object):
    with pytest.raises(StageError) as caught:
        list(open_pages(source))
    assert caught.value.problem.stage == "source"
    assert caught.value.problem.severity == "error"
    return caught.value.problem


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_are_read_exactly(kind: str) -> None:
    np.testing.assert_array_equal(one(encoded(picture(), format=kind)).image, picture())


@pytest.mark.parametrize("options", [{"format": "JPEG"}, {"format": "WEBP"}, {"format": "JPEG2000"}])
def test_lossy_formats_are_read(options: dict) -> None:
    assert np.abs(one(encoded(picture(), quality=95, **options)).image.astype(int) - picture()).mean() < 6


def test_path_string_stream_and_bytes_say_the_same(tmp_path: Path) -> None:
    data = encoded(picture(), format="PNG")
    path = tmp_path / "page.png"
    path.write_bytes(data)
    with path.open("rb") as stream:
        pages = [one(path), one(str(path)), one(stream), one(data)]
    assert [p.name for p in pages] == [str(path), str(path), str(path), "<bytes>"]
    assert {p.sha256 for p in pages} == {hashlib.sha256(data).hexdigest()}
    for page in pages:
        assert (page.index, page.kind, page.pdf, page.image.dtype) == (0, "raster", None, np.uint8)
        np.testing.assert_array_equal(page.image, picture())
    assert one(io.BytesIO(data)).name == "<stream>"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(picture(), format="PNG", exif=exif)))))
    np.testing.assert_array_equal(one(encoded(picture(), format="PNG", exif=exif)).image, upright)
    shape = (120, 80) if orientation >= 5 else (80, 120)
    assert one(encoded(picture(), format="JPEG", exif=exif)).image.shape[:2] == shape
    np.testing.assert_array_equal(one(encoded(picture(), format="TIFF", exif=exif)).image, upright)


def test_broken_exif_does_not_matter() -> None:
    data = encoded(picture(), format="JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff\x01\x12")
    assert one(data).image.shape == (80, 120, 3)


def test_every_page_of_a_tiff_but_no_thumbnails() -> None:
    pages = [picture(), picture(90, 60), picture(70, 200)]
    tags = [{}, {254: 1}, {}]
    frames = []
    for rgb, tag in zip(pages, tags, strict=True):
        frame = Image.fromarray(rgb)
        frame.encoderinfo = {"tiffinfo": tag}
        frames.append(frame)
    data = encoded(frames[0], format="TIFF", save_all=True, append_images=frames[1:])
    read = list(open_pages(data))
    assert [p.index for p in read] == [0, 2]
    np.testing.assert_array_equal(read[1].image, pages[2])


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_bilevel_tiff(compression: str) -> None:
    black = picture()[:, :, 0] > 100
    read = one(encoded(Image.fromarray(black), format="TIFF", compression=compression)).image
    np.testing.assert_array_equal(read, np.repeat(np.where(black, 255, 0).astype(np.uint8)[:, :, None], 3, 2))


def test_animations_give_their_first_frame() -> None:
    frames = [Image.fromarray(picture()), Image.fromarray(picture()[::-1])]
    for kind in ("GIF", "WEBP"):
        read = one(encoded(frames[0], format=kind, save_all=True, append_images=frames[1:])).image
        assert np.abs(read.astype(int) - picture()).mean() < 20


def test_palette() -> None:
    image = Image.fromarray(picture()).quantize(16)
    np.testing.assert_array_equal(one(encoded(image, format="PNG")).image, np.asarray(image.convert("RGB")))


def test_transparency_is_laid_on_white() -> None:
    rgba = np.dstack([picture(), np.full((80, 120), 255, np.uint8)])
    rgba[:40, :, 3] = 0
    rgba[40:50, :, 3] = 128
    read = one(encoded(rgba, format="PNG")).image
    assert (read[:40] == 255).all()
    assert np.abs(read[40:50] - (255 + picture()[40:50] * 1.0) / 2).max() <= 2
    np.testing.assert_array_equal(read[50:], picture()[50:])
    palette = Image.fromarray(picture()).quantize(8)
    index = palette.getpixel((60, 60))
    read = one(encoded(palette, format="PNG", transparency=index)).image
    assert (read[np.asarray(palette) == index] == 255).all()
    grey = one(encoded(Image.fromarray(picture()[:, :, 0]), format="PNG", transparency=100)).image
    assert (grey[picture()[:, :, 0] == 100] == 255).all()


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_greys_keep_their_brightness(bits: int, kind: str) -> None:
    grey = np.linspace(0, 2**bits - 1, 80 * 120).astype(np.uint16).reshape(80, 120)
    read = one(encoded(Image.fromarray(grey), format=kind)).image
    assert np.abs(read - np.linspace(0, 255, 80 * 120).reshape(80, 120)[:, :, None]).max() <= 0.8


def test_deep_colours() -> None:
    """A 16-bit RGB PNG, which Pillow cannot write."""
    deep = picture().astype(">u2") * 257
    rows = b"".join(b"\x00" + row.tobytes() for row in deep)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 120, 80, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(one(png).image, picture())


def test_float_tiff() -> None:
    grey = np.linspace(0, 1, 80 * 120, dtype=np.float32).reshape(80, 120)
    read = one(encoded(Image.fromarray(grey), format="TIFF")).image
    assert np.abs(read[:, :, 0] - 255.0 * grey).max() <= 0.51


def test_cmyk_and_grey() -> None:
    white = Image.new("CMYK", (100, 90), (0, 0, 0, 0))
    white.paste((0, 255, 255, 0), (0, 0, 50, 90))
    for kind in ("JPEG", "TIFF"):
        read = one(encoded(white, format=kind)).image.astype(int)
        assert (read[:, 60:] > 245).all()
        assert (read[:, 5:40] - [255, 0, 0]).max() < 15
    grey = picture()[:, :, 1]
    np.testing.assert_array_equal(one(encoded(grey, format="PNG")).image, np.repeat(grey[:, :, None], 3, 2))


def test_stated_resolution_only_when_believable() -> None:
    page = Image.new("L", (1700, 1100), 255)
    assert one(encoded(page, format="PNG", dpi=(200, 200))).dpi == pytest.approx(200, abs=0.1)
    assert one(encoded(page, format="JPEG", dpi=(200, 200))).dpi == 200
    assert one(encoded(page, format="PNG")).dpi is None
    assert one(encoded(page, format="JPEG", dpi=(72, 72))).dpi is None  # what software writes when it knows nothing
    assert one(encoded(page, format="PNG", dpi=(2400, 2400))).dpi is None  # a stamp of 18 mm
    assert one(encoded(page, format="PNG", dpi=(50, 50))).dpi is None  # a poster of 86 cm
    assert one(encoded(page, format="TIFF", dpi=(204, 98))).dpi is None  # a fax: two numbers
    camera = Image.Exif()
    camera.get_ifd(0x8769)[0x829D] = 1.8
    assert one(encoded(page, format="JPEG", dpi=(300, 300), exif=camera)).dpi is None


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (picture(), picture()),
        (picture()[:, :, 0], np.repeat(picture()[:, :, :1], 3, 2)),
        (picture()[:, :, :1], np.repeat(picture()[:, :, :1], 3, 2)),
        (picture()[:, :, 0] > 99, np.repeat(np.where(picture()[:, :, :1] > 99, 255, 0), 3, 2)),
        (picture().astype(np.uint16) * 257, picture()),
        (picture() / 255.0, picture()),
        (picture()[:, ::-1], picture()[:, ::-1]),
        (np.dstack([picture(), np.zeros((80, 120), np.uint8)]), np.full((80, 120, 3), 255)),
    ],
    ids=["rgb", "grey", "grey-3d", "bool", "uint16", "float", "view", "transparent"],
)
def test_arrays(array: np.ndarray, expected: np.ndarray) -> None:
    page = one(array)
    np.testing.assert_array_equal(page.image, expected)
    assert page.name == "<array>"
    assert len(page.sha256) == 64


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 5, 2), np.uint8),
        np.zeros(9, np.uint8),
        np.zeros((60, 60), np.int64),
        np.full((60, 60), 7.0),
        np.zeros((0, 60), np.uint8),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="source: "):
        list(open_pages(array))


def test_things_that_are_no_source() -> None:
    with pytest.raises(TypeError, match="source must be"):
        list(open_pages(7))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="binary mode"):
        list(open_pages(io.StringIO("text")))  # type: ignore[arg-type]


def test_files_that_are_no_good(tmp_path: Path) -> None:
    assert problem_of(tmp_path / "missing.png").code == "file-not-found"
    assert problem_of(tmp_path).code == "not-a-file"
    for name, content, code in [
        ("empty.png", b"", "empty-file"),
        ("text.png", b"Dear doctor, the ECG is attached.", "not-an-image"),
        ("script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "not-an-image"),
        ("half.png", encoded(picture(300, 300), format="PNG")[:900], "truncated"),
        ("half.jpg", encoded(picture(300, 300), format="JPEG")[:2500], "truncated"),
        ("half.tif", encoded(picture(300, 300), format="TIFF")[:5000], "truncated"),
        ("dot.png", encoded(np.zeros((1, 1, 3), np.uint8), format="PNG"), "too-small"),
        ("line.png", encoded(np.zeros((2000, 20, 3), np.uint8), format="PNG"), "too-small"),
        ("broken.pdf", b"%PDF-1.7\nnothing of a PDF follows", "pdf-broken"),
        ("noise.heic", b"\x00\x00\x00\x18ftypheic" + bytes(64), "truncated"),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        if name.endswith("heic"):
            pytest.importorskip("pillow_heif")
        found = problem_of(path)
        assert found.code == code, name
        assert name in found.message


@pytest.mark.parametrize("side", [10_000, 13_000, 30_000])
def test_bombs_are_refused_and_pillow_is_left_as_it_was(side: int) -> None:
    data = encoded(Image.new("1", (60, 60)), format="PNG")
    header = struct.pack(">II", side, side * 3)
    body = header + data[24:29]
    bomb = data[:16] + body + struct.pack(">I", zlib.crc32(b"IHDR" + body)) + data[33:]
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    assert problem_of(bomb).code == "too-large"
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


def test_an_image_beyond_pillows_own_warning_is_still_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS < MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
    data = encoded(picture(), format="PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6000)  # the picture has 9600
    np.testing.assert_array_equal(one(data).image, picture())


def test_a_damaged_second_page_comes_after_the_first() -> None:
    data = encoded(picture(), format="TIFF", save_all=True, append_images=[Image.fromarray(picture())])
    pages = open_pages(data[: len(data) - 9000])
    with pytest.raises(StageError, match="damaged"):
        next(pages), next(pages)


def test_heic() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(picture(160, 240))
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=95)
    assert np.abs(one(out.getvalue()).image.astype(int) - picture(160, 240)).mean() < 6
    phone = pillow_heif.from_pillow(image)
    phone[0].info["exif"] = exif.tobytes()  # as phones write it: turned by the container, and said again in EXIF
    out = io.BytesIO()
    phone.save(out, quality=95)
    turned = one(out.getvalue()).image.astype(int)
    assert turned.shape == (240, 160, 3)
    assert np.abs(turned - np.rot90(picture(160, 240), -1)).mean() < 6


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    found = problem_of(b"\x00\x00\x00\x18ftypheic" + bytes(64))
    assert found.code == "extra-missing"
    assert "ecglift[heif]" in found.message


# --- PDF: small documents written by hand ---------------------------------------------------------------------------


def pdf(
    content: str,
    rgb: np.ndarray | None = None,
    box: tuple[float, ...] = (0, 0, 300, 200),
    extra: str = "",
    trailer: str = "",
) -> bytes:
    image = b"" if rgb is None else zlib.compress(rgb.tobytes())
    height, width = (1, 1) if rgb is None else rgb.shape[:2]
    colours = "/DeviceGray" if rgb is None or rgb.ndim == 2 else "/DeviceRGB"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [{' '.join(map(str, box))}] /Contents 4 0 R {extra}"
        f"/Resources << /XObject << /Im 5 0 R >> >> >>".encode(),
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream".encode(),
        f"<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace {colours} /BitsPerComponent 8 "
        f"/Filter /FlateDecode /Length {len(image)} >>\nstream\n".encode()
        + image
        + b"\nendstream",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    end = f"trailer << /Size 6 /Root 1 0 R {trailer}>>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 6\n0000000000 65535 f \n{table}".encode() + end.encode()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("300 0 0 200 0 0", picture()),
        ("-300 0 0 200 300 0", picture()[:, ::-1]),
        ("300 0 0 -200 0 200", picture()[::-1]),
        ("-300 0 0 -200 300 200", picture()[::-1, ::-1]),
    ],
)
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_page_that_is_one_image_gives_its_own_pixels(
    matrix: str, expected: np.ndarray, rotate: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = pdf(f"q {matrix} cm /Im Do Q", picture(), extra=f"/Rotate {rotate} ")
    page = one(data)
    assert caplog.text == ""
    np.testing.assert_array_equal(page.image, np.rot90(expected, -rotate // 90))
    assert (page.kind, page.pdf, page.index) == ("raster", data, 0)
    assert page.dpi is None or page.dpi == pytest.approx(120 / 300 * 72)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("0 200 -300 0 300 0", np.rot90(picture(90, 60))),
        ("0 -200 300 0 0 200", np.rot90(picture(90, 60), -1)),
        ("0 200 300 0 0 0", np.rot90(picture(90, 60))[:, ::-1]),
        ("0 -200 -300 0 300 200", np.rot90(picture(90, 60))[::-1]),
    ],
)
def test_a_turned_image_on_a_page(matrix: str, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(one(pdf(f"q {matrix} cm /Im Do Q", picture(90, 60))).image, expected)


def test_an_image_in_a_turned_form_agrees_with_the_rendering() -> None:
    """Every way of placing must look like what PDFium draws: a small mark in the middle breaks the shortcut."""
    for matrix in ("0 200 300 0 0 0", "0 -200 -300 0 300 200", "-300 0 0 200 300 0", "0 200 -300 0 300 0"):
        stored = picture(90, 60) if matrix.startswith("0") else picture(60, 90)
        direct = one(pdf(f"q {matrix} cm /Im Do Q", stored)).image
        drawn = one(pdf(f"q {matrix} cm /Im Do Q q 0.001 0 0 0.001 5 5 cm /Im Do Q", stored)).image
        assert direct.shape == drawn.shape
        assert np.abs(direct.astype(int) - drawn).mean() < 6


def test_a_fax_gets_square_pixels() -> None:
    page = one(pdf("q 300 0 0 200 0 0 cm /Im Do Q", picture(200, 600)))
    assert page.image.shape == (400, 600, 3)


def test_a_page_of_two_images_is_rendered_at_their_resolution() -> None:
    content = "q 300 0 0 100 0 100 cm /Im Do Q q 300 0 0 100 0 0 cm /Im Do Q"
    page = one(pdf(content, picture(300, 900)))
    assert page.image.shape == (600, 900, 3)
    assert np.abs(page.image[:300].astype(int) - picture(300, 900)).mean() < 3


def test_part_of_an_image_is_rendered() -> None:
    page = one(pdf("q 600 0 0 400 0 0 cm /Im Do Q", picture(400, 600)))
    assert page.image.shape == (200, 300, 3)
    assert np.abs(page.image.astype(int) - picture(400, 600)[200:, :300]).mean() < 3


def test_an_image_under_a_frame_is_raster_and_many_paths_are_vector() -> None:
    frame = "q 300 0 0 200 0 0 cm /Im Do Q 5 5 290 190 re S "
    assert one(pdf(frame, picture())).kind == "raster"
    trace = "0 100 m " + " ".join(f"{k / 4} {100 + k % 50} l" for k in range(1000)) + " S"
    data = pdf(trace)
    page = one(data)
    assert (page.kind, page.pdf) == ("vector", data)
    assert page.image.shape == (834, 1250, 3)
    assert page.dpi == pytest.approx(300, abs=0.1)
    assert page.image.min() < 50


def test_a_huge_page_is_rendered_small_enough() -> None:
    image = one(pdf("0 0 m 9 9 l S", box=(0, 0, 14000, 9000))).image
    assert 30e6 < image.shape[0] * image.shape[1] <= 41e6


def test_encrypted_pdf() -> None:
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'11' * 32}> /U <{'22' * 32}> >> /ID [<00><00>] "
    found = problem_of(pdf("0 0 m 9 9 l S", trailer=lock))
    assert found.code == "pdf-encrypted"


def test_a_pdf_page_without_size() -> None:
    assert problem_of(pdf("", box=(0, 0, 10, 10))).code == "too-small"


@pytest.mark.shared
def test_the_vendors_pdfs_are_vector() -> None:
    folder = SHARED / "data" / "real-images" / "pdf"
    if not folder.exists():
        pytest.skip("shared data not there")
    kinds = {path.stem: [page.kind for page in open_pages(path)] for path in sorted(folder.glob("*.pdf"))}
    assert kinds == {"cardiosoft": ["vector"] * 3, "muse": ["vector"], "schiller-at102": ["vector"] * 2}
