"""Batches in a file that a person carries to the collector, and the acknowledgement that comes back the same way.

For a link that stays dead. What is written is sealed to the collector as on the wire, and leaves the buffer by the same
rules as what went over a pipe. A daemon that runs is asked; where none does, the folder is locked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway import enrol, local, schema, status
from gateway.buffer import Buffer
from gateway.chain import Mark
from gateway.config import Configuration
from gateway.faults import AlreadyRunning, BufferDamaged, BufferMissing, NothingToCarry
from gateway.files import sync_folder
from gateway.lock import FolderLock
from gateway.marks import Change, Heard, accept, change
from gateway.schema import BUFFER_FILE
from gateway.status import Listed
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink import carried, envelope
from protocols.uplink.acknowledgement import KIND
from protocols.uplink.carried import NotCarried
from protocols.uplink.envelope import Content
from protocols.uplink.faults import SignerError
from protocols.uplink.keys import PublicKey
from protocols.uplink.pack import Fields, Wire


@dataclass(slots=True)
class Walked:
    """What a walk over the buffer found: batches and readings whose seal holds, and what does not, in words."""

    batches: int = 0
    readings: int = 0
    wrong: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """What a file for the collector holds, and what was left out because its seal does not hold."""

    batches: int
    readings: int
    octets: int
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a carried acknowledgement said: its order and time (UTC, ms), and how many batches changed."""

    generation: int
    number: int
    time_ms: int
    stored: int
    safe: int
    refused: int


def walk(folder: Path) -> Walked:
    """Check the seal of every batch that is held, and that each names the one before it.

    Raises:
        BufferMissing, BufferDamaged: there is none, or it does not read.
    """
    found, before = Walked(), dict[str, Listed]()
    keys = status.own_keys(folder)
    for each in status.list_batches(folder):
        last = before.get(each.epoch)
        before[each.epoch] = each
        try:
            prev = _checked(folder, each, keys, whole=True)[0]
        except _Gone:
            continue
        except PlombaError as error:
            found.wrong.append(f"{each.epoch} {each.seq}: {error}")
            continue
        found.batches += 1
        found.readings += each.readings
        if last is not None and last.seq + 1 != each.seq:
            found.holes.append(f"{each.epoch} {last.seq + 1} to {each.seq - 1}")
        elif last is not None and prev != last.id:
            found.wrong.append(f"{each.epoch} {each.seq}: it does not name the batch before it")
    return found


def write(configuration: Configuration, out: Path, everything: bool = False) -> Written:
    """Write what the collector has not stored (`everything`: all that is held), oldest first, sealed to the collector.

    The file is there whole or not at all.

    Raises:
        NothingToCarry: there is nothing to write.
        NotEnrolled: no collector is known to seal it to.
        PlombaError: the buffer is not there, does not read, or is not durable now.
        OSError: the file could not be written.
    """
    trust, folder = enrol.read_trust(configuration.keys_folder), configuration.state_folder
    _settle(configuration)
    keys, wrong = status.own_keys(folder), list[str]()
    chosen = [each for each in status.list_batches(folder) if everything or each.mark == Mark.NONE.name.lower()]
    if not chosen:
        raise NothingToCarry("a batch that is not stored at the collector", "none", str(folder / BUFFER_FILE))
    beside, count, readings = out.with_name(out.name + ".new"), 0, 0
    with beside.open("wb") as file:
        file.write(carried.head(configuration.gateway, batches.KIND))
        for each in chosen:
            try:
                content = _checked(folder, each, keys)[1]
            except _Gone:
                continue
            except PlombaError as error:
                wrong.append(f"{each.epoch} {each.seq}: {error}")
                continue
            file.write(carried.frame(envelope.close(content, batches.KIND, configuration.gateway, trust.boxes[-1])))
            count, readings = count + 1, readings + each.readings
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    beside.replace(out)
    sync_folder(out.absolute().parent)
    return Written(count, readings, size, tuple(wrong))


def hear(configuration: Configuration, path: Path) -> Taken:
    """Take over the newest acknowledgement in a file that came back from the collector.

    Raises:
        NotCarried: it is no such file, or another gateway's.
        PlombaError: nothing in it counts, and why.
    """
    with path.open("rb") as file:
        found = carried.read(file, str(path))
        if (found.gateway, found.kind) != (configuration.gateway, KIND):
            expected = f"acknowledgements for {configuration.gateway}"
            raise NotCarried(expected, f"{found.kind} of {found.gateway}", str(path))
        packets = list(found.packets)
    if not packets:
        raise NotCarried("an acknowledgement", "none", str(path))
    with _alone(configuration.state_folder) as alone:
        if alone:
            return _take(configuration, packets[-1])
    answer = Fields(local.ask(configuration.state_folder, "hear", packets[-1]), "answer", 6)
    return Taken(*(answer.integer(name) for name in ("generation", "number", "time", "stored", "safe", "refused")))


def summary(heard: Heard, found: Change) -> list[Wire]:
    """What an acknowledgement changed, as `Taken` says it."""
    marks, ack = list(found.marks.values()), heard.ack
    return [*ack.order, ack.time_ms, marks.count(Mark.STORED), marks.count(Mark.SAFE), len(ack.refused)]


def _take(configuration: Configuration, packet: bytes) -> Taken:
    """Without a daemon: the marks are in the buffer for the next start."""
    keys, trust = enrol.read_keys(configuration.keys_folder), enrol.read_trust(configuration.keys_folder)
    with _opened(configuration) as buffer:
        known = buffer.known()
        heard = accept(packet, configuration.gateway, keys.box, trust, known.order)
        found = change(heard.ack, buffer.chain(), b"", known.order, None, ())
        meta: dict[str, Wire] = {
            "order": list(heard.ack.order),
            "last_ack": [heard.signed.header, heard.signed.signature],
            "last_ack_ms": [time.time_ns() // 1_000_000],
            "window": [heard.ack.window],
        }
        buffer.mark(found.marks, found.refused, meta)
    fields = Fields(summary(heard, found), "acknowledgement", 6)
    return Taken(*(fields.integer(name) for name in ("generation", "number", "time", "stored", "safe", "refused")))


def _settle(configuration: Configuration) -> None:
    """What is visible in the buffer's file is on the disk: else a power cut could take what was carried away."""
    if not (configuration.state_folder / BUFFER_FILE).exists():
        raise BufferMissing("a buffer", "none", str(configuration.state_folder / BUFFER_FILE))
    with _alone(configuration.state_folder) as alone:
        if alone:
            with _opened(configuration) as buffer:
                buffer.settle_log()
            return
    local.ask(configuration.state_folder, "settle")


@contextmanager
def _opened(configuration: Configuration) -> Iterator[Buffer]:
    """The buffer, for writing; the folder is ours.

    Raises:
        BufferMissing, BufferDamaged: there is none, or it does not read: the next start of the daemon salvages it.
    """
    folder, size = configuration.state_folder, configuration.buffer
    if not (folder / BUFFER_FILE).exists():
        raise BufferMissing("a buffer", "none", str(folder / BUFFER_FILE))
    try:
        with closing(Buffer(folder, size.max_bytes, size.reserve_bytes)) as buffer:
            yield buffer
    except schema.FAULTS as error:
        raise BufferDamaged("a sound buffer", str(error), str(folder / BUFFER_FILE)) from None


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no daemon runs in `folder`; none can start while inside."""
    try:
        lock = FolderLock(folder)
    except AlreadyRunning:
        yield False
        return
    try:
        yield True
    finally:
        lock.close()


class _Gone(Exception):  # noqa: N818 - named after what happened
    """A batch was removed by its rules since it was listed: it is safe at the collector."""


def _checked(
    folder: Path, listed: Listed, keys: dict[bytes, PublicKey], whole: bool = False
) -> tuple[str | None, Content]:
    """The id of the batch before, and the content, whose seal holds (`whole`: its leaves were looked at, too)."""
    content = status.content(folder, bytes.fromhex(listed.id))
    if content is None:
        raise _Gone
    batch = batches.parse(content)
    if batch.id.hex() != listed.id or batch.header.key not in keys:
        raise SignerError("the batch that was sealed here", batch.id.hex(), "buffer")
    body = batches.verify(batch, keys[batch.header.key])
    if whole:
        batches.expand(batch.header, body)
    return None if batch.header.prev is None else batch.header.prev.hex(), content
