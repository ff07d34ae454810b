"""The client's side of an association: a state machine without I/O.

The tables of `states` are the protocol: a link where the framing has one, AARQ and AARE, GET with as many blocks as it
takes, RLRQ and RLRE, and the link's end. Rules:

* One question at a time. Its answer is told by invoke-id and block number (below: by wPort, or address and N(S)/N(R)):
  what does not match is discarded and counted, never taken.
* An answer that refuses leaves the association as it is; silence on a link, or a meter that ends it, ends the session.
  Over the wrapper, where nothing is repeated, another question may follow silence: its invoke-id is another.
* A ciphered association is carried by a shield around the carrier: what is judged here was opened there.
* Everything is bounded: repetitions, turns, blocks, bytes, foreign answers.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from protocols.dlms import action as acting
from protocols.dlms import data as axdr
from protocols.dlms import set as setting
from protocols.dlms import table
from protocols.dlms.access import Access, Framing
from protocols.dlms.action import Acted, ActedBlock, ActionNext, ActionNormal, ActionRefused, ActionTaken, Method
from protocols.dlms.apdu import (
    TAGS,
    Answer,
    ConfirmedServiceError,
    ExceptionResponse,
    Released,
    answer_from_bytes,
    not_supported,
)
from protocols.dlms.association import AssociationResponse
from protocols.dlms.breaches import CountersSpent
from protocols.dlms.carrier import Apdu, Foreign, Heard, Linked, Lost, Part, Reply, Unlinked, carrier
from protocols.dlms.counters import Block as CounterBlock
from protocols.dlms.counters import Counters
from protocols.dlms.data import Data
from protocols.dlms.datablock import DataBlock
from protocols.dlms.entry import Entry, Random
from protocols.dlms.faults import (
    Babble,
    LinkEnded,
    Malformed,
    NoAnswer,
    StreamEnded,
    TooMuch,
    Unexpected,
    WrongBlock,
    WrongInvokeId,
)
from protocols.dlms.get import (
    Block,
    GetList,
    GetNext,
    GetNormal,
    Got,
    GotList,
    Refused,
    Result,
    Selection,
    invoke_of,
    results_from_bytes,
)
from protocols.dlms.initiate import ACTING, OURS, Conformance, InitiateResponse
from protocols.dlms.objects import Attribute
from protocols.dlms.set import BlockTaken, Set, SetResults
from protocols.dlms.states import ANSWERS, STEPS, Event, State
from protocols.dlms.table import Table
from protocols.errors import MeterError

TIMEOUT_MS = 5_000  # for one answer, repetitions included
MAX_FOREIGN = 16  # answers to nothing that was asked, between two of our own frames, before it is called babbling
MAX_TURNS = 1_024  # frames that only ask for more, in one answer: 64 KB in frames of 64 bytes
MAX_BLOCKS = 16_384  # of one answer
MAX_BYTES = 4 * 1024 * 1024  # of one answer: a year of quarter-hours with eight columns takes 2 MB
INVOKE_IDS = 16
# Which answers count for which question; errors always do.
ERRORS: tuple[type[Answer], ...] = (ExceptionResponse, ConfirmedServiceError)
GET_ANSWERS: tuple[type[Answer], ...] = (Got, Refused, Block)
LIST_ANSWERS: tuple[type[Answer], ...] = (GotList, Refused, Block)
SET_ANSWERS: tuple[type[Answer], ...] = (Set, BlockTaken)
SET_LIST_ANSWERS: tuple[type[Answer], ...] = (SetResults, Set, BlockTaken)
ACTION_ANSWERS: tuple[type[Answer], ...] = (Acted, ActionRefused, ActedBlock, ActionTaken)


@dataclass(frozen=True, slots=True)
class Send:
    """Write `octets`; the answer must be there within `timeout_ms` (they may hold a password: they are not shown)."""

    octets: bytes = field(repr=False)
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Hand over what comes until the timeout of the last `Send`, or say that it has passed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was begun is done; of a `get`: its value, and the APDUs of the answer as received, one after the other.

    Of a `get_list`: the results in the order of the question, each the data or the number that refuses them. Of a
    `set_list`: these numbers, 0 for what is set.
    """

    value: Data | Table | None = None
    octets: bytes = b""
    results: tuple[Result, ...] = ()

    @property
    def data(self) -> Data | None:
        """The value as data."""
        return self.value.data() if isinstance(self.value, Table) else self.value


@dataclass(frozen=True, slots=True)
class Failed:
    """What was begun ended for this reason."""

    error: MeterError


@dataclass(slots=True)
class Question:
    """One GET, SET or ACTION on its way: what was asked, which answers count (empty: all of the state), what came.

    `wanted` is how many results a list has; `pieces` are the APDUs of the question, of which `sent` are on their way.
    """

    attribute: Attribute
    invoke: int
    answers: tuple[type[Answer], ...] = ()
    wanted: int = 0
    pieces: tuple[bytes, ...] = ()
    sent: int = 1
    blocks: int = 0
    encoded: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Session:
    """One association with one meter: begin with `associate`, `get` or `release`, then take `next()` and do it.

    Report with `received`, `timed_out` or `closed` until `next()` is `Done` or `Failed`; then begin the next thing.
    `foreign` and `retries` count what happened on the way; `parts` the frames of an answer behind which the next one
    follows without being asked for: the timeout counts from each of them. A ciphered association takes its invocation
    counters from `counters`; where none is left what is begun raises CountersSpent.
    """

    def __init__(
        self,
        access: Access,
        framing: Framing,
        timeout_ms: int = TIMEOUT_MS,
        counters: Counters | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        self.foreign = self.retries = self.parts = 0
        self._entry = Entry(access, counters or CounterBlock(), random)
        self._carrier = self._entry.carried(carrier(framing, access))
        self._timeout_ms = max(1, timeout_ms // self._carrier.tries)
        self._state = State.IDLE
        self._invoke = 0
        self._question: Question | None = None
        self._outgoing = b""
        self._result: Done | Failed | None = None
        self._left = self._turns = self._strangers = 0
        self._why: MeterError | None = None  # the last reason why something was discarded
        self.conformance = Conformance.GET  # what both sides can
        self._max_pdu = 0  # bytes of an APDU that the meter takes; 0: as many as come

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def counter_seen(self) -> int | None:
        """The highest invocation counter of the meter's that came under its global key."""
        return None if self._entry.protection is None else self._entry.protection.seen

    @property
    def inside(self) -> bool:
        """Whether an answer has begun that is not whole yet: its bytes follow each other closely."""
        return self._carrier.inside

    def paused(self) -> None:
        """The bytes of an answer stopped in its middle: what looked like its beginning was none."""
        self._hear(self._carrier.silence())

    def associate(self) -> None:
        """Begin: the link, then the association."""
        self._begin(Event.ASSOCIATE)
        self._transmit(self._carrier.connect())
        if not self._outgoing:
            self._linked()

    def get(self, attribute: Attribute, selection: Selection | None = None) -> None:
        """Begin to read an attribute; a session that is not associated fails at once."""
        invoke = self._next_invoke()
        asked = GetNormal(invoke, attribute, selection).to_bytes()
        self._ask(Question(attribute, invoke, GET_ANSWERS, pieces=(asked,)))

    def get_list(self, attributes: tuple[Attribute, ...]) -> None:
        """Begin to read several attributes with one question, of a meter that takes such (`conformance`)."""
        invoke = self._next_invoke()
        asked = GetList(invoke, attributes).to_bytes()
        self._ask(Question(attributes[0], invoke, LIST_ANSWERS, wanted=len(attributes), pieces=(asked,)))

    def set(self, attribute: Attribute, value: Data) -> None:
        """Begin to set an attribute, in as many blocks as the meter's longest APDU makes necessary."""
        invoke = self._next_invoke()
        pieces = setting.split(attribute, value, invoke, self._max_pdu)
        self._ask(Question(attribute, invoke, SET_ANSWERS, pieces=tuple(pieces)))

    def set_list(self, attributes: tuple[Attribute, ...], values: tuple[Data, ...]) -> None:
        """Begin to set several attributes with one question, of a meter that takes such (`conformance`)."""
        invoke = self._next_invoke()
        pieces = setting.split_list(attributes, values, invoke, self._max_pdu)
        self._ask(Question(attributes[0], invoke, SET_LIST_ANSWERS, len(attributes), tuple(pieces)))

    def act(self, method: Method, parameter: Data | None = None) -> None:
        """Begin an action, in blocks where the meter takes such and its longest APDU makes them necessary.

        What it gives back, if anything, is the data of `Done`.
        """
        invoke = self._next_invoke()
        longest = self._max_pdu if self.conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION else 0
        pieces = acting.split(method, parameter, invoke, longest)
        named = Attribute(method.class_id, method.name, method.number)
        self._ask(Question(named, invoke, ACTION_ANSWERS, pieces=tuple(pieces)))

    def release(self) -> None:
        """Begin to end the association, where there is one, and the link."""
        awaited = self._result is None and self._state in {State.ASKING, State.ASSOCIATING, State.PROVING}
        self._begin(Event.ABANDON if awaited and self._carrier.linked else Event.RELEASE)
        self._question = None
        if self._state is State.RELEASING:
            self._ask_release()
        else:
            self._unlink()

    def _ask_release(self) -> None:
        """RLRQ; where no counter is left to seal it with the end of the link is that of the association."""
        try:
            self._transmit(self._carrier.send(self._entry.release()))
        except CountersSpent:
            self._state = STEPS[self._state, Event.SILENCE]
            self._unlink()

    def next(self) -> Send | Wait | Done | Failed:
        """What to do now."""
        if self._result is not None:
            return self._result
        if self._outgoing:
            octets, self._outgoing = self._outgoing, b""
            return Send(octets, self._timeout_ms)
        return Wait()

    def received(self, octets: bytes) -> None:
        """These bytes came, in whatever pieces."""
        self._hear(self._carrier.feed(octets))

    def timed_out(self) -> None:
        """The timeout of the last `Send` has passed."""
        before = self._turns, self._state, self._result
        self._hear(self._carrier.silence())
        if self._result is not None or self._outgoing or before != (self._turns, self._state, self._result):
            return
        if self._left > 0:
            self._left -= 1
            self.retries += 1
            self._outgoing = self._carrier.again()
            return
        silent = NoAnswer("an answer", "none in time", self._where())
        self._silent(self._why or self._carrier.fault() or silent)

    def closed(self) -> None:
        """The stream has ended."""
        self._lose(StreamEnded("an answer", "the end of the stream", self._where()))

    def _next_invoke(self) -> int:
        return (self._invoke + 1) % INVOKE_IDS

    def _ask(self, question: Question) -> None:
        if self._state is not State.ASSOCIATED:
            got = f"none ({self._state.name.lower()})"
            self._result = Failed(LinkEnded("an association", got, str(question.attribute)))
            return
        self._begin(Event.GET)
        self._invoke, self._question = question.invoke, question
        self._transmit(self._carrier.send(question.pieces[0]))

    def _begin(self, event: Event) -> None:
        self._state = STEPS[self._state, event]
        self._result = None

    def _transmit(self, octets: bytes) -> None:
        """Something new is asked: it has its own repetitions."""
        self._outgoing = octets
        self._left, self._turns = self._carrier.tries - 1, 0
        self._strangers, self._why = 0, None

    def _hear(self, heard: list[Heard]) -> None:
        for each in heard:
            if self._result is not None:
                return  # nothing is asked: what comes now belongs to nobody
            match each:
                case Linked():
                    self._linked()
                case Unlinked():
                    self._end()
                case Apdu(octets):
                    self._judge(octets)
                case Reply(octets):
                    self._go_on(octets)
                case Part():
                    self.parts += 1
                    self._left, self._strangers = self._carrier.tries - 1, 0
                case Foreign(error):
                    self._discard(error)
                case Lost(error):
                    self._lose(error)

    def _linked(self) -> None:
        self._state = STEPS[self._state, Event.LINKED]
        self._transmit(self._carrier.send(self._entry.request().to_bytes()))

    def _unlink(self) -> None:
        self._transmit(self._carrier.disconnect())
        if not self._outgoing:
            self._end()

    def _end(self) -> None:
        self._state = STEPS[self._state, Event.UNLINKED]
        self._result = Done()

    def _go_on(self, octets: bytes) -> None:
        self._turns += 1
        if self._turns > MAX_TURNS:
            self._lose(TooMuch(f"at most {MAX_TURNS} frames of one answer", "more", self._where()))
            return
        self._outgoing = octets
        self._left, self._strangers = self._carrier.tries - 1, 0

    def _discard(self, error: MeterError) -> None:
        self._why = error
        self.foreign += 1
        self._strangers += 1
        if self._strangers > MAX_FOREIGN:
            self._lose(Babble(f"at most {MAX_FOREIGN} answers to nothing that was asked", "more", self._where()))

    def _judge(self, octets: bytes) -> None:
        """One APDU: take it if it answers what was asked."""
        question = self._question
        invoke = invoke_of(octets)
        if invoke is not None and (question is None or invoke != question.invoke):
            asked = "none" if question is None else str(question.invoke)
            self._discard(WrongInvokeId(f"invoke-id {asked}", str(invoke), self._where()))
            return
        if octets[:1] and octets[0] not in TAGS:  # a notification in between, or a ciphered APDU: answers nothing
            self._discard(not_supported(octets))
            return
        try:
            answer = answer_from_bytes(octets)
            fits = question is None or not question.answers or isinstance(answer, (*question.answers, *ERRORS))
            if not fits or not isinstance(answer, ANSWERS.get(self._state, ())):
                self._discard(Unexpected("an answer to the question", type(answer).__name__, self._where()))
                return
            self._take(answer, octets)
        except MeterError as error:
            self._refuse(error)

    def _take(self, answer: Answer, octets: bytes) -> None:
        match answer:
            case AssociationResponse():
                proof = self._entry.answered(answer)
                self._agree(self._entry.agreed)
                self._associated(proof)
            case Acted() | ActionRefused() | ActedBlock() | ActionTaken():
                self._take_action(answer, octets)
            case Released():
                self._state = STEPS[self._state, Event.RELEASED]
                self._unlink()
            case Refused() | ExceptionResponse() | ConfirmedServiceError():
                raise answer.error(self._where())
            case Got():
                self._finish(Event.ANSWERED, Done(answer.data, octets))
            case Block():
                self._take_block(answer, octets)
            case GotList():
                self._take_list(answer.results, octets)
            case Set() | SetResults() | BlockTaken():
                self._take_set(answer, octets)

    def _agree(self, initiate: InitiateResponse | None) -> None:
        """What the meter takes; one that does not say it takes what is asked of it one by one."""
        if initiate is not None:
            self.conformance = initiate.conformance & (OURS | ACTING)
            self._max_pdu = max(1, initiate.max_pdu - self._entry.overhead) if initiate.max_pdu else 0

    def _take_action(self, answer: Acted | ActionRefused | ActedBlock | ActionTaken, octets: bytes) -> None:
        if self._state is State.PROVING and isinstance(answer, Acted | ActionRefused):
            self._entry.proven(answer)
            self._finish(Event.ACCEPTED, Done())
            return
        question = self._question
        if isinstance(answer, ActionRefused):
            raise answer.error(self._where())
        if question is None or not self._fits(question, answer.number if isinstance(answer, ActionTaken) else None):
            return
        if isinstance(answer, ActionTaken):
            self._send_next(question, octets)
        elif isinstance(answer, Acted):
            self._finish(Event.ANSWERED, Done(answer.returned, octets))
        elif self._keep(question, answer.block, octets, ActionNext(question.invoke, answer.block.number)):
            found = acting.joined(bytes(question.encoded), question.invoke)
            self._finish(Event.ANSWERED, Done(found.returned, bytes(question.received)))

    def _fits(self, question: Question, taken: int | None) -> bool:
        """Whether it is about the block that was sent last: `taken` where that was not the last one, else None."""
        last = question.sent == len(question.pieces)
        if taken == (None if last else question.sent):
            return True
        got = "the answer to all" if taken is None else str(taken)
        wanted = "the answer to all" if last else f"block {question.sent} taken"
        self._discard(WrongBlock(wanted, got, self._where()))
        return False

    def _send_next(self, question: Question, octets: bytes) -> None:
        """A block was taken: the next one."""
        question.received += octets
        question.sent += 1
        self._transmit(self._carrier.send(question.pieces[question.sent - 1]))

    def _take_list(self, results: tuple[Result, ...], octets: bytes) -> None:
        wanted = 0 if self._question is None else self._question.wanted
        if len(results) != wanted:
            raise Malformed(f"{wanted} results", str(len(results)), self._where())
        self._finish(Event.ANSWERED, Done(None, octets, results))

    def _take_set(self, answer: Set | SetResults | BlockTaken, octets: bytes) -> None:
        question = self._question
        if question is None:
            return
        if isinstance(answer, Set) and answer.result:
            raise answer.error(self._where())
        if isinstance(answer, SetResults) and any(answer.results) and question.sent < len(question.pieces):
            raise Set(answer.invoke, next(filter(None, answer.results))).error(self._where())  # it wants no more
        if not self._fits(question, answer.number if isinstance(answer, BlockTaken) else None):
            return
        if isinstance(answer, BlockTaken):
            self._send_next(question, octets)
            return
        number = question.sent if len(question.pieces) > 1 else 0
        if answer.block != number or isinstance(answer, SetResults) != bool(question.wanted):
            self._discard(WrongBlock(f"what came of block {number}", str(answer.block), self._where()))
            return
        question.received += octets
        if isinstance(answer, SetResults):
            self._take_list(answer.results, bytes(question.received))
        else:
            self._finish(Event.ANSWERED, Done(None, bytes(question.received)))

    def _associated(self, proof: bytes | None) -> None:
        """The meter accepts; with high-level authentication it wants a proof, and shall give one."""
        if proof is None:
            self._finish(Event.ACCEPTED, Done())
            return
        self._state = STEPS[self._state, Event.CHALLENGED]
        self._invoke = (self._invoke + 1) % INVOKE_IDS
        method = self._entry.method
        self._question = Question(Attribute(method.class_id, method.name, method.number), self._invoke)
        self._transmit(self._carrier.send(ActionNormal(self._invoke, method, axdr.octet_string(proof)).to_bytes()))

    def _take_block(self, block: Block, octets: bytes) -> None:
        question = self._question
        if question is None:
            return
        piece = DataBlock(block.number, block.last, block.octets)
        if block.result and block.number == question.blocks + 1:
            raise Refused(block.invoke, block.result).error(self._where())
        if not self._keep(question, piece, octets, GetNext(question.invoke, block.number)):
            return
        if question.wanted:
            self._take_list(results_from_bytes(bytes(question.encoded)), bytes(question.received))
        else:
            self._finish(Event.ANSWERED, Done(table.value(bytes(question.encoded)), bytes(question.received)))

    def _keep(self, question: Question, block: DataBlock, octets: bytes, following: GetNext | ActionNext) -> bool:
        """Keep a block of the answer; whether it is the last one. Where it is not the `following` one is asked for."""
        if block.number != question.blocks + 1:
            self._discard(WrongBlock(f"block {question.blocks + 1}", str(block.number), self._where()))
            return False
        question.blocks += 1
        question.encoded += block.octets
        question.received += octets
        if block.last:
            return True
        if question.blocks == MAX_BLOCKS or len(question.received) > MAX_BYTES or not block.octets:
            raise TooMuch(f"at most {MAX_BLOCKS} blocks, {MAX_BYTES} bytes, none empty", "more", self._where())
        self._transmit(self._carrier.send(following.to_bytes()))
        return False

    def _finish(self, event: Event, result: Done | Failed) -> None:
        self._state = STEPS[self._state, event]
        self._question, self._outgoing, self._result = None, b"", result

    def _refuse(self, error: MeterError) -> None:
        """The meter answered, but not with what was asked for."""
        if self._state is State.RELEASING:  # it is over all the same
            self._state = STEPS[self._state, Event.REFUSED]
            self._unlink()
        else:
            self._finish(Event.REFUSED, Failed(error))

    def _silent(self, error: MeterError) -> None:
        """No repetition is left: over a link, whose numbers cannot be known any more, nothing further can be asked."""
        if self._state is State.RELEASING:
            self._state = STEPS[self._state, Event.SILENCE]
            self._unlink()
        elif not self._carrier.linked and (self._state, Event.SILENCE) in STEPS:
            self._finish(Event.SILENCE, Failed(error))
        else:
            self._lose(error)

    def _lose(self, error: MeterError) -> None:
        self._state = State.ENDED
        self._question, self._outgoing, self._result = None, b"", Failed(error)

    def _where(self) -> str:
        return self._state.name.lower() if self._question is None else str(self._question.attribute)
