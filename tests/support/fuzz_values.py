"""Fuzz targets: a proof of values as a file, and what it claims with the collector's own signature over it."""

from __future__ import annotations

import hashlib
import zlib
from fractions import Fraction

import mutators
import samples as s
from fuzz_uplink import BODY, FIRST, RING
from fuzzing import MIB, Target, Work

from collector.master.channels import Aggregate, Cadence, Channel
from collector.master.dated import Span
from collector.master.meters import Installation, Kind, Mapped, Meter, Register, Stood
from collector.master.points import Medium, Point, Scheme
from collector.proving import claim as claims
from collector.proving.check import check
from collector.proving.claim import Claim, ShownBatch, ShownLeaf, Stated, Words
from collector.proving.told import sentences, shown
from collector.quality import Quality, Run, State
from protocols.reading import Scaled
from protocols.uplink import batch as batches
from protocols.uplink import limits, merkle
from protocols.uplink.pack import pack, unpack

START_MS = s.heat(0).slot_ms or 0
QUARTER_MS = 900_000
END_MS = START_MS + 2 * QUARTER_MS


def _claim() -> Claim:
    """Two quarters of the heat meter of the contract's samples: three readings of one batch."""
    expanded = batches.expand(FIRST.header, BODY)
    mine = [n for n, each in enumerate(expanded.readings) if each.meter == s.HEAT]
    leaves = tuple(ShownLeaf(n, expanded.salts[n], expanded.leaves[n]) for n in mine)
    steps = tuple(merkle.branches(expanded.hashes(), mine))
    batch = ShownBatch(FIRST.content.header, FIRST.content.signature, START_MS, steps, leaves)
    always, step = Span(0), Scaled(1, 3)
    stood = (Stood("total", Scaled(1)),)
    words = Words(
        (Point("P", Scheme.FREE, Medium.ELECTRICITY, "Europe/Budapest", always),),
        (Channel("P", "heat", "energy", "total", Cadence.QUARTER, Aggregate.SUM, always),),
        (Meter("M", "any", s.HEAT),),
        (Register("M", "total", s.key("06"), Kind.TOTAL, "energy", "Wh", Fraction(1), Scaled(10**9), step, always),),
        (Installation("P", "M", Span(START_MS - 86_400_000), "+01:00", initial=stood),),
        (Mapped(s.GATEWAY, "heat-1", None, "M", None, always),),
    )
    quality = (Run(2, Quality(State.RAW)),)
    page = Stated(START_MS // 86_400_000, (3_600_000, 3_600_000), quality)
    return Claim(s.COLLECTOR, START_MS, "P", "heat", START_MS, END_MS, words, (page,), (batch,))


FILE = _claim().to_bytes(s.SEAL)


def _content() -> bytes:
    wire = unpack(FILE, len(FILE), "file")
    assert isinstance(wire, list)
    assert isinstance(wire[2], bytes)
    return zlib.decompress(wire[2])


def told(octets: bytes) -> None:
    """A file, checked, and told in words and for programs."""
    proven = check(octets, RING)
    assert all(sentences(proven))
    assert shown(proven)


def signed(content: bytes) -> None:
    """What a collector claims, under its own signature."""
    packed = zlib.compress(content, 1)
    head = pack(
        [s.COLLECTOR, s.SEAL.public.id, START_MS, len(content), hashlib.sha256(packed).digest()],
    )
    told(pack([claims.VALUES, head, packed, s.SEAL.sign(claims.KIND, head)]))


def head(octets: bytes) -> None:
    """The signed head, whatever it names."""
    wire = unpack(FILE, len(FILE), "file")
    assert isinstance(wire, list)
    told(pack([claims.VALUES, octets, wire[2], s.SEAL.sign(claims.KIND, octets[: limits.SMALL_HEADER])]))


def _head() -> bytes:
    wire = unpack(FILE, len(FILE), "file")
    assert isinstance(wire, list)
    assert isinstance(wire[1], bytes)
    return wire[1]


RECKONED = Work(60_000, 60)  # a day's page is reckoned, whatever is asked of it
TARGETS = (
    Target("values-file", (FILE,), told, mutators.trees, work=RECKONED, memory=4 * MIB),
    Target("values-head", (_head(),), head, mutators.trees, work=RECKONED, memory=4 * MIB),
    Target("values-claim", (_content(),), signed, mutators.trees, work=RECKONED, memory=4 * MIB, cost=3),
)
