"""Orders to one meter of a line: who it is, a question, and what the meter shows afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import mbus_site
import pytest
from click.testing import CliRunner

from gateway import services
from gateway.cli import main
from gateway.lines import MACHINE, Lines, Place
from gateway.services import Declined, Talk, Where
from protocols.errors import MeterError
from protocols.mbus.faults import AddressTaken, ClockNotSettable, MeterLost, NoAnswer, NotObeyed
from protocols.mbus.select import Secondary
from protocols.models import mbus as models
from protocols.models.clock import Clock as ClockRule
from protocols.reading import MeterTime, Precision
from protocols.transports.exchange import ClosableLine
from simulators.mbus.bus import Bus, Slave
from simulators.mbus.meters import Model, cellar
from simulators.mbus.registers import Registers
from simulators.mbus.rows import NOW, Line
from simulators.record import Record

REPOSITORY = Path(__file__).resolve().parents[2]
NOW_MS = 1_793_000_000_000
HEAT = Secondary.of("60300001")
NAME = "KAM 60300001 (medium 04: heat, outlet) at primary address"
REACHED: list[int | Secondary] = [1, HEAT]
NOON = MeterTime.from_calendar(datetime(2027, 2, 28, 12, 0), Precision.SECOND)  # noqa: DTZ001 - a meter's own


class Memory:
    """A port with a bus behind it, and no wait that takes time; orders and their acknowledgements can be lost."""

    def __init__(self, bus: Bus, site: Site, baud: int) -> None:
        self._bus, self._site, self._baud, self._held = bus, site, baud, b""

    def flush_input(self) -> None:
        """Forget what came."""
        self._held = b""

    async def write(self, octets: bytes) -> None:
        """Ask at this speed."""
        self._bus.baud = self._baud
        heard = self._bus.hear(octets)
        if octets[0] == 0x68 and octets[6] != 0x52:
            self._site.orders.append(octets.hex())
            heard = b"" if self._site.deaf else heard
            self._site.ordered()
        self._held = heard

    async def read_some(self, timeout_s: float) -> bytes:
        """What was answered."""
        octets, self._held = self._held, b""
        return octets

    def close(self) -> None:
        """Nothing to let go."""


class Site:
    """The cellar's line; what was asked of the person, and which orders were on the line."""

    def __init__(self, folder: Path) -> None:
        self.bus = Bus(cellar(), Record(folder / "record.jsonl"), lambda: NOW_MS)
        self.asked: list[str] = []
        self.orders: list[str] = []
        self.says, self.deaf = True, False
        self.ordered: Callable[[], object] = lambda: None
        self.while_asked: Callable[[], object] = lambda: None

    def visit(self, meter: int | Secondary = 1, baud: int = 2400) -> Talk:
        """To one of its meters."""
        return Talk(Where(Place("port", baud), meter), self.lines())

    def lines(self) -> Lines:
        """Every port leads here."""

        def opened(port: str, baud: int, mode: str) -> ClosableLine:
            return Memory(self.bus, self, baud)

        return replace(MACHINE, serial=opened)

    def agree(self, question: str) -> bool:
        """The person's word."""
        self.asked.append(question)
        self.while_asked()
        return self.says


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("meter", REACHED)
async def test_an_address_is_given_after_a_question_that_names_the_meter(site: Site, meter: int | Secondary) -> None:
    async with site.visit(meter) as visit:
        said = await services.set_address(visit, 7, site.agree)
    assert site.asked == [f"{NAME} 1: give it primary address 7?"]
    assert said.startswith(f"{NAME} 7;")
    assert site.bus.slaves[7].plate.number == "60300001"
    assert len(site.orders) == 1


async def test_an_order_to_a_number_selects_by_the_whole_plate_that_was_shown(site: Site) -> None:
    """Another meter with this number may have been silent when it was read."""
    selections: list[str] = []
    site.ordered = lambda: selections.extend(str(each.plate.number) for each in site.bus._all() if each.selected)
    twin = cellar()[0]
    other = Slave(replace(twin, model=replace(twin.model, letters="XYZ"), address=9), Registers(), 1)
    site.while_asked = lambda: site.bus.others.append(other)
    async with site.visit(HEAT) as visit:
        await services.reset(visit, None, site.agree)
    assert selections == ["60300001"]
    assert other.resets == []


@pytest.mark.parametrize("taken", [1, 2, 3])
async def test_an_address_where_somebody_answers_is_refused_before_anything_is_asked(site: Site, taken: int) -> None:
    async with site.visit() as visit:
        with pytest.raises(AddressTaken, match="PLB-M131"):
            await services.set_address(visit, taken, site.agree)
    assert (site.asked, site.orders) == ([], [])


async def test_an_address_where_two_answer_at_once_is_refused(site: Site) -> None:
    site.bus.others.append(site.bus.slaves[3])
    async with site.visit() as visit:
        with pytest.raises(AddressTaken):
            await services.set_address(visit, 3, site.agree)


ACTS: dict[str, Callable[[Talk, Site], object]] = {
    "address": lambda visit, site: services.set_address(visit, 7, site.agree),
    "reset": lambda visit, site: services.reset(visit, None, site.agree),
    "baud": lambda visit, site: services.set_baud(visit, 9600, site.agree),
    "clock": lambda visit, site: services.set_clock(visit, NOON, site.agree),
}


async def act(kind: str, site: Site, meter: int | Secondary = 1) -> str:
    async with site.visit(meter) as visit:
        said: str = await ACTS[kind](visit, site)  # type: ignore[misc]
    return said


@pytest.mark.parametrize("kind", ACTS)
async def test_where_the_person_says_no_no_order_is_on_the_line(site: Site, kind: str) -> None:
    site.says = False
    with pytest.raises(Declined):
        await act(kind, site)
    assert site.orders == []
    assert [question.startswith(NAME) for question in site.asked] == [True]


@pytest.mark.parametrize("kind", ACTS)
async def test_a_meter_that_is_not_there_is_told_nothing(site: Site, kind: str) -> None:
    with pytest.raises(NoAnswer):
        await act(kind, site, 77)
    assert (site.asked, site.orders) == ([], [])


@pytest.mark.parametrize("kind", ["address", "baud", "clock"])
@pytest.mark.parametrize("meter", REACHED)
async def test_a_meter_that_acknowledges_and_does_nothing_is_found_out(
    site: Site, kind: str, meter: int | Secondary
) -> None:
    site.bus.slaves[1].stubborn, site.bus.slaves[1].baud = True, 2400
    with pytest.raises(NotObeyed, match=r"PLB-M130.*, and an acknowledgement"):
        await act(kind, site, meter)


@pytest.mark.parametrize("kind", ["address", "baud", "clock"])
@pytest.mark.parametrize("meter", REACHED)
async def test_an_order_that_was_obeyed_counts_though_its_acknowledgement_was_lost(
    site: Site, kind: str, meter: int | Secondary
) -> None:
    site.deaf = True
    assert "though its acknowledgement did not arrive" in await act(kind, site, meter)


async def test_a_reset_that_nobody_acknowledges_is_not_said_to_be_done(site: Site) -> None:
    site.deaf = True
    with pytest.raises(NotObeyed):
        await act("reset", site)


@pytest.mark.parametrize("meter", REACHED)
async def test_a_reset_hands_the_sub_code_on(site: Site, meter: int | Secondary) -> None:
    async with site.visit(meter) as visit:
        said = await services.reset(visit, 0x10, site.agree)
    assert site.bus.slaves[1].resets == [b"\x10"]
    assert "reset with sub-code 10; it shows 19 values now" in said


@pytest.mark.parametrize("meter", REACHED)
async def test_a_speed_is_changed_and_the_meter_met_there(site: Site, meter: int | Secondary) -> None:
    assert "it speaks at 9600 baud now" in await act("baud", site, meter)
    assert site.bus.slaves[1].baud == 9600


async def test_a_meter_that_keeps_its_speed_is_met_there_again(site: Site) -> None:
    site.bus.slaves[1].baud, site.bus.slaves[1].stubborn = 2400, True
    with pytest.raises(NotObeyed, match="got one at 2400 baud"):
        await act("baud", site)


async def test_a_meter_that_is_lost_at_both_speeds_is_said_to_be(site: Site) -> None:
    site.ordered = lambda: setattr(site.bus, "frozen", True)
    with pytest.raises(MeterLost, match=r"PLB-M132.*wait 10 minutes"):
        await act("baud", site)


@pytest.mark.parametrize("meter", REACHED)
async def test_a_clock_without_seconds_is_set_to_the_nearest_minute(site: Site, meter: int | Secondary) -> None:
    wanted = replace(NOON, seconds=NOON.seconds + 45)
    async with site.visit(meter) as visit:
        said = await services.set_clock(visit, wanted, site.agree)
    assert said == f"{NAME} 1: its clock shows 2027-02-28T12:01"
    assert "it shows 2026-10-26T" in site.asked[0]


async def test_a_clock_with_seconds_is_set_with_seconds(site: Site) -> None:
    slave = site.bus.slaves[1]
    model = Model("KAM", 1, 4, 0, lambda registers, now, number: iter((_seconds(now),)))
    slave.plate, slave.registers = replace(slave.plate, model=model), Registers()
    async with site.visit() as visit:
        said = await services.set_clock(visit, replace(NOON, seconds=NOON.seconds + 45), site.agree, any_model=True)
    assert said.endswith("its clock shows 2027-02-28T12:00:45")
    assert site.asked[0].endswith("? (no model says that this meter takes it)")


def _seconds(now: datetime) -> Line:
    """A clock of type I."""
    year = now.year % 100
    day = [(year % 8) * 32 + now.day, (year // 8) * 16 + now.month]
    return Line("06", "6d", NOW, bytes([now.second, now.minute, now.hour, *day, 1]), {"time": now.isoformat()})


async def test_a_meter_without_a_clock_cannot_be_said_to_have_been_set(site: Site) -> None:
    slave = site.bus.slaves[1]
    slave.plate = replace(slave.plate, model=Model("KAM", 1, 4, 0, lambda registers, now, number: iter(())))
    async with site.visit() as visit:
        with pytest.raises(NotObeyed, match="got no clock, and an acknowledgement"):
            await services.set_clock(visit, NOON, site.agree, any_model=True)


def ruled(clock: ClockRule | None) -> services.Known:
    """The meter's model, with this to say of its clock."""
    return lambda who: [replace(each, clock=clock) for each in models.candidates(who)]


FIXED = ClockRule(settable=False, says="its clock is sealed", source="description")


@pytest.mark.parametrize("any_model", [False, True])
async def test_a_clock_that_the_model_calls_sealed_is_refused_before_anything_is_asked(
    site: Site, any_model: bool
) -> None:
    async with site.visit() as visit:
        with pytest.raises(ClockNotSettable, match=r"PLB-M133.*its clock is sealed in KAM .*kamstrup-multical-603"):
            await services.set_clock(visit, NOON, site.agree, any_model, ruled(FIXED))
    assert (site.asked, site.orders) == ([], [])


@pytest.mark.parametrize(
    ("known", "named"), [(ruled(None), "603, of which no source says it"), (lambda _: (), "no model of its header")]
)
async def test_a_clock_of_which_no_model_speaks_is_set_on_request_alone(
    site: Site, known: services.Known, named: str
) -> None:
    async with site.visit() as visit:
        with pytest.raises(ClockNotSettable, match=named):
            await services.set_clock(visit, NOON, site.agree, known=known)
        assert (site.asked, site.orders) == ([], [])
        assert "2027-02-28T12:00" in await services.set_clock(visit, NOON, site.agree, True, known)


SUMMER = replace(NOON, summer=True)


@pytest.mark.parametrize(
    ("record", "ci", "summer", "wanted", "order"),
    [
        ("046d", 0x51, None, SUMMER, "51046d00ac7c32"),  # in the hour bit 7 is the flag, bit 5 says 20..
        ("046d", 0x51, None, NOON, "51046d002c7c32"),
        ("046d", 0x51, False, SUMMER, "51046d002c7c32"),
        ("046d", 0x55, True, NOON, "55046d002c7c32"),
        ("066d", 0x51, None, SUMMER, "51066d4000ec7c3208"),  # bit 6 of the second; a Sunday in week 8
    ],
)
async def test_the_order_is_written_as_the_model_says(
    site: Site, record: str, ci: int, summer: bool | None, wanted: MeterTime, order: str
) -> None:
    rule = ClockRule(settable=True, says="-", source="description", record=record, ci=ci, summer=summer)
    async with site.visit() as visit:
        with contextlib.suppress(NotObeyed):  # the simulated meter knows CI 51 alone
            await services.set_clock(visit, wanted, site.agree, known=ruled(rule))
    (given,) = site.orders
    assert given[12:-4] == order


async def test_a_meter_that_drops_the_flag_that_its_model_takes_did_not_obey(site: Site) -> None:
    rule = ClockRule(settable=True, says="-", source="description", record="046d", summer=True)
    async with site.visit() as visit:
        with pytest.raises(NotObeyed, match="12:00, summer time, got 2027-02-28T12:00, and an acknowledgement"):
            await services.set_clock(visit, SUMMER, site.agree, known=ruled(rule))
    assert site.asked[0].endswith("set its clock to 2027-02-28T12:00:00, summer time?")


async def test_two_meters_at_one_address_are_told_nothing(site: Site) -> None:
    """An order would reach both."""
    other = cellar()[1]
    site.bus.others.append(site.bus.slaves[2])
    site.bus.slaves[2].plate = replace(other, address=1)
    with pytest.raises(MeterError):
        await act("address", site)
    assert site.orders == []


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """A pseudo-terminal with the cellar behind it, a process of its own."""
    link = tmp_path / "bus"
    command = [sys.executable, "-m", "simulators.cli", "meters", "--link", str(link), "--record", str(tmp_path / "r")]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("faults:"):
            break
    yield str(link)
    process.kill()
    process.wait()
    process.stderr.close()


def test_the_commands_on_a_terminal_as_a_technician_gives_them(port: str) -> None:
    """Asked and refused; another address; another speed and back, where the line's speed decides who is heard."""

    def give(*words: str, typed: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(main, ["mbus", *words, "--port", port], input=typed)
        return done.exit_code, done.output

    code, said = give("set-address", "7", "--address", "1", typed="n\n")
    assert (code, "nothing was changed" in said) == (1, True)
    code, said = give("set-address", "7", "--address", "1", typed="y\n")
    assert (code, f"{NAME} 7" in said) == (0, True)
    assert give("set-address", "3", "--address", "7", "--yes")[0] == 1
    assert give("reset", "--secondary", "60300001", "--sub-code", "10", "--yes")[0] == 0
    assert give("set-clock", "--address", "7", "--time", "2027-02-28T12:00", "--yes")[1].count("2027-02-28T12:00") == 2
    assert (
        ", summer time?"
        in give("set-clock", "--address", "7", "--time", "2027-07-28T12:00", "--summer", typed="n\n")[1]
    )
    assert "PLB-M133" in give("set-clock", "--address", "2", "--yes")[1]
    assert give("set-clock", "--address", "2", "--any-model", "--yes")[0] == 0
    assert give("set-clock", "--address", "7", "--summer")[0] == 2
    assert give("set-baud", "9600", "--secondary", "60300001", "--yes")[0] == 0
    assert "PLB-M101" in give("set-baud", "9600", "--address", "7", "--yes")[1]
    assert give("set-baud", "2400", "--address", "7", "--baud", "9600", "--yes")[0] == 0
    assert "silence, asked 3 times in address 0" in give("reset", "--address", "0", "--yes")[1]


CONFIGURED = """gateway = "house-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 8883
[[bus]]
protocol = "mbus"
name = "riser"
url = "{url}"
[[bus.device]]
name = "heat"
{reached}
cadence_s = 900
"""


@pytest.mark.parametrize("reached", ["address = 1", 'secondary = "60300001"\nmanufacturer = "KAM"'])
@pytest.mark.parametrize("kind", ["tcp", "rfc2217"])
async def test_a_configured_meter_behind_a_converter_is_given_orders(tmp_path: Path, kind: str, reached: str) -> None:
    """The line is the file's; the speed only where the converter takes it from us."""
    async with mbus_site.site(tmp_path, kind) as line:
        file = tmp_path / "gateway.toml"
        file.write_text(CONFIGURED.format(url=line.at, reached=reached))

        async def give(*words: str) -> tuple[int, str]:
            options = ("--meter", "heat", "--config", str(file), "--yes")
            done = await asyncio.to_thread(CliRunner().invoke, main, ["mbus", *words, *options])
            return done.exit_code, done.output

        code, said = await give("set-address", "7")
        assert (code, f"{NAME} 7" in said) == (0, True), said
        assert line.bus.slaves[7].plate.number == "60300001"
        if reached.startswith("secondary"):
            code, said = await give("set-baud", "9600")
            wanted = (1, "PLB-L107") if kind == "tcp" else (0, "it speaks at 9600 baud now")
            assert (code, wanted[1] in said) == (wanted[0], True), said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set-address", "7", "--meter", "heat"], "in which file is heat? name it with --config FILE"),
        (["set-address", "7", "--meter", "heat", "--address", "1"], "name the meter with"),
        (["set-address", "7", "--address", "1", "--config", "FILE"], "which meter of FILE is meant? --meter NAME"),
        (["set-address", "7"], "name the meter with --address or with --secondary"),
        (["set-address", "7", "--address", "1", "--secondary", "60300001"], "name the meter with"),
        (["set-address", "251", "--address", "1"], "251"),
        (["reset", "--secondary", "6030000X"], "expected 8 or 16 digits"),
        (["reset", "--secondary", ""], "expected 8 or 16 digits"),
        (["reset", "--address", "1", "--sub-code", "0x1"], "expected two hexadecimal digits"),
        (["set-baud", "1000", "--address", "1"], "1000"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["mbus", *words, "--port", "/nowhere"])
    assert done.exit_code == 2
    assert re.sub(r"\s+", " ", done.output).count(said)
