"""Backups of the store: a copy as of one instant in a folder of its own, and the way back.

The folder holds the copy and `manifest.json`, which says what of, when, how long and with which digest, and how much of
each gateway it holds. It is written under another name, synced, checked and renamed, the manifest last: half a backup
is none. The keys and the configuration are not in it.

A store that was restored says a new generation, so that every gateway forgets what it believed to be stored and offers
all it holds again (docs/backup.md). That is done in the transaction that first opens it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collector.faults import BackupError, NotFoundError
from collector.place import Place, Server
from collector.restored import begin_anew
from collector.store import schema
from collector.store.interface import Store
from collector.store.opening import open_store, open_to_read

FORM = "plomba/1/backup"
MANIFEST = "manifest.json"
FILE, DUMP = "store.sqlite3", "store.pgdump"
SIDES = ("", "-wal", "-shm")  # the files of a SQLite store
PIECE = 1 << 20
MANIFEST_BYTES = 16 << 20
PROGRAMS = Path("/usr/lib/postgresql")  # where Debian has those of each version


@dataclass(frozen=True, slots=True)
class Held:
    """How many batches of a gateway there are, and when the newest came (ms UTC)."""

    batches: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of: the store's kind, version and generation, what it holds; the copy's length and digest."""

    collector: str
    made_ms: int
    store: str
    version: int
    generation: int
    file: str
    size: int
    sha256: str
    gateways: Mapping[str, Held]

    def to_bytes(self) -> bytes:
        """As the file says it."""
        return json.dumps({"form": FORM} | asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, octets: bytes, where: str) -> Manifest:
        """As a file says it.

        Raises:
            BackupError: it is none.
        """
        try:
            found: dict[str, Any] = json.loads(octets)
            if found.pop("form") != FORM:
                raise ValueError("another form")
            gateways = {
                str(name): Held(int(each["batches"]), int(each["newest_ms"]))
                for name, each in found["gateways"].items()
            }
            numbers = [int(found[name]) for name in ("made_ms", "version", "generation", "size")]
            collector, store, file, sha256 = (str(found[name]) for name in ("collector", "store", "file", "sha256"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BackupError(f"the manifest of a backup ({FORM})", repr(error)[:200], where) from None
        if file not in {FILE, DUMP}:
            raise BackupError(f"{FILE} or {DUMP}", repr(file[:64]), where)
        made_ms, version, generation, size = numbers
        return cls(collector, made_ms, store, version, generation, file, size, sha256, gateways)


def make(place: Place, collector: str, folder: Path, now_ms: int) -> Manifest:
    """Make a backup of the store at `place` in `folder`, which is not there yet; others may write the store meanwhile.

    Raises:
        BackupError: it could not be made, and nothing of it is there.
        NotFoundError, StoreVersionError, StoreFullError: there is no store that can be read.
    """
    if folder.exists():
        raise BackupError("a folder that is not there yet", "one that is", str(folder))
    beside = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(beside, ignore_errors=True)  # of a backup that was ended
        beside.mkdir(parents=True)
        copied = _dump(place, beside) if isinstance(place, Server) else _copy(place, beside)
        size, digest = _digest(beside / copied.file)
        kind = "postgresql" if isinstance(place, Server) else "sqlite"
        said = Manifest(
            collector, now_ms, kind, schema.VERSION, copied.generation, copied.file, size, digest, copied.held
        )
        _sync(beside / copied.file)
        with (beside / MANIFEST).open("xb") as file:
            file.write(said.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        _sync(beside)
        beside.rename(folder)
        _sync(folder.absolute().parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupError("a place that takes a backup", str(error), str(folder)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return read(folder)


def read(folder: Path) -> Manifest:
    """The manifest of a backup whose copy is whole.

    Raises:
        BackupError: it is none, or something in it was changed or is missing.
    """
    try:
        with (folder / MANIFEST).open("rb") as file:
            said = Manifest.from_bytes(file.read(MANIFEST_BYTES), str(folder / MANIFEST))
        size, digest = _digest(folder / said.file)
    except OSError as error:
        raise BackupError("a backup's folder", str(error), str(folder)) from None
    if (size, digest) != (said.size, said.sha256):
        raise BackupError(
            f"{said.size} bytes with SHA-256 {said.sha256[:16]}...",
            f"{size} with {digest[:16]}...",
            str(folder / said.file),
        )
    return said


def restore(folder: Path, place: Place, now_ms: int, *, replace: bool = False) -> tuple[Manifest, int]:
    """Put a backup in the place of the store, where none is; its manifest, and the generation that begins.

    Args:
        folder: the backup's.
        place: the configured store; no collector runs over it.
        now_ms: our clock.
        replace: a file that is there is set aside under another name.

    Raises:
        BackupError: the backup does not hold, or is of another kind or a newer version; or a store is there.
    """
    said = read(folder)
    kind = "postgresql" if isinstance(place, Server) else "sqlite"
    if said.store != kind:
        raise BackupError(f"a backup of {kind}", f"one of {said.store}", str(folder))
    if said.version > schema.VERSION:
        raise BackupError(f"a store of version {schema.VERSION} at most", f"version {said.version}", str(folder))
    try:
        if isinstance(place, Server):
            _load(folder / said.file, place)
        else:
            _place(folder / said.file, place, now_ms, replace)
    except OSError as error:
        raise BackupError("a place that takes the store", str(error), str(place)) from error
    with closing(open_store(place, make=False)) as store:
        held = _held(store)
        if held != said.gateways:
            raise BackupError("what the manifest says of each gateway", "something else", str(folder))
        with store.transaction():
            generation = begin_anew(store, f"restored from a backup of generation {said.generation}", now_ms)
    return said, generation


@dataclass(frozen=True, slots=True)
class _Copied:
    file: str
    generation: int
    held: dict[str, Held]


def _held(store: Store) -> dict[str, Held]:
    return {name: Held(*rest) for name, *rest in store.evidence.held()}


def _copy(path: Path, folder: Path) -> _Copied:
    """SQLite's own copy of one instant, without what was deleted; writers go on meanwhile."""
    with closing(open_to_read(path)):  # or says why not
        pass
    copy = folder / FILE
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    with closing(sqlite3.connect(copy)) as made:
        if (found := made.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise BackupError("a copy that is sound", str(found)[:200], str(path))
    with closing(open_to_read(copy)) as store:
        return _Copied(FILE, store.gateways.generation(), _held(store))


def _place(copy: Path, path: Path, now_ms: int, replace: bool) -> None:
    """Put a copy where the store is configured; what is there is set aside."""
    there = [path.with_name(path.name + side) for side in SIDES]
    if any(each.exists() for each in there):
        if not replace:
            raise BackupError("no store yet", "one that is there: stop the collector, then give --replace", str(path))
        for each in there:
            if each.exists():
                each.rename(each.with_name(f"{each.name}.before-{now_ms}"))
    new = path.with_name(path.name + ".new")
    shutil.copyfile(copy, new)
    _sync(new)
    new.rename(path)
    _sync(path.absolute().parent)


def _dump(server: Server, folder: Path) -> _Copied:
    """pg_dump of the snapshot that the manifest is read from."""
    with closing(open_to_read(server)) as store:
        generation, held, snapshot = store.gateways.generation(), _held(store), store.snapshot()
        _run(
            "pg_dump",
            server,
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--snapshot={snapshot}",
            f"--file={folder / DUMP}",
        )
    return _Copied(DUMP, generation, held)


def _load(dump: Path, server: Server) -> None:
    """pg_restore into a database without a store, all of it or nothing."""
    try:
        open_store(server, make=False).close()
    except NotFoundError:
        _run(
            "pg_restore", server, "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(dump)
        )
        return
    raise BackupError(
        "an empty database", "one with a store: make another one and name it in the configuration", str(server)
    )


def _run(program: str, server: Server, *arguments: str) -> None:
    found = sorted(PROGRAMS.glob(f"*/bin/{program}"), key=lambda path: int(path.parts[-3]))
    path = str(found[-1]) if found else shutil.which(program)
    if path is None:
        raise BackupError(f"the program {program}", "none: install postgresql-client", "the path")
    environment = dict(os.environ) | ({"PGPASSWORD": server.password()} if server.password_file else {})
    done = subprocess.run(
        (path, "--dbname", str(server), *arguments), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupError(
            f"{program} to do it",
            (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0][:300],
            str(server),
        )


def _digest(path: Path) -> tuple[int, str]:
    found, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found.update(piece)
            size += len(piece)
    return size, found.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
