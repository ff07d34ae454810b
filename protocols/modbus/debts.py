"""Questions of a shared line that were never answered: their answers may still come, and look like those of the next.

An RTU answer names unit, function and length, not the question. A unit answers in the order in which it is asked. So a
unit that owes an answer is first asked for another number of registers (`fence`): what answers that is not late, and
what was owed before it came before it or never comes. Only then a question of the same length is asked again. A refusal
has no length: it settles the oldest debt only. (docs/adr/0017 says what this costs.)
"""

from __future__ import annotations

from protocols.modbus.adu import Question

MOST = 8  # answers that one unit may owe; the oldest is forgotten then: eight waits and pauses have passed since
_STEP = 2  # some meters refuse odd numbers of registers


class Debts:
    """What each unit of a line owes."""

    def __init__(self) -> None:
        self._owed: dict[int, list[int]] = {}

    def fence(self, question: Question) -> Question | None:
        """What to ask before `question`; None where its answer cannot be mistaken."""
        owed = self._owed.get(question.unit, [])
        if question.count not in owed:
            return None
        count = next(count for count in range(_STEP, (MOST + 2) * _STEP, _STEP) if count not in owed)
        return Question(question.unit, question.table, question.address, count)

    def missed(self, question: Question) -> None:
        """This question was sent and not answered in time."""
        owed = self._owed.setdefault(question.unit, [])
        owed.append(question.count)
        del owed[:-MOST]

    def answered(self, question: Question) -> None:
        """This one was: what its unit owed is settled."""
        self._owed.pop(question.unit, None)

    def refused(self, question: Question) -> None:
        """A refusal came behind this one: of it, or late, of the oldest that its unit owes."""
        owed = self._owed[question.unit]
        del owed[0]
        if not owed:
            del self._owed[question.unit]
