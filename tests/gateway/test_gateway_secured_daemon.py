"""The daemon as a process, reading a ciphered meter, killed and started again: no counter twice, no secret anywhere."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from protocols.dlms.ciphering import Keys, Suite
from simulators.dlms.meters import DlmsMeters
from simulators.record import Record, read

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = b"canary-password"
KEYS = Keys(Suite.AES_128, b"canary-enc-key-0", b"canary-auth-key0")
METER = "50012345"
LIVES = 3
VISITS = 2  # of each life
CONFIGURATION = """
gateway = "secured-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 8883
[[bus]]
protocol = "dlms"
name = "supply"
url = "tcp://127.0.0.1:{port}"
[[bus.device]]
name = "main"
cadence_s = 1
client = 18
auth = "hls-sha256"
ciphering = "both"
dedicated = true
password_file = "secrets/password"
encryption_key_file = "secrets/encryption"
authentication_key_file = "secrets/authentication"
system_title = "504C420000000001"
history_days = 0
"""


def set_up(folder: Path, port: int) -> None:
    keys = {"encryption": KEYS.encryption, "authentication": KEYS.authentication}
    secrets = {"password": PASSWORD} | {name: key.hex().encode() for name, key in keys.items()}
    (folder / "secrets").mkdir()
    for name, content in secrets.items():
        path = folder / "secrets" / name
        path.write_bytes(content)
        path.chmod(0o600)
    (folder / "gateway.toml").write_text(CONFIGURATION.format(port=port))
    done = CliRunner().invoke(main, ["keys", "--config", str(folder / "gateway.toml")])
    assert done.exit_code == 0, done.output


async def visited(path: Path, more: int) -> None:
    """Wait until the meter has let somebody in so many times more."""
    wanted = visits(path) + more
    while visits(path) < wanted:  # noqa: ASYNC110 - what another process did
        await asyncio.sleep(0.05)


def visits(path: Path) -> int:
    return sum(each.kind == "answer" and each.meter == METER for each in read(path))


@pytest.mark.alone
async def test_a_killed_daemon_uses_no_counter_twice_and_tells_no_secret(tmp_path: Path) -> None:
    """The meter refuses a counter that it heard, and refused none; the canaries are in their files alone."""
    record = Record(tmp_path / "record.jsonl")
    meters = DlmsMeters(record, lambda: 1_795_310_000_000, password=PASSWORD, keys=KEYS, history_rows=0)
    await meters.start()
    set_up(tmp_path, meters.wrapper_port)
    said = b""
    for _ in range(LIVES):
        daemon = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            "run",
            "--config",
            str(tmp_path / "gateway.toml"),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        await visited(record.path, VISITS)
        daemon.send_signal(signal.SIGKILL)
        said += (await daemon.communicate())[0]
    await meters.stop()
    record.close()
    assert said.count(b"'started'") == LIVES
    assert not re.search(rb"PLB-M3[45]", said)
    assert [where for where, octets in written(tmp_path, said) if tells(octets)] == []
    assert (tmp_path / "state" / "counters.sqlite3") in [where for where, _ in written(tmp_path, said)]


def written(folder: Path, said: bytes) -> list[tuple[object, bytes]]:
    """What was said, and every file but those of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    return [("said", said), *((path, path.read_bytes()) for path in files)]


def tells(octets: bytes) -> bool:
    secrets = (PASSWORD, KEYS.encryption, KEYS.authentication)
    return any(each in octets or each.hex().encode() in octets.lower() for each in secrets)
