"""What commands on this machine may ask of a daemon that runs: verbs of its local socket."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.about import ABOUT, TIME, About, Ticking
from gateway.buffer import Buffer
from gateway.carry import summary
from gateway.clock import GatewayClock
from gateway.faults import NotEnrolled, NotOfDaemon
from gateway.guests import Guests
from gateway.handed import ANSWERED, VERB, fault
from gateway.link import Link
from gateway.local import Verb
from gateway.writer import Writer
from protocols.errors import PlombaError
from protocols.uplink import limits
from protocols.uplink.pack import Fields, Wire


class Answers:
    """The daemon's side; `guests` are the questions of each device's bus; `link` is None until it is enrolled."""

    def __init__(
        self, buffer: Buffer, writer: Writer, clock: GatewayClock, about: About, guests: Mapping[str, Guests]
    ) -> None:
        self._buffer, self._writer, self._clock, self._me, self._guests = buffer, writer, clock, about, guests
        self.link: Link | None = None

    def verbs(self) -> Mapping[str, Verb]:
        """By name."""
        return {"settle": self._settle, "hear": self._hear, ABOUT: self._about, TIME: self._time, VERB: self._meter}

    async def _settle(self, arguments: list[Wire]) -> Wire:
        """Make durable what is visible in the buffer's file: only then may it be carried away."""
        await self._writer.do(self._buffer.settle_log)
        return None

    async def _hear(self, arguments: list[Wire]) -> Wire:
        """Take over an acknowledgement that a person carried here; what it changed."""
        if self.link is None:
            raise NotEnrolled("an accepted trust document", "none yet", "the daemon")
        heard = await self.link.hear(Fields(arguments, "question", 1).octets("packet", limit=limits.PACKET))
        if isinstance(heard, PlombaError):
            raise heard
        return summary(*heard)

    async def _about(self, arguments: list[Wire]) -> Wire:
        """Which program runs, with which configuration."""
        return self._me.to_wire()

    async def _time(self, arguments: list[Wire]) -> Wire:
        """The clock that readings are stamped with, and its latest jumps."""
        return Ticking.of(self._clock).to_wire()

    async def _meter(self, arguments: list[Wire]) -> Wire:
        """What a meter answers to a command, or the fault that it met."""
        device = Fields(arguments, "question", 1).text("meter")
        try:
            if device not in self._guests:
                raise NotOfDaemon(
                    "a meter that the daemon reads", f"{device!r}, which it does not", "its configuration"
                )
            return [ANSWERED, await self._guests[device].ask(device, arguments[1:])]
        except PlombaError as error:
            return fault(error)
