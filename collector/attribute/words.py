"""What attribution works on: readings with what the collector says of them, and what they come to as samples.

A sample is what one register showed at one instant, exactly, in the base unit of its quantity and before the factor: a
factor that is corrected changes no sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from collector.master.meters import Installation, Register
from collector.quality import Quality, State
from protocols.reading import How, NativeKey
from protocols.uplink.leaf import SealedReading

# Reasons, as they stand beside values in doubt and missing ones.
NO_READING = "no-reading"
NO_METER = "no-meter"  # nothing was installed, or for a part of the interval
NO_REGISTER = "no-register"  # the meter has none of that name then, or of another quantity
EXCHANGE = "exchange"  # the final or initial value is not known
BACKWARD = "backward"  # a total went back, and its modulus does not explain it
INCOMPLETE = "incomplete"  # a mean or a maximum of a part of the interval
CLOCK = "clock"  # the gateway's clock was not good
ROLLOVER, RESET = "rollover", "reset"
HELD, CONFLICT, PARTIAL = "held", "conflict", "partial"
UNIT, NO_NUMBER = "unit", "no-number"
INTERPOLATED, FACTOR = "interpolated", "factor"  # methods


@dataclass(frozen=True, slots=True)
class Seen:
    """A stored reading for one meter: `doubt` is why it must not feed, or empty.

    `own` says that its values are this meter's by its identity, under the registers' native keys; `mapped` names the
    register of this meter (None: it is another meter's value) for the keys that the device map knows.
    """

    reading: SealedReading
    moment: str
    variant: int = 0
    doubt: str = ""
    own: bool = True
    mapped: tuple[tuple[NativeKey, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What a register showed (base units, before the factor) at an instant (ms UTC).

    `unit` is the unit in which it was shown; a change of it may round. `time_ms` is a maximum's own time; `how` and
    `moment` find the reading (None: it was entered with the installation).
    """

    at_ms: int
    shown: Fraction
    unit: str
    quality: Quality
    how: How | None = None
    moment: str = ""
    time_ms: int | None = None
    whole_day: bool = False  # an amount of the day that ends there


@dataclass(frozen=True, slots=True)
class Doubt:
    """That something was read about an instant and must not be used, and why."""

    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Served:
    """What served a point for a time: the installation, the register that fed a channel (dated), what it showed.

    `samples` are by time, one an instant; `doubts` too. `period_ms` is the distance of the rows of its profile. `floor`
    is the last sample in the unit before, where the unit of the register changed before these samples.
    """

    installation: Installation
    registers: tuple[Register, ...]
    samples: tuple[Sample, ...]
    doubts: tuple[Doubt, ...] = ()
    period_ms: int | None = None
    floor: Sample | None = None

    def register_at(self, at_ms: int) -> Register | None:
        """The register as it was dated then."""
        return next((each for each in self.registers if each.span.holds(at_ms)), None)


def worse(qualities: list[Quality]) -> Quality:
    """The worst of qualities, with its method and reason."""
    return max(qualities, key=lambda each: (each.state, each.reason, each.method))


def questionable(reason: str) -> Quality:
    """In doubt, and why."""
    return Quality(State.QUESTIONABLE, reason=reason)
