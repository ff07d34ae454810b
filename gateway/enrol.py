"""Keys, request, acceptance: how a gateway becomes known. Keys are made here and never leave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.config import Configuration, configuration_hash
from gateway.faults import NotEnrolled, TrustHashDiffers, WrongCertificate
from gateway.files import write_whole
from protocols.transports.keyfiles import claim, read_box, read_signing, write_private
from protocols.transports.tls import load_tls_key, make_csr
from protocols.uplink import limits, request, trust
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.pack import Fields, unpack
from protocols.uplink.trust import Trust

SEALING, BOX, TLS_KEY = "sealing.pem", "box.pem", "tls-key.pem"
TRUST, TLS_CERTIFICATE, TLS_CA = "trust.plomba", "tls-cert.pem", "tls-ca.pem"
ENROLMENT_BYTES = 64 * 1024  # a trust document and a certificate
ENROLMENT_VERSION = 1
UNREADABLE = (ValueError, UnsupportedAlgorithm)  # what the library says of a certificate, beside its version
SHOWN = 80  # characters of what was wrong in a message


@dataclass(frozen=True, slots=True)
class Keys:
    """The private keys that the daemon uses itself; TLS reads its own from the file."""

    sealing: SigningKey
    box: BoxKey


def make_keys(folder: Path) -> list[str]:
    """Make the keys that are missing; the names of those made. What is there is left as it is."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = []
    for name, generate in (
        (SEALING, lambda: SigningKey.generate().private),
        (BOX, lambda: BoxKey.generate().private),
        (TLS_KEY, lambda: ec.generate_private_key(ec.SECP256R1())),
    ):
        if not (folder / name).exists():
            write_private(folder / name, generate())
            made.append(name)
    return made


def read_keys(folder: Path) -> Keys:
    """The keys in `folder`.

    Raises:
        KeyFileError: one is missing, readable by others, or of another kind.
    """
    return Keys(read_signing(folder / SEALING), read_box(folder / BOX))


def read_trust(folder: Path) -> Trust:
    """The trust document that was accepted.

    Raises:
        NotEnrolled: none was.
    """
    try:
        octets = (folder / TRUST).read_bytes()
    except FileNotFoundError:
        raise NotEnrolled("an accepted trust document", "none", str(folder / TRUST)) from None
    return trust.read(octets)


def make_request(configuration: Configuration) -> bytes:
    """The signed request for this gateway, with the hash of its configuration."""
    from cryptography import x509  # noqa: PLC0415 - 1 MB that the daemon need not have

    folder = configuration.keys_folder
    keys = read_keys(folder)
    pem = make_csr(load_tls_key(folder / TLS_KEY), configuration.gateway)
    csr = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    wanted = request.Request(
        configuration.gateway, keys.sealing.public, keys.box.public, csr, configuration_hash(configuration)
    )
    return request.sign(wanted, keys.sealing)


def accept(configuration: Configuration, enrolment: bytes, trust_hash: str | None) -> Trust:
    """Check an enrolment and keep what it brings; the same trust document again only renews the certificate.

    Raises:
        TrustHashDiffers: not the document that the operator named.
        StaleError, SignerError, SignatureError: not signed, or not the next one after ours.
        WrongCertificate: not for our TLS key and name.
        KeysOfAnother: the folder of keys is not this gateway's.
    """
    fields = Fields(unpack(enrolment, ENROLMENT_BYTES, "enrolment"), "enrolment", 3)
    fields.integer("version", ENROLMENT_VERSION, ENROLMENT_VERSION)
    octets = fields.octets("trust", limit=2 * limits.SMALL_HEADER)
    certificate = fields.octets("certificate", limit=ENROLMENT_BYTES)
    folder = configuration.keys_folder
    claim(folder, f"gateway {configuration.gateway}")
    ours = (folder / TRUST).read_bytes() if (folder / TRUST).exists() else None
    found = trust.read(octets, None if ours in (None, octets) else trust.read(ours))
    digits = (trust_hash or found.hash.hex()).replace(" ", "").lower()
    if digits != found.hash.hex():
        raise TrustHashDiffers(digits, found.hash.hex(), "trust document")
    _check_certificate(certificate, folder, configuration.gateway)
    authorities = b"".join(_authority(each) for each in found.cas)
    write_whole(folder / TLS_CA, authorities)
    write_whole(folder / TLS_CERTIFICATE, certificate)
    write_whole(folder / TRUST, octets)  # last: without it nothing counts as accepted
    return found


def _check_certificate(pem: bytes, folder: Path, gateway: str) -> None:
    from cryptography import x509  # noqa: PLC0415 - 1 MB that the daemon need not have

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ours = load_tls_key(folder / TLS_KEY).public_key().public_bytes(*form)
    try:  # each part is read when it is asked for
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key().public_bytes(*form)
        names = [str(each.value) for each in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    except (*UNREADABLE, x509.InvalidVersion) as error:
        raise WrongCertificate("a certificate in PEM", str(error)[:SHOWN], "enrolment") from None
    if key != ours:
        raise WrongCertificate("a certificate for our TLS key", "another key", "enrolment")
    if names != [gateway]:
        raise WrongCertificate(f"common name {gateway}", ", ".join(names)[:SHOWN] or "none", "enrolment")


def _authority(der: bytes) -> bytes:
    """An authority's certificate as PEM."""
    from cryptography import x509  # noqa: PLC0415 - 1 MB that the daemon need not have

    try:
        return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    except (*UNREADABLE, x509.InvalidVersion) as error:
        raise WrongCertificate("an authority's certificate in DER", str(error)[:SHOWN], "trust document") from None
