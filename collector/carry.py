"""Batches that a person carried here in a file, and the acknowledgement to carry back: by the rules of a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from collector import files
from collector.config import Config
from collector.faults import FileThereError, NotFoundError
from collector.keys import WorkerKeys
from collector.receive import GROUP
from collector.store.interface import Store
from collector.verify import Message
from collector.worker import Worker, read_trust
from protocols.errors import PlombaError
from protocols.uplink import acknowledgement, batch, carried, topics
from protocols.uplink.carried import NotCarried

END = ".ack"  # of an acknowledgement's file name


@dataclass(slots=True)
class Imported:
    """What one file brought; `problems` says what did not go in, in words."""

    file: str
    gateway: str
    packets: int = 0
    stored: int = 0
    known: int = 0
    undecoded: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    acknowledgement: str | None = None
    problems: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """For people."""
        parts = [f"{self.file}: {self.packets} batches of {self.gateway}", f"{self.stored} stored"]
        parts += [f"{self.known} were here already"] * bool(self.known)
        parts += [f"{self.undecoded} kept, not decoded"] * bool(self.undecoded)
        parts += [f"{count} refused: {code}" for code, count in sorted(self.refused.items())]
        back = f"carry {self.acknowledgement} back to the gateway: plomba-gateway buffer acknowledge"
        return ", ".join(parts) + (f"; {back}" if self.acknowledgement else "")

    def shown(self) -> dict[str, object]:
        """For programs."""
        return {
            "file": self.file,
            "gateway": self.gateway,
            "packets": self.packets,
            "stored": self.stored,
            "known": self.known,
            "undecoded": self.undecoded,
            "refused": dict(self.refused),
            "acknowledgement": self.acknowledgement,
            "problems": self.problems,
        }


def take(config: Config, store: Store, path: Path, out: Path | None) -> Imported:
    """Store what a file of `buffer export` holds, in groups, and write the acknowledgement.

    Args:
        config: the collector's.
        store: open for writing; a daemon may use it as well.
        path: the file.
        out: the folder for the acknowledgement; None: beside the file.

    Raises:
        FileThereError: the file cannot be read, or the acknowledgement not be written.
        NotCarried: it holds no batches.
        NotFoundError: its gateway is not registered.
        StoreFullError, DurabilityError: the store takes nothing now, or does not promise enough.
    """
    own = WorkerKeys.read(config.keys_folder)
    worker = Worker(config, own, read_trust(config, own), store)
    store.durability()
    try:
        with path.open("rb") as file:
            found = carried.read(file, str(path))
            if found.kind != batch.KIND:
                raise NotCarried("a file of batches", f"one of {found.kind}", str(path))
            if found.gateway not in store.gateways.register():
                raise NotFoundError("a registered gateway", found.gateway, str(path))
            done = Imported(str(path), found.gateway)
            _take_all(worker, found, done)
    except OSError as error:
        raise FileThereError("a readable file", str(error.strerror), str(path)) from None
    for packet in worker.words(_now_ms(), time.monotonic_ns() // 1_000_000):
        beside = (out or path.parent) / f"{path.name}{END}"
        octets = carried.head(packet.gateway, acknowledgement.KIND) + carried.frame(packet.octets)
        files.write(beside, octets, replace=True)
        done.acknowledgement = str(beside)
    if done.acknowledgement is None:
        done.problems.append("no acknowledgement could be made now: give the file again")
    return done


def _take_all(worker: Worker, found: carried.Carried, done: Imported) -> None:
    topic = topics.parse(topics.up(found.gateway, found.kind))
    packets = _whole(found, done)
    while group := list(islice(packets, GROUP)):
        now_ms = _now_ms()
        outcome = worker.store_group([Message(topic, packet, now_ms) for packet in group], now_ms)
        done.packets += len(group)
        done.stored += outcome.stored
        done.known += outcome.replayed
        done.undecoded += outcome.undecoded
        for (_, code), count in outcome.refused.items():
            done.refused[code] += count
    done.problems += [f"{count} batches refused: {code}" for code, count in sorted(done.refused.items())]


def _whole(found: carried.Carried, done: Imported) -> Iterator[bytes]:
    """Every whole packet; where the file is cut off, that is a problem and the end."""
    try:
        yield from found.packets
    except PlombaError as error:
        done.problems.append(str(error))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
