"""A record's data: octets in, a state and a number out.

A number stands only under state `OK`; every other state carries the octets as they came, in wire order. What would need
a guess - the sign of a binary number of variable length - is `UNKNOWN`. So is, for want of another state, what no store
holds: a number beyond 64 bits or finer than 10^-12, a text of more than 128 bytes (`protocols/uplink/limits.py`).
`decoded` gives these beside the state; an explanation shows them and says so, no reading has them. Flags and numbers
that only name something (no unit, no sign) are kept as their decimal digits, a text, where 64 bits with a sign do not
hold them.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

from protocols.mbus import dates
from protocols.mbus.dif import BINARY, ERROR_FUNCTION, Coding, DataInformation
from protocols.mbus.faults import RecordCutShort
from protocols.mbus.vif import Kind, Meaning
from protocols.reading import Float32, Number, Raw, Scaled, State, Text

MAX_EXPONENT = 12
MAX_MANTISSA = 2**63 - 1  # what every store holds as an integer
MAX_TEXT = 128  # bytes of UTF-8
UNSET = b"\xff\xff\xff\xff"  # what Zenner writes into a storage that has not been reached
# Counters are not negative by one step, nor by all that fits: in a storage such numbers of 2 to 8 bytes say that it has
# not been reached (-1; the least one: Zenner's months).
COUNTED = frozenset({"Wh", "J", "cal", "var.h", "VA.h", "m3", "kg", "[cft_i]", "{hca}"})
REAL_DIGITS = range(1, 10)  # nine tell every float32 from the others
LAST_NUMBER = 0xF6  # the last length byte of a binary number
SIGN = 0x80
Judged = tuple[State, Number | None]  # beside UNKNOWN: what the standard defines and no store holds
INVALID: Judged = (State.INVALID, None)
NOT_KNOWN: Judged = (State.UNKNOWN, None)
PLAIN = Meaning(Kind.NUMBER)
UNSIGNED = Meaning(Kind.NUMBER, unsigned=True)


def measure(coding: Coding, size: int, body: bytes, at: int) -> tuple[int, int]:
    """Where the data begin and end; the LVAR byte is not data.

    Raises:
        RecordCutShort: they do not end inside the telegram, or their length is reserved.
    """
    if coding is Coding.VARIABLE:
        if at >= len(body):
            raise RecordCutShort("a length", "end of telegram", f"telegram at byte {at}")
        size = variable_size(body[at])
        at += 1
    if at + size > len(body):
        raise RecordCutShort(f"{size} bytes of data", str(len(body) - at), f"telegram at byte {at}")
    return at, at + size


def variable_size(lvar: int) -> int:
    """How many bytes the length byte `lvar` announces (EN 13757-3, LVAR).

    Raises:
        RecordCutShort: the value is reserved, so that nobody knows where the next record begins.
    """
    if lvar <= 0xBF:
        return lvar
    if 0xC0 <= lvar <= 0xC9 or 0xD0 <= lvar <= 0xD9 or 0xE0 <= lvar <= 0xEF:
        return lvar & 0x0F
    if 0xF0 <= lvar <= 0xF4:
        return 4 * (lvar - 0xEC)
    if lvar in (0xF5, 0xF6):
        return 48 if lvar == 0xF5 else 64
    raise RecordCutShort("a length byte of text, bcd or binary", f"{lvar:02x}", "data of variable length")


def judge(info: DataInformation, meaning: Meaning, octets: bytes, lvar: int, high_first: bool) -> tuple[State, Number]:
    """The state of a record and its number; `lvar` is the length byte (0 unless the length is variable)."""
    raw = Raw(octets)
    if info.function == ERROR_FUNCTION:
        return State.ERROR_STATE, raw
    if meaning.failed or info.coding is Coding.NONE:
        return State.INVALID, raw
    if meaning.kind is Kind.UNKNOWN:
        return State.UNKNOWN, raw
    low_first = octets[::-1] if high_first else octets
    if info.coding is Coding.INTEGER and info.storage and _is_unset(meaning, low_first):
        return State.INVALID, raw
    state, number = decoded(info.coding, meaning, low_first, lvar)
    return state, raw if number is None or state is not State.OK else number


def _is_unset(meaning: Meaning, octets: bytes) -> bool:
    """Whether an integer (low byte first) says that its storage has not been reached."""
    if meaning.kind is Kind.BITS:
        return False
    if octets == UNSET:
        return True
    least = bytes(len(octets) - 1) + b"\x80"
    return meaning.unit in COUNTED and len(octets) > 1 and octets in (b"\xff" * len(octets), least)


def bare(coding: Coding, octets: bytes, lvar: int, unsigned: bool = False) -> Number | None:
    """The number or text as its coding alone says, without unit and power of ten; None where there is none.

    What is known to have no sign is shown without one.

    `octets` are low byte first. Binary data of variable length are shown in hex. For an explanation, never a reading.
    """
    if coding is Coding.NONE:
        return None
    if coding is Coding.VARIABLE and lvar >= BINARY:
        return Text(octets.hex())
    return decoded(coding, UNSIGNED if unsigned else PLAIN, octets, lvar)[1]


def decoded(coding: Coding, meaning: Meaning, octets: bytes, lvar: int) -> Judged:
    """The data (low byte first) by coding and meaning, whatever function and record error say of them."""
    if coding is Coding.NONE:
        return INVALID
    if coding is Coding.VARIABLE:
        return _variable(meaning, octets, lvar)
    if meaning.kind is Kind.DATE:
        return dates.decode(octets) if coding is Coding.INTEGER else INVALID  # table 10, of other data fields
    if coding is Coding.REAL:
        return _real(meaning, octets) if meaning.kind is Kind.NUMBER else NOT_KNOWN
    if coding is Coding.BCD:
        return _bcd(meaning, octets)
    signed = meaning.kind is not Kind.BITS and not meaning.unsigned
    return _scaled(meaning, int.from_bytes(octets, "little", signed=signed))


def _bcd(meaning: Meaning, octets: bytes) -> Judged:
    """F in the top digit is minus; A-E anywhere, F elsewhere and all F say "no value"."""
    digits = octets[::-1].hex()
    negative = digits.startswith("f")
    return _digits(meaning, digits[1:] if negative else digits, negative)


def _digits(meaning: Meaning, digits: str, negative: bool) -> Judged:
    """A minus before what has no sign says "no value" too."""
    if not digits.isdigit() or (negative and (meaning.unsigned or meaning.kind is Kind.BITS)):
        return INVALID
    return _scaled(meaning, -int(digits) if negative else int(digits))


def _real(meaning: Meaning, octets: bytes) -> Judged:
    bits = int.from_bytes(octets, "little")
    if bits >> 23 & 0xFF == 0xFF:  # infinite, or not a number
        return INVALID
    if meaning.added is None and abs(meaning.exponent) <= MAX_EXPONENT:
        return State.OK, Float32(bits, meaning.exponent)
    beyond = Float32(bits, meaning.exponent) if meaning.added is None else None
    added = Fraction(0) if meaning.added is None else Fraction(10) ** meaning.added
    for exact in (_exact(octets), _shortest(octets)):
        state, number = _decimal(exact * Fraction(10) ** meaning.exponent + added)
        if state is State.OK:
            return state, number
    return State.UNKNOWN, beyond or number


def _exact(octets: bytes) -> Fraction:
    """The number that the four bytes of a finite float32 (low byte first) are."""
    return Fraction(*struct.unpack("<f", octets)[0].as_integer_ratio())


def _shortest(octets: bytes) -> Fraction:
    """The decimal number of the fewest digits that is this float32 and no other."""
    shown = struct.unpack("<f", octets)[0]
    texts = (f"{shown:.{digits}g}" for digits in REAL_DIGITS)
    return Fraction(Decimal(next(text for text in texts if _is(text, octets))))


def _is(text: str, octets: bytes) -> bool:
    try:
        return struct.pack("<f", float(text)) == octets
    except OverflowError:  # the largest numbers, rounded up
        return False


def _decimal(exact: Fraction) -> Judged:
    """A fraction as a whole number and the power of ten that it needs; not known where it would be cut off."""
    for exponent in range(0, -MAX_EXPONENT - 1, -1):
        shifted = exact / Fraction(10) ** exponent
        if shifted.denominator == 1:
            return _scaled(PLAIN, shifted.numerator, exponent)
    return NOT_KNOWN


def _scaled(meaning: Meaning, mantissa: int, exponent: int | None = None) -> Judged:
    """The exact number, its exponent within -12..12 and its mantissa within 64 bits; else not known."""
    exponent = meaning.exponent if exponent is None else exponent
    if meaning.added is not None:
        lower = min(exponent, meaning.added)
        mantissa = mantissa * 10 ** (exponent - lower) + 10 ** (meaning.added - lower)
        exponent = lower
    if exponent > MAX_EXPONENT:
        mantissa, exponent = mantissa * 10 ** (exponent - MAX_EXPONENT), MAX_EXPONENT
    while exponent < -MAX_EXPONENT and mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1 if mantissa else -MAX_EXPONENT
    if exponent < -MAX_EXPONENT or abs(mantissa) > MAX_MANTISSA:
        return _beyond(meaning, Scaled(mantissa, exponent))
    return State.OK, Scaled(mantissa, exponent)


def _beyond(meaning: Meaning, number: Scaled) -> Judged:
    """A number that no store holds as one: digits that only name something are kept as such."""
    names = meaning.kind is Kind.BITS or (meaning.unsigned and meaning.plain)
    if names and number.exponent == 0 and len(str(number)) <= MAX_TEXT:
        return State.OK, Text(str(number))
    return State.UNKNOWN, number


def _variable(meaning: Meaning, octets: bytes, lvar: int) -> Judged:
    """Text (00-BF), BCD (C0-C9, minus D0-D9) and binary numbers (E0-EF; F0-F6 are longer)."""
    if lvar <= 0xBF:
        return _text(octets) if meaning.plain or _is_spelled(meaning) else NOT_KNOWN
    if BINARY <= lvar <= LAST_NUMBER:
        return _binary(meaning, octets)
    if lvar > LAST_NUMBER or meaning.kind not in (Kind.NUMBER, Kind.BITS):
        return NOT_KNOWN
    return _digits(meaning, octets[::-1].hex(), lvar >= 0xD0)


def _binary(meaning: Meaning, octets: bytes) -> Judged:
    """A number whose sign bit is set is not known: the standard does not say whether it has one."""
    flags = meaning.kind is Kind.BITS or meaning.unsigned
    if not flags and meaning.kind is not Kind.NUMBER:
        return NOT_KNOWN
    if not octets:
        return INVALID
    return NOT_KNOWN if octets[-1] & SIGN and not flags else _scaled(meaning, int.from_bytes(octets, "little"))


def _is_spelled(meaning: Meaning) -> bool:
    return meaning.kind is Kind.NUMBER and meaning.unit.startswith("{")


def _text(octets: bytes) -> Judged:
    """Latin-1, last character first; padding with NUL is not shown, other control characters are not text."""
    text = octets[::-1].decode("latin-1").rstrip("\0")
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        return NOT_KNOWN
    return State.OK if len(text.encode()) <= MAX_TEXT else State.UNKNOWN, Text(text)
