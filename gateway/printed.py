"""The commissioning record on paper: A4 pages with the meters, their first values and the fingerprints (PDF).

reportlab is imported by this file alone, when a record is printed: the daemon never has it in memory.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from gateway.record import identity, shown
from protocols.uplink.commissioned import Commissioned, Met
from protocols.uplink.keys import fingerprint

FONT = "record"
FONTS = (Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),)  # Debian's fonts-dejavu-core: more letters
BUNDLED = "Vera.ttf"  # reportlab's own: Western European letters
ROW_HEIGHT_PT, SIZE_PT, TITLE_PT = 10, 8, 14
MARGIN = 20 * mm  # 170 mm of A4 are left for the tables
PADDING_PT = 6  # what reportlab's frames take of it on each side
METERS = tuple(each * mm for each in (40, 46, 48, 36))  # meter, where, identity, model
WIDTHS = tuple(each * mm for each in (82, 44, 22, 22))  # place, value, unit, state
FOOT_PT = 12 * mm  # the foot's height above the edge
STYLE = TableStyle(
    [
        ("FONT", (0, 0), (-1, -1), FONT, SIZE_PT),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def printed(made: Commissioned) -> bytes:
    """The record as PDF; the same record is the same bytes."""
    font = next((str(each) for each in FONTS if each.exists()), BUNDLED)
    pdfmetrics.registerFont(TTFont(FONT, font))
    title = f"Commissioning record of gateway {made.gateway}"
    pages = len(_pages(made, title, lambda page: "")[1])
    return _pages(made, title, lambda page: f"page {page} of {pages}")[0]


def _pages(made: Commissioned, title: str, numbered: Callable[[int], str]) -> tuple[bytes, list[int]]:
    """The document, and the numbers of its pages; each page says whose it is: a signed one is known among others."""
    out, seen = io.BytesIO(), list[int]()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGIN - PADDING_PT)
    document = SimpleDocTemplate(out, pagesize=A4, title=title, author="plomba-gateway", invariant=1, **margins)
    whose = f"{made.gateway}, {shown(made.made_ms)}, sealing key {fingerprint(made.sealing.octets)}"

    def foot(canvas: Canvas, _: SimpleDocTemplate) -> None:
        seen.append(canvas.getPageNumber())
        canvas.setFont(FONT, SIZE_PT - 2)
        canvas.drawString(MARGIN, FOOT_PT, whose)
        canvas.drawRightString(A4[0] - MARGIN, FOOT_PT, numbered(seen[-1]))

    document.build(list(_parts(made, title)), onFirstPage=foot, onLaterPages=foot)
    return out.getvalue(), seen


def _parts(made: Commissioned, title: str) -> Iterator[Flowable]:
    yield _text(title, TITLE_PT)
    yield _text(f"made {shown(made.made_ms)}")
    yield _text(f"sealing key {fingerprint(made.sealing.octets)}")
    yield _text(f"configuration {made.config.hex()}")
    yield _text(f"program {made.program}")
    yield Spacer(0, ROW_HEIGHT_PT)
    rows = [(each.name, f"{each.protocol}, {each.address}", identity(each), each.model or "-") for each in made.meters]
    yield _table([("meter", "where", "identity", "model"), *rows], METERS)
    for each in made.meters:
        yield from _meter(each)
    signature = _text("Date, name, signature: ______________________________________________")
    yield KeepTogether([Spacer(0, 3 * ROW_HEIGHT_PT), signature])


def _meter(met: Met) -> Iterator[Flowable]:
    yield Spacer(0, ROW_HEIGHT_PT)
    when = f"NOT READ: {met.failure}" if met.at_ms is None else f"read {shown(met.at_ms)}"
    head = _text(f"{met.name}: {met.bus} ({met.line}), {when}")
    head.keepWithNext = bool(met.readings)
    yield head
    rows = [(each.place, each.value or "-", each.unit, each.state) for each in met.readings]
    if rows:
        yield _table([("register", "value", "unit", "state"), *rows], WIDTHS)


def _table(rows: list[tuple[str, ...]], widths: tuple[float, ...]) -> Table:
    cells = [[_text(each) for each in row] for row in rows]
    return Table(cells, colWidths=widths, style=STYLE, repeatRows=1, hAlign="LEFT")


def _text(text: str, size_pt: int = SIZE_PT) -> Paragraph:
    style = ParagraphStyle("text", fontName=FONT, fontSize=size_pt, leading=size_pt * 1.25, splitLongWords=1)
    return Paragraph(escape(drawable(text)), style)


def drawable(text: str) -> str:
    r"""The text in letters that the font has; another one is shown by its number, as \u6240."""
    letters = pdfmetrics.getFont(FONT).face.charToGlyph
    return "".join(each if ord(each) in letters else f"\\u{ord(each):04x}" for each in text)
