"""Enrolment: keys are made once, the request is signed, and only what fits our key and trust is accepted."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway import enrol
from gateway.config import Configuration, configuration_hash
from gateway.config_file import configuration_from
from gateway.faults import TrustHashDiffers, WrongCertificate
from protocols.transports.keyfiles import KeysOfAnother, claim
from protocols.uplink import request, trust
from protocols.uplink.faults import SignerError, StaleError
from protocols.uplink.keys import BoxKey, SigningKey
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.trust import Trust

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Authority:
    """Signs trust documents and certificates, as the collector's offline part does."""

    trust_key: SigningKey = field(default_factory=SigningKey.generate)
    ca: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def document(self, number: int = 1, before: Trust | None = None) -> Trust:
        """A trust document."""
        ack, box = SigningKey.generate().public, BoxKey.generate().public
        previous = None if before is None else before.hash
        certificate = self.certificate(self.ca.public_key(), "site")
        der = x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)
        return Trust(number, "centre", previous, (), (der,), ack, None, ack, (box,), (self.trust_key.public,), (1,))

    def certificate(self, key: ec.EllipticCurvePublicKey, name: str) -> bytes:
        """A certificate (PEM) for a key and common name."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key)
            .serial_number(1)
            .not_valid_before(START)
            .not_valid_after(START + datetime.timedelta(days=3650))
        )
        return built.sign(self.ca, hashes.SHA256()).public_bytes(Encoding.PEM)

    def enrolment(self, asked: bytes, document: Trust, name: str = "gateway-1", keys: int = 1) -> bytes:
        """What `sign` writes."""
        csr = x509.load_der_x509_csr(request.read(asked).csr)
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return pack([1, trust.sign(document, [self.trust_key] * keys), self.certificate(key, name)])


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """A gateway with keys."""
    table = {
        "gateway": "gateway-1",
        "state_folder": "state",
        "keys_folder": "keys",
        "broker": {"host": "b", "port": 1},
        "bus": [
            {"name": "b", "protocol": "mbus", "port": "p", "device": [{"name": "d", "address": 1, "cadence_s": 900}]}
        ],
    }
    made = configuration_from(table, tmp_path, "test")
    assert enrol.make_keys(made.keys_folder) == [enrol.SEALING, enrol.BOX, enrol.TLS_KEY]
    return made


def test_keys_are_made_once_and_only_their_owner_reads_them(configuration: Configuration) -> None:
    """A second call changes nothing."""
    folder = configuration.keys_folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert enrol.make_keys(folder) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_the_request_names_keys_and_configuration_and_is_signed(configuration: Configuration) -> None:
    """By the sealing key, with a certificate request for our id."""
    read = request.read(enrol.make_request(configuration))
    assert read.sealing == enrol.read_keys(configuration.keys_folder).sealing.public
    assert read.config == configuration_hash(configuration)
    assert "CN=gateway-1" in x509.load_der_x509_csr(read.csr).subject.rfc4514_string()


def test_an_enrolment_is_kept_and_the_next_trust_document_follows(configuration: Configuration) -> None:
    """1, the same again, 2; never back, never a jump."""
    authority, asked = Authority(), enrol.make_request(configuration)
    first = authority.document()
    second = authority.document(2, first)
    for document in (first, first, second):
        assert enrol.accept(configuration, authority.enrolment(asked, document), None) == document
        assert enrol.read_trust(configuration.keys_folder) == document
    third = authority.document(4, second)
    for document in (first, third):
        with pytest.raises(StaleError):
            enrol.accept(configuration, authority.enrolment(asked, document), None)
    assert enrol.read_trust(configuration.keys_folder) == second


def test_another_authority_cannot_follow(configuration: Configuration) -> None:
    """The next document needs a trust key of the one before."""
    authority, other = Authority(), Authority()
    asked, first = enrol.make_request(configuration), authority.document()
    enrol.accept(configuration, authority.enrolment(asked, first), None)
    with pytest.raises(SignerError):
        enrol.accept(configuration, other.enrolment(asked, other.document(2, first)), None)


def test_the_hash_pins_the_first_document(configuration: Configuration) -> None:
    """As the operator reads it to the technician, with or without spaces."""
    authority, asked = Authority(), enrol.make_request(configuration)
    document = authority.document()
    packet = authority.enrolment(asked, document)
    with pytest.raises(TrustHashDiffers):
        enrol.accept(configuration, packet, "00" * 32)
    assert not (configuration.keys_folder / enrol.TRUST).exists()
    enrol.accept(configuration, packet, document.hash.hex().upper())


def test_a_certificate_for_another_name_or_key_is_refused(configuration: Configuration) -> None:
    """And nothing is kept."""
    authority, asked = Authority(), enrol.make_request(configuration)
    document = authority.document()
    with pytest.raises(WrongCertificate):
        enrol.accept(configuration, authority.enrolment(asked, document, "gateway-2"), None)
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    packet = pack([1, trust.sign(document, [authority.trust_key]), authority.certificate(stranger, "gateway-1")])
    with pytest.raises(WrongCertificate):
        enrol.accept(configuration, packet, None)
    assert not (configuration.keys_folder / enrol.TRUST).exists()


def test_certificates_that_do_not_read_are_refused(configuration: Configuration) -> None:
    """The authority's in a well-signed document, and ours with a key that is none; found by the fuzz harness."""
    authority, asked = Authority(), enrol.make_request(configuration)
    document = authority.document()
    with pytest.raises(WrongCertificate, match="authority"):
        enrol.accept(configuration, authority.enrolment(asked, replace(document, cas=(b"no certificate",))), None)
    packet = authority.enrolment(asked, document)
    fields = Fields(unpack(packet, len(packet), "enrolment"), "enrolment", 3)
    version, signed, pem = fields.integer("version"), fields.octets("trust"), fields.octets("certificate")
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    odd = der.replace(bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209"))
    broken = x509.load_der_x509_certificate(odd).public_bytes(Encoding.PEM)
    with pytest.raises(WrongCertificate, match="in PEM"):
        enrol.accept(configuration, pack([version, signed, broken]), None)
    assert not (configuration.keys_folder / enrol.TRUST).exists()


def test_an_altered_document_is_refused(configuration: Configuration) -> None:
    """The signature covers every byte of it."""
    authority, asked = Authority(), enrol.make_request(configuration)
    document = authority.document()
    signed = authority.enrolment(asked, document)
    forged = replace(document, collector="Centre")
    packet = signed.replace(document.to_bytes(), forged.to_bytes())
    with pytest.raises(Exception, match="PLB-X101"):
        enrol.accept(configuration, packet, None)


def test_a_folder_of_keys_belongs_to_one_gateway_or_collector(tmp_path: Path) -> None:
    """Two configurations side by side with the same `keys_folder` would share private keys."""
    claim(tmp_path / "keys", "gateway boiler-room-7")
    claim(tmp_path / "keys", "gateway boiler-room-7")
    with pytest.raises(KeysOfAnother, match="one of gateway boiler-room-7"):
        claim(tmp_path / "keys", "collector utility-1")
