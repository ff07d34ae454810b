"""What carries APDUs, explained: HDLC frames, wrapper messages and M-Bus frames, each byte of them, right or wrong.

Where one frame carries one whole APDU it is explained in its place; where several carry one, the pieces are joined and
explained behind them. So are the pieces of a general block transfer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocols.dlms import blocks, explain, hdlc, words, wrapper
from protocols.dlms.carrier import LLC
from protocols.dlms.explain import ShownApdu
from protocols.dlms.faults import BadChecksum, BadLength, CutShort, Malformed
from protocols.dlms.hdlc import CHECK, FLAG, FORMAT, LENGTH_MASK, SEGMENTED
from protocols.dlms.link import GROUP, Parameters
from protocols.dlms.parts import Part, Walk
from protocols.errors import MeterError

MBUS_START, MBUS_STOP = 0x68, 0x16
MBUS_CI = 7  # bytes of a long M-Bus frame up to its CI: 68 L L 68 C A CI
MBUS_LAST, MBUS_SEGMENT, MBUS_PLAIN = 0x10, 0x0F, 0x60  # bits of a CI below 20: the last segment, and which one it is
SECRET_TAGS = (0x01, 0x60)  # of initiate-request and AARQ
PORTS = 2  # bytes: source and destination behind such a CI
MAX_FRAMES = 4_096  # of one input


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """One frame or message in words; None stands for what its kind does not have.

    `right` says whether all its check sequences hold; `expected` what each wrong one should be, by name.
    """

    carrier: str
    destination: str
    source: str
    control: str | None
    segmented: bool
    right: bool
    expected: dict[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """Parts that belong together, and what they are."""

    title: str
    parts: tuple[Part, ...]


@dataclass(slots=True)
class Explained:
    """All that was found: frames, APDUs, each byte; and the first thing that is wrong."""

    carrier: str
    frames: list[ShownFrame] = field(default_factory=list)
    apdus: list[ShownApdu] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    error: MeterError | None = None

    def fault(self, error: MeterError | None) -> None:
        """Something is wrong: the first counts."""
        self.error = self.error or error


@dataclass(slots=True)
class _Pieces:
    """The pieces of an APDU that several frames carry."""

    octets: bytearray = field(default_factory=bytearray)
    frames: int = 0

    def add(self, steps: Walk, end: int) -> None:
        """What stands up to `end`; of an APDU that may hold a password it is not printed."""
        size = end - steps.at
        self.octets += steps.peek(size)
        secret = bytes(self.octets[:1]) in {bytes((tag,)) for tag in SECRET_TAGS}
        steps.take(size, f"{size} bytes of an APDU, piece {self.frames}", secret)


def over_hdlc(octets: bytes) -> Explained:
    """HDLC frames, one behind the other, with or without flags."""
    found, steps, pieces = Explained("hdlc"), Walk(octets), _Pieces()
    try:
        while steps.left and len(found.frames) < MAX_FRAMES:
            if not _flags(steps):
                break
            _hdlc_frame(steps, found, pieces)
    except MeterError as error:
        found.fault(error)
        steps.depth = 0
    steps.rest("not a frame that holds" if found.error else "what follows")
    found.sections.insert(0, Section("", tuple(steps.parts)))
    _unfinished(found, pieces)
    return joined(found)


def over_wrapper(octets: bytes) -> Explained:
    """Wrapper messages, one behind the other."""
    found, steps = Explained("wrapper"), Walk(octets)
    try:
        while steps.left and len(found.frames) < MAX_FRAMES:
            _message(steps, found)
    except MeterError as error:
        found.fault(error)
        steps.depth = 0
    steps.rest("not a message that holds")
    found.sections.insert(0, Section("", tuple(steps.parts)))
    return joined(found)


def over_mbus(octets: bytes) -> Explained:
    """Long M-Bus frames with a CI below 20: they carry APDUs, in segments where these are long."""
    found, steps, pieces = Explained("mbus"), Walk(octets), _Pieces()
    try:
        while steps.left and len(found.frames) < MAX_FRAMES:
            _mbus_frame(steps, found, pieces)
    except MeterError as error:
        found.fault(error)
        steps.depth = 0
    steps.rest("not a frame that holds")
    found.sections.insert(0, Section("", tuple(steps.parts)))
    _unfinished(found, pieces)
    return joined(found)


def is_over_mbus(octets: bytes) -> bool:
    """Whether these bytes begin with a long M-Bus frame that carries an APDU."""
    head = octets[:MBUS_CI]
    return len(head) == MBUS_CI and head[0] == head[3] == MBUS_START and head[6] < MBUS_LAST + MBUS_SEGMENT + 1


def alone(octets: bytes) -> Explained:
    """One APDU without anything around it."""
    found, steps = Explained("none"), Walk(octets)
    _apdu(found, steps)
    found.sections.insert(0, Section("", tuple(steps.parts)))
    return joined(found)


def joined(found: Explained) -> Explained:
    """With the APDU that general blocks carry, where all of it is there."""
    joiner = blocks.Joiner()
    count = 0
    for each in found.apdus:
        if each.octets[:1] != bytes((blocks.TAG,)) or each.error is not None:
            continue
        count += 1
        try:
            joiner.take(blocks.GeneralBlock.from_bytes(each.octets))
        except MeterError as error:
            found.remarks.append(f"general block left out: {error}")
    if joiner.whole is not None:
        _behind(found, joiner.whole, f"the APDU in {count} general blocks")
    elif count:
        found.remarks.append("general blocks are missing: what they carry is not explained")
    return found


def _behind(found: Explained, octets: bytes, title: str) -> None:
    steps = Walk(octets)
    _apdu(found, steps)
    found.sections.append(Section(title, tuple(steps.parts)))


def _apdu(found: Explained, steps: Walk) -> None:
    shown = explain.apdu(steps)
    found.apdus.append(shown)
    found.fault(shown.error)


def _unfinished(found: Explained, pieces: _Pieces) -> None:
    if pieces.octets:
        found.remarks.append(f"the APDU does not end here: {len(pieces.octets)} bytes of it are in these frames")


def _flags(steps: Walk) -> bool:
    """Past the flags before a frame; it may share its flag with the one before, and one that was copied has none."""
    while steps.peek() == bytes((FLAG,)):
        steps.take(1, "flag")
    return bool(steps.left)


def _hdlc_frame(steps: Walk, found: Explained, pieces: _Pieces) -> None:
    start = steps.at
    head = steps.take(2, "frame format")
    size, segmented = int.from_bytes(head, "big") & LENGTH_MASK, bool(head[0] & SEGMENTED)
    if head[0] & 0xF0 != FORMAT:
        steps.say("no frame format")
        raise Malformed("frame format type 3", head.hex(), "HDLC frame")
    steps.say(f"frame format, {size} bytes{', segmented: more follows' if segmented else ''}")
    if size < hdlc.MIN_LENGTH:
        raise BadLength(f"at least {hdlc.MIN_LENGTH} bytes", str(size), "HDLC frame")
    destination, source = _address(steps, "destination"), _address(steps, "source")
    control = steps.take(1, "control")[0]
    steps.say(f"control, {words.control(control)}")
    end, expected = start + size, dict[str, str]()
    has_information = end - steps.at > CHECK
    if has_information:
        _check(steps, start, "HCS", expected)
        if steps.at + CHECK >= end:
            raise BadLength(f"more than {steps.at + CHECK - start} bytes", str(size), "HDLC frame")
        if end > len(steps.octets):
            raise CutShort(f"{size} bytes", f"{len(steps.octets) - start}", "HDLC frame")
        _information(steps, end - CHECK, control, segmented, found, pieces)
    if steps.at + CHECK != end:
        raise BadLength(f"{steps.at + CHECK - start} bytes", str(size), "HDLC frame")
    _check(steps, start, "FCS", expected)
    shown = ShownFrame("hdlc", destination, source, words.control(control), segmented, not expected, expected)
    found.frames.append(shown)
    for name, octets in expected.items():
        found.fault(BadChecksum(f"{name} {octets}", "another", f"HDLC frame at byte {start}"))


def _address(steps: Walk, name: str) -> str:
    octets = steps.peek(4)
    size = next((size for size in (1, 2, 4) if size <= len(octets) and octets[size - 1] & 1), 0)
    if not size:
        raise Malformed("an address of 1, 2 or 4 bytes", octets.hex(), "HDLC frame")
    numbers = [each >> 1 for each in steps.take(size, name)]
    if size == 1:
        shown = str(numbers[0])
    elif size == 2:
        shown = f"{numbers[0]}, physical {numbers[1]}"
    else:
        shown = f"{numbers[0] << 7 | numbers[1]}, physical {numbers[2] << 7 | numbers[3]}"
    steps.say(f"{name} {shown}")
    return shown


def _check(steps: Walk, start: int, name: str, expected: dict[str, str]) -> None:
    wanted = hdlc.check_sequence(steps.octets[start : steps.at])
    found = steps.take(CHECK, name)
    if found == wanted:
        steps.say(f"{name}, right")
    else:
        steps.say(f"{name}, WRONG: expected {wanted.hex(' ')}")
        expected[name] = wanted.hex()


def _information(steps: Walk, end: int, control: int, segmented: bool, found: Explained, pieces: _Pieces) -> None:
    """The information of a frame: parameters, or an APDU or a piece of one."""
    kind = control & ~hdlc.POLL_FINAL
    if kind in {hdlc.SNRM, hdlc.UA}:
        _parameters(steps, end)
        return
    if control & 1 and kind != hdlc.UI:
        steps.take(end - steps.at, "information")
        return
    if not pieces.octets and steps.peek(3) in LLC:
        llc = steps.take(3, "LLC")
        steps.say(f"LLC, {'response' if llc == LLC[0] else 'command'}")
    pieces.frames += 1
    if not segmented and not pieces.octets:
        pieces.frames = 0
        inside = Walk(steps.octets[:end], steps.at, steps.depth + 1)
        _apdu(found, inside)
        steps.parts += inside.parts
        steps.at = end
        return
    pieces.add(steps, end)
    if not segmented:
        whole, count = bytes(pieces.octets), pieces.frames
        pieces.octets.clear()
        pieces.frames = 0
        _behind(found, whole, f"the APDU in {count} frames")


def _parameters(steps: Walk, end: int) -> None:
    size = end - steps.at
    octets = steps.peek(size)
    if octets[: len(GROUP)] != GROUP:
        steps.take(size, "information")
        return
    agreed = Parameters.from_bytes(octets)
    steps.take(
        size,
        f"parameters: sends {agreed.transmit} and takes {agreed.receive} bytes in a frame, "
        f"windows {agreed.window_transmit} and {agreed.window_receive}",
    )


def _message(steps: Walk, found: Explained) -> None:
    version = steps.number(2, "wrapper version")
    if version != wrapper.VERSION:
        raise Malformed(f"wrapper version {wrapper.VERSION}", str(version), "wrapper")
    source, destination = steps.number(2, "source wPort"), steps.number(2, "destination wPort")
    size = steps.number(2, "length")
    if size > steps.left:
        raise CutShort(f"{size} bytes", str(steps.left), "wrapper")
    found.frames.append(ShownFrame("wrapper", str(destination), str(source), None, False, True, {}))
    inside = Walk(steps.octets[: steps.at + size], steps.at, steps.depth + 1)
    _apdu(found, inside)
    steps.parts += inside.parts
    steps.at = inside.at


def _mbus_frame(steps: Walk, found: Explained, pieces: _Pieces) -> None:
    start = steps.at
    if not is_over_mbus(steps.octets[start:]):
        raise Malformed("68 L L 68 and a CI below 20", steps.peek(MBUS_CI).hex(), "M-Bus frame")
    steps.take(1, "start of a long frame")
    size = steps.take(2, "length, twice")[0]
    steps.say(f"length {size}, twice")
    steps.take(1, "start, again")
    if size < 3 + PORTS or size + 2 > steps.left:
        raise CutShort(f"{max(size, 3 + PORTS) + 2} bytes", str(steps.left), "M-Bus frame")
    steps.take(1, "control field")
    address, ci = steps.number(1, "address"), steps.take(1, "CI")[0]
    last, number = bool(ci & MBUS_LAST), ci & MBUS_SEGMENT
    steps.say(f"CI, segment {number} of an APDU{', the last' if last else ''}")
    source, destination = steps.number(1, "source"), steps.number(1, "destination")
    _segment(steps, start + 4 + size, last, found, pieces)
    expected = dict[str, str]()
    wanted = sum(steps.octets[start + 4 : steps.at]) & 0xFF
    if steps.take(1, "checksum")[0] == wanted:
        steps.say("checksum, right")
    else:
        steps.say(f"checksum, WRONG: expected {wanted:02x}")
        expected["checksum"] = f"{wanted:02x}"
        found.fault(BadChecksum(f"checksum {wanted:02x}", "another", f"M-Bus frame at byte {start}"))
    steps.take(1, "stop")
    ends = f"{destination}, address {address}", str(source)
    found.frames.append(ShownFrame("mbus", *ends, f"segment {number}", not last, not expected, expected))


def _segment(steps: Walk, end: int, last: bool, found: Explained, pieces: _Pieces) -> None:
    if last and not pieces.octets:
        inside = Walk(steps.octets[:end], steps.at, steps.depth + 1)
        _apdu(found, inside)
        steps.parts += inside.parts
        steps.at = end
        return
    pieces.frames += 1
    pieces.add(steps, end)
    if last:
        whole, count = bytes(pieces.octets), pieces.frames
        pieces.octets.clear()
        pieces.frames = 0
        _behind(found, whole, f"the APDU in {count} frames")
