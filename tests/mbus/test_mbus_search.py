"""The search for secondary addresses, on simulated buses whose meters talk over each other bit by bit."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mbus_bench import Hear, plate, seek

from protocols.mbus import faults, link, select
from protocols.mbus.search import HOPELESS, SecondarySearch
from protocols.mbus.select import Secondary
from protocols.mbus.session import Failed, Send, Wait
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices
from protocols.transports import exchange
from protocols.transports.serial import SerialLine
from simulators.mbus.bus import Bus
from simulators.mbus.encoding import address_of, header, long_frame
from simulators.mbus.faults import Faults
from simulators.mbus.line import PtyLine, serve
from simulators.mbus.meters import Plate, cellar
from simulators.mbus.registers import Registers
from simulators.record import Record

NOW_MS = 1_793_000_000_000
HEXADECIMAL = Choices(letters=True)
TWO = (plate("12345678"), plate("87654321", "LUG"))
FOUR = (plate("12345678"), plate("12399999", "ZRI"), plate("55555555"), plate("60000001", medium=6))
MAKERS = (plate("12345678", "KAM"), plate("12345678", "LUG"))
PLATES_DIFFER = tuple(plate("12345678", "LUG", version, medium) for version, medium in ((7, 4), (9, 6), (9, 7)))
LETTERS = (plate("1A7C2044"), plate("1A7E2055"), plate("1B000000"), plate("ABCDEABC"))
WITH_F = (plate("1F000001"), plate("1F000002"), plate("22222222"))


def many(seed: int) -> tuple[Plate, ...]:
    """Twenty meters: half of them neighbours of one delivery that have counted nothing yet."""
    dice = random.Random(f"twenty/{seed}")
    mixed = [plate(f"{dice.randrange(10**8):08d}", dice.choice(("LUG", "ZRI")), dice.randrange(200)) for _ in range(10)]
    first = dice.randrange(10**7)
    return (*mixed, *(replace(plate(f"{first + n:08d}"), first=Registers()) for n in range(10)))


BUSES = {
    "2 of 2": (TWO, Choices()),
    "4 of 4": (FOUR, Choices()),
    "same id, two manufacturers": (MAKERS, Choices()),
    "same id, other version and medium": (PLATES_DIFFER, Choices()),
    "hex digits": (LETTERS, HEXADECIMAL),
    "F in the id": (WITH_F, HEXADECIMAL),
    "20 of 20": (many(1), Choices()),
}


@pytest.fixture
def bus(tmp_path: Path) -> Callable[..., Bus]:
    """Makes a bus of these meters; each has a record of its own."""

    def make(plates: tuple[Plate, ...], written: str = "", seed: int = 1, stray: float = 0, skew_bits: int = 0) -> Bus:
        record = Record(tmp_path / f"record-{len(list(tmp_path.iterdir()))}.jsonl")
        return Bus(plates, record, lambda: NOW_MS, seed, Faults.parse(written), stray, skew_bits)

    return make


def addresses(plates: tuple[Plate, ...]) -> set[Secondary]:
    return {
        Secondary.of(octets[:4][::-1].hex() + octets[4:].hex())
        for each in plates
        for octets in [address_of(each.number, each.model.letters, each.model.version, each.model.medium)]
    }


def meters(search: SecondarySearch) -> set[Secondary]:
    assert len({each.meter for each in search.found}) == len(search.found)
    return {each.meter for each in search.found}


@pytest.mark.parametrize("skew_bits", [0, 5, 330])
@pytest.mark.parametrize("name", BUSES)
def test_all_meters_of_a_bus_are_found(bus: Callable[..., Bus], name: str, skew_bits: int) -> None:
    plates, choices = BUSES[name]
    search = SecondarySearch(Timing(), choices, len(plates))
    assert seek(search, bus(plates, skew_bits=skew_bits).hear) is None
    assert meters(search) == addresses(plates)
    assert not search.missing
    assert not search.unresolved


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", BUSES)
def test_all_are_found_with_stray_noise_after_one_question_of_ten(
    bus: Callable[..., Bus], name: str, seed: int
) -> None:
    """And with an echo, in pieces, with meters that begin at different bits."""
    plates, choices = BUSES[name]
    search = SecondarySearch(Timing(), choices, len(plates))
    noisy = bus(plates, "echo" if seed % 2 else "", seed, stray=0.1, skew_bits=(0, 7, 330)[seed % 3])
    assert seek(search, noisy.hear, size=(1, 7, 1_000)[seed % 3]) is None
    assert meters(search) == addresses(plates)


def test_an_unknown_manufacturer_is_reported_and_found_on_request(bus: Callable[..., Bus]) -> None:
    plates = (plate("12345678", "KAM"), plate("12345678", "QQX"))
    search = SecondarySearch(Timing(), expected=2)
    seek(search, bus(plates).hear)
    assert search.missing == 1
    assert any("search every manufacturer" in told for told in search.unresolved)
    again = SecondarySearch(Timing(), Choices(every_manufacturer=True))
    seek(again, bus(plates).hear)
    assert meters(again) == addresses(plates)


def test_letters_that_were_not_asked_for_are_reported_never_taken_for_absence(bus: Callable[..., Bus]) -> None:
    search = SecondarySearch(Timing(), expected=4)
    seek(search, bus(LETTERS).hear)
    assert search.missing
    assert any("search with A-F" in told for told in search.words())


BESIDE_LETTERS = (plate("1A7F2044"), plate("1A702044"), plate("1A712044"))
BESIDE_DIGITS = (plate("127F2044"), plate("12702044"), plate("12712044"))


def test_an_f_beside_two_neighbours_with_letters_is_unresolved_until_the_meters_are_counted(
    bus: Callable[..., Bus],
) -> None:
    """F selects any: whether one more answers with the two cannot be told, and what cannot be told is no success."""
    search = SecondarySearch(Timing(), HEXADECIMAL)
    seek(search, bus(BESIDE_LETTERS).hear)
    assert meters(search) == addresses(BESIDE_LETTERS[1:])
    assert [told for told in search.unresolved if "an F in its number" in told and "1A7?...." in told]
    again = SecondarySearch.from_row(json.loads(json.dumps(search.to_row())), Timing())
    assert again.words() == search.words()


@pytest.mark.parametrize(("choices", "letter"), [(Choices(), "a letter (A-F)"), (HEXADECIMAL, "an F")])
def test_where_a_letter_may_hide_behind_decimal_numbers_is_a_note(
    bus: Callable[..., Bus], choices: Choices, letter: str
) -> None:
    search = SecondarySearch(Timing(), choices)
    seek(search, bus(BESIDE_DIGITS).hear)
    assert meters(search) == addresses(BESIDE_DIGITS[1:])
    assert not search.unresolved
    assert search.words()[-1].startswith(f"note: a meter with {letter} in its number where ? stands (127?....,")
    again = SecondarySearch.from_row(json.loads(json.dumps(search.to_row())), Timing())
    assert again.words() == search.words()


@pytest.mark.parametrize("found", [BESIDE_LETTERS[1:], BESIDE_DIGITS[1:]], ids=["letters", "digits"])
def test_where_all_expected_meters_were_found_nothing_is_said_to_hide(
    bus: Callable[..., Bus], found: tuple[Plate, ...]
) -> None:
    search = SecondarySearch(Timing(), HEXADECIMAL, expected=2)
    seek(search, bus(found).hear)
    assert not search.unresolved
    assert not [told for told in search.words() if "in its number" in told]


def test_two_meters_with_one_address_are_reported(bus: Callable[..., Bus]) -> None:
    twins = (plate("12345678"), replace(plate("12345678"), first=Registers(volume=77)))
    search = SecondarySearch(Timing())
    seek(search, bus(twins).hear)
    assert not search.found
    assert any("several answer" in told for told in search.unresolved)


def test_an_empty_bus_is_said_to_be_silent(bus: Callable[..., Bus]) -> None:
    search = SecondarySearch(Timing(), expected=1)
    assert seek(search, bus(()).hear) is None
    assert search.counts.selections == 2
    assert search.words()[1:3] == [
        "silence: wildcards that nobody answered: 1",
        "collision: wildcards that several meters answered, or not clearly: 0",
    ]
    assert search.words()[-1] == "missing: 1 of 1 expected meters"


def test_echo_noise_and_collision_are_told_apart(bus: Callable[..., Bus]) -> None:
    search = SecondarySearch(Timing())
    seek(search, bus(TWO, "echo", 3, stray=0.2).hear)
    words = " ".join(search.words())
    assert all(word in words for word in ("silence: ", "collision: ", "noise: ", "echo: "))
    assert search.counts.collisions == 1


def test_a_line_that_is_only_noise_ends_the_search_by_name() -> None:
    dice = random.Random(1)
    search = SecondarySearch(Timing())
    error = seek(search, lambda octets: dice.randbytes(dice.randrange(1, 20)))
    assert isinstance(error, faults.OnlyNoise)
    assert search.counts.selections <= HOPELESS


def test_a_line_that_talks_without_being_asked_ends_the_search_by_name() -> None:
    search = SecondarySearch(Timing())
    assert isinstance(search.next(), Wait)
    for _ in range(100):
        search.received(bytes(100))
    step = search.next()
    assert isinstance(step, Failed)
    assert isinstance(step.error, faults.Babble)


def test_a_late_answer_of_another_meter_is_never_taken(bus: Callable[..., Bus]) -> None:
    """A meter that is not on the list answers behind every question: whole, well formed, not selected."""
    late = long_frame(9, 0x72, header("99999999", "KAM", 1, 4, access=1, status=0))
    slaves = bus(TWO)
    search = SecondarySearch(Timing())
    seek(search, lambda octets: slaves.hear(octets) + (late if octets[1] != 0x0B else b""))
    assert meters(search) == addresses(TWO)
    assert search.counts.foreign


@pytest.mark.parametrize("seed", range(10))
def test_answers_that_come_with_the_next_question_name_nobody_wrongly(bus: Callable[..., Bus], seed: int) -> None:
    search = SecondarySearch(Timing(), expected=4)
    seek(search, bus(FOUR, "late=0.3", seed).hear)
    assert meters(search) <= addresses(FOUR)
    assert meters(search) == addresses(FOUR) or search.missing


def test_a_meter_that_only_acknowledges_is_reported(bus: Callable[..., Bus]) -> None:
    slaves = bus(TWO[:1])
    search = SecondarySearch(Timing())
    seek(search, lambda octets: b"" if slaves.hear(octets) and octets[1] != 0x0B else slaves.hear(octets))
    assert not search.found
    assert any("gives no values" in told and "12345678" in told for told in search.unresolved)


@pytest.mark.parametrize("name", ["4 of 4", "same id, two manufacturers", "hex digits", "20 of 20"])
def test_a_search_that_is_stopped_again_and_again_finds_the_same(bus: Callable[..., Bus], name: str) -> None:
    """Its state goes through JSON each time."""
    plates, choices = BUSES[name]
    slaves, dice = bus(plates), random.Random(name)
    search = SecondarySearch(Timing(), choices, len(plates))
    for _ in range(1_000):
        seek(search, slaves.hear, stop=dice.randrange(1, 60))
        if search.next() is None:
            break
        search = SecondarySearch.from_row(json.loads(json.dumps(search.to_row())), Timing())
    straight = SecondarySearch(Timing(), choices, len(plates))
    seek(straight, bus(plates).hear)
    assert search.found == straight.found
    assert search.unresolved == straight.unresolved
    again = SecondarySearch.from_row(search.to_row(), Timing())
    seek(again, slaves.hear)
    assert again.to_row() == search.to_row()


@pytest.mark.parametrize("name", ["4 of 4", "same id, other version and medium", "20 of 20"])
def test_a_search_among_others_who_deselect_its_meters_finds_the_same(bus: Callable[..., Bus], name: str) -> None:
    """It is told so: what was selected is selected again, and no silence of then counts."""
    plates, choices = BUSES[name]
    slaves, dice, search = bus(plates), random.Random(name), SecondarySearch(Timing(), choices, len(plates))
    for _ in range(20_000):
        seek(search, slaves.hear, stop=dice.randrange(1, 5))
        if search.next() is None:
            break
        slaves.hear(select.deselect())
        search.interrupted()
    assert meters(search) == addresses(plates)
    assert not search.unresolved


def test_a_meter_that_others_deselect_again_and_again_is_no_collision(bus: Callable[..., Bus]) -> None:
    """It acknowledged, and was not asked for its values."""
    slaves, search = bus(TWO[:1]), SecondarySearch(Timing())
    for _ in range(40):
        seek(search, slaves.hear, stop=1)
        slaves.hear(select.deselect())
        search.interrupted()
    seek(search, slaves.hear)
    assert (meters(search), search.counts.collisions) == (addresses(TWO[:1]), 0)


@pytest.mark.parametrize("plates", [(*PLATES_DIFFER, *FOUR), (*MAKERS, plate("12345678", medium=7), *FOUR)])
def test_a_search_within_a_pattern_finds_its_meters_alone(bus: Callable[..., Bus], plates: tuple[Plate, ...]) -> None:
    """Nobody else is ever selected; its state keeps the pattern."""
    for medium in (4, 6, 7):
        slaves, wanted = bus(plates), Secondary(medium=medium)
        search = SecondarySearch.from_row(SecondarySearch(Timing(), within=wanted).to_row(), Timing())
        for _ in range(1_000):
            assert search.mask.medium == medium
            seek(search, slaves.hear, stop=7)
            if search.next() is None:
                break
            search = SecondarySearch.from_row(json.loads(json.dumps(search.to_row())), Timing())
        assert meters(search) == {each for each in addresses(plates) if wanted.fits(each)}


@pytest.mark.parametrize(
    "change",
    [
        {"within": "FFFF"},
        {"levels": [{"mask": "FFFFFFFF", "at": 0, "choice": 10, "known": 0}]},
        {"levels": [{"mask": "FFFFFFFF", "at": 11, "choice": 0, "known": 0}]},
        {"levels": [{"mask": "FFFFFFFF", "at": "0", "choice": 0, "known": 0}]},
        {"levels": [{"mask": "FFFF", "at": 0, "choice": 0, "known": 0}]},
        {"levels": 5},
        {"levels": [5]},
        {"found": [{"meter": "x", "address": 1}]},
        {"counts": None},
        {"left": [7]},
        {"left": ["12......"]},
        {"most": -1},
        {"expected": "2"},
    ],
)
def test_a_state_that_is_none_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SecondarySearch.from_row({**SecondarySearch(Timing()).to_row(), **change}, Timing())


def test_progress_says_what_is_done_and_ends_at_nothing(bus: Callable[..., Bus]) -> None:
    slaves, search = bus(FOUR), SecondarySearch(Timing(2400))
    seek(search, slaves.hear, stop=30)
    part = search.progress()
    assert (part.selections, part.found) == (search.counts.selections, len(search.found))
    assert 10 < part.left < 1_000
    assert 0 < part.seconds_left < 400
    seek(search, slaves.hear)
    assert (search.progress().left, search.progress().seconds_left) == (0, 0)


def test_a_search_has_an_end_whatever_answers() -> None:
    dice = random.Random(2)
    search = SecondarySearch(Timing(), most=500)
    seek(search, lambda octets: b"" if dice.random() < 0.3 else dice.randbytes(9))
    assert search.counts.selections <= 500
    assert any("incomplete" in told for told in search.unresolved)


REPLIES: tuple[Hear, ...] = (
    lambda octets: b"\xe5",
    lambda octets: b"\xe5" * 300,
    lambda octets: octets,
    lambda octets: octets + b"\xe5" + octets,
    lambda octets: long_frame(1, 0x72, header("12345678", "KAM", 1, 4, access=0, status=0)),
    lambda octets: b"\xe5" + long_frame(1, 0x72, octets[7:15].ljust(12, b"\x11")) * 20,
    lambda octets: bytes.fromhex("68ffff68") + bytes(200),
)


@pytest.mark.parametrize("hear", REPLIES)
def test_what_no_bus_answers_ends_too(hear: Hear) -> None:
    search = SecondarySearch(Timing(), most=2_000)
    seek(search, hear)
    assert search.counts.selections <= 2_000


def test_nothing_is_read_without_a_selection_before_and_the_last_meter_is_left_unselected(
    bus: Callable[..., Bus],
) -> None:
    slaves, sent = bus(FOUR), list[bytes]()

    def hear(octets: bytes) -> bytes:
        sent.append(octets)
        return slaves.hear(octets)

    seek(SecondarySearch(Timing()), hear)
    assert sent[-1] == select.deselect()
    assert sent[0] == select.select(Secondary())
    assert {link.parse(octets).address for octets in sent} == {253}
    assert not any(slave.selected for slave in (*slaves.slaves.values(), *slaves.others))


async def test_a_cellar_is_searched_over_a_terminal(tmp_path: Path) -> None:
    clock = exchange.Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
    slaves = Bus(cellar(), Record(tmp_path / "record.jsonl"), clock.utc_ms, 1, Faults.parse("echo"))
    far, stop = PtyLine(tmp_path / "bus0"), asyncio.Event()
    serving = asyncio.create_task(serve(slaves, far, stop))
    search = SecondarySearch(Timing(38_400, slack_ms=60), expected=3)
    try:
        with SerialLine.open(str(tmp_path / "bus0")) as line:
            while await exchange.ask(search, line, clock):
                pass
    finally:
        stop.set()
        await serving
        far.close()
    assert {(each.meter.id, each.address) for each in search.found} == {(p.number, p.address) for p in cellar()}
    assert not search.missing


def test_questions_are_bounded_in_time_too(bus: Callable[..., Bus]) -> None:
    search = SecondarySearch(Timing())
    search.timed_out()
    step = search.next()
    assert isinstance(step, Send)
    assert step.deadline_ms == Timing().answered_ms(len(step.octets))
