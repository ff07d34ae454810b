"""Faults of a serial line of DLMS meters, drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulators import odds
from simulators.dlms.faults import flagged
from simulators.odds import Odds

KINDS = ("noise", "late", "garble", "silent", "partial", "twice", "stutter", "flag")
ECHO, HALF_OPEN = "echo", "half_open"
MAX_NOISE = 40  # bytes before an answer
FALSE_START = bytes.fromhex("7ea02f")  # noise that looks like the beginning of a frame
LATE_S = 0.3  # by how much a late answer comes later, or one behind a false start ("stutter")


@dataclass(frozen=True, slots=True)
class LineFaults:
    """How often each kind of fault happens (0 to 1).

    `echo`: the line repeats what the master sends. `half_open`: at its start each meter still holds a link with a
    client that is gone, and hears nobody who does not end it first. `late_s` is how late a late answer is.
    """

    odds: Odds = ()
    echo: bool = False
    half_open: bool = False
    late_s: float = LATE_S

    @classmethod
    def parse(cls, written: str) -> LineFaults:
        """`"noise=0.05,late=0.1,echo"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        found = odds.parse(written, KINDS, (ECHO, HALF_OPEN))
        return cls(found.odds, ECHO in found.flags, HALF_OPEN in found.flags)

    def draw(self, dice: random.Random) -> str | None:
        """The fault of one answer, or None."""
        return odds.draw(self.odds, dice)


def spoil(answer: bytes, kind: str | None, dice: random.Random) -> bytes:
    """What of `answer` is on the wire under a fault of this kind (a late one is whole)."""
    match kind:
        case "noise":
            noise = bytes(dice.randrange(256) for _ in range(dice.randrange(1, MAX_NOISE)))
            return noise + (FALSE_START if dice.random() < 1 / 2 else b"") + answer
        case "silent":
            return b""
        case "partial":
            return answer[: dice.randrange(1, len(answer))]
        case "garble":
            at = dice.randrange(1, len(answer) - 1)
            return answer[:at] + bytes([answer[at] ^ dice.randrange(1, 256)]) + answer[at + 1 :]
        case "flag" | "twice":
            return (flagged(answer) if kind == "flag" else answer) + answer
        case _:
            return answer
