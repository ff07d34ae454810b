"""Into DLMS meters and out again: one association at a time, with counters that are durable before they are used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from gateway.clock import GatewayClock
from gateway.config import DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.dlms_access import access_of
from gateway.dlms_lines import OpenLine, way
from gateway.faults import CountersUnusable
from gateway.lines import OpenTcp
from protocols.dlms import data as axdr
from protocols.dlms import objects
from protocols.dlms.access import Access
from protocols.dlms.breaches import CounterRefused, CounterWentBack, MeterNotProven
from protocols.dlms.counters import Counters
from protocols.dlms.faults import PasswordRefused
from protocols.dlms.objects import Attribute
from protocols.errors import LinkError, MeterError
from protocols.transports import exchange
from protocols.transports.dlms import Association
from protocols.transports.tcp import TcpLine

PUBLIC = 16  # the client that may read the invocation counters of others (0-0:43.1.x)
# Nobody seals the public client's answer: one beyond this would use up what is left of the numbers.
MOST_HEARD = 0xF000_0000
LOCKOUT_MS = 1_200_000  # a refused password is not tried again for so long: three times an hour locks no meter
# How a meter was entered when it refused, until when that is not tried again, and why.
Refusal = tuple[Access, int, PasswordRefused | MeterNotProven]


class Entrance:
    """The way into the meters of one bus."""

    def __init__(
        self,
        bus: DlmsBus,
        clock: GatewayClock,
        open_line: OpenTcp = TcpLine.open,
        counters: CounterStore | None = None,
        *,
        open_serial: OpenLine | None = None,
    ) -> None:
        self._clock, self._counters = clock, counters
        self._way = way(bus, open_line, open_serial)
        self._refused: dict[str, Refusal] = {}

    def let_go(self) -> None:
        """Close the line, where there is one: nothing else is held between visits."""
        self._way.let_go()

    @asynccontextmanager
    async def associated(self, device: DlmsDevice, acts: bool = False) -> AsyncIterator[Association]:
        """An association, in which the meter does something where it `acts`.

        A secret that was refused is tried again when it is another, or after a while.

        Raises:
            PasswordRefused, MeterNotProven: it was, now or not long ago: meters lock a client that tries too often.
            CounterWentBack: the meter's invocation counter is lower than before.
        """
        access = access_of(device)
        refused = self._refused.get(device.name)
        if refused is not None and refused[0] == access and self._clock.mono_ms() < refused[1]:
            raise refused[2]
        counters = await self._block(access)
        try:
            async with self._opened(device, replace(access, acts=acts), counters) as association:
                await self._check_counter(device, access, association)
                self._refused.pop(device.name, None)
                yield association
                await self._keep_counter(device, access, association)
        except CounterRefused as error:
            if not await self._caught_up(device, access):
                self._refused[device.name] = (access, self._clock.mono_ms() + LOCKOUT_MS, error)
            raise
        except (PasswordRefused, MeterNotProven) as error:
            self._refused[device.name] = (access, self._clock.mono_ms() + LOCKOUT_MS, error)
            raise

    def _opened(
        self, device: DlmsDevice, access: Access, counters: Counters | None
    ) -> AbstractAsyncContextManager[Association]:
        times = exchange.Clock(self._clock.utc_ms, self._clock.mono_ms)
        return self._way.associated(device, access, times, counters)

    async def _block(self, access: Access) -> Counters | None:
        """Counters that are ours alone; None where none are needed."""
        if access.security is None:
            return None
        return await self._store().block(access.title, access.security.keys)

    def _store(self) -> CounterStore:
        if self._counters is None:
            raise CountersUnusable("a state folder for invocation counters", "none", "this command")
        return self._counters

    async def _check_counter(self, device: DlmsDevice, access: Access, association: Association) -> None:
        """A counter that went down is told once, where the meter has proven who it is; else it is refused for good."""
        came = association.counter_seen
        if access.security is None or came is None:
            return
        before = await self._store().seen(device.name, access.security.keys)
        if before is None or came > before:
            return
        if access.auth.is_high:
            await self._store().saw(device.name, access.security.keys, came)
        raise CounterWentBack(f"an invocation counter above {before}", str(came), device.name)

    async def _keep_counter(self, device: DlmsDevice, access: Access, association: Association) -> None:
        if access.security is not None and association.counter_seen is not None:
            await self._store().saw(device.name, access.security.keys, association.counter_seen)

    async def _caught_up(self, device: DlmsDevice, access: Access) -> bool:
        """Whether the public client says which counter the meter heard last: the next visit begins above it."""
        if access.security is None:
            return False
        heard = await last_heard(self._opened(device, public_of(access), None), access.client)
        if heard is None:
            return False
        await self._store().raise_to(access.title, access.security.keys, heard)
        return True


def public_of(access: Access) -> Access:
    """The way in of the public client of the meter that is entered so."""
    address = access.server, access.physical
    return Access(PUBLIC, *address, address_bytes=access.address_bytes, ways=access.ways)


async def last_heard(public: AbstractAsyncContextManager[Association], client: int) -> int | None:
    """The highest invocation counter that the meter heard of a client, as its `public` client says.

    None where it does not say, or says one that would use up what is left of the numbers.
    """
    try:
        async with public as association:
            heard = await counter_heard(association, client)
    except (MeterError, LinkError):
        return None
    return heard if 0 <= heard <= MOST_HEARD else None


async def counter_heard(association: Association, client: int) -> int:
    """The highest invocation counter that the meter says it heard of a client.

    Raises:
        MeterError, LinkError: it does not say.
    """
    name = bytes((0, 0, 43, 1, client & 0xFF, 255))
    found = await association.get(Attribute(objects.DATA, name, objects.VALUE))
    return axdr.whole(found.data, "invocation counter")
