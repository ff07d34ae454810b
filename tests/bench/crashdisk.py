"""A simulated disk under the product's own SQLite, whose power can be cut: what was not synced may be lost or torn.

For each database, log and journal in its folder it keeps what is durable (the content at the last sync) and every
operation since. What may be on the disk after a cut is drawn from its `random.Random`: of the operations since the last
sync any subset, in any order, writes torn at sectors of 512 bytes; a created file may be missing, a deleted one may be
there. SQLite's shared memory (-shm) is never there afterwards.

What it takes for granted, as ext4 and xfs do it: a sync makes the file's own name durable; the first sync of a journal
or log that was created makes all names durable (SQLite syncs the folder then). Files are known by inode, so Python code
may rename them; what Python code itself writes, renames or deletes in the folder is durable at once. What Python code
changes inside a file that SQLite has open is not noticed.

A cut ends a life: everything open dies, and the next life lies in a new folder, for locks and shared memory of the dead
one belong to its files. After a kill nothing is lost, but what was not synced is still at stake in the next cut.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import shimvfs
from shimvfs import IOERR_DELETE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_WRITE, OK, install, installed, uninstall

__all__ = ["CrashDisk", "install", "installed", "uninstall"]

SECTOR = 512  # bytes that a disk writes whole or not at all
FULL = 13  # SQLITE_FULL
SHARED = "-shm"
KEPT_DELETED = 4  # of one name: a journal in synchronous=OFF is created and deleted for ever without a sync
MODE = 0o644  # of a file whose deletion did not happen
# How much of what was not synced reaches the disk, drawn for each file and cut: a fair coin for every operation alone
# would hardly ever lose just one, or all.
KEEP = (0.0, 0.5, 0.9, 1.0)
TORN = (0.0, 0.3)

Operation = tuple[int, bytes | None]  # a write's offset and octets, or a size and None: a truncation
Image = dict[str, tuple[int, bytes]]  # mode and content by name


class _File:
    """One inode that SQLite has opened: what is durable of it, and what was done since."""

    __slots__ = ("durable", "lost", "name", "named", "pending", "pin", "size", "users")

    def __init__(self, name: str, named: bool, pin: int) -> None:
        self.name, self.named, self.pin = name, named, pin
        self.durable: bytearray | None = None  # read when it is first changed
        self.pending: list[Operation] = []
        self.lost = False  # a sync failed: what programs read differs from what is durable
        self.size = 0
        self.users: list[_Open] = []

    def load(self, content: bytes) -> None:
        """Begin with a content that is durable."""
        self.durable, self.size = bytearray(content), len(content)

    def known_size(self) -> int:
        """Its size as programs see it, while it is open."""
        if self.durable is None:
            self.load(self.users[0].read())
        return self.size

    def pend(self, operation: Operation) -> None:
        """Note an operation."""
        size = self.known_size()
        self.pending.append(operation)
        at, octets = operation
        self.size = at if octets is None else max(size, at + len(octets))

    def inherit(self, other: _File) -> None:
        """Be what another was when its programs were killed."""
        self.durable, self.pending, self.lost, self.size = other.durable, other.pending, other.lost, other.size

    def settle(self) -> None:
        """All operations are durable."""
        if self.pending:
            assert self.durable is not None
            for operation in self.pending:
                _apply(self.durable, operation)
            self.pending = []

    def draw(self, dice: random.Random, keep: tuple[float, ...] = KEEP) -> bytes | None:
        """What a disk may hold of it after a cut, or None: as it is."""
        if self.durable is None:
            return None
        content, kept, torn = bytearray(self.durable), dice.choice(keep), dice.choice(TORN)
        survivors = [each for each in self.pending if dice.random() < kept]
        if dice.random() < 0.5:
            dice.shuffle(survivors)
        for at, octets in survivors:
            if octets is not None and dice.random() < torn:
                for sector in _sectors(at, octets):
                    if dice.random() < 0.5:
                        _apply(content, sector)
            else:
                _apply(content, (at, octets))
        return bytes(content)


class _Open:
    """A file as one connection has it open."""

    __slots__ = ("created", "disk", "file", "read")

    def __init__(self, disk: CrashDisk, file: _File, created: bool, read: Callable[[], bytes]) -> None:
        self.disk, self.file, self.created, self.read = disk, file, created, read

    def write(self, offset: int, octets: bytes) -> int:
        """Note it before it is done."""
        disk, file = self.disk, self.file
        with disk.lock:
            if disk.dead:
                return IOERR_WRITE
            if disk.capacity is not None and not disk.fits(file, offset + len(octets)):
                return FULL
            file.pend((offset, octets))
            return IOERR_WRITE if disk.count() else OK

    def truncate(self, size: int) -> int:
        """Note it before it is done."""
        disk = self.disk
        with disk.lock:
            if disk.dead:
                return IOERR_TRUNCATE
            self.file.pend((size, None))
            return IOERR_TRUNCATE if disk.count() else OK

    def sync(self) -> int:
        """What was written is durable; a cut in the middle leaves what it would have left before."""
        disk, file = self.disk, self.file
        with disk.lock:
            if disk.dead or disk.count():
                return IOERR_FSYNC
            disk.syncs += 1
            if disk.failing_syncs:
                disk.failing_syncs -= 1
                disk.fail(file)
                return IOERR_FSYNC
            file.settle()
            if self.created:
                self.created = False
                disk.settle_names()
            elif not file.named:
                disk.settle_name(file)
            return OK

    def closed(self) -> None:
        """Closing syncs nothing."""
        with self.disk.lock:
            self.disk.left(self.file, self)


class CrashDisk:
    """The disk under a folder; `operations` counts writes, truncations, syncs and deletions.

    Faults: `failing_syncs` is how many of the next syncs fail; each loses some or all of what was not synced, though
    programs still read it. `capacity` is how many bytes all files of the folder may have: a write that lengthens one
    beyond that finds the disk full.
    """

    def __init__(self, folder: Path, dice: random.Random) -> None:
        """Own a folder that is there; the shim must be installed."""
        self.folder = folder.resolve(strict=True)
        self.dice = dice
        self.operations = self.syncs = self.failing_syncs = 0
        self.capacity: int | None = None
        self.dead = False
        self.lock = threading.RLock()
        self._files: dict[tuple[int, int], _File] = {}
        self._deleted: dict[str, list[_File]] = {}
        self._cut: tuple[int, Callable[[], None]] | None = None
        self._image: Image | None = None
        shimvfs.own(self.folder, self)

    def cut_at(self, operation: int, then: Callable[[], None]) -> None:
        """Cut the power at the n-th operation from now, before it or in the middle; `then` is called, `cut` is due."""
        shimvfs.check()
        if operation < 1 or self.dead:
            raise ValueError(f"expected a living disk and an operation from 1 on, got operation {operation}")
        self._cut = (self.operations + operation, then)

    def cut(self, to: Path) -> CrashDisk:
        """The disk after the power failed (now, or when `cut_at` said), in the new folder `to`."""
        shimvfs.check()
        with self.lock:
            if not self.dead:
                self._freeze()
            if self._image is None:
                raise RuntimeError("expected a living or just frozen disk, got one whose life has ended")
            image, self._image = self._image, None
        _write_out(image, to)
        return CrashDisk(to, self.dice)

    def kill(self, to: Path) -> CrashDisk:
        """The disk after its processes were killed: all that was written is there, though not yet durable."""
        shimvfs.check()
        with self.lock:
            if self.dead:
                raise RuntimeError("expected a living disk to kill, got a dead one")
            _write_out(self._content(), to)
            heir = CrashDisk(to, self.dice)
            for name, path in self._listing():
                file = self._tracked(path)
                if file is not None:
                    heir._known(str(heir.folder / name), file.named).inherit(file)
            heir._deleted = dict(self._deleted)
            self._die()
        return heir

    def snapshot(self, to: Path) -> None:
        """Copy everything but shared memory, as a backup does between two transactions."""
        shimvfs.check()
        with self.lock:
            _write_out(self._content(), to)

    def flip(self, name: str, dice: random.Random, bits: int = 1) -> list[int]:
        """Flip bits of a file that nobody has open; where (byte offsets)."""
        path = self.folder / name
        with self.lock, path.open("r+b") as disk:
            status = os.fstat(disk.fileno())
            file = self._files.get((status.st_dev, status.st_ino))
            if file is not None and file.users:
                raise ValueError(f"expected a file at rest, got {name} open")
            places = [dice.randrange(status.st_size) for _ in range(bits)]
            for place in places:
                bit = 1 << dice.randrange(8)
                disk.seek(place)
                octet = disk.read(1)[0] ^ bit
                disk.seek(place)
                disk.write(bytes([octet]))
                if file is not None and file.durable is not None and place < len(file.durable):
                    file.durable[place] ^= bit
        return places

    def used(self) -> int:
        """Bytes of all files, shared memory left out."""
        return sum(path.stat().st_size for _, path in self._listing())

    def fill(self, room: int = 0) -> None:
        """Let the disk be full but for `room` bytes."""
        self.capacity = self.used() + room

    def close(self) -> None:
        """Give the folder back; whatever is still open there is dead."""
        with self.lock:
            self._die()
            self._image = None
        shimvfs.disown(self.folder)
        shimvfs.check()

    def scrap(self) -> None:
        """Give back the room of a dead disk, whose files its suspended programs keep open."""
        if not self.dead:
            raise RuntimeError("expected a dead disk, got a living one")
        for _, path in self._listing():
            os.truncate(path, 0)

    def tracked(self) -> int:
        """How many files it keeps something about."""
        return len(self._files) + sum(map(len, self._deleted.values()))

    def may_open(self) -> bool:
        """A dead disk opens nothing."""
        return not self.dead

    def opened(self, path: str, created: bool, journal: bool, read: Callable[[], bytes]) -> _Open:
        """SQLite has opened, and perhaps created, a file."""
        with self.lock:
            self._forget_unlinked()
            file = self._known(path, not created)
            found = _Open(self, file, created and journal, read)
            file.users.append(found)
            if created:
                file.load(b"")
            return found

    def delete(self, path: str, durable: bool) -> int:
        """Take a name away; until the folder is synced it may be there again after a cut."""
        with self.lock:
            if self.dead:
                return IOERR_DELETE
            file = self._known(path, True)
            if file.durable is None:
                file.load(Path(path).read_bytes())
            gone = self._deleted.setdefault(file.name, [])
            gone.append(file)
            del gone[:-KEPT_DELETED]
            self._forget(file)
            os.unlink(path)  # noqa: PTH108 - as SQLite's own does
            if self.count():
                return IOERR_DELETE
            if durable:
                self.settle_names()
            return OK

    def count(self) -> bool:
        """Count an operation; whether the power fails at it."""
        self.operations += 1
        if self._cut is None or self.operations < self._cut[0]:
            return False
        then, self._cut = self._cut[1], None
        self._freeze()
        then()
        return True

    def fits(self, file: _File, end: int) -> bool:
        """Whether a file may reach to `end`."""
        size = file.known_size()
        return self.capacity is None or end <= size or self.used() + end - size <= self.capacity

    def fail(self, file: _File) -> None:
        """A sync failed: what was not durable is half written at best, and will not be written again."""
        drawn = file.draw(self.dice, (0.0, 0.5))
        if drawn is not None and file.pending:
            file.durable, file.pending, file.lost = bytearray(drawn), [], True

    def settle_name(self, file: _File) -> None:
        """A file's name is durable, so whatever had that name before is gone."""
        file.named = True
        self._deleted.pop(file.name, None)

    def settle_names(self) -> None:
        """The folder is synced."""
        self._deleted.clear()
        for file in self._files.values():
            file.named = True

    def left(self, file: _File, user: _Open) -> None:
        """A handle is closed: a file that is as durable as it can be need not be known any more."""
        file.users.remove(user)
        if not (file.users or file.pending or file.lost) and file.named:
            self._forget(file)

    def _known(self, path: str, named: bool) -> _File:
        status, name = os.stat(path), self._name(path)  # noqa: PTH116 - called for every file that SQLite opens
        key = (status.st_dev, status.st_ino)
        file = self._files.get(key)
        if file is None:
            # A descriptor that holds the inode, so that its number is not given to another file; closing a real one
            # would drop the locks of SQLite.
            file = self._files[key] = _File(name, named, os.open(path, os.O_PATH))
        elif file.name != name:
            file.name, file.named = name, True  # Python has renamed it
        return file

    def _name(self, path: str) -> str:
        return path[len(str(self.folder)) + 1 :]

    def _forget_unlinked(self) -> None:
        """Files that Python code has deleted or replaced, and nobody reads, are gone."""
        for file in [each for each in self._files.values() if not each.users]:
            if not os.fstat(file.pin).st_nlink:
                self._forget(file)

    def _forget(self, file: _File) -> None:
        if file.pin >= 0:
            status = os.fstat(file.pin)
            self._files.pop((status.st_dev, status.st_ino), None)
            os.close(file.pin)
            file.pin = -1

    def _freeze(self) -> None:
        """The power fails: draw what the disk holds."""
        image: Image = {}
        listing = dict(self._listing())
        for name in sorted(listing.keys() | self._deleted.keys()):
            path = listing.get(name)
            here = None if path is None else self._tracked(path)
            choices = self._history(name, path, here)
            chosen = self.dice.choice(choices) if len(choices) > 1 else choices[0]
            if isinstance(chosen, _File):
                drawn = chosen.draw(self.dice)
                if drawn is None:
                    chosen = path
                else:
                    image[name] = (MODE if path is None else path.stat().st_mode, drawn)
            if isinstance(chosen, Path):
                image[name] = (chosen.stat().st_mode, chosen.read_bytes())
        self._image = image
        self._die()

    def _history(self, name: str, path: Path | None, here: _File | None) -> list[_File | Path | None]:
        """All that a name has meant since it was durable: files, or None where there was none."""
        if path is not None and (here is None or here.named or here.name != name):
            return [here or path]  # durable, or put there by Python
        gone = self._deleted.get(name, [])
        first = [*gone, here][0]
        history: list[_File | Path | None] = [None] if first is not None and not first.named else []
        for file in gone:
            history += [file, None]
        return history if here is None else [*history, here]

    def _content(self) -> Image:
        """All files as programs read them."""
        image: Image = {}
        for name, path in self._listing():
            file = self._tracked(path)
            octets = path.read_bytes() if file is None or not file.users else file.users[0].read()
            image[name] = (path.stat().st_mode, octets)
        return image

    def _listing(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.folder.rglob("*")):
            if not path.name.endswith(SHARED) and stat.S_ISREG(path.lstat().st_mode):
                yield self._name(str(path)), path

    def _tracked(self, path: Path) -> _File | None:
        status = path.stat()
        return self._files.get((status.st_dev, status.st_ino))

    def _die(self) -> None:
        self.dead = True
        for file in list(self._files.values()):
            self._forget(file)
        self._deleted.clear()


def _apply(content: bytearray, operation: Operation) -> None:
    at, octets = operation
    end = at + len(octets or b"")
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if octets is None:
        del content[at:]
    else:
        content[at:end] = octets


def _sectors(at: int, octets: bytes) -> Iterator[tuple[int, bytes]]:
    """A write in the pieces that a disk writes whole."""
    start = 0
    while start < len(octets):
        end = (at + start) // SECTOR * SECTOR + SECTOR - at
        yield at + start, octets[start:end]
        start = end


def _write_out(image: Image, to: Path) -> None:
    to.mkdir(parents=True)
    for name, (mode, octets) in image.items():
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        path.chmod(stat.S_IMODE(mode))
