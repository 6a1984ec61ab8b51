"""What a recording is, in words: the same for a terminal, a notebook and a report."""

from __future__ import annotations

from html import escape

import numpy as np

from ecglift.leads import LEAD_INDEX
from ecglift.recording import Recording


def headline(recording: Recording) -> str:
    """One line: how many leads, how long, at what rate, how it went."""
    n = len(recording.leads)
    if n == 0:
        return f"Recording without leads, status {recording.status}"
    leads = "12 leads" if n == 12 else f"{n} lead{'s' * (n > 1)}"
    return f"Recording of {leads}, {recording.duration_s:.2f} s at {recording.fs_hz:g} Hz, status {recording.status}"


def lead_rows(recording: Recording) -> list[tuple[str, str, str, str]]:
    """(lead, printed seconds, range in mV, mean confidence) of every lead that is there."""
    rows = []
    for name in recording.leads:
        mv, confidence = recording.mv[LEAD_INDEX[name]], recording.confidence[LEAD_INDEX[name]]
        known = np.flatnonzero(np.isfinite(mv))
        start, stop = known[0] / recording.fs_hz, (known[-1] + 1) / recording.fs_hz
        low, high = float(mv[known].min()), float(mv[known].max())
        mean = float(confidence[known].mean())
        rows.append((name, f"{start:.2f} to {stop:.2f} s", f"{low:+.2f} to {high:+.2f} mV", f"{mean:.0%}"))
    return rows


_HEADS = ("lead", "printed", "range", "confidence")


def as_text(recording: Recording) -> str:
    """The recording in a few lines of text."""
    lines = [headline(recording)]
    rows = lead_rows(recording)
    if rows:
        lines += [f"  {a:<5}{b:<18}{c:<22}{d:>10}" for a, b, c, d in (_HEADS, *rows)]
    lines += [f"  ! {problem}" for problem in recording.problems]
    return "\n".join(lines)


def as_html(recording: Recording) -> str:
    """The same as HTML, with the ECG drawn above it."""
    from ecglift.draw.ecg_paper import draw_ecg

    rows = lead_rows(recording)
    out = [f"<p><b>{escape(headline(recording))}</b></p>"]
    if rows:
        drawing = draw_ecg(recording, by_confidence=True)
        picture = drawing.svg().replace(
            f'width="{drawing.width_mm:g}mm" height="{drawing.height_mm:g}mm"', 'width="100%"', 1
        )
        head = "".join(f"<th>{name}</th>" for name in _HEADS)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        out += [picture, f"<table><tr>{head}</tr>{body}</table>"]
    if recording.problems:
        out.append("<ul>" + "".join(f"<li>{escape(str(p))}</li>" for p in recording.problems) + "</ul>")
    return "\n".join(out)
