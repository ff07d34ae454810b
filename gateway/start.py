"""A start: keys, the buffer (salvaged where it is damaged), and what waited in quarantine, before parts are wired."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from gateway import enrol
from gateway.buffer import Buffer, Known
from gateway.chain import Chain
from gateway.clock import GatewayClock
from gateway.config import Configuration, configuration_content
from gateway.core import core_of_this_program
from gateway.keyless import read_meanwhile
from gateway.quarantine import seal_quarantined
from gateway.salvage import Salvaged, open_or_salvage
from gateway.seal import Seal
from gateway.surroundings import Surroundings
from protocols.uplink.faults import KeyFileError

log = structlog.get_logger("plomba.gateway")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a start finds in the state folder."""

    buffer: Buffer
    chain: Chain
    known: Known
    salvaged: Salvaged | None
    keys: enrol.Keys


async def open_all(configuration: Configuration, surroundings: Surroundings) -> Opened | None:
    """All that a start needs; None where SIGTERM came while a key could not be read.

    Raises:
        PlombaError: it cannot start, and why.
    """
    size, stamp = configuration.buffer, str(surroundings.clock.wall_ms())
    keys, trouble = _keys(configuration)
    trusted = [] if keys is None else [keys.sealing.public]
    buffer, salvaged = open_or_salvage(configuration.state_folder, size.max_bytes, size.reserve_bytes, trusted, stamp)
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
    return Opened(buffer, buffer.chain(), buffer.known(), salvaged, keys)


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
