"""A proof of values checked: every signature and path, then every value reckoned anew and compared."""

from __future__ import annotations

from dataclasses import dataclass

from collector.attribute.clock import Clock
from collector.attribute.serving import OWN
from collector.master.meters import Installation
from collector.proving.claim import Claim, read
from collector.proving.ground import Offline, Sealed, sealed
from collector.proving.reckon import BY_PERSON, Interval, intervals, point_of
from protocols.uplink.proof import Keyring


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof comes to: its claim, its readings with whose they are, and its intervals."""

    claim: Claim
    zone: str
    readings: tuple[tuple[Sealed, Installation | None], ...]
    intervals: tuple[Interval, ...]

    @property
    def wrong(self) -> list[Interval]:
        """The intervals whose stated value does not follow from the readings."""
        return [each for each in self.intervals if each.wrong]

    @property
    def missing(self) -> list[Interval]:
        """Those that have no value."""
        return [each for each in self.intervals if each.stated.ticks is None and not each.wrong]

    @property
    def by_person(self) -> list[Interval]:
        """Those whose value is the utility's own, and not reckoned from readings."""
        return [each for each in self.intervals if each.stated.quality.state in BY_PERSON]

    @property
    def computed(self) -> list[Interval]:
        """Those whose value follows from the sealed readings."""
        there = [each for each in self.intervals if each.stated.ticks is not None and not each.wrong]
        return [each for each in there if each.stated.quality.state not in BY_PERSON]

    @property
    def whole(self) -> bool:
        """Whether every value is there, and follows from the readings."""
        return len(self.computed) == len(self.intervals)


def check(octets: bytes, ring: Keyring) -> Proven:
    """Check a proof of values against trusted public keys.

    Raises:
        PlombaError: which rule it breaks; nothing of it may then be used.
    """
    return proven(read(octets, ring), ring)


def proven(claim: Claim, ring: Keyring) -> Proven:
    """Check a claim whose own signature holds.

    Raises:
        PlombaError: which rule it breaks; nothing of it may then be used.
    """
    zone = point_of(claim).zone
    found = sealed(claim, ring)
    ground = Offline(claim, found)
    reckoned = tuple(intervals(claim, ground))
    return Proven(claim, zone, tuple((each, ground.fed.get(n)) for n, each in enumerate(found)), reckoned)


def instant_of(read: Sealed, here: Installation | None) -> int:
    """Of when a reading is (ms UTC): its slot, the meter's own time, or when it was read."""
    reading = read.reading
    if reading.slot_ms is not None:
        return reading.slot_ms
    if reading.how in OWN and reading.meter_time is not None and here is not None:
        return Clock(here.clock).instant(reading.meter_time).at_ms
    return reading.at_ms
