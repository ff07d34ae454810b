"""How values are shown: exactly, never through a float, in words that JSON can hold. Knows no store."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from decimal import MAX_PREC, Context, Decimal
from fractions import Fraction

from protocols.reading import Float32, Identity, MeterTime, Number, Raw, Scaled, State, Text, Value
from protocols.uplink import limits
from protocols.uplink.leaf import SealedReading
from protocols.uplink.proof import leaf_from
from protocols.uplink.records import OtherRecord, Record, Unsealed

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
FLOAT_DIGITS = 7  # what a float32 can tell: more digits are those of its binary form, not the meter's


def leaf_shown(leaf: SealedReading | Record) -> dict[str, object]:
    """A leaf as JSON can say it."""
    if isinstance(leaf, SealedReading):
        return {
            "kind": "reading",
            "meter": meter_name(leaf.meter),
            "device": leaf.device,
            "sub": leaf.sub,
            "slot": None if leaf.slot_ms is None else utc(leaf.slot_ms),
            "meter_time": maybe_time(leaf.meter_time),
            "gateway_time": utc(leaf.at_ms),
            "how": leaf.how.name.lower(),
            "status": int(leaf.status),
            "values": [_value(each) for each in leaf.values],
        }
    if isinstance(leaf, Unsealed):
        return leaf_shown(leaf.reading) | {"kind": "unsealed", "when": _plain(asdict(leaf.when))}
    if isinstance(leaf, OtherRecord):
        return {"kind": leaf.kind, "wire": _plain(leaf.wire)}
    return {"kind": type(leaf).__name__.lower()} | {name: _plain(each) for name, each in asdict(leaf).items()}


def record_shown(sealed: bytes) -> dict[str, object]:
    """A stored record as JSON can say it."""
    return leaf_shown(leaf_from(sealed))


def meter_name(meter: Identity) -> str:
    """What a meter says it is, in one text: protocol and the identity fields that it has."""
    parts = [meter.manufacturer, meter.id, meter.fabrication, meter.plate, meter.logical_name]
    title = [] if meter.system_title is None else [meter.system_title.hex()]
    named = [str(part) for part in [*parts, *title] if part is not None]
    return meter.protocol.name.lower() + ":" + "/".join(named)


def state_name(state: State) -> str:
    """ok, invalid, recurring, error-state or unknown."""
    return state.name.lower().replace("_", "-")


def kind_of(number: Number) -> str:
    """Whether a value is a number, a float32, a text, a time or raw octets."""
    names = {Scaled: "number", Float32: "float32", Text: "text", MeterTime: "time", Raw: "raw"}
    return names[type(number)]


def shown(number: Number) -> str:
    """The exact value as text; raw octets and floats that are no number in hex."""
    match number:
        case Float32():
            return _float32(number)
        case Text(text):
            return text
        case Raw(octets):
            return octets.hex()
        case _:
            return str(number)


def utc(instant_ms: int) -> str:
    """An instant of ours in ISO 8601."""
    if not limits.PAST_MS <= instant_ms < limits.FUTURE_MS:
        return f"{instant_ms} ms"  # a clock that was unset, or nonsense: shown as it is
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe_time(time: MeterTime | None) -> str | None:
    """The meter's own time, as it shows it."""
    return None if time is None else str(time)


def cell(value: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula; numbers stay numbers."""
    text = "" if value is None else str(value)
    if text.startswith(FORMULA) and not text[1:].replace(".", "", 1).isdigit():
        return "'" + text
    return text


def _float32(number: Float32) -> str:
    """IEEE 754 single, 3.4: an integer times a power of two, so exact until it is rounded once, to 7 digits."""
    sign = -1 if number.bits >> 31 else 1
    power, mantissa = number.bits >> 23 & 0xFF, number.bits & 0x7FFFFF
    if power == 0xFF:
        return f"0x{number.bits:08x}"
    if power:
        mantissa, power = mantissa | 0x800000, power - 1
    exact = Fraction(sign * mantissa) * Fraction(2) ** (power - 149) if mantissa else Fraction(0)
    exact *= Fraction(10) ** number.exponent
    # The denominator is 2^a x 5^b: enough decimals make it whole.
    decimals = 0
    while (exact * Fraction(10) ** decimals).denominator != 1:
        decimals += 1
    whole = Decimal(int(exact * Fraction(10) ** decimals)).scaleb(-decimals, Context(prec=MAX_PREC))
    return f"{Context(prec=FLOAT_DIGITS).create_decimal(whole):f}"


def _value(value: Value) -> dict[str, object]:
    return {
        "key": str(value.key),
        "unit": value.unit,
        "kind": kind_of(value.number),
        "value": shown(value.number),
        "state": state_name(value.state),
        "time": maybe_time(value.time),
    }


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
