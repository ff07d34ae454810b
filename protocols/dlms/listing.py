"""The object list of an association (class 15, attribute 2, Blue Book 4.4.4): what a client may see of a meter."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import data as axdr
from protocols.dlms.data import SHOWN, Data, Tag
from protocols.dlms.faults import Malformed, TooMuch
from protocols.dlms.objects import VALUE, Attribute

ASSOCIATION = 15
CURRENT = bytes((0, 0, 40, 0, 0, 255))  # the association that asks
OBJECT_LIST = Attribute(ASSOCIATION, CURRENT, VALUE)
MAX_OBJECTS = 10_000  # of one list: the longest that was seen in the field has about 1,500
READ = 1  # access mode: read only


@dataclass(frozen=True, slots=True)
class Right:
    """One attribute or method and its access mode, as the meter writes it (its meaning depends on the version)."""

    number: int
    mode: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One object: class, version and logical name, and what may be done with it; empty where the meter does not say."""

    class_id: int
    version: int
    name: bytes
    attributes: tuple[Right, ...] = ()
    methods: tuple[Right, ...] = ()

    def to_data(self) -> Data:
        """The element of the list."""
        attributes = (_right(each, Data(Tag.ENUM, each.mode), axdr.NULL) for each in self.attributes)
        methods = (_right(each, Data(Tag.ENUM, each.mode)) for each in self.methods)
        return axdr.structure(
            Data(Tag.LONG_UNSIGNED, self.class_id),
            Data(Tag.UNSIGNED, self.version),
            axdr.octet_string(self.name),
            axdr.structure(axdr.array(*attributes), axdr.array(*methods)),
        )


def objects(data: Data) -> tuple[Listed, ...]:
    """The objects that a list names.

    Raises:
        Malformed: not of this form.
        TooMuch: more than any meter has.
    """
    members = axdr.members_of(data, "object list")
    if len(members) > MAX_OBJECTS:
        raise TooMuch(f"at most {MAX_OBJECTS} objects", str(len(members)), "object list")
    return tuple(map(_listed, members))


def _listed(data: Data) -> Listed:
    where = "object list"
    class_id, version, name, rights = axdr.members_of(data, where, 4)
    octets = axdr.octets_of(name, where)
    if len(octets) != 6:
        raise Malformed("a logical name of 6 bytes", f"{len(octets)}: {octets[:SHOWN].hex()}", where)
    attributes, methods = _rights(rights)
    return Listed(axdr.whole(class_id, where), axdr.whole(version, where), octets, attributes, methods)


def _rights(data: Data) -> tuple[tuple[Right, ...], tuple[Right, ...]]:
    if data.tag is Tag.NULL:
        return (), ()
    of_attributes, of_methods = axdr.members_of(data, "access rights", 2)
    return _each(of_attributes), _each(of_methods)


def _each(data: Data) -> tuple[Right, ...]:
    if data.tag is Tag.NULL:
        return ()
    found = []
    for each in axdr.members_of(data, "access rights"):
        members = axdr.members_of(each, "access right")
        if len(members) < 2:  # selectors follow, of an attribute that has some
            raise Malformed("a number and a mode", f"{len(members)} members", "access right")
        found.append(Right(axdr.whole(members[0], "access right"), axdr.whole(members[1], "access right")))
    return tuple(found)


def _right(right: Right, *rest: Data) -> Data:
    return axdr.structure(Data(Tag.INTEGER, right.number), *rest)
