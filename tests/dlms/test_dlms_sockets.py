"""The client over real sockets against the simulated meters; truth is the simulators' record."""

from __future__ import annotations

import asyncio
import datetime
import time
from pathlib import Path
from typing import Any

import pytest

from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms import profile
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.clock import utc_ms
from protocols.dlms.faults import AccessRefused, AssociationRefused, NoAnswer, PasswordRefused, StreamEnded
from protocols.dlms.objects import (
    CLOCK_TIME,
    DEVICE_ID,
    LOGICAL_DEVICE_NAME,
    Attribute,
    ScalerUnit,
    text_of,
    time_of,
    value,
)
from protocols.dlms.profile import Row
from protocols.errors import MeterError
from protocols.reading import MeterTime, Scaled, State, Value
from protocols.transports.dlms import Association, associated
from protocols.transports.exchange import Clock
from protocols.transports.tcp import ConnectionGone, ConnectionRefused, NameUnknown, TcpLine
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.plates import Plate
from simulators.record import Answered, Record, read

PASSWORD = b"pw-7519-meter"
HOST = "127.0.0.1"
BUFFER = profile.buffer_of(obis.from_text("1-0:99.1.0.255"))
FRAMINGS = [Framing.WRAPPER, Framing.HDLC]


def plate_of(meters: DlmsMeters, framing: Framing) -> Plate:
    return next(each for each in meters.plates if each.framing is framing)


def port_of(meters: DlmsMeters, framing: Framing) -> int:
    return meters.wrapper_port if framing is Framing.WRAPPER else meters.hdlc_port


def recorded(path: Path, serial: str, kind: str) -> list[Answered]:
    return [each for each in read(path) if each.meter == serial and each.kind == kind]


def shown(found: Value) -> dict[str, int | str]:
    number = found.number
    assert found.state is State.OK
    if isinstance(number, MeterTime):
        return {"time": str(number)}
    assert isinstance(number, Scaled)
    return {"m": number.mantissa, "e": number.exponent, "unit": found.unit}


async def scaler_of(association: Association, attribute: Attribute) -> ScalerUnit | None:
    scaler = attribute.scaler
    return None if scaler is None else ScalerUnit.from_data((await association.get(scaler)).data)


async def read_rows(
    association: Association, plate: Plate, first: MeterTime | None = None, last: MeterTime | None = None
) -> tuple[Row, ...]:
    name = BUFFER.name
    captured = profile.columns((await association.get(Attribute(7, name, profile.CAPTURE_OBJECTS))).data)
    period = axdr.whole((await association.get(Attribute(7, name, profile.CAPTURE_PERIOD))).data, "period")
    scalers = {}
    for column in captured:
        found = await scaler_of(association, column.attribute)
        if found is not None:
            scalers[column.attribute] = found
    selection = None if first is None or last is None else profile.between(first, last)
    got = await association.get(BUFFER, selection)
    assert len(got.octets) > 0
    return tuple(profile.rows(got.value, captured, scalers, period))


def row_shown(row: Row) -> tuple[str, dict[str, dict[str, int | str]]]:
    keys = [str(Attribute(*each.key.parts)) for each in row.values]  # type: ignore[arg-type]
    return str(row.time), {key: shown(each) for key, each in zip(keys, row.values, strict=True)}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_spot_values_are_what_the_record_says(
    meters: DlmsMeters, clock: Clock, tmp_path: Path, framing: Framing
) -> None:
    """Every register and the clock, exactly, under their native keys."""
    plate = plate_of(meters, framing)
    found = {}
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as association:
        for attribute in (CLOCK_TIME, *(each.attribute for each in plate.registers)):
            scaler = await scaler_of(association, attribute)
            found[str(attribute)] = shown(value(attribute, (await association.get(attribute)).data, scaler))
    [answered] = recorded(tmp_path / "record.jsonl", plate.serial, "answer")
    assert found == answered.values
    assert answered.at_ms == clock.utc_ms()


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_meter_says_who_it_is(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """Logical device name and device id are texts."""
    plate = plate_of(meters, framing)
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as association:
        assert text_of((await association.get(LOGICAL_DEVICE_NAME)).data) == plate.logical_name.decode()
        assert text_of((await association.get(DEVICE_ID)).data) == plate.serial


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_the_whole_profile_comes_in_blocks(
    meters: DlmsMeters, clock: Clock, tmp_path: Path, framing: Framing
) -> None:
    """192 rows, each as the record has it, none twice, with the boundary's instant."""
    plate = plate_of(meters, framing)
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as association:
        rows = await read_rows(association, plate)
    truth = recorded(tmp_path / "record.jsonl", plate.serial, "row")
    assert [row_shown(row) for row in rows] == [(each.time, each.values) for each in truth]
    assert [row.utc_ms for row in rows] == [each.at_ms for each in truth]
    assert len(rows) == 192
    assert {row.status for row in rows} == {0}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_range_begins_and_ends_where_it_was_asked(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """From a row on, that row included."""
    plate = plate_of(meters, framing)
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as association:
        rows = await read_rows(association, plate)
        first, last = rows[100].time, rows[110].time
        assert await read_rows(association, plate, first, last) == rows[100:111]


@pytest.mark.parametrize(("day", "count"), [("2026-03-29", 92), ("2026-10-25", 100)])
async def test_a_day_of_change_has_all_its_rows(tmp_path: Path, clock: Clock, now: Any, day: str, count: int) -> None:
    """Asked by its midnights in local time: 92 rows in spring, 100 in autumn, instants a quarter of an hour apart."""
    midnight = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    now.ms = int(midnight.timestamp() * 1000) + 30 * 3_600_000
    record = Record(tmp_path / "record.jsonl")
    meters = DlmsMeters(record, clock.utc_ms, password=PASSWORD)
    await meters.start()
    plate = plate_of(meters, Framing.HDLC)
    summer = day.startswith("2026-10")
    start = int(midnight.timestamp() * 1000) - (2 if summer else 1) * 3_600_000
    meter = meters._outlets[Framing.HDLC].meter
    first, last = meter.time_at(start + 900_000), meter.time_at(start + count * 900_000)
    assert str(last).endswith("T00:00:00")
    async with associated(HOST, meters.hdlc_port, Framing.HDLC, plate.access, clock) as association:
        rows = await read_rows(association, plate, first, last)
    await meters.stop()
    assert [row.utc_ms for row in rows] == [start + 900_000 * (number + 1) for number in range(count)]
    assert {row.status for row in rows} == {0, 8}


@pytest.mark.parametrize(
    ("access", "error", "said"),
    [
        (Access(client=32, auth=Auth.LLS, password=b"not-it"), PasswordRefused, "wrong password"),
        (Access(client=32), PasswordRefused, "authentication required"),
        (Access(client=17, auth=Auth.LLS, password=PASSWORD), AssociationRefused, "no such client"),
    ],
)
async def test_a_refused_association_says_why(
    meters: DlmsMeters, clock: Clock, access: Access, error: type[MeterError], said: str
) -> None:
    """Result and diagnostic are named; no password is shown."""
    with pytest.raises(error, match=said) as caught:
        async with associated(HOST, meters.hdlc_port, Framing.HDLC, access, clock):
            pass
    assert "not-it" not in str(caught.value) + repr(access)


async def test_a_wrong_password_leaves_the_meter_free(meters: DlmsMeters, clock: Clock) -> None:
    """The next association with the right one is accepted."""
    plate = plate_of(meters, Framing.HDLC)
    with pytest.raises(PasswordRefused):
        async with associated(HOST, meters.hdlc_port, Framing.HDLC, Access(32, auth=Auth.LLS, password=b"x"), clock):
            pass
    async with associated(HOST, meters.hdlc_port, Framing.HDLC, plate.access, clock) as association:
        assert (await association.get(DEVICE_ID)).data.content == plate.serial.encode()


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_second_association_is_turned_away_and_later_let_in(
    meters: DlmsMeters, clock: Clock, framing: Framing
) -> None:
    """While the first is open the second ends with its own error at once."""
    access, port = plate_of(meters, framing).access, port_of(meters, framing)
    async with associated(HOST, port, framing, access, clock):
        with pytest.raises(StreamEnded):
            async with associated(HOST, port, framing, access, clock):
                pass
    await asyncio.sleep(0.05)
    async with associated(HOST, port, framing, access, clock) as association:
        assert await association.get(DEVICE_ID)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_refused_attribute_leaves_the_association_open(
    meters: DlmsMeters, clock: Clock, framing: Framing
) -> None:
    """An unknown object is an error with its name; the next question is answered."""
    plate = plate_of(meters, framing)
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as association:
        with pytest.raises(AccessRefused, match="object undefined"):
            await association.get(Attribute.of(3, "1-0:99.8.0.255"))
        assert text_of((await association.get(DEVICE_ID)).data) == plate.serial


async def test_a_frozen_meter_answers_nothing_and_releases_nothing(meters: DlmsMeters, clock: Clock) -> None:
    """Frozen in the middle: the question ends with an error within its time."""
    access = plate_of(meters, Framing.WRAPPER).access
    async with associated(HOST, meters.wrapper_port, Framing.WRAPPER, access, clock, 0.5) as association:
        meters.frozen = True
        with pytest.raises((StreamEnded, NoAnswer)):
            await association.get(DEVICE_ID)


async def test_cancelling_a_question_releases_the_meter(meters: DlmsMeters, clock: Clock) -> None:
    """The socket is closed and the next client let in."""
    plate = plate_of(meters, Framing.HDLC)

    async def long() -> None:
        async with associated(HOST, meters.hdlc_port, Framing.HDLC, plate.access, clock) as association:
            while True:
                await association.get(BUFFER)

    task = asyncio.create_task(long())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    async with associated(HOST, meters.hdlc_port, Framing.HDLC, plate.access, clock) as association:
        assert await association.get(DEVICE_ID)


async def test_a_restarted_simulator_writes_no_row_twice(tmp_path: Path, clock: Clock, now: Any) -> None:
    """Rows from before, those of the time it was away, and none twice."""
    path = tmp_path / "record.jsonl"
    first = Record(path)
    meters = DlmsMeters(first, clock.utc_ms, password=PASSWORD)
    plate = plate_of(meters, Framing.WRAPPER)
    await meters.start()
    await meters.stop()
    first.close()
    now.ms += 4 * 900_000
    second = Record(path)
    meters = DlmsMeters(second, clock.utc_ms, password=PASSWORD)
    await meters.start()
    async with associated(HOST, meters.wrapper_port, Framing.WRAPPER, plate.access, clock) as association:
        rows = await read_rows(association, plate)
    await meters.stop()
    truth = recorded(path, plate.serial, "row")
    assert len(truth) == len({each.at_ms for each in truth}) == 196
    assert [row_shown(row) for row in rows] == [(each.time, each.values) for each in truth]


async def test_a_port_where_nothing_listens_is_refused_by_name() -> None:
    """Refused and unknown are different errors."""

    async def nobody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(nobody, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefused):
        await TcpLine.open(HOST, port, 1.0)
    with pytest.raises(NameUnknown):
        await TcpLine.open("no-such-host.invalid", port, 5.0)


def test_the_meters_clocks_differ_in_summer(meters: DlmsMeters) -> None:
    """One keeps standard time, the other has summer time: same instant, other calendar, both with their offset."""
    july = 1_783_000_800_000
    times = [meters._outlets[framing].meter.time_at(july) for framing in FRAMINGS]
    assert [(each.deviation_min, each.summer) for each in times] == [(60, False), (120, True)]
    assert [utc_ms(each) for each in times] == [july, july]
    assert time_of(value(CLOCK_TIME, axdr.NULL)) is None


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_meter_that_goes_away_is_named_at_once(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """The stream ends in the middle of an association: an error long before the timeout, and no hang at the end."""
    plate = plate_of(meters, framing)
    started = clock.mono_ms()
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock, 30.0) as association:
        await meters.stop()
        with pytest.raises(StreamEnded):
            await association.get(BUFFER)
    assert clock.mono_ms() - started < 5_000


async def test_a_silent_host_ends_within_the_time() -> None:
    """It takes the connection and says nothing: a named error, twice the timeout at most, and the socket is closed."""
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    clock = Clock(lambda: 0, lambda: time.monotonic_ns() // 1_000_000)
    started = clock.mono_ms()
    with pytest.raises(NoAnswer):
        async with associated(HOST, port, Framing.HDLC, Access(), clock, 0.4):
            pass
    assert clock.mono_ms() - started < 2_500
    await asyncio.wait_for(closed.wait(), 2)
    server.close()


async def test_a_line_gives_what_came_before_the_end_and_then_says_so() -> None:
    """Bytes first, then the loss by its name; empty where nothing comes in time."""

    async def brief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(b"answer")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(brief, HOST, 0)
    line = await TcpLine.open(HOST, server.sockets[0].getsockname()[1])
    assert await line.read_some(0.02) == b""
    await line.write(b"go")
    assert await line.read_some(2.0) == b"answer"
    with pytest.raises(ConnectionGone):
        await line.read_some(2.0)
    with pytest.raises(ConnectionGone):
        await line.write(b"more")
    line.close()
    server.close()
