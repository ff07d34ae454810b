"""Which device is due for which slot: pure, no clock of its own.

A slot of a device begins at a multiple of its cadence (UTC) and is open until the next begins. It is due while it is
open and has not been read; which slots were read survives a restart with the batches that hold them, so that a slot
which a restart interrupted is polled again and one that is sealed never is. A clock that was set back meets slots that
were read: they are not read a second time. So what is forgotten is what was read longest ago, whatever the clock showed
then.

Of what is due the slot that ends first goes first. Devices whose last poll failed stand behind all others, the one that
was asked longest ago in front; on a bus that never rests one of them has its turn all the same, once a minute. After a
start nobody has failed yet: of slots that end together those of devices that were not read lately go last, so that who
was silent before does not take the time that the first visits of the others need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.config import Device

KEPT_SLOTS = 96  # of each device: a day of quarters of an hour; a clock set back further meets slots it forgot
RETRY_MS = 2_000  # the first pause after a failed poll; doubles to `RETRY_CAP_MS` while the slot is open
RETRY_CAP_MS = 60_000
NO_REST_MS = 60_000  # a bus on which no device that failed had a turn for so long never rests
LEAST_BUDGET_MS = 4_000  # of a poll of a device that failed, while others wait: time for 255 bytes at 1200 baud
LATELY = 2  # slots of its own that a device may lag behind the newest that was read of any
LINE_TRIES = 3  # polls of a slot that may fail with their line before that costs the device a pause, too


@dataclass(frozen=True, slots=True)
class Due:
    """A device and the slot it is due for: from `slot_ms` (UTC) up to, not including, `end_ms`."""

    device: Device
    slot_ms: int
    end_ms: int


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

    @property
    def has_failed(self) -> bool:
        return self.failures + self.lines > 0


class Schedule:
    """The slots of one bus's devices; `sealed` are those that the buffer knows of, in the order of their readings."""

    def __init__(self, devices: Iterable[Device], sealed: Mapping[str, Iterable[int]]) -> None:
        self._devices = tuple(devices)
        self._behind_mono_ms = 0  # when one that had failed was polled last
        self._progress = {each.name: _Progress(dict.fromkeys(sealed.get(each.name, ()))) for each in self._devices}
        newest_ms = max((slot_ms for mine in self._progress.values() for slot_ms in mine.done), default=-1)
        for each in self._devices:
            mine = self._progress[each.name]
            mine.lagging = max(mine.done, default=-1) + LATELY * each.cadence_ms < newest_ms

    def due(self, utc_ms: int, mono_ms: int) -> list[Due]:
        """What is due now: the slot that ends first in front, those whose last poll failed behind the others."""
        found = []
        for device in self._devices:
            slot_ms, mine = slot_of(device, utc_ms), self._progress[device.name]
            if slot_ms in mine.done:
                continue
            if mine.slot_ms == slot_ms and mono_ms < mine.retry_mono_ms:
                continue
            found.append(Due(device, slot_ms, slot_ms + device.cadence_ms))
        found.sort(key=self._turn)
        behind = next((n for n, each in enumerate(found) if self._progress[each.device.name].has_failed), 0)
        if behind and mono_ms - self._behind_mono_ms >= NO_REST_MS:
            found.insert(0, found.pop(behind))
        return found

    def read(self, due: Due, took_ms: int = 0) -> None:
        """The slot has its reading, which took so long."""
        mine = self._progress[due.device.name]
        mine.slot_ms, mine.failures, mine.lines, mine.took_ms = due.slot_ms, 0, 0, took_ms
        mine.lagging = False
        self.settle(due)

    def settle(self, due: Due) -> None:
        """The slot has what there is of it, and is not read a second time."""
        mine = self._progress[due.device.name]
        mine.done[due.slot_ms] = None
        if len(mine.done) > KEPT_SLOTS:
            del mine.done[next(iter(mine.done))]

    def budget_ms(self, due: Due, utc_ms: int, most_ms: int) -> int:
        """How long a poll may take: `most_ms`, and of a device that failed no longer than the others need nothing.

        It always has the time for a good answer: twice what the last one took.
        """
        mine = self._progress[due.device.name]
        if not mine.failures:
            return most_ms
        return min(most_ms, max(LEAST_BUDGET_MS, 2 * mine.took_ms, self._spare_ms(utc_ms, most_ms)))

    def failed(self, due: Due, mono_ms: int, line: bool = False) -> None:
        """The poll failed: not again before a pause.

        Where it was the `line` that failed the device may be well: the first times it is due again at once, behind the
        others. (Who opens the line again takes a pause of its own.)
        """
        mine = self._progress[due.device.name]
        if mine.has_failed:
            self._behind_mono_ms = mono_ms
        if mine.slot_ms != due.slot_ms:
            mine.slot_ms, mine.failures, mine.lines = due.slot_ms, 0, 0
        mine.tried_mono_ms = mono_ms
        pause_ms = 0
        if line and mine.lines < LINE_TRIES:
            mine.lines += 1
        else:
            pause_ms = min(RETRY_MS << min(mine.failures, 10), RETRY_CAP_MS)
            mine.failures += 1
        mine.retry_mono_ms = mono_ms + pause_ms

    def wait_ms(self, utc_ms: int, mono_ms: int) -> int:
        """How long until something is due (0: now)."""
        if self.due(utc_ms, mono_ms):
            return 0
        return max(1, min(self._wait_for(device, utc_ms, mono_ms) for device in self._devices))

    def _turn(self, due: Due) -> tuple[bool, int, bool]:
        mine = self._progress[due.device.name]
        return mine.has_failed, mine.tried_mono_ms if mine.has_failed else due.end_ms, mine.lagging

    def _spare_ms(self, utc_ms: int, most_ms: int) -> int:
        """How long no device that answers is due."""
        spare_ms = most_ms
        for device in self._devices:
            slot_ms, mine = slot_of(device, utc_ms), self._progress[device.name]
            if not mine.has_failed:
                spare_ms = min(spare_ms, slot_ms + device.cadence_ms - utc_ms if slot_ms in mine.done else 0)
        return spare_ms

    def _wait_for(self, device: Device, utc_ms: int, mono_ms: int) -> int:
        slot_ms, mine = slot_of(device, utc_ms), self._progress[device.name]
        next_ms = slot_ms + device.cadence_ms - utc_ms
        waiting = mine.slot_ms == slot_ms and slot_ms not in mine.done
        return min(next_ms, mine.retry_mono_ms - mono_ms) if waiting else next_ms


def slot_of(device: Device, utc_ms: int) -> int:
    """The start of the slot in which `utc_ms` lies."""
    return utc_ms // device.cadence_ms * device.cadence_ms
