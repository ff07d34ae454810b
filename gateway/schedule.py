"""Which device is due for which slot: pure, no clock of its own.

A slot of a device begins at a multiple of its cadence (UTC) and is open until the next begins. It is due while it is
open and has not been read; which slots were read survives a restart with the batches that hold them, so that a slot
which a restart interrupted is polled again and one that is sealed never is. A clock that was set back meets slots that
were read: they are not read a second time. So what is forgotten is what was read longest ago, whatever the clock showed
then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.config import Device

KEPT_SLOTS = 96  # of each device: a day of quarters of an hour; a clock set back further meets slots it forgot
RETRY_MS = 2_000  # the first pause after a failed poll; doubles to `RETRY_CAP_MS` while the slot is open
RETRY_CAP_MS = 60_000
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


class Schedule:
    """The slots of one bus's devices; `sealed` are those that the buffer knows of, in the order of their readings."""

    def __init__(self, devices: Iterable[Device], sealed: Mapping[str, Iterable[int]]) -> None:
        self._devices = tuple(devices)
        self._progress = {each.name: _Progress(dict.fromkeys(sealed.get(each.name, ()))) for each in self._devices}

    def due(self, utc_ms: int, mono_ms: int) -> list[Due]:
        """What is due now: devices in order, those whose last poll failed behind the others."""
        found = []
        for device in self._devices:
            slot_ms, mine = slot_of(device, utc_ms), self._progress[device.name]
            if slot_ms in mine.done:
                continue
            if mine.slot_ms == slot_ms and mono_ms < mine.retry_mono_ms:
                continue
            found.append(Due(device, slot_ms, slot_ms + device.cadence_ms))
        return sorted(found, key=lambda each: self._has_failed(each.device.name))

    def read(self, due: Due) -> None:
        """The slot has its reading."""
        mine = self._progress[due.device.name]
        mine.slot_ms, mine.failures, mine.lines = due.slot_ms, 0, 0
        mine.done[due.slot_ms] = None
        if len(mine.done) > KEPT_SLOTS:
            del mine.done[next(iter(mine.done))]

    def failed(self, due: Due, mono_ms: int, line: bool = False) -> None:
        """The poll failed: not again before a pause.

        Where it was the `line` that failed the device may be well: the first times it is due again at once, behind the
        others. (Who opens the line again takes a pause of its own.)
        """
        mine = self._progress[due.device.name]
        if mine.slot_ms != due.slot_ms:
            mine.slot_ms, mine.failures, mine.lines = due.slot_ms, 0, 0
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

    def _has_failed(self, name: str) -> bool:
        return self._progress[name].failures + self._progress[name].lines > 0

    def _wait_for(self, device: Device, utc_ms: int, mono_ms: int) -> int:
        slot_ms, mine = slot_of(device, utc_ms), self._progress[device.name]
        next_ms = slot_ms + device.cadence_ms - utc_ms
        waiting = mine.slot_ms == slot_ms and slot_ms not in mine.done
        return min(next_ms, mine.retry_mono_ms - mono_ms) if waiting else next_ms


def slot_of(device: Device, utc_ms: int) -> int:
    """The start of the slot in which `utc_ms` lies."""
    return utc_ms // device.cadence_ms * device.cadence_ms
