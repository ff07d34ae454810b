"""The SET service (Green Book 9.4.5.5): one attribute or several, at once or in blocks, and what the meter says."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import data
from protocols.dlms.data import Data, length, read_length, take
from protocols.dlms.datablock import DataBlock, blocks_of, read_block
from protocols.dlms.faults import AccessRefused, CutShort, Malformed, NotSupported, TooMuch
from protocols.dlms.get import (
    CONFIRMED,
    INVOKE_MASK,
    MAX_LIST,
    Selection,
    asked_bytes,
    list_bytes,
    read_asked,
    read_list,
    result_name,
)
from protocols.dlms.objects import Attribute

REQUEST, RESPONSE = 0xC1, 0xC5
NORMAL, FIRST_BLOCK, NEXT_BLOCK, WITH_LIST, LIST_FIRST_BLOCK = 1, 2, 3, 4, 5
# A block was taken; the last one was, and what came of all; ... of each of a list; what came of each, without blocks.
TAKEN, LAST_TAKEN, LAST_TAKEN_OF_LIST, OF_LIST = 2, 3, 4, 5
SUCCESS = 0
Asked = Attribute | tuple[Attribute, ...]  # one attribute, or those of a list


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
class SetList:
    """Sets several attributes, each to the value at its place."""

    invoke: int
    attributes: tuple[Attribute, ...]
    values: tuple[Data, ...]

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((REQUEST, WITH_LIST, CONFIRMED | self.invoke))
        return head + list_bytes(self.attributes) + values_bytes(self.values)


@dataclass(frozen=True, slots=True)
class SetBlock:
    """One block of an encoded value, or of the values of a list; `asked` is what is set, None but in the first."""

    invoke: int
    block: DataBlock
    asked: Asked | None = None
    selection: Selection | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        kind, asked = NEXT_BLOCK, b""
        if isinstance(self.asked, Attribute):
            kind, asked = FIRST_BLOCK, asked_bytes(self.asked, self.selection)
        elif self.asked is not None:
            kind, asked = LIST_FIRST_BLOCK, list_bytes(self.asked)
        return bytes((REQUEST, kind, CONFIRMED | self.invoke)) + asked + self.block.to_bytes()


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
class SetResults:
    """What came of each of a list (0: it is set); `block` as in `Set`."""

    invoke: int
    results: tuple[int, ...]
    block: int = 0

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((RESPONSE, LAST_TAKEN_OF_LIST if self.block else OF_LIST, CONFIRMED | self.invoke))
        tail = self.block.to_bytes(4, "big") if self.block else b""
        return head + length(len(self.results)) + bytes(self.results) + tail


@dataclass(frozen=True, slots=True)
class BlockTaken:
    """A block was taken: the next may come."""

    invoke: int
    number: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, TAKEN, CONFIRMED | self.invoke)) + self.number.to_bytes(4, "big")


def request_from_bytes(octets: bytes) -> SetNormal | SetList | SetBlock:
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
        return SetBlock(invoke, read_block(octets, at, "SET request"), attribute, selection)
    if kind == NEXT_BLOCK:
        return SetBlock(invoke, read_block(octets, 3, "SET request"))
    if kind not in {WITH_LIST, LIST_FIRST_BLOCK}:
        raise NotSupported("SET request normal, with list or with block", str(kind), "SET request")
    attributes, at = read_list(octets, 3)
    if kind == LIST_FIRST_BLOCK:
        return SetBlock(invoke, read_block(octets, at, "SET request"), attributes)
    values = values_from_bytes(octets, at)
    if len(values) != len(attributes):
        raise Malformed(f"{len(attributes)} values", str(len(values)), "SET request")
    return SetList(invoke, attributes, values)


def response_from_bytes(octets: bytes) -> Set | SetResults | BlockTaken:
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
    if kind in {LAST_TAKEN_OF_LIST, OF_LIST}:
        return _results(octets, invoke, in_blocks=kind == LAST_TAKEN_OF_LIST)
    if kind != LAST_TAKEN:
        raise NotSupported("SET response normal, of a block or of a list", str(kind), "SET response")
    tail, end = take(octets, 3, 5, "SET response")
    _at_end(octets, end)
    return Set(invoke, tail[0], _number(tail[1:]))


def values_bytes(values: tuple[Data, ...]) -> bytes:
    """The values of a list: how many, then each."""
    return length(len(values)) + b"".join(map(data.to_bytes, values))


def values_from_bytes(octets: bytes, at: int = 0) -> tuple[Data, ...]:
    """The values of a list, from `at` to the end.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    count, at = read_length(octets, at)
    take(octets, at, count, "values of a list")
    if count > MAX_LIST:
        raise TooMuch(f"at most {MAX_LIST} values", str(count), "values of a list")
    values = []
    for _ in range(count):
        value, at = data.read(octets, at)
        values.append(value)
    _at_end(octets, at)
    return tuple(values)


def split(attribute: Attribute, value: Data, invoke: int, max_pdu: int) -> list[bytes]:
    """The APDUs that set a value on a meter that takes `max_pdu` bytes at once (0: as many as come)."""
    whole = SetNormal(invoke, attribute, value).to_bytes()
    if not max_pdu or len(whole) <= max_pdu:
        return [whole]
    return _in_blocks(attribute, asked_bytes(attribute, None), data.to_bytes(value), invoke, max_pdu)


def split_list(attributes: tuple[Attribute, ...], values: tuple[Data, ...], invoke: int, max_pdu: int) -> list[bytes]:
    """As `split`, of a list; the first block's APDU names all attributes, and is never smaller than they are."""
    whole = SetList(invoke, attributes, values).to_bytes()
    if not max_pdu or len(whole) <= max_pdu:
        return [whole]
    return _in_blocks(attributes, list_bytes(attributes), values_bytes(values), invoke, max_pdu)


def _in_blocks(asked: Asked, named: bytes, encoded: bytes, invoke: int, max_pdu: int) -> list[bytes]:
    first, *rest = blocks_of(encoded, max_pdu, len(named))
    return [SetBlock(invoke, first, asked).to_bytes(), *(SetBlock(invoke, each).to_bytes() for each in rest)]


def _head(octets: bytes, tag: int) -> tuple[int, int]:
    if len(octets) < 3:
        raise CutShort("3 bytes", str(len(octets)), "SET")
    if octets[0] != tag:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "SET")
    return octets[1], octets[2] & INVOKE_MASK


def _results(octets: bytes, invoke: int, *, in_blocks: bool) -> SetResults:
    count, at = read_length(octets, 3)
    results, at = take(octets, at, count, "SET response")
    if count > MAX_LIST:
        raise TooMuch(f"at most {MAX_LIST} results", str(count), "SET response")
    number = 0
    if in_blocks:
        tail, at = take(octets, at, 4, "SET response")
        number = _number(tail)
    _at_end(octets, at)
    return SetResults(invoke, tuple(results), number)


def _number(octets: bytes) -> int:
    number = int.from_bytes(octets, "big")
    if not number:
        raise Malformed("a block from 1 on", "0", "SET response")
    return number


def _at_end(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "SET")
