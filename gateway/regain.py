"""Rows of a profile for a command, over a line that loses answers: the meter is entered again where it broke off.

Rules. Only what was lost or damaged on the way is asked for again; what a meter refuses stays refused. A login that did
not come to its end is not tried again: a secret may have been shown and refused, and meters lock. A meter that let this
program in before is entered again. Between two tries there is a pause, longer each time; rows that come begin the count
anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from gateway import excerpt
from gateway.desk import Asked, Desk, lets_no_secret_out, names_of
from gateway.excerpt import Profile, Wish
from gateway.handed_dlms import ThroughDesk
from protocols.dlms.faults import BadChecksum, CutShort, FrameRejected, LinkEnded, NoAnswer, StreamEnded
from protocols.dlms.profile import Row
from protocols.errors import AnotherMeter, LinkError, MeterError
from protocols.transports.dlms import Asking

PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # before each further try: about what a meter takes to forget an association
LOST = (LinkError, NoAnswer, LinkEnded, BadChecksum, FrameRejected, StreamEnded, CutShort)
Say = Callable[[LinkError | MeterError, str], None]


@dataclass(slots=True)
class Regained:
    """The rows that are wished for, of the meter of a desk; `say` is told of each try and of what made it necessary.

    `profile` is what was found, None before that; `rest` what is still to be read, None where nothing is.
    """

    asked: Asked
    desk: Desk | ThroughDesk
    name: bytes
    rest: Wish | None
    compressed: bool
    say: Say
    profile: Profile | None = None
    failed: int = 0  # tries since rows came
    entered: bool = False

    async def parts(self) -> AsyncIterator[tuple[Profile, tuple[Row, ...]]]:
        """The profile and its rows, oldest first, in parts; an empty one says that it was found.

        Raises:
            MeterError, LinkError: no usable answer, or none after so many tries.
            AnotherMeter: who answers a further try is not who answered before.
        """
        while self.rest is not None:
            try:
                async with self.desk.associated() as association:
                    self.entered = True
                    found = await self._found(association)
                    yield found, ()
                    async for shown, rest in excerpt.parts(association, found, self.rest):
                        self.rest, self.failed = rest, 0
                        yield found, shown
            except LOST as error:
                if self.failed == len(PAUSES_S) or not (self.entered or self._is_harmless(error)):
                    raise
                self.failed += 1
                self.say(error, f"try {self.failed + 1} of {len(PAUSES_S) + 1}{self._from()}")
                await asyncio.sleep(PAUSES_S[self.failed - 1])

    async def _found(self, association: Asking) -> Profile:
        if self.profile is None:
            self.profile = await excerpt.begun(association, self.name, self.compressed)
            return self.profile
        who, before = await names_of(association), self.profile.meter
        if who != before:
            raise AnotherMeter(_shown(before), _shown(who), self.asked.place.at)
        return self.profile

    def _is_harmless(self, error: LinkError | MeterError) -> bool:
        """Whether no secret was shown in the try that failed; a line that cannot be opened is no lost answer."""
        return isinstance(error, MeterError) and lets_no_secret_out(self.asked.access, error)

    def _from(self) -> str:
        first = None if self.rest is None else self.rest.first
        return f", from {first}" if first is not None else ""


def _shown(who: tuple[str | None, str | None]) -> str:
    return " ".join(each for each in who if each) or "no name"
