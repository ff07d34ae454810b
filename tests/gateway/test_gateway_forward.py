"""When what is sent, in virtual time."""

from __future__ import annotations

import itertools

from gateway.chain import Chain, Entry, Mark
from gateway.forward import (
    LONGEST_PAUSE_MS,
    RESEND_MS,
    SILENCE_MS,
    WINDOW,
    YOUNG_MS,
    Forward,
    SendBatch,
    SendHello,
)
from protocols.uplink import limits

EPOCH = b"e" * 16
UTC_MS = 1_793_000_000_000


def middle(low: float, high: float) -> float:
    """No jitter."""
    return (low + high) / 2


def entry(seq: int, created_ms: int = UTC_MS, epoch: bytes = EPOCH) -> Entry:
    key = epoch + seq.to_bytes(16, "big")
    before = epoch + (seq - 1).to_bytes(16, "big") if seq > 1 else None
    return Entry(seq, key, epoch, seq, before, created_ms, 100)


def seqs(forward: Forward, chain: Chain, now_ms: int, unset: bool = False) -> list[int | str]:
    """What is sent at `now_ms`: numbers of batches, and "hello"."""
    found: list[int | str] = []
    for action in forward.next_actions(now_ms, UTC_MS, unset):
        match action:
            case SendHello():
                found.append("hello")
            case SendBatch(batch):
                sent = chain.get(batch)
                assert sent is not None
                found.append(sent.seq)
    return found


def test_the_first_batch_goes_first_then_news_and_every_second_place_to_the_oldest() -> None:
    """After an outage the newest readings are not last."""
    old = [entry(n, UTC_MS - YOUNG_MS - 1) for n in range(1, 40)]
    chain = Chain([*old, *(entry(n) for n in range(40, 60))])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert seqs(forward, chain, 0) == ["hello", 1, 40, 2, 41, 3, 42, 4, 43, 5, 44, 6, 45, 7, 46, 8, 47]


def test_no_more_than_the_window_is_in_flight() -> None:
    """And what is acknowledged makes room."""
    chain = Chain([entry(n) for n in range(1, 60)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert len(seqs(forward, chain, 0)) == 1 + WINDOW
    assert seqs(forward, chain, 1000) == []
    chain.set_marks({entry(n).id: Mark.STORED for n in range(1, 6)}, {})
    forward.acknowledged(1000, 4)
    assert seqs(forward, chain, 1000) == []
    chain.set_marks({entry(n).id: Mark.STORED for n in range(6, 16)}, {})
    forward.acknowledged(1500, 4)
    assert len(seqs(forward, chain, 1500)) == 3


def test_without_acknowledgements_only_hellos_leave_with_growing_pauses() -> None:
    """5 s, 10 s, ... 15 min; a silent collector costs almost nothing and no data is sent again."""
    chain = Chain([entry(n) for n in range(1, 60)])
    forward = Forward(chain, middle)
    forward.connected(0)
    seqs(forward, chain, 0)
    hellos = []
    for now_ms in range(1000, 7_200_000, 1000):
        found = seqs(forward, chain, now_ms)
        assert set(found) <= {"hello"}
        hellos += [now_ms] * len(found)
    pauses = [after - before for before, after in itertools.pairwise(hellos)]
    assert hellos[0] == SILENCE_MS
    assert pauses[:4] == [5_000, 10_000, 20_000, 40_000]
    assert max(pauses) == LONGEST_PAUSE_MS


def test_any_acknowledgement_ends_the_silence() -> None:
    """Data flow again at once, and a hello asks what of it is stored."""
    chain = Chain([entry(n) for n in range(1, 60)])
    forward = Forward(chain, middle)
    forward.connected(0)
    seqs(forward, chain, 0)
    assert seqs(forward, chain, SILENCE_MS) == ["hello"]
    assert forward.quiet
    chain.set_marks({entry(n).id: Mark.STORED for n in range(1, 17)}, {})
    forward.acknowledged(SILENCE_MS + 100, WINDOW)
    first, *others = seqs(forward, chain, SILENCE_MS + 100)
    assert first == "hello"
    assert len(others) == WINDOW


def test_a_batch_that_nothing_acknowledges_is_sent_again_with_growing_pauses() -> None:
    """30 s doubling to 15 min, while others are acknowledged."""
    chain = Chain([entry(1)])
    forward = Forward(chain, middle)
    forward.connected(0)
    times = []
    for now_ms in range(0, 4_000_000, 1000):
        if 1 in seqs(forward, chain, now_ms):
            times.append(now_ms)
        forward.acknowledged(now_ms, WINDOW)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[:4] == [RESEND_MS, 2 * RESEND_MS, 4 * RESEND_MS, 8 * RESEND_MS]
    assert max(pauses) == LONGEST_PAUSE_MS


def test_a_batch_that_the_answer_to_a_later_hello_does_not_name_is_sent_again_at_once() -> None:
    """It was lost on the way; one that was sent after the hello may still be under way."""
    chain = Chain([entry(1)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert seqs(forward, chain, 0) == ["hello", 1]
    chain.add(entry(2))
    assert seqs(forward, chain, 200) == [2]
    forward.acknowledged(300, 16, answered=True)
    forward.not_stored([entry(1).id, entry(2).id], 100, 300)
    assert seqs(forward, chain, 300) == [1]
    assert seqs(forward, chain, 301) == []


def test_a_batch_that_the_buffer_does_not_give_is_not_hurried_by_what_the_collector_lacks() -> None:
    """A disk that does not read would be asked for it at every answer."""
    chain = Chain([entry(1), entry(2)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert seqs(forward, chain, 0) == ["hello", 1, 2]
    forward.unread(entry(1).id)
    forward.acknowledged(300, 16, answered=True)
    forward.not_stored([entry(1).id, entry(2).id], 100, 300)
    assert seqs(forward, chain, 300) == [2]
    forward.acknowledged(60_000, 16)
    assert 1 in seqs(forward, chain, 60_000)  # in its turn


def test_a_batch_that_later_ones_overtook_is_sent_again_at_once_but_only_once() -> None:
    """A hole in what is stored: either it was lost, or somebody keeps it from the collector for good."""
    chain = Chain([entry(1), entry(2)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert seqs(forward, chain, 0) == ["hello", 1, 2]
    chain.add(entry(3))
    assert seqs(forward, chain, 100) == [3]
    chain.set_marks({entry(1).id: Mark.STORED, entry(3).id: Mark.STORED}, {})
    forward.acknowledged(200, 16)
    assert seqs(forward, chain, 200) == [2]
    chain.add(entry(4))
    assert seqs(forward, chain, 300) == [4]
    chain.set_marks({entry(4).id: Mark.STORED}, {})
    forward.acknowledged(400, 16)
    assert seqs(forward, chain, 400) == []


def test_a_refused_batch_is_retried_slowly() -> None:
    """Every quarter of an hour."""
    chain = Chain([entry(1)], refused={entry(1).id: "revoked"})
    forward = Forward(chain, middle)
    forward.connected(0)
    times = []
    for now_ms in range(0, 4_000_000, 1000):
        if 1 in seqs(forward, chain, now_ms):
            times.append(now_ms)
        forward.acknowledged(now_ms, WINDOW)
    assert {after - before for before, after in itertools.pairwise(times)} == {LONGEST_PAUSE_MS}


def test_an_unset_clock_sends_hellos_only() -> None:
    """Until signed time comes."""
    chain = Chain([entry(1)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert [seqs(forward, chain, ms, unset=True) for ms in (0, 1000, 5000)] == [["hello"], [], ["hello"]]
    forward.acknowledged(6000, WINDOW, answered=True)
    assert seqs(forward, chain, 6000) == [1]


def test_an_acknowledgement_that_sets_no_clock_is_followed_by_a_hello_and_by_nothing_else() -> None:
    """The collector's greeting has no nonce: it ends the silence, but only the answer to a hello brings the time."""
    chain = Chain([entry(1)])
    forward = Forward(chain, middle)
    forward.connected(0)
    assert seqs(forward, chain, 0, unset=True) == ["hello"]
    forward.acknowledged(100, WINDOW)
    assert seqs(forward, chain, 100, unset=True) == ["hello"]
    assert seqs(forward, chain, 5_100, unset=True) == ["hello"]
    forward.acknowledged(5_200, WINDOW, answered=True)
    assert seqs(forward, chain, 5_200) == [1]


def test_held_goes_around_over_more_ranges_than_one_hello_takes() -> None:
    """Every range is shown within two hellos when there are 100."""
    chain = Chain([entry(1, epoch=bytes([n]) * 16) for n in range(100)])
    forward = Forward(chain, middle)
    shown = set()
    for turn in range(2):
        forward.connected(turn)
        (hello, *_) = forward.next_actions(turn, UTC_MS, clock_unset=True)
        assert isinstance(hello, SendHello)
        assert len(hello.held) == limits.RANGES
        shown |= {each.epoch for each in hello.held}
    assert len(shown) == 100


def test_nothing_is_sent_without_a_connection() -> None:
    """Not even a hello."""
    chain = Chain([entry(1)])
    forward = Forward(chain, middle)
    assert forward.next_actions(0, UTC_MS, clock_unset=False) == []


def test_batches_that_a_short_absence_cost_leave_at_once_when_the_collector_is_back() -> None:
    """A full window was lost on the way: the answer to the next hello says so, and they hold no place any more."""
    chain = Chain([entry(n) for n in range(1, 60)])
    forward = Forward(chain, middle)
    forward.connected(0)
    lost = seqs(forward, chain, 0)
    assert len(lost) == 1 + WINDOW
    assert seqs(forward, chain, SILENCE_MS) == ["hello"]
    forward.acknowledged(SILENCE_MS + 500, WINDOW, answered=True)
    forward.not_stored([each.id for each in chain.entries()], SILENCE_MS, SILENCE_MS + 500)
    assert sorted(seqs(forward, chain, SILENCE_MS + 500), key=str) == sorted(lost[1:], key=str)


def test_what_is_due_while_the_window_is_full_is_waited_for_and_not_asked_for_again_and_again() -> None:
    """The next instant at which anything can leave is when a place becomes free."""
    chain = Chain([entry(n) for n in range(1, 60)])
    forward = Forward(chain, middle, 4)
    forward.connected(0)
    assert len(seqs(forward, chain, 0)) == 5
    forward.acknowledged(100, 4, answered=True)
    forward.not_stored([entry(1).id], 50, 100)
    forward.acknowledged(200, 3)
    assert seqs(forward, chain, 200) == []
    assert forward.wait_ms(200) > 1000
