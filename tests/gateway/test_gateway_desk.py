"""The commands `objects` and `profile` as a technician runs them: over TCP, on a line, through an optical head."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dlms_lines import served

from gateway.cli import main
from gateway.cli_profile import _remarks
from gateway.clock import system_sources
from protocols.dlms.access import Framing
from protocols.dlms.ciphering import Keys, Suite
from protocols.dlms.opening import Identification
from protocols.dlms.profile import Row
from protocols.reading import MeterTime, Precision
from simulators.dlms.faults import Fault, Faults
from simulators.dlms.line import line_plates
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.plates import Plate
from simulators.record import Record, read

PASSWORD = b"canary-password"
KEYS = Keys(Suite.AES_256, b"canary-encryption-key-of-suite-2", b"canary-authentication-key-suite2")
LGZ = Identification("LGZ", "5", "\\2", "ZMD3104407.B32")
OBJECTS = 14  # of a simulated meter
FILE = """gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker"
port = 8883
[[bus]]
protocol = "dlms"
name = "supply"
url = "URL"
[[bus.device]]
name = "main"
client = 32
auth = "lls"
password_file = "password"
cadence_s = 900
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a technician's programs keep what they must not forget."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "plomba"


async def run(*arguments: object) -> Result:
    """The real command, while the meters answer."""
    result = await asyncio.to_thread(CliRunner().invoke, main, list(map(str, arguments)))
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def secret(folder: Path, name: str, octets: bytes) -> Path:
    """A file that nobody else reads."""
    path = folder / name
    path.write_bytes(octets)
    path.chmod(0o600)
    return path


@asynccontextmanager
async def meters(folder: Path, **more: Any) -> AsyncIterator[DlmsMeters]:
    """Both electricity meters, in the time of this machine."""
    record = Record(folder / "record.jsonl")
    found = DlmsMeters(record, system_sources().wall_ms, password=PASSWORD, **more)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()
        record.close()


def hdlc(found: DlmsMeters, folder: Path) -> tuple[object, ...]:
    """The options for the meter with a password."""
    url = f"tcp+hdlc://127.0.0.1:{found.hdlc_port}"
    return ("--url", url, "--client", 32, "--auth", "lls", "--password-file", secret(folder, "password", PASSWORD))


def wrapper(found: DlmsMeters) -> tuple[object, ...]:
    return ("--url", f"tcp://127.0.0.1:{found.wrapper_port}")


def rows_of(folder: Path, serial: str, name: str = "record.jsonl") -> list[Any]:
    """What a meter says of its rows."""
    return [each for each in read(folder / name) if each.meter == serial and each.kind == "row"]


async def test_objects_are_listed_with_class_name_and_rights(tmp_path: Path) -> None:
    """As a table, and as one object for programs."""
    async with meters(tmp_path) as found:
        table = await run("objects", *wrapper(found))
        listed = json.loads((await run("objects", *hdlc(found, tmp_path), "--json")).stdout)
    assert table.exit_code == 0
    assert table.stderr == f"ISK1050012345678, client 16: {OBJECTS} objects\n"
    cells = [line.split("  ") for line in table.stdout.splitlines()]
    shown = {row[0]: [cell.strip() for cell in row if cell][1:] for row in cells}
    assert shown["1-0:1.8.0.255"] == ["3 register", "0", "active energy import", "read 1-3"]
    assert shown["1-0:99.1.0.255"] == ["7 profile", "0", "load profile 1", "read 1-5, 7-8"]
    assert (listed["meter"], listed["client"], len(listed["objects"])) == ("LGZ1070098765432", 32, OBJECTS)
    clock = next(each for each in listed["objects"] if each["obis"] == "0-0:1.0.0.255")
    assert (clock["class_name"], clock["name"], clock["version"]) == ("clock", "clock", 0)
    assert clock["attributes"] == [{"number": n, "mode": 1, "access": "read"} for n in (1, 2)]


async def test_the_last_rows_are_those_of_the_meter(tmp_path: Path) -> None:
    """Time as shown, offset, status and exact values, beside the meter's own record."""
    async with meters(tmp_path) as found:
        result = await run("profile", *hdlc(found, tmp_path), "--last", 3, "--json")
    shown, truth = json.loads(result.stdout), rows_of(tmp_path, "70098765")[-3:]
    assert (shown["serial"], shown["period_s"], len(shown["columns"])) == ("70098765", 900, 4)
    assert [row["time"] for row in shown["rows"]] == [row.time for row in truth]
    for row, recorded in zip(shown["rows"], truth, strict=True):
        assert [each["state"] for each in row["values"]] == ["ok"] * 4
        keys = [f"3/{column['obis']}/2" for column in shown["columns"]]
        for key, column, each in zip(keys, shown["columns"], row["values"], strict=True):
            number = recorded.values[key]
            assert (column["scaler"], each["unit"]) == (number["e"], number["unit"])
            digits, _, decimals = each["value"].partition(".")
            assert int(digits + decimals) == number["m"] * 10 ** max(0, number["e"])
            assert len(decimals) == max(0, -number["e"])


async def test_rows_between_two_times_are_both_ends_included_and_in_order(tmp_path: Path) -> None:
    """Over several days, in pieces: none twice, none missing; both ends are times of the meter's own clock."""
    async with meters(tmp_path, history_rows=300) as found:
        truth = [row.time for row in rows_of(tmp_path, "50012345")]
        first, last = truth[3], truth[-5]
        result = await run("profile", *wrapper(found), "--from", first, "--to", last, "--csv")
    table = list(csv.reader(io.StringIO(result.stdout)))
    assert table[0][:2] == ["time", "offset_min"]
    assert table[0][-1] == "1-0:4.8.0.255 [var.h]"
    assert [row[0] for row in table[1:]] == truth[3:-4]
    assert {row[1] for row in table[1:]} == {"60"}


async def test_a_table_says_whose_profile_it_is_and_what_its_columns_are(tmp_path: Path) -> None:
    """Rows on stdout, the rest on stderr; a doubtful value has its state beside it."""
    async with meters(tmp_path) as found:
        result = await run("profile", *wrapper(found), "--last", 2)
    assert len(result.stdout.splitlines()) == 3
    assert "ISK1050012345678 50012345: load profile 1 (1-0:99.1.0.255), captured every 900 s" in result.stderr
    assert "1-0:2.8.0.255: active energy export, x 10^0 Wh" in result.stderr
    assert result.stderr.endswith("2 rows\n")


@pytest.mark.parametrize("mode_e", [False, True])
async def test_a_meter_on_a_line_is_read_and_the_port_let_go(tmp_path: Path, mode_e: bool) -> None:
    """RS-485, and an optical head that is opened in mode E."""
    words = ("--mode-e", "--opening-address", "80000001") if mode_e else ()
    async with served(tmp_path, line_plates(1), system_sources().wall_ms, optical=LGZ if mode_e else None):
        where = ("--port", tmp_path / "line", "--physical", 17, *words)
        result = await run("profile", *where, "--last", 2, "--json")
        listed = await run("objects", *where)
    assert [row["time"] for row in json.loads(result.stdout)["rows"]] == [
        row.time for row in rows_of(tmp_path, "80000001", "line.jsonl")[-2:]
    ]
    assert listed.exit_code == 0
    assert "80000001" not in listed.stdout


@pytest.mark.parametrize(("auth", "client"), [("hls-gmac", 17), ("hls-sha256", 18), ("lls", 19)])
async def test_a_ciphered_meter_is_read_with_a_key_file(tmp_path: Path, state: Path, auth: str, client: int) -> None:
    """Suite 2, known by the length of its keys; the counters are kept in a folder of the technician's own."""
    keys = secret(tmp_path, "keys", f"{KEYS.encryption.hex()}\n{KEYS.authentication.hex()}\n".encode())
    password = () if auth == "hls-gmac" else ("--password-file", secret(tmp_path, "password", PASSWORD))
    async with meters(tmp_path, keys=KEYS) as found:
        url = ("--url", f"tcp+hdlc://127.0.0.1:{found.hdlc_port}", "--client", client, "--auth", auth, *password)
        first = await run("profile", *url, "--key-file", keys, "--last", 1, "--csv")
        title = (state / "system-title").read_text()
        second = await run("profile", *url, "--key-file", keys, "--dedicated", "--last", 1, "--csv")
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert (first.stdout.splitlines()[0], len(second.stdout.splitlines())) == (second.stdout.splitlines()[0], 2)
    assert (len(bytes.fromhex(title)), (state / "system-title").read_text()) == (8, title)
    assert (state / "counters.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_a_counter_that_the_meter_heard_before_is_stepped_over(tmp_path: Path) -> None:
    """Another program was here with a higher one: the public client tells, and the meter is entered once more."""
    keys = secret(tmp_path, "keys", f"{KEYS.encryption.hex()}\n{KEYS.authentication.hex()}\n".encode())
    async with meters(tmp_path, keys=KEYS) as found:
        for outlet in found._outlets.values():
            outlet.meter.vault.seen[17] = 3_000_000_000
        url = ("--url", f"tcp://127.0.0.1:{found.wrapper_port}", "--client", 17, "--auth", "hls-gmac")
        result = await run("objects", *url, "--key-file", keys)
    assert result.exit_code == 0, result.output
    assert str(OBJECTS) in result.stderr


async def test_a_configured_meter_is_named_alone_and_not_probed_while_the_daemon_reads_it(tmp_path: Path) -> None:
    """Its line has one owner."""
    secret(tmp_path, "password", PASSWORD)
    (tmp_path / "state").mkdir()
    async with meters(tmp_path) as found:
        file = tmp_path / "gateway.toml"
        file.write_text(FILE.replace("URL", f"tcp+hdlc://127.0.0.1:{found.hdlc_port}"))
        result = await run("objects", "main", "--config", file)
        twice = await run("objects", "main", "--config", file, "--client", 16)
        other = await run("profile", "mian", "--config", file)
        with (tmp_path / "state" / "lock").open("w+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            owned = await run("probe", "main", "--config", file)
    assert result.exit_code == 0, result.output
    assert (twice.exit_code, "leave --client out" in twice.output) == (2, True)
    assert (other.exit_code, "PLB-C226: expected a DLMS meter: main, got mian" in other.output) == (1, True)
    assert (owned.exit_code, owned.output[:9]) == (1, "PLB-L105:")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name the meter"),
        (("--port", "/dev/null", "--url", "tcp://h:1"), "name the meter"),
        (("--url", "h:4059"), "expected tcp://HOST:PORT, tcp+hdlc://HOST:PORT"),
        (("--url", "tcp://h:4059", "--baud", "9600"), "--baud is of a serial line"),
        (("--url", "tcp://h:1", "--auth", "lls"), "--auth lls wants --password-file"),
        (("--url", "tcp://h:1", "--auth", "hls-gmac"), "wants --key-file"),
        (("--url", "tcp://h:1", "--dedicated"), "--dedicated wants --key-file"),
        (("--url", "rfc2217://h:1", "--mode-e"), "--mode-e wants --port"),
        (("--url", "tcp://h:1", "--last", "2", "--from", "2026-01-01"), "--last, or --from and --to"),
        (("--url", "tcp://h:1", "--to", "2026-01-01"), "--to wants --from"),
        (("--url", "tcp://h:1", "--from", "2026-01-02", "--to", "2026-01-01"), "is after --to"),
        (("--url", "tcp://h:1", "--obis", "1.8.0"), "expected an OBIS name"),
        (("--url", "tcp://h:1", "--json", "--csv"), "--json or --csv"),
        (("--config", "gateway.toml"), "which meter of gateway.toml"),
        (("main",), "in which file is main"),
    ],
)
async def test_what_is_said_badly_is_named(words: tuple[str, ...], said: str) -> None:
    """Before anything is opened."""
    result = await run("profile", *words)
    assert (result.exit_code, said in result.output) == (2, True), result.output


async def test_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    """And what stands in a file that is none is not shown."""
    (tmp_path / "open").write_text("canary-open")
    (tmp_path / "open").chmod(0o644)
    short = secret(tmp_path, "short", b"canary-short")
    where = ("objects", "--url", "tcp://h:1")
    for words in (("--auth", "lls", "--password-file", tmp_path / "open"), ("--key-file", tmp_path / "open")):
        assert "others may read it" in (await run(*where, *words)).output
    refused = await run(*where, "--key-file", short)
    assert (refused.exit_code, "canary" in refused.output) == (1, False)
    assert "two lines of 32 hex digits" in refused.output


def compressed(plate: Plate) -> Plate:
    """Null-data stand for a time that is a period later."""
    return replace(plate, nulls=True)


async def test_rows_of_a_compressed_buffer_have_their_times(tmp_path: Path) -> None:
    """A time that is null is reckoned, and marked so."""
    async with meters(tmp_path, changed=compressed) as found:
        result = await run("profile", *wrapper(found), "--last", 4, "--json")
        table = await run("profile", *wrapper(found), "--last", 4)
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["time"] for row in rows] == [row.time for row in rows_of(tmp_path, "50012345")[-4:]]
    assert any(row["repeated"] for row in rows)
    assert "its time is reckoned" in table.stdout


async def test_nulls_are_undone_where_the_meter_is_known_to_compress(tmp_path: Path) -> None:
    """As polling undoes them: by the option, or by the file; without either they are null."""
    file = tmp_path / "gateway.toml"
    async with meters(tmp_path, changed=compressed) as found:
        way = hdlc(found, tmp_path)
        file.write_text(FILE.replace("URL", str(way[1])) + "compressed = true\n")
        plain = await run("profile", *way, "--last", 4, "--json")
        asked = await run("profile", *way, "--last", 4, "--json", "--compressed")
        named = await run("profile", "main", "--config", file, "--last", 4, "--json")
        table = await run("profile", *way, "--last", 4, "--compressed")
    _, *rest = json.loads(plain.stdout)["rows"]
    assert {row["status"] for row in rest} == {None}
    (status,) = {row["status"] for row in json.loads(asked.stdout)["rows"]}
    assert status is not None
    assert json.loads(named.stdout)["rows"] == json.loads(asked.stdout)["rows"]
    assert "what was null in it is as in the row above" in table.stdout


def test_a_row_that_has_no_time_is_not_said_to_have_one() -> None:
    """Null where nothing stands above; behind a time it is reckoned."""
    first = Row(None, None, True, False, None, ())
    assert _remarks(first).split("  ")[1:] == ["it has no time, and no row above it has one"]
    assert "reckoned" in _remarks(replace(first, time=MeterTime(0, Precision.SECOND)))


class Silent(Faults):
    """Answers nothing any more from turn `turn` on."""

    def answers(self, answer: bytes) -> bytes:
        """What is on the line in place of `answer`."""
        self.turns += 1
        return b"" if self.turn is not None and self.turns > self.turn else answer


@pytest.mark.parametrize("turn", range(12))
async def test_an_answer_that_is_lost_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """Whichever one it is: all rows come, and what was done is told."""
    monkeypatch.setattr("gateway.regain.PAUSES_S", (0.01, 0.01))
    async with meters(tmp_path, history_rows=200) as found:
        found.outlet(Framing.WRAPPER).faults = faults = Faults((Fault.DROPPED,), turn=turn)
        truth = [row.time for row in rows_of(tmp_path, "50012345")]
        result = await run("profile", *wrapper(found), "--answer-ms", 150, "--from", truth[3], "--csv")
    assert result.exit_code == 0, result.output
    assert [line.split(",")[0] for line in result.stdout.splitlines()[1:]] == truth[3:]
    assert faults.done
    assert "PLB-M301" in result.stderr
    assert "try 2 of 3" in result.stderr


LONG = 4  # answers


class Noisy(Silent):
    """So long that no repeated frame comes through, a bit of each answer is another."""

    def answers(self, answer: bytes) -> bytes:
        """What is on the line in place of `answer`."""
        self.turns += 1
        noise = self.turn is not None and self.turn < self.turns <= self.turn + LONG
        return answer[:4] + bytes([answer[4] ^ 1]) + answer[5:] if noise else answer


@pytest.mark.parametrize("turn", range(4, 9))
async def test_an_answer_that_is_damaged_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """A bit of a frame that flips after the login: all rows come."""
    monkeypatch.setattr("gateway.regain.PAUSES_S", (0.01, 0.01))
    async with meters(tmp_path, history_rows=200) as found:
        found.outlet(Framing.HDLC).faults = Noisy((), turn=turn)
        truth = [row.time for row in rows_of(tmp_path, "50012345")]
        result = await run("profile", *hdlc(found, tmp_path), "--answer-ms", 150, "--from", truth[3], "--csv")
    assert result.exit_code == 0, result.output
    assert [line.split(",")[0] for line in result.stdout.splitlines()[1:]] == truth[3:]
    assert "PLB-M310" in result.stderr
    assert "try 2 of 3" in result.stderr


async def test_a_login_that_may_have_shown_a_secret_is_not_tried_again(tmp_path: Path) -> None:
    """A meter may lock after a few of them: whoever is not let in at first is told so at once."""
    async with meters(tmp_path) as found:
        found.outlet(Framing.HDLC).faults = Silent((), turn=1)  # behind the link
        result = await run("profile", *hdlc(found, tmp_path), "--answer-ms", 150)
    assert result.exit_code == 1
    assert "try 2" not in result.stderr


@pytest.mark.parametrize("form", ["--csv", "--json"])
async def test_a_meter_that_stays_out_leaves_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """A part of the rows, exit code 3, and from when on they are missing."""
    monkeypatch.setattr("gateway.regain.PAUSES_S", (0.01, 0.01))
    async with meters(tmp_path, history_rows=300) as found:
        found.outlet(Framing.WRAPPER).faults = Silent((), turn=22)
        truth = [row.time for row in rows_of(tmp_path, "50012345")]
        result = await run("profile", *wrapper(found), "--answer-ms", 150, "--from", truth[0], form)
    assert result.exit_code == 3, result.output
    if form == "--json":
        shown = json.loads(result.stdout)
        came = [each["time"] for each in shown["rows"]]
        assert shown["complete"] is False
    else:
        came = [line.split(",")[0] for line in result.stdout.splitlines()[1:]]
    assert 0 < len(came) < len(truth)
    assert came == truth[: len(came)]
    assert "it is not all" in result.stderr
