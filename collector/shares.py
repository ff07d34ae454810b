"""What a worker is subscribed to: everything, or the shares of the gateways that are its own now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from collector.faults import StoreFullError
from collector.receive import FILTERS, LivePipe
from collector.seat import Seats, filters, share_of

log = structlog.get_logger()

LOOK_MS = 1_000  # between looks at who is there
Shares = frozenset[int]
Mine = Callable[[str], bool]  # of a gateway's name


class Following:
    """The subscriptions of one connection after the other; without `seats` to everything."""

    def __init__(self, seats: Seats | None, mono_ms: Callable[[], int]) -> None:
        self._seats, self._mono_ms = seats, mono_ms
        self._shares: Shares = frozenset()
        self._next_ms = 0

    async def begin(self, pipe: LivePipe) -> Mine | None:
        """A new connection: whom to greet at once; None: nobody yet."""
        self._shares, self._next_ms = frozenset(), 0
        if self._seats is not None:
            return None
        await pipe.subscribe(FILTERS)
        return lambda _: True

    async def follow(
        self, pipe: LivePipe, in_thread: Callable[[Callable[[], Shares]], Awaitable[Shares]]
    ) -> Mine | None:
        """Subscribe to what has become this worker's, and no longer to what has not; whom to greet for it."""
        if self._seats is None or self._mono_ms() < self._next_ms:
            return None
        now, of = await in_thread(self._looked), self._seats.seat.of
        self._next_ms = self._mono_ms() + LOOK_MS
        gone, new = self._shares - now, now - self._shares
        if gone:
            await pipe.unsubscribe(filters(gone, of))
        if new:
            await pipe.subscribe(filters(new, of))
        if gone or new:
            log.info("shares of the gateways", worker=str(self._seats.seat), shares=sorted(now))
        self._shares = now
        return (lambda gateway: share_of(gateway, of) in new) if new else None

    def _looked(self) -> Shares:
        try:
            return self._seats.look() if self._seats is not None else frozenset()
        except StoreFullError:
            return frozenset()  # ingest says what is wrong
