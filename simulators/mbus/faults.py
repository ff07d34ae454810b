"""Faults of a bus, drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from simulators import odds
from simulators.odds import Odds

KINDS = ("noise", "partial", "garble", "silent", "late", "wrong_address", "cancel", "cancel_counter")
ECHO = "echo"
DEAF = "fcb"
DEAD = "dead"
MAX_NOISE = 40  # bytes before an answer
FIRST_RECORD = 19  # behind the link header and the long header
COUNTERS = frozenset({"0406", "0c06", "0c13", "0414", "0c14"})  # kWh, litres and ten litres: 32 bits or 8 digits
OWN_DATA = 0x0F  # behind it nothing is a record
VARIABLE = 0xD
SIZES = {0x1: 1, 0x2: 2, 0x3: 3, 0x4: 4, 0x5: 4, 0x6: 6, 0x7: 8, 0x9: 1, 0xA: 2, 0xB: 3, 0xC: 4, 0xE: 6}


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each kind of fault happens (0 to 1), and what is wrong all the time.

    Args:
        odds: of each answer's faults.
        echo: the line echoes what the master sends.
        deaf: the meters ignore the frame count bit: they answer a repeated question with what comes next.
        dead: the share of the meters that never answer.
    """

    odds: Odds = ()
    echo: bool = False
    deaf: bool = False
    dead: float = 0.0

    @classmethod
    def parse(cls, written: str) -> Faults:
        """`"noise=0.05,silent=0.1,dead=0.1,echo,fcb"`.

        Raises:
            ValueError: an unknown kind, or odds that are not between 0 and 1 or add up to more than 1.
        """
        found = odds.parse(written, KINDS, (ECHO, DEAF), (DEAD,))
        return cls(found.odds, ECHO in found.flags, DEAF in found.flags, found.shares[DEAD])

    def draw(self, dice: random.Random) -> str | None:
        """The fault of one answer, or None."""
        return odds.draw(self.odds, dice)


def spoil(frame: bytes, kind: str | None, dice: random.Random) -> bytes:
    """What of `frame` is on the wire under a fault of this kind (a late frame is whole)."""
    if kind == "silent":
        return b""
    if kind == "noise":
        return bytes(dice.randrange(256) for _ in range(dice.randrange(1, MAX_NOISE))) + frame
    if kind == "partial":
        return frame[: dice.randrange(1, len(frame))]
    if kind == "garble":
        at = dice.randrange(len(frame))
        return frame[:at] + bytes([frame[at] ^ dice.randrange(1, 256)]) + frame[at + 1 :]
    if kind in ("cancel", "cancel_counter"):
        return _cancelled(frame, kind == "cancel_counter", dice)
    return _elsewhere(frame) if kind == "wrong_address" else frame


def stray(heard: bytes, dice: random.Random) -> bytes:
    """What is on the line when noise is on it too: before, behind, or over a byte of what was said; or alone."""
    some = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 5)))
    match dice.randrange(3):
        case 0 if heard:
            at = dice.randrange(len(heard))
            return heard[:at] + bytes([heard[at] & some[0]]) + heard[at + 1 :]
        case 1:
            return heard + some
        case _:
            return some + heard


def _cancelled(frame: bytes, counter: bool, dice: random.Random) -> bytes:
    """Two bytes of the records are changed, or of one counter, so that the sum of the frame stays what it is."""
    places = [(FIRST_RECORD, len(frame) - 2)]
    if counter:
        places = list(_counters(frame)) or places
    one, other = dice.sample(range(*dice.choice(places)), 2)
    by = dice.randrange(1, 256)
    octets = bytearray(frame)
    octets[one] = (octets[one] + by) % 256
    octets[other] = (octets[other] - by) % 256
    return bytes(octets)


def _counters(frame: bytes) -> Iterator[tuple[int, int]]:
    """Where the data of each counter begin and end."""
    at = FIRST_RECORD
    while at < len(frame) - 2 and frame[at] != OWN_DATA:
        start, coding = at, frame[at] & 0xF
        for _ in range(2):  # DIF and DIFEs, VIF and VIFEs
            while frame[at] & 0x80:
                at += 1
            at += 1
        code, data = frame[start:at].hex(), at
        at += 1 + frame[at] if coding == VARIABLE else SIZES.get(coding, 0)
        if code in COUNTERS:
            yield data, at


def _elsewhere(frame: bytes) -> bytes:
    """The same frame, well formed, from an address that nobody asked."""
    inner = bytearray(frame[4:-2])
    inner[1] = (inner[1] + 100) % 251
    return frame[:4] + bytes(inner) + bytes([sum(inner) % 256, 0x16])
