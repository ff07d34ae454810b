"""Reads DLMS/COSEM meters: what they show now, and the rows of their profiles from where the last ended.

One association for each visit, released in the end whatever happens: many meters allow one at a time. Scalers are read
once and kept (`gateway.scales`); a meter whose firmware was changed must not be read with the old ones, so each visit
asks for that, and for columns and capture period of a profile, together with what it came for.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from gateway import pieces
from gateway.beside import REFUSED, Refusals, Scalers, believe, check, identity_of, told
from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms_clock import ClockKeeper, Note
from gateway.dlms_entrance import Entrance
from gateway.dlms_further import Further, further_of, hand_on, is_compressed, is_idis, is_newest_first, next_rows
from gateway.dlms_lines import OpenLine
from gateway.dlms_rows import Key, Numbered, fresh, instant, later, named, remembered, row_reading
from gateway.doubtful import Doubtful
from gateway.exchanges import spanning
from gateway.faults import RowWithoutTime
from gateway.handed_dlms import DlmsHost
from gateway.lines import OpenTcp
from gateway.pieces import Fit, Range, Source
from gateway.scales import Scales, ScaleStore
from gateway.schedule import Due
from gateway.settled import Positions
from gateway.succession import Succession
from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms import objects, profile
from protocols.dlms.faults import (
    AccessRefused,
    ColumnsDiffer,
    ExceptionAnswer,
    Malformed,
    ServiceError,
    TooMuch,
)
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.dlms.profile import Column, Row
from protocols.errors import MeterError
from protocols.reading import Exchange, How, Identity, MeterTime, Reading, State, Status, Value
from protocols.transports.dlms import Association, Got
from protocols.transports.tcp import TcpLine

PIECE_ROWS = 96  # a day of quarters of an hour: one answer of some KB, sealed before the next is asked for
DAY_S, HOUR_S = 86_400, 3_600
QUARTER_S = 900  # where a profile captures without a period
MOST_QUESTIONS = 100  # for rows that are not there: the next visit goes on behind them
# What is wrong with one profile alone: others are read all the same.
OF_ONE = (AccessRefused, ColumnsDiffer, ExceptionAnswer, Malformed, RowWithoutTime, TooMuch)

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
    newest: MeterTime | None = None  # of the last row that was handed on
    handed: dict[Key, bytes] = field(default_factory=dict)  # hashes of the values of the rows before it, and that one's
    tells: bool = True  # it may be asked for its firmware
    lists: bool = True  # several attributes are asked for with one question, as far as none failed
    trouble: MeterError | None = None  # of the rows: it stands until rows come that are without one
    told: bool = False  # ... and was raised already: it holds up no further rows
    keeper: ClockKeeper | None = None
    further: tuple[Further, ...] = ()
    refusals: Refusals = field(default_factory=Refusals)  # of what stands beside its values
    fit: Fit = field(default_factory=Fit)  # how many of its rows one answer may have
    compressed: bool = False
    idis: bool = False  # the status words of its rows are those of IDIS meters
    number: str | None = None  # the device id of who answered last

    @classmethod
    def of(cls, device: DlmsDevice) -> _Meter:
        registers = tuple(Attribute.of(objects.REGISTER, name) for name in device.registers)
        buffer = None if device.profile is None else obis.from_text(device.profile)
        ways = is_compressed(device), is_idis(device)
        return cls(device, registers, buffer, further=further_of(device), compressed=ways[0], idis=ways[1])

    def met(self, number: str | None) -> None:
        """Who answered: what is remembered of the rows of another meter says nothing of this one's."""
        if number != self.number:
            self.searched = self.newest = self.trouble = None
            self.handed, self.fit = {}, Fit()
            self.lists, self.told, self.period_s = True, False, 0
        self.number = number

    @property
    def doubts(self) -> bool:
        """Whether its times are doubtful, whatever it says of them itself."""
        return self.keeper is not None and self.keeper.turned

    def saw(self, clock: Got) -> Value:
        """What its clock shows."""
        value = objects.clock_value(objects.CLOCK_TIME, clock.data)
        if self.keeper is not None and value.state is State.OK:
            self.keeper.saw(clock)
        return replace(value, state=State.UNKNOWN) if value.state is State.OK and self.doubts else value

    def reading(
        self, row: Row, identity: Identity, made: Exchange, captured: tuple[Column, ...], part: int = 0
    ) -> Reading:
        """A row of one of its profiles."""
        doubted = replace(row, doubtful=True) if self.doubts else row
        return row_reading(doubted, identity, self.device.name, made, captured, part, idis=self.idis)

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
        note: takes events of the meters' clocks; without it no clock is watched or adjusted.
        acquaint: is told of meters that push, while they are associated.
        scales: where what meters say of their registers is kept; without it as long as this reader is.
        succession: says who answers; without it only the configured meters do.
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
        note: Note | None = None,
        acquaint: Acquaint | None = None,
        scales: ScaleStore | None = None,
        succession: Succession | None = None,
    ) -> None:
        self._scales = scales or ScaleStore()
        self._positions, self._clock, self._acquaint = positions, clock, acquaint
        self._succession = succession
        self._entrance = Entrance(bus, clock, open_line, counters, open_serial=open_serial)
        self._meters = {device.name: _Meter.of(device) for device in bus.device}
        if note is not None:
            for meter in self._meters.values():
                meter.keeper = ClockKeeper(meter.device, clock, note)

    async def read(self, due: Due) -> list[Reading]:
        """The registers of a device and its clock, in one reading.

        Raises:
            LinkError: nobody answers at this address.
            MeterError: the meter refuses, is another one, or does not answer.
        """
        meter = self._meters[due.device.name]
        async with self._entrance.associated(meter.device) as association:
            identity = await self._who(association, meter)
            wanted = (*meter.registers, objects.CLOCK_TIME)
            scales, found = await self._asked(association, meter, identity, wanted, meter.registers)
            if self._acquaint is not None and meter.device.push:
                await self._acquaint(association, meter.device, identity)
        await self._scales.keep(meter.device.name, scales)
        values = [objects.value(each, found[each].data, scales.of(each)) for each in meter.registers]
        clock = found[objects.CLOCK_TIME]
        values.append(meter.saw(clock))
        meter.clock, meter.clock_mono_ms = objects.time_of(values[-1]), clock.mono_ms
        time = meter.clock if values[-1].state is State.OK else None
        made, name = self._exchange(list(found.values())), meter.device.name
        return [Reading(identity, name, None, How.READ, due.slot_ms, time, made, None, Status.NONE, tuple(values))]

    async def rows(self, device: str) -> list[Reading]:
        """The next rows of its load profile, or else of another one, oldest first; empty where none is due.

        Raises:
            LinkError, MeterError: as for `read`.
            RowWithoutTime: as for a load profile.
        """
        meter = self._meters[device]
        if self._succession is not None and self._succession.is_nobodys(device):
            return []  # they stay in that meter: where the rows of the configured one ended is not to be moved
        try:
            piece = await self._load_rows(meter)
        except OF_ONE as error:
            return await self._further_rows(meter, error)
        return piece or await self._further_rows(meter, None)

    async def _further_rows(self, meter: _Meter, trouble: MeterError | None) -> list[Reading]:
        """The next rows of the profiles beside the load profile.

        Raises:
            LinkError, MeterError: as for `read`; and, when none is due any more, the `trouble` of a profile.
        """
        now = meter.now(self._clock.mono_ms())
        for further in meter.further if now is not None else ():
            if now is None or not further.is_due(self._clock.utc_ms()):
                continue
            try:
                if piece := await self._rows_of(meter, further, now):
                    return piece
            except OF_ONE as error:
                further.missed(error, self._clock.utc_ms())
            except MeterError as error:
                further.missed(error, self._clock.utc_ms())
                raise
        told = trouble or next((each.trouble for each in meter.further if each.trouble is not None), None)
        if told is not None:
            raise told.with_traceback(None)  # raised again and again, it would grow
        return []

    async def _rows_of(self, meter: _Meter, further: Further, now: MeterTime) -> list[Reading]:
        last = self._positions.last(f"{meter.device.name}/{further.shown}")
        further.trouble = None
        async with self._entrance.associated(meter.device) as association:
            identity = await self._who(association, meter)
            scales, _ = await self._asked(association, meter, identity)
            scalers = self._scalers(association, meter, scales)
            found, got, over = await next_rows(association, further, last, now, meter.compressed, scalers)
        await self._scales.keep(meter.device.name, scales)
        hand_on(further, found)
        if over:
            further.done(self._clock.utc_ms())
        made, captured = self._exchange(got), further.layout.columns if further.layout is not None else ()
        rows = ((meter.reading(row, identity, made, captured), part) for row, part in found)
        return [named(row, further.name, part, further.codes) for row, part in rows]

    async def _load_rows(self, meter: _Meter) -> list[Reading]:
        """The next rows of its load profile, oldest first, at most a piece; empty where none is due.

        The row that was handed on last is asked for again: it comes along when it is not what it was.

        Raises:
            LinkError, MeterError: as for `read`.
            RowWithoutTime: there were rows whose time the meter does not know. It is raised when the rows beside them
                were handed on, and again whenever none is due, until rows come of which each has its time.
        """
        now = meter.now(self._clock.mono_ms())
        last = self._positions.last(meter.device.name)
        if meter.trouble is not None and not meter.told:
            return _none(meter)
        if meter.buffer is None or now is None or not _is_due(meter, last, now):
            return _none(meter)
        async with self._entrance.associated(meter.device) as association:
            identity = await self._who(association, meter)
            columns, scales = await self._columns(association, meter, identity, meter.buffer)
            scalers = {each.attribute: scaler for each in columns if (scaler := scales.of(each.attribute))}
            newest_first = await is_newest_first(meter.buffer, self._scalers(association, meter, scales))
            ways = meter.period_s, meter.compressed, newest_first
            source = Source(association, meter.buffer, columns, scalers, *ways)
            timed = await _searched(source, meter, last, now)
        await self._scales.keep(meter.device.name, scales)
        if not timed:
            return _none(meter)
        return self._handed_on(meter, identity, timed, self._exchange(source.answers), columns)

    async def tend(self) -> bool:
        """Adjust a clock that is to be adjusted and may be just now; whether one was looked at.

        Raises:
            LinkError: nobody answers at this address.
        """
        for meter in self._meters.values():
            if meter.keeper is None or not meter.keeper.wants(meter.period_s) or self._is_another(meter):
                continue
            try:
                async with self._entrance.associated(meter.device, meter.keeper.shifts) as association:
                    await identity_of(association, meter.device)
                    await meter.keeper.adjust(association, meter.period_s)
            except MeterError as error:
                meter.keeper.failed(error)
            return True
        return False

    def doubtful(self, device: str) -> Doubtful | None:
        """Nothing: a second read confirms no value here."""
        return None

    @asynccontextmanager
    async def received(self, device: str) -> AsyncIterator[DlmsHost]:
        """A meter for a command, in an association: what it answers is handed on, and not judged."""
        meter = self._meters[device]
        async with self._entrance.associated(meter.device) as association:
            yield DlmsHost(association, meter.lists)

    def let_go(self) -> None:
        """Close the line, where there is one: nothing else is held between visits."""
        self._entrance.let_go()

    def _is_another(self, meter: _Meter) -> bool:
        """Whether a meter is read that nobody configured: its clock is left alone."""
        return self._succession is not None and self._succession.stands(meter.device.name)

    async def _who(self, association: Association, meter: _Meter) -> Identity:
        """Who answers.

        Raises:
            AnotherMeter: not who the device is read as.
            MeterError: it does not say so now.
        """
        (found, why), expected = await told(association), meter.device.identity
        if why is None:
            meter.refusals.told(objects.DEVICE_ID)
        else:
            last = await self._scales.last(meter.device.name)
            before = replace(found, fabrication=meter.number) if meter.number else last
            believe(why, before, meter.device, meter.refusals, self._clock.mono_ms())
        if self._succession is not None:
            expected = await self._succession.expected(meter.device.name, found)
        check(found, expected, meter.device)
        meter.met(found.fabrication)
        return found

    async def _columns(
        self, association: Association, meter: _Meter, identity: Identity, name: bytes
    ) -> tuple[tuple[Column, ...], Scales]:
        """What a row has, and the scalers of its values; the capture period is noted on the way."""
        captured, period = (
            Attribute(objects.PROFILE, name, number) for number in (profile.CAPTURE_OBJECTS, profile.CAPTURE_PERIOD)
        )
        scales, found = await self._asked(association, meter, identity, (captured, period))
        meter.period_s = axdr.whole(found[period].data, "capture period")
        columns = profile.columns(found[captured].data)
        scales.captures(name, found[captured].data)
        registers = tuple(each.attribute for each in columns)
        await self._learn(association, meter, scales, scales.missing(registers))
        self._scalers(association, meter, scales).check(registers)
        return columns, scales

    async def _learn(
        self, association: Association, meter: _Meter, scales: Scales, missing: Sequence[Attribute]
    ) -> None:
        """Scalers with one question, or one by one where the meter refuses some."""
        scalers = self._scalers(association, meter, scales)
        try:
            found = await _many(association, meter, missing)
        except REFUSED:
            await scalers.learn(missing)
            return
        for scaler, got in zip(missing, found, strict=True):
            scalers.take(scaler, got)

    def _scalers(self, association: Association, meter: _Meter, scales: Scales) -> Scalers:
        return Scalers(association, scales, meter.refusals, self._clock.mono_ms())

    async def _asked(
        self,
        association: Association,
        meter: _Meter,
        identity: Identity,
        wanted: Sequence[Attribute] = (),
        scaled: Sequence[Attribute] = (),
    ) -> tuple[Scales, dict[Attribute, Got]]:
        """What is wanted, and beside it the scalers of what is `scaled` where they are not known; what is known."""
        scales = await self._scales.of(meter.device.name, identity, self._clock.utc_ms())
        if scales is None:
            scales = Scales(identity, await _firmware(association, meter), self._clock.utc_ms())
            version: tuple[Attribute, ...] = ()
        else:
            version = () if scales.firmware is None else (objects.FIRMWARE,)
        missing = scales.missing(scaled)
        asked = (*version, *missing, *wanted)
        try:
            found = dict(zip(asked, await _many(association, meter, asked), strict=True))
        except REFUSED:
            if version:
                self._scales.forget(meter.device.name)  # it may be the firmware that it does not say any more
                return await self._asked(association, meter, identity, wanted, scaled)
            if not missing:
                raise
            await self._scalers(association, meter, scales).learn(missing)
            return scales, dict(zip(wanted, await _many(association, meter, wanted), strict=True))
        if version and hashed(found[objects.FIRMWARE]) != scales.firmware:
            scales = Scales(identity, hashed(found[objects.FIRMWARE]), self._clock.utc_ms())
            await self._learn(association, meter, scales, scales.missing(scaled))
            return scales, found
        for scaler in missing:
            self._scalers(association, meter, scales).take(scaler, found[scaler])
        return scales, found

    def _handed_on(
        self,
        meter: _Meter,
        identity: Identity,
        timed: list[Numbered],
        made: Exchange,
        captured: tuple[Column, ...] = (),
    ) -> list[Reading]:
        before = meter.handed if meter.newest == self._positions.last(meter.device.name) else {}
        meter.handed, meter.newest, meter.searched = remembered(before, timed), timed[-1][0].time, None
        return [meter.reading(row, identity, made, captured, part) for row, part in timed]

    def _exchange(self, found: Sequence[Got]) -> Exchange:
        """Of these meters only the hash of what they answered is sealed."""
        telegram = b"".join(got.octets for got in found)
        quality = self._clock.quality_since(found[0].mono_ms - found[0].round_trip_ms)
        return spanning(found[0], found[-1], telegram, quality, keep=False)


async def _searched(source: Source, meter: _Meter, last: MeterTime | None, now: MeterTime) -> list[Numbered]:
    """The next rows that have their time, from where the last one ended; none where none is there, or not nearby."""
    first, asked = _start(meter, last, now), 0
    while True:
        source.answers.clear()
        found = await pieces.read(source, _range(meter, first, now), meter.fit)
        asked += len(source.answers)
        handed = meter.handed if meter.newest == last else {}
        unread = fresh(found.rows, last, handed, is_certain=found.is_certain)
        timed = _timed(meter, unread)
        if timed:
            return timed
        if instant(found.end) >= instant(now):
            meter.searched = now if unread else meter.searched
            return []
        meter.searched = first = found.end  # nothing was captured in all that time, or nothing that has a place
        if asked >= MOST_QUESTIONS:
            return []


def _range(meter: _Meter, first: MeterTime, now: MeterTime) -> Range:
    """A piece of rows from `first` on; of a meter that takes no whole piece, no longer than its clock has come."""
    period_s = meter.period_s or QUARTER_S
    end = later(first, PIECE_ROWS * period_s + HOUR_S)  # ... that may come twice
    if meter.fit.span_s is not None and instant(now) >= instant(first):
        end = min(end, later(now, 2 * HOUR_S), key=lambda each: each.seconds)
    return Range(first, end, max(1, period_s - 1), HOUR_S, now=now)


def _is_due(meter: _Meter, last: MeterTime | None, now: MeterTime) -> bool:
    """Whether a row must have been captured that was not handed on: the period is known from the first visit on."""
    if last is None or not meter.period_s:
        return True
    return not 0 <= instant(now) - instant(meter.searched or last) < meter.period_s


def _start(meter: _Meter, last: MeterTime | None, now: MeterTime) -> MeterTime:
    """From when on rows are asked for: the last row, or the beginning of the history that is wanted.

    A clock that was set back captures rows with times that were there before: they are asked for from then on. A clock
    without offset from UTC is set back every autumn, and rows are sought by what it shows. Some meters seek so although
    they show their offset (OSGP/open-smart-grid-platform PR#936): where it has changed since, or a process has just
    started, or the hour that came twice is among what was handed on, an hour more is asked for, too.
    """
    begin = meter.searched or last or later(now, -meter.device.history_days * DAY_S)
    if last is not None and last.deviation_min is None:
        return later(min(begin, now, key=instant), -HOUR_S)
    offsets = {now.deviation_min, begin.deviation_min, *(time.deviation_min for time, _ in meter.handed)}
    if last is not None and (len(offsets) > 1 or meter.newest != last):
        return later(begin if instant(begin) <= instant(now) else now, -HOUR_S)
    return begin if instant(begin) <= instant(now) else later(now, -meter.period_s)


def _timed(meter: _Meter, unread: list[Numbered]) -> list[Numbered]:
    """The rows that have their time; what is to be told of the others is noted, or a fault that was told ends."""
    timed = [each for each in unread if each[0].time is not None]
    if len(timed) < len(unread):
        got = f"{len(unread) - len(timed)} without"
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


def present(registers: Sequence[Attribute], shown: Mapping[Attribute, Got]) -> list[Value]:
    """The values of registers, of which (and of whose scalers, as far as they are told) these are the answers.

    Raises:
        MeterError: a scaler is none.
    """
    values = []
    for attribute in registers:
        found = None if attribute.scaler is None else shown.get(attribute.scaler)
        scaler = None if found is None else ScalerUnit.from_data(found.data)
        values.append(objects.value(attribute, shown[attribute].data, scaler))
    return values


async def _firmware(association: Association, meter: _Meter) -> bytes | None:
    """What the meter says of its firmware, hashed; None where it says nothing.

    A meter that falls silent at this question is not asked it again.
    """
    if not meter.tells:
        return None
    try:
        return hashed(await association.get(objects.FIRMWARE))
    except (AccessRefused, ExceptionAnswer, ServiceError):
        return None
    except MeterError:
        meter.tells = False
        raise


def hashed(got: Got) -> bytes:
    """A value's hash."""
    return hashlib.sha256(axdr.to_bytes(got.data)).digest()


async def _many(association: Association, meter: _Meter, attributes: Sequence[Attribute]) -> list[Got]:
    """Several attributes; where that fails with one question they are asked one by one from the next visit on.

    Some meters say that they take lists, and fall silent at one: they would never be read.
    """
    try:
        return await association.get_many(attributes, meter.lists)
    except REFUSED:
        raise  # it answers
    except MeterError:
        meter.lists = False
        raise
