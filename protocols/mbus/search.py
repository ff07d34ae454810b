"""Finding meters by their secondary address: a state machine without I/O over patterns that become narrower.

For each pattern: select what it fits, and read at FD. The table `STEPS` is the protocol. Rules:

* Silence after a selection, asked again, is absence. Anything else is not: an acknowledgement or garbage is followed
  by a read, and garbage that stays is a collision, whose pattern is narrowed (walk.py).
* One whole answer whose header the pattern fits names a meter. It counts as found when it answers, alone, to a
  selection by its whole address with that same header. A late answer of a meter that was not selected names nothing.
* Then the pattern is read once more, and nobody else may answer. The AND of two new meters of one series may be the
  whole answer of the first; by now it has counted one answer more than the other one, and the AND is whole no longer.
* What can be narrowed no more and is still unclear is reported, never dropped.
* A place is left where meters were found that explain why several answered. A number with an F there may hide behind
  them: F means any, so no selection reaches it without them, and where answers begin is not known well enough to see
  from their AND that one more talks. Places that were left so are named at the end, unless all expected meters were
  found: as a note, or as unresolved where numbers with a letter up to there are on this bus.
* Everything is bounded: questions for a pattern, and selections in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from protocols.errors import MeterError
from protocols.mbus import select, walk
from protocols.mbus.faults import OnlyNoise
from protocols.mbus.left import MAX_ADDRESS, meters, rows, sentences, whole
from protocols.mbus.link import MAX_NOISE, Frame
from protocols.mbus.listen import Heard, Listener, Search
from protocols.mbus.pymeterbus import SELECTED, req_ud2
from protocols.mbus.select import DIGITS, Secondary
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices, Level

REPEATS = 1  # selections more, before silence is absence
READS = 3  # reads of garbage, before it is a collision
CHECKS = 8  # questions that confirm one meter
ASKED = 6  # selections of one pattern, before it is narrowed without knowing why it is not clear
MOST = 50_000  # selections of one search: all manufacturers of one identification take 35,000
DECIMALS = Choices()
EVERYBODY = Secondary()
SHOWN_PLACES = 4  # of those that were left, in a sentence
HOPELESS = 60  # selections, all of them answered and none by a meter, before the line is called noisy


class State(Enum):
    """Where the search stands with one pattern."""

    SELECT = auto()
    READ = auto()
    CONFIRM = auto()  # the whole address is selected
    VERIFY = auto()  # ... and read
    CHECK = auto()  # the pattern is selected again
    ALONE = auto()  # ... and read
    ABSENT = auto()
    COLLISION = auto()
    FOUND = auto()
    RELEASE = auto()  # all patterns are done; the last meter is deselected


class Event(Enum):
    """What came for a question, and whether it may be asked again."""

    SILENT = auto()
    SOME = auto()  # an acknowledgement, or garbage
    ONE = auto()  # one meter that the pattern fits
    SAME = auto()  # the one meter that was selected by its whole address
    SPENT = auto()  # nothing clear, and asked often enough


STEPS: dict[tuple[State, Event], State] = {
    (State.SELECT, Event.SILENT): State.SELECT,
    (State.SELECT, Event.SPENT): State.ABSENT,
    (State.SELECT, Event.SOME): State.READ,
    (State.READ, Event.SILENT): State.SELECT,
    (State.READ, Event.SOME): State.READ,
    (State.READ, Event.ONE): State.CONFIRM,
    (State.READ, Event.SAME): State.FOUND,
    (State.READ, Event.SPENT): State.COLLISION,
    (State.CONFIRM, Event.SILENT): State.CONFIRM,
    (State.CONFIRM, Event.SOME): State.VERIFY,
    (State.CONFIRM, Event.SPENT): State.COLLISION,
    (State.VERIFY, Event.SILENT): State.CONFIRM,
    (State.VERIFY, Event.SOME): State.CONFIRM,
    (State.VERIFY, Event.SAME): State.CHECK,
    (State.VERIFY, Event.SPENT): State.COLLISION,
    (State.CHECK, Event.SILENT): State.CHECK,
    (State.CHECK, Event.SOME): State.ALONE,
    (State.CHECK, Event.SPENT): State.COLLISION,
    (State.ALONE, Event.SILENT): State.CHECK,
    (State.ALONE, Event.SOME): State.CHECK,
    (State.ALONE, Event.SAME): State.FOUND,
    (State.ALONE, Event.SPENT): State.COLLISION,
}


READING = frozenset({State.READ, State.VERIFY, State.ALONE})


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that was confirmed: its secondary address, and the primary one in its answer."""

    meter: Secondary
    address: int


@dataclass(slots=True)
class Counts:
    """What happened so far."""

    selections: int = 0
    patterns: int = 0
    silent: int = 0  # patterns that nobody answered
    noisy: int = 0  # ... though noise came first
    collisions: int = 0
    foreign: int = 0  # whole answers of meters that were not selected
    echo: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is; what is left is a guess from what was met so far."""

    at: str
    found: int
    selections: int
    left: int
    seconds_left: int


@dataclass(slots=True)
class _Tries:
    """What one pattern has cost."""

    asked: int = 0
    silent: int = 0
    reads: int = 0
    confirms: int = 0
    garbled: bool = False
    candidate: Secondary | None = None
    hint: bytes = b""


class SecondarySearch(Search):
    """Finds the meters of a bus, or those of them that the pattern `within` fits.

    It may be left at any time: `to_row` is all that `from_row` needs to go on.
    """

    def __init__(
        self,
        timing: Timing,
        choices: Choices = DECIMALS,
        expected: int | None = None,
        most: int = MOST,
        within: Secondary = EVERYBODY,
    ) -> None:
        super().__init__(timing, expected)
        self.found: list[Found] = []
        self.counts = Counts()
        self.choices, self.most = choices, most
        self._state = State.SELECT
        self._levels: list[Level] = []
        self._left: list[str] = []  # places where a letter may hide: its digits, ? and a point for each further one
        self._known: dict[tuple[Secondary, int], tuple[Secondary, ...]] = {}  # the choices of open levels
        self._within = self._mask = within
        self._tries = _Tries()

    @property
    def mask(self) -> Secondary:
        """The pattern that is under way."""
        return self._mask

    @property
    def reads(self) -> bool:
        """Whether the next question is to a meter that the last one selected: nobody else may select in between."""
        return self._state in READING

    def interrupted(self) -> None:
        """Others spoke on the line, or an answer was not awaited: what was selected is so no more, and is again."""
        self._listener = None
        if self._state in READING:
            self._tries.asked -= self._state is State.READ
            self._state = STEPS[self._state, Event.SILENT]

    def progress(self) -> Progress:
        """How far it is."""
        counts = self.counts
        waiting = sum(len(self._choices(level)) - level.choice - 1 for level in self._levels)
        each = counts.selections / max(1, counts.patterns)
        wider = 1 + 10 * counts.collisions / max(1, counts.patterns)  # patterns that collide have ten below them
        left = 0 if self._state is State.RELEASE else round(waiting * each * wider)
        seconds = left * self._timing.first_byte_ms(len(select.select(self._mask))) // 1000
        return Progress(str(self._mask), len(self.found), counts.selections, left, seconds)

    def words(self) -> list[str]:
        """What was met, in sentences for the technician."""
        counts = self.counts
        return [
            f"meters found: {len(self.found)}, with {counts.selections} selections",
            f"silence: wildcards that nobody answered: {counts.silent}",
            f"collision: wildcards that several meters answered, or not clearly: {counts.collisions}",
            *self._told("wildcards", counts.noisy, counts.echo, counts.foreign),
            *([] if self._lettered() else self._hidden("note")),
        ]

    def to_row(self) -> dict[str, object]:
        """Plain values, for JSON: the pattern that is under way is begun anew."""
        names = Counts.__dataclass_fields__
        return {
            "letters": self.choices.letters,
            "every_manufacturer": self.choices.every_manufacturer,
            "expected": self.expected,
            "most": self.most,
            "within": str(self._within),
            "done": self._state is State.RELEASE,
            "levels": [level.to_row() for level in self._levels],
            "found": [{"meter": str(each.meter), "address": each.address} for each in self.found],
            "unresolved": list(self.unresolved),
            "left": list(self._left),
            "counts": {name: getattr(self.counts, name) for name in names},
            "unasked": self.unasked,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, object], timing: Timing) -> SecondarySearch:
        """Goes on where `to_row` was taken.

        Raises:
            ValueError: it is not what `to_row` gave.
        """
        expected = row.get("expected")
        choices = Choices(row.get("letters") is True, row.get("every_manufacturer") is True)
        within = Secondary.of(str(row.get("within", EVERYBODY)))
        most = whole(row.get("most"))
        search = cls(timing, choices, None if expected is None else whole(expected), most, within)
        for each in meters(row.get("found")):
            address = whole(each.get("address"), MAX_ADDRESS)
            search.found.append(Found(Secondary.of(str(each.get("meter"))), address))
        search._levels = _levels(row.get("levels"))
        search.unresolved = sentences(row.get("unresolved"))
        search._left = _places(row.get("left", []))
        counts = row.get("counts")
        if not isinstance(counts, dict):
            raise ValueError(f"expected counts, got {counts!r} in a search's state")
        search.counts = Counts(**{name: whole(counts.get(name)) for name in Counts.__dataclass_fields__})
        search.unasked = min(whole(row.get("unasked")), MAX_NOISE)
        search._go_on(row.get("done") is True)
        return search

    def _go_on(self, done: bool) -> None:
        if done:
            self._state = State.RELEASE  # nobody is selected by then, and it does no harm
        elif self._levels:
            level = self._levels[-1]
            choices = self._choices(level)
            if level.choice >= len(choices):
                raise ValueError(f"expected fewer than {len(choices)}, got choice {level.choice} in a search's state")
            self._mask = choices[level.choice]

    def _choices(self, level: Level) -> tuple[Secondary, ...]:
        key = (level.mask, level.at)
        if key not in self._known:
            self._known[key] = self.choices.of(level, [each.meter for each in self.found[: level.known]])
        return self._known[key]

    def _begin(self, mask: Secondary) -> None:
        self._mask, self._tries, self._state = mask, _Tries(), State.SELECT

    def _ask(self) -> Listener:
        state, tries = self._state, self._tries
        if state is State.RELEASE:
            return Listener(select.deselect(), True, self._timing)
        if state in READING:  # the other bit for the confirmation: a new telegram of a meter that keeps its bit too
            return Listener(req_ud2(SELECTED, state is not State.VERIFY), False, self._timing)
        self.counts.selections += 1
        confirmed = tries.candidate if state is State.CONFIRM else None
        return Listener(select.select(confirmed or self._mask), True, self._timing)

    def _judge(self, heard: Heard) -> None:
        self.counts.echo += heard.echo
        if self._state is State.RELEASE:
            self._ended = True
            return
        self._state = STEPS[self._state, self._event(heard)]
        if self._state is State.ABSENT:
            self.counts.silent += 1
            self.counts.noisy += self._tries.garbled
            self._leave()
        elif self._state is State.COLLISION:
            self._collided()
        elif self._state is State.FOUND:
            self._leave()
        self._limit()

    def _event(self, heard: Heard) -> Event:
        if self._state is State.SELECT:
            return self._selected(heard)
        if self._state is State.READ:
            return self._answered(heard)
        return self._checked(heard) if self._state in (State.CHECK, State.ALONE) else self._confirmed(heard)

    def _selected(self, heard: Heard) -> Event:
        tries = self._tries
        self.counts.patterns += tries.asked == 0
        tries.asked += 1
        self.counts.foreign += len(heard.frames)
        if not heard.acks and not heard.noise:
            tries.silent += 1
            return Event.SPENT if tries.silent > REPEATS else Event.SILENT
        tries.garbled |= heard.noise > 0 or heard.acks > 1
        tries.reads = 0
        return Event.SOME

    def _answered(self, heard: Heard) -> Event:
        tries = self._tries
        meters = self._meters(heard, self._mask)
        if len(meters) == 1:
            meter, frame = next(iter(meters.items()))
            if meter == self._mask:
                self._take(meter, frame)
                return Event.SAME
            tries.candidate = meter
            return Event.ONE
        if meters or heard.noise:
            tries.garbled = True
            tries.hint = tries.hint or walk.remains(heard.head, self._mask)
            tries.reads += 1
            return Event.SPENT if tries.reads >= READS else Event.SOME
        return Event.SPENT if tries.asked >= ASKED else Event.SILENT

    def _confirmed(self, heard: Heard) -> Event:
        tries, meter = self._tries, self._tries.candidate or self._mask
        tries.confirms += 1
        if self._state is State.CONFIRM:
            if heard.acks or heard.noise:
                return Event.SOME
        elif (frame := self._meters(heard, meter).get(meter)) is not None:
            self._take(meter, frame)
            tries.confirms = 0
            return Event.SAME
        return Event.SPENT if tries.confirms >= CHECKS else Event.SILENT

    def _checked(self, heard: Heard) -> Event:
        tries = self._tries
        tries.confirms += 1
        if self._state is State.CHECK:
            if heard.acks > 1:  # one after the other
                return Event.SPENT
            if heard.acks or heard.noise:
                return Event.SOME
        elif not heard.noise and list(self._meters(heard, self._mask)) == [tries.candidate]:
            return Event.SAME
        return Event.SPENT if tries.confirms >= CHECKS else Event.SILENT

    def _meters(self, heard: Heard, mask: Secondary) -> dict[Secondary, Frame]:
        """Who answered of those that were selected."""
        found: dict[Secondary, Frame] = {}
        for frame in heard.frames:
            try:
                select.check_reply(frame, mask)
            except MeterError:
                self.counts.foreign += 1
                continue
            meter = select.of_header(frame)
            if meter is not None:
                found[meter] = frame
        return found

    def _take(self, meter: Secondary, frame: Frame) -> None:
        if all(each.meter != meter for each in self.found):
            self.found.append(Found(meter, frame.address))

    def _collided(self) -> None:
        self.counts.collisions += 1
        at = self._levels[-1].at + 1 if self._levels else 0
        mute = not self._tries.garbled and self._tries.candidate is None
        if at >= walk.END_AT or (at == DIGITS and mute):
            what = "acknowledges and gives no values" if mute else "several answer, or not clearly"
            self._tell(f"unresolved: at selection {self._mask} {what}")
            self._leave()
            return
        self._levels.append(Level(self._mask, at, hint=self._tries.hint, known=len(self.found)))
        self._begin(self._choices(self._levels[-1])[0])

    def _leave(self) -> None:
        """On to the next pattern: the next choice here, or of the level above."""
        while self._levels:
            level = replace(self._levels[-1], choice=self._levels[-1].choice + 1)
            self._levels[-1] = level
            choices = self._choices(level)
            if level.choice < len(choices) and self._worth(level, choices[level.choice]):
                self._begin(choices[level.choice])
                return
            if not level.told and not self._explained(level):
                self._tell(
                    f"unresolved: below selection {level.mask} more answered than was found ({self._advice(level)})"
                )
            elif not level.told and level.at < DIGITS and (level.choice < len(choices) or not self.choices.letters):
                self._left.append(level.mask.id[: level.at] + "?".ljust(DIGITS - level.at, "."))
            self._levels.pop()
            del self._known[level.mask, level.at]
        self._state = State.RELEASE
        if self._lettered():
            self.unresolved += self._hidden("unresolved")

    def _worth(self, level: Level, choice: Secondary) -> bool:
        """Whether to try it: a place is left open only where the digits explain too little, and only once."""
        return choice != level.mask or not (self._explained(level) or "F" in level.mask.id[: level.at])

    def _explained(self, level: Level) -> bool:
        """Whether two meters at least were found that answer together to its pattern."""
        return sum(level.mask.fits(each.meter) for each in self.found) > 1

    def _lettered(self) -> bool:
        """Whether letters were found up to a place that was left: F is no rarer there than any other."""
        return any(
            each.meter.id.startswith(place.split("?")[0]) and not each.meter.id[: place.index("?") + 1].isdecimal()
            for place in self._left
            for each in self.found
        )

    def _hidden(self, word: str) -> list[str]:
        """Where a meter may hide behind those that were found; nowhere where these are all that were expected."""
        if not self._left or (self.expected is not None and not self.missing):
            return []
        more = len(self._left) - SHOWN_PLACES
        places = ", ".join(self._left[:SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")
        letter, do = ("an F", "") if self.choices.letters else ("a letter (A-F)", "search with A-F, or ")
        return [
            f"{word}: a meter with {letter} in its number where ? stands ({places}) may be hidden by those that were "
            f"found there: {do}count the meters and say how many to expect (--expect); a search by primary address may "
            "show it"
        ]

    def _advice(self, level: Level) -> str:
        if level.at == walk.MANUFACTURER_AT and not self.choices.every_manufacturer:
            return "its manufacturer is not a known one: search every manufacturer"
        if level.at < DIGITS and not self.choices.letters:
            return "noise, or an identification with letters: search with A-F"
        return "noise, or two meters with one address"

    def _tell(self, what: str) -> None:
        self.unresolved.append(what)
        self._levels = [replace(level, told=True) for level in self._levels]

    def _limit(self) -> None:
        counts = self.counts
        if self._state is State.RELEASE:
            return
        if counts.selections >= HOPELESS and not self.found and not counts.silent:
            came = f"{counts.selections} selections that were all answered, none by a meter"
            self._error = OnlyNoise("a meter or silence", came, "search")
        elif counts.selections >= self.most:
            self._tell(f"incomplete: ended after {counts.selections} selections at {self._mask}")
            self._levels.clear()
            self._state = State.RELEASE


def _levels(value: object) -> list[Level]:
    """The patterns that are open, each a place further than the one before."""
    levels = [Level.from_row(each) for each in rows(value)[: walk.END_AT + 1]]
    if [level.at for level in levels] != list(range(len(levels))):
        raise ValueError(f"expected one pattern for each place, got {len(levels)} others in a search's state")
    return levels


def _places(value: object) -> list[str]:
    """The places that were left."""
    places = sentences(value)
    if any(len(each) != DIGITS or each.count("?") != 1 for each in places):
        raise ValueError(f"expected {DIGITS} characters with one ?, got other places in a search's state")
    return places
