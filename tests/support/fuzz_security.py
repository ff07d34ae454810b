"""The targets of DLMS/COSEM's security: what is ciphered as it is, and what is inside of what is sealed rightly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from fuzz_meters import joined, pieces
from fuzzing import Target, Work

from protocols.dlms import action, data, get, hls
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.association import AARE, CONTEXT_CIPHERED, AssociationRequest, AssociationResponse
from protocols.dlms.ciphering import BOTH, TAGS, Ciphered, Keys, Suite
from protocols.dlms.counters import Block
from protocols.dlms.data import Data, Tag
from protocols.dlms.entry import REPLY_TO_HLS
from protocols.dlms.guard import Vault
from protocols.dlms.hls import Challenge
from protocols.dlms.initiate import InitiateRequest, InitiateResponse
from protocols.dlms.objects import Attribute
from protocols.dlms.protection import Protection, Security, push_opened
from protocols.dlms.server import Server
from protocols.dlms.session import Done, Failed, Send, Session, Wait
from protocols.dlms.wrapper import Message
from protocols.errors import MeterError

STEPS = 400
KEYS = Keys(Suite.AES_128, bytes(range(16)), bytes(range(0xD0, 0xE0)), bytes(range(0x40, 0x50)))
CLIENT, METER = b"PLB\0\0\0\0\1", b"KAM\0\0\0\0\2"
ACCESS = Access(17, auth=Auth.HLS_GMAC, title=CLIENT, security=Security(KEYS, BOTH, dedicated=True))
PLAIN_ACCESS = replace(ACCESS, auth=Auth.HLS_SHA256, password=b"secret-of-fuzzing", security=None)
ASKED = b"challenge-of-meter"
ENERGY = Attribute.of(3, "1-0:1.8.0.255")
VALUE = get.Got(2, Data(Tag.DOUBLE_LONG_UNSIGNED, 123_456)).to_bytes()


def _fixed(size: int) -> bytes:
    """What the client draws by chance, always the same."""
    return bytes(range(0x80, 0x80 + size))


def _meter() -> Protection:
    sealer = Protection(Security(KEYS), METER, Block(100, 1_000))
    sealer.set_dedicated_key(_fixed(16))
    return sealer


def _aare(access: Access) -> bytes:
    """That of a meter which accepts and wants a proof."""
    made = AssociationResponse(diagnostic=14, title=METER, mechanism=int(access.auth), challenge=ASKED)
    if access.security is None:
        return replace(made, initiate=InitiateResponse()).to_bytes()
    user = Ciphered.from_bytes(_meter().protect(InitiateResponse().to_bytes()))
    return replace(made, initiate=user, context=CONTEXT_CIPHERED).to_bytes()


def _proof(access: Access) -> bytes:
    """... and the right one of its own."""
    mine = Challenge(_fixed(access.challenge_bytes), METER, CLIENT, ASKED)
    keys = None if access.security is None else access.security.keys
    answer = hls.proof(access.auth, mine, access.password, keys, Block(50, 1))
    return action.Acted(1, data.octet_string(answer)).to_bytes()


def _visit(access: Access, replies: Iterator[bytes]) -> None:
    session = Session(access, Framing.WRAPPER, 5_000, Block(1, 1_000), _fixed)
    session.associate()
    try:
        _answered(session, replies)
        session.get(ENERGY)
        _answered(session, replies)
    finally:
        session.release()
        with suppress(MeterError):
            _answered(session, iter(()))


def _answered(session: Session, replies: Iterator[bytes]) -> None:
    held = b""
    for _ in range(STEPS):
        match step := session.next():
            case Send():
                held = next(replies, b"")
            case Wait() if held:
                session.received(held)
                held = b""
            case Wait():
                session.timed_out()
            case Failed():
                raise step.error
            case Done():
                return
    raise AssertionError("the session makes no progress")


def _sealed(parts: Iterator[bytes], sealer: Protection, first: int) -> Iterator[bytes]:
    """Each piece in a seal that holds, but for what opens the association and what is a ciphered APDU itself."""
    for each in parts:
        as_it_is = not each or each[0] == first or each[0] in TAGS
        yield each if as_it_is else sealer.protect(each)


def dlms_ciphered_session(octets: bytes) -> None:
    """Each piece is an AARE as it is, or an APDU that the meter sealed."""
    sealer = _meter()
    sealer.protect(b"\x08")  # the counter that its AARE has
    sealer.use_dedicated_key()
    _visit(ACCESS, (Message(1, 17, each).to_bytes() for each in _sealed(pieces(octets), sealer, AARE)))


def dlms_hls_session(octets: bytes) -> None:
    """The same with nothing ciphered: challenges and proofs alone."""
    _visit(PLAIN_ACCESS, (Message(1, 17, each).to_bytes() for each in pieces(octets)))


class _Shown:
    """A server's objects: one number, whatever is asked for."""

    def associated(self, client: int) -> None:
        """Nothing is latched."""

    def get(self, attribute: Attribute, selection: get.Selection | None, client: int) -> Data | get.AccessResult:
        """Small."""
        return Data(Tag.UNSIGNED, 1)


def _client() -> Protection:
    sealer = Protection(Security(KEYS), CLIENT, Block(1, 1_000))
    sealer.set_dedicated_key(_fixed(16))
    return sealer


def _aarq() -> bytes:
    user = Ciphered.from_bytes(_client().protect(InitiateRequest(dedicated_key=_fixed(16)).to_bytes()))
    return AssociationRequest(user, int(Auth.HLS_GMAC), _fixed(16), CONTEXT_CIPHERED, CLIENT).to_bytes()


def dlms_guard(octets: bytes) -> None:
    """A ciphered server: each piece is an AARQ as it is, or an APDU that the client sealed."""
    server = Server(_Shown(), (ACCESS,), 200, Vault(METER, Block(100, 1_000), random=lambda size: ASKED[:size]))
    sealer = _client()
    sealer.protect(b"\x01")  # the counter that its AARQ has
    for each in _sealed(pieces(octets), sealer, 0x60):
        server.answer(each, 17)  # nothing, where the request is an unconfirmed one


def _client_proof() -> bytes:
    owed = Challenge(ASKED[:16], CLIENT, METER, _fixed(16))
    answer = hls.proof(Auth.HLS_GMAC, owed, b"", KEYS, Block(2, 1))
    return action.ActionNormal(1, REPLY_TO_HLS, data.octet_string(answer)).to_bytes()


def dlms_push(octets: bytes) -> None:
    """A ciphered APDU as it travels."""
    push_opened(octets, KEYS)


def dlms_action(octets: bytes) -> None:
    """Both directions; what is read is written again."""
    if octets[:1] == bytes((action.REQUEST,)):
        asked = action.request_from_bytes(octets)
        assert action.request_from_bytes(asked.to_bytes()) == asked
        return
    found = action.response_from_bytes(octets)
    assert action.response_from_bytes(found.to_bytes()) == found
    if isinstance(found, action.ActionRefused):
        raise found.error("method")
    if isinstance(found, action.Acted) and found.returned is None:
        raise action.no_data(found, "method")


def _pushes() -> tuple[bytes, ...]:
    sender = Protection(Security(KEYS, general=True), METER, Block(7, 10))
    general = sender.protect(bytes.fromhex("0f000000010009020203"))
    return general, general[:11] + b"\x00" + general[12:]


TARGETS: tuple[Target, ...] = (
    Target(
        "dlms-session-ciphered",
        (
            joined(_aare(ACCESS), _proof(ACCESS), VALUE),
            joined(_aare(ACCESS), _proof(ACCESS), get.Block(2, 1, True, b"\x11\x05").to_bytes()),
            joined(_aare(ACCESS), b"\xd8\x01\x06\0\0\0\x09"),
        ),
        dlms_ciphered_session,
        errors=MeterError,
        work=Work(20_000, 400),
    ),
    Target(
        "dlms-session-hls",
        (joined(_aare(PLAIN_ACCESS), _proof(PLAIN_ACCESS), VALUE), joined(_aare(PLAIN_ACCESS), b"\xc7\x01\x01\x03\0")),
        dlms_hls_session,
        errors=MeterError,
        work=Work(20_000, 400),
    ),
    Target(
        "dlms-guard",
        (
            joined(_aarq(), _client_proof(), bytes.fromhex("c001420003010001080000ff0200"), b"\x62\x00"),
            joined(_aarq(), bytes.fromhex("c001420003010001080000ff0200"), _aarq()),
        ),
        dlms_guard,
        work=Work(20_000, 400),
        only_values=True,
    ),
    Target("dlms-push", _pushes(), dlms_push, errors=MeterError),
    Target(
        "dlms-action",
        (
            _client_proof(),
            _proof(ACCESS),
            action.Acted(1).to_bytes(),
            action.Acted(1, None, 3).to_bytes(),
            action.ActionRefused(1, 12).to_bytes(),
            action.ActionNormal(1, REPLY_TO_HLS).to_bytes(),
        ),
        dlms_action,
        errors=MeterError,
    ),
)
