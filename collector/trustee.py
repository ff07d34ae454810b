"""The authority's part: a certificate authority and a trust key in a folder that stays offline, and what it signs.

It never sees another party's private key. Each trust document follows the one before: the last one stays in the folder,
signed by the folder's trust key; the box keys of earlier documents stay in the later ones, since a gateway may still
hold messages sealed to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from collector import files, keys
from collector.authority import Authority, RequestRefusedError, Role
from collector.keys import WorkerPublic
from protocols.transports.keyfiles import read_signing, write_private
from protocols.uplink import limits, trust
from protocols.uplink.keys import PublicKey
from protocols.uplink.trust import KEYS, Trust

TRUST_KEY = "trust.pem"
WORKER_DAYS = 825  # a worker stands where an operator can renew it
GATEWAY_DAYS = 3653  # until certificates are renewed over the uplink, as long as the authority itself
BROKER_DAYS = 825


@dataclass(frozen=True, slots=True)
class Trusted:
    """What a worker takes home: the trust document, the authority's certificate, its own certificate (PEM)."""

    document: Trust
    octets: bytes
    ca: bytes
    certificate: bytes


def create(folder: Path, name: str) -> PublicKey:
    """A new authority with its trust key.

    Raises:
        TlsKeyExistsError, KeyFileError: there is one already.
    """
    Authority.create(folder, name)
    write_private(folder / TRUST_KEY, ed25519.Ed25519PrivateKey.generate())
    return read_signing(folder / TRUST_KEY).public


def trust_worker(folder: Path, worker: WorkerPublic) -> Trusted:
    """The next trust document, for this worker's keys, and its certificate.

    Raises:
        RequestRefusedError, SecurityError: the worker's request does not hold, or the last document does not.
    """
    authority, key = Authority.open(folder), read_signing(folder / TRUST_KEY)
    certificate = authority.issue(csr_pem(worker.csr), worker.collector, Role.COLLECTOR, days=WORKER_DAYS)
    ca = files.read(authority.certificate_path)
    path = folder / keys.TRUST
    before = trust.read(files.read(path)) if path.exists() else None
    if before is not None and before.collector != worker.collector:
        raise RequestRefusedError(f"collector {before.collector}", worker.collector, keys.PUBLIC)
    older = () if before is None else tuple(box for box in before.boxes if box != worker.box)
    document = Trust(
        1 if before is None else before.number + 1,
        worker.collector,
        None if before is None else before.hash,
        (),
        (x509.load_pem_x509_certificate(ca).public_bytes(Encoding.DER),),
        worker.ack,
        None,
        worker.seal,
        (worker.box, *older)[:KEYS],
        (key.public,),
        (limits.VERSION,),
    )
    octets = trust.sign(document, [key])
    trust.read(octets, before)
    files.write(path, octets, replace=True)
    return Trusted(document, octets, ca, certificate)


def csr_pem(der: bytes) -> bytes:
    """A certificate request as PEM.

    Raises:
        RequestRefusedError: the bytes are no request.
    """
    try:
        return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
    except (ValueError, x509.InvalidVersion) as error:
        raise RequestRefusedError("a certificate request in DER", str(error)[:80], "request") from None
