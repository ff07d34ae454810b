"""A TCP connection to a meter or a converter, with the shape of a serial line (see exchange.Line).

Keep-alive is on, so that a peer that vanished without a word is noticed; what was not read is held up to a limit, then
the peer has to wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket

from protocols.errors import LinkError

HELD_MAX = 256 * 1024  # bytes not read yet before the peer has to wait: four of the longest APDUs
WRITE_S = 5.0  # until a peer that takes nothing is given up
KEEP_ALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))  # noticed within a minute


class ConnectionRefused(LinkError):  # noqa: N818 - named after what happened
    """The host is there and nothing listens at the port."""

    code = "PLB-L210"
    do = "check the port; many meters take one connection at a time and refuse a second one"


class NoRoute(LinkError):  # noqa: N818
    """There is no way to the host."""

    code = "PLB-L211"
    do = "check the address, the network cable or modem, and the routes of this machine"


class ConnectTimeout(LinkError):  # noqa: N818
    """The host did not answer in time."""

    code = "PLB-L212"
    do = "check the address, and that the meter's modem is online and no firewall drops the connection"


class NameUnknown(LinkError):  # noqa: N818
    """The host's name has no address."""

    code = "PLB-L213"
    do = "check the spelling of the host, and the name server of this machine"


class ConnectionGone(LinkError):  # noqa: N818
    """The connection was there and the other side closed it, or it broke."""

    code = "PLB-L214"
    do = "the connection is made again at the next read; if it stays so another program holds the meter"


class ConnectionStuck(LinkError):  # noqa: N818
    """The other side takes no more bytes."""

    code = "PLB-L215"
    do = "restart the meter's modem or the converter"


class _Inbox(asyncio.Protocol):
    """What came and was not read; one reader."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.some = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone: str | None = None  # why, once the connection is gone
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.held += data
        self.some.set()
        if len(self.held) > HELD_MAX and self.transport is not None:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = str(exc) if exc else "the other side closed it"
        self.some.set()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def take(self) -> bytes:
        octets = bytes(self.held)
        self.held.clear()
        if self.gone is None:
            self.some.clear()
            if self.transport is not None and not self.transport.is_reading() and not self.transport.is_closing():
                self.transport.resume_reading()
        return octets


class TcpLine:
    """An open connection; use `TcpLine.open`."""

    def __init__(self, transport: asyncio.Transport, inbox: _Inbox, peer: str) -> None:
        self._transport, self._inbox = transport, inbox
        self.peer = peer

    @classmethod
    async def open(cls, host: str, port: int, timeout_s: float = 5.0) -> TcpLine:
        """Connect to `host` within `timeout_s`.

        Raises:
            ConnectionRefused: nothing listens there.
            NoRoute: there is no way there.
            ConnectTimeout: nothing answered in time.
            NameUnknown: the name has no address.
        """
        peer = f"{host}:{port}"
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                transport, inbox = await loop.create_connection(_Inbox, host, port)
        except TimeoutError as error:
            raise ConnectTimeout(f"a connection within {timeout_s:g} s", "no answer", peer) from error
        except OSError as error:
            raise failure(error, peer) from error
        _keep_alive(transport.get_extra_info("socket"))
        return cls(transport, inbox, peer)

    def flush_input(self) -> None:
        """Forget what has come and was not read."""
        self._inbox.take()

    async def write(self, octets: bytes) -> None:
        """Hand over `octets`, all of them.

        Raises:
            ConnectionGone: the connection is gone.
            ConnectionStuck: the other side takes nothing.
        """
        self._check()
        self._transport.write(octets)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._inbox.writable.wait()
        except TimeoutError as error:
            raise ConnectionStuck(f"{len(octets)} bytes taken within {WRITE_S:g} s", "not all", self.peer) from error

    async def read_some(self, timeout_s: float) -> bytes:
        """What has come, or comes first within `timeout_s`; empty where nothing comes.

        Raises:
            ConnectionGone: the connection is gone, and everything that came is read.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._inbox.some.wait()
        except TimeoutError:
            return b""
        octets = self._inbox.take()
        if not octets:
            self._check()
        return octets

    def close(self) -> None:
        """Close the connection; closing twice does no harm."""
        self._transport.close()

    def _check(self) -> None:
        if self._inbox.gone is not None or self._transport.is_closing():
            raise ConnectionGone("an open connection", self._inbox.gone or "a closed one", self.peer)


def failure(error: OSError, peer: str) -> LinkError:
    """Why there is no connection, by the error of who tried."""
    if isinstance(error, TimeoutError):
        return ConnectTimeout("a connection", "no answer in time", peer)
    if isinstance(error, socket.gaierror):
        return NameUnknown("a host with an address", error.strerror or str(error), peer)
    # Where a name has several addresses asyncio tells all their errors in one text.
    if isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return ConnectionRefused("a listening port", "refused", peer)
    return NoRoute("a way to the host", error.strerror or str(error), peer)


def _keep_alive(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a connection that is gone already says so at the first read
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
