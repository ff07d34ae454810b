"""What the daemon takes from the machine: clocks, jitter, the way to the broker; a bench gives others."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from collector.receive import LivePipe
from protocols.transports.mqtt import connect
from protocols.transports.pipe import PipeSettings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the daemon runs: UTC and the monotonic clock in whole ms, `uniform` for jitter, `connect` for a pipe."""

    now_ms: Callable[[], int]
    mono_ms: Callable[[], int]
    uniform: Callable[[float, float], float]
    connect: Callable[[PipeSettings], AbstractAsyncContextManager[LivePipe]]


def machine() -> Surroundings:
    """This machine."""
    uniform = random.SystemRandom().uniform
    return Surroundings(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000, uniform, connect)
