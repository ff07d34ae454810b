"""What the daemons say in their logs: faults of their own, and when a buffer was full, by its gateway's own word."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, MutableMapping
from contextlib import closing
from typing import Any, NoReturn

import structlog
from nodes import GatewayNode
from virtual import LIFE, Life
from world import World

from gateway import events
from gateway.schema import BUFFER_FILE

OWN_FAULTS = ("part-failed", "parts-left")  # what a daemon logs of a fault of its own
REMOVABLE = 16_384  # bytes of stored batches that a full buffer may hold: room for less than one more batch


class Ear:
    """Hears every line; the word of `nodes` that their buffers are full is compared with these buffers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: list[GatewayNode] = []
        self._full: dict[str, list[tuple[str, int, int | None]]] = defaultdict(list)  # life, from and to (ms)

    def hear(self, _: object, __: str, event: MutableMapping[str, Any]) -> NoReturn:
        """A line of a log, which goes nowhere else."""
        said, life = event.get("event"), LIFE.get()
        if said in OWN_FAULTS:
            what = f"{said}: {event.get('part')} {event.get('error') or event.get('parts')}"
            self.world.unexpected.append(what)
        if life is not None and said in (events.BUFFER_FULL, events.BUFFER_ROOM):
            self._level(life, str(said))
        raise structlog.DropEvent

    def full(self, node: GatewayNode) -> Iterator[tuple[int, int]]:
        """From and to (ms) of each time in which this gateway's buffer was full."""
        for life, began_ms, ended_ms in self._full[node.name]:
            ends = node.spans[int(life.rpartition(" ")[2])].to_ms
            yield began_ms, self.world.now_ms() if ended_ms is None and ends is None else ended_ms or ends or 0

    def _level(self, life: Life, said: str) -> None:
        name = life.name.rpartition(" ")[0]
        told = self._full[name]
        if said == events.BUFFER_FULL:
            told.append((life.name, self.world.now_ms(), None))
            self._compare(name)
        elif told and told[-1][0] == life.name:
            told[-1] = (life.name, told[-1][1], self.world.now_ms())

    def _compare(self, name: str) -> None:
        """A buffer is full of what is not stored: anything else gives way first."""
        for node in self.nodes:
            if node.name == name:
                with closing(sqlite3.connect(node.disk.folder / BUFFER_FILE)) as database:
                    stored = database.execute("SELECT coalesce(sum(size), 0) FROM batch WHERE mark > 0").fetchone()[0]
                if stored > REMOVABLE:
                    self.world.unexpected.append(f"{name} says it is full and holds {stored} bytes that are stored")
