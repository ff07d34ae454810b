"""A DLMS meter on a technician's desk: where it is, how it is entered, and associations with it for one command.

Nothing is sealed, stored or settled, but for the invocation counters of a ciphered meter: they are promised on the disk
before one is used, whoever asks. A meter that says it heard ours before is asked by its public client which it heard
last, and entered once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms_entrance import last_heard, public_of
from gateway.dlms_lines import way
from gateway.handed import Through
from gateway.handed_dlms import ThroughDesk
from gateway.lines import Lines, Opened, Place, opened
from protocols.dlms import objects
from protocols.dlms.access import Access, Auth
from protocols.dlms.breaches import CounterRefused
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, ServiceError, StreamEnded
from protocols.dlms.states import State
from protocols.errors import MeterError
from protocols.transports.dlms import Asking, Association
from protocols.transports.exchange import Clock

# A meter that closes the connection at once is mostly one that has not forgotten the last one yet: seconds until a
# further try, and 0 behind the last one.
PAUSES_S = (0.5, 1.5, 0.0)
LINKING = State.LINKING.name.lower()  # where a session fails before any login


@dataclass(frozen=True, slots=True)
class Asked:
    """Which meter a command means; `state` is the folder of the invocation counters.

    `name` is that of a configured meter, empty where the meter is named by options; `through`: a daemon reads it.
    """

    bus: DlmsBus
    device: DlmsDevice
    access: Access
    state: Path
    name: str = ""
    through: Through | None = None

    @property
    def place(self) -> Place:
        """Where the meter is: a port, or the address of a meter or converter."""
        url = (self.bus.url or "").replace("tcp+hdlc:", "tcp:")
        return Place(url or self.bus.port or "", self.bus.baud, self.bus.mode)

    @property
    def public(self) -> Access:
        """The way in of the meter's public client."""
        return public_of(self.access)


class Desk:
    """Associations with the meter that is meant, one after the other; `close` lets the line go."""

    def __init__(self, asked: Asked, lines: Lines) -> None:
        self.asked, self.lines = asked, lines
        self.clock = Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
        self._used = False
        self._store = CounterStore(asked.state, self.clock.utc_ms)
        self._way = way(asked.bus, lines.tcp, self._opened if asked.bus.on_line else None)

    @asynccontextmanager
    async def associated(self, access: Access | None = None) -> AsyncIterator[Association]:
        """An association, released in the end; as the meter is configured where nothing else is said.

        Raises:
            LinkError: the line cannot be opened, or is gone.
            MeterError: the meter refuses, or does not answer.
            CountersUnusable: the invocation counters cannot be kept.
        """
        wanted = access or self.asked.access
        async with AsyncExitStack() as stack:
            try:
                association = await stack.enter_async_context(self.once(wanted))
            except CounterRefused:
                if not await self.caught_up(wanted):
                    raise
                association = await stack.enter_async_context(self.once(wanted))
            yield association

    @asynccontextmanager
    async def once(self, access: Access) -> AsyncIterator[Association]:
        """As `associated`, without a second try for the sake of a counter."""
        security = access.security
        counters = None if security is None else await self._store.block(access.title, security.keys)
        await self._make_room()
        async with AsyncExitStack() as stack:
            for pause_s in PAUSES_S:
                entered = self._way.associated(self.asked.device, access, self.clock, counters)
                try:
                    association = await stack.enter_async_context(entered)
                    break
                except StreamEnded as error:
                    if not pause_s or not lets_no_secret_out(access, error):
                        raise
                    await asyncio.sleep(pause_s)
            yield association

    async def _make_room(self) -> None:
        """A meter that takes one connection at a time has to see the end of ours before it takes the next."""
        if self._used and not self.asked.bus.on_line:
            await asyncio.sleep(PAUSES_S[0])
        self._used = True

    async def caught_up(self, access: Access) -> bool:
        """Whether the public client says which of our counters the meter heard last: the next try begins above it."""
        if access.security is None:
            return False
        heard = await last_heard(self.once(self.asked.public), access.client)
        if heard is None:
            return False
        await self._store.raise_to(access.title, access.security.keys, heard)
        return True

    def close(self) -> None:
        """Let the line go."""
        self._way.let_go()

    async def _opened(self) -> Opened:
        return await opened(self.asked.place, self.lines)


def lets_no_secret_out(access: Access, error: MeterError) -> bool:
    """Whether an entry that failed so showed none: where one may have been refused it is never tried twice."""
    return (access.auth is Auth.NONE and access.security is None) or error.where == LINKING


def desk_of(asked: Asked, lines: Lines) -> Desk | ThroughDesk:
    """The meter that is meant: on our own line, or behind the daemon that reads it."""
    return Desk(asked, lines) if asked.through is None else ThroughDesk(asked.through)


async def names_of(association: Asking) -> tuple[str | None, str | None]:
    """The logical device name and the device number, each None where the meter does not say it.

    Raises:
        MeterError, LinkError: no usable answer.
    """
    name = objects.text_of((await association.get(objects.LOGICAL_DEVICE_NAME)).data)
    try:
        serial = objects.text_of((await association.get(objects.DEVICE_ID)).data)
    except (AccessRefused, ExceptionAnswer, ServiceError):
        serial = None
    return name, serial
