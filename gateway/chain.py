"""What the buffer holds, without its contents: the chain of batches as marks and forwarding see it.

Kept in memory (about 400 bytes a batch) beside the database, and changed only after the database was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from protocols.uplink.header import Parent
from protocols.uplink.ranges import Range


class Mark(IntEnum):
    """What the collector's acknowledgements say of a batch."""

    NONE = 0
    STORED = 1  # no need to send it again; frees nothing by itself
    SAFE = 2  # may be removed when space is needed


@dataclass(frozen=True, slots=True)
class Entry:
    """One sealed batch in the buffer; `n` rises in the order of sealing, `size` are the bytes of its content."""

    n: int
    id: bytes
    epoch: bytes
    seq: int
    prev: bytes | None
    created_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest batch ever sealed here: what the next one's `prev` or `parent` names."""

    epoch: bytes
    seq: int
    id: bytes

    @property
    def parent(self) -> Parent:
        """As the first batch of the next epoch names it."""
        return Parent(self.epoch, self.seq)


class Chain:
    """All batches held, their marks and refusals."""

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        marks: Mapping[bytes, Mark] | None = None,
        refused: Mapping[bytes, str] | None = None,
    ) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._places: dict[tuple[bytes, int], bytes] = {}
        self._unstored: dict[bytes, Entry] = {}
        self._newest: dict[bytes, int] = {}
        self._marks: dict[bytes, Mark] = dict(marks or {})
        self._refused: dict[bytes, str] = dict(refused or {})
        for entry in sorted(entries, key=lambda each: each.n):
            self.add(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, batch: bytes) -> bool:
        return batch in self._entries

    def entries(self) -> Iterable[Entry]:
        """Everything held, oldest first."""
        return self._entries.values()

    def unstored(self) -> Iterable[Entry]:
        """What is not marked stored, oldest first."""
        return self._unstored.values()

    def at(self, epoch: bytes, seq: int) -> Entry | None:
        """Our own batch at a place, where it is held."""
        batch = self._places.get((epoch, seq))
        return None if batch is None else self._entries[batch]

    def newest_seq(self, epoch: bytes) -> int:
        """The highest sequence number of an epoch that was here since the start (0: none)."""
        return self._newest.get(epoch, 0)

    def holds_together(self, head: Head | None) -> bool:
        """Whether each batch names the one before it as it is held, and the head names what is held at its place.

        A walk by `prev` must not end between two that are there.
        """
        if head is not None:
            named, there = self.get(head.id), self.at(head.epoch, head.seq)
            if named != there:
                return False
        pairs = ((each, self.at(each.epoch, each.seq - 1)) for each in self._entries.values())
        return all(before is None or each.prev == before.id for each, before in pairs)

    def get(self, batch: bytes) -> Entry | None:
        """The batch with this id, where it is held."""
        return self._entries.get(batch)

    def mark_of(self, batch: bytes) -> Mark:
        """What is said of a batch."""
        return self._marks.get(batch, Mark.NONE)

    def marked(self) -> Mapping[bytes, Mark]:
        """All marks other than NONE."""
        return self._marks

    def refusals(self) -> Mapping[bytes, str]:
        """The codes of refused batches, by id."""
        return self._refused

    def add(self, entry: Entry) -> None:
        """A batch was sealed and committed."""
        self._entries[entry.id] = entry
        self._places[entry.epoch, entry.seq] = entry.id
        self._newest[entry.epoch] = max(entry.seq, self._newest.get(entry.epoch, 0))
        if self.mark_of(entry.id) is Mark.NONE:
            self._unstored[entry.id] = entry

    def remove(self, batches: Iterable[bytes]) -> None:
        """Batches were removed or set aside."""
        for batch in batches:
            entry = self._entries.pop(batch, None)
            if entry is not None:
                del self._places[entry.epoch, entry.seq]
            self._unstored.pop(batch, None)
            self._marks.pop(batch, None)
            self._refused.pop(batch, None)

    def set_marks(self, marks: Mapping[bytes, Mark], refused: Mapping[bytes, str | None]) -> None:
        """Take over what an acknowledgement changed."""
        freed = False
        for batch, mark in marks.items():
            if mark is Mark.NONE:
                self._marks.pop(batch, None)
                self._unstored[batch] = self._entries[batch]
                freed = True
            else:
                self._marks[batch] = mark
                self._unstored.pop(batch, None)
        if freed:
            self._unstored = {each.id: each for each in sorted(self._unstored.values(), key=lambda each: each.n)}
        for batch, code in refused.items():
            if code is None:
                self._refused.pop(batch, None)
            else:
                self._refused[batch] = code

    def walk(self, found: Range) -> Iterator[Entry]:
        """The batches of a range, reached by `prev` from our own batch with its id; ends at a hole."""
        entry = self._entries.get(found.id)
        if entry is None or (entry.epoch, entry.seq) != (found.epoch, found.last):
            return
        while True:
            yield entry
            before = self._entries.get(entry.prev) if entry.prev is not None else None
            if entry.seq <= found.first or before is None:
                return
            if (before.epoch, before.seq) != (found.epoch, entry.seq - 1):
                return
            entry = before

    def runs(self) -> list[Range]:
        """All that is held as ranges without holes, oldest first."""
        found: list[Range] = []
        last: Entry | None = None
        for entry in self._entries.values():
            if last is not None and entry.epoch == last.epoch and entry.prev == last.id:
                found[-1] = Range(entry.epoch, found[-1].first, entry.seq, entry.id)
            else:
                found.append(Range(entry.epoch, entry.seq, entry.seq, entry.id))
            last = entry
        return found
