"""Readings that are hard to believe and could not be read a second time: kept while their slot is open, then marked.

While the slot is open the meter is asked again, and what it shows then is sealed in their place. When the slot is over,
or the daemon stops, what was read is sealed with the status bit `PARTIAL`, which says that the visit is not whole and
that nothing of it is billed; an event names the registers, the reason and the telegram.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from gateway.faults import StepNotRepeated
from gateway.schedule import Due
from protocols.errors import PlombaError
from protocols.reading import Reading, Status
from protocols.uplink import limits
from protocols.uplink.records import Parameter


@dataclass(frozen=True, slots=True)
class Doubtful:
    """What was read (at least one part), and the registers that are hard to believe, in words."""

    found: list[Reading]
    registers: str


@dataclass(frozen=True, slots=True)
class Left:
    """A doubtful reading of a slot, and why its repetition stayed out."""

    due: Due
    doubtful: Doubtful
    why: str

    @property
    def marked(self) -> list[Reading]:
        """The reading as it is sealed: never billed."""
        return [replace(each, status=each.status | Status.PARTIAL) for each in self.doubtful.found]

    @property
    def reason(self) -> StepNotRepeated:
        """What is wrong with it."""
        return StepNotRepeated(f"a second answer that confirms {self.doubtful.registers}", self.why, self._name)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Of the event: code, slot, hash of the telegram, and the reason as a text."""
        text = str(self.reason).encode()[: limits.TEXT].decode(errors="ignore")
        octets = self.doubtful.found[0].exchange.telegram
        return self.reason.code, self.due.slot_ms, hashlib.sha256(octets).digest(), text

    @property
    def _name(self) -> str:
        return self.due.device.name


class Held:
    """The doubtful readings of one bus whose slots are open: the first of each slot."""

    def __init__(self) -> None:
        self._left: dict[tuple[str, int], Left] = {}

    def keep(self, due: Due, doubtful: Doubtful | None, why: PlombaError) -> None:
        """A visit failed; what was read in it, if anything, waits for the end of its slot."""
        if doubtful is None or not all(due.slot_ms <= each.exchange.at_ms < due.end_ms for each in doubtful.found):
            return
        self._left.setdefault((due.device.name, due.slot_ms), Left(due, doubtful, why.code))

    def forget(self, due: Due) -> None:
        """The slot has its reading."""
        self._left.pop((due.device.name, due.slot_ms), None)

    def over(self, utc_ms: int, everything: bool = False) -> list[Left]:
        """Those whose slot is over (or all), once."""
        found = [each for each in self._left.values() if everything or not each.due.slot_ms <= utc_ms < each.due.end_ms]
        for each in found:
            del self._left[each.due.device.name, each.due.slot_ms]
        return found
