"""The strict msgpack form of the contract: arrays, integers, bin, str, nil, bool, and each in its shortest form.

Limits: `unpack` never allocates for a count that the input cannot hold, goes `DEPTH` arrays deep, and refuses maps,
floats, extensions, texts with NUL, long forms and trailing bytes. Shortest form is checked by packing again: the
library packs every value shortest, so equal bytes mean a shortest form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NoReturn

import msgpack

from protocols.uplink import limits
from protocols.uplink.faults import FieldError, FormError, LimitError

Wire = None | bool | int | str | bytes | list["Wire"]
_ALLOWED = (type(None), bool, int, str, bytes)
_INTEGERS = {int}
_PLAIN = {int, bytes, str, list, type(None)}
_LEAST, _MOST = limits.INT64_MIN, limits.INT64_MAX
SHORT = 8  # elements: fewer are looked at faster one by one
PACKING = (
    4_096  # bytes that a packer begins with: most values are small, and what it takes at once is given back at once
)


def pack(value: object) -> bytes:
    """`value` (nested lists and tuples of int, str, bytes, bool, None) in its one form.

    Raises:
        FormError: something in it has no form on the wire.
        LimitError: deeper than `DEPTH`, or an array longer than `ARRAY`.
    """
    _check(value)
    return repack(value)


def repack(value: object) -> bytes:
    """As `pack`, for what was checked already: it came out of `unpack`, or is built of such parts."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def packer() -> Callable[[object], bytes]:
    """As `repack`, for many values one after the other, in one thread."""
    packing: Callable[[object], bytes] = msgpack.Packer(use_bin_type=True, buf_size=PACKING).pack
    return packing


def unpack(octets: bytes, limit: int, where: str) -> Wire:
    """The one value in `octets`, at most `limit` bytes long.

    Raises:
        LimitError: too long, too deep, or an array longer than `ARRAY`.
        FormError: anything that is not the strict form.
    """
    if len(octets) > limit:
        raise LimitError(f"at most {limit} bytes", f"{len(octets)}", where)
    try:
        value: Wire = msgpack.unpackb(
            octets,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_refuse_map,
            ext_hook=_refuse_ext,
            max_array_len=limits.ARRAY,
            max_map_len=0,
            max_ext_len=0,
            max_bin_len=limit,
            max_str_len=limit,
        )
    except FormError as error:
        raise FormError(error.expected, error.got, where) from None
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise FormError("one msgpack value in strict form", _shown(octets, error), where) from None
    try:
        if not _is_plain(value):
            _check(value)
        again = repack(value)
    except (FormError, LimitError) as error:
        raise type(error)(error.expected, error.got, where) from None
    if again != octets:
        raise FormError("every value in its shortest form", _shown(octets, "a longer form"), where)
    return value


def _shown(octets: bytes, error: object) -> str:
    return f"{octets[:16].hex()}{'...' if len(octets) > 16 else ''} ({error})"


def _refuse_map(pairs: object) -> NoReturn:
    raise FormError("arrays", "a map")


def _refuse_ext(code: int, octets: bytes) -> NoReturn:
    raise FormError("no extension types", f"extension {code}")


def _is_plain(value: object) -> bool:
    """Whether all arrays of what the library unpacked hold what `_check` would pass: looked at level by level.

    The library has refused arrays that are too long and integers below 64 signed bits.
    """
    level = [value]
    for _ in range(limits.DEPTH + 1):
        kinds = set(map(type, level))
        if not kinds <= _PLAIN:
            return False
        if int in kinds and max([each for each in level if type(each) is int]) > _MOST:
            return False
        if str in kinds and any("\0" in each for each in level if type(each) is str):
            return False
        if list not in kinds:
            return True
        level = [*chain.from_iterable([each for each in level if type(each) is list])]
    return False


def _check(value: object) -> None:
    if isinstance(value, (list, tuple)):
        _check_array(value, 1)
    else:
        _check_one(value)


def _check_array(array: Sequence[Any], depth: int) -> None:
    """What is in an array: written for speed, for a body has ten thousand elements, most of them integers."""
    if depth > limits.DEPTH or len(array) > limits.ARRAY:
        raise _too_large(len(array), depth)
    if len(array) > SHORT and set(map(type, array)) == _INTEGERS:
        _check_one(min(array))
        _check_one(max(array))
        return
    for element in array:
        kind = type(element)
        if kind is int:
            if not _LEAST <= element <= _MOST:
                _check_one(element)
        elif kind is list or kind is tuple:
            _check_array(element, depth + 1)
        elif kind is str:
            if "\0" in element:
                _check_one(element)
        elif kind is not bytes and element is not None:
            _check_one(element)


def _too_large(length: int, depth: int) -> LimitError:
    if depth > limits.DEPTH:
        return LimitError(f"at most {limits.DEPTH} nested arrays", f"{depth}")
    return LimitError(f"at most {limits.ARRAY} elements in an array", f"{length}")


def _check_one(value: object) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise FormError("a text without NUL", repr(value[:20]))
    elif not isinstance(value, _ALLOWED):
        raise FormError("array, integer, bin, str, nil or bool", type(value).__name__)
    elif isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise FormError("an integer within 64 signed bits", str(value))


class Fields:
    """The elements of one array, taken in order and checked one by one; unknown later elements are ignored."""

    def __init__(self, value: Wire, where: str, at_least: int) -> None:
        if not isinstance(value, list):
            raise FieldError("an array", _kind(value), where)
        if len(value) < at_least:
            raise FieldError(f"at least {at_least} elements", f"{len(value)}", where)
        self._elements: Iterator[Wire] = iter(value)
        self._where = where

    def any(self) -> Wire:
        """The next element, unchecked: the caller checks it."""
        return next(self._elements)

    def integer(self, name: str, low: int = limits.INT64_MIN, high: int = limits.INT64_MAX) -> int:
        """The next element: an integer from `low` to `high`."""
        value = next(self._elements)
        if type(value) is not int or not low <= value <= high:
            raise FieldError(f"an integer from {low} to {high}", _kind(value), f"{self._where}.{name}")
        return value

    def maybe_integer(self, name: str, low: int = limits.INT64_MIN, high: int = limits.INT64_MAX) -> int | None:
        """The next element: an integer from `low` to `high`, or nil."""
        value = next(self._elements)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:
            raise FieldError(f"an integer from {low} to {high}, or nil", _kind(value), f"{self._where}.{name}")
        return value

    def octets(self, name: str, length: int | None = None, limit: int = limits.BODY) -> bytes:
        """The next element: a bin of exactly `length` bytes (of at most `limit` where None)."""
        value = next(self._elements)
        if not isinstance(value, bytes) or (length is not None and len(value) != length):
            wanted = "a bin" if length is None else f"a bin of {length} bytes"
            raise FieldError(wanted, _kind(value), f"{self._where}.{name}")
        if len(value) > limit:
            raise LimitError(f"at most {limit} bytes", f"{len(value)}", f"{self._where}.{name}")
        return value

    def maybe_octets(self, name: str, length: int) -> bytes | None:
        """The next element: a bin of exactly `length` bytes, or nil."""
        value = next(self._elements)
        if value is None:
            return None
        if not isinstance(value, bytes) or len(value) != length:
            raise FieldError(f"a bin of {length} bytes, or nil", _kind(value), f"{self._where}.{name}")
        return value

    def maybe_bin(self, name: str, limit: int) -> bytes | None:
        """The next element: a bin of at most `limit` bytes, or nil."""
        value = next(self._elements)
        if value is None:
            return None
        if not isinstance(value, bytes):
            raise FieldError("a bin, or nil", _kind(value), f"{self._where}.{name}")
        if len(value) > limit:
            raise LimitError(f"at most {limit} bytes", f"{len(value)}", f"{self._where}.{name}")
        return value

    def text(self, name: str, limit: int = limits.TEXT) -> str:
        """The next element: a str of at most `limit` bytes of UTF-8."""
        value = self.maybe_text(name, limit)
        if value is None:
            raise FieldError("a str", "nil", f"{self._where}.{name}")
        return value

    def maybe_text(self, name: str, limit: int = limits.TEXT) -> str | None:
        """The next element: a str of at most `limit` bytes of UTF-8, or nil."""
        value = next(self._elements)
        if value is None:
            return None
        if not isinstance(value, str):
            raise FieldError("a str", _kind(value), f"{self._where}.{name}")
        if len(value.encode()) > limit:
            raise LimitError(f"at most {limit} bytes of text", f"{len(value.encode())}", f"{self._where}.{name}")
        return value

    def array(self, name: str, limit: int, low: int = 0) -> list[Wire]:
        """The next element: an array of `low` to `limit` elements."""
        value = next(self._elements)
        if not isinstance(value, list):
            raise FieldError("an array", _kind(value), f"{self._where}.{name}")
        if not low <= len(value) <= limit:
            raise LimitError(f"{low} to {limit} elements", f"{len(value)}", f"{self._where}.{name}")
        return value

    def maybe_array(self, name: str, limit: int) -> list[Wire] | None:
        """The next element: an array of at most `limit` elements, or nil."""
        value = next(self._elements)
        if value is None:
            return None
        if not isinstance(value, list):
            raise FieldError("an array, or nil", _kind(value), f"{self._where}.{name}")
        if len(value) > limit:
            raise LimitError(f"at most {limit} elements", f"{len(value)}", f"{self._where}.{name}")
        return value


def _kind(value: Wire) -> str:
    if isinstance(value, bytes):
        return f"a bin of {len(value)} bytes"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, str):
        return f"the text {value[:32]!r} of {len(value.encode())} bytes"
    return "nil" if value is None else f"{value}"
