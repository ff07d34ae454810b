"""Budgets that fill up with time: how much one sender may ask of us, and all of them together."""

from __future__ import annotations

from collections import OrderedDict


class Budget:
    """At most `most` at once, and `each_hour` on the average."""

    def __init__(self, most: int, each_hour: int) -> None:
        self._most, self._each_hour = most, each_hour
        self._spent_ms = 0  # what was spent, in the time that it takes to come back
        self._since_ms: int | None = None

    def spend(self, amount: int, mono_ms: int) -> bool:
        """Spend, unless there is too little left."""
        since = mono_ms if self._since_ms is None else self._since_ms
        self._since_ms = mono_ms
        self._spent_ms = max(0, self._spent_ms - (mono_ms - since))
        cost_ms = amount * 3_600_000 // self._each_hour
        if self._spent_ms + cost_ms > self._most * 3_600_000 // self._each_hour:
            return False
        self._spent_ms += cost_ms
        return True


class Budgets:
    """One budget for each name; beyond `names` of them the one that was used longest ago is forgotten."""

    def __init__(self, most: int, each_hour: int, names: int) -> None:
        self._most, self._each_hour, self._names = most, each_hour, names
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def spend(self, name: str, amount: int, mono_ms: int) -> bool:
        """Spend of the name's budget, unless there is too little left."""
        budget = self._budgets.pop(name, None) or Budget(self._most, self._each_hour)
        self._budgets[name] = budget
        while len(self._budgets) > self._names:
            self._budgets.popitem(last=False)
        return budget.spend(amount, mono_ms)
