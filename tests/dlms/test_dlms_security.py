"""Associations with keys and challenges: client against server half, and a server half that cheats in each way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from protocols.dlms import action, protection
from protocols.dlms import data as axdr
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.action import Acted
from protocols.dlms.association import (
    CONTEXT_LN,
    WRONG_PASSWORD,
    AssociationRequest,
    AssociationResponse,
)
from protocols.dlms.breaches import (
    ChallengeRefused,
    CounterNotGrown,
    CountersSpent,
    MechanismUnsupported,
    MeterNotProven,
    PlainAnswer,
    ProofRefused,
    TitleRefused,
)
from protocols.dlms.ciphering import BOTH, NEITHER, TAGS, Ciphered, Control, Keys, Suite, nonce, sealed
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.faults import AssociationRefused, ExceptionAnswer, NotSupported, PasswordRefused, ServiceError
from protocols.dlms.get import AccessResult, Got, Selection
from protocols.dlms.guard import Guard, Vault
from protocols.dlms.initiate import InitiateRequest, InitiateResponse
from protocols.dlms.objects import Attribute
from protocols.dlms.protection import Protection, Security
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.dlms.session import Done, Failed, Send, Session
from protocols.dlms.states import State
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import PlombaError

SHORT = Attribute.of(3, "1-0:1.8.0.255")
LONG = Attribute.of(7, "1-0:99.1.0.255")
VALUES = {
    SHORT: Data(Tag.DOUBLE_LONG_UNSIGNED, 123_456_789),
    LONG: axdr.array(*(Data(Tag.DOUBLE_LONG, n) for n in range(150))),
}
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)))
LONG_KEYS = Keys(Suite.AES_256, bytes(range(32)), bytes(range(0xC0, 0xE0)))
SIGNED_KEYS = replace(KEYS, suite=Suite.AES_128_SIGNED)
OTHER_KEYS = replace(KEYS, authentication=bytes(16))
CLIENT, METER = b"PLB\0\0\0\0\1", b"KAM\0\0\0\0\2"
SECRET = b"hls-secret-5301"
GMAC = Access(client=17, auth=Auth.HLS_GMAC, title=CLIENT, security=Security(KEYS))
FRAMINGS = [Framing.WRAPPER, Framing.HDLC]
STEPS_MAX = 2_000
HIGH = [Auth.HLS_MD5, Auth.HLS_SHA1, Auth.HLS_GMAC, Auth.HLS_SHA256]


class Shelf:
    """Objects for a server: a dictionary; `came` are the clients whose association was accepted, and proven."""

    def __init__(self) -> None:
        self.came: list[int] = []

    def associated(self, client: int) -> None:
        """Remember who came."""
        self.came.append(client)

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """What is on the shelf."""
        return VALUES.get(attribute, AccessResult.OBJECT_UNDEFINED)


def vault_of(meter: int = 9_000) -> Vault:
    return Vault(METER, Block(meter, 100_000))


Answer = Callable[[bytes], bytes]


class Wire:
    """A client and a server half; `change` makes each APDU of the meter another one, `ask` each of the client."""

    def __init__(
        self,
        access: Access,
        framing: Framing = Framing.WRAPPER,
        theirs: Access | None = None,
        vault: Vault | None = None,
        counters: Block | None = None,
        change: Answer = bytes,
        ask: Answer = bytes,
    ) -> None:
        self.shelf = Shelf()
        self.vault = vault or vault_of()
        server = Server(self.shelf, (theirs or access,), 200, self.vault)
        address = access.server
        hdlc = framing is Framing.HDLC
        self.half = HdlcServer(server, address, size=60) if hdlc else WrapperServer(server, address)
        self.session = Session(access, framing, 5_000, Block(1, 1_000) if counters is None else counters)
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self._change, self._ask = change, ask

    def run(self) -> Done | Failed:
        """Until what was begun is done."""
        held: list[bytes] = []
        for _ in range(STEPS_MAX):
            step = self.session.next()
            if isinstance(step, Done | Failed):
                return step
            if isinstance(step, Send):
                held += self._carried(step.octets)
            elif held:
                self.session.received(held.pop(0))
            else:
                self.session.timed_out()
        raise AssertionError("a loop without progress")

    def _carried(self, octets: bytes) -> Iterator[bytes]:
        if isinstance(self.half, HdlcServer):
            self.sent.append(octets)
            self.heard.append(self.half.received(octets))
            yield self.heard[-1]
            return
        for message in MessageReader().feed(octets):
            self.sent.append(message.apdu)
            back = self.half.received(replace(message, apdu=self._ask(message.apdu)).to_bytes())
            for answer in MessageReader().feed(back):
                self.heard.append(self._change(answer.apdu))
                yield replace(answer, apdu=self.heard[-1]).to_bytes()

    def associate(self) -> Done | Failed:
        """Link, association and proof."""
        self.session.associate()
        return self.run()

    def get(self, attribute: Attribute) -> Done | Failed:
        """One attribute."""
        self.session.get(attribute)
        return self.run()

    def visit(self) -> list[Done | Failed]:
        """All of a visit."""
        found = [self.associate(), self.get(SHORT), self.get(LONG)]
        self.session.release()
        return [*found, self.run()]


def error_of(result: Done | Failed) -> PlombaError:
    assert isinstance(result, Failed), result
    return result.error


def good(results: list[Done | Failed]) -> None:
    assert [type(each) for each in results] == [Done] * 4, results
    assert [each.data for each in results if isinstance(each, Done)][1:3] == [VALUES[SHORT], VALUES[LONG]]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("keys", [KEYS, SIGNED_KEYS, LONG_KEYS], ids=["suite 0", "suite 1", "suite 2"])
@pytest.mark.parametrize("bits", [BOTH, Control.AUTHENTICATED, Control.ENCRYPTED])
@pytest.mark.parametrize("auth", [Auth.NONE, Auth.LLS, *HIGH])
def test_a_visit_with_each_authentication_under_each_protection(
    framing: Framing, keys: Keys, bits: Control, auth: Auth
) -> None:
    """Values in one piece and in blocks; between AARQ and RLRQ nothing travels that is not ciphered."""
    access = Access(client=17, auth=auth, password=SECRET, title=CLIENT, security=Security(keys, bits))
    wire = Wire(access, framing)
    good(wire.visit())
    assert wire.shelf.came == [17]
    assert wire.session.foreign == wire.session.retries == 0
    if framing is Framing.WRAPPER:
        assert {each[0] for each in wire.sent[1:-1]} <= TAGS
        assert {each[0] for each in wire.heard[1:-1]} <= TAGS


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("auth", [Auth.LLS, *HIGH])
def test_a_visit_in_each_form_with_each_key(framing: Framing, general: bool, dedicated: bool, auth: Auth) -> None:
    """Service-specific and general, global and dedicated; the proof goes under the global key."""
    security = Security(KEYS, BOTH, dedicated, general)
    wire = Wire(Access(client=17, auth=auth, password=SECRET, title=CLIENT, security=security), framing)
    good(wire.visit())
    if framing is Framing.WRAPPER:
        tag = {(False, False): 0xC8, (False, True): 0xD0, (True, False): 0xDB, (True, True): 0xDC}[general, dedicated]
        proofs = 1 if auth.is_high else 0
        assert {each[0] for each in wire.sent[1 + proofs : -1]} == {tag}
        assert not proofs or wire.sent[1][0] == (0xDB if general else 0xCB)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("auth", HIGH)
def test_high_authentication_without_ciphering(framing: Framing, auth: Auth) -> None:
    """Challenges and proofs alone; GMAC has its keys for them."""
    access = Access(client=17, auth=auth, password=SECRET, title=CLIENT, security=Security(KEYS, NEITHER))
    good(Wire(access, framing).visit())


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_challenges_of_each_length(size: int) -> None:
    """Sixteen bytes where nothing else is said."""
    assert GMAC.challenge_bytes == 16
    wire = Wire(replace(GMAC, challenge_bytes=size))
    good(wire.visit())
    assert len(AssociationRequest.from_bytes(wire.sent[0]).password) == size


def test_a_challenge_is_new_each_time() -> None:
    """And so is a dedicated key."""
    access = replace(GMAC, security=Security(KEYS, dedicated=True))
    challenges, keys = set(), set()
    for first in (1, 100, 200):
        wire = Wire(access, counters=Block(first, 100))
        wire.associate()
        request = AssociationRequest.from_bytes(wire.sent[0])
        assert isinstance(request.initiate, Ciphered)
        plain = request.initiate.opened(KEYS.encryption, KEYS.authentication, CLIENT)
        challenges.add(request.password)
        keys.add(InitiateRequest.from_bytes(plain).dedicated_key)
    assert len(challenges) == len(keys) == 3
    assert {len(each) for each in keys} == {16}


def counters_of(wire: Wire) -> list[int]:
    """All counters that the client used with its global key, the proof's included."""
    found = []
    for apdu in wire.sent:
        if apdu[0] == 0x60:
            request = AssociationRequest.from_bytes(apdu)
            assert isinstance(request.initiate, Ciphered)
            found.append(request.initiate.counter)
        elif apdu[0] in TAGS:
            ciphered = Ciphered.from_bytes(apdu)
            plain = ciphered.opened(KEYS.encryption, KEYS.authentication, CLIENT)
            if plain[0] == action.REQUEST:
                asked = action.request_from_bytes(plain)
                assert isinstance(asked, action.ActionNormal)
                parameter = asked.parameter
                assert parameter is not None
                assert isinstance(parameter.content, bytes)
                found.append(int.from_bytes(parameter.content[1:5], "big"))
            found.append(ciphered.counter)
        else:
            found.append(Ciphered.from_bytes(apdu[9:]).counter)  # behind the RLRQ's reason and three headers
    return found


def test_no_counter_is_used_twice_the_proofs_included() -> None:
    """AARQ, the proof and the APDU that bears it, each question, RLRQ: in order, each once, none left out."""
    wire = Wire(GMAC, counters=Block(41, 1_000))
    good(wire.visit())
    found = counters_of(wire)
    assert found == list(range(41, 41 + len(found)))
    assert len(found) == len(wire.sent) + 1


def test_without_a_counter_nothing_is_sent() -> None:
    """None was promised, or they end in the middle: by name, before anything leaves."""
    wire = Wire(GMAC, counters=Block())
    with pytest.raises(CountersSpent):
        wire.associate()
    assert wire.sent == []
    for framing in FRAMINGS:
        wire = Wire(GMAC, framing, counters=Block(1, 3))
        assert isinstance(wire.associate(), Done)
        with pytest.raises(CountersSpent):
            wire.get(SHORT)
        wire.session.release()
        assert isinstance(wire.run(), Done)
        assert wire.session.state is State.ENDED


@pytest.mark.parametrize("auth", [Auth.HLS, Auth.HLS_ECDSA])
def test_mechanisms_that_are_not_supported_are_named(auth: Auth) -> None:
    """The manufacturer's own, and ECDSA; GMAC without keys."""
    for access in (replace(GMAC, auth=auth), replace(GMAC, security=None)):
        with pytest.raises(MechanismUnsupported):
            Wire(access).associate()


@pytest.mark.parametrize("auth", HIGH)
def test_a_client_with_another_secret_is_refused_and_gets_nothing(auth: Auth) -> None:
    """No object is latched for it, and what it asks afterwards is not answered."""
    access = replace(GMAC, auth=auth, password=SECRET, security=Security(KEYS, NEITHER))
    wrong = replace(access, password=b"wrong", security=Security(OTHER_KEYS, NEITHER))
    wire = Wire(wrong, theirs=access)
    assert isinstance(error_of(wire.associate()), ProofRefused)
    assert wire.shelf.came == []
    half = wire.half
    assert isinstance(half, WrapperServer)
    answer = half.received(Message(17, 1, bytes.fromhex("c001410003010001080000ff0200")).to_bytes())
    assert answer[8:] == bytes.fromhex("d80101")


def test_a_question_before_the_proof_is_not_answered() -> None:
    """Accepted is not proven."""
    access = replace(GMAC, security=Security(KEYS, NEITHER))
    wire = Wire(access, change=lambda apdu: b"" if apdu[0] == action.RESPONSE else apdu)
    server = Server(wire.shelf, (access,), 200, vault_of())
    session = Session(access, Framing.WRAPPER)
    session.associate()
    step = session.next()
    assert isinstance(step, Send)
    assert server.answer(step.octets[8:], 17)[0] == 0x61
    assert server.answer(bytes.fromhex("c001410003010001080000ff0200"), 17) == bytes.fromhex("d80101")
    assert wire.shelf.came == []


@pytest.mark.parametrize("keys", [OTHER_KEYS, replace(KEYS, encryption=bytes(16)), SIGNED_KEYS])
def test_other_keys_on_one_side_end_the_association_by_name(keys: Keys) -> None:
    """The meter cannot decipher and says so; nothing is answered to our challenge."""
    wire = Wire(GMAC, theirs=replace(GMAC, security=Security(keys)))
    error = error_of(wire.associate())
    assert isinstance(error, ProofRefused)
    assert "deciphering error" in str(error)


def test_a_wrong_password_under_ciphering_is_refused() -> None:
    """As without."""
    access = replace(GMAC, auth=Auth.LLS, password=SECRET)
    error = error_of(Wire(replace(access, password=b"other"), theirs=access).associate())
    assert isinstance(error, PasswordRefused)
    assert not isinstance(error, ProofRefused)


def test_a_meter_that_heard_higher_counters_says_so() -> None:
    """By its exception: the error names it, and no counter is tried in its place."""
    vault = vault_of()
    vault.seen[17] = 5_000
    wire = Wire(GMAC, vault=vault)
    error = error_of(wire.associate())
    assert isinstance(error, ProofRefused)
    assert "invocation counter error" in str(error)
    assert wire.heard == [bytes.fromhex("d80106") + (5_001).to_bytes(4, "big")]


class Reflecting(Guard):
    """A meter without the secret: it sends the client's own challenge back, and then the client's own answer."""

    def response(self, initiate: InitiateResponse) -> AssociationResponse:
        """With the client's challenge."""
        return replace(super().response(initiate), challenge=self._mine.asked)

    def prove(self, apdu: bytes) -> bytes:
        """With the client's answer."""
        request = action.request_from_bytes(apdu)
        assert isinstance(request, action.ActionNormal)
        self.pending = False
        return Acted(request.invoke, request.parameter).to_bytes()


class Ignorant(Guard):
    """A meter without the secret, that accepts whatever it is answered and proves nothing."""

    answer: Data | None = None

    def prove(self, apdu: bytes) -> bytes:
        """Done, it says."""
        self.pending = False
        return Acted(action.request_from_bytes(apdu).invoke, self.answer).to_bytes()


@pytest.mark.parametrize("auth", HIGH)
def test_our_own_challenge_sent_back_is_refused(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is answered: the answer would be the one that we wait for."""
    monkeypatch.setattr("protocols.dlms.server.Guard", Reflecting)
    wire = Wire(replace(GMAC, auth=auth, password=SECRET, security=Security(KEYS, NEITHER)))
    assert isinstance(error_of(wire.associate()), ChallengeRefused)
    assert len(wire.sent) == 1


@pytest.mark.parametrize("auth", HIGH)
@pytest.mark.parametrize("answer", [None, axdr.octet_string(b""), axdr.octet_string(bytes(17)), axdr.NULL])
def test_a_meter_that_proves_nothing_is_refused(
    auth: Auth, answer: Data | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing, an empty answer, zeros, another type."""
    monkeypatch.setattr(Ignorant, "answer", answer)
    monkeypatch.setattr("protocols.dlms.server.Guard", Ignorant)
    wire = Wire(replace(GMAC, auth=auth, password=SECRET, security=Security(KEYS, NEITHER)))
    assert isinstance(error_of(wire.associate()), MeterNotProven)
    assert isinstance(error_of(wire.get(SHORT)), PlombaError)


@pytest.mark.parametrize("challenge", [b"", bytes(7), bytes(65)])
def test_a_challenge_of_another_length_is_refused(challenge: bytes) -> None:
    """None, too short, too long."""

    def change(apdu: bytes) -> bytes:
        if apdu[0] != 0x61:
            return apdu
        return replace(AssociationResponse.from_bytes(apdu), challenge=challenge).to_bytes()

    assert isinstance(error_of(Wire(GMAC, change=change).associate()), ChallengeRefused)


def test_a_meter_with_our_title_or_none_is_refused() -> None:
    """What we seal could be played back to us; and without a title nothing can be opened."""
    for title in (CLIENT, b"", b"KAM"):
        wire = Wire(GMAC, vault=Vault(METER, Block(9_000, 100)), change=titled(title))
        assert isinstance(error_of(wire.associate()), TitleRefused)
        assert len(wire.sent) == 1


def titled(title: bytes) -> Answer:
    def change(apdu: bytes) -> bytes:
        return replace(AssociationResponse.from_bytes(apdu), title=title).to_bytes() if apdu[0] == 0x61 else apdu

    return change


def test_a_configured_title_of_the_meter_stands_in_or_is_held_against_it() -> None:
    """Some meters send none; another one is another meter."""
    good(Wire(replace(GMAC, meter_title=METER), change=titled(b"")).visit())
    error = error_of(Wire(replace(GMAC, meter_title=b"KAM\0\0\0\0\3"), theirs=GMAC).associate())
    assert isinstance(error, TitleRefused)


def test_a_plain_initiate_response_in_a_ciphered_association_is_refused() -> None:
    """An AARE that accepts, written by anybody; none at all is tolerated, for it says nothing."""

    def plainly(user: InitiateResponse | None) -> Answer:
        def change(apdu: bytes) -> bytes:
            if apdu[0] != 0x61:
                return apdu
            return replace(AssociationResponse.from_bytes(apdu), initiate=user).to_bytes()

        return change

    assert isinstance(error_of(Wire(GMAC, change=plainly(InitiateResponse())).associate()), PlainAnswer)
    good(Wire(GMAC, change=plainly(None)).visit())


def test_a_ciphered_initiate_response_in_a_plain_association_is_named() -> None:
    """There is no key for it."""
    ciphered = Ciphered(0x28, 0x30, 1, bytes(20))
    access = Access(client=17)

    def change(apdu: bytes) -> bytes:
        found = AssociationResponse.from_bytes(apdu)
        return replace(found, initiate=ciphered).to_bytes()

    assert isinstance(error_of(Wire(access, change=change).associate()), NotSupported)


def test_a_sealed_error_in_place_of_an_initiate_response_is_named() -> None:
    """The meter cannot agree, and says so under the key."""
    sealer = Protection(Security(KEYS), METER, Block(9_500, 10))
    user = Ciphered.from_bytes(_sealed_error(sealer))

    def change(apdu: bytes) -> bytes:
        return replace(AssociationResponse.from_bytes(apdu), initiate=user).to_bytes() if apdu[0] == 0x61 else apdu

    assert isinstance(error_of(Wire(GMAC, change=change).associate()), ServiceError)


def _sealed_error(sealer: Protection) -> bytes:
    head = Ciphered.from_bytes(sealer.protect(b"\x01\x0e"))  # a counter and a control: its seal is made anew
    iv = nonce(METER, head.counter)
    body = sealed(head.control, KEYS.encryption, KEYS.authentication, iv, bytes.fromhex("0e010600"))
    return replace(head, tag=0x2E, body=body).to_bytes()


def test_a_plain_answer_with_a_wrong_value_is_never_taken() -> None:
    """The right one comes behind it and is taken; alone, the question ends by its name."""
    forged = Got(2, Data(Tag.DOUBLE_LONG_UNSIGNED, 1)).to_bytes()
    wire = Wire(GMAC)
    wire.associate()
    wire.session.get(SHORT)
    step = wire.session.next()
    assert isinstance(step, Send)
    wire.session.received(Message(1, 17, forged).to_bytes())
    for octets in wire._carried(step.octets):
        wire.session.received(octets)
    found = wire.run()
    assert isinstance(found, Done)
    assert found.data == VALUES[SHORT]
    assert wire.session.foreign == 1
    wire._change = lambda apdu: forged
    assert isinstance(error_of(wire.get(SHORT)), PlainAnswer)


def test_an_answer_played_back_is_never_taken() -> None:
    """Of the same association, whatever its invoke-id: its counter was there before."""
    wire = Wire(GMAC)
    wire.associate()
    wire.get(SHORT)
    old = wire.heard[-1]
    wire._change = lambda apdu: old
    for _ in range(17):  # its invoke-id comes round again
        assert isinstance(error_of(wire.get(SHORT)), CounterNotGrown)


def test_an_association_played_back_proves_nothing() -> None:
    """Every answer of an earlier visit, word for word: the challenge is another."""
    first = Wire(GMAC)
    good(first.visit())
    replay = iter(first.heard)
    second = Wire(GMAC, counters=Block(500, 500), change=lambda apdu: next(replay))
    assert isinstance(error_of(second.associate()), MeterNotProven)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_answer_twice(framing: Framing) -> None:
    """The second one is discarded and counted, in a ciphered association too."""
    wire = Wire(GMAC, framing)
    carried = wire._carried
    wire._carried = lambda octets: [each for once in carried(octets) for each in (once, once)]  # type: ignore[method-assign, assignment, return-value]
    good(wire.visit())
    assert wire.session.foreign > 0


def test_every_bit_of_every_answer_is_under_a_tag_or_changes_no_value() -> None:
    """Flipped one at a time: the right values or a named error."""
    plain = Wire(GMAC)
    plain.visit()
    for turn, octets in enumerate(plain.heard):
        for bit in range(0, 8 * len(octets), 3):
            numbers = count()

            def flip(apdu: bytes, turn: int = turn, bit: int = bit, numbers: Iterator[int] = numbers) -> bytes:
                if next(numbers) != turn or bit // 8 >= len(apdu):
                    return apdu
                return apdu[: bit // 8] + bytes((apdu[bit // 8] ^ 1 << bit % 8,)) + apdu[bit // 8 + 1 :]

            results = Wire(GMAC, change=flip).visit()
            for found, attribute in zip(results[1:3], (SHORT, LONG), strict=True):
                assert isinstance(found, Failed) or found.data == VALUES[attribute]


def test_an_error_of_the_meter_ends_a_question_plainly() -> None:
    """An exception without a seal is heard, and the association goes on."""
    wire = Wire(GMAC)
    wire.associate()
    wire._change = lambda apdu: bytes.fromhex("d80202")
    assert isinstance(error_of(wire.get(SHORT)), ExceptionAnswer)
    wire._change = bytes
    assert isinstance(wire.get(SHORT), Done)


def test_the_server_refuses_what_does_not_fit_the_access() -> None:
    """Another context, plain where it should be ciphered, no title, an old counter within the association."""
    plain = Access(client=17, auth=Auth.NONE)
    ciphered = replace(GMAC, auth=Auth.NONE)
    for ours, theirs in ((plain, ciphered), (ciphered, plain)):
        error = error_of(Wire(ours, theirs=theirs).associate())
        assert isinstance(error, AssociationRefused)
        assert "application context" in str(error)
    server = Server(Shelf(), (ciphered,), 200, vault_of())
    wire = Wire(ciphered)
    wire.associate()
    titleless = replace(AssociationRequest.from_bytes(wire.sent[0]), title=b"")
    assert AssociationResponse.from_bytes(server.answer(titleless.to_bytes(), 17)).result == 1
    assert server.answer(wire.sent[0], 17)[0] == 0x61
    assert server.answer(wire.sent[0], 17)[:3] == bytes.fromhex("d80106")
    short = AssociationRequest(InitiateRequest(), int(Auth.HLS_MD5), b"1234567", CONTEXT_LN, CLIENT)
    strict = Server(Shelf(), (Access(client=17, auth=Auth.HLS_MD5, password=SECRET),), 200, vault_of())
    assert AssociationResponse.from_bytes(strict.answer(short.to_bytes(), 17)).diagnostic == WRONG_PASSWORD


def test_no_secret_shows() -> None:
    """Neither of what is configured nor of what is sent."""
    access = replace(GMAC, password=SECRET)
    wire = Wire(access)
    wire.associate()
    for each in (access, access.security, AssociationRequest.from_bytes(wire.sent[0]), wire.session):
        text = repr(each)
        for secret in (SECRET, KEYS.encryption, KEYS.authentication):
            assert repr(secret)[2:-1] not in text
            assert secret.hex() not in text


def test_a_guards_overhead_is_enough() -> None:
    """The longest block in its longest form is no longer than the client takes."""
    access = replace(GMAC, security=Security(KEYS, BOTH, dedicated=True, general=True))
    wire = Wire(access)
    good(wire.visit())
    assert max(map(len, wire.heard)) <= 200
    entry = wire.session._entry
    assert entry.agreed is not None
    assert (entry.agreed.max_pdu, entry.overhead) == (200, protection.OVERHEAD)
