"""When each meter is read next, as the clocks at its metering point show it: what `check` says of the cadences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.cadence import Pace, local
from gateway.config import Configuration


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next slot of a meter: from `begin` to `end`, local time with its offset; whether for bills."""

    bus: str
    device: str
    cadence: str
    billing: bool
    zone: str
    begin: str
    end: str

    def __str__(self) -> str:
        what = "for bills " if self.billing else ""
        return f"{what}{self.begin} to {self.end} ({self.cadence}, {self.zone})"


def upcoming(configuration: Configuration, utc_ms: int) -> Iterator[Upcoming]:
    """The slots of all meters that begin next after `utc_ms`, in the order of the configuration."""
    for bus in configuration.bus:
        for device in bus.device:
            zone, cadence = device.timezone or configuration.timezone, device.cadence or f"{device.cadence_s} s"
            begin, end = _next(device.pace, zone, utc_ms)
            yield Upcoming(bus.name, device.name, cadence, False, zone, begin, end)
            if device.billing is not None and device.billing_pace is not None:
                begin, end = _next(device.billing_pace, zone, utc_ms)
                yield Upcoming(bus.name, device.name, device.billing, True, zone, begin, end)


def _next(pace: Pace, zone: str, utc_ms: int) -> tuple[str, str]:
    begin_ms, end_ms = pace.last(pace.next_ms(utc_ms))
    return local(begin_ms, zone), local(end_ms, zone)
