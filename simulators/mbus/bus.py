"""The slaves of one bus: who answers what the master sends, with the frame count bit, and with faults where asked.

Several may have the same primary address, and several may be selected at once: then they talk at once, and on the
wire is what `wire.together` makes of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from simulators.mbus import wire
from simulators.mbus.encoding import ACKNOWLEDGEMENT, address_of, datetime_of, fits
from simulators.mbus.faults import Faults, spoil, stray
from simulators.mbus.meters import Plate, telegrams
from simulators.mbus.registers import Registers, calendar
from simulators.record import Answered, Record

SND_NKE = 0x40
REQ_UD2 = 0x4B  # under the mask without FCB and FCV
FCB, FCV = 0x20, 0x10
SND_UD = 0x43  # the same
SELECTION = 0x52
SELECTED = 253
EVERYBODY = 254  # of whom every one answers
REQUEST_SIZE = 5
LONG_START, STOP = 0x68, 0x16
LONG_OVERHEAD = 6
NO_FAULTS = Faults()
APPLICATION_RESET, DATA_SEND = 0x50, 0x51
BAUDS = {0xB8: 300, 0xB9: 600, 0xBA: 1200, 0xBB: 2400, 0xBC: 4800, 0xBD: 9600, 0xBE: 19200, 0xBF: 38400}
BAUD_TRIAL_MS = 120_000  # after a change of speed: a meter that hears nothing at the new one goes back


class Slave:
    """One meter on the bus: its registers and what it `answered` last, for when the master asks again."""

    def __init__(self, plate: Plate, registers: Registers, seed: int) -> None:
        self.plate = plate
        self.registers = registers
        self._seed = seed
        self._fcb: dict[bool, int | None] = {}  # of its own address, and of FD
        self.answered: Answered | None = None
        self.selected = False
        self.resets: list[bytes] = []  # the sub-codes of the application resets that it was told
        self.clock_ms = 0  # by how much its clock is ahead
        self.baud: int | None = None  # None: as fast as it was installed, whatever that is
        self.stubborn = False  # write-protected: it acknowledges what it does not do
        self._left: list[Answered] = []  # the further telegrams of the answer that was begun
        self._before: tuple[int | None, int] | None = None  # the speed to go back to, and when

    def hears(self, baud: int | None, utc_ms: Callable[[], int]) -> bool:
        """Whether it understands what is said at this speed; what it understands makes its own speed final."""
        if self._before is not None and utc_ms() >= self._before[1]:
            (self.baud, _), self._before = self._before, None
        understood = baud is None or self.baud in (None, baud)
        if understood and self.baud is not None:
            self._before = None
        return understood

    def told(self, ci: int, data: bytes, now_ms: int) -> None:
        """A service of SND_UD, but for a new address: that is the bus's to know."""
        if self.stubborn:
            return
        if ci == APPLICATION_RESET:
            self.resets.append(data)
            self._fcb.clear()
            self._left.clear()
        elif ci == DATA_SEND and data[:2] in (b"\x04\x6d", b"\x06\x6d"):
            shown = datetime_of(data[2:])
            self.clock_ms = round((shown - calendar(now_ms)).total_seconds()) * 1000
        elif ci in BAUDS:
            self._before, self.baud = (self.baud, now_ms + BAUD_TRIAL_MS), BAUDS[ci]

    def reset(self, selected: bool = False) -> None:
        """SND_NKE to its own address, or to FD: any frame count bit is new, and it is selected no more."""
        self._fcb.pop(selected, None)
        self._left.clear()
        self.selected &= not selected

    def select(self, wanted: bytes) -> bool:
        """Whether a selection means this meter; another one ends its own."""
        model = self.plate.model
        own = address_of(self.plate.number, model.letters, model.version, model.medium)
        self.selected = fits(wanted, own)
        self._fcb.pop(True, None)
        self._left.clear()
        return self.selected

    def answer(self, control: int, now_ms: int, selected: bool = False, deaf: bool = False) -> Answered:
        """The telegram for a REQ_UD2: the same again for the same frame count bit (not where it is `deaf` to that).

        Else the next one of the answer, or a new answer, with grown registers.
        """
        fcb = control & FCB if control & FCV and not deaf else None
        if self.answered is not None and fcb is not None and fcb == self._fcb.get(selected):
            return replace(self.answered, at_ms=now_ms, repeat=True)
        self._fcb[selected] = fcb
        self.answered = replace(self._left.pop(0), at_ms=now_ms) if self._left else self._grown(now_ms)
        return self.answered

    def _grown(self, now_ms: int) -> Answered:
        """The first telegram of a new answer."""
        self.registers = self.registers.grown(self._seed, self.plate.number, now_ms)
        registers, plate = asdict(self.registers), self.plate
        first, *self._left = (
            Answered(now_ms, plate.number, plate.address, frame.hex(), None, False, shown, registers)
            for frame, shown in telegrams(plate, self.registers, now_ms + self.clock_ms)
        )
        return first


class Bus:
    """All slaves behind one line; `hear` takes the master's bytes and gives what is then on the wire.

    `slaves` (by address) and `faults` may be changed at any time: a meter is exchanged, a line becomes bad.
    `others` are those whose address another one has.

    Args:
        plates: the meters.
        record: of what they answer.
        utc_ms: their clock.
        seed: of all that is drawn.
        faults: of the answers with values.
        stray: the share of requests after which noise is on the line, whoever answers.
        skew_bits: how much later than others a meter begins to talk at most, where several do.
    """

    def __init__(
        self,
        plates: Iterable[Plate],
        record: Record,
        utc_ms: Callable[[], int],
        seed: int = 0,
        faults: Faults = NO_FAULTS,
        stray: float = 0.0,
        skew_bits: int = 0,
    ) -> None:
        plates = tuple(plates)
        last = record.last(frozenset(plate.number for plate in plates))
        self.slaves: dict[int, Slave] = {}
        self.others: list[Slave] = []
        for plate in plates:
            slave = Slave(plate, _resumed(plate, last), seed)
            if self.slaves.setdefault(plate.address, slave) is not slave:
                self.others.append(slave)
        self.frozen = False
        self.baud: int | None = None  # at which the master speaks, where that is known
        self.stray, self.skew_bits = stray, skew_bits
        self._seed = seed
        self._line_dice = random.Random(f"line/{seed}")
        self._record, self._utc_ms, self.faults = record, utc_ms, faults
        self._dice = random.Random(f"faults/{seed}/{sum(s.registers.count for s in self.slaves.values())}")
        self._held = bytearray()
        self._late = b""

    def swap(self, address: int, number: str) -> None:
        """Take the meter at `address` away and mount one of the same kind with another number, its counters at first.

        Raises:
            KeyError: nobody is there.
        """
        plate = replace(self.slaves[address].plate, number=number)
        last = self._record.last(frozenset({number}))
        self.slaves[address] = Slave(plate, _resumed(plate, last), self._seed)

    def hear(self, octets: bytes) -> bytes:
        """What the master sent, in any pieces; what comes back for it."""
        self._held += octets
        out = self._echo(octets)
        while (request := _request(self._held)) is not None:
            heard = self._answer(request)
            out += stray(heard, self._line_dice) if self.stray and self._line_dice.random() < self.stray else heard
        return out

    def silence(self) -> None:
        """The master paused: a request that is not complete never will be."""
        self._held.clear()

    def _echo(self, octets: bytes) -> bytes:
        return bytes(octets) if self.faults.echo else b""

    def _answer(self, request: _Request) -> bytes:
        if self.frozen:
            return b""
        late, self._late = self._late, b""
        hearing = self._hearing(self._all())
        control = request.control & ~(FCB | FCV)
        if request.body[:1] == bytes((SELECTION,)) and control == SND_UD and request.address == SELECTED:
            return late + self._together([ACKNOWLEDGEMENT for each in hearing if each.select(request.body[1:])])
        meant = [slave for slave in self._meant(request.address) if slave in hearing]
        at_fd = request.address == SELECTED
        if request.control == SND_NKE:
            for slave in meant:
                slave.reset(at_fd)
            return late + self._together([ACKNOWLEDGEMENT for _ in meant])
        if control == SND_UD and request.body:
            return late + self._together([self._order(slave, request.body) for slave in meant])
        if control != REQ_UD2 or request.body:
            return late
        return late + self._together([self._data(slave, request.control, at_fd) for slave in meant])

    def _data(self, slave: Slave, control: int, at_fd: bool) -> bytes:
        kind = self.faults.draw(self._dice)
        answered = slave.answer(control, self._utc_ms(), at_fd, self.faults.deaf)
        self._record.append(replace(answered, damaged=None if kind == "noise" else kind))
        frame = spoil(bytes.fromhex(answered.telegram), kind, self._dice)
        if kind == "late":
            self._late += frame
            return b""
        return frame

    def _order(self, slave: Slave, body: bytes) -> bytes:
        """An order is acknowledged, and obeyed where it is known."""
        slave.told(body[0], body[1:], self._utc_ms())
        if body[:3] == bytes((DATA_SEND, 0x01, 0x7A)) and len(body) == 4 and not slave.stubborn:
            self._move(slave, body[3])
        return ACKNOWLEDGEMENT

    def _move(self, slave: Slave, address: int) -> None:
        """A meter has another primary address."""
        left = [each for each in self._all() if each is not slave]
        slave.plate = replace(slave.plate, address=address)
        self.slaves.clear()
        self.others.clear()
        for each in [*left, slave]:
            if self.slaves.setdefault(each.plate.address, each) is not each:
                self.others.append(each)

    def _hearing(self, slaves: list[Slave]) -> list[Slave]:
        """Those that understand the speed at which the master speaks."""
        return [slave for slave in slaves if slave.hears(self.baud, self._utc_ms) and not self._is_dead(slave)]

    def _is_dead(self, slave: Slave) -> bool:
        return self.faults.dead > random.Random(f"dead/{self._seed}/{slave.plate.number}").random()

    def _all(self) -> list[Slave]:
        return [*self.slaves.values(), *self.others]

    def _meant(self, address: int) -> list[Slave]:
        if address == SELECTED:
            return [slave for slave in self._all() if slave.selected]
        if address == EVERYBODY:
            return self._all()
        first = self.slaves.get(address)
        more = [slave for slave in self.others if slave.plate.address == address]
        return more if first is None else [first, *more]

    def _together(self, talks: list[bytes]) -> bytes:
        talks = [talk for talk in talks if talk]
        if len(talks) < 2:
            return b"".join(talks)
        return wire.together([(self._line_dice.randrange(self.skew_bits + 1), talk) for talk in talks])


def _resumed(plate: Plate, last: dict[str, Answered]) -> Registers:
    """Where the meter stood when it answered last: registers never go backwards."""
    answered = last.get(plate.number)
    return plate.first if answered is None else Registers.from_row(answered.registers)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the master asks; `body` is CI and what follows, empty in a short frame."""

    control: int
    address: int
    body: bytes = b""


def _request(held: bytearray) -> _Request | None:
    """The next whole frame in `held`, which loses it and what stood before it."""
    while len(held) >= REQUEST_SIZE:
        if held[0] == LONG_START and held[1] == held[2] >= 3 and held[3] == LONG_START:
            size = held[1] + LONG_OVERHEAD
            if len(held) < size:
                return None
            inner, check, stop = bytes(held[4 : size - 2]), held[size - 2], held[size - 1]
            if stop == STOP and sum(inner) % 256 == check:
                del held[:size]
                return _Request(inner[0], inner[1], inner[2:])
        start, control, address, check, stop = held[:REQUEST_SIZE]
        if start == 0x10 and stop == STOP and (control + address) % 256 == check:
            del held[:REQUEST_SIZE]
            return _Request(control, address)
        del held[0]
    return None
