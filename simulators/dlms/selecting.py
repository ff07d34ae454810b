"""Which rows and columns of a profile's buffer a client asks for: by time, or by their place."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms.data import Data
from protocols.dlms.faults import Malformed
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.objects import CLOCK
from protocols.dlms.profile import ENTRY, RANGE, Column
from protocols.errors import MeterError
from protocols.reading import MeterTime

HOUR, HUNDREDTHS = 5, 8  # places in a date-time
DAY_START, DAY_END = bytes((0, 0, 0)), bytes((23, 59, 59))


def selected(
    times: Sequence[MeterTime], captured: tuple[Column, ...], selection: Selection | None
) -> tuple[list[int], list[int]] | AccessResult:
    """The rows, by their place among `times`, and the columns that are asked for; or why they are refused."""
    if selection is None:
        return list(range(len(times))), list(range(len(captured)))
    try:
        if selection.selector == RANGE:
            first, last, places = by_range(selection.parameters, captured)
            return [n for n, each in enumerate(times) if not_before(each, first) and not_before(last, each)], places
        if selection.selector == ENTRY:
            rows, places = by_entries(selection.parameters, len(times), len(captured))
            return list(range(len(times)))[rows], places
    except MeterError:
        return AccessResult.TYPE_UNMATCHED
    return AccessResult.SCOPE_OF_ACCESS_VIOLATED


def by_range(parameters: Data, captured: tuple[Column, ...]) -> tuple[MeterTime, MeterTime, list[int]]:
    """From and to of a range over the clock, and the places of the columns that are wanted."""
    restricting, first, last, wanted = axdr.members_of(parameters, "range", 4)
    if axdr.whole(axdr.members_of(restricting, "range", 4)[0], "range") != CLOCK:
        raise Malformed("the clock as restricting object", "another", "range")
    ends = [clocks.from_data(_filled(each, edge), "range").time for each, edge in ((first, DAY_START), (last, DAY_END))]
    if ends[0] is None or ends[1] is None:
        raise Malformed("two whole times", "less", "range")
    chosen = axdr.members_of(wanted, "range")
    places = [place for place, each in enumerate(captured) if not chosen or each.to_data() in chosen]
    if chosen and len(places) != len(chosen):
        raise Malformed("columns that are captured", "another", "range")
    return ends[0], ends[1], places


def _filled(end: Data, edge: bytes) -> Data:
    """The end of a range with what it leaves open of the time of day: the day's first, or last, moment."""
    if not isinstance(end.content, bytes) or len(end.content) != clocks.SIZE:
        return end
    day = end.content[HOUR:HUNDREDTHS]
    filled = bytes(whole if each == clocks.ANY else each for each, whole in zip(day, edge, strict=True))
    return Data(end.tag, end.content[:HOUR] + filled + end.content[HUNDREDTHS:])


def by_entries(parameters: Data, rows: int, columns: int) -> tuple[slice, list[int]]:
    """The rows and the places of the columns that an entry selection asks for."""
    numbers = [axdr.whole(each, "entries") for each in axdr.members_of(parameters, "entries", 4)]
    first, last, first_column, last_column = numbers
    if not first or not first_column:
        raise Malformed("entries and columns from 1 on", "0", "entries")
    return slice(first - 1, last or rows), list(range(first_column - 1, min(last_column or columns, columns)))


def narrowed(row: Data, places: list[int]) -> Data:
    """A row with the columns that are wanted."""
    cells = axdr.members_of(row, "row")
    return axdr.structure(*(cells[place] for place in places))


def not_before(later: MeterTime, earlier: MeterTime) -> bool:
    """Order by instant where both have a deviation, else as the clock shows them."""
    instants = clocks.utc_ms(later), clocks.utc_ms(earlier)
    if instants[0] is None or instants[1] is None:
        return later.seconds >= earlier.seconds
    return instants[0] >= instants[1]
