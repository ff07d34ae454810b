"""What gateways reported of their devices: what fails now, what is configured, and under which name a meter was read.

Derived from the sealed records and readings and kept beside them, in the same transaction. Events tell of changes only,
so the newest of failed and recovered decides for each bus and device; a start of the gateway forgets what failed before
it, because the new process says again what still fails. Newest is told by the place in the chain within an epoch, and
between epochs by the gateway's clock (by our receipt where that clock was not synchronised).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from collector.store.series import meter_name
from collector.store.sql import Connection
from protocols.errors import PlombaError
from protocols.reading import Identity
from protocols.uplink import limits
from protocols.uplink.leaf import identity_to_wire
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.proof import leaf_from
from protocols.uplink.records import CONFIGURATION, EVENT, Configuration, Event

FAILED = frozenset({"poll-failed", "identity-mismatch", "bus-failed"})  # parameters: bus, code, text
RECOVERED = frozenset({"poll-recovered", "bus-recovered"})  # bus, code
CHANGED = "meter-changed"  # the event's meter is the old one; parameters: bus, the new one (packed), since, words
RETURNED = "meter-returned"
EXCHANGED = "meter-exchanged"
SETTLED = frozenset({RETURNED, EXCHANGED})  # the same: nobody is in another's place any more
NEWCOMER = "newcomer-found"  # the same parameters, and no old meter: the device is a name of its only reading
START = "start"
_CONFIGURED = "configuration"  # beside the events: where the newest one stands
# ... who took whose place, by device; whose series ended, and who was found and read once, both by meter.
_PLACE, _ENDED, _ONCE = "=place", "=ended", "=once"
CONTENT_PARTS = 3  # of a configuration's content: version, gateway, buses
BUSES, DEVICES = 64, 250  # of a configuration, and of a bus


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a record stands: its epoch, number and leaf, and its time (ms) for what is in another epoch."""

    epoch: bytes
    seq: int
    leaf: int
    moment: int

    def after(self, other: Stand) -> bool:
        """Whether this is newer."""
        if self.epoch == other.epoch:
            return (self.seq, self.leaf) > (other.seq, other.leaf)
        return self.moment > other.moment


@dataclass(frozen=True, slots=True)
class Failure:
    """What a gateway said fails and has not recovered: a bus, or (with `device`) a device, since `at_ms`."""

    gateway: str
    bus: str
    device: str
    event: str
    code: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Device:
    """A configured device; `at_ms`: when the gateway reported the configuration."""

    gateway: str
    bus: str
    device: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Name:
    """A meter (its name in addresses) and a device name under which it was read, last at `read_ms`."""

    gateway: str
    device: str
    name: str
    read_ms: int


@dataclass(frozen=True, slots=True)
class Stranger:
    """A meter that answers in place of a device's known one since `at_ms`; `identity`: as packed on the wire.

    A `newcomer` was found by its gateway beside devices that are silent, and nobody configured it.
    """

    gateway: str
    device: str
    identity: bytes
    at_ms: int
    newcomer: bool = False


class DeviceTable:
    """The tables trouble, configured, name and tally."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def note(self, gateway: str, place: tuple[bytes, int, int], record: object, received_ms: int) -> None:
        """Take up a record at (epoch, seq, leaf), where it says something of devices."""
        if not isinstance(record, Event | Configuration):
            return
        when = record.when
        stand = Stand(*place, when.at_ms if when.quality.synchronised else received_ms)
        if isinstance(record, Configuration):
            self._configure(gateway, stand, record)
        elif record.code == START:
            self._start(gateway, stand, when.at_ms)
        elif record.code in FAILED | RECOVERED:
            self._change(gateway, stand, record)
        elif record.code in {CHANGED, NEWCOMER} or record.code in SETTLED:
            self._replace(gateway, stand, record)

    def read(self, gateway: str, found: Iterable[tuple[bytes, str, int]], new: int) -> None:
        """Readings that came: (meter, device, gateway's time), and how many of them were new."""
        self._sql.executemany(
            "INSERT INTO name VALUES (?, ?, ?, ?) ON CONFLICT (gateway, device, name) DO UPDATE SET read_ms ="
            " CASE WHEN excluded.read_ms > name.read_ms THEN excluded.read_ms ELSE name.read_ms END",
            [(gateway, device, meter_name(meter), at_ms) for meter, device, at_ms in _newest(found)],
        )
        self._count(gateway, new)

    def failing(self) -> list[Failure]:
        """What fails now, buses first, by gateway and name."""
        rows = self._sql.execute(
            "SELECT gateway, substr(bus, 2), device, event, code, at_ms FROM trouble WHERE failing = 1"
            " AND bus LIKE '/%'"
            " ORDER BY device <> '', gateway, bus, device"
        )
        return [Failure(*row) for row in rows]

    def strangers(self) -> list[Stranger]:
        """Who answers in another meter's place: its readings are nobody's until an exchange is recorded."""
        rows = self._sql.execute(
            "SELECT gateway, device, code, at_ms, event = ? FROM trouble WHERE failing = 1 AND bus = ?"
            " ORDER BY gateway, device",
            (NEWCOMER, _PLACE),
        )
        return [
            Stranger(gateway, device, bytes.fromhex(code), at_ms, bool(found))
            for gateway, device, code, at_ms, found in rows
        ]

    def ended(self) -> dict[tuple[str, str], int]:
        """By gateway and a meter's name in addresses: when its series ended, for another meter took its place."""
        return self._of_meters(_ENDED)

    def once(self) -> dict[tuple[str, str], int]:
        """... until when a newcomer's readings are its only ones: no others are expected."""
        return self._of_meters(_ONCE)

    def configured(self) -> list[Device]:
        """The devices of every gateway's newest configuration."""
        return [Device(*row) for row in self._sql.execute("SELECT * FROM configured ORDER BY gateway, bus, device")]

    def names(self, meter: str | None = None) -> list[Name]:
        """The device names under which meters (or this one) were read."""
        rows = self._sql.execute(
            "SELECT gateway, device, name, read_ms FROM name WHERE CAST(?1 AS TEXT) IS NULL OR name = ?1"
            " ORDER BY gateway, device",
            (meter,),
        )
        return [Name(*row) for row in rows]

    def stored(self) -> dict[str, int]:
        """How many readings came from each gateway that were new; never falls."""
        return dict(self._sql.execute("SELECT gateway, readings FROM tally"))

    def rebuild(self, named: Callable[[bytes, str], tuple[bytes, str, int] | None]) -> None:
        """Make the tables anew; `named` tells (meter, device, time) of a newest row's gateway and sealed leaf."""
        for table in ("trouble", "configured", "name", "tally"):
            self._sql.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
        counted = "SELECT gateway, count(*) FROM reading WHERE variant = 0 GROUP BY gateway"
        for gateway, new in self._sql.execute(counted).fetchall():
            self._count(gateway, new)
        newest = (
            "SELECT r.sealed, r.gateway FROM series s JOIN reading r ON (r.meter, r.how, r.moment, r.part)"
            " = (s.meter, s.how, s.moment, s.part)"
        )
        for sealed, gateway in self._sql.execute(newest).fetchall():
            found = named(sealed, gateway)
            self.read(gateway, [found] if found else [], 0)
        records = (
            "SELECT r.gateway, r.epoch, r.seq, r.leaf, r.sealed, coalesce(e.received_ms, 0) FROM record r"
            " LEFT JOIN evidence e ON e.gateway = r.gateway AND e.n = r.n WHERE r.kind IN (?, ?) ORDER BY r.n, r.leaf"
        )
        for gateway, *place, sealed, received_ms in self._sql.execute(records, (EVENT, CONFIGURATION)).fetchall():
            self.note(gateway, (place[0], place[1], place[2]), _parsed(sealed), received_ms)

    def _configure(self, gateway: str, stand: Stand, record: Configuration) -> None:
        if not self._newer(gateway, stand, _CONFIGURED):
            return
        self._put(gateway, stand, (_CONFIGURED, "", _CONFIGURED, "", record.when.at_ms, 0))
        self._forget_newcomers(gateway, "%")  # each process says again whom it does not know
        self._sql.execute("DELETE FROM configured WHERE gateway = ?", (gateway,))
        self._sql.executemany(
            "INSERT INTO configured VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(gateway, bus, device, record.when.at_ms) for bus, device in devices_of(record.content)],
        )

    def _start(self, gateway: str, stand: Stand, at_ms: int) -> None:
        """What failed before it is forgotten."""
        if not self._newer(gateway, stand, START):
            return
        rows = self._sql.execute(
            "SELECT bus, device, epoch, seq, leaf, moment FROM trouble WHERE gateway = ? AND bus LIKE '/%'",
            (gateway,),
        ).fetchall()
        for bus, device, *known in rows:
            if stand.after(Stand(*known)):
                self._sql.execute(
                    "DELETE FROM trouble WHERE gateway = ? AND bus = ? AND device = ?", (gateway, bus, device)
                )
        self._put(gateway, stand, (START, "", START, "", at_ms, 0))

    def _change(self, gateway: str, stand: Stand, event: Event) -> None:
        """A bus or device failed or works again; a bus is named with a slash before it, so that it meets nothing."""
        bus, code = (str(each) for each in (*event.parameters, "", "")[:2])
        bus, device = f"/{bus}", event.device or ""
        if self._newer(gateway, stand, bus, device) and self._newer(gateway, stand, START):
            failing = int(event.code in FAILED)
            self._put(gateway, stand, (bus, device, event.code, code, event.when.at_ms, failing))

    def _replace(self, gateway: str, stand: Stand, event: Event) -> None:
        """Another meter is in a device's place, or no more; a start changes nothing of it."""
        device, (_, new, since_ms, *_) = event.device or "", (*event.parameters, None, None, None)
        if (
            not isinstance(new, bytes)
            or not isinstance(since_ms, int)
            or not self._newer(gateway, stand, _PLACE, device)
        ):
            return
        changed, went = event.code in {CHANGED, NEWCOMER}, event.code != RETURNED
        if event.code == EXCHANGED:
            self._forget_newcomers(gateway, new.hex())
        self._put(gateway, stand, (_PLACE, device, event.code, new.hex(), since_ms, int(changed)))
        if event.code == NEWCOMER and (name := _maybe_name(new)) is not None:
            self._put(gateway, stand, (_ONCE, name, event.code, "", event.when.at_ms, 1))
        if event.meter is not None:
            old = meter_name(_key(event.meter))
            self._put(gateway, stand, (_ENDED, old, event.code, "", since_ms, int(went)))

    def _of_meters(self, kind: str) -> dict[tuple[str, str], int]:
        rows = self._sql.execute("SELECT gateway, device, at_ms FROM trouble WHERE failing = 1 AND bus = ?", (kind,))
        return {(gateway, meter): at_ms for gateway, meter, at_ms in rows}

    def _forget_newcomers(self, gateway: str, identity: str) -> None:
        """Those of this identity (hex; %: all) are somebody's now, or are told again."""
        self._sql.execute(
            "UPDATE trouble SET failing = 0 WHERE gateway = ? AND bus = ? AND event = ? AND code LIKE ?",
            (gateway, _PLACE, NEWCOMER, identity),
        )

    def _newer(self, gateway: str, stand: Stand, bus: str, device: str = "") -> bool:
        row = self._sql.execute(
            "SELECT epoch, seq, leaf, moment FROM trouble WHERE gateway = ? AND bus = ? AND device = ?",
            (gateway, bus, device),
        ).fetchone()
        return row is None or stand.after(Stand(*row))

    def _put(self, gateway: str, stand: Stand, what: tuple[str, str, str, str, int, int]) -> None:
        place = (stand.epoch, stand.seq, stand.leaf, stand.moment)
        self._sql.execute(
            "INSERT INTO trouble VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (gateway, bus, device) DO UPDATE SET"
            " event = excluded.event, code = excluded.code, at_ms = excluded.at_ms, failing = excluded.failing,"
            " epoch = excluded.epoch, seq = excluded.seq, leaf = excluded.leaf, moment = excluded.moment",
            (gateway, *what, *place),
        )

    def _count(self, gateway: str, new: int) -> None:
        self._sql.execute(
            "INSERT INTO tally VALUES (?, ?) ON CONFLICT (gateway)"
            " DO UPDATE SET readings = tally.readings + excluded.readings",
            (gateway, new),
        )


def _key(meter: Identity) -> bytes:
    """A meter as its readings have it, where nothing is behind it."""
    return pack([identity_to_wire(meter), None])


def _maybe_name(identity: bytes) -> str | None:
    """A meter's name in addresses, by its packed identity; None where that is none."""
    try:
        return meter_name(pack([unpack(identity, limits.BODY, "identity"), None]))
    except PlombaError:
        return None


def devices_of(content: bytes) -> list[tuple[str, str]]:
    """(bus, device) of a configuration's content; nothing of one that another version made."""
    try:
        parts = Fields(unpack(content, limits.BODY, "configuration"), "configuration", CONTENT_PARTS)
        parts.integer("version")
        parts.text("gateway")
        buses = [Fields(each, "bus", 2) for each in parts.array("buses", BUSES)]
        return [
            (name, Fields(each, "device", 1).text("name"))
            for bus in buses
            for name in [bus.text("name")]
            for each in bus.array("devices", DEVICES)
        ]
    except PlombaError:
        return []


def _newest(found: Iterable[tuple[bytes, str, int]]) -> list[tuple[bytes, str, int]]:
    times: dict[tuple[bytes, str], int] = {}
    for meter, device, at_ms in found:
        times[meter, device] = max(at_ms, times.get((meter, device), at_ms))
    return [(meter, device, at_ms) for (meter, device), at_ms in times.items()]


def _parsed(sealed: bytes) -> object:
    try:
        return leaf_from(sealed)
    except PlombaError:
        return None
