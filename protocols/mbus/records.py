"""The records of a telegram: split, decoded and judged one by one; every record ends in exactly one state."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.mbus import data, dif, vif
from protocols.mbus.data import judge, measure
from protocols.mbus.dif import Coding, DataInformation
from protocols.mbus.faults import RecordCutShort
from protocols.reading import Number, State


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it belongs, what it is (`vib` as sent and its meaning), its number and how far to trust it.

    `octets` are the data as they came; `number` is `Raw` of them unless the state is `OK`. `start` is where the record
    begins in what was split, `lvar` the length byte of data of variable length; `high_first` data have the high byte
    first.
    """

    info: DataInformation
    vib: bytes
    meaning: vif.Meaning
    octets: bytes
    number: Number
    state: State
    start: int = 0
    lvar: int = 0
    high_first: bool = False

    @property
    def low_first(self) -> bytes:
        """The data, low byte first."""
        return self.octets[::-1] if self.high_first else self.octets

    @property
    def bare(self) -> Number | None:
        """The number as its coding says, without unit and power of ten: for an explanation, never for a reading."""
        octets = self.octets if self.lvar >= dif.BINARY else self.low_first
        unsigned = self.meaning.unsigned or self.meaning.kind is vif.Kind.BITS
        return data.bare(self.info.coding, octets, self.lvar, unsigned)

    @property
    def qualifiers(self) -> tuple[str, ...]:
        """What function, VIFEs and record error say of the value."""
        function = dif.FUNCTIONS[self.info.function] if self.info.function else ""
        return (function, *self.meaning.qualifiers) if function else self.meaning.qualifiers


@dataclass(frozen=True, slots=True)
class Split:
    """What the bytes after a header hold."""

    records: tuple[Record, ...]
    manufacturer_data: bytes = b""
    more: bool = False
    partial: bool = False


def split(body: bytes, high_first: bool = False) -> Split:
    """The records in `body`; a record that does not end makes it partial and the earlier ones are kept."""
    records: list[Record] = []
    at = 0
    while at < len(body):
        if body[at] in (dif.MANUFACTURER_DATA, dif.MORE_RECORDS):
            return Split(tuple(records), body[at + 1 :], body[at] == dif.MORE_RECORDS)
        if body[at] == dif.FILLER:
            at += 1
            continue
        try:
            record, at = _record(body, at, high_first)
        except RecordCutShort:
            return Split(tuple(records), partial=True)
        records.append(record)
    return Split(tuple(records))


def _record(body: bytes, first: int, high_first: bool) -> tuple[Record, int]:
    info, at = dif.decode(body, first)
    vib, meaning, at = vif.decode(body, at)
    lvar = body[at] if info.coding is Coding.VARIABLE and at < len(body) else 0
    start, end = measure(info.coding, info.size, body, at)
    octets = bytes(body[start:end])
    state, number = judge(info, meaning, octets, lvar, high_first)
    return Record(info, vib, meaning, octets, number, state, first, lvar, high_first), end
