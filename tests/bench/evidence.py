"""What the collector must conclude from the batches that it holds, worked out anew: contents and epochs.

The collector's own tables are compared with this; nothing of its ingest, its identities or its judgement is used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from collector.store.devices import CHANGED
from collector.store.evidence import Evidence
from protocols.errors import PlombaError
from protocols.reading import Identity, MeterTime
from protocols.uplink import batch as batches
from protocols.uplink import limits
from protocols.uplink.header import ClockState, Header
from protocols.uplink.keys import PublicKey
from protocols.uplink.leaf import SealedReading, identity_from_wire
from protocols.uplink.pack import unpack
from protocols.uplink.records import Event, Lost, Record, TimeCorrection

VARIANTS = 16  # different contents of one reading that are kept beside one another
Name = tuple[Identity, str, int | None, MeterTime | None, int, str | None]
Content = tuple[object, ...]
Place = tuple[bytes, int]  # epoch and number
Leaf = tuple[bytes, int]  # batch and leaf


def named(reading: SealedReading) -> Name:
    """What two copies of one reading have in common."""
    moment = (reading.slot_ms, None) if reading.slot_ms is not None else (None, reading.meter_time)
    return (reading.meter, reading.how.name, *moment, reading.part, reading.sub)


def content(reading: SealedReading) -> Content:
    """What two copies of one reading must have in common: all but the exchange that it came by."""
    return (reading.device, reading.meter_time, reading.status_raw, reading.status, reading.values)


@dataclass(frozen=True, slots=True)
class Clocked:
    """What a batch says of the clock that stamped it: its machine's boot, and whether it knew no time."""

    batch: bytes
    boot: bytes
    unset: bool
    corrections: tuple[TimeCorrection, ...]


@dataclass(slots=True)
class Gateway:
    """All batches of one gateway: what is in them, and how their epochs hang together."""

    contents: dict[Name, set[Content]] = field(default_factory=lambda: defaultdict(set))
    ids: dict[Place, set[bytes]] = field(default_factory=lambda: defaultdict(set))  # stored, or named as the one before
    stored: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))  # numbers by epoch
    children: dict[bytes, set[Place]] = field(default_factory=lambda: defaultdict(set))  # by parent: child, and where
    starts: dict[bytes, int] = field(default_factory=dict)  # epochs without a parent, and when they began
    leaves: dict[bytes, SealedReading] = field(default_factory=dict)
    records: dict[Leaf, bytes] = field(default_factory=dict)  # sealed bytes
    lost: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))  # numbers declared lost, by epoch
    clocks: dict[Place, Clocked] = field(default_factory=dict)
    boots: dict[bytes, bytes] = field(default_factory=dict)  # by batch
    faults: list[str] = field(default_factory=list)
    strangers: dict[tuple[str, str], int] = field(default_factory=dict)  # by device and number: in its place since (ms)

    def add(self, row: Evidence, key: PublicKey) -> None:
        """One stored batch; its seal is checked, its leaves are read."""
        batch = row.batch()
        header = batch.header
        self._place(header, batch.id)
        try:
            found = batches.expand(header, batches.verify(batch, key))
        except PlombaError as error:
            self.faults.append(f"seq {row.seq}: {error}")
            return
        for leaf, reading in zip(found.leaves, found.readings, strict=False):  # records come behind the readings
            self.leaves[leaf] = reading
            self.contents[named(reading)].add(content(reading))
        behind = len(found.readings)
        self.records |= {(batch.id, behind + n): leaf for n, leaf in enumerate(found.leaves[behind:])}
        self._clock(header, batch.id, found.records)
        for record in found.records:
            if isinstance(record, Lost):
                self.lost[record.epoch].update(range(record.first, record.last + 1))
            if isinstance(record, Event) and record.code == CHANGED:
                self._stranger(record)

    def _stranger(self, event: Event) -> None:
        """Another meter is in a device's place."""
        _, new, since_ms, *_ = event.parameters
        if isinstance(new, bytes) and isinstance(since_ms, int):
            who = identity_from_wire(unpack(new, limits.BODY, "event"))
            place = event.device or "", who.id or who.fabrication or ""
            self.strangers[place] = min(since_ms, self.strangers.get(place, since_ms))

    @property
    def contradictions(self) -> dict[bytes, set[int]]:
        """By epoch, the numbers for which two ids are known."""
        found: dict[bytes, set[int]] = defaultdict(set)
        for (epoch, seq), ids in self.ids.items():
            if len(ids) > 1:
                found[epoch].add(seq)
        return found

    @property
    def broken(self) -> dict[bytes, set[bytes]]:
        """By the epoch that an operator must look at, all epochs whose readings must not be billed until then."""
        found: dict[bytes, set[bytes]] = {epoch: {epoch} for epoch in self.contradictions}
        for parent, children in self.children.items():
            highest = max(self.stored.get(parent) or {0})
            wrong = {child for child, at in children if len(children) > 1 or at < highest}
            if wrong:
                found.setdefault(parent, {parent}).update(wrong)
        return found

    @property
    def orphans(self) -> set[bytes]:
        """Epochs without a parent, but for the first."""
        alone = sorted((began, epoch) for epoch, began in self.starts.items())
        return {epoch for _, epoch in alone[1:]}

    def gaps(self, epoch: bytes) -> set[int]:
        """Numbers up to the highest that is known, which are neither stored nor declared lost."""
        settled = self.stored.get(epoch, set()) | self.lost.get(epoch, set())
        ends = {at for _, at in self.children.get(epoch, ())}
        return set(range(1, max(settled | ends, default=0) + 1)) - settled

    def uncorrected(self, without: Container[bytes]) -> Iterable[str]:
        """Where a clock that knew no time was set between two batches, and the later one does not say by how much."""
        for (epoch, seq), (after_epoch, after_seq) in pairwise(sorted(self.clocks)):
            before, after = self.clocks[epoch, seq], self.clocks[after_epoch, after_seq]
            if (after_epoch, after_seq) != (epoch, seq + 1) or before.batch in without or after.batch in without:
                continue
            if before.unset and not after.unset and not after.corrections:
                yield f"epoch {epoch.hex()[:8]} seq {after_seq}: the clock was set, and by how much is not said"

    def correction(self, batch: bytes, mono_ms: int) -> TimeCorrection | None:
        """What corrects an instant in a batch, if anything does."""
        boot = self.boots[batch]
        for each in self.clocks.values():
            for found in each.corrections:
                if found.boot == boot and found.first_mono_ms <= mono_ms <= found.last_mono_ms:
                    return found
        return None

    def _clock(self, header: Header, batch: bytes, records: Iterable[Record]) -> None:
        corrections = tuple(each for each in records if isinstance(each, TimeCorrection))
        shown = header.clock
        self.boots[batch] = shown.boot
        clocked = Clocked(batch, shown.boot, shown.state is ClockState.UNSET, corrections)
        self.clocks.setdefault((header.epoch, header.seq), clocked)

    def _place(self, header: Header, batch: bytes) -> None:
        self.ids[header.epoch, header.seq].add(batch)
        self.stored[header.epoch].add(header.seq)
        if header.seq > 1:
            if header.prev is not None:
                self.ids[header.epoch, header.seq - 1].add(header.prev)
        elif header.parent is None:
            self.starts[header.epoch] = min(header.created_ms, self.starts.get(header.epoch, header.created_ms))
        else:
            self.children[header.parent.epoch].add((header.epoch, header.parent.seq))
            if header.prev is not None:
                self.ids[header.parent.epoch, header.parent.seq].add(header.prev)


def differences(held: Mapping[Name, set[Content]], stored: Mapping[Name, list[Content]]) -> Iterable[str]:
    """Where the readings that are stored are not those of the batches."""
    for name, contents in held.items():
        kept = stored.get(name, [])
        if not kept:
            yield f"{_shown(name)}: in a batch, and not stored"
        elif len(kept) != min(len(contents), VARIANTS) or not set(kept) <= contents:
            yield f"{_shown(name)}: {len(contents)} contents in batches, {len(kept)} stored"
    for name in stored.keys() - held.keys():
        yield f"{_shown(name)}: stored, and in no batch"


def _shown(name: Name) -> str:
    meter, how, slot_ms, time, part, _ = name
    return f"{meter.id or meter.fabrication} {how} {slot_ms if time is None else time}/{part}"
