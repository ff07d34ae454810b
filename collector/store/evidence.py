"""Batches as they were received, and compact facts about their places: which numbers of which epochs are there."""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from collector import runs
from collector.epochs import Facts, Start
from collector.faults import ErasedError, EvidenceAlteredError
from collector.runs import Runs
from collector.store.sql import Connection, pour
from protocols.uplink import batch as batches
from protocols.uplink import limits
from protocols.uplink.batch import Batch, parse
from protocols.uplink.body import Expanded
from protocols.uplink.envelope import Codec, Content, inflate
from protocols.uplink.header import Parent
from protocols.uplink.pack import Fields, pack, unpack
from protocols.uplink.partial import Partial, leaves_in
from protocols.uplink.proof import FILE
from protocols.uplink.records import Lost

DECODED, UNDECODED = "decoded", "undecoded"
ERASED = 255  # as codec of a row: the body is what is left of the leaves, packed and deflated
SAFE_STEP = 256  # rows looked at for one epoch in one acknowledgement: the work is bounded, the next one goes on
CONTRADICTIONS = 16  # named in an epoch; more of them say nothing new


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored batch: its row, not yet parsed."""

    n: int
    gateway: str
    id: bytes
    epoch: bytes
    seq: int
    prev: bytes | None
    header: bytes
    signature: bytes
    codec: int
    body: bytes
    digest: bytes
    received_ms: int
    state: str
    fault: str | None

    @property
    def erased(self) -> bool:
        """Whether the content of some leaves was erased: what is left is kept in another form."""
        return self.codec == ERASED

    def batch(self) -> Batch:
        """The batch, when the row is the one that was received.

        Raises:
            EvidenceAlteredError: something in the row was changed since.
            ErasedError: the content of some leaves was erased.
        """
        if self.erased:
            raise ErasedError("a whole batch", "one of which leaves were erased", f"batch {self.id.hex()}")
        return self.head()

    def head(self) -> Batch:
        """The same of any row; where leaves were erased its content has no body.

        Raises:
            EvidenceAlteredError: something in the row was changed since.
        """
        where = f"evidence of batch {self.id.hex()}"
        if _digest(self.header, self.signature, self.codec, self.body) != self.digest:
            raise EvidenceAlteredError("the bytes that were received", "others", where)
        codec, body = (Codec.PLAIN, b"") if self.erased else (Codec(self.codec), self.body)
        found = parse(Content(self.header, self.signature, codec, body))
        if (found.id, found.header.gateway, found.header.epoch, found.header.seq) != (
            self.id,
            self.gateway,
            self.epoch,
            self.seq,
        ):
            raise EvidenceAlteredError("the id, gateway and place of the header", "others", where)
        return found

    def opened(self) -> Expanded | Partial:
        """The leaves, checked against the root that the header names; nothing is said of the signature.

        Raises:
            EvidenceAlteredError: something in the row was changed since.
            PeerError, SecurityError: which rule of a body it breaks.
        """
        batch = self.head()
        if not self.erased:
            return batches.expand(batch.header, inflate(batch.content, batch.header.body_len))
        stream = zlib.decompressobj()
        try:
            packed = stream.decompress(self.body, FILE)
        except zlib.error as error:
            raise EvidenceAlteredError("deflated leaves", str(error), f"batch {self.id.hex()}") from None
        return Partial.from_wire(leaves_in(Fields([unpack(packed, FILE, "evidence")], "evidence", 1)), batch.header)


_PUT: dict[str, type] = {
    "gateway": str,
    "id": bytes,
    "epoch": bytes,
    "seq": int,
    "prev": bytes,
    "parent_epoch": bytes,
    "parent_seq": int,
    "created_ms": int,
    "config": bytes,
    "core": str,
    "header": bytes,
    "signature": bytes,
    "codec": int,
    "body": bytes,
    "digest": bytes,
    "received_ms": int,
    "state": str,
}
_INSERT = f"INSERT INTO evidence ({', '.join(_PUT)}) VALUES ({', '.join('?' * len(_PUT))})"  # noqa: S608 - constants
_COLUMNS = "n, gateway, id, epoch, seq, prev, header, signature, codec, body, digest, received_ms, state, fault"


class EvidenceTable:
    """The tables evidence, epoch and lost."""

    def __init__(self, connection: Connection) -> None:
        self._sql = connection

    def put(self, batch: Batch, received_ms: int) -> int | None:
        """Store a batch; its row's number, or None when it is there already (nothing changes then)."""
        row = self._sql.execute(
            f"{_INSERT} ON CONFLICT (gateway, id) DO NOTHING RETURNING n", _row(batch, received_ms, UNDECODED)
        ).fetchone()
        if row is None:
            return None
        n: int = row[0]
        self._place(batch, n)
        return n

    def continues(self, placed: Sequence[Batch]) -> bool:
        """Whether these batches of one epoch (by number) are all new, and no other id is known for their numbers.

        False for a first batch, and where the epoch has a child: `put` looks at each of those.
        """
        gateway, epoch = placed[0].header.gateway, placed[0].header.epoch
        ids = {each.header.seq: each.id for each in placed}
        prev = {each.header.seq: each.header.prev for each in placed}
        if len(ids) < len(placed) or 1 in ids or any(prev[seq] != ids.get(seq - 1, prev[seq]) for seq in ids):
            return False
        for first, last in runs.union((seq, seq) for seq in ids):
            beside = self._sql.execute(
                "SELECT seq, id, prev FROM evidence WHERE gateway = ? AND epoch = ? AND seq BETWEEN ? AND ?",
                (gateway, epoch, first - 1, min(last, limits.INT64_MAX - 1) + 1),
            ).fetchall()
            expected = {(first - 1, prev[first]), (last + 1, ids[last])}
            if not {(seq, batch if seq < first else before) for seq, batch, before in beside} <= expected:
                return False
        child = self._sql.execute(
            "SELECT 1 FROM evidence WHERE gateway = ? AND parent_epoch = ? LIMIT 1", (gateway, epoch)
        ).fetchone()
        return child is None

    def put_decoded(self, placed: Sequence[tuple[Batch, int]]) -> None:
        """Store batches of one epoch, each with when it came, that `continues` and whose content is stored with them.

        Raises:
            ROW_FAULTS: one is there.
        """
        pour(self._sql, "evidence", _PUT, [_row(*each, DECODED) for each in placed])
        header, seqs = placed[-1][0].header, [batch.header.seq for batch, _ in placed]
        row = self._sql.execute(
            "SELECT n FROM evidence WHERE gateway = ? AND id = ?", (header.gateway, placed[-1][0].id)
        ).fetchone()
        self._update(header.gateway, header.epoch, seqs, row[0])
        for first, last in runs.union((seq, seq) for seq in seqs):  # no other batch has one of these numbers
            self._sql.execute(
                "INSERT INTO fresh (gateway, n) SELECT gateway, n FROM evidence"
                " WHERE gateway = ? AND epoch = ? AND seq BETWEEN ? AND ? ON CONFLICT (gateway, n) DO NOTHING",
                (header.gateway, header.epoch, first, last),
            )

    def mark(self, n: int, state: str, fault: str | None) -> None:
        """Say how decoding ended; what is decoded now waits to be looked at by attribution."""
        self._sql.execute("UPDATE evidence SET state = ?, fault = ? WHERE n = ?", (state, fault, n))
        if state == DECODED:
            self._sql.execute(
                "INSERT INTO fresh (gateway, n) SELECT gateway, n FROM evidence WHERE n = ?"
                " ON CONFLICT (gateway, n) DO NOTHING",
                (n,),
            )

    def erase(self, row: Evidence, left: Partial) -> None:
        """Keep of a batch only what is left of it; header and signature stay, so that it still verifies."""
        body = zlib.compress(pack(left.to_wire()))
        digest = _digest(row.header, row.signature, ERASED, body)
        self._sql.execute(
            "UPDATE evidence SET codec = ?, body = ?, digest = ? WHERE gateway = ? AND n = ?",
            (ERASED, body, digest, row.gateway, row.n),
        )

    def declare_lost(self, gateway: str, lost: Lost, batch: bytes) -> None:
        """Take up what a gateway declared lost, in a batch of its own."""
        self._sql.execute(
            "INSERT INTO lost VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, epoch, first, last, batch) DO NOTHING",
            (gateway, lost.epoch, lost.first, lost.last, lost.reason, batch),
        )

    def held(self) -> list[tuple[str, int, int]]:
        """Of each gateway its name, how many batches there are, and when the newest came (ms UTC)."""
        rows = self._sql.execute(
            "SELECT gateway, count(*), max(received_ms) FROM evidence GROUP BY gateway ORDER BY gateway"
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def undecoded(self) -> list[int]:
        """The numbers of the rows that are not decoded, oldest first."""
        return [row[0] for row in self._sql.execute("SELECT n FROM evidence WHERE state = ? ORDER BY n", (UNDECODED,))]

    def after(self, n: int, limit: int) -> list[int]:
        """The numbers of the next rows above `n`; where several write, a lower one may be committed later."""
        rows = self._sql.execute("SELECT n FROM evidence WHERE n > ? ORDER BY n LIMIT ?", (n, limit))
        return [row[0] for row in rows]

    def after_of(self, gateways: Iterable[str], n: int, limit: int) -> list[int]:
        """The numbers of the next rows above `n` of some gateways, in the order of their commits."""
        found: list[int] = []
        for gateway in gateways:
            rows = self._sql.execute(
                "SELECT n FROM evidence WHERE gateway = ? AND n > ? ORDER BY n LIMIT ?", (gateway, n, limit)
            )
            found += [row[0] for row in rows]
        return sorted(found)[:limit]

    def numbers(self, gateway: str, epoch: bytes, batch: bytes = b"") -> list[int]:
        """The numbers of the rows of an epoch (of one batch of it), in the order of their commits."""
        rows = self._sql.execute(
            "SELECT n FROM evidence WHERE gateway = ?1 AND epoch = ?2 AND (?4 = 1 OR id = ?3) ORDER BY n",
            (gateway, epoch, batch, int(not batch)),
        )
        return [row[0] for row in rows]

    def row(self, n: int) -> Evidence:
        """One row by its number."""
        return Evidence(*self._sql.execute(f"SELECT {_COLUMNS} FROM evidence WHERE n = ?", (n,)).fetchone())  # noqa: S608 - a constant

    def find(self, batch: bytes, gateway: str | None = None) -> Evidence | None:
        """A batch by its id (and gateway where it is known)."""
        # Asked for by (gateway, id), as the index is: one look-up for each gateway where it is not known.
        where = (
            "gateway = ?2"
            if gateway is not None
            else "gateway IN (SELECT name FROM gateway) AND CAST(?2 AS TEXT) IS NULL"
        )
        row = self._sql.execute(
            f"SELECT {_COLUMNS} FROM evidence WHERE id = ?1 AND {where}",  # noqa: S608 - constants
            (batch, gateway),
        ).fetchone()
        return None if row is None else Evidence(*row)

    def of(self, gateway: str, epoch: bytes | None = None) -> Iterator[Evidence]:
        """All batches of a gateway (or of one epoch of it), in the order of their places."""
        sql = f"SELECT {_COLUMNS} FROM evidence WHERE gateway = ?"  # noqa: S608 - a constant
        if epoch is None:
            rows = self._sql.execute(f"{sql} ORDER BY epoch, seq, n", (gateway,))
        else:
            rows = self._sql.execute(f"{sql} AND epoch = ? ORDER BY seq, n", (gateway, epoch))
        return (Evidence(*row) for row in rows)

    def has(self, gateway: str, batch: bytes) -> bool:
        """Whether this batch of this gateway is stored."""
        row = self._sql.execute("SELECT 1 FROM evidence WHERE gateway = ? AND id = ?", (gateway, batch)).fetchone()
        return row is not None

    def ids_at(self, gateway: str, epoch: bytes, seq: int) -> list[bytes]:
        """The ids stored for one number of an epoch, oldest first: one, or those of a clone."""
        rows = self._sql.execute(
            "SELECT id FROM evidence WHERE gateway = ? AND epoch = ? AND seq = ? ORDER BY n", (gateway, epoch, seq)
        )
        return [row[0] for row in rows]

    def links(self, gateway: str, epoch: bytes) -> list[tuple[int, bytes, bytes | None]]:
        """(seq, id, prev) of every batch of one epoch, by seq: to walk its branches."""
        rows = self._sql.execute(
            "SELECT seq, id, prev FROM evidence WHERE gateway = ? AND epoch = ? ORDER BY seq, n", (gateway, epoch)
        )
        return [(seq, batch, prev) for seq, batch, prev in rows]

    def facts(self, gateway: str) -> list[Facts]:
        """What is known of each epoch, the one that was last added to at the end."""
        starts: dict[bytes, list[Start]] = {}
        rows = self._sql.execute(
            "SELECT epoch, id, parent_epoch, parent_seq, created_ms, core FROM evidence WHERE gateway = ? AND seq = 1",
            (gateway,),
        )
        for epoch, batch, parent_epoch, parent_seq, created_ms, core in rows:
            parent = None if parent_epoch is None else Parent(parent_epoch, parent_seq)
            starts.setdefault(epoch, []).append(Start(batch, parent, created_ms, core))
        lost: dict[bytes, Runs] = {}
        for epoch, first, last in self._sql.execute(
            "SELECT epoch, first, last FROM lost WHERE gateway = ?", (gateway,)
        ):
            lost[epoch] = runs.union(lost.get(epoch, ()), ((first, last),))
        found = {epoch: Facts(epoch, lost=gone) for epoch, gone in lost.items()}
        rows = self._sql.execute(
            "SELECT epoch, stored, contradictions FROM epoch WHERE gateway = ? ORDER BY last_n", (gateway,)
        )
        for epoch, stored, contradictions in rows:
            found.pop(epoch, None)
            mine = tuple(starts.get(epoch, ()))
            found[epoch] = Facts(epoch, mine, _runs(stored), lost.get(epoch, ()), tuple(json.loads(contradictions)))
        return list(found.values())

    def safe_to(self, gateway: str, facts: Facts, before_ms: int) -> int:
        """The number up to which all of an epoch were committed before `before_ms` or are declared lost; it is kept."""
        row = self._sql.execute(
            "SELECT safe_to FROM epoch WHERE gateway = ? AND epoch = ?", (gateway, facts.epoch)
        ).fetchone()
        if row is None:
            return 0
        known: int = row[0]
        end = runs.prefix(runs.union(facts.stored, facts.lost) if facts.lost else facts.stored)
        if end <= known:
            return known
        rows = self._sql.execute(
            "SELECT seq, received_ms FROM evidence WHERE gateway = ? AND epoch = ? AND seq > ? ORDER BY seq LIMIT ?",
            (gateway, facts.epoch, known, SAFE_STEP),
        )
        for looked, (seq, received_ms) in enumerate(rows, 1):
            # The other branches of the last row may be behind the limit: the next time goes on there.
            if received_ms > before_ms or looked == SAFE_STEP:
                end = min(end, seq - 1)
                break
        rows.close()
        reached = max(known, end)
        if reached > known:
            self._sql.execute(
                "UPDATE epoch SET safe_to = ? WHERE gateway = ? AND epoch = ?", (reached, gateway, facts.epoch)
            )
        return reached

    def above(self, n: int) -> tuple[int, int | None]:
        """How many batches there are above a number, and when the first of them came."""
        row = self._sql.execute("SELECT count(*), min(received_ms) FROM evidence WHERE n > ?", (n,)).fetchone()
        return row[0], row[1]

    def counts(self, gateway: str) -> dict[str, int]:
        """How many batches are decoded and undecoded."""
        rows = self._sql.execute("SELECT state, count(*) FROM evidence WHERE gateway = ? GROUP BY state", (gateway,))
        return {DECODED: 0, UNDECODED: 0} | dict(rows)

    def undecoded_by_gateway(self) -> dict[str, int]:
        """How many batches could not be decoded; there are few."""
        rows = self._sql.execute(
            "SELECT gateway, count(*) FROM evidence WHERE state = 'undecoded' AND n IN"
            " (SELECT n FROM evidence WHERE state = 'undecoded') GROUP BY gateway"
        )
        return dict(rows)

    def _place(self, batch: Batch, n: int) -> None:
        """Take the new batch up into the facts of its epoch, and look for contradictions beside it."""
        header = batch.header
        self._update(header.gateway, header.epoch, [header.seq], n)
        self._contradiction(header.gateway, header.epoch, header.seq)
        if header.seq > 1:
            self._contradiction(header.gateway, header.epoch, header.seq - 1)
        elif header.parent is not None:
            self._contradiction(header.gateway, header.parent.epoch, header.parent.seq)

    def _update(self, gateway: str, epoch: bytes, seqs: Sequence[int], n: int) -> None:
        row = self._sql.execute("SELECT stored FROM epoch WHERE gateway = ? AND epoch = ?", (gateway, epoch)).fetchone()
        stored = json.dumps(functools.reduce(runs.add, seqs, () if row is None else _runs(row[0])))
        if row is None:
            self._sql.execute(
                "INSERT INTO epoch (gateway, epoch, stored, contradictions, last_n) VALUES (?, ?, ?, '[]', ?)",
                (gateway, epoch, stored, n),
            )
            return
        self._sql.execute(
            "UPDATE epoch SET stored = ?, last_n = ? WHERE gateway = ? AND epoch = ?",
            (stored, n, gateway, epoch),
        )

    def _contradiction(self, gateway: str, epoch: bytes, seq: int) -> None:
        """Note a number for which two ids are known, stored or named by the batch behind it."""
        known = self._sql.execute(
            "SELECT id FROM evidence WHERE gateway = ?1 AND epoch = ?2 AND seq = ?3"
            " UNION SELECT prev FROM evidence WHERE gateway = ?1 AND epoch = ?2 AND seq = ?3 + 1 AND ?3 > 0"
            " UNION SELECT prev FROM evidence WHERE gateway = ?1 AND parent_epoch = ?2 AND parent_seq = ?3 LIMIT 2",
            (gateway, epoch, min(seq, limits.INT64_MAX - 1)),
        ).fetchall()
        if len(known) < 2:
            return
        self._sql.execute(
            "INSERT INTO epoch VALUES (?, ?, '[]', '[]', 0, 0) ON CONFLICT (gateway, epoch) DO NOTHING",
            (gateway, epoch),
        )
        row = self._sql.execute(
            "SELECT contradictions FROM epoch WHERE gateway = ? AND epoch = ?", (gateway, epoch)
        ).fetchone()
        found = sorted({*json.loads(row[0]), seq})[:CONTRADICTIONS]
        self._sql.execute(
            "UPDATE epoch SET contradictions = ? WHERE gateway = ? AND epoch = ?", (json.dumps(found), gateway, epoch)
        )


def _row(batch: Batch, received_ms: int, state: str) -> tuple[Any, ...]:
    """A batch as its row."""
    header, content, parent = batch.header, batch.content, batch.header.parent
    return (
        header.gateway,
        batch.id,
        header.epoch,
        header.seq,
        header.prev,
        parent.epoch if parent else None,
        parent.seq if parent else None,
        header.created_ms,
        header.config,
        header.core.version,
        content.header,
        content.signature,
        int(content.codec),
        content.body,
        _digest(content.header, content.signature, int(content.codec), content.body),
        received_ms,
        state,
    )


def _digest(header: bytes, signature: bytes, codec: int, body: bytes) -> bytes:
    """SHA-256 over all that was received of a batch."""
    return hashlib.sha256(pack([header, signature, codec, body])).digest()


def _runs(text: str) -> Runs:
    return tuple((first, last) for first, last in json.loads(text))
