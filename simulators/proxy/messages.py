"""Faults of messages, between MQTT clients and their broker: repeat, deliver late, lose what was acknowledged.

TCP never repeats or reorders, so a relay of bytes cannot: this one ends the TLS of both sides - it holds the broker's
key towards the client and one client's towards the broker - and sees packets. It does what a broker may do with QoS 1
(MQTT 3.1.1, 4.3.2): a message may come twice, and nothing that the uplink relies on says in which order or whether. A
copy has a packet identifier of the proxy's own, counted down from the highest; its acknowledgement stays here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from simulators.proxy import packets
from simulators.proxy.packets import PacketError, Packets

CHUNK = 65_536  # bytes read at a time
HIGHEST_ID = 65_535  # 2.3.1


@dataclass(frozen=True, slots=True)
class MessageFaults:
    """Shares of the PUBLISH packets with QoS 1, each way, from 0 to 1; the default is nothing.

    `duplicate`: delivered, and once more within `late_s`. `late`: acknowledged at once, delivered within `late_s`, so
    that others overtake it. `swallow`: acknowledged, never delivered.
    """

    duplicate: float = 0.0
    late: float = 0.0
    swallow: float = 0.0
    late_s: float = 3.0


NO_FAULTS = MessageFaults()


@dataclass(frozen=True, slots=True)
class Ends:
    """With what the proxy proves itself: as the broker to the client, and as that client to the broker."""

    ca: Path
    broker_certificate: Path
    broker_key: Path
    client_certificate: Path
    client_key: Path
    broker_name: str = "localhost"

    def server(self) -> ssl.SSLContext:
        """Towards the client, who must have a certificate of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.broker_certificate, self.broker_key)
        return context

    def client(self) -> ssl.SSLContext:
        """Towards the broker."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca)
        context.load_cert_chain(self.client_certificate, self.client_key)
        return context


class MessageProxy:
    """Relays MQTT on a port of its own to the broker on `target_port`, both on loopback; `faults` may be set anytime.

    `counts` says what was done: "duplicate", "swallow", "late" and, of those, "reorder": overtaken by another message.

    Args:
        target_port: the broker's.
        random: draws which message and how late.
        ends: what TLS needs; None: neither side speaks TLS.
    """

    def __init__(self, target_port: int, random: random.Random, ends: Ends | None = None) -> None:
        self.target_port = target_port
        self.port = 0
        self.faults = NO_FAULTS
        self.counts: Counter[str] = Counter()
        self._random = random
        self._ends = ends
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen, on a port that is chosen free."""
        context = self._ends.server() if self._ends else None
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for each in tuple(self._conversations):
            each.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it or the broker goes."""
        context, name = (self._ends.client(), self._ends.broker_name) if self._ends else (None, None)
        try:
            there_reader, there = await asyncio.open_connection(
                "127.0.0.1", self.target_port, ssl=context, server_hostname=name
            )
        except OSError:
            writer.transport.abort()
            return
        upward, downward = _Way(self, there, writer), _Way(self, writer, there)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, upward, downward))
                both.create_task(_pump(there_reader, downward, upward))
        except* (_EndedError, OSError, PacketError):
            pass
        finally:
            for way in (upward, downward):
                way.close()

    def draw(self) -> str | None:
        """What happens to the next message; None: nothing."""
        faults = self.faults
        shares = (("duplicate", faults.duplicate), ("late", faults.late), ("swallow", faults.swallow))
        drawn = self._random.random()
        for name, share in shares:
            if drawn < share:
                return name
            drawn -= share
        return None

    def pause_s(self) -> float:
        """How late the next late one is."""
        return self._random.uniform(0, self.faults.late_s)


class _EndedError(Exception):
    """One side closed its connection."""


class _Way:
    """One direction of a conversation: messages to `there`, the proxy's own acknowledgements `back`."""

    def __init__(self, proxy: MessageProxy, there: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        self.there = there
        self._proxy, self._back = proxy, back
        self._mine: set[int] = set()
        self._next = HIGHEST_ID
        self._passed = 0
        self._timers: set[asyncio.TimerHandle] = set()

    def message(self, packet: bytes, number: int) -> None:
        """A PUBLISH with QoS 1 comes along."""
        fault = self._proxy.draw()
        if fault in ("late", "swallow"):
            self._back.write(packets.puback(number))
        if fault == "swallow":
            self._proxy.counts["swallow"] += 1
            return
        if fault is not None:
            delay_s, passed = self._proxy.pause_s(), self._passed
            timer = asyncio.get_running_loop().call_later(delay_s, self._send_copy, packet, fault, passed)
            self._timers.add(timer)
        if fault != "late":
            self._passed += 1
            self.there.write(packet)

    def is_mine(self, number: int) -> bool:
        """Whether an acknowledgement is for a copy, which it settles."""
        mine = number in self._mine
        self._mine.discard(number)
        return mine

    def close(self) -> None:
        """What is late now never comes."""
        for timer in self._timers:
            timer.cancel()
        self.there.close()

    def _send_copy(self, packet: bytes, fault: str, passed: int) -> None:
        self._proxy.counts[fault] += 1
        if fault == "late" and self._passed > passed:
            self._proxy.counts["reorder"] += 1
        self._passed += 1
        self._mine.add(self._next)
        self.there.write(packets.copy(packet, self._next))
        self._next = self._next - 1 if self._next > HIGHEST_ID // 2 else HIGHEST_ID


async def _pump(reader: asyncio.StreamReader, way: _Way, other: _Way) -> None:
    """One direction until its end; acknowledgements in it are for messages of the `other`."""
    cut = Packets()
    while octets := await reader.read(CHUNK):
        for packet in cut.feed(octets):
            number = packets.identifier(packet)
            if number is None:
                way.there.write(packet)
            elif packets.kind(packet) == packets.PUBLISH:
                way.message(packet, number)
            elif not other.is_mine(number):
                way.there.write(packet)
        with contextlib.suppress(ConnectionError):
            await way.there.drain()
    raise _EndedError
