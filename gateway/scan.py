"""What the command `scan` does: finds the meters of a line, says on stderr how far it is, and prints what to configure.

It is left with Ctrl-C and goes on later where it was, when a state file was named. Exit codes: 0 all is clear; 1 the
line or its noise ended it; 3 something is missing or unresolved, or it was left.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.adhoc import said
from gateway.files import write_whole
from gateway.lines import MACHINE, Lines, Place, opened
from gateway.propose import block
from protocols.errors import LinkError, MeterError
from protocols.mbus.search import DECIMALS, Progress, SecondarySearch
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices
from protocols.transports import exchange

OK, FAILED, PARTIAL = 0, 1, 3
SHOWN_MS = 2_000  # between two lines of progress
NAME = "mbus"  # of a line that has none yet
AnySearch = PrimarySearch | SecondarySearch


@dataclass(frozen=True, slots=True)
class Scan:
    """What to search, and how; `state` is where it goes on, if it was left before.

    `reads` is of a primary search, `choices` of a secondary one; `name` is that of the line in the block.
    """

    place: Place
    primary: bool = False
    reads: bool = False
    choices: Choices = DECIMALS
    expected: int | None = None
    state: Path | None = None
    name: str = NAME


def scan(asked: Scan, lines: Lines = MACHINE) -> int:
    """Search, talk on stderr, print the configuration block on stdout; the exit code."""
    search = _begun(asked)
    try:
        with asyncio.Runner() as runner:
            runner.run(_follow(search, asked, lines))
    except KeyboardInterrupt:
        where = f"; the same command goes on with {asked.state}" if asked.state else ""
        click.echo(f"left before the end{where}", err=True)
        _report(search, asked)
        return PARTIAL
    except (LinkError, MeterError) as error:
        click.echo(said(error, asked.place), err=True)
        _report(search, asked)
        return FAILED
    _report(search, asked)
    return PARTIAL if search.missing or search.unresolved else OK


def shown(progress: Progress) -> str:
    """A line of progress."""
    if not progress.selections:
        return f"{progress.at}: begun" + ("; F stands for any digit" if "F" in progress.at else "")
    minutes, seconds = divmod(progress.seconds_left, 60)
    left = f"about {progress.left} left, {minutes} min {seconds} s" if progress.left else "nothing left"
    return f"{progress.at}: {progress.found} found, {progress.selections} asked, {left}"


def _begun(asked: Scan) -> AnySearch:
    """A new search, or the one that was left; how slow the line is shows when it is open.

    Raises:
        click.UsageError: the state is none, or another search's.
    """
    timing = Timing(asked.place.baud)
    if asked.state is None or not asked.state.exists():
        if asked.primary:
            return PrimarySearch(timing, asked.reads, asked.expected)
        return SecondarySearch(timing, asked.choices, asked.expected)
    try:
        row = json.loads(asked.state.read_text(encoding="utf-8"))
        if not isinstance(row, dict) or row.get("primary") is not asked.primary:
            raise ValueError("expected the state of the same kind of search, got another one")
        return PrimarySearch.from_row(row, timing) if asked.primary else SecondarySearch.from_row(row, timing)
    except ValueError as error:
        raise click.UsageError(f"{asked.state} is no state to go on from: {error}; remove it to begin anew") from error


async def _follow(search: AnySearch, asked: Scan, lines: Lines) -> None:
    clock = exchange.Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
    found = await opened(asked.place, lines)
    line = found.line
    search.bear(Timing(asked.place.baud, found.slack_ms))
    due = clock.mono_ms()
    try:
        while await exchange.ask(search, line, clock):
            if clock.mono_ms() >= due:
                due = clock.mono_ms() + SHOWN_MS
                click.echo(shown(search.progress()), err=True)
    finally:
        line.close()
        if asked.state is not None:
            row = {"primary": asked.primary, **search.to_row()}
            write_whole(asked.state, json.dumps(row, indent=1).encode())


def _report(search: AnySearch, asked: Scan) -> None:
    if not search.progress().selections:
        return
    for sentence in search.words():
        click.echo(sentence, err=True)
    if search.found:
        click.echo(block(search.found, asked.place, asked.name), nl=False)
