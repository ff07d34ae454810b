"""The seats of workers side by side: N of M, each with its share of the shards of the gateways' topics. Pure.

The shard of a gateway's topics never changes (UPLINK: workers take shards). Share k of M is every shard that leaves
k - 1 when it is divided by M; it is the k-th worker's while that one is there, and another's while it is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from protocols.uplink import topics

MOST = topics.SHARDS  # workers: each has at least one shard
FILTERS = ("plomba/v1/+/+/up/+",)  # all shards: exactly what the broker lets a collector read
_SEAT = re.compile(r"([1-9]\d?)/([1-9]\d?)")


@dataclass(frozen=True, slots=True, order=True)
class Seat:
    """The `number`-th worker of `of`."""

    number: int
    of: int

    @classmethod
    def from_text(cls, text: str) -> Seat:
        """A seat as N/M.

        Raises:
            ValueError: it is none.
        """
        found = _SEAT.fullmatch(text)
        if found is None or not int(found[1]) <= int(found[2]) <= MOST:
            raise ValueError(f"expected N/M with N from 1 to M and M at most {MOST}, got {text[:32]!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


ALONE = Seat(1, 1)


@dataclass(frozen=True, slots=True)
class Seated:
    """A worker that runs: its seat, the shares that it takes now, and since when (ms UTC; None: not told)."""

    seat: Seat
    shares: tuple[int, ...]
    since_ms: int | None


class Seats(Protocol):
    """Who is there, as the store tells it."""

    seat: Seat

    def look(self) -> frozenset[int]:
        """The shares that are this worker's from now on.

        Raises:
            StoreFullError: the store does not say; then none is.
        """

    def close(self) -> None:
        """Leave the seat and all shares."""


def share_of(gateway: str, of: int) -> int:
    """Which of `of` shares a gateway is in."""
    return int(topics.shard(gateway), 16) % of + 1


def filters(shares: Iterable[int], of: int) -> list[str]:
    """The topics of shares, as a broker is asked for them; of all shares together in one (NATS takes 63 at most)."""
    wanted = set(shares)
    if len(wanted) == of:
        return list(FILTERS)
    return [f"plomba/v1/{shard:02x}/+/up/+" for shard in range(topics.SHARDS) if shard % of + 1 in wanted]
