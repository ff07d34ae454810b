"""Drives the opening of an optical port in mode E on a line whose speed can be changed."""

from __future__ import annotations

import asyncio
from typing import Protocol, runtime_checkable

from protocols.dlms.opening import Failed, Opened, Opening, Send, Switch, Wait
from protocols.errors import LinkError
from protocols.transports.exchange import ClosableLine


class NoSpeed(LinkError):  # noqa: N818 - named after what happened
    """The line has one speed: it cannot be opened in mode E."""

    code = "PLB-L108"
    do = "write port with the path of a serial port: mode E changes its speed"


@runtime_checkable
class SpeedLine(ClosableLine, Protocol):
    """A line whose speed can be set."""

    async def set_speed(self, baud: int) -> None:
        """Another speed from now on, or LinkError."""


async def opened_in_mode_e(line: ClosableLine, opening: Opening) -> Opened:
    """Open the optical port; HDLC may begin when this is done.

    Raises:
        LinkError: the line is gone, or has one speed.
        MeterError: the meter is silent, or does not know mode E.
    """
    if not isinstance(line, SpeedLine):
        raise NoSpeed("a line whose speed can be set", type(line).__name__, "optical port")
    line.flush_input()
    while True:
        match step := opening.next():
            case Send():
                await line.write(step.octets)
            case Wait():
                octets = await line.read_some(step.timeout_ms / 1000)
                if octets:
                    opening.received(octets)
                else:
                    opening.silent()
            case Switch():
                await asyncio.sleep(step.before_ms / 1000)
                await line.set_speed(step.baud)
                line.flush_input()
                opening.was_set()
            case Opened():
                await asyncio.sleep(step.quiet_ms / 1000)
                return step
            case Failed():
                raise step.error
