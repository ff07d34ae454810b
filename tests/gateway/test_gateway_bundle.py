"""`support-bundle`: what helps is in it, no secret is, and a file that is there is never written over."""

from __future__ import annotations

import asyncio
import base64
import datetime
import io
import json
import os
import random
import resource
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from gateway_parts import NOW_MS, Rig, Time

from gateway import bundle, enrol
from gateway.cli import main
from gateway.config import Configuration
from gateway.redact import Sieve, forms_of, secrets_of
from protocols.settings.model import model_of

NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
CONFIG = """
# before the visit: the meter's password is {comment}
gateway = "gateway-1"  # and here {tail}
state_folder = "state"
keys_folder = "keys"
[broker]
host = "operator:{url}@127.0.0.1"
port = 1
pasword = "{misspelt}"
[[bus]]
name = "street"
protocol = "dlms"
url = "tcp://reader:{url2}@127.0.0.1:1"
[[bus.device]]
name = "main"
auth = "hls-gmac"
ciphering = "both"
password = "{inline}"
password_file = "secrets/main"
encryption_key_file = "{misplaced}"
authentication_key_file = "secrets/main.authentication"
system_title = "504C420000000001"
cadence_s = {list}
stray {line}
"""
JOURNAL = """2026-11-22T12:00:00+0000 host plomba-gateway[7]: event='started' gateway='gateway-1'
2026-11-22T12:00:01+0000 host plomba-gateway[7]: event='odd' url='tcp://x:{log}@10.0.0.1' password={log2} of {password}
2026-11-22T12:00:02+0000 host plomba-gateway[7]: event='telegram' octets={log3}
"""


def words(*names: str) -> dict[str, str]:
    """A password for each place, another one in each run of a seed."""
    draw = random.Random("-".join(names))
    return {name: f"{name}{draw.randrange(10**6)}Xq" for name in names}


class Planted:
    """A gateway with a secret in every place that may hold one."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, draw = folder, random.Random(11)
        said = words("comment", "tail", "url", "misspelt", "url2", "inline", "line", "log", "log2", "password")
        self.texts = set(said.values())
        hexes = {
            name: draw.randbytes(16).hex() for name in ("misplaced", "encryption", "authentication", "log3", "list")
        }
        (folder / "gateway.toml").write_text(CONFIG.format(**said, **hexes))
        for name, text in (("main", said["password"]), ("main.authentication", hexes["authentication"])):
            self._file(f"secrets/{name}", text)
        self._file("secrets/main.encryption~", hexes["encryption"].upper())
        enrol.make_keys(folder / "keys")
        self._file("credentials/street", words("credential")["credential"])
        patch.setenv("CREDENTIALS_DIRECTORY", str(folder / "credentials"))
        patch.setenv("MQTT_PASSWORD", words("environment")["environment"])
        self.texts |= set(words("credential").values()) | set(words("environment").values())
        pems = [(folder / "keys" / name).read_bytes() for name in (enrol.SEALING, enrol.BOX, enrol.TLS_KEY)]
        self.octets = {bytes.fromhex(each) for each in hexes.values()} | set(map(raw, pems))
        self.texts |= set(hexes.values())
        self.texts |= {line.decode() for pem in pems for line in pem.splitlines() if not line.startswith(b"-----")}
        programs = folder / "programs"
        programs.mkdir()
        (folder / "journal").write_text(JOURNAL.format(**said, **hexes))
        (programs / "journalctl").write_text(f"#!/bin/sh\ncat {folder / 'journal'}\n")
        (programs / "journalctl").chmod(0o755)
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def _file(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n")
        path.chmod(0o600)

    def written_as(self) -> set[bytes]:
        """Every secret in every way it may be written, in small letters."""
        found: set[str] = set()
        for octets in self.octets | {each.encode() for each in self.texts}:
            found |= {
                octets.hex(),
                octets.hex(" "),
                octets.hex(":"),
                base64.b64encode(octets).decode().rstrip("=")[:-1],
            }
            found |= {
                base64.urlsafe_b64encode(octets).decode().rstrip("=")[:-1],
                base64.b32encode(octets).decode()[:-8],
            }
        return {each.lower().encode() for each in found | self.texts}


def raw(pem: bytes) -> bytes:
    """The private number of a key."""
    key: Any = load_pem_private_key(pem, None)
    if hasattr(key, "private_bytes_raw"):
        octets: bytes = key.private_bytes_raw()
        return octets
    number: int = key.private_numbers().private_value
    return number.to_bytes(32, "big")


def unpacked(octets: bytes) -> dict[str, bytes]:
    """The members by name."""
    with tarfile.open(fileobj=io.BytesIO(octets), mode="r:gz") as tar:
        return {Path(each.name).name: (tar.extractfile(each) or io.BytesIO()).read() for each in tar.getmembers()}


def make(folder: Path, name: str = "help.tar.gz", *more: str) -> Any:
    """The command."""
    line = ["support-bundle", "--config", str(folder / "gateway.toml"), str(folder / name), *more]
    return CliRunner().invoke(main, line)


def fill(folder: Path) -> None:
    """Readings in the buffer."""
    folder.mkdir()
    rig = Rig(folder, time=Time(wall_ms=NOW_MS))
    asyncio.run(rig.seal(3))
    rig.buffer.close()


def test_no_secret_of_any_place_is_in_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file as it is and in each member, as text, hex, base64 and base32, in any case."""
    planted = Planted(tmp_path, monkeypatch)
    fill(tmp_path / "state")
    assert make(tmp_path, "help.tar.gz", "--with-readings").exit_code == 0
    octets = (tmp_path / "help.tar.gz").read_bytes()
    found = unpacked(octets)
    everything = {**found, "the file": octets, "names": "\n".join(found).encode()}
    lower = {name: each.lower() for name, each in everything.items()}
    leaks = [(name, secret) for secret in planted.written_as() for name, each in lower.items() if secret in each]
    assert leaks == []


def test_what_helps_is_in_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that was planted leaves its surroundings: what is looked for is looked for where it would be."""
    Planted(tmp_path, monkeypatch)
    fill(tmp_path / "state")
    assert make(tmp_path).exit_code == 0
    found = {name: each.decode() for name, each in unpacked((tmp_path / "help.tar.gz").read_bytes()).items()}
    assert set(found) == {
        "README.txt", "versions.json", "gateway.toml", "doctor.json", "status.json", "counters.json", "batches.json",
        "time.json", "log.txt",
    }  # fmt: skip
    for line in ('gateway = "gateway-1"', "[[bus.device]]", 'name = "main"', 'password = "..."'):
        assert line in found["gateway.toml"].split("\n")
    assert len(found["gateway.toml"].split("\n")) == len((tmp_path / "gateway.toml").read_text().split("\n"))
    assert "event='started' gateway='gateway-1'" in found["log.txt"]
    assert str(tmp_path / "keys" / enrol.SEALING) in found["doctor.json"]
    assert json.loads(found["status.json"])["batches"] == 3
    assert [each["seq"] for each in json.loads(found["batches.json"])] == [1, 2, 3]
    assert {each["state"] for each in json.loads(found["doctor.json"])["checks"]} >= {"ok", "warning", "wrong"}


def test_values_of_readings_are_in_it_on_request_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Planted(tmp_path, monkeypatch)
    fill(tmp_path / "state")
    make(tmp_path, "without.tar.gz")
    make(tmp_path, "with.tar.gz", "--with-readings")
    assert "readings.json" not in unpacked((tmp_path / "without.tar.gz").read_bytes())
    readings = json.loads(unpacked((tmp_path / "with.tar.gz").read_bytes())["readings.json"])
    assert [len(each["values"]) for each in readings] == [4, 4, 4]
    number = readings[0]["values"][0]["number"]
    other = unpacked((tmp_path / "without.tar.gz").read_bytes())
    assert not any(f'"{number}"'.encode() in each for each in other.values())


def test_a_bundle_is_its_owners_alone_and_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor through a link."""
    Planted(tmp_path, monkeypatch)
    mask = os.umask(0)
    try:
        assert make(tmp_path).exit_code == 0
    finally:
        os.umask(mask)
    path = tmp_path / "help.tar.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert make(tmp_path).exit_code == 2
    (tmp_path / "link.tar.gz").symlink_to(tmp_path / "elsewhere")
    assert make(tmp_path, "link.tar.gz").exit_code == 2
    with pytest.raises(FileExistsError):
        bundle.write(path, b"another")
    assert (path.read_bytes(), (tmp_path / "elsewhere").exists()) == (before, False)


def test_a_bundle_that_finds_no_room_leaves_nothing_and_says_where(tmp_path: Path) -> None:
    """The disk is full, or the folder is not there: a code, the file, and what to look at."""
    small, path = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "help.tar.gz"
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, small[1]))
    try:
        with pytest.raises(OSError, match="too large") as full:
            bundle.write(path, bytes(1_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, small)
    assert (full.value.filename, path.exists()) == (str(path), False)
    done = make(tmp_path, "no/such/help.tar.gz")
    assert done.exit_code == 1
    assert done.stderr.startswith("PLB-S101: expected a file that can be used, got No such file or directory in ")


def test_the_same_members_are_the_same_bytes() -> None:
    """In whatever order they were made."""
    assert bundle.packed({"a": b"1", "b": b"2"}) == bundle.packed({"b": b"2", "a": b"1"})
    assert unpacked(bundle.packed({"a": b"1"})) == {"a": b"1"}


def test_without_a_buffer_a_journal_or_a_configuration_there_is_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert make(tmp_path).exit_code == 0
    found = unpacked((tmp_path / "help.tar.gz").read_bytes())
    assert "not there" in json.loads(found["status.json"])
    assert found["log.txt"].startswith(b"not reachable")


@pytest.mark.parametrize("secret", [b"Tr0ub4dor", b"12345678", bytes(range(200, 216)), "Maßstab".encode()])
def test_a_known_secret_is_found_however_it_is_written(secret: bytes) -> None:
    """Inside other text, too, and wherever in a base64 text it begins."""
    sieve = Sieve.of(secrets_of(secret + b"\n"))
    written = {secret.hex(), secret.hex().upper(), secret.hex(":"), base64.b64encode(secret).decode()}
    written |= {base64.b64encode(b"ab" + secret + b"cd").decode(), base64.b64encode(b"a" + secret).decode()}
    for each in written | ({secret.decode()} if secret.isascii() else set()):
        shown = sieve.text(f"<{each}> {each.swapcase() if each.isalnum() else each}")
        kept = max(len(piece) for piece in shown.replace("<", "...").replace(">", "...").split("..."))
        assert kept < 8, shown  # what stood beside it, and three characters at most


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    """Times, codes, sizes, addresses, and paths that are there."""
    sieve = Sieve.of([b"1"], [str(tmp_path)])
    for text in (
        "2026-11-22T12:00:00Z 1795391525028 PLB-M202 tcp://192.0.2.10:4059 64 MiB",
        f"{tmp_path}: read",
        "expected an answer within 10 s, got none; see plomba-gateway explain",
        "1-0:1.8.0.255 504C420000000001"[:14],
    ):
        assert sieve.text(text) == text
    assert forms_of(b"abc") == set()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('name = "street"', 'name = "street"'),
        ('name = "street" # not said', 'name = "street"'),
        ('"name" = "a#b"', '"name" = "a#b"'),
        ('nmae = "street"', 'nmae = "..."'),
        ('name = """many', 'name = "..."'),
        ('registers = ["1-0:1.8.0.255"]', 'registers = ["1-0:1.8.0.255"]'),
        ("cadence_s = 900 secret", 'cadence_s = "..."'),
        ("port = 8883", "port = 8883"),
        ('broker = { host = "a", password = "b" }', 'broker = "..."'),
        ('[broker] # "x"', "[broker]"),
        ("anything", "# ..."),
        ("# anything", "# ..."),
    ],
)
def test_a_line_of_a_configuration_shows_what_is_known_to_be_none(line: str, shown: str) -> None:
    assert Sieve.of([]).toml(line, bundle.keys_of(model_of(Configuration)), ()) == shown
    assert "street" not in Sieve.of([]).toml(line, bundle.keys_of(model_of(Configuration)), {1})


@pytest.mark.parametrize("name", ["help.zip", "help", "help.tar"])
def test_a_bundle_is_named_as_what_it_is(tmp_path: Path, name: str) -> None:
    """Who gets it opens it by its name."""
    done = make(tmp_path, name)
    assert (done.exit_code, "expected a name that ends in .tar.gz" in done.output) == (2, True)
    assert not (tmp_path / name).exists()
