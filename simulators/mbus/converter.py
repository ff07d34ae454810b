"""A bus behind a TCP converter: every byte is passed on, and one client at a time is served."""

from __future__ import annotations

import asyncio
from contextlib import suppress

HOST = "127.0.0.1"
READ_SIZE = 4096
GOING_S = 0.5  # a client that is gone may be seen to go this much after the next one came


class Converter:
    """A line as `line.serve` takes it. While a client is there and stays, every further one is closed."""

    def __init__(self) -> None:
        self.refused = 0
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._held = bytearray()
        self._some = asyncio.Event()
        self._free = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0: a free one."""
        self._server = await asyncio.start_server(self._serve, HOST, port)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("expected a converter that listens, got one that does not")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Its address, as a configuration has it."""
        return f"tcp://{HOST}:{self.port}"

    async def read(self, timeout_s: float) -> bytes:
        """What the master of the bus sends; empty after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._some.wait()
        except TimeoutError:
            return b""
        octets = bytes(self._held)
        self._held.clear()
        self._some.clear()
        return octets

    def write(self, octets: bytes) -> None:
        """To the client; where there is none it is lost."""
        self._say(octets)

    def _say(self, octets: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(octets)

    def drop(self) -> None:
        """The converter restarts: its client loses the connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def stop(self) -> None:
        """Let the client go and listen no more."""
        writer = self._writer
        self.drop()
        if writer is not None:
            with suppress(OSError):
                await writer.wait_closed()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _begin(self) -> None:
        """A client is there."""

    def _heard(self, octets: bytes) -> bytes:
        """What of the client's bytes is meant for the bus."""
        return octets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._left():
            self.refused += 1
            writer.close()
            return
        self._writer = writer
        self._free.clear()
        self._begin()
        try:
            while octets := await reader.read(READ_SIZE):
                if meant := self._heard(octets):
                    self._held += meant
                    self._some.set()
        except OSError:
            return
        finally:
            writer.close()
            if self._writer is writer:
                self._writer = None
                self._free.set()

    async def _left(self) -> bool:
        """Whether no client is there, or the one that is goes now."""
        if self._writer is None or self._writer.is_closing():
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(GOING_S):
                await self._free.wait()
        return self._writer is None
