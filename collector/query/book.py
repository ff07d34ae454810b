"""What a question needs of the master data: from the store, or from lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from collector.faults import NoSeriesError
from collector.master.channels import Channel, Computed
from collector.master.points import Point
from collector.store.master import Master


class Book(Protocol):
    """The master data as known at an instant (None: now)."""

    def points(self, point: str, known_ms: int | None) -> Sequence[Point]:
        """The rows of a point, one for each time in which something else holds of it; none: there is no such point."""
        ...

    def channels(self, point: str, known_ms: int | None) -> Sequence[Channel | Computed]:
        """The channels of a point, read and computed, each for the time in which it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """Master data in memory, whenever known."""

    all_points: tuple[Point, ...]
    all_channels: tuple[Channel | Computed, ...]

    def points(self, point: str, known_ms: int | None) -> Sequence[Point]:
        """The rows of a point."""
        return [each for each in self.all_points if each.id == point]

    def channels(self, point: str, known_ms: int | None) -> Sequence[Channel | Computed]:
        """The channels of a point."""
        return [each for each in self.all_channels if each.point == point]


@dataclass(frozen=True, slots=True)
class MasterBook:
    """The master data of a store."""

    master: Master

    def points(self, point: str, known_ms: int | None) -> Sequence[Point]:
        """The rows of a point."""
        return self.master.points.all(known_ms, point=point)

    def channels(self, point: str, known_ms: int | None) -> Sequence[Channel | Computed]:
        """The channels of a point."""
        read = self.master.channels.all(known_ms, point=point)
        return [*read, *self.master.computed.all(known_ms, point=point)]


def named(book: Book, point: str, name: str, known_ms: int | None) -> list[Channel | Computed]:
    """The rows of one channel, by time.

    Raises:
        NoSeriesError: there is no such point or channel.
    """
    if not book.points(point, known_ms):
        raise NoSeriesError("the id of a metering point", repr(point[:80]))
    channels = book.channels(point, known_ms)
    found = sorted((each for each in channels if each.name == name), key=lambda each: each.span)
    if not found:
        names = ", ".join(sorted({each.name for each in channels})) or "none: the point has no channel"
        raise NoSeriesError(f"a channel of the point: {names}", repr(name[:80]), f"point {point}")
    return found
