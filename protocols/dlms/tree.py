"""Data explained: every byte of it, the value as a tree, and the registers that a list of names and values shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocols import obis
from protocols.dlms import compact, words
from protocols.dlms import data as axdr
from protocols.dlms.binary import MAX_EXPONENT
from protocols.dlms.data import LISTS, MAX_DEPTH, Data, Tag
from protocols.dlms.faults import TooMuch
from protocols.dlms.notification import DESCRIPTOR, descriptor, is_descriptor, read_attribute
from protocols.dlms.objects import Attribute
from protocols.dlms.parts import Walk
from protocols.dlms.units import UNITS
from protocols.reading import Scaled


@dataclass(frozen=True, slots=True)
class ShownData:
    """One value in words: its type, what it says (None of a list), its octets in hex where it has any, its members."""

    type: str
    value: str | None
    raw: str | None = None
    members: tuple[ShownData, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownRegister:
    """A logical name with the value beside it, and its unit where scaler and unit stand there too."""

    obis: str
    value: str
    unit: str


def walk(steps: Walk, described: bool = False, depth: int = 0) -> Data:
    """The data where the walk stands, each byte noted; `described` says that descriptors without tags stand in it.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    tag = steps.peek()
    if tag not in {bytes((each,)) for each in LISTS}:
        found, end = axdr.read(steps.octets, steps.at, depth)
        if found.tag is Tag.COMPACT_ARRAY:
            _compact(steps, found, end)
        else:
            said = f"{words.type_name(found.tag)}, {words.value(found)}"
            steps.take(end - steps.at, said if found.tag else "null-data")
        return found
    if depth >= MAX_DEPTH:
        raise TooMuch(f"at most {MAX_DEPTH} levels", "more", "data")
    return _list(steps, Tag(tag[0]), described, depth)


def shown(data: Data) -> ShownData:
    """A value in words."""
    name = words.type_name(data.tag)
    if isinstance(data.content, tuple):
        return ShownData(name, None, None, tuple(map(shown, data.content)))
    raw = data.content.hex() if isinstance(data.content, bytes) else None
    return ShownData(name, None if data.content is None else words.value(data), raw)


def registers(data: Data) -> Iterator[ShownRegister]:
    """Names and values that stand beside each other, in order, however deep."""
    if not isinstance(data.content, tuple):
        return
    name: str | None = None
    for number, each in enumerate(data.content):
        if name is not None and not isinstance(each.content, tuple) and not _refers(data.content, number):
            after = data.content[number + 1] if number + 1 < len(data.content) else axdr.NULL
            value, unit = _scaled(each, scaler(after))
            yield ShownRegister(name, value, unit)
            name = None
            continue
        name = _name(each)
        if name is None:
            yield from registers(each)


def scaler(data: Data) -> tuple[int, int] | None:
    """The power of ten and the code of the unit; None where it is no structure of an integer and an enum."""
    if data.tag is not Tag.STRUCTURE or not isinstance(data.content, tuple) or len(data.content) != 2:
        return None
    exponent, unit = data.content
    if exponent.tag is not Tag.INTEGER or unit.tag is not Tag.ENUM:
        return None
    return axdr.whole(exponent, "scaler"), axdr.whole(unit, "unit")


def attribute(asked: Attribute) -> str:
    """An attribute in words."""
    kind = words.CLASSES.get(asked.class_id)
    return f"class {asked.class_id}{f' ({kind})' if kind else ''}, {obis.shown(asked.name)}, attribute {asked.number}"


def _compact(steps: Walk, found: Data, end: int) -> None:
    """The parts of a compact array that holds: its type, then its elements without their tags."""
    members = axdr.members_of(found, "compact-array")
    steps.take(1, f"compact-array of {len(members)}")
    kind, behind = compact.read_type(steps.octets, steps.at)
    steps.take(behind - steps.at, f"each element: {_type(kind)}")
    steps.length("elements")
    each = f", the first: {_brief(members[0])}" if members else ""
    steps.take(end - steps.at, f"elements{each}")


def _type(kind: compact.Type) -> str:
    name = words.type_name(kind.tag)
    if kind.tag is Tag.ARRAY:
        return f"{name} of {kind.count} {_type(kind.members[0])}"
    return f"{name} of {', '.join(map(_type, kind.members))}" if kind.members else name


def _brief(data: Data) -> str:
    """A value in one line."""
    if isinstance(data.content, tuple):
        return f"[{'; '.join(map(_brief, data.content))}]"
    return words.value(data)


def _list(steps: Walk, tag: Tag, described: bool, depth: int) -> Data:
    start, index = steps.at, len(steps.parts)
    count, end = axdr.read_length(steps.octets, start + 1)
    name = words.type_name(tag)
    steps.take(end - start, f"{name} of {count}")
    axdr.take(steps.octets, steps.at, count, tag.name)  # a member takes a byte at least
    members: list[Data] = []
    steps.depth += 1
    for number in range(count):
        here = described and tag is Tag.STRUCTURE and not number
        if here and is_descriptor(steps.octets, steps.at, count):
            asked, _ = read_attribute(steps.octets, steps.at, "descriptor")
            steps.take(DESCRIPTOR, f"descriptor without a tag, {attribute(asked)}")
            members.append(descriptor(asked))
        else:
            members.append(walk(steps, described, depth + 1))
    steps.depth -= 1
    found = Data(tag, tuple(members))
    steps.say_of(index, f"{name} of {count}{_meaning(found)}")
    return found


def _meaning(found: Data) -> str:
    """What a structure says as a whole."""
    scale = scaler(found)
    if scale is not None:
        return f": times 10^{scale[0]}, {UNITS.get(scale[1], f'unit {scale[1]}') or 'no unit'}"
    few = found.tag is Tag.STRUCTURE and len(axdr.members_of(found, "structure")) <= 3
    here = list(registers(found)) if few else []
    return f": {here[0].obis} = {here[0].value} {here[0].unit}".rstrip() if len(here) == 1 else ""


def _name(data: Data) -> str | None:
    """The logical name that stands before a value: an octet-string, or in a descriptor or structure of an attribute."""
    if isinstance(data.content, tuple) and data.tag is Tag.STRUCTURE and len(data.content) == 3:
        kind, inner, number = data.content
        if isinstance(kind.content, int) and isinstance(number.content, int) and _name(inner):
            return _name(inner)
    if data.tag is Tag.OCTET_STRING and isinstance(data.content, bytes) and words.is_name(data.content):
        return obis.shown(data.content)
    return None


def _refers(members: tuple[Data, ...], number: int) -> bool:
    """Whether the member is the number of an attribute behind class and name, and no value."""
    return members[number].tag is Tag.INTEGER and number > 1 and members[number - 2].tag is Tag.LONG_UNSIGNED


def _scaled(data: Data, scale: tuple[int, int] | None) -> tuple[str, str]:
    if scale is None or not isinstance(data.content, int):
        return words.value(data), ""
    exponent, unit = scale
    if abs(exponent) > MAX_EXPONENT:
        return f"{data.content}e{exponent}", UNITS.get(unit, f"unit {unit}")
    return str(Scaled(data.content, exponent)), UNITS.get(unit, f"unit {unit}")
