"""L12: a thousand gateways come back at once, each with a backlog; what is new meanwhile is stored within a minute.

The gateways are real as far as they decide what leaves when (`Forward`, over its chain); the collector is a queue that
takes so many batches a second and tells each gateway once a second what it has. Time is virtual.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from gateway.chain import Chain, Entry, Mark
from gateway.forward import AT_ONCE, YOUNG_MS, Forward, SendBatch, SendHello
from gateway.tries import Tries

GATEWAYS, BACKLOG = 1_000, 24  # batches of six hours each
TAKEN = 400  # batches a second; a collector on one machine takes more
UTC_MS = 1_793_000_000_000
LIVE_S = 60


@dataclass
class Edge:
    """A gateway: what it holds, and when each batch of now was sealed and stored (s)."""

    name: int
    dice: random.Random
    chain: Chain = field(init=False)
    forward: Forward = field(init=False)
    connect_s: float = field(init=False)
    sealed: dict[bytes, int] = field(default_factory=dict)
    latency: list[int] = field(default_factory=list)
    told: set[bytes] = field(default_factory=set)
    answered: bool = False

    def __post_init__(self) -> None:
        old = UTC_MS - YOUNG_MS
        self.chain = Chain([self.entry(n, old - (BACKLOG - n) * YOUNG_MS) for n in range(1, BACKLOG + 1)])
        self.forward = Forward(self.chain, self.dice.uniform)
        tries = Tries(self.dice.uniform)
        tries.begun(0)  # when the broker was not there yet, at the same instant as all others
        self.connect_s = tries.pause_s(0)

    def entry(self, seq: int, created_ms: int) -> Entry:
        """One of its batches."""
        epoch = self.name.to_bytes(16, "big")
        batch, before = epoch + seq.to_bytes(16, "big"), epoch + (seq - 1).to_bytes(16, "big")
        return Entry(seq, batch, epoch, seq, before if seq > 1 else None, created_ms, 100)

    def sends(self, now_s: int) -> list[bytes]:
        """The batches that leave in this second."""
        if self.connect_s <= now_s < self.connect_s + 1:
            self.forward.connected(now_s * 1000)
        sent = list[bytes]()
        while actions := self.forward.next_actions(now_s * 1000, UTC_MS + now_s * 1000, False, AT_ONCE):
            sent += [each.id for each in actions if isinstance(each, SendBatch)]
            self.answered |= any(isinstance(each, SendHello) for each in actions)
        return sent

    def hears(self, now_s: int) -> None:
        """The collector's word: what it has."""
        if self.told or self.answered:
            self.chain.set_marks(dict.fromkeys(self.told, Mark.STORED), {})
            self.forward.acknowledged(now_s * 1000, 16, self.answered)
            self.latency += [now_s - self.sealed.pop(each) for each in self.told if each in self.sealed]
            self.told, self.answered = set(), False


def test_news_of_a_thousand_gateways_that_drain_at_once_is_stored_within_a_minute() -> None:
    """Each backlog drains, and of the new batches 99 of 100 do not wait for that."""
    dice = random.Random(12)
    edges = [Edge(n, random.Random(n)) for n in range(GATEWAYS)]
    seals = {edge.name: dice.randrange(30, 90) for edge in edges}  # the second in which its next batch is sealed
    queue: deque[tuple[Edge, bytes]] = deque()
    stored, now_s = set[bytes](), 0
    while len(stored) < GATEWAYS * (BACKLOG + 1):
        now_s += 1
        assert now_s < 900
        for edge in edges:
            if seals[edge.name] == now_s:
                made = edge.entry(BACKLOG + 1, UTC_MS + now_s * 1000)
                edge.chain.add(made)
                edge.sealed[made.id] = now_s
            queue.extend((edge, each) for each in edge.sends(now_s))
        for _ in range(min(TAKEN, len(queue))):
            edge, batch = queue.popleft()
            stored.add(batch)
            edge.told.add(batch)
        for edge in edges:
            edge.hears(now_s)
    latency = sorted(each for edge in edges for each in edge.latency)
    assert latency[len(latency) * 99 // 100] < LIVE_S
