"""The HDLC link of both sides: parameters, sequence numbers, and information in segments (IEC 62056-46 6.4).

Each side sends as many frames as the other takes (its window) and gives the turn away with the poll/final bit of the
last one. What is not acknowledged is sent again from there on; a frame is taken in its turn alone, and `ACTS` says what
becomes of any other: where one before it is missing, receive-ready asks for that at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from protocols.dlms import hdlc
from protocols.dlms.data import take
from protocols.dlms.faults import TooMuch, Unexpected, WrongSequence
from protocols.dlms.hdlc import POLL_FINAL, RR, Frame

DEFAULT_SIZE = 128  # bytes of information where nothing is negotiated
OUR_WINDOW = 3  # frames: of 8 numbers so few that an acknowledgement that comes twice is never one of the next window
OUR_SIZE = 512  # bytes of information: nine turns instead of 33 for a day of rows
MAX_SIZE = 2030  # bytes of information that fit the length field with the longest addresses
MAX_INFORMATION = 0x1_0003  # bytes of one reassembled APDU with its LLC header
NUMBERS = 8  # N(S) and N(R) count modulo 8
GROUP = bytes((0x81, 0x80))  # format and group identifier of the parameters
TRANSMIT, RECEIVE, WINDOW_TRANSMIT, WINDOW_RECEIVE = 5, 6, 7, 8


class LinkState(Enum):
    """Where a link stands."""

    DISCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    DISCONNECTING = auto()


# The client's side: what it hears in which state, and where that leads. What is not here is discarded.
CLIENT: dict[tuple[LinkState, int], LinkState] = {
    (LinkState.CONNECTING, hdlc.UA): LinkState.CONNECTED,
    (LinkState.CONNECTING, hdlc.DM): LinkState.DISCONNECTED,
    (LinkState.CONNECTED, hdlc.DM): LinkState.DISCONNECTED,
    (LinkState.CONNECTED, hdlc.FRMR): LinkState.DISCONNECTED,
    (LinkState.DISCONNECTING, hdlc.UA): LinkState.DISCONNECTED,
    (LinkState.DISCONNECTING, hdlc.DM): LinkState.DISCONNECTED,
}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What SNRM and UA negotiate: bytes of information and frames on their way, as their sender has them."""

    transmit: int = DEFAULT_SIZE
    receive: int = DEFAULT_SIZE
    window_transmit: int = 1
    window_receive: int = 1

    def to_bytes(self) -> bytes:
        """The information field of SNRM and UA."""
        sizes = _parameter(TRANSMIT, self.transmit, 2) + _parameter(RECEIVE, self.receive, 2)
        windows = _parameter(WINDOW_TRANSMIT, self.window_transmit, 4)
        windows += _parameter(WINDOW_RECEIVE, self.window_receive, 4)
        return GROUP + bytes((len(sizes + windows),)) + sizes + windows

    @classmethod
    def from_bytes(cls, octets: bytes) -> Parameters:
        """The parameters in the information of SNRM or UA; what is not there has its default.

        Raises:
            CutShort: a parameter does not end inside.
        """
        found: dict[int, int] = {}
        at = len(GROUP) + 1
        while octets[: len(GROUP)] == GROUP and at < len(octets):
            head, at = take(octets, at, 2, "HDLC parameters")
            number, at = take(octets, at, head[1], "HDLC parameters")
            found[head[0]] = int.from_bytes(number, "big")
        sizes = (min(max(found.get(each, DEFAULT_SIZE), 1), MAX_SIZE) for each in (TRANSMIT, RECEIVE))
        windows = (min(max(found.get(each, 1), 1), NUMBERS - 1) for each in (WINDOW_TRANSMIT, WINDOW_RECEIVE))
        return cls(*sizes, *windows)


def _parameter(name: int, number: int, width: int) -> bytes:
    return bytes((name, width)) + number.to_bytes(width, "big")


class Turn(Enum):
    """Where an I frame stands among those that were heard."""

    NEXT = auto()
    AHEAD = auto()  # of the same window, and one before it is missing
    BEFORE = auto()  # of the last window, which was heard already: it comes again
    NOWHERE = auto()


class Act(Enum):
    """What an I frame makes us do."""

    TAKE = auto()  # and wait for those behind it
    TAKE_AND_ANSWER = auto()
    ASK = auto()  # for what is missing
    REPEAT = auto()  # what was said to it did not arrive
    PASS = auto()


# What becomes of an I frame: where it stands, and whether its sender gives the turn away.
ACTS: dict[tuple[Turn, bool], Act] = {
    (Turn.NEXT, False): Act.TAKE,
    (Turn.NEXT, True): Act.TAKE_AND_ANSWER,
    (Turn.AHEAD, False): Act.PASS,
    (Turn.AHEAD, True): Act.ASK,
    (Turn.BEFORE, False): Act.PASS,
    (Turn.BEFORE, True): Act.REPEAT,
    (Turn.NOWHERE, False): Act.PASS,
    (Turn.NOWHERE, True): Act.PASS,
}


class Station:
    """One side of a connected link: numbers what it sends, checks and joins what it hears."""

    def __init__(self, own: bytes, peer: bytes, size: int = DEFAULT_SIZE, window: int = 1, takes: int = 1) -> None:
        """`size` is how many bytes of information one frame may carry to the other side, and `window` how many frames.

        `takes` is how many frames the other side may send.
        """
        self._own, self._peer, self._size = own, peer, size
        self._window, self._takes = window, takes
        self._heard = 0  # V(R) of the standard
        self._first = 0  # the number of the first frame that is not acknowledged
        self._flying = 0  # how many frames from that one on were sent: V(S) follows the last
        self._segments: list[bytes] = []  # from that one on
        self._part = bytearray()

    def send(self, information: bytes) -> bytes:
        """The first frames of `information`; the others follow when these are acknowledged."""
        size = self._size
        self._first = (self._first + self._flying) % NUMBERS
        self._segments = [information[at : at + size] for at in range(0, len(information), size)]
        self._part.clear()
        return self._fly()

    def turn(self, frame: Frame) -> Turn:
        """Where an I frame stands."""
        ahead = ((frame.control >> 1 & 7) - self._heard) % NUMBERS
        if not ahead:
            return Turn.NEXT
        if ahead < self._takes:
            return Turn.AHEAD
        return Turn.BEFORE if NUMBERS - ahead <= self._takes else Turn.NOWHERE

    def act(self, frame: Frame) -> Act:
        """What an I frame makes us do."""
        return ACTS[self.turn(frame), bool(frame.control & POLL_FINAL)]

    def take(self, frame: Frame) -> bytes | None:
        """An I frame in its turn: the whole information if this was its end.

        Raises:
            WrongSequence: not the next frame, or not after our last one.
            TooMuch: longer than any APDU.
        """
        sent = (self._first + self._flying) % NUMBERS
        number, acknowledged = frame.control >> 1 & 7, frame.control >> 5
        if (number, acknowledged) != (self._heard, sent) or self._flying != len(self._segments):
            raise WrongSequence(f"N(S) {self._heard}, N(R) {sent}", f"{number}, {acknowledged}", "I frame")
        self._first, self._flying, self._segments = sent, 0, []
        self._heard = (self._heard + 1) % NUMBERS
        self._part += frame.information
        if len(self._part) > MAX_INFORMATION:
            raise TooMuch(f"at most {MAX_INFORMATION} bytes", "more", "segments")
        if frame.segmented:
            return None
        whole = bytes(self._part)
        self._part.clear()
        return whole

    def ready(self, frame: Frame) -> bytes:
        """What a receive-ready makes us send: our next frames, or those again that were missed.

        Raises:
            WrongSequence: it acknowledges what was not sent.
            Unexpected: everything is acknowledged and nothing is left to send.
        """
        acknowledged = frame.control >> 5
        count = (acknowledged - self._first) % NUMBERS
        if count > self._flying:
            sent = f"N(R) {self._first} to {(self._first + self._flying) % NUMBERS}"
            raise WrongSequence(sent, str(acknowledged), "receive-ready")
        if count == len(self._segments):
            raise Unexpected("information", "receive-ready", "HDLC link")
        del self._segments[:count]
        self._first, self._flying = acknowledged, 0
        return self._fly()

    def again(self) -> bytes:
        """What to send when nothing came: ask for the rest of a part, else the last frames once more."""
        return self.receive_ready() if self._part else self._fly()

    def receive_ready(self) -> bytes:
        """What asks for the frames from the first on that is not here."""
        return Frame(self._peer, self._own, self._heard << 5 | POLL_FINAL | RR).to_bytes()

    def _fly(self) -> bytes:
        """The frames of one window, from the first on that is not acknowledged; the last one gives the turn away."""
        pieces = self._segments[: self._window]
        self._flying = len(pieces)
        return b"".join(self._frame(at, piece) for at, piece in enumerate(pieces))

    def _frame(self, at: int, piece: bytes) -> bytes:
        control = self._heard << 5 | (self._first + at) % NUMBERS << 1
        if at == self._flying - 1:
            control |= POLL_FINAL
        return Frame(self._peer, self._own, control, piece, at < len(self._segments) - 1).to_bytes()
