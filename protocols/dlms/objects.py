"""COSEM objects as readings see them: an attribute's data with scaler and unit becomes a value under its native key."""

from __future__ import annotations

from dataclasses import dataclass

from protocols import obis
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.data import NUMBERS, Data, Tag
from protocols.dlms.faults import Malformed
from protocols.dlms.units import UNITS
from protocols.reading import Float32, MeterTime, NativeKey, Number, Raw, Scaled, State, Text, Value

DATA, REGISTER, EXTENDED_REGISTER, DEMAND_REGISTER, PROFILE, CLOCK = 1, 3, 4, 5, 7, 8
VALUE = 2  # the attribute that holds the value in most classes; attribute 1 is the logical name
SCALER_UNIT = {REGISTER: 3, EXTENDED_REGISTER: 3, DEMAND_REGISTER: 4}  # attribute, by class
SCALED = {REGISTER: {2}, EXTENDED_REGISTER: {2}, DEMAND_REGISTER: {2, 3}}  # the attributes that it scales, by class
MAX_TEXT, MAX_RAW = 128, 256  # bytes: what a sealed value holds (protocols.reading)
MAX_EXPONENT = 12  # of a sealed value
MAX_INTEGER = 2**63 - 1
FLOAT_EXPONENT = 0x7F80_0000  # all ones: infinite, or not a number


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one COSEM object; `name` is its logical name (6 bytes)."""

    class_id: int
    name: bytes
    number: int

    @classmethod
    def of(cls, class_id: int, name: str, number: int = VALUE) -> Attribute:
        """The attribute of the object with the OBIS name "1-0:1.8.0.255".

        Raises:
            ValueError: not of this form.
        """
        return cls(class_id, obis.from_text(name), number)

    @property
    def key(self) -> NativeKey:
        """How a value of this attribute is named in a reading."""
        return NativeKey.dlms(self.class_id, self.name, self.number)

    @property
    def scaler(self) -> Attribute | None:
        """The attribute with this one's scaler and unit; None where it has none."""
        if self.number not in SCALED.get(self.class_id, set()):
            return None
        return Attribute(self.class_id, self.name, SCALER_UNIT[self.class_id])

    def __str__(self) -> str:
        return f"{self.class_id}/{obis.shown(self.name)}/{self.number}"


CLOCK_TIME = Attribute(CLOCK, bytes((0, 0, 1, 0, 0, 255)), VALUE)
LOGICAL_DEVICE_NAME = Attribute(DATA, bytes((0, 0, 42, 0, 0, 255)), VALUE)
DEVICE_ID = Attribute(DATA, bytes((0, 0, 96, 1, 0, 255)), VALUE)


@dataclass(frozen=True, slots=True)
class ScalerUnit:
    """The power of ten and the unit of a register; `unit` is None for a code that is not known here."""

    exponent: int
    unit: str | None

    @classmethod
    def from_data(cls, data: Data) -> ScalerUnit:
        """The structure of scaler and unit.

        Raises:
            Malformed: not of this form.
        """
        scaler, unit = axdr.members_of(data, "scaler_unit", 2)
        if scaler.tag is not Tag.INTEGER or unit.tag is not Tag.ENUM:
            raise Malformed("an integer and an enum", f"{scaler.tag.name} and {unit.tag.name}", "scaler_unit")
        return cls(axdr.whole(scaler, "scaler"), UNITS.get(axdr.whole(unit, "unit")))


def value(attribute: Attribute, data: Data, scaler_unit: ScalerUnit | None = None) -> Value:
    """What `data` says, exactly; what it does not say is marked and never guessed.

    A register without its scaler, a unit or scaler that is not known and data without a number are UNKNOWN and no
    number feeds billing from them; null-data is INVALID.
    """
    if attribute.class_id == CLOCK and attribute.number == VALUE:
        return clock_value(attribute, data)
    needed = attribute.scaler is not None
    scale = scaler_unit if needed else None
    number, state = _number(data, 0 if scale is None else scale.exponent)
    unit = "" if scale is None else scale.unit or ""
    if state is State.OK and needed and (scale is None or scale.unit is None):
        state = State.UNKNOWN
    if not isinstance(number, Scaled | Float32):
        unit = ""
    return Value(attribute.key, unit, number, state)


def clock_value(attribute: Attribute, data: Data) -> Value:
    """The meter's clock with its status byte: INVALID where it says so, or where no whole time is there."""
    try:
        clock = clocks.from_data(data, str(attribute))
    except Malformed:
        return Value(attribute.key, "", Raw(axdr.to_bytes(data)[:MAX_RAW]), State.INVALID)
    if clock.time is None:
        return Value(attribute.key, "", Raw(clock.octets), State.INVALID, clock.status)
    state = State.INVALID if clock.invalid else State.OK
    return Value(attribute.key, "", clock.time, state, clock.status, clock.time)


def text_of(data: Data) -> str | None:
    """The printable text of an octet-string or string; None where it is none."""
    content = data.content
    if data.tag not in axdr.STRINGS or not isinstance(content, bytes) or len(content) > MAX_TEXT:
        return None
    try:
        text = content.decode("utf-8" if data.tag is Tag.UTF8_STRING else "ascii")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _number(data: Data, exponent: int) -> tuple[Number, State]:
    raw = Raw(axdr.to_bytes(data)[:MAX_RAW])
    if data.tag is Tag.NULL:
        return raw, State.INVALID
    if data.tag is Tag.FLOAT32 and isinstance(data.content, bytes):
        return _float(data.content, exponent, raw)
    if data.tag in NUMBERS and data.tag is not Tag.BCD and isinstance(data.content, int):
        # Wider than a sealed value (a long64-unsigned above 2^63, a scaler of 10^13) is kept raw.
        if data.content > MAX_INTEGER or abs(exponent) > MAX_EXPONENT:
            return raw, State.UNKNOWN
        return Scaled(data.content, exponent), State.OK
    if data.tag in axdr.STRINGS and isinstance(data.content, bytes):
        return _string(data, data.content)
    return raw, State.UNKNOWN


def _float(content: bytes, exponent: int, raw: Raw) -> tuple[Number, State]:
    bits = int.from_bytes(content, "big")
    if bits & FLOAT_EXPONENT == FLOAT_EXPONENT:
        return raw, State.INVALID
    if abs(exponent) > MAX_EXPONENT:
        return raw, State.UNKNOWN
    return Float32(bits, exponent), State.OK


def _string(data: Data, content: bytes) -> tuple[Number, State]:
    text = text_of(data)
    if text is not None:
        return Text(text), State.OK
    return Raw(content[:MAX_RAW]), State.OK if len(content) <= MAX_RAW else State.UNKNOWN


def time_of(found: Value) -> MeterTime | None:
    """The time that a clock's value shows."""
    return found.number if isinstance(found.number, MeterTime) else None
