"""What the body of a push says: attributes, each with its data, and scaler and unit where those stand beside it.

Bodies come in three forms, tried in this order.

* One that lists its own objects: its first member is an array of object definitions, one for each member of the body
  (a push setup that names its own attribute 2 first).
* One whose objects are known beforehand: as many members as the meter's push list has, in its order.
* One that names what it says: a logical name or an attribute descriptor before each value, alone or in pairs, perhaps
  with scaler and unit behind it. A bare name does not say the class: that is known from the meter, follows from a
  scaler, or stays 0 ("not said").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms import words
from protocols.dlms.clock import DOUBTS
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import Malformed, TooMuch
from protocols.dlms.objects import (
    CLOCK,
    CLOCK_TIME,
    LOGICAL_DEVICE_NAME,
    REGISTER,
    VALUE,
    Attribute,
    Meaning,
    ScalerUnit,
    clock_value,
    text_of,
)
from protocols.reading import MeterTime, State, Value

PUSH = 40  # the class of a push setup
PUSH_LIST = Attribute(PUSH, bytes((0, 0, 25, 9, 0, 255)), VALUE)
MAX_ITEMS = 256  # attributes of one push: four leaves
NOT_SAID = 0  # the class of an object that is named by its logical name alone, and not known
WHERE = "push"


@dataclass(frozen=True, slots=True)
class Item:
    """One attribute of a push, its data, and its scaler and unit where the push itself has them."""

    attribute: Attribute
    data: Data
    scale: ScalerUnit | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a meter: its push list (empty where it is not known), and scalers and units of its attributes."""

    listed: tuple[Attribute, ...] = ()
    scales: Mapping[Attribute, ScalerUnit] = field(default_factory=dict)

    def named(self, name: bytes) -> Attribute | None:
        """The attribute whose value an object of this logical name shows; None where none or several are known."""
        known = {*self.listed, *self.scales}
        found = [each for each in known if each.name == name and each.number == VALUE]
        return found[0] if len(found) == 1 else None


def from_text(written: str) -> Attribute:
    """An attribute as it is written in a push list: "3/1-0:1.8.0.255/2".

    Raises:
        ValueError: not of this form.
    """
    kind, name, number = written.split("/")
    return Attribute(int(kind), obis.from_text(name), int(number))


def definitions(data: Data) -> tuple[Attribute, ...]:
    """The attributes that an array of object definitions names (class, logical name, attribute, data index, ...).

    Raises:
        Malformed: it is none.
    """
    return tuple(_definition(each) for each in axdr.members_of(data, "push list"))


def items(body: Data, kept: Kept) -> tuple[Item, ...]:
    """What a push says.

    Raises:
        Malformed: nothing in it has a name, and no list that is kept has as many objects.
        TooMuch: more than any push has.
    """
    members = axdr.members_of(body, WHERE)
    listed = _own_list(members) or (kept.listed if len(kept.listed) == len(members) else ())
    if listed:
        found = [Item(attribute, data) for attribute, data in zip(listed, members, strict=True)]
    else:
        found = list(_named(body, kept))
    if not found:
        wanted = f"a push of {len(kept.listed)} objects" if kept.listed else "a push that names its objects"
        raise Malformed(wanted, f"{len(members)} members without names", WHERE)
    if len(found) > MAX_ITEMS:
        raise TooMuch(f"at most {MAX_ITEMS} attributes", str(len(found)), WHERE)
    return tuple(each for each in found if each.attribute.class_id != PUSH)


def values(found: Sequence[Item], kept: Kept) -> tuple[Value, ...]:
    """The values of a push; a register whose scaler nobody knows is UNKNOWN and feeds no billing."""
    return tuple(_value(each, kept) for each in found)


def unknown(found: Sequence[Item], kept: Kept) -> set[bytes]:
    """The logical names of objects whose class or scaler neither the push nor what is kept says."""
    return {
        each.attribute.name
        for each in found
        if each.scale is None
        and (each.attribute.class_id == NOT_SAID or (each.attribute.scaler and each.attribute not in kept.scales))
    }


def time_of(found: Sequence[Item]) -> MeterTime | None:
    """The first time of the meter's clock in a push, where it is valid."""
    shown = _clock(found)
    return shown.time if shown is not None and shown.state is State.OK else None


def is_doubtful(found: Sequence[Item]) -> bool:
    """Whether the meter says of that time that it may be wrong."""
    shown = _clock(found)
    return shown is not None and bool((shown.status or 0) & DOUBTS)


def _clock(found: Sequence[Item]) -> Value | None:
    """The first that a push shows of the meter's clock."""
    clocks = (each for each in found if each.attribute.class_id == CLOCK and each.attribute.number == VALUE)
    first = next(clocks, None)
    return None if first is None else clock_value(first.attribute, first.data)


def name_of(found: Sequence[Item]) -> str | None:
    """The logical device name that a push says."""
    texts = [text_of(each.data) for each in found if each.attribute.name == LOGICAL_DEVICE_NAME.name]
    return texts[0] if texts else None


def strings(body: Data) -> Iterator[bytes]:
    """Every string of a body, however deep: among them may be who sends it."""
    if isinstance(body.content, tuple):
        for each in body.content:
            yield from strings(each)
    elif body.tag in axdr.STRINGS and isinstance(body.content, bytes):
        yield body.content


def _definition(data: Data) -> Attribute:
    members = axdr.members_of(data, "push list")
    if len(members) < 3:
        raise Malformed("class, logical name and attribute", f"{len(members)} members", "push list")
    kind, name, number = members[:3]
    octets = axdr.octets_of(name, "push list")
    if kind.tag is not Tag.LONG_UNSIGNED or number.tag is not Tag.INTEGER or len(octets) != obis.OBIS:
        raise Malformed("class, logical name and attribute", str(data.tag.name), "push list")
    return Attribute(axdr.whole(kind, "class"), octets, axdr.whole(number, "attribute"))


def _own_list(members: Sequence[Data]) -> tuple[Attribute, ...]:
    """The definitions that stand first in a body, where there is one for each member."""
    if len(members) < 2 or members[0].tag is not Tag.ARRAY:
        return ()
    try:
        listed = definitions(members[0])
    except Malformed:
        return ()
    return listed if len(listed) == len(members) else ()


def _named(data: Data, kept: Kept) -> Iterator[Item]:
    """Names and what stands behind them, in order, however deep; a value is no list."""
    if not isinstance(data.content, tuple):
        return
    members, number = data.content, 0
    while number < len(members):
        attribute = _name(members[number], kept)
        behind = members[number + 1] if number + 1 < len(members) else None
        if attribute is None or behind is None or isinstance(behind.content, tuple) or _is_definition(members):
            yield from _named(members[number], kept)
            number += 1
            continue
        scale = _scale(members[number + 2]) if number + 2 < len(members) else None
        yield Item(_with_class(attribute, scale), behind, scale)
        number += 2 if scale is None else 3


def _is_definition(members: Sequence[Data]) -> bool:
    """Whether class, logical name and attribute stand here: the number behind that name is no value."""
    return len(members) >= 3 and members[0].tag is Tag.LONG_UNSIGNED and members[2].tag is Tag.INTEGER


def _name(data: Data, kept: Kept) -> Attribute | None:
    if data.tag is Tag.STRUCTURE and isinstance(data.content, tuple) and len(data.content) == 3:
        try:
            return _definition(data)
        except Malformed:
            return None
    if data.tag is Tag.OCTET_STRING and isinstance(data.content, bytes) and words.is_name(data.content):
        if data.content == CLOCK_TIME.name:
            return CLOCK_TIME
        if data.content == LOGICAL_DEVICE_NAME.name:
            return LOGICAL_DEVICE_NAME
        return kept.named(data.content) or Attribute(NOT_SAID, data.content, VALUE)
    return None


def _with_class(attribute: Attribute, scale: ScalerUnit | None) -> Attribute:
    """What has a scaler is a register."""
    return replace(attribute, class_id=REGISTER) if scale is not None and attribute.class_id == NOT_SAID else attribute


def _scale(data: Data) -> ScalerUnit | None:
    try:
        return ScalerUnit.from_data(data)
    except Malformed:
        return None


def _value(item: Item, kept: Kept) -> Value:
    attribute = item.attribute
    if attribute.class_id == CLOCK and attribute.number == VALUE:
        return clock_value(attribute, item.data)
    scale = item.scale
    if scale is None and attribute.scaler is not None:
        scale = kept.scales.get(attribute)
    meaning = Meaning.of(attribute, scale)
    is_number = isinstance(item.data.content, int) or item.data.tag in axdr.OCTETS
    if attribute.class_id == NOT_SAID and is_number:
        meaning = replace(meaning, known=False)  # a register for all we know: its scaler is missing
    return meaning.value(item.data)
