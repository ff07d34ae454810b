"""General block transfer (Green Book 9.4.4.9 and 9.4.6.13): one APDU in numbered blocks, sent in windows.

A block is control (last, streaming, window), its number, the number of the other side's last block, and octets. Blocks
come in order; what is missing is sent again when the receiver says up to where it has them. A block bears no invoke-id:
the first one shows that of the APDU inside, and two blocks of one number that differ end the transfer, for one of them
belongs to another.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms.data import length, read_length, take
from protocols.dlms.faults import Malformed, TooMuch, WrongBlock

TAG = 0xE0
LAST, STREAMING, WINDOW_MASK = 0x80, 0x40, 0x3F
HEADER = 6  # bytes before the length: tag, control, two numbers
OUR_WINDOW = 8  # blocks that we take before we say something: one turn instead of eight
MAX_NUMBER = 0xFFFF
MAX_BYTES = 4 * 1024 * 1024  # of one APDU


@dataclass(frozen=True, slots=True)
class GeneralBlock:
    """One block; `window` is how many blocks its sender takes, `acknowledged` the last block that it has in order."""

    last: bool
    streaming: bool
    window: int
    number: int
    acknowledged: int
    octets: bytes

    def to_bytes(self) -> bytes:
        """The APDU."""
        control = (LAST if self.last else 0) | (STREAMING if self.streaming else 0) | self.window & WINDOW_MASK
        numbers = self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        return bytes((TAG, control)) + numbers + length(len(self.octets)) + self.octets

    @classmethod
    def from_bytes(cls, octets: bytes) -> GeneralBlock:
        """The block that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        head, at = take(octets, 0, HEADER, "general block")
        if head[0] != TAG:
            raise Malformed(f"tag {TAG:02x}", head[:1].hex(), "general block")
        size, at = read_length(octets, at)
        piece, end = take(octets, at, size, "general block")
        if end != len(octets):
            raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "general block")
        control, number, acknowledged = head[1], int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:], "big")
        return cls(bool(control & LAST), bool(control & STREAMING), control & WINDOW_MASK, number, acknowledged, piece)


class Joiner:
    """Joins the blocks of one APDU: what is missing, what came twice and what comes too early is told apart."""

    def __init__(self) -> None:
        self.have = 0  # blocks, in order from 1
        self.whole: bytes | None = None  # the APDU, once its last block is there
        self._blocks: list[bytes] = []
        self._size = self._sent = 0

    def take(self, block: GeneralBlock) -> None:
        """One block.

        Raises:
            WrongBlock: it was there already, or one before it is missing: it is not taken.
            TooMuch: more than any APDU has, or a block of this number and another content.
        """
        where = "general block transfer"
        if 1 <= block.number <= self.have and self._blocks[block.number - 1] != block.octets:
            raise TooMuch("one transfer", f"a second, other block {block.number}", where)
        if block.number != self.have + 1 or self.whole is not None:
            raise WrongBlock(f"block {self.have + 1}", str(block.number), where)
        self._size += len(block.octets)
        if self._size > MAX_BYTES or self.have == MAX_NUMBER or not (block.octets or block.last):
            raise TooMuch(f"at most {MAX_BYTES} bytes, {MAX_NUMBER} blocks, none empty", "more", where)
        self._blocks.append(block.octets)
        self.have += 1
        if block.last:
            self.whole = b"".join(self._blocks)

    def acknowledgement(self, window: int = OUR_WINDOW) -> GeneralBlock:
        """What asks for the next window, or for what is missing."""
        self._sent += 1
        return GeneralBlock(True, False, window, self._sent, self.have, b"")


def split(apdu: bytes, size: int, window: int) -> list[GeneralBlock]:
    """An APDU as blocks of at most `size` octets for a side that takes `window` of them at a time."""
    count = -(-len(apdu) // size)
    return [each for first in range(1, count + 1, window) for each in windowed(apdu, size, first, window)]


def windowed(apdu: bytes, size: int, first: int, window: int, acknowledged: int = 0) -> list[GeneralBlock]:
    """The blocks of one window, from number `first` on; empty behind the last."""
    count = -(-len(apdu) // size)
    end = min(count, first + window - 1)
    return [
        GeneralBlock(n == count, n < end, window & WINDOW_MASK, n, acknowledged, apdu[(n - 1) * size : n * size])
        for n in range(max(1, first), end + 1)
    ]
