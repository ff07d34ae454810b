"""How far a technician gets into a DLMS meter, step by step: as its public client first, then as it is configured.

A client that is refused tells more beside one that was let in: the line, the framing and the address are right then.
Each login is tried once: meters lock a client that tries too often.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum

from gateway.desk import Asked, Desk
from gateway.dlms_entrance import counter_heard
from gateway.lines import Lines
from gateway.tap import Log, tapped
from protocols.dlms import objects
from protocols.dlms.access import Access, Framing
from protocols.dlms.breaches import ChallengeRefused, MeterNotProven
from protocols.dlms.faults import AccessRefused, LinkEnded, NoAnswer, PasswordRefused, StreamEnded
from protocols.dlms.heard import Heard
from protocols.dlms.opening import BadIdentification, NoIdentification, OpeningRefused, OtherMode, SpeedUnknown
from protocols.errors import AnotherMeter, ConfigurationError, LinkError, MeterError, PlombaError
from protocols.reading import MeterTime, State, Value
from protocols.transports.dlms import Association
from protocols.transports.optical import NoSpeed

PROOFS = (PasswordRefused, MeterNotProven, ChallengeRefused)
SILENT = (NoAnswer, StreamEnded, LinkEnded)
OPENING = (NoIdentification, BadIdentification, OtherMode, OpeningRefused, SpeedUnknown, NoSpeed)


class Step(IntEnum):
    """The steps into a meter, in order."""

    CONNECT = 0
    OPEN = 1  # mode E alone
    LINK = 2
    ASSOCIATE = 3
    LOGIN = 4
    NAME = 5
    NUMBER = 6
    CLOCK = 7
    DONE = 8


@dataclass(slots=True)
class Trial:
    """One client's way in: the step that failed and why, and what the meter said before that."""

    access: Access
    heard: Heard
    step: Step = Step.CONNECT
    error: PlombaError | None = None
    name: str | None = None
    serial: str | None = None
    clock: Value | None = None
    at_ms: int = 0  # ours, when the clock was read
    counter: int | None = None  # of the configured client, as the public one tells it
    is_last: bool = False  # no other client is tried: it is the one that is meant, or there is no meter here

    @property
    def time(self) -> MeterTime | None:
        """What the clock shows, where the meter does not call it wrong."""
        if self.clock is None or self.clock.state is not State.OK:
            return None
        return objects.time_of(self.clock)


def framing(asked: Asked) -> Framing:
    """What carries the APDUs on this bus."""
    if asked.bus.on_line:
        return Framing.LINE
    return Framing.HDLC if (asked.bus.url or "").startswith("tcp+hdlc:") else Framing.WRAPPER


async def trials(asked: Asked, lines: Lines) -> AsyncGenerator[Trial, None]:
    """The public client's, and the configured one's where that is another and a meter may be there.

    Raises:
        ConfigurationError: the counters of a ciphered meter cannot be kept.
    """
    log = Log()
    with closing(Desk(asked, tapped(lines, log))) as desk:
        if asked.access != asked.public:
            public = await _trial(desk, log, asked.public)
            heard = public.heard
            public.is_last = public.step <= Step.OPEN or bool(heard.stranger()) or heard.other_framing
            yield public
            if public.is_last:
                return
        found = await _trial(desk, log, asked.access)
        found.is_last = True
        yield found


async def _trial(desk: Desk, log: Log, access: Access) -> Trial:
    kind = framing(desk.asked)
    found = Trial(access, Heard(kind, b"", b""))
    log.begin(opened=False)
    try:
        async with desk.associated(access) as association:
            found.step = Step.NAME
            await _ask(found, association, desk.asked)
            found.step = Step.DONE
    except ConfigurationError:
        raise
    except PlombaError as error:
        found.error = error
        desk.close()  # a line that failed is opened anew by the next client
    found.heard = Heard.of(kind, log.entries)
    if found.step is Step.CONNECT and found.error is not None:
        found.step = _failed(found, found.error, log.opened)
    return found


async def _ask(found: Trial, association: Association, asked: Asked) -> None:
    """Who the meter is, and its clock."""
    found.name = objects.text_of((await association.get(objects.LOGICAL_DEVICE_NAME)).data)
    name = asked.device.logical_name
    if name is not None and found.name != name:
        raise AnotherMeter(f"logical device name {name}", found.name or "none", asked.device.name)
    found.step = Step.NUMBER
    try:
        found.serial = objects.text_of((await association.get(objects.DEVICE_ID)).data)
    except AccessRefused as error:
        if asked.device.serial is not None and found.access == asked.access:
            raise error from None
    wanted = asked.device.serial
    if wanted is not None and found.serial is not None and found.serial != wanted:
        raise AnotherMeter(f"device id {wanted}", found.serial, asked.device.name)
    found.step = Step.CLOCK
    got = await association.get(objects.CLOCK_TIME)
    found.clock, found.at_ms = objects.clock_value(objects.CLOCK_TIME, got.data), got.at_ms
    if asked.access.security is not None and found.access == asked.public:
        try:
            found.counter = await counter_heard(association, asked.access.client)
        except MeterError:
            found.counter = None  # not every meter tells it


def _failed(found: Trial, error: PlombaError, opened: bool) -> Step:
    """At which step an entry failed."""
    if isinstance(error, OPENING):
        return Step.OPEN
    if not opened:
        return Step.CONNECT
    if isinstance(error, LinkError) or not found.heard.linked:
        return Step.LINK
    if not found.heard.answered:
        return Step.ASSOCIATE
    if "AARE" not in found.heard.apdus:
        return Step.ASSOCIATE
    unanswered = found.access.auth.is_high and isinstance(error, SILENT)  # the proof, behind the AARE
    proving = unanswered or len(found.heard.apdus) > 1 or isinstance(error, PROOFS)
    return Step.LOGIN if proving else Step.ASSOCIATE
