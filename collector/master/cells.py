"""What stands in a cell: exact numbers, days, native keys as `readings` shows them; each with what was expected."""

from __future__ import annotations

import datetime
import re
from enum import Enum
from fractions import Fraction
from typing import TypeVar

from collector.faults import MasterDataError
from collector.master.clocks import fixed_offset
from collector.master.ids import SHOWN
from protocols import obis
from protocols.reading import NativeKey, Protocol, Scaled

E = TypeVar("E", bound=Enum)
DIGITS = 30  # of a number
_NUMBER = re.compile(rf"(-?)(\d{{1,{DIGITS}}})(?:\.(\d{{1,{DIGITS}}}))?")
_KEY = "a native key as 'readings' shows it: dlms:3/1-0:1.8.0.255/2, mbus:06/0/0/0/0/0, modbus:1/40/input.int32.abcd"
_MBUS_PARTS, _DLMS_PARTS, _MODBUS_PARTS = 6, 3, 3
_VIB = 32  # hex digits of a value information block
_PART = 20  # digits of a part
CLASS_REGISTER, VALUE = 3, 2  # what an OBIS name alone means: the value of a register


def number(text: str) -> Scaled:
    """An exact number: "12", "-0.001".

    Raises:
        MasterDataError: it is none.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise MasterDataError("a number as 12 or 0.001", _shown(text))
    sign, whole, decimals = match[1], match[2], match[3] or ""
    return Scaled(int(sign + whole + decimals), -len(decimals))


def ratio(text: str) -> Fraction:
    """A factor or a share: "40", "0.5", "200/5".

    Raises:
        MasterDataError: it is none, or 0 or less.
    """
    parts = text.split("/")
    if len(parts) > 2:
        raise MasterDataError("a factor as 40, 0.5 or 200/5", _shown(text))
    try:
        values = [number(part.strip()) for part in parts]
    except MasterDataError:
        raise MasterDataError("a factor as 40, 0.5 or 200/5", _shown(text)) from None
    if any(each.mantissa <= 0 for each in values):
        raise MasterDataError("a factor above 0", _shown(text))
    exact = [each.mantissa * Fraction(10) ** each.exponent for each in values]
    return exact[0] if len(exact) == 1 else exact[0] / exact[1]


def day(text: str) -> str:
    """A day in ISO 8601.

    Raises:
        MasterDataError: it is none.
    """
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise MasterDataError("a day as 2026-03-01", _shown(text)) from None


def word(kind: type[E], text: str) -> E:
    """One of the words of an enumeration.

    Raises:
        MasterDataError: it is none of them.
    """
    try:
        return kind(text.lower())
    except ValueError:
        raise MasterDataError(f"one of {', '.join(str(each.value) for each in kind)}", _shown(text)) from None


def clock(text: str) -> str:
    """The zone of a meter's clock: an offset that never changes, or an IANA name (that it is one is checked later).

    Raises:
        MasterDataError: an offset that no clock has.
    """
    if text[:1] in {"+", "-"} and fixed_offset(text) is None:
        raise MasterDataError("an offset from -12:00 to +14:00, or an IANA name", _shown(text))
    return text


def protocol(text: str) -> Protocol:
    """The protocol of a meter.

    Raises:
        MasterDataError: it is none.
    """
    found = {each.name.lower(): each for each in Protocol}.get(text.lower())
    if found is None:
        raise MasterDataError(f"one of {', '.join(each.name.lower() for each in Protocol)}", _shown(text))
    return found


def native_key(text: str) -> NativeKey:
    """A native key as it is shown, or an OBIS name: the value of a DLMS register.

    Raises:
        MasterDataError: it is none.
    """
    name, _, rest = text.partition(":")
    parts = rest.split("/")
    try:
        match name, len(parts):
            case "mbus", count if count == _MBUS_PARTS and len(parts[0]) <= _VIB:
                return NativeKey.mbus(bytes.fromhex(parts[0]), *map(_integer, parts[1:]))
            case "dlms", count if count == _DLMS_PARTS:
                return NativeKey.dlms(_integer(parts[0]), obis.from_text(parts[1]), _integer(parts[2]))
            case "modbus", count if count == _MODBUS_PARTS and parts[2].isascii() and 0 < len(parts[2]) <= _VIB:
                return NativeKey.modbus(_integer(parts[0]), _integer(parts[1]), parts[2])
            case _:
                return NativeKey.dlms(CLASS_REGISTER, obis.from_text(text), VALUE)
    except ValueError:
        raise MasterDataError(_KEY, _shown(text)) from None


def _integer(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > _PART or int(text) >= 2**63:
        raise ValueError(f"expected a whole number, got {text!r}")
    return int(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ...")
