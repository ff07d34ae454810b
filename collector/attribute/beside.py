"""Work beside a daemon: a thread with a connection of its own, which leaves as much time as it takes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from collector.attribute.work import Attribution
from collector.faults import MISHAPS
from collector.place import Place
from collector.store.interface import Store
from collector.store.opening import open_store
from protocols.errors import PlombaError

log = structlog.get_logger()

LOOK_S = 1.0  # between looks when there is nothing to do
AGAIN_S = 10.0  # after a step that failed
END_S = 30.0  # that it is waited for at the end: longer than any step
SHARE = 1.0  # rest after a step, as a part of what it took: ingest shares the interpreter and the file


class Steps(Protocol):
    """What is done step by step."""

    def step(self, now_ms: int, /) -> object | None:
        """A little of it; None when there is nothing to do now."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is made over a store, its name and number, and what is said when it cannot go on and when it can again.

    Of several processes over one store one alone does the work of a number.
    """

    make: Callable[[Store], Steps]
    name: str
    number: int
    failed: str
    again: str


ATTRIBUTION = Work(
    Attribution,
    "attribution",
    0,
    "readings are not attributed; they are stored all the same",
    "readings are attributed again",
)


class Beside:
    """One thread over the store at `place`; says once when it cannot go on, and once when it can again."""

    def __init__(self, place: Place, now_ms: Callable[[], int], work: Work = ATTRIBUTION) -> None:
        self._place, self._now_ms, self._what = place, now_ms, work
        self._end = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self.run, name=work.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End after the step that it is at; what is not done is done at the next start."""
        self._end.set()

    def stop(self) -> None:
        """End, and wait for it."""
        self._end.set()
        self._thread.join(END_S)

    def run(self) -> None:
        """Work until it shall end."""
        while not self._end.is_set():
            try:
                store = open_store(self._place)
            except PlombaError as error:
                self._say(error)
                self._end.wait(AGAIN_S)
                continue
            try:
                self._work(store, self._what.make(store))
            except (PlombaError, sqlite3.DatabaseError, *MISHAPS) as error:
                self._say(error)
                self._end.wait(AGAIN_S)
            finally:
                store.close()

    def _work(self, store: Store, steps: Steps) -> None:
        while not self._end.is_set():
            if not store.leads(self._what.number):
                self._end.wait(LOOK_S)
                continue
            began = time.monotonic()
            done = steps.step(self._now_ms())
            if self._failed:
                log.info(self._what.again)
            self._failed = False
            self._end.wait(LOOK_S if done is None else SHARE * (time.monotonic() - began))

    def _say(self, error: Exception) -> None:
        if not self._failed:
            fault = str(error) if isinstance(error, PlombaError) else repr(error)
            log.error(self._what.failed, fault=fault)
        self._failed = True
