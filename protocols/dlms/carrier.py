"""What carries the client's APDUs: the TCP wrapper, or an HDLC link; both tell what they heard in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocols.dlms import blocks, hdlc
from protocols.dlms.access import Access, Framing
from protocols.dlms.blocks import GeneralBlock, Joiner
from protocols.dlms.faults import (
    Babble,
    CutShort,
    FrameRejected,
    LinkEnded,
    Malformed,
    NoAnswer,
    Unexpected,
    WrongAddress,
    WrongBlock,
    WrongPort,
    WrongSequence,
)
from protocols.dlms.get import INVOKE_MASK
from protocols.dlms.hdlc import POLL_FINAL, RR, Frame, FrameReader
from protocols.dlms.link import CLIENT, OUR_SIZE, Act, LinkState, Parameters, Station
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import MeterError

TRIES = 2  # of a question over TCP, which loses nothing itself
LINE_TRIES = 3  # ... on a serial line
MAX_RESENDS = 3  # of one answer: windows that are asked for again after silence
ANSWERED_BY = {
    0xC0: b"\xc4",
    0xC1: b"\xc5",
    0xC3: b"\xc7",
}  # plain questions and their answers, which bear an invoke-id
LLC_COMMAND = bytes.fromhex("e6e600")
LLC = (bytes.fromhex("e6e700"), LLC_COMMAND)  # of a response; some meters write that of a command


@dataclass(frozen=True, slots=True)
class Linked:
    """The link is there."""


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The link is closed, as asked."""


@dataclass(frozen=True, slots=True)
class Apdu:
    """One whole APDU of the meter."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """Part of an answer came: these octets ask for the rest."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Part of an answer came, and more of it follows without being asked for."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something good that answers nothing that was asked."""

    error: MeterError


@dataclass(frozen=True, slots=True)
class Lost:
    """The meter ended the link, or nothing more can be told from its bytes."""

    error: MeterError


Heard = Linked | Unlinked | Apdu | Reply | Part | Foreign | Lost


class Carrier(Protocol):
    """What a session needs of a carrier."""

    tries: int  # how often a question is sent before it counts as not answered
    linked: bool  # whether there is a link below, with numbers of its own

    @property
    def inside(self) -> bool:
        """Whether an answer has begun that is not whole yet."""

    def connect(self) -> bytes:
        """What opens the link; empty where none is needed."""

    def disconnect(self) -> bytes:
        """What closes the link; empty where nothing does."""

    def send(self, apdu: bytes) -> bytes:
        """What carries `apdu`, or the beginning of it."""

    def again(self) -> bytes:
        """What to send when nothing came."""

    def feed(self, octets: bytes) -> list[Heard]:
        """What these bytes say, in whatever pieces they come."""

    def silence(self) -> list[Heard]:
        """Nothing came: what was held back until now."""

    def fault(self) -> MeterError | None:
        """Why something that came was no frame."""


class WrapperCarrier:
    """APDUs in the TCP wrapper: no link, no repetition (TCP has its own)."""

    tries = 1
    linked = False

    def __init__(self, access: Access) -> None:
        self._access = access
        self._reader = MessageReader()

    @property
    def inside(self) -> bool:
        """Whether a message has begun."""
        return self._reader.inside

    def connect(self) -> bytes:
        """Nothing is needed."""
        return b""

    def disconnect(self) -> bytes:
        """Nothing is needed."""
        return b""

    def send(self, apdu: bytes) -> bytes:
        """The APDU in its wrapper."""
        return Message(self._access.client, self._access.server, apdu).to_bytes()

    def again(self) -> bytes:
        """Nothing is repeated."""
        return b""

    def feed(self, octets: bytes) -> list[Heard]:
        """The APDUs of the server that was asked."""
        try:
            return [self._judge(each) for each in self._reader.feed(octets)]
        except Malformed as error:
            return [Lost(error)]

    def silence(self) -> list[Heard]:
        """A message that stays unfinished for so long leaves no place where the next one could begin."""
        return [Lost(CutShort("a whole message", "the beginning of one", "wrapper"))] if self._reader.inside else []

    def fault(self) -> MeterError | None:
        """Nothing: what does not hold ends the stream."""
        return None

    def _judge(self, message: Message) -> Heard:
        ports = (message.source, message.destination)
        wanted = (self._access.server, self._access.client)
        if ports != wanted:
            return Foreign(WrongPort(f"wPorts {wanted[0]} to {wanted[1]}", f"{ports[0]} to {ports[1]}", "wrapper"))
        return Apdu(message.apdu)


class HdlcCarrier:
    """APDUs over an HDLC link; a question is sent `tries` times: the line behind a converter may lose bytes.

    A converter on a two-wire line may hear what it sends: our own last frame is no answer, and nothing wrong.
    """

    linked = True

    def __init__(self, access: Access, tries: int = TRIES) -> None:
        self.tries = tries
        self._own = hdlc.client_address(access.client)
        self._peer = hdlc.server_address(access.server, access.physical, access.address_bytes)
        self._window = access.window
        self._state = LinkState.DISCONNECTED
        self._reader = FrameReader()
        self._station = Station(self._own, self._peer)
        self._last = b""

    @property
    def inside(self) -> bool:
        """Whether a frame has begun."""
        return self._reader.inside

    def connect(self) -> bytes:
        """SNRM with the sizes that we take."""
        self._state = LinkState.CONNECTING
        wanted = Parameters(OUR_SIZE, OUR_SIZE, self._window, self._window).to_bytes()
        self._last = Frame(self._peer, self._own, hdlc.SNRM | POLL_FINAL, wanted).to_bytes()
        return self._last

    def disconnect(self) -> bytes:
        """DISC; nothing where there is no link."""
        if self._state is LinkState.DISCONNECTED:
            return b""
        self._state = LinkState.DISCONNECTING
        self._last = Frame(self._peer, self._own, hdlc.DISC | POLL_FINAL).to_bytes()
        return self._last

    def send(self, apdu: bytes) -> bytes:
        """The first I frame of the APDU."""
        self._reader.restart()
        return self._station.send(LLC_COMMAND + apdu)

    def again(self) -> bytes:
        """The last frame once more."""
        return self._station.again() if self._state is LinkState.CONNECTED else self._last

    def feed(self, octets: bytes) -> list[Heard]:
        """What the frames of the server that was asked say."""
        try:
            return [heard for frame in self._reader.feed(octets) for heard in self._judge(frame)]
        except Babble as error:
            return [Lost(error)]

    def silence(self) -> list[Heard]:
        """What is found behind a false start."""
        try:
            return [heard for frame in self._reader.finish() for heard in self._judge(frame)]
        except Babble as error:
            return [Lost(error)]

    def fault(self) -> MeterError | None:
        """The first damage since the question."""
        return self._reader.fault

    def _judge(self, frame: Frame) -> list[Heard]:
        if (frame.destination, frame.source) == (self._peer, self._own):
            return []  # the echo of our own
        if (frame.destination, frame.source) != (self._own, self._peer):
            wanted = f"{self._peer.hex()} to {self._own.hex()}"
            error = WrongAddress(wanted, f"{frame.source.hex()} to {frame.destination.hex()}", "HDLC frame")
            return [Foreign(error)]
        try:
            if not frame.control & 1:
                return self._information(frame)
            if frame.control & 0x0F == RR:
                return self._ready(frame)
            return self._unnumbered(frame)
        except MeterError as error:
            return [Foreign(error)]

    def _information(self, frame: Frame) -> list[Heard]:
        self._check_connected("I frame")
        act = self._station.act(frame)
        if act in {Act.ASK, Act.REPEAT, Act.PASS}:
            return self._out_of_turn(frame, act)
        whole = self._station.take(frame)
        if whole is None:
            return [Part() if act is Act.TAKE else Reply(self._station.receive_ready())]
        if whole[: len(LLC_COMMAND)] not in LLC:
            raise Malformed(f"LLC header {LLC[0].hex()}", whole[: len(LLC_COMMAND)].hex(), "I frame")
        return [Apdu(whole[len(LLC_COMMAND) :])]

    def _out_of_turn(self, frame: Frame, act: Act) -> list[Heard]:
        """Of a window the last frame alone says anything: what is missing is asked for, what was heard is foreign."""
        if not frame.control & POLL_FINAL:
            return []
        foreign = Foreign(WrongSequence("the next frame", f"N(S) {frame.control >> 1 & 7}", "I frame"))
        return [foreign, Reply(self._station.receive_ready())] if act is Act.ASK else [foreign]

    def _ready(self, frame: Frame) -> list[Heard]:
        self._check_connected("receive-ready")
        return [Reply(self._station.ready(frame))]

    def _check_connected(self, what: str) -> None:
        if self._state is not LinkState.CONNECTED:
            raise Unexpected("UA", what, "HDLC link")

    def _unnumbered(self, frame: Frame) -> list[Heard]:
        kind = frame.control & ~POLL_FINAL
        before = self._state
        after = CLIENT.get((before, kind))
        if after is None:
            raise Unexpected("an answer to what was sent", f"control {frame.control:02x}", "HDLC link")
        self._state = after
        if after is LinkState.CONNECTED:
            theirs = Parameters.from_bytes(frame.information)
            window, takes = (min(self._window, each) for each in (theirs.window_receive, theirs.window_transmit))
            self._station = Station(self._own, self._peer, min(OUR_SIZE, theirs.receive), window, takes)
            return [Linked()]
        if before is LinkState.DISCONNECTING:
            return [Unlinked()]
        if kind == hdlc.FRMR:
            return [Lost(FrameRejected("an answer", f"FRMR {frame.information[: hdlc.SHOWN].hex()}", "HDLC link"))]
        return [Lost(LinkEnded("an answer", "DM", "HDLC link"))]


class GeneralBlocks:
    """A carrier that joins general blocks; what is missing is asked for again, a block of another answer is foreign.

    A block bears no invoke-id of its own: where the APDU inside is not ciphered its first block shows it. What comes
    in two ways, or does not fit together, ends the link: no value is made of it.
    """

    def __init__(self, inner: Carrier) -> None:
        self._inner = inner
        self.tries, self.linked = inner.tries, inner.linked
        self._joiner = Joiner()
        self._asked = b""
        self._held = False  # blocks came and were not acknowledged
        self._resends = 0

    @property
    def inside(self) -> bool:
        """As below."""
        return self._inner.inside

    def connect(self) -> bytes:
        """As below."""
        return self._inner.connect()

    def disconnect(self) -> bytes:
        """As below."""
        return self._inner.disconnect()

    def send(self, apdu: bytes) -> bytes:
        """A new question: blocks of the last answer count no more."""
        self._joiner, self._asked, self._held, self._resends = Joiner(), apdu, False, 0
        return self._inner.send(apdu)

    def again(self) -> bytes:
        """As below."""
        return self._inner.again()

    def feed(self, octets: bytes) -> list[Heard]:
        """What these bytes say; blocks are one APDU once the last is there."""
        return [heard for each in self._inner.feed(octets) for heard in self._judge(each)]

    def silence(self) -> list[Heard]:
        """Nothing came: what is missing of a window is asked for again, a few times."""
        heard = [heard for each in self._inner.silence() for heard in self._judge(each)]
        if heard or not self._held or self.linked:  # a link repeats its frames itself
            return heard
        self._resends += 1
        if self._resends > MAX_RESENDS:  # a block of it that comes later could be taken for one of another answer
            return [Lost(NoAnswer("the rest of an answer", f"{self._joiner.have} blocks", "general block transfer"))]
        return [self._acknowledged()]

    def fault(self) -> MeterError | None:
        """As below."""
        return self._inner.fault()

    def _judge(self, heard: Heard) -> list[Heard]:
        if not isinstance(heard, Apdu) or heard.octets[:1] != bytes((blocks.TAG,)):
            return [heard]
        try:
            block = GeneralBlock.from_bytes(heard.octets)
            self._check(block)
            self._joiner.take(block)
        except WrongBlock as error:
            return self._out_of_turn(error, heard.octets)
        except MeterError as error:
            return [Lost(error)]
        self._held = True
        if self._joiner.whole is not None:
            self._held = False
            return [Apdu(self._joiner.whole)]
        return [] if block.streaming else [self._acknowledged()]

    def _out_of_turn(self, error: MeterError, octets: bytes) -> list[Heard]:
        """A block that was there already, or before which one is missing: at the end of a window that is asked for."""
        block = GeneralBlock.from_bytes(octets)
        missing = self._held and block.number > self._joiner.have + 1 and not block.streaming
        return [Foreign(error), self._acknowledged()] if missing else [Foreign(error)]

    def _check(self, block: GeneralBlock) -> None:
        asked, inside = self._asked, block.octets
        plain = block.number == 1 and len(inside) > 2 and len(asked) > 2 and inside[0] in ANSWERED_BY.get(asked[0], b"")
        if plain and (asked[2] ^ inside[2]) & INVOKE_MASK:
            raise WrongBlock(f"invoke-id {asked[2] & INVOKE_MASK}", str(inside[2] & INVOKE_MASK), "general block")

    def _acknowledged(self) -> Reply:
        return Reply(self._inner.send(self._joiner.acknowledgement().to_bytes()))


def carrier(framing: Framing, access: Access) -> Carrier:
    """The carrier for `framing`; an APDU that comes in general blocks comes as one."""
    if framing is Framing.WRAPPER:
        return GeneralBlocks(WrapperCarrier(access))
    return GeneralBlocks(HdlcCarrier(access, LINE_TRIES if framing is Framing.LINE else TRIES))
