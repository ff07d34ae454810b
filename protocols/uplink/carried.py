"""The second pipe: packets in a file that a person carries, the same bytes as over the first.

The file begins with `MAGIC`; behind it stand frames: four bytes of length (big-endian) and so many bytes. The first
frame names the gateway and the kind (`batch` up, `ack` down) as `[1, gateway, kind]`, each other one is a packet of
these. Nothing else protects the file: each packet is sealed to its receiver and signed inside, as on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from protocols.errors import ConfigurationError, PlombaError
from protocols.uplink import limits
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.topics import gateway_id

MAGIC = b"PLOMBA-CARRIED-1\n"
VERSION = 1
HEAD = 128  # bytes of the first frame at most
LENGTH = 4
KINDS = ("batch", "ack")


class NotCarried(ConfigurationError):  # noqa: N818 - named after what it is not
    """A file that is not one of carried packets, of others than are wanted, or cut off."""

    code = "PLB-C103"
    do = (
        "to the collector goes what 'plomba-gateway buffer export' wrote, to the gateway what 'plomba-collector"
        " import-batches' wrote; copy a file that is cut off again"
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """Whose packets a file holds, and of which kind; `packets` reads on in the file."""

    gateway: str
    kind: str
    packets: Iterator[bytes]


def head(gateway: str, kind: str) -> bytes:
    """How a file of these packets begins."""
    return MAGIC + frame(pack([VERSION, gateway, kind]))


def frame(octets: bytes) -> bytes:
    """One packet as it stands in a file."""
    return len(octets).to_bytes(LENGTH, "big") + octets


def read(file: BinaryIO, where: str) -> Carried:
    """The packets of a file; `where` names it in messages.

    Whoever takes `packets` gets every whole one; where the file is cut off, or a length is none, NotCarried follows.

    Raises:
        NotCarried: it is no such file.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise NotCarried(f"a file that begins with {MAGIC.decode().strip()}", "another one", where)
    first = _frame(file, HEAD, where)
    try:
        fields = Fields(unpack(first or b"", HEAD, where), where, 3)
        fields.integer("version", VERSION, VERSION)
        name, kind = gateway_id(fields.text("gateway")), fields.text("kind")
    except PlombaError as error:
        raise NotCarried(error.expected, error.got, where) from None
    if kind not in KINDS:
        raise NotCarried(" or ".join(KINDS), repr(kind[:32]), where)
    return Carried(name, kind, _packets(file, where))


def _packets(file: BinaryIO, where: str) -> Iterator[bytes]:
    while (packet := _frame(file, limits.PACKET, where)) is not None:
        yield packet


def _frame(file: BinaryIO, limit: int, where: str) -> bytes | None:
    length = file.read(LENGTH)
    if not length:
        return None
    size = int.from_bytes(length, "big")
    if len(length) < LENGTH or size > limit:
        raise NotCarried(f"a length of at most {limit} bytes", length.hex(), f"{where} at byte {file.tell()}")
    octets = file.read(size)
    if len(octets) < size:
        raise NotCarried(f"{size} bytes", f"the end of the file after {len(octets)}", where)
    return octets
