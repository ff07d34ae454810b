"""What came over a line while a meter was entered: how far it answered, or what else is there in its place.

For a person who looks for the setting that is wrong; an association itself judges its frames on its own (`session`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocols.dlms import association, frames, hdlc, words
from protocols.dlms.access import Framing
from protocols.dlms.carrier import LLC, LLC_COMMAND
from protocols.dlms.faults import Malformed
from protocols.dlms.hdlc import FLAG, Frame, FrameReader
from protocols.dlms.wrapper import HEADER, VERSION, Message, MessageReader
from protocols.errors import MeterError

SHOWN = 16  # bytes of what is not known
MOST = 8_192  # bytes that are looked at: the end of an entry is long before
MBUS_ACK, MBUS_LONG = 0xE5, 0x68
MODBUS = b"\0\0"  # protocol identifier of Modbus TCP, behind its transaction number
TLS = (b"\x15\x03", b"\x16\x03")
TEXTS = {
    b"HTTP/": "a web server",
    b"SSH-": "an SSH server",
    b"220 ": "a mail or file server",
    b"\xff": "a telnet server, or a converter with RFC 2217 on",  # IAC
    b"/": "a meter that answers with its identification (IEC 62056-21)",
}
PRINTABLE = range(0x20, 0x7F)
ANSWERS = {association.AARE: "AARE", 0x0E: "confirmed-service-error", 0xD8: "exception-response"}


@dataclass(frozen=True, slots=True)
class Heard:
    """What was sent and what came, from the first frame on (what was sent may hold a password: it is not shown)."""

    framing: Framing
    sent: bytes
    received: bytes

    def __repr__(self) -> str:
        return f"Heard({self.framing.value}, {len(self.sent)} bytes sent, {self.received[:SHOWN].hex()})"

    @classmethod
    def of(cls, framing: Framing, entries: Iterable[tuple[bool, bytes]]) -> Heard:
        """Of what was written (True) and what came, in order, up to the first word of a release."""
        sent, received = bytearray(), bytearray()
        for ours, octets in entries:
            if ours and _releases(framing, octets):
                break
            (sent if ours else received).extend(octets)
        return cls(framing, bytes(sent), bytes(received))

    @property
    def controls(self) -> tuple[str, ...]:
        """The control fields of the meter's HDLC frames, in words."""
        return tuple(words.control(each.control).partition(":")[0] for each in self._frames())

    @property
    def linked(self) -> bool:
        """Whether the meter took the link; over the wrapper whether anything of the meter's came."""
        if self.framing is Framing.WRAPPER:
            return bool(self._messages())
        return "UA" in self.controls

    @property
    def apdus(self) -> tuple[str, ...]:
        """The names of the APDUs that came; of one in several frames the first counts."""
        if self.framing is Framing.WRAPPER:
            found = [each.apdu for each in self._messages()]
        else:
            numbered = (each.information for each in self._frames() if not each.control & 1)
            found = [each[len(LLC[0]) :] for each in numbered if each[: len(LLC[0])] in LLC]
        return tuple(words.APDUS.get(each[0], f"tag {each[0]:02x}") for each in found if each)

    @property
    def answered(self) -> bool:
        """Whether the meter answered the AARQ."""
        return any(each in self.apdus for each in ANSWERS.values())

    @property
    def is_echo(self) -> bool:
        """Whether nothing but our own bytes came back."""
        return len(self.received) >= HEADER and self.sent.startswith(self.received)

    def shown(self) -> str:
        """What came, in a few words."""
        if not self.received:
            return "nothing"
        if self.is_echo and not self.linked:
            return "our own bytes back"
        found = [each for each in self.controls if each != "I"] if self.framing is not Framing.WRAPPER else []
        found += self.apdus
        rest = "..." if len(self.received) > SHOWN else ""
        return ", ".join(found) or f"{len(self.received)} bytes: {self.received[:SHOWN].hex(' ')}{rest}"

    def stranger(self) -> str:
        """What is there in place of the meter, in words; empty where nothing says so."""
        octets = self.received
        if self.linked or not octets:
            return ""
        if self.is_echo:
            return "something that gives back what it hears"
        found = _by_begin(octets)
        text = octets[:SHOWN].strip(b"\r\n\t\0")
        if not found and len(text) > 3 and all(each in PRINTABLE for each in text):
            return f"something that writes text: {text.decode('ascii')!r}"
        return found

    @property
    def other_framing(self) -> bool:
        """Whether the meter speaks, but in the other framing."""
        if self.is_echo or self.linked:
            return False
        if self.framing is Framing.WRAPPER:
            return _is_hdlc(self.received)
        return self.received[:2] == VERSION.to_bytes(2, "big") and len(self.received) >= HEADER

    def _frames(self) -> list[Frame]:
        """Good frames that are not our own."""
        reader = FrameReader()
        ours = {(each.destination, each.source) for each in _frames(self.sent)}
        try:
            found = [*reader.feed(self.received[:MOST]), *reader.finish()]
        except MeterError:
            return []
        return [each for each in found if (each.destination, each.source) not in ours]

    def _messages(self) -> list[Message]:
        """Messages that are not our own."""
        ours = _messages(self.sent)
        return [each for each in _messages(self.received) if each not in ours]


def _messages(octets: bytes) -> list[Message]:
    try:
        return MessageReader().feed(octets[:MOST])
    except Malformed:
        return []


def _frames(octets: bytes) -> list[Frame]:
    try:
        return FrameReader().feed(octets[:MOST])
    except MeterError:
        return []


def _is_hdlc(octets: bytes) -> bool:
    return octets[:1] == bytes((FLAG,)) and len(octets) > 2 and octets[1] & 0xF0 == hdlc.FORMAT


def _releases(framing: Framing, octets: bytes) -> bool:
    """Whether the end of an association, or of its link, is asked for."""
    rlrq = bytes((association.RLRQ,))
    if framing is Framing.WRAPPER:
        return any(each.apdu[:1] == rlrq for each in _messages(octets))
    return any(
        each.control & ~hdlc.POLL_FINAL == hdlc.DISC or each.information.startswith(LLC_COMMAND + rlrq)
        for each in _frames(octets)
    )


def _by_begin(octets: bytes) -> str:
    begins = {**dict.fromkeys(TLS, "a server that wants TLS"), **TEXTS}
    for begin, name in begins.items():
        if octets.startswith(begin):
            return name
    if octets[0] == MBUS_ACK or frames.is_over_mbus(octets) or (octets[0] == MBUS_LONG and octets[3:4] == octets[:1]):
        return "an M-Bus line"
    if octets[2:4] == MODBUS and len(octets) > HEADER and int.from_bytes(octets[4:6], "big") == len(octets) - 6:
        return "a Modbus TCP device"
    return ""
