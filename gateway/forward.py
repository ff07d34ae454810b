"""When to send what: a state machine over an injected clock and random source, without I/O.

Rules (the uplink's "resend" and "hello"):

* A hello at connect, hourly, and when acknowledgements stop: something was sent and nothing came back for 5 s. Then
  with pauses that double up to 15 min, jittered; any valid acknowledgement ends that. Meanwhile only hellos leave.
* At most `window` batches are in flight. First those with seq 1, then batches younger than 15 min, every second place
  to the oldest. Again after 30 s, doubling to 15 min, jittered; a refused one every 15 min.
* At once, where the collector's word shows that a batch was lost on the way: a hello that listed it, said after it was
  sent, was answered without it; or (once for each batch) one that was sent after it is stored.
* The word that ends a silence is answered with a hello, to hear what is stored.
* While the clock is unset, only hellos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.chain import Chain, Entry
from protocols.uplink import acknowledgement, limits
from protocols.uplink.ranges import Range

SILENCE_MS = 5_000  # without any acknowledgement while something is in flight
HOUR_MS = 3_600_000  # between hellos when all is well
FIRST_PAUSE_MS = 5_000  # between hellos when nothing comes back; doubles
LONGEST_PAUSE_MS = 900_000
RESEND_MS = 30_000  # the first time; doubles to `LONGEST_PAUSE_MS`
YOUNG_MS = 900_000  # a batch younger than this is news
AT_ONCE = 2  # batches that a link asks for at once: what is sealed meanwhile waits for these, however slow the line is
WINDOW = 16  # batches in flight until an acknowledgement says otherwise
JITTER = 0.25  # of each pause, both ways: a thousand gateways must not speak at once


@dataclass(frozen=True, slots=True)
class SendHello:
    """Say what is held: these ranges."""

    held: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send this batch."""

    id: bytes


Action = SendHello | SendBatch


@dataclass(slots=True)
class _Try:
    sent_ms: int
    due_ms: int
    pause_ms: int
    hurried: bool = False
    unread: bool = False  # the buffer did not give it: nothing was sent

    def flies(self, now_ms: int) -> bool:
        """Whether it may be on its way: not one that nothing answered for 30 s, nor one that is known to be lost."""
        return now_ms - self.sent_ms < RESEND_MS and now_ms < self.due_ms


class Forward:
    """Decides; the caller acts and tells what came back. All instants are of the monotonic clock, in ms.

    Args:
        chain: what is held and marked.
        uniform: the random source: a number between its two arguments.
        window: batches in flight, as the last acknowledgement said.
    """

    def __init__(self, chain: Chain, uniform: Callable[[float, float], float], window: int | None = None) -> None:
        self._chain, self._uniform = chain, uniform
        self.window = window or WINDOW
        self._tries: dict[bytes, _Try] = {}
        self._connected = False
        self._hello_ms = 0  # when the next hello is due
        self._waiting_ms: int | None = None  # since when something is in flight that nothing answered
        self._pause_ms = 0  # between hellos while nothing comes back; 0: acknowledgements come
        self._turn = 0  # even: a young batch, odd: the oldest
        self._rotation = 0

    @property
    def quiet(self) -> bool:
        """Whether acknowledgements have stopped, so that only hellos leave."""
        return self._pause_ms > 0

    def connected(self, now_ms: int) -> None:
        """The pipe is open: hello at once."""
        self._connected, self._hello_ms, self._waiting_ms = True, now_ms, None

    def disconnected(self) -> None:
        """The pipe is closed; what was in flight may have arrived or not."""
        self._connected, self._waiting_ms = False, None

    def acknowledged(self, now_ms: int, window: int, answered: bool = False) -> None:
        """A valid acknowledgement came (`answered`: to our latest hello), and its marks are taken over."""
        self.window = window
        stored = [each.sent_ms for batch, each in self._tries.items() if self._chain.mark_of(batch)]
        for batch, tried in self._tries.items():
            if stored and tried.sent_ms < max(stored) and not tried.hurried:
                tried.hurried = True
                self._hurry(batch, tried, now_ms)
        self._drop_settled()
        self._waiting_ms = now_ms if self._flying(now_ms) else None
        if self.quiet:
            self._pause_ms = 0
            self._hello_ms = now_ms + self._jittered(HOUR_MS) if answered else now_ms

    def not_stored(self, batches: Iterable[bytes], said_ms: int, now_ms: int) -> None:
        """A hello that was said at `said_ms` and listed these batches was answered without them."""
        for batch in batches:
            tried = self._tries.get(batch)
            if tried is not None and not tried.unread and tried.sent_ms <= said_ms:
                self._hurry(batch, tried, now_ms)

    def unread(self, batch: bytes) -> None:
        """The buffer did not give a batch that was due: it is tried again in its turn, and no answer hurries it."""
        tried = self._tries.get(batch)
        if tried is not None:
            tried.unread = True

    def forget(self) -> None:
        """All marks were cleared: everything is due again."""
        self._tries.clear()

    def next_actions(
        self, now_ms: int, utc_ms: int, clock_unset: bool, at_once: int = acknowledgement.WINDOW
    ) -> list[Action]:
        """What to send now, in this order; it counts as sent. At most `at_once` batches: ask again after these."""
        if not self._connected:
            return []
        actions: list[Action] = []
        if self._stopped(now_ms):
            self._pause_ms = FIRST_PAUSE_MS
            self._hello_ms = now_ms
        if now_ms >= self._hello_ms:
            actions.append(self._hello(now_ms, clock_unset))
        if not self.quiet and not clock_unset:
            actions.extend(self._batches(now_ms, utc_ms, at_once))
        if actions and self._waiting_ms is None:
            self._waiting_ms = now_ms
        return actions

    def wait_ms(self, now_ms: int) -> int:
        """How long nothing can become due unless something happens."""
        if not self._connected:
            return FIRST_PAUSE_MS
        due = [self._hello_ms]
        if self._waiting_ms is not None and not self.quiet:
            due.append(self._waiting_ms + SILENCE_MS)
        if not self.quiet:
            due += self._free_ms(now_ms)
        return max(1, min(due) - now_ms)

    def _free_ms(self, now_ms: int) -> list[int]:
        """When a batch that was sent can be sent again; while the window is full: when one of them leaves it."""
        tries = self._tries.values()
        if self._flying(now_ms) < self.window:
            return [each.due_ms for each in tries]
        return [min(each.due_ms, each.sent_ms + RESEND_MS) for each in tries if each.flies(now_ms)]

    def _stopped(self, now_ms: int) -> bool:
        waiting = self._waiting_ms
        return not self.quiet and waiting is not None and now_ms - waiting >= SILENCE_MS

    def _hello(self, now_ms: int, clock_unset: bool) -> SendHello:
        if self.quiet or clock_unset:
            pause_ms = self._pause_ms or FIRST_PAUSE_MS
            self._hello_ms = now_ms + self._jittered(pause_ms)
            self._pause_ms = min(pause_ms * 2, LONGEST_PAUSE_MS)
        else:
            self._hello_ms = now_ms + self._jittered(HOUR_MS)
        return SendHello(self._held())

    def _held(self) -> tuple[Range, ...]:
        """At most 64 ranges, in rotation over all that is held, the newest first."""
        runs = self._chain.runs()[::-1]
        if len(runs) <= limits.RANGES:
            return tuple(runs)
        start = self._rotation % len(runs)
        self._rotation = start + limits.RANGES
        return tuple((runs + runs)[start : start + limits.RANGES])

    def _batches(self, now_ms: int, utc_ms: int, at_once: int) -> Iterator[SendBatch]:
        self._drop_settled()
        room = min(self.window - self._flying(now_ms), at_once)
        if room <= 0:
            return
        waiting = [each for each in self._chain.unstored() if self._is_due(each, now_ms)]
        first = [each for each in waiting if each.seq == 1]
        others = [each for each in waiting if each.seq != 1]
        young = [each for each in others if utc_ms - each.created_ms < YOUNG_MS]
        for entry in self._in_turn(first, young, others, room):
            self._sent(entry, now_ms)
            yield SendBatch(entry.id)

    def _in_turn(self, first: list[Entry], young: list[Entry], oldest: list[Entry], room: int) -> list[Entry]:
        """Seq 1 first; then young ones and, every second place, the oldest."""
        chosen = {entry.id: entry for entry in first[:room]}
        queues = (iter(young), iter(oldest))
        while len(chosen) < room:
            entry = next((each for each in queues[self._turn] if each.id not in chosen), None)
            if entry is None:
                entry = next((each for each in queues[1 - self._turn] if each.id not in chosen), None)
                if entry is None:
                    break
            chosen[entry.id] = entry
            self._turn = 1 - self._turn
        return list(chosen.values())

    def _flying(self, now_ms: int) -> int:
        """How many hold a place in the window."""
        return sum(each.flies(now_ms) for each in self._tries.values())

    def _is_due(self, entry: Entry, now_ms: int) -> bool:
        tried = self._tries.get(entry.id)
        return tried is None or now_ms >= tried.due_ms

    def _sent(self, entry: Entry, now_ms: int) -> None:
        tried = self._tries.get(entry.id)
        pause_ms = RESEND_MS if tried is None else min(tried.pause_ms * 2, LONGEST_PAUSE_MS)
        if entry.id in self._chain.refusals():
            pause_ms = LONGEST_PAUSE_MS
        hurried = tried is not None and tried.hurried
        self._tries[entry.id] = _Try(now_ms, now_ms + self._jittered(pause_ms), pause_ms, hurried)

    def _hurry(self, batch: bytes, tried: _Try, now_ms: int) -> None:
        if batch not in self._chain.refusals():
            tried.due_ms = now_ms
            tried.pause_ms //= 2  # it doubles when it is sent: this time the collector itself asked for it

    def _drop_settled(self) -> None:
        for batch in [each for each in self._tries if self._chain.mark_of(each) or each not in self._chain]:
            del self._tries[batch]

    def _jittered(self, pause_ms: int) -> int:
        return int(pause_ms * self._uniform(1 - JITTER, 1 + JITTER))
