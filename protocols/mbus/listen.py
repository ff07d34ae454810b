"""All that is on the line behind one question, until it falls silent: for who must know whether several answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from protocols.errors import MeterError
from protocols.mbus.faults import Babble
from protocols.mbus.link import MAX_NOISE, Echo, Frame, FrameReader, Kind
from protocols.mbus.session import MAX_FOREIGN, Failed, Send, Wait
from protocols.mbus.timing import Timing

QUIET_MS = 500  # nothing is asked: what comes now is noise
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


class Search(ABC):
    """One question after the other, after a moment in which nothing is asked: take `next()`, do it, report.

    It ends with None or `Failed`. A subclass says what is asked, and what follows from what was heard. `found` and
    `unresolved` (sentences) grow.
    """

    found: Sequence[object]

    def __init__(self, timing: Timing, expected: int | None) -> None:
        self.expected = expected
        self.unresolved: list[str] = []
        self.unasked = 0  # bytes before the first question
        self._timing = timing
        self._quiet = True
        self._ended = False
        self._listener: Listener | None = None
        self._error: MeterError | None = None

    def next(self) -> Send | Wait | Failed | None:
        """What to do now; None when all is done."""
        if self._error is not None:
            return Failed(self._error)
        if self._ended:
            return None
        if self._quiet:
            return Wait(QUIET_MS)
        if self._listener is None:
            self._listener = self._ask()
        return self._listener.next()

    def bear(self, timing: Timing) -> None:
        """Wait as long as a line needs that is known only now; between two questions."""
        self._timing = timing

    @property
    def between(self) -> bool:
        """Whether no question is under way: the moment to stop, or to show progress."""
        return self._listener is None

    @property
    def missing(self) -> int:
        """How many of the expected meters were not found."""
        return max(0, (self.expected or 0) - len(self.found))

    def received(self, octets: bytes) -> None:
        """These bytes came, in whatever pieces."""
        if self._quiet:
            self.unasked += len(octets)
            if self.unasked > MAX_NOISE:
                self._error = Babble("silence before the first question", f"{self.unasked} bytes", "search")
        elif self._listener is not None:
            self._listener.received(octets)
            self._hear()

    def timed_out(self) -> None:
        """Nothing came within the wait, or the deadline has passed."""
        if self._quiet:
            self._quiet = False
        elif self._listener is not None:
            self._listener.timed_out()
            self._hear()

    def _told(self, places: str, noisy: int, echo: int, foreign: int) -> list[str]:
        """What every search says behind its own sentences; `places` are what it asks, `noisy` of them were silent."""
        told = []
        if noisy or self.unasked:
            told.append(f"noise: {places} with stray bytes and then silence: {noisy}; bytes unasked: {self.unasked}")
        if echo:
            told.append("echo: the converter hears its own questions")
        if foreign:
            told.append(f"late: answers of meters that were not asked: {foreign}; none was taken")
        told += self.unresolved
        if self.missing:
            told.append(f"missing: {self.missing} of {self.expected} expected meters")
        return told

    def _hear(self) -> None:
        if self._listener is not None and (heard := self._listener.heard) is not None:
            self._listener = None
            self._judge(heard)

    @abstractmethod
    def _ask(self) -> Listener:
        """The next question."""

    @abstractmethod
    def _judge(self, heard: Heard) -> None:
        """What followed the question; sets `_ended` or `_error` where it was the last."""
