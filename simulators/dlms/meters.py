"""Two simulated electricity meters on loopback TCP: one behind the wrapper, one behind HDLC with a password.

With keys both also have clients that are ciphered, and a public one that reads their invocation counters.

A meter takes one association, so one connection at a time: a second one is closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from protocols.dlms.access import Framing
from protocols.dlms.association import AARQ, NO_REASON, REJECTED_FOR_NOW, AssociationResponse
from protocols.dlms.ciphering import Keys
from protocols.dlms.counters import Block
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.dlms.services import BlockSender
from simulators import record as records
from simulators.curve import QUARTER_MS
from simulators.dlms.books import LOGS, Event, code_of
from simulators.dlms.faults import Faults, Mood, Moods
from simulators.dlms.meter import Meter
from simulators.dlms.plates import Plate, plates
from simulators.record import Record

HOST = "127.0.0.1"
HISTORY_ROWS = 192  # two days
PAUSE_S = 0.5  # of the client, after which a frame behind a false start is looked for
IDLE_S = 120.0  # a client that says nothing for so long is gone: others may come
STOP_S = 2.0  # for a connection that is being served to end
READ_SIZE = 4096
COUNTERS_AHEAD = 1_000_000  # that another client with our title used
WINDOW = 4  # general blocks that are sent before the client says how many it takes


class BusyServer(Server):
    """A meter that has no time now: every association is rejected for now."""

    def answer(self, apdu: bytes, client: int) -> bytes:
        """As a server, but for the association."""
        if apdu[:1] == bytes((AARQ,)):
            return AssociationResponse(REJECTED_FOR_NOW, diagnostic=NO_REASON).to_bytes()
        return super().answer(apdu, client)


class Outlet:
    """One meter's port."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.frozen = False
        self.faults: Faults | None = None
        self.moods: Moods | None = None
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    async def start(self, port: int) -> None:
        """Listen on `port` (0: a free one)."""
        self._server = await asyncio.start_server(self._serve, HOST, port)

    async def stop(self) -> None:
        """Close the port and the connection."""
        if self._server is not None:
            self._server.close()
            if self._writer is not None:
                self._writer.close()
            if self._serving is not None:  # it hears the end of its connection
                await asyncio.wait({self._serving}, timeout=STOP_S)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._writer is None and not self.frozen:
                self._writer, self._serving = writer, asyncio.current_task()
                mood = None if self.moods is None else self.moods.draw()
                try:
                    if mood is not Mood.HALF_OPEN:
                        self._fall(mood)
                        await self._talk(reader, writer, mood)
                finally:
                    self._writer = self._serving = None
        except ConnectionError:
            pass  # the client is gone: nothing is left to answer
        finally:
            writer.close()

    def _fall(self, mood: Mood | None) -> None:
        """Into a mood that is one of the meter's counters."""
        vault = self.meter.vault
        if mood is Mood.COUNTER_REFUSED:
            heard = max(vault.seen.values(), default=0) + COUNTERS_AHEAD
            vault.seen.update({each.client: heard for each in self.meter.plate.secured if each.security is not None})
        elif mood is Mood.COUNTER_BACK:
            vault.counters = Block(1, 2**32)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mood: Mood | None) -> None:
        plate = self.meter.plate
        sender = BlockSender(plate.block_size, WINDOW, plate.framing is Framing.WRAPPER) if plate.block_size else None
        accesses = (*plate.secured, plate.access)
        kind, meter = BusyServer if mood is Mood.BUSY else Server, self.meter
        server = kind(meter, accesses, plate.max_pdu, meter.vault, meter, plate.offered, sender, meter)
        half = _half(plate, server)
        pauses = 0
        while not half.ended and pauses * PAUSE_S < IDLE_S:
            octets = await _heard(reader)
            if octets == b"" or self.frozen:
                return
            if octets is None:
                pauses += 1
                answer = half.silence() if isinstance(half, HdlcServer) else b""
            else:
                pauses = 0
                answer = half.received(octets)
            await self._say(writer, self.faults.answers(answer) if self.faults is not None and answer else answer)

    async def _say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        """Write an answer, with this meter's pause in its middle."""
        pause_ms, half = self.meter.plate.pause_ms, len(answer) // 2
        if pause_ms and answer:
            writer.write(answer[:half])
            await writer.drain()
            await asyncio.sleep(pause_ms / 1000)
            answer = answer[half:]
        writer.write(answer)
        await writer.drain()


class DlmsMeters:
    """The two meters; rows of the load profile that `record` has already are not written again."""

    def __init__(
        self,
        record: Record,
        utc_ms: Callable[[], int],
        seed: int = 0,
        *,
        password: bytes,
        keys: Keys | None = None,
        history_rows: int = HISTORY_ROWS,
        changed: Callable[[Plate], Plate] = lambda plate: plate,
    ) -> None:
        """`changed` says what of a plate is otherwise."""
        written, known = _written(record), _known(record)
        self._outlets: dict[Framing, Outlet] = {}
        now = utc_ms() // QUARTER_MS
        for plate in map(changed, plates(password, keys)):
            first, last = written.get(plate.serial, (now - history_rows + 1, None))
            self._outlets[plate.framing] = Outlet(
                Meter(plate, record, utc_ms, seed, first, last, known.get(plate.serial))
            )
        self._utc_ms = utc_ms

    @property
    def wrapper_port(self) -> int:
        """Where the wrapper meter listens."""
        return self._outlets[Framing.WRAPPER].port

    @property
    def hdlc_port(self) -> int:
        """Where the HDLC meter listens."""
        return self._outlets[Framing.HDLC].port

    @property
    def plates(self) -> tuple[Plate, ...]:
        """What the meters are."""
        return tuple(outlet.meter.plate for outlet in self._outlets.values())

    def outlet(self, framing: Framing) -> Outlet:
        """The port of the meter behind this framing."""
        return self._outlets[framing]

    @property
    def frozen(self) -> bool:
        """Whether the meters accept nothing and answer nothing."""
        return any(outlet.frozen for outlet in self._outlets.values())

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        for outlet in self._outlets.values():
            outlet.frozen = frozen

    async def start(self, wrapper_port: int = 0, hdlc_port: int = 0) -> None:
        """Write the rows that are due, then listen on both ports (0: a free one)."""
        for outlet in self._outlets.values():
            outlet.meter.write_rows(self._utc_ms())
        await self._outlets[Framing.WRAPPER].start(wrapper_port)
        await self._outlets[Framing.HDLC].start(hdlc_port)

    async def stop(self) -> None:
        """Close both ports and their connections."""
        for outlet in self._outlets.values():
            await outlet.stop()


def _half(plate: Plate, server: Server) -> WrapperServer | HdlcServer:
    access = plate.access
    if plate.framing is Framing.WRAPPER:
        return WrapperServer(server, access.server)
    return HdlcServer(server, access.server, access.physical, plate.frame_size, window=plate.window)


async def _heard(reader: asyncio.StreamReader) -> bytes | None:
    """What the client sent; None where it paused, empty where it is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PAUSE_S):
            return await reader.read(READ_SIZE)
    return None


def _written(record: Record) -> dict[str, tuple[int, int]]:
    """First and last quarter of each meter's rows in the record: what is between them is there too."""
    found: dict[str, tuple[int, int]] = {}
    for answered in records.read(record.path):
        if answered.kind == "row":
            quarter = answered.at_ms // QUARTER_MS
            first, last = found.get(answered.meter, (quarter, quarter))
            found[answered.meter] = min(first, quarter), max(last, quarter)
    return found


def _known(record: Record) -> dict[str, dict[bytes, list[Event]]]:
    """The events that the meters' logs have in the record, by meter and log."""
    names = {str(code_of(each)): each for each in LOGS}
    found: dict[str, dict[bytes, list[Event]]] = {}
    for answered in records.read(record.path):
        if answered.kind == "event":
            mine = found.setdefault(answered.meter, {})
            for key, number in answered.values.items():
                mine.setdefault(names[key], []).append((answered.at_ms, int(number["m"])))
    return found
