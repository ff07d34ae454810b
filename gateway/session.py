"""For commands that seal something: the daemon's local socket, or, where none runs, its work for a moment.

Without the daemon the state folder is the command's own until it ends: the buffer is open, and what is sealed is of one
new epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from gateway import enrol, local
from gateway.buses import Shared
from gateway.clock import GatewayClock
from gateway.config import Configuration, configuration_content
from gateway.core import core_of_this_program
from gateway.exchanging import Exchanging
from gateway.lock import FolderLock
from gateway.owners import daemon_of
from gateway.salvage import declared
from gateway.seal import Seal, Sealer
from gateway.settled import Positions
from gateway.start import Opened, open_all
from gateway.surroundings import Surroundings, machine
from gateway.writer import InlineWriter
from protocols.reading import Reading
from protocols.uplink.pack import Wire

Say = Callable[..., Wire]


@contextmanager
def session(configuration: Configuration, why: str) -> Iterator[Say]:
    """How the verbs of `Exchanging` are reached: `say(verb, *arguments)`; `why` an epoch began, for its record.

    Raises:
        PlombaError: the daemon says no, or the buffer cannot be opened.
    """
    folder = configuration.state_folder
    if daemon_of(folder):
        yield lambda verb, *arguments: local.ask(folder, verb, *arguments)
        return
    enrol.read_keys(configuration.keys_folder)  # without them nothing can be sealed
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    with closing(FolderLock(folder)), asyncio.Runner() as runner:
        opened = runner.run(open_all(configuration, machine()))
        if opened is None:
            raise KeyboardInterrupt  # SIGTERM came while a key could not be read
        with closing(opened.buffer):
            sealer, verbs = _working(configuration, machine(), opened, why)
            try:
                yield lambda verb, *arguments: runner.run(_said(verbs[verb](list(arguments))))
            finally:
                runner.run(sealer.flush())


async def _said(answer: Awaitable[Wire]) -> Wire:
    return await answer


def _working(
    configuration: Configuration, surroundings: Surroundings, opened: Opened, why: str
) -> tuple[Sealer, Mapping[str, local.Verb]]:
    """A sealer in a new epoch, and the verbs over it."""
    known, writer = opened.known, InlineWriter()
    clock = GatewayClock(surroundings.clock, known.signed_ms, known.sealed_ms)
    seal = Seal(
        configuration.gateway, opened.keys.sealing, core_of_this_program(), configuration_content(configuration)
    )
    positions = Positions(known.rows)
    sealer = Sealer(seal, clock, opened.buffer, writer, opened.chain, known.head, {}, positions, surroundings.random)
    sealer.begin_epoch(why if opened.salvaged is None else "buffer damaged")
    for code, count, aside in opened.told:
        sealer.note_event(code, count, aside)
    for lost in declared(known.gaps, clock.when()):
        sealer.note(lost)
    shared = Shared.of(configuration, writer)
    return sealer, Exchanging(configuration, clock, sealer, shared, _freely, surroundings.lines).verbs()


async def _freely(bus: str, work: Callable[[], Awaitable[list[Reading]]]) -> list[Reading]:
    """Nobody else has the line."""
    return await work()
