"""Models of M-Bus meters: one TOML file each under `mbus/`, parsed once into frozen values.

A file says by which headers its meters are known, what their registers are, which storages hold their history and how
often a battery may be asked; for every claim it names its source, and it brings example telegrams with the readings
expected of them, which a test decodes for every model. Nothing that is sealed depends on a model.

Registers and storages are in `registers.py`; how often a battery may be asked, sources and examples are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protocols.models.clock import Clock
from protocols.models.files import STRICT, once, parse
from protocols.models.registers import History, Input, Register, Sentinel, key_of
from protocols.reading import Identity, NativeKey

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FOLDER = Path(__file__).with_suffix("")
DAY_S = 86_400

IdentityField = Literal["manufacturer", "id", "version", "medium", "fabrication"]


@dataclass(frozen=True, slots=True)
class Source:
    """A public document, where it is, and what was seen of it."""

    document: str
    where: str
    seen: str

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Detect:
    """Headers of this model: the manufacturer's letters, with any of the versions and media."""

    manufacturer: str
    versions: tuple[int, ...]
    media: tuple[int, ...]
    source: str

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what no header has."""
        letters = self.manufacturer
        if len(letters) != 3 or not (letters.isascii() and letters.isalpha() and letters.isupper()):
            raise ValueError(f"expected three capital letters, got {letters!r}")
        if not self.versions or not self.media or not all(0 <= each <= 255 for each in (*self.versions, *self.media)):
            raise ValueError("expected versions and media from 0 to 255")

    def headers(self) -> set[tuple[str, int, int]]:
        """All of them: manufacturer, version, medium."""
        return {(self.manufacturer, version, medium) for version in self.versions for medium in self.media}

    def maybe(self, who: Identity) -> bool:
        """Whether `who` may be one of them, as far as it is given; nothing is said without a manufacturer."""
        return (
            who.manufacturer == self.manufacturer
            and (who.version is None or who.version in self.versions)
            and (who.medium is None or who.medium in self.media)
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """Questions a day that a meter answers or its battery is made for, with up to this many meters on the line.

    `by_secondary` are those by secondary address, where they are fewer.
    """

    meters: int
    reads: int
    by_secondary: int | None = None

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Battery:
    """How often the meter may be asked while it runs on its battery; `says` is the source's statement in our words."""

    says: str
    source: str
    minimum_interval_s: int | None = None
    allowances: tuple[Allowance, ...] = ()

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what limits nothing."""
        if self.minimum_interval_s is None and not self.allowances:
            raise ValueError("expected a minimum interval or allowances")
        counts = [each.meters for each in self.allowances]
        if counts != sorted(set(counts)) or any(each.reads < 1 for each in self.allowances):
            raise ValueError("expected allowances by rising numbers of meters, each of at least one read")

    def reads_a_day(self, meters: int, secondary: bool = False) -> int:
        """How many questions a day are allowed with so many meters on the line; above the last step as there.

        `secondary` says that the meter is asked by its secondary address.
        """
        limits = [] if self.minimum_interval_s is None else [DAY_S // self.minimum_interval_s]
        steps = [each for each in self.allowances if each.meters >= meters][:1] or self.allowances[-1:]
        limits += [each.by_secondary or each.reads if secondary else each.reads for each in steps]
        return min(limits)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a record of an example shows; `value` is a plain number, a date or a text, None where there is none."""

    record: str
    value: str | None = None
    unit: str = ""
    state: Literal["ok", "invalid", "recurring", "error-state", "unknown"] = "ok"
    nth: int = 0

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Example:
    """The telegrams of one answer (link frames in hex), and what their records show, in order.

    `made` says whether it was made by the list of records or is a published document's.
    """

    made: Literal["by record list", "by a document"]
    telegrams: tuple[str, ...]
    values: tuple[Expected, ...]

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class MbusModel:
    """One model; `identity` is what is compared at each visit, `unconfirmed` what no source says for sure."""

    name: str
    manufacturer: str
    designation: str
    what: str
    identity: tuple[IdentityField, ...]
    sources: dict[str, Source]
    source: str
    detect: tuple[Detect, ...]
    registers: tuple[Register, ...]
    examples: tuple[Example, ...]
    unconfirmed: tuple[str, ...] = ()
    histories: tuple[History, ...] = ()
    inputs: tuple[Input, ...] = ()
    sentinels: tuple[Sentinel, ...] = ()
    battery: Battery | None = None
    clock: Clock | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what contradicts itself; ValueError names it."""
        if not self.detect or not self.registers or not self.examples:
            raise ValueError("expected headers, registers and an example")
        if len(set(self.identity)) != len(self.identity) or "manufacturer" not in self.identity:
            raise ValueError("expected each field of the identity once, the manufacturer among them")
        self._check_sources()
        self._check_registers()

    def _check_sources(self) -> None:
        used = {self.source} | {each.source for each in (self.battery, self.clock) if each is not None}
        used |= {each.source for each in self.detect} | {each.source for each in self.histories}
        used |= {each.source for each in self.sentinels}
        used |= {each.source for each in self.registers if each.source is not None}
        if used != set(self.sources):
            raise ValueError(f"expected every source named and used, got {sorted(used ^ set(self.sources))}")

    def _check_registers(self) -> None:
        keys = [key for each in self.registers for key in each.places()]
        if len(set(keys)) != len(keys):
            raise ValueError("expected every register once")
        if len({each.label for each in self.registers}) != len(self.registers):
            raise ValueError("expected a label of its own for each register")
        subunits = {each.subunit for each in self.registers if each.subunit}
        if subunits != {each.subunit for each in self.inputs}:
            raise ValueError(f"expected every subunit among the inputs, got {sorted(subunits)} in registers")
        known = set(keys)
        for history in self.histories:
            if not history.dates() <= known:
                raise ValueError(f"expected the dates of storages {history.first} to {history.last} among registers")
        wanted = [each for sentinel in self.sentinels for each in sentinel.records]
        if not {key_of(each) for each in wanted} <= known:
            raise ValueError("expected the sentinels' records among registers")

    def headers(self) -> set[tuple[str, int, int]]:
        """All headers of this model: manufacturer, version, medium."""
        return {header for each in self.detect for header in each.headers()}

    def maybe(self, who: Identity) -> bool:
        """Whether `who` may be a meter of this model, as far as it is given."""
        return any(each.maybe(who) for each in self.detect)

    def register_of(self, key: NativeKey) -> Register | None:
        """The register with this key."""
        return next((each for each in self.registers if key in each.places()), None)


@cache
def names() -> tuple[str, ...]:
    """The known models, in order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> MbusModel:
    """The model of this name; it is one of `names()`.

    Raises:
        BadModel: its file has faults.
    """
    return once("mbus", name, lambda: from_toml(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def from_toml(name: str, text: str) -> MbusModel:
    """The model in a file's text.

    Raises:
        BadModel: every fault of the file, with its place.
    """
    return parse(_adapter(), name, text)


@cache
def _adapter() -> TypeAdapter[MbusModel]:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(MbusModel)


def candidates(who: Identity) -> tuple[MbusModel, ...]:
    """The models that a meter may be of, as far as its manufacturer, version and medium are given."""
    return tuple(model for model in map(load, names()) if model.maybe(who))
