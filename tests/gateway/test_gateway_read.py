"""The command `read`, and `scan` of a configured line, as a technician runs them: on a terminal and on TCP."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import tomllib
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner, Result
from mbus_bench import plate
from mbus_site import KINDS, site

from gateway.adhoc import named
from gateway.cli import main
from gateway.lines import Place
from gateway.visit import DAMAGED, step
from protocols.mbus import explain, faults, link
from simulators.mbus.bus import Bus
from simulators.mbus.meters import cellar
from simulators.record import read

FILE = """gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker"
port = 8883
[[bus]]
protocol = "mbus"
name = "riser"
WHERE
baud = 38400
[[bus.device]]
name = "water"
secondary = "07712233"
cadence_s = 900
[[bus.device]]
name = "heat"
address = 1
cadence_s = 900
id = "60300001"
[[bus.device]]
name = "other"
address = 2
cadence_s = 900
id = "99999999"
[[bus]]
protocol = "modbus"
name = "subs"
url = "tcp://192.0.2.20:502"
[[bus.device]]
name = "lift"
cadence_s = 900
model = "eastron-sdm630-modbus"
"""
HOLD = """import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""
FAST = ("--baud", "38400")


async def run(*arguments: str) -> Result:
    """The real command, while the meters answer."""
    result = await asyncio.to_thread(CliRunner().invoke, main, list(arguments))
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def at_line(at: str) -> tuple[str, ...]:
    return ("--url" if "://" in at else "--port", at, *FAST)


def configured(folder: Path, at: str) -> str:
    """A file with the line, by its path."""
    where = f'url = "{at}"' if "://" in at else f'port = "{at}"'
    (folder / "gateway.toml").write_text(FILE.replace("WHERE", where))
    return str(folder / "gateway.toml")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [("--address", "3"), ("--secondary", "07712233"), ("--secondary", "0FFFFFFF")])
async def test_a_meter_is_read_without_a_configuration(tmp_path: Path, kind: str, way: tuple[str, str]) -> None:
    """The JSON is that of `decode`, with each telegram and when it came; a part of the number is enough."""
    async with site(tmp_path, kind) as line:
        result = await run("read", *at_line(line.at), *way, "--json")
    assert result.exit_code == 0, result.output
    (answered,) = read(line.record)
    row = json.loads(result.stdout)
    decoded = json.loads(CliRunner().invoke(main, ["decode", "--json", answered.telegram]).stdout)
    assert {name: row[name] for name in decoded} == decoded
    assert [each["raw"] for each in row["telegrams"]] == [answered.telegram]
    assert set(row) - set(decoded) == {"at", "round_trip_ms", "telegrams"}
    assert row["at"].endswith("Z")


@pytest.mark.parametrize(("records", "code"), [("0406010203040c13", 3), ("0406010203040c1311223344", 0), ("1f", 3)])
async def test_an_answer_that_breaks_off_is_not_a_whole_one(tmp_path: Path, records: str, code: int) -> None:
    """Its last record is cut, or the meter says that more follows and gives no more: exit code 3, and it is said."""
    body = bytes.fromhex("080572785634129315300301000000" + records)
    body = body[:1] + b"\x01" + body[2:]
    answer = bytes([0x68, len(body), len(body), 0x68, *body, sum(body) % 256, 0x16])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(5):
            writer.write(b"\xe5" if asked[1] == 0x40 else answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    at = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = await run("read", "--url", at, "--address", "1")
    server.close()
    assert (found.exit_code, "broke off" in found.stdout) == (code, code == 3), found.output


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["water", "heat"])
async def test_a_configured_meter_is_read_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    """For people: who it is, each register in a line; nothing is sealed or stored."""
    async with site(tmp_path, kind) as line:
        result = await run("read", name, "--config", configured(tmp_path, line.at))
        left = {each.name for each in os.scandir(tmp_path)}
    (answered,) = read(line.record)
    assert result.exit_code == 0, result.output
    shown = explain.explain(link.parse(bytes.fromhex(answered.telegram)))
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{shown.manufacturer} {shown.id}, version {shown.version}, medium {shown.medium} (")
    assert len(lines) == 2 + len(shown.records)
    for each, text in zip(shown.records, lines[2:], strict=True):
        assert each.quantity in text
        assert f"  {each.value} {each.unit}".rstrip() in text
    assert left <= {"gateway.toml", "record.jsonl", "line"}


async def test_raw_telegrams_come_as_they_were(tmp_path: Path) -> None:
    """Also of a meter that is another one: its telegram is what the technician wants to see then."""
    async with site(tmp_path) as line:
        file = configured(tmp_path, line.at)
        good = await run("read", "heat", "--config", file, "--raw")
        other = await run("read", "other", "--config", file, "--raw")
        both = await run("read", "heat", "--config", file, "--raw", "--json")
    assert [good.stdout.strip(), other.stdout.strip()] == [each.telegram for each in read(line.record)]
    assert (good.exit_code, other.exit_code, both.exit_code) == (0, 1, 2)
    assert "PLB-M114" in other.stderr


class LongBus(Bus):
    """Its telegrams say that more records follow, every second one that none do."""

    asked = 0

    def hear(self, octets: bytes) -> bytes:
        """The answer, with 1F at its end."""
        heard = super().hear(octets)
        if heard[:1] != b"\x68":
            return heard
        self.asked += 1
        inner = heard[4:-2] + (b"\x1f" if self.asked % 2 else b"")
        return bytes((0x68, len(inner), len(inner), 0x68)) + inner + bytes((sum(inner) & 0xFF, 0x16))


async def test_the_telegrams_of_one_answer_are_one_object(tmp_path: Path) -> None:
    async with site(tmp_path, slaves=LongBus) as line:
        result = await run("read", *at_line(line.at), "--secondary", "07712233", "--json")
        shown = await run("read", *at_line(line.at), "--secondary", "07712233")
    assert len(shown.stdout.splitlines()) == 2 + 10
    row = json.loads(result.stdout)
    assert len(row["telegrams"]) == 2
    assert len(row["records"]) == 10
    assert row["more"] is False


@pytest.mark.parametrize(
    ("way", "written", "code", "words"),
    [
        (("--address", "9"), "", "PLB-M101", "--primary' shows who answers"),
        (("--secondary", "99999999"), "", "PLB-M101", "number against the plate"),
        (("--address", "1"), "wrong_address=1", "PLB-M108", "another meter answered"),
        (("--secondary", "FFFFFFFF"), "", "PLB-M1", "several meters answer at once (a collision: give more"),
        (("--secondary", "FFFFFFFF"), "", "PLB-M1", "--baud 38400' tells which, and who is there"),
        (("--address", "254"), "", "PLB-M1", "several meters answer at once, for 254 asks all of a line"),
        (("--address", "254"), "", "PLB-M1", "read one of them with --address N or --secondary NUMBER"),
        (("--address", "1"), "garble=1", "PLB-M1", "or noise is on the line"),
    ],
)
async def test_what_went_wrong_is_said_with_what_to_do(
    tmp_path: Path, way: tuple[str, str], written: str, code: str, words: str
) -> None:
    """Silence, a wrong address, a collision and damage are told apart."""
    async with site(tmp_path, written=written, skew_bits=40) as line:
        result = await run("read", *at_line(line.at), *way)
    assert (result.exit_code, result.stdout) == (1, "")
    assert code in result.stderr
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


async def test_the_only_meter_of_a_line_is_read_whatever_its_address(tmp_path: Path) -> None:
    async with site(tmp_path, plates=(cellar()[2],)) as line:
        result = await run("read", *at_line(line.at), "--address", "254")
    assert result.stdout.startswith("HYD 07712233")


async def test_another_meter_than_the_configured_one_is_named(tmp_path: Path) -> None:
    async with site(tmp_path) as line:
        result = await run("read", "other", "--config", configured(tmp_path, line.at))
    assert result.exit_code == 1
    assert "PLB-M114" in result.stderr
    assert "SLB 1A7F2044" in result.stderr
    assert "correct the file" in result.stderr


class DeafBus(Bus):
    """Nobody hears the first question."""

    deaf = True

    def hear(self, octets: bytes) -> bytes:
        """What comes back."""
        heard, self.deaf = b"" if self.deaf else super().hear(octets), False
        return heard


async def test_what_happened_on_the_way_is_told_beside_the_answer(tmp_path: Path) -> None:
    """On stderr: stdout is for programs."""
    async with site(tmp_path, slaves=DeafBus) as line:
        result = await run("read", *at_line(line.at), "--address", "1", "--raw")
    assert result.exit_code == 0
    assert "questions repeated: 1" in result.stderr
    assert len(result.stdout.splitlines()) == 1


async def test_a_busy_port_names_who_holds_it(tmp_path: Path) -> None:
    """Another process, for `read` and `scan`."""
    async with site(tmp_path) as line:
        process = await asyncio.create_subprocess_exec(
            "python3",
            "-c",
            HOLD,
            line.at,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        read_it = await run("read", *at_line(line.at), "--address", "1")
        scan_it = await run("scan", *at_line(line.at))
        await process.communicate(b"")
    for result in (read_it, scan_it):
        assert result.exit_code == 1
        assert "PLB-L102" in result.stderr
        assert f"process {process.pid} (python3) holds the port" in result.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", [("read", "heat", *FAST), ("scan", "riser")])
async def test_the_line_of_a_running_daemon_is_left_alone(tmp_path: Path, kind: str, command: tuple[str, str]) -> None:
    """A converter would let both talk: the daemon's lock decides, and no meter is asked."""
    async with site(tmp_path, kind) as line:
        file = configured(tmp_path, line.at)
        (tmp_path / "state").mkdir()
        with (tmp_path / "state" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            result = await run(*command, "--config", file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        f"PLB-L105: expected a line that nobody reads, got one that the daemon, process {os.getpid()}" in result.stderr
    )
    assert "stop the daemon first" in result.stderr
    assert not list(read(line.record))


@pytest.mark.parametrize("kind", ["pty", "tcp"])
async def test_what_a_scan_prints_is_a_configuration_that_reads_its_meters(tmp_path: Path, kind: str) -> None:
    """Two meters with no address of their own and one that has one: appended to a file, checked, and read."""
    plates = (plate("12345678", "KAM"), plate("22345678", "ZRI"), plate("00000007", "KAM", address=7))
    async with site(tmp_path, kind, plates) as line:
        scanned = await run("scan", "riser", "--config", configured(tmp_path, line.at), "--expect", "3")
        assert scanned.exit_code == 0, scanned.output
        file = tmp_path / "new.toml"
        file.write_text(FILE.split("[[bus]]", maxsplit=1)[0] + scanned.stdout)
        checked = await run("check", "--config", str(file), "--json")
        (bus,) = tomllib.loads(file.read_text())["bus"]
        seen = [
            json.loads((await run("read", each["name"], "--config", str(file), "--json")).stdout)
            for each in bus["device"]
        ]
    assert checked.exit_code == 3, checked.output
    assert {each["level"] for each in json.loads(checked.stdout)["problems"]} <= {"hint"}
    assert (bus["name"], bus["baud"], bus.get("url") or bus.get("port")) == ("riser", 38_400, line.at)
    ways = [(each.get("address"), each.get("secondary"), each["manufacturer"]) for each in bus["device"]]
    assert sorted(ways, key=str) == [(7, None, "KAM"), (None, "12345678", "KAM"), (None, "22345678", "ZRI")]
    assert [(each["id"], each["manufacturer"]) for each in seen] == [
        (each.get("secondary") or each["id"], each["manufacturer"]) for each in bus["device"]
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("read",),
        ("read", "heat"),
        ("read", "heat", "--config", "f", "--port", "p"),
        ("read", "heat", "--config", "f", "--address", "1"),
        ("read", "--config", "f", "--address", "1"),
        ("read", "--port", "p"),
        ("read", "--port", "p", "--url", "tcp://h:1", "--address", "1"),
        ("read", "--port", "p", "--address", "1", "--secondary", "12345678"),
        ("read", "--port", "p", "--address", "253"),
        ("read", "--port", "p", "--secondary", "1234567X"),
        ("read", "--url", "/dev/ttyUSB0", "--address", "1"),
        ("read", "--url", "tcp://h:0", "--address", "1"),
        ("scan",),
        ("scan", "riser"),
        ("scan", "--port", "p", "--url", "tcp://h:1"),
        ("scan", "--url", "tcp://h"),
        ("scan", "--port", "p", "--baud", "2401"),
    ],
)
def test_a_command_that_is_not_clear_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("read", "nobody"), "a meter: heat, lift, other, water, got nobody"),
        (("mbus", "reset", "--meter", "lift"), "an M-Bus meter: heat, other, water, got lift"),
        (("scan", "subs"), "an M-Bus line: riser, got subs"),
    ],
)
async def test_a_name_that_is_not_there_is_answered_by_those_that_are(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = await run(*arguments, "--config", configured(tmp_path, "/dev/none"))
    assert result.exit_code == 1
    assert words in result.stderr


def test_every_kind_of_damage_is_told_as_collision_or_noise() -> None:
    asked = named(Place("tcp://h:1"), 5, None)
    for kind in DAMAGED:
        assert "'plomba-gateway scan --url tcp://h:1 --baud 2400 --primary'" in step(asked, kind("a", "b"))
    noise = faults.OnlyNoise("a", "b")
    assert step(asked, noise) == faults.OnlyNoise.do
    for wide in (named(Place("p"), 254, None), named(Place("p"), None, "1234567F")):
        assert "several meters answer at once" in step(wide, noise)
        assert "share this address" not in step(wide, noise)


def test_the_lock_of_a_port_is_what_the_library_takes(tmp_path: Path) -> None:
    """Otherwise the process of the test above would hold nothing."""
    master, slave = os.openpty()
    with serial.Serial(os.ttyname(slave), exclusive=True):
        other = os.open(os.ttyname(slave), os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for each in (master, slave, other):
        os.close(each)
