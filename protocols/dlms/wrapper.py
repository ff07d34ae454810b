"""The TCP wrapper (IEC 62056-47): version 1, source and destination wPort, length, then one APDU."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.dlms.faults import Malformed

VERSION = 1
HEADER = 8  # bytes: four numbers of 16 bits
MAX_APDU = 0xFFFF  # bytes: what the length field can say


@dataclass(frozen=True, slots=True)
class Message:
    """One APDU between two wPorts (an APDU may hold a password: it is not shown)."""

    source: int
    destination: int
    apdu: bytes

    def __repr__(self) -> str:
        return f"Message({self.source} -> {self.destination}, {len(self.apdu)} bytes)"

    def to_bytes(self) -> bytes:
        """Header and APDU.

        Raises:
            OverflowError: the APDU is longer than the length field can say.
        """
        numbers = (VERSION, self.source, self.destination, len(self.apdu))
        return b"".join(each.to_bytes(2, "big") for each in numbers) + self.apdu


class MessageReader:
    """Finds messages in a stream that comes in any pieces; holds one message at most."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    @property
    def announced(self) -> int | None:
        """How long the APDU of the message that has begun will be; None before its header is there."""
        return int.from_bytes(self._held[6:HEADER], "big") if len(self._held) >= HEADER else None

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that are complete with `chunk`.

        Raises:
            Malformed: another version; where the next message begins cannot be told any more.
        """
        messages = []
        for at in range(0, len(chunk), MAX_APDU):
            self._held += chunk[at : at + MAX_APDU]
            while (message := self._take()) is not None:
                messages.append(message)
        return messages

    def _take(self) -> Message | None:
        held = self._held
        if len(held) >= 2 and int.from_bytes(held[:2], "big") != VERSION:
            raise Malformed(f"wrapper version {VERSION}", held[:HEADER].hex(), "wrapper")
        if len(held) < HEADER:
            return None
        source, destination, size = (int.from_bytes(held[at : at + 2], "big") for at in (2, 4, 6))
        if len(held) < HEADER + size:
            return None
        message = Message(source, destination, bytes(held[HEADER : HEADER + size]))
        del held[: HEADER + size]
        return message
