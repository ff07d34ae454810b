"""Keeps the parts of the daemon apart: one that waits or fails never takes the others with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway import enrol
from gateway.config import Configuration
from protocols.errors import PlombaError
from protocols.uplink.trust import Trust

ENROLMENT_S = 5.0  # between looks for the trust document that `accept` writes
RESTART_S = 10.0  # before a part that failed by a bug of ours is started again

log = structlog.get_logger("plomba.gateway")


async def supervised(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part; one that fails by a bug is reported and started again, and never takes the others with it."""
    while True:
        task = asyncio.ensure_future(part())
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        error = task.exception()
        if error is None:
            return
        log.critical("part-failed", part=name, error=repr(error), exc_info=error)
        await asyncio.sleep(RESTART_S)


async def trust_when_accepted(configuration: Configuration) -> Trust:
    """The trust document; a gateway that is not enrolled yet reads and keeps meanwhile."""
    told = False
    while True:
        try:
            return enrol.read_trust(configuration.keys_folder)
        except PlombaError as error:  # not enrolled yet, or a file that is not what was accepted
            if not told:
                log.warning("not-enrolled", error=str(error))
                told = True
        await asyncio.sleep(ENROLMENT_S)
