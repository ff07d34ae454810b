"""Rows as a technician asks for them, of meters with habits of their own: asked directly, without a line between."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gateway_parts import NOW_MS

from gateway import excerpt
from gateway.excerpt import Wish
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import profile
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import AccessResult, Refused, Selection
from protocols.dlms.objects import CLOCK_TIME, REGISTER, Attribute
from protocols.dlms.profile import Column, Row
from protocols.reading import METER_EPOCH, MeterTime, Precision
from protocols.transports.dlms import Association, Got
from simulators.curve import QUARTER_MS
from simulators.dlms.habits import changed
from simulators.dlms.meter import LOAD_PROFILE, Meter
from simulators.dlms.plates import plates
from simulators.record import Record

MONTHS = bytes((0, 0, 98, 1, 0, 255))
ENERGY = Attribute.of(REGISTER, "1-0:1.8.0.255")
ROWS = 300


class Near(Association):
    """An association with a meter that stands beside it; `asked` are the selections of its buffer."""

    def __init__(self, meter: Meter, wants_offset: bool = False) -> None:
        self.meter, self.wants_offset = meter, wants_offset
        self.asked: list[Selection | None] = []

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """What the meter says to it."""
        if attribute.number == profile.BUFFER and attribute.class_id == 7:
            self.asked.append(selection)
        if self.wants_offset and selection is not None and _without_offset(selection):
            raise Refused(0, AccessResult.TYPE_UNMATCHED).error(str(attribute))
        found = self.meter.get(attribute, selection, 16)
        if isinstance(found, AccessResult):
            raise Refused(0, found).error(str(attribute))
        return Got(found, b"", NOW_MS, 0, 0)


def _without_offset(selection: Selection) -> bool:
    _, first, *_ = axdr.members_of(selection.parameters, "range", 4)
    return clocks.from_bytes(axdr.octets_of(first, "range")).octets[9:11] == b"\x80\x00"


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    """The meter behind HDLC, in Budapest, with three days of rows."""
    record = Record(tmp_path / "record.jsonl")
    found = Meter(plates(b"")[1], record, lambda: NOW_MS, 7, NOW_MS // QUARTER_MS - ROWS + 1, None)
    found.associated(32)
    return found


def times(rows: list[Row]) -> list[str]:
    return [str(row.time) for row in rows]


def plain(time: MeterTime) -> MeterTime:
    """As somebody reads it from a display."""
    return MeterTime(time.seconds, Precision.SECOND)


async def all_of(association: Association, wish: Wish, name: bytes = LOAD_PROFILE) -> list[Row]:
    found = await excerpt.begun(association, name)
    return [row async for piece in excerpt.rows(association, found, wish) for row in piece]


@pytest.mark.parametrize("wants_offset", [False, True])
async def test_a_range_is_the_same_whether_the_meter_wants_an_offset_or_not(meter: Meter, wants_offset: bool) -> None:
    """It is asked a little wider, and what is beside the range left out; a meter that refused is not tried again."""
    near = Near(meter, wants_offset)
    quarters = range(NOW_MS // QUARTER_MS - 200, NOW_MS // QUARTER_MS - 10)
    truth = [meter.time_at(quarter * QUARTER_MS) for quarter in quarters]
    assert {time.deviation_min for time in truth} == {60, 120}  # the clock was put back meanwhile
    rows = await all_of(near, Wish(plain(truth[0]), plain(truth[-1])))
    assert [row.time for row in rows] == truth
    refused = sum(each is not None and _without_offset(each) for each in near.asked)
    assert refused == (1 if wants_offset else len(near.asked))


async def test_no_piece_is_longer_than_a_day_and_the_day_of_the_change_is_whole(meter: Meter) -> None:
    """100 quarters of an hour, in order, none twice."""
    near = Near(meter)
    first, last = (MeterTime.from_calendar(METER_EPOCH.replace(2026, 10, each), Precision.SECOND) for each in (24, 26))
    rows = await all_of(near, Wish(first, last))
    changed = [row for row in rows if str(row.time).startswith("2026-10-25")]
    assert (len(changed), len({row.utc_ms for row in changed})) == (100, 100)
    assert [row.utc_ms for row in rows] == sorted(row.utc_ms or 0 for row in rows)
    assert len(near.asked) == 3


async def test_the_last_rows_end_at_the_meters_clock_and_are_no_more_than_there_are(meter: Meter) -> None:
    """More than the meter has: all of them."""
    last = await all_of(Near(meter), Wish(count=5))
    every = await all_of(Near(meter), Wish(count=5_000))
    assert times(last) == times(every)[-5:]
    assert len(every) == ROWS


@pytest.mark.parametrize("habits", ["rows=40", "rows=3", "lifo", "lifo,rows=10", "lifo,nulls"])
async def test_every_row_is_shown_once_and_the_oldest_first_whatever_the_meter_is_like(
    tmp_path: Path, habits: str
) -> None:
    """Long answers refused, newest row first: by a range, and as the last ones; over the hour that comes twice."""
    record = Record(tmp_path / "record.jsonl")
    meter = Meter(changed(plates(b"")[1], habits), record, lambda: NOW_MS, 7, NOW_MS // QUARTER_MS - ROWS + 1, None)
    meter.associated(32)
    found = await excerpt.begun(Near(meter), LOAD_PROFILE, "nulls" in habits)
    truth = [meter.time_at((NOW_MS // QUARTER_MS - ROWS + 1 + each) * QUARTER_MS) for each in range(ROWS)]
    for wish, wanted in ((Wish(plain(truth[0])), truth), (Wish(count=150), truth[-150:])):
        shown = [row async for piece in excerpt.rows(Near(meter), found, wish) for row in piece]
        assert sorted(row.time.seconds for row in shown if row.time) == sorted(time.seconds for time in wanted)
        assert [row.utc_ms for row in shown] == sorted(row.utc_ms or 0 for row in shown)


class TakenForUtc(Near):
    """A meter that takes a time without offset for UTC."""

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """The range as it understands it."""
        if attribute.number == profile.BUFFER and selection is not None and _without_offset(selection):
            column, *ends, wanted = axdr.members_of(selection.parameters, "range", 4)
            utc = (clocks.from_bytes(axdr.octets_of(each, "range")).octets for each in ends)
            as_utc = (axdr.octet_string(each[:9] + bytes(3)) for each in utc)
            selection = Selection(profile.RANGE, axdr.structure(column, *as_utc, wanted))
        return await super().get(attribute, selection)


async def test_a_meter_that_takes_times_without_offset_for_utc_shows_every_row(meter: Meter) -> None:
    """On both sides of the change of its offset, up to its newest row."""
    truth = [meter.time_at((NOW_MS // QUARTER_MS - ROWS + 1 + each) * QUARTER_MS) for each in range(ROWS)]
    rows = await all_of(TakenForUtc(meter), Wish(plain(truth[0]), plain(truth[-1])))
    assert [row.time for row in rows] == truth
    assert [row.time for row in await all_of(TakenForUtc(meter), Wish(count=80))] == truth[-80:]


@dataclass
class Months(Association):
    """A meter with a billing profile: no period, and its newest row first or last; it may take no selection."""

    newest_first: bool
    selects: bool
    rows: list[Data] = field(default_factory=list)

    def __post_init__(self) -> None:
        for month in range(1, 13):
            shown = clocks.to_bytes(MeterTime.from_calendar(_first_of(month), Precision.SECOND))
            self.rows.append(axdr.structure(axdr.octet_string(shown), Data(Tag.DOUBLE_LONG_UNSIGNED, month * 100)))
        if self.newest_first:
            self.rows.reverse()

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """As a meter of few objects."""
        columns = axdr.array(*(Column(each).to_data() for each in (CLOCK_TIME, ENERGY)))
        known = {
            profile.CAPTURE_OBJECTS: columns,
            profile.CAPTURE_PERIOD: Data(Tag.DOUBLE_LONG_UNSIGNED, 0),
            profile.ENTRIES_IN_USE: Data(Tag.DOUBLE_LONG_UNSIGNED, len(self.rows)),
            excerpt.SORT_METHOD: Data(Tag.ENUM, excerpt.LIFO if self.newest_first else 1),
        }
        if attribute == ENERGY.scaler:
            return _got(axdr.structure(Data(Tag.INTEGER, 1), Data(Tag.ENUM, 30)))
        if attribute.name == MONTHS and attribute.number in known:
            return _got(known[attribute.number])
        if attribute.name == MONTHS and (selection is None or self.selects):
            return _got(axdr.array(*self._chosen(selection)))
        if attribute == CLOCK_TIME:
            return _got(axdr.octet_string(clocks.to_bytes(MeterTime(0, Precision.SECOND))))
        if attribute.name[2] == 42:
            return _got(axdr.octet_string(b"LGZ1"))
        raise Refused(0, AccessResult.SCOPE_OF_ACCESS_VIOLATED).error(str(attribute))

    def _chosen(self, selection: Selection | None) -> list[Data]:
        if selection is None:
            return self.rows
        first, last, *_ = (axdr.whole(each, "entry") for each in axdr.members_of(selection.parameters, "entry", 4))
        return self.rows[first - 1 : last]


def _first_of(month: int) -> datetime.datetime:
    return METER_EPOCH.replace(year=2026, month=month)


def _got(data: Data) -> Got:
    return Got(data, b"", NOW_MS, 0, 0)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("selects", [False, True])
async def test_the_last_months_come_oldest_first_however_the_meter_sorts_them(
    newest_first: bool, selects: bool
) -> None:
    """By their place where the meter takes such a selection, else out of all of them."""
    rows = await all_of(Months(newest_first, selects), Wish(count=3), MONTHS)
    assert times(rows) == [f"2026-{month}-01T00:00:00" for month in (10, 11, 12)]
    assert [str(row.values[0].number) for row in rows] == ["10000", "11000", "12000"]
