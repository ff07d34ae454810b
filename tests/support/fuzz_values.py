"""Fuzz targets of proofs of values: the file as a third party gets it, and what a collector's signature may hold."""

from __future__ import annotations

import tempfile
import zlib
from contextlib import closing
from pathlib import Path

import mutators
import samples as s
from chain import COLLECTOR, NOW_MS, Bench
from fuzzing import Target, Work
from proving_parts import CHANNEL, POINT, QUARTER_MS, SPAN, enter, rounds

from collector import prove
from collector.attribute.work import Attribution
from collector.proving import check, claim
from collector.proving.make import Wanted, values_proof
from collector.store.sqlite import SqliteStore
from protocols.uplink import keyring
from protocols.uplink.pack import unpack

_LEAVES = 3  # intervals that are proven


def _made() -> tuple[bytes, str]:
    """A small proof, and the keys for it."""
    with (
        tempfile.TemporaryDirectory(prefix="plomba-fuzz-values-") as folder,
        closing(SqliteStore.open(Path(folder) / "collector.sqlite3")) as store,
    ):
        bench = Bench(store)
        enter(store)
        rounds(bench)
        Attribution(store).all(bench.now_ms)
        wanted = Wanted(POINT, CHANNEL, SPAN[0], SPAN[0] + _LEAVES * QUARTER_MS)
        octets, _ = values_proof(store, wanted, COLLECTOR, s.SEALING, bench.now_ms)
        return octets, prove.keys_file(store, COLLECTOR, s.SEALING.public)


FILE, KEYS = _made()
RING = keyring.from_text(KEYS, "keys")


def _content() -> bytes:
    parts = unpack(FILE, claim.FILE, "proof")
    assert isinstance(parts, list)
    packed = parts[2]
    assert isinstance(packed, bytes)
    return zlib.decompress(packed)


def signed(octets: bytes) -> None:
    """A claim as if a collector had signed it."""
    check.proven(claim.parse(octets, COLLECTOR, NOW_MS), RING)


_RECKONED = Work(400_000, 400)  # every value anew, through zones, exact fractions and signatures
TARGETS = (
    Target("values-proof", (FILE,), lambda octets: check.check(octets, RING), mutators.trees, work=_RECKONED),
    Target(
        "values-claim",
        (_content(),),
        signed,
        mutators.trees,
        work=_RECKONED,
        memory=16 * 2**20,
        inputs=2_000,
        soak_inputs=20_000,
        why="every input is reckoned as a whole series is: some milliseconds",
    ),
)
