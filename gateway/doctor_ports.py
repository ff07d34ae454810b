"""The serial ports that a configuration names: whether they are there, who may use them and who holds them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.findings import Finding, Mark
from gateway.named import Named, Port
from gateway.owners import holders
from gateway.rights import User, group_name, owner_shown

BY_ID = Path("/dev/serial/by-id")
PSEUDO = Path("/dev/pts")  # whoever made such a terminal holds it, too


def ports(named: Named, user: User, running: str, by_id: Path = BY_ID) -> Iterator[Finding]:
    """Each port once for each of: there, allowed, free, named so that it stays."""
    if not named.ports:
        yield Finding(Mark.SKIP, "ports", "the configuration names no serial port")
    for port in named.ports:
        yield from _port(port, user, running, by_id)


def _port(port: Port, user: User, running: str, by_id: Path) -> Iterator[Finding]:
    what = f"port of {port.bus}"
    try:
        found = port.path.stat()
    except OSError as error:
        yield Finding(Mark.FAIL, what, f"{port.path}: {error.strerror}", "PLB-L101", _missing(by_id))
        return
    if not stat.S_ISCHR(found.st_mode):
        yield Finding(Mark.FAIL, what, f"{port.path} is no port", do=_missing(by_id))
        return
    yield _rights(what, port.path, found, user)
    yield _held(what, port.path, running)
    yield _name(what, port.path, by_id)


def _missing(by_id: Path) -> str:
    there = sorted(str(each) for each in by_id.iterdir()) if by_id.is_dir() else []
    shown = ", ".join(there) if there else "none: see whether the adapter is plugged in (dmesg | tail)"
    return f"correct `port`; adapters that are plugged in now: {shown}"


def _rights(what: str, path: Path, found: os.stat_result, user: User) -> Finding:
    text = f"{path.resolve()} is {owner_shown(found)}"
    if user.may(path, 6):
        return Finding(Mark.OK, what, f"{text}: {user.name} may use it")
    group = group_name(found.st_gid)
    by_group = stat.S_IMODE(found.st_mode) & 0o060 == 0o060 and found.st_gid != 0
    do = (
        f"usermod -aG {group} {user.name}, then restart the daemon"
        if by_group
        else f"let {user.name} read and write it"
    )
    return Finding(Mark.FAIL, what, f"{text}: {user.name}, whom the daemon runs as, may not use it", do=do)


def _held(what: str, path: Path, running: str) -> Finding:
    found = list(holders(str(path)))
    mine = [each for each in found if running and each.startswith(f"process {running} ")]
    others = [each for each in found if each not in mine]
    if others and not (mine and path.resolve().is_relative_to(PSEUDO)):
        text, do = f"{' and '.join(others)} holds it", "stop that program: two on one line disturb each other"
        return Finding(Mark.FAIL, what, text, "PLB-L102", do)
    if mine:
        return Finding(Mark.OK, what, f"the daemon holds it ({mine[0]})")
    blind = "" if os.getuid() == 0 else ", as far as this user sees (root sees all)"
    return Finding(Mark.OK, what, f"no process holds it{blind}")


def _name(what: str, path: Path, by_id: Path) -> Finding:
    names = [each for each in by_id.iterdir() if each.resolve() == path.resolve()] if by_id.is_dir() else []
    if not names:
        return Finding(Mark.OK, what, f"{path.resolve()} is no USB adapter that has a name by id")
    if path in names:
        return Finding(Mark.OK, what, f"USB name {path.name}")
    do = f'write port = "{names[0]}": it stays the same after a restart and with more adapters'
    return Finding(Mark.HINT, what, f"{path} is {names[0].name}, named by the order of plugging in", do=do)
