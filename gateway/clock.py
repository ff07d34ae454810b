"""The gateway's clock: what time it says, how good that is, and never below what is known to be past.

Rules. The floor is the later of the build and the last signed time that was accepted, as far as our own clock had
reached it (docs/adr/0008): a collector whose clock is ahead moves nothing here. A system clock below it is *unset*. An
unset clock counts monotonically from the latest instant that was ever sealed, so that slots do not repeat, and
everything it stamps is marked. Signed time (an acknowledgement with our latest nonce) sets an unset clock; one that the
system says is plausible is left alone: the collector's own clock may be wrong, and it owns no slot here.
Nothing is stamped again later: a correction is a record of its own.
"""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol
from uuid import UUID

from gateway.steps import STEP_MS, Step
from protocols.reading import TimeQuality
from protocols.uplink.header import ClockShown, ClockSource, ClockState
from protocols.uplink.records import When

BUILD_MS = 1_790_812_800_000  # 2026-10-01 UTC: no clock of this release can be earlier
APART_MS = 9_000  # between our clock and the collector's: an event; which of the two is wrong is not known here
DRIFT_PPM = 100  # of a crystal without calibration: 8.6 s a day
SYNCHRONISED_MS = 9_000  # an uncertainty above this is not synchronised: 1 % of a quarter of an hour
STEPS = 16  # the latest are kept for who asks; each is an event besides
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_ERROR = 5  # adjtimex: the clock is not synchronised
TIMEX_BYTES = 208  # of `struct timex` on 64-bit Linux; `maxerror` (us) is the long at offset 24


@dataclass(frozen=True, slots=True)
class Discipline:
    """What the kernel says of the system's clock: whether something disciplines it, and within how many ms."""

    synchronised: bool
    uncertainty_ms: int | None


class Clock(Protocol):
    """Two clocks in whole milliseconds: `utc_ms` for the record, `mono_ms` for every difference and deadline."""

    def utc_ms(self) -> int:
        """UTC since 1970, as good as `when` says."""
        ...

    def mono_ms(self) -> int:
        """Since the machine's start; never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time comes from; injected, so that tests need not wait."""

    wall_ms: Callable[[], int]
    mono_ms: Callable[[], int]
    discipline: Callable[[], Discipline]
    boot: bytes


class GatewayClock:
    """The clock of one process.

    Args:
        sources: system clock, monotonic clock, discipline, boot id.
        signed_ms: the last signed time that was accepted (0: none yet).
        sealed_ms: the latest instant that was ever sealed (0: none yet).
    """

    def __init__(self, sources: Sources, signed_ms: int = 0, sealed_ms: int = 0) -> None:
        self._sources = sources
        self.floor_ms = max(BUILD_MS, signed_ms)
        self._since_mono = self._anchor_mono = self._looked_mono = sources.mono_ms()
        self._since_ms: int | None = None
        self._anchor_ms = max(self.floor_ms, sealed_ms)
        self._known: tuple[int, int] | None = None  # an uncertainty, and when that was (ms, monotonic)
        self.steps: deque[Step] = deque(maxlen=STEPS)  # the latest, oldest first
        wall = sources.wall_ms()
        self._wall_less_mono = wall - self._anchor_mono
        self.source = ClockSource.SYSTEM if wall >= self.floor_ms else ClockSource.NONE
        if self.source is ClockSource.SYSTEM:
            self._since_ms = wall
            self._remember()

    @property
    def unset(self) -> bool:
        """Nothing says what time it is: only hellos leave."""
        return self.source is ClockSource.NONE

    def mono_ms(self) -> int:
        """The monotonic clock."""
        return self._sources.mono_ms()

    def utc_ms(self) -> int:
        """The best instant there is; never below the floor."""
        if self.source is ClockSource.SYSTEM:
            return max(self._sources.wall_ms(), self.floor_ms)
        return self._anchor_ms + self.mono_ms() - self._anchor_mono

    def check(self) -> Step | None:
        """Look for a step of the system's clock since the last look; an unset clock is set by a plausible one."""
        step = self._kept(self._changed())
        self._remember()
        return step

    def _changed(self) -> Step | None:
        wall, mono = self._sources.wall_ms(), self.mono_ms()
        before, looked = self._wall_less_mono, self._looked_mono
        self._wall_less_mono, self._looked_mono = wall - mono, mono
        if self.source is not ClockSource.SYSTEM:
            # Signed time is better than a system clock that nothing disciplines.
            usable = wall >= self.floor_ms and (self.unset or self._sources.discipline().synchronised)
            return self._to_system(wall, mono, looked) if usable else None
        by_ms = wall - mono - before
        if abs(by_ms) <= STEP_MS:
            return None
        since, self._since_mono, self._since_ms, self._known = self._since_mono, mono, wall, None
        if wall < self.floor_ms:
            self.source, self._since_ms = ClockSource.NONE, None
            self._anchor_ms, self._anchor_mono = max(self.floor_ms, before + mono), mono
        return Step(by_ms, since, mono, False, max(self.floor_ms, before + looked), self.utc_ms())

    def floor_with(self, time_ms: int) -> int:
        """What the floor is once signed time is taken: raised by it, but never above a clock that is set."""
        return max(self.floor_ms, time_ms if self.unset else min(time_ms, self.utc_ms()))

    def apart_ms(self, time_ms: int, round_trip_ms: int) -> int:
        """How far signed time is ahead of a clock that is set (0 while unset, and within `APART_MS`)."""
        apart = 0 if self.unset else time_ms + round_trip_ms // 2 - self.utc_ms()
        return apart if abs(apart) > APART_MS + round_trip_ms else 0

    def signed(self, time_ms: int, round_trip_ms: int) -> Step | None:
        """Take signed time that answered our latest nonce after `round_trip_ms`; a step where it set the clock."""
        self.floor_ms = self.floor_with(time_ms)
        if not self.unset:
            return None
        mono, shown = self.mono_ms(), self.utc_ms()
        now = time_ms + round_trip_ms // 2
        step = Step(now - shown, self._since_mono, mono, True, shown, now)
        self.source, self._known = ClockSource.COLLECTOR, (round_trip_ms, mono)
        self._anchor_ms, self._anchor_mono = now, mono
        self._since_ms, self._since_mono = self._anchor_ms, mono
        return self._kept(step)

    def quality(self) -> TimeQuality:
        """How good `utc_ms` is now: nothing is known of it while a step of the system's clock waits for a look."""
        if self.source is ClockSource.SYSTEM and abs(self._stepped_ms()) > STEP_MS:
            return TimeQuality(synchronised=False, uncertainty_ms=None)
        uncertainty = self._uncertainty()
        good = self._state() is ClockState.SYNCHRONISED and uncertainty is not None and uncertainty <= SYNCHRONISED_MS
        return TimeQuality(good, uncertainty)

    def quality_since(self, mono_ms: int) -> TimeQuality:
        """How good what was stamped since `mono_ms` is: nothing is known of it where the clock was set meanwhile."""
        return TimeQuality(synchronised=False, uncertainty_ms=None) if self._since_mono > mono_ms else self.quality()

    def shown(self) -> ClockShown:
        """The clock as headers and hellos show it."""
        offset = self.utc_ms() - self._sources.wall_ms()
        offset_ms = 0 if self.source is ClockSource.SYSTEM else offset
        source = self.source
        if source is ClockSource.SYSTEM and self._state() is ClockState.SYNCHRONISED:
            source = ClockSource.NTP
        state, uncertainty, boot = self._state(), self._uncertainty(), self._sources.boot
        return ClockShown(state, source, offset_ms, uncertainty, self._since_ms, boot, self.mono_ms())

    def when(self) -> When:
        """Now, for a record."""
        return When(self.utc_ms(), self.mono_ms(), self.quality())

    @property
    def boot(self) -> bytes:
        """The machine's boot id, 16 bytes."""
        return self._sources.boot

    def _stepped_ms(self) -> int:
        """How far the system's clock has moved against the monotonic one since the last look."""
        return self._sources.wall_ms() - self.mono_ms() - self._wall_less_mono

    def _kept(self, step: Step | None) -> Step | None:
        if step is not None:
            self.steps.append(step)
        return step

    def _to_system(self, wall: int, mono: int, looked: int) -> Step:
        shown = self.utc_ms()
        step = Step(wall - shown, self._since_mono, mono, self.unset, shown - (mono - looked), wall)
        self.source, self._known = ClockSource.SYSTEM, None
        self._since_ms, self._since_mono = wall, mono
        return step

    def _state(self) -> ClockState:
        if self.unset:
            return ClockState.UNSET
        if self.source is ClockSource.COLLECTOR:
            return ClockState.SYNCHRONISED
        return ClockState.SYNCHRONISED if self._sources.discipline().synchronised else ClockState.SET

    def _uncertainty(self) -> int | None:
        """What the kernel says while something disciplines the clock; from then on it grows."""
        found = self._sources.discipline() if self.source is ClockSource.SYSTEM else None
        if found is not None and found.synchronised:
            return found.uncertainty_ms
        if self._known is None:
            return None
        uncertainty_ms, since = self._known
        return uncertainty_ms + (self.mono_ms() - since) * DRIFT_PPM // 1_000_000

    def _remember(self) -> None:
        """How well the system's clock is known now, while something disciplines it."""
        found = self._sources.discipline() if self.source is ClockSource.SYSTEM else None
        if found is not None and found.synchronised and found.uncertainty_ms is not None:
            self._known = found.uncertainty_ms, self.mono_ms()


def system_sources() -> Sources:
    """The machine's own clocks."""
    return Sources(
        lambda: time.time_ns() // 1_000_000,
        lambda: time.monotonic_ns() // 1_000_000,
        system_discipline,
        UUID(BOOT_ID.read_text().strip()).bytes,
    )


def system_discipline() -> Discipline:
    """What the kernel says (adjtimex, which changes nothing with modes = 0)."""
    buffer = ctypes.create_string_buffer(TIMEX_BYTES)
    verdict = _library().adjtimex(buffer)
    if verdict < 0 or verdict == TIME_ERROR:
        return Discipline(synchronised=False, uncertainty_ms=None)
    return Discipline(synchronised=True, uncertainty_ms=ctypes.c_long.from_buffer(buffer, 24).value // 1000 + 1)


@cache
def _library() -> ctypes.CDLL:
    """The C library, opened once: every reading asks it for the time's quality."""
    return ctypes.CDLL(None)
