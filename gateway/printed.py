"""The commissioning record on paper: A4 pages with the meters, their first values and the fingerprints (PDF).

reportlab is imported by this file alone, when a record is printed: the daemon never has it in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from gateway.record import identity, shown
from protocols.uplink.commissioned import Commissioned, Met
from protocols.uplink.keys import fingerprint

FONT = "record"
FONTS = (Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),)  # Debian's fonts-dejavu-core: more letters
BUNDLED = "Vera.ttf"  # reportlab's own: Western European letters
ROW_HEIGHT_PT, SIZE_PT, TITLE_PT = 10, 8, 14
WIDTHS = tuple(each * mm for each in (85, 45, 22, 18))  # place, value, unit, state
STYLE = TableStyle(
    [
        ("FONT", (0, 0), (-1, -1), FONT, SIZE_PT),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def printed(made: Commissioned) -> bytes:
    """The record as PDF; the same record is the same bytes."""
    font = next((str(each) for each in FONTS if each.exists()), BUNDLED)
    pdfmetrics.registerFont(TTFont(FONT, font))
    out = io.BytesIO()
    title = f"Commissioning record of gateway {made.gateway}"
    document = SimpleDocTemplate(out, pagesize=A4, title=title, author="plomba-gateway", invariant=1)
    document.build(list(_parts(made, title)))
    return out.getvalue()


def _parts(made: Commissioned, title: str) -> Iterator[Flowable]:
    yield _text(title, TITLE_PT)
    yield _text(f"made {shown(made.made_ms)}")
    yield _text(f"sealing key {fingerprint(made.sealing.octets)}")
    yield _text(f"configuration {made.config.hex()}")
    yield _text(f"program {made.program}")
    yield Spacer(0, ROW_HEIGHT_PT)
    rows = [(each.name, f"{each.protocol}, {each.address}", identity(each), each.model or "-") for each in made.meters]
    yield _table([("meter", "where", "identity", "model"), *rows], (45 * mm, 45 * mm, 50 * mm, 30 * mm))
    for each in made.meters:
        yield from _meter(each)
    yield Spacer(0, 3 * ROW_HEIGHT_PT)
    yield _text("Date, name, signature: ______________________________________________")


def _meter(met: Met) -> Iterator[Flowable]:
    yield Spacer(0, ROW_HEIGHT_PT)
    when = f"NOT READ: {met.failure}" if met.at_ms is None else f"read {shown(met.at_ms)}"
    yield _text(f"{met.name}: {met.bus} ({met.line}), {when}")
    rows = [(each.place, each.value or "-", each.unit, each.state) for each in met.readings]
    if rows:
        yield _table([("register", "value", "unit", "state"), *rows], WIDTHS)


def _table(rows: list[tuple[str, ...]], widths: tuple[float, ...]) -> Table:
    cells = [[_text(each) for each in row] for row in rows]
    return Table(cells, colWidths=widths, style=STYLE, repeatRows=1, hAlign="LEFT")


def _text(text: str, size_pt: int = SIZE_PT) -> Paragraph:
    style = ParagraphStyle("text", fontName=FONT, fontSize=size_pt, leading=size_pt + 2, splitLongWords=1)
    return Paragraph(escape(text), style)
