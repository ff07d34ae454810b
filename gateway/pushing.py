"""The part of the daemon that takes pushes: opens the ports, and tries again where they cannot be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway import events
from gateway.acquaint import Acquaintance
from gateway.clock import GatewayClock
from gateway.config import Configuration, DlmsBus, DlmsDevice
from gateway.counters import CounterStore
from gateway.faults import WriteFailed
from gateway.push import Pushes, Sink
from gateway.push_faults import ListenFailed
from gateway.pushstore import PushStore, Remembered
from gateway.writer import Writer
from protocols.transports.listen import Listener

AGAIN_S = 10.0  # between two tries to open a port

log = structlog.get_logger("plomba.gateway")


def pushing_meters(configuration: Configuration) -> tuple[DlmsDevice, ...]:
    """The meters that may push."""
    buses = (bus for bus in configuration.bus if isinstance(bus, DlmsBus))
    return tuple(device for bus in buses for device in bus.device if device.push)


class Pushing:
    """Listens while it runs; nothing is opened before."""

    def __init__(
        self,
        configuration: Configuration,
        clock: GatewayClock,
        sink: Sink,
        writer: Writer,
        counters: Callable[[GatewayClock], CounterStore],
    ) -> None:
        self._configuration, self._clock, self._sink = configuration, clock, sink
        self._store, self._remembered, self._counters = (
            PushStore(configuration.state_folder, writer),
            Remembered(),
            counters,
        )
        self._pushes: Pushes | None = None
        self.acquaint = Acquaintance(self._store, self._remembered).meet

    async def run(self) -> None:
        """Until it is cancelled."""
        push = self._configuration.push
        if push is None:
            return
        devices = pushing_meters(self._configuration)
        await self._remember()
        pushes = self._pushes = Pushes(
            devices,
            self._clock,
            self._sink,
            self._store,
            self._remembered,
            self._counters(self._clock),
            push.meter_kib_per_hour * 1024,
        )
        listener = Listener(pushes)
        try:
            await self._open(listener)
            await pushes.run()
        finally:
            await listener.close()

    async def settle(self) -> None:
        """Hand on what is in hand: the daemon ends."""
        if self._pushes is not None:
            await self._pushes.settle()

    async def _remember(self) -> None:
        """What a process before us knew; a file that cannot be read is told, and nothing is known then."""
        try:
            found = await self._store.remembered()
        except WriteFailed as error:
            log.error(events.WRITE_FAILED, error=str(error))
            return
        self._remembered.meters.update({**found.meters, **self._remembered.meters})
        self._remembered.seen.update(found.seen)
        self._remembered.recent.update(found.recent)

    async def _open(self, listener: Listener) -> None:
        push, told = self._configuration.push, False
        while push is not None:
            try:
                await listener.open(push.bind, push.port if push.tcp else None, push.port if push.udp else None)
            except OSError as error:
                if not told:
                    failed = ListenFailed(
                        "a port to listen on", error.strerror or str(error), f"{push.bind}:{push.port}"
                    )
                    log.error(events.LISTEN_FAILED, error=str(failed))
                    told = True
                await asyncio.sleep(AGAIN_S)
                continue
            log.info(events.LISTENING, bind=push.bind, port=push.port, tcp=push.tcp, udp=push.udp)
            return
