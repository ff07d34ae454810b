"""Which device is due for which slot: pure, no clock of its own.

A slot of a device begins where its cadence says (`cadence`), mostly at a multiple of it, and is open until the next
begins, or up to an end of its own. It is due while it is open and has not been read; which slots were read survives a
restart with the batches that hold them, so that a slot which a restart interrupted is polled again and one that is
sealed never is. A clock that was set back meets slots that were read: they are not read a second time. So what is
forgotten is what was read longest ago, whatever the clock showed then.

Of what is due readings for bills go first, then the slot that ends first. A slot for bills and one of the cadence that
begin together are one slot, which is open until the later end. Devices whose last poll failed stand behind all others,
the one that was asked longest ago in front; on a bus that never rests one of them has its turn all the same, once a
minute. After a start nobody has failed yet: of slots that end together those of devices that were not read lately go
last, so that who was silent before does not take the time that the first visits of the others need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.cadence import HOUR_S, Days, Pace, starts
from gateway.config import Device
from gateway.settled import billing_key

KEPT_SLOTS = 96  # of each device: a day of quarters of an hour; a clock set back further meets slots it forgot
RETRY_MS = 2_000  # the first pause after a failed poll; doubles to `RETRY_CAP_MS` while the slot is open
RETRY_CAP_MS = 60_000
PATIENT_MS = HOUR_S * 1000  # of a slot that is open for longer pauses grow to `PATIENT_CAP_MS`: a meter has a battery
PATIENT_CAP_MS = 900_000
NO_REST_MS = 60_000  # a bus on which no device that failed had a turn for so long never rests
LEAST_BUDGET_MS = 4_000  # of a poll of a device that failed, while others wait: time for 255 bytes at 1200 baud
LATELY = 2  # slots of its own that a device may lag behind the newest that was read of any
LINE_TRIES = 3  # polls of a slot that may fail with their line before that costs the device a pause, too


@dataclass(frozen=True, slots=True)
class Due:
    """A device and the slot it is due for: from `slot_ms` (UTC) up to, not including, `end_ms`; whether for bills."""

    device: Device
    slot_ms: int
    end_ms: int
    billing: bool = False


@dataclass(slots=True)
class _Progress:
    done: dict[int, None]  # in the order in which they were read
    slot_ms: int = -1
    failures: int = 0
    lines: int = 0  # polls that failed with their line, and cost no pause
    retry_mono_ms: int = 0
    tried_mono_ms: int = 0
    took_ms: int = 0  # the last poll that gave readings
    lagging: bool = False  # not read lately, and not since the start
    told_ms: int | None = None  # the slot of a calendar up to which it is known whether it was missed

    @property
    def has_failed(self) -> bool:
        return self.failures + self.lines > 0


@dataclass(frozen=True, slots=True)
class _Kind:
    """Slots of one kind of a device."""

    device: Device
    pace: Pace
    billing: bool
    progress: _Progress

    @classmethod
    def of(cls, device: Device, sealed: Mapping[str, Iterable[int]]) -> list[_Kind]:
        """All kinds of a device; a salvaged buffer remembers those for bills with the others only."""
        mine = dict.fromkeys(sealed.get(device.name, ()))
        found = [cls(device, device.pace, False, _Progress(mine))]
        if device.billing_pace is None:
            return found
        billed = [
            *(each for each in mine if starts(device.billing_pace, each)),
            *sealed.get(billing_key(device.name), ()),
        ]
        return [*found, cls(device, device.billing_pace, True, _Progress(dict.fromkeys(billed)))]


class Schedule:
    """The slots of one bus's devices; `sealed` are those that the buffer knows of, in the order of their readings."""

    def __init__(self, devices: Iterable[Device], sealed: Mapping[str, Iterable[int]]) -> None:
        self._behind_mono_ms = 0  # when one that had failed was polled last
        self._kinds = tuple(kind for each in devices for kind in _Kind.of(each, sealed))
        self._of = {(each.device.name, each.billing): each for each in self._kinds}
        newest_ms = max((slot_ms for each in self._kinds for slot_ms in each.progress.done), default=-1)
        for each in self._kinds:
            mine = each.progress
            mine.lagging = max(mine.done, default=-1) + LATELY * each.pace.longest_ms < newest_ms

    def due(self, utc_ms: int, mono_ms: int) -> list[Due]:
        """What is due now: the slot that ends first in front, those whose last poll failed behind the others."""
        slots: dict[tuple[str, int], Due] = {}
        for each in self._kinds:
            span, mine = each.pace.span(utc_ms), each.progress
            if span is None or span[0] in mine.done:
                continue
            if mine.slot_ms == span[0] and mono_ms < mine.retry_mono_ms:
                continue
            slots[each.device.name, span[0]] = Due(each.device, *span, each.billing)
        found = sorted(slots.values(), key=self._turn)
        behind = next((n for n, each in enumerate(found) if self._progress(each).has_failed), 0)
        if behind and mono_ms - self._behind_mono_ms >= NO_REST_MS:
            found.insert(0, found.pop(behind))
        return found

    def read(self, due: Due, took_ms: int = 0) -> None:
        """The slot has its reading, which took so long."""
        mine = self._progress(due)
        mine.slot_ms, mine.failures, mine.lines, mine.took_ms = due.slot_ms, 0, 0, took_ms
        mine.lagging = False
        self.settle(due)

    def settle(self, due: Due) -> None:
        """The slot has what there is of it, and is not read a second time."""
        for billing in (False, True):
            kind = self._of.get((due.device.name, billing))
            if kind is not None and (billing == due.billing or starts(kind.pace, due.slot_ms)):
                done = kind.progress.done
                done[due.slot_ms] = None
                if len(done) > KEPT_SLOTS:
                    del done[next(iter(done))]

    def missed(self, utc_ms: int) -> list[Due]:
        """Slots of calendars that are over and have no reading, once each: since the last one that was read.

        Of a meter that was never read those that are over already are not missed.
        """
        return [due for each in self._kinds if isinstance(each.pace, Days) for due in _missed(each, each.pace, utc_ms)]

    def budget_ms(self, due: Due, utc_ms: int, most_ms: int) -> int:
        """How long a poll may take: `most_ms`, and of a device that failed no longer than the others need nothing.

        It always has the time for a good answer: twice what the last one took.
        """
        mine = self._progress(due)
        if not mine.failures:
            return most_ms
        return min(most_ms, max(LEAST_BUDGET_MS, 2 * mine.took_ms, self._spare_ms(utc_ms, most_ms)))

    def failed(self, due: Due, mono_ms: int, line: bool = False) -> None:
        """The poll failed: not again before a pause.

        Where it was the `line` that failed the device may be well: the first times it is due again at once, behind the
        others. (Who opens the line again takes a pause of its own.)
        """
        mine = self._progress(due)
        if mine.has_failed:
            self._behind_mono_ms = mono_ms
        if mine.slot_ms != due.slot_ms:
            mine.slot_ms, mine.failures, mine.lines = due.slot_ms, 0, 0
        mine.tried_mono_ms = mono_ms
        pause_ms = 0
        if line and mine.lines < LINE_TRIES:
            mine.lines += 1
        else:
            cap_ms = RETRY_CAP_MS if due.end_ms - due.slot_ms <= PATIENT_MS else PATIENT_CAP_MS
            pause_ms = min(RETRY_MS << min(mine.failures, 10), cap_ms)
            mine.failures += 1
        mine.retry_mono_ms = mono_ms + pause_ms

    def wait_ms(self, utc_ms: int, mono_ms: int) -> int:
        """How long until something is due (0: now)."""
        if self.due(utc_ms, mono_ms):
            return 0
        return max(1, min(_wait_for(each, utc_ms, mono_ms) for each in self._kinds))

    def _progress(self, due: Due) -> _Progress:
        return self._of[due.device.name, due.billing].progress

    def _turn(self, due: Due) -> tuple[bool, bool, int, bool]:
        mine = self._progress(due)
        if mine.has_failed:
            return True, False, mine.tried_mono_ms, mine.lagging
        return False, not due.billing, due.end_ms, mine.lagging

    def _spare_ms(self, utc_ms: int, most_ms: int) -> int:
        """How long no device that answers is due."""
        spare_ms = most_ms
        for each in self._kinds:
            span, mine = each.pace.span(utc_ms), each.progress
            if not mine.has_failed:
                is_due = span is not None and span[0] not in mine.done
                spare_ms = 0 if is_due else min(spare_ms, each.pace.next_ms(utc_ms) - utc_ms)
        return spare_ms


def at_once(device: Device, utc_ms: int) -> Due:
    """A device that is read now whatever is due: in its slot, else in one of its own up to where the next begins."""
    return Due(device, *(device.pace.span(utc_ms) or (utc_ms, device.pace.next_ms(utc_ms))))


def _missed(kind: _Kind, pace: Days, utc_ms: int) -> Iterator[Due]:
    mine, (last_ms, end_ms) = kind.progress, pace.last(utc_ms)
    if mine.told_ms is None:
        mine.told_ms = max(mine.done, default=last_ms if utc_ms >= end_ms else last_ms - 1)
    for _ in range(KEPT_SLOTS):
        slot_ms, end_ms = pace.last(pace.next_ms(mine.told_ms))
        if utc_ms < end_ms:
            return
        mine.told_ms = slot_ms
        if slot_ms not in mine.done:
            yield Due(kind.device, slot_ms, end_ms, kind.billing)


def _wait_for(kind: _Kind, utc_ms: int, mono_ms: int) -> int:
    span, mine = kind.pace.span(utc_ms), kind.progress
    next_ms = kind.pace.next_ms(utc_ms) - utc_ms
    waiting = span is not None and mine.slot_ms == span[0] and span[0] not in mine.done
    return min(next_ms, mine.retry_mono_ms - mono_ms) if waiting else next_ms
