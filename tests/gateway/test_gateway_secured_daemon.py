"""The daemon as a process, reading a ciphered meter, killed and started again: no counter twice, no secret anywhere."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from daemons import KEYS, PASSWORD, daemon, set_up, tells, written

from simulators.dlms.meters import DlmsMeters
from simulators.record import Record, read

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
    set_up(tmp_path, CONFIGURATION.format(port=meters.wrapper_port))
    said: list[bytes] = []
    for _ in range(LIVES):
        async with daemon(tmp_path, said):
            await visited(record.path, VISITS)
    await meters.stop()
    record.close()
    assert b"".join(said).count(b"'started'") == LIVES
    assert not re.search(rb"PLB-M3[45]", b"".join(said))
    assert not any(tells(octets) for octets in (*said, *written(tmp_path)))
    assert (tmp_path / "state" / "counters.sqlite3").exists()
