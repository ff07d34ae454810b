"""What the collector says to a gateway: signed, after commit, from committed rows only, at most once a second each.

A range is bound to the id of its last batch and the gateway walks back from there, so ranges are cut wherever that walk
would stop: at holes, at numbers declared lost, and (in the answer to a hello) at the holes of what the hello lists. In
an epoch with contradictions each branch gets ranges of its own. The number is raised durably before the packet leaves,
so that it rises over restarts; whoever restores an older store is noticed by it (`restored`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from collector import runs
from collector.epochs import Facts
from collector.restored import RESTORED
from collector.runs import Runs
from collector.store.interface import Store
from protocols.uplink import limits
from protocols.uplink.acknowledgement import KIND, Acknowledgement, Refusal
from protocols.uplink.envelope import Codec, Content, close
from protocols.uplink.hello import Hello
from protocols.uplink.keys import PublicKey, SigningKey
from protocols.uplink.ranges import Range

INTERVAL_MS = 1_000  # between two acknowledgements to one gateway

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Word:
    """What every acknowledgement of this collector has in common."""

    collector: str
    key: SigningKey
    window: int
    safe_after_ms: int
    trust: int


@dataclass(frozen=True, slots=True)
class Packet:
    """An acknowledgement, ready to be published."""

    gateway: str
    octets: bytes


@dataclass(slots=True)
class _Owed:
    """What waits to be said to one gateway."""

    hello: Hello | None = None
    refusals: list[Refusal] = field(default_factory=list)


class Acknowledger:
    """Knows to whom a word is owed, and makes it."""

    def __init__(self, store: Store, word: Word) -> None:
        self._store = store
        self._word = word
        self._owed: dict[str, _Owed] = {}
        self._last_mono_ms: dict[str, int] = {}

    def owe(self, gateway: str, hello: Hello | None = None, refusals: Sequence[Refusal] = ()) -> None:
        """An acknowledgement is due; the newest hello is the one that is answered."""
        owed = self._owed.setdefault(gateway, _Owed())
        owed.hello = hello or owed.hello
        owed.refusals = [*owed.refusals, *refusals][-limits.REFUSALS :]

    def wait_ms(self, mono_ms: int) -> int | None:
        """How long until the next word may leave; None when none is owed."""
        waits = [self._last_mono_ms.get(each, mono_ms - INTERVAL_MS) + INTERVAL_MS - mono_ms for each in self._owed]
        return max(0, min(waits)) if waits else None

    def make(self, boxes: dict[str, PublicKey], now_ms: int, mono_ms: int) -> list[Packet]:
        """The packets that may leave now, sealed to `boxes`; gateways that are not in it are forgotten.

        Raises:
            StoreFullError: the numbers could not be raised: nothing leaves, all stays owed.
        """
        ready = [
            each for each in self._owed if mono_ms - self._last_mono_ms.get(each, mono_ms - INTERVAL_MS) >= INTERVAL_MS
        ]
        known = [each for each in ready if each in boxes]
        words: list[Acknowledgement] = []
        if known:
            with self._store.transaction():
                for gateway, number in self._store.gateways.next_numbers(known).items():
                    words.append(self._compose(gateway, number, self._owed[gateway], now_ms))
        for gateway in ready:
            del self._owed[gateway]
            self._last_mono_ms[gateway] = mono_ms
        return [Packet(word.gateway, self._seal(word, boxes[word.gateway])) for word in words]

    def _compose(self, gateway: str, number: int, owed: _Owed, now_ms: int) -> Acknowledgement:
        facts = self._facts(gateway, owed.hello)
        listed = {each.epoch: _listed(each.epoch, owed.hello) for each in facts}
        safe: dict[bytes, Runs] = {}
        if not self._store.cases.any_open(RESTORED):
            before_ms = now_ms - self._word.safe_after_ms
            upto = {each.epoch: self._store.evidence.safe_to(gateway, each, before_ms) for each in facts}
            safe = {epoch: runs.common(listed[epoch], ((1, end),)) for epoch, end in upto.items() if end}
        return Acknowledgement(
            self._word.collector,
            gateway,
            self._store.gateways.generation(),
            number,
            owed.hello.nonce if owed.hello else None,
            now_ms,
            self._ranges(gateway, facts, listed),
            self._ranges(gateway, facts, safe),
            tuple(owed.refusals),
            self._word.window,
            self._word.trust,
            (limits.VERSION,),
            self._store.cases.head(),
        )

    def _facts(self, gateway: str, hello: Hello | None) -> list[Facts]:
        """The epochs that a hello lists, else the newest and the oldest; those added to last come first."""
        facts = self._store.evidence.facts(gateway)
        facts.reverse()
        if hello is None:
            return list(_newest_and_oldest(facts))
        listed = {each.epoch for each in hello.held}
        return [each for each in facts if each.epoch in listed]

    def _ranges(self, gateway: str, facts: list[Facts], within: dict[bytes, Runs]) -> tuple[Range, ...]:
        """Ranges of what is stored, as far as it lies within the numbers given for each epoch."""
        found: list[Range] = []
        for each in facts:
            stored = runs.common(each.stored, within.get(each.epoch, ()))
            if each.contradictions:
                found += self._branches(gateway, each.epoch, stored)
            else:
                # Cut at numbers declared lost: a gateway that does not have them cannot walk through. What is declared
                # lost and stored all the same is named by itself, for the gateway that has it back.
                found += self._straight(gateway, each.epoch, runs.minus(stored, each.lost))
                found += self._straight(gateway, each.epoch, runs.common(stored, each.lost))
        return _newest_and_oldest(found)

    def _straight(self, gateway: str, epoch: bytes, stored: Runs) -> Iterable[Range]:
        for first, last in _newest_and_oldest(tuple(reversed(stored))):
            yield Range(epoch, first, last, self._store.evidence.ids_at(gateway, epoch, last)[0])

    def _branches(self, gateway: str, epoch: bytes, stored: Runs) -> Iterable[Range]:
        """One range for each end of a chain within `stored`: walked back as the gateway will."""
        links = self._store.evidence.links(gateway, epoch)
        inside = {batch: (seq, prev) for seq, batch, prev in links if runs.common(stored, ((seq, seq),))}
        followed = {prev for _, prev in inside.values()}
        for batch, (last, _) in sorted(inside.items(), key=lambda item: -item[1][0]):
            if batch in followed:
                continue
            first, prev = inside[batch]
            while prev in inside:
                first, prev = inside[prev]
            yield Range(epoch, first, last, batch)

    def _seal(self, word: Acknowledgement, box: PublicKey) -> bytes:
        header = word.to_bytes()
        content = Content(header, self._word.key.sign(KIND, header), Codec.PLAIN, b"")
        return close(content, KIND, word.gateway, box)


def _listed(epoch: bytes, hello: Hello | None) -> Runs:
    """The numbers of an epoch that a hello lists; without a hello all."""
    if hello is None:
        return ((1, limits.INT64_MAX),)
    return runs.union((each.first, each.last) for each in hello.held if each.epoch == epoch)


def _newest_and_oldest(found: Sequence[T]) -> tuple[T, ...]:
    """At most `RANGES`, from both ends."""
    if len(found) <= limits.RANGES:
        return tuple(found)
    half = limits.RANGES // 2
    return (*found[:half], *found[-half:])
