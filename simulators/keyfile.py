"""The keys of simulated meters, from a file."""

from __future__ import annotations

from pathlib import Path

import click

from protocols.dlms.ciphering import Keys, Suite


def keys_in(path: Path) -> Keys:
    """The keys in a file: two lines of hex digits, encryption and authentication key; no message shows them.

    Raises:
        click.BadParameter: something else is in it.
    """
    try:
        encryption, authentication = (bytes.fromhex(line) for line in path.read_text().split())
        suite = Suite.AES_256 if len(encryption) == Suite.AES_256.key_bytes else Suite.AES_128
        return Keys(suite, encryption, authentication)
    except ValueError:
        words = "expected two lines of 32 or of 64 hex digits, got something else"
        raise click.BadParameter(words, param_hint="--key-file") from None
