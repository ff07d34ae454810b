"""Link frames of EN 13757-2 (FT1.2): bytes in, frames or a named error out.

A frame is E5 (acknowledgement), 10 C A CS 16 (short) or 68 L L 68 C A CI ... CS 16 (long). `parse` judges one whole
frame strictly. `FrameReader` finds a frame in a stream that comes in any pieces and may begin with noise: what cannot
be a frame is skipped and counted, and the first reason for it is kept for when the line falls silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocols.errors import MeterError
from protocols.mbus.faults import (
    Babble,
    BadChecksum,
    BadLength,
    BadSecondStart,
    BadStart,
    BadStop,
    CutShort,
    LengthsDiffer,
    NotAnAnswer,
    OnlyNoise,
    WrongAddress,
    WrongDirection,
)

ACK = 0xE5
SHORT_START = 0x10
LONG_START = 0x68
STOP = 0x16
SHORT_SIZE = 5
MIN_LENGTH = 3  # C, A and CI
MAX_LENGTH = 255
LONG_OVERHEAD = 6  # 68 L L 68 ... CS 16
MAX_FRAME = MAX_LENGTH + LONG_OVERHEAD
MAX_NOISE = 512  # bytes skipped before the line is called babbling: two frames' worth
DIRECTION_BIT = 0x40  # set in what a master sends
RSP_UD = frozenset({0x08, 0x18, 0x28, 0x38})  # with and without ACD and DFC
ANY_ADDRESS = frozenset({253, 254, 255})  # the selected meter and broadcasts: the reply bears the meter's own address
SHOWN_BYTES = 16  # of a damaged frame in a message


class Kind(Enum):
    """The three frames of the link layer that M-Bus uses."""

    ACK = ACK
    SHORT = SHORT_START
    LONG = LONG_START


@dataclass(frozen=True, slots=True)
class Frame:
    """One link frame; `body` is what follows CI (empty where there is none), `octets` the whole frame as it came."""

    kind: Kind
    control: int
    address: int
    ci: int
    body: bytes
    octets: bytes


def parse(octets: bytes) -> Frame:
    """The frame that `octets` is, wholly and exactly.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if not octets:
        raise CutShort("a frame", "nothing", "link frame")
    if octets[0] == LONG_START:
        return _parse_long(octets)
    if octets[0] == SHORT_START:
        return _parse_short(octets)
    if octets[0] != ACK:
        raise BadStart("start byte e5, 10 or 68", _shown(octets), "link frame")
    if len(octets) > 1:
        raise BadLength("1 byte of acknowledgement", _shown(octets), "link frame")
    return Frame(Kind.ACK, 0, 0, 0, b"", octets)


def check_reply(frame: Frame, asked: int) -> None:
    """Refuse a frame that is not the data reply of the meter at address `asked`.

    Raises:
        NotAnAnswer: an acknowledgement, a short frame or another control field.
        WrongDirection: a master sent it.
        WrongAddress: another meter sent it.
    """
    if frame.kind is Kind.ACK:
        raise NotAnAnswer("a data reply", "acknowledgement e5", f"answer of address {asked}")
    if frame.control & DIRECTION_BIT:
        raise WrongDirection("a frame of a meter", f"control field {frame.control:02x}", f"answer of address {asked}")
    if frame.kind is not Kind.LONG or frame.control not in RSP_UD:
        raise NotAnAnswer(
            "control field 08, 18, 28 or 38", f"{frame.control:02x} {frame.kind.name}", f"answer of address {asked}"
        )
    if asked not in ANY_ADDRESS and frame.address != asked:
        raise WrongAddress(f"address {asked}", str(frame.address), "answer")


class Echo:
    """Takes own bytes off the front of what comes, as long as it is what was sent: some converters hear themselves."""

    def __init__(self, question: bytes) -> None:
        self._question, self._left = question, question

    @property
    def heard(self) -> bool:
        """Whether all of the question came back."""
        return bool(self._question) and not self._left

    def off(self, octets: bytes) -> bytes:
        """What of `octets` is not echo; what only began like one is given back."""
        if not self._left:
            return octets
        same = 0
        while same < min(len(octets), len(self._left)) and octets[same] == self._left[same]:
            same += 1
        if same == len(octets) or same == len(self._left):
            self._left = self._left[same:]
            return octets[same:]
        back = self._question[: len(self._question) - len(self._left)]
        self._question = self._left = b""
        return back + octets


class FrameReader:
    """Finds frames of the `wanted` kinds in a stream; holds one frame at most and counts what it skips.

    Only wanted kinds begin a frame: an E5 inside the noise before a long answer is noise.
    """

    def __init__(self, wanted: frozenset[Kind], noise: int = 0) -> None:
        """`noise` bytes were skipped already."""
        self._starts = frozenset(kind.value for kind in wanted)
        self._held = bytearray()
        self._fault: MeterError | None = None
        self.noise = noise

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that are complete with `chunk`.

        Raises:
            Babble: more than 512 bytes were none of them part of a frame.
        """
        frames = []
        for at in range(0, len(chunk), MAX_FRAME):
            self._held += chunk[at : at + MAX_FRAME]
            while (frame := self._take()) is not None:
                frames.append(frame)
        return frames

    @property
    def inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._held)

    def needs(self) -> int:
        """How many bytes are missing at least until something can be said."""
        return _size(self._held) - len(self._held) if self._held else 1

    def finish(self) -> list[Frame]:
        """The line fell silent: frames still found behind a false start.

        Raises:
            Babble: more than 512 bytes were none of them part of a frame.
        """
        frames = []
        while self._held:
            self._refuse(CutShort(f"{_size(self._held)} bytes", f"{len(self._held)}", "link frame"))
            while (frame := self._take()) is not None:
                frames.append(frame)
        return frames

    def fault(self) -> MeterError | None:
        """Why what came was not a frame; None where nothing came."""
        if self._fault is None and self.noise:
            return OnlyNoise("a frame", f"{self.noise} bytes of noise", "answer")
        return self._fault

    def _take(self) -> Frame | None:
        while self._held:
            if self._held[0] not in self._starts:
                self._skip()
                continue
            try:
                size = _size(self._held)
                if len(self._held) < size:
                    return None
                frame = parse(bytes(self._held[:size]))
            except MeterError as error:
                self._refuse(error)
                continue
            del self._held[:size]
            return frame
        return None

    def _refuse(self, error: MeterError) -> None:
        self._fault = self._fault or error
        self._skip()

    def _skip(self) -> None:
        del self._held[0]
        self.noise += 1
        if self.noise > MAX_NOISE:
            raise Babble(f"a frame within {MAX_NOISE} bytes of noise", f"{self.noise} bytes", "answer")


def _size(held: bytes | bytearray) -> int:
    """How long the frame at the start of `held` is, as far as its header is there; refuses an impossible header."""
    if held[0] == SHORT_START:
        return SHORT_SIZE
    if held[0] != LONG_START:
        return 1
    if len(held) < 4:
        return 4
    _check_header(held)
    return held[1] + LONG_OVERHEAD


def _check_header(octets: bytes | bytearray) -> None:
    if octets[1] != octets[2]:
        raise LengthsDiffer("two equal lengths", f"{octets[1]:02x} and {octets[2]:02x}", "link frame")
    if octets[3] != LONG_START:
        raise BadSecondStart("second start byte 68", f"{octets[3]:02x}", "link frame")
    if octets[1] < MIN_LENGTH:
        raise BadLength(f"length {MIN_LENGTH} to {MAX_LENGTH}", str(octets[1]), "link frame")


def _parse_long(octets: bytes) -> Frame:
    if len(octets) < 4:
        raise CutShort("a long frame", _shown(octets), "link frame")
    _check_header(octets)
    size = octets[1] + LONG_OVERHEAD
    _check_end(octets, size, 4)
    return Frame(Kind.LONG, octets[4], octets[5], octets[6], octets[7:-2], octets)


def _parse_short(octets: bytes) -> Frame:
    _check_end(octets, SHORT_SIZE, 1)
    return Frame(Kind.SHORT, octets[1], octets[2], 0, b"", octets)


def _check_end(octets: bytes, size: int, first: int) -> None:
    if len(octets) < size:
        raise CutShort(f"{size} bytes", str(len(octets)), "link frame")
    if len(octets) > size:
        raise BadLength(f"{size} bytes", str(len(octets)), "link frame")
    if octets[-1] != STOP:
        raise BadStop("stop byte 16", f"{octets[-1]:02x}", "link frame")
    total = sum(octets[first:-2]) & 0xFF
    if octets[-2] != total:
        raise BadChecksum(f"checksum {total:02x}", f"{octets[-2]:02x}", "link frame")


def _shown(octets: bytes) -> str:
    more = "..." if len(octets) > SHOWN_BYTES else ""
    return octets[:SHOWN_BYTES].hex() + more
