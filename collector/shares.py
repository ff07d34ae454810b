"""What a worker is subscribed to: everything, or the shares of the gateways that are its own now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from collector.faults import StoreFullError
from collector.receive import LivePipe
from collector.seat import FILTERS, Seats, filters, share_of

log = structlog.get_logger()

LOOK_MS = 1_000  # between looks at who is there
Shares = frozenset[int]
Mine = Callable[[str], bool]  # of a gateway's name
InThread = Callable[[Callable[[], Shares]], Awaitable[Shares]]  # where the store may be waited for


class Following:
    """The subscriptions of one connection after the other; without `seats` to everything."""

    def __init__(self, seats: Seats | None, mono_ms: Callable[[], int]) -> None:
        self._seats, self._mono_ms = seats, mono_ms
        self._shares: Shares = frozenset()
        self._told: Shares | None = None
        self._next_ms = 0

    async def begin(self, pipe: LivePipe, in_thread: InThread) -> Mine | None:
        """A new connection: whom to greet at once; None: nobody yet."""
        self._shares, self._next_ms = frozenset(), 0
        if self._seats is not None:
            return await self.follow(pipe, in_thread)
        await pipe.subscribe(FILTERS)
        return lambda _: True

    async def follow(self, pipe: LivePipe, in_thread: InThread) -> Mine | None:
        """Subscribe to what has become this worker's, and no longer to what has not; whom to greet for it."""
        if self._seats is None or self._mono_ms() < self._next_ms:
            return None
        now, of = await in_thread(self._looked), self._seats.seat.of
        self._next_ms = self._mono_ms() + LOOK_MS
        new, had, has = now - self._shares, set(filters(self._shares, of)), set(filters(now, of))
        if has - had:
            await pipe.subscribe(sorted(has - had))  # first: what comes twice meanwhile is known for the same
        if had - has:
            await pipe.unsubscribe(sorted(had - has))
        if now != self._told:
            say = "shares of the gateways" if now else "no share: other workers have them, or the database is away"
            log.info(say, worker=str(self._seats.seat), shares=sorted(now))
            self._told = now
        self._shares = now
        return (lambda gateway: share_of(gateway, of) in new) if new else None

    def _looked(self) -> Shares:
        try:
            return self._seats.look() if self._seats is not None else frozenset()
        except StoreFullError:
            return frozenset()  # ingest says what is wrong
