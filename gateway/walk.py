"""A walk over the buffer: every seal, that each batch names the one before it, and that nothing is missing unexplained.

A place without a batch is explained where the collector has acknowledged batches (what is stored leaves when room is
needed) or where it was declared lost, or will be. Otherwise nobody took it away by the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway import status
from gateway.buffer import Gap, gaps_of
from gateway.status import Listed
from protocols.errors import PlombaError
from protocols.uplink import batch as batches
from protocols.uplink.batch import Batch
from protocols.uplink.faults import SignerError
from protocols.uplink.keys import PublicKey
from protocols.uplink.records import Lost


@dataclass(slots=True)
class Walked:
    """What a walk over the buffer found: batches and readings whose seal holds, and what does not, in words."""

    batches: int = 0
    readings: int = 0
    wrong: list[str] = field(default_factory=list)
    holes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Seen:
    """What the batches say: places that nothing is held of, and what was declared lost."""

    missing: list[Gap] = field(default_factory=list)
    lost: list[Gap] = field(default_factory=list)


class Gone(Exception):  # noqa: N818 - named after what happened
    """A batch was removed by its rules since it was listed: it is stored at the collector."""


def walk(folder: Path) -> Walked:
    """Check the buffer in a state folder.

    Raises:
        BufferMissing, BufferDamaged: there is none, or it does not read.
    """
    found, seen = Walked(), _Seen()
    keys, listed = status.own_keys(folder), status.list_batches(folder)
    held = {(bytes.fromhex(each.epoch), each.seq) for each in listed}
    last: dict[str, Listed] = {}
    for each in listed:
        before = last.get(each.epoch)
        last[each.epoch] = each
        try:
            batch, lost = checked(folder, each, keys, whole=True)
        except Gone:
            continue
        except PlombaError as error:
            found.wrong.append(f"{each.epoch} {each.seq}: {error}")
            continue
        found.batches += 1
        found.readings += each.readings
        seen.lost += lost
        seen.missing += _before(batch, 0 if before is None else before.seq, held)
        prev = batch.header.prev
        if before is not None and before.seq + 1 == each.seq and (prev is None or prev.hex() != before.id):
            found.wrong.append(f"{each.epoch} {each.seq}: it does not name the batch before it")
    _explain(folder, held, seen, found)
    return found


def checked(
    folder: Path, listed: Listed, keys: dict[bytes, PublicKey], whole: bool = False
) -> tuple[Batch, tuple[Gap, ...]]:
    """A batch whose seal holds; of one whose leaves were looked at (`whole`), what it declares lost.

    Raises:
        Gone: it is not held any more.
        PlombaError: it does not hold, or its content is not there.
    """
    content = status.content(folder, bytes.fromhex(listed.id))
    if content is None:
        if any(each.id == listed.id for each in status.list_batches(folder)):
            raise SignerError("the content of the batch that was sealed here", "nothing", "buffer")
        raise Gone
    batch = batches.parse(content)
    if batch.id.hex() != listed.id or batch.header.key not in keys:
        raise SignerError("the batch that was sealed here", batch.id.hex(), "buffer")
    body = batches.verify(batch, keys[batch.header.key])
    records = batches.expand(batch.header, body).records if whole else ()
    return batch, tuple((each.epoch, each.first, each.last) for each in records if isinstance(each, Lost))


def _before(batch: Batch, last: int, held: set[tuple[bytes, int]]) -> Iterator[Gap]:
    """The places between a batch and the one before it, of its epoch or of the epoch that it follows."""
    header = batch.header
    if header.seq > last + 1:
        yield header.epoch, last + 1, header.seq - 1
    parent = header.parent
    if parent is not None and (parent.epoch, parent.seq) not in held:
        yield parent.epoch, parent.seq, parent.seq


def _explain(folder: Path, held: set[tuple[bytes, int]], seen: _Seen, found: Walked) -> None:
    """Say of each missing place whether the rules explain it."""
    with status.reading(folder) as database:
        head, lost = status.head_of(database), [*seen.lost, *gaps_of(database)]
        acknowledged = status.last_of(database) is not None
    if head is not None and head not in held:
        found.wrong.append(f"{head[0].hex()} {head[1]}: the newest batch is not there")
    for epoch, first, last in seen.missing:
        place = f"{epoch.hex()} {first} to {last}"
        if acknowledged or _covers(lost, (epoch, first, last)):
            found.holes.append(place)
        else:
            found.wrong.append(f"{place}: not there, never acknowledged, and not declared lost")


def _covers(lost: Iterable[Gap], gap: Gap) -> bool:
    """Whether every place of a gap was declared lost."""
    epoch, at, end = gap
    for first, last in sorted(each[1:] for each in lost if each[0] == epoch):
        if first <= at <= last:
            at = last + 1
    return at > end
