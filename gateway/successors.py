"""Meters that answer in place of the configured ones, in a file of their own in the state folder.

A file that was lost or does not read costs no reading: the next two visits say again who answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Configuration
from gateway.files import keep_whole, read_at_most
from gateway.findings import Finding, Mark
from gateway.writer import Writer
from protocols.errors import PlombaError
from protocols.reading import Identity
from protocols.uplink import limits
from protocols.uplink.leaf import identity_from_wire, identity_to_wire, instant
from protocols.uplink.pack import Fields, pack, unpack

FILE = "successors"
FORM = 1  # of the file
MOST = 16_000  # meters that one gateway may have
IDENTITY = 32  # elements of an identity, as on the wire
FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Successor:
    """Who answers at a device in place of the configured meter (`wanted`, as far as given), since when (ms UTC).

    `last` is all that the configured meter said of itself when it was read last, where this is known.
    """

    device: str
    wanted: Identity
    found: Identity
    since_ms: int
    last: Identity | None = None

    @property
    def old(self) -> Identity:
        """The meter whose series has ended."""
        return self.wanted if self.last is None else self.last


class Successors:
    """Who took whose place; one for all buses, so that one file holds them.

    Args:
        folder: the state folder.
        writer: writes the file; without one nothing is written.
    """

    def __init__(self, folder: Path, writer: Writer | None, configuration: Configuration) -> None:
        self._path, self._writer = folder / FILE, writer
        self._known = {each.device: each for each in standing(configuration)}
        self.settled: dict[str, Identity] = {}  # whose exchange this process recorded: who is its device's from then on

    def of(self, device: str) -> Successor | None:
        """Who is read in place of the device's configured meter; None: that meter itself."""
        return self._known.get(device)

    async def put(self, device: str, found: Successor | None) -> None:
        """Remember it, on the disk before this returns.

        Raises:
            WriteFailed: the disk did not take it; it is remembered until the process ends.
        """
        self._known.pop(device, None)
        if found is not None:
            self._known[device] = found
        if self._writer is not None:
            octets = to_bytes(self._known.values())
            await self._writer.do(lambda: keep_whole(self._path, octets))

    async def settle(self, device: str, new: Identity) -> None:
        """An exchange is recorded: the device's meter is `new`, whatever the configuration says until the next start.

        Raises:
            WriteFailed: as for `put`.
        """
        self.settled[device] = new
        await self.put(device, None)


def standing(configuration: Configuration) -> list[Successor]:
    """Who answers in place of which configured meter, by device; what a new configuration has settled is left out."""
    wanted = {device.name: device.identity for bus in configuration.bus for device in bus.device}
    return [each for each in read(configuration.state_folder) if wanted.get(each.device) == each.wanted]


def read(folder: Path) -> list[Successor]:
    """What the file in the state folder holds; nothing where there is none, or it does not read."""
    try:
        return from_bytes(read_at_most(folder / FILE, FILE_BYTES))
    except (OSError, PlombaError):
        return []


def to_bytes(found: Iterable[Successor]) -> bytes:
    """The file's content."""
    rows = [
        [
            each.device,
            identity_to_wire(each.wanted),
            identity_to_wire(each.found),
            each.since_ms,
            None if each.last is None else identity_to_wire(each.last),
        ]
        for each in found
    ]
    return pack([FORM, rows])


def from_bytes(octets: bytes) -> list[Successor]:
    """The file's content.

    Raises:
        PlombaError: it is another one.
    """
    parts = Fields(unpack(octets, FILE_BYTES, FILE), FILE, 2)
    parts.integer("form", FORM, FORM)
    return [_row(Fields(each, FILE, 5)) for each in parts.array("devices", MOST)]


def _row(row: Fields) -> Successor:
    device, wanted, found = row.text("device", limits.TEXT), row.array("wanted", IDENTITY), row.array("found", IDENTITY)
    since_ms, last = instant(row, "since"), row.maybe_array("last", IDENTITY)
    was = None if last is None else identity_from_wire(last)
    return Successor(device, identity_from_wire(wanted), identity_from_wire(found), since_ms, was)


def named(who: Identity) -> str:
    """A meter as a technician reads it on the plate, and as `exchange --to` takes it: manufacturer and number."""
    number = who.id or who.fabrication or who.logical_name or "without a number"
    pairs = (("version", who.version), ("medium", who.medium))
    more = [f"{name} {value:02x}" for name, value in pairs if value is not None]
    return " ".join(filter(None, (who.manufacturer, number, *more)))


def findings(found: Iterable[Successor]) -> list[Finding]:
    """What `check` says of them."""
    return [Finding(Mark.HINT, f"meter {each.device}", said(each), "", order(each)) for each in found]


def said(each: Successor) -> str:
    """In words, beside when it began."""
    return f"{named(each.found)} answers in place of {named(each.old)}; its readings are sealed, attributed to nobody"


def order(each: Successor) -> str:
    """What to do about it."""
    return f"was it exchanged? 'plomba-gateway exchange \"{each.device}\" --config FILE' records it"
