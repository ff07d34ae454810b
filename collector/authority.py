"""The site's certificate authority: says which key may speak under which name to the site's broker.

It lives in a folder of its own, made by whoever runs the site; it signs requests and sees no other party's key: every
gateway, collector and broker makes its key where it stays and sends a request. A certificate only opens the broker's
door; what proves a reading is the gateway's seal.

Limits: no revocation list. A gateway is shut out by taking its name from the broker's configuration, and what counts is
that the collector refuses its sealing key.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from enum import Enum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocols.errors import SecurityError
from protocols.transports.tls import TlsFileError, load_tls_key, make_tls_key

# Longer than any meter's verification period; renewing an authority means visiting every gateway.
AUTHORITY_DAYS = 3653
# A certificate starts a little before it is made: clocks differ.
BACKDATE = datetime.timedelta(minutes=5)
# What may be a common name: it becomes a user name in the broker's configuration.
NAME = re.compile(r"[a-z0-9-]{3,32}")
SHOWN = 80  # characters of what was wrong in a message
URI_PREFIX = "urn:plomba:"


class RequestRefusedError(SecurityError):
    """A certificate request that the authority does not sign."""

    code = "PLB-X210"
    do = "make a new request on the device whose key it is, for exactly the name given to it"


class Role(Enum):
    """Who a certificate is for; it decides what the certificate may be used for."""

    GATEWAY = "gateway"
    COLLECTOR = "collector"
    BROKER = "broker"


class Authority:
    """An authority that is open for signing: its folder holds `ca.key` (0600) and `ca.pem`."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.folder = folder
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, folder: Path, name: str, *, days: int = AUTHORITY_DAYS) -> Authority:
        """A new authority called `name` in `folder` (made if missing, mode 0700).

        Raises:
            TlsKeyExistsError: there is an authority already.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = make_tls_key(folder / "ca.key")
        certificate = _self_signed(key, name, days)
        (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, key, certificate)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The authority in `folder`.

        Raises:
            TlsFileError: key or certificate missing or wrong.
        """
        key = load_tls_key(folder / "ca.key")
        path = folder / "ca.pem"
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TlsFileError("a PEM certificate", str(error), str(path)) from error
        if certificate.public_key() != key.public_key():
            raise TlsFileError("the certificate of ca.key", "one of another key", str(path))
        return cls(folder, key, certificate)

    @property
    def certificate_path(self) -> Path:
        """`ca.pem`: what every party of the site trusts; no secret."""
        return self.folder / "ca.pem"

    def issue(self, csr_pem: bytes, name: str, role: Role, *, days: int, hosts: tuple[str, ...] = ()) -> bytes:
        """A PEM certificate for the key in `csr_pem`.

        Args:
            csr_pem: the request; its signature must hold and its common name be exactly `name`.
            name: common name, also given as `urn:plomba:ROLE:NAME`.
            role: decides the extended key usage: a broker serves, the others are clients.
            days: how long it is valid.
            hosts: DNS names or IP addresses of a broker; others have none.

        Raises:
            RequestRefusedError: the request does not hold or asks for another name, or hosts do not fit the role.
        """
        request = _checked_request(csr_pem, name)
        if bool(hosts) != (role is Role.BROKER):
            raise RequestRefusedError(
                "hosts for a broker and for nobody else", f"{len(hosts)} for a {role.value}", name
            )
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + datetime.timedelta(days=days), self._certificate.not_valid_after_utc))
        )
        for extension, critical in _extensions(request, name, role, hosts, self._key.public_key()):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _extensions(
    request: x509.CertificateSigningRequest,
    name: str,
    role: Role,
    hosts: tuple[str, ...],
    issuer: ec.EllipticCurvePublicKey,
) -> list[tuple[x509.ExtensionType, bool]]:
    # RFC 5280, 4.2.1.12: the extended usage limits the key to one side of TLS.
    usage = ExtendedKeyUsageOID.SERVER_AUTH if role is Role.BROKER else ExtendedKeyUsageOID.CLIENT_AUTH
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{URI_PREFIX}{role.value}:{name}")]
    names += [_general_name(host) for host in hosts]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([usage]), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.SubjectKeyIdentifier.from_public_key(request.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
    ]


def _checked_request(csr_pem: bytes, name: str) -> x509.CertificateSigningRequest:
    if NAME.fullmatch(name) is None:
        raise RequestRefusedError(f"a name like {NAME.pattern}", repr(name), "certificate request")
    try:  # each part is read when it is asked for
        request = x509.load_pem_x509_csr(csr_pem)
        key, names = request.public_key(), [attribute.value for attribute in request.subject]
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise RequestRefusedError("a PEM certificate request", str(error)[:SHOWN], name) from error
    if not signed:
        raise RequestRefusedError("a request signed by its own key", "a signature that does not hold", name)
    if names != [name]:
        raise RequestRefusedError(f"the name {name!r}", f"{names!r}"[:SHOWN], "certificate request")
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RequestRefusedError("an elliptic-curve key", type(key).__name__, name)
    return request


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, days: int) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
