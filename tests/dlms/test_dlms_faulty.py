"""Every service over real sockets, with each answer in turn twice, delayed, foreign, dropped or damaged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from protocols.dlms import data as axdr
from protocols.dlms import listing, profile
from protocols.dlms.access import Framing
from protocols.dlms.data import Data
from protocols.dlms.faults import AccessRefused
from protocols.dlms.initiate import OURS, Conformance
from protocols.dlms.objects import CLOCK_TIME, REGISTER, Attribute, ScalerUnit
from protocols.dlms.profile import ALL, buffer_of, entries
from protocols.errors import LinkError, MeterError
from protocols.transports.dlms import associated
from protocols.transports.exchange import Clock
from simulators.dlms.faults import NAMED, OVER_HDLC, Fault, Faults
from simulators.dlms.meter import LOAD_PROFILE, OWNER_ID
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.plates import Plate
from simulators.record import Record

PASSWORD = b"pw-7519-meter"
HOST = "127.0.0.1"
FRAMINGS = [Framing.WRAPPER, Framing.HDLC]
BUFFER = buffer_of(LOAD_PROFILE)
CAPTURED = Attribute(7, LOAD_PROFILE, profile.CAPTURE_OBJECTS)
TIMEOUT_S = 0.25  # for one answer: what is dropped costs so long


@dataclass(frozen=True, slots=True)
class Seen:
    """What a visit found, as far as it came."""

    registers: tuple[Data, ...] = ()
    rows: Data | None = None
    owner: Data | None = None


def small(plate: Plate) -> Plate:
    """Long answers in many pieces."""
    return replace(plate, max_pdu=128, frame_size=64)


def blocked(plate: Plate) -> Plate:
    """... in general blocks."""
    return replace(small(plate), block_size=100)


async def opened(folder: Path, clock: Clock, kind: str) -> DlmsMeters:
    changed = {"data blocks": small, "general blocks": blocked}[kind]
    record = Record(folder / f"{kind}.jsonl")
    meters = DlmsMeters(record, clock.utc_ms, seed=7, password=PASSWORD, history_rows=12, changed=changed)
    await meters.start()
    return meters


def port_of(meters: DlmsMeters, framing: Framing) -> int:
    return meters.wrapper_port if framing is Framing.WRAPPER else meters.hdlc_port


async def visit(meters: DlmsMeters, framing: Framing, clock: Clock, timeout_s: float = 5.0) -> Seen:
    """All services; what was read until a named error ends it."""
    plate = meters.outlet(framing).meter.plate
    seen = Seen()
    wanted = [each.attribute for each in plate.registers]
    asked = [*(each.scaler for each in wanted if each.scaler is not None), *wanted]
    try:
        async with associated(HOST, port_of(meters, framing), framing, plate.access, clock, timeout_s) as meter:
            seen = replace(seen, registers=tuple(got.data for got in await meter.get_many(asked)))
            await meter.set(OWNER_ID, axdr.octet_string(b"owner 1"))
            seen = replace(seen, owner=(await meter.get(OWNER_ID)).data)
            seen = replace(seen, rows=(await meter.get(BUFFER, entries(3, 8))).data)
    except (MeterError, LinkError):
        pass
    return seen


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("kind", ["data blocks", "general blocks"])
@pytest.mark.parametrize("fault", list(Fault))
async def test_no_answer_that_is_not_ours_becomes_a_value(
    tmp_path: Path, clock: Clock, framing: Framing, kind: str, fault: Fault
) -> None:
    """Each answer in turn: what is read is right, or is not read; what is only there twice or foreign costs nothing."""
    if fault in OVER_HDLC and framing is Framing.WRAPPER:
        pytest.skip("TCP has the check sum: the wrapper has none")
    meters = await opened(tmp_path, clock, kind)
    outlet = meters.outlet(framing)
    outlet.faults = plain = Faults(())
    right = await visit(meters, framing, clock)
    assert right.rows is not None
    whole = 0
    for turn in range(plain.turns):
        outlet.faults = Faults((fault,), 3, turn)
        seen = await visit(meters, framing, clock, TIMEOUT_S)
        for found, wanted in zip(
            (seen.registers, seen.rows, seen.owner), (right.registers, right.rows, right.owner), strict=True
        ):
            assert not found or found == wanted
        whole += seen == right
        assert outlet.faults.done
    if fault in {Fault.TWICE, Fault.FOREIGN} or framing is Framing.HDLC:
        assert whole == plain.turns
    await meters.stop()


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_faults_by_seed_are_the_same_each_time(tmp_path: Path, clock: Clock, framing: Framing) -> None:
    """The same seed does the same to the same turns; another does something else."""
    meters = await opened(tmp_path, clock, "data blocks")
    done = []
    for seed in (1, 1, 2):
        meters.outlet(framing).faults = faults = Faults((Fault.TWICE, Fault.FOREIGN), seed, every=2)
        assert (await visit(meters, framing, clock)).rows is not None
        done.append(faults.done)
    assert done[0] == done[1] != done[2]
    await meters.stop()


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_faults_are_written_as_those_of_a_line(tmp_path: Path, clock: Clock, framing: Framing) -> None:
    """Each with its own odds, at any port of the meters; what costs no answer changes no value."""
    meters = await opened(tmp_path, clock, "data blocks")
    right = await visit(meters, framing, clock)
    meters.outlet(framing).faults = faults = Faults.parse("duplicate=0.3,foreign=0.3,flag=0.3", 5)
    assert await visit(meters, framing, clock) == right
    over = {Fault.FLAGGED} if framing is Framing.HDLC else set()
    assert {kind for _, kind in faults.done} == {Fault.TWICE, Fault.FOREIGN} | over
    await meters.stop()


@pytest.mark.parametrize("written", ["drop", "drop=2", "drop=0.6,delay=0.6", "noise=0.1"])
def test_faults_that_are_none_are_refused(written: str) -> None:
    """With what they could be."""
    with pytest.raises(ValueError, match="expected"):
        Faults.parse(written)
    assert len(Faults.parse(",".join(f"{each}=0.1" for each in NAMED)).odds) == len(NAMED)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_registers_and_their_scalers_take_one_turn(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """Fewer bytes and fewer turns than one by one, and the same values; the octets are with the first."""
    plate = meters.outlet(framing).meter.plate
    wanted = [each.attribute for each in plate.registers]
    asked = [*(each.scaler for each in wanted if each.scaler is not None), *wanted, CLOCK_TIME]
    outlet = meters.outlet(framing)
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as meter:
        outlet.faults = many = Faults(())
        found = await meter.get_many(asked)
        outlet.faults = single = Faults(())
        one_by_one = [await meter.get(each) for each in asked]
    assert [each.data for each in found] == [each.data for each in one_by_one]
    assert [bool(each.octets) for each in found] == [True] + [False] * (len(asked) - 1)
    assert (many.turns, single.turns) == (1, 13 + (1 if framing is Framing.WRAPPER else 2))  # RLRE, UA
    scalers = [ScalerUnit.from_data(each.data) for each in found[:6]]
    assert [each.exponent for each in scalers] == [each.exponent for each in plate.registers]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["nulls", "compact", "nulls and compact"])
async def test_compressed_buffers_have_the_same_rows(tmp_path: Path, clock: Clock, framing: Framing, how: str) -> None:
    """Null-data undone with a flag for each, compact arrays as they are: fewer bytes, the same times and values."""
    found: list[tuple[tuple[profile.Row, ...], int]] = []
    for changed in (small, lambda plate: replace(small(plate), nulls="nulls" in how, compact="compact" in how)):
        record = Record(tmp_path / f"{len(found)}.jsonl")
        meters = DlmsMeters(record, clock.utc_ms, seed=7, password=PASSWORD, history_rows=40, changed=changed)
        await meters.start()
        plate = meters.outlet(framing).meter.plate
        scaled = {each.attribute: ScalerUnit(each.exponent, each.unit) for each in plate.registers}
        async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as meter:
            captured = profile.columns((await meter.get(CAPTURED)).data)
            got = await meter.get(BUFFER)
        sent = profile.rows(got.value, captured, scaled, 900, "nulls" in how)
        found.append((tuple(sent), len(got.octets)))
        await meters.stop()
    (plain, size), (rows, shorter) = found
    assert len(rows) == 40
    assert [(row.utc_ms, row.status, row.values) for row in rows] == [
        (row.utc_ms, row.status, row.values) for row in plain
    ]
    assert shorter < 0.95 * size
    assert all(row.repeated for row in rows[1:]) == ("nulls" in how)
    assert all(row.status_repeated for row in rows[1:]) == ("nulls" in how)
    repeated = sum(sum(row.nulls) for row in rows)
    assert (repeated > 0) == ("nulls" in how and framing is Framing.HDLC)  # it counts in kWh


async def test_a_meter_without_lists_is_read_one_by_one(tmp_path: Path, clock: Clock) -> None:
    """What it does not offer it is not asked for; one that offers it and refuses is asked again one by one."""
    record = Record(tmp_path / "record.jsonl")

    def plain(plate: Plate) -> Plate:
        return replace(plate, offered=OURS & ~Conformance.MULTIPLE_REFERENCES)

    meters = DlmsMeters(record, clock.utc_ms, password=PASSWORD, changed=plain)
    await meters.start()
    plate = meters.outlet(Framing.WRAPPER).meter.plate
    wanted = [each.attribute for each in plate.registers]
    async with associated(HOST, meters.wrapper_port, Framing.WRAPPER, plate.access, clock) as meter:
        meters.outlet(Framing.WRAPPER).faults = faults = Faults(())
        assert len(await meter.get_many(wanted)) == 6
        assert faults.turns == 6
    await meters.stop()


async def test_a_refused_register_of_a_list_is_named(meters: DlmsMeters, clock: Clock) -> None:
    """With its own name, and the association goes on."""
    plate = meters.outlet(Framing.WRAPPER).meter.plate
    missing = Attribute.of(REGISTER, "1-0:99.8.0")
    async with associated(HOST, meters.wrapper_port, Framing.WRAPPER, plate.access, clock) as meter:
        with pytest.raises(AccessRefused, match=r"object undefined.*1-0:99\.8\.0\.255"):
            await meter.get_many([plate.registers[0].attribute, missing])
        assert await meter.get(CLOCK_TIME)
        with pytest.raises(AccessRefused, match="read write denied"):
            await meter.set(plate.registers[0].attribute, axdr.octet_string(bytes(12)))


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_meter_lists_its_objects(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """Class, version, name and rights; every attribute that it lists as readable can be read."""
    plate = meters.outlet(framing).meter.plate
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as meter:
        listed = listing.objects((await meter.get(listing.OBJECT_LIST)).data)
        names = {(each.class_id, each.name) for each in listed}
        assert {(each.attribute.class_id, each.attribute.name) for each in plate.registers} < names
        assert (7, LOAD_PROFILE) in names
        readable = [
            Attribute(each.class_id, each.name, right.number)
            for each in listed
            for right in each.attributes
            if right.mode == listing.READ
        ]
        assert len(await meter.get_many(readable)) == len(readable) > 25


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_rows_and_columns_are_chosen(meters: DlmsMeters, clock: Clock, framing: Framing) -> None:
    """By place, the last ones, some columns; by time with the columns named; what is not captured is refused."""
    plate = meters.outlet(framing).meter.plate
    async with associated(HOST, port_of(meters, framing), framing, plate.access, clock) as meter:
        captured = profile.columns((await meter.get(CAPTURED)).data)
        whole = axdr.members_of((await meter.get(BUFFER)).data, "rows")
        assert axdr.members_of((await meter.get(BUFFER, entries(1, 1))).data, "rows") == whole[:1]
        assert axdr.members_of((await meter.get(BUFFER, entries(len(whole) - 1, ALL))).data, "rows") == whole[-2:]
        narrow = axdr.members_of((await meter.get(BUFFER, entries(5, 6, 3, 4))).data, "rows")
        assert narrow == tuple(axdr.structure(*axdr.members_of(each, "row")[2:4]) for each in whole[4:6])
        rows = profile.rows(axdr.array(*whole), captured, {}, 900)
        first, last = rows[10].time, rows[12].time
        assert first is not None
        assert last is not None
        chosen = (captured[0], captured[2])
        asked = profile.between(first, last, chosen=chosen)
        found = profile.rows((await meter.get(BUFFER, asked)).data, chosen, {}, 900)
        assert [each.time for each in found] == [each.time for each in rows[10:13]]
        assert [each.values for each in found] == [each.values[:1] for each in rows[10:13]]
        foreign = profile.Column(Attribute.of(REGISTER, "1-0:99.8.0"))
        for wrong in (profile.between(first, last, chosen=(foreign,)), entries(0, 1), entries(1, 1, 0)):
            with pytest.raises(AccessRefused, match="type unmatched"):
                await meter.get(BUFFER, wrong)
