"""HDLC frames of type 3 (IEC 62056-46, ISO/IEC 13239): bytes in, frames out.

A frame is 7E, format (A, segmentation bit, 11 bits of length), destination, source, control, HCS, information, FCS, 7E;
without information there is only the FCS. It ends where its LENGTH says: a 7E inside, or as the FCS's last byte, is
data (there is no stuffing). Flags may be shared by two frames or doubled.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

from protocols.dlms.faults import Babble, BadChecksum, BadLength, CutShort, Malformed
from protocols.errors import MeterError

FLAG = 0x7E
FORMAT = 0xA0  # type 3 in the upper four bits
SEGMENTED = 0x08
LENGTH_MASK = 0x07FF
MIN_LENGTH = 7  # format 2, addresses 1 + 1, control 1, FCS 2
MAX_LENGTH = LENGTH_MASK
MAX_NOISE = 2 * MAX_LENGTH  # bytes skipped before the line is called babbling: two frames' worth
CHECK = 2  # bytes of HCS and of FCS
SHOWN = 16

# Control fields; the poll/final bit is apart.
POLL_FINAL = 0x10
SNRM, DISC, UA, DM, FRMR, UI = 0x83, 0x43, 0x63, 0x0F, 0x87, 0x03
RR, RNR = 0x01, 0x05

_REVERSED = bytes(int(f"{each:08b}"[::-1], 2) for each in range(256))


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; addresses as they are on the wire (1, 2 or 4 bytes); the control field with its poll/final bit."""

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False

    def to_bytes(self) -> bytes:
        """The frame between its flags.

        Raises:
            BadLength: longer than the length field can say.
        """
        header = self.destination + self.source + bytes((self.control,))
        size = 2 + len(header) + CHECK + (len(self.information) + CHECK if self.information else 0)
        if size > MAX_LENGTH:
            raise BadLength(f"at most {MAX_LENGTH} bytes", str(size), "HDLC frame")
        first = FORMAT | (SEGMENTED if self.segmented else 0) | size >> 8
        octets = bytes((first, size & 0xFF)) + header
        octets += check_sequence(octets)
        if self.information:
            octets += self.information
            octets += check_sequence(octets)
        return bytes((FLAG,)) + octets + bytes((FLAG,))


def check_sequence(octets: bytes) -> bytes:
    """The two bytes of HCS or FCS of `octets` (CRC-16/X.25, low byte first).

    crc_hqx is the same polynomial with the bits the other way round: bytes reversed before and after.
    """
    return (crc_hqx(octets.translate(_REVERSED), 0xFFFF) ^ 0xFFFF).to_bytes(2, "big").translate(_REVERSED)


def client_address(client: int) -> bytes:
    """The address of a client: one byte.

    Raises:
        BadLength: above 127.
    """
    if client > 0x7F:
        raise BadLength("a client address of 7 bits", str(client), "HDLC address")
    return server_address(client, None)


def server_address(logical: int, physical: int | None, size: int | None = None) -> bytes:
    """The address of a server in 1 byte (logical only), 2 (7 bits each) or 4 (14 bits each); the shortest by itself.

    Some meters know their address in one length only: `size` is that.

    Raises:
        BadLength: it needs more than 14 bits, or more than `size` bytes have.
    """
    largest = max(logical, physical or 0)
    shortest = 4 if largest >= 0x80 else 1 if physical is None else 2
    size = shortest if size is None else size
    if size < shortest:
        raise BadLength(f"an address that fits {size} bytes", f"{logical} and {physical}", "HDLC address")
    if size < 4:
        numbers = [logical] if size == 1 else [logical, physical or 0]
    elif largest < 0x4000:
        lower = 0 if physical is None else physical
        numbers = [logical >> 7, logical & 0x7F, lower >> 7, lower & 0x7F]
    else:
        raise BadLength("an address of 14 bits", str(largest), "HDLC address")
    # Each byte has its number in the upper seven bits; the lowest bit is set in the last byte only.
    octets = bytearray(each << 1 for each in numbers)
    octets[-1] |= 1
    return bytes(octets)


def parse(octets: bytes) -> Frame:
    """The frame that `octets` (without flags) are, wholly.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    if len(octets) < MIN_LENGTH:
        raise CutShort(f"{MIN_LENGTH} bytes", str(len(octets)), "HDLC frame")
    size = _length(octets)
    if len(octets) != size:
        raise BadLength(f"{size} bytes", str(len(octets)), "HDLC frame")
    if check_sequence(octets[:-CHECK]) != octets[-CHECK:]:
        raise BadChecksum("the frame's own FCS", octets[:SHOWN].hex(), "HDLC frame")
    source_at = _after_address(octets, 2)
    control_at = _after_address(octets, source_at)
    header_end = control_at + 1
    if header_end + CHECK > size:
        raise BadLength(f"{header_end + CHECK} bytes", str(size), "HDLC frame")
    if octets[header_end : header_end + CHECK] != check_sequence(octets[:header_end]):
        raise BadChecksum("the header's own HCS", octets[:SHOWN].hex(), "HDLC frame")
    information = octets[header_end + CHECK : -CHECK] if header_end + CHECK < size else b""
    segmented = bool(octets[0] & SEGMENTED)
    return Frame(octets[2:source_at], octets[source_at:control_at], octets[control_at], information, segmented)


class FrameReader:
    """Finds frames in a stream that comes in any pieces; holds one frame at most and counts what it skips."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.noise = 0
        self.fault: MeterError | None = None  # the first reason why something was no frame

    @property
    def inside(self) -> bool:
        """Whether a frame has begun, or something that looks like one."""
        return len(self._held) > 1  # a flag alone may be the end of the last frame

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that are complete with `chunk`.

        Raises:
            Babble: more than `MAX_NOISE` bytes were none of them part of a frame.
        """
        frames = []
        for at in range(0, len(chunk), MAX_LENGTH):
            self._held += chunk[at : at + MAX_LENGTH]
            while (frame := self._take()) is not None:
                frames.append(frame)
        return frames

    def finish(self) -> list[Frame]:
        """The line fell silent: frames still found behind a false start.

        Raises:
            Babble: more than `MAX_NOISE` bytes were none of them part of a frame.
        """
        frames = []
        while len(self._held) > 1:
            self._refuse(CutShort("a whole frame", f"{len(self._held)} bytes", "HDLC frame"))
            while (frame := self._take()) is not None:
                frames.append(frame)
        return frames

    def restart(self) -> None:
        """A new question is asked: noise counts from here on."""
        self.noise, self.fault = 0, None

    def _take(self) -> Frame | None:
        held = self._held
        while len(held) > 2:
            if held[0] != FLAG:
                self._skip()
            elif held[1] == FLAG:
                del held[0]  # a doubled flag, or the end of one frame and the start of the next
            else:
                try:
                    size = self._size()
                    if len(held) <= size:
                        return None
                    frame = parse(bytes(held[1 : 1 + size]))
                except MeterError as error:
                    self._refuse(error)
                    continue
                del held[: 1 + size]
                return frame
        return None

    def _size(self) -> int:
        """How long the frame is; a header that is all there must hold already: a damaged length costs no waiting."""
        held = self._held
        size = _length(held[1:3])
        if len(held) > size:
            return size
        head = bytes(held[1 : 1 + 2 + 4 + 4 + 1 + CHECK])
        if len(head) == 13:
            end = _after_address(head, _after_address(head, 2)) + 1
            if head[end : end + CHECK] != check_sequence(head[:end]):
                raise BadChecksum("the header's own HCS", head.hex(), "HDLC frame")
        return size

    def _refuse(self, error: MeterError) -> None:
        self.fault = self.fault or error
        self._skip()

    def _skip(self) -> None:
        del self._held[0]
        self.noise += 1
        if self.noise > MAX_NOISE:
            raise Babble(f"a frame within {MAX_NOISE} bytes of noise", f"{self.noise} bytes", "answer")


def _length(octets: bytes | bytearray) -> int:
    if octets[0] & 0xF0 != FORMAT:
        raise Malformed("frame format type 3", octets[:2].hex(), "HDLC frame")
    size = int.from_bytes(octets[:2], "big") & LENGTH_MASK
    if size < MIN_LENGTH:
        raise BadLength(f"at least {MIN_LENGTH} bytes", str(size), "HDLC frame")
    return size


def _after_address(octets: bytes, at: int) -> int:
    """Where the address that begins at `at` ends: its last byte has the lowest bit set."""
    for size in (1, 2, 4):
        if at + size > len(octets):
            break
        if octets[at + size - 1] & 1:
            return at + size
    raise Malformed("an address of 1, 2 or 4 bytes", octets[at : at + 4].hex(), "HDLC frame")
