"""The ACTION service (Green Book 9.4.5.6): request and response normal, with their optional data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocols.dlms import data
from protocols.dlms.data import Data, take
from protocols.dlms.faults import AccessRefused, CutShort, Malformed, NotSupported
from protocols.dlms.get import CONFIRMED, DESCRIPTOR, INVOKE_MASK, result_name

REQUEST, RESPONSE = 0xC3, 0xC7
NORMAL = 1
GOT, REFUSED = 0, 1


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


def request_from_bytes(octets: bytes) -> ActionNormal:
    """The ACTION request that `octets` are.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    invoke = _head(octets, REQUEST)
    asked, at = take(octets, 3, DESCRIPTOR, "ACTION request")
    number = int.from_bytes(asked[8:], "big", signed=True)
    method = Method(int.from_bytes(asked[:2], "big"), asked[2:8], number)
    present, at = _flag(octets, at, "ACTION request")
    parameter = None
    if present:
        parameter, at = data.read(octets, at)
    _at_end(octets, at)
    return ActionNormal(invoke, method, parameter)


def response_from_bytes(octets: bytes) -> Acted | ActionRefused:
    """The ACTION response that `octets` are; what comes beside a refusal is passed over.

    Raises:
        MeterError: a named one for each thing that is wrong.
    """
    invoke = _head(octets, RESPONSE)
    result, at = take(octets, 3, 1, "ACTION response")
    if result[0] != ActionResult.SUCCESS:
        return ActionRefused(invoke, result[0])
    present, at = _flag(octets, at, "ACTION response")
    if not present:
        _at_end(octets, at)
        return Acted(invoke)
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


def no_data(acted: Acted, where: str) -> AccessRefused:
    """The error of an action that gave nothing back although its data were wanted."""
    return AccessRefused("data of the action", result_name(acted.result) if acted.result else "none", where)


def _head(octets: bytes, tag: int) -> int:
    if len(octets) < 3:
        raise CutShort("3 bytes", str(len(octets)), "ACTION")
    if octets[0] != tag:
        raise Malformed(f"tag {tag:02x}", octets[:1].hex(), "ACTION")
    if octets[1] != NORMAL:
        raise NotSupported("ACTION normal", str(octets[1]), "ACTION")
    return octets[2] & INVOKE_MASK


def _flag(octets: bytes, at: int, where: str) -> tuple[bool, int]:
    """Whether something optional follows; some meters leave a flag that says no out."""
    if at == len(octets):
        return False, at
    flag, at = take(octets, at, 1, where)
    return bool(flag[0]), at


def _at_end(octets: bytes, end: int) -> None:
    if end != len(octets):
        raise Malformed("the end of the APDU", f"{len(octets) - end} bytes more", "ACTION")
