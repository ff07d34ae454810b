"""What a proof of values proves, in plain words and as JSON can say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from collector.grid import local
from collector.master.channels import Aggregate, Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Kind, Register
from collector.master.units import base_unit, factor, grid
from collector.proving.check import Proven, instant_of
from collector.proving.reckon import Interval
from collector.shown import meter_name, utc
from protocols.reading import Scaled

LINES = 20  # gaps, and false values, that are shown one by one
DECIMALS = 3  # of a sum in the register's unit
REASONS = {
    "": "nothing is known of it",
    "no-reading": "nothing was read there",
    "no-meter": "no meter was installed",
    "no-register": "the meter had no such register",
    "exchange": "the final or initial value of an exchanged meter is not known",
    "conflict": "readings contradict each other",
    "held": "the utility holds the readings back: their state is doubtful",
    "partial": "the meter did not answer whole",
    "erased": "the readings were erased",
    "late": "the readings have not come yet",
    "unit": "the meter showed another unit",
    "no-number": "the meter showed no number",
    "invalid": "the meter says that its value is not valid",
    "error_state": "the meter was in an error state",
    "unknown": "the meter's value is of unknown state",
    "recurring": "the meter's value is of another time",
}
RULES = {
    Kind.TOTAL: "differences of what the register stood at",
    Kind.RESETTING: "differences of what the register stood at",
    Kind.BALANCE: "differences of what the register stood at",
    Kind.INTERVAL: "amounts of the meter's load profile, added",
    Kind.MEAN: "means that the meter made",
    Kind.MAXIMUM: "maxima that the meter made",
    Kind.INSTANT: "values at an instant",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The sealed readings of one meter by one gateway: how many, of when to when (ms UTC), in how many batches."""

    meter: str
    says: str
    gateway: str
    readings: int
    batches: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Neighbouring intervals without a value, or with one of a person, and why."""

    from_ms: int
    to_ms: int
    count: int
    why: str


def groups(proven: Proven) -> list[Group]:
    """The sealed readings by meter and gateway."""
    by: dict[tuple[str, str, str], list[tuple[int, bytes]]] = {}
    for read, here in proven.readings:
        serial = "" if here is None else here.meter
        place = (serial, meter_name(read.reading.meter), read.header.gateway)
        by.setdefault(place, []).append((instant_of(read, here), read.batch))
    return [
        Group(*place, len(rows), len({batch for _, batch in rows}), min(rows)[0], max(rows)[0])
        for place, rows in sorted(by.items())
    ]


def gaps(found: Sequence[Interval]) -> list[Gap]:
    """Intervals as gaps: what follows each other for the same reason is one."""
    told: list[Gap] = []
    for each in found:
        why = each.stated.quality.reason
        last = told[-1] if told else None
        if last is not None and last.to_ms == each.start_ms and last.why == why:
            told[-1] = Gap(last.from_ms, each.end_ms, last.count + 1, why)
        else:
            told.append(Gap(each.start_ms, each.end_ms, 1, why))
    return told


def sentences(proven: Proven) -> Iterator[str]:
    """What is proven, what is not, and what is missing or false, line by line; the first is the verdict."""
    claim, zone = proven.claim, proven.zone
    span = f"{local(claim.from_ms, zone)} to {local(claim.to_ms, zone)}"
    yield f"{_verdict(proven)}: channel {claim.channel} of point {claim.point}, {span} ({zone})"
    yield f"stated and signed by {claim.collector}, {utc(claim.made_ms)}"
    for each in groups(proven):
        whose = f"meter {each.meter} ({each.says})" if each.meter else f"{each.says}, which fed nothing"
        by = f"by gateway {each.gateway} in {each.batches} batches"
        yield f"sealed: {each.readings} readings of {whose} {by}, of {_times(each, zone)}"
    yield f"computed: {_computed(proven)}"
    yield from (f"the utility's own word, not sealed: {each}" for each in _stated(proven))
    yield from _listed("not computed, a value of the utility's own", gaps(proven.by_person), proven)
    yield from _listed("missing", gaps(proven.missing), proven)
    for one in proven.wrong[:LINES]:
        yield f"FALSE: {local(one.start_ms, zone)} to {local(one.end_ms, zone)}: {one.wrong}"
    if len(proven.wrong) > LINES:
        yield f"FALSE: {len(proven.wrong) - LINES} more"


def shown(proven: Proven) -> dict[str, object]:
    """For programs."""
    claim = proven.claim
    return {
        "ok": not proven.wrong,
        "form": "plomba/1/values",
        "whole": proven.whole,
        "collector": claim.collector,
        "made": utc(claim.made_ms),
        "point": claim.point,
        "channel": claim.channel,
        "zone": proven.zone,
        "from": utc(claim.from_ms),
        "to": utc(claim.to_ms),
        "sealed": [
            {
                "meter": each.meter,
                "says": each.says,
                "gateway": each.gateway,
                "readings": each.readings,
                "batches": each.batches,
                "from": utc(each.from_ms),
                "to": utc(each.to_ms),
            }
            for each in groups(proven)
        ],
        "computed": {"values": len(proven.computed), "rule": _rule(proven), "sum": _sum(proven)},
        "stated": list(_stated(proven)),
        "by_person": [_gap(each) for each in gaps(proven.by_person)],
        "missing": [_gap(each) for each in gaps(proven.missing)],
        "false": [{"from": utc(each.start_ms), "to": utc(each.end_ms), "why": each.wrong} for each in proven.wrong],
        "values": [_value(each) for each in proven.intervals],
    }


def _verdict(proven: Proven) -> str:
    if proven.wrong:
        return f"FALSE, {len(proven.wrong)} values do not follow from the sealed readings"
    return "ok, whole" if proven.whole else "ok, but not whole"


def _computed(proven: Proven) -> str:
    count, total = len(proven.computed), _sum(proven)
    summed = "" if total is None else f", together {total}"
    return f"{count} of {len(proven.intervals)} values{summed}: {_rule(proven)}"


def _rule(proven: Proven) -> str:
    """By which rule the values follow from the readings."""
    words = proven.claim.words
    kinds = dict.fromkeys(RULES.get(each.kind, each.kind.value) for each in words.registers)
    cadences = dict.fromkeys(each.cadence.value for each in words.channels)
    derived = sum(bool(each.stated.quality.method) for each in proven.computed)
    between = f"; {derived} of them derived (between two reads, over a rollover, a change of factor)" if derived else ""
    how = " and ".join(kinds) or "no register"
    return f"{how}, times the register's factor, by {' and '.join(cadences)}{between}"


def _sum(proven: Proven) -> str | None:
    """The sum of what was computed, in the unit of the newest register; None where the channel is no sum."""
    channel = proven.claim.words.channels[-1]
    if channel.aggregate is not Aggregate.SUM:
        return None
    unit = _unit(channel, proven.claim.words.registers)
    ticks = sum(each.stated.ticks or 0 for each in proven.computed if each.channel.quantity == channel.quantity)
    amount = ticks * Fraction(10) ** grid(channel.quantity) / factor(unit, channel.quantity)
    return f"{Scaled(round(amount * 10**DECIMALS), -DECIMALS)} {unit}"


def _unit(channel: Channel, registers: Iterable[Register]) -> str:
    fed = [each for each in registers if (each.name, each.quantity) == (channel.register, channel.quantity)]
    return max(fed, key=lambda each: each.span.from_ms).unit if fed else base_unit(channel.quantity)


def _stated(proven: Proven) -> Iterator[str]:
    """The master data, in words."""
    words, zone = proven.claim.words, proven.zone
    for channel in words.channels:
        yield f"channel {channel.name} is register {channel.register}, {channel.quantity}, {_span(channel.span, zone)}"
    for here in words.installations:
        yield f"meter {here.meter} was installed at {here.point}, {_span(here.span, zone)}{_stood(here)}"
    for row in words.registers:
        over = "" if row.modulus is None else f", over at {row.modulus}"
        about = f"{row.kind.value} in {row.unit}, factor {row.factor}{over}"
        yield f"register {row.name} of meter {row.meter}: {about}, {_span(row.span, zone)}"
    for device in words.mapped:
        if device.meter:
            yield f"device {device.device} of {device.gateway} shows meter {device.meter}, {_span(device.span, zone)}"
    doubts = [read.doubt for read, _ in proven.readings if read.doubt]
    for doubt, same in groupby(sorted(doubts)):
        yield f"{len(list(same))} readings do not count: {REASONS[doubt]}"


def _stood(here: Installation) -> str:
    came = "".join(f", {each.register} at {each.value} when it came" for each in here.initial)
    return came + "".join(f", {each.register} at {each.value} when it went" for each in here.final)


def _listed(what: str, found: Sequence[Gap], proven: Proven) -> Iterator[str]:
    for each in found[:LINES]:
        why = REASONS.get(each.why, each.why)
        yield f"{what}: {each.count} values, {_times(each, proven.zone)}: {why}"
    if len(found) > LINES:
        yield f"{what}: {sum(each.count for each in found[LINES:])} more values in {len(found) - LINES} gaps"


def _times(each: Group | Gap, zone: str) -> str:
    return f"{local(each.from_ms, zone)} to {local(each.to_ms, zone)}"


def _gap(gap: Gap) -> dict[str, object]:
    return {"from": utc(gap.from_ms), "to": utc(gap.to_ms), "values": gap.count, "why": gap.why}


def _value(each: Interval) -> dict[str, object]:
    quantity = each.channel.quantity
    value = None if each.stated.ticks is None else str(Scaled(each.stated.ticks, grid(quantity)))
    quality = each.stated.quality
    return {
        "from": utc(each.start_ms),
        "to": utc(each.end_ms),
        "value": value,
        "unit": base_unit(quantity),
        "state": str(quality.state),
        "method": quality.method,
        "reason": quality.reason,
    }


def _span(span: Span, zone: str) -> str:
    begun = f"from {local(span.from_ms, zone)}" if span.from_ms else "always"
    return begun if span.to_ms is None else f"{begun} to {local(span.to_ms, zone)}"
