"""What a value costs on the wire, and what a seal costs the gateway and the collector."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import replace

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from figures import Figure, in_turns
from mbus import telegrams

from protocols.mbus import link, meaning, telegram
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
from protocols.uplink import batch, envelope
from protocols.uplink.header import ClockShown, ClockSource, ClockState, Core
from protocols.uplink.keys import BoxKey, SigningKey

START_MS = 1_793_000_000_000
KEY = SigningKey.generate()
BOX = BoxKey.generate()
EPOCH = os.urandom(16)


def figures() -> Iterator[Figure]:
    """All figures of sealing."""
    curve = curve_of(0)
    rows = len(zlib.compress(_row_maps(curve), 6)) / 384
    size = _on_the_wire(curve) / 384
    yield Figure("wire_bytes_per_value", size, "B", "deflated maps, one a value", size / rows)
    for keep, name in ((False, "wire_bytes_per_value_mbus_cycle"), (True, "wire_bytes_per_value_mbus_cycle_telegrams")):
        cycle = list(_mbus_cycle(50, keep))
        values = sum(len(reading.values) for reading in cycle)
        bare = sum(len(reading.exchange.telegram) for reading in cycle)
        size = _on_the_wire(cycle)
        yield Figure(name, size / values, "B", "the bare telegrams", size / bare)
    yield from _times(curve)


def _times(curve: list[Reading]) -> Iterator[Figure]:
    sealed = _seal(curve)
    bare = Ed25519PrivateKey.generate()
    signature = bare.sign(sealed.content.header)
    ours, theirs = in_turns(lambda: _seal(curve), lambda: bare.sign(sealed.content.header))
    yield Figure("seal_us_per_reading", ours / 96 * 1e6, "us", "one bare Ed25519 signature", ours / theirs)
    public = bare.public_key()

    def verify() -> None:
        batch.expand(sealed.header, batch.verify(sealed, KEY.public))

    ours, theirs = in_turns(verify, lambda: public.verify(signature, sealed.content.header))
    yield Figure("verify_us_per_reading", ours / 96 * 1e6, "us", "one bare Ed25519 verification", ours / theirs)


def curve_of(day: int) -> list[Reading]:
    """One day's load profile: 96 readings of 4 values."""
    return [_quarter_hour(96 * day + row) for row in range(96)]


def cycle_at(number: int, meters: int) -> Iterator[Reading]:
    """The `number`-th round over a bus of as many meters, each with an identity of its own; no telegrams are kept."""
    for index, each in enumerate(_mbus_cycle(meters, False, START_MS + 900_000 * number)):
        yield replace(each, meter=replace(each.meter, id=f"{index:08d}"))


def seal_at(readings: list[Reading], seq: int, before: bytes | None, gateway: str = "bench-gateway") -> batch.Batch:
    """A batch at its place in one chain."""
    return batch.seal(readings, [], batch.Place(gateway, EPOCH, seq, before, None), _at(), KEY, os.urandom(32))


def _seal(readings: list[Reading]) -> batch.Batch:
    return seal_at(readings, 2, bytes(32))


def _at() -> batch.Circumstances:
    clock = ClockShown(ClockState.SET, ClockSource.SYSTEM, 0, None, None, bytes(16), 0)
    return batch.Circumstances(START_MS, clock, Core("bench", bytes(32)), bytes(32))


def _on_the_wire(readings: list[Reading]) -> int:
    return len(envelope.close(_seal(readings).content, "batch", "bench-gateway", BOX.public))


def _quarter_hour(index: int) -> Reading:
    """A row of a load profile: four growing registers, the meter's own time on the quarter hour."""
    at = START_MS + 900_000 * index
    exchange = Exchange(START_MS, 5_000, 400, TimeQuality(True, 10), b"one block of the profile", False)
    keys = (NativeKey(Protocol.DLMS, (3, bytes([1, 0, group, 8, 0, 255]), 2)) for group in (1, 2, 3, 4))
    values = tuple(
        Value(key, "Wh", Scaled(8_000_000 + index * (17 + place) + index * index % 7, 0), State.OK)
        for place, key in enumerate(keys)
    )
    meter = Identity(Protocol.DLMS, "LGZ", "12345678", logical_name="LGZ1030012345678", system_title=b"LGZ01234")
    return Reading(meter, "meter-1", None, How.PROFILE, at, None, exchange, None, Status.NONE, values)


def _row_maps(readings: list[Reading]) -> bytes:
    rows = [
        {"meter": r.meter.id, "time": r.slot_ms, "register": str(v.key), "value": str(v.number), "unit": v.unit}
        for r in readings
        for v in r.values
    ]
    packed: bytes = msgpack.packb(rows)
    return packed


def _mbus_cycle(meters: int, keep: bool, slot_ms: int = START_MS) -> Iterator[Reading]:
    """One round over a bus: the simulated meters' telegrams in turn, each from a meter of its own."""
    for index, octets in enumerate(telegrams(meters)):
        decoded = telegram.decode(link.parse(octets))
        exchange = Exchange(slot_ms + 700 * index, 700 * index, 650, TimeQuality(True, 10), octets, keep)
        yield Reading(
            decoded.identity,
            f"flat-{index}",
            None,
            How.READ,
            slot_ms,
            meaning.meter_time(decoded),
            exchange,
            decoded.status_raw,
            decoded.status,
            meaning.values(decoded),
        )
