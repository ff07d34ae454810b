"""Faults of a Modbus RTU line, drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = (
    "silent",
    "late",  # it comes in front of whatever is said next
    "exception",
    "wrong_unit",
    "wrong_function",
    "short",  # one register less, and it says so
    "crc",
    "garble",  # one byte is another one
    "partial",
    "noise",  # in front of it
    "torn",  # counters of two words hold halves of two moments
    "restart",  # the meter loses its power: no answer, and what counts since power-up begins again
)
ECHO = "echo"
DEAD = "dead"
MAX_NOISE = 40  # bytes before an answer
EXCEPTIONS = (4, 5, 6)  # device failure, acknowledged, busy


@dataclass(frozen=True, slots=True)
class RtuFaults:
    """How often each kind of fault happens (0 to 1), and what is wrong all the time.

    Args:
        odds: of each answer's faults.
        echo: the line gives back what the master sends.
        dead: the share of the meters that never answer.
    """

    odds: tuple[tuple[str, float], ...] = ()
    echo: bool = False
    dead: float = 0.0

    @classmethod
    def parse(cls, written: str) -> RtuFaults:
        """`"noise=0.05,silent=0.1,dead=0.1,echo"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        odds: list[tuple[str, float]] = []
        echo, dead = False, 0.0
        for part in filter(None, (part.strip() for part in written.split(","))):
            kind, _, share = part.partition("=")
            if part == ECHO:
                echo = True
            elif kind == DEAD and share:
                dead = float(share)
            elif kind in KINDS and share:
                odds.append((kind, float(share)))
            else:
                words = f"{ECHO}, or one of {', '.join((*KINDS, DEAD))} with =odds"
                raise ValueError(f"expected {words}, got {part!r} in faults")
        shares = [share for _, share in odds]
        if any(not 0 <= share <= 1 for share in (dead, *shares)) or sum(shares) > 1:
            raise ValueError(f"expected odds from 0 to 1 that add up to 1 at most, got {written!r} in faults")
        return cls(tuple(odds), echo, dead)

    def draw(self, dice: random.Random) -> str | None:
        """The fault of one answer, or None."""
        cast = dice.random()
        for kind, share in self.odds:
            if cast < share:
                return kind
            cast -= share
        return None
