"""Readings of six values, as an electricity sub-meter shows them: the same for the same meter and round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from protocols.reading import (
    Exchange,
    How,
    Identity,
    NativeKey,
    Protocol,
    Reading,
    Scaled,
    State,
    Status,
    TimeQuality,
    Value,
)

UNITS = ("Wh", "Wh", "W", "V", "A", "Hz")
EXPONENTS = (0, 0, -1, -1, -3, -1)
QUALITY = TimeQuality(True, 10)


@dataclass(frozen=True, slots=True)
class Six:
    """One reading: of which meter, in which round."""

    meter: int
    round: int

    @property
    def values(self) -> tuple[int, ...]:
        """Two registers that grow and four that waver."""
        meter, number = self.meter, self.round
        power = 4_000 + (meter * 977 + number * 331) % 25_000
        volt = 2_280 + (meter * 7 + number * 3) % 60
        energy = 8_000_000 + meter * 12_345 + number * (17 + meter % 5)
        return (energy, energy // 3, power, volt, power * 1_000 // volt, 499 + number % 3)


def reading(six: Six, start_ms: int, period_ms: int = 900_000) -> Reading:
    """It as a decoder would hand it over; its slot is the round's, counted from `start_ms`, and it was read then."""
    at_ms = start_ms + six.round * period_ms
    octets = json.dumps(six.values).encode()
    exchange = Exchange(at_ms, six.round * period_ms, 4, QUALITY, octets, keep=False)
    return shown(six.meter, six.values, at_ms, exchange)


def shown(meter: int, values: Sequence[int], slot_ms: int, exchange: Exchange) -> Reading:
    """What a meter showed."""
    identity = Identity(Protocol.MODBUS, "SIX", fabrication=f"S{meter:06}")
    found = tuple(
        Value(NativeKey.modbus(1, 2 * place, "input.int32.cdab"), unit, Scaled(number, exponent), State.OK)
        for place, (number, unit, exponent) in enumerate(zip(values, UNITS, EXPONENTS, strict=True))
    )
    return Reading(identity, f"meter-{meter}", None, How.READ, slot_ms, None, exchange, None, Status.NONE, found)
