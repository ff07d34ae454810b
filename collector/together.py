"""Batches that came one behind the other, stored together: a few statements for all of them instead of many for each.

Only what holds no surprise: each batch continues its epoch, decodes, was sealed under an approved configuration, and
none of its readings is there. Everything else (`None`, or a row that does not fit) is stored one by one by
`collector.ingest`, with the same result; that is slower, and rare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from collector.faults import MISHAPS
from collector.store.interface import Store
from collector.store.readings import Arrival, Place, arrivals, read_of
from collector.verify import Authentic
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink.records import Record

LEAVES = 8_192  # decoded at a time: two of the largest batches, a group of 64 days of quarter hours


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded batch: its readings as rows, of whom they are, and its records with their leaves."""

    message: Authentic
    came: list[Arrival]
    read: list[tuple[bytes, str, int]]
    records: list[tuple[Record, bytes]]


def cut(run: Sequence[Authentic]) -> Iterator[list[Authentic]]:
    """The batches in parts of at most `LEAVES` leaves by their headers; one at least, an epoch's first one alone."""
    part: list[Authentic] = []
    leaves = 0
    for message in run:
        header = message.batch.header
        leaves += header.leaves
        if part and (leaves > LEAVES or 1 in (header.seq, part[0].batch.header.seq)):
            yield part
            part, leaves = [], header.leaves
        part.append(message)
    if part:
        yield part


def maybe_open(store: Store, run: Sequence[Authentic]) -> list[Opened] | None:
    """The batches decoded; None where one of them has to be looked at alone."""
    approved = {(each.batch.header.gateway, each.batch.header.config) for each in run}
    if not all(store.gateways.approved(*each) for each in sorted(approved)):
        return None
    if not all(store.evidence.continues([each.batch for each in mine]) for mine in _by_epoch(run)):
        return None
    try:
        return [_opened(message) for message in run]
    except (PlombaError, *MISHAPS):
        return None  # which one, and why, is told where it is looked at alone


def put(store: Store, opened: Sequence[Opened], now_ms: int) -> None:
    """Store evidence and readings, and what is derived of these; their records are the caller's.

    Raises:
        ROW_FAULTS: a row is there; the caller takes back the savepoint.
    """
    for mine in _by_epoch([each.message for each in opened]):
        store.evidence.put_decoded([(each.batch, each.received_ms) for each in mine])
    came = list(chain.from_iterable(each.came for each in opened))
    store.readings.pour(came)
    store.series.note(came)
    for gateway, its in _by_gateway(opened).items():
        store.gateways.heard(gateway, now_ms)
        read = chain.from_iterable(each.read for each in its)
        store.devices.read(gateway, read, sum(len(each.came) for each in its))


def _opened(message: Authentic) -> Opened:
    header = message.batch.header
    expanded = batches.expand(header, message.body)
    came = arrivals(Place(header.gateway, header.epoch, header.seq, message.batch.id, 0), expanded)
    records = list(zip(expanded.records, expanded.leaves[len(came) :], strict=True))
    return Opened(message, came, read_of(header.gateway, expanded), records)


def _by_epoch(run: Sequence[Authentic]) -> list[list[Authentic]]:
    """The batches of each epoch by number, the epoch that was last added to at the end."""
    found: dict[tuple[str, bytes], list[Authentic]] = {}
    for message in run:
        header = message.batch.header
        key = header.gateway, header.epoch
        found[key] = [*found.pop(key, ()), message]
    return [sorted(mine, key=lambda each: each.batch.header.seq) for mine in found.values()]


def _by_gateway(opened: Sequence[Opened]) -> dict[str, list[Opened]]:
    found: dict[str, list[Opened]] = {}
    for each in opened:
        found.setdefault(each.message.batch.header.gateway, []).append(each)
    return dict(sorted(found.items()))
