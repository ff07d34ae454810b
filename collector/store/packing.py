"""Numbers of a page of a series as few bytes, and back.

First a byte of flags, then whole numbers in groups of seven bits: how many, the common factor (1: none), the least, and
where differences are kept the first one; then each number (or difference) less the least, divided by the factor, in as
few octets as the greatest needs: all lowest octets, then all second ones, and so on, deflated where that is shorter. So
a day of quarter hours in joules, of a meter that shows watt-hours, takes an octet or two a value, and a register's
stands take no more than what was delivered between them.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate, pairwise

MOST = 4_096  # numbers of a page; a day has at most 100 quarters
_WIDE = 7  # width of numbers that no machine word holds, in the flags: 32 octets each
_WIDTHS = {0: "B", 1: "H", 2: "I", 3: "Q"}
_DIFFERENCES, _DEFLATED = 8, 16
_WIDE_OCTETS = 32


def pack(numbers: Sequence[int]) -> bytes:
    """The numbers, by the shorter of two ways: as they are, or their differences.

    Raises:
        ValueError: too many, or of more than 255 bits.
    """
    if len(numbers) > MOST:
        raise ValueError(f"expected at most {MOST} numbers, got {len(numbers)}")
    ways = [_packed(numbers, 0, b"")]
    if len(numbers) > 2:
        differences = [after - before for before, after in pairwise(numbers)]
        ways.append(_packed(differences, _DIFFERENCES, _group(numbers[0])))
    return min(ways, key=len)


def unpack(packed: bytes) -> list[int]:
    """The numbers that were packed.

    Raises:
        ValueError: these are no such bytes.
    """
    try:
        return _unpacked(packed)
    except (IndexError, struct.error, zlib.error, OverflowError) as error:
        raise ValueError(f"expected packed numbers, got {packed[:16].hex()}... ({error})") from error


def _packed(numbers: Sequence[int], flags: int, first: bytes) -> bytes:
    least = min(numbers, default=0)
    factor = math.gcd(*(each - least for each in numbers)) or 1
    body, width = _body([(each - least) // factor for each in numbers])
    head = _group(len(numbers)) + _group(factor) + _group(least) + first
    squeezed = _deflate(body)
    if len(squeezed) < len(body):
        return bytes([flags | width | _DEFLATED]) + head + squeezed
    return bytes([flags | width]) + head + body


def _unpacked(packed: bytes) -> list[int]:
    flags, at = packed[0], 1
    count, at = _ungroup(packed, at)
    factor, at = _ungroup(packed, at)
    least, at = _ungroup(packed, at)
    first, at = _ungroup(packed, at) if flags & _DIFFERENCES else (None, at)
    if not 0 <= count <= MOST:
        raise ValueError(f"expected at most {MOST} numbers, got {count}")
    width = flags & 7
    octets = _WIDE_OCTETS if width == _WIDE else 1 << width
    body = packed[at:]
    if flags & _DEFLATED:
        body = zlib.decompressobj(-15).decompress(body, max(1, count * octets))
    small = _numbers(body, count, width, octets)
    numbers = small if least == 0 and factor == 1 else [least + factor * each for each in small]
    return numbers if first is None else list(accumulate(numbers, initial=first))


def _body(numbers: Sequence[int]) -> tuple[bytes, int]:
    """Numbers from 0 up, octet by octet, and their width (octets as a power of two, or `_WIDE`)."""
    bits = max(numbers, default=0).bit_length()
    if bits > 255:
        raise ValueError(f"expected numbers of at most 255 bits, got {bits}")
    width = next((each for each in _WIDTHS if bits <= 8 << each), _WIDE)
    if width == _WIDE:
        return b"".join(each.to_bytes(_WIDE_OCTETS, "little") for each in numbers), width
    raw = struct.pack(f"<{len(numbers)}{_WIDTHS[width]}", *numbers)
    octets = 1 << width
    return b"".join(raw[place::octets] for place in range(octets)), width


def _numbers(body: bytes, count: int, width: int, octets: int) -> list[int]:
    if len(body) != count * octets:
        raise ValueError(f"expected {count * octets} octets of numbers, got {len(body)}")
    if width == _WIDE:
        return [int.from_bytes(body[at : at + octets], "little") for at in range(0, len(body), octets)]
    if width == 0:
        return list(body)
    raw = bytearray(len(body))
    for place in range(octets):
        raw[place::octets] = body[place * count : (place + 1) * count]
    return list(struct.unpack(f"<{count}{_WIDTHS[width]}", raw))


def _deflate(body: bytes) -> bytes:
    squeezing = zlib.compressobj(9, zlib.DEFLATED, -10, 3)  # a small window: quick to begin
    return squeezing.compress(body) + squeezing.flush()


def _group(number: int) -> bytes:
    """A whole number: its sign in the lowest bit, then groups of seven bits, the lowest first."""
    left, octets = (number << 1) ^ (-1 if number < 0 else 0), bytearray()
    while left > 127:
        octets.append(left & 127 | 128)
        left >>= 7
    octets.append(left)
    return bytes(octets)


def _ungroup(packed: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while packed[at] & 128:
        number |= (packed[at] & 127) << shift
        shift += 7
        at += 1
    number |= packed[at] << shift
    return (number >> 1) ^ -(number & 1), at + 1
