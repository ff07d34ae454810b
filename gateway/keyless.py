"""The daemon while a key cannot be read: it polls into quarantine and looks for the key, until it is there."""

from __future__ import annotations

import asyncio
import signal

import structlog

from gateway import enrol
from gateway.buffer import Buffer
from gateway.buses import pollers, slotted
from gateway.clock import GatewayClock
from gateway.config import Configuration
from gateway.enrol import Keys
from gateway.quarantine import Quarantine
from gateway.settled import Positions
from gateway.supervise import supervised
from gateway.surroundings import Surroundings
from gateway.writer import ThreadWriter
from protocols.transports.tasks import end
from protocols.uplink.faults import KeyFileError

LOOK_S = 5.0  # between looks for the key
STOP_S = 8.0  # for the polls in hand

log = structlog.get_logger("plomba.gateway")


async def read_meanwhile(
    configuration: Configuration, surroundings: Surroundings, buffer: Buffer, error: KeyFileError
) -> Keys | None:
    """Poll into quarantine until the keys can be read, or until SIGTERM (None)."""
    log.critical("no-key", error=str(error), readings="kept in quarantine, sealed later as unsealed, held from billing")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    known, writer = buffer.known(), ThreadWriter()
    clock = GatewayClock(surroundings.clock, known.signed_ms, known.sealed_ms)
    positions = Positions(known.rows)
    sink = Quarantine(buffer, writer, slotted(configuration), positions)
    polling = pollers(configuration, known.slots, positions, clock, sink, surroundings.lines, writer, clocks=False)
    tasks = [asyncio.create_task(supervised("poller", each.run)) for each in polling]
    found: Keys | None = None
    while found is None and not stop.is_set():
        try:
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        except TimeoutError:
            found = _keys(configuration)
    for each in polling:
        each.stop()
    await asyncio.wait(tasks, timeout=STOP_S)
    await end(tasks)
    await sink.round_over()
    writer.close()
    return found


def _keys(configuration: Configuration) -> Keys | None:
    try:
        return enrol.read_keys(configuration.keys_folder)
    except KeyFileError:
        return None
