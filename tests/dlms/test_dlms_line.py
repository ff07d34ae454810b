"""The client on real pseudo-terminals against simulated meters on one line; truth is the simulators' record."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from dlms_lines import served

from protocols import obis
from protocols.dlms import data as axdr
from protocols.dlms import hdlc, profile
from protocols.dlms.access import Access, Auth
from protocols.dlms.carrier import LINE_TRIES
from protocols.dlms.faults import BadLength, NoAnswer, PasswordRefused
from protocols.dlms.objects import DEVICE_ID, Attribute, text_of
from protocols.dlms.profile import between
from protocols.dlms.server import LLC_RESPONSE
from protocols.dlms.timing import Timing
from protocols.transports.dlms import associated_on
from protocols.transports.exchange import Clock
from protocols.transports.serial import SerialLine
from simulators.dlms.line import DlmsLine, line_plates

TIMING = Timing(answer_ms=400, slack_ms=60)
BUFFER = profile.buffer_of(obis.from_text("1-0:99.1.0.255"))
ENERGY = Attribute.of(3, "1-0:1.8.0.255")


@contextmanager
def opened(line: DlmsLine, baud: int = 9_600) -> Iterator[SerialLine]:
    found = SerialLine.open(str(line.pty.link), baud, "8N1")
    try:
        yield found
    finally:
        found.close()


async def serial_of(port: SerialLine, access: Access, clock: Clock, timing: Timing = TIMING) -> str | None:
    async with associated_on(port, access, clock, timing) as association:
        return text_of((await association.get(DEVICE_ID)).data)


@pytest.mark.parametrize("size", [None, 2, 4])
async def test_meters_of_one_line_are_told_apart_by_their_addresses(
    tmp_path: Path, clock: Clock, now: Any, size: int | None
) -> None:
    """Three of them, one after the other, in addresses of two and of four bytes; a fourth is not there."""
    found = [replace(each, access=replace(each.access, address_bytes=size)) for each in line_plates(3)]
    async with served(tmp_path, found, now.utc_ms) as line:
        with opened(line) as port:
            assert [await serial_of(port, each.access, clock) for each in found] == [each.serial for each in found]
            with pytest.raises(NoAnswer):
                await serial_of(port, Access(physical=20, address_bytes=size), clock)


async def test_a_meter_alone_may_have_one_byte(tmp_path: Path, clock: Clock, now: Any) -> None:
    """No physical address: the logical device alone."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [replace(plate, access=Access())], now.utc_ms) as line:
        with opened(line) as port:
            assert await serial_of(port, Access(), clock) == plate.serial


@pytest.mark.parametrize(
    ("logical", "physical", "size", "octets"),
    [
        (1, None, None, "03"),
        (1, 17, None, "0223"),
        (1, 17, 2, "0223"),
        (1, 17, 4, "00020023"),
        (1, None, 2, "0201"),
        (1, 1000, None, "00020ed1"),
    ],
)
def test_an_address_has_the_length_that_is_asked(
    logical: int, physical: int | None, size: int | None, octets: str
) -> None:
    """The shortest by itself; the lowest bit ends it."""
    assert hdlc.server_address(logical, physical, size).hex() == octets


@pytest.mark.parametrize(("physical", "size"), [(17, 1), (200, 2), (0x4000, 4)])
def test_an_address_that_does_not_fit_is_refused(physical: int, size: int) -> None:
    """Nothing is cut off."""
    with pytest.raises(BadLength):
        hdlc.server_address(1, physical, size)


@pytest.mark.parametrize("faults", ["echo", "noise=1", "twice=1", "late=1", "stutter=1", "noise=0.3,twice=0.3,echo"])
async def test_what_disturbs_without_destroying_costs_no_repetition(
    tmp_path: Path, clock: Clock, now: Any, faults: str
) -> None:
    """Echo, noise before every frame (false starts among it), frames that come twice or late: every row, one try."""
    found = line_plates(2)
    async with served(tmp_path, found, now.utc_ms, faults, seed=3) as line:
        with opened(line) as port:
            for plate in found:
                async with associated_on(port, plate.access, clock, Timing(answer_ms=900)) as association:
                    got = await association.get(BUFFER)
                    assert text_of((await association.get(DEVICE_ID)).data) == plate.serial
                    assert isinstance(got.data.content, tuple)
                    assert len(got.data.content) == 192
                    assert association._session.retries == 0


async def test_what_is_destroyed_is_asked_again(tmp_path: Path, clock: Clock, now: Any) -> None:
    """Silent, garbled and cut frames: the same values as without, after repetitions."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [plate], now.utc_ms, seed=7) as line:
        with opened(line) as port:
            async with associated_on(port, plate.access, clock, TIMING) as association:
                whole = (await association.get(BUFFER)).data
    async with served(tmp_path, [plate], now.utc_ms, "silent=0.04,garble=0.04,partial=0.04", seed=7) as line:
        with opened(line) as port:
            async with associated_on(port, plate.access, clock, Timing(answer_ms=250, slack_ms=40)) as association:
                assert (await association.get(BUFFER)).data == whole
                assert association._session.retries >= 3
        assert line.spoilt >= 3


async def test_a_meter_that_is_silent_is_asked_three_times(tmp_path: Path, clock: Clock, now: Any) -> None:
    """SNRM, then DISC until the time for it is over; the error names the step."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [plate], now.utc_ms, "silent=1") as line:
        with opened(line) as port, pytest.raises(NoAnswer, match="linking"):
            await serial_of(port, plate.access, clock, Timing(answer_ms=100, slack_ms=10))
        assert LINE_TRIES < line.counted <= 2 * LINE_TRIES


async def test_a_link_that_another_client_left_open_is_free_at_the_second_visit(
    tmp_path: Path, clock: Clock, now: Any
) -> None:
    """The first visit ends it on its way out."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [plate], now.utc_ms, "half_open") as line:
        with opened(line) as port:
            with pytest.raises(NoAnswer):
                await serial_of(port, plate.access, clock)
            assert await serial_of(port, plate.access, clock) == plate.serial


async def test_a_meter_hears_nothing_at_another_speed(tmp_path: Path, clock: Clock, now: Any) -> None:
    """The line is at 9600 baud."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [plate], now.utc_ms) as line:
        with opened(line, 2_400) as port, pytest.raises(NoAnswer):
            await serial_of(port, plate.access, clock, Timing(2_400, 10, 100))


async def test_a_refused_password_leaves_the_line_to_the_next_meter(tmp_path: Path, clock: Clock, now: Any) -> None:
    """The link is closed all the same."""
    found = line_plates(2, b"geheim-7")
    wrong = Access(32, physical=17, auth=Auth.LLS, password=b"not-it")
    async with served(tmp_path, found, now.utc_ms) as line:
        with opened(line) as port:
            with pytest.raises(PasswordRefused):
                await serial_of(port, wrong, clock)
            assert [await serial_of(port, each.access, clock) for each in found] == [each.serial for each in found]


async def test_a_check_sequence_that_ends_in_a_flag_ends_no_frame(tmp_path: Path, clock: Clock, now: Any) -> None:
    """The serial number is chosen so that the answer's FCS has 7E as its last byte, then as its first."""
    for place in (-1, -2):
        serial = next(each for each in map(str, range(80_000_000, 80_010_000)) if _fcs_of(each)[place] == hdlc.FLAG)
        (plate,) = line_plates(1)
        async with served(tmp_path, [replace(plate, serial=serial)], now.utc_ms) as line:
            with opened(line) as port:
                async with associated_on(port, plate.access, clock, TIMING) as association:
                    assert text_of((await association.get(DEVICE_ID)).data) == serial
                    assert association._session.retries == 0


def _fcs_of(serial: str) -> bytes:
    """Of the frame that answers the first question of an association, with the device id."""
    told = LLC_RESPONSE + bytes.fromhex("c401c100") + axdr.to_bytes(axdr.octet_string(serial.encode()))
    frame = hdlc.Frame(hdlc.client_address(16), hdlc.server_address(1, 17), 0x52, told)
    return frame.to_bytes()[-3:-1]


@pytest.mark.parametrize(("window", "most"), [(1, 10), (3, 4)])
async def test_a_day_of_rows_costs_few_turns(
    tmp_path: Path, clock: Clock, now: Any, capsys: pytest.CaptureFixture[str], window: int, most: int
) -> None:
    """96 rows of six columns in frames of 512 bytes, from a meter that gave its scalers before: ten turns at most."""
    (plate,) = line_plates(1)
    async with served(tmp_path, [replace(plate, window=window)], now.utc_ms) as line:
        meter = line.meters[0].meter
        midnight = datetime.datetime.fromtimestamp(now.ms / 1000, datetime.UTC).replace(hour=0, minute=0, second=0)
        end_ms = int(midnight.timestamp()) * 1000
        first, last = meter.time_at(end_ms - 95 * 900_000), meter.time_at(end_ms)
        with opened(line) as port:
            async with associated_on(port, plate.access, clock, TIMING) as association:
                before = line.counted
                got = await association.get(BUFFER, between(first, last))
                turns = line.counted - before
    rows = got.data.content
    assert isinstance(rows, tuple)
    assert len(rows) == 96
    assert len(axdr.members_of(rows[0], "row", 6)) == 6
    with capsys.disabled():
        click.echo(f"\n96 x 6 rows: {len(got.octets)} bytes in {turns} turns, window {window}")
    assert turns <= most


@pytest.mark.parametrize(("baud", "request_size", "first", "between"), [(9_600, 30, 2_136, 129), (300, 30, 3_237, 235)])
def test_waits_follow_from_the_speed(baud: int, request_size: int, first: int, between: int) -> None:
    """The question's characters, the meter's time, the adapter's slack; three characters and 25 ms between bytes."""
    timing = Timing(baud)
    assert (timing.first_byte_ms(request_size), timing.between_ms()) == (first, between)


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"slack_ms": -1}, {"answer_ms": 0}])
def test_waits_without_end_or_sense_are_refused(wrong: dict[str, int]) -> None:
    """As for M-Bus."""
    with pytest.raises(ValueError, match="expected baud > 0"):
        Timing(**wrong)
