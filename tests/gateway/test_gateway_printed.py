"""The commissioning record on paper: nothing is cut, each page says whose it is, every letter is shown or named."""

from __future__ import annotations

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from gateway.printed import MARGIN, METERS, WIDTHS, drawable, printed
from protocols.uplink.commissioned import Commissioned, First, Met
from protocols.uplink.keys import SigningKey, fingerprint

KEY = SigningKey.generate().public


def record(meters: int, *readings: First) -> Commissioned:
    """A record of so many meters, each with these readings."""
    met = (
        Met(f"w-{n}", "mbus", "riser", "line", f"address {n}", None, "HYD", "12345678", 1, 7, 0, None, readings)
        for n in range(meters)
    )
    return Commissioned("boiler-room-7", KEY, "0.1.0 00", bytes(32), 1_700_000_000_000, tuple(met))


@pytest.mark.parametrize("widths", [METERS, WIDTHS])
def test_a_table_is_as_wide_as_the_page_between_its_margins(widths: tuple[float, ...]) -> None:
    assert sum(widths) == pytest.approx(A4[0] - 2 * MARGIN, abs=1)


def test_each_page_says_whose_it_is_and_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed page is known among others, and a missing one is missed."""
    drawn: list[str] = []

    def noted(_: Canvas, x: float, y: float, text: str) -> None:
        drawn.append(text)

    monkeypatch.setattr(Canvas, "drawString", noted)
    monkeypatch.setattr(Canvas, "drawRightString", noted)
    pages = printed(record(80, First("volume", "12.3", "m3", "ok"))).count(b"/Type /Page\n")
    assert pages > 3
    assert f"page {pages} of {pages}" in drawn
    whose = [each for each in drawn if fingerprint(KEY.octets) in each and "boiler-room-7" in each]
    assert len(whose) == 2 * pages  # the first time they are counted


def test_what_the_font_has_is_drawn_and_the_rest_is_named() -> None:
    """Letters of Europe as they are; others, and control characters, by their number: none is a box or lost."""
    printed(record(1))
    assert drawable("Käte-Straße 7, m3") == "Käte-Straße 7, m3"
    assert drawable("a\x07b") == "a\\u0007b"
    assert drawable("所") == "\\u6240"


def test_a_record_with_anything_in_its_texts_is_printed_and_is_the_same_twice() -> None:
    """Markup, long words, texts of the greatest length, no value."""
    odd = First("<b>&amp;</i>" * 20, "0f" * 128, "m³ 所有者", "error-state"), First("x" * 256, None, "", "invalid")
    made = record(2, *odd)
    assert printed(made) == printed(made)
