"""Models of DLMS/COSEM meters: one TOML file each under `dlms/`, parsed once into frozen values.

A model says what a configuration need not repeat: profiles beside the load profile, event logs with the names of their
codes, null compression, and within which limits the meter's clock may be adjusted.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from protocols import obis
from protocols.dlms.timing import FASTEST_ANSWER_MS, SLOWEST_ANSWER_MS
from protocols.errors import ConfigurationError
from protocols.models.files import STRICT, once, parse

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FOLDER = Path(__file__).with_suffix("")
LONGEST_SHIFT_S = 900  # what shift_time takes (Blue Book, clock)
MAX_NAME = 64  # bytes of an event's name


class UnknownDlmsModel(ConfigurationError):  # noqa: N818 - named after what is wrong
    """No DLMS model of this name is known."""

    code = "PLB-C259"
    do = "give one of the known models, or leave it out and write profiles and logs into the meter's block"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the facts come from, and which of them are not confirmed by it."""

    document: str
    where: str
    seen: str
    unconfirmed: tuple[str, ...] = ()

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Adjusting:
    """How a clock is adjusted: by shift_time, or set anew; from `least_s` to `most_s` of drift, so often `a_day`."""

    method: Literal["shift", "set"]
    least_s: int
    most_s: int
    a_day: int = 1

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse limits that are none."""
        if not 1 <= self.least_s <= self.most_s <= LONGEST_SHIFT_S or not 1 <= self.a_day <= 24:
            raise ValueError(f"expected 1 <= least_s <= most_s <= {LONGEST_SHIFT_S} and 1 <= a_day <= 24")


@dataclass(frozen=True, slots=True)
class Log:
    """An event log and the names of its codes (decimal digits, as TOML has keys)."""

    name: str
    events: dict[str, str] = field(default_factory=dict)

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse a name that is none, and codes that are no numbers."""
        obis.from_text(self.name)
        if not all(each.isdecimal() for each in self.events):
            raise ValueError("expected decimal digits as event codes")
        if not all(each and len(each.encode()) <= MAX_NAME for each in self.events.values()):
            raise ValueError(f"expected names of events of 1 to {MAX_NAME} bytes")

    def codes(self) -> dict[int, str]:
        """The names by number."""
        return {int(code): name for code, name in self.events.items()}


@dataclass(frozen=True, slots=True)
class Shown:
    """A register as an example shows it: its name, number and unit (empty: the push says none)."""

    obis: str
    value: str
    unit: str = ""

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse a name that is none."""
        obis.from_text(self.obis)


@dataclass(frozen=True, slots=True)
class Example:
    """A push of such a meter: the APDU (hex, unciphered), and what its registers show.

    `offset_min` is the offset from UTC in minutes that its time says; None: it says none, or has no time.
    """

    made: str
    octets: str
    values: tuple[Shown, ...]
    offset_min: int | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what is no hex, or shows nothing."""
        if not self.values or not bytes.fromhex(self.octets):
            raise ValueError("expected an APDU that shows a value at least")


@dataclass(frozen=True, slots=True)
class DlmsModel:
    """One model: profiles of registers beside the load profile, event logs, and its ways.

    `compressed`: it writes null-data for what is as in the row above. `status_bits`: what the bits of the status
    word of a row mean. `range_ends`, `offset_sign` and `association` are as `protocols.dlms.ways` has them, `answer_ms`
    and `pause_ms` as `protocols.dlms.timing`.
    """

    name: str
    what: str
    source: Source
    further_profiles: tuple[str, ...] = ()
    logs: tuple[Log, ...] = ()
    compressed: bool = False
    status_bits: Literal["idis", "unknown"] = "unknown"
    adjusting: Adjusting | None = None
    range_ends: Literal["offset", "local"] = "offset"
    offset_sign: Literal["standard", "reversed"] = "standard"
    examples: tuple[Example, ...] = ()
    association: str = "0-0:40.0.0.255"
    answer_ms: int | None = None
    pause_ms: int = 0

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what contradicts itself; ValueError names it."""
        names = [obis.from_text(each) for each in (*self.further_profiles, *(log.name for log in self.logs))]
        if len(set(names)) != len(names):
            raise ValueError("expected each profile and log once")
        obis.from_text(self.association)
        if not FASTEST_ANSWER_MS <= (self.answer_ms or FASTEST_ANSWER_MS) <= SLOWEST_ANSWER_MS:
            raise ValueError(f"expected answer_ms of {FASTEST_ANSWER_MS} to {SLOWEST_ANSWER_MS}")
        if not 0 <= self.pause_ms <= SLOWEST_ANSWER_MS:
            raise ValueError(f"expected pause_ms of 0 to {SLOWEST_ANSWER_MS}")


@cache
def names() -> tuple[str, ...]:
    """The known models, in order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load(name: str) -> DlmsModel:
    """The model of this name.

    Raises:
        UnknownDlmsModel: there is none; the error names those that there are, the nearest first.
        BadModel: its file has faults.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), 1)
        known = ", ".join([*near, *(each for each in names() if each not in near)])
        hint = f"perhaps {near[0]}; " if near else ""
        raise UnknownDlmsModel(f"a known model ({hint}known are {known})", repr(name), "model")
    return once("dlms", name, lambda: from_toml(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def from_toml(name: str, text: str) -> DlmsModel:
    """The model in a file's text.

    Raises:
        BadModel: every fault of the file, with its place.
    """
    return parse(_adapter(), name, text)


@cache
def _adapter() -> TypeAdapter[DlmsModel]:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(DlmsModel)
