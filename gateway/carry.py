"""Batches in a file that a person carries to the collector, and the acknowledgement that comes back the same way.

For a link that stays dead. What is written is sealed to the collector as on the wire, and leaves the buffer by the same
rules as what went over a pipe. A daemon that runs is asked; where none does, the folder is locked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
from gateway.walk import Gone, checked
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink import carried, envelope
from protocols.uplink.acknowledgement import KIND
from protocols.uplink.carried import NotCarried
from protocols.uplink.pack import Fields, Wire


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
                content = checked(folder, each, keys)[0].content
            except Gone:
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
