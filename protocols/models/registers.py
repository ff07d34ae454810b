"""What an M-Bus model says of its registers, of the storages that keep former values, and of what stands for no value.

A register is named as documents name it: by the data and value information of its record in hex ("4406", "84804014").
What its key has of it are storage, tariff, subunit, function and value information; how the number is coded is not part
of it, so the same register as BCD or integer is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protocols import obis
from protocols.errors import MeterError
from protocols.mbus import dif, naming, vif
from protocols.models.files import STRICT
from protocols.reading import NativeKey

STORAGE_AT, SUBUNIT_AT = 1, 3  # parts of a native key

Kind = Literal[
    "total",  # only rises, but for a roll-over
    "instantaneous",
    "maximum",  # of a period, with its own time or the storage's
    "date",
    "duration",  # on time, operating time
    "setting",  # pulse weights, averaging times: changes with a parameter alone
    "identification",
    "status",
    "text",
    "raw",  # the manufacturer's own
]

MOST_STORAGES = 4_096  # of one register: more than any meter sends


@dataclass(frozen=True, slots=True)
class Register:
    """One register; `record` is the data and value information in hex, `nth` counts where a telegram repeats it.

    With `until` it is there in every storage from its own to this one. `quantity` and `obis` stand where they are not
    those of the tables, `optional` where not every meter of the model sends it, `source` where it is another than the
    model's.
    """

    record: str
    label: str
    kind: Kind
    nth: int = 0
    until: int | None = None
    quantity: str | None = None
    obis: str | None = None
    optional: bool = False
    source: str | None = None

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what is no record's beginning; ValueError names it."""
        if self.obis is not None:
            obis.from_text(self.obis)
        if self.until is not None and not self.storage < self.until < self.storage + MOST_STORAGES:
            raise ValueError(f"expected a storage after {self.storage}, fewer than {MOST_STORAGES}, got {self.until}")

    @property
    def key(self) -> NativeKey:
        """Its native key, in the first of its storages."""
        return key_of(self.record, self.nth)

    @property
    def storage(self) -> int:
        """The first of its storages."""
        return int(self.key.parts[STORAGE_AT])

    @property
    def subunit(self) -> int:
        """Which of the device's inputs it is of; 0: the meter itself."""
        return int(self.key.parts[SUBUNIT_AT])

    def places(self) -> tuple[NativeKey, ...]:
        """Its keys, one for each of its storages."""
        vib, first, *rest = self.key.parts
        last = self.storage if self.until is None else self.until
        return tuple(NativeKey(self.key.protocol, (vib, each, *rest)) for each in range(int(first), last + 1))

    def measures(self) -> str:
        """What it measures: by the model, else by the decoder's table."""
        vib = self.key.parts[0]
        return self.quantity or (vif.meaning_of(vib).quantity if isinstance(vib, bytes) else "")

    def proposed(self, medium: int | None) -> bytes | None:
        """Its proposed OBIS name: by the model, else by the table."""
        return naming.proposed(self.key, medium) if self.obis is None else obis.from_text(self.obis)


@dataclass(frozen=True, slots=True)
class History:
    """Storages in which the meter keeps former values, `first` to `last`.

    `date` is the record of their date: of the first storage where each has its own, else of the one storage that holds
    it for all. `edge` says which end of the dated day the values are of; "unsaid" where no source says it.
    """

    first: int
    last: int
    every: Literal["year", "month", "set day"]
    date: str
    edge: Literal["start", "end", "unsaid"]
    source: str

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Refuse what is no storage."""
        if not 1 <= self.first <= self.last:
            raise ValueError(f"expected storages from 1 on, got {self.first} to {self.last}")
        if self.depth > MOST_STORAGES:
            raise ValueError(f"expected at most {MOST_STORAGES} storages, got {self.depth}")

    @property
    def depth(self) -> int:
        """How many former values the meter keeps."""
        return self.last - self.first + 1

    def dates(self) -> set[NativeKey]:
        """The keys of the records that hold the dates."""
        key = key_of(self.date)
        vib, storage, *rest = key.parts
        storages = range(self.first, self.last + 1) if storage == self.first else [storage]
        return {NativeKey(key.protocol, (vib, each, *rest)) for each in storages}


@dataclass(frozen=True, slots=True)
class Input:
    """A pulse input: a meter of its own behind this one; what it counts is in the device map."""

    subunit: int
    what: str

    __pydantic_config__ = STRICT


@dataclass(frozen=True, slots=True)
class Sentinel:
    """Octets (hex, as they come) that stand for "no value", the records in which they do, and what they say."""

    octets: str
    records: tuple[str, ...]
    says: str
    source: str

    __pydantic_config__ = STRICT


def key_of(record: str, nth: int = 0) -> NativeKey:
    """The native key of the record that begins with this data and value information.

    Raises:
        ValueError: it is no beginning of a record, or more than that.
    """
    octets = bytes.fromhex(record)
    if not octets:
        raise ValueError("expected data and value information in hex, got nothing")
    try:
        info, at = dif.decode(octets, 0)
        vib, _, end = vif.decode(octets, at)
    except MeterError as error:
        raise ValueError(f"expected {error.expected}, got {error.got} in {record!r}") from None
    if end != len(octets):
        raise ValueError(f"expected data and value information alone, got {record!r}")
    return NativeKey.mbus(vib, info.storage, info.tariff, info.subunit, info.function, nth)
