"""The bench finds mistakes that are planted from outside, each within a few seeds: else it would prove nothing."""

from __future__ import annotations

import pytest
from controls import COURSES, Course, outcome
from planted import BUGS
from seasons import SEASONS, SEEDS

OF_MEMORY = "every-reading-kept-in-memory"
EVERY = 3  # of the courses one in so many is run without a mistake; `make soak` runs all with all their seeds


def found(seed: int, bug: str) -> bool:
    """Whether a seed brings it to light; memory alone does so of what is about memory."""
    told = outcome(Course.of(bug), seed, "--bug", bug)
    kinds = {each.partition(":")[0] for each in told["violations"]}
    return bool(kinds if bug == OF_MEMORY else kinds - {"memory"})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_planted_mistake_is_found(bug: str) -> None:
    """Within `SEEDS` seeds of some virtual hours and two gateways."""
    assert any(found(seed, bug) for seed in range(1, SEEDS + 1))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("course", COURSES[::EVERY], ids=lambda each: ",".join(each.season) or "no season")
def test_without_a_mistake_the_same_course_holds(course: Course) -> None:
    """Else what is found there would prove nothing."""
    assert outcome(course, 1 + COURSES.index(course) // EVERY % SEEDS)["violations"] == []


def test_there_are_at_least_twenty_and_each_has_its_season() -> None:
    """The aim of the bench, and no name that is misspelt."""
    assert len(BUGS) >= 51
    assert set(SEASONS) == set(BUGS)
