"""Reads M-Bus meters on a line, and makes the readings that are sealed from the telegrams of one answer.

A meter is reached by its primary address, or selected by its number and what else of its plate is configured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from gateway.clock import GatewayClock
from gateway.config import MbusBus, MbusDevice
from gateway.doubtful import Doubtful
from gateway.exchanges import spanning
from gateway.forecast import BUSY_PERMILLE, forecast
from gateway.handed_mbus import MbusHost, Visited
from gateway.lines import Opened
from gateway.plausible import Plausible
from gateway.schedule import Due
from gateway.succession import Succession
from protocols.errors import AnotherMeter
from protocols.mbus import select, telegram
from protocols.mbus.meaning import check_identity, meter_time, values
from protocols.mbus.search import EVERYBODY, SecondarySearch
from protocols.mbus.select import Secondary
from protocols.mbus.session import ReadSession, Route, SlaveState, primary
from protocols.mbus.telegram import Telegram
from protocols.mbus.timing import TCP_SLACK_MS, Timing
from protocols.reading import How, Identity, Reading, Status, TimeQuality
from protocols.transports import exchange
from protocols.transports.exchange import Answer
from protocols.uplink import limits


@dataclass(slots=True)
class _Meter:
    """A device, the way to it, and what is remembered of it between visits."""

    device: MbusDevice
    way: Route
    slave: SlaveState = field(default_factory=SlaveState)


class MbusReader:
    """The reader of one M-Bus line.

    Args:
        bus: the line and its devices.
        open_line: opens the line, or raises LinkError.
        clock: for stamps.
        keep: whether telegrams are kept beside their hash.
        succession: says who answers; without it only the configured meters do.
    """

    def __init__(
        self,
        bus: MbusBus,
        open_line: Callable[[], Awaitable[Opened]],
        clock: GatewayClock,
        keep: bool,
        succession: Succession | None = None,
    ) -> None:
        self._open, self._clock, self._keep = open_line, clock, keep
        self._meters = {device.name: _Meter(device, way(device)) for device in bus.device}
        self._baud, self._succession = bus.baud, succession
        self._opened: Opened | None = None
        self._plausible = Plausible(roomy=2 * forecast(bus).permille <= BUSY_PERMILLE)

    async def read(self, due: Due) -> list[Reading]:
        """The device's reading for the slot, in parts; what is hard to believe is read again.

        Raises:
            LinkError: the port is gone.
            MeterError: no usable answer came.
        """
        return await self._plausible.settled(due.device.name, due.end_ms - due.slot_ms, lambda: self._once(due))

    async def _once(self, due: Due) -> list[Reading]:
        meter = self._meters[due.device.name]
        device = meter.device
        asked_mono_ms = self._clock.mono_ms()
        answers = (await self._visited(meter)).answers
        quality = self._clock.quality_since(asked_mono_ms)
        try:
            expected = await self._expected(device, answers)
            return readings(answers, device.name, expected, due.slot_ms, quality, self._keep)
        except AnotherMeter:
            # The frame count bit was the other meter's: ours, put back, might take the next one for a repetition and
            # answer with what it showed before it was taken away.
            meter.slave.reset_due = True
            raise

    async def rows(self, device: str) -> list[Reading]:
        """Nothing: these meters keep no load profile that can be read in pieces."""
        return []

    def doubtful(self, device: str) -> Doubtful | None:
        """What is hard to believe and was not read a second time."""
        return self._plausible.doubtful(device)

    @asynccontextmanager
    async def received(self, device: str) -> AsyncIterator[MbusHost]:
        """A meter for a command: what it answers is handed on, and not judged."""
        yield MbusHost(partial(self._visited, self._meters[device]))

    @property
    def question_ms(self) -> int:
        """How long one question of a search and what follows it take at the most."""
        slack_ms = TCP_SLACK_MS if self._opened is None else self._opened.slack_ms
        return Timing(self._baud, slack_ms).answered_ms(len(select.select(EVERYBODY)))

    async def ask(self, search: SecondarySearch) -> bool:
        """One question of a search; whether there is another.

        Raises:
            LinkError: the line is gone.
            MeterError: the search cannot go on.
        """
        there = await self._there()
        for each in self._meters.values():  # whoever may hear it may take a frame count bit from it
            each.slave.reset_due |= search.mask.meets(pattern_of(each.device.identity))
        search.bear(Timing(self._baud, there.slack_ms))
        return await exchange.ask(search, there.line, exchange.Clock(self._clock.utc_ms, self._clock.mono_ms))

    async def meet(self, who: Identity, name: str) -> list[Reading]:
        """The reading, without a slot, of a meter that no device is, under this name.

        Raises:
            LinkError, MeterError: as for `read`.
        """
        there, asked_mono_ms = await self._there(), self._clock.mono_ms()
        session = ReadSession(select.selected(pattern_of(who)), SlaveState(), Timing(self._baud, there.slack_ms))
        times = exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)
        answers = await exchange.run(session, there.line, times)
        quality = self._clock.quality_since(asked_mono_ms)
        return [replace(each, slot_ms=None) for each in readings(answers, name, who, 0, quality, self._keep)]

    def let_go(self) -> None:
        """Close the line."""
        if self._opened is not None:
            self._opened.line.close()
            self._opened = None

    async def _expected(self, device: MbusDevice, answers: Sequence[Answer]) -> Identity:
        """Who must have answered."""
        if self._succession is None:
            return device.identity
        return await self._succession.expected(device.name, telegram.recall(answers[0].frame).identity)

    async def _there(self) -> Opened:
        """The line, opened where it is not; then nobody's frame count bit is known."""
        if self._opened is None:
            self._opened = await self._open()
            for each in self._meters.values():
                each.slave.reset_due = True
        return self._opened

    async def _visited(self, meter: _Meter) -> Visited:
        there = await self._there()
        session = ReadSession(meter.way, meter.slave, Timing(self._baud, there.slack_ms))
        times = exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)
        try:
            answers = await exchange.run(session, there.line, times)
        except asyncio.CancelledError:
            meter.slave.reset_due = True
            raise
        return Visited(answers, session.retries, session.damaged, session.foreign)


def way(device: MbusDevice) -> Route:
    """How a configured meter is reached: by its address, or by a selection as narrow as its plate is given."""
    if device.address is not None:
        return primary(device.address)
    return select.selected(plate_of(device))


def plate_of(device: MbusDevice) -> Secondary:
    """The secondary address of a meter that is reached by its number, as narrow as its plate is given."""
    return pattern_of(device.identity)


def pattern_of(who: Identity) -> Secondary:
    """The selection of a meter, as narrow as it is known."""
    letters = who.manufacturer
    return Secondary(
        who.id or EVERYBODY.id,
        select.ANY_MANUFACTURER if letters is None else telegram.manufacturer_code(letters),
        select.ANY if who.version is None else who.version,
        select.ANY if who.medium is None else who.medium,
    )


def telegrams(answers: Sequence[Answer], expected: Identity) -> list[Telegram]:
    """What is in `answers` (at least one), all of one meter.

    Raises:
        MeterError: not decodable, of another meter than `expected`, or of several meters.
    """
    decoded = [telegram.recall(answer.frame) for answer in answers]
    for each in decoded:
        check_identity(each.identity, expected)
        if each.identity.id is not None:  # a later telegram may have a header without it
            check_identity(each.identity, decoded[0].identity)
    return decoded


def readings(
    answers: Sequence[Answer], device: str, expected: Identity, slot_ms: int, quality: TimeQuality, keep: bool
) -> list[Reading]:
    """The reading in `answers` (at least one), in parts of at most 64 values.

    The exchange's telegram are the frames one after the other; its middle is that of first question and last answer.

    Raises:
        MeterError: not decodable, of another meter than `expected`, or of several meters.
    """
    decoded = telegrams(answers, expected)
    identity = decoded[0].identity
    octets = b"".join(answer.frame.octets for answer in answers)
    made = spanning(answers[0], answers[-1], octets, quality, keep)
    found = values(*decoded)
    status = Status.NONE
    for each in decoded:
        status |= each.status | (Status.PARTIAL if each.partial else Status.NONE)
    if decoded[-1].more:  # what should follow did not come, or is too much
        status |= Status.PARTIAL
    shown = meter_time(*decoded)
    parts = [found[at : at + limits.REGISTERS] for at in range(0, len(found), limits.REGISTERS)] or [()]
    return [
        Reading(
            identity,
            device,
            None,
            How.READ,
            slot_ms,
            shown,
            made,
            decoded[0].status_raw,
            status,
            part,
            number,
        )
        for number, part in enumerate(parts)
    ]
