"""The authority signs what a party asked for under the name given to it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from servers import SiteTls

from collector.authority import Authority, RequestRefusedError, Role
from collector.trustee import csr_pem
from protocols.transports.tls import (
    TlsFileError,
    TlsKeyExistsError,
    client_context,
    load_tls_key,
    make_csr,
    make_tls_key,
)


def key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key that is written nowhere."""
    return ec.generate_private_key(ec.SECP256R1())


def test_keys_are_readable_by_their_owner_alone_and_made_once(tmp_path: Path) -> None:
    """Mode 0600; a second key at the same place is refused and the first one stays."""
    path = tmp_path / "tls.key"
    first = make_tls_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TlsKeyExistsError, match="PLB-C202"):
        make_tls_key(path)
    assert load_tls_key(path).private_numbers() == first.private_numbers()


def test_the_authority_opens_again_and_keeps_its_key_to_itself(tmp_path: Path) -> None:
    """The folder holds all it needs; the key has mode 0600."""
    made = Authority.create(tmp_path / "ca", "Site")
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    issued = Authority.open(tmp_path / "ca").issue(make_csr(key(), "gateway-1"), "gateway-1", Role.GATEWAY, days=90)
    root = x509.load_pem_x509_certificate(made.certificate_path.read_bytes())
    x509.load_pem_x509_certificate(issued).verify_directly_issued_by(root)


def test_an_authority_with_another_ones_key_does_not_open(tmp_path: Path) -> None:
    """Key and certificate must belong together."""
    Authority.create(tmp_path / "ca", "Site")
    Authority.create(tmp_path / "other", "Other")
    (tmp_path / "ca" / "ca.pem").write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
    with pytest.raises(TlsFileError, match="PLB-C201"):
        Authority.open(tmp_path / "ca")


@pytest.mark.parametrize(
    ("role", "hosts", "usage"),
    [
        (Role.GATEWAY, (), ExtendedKeyUsageOID.CLIENT_AUTH),
        (Role.COLLECTOR, (), ExtendedKeyUsageOID.CLIENT_AUTH),
        (Role.BROKER, ("broker.example", "192.0.2.1"), ExtendedKeyUsageOID.SERVER_AUTH),
    ],
)
def test_the_role_decides_what_a_certificate_is_for(
    site_tls: SiteTls, role: Role, hosts: tuple[str, ...], usage: x509.ObjectIdentifier
) -> None:
    """A stolen gateway's key cannot pose as the broker; nobody but the authority signs."""
    issued = site_tls.authority.issue(make_csr(key(), "some-name"), "some-name", role, days=1, hosts=hosts)
    extensions = x509.load_pem_x509_certificate(issued).extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:plomba:{role.value}:some-name"]
    assert len(list(names)) == 1 + len(hosts)


def test_a_request_for_another_name_is_refused(site_tls: SiteTls) -> None:
    """The name given by the operator decides, not the request."""
    with pytest.raises(RequestRefusedError, match=r"PLB-X210.*gateway-2"):
        site_tls.authority.issue(make_csr(key(), "gateway-2"), "gateway-1", Role.GATEWAY, days=1)


def test_a_request_whose_signature_does_not_hold_is_refused(site_tls: SiteTls) -> None:
    """Whoever asks must have the key."""
    request = x509.load_pem_x509_csr(make_csr(key(), "gateway-1"))
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestRefusedError, match="signature"):
        site_tls.authority.issue(forged, "gateway-1", Role.GATEWAY, days=1)


@pytest.mark.parametrize(
    ("good", "bad"), [("06072a8648ce3d0201", "06072a8648ce3d0209"), ("03420004", "03420005")], ids=["kind", "point"]
)
def test_a_request_whose_key_does_not_read_is_refused(site_tls: SiteTls, good: str, bad: str) -> None:
    """The key is read when it is asked for, long after the request; found by the fuzz harness."""
    der = x509.load_pem_x509_csr(make_csr(key(), "gateway-1")).public_bytes(serialization.Encoding.DER)
    forged = der.replace(bytes.fromhex(good), bytes.fromhex(bad))
    broken = x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(RequestRefusedError, match="expected a PEM certificate request"):
        site_tls.authority.issue(broken, "gateway-1", Role.GATEWAY, days=1)


def test_a_request_of_another_version_is_refused() -> None:
    """The library's error for that is no ValueError; found by the fuzz harness."""
    der = x509.load_pem_x509_csr(make_csr(key(), "gateway-1")).public_bytes(serialization.Encoding.DER)
    with pytest.raises(RequestRefusedError, match="version"):
        csr_pem(der.replace(b"\x02\x01\x00", b"\x02\x01\x1e", 1))


def test_a_request_with_more_than_a_name_or_another_kind_of_key_is_refused(site_tls: SiteTls) -> None:
    """One common name and an elliptic-curve key, nothing beside."""
    two_names = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "gateway-1"), x509.NameAttribute(NameOID.COMMON_NAME, "collector")]
    )
    one_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway-1")])
    rsa_key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder()
    for request in (
        builder.subject_name(two_names).sign(key(), hashes.SHA256()),
        builder.subject_name(one_name).sign(rsa_key, hashes.SHA256()),
    ):
        with pytest.raises(RequestRefusedError):
            site_tls.authority.issue(
                request.public_bytes(serialization.Encoding.PEM), "gateway-1", Role.GATEWAY, days=1
            )


@pytest.mark.parametrize("name", ["Gateway-1", "g1", "gateway 1", "gateway.1", "g" * 33])
def test_a_name_that_no_broker_takes_is_refused(site_tls: SiteTls, name: str) -> None:
    """The same pattern as in the broker's configuration."""
    with pytest.raises(RequestRefusedError, match="PLB-X210"):
        site_tls.authority.issue(make_csr(key(), name), name, Role.GATEWAY, days=1)


@pytest.mark.parametrize(("role", "hosts"), [(Role.GATEWAY, ("localhost",)), (Role.BROKER, ())])
def test_hosts_are_for_brokers(site_tls: SiteTls, role: Role, hosts: tuple[str, ...]) -> None:
    """A gateway has no host's name, and a broker without one could not be verified."""
    with pytest.raises(RequestRefusedError, match="hosts"):
        site_tls.authority.issue(make_csr(key(), "some-name"), "some-name", role, days=1, hosts=hosts)


def test_a_missing_certificate_file_is_named(site_tls: SiteTls, tmp_path: Path) -> None:
    """The technician reads which file."""
    with pytest.raises(TlsFileError, match=r"absent\.pem"):
        client_context(site_tls.ca, tmp_path / "absent.pem", tmp_path / "absent.key")
