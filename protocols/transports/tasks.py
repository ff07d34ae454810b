"""Ends tasks for good.

Python 3.11's `asyncio.wait_for` may swallow a cancellation that meets the end of what it waits for (bpo-37658), and the
MQTT client uses it: a task that is told once to end may go on. It is told again until it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.5  # between two cancellations
TIMES = 8  # at most: a stop is to take less than 10 s


async def end(tasks: Iterable[asyncio.Task[Any]]) -> int:
    """Cancel tasks until they have ended; how many have not, which then are left behind."""
    every = set(tasks)
    pending = {task for task in every if not task.done()}
    for _ in range(TIMES):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
    await asyncio.gather(*(every - pending), return_exceptions=True)
    return len(pending)
