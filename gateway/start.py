"""A start: keys, the buffer (salvaged where it is damaged), and what waited in quarantine, before parts are wired."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway import enrol, events, wal
from gateway.buffer import Buffer, Known
from gateway.chain import Chain
from gateway.clock import GatewayClock
from gateway.config import Configuration, configuration_content
from gateway.core import core_of_this_program
from gateway.keyless import read_meanwhile
from gateway.quarantine import seal_quarantined
from gateway.salvage import Salvaged, maybe_open, open_or_salvage
from gateway.schema import BUFFER_FILE
from gateway.seal import Seal
from gateway.surroundings import Surroundings
from protocols.uplink.faults import KeyFileError

LOG_ASIDE = f"{BUFFER_FILE}.log-damaged"  # the last such log; it is small
LOOK_AGAIN_S = 1.0  # a disk that failed to read for a moment is not a damaged file

log = structlog.get_logger("plomba.gateway")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a start finds in the state folder.

    `left_out`: commits in the log behind a rotten one, at least; SQLite has left them out.
    """

    buffer: Buffer
    chain: Chain
    known: Known
    salvaged: Salvaged | None
    keys: enrol.Keys
    left_out: int = 0

    @property
    def told(self) -> list[tuple[str, int, str]]:
        """What is to be said of the file, as events: code, batches or commits, the file that was set aside."""
        found = self.salvaged
        salvaged = [] if found is None else [(events.BUFFER_SALVAGED, len(found.whole), found.aside.name)]
        return [*salvaged, *([(events.BUFFER_LOG_CUT, self.left_out, LOG_ASIDE)] if self.left_out else [])]


async def open_all(configuration: Configuration, surroundings: Surroundings) -> Opened | None:
    """All that a start needs; None where SIGTERM came while a key could not be read.

    Raises:
        PlombaError: it cannot start, and why.
    """
    size, stamp = configuration.buffer, str(surroundings.clock.wall_ms())
    keys, trouble = _keys(configuration)
    trusted = [] if keys is None else [keys.sealing.public]
    left_out = _left_out(configuration.state_folder)
    buffer, salvaged = maybe_open(configuration.state_folder, size.max_bytes, size.reserve_bytes), None
    if buffer is None:
        await asyncio.sleep(LOOK_AGAIN_S)
        place = (configuration.state_folder, size.max_bytes, size.reserve_bytes)
        buffer, salvaged = open_or_salvage(*place, trusted, stamp)
    if keys is None and trouble is not None:
        if not buffer.own_keys():  # nothing was ever sealed here: it is the set-up that lacks keys
            buffer.close()
            raise trouble
        keys = await read_meanwhile(configuration, surroundings, buffer, trouble)
    if keys is None:
        buffer.close()
        return None
    buffer.remember_key(keys.sealing.public)
    _seal_quarantined(configuration, surroundings, buffer, keys)
    return Opened(buffer, buffer.chain(), buffer.known(), salvaged, keys, left_out)


def _left_out(folder: Path) -> int:
    """Commits that SQLite is going to leave out without a word; the log is kept beside the buffer then."""
    path = folder / BUFFER_FILE
    with suppress(OSError):
        if count := wal.commits_left_out(path):
            log.error(events.BUFFER_LOG_CUT, commits=count, aside=LOG_ASIDE)
            shutil.copyfile(path.with_name(f"{BUFFER_FILE}-wal"), folder / LOG_ASIDE)
            return count
    return 0


def _keys(configuration: Configuration) -> tuple[enrol.Keys | None, KeyFileError | None]:
    try:
        return enrol.read_keys(configuration.keys_folder), None
    except KeyFileError as error:
        return None, error


def _seal_quarantined(
    configuration: Configuration, surroundings: Surroundings, buffer: Buffer, keys: enrol.Keys
) -> None:
    if not buffer.quarantined(1):
        return
    known = buffer.known()
    clock = GatewayClock(surroundings.clock, known.signed_ms, known.sealed_ms)
    seal = Seal(configuration.gateway, keys.sealing, core_of_this_program(), configuration_content(configuration))
    count = seal_quarantined(buffer, seal, clock, known.head, surroundings.random)
    if count:
        log.warning("quarantine-sealed", readings=count)
