"""The ACTION service (Green Book 9.4.5.6): one method, with its parameter and what it gives back, at once or in blocks.

Blocks of a request hold the encoded parameter. What those of a response hold is written in three ways in the field: the
bare data, the data behind their choice (Get-Data-Result), or the result of the action in front of both. No octets of
one of them are whole in another: all three are read. Lists of methods are not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocols.dlms import data
from protocols.dlms.data import Data, take
from protocols.dlms.datablock import DataBlock, blocks_of, read_block
from protocols.dlms.faults import AccessRefused, CutShort, Malformed, NotSupported
from protocols.dlms.get import CONFIRMED, DESCRIPTOR, INVOKE_MASK, result_name

REQUEST, RESPONSE = 0xC3, 0xC7
NORMAL = 1
NEXT, FIRST_BLOCK, WITH_BLOCK = 2, 4, 6  # of a request
BLOCK, NEXT_WANTED = 2, 4  # of a response
GOT, REFUSED = 0, 1
WITH_DATA = bytes((0, 1, GOT))  # success, something is returned, it is data
WITHOUT_DATA = bytes((0, 1, REFUSED))  # ... it is the reason why there are none


class ActionResult(IntEnum):
    """How an action ended."""

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
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


@dataclass(frozen=True, slots=True)
class Method:
    """A method of an object: its class, logical name and number."""

    class_id: int
    name: bytes
    number: int

    def to_bytes(self) -> bytes:
        """The descriptor."""
        number = self.number.to_bytes(1, "big", signed=True)
        return self.class_id.to_bytes(2, "big") + self.name + number


@dataclass(frozen=True, slots=True)
class ActionNormal:
    """Asks for one action."""

    invoke: int
    method: Method
    parameter: Data | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((REQUEST, NORMAL, CONFIRMED | self.invoke)) + self.method.to_bytes()
        return head + (b"\x00" if self.parameter is None else b"\x01" + data.to_bytes(self.parameter))


@dataclass(frozen=True, slots=True)
class ActionBlock:
    """One block of an encoded parameter; `method` is None but in the first."""

    invoke: int
    block: DataBlock
    method: Method | None = None

    def to_bytes(self) -> bytes:
        """The APDU."""
        kind = WITH_BLOCK if self.method is None else FIRST_BLOCK
        named = b"" if self.method is None else self.method.to_bytes()
        return bytes((REQUEST, kind, CONFIRMED | self.invoke)) + named + self.block.to_bytes()


@dataclass(frozen=True, slots=True)
class ActionNext:
    """Asks for the block of the answer after block number `block`."""

    invoke: int
    block: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((REQUEST, NEXT, CONFIRMED | self.invoke)) + self.block.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class ActionTaken:
    """A block of the parameter was taken: the next may come."""

    invoke: int
    number: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, NEXT_WANTED, CONFIRMED | self.invoke)) + self.number.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class ActedBlock:
    """It was done: one block of what it gives back."""

    invoke: int
    block: DataBlock

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, BLOCK, CONFIRMED | self.invoke)) + self.block.to_bytes()


@dataclass(frozen=True, slots=True)
class Acted:
    """It was done; `returned` is what it gave back, `result` why it gave nothing although it should (0: no reason)."""

    invoke: int
    returned: Data | None = None
    result: int = 0

    def to_bytes(self) -> bytes:
        """The APDU."""
        head = bytes((RESPONSE, NORMAL, CONFIRMED | self.invoke, ActionResult.SUCCESS))
        if self.returned is not None:
            return head + bytes((1, GOT)) + data.to_bytes(self.returned)
        return head + (bytes((1, REFUSED, self.result)) if self.result else b"\x00")


@dataclass(frozen=True, slots=True)
class ActionRefused:
    """It was not done, and why; `result` may be a number that the standard does not know."""

    invoke: int
    result: int

    def to_bytes(self) -> bytes:
        """The APDU."""
        return bytes((RESPONSE, NORMAL, CONFIRMED | self.invoke, self.result, 0))

    def error(self, where: str) -> AccessRefused:
        """The error that this answer is."""
        return AccessRefused("an action", action_result_name(self.result), where)


def action_result_name(result: int) -> str:
    """An action-result in words."""
    try:
        return ActionResult(result).name.lower().replace("_", " ")
    except ValueError:
        return f"action-result {result}"


Request = ActionNormal | ActionBlock | ActionNext
Response = Acted | ActionRefused | ActedBlock | ActionTaken


def request_from_bytes(octets: bytes) -> Request:
    """The ACTION request that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, REQUEST)
    if kind == NEXT:
        return ActionNext(invoke, _number(octets))
    if kind == WITH_BLOCK:
        return ActionBlock(invoke, read_block(octets, 3, "ACTION request"))
    if kind not in {NORMAL, FIRST_BLOCK}:
        raise NotSupported("ACTION request normal, next or with block", str(kind), "ACTION request")
    method, at = _method(octets)
    if kind == FIRST_BLOCK:
        return ActionBlock(invoke, read_block(octets, at, "ACTION request"), method)
    present, at = _flag(octets, at, "ACTION request")
    parameter = None
    if present:
        parameter, at = data.read(octets, at)
    _at_end(octets, at)
    return ActionNormal(invoke, method, parameter)


def response_from_bytes(octets: bytes) -> Response:
    """The ACTION response that `octets` are; what comes beside a refusal is passed over.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    kind, invoke = _head(octets, RESPONSE)
    if kind == BLOCK:
        return ActedBlock(invoke, read_block(octets, 3, "ACTION response"))
    if kind == NEXT_WANTED:
        return ActionTaken(invoke, _number(octets))
    if kind != NORMAL:
        raise NotSupported("ACTION response normal or with block", str(kind), "ACTION response")
    result, at = take(octets, 3, 1, "ACTION response")
    if result[0] != ActionResult.SUCCESS:
        return ActionRefused(invoke, result[0])
    present, at = _flag(octets, at, "ACTION response")
    if not present:
        _at_end(octets, at)
        return Acted(invoke)
    return _returned(octets, at, invoke)


def joined(encoded: bytes, invoke: int) -> Acted:
    """What an action gave back in blocks, in any of the three ways.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    refused = len(encoded) == len(WITHOUT_DATA) + 1 and encoded.startswith(WITHOUT_DATA) and encoded[-1]
    if refused or (len(encoded) > len(WITH_DATA) and encoded.startswith(WITH_DATA)):
        return _returned(encoded, 2, invoke)
    refused = len(encoded) == 2 and encoded[0] == REFUSED and encoded[1]  # any other 01 is an array
    if refused or (len(encoded) > 1 and encoded[0] == GOT):
        return _returned(encoded, 0, invoke)
    return Acted(invoke, data.from_bytes(encoded))


def split(method: Method, parameter: Data | None, invoke: int, max_pdu: int) -> list[bytes]:
    """The APDUs that ask for an action of a meter that takes `max_pdu` bytes at once (0: as many as come)."""
    whole = ActionNormal(invoke, method, parameter).to_bytes()
    if not max_pdu or len(whole) <= max_pdu or parameter is None:
        return [whole]
    first, *rest = blocks_of(data.to_bytes(parameter), max_pdu, DESCRIPTOR)
    return [ActionBlock(invoke, first, method).to_bytes(), *(ActionBlock(invoke, each).to_bytes() for each in rest)]


def no_data(acted: Acted, where: str) -> AccessRefused:
    """The error of an action that gave nothing back although its data were wanted."""
    return AccessRefused("data of the action", result_name(acted.result) if acted.result else "none", where)


def _head(octets: bytes, tag: int) -> tuple[int, int]:
    if len(octets) < 3:
        raise CutShort("3 bytes", str(len(octets)), "ACTION")
    if octets[0] != tag:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "ACTION")
    return octets[1], octets[2] & INVOKE_MASK


def _number(octets: bytes) -> int:
    number, end = take(octets, 3, 4, "ACTION")
    _at_end(octets, end)
    return int.from_bytes(number, "big")


def _method(octets: bytes) -> tuple[Method, int]:
    asked, at = take(octets, 3, DESCRIPTOR, "ACTION request")
    number = int.from_bytes(asked[8:], "big", signed=True)
    return Method(int.from_bytes(asked[:2], "big"), asked[2:8], number), at


def _returned(octets: bytes, at: int, invoke: int) -> Acted:
    """What is given back, from its choice on to the end."""
    choice, at = take(octets, at, 1, "ACTION response")
    if choice[0] == GOT:
        returned, at = data.read(octets, at)
        _at_end(octets, at)
        return Acted(invoke, returned)
    if choice[0] != REFUSED:
        raise Malformed("choice data or data-access-result", choice.hex(), "ACTION response")
    why, at = take(octets, at, 1, "ACTION response")
    _at_end(octets, at)
    return Acted(invoke, None, why[0])


def _flag(octets: bytes, at: int, where: str) -> tuple[bool, int]:
    """Whether something optional follows; some meters leave a flag that says no out."""
    if at == len(octets):
        return False, at
    flag, at = take(octets, at, 1, where)
    return bool(flag[0]), at


def _at_end(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "ACTION")
