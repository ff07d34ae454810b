"""OBIS names (IEC 62056-61): six numbers A-B:C.D.E.F that say what a register measures."""

from __future__ import annotations

import re

OBIS = 6  # bytes
_TEXT = re.compile(r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*](\d{1,3}))?")
ANY_F = 255  # F where no billing period is meant


def from_text(text: str) -> bytes:
    """The six bytes of "1-0:1.8.0.255"; F may be left out (255) or written after an asterisk.

    Raises:
        ValueError: not of this form.
    """
    found = _TEXT.fullmatch(text.strip())
    numbers = [] if found is None else [int(each) if each is not None else ANY_F for each in found.groups()]
    if not numbers or max(numbers) > ANY_F:
        raise ValueError(f"expected an OBIS name like 1-0:1.8.0.255, got {text!r}")
    return bytes(numbers)


def shown(name: bytes) -> str:
    """The six bytes as "1-0:1.8.0.255"."""
    a, b, c, d, e, f = name
    return f"{a}-{b}:{c}.{d}.{e}.{f}"
