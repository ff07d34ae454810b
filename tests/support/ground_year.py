"""A simulated year of metering points, with a truth of its own: what every register stood at, in whole small units.

A meter counts in small whole units (`Wave`), shows whole steps of them, and begins anew at its modulus. What was
delivered in a month is the difference of what it stood at, shown, times the factor; over an exchange the sum of both
meters. Nothing here comes from the code under test but the words of readings and of master data.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Kind, Meter, Register, Stood
from collector.master.points import Medium, Point, Scheme
from protocols.reading import (
    Exchange,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Reading,
    Scaled,
    State,
    Status,
    TimeQuality,
    Value,
)

ZONE = "Europe/Budapest"
UTC = datetime.UTC
QUARTER_MS, HOUR_MS, DAY_MS = 900_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Part:
    """How a kind of meter shows a register: in steps of `base` base units, over at `modulus` steps."""

    name: str
    key: NativeKey
    quantity: str
    unit: str
    exponent: int  # of a step, in `unit`
    base: Fraction  # base units of one step
    modulus: int | None  # in steps


class Wave:
    """What a register counted since the year began, in thousandths of a step, at any instant."""

    def __init__(self, seed: str, start_ms: int, quarters: int, most: int) -> None:
        drawn = random.Random(seed)
        self._start_ms = start_ms
        self._totals = [0]
        for quarter in range(quarters):
            quiet = quarter // 96 % 7 == 6
            self._totals.append(self._totals[-1] + (0 if quiet else drawn.randrange(most)))

    def at(self, at_ms: int) -> int:
        """Thousandths of a step, at an instant."""
        quarter, rest = divmod(at_ms - self._start_ms, QUARTER_MS)
        quarter = min(max(quarter, 0), len(self._totals) - 2)
        before, after = self._totals[quarter], self._totals[quarter + 1]
        return before + (after - before) * rest // QUARTER_MS


@dataclass(frozen=True)
class Served:
    """A meter at a point: from when to when, what it stood at first (in steps), its parts (dated by their unit)."""

    serial: str
    from_ms: int
    to_ms: int | None
    first: int
    parts: tuple[Part, ...]


@dataclass
class Site:
    """A point of the year: its meters, their waves by register, factors (from when on), and what changes the unit."""

    point: str
    medium: Medium
    cadence: Cadence
    clock: str
    meters: list[Served]
    waves: dict[str, Wave]
    factors: list[tuple[int, Fraction]]
    deviation: bool = False
    unit_change: tuple[int, Part] | None = None
    late: int = 5

    def steps(self, meter: Served, part: Part, at_ms: int) -> int:
        """What a meter counted in whole steps of a part, without going over."""
        wave, end = self.waves[part.name], meter.to_ms
        at_ms = max(meter.from_ms, at_ms if end is None else min(at_ms, end))
        counted = wave.at(at_ms) - wave.at(meter.from_ms)
        scale = self._scale(part)
        return int((meter.first * 1_000 + counted) * scale) // 1_000

    def shown(self, meter: Served, name: str, at_ms: int) -> tuple[Part, Scaled]:
        """What it shows."""
        part = self.part(meter, name, at_ms)
        steps = self.steps(meter, part, at_ms)
        return part, Scaled(steps if part.modulus is None else steps % part.modulus, part.exponent)

    def part(self, meter: Served, name: str, at_ms: int) -> Part:
        """How a register shows at an instant: another unit, from its change on."""
        if self.unit_change is not None and at_ms >= self.unit_change[0]:
            return self.unit_change[1]
        return next(each for each in meter.parts if each.name == name)

    def truth(self, name: str, from_ms: int, to_ms: int) -> tuple[Fraction, Fraction]:
        """What was delivered, by what the registers stood at, in base units; and the greatest step of them.

        At both ends it is what they showed when they were read: a late read is taken as the end's, and not corrected.
        """
        delivered, coarsest = Fraction(0), Fraction(0)
        cuts = sorted({from_ms, to_ms, *(at for at, _ in self.factors if from_ms < at < to_ms)})
        for meter in self.meters:
            for start, end in pairwise(cuts):
                low, high = max(start, meter.from_ms), min(end, meter.to_ms or end)
                if low >= high:
                    continue
                factor = [each for at, each in self.factors if at <= low][-1]
                both = [(self.part(meter, name, at), at) for at in (low, high)]
                ends = {at: self.read_ms(at) for at in (from_ms, to_ms) if at not in {meter.from_ms, meter.to_ms}}
                stood = [self.steps(meter, part, ends.get(at, at)) * part.base for part, at in both]
                delivered += factor * (stood[1] - stood[0])
                coarsest = max(coarsest, *(part.base * factor for part, _ in both))
        return delivered, coarsest

    def read_ms(self, at_ms: int) -> int:
        """When the read for a boundary takes place: a spot read a little late, a profile's row never."""
        if self.medium is Medium.ELECTRICITY:
            return at_ms
        return at_ms + random.Random(f"{self.point} {at_ms}").randrange(self.late * 1_000)

    def _scale(self, part: Part) -> Fraction:
        """Steps of this part in one of the first part: a change of unit counts the same on."""
        first = next(each for each in self.meters[0].parts if each.name == part.name)
        return first.base / part.base


def words(site: Site, span: Span) -> Iterator[object]:
    """The master data of a site, in the order in which it can be entered."""
    scheme = Scheme.FREE
    yield Point(site.point, scheme, site.medium, ZONE, span)
    for meter in site.meters:
        yield Meter(meter.serial, "model", identity(site, meter))
        for part in meter.parts:
            yield from registers(site, meter, part, span)
        yield Installation(
            site.point,
            meter.serial,
            Span(meter.from_ms, meter.to_ms),
            site.clock,
            initial=_stood(site, meter, meter.from_ms) if meter is not site.meters[0] else (),
            final=() if meter.to_ms is None else _stood(site, meter, meter.to_ms),
        )
    for part in site.meters[0].parts:
        yield Channel(site.point, part.name, part.quantity, part.name, site.cadence, Aggregate.SUM, span)


def registers(site: Site, meter: Served, part: Part, span: Span) -> Iterator[Register]:
    """The rows of a register: one for each factor and unit."""
    cuts = sorted({span.from_ms, *(at for at, _ in site.factors[1:])})
    if site.unit_change is not None:
        cuts = sorted({*cuts, site.unit_change[0]})
    for at, end in zip(cuts, [*cuts[1:], None], strict=True):
        now = site.part(meter, part.name, at)
        factor = [each for since, each in site.factors if since <= max(at, site.factors[0][0])][-1]
        modulus = None if now.modulus is None else Scaled(now.modulus, now.exponent)
        step = Scaled(1, now.exponent)
        yield Register(
            meter.serial,
            now.name,
            now.key,
            Kind.TOTAL,
            now.quantity,
            now.unit,
            factor,
            modulus,
            step,
            Span(at, end),
        )


def identity(site: Site, meter: Served) -> Identity:
    """What a meter says it is."""
    protocol = Protocol.DLMS if site.medium is Medium.ELECTRICITY else Protocol.MBUS
    return Identity(protocol, "SIM", meter.serial)


def rows(site: Site, from_ms: int, to_ms: int) -> Iterator[Reading]:
    """Every reading of a site in [from, to], in the order of time: profile rows, or spot reads a little late."""
    shown_before: dict[MeterTime, int] = {}
    for at_ms in boundaries(site.cadence, from_ms, to_ms):
        for meter in site.meters:
            if not (meter.from_ms <= at_ms and (meter.to_ms is None or at_ms < meter.to_ms)):
                continue
            if site.medium is Medium.ELECTRICITY:
                time = _local(at_ms, site.clock, site.deviation)
                part = shown_before[time] = shown_before.get(time, -1) + 1
                yield _reading(site, meter, at_ms, How.PROFILE, None, time, at_ms + 60_000, part)
            else:
                read_ms = site.read_ms(at_ms)
                yield _reading(site, meter, read_ms, How.READ, at_ms, None, read_ms, 0)


def boundaries(cadence: Cadence, from_ms: int, to_ms: int) -> Iterator[int]:
    """Where intervals begin: quarters and hours of UTC, days of the zone."""
    if cadence is not Cadence.DAY:
        step = QUARTER_MS if cadence is Cadence.QUARTER else HOUR_MS
        yield from range(from_ms, to_ms + 1, step)
        return
    day = datetime.datetime.fromtimestamp(from_ms / 1_000, ZoneInfo(ZONE)).replace(hour=0, minute=0)
    while (at_ms := ms(day)) <= to_ms:
        yield at_ms
        day = (day.replace(tzinfo=None) + datetime.timedelta(days=1)).replace(tzinfo=ZoneInfo(ZONE))


def months(year: int, first: int, last: int) -> list[int]:
    """Where local months begin, and where the last one ends."""
    starts = [(year + (month - 1) // 12, (month - 1) % 12 + 1) for month in range(first, last + 2)]
    return [ms(datetime.datetime(y, m, 1, tzinfo=ZoneInfo(ZONE))) for y, m in starts]


def ms(at: datetime.datetime) -> int:
    """The instant."""
    return int(at.timestamp()) * 1_000


def sites(electricity: int, heat: int, water: int, bounds: Sequence[int]) -> Iterator[Site]:
    """The points of a year, each with something that happens to it by its number."""
    quarters = (bounds[-1] - bounds[0]) // QUARTER_MS + 96
    for number in range(electricity):
        yield _electricity(number, bounds, quarters)
    for number in range(heat):
        yield _heat(number, bounds, quarters)
    for number in range(water):
        yield _water(number, bounds, quarters)


def _electricity(number: int, bounds: Sequence[int], quarters: int) -> Site:
    """Every second one with an exchange, every third rolls over, every fifth has its CT changed in the year."""
    modulus = 10**6 if number % 3 else 20_000
    parts = tuple(
        Part(
            name,
            NativeKey.dlms(3, bytes([1, 0, group, 8, 0, 255]), 2),
            "energy" if group < 3 else "reactive energy",
            "Wh" if group < 3 else "var.h",
            1,
            Fraction(36_000) if group < 3 else Fraction(10),
            modulus,
        )
        for name, group in (("A+", 1), ("A-", 2), ("R+", 3), ("R-", 4))
    )
    name = f"E{number:03}"
    waves = {part.name: Wave(f"{name}{part.name}", bounds[0], quarters, 3_000) for part in parts}
    factors = [(0, Fraction(40) if number % 4 else Fraction(1))]
    middle = _middle(bounds)
    if number % 5 == 1:
        factors.append((middle + 7 * DAY_MS + 11 * QUARTER_MS, Fraction(60)))
    clock = "+01:00" if number % 2 else ZONE
    cut = middle - 5 * DAY_MS + 37 * 60_000 + 13_000 if number % 2 == 0 else None
    meters = _meters(name, bounds[0], cut, parts, modulus - 500, 777)
    return Site(name, Medium.ELECTRICITY, Cadence.QUARTER, clock, meters, waves, factors, deviation=number % 4 == 2)


def _heat(number: int, bounds: Sequence[int], quarters: int) -> Site:
    """Every third changes from GJ to MWh, every fourth is exchanged."""
    name = f"H{number:03}"
    part = Part("heat", NativeKey.mbus(b"\x0e", 0, 0, 0, 0), "energy", "GJ", -2, Fraction(10**7), None)
    other = Part("heat", NativeKey.mbus(b"\x07", 0, 0, 0, 0), "energy", "MWh", -3, Fraction(3_600_000), None)
    wave = Wave(name, bounds[0], quarters, 2_500)
    change = _middle(bounds) + 9 * DAY_MS + 3 * HOUR_MS + 1_234
    cut = _middle(bounds) - 3 * DAY_MS + 5 * HOUR_MS + 60_000 if number % 3 and number % 4 == 0 else None
    meters = _meters(name, bounds[0], cut, (part,), 1_234, 17)
    unit_change = None if number % 3 else (change, other)
    return Site(
        name, Medium.HEAT, Cadence.HOUR, "+01:00", meters, {"heat": wave}, [(0, Fraction(1))], False, unit_change
    )


def _water(number: int, bounds: Sequence[int], quarters: int) -> Site:
    """All roll over, every third is exchanged."""
    name = f"W{number:03}"
    part = Part("volume", NativeKey.mbus(b"\x13", 0, 0, 0, 0), "volume", "m3", -3, Fraction(1, 1_000), 100_000)
    wave = Wave(name, bounds[0], quarters, 20_000)
    cut = _middle(bounds) + 4 * DAY_MS + 10 * HOUR_MS if number % 3 == 0 else None
    meters = _meters(name, bounds[0], cut, (part,), 99_000, 55)
    return Site(name, Medium.HOT_WATER, Cadence.DAY, ZONE, meters, {"volume": wave}, [(0, Fraction(1))], late=60)


def _middle(bounds: Sequence[int]) -> int:
    """Somewhere in the middle, on a whole hour."""
    return bounds[0] + (bounds[-1] - bounds[0]) // (2 * DAY_MS) * DAY_MS


def _meters(
    name: str, start_ms: int, cut: int | None, parts: tuple[Part, ...], first: int, second: int
) -> list[Served]:
    if cut is None:
        return [Served(f"{name}-1", start_ms - DAY_MS, None, first, parts)]
    return [Served(f"{name}-1", start_ms - DAY_MS, cut, first, parts), Served(f"{name}-2", cut, None, second, parts)]


def _stood(site: Site, meter: Served, at_ms: int) -> tuple[Stood, ...]:
    return tuple(Stood(part.name, site.shown(meter, part.name, at_ms)[1]) for part in meter.parts)


def _local(at_ms: int, clock: str, deviation: bool) -> MeterTime:
    zone: datetime.tzinfo = datetime.timezone(datetime.timedelta(hours=1)) if clock == "+01:00" else ZoneInfo(clock)
    local = datetime.datetime.fromtimestamp(at_ms / 1_000, zone)
    naive = MeterTime.from_calendar(local.replace(tzinfo=None, fold=0), Precision.SECOND)
    offset = local.utcoffset() or datetime.timedelta()
    return MeterTime(naive.seconds, naive.precision, False, int(offset.total_seconds()) // 60 if deviation else None)


def _reading(
    site: Site, meter: Served, of_ms: int, how: How, slot: int | None, time: MeterTime | None, at_ms: int, part: int
) -> Reading:
    values = []
    for each in meter.parts:
        shown, number = site.shown(meter, each.name, of_ms)
        values.append(Value(shown.key, shown.unit, number, State.OK))
    exchange = Exchange(at_ms, at_ms % 10**9, 200, TimeQuality(True, 20), b"telegram", keep=False)
    return Reading(
        identity(site, meter),
        site.point.lower(),
        None,
        how,
        slot,
        time,
        exchange,
        None,
        Status.NONE,
        tuple(values),
        part,
    )
