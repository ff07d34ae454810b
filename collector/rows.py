"""Rows for people and programs: one for each value of a reading, numbers exact, never through a float."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collector.shown import cell, kind_of, maybe_time, meter_name, shown, state_name, utc
from collector.store.readings import ReadingRow
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

__all__ = ["ValueRow", "cell", "values_of"]


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One value of one reading; times of ours are ISO 8601 in UTC, the meter's are as it shows them."""

    gateway: str
    meter: str
    device: str
    sub: str | None
    part: int
    key: str
    unit: str
    kind: str
    value: str
    state: str
    value_time: str | None
    slot: str | None
    meter_time: str | None
    gateway_time: str
    clock_synchronised: bool
    clock_uncertainty_ms: int | None
    how: str
    status: int
    status_raw: int | None
    conflict: bool
    held: str
    epoch: str
    seq: int
    batch: str
    leaf: int
    telegram_sha256: str
    seal: str


def values_of(row: ReadingRow, seal: str) -> Iterator[ValueRow]:
    """The rows of a stored reading; `seal` is what its evidence says of it ("ok" or "altered").

    Raises:
        PlombaError: the stored leaf is none any more.
    """
    place = row.place
    reading = SealedReading.from_wire(leaf_from_bytes(row.sealed))
    for value in reading.values:
        yield ValueRow(
            place.gateway,
            meter_name(reading.meter),
            reading.device,
            reading.sub,
            reading.part,
            str(value.key),
            value.unit,
            kind_of(value.number),
            shown(value.number),
            state_name(value.state),
            maybe_time(value.time),
            None if reading.slot_ms is None else utc(reading.slot_ms),
            maybe_time(reading.meter_time),
            utc(reading.at_ms),
            reading.quality.synchronised,
            reading.quality.uncertainty_ms,
            reading.how.name.lower(),
            int(reading.status),
            reading.status_raw,
            row.conflict,
            ",".join(row.held),
            place.epoch.hex(),
            place.seq,
            place.batch.hex(),
            place.leaf,
            reading.raw_hash.hex(),
            seal,
        )
