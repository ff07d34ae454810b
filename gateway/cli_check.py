"""What the command `check` does: everything that it finds goes to stdout.

Exit codes: 0 all is well; 1 something fails (a fault in the file, a file that is unusable, a bus without enough time,
with --online a meter or the broker); 3 only hints.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import click

from gateway.battery import Use
from gateway.config import Configuration
from gateway.config_file import Checked, check_configuration
from gateway.findings import FAILED, Finding, Mark, exit_code
from gateway.forecast import Forecast
from gateway.inspect import batteries, bus_time, inspect
from gateway.upcoming import Upcoming, upcoming
from protocols.settings import shown
from protocols.settings.problems import Level, ReportedError, coloured, counted, report


def check(path: Path, as_json: bool, online: bool) -> int:
    """Check a configuration, print what was found, and give the exit code."""
    try:
        found = check_configuration(path)
    except ReportedError as error:
        return _unusable(Checked(None, error.problems), error.report(coloured(sys.stdout)), as_json)
    if found.configuration is None:
        last = f"{counted(found.problems)} in {path}; correct the file and run 'check' again"
        return _unusable(found, f"{report(found.problems, coloured(sys.stdout))}\n\n{last}", as_json)
    return _usable(path, found, found.configuration, as_json, online)


def _unusable(found: Checked, text: str, as_json: bool) -> int:
    problems = [each.row() for each in found.problems]
    click.echo(json.dumps({"ok": False, "problems": problems}, indent=1) if as_json else text)
    return FAILED


def _usable(path: Path, found: Checked, configuration: Configuration, as_json: bool, online: bool) -> int:
    now = datetime.datetime.now(datetime.UTC)
    following = list(upcoming(configuration, int(now.timestamp()) * 1000))
    files, buses, uses = inspect(configuration, now), bus_time(configuration), batteries(configuration)
    if not as_json:
        _print(path, found, configuration, files, buses)
        _print_batteries(uses)
        _print_upcoming(following)
    seen = asyncio.run(_collect(_online(configuration, now), as_json)) if online else []
    marks = [Mark.HINT for each in found.problems if each.level is Level.HINT]
    marks += [each.mark for each in (*files, *(finding for _, finding in (*buses, *uses)), *seen)]
    code = exit_code(marks)
    if as_json:
        content = {
            "ok": code != FAILED,
            "problems": [each.row() for each in found.problems],
            "configuration": [asdict(each) for each in shown.rows(configuration, found.given)],
            "files": [asdict(each) for each in files],
            "bus_time": [{**asdict(each), "mark": finding.mark} for each, finding in buses],
            "batteries": [{**asdict(each), "mark": finding.mark} for each, finding in uses],
            "upcoming": [asdict(each) for each in following],
            "online": [asdict(each) for each in seen],
        }
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(f"\n{_verdict(code, marks)}")
    return code


def _print(
    path: Path,
    found: Checked,
    configuration: Configuration,
    files: list[Finding],
    buses: list[tuple[Forecast, Finding]],
) -> None:
    if found.problems:
        click.echo(f"{report(found.problems, coloured(sys.stdout))}\n")
    click.echo(f"configuration of {path.absolute()}")
    click.echo("\n".join(shown.table(shown.rows(configuration, found.given))))
    click.echo("\nfiles")
    click.echo("\n".join(str(each) for each in files))
    click.echo("\nbus time")
    click.echo("\n".join(str(finding) for _, finding in buses))


def _print_batteries(uses: list[tuple[Use, Finding]]) -> None:
    if uses:
        click.echo("\nbatteries")
        click.echo("\n".join(str(finding) for _, finding in uses))


def _print_upcoming(following: list[Upcoming]) -> None:
    click.echo("\nnext readings")
    click.echo("\n".join(f"  {each.bus}/{each.device}: {each}" for each in following))


def _verdict(code: int, marks: list[Mark]) -> str:
    fails, hints = marks.count(Mark.FAIL), marks.count(Mark.HINT)
    if not code:
        return "all is well"
    shown_hints = f"{hints} hint{'' if hints == 1 else 's'}"
    return f"{fails} failed, {shown_hints}" if fails else f"usable, {shown_hints}"


async def _online(configuration: Configuration, now: datetime.datetime) -> AsyncIterator[Finding]:
    from gateway import online  # noqa: PLC0415 - loads protocol stacks
    from gateway.clock import GatewayClock, system_sources  # noqa: PLC0415

    clock = GatewayClock(system_sources(), 0, 0)
    async for each in online.devices(configuration, clock):
        yield each
    async for each in online.broker(configuration, now):
        yield each


async def _collect(findings: AsyncIterator[Finding], as_json: bool) -> list[Finding]:
    found = []
    if not as_json:
        click.echo("\nonline")
    async for each in findings:
        found.append(each)
        if not as_json:
            click.echo(str(each))
    return found
