"""A simulated meter that pushes: data-notifications at an interval over TCP or UDP to one address, with faults by seed.

Each push is in the record before its bytes leave, with the fault that befell it. Where a confirmation is wanted the
same bytes are sent again until one comes, as meters do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from protocols.dlms import data as axdr
from protocols.dlms import unasked
from protocols.dlms.arrival import Arrivals
from protocols.dlms.ciphering import BOTH, Ciphered, Keys
from protocols.dlms.data import Data
from protocols.dlms.notification import CONFIRMED, INVOKE_MASK, DataNotification
from protocols.dlms.profile import Column
from protocols.dlms.protection import Protection, Security
from protocols.dlms.pushed import PUSH_LIST
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError
from simulators.dlms.meter import Meter
from simulators.record import Answered, Record

COLLECTING_PORT = 1  # the destination's wPort
CONFIRM_S = 2.0  # until a push that was not confirmed is sent again
TRIES = 4
CONNECT_S = 5.0
READ_SIZE = 4_096
KEPT = 32  # pushes that a replay is drawn from


class Form(Enum):
    """How a push says what it holds."""

    LISTED = "listed"  # the push list itself stands first
    BARE = "bare"  # values alone: the receiver must know the push list
    NAMED = "named"  # a logical name before each value


class Protect(Enum):
    """How a push is protected."""

    NONE = "none"
    GLO = "glo"  # general-glo-ciphering
    GENERAL = "general"  # general-ciphering with an identified key


class PushFault(Enum):
    """What befalls a push on its way."""

    TWICE = "twice"
    DELAYED = "delayed"  # until the push after it has been sent
    CUT = "cut"
    FORGED = "forged"  # the last byte is another: of a ciphered push the tag
    REPLAYED = "replayed"  # an earlier one is sent again behind it


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a meter pushes, how often (s), and in what form."""

    host: str
    port: int
    every_s: float = 60.0
    udp: bool = False
    protect: Protect = Protect.NONE
    form: Form = Form.LISTED
    confirmed: bool = False


@dataclass(slots=True)
class PushFaults:
    """One of `every` pushes suffers one of `kinds`, by the dice of `seed`; `done` is what happened to which."""

    kinds: tuple[PushFault, ...] = ()
    seed: int = 0
    every: int = 4
    done: list[tuple[int, PushFault]] = field(default_factory=list)

    def draw(self, number: int) -> PushFault | None:
        """The fault of push `number`, or None."""
        dice = random.Random(f"push/{self.seed}/{number}")
        if not self.kinds or dice.randrange(self.every):
            return None
        kind = dice.choice(self.kinds)
        self.done.append((number, kind))
        return kind


class Pusher:
    """The pushes of one meter."""

    def __init__(
        self,
        meter: Meter,
        aim: Aim,
        record: Record,
        utc_ms: Callable[[], int],
        keys: Keys | None = None,
        faults: PushFaults | None = None,
    ) -> None:
        self.meter, self.aim, self._record, self._utc_ms = meter, aim, record, utc_ms
        self._keys, self.faults = keys, faults or PushFaults()
        self._number = 0
        self._late: list[bytes] = []
        self.sent: list[bytes] = []
        self.confirmed: list[int] = []  # long-invoke-ids
        held, _ = meter.pushed_at(utc_ms())
        self.listed = (PUSH_LIST, *held) if aim.form is Form.LISTED else tuple(held)
        meter.extra[PUSH_LIST] = self._list()
        if keys is not None:
            self._protection = Protection(Security(keys, BOTH, general=True), meter.plate.title, meter.vault.counters)

    async def run(self, stop: asyncio.Event) -> None:
        """Push at the interval until `stop`; where nobody takes it, the next one is tried."""
        while not stop.is_set():
            with contextlib.suppress(OSError, TimeoutError):
                await self.push()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.aim.every_s):
                    await stop.wait()

    async def push(self) -> None:
        """One push, with what its fault does to it.

        Raises:
            OSError, TimeoutError: nobody takes it.
        """
        self._number += 1
        fault = self.faults.draw(self._number)
        octets, invoke = self.made(fault)
        pieces, self._late = self._spoilt(octets, fault), [octets] if fault is PushFault.DELAYED else []
        self.sent = [*self.sent, octets][-KEPT:]
        if self.aim.udp:
            await self._datagrams(pieces, octets, invoke)
        else:
            await self._connection(pieces, octets, invoke)

    def apdu(self, at_ms: int, invoke: int) -> bytes:
        """The notification of an instant, unprotected."""
        held, _ = self.meter.pushed_at(at_ms)
        members = list(held.values())
        match self.aim.form:
            case Form.LISTED:
                body = axdr.structure(self._list(), *members)
            case Form.BARE:
                body = axdr.structure(*members)
            case Form.NAMED:
                pairs = (each for name, data in held.items() for each in (axdr.octet_string(name.name), data))
                body = axdr.structure(*pairs)
        return DataNotification(invoke, b"", body).to_bytes()

    def made(self, fault: PushFault | None) -> tuple[bytes, int]:
        """The push as it travels, and its long-invoke-id; it is in the record."""
        at_ms = self._utc_ms()
        invoke = self._number & INVOKE_MASK | (CONFIRMED if self.aim.confirmed else 0)
        plain, plate = self.apdu(at_ms, invoke), self.meter.plate
        apdu = self._protected(plain)
        server = plate.access.server
        _, shown = self.meter.pushed_at(at_ms)
        time = str(self.meter.time_at(at_ms))
        damaged = None if fault is None else fault.value
        self._record.append(Answered(at_ms, plate.serial, server, apdu.hex(), damaged, False, shown, {}, "push", time))
        return Message(server, COLLECTING_PORT, apdu).to_bytes(), invoke

    def _protected(self, plain: bytes) -> bytes:
        if self.aim.protect is Protect.NONE or self._keys is None:
            return plain
        if self.aim.protect is Protect.GLO:
            return self._protection.protect(plain)
        counter = self.meter.vault.counters.take()
        return unasked.general(plain, self._keys, BOTH, counter, self.meter.plate.title, b"")

    def _spoilt(self, octets: bytes, fault: PushFault | None) -> list[bytes]:
        late = self._late
        match fault:
            case PushFault.TWICE:
                return [octets, octets, *late]
            case PushFault.DELAYED:
                return late
            case PushFault.CUT:
                return [*late, octets[: len(octets) * 2 // 3]]
            case PushFault.FORGED:
                return [octets[:-1] + bytes((octets[-1] ^ 1,)), *late]
            case PushFault.REPLAYED if self.sent:
                return [octets, *late, random.Random(self._number).choice(self.sent)]
        return [octets, *late]

    def _list(self) -> Data:
        """The push list: itself first, then what it holds."""
        return axdr.array(*(Column(each).to_data() for each in self.listed))

    async def _connection(self, pieces: list[bytes], whole: bytes, invoke: int) -> None:
        """Each piece over a connection of its own; what is not confirmed is sent again, whole."""
        for octets in pieces:
            await self.send(octets)
        tries = TRIES if self.aim.confirmed and pieces else 0
        for _ in range(tries):
            if invoke in self.confirmed:
                return
            await self.send(whole)

    async def send(self, octets: bytes) -> None:
        """These bytes over a connection of their own, until a confirmation comes or the other side closes it.

        Raises:
            OSError, TimeoutError: nobody takes them.
        """
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(self.aim.host, self.aim.port)
        try:
            writer.write(octets)
            writer.write_eof()
            await writer.drain()
            await self._hear(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Wait for a confirmation, or the end."""
        arrivals, before = Arrivals(), len(self.confirmed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_S):
                while len(self.confirmed) == before and (octets := await reader.read(READ_SIZE)):
                    for each in arrivals.feed(octets):
                        self._note(each.apdu)

    async def _datagrams(self, pieces: list[bytes], whole: bytes, invoke: int) -> None:
        loop = asyncio.get_running_loop()
        transport, heard = await loop.create_datagram_endpoint(
            lambda: _Answers(self._note), remote_addr=(self.aim.host, self.aim.port)
        )
        try:
            for octets in pieces:
                transport.sendto(octets)
            tries = TRIES if self.aim.confirmed and pieces else 0
            for _ in range(tries):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONFIRM_S):
                        await heard.some.wait()
                heard.some.clear()
                if invoke in self.confirmed:
                    break
                transport.sendto(whole)
        finally:
            transport.close()

    def _note(self, octets: bytes) -> None:
        """A confirmation: of a ciphered push it is ciphered too, and opened with the keys."""
        with contextlib.suppress(MeterError):
            if self._keys is not None and octets[:1] != bytes((unasked.CONFIRM,)):
                found = Ciphered.from_bytes(octets)
                octets = found.opened(self._keys.encryption, self._keys.authentication, found.title)
            self.confirmed.append(unasked.confirm_from_bytes(octets))


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, note: Callable[[bytes], None]) -> None:
        self._note, self.some = note, asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        with contextlib.suppress(MeterError):
            for each in Arrivals().feed(data):
                self._note(each.apdu)
        self.some.set()
