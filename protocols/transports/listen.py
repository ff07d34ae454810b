"""Listens on TCP and UDP for what DLMS meters send unasked; what is held for anybody is bounded.

A connection is served one APDU after the other: its sender waits while one is judged. Whoever begins a message and does
not end it, or says nothing for long, is closed; when all places are taken, the one that was silent longest gives way.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, Protocol

from protocols.dlms.arrival import Arrivals, Arrived, datagram
from protocols.dlms.faults import CutShort
from protocols.errors import MeterError, PlombaError
from protocols.transports.tasks import end

CONNECTIONS = 64  # at a time
OF_ONE_SOURCE = 8  # ... of them: a modem that lost its connection opens another before the first is given up
MESSAGE_S = 30.0  # from the first byte of a message to its last: 16 KB over the slowest modem take 14 s
IDLE_S = 300.0  # a connection without a word: some meters push every minute over one
READ_SIZE = 4_096
ANSWER_S = 10.0  # for a sender to take the answer
DATAGRAMS = 64  # in hand; more are not looked at
SHOWN = 1_024  # bytes of what was no message that are handed on


class Taker(Protocol):
    """Who judges what comes."""

    async def came(self, arrived: Arrived, origin: str) -> bytes | None:
        """The APDU that answers one from the address `origin`; None for none."""

    def admits(self, origin: str, size: int) -> bool:
        """Whether one more message of so many bytes (0: a connection) of this address is looked at."""

    def refused(self, error: PlombaError, octets: bytes, origin: str) -> None:
        """Bytes that were no message."""


class Listener:
    """Both ports; nothing is opened before `open`."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._talks: dict[asyncio.StreamWriter, _Talk] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def tcp_port(self) -> int:
        """Where TCP is listened on; 0 where it is not."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    @property
    def udp_port(self) -> int:
        """Where UDP is listened on; 0 where it is not."""
        return 0 if self._datagrams is None else int(self._datagrams.get_extra_info("sockname")[1])

    async def open(self, bind: str, tcp_port: int | None, udp_port: int | None) -> None:
        """Listen (0: a free port, None: not at all).

        Raises:
            OSError: a port cannot be had; neither is open then.
        """
        try:
            if tcp_port is not None:
                self._server = await asyncio.start_server(self._connected, bind, tcp_port, limit=READ_SIZE)
            if udp_port is not None:
                loop = asyncio.get_running_loop()
                self._datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._datagram), local_addr=(bind, udp_port)
                )
        except OSError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the ports and every connection."""
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        await end(tuple(self._tasks))
        for writer in list(self._talks):
            writer.close()
        self._server = self._datagrams = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        origin = address(writer.get_extra_info("peername"))
        task = asyncio.current_task()
        if task is None or not self._has_place(origin) or not self._taker.admits(origin, 0):
            writer.close()
            return
        self._tasks.add(task)
        talk = self._talks[writer] = _Talk(origin, time.monotonic())
        try:
            await self._talk(reader, writer, talk)
        except (ConnectionError, TimeoutError):
            pass  # gone, or silent for too long: nothing is left to answer
        finally:
            self._tasks.discard(task)
            self._talks.pop(writer, None)
            writer.close()

    def _has_place(self, origin: str) -> bool:
        """Whether there is one; of all places that are taken the one that was silent longest is given."""
        if sum(talk.origin == origin for talk in self._talks.values()) >= OF_ONE_SOURCE:
            return False
        if len(self._talks) >= CONNECTIONS:
            longest = min(self._talks, key=lambda writer: self._talks[writer].since_s)
            del self._talks[longest]
            longest.close()
        return True

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, talk: _Talk) -> None:
        arrivals = Arrivals()
        while octets := await self._heard(reader, arrivals, talk):
            talk.shown = (talk.shown + octets)[-SHOWN:]
            try:
                found = arrivals.feed(octets)
            except MeterError as error:
                self._taker.refused(error, talk.shown, talk.origin)
                return
            if found:
                talk.since_s, talk.shown = time.monotonic(), b""
            for each in found:
                if not self._taker.admits(talk.origin, len(each.apdu)):
                    return
                answer = await self._taker.came(each, talk.origin)
                if answer is not None:
                    writer.write(each.answer(answer))
                    async with asyncio.timeout(ANSWER_S):
                        await writer.drain()
        if arrivals.inside:
            short = CutShort("a whole message", f"{len(talk.shown)} bytes", "push")
            self._taker.refused(short, talk.shown, talk.origin)

    async def _heard(self, reader: asyncio.StreamReader, arrivals: Arrivals, talk: _Talk) -> bytes:
        """What comes next; nothing where the sender is gone or takes too long over a message."""
        if not arrivals.inside:
            talk.begun_s = None
        elif talk.begun_s is None:
            talk.begun_s = time.monotonic()
        left_s = IDLE_S if talk.begun_s is None else talk.begun_s + MESSAGE_S - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left_s)):
                return await reader.read(READ_SIZE)
        return b""

    def _datagram(self, octets: bytes, peer: tuple[Any, ...]) -> None:
        origin = address(peer)
        if len(self._tasks) >= CONNECTIONS + DATAGRAMS or not self._taker.admits(origin, len(octets)):
            return
        self._start(self._answered(octets, origin, peer))

    async def _answered(self, octets: bytes, origin: str, peer: tuple[Any, ...]) -> None:
        try:
            arrived = datagram(octets)
        except MeterError as error:
            self._taker.refused(error, octets[:SHOWN], origin)
            return
        answer = await self._taker.came(arrived, origin)
        if answer is not None and self._datagrams is not None:
            self._datagrams.sendto(arrived.answer(answer), peer)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Talk:
    """One connection: since when nothing whole came, and what came since then."""

    def __init__(self, origin: str, since_s: float) -> None:
        self.origin, self.since_s = origin, since_s
        self.begun_s: float | None = None  # when the message that has begun did
        self.shown = b""


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, came: Any) -> None:
        self._came = came

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._came(data, addr)


def address(peer: Any) -> str:
    """The address of a peer without port and scope; an IPv4 one as such, whatever socket it came by."""
    host = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
    return host.partition("%")[0].removeprefix("::ffff:")
