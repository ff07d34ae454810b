"""What an acknowledgement changes: pure.

A mark frees batches for removal, so nothing forged, foreign or old may set one: an acknowledgement counts with a valid
signature of the trusted key, our name, the trusted collector's name and (generation, number) above the last accepted;
a range counts only for batches that we reach by `prev` from our own batch with the id that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.chain import Chain, Mark
from gateway.faults import WrongCollector
from protocols.uplink.acknowledgement import KIND, Acknowledgement
from protocols.uplink.envelope import open_envelope
from protocols.uplink.faults import StaleError
from protocols.uplink.hello import Signed
from protocols.uplink.keys import BoxKey
from protocols.uplink.ranges import Range
from protocols.uplink.trust import Trust

Order = tuple[int, int]  # (generation, number)
NO_ORDER: Order = (0, 0)


@dataclass(frozen=True, slots=True)
class Heard:
    """An acknowledgement that counts, and its bytes as received."""

    ack: Acknowledgement
    signed: Signed


@dataclass(frozen=True, slots=True)
class Change:
    """What an accepted acknowledgement changes.

    `marks` and `refused` are new values by batch id (None: no longer refused); `answered` says that it answers our
    latest hello, `cleared` that its generation is new; `taken_back` are batches whose mark became weaker otherwise;
    `contradicts` that it names another batch at a place of our current epoch.
    """

    marks: dict[bytes, Mark]
    refused: dict[bytes, str | None]
    answered: bool
    cleared: bool
    taken_back: tuple[bytes, ...]
    contradicts: bool


def accept(packet: bytes, gateway: str, box: BoxKey, trust: Trust, last: Order) -> Heard:
    """Open a packet from `down/ack` and check everything but its ranges.

    Raises:
        PlombaError: which check failed; nothing of it may be used.
    """
    content = open_envelope(packet, KIND, gateway, {box.public.id: box})
    trust.ack.verify(KIND, content.header, content.signature)
    ack = Acknowledgement.from_bytes(content.header)
    if (ack.gateway, ack.collector) != (gateway, trust.collector):
        raise WrongCollector(f"{trust.collector} to {gateway}", f"{ack.collector} to {ack.gateway}", "acknowledgement")
    if ack.order <= last:
        raise StaleError(f"(generation, number) above {last}", f"{ack.order}", "acknowledgement")
    return Heard(ack, Signed(content.header, content.signature))


def change(
    ack: Acknowledgement, chain: Chain, epoch: bytes, last: Order, nonce: bytes | None, listed: Sequence[Range]
) -> Change:
    """What `ack` changes, given our current epoch, the last order, and the unanswered hello's nonce and ranges."""
    said = _said(ack, chain)
    answered = nonce is not None and ack.nonce == nonce
    cleared = last != NO_ORDER and ack.generation > last[0]
    after: dict[bytes, Mark] = {}
    if cleared:
        after = dict.fromkeys(chain.marked(), Mark.NONE)
    for batch, mark in said.items():
        after[batch] = mark if cleared else max(mark, chain.mark_of(batch))
    if answered:
        after |= {entry.id: said.get(entry.id, Mark.NONE) for found in listed for entry in chain.walk(found)}
    marks = {batch: mark for batch, mark in after.items() if mark is not chain.mark_of(batch)}
    taken_back = () if cleared else tuple(batch for batch, mark in marks.items() if mark < chain.mark_of(batch))
    return Change(marks, _refused(ack, chain, marks), answered, cleared, taken_back, _contradicts(ack, chain, epoch))


def _said(ack: Acknowledgement, chain: Chain) -> dict[bytes, Mark]:
    said = {entry.id: Mark.STORED for found in ack.stored for entry in chain.walk(found)}
    return said | {entry.id: Mark.SAFE for found in ack.safe for entry in chain.walk(found)}


def _refused(ack: Acknowledgement, chain: Chain, marks: dict[bytes, Mark]) -> dict[bytes, str | None]:
    found: dict[bytes, str | None] = {}
    for each in ack.refused:
        mine = chain.at(each.epoch, each.seq)
        if mine is not None and mine.id == each.id:
            found[each.id] = each.code
    return found | {batch: None for batch, mark in marks.items() if mark and batch in chain.refusals()}


def _contradicts(ack: Acknowledgement, chain: Chain, epoch: bytes) -> bool:
    for found in (*ack.stored, *ack.safe):
        if found.epoch != epoch:
            continue
        mine = chain.at(epoch, found.last)
        if found.last > chain.newest_seq(epoch) or (mine is not None and mine.id != found.id):
            return True
    return False
