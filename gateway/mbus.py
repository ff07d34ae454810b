"""Reads M-Bus meters on a line, and makes the readings that are sealed from the telegrams of one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.clock import GatewayClock
from gateway.config import MbusBus, MbusDevice
from gateway.exchanges import spanning
from gateway.forecast import BUSY_PERMILLE, forecast
from gateway.plausible import Plausible
from gateway.schedule import Due
from protocols.errors import AnotherMeter
from protocols.mbus import telegram
from protocols.mbus.meaning import check_identity, meter_time, values
from protocols.mbus.session import ReadSession, SlaveState
from protocols.mbus.timing import Timing
from protocols.reading import How, Identity, Reading, Status, TimeQuality
from protocols.transports import exchange
from protocols.transports.exchange import Answer, ClosableLine
from protocols.uplink import limits


class MbusReader:
    """The reader of one M-Bus line.

    Args:
        bus: the line and its devices.
        open_line: opens the port, or raises LinkError.
        clock: for stamps.
        keep: whether telegrams are kept beside their hash.
    """

    def __init__(self, bus: MbusBus, open_line: Callable[[], ClosableLine], clock: GatewayClock, keep: bool) -> None:
        self._open, self._clock, self._keep = open_line, clock, keep
        self._devices = {device.name: device for device in bus.device}
        self._slaves = {device.address: SlaveState() for device in bus.device}
        self._timing = Timing(bus.baud)
        self._line: ClosableLine | None = None
        self._plausible = Plausible(roomy=2 * forecast(bus).permille <= BUSY_PERMILLE)

    async def read(self, due: Due) -> list[Reading]:
        """The device's reading for the slot, in parts; what is hard to believe is read again.

        Raises:
            LinkError: the port is gone.
            MeterError: no usable answer came.
        """
        return await self._plausible.settled(due.device.name, due.end_ms - due.slot_ms, lambda: self._once(due))

    async def _once(self, due: Due) -> list[Reading]:
        device = self._devices[due.device.name]
        asked_mono_ms = self._clock.mono_ms()
        answers = await self._ask(device)
        quality = self._clock.quality_since(asked_mono_ms)
        try:
            return readings(answers, device.name, device.identity, due.slot_ms, quality, self._keep)
        except AnotherMeter:
            # The frame count bit was the other meter's: ours, put back, might take the next one for a repetition and
            # answer with what it showed before it was taken away.
            self._slaves[device.address].reset_due = True
            raise

    async def rows(self, device: str) -> list[Reading]:
        """Nothing: these meters keep no load profile that can be read in pieces."""
        return []

    def let_go(self) -> None:
        """Close the port."""
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _ask(self, device: MbusDevice) -> tuple[Answer, ...]:
        if self._line is None:
            self._line = self._open()
            for slave in self._slaves.values():
                slave.reset_due = True
        slave = self._slaves[device.address]
        session = ReadSession(device.address, slave, self._timing)
        try:
            return await exchange.run(session, self._line, exchange.Clock(self._clock.utc_ms, self._clock.mono_ms))
        except asyncio.CancelledError:
            slave.reset_due = True
            raise


def readings(
    answers: Sequence[Answer], device: str, expected: Identity, slot_ms: int, quality: TimeQuality, keep: bool
) -> list[Reading]:
    """The reading in `answers` (at least one), in parts of at most 64 values.

    The exchange's telegram are the frames one after the other; its middle is that of first question and last answer.

    Raises:
        MeterError: not decodable, or of another meter than `expected`.
    """
    decoded = [telegram.recall(answer.frame) for answer in answers]
    identity = decoded[0].identity
    for each in decoded:
        check_identity(each.identity, expected)
    octets = b"".join(answer.frame.octets for answer in answers)
    made = spanning(answers[0], answers[-1], octets, quality, keep)
    found = values(*decoded)
    status = Status.NONE
    for each in decoded:
        status |= each.status | (Status.PARTIAL if each.partial else Status.NONE)
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
