"""The command that sets up a new site: typed on a terminal, given by options, left and gone on with; its record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from terminal import GATEWAY, typed

from gateway.config import configuration_hash
from gateway.config_file import read_configuration
from gateway.draft import Draft, keep, maybe_read
from gateway.enrol import read_keys
from gateway.faults import AnswerUnusable, DraftUnreadable
from gateway.init import proposed, words
from protocols.uplink import commissioned, topics
from protocols.uplink.commissioned import Commissioned

COLLECTOR = (sys.executable, "-c", "from collector.cli import main; main()")
SIMULATOR = (sys.executable, "-c", "from simulators.cli import main; main(prog_name='plomba-simulator')")
UP_TO_SEARCH = [
    ("Name of this gateway", "boiler-room-7\n"),
    ("Broker", "\n"),
    ("Next line", "mbus\n"),
    ("Name of this line", "riser\n"),
    ("Serial port", "LINE\n"),
    ("Speed", "\n"),
    ("Parity", "\n"),
]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three M-Bus meters on a pseudo-terminal, as real processes."""
    folder = tmp_path_factory.mktemp("meters")
    link = folder / "line"
    command = [*SIMULATOR, "meters", "--link", str(link), "--record", str(folder / "record")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        next(said for said in process.stdout if said.startswith("faults:"))
        yield link
        process.terminate()


def run(folder: Path, *arguments: str, program: Sequence[str] = GATEWAY) -> subprocess.CompletedProcess[str]:
    """A command, from its start to its end."""
    return subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def on(line: Path, answers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """These answers, with the port of this line."""
    return [(question, answer.replace("LINE", str(line))) for question, answer in answers]


def sealed(folder: Path) -> tuple[Path, Commissioned]:
    """The sealed record, its signature checked."""
    (found,) = folder.glob("commissioning-*.plomba")
    return found, commissioned.read(found.read_bytes())


@pytest.fixture(scope="module")
def site(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site that was set up by options alone."""
    folder = tmp_path_factory.mktemp("site")
    done = run(folder, "init", "--gateway", "boiler-room-7", "--bus", f"mbus {line}", "--yes")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("vm", "gateway-vm"),
        ("", "gateway"),
        ("Boiler_Room.7", "boiler-room-7"),
        ("-é-", "gateway"),
        ("a" * 40, "a" * 32),
    ],
)
def test_the_name_that_is_proposed_is_one(host: str, name: str) -> None:
    """Whatever the machine is called, Enter takes it."""
    assert topics.gateway_id(proposed(host)) == name


def test_a_record_holds_what_the_configured_meters_show(site: Path) -> None:
    """Identity, model, values with unit and state, configuration hash and key."""
    _, made = sealed(site)
    found = read_configuration(site / "gateway.toml")
    assert made.config == configuration_hash(found)
    assert made.sealing == read_keys(site / "keys").sealing.public
    meters = {each.serial: each for each in made.meters}
    assert set(meters) == {"60300001", "1A7F2044", "07712233"}
    heat = meters["60300001"]
    assert (heat.manufacturer, heat.model, heat.address) == ("KAM", "kamstrup-multical-603", "address 1")
    energy = next(each for each in heat.readings if each.place == "energy")
    assert (energy.unit, energy.state) == ("Wh", "ok")
    assert "invalid" in {each.state for each in meters["1A7F2044"].readings}


def test_text_and_pdf_lie_beside_the_sealed_record(site: Path) -> None:
    """The text names every meter; the other one is a PDF."""
    path, made = sealed(site)
    text = path.with_suffix(".txt").read_text()
    assert all(f"{each.name}: mbus, mbus-1" in text for each in made.meters)
    assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_a_configuration_that_is_there_is_kept_and_its_meters_are_recorded(site: Path, tmp_path: Path) -> None:
    """With --yes nothing is written over."""
    before = (site / "gateway.toml").read_bytes()
    done = run(site, "init", "--gateway", "another", "--yes", "--records", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "gateway.toml is there already" in done.stderr
    assert (site / "gateway.toml").read_bytes() == before
    assert len(sealed(tmp_path)[1].meters) == 3


def test_a_collector_proposes_the_meters_of_a_record(site: Path) -> None:
    """Nobody compared the key yet: 3; with the fingerprint: 0."""
    path, _ = sealed(site)
    done = run(site, "propose", str(path), program=COLLECTOR)
    assert (done.returncode, done.stdout.count("  meter ")) == (3, 3)
    shown = run(site, "keys", "--config", "gateway.toml").stdout.strip()
    assert shown in done.stdout.splitlines()[0]
    again = run(site, "propose", str(path), "--expect-fingerprint", shown, "--json", program=COLLECTOR)
    assert again.returncode == 0
    assert '"installations"' in again.stdout


def test_an_altered_record_is_refused(site: Path, tmp_path: Path) -> None:
    """One digit of one value."""
    octets = sealed(site)[0].read_bytes().replace(b"60300001", b"60300002", 1)
    (tmp_path / "altered.plomba").write_bytes(octets)
    done = run(tmp_path, "propose", "altered.plomba", program=COLLECTOR)
    assert done.returncode == 1
    assert done.stderr.startswith("PLB-X101: expected a valid ED25519 signature")


def test_a_record_of_another_key_is_refused(site: Path) -> None:
    """The device shows another fingerprint."""
    done = run(site, "propose", str(sealed(site)[0]), "--expect-fingerprint", "00ff", program=COLLECTOR)
    assert (done.returncode, done.stderr[:10]) == (1, "PLB-X303: ")


def test_a_walk_that_was_left_goes_on_with_its_answers(line: Path, tmp_path: Path) -> None:
    """Ctrl-C at a question: no configuration is there; the next run has the answers as defaults."""
    code, shown = typed(tmp_path, on(line, [*UP_TO_SEARCH, ("Search by", "\x03")]))
    assert (code, "the same command goes on" in shown) == (3, True)
    assert not (tmp_path / "gateway.toml").exists()
    enter = [(question, "\n") for question, _ in UP_TO_SEARCH[2:]]
    rest = [("Search by", "\n"), ("Its name", "-\n"), ("Its name", "-\n"), ("Its name", "cellar\n")]
    code, shown = typed(tmp_path, [*enter, *rest, ("Next line", "\n"), ("Write", "\n")])
    assert code == 0, shown
    assert f"[{line}]" in shown
    (bus,) = read_configuration(tmp_path / "gateway.toml").bus
    assert (bus.name, [each.name for each in bus.device]) == ("riser", ["cellar"])
    assert not maybe_read(tmp_path / "gateway.toml")


def test_a_line_that_nobody_answers_writes_no_configuration(tmp_path: Path) -> None:
    """A port that is not there, and nothing else."""
    done = run(tmp_path, "init", "--gateway", "boiler-room-7", "--bus", "mbus /dev/nothing", "--yes")
    assert done.returncode == 1
    assert "PLB-L101" in done.stderr
    assert "PLB-C261: expected at least one line with a meter" in done.stderr
    assert not (tmp_path / "gateway.toml").exists()


def test_answers_of_a_bus_are_words() -> None:
    """A name may stand there several times."""
    found = words("modbus tcp://192.0.2.1:502 unit=1 model=a unit=2 model=b")
    assert found == {"protocol": ["modbus"], "at": ["tcp://192.0.2.1:502"], "unit": ["1", "2"], "model": ["a", "b"]}


@pytest.mark.parametrize("text", ["", "mbus", "mbus baud=300", "knx /dev/ttyUSB0", "mbus /dev/ttyUSB0 fast"])
def test_a_bus_that_is_not_said_well_is_refused(text: str) -> None:
    with pytest.raises(AnswerUnusable):
        words(text)


@pytest.mark.parametrize(
    "text", ["no TOML", "gateway = 'a'", "[broker]\n[[bus]]\n", "broker = 1\n", "[line]\nat = 1\n"]
)
def test_a_draft_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml.draft").write_text(text)
    with pytest.raises(DraftUnreadable):
        maybe_read(tmp_path / "gateway.toml")


def test_a_draft_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """Lines that are done, and the answers of the one in work."""
    head = {"gateway": "boiler-room-7", "broker": {"host": "broker.example", "port": 8883}}
    bus = {"name": "riser", "device": [{"name": 'a "b"', "address": 1}]}
    kept = Draft(head, [bus], {"protocol": "mbus", "keep heat-1": "yes"})
    keep(tmp_path / "gateway.toml", kept)
    assert maybe_read(tmp_path / "gateway.toml") == kept
