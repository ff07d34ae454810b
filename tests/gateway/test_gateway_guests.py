"""Commands beside the daemon: it reads for them, they print what they print without it, and nobody else is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from daemons import PASSWORD, daemon, listening, set_up, tells, written
from mbus_site import site

from gateway.cli import main
from gateway.faults import BusBusy, DaemonRefused
from gateway.guests import MOST, Guests
from gateway.handed import fault, taken
from protocols.dlms.faults import AccessRefused
from protocols.errors import LinkError, MeterError, PlombaError
from protocols.uplink.pack import Wire
from simulators.dlms.meters import DlmsMeters
from simulators.modbus.meter import ModbusMeter
from simulators.record import Record, read

FILE = """gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 8883
[[bus]]
protocol = "mbus"
name = "cellar"
url = "{mbus}"
baud = 38400
[[bus.device]]
name = "heat"
address = 1
cadence_s = 900
id = "60300001"
[[bus.device]]
name = "gone"
address = 9
cadence_s = 900
[[bus]]
protocol = "dlms"
name = "supply"
url = "tcp+hdlc://127.0.0.1:{hdlc}"
[[bus.device]]
name = "main"
client = 32
auth = "lls"
password_file = "secrets/password"
cadence_s = 900
history_days = 1
[[bus]]
protocol = "modbus"
name = "subs"
url = "tcp://127.0.0.1:{modbus}"
[[bus.device]]
name = "lift"
cadence_s = 900
model = "carlo-gavazzi-em340"
"""
ROWS = ("--from", "2026-01-01T01:15", "--to", "2026-01-01T06:00")
NOW_MS = 1_767_312_000_000  # 2026-01-02
METERS = ("heat", "gone", "main", "lift")


@dataclass(frozen=True, slots=True)
class House:
    """Meters of each protocol, which a configuration names, and what they answered."""

    folder: Path
    file: Path
    electricity: DlmsMeters

    def answers(self, folder: str) -> list[str]:
        """The telegrams of one of the records."""
        return [each.telegram for each in read(self.folder / folder / "record.jsonl") if each.telegram]


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Meters whose clock stands still, so that they show the same to everybody."""
    for each in ("mbus", "others"):
        (folder / each).mkdir()
    record = Record(folder / "others" / "record.jsonl")
    electricity = DlmsMeters(record, lambda: NOW_MS, password=PASSWORD, history_rows=96)
    modbus = ModbusMeter(record, lambda: NOW_MS)
    await electricity.start()
    await modbus.start(0)
    try:
        async with site(folder / "mbus", "tcp") as line:
            text = FILE.format(mbus=line.at, hdlc=electricity.hdlc_port, modbus=modbus.port)
            yield House(folder, set_up(folder, text), electricity)
    finally:
        await electricity.stop()
        await modbus.stop()
        record.close()


async def run(house: House, *arguments: str) -> Result:
    """The real command, while the meters answer."""
    result = await asyncio.to_thread(CliRunner().invoke, main, [*arguments, "--config", str(house.file)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


@pytest.mark.alone
async def test_the_daemon_reads_for_commands_which_print_what_they_print_without_it(tmp_path: Path) -> None:
    """Meters of each protocol, values, rows and objects; failures, too; no secret leaves its file."""
    asked = (
        ("objects", "main"),
        ("objects", "main", "--json"),
        ("profile", "main", *ROWS),
        ("profile", "main", "--last", "3", "--csv"),
        ("read", "gone"),
        ("read", "lift", "--raw"),
    )
    said: list[bytes] = []
    async with house(tmp_path) as found:
        before = [await run(found, *each) for each in asked]
        shown = [json.loads((await run(found, "read", name, "--json")).stdout) for name in ("heat", "main", "lift")]
        async with daemon(tmp_path, said):
            await listening(tmp_path)
            behind = [await run(found, *each) for each in asked]
            again = [json.loads((await run(found, "read", name, "--json")).stdout) for name in ("heat", "main", "lift")]
            raw = (await run(found, "read", "heat", "--raw")).stdout.split()
            refused = [await run(found, *each) for each in (("probe", "main"), ("scan", "cellar"))]
            refused.append(await run(found, "read", "heat", "--baud", "300"))
    for alone, beside in zip(before[:-1], behind[:-1], strict=True):
        assert beside.exit_code == alone.exit_code
        assert beside.stdout == alone.stdout
        told, *more = beside.stderr.splitlines()
        assert told.startswith("the daemon, process ")
        assert [each for each in more if "clock" not in each] == [
            each for each in alone.stderr.splitlines() if "clock" not in each
        ]
    assert len(before[2].stdout.splitlines()) == 1 + 20
    assert [len(each[-1].stdout.splitlines()) for each in (before, behind)] == [4, 4]
    for alone_row, beside_row in zip(shown, again, strict=True):
        assert list(beside_row) == list(alone_row)
    assert again[1]["registers"] == shown[1]["registers"]
    assert raw == found.answers("mbus")[-1:]
    assert [(each.exit_code, each.stderr[:9]) for each in refused] == [(1, "PLB-L105:")] * 3
    assert all("systemctl stop plomba-gateway" in each.stderr for each in refused)
    assert not any(tells(octets) for octets in (*said, *written(tmp_path)))


@pytest.mark.alone
async def test_every_meter_is_read_in_a_line_with_the_daemon_and_without(tmp_path: Path) -> None:
    """Who it is and its first values, or what to do; some failed: 3. A meter that the daemon does not know is told."""
    said: list[bytes] = []
    async with house(tmp_path) as found:
        alone = await run(found, "read", "--all")
        async with daemon(tmp_path, said):
            await listening(tmp_path)
            beside = await run(found, "read", "--all")
            found.file.write_text(found.file.read_text().replace('name = "lift"', 'name = "new-lift"'))
            newer = await run(found, "read", "--all", "--json")
    for each in (alone, beside):
        lines = each.stdout.splitlines()
        assert each.exit_code == 3
        assert [line.split()[0] for line in lines] == list(METERS)
        assert "KAM 60300001" in lines[0]
        assert " Wh, volume " in lines[0]
        assert "PLB-M101" in lines[1]
        assert "check its supply" in lines[1]
        assert "1-0:1.8.0.255 active energy import" in lines[2]
        assert "voltage L1-N" in lines[3]
        assert each.stderr.endswith("3 of 4 meters read\n")
    assert beside.stderr.startswith("the daemon, process ")
    rows = json.loads(newer.stdout)
    assert [row["ok"] for row in rows] == [True, False, True, False]
    assert (rows[3]["code"], "systemctl restart plomba-gateway" in rows[3]["error"]) == ("PLB-C232", True)


async def test_no_meter_that_answers_is_a_failure(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        text = found.file.read_text()
    found.file.write_text(text)
    result = await run(found, "read", "--all", "--json")
    assert result.exit_code == 1
    assert [row["ok"] for row in json.loads(result.stdout)] == [False] * len(METERS)
    assert all(row["error"].startswith(row["code"]) for row in json.loads(result.stdout))


class Meter:
    """A meter behind a reader: it answers when it is let, and counts who entered it."""

    def __init__(self) -> None:
        self.entered, self.asked, self.let_go_of = 0, 0, 0
        self.answers = asyncio.Event()
        self.fault: PlombaError | None = None

    @asynccontextmanager
    async def received(self, device: str) -> AsyncIterator[Meter]:
        """Somebody enters."""
        self.entered += 1
        yield self

    async def answer(self, question: list[Wire]) -> Wire:
        """The question."""
        self.asked += 1
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        return question

    def survives(self, error: PlombaError) -> bool:
        """Only a refusal is survived."""
        return isinstance(error, AccessRefused)

    def let_go(self) -> None:
        """The line is let go."""
        self.let_go_of += 1


async def test_what_the_end_of_a_rest_breaks_off_waits_for_a_longer_one() -> None:
    """It is not begun again where it cannot end: that would only disturb the line."""
    meter = Meter()
    guests = Guests(meter)
    asking = asyncio.create_task(guests.ask("main", [7]))
    await asyncio.sleep(0)
    await guests.served(600, lambda: True)
    await guests.served(600, lambda: True)
    assert (meter.asked, asking.done()) == (1, False)
    meter.answers.set()
    await guests.served(60_000, lambda: True)
    assert await asking == [7]
    assert meter.asked == 2


async def test_questions_of_one_command_are_answered_in_one_visit() -> None:
    """A refusal among them is its own; a line that is gone is let go, and the next question enters anew."""
    meter = Meter()
    guests = Guests(meter)
    meter.answers.set()

    async def command() -> list[Wire | str]:
        went: list[Wire | str] = []
        faults = [None, AccessRefused("a value", "none", "meter"), None, LinkError("a line", "none", "line"), None]
        for number, meter.fault in enumerate(faults):
            try:
                went.append(await guests.ask("main", [number]))
            except (MeterError, LinkError) as error:
                went.append(type(error).__name__)
        return went

    asking = asyncio.create_task(command())
    while not asking.done():
        await asyncio.sleep(0)
        await guests.served(60_000, lambda: True)
    assert await asking == [[0], "AccessRefused", [2], "LinkError", [4]]
    assert (meter.entered, meter.let_go_of) == (2, 1)


async def test_whatever_is_due_ends_a_visit_and_a_daemon_that_stops_tells_who_waits() -> None:
    meter = Meter()
    guests = Guests(meter)
    meter.answers.set()
    asking = [asyncio.create_task(guests.ask("main", [number])) for number in range(MOST + 1)]
    await asyncio.sleep(0)
    await guests.served(60_000, lambda: not meter.asked)
    guests.close()
    await guests.served(60_000, lambda: True)
    went = await asyncio.gather(*asking, return_exceptions=True)
    assert went[0] == [0]
    assert meter.asked == 1
    assert all(isinstance(each, BusBusy) for each in went[1:])
    assert "wait already" in str(went[-1])


def test_a_fault_comes_back_as_what_it_is() -> None:
    """One of a newer daemon as its words."""
    with pytest.raises(AccessRefused, match="expected a value, got none in meter"):
        taken(fault(AccessRefused("a value", "none", "meter")), "main")
    with pytest.raises(DaemonRefused, match="PLB-M999: expected this, got that"):
        taken([1, ["PLB-M999", "this", "that", "there"]], "main")
    answers: tuple[Wire, ...] = (None, [], [2, 0], [1, []], [1, ["PLB-M101", 1, 2, 3]], [True, 1])
    for wrong in answers:
        with pytest.raises(PlombaError):
            taken(wrong, "main")
