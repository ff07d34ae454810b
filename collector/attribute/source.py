"""What attribution takes from the store: the installations of a point with what their meters showed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from collector.attribute.clock import Clock
from collector.attribute.intervals import Near
from collector.attribute.serving import OWN, Window, moments, seen_as, serving
from collector.attribute.words import CONFLICT, HELD, Seen, Served
from collector.attribute.words import PARTIAL as NOT_WHOLE
from collector.master.channels import Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.master.whose import Shown
from collector.store.interface import Store
from collector.store.master_identity import Key
from collector.store.readings import PARTIAL, ReadingRow
from protocols.errors import PlombaError
from protocols.reading import How
from protocols.uplink.leaf import SealedReading, leaf_from_bytes


class Source:
    """Reads one store; what it has read of a window is kept until `forget`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[str, str, Window], list[Seen]] = {}
        self._keys: dict[str, list[bytes]] = {}
        self._whose: dict[tuple[bytes, str, str], _Whose] = {}

    def forget(self) -> None:
        """What was read is read again when it is wanted."""
        self._seen.clear()
        self._keys.clear()
        self._whose.clear()

    def served(self, channel: Channel, start_ms: int, end_ms: int, near: Near) -> list[Served]:
        """The installations that meet a page of a channel and its surroundings, by time.

        Raises:
            ZoneError: an installation names a zone that is none.
        """
        return serving(self, channel, (start_ms, end_ms), near)

    def installed(self, point: str, span: Span) -> list[Installation]:
        """The installations of a point that meet a span."""
        return self._store.master.installations.during(span, point=point)

    def registers(self, meter: str, name: str) -> list[Register]:
        """The rows of a register of a meter, by time."""
        return self._store.master.registers.all(meter=meter, name=name)

    def seen(self, installation: Installation, window: Window) -> list[Seen]:
        """The readings of an installed meter in a window, and a little around it."""
        wanted = (installation.meter, installation.clock, window)
        if wanted not in self._seen:
            clock = Clock(installation.clock)
            self._seen[wanted] = [
                each
                for key in self.keys_of(installation.meter)
                for each in self._of_key(installation.meter, key, clock, window)
            ]
        return self._seen[wanted]

    def keys_of(self, meter: str) -> list[bytes]:
        """The packed keys under which readings of a meter stand, as far as they were looked at (`Looking`)."""
        if meter not in self._keys:
            master = self._store.master
            found = [key for each in master.meters.all(meter=meter) for key in master.identities.read_as(each)]
            for each in master.mapped.all(meter=meter):
                found += master.identities.read_at(each.gateway, each.device)
            self._keys[meter] = list(dict.fromkeys(found))
        return self._keys[meter]

    def whose(self, key: bytes, gateway: str, device: str, at_ms: int) -> Shown:
        """Whose the values of a reading are that was read at an instant."""
        place = (key, gateway, device)
        if place not in self._whose:
            self._whose[place] = _Whose(self._store, *place)
        return self._whose[place].at(at_ms)

    def _of_key(self, meter: str, key: bytes, clock: Clock, window: Window) -> Iterator[Seen]:
        for how in (How.READ, *OWN):
            for low, high in moments(how, clock, window):
                for (moment, _, variant), row in self._store.readings.between(key, int(how), low, high):
                    found = self.of_row(meter, key, moment, variant, row)
                    if found is not None:
                        yield found

    def of_row(self, meter: str, key: bytes, moment: str, variant: int, row: ReadingRow) -> Seen | None:
        """A stored reading as it is for a meter; None where nothing of it is the meter's."""
        try:
            reading = SealedReading.from_wire(leaf_from_bytes(row.sealed))
        except PlombaError:
            return None  # erased, or altered: who shows it says so
        whose = self.whose(key, row.place.gateway, reading.device, reading.at_ms)
        return seen_as(meter, whose, reading, (moment, variant, _doubt(row)))


class _Whose:
    """Whose a device's values are, and when that changes."""

    def __init__(self, store: Store, key: bytes, gateway: str, device: str) -> None:
        self._store = store
        self._key = Key.from_bytes(key)
        self._gateway, self._device = gateway, device
        spans = [each.span for each in store.master.mapped.all(gateway=gateway, device=device)]
        spans += [each.span for each in store.master.identities.like(self._key.identity, Span(0))]
        self._changes = sorted({at for each in spans for at in (each.from_ms, each.to_ms) if at is not None})
        self._known: dict[int, Shown] = {}

    def at(self, at_ms: int) -> Shown:
        """At an instant."""
        place = bisect_right(self._changes, at_ms)
        if place not in self._known:
            identity, sub = self._key.identity, self._key.sub
            self._known[place] = self._store.master.shown(identity, sub, self._gateway, self._device, at_ms)
        return self._known[place]


def _doubt(row: ReadingRow) -> str:
    """Why a stored reading must not feed, or empty."""
    if row.conflict:
        return CONFLICT
    if PARTIAL in row.held:
        return NOT_WHOLE
    return HELD if row.held else ""
