"""The value information block: what a record's number is, in which unit and power of ten.

The tables are EN 13757-3's primary one and, as far as heat, water and electricity meters use them, the extensions after
FD and FB. A unit is the meter's own (minutes stay minutes) under its UCUM name. The chain of VIFEs is obeyed in order;
what is not defined here makes the record `UNKNOWN`, never a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from protocols.mbus.faults import RecordCutShort

EXTENSION = 0x80
MAX_VIFES = 10
FIRST_EXTENSION = 0xFD
SECOND_EXTENSION = 0xFB
PLAIN_TEXT = 0x7C
MANUFACTURER = 0x7F
MAX_UNIT_TEXT = 32  # characters of a unit that the meter spells out; longer ones are not a unit
TIME_UNITS = ("s", "min", "h", "d")
LONG_TIME_UNITS = ("h", "d", "mo", "a")


class Kind(Enum):
    """What the data of a record are."""

    NUMBER = "number"
    BITS = "bits"  # unsigned: flags and masks
    DATE = "date"
    UNKNOWN = "unknown"


class Tag(Enum):
    """The few records that others lean on."""

    NONE = "none"
    DATE = "date of a storage"  # VIF 6C and 6D alone
    DATE_OF = "date of a value"  # VIFE 6A, 6B, 6E, 6F


@dataclass(frozen=True, slots=True)
class Meaning:
    """Kind, UCUM unit and power of ten; `added` is a power of ten to add in the unit (VIFE 78-7B).

    `failed` is the record error of VIFE 01-1F; `base` the value information without the VIFEs that make a date.
    """

    kind: Kind
    unit: str = ""
    exponent: int = 0
    added: int | None = None
    failed: int = 0
    tag: Tag = Tag.NONE
    base: bytes = b""


UNKNOWN = Meaning(Kind.UNKNOWN)
DATE = Meaning(Kind.DATE, tag=Tag.DATE)


def _steps(first: int, count: int, unit: str, exponent: int, kind: Kind = Kind.NUMBER) -> dict[int, Meaning]:
    """`count` codes from `first`, each ten times the one before."""
    return {first + step: Meaning(kind, unit, exponent + step) for step in range(count)}


def _units(first: int, units: tuple[str, ...]) -> dict[int, Meaning]:
    return {first + step: Meaning(Kind.NUMBER, unit) for step, unit in enumerate(units)}


def _plain(*codes: int) -> dict[int, Meaning]:
    return {code: Meaning(Kind.NUMBER) for code in codes}


PRIMARY: dict[int, Meaning] = {
    **_steps(0x00, 8, "Wh", -3),
    **_steps(0x08, 8, "J", 0),
    **_steps(0x10, 8, "m3", -6),
    **_steps(0x18, 8, "kg", -3),
    **_units(0x20, TIME_UNITS),  # on time
    **_units(0x24, TIME_UNITS),  # operating time
    **_steps(0x28, 8, "W", -3),
    **_steps(0x30, 8, "J/h", 0),
    **_steps(0x38, 8, "m3/h", -6),
    **_steps(0x40, 8, "m3/min", -7),
    **_steps(0x48, 8, "m3/s", -9),
    **_steps(0x50, 8, "kg/h", -3),
    **_steps(0x58, 4, "Cel", -3),  # flow temperature
    **_steps(0x5C, 4, "Cel", -3),  # return temperature
    **_steps(0x60, 4, "K", -3),
    **_steps(0x64, 4, "Cel", -3),  # external temperature
    **_steps(0x68, 4, "bar", -3),
    0x6C: DATE,
    0x6D: DATE,
    0x6E: Meaning(Kind.NUMBER, "{hca}"),  # units of a heat cost allocator
    **_units(0x70, TIME_UNITS),  # averaging duration
    **_units(0x74, TIME_UNITS),  # actuality duration
    **_plain(0x78, 0x79, 0x7A),  # fabrication number, identification, bus address
}
AFTER_FD: dict[int, Meaning] = {
    **_steps(0x00, 4, "{currency}", -3),  # credit
    **_steps(0x04, 4, "{currency}", -3),  # debit
    **_plain(*range(0x08, 0x17)),  # access number, medium, versions, customer, codes
    **dict.fromkeys((0x17, 0x18, 0x1A, 0x1B), Meaning(Kind.BITS)),  # error flags and mask, digital output and input
    **_units(0x1C, ("Bd", "{bittime}")),
    **_plain(0x1E, 0x20, 0x21, 0x22),  # retry, first and last storage, size of storage block
    **_units(0x24, (*TIME_UNITS, "mo", "a")),  # storage interval
    **_units(0x2C, TIME_UNITS),  # since last readout
    0x30: Meaning(Kind.DATE),  # start of tariff
    **_units(0x31, TIME_UNITS[1:]),  # duration of tariff
    **_units(0x34, (*TIME_UNITS, "mo", "a")),  # period of tariff
    **_plain(0x3A, *range(0x60, 0x63), 0x64, 0x66),  # dimensionless, counters, control signal, week, activation
    **_steps(0x40, 16, "V", -9),
    **_steps(0x50, 16, "A", -12),
    **_units(0x68, LONG_TIME_UNITS),  # since last cumulation
    **_units(0x6C, LONG_TIME_UNITS),  # operating time of the battery
    0x70: Meaning(Kind.DATE),  # battery changed
    0x74: Meaning(Kind.NUMBER, "d"),  # remaining life of the battery
}
AFTER_FB: dict[int, Meaning] = {
    **_steps(0x00, 2, "Wh", 5),
    **_steps(0x02, 2, "var.h", 3),
    **_steps(0x04, 2, "VA.h", 3),
    **_steps(0x08, 2, "J", 8),
    **_steps(0x0C, 4, "cal", 5),
    **_steps(0x10, 2, "m3", 2),
    **_steps(0x14, 4, "var", 0),
    **_steps(0x18, 2, "kg", 5),
    **_steps(0x1A, 2, "%", -1),
    **_steps(0x28, 2, "W", 5),
    **_steps(0x2C, 4, "Hz", -3),
    **_steps(0x30, 2, "J/h", 8),
    **_steps(0x34, 4, "VA", 0),
    **_steps(0x74, 4, "Cel", -3),  # cold/warm temperature limit
    **_steps(0x78, 8, "W", -3),  # cumulated count of maximum power
}
PER = (
    "/s /min /h /d /wk /mo /a /{revolution} /{pulse-in-0} /{pulse-in-1} /{pulse-out-0} /{pulse-out-1} /L /m3 /kg /K "
    "/kW.h /GJ /kW /(K.L) /V /A .s .s/V .s/A"
)
UNIT_CHANGES = dict(zip(range(0x20, 0x39), PER.split(), strict=True))
# Accumulation of positive or of negative amounts only, uncorrected, future, no error; lower and upper limit value.
SAME_NUMBER = frozenset({0x00, 0x3A, 0x3B, 0x3C, 0x40, 0x48, 0x7E})
STANDARD_CONTENT = 0x1D  # flags with VIFE 1D are the standard's own; on a number it is a record error
MAKES_DATE = frozenset({0x39, 0x42, 0x43, 0x46, 0x47, 0x4A, 0x4B, 0x4E, 0x4F})
DATE_OF_VALUE = frozenset({0x6A, 0x6B, 0x6E, 0x6F})


def decode(body: bytes, at: int) -> tuple[bytes, Meaning, int]:
    """The value information block that begins at `at`: its bytes as sent, its meaning, and where the data begin.

    Raises:
        RecordCutShort: it does not end inside the telegram.
    """
    start = at
    first = _byte(body, at)
    at += 1
    text = b""
    if first & ~EXTENSION == PLAIN_TEXT:  # the text comes before the VIFEs, last character first
        size = _byte(body, at)
        text = body[at + 1 : at + 1 + size]
        at += 1 + size
    chain, at = _chain(body, at, first)
    vib = bytes(body[start:at])
    if first & ~EXTENSION == PLAIN_TEXT:
        return vib, _corrected(_spelled(text), chain, vib), at
    if first in (FIRST_EXTENSION, SECOND_EXTENSION):
        table = AFTER_FD if first == FIRST_EXTENSION else AFTER_FB
        return vib, _corrected(table.get(chain[0], UNKNOWN), chain[1:], vib), at
    return vib, _corrected(PRIMARY.get(first & ~EXTENSION, UNKNOWN), chain, vib), at


def _byte(body: bytes, at: int) -> int:
    if at >= len(body):
        raise RecordCutShort("value information", "end of telegram", f"telegram at byte {at}")
    return body[at]


def _chain(body: bytes, at: int, first: int) -> tuple[tuple[int, ...], int]:
    """The VIFEs from `at` without their extension bits, and where they end."""
    chain: list[int] = []
    extended = first & EXTENSION
    while extended:
        if len(chain) == MAX_VIFES:
            raise RecordCutShort(f"at most {MAX_VIFES} vifes", "more", f"telegram at byte {at}")
        vife = _byte(body, at)
        chain.append(vife & ~EXTENSION)
        extended, at = vife & EXTENSION, at + 1
    return tuple(chain), at


def _spelled(text: bytes) -> Meaning:
    """A unit that the meter spells out: an annotation in braces, which UCUM allows no space (the key has the bytes)."""
    if not 0 < len(text) <= MAX_UNIT_TEXT or any(not 0x20 <= octet < 0x7F or octet in b"{}" for octet in text):
        return UNKNOWN
    return Meaning(Kind.NUMBER, "{" + text[::-1].decode("ascii").replace(" ", "_") + "}")


def _corrected(meaning: Meaning, chain: tuple[int, ...], vib: bytes) -> Meaning:
    """What the VIFEs make of `meaning`; the first that is not understood makes it unknown."""
    for place, vife in enumerate(chain):
        if meaning.kind is Kind.UNKNOWN:
            return UNKNOWN
        meaning = _applied(meaning, vife, vib, len(chain) - place)
    return meaning


def _applied(meaning: Meaning, vife: int, vib: bytes, left: int) -> Meaning:
    if vife in DATE_OF_VALUE:
        return Meaning(Kind.DATE, failed=meaning.failed, tag=Tag.DATE_OF, base=_base(vib, left))
    if vife in MAKES_DATE:
        return Meaning(Kind.DATE, failed=meaning.failed)
    if vife in SAME_NUMBER:
        return replace(meaning, tag=Tag.NONE)
    if vife == STANDARD_CONTENT and meaning.kind is Kind.BITS:
        return meaning
    if vife < 0x20:
        return replace(meaning, failed=vife)
    return _changed(meaning, vife) if meaning.kind is Kind.NUMBER else UNKNOWN


def _changed(meaning: Meaning, vife: int) -> Meaning:
    """A number with another power of ten, an addition or another unit."""
    if vife in UNIT_CHANGES:
        return replace(meaning, unit=meaning.unit + UNIT_CHANGES[vife])
    if 0x70 <= vife <= 0x77:
        return replace(meaning, exponent=meaning.exponent + vife - 0x76)
    if 0x78 <= vife <= 0x7B and meaning.added is None:
        return replace(meaning, added=vife - 0x7B)
    if vife == 0x7D:
        return replace(meaning, exponent=meaning.exponent + 3)
    return UNKNOWN


def _base(vib: bytes, left: int) -> bytes:
    """The value information before the last `left` VIFEs, as the value itself would send it."""
    kept = vib[: len(vib) - left]
    return kept[:-1] + bytes([kept[-1] & ~EXTENSION])
