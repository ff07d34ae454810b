"""A damaged buffer: the file is set aside, every whole batch is taken over, the rest is declared lost.

Whole is what verifies against a sealing key of ours, header, signature and body; nothing else is believed. Marks are
not taken over: the next hello asks for them. What is known to have existed and is not whole becomes `lost` records:
holes between whole batches of an epoch, what the index or a child's parent names beyond them. Where the first page does
not read, which says where every table lies, a copy is read with a first page of ours: all buffers lie alike.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gateway import schema
from gateway.buffer import Buffer, Gap
from gateway.faults import WriteFailed
from gateway.files import sync_folder
from gateway.marks import Order
from gateway.settled import Settled, Slot
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink.acknowledgement import Acknowledgement
from protocols.uplink.batch import Batch
from protocols.uplink.envelope import Codec, Content, inflate
from protocols.uplink.header import EPOCH
from protocols.uplink.keys import Algorithm, PublicKey
from protocols.uplink.leaf import SealedReading, leaf_from_bytes
from protocols.uplink.pack import Fields, Wire, unpack
from protocols.uplink.records import Lost, When

REASON = "buffer damaged"
FRESH = ".new"  # the end of the new file's name until it is complete
LEGIBLE = ".legible"  # the end of a copy's name
CHUNK = 256  # rows asked for at once; a span of numbers is halved where a page does not read
META_NAMES = ("order", "last_ack", "window", "signed_ms", "sealed_ms", "head")
LOG = "-wal"
PAGES_AT = 28  # in the first page: how many there are
META_BYTES = 64 * 1024
TRIES, TRIES_A_PAGE = 1_000, 16  # questions that meet damage: twice the rows of every page, and the way to each
SLOT_BATCHES = 256  # newest batches whose slots count as settled: more than are sealed while one slot is open
# A batch has one number in both of its tables, and in the indexes of the one: any of them may be legible to its end.
_BY_NUMBER = (
    ("content", "n"),
    ("batch", "n"),
    ("batch", "n DESC"),
    ("batch INDEXED BY sqlite_autoindex_batch_1", "id"),
    ("batch INDEXED BY sqlite_autoindex_batch_1", "id DESC"),
    ("batch INDEXED BY sqlite_autoindex_batch_2", "epoch, seq"),
    ("batch INDEXED BY sqlite_autoindex_batch_2", "epoch DESC, seq DESC"),
)
_NAMED_BY = {"content": _BY_NUMBER, "batch": (*_BY_NUMBER, ("content", "n DESC"))}


@dataclass(slots=True)
class Salvaged:
    """What came out: whole batches with their number of readings, gaps as (epoch, first, last), and small values."""

    aside: Path
    whole: list[tuple[Batch, int]] = field(default_factory=list)
    gaps: list[tuple[bytes, int, int]] = field(default_factory=list)
    meta: dict[str, Wire] = field(default_factory=dict)
    quarantine: list[tuple[bytes, bytes | None]] = field(default_factory=list)


def open_or_salvage(
    folder: Path, max_bytes: int, reserve_bytes: int, keys: Iterable[PublicKey], stamp: str
) -> tuple[Buffer, Salvaged | None]:
    """The buffer in `folder`; a damaged one is replaced by a new one with what could be salvaged.

    Args:
        folder: the state folder.
        max_bytes: as for `Buffer`.
        reserve_bytes: as for `Buffer`.
        keys: sealing keys of ours; those that the damaged file remembers are used too.
        stamp: makes the name of the file that is set aside.

    Raises:
        NotDurable: it could lose commits in a power cut.
    """
    path = folder / schema.BUFFER_FILE
    buffer = maybe_open(folder, max_bytes, reserve_bytes)
    if buffer is not None:
        return buffer, None
    found = salvage(path, path.with_name(f"{path.name}.damaged-{stamp}"), keys)
    # The damaged file keeps its name until everything whole is in the new one: a failure here changes nothing.
    fresh = Buffer(folder, max_bytes, 0, path.name + FRESH)
    fresh.take_over(found.whole, found.meta, _slots(found.whole))
    fresh.set_gaps(found.gaps)
    if found.quarantine:
        fresh.quarantine(found.quarantine, Settled())
    fresh.close()
    _rename(path, found.aside)
    _rename(path.with_name(path.name + FRESH), path)
    return Buffer(folder, max_bytes, reserve_bytes), found


def maybe_open(folder: Path, max_bytes: int, reserve_bytes: int) -> Buffer | None:
    """The buffer in `folder` where it reads and is whole.

    Raises:
        NotDurable: it could lose commits in a power cut.
    """
    _finish_or_forget(folder / schema.BUFFER_FILE)
    try:
        buffer = Buffer(folder, max_bytes, reserve_bytes)
    except schema.DAMAGE:
        return None
    if not _sound(buffer):
        buffer.close()
        return None
    with suppress(WriteFailed):  # not now: no write counts before it is done
        buffer.settle_log()
    return buffer


def declared(gaps: Iterable[Gap], when: When) -> list[Lost]:
    """Gaps as records."""
    return [Lost(when, epoch, first, last, REASON) for epoch, first, last in gaps]


def salvage(damaged: Path, aside: Path, keys: Iterable[PublicKey]) -> Salvaged:
    """What is whole in the file `damaged`, which will be called `aside`."""
    found = Salvaged(aside)
    with (
        _legible(damaged) as path,
        suppress(*schema.DAMAGE),
        closing(sqlite3.connect(path, isolation_level=None)) as database,
    ):
        trusted = {key.id: key for key in (*keys, *_own_keys(database))}
        counts = {row[0]: row[1] for row in _rows(database, "batch", "n, readings") if isinstance(row[1], int)}
        for n, *row in _rows(database, "content", "n, header, signature, codec, body"):
            batch = _whole(row, trusted)
            if batch is not None:
                found.whole.append((batch, counts.get(n, batch.header.leaves)))
        named = {(row[1], row[2]) for row in _rows(database, "batch", "n, epoch, seq") if _place(row[1:])}
        found.meta = _meta(database)
        found.quarantine = [row for row in map(_quarantined, _rows(database, "quarantine", "leaf, telegram")) if row]
        if found.whole:
            found.meta["head"] = _head([batch for batch, _ in found.whole], found.meta.get("head"))
        found.gaps = _gaps([batch for batch, _ in found.whole], named, found.meta.get("head"))
        found.gaps += [each for each in _undeclared(database) if each not in found.gaps]
    return found


@contextmanager
def _legible(damaged: Path) -> Iterator[Path]:
    """The file; where its first page does not read, or names other tables than ours, a copy with another first page.

    It is there for as long as it is read.
    """
    ours = False
    with suppress(*schema.DAMAGE), closing(sqlite3.connect(damaged, isolation_level=None)) as database:
        ours = schema.is_ours(database)
    if ours:
        yield damaged
        return
    copy = damaged.with_name(damaged.name + LEGIBLE)
    try:
        yield copy if _copied_with_first_page(damaged, copy) else damaged
    finally:
        _unlink(copy)


def _copied_with_first_page(damaged: Path, copy: Path) -> bool:
    """Whether there was room for a whole copy."""
    log = damaged.with_name(damaged.name + LOG)
    try:
        schema.connect(copy, 1_000 * schema.PAGE).close()
        first = copy.read_bytes()[: schema.PAGE]
        shutil.copyfile(damaged, copy)
        with copy.open("r+b") as file:
            pages = copy.stat().st_size // schema.PAGE
            file.write(first[:PAGES_AT] + pages.to_bytes(4, "big") + first[PAGES_AT + 4 :])
        if log.exists():
            shutil.copyfile(log, copy.with_name(copy.name + LOG))
    except (OSError, *schema.DAMAGE):
        return False
    return True


def _unlink(path: Path) -> None:
    for end in ("", *schema.SIDE_FILES):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _head(whole: Sequence[Batch], known: Wire) -> Wire:
    """What the next epoch names: the head that is remembered, where no whole batch says otherwise, else the newest."""
    last = whole[-1]
    with suppress(PlombaError):
        fields = Fields(known, "head", 3)
        place, name = (fields.octets("epoch"), fields.integer("seq")), fields.octets("id")
        agree = [each for each in whole if each.id == name or (each.header.epoch, each.header.seq) == place]
        if not agree:
            return known
        last = agree[-1]
    return [last.header.epoch, last.header.seq, last.id]


def _slots(whole: list[tuple[Batch, int]]) -> list[Slot]:
    """The slots that the newest salvaged batches settle: they are not read again, so no reading comes twice."""
    settled: dict[Slot, None] = {}
    for batch, _ in whole[-SLOT_BATCHES:]:
        with suppress(PlombaError):
            content = batches.expand(batch.header, inflate(batch.content, batch.header.body_len))
            settled |= dict.fromkeys(
                (each.device, each.slot_ms) for each in content.readings if each.slot_ms is not None
            )
    return list(settled)


def _sound(buffer: Buffer) -> bool:
    try:
        with closing(sqlite3.connect(buffer.path, isolation_level=None)) as database:
            if not schema.is_sound(database):
                return False
        known = buffer.known()
        heard = None if known.last_ack is None else known.last_ack.header
        if not buffer.chain().holds_together(known.head) or not _agree(known.order, heard):
            return False
    except (*schema.DAMAGE, PlombaError):
        return False
    return True


def _agree(order: Order, heard: bytes | None) -> bool:
    """Whether the number below which every acknowledgement is stale is that of the last one that was heard.

    Raises:
        PlombaError: that one does not read.
    """
    return heard is None or Acknowledgement.from_bytes(heard).order == order


def _finish_or_forget(path: Path) -> None:
    """A new file beside no buffer is complete (a start was interrupted between two renames); any other one is not."""
    fresh = path.with_name(path.name + FRESH)
    if fresh.exists() and not path.exists():
        for end in schema.SIDE_FILES:  # the damaged file's log must never be played into another file
            path.with_name(path.name + end).unlink(missing_ok=True)
        _rename(fresh, path)
    _unlink(fresh)
    _unlink(path.with_name(path.name + LEGIBLE))


def _rename(old: Path, new: Path) -> None:
    """Rename a database with its side files, durable when this returns."""
    for end in ("", *schema.SIDE_FILES):
        part = old.with_name(old.name + end)
        if part.exists():
            part.rename(new.with_name(new.name + end))
    sync_folder(old.parent)


def _rows(database: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Wire, ...]]:
    """All rows of a table that can be read, by number: a page that does not read costs its own rows only."""
    several = f"SELECT n, {columns} FROM {table} WHERE n BETWEEN ?1 AND ?2 ORDER BY n LIMIT {CHUNK}"  # noqa: S608 - ours
    # Asked for a span SQLite looks behind its last row whether there is one more, and may find the damaged page there.
    one = f"SELECT n, {columns} FROM {table} WHERE n = ?1"  # noqa: S608 - our own names
    spans = [(1, _last(database, table))]
    left = TRIES + TRIES_A_PAGE * int(database.execute("PRAGMA page_count").fetchone()[0])
    while spans and left:
        first, end = spans.pop()
        try:
            rows = database.execute(*((several, (first, end)) if first < end else (one, (first,)))).fetchall()
        except schema.DAMAGE:
            left -= 1  # a number may be rotten, too: what is asked for must not grow with it
            middle = (first + end) // 2
            if first < end:
                spans += [(middle + 1, end), (first, middle)]
            continue
        yield from (row[1:] for row in rows)
        if len(rows) == CHUNK and rows[-1][0] < end:
            spans.append((rows[-1][0] + 1, end))


def _last(database: sqlite3.Connection, table: str) -> int:
    """The highest number of a table: of its last row, or where that does not read, of all that names its rows."""
    with suppress(*schema.DAMAGE):
        row = database.execute(f"SELECT n FROM {table} ORDER BY n DESC LIMIT 1").fetchone()  # noqa: S608 - our own names
        return 0 if row is None else int(row[0])
    last = 0
    for source, order in _NAMED_BY.get(table, ((table, "n"),)):
        with suppress(*schema.DAMAGE):
            for (n,) in database.execute(f"SELECT n FROM {source} ORDER BY {order}"):  # noqa: S608 - our own names
                last = max(last, n if isinstance(n, int) else 0)
    return last


def _whole(row: list[Wire], trusted: Mapping[bytes, PublicKey]) -> Batch | None:
    header, signature, codec, body = row
    if not (isinstance(header, bytes) and isinstance(signature, bytes) and isinstance(body, bytes)):
        return None
    if codec not in (Codec.PLAIN, Codec.DEFLATE) or not isinstance(codec, int):
        return None
    try:
        batch = batches.parse(Content(header, signature, Codec(codec), body))
        batches.verify(batch, trusted[batch.header.key])
    except (PlombaError, KeyError):
        return None
    return batch


def _quarantined(row: tuple[Wire, ...]) -> tuple[bytes, bytes | None] | None:
    """A reading that waits for a key, where its leaf is still one."""
    leaf, telegram = row
    if not isinstance(leaf, bytes):
        return None
    with suppress(PlombaError):
        SealedReading.from_wire(leaf_from_bytes(leaf))
        return leaf, telegram if isinstance(telegram, bytes) else None
    return None


def _own_keys(database: sqlite3.Connection) -> list[PublicKey]:
    with suppress(*schema.DAMAGE, PlombaError, ValueError, TypeError):
        rows = database.execute("SELECT algorithm, octets FROM own_key").fetchall()
        return [PublicKey(Algorithm(algorithm), octets) for algorithm, octets in rows]
    return []


def _meta(database: sqlite3.Connection) -> dict[str, Wire]:
    found: dict[str, Wire] = {}
    for name in META_NAMES:
        with suppress(*schema.DAMAGE, PlombaError):
            row = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
            if row is not None:
                found[name] = unpack(row[0], META_BYTES, f"buffer.{name}")
    if not _order_holds(found):
        found.pop("order", None)  # else a number out of rot might make every later word stale
        found.pop("last_ack", None)
    return found


def _undeclared(database: sqlite3.Connection) -> list[tuple[bytes, int, int]]:
    """Gaps that were known before and that no committed batch has declared lost yet."""
    with suppress(*schema.DAMAGE, PlombaError):
        row = database.execute("SELECT value FROM meta WHERE name = 'gaps'").fetchone()
        wire = [] if row is None else unpack(row[0], META_BYTES, "buffer.gaps")
        fields = [Fields(each, "buffer.gaps", 3) for each in wire] if isinstance(wire, list) else []
        return [(each.octets("epoch", EPOCH), each.integer("first", 1), each.integer("last", 1)) for each in fields]
    return []


def _order_holds(meta: Mapping[str, Wire]) -> bool:
    try:
        order, last = Fields(meta.get("order"), "order", 2), Fields(meta.get("last_ack"), "last_ack", 2)
        return _agree((order.integer("generation"), order.integer("number")), last.octets("header"))
    except PlombaError:
        return False


def _place(row: tuple[Wire, ...]) -> bool:
    return isinstance(row[0], bytes) and isinstance(row[1], int)


def _gaps(whole: list[Batch], named: set[tuple[Wire, Wire]], head: Wire) -> list[tuple[bytes, int, int]]:
    """Places that are known to have existed and are not whole.

    The index names what was held; where it does not read, what a child names as its parent is known to have been here.
    """
    have: dict[bytes, set[int]] = {}
    for batch in whole:
        have.setdefault(batch.header.epoch, set()).add(batch.header.seq)
    known = {(epoch, seq) for epoch, seq in named if isinstance(epoch, bytes) and isinstance(seq, int)}
    if not known:
        parents = [each.header.parent for each in whole]
        known |= {(parent.epoch, parent.seq) for parent in parents if parent is not None}
    if isinstance(head, list) and len(head) >= 2 and isinstance(head[0], bytes) and isinstance(head[1], int):
        known.add((head[0], head[1]))
    found: list[tuple[bytes, int, int]] = []
    for epoch in sorted({epoch for epoch, _ in known} | set(have)):
        mine = sorted(seq for each, seq in known if each == epoch and seq not in have.get(epoch, ()))
        found += [(epoch, first, last) for first, last in _spans(sorted(have.get(epoch, ())), mine)]
    return found


def _spans(have: list[int], missing: list[int]) -> list[tuple[int, int]]:
    """Holes between the numbers that are there and up to the highest that is known; below, only what is named."""
    found: list[tuple[int, int]] = []
    for seq in missing:
        if not have or seq < have[0]:
            if found and found[-1][1] == seq - 1:
                found[-1] = (found[-1][0], seq)
            else:
                found.append((seq, seq))
    found += [(low + 1, high - 1) for low, high in pairwise(have) if high > low + 1]
    if have and missing and missing[-1] > have[-1]:
        found.append((have[-1] + 1, missing[-1]))
    return found
