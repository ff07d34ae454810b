"""A telegram explained: what it says as one typed object, every number as people write it.

This is for people and their programs, offline; readings are made elsewhere (`meaning.py`) and share every judgement: a
record has the state that its value would have. Beside what a reading seals, an explanation shows the number of a record
in error state or with a record error, and a recurring date as a pattern. Of an unknown record, whose reading has the
octets alone, it shows what the standard still says of them:

* all of it, number and unit, where the record is defined and only no reading holds it (a number beyond 64 bits or finer
  than 10^-12, a text of more than 128 bytes); a qualifier says so;
* behind a VIFE of the manufacturer (FF): number and unit of the value information before it;
* else the bare number of the coding, without unit and power of ten: the value information, or one VIFE of it, is in no
  table. Binary data of variable length are shown in hex; without a number the value is None.

Units are UCUM names but for `varh` and `VAh`: UCUM has `var.h` and `VA.h`, readings too, and public lists of registers
write them without the point.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

from protocols import obis
from protocols.mbus import data, dates, dif, fixed, link, naming, telegram, vif, vife
from protocols.mbus.faults import NotHex
from protocols.mbus.link import Frame
from protocols.mbus.meaning import plate, values
from protocols.mbus.media import MEDIA
from protocols.mbus.records import Record
from protocols.mbus.telegram import Telegram
from protocols.reading import Float32, MeterTime, Number, Scaled, State, Text, Value

HOURS = {"var.h": "varh", "VA.h": "VAh"}
NOT_HELD = "beyond what a reading holds"
SHOWN_CHARACTERS = 12  # of what is not hex in a message
ROUNDED = Context(prec=7, rounding=ROUND_HALF_EVEN)  # the digits that a float32 carries
SECONDS = {"min": 60, "h": 3_600, "d": 86_400}
# What public lists show in seconds, whatever the meter counts in; other durations keep the meter's unit there.
IN_SECONDS = frozenset(
    {
        "on time",
        "operating time",
        "averaging duration",
        "actuality duration",
        "storage interval",
        "duration since last readout",
        "duration of tariff",
        "period of tariff",
    }
)
KINDS = {link.Kind.ACK: "acknowledgement", link.Kind.SHORT: "short", link.Kind.LONG: "long"}
APPLICATION = ("", "application busy", "any application error", "abnormal condition")
NUMBERS = frozenset({"fabrication number", "identification"})  # what is compared with a plate, digit by digit
COUNTERS = ((fixed.BINARY, "counters are signed binary"), (fixed.STORED, "counters are stored at a fixed date"))
STATUS = (
    (0x04, "power low"),
    (0x08, "permanent error"),
    (0x10, "temporary error"),
    (0x20, "manufacturer specific bit 5"),
    (0x40, "manufacturer specific bit 6"),
    (0x80, "manufacturer specific bit 7"),
)


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """One record in words; `value` is a plain decimal number, a date or a text, None where there is none.

    `unit` is a UCUM name (but for varh and VAh), empty where there is none or none is known; `raw` the whole record in
    hex; `obis` the name that is proposed for the register, None where there is none.
    """

    function: str
    storage: int
    tariff: int
    subunit: int
    quantity: str
    unit: str
    value: str | None
    state: str
    qualifiers: tuple[str, ...]
    raw: str
    obis: str | None


@dataclass(frozen=True, slots=True)
class ShownTelegram:
    """One telegram in words; None stands for what its kind of frame or header does not have."""

    protocol: str
    frame: str
    address: int | None
    manufacturer: str | None
    id: str | None
    version: int | None
    medium: int | None
    medium_name: str | None
    access: int | None
    status: tuple[str, ...]
    status_raw: int | None
    more: bool
    partial: bool
    manufacturer_data: str
    records: tuple[ShownRecord, ...]


def octets_of(written: str) -> bytes:
    """The bytes that `written` names in hexadecimal digits, with any blanks, colons, line ends and 0x in between.

    Raises:
        NotHex: something else stands there, a digit stands alone, or there is nothing.
    """
    octets = bytearray()
    for at, word in _words(written):
        digits = word[2:] if word[:2] in ("0x", "0X") else word
        wrong = re.search(r"[^0-9A-Fa-f]", digits)
        if wrong is not None:
            place = at + len(word) - len(digits) + wrong.start()
            shown = digits[wrong.start() :][:SHOWN_CHARACTERS]
            raise NotHex("hexadecimal digits", ascii(shown), f"telegram at character {place}")
        if len(digits) % 2 or not digits:
            raise NotHex("hexadecimal digits in pairs", ascii(word[-SHOWN_CHARACTERS:]), f"telegram at character {at}")
        octets += bytes.fromhex(digits)
    if not octets:
        raise NotHex("the bytes of a telegram", "nothing", "telegram")
    return bytes(octets)


def _words(written: str) -> Iterator[tuple[int, str]]:
    """The parts between separators, and at which character (from 1) each begins."""
    return ((found.start() + 1, found.group()) for found in re.finditer(r"[^\s:]+", written))


def explain(frame: Frame) -> ShownTelegram:
    """What a frame says; an acknowledgement and a short frame have no records.

    Raises:
        MeterError: no data telegram, by name.
    """
    return shown(frame, None if frame.kind is not link.Kind.LONG else telegram.decode(frame))


def shown(frame: Frame, answer: Telegram | None) -> ShownTelegram:
    """A frame and what `telegram.decode` made of it, in words."""
    address = None if frame.kind is link.Kind.ACK else frame.address
    if answer is None:
        return ShownTelegram(
            "mbus", KINDS[frame.kind], address, None, None, None, None, None, None, (), None, False, False, "", ()
        )
    who = answer.identity
    return ShownTelegram(
        protocol="mbus",
        frame=KINDS[frame.kind],
        address=address,
        manufacturer=who.manufacturer,
        id=who.id,
        version=who.version,
        medium=who.medium,
        medium_name=None if who.medium is None else MEDIA.get(who.medium, "reserved"),
        access=answer.access,
        status=status_names(answer.status_raw, frame.ci in telegram.FIXED),
        status_raw=answer.status_raw,
        more=answer.more,
        partial=answer.partial,
        manufacturer_data=answer.manufacturer_data.hex(),
        records=tuple(_record(frame, who.medium, *pair) for pair in zip(answer.records, values(answer), strict=True)),
    )


def status_names(word: int | None, is_fixed: bool = False) -> tuple[str, ...]:
    """The bits of a status byte that are set, by name; `is_fixed` says that bits 0 and 1 are the counters'."""
    if word is None:
        return ()
    names = [name for bit, name in STATUS if word & bit]
    if is_fixed:
        return (*(name for bit, name in COUNTERS if word & bit), *names)
    return (APPLICATION[word & 3], *names) if word & 3 else tuple(names)


def raw(frame: Frame, record: Record) -> bytes:
    """The whole record as it came: data information, value information, length byte and data."""
    if frame.ci in telegram.FIXED:
        return record.octets
    start = telegram.header_size(frame) + record.start
    size = dib_size(frame.body, start) + len(record.vib) + len(record.octets)
    return frame.body[start : start + size + (record.info.coding is dif.Coding.VARIABLE)]


def dib_size(body: bytes, start: int) -> int:
    """How many bytes the data information block at `start` has."""
    end = start
    while body[end] & dif.EXTENSION:
        end += 1
    return end + 1 - start


def written(number: Number | None) -> str | None:
    """A number as people write it: a plain decimal without exponent, a float32 with its 7 digits."""
    match number:
        case Scaled() | MeterTime():
            return str(number)
        case Text():
            return number.text
        case Float32():
            exact = Decimal(struct.unpack("<f", number.bits.to_bytes(4, "little"))[0]).scaleb(number.exponent)
            plain = f"{ROUNDED.create_decimal(exact):f}"
            return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return None


def in_seconds(shown: ShownTelegram) -> ShownTelegram:
    """The same for programs: durations that public lists show in seconds are in seconds."""
    return replace(shown, records=tuple(_in_seconds(each) for each in shown.records))


def _in_seconds(record: ShownRecord) -> ShownRecord:
    factor = SECONDS.get(record.unit)
    if factor is None or record.value is None or record.quantity not in IN_SECONDS:
        return record
    return replace(record, unit="s", value=f"{Decimal(record.value) * factor:f}")


def _record(frame: Frame, medium: int | None, record: Record, value: Value) -> ShownRecord:
    info, meaning, name = record.info, record.meaning, naming.proposed(value.key, medium)
    number, unit = _shown(record, value)
    return ShownRecord(
        function=dif.FUNCTIONS[info.function],
        storage=info.storage,
        tariff=info.tariff,
        subunit=info.subunit,
        quantity=meaning.quantity or "unknown",
        unit=_hours(unit),
        value=number,
        state=value.state.name.lower().replace("_", "-"),
        qualifiers=(*record.qualifiers, *_remarks(record, value.state)),
        raw=raw(frame, record).hex(),
        obis=None if name is None else obis.shown(name),
    )


def _remarks(record: Record, state: State) -> Iterator[str]:
    if isinstance(record.number, MeterTime) and record.number.summer:
        yield "summer time"
    if state is State.INVALID and record.state is State.OK:
        yield "the date of this storage is invalid"
    if state is State.UNKNOWN and _decoded(record, record.meaning) is not None:
        yield NOT_HELD


def _hours(unit: str) -> str:
    """The unit as public lists write it, also where a VIFE has made it longer."""
    for point, plain in HOURS.items():
        if unit.startswith(point):
            return plain + unit.removeprefix(point)
    return unit


def _shown(record: Record, value: Value) -> tuple[str | None, str]:
    """Number and unit of a record whose value is this one."""
    if value.state is not State.UNKNOWN:
        return _value(record, value.state), value.unit
    for meaning in (record.meaning, vif.standard_part(record.vib)):
        number = None if meaning is None else _decoded(record, meaning)
        if meaning is not None and number is not None:
            return number, meaning.unit
    return written(record.bare), ""


def _decoded(record: Record, meaning: vif.Meaning) -> str | None:
    """The record's data under a meaning; None where it makes no number, text or date of them."""
    if meaning.kind is vif.Kind.UNKNOWN:
        return None
    judged, number = data.decoded(record.info.coding, meaning, record.low_first, record.lvar)
    return dates.pattern(record.low_first) if judged is State.RECURRING else written(number)


def _value(record: Record, state: State) -> str | None:
    """What is shown of a record whose value has this state."""
    failed = record.meaning.failed
    match state:
        case State.OK if record.meaning.quantity in NUMBERS:
            return plate(record) or written(record.number)
        case State.OK:
            return written(record.number)
        case State.RECURRING:
            return dates.pattern(record.low_first)
        case State.INVALID if not failed or failed == vife.NO_DATA:
            return None
    return _decoded(record, record.meaning)
