"""The server half of SET, of ACTION and of general block transfer: beside the server that answers GET, without I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from protocols.dlms import action, blocks, data
from protocols.dlms import set as setting
from protocols.dlms.action import (
    Acted,
    ActedBlock,
    ActionBlock,
    ActionNext,
    ActionNormal,
    ActionRefused,
    ActionResult,
    ActionTaken,
    Method,
    Response,
)
from protocols.dlms.blocks import GeneralBlock
from protocols.dlms.data import Data
from protocols.dlms.datablock import OVERHEAD, DataBlock
from protocols.dlms.faults import Malformed
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.objects import Attribute
from protocols.dlms.set import Asked, BlockTaken, Set, SetBlock, SetList, SetResults
from protocols.errors import MeterError

MAX_VALUE = 0x1_0000  # bytes of an encoded value that comes in blocks


class Settable(Protocol):
    """What of a meter can be set."""

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """Set it, or say why not."""


class Acting(Protocol):
    """What of a meter can be done."""

    def act(self, method: Method, parameter: Data | None, client: int) -> ActionResult | Data:
        """Do it, and give back what it gives back if anything; or say why not."""


@dataclass(slots=True)
class _Coming:
    """What is on its way in blocks: `asked` is what it is for."""

    invoke: int
    asked: Asked | Method
    selection: Selection | None = None
    number: int = 0
    octets: bytearray = field(default_factory=bytearray)

    def take(self, block: DataBlock) -> bool:
        """Whether it is the next one, and not too much."""
        if block.number != self.number + 1 or len(self.octets) + len(block.octets) > MAX_VALUE:
            return False
        self.number += 1
        self.octets += block.octets
        return True


class SetService:
    """Answers SET; without anything to be set all of it is denied."""

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
        if isinstance(request, SetBlock):
            return self._block(request, client).to_bytes()
        self._coming = None
        if isinstance(request, SetList):
            pairs = zip(request.attributes, request.values, strict=True)
            return SetResults(request.invoke, tuple(self._set(*each, client) for each in pairs)).to_bytes()
        return Set(request.invoke, self._set(request.attribute, request.value, client, request.selection)).to_bytes()

    def _set(self, attribute: Attribute, value: Data, client: int, selection: Selection | None = None) -> AccessResult:
        if self._target is None:
            return AccessResult.READ_WRITE_DENIED
        if selection is not None:
            return AccessResult.SCOPE_OF_ACCESS_VIOLATED
        return self._target.set(attribute, value, client)

    def _block(self, asked: SetBlock, client: int) -> Set | SetResults | BlockTaken:
        invoke, block = asked.invoke, asked.block
        if asked.asked is not None and block.number == 1:
            self._coming = _Coming(invoke, asked.asked, asked.selection)
        coming = self._coming
        if coming is None or coming.invoke != invoke:
            return Set(invoke, AccessResult.NO_LONG_SET_IN_PROGRESS, max(1, block.number))
        if not coming.take(block):
            self._coming = None
            return Set(invoke, AccessResult.DATA_BLOCK_NUMBER_INVALID, max(1, block.number))
        if not block.last:
            return BlockTaken(invoke, block.number)
        self._coming = None
        try:
            return self._whole(coming, client)
        except MeterError:
            return Set(invoke, AccessResult.TYPE_UNMATCHED, block.number)

    def _whole(self, coming: _Coming, client: int) -> Set | SetResults:
        """All blocks are there.

        Raises:
            MeterError: they are no value, or not as many as attributes.
        """
        if isinstance(coming.asked, Attribute):
            value = data.from_bytes(bytes(coming.octets))
            return Set(coming.invoke, self._set(coming.asked, value, client, coming.selection), coming.number)
        values = setting.values_from_bytes(bytes(coming.octets))
        asked = coming.asked if isinstance(coming.asked, tuple) else ()
        if len(values) != len(asked):
            raise Malformed(f"{len(asked)} values", str(len(values)), "SET request")
        results = tuple(self._set(*each, client) for each in zip(asked, values, strict=True))
        return SetResults(coming.invoke, results, coming.number)


class ActionService:
    """Answers ACTION; without anything that can be done there is no such object."""

    def __init__(self, target: Acting | None) -> None:
        self._target = target
        self._coming: _Coming | None = None
        self._rest, self._next = b"", 1  # what is left to give back, and the number of its block

    def forget(self) -> None:
        """The association is over."""
        self._coming, self._rest = None, b""

    def answer(self, apdu: bytes, client: int, size: int) -> bytes:
        """The response; one that is longer than `size` bytes (0: none is) begins in its first block.

        Raises:
            MeterError: it is no ACTION request.
        """
        request = action.request_from_bytes(apdu)
        if isinstance(request, ActionNext):
            return self._following(request, size).to_bytes()
        self._rest = b""
        if isinstance(request, ActionBlock):
            return self._block(request, client, size).to_bytes()
        self._coming = None
        return self._done(request, client, size).to_bytes()

    def _done(self, asked: ActionNormal, client: int, size: int) -> Response:
        found: ActionResult | Data = ActionResult.OBJECT_UNDEFINED
        if self._target is not None:
            found = self._target.act(asked.method, asked.parameter, client)
        if isinstance(found, ActionResult):
            return Acted(asked.invoke) if found is ActionResult.SUCCESS else ActionRefused(asked.invoke, found)
        whole = Acted(asked.invoke, found)
        if not size or len(whole.to_bytes()) <= size:
            return whole
        self._rest, self._next = data.to_bytes(found), 1
        return self._piece(asked.invoke, size)

    def _block(self, asked: ActionBlock, client: int, size: int) -> Response:
        invoke, block = asked.invoke, asked.block
        if asked.method is not None and block.number == 1:
            self._coming = _Coming(invoke, asked.method)
        coming = self._coming
        if coming is None or coming.invoke != invoke:
            return ActionRefused(invoke, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        if not coming.take(block):
            self._coming = None
            return ActionRefused(invoke, ActionResult.LONG_ACTION_ABORTED)
        if not block.last:
            return ActionTaken(invoke, block.number)
        self._coming = None
        try:
            parameter = data.from_bytes(bytes(coming.octets))
        except MeterError:
            return ActionRefused(invoke, ActionResult.TYPE_UNMATCHED)
        method = coming.asked if isinstance(coming.asked, Method) else Method(0, bytes(6), 0)
        return self._done(ActionNormal(invoke, method, parameter), client, size)

    def _following(self, asked: ActionNext, size: int) -> Response:
        if not self._rest:
            return ActionRefused(asked.invoke, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
        if asked.block != self._next - 1:
            self._rest = b""
            return ActionRefused(asked.invoke, ActionResult.LONG_ACTION_ABORTED)
        return self._piece(asked.invoke, size)

    def _piece(self, invoke: int, size: int) -> ActedBlock:
        room = max(1, size - OVERHEAD)
        piece, self._rest = self._rest[:room], self._rest[room:]
        block = DataBlock(self._next, not self._rest, piece)
        self._next += 1
        return ActedBlock(invoke, block)


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
