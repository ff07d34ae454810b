"""The slaves of one bus: who answers what the master sends, with the frame count bit, and with faults where asked."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from simulators.mbus.encoding import ACKNOWLEDGEMENT
from simulators.mbus.faults import Faults, spoil
from simulators.mbus.meters import Plate, telegram
from simulators.mbus.registers import Registers
from simulators.record import Answered, Record

SND_NKE = 0x40
REQ_UD2 = 0x4B  # under the mask without FCB and FCV
FCB, FCV = 0x20, 0x10
REQUEST_SIZE = 5
NO_FAULTS = Faults()


class Slave:
    """One meter on the bus: its registers and what it `answered` last, for when the master asks again."""

    def __init__(self, plate: Plate, registers: Registers, seed: int) -> None:
        self.plate = plate
        self.registers = registers
        self._seed = seed
        self._fcb: int | None = None
        self.answered: Answered | None = None

    def reset(self) -> None:
        """SND_NKE: any frame count bit is new."""
        self._fcb = None

    def answer(self, control: int, now_ms: int) -> Answered:
        """The telegram for a REQ_UD2: the same again for the same frame count bit, else with grown registers."""
        fcb = control & FCB if control & FCV else None
        if self.answered is not None and fcb is not None and fcb == self._fcb:
            return replace(self.answered, at_ms=now_ms, repeat=True)
        self._fcb = fcb
        self.registers = self.registers.grown(self._seed, self.plate.number, now_ms)
        frame, shown = telegram(self.plate, self.registers, now_ms)
        registers = asdict(self.registers)
        plate = self.plate
        self.answered = Answered(now_ms, plate.number, plate.address, frame.hex(), None, False, shown, registers)
        return self.answered


class Bus:
    """All slaves behind one line; `hear` takes the master's bytes and gives what is then on the wire.

    `slaves` (by address) and `faults` may be changed at any time: a meter is exchanged, a line becomes bad.
    """

    def __init__(
        self,
        plates: Iterable[Plate],
        record: Record,
        utc_ms: Callable[[], int],
        seed: int = 0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        plates = tuple(plates)
        last = record.last(frozenset(plate.number for plate in plates))
        self.slaves = {plate.address: Slave(plate, _resumed(plate, last), seed) for plate in plates}
        self.frozen = False
        self._record, self._utc_ms, self.faults = record, utc_ms, faults
        self._dice = random.Random(f"faults/{seed}/{sum(s.registers.count for s in self.slaves.values())}")
        self._held = bytearray()
        self._late = b""

    def hear(self, octets: bytes) -> bytes:
        """What the master sent, in any pieces; what comes back for it."""
        self._held += octets
        out = self._echo(octets)
        while (request := _request(self._held)) is not None:
            out += self._answer(*request)
        return out

    def silence(self) -> None:
        """The master paused: a request that is not complete never will be."""
        self._held.clear()

    def _echo(self, octets: bytes) -> bytes:
        return bytes(octets) if self.faults.echo else b""

    def _answer(self, control: int, address: int) -> bytes:
        if self.frozen:
            return b""
        late, self._late = self._late, b""
        slave = self.slaves.get(address)
        if slave is None:
            return late
        if control == SND_NKE:
            slave.reset()
            return late + ACKNOWLEDGEMENT
        if control & ~(FCB | FCV) != REQ_UD2:
            return late
        kind = self.faults.draw(self._dice)
        answered = slave.answer(control, self._utc_ms())
        self._record.append(replace(answered, damaged=None if kind == "noise" else kind))
        frame = spoil(bytes.fromhex(answered.telegram), kind, self._dice)
        if kind == "late":
            self._late = frame
            return late
        return late + frame


def _resumed(plate: Plate, last: dict[str, Answered]) -> Registers:
    """Where the meter stood when it answered last: registers never go backwards."""
    answered = last.get(plate.number)
    return plate.first if answered is None else Registers.from_row(answered.registers)


def _request(held: bytearray) -> tuple[int, int] | None:
    """Control and address of the next whole short frame in `held`, which loses it and what stood before it."""
    while len(held) >= REQUEST_SIZE:
        start, control, address, check, stop = held[:REQUEST_SIZE]
        if start == 0x10 and stop == 0x16 and (control + address) % 256 == check:
            del held[:REQUEST_SIZE]
            return control, address
        del held[0]
    return None
