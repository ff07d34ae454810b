"""Keys and what they do: sign, verify, seal a box, open it. The algorithm belongs to the key, never to a message."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from protocols.uplink.faults import BoxError, FieldError, SignatureError

KEY_ID = 8  # bytes: SHA-256(public key) cut; a look-up handle, never trusted alone
HASH = 32  # bytes of SHA-256
P256_ORDER_BYTES = 32  # r and s of an ECDSA signature, big-endian, one after the other
KEYS_KEPT = 1_024  # public keys, ready to verify with: of as many gateways

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_P256_HASH = ec.ECDSA(hashes.SHA256())


class Algorithm(IntEnum):
    """The algorithm of a registered key, as it is numbered on the wire."""

    ED25519 = 1
    P256 = 2  # ECDSA with SHA-256, for secure elements; public key as 65 bytes (04 x y), signature as r and s
    X25519 = 3  # boxes only: HPKE base mode with HKDF-SHA256 and ChaCha20-Poly1305


_LENGTHS = {Algorithm.ED25519: 32, Algorithm.P256: 65, Algorithm.X25519: 32}


def key_id(public: bytes) -> bytes:
    """SHA-256 over the public key's raw bytes, the first 8."""
    return hashlib.sha256(public).digest()[:KEY_ID]


def fingerprint(public: bytes) -> str:
    """SHA-256 over the public key, as people compare it: hex in groups of four."""
    digest = hashlib.sha256(public).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, len(digest), 4))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A registered public key: algorithm and raw bytes (Ed25519 and X25519 32, P-256 65 uncompressed)."""

    algorithm: Algorithm
    octets: bytes

    def __post_init__(self) -> None:
        if len(self.octets) != _LENGTHS[self.algorithm]:
            raise FieldError(f"{_LENGTHS[self.algorithm]} bytes", f"{len(self.octets)}", f"{self.algorithm.name} key")

    @property
    def id(self) -> bytes:
        """The key id, 8 bytes."""
        return key_id(self.octets)

    def check(self) -> None:
        """Refuse a public key with which nothing can be done.

        Raises:
            FieldError: a box key of small order, to which nothing can be sealed, or a P-256 key that is no point.
        """
        try:
            if self.algorithm is Algorithm.X25519:
                x25519.X25519PrivateKey.generate().exchange(x25519.X25519PublicKey.from_public_bytes(self.octets))
            elif self.algorithm is Algorithm.P256:
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.octets)
        except ValueError:
            raise FieldError("a usable public key", self.octets.hex(), f"{self.algorithm.name} key") from None

    def verify(self, kind: str, header: bytes, signature: bytes) -> None:
        """Check `signature` over the header bytes as received.

        Raises:
            SignatureError: it does not hold, or this key cannot sign.
        """
        try:
            self._verify(signed_bytes(kind, header), signature)
        except (InvalidSignature, ValueError):
            got = f"{signature[:8].hex()}... under key {self.id.hex()}"
            raise SignatureError(f"a valid {self.algorithm.name} signature", got, kind) from None

    def _verify(self, message: bytes, signature: bytes) -> None:
        if self.algorithm is Algorithm.ED25519:
            _ed25519(self.octets).verify(signature, message)
        elif self.algorithm is Algorithm.P256 and len(signature) == 2 * P256_ORDER_BYTES:
            r = int.from_bytes(signature[:P256_ORDER_BYTES], "big")
            s = int.from_bytes(signature[P256_ORDER_BYTES:], "big")
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.octets)
            point.verify(encode_dss_signature(r, s), message, _P256_HASH)
        else:
            raise ValueError("this key does not sign, or the signature has the wrong length")

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """HPKE: 32 bytes of encapsulated key, then the ciphertext with its 16-byte tag.

        Raises:
            BoxError: this key cannot be sealed to.
        """
        if self.algorithm is not Algorithm.X25519:
            raise BoxError("an X25519 box key", self.algorithm.name)
        try:
            return _SUITE.encrypt(plaintext, x25519.X25519PublicKey.from_public_bytes(self.octets), info=info)
        except ValueError:
            raise BoxError("a usable box key", self.octets.hex()) from None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that signs."""

    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """A new Ed25519 key."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @property
    def public(self) -> PublicKey:
        """The public half."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return PublicKey(Algorithm.ED25519, self.private.public_key().public_bytes_raw())
        numbers = self.private.public_key().public_numbers()
        point = b"\x04" + numbers.x.to_bytes(P256_ORDER_BYTES, "big") + numbers.y.to_bytes(P256_ORDER_BYTES, "big")
        return PublicKey(Algorithm.P256, point)

    def sign(self, kind: str, header: bytes) -> bytes:
        """The signature (64 bytes) over kind and header."""
        message = signed_bytes(kind, header)
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, _P256_HASH))
        return r.to_bytes(P256_ORDER_BYTES, "big") + s.to_bytes(P256_ORDER_BYTES, "big")


@dataclass(frozen=True, slots=True)
class BoxKey:
    """A private key that opens boxes."""

    private: x25519.X25519PrivateKey

    @classmethod
    def generate(cls) -> BoxKey:
        """A new X25519 key."""
        return cls(x25519.X25519PrivateKey.generate())

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(Algorithm.X25519, self.private.public_key().public_bytes_raw())

    def open(self, box: bytes, info: bytes) -> bytes:
        """The plaintext of `box`.

        Raises:
            BoxError: sealed to another key, with another info, or altered.
        """
        try:
            return _SUITE.decrypt(box, self.private, info=info)
        except (InvalidTag, ValueError):
            raise BoxError(f"a box for key {self.public.id.hex()}", f"{len(box)} bytes that do not open") from None


def signed_bytes(kind: str, header: bytes) -> bytes:
    """What is signed: "plomba/1/", the kind, a zero byte, the header bytes as they are sent."""
    return b"plomba/1/" + kind.encode("ascii") + b"\0" + header


@lru_cache(KEYS_KEPT)
def _ed25519(octets: bytes) -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(octets)
