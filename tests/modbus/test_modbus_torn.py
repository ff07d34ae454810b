"""Counters that a meter changes word by word: which answers are believed, and what the reader does about the others."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from rtu_lines import configured, device, due, reader, served, simulated

from gateway.modbus import ModbusReader
from protocols.modbus import faults, torn
from protocols.modbus.blocks import Span, plan
from protocols.modbus.registers import ORDERS, Register
from protocols.modbus.torn import doubtful
from protocols.models import modbus as models
from protocols.reading import Identity, NativeKey, Protocol, Reading, Scaled
from simulators.modbus.registers import END
from simulators.modbus.rtu import COUNTER_AT, SINCE_POWER_UP_AT
from simulators.record import read

COUNTER = Register("input", COUNTER_AT, "energy", "int32", "cdab", "Wh", 2, torn=True)


def span_of(register: Register) -> Span:
    """The block of one register alone."""
    (span,) = plan([register])
    return span


def words_of(number: int, size: int, order: str, base: int) -> bytes:
    """A counter on the wire, most significant word of the base first, as `order` has its words."""
    parts = [number // base**each % base for each in reversed(range(size))]
    octets = b"".join(each.to_bytes(2, "big") for each in parts)
    return bytes(octets[ord(letter) - ord("a")] for letter in order)


@pytest.mark.parametrize(("kind", "base"), [("uint32", 1 << 16), ("uint64", 1 << 16), ("mod10k64", 10_000)])
def test_no_mixture_of_two_moments_is_believed(kind: str, base: int) -> None:
    """Around every carry: each word from before or from after it; what the counter showed at one moment is believed."""
    dice, size = random.Random(kind), 2 if kind.endswith("32") else 4
    order = ORDERS[size][1]
    register = Register("input", 0, "it", kind, order, torn=True)  # type: ignore[arg-type]
    span = span_of(register)
    for _ in range(300):
        carry = dice.randrange(1, base - 1) * base ** dice.randrange(1, size)
        first, second = carry - dice.randrange(1, 50), carry + dice.randrange(50)
        before, after = (words_of(each, size, order, base) for each in (first, second))
        assert doubtful(span, before, after) is None
        assert doubtful(span, after, after) is None
        mixed = before[: 2 * (size - 1)] + after[2 * (size - 1) :]
        if mixed not in (before, after):
            assert doubtful(span, before, mixed) is register or doubtful(span, mixed, after) is register


def test_a_counter_that_steps_back_is_not_believed_at_once() -> None:
    """It may be torn, or have begun again: the next answer tells."""
    span = span_of(COUNTER)
    assert doubtful(span, bytes.fromhex("00050001"), bytes.fromhex("00040001")) is COUNTER
    assert doubtful(span, bytes.fromhex("00040001"), bytes.fromhex("00040001")) is None


def with_torn_counter(found: ModbusReader, *more: Register) -> ModbusReader:
    """The reader, its meters' total marked in the model as torn; further registers after it."""
    for meter in found._meters.values():
        registers = [COUNTER if each.address == COUNTER_AT else each for each in meter.model.registers]
        model = replace(meter.model, registers=(*registers, *more))
        meter.spans = plan(model.registers, model.largest_block, model.largest_gap)
    return found


def number_at(found: list[Reading], address: int) -> int:
    """The mantissa of a register."""
    value = next(each for each in found[0].values if each.key.parts[1] == address)
    assert isinstance(value.number, Scaled)
    return value.number.mantissa


async def test_a_torn_counter_is_read_twice_and_never_sealed(tmp_path: Path) -> None:
    """A third of all answers are torn; what is taken the meter showed at one moment."""
    bus = simulated(tmp_path, faults="torn=0.33", seed=3)
    good = 0
    async with served(bus, "tcp+rtu", tmp_path) as at:
        found = with_torn_counter(reader(configured(at)))
        for _ in range(12):
            try:
                readings = await found.read(due(device(1)))
            except faults.TornValue:
                continue
            good += 1
            shown = [
                each.values[key]["m"]
                for each in read(tmp_path / "record.jsonl")
                for key in each.values
                if "/52/" in key
            ]
            assert number_at(readings, COUNTER_AT) in shown
        found.let_go()
    assert good > 6


async def test_a_counter_that_always_contradicts_itself_is_a_named_error(tmp_path: Path) -> None:
    """Its meter's clock runs backwards."""
    bus = simulated(tmp_path)
    falling = iter(range(2_000_000_000_000, 0, -40 * 86_400_000))
    bus._utc_ms = lambda: next(falling)
    async with served(bus, "tcp+rtu", tmp_path) as at:
        found = with_torn_counter(reader(configured(at)))
        with pytest.raises(faults.TornValue, match=r"PLB-M409.*energy"):
            await found.read(due(device(1)))
        found.let_go()
    assert sum(any("/52/" in key for key in each.values) for each in read(tmp_path / "record.jsonl")) == torn.READS


async def test_blocks_without_torn_counters_are_read_once(tmp_path: Path) -> None:
    bus = simulated(tmp_path)
    async with served(bus, "tcp+rtu", tmp_path) as at:
        found = reader(configured(at))
        await found.read(due(device(1)))
        assert bus.questions == 4
        await with_torn_counter(found).read(due(device(1)))
        assert bus.questions == 9
        found.let_go()


async def test_a_counter_that_begins_again_at_power_up_says_so(tmp_path: Path) -> None:
    """It is sealed as it is shown; its model says that it is no total."""
    bus = simulated(tmp_path)
    since = Register("input", SINCE_POWER_UP_AT, "since power-up", "int32", "cdab", "Wh", counts="resetting")
    assert since.address > END
    async with served(bus, "tcp+rtu", tmp_path) as at:
        found = with_torn_counter(reader(configured(at)), since)
        before = await found.read(due(device(1)))
        bus.meters[1].power_up_ms = bus._utc_ms()
        after = await found.read(due(device(1)))
        found.let_go()
    assert number_at(after, COUNTER_AT) >= number_at(before, COUNTER_AT)
    assert 0 <= number_at(after, SINCE_POWER_UP_AT) < number_at(after, COUNTER_AT)


def test_what_a_counter_is_follows_from_the_sealed_reading() -> None:
    sealed = Identity(Protocol.MODBUS, "ABB B23", fabrication="4711")
    key = NativeKey.modbus(9, 0x5000, "holding.uint64.abcdefgh")
    assert models.counts(sealed, key) == "total"
    assert models.counts(sealed, NativeKey.modbus(9, 0x5B2C, "holding.uint16.ab")) == ""
    assert models.counts(Identity(Protocol.MODBUS), key) == ""
