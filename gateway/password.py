"""The secrets of a meter, from files or systemd credentials; never in the configuration, a log or a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.config import DlmsDevice
from gateway.faults import KeyUnusable, PasswordUnusable
from protocols.dlms.ciphering import Keys, Suite
from protocols.errors import ConfigurationError

PASSWORD_BYTES = 64  # the longest that a meter takes, with room
KEY_DIGITS = 64  # the longest key in hex
CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd names the folder so


def password_of(device: DlmsDevice) -> bytes | None:
    """The password of a meter, without the line's end; None where it needs none.

    Raises:
        PasswordUnusable: missing, empty, too long, or readable by others.
    """
    path = password_path(device)
    return None if path is None else password_in(path)


def password_path(device: DlmsDevice) -> Path | None:
    """The file that holds the password.

    Raises:
        PasswordUnusable: a credential is named, and systemd gave none to this process.
    """
    return _path(device.password_file, device.password_credential, PasswordUnusable)


def keys_of(device: DlmsDevice) -> Keys | None:
    """The keys of a meter; None where it needs none.

    Raises:
        KeyUnusable: missing, readable by others, or not as many hex digits as its suite has.
    """
    encryption, authentication = key_paths(device)
    if encryption is None or authentication is None:
        return None
    suite = Suite(device.suite)
    return Keys(suite, key_in(encryption, suite), key_in(authentication, suite))


def keys_in(path: Path, signed: bool = False) -> Keys:
    """The keys in one file: encryption and authentication key, each a line of hex digits; their length says the suite.

    `signed`: keys of 16 bytes are those of suite 1.

    Raises:
        KeyUnusable: missing, readable by others, or not two keys of one suite.
    """
    text = _read(path, 2 * KEY_DIGITS + 2, KeyUnusable, "key")
    try:
        encryption, authentication = (bytes.fromhex(line.decode("ascii")) for line in text.split())
        short = Suite.AES_128_SIGNED if signed else Suite.AES_128
        return Keys(Suite.AES_256 if len(encryption) == Suite.AES_256.key_bytes else short, encryption, authentication)
    except ValueError:
        wanted = "two lines of 32 hex digits each, or of 64 (suite 2): encryption key, then authentication key"
        raise KeyUnusable(wanted, "something else" if text else "an empty file", str(path)) from None


def password_in(path: Path) -> bytes:
    """The password in a file, without the line's end.

    Raises:
        PasswordUnusable: missing, empty, too long, or readable by others.
    """
    octets = _read(path, PASSWORD_BYTES, PasswordUnusable, "password")
    if not octets or len(octets) > PASSWORD_BYTES:
        got = "an empty file" if not octets else "more"
        raise PasswordUnusable(f"a password of 1 to {PASSWORD_BYTES} bytes", got, str(path))
    return octets


def key_paths(device: DlmsDevice) -> tuple[Path | None, Path | None]:
    """The files that hold encryption and authentication key.

    Raises:
        KeyUnusable: a credential is named, and systemd gave none to this process.
    """
    return (
        _path(device.encryption_key_file, device.encryption_key_credential, KeyUnusable),
        _path(device.authentication_key_file, device.authentication_key_credential, KeyUnusable),
    )


def _path(file: Path | None, credential: str | None, unusable: type[ConfigurationError]) -> Path | None:
    if credential is None:
        return file
    folder = os.environ.get(CREDENTIALS)
    if folder is None:
        raise unusable("credentials of systemd", "none: this was not started by systemd", credential)
    return Path(folder) / credential


def key_in(path: Path, suite: Suite) -> bytes:
    """The key in a file, in hex; of what is no key nothing is shown.

    Raises:
        KeyUnusable: missing, readable by others, or not as many hex digits as the suite has.
    """
    text = _read(path, KEY_DIGITS, KeyUnusable, "key")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != suite.key_bytes:
        wanted = f"{2 * suite.key_bytes} hex digits, as suite {int(suite)} has them"
        raise KeyUnusable(wanted, "something else" if text else "an empty file", str(path))
    return key


def _read(path: Path, most: int, unusable: type[ConfigurationError], what: str) -> bytes:
    """What a file holds, without the line's end, one byte more than `most` at most."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            octets = file.read(most + 3).rstrip(b"\r\n")
    except OSError as error:
        raise unusable(f"a {what} file that can be read", str(error.strerror), str(path)) from None
    if mode & 0o077:
        raise unusable("mode 0600", f"{mode:04o}: others may read it", str(path))
    return octets
