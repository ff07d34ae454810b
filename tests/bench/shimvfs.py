"""A shim between this process's own SQLite and its files: whoever owns a folder decides over what is written there.

The library is the one that the module `sqlite3` itself is linked with, so the product's code runs unchanged. A VFS
registered as default opens every file through the VFS "unix"; a file in an owned folder then gets a copy of its table
of methods in which only writing, truncating, syncing and closing are ours. Reads, locks and shared memory stay native,
and files elsewhere are not touched at all.

SQLite's random numbers (salts of the log, nonces of journals) come from the seed of `install`: the same work leaves the
same bytes. Nothing is raised through C: a fault in here is kept, SQLite gets an I/O error, `check` raises it.
"""

from __future__ import annotations

import _sqlite3
import atexit
import ctypes
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, PYFUNCTYPE, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Protocol, TypeVar

OK, CANTOPEN = 0, 14
IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = 778, 1034, 1546, 2570
OPEN_MAIN_JOURNAL, OPEN_SUPER_JOURNAL, OPEN_WAL = 0x800, 0x4000, 0x80000
JOURNALS = OPEN_MAIN_JOURNAL | OPEN_SUPER_JOURNAL | OPEN_WAL
NAME = b"plomba-bench"
VERSION = 3  # of both structures below, as SQLite has had them since 3.7.17

# Calls into SQLite keep the interpreter's lock (PYFUNCTYPE): they are short, and it costs less than giving it up.
_Open = (c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = (c_int, c_void_p, c_void_p, c_int)
_Randomness = (c_int, c_void_p, c_int, c_void_p)
_Close = (c_int, c_void_p)
_Transfer = (c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = (c_int, c_void_p, c_int64)
_Sync = (c_int, c_void_p, c_int)
_Size = (c_int, c_void_p, c_void_p)

F = TypeVar("F", bound=Callable[..., int])


class File(Protocol):
    """An open file of an owned folder; each answer is SQLite's code, OK lets SQLite go on."""

    def write(self, offset: int, octets: bytes) -> int:
        """Before octets are written."""

    def truncate(self, size: int) -> int:
        """Before it is cut to, or filled up to, `size` bytes."""

    def sync(self) -> int:
        """In the place of a sync: the real disk is never asked."""

    def closed(self) -> None:
        """After it was closed."""


class Owner(Protocol):
    """Who decides over a folder and all below it."""

    def may_open(self) -> bool:
        """Whether files are opened at all."""

    def opened(self, path: str, created: bool, journal: bool, read: Callable[[], bytes]) -> File:
        """A file was opened; `read` gives all that is in it while it is open."""

    def delete(self, path: str, durable: bool) -> int:
        """Delete a file, which may not be there, and the name's end durably where that is asked for."""


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("path_max", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("app", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("native_a", c_void_p * 6),
        ("randomness", c_void_p),
        ("native_b", c_void_p * 7),
    )


class _Methods(Structure):
    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("size", c_void_p),
        ("native", c_void_p * 12),
    )


class _Table:
    """One native table of methods and our copy of it."""

    def __init__(self, address: int) -> None:
        self.native = address
        found = _Methods.from_address(address)
        if found.version != VERSION:
            raise RuntimeError(f"expected io_methods of version {VERSION}, got {found.version}")
        self.close: Callable[[int], int] = PYFUNCTYPE(*_Close)(found.close)
        self.read = PYFUNCTYPE(*_Transfer)(found.read)
        self.write = PYFUNCTYPE(*_Transfer)(found.write)
        self.truncate = PYFUNCTYPE(*_Truncate)(found.truncate)
        self.size = PYFUNCTYPE(*_Size)(found.size)
        self.ours = _Methods.from_buffer_copy(found)
        for name, callback in _METHODS.items():
            setattr(self.ours, name, ctypes.cast(callback, c_void_p))


class _Handle:
    """One open sqlite3_file of an owned folder."""

    __slots__ = ("file", "table", "truncate", "write")

    def __init__(self, table: _Table, file: File) -> None:
        self.table, self.file = table, file
        self.write, self.truncate = table.write, table.truncate


class _State:
    """What is registered with SQLite; everything here lives as long as the process."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.installed = False
        self.owners: dict[str, Owner] = {}
        self.handles: dict[int, _Handle] = {}
        self.tables: dict[int, _Table] = {}
        self.faults: list[BaseException] = []
        self.library = ctypes.CDLL(_sqlite3.__file__)
        for name in ("sqlite3_vfs_find", "sqlite3_vfs_register", "sqlite3_vfs_unregister", "sqlite3_randomness"):
            getattr(self.library, name).restype = c_void_p
        self.library.sqlite3_vfs_register.argtypes = (c_void_p, c_int)
        self.library.sqlite3_vfs_unregister.argtypes = (c_void_p,)
        self.native = int(self.library.sqlite3_vfs_find(b"unix"))
        found = _Vfs.from_address(self.native)
        if found.version != VERSION:
            raise RuntimeError(f"expected a VFS of version {VERSION}, got {found.version}")
        self.open: Callable[..., int] = PYFUNCTYPE(*_Open)(found.open)
        self.vfs = _Vfs.from_buffer_copy(found)
        self.vfs.name = NAME

    def owner(self, path: str) -> Owner | None:
        """Who owns the nearest folder above a path."""
        while path:
            path = path.rpartition("/")[0]
            found = self.owners.get(path)
            if found is not None:
                return found
        return None


def install(seed: int = 0) -> None:
    """Put the shim before every file that is opened from now on; again only begins the random numbers anew."""
    _state.random.seed(seed)
    if not _state.installed:
        for name, callback in _CALLS.items():
            setattr(_state.vfs, name, ctypes.cast(callback, c_void_p))
        _state.library.sqlite3_vfs_register(ctypes.addressof(_state.vfs), 1)
        _state.installed = True
    _state.library.sqlite3_randomness(0, None)  # forget the state: the next number asks our VFS for a seed


def uninstall() -> None:
    """Leave SQLite as it was; files that are still open go on natively, folders have no owners any more."""
    if not _state.installed:
        return
    _state.installed = False
    _state.library.sqlite3_vfs_unregister(ctypes.addressof(_state.vfs))
    native = _Vfs.from_address(_state.native)
    for name in _CALLS:  # connections that live on hold our structure
        setattr(_state.vfs, name, getattr(native, name))
    for address, handle in _state.handles.items():
        c_void_p.from_address(address).value = handle.table.native
    _state.handles.clear()
    _state.owners.clear()
    _state.library.sqlite3_randomness(0, None)
    check()


@contextmanager
def installed(seed: int = 0) -> Iterator[None]:
    """The shim for the length of a block."""
    install(seed)
    try:
        yield
    finally:
        uninstall()


def own(folder: Path, owner: Owner) -> None:
    """Give a folder (its real path) to an owner."""
    if not _state.installed:
        raise RuntimeError("expected the shim to be installed, got a folder to own before")
    _state.owners[str(folder)] = owner


def disown(folder: Path) -> None:
    """Files opened in the folder from now on are nobody's."""
    _state.owners.pop(str(folder), None)


def open_handles() -> int:
    """How many files of owned folders are open."""
    return len(_state.handles)


def check() -> None:
    """Raise the first fault that happened inside a call from SQLite."""
    if _state.faults:
        faults, _state.faults = _state.faults, []
        raise faults[0]


def _guarded(code: int) -> Callable[[F], F]:
    """Keep what a callback raises and answer `code`."""

    def wrap(callback: F) -> F:
        def guarded(*values: Any) -> int:
            try:
                return callback(*values)
            except BaseException as error:  # noqa: BLE001 - nothing can be raised through C; `check` raises it
                _state.faults.append(error)
                return code

        return guarded  # type: ignore[return-value]

    return wrap


@_guarded(CANTOPEN)
def _open(_vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
    path = os.fsdecode(ctypes.string_at(name)) if name else ""
    owner = _state.owner(path)
    if owner is None:
        return _state.open(_state.native, name, file, flags, out)
    methods = c_void_p.from_address(file)
    methods.value = None  # SQLite closes only what has methods
    if not owner.may_open():
        return CANTOPEN
    created = not os.path.exists(path)  # noqa: PTH110 - called for every file that SQLite opens
    code = _state.open(_state.native, name, file, flags, out)
    if code != OK or methods.value is None:
        return code
    table = _state.tables.get(methods.value)
    if table is None:
        table = _state.tables[methods.value] = _Table(methods.value)
    handle = _Handle(table, owner.opened(path, created, bool(flags & JOURNALS), lambda: _read(file, table)))
    _state.handles[file] = handle
    methods.value = ctypes.addressof(table.ours)
    return OK


@_guarded(IOERR_DELETE)
def _delete(vfs: int, name: int, durable: int) -> int:
    path = os.fsdecode(ctypes.string_at(name))
    owner = _state.owner(path)
    if owner is None:
        return _native_delete(vfs, name, durable)
    if not os.path.exists(path):  # noqa: PTH110 - as above
        return _native_delete(vfs, name, 0)
    return owner.delete(path, bool(durable))


@_guarded(0)
def _randomness(_vfs: int, count: int, out: int) -> int:
    ctypes.memmove(out, _state.random.randbytes(count), count)
    return count


@_guarded(IOERR_WRITE)
def _write(file: int, buffer: int, count: int, offset: int) -> int:
    handle = _state.handles[file]
    return handle.file.write(offset, ctypes.string_at(buffer, count)) or handle.write(file, buffer, count, offset)


@_guarded(IOERR_TRUNCATE)
def _truncate(file: int, size: int) -> int:
    handle = _state.handles[file]
    return handle.file.truncate(size) or handle.truncate(file, size)


@_guarded(IOERR_FSYNC)
def _sync(file: int, _flags: int) -> int:
    return _state.handles[file].file.sync()


@_guarded(OK)
def _close(file: int) -> int:
    handle = _state.handles.pop(file)
    code = handle.table.close(file)
    handle.file.closed()
    return code


def _read(file: int, table: _Table) -> bytes:
    """All of an open file, through its own handle: another descriptor would drop the process's locks when closed."""
    size = c_int64()
    code = table.size(file, ctypes.addressof(size))
    buffer = ctypes.create_string_buffer(size.value)
    if code == OK and size.value:
        code = table.read(file, ctypes.addressof(buffer), size.value, 0)
    if code != OK:
        raise OSError(f"expected {size.value} bytes of an open file, got SQLite's code {code}")
    return buffer.raw


# Called by SQLite from its own threads' depths: with CFUNCTYPE each call takes the interpreter's lock.
_METHODS: dict[str, Any] = {
    "write": CFUNCTYPE(*_Transfer)(_write),
    "truncate": CFUNCTYPE(*_Truncate)(_truncate),
    "sync": CFUNCTYPE(*_Sync)(_sync),
    "close": CFUNCTYPE(*_Close)(_close),
}
_CALLS: dict[str, Any] = {
    "open": CFUNCTYPE(*_Open)(_open),
    "delete": CFUNCTYPE(*_Delete)(_delete),
    "randomness": CFUNCTYPE(*_Randomness)(_randomness),
}
_state = _State()
_native_delete: Callable[[int, int, int], int] = PYFUNCTYPE(*_Delete)(_state.vfs.delete)
atexit.register(uninstall)  # connections that outlive the interpreter must not call into it
