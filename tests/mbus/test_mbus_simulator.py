"""Simulated meters: what they answer is what their own record says, told by two independent decoders; restarts."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from protocols.mbus import link, telegram
from protocols.mbus.meaning import values
from protocols.models import mbus as models
from protocols.reading import Float32, MeterTime, Raw, Scaled, State, Text, Value
from simulators.mbus.bus import Bus
from simulators.mbus.faults import KINDS, Faults
from simulators.mbus.heat import boiler_room
from simulators.mbus.meters import cellar
from simulators.record import Answered, Record, read

NOW_MS = 1_793_000_000_000
STATES = {
    "error-state": State.ERROR_STATE,
    "invalid": State.INVALID,
    "unknown": State.UNKNOWN,
    "recurring": State.RECURRING,
}


def ask(bus: Bus, address: int, fcb: int) -> bytes:
    control = 0x5B | fcb
    return bus.hear(bytes([0x10, control, address, (control + address) & 0xFF, 0x16]))


def polls(bus: Bus, count: int) -> list[bytes]:
    return [ask(bus, address, 0x20 * (turn % 2)) for turn in range(count) for address in (1, 2, 3)]


def clock() -> Iterator[int]:
    yield from range(NOW_MS, NOW_MS + 10**12, 900_000)


def shown(value: Value) -> dict[str, int | str]:
    """A value of ours in the words of the simulators' record."""
    number = value.number
    if isinstance(number, Scaled):
        return {"m": number.mantissa, "e": number.exponent, "unit": value.unit}
    if isinstance(number, Float32):
        return {"bits": number.bits, "e": number.exponent, "unit": value.unit}
    if isinstance(number, Text):
        return {"text": number.text}
    if isinstance(number, MeterTime):
        return {"time": str(number)}
    assert isinstance(number, Raw)
    name = next(name for name, state in STATES.items() if state is value.state)
    return {"state": name, "raw": number.octets.hex()}


def name_of(value: Value) -> str:
    vib, storage, tariff, subunit, function, _ = value.key.parts
    assert isinstance(vib, bytes)
    return "/".join([vib.hex(), *(f"{part!r}" for part in (storage, tariff, subunit, function))])


@pytest.fixture
def recorded(tmp_path: Path) -> list[Answered]:
    """Fifty answers of each meter, a quarter of an hour apart."""
    times = clock()
    bus = Bus(cellar(), Record(tmp_path / "record.jsonl"), lambda: next(times), seed=4)
    polls(bus, 50)
    return list(read(tmp_path / "record.jsonl"))


def test_what_is_decoded_is_what_the_meter_showed(recorded: list[Answered]) -> None:
    assert len(recorded) == 150
    for answered in recorded:
        answer = telegram.decode(link.parse(bytes.fromhex(answered.telegram)))
        assert answer.identity.id == answered.meter
        assert {name_of(value): shown(value) for value in values(answer)} == answered.values


def test_every_telegram_is_unique_and_no_counter_goes_back(recorded: list[Answered]) -> None:
    assert len({answered.telegram for answered in recorded}) == len(recorded)
    for meter in {answered.meter for answered in recorded}:
        energies = [answered.registers["volume"] for answered in recorded if answered.meter == meter]
        assert energies == sorted(set(energies))


def test_an_independent_decoder_finds_the_same_records(recorded: list[Answered]) -> None:
    import meterbus  # noqa: PLC0415 - the witness

    for answered in recorded:
        body: Any = meterbus.load(list(bytes.fromhex(answered.telegram))).body
        vibs = [bytes(r.vib.parts).hex() for r in body.bodyPayload.records if not r.dib.is_eoud]
        assert vibs == [key.split("/")[0] for key in answered.values]
        assert body.interpreted["header"]["access_no"] == answered.registers["count"] % 256


def test_stored_values_and_the_maximum_have_their_own_times(recorded: list[Answered]) -> None:
    heat = next(answered for answered in recorded if answered.address == 1)
    own = {
        name_of(value): str(value.time) for value in values(telegram.decode(link.parse(bytes.fromhex(heat.telegram))))
    }
    assert own["06/1/0/0/0"] == own["14/1/0/0/0"] == heat.values["6c/1/0/0/0"]["time"]
    assert own["2d/0/0/0/1"] == heat.values["ad6f/0/0/0/1"]["time"]
    assert own["06/0/0/0/0"] == "None"


def test_the_set_day_takes_what_the_counter_showed(tmp_path: Path) -> None:
    days = iter(NOW_MS + 86_400_000 * day for day in range(100))
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: next(days), seed=1)
    for turn in range(80):
        ask(bus, 3, 0x20 * (turn % 2))
    lines = list(read(tmp_path / "r"))
    steps = [(a, b) for a, b in pairwise(lines) if a.registers["set_day"] != b.registers["set_day"]]
    assert len(steps) >= 2
    assert all(b.registers["set_volume"] == a.registers["volume"] for a, b in steps)


def test_the_same_frame_count_bit_gets_the_same_telegram_again(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    first, again, fresh = ask(bus, 1, 0x20), ask(bus, 1, 0x20), ask(bus, 1, 0)
    assert first == again != fresh
    assert [answered.repeat for answered in read(tmp_path / "r")] == [False, True, False]


@pytest.fixture
def boilers(tmp_path: Path) -> list[Answered]:
    """Eight questions to each of six heat meters, a quarter of an hour apart."""
    times = clock()
    bus = Bus(boiler_room(), Record(tmp_path / "record.jsonl"), lambda: next(times), seed=4)
    for turn in range(8):
        for address in bus.slaves:
            ask(bus, address, 0x20 * (turn % 2))
    return list(read(tmp_path / "record.jsonl"))


def test_heat_meters_of_six_makers_are_decoded_as_they_show(boilers: list[Answered]) -> None:
    assert len({answered.meter for answered in boilers}) == 6
    for answered in boilers:
        answer = telegram.decode(link.parse(bytes.fromhex(answered.telegram)))
        assert {name_of(value): shown(value) for value in values(answer)} == answered.values


def test_the_models_of_the_product_know_all_six(boilers: list[Answered]) -> None:
    identities = [telegram.decode(link.parse(bytes.fromhex(each.telegram))).identity for each in boilers[:6]]
    assert all(models.candidates(each) for each in identities)


def test_an_answer_of_three_telegrams_begins_again_after_the_last_one_and_after_a_reset(tmp_path: Path) -> None:
    bus = Bus(boiler_room(), Record(tmp_path / "r"), lambda: NOW_MS)

    def energies(*fcbs: int) -> list[tuple[bool, int]]:
        answers = [telegram.decode(link.parse(ask(bus, 5, fcb))) for fcb in fcbs]
        return [(answer.more, len(answer.records)) for answer in answers]

    assert energies(0x20, 0, 0, 0x20, 0) == [(True, 6), (True, 6), (True, 6), (False, 4), (True, 6)]
    assert bus.hear(bytes.fromhex("1040054516")) == b"\xe5"
    assert energies(0x20) == [(True, 6)]


def test_meters_that_ignore_the_frame_count_bit_never_repeat(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS, faults=Faults.parse("fcb"))
    assert ask(bus, 1, 0x20) != ask(bus, 1, 0x20)


def test_some_meters_are_dead_and_the_same_ones_for_the_same_seed(tmp_path: Path) -> None:
    def alive(seed: int) -> list[bool]:
        bus = Bus(boiler_room(), Record(tmp_path / "r"), lambda: NOW_MS, seed, Faults.parse("dead=0.5"))
        return [bool(ask(bus, address, 0)) for address in sorted(bus.slaves)]

    assert [alive(seed) for seed in range(5)] == [alive(seed) for seed in range(5)]
    assert 5 < sum(sum(alive(seed)) for seed in range(5)) < 25


def test_a_reset_forgets_the_frame_count_bit(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    first = ask(bus, 1, 0x20)
    assert bus.hear(bytes.fromhex("1040014116")) == b"\xe5"
    assert ask(bus, 1, 0x20) != first


def test_other_addresses_and_broken_requests_are_ignored(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    assert bus.hear(bytes.fromhex("107b088316") + bytes.fromhex("107b017d16") + b"\x00\xff\x10") == b""
    bus.silence()
    assert ask(bus, 1, 0)


def test_a_request_may_come_byte_by_byte(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    answers = [bus.hear(bytes([octet])) for octet in bytes.fromhex("107b017c16")]
    assert answers[:4] == [b""] * 4
    assert link.parse(answers[4]).address == 1


def test_a_restarted_simulator_continues_where_it_was(tmp_path: Path) -> None:
    """Also with another seed, after a line torn by a kill."""
    path = tmp_path / "record.jsonl"
    polls(Bus(cellar(), Record(path), lambda: NOW_MS, seed=1), 5)
    before = list(read(path))
    with path.open("ab") as file:
        file.write(b'{"at_ms":17930000')
    polls(Bus(cellar(), Record(path), lambda: NOW_MS, seed=2), 5)
    after = list(read(path))
    assert after[:15] == before
    for meter in {answered.meter for answered in after}:
        rows = [answered.registers for answered in after if answered.meter == meter]
        assert [row["count"] for row in rows] == list(range(1, 11))
        assert all(a["volume"] < b["volume"] for a, b in pairwise(rows))


def test_the_record_stands_before_the_answer_is_given(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    answer = ask(bus, 1, 0)
    row = json.loads((tmp_path / "r").read_text())
    assert (row["telegram"], row["damaged"], row["repeat"]) == (answer.hex(), False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_recorded_with_the_intact_frame(tmp_path: Path, kind: str) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS, faults=Faults.parse(f"{kind}=1"))
    on_wire = ask(bus, 1, 0)
    (answered,) = read(tmp_path / "r")
    intact = bytes.fromhex(answered.telegram)
    assert link.parse(intact).address == 1
    assert on_wire != intact
    assert answered.damaged == (None if kind == "noise" else kind)


def test_a_late_answer_comes_with_the_next_request(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS, faults=Faults.parse("late=1"))
    assert ask(bus, 1, 0) == b""
    assert link.parse(ask(bus, 2, 0)).address == 1


def test_faults_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    runs = [
        polls(Bus(cellar(), Record(tmp_path / f"{run}"), lambda: NOW_MS, 5, Faults.parse("garble=0.3,noise=0.3")), 20)
        for run in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "written", ["nois=0.1", "noise", "dead", "dead=2", "fcb=1", "noise=2", "noise=0.6,late=0.6", "noise=x"]
)
def test_faults_that_make_no_sense_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"expected|could not"):
        Faults.parse(written)


def test_frozen_meters_answer_no_more(tmp_path: Path) -> None:
    bus = Bus(cellar(), Record(tmp_path / "r"), lambda: NOW_MS)
    bus.frozen = True
    assert ask(bus, 1, 0) == bus.hear(bytes.fromhex("1040014116")) == b""


def test_the_simulators_share_no_code_with_the_codec() -> None:
    """They encode on their own: a mistake made twice would not show."""
    for path in (Path(__file__).parents[2] / "simulators" / "mbus").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(("protocols", "meterbus"))]
