"""Plain questions on a terminal: the default is in brackets, Enter takes it; each answer can be given beforehand.

What an answer may be is checked where it is asked: on the terminal it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import click
from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway.faults import AnswerUnusable
from protocols.settings.model import model_of
from protocols.settings.words import choices, expected, slot_of

Check = Callable[[str], str]  # what is wrong with an answer; empty: nothing


def anything(answer: str) -> str:
    """Every answer that is not empty will do."""
    return "" if answer else "an answer"


def one_of(known: Sequence[str]) -> Check:
    """One of these words."""
    return lambda answer: "" if answer in known else f"one of {', '.join(known)}"


def fits(table: type[Any], key: str) -> Check:
    """What a key of the configuration may hold, as its class says it; numbers are given in digits."""
    model = model_of(table)
    kept = model.model_fields[key]
    slot = slot_of(kept.annotation, kept, model)
    numbers = slot.kind is int or any(isinstance(each, int) for each in choices(slot))
    kind: Any = Annotated[kept.rebuild_annotation(), kept]
    adapter = TypeAdapter[object](kind, config=ConfigDict(strict=True))
    words = expected(slot, (key,)).replace(" in quotes", "")

    def check(answer: str) -> str:
        digits = numbers and answer.isascii() and answer.isdecimal()
        try:
            adapter.validate_python(int(answer) if digits else answer)
        except ValidationError:
            return words
        return ""

    return check


def unlike(taken: Collection[str]) -> Check:
    """An answer that nobody has yet."""
    return lambda answer: f"one that is not there yet ({', '.join(taken)})" if answer in taken else ""


def every(*checks: Check) -> Check:
    """The first that says something is wrong counts."""
    return lambda answer: next(filter(None, (each(answer) for each in checks)), "")


@dataclass(slots=True)
class Questions:
    """Who is asked: first what was given beforehand, each answer once and in order, then the terminal.

    With `silent` nobody is asked: the default is taken. `taken` are the answers so far, by their names; `before` are
    those of a run that was left: each is the default once.
    """

    given: Mapping[str, list[str]] = field(default_factory=dict)
    silent: bool = False
    before: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, words: str, default: str = "", check: Check = anything) -> str:
        """The answer, without blanks around it.

        Raises:
            AnswerUnusable: what was given cannot be used, or nothing was, and nobody may be asked.
            click.Abort: the technician left.
        """
        known = self.given.get(name)
        default = self.before.pop(name, default)
        if known or self.silent:
            answer = known.pop(0) if known else default
            if wanted := check(answer):
                raise AnswerUnusable(
                    f"{wanted} ({words.partition(' (')[0].lower()})", repr(answer) if answer else "nothing", name
                )
        else:
            answer = self._asked(words, default, check)
        self.taken[name] = answer
        return answer

    def agreed(self, name: str, words: str, default: bool) -> bool:
        """Whether the answer is yes."""
        usual = "yes" if default else "no"
        return self.ask(name, f"{words} yes or no", usual, one_of(["yes", "no", "y", "n"])).startswith("y")

    def more(self, name: str) -> bool:
        """Whether an answer of this name is left."""
        return bool(self.given.get(name))

    def unasked(self) -> Iterator[str]:
        """The names of answers that were given and never asked for."""
        return (name for name, left in self.given.items() if left)

    def _asked(self, words: str, default: str, check: Check) -> str:
        while True:
            shown = f"{words} [{default}]" if default else words
            found: str = click.prompt(shown, default=default, show_default=False, err=True)
            if not (wanted := check(found.strip())):
                return found.strip()
            click.echo(f"  expected {wanted}, got {found.strip()!r}", err=True)
