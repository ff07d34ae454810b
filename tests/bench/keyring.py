"""Keys of a bench, drawn from its seed, in the files where the daemons look for them."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from collector.keys import WorkerKeys
from gateway import enrol
from protocols.transports.keyfiles import write_private
from protocols.uplink import limits, trust
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.trust import Trust

COLLECTOR = "utility"


@dataclass(frozen=True, slots=True)
class Centre:
    """The collector's keys and the trust document that names them."""

    own: WorkerKeys
    document: Trust
    octets: bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """A gateway's keys, and the folder with their files."""

    folder: Path
    sealing: SigningKey
    box: BoxKey


def signing(dice: random.Random) -> SigningKey:
    """An Ed25519 key."""
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(dice.randbytes(32)))


def box(dice: random.Random) -> BoxKey:
    """An X25519 key."""
    return BoxKey(x25519.X25519PrivateKey.from_private_bytes(dice.randbytes(32)))


def centre(dice: random.Random) -> Centre:
    """A collector's keys."""
    own = WorkerKeys(signing(dice), signing(dice), box(dice))
    root = signing(dice)
    document = Trust(
        1,
        COLLECTOR,
        None,
        (),
        (),
        own.ack.public,
        None,
        own.seal.public,
        (own.box.public,),
        (root.public,),
        (limits.VERSION,),
    )
    return Centre(own, document, trust.sign(document, [root]))


def edge(folder: Path, trusted: Centre, dice: random.Random) -> Edge:
    """A gateway's keys and what it accepted, in `folder`."""
    folder.mkdir(parents=True)
    found = Edge(folder, signing(dice), box(dice))
    write_private(folder / enrol.SEALING, found.sealing.private)
    write_private(folder / enrol.BOX, found.box.private)
    (folder / enrol.TRUST).write_bytes(trusted.octets)
    return found


@cache
def certificate() -> bytes:
    """A broker's certificate (DER), valid whenever a bench may be."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    made = made.not_valid_after(datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
