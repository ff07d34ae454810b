"""The rows of one source by columns: the leaves of the tree are made of them, and readings where they are asked for.

Theory: the rows of a block share their meter, their registers and mostly their exchange. A leaf is an array of 17 that
is put together of runs of elements, each packed as an array of its own whose one byte of head is cut off: whose it is
and when (7 elements, the first four packed once for all), the exchange (6, packed once for all rows that share it), and
status and values (4). All but the exchange is what the collector tells equal readings by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from protocols.reading import How, MeterTime, State, Status, Value
from protocols.uplink import limits
from protocols.uplink.leaf import READING, SealedReading, number_from_wire, time_of
from protocols.uplink.pack import Wire
from protocols.uplink.source import ExchangeRow, Register, Source

Time = tuple[int, int]  # seconds and code of a meter's time
Cell = tuple[Wire, str, int, Wire, int | None, int, int | None, Time | None]  # a value as it stands in a leaf
Parts = tuple[bytes, bytes, bytes]  # of a leaf: whose and when, the exchange, status and values
Pack = Callable[[object], bytes]
_LEAF = bytes.fromhex("dc0011")  # the head of an array of 17 elements: a leaf
_CONTENT = bytes.fromhex("9b")  # ... of 11: a leaf without its exchange
_STATES, _HOWS = tuple(State), tuple(How)  # by number: quicker than the classes
_STATUSES = tuple(Status(word) for word in range(limits.STATUS + 1))


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one source, checked: both sides make the leaves here.

    `columns` are by register: its value in each row, None where the row has none of it; `whole`: no row lacks any.
    """

    source: Source
    exchanges: Sequence[ExchangeRow]  # of each row
    how: list[int]
    part: list[int]
    slots: list[int | None]
    times: list[Time | None]
    raws: list[int | None]
    statuses: list[int]
    columns: Sequence[Sequence[Cell | None]]
    whole: bool

    def leaves(self, pack: Pack) -> list[bytes]:
        """Each row's leaf; `pack` packs what was checked."""
        owner = self.source.owner_to_wire()
        rows = zip(*self._fields(), self._values(), strict=True)
        return [
            pack((READING, *owner, how, slot_ms, time, *row.to_wire(), status_raw, status, part, values))
            for row, how, part, slot_ms, time, status_raw, status, values in rows
        ]

    def parts(self, pack: Pack) -> list[Parts]:
        """As `leaves`, in three runs: quicker where rows share their exchange, and `contents_of` takes two of them."""
        owner = pack((READING, *self.source.owner_to_wire()))[1:]
        heads = zip(self.how, self.slots, self.times, strict=True)
        rows = {id(row): row for row in self.exchanges}
        cut = {name: pack(row.to_wire())[1:] for name, row in rows.items()}
        middles = map(cut.__getitem__, map(id, self.exchanges))
        tails = zip(self.raws, self.statuses, self.part, self._values(), strict=True)
        return [
            (owner + pack(head)[1:], middle, pack(tail)[1:])
            for head, middle, tail in zip(heads, middles, tails, strict=True)
        ]

    def readings(self) -> list[SealedReading]:
        """The rows as readings."""
        source, registers = self.source, self.source.registers
        columns = [
            [None if cell is None else _value(each, cell) for cell in column]
            for each, column in zip(registers, self.columns, strict=True)
        ]
        zipped = zip(*self._fields(), strict=True)
        return [
            SealedReading(
                source.meter,
                source.device,
                source.sub,
                _HOWS[how],
                slot_ms,
                shown(time),
                row.at_ms,
                row.mono_ms,
                row.round_trip_ms,
                row.quality,
                row.raw_hash,
                status_raw,
                _STATUSES[status],
                part,
                tuple(value for column in columns if (value := column[i]) is not None),
            )
            for i, (row, how, part, slot_ms, time, status_raw, status) in enumerate(zipped)
        ]

    def _fields(self) -> tuple[Sequence[Any], ...]:
        return self.exchanges, self.how, self.part, self.slots, self.times, self.raws, self.statuses

    def _values(self) -> Iterable[Sequence[Cell | None]]:
        """The values of each row, in the order of the registers."""
        if not self.columns:
            return repeat((), len(self.how))
        rows = zip(*self.columns, strict=True)
        return rows if self.whole else [[cell for cell in row if cell is not None] for row in rows]


def leaves_of(parts: Iterable[Parts]) -> list[bytes]:
    """The leaves' bytes, as their arrays are packed."""
    return [b"".join((_LEAF, *each)) for each in parts]


def contents_of(parts: Iterable[Parts]) -> list[bytes]:
    """Of each leaf SHA-256 over all of it but the exchange that it came by, as an array of 11."""
    sha256 = hashlib.sha256
    return [sha256(_CONTENT + head + tail).digest() for head, _, tail in parts]


def shown(time: Time | None) -> MeterTime | None:
    """The meter's time, where there is one."""
    return None if time is None else time_of(*time)


def _value(register: Register, cell: Cell) -> Value:
    _, _, kind, number, scale, state, own, time = cell
    return Value(register.key, register.unit, number_from_wire(kind, number, scale), _STATES[state], own, shown(time))
