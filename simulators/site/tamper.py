"""What an intruder could do to a running site: a message with a flipped byte, and a flipped byte in the store.

Both go the way an intruder would have to go: with stolen TLS keys to the broker, with a hand on the collector's file.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from protocols.transports.mqtt import connect
from protocols.transports.pipe import PipeSettings
from protocols.uplink import topics, trust
from protocols.uplink.envelope import Codec, Content, close
from protocols.uplink.pack import Fields, unpack

FILE_BYTES = 2 * 1024 * 1024  # of an exported batch
BUSY_S = 10.0  # the collector may be writing
_OF_DEVICE = "how = 0 AND instr(sealed, CAST(?1 AS BLOB)) > 0"

Row = tuple[bytes, int, str, int, int]


def spoiled(exported: bytes) -> Content:
    """A batch as its gateway exported it, with one bit of its body turned."""
    fields = Fields(unpack(exported, FILE_BYTES, "batch"), "batch", 4)
    fields.text("form")
    header, signature, body = fields.octets("header"), fields.octets("signature"), bytearray(fields.octets("body"))
    body[len(body) // 2] ^= 1
    return Content(header, signature, Codec.PLAIN, bytes(body))


async def send(content: Content, gateway: str, keys: Path, port: int) -> None:
    """Publish a batch as `gateway`, with its own TLS key, to the broker on loopback.

    Raises:
        LinkError: the broker does not take it.
    """
    document = trust.read((keys / "trust.plomba").read_bytes())
    packet = close(content, "batch", gateway, document.boxes[0])
    settings = PipeSettings("localhost", port, keys / "tls-ca.pem", keys / "tls-cert.pem", keys / "tls-key.pem")
    async with connect(settings) as pipe:
        await pipe.publish(topics.up(gateway, "batch"), packet)


@dataclass(frozen=True, slots=True)
class Flipped:
    """A reading in the collector's store, and its bytes before they were touched."""

    row: Row
    before: bytes


def newest(store: Path, device: str) -> int:
    """When the newest stored reading of a device was read (ms UTC); 0 where there is none."""
    with closing(_opened(store)) as database:
        found = database.execute(f"SELECT max(at_ms) FROM reading WHERE {_OF_DEVICE}", (device,)).fetchone()[0]  # noqa: S608
        return int(found or 0)


def flip_newest(store: Path, device: str) -> Flipped:
    """Turn one bit of the newest stored reading of a device, which must have one."""
    columns = "meter, how, moment, part, variant, sealed"
    with closing(_opened(store)) as database:
        found = database.execute(
            f"SELECT {columns} FROM reading WHERE {_OF_DEVICE} ORDER BY at_ms DESC LIMIT 1",  # noqa: S608 - constants
            (device,),
        ).fetchone()
        spoilt = bytearray(found[5])
        spoilt[len(spoilt) // 2] ^= 1
        flipped = Flipped(found[:5], found[5])
        _put(database, flipped.row, bytes(spoilt))
        return flipped


def put_back(store: Path, flipped: Flipped) -> None:
    """Undo `flip_newest`."""
    with closing(_opened(store)) as database:
        _put(database, flipped.row, flipped.before)


def _opened(store: Path) -> sqlite3.Connection:
    return sqlite3.connect(store, timeout=BUSY_S, isolation_level=None)


def _put(database: sqlite3.Connection, row: Row, sealed: bytes) -> None:
    database.execute(
        "UPDATE reading SET sealed = ? WHERE meter = ? AND how = ? AND moment = ? AND part = ? AND variant = ?",
        (sealed, *row),
    )
