"""APDUs that come unasked over a connection or in a datagram: the TCP wrapper or HDLC frames, whichever begins it.

Over HDLC an APDU is in the information of one frame, or of several that are segmented, behind the LLC header; general
blocks are joined. What is held is bounded: one message, or the pieces of one APDU.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms import blocks, hdlc
from protocols.dlms.blocks import GeneralBlock, Joiner
from protocols.dlms.carrier import LLC_COMMAND
from protocols.dlms.faults import CutShort, Malformed, TooMuch
from protocols.dlms.hdlc import FLAG, Frame, FrameReader
from protocols.dlms.server import LLC_RESPONSE
from protocols.dlms.wrapper import HEADER, Message, MessageReader

MAX_APDU = 16 * 1024  # bytes: the longest push seen in the field has 1,100; a batch carries hundreds of these
WHERE = "push"


@dataclass(frozen=True, slots=True)
class Arrived:
    """One APDU: `port` is the sender's wPort (None over HDLC)."""

    apdu: bytes
    port: int | None
    _wrapped: tuple[int, int] | None = None
    _frame: Frame | None = None

    def answer(self, apdu: bytes) -> bytes:
        """What carries an answer back the way this came."""
        if self._wrapped is not None:
            source, destination = self._wrapped
            return Message(destination, source, apdu).to_bytes()
        frame = self._frame
        if frame is None:
            return b""
        return Frame(frame.source, frame.destination, hdlc.UI, LLC_COMMAND + apdu).to_bytes()


class Arrivals:
    """One connection's bytes in, APDUs out; the first byte says which framing it has."""

    def __init__(self) -> None:
        self._wrapper: MessageReader | None = None
        self._frames: FrameReader | None = None
        self._held = bytearray()
        self._joiner = Joiner()
        self._pieces = 0  # bytes of the blocks that are joined

    @property
    def inside(self) -> bool:
        """Whether something has begun and not ended."""
        begun = self._wrapper is not None and self._wrapper.inside
        return begun or bool(self._held) or (self._frames is not None and self._frames.inside)

    def feed(self, octets: bytes) -> list[Arrived]:
        """The APDUs that are complete with these bytes.

        Raises:
            MeterError: where the next one begins cannot be told any more: the connection is of no use.
        """
        if not octets:
            return []
        if self._wrapper is None and self._frames is None:
            if octets[0] == FLAG:
                self._frames = FrameReader()
            else:
                self._wrapper = MessageReader()
        if self._frames is not None:
            return [found for frame in self._frames.feed(octets) if (found := self._of_frame(frame)) is not None]
        return self._of_wrapper(octets)

    def _of_wrapper(self, octets: bytes) -> list[Arrived]:
        assert self._wrapper is not None  # noqa: S101 - feed made it
        found = []
        for message in self._wrapper.feed(octets):
            _check_size(len(message.apdu))
            found.append(Arrived(message.apdu, message.source, (message.source, message.destination)))
        announced = self._wrapper.announced
        if announced is not None:
            _check_size(announced)
        return [each for each in (self._whole(one) for one in found) if each is not None]

    def _of_frame(self, frame: Frame) -> Arrived | None:
        if self._frames is not None:
            self._frames.restart()  # noise counts between two frames
        _check_size(len(self._held) + len(frame.information))
        self._held += frame.information
        if frame.segmented:
            return None
        octets, llc = bytes(self._held), len(LLC_RESPONSE)
        self._held.clear()
        if octets[:llc] in {LLC_RESPONSE, LLC_COMMAND}:
            octets = octets[llc:]
        elif octets[:1] != bytes((blocks.TAG,)):  # some meters write the LLC header before the first block alone
            return None  # a link that is set up, or a piece whose beginning was lost
        return self._whole(Arrived(octets, None, None, frame))

    def _whole(self, found: Arrived) -> Arrived | None:
        """The APDU, joined where it comes in general blocks; None while more of them are to come."""
        if found.apdu[:1] != bytes((blocks.TAG,)):
            return found
        block = GeneralBlock.from_bytes(found.apdu)
        if block.number == 1:
            self._joiner, self._pieces = Joiner(), 0
        self._pieces += len(block.octets)
        _check_size(self._pieces)
        self._joiner.take(block)
        whole = self._joiner.whole
        return None if whole is None else Arrived(whole, found.port, found._wrapped, found._frame)


def datagram(octets: bytes) -> Arrived:
    """The APDU in one datagram.

    Raises:
        MeterError: it is not exactly one message.
    """
    reader = Arrivals()
    found = reader.feed(octets)
    if len(found) == 1 and not reader.inside:
        return found[0]
    if found:
        raise Malformed("one message", f"{len(found)} and more", WHERE)
    raise CutShort("a whole message", f"{len(octets)} bytes: {octets[:HEADER].hex()}", WHERE)


def _check_size(size: int) -> None:
    if size > MAX_APDU:
        raise TooMuch(f"at most {MAX_APDU} bytes", str(size), WHERE)
