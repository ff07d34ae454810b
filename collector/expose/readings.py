"""From a stored reading to what is shown of it: its leaf decoded, its seal verified again from the evidence."""

from __future__ import annotations

from collections import Counter
from typing import Literal, cast

from collector.attest import Attestor
from collector.expose import views, words
from collector.shown import kind_of, maybe_time, shown, state_name, utc
from collector.store.readings import ReadingRow, identity
from protocols import quantities
from protocols.errors import PlombaError
from protocols.quantities import Rank
from protocols.reading import How, MeterTime, State, Value
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

MAIN = 6  # main values of a reading at most: more of them are no longer main
VALUE = 520  # characters of a value: 256 octets in hex fit

Key = tuple[bytes, int, str, int]  # (meter, how, moment, part): what a reading is stored under
HowName = Literal["read", "profile", "storage", "push", "event_log"]
_KINDS = Literal["number", "float32", "text", "time", "raw"]
_STATES = Literal["ok", "invalid", "recurring", "error-state", "unknown"]
_PRECISIONS = Literal["day", "minute", "second"]


def how_name(how: int) -> HowName:
    """read, profile, storage, push or event_log."""
    return cast("HowName", How(how).name.lower())


def decoded(row: ReadingRow) -> SealedReading | None:
    """The leaf of a stored reading; None when it is none any more."""
    try:
        return SealedReading.from_wire(leaf_from_bytes(row.sealed))
    except PlombaError:
        return None


def reading_view(row: ReadingRow, key: Key, attestor: Attestor, now_ms: int) -> views.Reading | None:
    """A stored reading as it is shown; None when nothing of it can be read any more.

    A leaf that stands under another identity than its own is not what was sealed for that one.
    """
    reading = decoded(row)
    if reading is None:
        return None
    place = row.place
    holds = attestor.holds(row) and identity(place.gateway, reading) == key
    return views.Reading(
        gateway=place.gateway,
        how=how_name(reading.how),
        part=reading.part,
        slot=None if reading.slot_ms is None else utc(reading.slot_ms),
        gateway_time=utc(reading.at_ms),
        age_s=(now_ms - reading.at_ms) // 1000,
        clock_synchronised=reading.quality.synchronised,
        clock_uncertainty_ms=reading.quality.uncertainty_ms,
        meter_time=_meter_time(reading.meter_time),
        status=words.status(reading.status),
        status_raw=reading.status_raw,
        values=_values(reading, f"{place.batch.hex()}:{place.leaf}"),
        seal="holds" if holds else "altered",
        held=row.held,
        conflict=row.conflict,
        proof=_proof(row),
    )


def _values(reading: SealedReading, proof: str) -> tuple[views.Value, ...]:
    """The main values first, then the others as the meter shows them; of one quantity what is valid goes first."""
    labels = Counter(quantities.label(each.key, reading.meter) for each in reading.values)
    valid = {quantities.label(each.key, reading.meter) for each in reading.values if each.state is State.OK}
    ranked = sorted(
        (
            (
                quantities.rank(each.key, reading.meter),
                each.state is not State.OK and quantities.label(each.key, reading.meter) in valid,
                place,
                each,
            )
            for place, each in enumerate(reading.values)
        ),
        key=lambda found: found[:3],
    )
    return tuple(
        _value(value, reading, proof, labels, rank < Rank.OTHER and index < MAIN)
        for index, (rank, _, _, value) in enumerate(ranked)
    )


def _value(value: Value, reading: SealedReading, proof: str, labels: Counter[str], main: bool) -> views.Value:
    label = quantities.label(value.key, reading.meter)
    return views.Value(
        key=str(value.key),
        label=label,
        alike=labels[label] > 1,
        value=shown(value.number)[:VALUE],
        kind=cast("_KINDS", kind_of(value.number)),
        unit=value.unit,
        state=cast("_STATES", state_name(value.state)),
        time=maybe_time(value.time),
        status=value.status,
        main=main,
        proof=proof,
    )


def _meter_time(time: MeterTime | None) -> views.MeterTime | None:
    if time is None:
        return None
    precision = cast("_PRECISIONS", time.precision.name.lower())
    return views.MeterTime(shown=str(time), precision=precision, summer=time.summer, deviation_min=time.deviation_min)


def _proof(row: ReadingRow) -> views.Proof:
    place = row.place
    batch = place.batch.hex()
    command = f"plomba-collector proof --config collector.toml --batch {batch} --leaf {place.leaf} --out reading.proof"
    return views.Proof(batch=batch, leaf=place.leaf, epoch=place.epoch.hex(), seq=place.seq, command=command)
