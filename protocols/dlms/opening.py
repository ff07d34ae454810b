"""Mode E of IEC 62056-21 (and of the Green Book): how an optical head makes a meter speak HDLC, without I/O.

At 300 baud the meter is asked who it is; its identification names its manufacturer, the fastest speed it can, and by
the escape 2 that it knows mode E. It is told to go on in HDLC; both change their speed, and the meter may confirm that
before HDLC begins, without parity. Until then every character has seven bits and even parity: here the parity is the
eighth bit of what travels, so that the port is one of eight bits without parity all the time.

* A head that mirrors the light gives our own characters back: they are taken off before anything is judged.
* A confirmation that does not come is no fault: not every meter sends one. One of another kind is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto

from protocols.dlms.faults import Babble
from protocols.errors import MeterError

START_BAUD = 300
SPEEDS = {"0": 300, "1": 600, "2": 1_200, "3": 2_400, "4": 4_800, "5": 9_600, "6": 19_200}
MODE_B = "ABCDEFGHI"  # speeds of the mode that changes without being told to
HDLC = "2"  # the protocol, and the mode, of the acknowledgement; and the escape of the identification
ACK, NAK = b"\x06", b"\x15"
END = b"\r\n"
REACTION_MS = 1_500  # from our last character to the meter's first, at most
BETWEEN_MS = 1_500  # between two characters of a message, at most
SLACK_MS = 100  # of the converter
SETTLE_MS = 100  # after our last character at the old speed, for the converter to have sent it
QUIET_MS = 300  # before HDLC: some meters hear nothing for a moment after the change
CHARACTER_BITS = 10  # start, seven, parity, stop
TRIES = 2
MAX_NOISE = 128  # characters before an identification
MAX_MESSAGE = 64  # characters of an identification: 5, escapes, 16 of its own, the end, and some more than is allowed
SHOWN = 32
_MESSAGE = re.compile(rb"/([A-Za-z]{3})([!-\[\]-~])((?:\\[!-~])*)([^/!\\\r\n]*)\r\n")
_ADDRESS = re.compile(r"[0-9A-Za-z ]{0,32}")
_PARITY = bytes(each | (each.bit_count() & 1) << 7 for each in range(128)) * 2


class NoIdentification(MeterError):  # noqa: N818 - named after what happened on the line
    """Nothing answers the opening message at 300 baud."""

    code = "PLB-M360"
    do = (
        "check that the head sits right on the meter (its cable downwards), and opening_address; after a broken visit a"
        " meter takes up to two minutes until it hears again"
    )


class BadIdentification(MeterError):  # noqa: N818
    """What answers the opening message is no identification message."""

    code = "PLB-M361"
    do = "set the head right, shade it from strong light, and check that no other head or lamp shines on the meter"


class OtherMode(MeterError):  # noqa: N818
    """The meter knows this opening, but not mode E: no DLMS/COSEM over its optical port."""

    code = "PLB-M362"
    do = "read this meter by another interface; some meters have mode E behind a setting of their manufacturer's tool"


class OpeningRefused(MeterError):  # noqa: N818
    """The meter was told to go on in HDLC and refuses, or confirms something else."""

    code = "PLB-M363"
    do = "try again; if it stays so send the answer shown to the maintainers"


class SpeedUnknown(MeterError):  # noqa: N818
    """The identification names a speed that the standard leaves open."""

    code = "PLB-M364"
    do = "send the identification shown to the maintainers"


@dataclass(frozen=True, slots=True)
class Identification:
    """Who a meter is: three letters, speed, whether it knows mode E, and its own text.

    `quick`: it may answer within 20 ms (its third letter is small), else not before 200 ms.
    """

    manufacturer: str
    speed: str
    escapes: str
    text: str

    @property
    def quick(self) -> bool:
        """Whether its reaction time is the short one."""
        return self.manufacturer[2].islower()

    @property
    def knows_hdlc(self) -> bool:
        """Whether mode E is among what it offers."""
        return HDLC in self.escapes[1::2]

    def to_bytes(self) -> bytes:
        """The message, without parity."""
        return f"/{self.manufacturer}{self.speed}{self.escapes}{self.text}".encode("ascii") + END

    @classmethod
    def from_bytes(cls, octets: bytes) -> Identification:
        """The message in `octets` (without parity), wholly.

        Raises:
            BadIdentification: it is none.
        """
        found = _MESSAGE.fullmatch(octets)
        if found is None:
            shown = octets[:SHOWN].hex()
            raise BadIdentification("/, three letters, a speed, its text, CR and LF", shown, "identification message")
        letters, speed, escapes, text = (each.decode("latin-1") for each in found.groups())
        return cls(letters, speed, escapes, text)

    def baud(self, most: int) -> tuple[str, int]:
        """The speed for HDLC and its letter: what the meter offers, no more than `most` (one that has a letter).

        Raises:
            OtherMode: it does not know mode E.
            SpeedUnknown: no speed has this letter.
        """
        shown = f"{self.manufacturer}{self.speed}{self.escapes}{self.text}"[:SHOWN]
        if not self.knows_hdlc:
            mode = "C" if self.speed in SPEEDS else "B" if self.speed in MODE_B else "A"
            raise OtherMode("\\2 in its identification (mode E)", f"mode {mode} only: {shown!r}", "optical port")
        if self.speed not in SPEEDS:
            raise SpeedUnknown(f"a speed from 0 to {max(SPEEDS)}", repr(shown), "identification message")
        offered = SPEEDS[self.speed]
        return max(((each, baud) for each, baud in SPEEDS.items() if baud <= min(offered, most)), key=lambda it: it[1])


def request(address: str = "") -> bytes:
    """The opening message to the device of this address, or to the only one there.

    Raises:
        ValueError: no such address: up to 32 digits, letters and blanks.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"expected up to 32 digits, letters and blanks, got {address!r}")
    return f"/?{address}!".encode("ascii") + END


def acknowledgement(speed: str) -> bytes:
    """What tells the meter to go on in HDLC at this speed; its confirmation is the same."""
    return ACK + f"{HDLC}{speed}{HDLC}".encode("ascii") + END


def with_parity(octets: bytes) -> bytes:
    """Seven-bit characters as they travel: the eighth bit makes the number of ones even."""
    return octets.translate(_PARITY)


def without_parity(octets: bytes) -> tuple[bytes, int]:
    """The seven bits of each character, and how many had a wrong parity.

    A port that checks parity itself clears the eighth bit of all: that is none wrong.
    """
    plain = bytes(each & 0x7F for each in octets)
    wrong = sum(one != other for one, other in zip(octets, with_parity(plain), strict=True))
    return plain, 0 if plain == octets else wrong


class State(Enum):
    """Where an opening stands."""

    STARTING = auto()  # the line gets its first speed
    ASKED = auto()
    ACKNOWLEDGED = auto()  # ... is sent: the line gets its new speed
    SWITCHED = auto()  # a confirmation may come
    OPEN = auto()
    FAILED = auto()


class Event(Enum):
    """What happened."""

    SET = auto()  # the line has its speed
    IDENTIFIED = auto()
    CONFIRMED = auto()
    SILENCE = auto()  # and no repetition is left
    WRONG = auto()


STEPS: dict[tuple[State, Event], State] = {
    (State.STARTING, Event.SET): State.ASKED,
    (State.ASKED, Event.IDENTIFIED): State.ACKNOWLEDGED,
    (State.ASKED, Event.SILENCE): State.FAILED,
    (State.ASKED, Event.WRONG): State.FAILED,
    (State.ACKNOWLEDGED, Event.SET): State.SWITCHED,
    (State.SWITCHED, Event.CONFIRMED): State.OPEN,
    (State.SWITCHED, Event.SILENCE): State.OPEN,
    (State.SWITCHED, Event.WRONG): State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Send:
    """Write `octets`; the first byte that follows is due within `timeout_ms`."""

    octets: bytes
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Hand over what comes within this time from now, or say that nothing came."""

    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Let `before_ms` pass, set the line to `baud`, and say `set`."""

    baud: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class Opened:
    """HDLC may begin after `quiet_ms`, at `baud`."""

    identification: Identification
    baud: int
    quiet_ms: int = QUIET_MS


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no way into this meter, for this reason."""

    error: MeterError


Step = Send | Wait | Switch | Opened | Failed


@dataclass(slots=True)
class Opening:
    """One opening: take `next()` and do it; report with `was_set`, `received` or `silent` until it is Opened or Failed.

    `most` is the highest speed of the head; `address` the device's, where several share it.
    """

    address: str = ""
    most: int = 9_600
    state: State = State.STARTING
    _steps: list[Step] = field(default_factory=list)
    _heard: bytearray = field(default_factory=bytearray)
    _echo: bytes = b""
    _left: int = TRIES
    _noise: int = 0
    _found: Identification | None = None
    _speed: str = ""
    _baud: int = START_BAUD

    def __post_init__(self) -> None:
        request(self.address)
        self._steps.append(Switch(START_BAUD, 0))

    def next(self) -> Step:
        """What to do now."""
        if len(self._steps) > 1:
            return self._steps.pop(0)
        return self._steps[0]

    def was_set(self) -> None:
        """The line has the speed of the last `Switch`."""
        self.state = STEPS[self.state, Event.SET]
        if self.state is State.ASKED:
            self._ask()
        else:
            self._heard.clear()
            self._steps = [Wait(REACTION_MS + SLACK_MS)]

    def received(self, octets: bytes) -> None:
        """These bytes came."""
        self._heard += octets
        self._take_echo()
        if self.state is State.ASKED:
            self._identify()
        elif self.state is State.SWITCHED:
            self._confirm()

    def silent(self) -> None:
        """Nothing came within the time of the last `Wait`."""
        if self.state is State.SWITCHED:
            self._go_on(Event.SILENCE)
        elif self.state is State.ASKED:
            self._missed()

    def _ask(self) -> None:
        octets = with_parity(request(self.address))
        self._heard.clear()
        self._echo, self._noise = octets, 0
        self._left -= 1
        allowed_ms = _characters_ms(len(octets), START_BAUD) + REACTION_MS + SLACK_MS
        self._steps = [Send(octets, allowed_ms), Wait(allowed_ms)]

    def _take_echo(self) -> None:
        """What we sent comes back, where it does."""
        at = self._heard.find(self._echo) if self._echo else -1
        if at >= 0:
            self._noise += at
            del self._heard[: at + len(self._echo)]
            self._echo = b""

    def _identify(self) -> None:
        if self._echo and self._echo.startswith(bytes(self._heard)):  # it may become our own
            self._steps = [Wait(BETWEEN_MS + SLACK_MS)]
            return
        plain, _ = without_parity(bytes(self._heard))
        at = plain.find(b"/")
        at = len(plain) if at < 0 else at
        self._noise += at
        del self._heard[:at]
        plain = plain[at:]
        end = plain.find(END)
        if end >= 0:
            size = end + len(END)
            self._judge(plain[:size], without_parity(bytes(self._heard[:size]))[1])
        elif self._noise > MAX_NOISE or len(plain) > MAX_MESSAGE:
            self._fail(Babble(f"a message within {MAX_NOISE} characters", plain[:SHOWN].hex(), "optical port"))
        else:
            self._steps = [Wait(BETWEEN_MS + SLACK_MS)]

    def _judge(self, message: bytes, wrong: int) -> None:
        try:
            if wrong:
                raise BadIdentification("even parity in every character", f"{wrong} without", "identification message")
            found = Identification.from_bytes(message)
            self._speed, self._baud = found.baud(self.most)
        except BadIdentification as error:
            self._missed(error)
            return
        except MeterError as error:
            self._fail(error)
            return
        self._found = found
        octets = with_parity(acknowledgement(self._speed))
        self.state = STEPS[self.state, Event.IDENTIFIED]
        self._heard.clear()
        self._echo = b""  # at the new speed nothing of it is left
        before_ms = _characters_ms(len(octets), START_BAUD) + SETTLE_MS
        self._steps = [Send(octets, before_ms), Switch(self._baud, before_ms)]

    def _confirm(self) -> None:
        """A confirmation, in whole or in part; what else comes is left over from the change of speed."""
        plain, _ = without_parity(bytes(self._heard))
        at = plain.find(ACK)
        if NAK in plain and at < 0:
            self._fail(OpeningRefused("a confirmation", "NAK (15)", "optical port"))
        elif at >= 0 and (end := plain.find(END, at)) >= 0:
            if plain[at : end + len(END)] == acknowledgement(self._speed):
                self._go_on(Event.CONFIRMED)
                return
            expected = acknowledgement(self._speed).hex()
            self._fail(OpeningRefused(expected, plain[at : end + len(END)][:SHOWN].hex(), "confirmation"))
        elif len(plain) > MAX_NOISE:
            self._fail(Babble(f"a confirmation within {MAX_NOISE} characters", plain[:SHOWN].hex(), "optical port"))
        else:
            self._steps = [Wait(BETWEEN_MS + SLACK_MS)]

    def _missed(self, error: MeterError | None = None) -> None:
        if self._left > 0:
            self._ask()
            return
        heard = bytes(self._heard)[:SHOWN]
        if error is None and heard and heard != self._echo[: len(heard)]:
            error = BadIdentification("an identification message", f"the beginning {heard.hex()}", "optical port")
        silent = NoIdentification("an identification message", "none in time", "optical port")
        self.state = STEPS[self.state, Event.SILENCE]
        self._steps = [Failed(error or silent)]

    def _go_on(self, event: Event) -> None:
        self.state = STEPS[self.state, event]
        if self._found is not None:
            self._steps = [Opened(self._found, self._baud)]

    def _fail(self, error: MeterError) -> None:
        self.state = STEPS[self.state, Event.WRONG]
        self._steps = [Failed(error)]


def _characters_ms(count: int, baud: int) -> int:
    return -(-count * CHARACTER_BITS * 1000 // baud)
