"""What `check` finds without touching a meter or the link: the files a configuration names, bus time and batteries."""

from __future__ import annotations

import datetime
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509

from gateway import battery, enrol, newcomers
from gateway.battery import Use
from gateway.config import Configuration, DlmsDevice, MbusBus
from gateway.findings import Finding, Mark, failed
from gateway.forecast import Forecast, forecast
from gateway.password import key_paths, keys_of, password_of, password_path
from gateway.successors import findings, standing
from protocols.errors import PlombaError
from protocols.transports.keyfiles import read_box, read_signing
from protocols.transports.tls import load_tls_key

SOON_DAYS = 30  # before its end a certificate is worth a look


def inspect(configuration: Configuration, now: datetime.datetime) -> list[Finding]:
    """Every file that is read, and whether it is there and usable; and which meters are not the configured ones."""
    return [
        *_folders(configuration),
        *keys(configuration.keys_folder),
        *enrolment(configuration.keys_folder, now),
        *passwords(configuration),
        *findings(standing(configuration)),
        *newcomers.findings(newcomers.standing(configuration)),
    ]


def bus_time(configuration: Configuration) -> list[tuple[Forecast, Finding]]:
    """The forecast of each bus."""
    return [(found, _judged(found)) for found in map(forecast, configuration.bus)]


def _judged(found: Forecast) -> Finding:
    if found.too_slow:
        do = "raise cadence_s, raise baud if all meters follow, or share the meters between several buses"
        return Finding(Mark.FAIL, f"bus {found.bus}", str(found), "", do)
    if found.tight:
        do = "with long answers or repeated questions slots become late: leave more room"
        return Finding(Mark.HINT, f"bus {found.bus}", str(found), "", do)
    return Finding(Mark.OK, f"bus {found.bus}", str(found))


def batteries(configuration: Configuration) -> list[tuple[Use, Finding]]:
    """How often each M-Bus meter is asked, against what its model allows."""
    uses = [use for bus in configuration.bus if isinstance(bus, MbusBus) for use in battery.uses(bus)]
    return [(use, _spent(use)) for use in uses]


def _spent(use: Use) -> Finding:
    what = f"meter {use.device}"
    if not use.too_often:
        return Finding(Mark.OK, what, str(use))
    do = f"set cadence_s to {use.right_cadence_s} or more; a meter with mains supply may be asked as it is"
    do += "" if use.sure else "; version and medium tell its model (scan shows them)"
    return Finding(Mark.HINT, what, str(use), "", do)


def _folders(configuration: Configuration) -> Iterator[Finding]:
    folder = configuration.state_folder
    if folder.is_dir():
        writable = os.access(folder, os.W_OK)
        mark, note = (Mark.OK, "") if writable else (Mark.FAIL, ": not writable by this user")
        yield Finding(mark, "state folder", f"{folder}{note}", do="" if writable else "give it to the daemon's user")
    elif folder.exists():
        yield Finding(Mark.FAIL, "state folder", f"{folder} is no folder", do="name another one in state_folder")
    else:
        yield Finding(Mark.OK, "state folder", f"{folder}: not there yet, the first start makes it")


def keys(folder: Path) -> Iterator[Finding]:
    """The gateway's own keys in their folder."""
    readers: tuple[tuple[str, str, Callable[[Path], object]], ...] = (
        ("sealing key", enrol.SEALING, read_signing),
        ("box key", enrol.BOX, read_box),
        ("TLS key", enrol.TLS_KEY, _private),
    )
    for what, name, read in readers:
        path = folder / name
        if not path.exists():
            yield Finding(Mark.HINT, what, f"{path}: not there yet", do="make it with 'plomba-gateway keys'")
            continue
        try:
            read(path)
        except PlombaError as error:
            yield failed(f"{what} {path}", error)
        else:
            yield Finding(Mark.OK, what, str(path))


def _private(path: Path) -> object:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        read_signing(path)  # refuses it by its mode
    return load_tls_key(path)


def enrolment(folder: Path, now: datetime.datetime) -> Iterator[Finding]:
    """What the collector's authority signed: trust document and certificates in the folder of keys."""
    do = "send the 'request' to the operator, and 'accept' what comes back"
    path = folder / enrol.TRUST
    if not path.exists():
        yield Finding(Mark.HINT, "trust document", f"{path}: not there yet", do=do)
    else:
        try:
            trust = enrol.read_trust(folder)
        except PlombaError as error:
            yield failed(f"trust document {path}", error)
        else:
            yield Finding(Mark.OK, "trust document", f"{path}: number {trust.number} of collector {trust.collector}")
    for what, name in (("broker's authority", enrol.TLS_CA), ("certificate", enrol.TLS_CERTIFICATE)):
        yield _certificate(what, folder / name, now, do)


def _certificate(what: str, path: Path, now: datetime.datetime, do: str) -> Finding:
    if not path.exists():
        return Finding(Mark.HINT, what, f"{path}: not there yet", do=do)
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return Finding(Mark.FAIL, what, f"{path}: {str(error)[:80]}", do="'accept' the enrolment again")
    return dated(what, f"{path}: ", found, now)


def dated(what: str, before: str, found: x509.Certificate, now: datetime.datetime) -> Finding:
    """A certificate, judged by its end."""
    end = found.not_valid_after_utc
    days, text = (end - now).days, f"{before}{found.subject.rfc4514_string()}, valid to {end:%Y-%m-%d}"
    if end <= now or found.not_valid_before_utc > now:
        return Finding(
            Mark.FAIL, what, f"{text}: not valid today ({now:%Y-%m-%d})", do="renew it, or set the clock right"
        )
    mark = Mark.OK if days > SOON_DAYS else Mark.HINT
    return Finding(mark, what, f"{text} ({days} days)", do="" if mark is Mark.OK else "renew it soon")


def passwords(configuration: Configuration) -> Iterator[Finding]:
    """Each meter's password and keys, as they are used."""
    for bus in configuration.bus:
        for device in bus.device:
            if not isinstance(device, DlmsDevice):
                continue
            yield from _meter_keys(device)
            if device.password_file is None and device.password_credential is None:
                continue
            what = f"password of {device.name}"
            try:
                password_of(device)
            except PlombaError as error:
                yield failed(f"{what} {error.where}", error)
            else:
                yield Finding(Mark.OK, what, str(password_path(device)))


def _meter_keys(device: DlmsDevice) -> Iterator[Finding]:
    what = f"keys of {device.name}"
    try:
        keys = keys_of(device)
        paths = key_paths(device)
    except PlombaError as error:
        yield failed(f"{what} {error.where}", error)
        return
    if keys is not None:
        yield Finding(Mark.OK, what, " and ".join(map(str, paths)))
