"""What every endpoint works with: a short-lived read-only view of the store, and one page that all viewers share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from collector.expose import views
from collector.expose.health import Health
from collector.expose.overview import overview
from collector.expose.queries import Look
from collector.faults import StoreFullError
from collector.place import Place
from collector.store.opening import open_to_read

SHARED_S = 1.0  # however many look at the page, the seals are verified once a second at the most


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose store, where it is, what the daemon says of itself, and the clock (UTC ms)."""

    collector: str
    store: Place
    health: Health
    now_ms: Callable[[], int]


class Site:
    """Looks at the store when asked; used from several threads."""

    def __init__(self, origin: Origin, shared_s: float = SHARED_S) -> None:
        self.origin = origin
        self._shared_s = shared_s
        self._lock = threading.Lock()
        self._kept: tuple[float, str, views.Overview] | None = None

    @contextmanager
    def look(self) -> Iterator[Look]:
        """A view of the store as it is now; closed at the end.

        Raises:
            StoreFullError, StoreVersionError: it cannot be read.
        """
        store = open_to_read(self.origin.store)
        try:
            yield Look(store, self.origin.now_ms())
        except sqlite3.DatabaseError as error:
            raise StoreFullError("a store that can be read", str(error), str(self.origin.store)) from error
        finally:
            store.close()

    def overview(self, after: str = "") -> views.Overview:
        """The page as values, at most `shared_s` old; who comes meanwhile waits for the one that is being made."""
        with self._lock:
            kept = self._kept
            if kept is None or kept[1] != after or time.monotonic() - kept[0] >= self._shared_s:
                with self.look() as look:
                    made = overview(look, self.origin.collector, self.origin.health, after)
                kept = self._kept = (time.monotonic(), after, made)
            return kept[2]
