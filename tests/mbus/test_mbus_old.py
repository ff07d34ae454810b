"""The telegram of the read before, once more, of a meter that was seen to count: new behind a reset, or not taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mbus_bench import Line

from protocols.mbus import faults, select, telegram
from protocols.mbus.select import Secondary
from protocols.mbus.session import Done, Failed, ReadSession, Route, SlaveState
from protocols.mbus.timing import Timing
from simulators.mbus.encoding import header, long_frame

RESET, E5 = 0x40, b"\xe5"


def made(access: int, number: str = "12345678") -> bytes:
    """A telegram whose registers never change."""
    return long_frame(1, 0x72, header(number, "KAM", 1, 4, access=access, status=0) + bytes.fromhex("04062a000000"))


class Counting:
    """A meter that counts its answers and obeys the frame count bit.

    `each` is how many reads its telegram stays the same for, `anew` says that SND_NKE sets its access number back,
    `dead` that it is silent.
    """

    def __init__(self, each: int = 1, anew: bool = False) -> None:
        self.each, self.anew, self.dead = each, anew, False
        self.asked = self.count = 0
        self.fcb: int | None = None
        self.last = b""

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire for a request."""
        if self.dead:
            return b""
        if octets[1] == RESET:
            self.fcb, self.count = None, 0 if self.anew else self.count
            return E5
        self.asked += 1
        if octets[1] & 0x20 != self.fcb:
            self.fcb = octets[1] & 0x20
            self.count += 1
            self.last = made(1 + self.count // self.each)
        return self.last


def accesses(line: Line, slave: SlaveState, way: int | Route = 1) -> list[int | None]:
    outcome = line.drive(ReadSession(way, slave, Timing()))
    assert isinstance(outcome, Done), outcome
    return [telegram.decode(frame).access for frame in outcome.telegrams]


def refused(line: Line, slave: SlaveState, way: int | Route = 1) -> None:
    """Only the old telegram came, and the error says so."""
    outcome = line.drive(ReadSession(way, slave, Timing()))
    assert isinstance(outcome, Failed), outcome
    assert isinstance(outcome.error, faults.OldTelegram)
    assert slave.reset_due


@pytest.fixture
def seen() -> tuple[Counting, SlaveState]:
    """A meter that was seen to count, and what is remembered of it."""
    meter, slave = Counting(), SlaveState()
    assert [accesses(Line(meter.hear), slave) for _ in range(2)] == [[2], [3]]
    assert slave.proven
    return meter, slave


def test_a_meter_that_refreshes_its_telegram_less_often_than_it_is_read_is_read_each_time() -> None:
    """Three questions at most: it may have a battery."""
    meter, slave = Counting(each=7), SlaveState()
    for _ in range(30):
        before = meter.asked
        accesses(Line(meter.hear), slave)
        assert meter.asked - before <= 3
    assert slave.proven


def test_from_the_second_time_on_one_question_and_one_behind_a_reset_are_enough() -> None:
    meter, slave = Counting(each=100), SlaveState(proven=True)
    meter.count = 10
    line = Line(meter.hear)
    for _ in range(3):
        line.sent.clear()
        accesses(line, slave)
    assert [sent[1] & 0x4F for sent in line.sent] == [0x4B, 0x40, 0x4B]


def test_a_meter_that_counts_anew_after_a_reset_is_read_after_every_outage() -> None:
    meter, slave = Counting(anew=True), SlaveState()
    for _ in range(4):
        assert accesses(Line(meter.hear), slave) == [2]
        meter.dead = True
        assert isinstance(Line(meter.hear).drive(ReadSession(1, slave, Timing())), Failed)
        meter.dead = False
        assert accesses(Line(meter.hear), slave) == [2]
        assert accesses(Line(meter.hear), slave) == [3]
        slave.reset_due = True


def test_what_was_seen_of_a_meter_is_not_held_against_the_one_in_its_place(seen: tuple[Counting, SlaveState]) -> None:
    """The new one counts nothing, and no reset is needed to read it."""
    _, slave = seen
    line = Line(lambda octets: b"" if octets[1] == RESET else made(0, "87654321"))
    assert [accesses(line, slave) for _ in range(4)] == [[0]] * 4
    assert not slave.proven


def test_of_a_meter_whose_frame_count_is_out_of_step_the_new_telegram_behind_a_reset_is_taken(
    seen: tuple[Counting, SlaveState],
) -> None:
    """It takes each question for a repetition of the last one."""
    meter, slave = seen
    slave.fcb = not slave.fcb
    assert accesses(Line(meter.hear), slave) == [4]


def test_behind_a_reset_too_a_copy_in_front_of_the_new_telegram_is_not_taken(
    seen: tuple[Counting, SlaveState],
) -> None:
    meter, slave = seen
    slave.fcb, old = not slave.fcb, meter.last
    line = Line(lambda octets: meter.hear(octets) if octets[1] == RESET else old + meter.hear(octets))
    assert accesses(line, slave) == [4]


@pytest.mark.parametrize("copies", [1, 2, 3, 4, 5, 6])
def test_of_a_silent_meter_no_copy_is_taken_however_many_a_line_that_keeps_the_order_held_back(
    seen: tuple[Counting, SlaveState], copies: int
) -> None:
    _, slave = seen
    held = iter([made(3)] * copies)
    refused(line := Line(lambda _: next(held, b"")), slave)
    assert sum(sent[1] != RESET for sent in line.sent) <= 3


def test_a_copy_in_front_of_the_acknowledgement_is_not_the_answer_behind_it(
    seen: tuple[Counting, SlaveState],
) -> None:
    """The meter falls silent right after the reset."""
    _, slave = seen
    held: Iterator[bytes] = iter([made(3), made(3), made(3) + E5])
    refused(Line(lambda _: next(held, b"")), slave)


def test_a_selected_meter_whose_reset_is_not_acknowledged_gives_no_old_telegram() -> None:
    """Its selection is acknowledged, which says nothing of its frame count."""
    meter, slave, way = Counting(), SlaveState(), select.selected(Secondary("12345678"))
    deaf = Line(lambda octets: E5 if octets[0] == 0x68 else b"" if octets[1] == RESET else meter.hear(octets))
    for _ in range(2):
        accesses(deaf, slave, way)
    for _ in range(2):  # the second begins with the reset
        slave.fcb, before = bool(meter.fcb), meter.asked
        refused(deaf, slave, way)
        assert meter.asked - before <= 3
