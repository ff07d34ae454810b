"""Secondary addresses: the selection's bytes beside another builder, the read of a selected slave, and collisions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mbus_bench import Line, plate

from protocols.mbus import faults, link, select, telegram
from protocols.mbus.select import Secondary
from protocols.mbus.session import Done, Failed, ReadSession, SlaveState
from protocols.mbus.timing import Timing
from simulators.mbus import wire
from simulators.mbus.bus import Bus
from simulators.mbus.encoding import header, long_frame
from simulators.mbus.faults import Faults
from simulators.mbus.meters import Plate, cellar
from simulators.record import Record

NOW_MS = 1_793_000_000_000
HEAT, BROKEN, WATER = (Secondary.of(each) for each in ("603000012D2C3504", "1A7F2044824D0A04", "0771223324232C06"))


@pytest.fixture
def bus(tmp_path: Path) -> Callable[..., Bus]:
    """Makes a bus, by default with the three meters of a cellar."""

    def make(written: str = "", seed: int = 1, plates: tuple[Plate, ...] = cellar(), **more: float) -> Bus:
        made = Bus(plates, Record(tmp_path / "record.jsonl"), lambda: NOW_MS, seed, Faults.parse(written))
        made.stray, made.skew_bits = more.get("stray", 0.0), int(more.get("skew_bits", 0))
        return made

    return make


def outcome(line: Line, wanted: Secondary, slave: SlaveState | None = None) -> Done | Failed:
    return line.drive(ReadSession(select.selected(wanted), slave or SlaveState(), Timing()))


class Sent:
    """Stands for the port of another master's builder."""

    def __init__(self) -> None:
        self.octets = b""

    def write(self, octets: bytes) -> None:
        """Keep them."""
        self.octets = bytes(octets)


def test_another_builder_makes_the_same_selection() -> None:
    """PyMeterBus, for whole addresses and for patterns, 500 by seed."""
    from meterbus.serial import send_select_frame  # noqa: PLC0415 - the witness

    dice, sent = random.Random(5), Sent()
    for _ in range(500):
        digits = "".join(dice.choice("0123456789ABCDEFFFF") for _ in range(8))
        rest = "".join(dice.choice((f"{dice.randrange(256):02X}", "FF")) for _ in range(4))
        send_select_frame(sent, digits + rest)
        assert select.select(Secondary.of(digits + rest)) == sent.octets
    assert link.parse(sent.octets).octets == sent.octets


def test_an_address_is_written_and_read_back() -> None:
    assert Secondary.of(str(HEAT)) == HEAT == Secondary("60300001", 0x2C2D, 0x35, 4)
    assert Secondary.of("6030ffff") == Secondary("6030FFFF")
    assert HEAT.whole
    assert not Secondary("60300001").whole


@pytest.mark.parametrize("written", ["", "1234567", "123456789", "1234567G", "12345678" * 3, "\uff11" * 8])
def test_what_is_no_secondary_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected 8 or 16 digits"):
        Secondary.of(written)


@pytest.mark.parametrize(("manufacturer", "version", "medium"), [(0x10000, 0, 0), (-1, 0, 0), (0, 256, 0), (0, 0, -1)])
def test_an_address_that_has_no_bytes_is_refused(manufacturer: int, version: int, medium: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Secondary("12345678", manufacturer, version, medium)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("FFFFFFFF", True),
        ("6FFFFFFF", True),
        ("60300001FFFF35FF", True),
        ("603000012D2CFFFF", True),
        ("61FFFFFF", False),
        ("60300001FFFF36FF", False),
        ("60300001FFFFFF06", False),
        ("60300001824DFFFF", False),
    ],
)
def test_a_pattern_means_the_same_to_master_and_meter(bus: Callable[..., Bus], pattern: str, fits: bool) -> None:
    wanted = Secondary.of(pattern)
    assert wanted.fits(HEAT) is fits
    slave = bus().slaves[1]
    assert slave.select(wanted.to_bytes()) is slave.selected is fits


@pytest.mark.parametrize("written", ["", "echo", "noise=1", "noise=1,echo"])
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_selected_slaves_are_read_and_left_unselected(bus: Callable[..., Bus], written: str, size: int) -> None:
    slaves = bus(written)
    for wanted in (HEAT, BROKEN, WATER, HEAT):
        done = outcome(Line(slaves.hear, size), wanted)
        assert isinstance(done, Done), done
        assert [telegram.decode(frame).identity.id for frame in done.telegrams] == [wanted.id]
        assert not any(slave.selected for slave in slaves.slaves.values())


def test_the_frame_count_bit_is_kept_per_slave_over_selections(bus: Callable[..., Bus]) -> None:
    """The first read finds its bit by SND_NKE; then each toggles its own."""
    line, states = Line(bus().hear), {HEAT: SlaveState(), WATER: SlaveState()}
    for wanted in (HEAT, HEAT, WATER, HEAT, WATER):
        outcome(line, wanted, states[wanted])
    controls = "".join(
        {0x73: "s", 0x40: "r", 0x7B: "1", 0x5B: "0"}[sent[4 if sent[0] == 0x68 else 1]] for sent in line.sent
    )
    assert controls == "srs1r" + "s0r" + "srs1r" + "s1r" + "s0r"


def test_a_lost_answer_is_asked_for_with_the_same_bit_and_not_lost(bus: Callable[..., Bus]) -> None:
    slaves, state = bus(), SlaveState()
    outcome(Line(slaves.hear), HEAT, state)
    swallow = iter([False, True, False, False])
    line = Line(lambda octets: b"" if next(swallow) and slaves.hear(octets) else slaves.hear(octets))
    assert isinstance(outcome(line, HEAT, state), Done)
    assert line.sent[1] == line.sent[2]
    assert slaves.slaves[1].registers.count == 2


def test_after_a_failure_it_is_reset_and_selected_again(bus: Callable[..., Bus]) -> None:
    slaves, state = bus(), SlaveState()
    outcome(Line(slaves.hear), HEAT, state)
    assert isinstance(outcome(Line(lambda octets: b""), HEAT, state), Failed)
    line = Line(slaves.hear)
    assert isinstance(outcome(line, HEAT, state), Done)
    assert [sent[0] for sent in line.sent] == [0x68, 0x10, 0x68, 0x10, 0x10]


def test_a_meter_that_does_not_answer_a_deselection_is_read_all_the_same(bus: Callable[..., Bus]) -> None:
    slaves, state = bus(), SlaveState()
    line = Line(lambda octets: b"" if slaves.hear(octets) and octets[1] == 0x40 else slaves.hear(octets))
    assert isinstance(outcome(line, HEAT, state), Done)
    assert isinstance(outcome(line, HEAT, state), Done)


def test_a_silent_meter_is_named_by_its_secondary_address() -> None:
    failed = outcome(Line(lambda octets: b""), HEAT)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, faults.NoAnswer)
    assert "603000012D2C3504" in str(failed.error)


@pytest.mark.parametrize("body", [b"", header("07712233", "HYD", 0x2C, 6, access=1, status=0)])
def test_a_reply_of_another_meter_or_without_an_address_is_never_taken(body: bytes) -> None:
    other = long_frame(3, 0x72 if body else 0x78, body)
    failed = outcome(Line(lambda octets: b"\xe5" if octets[1] != 0x7B else other), HEAT)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, faults.WrongAddress if body else faults.NotAnAnswer)


def test_a_header_with_the_high_byte_first_is_compared_too() -> None:
    low = header("60300001", "KAM", 0x35, 4, access=1, status=0)
    frame = long_frame(1, 0x76, low[:4][::-1] + low[4:6][::-1] + low[6:])
    assert select.of_header(link.parse(frame)) == HEAT
    done = outcome(Line(lambda octets: b"\xe5" if octets[1] != 0x7B else frame), HEAT)
    assert isinstance(done, Done)


def test_late_answers_never_become_those_of_another_selected_meter(bus: Callable[..., Bus]) -> None:
    """Three hundred reads where a third of the answers come with the next question."""
    slaves, states, good = bus("late=0.3", 3), {each: SlaveState() for each in (HEAT, BROKEN, WATER)}, 0
    for turn in range(300):
        wanted = (HEAT, BROKEN, WATER)[turn % 3]
        done = outcome(Line(slaves.hear), wanted, states[wanted])
        if isinstance(done, Done):
            good += 1
            assert [telegram.decode(frame).identity.id for frame in done.telegrams] == [wanted.id]
    assert good > 150


def test_several_that_are_selected_at_once_give_no_value(bus: Callable[..., Bus]) -> None:
    failed = outcome(Line(bus().hear), Secondary())
    assert isinstance(failed, Failed)


def test_talks_at_once_are_the_and_of_their_bytes_and_the_rest_of_the_longer_one() -> None:
    dice = random.Random(1)
    for _ in range(200):
        talks = [dice.randbytes(dice.randrange(1, 30)) for _ in range(dice.randrange(1, 4))]
        expected = bytearray(b"\xff" * max(map(len, talks)))
        for talk in talks:
            for at, octet in enumerate(talk):
                expected[at] &= octet
        assert wire.together((0, talk) for talk in talks) == bytes(expected)


def test_a_talk_alone_is_heard_whole_whenever_it_begins() -> None:
    assert wire.together([(17, b"abc\xe5\x00\xff")]) == b"abc\xe5\x00\xff"


def test_acknowledgements_a_whole_character_apart_are_both_heard_and_otherwise_become_another_byte() -> None:
    assert wire.together([(0, b"\xe5"), (11, b"\xe5")]) == b"\xe5\xe5"
    assert wire.together([(0, b"\xe5"), (0, b"\xe5")]) == b"\xe5"
    assert wire.together([(0, b"\xe5"), (3, b"\xe5")]) not in (b"\xe5", b"")


def test_slaves_at_one_primary_address_collide(bus: Callable[..., Bus]) -> None:
    twins = tuple(replace(each, address=5) for each in cellar())
    slaves = bus(plates=twins)
    assert len(slaves.others) == 2
    assert slaves.hear(bytes.fromhex("1040054516")) == b"\xe5"
    failed = Line(slaves.hear).drive(ReadSession(5, SlaveState(), Timing()))
    assert isinstance(failed, Failed)


def test_another_selection_and_a_deselection_end_a_selection(bus: Callable[..., Bus]) -> None:
    slaves = bus()
    ask = bytes.fromhex("105bfd5816")
    assert slaves.hear(ask) == slaves.hear(select.deselect()) == b""
    for then in (select.deselect(), select.select(Secondary("99999999"))):
        assert slaves.hear(select.select(HEAT)) == b"\xe5"
        assert link.parse(slaves.hear(ask)).address == 1
        slaves.hear(then)
        assert slaves.hear(ask) == b""


def test_stray_noise_is_the_same_for_the_same_seed(bus: Callable[..., Bus], tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        (tmp_path / "record.jsonl").unlink(missing_ok=True)
        noisy = bus(seed=3, stray=0.5, plates=(plate("12345678"),))
        runs.append([noisy.hear(select.select(Secondary())) for _ in range(50)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 10
