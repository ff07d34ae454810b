"""Channels: a point's series of one quantity at one cadence, read or computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from collector.master.dated import Span


class Aggregate(Enum):
    """What a longer period's value is made of."""

    SUM = "sum"
    LAST = "last"
    MEAN = "mean"  # by time
    MAXIMUM = "maximum"  # with its time
    WEIGHTED = "volume-weighted"  # a mean, by the volume of the same intervals


class Cadence(Enum):
    """How long the intervals of a series are; days and months are those of the point's zone."""

    QUARTER = "15min"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Channel:
    """A series of a point: the register that feeds it is the one named `register` of whichever meter is installed.

    `weight` names the channel whose amounts weigh a volume-weighted mean.
    """

    point: str
    name: str
    quantity: str
    register: str
    cadence: Cadence
    aggregate: Aggregate
    span: Span
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A channel in a formula, with its sign (1 or -1)."""

    sign: int
    point: str
    channel: str


@dataclass(frozen=True, slots=True)
class Computed:
    """A channel that is the sum of others with their signs; its state is the worst of theirs."""

    point: str
    name: str
    quantity: str
    cadence: Cadence
    aggregate: Aggregate
    terms: tuple[Term, ...]
    span: Span
