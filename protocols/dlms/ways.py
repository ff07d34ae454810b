"""How a meter departs from the standard, where it must be told so, and what puts that right at its association.

What is asked is written as the meter takes it, and what it says of its offset from UTC is turned to the standard's sign
before anything else sees it; the octets of its answers stay as they came. The calendar of its clock is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.clock import ANY, NO_DEVIATION
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import ColumnsDiffer
from protocols.dlms.get import Selection
from protocols.dlms.listing import ASSOCIATION, CURRENT
from protocols.dlms.objects import CAPTURE_TIME, CLOCK, PROFILE, VALUE, Attribute
from protocols.dlms.profile import BUFFER, CAPTURE_OBJECTS, RANGE, Column

RANGE_MEMBERS = 4  # restricting object, from, to, columns


class RangeEnds(Enum):
    """What the ends of a range of rows say."""

    OFFSET = "offset"  # the offset from UTC, as the standard has it
    LOCAL = "local"  # what the meter's clock shows alone (Gurux/gurux.dlms.java#25)


class OffsetSign(Enum):
    """Which sign the offset has in what the meter says."""

    STANDARD = "standard"  # from local time to UTC: -60 is an hour ahead of UTC (Blue Book 4.1.6.1)
    REVERSED = "reversed"  # from UTC to local time (UtilitechAS/amsreader-firmware#809)


@dataclass(frozen=True, slots=True)
class Ways:
    """One meter's ways; `association` is the logical name of the association object (u9n/dlms-cosem#70)."""

    range_ends: RangeEnds = RangeEnds.OFFSET
    offset_sign: OffsetSign = OffsetSign.STANDARD
    association: bytes = CURRENT

    @property
    def turns(self) -> bool:
        """Whether offsets have the other sign."""
        return self.offset_sign is OffsetSign.REVERSED

    @property
    def other_sign(self) -> OffsetSign:
        """The sign that is not this meter's."""
        return OffsetSign.STANDARD if self.turns else OffsetSign.REVERSED

    def named(self, attribute: Attribute) -> Attribute:
        """The attribute as this meter names it."""
        if attribute.class_id == ASSOCIATION and attribute.name == CURRENT:
            return replace(attribute, name=self.association)
        return attribute

    def selected(self, selection: Selection | None) -> Selection | None:
        """The selection as this meter takes it."""
        if selection is None or selection.selector != RANGE or self == STANDARD:
            return selection
        restricting, first, last, wanted = axdr.members_of(selection.parameters, "range", RANGE_MEMBERS)
        ends = (self._end(each) for each in (first, last))
        return Selection(RANGE, axdr.structure(restricting, *ends, wanted))

    def turned(self, attribute: Attribute, value: Data, captured: Sequence[Column] = ()) -> Data:
        """What an attribute holds, with offsets of the other sign: said by the meter, or said to it.

        Of a buffer it is done in the columns that are times; these are `captured`.

        Raises:
            ColumnsDiffer: a row has other columns.
        """
        if not self.turns:
            return value
        if attribute.class_id == PROFILE and attribute.number == BUFFER:
            times = [is_time(each.attribute) for each in captured]
            rows = axdr.members_of(value, "profile buffer")
            return Data(value.tag, tuple(_row(each, times) for each in rows))
        return _time(value) if is_time(attribute) else value

    def _end(self, end: Data) -> Data:
        if self.range_ends is RangeEnds.LOCAL:
            return _time(end, local=True)
        return _time(end) if self.turns else end


STANDARD = Ways()


def is_time(attribute: Attribute) -> bool:
    """Whether an attribute holds a time of the meter's clock: what it shows, or when a maximum was."""
    shown = attribute.class_id == CLOCK and attribute.number == VALUE
    return shown or CAPTURE_TIME.get(attribute.class_id) == attribute.number


def captures(name: bytes) -> Attribute:
    """What says which columns a profile has."""
    return Attribute(PROFILE, name, CAPTURE_OBJECTS)


def has_offset(selection: Selection | None) -> bool:
    """Whether the ends of a range say their offset from UTC."""
    if selection is None or selection.selector != RANGE:
        return False
    ends = axdr.members_of(selection.parameters, "range", RANGE_MEMBERS)[1:3]
    shown = [clocks.from_data(each, "range").time for each in ends]
    return any(each is not None and each.deviation_min is not None for each in shown)


def _row(row: Data, times: Sequence[bool]) -> Data:
    cells = axdr.members_of(row, "profile row")
    if len(cells) != len(times):
        raise ColumnsDiffer(f"{len(times)} columns", str(len(cells)), "profile row")
    return Data(row.tag, tuple(_time(each) if timed else each for each, timed in zip(cells, times, strict=True)))


def _time(moment: Data, *, local: bool = False) -> Data:
    """A time with its offset of the other sign, or without one; what is no time as it is."""
    octets = moment.content
    if (
        moment.tag not in {Tag.OCTET_STRING, Tag.DATE_TIME}
        or not isinstance(octets, bytes)
        or len(octets) != clocks.SIZE
    ):
        return moment
    deviation, status = int.from_bytes(octets[9:11], "big", signed=True), octets[11]
    if local:
        deviation, status = NO_DEVIATION, ANY
    elif deviation != NO_DEVIATION:
        deviation = -deviation
    return Data(moment.tag, octets[:9] + deviation.to_bytes(2, "big", signed=True) + bytes((status,)))
