"""`init` on every kind of line, as a technician meets it: secrets, silence, wrong answers, a daemon beside it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Processes
from terminal import Answer, typed

from gateway.config import DlmsBus, DlmsDevice, ModbusBus
from gateway.config_file import read_configuration
from gateway.draft import maybe_read
from gateway.faults import AnswerUnusable
from gateway.init import words
from gateway.questions import fits, unlike

EM340 = "model=carlo-gavazzi-em340"
UP_TO_LINE: list[tuple[str, Answer]] = [("Name of this gateway", "boiler-room-7\n"), ("Broker", "\n")]
DLMS_LINE: list[tuple[str, Answer]] = [
    ("Next line", "dlms\n"),
    ("Name of this line", "\n"),
    ("Serial port", "line\n"),
    ("Beginning", "\n"),
    ("Speed", "\n"),
    ("Parity", "\n"),
    ("Name of the meter", "\n"),
    ("physical", "\n"),
]
REST: list[tuple[str, Answer]] = [("Model", "\n"), ("Seconds", "\n")]
END: list[tuple[str, Answer]] = [("Another meter", "\n"), ("Next line", "end\n"), ("Write", "\n")]
DAEMON = """\
gateway = "boiler-room-7"
state_folder = "kept"
keys_folder = "keys"
[broker]
host = "broker.example"
port = 1
server_name = "other.example"
[[bus]]
name = "subs"
protocol = "modbus"
port = "line"
[[bus.device]]
name = "lift"
unit = 1
model = "carlo-gavazzi-em340"
cadence_s = 60
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Processes]:
    """A folder in which meters are started."""
    made = Processes(tmp_path)
    yield made
    made.end()


def secret(folder: Path, name: str, text: str) -> None:
    """A file that nobody else may read."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o600)


def by_words(place: Processes, *lines: str) -> tuple[int, str]:
    """`init` by options alone: exit code, and what it said."""
    given = [each for line in lines for each in ("--bus", line)]
    done = place.gateway("init", "--gateway", "boiler-room-7", "--yes", *given)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("kind", "form"), [((), ""), (("--mode-e",), " opening=mode-e")], ids=["RS-485", "optical head"]
)
def test_a_dlms_meter_on_a_serial_line_is_recorded(kind: tuple[str, ...], form: str, place: Processes) -> None:
    """HDLC on RS-485, or an optical head that is opened at 300 baud; its serial number is checked from now on."""
    place.meters("dlms-line", "--meters", "1", *kind)
    code, said = by_words(place, f"dlms line{form}")
    assert code == 0, said
    (bus,) = read_configuration(place.file).bus
    assert isinstance(bus, DlmsBus)
    assert (bus.opening, bus.device[0].physical, bus.device[0].serial) == (form[9:] or "none", 17, "80000001")


def test_several_dlms_meters_of_one_line_are_asked_for(place: Processes) -> None:
    """The address counts on."""
    place.meters("dlms-line", "--meters", "2")
    again = [("Name of the meter", "\n"), ("physical", "\n"), ("Client", "\n"), ("Server", "\n"), ("Auth", "\n")]
    login: list[tuple[str, Answer]] = [("Client", "\n"), ("Server", "\n"), ("Auth", "\n")]
    walk = [*UP_TO_LINE, *DLMS_LINE, *login, *REST, ("Another meter", "yes\n"), *again, *REST, *END]
    code, shown = typed(place.folder, walk)
    assert code == 0, shown
    (bus,) = read_configuration(place.file).bus
    assert [(each.name, each.identity.fabrication) for each in bus.device] == [
        ("main-meter", "80000001"),
        ("dlms-1-2", "80000002"),
    ]


def test_wrong_answers_are_asked_for_again_and_lose_nothing(place: Processes) -> None:
    """Each says what is expected; a password's file is tried when it is named."""
    secret(place.folder, "password", "geheim99\n")
    (place.folder / "open").write_text("geheim99\n")
    (place.folder / "open").chmod(0o644)
    place.meters("dlms-line", "--meters", "1", "--password-file", "password")
    line = list(DLMS_LINE)
    line[4:5] = [("Speed", "fast\n"), ("expected one of 300, 600", "9600\n")]
    line[2:3] = [("Serial port", "tcp://nowhere\n"), ("expected tcp://HOST:PORT", "line\n")]
    login: list[tuple[str, Answer]] = [
        ("Client", "0\n"),
        ("expected a whole number from 1 to 16383", "32\n"),
        ("Server", "\n"),
        ("Auth", "low\n"),
        ("expected one of none, lls", "lls\n"),
        ("File with its password", "\n"),
        ("expected a file", "nowhere\n"),
        ("No such file", "open\n"),
        ("0644: others may read it", "password\n"),
        ("Ciphering", "\n"),
    ]
    code, shown = typed(place.folder, [*UP_TO_LINE, *line, *login, *REST, *END])
    assert code == 0, shown
    (bus,) = read_configuration(place.file).bus
    assert isinstance(bus, DlmsBus)
    assert (bus.device[0].client, bus.device[0].password_file) == (32, place.folder / "password")


def test_meters_with_keys_get_a_system_title_of_this_gateway(place: Processes) -> None:
    """HLS with GMAC, and with SHA-256 under ciphering: one title for both, made here."""
    secret(place.folder, "both", "00112233445566778899AABBCCDDEEFF\nD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF\n")
    secret(place.folder, "encryption", "00112233445566778899AABBCCDDEEFF\n")
    secret(place.folder, "authentication", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF\n")
    secret(place.folder, "password", "geheim99\n")
    arguments = ("--record", "record", "--password-file", "password", "--key-file", "both")
    place.start("simulators.cli", "dlms", *arguments)
    place.until(lambda: "wrapper port" in place.log())
    wrapper, hdlc = re.findall(r"port (\d+)", place.log())
    keys = "encryption_key_file=encryption authentication_key_file=authentication"
    sha = f"meter=sha physical=none client=18 auth=hls-sha256 password_file=password ciphering=both {keys}"
    code, said = by_words(
        place,
        f"dlms tcp://127.0.0.1:{wrapper} meter=gmac client=17 auth=hls-gmac {keys}",
        f"dlms tcp+hdlc://127.0.0.1:{hdlc} {sha}",
    )
    assert code == 0, said
    found = read_configuration(place.file).bus
    gmac, sha256 = (each for bus in found for each in bus.device if isinstance(each, DlmsDevice))
    assert (gmac.system_title or "").startswith("504C42")
    assert (sha256.auth, sha256.client, sha256.system_title) == ("hls-sha256", 18, gmac.system_title)


@pytest.mark.parametrize("way", ["port", "tcp+rtu", "rfc2217"])
def test_a_silent_unit_of_an_rtu_line_is_left_out_and_the_exit_code_says_so(way: str, place: Processes) -> None:
    """On a port, and over TCP."""
    place.meters("modbus", "--units", "2", "--port", "0", "--control-port", "0")
    place.until(lambda: "rfc2217://" in place.log())
    at = "line" if way == "port" else next(each for each in place.log().split() if each.startswith(f"{way}://"))
    code, said = by_words(place, f"modbus {at} unit=2 {EM340} unit=9")
    assert (code, "modbus-1-unit-9 is left out" in said) == (3, True), said
    (bus,) = read_configuration(place.file).bus
    assert isinstance(bus, ModbusBus)
    assert [each.unit for each in bus.device] == [2]


def test_a_silent_unit_is_kept_where_the_word_says_so(place: Processes) -> None:
    """It stands in the configuration, and in the record as not read."""
    place.meters("modbus", "--units", "1")
    code, said = by_words(place, f"modbus line name=subs unit=1 {EM340} unit=9 keep-subs-unit-9=yes")
    assert (code, "1 of 2 meters are in the record" in said) == (3, True), said
    assert [each.name for each in read_configuration(place.file).bus[0].device] == ["subs-unit-1", "subs-unit-9"]


def test_a_meter_that_falls_silent_behind_the_search_is_told_and_can_stay(place: Processes) -> None:
    """It was found, then it does not answer its test read: the technician decides."""
    meters = place.meters("meters")
    search: list[tuple[str, Answer]] = [
        ("Next line", "mbus\n"),
        ("Name of this line", "riser\n"),
        ("Serial port", "line\n"),
        ("Speed", "\n"),
        ("Parity", "\n"),
        ("Search by", "\n"),
        ("Its name", "-\n"),
        ("Its name", "-\n"),
    ]

    def silenced() -> str:
        meters.send_signal(signal.SIGUSR1)
        place.until(lambda: "frozen" in place.log())
        return "heat\n"

    kept: list[tuple[str, Answer]] = [("Its name", silenced), ("Keep heat although it was not read?", "yes\n")]
    code, shown = typed(place.folder, [*UP_TO_LINE, *search, *kept, ("Next line", "end\n"), ("Write", "\n")])
    assert code == 3, shown
    assert "0 of 1 meters are in the record" in shown
    assert [each.name for each in read_configuration(place.file).bus[0].device] == ["heat"]


def test_a_line_that_failed_is_asked_for_with_what_was_typed(place: Processes) -> None:
    """A wrong client: the rest need not be typed again; Ctrl-C then loses nothing either."""
    place.meters("dlms-line", "--meters", "1")
    line = list(DLMS_LINE)
    line[1] = ("Name of this line", "hall\n")
    login: list[tuple[str, Answer]] = [("Client", "99\n"), ("Server", "\n"), ("Auth", "\n")]
    failed: list[tuple[str, Answer]] = [("Another", "\n"), ("Keep main-meter", "\n"), ("nothing of this line", "")]
    again = [("Next line", "\n"), ("[hall]", "\n"), ("[line]", "\x03")]
    code, shown = typed(place.folder, [*UP_TO_LINE, *line, *login, *REST, *failed, *again])
    assert code == 3, shown
    draft = maybe_read(place.file)
    assert draft is not None
    assert (draft.answers["client"], draft.answers["name"]) == ("99", "hall")


def test_ctrl_c_in_a_test_read_leaves_the_answers(place: Processes) -> None:
    """Nobody answers at this address: it is left before the waiting ends."""
    place.meters("dlms-line", "--meters", "1")
    line = [*DLMS_LINE[:-1], ("physical", "99\n"), ("Client", "\n"), ("Server", "\n"), ("Auth", "\n"), *REST]
    code, shown = typed(place.folder, [*UP_TO_LINE, *line, ("Another meter", "\n\x03")])
    assert (code, "the same command goes on" in shown) == (3, True), shown
    assert "Traceback" not in shown
    assert not place.file.exists()
    draft = maybe_read(place.file)
    assert draft is not None
    assert draft.answers["physical"] == "99"


def test_while_the_daemon_runs_its_meters_are_recorded_through_it_and_nothing_is_replaced(place: Processes) -> None:
    """The bus has one owner: `replace` says who; another configuration's walk hears who holds the port."""
    place.file.write_text(DAEMON)
    place.meters("modbus", "--units", "2")
    assert place.gateway("keys").returncode == 0
    daemon = place.daemon()
    place.until(lambda: (place.folder / "kept" / "control.sock").exists() and "started" in place.log())
    kept = place.gateway("init", "--yes")
    assert (kept.returncode, f"the daemon, process {daemon.pid}, runs with it" in kept.stderr) == (0, True), kept.stderr
    replaced = place.gateway("init", "--yes", "--existing", "replace", "--bus", f"modbus line {EM340}")
    assert replaced.returncode == 1
    assert f"PLB-L105: expected a gateway whose daemon does not run, got one whose daemon is process {daemon.pid}" in (
        replaced.stderr
    )
    assert place.file.read_text() == DAEMON
    (place.folder / "other").mkdir()
    other = Processes(place.folder / "other")
    code, said = by_words(other, f"modbus ../line unit=2 {EM340}")
    assert code == 1
    assert "PLB-L102: expected a free port" in said
    assert f"process {daemon.pid}" in said.partition("stop the daemon first")[2]
    assert f"the daemon of {os.path.realpath(place.folder)}/kept" in said


def test_what_is_replaced_keeps_its_folders_its_broker_and_its_name(place: Processes) -> None:
    """The buffer and the keys of a gateway stay its own; the old file lies beside the new one."""
    place.file.write_text(DAEMON)
    place.meters("modbus", "--units", "2")
    done = place.gateway("init", "--yes", "--existing", "replace", "--bus", f"modbus line unit=2 {EM340}")
    assert done.returncode == 0, done.stderr
    found = read_configuration(place.file)
    assert (found.gateway, found.state_folder) == ("boiler-room-7", place.folder / "kept")
    assert (found.broker.host, found.broker.server_name) == ("broker.example", "other.example")
    assert (place.folder / "gateway.toml.before").read_text() == DAEMON


@pytest.mark.parametrize("text", ["dlms tcp://a:1 unit=1", "modbus tcp://a:1 client=16", "dlms tcp://a:1 modle=idis"])
def test_a_word_that_a_protocol_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(AnswerUnusable, match="expected words of"):
        words(text)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [("client", "16", "1e1"), ("client", "1", "٣"), ("suite", "2", "3"), ("name", "main supply", "Zähler")],
)
def test_an_answer_fits_where_the_configuration_takes_it(key: str, good: str, bad: str) -> None:
    """The class that loads a key says what may be typed."""
    check = fits(DlmsDevice, key)
    assert check(good) == ""
    assert check(bad)
    assert " in quotes" not in check(bad)


def test_a_name_that_is_there_already_is_told() -> None:
    assert unlike(["riser"])("riser") == "one that is not there yet (riser)"
