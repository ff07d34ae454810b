"""Polls one bus: one owner task per port; every poll ends in exactly one of readings or a failure with its code.

A round reads all due devices in order, those that failed last behind the others, and ends with the seal. A silent meter
costs the others its time budget once per round; it is asked again, with growing pauses, while its slot is open. A line
that vanished is opened again by its stable path. Events tell of changes only: the first failure, the recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import Bus
from gateway.faults import LateAnswer, PollTooLong
from gateway.mbus import readings
from gateway.schedule import Due, Schedule
from protocols.errors import LinkError, MeterError, PlombaError
from protocols.mbus.faults import AnotherMeter
from protocols.mbus.session import ReadSession, SlaveState
from protocols.mbus.timing import Timing
from protocols.reading import Reading
from protocols.transports import exchange
from protocols.uplink import limits
from protocols.uplink.records import Event, Parameter

BUDGET_S = (
    30.0  # one poll: the longest answer seen (9 telegrams of 261 bytes at 2400 baud take 11 s) and its repetitions
)
REOPEN_S = 1.0  # between two tries to open a port that is gone; a converter needs about that to come back
LONGEST_SLEEP_S = 1.0  # the wall clock may be set while a bus sleeps: look again

log = structlog.get_logger("plomba.gateway")


class ClosableLine(exchange.Line, Protocol):
    """A line that can be let go."""

    def close(self) -> None:
        """Let the port go."""


class Sink(Protocol):
    """Where readings and events go."""

    def take(self, found: list[Reading]) -> None:
        """Readings of one poll."""

    def note(self, event: Event) -> None:
        """Something happened."""

    async def round_over(self) -> None:
        """A round is done: seal."""


class BusPoller:
    """The owner of one bus.

    Args:
        bus: the line and its devices.
        schedule: what is due.
        clock: for slots and stamps.
        open_line: opens the port, or raises LinkError.
        sink: takes what comes.
        keep: whether telegrams are kept beside their hash.
    """

    def __init__(
        self,
        bus: Bus,
        schedule: Schedule,
        clock: GatewayClock,
        open_line: Callable[[], ClosableLine],
        sink: Sink,
        keep: bool,
    ) -> None:
        self._bus, self._schedule, self._clock = bus, schedule, clock
        self._open, self._sink, self._keep = open_line, sink, keep
        self._line: ClosableLine | None = None
        self._slaves = {device.address: SlaveState() for device in bus.device}
        self._timing = Timing(bus.baud)
        self._failing: dict[str, str] = {}  # device or bus name -> the code it fails with
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the poll in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Poll until `stop`."""
        try:
            while not self._stopping.is_set():
                await self._round()
                await self._pause()
        finally:
            self._let_go()

    async def _round(self) -> None:
        polled = False
        for due in self._schedule.due(self._clock.utc_ms(), self._clock.mono_ms()):
            if self._stopping.is_set():
                break
            if self._clock.utc_ms() < due.end_ms:  # its slot may have ended while the others were read
                polled = await self._poll(due) or polled
        if polled:
            await self._sink.round_over()

    async def _poll(self, due: Due) -> bool:
        """Read one device; whether there are readings."""
        try:
            found = await self._read(due)
        except LinkError as error:
            self._schedule.failed(due, self._clock.mono_ms())
            self._let_go()
            self._failed(self._bus.name, error, events.BUS_FAILED, None)
            await self._sleep(REOPEN_S)
            return False
        except MeterError as error:
            self._schedule.failed(due, self._clock.mono_ms())
            other = isinstance(error, AnotherMeter)
            self._failed(due.device.name, error, events.IDENTITY_MISMATCH if other else events.POLL_FAILED, due)
            return False
        self._recovered(self._bus.name, events.BUS_RECOVERED, None)
        self._recovered(due.device.name, events.POLL_RECOVERED, due)
        self._schedule.read(due)
        self._sink.take(found)
        return True

    async def _read(self, due: Due) -> list[Reading]:
        if self._line is None:
            self._line = self._open()
            for slave in self._slaves.values():
                slave.reset_due = True
        slave = self._slaves[due.device.address]
        session = ReadSession(due.device.address, slave, self._timing)
        clock = exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)
        try:
            async with asyncio.timeout(BUDGET_S):
                answers = await exchange.run(session, self._line, clock)
        except TimeoutError:
            slave.reset_due = True
            raise PollTooLong(f"an answer within {BUDGET_S:.0f} s", "none yet", due.device.name) from None
        quality, device = self._clock.quality(), due.device
        found = readings(answers, device.name, device.identity, due.slot_ms, quality, self._keep)
        at_ms = found[0].exchange.at_ms
        if not due.slot_ms <= at_ms < due.end_ms:
            late = f"one {at_ms - due.slot_ms} ms after the slot began"
            raise LateAnswer(f"an answer within {due.end_ms - due.slot_ms} ms", late, device.name)
        return found

    def _failed(self, name: str, error: PlombaError, event: str, due: Due | None) -> None:
        if self._failing.get(name) == error.code:
            return
        self._failing[name] = error.code
        log.warning(event, bus=self._bus.name, device=due.device.name if due else None, error=str(error))
        text = str(error).encode()[: limits.TEXT].decode(errors="ignore")
        self._note(event, due, (self._bus.name, error.code, text))

    def _recovered(self, name: str, event: str, due: Due | None) -> None:
        code = self._failing.pop(name, None)
        if code is not None:
            log.info(event, bus=self._bus.name, device=due.device.name if due else None, code=code)
            self._note(event, due, (self._bus.name, code))

    def _note(self, event: str, due: Due | None, parameters: tuple[Parameter, ...]) -> None:
        meter, device = (due.device.identity, due.device.name) if due else (None, None)
        self._sink.note(Event(self._clock.when(), event, meter, device, parameters))

    def _let_go(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _pause(self) -> None:
        wait_ms = self._schedule.wait_ms(self._clock.utc_ms(), self._clock.mono_ms())
        await self._sleep(min(wait_ms / 1000, LONGEST_SLEEP_S))

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
