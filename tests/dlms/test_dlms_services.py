"""GET with list, SET and general blocks between our session and our server half: whole, twice, late, foreign, lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dlms_wire import ACCESS, DENIED, ECHO, LONG, MISSING, NAMES, OTHER, QUIET, TEXT, Change, Shelf, Wire, unchanged

from protocols.dlms import action, blocks, get, hdlc
from protocols.dlms import data as axdr
from protocols.dlms import set as setting
from protocols.dlms.access import Framing
from protocols.dlms.action import Acted, ActedBlock, ActionBlock, ActionNext, ActionRefused, ActionTaken
from protocols.dlms.apdu import answer_from_bytes
from protocols.dlms.association import AssociationRequest
from protocols.dlms.blocks import GeneralBlock, Joiner
from protocols.dlms.data import Data, Tag
from protocols.dlms.datablock import DataBlock
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, Malformed, NoAnswer, TooMuch, WrongBlock
from protocols.dlms.get import AccessResult, GetList, GotList
from protocols.dlms.hdlc import POLL_FINAL, Frame, FrameReader
from protocols.dlms.initiate import ACTING, OURS, Conformance, InitiateRequest
from protocols.dlms.objects import Attribute
from protocols.dlms.server import Server
from protocols.dlms.session import Done, Failed, Send, Wait
from protocols.dlms.set import BlockTaken, Set, SetBlock, SetList, SetNormal, SetResults
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import MeterError

FRAMINGS = [Framing.WRAPPER, Framing.HDLC]
LONG_TEXT = axdr.octet_string(bytes(range(200)))
VALUES = Shelf().values
SHORT = Data(Tag.UNSIGNED, 9)
ENERGY = Attribute.of(3, "1-0:1.8.0")


def results_of(found: Done | Failed) -> tuple[get.Result, ...]:
    assert isinstance(found, Done), found
    return found.results


def error_of(found: Done | Failed) -> object:
    assert isinstance(found, Failed), found
    return found.error


READING, DOING = "get and set", "lists set and actions"
PARTS = (READING, DOING)
STEPS = 8  # of each part


def steps_of(wire: Wire, part: str) -> list[tuple[Callable[[], Done | Failed], object]]:
    """The services of a part, each with what it has to find: the results of a list, a value, or None."""
    reading: list[tuple[Callable[[], Done | Failed], object]] = [
        (lambda: wire.get_list(*NAMES[:3]), tuple(VALUES[each] for each in NAMES[:3])),
        (lambda: wire.set(TEXT, axdr.octet_string(b"after")), None),
        (
            lambda: wire.get_list(*NAMES, MISSING),
            (*(VALUES[each] for each in NAMES), AccessResult.OBJECT_UNDEFINED),
        ),
        (lambda: wire.set(TEXT, LONG_TEXT), None),
        (lambda: wire.get(LONG), VALUES[LONG]),
        (lambda: wire.get(TEXT), LONG_TEXT),
    ]
    doing: list[tuple[Callable[[], Done | Failed], object]] = [
        (lambda: wire.set_list((TEXT, SHORT), (DENIED, SHORT)), (0, AccessResult.READ_WRITE_DENIED)),
        (
            lambda: wire.set_list((TEXT, LONG_TEXT), (DENIED, SHORT), (OTHER, LONG_TEXT)),
            (0, AccessResult.READ_WRITE_DENIED, 0),
        ),
        (lambda: wire.act(QUIET), None),
        (lambda: wire.act(QUIET, LONG_TEXT), None),
        (lambda: wire.act(ECHO, SHORT), SHORT),
        (lambda: wire.act(ECHO, LONG_TEXT), LONG_TEXT),
    ]
    return [(wire.associate, None), *(reading if part == READING else doing), (wire.release, None)]


def visit(wire: Wire, part: str = READING) -> list[Done | Failed]:
    """All services of a part once; a failure ends it, and each answer before it is right."""
    found: list[Done | Failed] = []
    for step, right in steps_of(wire, part):
        found.append(step())
        check(found[-1], right)
        if isinstance(found[-1], Failed):
            break
    return found


def check(found: Done | Failed, right: object) -> None:
    """It is the right value or a named error."""
    if isinstance(found, Failed):
        assert isinstance(found.error, MeterError)
    elif isinstance(right, tuple) and not isinstance(right, Data):
        assert found.results == right
    else:
        assert found.data == right


def check_shelf(shelf: Shelf) -> None:
    """What was set and done is what was meant, in its order and each once."""
    assert shelf.values[TEXT] in {axdr.octet_string(b"before"), axdr.octet_string(b"after"), SHORT, LONG_TEXT}
    assert shelf.values.get(OTHER, LONG_TEXT) == LONG_TEXT
    assert shelf.acted == [None, LONG_TEXT, SHORT, LONG_TEXT][: len(shelf.acted)]


GENERAL = [Conformance.GENERAL_BLOCK_TRANSFER, Conformance(0)]


def offered(general: Conformance) -> Conformance:
    return OURS & ~Conformance.GENERAL_BLOCK_TRANSFER | general


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("general", GENERAL)
def test_every_service_answers(framing: Framing, general: Conformance) -> None:
    """Lists short and in blocks, with a refused attribute among them; a value set at once and in blocks; actions."""
    for part in PARTS:
        wire = Wire(framing, offered=offered(general))
        found = visit(wire, part)
        assert [type(each) for each in found] == [Done] * STEPS
        check_shelf(wire.shelf)
        assert wire.session.foreign == wire.session.retries == 0
        assert wire.shelf.times_set == (2 if part == READING else 3)
        assert len(wire.shelf.acted) == (0 if part == READING else 4)
        carried, asked = b"".join(wire.heard), b"".join(wire.sent)
        assert (b"\xe0" in carried) or not general
        service = bytes((get.RESPONSE if part == READING else action.RESPONSE, get.WITH_BLOCK))
        assert service in carried or general
        forms = (b"\xc1\x05", b"\xc1\x03", b"\xc3\x04", b"\xc3\x06") if part == DOING else (b"\xc1\x02", b"\xc1\x03")
        assert all(each in asked for each in forms)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("general", GENERAL)
@pytest.mark.parametrize("part", PARTS)
def test_byte_by_byte_is_the_same(framing: Framing, general: Conformance, part: str) -> None:
    """In both directions."""

    def single(_: int, octets: bytes) -> list[bytes]:
        return [octets[at : at + 1] for at in range(len(octets))]

    whole = visit(Wire(framing, offered=offered(general)), part)
    assert visit(Wire(framing, single, single, offered(general)), part) == whole


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("general", GENERAL)
@pytest.mark.parametrize("fault", ["twice", "lost", "late", "first again"])
@pytest.mark.parametrize("part", PARTS)
def test_each_answer_in_turn_twice_lost_or_late_becomes_no_wrong_value(
    framing: Framing, general: Conformance, fault: str, part: str
) -> None:
    """Whichever it is: the right value, or a named error; what is set and done is what was meant."""
    plain = Wire(framing, offered=offered(general))
    visit(plain, part)
    recovered = 0
    for turn in range(len(plain.heard)):
        held: list[bytes] = []

        def change(now: int, out: bytes, turn: int = turn, held: list[bytes] = held) -> list[bytes]:
            if fault == "first again" and now >= turn:
                return [plain.heard[turn], out]
            if now != turn:
                return [*held, out] if fault == "late" and now == turn + 1 else [out]
            held.append(out)
            return {"twice": [out + out], "lost": [], "late": []}[fault]

        wire = Wire(framing, change, offered=offered(general))
        recovered += len(visit(wire, part)) == STEPS
        check_shelf(wire.shelf)
    if fault != "first again" and (framing is Framing.HDLC or fault == "twice"):
        assert recovered == len(plain.heard)


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("general", GENERAL)
@pytest.mark.parametrize("part", PARTS)
def test_every_bit_flipped_in_turn_over_hdlc(upward: bool, general: Conformance, part: str) -> None:
    """The check sequences see each of them."""
    plain = Wire(Framing.HDLC, offered=offered(general))
    visit(plain, part)
    turns = plain.sent if upward else plain.heard
    for turn, octets in enumerate(turns):
        for bit in range(turn % 5, 8 * len(octets), 5):

            def flip(now: int, out: bytes, turn: int = turn, bit: int = bit) -> list[bytes]:
                damaged = bytearray(out)
                if now == turn:
                    damaged[bit // 8] ^= 1 << bit % 8
                return [bytes(damaged)]

            changes: tuple[Change, Change] = (unchanged, flip) if upward else (flip, unchanged)
            visit(Wire(Framing.HDLC, *changes, offered(general)), part)


def associated(conformance: Conformance = OURS & ~Conformance.GENERAL_BLOCK_TRANSFER) -> Wire:
    wire = Wire(Framing.WRAPPER, offered=conformance)
    assert isinstance(wire.associate(), Done)
    return wire


def wrapped(apdu: bytes) -> bytes:
    return Message(1, 32, apdu).to_bytes()


def test_a_list_is_one_turn() -> None:
    """Three registers in one question; one that is refused is told with its place."""
    wire = associated()
    before = len(wire.sent)
    assert results_of(wire.get_list(NAMES[0], MISSING, NAMES[1])) == (
        VALUES[NAMES[0]],
        AccessResult.OBJECT_UNDEFINED,
        VALUES[NAMES[1]],
    )
    assert len(wire.sent) == before + 1


@pytest.mark.parametrize(
    "answer",
    [
        get.Got(2, VALUES[NAMES[0]]).to_bytes(),
        Set(2, 0).to_bytes(),
        BlockTaken(2, 1).to_bytes(),
        GotList(1, (VALUES[NAMES[0]],) * 2).to_bytes(),
        GotList(9, (VALUES[NAMES[0]],) * 2).to_bytes(),
    ],
)
def test_an_answer_of_another_kind_or_question_is_discarded(answer: bytes) -> None:
    """Of a single GET, of a SET, of an earlier question: the list still gets its own."""
    wire = associated()
    wire.get(NAMES[5])
    wire.session.get_list(NAMES[:2])
    wire.session.next()
    wire.session.received(wrapped(answer))
    assert wire.session.foreign == 1
    wire.session.received(wrapped(GotList(2, tuple(VALUES[each] for each in NAMES[:2])).to_bytes()))
    assert results_of(wire.run()) == tuple(VALUES[each] for each in NAMES[:2])


def test_a_list_with_another_number_of_results_is_an_error() -> None:
    """No value is given to the wrong register."""
    wire = associated()
    wire.session.get_list(NAMES[:3])
    wire.session.next()
    wire.session.received(wrapped(GotList(1, tuple(VALUES[each] for each in NAMES[:2])).to_bytes()))
    assert isinstance(error_of(wire.run()), Malformed)


def test_a_set_that_is_refused_says_why() -> None:
    """At once and in blocks; the association goes on."""
    wire = associated()
    for value in (Data(Tag.UNSIGNED, 1), LONG_TEXT):
        refused = error_of(wire.set(DENIED, value))
        assert isinstance(refused, AccessRefused)
        assert "read write denied" in str(refused)
    assert isinstance(wire.set(TEXT, Data(Tag.UNSIGNED, 1)), Done)


def test_a_block_of_a_set_that_is_acknowledged_twice_sends_none_too_early() -> None:
    """The second one is discarded: the next block goes once."""
    wire = Wire(Framing.WRAPPER, lambda _, out: [out + out])
    wire.associate()
    assert isinstance(wire.set(TEXT, LONG_TEXT), Done)
    assert wire.shelf.values[TEXT] == LONG_TEXT
    assert wire.shelf.times_set == 1
    assert len(wire.sent) == 1 + len(setting.split(TEXT, LONG_TEXT, 1, 100))


def test_a_lost_general_block_is_asked_for_again() -> None:
    """One of a window is missing: the client says up to where it has them, and gets the rest."""
    for missing in range(6):
        counted = [0]

        def drop(_: int, out: bytes, counted: list[int] = counted, missing: int = missing) -> list[bytes]:
            made = []
            while out:
                size = 8 + int.from_bytes(out[6:8], "big")
                message, out = out[:size], out[size:]
                if message[8] == blocks.TAG:
                    counted[0] += 1
                    if counted[0] == missing + 1:
                        continue
                made.append(message)
            return made

        wire = Wire(Framing.WRAPPER, drop, offered=OURS)
        wire.associate()
        found = wire.get(LONG)
        if missing:  # without the first nothing is known to be on its way, and the question is not answered
            assert isinstance(found, Done), (missing, found)
            assert found.data == VALUES[LONG]
        check(wire.get_list(*NAMES[:3]), tuple(VALUES[each] for each in NAMES[:3]))


def test_a_general_block_of_another_answer_is_never_joined() -> None:
    """By the invoke-id that its first block shows; two of one number that differ end the session."""
    wire = associated(OURS)
    old = blocks.split(get.Got(1, VALUES[LONG]).to_bytes(), 60, 2)
    new = blocks.split(get.Got(2, axdr.octet_string(bytes(200))).to_bytes(), 60, 2)
    wire.get(NAMES[0])
    wire.session.get(TEXT)
    wire.session.next()
    wire.session.received(wrapped(old[0].to_bytes()))
    assert wire.session.foreign == 1
    wire.session.received(wrapped(new[0].to_bytes()) + wrapped(old[1].to_bytes()) + wrapped(new[1].to_bytes()))
    assert isinstance(error_of(wire.session.next()), TooMuch)  # type: ignore[arg-type]


def test_a_gap_at_the_end_of_a_window_is_asked_for_at_once() -> None:
    """Without waiting for silence."""
    wire = associated(OURS)
    wire.session.get(LONG)
    wire.session.next()
    made = blocks.split(get.Got(1, VALUES[LONG]).to_bytes(), 60, 3)
    wire.session.received(wrapped(made[0].to_bytes()) + wrapped(made[2].to_bytes()))
    step = wire.session.next()
    assert isinstance(step, Send)
    assert GeneralBlock.from_bytes(step.octets[8:]).acknowledged == 1


def test_general_blocks_that_stop_coming_end_the_session() -> None:
    """A few times they are asked for; what came late could be taken for another answer."""
    wire = associated(OURS)
    wire.session.get(LONG)
    wire.session.next()
    wire.session.received(wrapped(blocks.split(get.Got(1, VALUES[LONG]).to_bytes(), 60, 1)[0].to_bytes()))
    asked = 0
    for _ in range(20):
        step = wire.session.next()
        if isinstance(step, Failed):
            assert isinstance(step.error, NoAnswer)
            break
        asked += type(step).__name__ == "Send"
        wire.session.timed_out()
    assert asked == 4
    wire.session.get(TEXT)
    assert isinstance(wire.session.next(), Failed)


def test_a_meter_without_lists_says_so() -> None:
    """What both sides can is known, so that nobody asks for more."""
    wire = associated(Conformance.GET)
    assert wire.session.conformance == Conformance.GET | ACTING
    assert associated().session.conformance == OURS & ~Conformance.GENERAL_BLOCK_TRANSFER | ACTING


def test_requests_and_answers_have_the_standards_bytes() -> None:
    """As the Green Book's examples write them."""
    clock = Attribute.of(8, "0-0:1.0.0")
    asked = GetList(1, (ENERGY, clock))
    assert asked.to_bytes().hex() == "c0034102" + "00030100010800ff0200" + "00080000010000ff0200"
    assert get.request_from_bytes(asked.to_bytes()) == asked
    answered = GotList(1, (Data(Tag.DOUBLE_LONG_UNSIGNED, 258), 4))
    assert answered.to_bytes().hex() == "c4034102" + "000600000102" + "0104"
    assert answer_from_bytes(answered.to_bytes()) == answered
    for request, octets in (
        (SetNormal(1, ENERGY, Data(Tag.UNSIGNED, 5)), "c10141" + "00030100010800ff0200" + "1105"),
        (
            SetBlock(1, DataBlock(1, False, b"\x09\x02"), ENERGY),
            "c10241" + "00030100010800ff0200" + "0000000001" + "020902",
        ),
        (SetBlock(1, DataBlock(2, True, b"ab")), "c10341" + "0100000002" + "026162"),
        (
            SetList(1, (ENERGY, clock), (Data(Tag.UNSIGNED, 5), axdr.NULL)),
            "c1044102" + "00030100010800ff0200" + "00080000010000ff0200" + "02" + "1105" + "00",
        ),
        (
            SetBlock(1, DataBlock(1, False, b"\x02\x11"), (ENERGY, clock)),
            "c1054102" + "00030100010800ff0200" + "00080000010000ff0200" + "0000000001" + "020211",
        ),
    ):
        assert request.to_bytes().hex() == octets
        assert setting.request_from_bytes(bytes.fromhex(octets)) == request
    for answer, octets in (
        (Set(1, 0), "c5014100"),
        (BlockTaken(1, 7), "c5024100000007"),
        (Set(1, 3, 8), "c503410300000008"),
        (SetResults(1, (0, 3)), "c50541020003"),
        (SetResults(1, (0, 3), 8), "c5044102000300000008"),
    ):
        assert answer.to_bytes().hex() == octets
        assert answer_from_bytes(bytes.fromhex(octets)) == answer


@pytest.mark.parametrize(
    "octets",
    [
        "c5",
        "c50141",
        "c5014100ff",
        "c502410000",
        "c503410000000000",
        "c5044100",
        "c50441010000000000",
        "c5054184ffffffff",
        "c505410100ff",
        "c506410100",
        "c40341",
        "c403410101",
        "c40341ff",
        "c4034184ffffffff",
        "c40341010100",
        "c4034101000600",
    ],
)
def test_a_damaged_answer_is_named(octets: str) -> None:
    """Cut short, too long, a form that is not read, more results than bytes."""
    with pytest.raises(MeterError):
        answer_from_bytes(bytes.fromhex(octets))


def test_blocks_are_joined_in_order_and_once() -> None:
    """A gap and a repetition are told and not taken."""
    made = blocks.split(bytes(range(100)), 30, 3)
    assert [each.streaming for each in made] == [True, True, False, False]
    joiner = Joiner()
    joiner.take(made[0])
    for wrong in (made[2], made[0]):
        with pytest.raises(WrongBlock):
            joiner.take(wrong)
    assert joiner.acknowledgement() == GeneralBlock(True, False, 8, 1, 1, b"")
    for each in made[1:]:
        joiner.take(each)
    assert joiner.whole == bytes(range(100))


def test_an_exception_to_a_list_is_its_answer() -> None:
    """It leaves the association open."""
    wire = associated()
    wire.session.get_list(NAMES[:2])
    wire.session.next()
    wire.session.received(wrapped(bytes.fromhex("d80202")))
    assert isinstance(error_of(wire.run()), ExceptionAnswer)
    assert isinstance(wire.get(TEXT), Done)


BEGUN = Conformance.GET | Conformance.SET | Conformance.MULTIPLE_REFERENCES | Conformance.BLOCK_TRANSFER_WITH_SET


def begin_doing(service: str) -> Wire:
    """A long SET with list, or a long action, of which one block is on its way; its invoke-id is 0 or 1."""
    wire = associated(BEGUN)
    if service == "set":
        wire.session.set_list((TEXT, OTHER), (LONG_TEXT, LONG_TEXT))
    else:
        wire.session.act(ECHO, LONG_TEXT)
    wire.session.next()
    return wire


DONE = DataBlock(1, True, b"\x11\x09")
TOO_EARLY = {
    "set": (SetResults(1, (0, 0), 3), SetResults(1, (0, 0)), Set(1, 0, 1), BlockTaken(1, 2), BlockTaken(2, 1)),
    "act": (
        *(Acted(1), ActedBlock(1, DONE), ActionTaken(1, 0), ActionTaken(1, 2), ActionTaken(2, 1)),
        *(BlockTaken(1, 1), get.Got(1, SHORT), get.Block(1, 1, True, b"\x11\x09")),
    ),
}


@pytest.mark.parametrize("service", TOO_EARLY)
def test_what_comes_too_early_for_blocks_of_ours_is_none_of_them(service: str) -> None:
    """An answer to all before all was sent, another block, another question, another service: none sends the next."""
    for answer in TOO_EARLY[service]:
        wire = begin_doing(service)
        wire.session.received(wrapped(answer.to_bytes()))
        assert (wire.session.foreign, type(wire.session.next())) == (1, Wait), answer
    taken = BlockTaken(1, 1) if service == "set" else ActionTaken(1, 1)
    wire = begin_doing(service)
    wire.session.received(wrapped(taken.to_bytes()) * 2)
    assert wire.session.foreign == 1
    step = wire.session.next()
    assert isinstance(step, Send)
    assert isinstance(wire.session.next(), Wait)


def test_a_meter_that_wants_no_more_blocks_ends_the_question_and_nothing_else() -> None:
    """Refused in the middle, of a list and of an action; the association goes on."""
    for service, answer in (("set", SetResults(1, (0, 3), 1)), ("set", Set(1, 17, 1)), ("act", ActionRefused(1, 15))):
        wire = begin_doing(service)
        wire.session.received(wrapped(answer.to_bytes()))
        assert isinstance(error_of(wire.session.next()), AccessRefused)  # type: ignore[arg-type]
        assert isinstance(wire.get(TEXT), Done)


def test_a_list_that_was_set_with_another_number_of_results_is_an_error() -> None:
    """No result is given to the wrong attribute; one that is for a single SET is none."""
    wire = associated()
    wire.session.set_list((TEXT, OTHER), (SHORT, SHORT))
    wire.session.next()
    wire.session.received(wrapped(Set(1, 0).to_bytes()))
    assert wire.session.foreign == 1
    wire.session.received(wrapped(SetResults(1, (0,)).to_bytes()))
    assert isinstance(error_of(wire.run()), Malformed)


def test_endless_or_empty_blocks_of_an_action_end() -> None:
    """By their number, their bytes, and where they bring nothing."""
    for octets in (b"", bytes(60_000)):
        wire = associated()
        wire.session.act(ECHO, SHORT)
        for number in range(1, 100):
            step = wire.session.next()
            if isinstance(step, Failed):
                assert isinstance(step.error, TooMuch)
                break
            wire.session.received(wrapped(ActedBlock(1, DataBlock(number, False, octets)).to_bytes()))
        else:
            raise AssertionError("no end")


def test_blocks_that_the_server_did_not_ask_for_are_refused_by_name() -> None:
    """A next one where nothing is on its way, out of order, of another question, of values that are none."""
    server = Server(Shelf(), (ACCESS,), 64, settable=Shelf(), acting=Shelf())
    server.answer(AssociationRequest(InitiateRequest(OURS | ACTING), 1, b"12345678").to_bytes(), 32)
    no_set = Set(1, AccessResult.NO_LONG_SET_IN_PROGRESS, 2)
    for request, answer in (
        (ActionNext(1, 1), ActionRefused(1, 16)),
        (ActionBlock(1, DataBlock(2, True, b"\x11\x09")), ActionRefused(1, 16)),
        (ActionBlock(1, DataBlock(1, False, b"\x11"), ECHO), ActionTaken(1, 1)),
        (ActionBlock(2, DataBlock(2, True, b"\x09")), ActionRefused(2, 16)),
        (ActionBlock(1, DataBlock(3, True, b"\x09")), ActionRefused(1, 15)),
        (ActionBlock(1, DataBlock(2, True, b"\x09")), ActionRefused(1, 16)),
        (ActionBlock(1, DataBlock(1, True, b"\x11"), ECHO), ActionRefused(1, 12)),
        (SetBlock(1, DataBlock(2, True, b"\x01\x00")), no_set),
        (SetBlock(1, DataBlock(1, False, b"\x02"), (TEXT, OTHER)), BlockTaken(1, 1)),
        (SetBlock(1, DataBlock(2, True, b"\x00")), Set(1, AccessResult.TYPE_UNMATCHED, 2)),
        (SetBlock(1, DataBlock(1, True, b"\x01\x00"), (TEXT, OTHER)), Set(1, AccessResult.TYPE_UNMATCHED, 1)),
    ):
        assert answer_from_bytes(server.answer(request.to_bytes(), 32)) == answer, request


@pytest.mark.parametrize("octet", [0x41, 0xC1, 0xCF])
@pytest.mark.parametrize(
    "asked", ["c001{}00080000600100ff0200", "c101{}00080000600100ff02000600000000", "c301{}00080000600100ff0100"]
)
def test_an_answer_has_class_and_priority_of_its_question(octet: int, asked: str) -> None:
    """Invoke-id-and-priority is one octet that comes back as it went, whatever the answer is."""
    found = Wire(Framing.WRAPPER)
    found.associate()
    said = found.half.received(Message(32, 1, bytes.fromhex(asked.format(f"{octet:02x}"))).to_bytes())
    (answer,) = MessageReader().feed(said)
    assert answer.apdu[2] == octet


def test_a_frame_that_needs_no_answer_or_says_wait_rejects_nothing() -> None:
    """UI and RNR within a link."""
    found = Wire(Framing.HDLC)
    found.associate()
    (last,) = FrameReader().feed(found.heard[-1])
    ui = Frame(last.source, last.destination, hdlc.UI, b"")
    assert found.half.received(ui.to_bytes()) == b""
    rnr = Frame(last.source, last.destination, hdlc.RNR | POLL_FINAL | last.control << 4 & 0xE0)
    (answer,) = FrameReader().feed(found.half.received(rnr.to_bytes()))
    assert answer.control & 0x0F == hdlc.RR
    assert isinstance(found.get(TEXT), Done)
