"""The reader of DLMS meters over real sockets: every row once, from where the last one ended; truth is the record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from gateway_parts import Rig, Time

from gateway import events
from gateway.clock import GatewayClock
from gateway.config import SMALLEST_BUFFER, DlmsBus, DlmsDevice
from gateway.dlms import PIECE_ROWS, DlmsReader
from gateway.faults import PasswordUnusable, RowWithoutTime
from gateway.poll import BusPoller
from gateway.schedule import Due, Schedule
from gateway.settled import Positions, Settled
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import objects
from protocols.dlms.access import Framing
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused, NoAnswer, PasswordRefused
from protocols.dlms.objects import CLOCK_TIME, Attribute
from protocols.dlms.profile import Column, Row
from protocols.dlms.wrapper import MessageReader
from protocols.errors import AnotherMeter, LinkError
from protocols.reading import (
    Exchange,
    How,
    Identity,
    MeterTime,
    NativeKey,
    Precision,
    Protocol,
    Reading,
    Scaled,
    State,
    Status,
    TimeQuality,
    Value,
)
from protocols.settings.model import checked
from protocols.uplink.records import Event
from simulators.dlms.faults import Faults
from simulators.dlms.meter import Meter
from simulators.dlms.meters import DlmsMeters
from simulators.record import Answered, Record, read

PASSWORD = b"12345678"
SUPPLY, PUMP = "50012345", "70098765"
QUARTER_MS = 900_000
AUTUMN_MS = 1_792_886_400_000  # 2026-10-25 00:00 UTC: the clocks of Budapest go back at 01:00 UTC
HISTORY_ROWS = 200
NO_TIME = axdr.octet_string(b"\xff" * 9 + b"\x80\x00\xff")
MAX_TAKEN = 50  # readings and pieces: no test here has half as many
NO_EXCHANGE = Exchange(AUTUMN_MS, 0, 0, TimeQuality(synchronised=True), b"", keep=False)


class Street:
    """Two simulated meters, and readers of them, in a time that is passed by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.time, self.positions = folder, Time(), Positions({})
        self.path = folder / "record.jsonl"
        self.behind_ms = 0  # of the meters' clocks
        self.password = folder / "password"
        self.password.write_bytes(PASSWORD)
        self.password.chmod(0o600)
        self.clock = GatewayClock(self.time.sources())
        self.record = Record(self.path)

    async def start(self) -> None:
        """Let the meters listen."""
        self.meters = DlmsMeters(self.record, self.meter_ms, password=PASSWORD, history_rows=HISTORY_ROWS)
        await self.meters.start()

    def meter_ms(self) -> int:
        """What the meters take for UTC."""
        return self.time.wall_ms - self.behind_ms

    def device(self, **changed: object) -> DlmsDevice:
        """The meter with the password."""
        fields: dict[str, object] = {"name": "pump", "cadence_s": 900, "client": 32, "auth": "lls"}
        return checked(DlmsDevice, fields | {"password_file": self.password, "serial": PUMP} | changed)

    def reader(self, device: DlmsDevice, port: int | None = None) -> DlmsReader:
        """A reader with nothing remembered but the positions."""
        url = f"tcp+hdlc://127.0.0.1:{port or self.meters.hdlc_port}"
        if device.auth == "none":
            url = f"tcp://127.0.0.1:{port or self.meters.wrapper_port}"
        bus = DlmsBus(protocol="dlms", name="street", url=url, device=(device,))
        return DlmsReader(bus, self.positions, self.clock)

    def due(self, device: DlmsDevice) -> Due:
        """The slot that is open now."""
        slot_ms = self.time.wall_ms // QUARTER_MS * QUARTER_MS
        return Due(device, slot_ms, slot_ms + QUARTER_MS)

    async def visit(self, reader: DlmsReader, device: DlmsDevice) -> list[list[Reading]]:
        """A visit as a poller makes it: what it shows, then rows piece by piece, each committed."""
        await reader.read(self.due(device))
        pieces = []
        while piece := await reader.rows(device.name):
            self.positions.committed(Settled.by(piece, {}).rows)
            pieces.append(piece)
        return pieces


class NoLists(Faults):
    """A meter that says it takes lists, and falls silent at each."""

    def answers(self, answer: bytes) -> bytes:
        """Nothing in place of a GET response with list."""
        found = MessageReader().feed(answer)
        return b"" if found and found[0].apdu[:2] == b"\xc4\x03" else answer


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """Two meters with 50 hours of rows."""
    found = Street(tmp_path)
    await found.start()
    yield found
    await found.meters.stop()
    found.record.close()


def rows_of(path: Path, meter: str) -> list[Answered]:
    return [each for each in read(path) if each.meter == meter and each.kind == "row"]


def shown(reading: Reading) -> dict[str, dict[str, int | str]]:
    found: dict[str, dict[str, int | str]] = {}
    for value in reading.values:
        assert isinstance(value.number, Scaled)
        key = str(value.key).removeprefix("dlms:")
        found[key] = {"m": value.number.mantissa, "e": value.number.exponent, "unit": value.unit}
    return found


def times(pieces: Iterable[list[Reading]]) -> list[MeterTime]:
    return [each.meter_time for piece in pieces for each in piece if each.meter_time is not None]


async def test_what_a_meter_shows_becomes_one_reading_of_its_slot(street: Street) -> None:
    """Registers and clock, exactly as the meter's own record has them, under who it says it is."""
    device = street.device()
    (found,) = await street.reader(device).read(street.due(device))
    answer = next(each for each in read(street.path) if each.kind == "answer" and each.meter == PUMP)
    assert (found.meter.manufacturer, found.meter.fabrication, found.how) == ("LGZ", PUMP, How.READ)
    assert found.slot_ms == street.due(device).slot_ms
    assert str(found.meter_time) == answer.values["8/0-0:1.0.0.255/2"]["time"]
    *registers, clock = found.values
    assert all(each.state is State.OK for each in found.values)
    assert clock.number == found.meter_time
    for value in registers:
        assert isinstance(value.number, Scaled)
        wanted = answer.values[str(value.key).removeprefix("dlms:")]
        assert wanted == {"m": value.number.mantissa, "e": value.number.exponent, "unit": value.unit}
    assert found.exchange.telegram
    assert not found.exchange.keep


@pytest.mark.parametrize("auth", ["none", "lls"])
async def test_every_row_is_read_once_in_pieces_and_then_each_new_one(street: Street, auth: str) -> None:
    """History first, oldest first; a visit within the same quarter brings none, the next quarter brings one."""
    device = street.device() if auth == "lls" else DlmsDevice(name="supply", cadence_s=900, serial=SUPPLY)
    serial, reader = device.serial or "", street.reader(device)
    pieces = await street.visit(reader, device)
    assert len(pieces) >= HISTORY_ROWS // PIECE_ROWS
    assert await street.visit(reader, device) == []
    street.time.pass_ms(QUARTER_MS)
    ((fresh,),) = await street.visit(reader, device)
    pieces.append([fresh])
    recorded = rows_of(street.path, serial)
    read_rows = [row for piece in pieces for row in piece]
    assert [str(row.meter_time) for row in read_rows] == [row.time for row in recorded]
    assert [shown(row) for row in read_rows] == [row.values for row in recorded]
    assert {row.how for row in read_rows} == {How.PROFILE}
    assert all(row.slot_ms is None and row.status_raw is not None for row in read_rows)


async def test_a_new_process_reads_on_from_the_last_committed_row(street: Street) -> None:
    """The last row comes along to be compared; nothing is missing between."""
    device = street.device()
    before = await street.visit(street.reader(device), device)
    street.time.pass_ms(5 * QUARTER_MS)
    ((overlap, *fresh),) = await street.visit(street.reader(device), device)
    assert overlap.meter_time == times(before)[-1]
    assert [str(row.meter_time) for row in fresh] == [row.time for row in rows_of(street.path, PUMP)][-5:]


async def test_what_was_refused_is_read_again(street: Street) -> None:
    """Rows in hand that a full buffer did not take are asked for anew."""
    device, reader = street.device(), street.reader(street.device())
    await reader.read(street.due(device))
    first = await reader.rows("pump")
    street.positions.took(Settled.by(first, {}).rows)
    second = await reader.rows("pump")
    assert times([second])[0].seconds > times([first])[-1].seconds
    street.positions.refused(["pump"])
    assert times([await street.reader(device).rows("pump")]) == []  # it has not seen the meter's clock yet
    assert times([await reader.rows("pump")]) == times([first])


async def test_no_row_is_missing_or_twice_when_clocks_go_back(tmp_path: Path) -> None:
    """The change day of a meter with summer time has 100 rows: the hour that comes twice is two hours."""
    street = Street(tmp_path)
    street.time.pass_ms(AUTUMN_MS - street.time.wall_ms - 3_600_000)
    await street.start()
    device, reader = street.device(history_days=1), street.reader(street.device(history_days=1))
    pieces = await street.visit(reader, device)
    for _ in range(16):
        street.time.pass_ms(QUARTER_MS)
        pieces += await street.visit(reader, device)
    await street.meters.stop()
    street.record.close()
    found = times(pieces)
    assert len(set(found)) == len(found)
    assert [str(each) for each in found][-16:] == [row.time for row in rows_of(street.path, PUMP)][-16:]
    assert sum(str(each).startswith("2026-10-25T02:") for each in found) == 8


async def test_rows_go_on_after_a_meters_clock_was_set_back(street: Street) -> None:
    """Its rows bear times that were there before: what is as it was is not handed on again, what is new is read."""
    device = street.device()
    reader = street.reader(device)
    pieces = await street.visit(reader, device)
    street.behind_ms = 3_600_000
    for _ in range(7):
        street.time.pass_ms(QUARTER_MS)
        pieces += await street.visit(reader, device)
    assert len(set(times(pieces))) == len(times(pieces)) == HISTORY_ROWS + 3
    assert str(times(pieces)[-1])[:13] == str(reader._meters["pump"].clock)[:13]


async def test_another_meter_at_the_address_is_refused(street: Street) -> None:
    """Its device id is compared at every visit."""
    device = street.device(serial="70000000")
    with pytest.raises(AnotherMeter, match=f"device id 70000000, got {PUMP}"):
        await street.reader(device).read(street.due(device))


async def test_a_wrong_password_and_a_register_that_is_not_there_are_named(street: Street) -> None:
    """The technician reads which of the two it is, and no password."""
    device = street.device()
    street.password.write_bytes(b"87654321")
    with pytest.raises(PasswordRefused) as caught:
        await street.reader(device).read(street.due(device))
    assert "87654321" not in str(caught.value)
    street.password.write_bytes(PASSWORD)
    odd = street.device(registers=["1-0:99.99.0.255"])
    with pytest.raises(AccessRefused, match=r"1-0:99\.99\.0\.255"):
        await street.reader(odd).read(street.due(odd))


async def test_a_password_file_that_others_may_read_is_not_used(street: Street) -> None:
    """Nothing is asked of the meter then."""
    street.password.chmod(0o644)
    device = street.device()
    with pytest.raises(PasswordUnusable, match="0600"):
        await street.reader(device).read(street.due(device))


async def test_nobody_at_the_address_is_a_fault_of_the_line(street: Street) -> None:
    """Nothing listens at the port."""
    device = street.device()
    with pytest.raises(LinkError):
        await street.reader(device, port=1).read(street.due(device))


async def test_the_buffer_keeps_where_the_profile_ended(street: Street, tmp_path: Path) -> None:
    """With the rows, in one commit; a start finds it again."""
    device, reader = street.device(), street.reader(street.device())
    (tmp_path / "state").mkdir()
    rig = Rig(tmp_path / "state", time=street.time)
    await reader.read(street.due(device))
    piece = await reader.rows("pump")
    rig.sealer.take(piece)
    await rig.sealer.flush()
    assert rig.buffer.known().rows == {"pump": piece[-1].meter_time}


class Sink:
    """Keeps what a poller brings; a piece that is taken lets `pass_ms` go by, as a slow disk does."""

    def __init__(self, street: Street, pass_ms: int = 0) -> None:
        self.street, self.pass_ms = street, pass_ms
        self.taken: list[list[Reading]] = []
        self.events: list[Event] = []
        self.has_room = True

    def take(self, found: list[Reading]) -> None:
        """Rows count as committed at once; a back-fill without end is no test without end."""
        assert len(self.taken) < MAX_TAKEN
        self.taken.append(found)
        self.street.positions.committed(Settled.by(found, {}).rows)
        if found[0].how is How.PROFILE:
            self.street.time.pass_ms(self.pass_ms)

    def note(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    async def round_over(self) -> None:
        """Nothing is sealed here."""


def poller(street: Street, sink: Sink, device: DlmsDevice) -> BusPoller:
    schedule = Schedule([device], {})
    return BusPoller("street", street.reader(device), schedule, street.clock, sink)


async def test_a_round_reads_what_is_due_and_then_all_rows(street: Street) -> None:
    """The spot reading first, its rows piece by piece; the next round of the same slot brings nothing."""
    sink = Sink(street)
    polling = poller(street, sink, street.device())
    await polling._round()
    kinds = [found[0].how for found in sink.taken]
    assert kinds[0] is How.READ
    assert set(kinds[1:]) == {How.PROFILE}
    assert sum(len(found) for found in sink.taken[1:]) == len(rows_of(street.path, PUMP))
    before = len(sink.taken)
    await polling._round()
    assert len(sink.taken) == before


async def test_rows_that_nobody_takes_stay_in_the_meter(street: Street) -> None:
    """Found by seed 1 in a cramped house: refused by a full buffer, they were asked for again once a second."""
    sink = Sink(street)
    sink.has_room = False
    polling = poller(street, sink, street.device())
    await polling._round()
    assert [found[0].how for found in sink.taken] == [How.READ]
    sink.has_room = True
    street.time.pass_ms(QUARTER_MS)
    await polling._round()
    assert sum(len(found) for found in sink.taken[2:]) >= len(rows_of(street.path, PUMP))


async def test_what_becomes_due_goes_before_further_rows(street: Street) -> None:
    """A back-fill of days does not cost a slot: after each piece the schedule is asked."""
    sink = Sink(street, QUARTER_MS)
    polling = poller(street, sink, street.device())
    await polling._round()
    await polling._round()
    kinds = [found[0].how for found in sink.taken]
    assert kinds[:4] == [How.READ, How.PROFILE, How.READ, How.PROFILE]


async def test_a_meter_that_captured_nothing_is_not_searched_from_the_beginning_again(tmp_path: Path) -> None:
    """Days without rows are asked for once."""
    street = Street(tmp_path)
    street.meters = DlmsMeters(street.record, street.meter_ms, password=PASSWORD, history_rows=0)
    await street.meters.start()
    device = street.device(history_days=10)
    reader = street.reader(device)
    assert await street.visit(reader, device) == []
    searched, clock = reader._meters["pump"].searched, reader._meters["pump"].clock
    await street.meters.stop()
    street.record.close()
    assert searched is not None
    assert clock is not None
    assert 0 <= clock.seconds - searched.seconds <= PIECE_ROWS * 900


def row(time: MeterTime | None, *, invalid: bool = False, doubtful: bool = False, status: int = 0) -> Row:
    value = Value(NativeKey.dlms(3, bytes([1, 0, 1, 8, 0, 255]), 2), "Wh", Scaled(5), State.OK)
    return Row(None, time, repeated=False, invalid=invalid, status=status, values=(value,), doubtful=doubtful)


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (row(MeterTime(900, Precision.SECOND)), State.OK),
        (row(MeterTime(900, Precision.SECOND), invalid=True), State.INVALID),
        (row(MeterTime(900, Precision.SECOND), status=0x02), State.INVALID),
        (row(MeterTime(900, Precision.SECOND), status=0x04), State.INVALID),
        (row(MeterTime(900, Precision.SECOND), status=0x08), State.OK),
        (row(MeterTime(900, Precision.SECOND), doubtful=True, status=0x04), State.INVALID),
    ],
)
async def test_a_row_that_the_meter_calls_invalid_keeps_its_numbers_and_is_marked(
    street: Street, made: Row, state: State
) -> None:
    """Clock status, or the status word's bits for clock and data of IDIS meters; summer time is no fault."""
    reader = street.reader(street.device(model="idis"))
    (found,) = reader._handed_on(reader._meters["pump"], Identity(Protocol.DLMS), [(made, 0)], NO_EXCHANGE)
    value = found.values[0]
    assert (value.number, value.state, found.status) == (Scaled(5), state, Status.NONE)


@pytest.mark.parametrize("word", [0x02, 0x04, 0x08, 0x4000])
async def test_bits_of_a_status_word_that_nobody_explains_are_the_manufacturers(street: Street, word: int) -> None:
    """They make no value INVALID by what another maker means with them, and are not passed over either."""
    reader = street.reader(street.device())
    rows = [(row(MeterTime(at, Precision.SECOND), status=each), 0) for at, each in ((900, word), (1_800, 0))]
    marked, plain = reader._handed_on(reader._meters["pump"], Identity(Protocol.DLMS), rows, NO_EXCHANGE)
    assert (marked.values[0].state, marked.status_raw, marked.status) == (State.OK, word, Status.MANUFACTURER)
    assert plain.status is Status.NONE


async def test_a_row_whose_time_the_meter_doubts_is_kept_and_marked(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its status is "doubtful", or "different clock base": numbers and time are there, and feed no billing."""
    made = Meter._row

    def doubted(meter: Meter, at_ms: int, time: MeterTime) -> Data:
        clock, *cells = axdr.members_of(made(meter, at_ms, time), "row")
        says = (0, clocks.DOUBTFUL, clocks.DIFFERENT_BASE)[at_ms // QUARTER_MS % 3]
        octets = axdr.octets_of(clock, "clock")
        return axdr.structure(axdr.octet_string(octets[:-1] + bytes((octets[-1] | says,))), *cells)

    monkeypatch.setattr(Meter, "_row", doubted)
    device = street.device()
    found = [row for piece in await street.visit(street.reader(device), device) for row in piece]
    assert [str(each.meter_time) for each in found] == [each.time for each in rows_of(street.path, PUMP)]
    states = [{value.state for value in each.values} for each in found]
    assert {frozenset(each) for each in states} == {frozenset({State.OK}), frozenset({State.UNKNOWN})}
    doubts = [each.values[-1] for each in found if each.values[-1].key == CLOCK_TIME.key]
    assert len(doubts) == states.count({State.UNKNOWN})
    assert {(each.status or 0) & 0x06 for each in doubts} == {clocks.DOUBTFUL, clocks.DIFFERENT_BASE}


async def test_the_first_of_two_status_words_is_the_rows_and_the_other_is_a_value(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and no bit of the second one is taken for one of the first."""
    second = Attribute(objects.DATA, bytes((0, 0, 96, 10, 2, 255)), objects.VALUE)
    columns, made = Meter._columns, Meter._row

    def captured(meter: Meter) -> tuple[Column, ...]:
        clock, status, *rest = columns(meter)
        return clock, status, Column(second), *rest

    def shown_row(meter: Meter, at_ms: int, time: MeterTime) -> Data:
        clock, status, *cells = axdr.members_of(made(meter, at_ms, time), "row")
        return axdr.structure(clock, status, Data(axdr.Tag.UNSIGNED, 0x42), *cells)

    monkeypatch.setattr(Meter, "_columns", captured)
    monkeypatch.setattr(Meter, "_row", shown_row)
    device = street.device(model="idis", further_profiles=[], logs=[])
    found = [row for piece in await street.visit(street.reader(device), device) for row in piece]
    assert {each.status_raw for each in found} <= {0, 0x08}
    assert {(each.values[0].key, each.values[0].number) for each in found} == {(second.key, Scaled(0x42))}
    assert {value.state for each in found for value in each.values} == {State.OK}


def without_time(street: Street, monkeypatch: pytest.MonkeyPatch, quarters: Iterable[int]) -> None:
    """Let the meters capture rows whose time is not specified; quarters are counted from the oldest row."""
    oldest = street.time.wall_ms // QUARTER_MS - HISTORY_ROWS + 1
    chosen, made = {oldest + each for each in quarters}, Meter._row

    def captured(meter: Meter, at_ms: int, time: MeterTime) -> Data:
        clock, *cells = axdr.members_of(made(meter, at_ms, time), "row")
        return axdr.structure(NO_TIME if at_ms // QUARTER_MS in chosen else clock, *cells)

    monkeypatch.setattr(Meter, "_row", captured)


async def test_a_row_without_a_time_is_told_after_the_others_were_taken(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no place in which it could be met again, so it is not sealed; silence would be a lie."""
    without_time(street, monkeypatch, [5])
    device = street.device()
    reader = street.reader(device)
    await reader.read(street.due(device))
    found = await reader.rows("pump")
    assert len(found) > 5
    assert all(each.meter_time is not None for each in found)
    street.positions.committed(Settled.by(found, {}).rows)
    with pytest.raises(RowWithoutTime, match="1 without"):
        await reader.rows("pump")
    assert times([await reader.rows("pump")])


@pytest.mark.parametrize("lost", [HISTORY_ROWS % PIECE_ROWS, PIECE_ROWS + PIECE_ROWS // 2])
async def test_rows_behind_a_piece_without_a_time_are_read(
    street: Street, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """All of a first piece, or more than one: the fault is told once, and its end when rows all had their time."""
    without_time(street, monkeypatch, range(lost))
    sink = Sink(street)
    polling = poller(street, sink, street.device())
    for _ in range(4):
        await polling._round()
        street.time.pass_ms(QUARTER_MS)
    found = times(each for each in sink.taken if each[0].how is How.PROFILE)
    assert [str(each) for each in found] == [each.time for each in rows_of(street.path, PUMP)][lost:]
    assert [(each.code, each.parameters[1]) for each in sink.events] == [
        (events.POLL_FAILED, RowWithoutTime.code),
        (events.POLL_RECOVERED, RowWithoutTime.code),
    ]


@pytest.mark.parametrize("every", [1, 2], ids=["no row has a time", "every second has one"])
async def test_a_meter_that_goes_on_capturing_rows_without_a_time_is_one_event(
    street: Street, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Each visit finds such rows: no recovery is told between, and what has its time is read."""
    without_time(street, monkeypatch, range(0, HISTORY_ROWS + 20, every))
    sink = Sink(street)
    polling = poller(street, sink, street.device())
    for _ in range(8):
        await polling._round()
        street.time.pass_ms(2 * QUARTER_MS)
    meter = polling._reader._meters["pump"]  # type: ignore[attr-defined]
    assert every > 1 or meter.searched == meter.clock  # the same rows are not asked for again
    read_rows = times(each for each in sink.taken if each[0].how is How.PROFILE)
    assert len(read_rows) == (0 if every == 1 else HISTORY_ROWS // 2 + 7)
    assert [(each.code, each.parameters[1]) for each in sink.events] == [(events.POLL_FAILED, RowWithoutTime.code)]


async def test_what_a_meter_with_an_invalid_clock_shows_is_no_meter_time(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading is kept; the clock's own value is there, marked, and never taken for when it was (R20)."""
    made = clocks.to_bytes
    monkeypatch.setattr("simulators.dlms.meter.clocks.to_bytes", lambda time: made(time)[:-1] + bytes([clocks.INVALID]))
    device = street.device()
    (found,) = await street.reader(device).read(street.due(device))
    assert found.meter_time is None
    assert (found.values[-1].state, found.values[-1].status) == (State.INVALID, clocks.INVALID)
    assert isinstance(found.values[-1].number, MeterTime)
    assert all(each.state is State.OK for each in found.values[:-1])


async def test_a_sealer_tells_what_was_taken_committed_and_refused(street: Street, tmp_path: Path) -> None:
    """Rows that a full buffer refuses are read again; those on the disk are not."""
    (tmp_path / "state").mkdir()
    rig = Rig(tmp_path / "state", max_bytes=SMALLEST_BUFFER, time=street.time)
    device = street.device()
    reader = DlmsReader(reader_bus(street, device), rig.positions, street.clock)
    await reader.read(street.due(device))
    first = await reader.rows("pump")
    rig.sealer.take(first)
    assert rig.positions.last("pump") == first[-1].meter_time
    await rig.sealer.flush()
    second = await reader.rows("pump")
    rig.sealer.take(second)
    rig.positions.refused(["pump"])
    assert rig.positions.last("pump") == first[-1].meter_time
    await rig.sealer.flush()
    assert rig.buffer.known().rows["pump"] == second[-1].meter_time
    for size in (60_000, 4_000, 100):  # full to the last small batch
        await rig.seal(1, size)
        while not rig.sealer.full:
            await rig.seal(1, size)
    refused = rig.sealer._refused.so_far
    assert not rig.sealer.has_room
    third = await reader.rows("pump")
    rig.sealer.take(third)
    assert rig.positions.last("pump") == third[-1].meter_time
    await rig.sealer.flush()
    assert rig.positions.last("pump") == second[-1].meter_time
    assert rig.sealer._refused.so_far == refused, "the meter has them still"


def reader_bus(street: Street, device: DlmsDevice) -> DlmsBus:
    url = f"tcp+hdlc://127.0.0.1:{street.meters.hdlc_port}"
    return DlmsBus(protocol="dlms", name="street", url=url, device=(device,))


async def test_a_refused_password_is_not_tried_again_before_a_while_unless_it_is_another(street: Street) -> None:
    """Meters lock a client that tries too often: at most three times an hour (M16)."""
    device = street.device()
    reader = street.reader(device)
    street.password.write_bytes(b"87654321")
    with pytest.raises(PasswordRefused):
        await reader.read(street.due(device))
    await street.meters.stop()  # whoever asks now meets nobody
    for _ in range(19):
        street.time.pass_ms(60_000)
        with pytest.raises(PasswordRefused):
            await reader.read(street.due(device))
    street.time.pass_ms(60_000)
    with pytest.raises(LinkError):
        await reader.read(street.due(device))
    street.password.write_bytes(PASSWORD)
    with pytest.raises(LinkError):
        await reader.read(street.due(device))


async def test_a_meter_that_is_silent_at_lists_is_asked_one_by_one_from_the_next_visit_on(street: Street) -> None:
    """Else it would never be read again."""
    street.meters._outlets[Framing.WRAPPER].faults = NoLists(())
    device = street.device(name="supply", client=16, auth="none", password_file=None, serial=SUPPLY)
    reader = street.reader(device)
    with pytest.raises(NoAnswer):
        await reader.read(street.due(device))
    (found,) = await reader.read(street.due(device))
    assert found.values
    assert await reader.rows(device.name)
