"""COSEM data in A-XDR (IEC 61334-6, as the Green Book uses it): a tag, then what the tag says.

Rules: every count and length is held against the bytes that are there before anything is made of it, nesting is
bounded, and what is left over is an error. A float is kept as its bytes. Strings are kept as octets: what they mean is
said where the object is known.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple, TypeAlias

from protocols.dlms.faults import CutShort, Malformed, NotSupported, TooMuch

MAX_DEPTH = 16  # arrays and structures in each other: the deepest object seen in the field takes 6
SHOWN = 16  # bytes of what came in a message
LONG_FORM = 0x80  # a length from 128 on says first how many bytes of length follow


class Tag(IntEnum):
    """The choices of the type Data, with the standard's names."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27


# What is a whole number: its width in bytes and whether it is signed. A bcd is kept as its byte.
NUMBERS: dict[Tag, tuple[int, bool]] = {
    Tag.BOOLEAN: (1, False),
    Tag.DOUBLE_LONG: (4, True),
    Tag.DOUBLE_LONG_UNSIGNED: (4, False),
    Tag.BCD: (1, False),
    Tag.INTEGER: (1, True),
    Tag.LONG: (2, True),
    Tag.UNSIGNED: (1, False),
    Tag.LONG_UNSIGNED: (2, False),
    Tag.LONG64: (8, True),
    Tag.LONG64_UNSIGNED: (8, False),
    Tag.ENUM: (1, False),
}
# What is kept as octets of a fixed width.
OCTETS: dict[Tag, int] = {Tag.FLOAT32: 4, Tag.FLOAT64: 8, Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}
STRINGS = frozenset({Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.UTF8_STRING})
LISTS = frozenset({Tag.ARRAY, Tag.STRUCTURE})

# How `struct` calls a whole number of so many bytes, signed or not.
LETTERS = {(1, False): "B", (1, True): "b", (2, False): "H", (2, True): "h"}
LETTERS |= {(4, False): "I", (4, True): "i", (8, False): "Q", (8, True): "q"}
_NUMBERS = {int(tag): (tag, kind[0], Struct(">" + LETTERS[kind]).unpack_from) for tag, kind in NUMBERS.items()}
_OCTETS = {int(tag): (tag, width) for tag, width in OCTETS.items()}


Content: TypeAlias = "int | bytes | tuple[Data, ...] | None"


class Data(NamedTuple):
    """One value with the tag it was sent with (a named tuple: a profile has tens of thousands).

    `content` is None, an integer (boolean, enum and all whole numbers), octets (strings, floats, dates, bits) or a
    tuple of Data; `bits` is the number of bits of a bit-string.
    """

    tag: Tag
    content: Content
    bits: int = 0

    def __str__(self) -> str:
        shown = self.content.hex() if isinstance(self.content, bytes) else str(self.content)
        return f"{self.tag.name.lower().replace('_', '-')} {shown}"


NULL = Data(Tag.NULL, None)
_made = tuple.__new__  # half the time of the named tuple's own


def number(tag: Tag, value: int) -> Data:
    """A whole number of type `tag`."""
    return Data(tag, value)


def octet_string(octets: bytes) -> Data:
    """An octet-string."""
    return Data(Tag.OCTET_STRING, octets)


def structure(*members: Data) -> Data:
    """A structure of these members."""
    return Data(Tag.STRUCTURE, members)


def array(*members: Data) -> Data:
    """An array of these members."""
    return Data(Tag.ARRAY, members)


def whole(data: Data, where: str) -> int:
    """The whole number that `data` is.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(data.content, int):
        raise Malformed("a whole number", data.tag.name, where)
    return data.content


def octets_of(data: Data, where: str) -> bytes:
    """The octets that `data` is.

    Raises:
        Malformed: it has none.
    """
    if not isinstance(data.content, bytes):
        raise Malformed("octets", data.tag.name, where)
    return data.content


def members_of(data: Data, where: str, count: int | None = None) -> tuple[Data, ...]:
    """The members of an array or structure, which must be `count` where that is given.

    Raises:
        Malformed: it is neither, or has another number of members.
    """
    if not isinstance(data.content, tuple):
        raise Malformed("an array or structure", data.tag.name, where)
    if count is not None and len(data.content) != count:
        raise Malformed(f"{count} members", str(len(data.content)), where)
    return data.content


def from_bytes(octets: bytes) -> Data:
    """The one value that `octets` are, wholly.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    data, end = read(octets, 0)
    if end != len(octets):
        raise Malformed("the end of the data", f"{len(octets) - end} bytes more", "data")
    return data


def read(octets: bytes, at: int, depth: int = 0) -> tuple[Data, int]:
    """The value that begins at `at`, and where it ends.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if at >= len(octets):
        raise CutShort("a tag", "the end", "data")
    tag = octets[at]
    fixed = _NUMBERS.get(tag)
    if fixed is not None:
        end = at + 1 + fixed[1]
        if end > len(octets):
            raise CutShort(f"{fixed[1]} bytes", f"{len(octets) - at - 1}", fixed[0].name)
        return Data(fixed[0], fixed[2](octets, at + 1)[0]), end
    if tag == 0:
        return NULL, at + 1
    if tag in {1, 2}:
        return _read_list(Tag(tag), octets, at + 1, depth)
    return _read_octets(tag, octets, at + 1)


def read_length(octets: bytes, at: int) -> tuple[int, int]:
    """The length at `at` and where it ends: one byte below 128, else a byte that counts the bytes of length.

    Raises:
        CutShort: it is not all there.
        Malformed: more than four bytes of length, or none.
    """
    if at >= len(octets):
        raise CutShort("a length", "the end", "data")
    first = octets[at]
    if first < LONG_FORM:
        return first, at + 1
    count = first - LONG_FORM
    if not 1 <= count <= 4:
        raise Malformed("1 to 4 bytes of length", f"{first:02x}", "data")
    end = at + 1 + count
    if end > len(octets):
        raise CutShort(f"{count} bytes of length", f"{len(octets) - at - 1}", "data")
    return int.from_bytes(octets[at + 1 : end], "big"), end


def take(octets: bytes, at: int, size: int, where: str) -> tuple[bytes, int]:
    """`size` bytes from `at`, and where they end.

    Raises:
        CutShort: they are not all there.
    """
    end = at + size
    if end > len(octets):
        raise CutShort(f"{size} bytes", str(len(octets) - at), where)
    return octets[at:end], end


def to_bytes(data: Data) -> bytes:
    """The encoding of `data`.

    Raises:
        NotSupported: its tag has no encoding here.
        OverflowError: a number does not fit its tag.
    """
    head = bytes((data.tag,))
    content = data.content
    if content is None:
        return head
    if isinstance(content, int):
        width, signed = NUMBERS[data.tag]
        return head + content.to_bytes(width, "big", signed=signed)
    if isinstance(content, tuple):
        return head + _members_bytes(data.tag, content)
    if data.tag in STRINGS:
        return head + length(len(content)) + content
    if data.tag is Tag.BIT_STRING:
        return head + length(data.bits) + content
    if OCTETS.get(data.tag) != len(content):
        raise NotSupported(f"octets of {data.tag.name}", f"{len(content)} bytes", "data")
    return head + content


def _members_bytes(tag: Tag, members: tuple[Data, ...]) -> bytes:
    if tag is Tag.COMPACT_ARRAY:
        from protocols.dlms import compact  # noqa: PLC0415 - it imports this module

        return compact.to_bytes(members)
    return length(len(members)) + b"".join(map(to_bytes, members))


def length(value: int) -> bytes:
    """A length or count in its shortest form."""
    if value < LONG_FORM:
        return bytes((value,))
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes((LONG_FORM + len(octets),)) + octets


def _read_list(tag: Tag, octets: bytes, at: int, depth: int) -> tuple[Data, int]:
    if depth >= MAX_DEPTH:
        raise TooMuch(f"at most {MAX_DEPTH} levels", "more", tag.name)
    count, at = read_length(octets, at)
    if count > len(octets) - at:  # a member has a byte at least
        raise CutShort(f"{count} members", f"{len(octets) - at} bytes", tag.name)
    members = []
    size = len(octets)
    for _ in range(count):
        fixed = _NUMBERS.get(octets[at]) if at < size else None
        if fixed is not None and at + fixed[1] < size:  # most of a profile: worth a way of its own
            members.append(_made(Data, (fixed[0], fixed[2](octets, at + 1)[0], 0)))
            at += 1 + fixed[1]
        else:
            member, at = read(octets, at, depth + 1)
            members.append(member)
    return Data(tag, tuple(members)), at


def _read_octets(code: int, octets: bytes, at: int) -> tuple[Data, int]:
    fixed = _OCTETS.get(code)
    if fixed is not None:
        content, end = take(octets, at, fixed[1], fixed[0].name)
        return Data(fixed[0], content), end
    if code in STRINGS:
        size, at = read_length(octets, at)
        content, end = take(octets, at, size, Tag(code).name)
        return Data(Tag(code), content), end
    if code == Tag.BIT_STRING:
        bits, at = read_length(octets, at)
        content, end = take(octets, at, (bits + 7) // 8, "BIT_STRING")
        return Data(Tag.BIT_STRING, content, bits), end
    if code == Tag.COMPACT_ARRAY:
        from protocols.dlms import compact  # noqa: PLC0415 - it imports this module

        return compact.read(octets, at)
    raise Malformed("a tag of the type Data", f"{code:02x}", "data")
