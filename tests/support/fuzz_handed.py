"""Fuzz targets: what commands ask a running daemon of its meters, and what a daemon hands on to them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import mutators
from fuzz_meters import FRAMES
from fuzzing import Target

from gateway import handed_mbus
from gateway.handed import Through, taken
from gateway.handed_dlms import DlmsHost, ThroughMeter
from gateway.handed_mbus import MbusHost, Visited
from gateway.handed_modbus import ModbusHost, ThroughLine
from protocols.dlms import data as axdr
from protocols.dlms.faults import AccessRefused
from protocols.dlms.objects import CLOCK_TIME
from protocols.errors import PlombaError
from protocols.mbus import link
from protocols.modbus.registers import Table
from protocols.transports.block import Block
from protocols.transports.dlms import Asking, Association, Got
from protocols.transports.exchange import Answer, Clock
from protocols.uplink.pack import Wire, pack, unpack

T = TypeVar("T")
MOST = 1024 * 1024
FRAME = FRAMES[0]
BLOCK = Block(bytes(9), bytes(4), 1, 2, 3)
CLOCK = Clock(lambda: 0, lambda: 0)
NAME = bytes((1, 0, 99, 1, 0, 255))


class _Meter:
    """Answers whatever is asked."""

    async def get(self, *asked: object) -> Got:
        """A value."""
        return Got(axdr.octet_string(b"12345678"), b"\xc4\x01", 1, 2, 3)

    async def get_many(self, attributes: list[object], together: bool = True) -> list[Got]:
        """A value of each."""
        return [await self.get() for _ in attributes]


class _Daemon:
    """Says one thing, whatever it is asked."""

    def __init__(self, said: Wire) -> None:
        self._said = said

    def ask(self, *question: Wire) -> Wire:
        """That."""
        return taken(self._said, "meter")


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of what waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits")


async def _telegrams() -> Visited:
    return Visited((Answer(link.parse(FRAME), 1, 2, 3),), 0, 0, 0)


async def _block(table: Table, address: int, count: int) -> Block:
    return BLOCK


HOSTS = (
    DlmsHost(cast("Association", _Meter()), lists=True),
    MbusHost(_telegrams),
    ModbusHost(_block),
)


def question(octets: bytes) -> None:
    """The words of a question, for a meter of each protocol: the first one that refuses them says why."""
    words = unpack(octets, MOST, "question")
    if not isinstance(words, list):
        raise AccessRefused("words", "none", "question")
    refusals = []
    for host in HOSTS:
        try:
            pack(now(host.answer(words)))
        except PlombaError as error:
            refusals.append(error)
    if len(refusals) == len(HOSTS) - 1:  # one of M-Bus takes whatever comes
        raise refusals[0]


def answer(octets: bytes) -> None:
    """An answer of a daemon, read as that of a meter of each protocol."""
    daemon = cast("Through", _Daemon(unpack(octets, MOST, "answer")))
    meter: Asking = ThroughMeter(daemon)
    refusals = []
    for read in (
        lambda: now(meter.get(CLOCK_TIME)),
        lambda: now(meter.get_many([CLOCK_TIME, CLOCK_TIME])),
        lambda: handed_mbus.visited(daemon),
        lambda: now(ThroughLine(daemon).read(1, "holding", 0, 2, CLOCK)),
    ):
        try:
            read()
        except PlombaError as error:
            refusals.append(error)
    if len(refusals) == 4:
        raise refusals[0]


_GOT: Wire = [axdr.to_bytes(axdr.octet_string(b"12345678")), b"\xc4\x01", 1, 2, 3]
QUESTIONS = (
    pack([0, [[8, CLOCK_TIME.name, 2]]]),
    pack([1, [[3, NAME, 2], [3, NAME, 3]]]),
    pack([0, [[7, NAME, 2, 2, axdr.to_bytes(axdr.structure(axdr.octet_string(NAME)))]]]),
    pack([0, 4096, 2]),
)
ANSWERS = (
    pack([0, [_GOT]]),
    pack([0, [_GOT, _GOT]]),
    pack([0, [[[FRAME, 1, 2, 3]], 0, 0, 0]]),
    pack([0, [bytes(9), bytes(4), 1, 2, 3]]),
)
TARGETS = (
    Target("handed-question", QUESTIONS, question, mutators.trees),
    Target("handed-answer", ANSWERS, answer, mutators.trees),
)
