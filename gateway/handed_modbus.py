"""Blocks of registers of a Modbus meter, as the daemon hands them on to a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.handed import Through
from protocols.errors import PlombaError
from protocols.modbus import adu
from protocols.modbus.faults import RefusedError
from protocols.modbus.registers import ADDRESSES, FUNCTIONS, MAX_COUNT, Table
from protocols.transports.block import Block
from protocols.transports.exchange import Clock
from protocols.uplink.pack import Fields, Wire

TABLES: tuple[Table, ...] = tuple(FUNCTIONS)  # in a question: their place here


class ModbusHost:
    """A meter of the daemon's; the question is table, address and count."""

    def __init__(self, read: Callable[[Table, int, int], Awaitable[Block]]) -> None:
        self._read = read

    async def answer(self, question: list[Wire]) -> Wire:
        """The block.

        Raises:
            LinkError, MeterError: no usable answer came.
            FieldError: it is no question.
        """
        fields = Fields(question, "question", 3)
        table = fields.integer("table", 0, len(TABLES) - 1)
        address, count = fields.integer("address", 0, ADDRESSES - 1), fields.integer("count", 1, MAX_COUNT)
        found = await self._read(TABLES[table], address, count)
        return [found.octets, found.words, found.at_ms, found.mono_ms, found.round_trip_ms]

    def survives(self, error: PlombaError) -> bool:
        """A refusal leaves the line as it was."""
        return isinstance(error, RefusedError)


class ThroughLine:
    """Registers that the daemon reads; the unit is that of its configuration."""

    def __init__(self, through: Through) -> None:
        self._through = through

    async def read(self, unit: int, table: Table, address: int, count: int, clock: Clock) -> Block:
        """As `Asked.read`.

        Raises:
            PlombaError: what the daemon met, or that it does not answer.
        """
        fields = Fields(self._through.ask(TABLES.index(table), address, count), "block", 5)
        octets, words = fields.octets("octets", limit=adu.MAX_FRAME), fields.octets("words", limit=adu.MAX_FRAME)
        return Block(octets, words, *(fields.integer(name) for name in ("at", "mono", "round trip")))
