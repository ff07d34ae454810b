"""The password of a meter, from a file or a systemd credential; never in the configuration, a log or a message."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.config import DlmsDevice
from gateway.faults import PasswordUnusable

PASSWORD_BYTES = 64  # the longest that a meter takes, with room
CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd names the folder so


def password_of(device: DlmsDevice) -> bytes | None:
    """The password of a meter, without the line's end; None where it needs none.

    Raises:
        PasswordUnusable: missing, empty, too long, or readable by others.
    """
    path = password_path(device)
    return None if path is None else _read(path)


def password_path(device: DlmsDevice) -> Path | None:
    """The file that holds the password.

    Raises:
        PasswordUnusable: a credential is named, and systemd gave none to this process.
    """
    if device.password_credential is None:
        return device.password_file
    folder = os.environ.get(CREDENTIALS)
    if folder is None:
        got = "none: this was not started by systemd"
        raise PasswordUnusable("credentials of systemd", got, device.password_credential)
    return Path(folder) / device.password_credential


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            octets = file.read(PASSWORD_BYTES + 3).rstrip(b"\r\n")
    except OSError as error:
        raise PasswordUnusable("a password file that can be read", str(error.strerror), str(path)) from None
    if mode & 0o077:
        raise PasswordUnusable("mode 0600", f"{mode:04o}: others may read it", str(path))
    if not octets or len(octets) > PASSWORD_BYTES:
        got = "an empty file" if not octets else "more"
        raise PasswordUnusable(f"a password of 1 to {PASSWORD_BYTES} bytes", got, str(path))
    return octets
