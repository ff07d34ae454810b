"""What carries the client's APDUs: the TCP wrapper, or an HDLC link; both tell what they heard in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocols.dlms import hdlc
from protocols.dlms.access import Access, Framing
from protocols.dlms.faults import (
    Babble,
    CutShort,
    FrameRejected,
    LinkEnded,
    Malformed,
    Unexpected,
    WrongAddress,
    WrongPort,
)
from protocols.dlms.hdlc import POLL_FINAL, RR, Frame, FrameReader
from protocols.dlms.link import CLIENT, OUR_SIZE, LinkState, Parameters, Station
from protocols.dlms.wrapper import Message, MessageReader
from protocols.errors import MeterError

TRIES = 2  # of a question over TCP, which loses nothing itself
LINE_TRIES = 3  # ... on a serial line
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
class Foreign:
    """Something good that answers nothing that was asked."""

    error: MeterError


@dataclass(frozen=True, slots=True)
class Lost:
    """The meter ended the link, or nothing more can be told from its bytes."""

    error: MeterError


Heard = Linked | Unlinked | Apdu | Reply | Foreign | Lost


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
        wanted = Parameters(OUR_SIZE, OUR_SIZE).to_bytes()
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
        reply, whole = self._station.information(frame)
        if reply:
            return [Reply(reply)]
        if whole is None:
            return []
        if whole[: len(LLC_COMMAND)] not in LLC:
            raise Malformed(f"LLC header {LLC[0].hex()}", whole[: len(LLC_COMMAND)].hex(), "I frame")
        return [Apdu(whole[len(LLC_COMMAND) :])]

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
            self._station = Station(self._own, self._peer, min(OUR_SIZE, theirs.receive))
            return [Linked()]
        if before is LinkState.DISCONNECTING:
            return [Unlinked()]
        if kind == hdlc.FRMR:
            return [Lost(FrameRejected("an answer", f"FRMR {frame.information[: hdlc.SHOWN].hex()}", "HDLC link"))]
        return [Lost(LinkEnded("an answer", "DM", "HDLC link"))]


def carrier(framing: Framing, access: Access) -> Carrier:
    """The carrier for `framing`."""
    if framing is Framing.WRAPPER:
        return WrapperCarrier(access)
    return HdlcCarrier(access, LINE_TRIES if framing is Framing.LINE else TRIES)
