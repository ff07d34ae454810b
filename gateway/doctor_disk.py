"""The state folder, the disk below it and the buffer in it."""

from __future__ import annotations

import datetime
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.faults import BufferFull
from gateway.fill import Fill, Level, read_fill
from gateway.findings import Finding, Mark, failed
from gateway.named import Named
from gateway.rights import User, owner_shown
from gateway.status import Status, read_status
from protocols.errors import PlombaError

MOUNTS = Path("/proc/self/mountinfo")
INODES = 1_000  # fewer free ones are worth a look: the daemon itself needs about ten
HIGH_PERCENT = 80  # of the buffer's size, as the daemon's own alarm
LATE_MS = 24 * 3_600_000  # a batch that waits longer than a day is worth a look
MEMORY = ("tmpfs", "ramfs")
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs")
WITHOUT_MODES = ("vfat", "exfat", "msdos")


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system hangs, its kind, and whether it is read-only."""

    point: str
    kind: str
    read_only: bool


def disk(named: Named, user: User, now: datetime.datetime) -> Iterator[Finding]:
    """State folder, file system, room, inodes and buffer."""
    folder = named.state_folder
    if folder is None:
        yield Finding(Mark.SKIP, "state folder", "the configuration names none that can be read", do="correct the file")
        return
    yield _folder(folder, user)
    there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
    yield _kind(there, mount_of(there, MOUNTS.read_text(errors="replace")))
    yield _room(there, folder, named)
    yield _inodes(there)
    yield from _buffer(named, folder, now)


def _folder(folder: Path, user: User) -> Finding:
    what = "state folder"
    try:
        found = folder.stat()
    except FileNotFoundError:
        return Finding(Mark.OK, what, f"{folder}: not there yet, the first start makes it")
    except OSError as error:
        return Finding(Mark.SKIP, what, f"{folder}: {error.strerror}", do="run doctor as root, or as the daemon's user")
    text = f"{folder} ({owner_shown(found)})"
    if not stat.S_ISDIR(found.st_mode):
        return Finding(Mark.FAIL, what, f"{folder} is no folder", do="name another one in state_folder")
    if not user.may(folder, 7):
        do = f"chown -R {user.name} {folder}"
        return Finding(Mark.FAIL, what, f"{text}: {user.name}, whom the daemon runs as, may not write there", do=do)
    if stat.S_IMODE(found.st_mode) & 0o002:
        return Finding(Mark.FAIL, what, f"{text}: everybody may write there", do=f"chmod 750 {folder}")
    return _synced(folder, text, user)


def _synced(folder: Path, text: str, user: User) -> Finding:
    if os.getuid() not in (0, user.uid):
        text = f"{text}: {user.name} may write there (not tried: this is another user)"
        return Finding(Mark.OK, "state folder", text)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"plomba")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        do = "free space, or see dmesg: a disk that is going turns read-only"
        return Finding(Mark.FAIL, "state folder", f"{text}: a file could not be written: {error.strerror}", do=do)
    return Finding(Mark.OK, "state folder", f"{text}: a file was written and synced")


def mount_of(folder: Path, mounts: str) -> Mount:
    """The file system that a folder is on, by the text of proc_pid_mountinfo(5); the latest of a point counts."""
    real, best = str(folder.resolve()), Mount("", "unknown", read_only=False)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(kind) < 3:
            continue
        point = fields[4].replace("\\040", " ")
        below = real == point or real.startswith(point.rstrip("/") + "/")
        if below and len(point) >= len(best.point):
            best = Mount(point, kind[0], "ro" in (*fields[5].split(","), *kind[2].split(",")))
    return best


def _kind(folder: Path, found: Mount) -> Finding:
    what, text = "file system", f"{folder} is on {found.kind} ({found.point})"
    if found.read_only:
        do = (
            f"see dmesg, then: mount -o remount,rw {found.point}; where it turned read-only by itself: replace the disk"
        )
        return Finding(Mark.FAIL, what, f"{text}, which is mounted read-only", "PLB-S204", do)
    if found.kind in MEMORY:
        do = "put state_folder on a disk"
        return Finding(Mark.FAIL, what, f"{text}: memory, all is gone after a power cut", "PLB-S201", do)
    if found.kind in REMOTE:
        do = "put state_folder on a disk of this machine"
        return Finding(Mark.FAIL, what, f"{text}: over the network no write is sure", "PLB-S201", do)
    if found.kind in WITHOUT_MODES:
        return Finding(Mark.FAIL, what, f"{text}: it knows no owners and no journal", "PLB-S201", "use ext4 or xfs")
    return Finding(Mark.OK, what, text)


def _room(there: Path, folder: Path, named: Named) -> Finding:
    found, size = os.statvfs(there), named.buffer
    free = found.f_bavail * found.f_frsize
    missing = [size.max_bytes - _taken(folder / "buffer.sqlite3"), size.reserve_bytes - _taken(folder / "reserve")]
    wanted = sum(max(0, each) for each in missing)
    text = f"{_mib(free)} free, the buffer may take {_mib(wanted)} more (max_bytes {_mib(size.max_bytes)})"
    if free < 4 * size.reserve_bytes:
        return Finding(Mark.FAIL, "room", text, "PLB-S204", "free space: the disk is full")
    if free < wanted:
        return Finding(
            Mark.HINT, "room", text, do="free space, or lower buffer.max_bytes: the disk is full before the buffer"
        )
    return Finding(Mark.OK, "room", text)


def _taken(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mib(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 1024} KiB"


def _inodes(there: Path) -> Finding:
    found = os.statvfs(there)
    if not found.f_files:
        return Finding(Mark.OK, "inodes", "this file system does not count them")
    text = f"{found.f_favail} of {found.f_files} free"
    if found.f_favail < INODES:
        mark = Mark.FAIL if found.f_favail == 0 else Mark.HINT
        return Finding(mark, "inodes", text, do="remove small files: no new file can be made without an inode")
    return Finding(Mark.OK, "inodes", text)


def _buffer(named: Named, folder: Path, now: datetime.datetime) -> Iterator[Finding]:
    if not (folder / "buffer.sqlite3").exists():
        yield Finding(Mark.SKIP, "buffer", f"none in {folder}: no daemon ever ran here")
        return
    try:
        found = read_status(folder, named.buffer.max_bytes)
    except PlombaError as error:
        yield failed("buffer", error)
        return
    yield from _refusing(read_fill(folder, named.buffer.max_bytes))
    yield _fill(found)
    yield _waiting(found, now)
    yield from _doubts(found)


def _refusing(found: Fill) -> Iterator[Finding]:
    """Readings that find no room are lost for good: nothing is worse here."""
    if found.level is Level.FULL:
        text = f"full of what is not stored: new readings are refused, {found.readings_refused} so far"
        yield Finding(Mark.FAIL, "buffer full", text, BufferFull.code, BufferFull.do)
    elif found.readings_refused:
        text = f"{found.readings_refused} readings were refused for want of room since the buffer began"
        yield Finding(Mark.HINT, "buffer full", text, BufferFull.code, "raise buffer.max_bytes if outages are so long")


def _fill(found: Status) -> Finding:
    percent = 100 * found.bytes // found.max_bytes
    text = f"{found.batches} batches with {found.readings} readings, {percent} % of {_mib(found.max_bytes)}"
    # What is stored gives way by itself; only what is not stored fills the buffer for good.
    if percent >= HIGH_PERCENT and found.not_stored * 2 > found.batches:
        do = "restore the link, or carry batches to the collector by hand ('buffer export')"
        return Finding(Mark.HINT, "buffer", text, "PLB-S203", do)
    return Finding(Mark.OK, "buffer", text)


def _waiting(found: Status, now: datetime.datetime) -> Finding:
    text = f"{found.not_stored} batches ({found.readings_not_stored} readings) are not stored at the collector"
    if found.oldest_ms is None:
        return Finding(Mark.OK, "waiting", text)
    oldest = datetime.datetime.fromtimestamp(found.oldest_ms / 1000, datetime.UTC)
    text = f"{text}, the oldest of {oldest:%Y-%m-%d %H:%M} UTC"
    if now.timestamp() * 1000 - found.oldest_ms > LATE_MS:
        return Finding(
            Mark.HINT, "waiting", text, do="see the lines about broker and certificate; nothing is lost meanwhile"
        )
    return Finding(Mark.OK, "waiting", text)


def _doubts(found: Status) -> Iterator[Finding]:
    if found.refused:
        first = found.refused[0]
        text = f"the collector refuses {len(found.refused)} batches, the first by {first.code}"
        yield Finding(Mark.HINT, "refused", text, first.code, f"plomba-gateway explain {first.code}")
    if found.set_aside:
        text = f"{found.set_aside} batches do not hold any more and were set aside"
        yield Finding(Mark.HINT, "set aside", text, do="check the disk; the collector knows of the gap")
    if found.quarantined:
        text = f"{found.quarantined} readings were taken without a key"
        yield Finding(
            Mark.HINT, "quarantine", text, do="see the lines about keys: they are sealed, and held, once there is one"
        )
