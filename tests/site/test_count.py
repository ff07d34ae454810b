"""The count of a run finds what is lost, twice, altered or invented, and excuses only what was down."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from simulators.record import Answered
from simulators.site.count import Run, Stored, count
from simulators.site.held import grouped
from simulators.site.parts import Down

CADENCE = 5_000
BEGAN = 1_793_000_000_000
METERS = ("60300001", "07712233")


def telegram(meter: str, slot: int) -> str:
    """A telegram that no other slot has."""
    return f"68{meter}{slot:016x}16"


def values(slot: int) -> dict[str, dict[str, int | str]]:
    """What the meter showed in a slot."""
    return {"06/0/0/0/0": {"m": slot // 1000, "e": 3, "unit": "Wh"}}


def shown(slot: int) -> dict[str, dict[str, str]]:
    """The same as the collector shows it."""
    return {"06/0/0/0/0": {"kind": "number", "value": f"{slot // 1000}000", "unit": "Wh"}}


SLOTS = [BEGAN + CADENCE * i for i in range(6)]
ANSWERS = [
    Answered(slot + 120, meter, 1, telegram(meter, slot), None, False, values(slot))
    for slot in SLOTS
    for meter in METERS
]
STORED = [
    Stored(meter, slot, hashlib.sha256(bytes.fromhex(telegram(meter, slot))).hexdigest(), shown(slot))
    for slot in SLOTS
    for meter in METERS
]
RUN = Run(CADENCE, BEGAN, BEGAN + 6 * CADENCE, ())


def test_a_whole_run_holds() -> None:
    """Two meters, six slots."""
    result = count(ANSWERS, STORED, RUN)
    assert result.holds()
    assert (result.meters, result.readings_produced, result.readings_stored, result.excused) == (2, 12, 12, 0)


def test_a_reading_that_is_not_stored_is_lost_and_named() -> None:
    """One of twelve is missing."""
    result = count(ANSWERS, STORED[1:], RUN)
    assert (result.lost, result.holds()) == (1, False)
    assert result.missing == (f"meter {METERS[0]}, slot {SLOTS[0]}, answered",)


def test_a_slot_in_which_nobody_asked_is_lost_too() -> None:
    """A gateway that sleeps does not pass because the meter was never asked."""
    result = count(ANSWERS[:2] + ANSWERS[4:], STORED[:2] + STORED[4:], RUN)
    assert result.lost == 2
    assert all(name.endswith("never asked") for name in result.missing)


def test_a_reading_stored_twice_is_found() -> None:
    """The same meter and slot in two rows."""
    result = count(ANSWERS, [*STORED, STORED[3]], RUN)
    assert (result.twice, result.holds()) == (1, False)


@pytest.mark.parametrize(
    "change",
    [
        {"values": {"06/0/0/0/0": {"kind": "number", "value": "1000", "unit": "Wh"}}},
        {"values": {"06/0/0/0/0": {"kind": "number", "value": f"{SLOTS[0] // 10}", "unit": "Wh"}}},
        {"values": {"06/0/0/0/0": {"kind": "number", "value": f"{SLOTS[0] // 1000}000", "unit": "J"}}},
        {"values": {}},
        {"raw_hash": "00" * 32},
    ],
)
def test_a_reading_that_differs_in_anything_is_altered(change: dict[str, object]) -> None:
    """Value, exponent, unit, a missing register, another telegram."""
    changed = dataclasses.replace(STORED[0], **change)  # type: ignore[arg-type]
    result = count(ANSWERS, [changed, *STORED[1:]], RUN)
    assert (result.altered, result.holds()) == (1, False)


def test_another_slots_telegram_is_altered() -> None:
    """A value that is right, at a time that is not."""
    moved = dataclasses.replace(STORED[0], raw_hash=STORED[2].raw_hash, values=STORED[2].values)
    assert count(ANSWERS, [moved, *STORED[1:]], RUN).altered == 1


@pytest.mark.parametrize(
    ("at_ms", "telegrams", "altered"),
    [
        (SLOTS[1] - 200, 2, 0),  # the meter answered right after the border, the exchange's middle was before it
        (SLOTS[1] - 400, 2, 1),  # too far from the answer
        (SLOTS[1] + 100, 2, 1),  # the gateway's own time is of the slot behind
        (None, 2, 1),
        (SLOTS[1] - 200, 4, 1),  # the telegram of an answer far away
    ],
)
def test_an_answer_on_the_border_of_two_slots_is_the_one_of_the_gateways_time(
    at_ms: int | None, telegrams: int, altered: int
) -> None:
    """A meter on a busy machine answers later than the middle of the exchange; what was stored of it is right."""
    other = STORED[telegrams]
    moved = dataclasses.replace(STORED[0], raw_hash=other.raw_hash, values=other.values, at_ms=at_ms)
    assert count(ANSWERS, [moved, *STORED[1:]], RUN).altered == altered


def test_a_reading_that_no_meter_gave_is_altered() -> None:
    """Invented out of nothing."""
    invented = dataclasses.replace(STORED[0], slot_ms=SLOTS[0] - CADENCE)
    assert not count(ANSWERS, [*STORED, invented], RUN).holds()


@pytest.mark.parametrize(
    ("down", "excused"),
    [
        ((200, 1_900), 0),  # back with 3.1 s to go: it must be read again
        ((200, 2_100), 2),  # back with 2.9 s to go
        ((4_000, 5_500), 2),  # down over the end of the slot
        ((4_900, 7_200), 4),  # ... and back too late in the next one as well
    ],
)
def test_a_slot_is_excused_only_where_less_than_3_s_were_left(down: tuple[int, int], excused: int) -> None:
    """Milliseconds from the begin of the second slot; nothing of slots two and three is stored."""
    second = SLOTS[1]
    run = dataclasses.replace(RUN, downs=(Down("gateway", second + down[0], second + down[1]),))
    kept = [reading for reading in STORED if reading.slot_ms not in SLOTS[1:3]]
    result = count(ANSWERS, kept, run)
    assert result.excused == excused
    assert result.lost == 4 - excused


def test_nothing_excuses_the_loss_of_what_was_stored_already() -> None:
    """The collector showed it during the run, then it was gone."""
    pair = 2  # of the slot in which the gateway came back too late
    seen = frozenset({(STORED[pair].meter, STORED[pair].slot_ms or 0)})
    run = dataclasses.replace(RUN, downs=(Down("gateway", SLOTS[1] + 100, SLOTS[1] + 4_900),), seen=seen)
    result = count(ANSWERS, [*STORED[:pair], *STORED[pair + 1 :]], run)
    assert (result.lost, result.excused) == (1, 0)


def test_what_is_excused_may_be_stored_all_the_same() -> None:
    """It then counts as produced and stored."""
    run = dataclasses.replace(RUN, downs=(Down("gateway", SLOTS[1] + 100, SLOTS[1] + 4_900),))
    assert count(ANSWERS, STORED, run) == count(ANSWERS, STORED, RUN)


def test_an_empty_run_does_not_hold() -> None:
    """Nothing produced proves nothing."""
    assert not count([], [], dataclasses.replace(RUN, frozen_ms=BEGAN)).holds()


def row(slot: str, register: str, value: str, seal: str = "ok") -> dict[str, object]:
    """A row as `plomba-collector readings --json` prints it."""
    place = {"meter": "mbus:KAM/60300001", "slot": slot, "batch": "ab", "leaf": 0, "telegram_sha256": "cd"}
    place |= {"gateway_time": slot}
    return {**place, "key": register, "unit": "Wh", "kind": "number", "value": value, "state": "ok", "seal": seal}


def test_a_reading_that_is_stored_twice_is_shown_as_two() -> None:
    """The very same batch and leaf in two rows of the table: what a missing deduplication would leave."""
    once = [row("2026-11-21T12:00:00.000Z", key, "1") for key in ("mbus:06/0/0/0/0/0", "mbus:14/0/0/0/0/0")]
    assert len(grouped(once)) == 1
    assert len(grouped([*once, *once])) == 2
    assert len(grouped([*once, row("2026-11-21T12:00:05.000Z", "mbus:06/0/0/0/0/0", "1")])) == 2


def test_a_reading_that_its_evidence_does_not_bear_out_cannot_be_right() -> None:
    """Whatever number it shows."""
    (reading,) = grouped([row("2026-11-21T12:00:00.000Z", "mbus:06/0/0/0/0/0", "1", seal="altered")])
    assert reading.values == {"06/0/0/0/0": {"seal": "altered"}}


ROWS = [
    Answered(BEGAN - 900_000 * back, METERS[0], 1, "", None, False, values(BEGAN - back), kind="row", time=f"T{back}")
    for back in (3, 2, 1)
]
STORED_ROWS = [Stored(METERS[0], None, "", shown(BEGAN - back), f"T{back}", whole=False) for back in (3, 2, 1)]


def test_every_row_of_a_load_profile_is_produced_whatever_was_down() -> None:
    """They stay in the meter: nothing excuses one."""
    downs = (Down("gateway", BEGAN - 10_000_000, BEGAN + 10_000),)
    whole = count([*ANSWERS, *ROWS], [*STORED, *STORED_ROWS], dataclasses.replace(RUN, downs=downs))
    assert (whole.holds(), whole.rows_produced, whole.rows_stored) == (True, 3, 3)
    result = count([*ANSWERS, *ROWS], [*STORED, *STORED_ROWS[1:]], dataclasses.replace(RUN, downs=downs))
    assert (result.lost, result.missing[-1]) == (1, f"meter {METERS[0]}, row T3")


def test_a_row_twice_altered_or_invented_is_found() -> None:
    """By the meter's own time and the values in it."""
    assert count([*ANSWERS, *ROWS], [*STORED, *STORED_ROWS, STORED_ROWS[0]], RUN).twice == 1
    wrong = dataclasses.replace(STORED_ROWS[0], values=shown(BEGAN + 5_000))
    assert count([*ANSWERS, *ROWS], [*STORED, wrong, *STORED_ROWS[1:]], RUN).altered == 1
    odd = dataclasses.replace(STORED_ROWS[0], time="T9")
    assert count([*ANSWERS, *ROWS], [*STORED, *STORED_ROWS, odd], RUN).altered == 1


def test_a_row_of_the_last_moments_may_still_be_in_the_meter() -> None:
    """It was made after the last visit."""
    late = dataclasses.replace(ROWS[0], at_ms=RUN.frozen_ms - 5_000, time="T0")
    assert count([*ANSWERS, *ROWS, late], [*STORED, *STORED_ROWS], RUN).holds()


def test_a_reading_of_several_answers_is_compared_value_by_value() -> None:
    """A Modbus meter is read in blocks: each value must be one that the meter showed in that slot, and none missing."""
    parts = [
        Answered(SLOTS[0] + 100 + n, "3401234", 1, "00", None, False, {f"1/{n}/t": {"m": n, "e": 0, "unit": "W"}})
        for n in (1, 2)
    ]
    run = dataclasses.replace(RUN, frozen_ms=SLOTS[0] + CADENCE)
    both = {f"1/{n}/t": {"kind": "number", "value": str(n), "unit": "W"} for n in (1, 2)}
    whole = Stored("3401234", SLOTS[0], "", both, whole=False)
    assert count(parts, [whole], run).holds()
    other = dataclasses.replace(whole, values=both | {"1/2/t": {"kind": "number", "value": "1", "unit": "W"}})
    assert count(parts, [other], run).altered == 1
