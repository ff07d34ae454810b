"""Faults of a line, between any client and any server of TCP: refuse, reset, black hole, drip, delay, flap.

Bytes are relayed as they are: TLS passes through unseen, and nothing is ever altered, repeated or left out, for TCP
does not do that to those who use it. What repeats and reorders messages is `simulators.proxy.messages`. When one side
ends, both do.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass

CHUNK = 65_536  # bytes relayed at a time
DRIPS_PER_S = 10  # a slow line moves its bytes in so many portions a second, as long as each has a byte
BACKLOG = 64  # connections that wait to be accepted
HALF = 0.5  # of a period of a flapping line: the share by which it differs, both ways
LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends RST instead of FIN


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """What is wrong with the line now; the default is nothing.

    `refuse`: nobody listens (the kernel answers RST to a SYN); what is open goes on. `black_hole`: connections are
    taken and stay, no byte passes either way, nothing is closed; what waited passes when it ends. `drip`: bytes per
    second, each way (0: as fast as it goes). `delay_ms` and up to `jitter_ms` more: each piece waits so long, and what
    comes meanwhile waits behind it. `flap_s`: (up, down) in seconds, each varied by half; down is refused and reset.
    """

    refuse: bool = False
    black_hole: bool = False
    drip: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    flap_s: tuple[float, float] | None = None


NO_FAULTS = LinkFaults()


class FaultProxy:
    """Relays connections on a port of its own to `target_host:target_port`, with the faults set at the moment.

    `counts` says what was done: times the door was closed ("refuse"), connections reset ("reset"), connections and
    pieces held up ("black_hole"), pieces slowed ("drip", "delay"), times a flapping line went down ("flap").

    Args:
        target_port: where connections go; may be changed while the proxy runs.
        random: draws jitter and the periods of a flapping line.
        target_host: the other half of where.
        host: the address to listen on; the port is chosen free, and stays ours while connections are refused.
    """

    def __init__(
        self, target_port: int, random: random.Random, *, target_host: str = "127.0.0.1", host: str = "127.0.0.1"
    ) -> None:
        self.target_host, self.target_port = target_host, target_port
        self.host, self.port = host, 0
        self.counts: Counter[str] = Counter()
        self._random = random
        self._faults = NO_FAULTS
        self._passing = asyncio.Event()
        self._passing.set()
        self._reserved: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._flapper: asyncio.Task[None] | None = None

    @property
    def faults(self) -> LinkFaults:
        """What is wrong with the line now; setting it acts at once."""
        return self._faults

    @faults.setter
    def faults(self, wanted: LinkFaults) -> None:
        before, self._faults = self._faults, wanted
        if wanted.black_hole:
            self._passing.clear()
        else:
            self._passing.set()
        if wanted.flap_s != before.flap_s:
            self._flap(wanted.flap_s)
        if wanted.refuse and not before.refuse:
            self.counts["refuse"] += 1
        if wanted.flap_s is None:
            self._set_door(not wanted.refuse)

    async def start(self) -> None:
        """Begin to listen."""
        self._reserved = _bound(self.host, 0)
        self.port = self._reserved.getsockname()[1]
        self._set_door(not self._faults.refuse)

    async def stop(self) -> None:
        """Close everything."""
        self._flap(None)
        self._set_door(False)
        for relay in tuple(self._relays):
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def reset(self) -> int:
        """Answer RST on everything that is open, both ways, now; how many connections that were."""
        found = len(self._relays)
        for relay in tuple(self._relays):
            relay.cancel()
        for writer in self._open:
            _abort(writer)
        self._open.clear()
        self.counts["reset"] += found
        return found

    def _set_door(self, is_open: bool) -> None:
        """Listen, or do not: a port that is bound and not listened on is refused by the kernel, and stays ours."""
        loop = asyncio.get_running_loop()
        if is_open and self._listener is None and self._reserved is not None:
            self._listener = _bound(self.host, self.port)
            self._listener.listen(BACKLOG)
            loop.add_reader(self._listener, self._accept, self._listener)
        elif not is_open and self._listener is not None:
            loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client went away before it was accepted
            connection, _ = listener.accept()
            connection.setblocking(False)
            relay = asyncio.get_running_loop().create_task(self._serve(connection))
            self._relays.add(relay)
            relay.add_done_callback(self._relays.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """One connection, from its acceptance to its end."""
        here_reader, here = await asyncio.open_connection(sock=connection)
        self._open.add(here)
        writers = {here}
        try:
            await self._hold()
            there_reader, there = await asyncio.open_connection(self.target_host, self.target_port)
            writers.add(there)
            self._open.add(there)
            pumps = {
                asyncio.create_task(self._pump(here_reader, there)),
                asyncio.create_task(self._pump(there_reader, here)),
            }
            await _first_of(pumps)
            await self._passing.wait()  # an end does not pass through a black hole either
        except OSError:
            await self._passing.wait()
            for writer in writers:
                _abort(writer)
        finally:
            self._open -= writers
            for writer in writers:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(self._portion()):
            await self._delay(len(chunk))
            await self._hold()
            writer.write(chunk)
            await writer.drain()

    def _portion(self) -> int:
        rate = self._faults.drip
        return CHUNK if not rate else max(1, int(rate / DRIPS_PER_S))

    async def _delay(self, length: int) -> None:
        faults = self._faults
        wait_s = (faults.delay_ms + self._random.uniform(0, faults.jitter_ms)) / 1000
        if wait_s:
            self.counts["delay"] += 1
        if faults.drip:
            self.counts["drip"] += 1
            wait_s += length / faults.drip
        if wait_s:
            await asyncio.sleep(wait_s)

    async def _hold(self) -> None:
        if not self._passing.is_set():
            self.counts["black_hole"] += 1
            await self._passing.wait()

    def _flap(self, periods: tuple[float, float] | None) -> None:
        if self._flapper is not None:
            self._flapper.cancel()
            self._flapper = None
        if periods is not None:
            self._flapper = asyncio.get_running_loop().create_task(self._keep_flapping(*periods))

    async def _keep_flapping(self, up_s: float, down_s: float) -> None:
        while True:
            self._set_door(False)
            self.reset()
            self.counts["flap"] += 1
            await asyncio.sleep(down_s * self._random.uniform(1 - HALF, 1 + HALF))
            self._set_door(not self._faults.refuse)
            await asyncio.sleep(up_s * self._random.uniform(1 - HALF, 1 + HALF))


async def _first_of(pumps: set[asyncio.Task[None]]) -> None:
    """Wait until one direction has ended, and end the other; an error of the line is raised."""
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
    for pump in done:
        pump.result()


def _bound(host: str, port: int) -> socket.socket:
    """A socket on a port; two of ours may share it, of which one listens at most."""
    found = socket.socket()
    found.setblocking(False)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((host, port))
    return found


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    plain = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()
