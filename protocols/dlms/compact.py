"""The compact array (type Data, tag 19): one description of the type, then the elements without tags.

Rules: what an element takes at least is known from its type before anything is made of it; a type whose elements take
no bytes, or that makes many values out of few bytes (arrays of null-data), is refused; nesting is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import data as axdr
from protocols.dlms.data import LISTS, MAX_DEPTH, NULL, NUMBERS, OCTETS, Data, Tag, length, read_length, take
from protocols.dlms.faults import CutShort, Malformed, NotSupported, TooMuch

COUNT = 2  # bytes of the number of elements in the type of an array
MAX_VALUES = 8  # made of one byte: a row of null-data and one short register
MAX_TYPE = 1_024  # bytes of a type: 64 columns, each a structure of its own, take less
_TAGS = {int(tag): tag for tag in Tag if tag is not Tag.COMPACT_ARRAY}  # none in another


@dataclass(frozen=True, slots=True)
class Type:
    """What an element is: a tag; of an array how many elements of one type, of a structure the types of its members."""

    tag: Tag
    members: tuple[Type, ...] = ()
    count: int = 0

    @property
    def least(self) -> int:
        """The bytes that such a value takes at least."""
        if self.tag is Tag.ARRAY:
            return self.count * self.members[0].least
        if self.tag is Tag.STRUCTURE:
            return sum(each.least for each in self.members)
        if self.tag in NUMBERS:
            return NUMBERS[self.tag][0]
        return OCTETS.get(self.tag, 0 if self.tag is Tag.NULL else 1)

    @property
    def values(self) -> int:
        """How many values are made of one."""
        if self.tag is Tag.ARRAY:
            return 1 + self.count * self.members[0].values
        return 1 + sum(each.values for each in self.members)

    def to_bytes(self) -> bytes:
        """The type's description."""
        head = bytes((self.tag,))
        if self.tag is Tag.ARRAY:
            return head + self.count.to_bytes(COUNT, "big") + self.members[0].to_bytes()
        if self.tag is Tag.STRUCTURE:
            return head + length(len(self.members)) + b"".join(each.to_bytes() for each in self.members)
        return head


def read(octets: bytes, at: int) -> tuple[Data, int]:
    """The compact array whose type begins at `at` (behind the tag), and where it ends.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, at = read_type(octets[: at + MAX_TYPE], at)
    size, at = read_length(octets, at)
    contents, end = take(octets, at, size, "compact-array")
    if not contents:
        return Data(Tag.COMPACT_ARRAY, ()), end
    least = kind.least
    if not least:
        raise Malformed("elements that take bytes", f"{size} bytes of null-data", "compact-array")
    if least > size:
        raise CutShort(f"{least} bytes", str(size), "compact-array")
    if kind.values > MAX_VALUES * least:
        raise TooMuch(f"at most {MAX_VALUES} values of a byte", f"{kind.values} of {least}", "compact-array")
    elements = []
    inside = 0
    while inside < size:
        element, inside = _value(kind, contents, inside)
        elements.append(element)
    return Data(Tag.COMPACT_ARRAY, tuple(elements)), end


def read_type(octets: bytes, at: int, depth: int = 1) -> tuple[Type, int]:
    """The type that is described at `at`, and where its description ends.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    code, at = take(octets, at, 1, "type of a compact-array")
    tag = _TAGS.get(code[0])
    if tag is None:
        raise Malformed("a type of the type Data", code.hex(), "type of a compact-array")
    if tag not in LISTS:
        return Type(tag), at
    if depth >= MAX_DEPTH:
        raise TooMuch(f"at most {MAX_DEPTH} levels", "more", "type of a compact-array")
    if tag is Tag.ARRAY:
        count, at = take(octets, at, COUNT, "type of a compact-array")
        inner, at = read_type(octets, at, depth + 1)
        return Type(tag, (inner,), int.from_bytes(count, "big")), at
    number, at = read_length(octets, at)
    take(octets, at, number, "type of a compact-array")  # a type takes a byte at least
    members = []
    for _ in range(number):
        member, at = read_type(octets, at, depth + 1)
        members.append(member)
    return Type(tag, tuple(members)), at


def to_bytes(members: tuple[Data, ...]) -> bytes:
    """Type and elements (behind the tag).

    Raises:
        NotSupported: the elements are not of one type.
    """
    kind = _common(members)
    contents = b"".join(map(_bare, members))
    return kind.to_bytes() + length(len(contents)) + contents


def _value(kind: Type, octets: bytes, at: int) -> tuple[Data, int]:
    tag = kind.tag
    if tag is Tag.NULL:
        return NULL, at
    if tag in LISTS:
        members = []
        for inner in kind.members * kind.count if tag is Tag.ARRAY else kind.members:
            member, at = _value(inner, octets, at)
            members.append(member)
        return Data(tag, tuple(members)), at
    if tag in NUMBERS:
        width, signed = NUMBERS[tag]
        content, end = take(octets, at, width, tag.name)
        return Data(tag, int.from_bytes(content, "big", signed=signed)), end
    if tag in OCTETS:
        content, end = take(octets, at, OCTETS[tag], tag.name)
        return Data(tag, content), end
    size, at = read_length(octets, at)
    is_bits = tag is Tag.BIT_STRING
    content, end = take(octets, at, (size + 7) // 8 if is_bits else size, tag.name)
    return Data(tag, content, size if is_bits else 0), end


def _common(members: tuple[Data, ...]) -> Type:
    """The one type of all members; null-data where there is none."""
    kinds = {_type(each) for each in members}
    if len(kinds) > 1:
        raise NotSupported("elements of one type", f"{len(kinds)} types", "compact-array")
    return kinds.pop() if kinds else Type(Tag.NULL)


def _type(data: Data) -> Type:
    if data.tag is Tag.COMPACT_ARRAY:
        raise NotSupported("elements that are no compact-array", "one", "compact-array")
    if not isinstance(data.content, tuple):
        return Type(data.tag)
    if data.tag is Tag.ARRAY:
        return Type(data.tag, (_common(data.content),), len(data.content))
    return Type(data.tag, tuple(map(_type, data.content)))


def _bare(data: Data) -> bytes:
    """A value without its tags."""
    if isinstance(data.content, tuple):
        return b"".join(map(_bare, data.content))
    return axdr.to_bytes(data)[1:]
