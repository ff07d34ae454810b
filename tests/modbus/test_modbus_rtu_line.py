"""The reader on real lines: a pseudo-terminal, RTU over TCP, RFC 2217; what is read is what the record says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from rtu_lines import SHORT_MS, WAYS, configured, device, due, reader, served, simulated

from gateway.forecast import forecast
from gateway.lines import Place
from protocols.errors import AnotherMeter, LinkError, MeterError, PlombaError
from protocols.modbus import faults
from protocols.modbus.debts import Debts
from protocols.modbus.registers import Table
from protocols.modbus.timing import Timing
from protocols.reading import Reading, Scaled
from protocols.transports.exchange import Clock
from protocols.transports.rtu import TRIES, RtuLine
from protocols.transports.tcp import TcpLine
from simulators.mbus.converter import Converter
from simulators.modbus.rtu import frame
from simulators.record import read

Shown = dict[str, tuple[int | str, int | str]]


def as_read(found: list[Reading]) -> Shown:
    """Mantissa and exponent by key."""
    shown: Shown = {}
    for value in (each for reading in found for each in reading.values):
        assert isinstance(value.number, Scaled)
        shown[str(value.key).removeprefix("modbus:")] = (value.number.mantissa, value.number.exponent)
    return shown


def as_told(folder: Path, telegram: bytes) -> Shown:
    """What the record says of the answers in a reading's telegram."""
    lines = [each for each in read(folder / "record.jsonl") if each.telegram in telegram.hex()]
    assert all(each.damaged in (None, "noise") for each in lines)
    return {key: (shown["m"], shown["e"]) for each in lines for key, shown in each.values.items()}


@pytest.mark.parametrize("way", WAYS)
async def test_meters_of_one_line_are_read_on_every_kind_of_line(way: str, tmp_path: Path) -> None:
    """With an echo, as two-wire adapters have it."""
    async with served(simulated(tmp_path, faults="echo"), way, tmp_path) as at:
        bus = configured(at)
        found = reader(bus)
        for each in bus.device:
            (reading,) = await found.read(due(each))
            assert as_read([reading]) == as_told(tmp_path, reading.exchange.telegram)
            assert len(reading.values) == 18
            assert reading.meter.fabrication == f"34{each.unit:05d}"
        found.let_go()


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_at_random_never_give_a_wrong_value(tmp_path: Path, seed: int) -> None:
    """Half of the answers suffer: late, of another unit, damaged, cut off, behind noise, none at all."""
    kinds = (
        "crc",
        "garble",
        "partial",
        "noise",
        "late",
        "silent",
        "wrong_unit",
        "wrong_function",
        "short",
        "exception",
    )
    bus = simulated(tmp_path, faults=",".join(f"{kind}=0.05" for kind in kinds), seed=seed)
    good = 0
    async with served(bus, "tcp+rtu", tmp_path) as at:
        config = configured(at, answer_ms=50)
        found = reader(config)
        for n in range(24):
            try:
                (reading,) = await found.read(due(config.device[n % 2]))
            except MeterError:
                continue
            assert as_read([reading]) == as_told(tmp_path, reading.exchange.telegram)
            good += 1
        found.let_go()
    assert good > 4


async def test_another_meter_at_the_unit_is_noticed(tmp_path: Path) -> None:
    async with served(simulated(tmp_path), "terminal", tmp_path) as at:
        other = device(1, serial="9999999")
        found = reader(configured(at, other))
        with pytest.raises(AnotherMeter, match=r"9999999.*3400001"):
            await found.read(due(other))
        found.let_go()


async def test_a_silent_unit_is_named_and_the_next_one_is_read(tmp_path: Path) -> None:
    bus = simulated(tmp_path)
    bus.meters[1].dead = True
    async with served(bus, "terminal", tmp_path) as at:
        config = configured(at, answer_ms=SHORT_MS)
        found = reader(config)
        with pytest.raises(faults.NoAnswer, match=r"PLB-M401.*unit 1"):
            await found.read(due(config.device[0]))
        assert len(await found.read(due(config.device[1]))) == 1
        bus.meters[1].dead = False
        assert len(await found.read(due(config.device[0]))) == 1
        found.let_go()


async def test_a_line_that_vanished_is_opened_again(tmp_path: Path) -> None:
    bus = simulated(tmp_path)
    async with served(bus, "terminal", tmp_path) as at:
        found = reader(configured(at))
        await found.read(due(device(1)))
    with pytest.raises(LinkError):
        await found.read(due(device(1)))
    async with served(bus, "terminal", tmp_path):
        assert len(await found.read(due(device(1)))) == 1
    found.let_go()


class Script:
    """A line's far end that says what it is told to say, question by question."""

    def __init__(self, *said: bytes) -> None:
        self.baud: int | None = None
        self.heard: list[bytes] = []
        self._said = list(said)

    def hear(self, octets: bytes) -> bytes:
        """The next thing to say; nothing when all is said."""
        self.heard.append(octets)
        return self._said.pop(0) if self._said else b""

    def silence(self) -> None:
        """The master paused."""


def answer(unit: int, *words: int) -> bytes:
    """An answer to function 04."""
    return frame(unit, 4, bytes([2 * len(words)]) + b"".join(each.to_bytes(2, "big") for each in words))


async def ask(script: Script, way: Path, *questions: tuple[int, Table, int, int]) -> list[bytes | str]:
    """The registers, or the error's code, of each question on one line."""
    found: list[bytes | str] = []
    async with served(script, "tcp+rtu", way) as at:
        port = int(at.rpartition(":")[2])
        line = RtuLine(await TcpLine.open("127.0.0.1", port), Timing(19_200, 100, SHORT_MS), Debts())
        for question in questions:
            try:
                found.append((await line.read(*question, Clock(lambda: 0, lambda: 0))).words)
            except PlombaError as error:
                found.append(error.code)
        line.close()
    return found


async def test_a_late_answer_is_never_taken_for_the_next_question(tmp_path: Path) -> None:
    """It has unit, function and length of the next one: in between another number of registers is asked for.

    The late answer (7) comes in front of that one's; the question's own is 8.
    """
    script = Script(b"", answer(1, 7, 7) + answer(1, 1, 2, 3, 4), answer(1, 8, 8))
    question: tuple[int, Table, int, int] = (1, "input", 52, 2)
    assert await ask(script, tmp_path, question, question) == ["PLB-M401", bytes.fromhex("00080008")]
    assert [each[5] for each in script.heard] == [2, 4, 2]


async def test_a_late_answer_in_place_of_the_next_is_never_taken(tmp_path: Path) -> None:
    """The meter that is two questions behind answers the first when it hears the third."""
    script = Script(b"", b"", answer(1, 7, 7), answer(1, 1, 2, 3, 4, 5, 6, 7, 8), answer(1, 8, 8))
    question: tuple[int, Table, int, int] = (1, "input", 52, 2)
    found = await ask(script, tmp_path, *[question] * 5)
    assert bytes.fromhex("00070007") not in found
    assert bytes.fromhex("00080008") in found


async def test_what_comes_spoilt_is_asked_for_again_at_once(tmp_path: Path) -> None:
    """With the fence in between: three times in all."""
    good, fence = answer(1, 8, 8), answer(1, 1, 2, 3, 4)
    spoilt = good[:-1] + b"\x00"
    question: tuple[int, Table, int, int] = (1, "input", 52, 2)
    assert await ask(Script(spoilt, fence, good), tmp_path, question) == [bytes.fromhex("00080008")]
    for_ever = Script(*[spoilt, fence] * TRIES)
    assert await ask(for_ever, tmp_path, question) == ["PLB-M408"]
    assert len(for_ever.heard) == 2 * TRIES - 1


async def test_behind_a_late_refusal_the_next_answer_is_still_owed(tmp_path: Path) -> None:
    """The refusal of the first question comes behind the second, whose answer comes behind the third."""
    late, fence = answer(1, 7, 7), answer(1, 1, 2, 3, 4)
    script = Script(b"", frame(1, 0x84, b"\x06"), late + fence, answer(1, 8, 8))
    found = await ask(script, tmp_path, (1, "input", 0, 24), (1, "input", 52, 2), (1, "input", 54, 2))
    assert found == ["PLB-M401", "PLB-M416", bytes.fromhex("00080008")]


async def test_a_refused_fence_is_an_answer_too(tmp_path: Path) -> None:
    script = Script(b"", frame(1, 0x84, b"\x02"), answer(1, 8, 8))
    question: tuple[int, Table, int, int] = (1, "input", 52, 2)
    assert await ask(script, tmp_path, question, question) == ["PLB-M401", bytes.fromhex("00080008")]


def test_the_forecast_of_a_line_counts_every_block_of_its_models() -> None:
    """At a converter its round trip, too; over Modbus TCP round trips alone."""
    on_port, away = configured("/dev/line", device(1), device(2, "siemens-pac3200")), configured("rfc2217://h:4001")
    assert str(forecast(on_port)) == (
        "2 meters, 0.6 s of each 15 min (0.1 %); at worst 18.3 s of each 15 min (2.1 %); "
        "Modbus RTU at 19200 baud, 50 ms for each answer, at worst 3000 ms"
    )
    assert forecast(away).round_ms - forecast(configured("/dev/line")).round_ms == 2 * 4 * 250
    assert forecast(configured("tcp://h:502")).round_ms == 2 * 4 * 250


@pytest.mark.parametrize(
    ("at", "place"),
    [
        ("/dev/line", Place("/dev/line", 19_200, "8N2")),
        ("tcp+rtu://h:4001", Place("tcp://h:4001", 19_200, "8N2")),
        ("rfc2217://h:4001", Place("rfc2217://h:4001", 19_200, "8N2")),
    ],
)
def test_a_line_has_the_parity_and_stop_bits_that_are_configured(at: str, place: Place) -> None:
    assert Place.of(replace(configured(at), parity="none", stop_bits=2)) == place
    assert Place.of(configured(at)).mode == "8E1"


async def test_one_owner_a_converter_that_has_a_client_is_a_named_error(tmp_path: Path) -> None:
    """It closes the second connection at once, as converters do."""
    async with served(simulated(tmp_path), "tcp+rtu", tmp_path) as at:
        first, second = reader(configured(at)), reader(configured(at))
        await first.read(due(device(1)))
        with pytest.raises(LinkError):
            await second.read(due(device(1)))
        await first.read(due(device(1)))
        first.let_go()
        second.let_go()


async def test_a_line_that_never_rests_costs_a_bounded_time(tmp_path: Path) -> None:
    """A device that babbles is named; the poll ends."""
    converter = Converter()
    await converter.start()
    line = RtuLine(await TcpLine.open("127.0.0.1", converter.port), Timing(19_200, 100, SHORT_MS), Debts())

    async def babble() -> None:
        while True:
            converter.write(bytes(64))
            await asyncio.sleep(0.002)

    babbling = asyncio.create_task(babble())
    with pytest.raises((faults.LineNeverRests, faults.BadCheck)):
        await line.read(1, "input", 52, 2, Clock(lambda: 0, lambda: 0))
    babbling.cancel()
    line.close()
    await converter.stop()
