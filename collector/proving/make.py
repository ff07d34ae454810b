"""From the store to a proof of values: the readings that the values come from, and nothing of other meters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from collector import prove
from collector.attribute.source import Source
from collector.attribute.words import Seen
from collector.faults import EvidenceAlteredError, NoSeriesError, NotProvableError
from collector.master.channels import Channel, Computed
from collector.master.dated import Span
from collector.master.meters import Installation, Register
from collector.master.points import Point
from collector.master.units import grid
from collector.proving.check import Proven, check
from collector.proving.claim import BATCHES, DOUBTS, Claim, ShownBatch, ShownLeaf, Stated, Words
from collector.proving.reckon import Asked, asked, reckon
from collector.quality import each_of, runs_of
from collector.query.book import MasterBook, named
from collector.query.source import zone_at
from collector.shown import utc
from collector.store.interface import Store
from collector.store.readings import Place, ReadingRow
from protocols.uplink import batch as batches
from protocols.uplink import keyring, merkle
from protocols.uplink.faults import LimitError
from protocols.uplink.keys import SigningKey
from protocols.uplink.leaf import SealedReading, leaf_from_bytes

LONGEST_MS = 10 * 366 * 86_400_000
MOST_PAGES = 2_000  # five and a half years of days


@dataclass(frozen=True, slots=True)
class Wanted:
    """A channel of a point from an instant to before another (ms UTC)."""

    point: str
    channel: str
    from_ms: int
    to_ms: int


class _Noting(Source):
    """A source that remembers which readings and installations were asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.rows: dict[Place, tuple[ReadingRow, int]] = {}
        self.here: dict[Installation, None] = {}

    def installed(self, point: str, span: Span) -> list[Installation]:
        found = super().installed(point, span)
        self.here.update(dict.fromkeys(found))
        return found

    def of_row(self, meter: str, key: bytes, moment: str, variant: int, row: ReadingRow) -> Seen | None:
        found = super().of_row(meter, key, moment, variant, row)
        if found is not None:
            self.rows[row.place] = (row, variant)
        return found


def values_proof(store: Store, wanted: Wanted, collector: str, seal: SigningKey, now_ms: int) -> tuple[bytes, Proven]:
    """The proof as a file, and what it proves: it was checked as a third party checks it.

    Raises:
        NoSeriesError: there is no such point or channel, or not in that time.
        NotProvableError: a computed channel, too long a time, or values that do not follow from the readings (yet).
        EvidenceAlteredError: the evidence of a reading, or the reading, is not what was received.
    """
    if not 0 < wanted.to_ms - wanted.from_ms <= LONGEST_MS:
        got = f"{utc(wanted.from_ms)} to {utc(wanted.to_ms)}"
        raise NotProvableError("an end after the start, and before now", got, wanted.point)
    rows = _channels(store, wanted)
    points = store.master.points.all(point=wanted.point)
    if zone_at(MasterBook(store.master), wanted.point, Span(wanted.from_ms, wanted.to_ms), None) != points[-1].zone:
        raise NotProvableError("a time in which the point has the zone of now", "another", wanted.point)
    source = _Noting(store)
    pages = [_stated(store, source, points[-1], each) for each in _pages(points[-1], rows, wanted)]
    about = (collector, now_ms, wanted.point, wanted.channel, wanted.from_ms, wanted.to_ms)
    claim = Claim(*about, _words(store, source, points, rows), tuple(pages), tuple(_batches(store, source)))
    try:
        octets = claim.to_bytes(seal)
    except LimitError as error:
        raise NotProvableError("a shorter time", str(error), wanted.point) from error
    proven = check(octets, keyring.from_text(prove.keys_file(store, collector, seal.public), "the store"))
    if proven.wrong:
        first = proven.wrong[0]
        raise NotProvableError(
            "a series that its readings come to",
            f"{len(proven.wrong)} values that differ: {first.wrong}",
            f"{wanted.point}, {wanted.channel}, {utc(first.start_ms)}",
        )
    return octets, proven


def _channels(store: Store, wanted: Wanted) -> list[Channel]:
    where = f"{wanted.point}, channel {wanted.channel}"
    rows = named(MasterBook(store.master), wanted.point, wanted.channel, None)
    if any(isinstance(each, Computed) for each in rows):
        raise NotProvableError("a channel that is read: prove each channel of its sum", "a computed one", where)
    span = Span(wanted.from_ms, wanted.to_ms)
    found = [each for each in rows if isinstance(each, Channel) and each.span.common(span)]
    if not found:
        raise NoSeriesError("a time in which the channel is there", "none of it", where)
    return found


def _pages(point: Point, rows: Sequence[Channel], wanted: Wanted) -> list[Asked]:
    found = list(asked(point, rows, wanted.from_ms, wanted.to_ms))
    if not found or len(found) > MOST_PAGES:
        got = f"{len(found)} pages"
        raise NotProvableError(f"a time with whole intervals, and at most {MOST_PAGES} pages", got, wanted.point)
    return found


def _stated(store: Store, source: Source, point: Point, page: Asked) -> Stated:
    """What the store says of a page; where it has none, that all is missing."""
    found, channel = reckon(source, point, page), page.channel
    kept = store.curves.pages(channel.point, channel.name, channel.cadence, page.day, page.day)
    where = f"{channel.point}, {channel.name}, {utc(page.bounds[page.first])}"
    if not kept:
        if any(each.ticks is not None for each in found):
            raise NotProvableError("a page that was attributed", "none yet", where)
        return Stated(page.day, tuple(None for _ in found), runs_of(each.quality for each in found))
    curve = kept[0].curve()
    if (curve.start_ms, len(curve.values), curve.exponent) != (
        page.bounds[0],
        len(page.bounds) - 1,
        grid(channel.quantity),
    ):
        raise NotProvableError("a page by the point's zone and the channel's quantity", "another", where)
    values = curve.values[page.first : page.end]
    runs = runs_of(list(each_of(curve.runs))[page.first : page.end])
    return Stated(page.day, values, runs, _moments(curve.values, curve.moments, page))


def _moments(values: Sequence[int | None], moments: Sequence[int] | None, page: Asked) -> tuple[int, ...] | None:
    if moments is None:
        return None
    left = iter(moments)
    placed = [None if each is None else next(left) for each in values][page.first : page.end]
    return tuple(each for each in placed if each is not None)


def _words(store: Store, source: _Noting, points: Sequence[Point], rows: Sequence[Channel]) -> Words:
    """The point and its channel, meters, registers, installations and device map, as far as the values need them."""
    here = sorted(source.here, key=lambda each: (each.span.from_ms, each.meter))
    serials = dict.fromkeys(each.meter for each in here)
    names = dict.fromkeys(each.register for each in rows)
    meters = [word for each in serials for word in store.master.meters.all(meter=each)]
    registers: list[Register] = [
        word for each in serials for name in names for word in store.master.registers.all(meter=each, name=name)
    ]
    devices = dict.fromkeys((row.place.gateway, _reading(row).device) for row, _ in source.rows.values())
    mapped = [
        each if each.meter in serials else replace(each, meter="", register=None)
        for gateway, device in devices
        for each in store.master.mapped.all(gateway=gateway, device=device)
    ]
    return Words(tuple(points), tuple(rows), tuple(meters), tuple(registers), tuple(here), tuple(mapped))


def _batches(store: Store, source: _Noting) -> Iterator[ShownBatch]:
    """The batches of the noted readings, in the order in which they were sealed."""
    by: dict[tuple[str, bytes], list[tuple[ReadingRow, int]]] = {}
    for row, variant in source.rows.values():
        by.setdefault((row.place.gateway, row.place.batch), []).append((row, variant))
    if len(by) > BATCHES:
        raise NotProvableError(f"a time with at most {BATCHES} batches: a shorter one", f"{len(by)}", "the store")
    for (_, batch), rows in sorted(by.items()):
        evidence = prove.find(store, batch)
        found, body, _ = prove.checked(store, evidence)
        expanded = batches.expand(found.header, body)
        leaves = []
        for row, variant in sorted(rows, key=lambda each: each[0].place.leaf):
            index = row.place.leaf
            if index >= len(expanded.leaves) or expanded.leaves[index] != row.sealed:
                raise EvidenceAlteredError("the leaf that was sealed", "another", f"leaf {index} of {batch.hex()}")
            leaves.append(ShownLeaf(index, expanded.salts[index], row.sealed, _doubt(row), variant))
        steps = merkle.branches(expanded.hashes(), [each.index for each in leaves])
        content = found.content
        yield ShownBatch(content.header, content.signature, evidence.received_ms, tuple(steps), tuple(leaves))


def _doubt(row: ReadingRow) -> str:
    _, conflict, held = DOUBTS
    return conflict if row.conflict else held if set(row.held) - {"partial"} else ""


def _reading(row: ReadingRow) -> SealedReading:
    return SealedReading.from_wire(leaf_from_bytes(row.sealed))
