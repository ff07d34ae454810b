"""Polls one bus: one owner task per port; every poll ends in exactly one of readings or a failure with its code.

A round reads what is due, looks again after each poll, and ends with the seal when all that was due at its start has
had its turn. A meter that is silent or talks rubbish is asked again, with growing pauses, while its slot is open:
behind the others, and no longer than until one of them is due, but for the time that one good answer takes. A line
that vanished is opened again by its stable path. Events tell of changes only: the first failure, the recovery.
What commands ask of the meters of this bus is answered behind all that, while nothing is due; of a back-fill they wait
for one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import Device, DlmsDevice
from gateway.doubtful import Held
from gateway.faults import LateAnswer, PollTooLong
from gateway.guests import Guests
from gateway.reader import Reader
from gateway.schedule import PATIENT_CAP_MS, PATIENT_MS, Due, Schedule
from gateway.steps import marked
from protocols.errors import AnotherMeter, ConfigurationError, LinkError, MeterError, PlombaError
from protocols.reading import How, Reading
from protocols.uplink import limits
from protocols.uplink.records import Event, Parameter

BUDGET_S = (
    30.0  # one poll: the longest answer seen (9 telegrams of 261 bytes at 2400 baud take 11 s) and its repetitions
)
REOPEN_S = 1.0  # between two tries to open a port that is gone; a converter needs about that to come back
LONGEST_SLEEP_S = 1.0  # the wall clock may be set while a bus sleeps: look again

LEAST_REST_MS = 5_000  # that long nothing may be due before a meter's clock is adjusted

Turn = tuple[str, int]  # a device, and the start of its slot

log = structlog.get_logger("plomba.gateway")


class Sink(Protocol):
    """Where readings and events go."""

    def take(self, found: list[Reading]) -> None:
        """Readings of one poll."""

    def note(self, event: Event) -> None:
        """Something happened."""

    async def round_over(self) -> None:
        """A round is done: seal."""

    @property
    def has_room(self) -> bool:
        """Whether what was handed on last was taken."""


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A visit whose device may have rows that were not read yet, and until when it is left alone."""

    due: Due
    rest_mono_ms: int = 0


class Looking(Protocol):
    """Looks on the line for meters that nobody configured."""

    def heard(self, device: str) -> None:
        """A device was read."""

    def failed(self, device: str, error: PlombaError) -> None:
        """A device was not read."""

    def is_due(self) -> bool:
        """Whether something is to be looked for now."""

    async def look(self, may: Callable[[int], bool]) -> list[Reading]:
        """Some questions, as long as there `may` be another one that takes so many milliseconds; what was read.

        Raises:
            LinkError: the line is gone.
        """

    async def rest(self) -> None:
        """Tell what is new, and keep it."""


class BusPoller:
    """The owner of one bus.

    Args:
        name: the bus.
        reader: reads its devices.
        schedule: what is due.
        clock: for slots and stamps.
        sink: takes what comes.
        tend: does at a meter what is not reading, and says whether something was done; asked while nothing is due.
        guests: what commands ask.
        lookout: looks for meters that nobody configured, behind all that.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        schedule: Schedule,
        clock: GatewayClock,
        sink: Sink,
        tend: Callable[[], Awaitable[bool]] | None = None,
        guests: Guests | None = None,
        lookout: Looking | None = None,
    ) -> None:
        self._name, self._reader, self._tending = name, reader, tend
        self._schedule, self._clock, self._sink = schedule, clock, sink
        self._failing: dict[str, str] = {}  # device or bus name -> the code it fails with
        self._held = Held()
        self._unfilled: dict[str, Unfilled] = {}  # by device
        self._stopping = asyncio.Event()
        self.guests, self._lookout = guests, lookout
        self._borrowers = 0  # commands that have the line, or wait for it
        self._line = asyncio.Lock()  # whoever holds it talks on the line

    @property
    def name(self) -> str:
        """The bus."""
        return self._name

    async def lend(self, work: Callable[[], Awaitable[list[Reading]]]) -> list[Reading]:
        """Do `work` with the line between two polls; it opens the line for itself."""
        self._borrowers += 1
        try:
            async with self._line:
                self._reader.let_go()
                return await work()
        finally:
            self._borrowers -= 1

    def stop(self) -> None:
        """End after the poll in hand."""
        self._stopping.set()
        if self.guests is not None:
            self.guests.close()

    async def run(self) -> None:
        """Poll until `stop`."""
        try:
            while not self._stopping.is_set():
                await self._round()
                await self._tend()
                await self._serve()
                await self._look()
                await self._pause()
            if self._take_left(everything=True):
                await self._sink.round_over()
        finally:
            self._reader.let_go()

    async def _round(self) -> None:
        polled: list[Due] = []
        tried: set[Turn] = set()
        begun = {_turn(due) for due in self._due()}
        left = self._take_left()
        self._tell_missed()
        while not self._stopping.is_set():
            async with self._line:
                due = self._next(begun, tried)
                if due is None:
                    break
                tried.add(_turn(due))
                if await self._poll(due):
                    polled.append(due)
            left = self._take_left() or left
        if polled or left:
            await self._sink.round_over()
        self._unfilled |= {due.device.name: Unfilled(due) for due in polled}
        for each in list(self._unfilled.values()):
            await self._back_fill(each)

    def _next(self, begun: set[Turn], tried: set[Turn]) -> Due | None:
        """Whose turn it is now, each slot once a round: a slot may begin or end while others are read."""
        left = [due for due in self._due() if _turn(due) not in tried]
        return left[0] if any(_turn(due) in begun for due in left) else None

    def _due(self) -> list[Due]:
        return self._schedule.due(self._clock.utc_ms(), self._clock.mono_ms())

    async def _back_fill(self, unfilled: Unfilled) -> None:
        """Profile rows of a device that answered, piece by piece; what is due, or asked by commands, comes between.

        Where nobody takes them, or the meter fails, they stay in the meter until the next visit, or, where that is far,
        for some time; where something was due they go on after it.
        """
        name = unfilled.due.device.name
        while not self._stopping.is_set() and not self._due() and self._clock.mono_ms() >= unfilled.rest_mono_ms:
            piece = await self._rows(unfilled.due) if self._sink.has_room else None
            if piece:
                self._sink.take(piece)
                await self._sink.round_over()
            if self.guests is not None and self.guests.waiting:
                await self._serve()
            if piece is None and unfilled.due.device.every_s * 1000 > PATIENT_MS:
                self._unfilled[name] = Unfilled(unfilled.due, self._clock.mono_ms() + PATIENT_CAP_MS)
                return
            if not piece:
                del self._unfilled[name]
                return

    async def _rows(self, due: Due) -> list[Reading] | None:
        """A piece, nothing where that is all, None where the meter fails."""
        name, budget_s = f"{due.device.name} profile", _budget_s(due.device)
        try:
            async with self._line, asyncio.timeout(budget_s):
                piece = await self._reader.rows(due.device.name)
        except TimeoutError:
            late = PollTooLong(f"profile rows within {budget_s:.0f} s", "none yet", due.device.name)
            self._failed(name, late, events.POLL_FAILED, due)
            return None
        except (LinkError, MeterError, ConfigurationError) as error:
            self._reader.let_go()
            self._failed(name, error, events.POLL_FAILED, due)
            return None
        if not piece:  # a fault of some rows is told behind the others: only the end of them is the end of it
            self._recovered(name, events.POLL_RECOVERED, due)
        return piece

    async def _poll(self, due: Due) -> bool:
        """Read one device; whether there are readings."""
        began_ms = self._clock.mono_ms()
        try:
            found = await self._read(due)
        except LinkError as error:
            self._schedule.failed(due, self._clock.mono_ms(), line=True)
            self._held.keep(due, self._reader.doubtful(due.device.name), error)
            self._reader.let_go()
            self._failed(self._name, error, events.BUS_FAILED, None)
            await self._sleep(REOPEN_S)
            return False
        except (MeterError, ConfigurationError) as error:  # a password that cannot be read is a fault of one device
            if self._lookout is not None:
                self._lookout.failed(due.device.name, error)
            self._schedule.failed(due, self._clock.mono_ms())
            self._held.keep(due, self._reader.doubtful(due.device.name), error)
            other = isinstance(error, AnotherMeter)
            self._failed(due.device.name, error, events.IDENTITY_MISMATCH if other else events.POLL_FAILED, due)
            return False
        if self._lookout is not None:
            self._lookout.heard(due.device.name)
        self._recovered(self._name, events.BUS_RECOVERED, None)
        self._recovered(due.device.name, events.POLL_RECOVERED, due)
        self._schedule.read(due, self._clock.mono_ms() - began_ms)
        self._held.forget(due)
        self._take(due, found)
        return True

    def _take_left(self, everything: bool = False) -> bool:
        """Hand on what nothing confirmed until its slot was over (or `everything`), marked; whether there was any."""
        left = self._held.over(self._clock.utc_ms(), everything)
        for each in left:
            self._schedule.settle(each.due)
            self._take(each.due, each.marked)
            who, device = each.doubtful.found[0].meter, each.due.device.name
            log.warning(events.READING_DOUBTFUL, bus=self._name, device=device, error=str(each.reason))
            what = (self._name, *each.parameters)
            self._sink.note(Event(self._clock.when(), events.READING_DOUBTFUL, who, device, what))
        return bool(left)

    def _tell_missed(self) -> None:
        """Slots of calendars that are over without a reading; none while nothing says what time it is."""
        if self._clock.unset:
            return
        for due in self._schedule.missed(self._clock.utc_ms()):
            what = "billing" if due.billing else "cadence"
            log.warning(events.SLOT_MISSED, bus=self._name, device=due.device.name, slot_ms=due.slot_ms, what=what)
            self._note(events.SLOT_MISSED, due, (self._name, due.slot_ms, due.end_ms, what))

    def _take(self, due: Due, found: list[Reading]) -> None:
        """Hand on what was read for a slot; where a step of our clock cut it, that is said."""
        self._sink.take([marked(each, due.end_ms, self._clock.steps) for each in found])

    async def _read(self, due: Due) -> list[Reading]:
        budget_s = self._schedule.budget_ms(due, self._clock.utc_ms(), int(_budget_s(due.device) * 1000)) / 1000
        try:
            async with asyncio.timeout(budget_s):
                found = await self._reader.read(due)
        except TimeoutError:
            raise PollTooLong(f"an answer within {budget_s:.0f} s", "none yet", due.device.name) from None
        for reading in found:
            at_ms = reading.exchange.at_ms
            if reading.how is How.READ and not due.slot_ms <= at_ms < due.end_ms:
                late = f"one {at_ms - due.slot_ms} ms after the slot began"
                raise LateAnswer(f"an answer within {due.end_ms - due.slot_ms} ms", late, due.device.name)
        return found

    def _failed(self, name: str, error: PlombaError, event: str, due: Due | None) -> None:
        known = self._failing.get(name)
        if known == error.code or (known is not None and isinstance(error, PollTooLong)):
            return  # a poll that was cut short says nothing new of who fails already
        self._failing[name] = error.code
        log.warning(event, bus=self._name, device=due.device.name if due else None, error=str(error))
        text = str(error).encode()[: limits.TEXT].decode(errors="ignore")
        self._note(event, due, (self._name, error.code, text))

    def _recovered(self, name: str, event: str, due: Due | None) -> None:
        code = self._failing.pop(name, None)
        if code is not None:
            log.info(event, bus=self._name, device=due.device.name if due else None, code=code)
            self._note(event, due, (self._name, code))

    def _note(self, event: str, due: Due | None, parameters: tuple[Parameter, ...]) -> None:
        meter, device = (due.device.identity, due.device.name) if due else (None, None)
        self._sink.note(Event(self._clock.when(), event, meter, device, parameters))

    async def _tend(self) -> None:
        """What is not reading, while nothing is due for some time and what comes of it is taken."""
        if self._tending is None or not self._sink.has_room or self._stopping.is_set():
            return
        if self._schedule.wait_ms(self._clock.utc_ms(), self._clock.mono_ms()) < LEAST_REST_MS:
            return
        try:
            async with self._line, asyncio.timeout(BUDGET_S):
                done = await self._tending()
        except (LinkError, MeterError, ConfigurationError, TimeoutError):  # the next visit tells what is wrong
            self._reader.let_go()
            return
        if done:
            await self._sink.round_over()

    async def _serve(self) -> None:
        """What commands ask, while nothing is due."""
        if self.guests is None:
            return
        async with self._line:
            rest_ms = self._schedule.wait_ms(self._clock.utc_ms(), self._clock.mono_ms())
            await self.guests.served(rest_ms, lambda: not self._due())

    async def _look(self) -> None:
        """A few questions for a meter that nobody configured, while nothing is due and nobody wants the line."""
        if self._lookout is None:
            return
        if self._sink.has_room and self._lookout.is_due() and self._may_look(0):
            try:
                async with self._line, asyncio.timeout(self._rest_ms() / 1000):
                    found = await self._lookout.look(self._may_look)
            except (LinkError, TimeoutError):
                self._reader.let_go()
                found = []
            if found:
                self._sink.take(found)
                await self._sink.round_over()
        await self._lookout.rest()

    def _may_look(self, ms: int) -> bool:
        """Whether nobody needs the line for so long."""
        wanted = self._borrowers or (self.guests is not None and self.guests.waiting)
        return not (self._stopping.is_set() or wanted) and self._rest_ms() > ms

    def _rest_ms(self) -> int:
        return self._schedule.wait_ms(self._clock.utc_ms(), self._clock.mono_ms())

    async def _pause(self) -> None:
        """Until something is due, or somebody asks."""
        wait_ms = self._schedule.wait_ms(self._clock.utc_ms(), self._clock.mono_ms())
        woken = self._stopping if self.guests is None else self.guests.arrived
        await self._sleep(min(wait_ms / 1000, LONGEST_SLEEP_S), woken)

    async def _sleep(self, seconds: float, woken: asyncio.Event | None = None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await (woken or self._stopping).wait()
        except TimeoutError:
            return


def _turn(due: Due) -> Turn:
    return due.device.name, due.slot_ms


def _budget_s(device: Device) -> float:
    """How long one visit may take, at most."""
    if not isinstance(device, DlmsDevice):
        return BUDGET_S
    from gateway.dlms_access import budget_s  # noqa: PLC0415 - the DLMS part is read where there are such meters

    return budget_s(device, BUDGET_S)
