"""The readings of a proof, once their seals hold, as attribution wants them: what a store gives it otherwise."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collector.attribute.clock import Clock
from collector.attribute.serving import OWN, Window, moments, seen_as
from collector.attribute.words import CONFLICT, PARTIAL, Seen
from collector.faults import ClaimError
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.master.whose import likeness, shown_by
from collector.moments import moment_of
from collector.proving.claim import WHERE, Claim, ShownBatch
from protocols.reading import How, Status
from protocols.uplink import batch as batches
from protocols.uplink import merkle
from protocols.uplink.faults import ProofError
from protocols.uplink.header import Header, batch_id
from protocols.uplink.leaf import SealedReading, leaf_hash
from protocols.uplink.proof import Keyring, leaf_from


@dataclass(frozen=True, slots=True)
class Sealed:
    """A reading that a gateway sealed, in which batch and as which leaf; `doubt` is the collector's word."""

    header: Header
    batch: bytes
    reading: SealedReading
    moment: str
    doubt: str
    variant: int

    @property
    def order(self) -> tuple[str, int, int]:
        """As a store has the readings of one kind."""
        return self.moment, self.reading.part, self.variant

    @property
    def unfit(self) -> str:
        """Why it must not feed, or ""."""
        if self.doubt == CONFLICT:
            return CONFLICT
        return PARTIAL if self.reading.status & Status.PARTIAL else self.doubt


def sealed(claim: Claim, ring: Keyring) -> list[Sealed]:
    """The readings of a claim, each under a seal that holds.

    Raises:
        PeerError, SecurityError: a signature, a path or a leaf does not hold, or a batch is there twice.
        ClaimError: two readings contradict each other, and the claim does not say so.
    """
    found: list[Sealed] = []
    ids: set[bytes] = set()
    for batch in claim.batches:
        name = batch_id(batch.header)
        if name in ids:
            raise ProofError("each batch once", f"{name.hex()[:16]}... twice", WHERE)
        ids.add(name)
        found += _leaves(batch, name, ring)
    _agree(found)
    return found


def _leaves(batch: ShownBatch, name: bytes, ring: Keyring) -> Iterator[Sealed]:
    header = Header.from_bytes(batch.header)
    ring.gateway(header).verify(batches.KIND, batch.header, batch.signature)
    hashes = {each.index: leaf_hash(each.salt, each.octets) for each in batch.leaves}
    if len(hashes) != len(batch.leaves):
        raise ProofError("each leaf once", "one twice", WHERE)
    if merkle.root_of(hashes, header.leaves, batch.steps) != header.root:
        raise ProofError(f"root {header.root.hex()[:16]}...", "another root", WHERE)
    for each in batch.leaves:
        reading = leaf_from(each.octets)
        if not isinstance(reading, SealedReading):
            raise ProofError("readings", type(reading).__name__.lower(), WHERE)
        yield Sealed(header, name, reading, moment_of(reading), each.doubt, each.variant)


def _agree(found: Sequence[Sealed]) -> None:
    """What is said of one moment of one meter is said once, or is a conflict that is told."""
    known: dict[tuple[object, ...], Sealed] = {}
    for each in found:
        read = each.reading
        place = (each.header.gateway, read.device, read.meter, read.sub, read.how, each.moment, read.part)
        other = known.setdefault(place, each)
        if other is not each and CONFLICT not in (each.doubt, other.doubt):
            got = f"two, in batches {other.batch.hex()[:16]} and {each.batch.hex()[:16]}"
            raise ClaimError(f"one reading of {read.device} at {each.moment}, or a conflict that is told", got, WHERE)


class Offline:
    """The ground of a claim; `fed` says of each reading (its place in the list) which meter at which clock it is."""

    def __init__(self, claim: Claim, found: Sequence[Sealed]) -> None:
        self._claim = claim
        self._of: dict[How, list[tuple[tuple[str, int, int], int]]] = {}
        for place, each in enumerate(found):
            self._of.setdefault(each.reading.how, []).append((each.order, place))
        for rows in self._of.values():
            rows.sort()
        self._found = found
        self._kept: dict[tuple[str, str, Window], list[Seen]] = {}
        self.fed: dict[int, Installation] = {}

    def installed(self, point: str, span: Span) -> list[Installation]:
        """The installations of a point that meet a span."""
        return [each for each in self._claim.words.installations if each.point == point and each.span.common(span)]

    def registers(self, meter: str, name: str) -> list[Register]:
        """The rows of a register of a meter, by time."""
        rows = [each for each in self._claim.words.registers if (each.meter, each.name) == (meter, name)]
        return sorted(rows, key=lambda each: each.span.from_ms)

    def seen(self, installation: Installation, window: Window) -> list[Seen]:
        """The readings of an installed meter in a window, and a little around it."""
        wanted = (installation.meter, installation.clock, window)
        if wanted not in self._kept:
            self._kept[wanted] = list(self._seen(installation, window))
        return self._kept[wanted]

    def _seen(self, installation: Installation, window: Window) -> Iterator[Seen]:
        clock = Clock(installation.clock)
        for how in (How.READ, *OWN):
            rows = self._of.get(how, [])
            for low, high in moments(how, clock, window):
                first, last = (bisect_left(rows, ((text, -1, -1), -1)) for text in (low, high))
                for _, place in rows[first:last]:
                    found = self._as(installation.meter, self._found[place])
                    if found is not None:
                        self.fed.setdefault(place, installation)
                        yield found

    def _as(self, meter: str, found: Sealed) -> Seen | None:
        reading, gateway = found.reading, found.header.gateway
        at_ms = reading.at_ms
        rows = [
            each
            for each in self._claim.words.mapped
            if (each.gateway, each.device) == (gateway, reading.device) and each.span.holds(at_ms)
        ]
        whose = shown_by(rows, reading.sub, lambda: self._by_identity(reading))
        return seen_as(meter, whose, reading, (found.moment, found.variant, found.unfit))

    def _by_identity(self, reading: SealedReading) -> str | None:
        """The meter that says of itself what the reading says; None: nobody's, or of two alike."""
        here = [each for each in self._claim.words.meters if each.span.holds(reading.at_ms)]
        alike = sorted(((likeness(reading.meter, each.identity), each.serial) for each in here), reverse=True)
        if not alike or not alike[0][0] or (len(alike) > 1 and alike[0][0] == alike[1][0]):
            return None
        return alike[0][1]
