"""What is otherwise with a meter than the standard says is put right at its association."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import DlmsBus, DlmsDevice, configuration_hash
from gateway.config_file import read_configuration
from gateway.dlms_access import answer_ms, budget_s, waits_of, ways_of
from protocols.dlms import clock as clocks
from protocols.dlms import data as axdr
from protocols.dlms import objects, profile
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.breaches import ProofRefused
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.counters import Block
from protocols.dlms.faults import AccessRefused, RangeRefused
from protocols.dlms.listing import OBJECT_LIST
from protocols.dlms.objects import CLOCK_TIME, Attribute
from protocols.dlms.profile import CAPTURE_OBJECTS
from protocols.dlms.timing import Timing, Waits
from protocols.dlms.ways import STANDARD, OffsetSign, RangeEnds, Ways
from protocols.errors import MeterError
from protocols.reading import MeterTime
from protocols.transports.dlms import AT_ONCE, Association, associated
from protocols.transports.exchange import Clock
from simulators.dlms.habits import changed
from simulators.dlms.meter import LOAD_PROFILE
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.plates import GMAC_CLIENT
from simulators.record import Record

PASSWORD = b"pw-7519-meter"
NOW_MS = 1_795_310_000_000  # 2026-11-22, not at a quarter of an hour
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(16, 32)))
QUARTER_S, HOUR_S = 900, 3_600
REVERSED, LOCAL = Ways(offset_sign=OffsetSign.REVERSED), Ways(RangeEnds.LOCAL)


class Pair:
    """The two meters with some habits, while a test asks them."""

    def __init__(self, folder: Path, habits: str) -> None:
        self._record = Record(folder / "record.jsonl")
        self._counted = 1
        self.clock = Clock(lambda: NOW_MS, lambda: time.monotonic_ns() // 1_000_000)
        self.meters = DlmsMeters(
            self._record, lambda: NOW_MS, password=PASSWORD, keys=KEYS, changed=lambda plate: changed(plate, habits)
        )

    async def __aenter__(self) -> Pair:
        await self.meters.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.meters.stop()
        self._record.close()

    def access(self, ways: Ways, client: int = 32) -> Access:
        """The way into the meter behind HDLC."""
        plate = self.meters.outlet(Framing.HDLC).meter.plate
        own = next(each for each in (plate.access, *plate.secured) if each.client == client)
        return replace(own, ways=ways, title=b"PLB00001" if own.security else b"")

    def associated(
        self, ways: Ways, client: int = 32, *, waits: Waits = AT_ONCE, framing: Framing = Framing.HDLC
    ) -> AbstractAsyncContextManager[Association]:
        """An association with it, or with the one behind the wrapper."""
        if framing is Framing.WRAPPER:
            access = Access(16, auth=Auth.NONE)
            return associated("127.0.0.1", self.meters.wrapper_port, framing, access, self.clock, waits=waits)
        way = "127.0.0.1", self.meters.hdlc_port, Framing.HDLC, self.access(ways, client), self.clock
        self._counted += 100
        return associated(*way, counters=Block(self._counted, self._counted + 100), waits=waits)


async def shown(association: Association) -> MeterTime:
    """What the clock says."""
    found = objects.time_of(objects.clock_value(CLOCK_TIME, (await association.get(CLOCK_TIME)).data))
    assert found is not None
    return found


async def rows(association: Association, at: MeterTime) -> list[profile.Row]:
    """The rows of the last hour."""
    captured = (await association.get(Attribute(objects.PROFILE, LOAD_PROFILE, CAPTURE_OBJECTS))).data
    asked = profile.between(replace(at, seconds=at.seconds - HOUR_S), at)
    got = await association.get(profile.buffer_of(LOAD_PROFILE), asked)
    return list(profile.rows(got.value, profile.columns(captured), {}, QUARTER_S))


async def test_an_offset_with_the_other_sign_is_turned_everywhere(tmp_path: Path) -> None:
    """Clock and rows have the instants that they had; the calendar stays as shown, the octets as they came."""
    async with Pair(tmp_path, "reversed") as pair, pair.associated(REVERSED) as association:
        at = await shown(association)
        found = await rows(association, at)
        got = await association.get(CLOCK_TIME)
    assert clocks.utc_ms(at) == NOW_MS // 1000 * 1000
    assert [row.utc_ms for row in found] == [NOW_MS // 900_000 * 900_000 - 900_000 * back for back in (3, 2, 1, 0)]
    assert bytes.fromhex("003c") in got.octets
    assert axdr.octets_of(got.data, "clock")[9:11] == bytes.fromhex("ffc4")


async def test_without_that_setting_the_clock_is_two_hours_away(tmp_path: Path) -> None:
    """What the setting is for."""
    async with Pair(tmp_path, "reversed") as pair, pair.associated(STANDARD) as association:
        at = await shown(association)
    assert (clocks.utc_ms(at) or 0) - NOW_MS // 1000 * 1000 == 2 * HOUR_S * 1000


async def test_a_clock_with_the_other_sign_is_set_right(tmp_path: Path) -> None:
    """What is said to the meter has the sign that it knows."""
    async with Pair(tmp_path, "reversed") as pair, pair.associated(REVERSED) as association:
        at = await shown(association)
        await association.set(CLOCK_TIME, axdr.octet_string(clocks.to_bytes(at)))
        again = await shown(association)
    assert again == at


async def test_a_buffer_is_turned_though_nobody_asked_for_its_columns(tmp_path: Path) -> None:
    """They are asked for then: an octet string of twelve bytes that is no time stays as it is."""
    async with Pair(tmp_path, "reversed") as pair, pair.associated(REVERSED) as association:
        at = await shown(association)
        whole = await association.get(profile.buffer_of(LOAD_PROFILE), profile.between(at, at))
        asked = profile.between(replace(at, seconds=at.seconds - QUARTER_S), at)
        part = await association.get(profile.buffer_of(LOAD_PROFILE), asked)
    assert not axdr.members_of(whole.data, "buffer")
    first = axdr.members_of(axdr.members_of(part.data, "buffer")[0], "row")[0]
    assert clocks.from_data(first, "row").time is not None
    assert axdr.octets_of(first, "row")[9:11] == bytes.fromhex("ffc4")


async def test_a_meter_that_wants_ends_without_an_offset_has_its_setting_named(tmp_path: Path) -> None:
    """And gives its rows with it."""
    async with Pair(tmp_path, "local-range") as pair:
        async with pair.associated(STANDARD) as association:
            with pytest.raises(RangeRefused, match='write range_ends = "local"'):
                await rows(association, await shown(association))
        async with pair.associated(LOCAL) as association:
            found = await rows(association, await shown(association))
    assert len(found) == 4


async def test_an_association_of_another_name_proves_itself_under_it(tmp_path: Path) -> None:
    """The proof goes to that object, and the object list is under it; by the standard's name there is nothing."""
    other = Ways(association=bytes((0, 0, 40, 0, 3, 255)))
    async with Pair(tmp_path, "association=0-0:40.0.3.255") as pair:
        async with pair.associated(other, GMAC_CLIENT) as association:
            assert axdr.members_of((await association.get(OBJECT_LIST)).data, "list")
        with pytest.raises(ProofRefused) as failed:
            async with pair.associated(STANDARD, GMAC_CLIENT):
                pass
        assert "association" in failed.value.do
        async with pair.associated(STANDARD) as association:
            with pytest.raises(AccessRefused):
                await association.get(OBJECT_LIST)


def test_a_time_without_offset_and_what_is_no_time_stay_as_they_are() -> None:
    """Only what bears an offset is turned, and only in what is a time."""
    bare = axdr.octet_string(bytes.fromhex("07ea0b17010a0000008000ff"))
    assert REVERSED.turned(CLOCK_TIME, bare) == bare
    text = axdr.octet_string(bytes.fromhex("07ea0b17010a000000003c00"))
    assert REVERSED.turned(objects.LOGICAL_DEVICE_NAME, text) == text
    assert REVERSED.turned(CLOCK_TIME, text) != text
    columns = (profile.Column(CLOCK_TIME),)
    with pytest.raises(MeterError, match="1 columns"):
        REVERSED.turned(profile.buffer_of(LOAD_PROFILE), axdr.array(axdr.structure(bare, text)), columns)


@pytest.mark.parametrize("framing", [Framing.HDLC, Framing.WRAPPER])
async def test_a_meter_that_is_silent_within_an_answer_is_read_with_that_pause(
    tmp_path: Path, framing: Framing
) -> None:
    """Without it the answer is cut off, and what is to be set is named."""
    short = Waits(200)
    async with Pair(tmp_path, "pause=450") as pair:  # it takes one client, and writes to that one still
        with pytest.raises(MeterError) as failed:
            async with pair.associated(STANDARD, waits=short, framing=framing):
                pass
    waits = replace(short, pause_ms=2_000)
    async with (
        Pair(tmp_path, "pause=450") as pair,
        pair.associated(STANDARD, waits=waits, framing=framing) as association,
    ):
        at = await shown(association)
    assert clocks.utc_ms(at) == NOW_MS // 1000 * 1000
    assert "pause_ms" in failed.value.do


def test_the_waits_of_a_meter_are_its_own_or_its_models() -> None:
    """What its block says comes first; a visit of a slow one may take longer."""
    device = DlmsDevice(name="slow", cadence_s=900, answer_ms=8_000, pause_ms=4_000)
    bus = DlmsBus(protocol="dlms", name="line", port="/dev/line", device=(device,))
    assert waits_of(device) == Waits(8_000, 4_000)
    assert answer_ms(bus, device) == 8_000
    assert answer_ms(bus, replace(device, answer_ms=None)) == bus.answer_ms
    assert budget_s(device, 30.0) == 180.0
    assert Timing(9_600, pause_ms=4_000).between_ms() == 4_000 + Timing().slack_ms
    assert ways_of(device) == STANDARD
    own = replace(device, range_ends="local", offset_sign="reversed", association="0-0:40.0.3.255")
    association = bytes((0, 0, 40, 0, 3, 255))
    assert ways_of(own) == Ways(RangeEnds.LOCAL, OffsetSign.REVERSED, association)


def test_the_sign_of_the_offset_is_in_the_configurations_hash(tmp_path: Path) -> None:
    """It changes what is sealed; what is only asked otherwise changes nothing."""
    head = 'gateway = "gate-1"\nstate_folder = "s"\nkeys_folder = "k"\n[broker]\nhost = "b"\nport = 8883\n'
    meter = '[[bus]]\nprotocol = "dlms"\nname = "b"\nurl = "tcp://h:1"\n[[bus.device]]\nname = "m"\ncadence_s = 900\n'
    hashes = []
    for line in ("", 'range_ends = "local"\n', 'offset_sign = "reversed"\n'):
        path = tmp_path / "gateway.toml"
        path.write_text(head + meter + line)
        hashes.append(configuration_hash(read_configuration(path)))
    assert hashes[0] == hashes[1] != hashes[2]
