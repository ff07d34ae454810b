"""Several HDLC frames before the other side says anything: negotiated, numbered, lost inside a window, and in time."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from dlms_wire import ACCESS, FRAME_SIZE, LONG, TEXT, Change, Shelf, Wire, half_of, unchanged

from protocols.dlms import data, hdlc
from protocols.dlms.access import Framing
from protocols.dlms.faults import WrongSequence
from protocols.dlms.hdlc import POLL_FINAL, Frame, FrameReader
from protocols.dlms.link import ACTS, NUMBERS, OUR_WINDOW, Act, Parameters, Station, Turn
from protocols.dlms.server import Server
from protocols.dlms.session import Done, Failed
from protocols.transports.dlms import associated
from protocols.transports.exchange import Clock

WINDOWS = range(1, NUMBERS)
SAFE = range(1, OUR_WINDOW + 1)
WHOLE_PDU = 2_000  # bytes: every APDU is one, and goes in as many frames as it takes
VALUE = data.octet_string(bytes(range(256)) + bytes(range(100)))


def frames(octets: bytes) -> list[Frame]:
    return FrameReader().feed(octets)


def wire(window: int, down: Change = unchanged, up: Change = unchanged) -> Wire:
    return Wire(Framing.HDLC, down, up, window=window, max_pdu=WHOLE_PDU)


def visit(found: Wire) -> list[Done | Failed]:
    """A long GET, a long SET, what was set, and the end."""
    steps = [found.associate(), found.get(LONG), found.set(TEXT, VALUE), found.get(TEXT), found.release()]
    assert not [step for step in steps if isinstance(step, Failed)], steps
    assert isinstance(steps[1], Done)
    assert isinstance(steps[3], Done)
    assert steps[1].data == found.shelf.values[LONG] == Shelf().values[LONG]
    assert steps[3].data == VALUE == found.shelf.values[TEXT]
    assert found.shelf.times_set == 1
    return steps


@pytest.mark.parametrize("window", WINDOWS)
def test_a_window_of_each_size_is_used_both_ways(window: int) -> None:
    """No turn has more frames, some have so many, the last alone gives the turn away, and fewer turns do."""
    found = wire(window)
    visit(found)
    for said in (found.sent, found.heard):
        turns = [frames(each) for each in said]
        assert max(map(len, turns)) == window
        for turn in turns:
            assert [bool(each.control & POLL_FINAL) for each in turn] == [False] * (len(turn) - 1) + [True]
    pieces = sum(len(frames(each)) for each in found.heard)
    assert len(found.heard) < pieces or window == 1


@pytest.mark.parametrize(("ours", "theirs"), [*itertools.product((1, 3, 7), repeat=2)])
def test_the_smaller_window_counts(ours: int, theirs: int) -> None:
    """What one side takes the other does not go beyond."""
    found = wire(theirs)
    found.session = type(found.session)(replace(ACCESS, window=ours), Framing.HDLC)
    visit(found)
    assert max(len(frames(each)) for each in (*found.sent, *found.heard)) == min(ours, theirs)
    agreed = Parameters.from_bytes(frames(found.heard[0])[0].information)
    assert (agreed.window_transmit, agreed.window_receive) == (min(ours, theirs),) * 2


def without(turn: int, place: int) -> Change:
    """Loses one frame of one turn."""

    def change(now: int, octets: bytes) -> list[bytes]:
        kept = frames(octets)
        if now == turn:
            del kept[place]
        return [b"".join(each.to_bytes() for each in kept)]

    return change


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_each_frame_in_turn_is_lost(window: int, upward: bool) -> None:
    """The same values and one SET; where the last frame of the turn is there no time is lost with waiting."""
    plain = wire(window)
    visit(plain)
    for turn, octets in enumerate(plain.sent if upward else plain.heard):
        for place in range(count := len(frames(octets))):
            lost = without(turn, place)
            found = wire(window, up=lost) if upward else wire(window, down=lost)
            visit(found)
            assert found.session.retries == (place == count - 1)


@pytest.mark.parametrize("window", SAFE)
def test_each_turn_twice_or_late_is_the_same_value(window: int) -> None:
    """Answers, and questions: what was heard already counts once; one that is late comes before the next."""
    plain = wire(window)
    visit(plain)
    for turn in range(len(plain.heard)):
        late: list[bytes] = []

        def twice(now: int, octets: bytes, turn: int = turn) -> list[bytes]:
            return [octets, octets] if now == turn else [octets]

        def delayed(now: int, octets: bytes, turn: int = turn, late: list[bytes] = late) -> list[bytes]:
            if now == turn:
                late.append(octets)
                return []
            return [*late, octets] if now == turn + 1 else [octets]

        visit(wire(window, down=twice))
        visit(wire(window, up=twice))
        visit(wire(window, down=delayed))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("down", [False, True])
def test_larger_windows_twice_or_damaged_are_right_or_named(window: int, down: bool) -> None:
    """Beyond the safe size a repeated acknowledgement may end a visit: still no value is wrong."""
    plain = wire(window)
    visit(plain)
    for turn in range(len(plain.heard)):

        def twice(now: int, octets: bytes, turn: int = turn) -> list[bytes]:
            return [octets, octets] if now == turn else [octets]

        found = wire(window, down=twice) if down else wire(window, up=twice)
        found.associate()
        for attribute in (LONG, TEXT):
            step = found.get(attribute)
            assert isinstance(step, Failed) or step.data == Shelf().values[attribute]
        if isinstance(found.set(TEXT, VALUE), Done):
            assert found.shelf.values[TEXT] == VALUE


def test_every_turn_has_its_act() -> None:
    """The table is whole: where a frame stands, and whether the turn is given away with it."""
    assert set(ACTS) == set(itertools.product(Turn, (False, True)))
    assert set(ACTS.values()) == set(Act)


@pytest.mark.parametrize("window", WINDOWS)
def test_where_a_frame_stands(window: int) -> None:
    """The next one, those of the window behind it, those of the window before it; of the largest some are both."""
    station = Station(b"\x03", b"\x21", window=window, takes=window)
    for number in range(NUMBERS):
        expected = Turn.NOWHERE
        if number in range(NUMBERS - window, NUMBERS):
            expected = Turn.BEFORE
        if number in range(1, window):
            expected = Turn.AHEAD
        assert station.turn(Frame(b"\x03", b"\x21", number << 1)) is (expected if number else Turn.NEXT)


@pytest.mark.parametrize("window", SAFE)
def test_an_acknowledgement_that_comes_twice_is_none_of_the_next_window(window: int) -> None:
    """For windows of our own size: that of the window before is refused, the last one sends the same again."""
    station = Station(b"\x03", b"\x21", 1, window)
    station.send(bytes(4 * NUMBERS))
    old = ready = Frame(b"\x03", b"\x21", POLL_FINAL | hdlc.RR)
    for at in range(window, 3 * NUMBERS, window):
        old, ready = ready, replace(ready, control=at % NUMBERS << 5 | POLL_FINAL | hdlc.RR)
        sent = station.ready(ready)
        assert [each.control >> 1 & 7 for each in frames(sent)] == [each % NUMBERS for each in range(at, at + window)]
        assert station.ready(ready) == sent
        with pytest.raises(WrongSequence):
            station.ready(old)


async def test_frames_of_a_window_that_come_slowly_are_waited_for(clock: Clock) -> None:
    """The time for an answer counts from each frame behind which another follows, not from the question."""
    gap_s, timeout_s = 0.6, 2.0  # a question has two tries in that time: one second each
    shelf = Shelf()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        half = half_of(Server(shelf, (ACCESS,), WHOLE_PDU), Framing.HDLC, OUR_WINDOW)
        while octets := await reader.read(4096):
            answer = frames(half.received(octets))
            for at, frame in enumerate(answer):
                await asyncio.sleep(gap_s if at else 0)
                writer.write(frame.to_bytes())
        writer.close()

    shelf.values[LONG] = data.octet_string(bytes(OUR_WINDOW * FRAME_SIZE - 20))
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with associated("127.0.0.1", port, Framing.HDLC, ACCESS, clock, timeout_s) as meter:
        before = meter._session.parts
        assert (await meter.get(LONG)).data == shelf.values[LONG]
        assert meter._session.retries == 0
        assert meter._session.parts - before == OUR_WINDOW - 1
    server.close()
    await server.wait_closed()
