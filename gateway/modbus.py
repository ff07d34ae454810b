"""Reads Modbus meters behind one TCP address or on an RTU line, and makes the readings that are sealed from the blocks.

Where a model says of a counter that its meter changes it word by word while it is read (`torn`), its block is read
twice: `protocols.modbus.torn` says when the two are believed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.clock import GatewayClock
from gateway.config import ModbusBus, ModbusDevice
from gateway.doubtful import Doubtful
from gateway.exchanges import spanning
from gateway.handed_modbus import ModbusHost
from gateway.lines import Lines, Place, opened
from gateway.schedule import Due
from gateway.succession import Succession
from protocols.errors import ConfigurationError
from protocols.modbus import blocks, torn, values
from protocols.modbus.blocks import Span
from protocols.modbus.debts import Debts
from protocols.modbus.faults import TornValue
from protocols.modbus.registers import Register
from protocols.modbus.timing import SLACK_MS, Timing
from protocols.models import modbus as models
from protocols.models.modbus import ModbusModel
from protocols.reading import Exchange, How, Identity, Reading, Status, Value
from protocols.transports import exchange
from protocols.transports.block import Asked, Block, RegisterLine
from protocols.transports.rtu import RtuLine
from protocols.uplink import limits

Open = Callable[[], Awaitable[RegisterLine]]
MAX_PORT = 65_535


class BadAddress(ConfigurationError):  # noqa: N818 - named after what is wrong
    """The address of a bus has no usable port."""

    code = "PLB-C242"
    do = "correct the url of the bus: tcp://host:502"


class NoSerial(ConfigurationError):  # noqa: N818
    """A serial number is configured for a model that does not show one."""

    code = "PLB-C243"
    do = "leave the serial number out: this model cannot be checked against it"


class ModbusReader:
    """The reader of the Modbus meters behind one address, or on one line.

    The identity registers of a device are read at every visit: behind a converter, or on a line, a meter may be
    exchanged while it stays open. Over Modbus TCP every answer that fails to come closes the connection.

    Args:
        bus: the bus and its devices.
        clock: for stamps.
        open_line: connects, or raises LinkError.
        succession: says who answers; without it only the configured meters do.

    Raises:
        ConfigurationError: a model is not known, or does not have what is configured.
    """

    def __init__(
        self, bus: ModbusBus, clock: GatewayClock, open_line: Open, succession: Succession | None = None
    ) -> None:
        self._clock, self._open, self._succession = clock, open_line, succession
        self._meters = {device.name: Meter(device, models.load(device.model)) for device in bus.device}
        self._line: RegisterLine | None = None

    async def read(self, due: Due) -> list[Reading]:
        """The device's reading for the slot, in parts.

        Raises:
            LinkError: the line is gone.
            MeterError: no usable answer came, or from another meter.
        """
        meter = self._meters[due.device.name]
        found = await visited(await self._opened(), meter, self._times(), self._who)
        octets = b"".join(block.octets for block in found.blocks)  # only its hash is sealed
        first, last = found.blocks[0], found.blocks[-1]
        made = spanning(first, last, octets, self._clock.quality_since(first.mono_ms - first.round_trip_ms), keep=False)
        return readings(found.identity, meter.name, due.slot_ms, made, found.values)

    async def rows(self, device: str) -> list[Reading]:
        """Nothing: what a Modbus meter shows is all that it has."""
        return []

    def doubtful(self, device: str) -> Doubtful | None:
        """Nothing: a second read confirms no value here."""
        return None

    @asynccontextmanager
    async def received(self, device: str) -> AsyncIterator[ModbusHost]:
        """A meter for a command: what it answers is handed on, and not judged."""
        unit, line = self._meters[device].unit, await self._opened()
        yield ModbusHost(lambda table, address, count: line.read(unit, table, address, count, self._times()))

    def let_go(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _opened(self) -> RegisterLine:
        if self._line is None or self._line.closed:
            self._line = await self._open()
        return self._line

    async def _who(self, meter: Meter, found: Identity) -> None:
        """Whether it is who must answer."""
        expected = meter.expected
        if self._succession is not None:
            expected = await self._succession.expected(meter.name, found)
        values.check_identity(found, expected, meter.name)

    def _times(self) -> exchange.Clock:
        return exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)


Judge = Callable[["Meter", Identity], Awaitable[None]]  # raises AnotherMeter


class Meter:
    """A device as it is read: its model, the questions for its registers, what it must say it is.

    Raises:
        NoSerial: a serial number is configured, and the model does not show one.
    """

    def __init__(self, device: ModbusDevice, model: ModbusModel) -> None:
        if device.serial is not None and model.serial is None:
            raise NoSerial("a model with a serial number", model.name, device.name)
        self.name, self.unit, self.expected = device.name, device.unit, device.identity
        self.model = model
        self.spans = blocks.plan(model.registers, model.largest_block, model.largest_gap)


@dataclass(frozen=True, slots=True)
class Visited:
    """Who the device says it is, the answers with its registers (without those of its identity), and their values."""

    identity: Identity
    blocks: tuple[Block, ...]
    values: tuple[Value, ...]


async def visited(line: Asked, meter: Meter, times: exchange.Clock, judge: Judge | None = None) -> Visited:
    """Ask a device who it is, which `judge` decides at once (without it the caller does later), and for its registers.

    Raises:
        LinkError: the line is gone.
        MeterError: no usable answer came, or from another meter.
    """

    async def octets(register: Register | None) -> bytes | None:
        """Of an identity register, in a question of its own; None where the model has none."""
        if register is None:
            return None
        return (await line.read(meter.unit, register.table, register.address, register.words, times)).words

    model, code = meter.model, meter.model.code
    identity = values.identity(model, await octets(model.serial), await octets(code.register if code else None))
    if judge is not None:
        await judge(meter, identity)
    found: list[Block] = []
    shown: list[Value] = []
    for span in meter.spans:
        block = await _block(line, meter, span, times)
        found.append(block)
        shown += values.values(span, block.words, meter.unit)
    return Visited(identity, tuple(found), tuple(shown))


async def _block(line: Asked, meter: Meter, span: Span, times: exchange.Clock) -> Block:
    """One block; read until two answers agree where its counters may be torn."""
    block = await line.read(meter.unit, span.table, span.address, span.count, times)
    if not torn.may_be(span):
        return block
    wrong: Register | None = None
    for _ in range(torn.READS - 1):
        before, block = block, await line.read(meter.unit, span.table, span.address, span.count, times)
        wrong = torn.doubtful(span, before.words, block.words)
        if wrong is None:
            return block
    label = "a counter" if wrong is None else wrong.label
    got = f"{torn.READS} answers that contradict each other about {label}"
    raise TornValue("a counter that rises between two questions", got, meter.name)


def readings(identity: Identity, device: str, slot_ms: int, made: Exchange, shown: Sequence[Value]) -> list[Reading]:
    """The reading of one device, in parts of at most 64 values; the meter itself shows no time and no status."""
    parts = [tuple(shown[at : at + limits.REGISTERS]) for at in range(0, len(shown), limits.REGISTERS)]
    return [
        Reading(identity, device, None, How.READ, slot_ms, None, made, None, Status.NONE, part, number)
        for number, part in enumerate(parts)
    ]


def opening(bus: ModbusBus, lines: Lines) -> Open:
    """What opens the way of a bus: a connection with Modbus TCP, or a line with Modbus RTU.

    Raises:
        BadAddress: its url has no usable port.
    """
    return _on_line(bus, lines) if bus.rtu else _over_tcp(bus)


def _over_tcp(bus: ModbusBus) -> Open:
    host, port = _address(bus)

    async def open_line() -> RegisterLine:
        from protocols.transports.modbus import ModbusLine  # noqa: PLC0415 - imports pymodbus

        return await ModbusLine.open(host, port)

    return open_line


def _on_line(bus: ModbusBus, lines: Lines) -> Open:
    """What its units owe outlives the line."""
    if bus.url is not None:
        _address(bus)
    place, debts = Place.of(bus), Debts()

    async def open_line() -> RegisterLine:
        found = await opened(place, lines)
        slack_ms = SLACK_MS if place.remote is None else found.slack_ms
        return RtuLine(found.line, Timing(bus.baud, slack_ms, bus.answer_ms), debts)

    return open_line


def _address(bus: ModbusBus) -> tuple[str, int]:
    host, _, port = urlsplit(bus.url or "").netloc.rpartition(":")
    if not 1 <= int(port) <= MAX_PORT:
        raise BadAddress(f"a port from 1 to {MAX_PORT}", port, bus.name)
    return host, int(port)
