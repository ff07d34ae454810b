"""The GET service (Green Book 9.4.5.4): requests normal, next, with list; responses normal, with block, with list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocols.dlms import data
from protocols.dlms.data import Data, length, read_length, take
from protocols.dlms.faults import AccessRefused, CutShort, Malformed, NotSupported, TooMuch
from protocols.dlms.objects import Attribute

REQUEST, RESPONSE = 0xC0, 0xC4
SET_RESPONSE, ACTION_RESPONSE = 0xC5, 0xC7
WITH_INVOKE = frozenset({RESPONSE, SET_RESPONSE, ACTION_RESPONSE})  # responses that bear an invoke-id
NORMAL, NEXT, WITH_LIST = 1, 2, 3
WITH_BLOCK = 2
MAX_LIST = 64  # attributes in one request: an APDU of 1,024 bytes holds them with room to spare
CONFIRMED = 0x40  # service class; the priority bit stays clear, for priority is not negotiated
INVOKE_MASK = 0x0F
DESCRIPTOR = 9  # bytes: class 2, logical name 6, attribute 1
GOT, REFUSED = 0, 1


class AccessResult(IntEnum):
    """Why there is no data (data-access-result)."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


@dataclass(frozen=True, slots=True)
class Selection:
    """Selective access: which part of an attribute, by the selector's number and its parameters."""

    selector: int
    parameters: Data


@dataclass(frozen=True, slots=True)
class GetNormal:
    """Asks for one attribute."""

    invoke: int
    attribute: Attribute
    selection: Selection | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((REQUEST, NORMAL, CONFIRMED | self.invoke)) + asked_bytes(self.attribute, self.selection)


@dataclass(frozen=True, slots=True)
class GetList:
    """Asks for several attributes at once."""

    invoke: int
    attributes: tuple[Attribute, ...]

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((REQUEST, WITH_LIST, CONFIRMED | self.invoke)) + list_bytes(self.attributes)


@dataclass(frozen=True, slots=True)
class GetNext:
    """Asks for the block after block number `block`."""

    invoke: int
    block: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((REQUEST, NEXT, CONFIRMED | self.invoke)) + self.block.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Got:
    """The attribute as a whole."""

    invoke: int
    data: Data

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, NORMAL, CONFIRMED | self.invoke, GOT)) + data.to_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Refused:
    """No data, and why; `result` may be a number that the standard does not know."""

    invoke: int
    result: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, NORMAL, CONFIRMED | self.invoke, REFUSED, self.result))

    def error(self, where: str) -> AccessRefused:
        """The error that this answer is."""
        return AccessRefused("data", result_name(self.result), where)


Result = Data | int  # the data of one attribute, or the reason why there are none


@dataclass(frozen=True, slots=True)
class GotList:
    """Several attributes, in the order in which they were asked for."""

    invoke: int
    results: tuple[Result, ...]

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, WITH_LIST, CONFIRMED | self.invoke)) + results_bytes(self.results)


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of the encoded attribute, the first with number 1; a `result` other than 0 refuses the rest."""

    invoke: int
    number: int
    last: bool
    octets: bytes
    result: int = 0

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((RESPONSE, WITH_BLOCK, CONFIRMED | self.invoke, self.last)) + self.number.to_bytes(4, "big")
        if self.result:
            return head + bytes((REFUSED, self.result))
        return head + bytes((GOT,)) + length(len(self.octets)) + self.octets


def asked_bytes(attribute: Attribute, selection: Selection | None) -> bytes:
    """An attribute descriptor with its selective access."""
    number = attribute.number.to_bytes(1, "big", signed=True)
    head = attribute.class_id.to_bytes(2, "big") + attribute.name + number
    if selection is None:
        return head + b"\x00"
    return head + bytes((1, selection.selector)) + data.to_bytes(selection.parameters)


def list_bytes(attributes: tuple[Attribute, ...]) -> bytes:
    """How many attributes, then each with its selective access: none."""
    return length(len(attributes)) + b"".join(asked_bytes(each, None) for each in attributes)


def results_bytes(results: tuple[Result, ...]) -> bytes:
    """A list of results: how many, then each with its choice."""
    made = (
        bytes((REFUSED, each)) if isinstance(each, int) else bytes((GOT,)) + data.to_bytes(each) for each in results
    )
    return length(len(results)) + b"".join(made)


def results_from_bytes(octets: bytes, at: int = 0) -> tuple[Result, ...]:
    """The list of results from `at` to the end.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    count, at = read_length(octets, at)
    take(octets, at, 2 * count, "list of results")  # each takes two bytes at least
    results: list[Result] = []
    for _ in range(count):
        choice, at = take(octets, at, 1, "list of results")
        if choice[0] == GOT:
            found, at = data.read(octets, at)
            results.append(found)
        else:
            results.append(_refusal(octets, choice[0], at))
            at += 1
    _at_end(octets, at)
    return tuple(results)


def result_name(result: int) -> str:
    """A data-access-result in words."""
    try:
        return AccessResult(result).name.lower().replace("_", " ")
    except ValueError:
        return f"data-access-result {result}"


def request_from_bytes(octets: bytes) -> GetNormal | GetNext | GetList:
    """The GET request that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, REQUEST)
    if kind == NEXT:
        block, end = take(octets, 3, 4, "GET request")
        _at_end(octets, end)
        return GetNext(invoke, int.from_bytes(block, "big"))
    if kind == WITH_LIST:
        attributes, end = read_list(octets, 3)
        _at_end(octets, end)
        return GetList(invoke, attributes)
    if kind != NORMAL:
        raise NotSupported("GET request normal, next or with list", str(kind), "GET request")
    attribute, selection, end = read_asked(octets, 3)
    _at_end(octets, end)
    return GetNormal(invoke, attribute, selection)


def read_asked(octets: bytes, at: int) -> tuple[Attribute, Selection | None, int]:
    """The attribute descriptor at `at` with its selective access, and where that ends.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    asked, at = take(octets, at, DESCRIPTOR, "request")
    number = int.from_bytes(asked[8:], "big", signed=True)
    selection, end = _selection(octets, at)
    return Attribute(int.from_bytes(asked[:2], "big"), asked[2:8], number), selection, end


def read_list(octets: bytes, at: int) -> tuple[tuple[Attribute, ...], int]:
    """The attributes of a list at `at`, and where it ends; none of them may be selected from.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    count, at = read_length(octets, at)
    take(octets, at, count * DESCRIPTOR, "request")
    if count > MAX_LIST:
        raise TooMuch(f"at most {MAX_LIST} attributes", str(count), "request")
    attributes = []
    for _ in range(count):
        attribute, selection, at = read_asked(octets, at)
        if selection is not None:
            raise NotSupported("a list without selections", "one with", "request")
        attributes.append(attribute)
    return tuple(attributes), at


def response_from_bytes(octets: bytes) -> Got | Refused | Block | GotList:
    """The GET response that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, RESPONSE)
    if kind == NORMAL:
        return _normal(octets, invoke)
    if kind == WITH_BLOCK:
        return _block(octets, invoke)
    if kind == WITH_LIST:
        return GotList(invoke, results_from_bytes(octets, 3))
    raise NotSupported("GET response normal, with block or with list", str(kind), "GET response")


def invoke_of(octets: bytes) -> int | None:
    """The invoke-id of a response to a service, whatever follows it; None where it has none."""
    return octets[2] & INVOKE_MASK if len(octets) > 2 and octets[0] in WITH_INVOKE else None


def _head(octets: bytes, tag: int) -> tuple[int, int]:
    if len(octets) < 3:
        raise CutShort("3 bytes", str(len(octets)), "GET")
    if octets[0] != tag:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "GET")
    return octets[1], octets[2] & INVOKE_MASK


def _selection(octets: bytes, at: int) -> tuple[Selection | None, int]:
    if at >= len(octets) or not octets[at]:  # some clients leave the flag out
        return None, min(at + 1, len(octets))
    selector, at = take(octets, at + 1, 1, "GET request")
    parameters, end = data.read(octets, at)
    return Selection(selector[0], parameters), end


def _normal(octets: bytes, invoke: int) -> Got | Refused:
    choice, at = take(octets, 3, 1, "GET response")
    if choice[0] == GOT:
        found, end = data.read(octets, at)
        _at_end(octets, end)
        return Got(invoke, found)
    return Refused(invoke, _result(octets, choice[0], at))


def _block(octets: bytes, invoke: int) -> Block:
    head, at = take(octets, 3, 6, "data block")
    last, number = bool(head[0]), int.from_bytes(head[1:5], "big")
    if head[5] != GOT:
        return Block(invoke, number, last, b"", _result(octets, head[5], at))
    size, at = read_length(octets, at)
    piece, end = take(octets, at, size, "data block")
    _at_end(octets, end)
    return Block(invoke, number, last, piece)


def _result(octets: bytes, choice: int, at: int) -> int:
    result = _refusal(octets, choice, at)
    _at_end(octets, at + 1)
    return result


def _refusal(octets: bytes, choice: int, at: int) -> int:
    if choice != REFUSED:
        raise Malformed("choice data or data-access-result", f"{choice:02x}", "GET response")
    result, _ = take(octets, at, 1, "GET response")
    if result[0] == AccessResult.SUCCESS:
        raise Malformed("a data-access-result other than success", "success", "GET response")
    return result[0]


def _at_end(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "GET")
