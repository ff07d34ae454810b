"""A week without a link, then a slow one: the old drains in the order of its age, and news is never behind it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from gateway.chain import Chain, Entry, Mark
from gateway.forward import AT_ONCE, Forward, SendBatch

START_MS = 1_793_000_000_000
EPOCH = b"e" * 16
QUARTER_MS = 900_000
WEEK = 7 * 96  # quarters of an hour
BUSES = 2  # of 50 meters each: one batch a quarter of an hour
ACKNOWLEDGED_MS = 1_000  # the collector's word comes once a second
FEW = 6  # messages: what is decided already, and every second place before news of two buses


@dataclass
class Line:
    """A gateway's forwarding on a line that takes `message_ms` for a message, with a collector that acknowledges."""

    message_ms: int
    window: int
    chain: Chain = field(default_factory=Chain)
    now_ms: int = 0
    sent: list[int] = field(default_factory=list)  # numbers of batches
    behind: list[int] = field(default_factory=list)  # of each fresh batch: how many messages left before it
    waiting: dict[int, int] = field(default_factory=dict)  # fresh batches, with the messages sent when they were sealed

    def seal(self, created_ms: int) -> int:
        """One more batch of each bus."""
        for _ in range(BUSES):
            n = len(self.chain) + 1
            before = (n - 1).to_bytes(32, "big") if n > 1 else None
            self.chain.add(Entry(n, n.to_bytes(32, "big"), EPOCH, n, before, START_MS + created_ms, 7_000))
        return n

    def drain(self) -> int:
        """Until all that was old is stored; how long that took, in ms."""
        old = 0
        for quarter in range(WEEK):
            old = self.seal((quarter - WEEK) * QUARTER_MS)
        forward = Forward(self.chain, random.Random(1).uniform, self.window)
        forward.connected(0)
        while any(entry.n <= old for entry in self.chain.unstored()):
            actions = forward.next_actions(self.now_ms, START_MS + self.now_ms, False, AT_ONCE)
            for action in actions:
                self._pass(forward, self.message_ms)
                if isinstance(action, SendBatch):
                    self._take(int.from_bytes(action.id, "big"))
            if not any(isinstance(action, SendBatch) for action in actions):
                self._pass(forward, min(forward.wait_ms(self.now_ms), ACKNOWLEDGED_MS))
        return self.now_ms

    def _take(self, n: int) -> None:
        if n in self.waiting:
            self.behind.append(len(self.sent) - self.waiting.pop(n))
        self.sent.append(n)

    def _pass(self, forward: Forward, ms: int) -> None:
        """Let time pass: acknowledgements come, meters are read."""
        before, self.now_ms = self.now_ms, self.now_ms + ms
        if before // ACKNOWLEDGED_MS != self.now_ms // ACKNOWLEDGED_MS:
            came = {n.to_bytes(32, "big") for n in self.sent}
            self.chain.set_marks({batch: Mark.STORED for batch in came if not self.chain.mark_of(batch)}, {})
            forward.acknowledged(self.now_ms, self.window)
        if before // QUARTER_MS != self.now_ms // QUARTER_MS:
            newest = self.seal(self.now_ms)
            self.waiting |= dict.fromkeys(range(newest - BUSES + 1, newest + 1), len(self.sent))


@pytest.mark.parametrize("window", [16, 64])
@pytest.mark.parametrize("message_ms", [200, 2_000])
def test_a_week_of_a_hundred_meters_drains_and_news_is_not_behind_it(message_ms: int, window: int) -> None:
    """Every old batch leaves once, oldest first but for the last round, and as much of the line is left for news."""
    line = Line(message_ms, window)
    took_ms = line.drain()
    old = [n for n in line.sent if n <= WEEK * BUSES]
    assert sorted(old) == list(range(1, WEEK * BUSES + 1))
    young = {old.index(n) for n in range(WEEK * BUSES - BUSES + 1, WEEK * BUSES + 1)}  # not yet 15 min old: news, too
    by_age = [n for place, n in enumerate(old) if place not in young]
    assert by_age == sorted(by_age)
    assert took_ms <= (len(line.sent) + 2) * message_ms + 2 * ACKNOWLEDGED_MS
    fresh = took_ms // QUARTER_MS * BUSES
    assert len(line.behind) + len(line.waiting) == fresh
    assert max(line.behind, default=0) <= FEW
