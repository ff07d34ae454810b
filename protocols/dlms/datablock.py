"""The data block of SET and ACTION (DataBlock-SA, Green Book 9.5): last or not, number, a piece of what is encoded."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms.data import length, read_length, take
from protocols.dlms.faults import Malformed

OVERHEAD = 13  # bytes of an APDU around the octets of its block: 3 of header, 5 of block, up to 5 of length


@dataclass(frozen=True, slots=True)
class DataBlock:
    """One piece; the first has number 1."""

    number: int
    last: bool
    octets: bytes

    def to_bytes(self) -> bytes:
        """The block as it stands in an APDU."""
        return bytes((self.last,)) + self.number.to_bytes(4, "big") + length(len(self.octets)) + self.octets


def read_block(octets: bytes, at: int, where: str) -> DataBlock:
    """The block from `at` to the end of the APDU.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    head, at = take(octets, at, 5, where)
    size, at = read_length(octets, at)
    piece, end = take(octets, at, size, where)
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", where)
    return DataBlock(int.from_bytes(head[1:], "big"), bool(head[0]), piece)


def blocks_of(encoded: bytes, max_pdu: int, asked: int) -> list[DataBlock]:
    """What is encoded, in blocks for a side that takes `max_pdu` bytes; the first APDU has `asked` bytes beside it."""
    first, size = max(1, max_pdu - OVERHEAD - asked), max(1, max_pdu - OVERHEAD)
    pieces = [encoded[:first], *(encoded[at : at + size] for at in range(first, len(encoded), size))]
    return [DataBlock(number, number == len(pieces), piece) for number, piece in enumerate(pieces, 1)]
