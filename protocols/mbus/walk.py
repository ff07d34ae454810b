"""The order in which a search narrows a selection that several meters answer.

First the eight digits from the left, then version, medium and manufacturer of one identification. The last two bytes
are walked whole. A manufacturer has 65,536 codes: those that are on this bus already and those that are known to make
wired meters are tried, and all others of three letters on request.

Where answers collided from the same bit on, their AND is left in the head of what was heard. Candidates that contain
those bits are tried first; none is left out for it, because most collisions are not so orderly.

F is no digit that can be selected: it means any. An identification with an F in it is reached by leaving that place
open, as the last choice and only where the other choices did not explain why several answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from protocols.mbus.select import ANY, DIGITS, SIZE, Secondary

VERSION_AT, MEDIUM_AT, MANUFACTURER_AT, END_AT = DIGITS, DIGITS + 1, DIGITS + 2, DIGITS + 3
HEAD = 7  # bytes before the secondary address in a long answer
DECIMAL, HEXADECIMAL = "0123456789", "0123456789ABCDE"
LETTERS = range(1, 27)
# Makers of meters and pulse adapters with a wired interface, as they stand in telegrams.
KNOWN = (
    "ABB ACW AMT APA BEC BHG BMT DME DZG EFE ELS EMH EMU ESY GAV GWF HYD INV ISK ITR ITW KAM LGB LGZ LSE LUG MAD NZR "
    "PAD QDS RAM REL RKE SBC SEN SIE SLB SON SPX SVM TCH WEP WZG ZRI ZRM"
)


@dataclass(frozen=True, slots=True)
class Level:
    """A pattern that several answered: its place `at` is tried, choice by choice.

    Args:
        mask: the pattern.
        at: 0 to 7 a digit, then version, medium, manufacturer.
        choice: the one that is tried now.
        hint: the secondary address as it was left of the collision, or nothing.
        known: how many meters had been found when it was opened.
        told: whether something under it was reported as unresolved.
    """

    mask: Secondary
    at: int
    choice: int = 0
    hint: bytes = b""
    known: int = 0
    told: bool = False

    def to_row(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {
            "mask": str(self.mask),
            "at": self.at,
            "choice": self.choice,
            "hint": self.hint.hex(),
            "known": self.known,
            "told": self.told,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, object]) -> Level:
        """What `to_row` gave.

        Raises:
            ValueError: it is not that.
        """
        at, choice, known = (row.get(name) for name in ("at", "choice", "known"))
        if not (isinstance(at, int) and isinstance(choice, int) and isinstance(known, int)):
            raise ValueError(f"expected numbers, got {at!r}, {choice!r} and {known!r} in a search's state")
        if not 0 <= at < END_AT or choice < 0 or known < 0:
            raise ValueError(f"expected a place 0 to {END_AT - 1}, got {at}, {choice} and {known} in a search's state")
        hint = bytes.fromhex(str(row.get("hint", "")))
        return cls(Secondary.of(str(row.get("mask"))), at, choice, hint, known, bool(row.get("told")))


@dataclass(frozen=True, slots=True)
class Choices:
    """What is tried: A-E beside the decimal digits, and every manufacturer of three letters."""

    letters: bool = False
    every_manufacturer: bool = False

    def of(self, level: Level, found: Sequence[Secondary]) -> tuple[Secondary, ...]:
        """The patterns that `level` is narrowed to, in order; `found` as it was when the level was opened."""
        mask, hint = level.mask, level.hint
        if level.at < DIGITS:
            digits = HEXADECIMAL + "F" if self.letters else DECIMAL
            return tuple(replace(mask, id=mask.id[: level.at] + digit + mask.id[level.at + 1 :]) for digit in digits)
        if level.at == MEDIUM_AT and mask.medium != ANY:
            return (mask,)  # it was given
        if level.at == VERSION_AT:
            return tuple(replace(mask, version=each) for each in _ordered(range(ANY), hint[6:7]))
        if level.at == MEDIUM_AT:
            return tuple(replace(mask, medium=each) for each in _ordered(range(ANY), hint[7:8]))
        here = [meter.manufacturer for meter in found]
        codes = _ordered([*here, *map(code_of, KNOWN.split())], hint[4:6])
        if self.every_manufacturer:
            codes += _ordered(every_code(), hint[4:6])
        return tuple(replace(mask, manufacturer=each) for each in dict.fromkeys(codes))


def remains(octets: bytes, mask: Secondary) -> bytes:
    """The secondary address in the head of colliding answers, as far as their common bits can be trusted.

    They began at the same bit only where the AND of the digits still contains what was selected, and nothing else.
    """
    left = octets[HEAD : HEAD + SIZE]
    if len(left) < SIZE or octets[HEAD - 1] != 0x72:
        return b""
    return left if "F" not in mask.id and left[:4] == mask.to_bytes()[:4] else b""


def code_of(letters: str) -> int:
    """A manufacturer's code: five bits a letter."""
    code = 0
    for letter in letters:
        code = code << 5 | (ord(letter) - 64)
    return code


def every_code() -> Iterator[int]:
    """The codes of all three letters."""
    return (one << 10 | two << 5 | three for one in LETTERS for two in LETTERS for three in LETTERS)


def _ordered(values: Iterable[int], hint: bytes) -> list[int]:
    """Those that have all bits of the hint first."""
    bits = int.from_bytes(hint, "little")
    return sorted(values, key=lambda value: value & bits != bits)
