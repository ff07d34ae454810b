"""What travels on the pipe: `[1, box key id, HPKE]` around `[header, signature, codec, body, padding]`.

It is made when sent, so that a new box key never touches the buffer. Whoever opens one checks in this order: size,
decrypt, header, signature, inflate at most `body_len` bytes, body hash. This file does size and decrypt and hands out
the parts; `batch`, `hello` and `acknowledgement` do the rest.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from protocols.uplink import limits
from protocols.uplink.faults import BodyHashError, BoxError, FieldError, FormError, LimitError
from protocols.uplink.hello import SIGNATURE
from protocols.uplink.keys import KEY_ID, BoxKey, PublicKey
from protocols.uplink.pack import Fields, pack, unpack

ENVELOPE_VERSION = 1
HEADER_LIMITS = {"batch": limits.BATCH_HEADER, "hello": limits.HELLO_HEADER, "ack": limits.ACK_HEADER}


class Codec(IntEnum):
    """How the body is written."""

    PLAIN = 0
    DEFLATE = 1  # zlib (RFC 1950)


@dataclass(frozen=True, slots=True)
class Content:
    """What was inside an envelope: header and signature as received, the body as it was coded."""

    header: bytes
    signature: bytes
    codec: Codec
    body: bytes


def info(kind: str, gateway: str) -> bytes:
    """The HPKE info: binds a message to its kind and gateway."""
    return f"plomba/1/{kind}/{gateway}".encode("ascii")


def close(content: Content, kind: str, gateway: str, receiver: PublicKey) -> bytes:
    """Seal `content` to the receiver's box key: the packet.

    Raises:
        LimitError: the packet would be over 320 KiB.
    """
    bare = [content.header, content.signature, int(content.codec), content.body]
    count = -len(pack([*bare, b""])) % limits.PADDING
    plain = pack([*bare, bytes(count)])
    packet = pack([ENVELOPE_VERSION, receiver.id, receiver.seal(plain, info(kind, gateway))])
    if len(packet) > limits.PACKET:
        raise LimitError(f"a packet of at most {limits.PACKET} bytes", f"{len(packet)}", kind)
    return packet


def open_envelope(packet: bytes, kind: str, gateway: str, boxes: dict[bytes, BoxKey]) -> Content:
    """Open a packet with the box key that it names.

    Raises:
        LimitError: over 320 KiB, or a part over its limit.
        BoxError: sealed to a key that is not in `boxes`, or altered.
        FormError, FieldError: what was inside is not of the form.
    """
    fields = Fields(unpack(packet, limits.PACKET, f"{kind} packet"), f"{kind} packet", 3)
    fields.integer("version", ENVELOPE_VERSION, ENVELOPE_VERSION)
    name = fields.octets("box key", KEY_ID)
    box = boxes.get(name)
    if box is None:
        raise BoxError(
            f"a box for one of {', '.join(key.hex() for key in boxes)}", f"key {name.hex()}", f"{kind} packet"
        )
    return _content(box.open(fields.octets("box", limit=limits.PACKET), info(kind, gateway)), kind)


def _content(plain: bytes, kind: str) -> Content:
    where = f"{kind} message"
    if len(plain) % limits.PADDING:
        raise FormError(f"a multiple of {limits.PADDING} bytes", f"{len(plain)}", where)
    fields = Fields(unpack(plain, limits.PACKET, where), where, 5)
    header = fields.octets("header", limit=HEADER_LIMITS[kind])
    signature = fields.octets("signature", SIGNATURE)
    codec = Codec(fields.integer("codec", 0, 1))
    body = fields.octets("body", limit=limits.BODY_DEFLATED)
    if any(fields.octets("padding", limit=2 * limits.PADDING)):
        raise FieldError("padding of zero bytes", "others", where)
    return Content(header, signature, codec, body)


def deflate(body: bytes) -> tuple[Codec, bytes]:
    """The shorter of plain and deflated.

    Raises:
        LimitError: over 1 MiB, or over 256 KiB deflated.
    """
    if len(body) > limits.BODY:
        raise LimitError(f"a body of at most {limits.BODY} bytes", f"{len(body)}", "batch")
    small = zlib.compress(body, 6)
    codec, coded = (Codec.DEFLATE, small) if len(small) < len(body) else (Codec.PLAIN, body)
    if len(coded) > limits.BODY_DEFLATED:
        raise LimitError(f"at most {limits.BODY_DEFLATED} bytes deflated", f"{len(coded)}", "batch body")
    return codec, coded


def inflate(content: Content, body_len: int) -> bytes:
    """The body, of exactly `body_len` bytes; never more than that is produced.

    Raises:
        BodyHashError: it is longer or shorter, does not inflate, or bytes follow it.
    """
    if content.codec is Codec.PLAIN:
        body = content.body
    else:
        stream = zlib.decompressobj()
        try:
            body = stream.decompress(content.body, body_len + 1)
        except zlib.error as error:
            raise BodyHashError("a deflated body", str(error), "batch body") from None
        if len(body) <= body_len and (not stream.eof or stream.unused_data):
            raise BodyHashError("one whole deflated body", "a cut one, or bytes behind it", "batch body")
    if len(body) != body_len:
        raise BodyHashError(f"{body_len} bytes", "more" if len(body) > body_len else f"{len(body)}", "batch body")
    return body
