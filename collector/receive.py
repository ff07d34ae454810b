"""From the pipe into a bounded queue, and from the queue in groups: one commit, one fsync for each group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Protocol

from collector.verify import Message
from protocols.uplink import topics
from protocols.uplink.faults import FieldError

QUEUE = 64  # messages; with the largest packets 20 MiB. Beyond, the pipe's own inbox fills and drops: they come again
GROUP = 64  # messages of one commit at most: with the largest bodies 64 MiB, and the first does not wait long


class LivePipe(Protocol):
    """What the collector needs of a connection; `protocols.transports.mqtt.Pipe` is one."""

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Receive what is published on these topics."""

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Receive it no longer."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker."""

    def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """What comes in: topic and payload."""


async def receive(pipe: LivePipe, queue: asyncio.Queue[Message], now_ms: Callable[[], int]) -> None:
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
