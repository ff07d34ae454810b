"""Faults of a serial line of DLMS meters, drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = ("noise", "late", "garble", "silent", "partial", "twice", "stutter")
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

    odds: tuple[tuple[str, float], ...] = ()
    echo: bool = False
    half_open: bool = False
    late_s: float = LATE_S

    @classmethod
    def parse(cls, written: str) -> LineFaults:
        """`"noise=0.05,late=0.1,echo"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        odds: list[tuple[str, float]] = []
        flags = {ECHO: False, HALF_OPEN: False}
        for part in filter(None, (part.strip() for part in written.split(","))):
            kind, _, share = part.partition("=")
            if part in flags:
                flags[part] = True
            elif kind in KINDS and share:
                odds.append((kind, float(share)))
            else:
                words = f"{ECHO}, {HALF_OPEN} or one of {', '.join(KINDS)} with =odds"
                raise ValueError(f"expected {words}, got {part!r} in faults")
        if any(not 0 <= share <= 1 for _, share in odds) or sum(share for _, share in odds) > 1:
            raise ValueError(f"expected odds from 0 to 1 that add up to 1 at most, got {written!r} in faults")
        return cls(tuple(odds), flags[ECHO], flags[HALF_OPEN])

    def draw(self, dice: random.Random) -> str | None:
        """The fault of one answer, or None."""
        cast = dice.random()
        for kind, share in self.odds:
            if cast < share:
                return kind
            cast -= share
        return None


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
        case "twice":
            return answer + answer
        case _:
            return answer
