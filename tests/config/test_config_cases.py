"""Wrong configurations of every kind: each names its line, column and key, what was expected, what came, what to do."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from collector.cli import commands
from collector.config import Config
from gateway import rules
from gateway.cli import main
from gateway.config import DlmsBus, MbusBus, ModbusBus
from gateway.config_file import check_configuration, read_configuration
from protocols.settings.model import model_of
from protocols.settings.problems import Level, Problem, ReportedError

GATEWAY = """gateway = "boiler-room-7"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "broker.example"
port = 8883
[[bus]]
protocol = "mbus"
name = "riser"
port = "/dev/serial/by-id/usb"
[[bus.device]]
name = "heat"
address = 1
cadence_s = 900
id = "1A7F2044"
[[bus.device]]
name = "water"
address = 2
cadence_s = 900
[[bus]]
protocol = "dlms"
name = "supply"
url = "tcp://192.0.2.10:4059"
[[bus.device]]
name = "main"
cadence_s = 900
auth = "lls"
password_file = "main.password"
registers = ["1-0:1.8.0.255"]
[[bus]]
protocol = "modbus"
name = "subs"
url = "tcp://192.0.2.20:502"
[[bus.device]]
name = "lift"
cadence_s = 900
model = "eastron-sdm630-modbus"
unit = 1"""

COLLECTOR = """collector = "utility"
store = "store.sqlite3"
[broker]
host = "localhost"
port = 8883
[acknowledge]
window = 64
[http]
port = 8080"""


@dataclass(frozen=True, slots=True)
class Case:
    """Lines that are replaced (by number), and the one problem that must be found there."""

    lines: dict[int, str]
    line: int
    column: int
    key: str
    expected: str = ""
    got: str = ""
    do: str = ""
    near: str = ""
    level: Level = Level.FAULT


def read_cases(kind: str) -> dict[str, Case]:
    """The cases of cases.toml, by name."""
    found = {}
    for row in tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))[kind]:
        lines = {int(number): text for number, text in row.pop("lines").items()}
        lines |= dict.fromkeys(row.pop("without", []), "#")
        line, column = row.pop("at")
        level = Level(row.pop("level", "fault"))
        name = row.pop("name")
        found[name] = Case(lines=lines, line=line, column=column, level=level, **row)
    return found


CASES, COLLECTOR_CASES = read_cases("gateway"), read_cases("collector")


def text_of(base: str, case: Case) -> str:
    """The base with the case's lines in place."""
    return "\n".join(case.lines.get(number, line) for number, line in enumerate(base.split("\n"), 1)) + "\n"


def problems_of(path: Path) -> tuple[Problem, ...]:
    """All that is found in a gateway's file."""
    try:
        return check_configuration(path).problems
    except ReportedError as error:
        return error.problems


def collector_problems_of(path: Path) -> tuple[Problem, ...]:
    """All that is found in a collector's file."""
    with pytest.raises(ReportedError) as caught:
        Config.from_toml(path)
    return caught.value.problems


def holds(case: Case, found: tuple[Problem, ...]) -> None:
    """The case's problem is among those found, once, at its place and with its words."""
    mine = [each for each in found if (each.line, each.column, each.key) == (case.line, case.column, case.key)]
    assert len(mine) == 1, [str(each) for each in found]
    problem = mine[0]
    for words, part in ((problem.expected, case.expected), (problem.got, case.got), (problem.do, case.do)):
        assert part in words, f"{problem}\n{problem.do}"
    assert case.near in problem.near
    assert bool(case.near) == bool(problem.near), problem.near
    assert problem.level is case.level
    assert "geheim42" not in f"{problem}{problem.do}{problem.source}{problem.row()}"


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_configuration_is_named_at_its_place(name: str, tmp_path: Path) -> None:
    """With Windows line ends and a byte-order mark at the same place as without."""
    case = CASES[name]
    plain = text_of(GATEWAY, case)
    for text in (plain, plain.replace("\n", "\r\n"), "\ufeff" + plain, "\ufeff" + plain.replace("\n", "\r\n")):
        path = tmp_path / "gateway.toml"
        path.write_bytes(text.encode())
        holds(case, problems_of(path))


@pytest.mark.parametrize("name", COLLECTOR_CASES)
def test_a_wrong_collector_configuration_is_named_at_its_place(name: str, tmp_path: Path) -> None:
    """In the same form as the gateway's."""
    case = COLLECTOR_CASES[name]
    plain = text_of(COLLECTOR, case)
    for text in (plain, "\ufeff" + plain.replace("\n", "\r\n")):
        path = tmp_path / "collector.toml"
        path.write_bytes(text.encode())
        holds(case, collector_problems_of(path))


def test_the_bases_have_no_faults(tmp_path: Path) -> None:
    """Otherwise the cases would prove nothing."""
    (tmp_path / "gateway.toml").write_text(GATEWAY)
    (tmp_path / "collector.toml").write_text(COLLECTOR)
    assert problems_of(tmp_path / "gateway.toml") == ()
    assert Config.from_toml(tmp_path / "collector.toml").window == 64


def test_all_faults_come_in_one_run(tmp_path: Path) -> None:
    """A type error hides no doubled name, a misspelt protocol no fault in its bus."""
    names = (
        "misspelt protocol",
        "number in quotes",
        "address too small",
        "meter name twice",
        "url without port",
        "auth misspelt",
    )
    lines: dict[int, str] = {}
    for name in names:
        lines |= CASES[name].lines
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, Case(lines, 0, 0, "")))
    found = problems_of(path)
    for name in names:
        holds(CASES[name], found)
    assert len(found) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ("array header misspelt", "number in quotes", "address too small", "url without port", "register malformed"),
        ("bus headed as a meter", "address too small", "inner array header without the outer name"),
        ("bus in single brackets", "broker in double brackets", "inner array header misspelt", "url without port"),
        ("smart quotes", "colon", "zeros before a number", "minutes for seconds", "auth misspelt", "quotes missing"),
        ("windows backslash", "closing quote missing", "value missing", "bracket missing", "address too small"),
        ("equals sign missing", "array header misspelt", "identification number without quotes", "url twice"),
        ("table headed by a colon", "closing single quote missing", "address too small"),
        ("table in curly brackets", "address too small", "auth misspelt"),
        ("key twice", "auth misspelt", "indented with tabs"),
    ],
)
def test_a_slip_hides_no_other(names: tuple[str, ...], tmp_path: Path) -> None:
    """A misspelt header and a line that is no TOML are read over: exactly these problems come."""
    lines: dict[int, str] = {}
    for name in names:
        lines |= CASES[name].lines
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, Case(lines, 0, 0, "")))
    found = [(each.expected, each.got) for each in problems_of(path)]
    for name in names:
        case = CASES[name]
        assert [1 for expected, got in found if case.expected in expected and case.got in got] == [1], found
    assert len(found) == len(names), found


@pytest.mark.parametrize(
    "name",
    [
        "address misspelt",
        "secondary misspelt",
        "address and secondary",
        "neither address nor secondary",
        "selection of a meter above by its address",
        "selection that another meter obeys too",
        "missing port",
        "cadence without its unit",
        "the word protocol misspelt",
        "table misspelt by a dotted key",
        "inner array header misspelt",
        "port of the line in a meter",
        "M-Bus address of a DLMS meter",
    ],
)
def test_one_slip_is_one_problem(name: str, tmp_path: Path) -> None:
    """What is only misspelt is not missing too."""
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, CASES[name]))
    assert [each.key for each in problems_of(path)] == [CASES[name].key]


def test_the_keys_of_the_protocols_are_those_of_the_classes() -> None:
    """Otherwise the advice would send a key to a protocol that has none."""
    for bus in map(model_of, (MbusBus, DlmsBus, ModbusBus)):
        device = get_args(bus.model_fields["device"].annotation)[0]
        keys = rules.KEYS[get_args(bus.model_fields["protocol"].annotation)[0]]
        assert set(bus.model_fields) == keys.bus | {"protocol", "name", "device"}
        assert set(device.model_fields) == keys.device | {"name", "cadence_s", "cadence", "billing", "timezone"}


def test_the_last_words_after_a_line_that_is_no_toml_are_about_the_line(tmp_path: Path) -> None:
    """The path was right; that of a file which is not there is not."""
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, CASES["True"]))
    output = CliRunner().invoke(main, ["check", "--config", str(path)]).output
    assert output.endswith(f"1 fault in {path}; correct the lines that are named and run 'check' again\n")
    assert "--config" not in output


def test_a_file_of_slips_alone_ends_after_some_rounds(tmp_path: Path) -> None:
    """Forty lines are enough for one run."""
    path = tmp_path / "gateway.toml"
    path.write_text("address = 007\nport = True\n" * 1_000)
    assert 0 < len(problems_of(path)) <= 40


@pytest.mark.parametrize(
    "name", ["unknown key", "smart quotes", "address twice", "password in the file", "missing table"]
)
def test_every_command_reports_in_the_same_way(name: str, tmp_path: Path) -> None:
    """Exit code 1, place and next step, no traceback."""
    case = CASES[name]
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, case))
    for arguments in (["check"], ["run"], ["status", "--json"], ["keys"]):
        result = CliRunner().invoke(main, [*arguments, "--config", str(path)])
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        output = result.output
        assert f"{path}:{case.line}:{case.column}: " in output
        assert case.do in output
        assert "geheim42" not in output
        assert "\033" not in output


def test_a_collectors_commands_report_in_the_same_way(tmp_path: Path) -> None:
    """`check` on stdout."""
    case = COLLECTOR_CASES["unknown key"]
    path = tmp_path / "collector.toml"
    path.write_text(text_of(COLLECTOR, case))
    result = CliRunner().invoke(commands, ["check", "--config", str(path)])
    assert result.exit_code == 1
    assert f"{path}:2:1: stroe: expected a known key, got 'stroe'; did you mean 'store'?" in result.stdout


def test_hints_do_not_stop_the_daemon(tmp_path: Path) -> None:
    """A relative port is what tests and demos use."""
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, CASES["port relative"]))
    assert len(read_configuration(path).bus) == 3


@pytest.mark.parametrize(
    ("octets", "line", "column", "got"),
    [
        (b'gateway = "x"\n# W\xe4rme\n', 2, 4, "the byte e4"),
        ("gateway".encode("utf-16"), 1, 1, "UTF-16"),
        ("gateway".encode("utf-16-le"), 1, 1, "UTF-16"),
        (b"a = " + b"[" * 5_000, 1, 37, "more"),
        (b"a = " + b"9" * 5_000, 1, 1, "a longer one"),
        (b"a" + b".a" * 5_000 + b" = 1", 1, 67, "more"),
        (b"#" * (4 * 1024 * 1024 + 1), 0, 1, "more"),
        (b'a = "\x01"', 1, 6, "the character 01"),
        (b"", 1, 1, "nothing"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(octets: bytes, line: int, column: int, got: str, tmp_path: Path) -> None:
    """Encodings, depths and sizes."""
    path = tmp_path / "gateway.toml"
    path.write_bytes(octets)
    found = problems_of(path)[0]
    assert (found.line, found.column) == (line, column)
    assert got in found.got


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    """And a folder the files in it."""
    (tmp_path / "gateway.toml").write_text(GATEWAY)
    assert problems_of(tmp_path / "gatewai.toml")[0].near == "gateway.toml"
    assert "gateway.toml" in problems_of(tmp_path)[0].do
    assert problems_of(tmp_path / "no" / "such")[0].got == "no such file"


@pytest.mark.parametrize(("kind", "limit"), [("mbus", 250), ("dlms", 32), ("modbus", 247)])
def test_too_many_meters_are_named_at_the_first_that_is_too_many(kind: str, limit: int, tmp_path: Path) -> None:
    """With the limit of the protocol."""
    keys = {"mbus": "address = {0}", "dlms": "server = {0}", "modbus": 'unit = {0}\nmodel = "eastron-sdm630-modbus"'}[
        kind
    ]
    port = 'port = "/dev/x"' if kind == "mbus" else 'url = "tcp://h:1"'
    text = "\n".join(GATEWAY.split("\n")[:6]) + f'\n[[bus]]\nprotocol = "{kind}"\nname = "b"\n{port}\n'
    for number in range(limit + 1):
        text += f'[[bus.device]]\nname = "m{number}"\ncadence_s = 900\n{keys.format(number % 250 + 1)}\n'
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    found = next(each for each in problems_of(path) if each.expected.startswith("at most"))
    assert (found.expected, found.got) == (f"at most {limit} tables [[bus.device]]", str(limit + 1))
    assert found.line == 11 + limit * (5 if kind == "modbus" else 4)


def test_an_unknown_model_is_named_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as this version has models."""
    monkeypatch.setattr(rules, "known_models", lambda: ("eastron-sdm630-modbus", "carlo-gavazzi-em340"))
    path = tmp_path / "gateway.toml"
    path.write_text(text_of(GATEWAY, Case({37: 'model = "eastron-sdm360-modbus"'}, 0, 0, "")))
    wanted = Case(
        {}, 37, 1, "bus[2].device[0].model", "a known model", "sdm360", "carlo-gavazzi", '"eastron-sdm630-modbus"'
    )
    holds(wanted, problems_of(path))
