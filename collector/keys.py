"""The worker's own keys: made where they stay, in files with mode 0600, and what of them the authority is told.

`worker.public` is `[1, collector, ack key, seal key, box key, certificate request (DER)]` in strict msgpack: public
keys only. It is not signed: whoever carries it to the authority compares the fingerprints that both sides print.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding

from collector import files
from collector.faults import FileThereError
from protocols.transports.keyfiles import claim, read_box, read_signing, write_private
from protocols.transports.tls import load_tls_key, make_csr, make_tls_key
from protocols.uplink import limits
from protocols.uplink.keys import BoxKey, PublicKey, SigningKey
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.trust import key_from_wire, key_to_wire

ACK, SEAL, BOX, TLS = "ack.pem", "seal.pem", "box.pem", "tls-key.pem"
PUBLIC = "worker.public"
TRUST, CA, CERTIFICATE = "trust.plomba", "ca.pem", "tls-cert.pem"


@dataclass(frozen=True, slots=True)
class WorkerPublic:
    """What the authority is told of a worker; `csr` is DER."""

    collector: str
    ack: PublicKey
    seal: PublicKey
    box: PublicKey
    csr: bytes

    def to_bytes(self) -> bytes:
        """The file."""
        keys = [key_to_wire(key) for key in (self.ack, self.seal, self.box)]
        return pack([1, self.collector, *keys, self.csr])

    @classmethod
    def from_bytes(cls, octets: bytes) -> WorkerPublic:
        """Parse the file.

        Raises:
            LimitError, FormError, FieldError: which rule it breaks.
        """
        fields = Fields(unpack(octets, limits.SMALL_HEADER, PUBLIC), PUBLIC, 6)
        fields.integer("version", 1, 1)
        name = fields.text("collector")
        ack, seal, box = (key_from_wire(fields.array(each, 4)) for each in ("ack", "seal", "box"))
        return cls(name, ack, seal, box, fields.octets("csr", limit=limits.BATCH_HEADER))


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """The worker's private keys: `ack` signs acknowledgements, `seal` statements, `box` opens what gateways send."""

    ack: SigningKey
    seal: SigningKey
    box: BoxKey

    @classmethod
    def read(cls, folder: Path) -> WorkerKeys:
        """The keys in a folder.

        Raises:
            KeyFileError: one is missing, readable by others, or another kind of key.
        """
        return cls(read_signing(folder / ACK), read_signing(folder / SEAL), read_box(folder / BOX))


def make(collector: str, folder: Path) -> WorkerPublic:
    """Make all keys and `worker.public` in `folder`; a key that is there already is kept as it is.

    Raises:
        KeyFileError, FileThereError: a file that is there cannot be used.
        KeysOfAnother: the folder is a gateway's or another collector's.
    """
    claim(folder, f"collector {collector}")
    if (folder / PUBLIC).exists():
        raise FileThereError("a folder without keys", "one with keys: they are never overwritten", str(folder))
    for name in (ACK, SEAL):
        if not (folder / name).exists():
            write_private(folder / name, ed25519.Ed25519PrivateKey.generate())
    if not (folder / BOX).exists():
        write_private(folder / BOX, x25519.X25519PrivateKey.generate())
    keys = WorkerKeys.read(folder)
    path = folder / TLS
    tls = load_tls_key(path) if path.exists() else make_tls_key(path)
    request = make_csr(tls, collector)
    der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
    public = WorkerPublic(collector, keys.ack.public, keys.seal.public, keys.box.public, der)
    files.write(folder / PUBLIC, public.to_bytes())
    return public
