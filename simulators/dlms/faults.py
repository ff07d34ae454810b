"""What goes wrong with a simulated meter's answers, by seed or at a chosen turn: the same each time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from protocols.dlms.hdlc import FLAG, FrameReader
from protocols.dlms.wrapper import MessageReader


class Fault(Enum):
    """What is done to the answer of one turn."""

    DROPPED = auto()
    TWICE = auto()
    DELAYED = auto()  # until the answer after it, and before that one
    FOREIGN = auto()  # the same answer from another server comes first, with another value in its last byte
    DAMAGED = auto()  # a bit of it is another


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
    """Changes answers: at turn `turn` alone, or, where that is None, one of `every` by the dice of `seed`."""

    kinds: tuple[Fault, ...]
    seed: int = 0
    turn: int | None = None
    every: int = 5
    turns: int = 0
    done: list[tuple[int, Fault]] = field(default_factory=list)
    _held: bytes = b""

    def answers(self, answer: bytes) -> bytes:
        """What is on the line in place of `answer`."""
        number, self.turns = self.turns, self.turns + 1
        late, self._held = self._held, b""
        kind = self._kind(number) if answer else None
        if kind is None:
            return late + answer
        self.done.append((number, kind))
        match kind:
            case Fault.DROPPED:
                return late
            case Fault.TWICE:
                return late + answer + answer
            case Fault.DELAYED:
                self._held = answer
                return late
            case Fault.FOREIGN:
                return late + foreign(answer) + answer
            case Fault.DAMAGED:
                return late + damaged(answer, self.seed + number)

    def _kind(self, number: int) -> Fault | None:
        dice = random.Random(f"{self.seed}/{number}")
        if not self.kinds:
            return None
        if self.turn is not None:
            return self.kinds[0] if number == self.turn else None
        return dice.choice(self.kinds) if not dice.randrange(self.every) else None


def foreign(answer: bytes) -> bytes:
    """The answer as another server would send it."""
    if answer[:1] == bytes((FLAG,)):
        frames = FrameReader().feed(answer)
        others = (replace(each, source=bytes((each.source[-1] ^ 2,))) for each in frames)
        return b"".join(replace(each, information=_other(each.information)).to_bytes() for each in others)
    messages = MessageReader().feed(answer)
    return b"".join(replace(each, source=each.source + 1, apdu=_other(each.apdu)).to_bytes() for each in messages)


def damaged(answer: bytes, seed: int) -> bytes:
    """The answer with one bit changed."""
    place = random.Random(seed).randrange(8 * len(answer))
    found = bytearray(answer)
    found[place // 8] ^= 1 << place % 8
    return bytes(found)


def _other(octets: bytes) -> bytes:
    return octets[:-1] + bytes((octets[-1] ^ 1,)) if octets else octets
