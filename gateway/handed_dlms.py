"""Attributes of a DLMS meter, as the daemon reads them for a command in one association: questions and answers.

A question says whether its attributes are asked for together, and names each by class, logical name, number and, where
only a part is wanted, selector and parameters. What comes back is the value, the octets of the response and its times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.handed import Through
from protocols.dlms import data as axdr
from protocols.dlms import table
from protocols.dlms.access import Access
from protocols.dlms.faults import AccessRefused, ExceptionAnswer, ServiceError
from protocols.dlms.get import MAX_LIST, Selection
from protocols.dlms.objects import Attribute
from protocols.errors import PlombaError
from protocols.transports.dlms import Asking, Association, Got
from protocols.uplink.pack import Fields, Wire

LOGICAL_NAME = 6
OCTETS = 512 * 1024  # of a value, or of its response: an answer holds both
CLASSES, NUMBERS, SELECTORS = 0xFFFF, 0x7F, 0xFF
REFUSALS = (AccessRefused, ExceptionAnswer, ServiceError)  # behind them the association goes on


class DlmsHost:
    """A meter of the daemon's, in an association; `lists`: it takes questions for several attributes."""

    def __init__(self, association: Association, lists: bool) -> None:
        self._association, self._lists = association, lists

    async def answer(self, question: list[Wire]) -> Wire:
        """The attributes.

        Raises:
            LinkError, MeterError: no usable answer came.
            FieldError, LimitError: it is no question.
        """
        fields = Fields(question, "question", 2)
        together, wanted = bool(fields.integer("together", 0, 1)), fields.array("attributes", MAX_LIST, 1)
        asked = [_asked(each) for each in wanted]
        if len(asked) == 1:
            found = [await self._association.get(*asked[0])]
        else:
            found = await self._association.get_many([attribute for attribute, _ in asked], together and self._lists)
        return [_answer(each) for each in found]

    def survives(self, error: PlombaError) -> bool:
        """What the meter refuses is one attribute."""
        return isinstance(error, REFUSALS)


class ThroughMeter:
    """A meter that is asked through the daemon, as an association asks it."""

    def __init__(self, through: Through) -> None:
        self._through = through

    async def get(self, attribute: Attribute, selection: Selection | None = None) -> Got:
        """Read one attribute, or the part of it that `selection` names.

        Raises:
            PlombaError: what the daemon met, or that it does not answer.
        """
        return self._ask([_question(attribute, selection)], together=False)[0]

    async def get_many(self, attributes: Sequence[Attribute], together: bool = True) -> list[Got]:
        """Read several attributes, as an association does.

        Raises:
            PlombaError: what the daemon met, or that it does not answer.
        """
        found: list[Got] = []
        for at in range(0, len(attributes), MAX_LIST):
            found += self._ask([_question(each, None) for each in attributes[at : at + MAX_LIST]], together)
        return found

    def _ask(self, wanted: list[Wire], together: bool) -> list[Got]:
        answer = self._through.ask(int(together), wanted)
        return [_got(each) for each in Fields([answer], "answer", 1).array("attributes", len(wanted), len(wanted))]


class ThroughDesk:
    """A meter of the daemon's on a technician's desk."""

    def __init__(self, through: Through) -> None:
        self._meter = ThroughMeter(through)

    @asynccontextmanager
    async def associated(self, access: Access | None = None) -> AsyncIterator[Asking]:
        """The meter, which the daemon enters when it is asked something."""
        yield self._meter

    def close(self) -> None:
        """Nothing is held."""


def _question(attribute: Attribute, selection: Selection | None) -> Wire:
    what: list[Wire] = [attribute.class_id, attribute.name, attribute.number]
    return what if selection is None else [*what, selection.selector, axdr.to_bytes(selection.parameters)]


def _asked(wire: Wire) -> tuple[Attribute, Selection | None]:
    fields = Fields(wire, "attribute", 3)
    class_id, name = fields.integer("class", 0, CLASSES), fields.octets("name", LOGICAL_NAME)
    attribute = Attribute(class_id, name, fields.integer("number", -NUMBERS, NUMBERS))
    if not isinstance(wire, list) or len(wire) < 5:
        return attribute, None
    selector = fields.integer("selector", 0, SELECTORS)
    return attribute, Selection(selector, axdr.from_bytes(fields.octets("parameters", limit=OCTETS)))


def _answer(got: Got) -> Wire:
    return [axdr.to_bytes(got.data), got.octets, got.at_ms, got.mono_ms, got.round_trip_ms]


def _got(wire: Wire) -> Got:
    fields = Fields(wire, "value", 5)
    value, octets = fields.octets("value", limit=OCTETS), fields.octets("octets", limit=OCTETS)
    return Got(table.value(value), octets, *(fields.integer(name) for name in ("at", "mono", "round trip")))
