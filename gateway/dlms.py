"""Reads DLMS/COSEM meters: what they show now, and the rows of their load profile from where the last ended.

One association for each visit, released in the end whatever happens: many meters allow one at a time. Scalers, columns
and the capture period are read in every visit: a meter whose firmware was changed must not be read with the old ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms_access import access_of
from gateway.dlms_lines import OpenLine, way
from gateway.exchanges import spanning
from gateway.faults import CountersUnusable, RowWithoutTime
from gateway.lines import OpenTcp
from gateway.schedule import Due
from gateway.settled import Positions
from protocols import obis
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import objects, profile
from protocols.dlms.access import Access
from protocols.dlms.breaches import CounterRefused, CounterWentBack, MeterNotProven
from protocols.dlms.counters import Counters
from protocols.dlms.faults import AccessRefused, PasswordRefused
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row
from protocols.errors import AnotherMeter, LinkError, MeterError
from protocols.reading import Exchange, How, Identity, MeterTime, Protocol, Reading, State, Status, Value
from protocols.transports import exchange
from protocols.transports.dlms import Association, Got
from protocols.transports.tcp import TcpLine

PIECE_ROWS = 96  # a day of quarters of an hour: one answer of some KB, sealed before the next is asked for
DAY_S = 86_400
PUBLIC = 16  # the client that may read the invocation counters of others (0-0:43.1.x)
# Nobody seals the public client's answer: one beyond this would use up what is left of the numbers.
MOST_HEARD = 0xF000_0000
LOCKOUT_MS = 1_200_000  # a refused password is not tried again for so long: three times an hour locks no meter
QUARTER_S = 900  # where a profile captures without a period
FLAG_LETTERS = 3  # a logical device name begins with the manufacturer's three letters
# The status word of a profile (0-x:96.10.x) as IDIS meters write it: the time of the row, or its data, are not valid.
CLOCK_INVALID, DATA_INVALID = 0x02, 0x04

Acquaint = Callable[[Association, DlmsDevice, Identity], Awaitable[None]]


@dataclass(slots=True)
class _Meter:
    """A device and what is remembered of it between visits."""

    device: DlmsDevice
    registers: tuple[Attribute, ...]
    buffer: bytes | None  # the profile's logical name
    clock: MeterTime | None = None  # what it showed last
    clock_mono_ms: int = 0  # ... and when that was
    period_s: int = 0
    searched: MeterTime | None = None  # up to here there is nothing beyond the last row
    newest: Row | None = None  # the last row that was handed on
    lists: bool = True  # several attributes are asked for with one question, as far as none failed
    trouble: MeterError | None = None  # of the rows: it stands until rows come that are without one
    told: bool = False  # ... and was raised already: it holds up no further rows
    # How it was entered when it refused, until when that is not tried again, and why.
    refused: tuple[Access, int, PasswordRefused | MeterNotProven] | None = None

    @classmethod
    def of(cls, device: DlmsDevice) -> _Meter:
        registers = tuple(Attribute.of(objects.REGISTER, name) for name in device.registers)
        return cls(device, registers, None if device.profile is None else obis.from_text(device.profile))

    def now(self, mono_ms: int) -> MeterTime | None:
        """What its clock shows now, if it goes on as it did."""
        if self.clock is None:
            return None
        return replace(self.clock, seconds=self.clock.seconds + (mono_ms - self.clock_mono_ms) // 1000)


class DlmsReader:
    """The reader of the meters behind one TCP address, or on one serial line.

    Args:
        bus: the address or line and its devices.
        positions: where each device's load profile ended.
        clock: for stamps.
        open_line: connects, or raises LinkError.
        counters: what ciphered meters are asked with.
        open_serial: opens the line of a bus that is one, or raises LinkError.
        acquaint: is told of meters that push, while they are associated.
    """

    def __init__(
        self,
        bus: DlmsBus,
        positions: Positions,
        clock: GatewayClock,
        open_line: OpenTcp = TcpLine.open,
        counters: CounterStore | None = None,
        *,
        open_serial: OpenLine | None = None,
        acquaint: Acquaint | None = None,
    ) -> None:
        self._positions, self._clock, self._counters, self._acquaint = positions, clock, counters, acquaint
        self._way = way(bus, open_line, open_serial)
        self._meters = {device.name: _Meter.of(device) for device in bus.device}

    async def read(self, due: Due) -> list[Reading]:
        """The registers of a device and its clock, in one reading.

        Raises:
            LinkError: nobody answers at this address.
            MeterError: the meter refuses, is another one, or does not answer.
        """
        meter = self._meters[due.device.name]
        values: list[Value] = []
        async with self._associated(meter) as association:
            identity = await _identity(association, meter.device)
            scalers = [each.scaler for each in meter.registers if each.scaler is not None]
            asked = (*scalers, *meter.registers, objects.CLOCK_TIME)
            found = await _many(association, meter, asked)
            if self._acquaint is not None and meter.device.push:
                await self._acquaint(association, meter.device, identity)
        shown = dict(zip(asked, found, strict=True))
        for attribute in meter.registers:
            scaler = None if attribute.scaler is None else ScalerUnit.from_data(shown[attribute.scaler].data)
            values.append(objects.value(attribute, shown[attribute].data, scaler))
        values.append(objects.clock_value(objects.CLOCK_TIME, found[-1].data))
        meter.clock, meter.clock_mono_ms = objects.time_of(values[-1]), found[-1].mono_ms
        time = meter.clock if values[-1].state is State.OK else None
        made, name = self._exchange(found), meter.device.name
        return [Reading(identity, name, None, How.READ, due.slot_ms, time, made, None, Status.NONE, tuple(values))]

    async def rows(self, device: str) -> list[Reading]:
        """The next rows of its load profile, oldest first, at most a piece; empty where none is due.

        The row that was handed on last is asked for again: it comes along when it is not what it was.

        Raises:
            LinkError, MeterError: as for `read`.
            RowWithoutTime: there were rows whose time the meter does not know. It is raised when the rows beside them
                were handed on, and again whenever none is due, until rows come of which each has its time.
        """
        meter = self._meters[device]
        now = meter.now(self._clock.mono_ms())
        last = self._positions.last(device)
        if meter.trouble is not None and not meter.told:
            return _none(meter)
        if meter.buffer is None or now is None or not _is_due(meter, last, now):
            return _none(meter)
        async with self._associated(meter) as association:
            identity = await _identity(association, meter.device)
            columns, scalers = await self._columns(association, meter, meter.buffer)
            first = _start(meter, last, now)
            while True:
                end = _later(first, PIECE_ROWS * (meter.period_s or QUARTER_S))
                got = await association.get(profile.buffer_of(meter.buffer), profile.between(first, end))
                found = profile.rows(got.data, columns, scalers, meter.period_s)
                fresh = _fresh(found, last, meter.newest)
                timed = _timed(meter, fresh)
                if timed or _instant(end) >= _instant(now):
                    break
                meter.searched = first = end  # nothing was captured in all that time, or nothing that has a place
        if not timed:
            meter.searched = now if fresh else meter.searched
            return _none(meter)
        return self._handed_on(meter, identity, timed, self._exchange([got]))

    def let_go(self) -> None:
        """Close the line, where there is one: nothing else is held between visits."""
        self._way.let_go()

    async def _columns(
        self, association: Association, meter: _Meter, name: bytes
    ) -> tuple[tuple[Column, ...], dict[Attribute, ScalerUnit]]:
        """What a row has, and the scalers of its values; the capture period is noted on the way."""
        captured = await association.get(Attribute(objects.PROFILE, name, profile.CAPTURE_OBJECTS))
        period = await association.get(Attribute(objects.PROFILE, name, profile.CAPTURE_PERIOD))
        meter.period_s = axdr.whole(period.data, "capture period")
        columns = profile.columns(captured.data)
        scaled = {each.attribute: each.attribute.scaler for each in columns if each.attribute.scaler is not None}
        found = await _many(association, meter, list(scaled.values()))
        scalers = {each: ScalerUnit.from_data(got.data) for each, got in zip(scaled, found, strict=True)}
        return columns, scalers

    def _handed_on(self, meter: _Meter, identity: Identity, timed: list[Row], made: Exchange) -> list[Reading]:
        meter.newest, meter.searched = timed[-1], None
        return [_row_reading(row, identity, meter.device.name, made) for row in timed]

    @asynccontextmanager
    async def _associated(self, meter: _Meter) -> AsyncIterator[Association]:
        """An association; a secret that was refused is tried again when it is another, or after a while.

        Raises:
            PasswordRefused, MeterNotProven: it was, now or not long ago: meters lock a client that tries too often.
            CounterWentBack: the meter's invocation counter is lower than before.
        """
        access = access_of(meter.device)
        if meter.refused is not None and meter.refused[0] == access and self._clock.mono_ms() < meter.refused[1]:
            raise meter.refused[2]
        counters = await self._block(access)
        try:
            async with self._opened(meter.device, access, counters) as association:
                await self._check_counter(meter, access, association)
                meter.refused = None
                yield association
                await self._keep_counter(meter, access, association)
        except CounterRefused as error:
            if not await self._caught_up(meter.device, access):
                meter.refused = (access, self._clock.mono_ms() + LOCKOUT_MS, error)
            raise
        except (PasswordRefused, MeterNotProven) as error:
            meter.refused = (access, self._clock.mono_ms() + LOCKOUT_MS, error)
            raise

    def _opened(
        self, device: DlmsDevice, access: Access, counters: Counters | None
    ) -> AbstractAsyncContextManager[Association]:
        times = exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)
        return self._way.associated(device, access, times, counters)

    async def _block(self, access: Access) -> Counters | None:
        """Counters that are ours alone; None where none are needed."""
        if access.security is None:
            return None
        return await self._store().block(access.title, access.security.keys)

    def _store(self) -> CounterStore:
        if self._counters is None:
            raise CountersUnusable("a state folder for invocation counters", "none", "this command")
        return self._counters

    async def _check_counter(self, meter: _Meter, access: Access, association: Association) -> None:
        """A counter that went down is told once, where the meter has proven who it is; else it is refused for good."""
        came = association.counter_seen
        if access.security is None or came is None:
            return
        before = await self._store().seen(meter.device.name, access.security.keys)
        if before is None or came > before:
            return
        if access.auth.is_high:
            await self._store().saw(meter.device.name, access.security.keys, came)
        raise CounterWentBack(f"an invocation counter above {before}", str(came), meter.device.name)

    async def _keep_counter(self, meter: _Meter, access: Access, association: Association) -> None:
        if access.security is not None and association.counter_seen is not None:
            await self._store().saw(meter.device.name, access.security.keys, association.counter_seen)

    async def _caught_up(self, device: DlmsDevice, access: Access) -> bool:
        """Whether the public client says which counter the meter heard last: the next visit begins above it."""
        if access.security is None:
            return False
        public = Access(PUBLIC, access.server, access.physical, address_bytes=access.address_bytes)
        name = bytes((0, 0, 43, 1, access.client & 0xFF, 255))
        try:
            async with self._opened(device, public, None) as association:
                found = await association.get(Attribute(objects.DATA, name, objects.VALUE))
            heard = axdr.whole(found.data, "invocation counter")
        except (MeterError, LinkError):
            return False
        if not 0 <= heard <= MOST_HEARD:
            return False
        await self._store().raise_to(access.title, access.security.keys, heard)
        return True

    def _exchange(self, found: Sequence[Got]) -> Exchange:
        """Of these meters only the hash of what they answered is sealed."""
        telegram = b"".join(got.octets for got in found)
        quality = self._clock.quality_since(found[0].mono_ms - found[0].round_trip_ms)
        return spanning(found[0], found[-1], telegram, quality, keep=False)


def _is_due(meter: _Meter, last: MeterTime | None, now: MeterTime) -> bool:
    """Whether a row must have been captured that was not handed on: the period is known from the first visit on."""
    if last is None or not meter.period_s:
        return True
    return not 0 <= _instant(now) - _instant(meter.searched or last) < meter.period_s


def _start(meter: _Meter, last: MeterTime | None, now: MeterTime) -> MeterTime:
    """From when on rows are asked for: the last row, or the beginning of the history that is wanted.

    A clock that was set back captures rows with times that were there before: they are asked for from then on.
    """
    begin = meter.searched or last or _later(now, -meter.device.history_days * DAY_S)
    return begin if _instant(begin) <= _instant(now) else _later(now, -meter.period_s)


def _fresh(found: Sequence[Row], last: MeterTime | None, newest: Row | None) -> list[Row]:
    """The rows behind the last one that was handed on; that one is among them when it is not what it was."""
    if not found or last is None or found[0].time != last:
        return list(found)
    same = newest is not None and newest.time == last and newest.values == found[0].values
    return list(found[1:]) if same or len(found) == 1 else list(found)


def _timed(meter: _Meter, fresh: list[Row]) -> list[Row]:
    """The rows that have their time; what is to be told of the others is noted, or a fault that was told ends."""
    timed = [row for row in fresh if row.time is not None]
    if len(timed) < len(fresh):
        got = f"{len(fresh) - len(timed)} without"
        meter.trouble = RowWithoutTime("rows with their time", got, f"profile of {meter.device.name}")
    elif timed and meter.told:
        meter.trouble, meter.told = None, False
    return timed


def _none(meter: _Meter) -> list[Reading]:
    """No rows.

    Raises:
        RowWithoutTime: that fault stands.
    """
    if meter.trouble is not None:
        meter.told = True
        raise meter.trouble.with_traceback(None)  # raised again and again, it would grow
    return []


def _row_reading(row: Row, identity: Identity, device: str, made: Exchange) -> Reading:
    doubtful = row.invalid or bool((row.status or 0) & (CLOCK_INVALID | DATA_INVALID))
    values = tuple(
        replace(each, state=State.INVALID) if doubtful and each.state is State.OK else each for each in row.values
    )
    return Reading(identity, device, None, How.PROFILE, None, row.time, made, row.status, Status.NONE, values)


async def _identity(association: Association, device: DlmsDevice) -> Identity:
    """Who the meter says it is.

    Raises:
        AnotherMeter: not the configured one.
    """
    name = objects.text_of((await association.get(objects.LOGICAL_DEVICE_NAME)).data)
    try:
        serial = objects.text_of((await association.get(objects.DEVICE_ID)).data)
    except AccessRefused:
        serial = None
    if device.serial is not None and device.serial != serial:
        raise AnotherMeter(f"device id {device.serial}", serial or "none", device.name)
    flag = name[:FLAG_LETTERS] if name and name[:FLAG_LETTERS].isalpha() else None
    return Identity(Protocol.DLMS, flag, fabrication=serial, logical_name=name)


async def _many(association: Association, meter: _Meter, attributes: Sequence[Attribute]) -> list[Got]:
    """Several attributes; where that fails with one question they are asked one by one from the next visit on.

    Some meters say that they take lists, and fall silent at one: they would never be read.
    """
    try:
        return await association.get_many(attributes, meter.lists)
    except MeterError:
        meter.lists = False
        raise


def _later(time: MeterTime, seconds: int) -> MeterTime:
    return replace(time, seconds=max(0, time.seconds + seconds))


def _instant(time: MeterTime) -> int:
    """Seconds to compare two times of one meter by: UTC where it shows its offset, else its own calendar."""
    utc_ms = clocks.utc_ms(time)
    return time.seconds if utc_ms is None else utc_ms // 1000
