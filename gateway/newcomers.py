"""Meters that nobody configured, found on a line where a configured one is silent; in a file of their own.

The file in the state folder holds for each M-Bus line who is silent, who was found, how much of the day's bounds is
spent, and where the search goes on. A file that was lost or does not read costs a search, and no reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.config import Configuration, MbusBus
from gateway.faults import StateUnusable
from gateway.files import keep_whole, read_at_most
from gateway.findings import Finding, Mark
from gateway.successors import named
from gateway.writer import Writer
from protocols.reading import Identity, Protocol
from protocols.uplink.faults import FieldError, LimitError
from protocols.uplink.pack import Fields

FILE = "newcomers.json"
FORM = 1  # of the file
FILE_BYTES = 8 * 1024 * 1024  # a search that meets much noise comes to a hundredth of it
MOST = 64  # newcomers of one line: beyond them the line is not the configured one
ANY = 255  # as medium: every one
FAMILIES = ({0x04, 0x0A, 0x0B, 0x0C, 0x0D}, {0x06, 0x15}, {0x07, 0x16, 0x17})  # heat and cooling, hot, cold water

LAST_MS = 4_102_444_800_000  # ms UTC: 2100
MOST_LINES, MOST_SILENT = 64, 250  # and devices of one line
COUNT, OCTET = 10**9, 255
NUMBER, LETTERS = re.compile(r"[0-9A-F]{8}"), re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Silent:
    """A device that does not answer, since when, and its meter's medium where that is known."""

    device: str
    since_ms: int
    medium: int | None = None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A meter that no device explains, as it says who it is, and when it was found."""

    number: str
    manufacturer: str | None
    version: int
    medium: int
    found_ms: int
    is_read: bool = False

    @property
    def identity(self) -> Identity:
        """As its readings have it."""
        return Identity(Protocol.MBUS, self.manufacturer, self.number, self.version, self.medium)

    @property
    def device(self) -> str:
        """What its reading is named: no device of the configuration."""
        return f"newcomer {self.number}"


@dataclass(frozen=True, slots=True)
class Sought:
    """The search on one line; counts are of the `day` (UTC, days since 1970).

    `media` are those that it still has to look at, the first of them now; `search` is where it goes on there; `done`:
    nothing is left for today; `why` it rests before its end.
    """

    silent: tuple[Silent, ...] = ()
    newcomers: tuple[Newcomer, ...] = ()
    day: int = 0
    selections: int = 0
    busy_ms: int = 0
    questions: Mapping[str, int] = field(default_factory=dict)
    media: tuple[int, ...] = ()
    search: Mapping[str, Any] | None = None
    done: bool = False
    why: str = ""


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
    return json.dumps([FORM, [[bus, *_row(each)] for bus, each in known.items()]]).encode()


def from_bytes(octets: bytes) -> dict[str, Sought]:
    """The file's content.

    Raises:
        StateUnusable: it is another one.
    """
    if len(octets) > FILE_BYTES:
        raise StateUnusable("the state of a search", f"more than {FILE_BYTES} bytes", FILE)
    try:
        parts = Fields(json.loads(octets), FILE, 2)
        parts.integer("form", FORM, FORM)
        rows = [Fields(each, FILE, 1 + len(fields(Sought))) for each in parts.array("lines", MOST_LINES)]
        return {row.text("bus"): _sought(row) for row in rows}
    except (ValueError, RecursionError, FieldError, LimitError) as error:
        raise StateUnusable("the state of a search", f"none: {error}", FILE) from None


def _row(each: Sought) -> list[Any]:
    return [
        [list(astuple(one)) for one in each.silent],
        [list(astuple(one)) for one in each.newcomers],
        each.day,
        each.selections,
        each.busy_ms,
        [list(pair) for pair in each.questions.items()],
        list(each.media),
        each.search,
        each.done,
        each.why,
    ]


def _sought(row: Fields) -> Sought:
    return Sought(
        tuple(_silent(Fields(each, "silent", 3)) for each in row.array("silent", MOST_SILENT)),
        tuple(_newcomer(Fields(each, "newcomer", 6)) for each in row.array("newcomers", MOST)),
        row.integer("day", 0, COUNT),
        row.integer("selections", 0, COUNT),
        row.integer("busy_ms", 0, COUNT),
        dict(_question(Fields(each, "question", 2)) for each in row.array("questions", MOST_SILENT)),
        tuple(Fields([each], "media", 1).integer("medium", 0, OCTET) for each in row.array("media", OCTET + 1)),
        _table(row.any()),
        row.any() is True,
        _words(row.text("why")),
    )


def _silent(row: Fields) -> Silent:
    device, since_ms = _words(row.text("device")), row.integer("since_ms", 0, LAST_MS)
    return Silent(device, since_ms, row.maybe_integer("medium", 0, OCTET))


def _newcomer(row: Fields) -> Newcomer:
    number, letters = row.text("number"), row.maybe_text("manufacturer")
    if not NUMBER.fullmatch(number) or not (letters is None or LETTERS.fullmatch(letters)):
        raise ValueError(f"expected the number and letters of a meter, got {number!r} and {letters!r}")
    version, medium = row.integer("version", 0, OCTET), row.integer("medium", 0, OCTET)
    return Newcomer(number, letters, version, medium, row.integer("found_ms", 0, LAST_MS), row.any() is True)


def _question(row: Fields) -> tuple[str, int]:
    return _words(row.text("device")), row.integer("questions", 0, COUNT)


def _table(found: object) -> Mapping[str, Any] | None:
    if found is not None and not isinstance(found, dict):
        raise ValueError("expected a search, or none")
    return found


def _words(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("expected printable ASCII")
    return text
