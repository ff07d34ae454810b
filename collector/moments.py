"""The texts that tell a meter's readings of one kind apart, in an order that is that of their times."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.reading import How
from protocols.uplink.leaf import SealedReading, time_code

METER = "meter "  # before the time under which a meter stored it


def moment(how: int, slot_ms: int | None, time: tuple[int, int] | None, at_ms: int) -> str:
    """What tells a meter's readings of one kind apart: the slot, else the time under which the meter stored it.

    What was read outside a slot has only when it was read: the meter's clock may show a minute twice.
    """
    if slot_ms is not None:
        return f"slot {slot_ms}"
    if time is not None and how != How.READ:
        seconds, code = time
        return f"{METER}{seconds} {code}"
    return f"at {at_ms}"


def moment_of(reading: SealedReading) -> str:
    """The same of a reading."""
    time = reading.meter_time
    shown = None if time is None else (time.seconds, time_code(time))
    return moment(reading.how, reading.slot_ms, shown, reading.at_ms)


def ranges(before: str, low: int, high: int) -> Iterator[tuple[str, str]]:
    """Numbers from low to high (not included) as texts that sort as they do: those of as many digits."""
    low = max(low, 0)
    while low < high:
        end = min(high, 10 ** len(str(low)))
        # Behind the last number of as many digits, and before the first of one more: ":" follows "9".
        yield f"{before}{low}", f"{before}{end}" if len(str(end)) == len(str(low)) else f"{before}:"
        low = end
