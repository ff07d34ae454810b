"""What the command `scan` does: finds the meters of a line, says on stderr how far it is, and prints what to configure.

It is left with Ctrl-C, SIGTERM or SIGHUP, and goes on later where it was, when a state file was named: that is written
with each line of progress, and removed when all is done and printed. Exit codes: 0 all is clear; 1 the line or its
noise ended it; 3 something is missing or unresolved, or it was left.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from gateway import scanstate
from gateway.adhoc import said
from gateway.lines import MACHINE, Lines, Place, opened
from gateway.propose import block
from gateway.scanstate import AnySearch, Begun
from protocols.errors import LinkError, MeterError
from protocols.mbus.faults import OnlyNoise
from protocols.mbus.search import DECIMALS, Progress, SecondarySearch
from protocols.mbus.sweep import PrimarySearch
from protocols.mbus.timing import Timing
from protocols.mbus.walk import Choices
from protocols.transports import exchange

OK, FAILED, PARTIAL = 0, 1, 3
SHOWN_MS = 2_000  # between two lines of progress
NAME = "mbus"  # of a line that has none yet
Show = Callable[[str], None]
LEFT_BY = (signal.SIGTERM, signal.SIGHUP)  # as by Ctrl-C; a terminal that goes away hangs up


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

    @property
    def begun(self) -> Begun:
        """What a scan that goes on must have in common with the one that was left."""
        return scanstate.begun(self.place, self.primary, self.reads, self.choices, self.expected)


def _printed(text: str) -> None:
    click.echo(text, nl=False)


def scan(asked: Scan, lines: Lines = MACHINE, show: Show = _printed) -> int:
    """Search, talk on stderr, show the configuration block (on stdout, by itself); the exit code.

    Raises:
        StateOfAnother, StateUnusable: the state is of another scan, or none.
        OSError: the state cannot be read, or not be written before the first question.
    """
    search = _begun(asked)
    try:
        with asyncio.Runner() as runner:
            runner.run(_follow(search, asked, lines))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _talk(f"left before the end{_later(asked)}")
        _report(search, asked, show)
        return PARTIAL
    except (LinkError, MeterError) as error:
        _talk(f"{said(error, asked.place)}{'' if isinstance(error, OnlyNoise) else _later(asked)}")
        _report(search, asked, show)
        if isinstance(error, OnlyNoise) and asked.state is not None:
            scanstate.remove(asked.state)  # nothing was found, and it would end at once again
        return FAILED
    _report(search, asked, show)
    if asked.state is not None:
        scanstate.remove(asked.state)
        _talk(f"all is done: {asked.state} is removed; the same command searches anew")
    return PARTIAL if search.missing or search.unresolved else OK


def shown(progress: Progress) -> str:
    """A line of progress."""
    if not progress.selections:
        return f"{progress.at}: begun" + ("; F stands for any digit" if "F" in progress.at else "")
    minutes, seconds = divmod(progress.seconds_left, 60)
    left = f"about {progress.left} left, {minutes} min {seconds} s" if progress.left else "nothing left"
    return f"{progress.at}: {progress.found} found, {progress.selections} asked, {left}"


def _begun(asked: Scan) -> AnySearch:
    """A new search, or the one that was left; how slow the line is shows when it is open."""
    timing = Timing(asked.place.baud)
    if asked.state is not None:
        left = scanstate.maybe_read(asked.state, asked.begun, timing)
        if left is not None:
            far = left.progress()
            _talk(f"going on with {asked.state}: {far.found} found, {far.selections} asked so far")
            return left
    if asked.primary:
        return PrimarySearch(timing, asked.reads, asked.expected)
    return SecondarySearch(timing, asked.choices, asked.expected)


async def _follow(search: AnySearch, asked: Scan, lines: Lines) -> None:
    clock = exchange.Clock(lambda: time.time_ns() // 1_000_000, lambda: time.monotonic_ns() // 1_000_000)
    if asked.state is not None:
        scanstate.write(asked.state, asked.begun, search)  # what cannot be written is known now, not after hours
    with _left_by_signals():
        found = await opened(asked.place, lines)
        search.bear(Timing(asked.place.baud, found.slack_ms))
        due = clock.mono_ms()
        try:
            while await exchange.ask(search, found.line, clock):
                if clock.mono_ms() >= due:
                    due = clock.mono_ms() + SHOWN_MS
                    _talk(shown(search.progress()))
                    _keep(search, asked)
        finally:
            found.line.close()
            _keep(search, asked)


@contextmanager
def _left_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the task; one that is ignored stays so (nohup). The main thread alone hears signals."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    told = threading.current_thread() is threading.main_thread()
    taken = [each for each in LEFT_BY if told and signal.getsignal(each) is not signal.SIG_IGN]
    if task is not None:
        for each in taken:
            loop.add_signal_handler(each, task.cancel)
    try:
        yield
    finally:
        for each in taken:
            loop.remove_signal_handler(each)


def _keep(search: AnySearch, asked: Scan) -> None:
    """Write the state; a disk that is full ends no search."""
    if asked.state is not None:
        try:
            scanstate.write(asked.state, asked.begun, search)
        except OSError as error:
            _talk(f"{asked.state} could not be written, and is as it was before: {error.strerror or error}")


def _later(asked: Scan) -> str:
    return f"; the same command goes on with {asked.state}" if asked.state else ""


def _talk(sentence: str) -> None:
    """On stderr; a terminal that is gone hears nothing, and what matters goes on."""
    with suppress(OSError):
        click.echo(sentence, err=True)


def _report(search: AnySearch, asked: Scan, show: Show) -> None:
    if not search.progress().selections:
        return
    for sentence in search.words():
        _talk(sentence)
    if search.found:
        show(block(search.found, asked.place, asked.name))
