"""Which meters of a line that are selected by their numbers have not answered for long."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.clock import GatewayClock
from gateway.config import MbusBus
from gateway.newcomers import Silent
from gateway.succession import Succession
from protocols.errors import AnotherMeter, PlombaError
from protocols.mbus.faults import NoAnswer

SLOTS = 2  # of a meter that nothing comes in, at least, before it is silent


class Silence:
    """Who is silent on one line.

    Args:
        bus: the line and its devices.
        after_s: seconds without an answer, and `SLOTS` at least.
        succession: who the devices' meters are.
        clock: says since when (UTC).
        known: who was silent before this process.
    """

    def __init__(
        self, bus: MbusBus, after_s: int, succession: Succession, clock: GatewayClock, known: Iterable[Silent]
    ) -> None:
        self._selected = {each.name: each for each in bus.device if each.address is None}
        self._after_ms, self._succession, self._clock = after_s * 1000, succession, clock
        self._since = {each.device: each.since_ms for each in known if each.device in self._selected}
        self._asleep: set[str] = set()  # who did not answer this process either
        self._read_ms: dict[str, int] = {}

    def heard(self, device: str) -> None:
        """A device was read."""
        self._since.pop(device, None)
        self._asleep.discard(device)
        if device in self._selected:
            self._read_ms[device] = self._clock.utc_ms()

    def failed(self, device: str, error: PlombaError) -> None:
        """A device was not read: of no answer, and of another meter's, it is known what that means."""
        if isinstance(error, AnotherMeter):
            self.heard(device)
        elif isinstance(error, NoAnswer) and device in self._selected:
            now_ms = self._clock.utc_ms()
            since_ms = self._since.setdefault(device, self._read_ms.get(device, now_ms))
            self._since[device] = min(since_ms, now_ms)  # the clock may have been set back
            self._asleep.add(device)

    def long(self) -> tuple[Silent, ...]:
        """Who is silent for long, by name; not those whose exchange is recorded already."""
        now_ms, found = self._clock.utc_ms(), []
        for name, since_ms in sorted(self._since.items()):
            least_ms = max(self._after_ms, SLOTS * self._selected[name].pace.longest_ms)
            if now_ms - since_ms >= least_ms and not self._succession.is_settled(name):
                media = [each.medium for each in self._succession.known(name) if each.medium is not None]
                found.append(Silent(device=name, since_ms=since_ms, medium=media[-1] if media else None))
        return tuple(found)

    def is_sure(self, silent: Iterable[Silent]) -> bool:
        """Whether one of them was asked by this process, and did not answer."""
        return any(each.device in self._asleep for each in silent)
