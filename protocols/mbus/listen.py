"""All that is on the line behind one question, until it falls silent: for who must know whether several answered."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.mbus.faults import Babble
from protocols.mbus.link import Echo, Frame, FrameReader, Kind
from protocols.mbus.session import MAX_FOREIGN, Send, Wait
from protocols.mbus.timing import Timing

KEPT = 64  # bytes: the head of a damaged answer, for what can still be read of it


@dataclass(frozen=True, slots=True)
class Heard:
    """What came: acknowledgements, long frames, bytes that belong to no frame, and the first bytes of it all."""

    acks: int = 0
    frames: tuple[Frame, ...] = ()
    noise: int = 0
    echo: bool = False
    head: bytes = b""


class Listener:
    """One question and what follows it: take `next()`, do it, report, until `heard` is there.

    An E5 counts only where an acknowledgement was asked for (`acknowledged`); elsewhere it is a byte like any other.
    """

    def __init__(self, question: bytes, acknowledged: bool, timing: Timing) -> None:
        self.heard: Heard | None = None
        self._question, self._timing = question, timing
        self._sent = False
        self._echo = Echo(question)
        self._reader = FrameReader(frozenset({Kind.ACK, Kind.LONG} if acknowledged else {Kind.LONG}))
        self._frames: list[Frame] = []
        self._head = b""

    def next(self) -> Send | Wait:
        """What to do now."""
        if not self._sent:
            self._sent = True
            return Send(self._question, self._timing.answered_ms(len(self._question)))
        if self._head:
            return Wait(self._timing.between_ms())
        return Wait(self._timing.first_byte_ms(len(self._question)))

    def received(self, octets: bytes) -> None:
        """These bytes came, in whatever pieces."""
        if self.heard is None and self._sent:
            octets = self._echo.off(octets)
            self._head += octets[: KEPT - len(self._head)]
            self._keep(octets)

    def timed_out(self) -> None:
        """Nothing came within the wait, or the deadline has passed."""
        if self.heard is None and self._sent:
            self._keep(None)
            self._end()

    def _keep(self, octets: bytes | None) -> None:
        try:
            self._frames += self._reader.finish() if octets is None else self._reader.feed(octets)
        except Babble:
            self._end()
        if len(self._frames) > MAX_FOREIGN:
            self._end()

    def _end(self) -> None:
        if self.heard is None:
            acks = sum(frame.kind is Kind.ACK for frame in self._frames)
            data = tuple(frame for frame in self._frames if frame.kind is Kind.LONG)
            self.heard = Heard(acks, data, self._reader.noise, self._echo.heard, self._head)
