"""The way to the broker: what was accepted, whether it belongs together, and each step of the connection by itself."""

from __future__ import annotations

import asyncio
import datetime
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway import enrol
from gateway.findings import Finding, Mark
from gateway.inspect import enrolment, keys
from gateway.named import Named
from protocols.errors import PlombaError
from protocols.transports.tls import load_tls_key

PINNED = (enrol.TLS_CA, enrol.TLS_CERTIFICATE, enrol.TLS_KEY)
_AGAIN = "'accept' the enrolment again, or send a new 'request' to the operator"


def certificates(named: Named, now: datetime.datetime) -> Iterator[Finding]:
    """Keys, trust document and certificates: there, in date, and of each other."""
    folder = named.keys_folder
    if folder is None:
        yield Finding(Mark.SKIP, "keys", "the configuration names no folder of keys that can be read")
        return
    try:
        yield from keys(folder)
        yield from enrolment(folder, now)
    except OSError as error:
        do = "run doctor as root, or as the daemon's user"
        yield Finding(Mark.SKIP, "keys", f"{error.filename}: {error.strerror}", do=do)
        return
    if all((folder / name).exists() for name in (*PINNED, enrol.TRUST)):
        yield _chain(folder, None if named.configuration is None else named.configuration.gateway)


def _chain(folder: Path, gateway: str | None) -> Finding:
    what = "certificate chain"
    try:
        mine = x509.load_pem_x509_certificate((folder / enrol.TLS_CERTIFICATE).read_bytes())
        authorities = x509.load_pem_x509_certificates((folder / enrol.TLS_CA).read_bytes())
        pinned = enrol.read_trust(folder).cas
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ours = load_tls_key(folder / enrol.TLS_KEY).public_key().public_bytes(*form)
        wrong = _wrong(mine, authorities, pinned, ours == mine.public_key().public_bytes(*form), gateway)
    except (PlombaError, OSError, *enrol.UNREADABLE) as error:
        return Finding(Mark.FAIL, what, f"it cannot be followed: {str(error)[:160]}", do=_AGAIN)
    if wrong:
        return Finding(Mark.FAIL, what, wrong, "PLB-X220", _AGAIN)
    return Finding(Mark.OK, what, "our key, our name, an authority that the trust document names")


def _wrong(
    mine: x509.Certificate, found: list[x509.Certificate], pinned: tuple[bytes, ...], own_key: bool, gateway: str | None
) -> str:
    if not own_key:
        return f"{enrol.TLS_CERTIFICATE} is for another key than {enrol.TLS_KEY}"
    if sorted(each.public_bytes(Encoding.DER) for each in found) != sorted(pinned):
        return f"{enrol.TLS_CA} is not what the trust document names"
    if not any(_issued(mine, each) for each in found):
        return f"no authority in {enrol.TLS_CA} signed {enrol.TLS_CERTIFICATE}"
    name = mine.subject.rfc4514_string()
    return f"the certificate is for {name}, the gateway is {gateway}" if gateway and f"CN={gateway}" != name else ""


def _issued(mine: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        mine.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def broker(named: Named, now: datetime.datetime) -> list[Finding]:
    """Name, port, TLS and login, up to the first step that fails; without a whole configuration name and port only."""
    from gateway import online  # noqa: PLC0415 - loads protocol stacks

    if named.broker is None:
        return [Finding(Mark.SKIP, "broker", "the configuration names no host and port that can be read")]
    found = asyncio.run(_collected(online.reached(*named.broker)))
    if any(each.mark is Mark.FAIL for each in found):
        return found
    if named.configuration is None:
        return [*found, Finding(Mark.SKIP, "broker TLS", "the configuration has faults", do="correct it first")]
    missing = [name for name in PINNED if not _is_file(named.configuration.keys_folder / name)]
    if missing:
        text = f"without {', '.join(missing)} in {named.configuration.keys_folder}"
        return [*found, Finding(Mark.SKIP, "broker TLS", text, do="enrol first: 'keys', 'request', 'accept'")]
    return [*found, *asyncio.run(_collected(online.secured(named.configuration, now)))]


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


async def _collected(found: AsyncIterator[Finding]) -> list[Finding]:
    return [each async for each in found]
