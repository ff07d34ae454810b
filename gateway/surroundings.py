"""What the daemon takes from the machine: clocks, randomness, lines to meters and the way to the broker.

Everything that differs between two runs of the same program comes in here, so that a bench can run the daemon's own
wiring on a clock and lines of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from gateway import lines, local
from gateway.clock import Sources, system_sources
from gateway.lines import Lines
from gateway.link import Connect, LivePipe
from gateway.local import Verb
from gateway.manager import NOBODY, Manager
from protocols.transports.pipe import PipeSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the daemon runs.

    `random` gives secure random bytes (secrets, epochs, nonces), `uniform` a number between its arguments (jitter);
    `local` answers commands on the same machine while inside, `manager` hears that the daemon lives.
    """

    clock: Sources
    random: Callable[[int], bytes]
    uniform: Callable[[float, float], float]
    connect: Connect
    lines: Lines
    local: Callable[[Path, Mapping[str, Verb]], AbstractAsyncContextManager[None]]
    manager: Manager = NOBODY


def machine() -> Surroundings:
    """This machine."""
    uniform = random.SystemRandom().uniform
    manager = Manager.of(os.environ, os.getpid())
    return Surroundings(system_sources(), os.urandom, uniform, _connect, lines.MACHINE, local.serving, manager)


def _connect(settings: PipeSettings) -> AbstractAsyncContextManager[LivePipe]:
    # aiomqtt takes a while to import: polling does not wait for it.
    from protocols.transports.mqtt import connect  # noqa: PLC0415

    return connect(settings)
