"""A proof of values as a file: what a collector claims, under its signature, with the sealed readings it rests on.

`["plomba/1/values", head, packed, signature]` in strict msgpack; the signature is that of the collector's seal key
over the head (kind "values"), and the head names the hash of what is packed (deflated): every bit of the file counts.
docs/proofs-of-values.md has every element.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from collector.master.channels import Channel
from collector.master.meters import Installation, Mapped, Meter, Register
from collector.master.points import Point
from collector.proving import words
from collector.quality import Quality, Run, State, each_of
from protocols.uplink import limits
from protocols.uplink.faults import BodyHashError, CountError, FieldError, LimitError, SignerError
from protocols.uplink.hello import SIGNATURE
from protocols.uplink.keys import HASH, KEY_ID, SigningKey
from protocols.uplink.leaf import SALT
from protocols.uplink.pack import Fields, Wire, pack, unpack
from protocols.uplink.proof import Keyring

VALUES = "plomba/1/values"
BEGIN = b"\x94" + pack(VALUES)  # of every such file: an array of four, and its name
KIND = "values"  # of the signature
FILE = 4 * 1024 * 1024  # bytes: what is read of a file that people carry
CONTENT = 16 * 1024 * 1024  # bytes, inflated: a month of quarter hours has one or two
PAGES = 2_048  # days: five and a half years of them
BATCHES = 8_192
ROWS = 1_024  # of one word of the master data
INTERVALS = 128  # of a page; the longest day has 100 quarters
DAYS = 2**20  # the number of a day
FINAL_REASON = 64  # bytes of a method or a reason
DOUBTS = ("", "conflict", "held")  # what the collector says of a reading that must not feed
WHERE = "proof of values"


@dataclass(frozen=True, slots=True)
class Stated:
    """What a page is claimed to hold of the intervals that were asked for, as a `Curve` of the store has it."""

    day: int
    values: tuple[int | None, ...]
    runs: tuple[Run, ...]
    moments: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ShownLeaf:
    """A leaf of a batch: its bytes and its salt; `doubt` and `variant` are the collector's word."""

    index: int
    salt: bytes
    octets: bytes
    doubt: str = ""
    variant: int = 0


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """A batch's signed header, the leaves that are shown of it, and the hashes from them to its root."""

    header: bytes
    signature: bytes
    received_ms: int
    steps: tuple[bytes, ...]
    leaves: tuple[ShownLeaf, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """The master data that values rest on: the utility's own word, as it was known when the proof was made."""

    points: tuple[Point, ...]
    channels: tuple[Channel, ...]
    meters: tuple[Meter, ...]
    registers: tuple[Register, ...]
    installations: tuple[Installation, ...]
    mapped: tuple[Mapped, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a collector claims of a channel of a point from an instant to before another (ms UTC), made at `made_ms`.

    `pages` has one entry for each row of the channel and each page of its own, in the order of time.
    """

    collector: str
    made_ms: int
    point: str
    channel: str
    from_ms: int
    to_ms: int
    words: Words
    pages: tuple[Stated, ...]
    batches: tuple[ShownBatch, ...]

    def to_bytes(self, seal: SigningKey) -> bytes:
        """The file, signed.

        Raises:
            LimitError: more than one file holds.
        """
        content = pack(self._wire())
        packed = zlib.compress(content, 9)
        if len(content) > CONTENT or len(packed) > FILE - limits.SMALL_HEADER:
            raise LimitError(f"at most {FILE} bytes", f"{len(packed)}", WHERE)
        digest = hashlib.sha256(packed).digest()
        head = pack([self.collector, seal.public.id, self.made_ms, len(content), digest])
        return pack([VALUES, head, packed, seal.sign(KIND, head)])

    def _wire(self) -> list[Wire]:
        asked: list[Wire] = [self.point, self.channel, self.from_ms, self.to_ms]
        return [
            *asked,
            [words.point_to_wire(each) for each in self.words.points],
            [words.channel_to_wire(each) for each in self.words.channels],
            [words.meter_to_wire(each) for each in self.words.meters],
            [words.register_to_wire(each) for each in self.words.registers],
            [words.installation_to_wire(each) for each in self.words.installations],
            [words.mapped_to_wire(each) for each in self.words.mapped],
            [_page_to_wire(each) for each in self.pages],
            [_batch_to_wire(each) for each in self.batches],
        ]


def read(octets: bytes, ring: Keyring) -> Claim:
    """The claim in a file, when its signature is that of a collector that the ring trusts.

    Raises:
        PeerError, SecurityError: which rule it breaks; nothing of it may then be used.
    """
    fields = Fields(unpack(octets, FILE, WHERE), WHERE, 4)
    if fields.text("form") != VALUES:
        raise FieldError(VALUES, "another form", WHERE)
    head, packed = fields.octets("head", limit=limits.SMALL_HEADER), fields.octets("packed", limit=FILE)
    signature = fields.octets("signature", SIGNATURE)
    said = Fields(unpack(head, limits.SMALL_HEADER, WHERE), WHERE, 5)
    collector, signer = said.text("collector"), said.octets("signer", KEY_ID)
    made_ms, length = said.integer("made", limits.PAST_MS, limits.FUTURE_MS - 1), said.integer("length", 0, CONTENT)
    name, key = ring.collectors.get(signer, ("", None))
    if key is None or name != collector:
        raise SignerError(f"a seal key of collector {collector} in the keys given", "none", WHERE)
    key.verify(KIND, head, signature)
    if hashlib.sha256(packed).digest() != said.octets("digest", HASH):
        raise BodyHashError("what the signed head names", "something else", WHERE)
    return parse(_inflated(packed, length), collector, made_ms)


def parse(content: bytes, collector: str, made_ms: int) -> Claim:
    """The claim in what was packed.

    Raises:
        PeerError: which rule it breaks.
    """
    fields = Fields(unpack(content, CONTENT, WHERE), WHERE, 12)
    asked = (fields.text("point"), fields.text("channel"))
    span = (_instant(fields, "from"), _instant(fields, "to"))
    points = words.words(fields, "point", ROWS, words.point_from, 6)
    channels = words.words(fields, "channel", ROWS, words.channel_from, 9)
    meters = words.words(fields, "meter", ROWS, words.meter_from, 6)
    registers = words.words(fields, "register", ROWS, words.register_from, 12)
    installations = words.words(fields, "installation", ROWS, words.installation_from, 9)
    mapped = words.words(fields, "device", ROWS, words.mapped_from, 8)
    pages = words.words(fields, "page", PAGES, _page, 4)
    batches = words.words(fields, "batch", BATCHES, _batch, 5)
    master = Words(points, channels, meters, registers, installations, mapped)
    return Claim(collector, made_ms, *asked, *span, master, pages, batches)


def _instant(fields: Fields, name: str) -> int:
    return fields.integer(name, limits.PAST_MS, limits.FUTURE_MS - 1)


def _inflated(packed: bytes, length: int) -> bytes:
    """What was deflated, of exactly `length` bytes; never more than that is produced."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(packed, length + 1)
    except zlib.error as error:
        raise BodyHashError("something deflated", str(error), WHERE) from None
    if len(content) != length or not stream.eof or stream.unused_data:
        raise BodyHashError(f"{length} bytes deflated", "more or fewer", WHERE)
    return content


def _page_to_wire(page: Stated) -> list[Wire]:
    runs: list[Wire] = [
        [each.count, int(each.quality.state), int(each.quality.final), each.quality.method, each.quality.reason]
        for each in page.runs
    ]
    return [page.day, list(page.values), runs, None if page.moments is None else list(page.moments)]


def _page(fields: Fields) -> Stated:
    day, numbers = fields.integer("day", 0, DAYS), fields.array("values", INTERVALS)
    each_value = Fields(numbers, "values", 0)
    values = tuple(each_value.maybe_integer("value") for _ in numbers)
    runs = tuple(_run(Fields(each, "run", 5)) for each in fields.array("runs", INTERVALS))
    moments = fields.maybe_array("moments", INTERVALS)
    tops = None if moments is None else _integers(moments, "moments")
    missing = (
        [each.state is State.MISSING for each in each_of(runs)]
        if sum(each.count for each in runs) == len(values)
        else None
    )
    if missing != [each is None for each in values]:
        raise CountError("a state missing for each value that is none, and for no other", "others", WHERE)
    if tops is not None and len(tops) != missing.count(False):
        raise CountError("a moment for each value", f"{len(tops)}", WHERE)
    return Stated(day, values, runs, tops)


def _run(fields: Fields) -> Run:
    count, state = fields.integer("count", 1, INTERVALS), State(fields.integer("state", 0, int(State.MISSING)))
    final = bool(fields.integer("final", 0, 1))
    return Run(count, Quality(state, final, fields.text("method", FINAL_REASON), fields.text("reason", FINAL_REASON)))


def _integers(numbers: Sequence[Wire], name: str) -> tuple[int, ...]:
    fields = Fields(list(numbers), name, 0)
    return tuple(fields.integer(name, 0) for _ in numbers)


def _batch_to_wire(batch: ShownBatch) -> list[Wire]:
    leaves: list[Wire] = [[each.index, each.salt, each.octets, each.doubt, each.variant] for each in batch.leaves]
    return [batch.header, batch.signature, batch.received_ms, list(batch.steps), leaves]


def _batch(fields: Fields) -> ShownBatch:
    header, signature = fields.octets("header", limit=limits.BATCH_HEADER), fields.octets("signature", SIGNATURE)
    received_ms, steps = fields.integer("received", 0), fields.array("steps", limits.LEAVES)
    hashes = tuple(Fields([each], "steps", 1).octets("step", HASH) for each in steps)
    leaves = tuple(_leaf(Fields(each, "leaf", 5)) for each in fields.array("leaves", limits.LEAVES, 1))
    return ShownBatch(header, signature, received_ms, hashes, leaves)


def _leaf(fields: Fields) -> ShownLeaf:
    index, salt = fields.integer("index", 0, limits.LEAVES - 1), fields.octets("salt", SALT)
    octets, doubt = fields.octets("leaf"), fields.text("doubt", 16)
    if doubt not in DOUBTS:
        raise FieldError("one of " + ", ".join(map(repr, DOUBTS)), repr(doubt), "leaf")
    return ShownLeaf(index, salt, octets, doubt, fields.integer("variant", 0, 255))
