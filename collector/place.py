"""Where a store is: a file's path, or a database of PostgreSQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from collector.faults import FileThereError

SCHEMES = ("postgresql://", "postgres://")
_SECRET = re.compile(r"password|passphrase|sslpassword")


@dataclass(frozen=True, slots=True)
class Server:
    """A database as libpq names it (an address without password), and the file that holds the password, if any."""

    address: str
    password_file: Path | None = None

    def __str__(self) -> str:
        return self.address

    def password(self) -> str:
        """What the file holds, without the end of its line.

        Raises:
            FileThereError: it cannot be read.
        """
        path = self.password_file
        try:
            return path.read_text(encoding="utf-8").rstrip("\r\n") if path is not None else ""
        except (OSError, UnicodeDecodeError) as error:
            raise FileThereError("a readable file of the database's password", str(error), str(path)) from None


Place = Path | Server


def is_server(text: str) -> bool:
    """Whether a configuration's `store` names a database and no file."""
    return text.startswith(SCHEMES)


def names_password(text: str) -> bool:
    """Whether an address holds a password: it would stand in the file, in messages and in the list of processes."""
    try:
        found = urlsplit(text)
        queries = parse_qsl(found.query, keep_blank_values=True)
        return found.password is not None or any(_SECRET.fullmatch(name.lower()) for name, _ in queries)
    except ValueError:
        return "password" in text
