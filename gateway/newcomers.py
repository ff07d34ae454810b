"""Meters that nobody configured, found on a line where a configured one is silent; in a file of their own.

The file in the state folder holds for each M-Bus line who is silent, who was found, how much of the day's bounds is
spent, and where the search goes on. A file that was lost or does not read costs a search, and no reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config import Configuration, MbusBus
from gateway.faults import StateUnusable
from gateway.files import keep_whole, read_at_most
from gateway.findings import Finding, Mark
from gateway.successors import named
from gateway.writer import Writer
from protocols.reading import Identity, Protocol

FILE = "newcomers.json"
FILE_BYTES = 8 * 1024 * 1024  # a search that meets much noise comes to a hundredth of it
MOST = 64  # newcomers of one line: beyond them the line is not the configured one
ANY = 255  # as medium: every one
FAMILIES = ({0x04, 0x0A, 0x0B, 0x0C, 0x0D}, {0x06, 0x15}, {0x07, 0x16, 0x17})  # heat and cooling, hot, cold water

Instant = Annotated[int, Field(ge=0, le=4_102_444_800_000)]  # ms UTC, up to 2100
Count = Annotated[int, Field(ge=0, le=10**9)]
Octet = Annotated[int, Field(ge=0, le=255)]
Text = Annotated[str, Field(max_length=128, pattern=r"^[ -~]*$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Silent(_Row):
    """A device that does not answer, since when, and its meter's medium where that is known."""

    device: Text
    since_ms: Instant
    medium: Octet | None = None


class Newcomer(_Row):
    """A meter that no device explains, as it says who it is, and when it was found."""

    number: Annotated[str, Field(pattern=r"^[0-9A-F]{8}$")]
    manufacturer: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None
    version: Octet
    medium: Octet
    found_ms: Instant
    is_read: bool = False

    @property
    def identity(self) -> Identity:
        """As its readings have it."""
        return Identity(Protocol.MBUS, self.manufacturer, self.number, self.version, self.medium)

    @property
    def device(self) -> str:
        """What its reading is named: no device of the configuration."""
        return f"newcomer {self.number}"


class Sought(_Row):
    """The search on one line; counts are of the `day` (UTC, days since 1970).

    `media` are those that it still has to look at, the first of them now; `search` is where it goes on there; `done`:
    nothing is left for today; `why` it rests before its end.
    """

    silent: Annotated[tuple[Silent, ...], Field(max_length=250, strict=False)] = ()
    newcomers: Annotated[tuple[Newcomer, ...], Field(max_length=MOST, strict=False)] = ()
    day: Count = 0
    selections: Count = 0
    busy_ms: Count = 0
    questions: dict[Text, Count] = {}
    media: Annotated[tuple[Octet, ...], Field(max_length=256, strict=False)] = ()
    search: dict[str, Any] | None = None
    done: bool = False
    why: Text = ""


class _File(_Row):
    bus: dict[str, Sought]


class Newcomers:
    """What is known of all lines, on the disk too; `writer` writes it, without one nothing is written."""

    def __init__(self, folder: Path, writer: Writer | None) -> None:
        self._path, self._writer = folder / FILE, writer
        self._known = read(folder)

    def of(self, bus: str) -> Sought:
        """The search on a line."""
        return self._known.get(bus, Sought())

    async def put(self, bus: str, sought: Sought) -> None:
        """Remember it, on the disk before this returns.

        Raises:
            WriteFailed: the disk did not take it; it is remembered until the process ends.
        """
        self._known[bus] = sought
        if self._writer is not None:
            octets = to_bytes(self._known)
            await self._writer.do(lambda: keep_whole(self._path, octets))


@dataclass(frozen=True, slots=True)
class Offer:
    """A newcomer, and the silent devices in whose place it may be; `sure`: these two and no other fit each other."""

    bus: str
    newcomer: Newcomer
    devices: tuple[str, ...]
    sure: bool

    @property
    def text(self) -> str:
        """In words, behind who it is."""
        if not self.devices:
            return "nobody configured it"
        if self.sure:
            return f"{self.devices[0]} is silent: was it exchanged for this one?"
        return f"nobody configured it; silent are {', '.join(self.devices)}"

    @property
    def order(self) -> str:
        """What to do about it."""
        name = self.devices[0] if self.sure else "METER"
        return f'plomba-gateway exchange "{name}" --to {self.newcomer.number} --config FILE'


def compatible(one: int | None, other: int | None) -> bool:
    """Whether a meter of one medium may be in the place of one of the other; None: it is not known."""
    return one is None or other is None or other in kin(one)


def kin(medium: int) -> set[int]:
    """The media of meters that do the same."""
    return next((each for each in FAMILIES if medium in each), {medium})


def offers(bus: str, silent: Iterable[Silent], newcomers: Iterable[Newcomer]) -> list[Offer]:
    """Each newcomer with the silent devices that it fits."""
    silent, newcomers = tuple(silent), tuple(newcomers)
    fitting = {each: [one for one in silent if compatible(one.medium, each.medium)] for each in newcomers}
    rivals = [one.device for some in fitting.values() for one in some]
    return [
        Offer(
            bus,
            each,
            tuple(one.device for one in some),
            len(some) == 1 and rivals.count(some[0].device) == 1,
        )
        for each, some in fitting.items()
    ]


def standing(configuration: Configuration) -> list[Offer]:
    """What was found and the configuration does not explain, line by line."""
    known = read(configuration.state_folder)
    found = []
    for bus in configuration.bus:
        if isinstance(bus, MbusBus) and bus.name in known:
            mine, plates = known[bus.name], [device.identity for device in bus.device]
            names = {device.name for device in bus.device}
            left = [each for each in mine.newcomers if not any(explains(plate, each) for plate in plates)]
            found += offers(bus.name, (each for each in mine.silent if each.device in names), left)
    return found


def searches(configuration: Configuration) -> dict[str, Sought]:
    """By line: the searches for who may be in place of silent ones."""
    known = read(configuration.state_folder)
    names = (bus.name for bus in configuration.bus if isinstance(bus, MbusBus))
    return {name: known[name] for name in names if name in known and known[name].silent}


def explains(who: Identity, newcomer: Newcomer) -> bool:
    """Whether a meter with a number, as far as it is known, is the newcomer."""
    pairs = (
        (who.manufacturer, newcomer.manufacturer),
        (who.version, newcomer.version),
        (who.medium, newcomer.medium),
    )
    return who.id == newcomer.number and all(None in pair or pair[0] == pair[1] for pair in pairs)


def findings(found: Iterable[Offer]) -> list[Finding]:
    """What `check` says of them."""
    return [
        Finding(Mark.HINT, f"bus {each.bus}", f"{named(each.newcomer.identity)}: {each.text}", "", each.order)
        for each in found
    ]


def read(folder: Path) -> dict[str, Sought]:
    """What the file in the state folder holds, by line; nothing where there is none, or it does not read."""
    try:
        return from_bytes(read_at_most(folder / FILE, FILE_BYTES))
    except (OSError, StateUnusable):
        return {}


def to_bytes(known: Mapping[str, Sought]) -> bytes:
    """The file's content."""
    return _File(bus=dict(known)).model_dump_json().encode()


def from_bytes(octets: bytes) -> dict[str, Sought]:
    """The file's content.

    Raises:
        StateUnusable: it is another one.
    """
    if len(octets) > FILE_BYTES:
        raise StateUnusable("the state of a search", f"more than {FILE_BYTES} bytes", FILE)
    try:
        return dict(_File.model_validate_json(octets).bus)
    except ValidationError as error:
        raise StateUnusable("the state of a search", f"none: {error.error_count()} faults", FILE) from None
