"""A DLMS meter's clock: how far it is from ours, how well that is known, and adjusting it within its model's limits.

A meter shows whole seconds: the time it shows began up to one second ago. So the drift is known to half of that second,
half of the round trip, and what is known of our own clock. A clock without an offset from UTC has no instant and no
drift: its zone is never guessed. One that is right with the other sign of its offset is told once and left alone, and
its times are doubtful until they agree. Adjusting never crosses the end of a quarter of an hour, nor of a capture
period, by either side's clock: no interval is entered twice, and none left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import DlmsDevice
from gateway.dlms_access import ways_of
from gateway.dlms_further import model_of
from gateway.faults import OffsetTurned, PollTooLong
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.action import Method
from protocols.dlms.clock import Clock
from protocols.dlms.data import Data, Tag
from protocols.dlms.objects import CLOCK, CLOCK_TIME
from protocols.errors import LinkError, MeterError
from protocols.models.dlms import Adjusting
from protocols.reading import MeterTime, Precision, TimeQuality
from protocols.transports.dlms import Association, Got
from protocols.uplink import limits
from protocols.uplink.records import Event, Parameter

SHIFT_TIME = 6  # method of the clock (Blue Book, class 8)
QUARTER_S = 900
GUARD_S = 10  # from the end of an interval: what is between looking and moving, and after it
DAY_MS = 86_400_000
APART_S = 9  # a clock without limits of its own is apart from then on: 1 % of a quarter of an hour
RIGHT_MS = 900_000  # a clock that is further away is set wrong, or its offset is
RESOLUTION_MS = {Precision.SECOND: 1_000, Precision.MINUTE: 60_000, Precision.DAY: DAY_MS}
ASKED_BY = "configuration"  # who wanted it adjusted
Note = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Drift:
    """By how much a meter's clock is ahead of ours, in ms, give or take `uncertainty_ms`."""

    ms: int
    uncertainty_ms: int

    def surely_beyond(self, limit_ms: int) -> bool:
        """Whether it is more than that, whatever its uncertainty."""
        return abs(self.ms) - self.uncertainty_ms > limit_ms

    def surely_within(self, limit_ms: int) -> bool:
        """Whether it is no more than that, whatever its uncertainty."""
        return abs(self.ms) + self.uncertainty_ms <= limit_ms


def drift_of(found: Got, quality: TimeQuality) -> Drift | None:
    """What an answer of the clock says of it; None where it has no instant, or ours is not known well enough."""
    shown = clocks.from_data(found.data, "clock")
    if shown.time is None or shown.invalid or not quality.synchronised or quality.uncertainty_ms is None:
        return None
    utc_ms, resolution_ms = clocks.utc_ms(shown.time), RESOLUTION_MS[shown.time.precision]
    if utc_ms is None:
        return None
    uncertainty_ms = (found.round_trip_ms + resolution_ms + 1) // 2 + quality.uncertainty_ms
    return Drift(utc_ms + resolution_ms // 2 - found.at_ms, uncertainty_ms)


def is_right(shown: MeterTime, at_ms: int) -> bool:
    """Whether a clock that showed this at our `at_ms` is set right, as far as its offset is concerned."""
    return abs((clocks.utc_ms(shown) or 0) - at_ms) < RIGHT_MS


def is_turned(shown: MeterTime, at_ms: int) -> bool:
    """Whether such a clock is right only if its offset has the other sign."""
    turned = replace(shown, deviation_min=-(shown.deviation_min or 0))
    return is_right(turned, at_ms) and not is_right(shown, at_ms)


def keeps_interval(shown_s: int, by_s: int, periods_s: Iterable[int]) -> bool:
    """Whether a clock that shows `shown_s` may be moved by `by_s`: no end of an interval is near or between."""
    first, last = min(shown_s, shown_s + by_s) - GUARD_S, max(shown_s, shown_s + by_s) + GUARD_S
    return all(first // each == last // each for each in (QUARTER_S, *periods_s) if each > 2 * GUARD_S)


class ClockKeeper:
    """Watches one meter's clock, and moves it where it may; what happens is an event."""

    def __init__(self, device: DlmsDevice, clock: GatewayClock, note: Note) -> None:
        model = model_of(device)
        self._device, self._clock, self._note = device, clock, note
        self._limits = None if model is None else model.adjusting
        self._apart = False
        self._otherwise_ms: int | None = None  # when it was last seen as it was before it came to be apart, or agreed
        self._tried: list[int] = []  # when (ms, monotonic), within the last day
        self.drift: Drift | None = None
        self._was_right = False  # its clock, with its offset as it is
        self.turned = False  # its offset seems to have the other sign
        self._seen_mono_ms = 0
        self._seen_s = 0

    @property
    def shifts(self) -> bool:
        """Whether the meter is to do something, and not only to be set."""
        return self._limits is not None and self._limits.method == "shift"

    def saw(self, found: Got) -> None:
        """It was read; an event where it comes to be apart from ours, or no longer is, or its offset to be turned."""
        self._look(found)
        limit_ms = 1000 * (APART_S if self._limits is None else self._limits.least_s)
        if self.drift is None:
            return
        self._judge(found)
        apart = self.drift.surely_beyond(limit_ms)
        if apart != self._apart and (apart or self.drift.surely_within(limit_ms)):
            self._apart = apart
            told = self.drift.ms if apart else 0, self.drift.uncertainty_ms
            self._tell(events.METER_CLOCK_APART, *told, self._otherwise_ms)
        if apart == self._apart:
            self._otherwise_ms = found.at_ms

    def wants(self, period_s: int) -> bool:
        """Whether it is to be moved, and may be just now."""
        by_s = self._by_s()
        if by_s is None:
            return False
        now_ms = self._clock.mono_ms()
        self._tried = [each for each in self._tried if now_ms - each < DAY_MS]
        if self._limits is None or len(self._tried) >= self._limits.a_day:
            return False
        shown_s = self._seen_s + (now_ms - self._seen_mono_ms) // 1000
        return keeps_interval(shown_s, by_s, (period_s,))

    async def adjust(self, association: Association, period_s: int) -> None:
        """Look again, move it, and look what it shows then.

        Raises:
            LinkError: the line is gone, and it is not known whether it was moved.
        """
        before = await association.get(CLOCK_TIME)
        self._look(before)
        by_s, drift, adjusting = self._by_s(), self.drift, self._limits
        if by_s is None or drift is None or adjusting is None or not keeps_interval(self._seen_s, by_s, (period_s,)):
            return
        self._tried.append(self._clock.mono_ms())
        try:
            await self._move(association, adjusting, before, by_s)
            after = await association.get(CLOCK_TIME)
        except MeterError as error:
            self.failed(error)
            return
        except (LinkError, asyncio.CancelledError) as error:
            cut = PollTooLong("to see what the clock shows", "no time left", self._device.name)
            self.failed(error if isinstance(error, LinkError) else cut)
            raise
        self._look(after)
        now = self.drift or Drift(0, 0)
        shown = (axdr.octets_of(each.data, "clock") for each in (before, after))
        found = (drift.ms, drift.uncertainty_ms, now.ms, now.uncertainty_ms)
        self._tell(events.METER_CLOCK_ADJUSTED, *shown, *found, by_s, adjusting.method, ASKED_BY)

    def failed(self, error: MeterError | LinkError) -> None:
        """It could not be moved, or it is not known whether it was; the meter's own log may tell."""
        self._tried.append(self._clock.mono_ms())
        self._tell(events.METER_CLOCK_FAILED, error.code, _text(error), ASKED_BY)

    async def _move(self, association: Association, adjusting: Adjusting, before: Got, by_s: int) -> None:
        if adjusting.method == "shift":
            await association.act(Method(CLOCK, CLOCK_TIME.name, SHIFT_TIME), Data(Tag.LONG, by_s))
            return
        shown = clocks.from_data(before.data, "clock").time
        if shown is not None:
            passed_s = (self._clock.mono_ms() - before.mono_ms + 500) // 1000
            wanted = replace(shown, seconds=shown.seconds + passed_s + by_s)
            await association.set(CLOCK_TIME, axdr.octet_string(clocks.to_bytes(wanted)))

    def _judge(self, found: Got) -> None:
        """Whether its offset has the sign that it is configured with; an event where it comes to have the other one.

        No sign changes by itself: a clock that was right once, and then is not, was set.
        """
        shown = clocks.from_data(found.data, "clock").time
        self._was_right |= shown is not None and bool(shown.deviation_min) and is_right(shown, found.at_ms)
        turned = shown is not None and not self._was_right and is_turned(shown, found.at_ms)
        if turned and not self.turned and shown is not None:
            ways = ways_of(self._device)
            said = f"{ways.offset_sign.value}, with {shown.deviation_min} min from UTC and its clock apart"
            error = OffsetTurned(f'offset_sign = "{ways.other_sign.value}"', said, self._device.name)
            self._tell(events.METER_OFFSET_DOUBTFUL, error.code, _text(error))
        self.turned = turned

    def _by_s(self) -> int | None:
        """By how many seconds it is to be moved; None where it is to be left alone."""
        drift, adjusting = self.drift, self._limits
        if not self._device.adjust_clock or self.turned or drift is None or adjusting is None:
            return None
        if not drift.surely_beyond(1000 * adjusting.least_s) or not drift.surely_within(1000 * adjusting.most_s):
            return None
        return -((drift.ms + 500) // 1000)

    def _look(self, found: Got) -> None:
        shown: Clock = clocks.from_data(found.data, "clock")
        self.drift = drift_of(found, self._clock.quality_since(found.mono_ms - found.round_trip_ms))
        self._seen_mono_ms = found.mono_ms
        self._seen_s = 0 if shown.time is None else shown.time.seconds

    def _tell(self, code: str, *parameters: Parameter) -> None:
        self._note(Event(self._clock.when(), code, self._device.identity, self._device.name, parameters))


def _text(error: MeterError | LinkError) -> str:
    """An error as an event holds it."""
    return str(error).encode()[: limits.TEXT].decode(errors="ignore")
