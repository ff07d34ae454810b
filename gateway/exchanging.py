"""What a command has sealed: a reading beside the slots, and a meter exchange as one act.

An exchange is the old meter's final reading, the new one's initial reading, and the record of both. The readings are
sealed like all others, without a slot; the record is an event that names device, old and new meter, the telegrams of
both readings by their hashes, and what a person read from the plate of a meter that is gone. Nobody is taken for the
new meter who answers once: it must say the same number in two visits, and no other meter's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway import events
from gateway.buses import Shared, reader
from gateway.clock import GatewayClock
from gateway.config import Bus, Configuration, Device, MbusDevice, with_devices
from gateway.faults import BufferFull, NotSealable, PollTooLong, UnknownMeter, WriteFailed
from gateway.lines import Lines
from gateway.local import Verb
from gateway.poll import REOPEN_S, BusPoller
from gateway.schedule import at_once
from gateway.seal import Sealer
from gateway.settled import Positions
from gateway.succession import fits
from gateway.successors import named
from protocols.errors import AnotherMeter, LinkError
from protocols.reading import Identity, Reading, Scaled, State
from protocols.uplink import limits
from protocols.uplink.leaf import identity_from_wire, identity_to_wire
from protocols.uplink.pack import Fields, Wire, pack
from protocols.uplink.records import Event

READ, RECORD, STORE = "exchange-read", "exchange-record", "read-store"  # verbs of the local socket
VISIT_S = 25.0  # two of them, and the poll in hand, stay under the time that a command waits for an answer
TYPED = 8  # values that a person read from a plate
SHOWN = 6  # values that are shown of a reading
DIGEST = 32
IDENTITY = 32  # elements, as on the wire


class Lend(Protocol):
    """Gives the line of a bus for some work, between two polls."""

    def __call__(self, bus: str, work: Callable[[], Awaitable[list[Reading]]]) -> Awaitable[list[Reading]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Visited:
    """Who answered, whether it is the configured meter, its telegrams' SHA-256, and some of what it shows."""

    meter: Identity
    known: bool
    digest: bytes
    shows: tuple[str, ...]

    def to_wire(self) -> Wire:
        """As it stands in an answer."""
        return [identity_to_wire(self.meter), self.known, self.digest, list(self.shows)]

    @classmethod
    def from_wire(cls, wire: Wire) -> Visited:
        """Parse it.

        Raises:
            PeerError: it is another one.
        """
        fields = Fields(wire, "answer", 4)
        meter, known = identity_from_wire(fields.array("meter", IDENTITY)), fields.any() is True
        digest = fields.octets("digest", DIGEST)
        return cls(meter, known, digest, tuple(map(str, fields.array("shows", SHOWN))))


class Exchanging:
    """What a command may ask for about an exchange; the readings and the record are on the disk before it answers."""

    def __init__(
        self,
        configuration: Configuration,
        clock: GatewayClock,
        sealer: Sealer,
        shared: Shared,
        lend: Lend,
        lines: Lines,
    ) -> None:
        self._configuration, self._clock, self._sealer = configuration, clock, sealer
        self._successors, self._counting = shared.successors, shared.counting
        self._lend, self._lines = lend, lines

    def verbs(self) -> Mapping[str, Verb]:
        """By name."""
        return {READ: self._read, RECORD: self._record, STORE: self._store}

    async def _store(self, arguments: list[Wire]) -> Wire:
        """Read a device now and seal it; when it was read."""
        bus, device = find(self._configuration, Fields(arguments, "question", 1).text("device"))
        standing = self._successors.settled.get(device.name)
        asked = device if standing is None else after(device, standing)
        found = await self._lend(bus.name, lambda: self._once(bus, asked))
        self._sealer.take([replace(each, slot_ms=None) for each in found])
        await self._settle()
        return found[0].exchange.at_ms

    async def _read(self, arguments: list[Wire]) -> Wire:
        """Read who answers at a device now and seal it; `to`: the number that the new meter must show."""
        fields = Fields(arguments, "question", 2)
        bus, device = find(self._configuration, fields.text("device"))
        to = fields.maybe_text("to")
        found = await self._lend(bus.name, lambda: self._visited(bus, device, to))
        self._sealer.take([replace(each, slot_ms=None) for each in found])
        await self._settle()
        octets = b"".join(each.exchange.telegram for each in found[:1])
        known = self._is_known(device, found[0].meter)
        return Visited(found[0].meter, known, hashlib.sha256(octets).digest(), tuple(shows(found))).to_wire()

    async def _record(self, arguments: list[Wire]) -> Wire:
        """Seal that the meter of a device was exchanged; from now on the new one is the device's."""
        fields = Fields(arguments, "question", 6)
        bus, device = find(self._configuration, fields.text("device"))
        old, new = fields.maybe_array("old", IDENTITY), identity_from_wire(fields.array("new", IDENTITY))
        final, initial = fields.maybe_bin("final", DIGEST), fields.octets("initial", DIGEST)
        typed = [plate(each) for each in fields.array("typed", TYPED)]
        standing = self._successors.of(device.name)
        was = self._successors.settled.get(device.name, device.identity) if standing is None else standing.old
        if old is not None:
            was = identity_from_wire(old)
        what = (bus.name, pack(identity_to_wire(new)), self._clock.utc_ms(), named(new), final, initial, *typed)
        self._sealer.note(Event(self._clock.when(), events.METER_EXCHANGED, was, device.name, what))
        await self._settle()
        await self._successors.settle(device.name, after(device, new).identity)
        return None

    def _is_known(self, device: Device, who: Identity) -> bool:
        wanted = self._successors.settled.get(device.name, device.identity)
        return fits(who, wanted)

    async def _visited(self, bus: Bus, device: Device, to: str | None) -> list[Reading]:
        """The reading of who answers there.

        Raises:
            AnotherMeter: it is not the configured meter, and not who may be the new one.
            LinkError, MeterError: nobody answers, or not clearly.
        """
        asked = anyone(device, to)
        found = await self._once(bus, asked)
        who = found[0].meter
        if self._is_known(device, who):
            return found
        again = await self._once(bus, asked)
        if again[0].meter != who:
            raise AnotherMeter(f"{named(who)} again", named(again[0].meter), device.name)
        number = who.id or who.fabrication
        if number is None or (to is not None and number != to.upper()):
            raise AnotherMeter(f"number {to or 'of a new meter'}", number or "none", device.name)
        others = [each for each in bus.device if each.name != device.name and number_of(each.identity)]
        if any(fits(who, each.identity) for each in others):
            raise AnotherMeter("a meter that is not configured yet", named(who), device.name)
        return again

    async def _once(self, bus: Bus, asked: Device) -> list[Reading]:
        """One visit over a line of its own; a converter may need a moment until it lets the daemon's go."""
        try:
            return await self._visit(bus, asked)
        except LinkError:
            await asyncio.sleep(REOPEN_S)
            return await self._visit(bus, asked)

    async def _visit(self, bus: Bus, asked: Device) -> list[Reading]:
        alone = with_devices(bus, (asked,))
        keep = self._configuration.seal.keep_telegrams
        mine = reader(alone, Positions({}), self._clock, keep, self._lines, self._counting)
        now_ms = self._clock.utc_ms()
        try:
            async with asyncio.timeout(VISIT_S):
                return await mine.read(at_once(asked, now_ms))
        except TimeoutError:
            raise PollTooLong(f"an answer within {VISIT_S:.0f} s", "none yet", asked.name) from None
        finally:
            mine.let_go()

    async def _settle(self) -> None:
        """What is in hand is on the disk.

        Raises:
            BufferFull, WriteFailed: it is not.
        """
        await self._sealer.flush()
        if self._sealer.full:
            raise BufferFull("room in the buffer", "none", "the buffer")
        if self._sealer.failing:
            raise WriteFailed("a disk that takes it", "one that does not", "the buffer")


def lending(pollers: Iterable[BusPoller]) -> Lend:
    """The lines of the pollers' buses."""
    lines = {each.name: each.lend for each in pollers}
    return lambda bus, work: lines[bus](work)


def find(configuration: Configuration, name: str) -> tuple[Bus, Device]:
    """A configured meter and its bus.

    Raises:
        UnknownMeter: there is none of this name.
    """
    found = {device.name: (bus, device) for bus in configuration.bus for device in bus.device}
    if name not in found:
        raise UnknownMeter(f"a meter: {', '.join(sorted(found))}", name, "the configuration")
    return found[name]


def anyone(device: Device, to: str | None) -> Device:
    """The device, whoever answers there; selected by the number `to` where its own is what it is selected by."""
    if not isinstance(device, MbusDevice):
        return replace(device, serial=None)
    if device.secondary is not None and to is None:
        return device
    plate: dict[str, Any] = {"id": None, "manufacturer": None, "version": None, "medium": None}
    if device.secondary is not None:
        plate["secondary"] = to
    return replace(device, **plate)


def after(device: Device, new: Identity) -> Device:
    """The device with the new meter's identity, as far as the old one's was given; its number always."""
    return replace(device, **keys_of(device, new))


def keys_of(device: Device, new: Identity) -> dict[str, Any]:
    """The keys of the configuration that name the new meter."""
    if not isinstance(device, MbusDevice):
        return {"serial": new.fabrication}
    given = {"manufacturer": new.manufacturer, "version": new.version, "medium": new.medium}
    number = "id" if device.secondary is None else "secondary"
    return {number: new.id} | {key: value for key, value in given.items() if getattr(device, key) is not None}


def plate(said: object) -> str:
    """What a person read from a plate, whole: it is sealed as it was typed.

    Raises:
        NotSealable: it is no text, or longer than one that a record holds.
    """
    octets = said.encode() if isinstance(said, str) else b""
    if not 0 < len(octets) <= limits.TEXT:
        got = f"{len(octets)} bytes" if isinstance(said, str) else type(said).__name__
        raise NotSealable(f"a text of 1 to {limits.TEXT} bytes", got, "the final value")
    return str(said)


def number_of(who: Identity) -> str | None:
    """What is written on a plate, where it is known."""
    return who.id or who.fabrication


def shows(found: list[Reading]) -> list[str]:
    """Some of what a reading shows, in words."""
    values = [value for each in found for value in each.values]
    numbers = [each for each in values if isinstance(each.number, Scaled) and each.state is State.OK and each.unit]
    return [f"{each.key} {each.number} {each.unit}"[: limits.TEXT] for each in numbers[:SHOWN]]
