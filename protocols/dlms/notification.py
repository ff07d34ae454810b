"""What a meter sends unasked (Green Book 9.4.5.10 and 9.4.5.11): data-notification (push) and event-notification.

Some meters write attribute descriptors (class 2, logical name 6, attribute 1) without tags where data should be, each
as the first of a structure of two. A body that is no data is read once more with such descriptors; what holds wholly
counts, and `described` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import data as axdr
from protocols.dlms.clock import SIZE
from protocols.dlms.data import LISTS, MAX_DEPTH, Data, Tag, length, read_length, take
from protocols.dlms.faults import Malformed, TooMuch
from protocols.dlms.objects import Attribute
from protocols.errors import MeterError

DATA_NOTIFICATION, EVENT_NOTIFICATION = 0x0F, 0xC2
INVOKE = 4  # bytes: 24 bits of number, and the upper eight that say how it is sent
DESCRIPTOR = 9  # bytes: class 2, logical name 6, attribute 1
CONFIRMED, HIGH_PRIORITY = 0x4000_0000, 0x8000_0000  # bits of the long invoke-id: an answer is wanted; in a hurry
INVOKE_MASK = 0x00FF_FFFF


@dataclass(frozen=True, slots=True)
class DataNotification:
    """A push: `invoke` with all its 32 bits, the time of sending (12 bytes or none), and what is sent."""

    invoke: int
    moment: bytes
    body: Data
    described: bool = False

    @property
    def number(self) -> int:
        """The invoke-id alone."""
        return self.invoke & INVOKE_MASK

    @property
    def confirmed(self) -> bool:
        """Whether the meter wants an answer."""
        return bool(self.invoke & CONFIRMED)

    def to_bytes(self) -> bytes:
        """The APDU; descriptors are written as the structures that they were read as."""
        head = bytes((DATA_NOTIFICATION,)) + self.invoke.to_bytes(INVOKE, "big")
        return head + length(len(self.moment)) + self.moment + axdr.to_bytes(self.body)

    @classmethod
    def from_bytes(cls, octets: bytes) -> DataNotification:
        """The data-notification that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        where = "data-notification"
        invoke, at = take(octets, _after(octets, DATA_NOTIFICATION, where), INVOKE, where)
        moment, at = read_moment(octets, at, where)
        body, described = read_body(octets, at)
        return cls(int.from_bytes(invoke, "big"), moment, body, described)


@dataclass(frozen=True, slots=True)
class EventNotification:
    """An event: the time (12 bytes or none), the attribute that changed, and its value."""

    moment: bytes
    attribute: Attribute
    value: Data

    def to_bytes(self) -> bytes:
        """The APDU."""
        asked = self.attribute
        time = b"\x01" + length(len(self.moment)) + self.moment if self.moment else b"\x00"
        name = asked.class_id.to_bytes(2, "big") + asked.name + asked.number.to_bytes(1, "big", signed=True)
        return bytes((EVENT_NOTIFICATION,)) + time + name + axdr.to_bytes(self.value)

    @classmethod
    def from_bytes(cls, octets: bytes) -> EventNotification:
        """The event-notification that `octets` are.

        Raises:
            MeterError: a named one for each thing that is wrong.
        """
        where = "event-notification"
        present, at = take(octets, _after(octets, EVENT_NOTIFICATION, where), 1, where)
        moment, at = read_moment(octets, at, where) if present[0] else (b"", at)
        attribute, at = read_attribute(octets, at, where)
        value, end = axdr.read(octets, at)
        if end != len(octets):
            raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", where)
        return cls(moment, attribute, value)


def read_moment(octets: bytes, at: int, where: str) -> tuple[bytes, int]:
    """The optional date-time at `at` (a length, then 12 bytes or none), and where it ends.

    Raises:
        CutShort: it is not all there.
        Malformed: another length.
    """
    tag = axdr.Tag.OCTET_STRING
    tagged = octets[at : at + 2] == bytes((tag, SIZE))  # some meters write the tag of an octet-string too
    size, at = read_length(octets, at + tagged)
    if size not in {0, SIZE}:
        raise Malformed(f"a date-time of {SIZE} bytes or none", f"{size} bytes", where)
    return take(octets, at, size, where)


def read_attribute(octets: bytes, at: int, where: str) -> tuple[Attribute, int]:
    """The attribute descriptor at `at`, and where it ends.

    Raises:
        CutShort: it is not all there.
    """
    found, end = take(octets, at, DESCRIPTOR, where)
    return Attribute(int.from_bytes(found[:2], "big"), found[2:8], int.from_bytes(found[8:], "big", signed=True)), end


def read_body(octets: bytes, at: int) -> tuple[Data, bool]:
    """The data from `at` to the end, and whether they hold descriptors without tags.

    Raises:
        MeterError: a named one for each thing that is wrong with it as data.
    """
    try:
        return axdr.from_bytes(octets[at:]), False
    except MeterError:
        try:
            body, end = _read_described(octets, at, 0)
        except MeterError:
            end = -1
        if end != len(octets):
            raise  # as data it is what it should be: that error is told
        return body, True


def is_descriptor(octets: bytes, at: int, count: int) -> bool:
    """Whether a descriptor without tag stands first in a structure of `count` whose first member begins at `at`."""
    return count == 2 and octets[at : at + 1] == b"\0" and octets[at + 1 : at + 2] not in {b"", b"\0"}


def _read_described(octets: bytes, at: int, depth: int) -> tuple[Data, int]:
    if octets[at : at + 1] not in {bytes((each,)) for each in LISTS}:
        return axdr.read(octets, at, depth)
    if depth >= MAX_DEPTH:
        raise TooMuch(f"at most {MAX_DEPTH} levels", "more", "data-notification")
    tag = Tag(octets[at])
    count, at = read_length(octets, at + 1)
    take(octets, at, count, "data-notification")  # a member takes a byte at least
    members: list[Data] = []
    for number in range(count):
        if tag is Tag.STRUCTURE and not number and is_descriptor(octets, at, count):
            attribute, at = read_attribute(octets, at, "data-notification")
            member = descriptor(attribute)
        else:
            member, at = _read_described(octets, at, depth + 1)
        members.append(member)
    return Data(tag, tuple(members)), at


def descriptor(attribute: Attribute) -> Data:
    """An attribute as a structure of class, name and number."""
    return axdr.structure(
        Data(Tag.LONG_UNSIGNED, attribute.class_id),
        axdr.octet_string(attribute.name),
        Data(Tag.INTEGER, attribute.number),
    )


def _after(octets: bytes, tag: int, where: str) -> int:
    """Where what follows the tag begins."""
    if octets[:1] != bytes((tag,)):
        raise Malformed(f"tag {tag:02x}", octets[:1].hex() or "nothing", where)
    return 1
