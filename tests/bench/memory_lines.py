"""Lines to simulated meters in memory: the meters' own bytes, in one piece or several."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from virtual import ended
from world import World

from protocols.dlms.access import Framing
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.transports.serial import LineLost, PortMissing
from protocols.transports.tcp import ConnectionGone, ConnectionRefused
from simulators.dlms.meter import Meter
from simulators.mbus.bus import Bus

PAUSE_S = 0.003  # between two pieces of one answer: less than a character and the adapter's slack
THINKS_S = (0.02, 0.12)  # a meter, before it answers
IDLE_MS = 120_000  # after which a DLMS meter gives up a client that says nothing


class _Inbox:
    """What has arrived and was not read."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.gone = False
        self._some = asyncio.Event()

    def arrive(self, octets: bytes) -> None:
        self.held += octets
        self._some.set()

    def end(self) -> None:
        self.gone = True
        self._some.set()

    async def some(self, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                while not self.held and not self.gone:
                    self._some.clear()
                    await self._some.wait()
        except TimeoutError:
            return b""
        octets = bytes(self.held)
        self.held.clear()
        return octets


class SerialPort:
    """A port with an M-Bus line behind it; `pulled` while the converter is out."""

    def __init__(self, world: World, bus: Bus, dice: random.Random) -> None:
        self.world, self.bus, self.dice = world, bus, dice
        self.pulled = False

    def open(self, port: str, baud: int, mode: str) -> MemoryLine:
        """Open it, as the daemon does."""
        if self.pulled:
            raise PortMissing("a port", "none", port)
        return MemoryLine(self)


class MemoryLine:
    """An open serial port."""

    def __init__(self, port: SerialPort) -> None:
        self._port, self._inbox = port, _Inbox()

    def flush_input(self) -> None:
        """Forget what came."""
        self._inbox.held.clear()

    async def write(self, octets: bytes) -> None:
        """The question goes out; the answer comes when the meters have thought."""
        self._check()
        port = self._port
        answer = b"" if ended() else port.bus.hear(octets)
        if not answer:
            return
        wait_s = port.dice.uniform(*THINKS_S)
        cut = port.dice.randrange(len(answer) + 1) if port.dice.random() < 0.2 else 0
        if cut:
            port.world.after(wait_s - PAUSE_S, self._inbox.arrive, answer[:cut])
        port.world.after(wait_s, self._inbox.arrive, answer[cut:])

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come or comes first."""
        found = await self._inbox.some(timeout_s)
        self._check()
        return found

    def close(self) -> None:
        """What still comes belongs to nobody."""
        self._inbox = _Inbox()

    def _check(self) -> None:
        if self._port.pulled:
            raise LineLost("a line", "none", "port")


class Outlet:
    """A DLMS meter's TCP port; a client that vanished without a word holds it until the meter gives it up."""

    def __init__(self, world: World, meter: Meter, dice: random.Random) -> None:
        self.world, self.meter, self.dice = world, meter, dice
        self.frozen = self.silent = False
        self.drops = 0.0  # the share of answers in which the connection ends
        self.garbles = 0.0  # ... that a serial line behind a converter damages: of those that carry a checksum
        self._client: MemoryTcp | None = None
        self._heard_ms = 0

    async def open(self, host: str, port: int, timeout_s: float) -> MemoryTcp:
        """Connect, as the daemon does."""
        await asyncio.sleep(self.dice.uniform(*THINKS_S))
        if self._client is not None and self.world.now_ms() - self._heard_ms < IDLE_MS:
            raise ConnectionRefused("a connection", "refused: the meter has one", host)
        self._client = MemoryTcp(self, _half(self.meter))
        self._heard_ms = self.world.now_ms()
        return self._client

    def hear(self, client: MemoryTcp) -> bool:
        """Whether this client is still the one that is served."""
        self._heard_ms = self.world.now_ms()
        return client is self._client

    def left(self, client: MemoryTcp) -> None:
        """A client closed its connection."""
        if client is self._client:
            self._client = None

    def exchange(self, meter: Meter) -> Meter:
        """Put another meter here; the one that was here, whose connection is gone."""
        before, self.meter, self._client = self.meter, meter, None
        return before

    def through(self, answer: bytes) -> bytes:
        """What of an answer arrives."""
        if not answer or not self.garbles or self.meter.plate.framing is not Framing.HDLC:
            return answer
        if self.dice.random() >= self.garbles:
            return answer
        damaged = bytearray(answer)
        damaged[self.dice.randrange(len(damaged))] ^= 1 << self.dice.randrange(8)
        return bytes(damaged)


def _half(meter: Meter) -> WrapperServer | HdlcServer:
    """The meter's side of a connection."""
    plate = meter.plate
    server = Server(meter, (plate.access,), plate.max_pdu)
    if plate.framing is Framing.WRAPPER:
        return WrapperServer(server, plate.access.server)
    return HdlcServer(server, plate.access.server, None, plate.frame_size)


class MemoryTcp:
    """An open connection to a DLMS meter."""

    peer = "meter"

    def __init__(self, outlet: Outlet, half: WrapperServer | HdlcServer) -> None:
        self._outlet, self._half, self._inbox = outlet, half, _Inbox()

    def flush_input(self) -> None:
        """Forget what came."""
        self._inbox.held.clear()

    async def write(self, octets: bytes) -> None:
        """Ask; the answer is on its way unless the meter is frozen."""
        outlet = self._outlet
        if not outlet.hear(self):
            raise ConnectionGone("a connection", "closed by the meter", self.peer)
        if outlet.frozen or outlet.silent or ended():
            return
        answer = outlet.through(self._half.received(octets))
        if answer and outlet.drops and outlet.dice.random() < outlet.drops:
            answer = answer[: outlet.dice.randrange(len(answer))]
            outlet.left(self)
            outlet.world.after(2 * max(THINKS_S), self._inbox.end)
        if answer:
            outlet.world.after(outlet.dice.uniform(*THINKS_S), self._inbox.arrive, answer)

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come or comes first."""
        octets = await self._inbox.some(timeout_s)
        if not octets and self._inbox.gone:
            raise ConnectionGone("a connection", "closed by the meter", self.peer)
        return octets

    def close(self) -> None:
        """Let it go."""
        self._outlet.left(self)


Opened = Callable[[str, int, float], object]
