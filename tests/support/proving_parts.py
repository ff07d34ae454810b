"""One point whose meter is read every quarter of an hour beside two others, to prove its values."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from chain import NOW_MS, AnyStore, Bench, reading

from collector.master.channels import Aggregate, Cadence, Channel, Computed, Term
from collector.master.dated import Act, Span
from collector.master.meters import Installation, Kind, Meter, Register
from collector.master.points import Medium, Point, Scheme
from collector.proving.make import Wanted
from protocols.reading import Identity, NativeKey, Protocol, Reading, Scaled

QUARTER_MS = 900_000
POINT, CHANNEL = "P", "energy"
SLOTS = 24
SPAN = (NOW_MS // QUARTER_MS * QUARTER_MS + QUARTER_MS, NOW_MS // QUARTER_MS * QUARTER_MS + (SLOTS - 1) * QUARTER_MS)
WANTED = Wanted(POINT, CHANNEL, *SPAN)
FROM_NOW = SPAN[0] - QUARTER_MS - NOW_MS  # what `reading` counts its slots from is no whole quarter


def enter(store: AnyStore) -> None:
    """One point whose meter 1 is read every quarter of an hour, in rounds with two neighbours."""
    always = Span(0)
    meter = Meter("M1", "any", Identity(Protocol.MBUS, "KAM", "00000001", 1, 4))
    key = NativeKey.mbus(b"\x06", 0, 0, 0, 0)
    register = Register("M1", "total", key, Kind.TOTAL, "energy", "Wh", Fraction(1), None, Scaled(1, 3), always)
    point = Point(POINT, Scheme.FREE, Medium.ELECTRICITY, "Europe/Budapest", always)
    channel = Channel(POINT, CHANNEL, "energy", "total", Cadence.QUARTER, Aggregate.SUM, always)
    twice = Computed(POINT, "twice", "energy", Cadence.QUARTER, Aggregate.SUM, (Term(1, POINT, CHANNEL),) * 2, always)
    with store.transaction():
        here = Installation(POINT, "M1", always, "+01:00")
        store.master.enter(Act("operator", NOW_MS), point, meter, register, here, channel, twice)


def rounds(bench: Bench, without: tuple[int, ...] = ()) -> None:
    """Rounds of three meters, each a batch of its own; what each shows is a number of its own."""
    for slot in range(SLOTS):
        if slot not in without:
            three = [moved(reading(slot, meter, 1_000_000 * meter + slot)) for meter in (1, 2, 3)]
            bench.take(bench.chain.seal(three))
    bench.now_ms = SPAN[1] + 86_400_000


def moved(read: Reading) -> Reading:
    """The same on a whole quarter of an hour."""
    exchange = replace(read.exchange, at_ms=read.exchange.at_ms + FROM_NOW)
    return replace(read, slot_ms=(read.slot_ms or 0) + FROM_NOW, exchange=exchange)
