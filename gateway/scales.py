"""What DLMS meters said of their registers, kept between visits and over restarts: scalers, units, sort methods.

Rules. What is kept counts for one identity and one firmware, which every visit asks for, and for a week, as what is set
anew in a meter need not show in its firmware; where a meter does not say its firmware, for a day. What a profile
captures is asked for in every visit, too: where it has changed, nothing that was kept counts any more. The file is
whole or it is nothing: what does not match its own hash is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gateway.files import write_whole
from gateway.writer import InlineWriter, Writer
from protocols.dlms import data as axdr
from protocols.dlms.data import Data
from protocols.dlms.objects import Attribute, ScalerUnit
from protocols.errors import PlombaError
from protocols.reading import Identity
from protocols.uplink.leaf import identity_from_wire, identity_to_wire
from protocols.uplink.pack import Fields, Wire, pack, unpack

FILE = "scales.plomba"
VERSION = 1
HASH = 32
MOST_BYTES = 8 * 1024 * 1024  # 1,000 meters with 200 registers each
MOST_METERS = 4_096
MOST_SCALES = 1_024  # of a meter; beyond them they are read in every visit
MOST_PROFILES = 64
ATTRIBUTE = 9  # bytes: class, logical name, number
SCALER = 16  # bytes of a structure of two small numbers
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS

log = structlog.get_logger("plomba.gateway")


@dataclass(slots=True)
class Scales:
    """What one meter said; `firmware` is the hash of what it says of it, None: it does not say; since `since_ms`.

    `profiles`: of each profile by its logical name the hash of what it captures, and whether its newest row is the
    first (None: not asked).
    """

    meter: Identity
    firmware: bytes | None
    since_ms: int
    scalers: dict[Attribute, Data] = field(default_factory=dict)
    profiles: dict[bytes, tuple[bytes, bool | None]] = field(default_factory=dict)
    changed: bool = True  # ... since it was kept
    denied: set[Attribute] = field(default_factory=set)  # scalers that it does not tell; forgotten at a restart

    def missing(self, wanted: Iterable[Attribute]) -> list[Attribute]:
        """The scalers of registers that are not known, and may be told."""
        scalers = dict.fromkeys(each.scaler for each in wanted)
        return [each for each in scalers if each is not None and each not in self.scalers and each not in self.denied]

    def learn(self, scaler: Attribute, said: Data) -> None:
        """What a meter says under this attribute.

        Raises:
            Malformed: it is no scaler; it is not kept.
        """
        ScalerUnit.from_data(said)
        self.scalers[scaler] = said
        self.changed = True

    def of(self, register: Attribute) -> ScalerUnit | None:
        """The scaler and unit of a register; None where it has none, or it was not read."""
        said = None if register.scaler is None else self.scalers.get(register.scaler)
        return None if said is None else ScalerUnit.from_data(said)

    def captures(self, profile: bytes, captured: Data) -> None:
        """What a profile captures; where it was something else before, nothing is known any more."""
        found = hashlib.sha256(axdr.to_bytes(captured)).digest()
        known = self.profiles.get(profile)
        if known is not None and known[0] == found:
            return
        if known is not None:
            self.scalers.clear()
            self.denied.clear()
            self.profiles.clear()
        self.profiles[profile] = found, None
        self.changed = True

    def newest_first(self, profile: bytes) -> bool | None:
        """Whether its newest row is the first; None: not known."""
        return self.profiles[profile][1] if profile in self.profiles else None

    def sorts(self, profile: bytes, newest_first: bool) -> None:
        """Whether its newest row is the first."""
        if profile in self.profiles:
            self.profiles[profile] = self.profiles[profile][0], newest_first
            self.changed = True


class ScaleStore:
    """What all meters of a gateway said; without a folder it is forgotten in the end."""

    def __init__(self, folder: Path | None = None, writer: Writer | None = None) -> None:
        self._path = None if folder is None else folder / FILE
        self._writer: Writer = writer or InlineWriter()
        self._meters: dict[str, Scales] | None = None
        self._failed = False

    async def last(self, device: str) -> Identity | None:
        """Which meter of a device something is known of, however old it is."""
        found = (await self._known()).get(device)
        return None if found is None else found.meter

    async def of(self, device: str, meter: Identity, utc_ms: int) -> Scales | None:
        """What is known of a device; None where it is another meter now, or it is too old."""
        found = (await self._known()).get(device)
        if found is None or found.meter != meter:
            return None
        kept_ms = DAY_MS if found.firmware is None else WEEK_MS
        return found if 0 <= utc_ms - found.since_ms < kept_ms else None

    def forget(self, device: str) -> None:
        """What is known of a device counts no more."""
        if self._meters is not None:
            self._meters.pop(device, None)

    async def keep(self, device: str, scales: Scales) -> None:
        """Keep what was learnt; a disk that does not take it costs a question at the next start, and is told once."""
        if self._meters is None or not scales.changed:
            return
        known = self._meters
        known.pop(device, None)
        known[device] = scales
        while len(known) > MOST_METERS:
            del known[next(iter(known))]
        scales.changed = False
        if self._path is None:
            return
        path = self._path
        try:
            octets = to_bytes(known)
            await self._writer.do(lambda: write_whole(path, octets))
            self._failed = False
        except (OSError, PlombaError) as error:
            if not self._failed:
                log.warning("scales-not-kept", error=str(error))
            self._failed = True

    async def _known(self) -> dict[str, Scales]:
        if self._meters is None:
            self._meters = {} if self._path is None else await self._writer.do(self._read)
        return self._meters

    def _read(self) -> dict[str, Scales]:
        """What the file has; nothing where it is not there, or not whole."""
        if self._path is None:
            return {}
        try:
            with self._path.open("rb") as file:
                return from_bytes(file.read(MOST_BYTES + HASH + 1))
        except FileNotFoundError:
            return {}
        except (OSError, PlombaError) as error:
            log.warning("scales-unreadable", error=str(error))
            return {}


def from_bytes(octets: bytes) -> dict[str, Scales]:
    """What a file has, by device.

    Raises:
        PlombaError: it is not what was written.
    """
    body = octets[HASH:]
    fields = Fields([octets[:HASH]], "scales", 1)
    if fields.octets("hash", HASH) != hashlib.sha256(body).digest():
        body = b""
    read = Fields(unpack(body, MOST_BYTES, "scales"), "scales", 2)
    read.integer("version", VERSION, VERSION)
    return dict(_meter_from_wire(each) for each in read.array("meters", MOST_METERS))


def to_bytes(known: dict[str, Scales]) -> bytes:
    """The file.

    Raises:
        PlombaError: what a meter said of itself has no form in it.
    """
    body = pack([VERSION, [_meter_to_wire(name, each) for name, each in known.items()]])
    return hashlib.sha256(body).digest() + body


def _meter_to_wire(device: str, scales: Scales) -> Wire:
    said = [(each, axdr.to_bytes(found)) for each, found in scales.scalers.items()]
    scalers: list[Wire] = [[_name(each), octets] for each, octets in said if len(octets) <= SCALER]
    profiles = list(scales.profiles.items())[:MOST_PROFILES]
    return [
        device,
        pack(identity_to_wire(scales.meter)),
        scales.firmware,
        scales.since_ms,
        scalers[:MOST_SCALES],
        [[name, captured, None if first is None else int(first)] for name, (captured, first) in profiles],
    ]


def _name(scaler: Attribute) -> bytes:
    return scaler.class_id.to_bytes(2, "big") + scaler.name + bytes((scaler.number,))


def _meter_from_wire(wire: Wire) -> tuple[str, Scales]:
    fields = Fields(wire, "meter", 6)
    device, meter = fields.text("device"), identity_from_wire(unpack(fields.octets("identity"), MOST_BYTES, "identity"))
    firmware, since_ms = fields.maybe_octets("firmware", HASH), fields.integer("since", 0)
    scalers = dict(_scaler_from_wire(each) for each in fields.array("scalers", MOST_SCALES))
    profiles = dict(_profile_from_wire(each) for each in fields.array("profiles", MOST_PROFILES))
    return device, Scales(meter, firmware, since_ms, scalers, profiles, changed=False)


def _scaler_from_wire(wire: Wire) -> tuple[Attribute, Data]:
    fields = Fields(wire, "scaler", 2)
    name = fields.octets("attribute", ATTRIBUTE)
    attribute = Attribute(int.from_bytes(name[:2], "big"), name[2:8], name[8])
    return attribute, axdr.from_bytes(fields.octets("said", limit=SCALER))


def _profile_from_wire(wire: Wire) -> tuple[bytes, tuple[bytes, bool | None]]:
    fields = Fields(wire, "profile", 3)
    name, captured, first = (
        fields.octets("name", 6),
        fields.octets("captured", HASH),
        fields.maybe_integer("first", 0, 1),
    )
    return name, (captured, None if first is None else bool(first))
