"""The server half of SET, of ACTION and of general block transfer: beside the server that answers GET, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocols.dlms import action, blocks, data
from protocols.dlms import set as setting
from protocols.dlms.action import Acted, ActionRefused, ActionResult, Method
from protocols.dlms.blocks import GeneralBlock
from protocols.dlms.data import Data
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.objects import Attribute
from protocols.dlms.set import BlockTaken, Set, SetBlock, SetNormal
from protocols.errors import MeterError

MAX_VALUE = 0x1_0000  # bytes of an encoded value that comes in blocks


class Settable(Protocol):
    """What of a meter can be set."""

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """Set it, or say why not."""


class Acting(Protocol):
    """What of a meter can be done."""

    def act(self, method: Method, parameter: Data | None, client: int) -> ActionResult:
        """Do it, or say why not."""


@dataclass(slots=True)
class _Coming:
    """A value on its way, in blocks."""

    invoke: int
    attribute: Attribute
    selection: Selection | None
    number: int
    octets: bytearray


class SetService:
    """Answers SET; without anything to be set all of it is denied. A block that comes again is answered again."""

    def __init__(self, target: Settable | None) -> None:
        self._target = target
        self._coming: _Coming | None = None

    def forget(self) -> None:
        """The association is over."""
        self._coming = None

    def answer(self, apdu: bytes, client: int) -> bytes:
        """The response.

        Raises:
            MeterError: it is no SET request.
        """
        request = setting.request_from_bytes(apdu)
        if isinstance(request, SetNormal):
            self._coming = None
            result = self._set(request.attribute, request.selection, request.value, client)
            return Set(request.invoke, result).to_bytes()
        return self._block(request, client).to_bytes()

    def _set(self, attribute: Attribute, selection: Selection | None, value: Data, client: int) -> AccessResult:
        if self._target is None:
            return AccessResult.READ_WRITE_DENIED
        if selection is not None:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        return self._target.set(attribute, value, client)

    def _block(self, block: SetBlock, client: int) -> Set | BlockTaken:
        if block.attribute is not None and block.number == 1:
            self._coming = _Coming(block.invoke, block.attribute, block.selection, 0, bytearray())
        coming = self._coming
        if coming is None or coming.invoke != block.invoke:
            return Set(block.invoke, AccessResult.NO_LONG_SET_IN_PROGRESS, max(1, block.number))
        if block.number != coming.number + 1 or len(coming.octets) + len(block.octets) > MAX_VALUE:
            self._coming = None
            return Set(block.invoke, AccessResult.DATA_BLOCK_NUMBER_INVALID, max(1, block.number))
        coming.number += 1
        coming.octets += block.octets
        if not block.last:
            return BlockTaken(block.invoke, block.number)
        self._coming = None
        try:
            value = data.from_bytes(bytes(coming.octets))
        except MeterError:
            return Set(block.invoke, AccessResult.TYPE_UNMATCHED, block.number)
        return Set(block.invoke, self._set(coming.attribute, coming.selection, value, client), block.number)


class BlockSender:
    """Sends what is longer than `size` in general blocks, `window` at a time until the client says what it takes."""

    def __init__(self, size: int, window: int = 1, streams: bool = True) -> None:
        """`streams` is whether several APDUs may follow one another."""
        self._size, self._window, self._streams = size, window, streams
        self._whole = b""

    def sent(self, answer: bytes) -> list[bytes]:
        """The APDUs in which `answer` begins to travel."""
        self._whole = b""
        if len(answer) <= self._size:
            return [answer]
        self._whole = answer
        return self._from(1, self._window, 0)

    def acknowledged(self, apdu: bytes) -> list[bytes]:
        """What follows what the client has: nothing where it has all, or where nothing is on its way.

        Raises:
            MeterError: `apdu` is no general block.
        """
        block = GeneralBlock.from_bytes(apdu)
        return self._from(block.acknowledged + 1, block.window, block.number) if self._whole else []

    def _from(self, first: int, window: int, acknowledged: int) -> list[bytes]:
        window = max(1, window) if self._streams else 1
        made = blocks.windowed(self._whole, self._size, first, window, acknowledged)
        return [each.to_bytes() for each in made]


def acted(target: Acting | None, apdu: bytes, client: int) -> bytes:
    """The response to an ACTION; without anything that can be done there is no such object.

    Raises:
        MeterError: it is no ACTION request.
    """
    request = action.request_from_bytes(apdu)
    result = ActionResult.OBJECT_UNDEFINED
    if target is not None:
        result = target.act(request.method, request.parameter, client)
    if result is ActionResult.SUCCESS:
        return Acted(request.invoke).to_bytes()
    return ActionRefused(request.invoke, result).to_bytes()
