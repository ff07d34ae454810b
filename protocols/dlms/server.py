"""The server half: what a meter answers to a client, without I/O; the same codec as the client's.

One association at a time. The answer to a repeated frame is the same frame again; what is damaged or goes elsewhere is
not answered.
"""

from __future__ import annotations

from typing import Protocol

from protocols.dlms import action, association, blocks, data, get, hdlc
from protocols.dlms import set as setting
from protocols.dlms.access import Access
from protocols.dlms.apdu import (
    OPERATION_NOT_POSSIBLE,
    SERVICE_NOT_ALLOWED,
    SERVICE_NOT_SUPPORTED,
    SERVICE_UNKNOWN,
    ExceptionResponse,
)
from protocols.dlms.association import (
    NO_COMMON_VERSION,
    NO_REASON,
    PROVIDER,
    REJECTED,
    RELEASE_RESPONSE,
    AssociationRequest,
    AssociationResponse,
)
from protocols.dlms.carrier import LLC_COMMAND
from protocols.dlms.data import Data
from protocols.dlms.faults import Babble, Malformed
from protocols.dlms.get import (
    CONFIRMED,
    AccessResult,
    Block,
    GetList,
    GetNext,
    GetNormal,
    Got,
    GotList,
    Refused,
    Result,
    Selection,
    results_bytes,
)
from protocols.dlms.guard import Guard, Vault
from protocols.dlms.hdlc import POLL_FINAL, RNR, RR, Frame, FrameReader
from protocols.dlms.initiate import (
    ACTING,
    OURS,
    VERSION,
    VERSION_TOO_LOW,
    Conformance,
    InitiateError,
    InitiateResponse,
)
from protocols.dlms.link import MAX_SIZE, Act, Parameters, Station
from protocols.dlms.objects import Attribute
from protocols.dlms.services import Acting, ActionService, BlockSender, SetService, Settable
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import MeterError

LLC_RESPONSE = bytes.fromhex("e6e700")
MAX_PDU = 1_024  # bytes of an APDU that a server takes and sends where it is not told otherwise
MIN_PDU = 64  # bytes: below this a client gets no blocks that are worth their headers
REQUESTS = frozenset({get.REQUEST, setting.REQUEST, action.REQUEST})
BLOCK_OVERHEAD = 14  # bytes of a block's APDU around its octets: 9 of header and up to 5 of length


class Objects(Protocol):
    """What a server shows: twenty lines between the codec and whatever knows the values."""

    def associated(self, client: int) -> None:
        """An association is accepted and its AARE is about to be sent: latch what it shall show."""

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """The attribute's data, or why there are none."""


class Server:
    """One logical device: AARQ, GET and RLRQ in, their answers out; `vault` is what its security keeps."""

    def __init__(
        self,
        objects: Objects,
        accesses: tuple[Access, ...],
        max_pdu: int = MAX_PDU,
        vault: Vault | None = None,
        settable: Settable | None = None,
        offered: Conformance = OURS,
        sender: BlockSender | None = None,
        acting: Acting | None = None,
    ) -> None:
        """`sender` sends what is long in general blocks, to a client that takes such."""
        self._objects, self._max_pdu = objects, max_pdu
        self._guard = Guard(accesses, vault or Vault())
        self._set_service, self._offered = SetService(settable), offered
        self._sender, self._sends_blocks = sender, False
        self._action_service = ActionService(acting)
        self._client: int | None = None
        self._pdu = max_pdu
        self._rest = b""  # what is left of a long answer
        self._next_block = 0

    def disconnected(self) -> None:
        """The link is gone, and the association with it."""
        self._client, self._rest = None, b""
        self._guard.forget()
        self._set_service.forget()
        self._action_service.forget()

    def answers(self, apdu: bytes, client: int) -> list[bytes]:
        """The APDUs that answer `apdu`: several where general blocks follow one another, none to what needs none."""
        if self._sender is None or not self._sends_blocks:
            return [each for each in (self.answer(apdu, client),) if each]
        if apdu[:1] == bytes((blocks.TAG,)) and self._client == client:
            try:
                return self._sender.acknowledged(apdu)
            except MeterError:
                return []
        answer = self.answer(apdu, client)
        return self._sender.sent(answer) if answer else []

    def answer(self, apdu: bytes, client: int) -> bytes:
        """The APDU that answers `apdu`, both as they travel; empty where it wants none."""
        try:
            if apdu[:1] == bytes((association.AARQ,)):
                return self._associate(AssociationRequest.from_bytes(apdu), client).to_bytes()
            if self._client is None or self._client == client:
                answer = self._answer(self._guard.open(apdu), client)
                return self._guard.protect(answer) if answer else answer
        except MeterError as error:
            return self._guard.refusal(error)
        return ExceptionResponse(SERVICE_NOT_ALLOWED, OPERATION_NOT_POSSIBLE).to_bytes()

    def _answer(self, apdu: bytes, client: int) -> bytes:
        """The APDU that answers `apdu`, both unciphered."""
        tag = apdu[:1]
        try:
            if tag == bytes((association.RLRQ,)):
                self.disconnected()
                return RELEASE_RESPONSE
            if self._client != client:
                return ExceptionResponse(SERVICE_NOT_ALLOWED, OPERATION_NOT_POSSIBLE).to_bytes()
            answer = self._prove(apdu, client) if self._guard.pending else self._served(apdu, client)
            return b"" if _is_unconfirmed(apdu) else _with_class_and_priority(apdu, answer)
        except MeterError:
            pass  # what cannot be read is answered as a service that is not known
        return ExceptionResponse(SERVICE_UNKNOWN, SERVICE_NOT_SUPPORTED).to_bytes()

    def _served(self, apdu: bytes, client: int) -> bytes:
        """The answer to GET, SET or ACTION.

        Raises:
            MeterError: it is none of them.
        """
        if apdu[:1] == bytes((setting.REQUEST,)):
            return self._set_service.answer(apdu, client)
        if apdu[:1] == bytes((action.REQUEST,)):
            return self._action_service.answer(apdu, client, 0 if self._sends_blocks else self._pdu)
        return self._get(apdu)

    def _associate(self, request: AssociationRequest, client: int) -> AssociationResponse:
        self.disconnected()
        if not request.version_1:
            return AssociationResponse(REJECTED, PROVIDER, NO_COMMON_VERSION)
        proposed = self._guard.admitted(request, client)
        if isinstance(proposed, AssociationResponse):
            return proposed
        if proposed.version < VERSION:
            self.disconnected()
            return AssociationResponse(REJECTED, diagnostic=NO_REASON, initiate=InitiateError(VERSION_TOO_LOW))
        theirs = proposed.max_pdu or self._max_pdu
        self._pdu = max(MIN_PDU, min(self._max_pdu, theirs) - self._guard.overhead)
        self._client = client
        if not self._guard.pending:
            self._objects.associated(client)
        taken = self._offered | ACTING | Conformance.GENERAL_PROTECTION
        common = Conformance(proposed.conformance & taken)
        self._sends_blocks = self._sender is not None and bool(common & Conformance.GENERAL_BLOCK_TRANSFER)
        return self._guard.response(InitiateResponse(common, self._max_pdu))

    def _prove(self, apdu: bytes, client: int) -> bytes:
        """Nothing is answered before the client's proof, and after a wrong one the association is over."""
        if apdu[:1] != bytes((action.REQUEST,)):
            return ExceptionResponse(SERVICE_NOT_ALLOWED, OPERATION_NOT_POSSIBLE).to_bytes()
        answer = self._guard.prove(apdu)
        if self._guard.pending:
            self._client = None
        else:
            self._objects.associated(client)
        return answer

    def _get(self, apdu: bytes) -> bytes:
        request = get.request_from_bytes(apdu)
        if isinstance(request, GetNext):
            return self._get_next(request)
        if isinstance(request, GetList):
            return self._get_list(request)
        return self._get_normal(request)

    def _get_list(self, request: GetList) -> bytes:
        self._rest = b""
        results = tuple(self._result(each) for each in request.attributes)
        whole = GotList(request.invoke, results).to_bytes()
        if len(whole) <= self._pdu or self._sends_blocks:
            return whole
        self._rest, self._next_block = results_bytes(results), 1
        return self._block(request.invoke)

    def _result(self, attribute: Attribute) -> Result:
        found = self._objects.get(attribute, None, self._client or 0)
        return int(found) if isinstance(found, AccessResult) else found

    def _get_normal(self, request: GetNormal) -> bytes:
        self._rest = b""
        found = self._objects.get(request.attribute, request.selection, self._client or 0)
        if isinstance(found, AccessResult):
            return Refused(request.invoke, found).to_bytes()
        whole = Got(request.invoke, found).to_bytes()
        if len(whole) <= self._pdu or self._sends_blocks:
            return whole
        self._rest, self._next_block = data.to_bytes(found), 1
        return self._block(request.invoke)

    def _get_next(self, request: GetNext) -> bytes:
        if not self._rest:
            return Refused(request.invoke, AccessResult.NO_LONG_GET_IN_PROGRESS).to_bytes()
        if request.block != self._next_block - 1:
            self._rest = b""
            return Refused(request.invoke, AccessResult.DATA_BLOCK_NUMBER_INVALID).to_bytes()
        return self._block(request.invoke)

    def _block(self, invoke: int) -> bytes:
        size = self._pdu - BLOCK_OVERHEAD
        piece, self._rest = self._rest[:size], self._rest[size:]
        block = Block(invoke, self._next_block, not self._rest, piece)
        self._next_block += 1
        return block.to_bytes()


def _is_unconfirmed(asked: bytes) -> bool:
    """Whether a request is of the service class that is not answered."""
    return len(asked) > 2 and asked[0] in REQUESTS and not asked[2] & CONFIRMED


def _with_class_and_priority(asked: bytes, answer: bytes) -> bytes:
    """The answer with all of the request's invoke-id-and-priority: its service class and priority, too."""
    if answer[0] not in {get.RESPONSE, setting.RESPONSE, action.RESPONSE}:
        return answer
    return answer[:2] + asked[2:3] + answer[3:]


class WrapperServer:
    """A server behind the TCP wrapper: one client's bytes in, the answer's bytes out; `ended` closes the connection."""

    def __init__(self, server: Server, address: int) -> None:
        self._server, self._address = server, address
        self._reader = MessageReader()
        self.ended = False

    def received(self, octets: bytes) -> bytes:
        """What is answered to these bytes, in whatever pieces they come."""
        try:
            messages = self._reader.feed(octets)
        except Malformed:
            self.ended = True
            return b""
        return b"".join(self._answer(each) for each in messages if each.destination == self._address)

    def _answer(self, message: Message) -> bytes:
        answers = self._server.answers(message.apdu, message.source)
        return b"".join(Message(self._address, message.source, each).to_bytes() for each in answers)


class HdlcServer:
    """A server behind an HDLC link: one client's bytes in, the answer's bytes out; `ended` closes the connection."""

    def __init__(
        self,
        server: Server,
        address: int,
        physical: int | None = None,
        size: int = MAX_SIZE,
        address_bytes: int | None = None,
        window: int = 1,
    ) -> None:
        """`size` is how many bytes of information one frame may carry, either way; `window` how many may follow."""
        self._server, self._size, self._window = server, size, window
        self._own = hdlc.server_address(address, physical, address_bytes)
        self._reader = FrameReader()
        self._peer = b""
        self._station: Station | None = None
        self.ended = False

    @property
    def connected(self) -> bool:
        """Whether a client has the link."""
        return self._station is not None

    def received(self, octets: bytes) -> bytes:
        """What is answered to these bytes, in whatever pieces they come."""
        try:
            frames = self._reader.feed(octets)
        except Babble:
            self.ended = True
            return b""
        return b"".join(self._answer(each) for each in frames if each.destination == self._own)

    def silence(self) -> bytes:
        """The client paused: what is answered to a frame behind a false start."""
        try:
            frames = self._reader.finish()
        except Babble:
            self.ended = True
            return b""
        return b"".join(self._answer(each) for each in frames if each.destination == self._own)

    def _answer(self, frame: Frame) -> bytes:
        self._reader.restart()
        kind = frame.control & ~POLL_FINAL
        try:
            if kind == hdlc.SNRM:
                return self._connect(frame)
            if self._station is None or frame.source != self._peer:
                return self._unnumbered(frame.source, hdlc.DM)
            if kind == hdlc.DISC:
                return self._disconnect()
            return self._connected(self._station, frame)
        except MeterError:
            return b""  # not the next frame: the client asks again

    def _connect(self, frame: Frame) -> bytes:
        theirs = Parameters.from_bytes(frame.information)
        sizes = (min(self._size, each) for each in (theirs.receive, theirs.transmit))
        windows = (min(self._window, each) for each in (theirs.window_receive, theirs.window_transmit))
        ours = Parameters(*sizes, *windows)
        self._peer = frame.source
        self._station = Station(self._own, self._peer, ours.transmit, ours.window_transmit, ours.window_receive)
        self._server.disconnected()
        return self._unnumbered(self._peer, hdlc.UA, ours.to_bytes())

    def _disconnect(self) -> bytes:
        self._station = None
        self._server.disconnected()
        return self._unnumbered(self._peer, hdlc.UA)

    def _connected(self, station: Station, frame: Frame) -> bytes:
        if frame.control & 1:
            return self._without_information(station, frame)
        act = station.act(frame)
        if act in {Act.TAKE, Act.TAKE_AND_ANSWER}:
            whole = station.take(frame)
            if whole is not None:
                return self._asked(station, whole)
        if act in {Act.TAKE_AND_ANSWER, Act.ASK}:
            return station.receive_ready()
        return station.again() if act is Act.REPEAT else b""

    def _without_information(self, station: Station, frame: Frame) -> bytes:
        """What a frame that is no I frame is answered with."""
        if frame.control & 0x0F == RR:
            return station.ready(frame)
        if frame.control & 0x0F == RNR:
            return station.receive_ready()  # what it has not taken is sent when it is ready
        if frame.control & ~POLL_FINAL == hdlc.UI:
            return b""  # it needs no answer
        return self._unnumbered(self._peer, hdlc.FRMR)

    def _asked(self, station: Station, whole: bytes) -> bytes:
        if whole[: len(LLC_COMMAND)] != LLC_COMMAND:
            return b""
        # A client's address is one byte: its number in the upper seven bits.
        answers = self._server.answers(whole[len(LLC_COMMAND) :], self._peer[0] >> 1)
        # One APDU at a time over a link; what wants none is acknowledged.
        return station.send(LLC_RESPONSE + answers[0]) if answers else station.receive_ready()

    def _unnumbered(self, peer: bytes, kind: int, information: bytes = b"") -> bytes:
        return Frame(peer, self._own, kind | POLL_FINAL, information).to_bytes()
