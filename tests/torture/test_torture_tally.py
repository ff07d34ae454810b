"""The tally by telegram finds what is lost, twice, altered or hardly asked, and excuses only what was in the making."""

from __future__ import annotations

import dataclasses

import pytest

from simulators.record import Answered
from simulators.site.count import Stored, raw_hash
from simulators.site.parts import Down
from simulators.torture.tally import Stepped, by_telegram, percentile, recoveries, total

BEGAN, CADENCE = 1_793_000_000_000, 5_000
METER = "00000001"
ANSWERS = [
    Answered(BEGAN + n * CADENCE + 100, METER, 1, f"68{n:04x}16", None, False, {"06/0": {"m": n, "e": 3, "unit": "Wh"}})
    for n in range(8)
]
STORED = [
    Stored(METER, 7, raw_hash(each.telegram), {"06/0": {"kind": "number", "value": value, "unit": "Wh"}})
    for each, value in zip(ANSWERS, ["0", *(f"{n}000" for n in range(1, 8))], strict=True)
]
RUN = Stepped(BEGAN, BEGAN + 8 * CADENCE, CADENCE, (), (), frozenset())


def test_slots_play_no_part() -> None:
    """All readings claim to be of one slot, as a clock that was set may say."""
    result = by_telegram(ANSWERS, STORED, RUN, 0)
    assert (result.holds(), result.produced, result.stored, result.excused) == (True, 8, 8, 0)


def test_a_telegram_that_is_not_stored_is_lost_and_named() -> None:
    """Unless it is on its way."""
    result = by_telegram(ANSWERS, STORED[1:], RUN, 0)
    assert (result.lost, result.missing) == (1, (f"meter {METER}, answered at {BEGAN + 100}",))
    assert by_telegram(ANSWERS, STORED[1:], RUN, 1).lost == 0


def test_a_telegram_that_was_damaged_on_the_wire_is_not_produced() -> None:
    """Its meter sent it, nobody could read it."""
    noisy = [dataclasses.replace(ANSWERS[0], damaged="garble"), *ANSWERS[1:]]
    assert by_telegram(noisy, STORED[1:], RUN, 0).holds()


def test_a_telegram_stored_twice_or_altered_or_invented_is_found() -> None:
    """By its hash and the values that the meter showed with it."""
    assert by_telegram(ANSWERS, [*STORED, STORED[3]], RUN, 0).twice == 1
    moved = dataclasses.replace(STORED[0], values=STORED[1].values)
    assert by_telegram(ANSWERS, [moved, *STORED[1:]], RUN, 0).altered == 1
    foreign = dataclasses.replace(STORED[0], meter="00000002")
    assert by_telegram(ANSWERS, [foreign, *STORED[1:]], RUN, 0).altered == 1
    assert by_telegram(ANSWERS, [*STORED, dataclasses.replace(STORED[0], raw_hash="00")], RUN, 0).altered == 1


@pytest.mark.parametrize(
    ("down", "steps", "excused"),
    [
        ((0, 500), (), 1),  # killed before the answer, back after it
        ((2_900, 3_500), (), 1),  # killed before it must have been sealed
        ((3_200, 3_500), (), 0),  # ... and after that
        (None, (-1_000,), 1),  # the poll may have been repeated
        (None, (1_700,), 0),
    ],
)
def test_only_what_was_in_the_making_is_excused(
    down: tuple[int, int] | None, steps: tuple[int, ...], excused: int
) -> None:
    """Milliseconds from the begin of the third slot, whose reading is not stored."""
    third = BEGAN + 2 * CADENCE
    downs = (Down("house-0", third + down[0], third + down[1]),) if down else ()
    run = dataclasses.replace(RUN, downs=downs, steps_ms=tuple(third + step for step in steps))
    result = by_telegram(ANSWERS, [*STORED[:2], *STORED[3:]], run, 0)
    assert (result.excused, result.lost) == (excused, 1 - excused)


def test_nothing_excuses_the_loss_of_what_the_collector_showed() -> None:
    """Then it was gone."""
    run = dataclasses.replace(RUN, steps_ms=(BEGAN,), seen=frozenset({STORED[0].raw_hash}))
    assert by_telegram(ANSWERS, STORED[1:], run, 0).lost == 1


def test_a_meter_that_is_hardly_asked_is_a_loss() -> None:
    """A gateway that sleeps because its clock is wrong does not pass."""
    result = by_telegram(ANSWERS[:1], STORED[:1], RUN, 0)
    assert (result.lost, result.missing) == (1, (f"meter {METER}, hardly asked",))
    assert not by_telegram([], [], RUN, 0).holds()


def test_a_total_adds_everything_up() -> None:
    """One house lost one."""
    good, bad = by_telegram(ANSWERS, STORED, RUN, 0), by_telegram(ANSWERS, STORED[1:], RUN, 0)
    both = total([good, bad])
    assert (both.produced, both.stored, both.lost, len(both.missing)) == (16, 15, 1, 1)


def test_recovery_is_the_time_to_the_next_batch_of_each_gateway_that_felt_the_fault() -> None:
    """A fault that nothing followed is counted."""
    batches = [("a", 1_000), ("b", 2_000), ("a", 9_000)]
    ended = [("a", 500), (None, 1_500), ("b", 2_500)]
    assert recoveries(ended, batches, ["a", "b"]) == ([0.5, 7.5, 0.5], 1)


def test_a_percentile_is_one_of_the_values() -> None:
    """Nearest rank."""
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.99) == 4.0
    assert percentile([], 0.5) is None
