"""`doctor`: what is wrong is named with its next step; with a daemon, without one, with a broken configuration."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_parts import GATEWAY, Rig, Time
from servers import Broker

from gateway import doctor_daemon, doctor_ports, enrol, local
from gateway.about import ABOUT, TIME, About, Ticking
from gateway.cli import main
from gateway.clock import Discipline
from gateway.config import configuration_hash
from gateway.config_file import read_configuration
from gateway.core import core_of_this_program
from gateway.disk import Disk
from gateway.doctor import examine
from gateway.doctor_disk import Mount, mount_of
from gateway.findings import Mark
from gateway.local import serving
from gateway.lock import FolderLock
from gateway.named import Port, named_in
from gateway.owners import holders
from gateway.rights import User, group_name
from protocols.uplink import trust
from protocols.uplink.header import Core
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.pack import Wire
from protocols.uplink.trust import Trust

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
NOBODY = 65_534
CONFIG = """
gateway = "gateway-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "127.0.0.1"
port = 1
[[bus]]
name = "main"
protocol = "dlms"
url = "tcp://127.0.0.1:1"
[[bus.device]]
name = "street"
auth = "lls"
password_file = "secrets/street"
cadence_s = 900
"""
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A gateway with keys and a meter's password, not enrolled."""
    (tmp_path / "gateway.toml").write_text(CONFIG)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "street").write_text("12345678\n")
    (tmp_path / "secrets" / "street").chmod(0o600)
    enrol.make_keys(tmp_path / "keys")
    return tmp_path


def seen(site: Path, name: str = "gateway.toml") -> list[dict[str, str]]:
    """Every check."""
    return examine(site / name, NOW, reach=False).rows()


def named(rows: list[dict[str, str]], what: str, words: str = "") -> dict[str, str]:
    """The one check of this name that says so."""
    (found,) = [each for each in rows if each["what"] == what and words in each["seen"]]
    return found


def test_each_file_that_is_read_is_named_and_each_that_is_ignored_with_its_reason(site: Path) -> None:
    for name in ("gateway.toml~", "gateway.TOML", "other.toml", "notes.txt", "#gateway.toml#", "gateway.toml.draft"):
        (site / name).touch()
    rows = seen(site)
    read = {Path(each["seen"].split(" (")[0]).name for each in rows if each["seen"].endswith(": read")}
    assert read == {"gateway.toml", "sealing.pem", "box.pem", "tls-key.pem", "street"}
    ignored = {Path(each["seen"].split(": ")[0]).name: each for each in rows if each["what"] == "ignored"}
    reasons = {name: each["seen"].split(": ", 1)[1] for name, each in ignored.items()}
    assert reasons == {
        "gateway.toml~": "a backup copy",
        "#gateway.toml#": "a backup copy",
        "gateway.TOML": "not named like a configuration",
        "gateway.toml.draft": "an init that was not finished",
        "other.toml": "another configuration: only the file of --config is read",
        "notes.txt": "nothing in the configuration names it",
    }
    assert {each["state"] for name, each in ignored.items() if name.startswith(("gateway.TOML", "other"))} == {
        "warning"
    }


@pytest.mark.parametrize("name", ["secrets/street", "keys/sealing.pem", "keys/box.pem", "keys/tls-key.pem"])
def test_a_secret_that_others_may_read_is_wrong(name: str, site: Path) -> None:
    (site / name).chmod(0o640)
    wrong = [each for each in seen(site) if each["state"] == "wrong" and each["seen"].startswith(str(site / name))]
    assert wrong[0]["seen"].endswith("others may read it")
    assert wrong[0]["next"].startswith("chmod 600")


def test_a_backup_of_a_secret_that_others_may_read_is_wrong(site: Path) -> None:
    shutil.copy(site / "secrets" / "street", site / "secrets" / "street~")
    (site / "secrets" / "street~").chmod(0o644)
    assert named(seen(site), "ignored", "street~")["state"] == "wrong"


@needs_root
def test_a_secret_that_the_daemons_user_may_not_read_is_wrong_though_root_may(site: Path) -> None:
    (site / "state").mkdir()
    os.chown(site / "state", NOBODY, NOBODY)
    found = named(seen(site), "password of street")
    assert found["state"] == "wrong"
    assert f"not readable by {User.of(NOBODY).name}" in found["seen"]
    assert "chown" in found["next"]


def test_a_broken_file_is_said_to_be_and_the_other_checks_go_on(site: Path) -> None:
    """Also where a line is no TOML at all."""
    text = CONFIG.replace('gateway = "gateway-1"', 'gateway = "Gateway 1"').replace("cadence_s = 900", "cadence_s 900")
    (site / "gateway.toml").write_text(text)
    (site / "secrets" / "street").chmod(0o644)
    rows = seen(site)
    assert {each["what"] for each in rows if each["group"] == "configuration" and each["state"] == "wrong"} >= {
        "line 2"
    }
    assert named(rows, "password of street")["state"] == "wrong"
    assert named(rows, "sealing key")["state"] == "ok"
    assert named(rows, "state folder")["state"] == "ok"


def test_without_a_file_nothing_that_it_names_is_looked_at_and_the_clock_is(site: Path) -> None:
    rows = seen(site, "nothing.toml")
    skipped = {each["what"] for each in rows if each["state"] == "not looked at"}
    assert skipped == {"ports", "daemon", "state folder", "keys"}
    assert named(rows, "clock")["state"] == "ok"


def test_the_command_ends_with_1_where_something_is_wrong_and_shows_json(site: Path) -> None:
    def run(*more: str) -> Any:
        return CliRunner().invoke(main, ["doctor", "--config", str(site / "gateway.toml"), "--offline", *more])

    assert run().exit_code == 0
    (site / "secrets" / "street").unlink()
    found = run("--json")
    content = json.loads(found.stdout)
    assert (found.exit_code, content["wrong"]) == (1, 2)  # the file itself, and the meter that needs it
    assert {each["code"] for each in content["checks"] if each["state"] == "wrong"} == {"", "PLB-C224"}


def test_a_port_that_is_not_there_shows_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "usb-FTDI-if00").touch()
    user = User.of(os.getuid())
    (found,) = doctor_ports._port(Port("riser", tmp_path / "none"), user, "", tmp_path)
    assert (found.mark, found.code) == (Mark.FAIL, "PLB-L101")
    assert str(tmp_path / "usb-FTDI-if00") in found.do


@pytest.fixture
def terminal() -> Iterator[str]:
    """A terminal that this process made and holds."""
    ours, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def test_a_port_is_judged_by_rights_holder_and_name(terminal: str, tmp_path: Path) -> None:
    """One that is named by the order of plugging in is given its name by id."""
    (tmp_path / "usb-FTDI-if00").symlink_to(terminal)
    found = list(doctor_ports._port(Port("riser", Path(terminal)), User.of(os.getuid()), "", tmp_path))
    assert [each.mark for each in found] == [Mark.OK, Mark.OK, Mark.HINT]
    assert f'port = "{tmp_path / "usb-FTDI-if00"}"' in found[2].do
    by_id = list(doctor_ports._port(Port("riser", tmp_path / "usb-FTDI-if00"), User.of(os.getuid()), "", tmp_path))
    assert by_id[2].mark is Mark.OK


@needs_root
def test_a_port_of_the_group_dialout_is_given_by_that_group(terminal: str, tmp_path: Path) -> None:
    group = group_name(20)
    os.chown(terminal, 0, 20)
    Path(terminal).chmod(0o660)
    stranger = User("nobody", NOBODY, frozenset({NOBODY}))
    found = next(doctor_ports._port(Port("riser", Path(terminal)), stranger, "", tmp_path))
    assert (found.mark, found.do) == (Mark.FAIL, f"usermod -aG {group} nobody, then restart the daemon")
    member = User("nobody", NOBODY, frozenset({NOBODY, 20}))
    assert next(doctor_ports._port(Port("riser", Path(terminal)), member, "", tmp_path)).mark is Mark.OK


def test_another_program_on_a_port_is_named(tmp_path: Path) -> None:
    """By process and name."""
    path = tmp_path / "held"
    path.touch()
    with subprocess.Popen(["sleep", "60"], stdin=path.open()) as child:
        found = doctor_ports._held("port", path, "")
        assert (found.mark, found.code) == (Mark.FAIL, "PLB-L102")
        assert found.text == f"process {child.pid} (sleep) holds it"
        assert doctor_ports._held("port", path, str(child.pid)).mark is Mark.OK
        assert list(holders(str(path))) == [f"process {child.pid} (sleep)"]
        child.kill()


@pytest.mark.parametrize(
    ("found", "marks"),
    [
        (Discipline(synchronised=True, uncertainty_ms=5), Mark.OK),
        (Discipline(synchronised=True, uncertainty_ms=9_001), Mark.HINT),
        (Discipline(synchronised=False, uncertainty_ms=None), Mark.HINT),
    ],
)
def test_the_clock_is_judged_by_what_disciplines_it(found: Discipline, marks: Mark) -> None:
    assert doctor_daemon._disciplined(found, ("chronyd",)).mark is marks
    assert "chronyd" in doctor_daemon._disciplined(found, ("chronyd",)).text


def test_a_year_before_the_release_is_wrong() -> None:
    found = doctor_daemon._plausible(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
    assert (found.mark, "1970" in found.text) == (Mark.FAIL, True)


MOUNTS = """25 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 25 0:25 / /run rw,nosuid - tmpfs tmpfs rw
31 25 0:26 / /srv/a\\040b rw - nfs4 host:/x rw
32 25 8:2 / /mnt rw - ext4 /dev/sdb1 ro,errors=remount-ro
"""


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/etc/plomba", Mount("/", "ext4", read_only=False)),
        ("/run/plomba", Mount("/run", "tmpfs", read_only=False)),
        ("/runner", Mount("/", "ext4", read_only=False)),
        ("/srv/a b/state", Mount("/srv/a b", "nfs4", read_only=False)),
        ("/mnt/card", Mount("/mnt", "ext4", read_only=True)),
    ],
)
def test_the_file_system_of_a_folder_is_found(folder: str, mount: Mount) -> None:
    """The deepest mount; one that an error turned read-only says so only behind the dash."""
    assert mount_of(Path(folder), MOUNTS) == mount


def test_a_buffer_in_memory_and_a_full_disk_are_wrong(site: Path) -> None:
    """On a tmpfs of the machine, where there is one."""
    memory = Path("/dev/shm")  # noqa: S108 - it is what is looked for
    if mount_of(memory, Path("/proc/self/mountinfo").read_text()).kind != "tmpfs":
        pytest.skip("no tmpfs here")
    (site / "gateway.toml").write_text(CONFIG.replace('"state"', f'"{memory / "plomba-none"}"', 1))
    found = named(seen(site), "file system")
    assert (found["state"], found["code"]) == ("wrong", "PLB-S201")


def test_what_the_buffer_holds_is_counted_and_what_waits_for_long_is_a_warning(site: Path) -> None:
    (site / "state").mkdir()
    assert named(seen(site), "buffer")["state"] == "not looked at"
    rig = Rig(site / "state", time=Time(wall_ms=int(NOW.timestamp() * 1000) - 48 * 3_600_000))
    asyncio.run(rig.seal(2))
    rig.buffer.close()
    assert "2 batches with 2 readings" in named(seen(site), "buffer")["seen"]
    assert named(seen(site), "waiting")["state"] == "warning"
    (site / "state" / "buffer.sqlite3").write_bytes(b"no database" * 1000)
    assert named(seen(site), "buffer")["code"] == "PLB-S205"


@pytest.fixture
async def daemon(site: Path) -> AsyncIterator[dict[str, Wire]]:
    """What answers at the socket of a folder that is held, as a daemon does; changed by the test."""
    (site / "state").mkdir(mode=0o750)
    lock = FolderLock(site / "state")
    rig = Rig(site / "state")
    content = configuration_hash(read_configuration(site / "gateway.toml"))
    said: dict[str, Wire] = {
        ABOUT: About(core_of_this_program(), content, os.getpid()).to_wire(),
        TIME: Ticking.of(rig.clock).to_wire(),
    }

    async def about(arguments: list[Wire]) -> Wire:
        return said[ABOUT]

    async def time(arguments: list[Wire]) -> Wire:
        return said[TIME]

    async with serving(site / "state", {ABOUT: about, TIME: time}):
        yield said
    lock.close()


async def asked(site: Path) -> list[dict[str, str]]:
    """The checks, made in a thread: the daemon answers in this one."""
    return await asyncio.to_thread(seen, site)


async def test_a_daemon_that_runs_is_asked_for_what_only_it_knows(site: Path, daemon: dict[str, Wire]) -> None:
    rows = await asked(site)
    assert named(rows, "daemon")["seen"].startswith(f"process {os.getpid()} runs")
    assert [named(rows, f"daemon's {each}")["state"] for each in ("version", "file", "clock")] == ["ok"] * 3


async def test_a_daemon_of_another_version_or_with_another_file_wants_a_restart(
    site: Path, daemon: dict[str, Wire]
) -> None:
    daemon[ABOUT] = About(Core("0.0.9", bytes(32)), bytes(32), 1).to_wire()
    rows = await asked(site)
    for each in ("version", "file"):
        assert named(rows, f"daemon's {each}")["state"] == "warning"
        assert "restart" in named(rows, f"daemon's {each}")["next"]


async def test_a_daemon_that_does_not_answer_is_wrong_and_costs_no_other_check(
    site: Path, daemon: dict[str, Wire]
) -> None:
    """Its socket is gone."""
    (site / "state" / local.SOCKET_FILE).unlink()
    rows = await asked(site)
    assert {each["code"] for each in rows if each["what"] == "local socket"} == {"PLB-S207"}
    assert named(rows, "sealing key")["state"] == "ok"


def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey) -> Any:
    """A certificate of a year."""

    def of(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = x509.CertificateBuilder().subject_name(of(name)).issuer_name(of(issuer)).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW - datetime.timedelta(days=1))
    return made.not_valid_after(NOW + datetime.timedelta(days=365)).sign(signer, hashes.SHA256())


def enrolled(site: Path, *, name: str = GATEWAY, pinned: bool = True, own: bool = True, signed: bool = True) -> None:
    """The site with what an enrolment brings, one thing of it wrong."""
    authority, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate("site", authority, "site", authority)
    key = serialization.load_pem_private_key((site / "keys" / enrol.TLS_KEY).read_bytes(), None) if own else other
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    mine = certificate(name, key, "site", authority if signed else other)
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    (site / "keys" / enrol.TLS_CA).write_bytes(ca.public_bytes(pem))
    (site / "keys" / enrol.TLS_CERTIFICATE).write_bytes(mine.public_bytes(pem))
    signer, box = SigningKey.generate(), BoxKey.generate().public
    named_ca = ca if pinned else certificate("site", other, "site", other)
    document = Trust(
        1, "centre", None, (), (named_ca.public_bytes(der),), signer.public, None, signer.public, (box,),
        (signer.public,), (1,),
    )  # fmt: skip
    (site / "keys" / enrol.TRUST).write_bytes(trust.sign(document, [signer]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "an authority that the trust document names"),
        ({"name": "gateway-2"}, "the certificate is for CN=gateway-2"),
        ({"own": False}, "for another key"),
        ({"pinned": False}, "not what the trust document names"),
        ({"signed": False}, "no authority in tls-ca.pem signed"),
    ],
)
def test_the_chain_is_followed_to_what_is_pinned(wrong: dict[str, Any], words: str, site: Path) -> None:
    enrolled(site, **wrong)
    found = named(seen(site), "certificate chain")
    assert (found["state"], words in found["seen"]) == ("wrong" if wrong else "ok", True)


def test_a_certificate_that_ends_soon_or_ended_says_so(site: Path) -> None:
    enrolled(site)
    for days, state in ((1, "ok"), (340, "warning"), (366, "wrong")):
        rows = examine(site / "gateway.toml", NOW + datetime.timedelta(days=days), reach=False).rows()
        assert named(rows, "certificate")["state"] == state


def test_the_broker_is_diagnosed_step_by_step(site: Path, broker: Broker) -> None:
    """A certificate that the broker refuses shows in TLS, before any MQTT, which would only time out."""
    toml = site / "gateway.toml"
    toml.write_text(CONFIG.replace('"127.0.0.1"', '"localhost"', 1).replace("port = 1", f"port = {broker.port}", 1))

    def steps() -> list[tuple[str, str]]:
        rows = examine(toml, datetime.datetime.now(datetime.UTC)).rows()
        return [(each["what"], each["state"]) for each in rows if each["group"] == "broker"]

    reached = [("broker name", "ok"), ("broker port", "ok")]
    assert steps() == [*reached, ("broker TLS", "not looked at")]
    party = broker.site.gateways[0]
    for source, name in ((broker.site.ca, enrol.TLS_CA), (party.certificate, enrol.TLS_CERTIFICATE)):
        shutil.copy(source, site / "keys" / name)
    shutil.copy(party.key, site / "keys" / enrol.TLS_KEY)
    assert steps() == [*reached, ("broker TLS", "warning"), ("broker login", "ok")]  # its certificate ends soon
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (site / "keys" / enrol.TLS_CERTIFICATE).write_bytes(certificate(GATEWAY, key, "site", key).public_bytes(pem))
    form = (pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (site / "keys" / enrol.TLS_KEY).write_bytes(key.private_bytes(*form))
    assert steps() == [*reached, ("broker TLS", "wrong")]
    toml.write_text(toml.read_text().replace(f"port = {broker.port}", f"port = {unused()}"))
    assert steps() == [reached[0], ("broker port", "wrong")]


def unused() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_look_changes_nothing(site: Path) -> None:
    """No file is made, changed or removed."""
    (site / "state").mkdir()
    Disk(site / "state" / "buffer.sqlite3", 8 * 1024 * 1024, 1024).close()

    def files() -> dict[str, bytes]:
        kept = ("-wal", "-shm")  # SQLite's reader makes them anew
        return {
            str(each): each.read_bytes() for each in site.rglob("*") if each.is_file() and each.name[-4:] not in kept
        }

    before = files()
    seen(site)
    assert files() == before


def test_every_problem_of_a_random_break_leaves_a_report(site: Path) -> None:
    """A configuration with any bytes turned over: all groups are there."""
    draw = random.Random(7)
    for _ in range(40):
        octets = bytearray(CONFIG.encode())
        for _ in range(draw.randint(1, 8)):
            octets[draw.randrange(len(octets))] = draw.randrange(256)
        (site / "gateway.toml").write_bytes(octets)
        assert len(examine(site / "gateway.toml", NOW, reach=False).groups) == 7
        named_in(site / "gateway.toml")
