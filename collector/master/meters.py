"""Meters, their registers, which device shows them, and where they are installed.

What a meter shows is sealed under its native key in its own unit; what that means is said here, dated: a wrong ratio
that is found in March is corrected back to January, and nothing that was sealed is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from collector.master.dated import ALWAYS, Span
from protocols.reading import Identity, NativeKey, Scaled


class Kind(Enum):
    """What the number of a register is."""

    TOTAL = "total"  # counts up, and over at its modulus
    INTERVAL = "interval"  # the amount of the interval that ends (or begins) with its stamp
    MEAN = "mean"
    MAXIMUM = "maximum"  # with a time of its own
    INSTANT = "instantaneous"
    RESETTING = "resetting"  # begins anew on the set day
    BALANCE = "balance"  # goes up and down
    STATUS = "status"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Meter:
    """What is verified, sealed, installed and billed; `serial` (on its plate) is unique within the utility.

    `identity` is what it says of itself, as far as it was entered: a reading is this meter's when nothing that both say
    differs and one of the numbers is equal (empty: it says nothing, and is known by the device map). `verified` and
    `until` are days (ISO 8601) of its verification.
    """

    serial: str
    model: str
    identity: Identity
    verified: str | None = None
    until: str | None = None
    seals: tuple[str, ...] = ()
    span: Span = ALWAYS


@dataclass(frozen=True, slots=True)
class Register:
    """One register of a meter: `name` is unique in it (an OBIS name where it has one), `quantity` as in `units`.

    What is shown in `unit`, times `factor` (CT x VT, pulse weight; 1 where the meter shows primary values), is what was
    delivered. A total begins anew at `modulus` (as shown). `step` is the least difference that it can show.
    """

    meter: str
    name: str
    key: NativeKey
    kind: Kind
    quantity: str
    unit: str
    factor: Fraction
    modulus: Scaled | None
    step: Scaled
    span: Span


@dataclass(frozen=True, slots=True)
class Mapped:
    """By the device map a device of a gateway shows the register of another meter under `key` (a pulse input).

    Without key and register everything that the device shows is the meter's, under its registers' own keys: what a
    device without identity needs. `sub` narrows it to one part of the device.
    """

    gateway: str
    device: str
    key: NativeKey | None
    meter: str
    register: str | None
    span: Span
    sub: str | None = None


class Edge(Enum):
    """Which end of an interval, or of a day, a meter's stamp names."""

    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class Stood:
    """What a register stood at when its meter came or went, in the register's unit."""

    register: str
    value: Scaled


@dataclass(frozen=True, slots=True)
class Installation:
    """A meter at a point. `clock` is the zone that the meter's clock keeps: an IANA name, or "+01:00" all year."""

    point: str
    meter: str
    span: Span
    clock: str
    interval_edge: Edge = Edge.END
    day_edge: Edge = Edge.START
    initial: tuple[Stood, ...] = ()
    final: tuple[Stood, ...] = ()
