"""What a PDF page draws: its lines and letters as plain arrays, read by PDFium in a process of its own.

PDFium is neither safe in threads nor against every broken file; a small child process that is kept for the next page
costs its start only once, and takes no one with it when it dies.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ecglift.problem import Problem, StageError, fail

Floats = NDArray[np.float64]

STAGE: Final = "vector"
TIMEOUT_S: Final = 60.0
MAX_POINTS: Final = 3_000_000
"""A page of twelve leads of 10 s at 1 kHz has 120,000 points; beyond this a page is a drawing, not an ECG."""
_MAX_DEPTH: Final = 8


@dataclass(frozen=True)
class PagePaths:
    """A page's lines and letters in points (1/72 inch) from its top left corner as it is shown, y downwards.

    ``points``: (n, 2); line k is ``points[starts[k]:starts[k + 1]]``, drawn without lifting the pen, curves replaced
    by their end points. ``colour``: (k, 3) 0 to 255; ``line_width``: (k,) points; ``closed``, ``filled``, ``dashed``:
    (k,) bool; ``path``: (k,) which of the page's paths the line belongs to.
    ``letters``: one character each; ``boxes``: (m, 4) left, top, right, bottom; ``origins``: (m, 2) where each stands
    on its baseline; ``fonts``: (m,) number of the font. ``image_share``: part of the page that pictures cover, 0 to 1.
    """

    width: float
    height: float
    points: Floats
    starts: NDArray[np.intp]
    colour: NDArray[np.uint8]
    line_width: Floats
    closed: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    dashed: NDArray[np.bool_]
    path: NDArray[np.intp]
    letters: str
    boxes: Floats
    origins: Floats
    fonts: NDArray[np.intp]
    image_share: float

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line(self, k: int) -> Floats:
        """Points (n, 2) of line k."""
        return self.points[self.starts[k] : self.starts[k + 1]]


def read_paths(pdf: bytes, page_index: int) -> PagePaths:
    """The lines and letters of one page of a PDF.

    StageError "pdf-encrypted" or "pdf-broken" when it cannot be opened, "vector-unreadable" when PDFium gives up on the
    page; ValueError when there is no such page.
    """
    answer = _WORKER.ask((pdf, page_index))
    if isinstance(answer, Problem):
        raise StageError(answer)
    if isinstance(answer, ValueError):
        raise answer
    assert isinstance(answer, PagePaths)
    return answer


class _Worker:
    """The child process, started at the first question, again after a fork or after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def ask(self, question: tuple[bytes, int]) -> Any:
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            # A file that sends PDFium into an endless loop is ended by the clock, like one that crashes it.
            clock = threading.Timer(TIMEOUT_S, process.kill)
            clock.start()
            try:
                pickle.dump(question, process.stdin, protocol=5)
                process.stdin.flush()
                return pickle.load(process.stdout)  # our own child's answer
            except (EOFError, OSError, pickle.UnpicklingError):
                self._end()
                message = "the PDF's paths could not be read: PDFium gave up on them"
                return Problem("vector-unreadable", STAGE, message, "error")
            finally:
                clock.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and (self._owner != os.getpid() or self._process.poll() is not None):
            self._end()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from ecglift.pdfpaths import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._owner = os.getpid()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was left to send has no reader any more
        if self._owner == os.getpid():
            process.kill()
            process.wait()
        else:
            process.returncode = 0  # the parent's child: not ours to end or to warn about

    def close(self) -> None:
        with self._lock:
            self._end()


_WORKER: Final = _Worker()
atexit.register(_WORKER.close)


def serve() -> None:
    """The child: an answer on stdout for every question on stdin, until the pipe closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not go down the pipe
    while True:
        try:
            pdf, page_index = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: Any
        try:
            answer = _read(pdf, page_index)
        except StageError as error:
            answer = error.problem
        except ValueError as error:
            answer = error
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


def _read(pdf: bytes, page_index: int) -> PagePaths:
    import pypdfium2 as pdfium
    import pypdfium2.raw as c

    try:
        document = pdfium.PdfDocument(pdf)
    except pdfium.PdfiumError as error:
        if "assword" in str(error):
            raise fail("pdf-encrypted", STAGE, "the PDF is protected by a password: save a copy without one") from error
        raise fail("pdf-broken", STAGE, f"the PDF cannot be opened ({error}): export it again") from error
    try:
        if not 0 <= page_index < len(document):
            raise ValueError(f"page_index must lie between 0 and {len(document) - 1}, got {page_index}")
        try:
            page = document[page_index]
        except pdfium.PdfiumError as error:
            message = f"page {page_index + 1} of the PDF cannot be read: export it again"
            raise fail("pdf-broken", STAGE, message) from error
        lines = _Lines(c)
        for k in range(c.FPDFPage_CountObjects(page.raw)):
            lines.add(c.FPDFPage_GetObject(page.raw, k), (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 0)
        to_page = _to_shown(page.get_cropbox(), page.get_rotation())
        width, height = page.get_size()
        letters, boxes, origins, fonts = _letters(c, page)
        corners = boxes.reshape(-1, 2, 2)
        a, b = _apply(to_page, corners[:, 0]), _apply(to_page, corners[:, 1])
        return PagePaths(
            width,
            height,
            _apply(to_page, np.array(lines.points, float).reshape(-1, 2)),
            np.array([*lines.starts, len(lines.points)], np.intp),
            np.array(lines.colour, np.uint8).reshape(-1, 3),
            np.array(lines.width, float),
            np.array(lines.closed, bool),
            np.array(lines.filled, bool),
            np.array(lines.dashed, bool),
            np.array(lines.path, np.intp),
            letters,
            np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=1),
            _apply(to_page, origins),
            fonts,
            min(lines.image_area / max(width * height, 1.0), 1.0),
        )
    finally:
        document.close()


def _to_shown(crop: tuple[float, float, float, float], rotation: int) -> Floats:
    """(3, 3) from the page's own coordinates (y up) to what is shown (origin top left, y down), turned clockwise."""
    x0, y0, x1, y1 = crop
    return np.array(
        {
            0: [[1, 0, -x0], [0, -1, y1], [0, 0, 1]],
            90: [[0, 1, -y0], [1, 0, -x0], [0, 0, 1]],
            180: [[-1, 0, x1], [0, 1, -y0], [0, 0, 1]],
            270: [[0, -1, y1], [-1, 0, x1], [0, 0, 1]],
        }[rotation % 360],
        float,
    )


def _apply(matrix: Floats, points: Floats) -> Floats:
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2])


Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) of PDF: x' = a·x + c·y + e, y' = b·x + d·y + f."""


class _Lines:
    """Gathers the lines of a page while its objects, and the forms among them, are walked through."""

    def __init__(self, c: Any) -> None:
        self.c = c
        self.points: list[tuple[float, float]] = []
        self.starts: list[int] = []
        self.colour: list[tuple[int, int, int]] = []
        self.width: list[float] = []
        self.closed: list[bool] = []
        self.filled: list[bool] = []
        self.dashed: list[bool] = []
        self.path: list[int] = []
        self.paths = 0
        self.image_area = 0.0

    def add(self, thing: Any, outer: Affine, depth: int) -> None:
        """Adds a page object; ``outer`` maps its coordinates to the page's."""
        c = self.c
        kind = c.FPDFPageObj_GetType(thing)
        own = c.FS_MATRIX()
        c.FPDFPageObj_GetMatrix(thing, own)
        # Plain numbers: a page may hold 50,000 paths of two points, for which arrays are too slow.
        a, b, cc, d, e, f = outer
        matrix = (
            a * own.a + cc * own.b,
            b * own.a + d * own.b,
            a * own.c + cc * own.d,
            b * own.c + d * own.d,
            a * own.e + cc * own.f + e,
            b * own.e + d * own.f + f,
        )
        if kind == c.FPDF_PAGEOBJ_PATH:
            self._add_path(thing, matrix)
        elif kind == c.FPDF_PAGEOBJ_IMAGE:
            self.image_area += abs(matrix[0] * matrix[3] - matrix[1] * matrix[2])
        elif kind == c.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
            for k in range(c.FPDFFormObj_CountObjects(thing)):
                self.add(c.FPDFFormObj_GetObject(thing, k), matrix, depth + 1)

    def _add_path(self, thing: Any, matrix: Affine) -> None:
        c = self.c
        ma, mb, mc, md, me, mf = matrix
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        c.FPDFPath_GetDrawMode(thing, fill, stroke)
        if not (fill.value or stroke.value):
            return  # a clipping path draws nothing
        channels = [ctypes.c_uint() for _ in range(4)]
        (c.FPDFPageObj_GetStrokeColor if stroke.value else c.FPDFPageObj_GetFillColor)(thing, *channels)
        colour = (channels[0].value, channels[1].value, channels[2].value)
        width = ctypes.c_float()
        c.FPDFPageObj_GetStrokeWidth(thing, width)
        scale = abs(ma * md - mb * mc) ** 0.5
        dashed = bool(stroke.value) and c.FPDFPageObj_GetDashCount(thing) > 0
        x, y = ctypes.c_float(), ctypes.c_float()
        count = c.FPDFPath_CountSegments(thing)
        if len(self.points) + count > MAX_POINTS:
            raise fail("vector-unreadable", STAGE, "the PDF page holds far more lines than an ECG")
        raw: list[tuple[float, float]] = []
        starts: list[int] = []
        closed: list[bool] = []
        bezier = 0
        for k in range(count):
            segment = c.FPDFPath_GetPathSegment(thing, k)
            kind = c.FPDFPathSegment_GetType(segment)
            if kind == c.FPDF_SEGMENT_BEZIERTO:
                bezier += 1
                if bezier % 3:
                    continue  # a control point: only the third of three lies on the line
            c.FPDFPathSegment_GetPoint(segment, x, y)
            if kind == c.FPDF_SEGMENT_MOVETO or not starts:
                starts.append(len(raw))
                closed.append(False)
            u, v = x.value, y.value
            raw.append((ma * u + mc * v + me, mb * u + md * v + mf))
            if c.FPDFPathSegment_GetClose(segment):
                closed[-1] = True
        if not raw:
            return
        base = len(self.points)
        self.points.extend(raw)
        for start, is_closed in zip(starts, closed, strict=True):
            self.starts.append(base + start)
            self.colour.append(colour)
            self.width.append(width.value * scale)
            self.closed.append(is_closed)
            self.filled.append(bool(fill.value) and not stroke.value)
            self.dashed.append(dashed)
            self.path.append(self.paths)
        self.paths += 1


def _letters(c: Any, page: Any) -> tuple[str, Floats, Floats, NDArray[np.intp]]:
    """(characters, boxes (m, 4) as x0 y0 x1 y1, origins (m, 2), font numbers (m,)) in the page's own coordinates."""
    text_page = page.get_textpage()
    try:
        count = max(c.FPDFText_CountChars(text_page.raw), 0)
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        x, y = ctypes.c_double(), ctypes.c_double()
        name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
        fonts: dict[bytes, int] = {}
        letters: list[str] = []
        boxes, origins, font = np.zeros((count, 4)), np.zeros((count, 2)), np.zeros(count, np.intp)
        for k in range(count):
            code = c.FPDFText_GetUnicode(text_page.raw, k)
            letters.append(chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd")
            c.FPDFText_GetCharBox(text_page.raw, k, left, right, bottom, top)
            c.FPDFText_GetCharOrigin(text_page.raw, k, x, y)
            c.FPDFText_GetFontInfo(text_page.raw, k, name, 128, flags)
            boxes[k] = left.value, bottom.value, right.value, top.value
            origins[k] = x.value, y.value
            font[k] = fonts.setdefault(name.value, len(fonts))
        return "".join(letters), boxes, origins, font
    finally:
        text_page.close()
