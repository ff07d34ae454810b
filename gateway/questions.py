"""Plain questions on a terminal: the default is in brackets, Enter takes it; each answer can be given beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import click

from gateway.faults import AnswerUnusable

Check = Callable[[str], str]  # what is wrong with an answer; empty: nothing


def anything(answer: str) -> str:
    """Every answer that is not empty will do."""
    return "" if answer else "an answer"


def one_of(known: Sequence[str]) -> Check:
    """One of these words."""
    return lambda answer: "" if answer in known else f"one of {', '.join(known)}"


@dataclass(slots=True)
class Questions:
    """Who is asked: first what was given beforehand, each answer once and in order, then the terminal.

    With `silent` nobody is asked: the default is taken. `taken` are the answers so far, by their names; `before` are
    those of a run that was left: they are the defaults now.
    """

    given: Mapping[str, list[str]] = field(default_factory=dict)
    silent: bool = False
    before: Mapping[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, words: str, default: str = "", check: Check = anything) -> str:
        """The answer, without blanks around it.

        Raises:
            AnswerUnusable: what was given cannot be used, or nothing was, and nobody may be asked.
            click.Abort: the technician left.
        """
        known = self.given.get(name)
        default = self.before.get(name, default)
        if known or self.silent:
            answer = known.pop(0) if known else default
            if wanted := check(answer):
                raise AnswerUnusable(f"{wanted} ({words.lower()})", repr(answer) if answer else "nothing", name)
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

    def _asked(self, words: str, default: str, check: Check) -> str:
        while True:
            shown = f"{words} [{default}]" if default else words
            found: str = click.prompt(shown, default=default, show_default=False, err=True)
            if not (wanted := check(found.strip())):
                return found.strip()
            click.echo(f"  expected {wanted}, got {found.strip()!r}", err=True)
