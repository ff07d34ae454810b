"""A meter exchange as one act, on real processes: final and initial reading, the record, and the file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Processes

from gateway.config_file import read_configuration
from gateway.edit import edited
from gateway.faults import BadConfiguration, NotEditable
from gateway.successors import FILE, read
from protocols.reading import Identity
from protocols.uplink.leaf import identity_from_wire
from protocols.uplink.pack import unpack
from protocols.uplink.records import Event

CONFIG = """\
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "cellar"         # the line
protocol = "mbus"
port = "line"
[[bus.device]]
name = "heat"
address = 1             # as set by the installer
cadence_s = 1
id = "60300001"         # from the plate
manufacturer = "KAM"
[[bus.device]]
name = "water"
address = 3
cadence_s = 2
"""
OLD, NEW = "60300001", "60300099"


class Site(Processes):
    """Meters of which one can be swapped, and a gateway's folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, CONFIG)
        self.house = self.meters("meters", "--swap", f"1={NEW}")
        assert self.gateway("keys").returncode == 0

    def reading(self) -> subprocess.Popen[bytes]:
        """Start the daemon and wait for a first reading of `heat`."""
        child = self.daemon()
        self.until(lambda: OLD in self.shown())
        return child

    def swap(self) -> None:
        """Exchange the meter at address 1."""
        self.house.send_signal(signal.SIGUSR2)
        self.until(lambda: "swapped" in self.log())

    def shown(self) -> list[str | None]:
        """Whom the readings of `heat` are of, in their order."""
        return [each.meter.id for found in self.contents() for each in found.readings if each.device == "heat"]

    def events(self, code: str) -> list[Event]:
        """The events with this code."""
        records = (each for found in self.contents() for each in found.records)
        return [each for each in records if isinstance(each, Event) and each.code == code]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Meters that answer and a gateway with keys, not enrolled: it reads and keeps."""
    made = Site(tmp_path)
    yield made
    made.end()


def new_of(event: Event) -> Identity:
    """The new meter in the record of an exchange."""
    assert isinstance(event.parameters[1], bytes)
    return identity_from_wire(unpack(event.parameters[1], 1024, "test"))


def test_a_meter_that_was_swapped_under_the_daemon_is_exchanged_beside_it(site: Site) -> None:
    """It is read unattributed until then, also after a restart of the daemon; the file changes by one value."""
    daemon = site.reading()
    site.swap()
    site.until(lambda: site.shown()[-2:] == [NEW, NEW])
    assert f"KAM {NEW}" in site.gateway("status").stdout
    daemon.terminate()
    daemon.wait()
    assert f"{NEW} version 35 medium 04 answers in place of KAM {OLD}" in site.gateway("check").stdout
    site.start("gateway.cli", "run", "--config", "gateway.toml")
    site.until(lambda: len(site.events("meter-changed")) == 2)
    done = site.gateway("exchange", "heat", "--final", "energy 12.345 MWh", said="y\ny\n")
    assert done.returncode == 0, done.stderr
    assert site.file.read_text() == CONFIG.replace(OLD, NEW)
    (record,) = site.events("meter-exchanged")
    assert (record.device, record.meter and record.meter.id, new_of(record).id) == ("heat", OLD, NEW)
    assert record.parameters[4] is None
    assert record.parameters[6:] == ("energy 12.345 MWh",)
    assert read(site.folder / "state") == []
    shown = list(map(str, site.shown()))
    assert shown == sorted(shown)  # the old one's series, then the new one's


def test_the_old_meter_is_read_a_last_time_and_the_new_one_after_it_is_mounted(site: Site) -> None:
    """With the daemon running: both readings are sealed, and the record names their telegrams."""
    site.reading()
    line = [sys.executable, "-u", "-m", "gateway.cli", "exchange", "heat", "--config", "gateway.toml"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        line, cwd=site.folder, env=site.environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        assert f"the configured meter answers: KAM {OLD}" in command.stdout.readline()
        site.swap()
        command.stdin.write("\ny\ny\n")
        command.stdin.flush()
        rest = command.stdout.read()
    assert command.returncode == 0
    assert f"a new meter answers: KAM {NEW}" in rest
    (record,) = site.events("meter-exchanged")
    hashes = {each.raw_hash: each for found in site.contents() for each in found.readings if each.slot_ms is None}
    assert [hashes[each].meter.id for each in record.parameters[4:6] if isinstance(each, bytes)] == [OLD, NEW]


def test_without_the_daemon_it_works_offline(site: Site) -> None:
    """The buffer is opened for it, and everything is sealed there."""
    site.swap()
    done = site.gateway("exchange", "heat", "--yes")
    assert done.returncode == 0, done.stderr
    assert "the old meter does not answer" in done.stderr
    assert f'+id = "{NEW}"' in done.stdout
    assert site.shown() == [NEW]
    assert len(site.events("meter-exchanged")) == 1


def test_the_old_meter_that_still_answers_is_not_exchanged_by_itself(site: Site) -> None:
    """It was read, and nothing is recorded or written."""
    done = site.gateway("exchange", "heat", "--yes")
    assert done.returncode == 1
    assert "PLB-M204" in done.stderr
    assert site.events("meter-exchanged") == []
    assert site.file.read_text() == CONFIG


def test_a_no_changes_nothing(site: Site) -> None:
    """Neither record nor file; and a no to the second question leaves the file alone."""
    site.swap()
    assert site.gateway("exchange", "heat", said="n\n").returncode == 1
    assert site.events("meter-exchanged") == []
    assert site.gateway("exchange", "heat", said="y\nn\n").returncode == 3
    assert len(site.events("meter-exchanged")) == 1
    assert site.file.read_text() == CONFIG


@pytest.mark.parametrize("said", ["y\nn\n", "y\n"])
def test_a_record_whose_file_was_not_written_is_finished_by_the_same_command(site: Site, said: str) -> None:
    """A no, or a terminal that is gone, after the daemon's record: the next time only the file is written."""
    site.reading()
    site.swap()
    left = site.gateway("exchange", "heat", said=said)
    assert (left.returncode, site.file.read_text()) == (3, CONFIG), left.stderr
    done = site.gateway("exchange", "heat", "--yes")
    assert (done.returncode, "recorded before" in done.stderr) == (0, True), done.stderr
    assert len(site.events("meter-exchanged")) == 1
    (bus,) = read_configuration(site.file).bus
    assert bus.device[0].identity.id == NEW


def test_another_number_than_the_one_that_was_named_is_not_taken(site: Site) -> None:
    """--to is what stands on the plate that the technician holds."""
    site.swap()
    done = site.gateway("exchange", "heat", "--yes", "--to", "60300077")
    assert (done.returncode, "PLB-M204" in done.stderr) == (1, True)
    assert not (site.folder / "state" / FILE).exists()
    assert site.events("meter-exchanged") == []


def test_a_meter_that_is_selected_by_its_number_is_exchanged_by_the_new_one(site: Site) -> None:
    """The old one is silent; the new one is selected by what --to says, and stands in the file from then on."""
    site.file.write_text(CONFIG.replace("address = 1  ", f'secondary = "{OLD}"').replace(f'id = "{OLD}"  ', "# "))
    site.swap()
    done = site.gateway("exchange", "heat", "--yes", "--to", NEW)
    assert done.returncode == 0, done.stderr
    (bus,) = read_configuration(site.file).bus
    assert bus.device[0].identity.id == NEW
    assert site.shown() == [NEW]


def test_two_exchanges_in_one_life_of_the_daemon_name_each_its_own_old_meter(site: Site) -> None:
    """The second one ends the series of the meter that the first one brought, though the daemon's file is older."""
    between = "07712233"
    heat = CONFIG.replace("address = 1  ", f'secondary = "{OLD}"').replace(f'id = "{OLD}"  ', "# ")
    site.file.write_text(heat.partition('[[bus.device]]\nname = "water"')[0].replace('manufacturer = "KAM"', ""))
    site.reading()
    site.swap()
    for number in (between, NEW):
        done = site.gateway("exchange", "heat", "--yes", "--to", number, "--final", f"plate of before {number}")
        assert done.returncode == 0, done.stderr
    told = [(each.meter and each.meter.id, new_of(each).id) for each in site.events("meter-exchanged")]
    assert told == [(OLD, between), (between, NEW)]


def test_what_was_read_from_a_plate_is_sealed_whole_or_refused(site: Site) -> None:
    """A text that a record cannot hold is named before anything is read; one that just fits is sealed to its end."""
    site.swap()
    done = site.gateway("exchange", "heat", "--yes", "--final", "5" * 129)
    assert done.returncode == 1
    assert "PLB-C239" in done.stderr
    assert "129 bytes" in done.stderr
    assert done.stdout == ""
    assert site.file.read_text() == CONFIG
    plate = "plate: " + "ö" * 55 + " 123.4 MWh"
    assert site.gateway("exchange", "heat", "--yes", "--final", plate).returncode == 0
    (record,) = site.events("meter-exchanged")
    assert record.parameters[6:] == (plate,)


def test_a_number_that_was_not_there_is_written_below_the_name(tmp_path: Path) -> None:
    """Comments, order and line ends stay."""
    before = CONFIG.replace(f'id = "{OLD}"         # from the plate\n', "").replace("\n", "\r\n")
    now = edited(tmp_path / "gateway.toml", before, "heat", {"id": NEW, "version": None})
    assert now == before.replace('name = "heat"\r\n', f'name = "heat"\r\nid = "{NEW}"\r\n')


def test_a_file_that_would_have_faults_is_not_made(tmp_path: Path) -> None:
    """The number of another meter on the line, say; and what is written in one line is left to a person."""
    with pytest.raises(BadConfiguration):
        edited(tmp_path / "gateway.toml", CONFIG, "heat", {"id": "none"})
    flat = CONFIG[: CONFIG.index("[[bus.device]]")] + 'device = [{ address = 1, name = "heat", cadence_s = 1 }]\n'
    with pytest.raises(NotEditable):
        edited(tmp_path / "gateway.toml", flat, "heat", {"id": NEW})


@pytest.mark.parametrize("running", [False, True])
def test_what_is_read_by_hand_is_sealed_beside_the_slots(site: Site, running: bool) -> None:
    """`read --store`, with the daemon and without it: what is printed is in the buffer."""
    if running:
        site.reading()
    done = site.gateway("read", "--all", "--store", "--json")
    assert (done.returncode, done.stderr) == (0, "2 of 2 meters read and sealed\n")
    rows = json.loads(done.stdout)
    sealed = {each.device: each for found in site.contents() for each in found.readings if each.slot_ms is None}
    assert [row["device"] for row in rows] == ["heat", "water"]
    for row in rows:
        shown = {str(each.key): str(each.number) for each in sealed[row["device"]].values}
        energy = [each for each in row["values"] if each["unit"] in ("Wh", "m3") and each["state"] == "ok"]
        assert energy
        assert all(shown[each["key"]] == each["value"] for each in energy)
    site.swap()
    changed = site.gateway("read", "heat", "--store")
    assert (changed.returncode, "PLB-" in changed.stderr, changed.stdout) == (1, True, "")
    assert not [each for found in site.contents() for each in found.readings if each.slot_ms is None][2:]
