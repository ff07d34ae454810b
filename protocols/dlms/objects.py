"""COSEM objects as readings see them: an attribute's data with scaler and unit becomes a value under its native key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocols import obis
from protocols.dlms import binary
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.binary import MAX_EXPONENT
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import Malformed
from protocols.dlms.units import UNITS
from protocols.reading import Float32, MeterTime, NativeKey, Number, Raw, Scaled, State, Text, Value

DATA, REGISTER, EXTENDED_REGISTER, DEMAND_REGISTER, PROFILE, CLOCK = 1, 3, 4, 5, 7, 8
VALUE = 2  # the attribute that holds the value in most classes; attribute 1 is the logical name
SCALER_UNIT = {REGISTER: 3, EXTENDED_REGISTER: 3, DEMAND_REGISTER: 4}  # attribute, by class
SCALED = {REGISTER: {2}, EXTENDED_REGISTER: {2}, DEMAND_REGISTER: {2, 3}}  # the attributes that it scales, by class
CAPTURE_TIME = {EXTENDED_REGISTER: 5, DEMAND_REGISTER: 6}  # attribute with the time of a maximum, by class
MAX_TEXT, MAX_RAW = 128, 256  # bytes: what a sealed value holds (protocols.reading)
MAX_INTEGER = 2**63 - 1


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
FIRMWARE = Attribute(DATA, bytes((1, 0, 0, 2, 0, 255)), VALUE)  # active firmware identifier (Blue Book 6.2)


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


@dataclass(frozen=True, slots=True)
class Meaning:
    """How an attribute's data become values: worked out once for all rows of a column.

    `known` is False for a register without its scaler, and where unit or scaler is not known.
    """

    key: NativeKey
    exponent: int
    unit: str
    known: bool
    timed: bool = False  # it is the time of a maximum

    @classmethod
    def of(cls, attribute: Attribute, scaler_unit: ScalerUnit | None) -> Meaning:
        """The meaning of `attribute` with this scaler and unit."""
        if attribute.scaler is None:
            return cls(attribute.key, 0, "", True, CAPTURE_TIME.get(attribute.class_id) == attribute.number)
        if scaler_unit is None:
            return cls(attribute.key, 0, "", False)
        return cls(attribute.key, scaler_unit.exponent, scaler_unit.unit or "", scaler_unit.unit is not None)

    def value(self, data: Data) -> Value:
        """What `data` says, exactly."""
        if self.timed and data.tag is not Tag.NULL:
            return _time_value(self.key, data)
        number, state = _number(data, self.exponent)
        if state is State.OK and not self.known:
            state = State.UNKNOWN
        return Value(self.key, self.unit if isinstance(number, Scaled | Float32) else "", number, state)

    def values(self, tag: Tag, contents: Sequence[int | bytes]) -> list[Value]:
        """What a column of data of one type says, each as `value` has it."""
        key, unit, exponent = self.key, self.unit, self.exponent
        numbers = [each for each in contents if isinstance(each, int)]
        plain = (
            not self.timed and tag is not Tag.BCD and abs(exponent) <= MAX_EXPONENT and len(numbers) == len(contents)
        )
        if not plain or max(numbers, default=0) > MAX_INTEGER:
            return [self.value(Data(tag, each)) for each in contents]
        state = State.OK if self.known else State.UNKNOWN
        return [Value(key, unit, Scaled(each, exponent), state) for each in numbers]


def value(attribute: Attribute, data: Data, scaler_unit: ScalerUnit | None = None) -> Value:
    """What `data` says, exactly; what it does not say is marked and never guessed.

    A register without its scaler, a unit or scaler that is not known and data without a number are UNKNOWN and no
    number feeds billing from them; null-data is INVALID.
    """
    if attribute.class_id == CLOCK and attribute.number == VALUE:
        return clock_value(attribute, data)
    return Meaning.of(attribute, scaler_unit).value(data)


def clock_value(attribute: Attribute, data: Data) -> Value:
    """The meter's clock with its status byte: INVALID where it says so, or where no whole time is there."""
    return _time_value(attribute.key, data)


def _time_value(key: NativeKey, data: Data) -> Value:
    try:
        clock = clocks.from_data(data, str(key))
    except Malformed:
        return Value(key, "", _raw(data), State.INVALID)
    if clock.time is None:
        return Value(key, "", Raw(clock.octets), State.INVALID, clock.status)
    state = State.INVALID if clock.invalid else State.OK
    return Value(key, "", clock.time, state, clock.status, clock.time)


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
    tag, content, _ = data
    if isinstance(content, int) and tag is Tag.BCD:
        return _bcd(data, content, exponent)
    if isinstance(content, int):
        # Wider than a sealed value (a long64-unsigned above 2^63, a scaler of 10^13): kept raw.
        if content <= MAX_INTEGER and -MAX_EXPONENT <= exponent <= MAX_EXPONENT:
            return Scaled(content, exponent), State.OK
    elif isinstance(content, bytes) and tag in binary.FORMS:
        return _float(data, content, exponent)
    elif isinstance(content, bytes) and tag in axdr.STRINGS:
        return _string(data, content)
    return _raw(data), State.INVALID if tag is Tag.NULL else State.UNKNOWN


def _raw(data: Data) -> Raw:
    return Raw(axdr.to_bytes(data)[:MAX_RAW])


def _bcd(data: Data, content: int, exponent: int) -> tuple[Number, State]:
    """Two digits."""
    tens, ones = divmod(content, 16)
    if max(tens, ones) > 9:
        return _raw(data), State.INVALID
    fits = -MAX_EXPONENT <= exponent <= MAX_EXPONENT
    return (Scaled(10 * tens + ones, exponent), State.OK) if fits else (_raw(data), State.UNKNOWN)


def _float(data: Data, content: bytes, exponent: int) -> tuple[Number, State]:
    """A float32 as its bits; a float64 as those where they say the same, else as a decimal that says exactly that."""
    found = binary.parts(data)
    if found is None:
        return _raw(data), State.INVALID
    if abs(exponent) > MAX_EXPONENT:
        return _raw(data), State.UNKNOWN
    bits = int.from_bytes(content, "big") if data.tag is Tag.FLOAT32 else binary.as_float32(*found)
    if bits is not None:
        return Float32(bits, exponent), State.OK
    exact = binary.scaled(*found, exponent)  # what needs more digits than a sealed value has is kept raw, never rounded
    return (_raw(data), State.UNKNOWN) if exact is None else (exact, State.OK)


def _string(data: Data, content: bytes) -> tuple[Number, State]:
    text = text_of(data)
    if text is not None:
        return Text(text), State.OK
    return Raw(content[:MAX_RAW]), State.OK if len(content) <= MAX_RAW else State.UNKNOWN


def time_of(found: Value) -> MeterTime | None:
    """The time that a clock's value shows."""
    return found.number if isinstance(found.number, MeterTime) else None
