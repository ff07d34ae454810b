"""The tally by telegram finds what is lost, twice, altered or not asked, and excuses only what was in the making."""

from __future__ import annotations

import dataclasses

import pytest

from simulators.record import Answered
from simulators.site.count import Stored, raw_hash
from simulators.site.parts import Down
from simulators.torture.tally import Watched, percentile, recoveries, tally, total

BEGAN, CADENCE = 1_793_000_000_000, 5_000
METER = "00000001"


def answer(number: int, at_ms: int) -> Answered:
    """The meter's answer with a number of its own."""
    values: dict[str, dict[str, int | str]] = {"06/0": {"m": number + 1, "e": 3, "unit": "Wh"}}
    return Answered(at_ms, METER, 1, f"68{number:04x}16", None, False, values)


def reading(of: Answered, slot_ms: int) -> Stored:
    """What the collector shows for it."""
    value = f"{of.values['06/0']['m']}000"
    return Stored(METER, slot_ms, raw_hash(of.telegram), {"06/0": {"kind": "number", "value": value, "unit": "Wh"}})


SLOTS = [BEGAN + n * CADENCE for n in range(8)]
ANSWERS = [answer(n, slot + 100) for n, slot in enumerate(SLOTS)]
STORED = [reading(each, slot) for each, slot in zip(ANSWERS, SLOTS, strict=True)]
RUN = Watched(BEGAN, BEGAN + 8 * CADENCE, CADENCE)
SET = dataclasses.replace(RUN, steps_ms=(BEGAN - 60_000,))


def test_a_whole_run_holds() -> None:
    """One meter, eight slots."""
    result = tally(ANSWERS, STORED, RUN)
    assert (result.holds(), result.produced, result.stored, result.excused) == (True, 8, 8, 0)


def test_where_the_clock_was_set_slots_are_not_compared() -> None:
    """Elsewhere a right value in a wrong slot is altered."""
    moved = [dataclasses.replace(each, slot_ms=(each.slot_ms or 0) + 3_600_000) for each in STORED]
    assert tally(ANSWERS, moved, SET).holds()
    assert tally(ANSWERS, moved, RUN).altered == 8


def test_a_telegram_that_is_not_stored_is_lost_and_named() -> None:
    """Unless it is on its way."""
    result = tally(ANSWERS, STORED[1:], RUN)
    assert (result.lost, result.missing) == (1, (f"meter {METER}, answered at {BEGAN + 100}",))
    assert tally(ANSWERS, STORED[1:], RUN, 1).lost == 0


def test_a_telegram_that_was_damaged_on_the_wire_is_not_produced() -> None:
    """Its meter sent it, nobody could read it."""
    noisy = [dataclasses.replace(ANSWERS[0], damaged="garble"), *ANSWERS[1:]]
    assert tally(noisy, STORED[1:], RUN).holds()


def test_a_telegram_or_a_slot_that_is_stored_twice_is_found() -> None:
    """The same reading again, and another one of the same slot."""
    assert tally(ANSWERS, [*STORED, STORED[3]], RUN).twice == 1
    again = answer(8, SLOTS[3] + 900)
    assert tally([*ANSWERS, again], [*STORED, reading(again, SLOTS[3])], RUN).twice == 1


def test_what_was_altered_or_invented_is_found() -> None:
    """By the values that the meter showed with that telegram, and by the telegram."""
    for change in ({"values": STORED[1].values}, {"meter": "00000002"}, {"raw_hash": "00"}):
        changed = dataclasses.replace(STORED[0], **change)
        assert tally(ANSWERS, [*STORED[1:], changed], RUN).altered == 1


@pytest.mark.parametrize(
    ("down", "steps", "excused"),
    [
        ((0, 500), (), 1),  # down when the answer came
        ((1_500, 3_500), (), 1),  # down before it must have been sealed
        ((1_700, 3_500), (), 0),  # ... and after that
        (None, (-1_000,), 1),  # the poll may have been repeated
        (None, (1_700,), 0),
    ],
)
def test_only_what_was_in_the_making_is_excused(
    down: tuple[int, int] | None, steps: tuple[int, ...], excused: int
) -> None:
    """Milliseconds from the begin of the third slot, whose reading is not stored."""
    downs = (Down("house-0", SLOTS[2] + down[0], SLOTS[2] + down[1]),) if down else ()
    run = dataclasses.replace(RUN, downs=downs, steps_ms=tuple(SLOTS[2] + step for step in steps))
    result = tally(ANSWERS, [*STORED[:2], *STORED[3:]], run)
    assert (result.excused, result.lost) == (excused, 1 - excused)


@pytest.mark.parametrize(
    ("run", "after_ms", "excused"), [(RUN, 4_800, 1), (RUN, 4_950, 0), (SET, 4_400, 1), (SET, 4_600, 0)]
)
def test_an_answer_that_was_not_taken_is_asked_for_again(run: Watched, after_ms: int, excused: int) -> None:
    """In the same slot, or at once where the clock was set; the one that came then must be there."""
    late = answer(8, ANSWERS[2].at_ms + after_ms)
    result = tally([*ANSWERS, late], [*STORED[:2], reading(late, late.at_ms // CADENCE * CADENCE), *STORED[3:]], run)
    assert (result.excused, result.lost) == (excused, 1 - excused)


@pytest.mark.parametrize(("run", "after_ms"), [(RUN, 4_800), (SET, 400)])
def test_of_two_answers_of_a_slot_one_must_be_there(run: Watched, after_ms: int) -> None:
    """A step that was asked for again at once: the first is sealed, the second has confirmed it."""
    again = answer(8, ANSWERS[2].at_ms + after_ms)
    result = tally([*ANSWERS, again], STORED, run)
    assert (result.excused, result.lost) == (1, 0)
    assert tally([*ANSWERS, again], [*STORED[:2], *STORED[3:]], run).lost == 1


def test_the_last_answer_of_a_slot_must_be_there() -> None:
    """However often the gateway asked."""
    late = answer(8, ANSWERS[2].at_ms + 2_000)
    result = tally([*ANSWERS, late], [*STORED[:2], *STORED[3:]], RUN)
    assert (result.excused, result.missing) == (1, (f"meter {METER}, answered at {late.at_ms}",))


def test_where_the_clock_was_set_a_slow_round_may_be_too_late() -> None:
    """Another meter of the house had answered more than a second before in the same round."""
    for before_ms, excused in ((1_100, 1), (900, 0)):
        other = dataclasses.replace(answer(9, ANSWERS[2].at_ms - before_ms), meter="00000002")
        result = tally(
            [*ANSWERS, other], [*STORED[:2], *STORED[3:], dataclasses.replace(reading(other, 7), meter="00000002")], SET
        )
        assert (result.excused, result.lost) == (excused, 2 - excused)  # the other one is hardly asked


def test_the_last_slot_which_the_freeze_cut_short_need_not_be_there() -> None:
    """What is stored of it counts all the same."""
    late = answer(8, RUN.frozen_ms + 100)
    run = dataclasses.replace(RUN, frozen_ms=RUN.frozen_ms + 2_500)
    assert (tally([*ANSWERS, late], STORED, run).excused, tally([*ANSWERS, late], STORED, run).lost) == (1, 0)
    assert tally([*ANSWERS, late], [*STORED, reading(late, RUN.frozen_ms)], run).produced == 9


def test_nothing_excuses_the_loss_of_what_the_collector_showed() -> None:
    """Then it was gone."""
    run = dataclasses.replace(RUN, steps_ms=(BEGAN,), seen=frozenset({STORED[0].raw_hash}))
    assert tally(ANSWERS, STORED[1:], run).lost == 1


def test_a_slot_in_which_nobody_asked_is_lost() -> None:
    """Unless something was down, or was starting; where the clock was set a meter must be asked often enough."""
    without = [*ANSWERS[:4], *ANSWERS[5:]], [*STORED[:4], *STORED[5:]]
    assert tally(*without, RUN).missing == (f"meter {METER}, slot {SLOTS[4]}, never asked",)
    starting = dataclasses.replace(RUN, downs=(Down("house-0", SLOTS[3] + 400, SLOTS[3] + 600),))
    assert tally(ANSWERS[:4] + ANSWERS[5:], STORED[:4] + STORED[5:], starting).holds()
    assert tally(*without, SET).holds()
    assert tally(ANSWERS[:1], STORED[:1], SET).missing == (f"meter {METER}, hardly asked",)
    assert not tally([], [], RUN).holds()


def test_a_total_adds_everything_up() -> None:
    """One house lost one."""
    good, bad = tally(ANSWERS, STORED, RUN), tally(ANSWERS, STORED[1:], RUN)
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
