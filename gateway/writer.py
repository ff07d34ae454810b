"""Who runs the buffer's work: one thread, so that a slow disk never stops a poll, or the caller itself in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Writer(Protocol):
    """Runs work one after the other, in the order in which it was given; a failure reaches the caller."""

    async def do(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        ...


class ThreadWriter:
    """One thread of its own; on a virtual-time loop it would not advance: use `InlineWriter` there."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "buffer")

    async def do(self, work: Callable[[], T]) -> T:
        """The result of `work`; it is carried out even where the caller is cancelled meanwhile."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, work))

    def close(self) -> None:
        """Wait for the work in hand."""
        self._pool.shutdown()


class InlineWriter:
    """Runs work at once."""

    async def do(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        return work()
