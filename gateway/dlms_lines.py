"""The ways to DLMS meters: a TCP connection for each visit, or a serial line that is kept, for one meter at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

from gateway.config import DlmsBus, DlmsDevice
from gateway.dlms_access import answer_ms, waits_of
from gateway.lines import Opened, OpenTcp
from protocols.dlms.access import Access, Framing
from protocols.dlms.counters import Counters
from protocols.dlms.opening import Opening
from protocols.dlms.timing import Timing
from protocols.transports.dlms import Association, associated, associated_on
from protocols.transports.exchange import Clock
from protocols.transports.optical import opened_in_mode_e

OpenLine = Callable[[], Awaitable[Opened]]


class Way(Protocol):
    """How the meters of a bus are reached; one association at a time."""

    def associated(
        self, device: DlmsDevice, access: Access, times: Clock, counters: Counters | None
    ) -> AbstractAsyncContextManager[Association]:
        """An association with one meter.

        Raises:
            LinkError: the way is not there.
            MeterError: the meter refuses, or does not answer.
        """

    def let_go(self) -> None:
        """Close what is open."""


class TcpWay:
    """Meters behind one TCP address."""

    def __init__(self, url: str, open_line: OpenTcp) -> None:
        split = urlsplit(url)
        self._host, self._port, self._open = split.hostname or "", split.port or 0, open_line
        self._framing = Framing.HDLC if split.scheme.endswith("hdlc") else Framing.WRAPPER

    def associated(
        self, device: DlmsDevice, access: Access, times: Clock, counters: Counters | None
    ) -> AbstractAsyncContextManager[Association]:
        """Over a connection of its own."""
        where, waits = (self._host, self._port, self._framing), waits_of(device)
        return associated(*where, access, times, open_line=self._open, counters=counters, waits=waits)

    def let_go(self) -> None:
        """Nothing is held between visits."""


class SerialWay:
    """Meters on one serial line, told apart by their HDLC addresses; the port stays ours until it is let go."""

    def __init__(self, bus: DlmsBus, open_line: OpenLine) -> None:
        self._bus, self._open = bus, open_line
        self._opened: Opened | None = None

    @asynccontextmanager
    async def associated(
        self, device: DlmsDevice, access: Access, times: Clock, counters: Counters | None
    ) -> AsyncIterator[Association]:
        """Over the line, with a link of its own."""
        if self._opened is None:
            self._opened = await self._open()
        baud: int = self._bus.baud
        if self._bus.opening == "mode-e":
            opening = Opening(device.opening_address, self._bus.baud)
            baud = (await opened_in_mode_e(self._opened.line, opening)).baud
        timing = Timing(baud, self._opened.slack_ms, answer_ms(self._bus, device), waits_of(device).pause_ms)
        async with associated_on(self._opened.line, access, times, timing, counters) as association:
            yield association

    def let_go(self) -> None:
        """Close the line."""
        if self._opened is not None:
            self._opened.line.close()
            self._opened = None


def way(bus: DlmsBus, open_tcp: OpenTcp, open_line: OpenLine | None) -> Way:
    """The way to a bus's meters; nothing is opened yet."""
    return TcpWay(bus.url or "", open_tcp) if open_line is None else SerialWay(bus, open_line)
