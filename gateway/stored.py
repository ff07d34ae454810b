"""`read --store`: a meter read now and sealed beside its slots; what is shown is what is in the buffer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.exchanging import STORE
from gateway.faults import BufferDamaged
from gateway.readout import Readout, instant, register
from gateway.session import Say
from gateway.status import bodies
from gateway.successors import named
from protocols.mbus.explain import written
from protocols.reading import Raw, Value
from protocols.uplink import body
from protocols.uplink.leaf import SealedReading

NEWEST = 64  # batches: behind the one that holds the reading come at most those of the same seconds
TOLD = "sealed: it is in the buffer, and goes to the collector as a reading beside the slots"


def store(say: Say, folder: Path, device: str) -> Readout:
    """Read a device and seal it; what was sealed.

    Raises:
        PlombaError: it was not read, or not sealed.
    """
    at_ms = say(STORE, device)
    for octets in bodies(folder, NEWEST):
        found = [each for each in body.expand(octets).readings if each.device == device and each.at_ms == at_ms]
        if found:
            return _readout(found)
    raise BufferDamaged("the reading that was just sealed", "none", str(folder))


def _readout(found: list[SealedReading]) -> Readout:
    first = found[0]
    values = [value for each in found for value in each.values]
    when = (f"read {instant(first.at_ms)}, {first.round_trip_ms} ms", TOLD)
    row = {
        "device": first.device,
        "meter": named(first.meter),
        "at": instant(first.at_ms),
        "round_trip_ms": first.round_trip_ms,
        "values": [_row(each) for each in values],
    }
    return Readout(named(first.meter), when, tuple(register(str(each.key), each) for each in values), row)


def _row(value: Value) -> dict[str, Any]:
    number = value.number
    return {
        "key": str(value.key),
        "value": number.octets.hex() if isinstance(number, Raw) else written(number),
        "unit": value.unit,
        "state": value.state.name.lower().replace("_", "-"),
    }
