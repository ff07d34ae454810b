"""Reads again, at once, what is hard to believe: a counter that steps back, jumps, or is not there any more.

The 8-bit sum of a frame cannot see two errors that cancel out. So the counters of each device (energy, volume and mass
of storage 0, instantaneous) are remembered with the greatest rate at which each was seen to grow. A reading is doubtful
when a counter

* is lower than the last time (a rollover, a reset, an exchange, or an error),
* is higher by more than `GENEROUS` times that rate over the time that passed, an outage included, and `STEPS` steps of
  its resolution (`CLOSE` steps on a bus that has little time to spare),
* is missing or has no valid value, and did have one the last time, or the other way round.

A doubtful reading is read again, and then once more where the two do not agree. Two that agree - which are of one
opinion about each counter, show the same where one has no valid value, and between which no counter grew by more than
a slot's worth - are taken: what the meter really shows is sealed however odd it is. Three that disagree are a fault of
the meter, `StepNotConfirmed`; what was seen is remembered for the next try. A doubtful reading whose repetition stays
out is in the log, remembered for the next try, and handed on as what it is: `doubtful` says what becomes of it.

The first reading after a start is taken as it is: there is no step yet, and a slot that is nearly over must be read
within it. Steps until a rate is known are read twice where the bus has the time (a forecast of at most half of what
makes it tight); where it has not, they are believed when they go up.

What this cannot see: an error of one step or a few (a changed low byte), one in a value that is no counter, and one in
a first reading; the next reading after that is a step, which is confirmed. A counter that steps back or is missing more
than `UNSTEADY` times, confirmed each time, is none, and is not looked at any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import structlog

from gateway.doubtful import Doubtful
from gateway.faults import StepNotConfirmed
from protocols.errors import LinkError, MeterError
from protocols.reading import Float32, Identity, NativeKey, Number, Protocol, Reading, Scaled, State, Value

UNITS = frozenset({"Wh", "J", "cal", "VA.h", "var.h", "m3", "kg", "[cft_i]"})
GENEROUS = 4
STEPS = 3
# Steps of resolution: two bytes of a counter that cancel out in the sum move it by more (93 in BCD, else 255).
CLOSE = 90
REAL_STEP = Fraction(1, 90_000)  # of its own value: what is called a step of a float32
BOLDER = 16  # times the known rate: what one confirmed jump may raise it to at most
UNSTEADY = 3
READS = 3

Read = Callable[[], Awaitable[list[Reading]]]
log = structlog.get_logger("plomba.gateway")


@dataclass(frozen=True, slots=True)
class Count:
    """A counter's exact value in its unit, and the least step that it shows."""

    value: Fraction
    step: Fraction


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading: who answered, when, its counters, and which of them are doubtful (None: nothing is known of it)."""

    found: list[Reading]
    identity: Identity
    mono_ms: int
    counts: dict[NativeKey, Count]
    invalid: dict[NativeKey, Number]  # what stands where a counter has no valid value
    doubtful: frozenset[NativeKey] | None = frozenset()


@dataclass(slots=True)
class _Meter:
    """What is remembered of one device."""

    last: Seen | None = None
    rates: dict[NativeKey, Fraction] = field(default_factory=dict)  # in its unit a millisecond
    surprises: Counter[NativeKey] = field(default_factory=Counter)
    open: list[Seen] = field(default_factory=list)  # doubtful ones that nothing has confirmed yet
    left: Doubtful | None = None  # of a visit in which the repetition stayed out


class Plausible:
    """Judges the readings of one bus; `roomy` buses have the time to read twice what nothing is known of."""

    def __init__(self, roomy: bool) -> None:
        self._roomy = roomy
        self._meters: dict[str, _Meter] = {}

    async def settled(self, device: str, slot_ms: int, read: Read) -> list[Reading]:
        """The device's reading, read again where it is doubtful; `slot_ms` is how long its slots are.

        Raises:
            StepNotConfirmed: three answers, no two of which agree.
            LinkError, MeterError: as `read`.
        """
        mine = self._meters.setdefault(device, _Meter())
        earlier, visit, mine.left = tuple(mine.open), list[Seen](), None
        for _ in range(READS):
            seen = self._judged(mine, await _heard(read, visit, device, mine))
            visit.append(seen)
            if seen.doubtful == frozenset() and len(visit) == 1:
                return self._take(mine, seen, visit, device)
            agreed = next((each for each in (*visit[:-1], *earlier) if _agree(each, seen, mine, slot_ms)), None)
            if agreed is not None or _even(visit):
                # Of two of this visit the first: the slot may have ended since.
                return self._take(mine, agreed if agreed in visit else seen, visit, device)
            mine.open = [*mine.open, seen][-READS:]
        raise StepNotConfirmed("two equal answers of three", f"three different ones in {_named(visit)}", device)

    def doubtful(self, device: str) -> Doubtful | None:
        """What the last visit did read before the repetition stayed out; once."""
        mine = self._meters.setdefault(device, _Meter())
        left, mine.left = mine.left, None
        return left

    def _judged(self, mine: _Meter, found: list[Reading]) -> Seen:
        values = [value for reading in found for value in reading.values if _is_counter(value)]
        invalid = {value.key: value.number for value in values if value.state is not State.OK}
        seen = Seen(found, found[0].meter, found[0].exchange.mono_ms, counters(found), invalid)
        return replace(seen, doubtful=self._doubts(mine, seen))

    def _doubts(self, mine: _Meter, seen: Seen) -> frozenset[NativeKey] | None:
        last = mine.last
        if last is None:
            return frozenset()
        if last.identity != seen.identity:
            return None
        passed_ms = seen.mono_ms - last.mono_ms
        fits = (
            key in seen.counts and self._fits(count, seen.counts[key], mine.rates.get(key), passed_ms)
            for key, count in last.counts.items()
        )
        odd = {key for key, fit in zip(last.counts, fits, strict=True) if not fit}
        odd |= seen.counts.keys() - last.counts.keys()
        return frozenset(key for key in odd if mine.surprises[key] <= UNSTEADY)

    def _fits(self, last: Count, now: Count, rate: Fraction | None, passed_ms: int) -> bool:
        if now.value < last.value:
            return False
        if rate is None:
            return not self._roomy or now.value - last.value <= CLOSE * now.step
        return now.value - last.value <= GENEROUS * rate * passed_ms + (STEPS if self._roomy else CLOSE) * now.step

    def _take(self, mine: _Meter, seen: Seen, visit: list[Seen], device: str) -> list[Reading]:
        if len(visit) > 1 and mine.last is not None:
            names, taken = [str(key) for key in _keys(visit)], visit.index(seen) + 1
            log.info("step-read-again", device=device, registers=names, taken=taken, telegrams=_telegrams(visit))
        _learn(mine, seen)
        mine.last, mine.open = seen, []
        return seen.found


async def _heard(read: Read, visit: list[Seen], device: str, mine: _Meter) -> list[Reading]:
    """One more answer; where it stays out, what came before it in this visit is in the log and left over."""
    try:
        return await read()
    except (MeterError, LinkError, asyncio.CancelledError):  # cancelled: the poll has taken too long
        if visit:
            log.info("step-not-read-again", device=device, telegrams=_telegrams(visit))
            mine.left = Doubtful(visit[0].found, _named(visit))
        raise


def counters(found: Iterable[Reading]) -> dict[NativeKey, Count]:
    """The counters of a reading that have a valid value."""
    values = (value for reading in found for value in reading.values if value.state is State.OK)
    counts = {value.key: _count(value) for value in values if _is_counter(value)}
    return {key: count for key, count in counts.items() if count is not None}


def _is_counter(value: Value) -> bool:
    if value.key.protocol is not Protocol.MBUS or value.unit not in UNITS:
        return False
    _, storage, _, _, function, _ = value.key.parts
    return storage == 0 and function == 0


def _count(value: Value) -> Count | None:
    number = value.number
    if isinstance(number, Scaled):
        step = Fraction(10) ** number.exponent
        return Count(number.mantissa * step, step)
    if isinstance(number, Float32):
        exact = _exact(number.bits) * Fraction(10) ** number.exponent
        return Count(exact, abs(exact) * REAL_STEP)
    return None


def _exact(bits: int) -> Fraction:
    """The number that the bits of a finite float32 are."""
    power, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    whole = fraction | 0x800000 if power else fraction
    exact = whole * Fraction(2) ** (max(power, 1) - 150)
    return -exact if bits >> 31 else exact


def _agree(one: Seen, other: Seen, mine: _Meter, slot_ms: int) -> bool:
    """Whether two readings of one opinion, `one` before `other`, differ by a slot's growth at most.

    Where no rate is known yet the step that is to be confirmed says how much may be added meanwhile. Of a meter that
    stands where another one stood nothing is known: neither rate nor step is its own.
    """
    if not _alike(one, other):
        return False
    passed_ms = max(slot_ms, other.mono_ms - one.mono_ms)
    before, rates = _known(mine, one.identity)
    for key, first in one.counts.items():
        now, rate = other.counts[key], rates.get(key)
        if rate is not None:
            grown = GENEROUS * rate * passed_ms
        else:
            grown = first.value - before[key].value if key in before else Fraction(0)
        if not 0 <= now.value - first.value <= max(CLOSE * now.step, grown):
            return False
    return True


def _known(mine: _Meter, who: Identity) -> tuple[dict[NativeKey, Count], dict[NativeKey, Fraction]]:
    """What is remembered of this very meter: its counters and their rates."""
    return ({}, {}) if mine.last is None or mine.last.identity != who else (mine.last.counts, mine.rates)


def _even(visit: list[Seen]) -> bool:
    """Whether three readings of which nothing is known show counters that run fast: two steps up, of about one size."""
    if (
        len(visit) < READS
        or visit[0].doubtful is not None
        or not (_alike(visit[0], visit[1]) and _alike(visit[1], visit[2]))
    ):
        return False
    for key, first in visit[0].counts.items():
        second, third = visit[1].counts[key], visit[2].counts[key]
        least, most = sorted((second.value - first.value, third.value - second.value))
        if least < 0 or most > GENEROUS * least + CLOSE * third.step:
            return False
    return True


def _alike(one: Seen, other: Seen) -> bool:
    same = one.identity == other.identity and one.doubtful == other.doubtful
    return same and one.counts.keys() == other.counts.keys() and one.invalid == other.invalid


def _telegrams(visit: list[Seen]) -> list[str]:
    return [each.found[0].exchange.telegram.hex() for each in visit]


def _named(visit: list[Seen]) -> str:
    return ", ".join(str(key) for key in _keys(visit)) or "who it is"


def _keys(visit: list[Seen]) -> list[NativeKey]:
    return sorted({key for each in visit for key in each.doubtful or ()}, key=str)


def _learn(mine: _Meter, seen: Seen) -> None:
    """Rates grow with what was taken; what steps back or is missing is counted."""
    last = mine.last
    if last is None:
        return
    if last.identity != seen.identity:
        mine.rates, mine.surprises = {}, Counter()
        return
    passed_ms = seen.mono_ms - last.mono_ms
    mine.surprises.update(last.counts.keys() ^ seen.counts.keys())
    for key in last.counts.keys() & seen.counts.keys():
        before, now = last.counts[key], seen.counts[key]
        if now.value < before.value:
            mine.surprises[key] += 1
        elif passed_ms > 0 and now.value > before.value:
            rate, known = (now.value - before.value) / passed_ms, mine.rates.get(key)
            mine.rates[key] = rate if known is None else max(known, min(rate, BOLDER * known))
