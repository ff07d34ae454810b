"""Drives a DLMS/COSEM session over TCP or on a serial line: associates, asks, and always releases.

A TCP connection is made for one association and closed behind it. A serial line belongs to its owner and stays open;
there the waits follow from its speed (`Timing`), and what breaks off in its middle is no answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from protocols.dlms import ways as habits
from protocols.dlms.access import Access, Framing
from protocols.dlms.action import Method
from protocols.dlms.carrier import TRIES
from protocols.dlms.counters import Counters
from protocols.dlms.data import NULL, Data
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, RangeRefused, ServiceError
from protocols.dlms.get import MAX_LIST, AccessResult, Refused, Selection, result_name
from protocols.dlms.initiate import Conformance
from protocols.dlms.objects import PROFILE, Attribute
from protocols.dlms.profile import BUFFER, Column, columns
from protocols.dlms.session import Done, Failed, Send, Session, Wait
from protocols.dlms.set import Set
from protocols.dlms.table import Table
from protocols.dlms.timing import Timing, Waits
from protocols.dlms.ways import STANDARD, Ways
from protocols.errors import LinkError, MeterError
from protocols.transports.exchange import Clock, ClosableLine, Line
from protocols.transports.tcp import ConnectionGone, TcpLine

RELEASE_MS = 1_000  # for RLRQ and DISC together: the next meter waits
AT_ONCE = Waits()
# What a meter says that does not take a range as it is written: some give no better reason.
RANGE_REFUSALS = frozenset(
    map(result_name, (AccessResult.TYPE_UNMATCHED, AccessResult.SCOPE_OF_ACCESS_VIOLATED, AccessResult.OTHER_REASON))
)


@dataclass(frozen=True, slots=True)
class Got:
    """One attribute as it was read.

    `octets` are the response APDUs as received, one after the other; `at_ms` and `mono_ms` the middle of the question
    and its (last) answer, `round_trip_ms` the time between them.
    """

    value: Data | Table
    octets: bytes
    at_ms: int
    mono_ms: int
    round_trip_ms: int

    @property
    def data(self) -> Data:
        """The value as data."""
        return self.value.data() if isinstance(self.value, Table) else self.value


class Asking(Protocol):
    """A meter that can be asked for attributes: an association, or who has one."""

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """Read one attribute, or the part of it that `selection` names.

        Raises:
            MeterError: no usable answer came, and why.
            LinkError: the line is gone.
        """

    async def get_many(self, attributes: Sequence[Attribute], together: bool = True) -> list[Got]:
        """Read several attributes, in as few questions as the meter takes where they may be asked `together`.

        Raises:
            MeterError, LinkError: as for `get`; or one of them is refused.
        """


class Association:
    """An open association with one meter; one question at a time.

    What is otherwise with this meter is put right here: `Got.data` are as the standard has them, `octets` as they came.
    """

    def __init__(
        self, session: Session, line: Line, clock: Clock, timing: Timing | Waits = AT_ONCE, ways: Ways = STANDARD
    ) -> None:
        self._session, self._line, self._clock, self._timing = session, line, clock, timing
        self._ways = ways
        self._captured: dict[bytes, tuple[Column, ...]] = {}  # of profiles that were read: their columns

    @property
    def counter_seen(self) -> int | None:
        """The highest invocation counter of the meter's so far; None where nothing is ciphered."""
        return self._session.counter_seen

    async def get_many(self, attributes: Sequence[Attribute], together: bool = True) -> list[Got]:
        """Read several attributes, in as few questions as the meter takes; the order is that of the question.

        Not `together`: one by one, whatever the meter says that it takes.

        The octets of an answer to several are with the first of them, and none with the others.

        Raises:
            MeterError: no usable answer came, or one of them is refused.
            LinkError: the line is gone.
        """
        takes = together and bool(self._session.conformance & Conformance.MULTIPLE_REFERENCES)
        if len(attributes) < 2 or not takes:
            return [await self.get(each) for each in attributes]
        found: list[Got] = []
        for at in range(0, len(attributes), MAX_LIST):
            piece = tuple(attributes[at : at + MAX_LIST])
            try:
                found += await self._get_list(piece)
            except (ExceptionAnswer, ServiceError):  # it says that it takes lists, and does not take this one
                found += [await self.get(each) for each in piece]
        return found

    async def set(self, attribute: Attribute, value: Data) -> None:
        """Set an attribute.

        Raises:
            MeterError: the meter refuses, or no usable answer came: then it may be set or not.
            LinkError: the line is gone.
        """
        named = self._ways.named(attribute)
        self._session.set(named, self._ways.turned(named, value))
        await _run(self._session, self._line, self._clock, self._timing)

    async def set_many(self, values: Mapping[Attribute, Data]) -> None:
        """Set several attributes, in their order, with as few questions as the meter takes.

        Raises:
            MeterError: the meter refuses one, or no usable answer came: then each of the others is set or not.
            LinkError: the line is gone.
        """
        names = tuple(values)
        if len(names) < 2 or not self._session.conformance & Conformance.MULTIPLE_REFERENCES:
            for each in names:
                await self.set(each, values[each])
            return
        for at in range(0, len(names), MAX_LIST):
            piece = names[at : at + MAX_LIST]
            given = tuple(self._ways.turned(each, values[each]) for each in piece)
            self._session.set_list(tuple(map(self._ways.named, piece)), given)
            done = await _run(self._session, self._line, self._clock, self._timing)
            for attribute, result in zip(piece, done.results, strict=True):
                if isinstance(result, int) and result:
                    raise Set(0, result).error(str(attribute))

    async def act(self, method: Method, parameter: Data | None = None) -> Data | None:
        """Let the meter do something; what it gives back, if anything.

        Raises:
            MeterError: the meter refuses, or no usable answer came: then it is done or not.
            LinkError: the line is gone.
        """
        self._session.act(method, parameter)
        return (await _run(self._session, self._line, self._clock, self._timing)).data

    async def _get_list(self, attributes: tuple[Attribute, ...]) -> list[Got]:
        asked_utc_ms, asked_mono_ms = self._clock.utc_ms(), self._clock.mono_ms()
        self._session.get_list(tuple(map(self._ways.named, attributes)))
        done = await _run(self._session, self._line, self._clock, self._timing)
        round_trip = self._clock.mono_ms() - asked_mono_ms
        times = asked_utc_ms + round_trip // 2, asked_mono_ms + round_trip // 2, round_trip
        found = []
        for number, (attribute, result) in enumerate(zip(attributes, done.results, strict=True)):
            if isinstance(result, int):
                raise Refused(0, result).error(str(attribute))
            found.append(Got(result, b"" if number else done.octets, *times))
        return [await self._right(attribute, got) for attribute, got in zip(attributes, found, strict=True)]

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """Read one attribute, or the part of it that `selection` names.

        Raises:
            RangeRefused: the meter refuses a range whose ends say their offset from UTC.
            MeterError: no usable answer came, and why.
            LinkError: the line is gone.
        """
        chosen = self._ways.selected(selection)
        try:
            return await self._right(attribute, await self._get(self._ways.named(attribute), chosen))
        except AccessRefused as error:
            if error.got not in RANGE_REFUSALS or not habits.has_offset(chosen):
                raise
            raise RangeRefused(error.expected, error.got, error.where) from None

    async def _get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """One attribute as the meter says it."""
        asked_utc_ms, asked_mono_ms = self._clock.utc_ms(), self._clock.mono_ms()
        self._session.get(attribute, selection)
        done = await _run(self._session, self._line, self._clock, self._timing)
        round_trip = self._clock.mono_ms() - asked_mono_ms
        middle = round_trip // 2
        value = NULL if done.value is None else done.value
        return Got(value, done.octets, asked_utc_ms + middle, asked_mono_ms + middle, round_trip)

    async def _right(self, attribute: Attribute, got: Got) -> Got:
        """What was read, with the standard's sign of offsets."""
        ways, name = self._ways, attribute.name
        if not ways.turns:
            return got
        if attribute == habits.captures(name):
            self._captured[name] = columns(got.data)
        elif attribute.class_id == PROFILE and attribute.number == BUFFER and name not in self._captured:
            self._captured[name] = columns((await self._get(habits.captures(name))).data)
        return replace(got, value=ways.turned(attribute, got.data, self._captured.get(name, ())))


@asynccontextmanager
async def associated(
    host: str,
    port: int,
    framing: Framing,
    access: Access,
    clock: Clock,
    timeout_s: float = 5.0,
    open_line: Callable[[str, int, float], Awaitable[ClosableLine]] = TcpLine.open,
    counters: Counters | None = None,
    waits: Waits = AT_ONCE,
) -> AsyncIterator[Association]:
    """An association with the meter at `host`, released and closed in any case; `timeout_s` is for each answer.

    `waits` are those of a meter that needs more time than that, or is silent within an answer.

    A ciphered one takes its invocation counters from `counters`: they are durable already.

    Raises:
        LinkError: no connection could be made.
        MeterError: the meter refused the association, did not answer, or ended the connection (StreamEnded).
    """
    line = await open_line(host, port, timeout_s)
    tries = 1 if framing is Framing.WRAPPER else TRIES
    session = Session(access, framing, waits.timeout_ms(tries, round(timeout_s * 1000)), counters)
    try:
        session.associate()
        await _run(session, line, clock, waits)
        yield Association(session, line, clock, waits, access.ways)
    finally:
        try:
            await _release(session, line, clock, waits)
        finally:
            line.close()


@asynccontextmanager
async def associated_on(
    line: Line, access: Access, clock: Clock, timing: Timing, counters: Counters | None = None
) -> AsyncIterator[Association]:
    """An association with one of the meters on a serial line, over HDLC; it is released, and the line stays open.

    Raises:
        LinkError: the line is gone.
        MeterError: the meter refused the association, or did not answer.
    """
    line.flush_input()
    session = Session(access, Framing.LINE, counters=counters)
    try:
        session.associate()
        await _run(session, line, clock, timing)
        yield Association(session, line, clock, timing, access.ways)
    finally:
        await _release(session, line, clock, timing)


async def _release(session: Session, line: Line, clock: Clock, timing: Timing | Waits) -> None:
    """End the association and the link as far as the meter lets us in a moment: nothing depends on it."""
    moment_ms = timing.release_ms(RELEASE_MS) if isinstance(timing, Waits) else timing.release_ms()
    with contextlib.suppress(MeterError, LinkError, TimeoutError):
        async with asyncio.timeout(moment_ms / 1000):
            session.release()
            await _run(session, line, clock, timing)


async def _run(session: Session, line: Line, clock: Clock, timing: Timing | Waits) -> Done:
    """Do what the session says until it is done with what was begun."""
    deadline_ms = latest_ms = clock.mono_ms()
    allowed_ms, parts = 0, session.parts
    while True:
        if session.parts != parts:  # more of the answer follows: it has as long as its first frame had
            deadline_ms, parts = clock.mono_ms() + allowed_ms, session.parts
        step = session.next()
        match step:
            case Send():
                allowed_ms = step.timeout_ms if isinstance(timing, Waits) else timing.first_byte_ms(len(step.octets))
                deadline_ms = clock.mono_ms() + allowed_ms
                if isinstance(timing, Waits):
                    latest_ms = timing.latest_ms(clock.mono_ms(), allowed_ms)
                await (_write(session, line, step.octets) if isinstance(timing, Waits) else line.write(step.octets))
            case Wait() if isinstance(timing, Timing):
                await _listen_closely(session, line, deadline_ms - clock.mono_ms(), timing)
            case Wait():
                await _listen(session, line, deadline_ms - clock.mono_ms())
                if session.inside:
                    deadline_ms = max(deadline_ms, min(latest_ms, clock.mono_ms() + timing.pause_ms))
            case Failed():
                raise step.error
            case Done():
                return step


async def _write(session: Session, line: Line, octets: bytes) -> None:
    try:
        await line.write(octets)
    except ConnectionGone:
        session.closed()


async def _listen(session: Session, line: Line, timeout_ms: int) -> None:
    try:
        octets = await line.read_some(timeout_ms / 1000) if timeout_ms > 0 else b""
    except ConnectionGone:
        session.closed()
        return
    if octets:
        session.received(octets)
    else:
        session.timed_out()


async def _listen_closely(session: Session, line: Line, left_ms: int, timing: Timing) -> None:
    """As a serial line is heard: an answer that has begun may take its time, but its bytes follow each other closely.

    What breaks off was none, and the answer may still come: the meter has as long for its first byte as before.
    """
    inside = session.inside
    timeout_ms = timing.between_ms() if inside else left_ms
    octets = await line.read_some(timeout_ms / 1000) if timeout_ms > 0 else b""
    if octets:
        session.received(octets)
    elif inside:
        session.paused()
    else:
        session.timed_out()
