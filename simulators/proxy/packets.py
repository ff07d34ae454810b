"""MQTT 3.1.1 packets as a relay sees them: where they end, and which a PUBLISH with QoS 1 is. Bytes in, values out."""

from __future__ import annotations

PUBLISH, PUBACK = 0x3, 0x4  # 2.2.1: the upper four bits of the first byte
DUP = 0x08  # 3.3.1.1
LENGTH_BYTES = 4  # 2.2.3: of the remaining length
PACKET_LIMIT = 1 << 20  # bytes; three times what either side of ours sends


class PacketError(Exception):
    """What passes is no MQTT, or a packet is over the limit."""


class Packets:
    """Cuts a stream of bytes into whole packets."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, octets: bytes) -> list[bytes]:
        """The packets that are whole now.

        Raises:
            PacketError: a length that MQTT does not know, or over `PACKET_LIMIT`.
        """
        self._held += octets
        found = []
        while (end := _end(self._held)) is not None and len(self._held) >= end:
            found.append(bytes(self._held[:end]))
            del self._held[:end]
        return found


def kind(packet: bytes) -> int:
    """The packet's type."""
    return packet[0] >> 4


def identifier(packet: bytes) -> int | None:
    """The packet identifier of a PUBACK, and of a PUBLISH with QoS 1; None: another packet."""
    if kind(packet) == PUBACK:
        return int.from_bytes(packet[2:4], "big")
    if kind(packet) == PUBLISH and packet[0] >> 1 & 3 == 1:
        at = _identifier_at(packet)
        return int.from_bytes(packet[at : at + 2], "big")
    return None


def copy(packet: bytes, number: int) -> bytes:
    """A PUBLISH with QoS 1 once more, under another packet identifier and marked as a repetition (3.3.1.1)."""
    at = _identifier_at(packet)
    return bytes([packet[0] | DUP]) + packet[1:at] + number.to_bytes(2, "big") + packet[at + 2 :]


def puback(number: int) -> bytes:
    """3.4: the acknowledgement of a PUBLISH with QoS 1."""
    return bytes([PUBACK << 4, 2]) + number.to_bytes(2, "big")


def _end(held: bytearray) -> int | None:
    """Where the first packet ends; None while that cannot be known (2.2.3: seven bits a byte, the lowest first)."""
    length = 0
    for at, octet in enumerate(held[1 : 1 + LENGTH_BYTES]):
        length |= (octet & 0x7F) << 7 * at
        if not octet & 0x80:
            if length > PACKET_LIMIT:
                raise PacketError(f"expected packets of at most {PACKET_LIMIT} bytes, got one of {length}")
            return 2 + at + length
    if len(held) > LENGTH_BYTES:
        raise PacketError(f"expected a remaining length of {LENGTH_BYTES} bytes, got more in {held[:5].hex()}")
    return None


def _identifier_at(packet: bytes) -> int:
    """3.3.2: after the topic, whose length comes first."""
    start = next(at for at in range(1, 1 + LENGTH_BYTES) if not packet[at] & 0x80) + 1
    return start + 2 + int.from_bytes(packet[start : start + 2], "big")
