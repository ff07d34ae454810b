"""What goes wrong with a simulated meter's answers, by seed or at a chosen turn: the same each time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from protocols.dlms.hdlc import FLAG, UI, FrameReader
from protocols.dlms.server import LLC_RESPONSE
from protocols.dlms.wrapper import MessageReader
from simulators import odds
from simulators.odds import Odds

EVENT = 0xC2  # event-notification-request
MOST_NUMBERS = 0x10000  # one of 256 of them has such a check sequence


class Fault(Enum):
    """What is done to the answer of one turn."""

    DROPPED = auto()
    TWICE = auto()
    DELAYED = auto()  # until the answer after it, and before that one
    FOREIGN = auto()  # the same answer from another server comes first, with another value in its last byte
    DAMAGED = auto()  # a bit of it is another
    FLAGGED = auto()  # over HDLC a frame of the meter's own comes first whose check sequence ends in the flag's octet


# The names of those on meters behind TCP, where an answer in a wrapper is not damaged: it has no check sequence.
NAMED = {
    "drop": Fault.DROPPED,
    "duplicate": Fault.TWICE,
    "delay": Fault.DELAYED,
    "foreign": Fault.FOREIGN,
    "damage": Fault.DAMAGED,
    "flag": Fault.FLAGGED,
}
OVER_HDLC = frozenset({Fault.DAMAGED, Fault.FLAGGED})


class Mood(Enum):
    """What a meter does to a whole visit."""

    BUSY = "busy"  # the association is rejected for now
    HALF_OPEN = "half-open"  # it still holds the association of a client that is gone, and takes one at a time
    COUNTER_REFUSED = "counter-refused"  # it heard higher counters, from another client with our title
    COUNTER_BACK = "counter-back"  # its own counter begins anew, as after an exchange of its memory


@dataclass(slots=True)
class Moods:
    """Draws the mood of each connection: of connection `turn` alone, or, where that is None, one of `every` by dice."""

    kinds: tuple[Mood, ...]
    seed: int = 0
    turn: int | None = None
    every: int = 4
    turns: int = 0
    done: list[tuple[int, Mood]] = field(default_factory=list)

    def draw(self) -> Mood | None:
        """The mood of the next connection; None for none."""
        number, self.turns = self.turns, self.turns + 1
        dice = random.Random(f"mood/{self.seed}/{number}")
        if self.turn is None:
            kind = dice.choice(self.kinds) if self.kinds and not dice.randrange(self.every) else None
        else:
            kind = self.kinds[0] if number == self.turn else None
        if kind is not None:
            self.done.append((number, kind))
        return kind


@dataclass(slots=True)
class Faults:
    """Changes answers: at turn `turn` alone, or, where that is None, one of `every` by the dice of `seed`.

    With `odds` each kind has its own, and the others count for nothing.
    """

    kinds: tuple[Fault, ...]
    seed: int = 0
    turn: int | None = None
    every: int = 5
    turns: int = 0
    done: list[tuple[int, Fault]] = field(default_factory=list)
    odds: Odds = ()
    _held: bytes = b""

    @classmethod
    def parse(cls, written: str, seed: int = 0) -> Faults:
        """`"drop=0.05,duplicate=0.02"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        found = odds.parse(written, tuple(NAMED), ()).odds
        return cls(tuple(NAMED[name] for name, _ in found), seed, odds=found)

    def answers(self, answer: bytes) -> bytes:
        """What is on the line in place of `answer`."""
        number, self.turns = self.turns, self.turns + 1
        late, self._held = self._held, b""
        kind = self._kind(number) if answer else None
        if answer[:1] != bytes((FLAG,)) and (kind is Fault.FLAGGED or (self.odds and kind in OVER_HDLC)):
            kind = None
        if kind is None:
            return late + answer
        self.done.append((number, kind))
        match kind:
            case Fault.DROPPED:
                return late
            case Fault.DAMAGED:
                return late + damaged(answer, self.seed + number)
            case Fault.DELAYED:
                self._held = answer
                return late
            case Fault.TWICE | Fault.FOREIGN | Fault.FLAGGED:
                return late + _before(answer, kind) + answer

    def _kind(self, number: int) -> Fault | None:
        dice = random.Random(f"{self.seed}/{number}")
        if self.odds:
            name = odds.draw(self.odds, dice)
            return None if name is None else NAMED[name]
        if not self.kinds:
            return None
        if self.turn is not None:
            return self.kinds[0] if number == self.turn else None
        return dice.choice(self.kinds) if not dice.randrange(self.every) else None


def _before(answer: bytes, kind: Fault) -> bytes:
    """What comes before the answer itself."""
    if kind is Fault.TWICE:
        return answer
    return foreign(answer) if kind is Fault.FOREIGN else flagged(answer)


def foreign(answer: bytes) -> bytes:
    """The answer as another server would send it."""
    if answer[:1] == bytes((FLAG,)):
        frames = FrameReader().feed(answer)
        others = (replace(each, source=bytes((each.source[-1] ^ 2,))) for each in frames)
        return b"".join(replace(each, information=_other(each.information)).to_bytes() for each in others)
    messages = MessageReader().feed(answer)
    return b"".join(replace(each, source=each.source + 1, apdu=_other(each.apdu)).to_bytes() for each in messages)


def flagged(answer: bytes) -> bytes:
    """An unnumbered frame of who answers whose check sequence ends in 7E, as of an event; empty for the wrapper."""
    for each in FrameReader().feed(answer):
        for number in range(MOST_NUMBERS):
            information = LLC_RESPONSE + bytes((EVENT,)) + number.to_bytes(2, "big")
            octets = replace(each, control=UI, information=information, segmented=False).to_bytes()
            if octets[-2] == FLAG:
                return octets
    return b""


def damaged(answer: bytes, seed: int) -> bytes:
    """The answer with one bit changed."""
    place = random.Random(seed).randrange(8 * len(answer))
    found = bytearray(answer)
    found[place // 8] ^= 1 << place % 8
    return bytes(found)


def _other(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 1,)) if octets else octets
