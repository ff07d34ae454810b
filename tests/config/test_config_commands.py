"""`check`, `explain`, and what is made from the classes: examples, schemas, the catalogue of errors."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from servers import Broker

from collector.cli import commands
from collector.config import Config
from gateway import enrol, online, owners
from gateway.cli import main
from gateway.config import DlmsDevice, MbusBus, MbusDevice, configuration_hash
from gateway.config_file import read_configuration
from gateway.faults import BadConfiguration, PasswordUnusable
from gateway.findings import Finding, Mark
from gateway.forecast import forecast
from gateway.password import password_of
from protocols.catalogue import read_catalogue
from protocols.dlms.faults import NoAnswer, StreamEnded
from protocols.errors import AnotherMeter, PlombaError
from protocols.mbus.timing import Timing
from protocols.reading import MeterTime, Precision

ROOT = Path(__file__).parents[2]
CANARY = "geheim42"
NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The example, its keys and the password that it names."""
    shutil.copy(ROOT / "config" / "gateway.example.toml", tmp_path / "gateway.toml")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "main-meter").write_text(f"{CANARY}\n")
    (tmp_path / "secrets" / "main-meter").chmod(0o600)
    assert CliRunner().invoke(main, ["keys", "--config", str(tmp_path / "gateway.toml")]).exit_code == 0
    return tmp_path


def check(site: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(main, ["check", "--config", str(site / "gateway.toml"), *arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def test_what_is_made_from_the_classes_is_in_step() -> None:
    """Otherwise: make generate."""
    done = subprocess.run(
        [sys.executable, "tools/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["gateway", "collector"])
def test_an_example_loads_and_fits_its_schema(kind: str) -> None:
    """And the schema refuses an unknown key."""
    example = ROOT / "config" / f"{kind}.example.toml"
    table = tomllib.loads(example.read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(json.loads((ROOT / "config" / f"{kind}.schema.json").read_text()))
    validator.validate(table)
    assert not validator.is_valid({**table, "colour": 1})
    assert (read_configuration(example) if kind == "gateway" else Config.from_toml(example)) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('model = "eastron-sdm630-modbus"', 'model = "eastron"'),
        ('auth = "lls"', 'auth = "none"'),
        ('auth = "lls"', ""),
        ('auth = "lls"', 'auth = "hls-gmac"'),
        ('auth = "lls"', 'auth = "lls"\nciphering = "both"'),
        ('auth = "lls"', 'auth = "lls"\nencryption_key_file = "a"'),
        ('auth = "lls"', 'auth = "hls-sha256"'),
        ('auth = "lls"', 'auth = "lls"\nsystem_title = "PLB"'),
        ('password_file = "secrets/main-meter"', ""),
        ('password_file = "secrets/main-meter"', 'password_file = "a"\npassword_credential = "b"'),
        ("address = 1", ""),
        ("address = 1", 'address = 1\nsecondary = "12345678"'),
        ("address = 1", 'secondary = "1234567F"'),
        ('port = "/dev', 'url = "tcp://h:1"\nport = "/dev'),
        ('port = "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"', ""),
        ("port = 8883", 'port = "8883"'),
        ("port = 8883", "port = 88.5"),
        ("port = 8883", "port = 70000"),
        ('protocol = "modbus"', 'protocol = "mbus"'),
    ],
)
def test_the_schema_refuses_what_check_refuses(old: str, new: str, tmp_path: Path) -> None:
    """An editor with the schema says it while it is written."""
    text = (ROOT / "config" / "gateway.example.toml").read_text(encoding="utf-8")
    text = "\n".join(each for each in text.split("\n") if not each.startswith("#"))
    assert old in text
    path = tmp_path / "gateway.toml"
    path.write_text(text.replace(old, new))
    validator = jsonschema_rs.validator_for(json.loads((ROOT / "config" / "gateway.schema.json").read_text()))
    assert validator.is_valid(tomllib.loads(text))
    assert not validator.is_valid(tomllib.loads(path.read_text()))
    with pytest.raises(BadConfiguration):
        read_configuration(path)


def test_every_key_of_an_example_that_is_commented_out_may_be_given(tmp_path: Path) -> None:
    """As a technician will do it: all at once."""
    text = (ROOT / "config" / "gateway.example.toml").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") if " = " in line and line[2:3].islower() else line for line in text.split("\n")]
    # Not what stands in place of another key.
    ours = tuple(f'port = "/dev/serial/by-id/usb-FTDI_FT232R-if00-port{n}' for n in (1, 2))
    others = (
        "cadence = ",
        "password_",
        "encryption_key_c",
        "authentication_key_c",
        "secondary",
        'url = "tcp://192.0.2.30',
        *ours,
    )
    given = [each for each in lines if not each.startswith(others)]
    lls = [
        each.replace('auth = "lls"', 'auth = "none"')
        .replace('ciphering = "none"', 'ciphering = "both"')
        .replace('= "1234567890"', f'= "{n}"')
        .replace('= "4B414D0000000002"', f'= "4B414D{n:010}"')
        .replace("push = false", "push = true")
        .replace("# [push]", "[push]")
        for n, each in enumerate(given)
    ]
    path = tmp_path / "gateway.toml"
    path.write_text("\n".join(lls))
    assert read_configuration(path).bus[0].device[0].identity.id == "1A7F2044"


def test_a_configuration_that_is_not_enrolled_is_usable_and_says_what_is_next(site: Path) -> None:
    """Exit code 3; defaults are marked, paths absolute."""
    code, output = check(site)
    assert code == 3, output
    assert re.search(r"buffer\.max_bytes += 67108864   \(default\)", output)
    assert f'= "{site}/state"' in output
    assert "'accept' what comes back" in output
    assert "ok   bus riser: 2 meters, 1.3 s of each 15 min (0.2 %); at worst 2.8 s" in output


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_password_appears_in_no_output(site: Path, arguments: list[str]) -> None:
    """The canary of the password file, whatever is wrong."""
    assert CANARY not in check(site, *arguments)[1]
    (site / "secrets" / "main-meter").chmod(0o644)
    code, output = check(site, *arguments)
    assert (code, "PLB-C224" in output, CANARY in output) == (1, True, False)
    toml = site / "gateway.toml"
    toml.write_text(toml.read_text().replace('auth = "lls"', f'auth = "lls"\npassword = "{CANARY}"'))
    code, output = check(site, *arguments)
    assert (code, "no secret in this file" in output, CANARY in output) == (1, True, False)


def dlms_meter(site: Path) -> DlmsDevice:
    """The meter with a password."""
    found = read_configuration(site / "gateway.toml").bus[1].device[0]
    assert isinstance(found, DlmsDevice)
    return found


@pytest.mark.parametrize(
    "line",
    [
        f'password = "{CANARY}"',
        f"password = {CANARY}",
        f'password = "{CANARY}',
        f"password: {CANARY}",
        f'password = """\n{CANARY}',
        f'pw = "{CANARY}"',
        f"password {CANARY}",
        f'"password" = "{CANARY}" x',
        f"x.password = {CANARY}",
        f'url = "tcp://user:{CANARY}@meter"',
        f'auth = {{ password = "{CANARY}" }}',
        f'registers = [{{ secret = "{CANARY}" }}, 5]',
    ],
)
def test_a_secret_that_was_written_into_the_file_is_not_shown(line: str, site: Path) -> None:
    """However it is written, and whatever else is wrong with its line."""
    toml = site / "gateway.toml"
    toml.write_text(toml.read_text().split("# Modbus over TCP")[0] + line + "\n")
    for arguments in ([], ["--json"]):
        code, output = check(site, *arguments)
        assert (code, CANARY in output) == (1, False), output


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [("", 0o600, "empty"), ("x" * 70, 0o600, "more"), ("x", 0o640, "0640"), (None, 0, "No such")],
)
def test_an_unusable_password_is_named(content: str | None, mode: int, words: str, site: Path) -> None:
    """Empty, too long, readable by others, missing: by `check` and when it is used."""
    path = site / "secrets" / "main-meter"
    path.unlink()
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    assert words in check(site)[1]
    device = dlms_meter(site)
    with pytest.raises(PasswordUnusable, match=words):
        password_of(device)


def test_a_password_is_used_without_its_line_end(site: Path) -> None:
    """Editors add one."""
    device = dlms_meter(site)
    assert password_of(device) == CANARY.encode()


def test_the_forecast_of_a_line_is_that_of_its_slowest_legal_meters() -> None:
    """98 and 255 bytes at 300 baud: 250 meters each quarter of an hour are too many."""
    devices = tuple(MbusDevice(name=f"m{n}", address=n, cadence_s=900) for n in range(1, 251))
    bus = MbusBus(protocol="mbus", name="riser", port="/dev/x", baud=300, device=devices)
    found = forecast(bus)
    assert found.round_ms == 250 * Timing(300).slowest_ms(98)
    assert found.worst_round_ms == 250 * Timing(300).slowest_ms(255)
    assert found.too_slow
    assert str(found).startswith("250 meters need 20.7 min of each 15 min (137.9 %): too slow")
    few = forecast(replace(bus, device=devices[:3], baud=2400))
    assert str(few).startswith("3 meters, 2 s of each 15 min (0.3 %); at worst 4.2 s of each 15 min (0.5 %)")
    assert not few.tight


def test_a_bus_without_enough_time_fails_the_check(site: Path) -> None:
    """An error-level finding: 'run' would name late answers for ever."""
    toml = site / "gateway.toml"
    toml.write_text(
        toml.read_text()
        .replace("cadence_s = 900\n# In place", 'cadence_s = 1\nid = "1A7F2044"\n# In place')
        .replace("# baud = 2400", "baud = 300")
    )
    code, output = check(site)
    assert code == 1
    assert "FAIL bus riser: 2 meters need" in output
    assert "raise cadence_s" in output


@pytest.mark.parametrize("command", [main, commands])
def test_every_code_is_explained_by_both_commands(command: Any) -> None:
    """Who, what to do, an example; without a code the list; an unknown one with the nearest."""
    for entry in read_catalogue().entries:
        result = CliRunner().invoke(command, ["explain", entry.code.removeprefix("PLB-").lower()])
        assert result.exit_code == 0
        for part in (entry.meaning, entry.do, entry.who, f"{entry.code}: expected "):
            assert part in result.stdout
    assert len(CliRunner().invoke(command, ["explain"]).stdout.splitlines()) == len(read_catalogue().entries)
    assert json.loads(CliRunner().invoke(command, ["explain", "PLB-C220", "--json"]).stdout)["code"] == "PLB-C220"
    unknown = CliRunner().invoke(command, ["explain", "PLB-C299"])
    assert (unknown.exit_code, "did you mean PLB-C301" in unknown.output) == (1, True)


def test_the_seal_of_a_configuration_is_what_it_was() -> None:
    """What stands under the seal; raised with CONTENT_VERSION, or a decoder's version."""
    found = read_configuration(ROOT / "config" / "gateway.example.toml")
    assert configuration_hash(found).hex() == "9cf47b92cad8d98a560aa0deedba8e95b3098fc71c2a9636aa5d51ee5f806067"


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (MeterTime.from_calendar(datetime.datetime(2026, 11, 22, 12, 0), Precision.MINUTE), "equal to UTC"),  # noqa: DTZ001
        (MeterTime.from_calendar(datetime.datetime(2026, 11, 22, 13, 0), Precision.MINUTE), "+1:00:00 to UTC"),  # noqa: DTZ001
        (MeterTime.from_calendar(datetime.datetime(2026, 11, 22, 11, 59, 55), Precision.SECOND), "-0:00:35 to UTC"),  # noqa: DTZ001
        (MeterTime.from_calendar(datetime.datetime(2026, 11, 22), Precision.DAY), "equal to UTC"),  # noqa: DTZ001
    ],
)
def test_a_meters_clock_is_compared_as_far_as_it_is_shown(shown: MeterTime, said: str) -> None:
    """No zone is guessed: the difference to UTC and to local time."""
    text = online.against(shown, int(NOW.timestamp() * 1000) + 30_000)
    assert said in text
    assert "without zone" in text


def test_a_meter_that_says_its_deviation_is_compared_with_it() -> None:
    """13:00:30 at UTC+1 is 12:00:30 UTC."""
    calendar = datetime.datetime(2026, 11, 22, 13, 0, 30)  # noqa: DTZ001 - a meter's
    shown = MeterTime((calendar - datetime.datetime(2000, 1, 1)).days * 86_400 + 46_830, Precision.SECOND, False, 60)  # noqa: DTZ001
    assert online.against(shown, int(NOW.timestamp() * 1000) + 30_000).endswith("UTC+01:00, equal (resolution 1 s)")


async def steps(site: Path, host: str, port: int) -> list[Finding]:
    """The way to a broker, step by step."""
    toml = site / "gateway.toml"
    text = toml.read_text().replace('"broker.example"', f'"{host}"', 1).replace("port = 8883", f"port = {port}")
    toml.write_text(text)
    return [each async for each in online.broker(read_configuration(toml), NOW)]


async def test_the_way_to_the_broker_is_named_step_by_step(site: Path, broker: Broker) -> None:
    """Name, port, TLS with the certificate's end, login; then the first step that fails."""
    party, folder = broker.site.gateways[0], site / "keys"
    files = ((broker.site.ca, enrol.TLS_CA), (party.certificate, enrol.TLS_CERTIFICATE), (party.key, enrol.TLS_KEY))
    for source, name in files:
        shutil.copy(source, folder / name)
    found = await steps(site, "localhost", broker.port)
    assert [each.what for each in found] == ["broker name", "broker port", "broker TLS", "broker login"]
    assert found[3].mark is Mark.OK
    assert "CN=broker" in found[2].text
    shutil.copy(broker.site.broker.key, folder / enrol.TLS_KEY)
    found = await steps(site, "localhost", broker.port)
    assert (found[-1].mark, found[-1].code) == (Mark.FAIL, "PLB-C201")


@pytest.mark.parametrize(("host", "what"), [("127.0.0.1", "broker port"), ("no-such-host.invalid", "broker name")])
async def test_a_broker_that_is_not_there_names_the_step(host: str, what: str, site: Path) -> None:
    """And goes no further."""
    found = await steps(site, host, 1)
    assert (found[-1].what, found[-1].mark, found[-1].code) == (what, Mark.FAIL, "PLB-L201")


def online_step(site: Path, bus: int, error: PlombaError) -> str:
    """What `check --online` says to do about an error of a bus's first meter."""
    found = read_configuration(site / "gateway.toml").bus[bus]
    return online.meter_step(found, found.device[0], error)


@pytest.mark.parametrize("error", [NoAnswer("an answer", "none"), StreamEnded("an answer", "the end")])
def test_a_silent_dlms_meter_is_tried_with_the_other_framing(error: PlombaError, site: Path) -> None:
    """A wrapper meter says nothing to HDLC frames, and the other way round; M-Bus has one framing."""
    assert online_step(site, 1, error).endswith("or try tcp+hdlc:// instead of tcp:// in the url of main supply")
    assert online_step(site, 2, error).endswith("or try tcp:// instead of tcp+hdlc:// in the url of solar")
    assert online_step(site, 0, error) == error.do


@pytest.mark.parametrize(("bus", "key"), [(0, "correct id, manu"), (1, "correct serial of main meter in the file")])
def test_another_meter_is_corrected_in_the_file(bus: int, key: str, site: Path) -> None:
    """There is no command that enters an exchange."""
    step = online_step(site, bus, AnotherMeter("one", "another"))
    assert step.startswith(key)
    assert step.endswith("or see whether this is the meter you mean")
    assert "enter" not in step + AnotherMeter.do


def test_a_busy_port_names_the_daemon_first() -> None:
    """It owns the state folder; another process may only have opened the port beside it."""
    assert owners.port_step("7", "process 9 (cat)").startswith("stop the daemon first")
    assert "process 7 reads this line; if it stays busy: process 9 (cat)" in owners.port_step("7", "process 9 (cat)")
    assert "if it stays" not in owners.port_step("7", "process 7 (plomba-gateway)")
    assert owners.port_step("", "process 9 (cat)") == "stop that program first: process 9 (cat) holds the port"


def test_check_online_reads_each_meter_once_and_goes_on_after_a_failure(tmp_path: Path) -> None:
    """Who answered, the lines to write, the meter that is silent; through the real command."""
    device = '[[bus.device]]\nname = "{0}"\naddress = {1}\ncadence_s = 900\n{2}'
    text = (
        'gateway = "gateway-1"\nstate_folder = "state"\nkeys_folder = "keys"\n[broker]\nhost = "127.0.0.1"\nport = 1\n'
    )
    text += '[[bus]]\nname = "cellar"\nprotocol = "mbus"\nport = "line"\nbaud = 38400\n'
    text += (
        device.format("heat", 1, "") + device.format("nobody", 9, "") + device.format("water", 3, 'id = "07712233"\n')
    )
    text += device.format("other", 2, 'id = "99999999"\n')
    (tmp_path / "gateway.toml").write_text(text)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    simulated = [sys.executable, "-m", "simulators.cli", "meters", "--link", "line", "--record", "record.jsonl"]
    meters = subprocess.Popen(simulated, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert meters.stdout is not None
        wait_for(tmp_path / "line")
        command = [sys.executable, "-m", "gateway.cli", "check", "--config", "gateway.toml", "--online"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    finally:
        meters.kill()
        meters.wait()
    assert done.returncode == 1, done.stderr
    assert (
        'write below the name of heat:  id = "60300001"; manufacturer = "KAM"; version = 53; medium = 4' in done.stdout
    )
    assert "FAIL PLB-M101 cellar/nobody" in done.stdout
    assert """'plomba-gateway scan "cellar" --config FILE' shows who answers""" in done.stdout
    assert "ok   cellar/water: HYD 07712233 version 44 medium 6, 5 values, clock" in done.stdout
    assert "FAIL PLB-M114 cellar/other" in done.stdout
    assert "FAIL PLB-L201 broker port: 127.0.0.1:1: nothing listens on this port" in done.stdout


def wait_for(path: Path) -> None:
    """Until the line is there."""
    import time  # noqa: PLC0415 - a process of its own starts

    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
