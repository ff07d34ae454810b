"""From records to values: native keys, and the own times that a telegram shows for its stored values and maxima.

A stored value's own time is the date record (VIF 6C, 6D) of its storage, tariff and subunit; without one of its own
tariff, the storage's (tariff 0). A maximum's is the record with the same value information and VIFE 6A/6B/6E/6F.
A stored value whose date is invalid is invalid: the storage was never written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from protocols.errors import AnotherMeter
from protocols.mbus.dif import Coding, DataInformation
from protocols.mbus.records import Record
from protocols.mbus.telegram import Telegram
from protocols.mbus.vif import Kind, Tag
from protocols.reading import Identity, MeterTime, NativeKey, Raw, Scaled, State, Text, Value

CLOCK_VIBS = (b"\x6d", b"\x6c")
FABRICATION_VIB = b"\x78"
INSTANTANEOUS = 0
Place = tuple[int, int, int, int]  # storage, tariff, subunit, function
Dates = dict[Place, Record]
DatesOf = dict[tuple[bytes, Place], Record]


def values(*telegrams: Telegram) -> tuple[Value, ...]:
    """The values of one answer, which may be spread over several telegrams."""
    records = [record for telegram in telegrams for record in telegram.records]
    dates = {_place(record.info): record for record in reversed(records) if record.meaning.tag is Tag.DATE}
    dates_of = {
        (record.meaning.base, _place(record.info)): record
        for record in records  # the last of several: "end of" stands after "begin of" and is the one shown
        if record.meaning.tag is Tag.DATE_OF
    }
    seen: Counter[tuple[bytes, Place]] = Counter()
    found = []
    for record in records:
        again = (record.vib, _place(record.info))
        found.append(_value(record, seen[again], dates, dates_of))
        seen[again] += 1
    return tuple(found)


def meter_time(*telegrams: Telegram) -> MeterTime | None:
    """What the meter's clock shows (046D, else 026C, of storage 0) where it is valid."""
    records = [record for telegram in telegrams for record in telegram.records]
    for vib in CLOCK_VIBS:
        for record in records:
            if record.vib == vib and _place(record.info) == (0, 0, 0, INSTANTANEOUS):
                if isinstance(record.number, MeterTime):
                    return record.number
                break
    return None


def identity(*telegrams: Telegram) -> Identity:
    """Who answered: the header's identity and, where a record shows it, the fabrication number (VIF 78, storage 0)."""
    for telegram in telegrams:
        for record in telegram.records:
            if record.vib == FABRICATION_VIB and _place(record.info) == (0, 0, 0, INSTANTANEOUS):
                return replace(telegram.identity, fabrication=plate(record))
    return telegrams[0].identity


def plate(record: Record) -> str | None:
    """A number as it stands on the plate: BCD digits keep their leading zeros."""
    if isinstance(record.number, Text):
        return record.number.text
    if not isinstance(record.number, Scaled):
        return None
    return str(record.number).zfill(2 * record.info.size if record.info.coding is Coding.BCD else 0)


def check_identity(got: Identity, expected: Identity) -> None:
    """Refuse the answer of a meter that is not the configured one; what is None in `expected` is not compared.

    Raises:
        AnotherMeter: with both identities.
    """
    pairs: Iterable[tuple[object, object]] = (
        (expected.manufacturer, got.manufacturer),
        (expected.id.upper() if expected.id is not None else None, got.id),
        (expected.version, got.version),
        (expected.medium, got.medium),
        (expected.fabrication, got.fabrication),
    )
    if any(want is not None and want != have for want, have in pairs):
        raise AnotherMeter(shown(expected), shown(got), "identity of the answer")


def shown(who: Identity) -> str:
    """An identity as a technician reads it on the plate: manufacturer, number, version and medium in hex."""
    version = "-" if who.version is None else f"{who.version:02x}"
    medium = "-" if who.medium is None else f"{who.medium:02x}"
    fabrication = f" fabrication {who.fabrication}" if who.fabrication else ""
    return f"{who.manufacturer or '-'} {who.id or '-'} version {version} medium {medium}{fabrication}"


def _value(record: Record, nth: int, dates: Dates, dates_of: DatesOf) -> Value:
    info = record.info
    key = NativeKey.mbus(record.vib, info.storage, info.tariff, info.subunit, info.function, nth)
    unit = record.meaning.unit
    if record.meaning.kind is Kind.DATE:
        return Value(key, unit, record.number, record.state)
    own = _own_time(record, dates, dates_of)
    if own is None:
        return Value(key, unit, record.number, record.state)
    if own.state is State.INVALID and info.storage and record.state is State.OK:
        return Value(key, unit, Raw(record.octets), State.INVALID)
    time = own.number if isinstance(own.number, MeterTime) else None
    return Value(key, unit, record.number, record.state, time=time)


def _own_time(record: Record, dates: Dates, dates_of: DatesOf) -> Record | None:
    """The record that shows when this one was."""
    info, place = record.info, _place(record.info)
    if info.function != INSTANTANEOUS:
        found = dates_of.get((record.vib, place)) or dates.get(place)
        if found is not None:
            return found
    if info.storage == 0:
        return None
    return dates.get((info.storage, info.tariff, info.subunit, INSTANTANEOUS)) or dates.get(
        (info.storage, 0, info.subunit, INSTANTANEOUS)
    )


def _place(info: DataInformation) -> Place:
    return info.storage, info.tariff, info.subunit, info.function
