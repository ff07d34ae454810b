"""The keys file of `plomba-collector verify --keys`: text that a person can read and compare.

One key a line, `role name algorithm hex`, where role is "gateway" (a sealing key) or "collector" (a seal key); empty
lines and lines that begin with # are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocols.uplink.faults import FieldError, KeyFileError
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.proof import Keyring

ROLES = ("gateway", "collector")
_NAMES = {"ed25519": Algorithm.ED25519, "p-256": Algorithm.P256}


def to_text(keys: Iterable[tuple[str, str, PublicKey]]) -> str:
    """The file for (role, name, key) of each."""
    names = {algorithm: name for name, algorithm in _NAMES.items()}
    lines = [f"{role} {name} {names[key.algorithm]} {key.octets.hex()}" for role, name, key in keys]
    return "\n".join(["# plomba public keys, version 1: role, name, algorithm, public key", *lines, ""])


def from_text(text: str, where: str) -> Keyring:
    """Parse the file.

    Raises:
        KeyFileError: which line is not a key.
    """
    ring = Keyring({}, {})
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        role, name, key = _key(words, f"{where}, line {number}")
        (ring.gateways if role == "gateway" else ring.collectors)[key.id] = (name, key)
    if not ring.gateways and not ring.collectors:
        raise KeyFileError("at least one line 'gateway|collector NAME ALGORITHM HEX'", "none", where)
    return ring


def _key(words: list[str], where: str) -> tuple[str, str, PublicKey]:
    if len(words) != 4 or words[0] not in ROLES or words[2] not in _NAMES:
        raise KeyFileError("'gateway|collector NAME ed25519|p-256 HEX'", " ".join(words)[:80], where)
    role, name, algorithm, digits = words
    try:
        return role, name, PublicKey(_NAMES[algorithm], bytes.fromhex(digits))
    except (ValueError, FieldError) as error:
        raise KeyFileError("the public key in hex", f"{digits[:16]}... ({error})", where) from None
