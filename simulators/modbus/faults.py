"""Faults of a Modbus RTU line, drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from simulators import odds
from simulators.odds import Odds

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

    odds: Odds = ()
    echo: bool = False
    dead: float = 0.0

    @classmethod
    def parse(cls, written: str) -> RtuFaults:
        """`"noise=0.05,silent=0.1,dead=0.1,echo"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        found = odds.parse(written, KINDS, (ECHO,), (DEAD,))
        return cls(found.odds, ECHO in found.flags, found.shares[DEAD])

    def draw(self, dice: random.Random) -> str | None:
        """The fault of one answer, or None."""
        return odds.draw(self.odds, dice)
