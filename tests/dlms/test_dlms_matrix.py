"""Every service over each of the four ways to a meter under each fault, by seed: a right value or a named error.

What goes wrong is done to answers by the simulators, which know nothing of the client. The truth is a visit without
faults at the same instant.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from dlms_lines import served

from protocols.dlms import data as axdr
from protocols.dlms import listing, profile
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.action import Method
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import Selection
from protocols.dlms.listing import OBJECT_LIST
from protocols.dlms.objects import CLOCK, CLOCK_TIME, REGISTER, Attribute
from protocols.dlms.opening import Identification, Opening
from protocols.dlms.profile import buffer_of, columns, entries
from protocols.dlms.protection import Security
from protocols.dlms.timing import Timing
from protocols.errors import LinkError, MeterError
from protocols.transports.dlms import Association, associated, associated_on
from protocols.transports.exchange import Clock
from protocols.transports.optical import opened_in_mode_e
from protocols.transports.serial import SerialLine
from simulators.dlms.faults import OVER_HDLC, Fault, Faults
from simulators.dlms.line import DlmsLine, line_plates
from simulators.dlms.line_faults import ECHO, HALF_OPEN, KINDS
from simulators.dlms.meter import EXPORT_CERTIFICATE, IMPORT_CERTIFICATE, LOAD_PROFILE, OWNER_ID
from simulators.dlms.meters import DlmsMeters, Outlet
from simulators.dlms.plates import Kind, Plate, Register
from simulators.record import Record

WRAPPER, HDLC, LINE, OPTICAL = "wrapper", "hdlc over tcp", "rs-485", "optical head"
SEALED, SEALED_HDLC = "wrapper, ciphered", "hdlc over tcp, ciphered"
OVER_TCP = {WRAPPER: Framing.WRAPPER, HDLC: Framing.HDLC, SEALED: Framing.WRAPPER, SEALED_HDLC: Framing.HDLC}
WAYS = (*OVER_TCP, LINE, OPTICAL)
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
GMAC = Access(17, auth=Auth.HLS_GMAC, title=b"PLB\0\0\0\0\1", security=Security(KEYS))
SHIFT_CLOCK = Method(CLOCK, CLOCK_TIME.name, 6)
IDENT = Identification("LGZ", "5", "\\2", "ZMD3104407.B32")
BUFFER = buffer_of(LOAD_PROFILE)
CAPTURED = Attribute(7, LOAD_PROFILE, profile.CAPTURE_OBJECTS)
HISTORY = 12  # rows
CERTIFICATE = axdr.octet_string(bytes(range(250)))  # three blocks there, three back
SEED = 5  # of the line's meters and of its faults
TIMEOUT_S = 0.3  # for one answer over TCP
TIMING = Timing(answer_ms=120, slack_ms=30)
LATE_S = 0.3  # beyond the time for an answer
PATIENT = 20  # times as long for an answer that is sure to come, on a machine with other work
HARMLESS = {Fault.TWICE, Fault.FOREIGN}  # nothing is missing and nothing is damaged


Changed = Callable[[Plate], Plate]


def of_many_objects(plate: Plate) -> Plate:
    """600 registers more: their list is 35 times as long as its longest APDU."""
    names = (f"1-{number // 200 + 1}:{number % 200}.8.0.255" for number in range(600))
    more = (Register(each, Kind.VOLTAGE, "U1", 600, Tag.LONG, -1, "V", 35) for each in names)
    return replace(plate, registers=(*plate.registers, *more), max_pdu=600, frame_size=248, window=3)


def small(plate: Plate) -> Plate:
    """Answers in several blocks, blocks in several frames, frames in windows."""
    return replace(plate, max_pdu=128, frame_size=48, window=3)


@dataclass
class Seen:
    """What a visit found, as far as it came, and what ended it."""

    found: dict[str, Data] = field(default_factory=dict)
    error: MeterError | LinkError | None = None


@dataclass
class Way:
    """A meter behind one of the ways, and where its answers are changed."""

    meter: Outlet | DlmsLine
    plate: Plate
    opened: Any  # a new association, with this many times the time for an answer
    times: int = 1

    def turn(self, faults: Faults) -> None:
        """From now on answers are changed by their turn."""
        self.times = PATIENT if HARMLESS.issuperset(faults.kinds) else 1
        if isinstance(self.meter, Outlet):
            self.meter.faults = faults
        else:
            self.meter.turned = faults

    async def visit(self) -> Seen:
        """GET, with list and with entries, in blocks; SET, with list too, and what was set; ACTION, in blocks too."""
        seen = Seen()
        registers = [each.attribute for each in self.plate.registers]
        scalers = [each.scaler for each in registers if each.scaler is not None]
        try:
            async with self.opened(self.times) as meter:
                for at, got in enumerate(await meter.get_many([*scalers, *registers, CLOCK_TIME])):
                    seen.found[f"register {at}"] = got.data
                await _rows(meter, seen)
                await meter.set(OWNER_ID, axdr.octet_string(b"owner 1"))
                seen.found["owner"] = (await meter.get(OWNER_ID)).data
                await meter.act(SHIFT_CLOCK, Data(Tag.LONG, 0))
                seen.found["clock"] = (await meter.get(CLOCK_TIME)).data
                await _blocks_of_ours(meter, seen)
        except (MeterError, LinkError) as error:
            seen.error = error
        return seen

    async def insist(self) -> Seen:
        """Registers one by one, whatever became of the one before: a late answer comes for another question."""
        seen = Seen()
        try:
            async with self.opened(self.times) as meter:
                for at, register in enumerate(self.plate.registers):
                    try:
                        seen.found[f"register {at}"] = (await meter.get(register.attribute)).data
                    except MeterError as error:
                        seen.error = error
        except (MeterError, LinkError) as error:
            seen.error = error
        return seen


async def _blocks_of_ours(meter: Association, seen: Seen) -> None:
    """A list that is set; an action with a long parameter, and one that gives it back."""
    await meter.set_many({OWNER_ID: axdr.octet_string(bytes(32)), CLOCK_TIME: seen.found["clock"]})
    seen.found["owner of the list"] = (await meter.get(OWNER_ID)).data
    await meter.act(IMPORT_CERTIFICATE, CERTIFICATE)
    returned = await meter.act(EXPORT_CERTIFICATE)
    assert returned is not None
    seen.found["certificate"] = returned


async def _rows(meter: Association, seen: Seen) -> None:
    captured = (await meter.get(CAPTURED)).data
    seen.found["columns"] = captured
    chosen: dict[str, Selection | None] = {"whole": None, "entries": entries(3, 8)}
    for name, selection in chosen.items():
        got = await meter.get(BUFFER, selection)
        seen.found[name] = got.data
        assert len(profile.rows(got.value, columns(captured), {}, 900)) == {"whole": HISTORY, "entries": 6}[name]


async def _over_tcp(kind: str, folder: Path, clock: Clock, stack: AsyncExitStack, changed: Changed, times: int) -> Way:
    framing, ciphered = OVER_TCP[kind], kind in {SEALED, SEALED_HDLC}
    record = Record(folder / "tcp.jsonl")
    stack.callback(record.close)
    secrets: dict[str, Any] = {"password": b"pw-7519-meter", "keys": KEYS if ciphered else None}
    pair = DlmsMeters(record, clock.utc_ms, 7, history_rows=HISTORY, changed=changed, **secrets)
    await pair.start()
    stack.push_async_callback(pair.stop)
    outlet = pair.outlet(framing)
    access = GMAC if ciphered else replace(outlet.meter.plate.access, acts=True)
    counters = Block(1, 1 << 31)

    def opened(times: int) -> Any:
        return associated("127.0.0.1", outlet.port, framing, access, clock, TIMEOUT_S * times, counters=counters)

    return Way(outlet, outlet.meter.plate, opened, times)


@asynccontextmanager
async def way_to(
    kind: str, folder: Path, clock: Clock, faults: str = "", changed: Changed = small
) -> AsyncIterator[Way]:
    """The meter behind `kind`; on a line with faults of a line. Without faults there is time for its answers."""
    times = 1 if faults else PATIENT
    async with AsyncExitStack() as stack:
        if kind in OVER_TCP:
            yield await _over_tcp(kind, folder, clock, stack, changed, times)
            return
        (plate,) = map(changed, line_plates(1))
        access = replace(plate.access, acts=True)
        more = {"optical": IDENT} if kind == OPTICAL else {}
        lines = served(folder, [plate], clock.utc_ms, faults, seed=SEED, history_rows=HISTORY, late_s=LATE_S, **more)
        line = await stack.enter_async_context(lines)
        port = SerialLine.open(str(line.pty.link), 9_600, "8N1")
        stack.callback(port.close)

        @asynccontextmanager
        async def on_the_line(times: int) -> AsyncIterator[Association]:
            if kind == OPTICAL:
                await opened_in_mode_e(port, Opening())
            async with associated_on(
                port, access, clock, replace(TIMING, answer_ms=TIMING.answer_ms * times)
            ) as association:
                yield association

        yield Way(line, plate, on_the_line, times)


def judge(seen: Seen, right: Seen, what: object) -> None:
    """Nothing wrong was read, and what is missing has a name."""
    for name, found in seen.found.items():
        assert found == right.found[name], (what, name)
    assert set(seen.found) == set(right.found) or seen.error is not None, what
    assert seen.error is None or seen.error.code.startswith("PLB-"), what


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_every_service_on_every_way_under_every_fault(
    tmp_path: Path, clock: Clock, kind: str, fault: Fault
) -> None:
    """One answer of four, by seed; what is there twice or is another meter's costs nothing at all."""
    if (fault in OVER_HDLC and kind == WRAPPER) or (fault is Fault.FLAGGED and kind.startswith(WRAPPER)):
        pytest.skip("TCP has the check sum: the wrapper has none")
    async with way_to(kind, tmp_path, clock) as way:
        right = await way.visit()
        assert right.error is None
        for seed in (1, 2):
            faults = Faults((fault,), seed, every=4)
            way.turn(faults)
            seen = await way.visit()
            judge(seen, right, (kind, fault, seed, faults.done))
            assert faults.done
            assert seen.error is None or fault not in HARMLESS


@pytest.mark.parametrize("kind", [LINE, OPTICAL])
@pytest.mark.parametrize("fault", [*(f"{each}=0.15" for each in KINDS), ECHO, HALF_OPEN])
async def test_every_service_on_a_line_under_every_fault_of_a_line(
    tmp_path: Path, clock: Clock, kind: str, fault: str
) -> None:
    """Noise, late, garbled, cut, silent, twice, behind a false start, with an echo, a link that was left open."""
    (tmp_path / "right").mkdir()
    async with way_to(kind, tmp_path / "right", clock) as way:
        right = await way.visit()
        assert right.error is None
    async with way_to(kind, tmp_path, clock, fault) as way:
        assert isinstance(way.meter, DlmsLine)
        for _ in range(2):
            judge(await way.visit(), right, (kind, fault))
        assert way.meter.spoilt or fault in {ECHO, HALF_OPEN}


@pytest.mark.parametrize("kind", WAYS)
async def test_a_list_of_600_objects_is_read_in_blocks(tmp_path: Path, clock: Clock, kind: str) -> None:
    """All of them, each once, with the rights that the meter gives."""
    async with way_to(kind, tmp_path, clock, changed=of_many_objects) as way, way.opened(PATIENT) as meter:
        got = await meter.get(OBJECT_LIST)
    found = listing.objects(got.data)
    assert len(got.octets) > 35 * 600
    names = [each.attribute.name for each in way.plate.registers]
    assert [each.name for each in found if each.class_id == REGISTER] == names
    assert all(len(each.attributes) == 3 for each in found if each.class_id == REGISTER)


@pytest.mark.parametrize("kind", [*OVER_TCP, LINE])
@pytest.mark.parametrize("fault", [Fault.TWICE, Fault.DELAYED, Fault.FOREIGN], ids=lambda fault: fault.name.lower())
async def test_each_answer_in_turn_that_is_not_ours_never_becomes_a_value(
    tmp_path: Path, clock: Clock, kind: str, fault: Fault
) -> None:
    """Each one twice; each one so late that it arrives for the next question; before each one another meter's."""
    async with way_to(kind, tmp_path, clock) as way:
        plain = Faults(())
        way.turn(plain)
        right = await way.visit()
        assert right.error is None
        for turn in range(plain.turns):
            faults = Faults((fault,), 3, turn)
            way.turn(faults)
            seen = await way.visit()
            judge(seen, right, (kind, fault, turn))
            assert faults.done == [(turn, fault)]
            assert seen.error is None or (OVER_TCP.get(kind), fault) == (Framing.WRAPPER, Fault.DELAYED)


@pytest.mark.parametrize("kind", [*OVER_TCP, LINE])
async def test_an_answer_that_comes_for_the_next_question_is_none_of_it(
    tmp_path: Path, clock: Clock, kind: str
) -> None:
    """Registers of one kind, each asked for though the one before was not answered in time."""
    async with way_to(kind, tmp_path, clock) as way:
        plain = Faults(())
        way.turn(plain)
        right = await way.insist()
        assert right.error is None
        for turn in range(plain.turns):
            faults = Faults((Fault.DELAYED,), 3, turn)
            way.turn(faults)
            seen = await way.insist()
            judge(seen, right, (kind, turn))
            assert faults.done == [(turn, Fault.DELAYED)]
            entering = turn < (2 if kind == SEALED else 1)  # AARE, and the meter's proof
            assert len(seen.found) >= len(right.found) - 1 or entering
