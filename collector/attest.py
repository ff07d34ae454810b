"""Whether a stored reading is still the leaf that was sealed: compared with its evidence, which is verified again.

The table of readings is derived from the evidence and could be altered beside it; what is shown or billed is therefore
looked up in the batch that the gateway signed. One batch is verified and expanded once for all its readings.
"""

from __future__ import annotations

from functools import lru_cache

from collector.prove import find, opened
from collector.store.interface import Store
from collector.store.readings import ReadingRow
from protocols.errors import PlombaError

BATCHES = 64  # expanded batches remembered: readings come nearly in the order of their batches


class Attestor:
    """Attests the readings of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._leaves = lru_cache(BATCHES)(self._sealed_leaves)

    def holds(self, row: ReadingRow) -> bool:
        """Whether evidence, seal and leaf of a reading hold, and the row is that leaf."""
        leaves = self._leaves(row.place.batch)
        return row.place.leaf < len(leaves) and leaves[row.place.leaf] == row.sealed

    def _sealed_leaves(self, batch: bytes) -> tuple[bytes | None, ...]:
        """The leaves that a gateway sealed (None: erased), none at all where evidence or seal do not hold."""
        try:
            return opened(self._store, find(self._store, batch))[1].leaves
        except PlombaError:
            return ()
