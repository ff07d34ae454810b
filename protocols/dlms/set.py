"""The SET service (Green Book 9.4.5.5): one attribute at once or in blocks, and what the meter says to it."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import data
from protocols.dlms.data import Data, length, read_length, take
from protocols.dlms.faults import AccessRefused, CutShort, Malformed, NotSupported
from protocols.dlms.get import CONFIRMED, INVOKE_MASK, Selection, asked_bytes, read_asked, result_name
from protocols.dlms.objects import Attribute

REQUEST, RESPONSE = 0xC1, 0xC5
NORMAL, FIRST_BLOCK, NEXT_BLOCK = 1, 2, 3
TAKEN, LAST_TAKEN = 2, 3  # a block was taken; the last one was, and what came of all
BLOCK_OVERHEAD = 13  # bytes of a next block's APDU around its octets: 8 of header and up to 5 of length
SUCCESS = 0


@dataclass(frozen=True, slots=True)
class SetNormal:
    """Sets one attribute."""

    invoke: int
    attribute: Attribute
    value: Data
    selection: Selection | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((REQUEST, NORMAL, CONFIRMED | self.invoke))
        return head + asked_bytes(self.attribute, self.selection) + data.to_bytes(self.value)


@dataclass(frozen=True, slots=True)
class SetBlock:
    """One block of an encoded value, the first with number 1; `attribute` is None but in the first."""

    invoke: int
    number: int
    last: bool
    octets: bytes
    attribute: Attribute | None = None
    selection: Selection | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        kind, asked = NEXT_BLOCK, b""
        if self.attribute is not None:
            kind, asked = FIRST_BLOCK, asked_bytes(self.attribute, self.selection)
        block = bytes((self.last,)) + self.number.to_bytes(4, "big") + length(len(self.octets)) + self.octets
        return bytes((REQUEST, kind, CONFIRMED | self.invoke)) + asked + block


@dataclass(frozen=True, slots=True)
class Set:
    """What came of it (0: it is set); `block` is the number of the last block where it came in blocks, else 0."""

    invoke: int
    result: int
    block: int = 0

    def to_bytes(self) -> bytes:
        """The APDU."""
        kind = LAST_TAKEN if self.block else NORMAL
        head = bytes((RESPONSE, kind, CONFIRMED | self.invoke, self.result))
        return head + self.block.to_bytes(4, "big") if self.block else head

    def error(self, where: str) -> AccessRefused:
        """The error that a refusal is."""
        return AccessRefused("the value to be set", result_name(self.result), where)


@dataclass(frozen=True, slots=True)
class BlockTaken:
    """A block was taken: the next may come."""

    invoke: int
    number: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, TAKEN, CONFIRMED | self.invoke)) + self.number.to_bytes(4, "big")


def request_from_bytes(octets: bytes) -> SetNormal | SetBlock:
    """The SET request that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, REQUEST)
    if kind == NORMAL:
        attribute, selection, at = read_asked(octets, 3)
        value, end = data.read(octets, at)
        _at_end(octets, end)
        return SetNormal(invoke, attribute, value, selection)
    if kind == FIRST_BLOCK:
        attribute, selection, at = read_asked(octets, 3)
        number, last, piece = _block(octets, at)
        return SetBlock(invoke, number, last, piece, attribute, selection)
    if kind == NEXT_BLOCK:
        number, last, piece = _block(octets, 3)
        return SetBlock(invoke, number, last, piece)
    raise NotSupported("SET request normal or with block", str(kind), "SET request")


def response_from_bytes(octets: bytes) -> Set | BlockTaken:
    """The SET response that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, RESPONSE)
    if kind == NORMAL:
        result, end = take(octets, 3, 1, "SET response")
        _at_end(octets, end)
        return Set(invoke, result[0])
    if kind == TAKEN:
        taken, end = take(octets, 3, 4, "SET response")
        _at_end(octets, end)
        return BlockTaken(invoke, int.from_bytes(taken, "big"))
    if kind != LAST_TAKEN:
        raise NotSupported("SET response normal or of a block", str(kind), "SET response")
    tail, end = take(octets, 3, 5, "SET response")
    _at_end(octets, end)
    number = int.from_bytes(tail[1:], "big")
    if not number:
        raise Malformed("a block from 1 on", "0", "SET response")
    return Set(invoke, tail[0], number)


def split(attribute: Attribute, value: Data, invoke: int, max_pdu: int) -> list[bytes]:
    """The APDUs that set a value on a meter that takes `max_pdu` bytes at once (0: as many as come)."""
    whole = SetNormal(invoke, attribute, value).to_bytes()
    if not max_pdu or len(whole) <= max_pdu:
        return [whole]
    encoded, asked = data.to_bytes(value), len(asked_bytes(attribute, None))
    first = max(1, max_pdu - BLOCK_OVERHEAD - asked)
    size = max(1, max_pdu - BLOCK_OVERHEAD)
    pieces = [encoded[:first], *(encoded[at : at + size] for at in range(first, len(encoded), size))]
    made = [SetBlock(invoke, 1, len(pieces) == 1, pieces[0], attribute)]
    made += [SetBlock(invoke, n, n == len(pieces), piece) for n, piece in enumerate(pieces[1:], 2)]
    return [each.to_bytes() for each in made]


def _head(octets: bytes, tag: int) -> tuple[int, int]:
    if len(octets) < 3:
        raise CutShort("3 bytes", str(len(octets)), "SET")
    if octets[0] != tag:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "SET")
    return octets[1], octets[2] & INVOKE_MASK


def _block(octets: bytes, at: int) -> tuple[int, bool, bytes]:
    head, at = take(octets, at, 5, "SET request")
    size, at = read_length(octets, at)
    piece, end = take(octets, at, size, "SET request")
    _at_end(octets, end)
    return int.from_bytes(head[1:], "big"), bool(head[0]), piece


def _at_end(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "SET")
