"""From the pipe into a bounded queue, and from the queue in groups: one commit, one fsync for each group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from collector.verify import Message
from protocols.transports.mqtt import Pipe
from protocols.uplink import topics
from protocols.uplink.faults import FieldError

FILTERS = ("plomba/v1/+/+/up/+",)  # exactly what the broker lets a collector read
QUEUE = 256  # messages; with the largest packets 80 MiB. Beyond, the pipe's own inbox fills and drops: they come again
GROUP = 256  # messages of one commit at most, so that the first of them does not wait long


async def receive(pipe: Pipe, queue: asyncio.Queue[Message], now_ms: Callable[[], int]) -> None:
    """Put every message under a topic of the contract into the queue, until the connection ends.

    Raises:
        LinkError: the connection ended.
    """
    async for name, packet in pipe.messages():
        try:
            topic = topics.parse(name)
        except FieldError:
            continue  # the broker's permissions let nobody publish there; nothing can be said of its sender
        await queue.put(Message(topic, packet, now_ms()))


async def gather(queue: asyncio.Queue[Message], first_s: float | None, group_s: float) -> list[Message]:
    """The next group: waits at most `first_s` for its first message (None: as long as it takes), then `group_s`."""
    loop = asyncio.get_running_loop()
    group: list[Message] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(first_s):
            group.append(await queue.get())
        deadline = loop.time() + group_s
        while len(group) < GROUP:
            async with asyncio.timeout_at(deadline):
                group.append(await queue.get())
    return group
