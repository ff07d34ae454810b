"""Reads Modbus meters behind one TCP address, and makes the readings that are sealed from the blocks of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from gateway.clock import GatewayClock
from gateway.config import ModbusBus, ModbusDevice
from gateway.doubtful import Doubtful
from gateway.exchanges import spanning
from gateway.schedule import Due
from gateway.succession import Succession
from protocols.errors import ConfigurationError
from protocols.modbus import blocks, values
from protocols.modbus.registers import Register
from protocols.models import modbus as models
from protocols.models.modbus import ModbusModel
from protocols.reading import Exchange, How, Identity, Reading, Status, Value
from protocols.transports import exchange
from protocols.transports.modbus import Block, ModbusLine
from protocols.uplink import limits

Open = Callable[[str, int], Awaitable[ModbusLine]]
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
    """The reader of the Modbus meters behind one address.

    The identity registers of a device are read at every visit: behind a converter a meter may be exchanged while the
    connection stays. Every answer that fails to come closes the line.

    Args:
        bus: the address and its devices.
        clock: for stamps.
        open_line: connects, or raises LinkError.
        succession: says who answers; without it only the configured meters do.

    Raises:
        ConfigurationError: a model is not known, or does not have what is configured.
    """

    def __init__(
        self,
        bus: ModbusBus,
        clock: GatewayClock,
        open_line: Open = ModbusLine.open,
        succession: Succession | None = None,
    ) -> None:
        self._clock, self._open, self._succession = clock, open_line, succession
        self._host, self._port = _address(bus)
        self._meters = {device.name: Meter(device, models.load(device.model)) for device in bus.device}
        self._line: ModbusLine | None = None

    async def read(self, due: Due) -> list[Reading]:
        """The device's reading for the slot, in parts.

        Raises:
            LinkError: the line is gone.
            MeterError: no usable answer came, or from another meter.
        """
        meter = self._meters[due.device.name]
        line = await self._opened()
        identity = await self._identity(line, meter)
        found: list[Block] = []
        shown: list[Value] = []
        for span in meter.spans:
            block = await line.read(meter.unit, span.table, span.address, span.count, self._times())
            found.append(block)
            shown += values.values(span, block.words, meter.unit)
        octets = b"".join(block.octets for block in found)  # only its hash is sealed
        quality = self._clock.quality_since(found[0].mono_ms - found[0].round_trip_ms)
        made = spanning(found[0], found[-1], octets, quality, keep=False)
        return readings(identity, meter.name, due.slot_ms, made, shown)

    async def rows(self, device: str) -> list[Reading]:
        """Nothing: what a Modbus meter shows is all that it has."""
        return []

    def doubtful(self, device: str) -> Doubtful | None:
        """Nothing: a second read confirms no value here."""
        return None

    def let_go(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    async def _opened(self) -> ModbusLine:
        if self._line is None or self._line.closed:
            self._line = await self._open(self._host, self._port)
        return self._line

    async def _identity(self, line: ModbusLine, meter: Meter) -> Identity:
        serial = await self._maybe_octets(line, meter, meter.model.serial)
        code = await self._maybe_octets(line, meter, meter.model.code.register if meter.model.code else None)
        found = values.identity(meter.model, serial, code)
        expected = meter.expected
        if self._succession is not None:
            expected = await self._succession.expected(meter.name, found)
        values.check_identity(found, expected, meter.name)
        return found

    async def _maybe_octets(self, line: ModbusLine, meter: Meter, register: Register | None) -> bytes | None:
        """The bytes of an identity register, in a question of its own; None where the model has none."""
        if register is None:
            return None
        block = await line.read(meter.unit, register.table, register.address, register.words, self._times())
        return block.words

    def _times(self) -> exchange.Clock:
        return exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)


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


def readings(identity: Identity, device: str, slot_ms: int, made: Exchange, shown: Sequence[Value]) -> list[Reading]:
    """The reading of one device, in parts of at most 64 values; the meter itself shows no time and no status."""
    parts = [tuple(shown[at : at + limits.REGISTERS]) for at in range(0, len(shown), limits.REGISTERS)]
    return [
        Reading(identity, device, None, How.READ, slot_ms, None, made, None, Status.NONE, part, number)
        for number, part in enumerate(parts)
    ]


def _address(bus: ModbusBus) -> tuple[str, int]:
    host, _, port = urlsplit(bus.url).netloc.rpartition(":")
    if not 1 <= int(port) <= MAX_PORT:
        raise BadAddress(f"a port from 1 to {MAX_PORT}", port, bus.name)
    return host, int(port)
