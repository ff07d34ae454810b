"""The client's session against the server half: whole, byte by byte, lossy, damaged, late, twice, and cut off."""

from __future__ import annotations

from itertools import pairwise

import pytest
from dlms_wire import ACCESS, MAX_PDU, STEPS_MAX, Change, Conversation, half_of, unchanged

from protocols.dlms import data as axdr
from protocols.dlms.access import Framing
from protocols.dlms.apdu import ExceptionResponse
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import (
    Babble,
    BadChecksum,
    ExceptionAnswer,
    FrameRejected,
    LinkEnded,
    NoAnswer,
    NotSupported,
    StreamEnded,
    TooMuch,
    WrongAddress,
    WrongBlock,
    WrongInvokeId,
    WrongPort,
)
from protocols.dlms.get import AccessResult, Block, Got, Selection
from protocols.dlms.hdlc import DM, FRMR, POLL_FINAL, Frame, client_address, server_address
from protocols.dlms.objects import Attribute
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.dlms.session import MAX_FOREIGN, MAX_TURNS, Done, Failed, Send, Session
from protocols.dlms.states import STEPS, Event, State
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError, PlombaError

SHORT = Attribute.of(3, "1-0:1.8.0.255")
LONG = Attribute.of(7, "1-0:99.1.0.255")
OTHER = Attribute.of(3, "1-0:2.8.0.255")
MANY = Attribute.of(1, "0-0:96.2.0.255")
VALUES = {
    SHORT: Data(Tag.DOUBLE_LONG_UNSIGNED, 123_456_789),
    OTHER: Data(Tag.DOUBLE_LONG_UNSIGNED, 987),
    LONG: axdr.array(*(axdr.structure(axdr.octet_string(bytes(range(12))), Data(Tag.LONG, n)) for n in range(20))),
}
FRAMINGS = [Framing.WRAPPER, Framing.HDLC]


class Shelf:
    """Objects for a server: a dictionary."""

    def associated(self, client: int) -> None:
        """Remember who came."""
        self.client = client

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """What is on the shelf."""
        return VALUES.get(attribute, AccessResult.OBJECT_UNDEFINED)


class Wire(Conversation):
    """A conversation with the shelf."""

    def __init__(self, framing: Framing, down: Change = unchanged, up: Change = unchanged) -> None:
        half = half_of(Server(Shelf(), (ACCESS,), max_pdu=MAX_PDU), framing)
        super().__init__(Session(ACCESS, framing), half, down, up)

    def whole(self) -> list[Done | Failed]:
        """All of a visit; ends at the first failure."""
        results = [self.associate()]
        for attribute in (SHORT, LONG):
            if isinstance(results[-1], Failed):
                break
            results.append(self.get(attribute))
        results.append(self.release())
        return results


def check(results: list[Done | Failed]) -> None:
    """Each result is the right value or a named error."""
    for found, attribute in zip(results[1:-1], (SHORT, LONG), strict=False):
        if isinstance(found, Done):
            assert found.data == VALUES[attribute]
    for found in results:
        assert isinstance(found, Done) or isinstance(found.error, MeterError)


def data_of(result: Done | Failed) -> Data | None:
    assert isinstance(result, Done), result
    return result.data


def error_of(result: Done | Failed) -> PlombaError:
    assert isinstance(result, Failed), result
    return result.error


def single(octets: bytes) -> list[bytes]:
    return [octets[at : at + 1] for at in range(len(octets))]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_whole_visit(framing: Framing) -> None:
    """Associate, a short and a long attribute, release."""
    wire = Wire(framing)
    assert [type(each) for each in wire.whole()] == [Done] * 4
    assert wire.session.state is State.ENDED
    assert wire.session.foreign == wire.session.retries == 0


@pytest.mark.parametrize("framing", FRAMINGS)
def test_byte_by_byte_is_the_same(framing: Framing) -> None:
    """Both directions in single bytes give the same values and the same octets."""
    whole = Wire(framing).whole()
    assert Wire(framing, lambda _, out: single(out), lambda _, out: single(out)).whole() == whole


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_octets_are_the_answers_apdus(framing: Framing) -> None:
    """What is hashed is what came: one APDU for a short answer, all blocks for a long one."""
    wire = Wire(framing)
    wire.associate()
    short, long = wire.get(SHORT), wire.get(LONG)
    assert isinstance(short, Done)
    assert isinstance(long, Done)
    assert short.octets == Got(1, VALUES[SHORT]).to_bytes()
    assert long.octets.startswith(bytes.fromhex("c40242"))
    assert long.octets.count(bytes.fromhex("c40242")) > 3


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("upward", [False, True])
def test_every_byte_dropped_in_turn(framing: Framing, upward: bool) -> None:
    """The right value or a named error, whichever byte is missing, and HDLC recovers from each."""
    plain = Wire(framing)
    plain.whole()
    turns = plain.sent if upward else plain.heard
    for turn, octets in enumerate(turns):
        for at in range(len(octets)):

            def drop(now: int, out: bytes, turn: int = turn, at: int = at) -> list[bytes]:
                return [out[:at] + out[at + 1 :]] if now == turn else [out]

            wire = Wire(framing, unchanged, drop) if upward else Wire(framing, drop)
            results = wire.whole()
            check(results)
            if framing is Framing.HDLC:
                assert [type(each) for each in results] == [Done] * 4


@pytest.mark.parametrize("upward", [False, True])
def test_every_bit_flipped_in_turn_over_hdlc(upward: bool) -> None:
    """The check sequences see each of them: the right value after a repetition, or a named error."""
    plain = Wire(Framing.HDLC)
    plain.whole()
    turns = plain.sent if upward else plain.heard
    for turn, octets in enumerate(turns):
        for bit in range(8 * len(octets)):

            def flip(now: int, out: bytes, turn: int = turn, bit: int = bit) -> list[bytes]:
                damaged = bytearray(out)
                if now == turn:
                    damaged[bit // 8] ^= 1 << bit % 8
                return [bytes(damaged)]

            check((Wire(Framing.HDLC, unchanged, flip) if upward else Wire(Framing.HDLC, flip)).whole())


def test_every_bit_flipped_in_turn_in_the_wrapper() -> None:
    """The wrapper has no check sequence of its own (TCP has): a value or a named error, and no other exception."""
    plain = Wire(Framing.WRAPPER)
    plain.whole()
    for turn, octets in enumerate(plain.heard):
        for bit in range(8 * len(octets)):

            def flip(now: int, out: bytes, turn: int = turn, bit: int = bit) -> list[bytes]:
                damaged = bytearray(out)
                if now == turn:
                    damaged[bit // 8] ^= 1 << bit % 8
                return [bytes(damaged)]

            for found in Wire(Framing.WRAPPER, flip).whole():
                assert isinstance(found, Done) or isinstance(found.error, MeterError)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_answer_twice(framing: Framing) -> None:
    """The second one is discarded and counted, never taken as the answer to the next question."""
    wire = Wire(framing, lambda _, out: [out + out])
    results = wire.whole()
    assert [type(each) for each in results] == [Done] * 4
    check(results)
    assert wire.session.foreign > 0


def test_a_late_answer_is_not_taken_for_the_next_question() -> None:
    """Over the wrapper: the answer to the first question comes after the second was asked."""
    late: list[bytes] = []

    def hold(turn: int, out: bytes) -> list[bytes]:
        if turn == 1:
            late.append(out)
            return []
        return [*late, out] if turn == 2 else [out]

    wire = Wire(Framing.WRAPPER, hold)
    wire.associate()
    assert isinstance(error_of(wire.get(SHORT)), NoAnswer)
    assert data_of(wire.get(OTHER)) == VALUES[OTHER]
    assert wire.session.foreign == 1


def test_a_late_answer_over_hdlc_is_taken_for_its_own_question() -> None:
    """The question is repeated, both answers come, one counts."""
    late: list[bytes] = []

    def hold(turn: int, out: bytes) -> list[bytes]:
        if turn == 2:
            late.append(out)
            return []
        return [*late, out] if turn == 3 else [out]

    wire = Wire(Framing.HDLC, hold)
    wire.associate()
    assert data_of(wire.get(SHORT)) == VALUES[SHORT]
    assert data_of(wire.get(OTHER)) == VALUES[OTHER]
    assert wire.session.retries == 1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_stream_ends_at_any_point(framing: Framing) -> None:
    """Closed after any byte of any answer: its own error at once, and nothing further is sent."""
    plain = Wire(framing)
    plain.associate()
    plain.get(LONG)
    for turn, octets in enumerate(plain.heard):
        for at in range(len(octets)):
            session, half = Session(ACCESS, framing), half_of(Server(Shelf(), (ACCESS,), max_pdu=MAX_PDU), framing)
            session.associate()
            result = _until_closed(session, half, turn, at)
            assert isinstance(error_of(result), StreamEnded)
            session.get(SHORT)
            assert isinstance(error_of(session.next()), LinkEnded)  # type: ignore[arg-type]


def _until_closed(session: Session, half: WrapperServer | HdlcServer, turn: int, at: int) -> Done | Failed:
    now = 0
    for _ in range(STEPS_MAX):
        step = session.next()
        if isinstance(step, Done):
            session.get(LONG)
        elif isinstance(step, Send):
            out = half.received(step.octets)
            if now == turn:
                session.received(out[:at])
                session.closed()
                found = session.next()
                assert isinstance(found, Done | Failed)
                return found
            session.received(out)
            now += 1
        elif isinstance(step, Failed):
            return step
    raise AssertionError("a loop without progress")


def associated(framing: Framing) -> Wire:
    wire = Wire(framing)
    assert isinstance(wire.associate(), Done)
    return wire


def asked(wire: Wire, attribute: Attribute = SHORT) -> Session:
    wire.session.get(attribute)
    assert isinstance(wire.session.next(), Send)
    return wire.session


def wrapped(apdu: bytes, source: int = 1, destination: int = 32) -> bytes:
    return Message(source, destination, apdu).to_bytes()


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (wrapped(Got(9, VALUES[OTHER]).to_bytes()), WrongInvokeId),
        (wrapped(Block(1, 2, True, b"\x00").to_bytes()), WrongBlock),
        (wrapped(Got(1, VALUES[OTHER]).to_bytes(), source=2), WrongPort),
        (wrapped(Got(1, VALUES[OTHER]).to_bytes(), destination=33), WrongPort),
    ],
)
def test_what_does_not_match_is_discarded_and_named(octets: bytes, error: type[MeterError]) -> None:
    """It is counted, and is the reason where nothing better comes; the right answer still counts."""
    wire = associated(Framing.WRAPPER)
    session = asked(wire)
    session.received(octets)
    session.received(wrapped(Got(1, VALUES[SHORT]).to_bytes()))
    assert data_of(wire.run()) == VALUES[SHORT]
    assert session.foreign == 1
    asked(wire).received(octets.replace(bytes((0xC4, 1, 0x41)), bytes((0xC4, 1, 0x42))))
    session.timed_out()
    assert isinstance(error_of(wire.run()), error if error is WrongPort else (error, WrongInvokeId))


def frame(control: int, information: bytes = b"", source: int = 1) -> bytes:
    return Frame(client_address(32), server_address(source, None), control | POLL_FINAL, information).to_bytes()


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (frame(DM), LinkEnded),
        (frame(FRMR, b"\x10\x20\x01"), FrameRejected),
    ],
)
def test_a_meter_that_ends_the_link_is_believed_at_once(octets: bytes, error: type[MeterError]) -> None:
    """DM and FRMR have their own errors."""
    wire = associated(Framing.HDLC)
    asked(wire).received(octets)
    assert isinstance(error_of(wire.run()), error)
    assert wire.session.state is State.ENDED


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (frame(0x32, b"\xe6\xe7\x00" + Got(1, VALUES[OTHER]).to_bytes(), source=2), WrongAddress),
        (frame(0x30, b"\xe6\xe7\x00" + Got(1, VALUES[OTHER]).to_bytes())[:-3] + b"\x00\x00\x7e", BadChecksum),
        (b"", NoAnswer),
    ],
)
def test_silence_has_the_reason_of_what_came_before(octets: bytes, error: type[MeterError]) -> None:
    """A foreign address, damage, nothing: each is named when no answer came."""
    session = asked(associated(Framing.HDLC))
    session.received(octets)
    for _ in range(2):
        session.timed_out()
        session.next()
    assert isinstance(error_of(session.next()), error)  # type: ignore[arg-type]


def test_an_exception_response_is_the_answer() -> None:
    """It has its own error and leaves the association open."""
    wire = associated(Framing.WRAPPER)
    asked(wire).received(wrapped(ExceptionResponse(1, 2).to_bytes()))
    assert isinstance(error_of(wire.run()), ExceptionAnswer)
    assert wire.session.state is State.ASSOCIATED


@pytest.mark.parametrize("framing", FRAMINGS)
def test_endless_babble_ends(framing: Framing) -> None:
    """Good messages of others, then noise: both are bounded."""
    session = asked(associated(framing))
    other = wrapped(b"\xc4\x01\x49\x00\x00") if framing is Framing.WRAPPER else frame(DM, source=9)
    session.received(other * (MAX_FOREIGN + 1))
    assert isinstance(error_of(session.next()), Babble)  # type: ignore[arg-type]
    session = asked(associated(Framing.HDLC))
    for _ in range(100):
        session.received(b"\x55" * 100)
    assert isinstance(error_of(session.next()), Babble)  # type: ignore[arg-type]


def test_a_window_of_frames_is_taken() -> None:
    """The meter sends three segments before its final bit: the value is whole (AARQ and AARE took two frames each)."""
    wire = associated(Framing.HDLC)
    session = asked(wire)
    apdu = b"\xe6\xe7\x00" + Got(1, VALUES[SHORT]).to_bytes()
    for number, (start, end) in enumerate(pairwise((0, 4, 8, len(apdu)))):
        control = 0x60 | (number + 2) << 1 | (POLL_FINAL if end == len(apdu) else 0)
        part = Frame(client_address(32), server_address(1, None), control, apdu[start:end], end != len(apdu))
        session.received(part.to_bytes())
    found = session.next()
    assert isinstance(found, Done)
    assert found.data == VALUES[SHORT]


def test_no_secret_is_shown() -> None:
    """Neither by the access nor by what is sent nor by the session."""
    session = Session(ACCESS, Framing.WRAPPER)
    session.associate()
    step = session.next()
    assert isinstance(step, Send)
    assert b"12345678" in step.octets
    for each in (ACCESS, step, session, Message(1, 2, step.octets)):
        assert "12345678" not in repr(each) + str(each)
        assert "3132333435" not in repr(each) + str(each)


def test_every_state_can_be_released() -> None:
    """From wherever a visit stands, the table leads to its end."""
    assert all((state, Event.RELEASE) in STEPS for state in State)


def test_a_long_answer_with_every_block_twice() -> None:
    """Many blocks, each followed by its repetition: bounded per turn, so that the answer still comes whole."""
    longer = axdr.array(*(Data(Tag.LONG, number) for number in range(2_000)))
    VALUES[MANY] = longer
    wire = Wire(Framing.WRAPPER, lambda _, out: [out + out])
    wire.associate()
    assert data_of(wire.get(MANY)) == longer
    assert wire.session.foreign > MAX_FOREIGN


def test_endless_blocks_end() -> None:
    """A meter that never says "last", and one that sends empty blocks: both are named."""
    for piece in (b"", bytes(1_000_000)):
        wire = associated(Framing.WRAPPER)
        session = asked(wire, LONG)
        for number in range(1, 10):
            session.received(wrapped(Block(1, number, False, piece[:60_000]).to_bytes()))
            session.next()
        if not piece:
            assert isinstance(error_of(session.next()), TooMuch)  # type: ignore[arg-type]
            continue
        for number in range(10, 100):
            session.received(wrapped(Block(1, number, False, piece[:60_000]).to_bytes()))
        assert isinstance(error_of(session.next()), TooMuch)  # type: ignore[arg-type]


def test_endless_segments_end() -> None:
    """A meter that always has one more segment is named after a bounded number of turns."""
    session = asked(associated(Framing.HDLC))
    for turn in range(MAX_TURNS + 10):
        step = session.next()
        if isinstance(step, Failed):
            break
        control = 0x60 | POLL_FINAL | (turn + 2) % 8 << 1
        part = Frame(client_address(32), server_address(1, None), control, b"x", True)
        session.received(part.to_bytes())
    assert isinstance(error_of(session.next()), TooMuch)  # type: ignore[arg-type]


def test_a_meter_that_fell_silent_is_still_disconnected() -> None:
    """After the last repetition the session has ended, and its release sends DISC all the same."""
    session = asked(associated(Framing.HDLC))
    for _ in range(2):
        session.timed_out()
        session.next()
    assert session.state is State.ENDED
    session.release()
    step = session.next()
    assert isinstance(step, Send)
    assert step.octets == Frame(server_address(1, None), client_address(32), 0x53).to_bytes()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_notification_in_between_is_passed_over(framing: Framing) -> None:
    """A push that comes before the answer is counted, and the answer still counts; alone it is the named reason."""
    push, answer = bytes.fromhex("0f000000010000"), Got(1, VALUES[SHORT]).to_bytes()
    wire = associated(framing)
    session = asked(wire)
    if framing is Framing.WRAPPER:
        session.received(wrapped(push) + wrapped(answer))
    else:
        session.received(frame(0x64, b"\xe6\xe7\x00" + push) + frame(0x66, b"\xe6\xe7\x00" + answer))
    assert data_of(wire.run()) == VALUES[SHORT]
    assert session.foreign == 1
    if framing is Framing.WRAPPER:
        asked(wire).received(wrapped(push))
        session.timed_out()
        assert isinstance(error_of(wire.run()), NotSupported)
