"""Modbus RTU meters on one line, in raw bytes: Carlo Gavazzi EM340s at units 1, 2, 3 and on.

Written from the standard, with a CRC of its own, bit by bit. What a meter answers to a question for measurements is in
the record before its bytes leave. Beside the EM340's registers each has one that begins again at power-up.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

from simulators.modbus.faults import EXCEPTIONS, MAX_NOISE, RtuFaults
from simulators.modbus.meter import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, TABLES
from simulators.modbus.registers import (
    CODE,
    CODE_AT,
    END,
    LONGEST,
    SERIAL_AT,
    SERIAL_WORDS,
    Registers,
    Shown,
    image,
    serial_octets,
)
from simulators.record import Answered, Record

ASKING = struct.Struct(">BBHHH")  # unit, function, address, count, CRC
SINCE_POWER_UP_AT = 0x1000  # Wh since power-up, in two registers, the low word first
COUNTER_AT = 0x34  # the total of imported energy
TORN_MS = 7_200_000  # a torn counter's high word is from so much later: its low word has gone round by then, or not
MAX_UNITS = 247


def crc(octets: bytes) -> bytes:
    """The two bytes behind a frame."""
    found = 0xFFFF
    for octet in octets:
        found ^= octet
        for _ in range(8):
            found = found >> 1 ^ (0xA001 if found & 1 else 0)
    return struct.pack("<H", found)


def frame(unit: int, function: int, body: bytes) -> bytes:
    """A frame of the line."""
    octets = bytes([unit, function]) + body
    return octets + crc(octets)


@dataclass(slots=True)
class Unit:
    """One meter; `power_up_ms` is when it was switched on last, `torn` whether its last answer was torn."""

    serial: str
    registers: Registers
    power_up_ms: int
    dead: bool = False
    torn: bool = False


def units(count: int, seed: int, now_ms: int, faults: RtuFaults) -> dict[int, Unit]:
    """Meters at units 1 to `count`; which of them are dead is drawn by `seed`."""
    if not 1 <= count <= MAX_UNITS:
        raise ValueError(f"expected 1 to {MAX_UNITS} units, got {count}")
    serials = {unit: f"34{unit:05d}" for unit in range(1, count + 1)}
    dead = set(random.Random(f"{seed}/dead").sample(range(1, count + 1), round(count * faults.dead)))
    return {unit: Unit(serial, Registers(serial, seed), now_ms, unit in dead) for unit, serial in serials.items()}


class RtuBus:
    """The meters of a line; `hear` is what the line's owner calls with what the master sends.

    Args:
        meters: by unit.
        record: takes what was answered.
        utc_ms: the simulators' clock.
        seed: of the faults.
        faults: what befalls answers with measurements.
    """

    def __init__(
        self,
        meters: dict[int, Unit],
        record: Record,
        utc_ms: Callable[[], int],
        seed: int = 0,
        faults: RtuFaults | None = None,
    ) -> None:
        self.meters, self.faults = meters, faults or RtuFaults()
        self.frozen = False
        self.baud: int | None = None
        self.questions = 0
        self._record, self._utc_ms = record, utc_ms
        self._dice = random.Random(f"{seed}/rtu")
        self._held, self._late = b"", b""

    def hear(self, octets: bytes) -> bytes:
        """What is on the wire when the master has sent `octets`."""
        self._held += octets
        said = octets if self.faults.echo else b""
        while len(self._held) >= ASKING.size:
            asked, self._held = self._held[: ASKING.size], self._held[ASKING.size :]
            if crc(asked[:-2]) != asked[-2:]:
                self._held = asked[1:] + self._held
                continue
            late, self._late = self._late, b""
            said += late + self._answer(asked)
        return said

    def silence(self) -> None:
        """The master paused: what is not whole is nothing."""
        self._held = b""

    def _answer(self, asked: bytes) -> bytes:
        unit, function, address, count, _ = ASKING.unpack(asked)
        meter = self.meters.get(unit)
        if meter is None or meter.dead or self.frozen:
            return b""
        self.questions += 1
        refusal = _refusal(function, address, count)
        if refusal:
            return frame(unit, function | 0x80, bytes([refusal]))
        identity = _identity(meter, address, count)
        if identity is not None:
            return frame(unit, function, bytes([len(identity)]) + identity)
        return self._measured(unit, meter, function, (address, count))

    def _measured(self, unit: int, meter: Unit, function: int, span: tuple[int, int]) -> bytes:
        now_ms, fault = self._utc_ms(), self.faults.draw(self._dice)
        if fault == "torn" and meter.torn:
            fault = None  # a carry passes once: no meter is torn twice in a row in the same way
        meter.torn = fault == "torn"
        if fault == "restart":
            meter.power_up_ms = now_ms
        shown = _shown(meter, now_ms)
        octets = _octets(shown, *span)
        intact = Said(unit, function, octets).frame()
        values = {
            f"{unit}/{each.address}/{TABLES[function]}.{each.kind}": _number(each)
            for each in shown
            if span[0] <= each.address and each.address + len(each.octets) // 2 <= sum(span)
        }
        self._record.append(Answered(now_ms, meter.serial, unit, intact.hex(), fault, False, values))
        if fault == "late":
            self._late = intact
        if fault == "torn":
            octets = _torn(octets, _octets(_shown(meter, now_ms + TORN_MS), *span), span)
        said = Said(unit, function, octets)
        return said.frame() if fault is None else SPOILT[fault](said, self._dice)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that is about to leave: who says it, and which registers."""

    unit: int
    function: int
    octets: bytes

    def frame(self, *, unit: int | None = None, function: int | None = None, less: int = 0) -> bytes:
        """Its frame, or one like it."""
        octets = self.octets[: len(self.octets) - less]
        wire = self.unit if unit is None else unit
        return frame(wire, self.function if function is None else function, bytes([len(octets)]) + octets)


Spoil = Callable[[Said, random.Random], bytes]
# What is on the wire at once, instead of the frame of the answer.
SPOILT: dict[str, Spoil] = {
    **dict.fromkeys(("silent", "late", "restart"), lambda said, dice: b""),
    "exception": lambda said, dice: frame(said.unit, said.function | 0x80, bytes([dice.choice(EXCEPTIONS)])),
    "wrong_unit": lambda said, dice: said.frame(unit=said.unit % MAX_UNITS + 1),
    "wrong_function": lambda said, dice: said.frame(function=said.function ^ 7),
    "short": lambda said, dice: said.frame(less=2),
    "crc": lambda said, dice: _changed(said.frame(), len(said.frame()) - 1, dice),
    "garble": lambda said, dice: _changed(said.frame(), dice.randrange(len(said.frame())), dice),
    "partial": lambda said, dice: said.frame()[: dice.randrange(1, len(said.frame()))],
    "noise": lambda said, dice: dice.randbytes(dice.randrange(1, MAX_NOISE)) + said.frame(),
    "torn": lambda said, dice: said.frame(),
}


def _changed(octets: bytes, at: int, dice: random.Random) -> bytes:
    return octets[:at] + bytes([octets[at] ^ dice.randrange(1, 256)]) + octets[at + 1 :]


def _refusal(function: int, address: int, count: int) -> int:
    """The exception for a question that cannot be answered; 0: it can."""
    if function not in TABLES:
        return ILLEGAL_FUNCTION
    if not 1 <= count <= LONGEST:
        return ILLEGAL_VALUE
    within = (
        address + count <= END
        or (address >= SERIAL_AT and address + count <= SERIAL_AT + SERIAL_WORDS)
        or (address, count) == (SINCE_POWER_UP_AT, 2)
    )
    return 0 if within else ILLEGAL_ADDRESS


def _identity(meter: Unit, address: int, count: int) -> bytes | None:
    """The identity registers of a question, None where it is for others."""
    if (address, count) == (CODE_AT, 1):
        return struct.pack(">H", CODE)
    if address < SERIAL_AT:
        return None
    start = (address - SERIAL_AT) * 2
    return serial_octets(meter.serial)[start : start + count * 2]


def _shown(meter: Unit, now_ms: int) -> list[Shown]:
    found = meter.registers.at(now_ms)
    total = next(each for each in found if each.address == COUNTER_AT)
    before = next(each for each in meter.registers.at(meter.power_up_ms) if each.address == COUNTER_AT)
    since = (total.mantissa - before.mantissa) * 10**total.exponent
    return [*found, Shown(SINCE_POWER_UP_AT, "int32.cdab", max(0, since), 0, "Wh")]


def _octets(shown: list[Shown], address: int, count: int) -> bytes:
    if address == SINCE_POWER_UP_AT:
        return shown[-1].octets
    return image(shown[:-1])[address * 2 : (address + count) * 2]


def _torn(now: bytes, later: bytes, span: tuple[int, int]) -> bytes:
    """The counter's low word of now beside a high word of its next turn, where the counter is in the answer."""
    at = (COUNTER_AT - span[0]) * 2
    if not 0 <= at <= len(now) - 4:
        return now
    high = int.from_bytes(later[at + 2 : at + 4], "big") + 1
    return now[: at + 2] + (high & 0xFFFF).to_bytes(2, "big") + now[at + 4 :]


def _number(shown: Shown) -> dict[str, int | str]:
    return {"m": shown.mantissa, "e": shown.exponent, "unit": shown.unit}
