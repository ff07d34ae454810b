"""The frozen header of a batch, and the clock that a gateway shows with everything it signs.

Its 15 elements keep their place and meaning in all versions, so that an old collector can verify, keep and acknowledge
a newer body. The id of a batch is SHA-256 over the header bytes as they were signed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from protocols.uplink import limits
from protocols.uplink.faults import FieldError
from protocols.uplink.keys import HASH, KEY_ID
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.topics import gateway_id

EPOCH = 16  # random bytes
BOOT = 16  # bytes of the machine's boot id


class ClockState(IntEnum):
    """What the gateway knows of its own clock."""

    UNSET = 0  # below the floor (build, last signed time): batches are sealed and marked, only hellos leave
    SET = 1  # plausible, but nothing says that it is synchronised
    SYNCHRONISED = 2


class ClockSource(IntEnum):
    """Where the time came from."""

    NONE = 0
    SYSTEM = 1  # the operating system's clock; whether something disciplines it is not known
    NTP = 2
    COLLECTOR = 3  # signed time in an acknowledgement with our nonce


@dataclass(frozen=True, slots=True)
class ClockShown:
    """A clock as it is shown in a header: all in milliseconds; `offset_ms` is what was added to the system's clock."""

    state: ClockState
    source: ClockSource
    offset_ms: int | None
    uncertainty_ms: int | None
    since_ms: int | None
    boot: bytes
    monotonic_ms: int

    def to_wire(self) -> list[Wire]:
        """The array of 7."""
        return [
            int(self.state),
            int(self.source),
            self.offset_ms,
            self.uncertainty_ms,
            self.since_ms,
            self.boot,
            self.monotonic_ms,
        ]

    @classmethod
    def from_wire(cls, value: Wire, where: str) -> ClockShown:
        """Parse the array of 7 (or more: later versions)."""
        fields = Fields(value, f"{where}.clock", 7)
        return cls(
            ClockState(fields.integer("state", 0, 2)),
            ClockSource(fields.integer("source", 0, 3)),
            fields.maybe_integer("offset"),
            fields.maybe_integer("uncertainty", 0),
            fields.maybe_integer("since"),
            fields.octets("boot", BOOT),
            fields.integer("monotonic", 0),
        )


@dataclass(frozen=True, slots=True)
class Core:
    """The version and the SHA-256 of the code that decodes and seals (R26)."""

    version: str
    hash: bytes

    def to_wire(self) -> list[Wire]:
        """The array of 2."""
        return [self.version, self.hash]

    @classmethod
    def from_wire(cls, value: Wire, where: str) -> Core:
        """Parse the array of 2."""
        fields = Fields(value, f"{where}.core", 2)
        return cls(fields.text("version"), fields.octets("hash", HASH))


@dataclass(frozen=True, slots=True)
class Parent:
    """The epoch and sequence of the last batch in the buffer when an epoch began."""

    epoch: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a batch's signature covers.

    `version` is the body's; `key` the id of the sealing key; `created_ms` our clock at sealing (UTC); `config` the
    hash of what changes a sealed value or its attribution; `body_len` and `body_hash` are of the body before deflating.
    """

    version: int
    gateway: str
    key: bytes
    epoch: bytes
    seq: int
    prev: bytes | None
    parent: Parent | None
    created_ms: int
    clock: ClockShown
    core: Core
    config: bytes
    leaves: int
    root: bytes
    body_len: int
    body_hash: bytes

    def to_bytes(self) -> bytes:
        """The bytes that are signed and whose SHA-256 is the batch's id."""
        parent: Wire = [self.parent.epoch, self.parent.seq] if self.parent else None
        return pack(
            [
                self.version,
                self.gateway,
                self.key,
                self.epoch,
                self.seq,
                self.prev,
                parent,
                self.created_ms,
                self.clock.to_wire(),
                self.core.to_wire(),
                self.config,
                self.leaves,
                self.root,
                self.body_len,
                self.body_hash,
            ]
        )

    @classmethod
    def from_bytes(cls, octets: bytes) -> Header:
        """Parse header bytes of any version.

        Raises:
            LimitError, FormError, FieldError: which rule is broken, and where.
        """
        where = "batch header"
        fields = Fields(unpack(octets, limits.BATCH_HEADER, where), where, 15)
        version = fields.integer("version", 1, 2**31)
        gateway = gateway_id(fields.text("gateway"))
        key, epoch = fields.octets("key", KEY_ID), fields.octets("epoch", EPOCH)
        seq, prev = fields.integer("seq", 1), fields.maybe_octets("prev", HASH)
        parent = _parent(fields.maybe_array("parent", 16), seq, prev)
        return cls(
            version,
            gateway,
            key,
            epoch,
            seq,
            prev,
            parent,
            fields.integer("created", limits.PAST_MS, limits.FUTURE_MS - 1),
            ClockShown.from_wire(fields.array("clock", 16), where),
            Core.from_wire(fields.array("core", 16), where),
            fields.octets("config", HASH),
            fields.integer("leaves", 1, limits.LEAVES),
            fields.octets("root", HASH),
            fields.integer("body_len", 1, limits.BODY),
            fields.octets("body_hash", HASH),
        )


def batch_id(header: bytes) -> bytes:
    """SHA-256 over the header bytes."""
    return hashlib.sha256(header).digest()


def _parent(value: list[Wire] | None, seq: int, prev: bytes | None) -> Parent | None:
    """Seq 1 has parent and prev, or neither; every later one has prev and no parent."""
    if seq == 1 and (value is None) != (prev is None):
        raise FieldError("parent and prev, or neither", "one of them", "batch header of seq 1")
    if seq > 1 and (value is not None or prev is None):
        got = "no prev" if prev is None else "a parent"
        raise FieldError("prev and no parent", got, f"batch header of seq {seq}")
    if value is None:
        return None
    fields = Fields(value, "batch header.parent", 2)
    return Parent(fields.octets("epoch", EPOCH), fields.integer("seq", 1))
