"""The value information block: what a record's number is, in which unit and power of ten.

The tables are those of EN 13757-3:2018: the primary one and its extensions after FD and FB. A unit is the meter's own
(minutes stay minutes) under its UCUM name. The chain of VIFEs (`vife.py`) is obeyed in order; what is not defined makes
the record `UNKNOWN`, never a number.

Sign of an integer. EN 13757-3 codes one as type B (with a sign) where no table says otherwise, as type D (bits) where
it is flags, and as type C (no sign) in three cases, whose codes are in the `UNSIGNED_...` before the tables:

* remark k of table 12 (after FD) and remark d of table 14 (after FB): what is read there has no sign (the codes as the
  public decoder exmbus has them, which works by the 2018 edition);
* VIF 7A, "data type C" in the M-Bus documentation of 1998 (8.4.3), and with it what else identifies (78, 79);
* what names, numbers or counts and cannot be less than nothing, where no remark is public (FD 1E, 2A, 60-64, 66, 67,
  FD FD 00, counts of limit exceeds).

Everything else keeps its sign: energy, volume, power, temperatures, also durations without a remark (20-27, 70-77),
units of heat cost allocators, FD 3A (a number of any kind) and FD 71 (dBm). BCD of what has no sign is invalid with a
minus.

Unknown on purpose, beside what is reserved: FB 22-27, 58-67 and 70-73 (gallons and degrees Fahrenheit, used until 2004
and reserved since; public tables differ by powers of ten), FB 68-6E (rating factors of heat cost allocators, in public
tables with and without a factor of 2^-12), FB 06, FB 23 and FD FD 3E (in one public table only), and what is defined
but is no number, text or date (data containers, daylight saving, listening windows), and type M (a time in data of
variable length, 0D 6D), whose coding no public source gives.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from enum import Enum

from protocols.mbus import vife
from protocols.mbus.faults import RecordCutShort
from protocols.mbus.vife import Effect, Vife

EXTENSION = 0x80
MAX_VIFES = 10
FIRST_EXTENSION = 0xFD
SECOND_EXTENSION = 0xFB
THIRD_EXTENSION = 0xEF  # reserved: what follows it is in no table
PLAIN_TEXT = 0x7C
MANUFACTURER = 0x7F
SECOND_LEVEL = 0x7D  # after FD: the code follows in the next VIFE
OWN_UNIT = "value in the meter's own unit"  # what a plain text is the unit of
MAX_UNIT_TEXT = 32  # characters of a unit that the meter spells out; longer ones are not a unit
TIME_UNITS = ("s", "min", "h", "d")
LONG_TIME_UNITS = ("h", "d", "mo", "a")
REMEMBERED = 1_024  # value information blocks; a site has a few hundred different ones


# Codes whose integers have no sign (type C); the rule and its sources are above.
UNSIGNED_PRIMARY = frozenset({0x78, 0x79, 0x7A})
UNSIGNED_AFTER_FD = frozenset(
    {
        *range(0x08, 0x17),
        *range(0x18, 0x1F),
        *range(0x20, 0x24),
        *range(0x2A, 0x30),
        *range(0x31, 0x34),
        *range(0x3C, 0x40),
        *range(0x60, 0x65),
        *(0x66, 0x67, 0x74, 0x75),
    }
)
UNSIGNED_AFTER_FD_FD = frozenset({0x00})
UNSIGNED_AFTER_FB = frozenset(range(0x18, 0x1C))


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
    `quantity` names what is measured ("flow temperature"; empty where the standard does not say), `qualifiers` what the
    VIFEs say of it; no value is decided by them, only how it is shown and which names are proposed for it. `unsigned`
    numbers have no sign bit.
    """

    kind: Kind
    unit: str = ""
    exponent: int = 0
    added: int | None = None
    failed: int = 0
    tag: Tag = Tag.NONE
    base: bytes = b""
    quantity: str = ""
    qualifiers: tuple[str, ...] = ()
    unsigned: bool = False

    @property
    def plain(self) -> bool:
        """Whether this is a number without unit and power of ten: what a text may stand for."""
        return self.kind is Kind.NUMBER and not self.unit and not self.exponent and self.added is None


UNKNOWN = Meaning(Kind.UNKNOWN)


def _steps(first: int, count: int, unit: str, exponent: int, quantity: str) -> dict[int, Meaning]:
    """`count` codes from `first`, each ten times the one before."""
    return {first + step: Meaning(Kind.NUMBER, unit, exponent + step, quantity=quantity) for step in range(count)}


def _units(first: int, units: tuple[str, ...], quantity: str) -> dict[int, Meaning]:
    return {first + step: Meaning(Kind.NUMBER, unit, quantity=quantity) for step, unit in enumerate(units)}


def _named(kind: Kind, names: dict[int, str], tag: Tag = Tag.NONE) -> dict[int, Meaning]:
    return {code: Meaning(kind, tag=tag, quantity=quantity) for code, quantity in names.items()}


def _table(unsigned: frozenset[int], codes: dict[int, Meaning]) -> dict[int, Meaning]:
    return {code: replace(meaning, unsigned=code in unsigned) for code, meaning in codes.items()}


PRIMARY = _table(
    UNSIGNED_PRIMARY,
    {
        **_steps(0x00, 8, "Wh", -3, "energy"),
        **_steps(0x08, 8, "J", 0, "energy"),
        **_steps(0x10, 8, "m3", -6, "volume"),
        **_steps(0x18, 8, "kg", -3, "mass"),
        **_units(0x20, TIME_UNITS, "on time"),
        **_units(0x24, TIME_UNITS, "operating time"),
        **_steps(0x28, 8, "W", -3, "power"),
        **_steps(0x30, 8, "J/h", 0, "power"),
        **_steps(0x38, 8, "m3/h", -6, "volume flow"),
        **_steps(0x40, 8, "m3/min", -7, "volume flow"),
        **_steps(0x48, 8, "m3/s", -9, "volume flow"),
        **_steps(0x50, 8, "kg/h", -3, "mass flow"),
        **_steps(0x58, 4, "Cel", -3, "flow temperature"),
        **_steps(0x5C, 4, "Cel", -3, "return temperature"),
        **_steps(0x60, 4, "K", -3, "temperature difference"),
        **_steps(0x64, 4, "Cel", -3, "external temperature"),
        **_steps(0x68, 4, "bar", -3, "pressure"),
        **_named(Kind.DATE, {0x6C: "date", 0x6D: "date and time"}, Tag.DATE),
        0x6E: Meaning(Kind.NUMBER, "{hca}", quantity="heat cost allocator units"),
        **_units(0x70, TIME_UNITS, "averaging duration"),
        **_units(0x74, TIME_UNITS, "actuality duration"),
        **_named(Kind.NUMBER, {0x78: "fabrication number", 0x79: "identification", 0x7A: "bus address"}),
        **_named(Kind.UNKNOWN, {0x7E: "any value", MANUFACTURER: "manufacturer specific"}),
    },
)
AFTER_FD = _table(
    UNSIGNED_AFTER_FD,
    {
        **_steps(0x00, 4, "{currency}", -3, "credit"),
        **_steps(0x04, 4, "{currency}", -3, "debit"),
        **_named(
            Kind.NUMBER,
            {
                0x08: "access number",
                0x09: "medium",
                0x0A: "manufacturer",
                0x0B: "parameter set",
                0x0C: "model and version",
                0x0D: "hardware version",
                0x0E: "firmware version",
                0x0F: "software version",
                0x10: "customer location",
                0x11: "customer",
                0x12: "access code of the user",
                0x13: "access code of the operator",
                0x14: "access code of the system operator",
                0x15: "access code of the developer",
                0x16: "password",
                0x19: "security key",
                0x1E: "retry",
                0x20: "first storage number",
                0x21: "last storage number",
                0x22: "size of the storage block",
                0x23: "descriptor for tariff and subunit",
                0x2A: "operator specific data",
                0x3A: "number without dimension",
                0x60: "reset counter",
                0x61: "cumulation counter",
                0x62: "control signal",
                0x63: "day of the week",
                0x64: "week number",
                0x66: "state of parameter activation",
                0x67: "special supplier information",
                0x75: "number of times the meter was stopped",
            },
        ),
        **_named(
            Kind.BITS,
            {
                0x17: "error flags",
                0x18: "error mask",
                0x1A: "digital output",
                0x1B: "digital input",
                0x1F: "remote control",
            },
        ),
        0x1C: Meaning(Kind.NUMBER, "Bd", quantity="baud rate"),
        0x1D: Meaning(Kind.NUMBER, "{bittime}", quantity="response delay time"),
        **_units(0x24, (*TIME_UNITS, "mo", "a"), "storage interval"),
        0x2B: Meaning(Kind.NUMBER, "s", quantity="second of the time point"),
        **_units(0x2C, TIME_UNITS, "duration since last readout"),
        **_units(0x31, TIME_UNITS[1:], "duration of tariff"),
        **_units(0x34, (*TIME_UNITS, "mo", "a"), "period of tariff"),
        **_units(0x3C, TIME_UNITS, "period of nominal data transmissions"),
        **_steps(0x40, 16, "V", -9, "voltage"),
        **_steps(0x50, 16, "A", -12, "current"),
        **_units(0x68, LONG_TIME_UNITS, "duration since last cumulation"),
        **_units(0x6C, LONG_TIME_UNITS, "operating time of the battery"),
        **_named(
            Kind.DATE, {0x30: "start of tariff", 0x65: "time point of day change", 0x70: "date of battery change"}
        ),
        0x71: Meaning(Kind.NUMBER, "{dBm}", quantity="radio level"),
        0x74: Meaning(Kind.NUMBER, "d", quantity="remaining life of the battery"),
        **_named(
            Kind.UNKNOWN,
            {
                0x3B: "data container of wireless M-Bus",
                0x72: "daylight saving",
                0x73: "listening window",
                0x76: "data container of the manufacturer",
            },
        ),
    },
)
AFTER_FD_FD = _table(
    UNSIGNED_AFTER_FD_FD,
    {
        0x00: Meaning(Kind.NUMBER, quantity="selected application"),
        **_units(0x02, LONG_TIME_UNITS[2:], "remaining life of the battery"),
    },
)
NOT_METRIC = ("non-metric unit",)
AFTER_FB = _table(
    UNSIGNED_AFTER_FB,
    {
        **_steps(0x00, 2, "Wh", 5, "energy"),
        **_steps(0x02, 2, "var.h", 3, "reactive energy"),
        **_steps(0x04, 2, "VA.h", 3, "apparent energy"),
        **_steps(0x08, 2, "J", 8, "energy"),
        **_steps(0x0C, 4, "cal", 5, "energy"),
        **_steps(0x10, 2, "m3", 2, "volume"),
        **_steps(0x14, 4, "var", 0, "reactive power"),
        **_steps(0x18, 2, "kg", 5, "mass"),
        **_steps(0x1A, 2, "%", -1, "relative humidity"),
        0x20: Meaning(Kind.NUMBER, "[cft_i]", 0, quantity="volume", qualifiers=NOT_METRIC),
        0x21: Meaning(Kind.NUMBER, "[cft_i]", -1, quantity="volume", qualifiers=NOT_METRIC),
        **_steps(0x28, 2, "W", 5, "power"),
        0x2A: Meaning(Kind.NUMBER, "deg", -1, quantity="phase angle voltage to voltage"),
        0x2B: Meaning(Kind.NUMBER, "deg", -1, quantity="phase angle voltage to current"),
        **_steps(0x2C, 4, "Hz", -3, "frequency"),
        **_steps(0x30, 2, "J/h", 8, "power"),
        **_steps(0x34, 4, "VA", 0, "apparent power"),
        **_named(
            Kind.UNKNOWN,
            {
                0x68: "resulting rating factor",
                0x69: "thermal output rating factor",
                0x6A: "thermal coupling rating factor",
                0x6B: "thermal coupling rating factor of the room side",
                0x6C: "thermal coupling rating factor of the heater side",
                0x6D: "low temperature rating factor",
                0x6E: "display scaling factor",
            },
        ),
        **_steps(0x74, 4, "Cel", -3, "cold or warm temperature limit"),
        **_steps(0x78, 8, "W", -3, "cumulated maximum power"),
    },
)


def decode(body: bytes, at: int) -> tuple[bytes, Meaning, int]:
    """The value information block that begins at `at`: its bytes as sent, its meaning, and where the data begin.

    Raises:
        RecordCutShort: it does not end inside the telegram.
    """
    start = at
    first = _byte(body, at)
    at += 1
    if first & ~EXTENSION == PLAIN_TEXT:  # the text comes before the VIFEs, last character first
        at += 1 + _byte(body, at)
    extended, end = first & EXTENSION, at + MAX_VIFES
    while extended:
        if at == end:
            raise RecordCutShort(f"at most {MAX_VIFES} vifes", "more", f"telegram at byte {at}")
        extended, at = _byte(body, at) & EXTENSION, at + 1
    if at > len(body):
        raise RecordCutShort("value information", "end of telegram", f"telegram at byte {at}")
    vib = bytes(body[start:at])
    return vib, meaning_of(vib), at


def _byte(body: bytes, at: int) -> int:
    if at >= len(body):
        raise RecordCutShort("value information", "end of telegram", f"telegram at byte {at}")
    return body[at]


@functools.lru_cache(REMEMBERED)
def meaning_of(vib: bytes) -> Meaning:
    """What a whole value information block says; a VIFE that is not understood makes it unknown."""
    first, *rest = pieces(vib)
    meaning, at = _first(first), len(first)
    for piece in rest:
        meaning = _applied(meaning, vife.find(piece), piece[0] & ~EXTENSION, vib[:at])
        at += len(piece)
    return meaning


def standard_part(vib: bytes) -> Meaning | None:
    """What stands before the manufacturer's own VIFE (FF or 7F); None where there is none, or nothing before it."""
    before, last = pieces(vib)[:-1], pieces(vib)[-1]
    return meaning_of(b"".join(before)) if before and last[0] & ~EXTENSION == MANUFACTURER else None


def pieces(vib: bytes) -> tuple[bytes, ...]:
    """A whole value information block in its parts: the VIF, then each VIFE.

    With the VIF are the text that it announces and the code of an extension table; with FC the code that it announces.
    What the manufacturer defines stays in one part.
    """
    first = vib[0] & ~EXTENSION
    if first == PLAIN_TEXT:
        at = 2 + vib[1]
    elif first == MANUFACTURER:
        at = len(vib)
    elif vib[0] == FIRST_EXTENSION and vib[1] == SECOND_LEVEL | EXTENSION:
        at = 3
    else:
        at = 2 if vib[0] in (FIRST_EXTENSION, SECOND_EXTENSION, THIRD_EXTENSION) else 1
    found = [vib[:at]]
    while at < len(vib):
        code = vib[at] & ~EXTENSION
        size = len(vib) if code == MANUFACTURER else 2 if code == vife.EXTENSION else 1
        found.append(vib[at : at + size])
        at += size
    return tuple(found)


def _first(piece: bytes) -> Meaning:
    """What the VIF says with its text or its extension table."""
    first, last = piece[0], piece[-1] & ~EXTENSION
    if first & ~EXTENSION == PLAIN_TEXT:
        return _spelled(piece[2:])
    if first == FIRST_EXTENSION:
        return (AFTER_FD_FD if len(piece) == 3 else AFTER_FD).get(last, UNKNOWN)
    if first == SECOND_EXTENSION:
        return AFTER_FB.get(last, UNKNOWN)
    return PRIMARY.get(first & ~EXTENSION, UNKNOWN)


def _spelled(text: bytes) -> Meaning:
    """A unit that the meter spells out: an annotation in braces, which UCUM allows no space (the key has the bytes)."""
    if not 0 < len(text) <= MAX_UNIT_TEXT or any(not 0x20 <= octet < 0x7F or octet in b"{}" for octet in text):
        return UNKNOWN
    unit = "{" + text[::-1].decode("ascii").replace(" ", "_") + "}"
    return Meaning(Kind.NUMBER, unit, quantity=OWN_UNIT)


def _applied(meaning: Meaning, found: Vife | None, code: int, before: bytes) -> Meaning:
    """`meaning` with one more VIFE; `before` is the value information up to it."""
    if found is None:
        return _no_number(meaning)
    if code == vife.STANDARD_CONTENT and meaning.kind is Kind.BITS:
        return replace(meaning, qualifiers=(*meaning.qualifiers, "as the standard defines them"))
    if found.words:
        meaning = replace(meaning, qualifiers=(*meaning.qualifiers, found.words))
    if found.effect is Effect.ERROR:
        return replace(meaning, failed=code)
    return meaning if meaning.kind is Kind.UNKNOWN else _changed(meaning, found, code, before)


def _no_number(meaning: Meaning) -> Meaning:
    """Unknown; a record error before it stays one."""
    return Meaning(Kind.UNKNOWN, failed=meaning.failed, quantity=meaning.quantity, qualifiers=meaning.qualifiers)


def _dated(meaning: Meaning, effect: Effect, before: bytes) -> Meaning:
    """A date; with `DATE_OF` the base is the value information as the value itself would send it."""
    tag, base = Tag.NONE, b""
    if effect is Effect.DATE_OF:
        tag, base = Tag.DATE_OF, before[:-1] + bytes([before[-1] & ~EXTENSION])
    return Meaning(
        Kind.DATE, failed=meaning.failed, tag=tag, base=base, quantity=meaning.quantity, qualifiers=meaning.qualifiers
    )


def _changed(meaning: Meaning, found: Vife, code: int, before: bytes) -> Meaning:
    match found.effect:
        case Effect.NONE:
            return meaning if code == vife.NO_ERROR else replace(meaning, tag=Tag.NONE)
        case Effect.DATE | Effect.DATE_OF:
            return _dated(meaning, found.effect, before)
        case Effect.COUNT | Effect.DURATION:
            counts = found.effect is Effect.COUNT
            return replace(
                meaning, kind=Kind.NUMBER, unit=found.unit, exponent=0, added=None, tag=Tag.NONE, unsigned=counts
            )
    return _calculated(meaning, found) if meaning.kind is Kind.NUMBER else _no_number(meaning)


def _calculated(meaning: Meaning, found: Vife) -> Meaning:
    """A number with another power of ten, an addition, another unit or no sign."""
    match found.effect:
        case Effect.UNIT:
            return replace(meaning, unit=meaning.unit + found.unit)
        case Effect.FACTOR:
            return replace(meaning, exponent=meaning.exponent + found.exponent)
        case Effect.UNSIGNED:
            return replace(meaning, unsigned=True)
        case Effect.ADDED if meaning.added is None:
            return replace(meaning, added=found.exponent)
    return _no_number(meaning)
