"""A walk along bytes that notes what each is: every byte is in one part, in order, also where it does not hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from protocols.dlms.data import read_length
from protocols.dlms.faults import CutShort

BYTES_IN_LINE = 12


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes: where they begin, themselves, what they are, how deep inside others; a secret is never printed."""

    offset: int
    octets: bytes
    words: str
    depth: int = 0
    secret: bool = False

    def hidden(self) -> Part:
        """The same, not to be printed."""
        return replace(self, secret=True)


class Walk:
    """Goes along `octets`; what `take` gives is noted in `parts`, and what was said in `fields`."""

    def __init__(self, octets: bytes, at: int = 0, depth: int = 0) -> None:
        self.octets, self.at, self.depth = octets, at, depth
        self.parts: list[Part] = []

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.octets) - self.at

    def peek(self, size: int = 1) -> bytes:
        """The next bytes, as far as they are there."""
        return self.octets[self.at : self.at + size]

    def take(self, size: int, words: str, secret: bool = False) -> bytes:
        """The next `size` bytes, which are `words`.

        Raises:
            CutShort: they are not all there.
        """
        if size > self.left:
            raise CutShort(f"{size} bytes", str(self.left), words.partition(",")[0])
        found = self.octets[self.at : self.at + size]
        if size:
            self.parts.append(Part(self.at, found, words, self.depth, secret))
        self.at += size
        return found

    def number(self, size: int, name: str) -> int:
        """A number of `size` bytes, which is called `name`."""
        found = int.from_bytes(self.take(size, name), "big")
        self.say(f"{name} {found}")
        return found

    def length(self, name: str) -> int:
        """A length, of what is called `name`.

        Raises:
            MeterError: it is none, or does not end.
        """
        size, end = read_length(self.octets, self.at)
        self.take(end - self.at, f"length of the {name}, {size}")
        return size

    def say(self, words: str) -> None:
        """What was taken last is better said so."""
        self.parts[-1] = replace(self.parts[-1], words=words)

    def say_of(self, index: int, words: str) -> None:
        """What part number `index` is better said so."""
        self.parts[index] = replace(self.parts[index], words=words)

    def rest(self, words: str, secret: bool = False) -> bytes:
        """All that is left."""
        return self.take(self.left, words, secret)


def lines(parts: list[Part]) -> list[str]:
    """Parts for people."""
    shown = ["offset  bytes" + " " * (3 * BYTES_IN_LINE - 4) + "what they are"]
    for part in parts:
        for at in range(0, len(part.octets), BYTES_IN_LINE):
            piece = part.octets[at : at + BYTES_IN_LINE]
            octets = " ".join(["**"] * len(piece)) if part.secret else piece.hex(" ")
            words = "" if at else "  " * part.depth + part.words
            shown.append(f"{part.offset + at:6}  {octets:<{3 * BYTES_IN_LINE}} {words}".rstrip())
    return shown
