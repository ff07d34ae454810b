"""The body of a batch: `[secret, sources, exchanges, blocks, events, raws]`, columns that expand to leaves.

Theory: one batch holds few meters and many equal things, so each meter's identity and registers stand once (a source),
each telegram's times and hash once (an exchange), and the rows of one source as columns of differences (a block).
Expanding gives, in order, the leaves of all blocks row by row and then the events. The gateway composes blocks and
leaves of the same rows, each value checked as the collector checks it, so that what it seals is known to decode.

Limits: counts are checked before expanding; nothing is expanded beyond `LEAVES` rows and `REGISTERS` registers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from protocols.reading import Identity, Reading
from protocols.uplink import limits, merkle
from protocols.uplink.block import block_from_wire, block_to_wire, rows_of
from protocols.uplink.faults import BodyHashError, CountError, LimitError
from protocols.uplink.leaf import SECRET, SealedReading, leaf_hashes, salt
from protocols.uplink.pack import Fields, Wire, pack, packer, repack, unpack
from protocols.uplink.records import Record, record_from_wire
from protocols.uplink.rows import Parts, Rows, contents_of, leaves_of
from protocols.uplink.source import ExchangeRow, Source, exchanges_from_wire, exchanges_to_wire


@dataclass(frozen=True, slots=True)
class Telegram:
    """The raw bytes of one exchange, kept by policy, under the hash that the exchange names."""

    at_ms: int
    hash: bytes
    octets: bytes


@dataclass(frozen=True)
class Expanded:
    """A body's content: readings (by source) and records in leaf order, the leaves' bytes and salts, the telegrams.

    `contents` are by reading the SHA-256 over all of its leaf but the exchange that it came by.
    """

    blocks: tuple[Rows, ...]
    records: tuple[Record, ...]
    leaves: tuple[bytes, ...]
    contents: tuple[bytes, ...]
    salts: tuple[bytes, ...]
    telegrams: tuple[Telegram, ...]

    @cached_property
    def readings(self) -> tuple[SealedReading, ...]:
        """The readings; they are made when first asked for."""
        return tuple(reading for rows in self.blocks for reading in rows.readings())

    def hashes(self) -> list[bytes]:
        """The leaf hashes, in order."""
        return leaf_hashes(self.salts, self.leaves)

    def root(self) -> bytes:
        """The root of the tree over all leaves."""
        return merkle.root(self.hashes())


@dataclass(frozen=True, slots=True)
class _Opened:
    """A body, decoded and checked, its readings not made yet."""

    secret: bytes
    blocks: tuple[Rows, ...]
    records: tuple[Record, ...]
    parts: list[Parts]
    leaves: tuple[bytes, ...]
    telegrams: tuple[Telegram, ...]


@dataclass(frozen=True, slots=True)
class Composed:
    """A body's bytes, how many leaves they expand to, and the root of the tree over those."""

    octets: bytes
    leaves: int
    root: bytes


def compose(readings: Sequence[Reading], records: Sequence[Record], secret: bytes) -> Composed:
    """The body and its tree, made of the same rows; `secret` are 32 fresh random bytes.

    Every part is checked as `expand` checks it: what goes out is known to decode.

    Raises:
        LimitError: more leaves, registers or bytes than a batch holds: the caller splits.
        FieldError, FormError: a value that has no form on the wire.
    """
    if len(secret) != SECRET:
        raise ValueError(f"expected {SECRET} bytes of secret, got {len(secret)}")
    if not readings and not records:
        raise CountError("at least one leaf", "none", "batch")
    check_sizes([(len(readings), 0)], len(records))
    exchanges = {id(reading.exchange): reading.exchange for reading in readings}
    number = {key: index for index, key in enumerate(exchanges)}
    shown = [ExchangeRow.of(exchange) for exchange in exchanges.values()]
    blocks = []
    for mine in _by_source(readings):
        used = [number[id(reading.exchange)] for reading in mine]
        blocks.append((rows_of(mine, [shown[each] for each in used]), used))
    check_sizes([(len(used), len(rows.source.registers)) for rows, used in blocks], len(records))
    events = [_checked(record.to_wire()) for record in records]
    body = repack(
        [
            secret,
            [rows.source.to_wire() for rows, _ in blocks],
            exchanges_to_wire(shown),
            [block_to_wire(rows, index, used) for index, (rows, used) in enumerate(blocks)],
            events,
            [[number[key], exchange.telegram] for key, exchange in exchanges.items() if exchange.keep],
        ]
    )
    if len(body) > limits.BODY:
        raise LimitError(f"a body of at most {limits.BODY} bytes", f"{len(body)}", "batch")
    pack = packer()
    leaves = [leaf for rows, _ in blocks for leaf in rows.leaves(pack)] + [*map(pack, events)]
    return Composed(body, len(leaves), merkle.root(leaf_hashes(salt(secret, len(leaves)), leaves)))


def encode(readings: Sequence[Reading], records: Sequence[Record], secret: bytes) -> bytes:
    """The bytes alone of what `compose` gives."""
    return compose(readings, records, secret).octets


def expand(body: bytes) -> Expanded:
    """The content of body bytes (version 1).

    Raises:
        FormError, FieldError, LimitError, CountError: which rule is broken, and where.
    """
    opened = _open(body)
    salts = tuple(salt(opened.secret, len(opened.leaves)))
    contents = tuple(contents_of(opened.parts))
    return Expanded(opened.blocks, opened.records, opened.leaves, contents, salts, opened.telegrams)


def tree(body: bytes) -> tuple[int, bytes]:
    """How many leaves body bytes have, and their root: what `compose` says of them, read back.

    Raises:
        FormError, FieldError, LimitError, CountError: which rule is broken, and where.
    """
    opened = _open(body)
    salts = salt(opened.secret, len(opened.leaves))
    return len(opened.leaves), merkle.root(leaf_hashes(salts, opened.leaves))


def _open(body: bytes) -> _Opened:
    fields = Fields(unpack(body, limits.BODY, "body"), "body", 6)
    secret = fields.octets("secret", SECRET)
    sources = [Source.from_wire(each) for each in fields.array("sources", limits.LEAVES)]
    exchanges = exchanges_from_wire(fields.array("exchanges", 16))
    blocks, events = fields.array("blocks", limits.LEAVES), fields.array("events", limits.LEAVES)
    check_sizes([_size(block, sources) for block in blocks], len(events))
    if not blocks and not events:
        raise CountError("at least one leaf", "none", "body")
    rows = [block_from_wire(block, sources, exchanges) for block in blocks]
    pack = packer()
    parts = [part for each in rows for part in each.parts(pack)]
    return _Opened(
        secret,
        tuple(rows),
        tuple(record_from_wire(each) for each in events),
        parts,
        (*leaves_of(parts), *map(pack, events)),
        _telegrams(fields.array("raws", limits.LEAVES), exchanges),
    )


def check_sizes(sizes: Sequence[tuple[int, int]], events: int) -> None:
    """Check that blocks of (rows, registers) and the events stay within `LEAVES` and `CELLS`, before any expanding."""
    leaves = sum(rows for rows, _ in sizes) + events
    if leaves > limits.LEAVES:
        raise LimitError(f"at most {limits.LEAVES} leaves", f"{leaves}", "blocks")
    cells = sum(rows * registers for rows, registers in sizes)
    if cells > limits.CELLS:
        raise LimitError(f"at most {limits.CELLS} rows x registers", f"{cells}", "blocks")


def _size(block: Wire, sources: Sequence[Source]) -> tuple[int, int]:
    fields = Fields(block, "block", 2)
    source = fields.integer("source", 0, len(sources) - 1)
    return fields.integer("count", 1, limits.LEAVES), len(sources[source].registers)


def _by_source(readings: Sequence[Reading]) -> Iterable[list[Reading]]:
    """Readings by the device and meter that they came from, in the order in which these were first seen."""
    found: dict[tuple[Identity, str, str | None], list[Reading]] = {}
    for reading in readings:
        if len(reading.values) > limits.REGISTERS:
            raise LimitError(
                f"at most {limits.REGISTERS} registers in a leaf", f"{len(reading.values)}", reading.device
            )
        found.setdefault((reading.meter, reading.device, reading.sub), []).append(reading)
    return found.values()


def _checked(wire: list[Wire]) -> list[Wire]:
    """A record as the other side will take it."""
    record_from_wire(unpack(pack(wire), limits.BODY, "record"))
    return wire


def _telegrams(wire: list[Wire], exchanges: Sequence[ExchangeRow]) -> tuple[Telegram, ...]:
    """The telegrams, each under the hash of the exchange that it names."""
    found = []
    for each in wire:
        fields = Fields(each, "raw", 2)
        row = exchanges[fields.integer("exchange", 0, len(exchanges) - 1)]
        octets = fields.octets("octets")
        if hashlib.sha256(octets).digest() != row.raw_hash:
            raise BodyHashError(f"a telegram with SHA-256 {row.raw_hash.hex()[:16]}...", octets[:16].hex(), "raw")
        found.append(Telegram(row.at_ms, row.raw_hash, octets))
    return tuple(found)
