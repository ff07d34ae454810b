"""The fault proxy does to a line what it says, counts it, and is transparent without a fault."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest

from simulators.proxy.link import NO_FAULTS, FaultProxy, LinkFaults

SOON_S = 0.3  # nothing comes within this time
ANSWER_S = 10.0  # something must come within this time


class Echo:
    """A server that gives back what it gets, and remembers how many connections it had, and how many of them ended."""

    def __init__(self) -> None:
        self.connections = 0
        self.ends = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        self.ends += 1
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """A running one."""
    found = Echo()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    """A proxy before it."""
    found = FaultProxy(echo.port, random.Random(1))
    await found.start()
    yield found
    await found.stop()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(ANSWER_S):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.01)


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, proxy: FaultProxy) -> Client:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def asks(self, octets: bytes) -> bytes:
        """What comes back."""
        self.writer.write(octets)
        return await asyncio.wait_for(self.reader.readexactly(len(octets)), ANSWER_S)

    async def hears_nothing(self, octets: bytes) -> bool:
        """Whether nothing comes back, not even an end."""
        self.writer.write(octets)
        try:
            await asyncio.wait_for(self.reader.read(1), SOON_S)
        except TimeoutError:
            return True
        return False


async def test_without_a_fault_every_byte_passes_both_ways(proxy: FaultProxy) -> None:
    """And nothing is counted."""
    octets = random.Random(2).randbytes(1_000_000)
    assert await (await Client.to(proxy)).asks(octets) == octets
    assert not proxy.counts


async def test_a_refused_connection_is_refused_by_the_kernel_and_what_is_open_goes_on(proxy: FaultProxy) -> None:
    """ECONNREFUSED, as nobody listened."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(refuse=True)
    with pytest.raises(ConnectionRefusedError):
        await Client.to(proxy)
    assert await client.asks(b"still") == b"still"
    proxy.faults = NO_FAULTS
    assert await (await Client.to(proxy)).asks(b"again") == b"again"
    assert proxy.counts == {"refuse": 1}


async def test_the_port_stays_ours_while_it_is_refused(proxy: FaultProxy) -> None:
    """Nobody else can take it: a daemon must never talk to a stranger."""
    proxy.faults = LinkFaults(refuse=True)
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use") as raised:
            other.bind(("127.0.0.1", proxy.port))
        assert raised.value.errno == errno.EADDRINUSE


async def test_a_reset_is_a_reset_at_both_ends_and_does_not_close_the_door(proxy: FaultProxy) -> None:
    """ECONNRESET, not an orderly end."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(1), ANSWER_S)
    assert await (await Client.to(proxy)).asks(b"again") == b"again"
    assert proxy.counts == {"reset": 1}


async def test_a_black_hole_takes_everything_closes_nothing_and_gives_it_back(proxy: FaultProxy, echo: Echo) -> None:
    """What was open and what is opened meanwhile; the server hears of a new connection only afterwards."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(black_hole=True)
    late = await Client.to(proxy)
    assert await client.hears_nothing(b"into")
    assert await late.hears_nothing(b"hole")
    assert echo.connections == 1
    proxy.faults = NO_FAULTS
    assert await asyncio.wait_for(client.reader.readexactly(4), ANSWER_S) == b"into"
    assert await asyncio.wait_for(late.reader.readexactly(4), ANSWER_S) == b"hole"
    assert proxy.counts == {"black_hole": 2}


async def test_a_dripping_line_moves_so_many_bytes_a_second(proxy: FaultProxy) -> None:
    """Each way: 200 bytes at 1000 a second take at least 0.2 s."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(drip=1000)
    began = time.monotonic()
    octets = bytes(range(200))
    assert await client.asks(octets) == octets
    assert time.monotonic() - began >= 0.2  # a lower bound: a slow machine cannot break it
    assert proxy.counts["drip"] >= 2


async def test_a_delayed_line_is_late_and_complete(proxy: FaultProxy) -> None:
    """Both ways: 100 ms there and 100 ms back."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(delay_ms=100, jitter_ms=10)
    began = time.monotonic()
    assert await client.asks(b"late") == b"late"
    assert time.monotonic() - began >= 0.2
    assert proxy.counts == {"delay": 2}


async def test_a_flapping_line_goes_down_and_up_until_it_is_mended(proxy: FaultProxy) -> None:
    """Down it resets what is open and refuses what comes."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(flap_s=(0.05, 0.05))
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(1), ANSWER_S)
    await until(lambda: proxy.counts["flap"] >= 3)
    proxy.faults = NO_FAULTS
    assert await (await Client.to(proxy)).asks(b"steady") == b"steady"


async def test_a_server_that_is_not_there_is_a_reset(echo: Echo) -> None:
    """A broker that is down, behind a line that is not."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = FaultProxy(nobody.getsockname()[1], random.Random(1))
        await proxy.start()
        client = await Client.to(proxy)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(1), ANSWER_S)
        proxy.target_port = echo.port
        assert await (await Client.to(proxy)).asks(b"there") == b"there"
        await proxy.stop()


async def test_the_end_of_one_side_is_the_end_of_the_other(proxy: FaultProxy, echo: Echo) -> None:
    """What was written before the end arrives."""
    client = await Client.to(proxy)
    client.writer.write(b"last words")
    assert await asyncio.wait_for(client.reader.readexactly(10), ANSWER_S) == b"last words"
    client.writer.close()
    await client.writer.wait_closed()
    await until(lambda: echo.ends == 1)


async def test_an_end_does_not_pass_through_a_black_hole(proxy: FaultProxy, echo: Echo) -> None:
    """The server of a client that vanished behind a dead line hears nothing of it: a half-open connection."""
    client = await Client.to(proxy)
    await client.asks(b"open")
    proxy.faults = LinkFaults(black_hole=True)
    client.writer.transport.abort()
    await asyncio.sleep(SOON_S)
    assert echo.ends == 0
    proxy.faults = NO_FAULTS
    await until(lambda: echo.ends == 1)
