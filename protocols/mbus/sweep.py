"""Finding meters by their primary address: each of 0 to 250 is reset and read, without I/O.

SND_NKE is answered with E5 by every meter that is there, and several of them at one address answer like one; only the
read tells. Silence, asked again, is absence. Garbage that stays is reported as a collision. A meter whose answers are
whole, with other bytes beside them each time, is found and the noise reported. With `reads` the reset is left out: some
meters answer nothing but REQ_UD2.

Two new meters of one series at one address may answer, bit over bit, like the first of them alone: the search for
secondary addresses tells them apart, this one does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import MeterError
from protocols.mbus import link, select
from protocols.mbus.left import meters, sentences, whole
from protocols.mbus.link import Frame
from protocols.mbus.listen import Heard, Listener, Search
from protocols.mbus.pymeterbus import MAX_PRIMARY, req_ud2, snd_nke
from protocols.mbus.search import Progress
from protocols.mbus.select import Secondary
from protocols.mbus.timing import Timing

REPEATS = 1  # questions more, before silence is absence
READS = 4  # of one address, before it is reported as unclear


class State(Enum):
    """Where the search stands with one address."""

    RESET = auto()
    READ = auto()
    ABSENT = auto()
    UNCLEAR = auto()
    FOUND = auto()


class Event(Enum):
    """What came for a question, and whether it may be asked again."""

    SILENT = auto()
    SOME = auto()  # an acknowledgement, or garbage
    SAME = auto()  # the meter at this address, alone
    SPENT = auto()


STEPS: dict[tuple[State, Event], State] = {
    (State.RESET, Event.SILENT): State.RESET,
    (State.RESET, Event.SPENT): State.ABSENT,
    (State.RESET, Event.SOME): State.READ,
    (State.READ, Event.SILENT): State.READ,
    (State.READ, Event.SOME): State.READ,
    (State.READ, Event.SAME): State.FOUND,
    (State.READ, Event.SPENT): State.UNCLEAR,
}


@dataclass(frozen=True, slots=True)
class Answering:
    """An address where one meter answers, and its secondary address where its header has one."""

    address: int
    meter: Secondary | None


class PrimarySearch(Search):
    """Finds the primary addresses of a bus that are taken, in order."""

    def __init__(
        self,
        timing: Timing,
        reads: bool = False,
        expected: int | None = None,
        last: int = MAX_PRIMARY,
        first: int = 0,
    ) -> None:
        super().__init__(timing, expected)
        self.found: list[Answering] = []
        self.asked = self.silent = self.noisy = self.foreign = self.echo = 0
        self.last = last
        self._reads = reads
        self._begin(first)

    def progress(self) -> Progress:
        """How far it is."""
        left = 0 if self._ended else (self.last + 1 - self._address) * (REPEATS + 1)
        seconds = left * self._timing.first_byte_ms(link.SHORT_SIZE) // 1000
        return Progress(f"address {self._address}", len(self.found), self.asked, left, seconds)

    def words(self) -> list[str]:
        """What was met, in sentences for the technician."""
        return [
            f"meters found: {len(self.found)}, with {self.asked} questions",
            f"silence: addresses that nobody answered: {self.silent}",
            *self._told("addresses", self.noisy, self.echo, self.foreign),
        ]

    def to_row(self) -> dict[str, object]:
        """Plain values, for JSON: the address that is under way is begun anew."""
        return {
            "reads": self._reads,
            "expected": self.expected,
            "last": self.last,
            "address": self.last + 1 if self._ended else self._address,
            "found": [
                {"address": each.address, "meter": None if each.meter is None else str(each.meter)}
                for each in self.found
            ],
            "unresolved": list(self.unresolved),
            **{name: getattr(self, name) for name in COUNTED},
        }

    @classmethod
    def from_row(cls, row: Mapping[str, object], timing: Timing) -> PrimarySearch:
        """Goes on where `to_row` was taken.

        Raises:
            ValueError: it is not what `to_row` gave.
        """
        expected = row.get("expected")
        search = cls(timing, row.get("reads") is True, None if expected is None else whole(expected))
        search.last = min(whole(row.get("last")), MAX_PRIMARY)
        for each in meters(row.get("found")):
            meter = each.get("meter")
            address = whole(each.get("address"), MAX_PRIMARY)
            search.found.append(Answering(address, None if meter is None else Secondary.of(str(meter))))
        search.unresolved = sentences(row.get("unresolved"))
        for name in COUNTED:
            setattr(search, name, whole(row.get(name)))
        search._begin(whole(row.get("address")))
        return search

    def _begin(self, address: int) -> None:
        self._address = address
        self._state = State.READ if self._reads else State.RESET
        self._tried = self._acknowledged = 0
        self._garbled = False
        self._seen: list[Frame] = []
        self._ended = address > self.last

    def _ask(self) -> Listener:
        self.asked += 1
        if self._state is State.RESET:
            return Listener(snd_nke(self._address), True, self._timing)
        return Listener(req_ud2(self._address, True), False, self._timing)

    def _judge(self, heard: Heard) -> None:
        self.echo += heard.echo
        self._tried += 1
        event = self._reset(heard) if self._state is State.RESET else self._answered(heard)
        self._state = STEPS[self._state, event]
        if self._state is State.ABSENT:
            self.silent += 1
            self.noisy += self._garbled
        elif self._state is State.UNCLEAR:
            self._unclear()
        if self._state in (State.ABSENT, State.UNCLEAR, State.FOUND):
            self._begin(self._address + 1)

    def _reset(self, heard: Heard) -> Event:
        self.foreign += len(heard.frames)
        self._acknowledged += heard.acks > 0
        self._garbled |= heard.noise > 0 or heard.acks > 1
        if heard.acks or heard.noise:
            self._tried = 0
            return Event.SOME
        return Event.SPENT if self._tried > REPEATS else Event.SILENT

    def _answered(self, heard: Heard) -> Event:
        mine = self._mine(heard)
        self._seen += mine
        if len(mine) == 1 and not heard.noise:
            self.found.append(Answering(self._address, select.of_header(mine[0])))
            return Event.SAME
        self._garbled |= heard.noise > 0 or len(mine) > 1
        untouched = self._reads and not self._garbled
        if self._tried >= (REPEATS + 1 if untouched else READS):
            return Event.SPENT
        return Event.SOME if heard.noise or mine else Event.SILENT

    def _mine(self, heard: Heard) -> list[Frame]:
        mine: list[Frame] = []
        for frame in heard.frames:
            try:
                link.check_reply(frame, self._address)
            except MeterError:
                self.foreign += 1
            else:
                mine.append(frame)
        return mine

    def _unclear(self) -> None:
        meters = {select.of_header(frame) for frame in self._seen}
        if len(self._seen) > 1 and len(meters) == 1:
            self.found.append(Answering(self._address, *meters))
            self.unresolved.append(
                f"noise: beside the answers of address {self._address} there always was something else"
            )
        elif self._garbled:
            self.unresolved.append(f"collision: at address {self._address} several meters answer, or not clearly")
        elif self._acknowledged:
            self.unresolved.append(f"unresolved: at address {self._address} a meter acknowledges and gives no values")
        else:
            self.silent += 1


COUNTED = ("asked", "silent", "noisy", "foreign", "echo", "unasked")
