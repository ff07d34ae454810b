"""The daemon as a process that takes pushes, killed between them: each is stored, none is lost, no secret is told."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from daemons import KEYS, PASSWORD, daemon, set_up, tells, written

from gateway.buffer import content_of
from gateway.cli import main
from protocols.dlms.access import Framing
from protocols.reading import How
from protocols.uplink import batch as batches
from protocols.uplink.keys import Algorithm, PublicKey
from simulators.dlms.meters import DlmsMeters
from simulators.dlms.push import Aim, Protect, Pusher, PushFault, PushFaults
from simulators.record import Record

LIVES, PUSHES = 3, 4
CONFIGURATION = """
gateway = "pushed-1"
state_folder = "state"
keys_folder = "keys"
[broker]
host = "localhost"
port = 8883
[push]
bind = "127.0.0.1"
port = {push}
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
password_file = "secrets/password"
encryption_key_file = "secrets/encryption"
authentication_key_file = "secrets/authentication"
system_title = "504C420000000001"
meter_title = "49534B1050012345"
push = true
history_days = 0
"""


@dataclass
class Now:
    """The meter's clock: a minute later at each push."""

    ms: int = 1_795_310_000_000


def prepared(folder: Path, port: int) -> int:
    """Files of a gateway; where it listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        push = int(free.getsockname()[1])
    set_up(folder, CONFIGURATION.format(port=port, push=push))
    return push


async def confirmed(pusher: Pusher, wanted: int) -> None:
    """Push until so many were confirmed: while nobody listens there is nobody to push to."""
    while len(set(pusher.confirmed)) < wanted:
        try:
            await pusher.push()
        except OSError:
            await asyncio.sleep(0.05)


def pushed(folder: Path) -> list[int]:
    """The meter's times of all pushes in the buffer."""
    found: list[int] = []
    with closing(sqlite3.connect(folder / "state" / "buffer.sqlite3")) as database:
        algorithm, octets = database.execute("SELECT algorithm, octets FROM own_key").fetchone()
        key = PublicKey(Algorithm(algorithm), octets)
        for row in database.execute("SELECT header, signature, codec, body FROM content"):
            batch = batches.parse(content_of(row))
            readings = batches.expand(batch.header, batches.verify(batch, key)).readings
            found += [each.meter_time.seconds for each in readings if each.how is How.PUSH and each.meter_time]
    return found


@pytest.mark.alone
async def test_a_killed_daemon_loses_no_push_that_it_confirmed(tmp_path: Path) -> None:
    """Every confirmed push is in the buffer; `status` shows the last one; the canaries are in their files alone."""
    now, said = Now(), list[bytes]()
    record = Record(tmp_path / "record.jsonl")
    meters = DlmsMeters(record, lambda: now.ms, password=PASSWORD, keys=KEYS, history_rows=0)
    await meters.start()
    port = prepared(tmp_path, meters.wrapper_port)

    def later() -> int:
        now.ms += 60_000
        return now.ms

    aim = Aim("127.0.0.1", port, protect=Protect.GLO, confirmed=True)
    faults = PushFaults((PushFault.TWICE, PushFault.CUT), seed=3)
    pusher = Pusher(meters.outlet(Framing.WRAPPER).meter, aim, record, later, KEYS, faults)
    for life in range(LIVES):
        async with daemon(tmp_path, said):
            await confirmed(pusher, (life + 1) * PUSHES)
    await meters.stop()
    record.close()
    assert len(set(pushed(tmp_path))) >= LIVES * PUSHES
    shown = CliRunner().invoke(main, ["status", "--json", "--config", str(tmp_path / "gateway.toml")])
    status = json.loads(shown.output)
    assert set(status["last_push"]) == {"main"}
    assert status["counters"]["pushes-sealed"]["main"] >= LIVES * PUSHES
    assert not any(tells(octets) for octets in (*said, *written(tmp_path)))
