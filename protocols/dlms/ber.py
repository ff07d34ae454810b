"""The little BER that association needs: one byte of tag, a length, and what is inside."""

from __future__ import annotations

from collections.abc import Iterator

from protocols.dlms.data import length, read_length, take


def wrap(tag: int, *contents: bytes) -> bytes:
    """The contents, one after the other, under `tag`."""
    octets = b"".join(contents)
    return bytes((tag,)) + length(len(octets)) + octets


def fields(octets: bytes, where: str) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each field in `octets`.

    Raises:
        MeterError: a field does not end inside.
    """
    at = 0
    while at < len(octets):
        tag = octets[at]
        size, at = read_length(octets, at + 1)
        content, at = take(octets, at, size, where)
        yield tag, content


def field(octets: bytes, tag: int, where: str) -> bytes | None:
    """The content of the first field with `tag`; None where there is none.

    Raises:
        MeterError: a field before it does not end inside.
    """
    return next((content for found, content in fields(octets, where) if found == tag), None)
