"""What a simulated meter keeps beside its load profile: event logs that grow, and a row at the end of each month."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.objects import CLOCK_TIME, DATA, EXTENDED_REGISTER, REGISTER, VALUE, Attribute
from protocols.dlms.profile import (
    BUFFER,
    CAPTURE_OBJECTS,
    CAPTURE_PERIOD,
    ENTRIES_IN_USE,
    PROFILE_ENTRIES,
    SORT_METHOD,
    Column,
)
from protocols.reading import MeterTime
from simulators.dlms.selecting import narrowed, selected

STANDARD_LOG, FRAUD_LOG, BILLING = (obis.from_text(f"0-0:{each}.255") for each in ("99.98.0", "99.98.1", "98.1.0"))
LOGS = (STANDARD_LOG, FRAUD_LOG)
DEPTH = 255  # rows of an event log
MONTHS = 13  # rows of the billing profile
HOUR_MS = 3_600_000
POWER_DOWN, POWER_UP, BEFORE_SET, AFTER_SET, TARIFF, PARAMETERS = 1, 2, 4, 5, 9, 47
COVER_OPEN, COVER_CLOSED = 44, 45
FIFO, LIFO = 1, 2  # sort methods
TARIFFS = tuple(Attribute.of(REGISTER, f"1-0:1.8.{each}.255") for each in (1, 2))
MAXIMUM = Attribute.of(EXTENDED_REGISTER, "1-0:1.6.0.255")
MAXIMUM_TIME = Attribute.of(EXTENDED_REGISTER, "1-0:1.6.0.255", 5)

Event = tuple[int, int]  # when, by the meter's clock (ms UTC as it takes them), and its code


def code_of(log: bytes) -> Attribute:
    """The object whose value an event log captures: 0-0:96.11.x.255."""
    return Attribute(DATA, bytes((0, 0, 96, 11, log[4], 255)), VALUE)


class EventLog:
    """One event log: what happens in each hour is drawn from `seed`, and two events may share a second.

    `known` are the events that it had before it was started again.
    """

    def __init__(self, name: bytes, seed: str, began_ms: int, known: Sequence[Event] = ()) -> None:
        self.name = name
        self.events: list[Event] = list(known)
        self._seed = seed
        self._hour = began_ms // HOUR_MS
        self._grown_ms = max((at_ms for at_ms, _ in known), default=began_ms - 1)
        self._coming: list[Event] = []

    def grow(self, now_ms: int) -> list[Event]:
        """What came to pass until `now_ms` by the meter's clock."""
        while self._hour <= now_ms // HOUR_MS:
            self._coming += [each for each in self._drawn(self._hour) if each[0] > self._grown_ms]
            self._hour += 1
        fresh = [each for each in self._coming if each[0] <= now_ms]
        self._coming = [each for each in self._coming if each[0] > now_ms]
        self.events += fresh
        return fresh

    def note(self, at_ms: int, code: int) -> Event:
        """Something happened now."""
        self.events.append((at_ms, code))
        return self.events[-1]

    def _drawn(self, hour: int) -> list[Event]:
        dice = random.Random(f"{self._seed}/{self.name.hex()}/{hour}")
        at_ms = hour * HOUR_MS + 1000 * dice.randrange(3_500)
        match dice.randrange(8):
            case 0 if self.name == STANDARD_LOG:
                return [(at_ms, POWER_DOWN), (at_ms + 1000 * dice.randrange(30), POWER_UP)]
            case 1 if self.name == STANDARD_LOG:  # the second of these has the stamp of the first
                return [(at_ms, PARAMETERS), (at_ms, TARIFF), (at_ms, PARAMETERS)]
            case 2 if self.name == FRAUD_LOG:
                return [(at_ms, COVER_OPEN), (at_ms + 60_000, COVER_CLOSED)]
        return []


@dataclass(frozen=True, slots=True)
class Book:
    """A profile as it is now: its rows with their times, in the order in which it gives them."""

    name: bytes
    columns: tuple[Column, ...]
    depth: int
    rows: Sequence[tuple[MeterTime, Data]]
    sort_method: int = FIFO

    def get(
        self, number: int, selection: Selection | None, shortened: Callable[[list[Data]], Data]
    ) -> Data | AccessResult:
        """An attribute of it; `shortened` is how this meter sends rows."""
        if number == BUFFER:
            return self._buffer(selection, shortened)
        attributes = {
            1: axdr.octet_string(self.name),
            CAPTURE_OBJECTS: axdr.array(*(each.to_data() for each in self.columns)),
            CAPTURE_PERIOD: Data(Tag.DOUBLE_LONG_UNSIGNED, 0),
            SORT_METHOD: Data(Tag.ENUM, self.sort_method),
            ENTRIES_IN_USE: Data(Tag.DOUBLE_LONG_UNSIGNED, len(self.rows)),
            PROFILE_ENTRIES: Data(Tag.DOUBLE_LONG_UNSIGNED, self.depth),
        }
        return attributes.get(number, AccessResult.OBJECT_UNDEFINED)

    def _buffer(self, selection: Selection | None, shortened: Callable[[list[Data]], Data]) -> Data | AccessResult:
        found = selected([time for time, _ in self.rows], self.columns, selection)
        if isinstance(found, AccessResult):
            return found
        rows, places = found
        return shortened([narrowed(self.rows[n][1], places) for n in rows])


def log_book(log: EventLog, stamped: Callable[[int], tuple[MeterTime, bytes]], lifo: bool) -> Book:
    """An event log as a profile; `stamped` makes the meter's stamp of an instant."""
    rows = []
    for at_ms, code in log.events[-DEPTH:]:
        time, octets = stamped(at_ms)
        rows.append((time, axdr.structure(axdr.octet_string(octets), Data(Tag.UNSIGNED, code))))
    if lifo:
        rows.reverse()
    columns = (Column(CLOCK_TIME), Column(code_of(log.name)))
    return Book(log.name, columns, DEPTH, rows, LIFO if lifo else FIFO)


def billing_book(columns: Iterable[Attribute], rows: Sequence[tuple[MeterTime, Data]]) -> Book:
    """The billing profile."""
    return Book(BILLING, (Column(CLOCK_TIME), *map(Column, columns)), MONTHS, rows)
