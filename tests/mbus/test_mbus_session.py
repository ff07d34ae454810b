"""The read session against simulated slaves in memory: whole, in pieces, echoed, noisy, late, foreign, silent."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path

import pytest
from mbus_bench import Hear, Line

from protocols.errors import MeterError
from protocols.mbus import faults, link, telegram
from protocols.mbus.session import MAX_TELEGRAMS, Done, Failed, ReadSession, SlaveState
from protocols.mbus.timing import Timing
from simulators.mbus.bus import Bus
from simulators.mbus.encoding import header, long_frame
from simulators.mbus.faults import Faults
from simulators.mbus.heat import boiler_room
from simulators.mbus.meters import cellar
from simulators.record import Record

NOW_MS = 1_793_000_000_000


@pytest.fixture
def bus(tmp_path: Path) -> Callable[..., Bus]:
    """Makes a bus with the three meters, with faults."""
    return lambda written="", seed=1: Bus(
        cellar(), Record(tmp_path / "record.jsonl"), lambda: NOW_MS, seed, Faults.parse(written)
    )


def read(hear: Hear, address: int = 1, slave: SlaveState | None = None, size: int = 1_000) -> list[link.Frame]:
    outcome = Line(hear, size).drive(ReadSession(address, slave or SlaveState(), Timing()))
    assert isinstance(outcome, Done), outcome
    return list(outcome.telegrams)


def failure(hear: Hear) -> MeterError:
    outcome = Line(hear).drive(ReadSession(1, SlaveState(), Timing()))
    assert isinstance(outcome, Failed)
    return outcome.error


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize("written", ["", "echo", "noise=1", "noise=1,echo"])
def test_a_meter_is_read_in_pieces_of_any_size_with_echo_and_noise(
    bus: Callable[..., Bus], written: str, size: int
) -> None:
    for address in (1, 2, 3):
        (frame,) = read(bus(written).hear, address, size=size)
        assert frame.address == address
        assert not telegram.decode(frame).partial


def test_the_frame_count_bit_toggles_after_each_good_answer(bus: Callable[..., Bus]) -> None:
    line, slave = Line(bus().hear), SlaveState()
    for _ in range(3):
        line.drive(ReadSession(1, slave, Timing()))
    assert [sent.hex() for sent in line.sent] == ["1040014116", "107b017c16", "105b015c16", "107b017c16"]


def test_a_lost_answer_is_asked_for_with_the_same_bit_and_not_lost(bus: Callable[..., Bus]) -> None:
    """The slave repeats the telegram that the line swallowed: its registers have not grown twice."""
    slaves = bus()
    swallow = iter([False, True, False])
    line = Line(lambda octets: b"" if slaves.hear(octets) and next(swallow) else _last(slaves, octets))
    session = ReadSession(1, SlaveState(), Timing())
    outcome = line.drive(session)
    assert isinstance(outcome, Done)
    assert line.sent[1] == line.sent[2]
    assert session.retries == 1
    assert slaves.slaves[1].registers.count == 1


def _last(slaves: Bus, octets: bytes) -> bytes:
    """What the slaves answer to the same request once more."""
    return slaves.hear(octets)


def test_a_failed_read_makes_the_next_one_begin_with_a_reset(bus: Callable[..., Bus]) -> None:
    slaves, slave = bus(), SlaveState()
    read(slaves.hear, 1, slave)
    assert isinstance(Line(lambda _: b"").drive(ReadSession(1, slave, Timing())), Failed)
    line = Line(slaves.hear)
    line.drive(ReadSession(1, slave, Timing()))
    assert [sent[1] for sent in line.sent] == [0x40, 0x7B]


def test_silence_is_asked_three_times_and_named() -> None:
    line = Line(lambda _: b"")
    outcome = line.drive(ReadSession(1, SlaveState(), Timing()))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, faults.NoAnswer)
    assert len(line.sent) == 3


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("silent=1", faults.NoAnswer),
        ("wrong_address=1", faults.WrongAddress),
        ("partial=1", faults.CutShort),
    ],
)
def test_a_fault_that_stays_is_named(bus: Callable[..., Bus], written: str, error: type[MeterError]) -> None:
    assert isinstance(failure(bus(written, 7).hear), error)


def test_a_garbled_byte_is_never_taken(bus: Callable[..., Bus]) -> None:
    assert isinstance(failure(bus("garble=1").hear), MeterError)


def test_a_reply_of_another_meter_is_discarded_counted_and_the_right_one_taken(bus: Callable[..., Bus]) -> None:
    slaves = bus()
    foreign = long_frame(9, 0x72, header("11111111", "KAM", 1, 4, access=1, status=0))
    session = ReadSession(1, SlaveState(), Timing())
    outcome = Line(lambda octets: foreign + slaves.hear(octets)).drive(session)
    assert isinstance(outcome, Done)
    assert [frame.address for frame in outcome.telegrams] == [1]
    assert session.foreign == 2  # before E5, and before the answer


def test_an_acknowledgement_byte_inside_a_late_answer_acknowledges_nothing() -> None:
    late = long_frame(1, 0x72, header("E5E5E5E5", "KAM", 1, 4, access=1, status=0))
    line = Line(lambda _: late)
    outcome = line.drive(ReadSession(1, SlaveState(), Timing()))
    assert isinstance(outcome, Failed)
    assert all(sent[1] == 0x40 for sent in line.sent)


def test_late_answers_never_become_those_of_another_meter(bus: Callable[..., Bus]) -> None:
    """Two hundred reads of three meters on a line where half of the answers come with the next request."""
    slaves = bus("late=0.5", 3)
    states = {address: SlaveState() for address in (1, 2, 3)}
    good = 0
    for turn in range(200):
        address = 1 + turn % 3
        outcome = Line(slaves.hear).drive(ReadSession(address, states[address], Timing()))
        if isinstance(outcome, Done):
            good += 1
            number = slaves.slaves[address].plate.number
            assert [telegram.decode(frame).identity.id for frame in outcome.telegrams] == [number]
    assert good > 100


def test_a_late_repetition_of_the_previous_poll_is_not_the_answer_to_this_one(bus: Callable[..., Bus]) -> None:
    """The same telegram to the byte comes first, the new one behind it: the new one is taken."""
    slaves, slave = bus(), SlaveState()
    (old,) = read(slaves.hear, 1, slave)
    (new,) = read(lambda octets: old.octets + slaves.hear(octets), 1, slave)
    assert new.octets != old.octets
    answered = slaves.slaves[1].answered
    assert answered is not None
    assert new.octets.hex() == answered.telegram


def test_a_late_repetition_alone_is_not_taken_from_a_meter_that_counts(bus: Callable[..., Bus]) -> None:
    """The answer itself is lost: the question is asked again, and the new telegram taken."""
    slaves, slave = bus(), SlaveState()
    read(slaves.hear, 1, slave)
    (old,) = read(slaves.hear, 1, slave)
    lost = iter([old.octets])
    (new,) = read(lambda octets: _instead(slaves.hear(octets), lost), 1, slave)
    assert telegram.decode(new).access == 3


def test_of_a_meter_that_was_seen_to_count_the_telegram_of_before_is_never_taken(bus: Callable[..., Bus]) -> None:
    """However often it comes: a converter that held it back for hours would give an old value for a new slot."""
    slaves, slave = bus(), SlaveState()
    read(slaves.hear, 1, slave)
    (old,) = read(slaves.hear, 1, slave)
    assert slave.proven
    outcome = Line(lambda octets: old.octets).drive(ReadSession(1, slave, Timing()))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, faults.OldTelegram)


def _instead(answer: bytes, others: Iterator[bytes]) -> bytes:
    return next(others, answer)


def test_a_meter_that_counts_nothing_is_read_all_the_same() -> None:
    same = long_frame(1, 0x72, header("12345678", "KAM", 1, 4, access=0, status=0))
    slave = SlaveState()
    hear: Hear = lambda octets: b"\xe5" if octets[1] == 0x40 else same  # noqa: E731
    assert [read(hear, 1, slave)[0].octets for _ in range(3)] == [same] * 3
    assert not slave.reset_due


def test_a_babbling_line_ends_the_read_after_a_bounded_number_of_bytes() -> None:
    outcome = Line(lambda _: b"\x55" * 100_000, size=100).drive(session := ReadSession(1, SlaveState(), Timing()))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, faults.Babble)
    assert session.retries == 0


def test_two_meters_at_once_give_no_value(bus: Callable[..., Bus]) -> None:
    """A collision ands the bits of two answers (M-Bus: current draws add up)."""
    slaves = bus()

    def collide(octets: bytes) -> bytes:
        one, two = slaves.hear(octets), slaves.hear(octets.replace(b"\x7b\x01\x7c", b"\x7b\x02\x7d"))
        return bytes(a & b for a, b in zip(one, two, strict=False)) if len(one) > 1 else one

    assert isinstance(failure(collide), MeterError)


class Log:
    """A slave whose answer is spread over several telegrams."""

    def __init__(self, parts: int) -> None:
        self.parts, self.at, self.fcb = parts, 0, -1

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire for a request."""
        if octets[1] == 0x40:
            self.at, self.fcb = 0, -1
            return b"\xe5"
        if (fcb := octets[1] & 0x20) != self.fcb:
            self.at, self.fcb = self.at + 1, fcb
        more = b"\x1f" if self.at < self.parts else b""
        body = (
            header("12345678", "SON", 1, 4, access=self.at, status=0)
            + bytes([0x81, self.at & 0x3F, 0x13, self.at])
            + more
        )
        return long_frame(octets[2], 0x72, body)


def test_records_that_follow_are_asked_for() -> None:
    frames = read(Log(3).hear)
    assert [telegram.decode(frame).access for frame in frames] == [1, 2, 3]
    assert [telegram.decode(frame).more for frame in frames] == [True, True, False]


def test_an_answer_without_end_is_capped_and_begins_anew_next_time() -> None:
    slave = SlaveState()
    frames = read(Log(1_000).hear, slave=slave)
    assert len(frames) == MAX_TELEGRAMS
    assert telegram.decode(frames[-1]).more
    assert slave.reset_due


class Circling:
    """A slave that ignores the frame count bit: each question has the next telegram, whether it was heard or not.

    `lost` are the answers, counted from 1, that do not arrive; `stays` says that it waits at its last telegram until it
    is reset, `only_first` that it knows no second one.
    """

    def __init__(self, parts: int, lost: Container[int] = (), stays: bool = False, only_first: bool = False) -> None:
        self.parts, self.lost, self.stays, self.only_first = parts, lost, stays, only_first
        self.at = self.answers = 0

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire for a request."""
        if octets[1] == 0x40:
            self.at = 0
            return b"\xe5"
        self.answers += 1
        last = self.parts if self.stays else 0
        self.at = 1 if self.only_first else self.at + 1 if self.at < self.parts else last or 1
        more = b"\x1f" if self.at < self.parts else b""
        head = header("12345678", "SON", 1, 4, access=self.answers % 256, status=0)
        frame = long_frame(octets[2], 0x72, head + bytes([0x81, self.at, 0x13, self.answers % 100 // 2]) + more)
        return b"" if self.answers in self.lost else frame


def places(frames: Iterable[link.Frame]) -> list[int]:
    """Which of its telegrams a meter of the kind above gave: storage 2 is of the first."""
    return [record.info.storage // 2 for frame in frames for record in telegram.decode(frame).records]


@pytest.mark.parametrize("lost", [(), (1,), (2,), (3,), (4,), (2, 3), (1, 2)])
def test_a_meter_that_ignores_the_frame_count_bit_is_read_whole_and_once(lost: tuple[int, ...]) -> None:
    """What was lost it never sends again; behind its last telegram comes the first."""
    assert places(read(Circling(4, lost).hear)) == [1, 2, 3, 4]


def test_what_such_a_meter_sends_twice_in_vain_is_a_named_fault_and_never_a_gap() -> None:
    outcome = Line(Circling(4, lost=(2, 5)).hear).drive(ReadSession(1, SlaveState(), Timing()))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, faults.TelegramLost)


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_such_a_meter_gives_its_telegrams_in_order_each_once(seed: int) -> None:
    dice, slave, whole = random.Random(seed), SlaveState(), 0
    meter = Circling(4, {n for n in range(1, 5_000) if dice.random() < 0.05})
    for _ in range(50):
        outcome = Line(meter.hear).drive(ReadSession(1, slave, Timing()))
        if isinstance(outcome, Done):
            assert places(outcome.telegrams) == [1, 2, 3, 4]
            whole += 1
    assert whole > 25


def test_a_meter_that_stays_at_its_last_telegram_is_reset_before_each_read() -> None:
    meter, slave = Circling(3, stays=True), SlaveState()
    assert [places(read(meter.hear, slave=slave)) for _ in range(3)] == [[1, 2, 3]] * 3


def test_a_meter_that_only_repeats_itself_has_one_telegram_and_says_that_more_follows() -> None:
    frame = long_frame(1, 0x72, header("12345678", "SON", 1, 4, access=0, status=0) + b"\x01\x13\x05\x1f")
    line, slave = Line(lambda octets: b"\xe5" if octets[1] == 0x40 else frame), SlaveState()
    for most in (10, 6):  # it is known then
        line.sent.clear()
        outcome = line.drive(ReadSession(1, slave, Timing()))
        assert isinstance(outcome, Done)
        assert [each.octets for each in outcome.telegrams] == [frame]
        assert telegram.decode(outcome.telegrams[-1]).more
        assert len(line.sent) <= most


def test_a_late_copy_of_a_telegram_is_not_the_next_one() -> None:
    """The answer to the second question is lost; asked again, the first telegram comes once more, counted anew."""
    meter = Log(3)
    copy = long_frame(1, 0x72, header("12345678", "SON", 1, 4, access=9, status=0) + b"\x81\x01\x13\x05\x1f")
    instead = iter([None, None, b"", copy])

    def hear(octets: bytes) -> bytes:
        answer, other = meter.hear(octets), next(instead, None)
        return answer if other is None else other

    assert [telegram.decode(frame).access for frame in read(hear)] == [1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("habit", ["", ",fcb", ",echo"])
def test_on_a_bad_line_an_answer_in_several_telegrams_is_whole_and_of_one_moment(
    tmp_path: Path, seed: int, habit: str
) -> None:
    """Nothing is lost, nothing twice, nothing of the answer before; what is not whole says so.

    It was read once on a good line: that it answers in several telegrams is known.
    """
    slaves = Bus(boiler_room(), Record(tmp_path / "r"), lambda: NOW_MS, seed)
    slave, whole = SlaveState(), 0
    read(slaves.hear, 5, slave)
    slaves.faults = Faults.parse("noise=0.05,partial=0.05,garble=0.1,silent=0.1,late=0.05" + habit)
    for _ in range(30):
        outcome = Line(slaves.hear).drive(ReadSession(5, slave, Timing()))
        if not isinstance(outcome, Done):
            continue
        answers = [telegram.decode(frame) for frame in outcome.telegrams]
        assert [len(answer.records) for answer in answers] == [6, 6, 4][: len(answers)]
        assert answers[-1].more == (len(answers) < 3)
        assert [answer.access for answer in answers] == [(answers[0].access or 0) + n for n in range(len(answers))]
        whole += len(answers) == 3
    assert whole > 8


@pytest.mark.parametrize("seed", range(40))
def test_on_a_bad_line_an_answer_is_always_what_the_meter_said_last(bus: Callable[..., Bus], seed: int) -> None:
    """Never damaged, of another meter, or of an earlier poll."""
    slaves = bus("noise=0.2,partial=0.15,garble=0.2,silent=0.1,late=0.1,wrong_address=0.1" + ",echo" * (seed % 2), seed)
    dice, states = random.Random(seed), {address: SlaveState() for address in (1, 2, 3)}
    for _ in range(30):
        address = dice.choice((1, 2, 3))
        line = Line(slaves.hear, size=dice.randrange(1, 60))
        outcome = line.drive(ReadSession(address, states[address], Timing()))
        answered = slaves.slaves[address].answered
        if isinstance(outcome, Done):
            assert answered is not None
            assert [frame.octets.hex() for frame in outcome.telegrams] == [answered.telegram]
