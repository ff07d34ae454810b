"""What happens in a torture run depends on its seed alone, and every kind has its turn."""

from __future__ import annotations

from itertools import islice

from simulators.torture.draw import HALF_OPEN, LINK_KINDS, STEPS_S, blows, clock_steps, line_faults, message_faults

KINDS = (*LINK_KINDS, HALF_OPEN)


def test_the_same_seed_draws_the_same_and_another_seed_another() -> None:
    """Lines, blows, clocks and messages."""

    def drawn(seed: int) -> tuple[object, ...]:
        parts = ("collector", "broker")
        series = (
            line_faults(seed, "house-0", KINDS),
            blows(seed, "centre", parts, parts),
            clock_steps(seed, "house-0"),
        )
        return (*(tuple(islice(each, 30)) for each in series), message_faults(seed, "house-0"))

    assert drawn(1) == drawn(1)
    assert all(one != two for one, two in zip(drawn(1), drawn(2), strict=True))


def test_every_kind_has_its_turn_before_one_has_its_second() -> None:
    """So that a minute has all of them."""
    assert {each.kind for each in islice(line_faults(3, "house-1", KINDS), len(KINDS))} == set(KINDS)
    drawn = {(each.kind, each.part) for each in islice(blows(3, "centre", ("a", "b"), ("b",)), 5)}
    assert drawn == {("kill", "a"), ("kill", "b"), ("term", "a"), ("term", "b"), ("stop", "b")}
    assert {each.by_s for each in islice(clock_steps(3, "house-0"), len(STEPS_S))} == set(STEPS_S)


def test_a_line_that_is_faulty_has_the_fault_of_its_kind() -> None:
    """A half-open one is the cable's, a reset one needs nothing to be set."""
    for each in islice(line_faults(4, "house-0", KINDS), len(KINDS)):
        faults = each.faults
        on = {
            "refuse": faults.refuse,
            "black_hole": faults.black_hole,
            "drip": faults.drip > 0,
            "delay": faults.delay_ms > 0,
            "flap": faults.flap_s is not None,
        }
        assert {kind for kind, is_on in on.items() if is_on} == {each.kind} - {"reset", HALF_OPEN}
