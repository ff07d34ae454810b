"""The HDLC link of both sides: parameters, sequence numbers, and information in segments (IEC 62056-46 6.4).

Sending keeps one frame on its way (window 1); receiving takes as many as the other side sends before its final bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from protocols.dlms import hdlc
from protocols.dlms.data import take
from protocols.dlms.faults import TooMuch, Unexpected, WrongSequence
from protocols.dlms.hdlc import POLL_FINAL, RR, Frame

DEFAULT_SIZE = 128  # bytes of information where nothing is negotiated
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


class Station:
    """One side of a connected link: numbers what it sends, checks and joins what it hears."""

    def __init__(self, own: bytes, peer: bytes, size: int = DEFAULT_SIZE) -> None:
        """`size` is how many bytes of information one frame may carry to the other side."""
        self._own, self._peer, self._size = own, peer, size
        self._sent = self._heard = 0  # V(S) and V(R) of the standard
        self._segments: list[bytes] = []
        self._part = bytearray()
        self._last = b""

    def send(self, information: bytes) -> bytes:
        """The first frame of `information`; the others follow, each when the one before is acknowledged."""
        size = self._size
        self._segments = [information[at : at + size] for at in range(0, len(information), size)]
        self._part.clear()
        return self._next_segment()

    def information(self, frame: Frame) -> tuple[bytes, bytes | None]:
        """What an I frame makes us send back at once (or nothing), and the whole information if this was its end.

        Raises:
            WrongSequence: not the next frame, or not after our last one.
            TooMuch: longer than any APDU.
        """
        number, acknowledged = frame.control >> 1 & 7, frame.control >> 5
        if (number, acknowledged) != (self._heard, self._sent) or self._segments:
            expected = f"N(S) {self._heard}, N(R) {self._sent}"
            raise WrongSequence(expected, f"{number}, {acknowledged}", "I frame")
        self._heard = (self._heard + 1) % NUMBERS
        self._part += frame.information
        if len(self._part) > MAX_INFORMATION:
            raise TooMuch(f"at most {MAX_INFORMATION} bytes", "more", "segments")
        if frame.segmented:
            return (self._ready() if frame.control & POLL_FINAL else b""), None
        whole = bytes(self._part)
        self._part.clear()
        return b"", whole

    def ready(self, frame: Frame) -> bytes:
        """What a receive-ready makes us send: our next segment, or the last frame again where it was missed.

        Raises:
            WrongSequence: it acknowledges what was not sent.
            Unexpected: everything is acknowledged and nothing is left to send.
        """
        acknowledged = frame.control >> 5
        if self._last and acknowledged == (self._sent - 1) % NUMBERS:
            return self._last
        if acknowledged != self._sent:
            raise WrongSequence(f"N(R) {self._sent}", str(acknowledged), "receive-ready")
        if not self._segments:
            raise Unexpected("information", "receive-ready", "HDLC link")
        return self._next_segment()

    def is_repetition(self, frame: Frame) -> bool:
        """Whether an I frame is the last one again: what we sent for it did not arrive."""
        return frame.control >> 1 & 7 == (self._heard - 1) % NUMBERS

    def again(self) -> bytes:
        """What to send when nothing came: ask for the rest of a part, else the last frame once more."""
        return self._ready() if self._part else self._last

    def _next_segment(self) -> bytes:
        piece = self._segments.pop(0)
        control = self._heard << 5 | POLL_FINAL | self._sent << 1
        self._sent = (self._sent + 1) % NUMBERS
        self._last = Frame(self._peer, self._own, control, piece, bool(self._segments)).to_bytes()
        return self._last

    def _ready(self) -> bytes:
        return Frame(self._peer, self._own, self._heard << 5 | POLL_FINAL | RR).to_bytes()
