"""The daemon, as far as it answers, and the clock of this machine."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.about import ask_about, ask_time
from gateway.clock import BUILD_MS, SYNCHRONISED_MS, Discipline, system_discipline
from gateway.config import configuration_hash
from gateway.core import core_of_this_program
from gateway.faults import DaemonRefused
from gateway.findings import Finding, Mark, failed
from gateway.local import SOCKET_FILE
from gateway.named import Named
from gateway.rights import owner_shown
from protocols.errors import PlombaError
from protocols.uplink.header import ClockState

PROC = Path("/proc")
DISCIPLINES = ("chronyd", "ntpd", "systemd-timesyn", "ptp4l", "phc2sys", "openntpd")  # the kernel shows 15 characters
_RESTART = "systemctl restart plomba-gateway"


def daemon(named: Named, running: str) -> Iterator[Finding]:
    """Whether it runs, answers, and is the program and configuration that are installed."""
    folder = named.state_folder
    if folder is None:
        yield Finding(Mark.SKIP, "daemon", "the configuration names no state folder that can be read")
        return
    if not running:
        yield Finding(Mark.HINT, "daemon", f"none runs in {folder}", do="systemctl start plomba-gateway")
        return
    yield Finding(Mark.OK, "daemon", f"process {running} runs in {folder}")
    yield _socket(folder)
    try:
        found = ask_about(folder)
    except DaemonRefused as error:  # of a release that does not know the question
        yield failed("daemon's version", error, _RESTART)
        return
    except PlombaError as error:
        yield failed("local socket", error)
        return
    mine = core_of_this_program()
    text = f"{found.core.version} ({found.core.hash.hex()[:12]}), this command {mine.version} ({mine.hash.hex()[:12]})"
    same = found.core == mine
    yield Finding(Mark.OK if same else Mark.HINT, "daemon's version", text, do="" if same else _RESTART)
    if named.configuration is None:
        yield Finding(Mark.HINT, "daemon's file", "it runs with an older content of the file, which has faults now")
    elif found.configuration != configuration_hash(named.configuration):
        text = "the file's buses or meters were changed since it started"
        yield Finding(Mark.HINT, "daemon's file", text, do=_RESTART)
    else:
        yield Finding(Mark.OK, "daemon's file", "its buses and meters are those of the file")


def _socket(folder: Path) -> Finding:
    path = folder / SOCKET_FILE
    try:
        found = path.lstat()
    except OSError as error:
        return Finding(Mark.FAIL, "local socket", f"{path}: {error.strerror}", "PLB-S207", _RESTART)
    text = f"{path} ({owner_shown(found)})"
    if not stat.S_ISSOCK(found.st_mode):
        return Finding(Mark.FAIL, "local socket", f"{text} is no socket", do=f"remove it; {_RESTART}")
    if stat.S_IMODE(found.st_mode) & 0o007:
        return Finding(Mark.FAIL, "local socket", f"{text}: everybody may ask the daemon", do=f"chmod 660 {path}")
    return Finding(Mark.OK, "local socket", text)


def clock(named: Named, running: str, now: datetime.datetime) -> Iterator[Finding]:
    """The system's clock, and the one that the daemon stamps with."""
    yield _plausible(now)
    yield _disciplined(system_discipline(), disciplines())
    if running and named.state_folder is not None:
        yield _of_daemon(named.state_folder)


def disciplines() -> tuple[str, ...]:
    """The programs that run here and set clocks: chronyd, ntpd and others; a container may not show its host's."""
    names = set()
    for path in PROC.glob("[0-9]*/comm"):
        try:
            names.add(path.read_text().strip())
        except OSError:  # gone meanwhile
            continue
    return tuple(sorted(names & set(DISCIPLINES)))


def _plausible(now: datetime.datetime) -> Finding:
    build = datetime.datetime.fromtimestamp(BUILD_MS / 1000, datetime.UTC)
    text = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    if now < build:
        do = "timedatectl set-ntp true, or timedatectl set-time; readings are kept and marked meanwhile"
        return Finding(Mark.FAIL, "clock", f"{text} is before this release was made ({build:%Y-%m-%d})", do=do)
    return Finding(Mark.OK, "clock", text)


def _disciplined(found: Discipline, by: tuple[str, ...]) -> Finding:
    source = ", ".join(by) or "no program seen here"
    if not found.synchronised or found.uncertainty_ms is None:
        do = "timedatectl set-ntp true; chronyc sources (or timedatectl timesync-status) shows whether a server answers"
        return Finding(Mark.HINT, "synchronisation", f"the kernel says: not synchronised ({source})", do=do)
    text = f"synchronised by {source}, within {found.uncertainty_ms} ms"
    if found.uncertainty_ms > SYNCHRONISED_MS:
        do = "the time server was not heard for long: check the network"
        return Finding(Mark.HINT, "synchronisation", f"{text}: more than {SYNCHRONISED_MS} ms", do=do)
    return Finding(Mark.OK, "synchronisation", text)


def _of_daemon(folder: Path) -> Finding:
    what = "daemon's clock"
    try:
        found = ask_time(folder)
    except DaemonRefused as error:
        return failed(what, error, _RESTART)
    except PlombaError as error:
        return failed(what, error)
    shown = found.clock
    within = "" if shown.uncertainty_ms is None else f", within {shown.uncertainty_ms} ms"
    text = f"{shown.state.name.lower()} by {shown.source.name.lower()}{within}, {len(found.jumps)} jumps seen lately"
    if shown.state is ClockState.UNSET:
        return Finding(Mark.FAIL, what, text, do="set the system's clock, or restore the link: signed time sets it")
    mark = Mark.OK if shown.state is ClockState.SYNCHRONISED else Mark.HINT
    return Finding(mark, what, text, do="" if mark is Mark.OK else "see the line about synchronisation")
