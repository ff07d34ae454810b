"""Private keys in files: PKCS#8 PEM, made with mode 0600 and never overwritten, refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocols.errors import ConfigurationError
from protocols.uplink.faults import KeyFileError
from protocols.uplink.keys import BoxKey, SigningKey

OWNER = "owner"  # file in a folder of keys: whose they are
OWNER_BYTES = 256

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey


class KeysOfAnother(ConfigurationError):  # noqa: N818 - named after what is wrong
    """A folder of keys belongs to another gateway or collector: keys are never shared."""

    code = "PLB-C102"
    do = "give every gateway and collector a keys_folder of its own; remove the file 'owner' in it if it was renamed"


def claim(folder: Path, owner: str) -> None:
    """Make the folder of keys and note whose it is, as "gateway boiler-room-7".

    Raises:
        KeysOfAnother: it is somebody else's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / OWNER
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f"{owner}\n")
    except FileExistsError:
        found = path.read_bytes()[:OWNER_BYTES].decode(errors="replace").strip()
        if found != owner:
            raise KeysOfAnother(f"a folder for keys of {owner}", f"one of {found}", str(folder)) from None


def write_private(path: Path, key: Private) -> None:
    """Write a new key file, durable before this returns.

    Raises:
        KeyFileError: there is one already: keys are never overwritten.
    """
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError("no key file yet", "one that exists: keys are never overwritten", str(path)) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_signing(path: Path) -> SigningKey:
    """The signing key (Ed25519 or P-256) in a file.

    Raises:
        KeyFileError: missing, unreadable, readable by others, or another kind of key.
    """
    key = _read(path)
    if not isinstance(key, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey)):
        raise KeyFileError("an Ed25519 or P-256 private key", type(key).__name__, str(path))
    return SigningKey(key)


def read_box(path: Path) -> BoxKey:
    """The X25519 box key in a file.

    Raises:
        KeyFileError: missing, unreadable, readable by others, or another kind of key.
    """
    key = _read(path)
    if not isinstance(key, x25519.X25519PrivateKey):
        raise KeyFileError("an X25519 private key", type(key).__name__, str(path))
    return BoxKey(key)


def _read(path: Path) -> object:
    try:
        mode = path.stat().st_mode
        pem = path.read_bytes()
    except OSError as error:
        raise KeyFileError("a readable key file", str(error.strerror), str(path)) from None
    if stat.S_IMODE(mode) & 0o077:
        got = f"{stat.S_IMODE(mode):04o}: others may read it (chmod 600, and think about who did)"
        raise KeyFileError("mode 0600", got, str(path))
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError("a PKCS#8 private key in PEM", str(error)[:80], str(path)) from None
