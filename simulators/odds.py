"""Faults as they are written, `"noise=0.05,silent=0.1,echo"`, and drawn by seed: each answer suffers at most one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

Odds = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Written:
    """The odds of each kind of fault, and what was said beside them.

    Args:
        odds: of each answer's faults (0 to 1).
        flags: the words without a number.
        shares: numbers from 0 to 1 that are no odds of an answer.
    """

    odds: Odds
    flags: frozenset[str]
    shares: dict[str, float]


def parse(written: str, kinds: Sequence[str], flags: Sequence[str], shares: Sequence[str] = ()) -> Written:
    """What is written in one line.

    Raises:
        ValueError: an unknown word, or odds that are not between 0 and 1 or add up to more than 1.
    """
    odds: list[tuple[str, float]] = []
    said, numbers = set[str](), dict.fromkeys(shares, 0.0)
    for part in filter(None, (part.strip() for part in written.split(","))):
        kind, _, share = part.partition("=")
        if part in flags:
            said.add(part)
        elif kind in shares and share:
            numbers[kind] = float(share)
        elif kind in kinds and share:
            odds.append((kind, float(share)))
        else:
            words = f"{', '.join(flags)} or one of {', '.join((*kinds, *shares))} with =odds"
            raise ValueError(f"expected {words}, got {part!r} in faults")
    each_one = [*numbers.values(), *(share for _, share in odds)]
    if any(not 0 <= share <= 1 for share in each_one) or sum(share for _, share in odds) > 1:
        raise ValueError(f"expected odds from 0 to 1 that add up to 1 at most, got {written!r} in faults")
    return Written(tuple(odds), frozenset(said), numbers)


def draw(odds: Odds, dice: random.Random) -> str | None:
    """The fault of one answer, or None."""
    cast = dice.random()
    for kind, share in odds:
        if cast < share:
            return kind
        cast -= share
    return None
