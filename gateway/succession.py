"""Who answers for each device: the configured meter, or another one that took its place and is read under its own name.

A meter that answers with another identity than the configured one is refused at first: a late answer of another meter
must never be taken. It counts when the same identity answers two visits in a row, each with an exchange of its own, at
the device's own address; when it has a number; and when no other device of the bus is configured, known or seen under
it. From then on its readings are sealed under that identity, attributed to nobody, and an event says so; the old series
has ended. It ends by itself, with an event, when the configured meter answers again in two visits, and when the
configuration names the new one. A meter that is selected by its number is never replaced so: whoever else answers was
not selected.

A device of which nothing is configured has nobody whose place could be taken: what it shows is sealed as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import structlog

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import Bus, MbusDevice
from gateway.faults import WriteFailed
from gateway.successors import Successor, Successors, named
from protocols.reading import Identity
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import pack
from protocols.uplink.records import Event

log = structlog.get_logger("plomba.gateway")


class Succession:
    """Who answers for the devices of one bus.

    Args:
        bus: its devices and their identities.
        store: who took whose place, of all buses.
        clock: for events.
        note: takes them.
    """

    def __init__(self, bus: Bus, store: Successors, clock: GatewayClock, note: Callable[[Event], None]) -> None:
        self._bus, self._store, self._clock, self._note = bus.name, store, clock, note
        self._wanted = {device.name: device.identity for device in bus.device}
        self._selected = {each.name for each in bus.device if isinstance(each, MbusDevice) and each.address is None}
        self._asked: dict[str, Identity] = {}  # who answered the last visit in place of whom the device is read as
        self._seen: dict[str, Identity] = {}  # who was read last
        self._told: set[str] = set()  # whose successor this process has told of

    def stands(self, device: str) -> bool:
        """Whether another meter is read than the one that was configured at the start."""
        return self._store.of(device) is not None or device in self._store.settled

    def is_nobodys(self, device: str) -> bool:
        """Whether the meter that is read there is attributed to nobody yet."""
        return self._store.of(device) is not None

    def known(self, device: str) -> list[Identity]:
        """Who the device's meter is, who answers in its place, and who was read last, as far as known."""
        standing = self._store.of(device)
        found = (self._of(device), None if standing is None else standing.found, self._seen.get(device))
        return [each for each in found if each is not None]

    def is_settled(self, device: str) -> bool:
        """Whether an exchange was recorded that the configuration of this process does not have yet."""
        return device in self._store.settled

    async def expected(self, device: str, found: Identity) -> Identity:
        """Who must have answered a visit of `device` in which `found` did: the caller refuses what does not fit it."""
        wanted, known = self._of(device), self._store.of(device)
        if fits(found, wanted):
            if known is not None and self._asked.get(device) != found:
                # By the other's frame count bit it may have said again what it said long ago.
                self._asked[device] = found
                return known.found
            self._asked.pop(device, None)
            if known is not None:
                await self._end(device, known)
            self._seen[device] = found
            return wanted
        if known is None or not fits(found, known.found):
            known = await self._begun(device, wanted, found, known)
        else:
            self._asked.pop(device, None)
        if known is None:
            return wanted
        if fits(found, known.found):
            self._seen[device] = found
            self._tell(device, known)
        return known.found

    def _of(self, device: str) -> Identity:
        """The device's own meter."""
        return self._store.settled.get(device, self._wanted[device])

    async def _begun(self, device: str, wanted: Identity, found: Identity, known: Successor | None) -> Successor | None:
        """Who is read from now on: `found` where it is confirmed, else as before."""
        if not self._may_be_new(device, found):
            self._asked.pop(device, None)
            return known
        if self._asked.get(device) != found:
            self._asked[device] = found
            return known
        del self._asked[device]
        self._told.discard(device)
        begun = Successor(device, wanted, found, self._clock.utc_ms(), self._seen.get(device))
        await self._keep(device, begun)
        return begun

    def _may_be_new(self, device: str, found: Identity) -> bool:
        """Whether this identity may be that of a meter in this one's place, and not of one that answers too late."""
        if device in self._selected or (found.id is None and found.fabrication is None):
            return False
        for other in self._wanted:
            if other == device:
                continue
            wanted = self._of(other)
            numbered = wanted.id is not None or wanted.fabrication is not None
            standing = self._store.of(other)
            if (numbered and fits(found, wanted)) or self._seen.get(other) == found:
                return False
            if standing is not None and fits(found, standing.found):
                return False
        return True

    def _tell(self, device: str, known: Successor) -> None:
        """Say who is read, once in each process: an event says what stands, and a start forgets what stood before."""
        if device in self._told:
            return
        self._told.add(device)
        log.warning(events.METER_CHANGED, bus=self._bus, device=device, old=named(known.old), new=named(known.found))
        self._event(events.METER_CHANGED, device, known)

    async def _end(self, device: str, known: Successor) -> None:
        self._told.discard(device)
        log.info(events.METER_RETURNED, bus=self._bus, device=device, meter=named(known.wanted))
        self._event(events.METER_RETURNED, device, known)
        await self._keep(device, None)

    def _event(self, code: str, device: str, known: Successor) -> None:
        new = pack(identity_to_wire(known.found))
        what = (self._bus, new, known.since_ms, named(known.found))
        self._note(Event(self._clock.when(), code, known.old, device, what))

    async def _keep(self, device: str, known: Successor | None) -> None:
        try:
            await self._store.put(device, known)
        except WriteFailed as error:  # it is known until the process ends, and confirmed again then
            log.error("successor-unkept", device=device, error=str(error))


def fits(found: Identity, wanted: Identity) -> bool:
    """Whether `found` says all that is known of `wanted`; what is None there is not compared."""
    pairs = ((getattr(found, each.name), getattr(wanted, each.name)) for each in fields(Identity))
    return all(want is None or want == have for have, want in pairs)
