"""The body of a batch: `[secret, sources, exchanges, blocks, events, raws]`, columns that expand to leaves.

Theory: one batch holds few meters and many equal things, so each meter's identity and registers stand once (a source),
each telegram's times and hash once (an exchange), and the rows of one source as columns of differences (a block).
Expanding gives, in order, the leaves of all blocks row by row and then the events; both sides expand with the code
below, the gateway to compute the root that it seals, the collector to check it.

Limits: counts are checked before expanding; nothing is expanded beyond `LEAVES` rows and `REGISTERS` registers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from protocols.reading import Identity, Reading
from protocols.uplink import limits, merkle
from protocols.uplink.block import (
    ExchangeRow,
    Register,
    Rows,
    Source,
    block_from_wire,
    block_to_wire,
    exchanges_from_wire,
    exchanges_to_wire,
)
from protocols.uplink.faults import BodyHashError, CountError, FieldError, LimitError
from protocols.uplink.leaf import SECRET, SealedReading, leaf_hash, salt
from protocols.uplink.pack import Fields, Wire, pack, repack, unpack
from protocols.uplink.records import Record, record_from_wire

_Owner = tuple[Identity, str, str | None]


@dataclass(frozen=True, slots=True)
class Telegram:
    """The raw bytes of one exchange, kept by policy, under the hash that the exchange names."""

    at_ms: int
    hash: bytes
    octets: bytes


@dataclass(frozen=True, slots=True)
class Expanded:
    """A body's content: readings and records in leaf order, the leaves' bytes and salts, the telegrams."""

    readings: tuple[SealedReading, ...]
    records: tuple[Record, ...]
    leaves: tuple[bytes, ...]
    salts: tuple[bytes, ...]
    telegrams: tuple[Telegram, ...]

    def hashes(self) -> list[bytes]:
        """The leaf hashes, in order."""
        return [leaf_hash(salted, leaf) for salted, leaf in zip(self.salts, self.leaves, strict=True)]

    def root(self) -> bytes:
        """The root of the tree over all leaves."""
        return merkle.root(self.hashes())


@dataclass(frozen=True, slots=True)
class _Opened:
    """A body, decoded and checked, its readings not made yet."""

    secret: bytes
    blocks: list[Rows]
    records: tuple[Record, ...]
    leaves: tuple[bytes, ...]
    telegrams: tuple[Telegram, ...]


def encode(readings: Sequence[Reading], records: Sequence[Record], secret: bytes) -> bytes:
    """The body's bytes; `secret` are 32 fresh random bytes.

    Raises:
        LimitError: more leaves, registers or bytes than a batch holds: the caller splits.
        FieldError: a value that has no form on the wire.
    """
    if len(secret) != SECRET:
        raise ValueError(f"expected {SECRET} bytes of secret, got {len(secret)}")
    if not readings and not records:
        raise CountError("at least one leaf", "none", "batch")
    for reading in readings:
        if len(reading.values) > limits.REGISTERS:
            raise LimitError(
                f"at most {limits.REGISTERS} registers in a leaf", f"{len(reading.values)}", reading.device
            )
    owners, blocks = _grouped(readings)
    check_sizes([(len(mine), len(owners[owner])) for owner, mine in blocks.items()], len(records))
    exchanges = {id(reading.exchange): reading.exchange for reading in readings}
    number = {key: index for index, key in enumerate(exchanges)}
    wires: list[Wire] = []
    for index, (owner, mine) in enumerate(blocks.items()):
        used = [number[id(reading.exchange)] for reading in mine]
        wires.append(block_to_wire(index, tuple(owners[owner]), mine, used))
    sources = [Source(*owner, tuple(registers)).to_wire() for owner, registers in owners.items()]
    raws: list[Wire] = [[number[key], exchange.telegram] for key, exchange in exchanges.items() if exchange.keep]
    shown = exchanges_to_wire([ExchangeRow.of(exchange) for exchange in exchanges.values()])
    body = pack([secret, sources, shown, wires, [record.to_wire() for record in records], raws])
    if len(body) > limits.BODY:
        raise LimitError(f"a body of at most {limits.BODY} bytes", f"{len(body)}", "batch")
    return body


def expand(body: bytes) -> Expanded:
    """The content of body bytes (version 1).

    Raises:
        FormError, FieldError, LimitError, CountError: which rule is broken, and where.
    """
    opened = _open(body)
    salts = tuple(salt(opened.secret, len(opened.leaves)))
    readings = tuple(reading for rows in opened.blocks for reading in rows.readings())
    return Expanded(readings, opened.records, opened.leaves, salts, opened.telegrams)


def tree(body: bytes) -> tuple[int, bytes]:
    """How many leaves body bytes have, and their root: all that sealing needs of what they expand to.

    Raises:
        FormError, FieldError, LimitError, CountError: which rule is broken, and where.
    """
    opened = _open(body)
    salts = salt(opened.secret, len(opened.leaves))
    return len(opened.leaves), merkle.root(list(map(leaf_hash, salts, opened.leaves)))


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
    wires: list[Wire] = [*(wire for each in rows for wire in each.to_wires()), *events]
    return _Opened(
        secret,
        rows,
        tuple(record_from_wire(each) for each in events),
        tuple(map(repack, wires)),
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


def _grouped(readings: Sequence[Reading]) -> tuple[dict[_Owner, dict[Register, None]], dict[_Owner, list[Reading]]]:
    """Readings by source, and each source's registers in the order in which they were first seen."""
    owners: dict[_Owner, dict[Register, None]] = {}
    blocks: dict[_Owner, list[Reading]] = {}
    for reading in readings:
        owner = (reading.meter, reading.device, reading.sub)
        blocks.setdefault(owner, []).append(reading)
        known = owners.setdefault(owner, {})
        seen: set[Register] = set()
        for value in reading.values:
            register = Register(value.key, value.unit)
            if register in seen:
                raise FieldError("each native key once in a reading", f"{value.key} twice", reading.device)
            seen.add(register)
            known.setdefault(register)
    return owners, blocks


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
