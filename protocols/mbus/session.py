"""The master's read of one meter: a state machine without I/O.

A `Route` says how the meter is reached: its table is the protocol, and its questions are what is sent in each state.
`primary` is the way to a primary address: SND_NKE where the meter's frame count is not known, REQ_UD2 with the frame
count bit, further REQ_UD2 while the meter says that more records follow. The way to a secondary address is
`select.selected`. Rules:

* The frame count bit (FCB) of a meter toggles only after a good answer; a repetition bears the same FCB, so that the
  meter repeats the same telegram. A session that failed makes the next one begin with SND_NKE: otherwise the meter
  would repeat the telegram of this poll as the answer to that one.
* Own bytes that come back (an echo) are taken off the front of what is received.
* A good frame of another address is discarded and counted, never taken; what is damaged is judged when the line is
  silent, and asked for again.
* A telegram that equals the last one of this meter to the byte is a late repetition of the previous poll, or comes from
  a meter that counts nothing. It is taken only when asking again gives the same; of a meter that has once been found
  not to count its answers, already when nothing else comes within another first-byte timeout.
* Of a meter that was seen to count, asking again proves nothing: the line may hold back several copies, and a meter
  whose frame count is out of step repeats itself. But the telegram may be new: some meters refresh theirs less often
  than they are read, or count anew from SND_NKE. It is taken only as the answer to the first question behind a SND_NKE
  that was acknowledged in this session: a line keeps the order, so copies come in front of the E5, and a meter that was
  reset has no frame count left to repeat itself by. A session that did not begin so is begun anew with SND_NKE, once,
  after two questions (one, where the telegram before was taken so). What is not taken is `OldTelegram`.
* What was seen of a meter is forgotten when another identity answers in its place.
* Of an answer in several telegrams each is taken once. One that is there already - its records equal to the byte, or,
  once a question was repeated, the same registers - is a late copy, or comes from a meter that ignores the FCB: it is
  not taken, and the next one is asked for again. Where only such ones come, or one may have been lost for good (the
  first came only when asked again, the access number jumps), the answer is begun anew, once. What then still repeats
  its records has no more to say: what is there is the answer, whose last telegram says that it is not whole.
* After an answer in several telegrams the meter is reset: many stay at the last one until then.
* Everything is bounded: repetitions, noise, foreign frames, telegrams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from protocols.errors import MeterError
from protocols.mbus import link, telegram
from protocols.mbus.faults import Babble, NoAnswer, OldTelegram, TelegramLost
from protocols.mbus.link import Echo, Frame, FrameReader, Kind
from protocols.mbus.pymeterbus import req_ud2, snd_nke
from protocols.mbus.timing import Timing
from protocols.reading import Identity

MAX_TELEGRAMS = 16  # of one answer: the longest log seen takes 9
MAX_FOREIGN = 8  # good frames of other meters in one session, before the line is called babbling
RETRIES = 2  # EN 13757-2: a question is repeated up to twice


class State(Enum):
    """Where the session stands."""

    FIND = auto()  # a selection is due or sent, only so that SND_NKE is answered
    RESET = auto()  # SND_NKE is due or sent
    SELECT = auto()  # a selection is due or sent
    ORDER = auto()  # a service is due or sent (`services`)
    ASK = auto()  # REQ_UD2 is due or sent
    RELEASE = auto()  # the answer is there; a deselection is due or sent
    DONE = auto()
    FAILED = auto()


class Event(Enum):
    """What happened on the line."""

    ACK = auto()
    LAST = auto()  # a good answer, nothing follows
    MORE = auto()  # a good answer, more records follow
    NOTHING = auto()  # silence or damage, and repetitions are left
    CIRCLE = auto()  # an old telegram, one that is there already, or one that was lost: from the first one again
    GIVEN_UP = auto()  # silence or damage, and no repetition is left
    FLOODED = auto()  # more bytes or foreign frames than any answer has


Steps = Mapping[tuple[State, Event], State]
STEPS: Steps = {
    (State.RESET, Event.ACK): State.ASK,
    (State.RESET, Event.NOTHING): State.RESET,
    (State.RESET, Event.GIVEN_UP): State.FAILED,
    (State.RESET, Event.FLOODED): State.FAILED,
    (State.ASK, Event.LAST): State.DONE,
    (State.ASK, Event.MORE): State.ASK,
    (State.ASK, Event.NOTHING): State.ASK,
    (State.ASK, Event.CIRCLE): State.RESET,
    (State.ASK, Event.GIVEN_UP): State.FAILED,
    (State.ASK, Event.FLOODED): State.FAILED,
}
# A late long answer is recognised before E5 too, and discarded: an E5 among its bytes acknowledges nothing.
ACKNOWLEDGED = frozenset({Kind.ACK, Kind.LONG})
ANSWERED = frozenset({Kind.LONG})


@dataclass(frozen=True, slots=True)
class Route:
    """How a meter is reached.

    Args:
        name: of the address, for messages.
        address: where REQ_UD2 goes.
        steps: the protocol.
        first: where a session begins when the meter's frame count is known.
        reset: where it begins when it is not.
        questions: what is sent in the states that want an acknowledgement.
        check: refuses, with a MeterError, what is not an answer of this meter.
    """

    name: str
    address: int
    steps: Steps
    first: State
    reset: State
    questions: Mapping[State, bytes]
    check: Callable[[Frame], None]


def primary(address: int) -> Route:
    """The way to the meter at a primary address."""
    return Route(
        f"address {address}",
        address,
        STEPS,
        State.ASK,
        State.RESET,
        {State.RESET: snd_nke(address)},
        lambda frame: link.check_reply(frame, address),
    )


@dataclass(slots=True)
class SlaveState:
    """What the master remembers of one meter between sessions; keep one for each address of a bus."""

    reset_due: bool = True
    fcb: bool = True
    last: bytes = b""  # the last telegram taken
    access: int | None = None  # its access number
    who: Identity | None = None  # who answered last, as far as telegrams say it
    counts: bool = True  # its telegrams differ, as far as is known
    proven: bool = False  # ... and as was seen: an equal telegram is a new answer only right behind a reset
    several: bool = False  # its answers are several telegrams, as was seen
    circles: bool = False  # it says that more follows and repeats itself, as was seen

    def meet(self, who: Identity | None) -> None:
        """Forget what was seen where it was another meter's; None: the telegram does not say whose it is."""
        if None not in (who, self.who) and who != self.who:
            self.access, self.counts = None, True
            self.proven = self.several = self.circles = False
        self.who = who or self.who


@dataclass(frozen=True, slots=True)
class Send:
    """Empty the input, then write `octets`; the whole answer must be there after `deadline_ms`."""

    octets: bytes
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Hand over what comes within `timeout_ms`, or say that nothing came."""

    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Done:
    """The frames of the meter's answer, whole and checked, in order."""

    telegrams: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The read ended without an answer, for this reason."""

    error: MeterError


class ReadSession:
    """Reads one meter once: take `next()`, do it, report with `received` or `timed_out`, until `Done` or `Failed`.

    `retries`, `foreign` and `damaged` count what happened on the way.
    """

    def __init__(self, way: int | Route, slave: SlaveState, timing: Timing, retries: int = RETRIES) -> None:
        """`way` is a primary address, or how else the meter is reached."""
        self.route = way if isinstance(way, Route) else primary(way)
        self.telegrams: list[Frame] = []
        self.retries = self.foreign = self.damaged = 0
        self._slave, self._timing, self._allowed = slave, timing, retries
        self._state = self.route.reset if slave.reset_due else self.route.first
        self._left = retries
        self._error: MeterError | None = None
        self._last: MeterError | None = None
        self._question = b""
        self._echo = Echo(b"")
        self._doubtful: Frame | None = None  # equals the last telegram of this meter
        self._repeating = self._copied = False  # a telegram came that is there already, or perhaps is
        self._again = False  # a question of this answer was repeated: late copies may come
        self._anew = False  # the answer was begun anew
        self._old = 0  # how often the telegram of before came, of a meter that counts
        self._renewed = slave.reset_due  # SND_NKE was sent, or is to be
        self._fresh = False  # ... and acknowledged, and nothing was taken since
        self._reader = FrameReader(ANSWERED)

    def next(self) -> Send | Wait | Done | Failed:
        """What to do now."""
        if self._state is State.DONE:
            return Done(tuple(self.telegrams))
        if self._error is not None:
            return Failed(self._error)
        if not self._question:
            return self._ask()
        if self._reader.inside:
            return Wait(self._timing.between_ms())
        return Wait(self._timing.first_byte_ms(len(self._question)))

    def received(self, octets: bytes) -> None:
        """These bytes came, in whatever pieces."""
        if not self._question:  # nothing was asked: what comes now belongs to nobody
            return
        try:
            self._judge(self._reader.feed(self._echo.off(octets)))
        except Babble as error:
            self._end(Event.FLOODED, error)

    def timed_out(self) -> None:
        """Nothing came within the wait, or the deadline has passed."""
        if not self._question:
            return
        try:
            self._judge(self._reader.finish())
        except Babble as error:
            self._end(Event.FLOODED, error)
        if self._question:
            self._settle()

    def _settle(self) -> None:
        """Silence: take what was doubtful where nothing else came, else ask again."""
        slave, whole = self._slave, self._reader.fault() is None
        if self._doubtful is not None and whole and slave.proven and not self._fresh:
            self._renew()
        elif self._doubtful is not None and whole and (self._fresh or not slave.counts or self._left == 0):
            self._accept(self._doubtful)
        elif self._repeating and (slave.circles or self._left == 0):
            self._circle()
        elif self._copied and self._left == 0:
            self._lose()
        else:
            self._repeat()

    def _renew(self) -> None:
        """The telegram of before, of a meter that counts: ask again, then behind a reset."""
        self._old += 1
        if self._slave.counts and self._old == 1:
            self._repeat()
        elif self._renewed or self.telegrams:
            self._end(Event.GIVEN_UP, self._nothing_new())
        else:
            self._renewed, self._again = True, False
            self._step(Event.CIRCLE)

    def _ask(self) -> Send:
        route, asking = self.route, self._state is State.ASK
        self._question = req_ud2(route.address, self._slave.fcb) if asking else route.questions[self._state]
        self._echo = Echo(self._question)
        self._doubtful, self._repeating, self._copied = None, False, False
        self._reader = FrameReader(ANSWERED if asking else ACKNOWLEDGED)
        return Send(self._question, self._timing.answered_ms(len(self._question)))

    def _judge(self, frames: list[Frame]) -> None:
        for frame in frames:
            if not self._question:
                return  # the answer is complete; what follows it is emptied before the next question
            if self._state is State.ASK:
                self._take(frame)
            elif frame.kind is Kind.ACK:
                if self._state is State.RESET:
                    self._slave.reset_due, self._slave.fcb, self._fresh = False, True, True
                self._step(Event.ACK)
            else:
                self._discard(None)

    def _discard(self, reason: MeterError | None) -> None:
        """A good frame that answers nothing that was asked."""
        self._last = reason
        self.foreign += 1
        if self.foreign > MAX_FOREIGN:
            raise Babble(f"at most {MAX_FOREIGN} frames of others", "more", "session")

    def _take(self, frame: Frame) -> None:
        try:
            self.route.check(frame)
        except MeterError as error:
            self._discard(error)
            return
        if any(_records(each) == _records(frame) != b"" for each in self.telegrams):
            self._repeating = True
        elif self._again and any(_registers(each) == _registers(frame) != () for each in self.telegrams):
            self._copied = True
        elif self._left < self._allowed and self._may_skip(frame):
            self._lose()
        elif frame.octets == self._slave.last:
            self._doubtful = frame
        else:
            self._accept(frame)

    def _accept(self, frame: Frame) -> None:
        access, more = _announced(frame)
        slave = self._slave
        slave.meet(_who(frame))
        slave.proven |= None not in (access, slave.access) and access != slave.access
        slave.counts = frame is not self._doubtful and (slave.counts or access != slave.access)
        slave.last, slave.access = frame.octets, access
        slave.fcb, self._fresh = not slave.fcb, False
        self.telegrams.append(frame)
        slave.several |= more
        slave.circles &= more
        slave.reset_due = len(self.telegrams) > 1
        more = more and len(self.telegrams) < MAX_TELEGRAMS  # the rest is not read
        self._step(Event.MORE if more else Event.LAST)

    def _circle(self) -> None:
        """The meter repeats itself: from the first telegram again, or, where that was in vain, no more than it said."""
        if self._anew or self._slave.circles:
            self._slave.circles = self._slave.reset_due = True
            self._step(Event.LAST)
        else:
            self._begin_anew()

    def _may_skip(self, frame: Frame) -> bool:
        """Whether a meter that ignores the FCB may have sent the telegram that was asked for before, in vain.

        Of one that was never read it is not known whether its answer is several telegrams, unless this one says so.
        """
        access, more = _announced(frame)
        if not self.telegrams:
            return more or self._slave.several
        last = self._slave.access
        return last is not None and access is not None and (access - last) % 256 > 1

    def _lose(self) -> None:
        """A telegram was sent and did not arrive, and this meter may send it no second time."""
        if not self._anew:
            self._begin_anew()
            return
        got = "one that was there, or perhaps a later one"
        self._end(Event.GIVEN_UP, TelegramLost("the next telegram of the answer", got, self.route.name))

    def _begin_anew(self) -> None:
        self.telegrams.clear()
        self._anew, self._again, self._slave.last = True, False, b""
        self._step(Event.CIRCLE)

    def _repeat(self) -> None:
        fault = self._reader.fault()
        if fault is not None:
            self.damaged += 1
        self._last = fault or self._last
        if self._left == 0 or self._state is State.RELEASE:  # the next selection deselects as well
            self._end(Event.GIVEN_UP, self._last or self._nothing_new())
            return
        self._left -= 1
        self.retries += 1
        self._again |= self._state is State.ASK
        self._state = self.route.steps[self._state, Event.NOTHING]
        self._question = b""

    def _nothing_new(self) -> MeterError:
        if self._old:
            got = "the one of the read before once more"
            if not self._fresh:
                got += ", and no acknowledgement of a reset"
            return OldTelegram("a new telegram", got, self.route.name)
        return NoAnswer("an answer", f"silence, asked {self._allowed + 1} times", self.route.name)

    def _step(self, event: Event) -> None:
        self._state = self.route.steps[self._state, event]
        self._question = b""
        self._left, self._last = self._allowed, None

    def _end(self, event: Event, error: MeterError) -> None:
        self._step(event)
        if self._state is State.FAILED:
            self._slave.reset_due = True
            self._error = error


def _announced(frame: Frame) -> tuple[int | None, bool]:
    """The access number, and whether another telegram follows; what does not decode announces nothing."""
    try:
        answer = telegram.recall(frame)
    except MeterError:
        return None, False
    return answer.access, answer.more


def _who(frame: Frame) -> Identity | None:
    """Whose telegram it is; None where it does not say so, or does not decode."""
    try:
        identity = telegram.recall(frame).identity
    except MeterError:
        return None
    return None if identity.id is None else identity


def _records(frame: Frame) -> bytes:
    return frame.body[telegram.header_size(frame) :]


def _registers(frame: Frame) -> tuple[object, ...]:
    """Which registers a telegram shows, in order; nothing where it does not decode."""
    try:
        return tuple((record.info, record.vib) for record in telegram.recall(frame).records)
    except MeterError:
        return ()
