"""`support-bundle`: what somebody elsewhere needs to see what is wrong here, without a secret and, unasked, a value.

The members are made in memory, each through `redact`, and packed so that the same content is the same bytes: names in
order, no times, no owner. Nothing of a key's or password's file is in it, and nothing of the environment.
"""

from __future__ import annotations

import datetime
import gzip
import importlib.metadata
import io
import json
import os
import platform
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from gateway import doctor, enrol, watches
from gateway.config import Configuration
from gateway.core import core_of_this_program
from gateway.doctor_files import PRIVATE
from gateway.named import Named, named_in
from gateway.password import CREDENTIALS
from gateway.redact import OUT, Sieve, secrets_of
from gateway.status import bodies, list_batches, read_status
from protocols.errors import PlombaError
from protocols.settings.model import model_of
from protocols.settings.problems import Level, secret
from protocols.uplink import body

MODE = 0o600
BATCHES = 200  # newest, of the list
READINGS = 1_000  # newest, with --with-readings
FILE_BYTES = 256 * 1024  # of a configuration, or of a file with a secret: more is none
LOG_LINES = 1_000
LOG_S = 20.0
UNIT = "plomba-gateway"
PACKAGES = ("aiomqtt", "click", "cryptography", "msgpack", "paho-mqtt", "pydantic", "pymodbus", "pyserial", "structlog")
TOLD = """A support bundle of plomba-gateway.

What it holds: versions.json (programs), gateway.toml (the configuration: tables, keys and plain values; comments and
whatever may be a secret are "..."), doctor.json (every check), status.json and batches.json (what is in the buffer: how
many, when, how large), counters.json (errors by code), time.json (clocks), log.txt (the last lines of the service's
log){readings}.
What it does not hold: passwords, keys, the environment, files of the folders that doctor.json only names.
It does hold the names, addresses and numbers of the meters. Look through it before you send it.
"""
Member = Callable[[], object]


def write(path: Path, octets: bytes) -> None:
    """Write a new file that its owner alone may read.

    Raises:
        FileExistsError: there is one already; it is left as it is.
        OSError: it could not be written; nothing of it is left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def packed(members: Mapping[str, bytes]) -> bytes:
    """A .tar.gz of the members: the same members are the same bytes."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, octets in sorted(members.items()):
            entry = tarfile.TarInfo(f"plomba-gateway-support/{name}")
            entry.size, entry.mode = len(octets), MODE
            tar.addfile(entry, io.BytesIO(octets))
    return out.getvalue()


def members(path: Path, now: datetime.datetime, with_readings: bool = False) -> dict[str, bytes]:
    """The content of the bundle of the gateway that the file at `path` configures, by name; what fails says so."""
    named = named_in(path)
    examined = doctor.examine(path, now)
    rows = [_without_value(each) for each in examined.rows()]
    sieve = Sieve.of(_secrets(named), _paths(each["seen"] for each in rows))
    folder = named.state_folder or Path("/nonexistent")
    made: dict[str, Member] = {
        "versions.json": _versions,
        "doctor.json": lambda: {"looked": f"{now:%Y-%m-%dT%H:%M:%SZ}", "checks": rows},
        "status.json": lambda: _status(folder, named.buffer.max_bytes),
        "counters.json": lambda: read_status(folder, named.buffer.max_bytes).counters,
        "batches.json": lambda: [_short(asdict(each)) for each in list_batches(folder)[-BATCHES:]],
        "time.json": lambda: _time(named, folder),
    }
    if with_readings:
        made["readings.json"] = lambda: list(_readings(folder))
    found = {name: _json(sieve.tree(_tried(make))) for name, make in made.items()}
    readings = ", readings.json (the newest readings, as asked)" if with_readings else ""
    found["README.txt"] = TOLD.format(readings=readings).encode()
    faulty = {each.line for each in named.problems if each.level is Level.FAULT}
    found["gateway.toml"] = sieve.toml(_text(path), keys_of(model_of(Configuration)), faulty).encode()
    found["log.txt"] = sieve.text(_log()).encode()
    return found


def keys_of(model: type[BaseModel]) -> frozenset[str]:
    """Every key that a configuration may have, wherever it stands."""
    found = set(model.model_fields)
    for field in model.model_fields.values():
        for each in _models_in(field.annotation):
            found |= keys_of(each)
    return frozenset(found)


def _models_in(kind: object) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for each in get_args(kind):
        yield from _models_in(each)


def _without_value(row: dict[str, str]) -> dict[str, str]:
    """A check; of a fault in the configuration not what stands there."""
    seen, got, _ = row["seen"].partition(", got ")
    return {**row, "seen": f"{seen}{got}{OUT}"} if row["group"] == "configuration" and got else row


def _tried(make: Member) -> object:
    try:
        return make()
    except (PlombaError, OSError) as error:
        return {"not there": str(error)}


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return f"# not there: {error.strerror}\n"


def _secrets(named: Named) -> Iterator[bytes]:
    """Every secret that can be reached from here, to be looked for in what is written."""
    paths = [each.path for each in named.secrets]
    if named.keys_folder is not None:
        paths += [named.keys_folder / name for name in PRIVATE]
        paths += _beside(named.keys_folder, {enrol.TRUST, enrol.TLS_CERTIFICATE, enrol.TLS_CA})
    for folder in {each.path.parent for each in named.secrets} - {named.path.absolute().parent}:
        paths += _beside(folder, set())
    if CREDENTIALS in os.environ:
        paths += _beside(Path(os.environ[CREDENTIALS]), set())
    for path in paths:
        yield from secrets_of(_octets(path))
    # PWD and the like name a place: paths are no secrets.
    yield from (os.fsencode(each) for name, each in os.environ.items() if secret(name) and not os.path.lexists(each))


def _beside(folder: Path, public: set[str]) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_file() and each.name not in {*public, "owner"}]
    except OSError:
        return []


def _octets(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES)
    except OSError:  # what cannot be read here cannot get into the bundle
        return b""


def _paths(texts: Iterator[str]) -> Iterator[str]:
    """The paths of this machine in what the doctor says: they are shown, however long."""
    for text in texts:
        for word in text.replace(":", " ").replace(",", " ").replace("(", " ").replace(")", " ").split():
            if word.startswith("/") and os.path.lexists(word):
                yield word


def _versions() -> object:
    core = core_of_this_program()
    return {
        "plomba": core.version,
        "core": core.hash.hex()[:12],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _status(folder: Path, max_bytes: int) -> object:
    found = asdict(read_status(folder, max_bytes))
    found["refused"] = [_short(each) for each in found["refused"]]
    return _short(found)


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """With hashes cut to what tells them apart: a whole one looks like a key."""
    return {
        name: value[:12] if name in ("id", "epoch") and isinstance(value, str) else value for name, value in row.items()
    }


def _time(named: Named, folder: Path) -> object:
    buses = () if named.configuration is None else named.configuration.bus
    return watches.rows(watches.read_clocks(folder, frozenset(device.name for bus in buses for device in bus.device)))


def _readings(folder: Path) -> Iterator[dict[str, object]]:
    count = 0
    for octets in bodies(folder, BATCHES):
        for each in reversed(body.expand(octets).readings):
            values = [{"key": str(value.key), "number": str(value.number), "unit": value.unit} for value in each.values]
            yield {"device": each.device, "at_ms": each.at_ms, "how": each.how.name.lower(), "values": values}
            count += 1
            if count == READINGS:
                return


def _log() -> str:
    """The last lines of the service's log; where they cannot be had, why."""
    line = ["journalctl", "--unit", UNIT, "--lines", str(LOG_LINES), "--output", "short-iso", "--no-pager", "--quiet"]
    try:
        done = subprocess.run(line, capture_output=True, timeout=LOG_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not reachable: {error}\n"
    text = done.stdout.decode("utf-8", "replace")
    return text or f"no lines of {UNIT}: {done.stderr.decode('utf-8', 'replace').strip() or 'the journal has none'}\n"
